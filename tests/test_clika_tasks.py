"""CLiKA's four tasks: their files in the released layout, the prompt to the character, letters and written answers."""

import json

import numpy as np
import pandas as pd
import pytest
import torch

from common.cli import InputError
from common.lm.loading import load
from common.lm.loglikelihood import loglikelihood
from common.parallel_data import align
from common.questions import monolingual, read_questions
from common.reporting.provenance import read_run
from common.settings import build_settings
from tests.scripts import call, load_script
from tests.tiny import byte_level_tokenizer, tiny_llama

build = load_script("MMLU/build_variants.py")
clika = load_script("MMLU/clika.py")
evaluate = load_script("MMLU/evaluate_mmlu.py")
mitigate = load_script("MMLU/mitigate.py")

TEN = ("en", "de", "fr", "it", "ru", "zh", "ja", "ar", "pl", "he")
CHOOSE = (
    "The following are multiple choice questions. Please choose the most reasonable one from the following options.\n"
)
MODELS = ("llama2_7b_res", "llama2_13b_chat_res", "bloomz_7b1_mt_res", "Qwen_V15_7B_chat_res")


def rows_of(task, code):
    """Four rows of a task in the released layout; the country changes, answers are known."""
    for n in range(4):
        if task in ("x_geo", "x_name"):
            country = "ar" if n < 2 else "he"
            yield {
                "id": n, "questions": f"Where is {n} in {code}?", "answers": [f"{code} {k}" for k in range(4)],
                "label": n, "original_lang": country, "sent_lang": code,
            }  # fmt: skip
        elif task == "x_csqa":
            choices = {"label": list("ABCDE"), "text": [f"{code} {k}" for k in range(5)]}
            question = {"stem": f"Why {n} in {code}?", "choices": choices}
            yield {"id": f"0{n}", "lang": "en", "question": question, "answerKey": "ABCE"[n]}
        else:
            asked = ("cause", "effect")[n % 2]
            yield {
                "premise": f"It rains {n} in {code}.", "choice1": f"{code} sun ", "choice2": f"{code} cloud",
                "question": asked, "label": n % 2, "id": 501 + n,
            }  # fmt: skip


