"""What is known of each model: results, verdicts and the tables of the experiments; the report's first sentences.

studies = study(claims, results, folders, seed=42)
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from check_claims import FAILS, HOLDS, Verdict, check
from claims import Claim
from experiments import EXPERIMENTS, MMLU, best_fix, found_places, means_of
from further import OTHERS, number
from read_results import Result

from common.cli import InputError, model_name
from common.reporting.tables import crossed, interval
from common.settings import label

TRANSLATORS = ("dictionary", "google", "deepl", "libre", "")  # what some runs name in place of a model


@dataclass(frozen=True)
class Study:
    """A model by name, its results, a verdict for each claim, and the experiments' tables by title."""

    model: str
    results: list[Result]
    verdicts: list[Verdict]
    tables: dict[str, pd.DataFrame]


def study(claims: Sequence[Claim], results: Sequence[Result], folders: Sequence[str], seed: int) -> list[Study]:
    """What is known of each model, the one that is best in English first; `folders` are those that were searched."""
    studies = []
    for model, own in by_model(results, folders).items():
        tables = {one.title: table for one in EXPERIMENTS if (table := _read(one.read, own)) is not None}
        studies.append(Study(model, own, check(claims, own, seed), tables))
    return sorted(studies, key=lambda one: -_english(one))


def _read(read, results: Sequence[Result]) -> pd.DataFrame | None:
    """The experiment's table; None also for tables of another layout, which are shown among the numbers alone."""
    try:
        return read(results)
    except (InputError, LookupError, TypeError, ValueError, AttributeError):
        return None


def _english(one: Study) -> float:
    return means_of(one.tables[MMLU.title]).loc["en", "accuracy"] if MMLU.title in one.tables else 0.0


def by_model(results: Sequence[Result], folders: Sequence[str]) -> dict[str, list[Result]]:
    """Results by the model they are about, in their order.

    Where a result has several models, or only one that a script has trained (in a folder `models` among the results),
    it is about the model that most results in its searched folder are of.
    """
    named = [_models(result, Path(folders[result.place]).resolve()) for result in results]
    most: dict[int, Counter] = {}
    for result, names in zip(results, named, strict=True):
        most.setdefault(result.place, Counter()).update(names)
    overall = sum(most.values(), Counter())
    groups: dict[str, list[Result]] = {}
    # Those of trained models alone come last: what is read first is about the model before training.
    for result, names in sorted(zip(results, named, strict=True), key=lambda pair: not pair[1]):
        usual = (most[result.place] or overall).most_common(1)
        chosen = usual[0][0] if usual and (not names or usual[0][0] in names) else next(iter(names), "")
        groups.setdefault(chosen, []).append(result)
    short = Counter(map(model_name, groups))
    return {
        (model_name(name) if short[model_name(name)] == 1 else "/".join(Path(name).parts[-2:])) or "model": own
        for name, own in groups.items()
    }


def _models(result: Result, searched: Path) -> list[str]:
    """The models of a result but for those that a script has trained, each once."""
    names = dict.fromkeys(source.model for source in result.runs.values())
    trained = [n for n in names if Path(n).parent.name == "models" and Path(n).resolve().is_relative_to(searched)]
    return [name for name in names if name not in (*TRANSLATORS, *trained)]


def headline(studies: Sequence[Study]) -> list[str]:
    """The report's first three sentences; of one model the drop, where it lies, and what helps or holds."""
    if len(studies) > 1:
        tallies = {one.model: _tally(one) for one in studies}
        counts = ", ".join(f"{holds} of {tested} ({model})" for model, (holds, tested) in tallies.items() if tested)
        return [*_of_several(studies), f"Of the papers' claims that are tested hold {counts}." * bool(counts)]
    (one,) = studies
    barrier = one.tables.get(MMLU.title)
    said = [] if barrier is None else [MMLU.found(barrier), found_places(barrier)]
    rest = [each.found(one.tables[each.title]) for each in EXPERIMENTS if each.title in one.tables and each != MMLU]
    holds, tested = _tally(one)
    verbs = "is" if tested == 1 else "are", "holds" if holds == 1 else "hold"
    last = f"Of the papers' claims {tested} {verbs[0]} tested on {one.model}: {holds} {verbs[1]}." * bool(tested)
    return [*[sentence for sentence in (*said, *rest) if sentence][:2], last]


def _tally(one: Study) -> tuple[int, int]:
    """Of the claims that were tested, how many hold; and how many were tested."""
    own = [verdict for verdict in one.verdicts if not verdict.same_as]
    holds, fails = (sum(verdict.verdict == word for verdict in own) for word in (HOLDS, FAILS))
    return holds, holds + fails


def _of_several(studies: Sequence[Study]) -> list[str]:
    known = {one.model: means_of(one.tables[MMLU.title]) for one in studies if MMLU.title in one.tables}
    if not known:
        return []
    english = {model: means.loc["en", "accuracy"] for model, means in known.items()}
    said = [f"In English the models are right in {_span(english, 100, '%')} of the questions"]
    for name in ("full", "mixup"):
        asked = {model: means.loc[name] for model, means in known.items() if name in means.index}
        lost = {model: -row["delta_vs_en"] for model, row in asked.items()}
        if lost:
            clear = sum(row["delta_high"] < 0 for row in asked.values())
            gains = sum(row["delta_low"] > 0 for row in asked.values())
            more = f" and {gains} clearly gain" if gains else ""
            said.append(f"with {label(name)} {clear} of {len(lost)} clearly lose{more}: {_span(lost, 100, ' points')}")
    drops = [drop for means in known.values() if len(drop := means["delta_vs_en"].drop(index="en").dropna())]
    places = Counter(drop.idxmin() for drop in drops)
    where = ", ".join(f"{label(name)} ({count} of {len(drops)})" for name, count in places.most_common())
    return ["; ".join(said) + ".", f"Accuracy is lowest with {where}." * bool(where)]


