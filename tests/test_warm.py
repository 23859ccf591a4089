"""report/warm.py: what it calls is called as by Python itself."""

import os
import signal
import subprocess
import sys
import time

import pytest
import torch

from tests.scripts import PYTHON, load_script

TOLD = """
import os, sys
print(sys.argv, __name__, os.getcwd(), os.environ["OWN"], sys.stdin.read(), sys.path[0])
print("ü", file=sys.stderr)
print("warm" if "torch" in sys.modules else "cold", file=open(sys.argv[1], "w"))
sys.exit(int(sys.argv[2]))
"""


pytestmark = pytest.mark.skipif(
    not hasattr(os, "pidfd_open") or bool(torch.version.cuda or torch.version.hip),
    reason="no server: it needs Linux and PyTorch for CPUs",
)


@pytest.fixture(scope="module", autouse=True)
def ready(tmp_path_factory):
    """The server of tests/conftest.py has imported what it imports."""
    script = tmp_path_factory.mktemp("ready") / "script.py"
    script.write_text("import sys\nsys.exit('torch' not in sys.modules)")
    deadline = time.monotonic() + 120
    while subprocess.run([PYTHON, script]).returncode:
        assert time.monotonic() < deadline
        time.sleep(0.5)


@pytest.fixture
def script(tmp_path):
    path = tmp_path / "script.py"
    path.write_text(TOLD)
    return path


def ran(python, words, folder, **variables):
    """Everything that a caller sees."""
    keys = {"cwd": folder, "env": os.environ | {"OWN": "a value"} | variables, "input": "read ", "text": True}
    done = subprocess.run([python, *map(str, words)], capture_output=True, **keys)
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize("code", [0, 2])
def test_a_script_sees_and_is_seen_as_with_python_itself(script, tmp_path, code):
    words = [script, tmp_path / "told", code]
    assert ran(PYTHON, words, tmp_path) == ran(sys.executable, words, tmp_path)
    ran(PYTHON, words, tmp_path)
    assert (tmp_path / "told").read_text() == "warm\n"


def test_a_module(script, tmp_path):
    words = ["-m", "script", tmp_path / "told", 3]
    assert ran(PYTHON, words, tmp_path) == ran(sys.executable, words, tmp_path)


@pytest.mark.parametrize(
    ("words", "variables"),
    [(["-c", "import sys; sys.exit('torch' in sys.modules)"], {}), (["SCRIPT", "TOLD", "0"], {"HF_HOME": "elsewhere"})],
)
def test_python_itself_is_started_for_the_rest(script, tmp_path, words, variables):
    words = [{"SCRIPT": script, "TOLD": tmp_path / "told"}.get(word, word) for word in words]
    assert ran(PYTHON, words, tmp_path, **variables)[0] == 0
    assert not (tmp_path / "told").exists() or (tmp_path / "told").read_text() == "cold\n"


def test_paths_with_blanks_and_quotes(tmp_path, monkeypatch):
    folder = tmp_path / """it's "my" $work"""
    folder.mkdir()
    (folder / "own python").symlink_to(sys.executable)
    monkeypatch.setattr(sys, "executable", str(folder / "own python"))
    load_script("report/warm.py").write_caller(folder)
    assert ran(folder / "python", ["-c", "import sys; print(sys.argv[1:])", "a b"], tmp_path)[:2] == (0, "['a b']\n")


def test_errors_end_with_a_traceback_and_1(tmp_path):
    (tmp_path / "wrong.py").write_text("import sys\nassert sys.argv == []")
    code, _, error = ran(PYTHON, ["wrong.py"], tmp_path)
    assert code == 1 and error.endswith("AssertionError\n")


WAITING = """
import signal, sys, time
if sys.argv[1] == "handled":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))
open(sys.argv[2], "w").write("here")
for _ in range(1000):
    time.sleep(0.05)
    open(sys.argv[2], "a").write(".")
"""


@pytest.mark.parametrize(
    ("kind", "number", "code"),
    [
        ("handled", signal.SIGTERM, 7),
        ("plain", signal.SIGTERM, -signal.SIGTERM),
        ("plain", signal.SIGKILL, -signal.SIGKILL),
    ],
)
def test_signals_reach_what_is_called(tmp_path, kind, number, code):
    (tmp_path / "wait.py").write_text(WAITING)
    process = subprocess.Popen([PYTHON, tmp_path / "wait.py", kind, tmp_path / "told"])
    while not (tmp_path / "told").exists() or not (tmp_path / "told").read_text():
        time.sleep(0.01)
    process.send_signal(number)
    assert process.wait() == code
    time.sleep(0.5)
    written = (tmp_path / "told").read_text()
    time.sleep(0.3)
    assert (tmp_path / "told").read_text() == written  # it is gone
