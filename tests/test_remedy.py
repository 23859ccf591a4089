"""FT/scripts/remedy.sh: seeds, tokens, measures, plan; report/tabulate_remedies.py and FT/perplexity.py."""

import json
import math
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from common.cli import get
from common.reporting import provenance
from common.reporting.stats import paired_bootstrap
from tests.mmlu import rewrite, write_run
from tests.scripts import ROOT, call, load_script
from tests.test_scripts import bash, calls, copy, edit, trained
from tests.tiny import sentencepiece_tokenizer, tiny_llama

assert copy  # a fixture
script = load_script("report/tabulate_remedies.py")
layers = load_script("report/tabulate_layers.py")
perplexity = load_script("FT/perplexity.py")
REMEDY = "FT/scripts/remedy.sh"


def of(made, program):
    return [call[1:] for call in made if call[0] == program]


def test_every_seed_has_a_folder_and_the_questions_are_the_same(copy):
    results = copy.parent / "results"
    made = calls(copy, REMEDY, ARMS="en,word", SEEDS="7,8", RESULTS=results)
    assert [get("seed", call) for call in of(made, "FT/train.py")] == ["7", "7", "8", "8"]
    assert [get("seed", call) for call in of(made, "FT/mix.py")] == ["7", "7", "8", "8"]
    assert {get("cache", call) for call in of(made, "FT/mix.py")} == {f"{results}/translations.sqlite"}
    asked = of(made, "MMLU/evaluate_mmlu.py")
    outs = [f"records/{'none'}", *(f"seed_{seed}/records/{arm}" for seed in (7, 8) for arm in ("en", "word"))]
    assert [get("out", call) for call in asked] == [f"{results}/{out}" for out in outs]
    assert {get("data", call) for call in asked} == {f"{results}/variants"}
    assert [get("seed", call) for call in of(made, "MMLU/build_variants.py")] == [""]
    tables = [get("arms", call) for call in of(made, "FT/tabulate_arms.py")]
    assert len(tables) == 2 and all(f"none={results}/records/none" in table for table in tables)
    assert (
        get("tables", of(made, "FT/finding.py")[-1]) == f"7={results}/seed_7/remedy.csv,8={results}/seed_8/remedy.csv"
    )
    assert get("runs", of(made, "report/tabulate_remedies.py")[0]).endswith(f"={results}")


def test_one_seed_lies_where_it_always_did(copy):
    results = copy.parent / "results"
    made = calls(copy, REMEDY, ARMS="en,word", SEED=5, RESULTS=results)
    assert {get("seed", call) for call in of(made, "FT/train.py")} == {"5"}
    assert {Path(get("out", call)).parent for call in of(made, "MMLU/evaluate_mmlu.py")} == {results / "records"}
    assert len(of(made, "FT/finding.py")) == 1
    assert trained(calls(copy, "FT/scripts/seeds.sh", SEEDS="1,2")) == ["en", "word"]


def test_tokens_are_those_of_every_arm(copy):
    keys = ["--protocol", "ours", "--batch_size", 2, "--accumulation", 4]
    steps = {
        get("max_steps", call)
        for row in (["--row_length", 512], [])
        for call in of(calls(copy, REMEDY, "", *keys, *row, TOKENS=100_000, ARMS="en,word"), "FT/train.py")
    }
    edit(copy / "FT/configs/world.yaml", row_length="null")
    made = of(calls(copy, REMEDY, "", *keys, TOKENS=100_000, ARMS="en,word"), "FT/train.py")
    assert {get("max_steps", call) for call in made} == {"13"} and steps == {"25", "131"}
    for more, variables, said in (
        (["--protocol", "paper"], {}, "TOKENS: for rows that are full"),
        ([], {"LAUNCH": "env python"}, "without LAUNCH"),
        ([], {"TOKENS": "many"}, "TOKENS is many"),
    ):
        variables = {"TOKENS": 1000, "PYTHON": copy.parent / "python"} | variables
        done = bash(copy, REMEDY, "", *more, DATA_CONFIG=copy.parent / "data.yaml", **variables)
        assert done.returncode == 2 and said in done.stderr, done.stderr


