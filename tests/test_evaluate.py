"""evaluate_mmlu.py on a tiny model: records, resumption, kills, several processes, and what it refuses."""

import gc
import io
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from common.cli import InputError
from common.evaluation import scorers
from common.evaluation.resume import Shard, share
from common.lm.loading import load
from common.lm.loglikelihood import loglikelihood
from common.prompts import mmlu_prompt
from common.questions import Question, read_questions, write_questions
from common.reporting.provenance import read_run, write_run
from tests.mmlu import LOGPROBS, rewrite, write_variants
from tests.scripts import PYTHON, ROOT, load_script

evaluate = load_script("MMLU/evaluate_mmlu.py")
SUBJECTS = ["abstract_algebra", "law", "english_only_birth", "shared_birth"]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_variants(tmp_path_factory.mktemp("variants"), SUBJECTS, questions=5)


@pytest.fixture
def ask(monkeypatch, tiny_checkpoint, data, tmp_path):
    """Run the script in this process; returns the run folder and the number of prompts scored."""
    counted = []

    def counting(model, tokenizer, prompts, *args, **kwargs):
        counted.append(len(prompts))
        return loglikelihood(model, tokenizer, prompts, *args, **kwargs)

    monkeypatch.setitem(vars(scorers), "loglikelihood", counting)

    def run(*arguments, out="run"):
        counted.clear()
        base = ["--model", tiny_checkpoint, "--data", data, "--out", tmp_path / out, "--device", "cpu"]
        monkeypatch.setattr(sys, "argv", ["evaluate_mmlu.py", *map(str, base + list(arguments))])
        evaluate.main()
        return tmp_path / out, sum(counted)

    return run


def csv_files(out):
    return {path.name: path.read_bytes() for path in sorted(out.glob("*.csv"))}


def test_records_are_complete_and_right(ask, data, tiny_checkpoint):
    out, scored = ask("--settings", "en,full,mixup")
    items = read_questions(data / "mixup.csv")
    records = pd.read_csv(out / "mixup.csv")
    assert scored == 6 * len(items)
    assert list(records["id"]) == [item.id for item in items]
    assert list(records["option_languages"]) == ["|".join(item.option_languages) for item in items]
    model, tokenizer = load(str(tiny_checkpoint), device="cpu")
    letters = [" A", " B", " C", " D"]
    expected = loglikelihood(model, tokenizer, [mmlu_prompt(item) for item in items], letters)
    assert np.abs(records[LOGPROBS].to_numpy() - expected).max() < 1e-5
    assert list(records["prediction"]) == ["ABCD"[best] for best in records[LOGPROBS].to_numpy().argmax(1)]
    assert list(records["correct"]) == [int(row.prediction == row.answer) for row in records.itertuples()]


def test_questions_that_are_not_being_asked_are_not_in_memory(ask, monkeypatch):
    def alive():
        gc.unfreeze()  # what is frozen is not among the objects
        gc.collect()
        return sum(type(one) is Question for one in gc.get_objects())

    before, most, score = alive(), [], scorers.loglikelihood
    monkeypatch.setitem(
        vars(scorers), "loglikelihood", lambda *args, **keys: most.append(alive()) or score(*args, **keys)
    )
    _, scored = ask("--settings", "en,full,mixup")
    assert scored == 120 and len(most) == len(SUBJECTS)
    assert max(most) - before == 6 * 5 + 6, "those of a subject in six settings, and the first of each setting"


def test_summaries_and_run_json(ask):
    out, _ = ask("--settings", "en,mixup")
    assert (out / "summary.csv").read_text().splitlines()[0] == (
        "setting,n,accuracy,ci_low,ci_high,delta_vs_en,p_mcnemar"
    )
    by_category = pd.read_csv(out / "summary_by_category.csv")
    assert set(by_category["category"]) == {"STEM", "law", "english_only", "shared"}
    assert set(by_category["n"]) == {5}
    info = json.loads((out / "run.json").read_text())
    session = info["sessions"][0]
    assert info["config"]["num_fewshot"] == 0 and info["records"]["en"]["rows"] == 20 and len(info["hash"]) == 12
    assert session["start"] <= session["end"] and session["dtype"] == "float32" and session["questions"] == 40
    assert session["prompt_tokens"] > session["tree_tokens"] > 0 and session["rss_bytes"] > 0
    assert session["packages"]["torch"] and session["device"][0].startswith("cpu")


