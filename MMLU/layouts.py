"""Write questions in the layouts that sources.py reads; every text is kept unchanged."""

import json
from collections.abc import Iterable, Mapping, Sequence

from common.languages import LANGUAGES
from common.questions import LETTERS, Question, by_subject


def files_of(source: str, splits: Mapping[str, Mapping[str, Sequence[Question]]]) -> dict[str, str]:
    """The text of each file by its name in the folder, in the layout of `source`; questions by split and language."""
    files = {}
    for split, parallel in splits.items():
        for code, items in parallel.items():
            if not items:
                continue
            if source == "mmlu":
                for subject, own in by_subject(items).items():
                    rows = [[item.question, *item.options, item.answer] for item in own]
                    files[f"{code}/{split}/{subject}_{split}.csv"] = csv_lines(rows)
            elif source == "belebele":
                files[f"{LANGUAGES[code].nllb}.jsonl"] = "".join(map(belebele_line, items))
            else:
                files[f"{'dev/' if split == 'dev' else ''}{code}.csv"] = csv_lines(table_of(items))
    return files


def csv_lines(rows: Iterable[Sequence[str]]) -> str:
    """Rows as CSV with every cell in quotes, which keep line ends of every kind, and each text as it is."""
    return "".join(",".join(f'"{cell.replace(chr(34), chr(34) * 2)}"' for cell in row) + "\n" for row in rows)


def table_of(items: Sequence[Question]) -> list[list[str]]:
    """The rows of a <language>.csv, its header first."""
    most = max(len(item.options) for item in items)
    rows = [["id", "subject", "context", "question", *LETTERS[:most], "answer"]]
    for item in items:
        missing = [""] * (most - len(item.options))
        rows.append([item.id, item.subject, item.context, item.question, *item.options, *missing, item.answer])
    return rows


def belebele_line(item: Question) -> str:
    """A question in the fields of Belebele."""
    link, _, number = item.id.rpartition("#")
    record = {"link": link, "question_number": number, "flores_passage": item.context, "question": item.question}
    record |= {f"mc_answer{place}": option for place, option in enumerate(item.options, 1)}
    record["correct_answer_num"] = str(1 + item.letters.index(item.answer))
    return json.dumps(record, ensure_ascii=False) + "\n"
