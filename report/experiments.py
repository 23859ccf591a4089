"""The experiments of the report: what each asks, what was found in a sentence made from the numbers, and its figure.

    for experiment in EXPERIMENTS:
        table = experiment.read(results)  # of one model
        print(experiment.found(table))

Those of CLiKA, cloze sentences and closed-book questions are in clika_sections.py, of later papers in further.py.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from clika_sections import CLIKA
from experiment import (
    CHANCE,
    SEED,
    Experiment,
    Tables,
    beside,
    change,
    draw_series,
    heat_map,
    named,
    percent,
    tables_of,
)
from figures import plot_slopes
from further import FURTHER
from matplotlib.figure import Figure
from read_results import Result

from common.cli import InputError
from common.evaluation.records import load_records
from common.languages import LANGUAGES
from common.reporting.files import read_csv
from common.reporting.plots import (
    COLUMN,
    add_legend,
    draw_chance,
    draw_line,
    draw_rows,
    plot_curves,
    rows_figure,
)
from common.reporting.stats import paired_bootstrap
from common.settings import family, label

FORWARD = ("full", "mixup", "question", "options", "gt", "gt_question", "onewrong", "threewrong")
MEAN = "mean"
REFERENCES = ("google", "nllb")  # what the paper sets beside the models' translations


def lost(result: Result, run: str) -> tuple[float, float, float]:
    """Accuracy with everything in another language minus that in English, and its interval over questions."""
    try:
        records = load_records(result.runs[run].folder)
    except (InputError, OSError, ValueError):
        return (float("nan"),) * 3
    kinds = records["setting"].map(lambda name: family(name)[0])
    means = [records[kinds == kind].groupby("id")["correct"].mean() for kind in ("full", "en")]
    shared = means[0].index.intersection(means[1].index)
    return paired_bootstrap(*(one.loc[shared].astype(float) for one in means), seed=SEED)


# MMLU


def read_mmlu(results: Sequence[Result]) -> pd.DataFrame | None:
    """Accuracy and difference from English by setting, of the first run; facts known in English only where told.

    Not of the quiz and of Belebele, whose tables are of the same script.
    """
    quiz = {source.folder for r in results if r.script == "HP/tabulate_quiz.py" for source in r.runs.values()}
    found = [
        (result, table)
        for result, table in tables_of(results, "MMLU/tabulate_mmlu.py", ".csv")
        if not quiz.intersection(source.folder for source in result.runs.values())
    ]
    found.sort(key=lambda pair: pair[0].option("category") != "english_only")
    for result, table in found:
        run = table["run"].iloc[0]
        table = table[table["run"] == run]
        if "en" in set(table["setting"]) and len(table) > 1 and not of_belebele(result.runs[run].folder):
            return by_family(table)
    return None


def of_belebele(folder: Path) -> bool:
    """Whether the questions of a run are Belebele's, which are all of one subject."""
    try:
        return set(load_records(folder)["subject"]) == {"belebele"}
    except (InputError, OSError, ValueError):
        return False


def by_family(table: pd.DataFrame) -> pd.DataFrame:
    """The table with the columns `row` (a family of settings) and `language`: "mean", "-" or a language."""
    alone = table.groupby("family")["language"].transform("size") == 1
    return table.assign(row=table["family"], language=table["language"].mask(alone, MEAN))


def means_of(table: pd.DataFrame) -> pd.DataFrame:
    """The rows over all languages, by family, in the order of the figures."""
    means = table[table["language"] == MEAN].set_index("row")
    return means.loc[[name for name in ("en", *FORWARD) if name in means.index]]


def found_mmlu(table: pd.DataFrame) -> str:
    means = means_of(table)
    said = [f"Of {means.loc['en', 'n']:,} questions {percent(means.loc['en'])} are answered right in English"]
    for name in ("full", "mixup"):
        if name in means.index:
            said.append(f"with {label(name)} accuracy {change(*_delta(means.loc[name]))}")
    return "; ".join(said) + "."


def found_places(table: pd.DataFrame) -> str:
    """In which setting most is lost, and in which least."""
    means = means_of(table).drop(index="en").dropna(subset=["delta_vs_en"])
    if means.empty:
        return ""
    most, least = means["delta_vs_en"].idxmin(), means["delta_vs_en"].idxmax()
    if most == least:
        return ""
    return (
        f"With {label(most)} accuracy {change(*_delta(means.loc[most]))}; with {label(least)} it"
        f" {change(*_delta(means.loc[least]))}."
    )


def _delta(row: pd.Series) -> tuple[float, float, float]:
    return row["delta_vs_en"], row["delta_low"], row["delta_high"]


