"""In which layer a word's translation emerges, or is lost: the logit lens on word translation or a cloze task.

    python Translation/lens.py --model assets/world --dictionary DIR --languages en,de,fr --out DIR

For every layer: the probability of the concept's words in the source language, the target language and English. A
wrong answer is a *translation failure* if the likeliest token of some layer is the concept in a language other than the
source, and a *task-solving failure* otherwise (The Translation Barrier Hypothesis). Words are identified by their first
token. Writes records.csv (one row per prompt), layers.csv, summary.csv and the plot by layer.
"""

import csv
import random
import string
from ast import literal_eval
from collections.abc import Collection, Iterable, Iterator
from dataclasses import asdict, dataclass
from itertools import permutations
from pathlib import Path

import numpy as np
import pandas as pd
from logit_lens import lens

from common.cli import InputError, comma_list, config_hash, parse, run
from common.languages import PAPER, get
from common.lm.loading import load
from common.lm.tokenization import tokenize_pairs
from common.plan import Work, planning, say_plan
from common.prompts import translation_prompt
from common.reporting.files import claim, write_csv_atomic
from common.reporting.plots import plot_curves, save_figure
from common.reporting.provenance import model_content_hash, now, read_run, session, write_run
from common.reporting.results import ENDING, save_result
from common.reporting.stats import wilson_by_question
from common.translation.dictionary import word_pairs

LOWER = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)
OUTCOMES = ("right", "translation_failure", "task_failure")


@dataclass
class Lens:
    """Read a model's layers while it translates words or fills in a blank.

    Attributes:
        model: hub name or folder of a causal LM.
        out: folder to write to.
        dictionary: folder of en-de.tsv and so on, or with word_translation.csv; its words are translated between all
            `languages`.
        cloze: instead of a dictionary, a CSV with id, prompt, source, target and one column per language (de, en, ...)
            with the answer, several separated by |; target is the language of the answer.
        languages: ISO codes of the dictionary's words, a list or separated by commas.
        count: most words of each pair of languages.
        num_fewshot: solved examples before each word, of words that are not tested.
        dtype: auto (as the model's configuration says), float32, bfloat16 or float16.
        device: auto, cpu, cuda, cuda:N, or map to spread the layers over all GPUs.
        seed: seed of the drawn words.
    """

    model: str
    out: str
    dictionary: str | None = None
    cloze: str | None = None
    languages: str | list[str] = ",".join(PAPER)
    count: int = 200
    num_fewshot: int = 0
    dtype: str = "auto"
    device: str = "auto"
    seed: int = 42

    def __post_init__(self) -> None:
        if (self.dictionary is None) == (self.cloze is None):
            raise InputError("name either --dictionary or --cloze")
        if self.count < 1 or self.num_fewshot < 0:
            raise InputError("count must be 1 or more, num_fewshot 0 or more")
        if self.dictionary and len(set(comma_list(self.languages))) < 2:
            raise InputError("languages: name two or more, which words are translated between")


@dataclass(frozen=True)
class WordPrompt:
    """A prompt and the answer's words in every language."""

    id: str
    source: str
    target: str
    prompt: str
    answers: dict[str, tuple[str, ...]]


Words = dict[str, dict[str, tuple[str, ...]]]
LISTS = "word_translation.csv"  # a column a language of lists of words, as github.com/Butanium/llm-lang-agnostic has it


def read_words(folder: str, languages: list[str]) -> Words:
    """{English word: {language: its words}} of the single words that a folder has in every language."""
    lists = Path(folder) / LISTS
    words = read_lists(lists, languages) if lists.exists() else read_dictionaries(folder, languages)
    complete = {word: found for word, found in words.items() if found.keys() >= set(languages)}
    if not complete:
        raise InputError(f"{folder}: no single word that it has in all of {', '.join(languages)}")
    return complete


def read_lists(path: Path, languages: list[str]) -> Words:
    """The rows of a word_translation.csv."""
    words: Words = {}
    for number, row in enumerate(read_rows(path, {"word_original", *languages}), 2):
        found = words.setdefault(row["word_original"], {})
        for language in languages:
            try:
                listed = list.copy(literal_eval(row[language]))  # a TypeError for what is no list
                forms = tuple(word for word in listed if word.isalpha())
            except (SyntaxError, ValueError, TypeError, AttributeError, RecursionError, MemoryError):
                raise InputError(
                    f"{path} row {number}, {language}: a list such as ['cloud'] is needed, not {row[language]!r}"
                ) from None
            if forms:
                found[language] = forms
    return words


