"""Experiments of papers after the first one: causes of the barrier, facts changed in English, what hidden states hold.

    for experiment in FURTHER:
        table = experiment.read(results)  # of one model
        print(experiment.found(table))

A table has a row a number, fractions: part, series, row, value, ci_low, ci_high, and columns that the sentence needs.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from experiment import SEED, Experiment, Tables, change, draw_series, named, percent, tables_of
from matplotlib.figure import Figure
from read_results import Result

from common.reporting.files import read_csv
from common.reporting.plots import plot_curves
from common.reporting.stats import paired_bootstrap
from common.settings import label

ENDS = ("value", "ci_low", "ci_high")
OWN, OTHERS = "the language of training", "other languages"  # that a probe is tested in


def part(name: str, table: pd.DataFrame, series, row, value: str = "value") -> pd.DataFrame:
    """Rows of a part from the columns <value>, <value>_low, <value>_high, or else ci_low and ci_high."""
    prefix = value if f"{value}_low" in table else "ci"
    numbers = table[[value, f"{prefix}_low", f"{prefix}_high"]].set_axis(list(ENDS), axis=1)
    return numbers.assign(part=name, series=series, row=row)


def number(table: pd.DataFrame, name: str, row: str) -> pd.Series:
    """One row of a part."""
    return table[(table["part"] == name) & (table["row"] == row)].iloc[0]


def said(table: pd.DataFrame, name: str, row: str) -> str:
    """A row of a part as "47.8% [43.1, 52.5]"."""
    return percent(number(table, name, row), "value")


def changed(table: pd.DataFrame, name: str, row: str) -> str:
    """A row of a part as a difference in words."""
    return change(*number(table, name, row)[list(ENDS)])


def draw_part(tables: Tables, one: str, several: str, title: str, width: float, **keys) -> Figure:
    """The part `one` of one model, its series as colours; the part `several` of several models, these as colours."""
    if len(tables) == 1:
        table = next(iter(tables.values()))
        return draw_series(table[table["part"] == one], title, width, **keys)
    found = [t[t["part"] == several].assign(series=model) for model, t in tables.items()]
    return draw_series(pd.concat(found), title, width, **keys | {"joined": False})


# Wording, frequency, facts changed in English

WORDINGS = {"within": "two wordings, one language", "across": "one wording in each of two languages"}


def read_wording(results: Sequence[Result]) -> pd.DataFrame | None:
    """Agreement by pair of languages (those with English, where there are any), and of all pairs; the ratio of both."""
    for _, table in tables_of(results, "Recall/wording.py", "agreement.csv"):
        every, rest = (table[(table["language_a"] == "all") == flag] for flag in (True, False))
        english = rest[(rest["language_a"] == "en") | (rest["language_b"] == "en")]
        pairs = pd.concat([every, english if len(english) > 1 else rest])
        pairs = pairs[pairs["measure"].isin(WORDINGS)]
        names = [
            "all pairs" if row.language_a == "all" else f"{label(row.language_a)} and {label(row.language_b)}"
            for row in pairs.itertuples()
        ]
        ratio = every[every["measure"] == "ratio"]
        return pd.concat(
            [
                part("pairs", pairs, pairs["measure"].map(WORDINGS), names),
                part("mean", every[every["measure"].isin(WORDINGS)], "", list(WORDINGS.values())),
                part("ratio", ratio, "", "ratio"),
            ]
        ).assign(n=int(every["n"].max()))
    return None


def found_wording(table: pd.DataFrame) -> str:
    within, across = (said(table, "mean", row) for row in WORDINGS.values())
    start = f"On {table['n'].iloc[0]:,} facts two wordings of one language agree in {within} of cases, wordings of two"
    if not (table["part"] == "ratio").any():
        return f"{start} languages in {across}."
    ratio = number(table, "ratio", "ratio")
    share = f"{percent(ratio, 'value')} of that ceiling"
    if ratio["ci_high"] < 1:
        return f"{start} languages in {across}: {share}, so that language costs more than wording."
    more = "more than wordings of one" if ratio["ci_low"] > 1 else "that language costs more than wording is not shown"
    return f"{start} languages in {across}: {share}, {more}."


def draw_wording(tables: Tables, width: float) -> Figure:
    return draw_part(tables, "pairs", "mean", "same prediction (%), 95% interval", width, joined=True)


def read_frequency(results: Sequence[Result]) -> pd.DataFrame | None:
    """Accuracy by language and number of documents; the gap to English; what the regression says of frequency."""
    for result, bins in tables_of(results, "Recall/frequency.py", "bins.csv"):
        facts, effects = (read_csv(result.path.parent / name) for name in ("facts.csv", "regression.csv"))
        english = facts[facts["language"] == "en"].set_index("fact")["right"]
        others = facts[facts["language"] != "en"].groupby("fact")["right"].mean()
        gap = paired_bootstrap(others, english.loc[others.index].astype(float), seed=SEED)
        bins = bins.sort_values("documents", key=lambda own: own.map(_first), kind="stable")
        shown = bins[bins["documents"] != "all"].rename(columns={"accuracy": "value"})
        effects = effects[effects["points"].notna() & (effects["term"] == "log_frequency")]
        points = effects[["points", "points_low", "points_high"]].set_axis(list(ENDS), axis=1) / 100
        whole = bins[(bins["language"] == "en") & (bins["documents"] == "all")].rename(columns={"accuracy": "value"})
        return pd.concat(
            [
                part("bins", shown, shown["language"], shown["documents"] + " documents"),
                part("effects", points, "", "frequency: " + effects["change"]),
                part("english", whole, "", "en"),
                part("gap", pd.DataFrame([gap], columns=list(ENDS)), "", "gap"),
            ]
        ).assign(n=facts["fact"].nunique())
    return None


def _first(documents: str) -> int:
    """Where a bin begins; after all of them "all"."""
    return int(documents.split("-")[0].split(" ")[0].replace(",", "")) if documents != "all" else 10**9


def found_frequency(table: pd.DataFrame) -> str:
    start = (
        f"Of {table['n'].iloc[0]:,} facts {said(table, 'english', 'en')} are right in English; elsewhere accuracy"
        f" {changed(table, 'gap', 'gap')}"
    )
    row = "frequency: as in English"
    if not (table["row"] == row).any():
        return f"{start}; that frequency explains it cannot be said, with too few facts or none that differ."
    return f"{start}. At the frequency of English, a regression predicts, it {changed(table, 'effects', row)}."


def draw_frequency(tables: Tables, width: float) -> Figure:
    if len(tables) == 1:
        return draw_part(tables, "bins", "bins", "accuracy (%), 95% interval", width)
    return draw_part(tables, "bins", "effects", "predicted effect (points), 95% interval", width, zero="none")


def read_edit(results: Sequence[Result]) -> pd.DataFrame | None:
    """Whether the new answer outranks the old, with the change and without, after as many examples as suit English."""
    for result, table in tables_of(results, "Recall/edit.py", "summary.csv"):
        kept = (table["kind"] == "reliability") & (table["measure"] == "outranks")
        table = table[kept]
        english = table[table["language"] == "en"].set_index("demonstrations")
        count = int(english["change"].idxmax())
        table = table[table["demonstrations"] == count]
        answers = read_csv(result.path.parent / "answers.csv")
        answers = answers[(answers["kind"] == "reliability") & (answers["demonstrations"] == count)]
        means = {
            (where, edited): own.groupby("edit")["outranks"].mean().sort_index()
            for (where, edited), own in answers.groupby([answers["language"].eq("en"), "edited"])
        }
        pairs = {
            "others": (means[False, 1], 0 * means[False, 1]),
            "change": (means[False, 1], means[False, 0]),
            "against": (means[False, 1], means[True, 1]),
        }
        rows = [(*paired_bootstrap(a, b.loc[a.index], seed=SEED), name) for name, (a, b) in pairs.items()]
        means_table = pd.DataFrame(rows, columns=[*ENDS, "row"])
        return pd.concat(
            [
                part("languages", table, "without the change", table["language"], "unedited"),
                part("languages", table, "with the change", table["language"], "edited"),
                part("edited", table, "", table["language"], "edited"),
                part("means", means_table, "", means_table["row"]),
            ]
        ).assign(n=answers["edit"].nunique(), count=count)
    return None


def found_edit(table: pd.DataFrame) -> str:
    row = table.iloc[0]
    shots = f"{row['count']} solved examples" if row["count"] else "no solved examples"
    return (
        f"Of {row['n']:,} facts changed in English (with {shots}) the new answer outranks the old in"
        f" {said(table, 'edited', 'en')} in English and in {said(table, 'means', 'others')} in other languages."
        f" With the change the share there {changed(table, 'means', 'change')}; from English to the others it"
        f" {changed(table, 'means', 'against')}."
    )


def draw_edit(tables: Tables, width: float) -> Figure:
    title = "new answer outranks the old (%), 95% interval"
    return draw_part(tables, "languages", "edited", title, width, joined=True, chance=0.5)


# Knowledge or reasoning, bias or noise

GIVEN = {
    "facts_0": "no fact given", "facts_1": "one fact given", "facts_2": "two facts given",
    "english_facts": "facts in English", "english_question": "question in English",
}  # fmt: skip


def read_facts(results: Sequence[Result]) -> pd.DataFrame | None:
    """Points behind English by what is given and language; of facts known in English only where told."""
    for _, table in tables_of(results, "MMLU/tabulate_facts.py", ".csv"):
        own = table[table["category"] == "english_only"]
        own = own if len(own) else table[table["category"] == "all"]
        means, each = (own[(own["language"] == "mean") == flag] for flag in (True, False))
        last = means[means["given"].str.startswith("facts_")].iloc[[-1]]
        closed = -last[["closed", "closed_high", "closed_low"]].set_axis(list(ENDS), axis=1)
        return pd.concat(
            [
                part("gaps", each, each["language"], each["given"].map(GIVEN), "gap"),
                part("mean", means, "", means["given"].map(GIVEN), "gap"),
                part("change", closed, "", "change"),
            ]
        ).assign(n=int(last["n"].iloc[0]), most=GIVEN[last["given"].iloc[0]])
    return None


def found_facts(table: pd.DataFrame) -> str:
    first, most = (number(table, "mean", name) for name in (GIVEN["facts_0"], table["most"].iloc[0]))
    return (
        f"On {table['n'].iloc[0]:,} questions English is {points(first)} ahead with no fact given and {points(most)}"
        f" with {table['most'].iloc[0]}: the gap {changed(table, 'change', 'change')}."
    )


def points(row: pd.Series) -> str:
    """ "6.9 points [1.9, 11.9]"."""
    value, low, high = (round(100 * row[name], 1) + 0.0 for name in ENDS)  # no -0.0
    return f"{value:.1f} points [{low:.1f}, {high:.1f}]"


def draw_facts(tables: Tables, width: float) -> Figure:
    return draw_part(tables, "gaps", "mean", "behind English (points), 95% interval", width, zero="English")


SAMPLED = {"gap": "one sampled answer", "voted": "{votes} answers vote", "bias": "infinitely many vote: bias"}


def read_variance(results: Sequence[Result]) -> pd.DataFrame | None:
    """Points behind English by number of votes, and the part that is variance, by ensemble; means over languages."""
    for result, table in tables_of(results, "MMLU/variance.py", ".csv"):
        last = table.groupby("ensemble", sort=False).tail(1)
        names = dict(SAMPLED)
        if result.option("samples"):
            names["bias"] = "all answers vote: bias"
        names["variance"] = "variance"
        rows = [
            part(
                "ensembles",
                last,
                ["single" if name == "none" else f"mean over {name}" for name in last["ensemble"]],
                name.format(votes=last["votes"].iloc[0]),
                measure,
            )
            for measure, name in names.items()
        ]
        table = pd.concat(rows)
        plain = table[table["series"] == "single"]
        keys = [name.format(votes=last["votes"].iloc[0]) for name in names.values()]
        plain = plain.assign(part="single", order=plain["row"].map(keys.index))
        return pd.concat([table, plain]).assign(n=int(last["n"].iloc[0]))
    return None


def found_variance(table: pd.DataFrame) -> str:
    rows = {int(row["order"]): row for _, row in table[table["part"] == "single"].iterrows()}
    gap, bias, variance = rows[0], rows[2], rows[3]
    if variance["ci_low"] > 0:
        verdict = f"noise makes {points(variance)} of the gap"
    elif variance["ci_high"] < 0:
        verdict = f"noise hides part of the gap (variance {points(variance)})"
    else:
        verdict = f"no part of the gap can be shown to be noise (variance {points(variance)})"
    return (
        f"One sampled answer is {points(gap)} behind English, and {points(bias)} are left when noise is voted away"
        f" (n = {table['n'].iloc[0]:,}): {verdict}."
    )


def draw_variance(tables: Tables, width: float) -> Figure:
    return draw_part(tables, "ensembles", "single", "behind English (points), 95% interval", width, zero="English")


# Hidden states


def read_mexa(results: Sequence[Result]) -> pd.DataFrame | None:
    """MEXA with English by layer, language and embedding; `mean` of a language over layers, and the correlation."""
    for result, table in tables_of(results, "Translation/mexa.py", "scores.csv"):
        own = table[(table["language"] == "en") & (table["embedding"] == table["embedding"].iloc[0])]
        own = own.assign(mean=own.groupby("other")["mexa"].transform("mean"))
        correlation = [name for name in result.files if name.endswith("correlation.csv")]
        if correlation:
            kinds = read_csv(result.path.parent / correlation[0])
            of_means = kinds[(kinds["embedding"] == own["embedding"].iloc[0]) & (kinds["pool"] == "mean")]
            if len(of_means):
                first, names = of_means.iloc[0], ("pearson", "pearson_low", "pearson_high", "languages")
                own = own.assign(**{name: first[name] for name in names})
        return own
    return None


def found_mexa(table: pd.DataFrame) -> str:
    means = table.groupby("other")["mean"].first().sort_values()
    ends = [f"{100 * means.iloc[place]:.0f}% ({label(means.index[place])})" for place in (0, -1)]
    start = (
        f"Of {table['n'].max():,} sentences {' to '.join(ends[: len(means)])} are nearest to their translation both"
        " ways, on average over layers"
    )
    if "pearson" not in table:
        return f"{start}."
    row = table.iloc[0]
    verdict = "cannot be shown to go with accuracy"
    if row["pearson_low"] > 0:
        verdict = "goes with higher accuracy"
    elif row["pearson_high"] < 0:
        verdict = "goes with lower accuracy"
    span = f"{row['pearson']:.2f} [{row['pearson_low']:.2f}, {row['pearson_high']:.2f}]"
    return f"{start}; over {row['languages']:.0f} languages a larger share {verdict} (Pearson's r {span})."


def draw_mexa(tables: Tables, width: float) -> Figure:
    """One model: a line a language; several: a line a model, the mean over languages."""
    title = "nearest (fraction)"
    if len(tables) == 1:
        shown = next(iter(tables.values())).assign(model="", panel="")
        return plot_curves(shown, "mexa", "other", "panel", title, width)
    shown = pd.concat([table.assign(name=model, model="", panel="") for model, table in tables.items()])
    return plot_curves(shown, "mexa", "name", "panel", title, width)


def read_layers(results: Sequence[Result]) -> pd.DataFrame | None:
    """Changes of alignment, the mean over layers, and of accuracy by arm of fine-tuning; and the script's sentence."""
    for result, table in tables_of(results, "report/tabulate_layers.py", "layers.csv"):
        own = table[table["layer"].astype(str) == "all"]
        arms = own["arm"].map(named)
        measures = {"change": "alignment (MEXA), mean over layers", "accuracy_change": "accuracy in other languages"}
        both = [part("both", own, series, arms, name) for name, series in measures.items()]
        return pd.concat([*both, part("alignment", own, "", arms, "change")]).assign(sentence=result.sentence)
    return None


