"""export_lm_eval.py: tasks of lm-evaluation-harness with the prompts of evaluate_mmlu.py, and what it refuses."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import yaml

from common.evaluation.records import load_records
from common.lm.loading import load
from common.lm.loglikelihood import loglikelihood
from common.questions import LETTERS, by_subject, monolingual, read_questions, write_questions
from common.settings import UNFINISHED, settings_in
from tests.mmlu import EXAMPLES, write_variants
from tests.scripts import call, load_script

evaluate = load_script("MMLU/evaluate_mmlu.py")
export = load_script("MMLU/export_lm_eval.py")
peers = load_script("tests/bench/peers.py")

NAME = "crosslingual_mmlu"
SUBJECTS = ["abstract_algebra", "law"]


@pytest.fixture
def data(tmp_path):
    return write_variants(tmp_path / "variants", SUBJECTS, questions=4)


@pytest.fixture
def run(data, tmp_path, monkeypatch):
    """Call the script; returns the folder that it writes, or the exit code where that is not 0."""

    def run(*arguments, out=tmp_path / "out", data=data):
        code = call(export, ["--data", data, "--out", out, *arguments], monkeypatch)
        return code or out / NAME

    return run


def read_yaml(path):
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def read_jsonl(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n")[:-1]]


def harness_prompts(path, shots):
    """The prompts of a task file as the harness documents them: description, solved examples, question."""
    task = read_yaml(path)
    files = {split: path.parent / split / f"{path.stem}.jsonl" for split in task["dataset_kwargs"]["data_files"]}
    assert {split: str(file) for split, file in files.items()} == task["dataset_kwargs"]["data_files"]
    rows = {split: read_jsonl(file) for split, file in files.items()}
    text, choices, target = (task[f"doc_to_{name}"] for name in ("text", "choice", "target"))
    solved = [
        row[text] + task["target_delimiter"] + row[choices][row[target]] + task["fewshot_delimiter"]
        for row in (rows[task["fewshot_split"]][:shots] if shots else [])
    ]
    return {
        row["id"]: task["description"].replace("{{header}}", row["header"]) + "".join(solved) + row[text]
        for row in rows[task["test_split"]]
    }


def our_prompts(data, name, shots):
    """The prompts of evaluate_mmlu.py."""
    setting = evaluate.MmluConfig(data=str(data), num_fewshot=shots).task(None).read(name)
    return dict(zip([q.id for q in setting.questions], setting.prompts(setting.questions, "letter"), strict=True))


@pytest.mark.parametrize("shots", [0, 2, EXAMPLES])
def test_prompts_are_ours_to_the_character(run, data, shots):
    folder = run()
    for name in settings_in(data):
        exported = [harness_prompts(path, shots) for path in sorted((folder / name).glob("*.yaml"))]
        assert {id: prompt for part in exported for id, prompt in part.items()} == our_prompts(data, name, shots)


def test_groups_tasks_and_their_keys(run, data):
    folder = run()
    names = settings_in(data)
    top = read_yaml(folder / f"{NAME}.yaml")
    assert (top["group"], top["task"]) == (NAME, [f"{NAME}_{name}" for name in names])
    assert top["aggregate_metric_list"] == [{"metric": "acc", "aggregation": "mean", "weight_by_size": True}]
    assert top["metadata"] == {"version": 1.0}
    for name in names:
        group = read_yaml(folder / f"{NAME}_{name}.yaml")
        assert (group["group"], group["group_alias"]) == (f"{NAME}_{name}", name)
        assert group["task"] == [f"{NAME}_{name}_{subject}" for subject in SUBJECTS]
        tasks = [read_yaml(folder / name / f"{subject}.yaml") for subject in SUBJECTS]
        assert [task["task"] for task in tasks] == group["task"]
        questions = by_subject(read_questions(data / f"{name}.csv"))
        for subject, task in zip(SUBJECTS, tasks, strict=True):
            rows = read_jsonl(folder / name / "test" / f"{subject}.jsonl")
            assert [row["id"] for row in rows] == [item.id for item in questions[subject]]
            assert ["ABCD"[row["answer"]] for row in rows] == [item.answer for item in questions[subject]]
            assert {tuple(row["choices"]) for row in rows} == {tuple("ABCD")}
            assert task["description"].endswith(f"about  {subject.replace('_', ' ')}.\n\n")
            assert (task["test_split"], task["fewshot_split"]) == ("test", "dev")
            assert task["fewshot_config"] == {"sampler": "first_n"}
            assert (task["output_type"], task["target_delimiter"]) == ("multiple_choice", " ")
            assert task["metric_list"] == [{"metric": "acc", "aggregation": "mean", "higher_is_better": True}]
            assert task["metadata"] == {"version": 1.0} and "num_fewshot" not in task


def test_a_number_of_examples_becomes_that_of_the_tasks(run, data):
    folder = run("--num_fewshot", "2", "--settings", "full,mixup", "--name", NAME)
    chosen = ["full_de", "full_fr", "full_es", "full_it", "mixup"]
    assert sorted(read_yaml(folder / f"{NAME}.yaml")["task"]) == sorted(f"{NAME}_{name}" for name in chosen)
    assert {read_yaml(path)["num_fewshot"] for path in folder.glob("*/*.yaml")} == {2}


def unusual(folder):
    """2 to 26 options, with and without a passage in one subject, and texts that a careless reader changes."""
    texts = ["{{ header }} {% if %}", "a\u2028b\u0085c\rd", ' "quoted" \\n ', "2020-01-01", "Frage №5 ?\n\nAnswer: A"]
    items = []
    for count, text in enumerate([*texts, "None"], 2):
        options = [f"{text} {letter}" for letter in LETTERS[:count]]
        items.append(monolingual(f"q{count}", "C++ {% & Ökologie", "", text, options, "B", "en"))
    options = [str(n) for n in range(26)]
    items.append(monolingual("passage", "dogs", "A passage.", "What?", options, "Z", "en"))
    items.append(monolingual("none", "dogs", "", "What?", options[:2], "A", "en"))
    write_questions(folder / "en.csv", items)
    write_questions(folder / "dev" / "en.csv", [replace(item, id=f"dev {item.id}") for item in items])
    return folder


@pytest.mark.parametrize("shots", [0, 2])
def test_any_number_of_options_passages_and_characters(run, tmp_path, shots):
    data = unusual(tmp_path / "unusual")
    folder = run(data=data, out=tmp_path / "with [brackets]*")
    assert sorted(path.name for path in (folder / "en").glob("*.yaml")) == ["c_ökologie.yaml", "dogs.yaml"]
    # The harness takes the paths of data files for patterns.
    for path in (folder / "en").glob("*.yaml"):
        task = read_yaml(path)
        escaped = task["dataset_kwargs"]["data_files"]
        assert all("with [[]brackets][*]" in file for file in escaped.values())
        task["dataset_kwargs"]["data_files"] = {
            split: str(path.parent / split / f"{path.stem}.jsonl") for split in escaped
        }
        export.write_yaml(path, task)
        assert task["description"] == "{{header}}"
    exported = [harness_prompts(path, shots) for path in (folder / "en").glob("*.yaml")]
    assert {id: prompt for part in exported for id, prompt in part.items()} == our_prompts(data, "en", shots)
    rows = read_jsonl(folder / "en" / "test" / "dogs.jsonl")
    assert [(row["choices"][row["answer"]], len(row["choices"])) for row in rows] == [("Z", 26), ("A", 2)]


def test_without_examples_the_harness_is_kept_from_taking_test_questions(run, data, capsys):
    items = read_questions(data / "dev" / "gt_de.csv")
    write_questions(data / "dev" / "gt_de.csv", [item for item in items if item.subject != "law"])
    (data / "dev" / "full_de.csv").unlink()
    folder = run()
    without = [folder / "gt_de" / "law.yaml", *sorted((folder / "full_de").glob("*.yaml"))]
    for path in folder.glob("*/*.yaml"):
        task = read_yaml(path)
        missing = path in without
        assert ("fewshot_split" in task, list(task["dataset_kwargs"]["data_files"])) == (
            (False, ["test"]) if missing else (True, ["test", "dev"])
        )
        assert task["fewshot_config"] == {"sampler": "first_n"} | ({"samples": []} if missing else {})
    assert f"may be 0 at most, the number of few-shot examples of {NAME}_full_de_abstract_algebra" in (
        capsys.readouterr().out
    )


def snapshot(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_exporting_again_replaces_its_own_folder_alone(run, tmp_path):
    folder = run()
    before = snapshot(folder)
    (tmp_path / "out" / "notes.yaml").write_text("mine")
    assert run() == folder and snapshot(folder) == before
    run("--settings", "en", "--name", "other")
    run("--settings", "en,full_de")
    assert sorted(path.name for path in folder.iterdir() if path.is_dir()) == ["en", "full_de"]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [NAME, "notes.yaml", "other"]
    assert json.loads((folder / "export.json").read_text())["settings"] == ["en", "full_de"]


def test_a_folder_of_someone_else_stays(run, tmp_path, capsys):
    (tmp_path / "out" / NAME).mkdir(parents=True)
    assert run() == 2 and "was not written by export_lm_eval.py" in capsys.readouterr().err
    assert not list((tmp_path / "out" / NAME).iterdir())


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["--settings", "full_xx"], "setting 'full_xx' is not there"),
        (["--settings", ""], "settings is empty"),
        (["--num_fewshot", "7"], "questions of subject abstract_algebra where 7 examples are asked for"),
        (["--num_fewshot", "-1"], "num_fewshot is -1"),
        (["--name", "a,b"], "name 'a,b'"),
    ],
)
def test_what_is_refused(run, tmp_path, capsys, arguments, words):
    assert run(*arguments) == 2 and words in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_folders_that_are_refused(run, data, tmp_path, capsys):
    assert run(data=tmp_path / "nothing") == 2 and "no <setting>.csv in this folder" in capsys.readouterr().err
    (tmp_path / "file").write_text("")
    assert run(out=tmp_path / "file") == 2 and "is a file; name a folder" in capsys.readouterr().err
    (data / UNFINISHED).touch()
    assert run() == 2 and "was stopped while it wrote" in capsys.readouterr().err


@pytest.mark.parametrize(
    "subjects, name",
    [
        ({"en": ["a b", "A+B"]}, "en_a_b"),
        ({"en": ["?!"]}, "en_"),
        ({"mixup": ["paper"], "mixup_paper": ["law"]}, "mixup_paper"),
    ],
)
def test_two_tasks_of_one_name_are_refused(run, tmp_path, capsys, subjects, name):
    for setting, named in subjects.items():
        items = [monolingual(subject, subject, "", "Q", ["x", "y"], "A", "en") for subject in named]
        write_questions(tmp_path / "odd" / f"{setting}.csv", items)
    assert run(data=tmp_path / "odd") == 2 and f"{NAME}_{name} is taken or incomplete" in capsys.readouterr().err
    assert not list((tmp_path / "out").glob("*"))


def test_a_valid_folder_survives_a_refused_export(run, data):
    folder = run()
    before = snapshot(folder)
    path = data / "mixup.csv"
    path.write_text(path.read_text().replace("river", "", 1).replace(",A,", ",E,", 1))
    assert run() == 2 and snapshot(folder) == before
    assert [one.name for one in folder.parent.iterdir()] == [NAME]


@pytest.fixture
def ask_harness(tiny_checkpoint, tmp_path, monkeypatch):
    """Run the harness on the tasks of a folder; skips where it is not installed."""
    pytest.importorskip("lm_eval")
    from lm_eval import simple_evaluate
    from lm_eval.models.huggingface import HFLM
    from lm_eval.tasks import TaskManager

    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    lm = HFLM(pretrained=str(tiny_checkpoint), dtype="float32", device="cpu", batch_size=4)

    def ask(folder, shots):
        monkeypatch.chdir(folder / "en")  # the harness may be called from anywhere
        manager = TaskManager(include_path=str(folder.parent), include_defaults=False)
        # The harness's default is None.
        return simple_evaluate(lm, tasks=[NAME], num_fewshot=shots or None, task_manager=manager, bootstrap_iters=0)

    return ask


@pytest.mark.parametrize("shots", [0, 2])
@pytest.mark.parametrize("kind", ["usual", "unusual"])
def test_the_harness_asks_the_same_and_predicts_the_same(
    run, data, tmp_path, tiny_checkpoint, ask_harness, kind, shots
):
    names = ["en", "mixup"] if kind == "usual" else ["en"]
    data = data if kind == "usual" else unusual(tmp_path / "unusual")
    folder = run("--settings", ",".join(names), data=data, out=tmp_path / "with [brackets]*")
    results = ask_harness(folder, shots)
    model, tokenizer = load(str(tiny_checkpoint), device="cpu")
    correct = []
    for name in names:
        tasks = read_yaml(folder / f"{NAME}_{name}.yaml")["task"]
        samples = {row["doc"]["id"]: row for task in tasks for row in results["samples"][task]}
        prompts = our_prompts(data, name, shots)
        for question in read_questions(data / f"{name}.csv"):
            letters = [f" {letter}" for letter in question.letters]
            sample = samples.pop(question.id)
            assert [tuple(asked) for asked in sample["arguments"]] == [(prompts[question.id], x) for x in letters]
            ours = loglikelihood(model, tokenizer, [prompts[question.id]], [letters])[0]
            theirs = np.array([float(answer[0]) for answer in sample["filtered_resps"]])
            assert np.abs(ours - theirs).max() < 1e-4 and ours.argmax() == theirs.argmax()
            correct.append(question.letters[ours.argmax()] == question.answer)
            assert sample["acc"] == correct[-1]
        assert not samples
    assert results["results"][NAME]["acc,none"] == pytest.approx(np.mean(correct))


def test_the_harness_takes_no_test_questions_for_examples(run, data, ask_harness):
    (data / "dev" / "en.csv").unlink()
    with pytest.raises(AssertionError, match="exceeds the 0 that are available"):
        ask_harness(run("--settings", "en"), 2)


def test_sample_logs_are_compared_with_our_records(data, tiny_checkpoint, tmp_path, monkeypatch):
    """Logs in the form that the harness writes, made of our own log-probabilities but for one answer."""
    ours, logs = tmp_path / "ours", tmp_path / "logs" / "model"
    keys = ["--data", data, "--model", tiny_checkpoint, "--settings", "en,full_de", "--device", "cpu", "--out", ours]
    assert call(evaluate, keys, monkeypatch) == 0
    logs.mkdir(parents=True)
    records = load_records(ours)
    changed = records.index[-1]
    other = "A" if records.loc[changed, "prediction"] != "A" else "B"
    records.loc[changed, f"logprob_{other}"] = 0.0
    for (setting, subject), part in records.groupby(["setting", "subject"]):
        lines = [
            {"doc": {"id": row.id}, "filtered_resps": [[str(row[f"logprob_{letter}"]), "False"] for letter in "ABCD"]}
            for _, row in part.iterrows()
        ]
        path = logs / f"samples_{NAME}_{setting}_{subject}_2026-11-28T10-00-00.123456.jsonl"
        path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    keys = ["--ours", ours, "--peer", logs.parent, "--name", "harness", "--out", tmp_path / "peers.csv"]
    assert call(peers, keys, monkeypatch) == 0
    table = pd.read_csv(tmp_path / "peers.csv").set_index("setting")
    n = len(records) // 2
    assert table["n"].to_dict() == {"en": n, "full_de": n} and table["same"].to_dict() == {"en": n, "full_de": n - 1}
    differing = pd.read_csv(tmp_path / "peers_differences.csv")
    assert differing[["id", "prediction_peer"]].values.tolist() == [[records.loc[changed, "id"], other]]
    assert differing["margin"].item() > 0
    assert call(peers, [*keys[:2], "--peer", tmp_path, *keys[4:]], monkeypatch) == 0  # found below the folder too
    assert call(peers, [*keys[:2], "--peer", data, *keys[4:]], monkeypatch) == 2
