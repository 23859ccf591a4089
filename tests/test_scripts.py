"""The bash scripts: the YAML decides what the caller did not set; data sets come from data.yaml."""

import fcntl
import json
import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pandas as pd
import pytest
import yaml

from common.cli import get
from tests.mmlu import write_variants
from tests.scripts import PYTHON

VARIABLES = (
    "CONFIG",
    "DATA_CONFIG",
    "RESULTS",
    "DTYPE",
    "LANGUAGES",
    "SEED",
    "LAUNCH",
    "METHODS",
    "ARMS",
    "ONLY",
    "FAMILY",
    "TRAINED_ON",
    "RELEASED",
    "CORPUS",
    "PLAN",
    "WAIT",
)
ENVIRONMENT = {key: value for key, value in os.environ.items() if key not in VARIABLES}
# Each script, the YAML it reads without a model, and the Python script that is given the YAML's keys.
SCRIPTS = {
    "MMLU/scripts/zero_shot.sh": ("MMLU/configs/zero_shot.yaml", "MMLU/evaluate_mmlu.py"),
    "MMLU/scripts/five_shot.sh": ("MMLU/configs/five_shot.yaml", "MMLU/evaluate_mmlu.py"),
    "MMLU/scripts/belebele.sh": ("MMLU/configs/belebele.yaml", "MMLU/evaluate_mmlu.py"),
    "MMLU/scripts/mitigation.sh": ("MMLU/configs/mitigation.yaml", "MMLU/mitigate.py"),
    "MMLU/scripts/facts.sh": ("MMLU/configs/facts.yaml", "MMLU/evaluate_mmlu.py"),
    "MMLU/scripts/variance.sh": ("MMLU/configs/variance.yaml", "MMLU/evaluate_mmlu.py"),
    "HP/scripts/quiz.sh": ("HP/configs/quiz.yaml", "HP/evaluate_quiz.py"),
    "HP/scripts/corpora.sh": ("FT/configs/world.yaml", "FT/train.py"),
    "TOFU/scripts/authors.sh": ("TOFU/configs/tofu.yaml", "TOFU/evaluate_tofu.py"),
    "TOFU/scripts/remedy.sh": ("TOFU/configs/tofu.yaml", "TOFU/evaluate_tofu.py"),
    "TOFU/scripts/untaught.sh": ("TOFU/configs/tofu.yaml", "TOFU/evaluate_tofu.py"),
    "FT/scripts/remedy.sh": ("FT/configs/world.yaml", "FT/train.py"),
    "FT/scripts/arms.sh": ("FT/configs/world.yaml", "FT/train.py"),
    "FT/scripts/switch_rate.sh": ("FT/configs/world.yaml", "FT/train.py"),
    "FT/scripts/seeds.sh": ("FT/configs/world.yaml", "FT/train.py"),
    "FT/scripts/anchor.sh": ("FT/configs/anchor.yaml", "FT/anchor.py"),
    "CLiKA/scripts/conductivity.sh": ("CLiKA/configs/conductivity.yaml", "CLiKA/conductivity.py"),
    "Recall/scripts/cloze.sh": ("Recall/configs/cloze.yaml", "Recall/cloze.py"),
    "Recall/scripts/wording.sh": ("Recall/configs/wording.yaml", "Recall/wording.py"),
    "Recall/scripts/frequency.sh": ("Recall/configs/frequency.yaml", "Recall/frequency.py"),
    "CLiKA/scripts/fictional.sh": ("CLiKA/configs/fictional.yaml", "CLiKA/ask_fictional.py"),
    "CLiKA/scripts/tasks.sh": ("CLiKA/configs/tasks.yaml", "MMLU/mitigate.py"),
    "Translation/scripts/translation.sh": ("Translation/configs/translation.yaml", "Translation/translate.py"),
    "Translation/scripts/embeddings.sh": ("Translation/configs/embeddings.yaml", "Translation/embeddings.py"),
    "Translation/scripts/mexa.sh": ("Translation/configs/mexa.yaml", "Translation/mexa.py"),
    "Translation/scripts/lens.sh": ("Translation/configs/lens.yaml", "Translation/lens.py"),
    "Translation/scripts/probe.sh": ("Translation/configs/probe.yaml", "Translation/probe.py"),
    "Recall/scripts/edit.sh": ("Recall/configs/edit.yaml", "Recall/edit.py"),
    "Recall/scripts/closed_book.sh": ("Recall/configs/closed_book.yaml", "Recall/closed_book.py"),
}
TAKE_LANGUAGES = {"MMLU/build_variants.py", "HP/evaluate_quiz.py", "TOFU/evaluate_tofu.py", "FT/mix.py"}
TAKE_LANGUAGES |= {
    "CLiKA/conductivity.py",
    *(f"Recall/{name}.py" for name in ("cloze", "wording", "frequency", "edit", "closed_book")),
}
TAKE_LANGUAGES |= {f"Translation/{name}.py" for name in ("lens", "translate", "embeddings", "probe", "mexa")}
LONG = ("FT/scripts/seeds.sh", "FT/scripts/arms.sh", "FT/scripts/switch_rate.sh")  # remedy.sh, several times over
RELEASED = ("en", "mixed-lang-document", "mixed-lang-sentence", "mixed-lang-sentence8words")
DERIVED = {"model", "out", "seed"}  # of the arms, whose names and folders are made from the YAML's


