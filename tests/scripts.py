"""The scripts of the task folders, called in this process: a start of their own costs seconds."""

import importlib.util
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parent.parent
PYTHON = os.environ.get("WARM_PYTHON", sys.executable)  # of scripts that no test kills, see report/warm.py


def load_script(name: str) -> ModuleType:
    """Import `MMLU/evaluate_mmlu.py` with its siblings, and leave none of them in sys.modules for others to take."""
    path = ROOT / name
    spec = importlib.util.spec_from_file_location(name.removesuffix(".py").replace("/", "_").lower(), path)
    module = importlib.util.module_from_spec(spec)
    kept = list(sys.path)
    sys.path.insert(0, str(path.parent))
    try:
        spec.loader.exec_module(module)
    finally:
        sys.path[:] = kept
        for sibling in path.parent.glob("*.py"):
            sys.modules.pop(sibling.stem, None)
    return module


def call(module: ModuleType, arguments: Sequence, monkeypatch: pytest.MonkeyPatch) -> int:
    """Run a script's main as its command line does; returns the exit code."""
    from common.cli import run

    monkeypatch.setattr(sys, "argv", [module.__file__, *map(str, arguments)])
    try:
        run(module.main)
    except SystemExit as end:
        return end.code
    return 0


def check_killed_training(command: Callable[[str], list[str]], folder: Path) -> None:
    """A training that is killed while its fourth step is saved, or soon after, goes on to the bits of a whole one.

    `command` trains into the folder of a name in `folder`.
    """
    subprocess.run([PYTHON, *command("whole")[1:]], check=True, capture_output=True)
    process = subprocess.Popen(command("killed"), stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 300
    while process.poll() is None and not list((folder / "killed").glob("checkpoints/*/checkpoint-4")):
        assert time.monotonic() < deadline
        time.sleep(0.005)
    process.kill()
    process.wait()
    assert not (folder / "killed" / "run.json").exists()
    subprocess.run([PYTHON, *command("killed")[1:]], check=True, capture_output=True)
    for name in ("model.safetensors", "log.csv"):
        assert (folder / "whole" / name).read_bytes() == (folder / "killed" / name).read_bytes(), name
