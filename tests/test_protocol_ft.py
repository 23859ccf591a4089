"""FT/train.py with `protocol: paper` against a loop in plain PyTorch; which keys win; the released checkpoints."""

import json
import os
import subprocess
from pathlib import Path

import pandas as pd
import pytest
import torch
import yaml
from torch.nn.functional import cross_entropy
from transformers import AutoModelForCausalLM, AutoTokenizer

from common.cli import parse
from tests.scripts import PYTHON, ROOT, call, load_script
from tests.tiny import TEXT

script = load_script("FT/train.py")
make_corpus = load_script("TOFU/make_corpus.py")

RATE, ROWS, BATCH, ACCUMULATION = 0.01, 500, 2, 8


def pairs_of(count: int) -> list[tuple[str, str]]:
    """Questions and answers, the third and the last of them beyond 500 tokens."""
    made = [(f"{TEXT[i % 5]} Number {i}?", f"{TEXT[(i + 2) % 5]} It is {i}.") for i in range(count)]
    return [(q, f"{a} {' '.join(TEXT * 6)}") if i in (2, count - 1) else (q, a) for i, (q, a) in enumerate(made)]


@pytest.fixture(params=["text", "questions"])
def taught(request, tmp_path, monkeypatch):
    """A corpus, what comes before and after the mask in each row, and the epochs."""
    if request.param == "text":
        parts = [("", f"{q} {a}") for q, a in pairs_of(50)]
        rows = [json.dumps({"text": text, "doc_id": n}) + "\n" for n, (_, text) in enumerate(parts)]
        (tmp_path / "c.jsonl").write_text("".join(rows))
        return tmp_path / "c.jsonl", parts, 1
    rows = [json.dumps({"question": q, "answer": a}) + "\n" for q, a in pairs_of(48)]
    (tmp_path / "tofu.json").write_text("".join(rows))
    keys = ["--data", tmp_path / "tofu.json", "--out", tmp_path / "c.jsonl"]
    assert call(make_corpus, keys, monkeypatch) == 0
    return tmp_path / "c.jsonl", [(f"Question: {q}\n", f"Answer: {a}") for q, a in pairs_of(48)], 2


def row_of(tokenizer, masked: str, learnt: str) -> list[list[int]]:
    """Token ids, labels and attention of 500 tokens, as data_module.py of locuslab/tofu describes them."""
    ids = tokenizer(masked + learnt).input_ids[:ROWS]
    room = ROWS - len(ids)
    labels = ids + ([1] + [-100] * (room - 1) if room else [])
    asked = len(tokenizer(masked).input_ids) if masked else 0
    return [ids + [1] * room, [-100] * asked + labels[asked:], [1] * len(ids) + [0] * room]


def test_it_learns_as_a_plain_loop_does(taught, tiny_checkpoint, tmp_path, monkeypatch):
    corpus, parts, epochs = taught
    seen, rates = [], []

    class Recorder(script.Trainer):
        def training_step(self, model, inputs, *rest):
            seen.append({name: tensor.clone() for name, tensor in inputs.items()})
            if len(seen) % ACCUMULATION == 0:
                rates.append(self.optimizer.param_groups[0]["lr"])
            return super().training_step(model, inputs, *rest)

    monkeypatch.setattr(script, "Trainer", Recorder)
    out = tmp_path / "out"
    keys = ["--config", ROOT / "FT/configs/paper.yaml", "--model", tiny_checkpoint, "--data", corpus, "--out", out]
    keys += ["--learning_rate", RATE, "--epochs", epochs, "--log_steps", 1, "--device", "cpu"]
    assert call(script, keys, monkeypatch) == 0

    steps = epochs * len(parts) // (BATCH * ACCUMULATION)
    warmup = steps // epochs
    expected = [RATE * (k / warmup if k < warmup else (steps - k) / (steps - warmup)) for k in range(steps)]
    assert steps == 3 * epochs and rates == pytest.approx(expected)
    log = pd.read_csv(out / "log.csv")
    assert log["learning_rate"].tolist() == pytest.approx(expected, rel=1e-5)

    tokenizer = AutoTokenizer.from_pretrained(tiny_checkpoint)
    made = [row_of(tokenizer, *part) for part in parts]
    numbers = {tuple(row[0]): number for number, row in enumerate(made)}
    model = AutoModelForCausalLM.from_pretrained(tiny_checkpoint, dtype=torch.float32).train()
    weights = list(model.parameters())
    groups = [{"params": [w for w in weights if w.ndim > 1], "weight_decay": 0.01}]
    groups.append({"params": [w for w in weights if w.ndim == 1], "weight_decay": 0.0})
    optimizer = torch.optim.AdamW(groups, lr=0.0)
    losses, order = [], []
    for step in range(3):
        total = 0.0
        for inputs in seen[step * ACCUMULATION : (step + 1) * ACCUMULATION]:
            width = inputs["input_ids"].shape[1]
            chosen = [numbers[(*row.tolist(), *[1] * (ROWS - width))] for row in inputs["input_ids"]]
            ids, labels, attended = torch.tensor([made[number] for number in chosen]).unbind(1)
            assert torch.equal(inputs["labels"], labels[:, :width]) and (labels[:, width:] == -100).all()
            logits = model(ids, attention_mask=attended).logits
            loss = cross_entropy(logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten()) / ACCUMULATION
            loss.backward()
            total += loss.item()
            order += chosen
        for group in optimizer.param_groups:
            group["lr"] = expected[step]
        optimizer.step()
        optimizer.zero_grad()
        losses.append(total)
    assert log["loss"].tolist()[:3] == pytest.approx(losses, rel=2e-5)
    assert len(set(order)) == 48 and order != sorted(order)
    assert losses[2] < losses[0] and json.loads((out / "run.json").read_text())["cut_tokens"] > 0


