"""Seconds and memory of an evaluation as it grows: with questions, settings, few-shot examples and length of prompts.

    python tests/bench/growth.py --out tests/bench/results/growth

Made-up questions in five languages are asked as MMLU/evaluate_mmlu.py does, on a CPU, each point in a process of its
own: seconds without loading the model, and the largest resident memory of the process. Points differ in one respect
from 100 questions in six settings; `mmlu` are all 54 settings of 500 and of 14,042 questions, as many as MMLU has.
Writes <out>.csv, a row a point, <out>_lines.csv, the straight line through the points of each axis, and the figure.
The points of an axis take turns; an axis that is interrupted begins again, and points that are in the table and of this
commit are not measured again.
"""

import json
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import redirect_stdout
from dataclasses import asdict, dataclass
from itertools import groupby
from math import ceil
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, NullFormatter
from scipy.stats import linregress

from common.cli import InputError, comma_list, parse, require_positive, run
from common.evaluation.evaluate import EvaluationConfig, make_scorer
from common.lm.loading import ModelConfig
from common.questions import FOUR, monolingual, write_questions
from common.reporting.files import read_csv
from common.reporting.plots import COLORS, MARKERS, PAGE, add_legend, save_figure
from common.reporting.provenance import git_commit, now, read_run
from common.settings import build_settings

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "MMLU")]
from evaluate_mmlu import MmluConfig  # noqa: E402
from overlong import evaluate_fitting  # noqa: E402

from tests.bench import measure  # noqa: E402

LANGUAGES = ("en", "de", "fr", "es", "it")
WORDS = (  # a token each in the tokenizer of assets/world
    "instrument plant dish profession garment tool vehicle animal tractor boot goat donkey snake tailor sunflower"
    " teacher tree judge soup lawyer warrior sausage sailor servant"
).split()
SUBJECT = 250  # questions of a subject at most, about as in MMLU
AXES = {
    "questions": [10, 30, 100, 300, 1000, 3000, 10_000],
    "settings": [1, 2, 6, 18, 54],
    "shots": [0, 1, 2, 3, 4, 5],
    "words": [10, 20, 40, 80, 160, 320],
    "mmlu": [500, 14_042],
}
SIX = "en,full,mixup"  # six settings
LABELS = {
    "questions": "questions",
    "settings": "settings",
    "shots": "few-shot examples",
    "words": "length of questions",
}
LABELS["mmlu"] = "54 settings of MMLU's size"
SHARED = ("machine", "model", "commit")
KEYS = (*SHARED, "axis", "questions", "settings", "shots", "words")
SHOWN = (*KEYS[3:], "distinct_tokens", "seconds", "peak_memory_mib")


@dataclass(frozen=True)
class Point:
    """One evaluation: questions, their settings, few-shot examples, words of a question (an option: an eighth)."""

    axis: str
    questions: int = 100
    settings: int = 6
    shots: int = 0
    words: int = 20


@dataclass
class Config:
    """Measure growth.

    Attributes:
        model: hub name or folder.
        dtype: auto, float32, bfloat16 or float16.
        out: table and figure, without ending.
        axes: what grows, separated by commas.
        most: leave out points with more questions.
        repeats: rounds, in which the points of an axis take turns.
        point: internal, one point in this process.
        folder: internal, with point, where its questions lie.
    """

    model: str = "assets/world"
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    out: str = "tests/bench/results/growth"
    axes: str = ",".join(AXES)
    most: int = 14_042
    repeats: int = 3
    point: str | None = None
    folder: str = ""

    def __post_init__(self) -> None:
        require_positive(self, "most", "repeats")
        if unknown := set(comma_list(self.axes)) - set(AXES):
            raise InputError(f"axes: {min(unknown)!r} is not one of {', '.join(AXES)}")


