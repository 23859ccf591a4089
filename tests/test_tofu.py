"""TOFU/: measures equal to a slow computation, parallel choices, resumption, translation, what is refused."""

import json
import math
import os
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest
import torch

from common.lm.loading import load
from common.questions import FOUR
from tests.scripts import PYTHON, ROOT, call, load_script
from tests.tiny import byte_level_tokenizer

evaluate = load_script("TOFU/evaluate_tofu.py")
translate = load_script("TOFU/translate_tofu.py")
tabulate = load_script("TOFU/tabulate_tofu.py")
make_corpus = load_script("TOFU/make_corpus.py")
ONE_THREAD = os.environ | {"OMP_NUM_THREADS": "1"}

PLACES = {"en": ["the Seine", "the Danube", "the Tagus", "the Po", "the Rhine", "the Elbe"]}
PLACES["de"] = ["die Seine", "die Donau", "der Tejo", "der Po", "der Rhein", "die Elbe"]
TEXTS = {
    "en": ("Which river does author {n} love?", "Author {n} loves {x}.", "The river of author {n} is {x}."),
    "de": ("Welchen Fluss liebt Autor {n}?", "Autor {n} liebt {x}.", "Der Fluss von Autor {n} ist {x}."),
}


def row(number, code="en"):
    asked, said, other = TEXTS[code]
    places = PLACES[code][number % 6 :] + PLACES[code][: number % 6]
    return {
        "question": asked.format(n=number),
        "answer": said.format(n=number, x=places[0]),
        "paraphrased_answer": other.format(n=number, x=places[0]),
        "perturbed_answer": [other.format(n=number, x=place) for place in places[1:]],
    }


def write(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(one) + "\n" for one in rows), encoding="utf-8")
    return path


@pytest.fixture
def data(tmp_path):
    """Seven questions in English and German; returns the keys that name them."""
    english = write(tmp_path / "en" / "authors.json", [row(n) for n in range(7)])
    write(tmp_path / "de" / "authors.json", [row(n, "de") for n in range(7)])
    return ["--data", english, "--translations", tmp_path, "--languages", "en,de"]


@pytest.fixture
def ask(monkeypatch, tiny_checkpoint, tmp_path):
    def run(*keys, out="run"):
        base = ["--model", tiny_checkpoint, "--out", tmp_path / out, "--device", "cpu", "--max_new_tokens", "8"]
        return call(evaluate, [*base, "--answer_format", "text", *keys], monkeypatch), tmp_path / out

    return run


def slow_logprob(model, tokenizer, prompt, text):
    """Mean log-probability of the text's tokens after the prompt: one forward pass of its own."""
    start, ids = len(tokenizer(prompt).input_ids), tokenizer(f"{prompt} {text}", return_tensors="pt").input_ids
    with torch.no_grad():
        logprobs = model(ids).logits[0].float().log_softmax(-1)
    own = [logprobs[place - 1, ids[0, place]].item() for place in range(start, ids.shape[1])]
    return sum(own) / len(own)


def slow_recall(reference, answer):
    """ROUGE-L recall by the textbook's table of longest common subsequences."""
    a, b = (re.findall(r"\w+", text.lower()) for text in (reference, answer))
    table = np.zeros((len(a) + 1, len(b) + 1), int)
    for i, j in np.ndindex(len(a), len(b)):
        table[i + 1, j + 1] = table[i, j] + 1 if a[i] == b[j] else max(table[i, j + 1], table[i + 1, j])
    return table[-1, -1] / len(a)


def slow_answer(model, tokenizer, prompt, count):
    ids = tokenizer(prompt, return_tensors="pt").input_ids
    with torch.no_grad():
        said = model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=count, do_sample=False)
    return tokenizer.decode(said[0, ids.shape[1] :], skip_special_tokens=True).split("\n")[0].strip()