def read_rows(path: str | Path, columns: Collection[str]) -> list[dict[str, str]]:
    """The rows of a CSV file, every cell as text; InputError where it lacks columns or rows, or a row lacks cells."""
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file, strict=True))
    except (ValueError, csv.Error) as error:
        raise InputError(f"{path}: cannot be read as a CSV file in UTF-8: {error}") from error
    if not rows:
        raise InputError(f"{path}: no row below the columns")
    if missing := [name for name in columns if name not in rows[0]]:
        raise InputError(f"{path}: no column {min(missing)}")
    uneven = next((number for number, row in enumerate(rows, 2) if None in row or None in row.values()), None)
    if uneven:
        raise InputError(f"{path} row {uneven}: has more or fewer cells than the first row")
    return rows


def read_dictionaries(folder: str, languages: list[str]) -> Words:
    """The words of en-de.tsv and so on."""
    words: dict[str, dict[str, dict[str, None]]] = {}
    for language in languages:
        if language == "en":
            continue
        path = Path(folder) / f"en-{language}.tsv"
        if not path.exists():
            raise InputError(f"{path}: no such file; the lens takes dictionaries from English")
        for english, other in word_pairs(path):
            if english.isalpha() and other.isalpha():
                words.setdefault(english, {}).setdefault(language, {})[other] = None
    return {
        english: {"en": (english,)} | {language: tuple(forms) for language, forms in found.items()}
        for english, found in words.items()
    }


def word_questions(config: Lens) -> Iterator[WordPrompt]:
    """Prompts that translate the dictionaries' words between every two languages."""
    languages = [get(code).code for code in dict.fromkeys(comma_list(config.languages))]
    words = read_words(config.dictionary, languages)
    rng = random.Random(f"lens {config.seed}")
    order = rng.sample(sorted(words), len(words))
    shots = config.num_fewshot
    shown, asked = order[:shots], order[shots : shots + config.count]
    if not asked:
        raise InputError(f"{config.dictionary}: {len(words)} words, all of them few-shot examples; lower --num_fewshot")
    english: dict[tuple[str, str], dict[str, None]] = {}  # every English word that a word may mean
    for forms in words.values():
        for place in ((language, form) for language in forms for form in forms[language]):
            english.setdefault(place, {}).update(dict.fromkeys(forms.get("en", ())))
    for source, target in permutations(languages, 2):
        examples = [(words[word][source][0], words[word][target][0]) for word in shown]
        for word in asked:
            form = words[word][source][0]
            prompt = translation_prompt(form, source, target, examples)
            yield WordPrompt(word, source, target, prompt, words[word] | {"en": tuple(english[source, form])})


def cloze_questions(path: str) -> Iterator[WordPrompt]:
    """The rows of a cloze file."""
    named = ("id", "prompt", "source", "target")
    for number, row in enumerate(read_rows(path, named), 2):
        try:
            answers = {get(code).code: tuple(filter(None, row[code].split("|"))) for code in row if code not in named}
            get(row["source"])
        except InputError as error:
            raise InputError(f"{path} row {number}: {error}") from error
        if not row["prompt"].strip() or not answers.get(row["target"]):
            raise InputError(f"{path} row {number}: no prompt, or no answer in the target language {row['target']!r}")
        yield WordPrompt(row["id"], row["source"], row["target"], row["prompt"], answers)


def first_tokens(tokenizer, questions: list[WordPrompt]) -> tuple[list[list[int]], list[dict[str, set[int]]]]:
    """Token ids of each prompt, and by language the first tokens of the answer after it, in upper and lower case.

    A model that is shown nouns of German writes those of other languages with a capital letter too.
    """
    same: dict[str, set[int]] = {}
    for token, number in tokenizer.get_vocab().items():
        same.setdefault(token.translate(LOWER), set()).add(number)
    forms = [[*dict.fromkeys(word for words in q.answers.values() for word in words)] for q in questions]
    pairs = tokenize_pairs(tokenizer, [q.prompt for q in questions], [[f" {w}" for w in words] for words in forms])
    prompts: list[list[int]] = [[] for _ in questions]
    first: list[dict[str, int]] = [{} for _ in questions]
    for pair in pairs:
        prompts[pair.prompt] = pair.tokens[: pair.start].tolist()
        first[pair.prompt][forms[pair.prompt][pair.continuation]] = int(pair.tokens[pair.start])

    def in_any_case(numbers: Iterable[int]) -> set[int]:
        names = tokenizer.convert_ids_to_tokens(list(numbers))
        return set().union(*(same[name.translate(LOWER)] for name in names))

    tokens = [
        {language: in_any_case(first[i][word] for word in words) for language, words in q.answers.items()}
        for i, q in enumerate(questions)
    ]
    return prompts, tokens


def told_apart(question: WordPrompt, tokens: dict[str, set[int]]) -> bool:
    """Whether the answer's first tokens in the target language differ from those in the source language and English."""
    others = [tokens.get(language, set()) for language in {question.source, "en"} - {question.target}]
    return not tokens[question.target] & set().union(*others)


