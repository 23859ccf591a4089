"""Write one page on a model or on several: what was found, in sentences and pictures, and which claims hold.

    python report/report.py --results DIR[,DIR] --out DIR

Writes <out>/report.html (a single file: pictures inside, no network, light and dark) and its tables as <out>/report.md,
from the results of the tasks' scripts; <out>/claims.csv is that of check_claims.py, <out>/costs.csv that of costs.py,
<out>/models.csv has a row a model. Results of several models are compared: models are columns and colours.
Results that are missing, cut short or made with another configuration are named, and the rest is reported.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from check_claims import CLAIMS, frame, read_claims
from check_claims import markdown as claims_table
from costs import costs
from experiments import EXPERIMENTS
from page import write_page
from read_results import find_results
from sections import as_code, beside_paper, deeper, left_out, not_run, section
from studies import Study, models_table, study

from common.cli import comma_list, parse, run
from common.reporting.files import claim, write_csv_atomic, write_text_atomic
from common.reporting.tables import escaped, from_frame


@dataclass
class Report:
    """Write one page on a model.

    Attributes:
        results: folders with results of the tasks' scripts, a list or separated by commas; of several results of a
            script, those of the folder named first count.
        out: folder of report.html, report.md, claims.csv and costs.csv.
        claims: YAML file of claims; see report/claims.yaml.
        title: of the page.
        seed: of the claims' bootstrap; sections have a fixed one.
    """

    results: str | list[str]
    out: str
    claims: str = str(CLAIMS)
    title: str = "Crosslingual knowledge barriers"
    seed: int = 42


def markdown(config: Report, studies: Sequence[Study], problems: Sequence[str], spent: pd.DataFrame) -> str:
    """The report's tables in Markdown; pictures are named relative to its folder. `spent` is that of `costs`."""
    parts = [f"# {escaped(config.title)}", "", f"Models: {', '.join(as_code(one.model) for one in studies)}.", ""]
    for problem in problems:
        parts += left_out(problem)
    for one in studies:
        parts += [f"## {escaped(one.model)}", ""] if len(studies) > 1 else []
        parts += deeper(claims_table(one.verdicts), 1)
    if len(studies) > 1:
        parts += ["", "## Models", "", *from_frame(models_table(studies), "{:.3f}")]
    results = [result for one in studies for result in one.results]
    missing = []
    for experiment in EXPERIMENTS:
        own = [result for script in experiment.scripts for result in results if result.script == script]
        if not own:
            missing.append(experiment)
            continue
        parts += ["", f"## {experiment.title}", ""]
        for result in own:
            parts += section(result, Path(config.out))
        parts += beside_paper(experiment)
    other = [result for result in results if result.script not in {s for e in EXPERIMENTS for s in e.scripts}]
    for result in other:
        if result.script != "report/check_claims.py":
            parts += ["", f"## {escaped(result.script)}", "", *section(result, Path(config.out))]
    if len(spent):
        parts += ["", "## What it took", "", *from_frame(spent, "{:,.2f}"), ""]
    if missing:
        parts += ["", "## Not run", "", *not_run(missing)]
    return "\n".join(parts).rstrip() + "\n"


def main() -> None:
    config = parse(Report)
    folders = comma_list(config.results)
    results, problems = find_results(folders)
    claims = read_claims(config.claims)
    claim(config.out, "report.md")
    studies = study(claims, results, folders, config.seed)
    out = Path(config.out)
    spent = costs(results)
    verdicts = pd.concat([frame(one.verdicts).assign(model=one.model) for one in studies])
    write_csv_atomic(out / "claims.csv", verdicts, float_format="%.6g")
    write_csv_atomic(out / "costs.csv", spent, float_format="%.6g")
    write_csv_atomic(out / "models.csv", models_table(studies), float_format="%.6g")
    write_text_atomic(out / "report.md", markdown(config, studies, problems, spent))
    page = write_page(config.title, studies, problems, spent, list(map(Path, folders)), out)
    write_text_atomic(out / "report.html", page)
    for one in studies:
        for verdict in one.verdicts:
            name = f"{one.model}: " if len(studies) > 1 else ""
            print(f"{verdict.verdict:16} {name}{verdict.claim.claim}")
    print(f"The report: {out / 'report.html'}")


if __name__ == "__main__":
    run(main)
