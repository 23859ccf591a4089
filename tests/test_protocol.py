"""`protocol: paper` is what the paper's code does: prompts to the character, one plain forward pass, the whole output.

Expected texts and rules are those of github.com/google-research/crosslingual-knowledge-barriers, commit 8060e7d:
MMLU/dataset/mmlu.py, mmlu_en_trans.py, MMLU/models/hf.py and HP/evaluate.py.
"""

import json
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from common.cli import InputError, config_hash
from common.evaluation import evaluate as evaluation
from common.evaluation.evaluate import EvaluationConfig, Task, base_of
from common.lm.loading import ModelConfig
from common.lm.server import Reply
from common.questions import monolingual, read_questions, write_questions
from common.settings import Setting
from tests.mmlu import LOGPROBS, write_variants
from tests.scripts import ROOT, call, load_script
from tests.tiny import always

answers = load_script("MMLU/answer_scorer.py")
mmlu = load_script("MMLU/evaluate_mmlu.py")
mitigate = load_script("MMLU/mitigate.py")
quiz = load_script("HP/evaluate_quiz.py")
tofu = load_script("TOFU/evaluate_tofu.py")
SAMPLE = ROOT / "HP" / "data" / "sample.csv"
PAPER = ("--protocol", "paper")

WURZELN = monolingual("q", "abstract_algebra", "", "Wie viele Wurzeln?", ("0", "1", "2", "Keine"), "B", "de")
GRUPPE = monolingual("d", "abstract_algebra", "", "Ist Z eine Gruppe?", ("Ja", "Nein", "Beides", "Nie"), "A", "de")
GROUP = monolingual("d", "abstract_algebra", "", "Is Z a group?", ("Yes", "No", "Both", "Never"), "A", "en")
INSTRUCTION = "The following are multiple choice questions (with answers) about  abstract algebra."


@pytest.fixture
def german(tmp_path):
    """One German question with one example, in the layout of build_variants.py."""
    write_questions(tmp_path / "german" / "full_de.csv", [WURZELN])
    write_questions(tmp_path / "german" / "dev" / "full_de.csv", [GRUPPE])
    write_questions(tmp_path / "german" / "dev" / "en.csv", [GROUP])
    return str(tmp_path / "german")


def prompts_of(task):
    setting = task.read("full_de")
    return setting.prompts(setting.questions, "letter")


def test_mmlu_zero_shot(german):
    assert prompts_of(mmlu.MmluConfig(data=german).task(None)) == [
        f"{INSTRUCTION}\n\nWie viele Wurzeln?\nA. 0\nB. 1\nC. 2\nD. Keine\nAnswer:"
    ]


def test_mmlu_few_shot(german):
    config = EvaluationConfig(out="o", protocol="paper")
    plain = mitigate.MmluConfig(data=german, num_fewshot=1)
    mitigated = mitigate.mitigated(plain, mitigate.MitigationConfig(), config, ModelConfig(model="m"))
    for task in (plain.task(None), mitigated):
        assert prompts_of(task) == [
            f"{INSTRUCTION}\n\n"
            "Ist Z eine Gruppe?\nA. Ja\nB. Nein\nC. Beides\nD. Nie\nAnswer: A\n\n"
            "Wie viele Wurzeln?\nA. 0\nB. 1\nC. 2\nD. Keine\nAnswer:"
        ]


def translate_self(german, protocol):
    fix = mitigate.MitigationConfig(write="translation")
    config = EvaluationConfig(out="o", protocol=protocol)
    return mitigate.mitigated(mitigate.MmluConfig(data=german, num_fewshot=1), fix, config, ModelConfig(model="m"))


def test_translate_then_answer_with_its_blanks(german):
    expected = (
        f"{INSTRUCTION} Remember that the question and options can be in different languages. First translate them all"
        " to English. Then output the answer.\n\n"
        "Question: Ist Z eine Gruppe?\nA. Ja\nB. Nein\nC. Beides\nD. Nie\nAnswer: \n"
        "Translate the question and options into English, and then answer.\n"
        "Question: Is Z a group?\nA. Yes\nB. No\nC. Both\nD. Never\nAnswer: A\n\n"
        "Question: Wie viele Wurzeln?\nA. 0\nB. 1\nC. 2\nD. Keine\nAnswer: \n"
        "Translate the question and options into English, and then answer.\n"
        "Question: "
    )
    assert prompts_of(translate_self(german, "paper")) == [expected]
    assert prompts_of(translate_self(german, "ours")) == [expected.replace("Answer: \n", "Answer:\n")[:-1]]
    assert mitigate.MitigationConfig().max_new_tokens == 256  # MMLU/scripts/intervention/llama3.sh


