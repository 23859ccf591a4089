"""Fixes that need no training: prompts to the character, chat, written answers, and what records alone give."""

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
import yaml

from common.evaluation.prediction import extract_label
from common.evaluation.scorers import LogprobScorer
from common.lm.loading import load
from common.lm.loglikelihood import loglikelihood
from common.lm.server import Reply
from common.lm.tokenization import prompt_tokens, tokenize_pairs
from common.prompts import (
    PromptFormat,
    chat_answer_start,
    chat_prompt,
    hinted_header,
    mmlu_prompt,
)
from common.questions import FOUR, monolingual, read_questions
from common.reporting.provenance import read_run
from common.settings import Setting
from tests.mmlu import LOGPROBS, rewrite, write_run, write_variants
from tests.scripts import ROOT, call, load_script
from tests.tiny import always, byte_level_tokenizer, characters_tokenizer, sentencepiece_tokenizer, tiny_llama

answers = load_script("MMLU/answer_scorer.py")
mitigate = load_script("MMLU/mitigate.py")
prompts = load_script("MMLU/mitigation_prompts.py")
XLT_OPENING, xlt_prompt = prompts.XLT_OPENING, prompts.xlt_prompt
calibrate = load_script("MMLU/calibrate.py")
ensemble = load_script("MMLU/ensemble.py")
tabulate = load_script("MMLU/tabulate_mitigation.py")
CONFIGS = sorted((ROOT / "MMLU" / "configs" / "mitigation").glob("*.yaml"))
ROOTS = monolingual("a", "abstract_algebra", "", "Wie viele Wurzeln?", ("0", "1", "2", "Keine"), "B", "de")
ENGLISH = monolingual("a", "abstract_algebra", "", "How many roots?", ("0", "1", "2", "None"), "B", "en")
HEADER = "The following are multiple choice questions (with answers) about  abstract algebra."
TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}<|{{ m['role'] }}|>\n{{ m['content'] }}\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
)


def test_other_labels():
    assert mmlu_prompt(ENGLISH, [ENGLISH], PromptFormat(labels=("1", "2", "3", "4"))) == (
        f"{HEADER}\n\nHow many roots?\n1. 0\n2. 1\n3. 2\n4. None\nAnswer: 2\n\n"
        "How many roots?\n1. 0\n2. 1\n3. 2\n4. None\nAnswer:"
    )


def test_the_papers_hints_follow_the_instruction():
    hints = [
        yaml.safe_load((CONFIGS[0].parent / f"hint_{name}.yaml").read_text())["hint"]
        for name in ("various", "different")
    ]
    assert [mmlu_prompt(ENGLISH, (), PromptFormat(hinted_header(hint))).split("\n\n")[0] for hint in hints] == [
        f"{HEADER} Keep in mind that the question and options may be presented in various languages.",
        f"{HEADER} Remember that the question and options can be in different languages.",
    ]


def test_translate_then_answer():
    assert prompts.translate_then_answer(ROOTS, [(ROOTS, ENGLISH)]) == (
        f"{HEADER} Remember that the question and options can be in different languages. First translate them all to"
        " English. Then output the answer.\n\n"
        "Question: Wie viele Wurzeln?\nA. 0\nB. 1\nC. 2\nD. Keine\nAnswer:\n"
        "Translate the question and options into English, and then answer.\n"
        "Question: How many roots?\nA. 0\nB. 1\nC. 2\nD. None\nAnswer: B\n\n"
        "Question: Wie viele Wurzeln?\nA. 0\nB. 1\nC. 2\nD. Keine\nAnswer:\n"
        "Translate the question and options into English, and then answer.\nQuestion:"
    )


def test_cross_lingual_thought():
    assert xlt_prompt(ROOTS, "German") == (
        "I want you to act as a multiple choice expert for German.\n"
        "Wie viele Wurzeln?\nA. 0\nB. 1\nC. 2\nD. Keine\n"
        "You should retell the question and the options in English.\n"
        "You should choose the correct option.\n"
        "You should step-by-step answer the request.\n"
        "You should tell me the correct option (A, B, C, D) in this format 'Answer: A'.\n"
    )


def chat_tokenizer():
    tokenizer = byte_level_tokenizer()
    tokenizer.chat_template = TEMPLATE
    return tokenizer


