"""Run the paper's experiments on one model and real data: a plan first, then part by part, then one report.

    bash reproduce.sh MODEL [--limit N] [--settings en,full,mixup] [--only mmlu,quiz] [--with_training]

A part is a script of a task folder, called with its own YAML file and data.yaml. Finished work is not repeated: call
the same command again after an interruption. A part that fails, or cannot run though --only names it, is named and the
others go on; the exit code is then 1. A line a part with its seconds, a progress line over all with the time left, and
last the report's path; what parts print is kept in logs/ alone.
Writes <out>/<part>/, <out>/logs/<part>.log, <out>/parts.csv and <out>/report/.
"""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

import pandas as pd
import psutil
from parts import PARTS, ROOT, Reproduce, last_line
from plan import Estimate, measure, minutes_of, plan, show
from tqdm import tqdm

from common.cli import InputError, model_name, parse, run
from common.reporting.files import claim, write_csv_atomic

PATIENCE = 5.0  # seconds for a part to end by itself


def execute(words: Sequence[str], environment: Mapping[str, str], log: Path, tick: Callable[[], object]) -> str:
    """Run a command, what it prints kept in `log` alone, `tick()` every second; returns "" or why it failed."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with (
        open(log, "wb") as file,
        subprocess.Popen(words, env=environment, cwd=ROOT, stdout=file, stderr=subprocess.STDOUT) as process,
    ):
        try:
            while process.poll() is None:
                with suppress(subprocess.TimeoutExpired):
                    process.wait(1)
                tick()
        except BaseException:
            end(process)
            raise
    return last_of(log) if process.returncode else ""


def last_of(log: Path) -> str:
    """The last line of a log that says something."""
    return last_line(log.read_text(encoding="utf-8", errors="replace"))


def end(process: subprocess.Popen) -> None:
    """Stop a part and what it has started, which Ctrl-C in a terminal has reached already, and wait for it."""
    try:
        process.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        while process.poll() is None:  # a script of several steps may just be between two
            for child in psutil.Process(process.pid).children(recursive=True):
                with suppress(psutil.NoSuchProcess):
                    child.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(1)


def left(ends: float, least: float) -> str:
    """Minutes until a moment of the monotonic clock, and no fewer than `least`, in words."""
    return f"about {max((ends - time.monotonic()) / 60, least):.0f} minutes left"


def tell(bar: tqdm, title: str, ends: float, least: float) -> None:
    """Show what runs and how long all takes beside a bar."""
    bar.set_postfix_str(f"{title}, {left(ends, least)}")


def run_parts(config: Reproduce, estimates: Sequence[Estimate]) -> pd.DataFrame:
    """Run what can run: a line a part, and a progress line over all; one row a part with its status and seconds."""
    rows, pace = [], 1.0
    spent = foreseen = 0.0
    possible, shown = [one for one in estimates if not one.reason], sys.stderr.isatty()
    form = "{n_fmt} of {total_fmt} parts |{bar:20}| {elapsed}{postfix}"
    with tqdm(total=len(possible), bar_format=form, disable=not shown) as bar:
        for place, one in enumerate(possible):
            title, start = PARTS[one.name].title, time.monotonic()
            rest = minutes_of(possible[place + 1 :]) * pace
            ends = start + 60 * (rest + minutes_of([one]) * pace)
            if not shown:
                print(f"{title}: begins, {left(ends, rest)}", file=sys.stderr, flush=True)
            log = Path(config.out, "logs", f"{one.name}.log")
            tick = partial(tell, bar, title, ends, rest)
            error = execute(config.command(one.name), config.environment(one.name), log, tick)
            seconds = time.monotonic() - start
            if one.items and one.seconds and not error:  # of those that were finished before nothing can be learnt
                spent, foreseen = spent + seconds, foreseen + one.seconds
                pace = spent / foreseen
            ending = f": failed, see {log}: {error}" if error else f", {seconds:.0f} s"
            tqdm.write(f"[{place + 1} of {len(possible)}] {title}{ending}", file=sys.stdout)
            sys.stdout.flush()
            bar.update()
            rows.append([one.name, "failed" if error else "done", one.items, one.seconds, round(seconds, 1), error])
    rows += [[one.name, "not run", None, None, None, one.reason] for one in estimates if one.reason]
    return pd.DataFrame(rows, columns=["part", "status", "items", "estimated_seconds", "seconds", "reason"])


def main() -> None:
    config = parse(Reproduce)
    claim(config.out, "parts.csv")
    estimates = plan(config)
    if all(one.reason for one in estimates):
        raise InputError(f"no part can run; {estimates[0].name}: {estimates[0].reason}")
    pending = any(one.items for one in estimates)
    speed = measure(config, [text for one in estimates for text in one.samples]) if pending else None
    for one in estimates:
        one.time(speed)
    show(config, estimates, speed)
    if config.plan:
        return
    start, foreseen = time.monotonic(), minutes_of(estimates)
    table = run_parts(config, estimates)
    write_csv_atomic(Path(config.out, "parts.csv"), table, float_format="%.1f")
    folders = ",".join(f"{config.out}/{name}" for name in PARTS if Path(config.out, name).is_dir())
    keys = ["--results", folders, "--out", f"{config.out}/report", "--title", model_name(config.model)]
    print(f"{(time.monotonic() - start) / 60:.1f} minutes, where {foreseen:.1f} were foreseen: {config.out}/parts.csv")
    log = Path(config.out, "logs", "report.log")
    report = execute([sys.executable, "report/report.py", *keys], os.environ, log, lambda: None)
    print(f"The report failed, see {log}: {report}" if report else last_of(log))
    if report or table["status"].isin(["failed", "not run"] if config.only else ["failed"]).any():
        sys.exit(1)


if __name__ == "__main__":
    run(main)