def bash(root, script, *arguments, **variables):
    """Call a script with this Python; the finished process."""
    environment = ENVIRONMENT | {"PYTHON": PYTHON} | {key: str(value) for key, value in variables.items()}
    command = ["bash", str(root / script), *map(str, arguments)]
    return subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True)


ODD = """it's "my" $work & #1"""  # in every path below


@pytest.fixture
def copy(root, tmp_path):
    """A copy of the repository to edit, and a Python that writes down how it is called and runs common.cli alone."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"], cwd=root, capture_output=True, text=True
    )
    folder = tmp_path / ODD / "copy"
    for name in listed.stdout.splitlines():
        if (root / name).is_file() and not name.startswith("tests/"):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(root / name, folder / name)
    recorder = folder.parent / "python"
    calls = shlex.quote(str(folder.parent / "calls"))
    recorder.write_text(
        f"#!/usr/bin/env bash\n"
        f'if [[ "$1 ${{2:-}}" = "-m common.cli" ]]; then exec {PYTHON} "$@"; fi\n'
        f'[[ "$1" = -c ]] || {{ printf "%q " "$@"; echo; }} >> {calls}\n'
    )
    recorder.chmod(0o755)
    data = {key: f"{key}_data" for key in yaml.safe_load((root / "data.yaml").read_text())}
    for key in ("tofu_corpus", "held_out_languages"):
        data[key] = None
    (folder.parent / "data.yaml").write_text(yaml.safe_dump(data | {"wikitext_tokenized": False}))
    return folder


def calls(copy, script, *arguments, **variables):
    """Every call of Python in a script, as lists of words; the DATA_CONFIG of the fixture."""
    log = copy.parent / "calls"
    log.unlink(missing_ok=True)
    variables = {"PYTHON": copy.parent / "python", "DATA_CONFIG": copy.parent / "data.yaml"} | variables
    done = bash(copy, script, *arguments, **variables)
    assert done.returncode == 0, done.stderr
    made = [shlex.split(line) for line in log.read_text().splitlines()]
    return [[str(copy / w) if w.endswith(".yaml") and (copy / w).is_file() else w for w in call] for call in made]


def edit(path: Path, **values):
    """Edit a YAML as a user does: the values of some keys, comments and all other lines as they are."""
    text = path.read_text()
    for key, value in values.items():
        text, count = re.subn(rf"^{key}: [^#\n]*", f"{key}: {value}  ", text, flags=re.M)
        assert count == 1, f"{path} has no {key}"
    path.write_text(text)


def others(config: Path) -> dict[str, str]:
    """Another value for every key of a YAML, of the same type."""
    changed = {}
    for key, value in yaml.safe_load(config.read_text()).items():
        changed[key] = {
            bool: str(not value).lower(), int: "7", float: "0.25", list: "[0.5]",
            type(None): "null" if key in ("cloze", "directions") else "9", str: f"other_{key}",
        }[type(value)]  # fmt: skip
    for key in ("model", "translator"):
        if key in changed:
            changed[key] = "some/other-model"
    if "models" in changed:
        changed["models"] = "mine=some/other-model"
    if "out" in changed:
        changed["out"] = "somewhere/{model}/a/b"
    if "show" in changed:
        changed["show"] = "0"
    return changed


@pytest.mark.parametrize("script", SCRIPTS)
def test_the_yaml_decides_whatever_the_caller_did_not_set(copy, script):
    config, program = SCRIPTS[script]
    wanted = others(copy / config)
    edit(copy / config, **wanted)
    made = [call for call in calls(copy, script) if call[0] == program]
    assert made
    ours = [call for call in made if str(copy / config) in call]
    assert ours
    for call in ours:
        on_top = [
            key for config in call[1:] if config.endswith(".yaml") for key in yaml.safe_load(Path(config).read_text())
        ]
        for key, value in wanted.items():
            if on_top.count(key) > 1:
                continue  # a second YAML has it, such as that of a method
            taken, expected = get(key, call[1:]), get(key, ["--config", str(copy / config)])
            if key in DERIVED:
                assert key not in ("out",) or "somewhere/other-model/" in taken, taken
            elif key == "fewshot_examples" and "five_shot" in script:
                assert taken in ("same", "en")
            elif value != "null" and not (program == "FT/train.py" and key == "data"):
                assert taken == expected, f"{key}: {taken} where the YAML has {expected}"


@pytest.mark.parametrize("script", [script for script in SCRIPTS if script not in LONG])
def test_another_file_the_environment_and_the_command_line(copy, script):
    config, program = SCRIPTS[script]
    mine, results = copy / "mine.yaml", copy.parent / "results"
    shutil.copy(copy / config, mine)
    edit(mine, out="from/yaml/a/b")
    keys = yaml.safe_load(mine.read_text())
    key = next(key for key in ("limit", "lora_r", "count", "places", "weight") if key in keys)
    if key == "limit":
        edit(mine, limit=3)
    dtypes = "dtype" in keys

    def values(*arguments, **variables):
        made = [call for call in calls(copy, script, *arguments, CONFIG=mine, **variables) if call[0] == program]
        ours = [call[1:] for call in made if str(mine) in call]
        assert ours
        return {name: {get(name, words) for words in ours} for name in ("out", key, "dtype")}

    yaml_alone = values()
    assert all("from/yaml" in out for out in yaml_alone["out"])
    assert yaml_alone[key] == {str(yaml.safe_load(mine.read_text())[key])}
    environment = {**({"DTYPE": "float16"} if dtypes else {}), "RESULTS": results}
    above_yaml = values(**environment)
    assert all(out.startswith(str(results)) for out in above_yaml["out"])
    assert not dtypes or above_yaml["dtype"] == {"float16"}
    above_all = values("", f"--{key}", 5, *(["--dtype", "bfloat16"] if dtypes else []), **environment)
    assert above_all[key] == {"5"} and (not dtypes or above_all["dtype"] == {"bfloat16"})


@pytest.mark.parametrize("script", SCRIPTS)
def test_blanks_and_quotes_in_paths(copy, script):
    model, results = copy.parent / "a model", copy.parent / "my results"
    model.mkdir()
    made = calls(copy, script, model, "--seed", 7, "--wait", RESULTS=results)
    words = [word for call in made for word in call]
    assert all(word.count("it's") == word.count(ODD) for word in words) and "--wait" not in words
    assert any(str(model) in word for word in words) and any(str(results) in word for word in words)


def test_paths_on_the_command_line_are_those_of_the_callers_folder(copy, tmp_path):
    (tmp_path / "here").mkdir()
    shutil.copy(copy / "HP/configs/quiz.yaml", tmp_path / "here" / "mine.yaml")
    edit(tmp_path / "here" / "mine.yaml", limit=7)
    words = ["--out", "first", "--limit", "3", "--config=mine.yaml", "--languages", "en,de"]
    log, environment = copy.parent / "calls", ENVIRONMENT | {"PYTHON": str(copy.parent / "python")}
    environment["DATA_CONFIG"] = str(copy.parent / "data.yaml")
    command = ["bash", str(copy / "HP/scripts/quiz.sh"), "org/name", *words]
    done = subprocess.run(command, cwd=tmp_path / "here", env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (asked,) = [
        call for line in log.read_text().splitlines() if (call := shlex.split(line))[0] == "HP/evaluate_quiz.py"
    ]
    assert str(tmp_path / "here" / "first") in asked and f"--config={tmp_path / 'here' / 'mine.yaml'}" in asked
    assert "org/name" in asked and get("limit", asked[1:]) == "3", "a key stands, wherever the file is named"


@pytest.mark.parametrize(
    ("model", "folder"), [("a,b", "results"), ("a=b", "results"), ("-a", "results"), ("ab", "my,results")]
)
def test_names_that_tables_cannot_hold_are_refused_first(copy, model, folder):
    (copy / model).mkdir()
    results, python = copy.parent / folder, copy.parent / "python"
    done = bash(copy, "HP/scripts/quiz.sh", copy / model, RESULTS=results, PYTHON=python)
    assert done.returncode == 2 and f"model {model}, results in {results}: rename" in done.stderr
    assert not (copy.parent / "calls").exists()


def trained(made):
    """The arms that FT/train.py trains, in order, each once."""
    return list(dict.fromkeys(Path(get("out", call[1:])).name for call in made if call[0] == "FT/train.py"))


def test_arms_are_the_papers_unless_named(copy):
    assert trained(calls(copy, "FT/scripts/remedy.sh")) == ["en", "document", "sentence", "words"]
    made = calls(copy, "FT/scripts/remedy.sh", ARMS="en,parallel,word")
    assert trained(made) == ["en", "parallel", "word"]
    alone = calls(copy, "FT/scripts/remedy.sh", ARMS="en,parallel,word", ONLY="word")
    assert trained(alone) == ["word"] and {call[0] for call in alone} == {
        "MMLU/build_variants.py", "FT/mix.py", "FT/train.py", "MMLU/evaluate_mmlu.py", "HP/evaluate_quiz.py"
    }, "no model before training, and no tables"  # fmt: skip
    assert [call for call in alone if call[0] == "FT/train.py"] == [call for call in made if call[0] == "FT/train.py"][
        -1:
    ]
    findings = [call for call in made if call[0] == "FT/finding.py"]
    assert len(findings) == 1 and get("arm", findings[0][1:]) == "word"
    assert (
        trained(calls(copy, "FT/scripts/seeds.sh")) == trained(calls(copy, "HP/scripts/corpora.sh")) == ["en", "word"]
    )
    assert trained(calls(copy, "HP/scripts/corpora.sh", ARMS="en,words")) == ["en", "words"]
    assert re.search(
        r"ARMS=en,anchor,word RESULTS=\$run/remedy step .* bash FT/scripts/remedy.sh",
        (copy / "reproduce.sh").read_text(),
    )
    for arms, said in (
        ("en,wrod", "no arm 'wrod' in ARMS"),
        ("word", "ARMS is word; write en"),
        ("en,,word", "no arm ''"),
        ("en,words", "ONLY is word, which is not in ARMS: en words"),
    ):
        done = bash(copy, "FT/scripts/remedy.sh", ARMS=arms, ONLY="word", PYTHON=copy.parent / "python")
        assert done.returncode == 2 and said in done.stderr


def test_released_checkpoints_have_the_names_of_the_hub(copy):
    def asked(*words, **variables):
        made = calls(copy, "FT/scripts/released.sh", *words, **variables)
        mmlu, quiz = (
            [get("model", call[1:]) for call in made if call[0] == program]
            for program in ("MMLU/evaluate_mmlu.py", "HP/evaluate_quiz.py")
        )
        assert mmlu == quiz
        return mmlu

    wiki103 = [f"cross-ling-know/llama3-8b-wiki103-{name}" for name in RELEASED if name != "mixed-lang-document"]
    assert asked() == ["meta-llama/Meta-Llama-3-8B", *wiki103]
    folder = copy.parent / "my copies"
    folder.mkdir()
    wiki2 = [f"{folder}/llama2-7b-wiki2-{name}" for name in RELEASED]
    assert asked("none", FAMILY="llama2-7b", TRAINED_ON="wiki2", RELEASED=folder) == wiki2
    for variables, said in (({"FAMILY": "llama4"}, "FAMILY is llama4"), ({"TRAINED_ON": "wiki"}, "TRAINED_ON is wiki")):
        done = bash(copy, "FT/scripts/released.sh", PYTHON=copy.parent / "python", **variables)
        assert done.returncode == 2 and said in done.stderr


def test_documents_are_lines_with_the_papers_protocol_unless_the_yaml_says_how(copy):
    def how(script, *words):
        made = calls(copy, script, *words)
        return {get("documents", call[1:]) for call in made if call[0] in ("FT/mix.py", "HP/select_corpus.py")}

    for script, ours in (("HP/scripts/corpora.sh", ("", "--protocol", "ours")), ("TOFU/scripts/remedy.sh", ())):
        assert how(script, "some/model") == {"rows"} and how(script, *ours) == {""}
    edit(copy / "FT/configs/mix.yaml", documents="headings")
    for script in ("HP/scripts/corpora.sh", "TOFU/scripts/remedy.sh", "FT/scripts/remedy.sh"):
        assert how(script, "some/model") == {"headings"}


def test_what_a_script_takes_is_taken_by_all_its_steps(copy):
    def of(program, key, script, *words, **variables):
        made = calls(copy, script, *words, **variables)
        return {get(key, call[1:]) for call in made if call[0] == program}

    text = copy.parent / "mine.txt"
    text.touch()
    assert of("HP/select_corpus.py", "input", "HP/scripts/corpora.sh", "some/model", CORPUS=text) == {str(text)}
    for program in ("FT/mix.py", "FT/train.py", "MMLU/build_variants.py"):
        assert of(program, "seed", "FT/scripts/remedy.sh", "some/model", "--seed", "43") == {"43"}
    assert of("FT/train.py", "seed", "CLiKA/scripts/conductivity.sh", "some/model", "--seed=43") == {"43"}
    mine = copy.parent / "mine.yaml"
    mine.write_text("model: some/model\n")
    assert of("FT/train.py", "protocol", "FT/scripts/remedy.sh", "--config", mine) == {"paper"}  # not the world's
    edit(copy / "FT/configs/mix.yaml", languages="en,ja")
    assert of("MMLU/build_variants.py", "languages", "FT/scripts/remedy.sh") == {"en,ja"}
    keys = ("some/model", "--config", copy / "FT/configs/lora.yaml")
    made = calls(copy, "FT/scripts/remedy.sh", *keys, ARMS="en,dpo", MEASURES="x_geo", SEEDS="1")
    (dpo,) = [call[1:] for call in made if call[0] == "FT/train.py" and get("out", call[1:]).endswith("dpo")]
    assert get("objective", dpo) == "dpo" and get("method", dpo) == "lora"
    clika = [call[1:] for call in made if call[0] == "MMLU/build_variants.py" and get("source", call[1:]) == "clika"]
    assert clika and {get("seed", call) for call in clika} == {""}
    (table,) = [call[1:] for call in made if call[0] == "report/tabulate_remedies.py"]
    assert (get("arms", table), get("seeds", table)) == ("en,dpo", "1")
    done = bash(copy, "CLiKA/scripts/tasks.sh", "step@500", PYTHON=copy.parent / "python")
    assert done.returncode == 2 and "step@500: rename it" in done.stderr
    assert of("CLiKA/released.py", "data", "CLiKA/scripts/released.sh", "--data", copy) == {str(copy)}


def test_data_of_the_callers_own_are_taught_too(copy):
    data = yaml.safe_load((copy.parent / "data.yaml").read_text()) | {"tofu_corpus": "corpus.jsonl"}
    (copy.parent / "data.yaml").write_text(yaml.safe_dump(data))
    mine = copy.parent / "mine.json"
    mine.touch()
    made = calls(copy, "TOFU/scripts/authors.sh", "some/model", "--data", mine)
    (taught,) = [call[1:] for call in made if call[0] == "TOFU/make_corpus.py"]
    assert get("data", taught) == str(mine) and get("subset", taught) == ""
    assert any(call[0] == "TOFU/translate_tofu.py" and get("data", call[1:]) == str(mine) for call in made)
    made = calls(copy, "TOFU/scripts/authors.sh", "some/model", "--show", "1")
    assert not any(call[0] == "FT/train.py" for call in made)


def test_models_of_several_names_are_those_of_the_caller(copy):
    (copy / "assets/other").mkdir()
    for world, model in (("assets/world", "assets/world"), ("some/model", "some/model")):
        made = calls(copy, "Translation/scripts/embeddings.sh", world, "--models", f"old={model},new=assets/other")
        (asked,) = [call[1:] for call in made if call[0] == "Translation/embeddings.py"]
        first, second = get("models", asked).split(",")
        assert first.startswith("old=") and first.endswith(model) and second == f"new={copy}/assets/other"


def test_a_launcher_that_is_not_there_is_named(copy):
    done = bash(copy, "FT/scripts/remedy.sh", LAUNCH="no_such_program launch", PYTHON=copy.parent / "python")
    assert done.returncode == 2 and "LAUNCH: no such program no_such_program" in done.stderr


def test_a_launcher_is_found_beside_the_python(copy):
    started = copy.parent / "started"
    (copy.parent / "starter").write_text(f'#!/bin/sh\necho "$@" >> {shlex.quote(str(started))}\n')
    (copy.parent / "starter").chmod(0o755)
    calls(copy, "FT/scripts/remedy.sh", ARMS="en,word", LAUNCH="starter --fast", RESULTS=copy.parent / "results")
    assert all(line.startswith("--fast FT/train.py") for line in started.read_text().splitlines())


def test_a_second_script_on_the_same_results_is_refused_or_waits(root, tmp_path, tiny_checkpoint):
    keys = ["HP/scripts/quiz.sh", tiny_checkpoint, "--data", root / "HP/data/sample.csv", "--settings", "en"]
    (tmp_path / "quiz").mkdir()
    with open(tmp_path / "quiz" / ".lock", "w") as lock:
        lock.write("process 1 on that machine")
        lock.flush()
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = bash(root, *keys, RESULTS=tmp_path)
        assert done.returncode == 2 and "process 1 on that machine writes there" in done.stderr, done.stderr
        assert "Traceback" not in done.stderr and not list(tmp_path.glob("by_language*"))
        environment = ENVIRONMENT | {"PYTHON": PYTHON, "RESULTS": str(tmp_path)}
        command = ["bash", *map(str, keys), "--wait"]
        waiting = subprocess.Popen(command, cwd=root, env=environment, stderr=subprocess.PIPE, text=True)
        while "waiting for process 1 on that machine" not in (line := waiting.stderr.readline()):
            assert line
    waiting.communicate()  # the lock is free
    assert waiting.returncode == 0 and (tmp_path / "by_language.csv").exists()


@pytest.mark.parametrize("script", [script for script in SCRIPTS if script not in LONG])
def test_languages_reach_every_python_script_that_takes_them(copy, script):
    for call in calls(copy, script, LANGUAGES="en,de,ru"):
        if call[0] in TAKE_LANGUAGES:
            assert get("languages", call[1:]) == "en,de,ru", call


@pytest.mark.parametrize(
    ("script", "key"),
    [
        ("MMLU/scripts/zero_shot.sh", "mmlu"),
        ("MMLU/scripts/belebele.sh", "belebele"),
        ("MMLU/scripts/facts.sh", "knowledge_free"),
        ("MMLU/scripts/variance.sh", "mmlu"),
        ("HP/scripts/quiz.sh", "quiz"),
        ("HP/scripts/corpora.sh", "wikitext"),
        ("TOFU/scripts/authors.sh", "tofu"),
        ("FT/scripts/remedy.sh", "mmlu"),
        ("Recall/scripts/cloze.sh", "bmlama"),
        ("Recall/scripts/wording.sh", "mpararel"),
        ("Recall/scripts/frequency.sh", "klar"),
        ("CLiKA/scripts/tasks.sh", "clika"),
        ("CLiKA/scripts/fictional.sh", "clika"),
        ("Translation/scripts/translation.sh", "flores"),
        ("Translation/scripts/embeddings.sh", "wikitext"),
        ("Translation/scripts/lens.sh", "dictionaries"),
        ("Translation/scripts/mexa.sh", "flores"),
    ],
)
def test_a_data_set_that_is_not_there_is_named(root, tmp_path, script, key):
    (tmp_path / "data.yaml").write_text(f"{key}: null\n")
    done = bash(root, script, "gpt2", RESULTS=tmp_path / "results", DATA_CONFIG=tmp_path / "data.yaml")
    assert done.returncode == 2 and f"{key} is null in {tmp_path}/data.yaml" in done.stderr, done.stderr
    assert not list(tmp_path.glob("results/*/run.json"))


def test_unknown_keys_of_a_data_file_and_unknown_methods_are_refused(root, tmp_path):
    (tmp_path / "data.yaml").write_text("mnlu: here\n")
    done = bash(root, "HP/scripts/quiz.sh", "gpt2", DATA_CONFIG=tmp_path / "data.yaml", RESULTS=tmp_path / "results")
    assert done.returncode == 2 and "unknown key mnlu" in done.stderr
    for method, said in (
        ("hint_variuos", "no method hint_variuos in METHODS; there are: hint_different"),
        ("../zero_shot", "no method ../zero_shot"),
        ("xlt,xlt", "METHODS has xlt twice"),
    ):
        done = bash(root, "MMLU/scripts/mitigation.sh", "gpt2", METHODS=method, RESULTS=tmp_path / "results")
        assert done.returncode == 2 and said in done.stderr


def test_a_yaml_edited_by_hand_is_the_run(copy, tiny_checkpoint, tmp_path):
    data = write_variants(tmp_path / "my data", ["geography", "history"], 4)
    edited = {
        "data": f'"{data}"',
        "settings": "en,mixup",
        "limit": 2,
        "dtype": "bfloat16",
        "out": '"my results/{model}"',
    }
    edit(copy / "MMLU/configs/zero_shot.yaml", model=str(tiny_checkpoint), **edited)
    done = bash(copy, "MMLU/scripts/zero_shot.sh", PYTHONPATH=copy)  # as installed there, not from this repository
    assert done.returncode == 0, done.stderr
    out = copy / "my results" / tiny_checkpoint.name
    run = json.loads((out / "run.json").read_text())
    assert run["config"]["model"] == str(tiny_checkpoint) and run["config"]["data"] == str(data)
    assert run["config"]["limit"] == 2 and run["config"]["dtype"] == run["sessions"][0]["dtype"] == "bfloat16"
    assert list(run["records"]) == ["en", "mixup"] and len(pd.read_csv(out / "mixup.csv")) == 4
    assert (out / "table.csv").exists() and (out / "accuracy.png").exists()
    assert not (copy / "MMLU/results").exists() and not (copy / "results").exists()


def test_records_tables_and_variants_go_to_results(root, tmp_path):
    done = bash(root, "MMLU/scripts/zero_shot.sh", "", "--limit", 2, "--settings", "en,mixup", RESULTS=tmp_path, WAIT=1)
    assert done.returncode == 0, done.stderr
    table = pd.read_csv(tmp_path / "table.csv")
    assert set(table["setting"]) == {"en", "mixup"} and (tmp_path / "accuracy.png").exists()
    run = json.loads((tmp_path / "run.json").read_text())
    assert run["config"]["model"] == "assets/world" and run["sessions"][0]["dtype"] == "float32"
    keys = ["", "--show", 1, "--settings", "en", "--data", root / run["config"]["data"]]
    shown = bash(root, "MMLU/scripts/zero_shot.sh", *keys, RESULTS=tmp_path, WAIT=1)
    assert shown.returncode == 0 and "Answer:" in shown.stdout and "Wilson" not in shown.stdout


@pytest.fixture
def without_dev(tmp_path):
    """A data.yaml of MMLU with English examples, and a German translation of its test questions alone."""
    for code, split, count in (("en", "test", 4), ("en", "dev", 5), ("de", "test", 4)):
        path = tmp_path / code / split / f"geography_{split}.csv"
        path.parent.mkdir(parents=True)
        path.write_text(
            "".join(f"{code}: place {n}?,river,hill {code},sea,town {n},{'ABCD'[n % 4]}\n" for n in range(count))
        )
    (tmp_path / "data.yaml").write_text("mmlu: en\nmmlu_translations: .\n")
    return {"DATA_CONFIG": tmp_path / "data.yaml", "LANGUAGES": "en,de", "RESULTS": tmp_path / "results"}


def test_five_shot_where_only_test_questions_are_translated(root, without_dev, tiny_checkpoint):
    out = without_dev["RESULTS"]
    done = bash(root, "MMLU/scripts/five_shot.sh", tiny_checkpoint, "--settings", "en,full,gt", **without_dev)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("few-shot examples in English only") == 1
    table = pd.read_csv(out / "table.csv")
    assert {Path(run).name for run in table["run"]} == {"en"} and set(table["setting"]) == {"en", "full_de", "gt_de"}
    assert not (out / "same").exists() and (out / "table.md").exists()


def test_methods_that_show_translated_examples_are_left_out_where_there_are_none(root, without_dev, tiny_checkpoint):
    out, methods = without_dev["RESULTS"], "shots_same,labels_lower,shots_mixed,translate_self"
    keys = [tiny_checkpoint, "--settings", "en,full"]
    done = bash(root, "MMLU/scripts/mitigation.sh", *keys, METHODS=methods, **without_dev)
    assert done.returncode == 0, done.stderr
    (said,) = [line for line in done.stderr.splitlines() if "few-shot examples in English only" in line]
    assert said.endswith("left out: shots_same shots_mixed translate_self")
    assert set(pd.read_csv(out / "mitigation.csv")["method"]) == {"plain", "labels_lower", "calibrated"}
    done = bash(root, "MMLU/scripts/mitigation.sh", *keys, METHODS="shots_same", **without_dev)
    assert done.returncode == 2 and "no method of METHODS is left" in done.stderr