def draw_headline(tables: Tables, width: float) -> Figure:
    """Accuracy by setting, and the difference from English; models as colours."""
    means = {model: means_of(table) for model, table in tables.items()}
    order = [name for name in ("en", *FORWARD) if any(name in one.index for one in means.values())]
    table = pd.concat(means, names=["model"])
    figure, axes = rows_figure(table.index, width, 2)
    for axis, (name, low, high) in zip(
        axes, (("accuracy", "ci_low", "ci_high"), ("delta_vs_en", "delta_low", "delta_high")), strict=True
    ):
        shown = 100 * table[[name, low, high]].set_axis(["value", "ci_low", "ci_high"], axis=1)
        shown = shown.reindex(pd.MultiIndex.from_product([list(means), order]))
        draw_rows(axis, shown)
    draw_chance(axes[0], CHANCE)
    axes[0].set_xlabel("accuracy (%), 95% interval")
    draw_line(axes[1], 0, "English", "--", "right")
    axes[1].set_xlabel("difference from English (points)")
    add_legend(figure, axes[:1])
    return figure


def draw_mmlu(tables: Tables, width: float) -> Figure:
    """Differences from English by setting: a mark a language for one model, else a heat map with a column a model."""
    if len(tables) > 1:
        drops = pd.DataFrame({model: -100 * means_of(table)["delta_vs_en"] for model, table in tables.items()})
        drops = drops.loc[[name for name in FORWARD if name in drops.index]]
        return heat_map(drops, "points lost from English", ".1f", width)
    table = next(iter(tables.values()))
    shown = table[table["row"].isin(FORWARD) & ((table["language"] != MEAN) | (table["row"] == "mixup"))]
    shown = shown.assign(series=shown["language"].where(shown["language"] != MEAN, "mixup"))
    codes = ["mixup", *LANGUAGES]
    shown = shown.sort_values("series", key=lambda one: one.map(codes.index), kind="stable")
    rows = shown.set_index(["series", "row"])[["delta_vs_en", "delta_low", "delta_high"]]
    figure, axis = rows_figure(rows.index, width)
    draw_rows(axis, 100 * rows.set_axis(["value", "ci_low", "ci_high"], axis=1))
    draw_line(axis, 0, "English", "--", "right")
    axis.set_xlabel("difference from English (points)")
    add_legend(figure, [axis])
    return figure


# The domain quiz, and facts taught in one language


def read_quiz(results: Sequence[Result]) -> pd.DataFrame | None:
    """Accuracy by language of the model before any training, and what is lost outside English."""
    found = sorted(tables_of(results, "HP/tabulate_quiz.py", ".csv"), key=lambda pair: len(pair[0].runs) > 1)
    for result, table in found:
        arm = table["arm"].iloc[0]
        table = table[(table["arm"] == arm) & (table["category"] == "all")]
        if "en" in set(table["language"]) and len(table) > 1:
            value, low, high = lost(result, arm)
            return table.assign(value=table["accuracy"], lost=value, lost_low=low, lost_high=high)
    return None


def found_languages(table: pd.DataFrame) -> str:
    """Accuracy in English and what is lost elsewhere."""
    english, others = table[table["language"] == "en"].iloc[0], table[table["language"] != "en"]
    said = f"{percent(english, 'value')} right in English (n = {english['n']:,})"
    if len(others):
        said += f", {100 * others['value'].min():.1f}% to {100 * others['value'].max():.1f}% in other languages"
    if pd.isna(english["lost"]):
        return f"{said}."
    return f"{said}: asked there, accuracy {change(english['lost'], english['lost_low'], english['lost_high'])}."


def draw_languages(tables: Tables, width: float) -> Figure:
    """One model: a line from English to each language; several: languages as rows, models as colours."""
    if len(tables) == 1:
        table = next(iter(tables.values())).set_index("language")["value"]
        others = table.drop("en")
        slopes = pd.DataFrame({"row": others.index, "left": table["en"], "right": others.to_numpy()})
        return plot_slopes(slopes, "asked in English", "in another language", "accuracy (%)", COLUMN)
    return draw_series(beside(tables, "language"), "accuracy (%), 95% interval", width, chance=CHANCE)


def read_taught(results: Sequence[Result]) -> pd.DataFrame | None:
    """Accuracy of the choice by language and arm; `lost` is that of the taught arm, or of the only one."""
    for result, table in tables_of(results, "TOFU/tabulate_tofu.py", ".csv"):
        table = table[table["measure"] == "choice"].dropna(subset=["value"])
        if "en" in set(table["language"]):
            arm = "taught" if "taught" in set(table["arm"]) else table["arm"].iloc[0]
            value, low, high = lost(result, arm)
            return table.assign(chosen=table["arm"] == arm, lost=value, lost_low=low, lost_high=high)
    return None


