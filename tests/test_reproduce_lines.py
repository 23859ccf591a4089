"""reproduce.py says a line a part; what a part prints is in its log alone, and one that fails is named."""

import re
from types import SimpleNamespace

from tests.scripts import load_script

script = load_script("report/reproduce.py")


def test_the_reason_is_the_error_and_not_a_launchers_last_line():
    assert script.last_line("x\nerror: no such layer\n=====\n  rank 1\n=====\n") == "no such layer"
    assert script.last_line("x\ny\n") == "y"


def test_a_line_a_part_and_its_output_in_a_log(tmp_path, capfd):
    commands = {"quiz": "echo noise; echo more >&2", "lens": "echo noise; echo error: no words; exit 3"}
    config = SimpleNamespace(
        out=str(tmp_path), command=lambda name: ["bash", "-c", commands[name]], environment=lambda name: {}
    )
    estimates = [script.Estimate(name, seconds=60.0) for name in commands]
    estimates.append(script.Estimate("mmlu", reason="no data"))
    table = script.run_parts(config, estimates).set_index("part")
    said = capfd.readouterr()
    lines = said.out.splitlines()
    assert re.fullmatch(r"\[1 of 2\] domain quiz, \d s", lines[0])
    assert lines[1] == f"[2 of 2] logit lens: failed, see {tmp_path}/logs/lens.log: no words" and len(lines) == 2
    assert said.err.splitlines()[0] == "domain quiz: begins, about 2 minutes left", "no bar where there is no terminal"
    assert len(said.err.splitlines()) == 2 and "noise" not in said.out + said.err
    assert (tmp_path / "logs" / "quiz.log").read_text() == "noise\nmore\n"
    assert table["status"].to_dict() == {"quiz": "done", "lens": "failed", "mmlu": "not run"}