def test_the_folder_of_another_command_is_left_alone(ask, tmp_path):
    (tmp_path / "run").mkdir()
    write_run(tmp_path / "run", {"hash": "0" * 12, "languages": {}, "config": {"model": "m"}})
    before = (tmp_path / "run/run.json").read_bytes()
    with pytest.raises(InputError, match="holds what another command wrote; use another --out"):
        ask("--settings", "en")
    assert (tmp_path / "run/run.json").read_bytes() == before


def test_finished_units_are_never_scored_again(ask):
    out, first = ask("--settings", "en")
    before = csv_files(out)
    assert first == 20
    assert ask("--settings", "en")[1] == 0
    assert csv_files(out) == before
    assert ask("--settings", "en,mixup")[1] == 20
    assert csv_files(out)["en.csv"] == before["en.csv"]
    assert ask("--settings", "full_de")[1] == 20
    summary = pd.read_csv(out / "summary.csv")
    assert list(summary["setting"]) == ["en", "full_de", "mixup"] and summary["delta_vs_en"].notna().sum() == 2


def test_a_run_is_not_continued_in_another_precision(ask):
    out, _ = ask("--settings", "en")
    info = read_run(out)
    info["sessions"][0]["dtype"] = "bfloat16"  # as on a machine on which `auto` is that
    rewrite(out, **info)
    with pytest.raises(InputError, match="units: begun in bfloat16, here float32; go on there or use a new --out"):
        ask("--settings", "en,mixup")
    assert ask("--settings", "en")[1] == 0, "what is finished may be tabulated anywhere"


@pytest.mark.parametrize(
    "change",
    [
        ["--num_fewshot", "5"],
        ["--answer_format", "text"],
        ["--answer_token", "bare"],
        ["--dtype", "bfloat16"],
        ["--limit", "4"],
    ],
)
def test_a_changed_configuration_reads_nothing_old(ask, change, capsys):
    ask("--settings", "en,mixup")
    with pytest.raises(InputError, match=r"mixup\.csv: from another configuration"):
        ask("--settings", "en", *change)
    out, scored = ask("--settings", "en,mixup", *change)
    said = capsys.readouterr().err
    assert all(f"{name}.csv is from another configuration or data, and is replaced" in said for name in ("en", "mixup"))
    assert scored == (32 if "--limit" in change else 40)
    assert json.loads((out / "run.json").read_text())["sessions"][1:] == []


def test_changed_questions_are_scored_again(ask, data, tmp_path):
    copy = tmp_path / "variants"
    copy.mkdir()
    for name in ("en.csv", "mixup.csv"):
        (copy / name).write_bytes((data / name).read_bytes())
    ask("--data", copy)
    text = (copy / "mixup.csv").read_text()
    (copy / "mixup.csv").write_text(text.replace("which", "what", 1))
    assert ask("--data", copy)[1] == 20


def unit(out):
    return min(out.glob("units/*/*.csv"))


def manifest(out):
    return unit(out).parent / "settings.json"


def as_folder(path):
    path.unlink()
    (path / "inside").mkdir(parents=True)


CORRUPT = {
    "a unit cut short": (unit, lambda path: path.write_bytes(path.read_bytes()[:40])),
    "an empty unit": (unit, lambda path: path.write_bytes(b"")),
    "a binary unit": (unit, lambda path: path.write_bytes(b"\xff\x00")),
    "an edited unit": (unit, lambda path: path.write_text(path.read_text().replace(",-", ",-1", 1))),
    "a unit that is a folder": (unit, as_folder),
    "a manifest cut short": (manifest, lambda path: path.write_text("{")),
    "an empty manifest": (manifest, lambda path: path.write_text("{}")),
    "a manifest of another kind": (manifest, lambda path: path.write_text("[]")),
    "a manifest that leads outside": (manifest, lambda path: path.write_text('{"../../x": "0"}')),
}


