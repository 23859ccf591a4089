"""Kill a command at random moments, start it again each time, and compare its files with those of an undisturbed run.

    python tests/soak/kill.py --kills 30 --work DIR -- python MMLU/evaluate_mmlu.py ... --out {out}

`{out}` in the command is replaced by the folder DIR/run; what an undisturbed run writes is moved to DIR/whole first.
SIGKILL, SIGTERM and Ctrl-C take turns. After the last two the exit code must be 143 or 130 and the last line must say
that the command goes on, unless Python was still starting. A run that ends by itself is compared and begun anew. Exit
code 1 if anything differs.
"""

import argparse
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

SIGNALS = {signal.SIGKILL: -signal.SIGKILL, signal.SIGTERM: 143, signal.SIGINT: 130}
# What says when and how often a run was begun, or only serves to go on.
DIFFERENT = ("run.json", ".lock", ".provenance.json", ".sqlite", ".log", "costs.csv", "parts.csv", "training_args.bin")
DIFFERENT += ("sample.txt",)  # of the text that was still to be read
COSTS = re.compile(rb"(?s)What it took.*?(?=\n## |<h2)")  # the seconds of a run, in its report


def files(folder: Path, ignored: tuple[str, ...]) -> dict[str, bytes]:
    """Content of all files by name, but for those whose name ends in `ignored` and the units of a run."""
    return {
        str(path.relative_to(folder)): COSTS.sub(b"", path.read_bytes())
        for path in sorted(folder.rglob("*"))
        if path.is_file() and "units" not in path.parts and not path.name.endswith(ignored)
    }


def start(command: list[str], out: Path, errors: Path) -> subprocess.Popen:
    """The command in a process group of its own, what it says on stderr in a file."""
    words = [word.replace("{out}", str(out)) for word in command]

    def heed() -> None:  # Ctrl-C, which a shell lets its background jobs ignore
        signal.signal(signal.SIGINT, signal.SIG_DFL)

    keys = {"stdout": subprocess.DEVNULL, "start_new_session": True, "preexec_fn": heed}
    with open(errors, "wb") as file:
        return subprocess.Popen(words, stderr=file, **keys)


def faults_of(sign: signal.Signals, code: int, said: str) -> list[str]:
    """What is wrong with how a killed command ended."""
    if code == -sign or said.rstrip().endswith("KeyboardInterrupt"):  # Python was starting, and main had not begun
        return []
    found = ["a traceback"] if "Traceback" in said else []
    if sign != signal.SIGKILL:
        if code != SIGNALS[sign]:
            found.append(f"exit code {code} after {sign.name}")
        elif "goes on from here" not in said.rstrip().rsplit("\n", 1)[-1]:
            found.append(f"no last line after {sign.name}")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=42)
    parser.add_argument("--ignore", default="", help="further endings of names that may differ, separated by commas")
    parser.add_argument("command", nargs="+")
    config = parser.parse_args()
    ignored = (*DIFFERENT, *filter(None, config.ignore.split(",")))
    rng, errors = random.Random(config.seed), config.work / "stderr.txt"
    whole, killed = config.work / "whole", config.work / "run"
    for folder in (whole, killed):
        shutil.rmtree(folder, ignore_errors=True)
    config.work.mkdir(parents=True, exist_ok=True)

    begun = time.monotonic()
    if start(config.command, killed, errors).wait():
        sys.exit(f"the undisturbed run failed: {errors.read_text(errors='replace')[-500:]}")
    seconds = time.monotonic() - begun
    killed.rename(whole)  # tables name the folder, which has to be the same
    expected = files(whole, ignored)
    print(f"undisturbed: {seconds:.1f} s, {len(expected)} files are compared", flush=True)

    done, faults, ended = Counter(), Counter(), 0
    while done.total() < config.kills:
        sign = list(SIGNALS)[done.total() % len(SIGNALS)]
        process = start(config.command, killed, errors)
        try:
            process.wait(rng.uniform(0, seconds))
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, sign)
            code = process.wait()
            if code == 0:  # it was at its end
                ended += finish(process, killed, expected, ignored, errors, faults)
                continue
            done[sign.name] += 1
            if found := faults_of(sign, code, errors.read_text(errors="replace")):
                faults.update(found)
                errors.rename(config.work / f"fault-{done.total()}.txt")
            continue
        ended += finish(process, killed, expected, ignored, errors, faults)
    ended += finish(start(config.command, killed, errors), killed, expected, ignored, errors, faults)
    print(f"{done.total()} kills ({', '.join(f'{n} {name}' for name, n in done.items())}), {ended} runs compared")
    print("; ".join(f"{count} x {what}" for what, count in faults.items()) or "all files identical, every end clean")
    sys.exit(1 if faults else 0)


def finish(process, folder: Path, expected: dict[str, bytes], ignored, errors: Path, faults: Counter) -> int:
    """Let a run end, compare its files, and remove them; 1 for the count of runs."""
    if process.wait():
        faults[f"exit code {process.returncode}: {errors.read_text(errors='replace').strip().splitlines()[-1]}"] += 1
    found = files(folder, ignored)
    for name in sorted(expected.keys() | found.keys()):
        if expected.get(name) != found.get(name):
            kind = (
                "differs"
                if name in expected and name in found
                else "is missing"
                if name in expected
                else "is left over"
            )
            faults[f"{name} {kind}"] += 1
    shutil.rmtree(folder)
    return 1


if __name__ == "__main__":
    main()
