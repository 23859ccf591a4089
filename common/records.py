"""Records: one row per question and setting, one CSV per setting, with run.json beside them; and their summary.

records = load_records("MMLU/results/world")  # every setting of a run, checked against its run.json
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from common.choices import LETTERS, Item, family, sort_settings
from common.errors import InputError
from common.files import write_csv_atomic
from common.provenance import file_digest
from common.stats import mcnemar, wilson
from common.units import DECIMALS, read_text

LOGPROBS = [f"logprob_{letter}" for letter in LETTERS]
COLUMNS = ["id", "subject", "setting", "question_language", "option_languages", "answer", "prediction", "correct"]


def record_rows(
    items: Sequence[Item], setting: str, logprobs: np.ndarray, divisors: np.ndarray | None = None
) -> pd.DataFrame:
    """Records of questions in one setting.

    Args:
        logprobs: [len(items), 4] log-probabilities of A to D in nats.
        divisors: [len(items), 4] what each is divided by before the largest is the prediction; default 1.

    The prediction is made from the rounded numbers in the record, the first letter winning a tie. Raises InputError
    where a log-probability is not a number.
    """
    if np.isnan(logprobs).any():
        bad = items[int(np.flatnonzero(np.isnan(logprobs).any(axis=1))[0])]
        raise InputError(f"question {bad.id} in setting {setting}: the model gives NaN; try --dtype float32")
    rounded = np.round(logprobs.astype(np.float64), DECIMALS) + 0.0  # + 0.0 turns -0.0 into 0.0
    best = np.argmax(rounded if divisors is None else rounded / divisors, axis=1)
    table = question_rows(items, setting, [LETTERS[index] for index in best])
    table[LOGPROBS] = rounded
    return table


def question_rows(items: Sequence[Item], setting: str, predictions: Sequence[str]) -> pd.DataFrame:
    """Records of questions in one setting without log-probabilities; a prediction is a letter, or "" for none."""
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
    return table


def write_setting(out: Path, table: pd.DataFrame, ids: Sequence[str]) -> dict[str, Any]:
    """Write `<out>/<setting>.csv`, rows in the order of `ids`; returns what run.json says of it: rows and digest.

    Raises InputError where the units do not hold exactly these questions.
    """
    setting = table["setting"].iloc[0]
    if sorted(table["id"]) != sorted(ids):
        raise InputError(f"{out}/units: the records of setting {setting} are not those of the data; delete the folder")
    path = out / f"{setting}.csv"
    write_csv_atomic(path, table.set_index("id", drop=False).loc[list(ids)])
    return {"rows": len(table), "sha256": file_digest(path)}


def read_run(out: Path) -> dict[str, Any]:
    """`run.json` of a run folder; InputError where it is missing or of something else."""
    path = Path(out) / "run.json"
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; make the records with evaluate.py first") from None
    except ValueError as error:
        raise InputError(f"{path}: not JSON ({error}); run evaluate.py again") from error
    if not isinstance(found, dict):
        raise InputError(f"{path}: not the run.json of a run of ours; name another folder")
    return found


def load_records(out: Path) -> pd.DataFrame:
    """All records of a run folder, settings in table order, `correct` as int and log-probabilities, if any, as float64.

    Raises InputError, naming the file, for a record file that is missing, changed or cut since it was written, or that
    belongs to another configuration or run than run.json.
    """
    out = Path(out)
    written = read_run(out).get("records")
    if written is None:
        raise InputError(f"{out}/run.json: a run without records of questions; name a folder of evaluate.py")
    tables = []
    for setting in sort_settings(written):
        path = out / f"{setting}.csv"
        if not path.exists() or file_digest(path) != written[setting]["sha256"]:
            raise InputError(f"{path}: not the file that run.json describes; run evaluate.py again to write it anew")
        tables.append(read_text(path))
    for path in sorted(out.glob("*.csv")):
        if path.stem not in written and path.open(encoding="utf-8").readline().startswith("id,subject,setting"):
            raise InputError(f"{path}: not of the run that run.json describes; delete it or evaluate its setting again")
    if not tables:
        raise InputError(f"{out}/run.json: no finished setting; let evaluate.py run to its end")
    records = pd.concat(tables, ignore_index=True)
    scores = records.columns.intersection(LOGPROBS)
    records[scores] = records[scores].replace("", np.nan)  # a label that a server did not name
    return records.astype({"correct": int} | dict.fromkeys(scores, float))


def has_logprobs(records: pd.DataFrame) -> bool:
    """Whether every option of every record has a log-probability."""
    return set(LOGPROBS) <= set(records) and not records[LOGPROBS].isna().any(axis=None)


def paired_correct(records: pd.DataFrame, setting: str, other: str) -> tuple[np.ndarray, np.ndarray]:
    """`correct` of two settings of one run, question by question in the same order, [n] each.

    Raises InputError where the two were not asked the same questions.
    """
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