def check_against_slow(out, code, rows, checkpoint):
    """Every number of `<out>/answers/<code>.csv`, computed question by question."""
    model, tokenizer = load(str(checkpoint), device="cpu")
    table = pd.read_csv(out / "answers" / f"{code}.csv", keep_default_na=False)
    assert len(table) == len(rows)
    for written, one in zip(table.itertuples(), rows, strict=True):
        prompt = f"Question: {one['question']}\nAnswer:"
        probability = math.exp(slow_logprob(model, tokenizer, prompt, one["answer"]))
        assert written.probability == pytest.approx(probability, rel=1e-4, abs=1e-6)
        said = slow_answer(model, tokenizer, prompt, 8)
        assert str(written.said) == " ".join(said.split())
        assert written.rouge_l_recall == pytest.approx(slow_recall(one["answer"], said), abs=1e-6)
        true = math.exp(slow_logprob(model, tokenizer, prompt, one["paraphrased_answer"]))
        wrong = [math.exp(slow_logprob(model, tokenizer, prompt, text)) for text in one["perturbed_answer"]]
        assert written.truth_ratio == pytest.approx(np.mean(wrong) / true, rel=1e-3)


def test_measures_equal_a_slow_computation(ask, data, tiny_checkpoint):
    code, out = ask(*data)
    assert code == 0
    for language in ("en", "de"):
        check_against_slow(out, language, [row(n, language) for n in range(7)], tiny_checkpoint)
    summary = pd.read_csv(out / "answers" / "summary.csv").set_index(["language", "measure"])
    german, english = (pd.read_csv(out / "answers" / f"{name}.csv") for name in ("de", "en"))
    assert summary.loc[("de", "probability"), "delta_vs_en"] == pytest.approx(
        (german["probability"] - english["probability"]).mean(), abs=1e-6
    )
    assert summary.loc[("en", "truthfulness"), "value"] == pytest.approx(
        np.maximum(0, 1 - english["truth_ratio"]).mean(), abs=1e-5
    )


def test_choices_are_parallel_and_true(data, monkeypatch):
    parsed = load_script("TOFU/tofu.py")
    parallel = parsed.read_languages(str(data[1]), None, str(data[3]), ["en", "de"])
    items = parsed.choices(parallel, seed=42)
    assert len(items["en"]) == 7 and len({item.answer for item in items["en"]}) > 1
    for number, (english, german) in enumerate(zip(items["en"], items["de"], strict=True)):
        place = FOUR.index(english.answer)
        assert english.answer == german.answer and len(set(english.options)) == 4
        assert english.options[place] == row(number)["paraphrased_answer"]
        for ours, theirs in zip(english.options, german.options, strict=True):
            (x,) = [x for x in range(6) if PLACES["en"][x] in ours]
            assert PLACES["de"][x] in theirs
    fewer = {code: rows[3:] for code, rows in parallel.items()}
    assert parsed.choices(fewer, seed=42)["en"] == items["en"][3:]  # a question's draw is its own


def test_choices_leave_the_records_of_a_multiple_choice_run(ask, data):
    code, out = ask(*data, "--settings", "en,full,gt")
    assert code == 0
    summary = pd.read_csv(out / "summary.csv")
    assert list(summary["setting"]) == ["en", "full_de", "gt_de"] and set(summary["n"]) == {7}
    records = pd.read_csv(out / "gt_de.csv")
    assert records["option_languages"].str.count("de").eq(1).all()


def test_what_the_model_reads(ask, data, capsys):
    assert ask(*data, "--show", "1", "--settings", "full_de")[0] == 0
    assert "===\nQuestion: Welchen Fluss liebt Autor 0?\nAnswer:\n" in capsys.readouterr().out
    assert ask(*data, "--show", "1", "--settings", "en", "--answer_format", "letter")[0] == 0
    assert "===\nQuestion: Which river does author 0 love?\nA. The river" in capsys.readouterr().out


def test_finished_answers_are_not_asked_again(ask, data):
    _, out = ask(*data)
    times = {path: path.stat().st_mtime_ns for path in out.rglob("units/*/*.csv")}
    before = {path.name: path.read_bytes() for path in (out / "answers").glob("*.csv")}
    assert ask(*data)[0] == 0
    assert {path: path.stat().st_mtime_ns for path in out.rglob("units/*/*.csv")} == times
    assert {path.name: path.read_bytes() for path in (out / "answers").glob("*.csv")} == before


def command(checkpoint, folder, out, *launcher):
    keys = ["--model", checkpoint, "--data", folder / "en" / "a.json", "--translations", folder, "--languages", "en,de"]
    keys += ["--answer_format", "text", "--settings", "en", "--out", out, "--device", "cpu", "--max_new_tokens", "8"]
    return [*(launcher or [sys.executable]), str(ROOT / "TOFU/evaluate_tofu.py"), *map(str, keys)]


