"""Answers and predictions by model, task and language: from a CSV file, from records, from logs."""

from pathlib import Path

import pandas as pd
from harness_logs import read_logs
from rows import read_rows

from common.cli import InputError, named_list
from common.evaluation.records import load_records
from common.settings import family

COLUMNS = ["model", "task", "language", "id", "answer", "prediction"]
RECORDS = "records"  # name of the task of runs and logs for which none is given
ENGLISH = "en"


def read_predictions(path: Path) -> pd.DataFrame:
    """The long table; InputError naming file and row for a missing column, cell or a question given twice."""
    table = read_rows(path, COLUMNS)
    required = table[COLUMNS[:-1]]  # an empty prediction means no answer
    if (required == "").any(axis=None):
        row, column = next((r, c) for r, c in zip(*(required == "").to_numpy().nonzero(), strict=True))
        raise InputError(f"{path}, row {row + 1}: {COLUMNS[column]} is empty; fill it in")
    again = table.duplicated(["model", "task", "language", "id"])
    if again.any():
        row = int(again.to_numpy().argmax())
        raise InputError(f"{path}, row {row + 1}: question {table['id'][row]!r} is given twice; ids must be unique")
    return table


def labelled(sources: str | list[str] | None, key: str, most: int) -> dict[tuple[str, ...], str]:
    """{(model, task, language or None): place} of "model@task=place"; InputError for more than `most` names in one."""
    found = {}
    for name, place in ({} if sources is None else named_list(sources, key)).items():
        model, *more = name.split("@")
        if len(more) >= most or not all((model, *more)):
            raise InputError(f"{key} {name!r}: write {'@'.join(('model', 'task', 'language')[:most])}=path")
        found[model, more[0] if more else RECORDS, more[1] if len(more) > 1 else None] = place
    return found


def read_runs(runs: dict[tuple[str, ...], str], logs: dict[tuple[str, ...], str], log_id: str | None) -> pd.DataFrame:
    """The same table from records (settings en and full_*) and logs, with `options`, the number of a question's.

    `subject` is that of records, and missing for logs.
    """
    tables = []
    for (model, task, _), folder in runs.items():
        records = load_records(Path(folder))
        records = records[records["setting"].map(lambda setting: family(setting)[0] in ("en", "full"))]
        if records.empty:
            raise InputError(f"{folder}: no setting en or full_*; evaluate them")
        languages = records["setting"].map(lambda setting: family(setting)[1] or ENGLISH)
        options = records["option_languages"].str.count(r"\|") + 1
        tables.append(records.assign(model=model, task=task, language=languages, options=options))
    for (model, task, language), place in logs.items():
        tables.append(read_logs(place, language, log_id).assign(model=model, task=task))
    table = pd.concat([table.reindex(columns=[*COLUMNS, "options", "subject"]) for table in tables], ignore_index=True)
    again = table.duplicated(COLUMNS[:4])
    if again.any():
        model, task, language, name = table.loc[again.idxmax(), COLUMNS[:4]]
        raise InputError(f"{model}, {task}: question {name!r} is given twice in {language}; name each place once")
    return table
