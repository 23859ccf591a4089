"""Translate with encoder-decoder models of transformers: NLLB, M2M100, Marian."""

import re
from collections.abc import Sequence
from functools import cache

import torch
from transformers import AutoModelForSeq2SeqLM

from common.cli import InputError
from common.languages import get
from common.lm.loading import DTYPES, load_tokenizer, pick_device, whole_model
from common.progress import Progress
from common.reporting.provenance import model_content_hash
from common.translation.base import Untranslated, respace
from common.translation.sentences import sentence_spans

BATCH_TOKENS = 4096  # source tokens in a batch, padding counted


class EncoderDecoderTranslator:
    """An encoder-decoder model: NLLB, M2M100, or Marian with one model per pair (`opus-mt-{source}-{target}`).

    Texts are translated sentence by sentence, as these models were trained; line ends are kept. A sentence that is too
    long for the model, or whose translation does not end, is split in two at a space.

    Args:
        name: hub name or folder; `{source}` and `{target}` in it stand for the two ISO codes.
        device: auto, cpu, cuda, cuda:N.
        dtype: auto (bfloat16 on a GPU, float32 elsewhere), float32, bfloat16 or float16.
    """

    def __init__(self, name: str, *, device: str = "auto", dtype: str = "auto"):
        if unknown := set(re.findall("{(.*?)}", name)) - {"source", "target"}:
            raise InputError(f"translator {name!r}: {{{min(unknown)}}} is not {{source}} or {{target}}")
        self.name, self.device = name, pick_device(device)
        auto = "bfloat16" if self.device.type == "cuda" else "float32"
        self.dtype = DTYPES[auto if dtype == "auto" else dtype]
        self._load = cache(self._from_pretrained)
        weights = name if "{" in name else model_content_hash(name)
        self.identity = f"model {weights} greedy {str(self.dtype).removeprefix('torch.')}"

    def translate(self, texts: Sequence[str], source: str, target: str) -> list[str]:
        """See Translator. Raises Untranslated, with all other translations, where texts failed."""
        pieces = [(row, text[a:b]) for row, text in enumerate(texts) for a, b in sentence_spans(text, source)]
        reasons: dict[int, str] = {}
        done = self._sentences(pieces, source, target, reasons)
        results = [""] * len(texts)
        for (row, _), translated in zip(pieces, done, strict=True):
            results[row] += translated
        if reasons:
            raise Untranslated([None if row in reasons else text for row, text in enumerate(results)], reasons)
        return results

    def _from_pretrained(self, name: str):
        model = whole_model(AutoModelForSeq2SeqLM, name, dtype=self.dtype)
        return model.to(self.device).eval(), load_tokenizer(name)

    def _sentences(
        self, pieces: Sequence[tuple[int, str]], source: str, target: str, reasons: dict[int, str]
    ) -> list[str]:
        """Translations of (row, sentence) pairs with the white space around them, batched by length, longest first.

        `reasons` gets the rows that fail; what is returned of these is of no use.
        """
        name = self.name.format(source=source, target=target)
        model, tokenizer = self._load(name)
        options = _direction(tokenizer, source, target, name)
        limit = min(tokenizer.model_max_length, getattr(model.config, "max_position_embeddings", 512))
        done = [text for _, text in pieces]
        ids = {i: tokenizer(text.strip()).input_ids for i, (_, text) in enumerate(pieces) if text.strip()}
        too_long = [i for i in ids if len(ids[i]) > limit]
        fitting = sorted((i for i in ids if len(ids[i]) <= limit), key=lambda i: (-len(ids[i]), i))
        with Progress(len(fitting), "sentences") as progress:
            while fitting:
                batch = fitting[: max(1, BATCH_TOKENS // len(ids[fitting[0]]))]
                fitting = fitting[len(batch) :]
                inputs = tokenizer.pad({"input_ids": [ids[i] for i in batch]}, return_tensors="pt").to(self.device)
                longest = inputs.input_ids.shape[1]
                with torch.inference_mode():
                    # One less than the positions, because the start of the decoder takes one.
                    most = min(2 * longest + 20, limit - 1)
                    output = model.generate(
                        **inputs, **options, num_beams=1, do_sample=False, max_new_tokens=most, max_length=None
                    )
                for i, row in zip(batch, output, strict=True):
                    said = [token for token in row[1:].tolist() if token != options.get("forced_bos_token_id")]
                    if model.generation_config.eos_token_id in said:
                        done[i] = respace(pieces[i][1], tokenizer.decode(said, skip_special_tokens=True).strip())
                    else:
                        too_long.append(i)
                progress.update(len(batch))
        for i in sorted(too_long):
            row, text = pieces[i]
            if halves := _halves(text):
                done[i] = "".join(self._sentences([(row, half) for half in halves], source, target, reasons))
            else:
                reasons.setdefault(row, f"{name} cannot translate {text[:60]!r}: it is too long, or has no end")
        for i in ids:
            if not done[i].strip():
                reasons.setdefault(pieces[i][0], f"{name} gave no translation of {pieces[i][1][:60]!r}")
        return done


def _direction(tokenizer, source: str, target: str, name: str) -> dict:
    """Set the tokenizer's source language; returns the arguments of `generate` for the target language."""
    for codes in ((get(source).nllb, get(target).nllb), (f"__{source}__", f"__{target}__")):
        ids = tokenizer.convert_tokens_to_ids(list(codes))  # M2M100's languages are not in its get_vocab()
        if not {None, tokenizer.unk_token_id} & set(ids):
            tokenizer.src_lang = codes[0].strip("_")
            return {"forced_bos_token_id": ids[1]}
    if "Marian" not in type(tokenizer).__name__:
        raise InputError(f"{name}: its tokenizer knows no pair {source}-{target}; use another translator or language")
    return {}


def _halves(text: str) -> list[str]:
    """The text split at the space nearest to its middle; nothing where it has none."""
    spaces = [match.end() for match in re.finditer(r"(?<=\S)\s+(?=\S)", text)]
    if not spaces:
        return []
    middle = min(spaces, key=lambda place: abs(place - len(text) // 2))
    return [text[:middle], text[middle:]]