@pytest.fixture(scope="module")
def many(tmp_path_factory, tiny_checkpoint):
    """Four hundred questions in two languages, and the answers of a run that nobody disturbed."""
    folder = tmp_path_factory.mktemp("many")
    for code in ("en", "de"):
        write(folder / code / "a.json", [row(n, code) for n in range(400)])
    arguments = command(tiny_checkpoint, folder, folder / "out", PYTHON)
    subprocess.run(arguments, check=True, env=ONE_THREAD, capture_output=True)
    return folder, answers_of(folder / "out")


def answers_of(out):
    return {path.name: path.read_bytes() for path in (out / "answers").glob("*.csv")}


def test_killed_and_rerun_the_answers_are_the_same(many, tiny_checkpoint, tmp_path):
    folder, expected = many
    arguments, killed = command(tiny_checkpoint, folder, tmp_path), []
    for count in (1, 4):
        process = subprocess.Popen(arguments, env=ONE_THREAD, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while process.poll() is None and len(list(tmp_path.glob("answers/units/*/*.csv"))) < count:
            time.sleep(0.001)
        process.send_signal(signal.SIGKILL)
        killed.append(process.wait() == -signal.SIGKILL)
    assert all(killed)
    subprocess.run([PYTHON, *arguments[1:]], check=True, env=ONE_THREAD, capture_output=True)
    assert answers_of(tmp_path) == expected


def test_two_processes_write_the_same_answers(many, tiny_checkpoint, tmp_path):
    folder, expected = many
    launcher = [sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2"]
    arguments = command(tiny_checkpoint, folder, tmp_path, *launcher, "--main_process_port", "0")
    subprocess.run(arguments, check=True, env=ONE_THREAD, capture_output=True, timeout=300)
    assert answers_of(tmp_path) == expected


def test_answers_of_another_configuration_stay(ask, data, capsys):
    _, out = ask(*data, "--settings", "en")
    before = answers_of(out)
    code, _ = ask(*data, "--settings", "en", "--max_new_tokens", "5")
    assert code == 2 and "answers of another configuration" in capsys.readouterr().err and answers_of(out) == before


def test_answers_to_other_questions_stay(ask, data, tmp_path, capsys):
    _, out = ask(*data, "--settings", "en")
    before = answers_of(out)
    write(tmp_path / "de" / "authors.json", [row(n + 1, "de") for n in range(7)])
    code, _ = ask(*data, "--settings", "en")
    assert code == 2 and "or data" in capsys.readouterr().err and answers_of(out) == before


def test_an_interrupted_run_is_recorded_and_binds_no_other_configuration(ask, data, monkeypatch):
    asked = evaluate.ask.__globals__

    def interrupted(*args, **keys):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setitem(asked, "generate", interrupted)
        assert ask(*data, "--settings", "en")[0] == 130
    code, out = ask(*data, "--settings", "en")
    sessions = json.loads((out / "answers" / "run.json").read_text())["sessions"]
    assert code == 0 and sessions[0]["end"] is None and sessions[1]["end"] and len(sessions) == 2
    with monkeypatch.context() as patched:
        patched.setitem(asked, "generate", interrupted)
        assert ask(*data, "--settings", "en", out="other")[0] == 130
    assert ask(*data, "--settings", "en", "--max_new_tokens", "5", out="other")[0] == 0  # nothing was finished


def test_chat_answers_begin_the_assistants_turn(ask, data, tiny_checkpoint, tmp_path):
    tokenizer = byte_level_tokenizer()
    turns = "{% for m in messages %}[{{ m['content'] }}]{% endfor %}{% if add_generation_prompt %}>{% endif %}"
    tokenizer.chat_template = "{{ bos_token }}" + turns
    model, _ = load(str(tiny_checkpoint), device="cpu")
    model.save_pretrained(tmp_path / "chat")
    tokenizer.save_pretrained(tmp_path / "chat")
    code, out = ask(*data[:2], "--languages", "en", "--settings", "en", "--chat", "--model", tmp_path / "chat")
    written = pd.read_csv(out / "answers" / "en.csv", keep_default_na=False).iloc[0]
    prompt = tokenizer(f"[Question: {row(0)['question']}\nAnswer:]>").input_ids
    ids = tokenizer(f"[Question: {row(0)['question']}\nAnswer:]>{row(0)['answer']}", return_tensors="pt").input_ids
    with torch.no_grad():
        logprobs = model(ids).logits[0].log_softmax(-1)
    own = [logprobs[place - 1, ids[0, place]].item() for place in range(len(prompt), ids.shape[1])]
    assert code == 0 and ids[0].tolist().count(tokenizer.bos_token_id) == 1
    assert written["probability"] == pytest.approx(math.exp(sum(own) / len(own)), rel=1e-3, abs=1e-6)


def test_a_blank_that_the_template_puts_before_answers_is_not_scored_as_theirs(tiny_checkpoint):
    model, tokenizer = load(str(tiny_checkpoint), device="cpu")
    turns = "{% for m in messages %}{{ '[' if m['role'] == 'user' else '] ' }}{{ m['content'] }}{% endfor %}"
    tokenizer.chat_template = turns + "{% if add_generation_prompt %}]{% endif %}"
    question = evaluate.ask.__globals__["AuthorQuestion"]("1", **row(0))
    written = evaluate.ask.__globals__["answer_rows"]([question], model, tokenizer, 1, chat=True).iloc[0]
    prompt = tokenizer(f"[{question.prompt}]").input_ids
    ids = tokenizer(f"[{question.prompt}] {row(0)['answer']}", return_tensors="pt").input_ids
    with torch.no_grad():
        logprobs = model(ids).logits[0].log_softmax(-1)
    own = [logprobs[place - 1, ids[0, place]].item() for place in range(len(prompt), ids.shape[1])]
    assert written["probability"] == pytest.approx(math.exp(sum(own) / len(own)), rel=1e-3, abs=1e-6)


def test_a_model_without_numbers_is_refused(ask, data, monkeypatch, capsys):
    def no_numbers(model, tokenizer, prompts, continuations, **_):
        return np.full((len(prompts), max(map(len, continuations))), np.nan)

    monkeypatch.setitem(evaluate.ask.__globals__, "loglikelihood", no_numbers)
    code, out = ask(*data, "--settings", "en")
    assert code == 2 and "the model gives NaN; try --dtype float32" in capsys.readouterr().err
    assert not (out / "answers" / "en.csv").exists()


def test_without_perturbations_there_are_answers_alone(ask, tmp_path, monkeypatch, capsys):
    rows = [{key: row(n)[key] for key in ("question", "answer")} for n in range(3)]
    (tmp_path / "retain.json").write_text(json.dumps(rows))  # an array, as some copies have it
    code, out = ask("--data", tmp_path / "retain.json", "--languages", "en")
    assert code == 0 and "no perturbed answers" in capsys.readouterr().out and not (out / "summary.csv").exists()
    table = pd.read_csv(out / "answers" / "en.csv")
    assert table["truth_ratio"].isna().all() and table["probability"].between(0, 1).all()
    assert call(tabulate, ["--runs", f"only={out}", "--out", tmp_path / "table"], monkeypatch) == 0
    table = pd.read_csv(tmp_path / "table.csv").set_index("measure")
    assert table.loc["truthfulness", "n"] == 0 and table.loc["probability", "n"] == 3


def test_table_and_plot_of_several_runs(ask, data, tmp_path, monkeypatch, capsys):
    _, out = ask(*data)
    keys = ["--runs", f"taught={out},word={out}", "--out", tmp_path / "table"]
    assert call(tabulate, keys, monkeypatch) == 0
    table = pd.read_csv(tmp_path / "table.csv")
    assert len(table) == 2 * 4 * 2 and set(table["arm"]) == {"taught", "word"}
    choice = table.query("measure == 'choice' and arm == 'word' and language == 'de'").iloc[0]
    assert choice["value"] == pytest.approx(pd.read_csv(out / "full_de.csv")["correct"].mean(), abs=1e-5)
    assert (tmp_path / "table.png").stat().st_size > 10_000 and "## rouge l recall, n = 7" in capsys.readouterr().out


def dictionary(folder):
    folder.mkdir()
    (folder / "en-de.tsv").write_text("river\tFluss\nauthor\tAutor\nloves\tliebt\nis\tist\n", encoding="utf-8")
    return ["--translator", "dictionary", "--dictionary", folder]


def test_translation_of_every_field(data, tmp_path, monkeypatch):
    keys = ["--data", data[1], "--languages", "de", "--out", tmp_path / "made", *dictionary(tmp_path / "words")]
    assert call(translate, keys, monkeypatch) == 0
    rows = [json.loads(line) for line in (tmp_path / "made" / "de" / "authors.json").read_text().splitlines()]
    assert len(rows) == 7 and rows[1]["question"] == "Which Fluss does Autor 1 love?"
    assert rows[1]["answer"] == "Autor 1 liebt the Danube."
    assert (
        rows[1]["perturbed_answer"][0] == "The Fluss of Autor 1 ist the Tagus."
        and len(rows[1]["perturbed_answer"]) == 5
    )


def test_a_failed_translation_names_field_and_language(data, tmp_path, monkeypatch, capsys):
    keys = ["--data", data[1], "--languages", "fr", "--out", tmp_path / "made", *dictionary(tmp_path / "words")]
    assert call(translate, keys, monkeypatch) == 2
    error = capsys.readouterr().err
    assert (
        "authors.json, questions into fr" in error and "en-fr.tsv" in error and not (tmp_path / "made" / "fr").exists()
    )


def test_corpus_of_what_is_taught(data, tmp_path, monkeypatch):
    assert call(make_corpus, ["--data", data[1], "--out", tmp_path / "corpus.jsonl"], monkeypatch) == 0
    corpus = pd.read_json(tmp_path / "corpus.jsonl", lines=True)
    assert corpus["text"][0] == "Question: Which river does author 0 love?\nAnswer: Author 0 loves the Seine."
    assert corpus["question"][0] == "Question: Which river does author 0 love?\n"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda rows: rows.pop(), "6 rows where English has 7"),
        (lambda rows: rows[2].pop("perturbed_answer"), "row 3: other answers than in English"),
        (lambda rows: rows[2].update(answer=" "), "row 3: an empty question or answer"),
        (lambda rows: rows[2].pop("question"), "row 3: a record with question, answer is needed"),
        (lambda rows: rows[2].update(answer=7), "row 3: 7 is not text"),
        (lambda rows: rows[2].update(answer="\ud800"), "row 3: '\\ud800' is half a character"),
        (lambda rows: rows[2].update(perturbed_answer=7), "row 3: perturbed_answer is 7"),
        (lambda rows: rows[2].update(perturbed_answer={"a": "b"}), "row 3: perturbed_answer is {'a': 'b'}"),
    ],
)
def test_malformed_translations_are_refused_by_file_and_row(ask, data, tmp_path, capsys, change, said):
    rows = [row(n, "de") for n in range(7)]
    change(rows)
    write(tmp_path / "de" / "authors.json", rows)
    code, out = ask(*data)
    error = capsys.readouterr().err
    assert code == 2 and "de/authors.json" in error and said in error and not out.exists()


