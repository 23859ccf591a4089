"""CLiKA/released.py on released and made-up predictions, and CLiKA/consistency.py on logs of lm-evaluation-harness."""

import json
import shutil
from collections import defaultdict

import numpy as np
import pandas as pd
import pytest

from tests.mmlu import write_run
from tests.scripts import ROOT, call, load_script

released = load_script("CLiKA/released.py")
consistency = load_script("CLiKA/consistency.py")
metrics = load_script("CLiKA/transfer_metrics.py")

KEPT = ROOT / "CLiKA" / "expected" / "released_accuracy.csv"
QUESTIONS = 40
# How often a model answers right, by language.
SKILL = {"chatgpt": {"en": 1.0, "de": 0.8, "he": 0.5}, "old": {"en": 0.6, "de": 0.4, "he": 0.3}}
SKILL["new"] = {"en": 0.6, "de": 0.9, "he": 0.3}


def write_files(folder, change=lambda rows, place: rows):
    """Predictions of three models for x_csqa (DE_trans, uuid in hex) and x_geo (de, uuid in decimal)."""
    rng = np.random.default_rng(0)
    for task, labels, suffix in (("x_csqa", "ABCDE", "_trans"), ("x_geo", "ABCD", "")):
        answers = rng.choice(list(labels), QUESTIONS)
        for model, skill in SKILL.items():
            for language, right in skill.items():
                rows = []
                for number, answer in enumerate(answers):
                    said = answer if rng.random() < right else rng.choice(list(labels))
                    written = [f"{said}. the option", f" \n{said}", f"{said}</s>"][number % 3]
                    uuid = f"{number + 4096:x}" if suffix else number
                    rows.append({"id": number, "input": "?", "res": written, "label": answer, "uuid": uuid})
                if (model, task, language) == ("old", "x_geo", "de"):  # a word, nothing, a Cyrillic letter, no option
                    for place, written in enumerate(["It is A", "", "А.", "E. none"]):
                        rows[place]["res"] = written
                name = language if language == "en" or not suffix else f"{language.upper()}{suffix}"
                ending = "" if model == "chatgpt" else "_bf16_add_simple_example"
                path = folder / task / name / f"{model}_res{ending}.jsonl"
                path.parent.mkdir(parents=True, exist_ok=True)
                lines = [json.dumps(row) for row in change(rows, (model, task, language))]
                path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    (folder / "x_geo" / "en" / "chatgpt_res_visual.jsonl").write_text("id: 0 ; no JSON")
    (folder / "x_geo" / "en" / "en_geo_data.jsonl").write_text("{}")
    return folder


def independent(data):
    """{(model, task, language): (questions, accuracy)} as CLiKA's own code counts."""
    found = {}
    for path in data.glob("x_*/*/*_res*.jsonl"):
        if path.name.endswith(("_res.jsonl", "_example.jsonl")):
            rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
            language = path.parent.name.lower().replace("_trans", "")
            right = sum(row["res"].strip()[:1] == row["label"] for row in rows)
            found[path.name.split("_res")[0], path.parts[-3], language] = len(rows), right / len(rows)
    return found


@pytest.fixture(scope="module")
def clika(real_data):
    if not (real_data / "clika").is_dir():
        pytest.skip("no clika/ among the real data")
    return real_data / "clika"


def test_every_released_accuracy(clika):
    table = released.read_released(released.find_files(clika))
    right = table["prediction"].astype(object) == table["answer"].astype(object)
    found = right.groupby([table[name].astype(object) for name in ("model", "task", "language")]).agg(["size", "mean"])
    expected = independent(clika)
    assert {key: tuple(row) for key, row in zip(found.index, found.to_numpy(), strict=True)} == expected
    assert len(expected) == 5 * 4 * 10
    english = {task: round(100 * expected["chatgpt", task, "en"][1], 1) for task in metrics.CLIKA}
    assert english == {"x_csqa": 74.6, "x_copa": 96.4, "x_name": 92.2, "x_geo": 97.0}