def test_limit_measures_and_settings_reach_every_step(copy):
    (copy / "mine.yaml").write_text("settings: en,mixup\nanswer_format: text\n")
    variables = {"ARMS": "en,word", "MEASURES": "x_geo,perplexity,translation,mexa", "EVALUATE": "mine.yaml"}
    made = calls(copy, REMEDY, "", "--limit", 3, "--method", "lora", RESULTS=copy.parent / "r", **variables)
    programs = ("FT/mix.py", "MMLU/evaluate_mmlu.py", "HP/evaluate_quiz.py", "FT/perplexity.py")
    for program in (*programs, "Translation/translate.py"):
        assert of(made, program) and {get("limit", call) for call in of(made, program)} == {"3"}, program
    assert {get("method", call) for call in of(made, "FT/train.py")} == {"lora"}
    assert all("--limit" not in call for call in of(made, "FT/train.py"))
    asked = of(made, "MMLU/evaluate_mmlu.py") + of(made, "HP/evaluate_quiz.py")
    settings = {("en,full" if "/x_geo/" in get("out", call) else "en,mixup", get("settings", call)) for call in asked}
    assert settings == {("en,full",) * 2, ("en,mixup",) * 2} and len(asked) == 9
    assert {get("answer_format", call) for call in asked} == {"text"}
    assert [get("texts", call) for call in of(made, "FT/perplexity.py")] == ["perplexity_texts_data"] * 3
    assert [Path(get("out", call)).name for call in of(made, "Translation/translate.py")] == ["none", "en", "word"]
    aligned = of(made, "Translation/mexa.py")
    assert [(Path(get("out", call)).name, get("count", call)) for call in aligned] == [
        ("none", "3"), ("en", "3"), ("word", "3")
    ]  # fmt: skip
    assert get("runs", of(made, "report/tabulate_layers.py")[0]).endswith(f"={copy.parent / 'r'}")


@pytest.mark.parametrize("script", ["arms", "switch_rate", "anchor"])
def test_every_script_of_arms_takes_a_limit(copy, script):
    made = calls(copy, f"FT/scripts/{script}.sh", "", "--limit=3", RESULTS=copy.parent / "r")
    for program in ("MMLU/evaluate_mmlu.py", "HP/evaluate_quiz.py", *["FT/mix.py"] * (script != "anchor")):
        assert of(made, program) and {get("limit", call) for call in of(made, program)} == {"3"}, program
    assert not [call for call in of(made, "FT/train.py") + of(made, "FT/anchor.py") if "--limit" in " ".join(call)]
    done = bash(copy, f"FT/scripts/{script}.sh", "", "--limit", "0", PYTHON=copy.parent / "python")
    assert done.returncode == 2 and "--limit is '0'" in done.stderr


@pytest.mark.parametrize(
    ("variables", "keys", "said"),
    [
        ({"SEEDS": "1,x"}, [], "SEEDS is 1,x"),
        ({"MEASURES": "x_goe"}, [], "no measure 'x_goe' in MEASURES"),
        ({}, ["--limit", "0"], "--limit is '0'"),
        ({}, ["--limit"], "--limit is ''"),
    ],
)
def test_what_it_cannot_read_is_named_before_anything_runs(copy, variables, keys, said):
    done = bash(copy, REMEDY, "", *keys, PYTHON=copy.parent / "python", **variables)
    assert done.returncode == 2 and said in done.stderr and not (copy.parent / "calls").exists()


def test_perplexity_of_no_files_is_refused_before_anything_is_trained(copy):
    data = copy.parent / "data.yaml"
    data.write_text(data.read_text().replace("perplexity_texts: perplexity_texts_data", "perplexity_texts: null"))
    made = {"PYTHON": copy.parent / "python", "DATA_CONFIG": data, "MEASURES": "perplexity"}
    done = bash(copy, REMEDY, **made)
    assert done.returncode == 2 and "perplexity, which is that of files" in done.stderr
    assert "FT/train.py" not in (copy.parent / "calls").read_text()
    (copy.parent / "flores_data").mkdir()
    assert calls(copy, REMEDY, **made)


def test_a_plan_trains_nothing_and_asks_the_model_before_training(copy):
    results = copy.parent / "results"
    (results / "seed_1/models/en").mkdir(parents=True)
    (results / "seed_1/models/en/run.json").write_text("{}")
    done = {"ARMS": "en,word", "SEEDS": "1", "RESULTS": results, "PLAN": "1"}
    made = calls(copy, REMEDY, **done)
    assert not of(made, "FT/train.py") and not of(made, "FT/mix.py") and not of(made, "report/tabulate_remedies.py")
    asked = [get("model", call) for call in of(made, "MMLU/evaluate_mmlu.py")]
    assert asked == ["assets/world", f"{results}/seed_1/models/en", "assets/world"]
    said = bash(copy, REMEDY, DATA_CONFIG=copy.parent / "data.yaml", **done | {"PYTHON": copy.parent / "python"})
    assert said.stdout.splitlines() == [f"to train: {results}/seed_1/models/word"]


