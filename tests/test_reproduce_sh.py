"""`bash reproduce.sh` says little: a line an experiment, and where the report is; what a step prints is in its log."""

import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

TALKS = "#!/usr/bin/env bash\nfor i in {1..100}; do echo line $i; echo noise >&2; done\n"


@pytest.fixture
def copy(root, tmp_path):
    """The script alone, among scripts and a Python that print a hundred lines and do nothing."""
    text = shutil.copy(root / "reproduce.sh", tmp_path / "reproduce.sh").read_text()
    (tmp_path / "install.sh").write_text("echo ready\n")
    for script in {*re.findall(r"\S+/scripts/\w+\.sh", text), ".venv/bin/python"}:
        path = tmp_path / script
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(TALKS)
        path.chmod(0o755)
    (tmp_path / "assets" / "world").mkdir(parents=True)
    (tmp_path / "assets" / "world" / "world.json").touch()
    return tmp_path


def call(copy, *arguments):
    return subprocess.run(["bash", "reproduce.sh", *arguments], cwd=copy, capture_output=True, text=True)


@pytest.mark.parametrize("arguments", [(), ("--retrain",)])
def test_a_line_an_experiment_and_the_report_last(copy, arguments):
    done = call(copy, *arguments)
    lines = done.stdout.splitlines()
    assert done.returncode == 0 and not done.stderr and len(lines) <= 60
    numbered = [re.fullmatch(r"\[(\d+) of (\d+)\] \w.*, \d+ s", line) for line in lines[1:-1]]
    assert all(numbered) and sorted(int(one[1]) for one in numbered) == list(range(1, int(numbered[0][2]) + 1))
    run = "zero_shot_retrained" if arguments else "zero_shot"
    assert lines[-1] == f"The report: results/world_42/{run}/report/report.html"
    logs = sorted((copy / "results" / "world_42" / "logs").iterdir())
    assert len(logs) == len(numbered) and "noise" in logs[0].read_text()


def test_a_step_that_fails_is_named_with_the_end_of_its_log(copy):
    (copy / "HP" / "scripts" / "quiz.sh").write_text(f"{TALKS}exit 2\n")
    done = call(copy)
    said = "[9 of 14] domain quiz: failed, see results/world_42/logs/09.log"
    assert done.returncode == 2 and said in done.stdout.splitlines()
    assert "noise" in done.stderr and done.stderr.count("\n") == 15
    assert "fine-tuning" in done.stdout, "what runs beside it is finished"
    assert "facts taught" not in done.stdout and "finding" not in done.stdout, "what comes after it is not begun"


def test_a_stop_ends_both_sides(copy):
    for script in ("MMLU/scripts/zero_shot.sh", "FT/scripts/remedy.sh"):
        name = Path(script).stem
        (copy / script).write_text(f"#!/usr/bin/env bash\ntouch {name}.begun\nsleep 60\ntouch {name}.ended\n")
    begun = [copy / f"{name}.begun" for name in ("zero_shot", "remedy")]
    with subprocess.Popen(["bash", "reproduce.sh"], cwd=copy, stdout=subprocess.PIPE, text=True) as process:
        start = time.monotonic()
        while not all(path.exists() for path in begun):
            assert time.monotonic() < start + 300
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        said, _ = process.communicate(timeout=60)  # only ends when nothing holds its output
    assert process.returncode == 130 and "report" not in said and not list(copy.glob("*.ended"))
