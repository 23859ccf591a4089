"""A real model, where $CROSSLINGUAL_MODEL names one: more than chance, exact scores, memory as stated."""

import json
import os
import subprocess
import sys

import pandas as pd
import pytest
import torch

from common.lm.loading import load
from common.lm.loglikelihood import loglikelihood
from common.reporting.stats import wilson
from tests.scripts import load_script

pytestmark = pytest.mark.real_model


@pytest.fixture(scope="module")
def quiz_run(tmp_path_factory):
    """The model's run of the sample quiz: its name and the run folder."""
    model = os.environ.get("CROSSLINGUAL_MODEL")
    if not model:
        pytest.skip("no real model: set CROSSLINGUAL_MODEL to the folder or GGUF file of an instruction-tuned one")
    out = tmp_path_factory.mktemp("real") / "quiz"
    keys = ["--config", "HP/configs/quiz.yaml", "--data", "HP/data/sample.csv", "--settings", "en"]
    subprocess.run([sys.executable, "HP/evaluate_quiz.py", *keys, "--model", model, "--out", out], check=True)
    return model, out


def test_english_is_above_chance(quiz_run):
    records = pd.read_csv(quiz_run[1] / "en.csv")
    low, _ = wilson(int(records["correct"].sum()), len(records))
    assert low > 0.25


def test_the_tree_gives_what_one_prompt_at_a_time_gives(quiz_run):
    model, tokenizer = load(quiz_run[0], dtype="float32")
    task = load_script("HP/evaluate_quiz.py").QuizConfig(data="HP/data/sample.csv").task(None)
    settings = [task.read(name) for name in ("en", "mixup")]
    prompts = [prompt for setting in settings for prompt in setting.prompts(setting.questions[:3], "letter")]
    letters = [f" {letter}" for letter in "ABCD"]
    for prompt, found in zip(prompts, loglikelihood(model, tokenizer, prompts, letters), strict=True):
        with torch.inference_mode():
            logits = model(**tokenizer(prompt, return_tensors="pt")).logits[0, -1].log_softmax(-1)
        tokens = [int(tokenizer(prompt + letter).input_ids[-1]) for letter in letters]
        assert found == pytest.approx(logits[tokens].numpy(), abs=1e-3)


def test_memory_is_that_of_the_weights_and_little_more(quiz_run):
    name, out = quiz_run
    session = json.loads((out / "run.json").read_text())["sessions"][-1]
    weights = sum(parameter.numel() for parameter in load(name)[0].parameters())
    assert session["cuda_bytes"] or session["rss_bytes"] < 2 * weights * 1.1 + 2.5e9