def found_taught(table: pd.DataFrame) -> str:
    chosen = table[table["chosen"]]
    arm = named(chosen["arm"].iloc[0])
    start = "Taught in English, the model is" if arm == "taught" else f"The model ({arm}) is"
    return f"{start} {found_languages(chosen)}"


def draw_taught(tables: Tables, width: float) -> Figure:
    """One model: a dumbbell from untaught to taught by language; several: the taught ones as colours."""
    if len(tables) == 1:
        table = next(iter(tables.values()))
        table = table.assign(series=table["arm"].map(named), row=table["language"])
        return draw_series(table, "accuracy (%), 95% interval", width, joined=True, chance=CHANCE)
    chosen = {model: table[table["chosen"]] for model, table in tables.items()}
    return draw_series(beside(chosen, "language"), "accuracy (%), 95% interval", width, chance=CHANCE)


# Fixes


def read_fixes(results: Sequence[Result]) -> pd.DataFrame | None:
    """Accuracy in English and in a mixed setting by method, and the share of the gap that each closes there."""
    for _, table in tables_of(results, "MMLU/tabulate_mitigation.py", ".csv"):
        settings = set(table["setting"])
        mixed = next((name for name in ("mixup", "full") if name in settings), None)
        if mixed and "en" in settings and table["method"].nunique() > 1:
            return table[table["setting"].isin(["en", mixed])].assign(row=table["method"].map(named), mixed=mixed)
    return None


def best_fix(table: pd.DataFrame) -> pd.Series | None:
    """The row of the fix that closes the largest share of the gap."""
    closed = table[(table["setting"] == table["mixed"]) & table["gap_closed"].notna()]
    return None if closed.empty else closed.loc[closed["gap_closed"].idxmax()]


def found_fixes(table: pd.DataFrame) -> str:
    best = best_fix(table)
    count = table["method"].nunique() - 1
    if best is None:
        return f"There is no gap that the {count} fixes could close."
    low, high = 100 * best["gap_closed_low"], 100 * best["gap_closed_high"]
    share = f"{100 * best['gap_closed']:.0f}% [{low:.0f}, {high:.0f}]"
    if pd.isna(low):
        return f"So little is lost that what the {count} fixes recover has no interval."
    if low > 0:
        chosen = " (as the best of them, which the interval leaves out)" if count > 1 else ""
        return f"Of {count} fixes {best['row']} does best and recovers {share} of what is lost{chosen}."
    if high < 0:
        return f"None of {count} fixes helps: even the best, {best['row']}, loses more ({share} of the gap recovered)."
    return f"None of {count} fixes clearly helps: {best['row']} does best, {share} of the gap recovered."


def draw_fixes(tables: Tables, width: float) -> Figure:
    """One model: a dumbbell from the mixed setting to English by method; several: the share of the gap recovered."""
    if len(tables) == 1:
        table = next(iter(tables.values()))
        table = table.assign(series=table["setting"].map(label), value=table["accuracy"])
        return draw_series(table, "accuracy (%), 95% interval", width, joined=True, chance=CHANCE)
    keys = {"gap_closed": "value", "gap_closed_low": "ci_low", "gap_closed_high": "ci_high"}
    table = beside(tables, "row").drop(columns=["ci_low", "ci_high"]).rename(columns=keys)
    return draw_series(table.dropna(subset=["value"]), "share of the gap recovered (%)", width)


def read_tuned(results: Sequence[Result]) -> pd.DataFrame | None:
    """Accuracy by training text, and the change from before, in English and outside it."""
    findings = [result for result in results if result.script == "FT/finding.py" and result.sentence]
    findings.sort(key=lambda result: -result.option("tables").count(","))  # that over several seeds first
    found = tables_of(results, "FT/tabulate_arms.py", ".csv")
    pairs = [(table, finding.sentence) for finding in findings for result, table in found if is_of(finding, result)]
    for table, said in [*pairs, *((table, "") for _, table in found)]:
        table = table[table["column"].isin(["en", "full", "mixup"])]
        if table["vs_base"].notna().any():
            return table.assign(row=table["column"], series=table["arm"].map(named), said=said)
    return None


def is_of(finding: Result, table: Result) -> bool:
    """Whether a sentence of FT/finding.py is about this table, which lies beside it or in a seed's folder below."""
    names = {Path(word.partition("=")[2]).name for word in finding.option("tables").split(",")}
    return table.path.is_relative_to(finding.path.parent) and not names.isdisjoint(table.files)