INSTRUCTIONS = {
    "en": "The following are multiple choice questions (with answers) about Harry Potter.",
    "full_de": "Im Folgenden finden Sie Multiple-Choice-Fragen (mit Antworten) zu Harry Potter.",
    "full_fr": "Vous trouverez ci-dessous des questions à choix multiples (avec réponses) sur Harry Potter.",
    "full_es": "Las siguientes son preguntas de opción múltiple (con respuestas) sobre Harry Potter.",
    "full_it": "Di seguito sono riportate domande a scelta multipla (con risposte) su Harry Potter.",
}


@pytest.mark.parametrize("name", INSTRUCTIONS)
def test_quiz_in_five_languages(name):
    setting = quiz.QuizConfig(data=str(SAMPLE)).task(None, "paper").read(name)
    for item, prompt in zip(setting.questions, setting.prompts(setting.questions, "letter"), strict=True):
        a, b, c, d = item.options
        expected = f"{INSTRUCTIONS[name]}\n\n{item.question}\nA. {a}\nB. {b}\nC. {c}\nD. {d}\nAnswer: "
        assert prompt == expected
    ours = quiz.QuizConfig(data=str(SAMPLE)).task(None, "ours").read(name)
    assert all(prompt.endswith("\nAnswer:") for prompt in ours.prompts(ours.questions, "letter"))


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_variants(tmp_path_factory.mktemp("variants"), ["law", "shared_birth"], questions=5)


@pytest.fixture
def ask(monkeypatch, tiny_checkpoint, data, tmp_path):
    """Run a script of MMLU/ or HP/ in this process; returns the exit code and the run folder."""

    def run(script, *keys, model=tiny_checkpoint, out="run", settings="en,mixup"):
        source = SAMPLE if script is quiz else data
        base = ["--model", model, "--data", source, "--out", tmp_path / out, "--settings", settings, "--device", "cpu"]
        return call(script, [*base, *keys], monkeypatch), tmp_path / out

    return run


def by_hand(checkpoint, dtype, prompts):
    """The loop of the paper's code; log-probabilities over the vocabulary [questions, 4], letters [questions]."""
    model = AutoModelForCausalLM.from_pretrained(checkpoint, dtype=getattr(torch, dtype)).eval()
    tokenizer = AutoTokenizer.from_pretrained(checkpoint)
    logprobs, letters = [], []
    for prompt in prompts:
        with torch.no_grad():
            logits = model(input_ids=tokenizer(prompt, return_tensors="pt").input_ids).logits[0, -1]
        target = torch.tensor([logits[tokenizer(letter).input_ids[-1]] for letter in "ABCD"]).float()
        letters.append("ABCD"[int(np.argmax(torch.softmax(target, dim=0).numpy()))])
        logprobs.append((target - logits.float().logsumexp(-1)).numpy())
    return np.array(logprobs), letters


@pytest.mark.parametrize("script", [mmlu, mitigate, quiz], ids=["mmlu", "mitigate", "quiz"])
def test_scores_equal_the_loop_of_the_papers_code(ask, monkeypatch, tiny_checkpoint, data, script):
    ours = pd.read_csv(ask(script, out="ours")[1] / "mixup.csv")
    monkeypatch.setattr("common.lm.loglikelihood._score_tree", None)  # no prefix tree
    code, out = ask(script, *PAPER)
    assert code == 0
    session = json.loads((out / "run.json").read_text())["sessions"][0]
    assert session["computed_tokens"] == session["prompt_tokens"] and session["tree_tokens"] == 0
    if script is quiz:
        task = quiz.QuizConfig(data=str(SAMPLE)).task(None, "paper")
    else:
        task = mmlu.MmluConfig(data=str(data)).task(None)
    for name in ("en", "mixup"):
        setting, records = task.read(name), pd.read_csv(out / f"{name}.csv")
        prompts = setting.prompts(setting.questions, "letter")
        logprobs, letters = by_hand(tiny_checkpoint, session["dtype"], prompts)
        assert np.abs(records[LOGPROBS].to_numpy() - logprobs).max() < 2e-5
        assert list(records["prediction"]) == letters
        assert list(records["correct"]) == [
            int(letter == item.answer) for letter, item in zip(letters, setting.questions, strict=True)
        ]
    assert np.abs(records[LOGPROBS] - ours[LOGPROBS]).max(axis=None) > 0.1  # the token after "Answer:" is another


