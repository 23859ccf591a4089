"""Preferences from the records of an evaluation: the answer that most languages give over the others (CALM).

    python FT/consistency_pairs.py --records MMLU/results/MODEL --out PAIRS.jsonl
    python FT/train.py --config FT/configs/dpo.yaml --model MODEL --data PAIRS.jsonl --out DIR

Each question of the settings `en` and `full_<language>` has one vote a language. Where one answer has more votes than
any other, every language's prompt gets a row for each answer that another language preferred: `prompt`, `chosen` (the
winner), `rejected`. The right answers are not used, but the questions are: evaluate on those of other subjects.
Source: Wang et al., arXiv 2501.18457; their answers are sampled texts, here they are the predicted labels.
"""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from common.cli import InputError, comma_list, parse, run
from common.evaluation.records import load_records
from common.prompts import PromptFormat, hinted_header, mmlu_header, mmlu_prompt
from common.questions import LETTERS, Question, read_questions
from common.reporting.files import write_json_atomic, write_text_atomic
from common.reporting.provenance import file_digest, now, read_run, session
from common.reporting.stats import wilson
from common.settings import family

# What MMLU/evaluate_mmlu.py or mitigate.py must have been told, so that the prompts are those that are made here.
PLAIN = {
    "num_fewshot": 0,
    "answer_format": "letter",
    "chat": False,
    "prompt": "paper",
    "protocol": "ours",
    "write": "nothing",
    "translator": None,
}


@dataclass
class ConsistencyPairs:
    """Preferences from the records of an evaluation.

    Attributes:
        records: folder of records that MMLU/evaluate_mmlu.py wrote, with `en` and settings such as full_de.
        out: .jsonl file to write.
        data: folder of the settings that were asked; null is that which the records name.
        subjects: take only these, a list or separated by commas; null is all.
    """

    records: str
    out: str
    data: str | None = None
    subjects: str | list[str] | None = None

    def __post_init__(self) -> None:
        if Path(self.out).suffix != ".jsonl":
            raise InputError(f"out {self.out!r}: the name must end in .jsonl, which FT/train.py reads")


def prompt_format(asked: Mapping[str, Any], folder: str) -> PromptFormat:
    """The format of the prompts of an evaluation; InputError where it was no plain one."""
    for key, value in PLAIN.items():
        if asked.get(key, value) != value:
            raise InputError(
                f"{folder}: asked with {key} {asked[key]}; preferences are made of prompts with {key} {value}"
            )
    labels = tuple(comma_list(asked["labels"])) if asked.get("labels") is not None else LETTERS
    return PromptFormat(hinted_header(asked["hint"]) if asked.get("hint") else mmlu_header, labels)


def votes(records: pd.DataFrame, subjects: str | Sequence[str] | None) -> pd.DataFrame:
    """The predictions, one row a question and one column a language; "" for an answer that named no option."""
    languages = {
        name: family(name)[1] or "en" for name in records["setting"].unique() if family(name)[0] in ("en", "full")
    }
    if len(languages) < 2:
        raise InputError("the records have fewer than two languages; evaluate with --settings en,full")
    own = records[records["setting"].isin(languages)]
    if subjects:
        wanted = comma_list(subjects)
        if unknown := sorted(set(wanted) - set(own["subject"])):
            raise InputError(f"subjects {','.join(unknown)}: not in the records")
        own = own[own["subject"].isin(wanted)]
    table = own.assign(language=own["setting"].map(languages)).pivot(
        index="id", columns="language", values="prediction"
    )
    return table.fillna("")[list(languages.values())]


def winner(answers: Sequence[str]) -> str | None:
    """The answer with more votes than any other; None where there is none."""
    counts = Counter(answer for answer in answers if answer).most_common(2)
    if not counts or (len(counts) == 2 and counts[0][1] == counts[1][1]):
        return None
    return counts[0][0]


def preferences(
    table: pd.DataFrame, questions: Mapping[str, Mapping[str, Question]], written: PromptFormat
) -> list[dict[str, str]]:
    """The rows, question by question; `questions` by language and id."""
    rows = []
    for id, answers in zip(table.index, table.to_dict("records"), strict=True):
        chosen = winner(list(answers.values()))
        losers = sorted({answer for answer in answers.values() if answer} - {chosen})
        for language in answers if chosen else ():
            item = questions[language][id]
            label = dict(zip(item.letters, written.labels_of(item), strict=True))
            prompt = mmlu_prompt(item, (), written)
            for rejected in losers:
                row = {"prompt": prompt, "chosen": f" {label[chosen]}", "rejected": f" {label[rejected]}"}
                rows.append(row | {"id": id, "language": language})
    return rows


def read_asked(folder: Path, table: pd.DataFrame) -> dict[str, dict[str, Question]]:
    """The questions by language and id; InputError where one of the table is missing."""
    asked = {}
    for language in table:
        path = folder / ("en.csv" if language == "en" else f"full_{language}.csv")
        asked[language] = {question.id: question for question in read_questions(path)}
        if missing := sorted(set(table.index) - set(asked[language])):
            raise InputError(f"{path}: no question {missing[0]}, which the records have; name the folder with --data")
    return asked


def summary(table: pd.DataFrame, right: pd.Series, rows: Sequence[Mapping[str, str]]) -> str:
    """How often the languages agree, and how often the winner is right, with 95% Wilson intervals."""
    won = table.apply(lambda row: winner(list(row)), axis=1).dropna()
    agreed = int(((table.nunique(axis=1) == 1) & (table != "").any(axis=1)).sum())
    low, high = wilson(agreed, len(table))
    said = [
        f"{len(table)} questions in {', '.join(table)}: one answer to {agreed / len(table):.1%}"
        f" [{low:.1%}, {high:.1%}], {len(table) - len(won)} without a winner, {len(rows)} rows"
    ]
    for name, answers in [*table.loc[won.index].items(), ("the winner", won)]:
        hits = int((answers == right[won.index]).sum())
        low, high = wilson(hits, len(won))
        said.append(f"right where there is a winner, {name}: {hits / len(won):.1%} [{low:.1%}, {high:.1%}]")
    return "\n".join(said)


def main() -> None:
    config = parse(ConsistencyPairs)
    started, asked = now(), read_run(config.records)["config"]
    written = prompt_format(asked, config.records)
    records = load_records(Path(config.records))
    table = votes(records, config.subjects)
    questions = read_asked(Path(config.data or asked["data"]), table)
    rows = preferences(table, questions, written)
    if not rows:
        raise InputError(
            f"{config.records}: the languages never differ over a question with a winner; nothing to prefer"
        )
    out = Path(config.out)
    write_text_atomic(out, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    info = {"config": asdict(config), "records": file_digest(Path(config.records, "run.json")), **session(started)}
    write_json_atomic(out.with_name(f"{out.name}.run.json"), info)
    right = records[records["setting"] == "en"].set_index("id")["answer"]
    print(f"{summary(table, right, rows)}\n{out}")


if __name__ == "__main__":
    run(main)
