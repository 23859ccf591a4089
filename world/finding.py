"""State in one sentence whether a run on the synthetic world shows a crosslingual knowledge barrier.

    python -m world.finding --run results/world_42/zero_shot

Reads the records alone. Writes <run>/finding.csv: accuracy by where facts are known and how they are asked, with 95%
Wilson intervals (`wilson_by_question` where several languages are pooled).
"""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from common.cli import InputError, parse, run
from common.evaluation.records import load_records
from common.reporting.results import write_result
from common.reporting.stats import wilson_by_question
from common.reporting.tables import interval
from common.settings import family

KNOWN_IN_ENGLISH, KNOWN_IN_ALL = "english_only", "shared"  # first words of subjects


@dataclass
class Finding:
    """State what a run on the synthetic world shows.

    Attributes:
        run: run folder of MMLU/evaluate_mmlu.py on the world's questions; it needs the settings en, full_* and mixup.
    """

    run: str


def finding_rows(records: pd.DataFrame) -> pd.DataFrame:
    """Columns: known_in, asked, n, accuracy, ci_low, ci_high. `full` pools all full_* settings."""
    asked = records["setting"].map(lambda setting: family(setting)[0])
    rows = []
    for group in (KNOWN_IN_ENGLISH, KNOWN_IN_ALL):
        for name in ("en", "full", "mixup"):
            answers = records[records["subject"].str.startswith(f"{group}_") & (asked == name)]
            if answers.empty:
                raise InputError(f"the run has no {group} questions in setting {name}; evaluate the world with it")
            correct = answers.pivot(index="id", columns="setting", values="correct")
            if correct.isna().any(axis=None):
                raise InputError(f"the run's {group} questions differ between settings; evaluate all on the same data")
            rows.append((group, name, correct.size, correct.to_numpy().mean(), *wilson_by_question(correct)))
    return pd.DataFrame(rows, columns=["known_in", "asked", "n", "accuracy", "ci_low", "ci_high"])


def sentence(table: pd.DataFrame) -> str:
    """What was found, in words and with intervals."""
    rows = {(row.known_in, row.asked): row for row in table.itertuples()}

    def say(known: str, asked: str) -> str:
        return interval(rows[known, asked], unit="%")

    english, elsewhere = rows[KNOWN_IN_ENGLISH, "en"], rows[KNOWN_IN_ENGLISH, "full"]
    barrier = elsewhere.ci_high < english.ci_low
    return (
        f"Facts known in English only are answered {say(KNOWN_IN_ENGLISH, 'en')} right in English,"
        f" {say(KNOWN_IN_ENGLISH, 'mixup')} with question and options in five languages and"
        f" {say(KNOWN_IN_ENGLISH, 'full')} in other languages (chance 25%), while facts known in every language are"
        f" answered {say(KNOWN_IN_ALL, 'full')} right there: "
        + ("a crosslingual knowledge barrier." if barrier else "no crosslingual knowledge barrier can be shown.")
    )


def main() -> None:
    config = parse(Finding)
    table = finding_rows(load_records(Path(config.run)))
    out, runs = Path(config.run) / "finding", {config.run: config.run}
    write_result(__file__, out, runs, table, sentence=sentence(table), float_format="%.6f")


if __name__ == "__main__":
    run(main)