@pytest.mark.parametrize(("script", "dtype"), [(mmlu, "float16"), (mitigate, "float16"), (quiz, "bfloat16")])
def test_precision(ask, monkeypatch, capsys, script, dtype):
    def used(able, *keys):
        monkeypatch.setitem(vars(evaluation), "cpu_multiplies", lambda dtype: able)
        capsys.readouterr()
        out = ask(script, *PAPER, *keys, "--limit", "1", settings="en", out=f"{able}{len(keys)}")[1]
        info = json.loads((out / "run.json").read_text())
        assert info["config"]["dtype"] == info["sessions"][0]["dtype"]
        return info["config"]["dtype"], capsys.readouterr().err.count(f"does not compute in {dtype}")

    assert used(True) == (dtype, 0)
    assert used(False) == ("float32", 1)
    assert used(False, "--dtype", "bfloat16") == ("bfloat16", 0)


def test_only_the_whole_output_counts():
    """The paper's code compares `pred == label`; ours reads the same texts by rule."""
    texts = ["A", "A.", "A\n", " A", "Answer: A", "a", "", "B"]
    items = [monolingual(str(n), "law", "", f"Which {n}?", ("w", "x", "y", "z"), "A", "en") for n in range(len(texts))]
    said = dict(zip((item.question for item in items), texts, strict=True))
    author = SimpleNamespace(device="cpu", dtype="float32", write=lambda asked, *_: [Reply(said[q]) for q in asked])
    setting = Setting("en", items, "", write_prompt=lambda item, _: item.question)
    correct = {}
    for whole in (True, False):
        records = answers.AnswerScorer(author, 8, whole=whole).records({"en": items}, {"en": setting})
        correct[whole] = list(records["correct"])
    assert correct[True] == [int(text == "A") for text in texts] == [1, 0, 0, 0, 0, 0, 0, 0]
    assert correct[False] == [1, 1, 1, 1, 1, 0, 0, 0]


TRANSLATE = ("--write", "translation", "--num_fewshot", "5")


def test_the_whole_output_of_a_model(ask, data, tmp_path):
    right = [int(item.answer == "A") for item in read_questions(data / "en.csv")]
    for text, expected in (("A", right), (" A", [0] * len(right))):  # ours counts both
        model = always(text, tmp_path / f"model{text}")
        _, out = ask(mitigate, *TRANSLATE, *PAPER, "--max_new_tokens", "1", model=model, out=f"run{text}")
        records = pd.read_csv(out / "en.csv", keep_default_na=False)
        assert list(records["correct"]) == expected and set(records["said"]) == {"A"}


def test_writing_is_sampled_with_our_seed_and_does_not_depend_on_what_came_before(ask, data, tiny_checkpoint):
    keys = (*TRANSLATE, *PAPER, "--max_new_tokens", "12", "--dtype", "float32")
    said = {
        name: list(pd.read_csv(ask(mitigate, *keys, *more, out=name, settings=settings)[1] / "mixup.csv")["said"])
        for name, more, settings in [
            ("first", (), "en,mixup"),
            ("alone", (), "mixup"),
            ("other", ("--seed", "43"), "mixup"),
        ]
    }
    assert said["first"] == said["alone"] != said["other"]

    model, tokenizer = (
        AutoModelForCausalLM.from_pretrained(tiny_checkpoint),
        AutoTokenizer.from_pretrained(tiny_checkpoint),
    )
    fix = mitigate.MitigationConfig(write="translation")
    paper = EvaluationConfig(out="o", protocol="paper")
    task = mitigate.mitigated(
        mitigate.MmluConfig(data=str(data), num_fewshot=5), fix, paper, ModelConfig(model=str(tiny_checkpoint))
    )
    setting = task.read("mixup")
    for prompt, text in zip(setting.prompts(setting.questions, "letter"), said["first"], strict=True):
        inputs = tokenizer(prompt, return_tensors="pt")
        torch.manual_seed(int(config_hash({"seed": 42, "prompt": prompt}), 16))
        new = model.generate(inputs.input_ids, attention_mask=inputs.attention_mask, max_new_tokens=12, do_sample=True)
        written = tokenizer.decode(new[0, inputs.input_ids.shape[1] :], skip_special_tokens=True)
        assert " ".join(written.split()) == text