def test_the_kept_accuracies_are_those_of_the_released_files(clika):
    kept = pd.read_csv(KEPT).set_index(["model", "task", "language"])[["n", "accuracy"]]
    expected = independent(clika)
    assert set(kept.index) == set(expected)
    assert all(tuple(kept.loc[key]) == pytest.approx(value, abs=1e-6) for key, value in expected.items())


@pytest.fixture
def scored(tmp_path, monkeypatch, capsys):
    """The tables of the made-up files by name, and what was printed."""
    families = tmp_path / "families.csv"
    families.write_text("comparison,before,after,target\ntraining,old,new,de\ntraining,old,absent,\n")
    data = write_files(tmp_path / "data")
    keys = ["--data", data, "--out", tmp_path / "out", "--families", families]
    assert call(released, keys, monkeypatch) == 0
    tables = {path.stem: pd.read_csv(path) for path in (tmp_path / "out").glob("*.csv")}
    return data, tables, capsys.readouterr().out


def test_accuracy_of_both_layouts(scored, tmp_path):
    data, tables, said = scored
    found = tables["accuracy"].set_index(["model", "task", "language"])
    expected = independent(data)
    assert set(found.index) == set(expected)
    for key, (n, share) in expected.items():
        row = found.loc[key]
        assert (row["n"], row["accuracy"]) == (n, pytest.approx(share)) and row["ci_low"] < share < row[
            "ci_high"
        ] + 1e-9
        known = metrics.CLIKA[key[1]]
        assert row["rescaled_accuracy"] == pytest.approx(metrics.rescaled_accuracy(share, *known), abs=1e-5)
    assert list(found["unlabelled"].items()) == [
        (key, 4 if key == ("old", "x_geo", "de") else 0) for key in found.index
    ]
    assert f"old: 4 of {6 * QUESTIONS} outputs begin with no label" in said and "row 1: 'It is A'" in said
    assert "left out 1 files" in said and "chatgpt_res_visual.jsonl" in said
    assert list(dict.fromkeys(tables["accuracy"]["model"])) == ["old", "new", "chatgpt"], "families side by side"
    assert all((tmp_path / "out" / f"{name}.png").exists() for name in ("accuracy", "consistency"))


def test_consistency_of_every_pair(scored):
    _, tables, _ = scored
    long = tables["predictions"].fillna({"prediction": ""})
    found = tables["consistency"].set_index(["model", "task", "language_a", "language_b"])
    assert len(found) == 3 * 2 * 3
    own = long[(long["model"] == "old") & (long["task"] == "x_geo")].pivot(index="id", columns="language")
    row = found.loc["old", "x_geo", "en", "de"]
    assert row["agreement_kappa"] == pytest.approx(
        metrics.agreement_kappa(*own["prediction"][["en", "de"]].T.to_numpy()), abs=1e-5
    )
    assert row["correct_jaccard"] == pytest.approx(
        metrics.correct_jaccard(own["correct"]["en"], own["correct"]["de"]), abs=1e-5
    )
    same = own["prediction"]["en"] == own["prediction"]["de"]
    assert row["agreement"] == pytest.approx(same.mean()) == own["same_as_en"]["de"].mean()
    for name in ("agreement", "agreement_kappa", "correct_jaccard", "correct_jaccard_kappa"):
        assert (found[f"{name}_low"] <= found[name]).all() and (found[name] <= found[f"{name}_high"]).all()