def test_chat_template_without_a_second_bos():
    tokenizer = chat_tokenizer()
    text = chat_prompt(tokenizer, mmlu_prompt(ENGLISH))
    assert text == (f"<s><|user|>\n{HEADER}\n\nHow many roots?\nA. 0\nB. 1\nC. 2\nD. None\nAnswer:\n<|assistant|>\n")
    pairs = tokenize_pairs(tokenizer, [text], [["A", "B", "C", "D"]])
    for pair, letter in zip(pairs, FOUR, strict=True):
        assert list(pair.tokens).count(tokenizer.bos_token_id) == 1 and pair.tokens[0] == tokenizer.bos_token_id
        assert tokenizer.decode(pair.tokens[pair.start :]) == letter
    assert prompt_tokens(tokenizer, [text])[0].count(tokenizer.bos_token_id) == 1
    assert prompt_tokens(tokenizer, ["A river"])[0] == tokenizer("A river").input_ids


def test_chats_say_the_same_day_on_every_day():
    tokenizer = chat_tokenizer()
    tokenizer.chat_template = (
        "{{ strftime_now('%Y-%m-%d') }} {% set day = strftime_now(\"%d %b %Y\") %}{{ day }} " + TEMPLATE
    )
    assert chat_prompt(tokenizer, "Which?").startswith("2024-07-26 26 Jul 2024 ")


def test_the_answer_in_a_chat_begins_as_the_template_writes_it(tmp_path):
    """Llama 2's template has a blank before an answer: the token that follows is "▁A", not "A"."""
    assert chat_answer_start(chat_tokenizer()) == ""
    tokenizer = sentencepiece_tokenizer(tmp_path)
    tokenizer.chat_template = (
        "{% for m in messages %}{% if m['role'] == 'user' %}{{ bos_token + '[INST] ' + m['content'] + ' [/INST]' }}"
        "{% else %}{{ ' ' + m['content'] + ' ' + eos_token }}{% endif %}{% endfor %}"
    )
    assert chat_answer_start(tokenizer) == " "
    scorer = LogprobScorer(
        tiny_llama(len(tokenizer)), tokenizer, answer_format="letter", answer_token="follow", chat=True
    )
    answers = scorer._continuations(ENGLISH, Setting("en", [ENGLISH], ""))
    assert answers == [" A", " B", " C", " D"]
    pairs = tokenize_pairs(tokenizer, [chat_prompt(tokenizer, "Which?")], [answers])
    turns = [{"role": "user", "content": "Which?"}, {"role": "assistant", "content": "B"}]
    answered = tokenizer(tokenizer.apply_chat_template(turns, tokenize=False), add_special_tokens=False).input_ids
    assert list(pairs[1].tokens) == answered[: len(pairs[1].tokens)]


def test_labels_of_several_tokens_are_scored_whole():
    tokenizer = characters_tokenizer()
    pairs = tokenize_pairs(tokenizer, ["Answer:"], [[" 10", " 11", " 20", " 21"]])
    assert [tokenizer.decode(pair.tokens[pair.start :]) for pair in pairs] == [" 10", " 11", " 20", " 21"]
    assert {len(pair.tokens) - pair.start for pair in pairs} == {3}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_variants(tmp_path_factory.mktemp("variants"), ["law", "shared_birth"], questions=5)


@pytest.fixture
def ask(monkeypatch, tiny_checkpoint, data, tmp_path):
    def run(*keys, model=tiny_checkpoint, out="run", settings="en,mixup"):
        base = ["--model", model, "--data", data, "--out", tmp_path / out, "--settings", settings, "--device", "cpu"]
        return call(mitigate, [*base, *keys], monkeypatch), tmp_path / out

    return run