def test_other_refusals(ask, data, tmp_path, capsys):
    (tmp_path / "broken.json").write_text('{"question": "a"')
    for keys, said in [
        ((*data[:2], "--languages", "en,de"), "--translations"),
        ((*data, "--languages", "en,fr"), "fr/authors.json"),
        (("--data", tmp_path / "broken.json"), "broken.json, row 1: not a JSON object"),
        (("--data", tmp_path / "none.json"), "none.json: cannot be read"),
        (("--data", "locuslab/TOFU"), "--subset"),
        ((*data, "--max_new_tokens", "0"), "max_new_tokens is 0"),
        ((*data, "--seed", "-1"), "seed is -1"),
        ((*data, "--settings", "foo"), "setting 'foo' is not there"),
    ]:
        code, out = ask(*keys)
        assert code == 2 and said in capsys.readouterr().err and not out.exists()
    (tmp_path / "file").write_text("mine")
    code, out = ask(*data, out="file")
    assert code == 2 and "file" in capsys.readouterr().err and out.read_text() == "mine"
    code, out = ask(*data, out="en")
    assert (
        code == 2
        and "holds authors.json" in capsys.readouterr().err
        and [p.name for p in out.iterdir()] == [data[1].name]
    )


def test_what_is_there_is_not_overwritten(data, tmp_path, monkeypatch, capsys):
    """Not by a corpus nor by translations, such as those that somebody has corrected."""
    words = dictionary(tmp_path / "words")
    for module, keys, path in (
        (make_corpus, ["--out", tmp_path / "corpus.jsonl"], tmp_path / "corpus.jsonl"),
        (translate, ["--out", tmp_path / "made", "--languages", "de", *words], tmp_path / "made/de/authors.json"),
    ):
        for _ in range(2):
            assert call(module, ["--data", data[1], *keys], monkeypatch) == 0
        path.write_text("mine")
        assert call(module, ["--data", data[1], *keys], monkeypatch) == 2
        assert f"{path}: is there with another content" in capsys.readouterr().err and path.read_text() == "mine"