def test_what_changes_in_a_family(scored):
    _, tables, _ = scored
    long, found = tables["predictions"], tables["families"].set_index(["task", "measure", "languages"])
    assert set(found["after"]) == {"new"}
    assert set(found.index) == {(task, *rest) for task in ("x_csqa", "x_geo") for rest in (
        ("accuracy", "en"), ("accuracy", "de"), ("accuracy", "others"),
        ("agreement with English", "de"), ("agreement with English", "others"),
    )}  # fmt: skip
    row = found.loc["x_csqa", "accuracy", "de"]
    part = long[(long["task"] == "x_csqa") & (long["language"] == "de")]
    before, after = (part.loc[part["model"] == model, "correct"].mean() for model in ("old", "new"))
    assert (row["value_before"], row["value_after"]) == (pytest.approx(before), pytest.approx(after))
    assert row["difference"] == pytest.approx(after - before) and row["ci_low"] > 0, "a gain of about 0.5 on 40"
    others = found.loc["x_csqa", "accuracy", "others"]
    assert others["ci_low"] < 0 < others["ci_high"] and others["n"] == QUESTIONS


def without(key):
    return lambda rows: [{k: v for k, v in row.items() if k != key} for row in rows]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (without("label"), "old_res_bf16_add_simple_example.jsonl, row 1: no label; it needs uuid, res, label"),
        (without("uuid"), "row 1: no uuid"),
        (lambda rows: [*rows[:2], rows[2] | {"label": "E"}], "row 3: label is 'E', none of A, B, C, D; correct it"),
        (lambda rows: [rows[0] | {"label": 1}], "row 1: label is 1, none of"),
        (lambda rows: [rows[0] | {"res": None}], "row 1: res is None; it must be the text"),
        (lambda rows: [*rows, rows[0]], f"row {QUESTIONS + 1}: uuid '0' is given twice; ids must be unique"),
        (lambda rows: rows[:-1], "old, x_geo: question '39' is in one of en and de only; ask it in both"),
        (lambda rows: [rows[0] | {"label": "ABCD".replace(rows[0]["label"], "")[0]}, *rows[1:]], "'0' differs between"),
        (lambda rows: ["text"], "row 1: not a JSON object"),
        (lambda rows: [], "no rows; get the file again"),
    ],
)
def test_bad_rows_are_named(tmp_path, monkeypatch, capsys, change, said):
    data = write_files(tmp_path / "data", lambda rows, place: change(rows) if place == ("old", "x_geo", "de") else rows)
    assert call(released, ["--data", data, "--out", tmp_path / "out"], monkeypatch) == 2
    error = capsys.readouterr().err
    assert said in error and error.count("\n") == 1 and not (tmp_path / "out").exists()


def test_bad_files_and_folders_are_named(tmp_path, monkeypatch, capsys):
    data = write_files(tmp_path / "data")
    path = data / "x_geo" / "de" / "old_res_bf16_add_simple_example.jsonl"
    keys, text = ["--data", data, "--out", tmp_path / "out"], path.read_text()
    for make, undo, said in (
        (lambda: path.write_text(text + '{"id": 40,'), lambda: path.write_text(text), "row 41: cannot be read as JSON"),
        (lambda: path.write_bytes(b"\xff"), lambda: path.write_text(text), "not UTF-8 text"),
        (lambda: path.parent.rename(data / "x_geo" / "xx"), lambda: (data / "x_geo" / "xx").rename(path.parent),
         "x_geo/xx: no language of CLiKA's (en, de, "),
        (lambda: (path.parent / "old_res.jsonl").write_text(text), lambda: (path.parent / "old_res.jsonl").unlink(),
         "x_geo in de of old is in"),
    ):  # fmt: skip
        make()
        assert call(released, keys, monkeypatch) == 2
        assert said in capsys.readouterr().err and not (tmp_path / "out").exists()
        undo()
    assert call(released, ["--data", tmp_path / "none", *keys[2:]], monkeypatch) == 2
    assert "name CLiKA's folder" in capsys.readouterr().err
    families = tmp_path / "families.csv"
    families.write_text("comparison,before,after,target\nt,old,new,xx\n")
    assert call(released, [*keys, "--families", families], monkeypatch) == 2
    assert "families.csv, row 1: target 'xx' is none of" in capsys.readouterr().err


