"""Configurations from YAML files and the command line, and what bash scripts ask about them."""

import subprocess
import sys
from dataclasses import dataclass
from typing import Literal

import pytest
import yaml

from common.cli import InputError, comma_list, config_hash, get, model_name, named_list, parse, run
from tests.scripts import PYTHON, ROOT


@dataclass
class Example:
    """An example.

    Attributes:
        model: a name.
        shots: how many.
    """

    model: str
    shots: Literal[0, 5] = 0
    rate: float = 0.1
    limit: int | None = None
    names: str | list[str] = "all"
    chat: bool = False
    allow_prefix: bool = False


@dataclass
class Other:
    """Another one.

    Attributes:
        out: a folder.
        dtype: a type.
    """

    out: str
    dtype: Literal["auto", "float32"] = "auto"
    verbose: bool = True


def from_yaml(tmp_path, text, *argv):
    path = tmp_path / "run.yaml"
    path.write_text(text)
    return parse(Example, argv=["--config", str(path), *argv])


def test_yaml_then_command_line(tmp_path):
    config = from_yaml(tmp_path, "model: a\nshots: 5\nrate: 3e-4\nnames: [x, y]\n", "--model", "b", "--limit", "2")
    assert config == Example("b", 5, 3e-4, 2, ["x", "y"])


def test_defaults_without_a_file():
    assert parse(Example, argv=["--model", "a"]) == Example("a")


@pytest.mark.parametrize(
    ("text", "argv", "named"),
    [
        ("model: a\nshotss: 5\n", [], "shotss"),
        ("model: a\nshots: 3\n", [], "shots"),
        ("model: a\nlimit: two\n", [], "limit"),
        ("model: [a]\n", [], "model"),
        ("shots: 5\n", [], "model"),
        ("model: a\n", ["--modle", "b"], "--modle"),
        ("model: a\n", ["--rate", "fast"], "rate"),
        ("model: a\n", ["--sho", "5"], "--sho"),
        ("model: [a\n", [], "run.yaml: cannot be read as YAML"),
        ("model: a\nshots: null\n", [], "shots"),
    ],
)
def test_wrong_keys_and_types_are_refused_by_name(tmp_path, text, argv, named):
    with pytest.raises(InputError, match=named) as error:
        from_yaml(tmp_path, text, *argv)
    assert "\n" not in str(error.value)


def test_missing_file_is_refused_by_name(tmp_path):
    with pytest.raises(InputError, match="absent.yaml"):
        parse(Example, argv=["--config", str(tmp_path / "absent.yaml")])


@pytest.mark.parametrize(
    "content", ["name: é".encode("latin-1"), "name: a".encode("utf-16"), b"\x9e\x00\xff", b"[1, 2]", b"model: \x00"]
)
def test_files_that_are_no_yaml_are_named(tmp_path, content):
    path = tmp_path / "run.yaml"
    path.write_bytes(content)
    for argv in (["--config", str(path)], [f"--config={path}"]):
        with pytest.raises(InputError, match="run.yaml: (cannot be read as YAML in UTF-8|not a YAML file of)"):
            parse(Example, argv=argv)


def test_comma_list():
    assert comma_list(" en, de,,") == ["en", "de"]
    assert comma_list(["en", " de"]) == ["en", "de"]


def test_hash_counts_values_not_order():
    digest = config_hash({"a": 1, "b": [None, "é"]})
    assert digest == config_hash({"b": [None, "é"], "a": 1})
    assert len(digest) == 12 and int(digest, 16) >= 0
    assert digest != config_hash({"a": 1.5, "b": [None, "é"]})


@pytest.mark.parametrize(
    ("words", "chat", "allow_prefix"),
    [
        (["--chat"], True, False),
        (["--chat", "--limit", "3"], True, False),
        (["--allow_prefix"], False, True),
        (["--allow-prefix"], False, True),
        (["--chat", "true", "--allow-prefix", "false"], True, False),
        (["--chat=false", "--allow-prefix=true"], False, True),
        (["--chat", "--chat=false"], False, False),
        (["--allow_prefix", "--chat"], True, True),
    ],
)
def test_boolean_keys_are_flags(words, chat, allow_prefix):
    config = parse(Example, argv=["--model", "a", *words])
    assert (config.chat, config.allow_prefix) == (chat, allow_prefix)
    assert get("chat", words) == ("true" if chat else "false" if "--chat=false" in words else "")
    assert get("limit", words) == ("3" if "3" in words else "")