def draw_layers(tables: Tables, width: float) -> Figure:
    return draw_part(tables, "both", "alignment", "change (points), 95% interval", width, zero="before")


def read_probe(results: Sequence[Result]) -> pd.DataFrame | None:
    """Balanced accuracy by layer, in the language of training and in others; `part` own, others, shift: at the best."""
    for result, summary in tables_of(results, "Translation/probe.py", "summary.csv"):
        layers = read_csv(result.path.parent / "layers.csv")
        layers = layers[layers["method"] == "as_is"]
        layers = layers.assign(where=np.where(layers["train"] == layers["test"], OWN, OTHERS))
        curves = layers.groupby(["layer", "where"], sort=False)["balanced_accuracy"].mean().reset_index()
        summary = summary[summary["measure"] == "balanced_accuracy"].set_index(["test", "method"])
        found = [summary.loc[[place]] for place in (("itself", "as_is"), ("others", "as_is"), ("others", "shift"))]
        return pd.concat(
            [
                curves.rename(columns={"balanced_accuracy": "value"}).assign(part="layers"),
                *(part("best", one, "", name) for one, name in zip(found[:2], (OWN, OTHERS), strict=True)),
                part("shift", found[2], "", "shift", "vs_as_is"),
            ]
        ).assign(n=int(summary["n"].iloc[0]))
    return None


