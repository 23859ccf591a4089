"""Write TOFU's questions with their answers in one language as a training corpus for FT/train.py.

python TOFU/make_corpus.py --data FILE.json --out FILE.jsonl

Each row has `text`, the question with its answer, and `question`, what comes before `Answer:`, the line break included.
Protocol `paper` of FT/train.py learns the rest alone, as TOFU does (locuslab/tofu, commit 8c49eee: data_module.py lines
9 to 13, with the tags of config/model_config.yaml lines 11 to 13).
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
    lines = []
    for number, row in enumerate(rows):
        fields = {
            "text": f"{row.prompt} {row.answer}",
            "doc_id": number,
            "question": row.prompt.removesuffix("Answer:"),
        }
        lines.append(json.dumps(fields, ensure_ascii=False) + "\n")
    write_once(Path(config.out), "".join(lines))
    print(f"{config.out}: {len(rows)} questions with their answers")


if __name__ == "__main__":
    run(main)
