"""FT/consistency_pairs.py and objective dpo: votes by hand, TRL's loss by hand, a stopped training ends the same."""

import json
import math
import sys

import pandas as pd
import pytest
import torch

from common.evaluation.records import record_rows, write_setting
from common.lm.loading import load
from common.prompts import mmlu_prompt
from common.questions import monolingual, read_questions, write_questions
from common.settings import build_settings
from tests.mmlu import rewrite
from tests.scripts import ROOT, call, check_killed_training, load_script

script = load_script("FT/train.py")
pairs = load_script("FT/consistency_pairs.py")

# Answers by language of four questions: all the same; two against one; no winner; one that named no option.
ANSWERS = {"en": "ABCB", "de": "ABAB", "fr": "AABD", "es": "ACC?", "it": "ABA?"}


@pytest.fixture
def records(tmp_path):
    """A run folder of four questions in five languages, and the settings that were asked."""
    parallel = {
        code: [
            monolingual(f"q{n}", f"s{n % 2}", "", f"{code} {n}?", [f"{code} {x}" for x in "wxyz"], "B", code)
            for n in range(4)
        ]
        for code in ANSWERS
    }
    written = {}
    for name, items in build_settings(parallel, list(ANSWERS), 1).items():
        write_questions(tmp_path / "data" / f"{name}.csv", items)
        if name == "en" or name.startswith("full"):
            texts = list(ANSWERS[name.removeprefix("full_")])
            table = record_rows(items, name, texts=texts, labels=[item.letters for item in items]).astype(str)
            written[name] = write_setting(tmp_path / "run", table, list(table["id"]))
    config = {"data": str(tmp_path / "data"), "num_fewshot": 0, "answer_format": "letter"}
    rewrite(tmp_path / "run", config=config, hash="0" * 12, records=written)
    return tmp_path


def test_votes_and_rows_are_those_by_hand(records, monkeypatch, capsys):
    out = records / "p.jsonl"
    assert call(pairs, ["--records", records / "run", "--out", out], monkeypatch) == 0
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    found = {(row["id"], row["language"], row["chosen"], row["rejected"]) for row in rows}
    second = {("q1", code, " B", loser) for code in ANSWERS for loser in (" A", " C")}
    assert found == second | {("q3", code, " B", " D") for code in ANSWERS} and len(rows) == 15
    shown = {
        code: read_questions(records / "data" / f"{'en' if code == 'en' else f'full_{code}'}.csv") for code in ANSWERS
    }
    for row in rows:
        assert row["prompt"] == mmlu_prompt(shown[row["language"]][int(row["id"][1])])
    said = capsys.readouterr().out
    assert "one answer to 25.0%" in said and "1 without a winner, 15 rows" in said
    assert "the winner: 66.7%" in said and "en: 66.7%" in said and "fr: 0.0%" in said
    assert json.loads((records / "p.jsonl.run.json").read_text())["config"]["records"] == str(records / "run")


def test_only_some_subjects(records, monkeypatch):
    keys = ["--records", records / "run", "--out", records / "p.jsonl", "--subjects"]
    assert call(pairs, [*keys, "s1"], monkeypatch) == 0
    assert call(pairs, [*keys, "s0"], monkeypatch) == 2  # the languages agree, or have no winner


@pytest.mark.parametrize(
    ("key", "value"),
    [("num_fewshot", 5), ("answer_format", "text"), ("chat", True), ("write", "xlt"), ("translator", "dictionary")],
)
def test_other_prompts_are_refused(records, monkeypatch, capsys, key, value):
    run = json.loads((records / "run" / "run.json").read_text())
    rewrite(records / "run", config=run["config"] | {key: value})
    assert call(pairs, ["--records", records / "run", "--out", records / "p.jsonl"], monkeypatch) == 2
    assert f"asked with {key} {value}; preferences are made" in capsys.readouterr().err


