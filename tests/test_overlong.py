"""Prompts longer than the model's context: fewer examples, a question less, or an error, as a slow version decides."""

import json

import pandas as pd
import pytest
import torch

from common.lm.loading import load
from common.lm.loglikelihood import loglikelihood
from common.prompts import chat_prompt, mmlu_prompt
from common.questions import read_questions, write_questions
from common.reporting.provenance import read_run
from common.settings import settings_in
from tests.mmlu import LOGPROBS, write_variants
from tests.scripts import call, load_script
from tests.tiny import byte_level_tokenizer, tiny_llama

evaluate = load_script("MMLU/evaluate_mmlu.py")
mitigate = load_script("MMLU/mitigate.py")
SUBJECTS = ["geography", "law"]
TEMPLATE = "{% for m in messages %}<|{{ m['role'] }}|>\n{{ m['content'] }}\n{% endfor %}<|assistant|>\n"


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Variants with questions of very different lengths."""
    folder = write_variants(tmp_path_factory.mktemp("variants"), SUBJECTS, questions=8)
    for name in settings_in(folder):
        items = read_questions(folder / f"{name}.csv")
        for place, item in enumerate(items):
            more = place % 8 * 45 + (60 if (name, place) == ("mixup", 0) else 0)  # too long in one setting only
            object.__setattr__(item, "question", item.question + " river" * more)
        write_questions(folder / f"{name}.csv", items)
    return folder


def lengths(tokenizer, data, name, count, chat=False):
    """Positions that the prompt of each question needs with `count` examples: slowly, one text after another."""
    examples, start = read_questions(data / "dev" / f"{name}.csv"), "\n" if chat else " "
    needed = {}
    for item in read_questions(data / f"{name}.csv"):
        prompt = mmlu_prompt(item, [shot for shot in examples if shot.subject == item.subject][:count])
        prompt = chat_prompt(tokenizer, prompt) if chat else prompt
        needed[item.id] = max(len(tokenizer(prompt + start + letter).input_ids) for letter in "ABCD") - 1
    return needed


def most_shots(tokenizer, data, name, limit, chat=False):
    """The examples that each question can be shown, at most five; -1 where it fits without any in no way."""
    tables = [lengths(tokenizer, data, name, count, chat) for count in range(6)]
    return {key: max([n for n in range(6) if tables[n][key] <= limit], default=-1) for key in tables[0]}


@pytest.fixture(scope="module")
def small(tmp_path_factory, data):
    """A model with so few positions that some questions get five examples, others fewer, and one just none."""
    folder, tokenizer = tmp_path_factory.mktemp("small"), byte_level_tokenizer()
    tokenizer.chat_template = TEMPLATE
    limit = max(
        max(lengths(tokenizer, data, name, 0, chat).values()) for name in ("en", "mixup") for chat in (False, True)
    )
    torch.manual_seed(0)
    tiny_llama(len(tokenizer), max_position_embeddings=limit).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder, limit


@pytest.fixture
def ask(monkeypatch, data, tmp_path, tiny_checkpoint):
    def run(*keys, module=evaluate, model=tiny_checkpoint, out="run", shots=5):
        base = ["--model", model, "--data", data, "--out", tmp_path / out, "--device", "cpu", "--num_fewshot", shots]
        return call(module, [*base, "--settings", "en,mixup", *keys], monkeypatch), tmp_path / out

    return run


def test_texts_of_options_have_fewer_examples_too(ask, small, capsys):
    folder, limit = small
    code, out = ask("--answer_format", "text", model=folder)
    assert code == 0 and "few-shot examples fewer" in capsys.readouterr().err
    assert read_run(out)["records"]["en"]["overlong"]["examples"] > 0 and (out / "mixup.csv").exists()


@pytest.mark.parametrize("keys", [[], ["--answer_token", "bare"], ["--chat"]], ids=["plain", "bare", "chat"])
def test_each_question_is_shown_as_many_examples_as_fit(ask, small, data, capsys, keys):
    folder, limit = small
    code, out = ask(*keys, model=folder)
    assert code == 0
    said, chat = capsys.readouterr().err, "--chat" in keys
    model, tokenizer = load(str(folder), device="cpu")
    fewer, records = 0, read_run(out)["records"]
    for name in ("en", "mixup"):
        shots = most_shots(tokenizer, data, name, limit, chat)
        assert min(shots.values()) >= 0 and len(set(shots.values())) > 2
        own = {key: count for key, count in shots.items() if count < 5}
        expected = {"questions": len(own), "examples": sum(5 - count for count in own.values())}
        assert records[name]["overlong"] == expected
        fewer += expected["examples"]
        if not keys:
            examples = read_questions(data / "dev" / f"{name}.csv")
            items = read_questions(data / f"{name}.csv")
            prompts = [mmlu_prompt(q, [s for s in examples if s.subject == q.subject][: shots[q.id]]) for q in items]
            wanted = loglikelihood(model, tokenizer, prompts, [" A", " B", " C", " D"])
            table = pd.read_csv(out / f"{name}.csv").set_index("id").loc[[q.id for q in items]]
            assert abs(table[LOGPROBS].to_numpy() - wanted).max() < 1e-4
    assert f"asked with {fewer} few-shot examples fewer" in said
    before = {path: path.stat().st_mtime_ns for path in out.glob("units/*/*.csv")}
    assert ask(*keys, model=folder)[0] == 0  # again: nothing is computed, and it is said again
    assert {path: path.stat().st_mtime_ns for path in out.glob("units/*/*.csv")} == before
    assert read_run(out)["records"]["en"]["overlong"] == records["en"]["overlong"]


def test_without_anything_dropped_the_hash_is_as_ever(ask, capsys):
    hashes = set()
    for choice in ("error", "drop_shots", "skip"):
        code, out = ask("--overlong", choice, out=choice)
        records = read_run(out)["records"]
        hashes.add(tuple(record["hash"] for record in records.values()))
        assert code == 0 and not any("overlong" in record for record in records.values())
    assert len(hashes) == 1 and "longer than" not in capsys.readouterr().err


def test_skipped_questions_are_left_out_of_every_setting(ask, small, data, capsys):
    folder, limit = small
    code, out = ask("--overlong", "skip", model=folder)
    assert code == 0
    _, tokenizer = load(str(folder), device="cpu")
    shots = [most_shots(tokenizer, data, name, limit) for name in ("en", "mixup")]
    kept = [key for key in shots[0] if all(own[key] == 5 for own in shots)]
    assert kept and any(shots[0][key] == 5 and shots[1][key] < 5 for key in shots[0]), "the settings must differ"
    for name in ("en", "mixup"):
        assert list(pd.read_csv(out / f"{name}.csv")["id"]) == kept
    gone = ", ".join(sorted(set(shots[0]) - set(kept)))
    assert f"{gone} left out of every setting" in capsys.readouterr().err
    assert read_run(out)["records"]["mixup"]["overlong"] == {"questions": len(shots[0]) - len(kept), "examples": 0}


def test_error_and_questions_that_are_too_long_by_themselves(ask, small, tmp_path, data, capsys):
    folder, limit = small
    code, _ = ask("--overlong", "error", model=folder)
    assert code == 2 and f"tokens, the model takes {limit}" in capsys.readouterr().err
    config = json.loads((folder / "config.json").read_text())
    (tmp_path / "smaller").mkdir()
    for path in folder.iterdir():
        (tmp_path / "smaller" / path.name).write_bytes(path.read_bytes())
    (tmp_path / "smaller" / "config.json").write_text(json.dumps(config | {"max_position_embeddings": limit - 60}))
    for shots in (5, 0):
        code, out = ask(model=tmp_path / "smaller", out="none", shots=shots)
        error = capsys.readouterr().err
        assert code == 2 and "without few-shot examples" in error and "--overlong skip" in error
        assert not list(out.glob("units/*/*.csv"))
    code, out = ask("--overlong", "skip", model=tmp_path / "smaller", out="some", shots=0)
    assert code == 0 and 0 < len(pd.read_csv(out / "en.csv")) < 16


@pytest.mark.parametrize("write", ["translation", "xlt"])
def test_what_the_model_writes_needs_room_too(ask, small, data, write):
    folder, limit = small
    keys = ["--write", write, "--max_new_tokens", "9", "--settings", "en"]
    code, out = ask(*keys, "--overlong", "skip", module=mitigate, model=folder, out="skip", shots=1)
    asked = mitigate.translate_then_answer if write == "translation" else mitigate.xlt_prompt
    _, tokenizer = load(str(folder), device="cpu")
    examples, kept = read_questions(data / "dev" / "en.csv"), []
    for item in read_questions(data / "en.csv"):
        shots = [shot for shot in examples if shot.subject == item.subject][:1]
        prompt = asked(item, [(s, s) for s in shots]) if write == "translation" else asked(item, "English")
        if len(tokenizer(prompt).input_ids) + 9 <= limit:
            kept.append(item.id)
    assert 0 < len(kept) < 16
    assert code == 0 and list(pd.read_csv(out / "en.csv")["id"]) == kept