def found_tuned(table: pd.DataFrame) -> str:
    if table["said"].iloc[0]:
        return table["said"].iloc[0]
    said = []
    for row in table[(table["column"] == "mixup") & table["vs_base"].notna()].itertuples():
        said.append(f"after {row.series} accuracy {change(row.vs_base, row.vs_base_low, row.vs_base_high)}")
    return f"With {label('mixup')}, {'; '.join(said)}." if said else ""


def draw_tuned(tables: Tables, width: float) -> Figure:
    """One model: a mark for each training text; several: the change on mixed questions, models as colours."""
    if len(tables) == 1:
        table = next(iter(tables.values())).rename(columns={"accuracy": "value"})
        return draw_series(table, "accuracy (%), 95% interval", width, chance=CHANCE)
    keys = {"vs_base": "value", "vs_base_low": "ci_low", "vs_base_high": "ci_high"}
    table = beside({m: t[t["column"] == "mixup"].assign(arm=t["series"]) for m, t in tables.items()}, "arm")
    table = table.drop(columns=["ci_low", "ci_high"]).rename(columns=keys).dropna(subset=["value"])
    return draw_series(table, "change on mixed questions (points)", width)


# Translation, embeddings, the lens


def read_translation(results: Sequence[Result]) -> pd.DataFrame | None:
    """chrF++ (with intervals over sentences) and BLEU by direction of the first system that is no reference."""
    for result, table in tables_of(results, "Translation/score.py", "scores.csv"):
        systems = sorted(table["system"].unique(), key=lambda name: name.lower().startswith(REFERENCES))
        own = table[table["system"] == systems[0]]
        sentences = next((name for name in result.files if name.endswith(".sentences.csv")), None)
        each = read_csv(result.path.parent / sentences) if sentences else pd.DataFrame(columns=["system"])
        each = each[each["system"] == own["system"].iloc[0]]
        rows = []
        for row in own.itertuples():
            values = each.loc[each["direction"] == row.direction, "chrf"].to_numpy(float) if len(each) else []
            _, low, high = paired_bootstrap(values, np.zeros(len(values)), seed=SEED)
            source, target = row.direction.split("-")
            english = "en" in (source, target)
            kind = ("into English" if target == "en" else "from English") if english else label(source)
            other = source if target == "en" else target
            mean = float(np.mean(values)) if len(values) else row.chrf
            rows.append((kind, other, row.n, mean / 100, low / 100, high / 100, row.bleu))
        return pd.DataFrame(rows, columns=["series", "language", "n", "value", "ci_low", "ci_high", "bleu"])
    return None


def found_translation(table: pd.DataFrame) -> str:
    said = []
    for kind, own in table.groupby("series", sort=True):
        said.append(f"{own['bleu'].mean():.1f} BLEU and {100 * own['value'].mean():.1f} chrF++ a sentence {kind}")
    return f"On average {', '.join(said)} ({table['n'].max():,} sentences, {table['language'].nunique()} languages)."


def draw_translation(tables: Tables, width: float) -> Figure:
    """Languages as rows; into and from English as colours, or models."""
    if len(tables) == 1:
        table = next(iter(tables.values()))
        return draw_series(table.assign(row=table["language"]), "chrF++ (0 to 100), 95% interval", width)
    means = {m: t[t["series"] == "from English"] for m, t in tables.items()}
    return draw_series(beside(means, "language"), "chrF++ from English (0 to 100), 95% interval", width)


def read_embeddings(results: Sequence[Result]) -> pd.DataFrame | None:
    """Cosine similarity to the original by layer and kind of text."""
    for _, table in tables_of(results, "Translation/embeddings.py", "summary.csv"):
        return table[table["model"] == table["model"].iloc[0]]
    return None


def found_embeddings(table: pd.DataFrame) -> str:
    said = []
    for rate, own in table[(table["baseline"] == "random_token") & (table["layer"] > 0)].groupby("rate"):
        closer, layers = int((own["ci_low"] > 0).sum()), len(own)
        weakest = own.loc[own["difference"].idxmin()]
        span = f"{weakest['difference']:.3f} [{weakest['ci_low']:.3f}, {weakest['ci_high']:.3f}]"
        where = "every layer" if closer == layers else f"{closer} of {layers} layers" if closer else "no layer"
        said.append(
            f"at a rate of {rate:g} it is closer to the original than text with random tokens in {where}"
            f" (least in layer {weakest['layer']:.0f}: cosine {span} higher)"
        )
    return f"Mixed-language text: {'; '.join(said)}." if said else ""