@pytest.mark.parametrize("fault", CORRUPT)
def test_what_is_corrupt_is_named_and_computed_again(ask, capsys, fault):
    out, _ = ask("--settings", "en,mixup")
    before, (place, change) = csv_files(out), CORRUPT[fault]
    path = place(out)
    change(path)
    assert ask("--settings", "en,mixup")[1] == (40 if place is manifest else 10)
    assert csv_files(out) == before and f"note: {path} is cut short or changed" in capsys.readouterr().err
    assert ask("--settings", "en,mixup")[1] == 0


def test_a_changed_run_json_is_refused(ask):
    out, _ = ask("--settings", "en")
    path = out / "run.json"
    path.write_text(path.read_text().replace('"rows": 20', '"rows": 21'))
    with pytest.raises(
        InputError, match="run.json: cut short, changed or of another program; .* delete it and run what wrote it"
    ):
        ask("--settings", "en")
    path.unlink()
    assert ask("--settings", "en")[1] == 0


def test_files_of_the_user_are_not_written_over(ask, data, tmp_path):
    before = csv_files(data)
    for out in (data, tmp_path / "mine"):
        out.mkdir(exist_ok=True)
        (out / "summary.csv").write_text("mine") if out != data else None
        with pytest.raises(InputError, match=r"holds (en|summary)\.csv, which is not of this command"):
            ask("--settings", "en", out=out)
    assert csv_files(data) == before and os.listdir(tmp_path / "mine") == ["summary.csv"]


def test_a_long_subject_has_a_file(ask, tmp_path):
    variants = write_variants(tmp_path / "long", ["x" * 300, "x" * 299 + "y"], 2)
    assert ask("--data", variants, "--settings", "en")[1] == 4


def test_labels_of_several_tokens_are_said_once(ask, capsys):
    ask("--settings", "en,mixup", "--labels", "A,B,C,Delta")
    assert capsys.readouterr().err.count("the label 'Delta' is") == 1


def test_few_shot_examples(ask, data, capsys):
    ask("--num_fewshot", "5", "--settings", "gt_de", "--show", "1")
    same = capsys.readouterr().out
    ask("--num_fewshot", "5", "--settings", "gt_de", "--show", "1", "--fewshot_examples", "en")
    english = capsys.readouterr().out
    for text in (same, english):
        assert text.count("Answer: ") == 5 and text.rstrip().endswith("Answer:")
        assert "which dev place is 4 in abstract_algebra" in text and "is 5 in" not in text
    examples, question = same.split("which  place")
    assert "de " in examples and "de " in question
    examples, question = english.split("which  place")
    assert "de " not in examples and "de " in question


def test_show_needs_no_model(ask, capsys, tmp_path):
    ask("--show", "2", "--settings", "en,mixup", "--model", "nowhere/at-all")
    text = capsys.readouterr().out
    assert text.count("===\n") == 4 and "  abstract algebra.\n\n" in text and "\nD. en a town0\nAnswer:" in text
    assert not (tmp_path / "run").exists()


def test_the_texts_of_the_options(ask, data, tiny_checkpoint, capsys):
    ask("--answer_format", "text", "--settings", "en", "--show", "1")
    assert "A. " not in capsys.readouterr().out
    out, _ = ask("--answer_format", "text", "--settings", "en", "--num_fewshot", "5")
    items, records = read_questions(data / "en.csv"), pd.read_csv(out / "en.csv")
    lengths = np.array([[len(option.encode()) for option in item.options] for item in items])
    best = (records[LOGPROBS].to_numpy() / lengths).argmax(1)
    assert list(records["prediction"]) == ["ABCD"[index] for index in best]
    assert (best != records[LOGPROBS].to_numpy().argmax(1)).any()


def test_bare_answer_token(ask, data, tiny_checkpoint):
    out, _ = ask("--answer_token", "bare", "--settings", "en")
    model, tokenizer = load(str(tiny_checkpoint), device="cpu")
    prompts = [mmlu_prompt(item) for item in read_questions(data / "en.csv")]
    bare = [(tokenizer(letter).input_ids[-1],) for letter in "ABCD"]
    expected = loglikelihood(model, tokenizer, prompts, bare)
    assert np.abs(pd.read_csv(out / "en.csv")[LOGPROBS].to_numpy() - expected).max() < 1e-5