def outcome(question: WordPrompt, tokens: dict[str, set[int]], best: np.ndarray) -> tuple[str, int | None]:
    """The outcome of a question, and the first layer whose likeliest token is the concept in another language.

    `best`: likeliest token of each layer. Words that also exist in the source language do not count.
    """
    source = tokens.get(question.source, set()) if question.source != question.target else set()
    concept = set().union(*tokens.values()) - source
    found = next((layer for layer, token in enumerate(best) if token in concept), None)
    if best[-1] in tokens[question.target]:
        return "right", found
    return ("task_failure" if found is None else "translation_failure"), found


def summarize(records: pd.DataFrame) -> pd.DataFrame:
    """Share of each outcome, for all pairs of languages together and for each; with an interval for right answers.

    Answers to prompts with the same id, a word in several pairs of languages, are not independent (wilson_by_question).
    """
    rows = []
    groups = [(("all", "all"), records), *records.groupby(["source", "target"], sort=False)]
    for (source, target), own in groups:
        asked = own.assign(right=own["outcome"].eq("right").astype(float), time=own.groupby("id").cumcount())
        low, high = wilson_by_question(asked.pivot(index="id", columns="time", values="right"))
        row = {"source": source, "target": target, "n": len(own), "ci_low": low, "ci_high": high}
        rows.append(row | {name: (own["outcome"] == name).mean() for name in OUTCOMES})
    return pd.DataFrame(rows)[["source", "target", "n", "right", "ci_low", "ci_high", *OUTCOMES[1:]]]


def main() -> None:
    config, start = parse(Lens), now()
    out = Path(config.out)
    every = list(cloze_questions(config.cloze) if config.cloze else word_questions(config))
    settings = {k: v for k, v in asdict(config).items() if k != "out"}
    digest = config_hash(settings | {"model": model_content_hash(config.model), "asked": list(map(asdict, every))})
    old, finished = read_run(out) if (out / "run.json").exists() else {}, out / f"summary{ENDING}"
    if old and "left_out" not in old:
        raise InputError(f"{out}: holds a run of another script; name another --out")
    done = finished.exists() and old.get("hash") == digest
    if planning():
        say_plan(Work.of([] if done else [question.prompt for question in every]))
    if done:
        print(f"{out}: done already")
        return
    claim(out)
    model, tokenizer = load(config.model, dtype=config.dtype, device=config.device)
    prompts, tokens = first_tokens(tokenizer, every)
    kept = [i for i, question in enumerate(every) if told_apart(question, tokens[i])]
    if not kept:
        raise InputError(
            "no question whose answer begins with different tokens in its languages; the lens cannot tell them apart"
        )
    questions = [every[i] for i in kept]
    groups = [[tokens[i].get(code, set()) for code in (every[i].target, every[i].source, "en")] for i in kept]
    likely, best = lens(model, [prompts[i] for i in kept], groups)
    results = [outcome(question, tokens[i], row) for question, i, row in zip(questions, kept, best, strict=True)]
    records = pd.DataFrame(
        {
            "id": [q.id for q in questions],
            "source": [q.source for q in questions],
            "target": [q.target for q in questions],
            "said": tokenizer.batch_decode([[token] for token in best[:, -1]]),
            "outcome": [result for result, _ in results],
            "concept_layer": pd.array([layer for _, layer in results], dtype="Int64"),
        }
    )
    index = pd.MultiIndex.from_product([range(len(kept)), range(likely.shape[1])], names=["row", "layer"])
    wide = pd.DataFrame(likely.reshape(-1, 3), index=index, columns=["target language", "source language", "English"])
    layers = wide.reset_index().join(records[["source", "target"]], on="row").drop(columns="row")
    means = layers.groupby(["source", "target", "layer"], sort=False).mean().reset_index()
    finished.unlink(missing_ok=True)  # of another configuration: what follows is not its own
    write_csv_atomic(out / "records.csv", records)
    write_csv_atomic(out / "layers.csv", means, float_format="%.6f")
    write_csv_atomic(out / "summary.csv", summarize(records))
    # From and into English two of the lines coincide; only pairs without it show all three.
    shown = means[(means["source"] != "en") & (means["target"] != "en")]
    curves = (shown if len(shown) else means).melt(
        ["source", "target", "layer"], var_name="words", value_name="probability"
    )
    curves = curves.assign(model=config.model, mean="of all pairs")
    pictures = save_figure(out / "lens", plot_curves, curves, "probability", "words", "mean", "probability of the word")
    left_out = len(every) - len(kept)
    info = {"config": asdict(config), "hash": digest, "model": config.model, "left_out": left_out}
    write_run(out, info | session(start))
    save_result(__file__, out / "summary", {Path(config.model).name: out}, [out / "summary.csv", *pictures])
    print(summarize(records).head(1).to_string(index=False, float_format="{:.3f}".format))
    print(f"{left_out} of {len(every)} prompts left out: their answers share a first token; {out}/summary.csv")


if __name__ == "__main__":
    run(main)