def draw_embeddings(tables: Tables, width: float) -> Figure:
    parts = []
    for model, table in tables.items():
        keys = ["rate", "layer"]
        mixed = table.drop_duplicates(keys).assign(cosine=lambda rows: rows["mixed"], baseline="mixed languages")
        parts.append(pd.concat([mixed, table]).assign(model=model))
    shown = pd.concat(parts)
    return plot_curves(shown, "cosine", "baseline", "rate", "cosine to the original", width)


def read_lens(results: Sequence[Result]) -> pd.DataFrame | None:
    """Probability of the word by layer and language that it is said in, with what came out at the end."""
    for result, table in tables_of(results, "Translation/lens.py", "summary.csv"):
        layers = result.path.parent / "layers.csv"
        if not layers.is_file():
            continue
        every = table[table["source"] == "all"].iloc[0]
        curves = read_csv(layers)
        shown = curves[(curves["source"] != "en") & (curves["target"] != "en")]
        shown = (shown if len(shown) else curves).groupby("layer")[["target language", "source language", "English"]]
        long = shown.mean().reset_index().melt("layer", var_name="words", value_name="probability")
        return long.assign(**every.drop(["source", "target"]).to_dict())
    return None


def found_lens(table: pd.DataFrame) -> str:
    row = table.iloc[0]
    failed = {"the translation failed": row["translation_failure"], "the task failed": row["task_failure"]}
    most = max(failed, key=failed.get)
    return (
        f"{percent(row, 'right')} of {row['n']:,.0f} words come out right; of the rest, {most} most often"
        f" ({100 * failed[most]:.1f}% of all words)."
    )


def draw_lens(tables: Tables, width: float) -> Figure:
    shown = pd.concat([table.assign(model=model, mean="") for model, table in tables.items()])
    return plot_curves(shown, "probability", "words", "mean", "probability of the word", width)


MMLU = Experiment(
    "MMLU in mixed languages",
    ("world/finding.py", "MMLU/tabulate_mmlu.py", "MMLU/plot_mmlu.py"),
    "bash MMLU/scripts/zero_shot.sh",
    "Does a model that answers questions in English still answer them when question or options are translated?",
    read_mmlu,
    found_mmlu,
    draw_mmlu,
)
QUIZ = Experiment(
    "Domain quiz",
    ("HP/tabulate_quiz.py",),
    "bash HP/scripts/quiz.sh",
    "Is what was read mostly in English known when it is asked in another language?",
    read_quiz,
    found_languages,
    draw_languages,
)
FIXES = Experiment(
    "Fixes without training",
    ("MMLU/tabulate_mitigation.py", "MMLU/ensemble.py", "MMLU/calibrate.py"),
    "bash MMLU/scripts/mitigation.sh",
    "Do hints, examples or translating first bring back what is lost outside English?",
    read_fixes,
    found_fixes,
    draw_fixes,
)
TRANSLATION = Experiment(
    "Translation",
    ("Translation/score.py",),
    "bash Translation/scripts/translation.sh",
    "Can the model translate between English and the other languages?",
    read_translation,
    found_translation,
    draw_translation,
)
EXPERIMENTS = (
    MMLU,
    QUIZ,
    Experiment(
        "Facts taught in one language",
        ("TOFU/tabulate_tofu.py",),
        "bash TOFU/scripts/authors.sh",
        "When invented facts are taught in English, are they known in other languages?",
        read_taught,
        found_taught,
        draw_taught,
    ),
    FIXES,
    Experiment(
        "Fine-tuning",
        ("FT/finding.py", "FT/tabulate_arms.py", "report/tabulate_remedies.py"),
        "bash FT/scripts/remedy.sh",
        "Does fine-tuning on mixed-language text narrow the gap, and more than English text does?",
        read_tuned,
        found_tuned,
        draw_tuned,
        "MMLU",
    ),
    *CLIKA,
    TRANSLATION,
    Experiment(
        "Embeddings of mixed-language text",
        ("Translation/embeddings.py",),
        "bash Translation/scripts/embeddings.sh",
        "Do hidden states of text with translated words stay close to those of the English original?",
        read_embeddings,
        found_embeddings,
        draw_embeddings,
    ),
    Experiment(
        "Logit lens on word translation",
        ("Translation/lens.py",),
        "bash Translation/scripts/lens.sh",
        "In which language does the word appear in the layers on the way to its translation?",
        read_lens,
        found_lens,
        draw_lens,
    ),
    *FURTHER,
)
