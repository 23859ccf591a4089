"""Write TOFU's questions with their answers in one language as a training corpus for FT/train.py.

python TOFU/make_corpus.py --data FILE.json --out FILE.jsonl
"""

import json
from dataclasses import dataclass
from pathlib import Path

from tofu import read_tofu, write_once

from common.cli import InputError, parse, run


@dataclass
class MakeCorpus:
    """Write one document per question, with its answer.

    Attributes:
        data: JSON file in TOFU's fields, or a data set's name (locuslab/TOFU).
        out: the corpus, .jsonl.
        subset: of the data set, such as full or forget10.
    """

    data: str
    out: str
    subset: str | None = None


def main() -> None:
    config = parse(MakeCorpus)
    if not config.out.endswith(".jsonl"):
        raise InputError(f"out {config.out!r}: the name must end in .jsonl, which FT/train.py reads")
    rows = read_tofu(config.data, config.subset)
    lines = [
        json.dumps({"text": f"{row.prompt} {row.answer}", "doc_id": number}, ensure_ascii=False) + "\n"
        for number, row in enumerate(rows)
    ]
    write_once(Path(config.out), "".join(lines))
    print(f"{config.out}: {len(rows)} questions with their answers")


if __name__ == "__main__":
    run(main)