def test_a_prompt_without_room_for_the_answer_is_named(ask, capsys):
    code, _ = ask(mitigate, *TRANSLATE, *PAPER, "--max_new_tokens", "2000", "--overlong", "error", settings="en")
    error = capsys.readouterr().err
    assert code == 2 and "questions of subject law: row 0: its prompt has" in error and "2000 more" in error


def test_records_of_ours_keep_their_hashes_and_those_of_the_two_never_mix(ask, german, capsys):
    depends = {"num_fewshot": 0, "labels": None, "hint": None}
    task = Task(["en"], lambda name: None, {}, depends, paper_dtype="float16")
    model = ModelConfig(model="endpoint:m")  # whose weights are identified by its name
    digests = {
        protocol: config_hash(base_of(task, EvaluationConfig(out="o", protocol=protocol), model))
        for protocol in ("ours", "paper")
    }
    assert digests["ours"] == "0564c7106bb7" != digests["paper"]  # as before there was a protocol
    added = translate_self(german, "paper").depends.items() - translate_self(german, "ours").depends.items()
    assert added == {("seed", 42)}

    ask(mmlu, "--answer_token", "bare", "--dtype", "float32")
    code, out = ask(mmlu, *PAPER, "--dtype", "float32", settings="en")
    assert code == 2 and "mixup.csv: from another configuration" in capsys.readouterr().err
    assert ask(mmlu, *PAPER, "--dtype", "float32")[0] == 0
    info = json.loads((out / "run.json").read_text())
    assert info["config"]["protocol"] == "paper" and info["config"]["answer_token"] == "bare"
    assert len(info["sessions"]) == 1 and info["sessions"][0]["questions"] == 20  # nothing was taken over


@pytest.mark.parametrize(
    ("script", "keys", "said"),
    [
        (mmlu, ["--model", "endpoint:m"], "model endpoint:m: protocol paper needs the model itself; use protocol ours"),
        (quiz, ["--model", "chat:m"], "model chat:m: protocol paper needs the model itself; use protocol ours"),
        (mitigate, ["--model", "chat:m", "--write", "translation"], "protocol paper needs the model itself"),
        (mmlu, ["--answer_format", "text"], "protocol paper: leave answer_format letter and chat false"),
        (quiz, ["--chat"], "protocol paper: leave answer_format letter and chat false"),
        (mitigate, ["--write", "xlt"], "the paper's code has no write xlt; use protocol ours"),
        (quiz, ["--languages", "en,pt"], "the paper's code has no pt; use en, de, fr, es, it"),
        (tofu, ["--limit", "1"], "it is known for MMLU and the quiz only; use protocol ours"),
    ],
)
def test_what_the_papers_code_has_not_is_refused_in_one_sentence(ask, capsys, script, keys, said):
    code, out = ask(script, *PAPER, *keys)
    error = capsys.readouterr().err
    assert code == 2 and said in error and error.count("\n") == 1 and not out.exists()


def test_nothing_is_drawn_from_nan():
    protocol = load_script("MMLU/mmlu_protocol.py")
    scores = torch.tensor([[0.0, 1.0]])
    assert protocol.refuse_nan(None, scores) is scores
    with pytest.raises(InputError, match="the model gives NaN; try --dtype float32"):
        protocol.refuse_nan(None, torch.tensor([[0.0, float("nan")]]))
