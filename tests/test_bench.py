"""tests/bench: the benchmarks of scoring run on a tiny model, and measure what they say."""

import json
from collections import Counter
from importlib.util import find_spec

import pandas as pd
import pytest
import torch

from common.cli import InputError
from common.lm.loading import load
from common.questions import read_questions
from tests.bench import measure
from tests.mmlu import write_variants
from tests.scripts import call, load_script

scoring = load_script("tests/bench/scoring.py")
growth = load_script("tests/bench/growth.py")
translation = load_script("tests/bench/translation.py")
SIDES = ["ours", "one_at_a_time"] + ["harness"] * bool(find_spec("lm_eval"))


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_variants(tmp_path_factory.mktemp("bench"), ["anatomy", "law"], questions=2)


@pytest.fixture
def bench(data, tiny_checkpoint, tmp_path, monkeypatch):
    """Call scoring.py; returns its table, or the exit code where that is not 0."""

    def bench(*arguments):
        out = tmp_path / "scoring.csv"
        keys = ["--data", data, "--model", tiny_checkpoint, "--dtype", "float32", "--settings", "en,mixup"]
        code = call(scoring, [*keys, "--batches", "1,2", "--repeats", "2", "--out", out, *arguments], monkeypatch)
        return code or pd.read_csv(out)

    return bench


def test_the_sides_are_measured_side_by_side_and_answer_alike(bench, tmp_path, capsys):
    table = bench("--shots", "1,0", "--sample", "3")
    assert sorted(zip(table["shots"], table["side"], strict=True)) == sorted((s, one) for s in (0, 1) for one in SIDES)
    assert ("not installed" in capsys.readouterr().err) == ("harness" not in SIDES)
    ours, others = table[table["side"] == "ours"], table[table["side"] != "ours"]
    assert set(ours["prompts"]) == {8} and set(others["prompts"]) == {6} and set(table["questions"]) == {4}
    assert (table["same_as_ours"] == table["prompts"]).all()
    assert (ours["distinct_tokens"] == ours["computed_tokens"]).all() and others["distinct_tokens"].isna().all()
    assert (ours["distinct_tokens"] < ours["tokens_in_prompts"]).all()
    alone = table[table["side"] == "one_at_a_time"]
    assert (alone["computed_tokens"] == alone["tokens_in_prompts"]).all()
    assert ((table["seconds_min"] <= table["seconds"]) & (table["seconds"] <= table["seconds_max"])).all()
    parts = ours[[f"{part}_seconds" for part in measure.PARTS]]
    assert (parts > 0).all(axis=None)
    assert parts.sum(axis=1).tolist() == pytest.approx(ours["watched_seconds"].tolist(), rel=1e-4)
    assert (table["peak_memory_mib"] > table["weights_mib"]).all() and (ours["share_of_gemm"] > 0).all()
    assert (ours["share_of_gemm"] * ours["gemm_gflops"] * ours["seconds"]).tolist() == pytest.approx(
        ours["gflop"].tolist(), rel=1e-4
    )
    provenance = json.loads((tmp_path / "scoring.provenance.json").read_text())
    assert list(provenance)[:5] == ["command", "commit", "model", "machine", "date"] and len(provenance["date"]) == 10


def test_another_run_replaces_its_rows_and_a_foreign_table_is_refused(bench, tmp_path, capsys):
    keys = ("--shots", "0", "--limit", "1", "--sides", "")
    assert len(bench(*keys)) == len(bench(*keys)) == 1
    assert len(bench(*keys, "--subjects", "law")) == 2
    (tmp_path / "scoring.csv").write_text("a,b\n1,2\n")
    assert bench(*keys) == 2 and "not a table of this benchmark" in capsys.readouterr().err


@pytest.mark.parametrize(("key", "value"), [
    ("--sides", "vllm"), ("--shots", "five"), ("--batches", "1,auto"), ("--repeats", "0"), ("--subjects", "physics"),
])  # fmt: skip
def test_wrong_keys_are_refused(bench, capsys, key, value):
    assert bench(key, value) == 2 and key[2:] in capsys.readouterr().err


