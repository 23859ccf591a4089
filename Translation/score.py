"""Score translations: BLEU, chrF++ and TER of every system and direction, and with --comet COMET.

    python Translation/score.py --hypotheses DIR --references DIR --out FILE.csv

Hypotheses are in one folder per system, in files test-<src>-<tgt>; references are <code>.devtest in a folder, or a data
set such as openlanguagedata/flores_plus. Beside FILE.csv: `.summary.csv` (means over directions), `.signatures.json`,
`.sentences.csv` (chrF++ of every sentence, and of its untranslated source), with --baseline `.paired.csv`, a heat
map of directions and a bar plot.
"""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from comet_runner import comet_scores
from plots import plot_directions, plot_systems
from sacrebleu.metrics import BLEU, CHRF, TER
from sacrebleu.metrics.base import Metric
from sacrebleu.significance import PairedTest
from systems import Direction, Problem, read_systems

from common.cli import InputError, parse, require_positive, run
from common.reporting.files import write_csv_atomic, write_json_atomic
from common.reporting.plots import save_figure
from common.reporting.results import begin_result, save_result

METRICS = ("bleu", "chrf", "ter", "comet", "comet_released")


@dataclass
class Score:
    """Score translations.

    Attributes:
        hypotheses: folder with one folder per system, files test-<src>-<tgt>.
        references: folder with <code>.devtest, or a data set (openlanguagedata/flores_plus).
        out: CSV to write; the ending .csv may be left out.
        allow_prefix: score files with fewer lines than references on their lines.
        comet: COMET checkpoint by name or path; null leaves the column empty.
        baseline: system that all others are compared with, by paired bootstrap; null for none.
        resamples: number of bootstrap samples.
    """

    hypotheses: str
    references: str
    out: str
    allow_prefix: bool = False
    comet: str | None = None
    baseline: str | None = None
    resamples: int = 1000

    def __post_init__(self) -> None:
        require_positive(self, "resamples")


def metrics_for(target: str) -> dict[str, Metric]:
    """sacrebleu's metrics, with its tokenizer for the target language."""
    try:
        return {"bleu": BLEU(trg_lang=target), "chrf": CHRF(word_order=2), "ter": TER()}
    except RuntimeError as error:
        reason = " ".join(str(error).split())
        raise InputError(f"BLEU of {target}: {reason}; or move its files test-*-{target} away") from error


def score(direction: Direction) -> tuple[dict, dict[str, str]]:
    """One row of the table, and the metrics' signatures."""
    row = {"system": direction.system, "direction": direction.name, "n": len(direction.hypotheses)}
    signatures = {}
    for name, metric in metrics_for(direction.target_language).items():
        row[name] = metric.corpus_score(direction.hypotheses, [direction.references]).score
        signatures[name] = str(metric.get_signature())
    return row, signatures


def sentence_scores(directions: list[Direction]) -> pd.DataFrame:
    """Columns system, direction, sentence (from 1), chrf, and chrf_source, that of the untranslated source."""
    metric, rows = CHRF(word_order=2), []
    for direction in directions:
        lines = zip(direction.hypotheses, direction.sources, direction.references, strict=False)  # prefixes are shorter
        for number, (said, source, reference) in enumerate(lines, 1):
            chrf = [metric.sentence_score(text, [reference]).score for text in (said, source)]
            rows.append((direction.system, direction.name, number, *chrf))
    return pd.DataFrame(rows, columns=["system", "direction", "sentence", "chrf", "chrf_source"])


