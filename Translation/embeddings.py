"""How close mixed-language text stays to its English original in a model's hidden states, layer by layer.

    python Translation/embeddings.py --models world=assets/world --passages FILE --dictionary DIR --out DIR

Each passage is changed at random, at every rate and in four ways: words translated into other languages (`mixed`),
tokens replaced (`random_token`), tokens left out (`dropout`), and words replaced by unrelated words of those languages
(`random_word`). The cosine similarity to the original is compared in every layer. With --sentences, also how often the
nearest neighbour of a sentence is its translation. Writes <name>/cosines.csv and <name>/retrieval.csv for each model,
then summary.csv, retrieval.csv and plots over all models.
"""

from dataclasses import asdict, dataclass, field
from functools import partial
from itertools import permutations
from pathlib import Path

import numpy as np
import pandas as pd
from hidden_states import Pooling, pooled_states
from passages import dropped_tokens, mixed_language, random_words, read_passages, replaced_tokens, share_replaced
from plots import plot_similarities
from scipy.stats import ttest_rel
from statsmodels.stats.multitest import multipletests
from systems import languages_of, read_sentences

from common.cli import InputError, comma_list, config_hash, named_list, parse, require_given, run
from common.corpus import corpus_digest
from common.languages import PAPER, get
from common.lm.loading import load
from common.plan import Work, planning, say_plan
from common.progress import Progress
from common.reporting.files import claim, read_csv, write_csv_atomic, write_text_atomic
from common.reporting.plots import plot_curves, save_figure
from common.reporting.provenance import file_digest, model_content_hash, now, read_run, session, write_run
from common.reporting.results import save_result
from common.reporting.stats import wilson
from common.reporting.tables import from_frame
from common.translation.base import Translator
from common.translation.factory import make_translator

BASELINES = ("random_token", "dropout", "random_word")


@dataclass
class Embeddings:
    """Compare hidden states of changed passages with those of the originals.

    Attributes:
        models: such as before=MODEL,after=FT/results/MODEL; a list or separated by commas.
        out: folder to write to.
        passages: WikiText file or any text, one passage per line; hub name or folder of a data set.
        subset: configuration of the data set.
        split: split of the data set.
        detokenize: undo WikiText's tokenization; null is false.
        count: number of passages, drawn at random.
        languages: ISO codes that words are translated into, a list or separated by commas; English is left out.
        rates: shares of words or tokens that are changed.
        translator: translator of single words, see common/translation/factory.py.
        dictionary: folder of en-de.tsv and so on, for the translator `dictionary`.
        pooling: mean over tokens, or the last token.
        sentences: folder of parallel <code>.devtest, or a data set (openlanguagedata/flores_plus); null: no retrieval.
        dtype: auto (as the model's configuration says), float32, bfloat16 or float16.
        device: auto, cpu, cuda, cuda:N, or map to spread the layers over all GPUs.
        seed: seed of passages and changes.
    """

    models: str | list[str]
    out: str
    passages: str | None = None
    subset: str | None = None
    split: str = "train"
    detokenize: bool | None = None
    count: int = 1000
    languages: str | list[str] = ",".join(PAPER[1:])
    rates: list[float] = field(default_factory=lambda: [0.16, 0.8])
    translator: str = "dictionary"
    dictionary: str | None = None
    pooling: Pooling = "mean"
    sentences: str | None = None
    dtype: str = "auto"
    device: str = "auto"
    seed: int = 42

    def __post_init__(self) -> None:
        require_given(self, "passages")
        wrong = next((rate for rate in self.rates if not 0 < rate <= 1), None)
        if wrong is not None or not self.rates:
            raise InputError(f"rates: {wrong} is not a share above 0 and up to 1")
        if self.count < 2:
            raise InputError("count must be 2 or more, for a paired test")
        if not self.targets:
            raise InputError("languages: name one besides English, which words are translated from")

    @property
    def targets(self) -> list[str]:
        return [get(code).code for code in comma_list(self.languages) if code != "en"]


def changed(passages: list[str], rate: float, config: Embeddings, translator: Translator) -> dict[str, list[str]]:
    """The two variants that replace words."""
    return {
        "mixed": mixed_language(passages, rate, config.targets, translator, config.seed),
        "random_word": random_words(passages, rate, config.targets, translator, config.seed),
    }