def test_passages_and_their_language(ask, tmp_path):
    variants = write_variants(tmp_path / "passages", ["reading"], 3, context="once upon a time")
    out, _ = ask("--data", variants, "--settings", "en,context_de")
    assert set(pd.read_csv(out / "context_de.csv")["context_language"]) == {"de"}
    assert set(pd.read_csv(out / "en.csv")["context_language"]) == {"en"}


def test_missing_examples_are_refused_by_file(ask, data, tmp_path):
    for name in ("en.csv", "mixup.csv"):
        (tmp_path / name).write_bytes((data / name).read_bytes())
    with pytest.raises(InputError, match=r"dev/en\.csv"):
        ask("--data", tmp_path, "--num_fewshot", "5")
    (tmp_path / "dev").mkdir()
    for name in ("en.csv", "mixup.csv"):
        lines = (data / "dev" / name).read_text().splitlines(keepends=True)
        (tmp_path / "dev" / name).write_text("".join(line for line in lines if "law-dev005" not in line))
    ask("--data", tmp_path, "--num_fewshot", "5", "--show", "1")
    (tmp_path / "dev" / "mixup.csv").write_text("".join(line for line in lines if "law-dev00" not in line))
    with pytest.raises(InputError, match=r"dev/mixup\.csv.*law"):
        ask("--data", tmp_path, "--num_fewshot", "5", "--show", "1")
    ask("--data", tmp_path, "--num_fewshot", "5", "--show", "1", "--on_few_examples", "fewer")


def test_settings_without_examples_of_their_own_are_left_out_and_named_once(ask, data, tmp_path, capsys):
    for name in ("en", "full_de", "gt_de", "mixup"):
        for split in ("", "dev") if name in ("en", "full_de") else ("",):
            (tmp_path / split).mkdir(exist_ok=True)
            (tmp_path / split / f"{name}.csv").write_bytes((data / split / f"{name}.csv").read_bytes())
    keys = ["--data", tmp_path, "--num_fewshot", "5"]
    out, _ = ask(*keys)
    (said,) = [line for line in capsys.readouterr().err.splitlines() if "no few-shot examples" in line]
    assert said.endswith("left out: gt_de, mixup") and {*csv_files(out)} >= {"en.csv", "full_de.csv"}
    assert not {"gt_de.csv", "mixup.csv"} & {*csv_files(out)}
    whole, _ = ask("--num_fewshot", "5", "--settings", "en,full_de", out="whole")  # of the data with all examples
    assert csv_files(out)["full_de.csv"] == csv_files(whole)["full_de.csv"]
    with pytest.raises(InputError, match=r"dev/gt_de\.csv"):
        ask(*keys, "--settings", "gt_de,mixup")
    (tmp_path / "dev" / "full_de.csv").unlink()
    with pytest.raises(InputError, match=r"dev: English examples only.*--fewshot_examples en"):
        ask(*keys, "--fewshot_examples", "mixed")
    assert {*csv_files(ask(*keys, "--fewshot_examples", "en", out="english")[0])} > {"gt_de.csv", "mixup.csv"}


def test_other_refusals(ask, data, tmp_path):
    with pytest.raises(InputError, match="full_xx"):
        ask("--settings", "full_xx")
    with pytest.raises(InputError, match="limit"):
        ask("--limit", "0")
    with pytest.raises(InputError, match="show is -1"):
        ask("--show", "-1")
    with pytest.raises(InputError, match="out is empty"):
        ask("--out", "")
    with pytest.raises(InputError, match="build_variants"):
        ask("--data", tmp_path)
    (tmp_path / "en.csv").write_bytes((data / "en.csv").read_bytes())
    (tmp_path / "mixup.csv").write_text("".join((data / "mixup.csv").read_text().splitlines(keepends=True)[:-1]))
    with pytest.raises(InputError, match=r"shared_birth-004.*mixup\.csv"):
        ask("--data", tmp_path)
    questions = read_questions(data / "mixup.csv")
    questions[1] = replace(questions[1], answer="ABCD".replace(questions[1].answer, "")[0])
    write_questions(tmp_path / "mixup.csv", questions)
    with pytest.raises(
        InputError, match=r"question abstract_algebra-001 .* en\.csv and mixup\.csv, or its answers differ"
    ):
        ask("--data", tmp_path)
    assert not (tmp_path / "run").exists()