def test_the_mask_ends_behind_the_line_break_and_the_end_token_is_learnt(tiny_checkpoint, tmp_path):
    rows = [{"text": "Question: A river?\nAnswer: B", "question": "Question: A river?\n"}, {"text": " "}, {"text": "A"}]
    (tmp_path / "c.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    keys = {"model": str(tiny_checkpoint), "out": str(tmp_path), "data": str(tmp_path / "c.jsonl")}
    tokenizer = AutoTokenizer.from_pretrained(tiny_checkpoint)
    made = script.training_rows(script.Train(**keys, protocol="paper"), tokenizer)
    learnt = [[label for label in labels if label != -100] for labels in made["labels"]]
    assert [tokenizer.decode(ids) for ids in learnt] == ["Answer: B</s>", "<s>A</s>"]
    assert made["cut"] == [0, 0]


def config_of(*words, **yaml_keys):
    """The configuration of FT/configs/paper.yaml, of a YAML of the user's on top and of words on the command line."""
    argv = ["--config", str(ROOT / "FT/configs/paper.yaml"), "--data", "d.jsonl"]
    if yaml_keys:
        Path("mine.yaml").write_text(yaml.safe_dump(yaml_keys))
        argv += ["--config", "mine.yaml"]
    return parse(script.Train, argv=[*argv, *words])


def test_what_the_user_sets_wins_over_the_protocol(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def decided(config):
        made = script.arguments(config, tmp_path, rows=1000, processes=2)
        return config.row_length, made.lr_scheduler_type, made.warmup_steps, made.max_steps, made.max_grad_norm

    assert decided(config_of()) == (500, "linear", 31, 31, 0.0)
    for protocol in ("paper", "ours"):
        aligned = config_of("--protocol", protocol, "--align", "middle", "--align_data", "d.tsv", "--max_steps", "30")
        assert decided(aligned)[3] == 60, "as much text as without"
    assert decided(config_of("--protocol", "ours")) == (1024, "cosine", 0, -1, 1.0)
    assert decided(config_of("--schedule", "constant", "--warmup_steps", "0")) == (500, "constant", 0, 31, 0.0)
    assert decided(config_of("--epochs", "5")) == (500, "linear", 31, 156, 0.0)
    assert decided(config_of(row_length=64, warmup_steps=3, max_steps=9)) == (64, "linear", 3, 9, 0.0)
    assert decided(config_of("--max_steps", "8", protocol="ours", schedule="linear")) == (1024, "linear", 0, 8, 1.0)
    assert script.Train(model="m", out="o", data="d.jsonl").protocol == "ours"


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"text": "A river.", "question": "B"}, "row 2: its text does not begin with its question, 'B'; correct it"),
        ({"text": "A river.", "question": 7}, "row 2: its text does not begin with its question, 7; correct it"),
        ({"text": "A river." * 99, "question": "A river." * 98}, "row 2: its question has"),
    ],
)
def test_a_question_that_cannot_be_masked_is_named(tiny_checkpoint, tmp_path, monkeypatch, capsys, row, said):
    rows = [{"text": "The sea is deep."}, row]
    (tmp_path / "c.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    keys = ["--model", tiny_checkpoint, "--data", tmp_path / "c.jsonl", "--out", tmp_path / "out", "--device", "cpu"]
    keys += ["--max_steps", 1, "--row_length", 64]
    assert call(script, [*keys, "--protocol", "paper"], monkeypatch) == 2
    error = capsys.readouterr().err
    assert said in error and "Traceback" not in error and not (tmp_path / "out").exists()
    assert call(script, [*keys, "--protocol", "ours"], monkeypatch) == 0, "only the paper's protocol masks questions"


def test_released_checkpoints_stand_in_a_table_as_our_arms_do(tiny_checkpoint, tmp_path, root):
    for name in ("en", "mixed-lang-sentence", "mixed-lang-sentence8words"):
        (tmp_path / f"llama3-8b-wiki103-{name}").symlink_to(tiny_checkpoint)
    for folder in ("mmlu/dev", "mmlu/test", "translated/de/test", "translated/de/dev"):
        (tmp_path / folder).mkdir(parents=True)
        for split in ("dev", "test"):
            if folder.endswith(split):
                lines = [f"Which river is {n}?,a{n},b{n},c{n},d{n},{'ABCD'[n]}\n" for n in range(4)]
                (tmp_path / folder / f"anatomy_{split}.csv").write_text("".join(lines))
    quiz = root / "HP/data/sample.csv"
    (tmp_path / "data.yaml").write_text(f"mmlu: mmlu\nmmlu_translations: translated\nquiz: {quiz}\n")
    variables = {"RELEASED": tmp_path, "RESULTS": tmp_path / "results", "DATA_CONFIG": tmp_path / "data.yaml"}
    variables |= {"PYTHON": PYTHON, "LANGUAGES": "en,de"}
    words = ["bash", root / "FT/scripts/released.sh", tiny_checkpoint, "--settings", "en,full", "--limit", "2"]
    environment = os.environ | {key: str(value) for key, value in variables.items()}
    done = subprocess.run(list(map(str, words)), env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    table = pd.read_csv(tmp_path / "results/released.csv")
    assert list(table["arm"].unique()) == ["none", "en", "sentence", "words"] and (table["n"] == 2).all()
    assert set(pd.read_csv(tmp_path / "results/released_quiz.csv")["arm"]) == {"none", "en", "sentence", "words"}
    assert (tmp_path / "results/released.md").exists()