def test_several_dataclasses_from_one_yaml(tmp_path):
    path = tmp_path / "run.yaml"
    path.write_text("model: hub/some-model\nout: results/{model}\nchat: true\nverbose: false\n")
    example, other = parse(Example, Other, argv=["--config", str(path), "--dtype", "float32", "--limit", "2"])
    assert example == Example("hub/some-model", limit=2, chat=True)
    assert other == Other("results/some-model", "float32", verbose=False)
    for wrong, named in (
        (["--dtype", "float"], "dtype"),
        (["--shotss", "5"], "--shotss"),
        (["--verbose", "5"], "verbose"),
    ):
        with pytest.raises(InputError, match=named):
            parse(Example, Other, argv=["--config", str(path), *wrong])
    with pytest.raises(InputError, match="out"):
        parse(Example, Other, argv=["--model", "a"])


@pytest.mark.parametrize(
    ("model", "name"),
    [("gpt2", "gpt2"), ("a/b", "b"), ("runs/mine/", "mine"), ("chat:a/b", "chat-b"), ("endpoint:b", "endpoint-b")],
)
def test_the_models_name_in_a_path(model, name):
    assert model_name(model) == name
    assert parse(Other, Example, argv=["--model", model, "--out", "r/{model}/x"])[0].out == f"r/{name}/x"


@pytest.mark.parametrize("replaced", [TimeoutError(), RuntimeError(), InputError("no")])
@pytest.mark.parametrize("stop", [KeyboardInterrupt(), KeyboardInterrupt(143)])
def test_a_stop_that_a_library_has_replaced_is_a_stop(capsys, replaced, stop):
    def main():
        try:
            raise stop
        finally:
            raise replaced

    with pytest.raises(SystemExit) as end:
        run(main)
    said = "stopped: the same command goes on from here\n"
    assert end.value.code == (stop.args[0] if stop.args else 130) and capsys.readouterr().err == said


@pytest.mark.parametrize(
    ("raised", "code", "said"),
    [
        (KeyboardInterrupt(), 130, "stopped: the same command goes on from here"),
        (BaseExceptionGroup("", [ValueError(), BaseExceptionGroup("", [KeyboardInterrupt(143)])]), 143, "stopped: "),
        (BaseExceptionGroup("", [ValueError("odd"), GeneratorExit()]), 1, "ValueError: odd"),
    ],
)
def test_a_stop_among_tasks_is_a_stop(capsys, raised, code, said):
    def main():
        raise raised

    with pytest.raises(SystemExit) as end:
        run(main)
    error = capsys.readouterr().err
    assert end.value.code == code and said in error and ("Traceback" in error) == (code == 1)


FORKS = """
import os, signal, time
from common.cli import run

def main():
    here, there = os.pipe()
    worker = os.fork()
    if not worker:
        os.write(there, b".")
        time.sleep(60)
    os.read(here, 1)
    os.kill(worker, signal.SIGTERM)
    assert os.waitstatus_to_exitcode(os.waitpid(worker, 0)[1]) == -signal.SIGTERM

run(main)
"""


def test_a_forked_worker_that_is_stopped_says_nothing():
    done = subprocess.run([sys.executable, "-c", FORKS], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0 and not done.stderr


def test_named_list():
    assert named_list("a=x, b=y=z", "runs") == {"a": "x", "b": "y=z"}
    for wrong, said in (("", "runs '': write name=path"), (",", "write name=path"), ("a=x,a=y", "the name 'a' twice")):
        with pytest.raises(InputError, match=said):
            named_list(wrong, "runs")
    with pytest.raises(InputError, match="runs 'a': write name=path"):
        named_list("a", "runs")


def asked(*words):
    done = subprocess.run([PYTHON, "-m", "common.cli", *map(str, words)], cwd=ROOT, capture_output=True, text=True)
    return done.stdout.strip() if done.returncode == 0 else done.stderr


def test_a_bash_script_asks_what_a_key_is(tmp_path):
    path = tmp_path / "run.yaml"
    path.write_text("model: a/b\nlimit: null\nnames: [x, y]\nout: r/{model}\n")
    keys = ("--config", path)
    assert asked("get", "model", *keys) == "a/b" and asked("get", "out", *keys) == "r/b"
    assert asked("get", "out", *keys, "--model", "c/d") == "r/d" and asked("get", "names", *keys) == "x,y"
    assert asked("get", "limit", *keys) == asked("get", "nothing", *keys) == ""
    assert "absent.yaml" in asked("get", "model", "--config", tmp_path / "absent.yaml")


def test_a_bash_script_asks_where_a_data_set_is(tmp_path):
    path = tmp_path / "data.yaml"
    path.write_text("mmlu: my mmlu\nbelebele: facebook/belebele\nquiz: null\n")
    (tmp_path / "my mmlu").mkdir()
    assert asked("data", "mmlu", path) == str(tmp_path / "my mmlu")
    assert asked("data", "belebele", path) == "facebook/belebele"
    assert asked("data", "quiz", path) == ""
    path.write_text("mnlu: x\n")
    assert "unknown key mnlu" in asked("data", "mmlu", path)
    assert {"mmlu", "belebele", "quiz"} <= set(yaml.safe_load((ROOT / "data.yaml").read_text()))