def test_translations_are_the_same_whoever_makes_them(tiny_checkpoint, tmp_path, monkeypatch):
    for code, river in {"en": "river", "de": "Fluss"}.items():
        lines = [f"The {river} number {number} is deep.\n" for number in range(8)]
        (tmp_path / f"{code}.devtest").write_text("".join(lines), encoding="utf-8")
    out = tmp_path / "translation.csv"
    keys = ["--sentences", tmp_path, "--model", tiny_checkpoint, "--count", "3", "--max_new_tokens", "4"]
    for _ in range(2):  # a run again replaces its rows
        assert call(translation, [*keys, "--repeats", "2", "--out", out], monkeypatch) == 0
    table = pd.read_csv(out)
    assert list(table["side"]) == ["ours", "batches of 8", "one by one"] and set(table["sentences"]) == {3}
    assert set(table["same_as_ours"]) == {3} and table["times_ours"].iloc[0] == 1
    assert ((table["seconds_min"] <= table["seconds"]) & (table["seconds"] <= table["seconds_max"])).all()


def test_every_product_of_a_forward_pass_is_seen(data, tiny_checkpoint):
    model, tokenizer = load(str(tiny_checkpoint), dtype="float32")
    config = scoring.Config(data=str(data), settings="en,mixup")
    profile = measure.Profile()
    with profile.watching(model):
        _, stats = scoring.ours(model, tokenizer, scoring.read_settings(config, 0))
    rows = Counter()
    for calls in profile.passes:
        for module, count in calls:
            rows[module] += count
    head = model.get_output_embeddings()
    layers = [module for module in model.modules() if type(module) is torch.nn.Linear and module is not head]
    assert {rows[module] for module in layers} == {stats.computed_tokens} and 0 < rows[head] < stats.computed_tokens
    products = 2 * stats.computed_tokens * sum(m.weight.numel() for m in layers) + 2 * rows[head] * head.weight.numel()
    assert sum(map(measure.flops, profile.passes)) == products
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())
    assert measure.is_counted(model) and measure.gemm_rate(model, measure.typical(profile.passes)) > 0


def test_products_have_weights_of_their_own_and_stand_for_equal_shares():
    small, large = torch.nn.Linear(4, 4, bias=False), torch.nn.Linear(8, 8, bias=False)
    passes = [[(small, 1)]] * 4 + [[(large, 100)]] * 4
    assert measure.typical(passes) == [[(large, 100)]] * measure.GEMM_PASSES
    assert measure.flops([(small, 3), (large, 2)]) == 2 * (3 * 16 + 2 * 64)


def test_peak_memory_is_that_of_the_block():
    peaks = []
    for mebibytes in (50, 0):
        with measure.peak_memory("cpu") as peak:
            torch.ones(mebibytes * 2**18)
            peaks.append(peak())
    assert peaks[0] - peaks[1] > 40


def test_a_table_is_kept_by_its_keys(tmp_path, monkeypatch):
    monkeypatch.setattr("sys.argv", ["tests/bench/scoring.py"])
    out, row = str(tmp_path / "a.csv"), {"model": "m", "machine": "x", "shots": 0, "seconds": 1.5}
    measure.keep(out, [row, row | {"shots": 5}], ("model", "shots"))
    measure.keep(out, [row | {"seconds": 2.5}], ("model", "shots"))
    assert pd.read_csv(out)[["shots", "seconds"]].to_numpy().tolist() == [[5, 1.5], [0, 2.5]]
    with pytest.raises(InputError, match="not a table of this benchmark"):
        measure.keep(out, [row | {"more": 1}], ("model", "shots"))


def test_growth_measures_a_point_once(tmp_path, monkeypatch, capsys):
    keys = ["--axes", "questions", "--most", "10", "--repeats", "1", "--out", tmp_path / "growth"]
    assert call(growth, keys, monkeypatch) == 0
    table = pd.read_csv(tmp_path / "growth.csv")
    assert table[["questions", "settings", "prompts", "repeats"]].to_numpy().tolist() == [[10, 6, 60, 1]]
    assert 0 < table["distinct_tokens"][0] < table["tokens_in_prompts"][0] and table["peak_memory_mib"][0] > 100
    assert (tmp_path / "growth.png").exists() and (tmp_path / "growth.provenance.json").exists()
    capsys.readouterr()
    monkeypatch.setattr(growth, "measure_point", lambda *_: pytest.fail("measured again"))
    assert call(growth, keys, monkeypatch) == 0 and capsys.readouterr().out == ""