# The table.


def answers(folder: Path, change: dict[str, float], questions: int = 80) -> None:
    """A run folder in which a share of the wrong answers of every setting is made right, or of the right ones wrong."""
    write_run(folder, 0, 0.5)
    found = provenance.read_run(folder)
    for setting in found["records"]:
        path = folder / f"{setting}.csv"
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
        share = change.get("en" if setting == "en" else "other", 0.0)
        rows = table.index[table["correct"] == ("0" if share > 0 else "1")]
        rows = rows[: round(abs(share) * len(rows))]
        table.loc[rows, "correct"] = "1" if share > 0 else "0"
        table.loc[rows, "prediction"] = table.loc[rows, "answer"] if share > 0 else "B"
        table.loc[rows, "logprob_A"] = "-0.5" if share > 0 else "-9.0"
        table.to_csv(path, index=False)
        found["records"][setting]["sha256"] = provenance.file_digest(path)
    rewrite(folder, records=found["records"])


def model(folder: Path, arms: dict[str, dict[str, float]], seeds: int = 3) -> Path:
    """The results of a model as remedy.sh writes them."""
    for path in [folder / "records/none"] + [
        folder / f"seed_{seed}" / "records" / arm for seed in range(seeds) for arm in arms
    ]:
        path.mkdir(parents=True)
        answers(path, arms.get(path.name, {}))
    for seed in range(seeds):
        for arm in arms:
            trained = folder / f"seed_{seed}/models/{arm}"
            trained.mkdir(parents=True)
            times = {"start": "2026-01-01T00:00:00+00:00", "end": f"2026-01-01T00:0{seed + 1}:00+00:00"}
            provenance.write_run(trained, times | {"hash": "1" * 12, "config": {"model": "m"}})
            pd.DataFrame({"step": [1, 2], "tokens": [500, 1000]}).to_csv(trained / "log.csv", index=False)
            corpora = folder / f"seed_{seed}/corpora"
            corpora.mkdir(exist_ok=True)
            summary = {"language": ["en", "de", "all"], "word_share": [0.2, 0.8, 1.0]}
            summary["untranslated_share"] = [None, 0.25, 0.2]
            pd.DataFrame(summary).to_csv(corpora / f"{arm}.jsonl.summary.csv", index=False)
    return folder


def tabulate(folder, monkeypatch, *keys) -> pd.DataFrame:
    assert call(script, ["--out", folder / "all", *keys], monkeypatch) == 0
    return pd.read_csv(folder / "all.csv").set_index(["model", "arm", "column"])


GOOD = {"en": {"other": -0.2}, "words": {"other": 0.6}}
BAD = {"en": {"other": 0.3}, "words": {"en": -0.3, "other": -0.4}}


def test_arms_and_seeds_may_be_chosen(tmp_path, monkeypatch):
    folder = model(tmp_path / "m", GOOD | {"document": {}})
    for kind in ("records", "models", "corpora"):
        shutil.copytree(folder / "seed_0" / kind, folder / kind, dirs_exist_ok=True)
    keys = ["--runs", f"m={folder}", "--held_out", "it"]
    assert {arm for _, arm, _ in tabulate(tmp_path, monkeypatch, *keys).index} == {"en", "document", "words"}
    table = tabulate(tmp_path, monkeypatch, *keys, "--arms", "en,words", "--seeds", "0,2")
    assert {arm for _, arm, _ in table.index} == {"en", "words"} and set(table["seeds"]) == {2}
    table = tabulate(tmp_path, monkeypatch, *keys, "--arms", "en,words", "--seeds", "")
    assert set(table["seeds"]) == {1} and {arm for _, arm, _ in table.index} == {"en", "words"}
    assert call(script, ["--out", tmp_path / "all", *keys, "--arms", "en,anchor"], monkeypatch) == 2