@pytest.mark.parametrize("config", CONFIGS, ids=lambda path: path.stem)
def test_every_method_leaves_records(ask, config, tmp_path, data):
    keys = ["--config", config]
    if config.stem == "translate_test":
        (tmp_path / "words").mkdir()
        for code in ("de", "fr", "es", "it"):
            (tmp_path / "words" / f"en-{code}.tsv").write_text(f"sea\tMeer{code}\n")
        keys += ["--translator", "dictionary", "--dictionary", tmp_path / "words"]
    if config.stem in ("translate_self", "xlt"):
        keys += ["--max_new_tokens", "4"]
    code, out = ask(*keys)
    assert code == 0
    records = pd.read_csv(out / "mixup.csv", keep_default_na=False)
    assert list(records["id"]) == [item.id for item in read_questions(data / "mixup.csv")]
    assert set(records["prediction"]) <= {*FOUR, ""} and (out / "summary_by_category.csv").exists()
    before = {path: path.stat().st_mtime_ns for path in out.glob("units/*/*.csv")}
    assert ask(*keys)[0] == 0 and {path: path.stat().st_mtime_ns for path in out.glob("units/*/*.csv")} == before


def test_other_labels_are_what_is_scored(ask, data, tiny_checkpoint):
    _, out = ask("--labels", "a,b,c,d")
    model, tokenizer = load(str(tiny_checkpoint), device="cpu")
    prompts = [mmlu_prompt(item, (), PromptFormat(labels=tuple("abcd"))) for item in read_questions(data / "en.csv")]
    expected = loglikelihood(model, tokenizer, prompts, [" a", " b", " c", " d"])
    assert np.abs(pd.read_csv(out / "en.csv")[LOGPROBS].to_numpy() - expected).max() < 1e-5


def test_mixed_examples_take_the_languages_in_turn(ask, capsys):
    assert ask("--num_fewshot", "5", "--fewshot_examples", "mixed", "--settings", "full_de", "--show", "1")[0] == 0
    shown = capsys.readouterr().out
    asked = [line.split(":")[0] for line in shown.splitlines() if "which dev place" in line]
    assert asked == ["en", "de", "fr", "es", "it"]


def test_chat_scores_the_letter_of_the_assistants_turn(ask, data, tmp_path):
    tokenizer = chat_tokenizer()
    tokenizer.save_pretrained(tmp_path / "chat")
    torch.manual_seed(1)
    tiny_llama(len(tokenizer)).save_pretrained(tmp_path / "chat")
    code, out = ask("--chat", "true", model=tmp_path / "chat")
    assert code == 0
    model, tokenizer = load(str(tmp_path / "chat"), device="cpu")
    for row, item in zip(
        pd.read_csv(out / "en.csv")[LOGPROBS].to_numpy(), read_questions(data / "en.csv"), strict=True
    ):
        ids = prompt_tokens(tokenizer, [chat_prompt(tokenizer, mmlu_prompt(item))])
        with torch.no_grad():
            logprobs = model(torch.tensor(ids)).logits[0, -1].log_softmax(-1)
        letters = [tokenizer(letter, add_special_tokens=False).input_ids[0] for letter in FOUR]
        assert np.abs(logprobs[letters].numpy() - row).max() < 1e-4


def test_a_model_without_template_is_told_so(ask, capsys):
    assert ask("--chat", "true")[0] == 2 and "no chat template" in capsys.readouterr().err


@pytest.mark.parametrize("write", ["xlt", "translation"])
def test_written_answers_are_read_by_the_rule(ask, data, tmp_path, write):
    keys = ["--write", write, "--num_fewshot", "5", "--max_new_tokens", "1"]
    _, out = ask(*keys, model=always(" B", tmp_path / "b"))
    records = pd.read_csv(out / "en.csv")
    assert set(records["prediction"]) == {"B"} and set(records["said"]) == {"B"}
    assert list(records["correct"]) == [int(item.answer == "B") for item in read_questions(data / "en.csv")]
    _, out = ask(*keys, model=always(" river", tmp_path / "river"), out="none")
    records = pd.read_csv(out / "en.csv", keep_default_na=False)
    assert set(records["prediction"]) == {""} and set(records["extracted"]) == {0} and set(records["correct"]) == {0}
    session = json.loads((out / "run.json").read_text())["sessions"][0]
    assert session["computed_tokens"] > session["prompt_tokens"] > 0