def found_probe(table: pd.DataFrame) -> str:
    parts = []
    for name in (OWN, OTHERS):
        row = number(table, "best", name)
        guess = "more than guessing" if row["ci_low"] > 0.5 else "not clearly more than guessing"
        parts.append(f"in {percent(row, 'value')} of both kinds in {name} ({guess})")
    return (
        f"On {table['n'].iloc[0]:,} questions a probe tells right from wrong answers {' and '.join(parts)}; with the"
        f" means of the languages shifted onto each other the latter {changed(table, 'shift', 'shift')}."
    )


def draw_probe(tables: Tables, width: float) -> Figure:
    """One model: a line where it is tested; several: a line a model, tested in other languages."""
    title = "balanced accuracy"
    curves = {model: table[table["part"] == "layers"] for model, table in tables.items()}
    if len(curves) == 1:
        return plot_curves(
            next(iter(curves.values())).assign(model="", panel=""), "value", "where", "panel", title, width
        )
    shown = [t[t["where"] == OTHERS].assign(name=model, model="", panel="") for model, t in curves.items()]
    return plot_curves(pd.concat(shown), "value", "name", "panel", title, width)


FURTHER = (
    Experiment(
        "Knowledge or reasoning",
        ("MMLU/tabulate_facts.py",),
        "bash MMLU/scripts/facts.sh",
        "Does English stay ahead when the facts that an answer needs are given before the question?",
        read_facts,
        found_facts,
        draw_facts,
    ),
    Experiment(
        "Bias or noise",
        ("MMLU/variance.py",),
        "bash MMLU/scripts/variance.sh",
        "Is a model surely wrong in other languages, or unsure, so that many sampled answers would vote right?",
        read_variance,
        found_variance,
        draw_variance,
    ),
    Experiment(
        "Language or wording",
        ("Recall/wording.py",),
        "bash Recall/scripts/wording.sh",
        "Do answers change with the language of a question more than with its wording?",
        read_wording,
        found_wording,
        draw_wording,
    ),
    Experiment(
        "Frequency or barrier",
        ("Recall/frequency.py",),
        "bash Recall/scripts/frequency.sh",
        "Are facts less known in other languages because they are written about less there?",
        read_frequency,
        found_frequency,
        draw_frequency,
    ),
    Experiment(
        "Facts changed in English",
        ("Recall/edit.py",),
        "bash Recall/scripts/edit.sh",
        "When a sentence in English states a new fact, does the model follow it in other languages?",
        read_edit,
        found_edit,
        draw_edit,
    ),
    Experiment(
        "Alignment by layer (MEXA)",
        ("Translation/mexa.py",),
        "bash Translation/scripts/mexa.sh",
        "Are sentences and their translations neighbours among hidden states, and does that predict accuracy?",
        read_mexa,
        found_mexa,
        draw_mexa,
    ),
    Experiment(
        "Alignment and fine-tuning",
        ("report/tabulate_layers.py",),
        "bash FT/scripts/remedy.sh",
        "Where fine-tuning brings sentences and their translations closer, does accuracy rise?",
        read_layers,
        lambda table: str(table["sentence"].iloc[0]),
        draw_layers,
    ),
    Experiment(
        "A probe for right answers",
        ("Translation/probe.py",),
        "bash Translation/scripts/probe.sh",
        "Do hidden states tell right answers from wrong ones, also in languages without training?",
        read_probe,
        found_probe,
        draw_probe,
    ),
)