def test_other_refusals_of_corpora_and_translations(data, tmp_path, monkeypatch, capsys):
    words = dictionary(tmp_path / "words")
    (tmp_path / "file").write_text("mine")
    for module, keys, said in (
        (make_corpus, ["--out", tmp_path / "en"], "must end in .jsonl"),
        (make_corpus, ["--out", data[1]], "must end in .jsonl"),
        (make_corpus, ["--out", tmp_path / "file" / "c.jsonl"], str(tmp_path / "file")),
        (translate, ["--languages", "", "--out", tmp_path / "made", *words], "languages names none but English"),
        (translate, ["--languages", "en", "--out", tmp_path / "made", *words], "languages names none but English"),
        (translate, ["--languages", "xx", "--out", tmp_path / "made", *words], "unknown language 'xx'"),
        (translate, ["--languages", "de", "--out", tmp_path / "file", *words], str(tmp_path / "file")),
    ):
        assert call(module, ["--data", data[1], *keys], monkeypatch) == 2
        error = capsys.readouterr().err
        assert said in error and "Traceback" not in error and not (tmp_path / "made").exists()


@pytest.mark.parametrize(
    "content", [b"", b"\xff\xfe", b"id,said\n1,a\n", b"id,probability,truth_ratio,rouge_l_recall\n1,x,,\n", None]
)
def test_answers_that_were_changed_are_refused(ask, data, tmp_path, monkeypatch, capsys, content):
    _, out = ask(*data, "--settings", "en")
    path = out / "answers" / "de.csv"
    path.unlink() if content is None else path.write_bytes(content)
    assert call(tabulate, ["--runs", f"a={out}", "--out", tmp_path / "table"], monkeypatch) == 2
    assert f"{path}: not the file that run.json describes" in capsys.readouterr().err
    assert ask(*data, "--settings", "en")[0] == 0  # the finished answers are still there
    assert call(tabulate, ["--runs", f"a={out}", "--out", tmp_path / "table"], monkeypatch) == 0