def test_a_prompt_longer_than_the_context_is_named(ask, tmp_path):
    variants = write_variants(tmp_path / "long", ["reading"], 2, context="word " * 3000)
    with pytest.raises(InputError, match="question reading-00. in setting .*tokens, the model takes 2048"):
        ask("--data", variants, "--settings", "en")


def test_a_model_that_gives_nan_is_named_with_its_question(ask, monkeypatch):
    def broken(model, tokenizer, prompts, continuations, **keys):
        logprobs = np.zeros((len(prompts), 4))
        logprobs[6, 2] = np.nan
        return logprobs

    monkeypatch.setitem(vars(scorers), "loglikelihood", broken)
    with pytest.raises(InputError, match="question abstract_algebra-001 in setting mixup: the model gives NaN"):
        ask("--settings", "en,mixup")


def test_a_killed_session_is_recorded_without_an_end(ask, monkeypatch, tmp_path):
    calls = []

    def dying(*args, **keys):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return loglikelihood(*args, **keys)

    monkeypatch.setitem(vars(scorers), "loglikelihood", dying)
    with pytest.raises(KeyboardInterrupt):
        ask("--settings", "en,mixup")
    info = json.loads((tmp_path / "run" / "run.json").read_text())
    assert [session["end"] for session in info["sessions"]] == [None] and info["records"] == {}
    out, _ = ask("--settings", "en,mixup")
    first, second = json.loads((out / "run.json").read_text())["sessions"]
    assert first["end"] is None and first["dtype"] == "float32" and len(calls) == 3 + 2
    assert second["end"] >= second["start"] and second["questions"] == 2 * 2 * 5


def test_work_is_shared_by_cost():
    shards = [Shard("a", 0), Shard("a", 1), Shard("b", 0), Shard("c", 0)]
    shares = share(list(zip([5, 4, 3, 3], shards, strict=True)), 2)
    assert shares == [[shards[0], shards[3]], [shards[1], shards[2]]]


def command(checkpoint, data, out, *launcher):
    keys = ["--model", checkpoint, "--data", data, "--out", out, "--settings", "en,full,mixup", "--device", "cpu"]
    return [*(launcher or [sys.executable]), str(ROOT / "MMLU/evaluate_mmlu.py"), *map(str, keys)]


# One thread: several processes have one each, and the number of threads may change the last bit of a product.
ONE_THREAD = os.environ | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}


@pytest.fixture(scope="module")
def many(tmp_path_factory, tiny_checkpoint):
    """Variants of many small shards, and the files of a run of theirs that nobody disturbed."""
    folder = tmp_path_factory.mktemp("many")
    data = write_variants(folder / "data", [f"subject_{n}" for n in range(30)], questions=8)
    subprocess.run(
        command(tiny_checkpoint, data, folder / "out", PYTHON), check=True, env=ONE_THREAD, capture_output=True
    )
    return data, csv_files(folder / "out")