def test_points_of_an_axis_take_turns(tmp_path, monkeypatch):
    made = []

    def measured(config, point, folder):
        made.append(point.questions)
        counts = {"prompts": 6, "tokens_in_prompts": 60, "distinct_tokens": point.questions}
        return counts | {"seconds": len(made), "peak_memory_mib": 100.0 + len(made)}

    monkeypatch.setattr(growth, "measure_point", measured)
    keys = ["--axes", "questions", "--most", "30", "--repeats", "3", "--out", tmp_path / "growth"]
    assert call(growth, keys, monkeypatch) == 0
    assert made == [10, 30, 10, 30, 10, 30]
    table = pd.read_csv(tmp_path / "growth.csv").set_index("questions")
    assert table[["seconds_min", "seconds", "seconds_max", "repeats"]].to_numpy().tolist() == [
        [1, 3, 5, 3],
        [2, 4, 6, 3],
    ]
    kept = pd.read_csv(tmp_path / "growth.csv")
    kept[kept["questions"] == 10].to_csv(tmp_path / "growth.csv", index=False)
    assert call(growth, keys, monkeypatch) == 0
    assert made[6:] == [30, 30, 30]


def test_settings_of_a_question_share_their_texts(data):
    """What is read grows with the texts, not with the settings."""
    english, options = (read_questions(data / f"{name}.csv")[0] for name in ("en", "options_de"))
    assert english.question is options.question and english.option_languages[0] is english.question_language


def test_points_of_growth():
    made = growth.points(growth.Config())
    assert {point.axis for point in made} == set(growth.AXES) and len(made) == sum(map(len, growth.AXES.values()))
    assert growth.Point("mmlu", 14_042, 54) in made and growth.Point("shots", shots=5) in made
    assert max(point.questions for point in growth.points(growth.Config(most=500))) == 500
    with pytest.raises(InputError, match="axes"):
        growth.Config(axes="time")


def test_the_straight_line_of_an_axis():
    shared = {"machine": "x", "model": "m", "commit": "c", "axis": "questions"}
    rows = [
        shared | {"distinct_tokens": n, "seconds": 2 + 3e-6 * n, "peak_memory_mib": 500 + 1e-6 * n}
        for n in (1e6, 2e6, 4e6)
    ]
    (line,) = growth.lines_of(pd.DataFrame(rows)).to_dict("records")
    expected = {"seconds_per_million_tokens": 3.0, "seconds_at_none": 2.0, "r_squared": 1.0, "memory_mib_first": 501.0}
    assert {key: line[key] for key in expected} == pytest.approx(expected)
    assert growth.lines_of(pd.DataFrame(rows[:2])).empty


def test_training_is_summed_up_by_side():
    training = load_script("tests/bench/training.py")
    runs = [
        {"side": side, "seconds": 100 / rate, "tokens": 100, "tokens_per_second": rate, "peak_memory_mib": memory}
        | {"first_loss": 9.0, "last_loss": 8.0}
        for side, rate, memory in [("ours", 20, 5), ("trl", 8, 7), ("ours", 30, 6), ("trl", 12, 7), ("ours", 10, 5)]
    ]
    ours, trl = training.summary(pd.DataFrame(runs), training.Config(text="x", method="lora"))
    assert (ours["side"], ours["tokens_per_second"], ours["tokens_per_second_min"]) == ("ours", 20, 10)
    assert ours["times_trl"] == 2 and trl["times_trl"] == 1 and ours["peak_memory_mib"] == 6
    alone = training.summary(pd.DataFrame(runs[:1]), training.Config(text="x"))
    assert alone[0]["times_trl"] == "" and alone[0]["model"] == "random Llama (58M)"