def test_opposite_numbers_have_opposite_verdicts(tmp_path, monkeypatch):
    good, bad = model(tmp_path / "good", GOOD), model(tmp_path / "bad", BAD)
    table = tabulate(tmp_path, monkeypatch, "--runs", f"good={good},bad={bad}", "--held_out", "it")
    rows = table.loc["good", "words", "full"], table.loc["bad", "words", "full"]
    assert rows[0]["change_low"] > 0 > rows[1]["change_high"] and rows[0]["n"] == 80 and rows[0]["seeds"] == 3
    assert rows[0]["change"] == pytest.approx(rows[0]["after"] - rows[0]["before"], abs=1e-6)
    assert rows[0]["against_en_low"] > rows[0]["change_low"] and rows[1]["against_en_high"] < rows[1]["change"]
    assert rows[0]["gap_closed"] == pytest.approx(rows[0]["change"] / (1 - rows[0]["before"]), abs=1e-6)
    assert (rows[0]["tokens"], rows[0]["seconds"], rows[0]["translated"]) == pytest.approx((1000, 120, 0.6))
    assert np.isnan(table.loc["good", "en", "full"]["against_en"])
    assert {column for _, _, column in table.index} == {"mixup", "full", "en", "full_held_out"}
    text = (tmp_path / "all.md").read_text()
    both = "an interval over seeds and questions above 0, on mixup in 2 of 4 (words on good, en on bad)"
    assert f"{both} and on full in 2 of 4 (words on good, en on bad) cases." in text
    assert "Against English-only text the same is so on full in 1 of 2 (words on good) cases." in text
    assert "Accuracy in English falls in 1 of 4 (words on bad)" in text
    assert "no fall of English that can be shown in 1 of 4 (words on good)." in text
    assert json.loads((tmp_path / "all.provenance.json").read_text())["sentence"] in text
    assert (tmp_path / "all.png").exists()


def test_one_seed_has_the_interval_of_its_questions(tmp_path, monkeypatch):
    folder = tmp_path / "one"
    for path, change in (("none", {}), ("en", {"other": -0.2}), ("words", {"other": 0.6})):
        (folder / "records" / path).mkdir(parents=True)
        answers(folder / "records" / path, change)
    table = tabulate(tmp_path, monkeypatch, "--runs", f"one={folder}", "--subjects", "one=english_only")
    row = table.loc["one", "words", "mixup"]
    after, before = (pd.read_csv(folder / "records" / arm / "mixup.csv") for arm in ("words", "none"))
    own = after["subject"].str.startswith("english_only")
    expected = paired_bootstrap(after["correct"][own], before["correct"][own], seed=42)
    assert (row["change"], row["change_low"], row["change_high"]) == pytest.approx(expected, abs=1e-6)
    assert row["n"] == 40 and row["seeds"] == 1 and "tokens" not in table
    assert "an interval over questions above 0" in (tmp_path / "all.md").read_text()


def write_lines(folder: Path, better: float) -> None:
    folder.mkdir(parents=True)
    # The last line, which German lacks, is longer.
    rows = [
        (code, n, 10 + 50 * (n > 4), -30.0 + better * (code != "en")) for code in ("en", "de", "fr") for n in range(6)
    ]
    table = pd.DataFrame(rows, columns=["language", "line", "tokens", "logprob"])
    table[(table["language"] != "de") | (table["line"] < 5)].to_csv(folder / "lines.csv", index=False)
    provenance.write_run(folder, {"hash": "2" * 12, "config": {"model": "m"}})


def test_perplexity_and_translation_are_changes_too(tmp_path, monkeypatch):
    folder = model(tmp_path / "m", GOOD, seeds=1)
    for arm, place, better in (
        ("none", folder, 0.0),
        ("en", folder / "seed_0", -5.0),
        ("words", folder / "seed_0", 5.0),
    ):
        write_lines(place / "perplexity" / arm, better)
        systems = place / "translation" / arm / "systems" / arm
        systems.mkdir(parents=True)
        provenance.write_run(systems, {"hash": "3" * 12, "config": {"model": "m"}})
        rows = [(arm, name, line, 40.0 + better) for name in ("en-de", "de-en") for line in range(4)]
        scores = pd.DataFrame(rows, columns=["system", "direction", "sentence", "chrf"])
        scores.to_csv(place / "translation" / arm / "scores.sentences.csv", index=False)
    table = tabulate(tmp_path, monkeypatch, "--runs", f"m={folder}")
    assert table.loc["m", "words", "perplexity_other"]["change"] == pytest.approx(0.5)  # nats a token
    assert table.loc["m", "words", "perplexity_en"]["change"] == 0
    assert table.loc["m", "words", "perplexity_other"]["n"] == 5  # lines of both languages
    assert table.loc["m", "en", "translation"]["change"] == pytest.approx(-0.05)
    text = (tmp_path / "all.md").read_text()
    assert f"{100 * (math.exp(-0.5) - 1):+.1f}% [" in text and "-5.0 [-5.0, -5.0]" in text
    table = tabulate(tmp_path, monkeypatch, "--runs", f"m={folder}", "--held_out", "fr")
    assert table.loc["m", "words", "perplexity_held_out"]["n"] == 6  # of French alone, which has the longer line
    assert table.loc["m", "words", "perplexity_other"]["change"] == pytest.approx(0.5)  # of German alone