def test_a_question_of_the_models_own_after_its_answer_does_not_count():
    item = replace(ENGLISH, id="1")
    said = Reply("Answer: B\n\nI want you to act as an expert.\nAnswer: D")
    author = SimpleNamespace(device="cpu", dtype="float32", write=lambda prompts, *_: [said] * len(prompts))
    prompt = lambda item, _: xlt_prompt(item, "English")  # noqa: E731
    settings = {"en": Setting("en", [item], "", write_prompt=prompt)}
    for again, expected in ((XLT_OPENING, "B"), (None, "D")):
        writer = answers.AnswerScorer(author, 64, again=again)
        assert list(writer.records({"en": [item]}, settings)["prediction"]) == [expected]


@pytest.mark.parametrize(
    ("text", "place"),
    [
        (" A", 0),
        ("B.", 1),
        ("(C) because", 2),
        ("Which river?\nA. Po\nAnswer: D", 3),
        ("Answer: A\nOn second thought\nAnswer: B", 1),
        ("Answer: (B)", 1),
        ("Apples", -1),
        ("a", -1),
        ("The answer is A", -1),
        ("A river. Answer: none", -1),
        ("A river flows", -1),
        ("Answer: a river", -1),
        ("Answer: A\nAnswer: none", -1),
        ("Answer: D\n\nMore", 3),
        ("C: the sea", 2),
        ("", -1),
    ],
)
def test_extraction(text, place):
    assert extract_label(text, FOUR) == place


def test_translate_test_asks_in_english_and_records_the_original_languages(ask, data, tmp_path, capsys, monkeypatch):
    (tmp_path / "words").mkdir()
    for code in ("de", "fr", "es", "it"):
        (tmp_path / "words" / f"en-{code}.tsv").write_text(f"wird\t{code}\nocean\tsea0\n")
    keys = ["--translator", "dictionary", "--dictionary", tmp_path / "words"]
    assert ask(*keys, "--show", "1", settings="full_de")[0] == 0
    assert "C. wird ocean" in capsys.readouterr().out
    _, out = ask(*keys, settings="en,full_de")
    assert set(pd.read_csv(out / "full_de.csv")["question_language"]) == {"de"}
    monkeypatch.setenv("PLAN", "1")
    capsys.readouterr()
    assert ask(*keys, settings="en,full_de")[0] == 0
    said = capsys.readouterr()
    assert '"items": 0' in said.out and "replaced" not in said.out + said.err, "what is finished is not left to do"


def test_what_mitigate_refuses(ask, capsys):
    for keys, said in [
        (["--labels", "A,B,C"], "has 4 options, but the labels are A, B, C"),
        (["--labels", "A,B,C,C"], "two or more different ones"),
        (["--write", "xlt", "--answer_format", "text"], "--answer_format letter"),
        (["--write", "xlt", "--max_new_tokens", "0"], "max_new_tokens is 0"),
        (["--translator", "dictionary"], "--dictionary"),
        (["--write", "translation", "--num_fewshot", "5", "--data", "nowhere"], "nowhere"),
    ]:
        code, out = ask(*keys)
        assert code == 2 and said in capsys.readouterr().err and not list(out.glob("*.csv"))


@pytest.fixture
def plain(tmp_path):
    folder = tmp_path / "plain"
    folder.mkdir()
    return write_run(folder, seed=0, accuracy=0.4, reversed_too=True)


def slow_votes(out, codes):
    """Predictions of majority and sum, question by question."""
    tables = [pd.read_csv(out / f"{code}.csv").set_index("id") for code in codes]
    found = []
    for name in tables[0].index:
        sums, votes = np.zeros(4), np.zeros(4)
        for table in tables:
            logits = table.loc[name, LOGPROBS].to_numpy(float)
            sums += logits - np.log(np.exp(logits).sum())
            votes[FOUR.index(table.loc[name, "prediction"])] += 1
        most = [place for place in range(4) if votes[place] == votes.max()]
        found.append((FOUR[max(most, key=lambda place: sums[place])], FOUR[int(sums.argmax())]))
    return tables, found


