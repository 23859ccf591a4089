"""Sample logs of EleutherAI's lm-evaluation-harness (0.4.13, --log_samples) as answers and predictions by language.

    read_logs("LOGS/samples_xcopa_{language}")  # a table with language, id, answer, prediction, options

A log is samples_<task>_<time>.jsonl with one question a line: doc, target, arguments, filtered_resps, filter, acc.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from rows import json_rows

from common.cli import InputError, comma_list
from common.languages import LANGUAGES
from common.questions import LETTERS

LOG = re.compile(r"(samples_.+?)(?:_\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d(?:\.\d+)?)?\.jsonl")
EXPORTED = re.compile(r"samples_crosslingual_mmlu_(?:en|full_(?P<language>[a-z]+))_(?P<part>.+)")
CODES = {known: code for code, language in LANGUAGES.items() for known in (code, language.nllb, language.mmmlu)}
COLUMNS = ["language", "id", "answer", "prediction", "options"]


def read_logs(place: str, language: str | None = None, names: str | None = None) -> pd.DataFrame:
    """Questions of the logs at `place`, one row each: language, id, answer, prediction, options (how many, or NaN).

    Args:
        place: a folder with logs of the tasks that MMLU/export_lm_eval.py writes, of which those in one language are
            read; or a path such as DIR/samples_xcopa_{language} or DIR/samples_mmlu_{language}_*, without the time.
            `{language}` stands for an ISO 639-1 code or the code of NLLB or MMMLU.
        language: of the logs, where their names do not say it.
        names: fields of a question that name it, separated by commas; None for its place in the data set.

    Raises InputError naming file, row or key.
    """
    rows, seen = [], {}
    for path, code, part in find_logs(place, language):
        if (code, part) in seen:
            raise InputError(f"{path}: logs the same task as {seen[code, part].name}; keep one of them")
        seen[code, part] = path
        rows += [(code, f"{part}/{name}" if part else name, *rest) for name, *rest in read_log(path, names)]
    return pd.DataFrame(rows, columns=COLUMNS)


def find_logs(place: str, language: str | None) -> list[tuple[Path, str, str]]:
    """(file, language, what * stands for) of every log that a place names; InputError where there is none."""
    path = Path(place)
    if path.is_dir():
        folder, pattern = path, EXPORTED
    else:
        folder, texts = path.parent, re.split(r"(\{language\}|\*)", path.name.removesuffix(".jsonl"))
        forms = {"{language}": r"(?P<language>[A-Za-z]{2,3}(?:[_-][A-Za-z]{2,4})?)", "*": "(?P<part>.+)"}
        if texts.count("*") > 1 or texts.count("{language}") > 1:
            raise InputError(f"{place}: write {{language}} and * once at most")
        pattern = re.compile("".join(forms.get(text, re.escape(text)) for text in texts))
    found = []
    for file in sorted(folder.glob("samples_?*.jsonl")):
        match = pattern.fullmatch(LOG.fullmatch(file.name)[1])
        if match is None:
            continue
        groups = match.groupdict()
        said = groups.get("language") or language or ("en" if pattern is EXPORTED else None)
        if said is None:
            raise InputError(f"{file}: in which language? write {{language}} in its path, or model@task@language")
        if said in CODES:
            found.append((file, CODES[said], groups.get("part") or ""))
        else:
            print(f"note: {file}: left out, {said} is no language of common/languages.csv")
    if not found:
        raise InputError(f"{place}: no samples_*.jsonl of this name; log them with --log_samples")
    return found


def read_log(path: Path, names: str | None) -> Iterator[tuple[str, str, str, float]]:
    """id, answer, prediction, number of options of every question of a log."""
    filters = set()
    for where, sample in json_rows(path, ("doc_id", "doc", "target", "arguments", "filtered_resps")):
        filters.add(sample.get("filter"))
        if len(filters) > 1:
            raise InputError(f"{where}: answers of the filters {', '.join(map(str, filters))}; keep those of one")
        fields = comma_list(names) if names else []
        if missing := [field for field in fields if field not in sample["doc"]]:
            raise InputError(f"{where}: doc has no {missing[0]}; it has {', '.join(sample['doc'])}")
        name = "/".join(str(sample["doc"][field]) for field in fields) or str(sample["doc_id"])
        yield name, *answer_of(sample, where)


def answer_of(sample: dict[str, Any], where: str) -> tuple[str, str, float]:
    """Answer, prediction and number of options: letters of the options, or texts where the answer was written.

    The prediction is the option with the largest log-probability, the first of equal ones, as accuracy `acc` takes it;
    InputError where that is not what the log says.
    """
    responses, target = sample["filtered_resps"], str(sample["target"])
    if len(responses) == 1 and isinstance(responses[0], str):
        return target.strip(), responses[0].strip(), float("nan")
    try:
        scores = [float(logprob) for logprob, _ in responses]
        options = [str(asked["arg_1"]).strip() for asked in sample["arguments"].values()]
        place = int(target) if target.isdigit() else options.index(target.strip())
        answer, prediction = LETTERS[place], LETTERS[int(np.argmax(scores))]
    except (ValueError, TypeError, KeyError, IndexError, AttributeError) as error:
        raise InputError(
            f"{where}: neither one written answer nor log-probabilities of options with their target ({error!r}); only"
            " such tasks can be read"
        ) from error
    if "acc" in sample and bool(float(sample["acc"])) != (prediction == answer):
        raise InputError(f"{where}: acc is {sample['acc']}, but {prediction} was predicted and {answer} is right")
    return answer, prediction, len(options)
