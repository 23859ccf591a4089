"""Move what a model reads of a word towards what it reads of the word's English translations. Nothing is trained.

    python FT/anchor.py --config FT/configs/anchor.yaml --model MODEL --dictionary DIR --out DIR

The input embedding of a word that is one token of its own becomes (1 - weight) of itself and `weight` of the mean over
its translations in the first language, whose embeddings all stay. What the model writes with, its output embeddings,
stays too; where both were one matrix they are two afterwards. `out` gets the model in safetensors with its tokenizer,
`words.csv` (what was moved where), `log.csv` and `run.json`.
The means are those with which WECHSEL (Minixhofer et al., arXiv 2112.06598) begins a model in a new language.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import pandas as pd
import torch
from pairs import pairs_digest
from torch import nn
from train import finished
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from common.cli import InputError, comma_list, config_hash, parse, require_given, run
from common.lm.gguf import unpacked
from common.lm.loading import load, without_weights
from common.reporting.files import claim, write_csv_atomic
from common.reporting.provenance import model_content_hash, now, session, write_run
from common.translation.dictionary import word_pairs


@dataclass
class Anchor:
    """Move the embeddings of words towards those of their translations.

    Attributes:
        model: hub name or folder of a causal LM.
        out: folder of the model that is written.
        dictionary: folder of dictionaries (en-de.tsv).
        languages: ISO codes, a list or separated by commas; the first is the one whose words stay.
        weight: how far a word moves, from 0, not at all, to 1, onto its translations.
    """

    model: str
    out: str
    dictionary: str | None = None
    languages: str | list[str] = "en,de,fr,es,it"
    weight: float = 0.5

    def __post_init__(self) -> None:
        require_given(self, "dictionary")
        if len(comma_list(self.languages)) < 2:
            raise InputError(f"languages is {self.languages!r}; write the language that stays and one more or several")
        if not 0 <= self.weight <= 1:
            raise InputError(f"weight is {self.weight}; it must be from 0 to 1")


def anchors(pairs: Sequence[tuple[str, str]], tokenizer: PreTrainedTokenizerBase) -> dict[int, list[int]]:
    """The tokens that move, and for each the tokens it moves towards.

    A word is taken as it stands at the beginning of a text and within one, as written and with a capital letter, where
    it and its translation are one token each. A token of any word that stays is never moved.

    Args:
        pairs: a word that stays, and its translation, which moves.
    """

    def forms(word: str) -> list[list[int]]:
        spelt = [space + form for space in ("", " ") for form in (word, word[:1].upper() + word[1:])]
        return tokenizer(spelt, add_special_tokens=False, verbose=False).input_ids

    words = {word for pair in pairs for word in pair}
    ids = {word: forms(word) for word in words}
    staying = {token for word, _ in pairs for form in ids[word] for token in form}
    found: dict[int, set[int]] = {}
    for stays, moves in pairs:
        for target, token in zip(ids[stays], ids[moves], strict=True):
            if len(target) == len(token) == 1 and token[0] not in staying:
                found.setdefault(token[0], set()).add(target[0])
    return {token: sorted(targets) for token, targets in sorted(found.items())}


@torch.no_grad()
def move(model: PreTrainedModel, found: dict[int, list[int]], weight: float) -> None:
    """Move the input embeddings; output embeddings that were the same matrix are kept as a copy."""
    embeddings, head = model.get_input_embeddings(), model.get_output_embeddings()
    if head.weight is embeddings.weight:
        head.weight = nn.Parameter(embeddings.weight.clone())
        model.config.get_text_config().tie_word_embeddings = model.config.tie_word_embeddings = False
    for token, targets in found.items():  # in any order: targets stay
        towards = embeddings.weight[targets].float().mean(0)
        embeddings.weight[token] = embeddings.weight[token].float().lerp(towards, weight).to(model.dtype)


def read_dictionaries(source: str, languages: list[str]) -> list[tuple[str, str]]:
    """Words of the first language with their translations; InputError for a folder without one of the languages."""
    first, *others = languages
    pairs = []
    for other in others:
        files = [Path(source, f"{one}-{two}.tsv") for one, two in ((first, other), (other, first))]
        if not (found := [path for path in files if path.exists()]):
            raise InputError(f"{source}: neither {files[0].name} nor {files[1].name}; add one of them")
        pairs += [(one, two) if found[0] == files[0] else (two, one) for one, two in word_pairs(found[0])]
    return pairs


def main() -> None:
    config = parse(Anchor)
    out, start = Path(config.out), now()
    info = {"config": asdict(config), "model": model_content_hash(config.model)}
    info["data"] = pairs_digest(config.dictionary)
    keys = {key: value for key, value in info["config"].items() if key != "out"}
    info["hash"] = config_hash(keys | {key: info[key] for key in ("model", "data")})
    if finished(out, info["hash"]):
        print(f"{out}: up to date")
        return
    model, tokenizer = load(config.model, device="cpu")
    found = anchors(read_dictionaries(config.dictionary, comma_list(config.languages)), tokenizer)
    if not found:
        raise InputError(f"{config.dictionary}: no word in it is one token of {config.model}, as its translation is")
    claim(out)
    if finished(out, info["hash"]):  # by a call that was waited for
        return
    move(model, found, config.weight)
    stated = without_weights(unpacked(config.model), None)[1].dtype  # whatever this CPU computes in
    model.to(stated or model.dtype).save_pretrained(out)
    tokenizer.save_pretrained(out)
    said = [(tokenizer.decode(token), " ".join(map(tokenizer.decode, targets))) for token, targets in found.items()]
    write_csv_atomic(out / "words.csv", pd.DataFrame(said, columns=["word", "towards"]))
    write_csv_atomic(out / "log.csv", pd.DataFrame([{"step": 0, "tokens": 0}]))
    write_run(out, info | session(start) | {"words": len(found)})
    print(f"{out}: {len(found):,} of {len(tokenizer):,} tokens moved")


if __name__ == "__main__":
    run(main)