def test_ensembles_equal_a_slow_count(plain, tmp_path, monkeypatch):
    assert call(ensemble, ["--run", plain, "--out", tmp_path / "table"], monkeypatch) == 0
    table = pd.read_csv(tmp_path / "table.csv").set_index(["pool", "method"])
    codes = ["full_de", "full_fr", "full_es", "full_it"]
    tables, votes = slow_votes(plain, codes)
    answers = tables[0]["answer"]
    own = table.loc["without_en"]
    assert own.loc["majority", "accuracy"] == pytest.approx(
        np.mean([a == b for (a, _), b in zip(votes, answers, strict=True)])
    )
    assert own.loc["summed", "accuracy"] == pytest.approx(
        np.mean([a == b for (_, a), b in zip(votes, answers, strict=True)])
    )
    right = np.array([one["correct"] for one in tables])
    assert own.loc["oracle", "accuracy"] == pytest.approx(right.any(axis=0).mean())
    assert own.loc["single", "accuracy"] == pytest.approx(right.mean()) and own.loc["single", "n"] == right.size
    assert (
        table.loc[("all", "oracle"), "accuracy"] == 1
        and table.loc[("all", "best_language_of_subject"), "accuracy"] == 1
    )


def test_planted_preferences_are_found_and_taken_out():
    rng = np.random.default_rng(0)
    languages = np.array([rng.permutation(["en", "de", "fr", "es"]) for _ in range(400)])
    truth = rng.integers(0, 4, 400)
    letter, spoken = np.array([0.5, 0.1, -0.2, -0.4]), {"en": 1.2, "de": -0.5, "es": -0.4, "fr": -0.3}
    clean = np.eye(4)[truth] * 0.4 + rng.normal(0, 0.05, (400, 4))
    scores = clean + letter + np.vectorize(spoken.get)(languages)
    found, by_language = calibrate.preferences(scores, languages)
    assert found == pytest.approx(letter, abs=0.1) and by_language == pytest.approx(spoken, abs=0.1)
    records = pd.DataFrame(scores, columns=LOGPROBS).assign(
        answer=np.array(FOUR)[truth],
        prediction=np.array(FOUR)[scores.argmax(1)],
        option_languages=["|".join(row) for row in languages],
        question_language="en",
        setting="mixup",
        id=[str(number) for number in range(400)],
    )
    assert (scores.argmax(1) == truth).mean() < 0.6 and calibrate.calibrated(records, 42)["correct"].mean() > 0.95


def test_what_looks_like_a_preference_for_a_language_but_is_knowledge_stays():
    """In threewrong_L the only English option is the right one: choosing it is no preference."""
    rng = np.random.default_rng(1)
    truth, settings = rng.integers(0, 4, 400), ["mixup"] * 200 + ["threewrong_de"] * 200
    languages = np.array([rng.permutation(["en", "de", "fr", "es"]) for _ in range(200)] + [["de"] * 4] * 200)
    languages[np.arange(200, 400), truth[200:]] = "en"
    scores = np.eye(4)[truth] + rng.normal(0, 0.1, (400, 4))
    records = pd.DataFrame(scores, columns=LOGPROBS).assign(
        answer=np.array(FOUR)[truth],
        option_languages=["|".join(row) for row in languages],
        setting=settings,
        id=[str(number % 200) for number in range(400)],
    )
    assert calibrate.calibrated(records, 42).groupby("setting")["correct"].mean().to_dict() == {
        "mixup": 1.0,
        "threewrong_de": 1.0,
    }
    assert calibrate.calibrated(records[records["setting"] != "mixup"], 42)["correct"].mean() == 1


def test_bias_equals_a_slow_count(plain, tmp_path, monkeypatch):
    out = tmp_path / "calibrated"
    assert call(calibrate, ["--run", plain, "--out", out], monkeypatch) == 0
    table = pd.read_csv(out / "bias.csv").set_index(["question", "non_english_options", "correct_option"])
    counts = {}
    for path in plain.glob("*.csv"):
        for row in pd.read_csv(path, keep_default_na=False).itertuples():
            codes = row.option_languages.split("|")
            question = "en" if row.question_language == "en" else "other"
            chosen = codes[FOUR.index(row.prediction)] != "en"
            counts.setdefault((question, sum(code != "en" for code in codes), "all"), []).append(chosen)
    assert {key for key in table.index if key[2] == "all"} == set(counts)
    for key, chosen in counts.items():
        assert table.loc[key, "n"] == len(chosen) and table.loc[key, "chosen_non_english"] == pytest.approx(
            np.mean(chosen), abs=1e-5
        )
    assert table.loc[("en", 1, "all"), "chance"] == 0.25
    assert {"en.csv", "mixup.csv", "summary.csv", "run.json"} <= {path.name for path in out.iterdir()}