def similarities(
    name: str,
    passages: list[str],
    texts: dict[float, dict[str, list[str]]],
    config: Embeddings,
    progress: Progress,
):
    """Model, tokenizer, and a table with the cosine to the original: one row per passage, rate, variant and layer.

    Its column `replaced` is the share of the passage's words that the variant really changes.
    """
    model, tokenizer = load(name, dtype=config.dtype, device=config.device)
    encode = tokenizer(passages).input_ids
    skip = tokenizer.all_special_ids
    read = partial(tokenizer.batch_decode, skip_special_tokens=True)
    original = pooled_states(model, encode, config.pooling, skip=skip)
    progress.update()
    tables = []
    for rate, words in texts.items():
        variants = {kind: tokenizer(changed_texts).input_ids for kind, changed_texts in words.items()}
        variants["random_token"] = replaced_tokens(encode, rate, tokenizer, config.seed)
        variants["dropout"] = dropped_tokens(encode, rate, tokenizer, config.seed)
        for variant, ids in variants.items():
            cosines = cosine(original, pooled_states(model, ids, config.pooling, skip=skip))
            count, layers = cosines.shape
            copies = (passages, words[variant]) if variant in words else (read(encode), read(ids))
            shares = [share_replaced(*pair) for pair in zip(*copies, strict=True)]
            grid = {"passage": np.repeat(np.arange(count), layers), "layer": np.tile(np.arange(layers), count)}
            grid |= {"rate": rate, "variant": variant, "replaced": np.repeat(shares, layers)}
            tables.append(pd.DataFrame(grid | {"cosine": cosines.ravel()}))
            progress.update()
    return model, tokenizer, pd.concat(tables, ignore_index=True)


