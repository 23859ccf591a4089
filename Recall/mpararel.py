"""mParaRel (Fierro and Søgaard, arXiv 2203.11552): facts, candidates and sentences, the same ones in every language.

    facts = read_mpararel(Path(DIR), ["en", "de"])
    sentences = write_sentences(facts, limit=200, templates=4, seed=42)  # {"en": [...], "de": [...]}

DIR has patterns/<language>/<relation>.jsonl with a `pattern` a line, which has [X] and [Y], and
tuples/<language>/<relation>.jsonl with `sub_uri`, `obj_uri`, `sub_label` and `obj_label`.
"""

import json
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from common.cli import InputError

SUBJECT, OBJECT = "[X]", "[Y]"


@dataclass(frozen=True)
class Relation:
    """A relation in every language: {language: ...}.

    Attributes:
        templates: each with one [X] and one [Y].
        subjects: {subject id: its name}, of the facts that every language has.
        answers: {subject id: the candidate that is right}, the same in every language.
        candidates: {name of an object: the candidate that it stands for}; a candidate is an id, the same in every
            language, and objects that share a name in one language are one candidate.
    """

    templates: dict[str, list[str]]
    subjects: dict[str, dict[str, str]]
    answers: dict[str, str]
    candidates: dict[str, dict[str, str]]


@dataclass(frozen=True)
class Sentence:
    """One fact in one wording: the text before and behind the object, and the id of the right candidate.

    `fact` is relation and subject id, `id` these and the number of the wording.
    """

    id: str
    language: str
    relation: str
    fact: str
    wording: int
    before: str
    behind: str
    answer: str


def read_lines(path: Path, keys: Sequence[str]) -> list[dict[str, str]]:
    """The lines of a JSONL file; InputError naming file and line for what is missing or malformed."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read: {error}") from error
    rows = []
    for number, line in enumerate(lines, 1):
        try:
            row = json.loads(line)
            if not all(isinstance(row[key], str) and row[key].strip() for key in keys):
                raise ValueError("an empty text")
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(f"{path}, line {number}: no JSON object with {', '.join(keys)} as texts") from error
        rows.append(row)
    if not rows:
        raise InputError(f"{path}: no line with {', '.join(keys)}")
    return rows


def read_templates(path: Path) -> list[str]:
    """The templates of a file; InputError for one without one [X] and one [Y]."""
    templates = [row["pattern"] for row in read_lines(path, ["pattern"])]
    for number, template in enumerate(templates, 1):
        if template.count(SUBJECT) != 1 or template.count(OBJECT) != 1:
            raise InputError(f"{path}, line {number}: {template!r} must have one {SUBJECT} and one {OBJECT}")
    return list(dict.fromkeys(templates))


def read_mpararel(folder: Path, languages: Sequence[str]) -> dict[str, Relation]:
    """The relations that every language has, by name; InputError where there is none or a file is malformed.

    Facts are those that every language has, of subjects with one object (as mParaRel's --remove_repeated_subjects).
    Candidates are all objects of the relation that every language has a name for.
    """
    names = [
        {path.stem for path in (folder / kind / code).glob("*.jsonl")}
        for code in languages
        for kind in ("patterns", "tuples")
    ]
    shared = sorted(set.intersection(*names)) if names else []
    if not shared:
        raise InputError(
            f"{folder}: no relation with patterns/<language>/<relation>.jsonl and tuples/<language>/<relation>.jsonl in"
            f" {', '.join(languages)}"
        )
    return {name: _relation(folder, name, languages) for name in shared}


def _relation(folder: Path, name: str, languages: Sequence[str]) -> Relation:
    keys = ("sub_uri", "obj_uri", "sub_label", "obj_label")
    rows = {code: read_lines(folder / "tuples" / code / f"{name}.jsonl", keys) for code in languages}
    labels = {code: {row["obj_uri"]: row["obj_label"] for row in own} for code, own in rows.items()}
    objects = [one for one in labels[languages[0]] if all(one in own for own in labels.values())]
    candidate = _merged(objects, labels)
    facts = [{(row["sub_uri"], row["obj_uri"]) for row in own} for own in rows.values()]
    repeated = [Counter(row["sub_uri"] for row in own) for own in rows.values()]
    answers = {
        row["sub_uri"]: candidate[row["obj_uri"]]
        for row in rows[languages[0]]
        if all((row["sub_uri"], row["obj_uri"]) in own for own in facts)
        and all(counts[row["sub_uri"]] == 1 for counts in repeated)
    }
    return Relation(
        {code: read_templates(folder / "patterns" / code / f"{name}.jsonl") for code in languages},
        {code: {row["sub_uri"]: row["sub_label"] for row in own} for code, own in rows.items()},
        answers,
        {code: {own[one]: candidate[one] for one in objects} for code, own in labels.items()},
    )


def _merged(objects: Sequence[str], labels: dict[str, dict[str, str]]) -> dict[str, str]:
    """{object: the first of the objects that it shares a name with in some language}, over any number of steps."""
    pairs = []
    for own in labels.values():
        first: dict[str, int] = {}
        pairs += [(first.setdefault(own[one], place), place) for place, one in enumerate(objects)]
    down, across = np.array(pairs).T if pairs else ([], [])
    graph = coo_array((np.ones(len(pairs)), (down, across)), shape=(len(objects), len(objects)))
    group = connected_components(graph, directed=False)[1]
    leader: dict[int, str] = {}
    return {one: leader.setdefault(number, one) for one, number in zip(objects, group, strict=True)}


def write_sentences(
    relations: dict[str, Relation], limit: int | None, templates: int, seed: int
) -> dict[str, list[Sentence]]:
    """The sentences of every language, row for row on the same fact; the wordings of a fact are numbered from 0.

    Drawn by `seed`: `limit` facts of each relation, and its wordings in each language, as many as the language with
    the fewest has and at most `templates`. Wordings that end with the object come first: nothing has to be scored
    behind it. A relation with a single wording in some language is left out, since that agrees with no other.
    """
    sentences: dict[str, list[Sentence]] = {}
    for name, relation in relations.items():
        rng = random.Random(f"{seed} {name}")
        count = min(templates, *map(len, relation.templates.values()))
        if count < 2 or not relation.answers:
            print(f"note: {name} is left out: a language has a single wording, or no fact is in every language")
            continue
        facts = list(relation.answers)
        facts = facts if limit is None else sorted(rng.sample(facts, min(limit, len(facts))), key=facts.index)
        for code, known in relation.templates.items():
            drawn = sorted(rng.sample(known, len(known)), key=lambda template: not template.endswith(OBJECT))
            for wording, template in enumerate(drawn[:count]):
                before, behind = template.split(OBJECT)
                for fact in facts:
                    subject, own = relation.subjects[code][fact], f"{name}-{fact}"
                    sentences.setdefault(code, []).append(
                        Sentence(
                            f"{own}-{wording}", code, name, own, wording, before.replace(SUBJECT, subject),
                            behind.replace(SUBJECT, subject), relation.answers[fact],
                        )
                    )  # fmt: skip
    if not sentences:
        raise InputError("no relation has two wordings in every language, and one alone agrees with none")
    return sentences