def test_without_english_there_is_nothing_to_compare_with(tmp_path, monkeypatch, capsys):
    data = write_files(tmp_path / "data")
    for folder in data.glob("x_*/en"):
        shutil.rmtree(folder)
    assert call(released, ["--data", data, "--out", tmp_path / "out"], monkeypatch) == 2
    error = capsys.readouterr().err
    assert "no model has answers to a task in English and in another language" in error and "Traceback" not in error
    assert not (tmp_path / "out").exists()


def test_the_families_name_released_models_once():
    table = released.read_families(str(released.FAMILIES))
    assert not table.duplicated(["before", "after"]).any() and (table["before"] != table["after"]).all()


def test_intervals_are_those_of_a_slow_bootstrap():
    rng = np.random.default_rng(1)
    a, b = (pd.DataFrame({"prediction": rng.choice(list("ABC"), 300)}) for _ in range(2))
    b.loc[:149, "prediction"] = a.loc[:149, "prediction"]
    for one in (a, b):
        one["correct"] = (one["prediction"] == "A").astype(int)
    found = consistency.compare(a, b, seed=0)
    for name, (column, measure) in consistency.MEASURES.items():
        draws = [rng.integers(0, 300, 300) for _ in range(500)]
        slow = [measure(a[column].to_numpy()[draw], b[column].to_numpy()[draw], None) for draw in draws]
        assert found[name][0] == pytest.approx(measure(a[column], b[column], None)), name
        assert found[name][1:] == pytest.approx(np.quantile(slow, [0.025, 0.975]), abs=0.025), name


def sample(number, scores, right, **more):
    """A line of a sample log of multiple choice, as lm-evaluation-harness 0.4.13 writes it."""
    options = ["A", "B", "C", "D"][: len(scores)]
    responses = [[str(float(score)), "False"] for score in scores]
    return {
        "doc_id": number,
        "doc": {"id": f"law-{number:03d}", "text": "Q\nAnswer:", "choices": options, "answer": right},
        "target": str(right),
        "arguments": {f"gen_args_{i}": {"arg_0": "Q\nAnswer:", "arg_1": f" {x}"} for i, x in enumerate(options)},
        "resps": [[one] for one in responses],
        "filtered_resps": responses,
        "filter": "none",
        "metrics": ["acc"],
        "doc_hash": "0", "prompt_hash": "0", "target_hash": "0",
        "acc": float(int(np.argmax(scores)) == right),
    } | more  # fmt: skip


def write_log(folder, task, rows, time="2026-11-28T13-51-25.604056"):
    folder.mkdir(exist_ok=True)
    path = folder / f"samples_{task}_{time}.jsonl"
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


SCORES = {"en": [[-1, -2, -3, -4]] * 6, "de": [[-1, -2, -3, -4]] * 3 + [[-3, -2, -3, -1]] * 3}
TARGETS = [0, 0, 1, 0, 3, 0]


def write_logs(folder, task, **more):
    for code, scores in SCORES.items():
        rows = [sample(n, one, target, **more) for n, (one, target) in enumerate(zip(scores, TARGETS, strict=True))]
        write_log(folder, task.format(setting="en" if code == "en" else f"full_{code}", language=code), rows)
    return folder


def score(tmp_path, monkeypatch, *keys):
    assert call(consistency, [*keys, "--out", tmp_path / "out"], monkeypatch) == 0
    return pd.read_csv(tmp_path / "out" / "accuracy.csv").set_index(["task", "language"])


@pytest.mark.parametrize(
    ("task", "place"),
    [
        ("crosslingual_mmlu_{setting}_law", "LOGS"),
        ("xcopa_{language}", "LOGS/samples_xcopa_{language}"),
        ("m_mmlu_{language}_law", "LOGS/samples_m_mmlu_{language}_*.jsonl"),
    ],
)
def test_logs_of_the_harness_are_scored(tmp_path, monkeypatch, task, place):
    write_logs(tmp_path / "logs", task)
    write_log(tmp_path / "logs", "crosslingual_mmlu_gt_de_law", [sample(0, [-1, -2], 0)])
    place = place.replace("LOGS", str(tmp_path / "logs"))
    table = score(tmp_path, monkeypatch, "--logs", f"tiny@mine={place}", "--reference", "mine=0.9,other=0.5")
    row = table.loc["mine", "de"]
    assert table.loc[("mine", "en"), "accuracy"] == pytest.approx(4 / 6, abs=1e-5) and row["n"] == 6
    assert row["accuracy"] == pytest.approx(3 / 6) and row["agreement_en"] == pytest.approx(3 / 6)
    assert row["rescaled_accuracy"] == pytest.approx(metrics.rescaled_accuracy(0.5, 0.25, 0.9), abs=1e-5)