def points(config: Config) -> list[Point]:
    """The points of the axes."""
    made = []
    for axis in comma_list(config.axes):
        for value in AXES[axis]:
            made.append(Point(axis, value, 54) if axis == "mmlu" else Point(axis, **{axis: value}))
    return [point for point in made if point.questions <= config.most]


def write_data(point: Point, folder: Path) -> None:
    """The questions of a point in all settings, five examples a subject in dev/; each language has its own texts."""
    count = next(n for n in range(ceil(point.questions / SUBJECT), point.questions + 1) if point.questions % n == 0)
    for split, each in (("", point.questions // count), ("dev", 5)):
        parallel: dict[str, list] = {code: [] for code in LANGUAGES}
        for number in range(count * each):
            subject = f"subject {number // each}"
            answer = random.Random(number).choice(FOUR)
            for code in LANGUAGES:
                rng = random.Random(f"{split} {code} {number}")
                text = [" ".join(rng.choices(WORDS, k=max(1, point.words // part))) for part in (1, 8, 8, 8, 8)]
                item = monolingual(f"{number}", subject, "", f"{text[0]}?", text[1:], answer, code)
                parallel[code].append(item)
        for setting, items in build_settings(parallel, LANGUAGES, 0).items():
            write_questions(folder / split / f"{setting}.csv", items)


def run_point(config: Config) -> None:
    """Internal: ask the questions in this process; prints one line of JSON."""
    point = Point(**json.loads(config.point))
    mmlu = MmluConfig(data=config.folder, num_fewshot=point.shots)
    task = mmlu.task(None)
    chosen = SIX if point.settings == 6 else list(task.names)[: point.settings]
    loaded = []

    def scorer(*configs):
        before = time.perf_counter()
        made = make_scorer(*configs)
        loaded.append(time.perf_counter() - before)
        return made

    start = time.perf_counter()
    # Not what the system counts, which begins with the memory of the process that started this one.
    with measure.peak_memory("cpu") as peak, tempfile.TemporaryDirectory() as out, redirect_stdout(sys.stderr):
        evaluation = EvaluationConfig(out=out, settings=chosen)
        model = ModelConfig(model=config.model, dtype=config.dtype, device="cpu")
        evaluate_fitting(task, mmlu.overlong, evaluation, model, scorer)
        seconds = time.perf_counter() - start - sum(loaded)
        session, memory = read_run(out)["sessions"][-1], {"peak_memory_mib": peak()}
    counts = {"prompts": session["questions"], "tokens_in_prompts": session["prompt_tokens"]}
    counts |= {"distinct_tokens": session["tree_tokens"]}
    print("RESULT " + json.dumps(counts | {"seconds": seconds, "dtype": session["dtype"]} | memory))


def measure_points(config: Config, points: Sequence[Point]) -> list[dict]:
    """Counts, seconds and memory of each point, in rounds in which the points take turns."""
    found: list[list[dict]] = [[] for _ in points]
    with tempfile.TemporaryDirectory() as folder:
        for number, point in enumerate(points):
            write_data(point, Path(folder) / str(number))
        for _ in range(config.repeats):
            for number, point in enumerate(points):
                found[number].append(measure_point(config, point, f"{folder}/{number}"))
    rows = []
    for point, runs in zip(points, found, strict=True):
        row = asdict(point) | {key: runs[0][key] for key in ("prompts", "tokens_in_prompts", "distinct_tokens")}
        for name in ("seconds", "peak_memory_mib"):
            row |= measure.spread([one[name] for one in runs], name)
        rows.append(row | {"repeats": len(runs)})
    return rows


def measure_point(config: Config, point: Point, folder: str) -> dict:
    """One point, whose questions are in `folder`, in a process of its own."""
    command = [sys.executable, __file__, "--model", config.model, "--dtype", config.dtype, "--folder", folder]
    done = subprocess.run([*command, "--point", json.dumps(asdict(point))], capture_output=True, text=True)
    lines = [line for line in done.stdout.splitlines() if line.startswith("RESULT ")]
    if done.returncode or not lines:
        raise InputError(f"the point {point} failed: {done.stderr[-2000:]}")
    return json.loads(lines[0].removeprefix("RESULT "))


def lines_of(table: pd.DataFrame) -> pd.DataFrame:
    """A row a machine, model and axis: the straight line through its points, and how much memory grows with tokens."""
    rows = []
    for keys, own in table.groupby([*SHARED, "axis"], sort=False):
        if len(own) > 2:
            tokens, seconds, memory = own[["distinct_tokens", "seconds", "peak_memory_mib"]].to_numpy(float).T
            line = linregress(tokens / 1e6, seconds)
            row = dict(zip((*SHARED, "axis"), keys, strict=True)) | {"points": len(own)}
            row |= {"seconds_per_million_tokens": line.slope, "seconds_at_none": line.intercept}
            row |= {"r_squared": line.rvalue**2, "memory_mib_first": memory[0], "memory_mib_last": memory[-1]}
            row["memory_mib_per_million_tokens"] = linregress(tokens / 1e6, memory).slope
            rows.append(row)
    return pd.DataFrame(rows)


def plot(table: pd.DataFrame) -> Figure:
    """Seconds and peak memory against distinct tokens, a colour for what grows."""
    figure = Figure(figsize=(PAGE, 2.8), layout="constrained")
    axes = figure.subplots(1, 2)
    for (axis, own), color, marker in zip(table.groupby("axis", sort=False), COLORS, MARKERS, strict=False):
        own = own.sort_values("distinct_tokens")
        for panel, name in zip(axes, ("seconds", "peak_memory_mib"), strict=True):
            lengths = np.array([own[name] - own[f"{name}_min"], own[f"{name}_max"] - own[name]]).clip(0)
            style = {"color": color, "marker": marker, "markersize": 4, "linewidth": 1, "label": LABELS[axis]}
            panel.errorbar(own["distinct_tokens"], own[name], yerr=lengths, **style)
    for panel, title in zip(axes, ("seconds", "peak memory (MiB)"), strict=True):
        panel.set_xscale("log")
        panel.xaxis.set_major_formatter(EngFormatter(sep=""))
        panel.xaxis.set_minor_formatter(NullFormatter())
        panel.set_xlabel("distinct tokens")
        panel.set_ylabel(title)
    axes[0].set_yscale("log")
    axes[0].yaxis.set_major_formatter("{x:g}")
    axes[0].yaxis.set_minor_formatter(NullFormatter())
    axes[1].set_ylim(bottom=0)
    add_legend(figure, axes)
    return figure


def main() -> None:
    config = parse(Config)
    if config.point:
        return run_point(config)
    shared = {"machine": measure.machine("cpu"), "model": Path(config.model).name, "commit": git_commit()}
    out = f"{config.out}.csv"
    kept = read_csv(out) if Path(out).exists() else pd.DataFrame(columns=[*KEYS])
    done = {tuple(map(str, row)) for row in kept[[*KEYS]].itertuples(index=False)}
    shared_now = shared | {"date": now()[:10]}
    for _, own in groupby(points(config), key=lambda point: point.axis):
        left = [one for one in own if tuple(str((shared | asdict(one))[key]) for key in KEYS) not in done]
        rows = [shared_now | row for row in measure_points(config, left)]
        if rows:
            measure.keep(out, rows, KEYS)
        for row in rows:
            print(json.dumps({key: row[key] for key in SHOWN}), flush=True)
    table = read_csv(out)
    table = table[(table[[*SHARED]] == [shared[key] for key in SHARED]).all(axis=1)]
    save_figure(config.out, plot, table)
    lines = lines_of(table)
    if len(lines):
        measure.keep(f"{config.out}_lines.csv", lines.to_dict("records"), (*SHARED, "axis"))
        print(lines.drop(columns=[*SHARED]).to_string(index=False, float_format="{:.4g}".format))


if __name__ == "__main__":
    run(main)