@pytest.mark.parametrize(
    ("break_it", "said"),
    [
        (lambda folder: shutil.rmtree(folder / "records"), "no records of none in English"),
        (lambda folder: shutil.rmtree(folder / "seed_1/records/words"), "no trained arms, or not the same"),
        (lambda folder: (folder / "seed_1/records/words/full_de.csv").write_text("x"), "full_de.csv"),
        (lambda folder: shutil.rmtree(folder), "no records of none"),
    ],
)
def test_results_that_do_not_fit_end_in_a_sentence(tmp_path, monkeypatch, capsys, break_it, said):
    folder = model(tmp_path / "m", GOOD, seeds=2)
    break_it(folder)
    assert call(script, ["--out", tmp_path / "all", "--runs", f"m={folder}"], monkeypatch) == 2
    assert said in capsys.readouterr().err and not list(tmp_path.glob("all*"))


# Alignment by layer.


def write_alignment(folder: Path, shares: list[float], sentences: int = 40) -> None:
    """Sentences of two languages, a share of which is aligned with English in each layer."""
    folder.mkdir(parents=True)
    rows = [
        (code, layer, n + 1, int(n < share * sentences))
        for code in ("de", "fr")
        for layer, share in enumerate(shares)
        for n in range(sentences)
    ]
    table = pd.DataFrame(rows, columns=["language", "layer", "sentence", "aligned"])
    table.to_csv(folder / "sentences.csv", index=False)
    provenance.write_run(folder, {"hash": "4" * 12, "config": {"model": "m"}})


def test_alignment_is_set_beside_accuracy_layer_by_layer(tmp_path, monkeypatch, capsys):
    arms = {"en": {"other": -0.4}, "words": {"other": 0.6}, "middle": {}, "anchor": {"other": 0.3}}
    folder = model(tmp_path / "a {0} {x}", arms, seeds=2)
    shares = {"en": [0.4, 0.5], "words": [0.5, 0.9], "middle": [0.5, 1.0], "anchor": [0.5, 0.6]}
    keys = ["--runs", f"m={folder}", "--out", tmp_path / "layers"]
    assert call(layers, keys, monkeypatch) == 2 and "no alignment of none" in capsys.readouterr().err
    write_alignment(folder / "mexa/none", [0.5, 0.6])
    for seed in range(2):
        for arm, own in shares.items():
            write_alignment(folder / f"seed_{seed}/mexa" / arm, own)
    table = tabulate(tmp_path, monkeypatch, "--runs", f"m={folder}")
    assert table.loc["m", "words", "mexa"]["change"] == pytest.approx(0.15) and table.loc["m", "en", "mexa"]["n"] == 40
    capsys.readouterr()
    assert call(layers, keys, monkeypatch) == 0
    said = capsys.readouterr().out
    found = pd.read_csv(tmp_path / "layers.csv").set_index(["arm", "layer"])
    assert list(found.loc["words", "change"].round(6)) == [0.15, 0.0, 0.3] and len(found) == 4 * 3
    assert list(found.loc["en", "after"].round(6)) == [0.45, 0.4, 0.5]
    alike = table.loc["m", "words", "full"]
    assert found.loc["words", "all"]["accuracy_change"] == pytest.approx(alike["change"], abs=1e-6)
    assert found.loc["words", "all"]["accuracy_change_low"] == pytest.approx(alike["change_low"], abs=1e-6)
    assert found.loc["words", "1"]["change_low"] > 0 >= found.loc["anchor", "1"]["change_low"]
    assert "On m alignment rises, mean over layers, with words, middle; accuracy with words, anchor." in said
    # Ranks 1, 3, 4, 2 of alignment and 1, 4, 2, 3 of accuracy.
    assert "Over 4 arms the ranks of the two correlate by 0.40" in said and (tmp_path / "layers.png").exists()