def test_the_table_sets_methods_beside_the_plain_prompt(plain, tmp_path, monkeypatch, capsys):
    better = tmp_path / "better"
    better.mkdir()
    write_run(better, seed=1, accuracy=0.9, reversed_too=True)
    for folder in (plain, better):
        session = {"start": "2026-01-01T00:00:00+00:00", "end": "2026-01-01T00:00:09+00:00", "computed_tokens": 70}
        rewrite(folder, sessions=[session])
    keys = ["--plain", plain, "--runs", f"better={better}", "--out", tmp_path / "table"]
    assert call(tabulate, keys, monkeypatch) == 0
    table = pd.read_csv(tmp_path / "table.csv").set_index(["method", "setting"])
    ours, theirs = (pd.read_csv(folder / "full_de.csv")["correct"] for folder in (better, plain))
    row = table.loc[("better", "full_de")]
    assert row["vs_plain"] == pytest.approx(ours.mean() - theirs.mean(), abs=1e-5)
    assert row["gap_closed"] == pytest.approx((ours.mean() - theirs.mean()) / (1 - theirs.mean()), abs=1e-5)
    assert row["seconds"] == 9 and row["tokens"] == 70 and row["extracted"] == 1 and row["p_mcnemar"] < 0.05
    pooled = table.loc[("better", "full")]
    assert pooled["n"] == 4 * len(ours) and np.isnan(pooled["p_mcnemar"])
    said = capsys.readouterr().out
    assert (tmp_path / "table.png").exists() and "| better |" in said and "All questions, answers:" in said
    closed = [f"{100 * pooled[f'gap_closed{end}']:.0f}" for end in ("", "_low", "_high")]
    assert "drop from English that is recovered" in said and f"{closed[0]} [{closed[1]}, {closed[2]}]" in said

    (plain / "mixup.csv").unlink()
    records = read_run(plain)["records"]
    records.pop("mixup")
    rewrite(plain, records=records)
    assert call(tabulate, keys, monkeypatch) == 0  # a setting that the plain prompt was not asked in
    assert "in `mixup`" not in capsys.readouterr().out

    rewrite(better, sessions=[{"end": None}, *read_run(better)["sessions"]])
    assert call(tabulate, keys, monkeypatch) == 0  # a killed session did not say what it had cost
    assert pd.read_csv(tmp_path / "table.csv").set_index("method").loc["better", "tokens"].isna().all()


def test_records_without_logprobs_cannot_be_calibrated(ask, tmp_path, monkeypatch, capsys):
    _, out = ask("--write", "xlt", "--max_new_tokens", "2")
    assert call(calibrate, ["--run", out, "--out", tmp_path / "x"], monkeypatch) == 2
    assert "without log-probabilities" in capsys.readouterr().err
    assert call(ensemble, ["--run", out, "--out", tmp_path / "x"], monkeypatch) == 2


def test_settings_of_an_earlier_run_stay_valid_with_a_translator(ask, tmp_path):
    (tmp_path / "words").mkdir()
    for code in ("de", "fr", "es", "it"):
        (tmp_path / "words" / f"en-{code}.tsv").write_text(f"sea\tMeer{code}\n")
    keys = ["--translator", "dictionary", "--dictionary", tmp_path / "words"]
    assert ask(*keys, settings="en,full_de")[0] == 0
    code, out = ask(*keys, settings="full_fr")
    info = json.loads((out / "run.json").read_text())
    assert code == 0 and set(info["records"]) == {"en", "full_de", "full_fr"} and len(info["sessions"]) == 2


def test_lines_of_a_question_are_translated_one_by_one():
    class Lines:
        identity = "causal"

        def translate(self, texts, source, target):
            assert (source, target) == ("de", "en") and not any("\n" in text for text in texts)
            return [text.upper() for text in texts]

    in_english = mitigate.mitigated.__globals__["in_english"]
    item = monolingual("1", "s", "", "eins\nzwei", ["a", "b"], "A", "de")
    (asked,) = in_english(Setting("full_de", [item], ""), Lines(), False).questions
    assert asked.question == "EINS\nZWEI" and asked.question_language == "de"