def test_a_log_scores_as_our_records_of_the_same_answers(tmp_path, monkeypatch):
    (tmp_path / "run").mkdir()
    write_run(tmp_path / "run", seed=0, accuracy=0.5)
    for setting in ("en", "full_de", "full_fr", "full_es", "full_it"):
        parts = defaultdict(list)
        for row in pd.read_csv(tmp_path / "run" / f"{setting}.csv").itertuples():
            scores = [row.logprob_A, row.logprob_B, row.logprob_C, row.logprob_D]
            parts[row.subject].append(sample(len(parts[row.subject]), scores, "ABCD".index(row.answer)))
        for subject, rows in parts.items():
            write_log(tmp_path / "logs", f"crosslingual_mmlu_{setting}_{subject}", rows)
    keys = ["--runs", f"tiny={tmp_path / 'run'}", "--logs", f"tiny@logged={tmp_path / 'logs'}", "--reference", "1"]
    table = score(tmp_path, monkeypatch, *keys)
    assert table["rescaled_accuracy"].notna().all(), "chance is that of four options"
    pd.testing.assert_frame_equal(table.loc["records"], table.loc["logged"])
    pairs = pd.read_csv(tmp_path / "out" / "consistency.csv").drop(columns="model").groupby("task")
    own, logged = (pairs.get_group(task).drop(columns="task").reset_index(drop=True) for task in ("records", "logged"))
    pd.testing.assert_frame_equal(own, logged)


def test_written_answers_and_targets_in_words(tmp_path, monkeypatch):
    for code, said in (("en", ["B", "A "]), ("deu_Latn", ["B", "C"])):
        rows = [sample(n, [0], target, filtered_resps=[text], exact_match=0.0) for n, (text, target) in
                enumerate(zip(said, "BA", strict=True))]  # fmt: skip
        write_log(tmp_path / "logs", f"written_{code}", [{k: v for k, v in row.items() if k != "acc"} for row in rows])
    table = score(tmp_path, monkeypatch, "--logs", f"m@w={tmp_path / 'logs'}/samples_written_{{language}}")
    assert table.loc[("w", "en"), "accuracy"] == 1 and table.loc[("w", "de"), "accuracy"] == 0.5
    write_log(tmp_path / "words", "words", [sample(0, [-2, -1], 1, target="B"), sample(1, [-1, -2], 0, target="A")])
    keys = ["--logs", f"m@w@fr={tmp_path / 'words'}/samples_words", "--chance", "w=0.5", "--log_id", "id"]
    assert score(tmp_path, monkeypatch, *keys).loc[("w", "fr"), "accuracy"] == 1


