"""Alignment that predicts: MEXA, the share of sentences whose translation is nearest both ways, layer by layer.

    python Translation/mexa.py --model assets/world --sentences DIR --out DIR --run MMLU/results/zero_shot/world

A pair of parallel sentences counts if its cosine is strictly the largest of its row and of its column (Kargaran et al.,
arXiv 2410.05873; cisnlp/MEXA, compute_mexa.py), with two embeddings of a sentence: the mean of its tokens weighted by
their positions 1, 2, ..., and its last token, special tokens included. Over layers the mean and the largest are taken.
With --run, the correlation over languages of MEXA with English and accuracy in that run. Writes scores.csv (layer and
pair), sentences.csv (each sentence with English, weighted mean), languages.csv, correlation.csv and plots.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from hidden_states import at_positions, batches, forward, weighted
from matplotlib.figure import Figure
from scipy.stats import norm, pearsonr, spearmanr
from systems import languages_of, read_sentences

from common.cli import InputError, comma_list, config_hash, parse, require_positive, run
from common.evaluation.records import by_language, load_records
from common.languages import get
from common.lm.loading import load
from common.plan import Work, planning, say_plan
from common.progress import Progress
from common.questions import read_questions
from common.reporting.files import claim, read_csv, write_csv_atomic
from common.reporting.plots import PAGE, add_legend, language_style, plot_curves, save_figure
from common.reporting.provenance import file_digest, model_content_hash, now, read_run, session, write_run
from common.reporting.results import save_result
from common.reporting.stats import LEVEL, wilson
from common.settings import family, label, settings_in

EMBEDDINGS = ("weighted", "last")
POOLS = ("mean", "max")  # over layers
PIVOT = "en"
FILES = ("scores.csv", "sentences.csv")
FEWEST = 8  # languages for a correlation


@dataclass
class Mexa:
    """Measure how well sentences are aligned with their translations.

    Attributes:
        model: hub name or folder of a causal LM.
        out: folder to write to.
        sentences: folder of parallel <code>.devtest, a data set (openlanguagedata/flores_plus), or a folder of
            MMLU/build_variants.py, whose questions (en.csv, full_de.csv, ...) are the sentences.
        languages: ISO codes, a list or separated by commas; null: every one of a folder, the paper's of a hub data set.
        count: number of sentences, the first ones.
        run: run folder of MMLU/evaluate_mmlu.py with full_*, whose accuracies are set beside MEXA; null: none.
        dtype: auto (as the model's configuration says), float32, bfloat16 or float16.
        device: auto, cpu, cuda, cuda:N, or map to spread the layers over all GPUs.
    """

    model: str
    out: str
    sentences: str | None = None
    languages: str | list[str] | None = None
    count: int = 100
    run: str | None = None
    dtype: str = "auto"
    device: str = "auto"

    def __post_init__(self) -> None:
        require_positive(self, "count")
        if self.sentences is None:
            raise InputError("sentences is missing: name it in the YAML file or with --sentences")


def parallel_sentences(config: Mexa) -> dict[str, list[str]]:
    """The first sentences of each language, English first; InputError where they are not parallel."""
    folder = Path(config.sentences)
    if (folder / f"{PIVOT}.csv").is_file():
        names = {family(name)[1] or PIVOT: name for name in settings_in(folder) if family(name)[0] in (PIVOT, "full")}
    else:
        names = dict.fromkeys(languages_of(config.sentences, ("en", "de", "fr", "es", "it")))
    if config.languages:
        wanted = [get(code).code for code in comma_list(config.languages)]
        names = {code: names.get(code, f"full_{code}") for code in dict.fromkeys([PIVOT, *wanted])}
    found = {}
    for code in sorted(names, key=lambda code: code != PIVOT):
        if (folder / f"{PIVOT}.csv").is_file():
            lines = [item.question for item in read_questions(folder / f"{names[code]}.csv")]
        else:
            lines = read_sentences(config.sentences, code)
        found[code] = lines
    lengths = ", ".join(f"{code} {len(lines)}" for code, lines in found.items())
    if PIVOT not in found or len(found) < 2 or len(set(map(len, found.values()))) != 1:
        raise InputError(f"{config.sentences}: English and another language with as many sentences each, not {lengths}")
    found = {code: [line.strip() for line in lines[: config.count]] for code, lines in found.items()}
    for code, lines in found.items():
        if "" in lines:
            raise InputError(f"{config.sentences}, {code}: sentence {lines.index('') + 1} is empty; write one")
    if len(found[PIVOT]) < 2:
        raise InputError(f"{config.sentences}: one sentence, which is nearest to any; two or more are needed")
    return found


@torch.inference_mode()
def embeddings(model, ids: Sequence[Sequence[int]]) -> np.ndarray:
    """float64 [embeddings, sentences, layers + 1, size] in the order of EMBEDDINGS; layer 0 is before the first."""
    result: np.ndarray | None = None
    for rows in batches(ids, model):
        states, mask = forward(model, [ids[row] for row in rows])
        by_place = weighted(states, mask * torch.arange(1, mask.shape[1] + 1))
        found = np.stack([by_place, at_positions(states, mask.sum(1).long() - 1)]).astype(float)
        if not np.isfinite(found).all():
            raise InputError("the model's hidden states overflow or are no numbers; use --dtype float32")
        if result is None:
            result = np.empty((len(EMBEDDINGS), len(ids), *found.shape[2:]))
        result[:, rows] = found
    return result


def mexa(cosines: np.ndarray) -> int:
    """Number of pairs that are aligned."""
    return int(aligned(cosines).sum())


def aligned(cosines: np.ndarray) -> np.ndarray:
    """Whether the cosine of each pair, [sentences, sentences], is strictly the largest of its row and of its column."""
    own = np.diagonal(cosines)
    others = np.where(np.eye(len(cosines), dtype=bool), -np.inf, cosines)
    return (own > others.max(axis=0)) & (own > others.max(axis=1))


def scores_of(vectors: dict[str, np.ndarray]) -> pd.DataFrame:
    """One row per embedding, pair of languages and layer: n sentences, mexa with its 95% Wilson interval."""
    units = {code: own / np.linalg.norm(own, axis=-1, keepdims=True) for code, own in vectors.items()}
    rows = []
    for one, other in combinations(units, 2):
        for place, embedding in enumerate(EMBEDDINGS):
            for layer in range(units[one].shape[2]):
                cosines = units[one][place, :, layer] @ units[other][place, :, layer].T
                n, found = len(cosines), mexa(cosines)
                row = {
                    "embedding": embedding,
                    "language": one,
                    "other": other,
                    "layer": layer,
                    "n": n,
                    "mexa": found / n,
                }
                rows.append(row | dict(zip(("ci_low", "ci_high"), wilson(found, n), strict=True)))
    return pd.DataFrame(rows)


def sentences_of(vectors: dict[str, np.ndarray]) -> pd.DataFrame:
    """One row per language, layer and sentence: whether it is aligned with English by the position-weighted mean."""
    tables = []
    english, *others = (
        (code, own[0] / np.linalg.norm(own[0], axis=-1, keepdims=True)) for code, own in vectors.items()
    )
    for code, own in others:
        for layer in range(own.shape[1]):
            found = aligned(english[1][:, layer] @ own[:, layer].T)
            columns = {"language": code, "layer": layer, "sentence": range(1, len(found) + 1)}
            tables.append(pd.DataFrame(columns | {"aligned": found.astype(int)}))
    return pd.concat(tables, ignore_index=True)


def by_pool(scores: pd.DataFrame) -> pd.DataFrame:
    """MEXA of each language with English, the mean and the largest over layers: embedding, pool, language, mexa."""
    english = scores[scores["language"] == PIVOT]
    grouped = english.groupby(["embedding", "other"], sort=False)["mexa"]
    tables = [grouped.agg(pool).reset_index().assign(pool=pool) for pool in POOLS]
    table = pd.concat(tables, ignore_index=True).rename(columns={"other": "language"})
    return table[["embedding", "pool", "language", "mexa"]]


def with_accuracy(table: pd.DataFrame, folder: str) -> pd.DataFrame:
    """The table with n and accuracy in a run, languages of both; InputError where there is none."""
    accuracy = by_language(load_records(Path(folder)))[["language", "n", "accuracy", "ci_low", "ci_high"]]
    joined = table.merge(accuracy, on="language")
    if joined.empty:
        raise InputError(f"{folder}: no full_<language> of a language of the sentences; evaluate with --settings full")
    return joined


def correlations(table: pd.DataFrame) -> pd.DataFrame:
    """Over languages, by embedding and pool: their number, pearson and spearman with 95% intervals and p.

    Intervals by Fisher's z, for Spearman with Fieller's variance 1.06 / (n - 3). Nothing for fewer than FEWEST
    languages, or where one of the two is the same everywhere.
    """
    rows = []
    for (embedding, pool), own in table.groupby(["embedding", "pool"], sort=False):
        n, row = len(own), {"embedding": embedding, "pool": pool}
        if n < FEWEST or own["mexa"].nunique() < 2 or own["accuracy"].nunique() < 2:
            continue
        row["languages"] = n
        for name, test, spread in (("pearson", pearsonr, 1.0), ("spearman", spearmanr, 1.06)):
            found = test(own["mexa"], own["accuracy"])
            middle = np.arctanh(np.clip(found.statistic, -1 + 1e-12, 1 - 1e-12))
            reach = norm.ppf((1 + LEVEL) / 2) * np.sqrt(spread / (n - 3))
            row |= {name: found.statistic, f"{name}_low": np.tanh(middle - reach)}
            row |= {f"{name}_high": np.tanh(middle + reach), f"{name}_p": found.pvalue}
        rows.append(row)
    return pd.DataFrame(rows)


def sentence_of(table: pd.DataFrame, found: pd.DataFrame, asked: bool) -> str:
    """The finding in words."""
    own = table[(table["embedding"] == EMBEDDINGS[0]) & (table["pool"] == POOLS[0])].sort_values("mexa")
    low, high = own.iloc[0], own.iloc[-1]
    said = (
        f"MEXA with English, mean over layers, is {low['mexa']:.3f} ({low['language']}) to {high['mexa']:.3f}"
        f" ({high['language']})"
    )
    alike = found[(found["embedding"] == EMBEDDINGS[0]) & (found["pool"] == POOLS[0])] if len(found) else found
    if len(alike):
        row = alike.iloc[0]
        verdict = "predicts accuracy" if row["pearson_low"] > 0 else "cannot be shown to predict accuracy"
        both = ", ".join(
            f"{name.capitalize()} {row[name]:.2f} [{row[f'{name}_low']:.2f}, {row[f'{name}_high']:.2f}]"
            for name in ("pearson", "spearman")
        )
        return f"{said}; it {verdict}: {both} over {row['languages']} languages."
    return f"{said}." + (f" A correlation needs {FEWEST} languages that differ, these are {len(own)}." if asked else "")


def plot_accuracy(table: pd.DataFrame) -> Figure:
    """Accuracy against MEXA, a mark a language, a panel an embedding; mean over layers."""
    figure = Figure(figsize=(PAGE, 2.8), layout="constrained")
    axes = figure.subplots(1, len(EMBEDDINGS), sharey=True)
    codes = list(table["language"].unique())
    for axis, embedding in zip(axes, EMBEDDINGS, strict=True):
        for row in table[(table["embedding"] == embedding) & (table["pool"] == POOLS[0])].itertuples():
            style = language_style(row.language, codes)
            axis.plot(row.mexa, 100 * row.accuracy, linestyle="none", label=label(row.language), **style)
        axis.set_title(f"embedding {embedding}")
        axis.set_xlabel("MEXA, mean over layers")
    axes[0].set_ylabel("accuracy (%)")
    add_legend(figure, axes)
    return figure


def is_done(out: Path, digest: str) -> bool:
    """Whether the scores of this configuration are there, as they were written."""
    old = read_run(out) if (out / "run.json").exists() else {}
    files = {name: file_digest(out / name) for name in FILES if (out / name).exists()}
    return old.get("hash") == digest and old["files"] == files


def compute(config: Mexa, sentences: dict[str, list[str]], digest: str) -> pd.DataFrame:
    """The scores of a run, computed unless they are there; writes scores.csv and sentences.csv."""
    out = Path(config.out)
    paths = [out / name for name in FILES]
    if (out / "run.json").exists() and read_run(out).get("hash") != digest:
        raise InputError(f"{out}: holds scores of another model, data or config; use another --out or delete it")
    if is_done(out, digest):
        return read_csv(paths[0])
    start = now()
    model, tokenizer = load(config.model, dtype=config.dtype, device=config.device)
    vectors = {}
    with Progress(len(sentences), "languages") as progress:
        for code, lines in sentences.items():
            vectors[code] = embeddings(model, tokenizer(lines).input_ids)
            progress.update()
    for path, table in zip(paths, (scores_of(vectors), sentences_of(vectors)), strict=True):
        write_csv_atomic(path, table, "%.6g")
    files = {path.name: file_digest(path) for path in paths}
    info = {"config": asdict(config), "hash": digest, "model": config.model, "files": files}
    write_run(out, info | session(start))
    return read_csv(paths[0])


def main() -> None:
    config = parse(Mexa)
    sentences, out = parallel_sentences(config), Path(config.out)
    keys = {"count": config.count, "dtype": config.dtype, "sentences": sentences}
    digest = config_hash(keys | {"model": model_content_hash(config.model)})
    if planning():
        say_plan(Work.of([] if is_done(out, digest) else [line for lines in sentences.values() for line in lines]))
    claim(out)
    scores = compute(config, sentences, digest)
    table = by_pool(scores)
    if config.run:
        table = with_accuracy(table, config.run)
        asked = read_run(config.run)["model"]
        if asked.get("content_hash") != model_content_hash(config.model):
            print(f"note: {config.run}: answered by {asked['name']}, whose weights are not those of {config.model}")
    found = correlations(table) if config.run else pd.DataFrame()
    files = {"languages.csv": table} | ({"correlation.csv": found} if len(found) else {})
    for name, own in files.items():
        write_csv_atomic(out / name, own, "%.6g")
    curves = scores[scores["language"] == PIVOT].assign(model=config.model)
    written = [*(out / name for name in files), out / "scores.csv", out / "sentences.csv"]
    written += save_figure(out / "mexa", plot_curves, curves, "mexa", "other", "embedding", "MEXA with English")
    if config.run:
        written += save_figure(out / "accuracy", plot_accuracy, table)
    sentence = sentence_of(table, found, bool(config.run))
    runs = {Path(config.model).name: out} | ({"accuracy": config.run} if config.run else {})
    save_result(__file__, out / "languages", runs, written, sentence)
    print(sentence)


if __name__ == "__main__":
    run(main)
