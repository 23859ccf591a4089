"""Records: one row per question and setting, one CSV per setting, with run.json beside them; and their summary."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from common.cli import InputError
from common.evaluation.prediction import letters_of, predict
from common.questions import LETTERS, Question
from common.reporting.files import read_text, write_csv_atomic
from common.reporting.provenance import file_digest, read_run
from common.reporting.stats import mcnemar, wilson
from common.settings import family, sort_settings

DECIMALS = 6  # of a log-probability
LOGPROB = "logprob_"  # and a letter: the column of its log-probability
COLUMNS = ["id", "subject", "setting", "question_language", "option_languages", "answer", "prediction", "correct"]


def record_rows(
    items: Sequence[Question],
    setting: str | Sequence[str],
    logprobs: np.ndarray | None = None,
    *,
    lengths: np.ndarray | None = None,
    texts: Sequence[str] | None = None,
    labels: Sequence[Sequence[str]] | None = None,
) -> pd.DataFrame:
    """Records of questions; the prediction is that of `common.evaluation.prediction.predict`.

    Args:
        setting: of all questions, or one each.
        logprobs: [questions, most options] log-probabilities of A, B, ... in nats, NaN for an option that does not
            exist; None where answers were only written. Predictions are made from the rounded values of the record.
        lengths, texts, labels: as in `predict`; with `texts`, `extracted` is 1 where the answer names an option.
    """
    scores = np.full((len(items), 1), np.nan) if logprobs is None else rounded(logprobs)
    predictions = letters_of(predict(scores, lengths=lengths, texts=texts, labels=labels))
    table = pd.DataFrame(
        {
            "id": [item.id for item in items],
            "subject": [item.subject for item in items],
            "setting": setting,
            "question_language": [item.question_language for item in items],
            "option_languages": ["|".join(item.option_languages) for item in items],
            "answer": [item.answer for item in items],
            "prediction": predictions,
            "correct": [int(said == item.answer) for said, item in zip(predictions, items, strict=True)],
        }
    )
    if any(item.context for item in items):
        table.insert(COLUMNS.index("question_language"), "context_language", [item.context_language for item in items])
    if logprobs is not None:
        table[[LOGPROB + letter for letter in LETTERS[: scores.shape[1]]]] = scores
    if texts is not None:
        table["extracted"] = [int(said != "") for said in predictions]
    return table


def rounded(logprobs: np.ndarray) -> np.ndarray:
    """Log-probabilities as written to files."""
    return np.round(logprobs.astype(np.float64), DECIMALS) + 0.0  # + 0.0 turns -0.0 into 0.0


def logprobs_of(records: pd.DataFrame) -> pd.DataFrame:
    """The log-probabilities of records, one column per letter; NaN for an option that does not exist or has none."""
    return records[[name for name in records if name.startswith(LOGPROB)]]


def write_setting(out: Path, table: pd.DataFrame, ids: Sequence[str]) -> dict[str, Any]:
    """Write `<out>/<setting>.csv`, rows in the order of `ids`; returns its entry in run.json: rows and digest.

    Raises InputError where the units do not hold exactly these questions.
    """
    setting = table["setting"].iloc[0]
    if sorted(table["id"]) != sorted(ids):
        raise InputError(f"{out}/units: the records of setting {setting} are not those of the data; delete the folder")
    path = out / f"{setting}.csv"
    # Units of questions with fewer options have fewer of these columns.
    scores = sorted(logprobs_of(table))
    before = [name for name in table if name in (*COLUMNS, "context_language")]
    table = table[[*before, *scores, *table.columns.drop([*before, *scores])]].fillna("")
    write_csv_atomic(path, table.set_index("id", drop=False).loc[list(ids)])
    return {"rows": len(table), "sha256": file_digest(path)}


def each_setting(out: Path, columns: Sequence[str] | None = None) -> Iterator[pd.DataFrame]:
    """The records of a run folder, a setting at a time in table order, all cells text; with `columns`, these alone.

    Raises InputError, naming the file, for a record file that is missing, was changed after it was written, or does
    not belong to the run that run.json describes.
    """
    written = read_run(out).get("records")
    if written is None:
        raise InputError(f"{out}/run.json: a run without records of questions; name the folder of an evaluation")
    if not written:
        raise InputError(f"{out}/run.json: no finished setting; rerun the interrupted evaluation")
    for path in sorted(out.glob("*.csv")):
        if path.stem not in written and path.is_file() and path.read_bytes().startswith(b"id,subject,setting"):
            raise InputError(f"{path}: not of the run that run.json describes; delete it or evaluate its setting again")
    for setting in sort_settings(written):
        path = out / f"{setting}.csv"
        if not path.exists() or file_digest(path) != written[setting]["sha256"]:
            raise InputError(f"{path}: not the file that run.json describes; run the evaluation again to rewrite it")
        yield read_text(path, usecols=columns)


def load_records(out: Path) -> pd.DataFrame:
    """All records of a run folder in table order; `correct` is int, log-probabilities float64. As `each_setting`."""
    records = pd.concat(each_setting(Path(out)), ignore_index=True).fillna("")
    scores = list(logprobs_of(records))
    records[scores] = records[scores].replace("", np.nan)
    return records.astype({"correct": int} | dict.fromkeys(scores, float))


def paired_correct(records: pd.DataFrame, setting: str, other: str) -> tuple[np.ndarray, np.ndarray]:
    """`correct` of two settings of one run, in the same order, [n] each; InputError where their questions differ."""
    a, b = (records.loc[records["setting"] == name].set_index("id")["correct"] for name in (setting, other))
    if len(a) != len(b) or not b.index.isin(a.index).all():
        raise InputError(f"settings {setting} and {other} have different questions; evaluate both on the same data")
    return a.to_numpy(), b.loc[a.index].to_numpy()


def summarize(records: pd.DataFrame) -> pd.DataFrame:
    """Accuracy of each setting, in table order, as fractions.

    Columns: setting, n, accuracy, ci_low, ci_high (95% Wilson), delta_vs_en (accuracy minus that in English),
    p_mcnemar (exact, same questions in English). The last two are NaN without `en`, and in the row of `en`.
    """
    settings = sort_settings(records["setting"].unique())
    rows = []
    for setting in settings:
        correct = records.loc[records["setting"] == setting, "correct"]
        low, high = wilson(int(correct.sum()), len(correct))
        delta = p = float("nan")
        if "en" in settings and setting != "en":
            here, english = paired_correct(records, setting, "en")
            delta, p = here.mean() - english.mean(), mcnemar(here, english)
        rows.append((setting, len(correct), correct.mean(), low, high, delta, p))
    return pd.DataFrame(rows, columns=["setting", "n", "accuracy", "ci_low", "ci_high", "delta_vs_en", "p_mcnemar"])


def by_language(records: pd.DataFrame) -> pd.DataFrame:
    """`summarize` of the settings in one language, with a column `language` in front: en, then the languages of full_*.

    The paired test of a language is against the same questions in English.
    """
    table = summarize(records[records["setting"].map(lambda name: family(name)[0] in ("en", "full"))])
    table.insert(0, "language", [family(name)[1] or "en" for name in table["setting"]])
    return table.drop(columns="setting")


def write_summaries(out: Path, category: Callable[[str], str]) -> pd.DataFrame:
    """Write summary.csv and summary_by_category.csv of a run folder; returns the first."""
    found, english = {"": []}, pd.DataFrame()
    for table in each_setting(out, ["id", "subject", "setting", "correct"]):
        records, setting = pd.concat([english, table.astype({"correct": int})]), table["setting"].iloc[0]
        english = records if setting == "en" else english
        parts = records.groupby(records["subject"].map(category))
        for name, rows in [("", records), *parts]:
            found.setdefault(name, []).append(summarize(rows).query("setting == @setting"))
    summary = pd.concat(found.pop(""))
    by_category = pd.concat({name: pd.concat(found[name]) for name in sorted(found)}, names=["category"])
    write_csv_atomic(out / "summary_by_category.csv", by_category.reset_index(0), float_format="%.6g")
    write_csv_atomic(out / "summary.csv", summary, float_format="%.6g")
    return summary