def kill_when(arguments, reached) -> bool:
    """Start the command and kill it as soon as `reached()`; False if it ended before."""
    process = subprocess.Popen(arguments, env=ONE_THREAD, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while process.poll() is None:
        if reached():
            process.send_signal(signal.SIGKILL)
            return process.wait() == -signal.SIGKILL
        time.sleep(0.0005)
    return False


def test_killed_at_several_points_the_files_are_the_same(many, tiny_checkpoint, tmp_path):
    data, expected = many
    arguments = command(tiny_checkpoint, data, tmp_path)
    units = tmp_path / "units"
    points = [
        lambda: any(units.glob("*/settings.json")),
        lambda: any(units.glob("*/.*.unfinished")) or len(list(units.glob("*/*.csv"))) >= 3,
        lambda: len(list(units.glob("*/*.csv"))) >= 12,
        lambda: (tmp_path / "full_fr.csv").exists(),
    ]
    killed = []
    for point in points:
        killed.append(kill_when(arguments, point))
        finished = {path.name: path.stat().st_mtime_ns for path in units.glob("*/*.csv")}
    assert all(killed[:3])
    subprocess.run([PYTHON, *arguments[1:]], check=True, env=ONE_THREAD, capture_output=True)
    assert csv_files(tmp_path) == expected
    assert {path.name: path.stat().st_mtime_ns for path in units.glob("*/*.csv")} == finished
    assert not list(tmp_path.rglob("*.tmp"))


def test_two_processes_write_the_same_files(many, tiny_checkpoint, tmp_path):
    data, expected = many
    accelerate = [sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2"]
    launcher = [*accelerate, "--main_process_port", "0"]
    subprocess.run(
        command(tiny_checkpoint, data, tmp_path, *launcher),
        check=True,
        env=ONE_THREAD,
        capture_output=True,
        timeout=300,
    )
    assert csv_files(tmp_path) == expected
    session = json.loads((tmp_path / "run.json").read_text())["sessions"][0]
    assert session["processes"] == 2 and session["questions"] == 6 * 30 * 8


def test_bad_input_ends_in_one_sentence_and_code_2(tmp_path):
    arguments = [
        PYTHON,
        str(ROOT / "MMLU/evaluate_mmlu.py"),
        "--model",
        "x",
        "--data",
        str(tmp_path),
        "--out",
        "o",
    ]
    result = subprocess.run(arguments, capture_output=True, text=True, cwd=tmp_path)
    assert result.returncode == 2 and result.stderr.startswith("error: ") and result.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_real_belebele(ask, real_data, tmp_path):
    built = tmp_path / "belebele"
    build = ["--source", "belebele", "--data", real_data / "belebele", "--out", built]
    subprocess.run([PYTHON, ROOT / "MMLU/build_variants.py", *build], check=True, capture_output=True)
    out, _ = ask("--data", built, "--limit", "2", "--settings", "en,full,context,mixup")
    assert {len(pd.read_csv(out / f"{name}.csv")) for name in ("en", "full_de", "context_it", "mixup")} == {2}


def test_real_mmlu_five_shot(ask, real_data, tmp_path):
    built = tmp_path / "mmlu"
    build = ["--source", "mmlu", "--data", real_data / "mmlu", "--languages", "en", "--out", built]
    subprocess.run([PYTHON, ROOT / "MMLU/build_variants.py", *build], check=True, capture_output=True)
    out, _ = ask("--data", built, "--limit", "1", "--num_fewshot", "5", "--show", "1")
    assert not Path(out).exists()


def test_a_call_that_waits_takes_what_the_other_has_found(many, tiny_checkpoint, tmp_path):
    """Two at once in one folder: every question is asked once, and what both name is kept."""
    data, expected = many
    base = command(tiny_checkpoint, data, tmp_path)
    place = base.index("--settings") + 1
    calls = []
    for settings in ("en,full,mixup", "en,mixup"):
        arguments = [*base[:place], settings, *base[place + 1 :]]
        keys = {
            "env": ONE_THREAD | {"WAIT": "1"},
            "stdout": subprocess.DEVNULL,
            "stderr": subprocess.PIPE,
            "text": True,
        }
        calls.append(subprocess.Popen(arguments, **keys))
    said = [call.communicate()[1] for call in calls]
    assert [call.returncode for call in calls] == [0, 0], said
    run = json.loads((tmp_path / "run.json").read_text())
    assert sum(session["questions"] for session in run["sessions"]) == 30 * 8 * len(run["records"])
    assert len(run["records"]) == 6 and set(csv_files(tmp_path)) == set(expected)
    for name in run["records"]:  # what is computed together may change the last bit
        ours, theirs = pd.read_csv(tmp_path / f"{name}.csv"), pd.read_csv(io.BytesIO(expected[f"{name}.csv"]))
        assert (
            list(ours["id"]) == list(theirs["id"])
            and np.abs((ours[LOGPROBS] - theirs[LOGPROBS]).to_numpy()).max() < 1e-5
        )