def _span(values: dict[str, float], scale: float, unit: str, form: str = ".1f") -> str:
    """ "40.1% (a) to 62.0% (b)"."""
    least, most = min(values, key=values.get), max(values, key=values.get)
    if len(values) > 1 and values[least] == values[most]:
        return f"{scale * values[least]:{form}}{unit}"
    return " to ".join(f"{scale * values[one]:{form}}{unit} ({one})" for one in dict.fromkeys((least, most)))


def models_table(studies: Sequence[Study]) -> pd.DataFrame:
    """One row a model: what it gets right, loses, and recovers; fractions; empty cells are not known."""
    rows = []
    for one in studies:
        row: dict = {"model": one.model}
        if MMLU.title in one.tables:
            means = means_of(one.tables[MMLU.title])
            row |= {"n": means.loc["en", "n"], "english": means.loc["en", "accuracy"]}
            for name in ("full", "mixup"):
                if name in means.index:
                    row |= {name: means.loc[name, "accuracy"], f"{name}_drop": -means.loc[name, "delta_vs_en"]}
                    row |= {f"{name}_drop_low": -means.loc[name, "delta_high"]}
                    row |= {f"{name}_drop_high": -means.loc[name, "delta_low"]}
        for title, columns in KEPT.items():
            if title in one.tables:
                row |= columns(one.tables[title])
        rows.append(row)
    return pd.DataFrame(rows)


def _fixes(table: pd.DataFrame) -> dict:
    best = best_fix(table)
    return {} if best is None else {"best_fix": best["method"], "gap_closed": best["gap_closed"]}


def _clika(table: pd.DataFrame) -> dict:
    return {"consistency": _english_pairs(table)["value"].mean(), "conductivity": table["carried"].iloc[0]}


KEPT = {
    "Domain quiz": lambda table: {"quiz_drop": -table["lost"].iloc[0]},
    "Facts taught in one language": lambda table: {"taught_drop": -table["lost"].iloc[0]},
    "Fixes without training": _fixes,
    "Consistency and conductivity": _clika,
    "Translation": lambda table: {"chrf": table["value"].mean(), "bleu": table["bleu"].mean()},
    "Logit lens on word translation": lambda table: {"words_right": table["right"].iloc[0]},
    "Knowledge or reasoning": lambda table: {"closed_by_facts": -number(table, "change", "change")["value"]},
    "Bias or noise": lambda table: {"variance": number(table, "single", "variance")["value"]},
    "Language or wording": lambda table: {"agreement_ratio": table.loc[table["part"] == "ratio", "value"].mean()},
    "Frequency or barrier": lambda table: {"facts_drop": -number(table, "gap", "gap")["value"]},
    "Facts changed in English": lambda table: {"edit_change": number(table, "means", "change")["value"]},
    "Alignment by layer (MEXA)": lambda table: {"mexa": table["mexa"].mean()},
    "A probe for right answers": lambda table: {"probe": number(table, "best", OTHERS)["value"]},
}


def _english_pairs(table: pd.DataFrame) -> pd.DataFrame:
    return table[(table["language_a"] == "en") & (table["language_b"] != "en")]


COMPARED = {  # rows of an experiment's table that stand beside those of other models: (rows, their name, the measure)
    MMLU.title: lambda table: (means_of(table).reset_index(), "row", "accuracy"),
    "Domain quiz": lambda table: (table, "language", "accuracy"),
    "Facts taught in one language": lambda table: (table[table["chosen"]], "language", "value"),
    "Fixes without training": lambda table: (table[table["setting"] == table["mixed"]], "row", "gap_closed"),
    "Fine-tuning": lambda table: (table[table["column"] == "mixup"], "series", "accuracy"),
    "Consistency and conductivity": lambda table: (_english_pairs(table), "language_b", "value"),
    "Translation": lambda table: (table[table["series"] == "from English"], "language", "value"),
    "Logit lens on word translation": lambda table: (table.head(1).assign(row="words right"), "row", "right"),
    "Bias or noise": lambda table: (table[table["part"] == "single"], "row", "value"),
    "Facts changed in English": lambda table: (table[table["part"] == "edited"], "row", "value"),
    "A probe for right answers": lambda table: (table[table["part"] == "best"], "row", "value"),
} | {
    title: lambda table: (table[table["part"] == "mean"], "row", "value")
    for title in ("Knowledge or reasoning", "Language or wording")
}


def compare(title: str, tables: dict[str, pd.DataFrame]) -> list[str]:
    """The numbers of an experiment in percent with 95% intervals, models as columns; no lines where there are none."""
    if title not in COMPARED:
        return []
    cells = {}
    for model, table in tables.items():
        rows, name, measure = COMPARED[title](table)
        cells |= {(label(str(getattr(row, name))), model): interval(row, measure) for row in rows.itertuples()}
    return crossed("percent", cells)