# Perplexity.


@pytest.fixture
def texts(tmp_path):
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts/en.devtest").write_text("The river is long.\nThe hill is high.\n\nA town.\n")
    (tmp_path / "texts/de.test.txt").write_text("Der Fluss ist lang.\n")
    return tmp_path / "texts"


def test_log_probabilities_of_lines_are_those_of_the_model(texts, tmp_path, tiny_checkpoint, monkeypatch, capsys):
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    keys = ["--model", tiny_checkpoint, "--texts", texts, "--out", tmp_path / "out", "--dtype", "float32"]
    assert call(perplexity, keys, monkeypatch) == 0
    table = pd.read_csv(tmp_path / "out/lines.csv")
    assert list(table["language"]) == ["en"] * 3 + ["de"] and list(table["line"]) == [0, 1, 2, 0]
    tokenizer = AutoTokenizer.from_pretrained(tiny_checkpoint)
    ids = tokenizer("\nThe hill is high.", return_tensors="pt").input_ids
    start = len(tokenizer("\n").input_ids)
    with torch.no_grad():
        loaded = AutoModelForCausalLM.from_pretrained(tiny_checkpoint, dtype=torch.float32)
        scores = loaded(ids).logits[0].log_softmax(-1)
    slow = sum(scores[place - 1, ids[0, place]].item() for place in range(start, ids.shape[1]))
    assert table["logprob"][1] == pytest.approx(slow, abs=1e-3) and table["tokens"][1] == ids.shape[1] - start
    before = (tmp_path / "out/lines.csv").stat().st_mtime_ns
    assert call(perplexity, keys, monkeypatch) == 0 and (tmp_path / "out/lines.csv").stat().st_mtime_ns == before
    capsys.readouterr()
    assert call(perplexity, [*keys, "--limit", 1], monkeypatch) == 2 and "delete it" in capsys.readouterr().err
    assert call(perplexity, [*keys, "--texts", tmp_path], monkeypatch) == 2
    assert "no files such as en.test.txt" in capsys.readouterr().err


def test_lines_that_one_language_lacks_are_said(texts, tmp_path, tiny_checkpoint, monkeypatch, capsys):
    keys = ["--model", tiny_checkpoint, "--texts", texts, "--dtype", "float32", "--out"]
    assert call(perplexity, [*keys, tmp_path / "tail"], monkeypatch) == 0 and "note" not in capsys.readouterr().err
    (texts / "de.test.txt").write_text("Der Fluss ist lang.\n\nEin Tal.\nEine Stadt.\n")
    assert call(perplexity, [*keys, tmp_path / "out"], monkeypatch) == 0
    said = capsys.readouterr().err
    assert "de.test.txt: line 2 is empty, in another" in said and "en.devtest: line 3 is empty" in said


def test_a_dummy_prefix_counts_as_no_token(texts, tmp_path, monkeypatch):
    """SentencePiece puts "▁" before a text, and none behind a line end."""
    tokenizer = sentencepiece_tokenizer(tmp_path)
    tokenizer.save_pretrained(tmp_path / "model")
    tiny_llama(len(tokenizer)).save_pretrained(tmp_path / "model")
    keys = ["--model", tmp_path / "model", "--texts", texts, "--out", tmp_path / "out"]
    assert call(perplexity, keys, monkeypatch) == 0
    counted = pd.read_csv(tmp_path / "out/lines.csv")["tokens"].tolist()
    lines = ["The river is long.", "The hill is high.", "A town.", "Der Fluss ist lang."]
    before = len(tokenizer("\n", add_special_tokens=False).input_ids)
    assert counted == [len(tokenizer(f"\n{line}", add_special_tokens=False).input_ids) - before for line in lines]


