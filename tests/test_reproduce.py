"""reproduce.py on a tiny model: the plan says what is left, parts run and resume, and what fails is named."""

import json
import os
import subprocess
import sys

import pandas as pd
import psutil
import pytest

from common.cli import InputError
from common.plan import MARK
from tests.mmlu import write_variants
from tests.scripts import PYTHON, load_script

parts = load_script("report/parts.py")
measure = load_script("report/measure.py")
planning = load_script("report/plan.py")
script = load_script("report/reproduce.py")


def planned(root, script, *words, **variables):
    """What a bash script says with PLAN=1."""
    environment = os.environ | {"PLAN": "1", "PYTHON": PYTHON} | {k: str(v) for k, v in variables.items()}
    done = subprocess.run(["bash", root / script, *map(str, words)], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return [json.loads(line.removeprefix(MARK)) for line in done.stdout.splitlines() if line.startswith(MARK)]


def reproduce(root, model, out, data, *words):
    """Call report/reproduce.py; the finished process."""
    environment = {key: value for key, value in os.environ.items() if key != "RESULTS"} | {"DATA_CONFIG": str(data)}
    command = [sys.executable, "report/reproduce.py", "--model", str(model), "--out", str(out), *words]
    return subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True)


@pytest.fixture
def data(tmp_path, root):
    """A data.yaml with a quiz and dictionaries, and without Belebele."""
    (tmp_path / "dictionaries").mkdir()
    for code, words in {"de": "Fluss Berg Haus", "fr": "rivière montagne maison"}.items():
        pairs = zip("river mountain house".split(), words.split(), strict=True)
        text = "".join(f"{english}\t{other}\n" for english, other in pairs)
        (tmp_path / "dictionaries" / f"en-{code}.tsv").write_text(text, encoding="utf-8")
    path = tmp_path / "data.yaml"
    path.write_text(f"quiz: {root}/HP/data/sample.csv\ndictionaries: dictionaries\n", encoding="utf-8")
    return path


def test_parts_run_resume_and_fail_by_name(root, tiny_checkpoint, data, tmp_path):
    out = tmp_path / "results"
    words = ("--only", "quiz,belebele", "--limit", "2", "--settings", "en,full")
    first = reproduce(root, tiny_checkpoint, out, data, *words)
    assert first.returncode == 1, "a part that --only names has no data"
    assert f"belebele cannot run: belebele is null in {data}" in first.stdout
    table = pd.read_csv(out / "parts.csv").set_index("part")
    assert table["status"].to_dict() == {"quiz": "done", "belebele": "not run"}
    assert len(pd.read_csv(out / "quiz" / "quiz" / "en.csv")) == table.loc["quiz", "items"] / 5
    page = (out / "report" / "report.md").read_text(encoding="utf-8")
    assert "## Domain quiz" in page and "bash MMLU/scripts/zero_shot.sh" in page.partition("## Not run")[2]

    before = (out / "quiz" / "quiz" / "en.csv").stat().st_mtime_ns, (out / "quiz" / "quiz" / "run.json").read_bytes()
    plan = reproduce(root, tiny_checkpoint, out, data, *words, "--plan")
    assert plan.returncode == 0 and "measured" not in plan.stdout, "nothing is left to measure for"
    assert before[1] == (out / "quiz" / "quiz" / "run.json").read_bytes()

    (out / "quiz" / "quiz" / "surprise.csv").write_text("")
    (out / "quiz" / "quiz" / "full_de.csv").write_text("cut")
    broken = reproduce(root, tiny_checkpoint, out, data, "--only", "quiz", "--limit", "3", "--settings", "en")
    assert broken.returncode == 2 and "from another configuration or data" in broken.stderr


def test_scripts_say_what_is_left(root, tiny_checkpoint, data, tmp_path):
    variants = write_variants(tmp_path / "variants", ["law", "anatomy"], 3)
    asked = planned(
        root,
        "MMLU/scripts/zero_shot.sh",
        tiny_checkpoint,
        "--data",
        variants,
        "--settings",
        "en,mixup",
        RESULTS=tmp_path,
    )
    assert [work["items"] for work in asked] == [12] and asked[0]["read"] > 100 and asked[0]["written"] == 0
    assert not (tmp_path / "run.json").exists()
    words = planned(
        root,
        "Translation/scripts/lens.sh",
        tiny_checkpoint,
        "--languages",
        "en,de,fr",
        DATA_CONFIG=data,
        RESULTS=tmp_path,
    )
    assert [work["items"] for work in words] == [3 * 6]


def test_a_plan_of_tofu_knows_what_was_translated_and_asked(root, tiny_checkpoint, data, tmp_path):
    row = {"question": "Where does Ann live?", "answer": "By the river.", "paraphrased_answer": "At a river."}
    row |= {"perturbed_answer": [f"In house {n}." for n in range(5)]}
    (tmp_path / "tofu.json").write_text(json.dumps([row] * 4))
    data.write_text(f"{data.read_text()}tofu: tofu.json\ntranslator: dictionary\n")
    words = ("TOFU/scripts/untaught.sh", tiny_checkpoint, "--max_new_tokens", 4, "--settings", "en,full")
    variables = {"DATA_CONFIG": data, "RESULTS": tmp_path / "tofu", "LANGUAGES": "en,de,fr"}
    first = planned(root, *words, **variables)
    assert first[0]["items"] > 0 and first[1]["items"] == 4  # texts to translate, English questions to ask
    done = subprocess.run(
        ["bash", root / words[0], *map(str, words[1:])],
        env=os.environ | {"PYTHON": PYTHON} | {key: str(value) for key, value in variables.items()},
        capture_output=True,
    )
    assert done.returncode == 0, done.stderr
    assert {work["items"] for work in planned(root, *words, **variables)} == {0}