def write_rows(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


FILES = {
    "x_geo": {"en": "en/en_geo_data.jsonl", "de": "de/de_geo_data.jsonl", "he": "he/he_geo_data.jsonl"},
    "x_name": {code: f"{code}/{code}_name_data_generate.jsonl" for code in ("en", "de", "he")},
    "x_csqa": {"en": "en/validation.jsonl", "de": "DE_trans/validation.jsonl", "he": "he_trans/validation.jsonl"},
    "x_copa": {"en": "en/test.jsonl", "de": "DE/test.jsonl", "he": "he/test.jsonl"},
}


@pytest.fixture
def data(tmp_path):
    """The four tasks in three languages, as CLiKA's repository has them, predictions beside the questions."""
    for task, files in FILES.items():
        for code, name in files.items():
            write_rows(tmp_path / "clika" / task / name, rows_of(task, code))
            (tmp_path / "clika" / task / name).with_name("chatgpt_res.jsonl").write_text("{")
    return tmp_path / "clika"


def built(monkeypatch, data, task, out, *keys, languages="en,de,he"):
    words = ["--source", "clika", "--data", data, "--clika_task", task, "--languages", languages, "--out", out, *keys]
    return call(build, words, monkeypatch)


@pytest.mark.parametrize("task", FILES)
def test_every_task_is_built_in_every_setting(data, tmp_path, monkeypatch, task):
    assert built(monkeypatch, data, task, tmp_path / "out") == 0
    english, hebrew = (read_questions(tmp_path / "out" / f"{name}.csv") for name in ("en", "full_he"))
    last = [item for item in hebrew if item.id in ("3", "03", "504")][0]
    expected = {
        "x_geo": ("he", "", "Where is 3 in he?", ("he 0", "he 1", "he 2", "he 3"), "D"),
        "x_csqa": ("x_csqa", "", "Why 3 in he?", ("he 0", "he 1", "he 2", "he 3", "he 4"), "E"),
        "x_copa": ("x_copa", "It rains 3 in he.", "What happened as a result?", ("he sun ", "he cloud"), "B"),
    }
    found = (last.subject, last.context, last.question, last.options, last.answer)
    assert found == expected.get(task, expected["x_geo"])
    assert [item.id for item in english] == [item.id for item in hebrew]
    gt = read_questions(tmp_path / "out" / "gt_de.csv")
    for item in gt:
        assert [code == "de" for code in item.option_languages] == [letter == item.answer for letter in item.letters]
    assert (tmp_path / "out" / "mixup.csv").exists() == (task == "x_copa")
    if task == "x_copa":  # what is asked about the premise is English in every language
        every = [read_questions(path) for path in (tmp_path / "out").glob("*.csv")]
        assert {item.question_language for items in every for item in items} == {"en"}
        assert {len(set(item.option_languages)) for item in read_questions(tmp_path / "out" / "mixup.csv")} == {2}


FAULTS = {
    "no language": ("x_geo", None, "he_geo_data.jsonl: no such file; add the questions in Hebrew or leave he out"),
    "other language": ("x_geo", {"sent_lang": "ar"}, "row 2: sent_lang is 'ar' in the folder of he"),
    "missing key": ("x_name", {"label": ...}, "row 2: a record with id, original_lang, questions"),
    "label outside": ("x_geo", {"label": 4}, "row 2: the answer is 'E'; it must be A, B, C or D"),
    "no label": ("x_geo", {"label": None}, "row 2: the answer is 'None'"),
    "other label": ("x_geo", {"label": 3}, "row 2: answer D where English has B"),
    "one option": ("x_geo", {"answers": "a"}, "row 2: 'a' is no list of options"),
    "null option": ("x_geo", {"answers": [None, "b", "c", "d"]}, "row 2: None is not text"),
    "empty option": ("x_geo", {"answers": ["a", " ", "c", "d"]}, "row 2: option B is empty"),
    "question": ("x_csqa", {"question": "Why?"}, "row 2: a record with stem, choices is needed"),
    "labels": (
        "x_csqa",
        {"question": {"stem": "Why?", "choices": {"label": ["B", "A"], "text": ["a", "b"]}}},
        "row 2: the labels of the options are ['B', 'A']",
    ),
    "relation": ("x_copa", {"question": "reason"}, "row 2: the question is 'reason'; it must be cause or effect"),
    "premise": ("x_copa", {"premise": " "}, "row 2: the premise is empty"),
    "number": ("x_copa", {"choice2": 3}, "row 2: 3 is not text"),
    "other id": ("x_copa", {"id": 7}, "row 2: id '7' where English has '502'"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_faults_are_refused_by_file_and_row(data, tmp_path, monkeypatch, capsys, fault):
    task, change, message = FAULTS[fault]
    path = data / task / FILES[task]["he"]
    rows = list(rows_of(task, "he"))
    if change:
        rows[1] = {key: value for key, value in (rows[1] | change).items() if value is not ...}
        write_rows(path, rows)
    else:
        path.unlink()
    code = built(monkeypatch, data, task, tmp_path / "out")
    assert code == 2 and message in capsys.readouterr().err and not (tmp_path / "out").exists()


def test_a_question_with_an_empty_option_is_dropped_everywhere_if_wanted(data, tmp_path, monkeypatch):
    rows = list(rows_of("x_csqa", "he"))
    rows[1]["question"]["choices"]["text"][2] = ""
    write_rows(data / "x_csqa" / "he_trans" / "validation.jsonl", rows)
    assert built(monkeypatch, data, "x_csqa", tmp_path / "out", "--on_mismatch", "drop") == 0
    for name in ("en", "full_de", "full_he"):
        assert [item.id for item in read_questions(tmp_path / "out" / f"{name}.csv")] == ["00", "02", "03"]
    assert json.loads((tmp_path / "out" / "build.json").read_text())["test"]["dropped"] == ["01"]
    for row in rows:
        row["question"]["choices"]["text"][2] = ""
    write_rows(data / "x_csqa" / "he_trans" / "validation.jsonl", rows)
    assert built(monkeypatch, data, "x_csqa", tmp_path / "none", "--on_mismatch", "drop") == 2


def test_keys_go_with_their_source(data, tmp_path, monkeypatch, capsys):
    words = ["--data", data, "--languages", "en,de", "--out", tmp_path / "out"]
    for keys, message in [
        (["--source", "clika"], "clika_task is missing"),
        (["--source", "csv", "--clika_task", "x_geo"], "--clika_task goes with --source clika only"),
        (["--source", "clika", "--clika_task", "x_geo", "--mixup", "m"], "--mixup goes with --source mmlu only"),
        (["--source", "clika", "--clika_task", "x_gei"], "clika_task"),
    ]:
        assert call(build, [*words, *keys], monkeypatch) == 2 and message in capsys.readouterr().err


def test_the_prompt_to_the_character():
    example = "Question:2+3=?\nA. 1\nB. 2\nC. 3\nD. 5\n"
    four = monolingual("1", "he", "", "איפה?", ["a", "b", "c", "d"], "A", "he")
    assert clika.clika_prompt(four, None) == (
        f"{CHOOSE}{example}Answer:D. 5\nQuestion:איפה?\nA. a\nB. b\nC. c\nD. d\nAnswer:"
    )
    five = monolingual("2", "x_csqa", "", "Why?", ["a", "b", "c", "d", "e"], "A", "en")
    assert clika.clika_prompt(five, None) == (
        f"{CHOOSE}{example}E. 6\nAnswer:D. 5\nQuestion:Why?\nA. a\nB. b\nC. c\nD. d\nE. e\nAnswer:"
    )
    two = monolingual("3", "x_copa", "Es regnet.", "What was the cause of this?", ["Ja.", "Nein."], "A", "de")
    assert clika.clika_prompt(two, None) == (
        "Answer the following multiple choice questions by selecting the correct option according to the Premise."
        "Please choose the correct one from the two options A and B.\nPremise:The sky turns dark.\n"
        "Question:What was the cause of this?\nA. It's night.\nB. It's noon.\nAnswer:A. It's night.\n\n"
        "Premise:Es regnet.\nQuestion:What was the cause of this?\nA. Ja.\nB. Nein.\nAnswer:"
    )
    for context, options in (("", ["a", "b"]), ("Passage.", ["a", "b", "c", "d"]), ("", list("abcdef"))):
        item = monolingual("4", "x", context, "Which?", options, "A", "en")
        with pytest.raises(InputError, match=r"question 4 has \d options"):
            clika.clika_prompt(item, None)


@pytest.mark.parametrize("task", FILES)
def test_prompts_and_labels_are_those_of_the_released_predictions(real_data, task):
    """In ten languages and four models; ChatGPT was asked in other words."""
    if not (real_data / "clika").is_dir():
        pytest.skip("no real data: clika/ is not in the folder of real data sets")
    splits = clika.read_clika(str(real_data / "clika"), task, TEN, "drop")
    parallel, dropped = align(splits["test"], "drop")
    assert len(parallel["en"]) == {"x_geo": 200, "x_name": 180, "x_csqa": 999, "x_copa": 500}[task]
    for code, table in splits["test"].items():
        items = {row.item.id: row.item for rows in table.rows.values() for row in rows}
        folder = next(path for path in (real_data / "clika" / task).iterdir() if path.name.lower()[:2] == code)
        for model in MODELS:
            lines = (folder / f"{model}_bf16_add_simple_example.jsonl").read_text(encoding="utf-8").splitlines()
            released = [json.loads(line) for line in lines]
            assert len(released) == len(items)
            for row in released:
                item = items[str(row["uuid"])]
                assert (clika.clika_prompt(item, None), item.answer) == (row["input"], row["label"]), (code, model)
    settings = build_settings({code: items[:20] for code, items in parallel.items()}, list(parallel), 42)
    assert len(dropped) == (task == "x_csqa") and {"mixup", "full_he", "gt_pl"} <= set(settings)


@pytest.fixture
def ask(data, tmp_path, monkeypatch, tiny_checkpoint):
    """Ask the tiny model x_geo with CLiKA's prompt; exit code and run folder."""
    assert built(monkeypatch, data, "x_geo", tmp_path / "x_geo") == 0

    def run(script, *keys, model=tiny_checkpoint, out="run"):
        words = ["--model", model, "--data", tmp_path / "x_geo", "--out", tmp_path / out, "--settings", "en,full"]
        return call(script, [*words, "--prompt", "clika", "--device", "cpu", *keys], monkeypatch), tmp_path / out

    return run


def test_letters_are_scored_without_a_blank(ask, tmp_path, tiny_checkpoint):
    code, out = ask(evaluate)
    assert code == 0
    items = read_questions(tmp_path / "x_geo" / "full_he.csv")
    model, tokenizer = load(str(tiny_checkpoint), device="cpu")
    prompts = [clika.clika_prompt(item, None) for item in items]
    expected = loglikelihood(model, tokenizer, prompts, list("ABCD"))
    scores = pd.read_csv(out / "full_he.csv")[[f"logprob_{letter}" for letter in "ABCD"]].to_numpy()
    assert np.abs(scores - expected).max() < 1e-5
    assert np.abs(scores - loglikelihood(model, tokenizer, prompts, [f" {c}" for c in "ABCD"])).max() > 1e-3
    categories = pd.read_csv(out / "summary_by_category.csv")
    assert set(categories["category"]) == {"ar", "he"} and set(categories["n"]) == {2}
    same, again = ask(mitigate, out="plain")
    assert same == 0 and (again / "full_he.csv").read_bytes() == (out / "full_he.csv").read_bytes()
    assert read_run(out)["hash"] != read_run(again)["hash"]


def says(text, folder):
    """A model that writes the tokens of a text one after another, and then ends it."""
    tokenizer = byte_level_tokenizer()
    tokens = tokenizer(f":{text}", add_special_tokens=False).input_ids + [tokenizer.eos_token_id]
    model = tiny_llama(len(tokenizer), tie_word_embeddings=False)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            weight.fill_(1.0 if "norm" in name else 0.0)
        for place, (token, following) in enumerate(zip(tokens, tokens[1:], strict=False)):
            model.model.embed_tokens.weight[token, place] = 1.0
            model.lm_head.weight[following, place] = 1.0
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.mark.parametrize(
    ("text", "prediction", "said"),
    [
        ("B", "B", "B"),
        (" C. sea", "C", "C. sea"),
        ("Dry", "D", "Dry"),
        ("E", "", "E"),
        ("(A)", "", "(A)"),
        ("", "", ""),
    ],
)
def test_written_answers_count_if_they_begin_with_a_label(ask, tmp_path, text, prediction, said):
    keys = ["--write", "answer", "--max_new_tokens", "4"]
    code, out = ask(mitigate, *keys, model=says(text, tmp_path / "model"))
    assert code == 0
    records = pd.read_csv(out / "full_he.csv", keep_default_na=False)
    assert set(records["prediction"]) == {prediction} and set(records["extracted"]) == {int(prediction != "")}
    assert set(records["said"]) == {said} and not [name for name in records if name.startswith("logprob")]
    assert list(records["correct"]) == [int(letter == prediction) for letter in "ABCD"]


def test_what_the_prompt_refuses(ask, capsys):
    for script, keys, message in [
        (evaluate, ["--num_fewshot", "1"], "prompt clika has its own example"),
        (evaluate, ["--labels", "1,2,3,4"], "prompt clika has its own example"),
        (evaluate, ["--hint", "Mixed."], "prompt clika has its own example"),
        (evaluate, ["--answer_format", "text"], "this prompt shows the options and needs --answer_format letter"),
        (mitigate, ["--write", "xlt"], "write xlt has a prompt of its own"),
        (mitigate, ["--write", "answer", "--answer_format", "text"], "needs --answer_format letter"),
    ]:
        code, out = ask(script, *keys)
        assert code == 2 and message in capsys.readouterr().err and not out.exists()