def test_a_model_without_numbers_has_no_perplexity(texts, tmp_path, tiny_checkpoint, monkeypatch, capsys):
    def no_numbers(model, tokenizer, prompts, continuations, **_):
        return np.full((len(prompts), 1), np.nan)

    monkeypatch.setitem(perplexity.measure.__globals__, "loglikelihood", no_numbers)
    keys = ["--model", tiny_checkpoint, "--texts", texts, "--out", tmp_path / "out", "--device", "cpu"]
    assert call(perplexity, keys, monkeypatch) == 2
    assert "line 0: the model gives NaN; try --dtype float32" in capsys.readouterr().err
    assert not (tmp_path / "out" / "run.json").exists()


def test_it_is_planned(texts, tmp_path, tiny_checkpoint, monkeypatch, capsys):
    monkeypatch.setenv("PLAN", "1")
    keys = ["--model", tiny_checkpoint, "--texts", texts, "--out", tmp_path / "out"]
    assert call(perplexity, keys, monkeypatch) == 0
    assert json.loads(capsys.readouterr().out.removeprefix("plan: "))["items"] == 4 and not (tmp_path / "out").exists()


def test_the_yaml_for_small_models_is_read():
    assert "answer_format: text" in (ROOT / "FT/configs/evaluate_text.yaml").read_text()


def test_arms_that_align_get_their_pairs(copy):
    results = copy.parent / "results"
    made = calls(copy, REMEDY, ARMS="en,middle,pairs", RESULTS=results)
    english, middle, pairs = of(made, "FT/train.py")
    assert get("align", english) == ""
    assert (get("align", middle), get("align_data", middle)) == ("middle", f"{results}/corpora/parallel.jsonl")
    assert get("align", pairs) == "words" and Path(get("align_data", pairs)).name == "dictionaries_data"
    layouts = {
        Path(get("out", call)).stem: (get("layout", call), get("probability", call)) for call in of(made, "FT/mix.py")
    }
    assert layouts["middle"][1] == "0" and layouts["parallel"][0] == "parallel" and layouts["pairs"][1] == "0.05"


def test_words_are_moved_in_the_languages_of_the_text(copy):
    results = copy.parent / "results"
    variables = {"ARMS": "en,anchor,pairs", "SEEDS": "1,2", "LANGUAGES": "en,de", "RESULTS": results}
    made = calls(copy, REMEDY, **variables)
    anchored, trained = of(made, "FT/anchor.py"), of(made, "FT/train.py")
    assert [get("out", call) for call in anchored] == [f"{results}/seed_{seed}/models/anchor" for seed in (1, 2)]
    assert {get("languages", call) for call in anchored} == {"en,de"}
    assert {Path(get("dictionary", call)).name for call in anchored} == {"dictionaries_data"}
    assert [get("align_languages", call) for call in trained if get("align", call)] == ["en,de"] * 2
    asked = [get("model", call) for call in of(made, "MMLU/evaluate_mmlu.py")]
    assert f"{results}/seed_2/models/anchor" in asked
    edit = copy / "FT/configs/mix.yaml"
    edit.write_text(edit.read_text().replace("languages: en,de,fr,es,it", "languages: en,it"))
    (pairs,) = [call for call in of(calls(copy, REMEDY, ARMS="en,pairs", RESULTS=results / "b"), "FT/train.py")][1:]
    assert get("align_languages", pairs) == "en,it"


@pytest.mark.parametrize("arm", ["pairs", "anchor"])
def test_arms_of_dictionaries_need_them_before_anything_is_trained(copy, arm):
    path, log = copy.parent / "data.yaml", copy.parent / "calls"
    path.write_text(path.read_text().replace("dictionaries: dictionaries_data", "dictionaries: null"))
    keys = {"PYTHON": copy.parent / "python", "DATA_CONFIG": path, "RESULTS": copy.parent / "results"}
    done = bash(copy, REMEDY, ARMS=f"en,{arm}", **keys)
    assert done.returncode == 2 and "dictionaries" in done.stderr and "FT/train.py" not in log.read_text()
    if arm == "anchor":
        edit(copy / "FT/configs/anchor.yaml", dictionary="mine")
        assert {get("dictionary", call) for call in of(calls(copy, REMEDY, ARMS="en,anchor"), "FT/anchor.py")} == {
            "mine"
        }


