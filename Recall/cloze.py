"""Score cloze sentences with candidates in several languages (BMLAMA): accuracy, and consistency of the ranking.

    python Recall/cloze.py --config Recall/configs/cloze.yaml --model MODEL --data DIR --out DIR

DIR holds <language>.tsv with the columns Prompt (one <mask>), Ans, Candidate Ans, row-parallel. A candidate's score is
the mean log-probability per token of the candidate and what follows it. Writes <out>/<language>.csv, accuracy.csv,
rank_consistency.csv (RankC of every pair, arXiv 2310.10378) and its heat map. Interrupted runs resume when rerun.
"""

import csv
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from gaps import gap_scores
from rank_consistency import plot_rankings, rank_consistency
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from common.cli import InputError, comma_list, parse, require_given, require_positive, run
from common.evaluation.prediction import predict
from common.evaluation.resume import by_language
from common.languages import LANGUAGES, get
from common.lm.loading import ModelConfig
from common.reporting.files import write_csv_atomic
from common.reporting.plots import save_figure
from common.reporting.results import save_result
from common.reporting.stats import wilson

MASK = "<mask>"
COLUMNS = ("Prompt", "Ans", "Candidate Ans")
SEPARATOR = ", "  # between candidates


@dataclass(kw_only=True)
class ClozeConfig:
    """Rank the candidates of cloze sentences in several languages.

    Attributes:
        out: folder for tables, heat map and run.json.
        data: folder of <language>.tsv files.
        languages: ISO codes, a list or separated by commas; null is every file.
        limit: only so many first sentences; null is all.
    """

    out: str
    data: str | None = None
    languages: str | list[str] | None = None
    limit: int | None = None

    def __post_init__(self) -> None:
        require_given(self, "data")
        require_positive(self, "limit")


@dataclass(frozen=True)
class Sentence:
    """A sentence with a gap: the text before and behind it, the candidates, and the number of the correct one."""

    id: str
    before: str
    behind: str
    candidates: tuple[str, ...]
    answer: int


def read_cloze(path: Path) -> list[Sentence]:
    """The sentences of one language; InputError naming file and row for what is missing or malformed."""
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: cannot be read: {error}") from error
    if not rows or not set(COLUMNS) <= set(rows[0]):
        raise InputError(f"{path}: no rows under the columns {', '.join(COLUMNS)}, separated by tabs")
    return [sentence_of(row, f"{path}, row {number}", number) for number, row in enumerate(rows, 1)]


def sentence_of(row: dict[str, str | None], where: str, number: int) -> Sentence:
    """One row."""
    prompt, answer, listed = ((row[name] or "").strip() for name in COLUMNS)
    if prompt.count(MASK) != 1:
        raise InputError(f"{where}: {prompt!r} must have one {MASK}")
    candidates = tuple(candidate.strip() for candidate in listed.split(SEPARATOR))
    if len(set(candidates)) < len(candidates) or not all(candidates):
        raise InputError(f"{where}: the candidates {listed!r} are not all different")
    if answer not in candidates:
        raise InputError(f"{where}: the answer {answer!r} is not among the candidates {listed!r}")
    before, behind = prompt.split(MASK)
    return Sentence(f"{number:05d}", before, behind, candidates, candidates.index(answer))