def paired(directions: list[Direction], config: Score) -> pd.DataFrame:
    """Each system against the baseline in each direction: difference and p of sacrebleu's paired bootstrap."""
    by_direction: dict[str, dict[str, Direction]] = {}
    for direction in directions:
        by_direction.setdefault(direction.name, {})[direction.system] = direction
    rows = []
    for name, systems in by_direction.items():
        base = systems.pop(config.baseline, None)
        if base is None or not systems:
            continue
        for system, direction in systems.items():
            n = min(len(base.hypotheses), len(direction.hypotheses))
            named = [(config.baseline, base.hypotheses[:n]), (system, direction.hypotheses[:n])]
            test = PairedTest(
                named, metrics_for(base.target_language), [base.references[:n]], "bs", n_samples=config.resamples
            )
            scores = test()[1]
            for metric, (before, after) in scores.items():
                if metric != "System":
                    row = {"system": system, "baseline": config.baseline, "direction": name, "n": n, "metric": metric}
                    rows.append(row | {"difference": after.score - before.score, "p": after.p_value})
    if not rows:
        raise InputError(f"baseline {config.baseline!r}: no other system has a direction in common with it")
    return pd.DataFrame(rows)


def summarize(table: pd.DataFrame, problems: list[Problem]) -> pd.DataFrame:
    """Means of each metric over a system's directions from English, into English and all; and the ones left out."""
    rows = []
    for system in sorted({*table["system"], *(problem.system for problem in problems)}):
        own = table[table["system"] == system]
        groups = {"from English": own[own["direction"].str.startswith("en-")], "all": own}
        groups["into English"] = own[own["direction"].str.endswith("-en")]
        left_out = "; ".join(f"{p.direction}: {p.reason}" for p in problems if p.system == system)
        for name, rows_of in groups.items():
            if len(rows_of):
                means = rows_of[list(METRICS)].astype(float).mean().to_dict()
                rows.append({"system": system, "directions": name, "files": len(rows_of)} | means)
        if left_out:
            rows.append({"system": system, "directions": f"left out: {left_out}", "files": 0})
    return pd.DataFrame(rows)


def main() -> None:
    config = parse(Score)
    directions, problems = read_systems(config.hypotheses, config.references, config.allow_prefix)
    for problem in problems:
        print(f"left out: {problem.system} {problem.direction}: {problem.reason}")
    if not directions:
        raise InputError(f"{config.hypotheses}: no direction can be scored; the reasons are printed above")
    names = {direction.system for direction in directions}
    if config.baseline is not None and config.baseline not in names:
        raise InputError(f"baseline {config.baseline!r}: no system of that name; there are {', '.join(sorted(names))}")
    for language in {direction.target_language for direction in directions}:
        metrics_for(language)  # refuses one whose packages are missing, before the work
    rows, signatures = [], {}
    for direction in directions:
        row, signatures[direction.target_language] = score(direction)
        rows.append(row | {"comet": None, "comet_released": direction.comet_released})
    table = pd.DataFrame(rows)
    if config.comet:
        table["comet"] = comet_scores(config.comet, directions)
    out = config.out.removesuffix(".csv")  # not with_suffix, which would cut gpt-3.5
    comparison = paired(directions, config) if config.baseline else None
    runs = {system: Path(config.hypotheses, system) for system in table["system"].unique()}
    # Hypotheses from elsewhere have no run behind them.
    runs = {system: folder for system, folder in runs.items() if (folder / "run.json").exists()}
    endings = [".summary.csv", ".csv", ".sentences.csv"] + [".paired.csv"] * (comparison is not None)
    endings += [".directions.png", ".directions.pdf", ".png", ".pdf"]
    written = [f"{out}{ending}" for ending in endings]
    begin_result(__file__, out, runs, written)
    write_csv_atomic(f"{out}.csv", table)
    write_csv_atomic(f"{out}.summary.csv", summarize(table, problems))
    write_csv_atomic(f"{out}.sentences.csv", sentence_scores(directions), float_format="%.4f")
    write_json_atomic(f"{out}.signatures.json", signatures)
    if comparison is not None:
        write_csv_atomic(f"{out}.paired.csv", comparison)
    save_figure(f"{out}.directions", plot_directions, table, "bleu")
    shown = [name for name in METRICS if table[name].notna().any()]
    save_figure(out, plot_systems, table, shown)
    save_result(__file__, out, runs, written)
    print(table.to_string(index=False, float_format="{:.2f}".format, na_rep=""))


if __name__ == "__main__":
    run(main)