def test_anchored_words_are_asked_as_the_caller_says(copy):
    shutil.copy(copy / "FT/configs/evaluate_text.yaml", copy / "mine.yaml")
    results = copy.parent / "results"
    made = calls(copy, "FT/scripts/anchor.sh", WEIGHTS="0.25,1", EVALUATE="mine.yaml", RESULTS=results)
    assert [get("weight", call) for call in of(made, "FT/anchor.py")] == ["0.25", "1"]
    asked = of(made, "MMLU/evaluate_mmlu.py")
    names = ("none", "anchor_0.25", "anchor_1")
    assert [get("out", call) for call in asked] == [f"{results}/records/{name}" for name in names]
    assert {get("answer_format", call) for call in asked} == {"text"}


def test_more_than_half_of_the_gap_is_closed_where_chance_would_not():
    row = {"model": "m", "column": "full", "seeds": 1, "change_low": 0.1, "change_high": 0.3, "gap_closed": 0.6}
    for low, cases in ((0.1, "1 of 1 (a on m)"), (-0.1, "0 of 1")):
        rows = [row | {"arm": "a", "gap_closed_low": low}, {**row, "arm": "a", "column": "en", "gap_closed": np.nan}]
        assert f"no fall of English that can be shown in {cases}." in script.verdict(pd.DataFrame(rows))


def test_preferences_are_made_of_examples_that_no_arm_is_asked(copy):
    results = copy.parent / "results"
    keys = ["--protocol", "ours", "--save_steps", 10]
    made = calls(copy, REMEDY, "", *keys, ARMS="en,dpo", TOKENS=1000, SEEDS="1,2", DTYPE="float32", RESULTS=results)
    voted = [call for call in of(made, "MMLU/evaluate_mmlu.py") if get("out", call) == f"{results}/votes"]
    assert {(get("data", call), get("settings", call), get("dtype", call)) for call in voted} == {
        (f"{results}/variants/dev", "en,full", "float32")
    }
    pairs = of(made, "FT/consistency_pairs.py")
    assert {(get("records", call), get("out", call)) for call in pairs} == {
        (f"{results}/votes", f"{results}/corpora/dpo.jsonl")
    }
    text, preferred = of(made, "FT/train.py")[:2]
    assert get("objective", text) == "lm" and get("max_steps", text) != ""
    assert [get(key, preferred) for key in ("objective", "method", "max_steps")] == ["dpo", "lora", ""]
    assert [get(key, preferred) for key in ("save_steps", "seed", "data")] == [
        "10",
        "1",
        f"{results}/corpora/dpo.jsonl",
    ]
    assert get("model", preferred) == get("model", text)
    assert get("eval_data", text) != "" and get("eval_data", preferred) == "", "preferences are no corpus"


def test_keys_that_a_yaml_leaves_out_are_the_defaults(copy):
    lines = (copy / "FT/configs/lora.yaml").read_text().splitlines(keepends=True)
    left_out = ("seed:", "batch_size:", "accumulation:", "protocol:", "row_length:")
    (copy / "mine.yaml").write_text("".join(line for line in lines if not line.startswith(left_out)))
    edit(copy / "mine.yaml", device="cpu", processes="3")
    keys = {"CONFIG": "mine.yaml", "ARMS": "en,dpo", "TOKENS": 100_000, "RESULTS": copy.parent / "results"}
    made = calls(copy, REMEDY, "", **keys)
    text, preferred = of(made, "FT/train.py")
    assert get("max_steps", text) == "7", "of 2 times 8 rows of 1,024"
    assert [get(key, preferred) for key in ("device", "processes", "seed")] == ["cpu", "3", "42"]
    assert {get("tables", call).partition("=")[0] for call in of(made, "FT/finding.py")} == {"42"}


def test_an_arm_looks_the_same_on_every_model():
    rows = [{"model": "small", "arm": arm} for arm in ("en", "document", "words")]
    rows += [{"model": "large", "arm": arm} for arm in ("en", "words")]
    numbers = {"column": "mixup", "change": 0.01, "change_low": 0.0, "change_high": 0.02}
    figure = script.plot_remedies(pd.DataFrame([row | numbers for row in rows]))
    small, large = (
        dict(zip(names, [mark.lines[0] for mark in marks], strict=True))
        for marks, names in (axis.get_legend_handles_labels() for axis in figure.axes)
    )
    assert set(small) == {"English", "document", "words"} and set(large) == {"English", "words"}
    looks = [(mark.get_color(), mark.get_marker()) for mark in small.values()]
    assert len(set(looks)) == 3
    assert [(large[name].get_color(), large[name].get_marker()) for name in ("English", "words")] == looks[::2]