def read_parallel(config: ClozeConfig) -> dict[str, list[Sentence]]:
    """The sentences of every language; InputError where rows differ in number, candidates or answer."""
    folder = Path(config.data)
    codes = (
        comma_list(config.languages) if config.languages else [c for c in LANGUAGES if (folder / f"{c}.tsv").exists()]
    )
    if not codes:
        raise InputError(f"{folder}: no <language>.tsv such as en.tsv")
    for code in codes:
        get(code)
    parallel = {code: read_cloze(folder / f"{code}.tsv") for code in codes}
    first = parallel[codes[0]]
    for code, rows in parallel.items():
        where = folder / f"{code}.tsv"
        if len(rows) != len(first):
            raise InputError(f"{where}: {len(rows)} rows where {codes[0]} has {len(first)}; the rows must be parallel")
        for row, other in zip(rows, first, strict=True):
            if (len(row.candidates), row.answer) != (len(other.candidates), other.answer):
                raise InputError(f"{where}, row {int(row.id)}: other candidates or another answer than in {codes[0]}")
    # A single candidate is always right and always ranked alike.
    kept = [place for place, row in enumerate(first) if len(row.candidates) > 1][: config.limit]
    if not kept:
        raise InputError(f"{folder}: no sentence with two candidates or more, and one alone is always right")
    if len(kept) < len(first) and config.limit is None:
        print(f"note: {len(first) - len(kept)} sentences have a single candidate and are left out")
    return {code: [rows[place] for place in kept] for code, rows in parallel.items()}


def cloze_rows(
    rows: Sequence[Sentence], model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, token_budget: int | None
) -> pd.DataFrame:
    """One row per sentence: numbers of the correct and of the predicted candidate, and all scores, space-separated."""
    scores = gap_scores(
        model,
        tokenizer,
        [row.before for row in rows],
        [row.candidates for row in rows],
        [row.behind for row in rows],
        token_budget,
    )
    best = predict(scores)
    return pd.DataFrame(
        {
            "id": [row.id for row in rows],
            "answer": [row.answer for row in rows],
            "prediction": best,
            "correct": [int(row.answer == place) for row, place in zip(rows, best, strict=True)],
            "scores": [" ".join(f"{value:.6f}" for value in own[~np.isnan(own)]) for own in scores],
        }
    )


def accuracies(tables: dict[str, pd.DataFrame], sentences: Sequence[Sentence]) -> pd.DataFrame:
    """Columns language, n, accuracy, ci_low, ci_high (95% Wilson), chance."""
    chance = float(np.mean([1 / len(row.candidates) for row in sentences]))
    rows = []
    for code, table in tables.items():
        right, n = table["correct"].astype(int).sum(), len(table)
        rows.append((code, n, right / n, *wilson(int(right), n), chance))
    return pd.DataFrame(rows, columns=["language", "n", "accuracy", "ci_low", "ci_high", "chance"])


def rankings(tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """RankC of every pair: columns measure, language_a, language_b, value."""
    scores = {
        code: [[float(cell) for cell in row.split()] for row in table["scores"]] for code, table in tables.items()
    }
    rows = [("RankC", a, b, rank_consistency(scores[a], scores[b])) for a in scores for b in scores]
    return pd.DataFrame(rows, columns=["measure", "language_a", "language_b", "value"])


def main() -> None:
    config, model = parse(ClozeConfig, ModelConfig)
    parallel = read_parallel(config)
    out = Path(config.out)

    def compute(rows, loaded, tokenizer) -> pd.DataFrame:
        return cloze_rows(rows, loaded, tokenizer, model.token_budget)

    def text(row: Sentence) -> str:
        return row.before + "".join(candidate + row.behind for candidate in row.candidates)

    tables = by_language(model, out, asdict(model) | asdict(config), {}, parallel, compute, text)
    if not model.processes().is_main_process:
        return
    accuracy, ranking = accuracies(tables, next(iter(parallel.values()))), rankings(tables)
    written = [out / "accuracy.csv", out / "rank_consistency.csv"]
    for path, table in zip(written, (accuracy, ranking), strict=True):
        write_csv_atomic(path, table, float_format="%.6g")
    written += save_figure(out / "rank_consistency", plot_rankings, ranking)
    save_result(__file__, out / "accuracy", {Path(model.model).name: out}, written)
    print(accuracy.to_string(index=False, float_format="{:.4f}".format))
    print(ranking.pivot(index="language_a", columns="language_b", values="value").round(4).to_string())


if __name__ == "__main__":
    run(main)