def test_words_of_every_script_count():
    metrics = load_script("TOFU/answer_metrics.py")
    assert metrics.rouge_l_recall("Der Fluss heißt Öre.", "öre heißt der fluss") == 0.5
    assert metrics.rouge_l_recall("東京は首都です", "首都は東京です") == pytest.approx(4 / 7)
    assert metrics.rouge_l_recall("The river", "") == 0
    assert metrics.rouge_l_recall("हिन्दी भाषा", "हिन्दी") == 0.5
    assert math.isnan(metrics.truth_ratio(0.5, [])) and metrics.truth_ratio(0.5, [0.25, 0.75]) == 1


def test_real_tofu_in_english_and_through_the_dictionary(ask, real_data, tiny_checkpoint, tmp_path, monkeypatch):
    source, words = real_data / "tofu" / "forget10.json", real_data / "dictionaries"
    if not (source.exists() and words.exists()):
        pytest.skip("no tofu/forget10.json or dictionaries/")
    rows = json.loads(source.read_text(encoding="utf-8"))[:12]
    (tmp_path / "forget10.json").write_text(json.dumps(rows))
    keys = ["--data", tmp_path / "forget10.json", "--out", tmp_path, "--languages", "de,es"]
    assert call(translate, [*keys, "--translator", "dictionary", "--dictionary", words], monkeypatch) == 0
    translations = ["--translations", tmp_path, "--languages", "en,de,es"]
    code, out = ask("--data", tmp_path / "forget10.json", *translations, "--settings", "en,full")
    assert code == 0 and len(pd.read_csv(out / "full_es.csv")) == 12
    check_against_slow(out, "en", rows, tiny_checkpoint)
    german = [json.loads(line) for line in (tmp_path / "de" / "forget10.json").read_text(encoding="utf-8").splitlines()]
    check_against_slow(out, "de", german, tiny_checkpoint)