@pytest.mark.parametrize(
    ("task", "rows", "key", "said"),
    [
        ("a_de", [sample(0, [-1, -2], 0, acc=0.0)], "m=LOGS/samples_a_{language}", "acc is 0.0, but A was predicted"),
        ("a_de", [sample(0, [-1, -2], 0, target="Z")], "m=LOGS/samples_a_{language}", "row 1: neither one written"),
        ("a_de", [sample(0, [-1, -2], 0), sample(0, [-1, -2], 0, filter="x")], "m=LOGS/samples_a_{language}",
         "row 2: answers of the filters"),
        ("a_de", [{"doc_id": 0}], "m=LOGS/samples_a_{language}", "row 1: no doc; it needs doc_id, doc, target"),
        ("a_de", [sample(0, [-1, -2], 0)] * 2, "m=LOGS/samples_a_{language}", "question '0' is given twice in de"),
        ("a", [sample(0, [-1, -2], 0)], "m=LOGS/samples_a", "in which language?"),
        ("a", [sample(0, [-1, -2], 0)], "m=LOGS/samples_b", "no samples_*.jsonl of this name"),
        ("a", [sample(0, [-1, -2], 0)], "m=LOGS", "no samples_*.jsonl of this name"),
        ("a", [sample(0, [-1, -2], 0)], "m=LOGS/*_*", "write {language} and * once at most"),
        ("a", [sample(0, [-1, -2], 0)], "m@@de=LOGS/samples_a", "write model@task@language=path"),
    ],
)  # fmt: skip
def test_logs_that_are_refused(tmp_path, monkeypatch, capsys, task, rows, key, said):
    write_log(tmp_path / "logs", task, rows)
    keys = ["--logs", key.replace("LOGS", str(tmp_path / "logs")), "--out", tmp_path / "out"]
    assert call(consistency, keys, monkeypatch) == 2
    assert said in capsys.readouterr().err and not (tmp_path / "out").exists()


def test_a_task_logged_twice_and_unknown_fields_are_refused(tmp_path, monkeypatch, capsys):
    write_logs(tmp_path / "logs", "xcopa_{language}")
    keys = ["--logs", f"m={tmp_path / 'logs'}/samples_xcopa_{{language}}", "--out", tmp_path / "out"]
    assert call(consistency, [*keys, "--log_id", "link"], monkeypatch) == 2
    assert "row 1: doc has no link; it has id, text" in capsys.readouterr().err
    write_log(tmp_path / "logs", "xcopa_xx", [sample(0, [-1, -2], 0)])
    write_log(tmp_path / "logs", "xcopa_de", [sample(0, [-1, -2], 0)], time="2026-11-29T01-00-00")
    assert call(consistency, keys, monkeypatch) == 2
    said = capsys.readouterr()
    assert "logs the same task as samples_xcopa_de_2026" in said.err and "xx is no language of" in said.out


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        (["--chance", "mmlu=0.25,x"], "chance 'x': write name=path"),
        (["--reference", "mmlu=high"], "write a fraction, or task=fraction"),
        (["--reference", "0.9", "--chance", "mmlu=0.95"], "chance 0.95, reference 0.9: fractions"),
        (["--runs", "a@b@en=RUN"], "runs 'a@b@en': write model@task=path"),
    ],
)
def test_fractions_by_task_that_are_refused(tmp_path, monkeypatch, capsys, keys, said):
    keys = [*([] if "--runs" in keys else ["--runs", "a=RUN"]), *keys, "--out", tmp_path / "out"]
    assert call(consistency, keys, monkeypatch) == 2
    assert said in capsys.readouterr().err


def test_runs_of_two_tasks_with_their_own_chance_and_reference(tmp_path, monkeypatch):
    for seed, name in enumerate(("one", "two")):
        (tmp_path / name).mkdir()
        write_run(tmp_path / name, seed=seed, accuracy=0.5)
    runs = f"llama@one={tmp_path / 'one'},llama@two={tmp_path / 'two'}"
    table = score(tmp_path, monkeypatch, "--runs", runs, "--chance", "two=0.1", "--reference", "one=0.8,two=0.9")
    for task, chance, reference in (("one", 0.25, 0.8), ("two", 0.1, 0.9)):
        right = pd.read_csv(tmp_path / task / "full_de.csv")["correct"].mean()
        expected = metrics.rescaled_accuracy(right, chance, reference)
        assert table.loc[(task, "de"), "rescaled_accuracy"] == pytest.approx(expected, abs=1e-5)
    provenance = json.loads((tmp_path / "out" / "accuracy.provenance.json").read_text())
    assert list(provenance["runs"]) == ["llama@one", "llama@two"]