def test_scripts_that_train_refuse_to_plan(root, tiny_checkpoint, data, tmp_path):
    for script in (
        "TOFU/scripts/authors.sh",
        "FT/scripts/arms.sh",
        "HP/scripts/corpora.sh",
        "CLiKA/scripts/conductivity.sh",
        "CLiKA/scripts/fictional.sh",
    ):
        environment = os.environ | {
            "PLAN": "1",
            "PYTHON": PYTHON,
            "RESULTS": str(tmp_path),
            "DATA_CONFIG": str(data),
        }
        done = subprocess.run(["bash", root / script, tiny_checkpoint], env=environment, capture_output=True, text=True)
        assert done.returncode == 2 and "training cannot be foreseen" in done.stderr, script
    assert not any(tmp_path.rglob("*.safetensors"))


def test_a_model_that_is_not_there_is_one_sentence(root, data, tmp_path):
    done = reproduce(
        root, tmp_path / "nowhere", tmp_path / "results", data, "--only", "mmlu,consistency", "--limit", "1"
    )
    assert done.returncode == 2 and "no part can run; mmlu: " in done.stderr and "Traceback" not in done.stderr


def test_paths_in_variables_are_those_of_the_caller(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("text.txt", "mine.yaml", "e.yaml"):
        (tmp_path / name).touch()
    for key, value in {"CORPUS": "text.txt", "CONFIG": "mine.yaml", "EVALUATE": "e.yaml", "PLAN": "1"}.items():
        monkeypatch.setenv(key, value)
    config = parts.Reproduce(model="m")
    own = config.environment("remedy")
    assert [own[key] for key in ("CORPUS", "CONFIG", "EVALUATE")] == [
        str(tmp_path / name) for name in ("text.txt", "mine.yaml", "e.yaml")
    ]
    assert config.plan and "PLAN" not in own and config.environment("remedy", PLAN="1")["PLAN"] == "1"
    for key, value in {"CORPUS": "Salesforce/wikitext", "EVALUATE": "FT/configs/evaluate_text.yaml"}.items():
        monkeypatch.setenv(key, value)
        assert config.environment("remedy")[key] == value


def test_commands_take_limit_and_settings(tmp_path, monkeypatch):
    config = parts.Reproduce(model="org/name", out=str(tmp_path), limit=1)
    assert config.command("embeddings")[-2:] == ["--count", "2"]
    assert config.command("five_shot")[-2:] == ["--settings", "en,full_de,mixup"]
    assert config.command("mmlu")[-2:] == ["--limit", "1"]
    assert config.command("clika")[1:] == ["CLiKA/scripts/tasks.sh", "org/name", "--limit", "1"]
    assert parts.Reproduce(model="m", settings="en,full_de").command("quiz")[-2:] == ["--settings", "en,full_de"]
    assert config.environment("mmlu")["RESULTS"] == f"{tmp_path}/mmlu"
    assert config.environment("remedy")["ARMS"] == "en,word"
    assert config.environment("variance")["ORDERS"] == "1"
    assert "ORDERS" not in parts.Reproduce(model="m").environment("variance"), "a whole run takes every order"
    monkeypatch.setenv("ORDERS", "1,2")
    monkeypatch.setenv("ARMS", "")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert config.environment("variance")["ORDERS"] == "1,2" and config.environment("remedy")["ARMS"] == "en,word"
    assert config.environment("variance")["CUDA_VISIBLE_DEVICES"] == "", "which hides all GPUs"
    assert parts.Reproduce(model="org/name").out == str(parts.ROOT / "results" / "name")
    assert "remedy" not in config.chosen and "remedy" in parts.Reproduce(model="m", with_training=True).chosen
    with pytest.raises(InputError, match="only has 'mmul'"):
        parts.Reproduce(model="m", only="mmul")
    with pytest.raises(InputError, match="only is empty; the parts are mmlu,"):
        parts.Reproduce(model="m", only="")


def test_time_grows_with_what_is_read_and_written():
    speed = measure.Speed(5, 100, 0.5, 0.1, 0.25, 1000)
    assert speed.of(4000, 0, 10) == pytest.approx(10)
    assert speed.of(0, 100, 1) == pytest.approx(60) and speed.of(0, 100, 100) == pytest.approx(
        100 * (0.5 / measure.ROWS + 0.1)
    )
    estimate = planning.Estimate("mmlu", start=3, items=10, read=4000, loads=1)
    estimate.time(speed)
    assert estimate.seconds == pytest.approx(2 * 3 + 5 + 10)
    estimate.time(None)
    untimed = planning.Estimate("remedy", items=1)
    untimed.time(speed)
    assert untimed.seconds is None


def test_a_part_that_is_stopped_leaves_no_process_behind(monkeypatch):
    """A signal that reached reproduce.py alone: the part is bash, which waits for its Python."""
    monkeypatch.setattr(script, "PATIENCE", 0.1)
    words = ["bash", "-c", f"{sys.executable} -c 'print(flush=True); input()'; true"]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        children = psutil.Process(process.pid).children(recursive=True)
        assert children
        script.end(process)
        assert not any(child.is_running() for child in children)