@pytest.fixture
def preferred(tmp_path):
    """Twelve preferences of different lengths."""
    rows = [
        {
            "prompt": f"Which river is number {n}?{' It is deep.' * (n % 3)}\nAnswer:",
            "chosen": " B",
            "rejected": " A sea",
        }
        for n in range(12)
    ]
    (tmp_path / "p.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path / "p.jsonl"


def keys_of(checkpoint, data, out, **keys):
    base = {"objective": "dpo", "method": "lora", "model": checkpoint, "data": data, "out": out, "batch_size": 2}
    base |= {"accumulation": 1, "max_steps": 6, "save_steps": 2, "log_steps": 1, "device": "cpu", "learning_rate": 0.01}
    return [word for key, value in (base | keys).items() for word in (f"--{key}", str(value))]


def test_without_trl_one_sentence_says_what_to_install(tiny_checkpoint, preferred, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "trl", None)
    assert call(script, keys_of(tiny_checkpoint, preferred, tmp_path / "out"), monkeypatch) == 2
    error = capsys.readouterr().err
    assert "objective dpo needs TRL" in error and "bash install.sh --dpo" in error and "Traceback" not in error


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (
            {"prompt": "A?", "chosen": " B"},
            "row 1: a record with prompt, chosen, rejected is needed; missing: rejected",
        ),
        ({"prompt": "A?", "chosen": " B", "rejected": " B"}, "row 1: chosen and rejected are the same, ' B'"),
        ({"prompt": "", "chosen": " B", "rejected": " C"}, "row 1: prompt is ''; write text"),
        ({"prompt": "A river. " * 99, "chosen": " B", "rejected": " C"}, "raise row_length or leave it out"),
    ],
)
def test_bad_rows_are_named(tiny_checkpoint, tmp_path, monkeypatch, capsys, row, said):
    (tmp_path / "p.jsonl").write_text(json.dumps(row) + "\n")
    keys = keys_of(tiny_checkpoint, tmp_path / "p.jsonl", tmp_path / "out", row_length=64)
    assert call(script, keys, monkeypatch) == 2
    assert said in capsys.readouterr().err and not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"method": "full"}, "objective dpo trains an adapter"),
        ({"protocol": "paper"}, "objective dpo learns no corpus"),
        ({"align": "words", "align_data": "p.tsv"}, "objective dpo learns no corpus"),
        ({"dpo_beta": 0}, "dpo_beta is 0.0; it must be above 0"),
    ],
)
def test_keys_that_do_not_go_together(tiny_checkpoint, preferred, tmp_path, monkeypatch, capsys, changes, said):
    assert call(script, keys_of(tiny_checkpoint, preferred, tmp_path / "out", **changes), monkeypatch) == 2
    assert said in capsys.readouterr().err


def logprob(model, tokenizer, prompt: str, answer: str) -> torch.Tensor:
    """Sum of the log-probabilities of the answer's tokens and the end-of-text token, one token after the other."""
    asked = tokenizer(prompt).input_ids
    ids = tokenizer(f"{prompt}{answer}{tokenizer.eos_token}").input_ids
    logprobs = model(torch.tensor([ids])).logits[0].log_softmax(-1)
    return sum(logprobs[place - 1, ids[place]] for place in range(len(asked), len(ids)))


def test_a_killed_run_ends_the_same(tiny_checkpoint, preferred, tmp_path):
    pytest.importorskip("trl", reason="needs TRL: bash install.sh --dev")

    def command(name):
        return [sys.executable, str(ROOT / "FT/train.py"), *keys_of(tiny_checkpoint, preferred, tmp_path / name)]

    check_killed_training(command, tmp_path)


def test_the_loss_is_that_by_hand(tiny_checkpoint, preferred, tmp_path, monkeypatch):
    """After one step, of all rows at once: -log sigmoid(beta * (gain of the chosen - gain of the rejected))."""
    pytest.importorskip("trl", reason="needs TRL: bash install.sh --dev")
    keys = {"dpo_beta": 0.3, "batch_size": 12, "schedule": "constant", "merge": "false", "save_steps": 9}
    for steps in (1, 2):
        assert (
            call(
                script, keys_of(tiny_checkpoint, preferred, tmp_path / f"{steps}", **keys, max_steps=steps), monkeypatch
            )
            == 0
        )
    (before, tokenizer), (after, _) = (load(str(path), device="cpu") for path in (tiny_checkpoint, tmp_path / "1"))
    losses = []
    for row in map(json.loads, preferred.read_text().splitlines()):
        with torch.no_grad():
            gains = [
                logprob(after, tokenizer, row["prompt"], row[answer])
                - logprob(before, tokenizer, row["prompt"], row[answer])
                for answer in ("chosen", "rejected")
            ]
        losses.append(-torch.nn.functional.logsigmoid(0.3 * (gains[0] - gains[1])))
    log = pd.read_csv(tmp_path / "2" / "log.csv")
    assert log["loss"][0] == pytest.approx(math.log(2), rel=1e-4)
    assert log["loss"][1] == pytest.approx(float(torch.stack(losses).mean()), rel=1e-3) and log["loss"][1] < 0.6