def cosine(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Cosine of vectors [..., size], over the last axis."""
    norms = np.linalg.norm(a, axis=-1) * np.linalg.norm(b, axis=-1)
    return (a * b).sum(-1) / norms


def retrieval(
    model, tokenizer, sentences: dict[str, list[str]], config: Embeddings, progress: Progress
) -> pd.DataFrame:
    """Share of sentences whose nearest neighbour is their translation, for each pair of languages and layer."""
    vectors = {}
    for language, texts in sentences.items():
        states = pooled_states(model, tokenizer(texts).input_ids, config.pooling, skip=tokenizer.all_special_ids)
        vectors[language] = states / np.linalg.norm(states, axis=-1, keepdims=True)
        progress.update()
    rows = []
    for source, target in permutations(sentences, 2):
        for layer in range(vectors[source].shape[1]):
            nearest = (vectors[source][:, layer] @ vectors[target][:, layer].T).argmax(1)
            n, right = len(nearest), int((nearest == np.arange(len(nearest))).sum())
            low, high = wilson(right, n)
            row = {"source": source, "target": target, "layer": layer, "n": n, "accuracy": right / n}
            rows.append(row | {"ci_low": low, "ci_high": high})
    return pd.DataFrame(rows)


def summarize(records: pd.DataFrame) -> pd.DataFrame:
    """Mean cosines by rate and layer, mixed text against every baseline: a paired t-test over passages.

    `effect` is Cohen's d of the differences; `p_holm` is corrected over the layers of one rate and baseline.
    """
    rows = []
    for rate, of_rate in records.groupby("rate"):
        wide = of_rate.pivot(index="passage", columns=["variant", "layer"], values="cosine")
        for baseline in BASELINES:
            tests = []
            for layer in wide["mixed"].columns:
                a, b = wide["mixed"][layer].to_numpy(), wide[baseline][layer].to_numpy()
                test, spread = ttest_rel(a, b), (a - b).std(ddof=1)
                low, high = test.confidence_interval(0.95)
                row = {"rate": rate, "baseline": baseline, "layer": layer, "n": len(a), "mixed": a.mean()}
                row |= {"cosine": b.mean(), "difference": (a - b).mean(), "ci_low": low, "ci_high": high}
                tests.append(row | {"effect": (a - b).mean() / spread if spread else np.nan, "p": test.pvalue})
            corrected = multipletests([test["p"] for test in tests], method="holm")[1]
            rows += [test | {"p_holm": p} for test, p in zip(tests, corrected, strict=True)]
    return pd.DataFrame(rows)


def parallel_sentences(config: Embeddings) -> dict[str, list[str]]:
    """The parallel sentences by language; {} where none are configured."""
    if config.sentences is None:
        return {}
    codes = languages_of(config.sentences, ["en", *config.targets])
    found = {code: read_sentences(config.sentences, code) for code in codes}
    for code, lines in found.items():
        if empty := next((number for number, line in enumerate(lines, 1) if not line.strip()), None):
            raise InputError(
                f"{config.sentences}, {code}: sentence {empty} is empty; write one, or cut it in each file"
            )
    if len(found) < 2 or len(set(map(len, found.values()))) != 1:
        lengths = ", ".join(f"{code} {len(lines)}" for code, lines in found.items())
        raise InputError(f"{config.sentences}: needs two or more languages with as many sentences each, not {lengths}")
    return found


def main() -> None:
    config = parse(Embeddings)
    models, out = named_list(config.models, "models"), Path(config.out)
    if wrong := next((label for label in models if "/" in label or label.startswith(".")), None):
        raise InputError(f"models: {wrong!r} is the name of a folder in --out; write it without / and . in front")
    if (out / "run.json").exists():
        raise InputError(f"{out}: holds a run of another script; name another --out")
    weights = {label: model_content_hash(name) for label, name in models.items()}
    sentences = parallel_sentences(config)
    source = (config.passages, config.subset, config.split)
    passages = read_passages(*source, config.count, config.seed, bool(config.detokenize))
    if planning():
        left = sum(not (out / label / "run.json").exists() for label in models)
        copies = 1 + len(config.rates) * (1 + len(BASELINES))
        texts_read = [*passages * copies, *(text for lines in sentences.values() for text in lines)] * left
        say_plan(Work.of(texts_read))
    for folder in (out, *(out / label for label in models)):
        claim(folder)
    translator = make_translator(
        config.translator,
        dictionary=config.dictionary,
        cache_file=str(out / "translations.sqlite"),
        device=config.device,
    )
    texts = {rate: changed(passages, rate, config, translator) for rate in config.rates}
    data = {"passages": corpus_digest(*source), "translator": translator.identity}
    data |= {code: config_hash({"sentences": lines}) for code, lines in sentences.items()}
    settings = {k: v for k, v in asdict(config).items() if k not in ("models", "out", "device", "detokenize")}
    settings |= {} if config.detokenize else {"detokenize": False}  # as before there was the key
    digests = {label: config_hash(settings | {"data": data, "model": weights[label]}) for label in models}
    for label, digest in digests.items():
        if (out / label / "run.json").exists() and read_run(out / label).get("hash") != digest:
            raise InputError(
                f"{out / label}: holds records of another model, data or config; use another --out or delete it"
            )
    all_records, all_retrieval = [], []
    for label, name in models.items():
        folder = out / label
        if not (folder / "run.json").exists():
            start = now()
            with Progress(1 + 4 * len(texts) + len(sentences), "sets of texts") as progress:
                model, tokenizer, records = similarities(name, passages, texts, config, progress)
                write_csv_atomic(folder / "cosines.csv", records, float_format="%.6f")
                if sentences:
                    found = retrieval(model, tokenizer, sentences, config, progress)
                    write_csv_atomic(folder / "retrieval.csv", found)
            files = {
                file: file_digest(folder / file) for file in ("cosines.csv", "retrieval.csv")[: 1 + bool(sentences)]
            }
            info = {"config": asdict(config), "hash": digests[label], "model": name, "data": data, "files": files}
            write_run(folder, info | session(start))
        all_records.append(read_table(folder, "cosines.csv").assign(model=label))
        if sentences:
            all_retrieval.append(read_table(folder, "retrieval.csv").assign(model=label))
    written = report(pd.concat(all_records), pd.concat(all_retrieval) if sentences else None, out)
    written += [out / label / "cosines.csv" for label in models]
    save_result(__file__, out / "summary", {label: out / label for label in models}, written)


def read_table(folder: Path, name: str) -> pd.DataFrame:
    """A table of a finished model; InputError where it is not as it was written."""
    if file_digest(folder / name) != read_run(folder)["files"][name]:
        raise InputError(f"{folder / name}: cut short or changed; delete {folder}, and run the same command again")
    return read_csv(folder / name)


def report(records: pd.DataFrame, found: pd.DataFrame | None, out: Path) -> list[Path]:
    """Write the tables and plots over all models, from their records alone; returns the files."""
    tables = [summarize(own).assign(model=label) for label, own in records.groupby("model", sort=False)]
    summary = pd.concat(tables)[["model", *tables[0].columns.drop("model")]]
    write_csv_atomic(out / "summary.csv", summary)
    written = save_figure(out / "similarity", plot_curves, records, "cosine", "variant", "rate", "cosine similarity")
    written += save_figure(out / "distribution", plot_similarities, records)
    if found is not None:
        write_csv_atomic(out / "retrieval.csv", found)
        keys = ("accuracy", "target", "source", "translations found (fraction)")
        written += save_figure(out / "retrieval", plot_curves, found, *keys)
    layer = summary["layer"].max() // 2
    middle = summary[summary["layer"] == layer].drop(columns="layer")
    lines = [f"# Mixed-language text against its baselines, layer {layer} of {summary['layer'].max()}", ""]
    write_text_atomic(out / "summary.md", "\n".join([*lines, *from_frame(middle, "{:.4g}")]) + "\n")
    print(middle.to_string(index=False, float_format="{:.4g}".format))
    print(f"{out}/summary.csv")
    return [out / "summary.md", out / "summary.csv", *written]


if __name__ == "__main__":
    run(main)
