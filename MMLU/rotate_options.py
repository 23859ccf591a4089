"""Write the questions of a folder with their options in another order, the one after `step` others first.

    python MMLU/rotate_options.py --data MMLU/results/variants --step 1 --out MMLU/results/variants_1

Option i is what was option i + step, counted round; the answer's letter moves with it. Every <setting>.csv of en and
full_* is written, for MMLU/variance.py, and <out>/rotated.json.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from common.cli import InputError, parse, require_positive, run
from common.questions import Question, read_questions, write_questions
from common.reporting.files import claim, write_json_atomic
from common.settings import UNFINISHED, family, settings_in

RECORD = "rotated.json"


@dataclass
class Rotate:
    """Rotate the options of every question.

    Attributes:
        data: folder written by build_variants.py.
        out: folder to write to.
        step: by how many places.
    """

    data: str
    out: str
    step: int = 1

    def __post_init__(self) -> None:
        require_positive(self, "step")


def rotated(item: Question, step: int) -> Question:
    """The question with its options rotated by `step` places."""

    def turned(values: Sequence[str]) -> tuple[str, ...]:
        return tuple(values[(place + step) % len(values)] for place in range(len(values)))

    answer = item.letters[(item.letters.index(item.answer) - step) % len(item.options)]
    return replace(item, options=turned(item.options), option_languages=turned(item.option_languages), answer=answer)


def main() -> None:
    config = parse(Rotate)
    names = [name for name in settings_in(config.data) if family(name)[0] in ("en", "full")]
    if not names:
        raise InputError(f"{config.data}: no en.csv or full_<language>.csv in it; make them with build_variants.py")
    out = Path(config.out)
    claim(out, RECORD)
    (out / UNFINISHED).touch()
    for name in set(settings_in(out)) - set(names):  # of other data
        (out / f"{name}.csv").unlink()
    for name in names:
        items = [rotated(item, config.step) for item in read_questions(Path(config.data, f"{name}.csv"))]
        write_questions(out / f"{name}.csv", items)
    write_json_atomic(out / RECORD, {key: value for key, value in asdict(config).items() if key != "out"})
    (out / UNFINISHED).unlink()
    print(f"{len(names)} settings with options rotated by {config.step} in {out}")


if __name__ == "__main__":
    run(main)
