"""One sentence on a run of the world: is there a crosslingual knowledge barrier in it, and how high is it?

    python world/finding.py --run results/world_42/zero_shot

Reads the records alone and writes <run>/finding.csv (accuracies of facts by where they are known and how they are
asked, with 95% Wilson intervals; in several languages `wilson_by_question`) beside the sentence it prints.
"""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from categories import category

from common.cli import InputError, parse, run
from common.evaluation.records import load_records
from common.reporting.files import write_csv_atomic
from common.reporting.results import save_result
from common.reporting.stats import wilson_by_question
from common.settings import family

KNOWN_IN_ENGLISH, KNOWN_IN_ALL = "english_only", "shared"


@dataclass
class Finding:
    """Say what a run of the world shows.

    Attributes:
        run: run folder of evaluate.py on the world's questions, settings en, full_* and mixup among them.
    """

    run: str


def finding_rows(records: pd.DataFrame) -> pd.DataFrame:
    """Columns: known_in, asked, n, accuracy, ci_low, ci_high. `full` pools all full_* settings."""
    known = records["subject"].map(category)
    asked = records["setting"].map(lambda setting: family(setting)[0])
    rows = []
    for group in (KNOWN_IN_ENGLISH, KNOWN_IN_ALL):
        for name in ("en", "full", "mixup"):
            answers = records[(known == group) & (asked == name)]
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
        row = rows[known, asked]
        return f"{100 * row.accuracy:.1f}% [{100 * row.ci_low:.1f}, {100 * row.ci_high:.1f}]"

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
    out, said = Path(config.run) / "finding", sentence(table)
    write_csv_atomic(f"{out}.csv", table, "%.6f")
    save_result(__file__, out, {config.run: config.run}, [f"{out}.csv"], said)
    print(said)


if __name__ == "__main__":
    run(main)
