"""Run the paper's experiments on one model and real data: a plan first, then part by part, then one report.

    bash reproduce.sh MODEL [--limit N] [--settings en,full,mixup] [--only mmlu,quiz] [--with_training]

A part is a script of a task folder, called with its own YAML file and data.yaml. Finished work is not repeated: call
the same command again after an interruption. A part that fails, or cannot run though --only names it, is named and the
others go on; the exit code is then 1.
Writes <out>/<part>/, <out>/logs/<part>.log, <out>/parts.csv and <out>/report/.
"""

import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import psutil
from parts import PARTS, ROOT, Reproduce, last_line
from plan import Estimate, measure, minutes_of, plan, show

from common.cli import InputError, model_name, parse, run
from common.reporting.files import claim, write_csv_atomic

PATIENCE = 5.0  # seconds for a part to end by itself


def execute(config: Reproduce, name: str) -> str:
    """Run a part, its output shown and kept in logs/; returns "" or why it failed."""
    log = Path(config.out, "logs", f"{name}.log")
    log.parent.mkdir(parents=True, exist_ok=True)
    words, environment = config.command(name), config.environment(name)
    with (
        open(log, "wb") as file,
        subprocess.Popen(
            words, env=environment, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, bufsize=0
        ) as process,
    ):
        try:
            while piece := process.stdout.read(65536):
                sys.stdout.buffer.write(piece)
                sys.stdout.flush()
                file.write(piece)
        except BaseException:
            end(process)
            raise
    return last_line(log.read_text(encoding="utf-8", errors="replace")) if process.returncode else ""


def end(process: subprocess.Popen) -> None:
    """Stop a part and what it has started, which Ctrl-C in a terminal has reached already, and wait for it."""
    try:
        process.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        for child in psutil.Process(process.pid).children(recursive=True):
            child.terminate()
        process.wait()


def run_parts(config: Reproduce, estimates: Sequence[Estimate]) -> pd.DataFrame:
    """Run what can run, saying how long the rest takes; one row a part with its status and seconds."""
    rows, pace = [], 1.0
    spent = foreseen = 0.0
    possible = [one for one in estimates if not one.reason]
    for place, one in enumerate(possible):
        own = "" if one.seconds is None else f", about {one.seconds * pace / 60:.1f} minutes"
        left = minutes_of(possible[place:]) * pace
        print(f"\n[{place + 1} of {len(possible)}] {PARTS[one.name].title}{own}; about {left:.0f} minutes left in all")
        sys.stdout.flush()
        start = time.monotonic()
        error = execute(config, one.name)
        seconds = time.monotonic() - start
        if one.seconds and not error:
            spent, foreseen = spent + seconds, foreseen + one.seconds
            pace = spent / foreseen
        if error:
            print(f"FAILED: {one.name}: {error}")
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
    report = subprocess.run([sys.executable, "report/report.py", *keys], cwd=ROOT).returncode
    print(f"\n{table[['part', 'status', 'seconds', 'reason']].astype(object).fillna('').to_string(index=False)}")
    print(f"{(time.monotonic() - start) / 60:.1f} minutes, where {foreseen:.1f} were foreseen")
    if report or table["status"].isin(["failed", "not run"] if config.only else ["failed"]).any():
        sys.exit(1)


if __name__ == "__main__":
    run(main)
