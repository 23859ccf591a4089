"""Results with their provenance, the claims table, and the report: on synthetic runs, against what pandas says."""

import base64
import json
import re
import shutil
import subprocess
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
import yaml
from matplotlib.figure import Figure

from common.cli import InputError
from common.reporting.results import ENDING, ROOT, write_result
from common.reporting.stats import conductivity, gap_closed, paired_bootstrap
from tests.mmlu import rewrite, write_run
from tests.scripts import call, load_script

claims, measures, read_results = (
    load_script(f"report/{name}.py") for name in ("check_claims", "measures", "read_results")
)
report, words, html_page = (load_script(f"report/{name}.py") for name in ("report", "words", "page"))
mmlu, plot, finding, quiz, arms, mitigation = (
    load_script(f"{name}.py")
    for name in (
        "MMLU/tabulate_mmlu",
        "MMLU/plot_mmlu",
        "world/finding",
        "HP/tabulate_quiz",
        "FT/tabulate_arms",
        "MMLU/tabulate_mitigation",
    )
)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Results of four scripts on synthetic runs; everything above the runs is made by the scripts themselves."""
    folder = tmp_path_factory.mktemp("made") / "results"
    accuracy = {"run": 0.5, "quiz": 0.4, "none": 0.3, "en": 0.3, "word": 0.9, "hint_various": 0.55}
    for seed, (name, share) in enumerate(accuracy.items()):
        (folder / name).mkdir(parents=True)
        write_run(folder / name, seed, share, model="tiny<model>")
        session = {"start": "2026-01-01T00:00:00+00:00", "end": "2026-01-01T00:00:10+00:00", "computed_tokens": 1}
        rewrite(folder / name, sessions=[session])
    run, named = folder / "run", ",".join(f"{name}={folder / name}" for name in ("none", "en", "word"))
    plain = ["--plain", run, "--runs", f"hint_various={folder / 'hint_various'}", "--out", folder / "mitigation"]
    with pytest.MonkeyPatch.context() as patch:
        assert call(mmlu, ["--runs", run, "--out", run / "table", "--category", "english_only"], patch) == 0
        assert call(plot, ["--run", run, "--out", run / "accuracy"], patch) == 0
        assert call(finding, ["--run", run], patch) == 0
        assert call(quiz, ["--runs", f"tiny={folder / 'quiz'}", "--out", folder / "by_language"], patch) == 0
        assert call(arms, ["--arms", named, "--out", folder / "remedy"], patch) == 0
        assert call(mitigation, plain, patch) == 0
    return folder


@pytest.fixture
def results(made, tmp_path):
    """A copy that a test may change."""
    return shutil.copytree(made, tmp_path / "results")


def checked(results, tmp_path, monkeypatch, *keys):
    """The claims table by name."""
    assert call(claims, ["--results", results, "--out", tmp_path / "claims", *keys], monkeypatch) == 0
    return pd.read_csv(tmp_path / "claims.csv", keep_default_na=False).set_index("name")


def by_question(folder, settings, subject=""):
    """Mean of `correct` over settings, by question."""
    tables = pd.concat([pd.read_csv(folder / f"{setting}.csv") for setting in settings])
    return tables[tables["subject"].str.startswith(subject)].groupby("id")["correct"].mean()


FULL = [f"full_{code}" for code in ("de", "fr", "es", "it")]


def test_claims_equal_a_computation_from_the_records(results, tmp_path, monkeypatch):
    table = checked(results, tmp_path, monkeypatch, "--claims", low_minimum(tmp_path))
    tested = table["verdict"].isin(["holds", "does not hold"]).sum()
    level = 1 - 0.05 / tested

    def same(name, expected, corrected):
        row = table.loc[name]
        assert [float(row[key]) for key in ("effect", "ci_low", "ci_high")] == pytest.approx(expected, abs=1e-4)
        assert [float(row[key]) for key in ("corrected_low", "corrected_high")] == pytest.approx(
            corrected[1:], abs=1e-4
        )

    run = results / "run"
    english, mixup = (by_question(run, [name], "english_only") for name in ("en", "mixup"))
    pair = (mixup, english.loc[mixup.index])
    same("barrier_mixup", paired_bootstrap(*pair, seed=42), paired_bootstrap(*pair, seed=42, level=level))
    assert table.loc["barrier_mixup", "n"] == 40 and table.loc["barrier_mixup", "verdict"] == "holds"
    full = by_question(run, FULL)
    pair = full, by_question(run, ["en"]).loc[full.index]
    same("clika_performance", paired_bootstrap(*pair, seed=42), paired_bootstrap(*pair, seed=42, level=level))
    word, none = (by_question(results / name, ["mixup"], "english_only") for name in ("word", "none"))
    pair = word, none.loc[word.index]
    same("remedy", paired_bootstrap(*pair, seed=42), paired_bootstrap(*pair, seed=42, level=level))
    assert table.loc["remedy", "verdict"] == "holds" and table.loc["remedy", "model"] == "tiny<model>"
    own, hinted = (by_question(results / "hint_various", [name], "english_only") for name in ("en", "mixup"))
    parts = english.loc[hinted.index], mixup.loc[hinted.index], hinted + english - own
    same("hint", gap_closed(*parts, seed=42), gap_closed(*parts, seed=42, level=level))
    both = by_question(run, ["en"]).loc[full.index] * full
    either = by_question(run, ["en"]).loc[full.index] + full - both
    row = table.loc["clika_consistency"]
    assert float(row["effect"]) == pytest.approx(both.sum() / either.sum(), abs=1e-4)
    assert f"{100 * both.mean():.1f}% right in both languages, {100 * either.mean():.1f}% in either" in row["note"]
    assert table.loc["translation", "verdict"] == "not tested"
    note = "no result of Translation/score.py of one model: run `bash Translation/scripts/translation.sh`"
    assert table.loc["translation", "note"] == note
    assert table.loc["barrier_mixup_paper", "note"].endswith(
        "no rows with setting mixup_paper: run `bash MMLU/scripts/zero_shot.sh` with mmlu_mixup in data.yaml"
    )
    assert table.loc["clika_instruction_tuning", "verdict"] == "not tested"


def low_minimum(tmp_path, **changes):
    """The project's claims with a minimum that forty questions reach."""
    entries = yaml.safe_load(claims.CLAIMS.read_text())
    path = tmp_path / "claims.yaml"
    path.write_text(yaml.safe_dump([entry | {"minimum": 40} | changes for entry in entries]))
    return path


def test_too_few_units_are_not_enough(results, tmp_path, monkeypatch):
    table = checked(results, tmp_path, monkeypatch)
    assert table.loc["barrier_mixup", "verdict"] == "not enough data"
    assert table.loc["barrier_mixup", "note"] == "40 units where 100 are needed"


def the(name):
    """One of the project's claims."""
    return next(claim for claim in claims.read_claims(claims.CLAIMS) if claim.name == name)


def data_of(**parts):
    """Data of one training seed for [units], of several for [seeds, units]."""
    return claims.Data({"": {name: np.atleast_2d(np.asarray(values, float)) for name, values in parts.items()}})


def test_conductivity_is_that_of_common_metrics(monkeypatch):
    rng = np.random.default_rng(0)
    taught, elsewhere = (rng.random(80) < 0.9).astype(float), (rng.random(80) < 0.4).astype(float)
    claim = the("clika_conductivity")
    verdict = claims.decide(claim, data_of(against=taught, of=elsewhere), 42, 3)
    assert (verdict.effect, verdict.ci_low, verdict.ci_high) == conductivity(taught, elsewhere, 0.25, seed=42)
    assert verdict.verdict == "holds" and verdict.corrected_low < verdict.ci_low
    monkeypatch.setattr(claims, "gather", lambda *_: data_of(against=np.zeros(80), of=elsewhere))
    unknown = claims.check([claim], [], 42)[0]
    assert (
        unknown.verdict == "not enough data" and unknown.note == "0.0% right to begin with, which is not above chance"
    )


def test_a_share_of_a_drop_that_may_be_none_has_no_verdict(monkeypatch):
    data = data_of(
        english=np.repeat([1.0, 0.0], [51, 49]), against=np.tile([1.0, 0.0], 50), own=np.ones(100), of=np.ones(100)
    )
    monkeypatch.setattr(claims, "gather", lambda *_: data)
    (verdict,) = claims.check([the("hint")], [], 42)
    assert (verdict.verdict, verdict.note) == (
        "not enough data",
        "the drop is so small that a share of it has no interval",
    )


def test_a_drop_must_have_an_interval_at_the_corrected_level_too():
    english, against = np.repeat([1.0, 0.0, 1.0], [20, 10, 70]), np.repeat([0.0, 1.0, 1.0], [20, 10, 70])
    data = data_of(english=english, against=against, own=np.ones(100), of=np.ones(100))
    enough = claims.sufficient(the("hint"), data, 42)
    found = {tests: claims.decide(the("hint"), enough, 42, tests) for tests in (1, 20)}
    assert found[1].verdict != "not enough data" and found[20].verdict == "not enough data"
    assert found[20].note == "the drop is so small that a share of it has no interval at 99.75%"


def test_a_claim_needs_its_whole_corrected_interval():
    data = data_of(of=np.repeat([1.0, 0.0], [6, 94]), against=np.zeros(100))
    alone, among_many = (claims.decide(the("remedy"), data, 42, tests) for tests in (1, 1000))
    assert (alone.verdict, among_many.verdict) == ("holds", "does not hold")
    assert alone.effect == among_many.effect == 0.06


ONES, HALF, NONE = np.ones(200), np.tile([1.0, 0.0], 100), np.zeros(200)
OPPOSITES = {  # of each measure, parts with which a claim `above` a value holds, and with which one `below` it does
    "difference": ({"of": ONES, "against": HALF}, {"of": HALF, "against": ONES}),
    "gap_closed": ({"english": ONES, "against": HALF, "own": ONES, "of": parts} for parts in (ONES, HALF)),
    "conductivity": ({"of": parts, "against": ONES} for parts in (ONES, HALF * HALF[::-1])),
    "jaccard": ({"of": ONES, "against": ONES}, {"of": HALF, "against": 1 - HALF}),
    "correlation": ({"of": HALF, "against": 2 * HALF}, {"of": HALF, "against": 1 - HALF}),
}
OPPOSITES = {measure: tuple(pair) for measure, pair in OPPOSITES.items()}


@pytest.mark.parametrize("claim", [one for one in claims.read_claims(claims.CLAIMS) if not one.untested])
def test_opposite_numbers_turn_every_verdict(claim):
    above, below = (claims.decide(claim, data_of(**parts), 42, 30) for parts in OPPOSITES[claim.measure])
    expected = ["holds", "does not hold"]
    assert [above.verdict, below.verdict] == (expected if claim.bound[0] == "above" else expected[::-1])
    assert above.note.split(";")[0] != below.note.split(";")[0]


def test_a_fix_that_ruins_english_does_not_help_little():
    """The gap is that under the same prompt: where English falls too, a low accuracy on mixup shows no barrier."""
    ruined = {"english": ONES, "against": HALF, "own": HALF, "of": HALF}
    verdict = claims.decide(the("demonstrations"), data_of(**ruined), 42, 1)
    assert verdict.verdict == "does not hold" and verdict.effect == 1
    assert "with the fix English itself falls, -50.0 points [-57.0, -43.0], and" in verdict.note
    untouched = {"english": ONES, "against": HALF, "own": ONES, "of": HALF}
    verdict = claims.decide(the("demonstrations"), data_of(**untouched), 42, 1)
    assert verdict.verdict == "holds" and "English itself shows no change, +0.0 points" in verdict.note
    silent = data_of(english=ONES, against=HALF, own=NONE, of=NONE)
    with pytest.raises(InputError, match="0.0% right in English with the fix, which is not above chance"):
        claims.sufficient(the("translate_then_answer"), silent, 42)


def test_the_interval_over_seeds_and_questions_covers_as_often_as_it_says(monkeypatch):
    """Known variance of seeds, of questions, and of both together; without that of seeds the interval is too narrow."""
    monkeypatch.setattr(measures, "RESAMPLES", 300)
    rng, true, experiments = np.random.default_rng(0), 0.05, 250
    for of_seeds, of_questions, least_alone in ((0.1, 0.3, 0), (0.0, 0.5, 0.9)):
        covered, alone = 0, 0
        for number in range(experiments):
            gain = true + of_seeds * rng.normal(size=(5, 1)) + of_questions * rng.normal(size=(1, 60))
            gain = gain + 0.2 * rng.normal(size=(5, 60))
            _, low, high = measures.over_seeds(gain, None, number, 0.95)
            covered += low <= true <= high
            _, low, high = paired_bootstrap(gain.mean(axis=0), np.zeros(60), seed=number, resamples=300)
            alone += low <= true <= high
        assert 0.91 <= covered / experiments <= 0.985
        assert alone / experiments >= least_alone
        if of_seeds:
            assert alone / experiments < 0.85


def test_a_ratio_over_seeds_and_a_spread_of_nothing():
    gain, drop = np.full((3, 50), 0.2), np.full((3, 50), 0.4)
    assert measures.over_seeds(gain, drop, 1, 0.95) == pytest.approx((0.5, 0.5, 0.5))
    assert np.isnan(measures.over_seeds(gain, -drop, 1, 0.95)).all()
    rng = np.random.default_rng(0)
    gain = (rng.random((5, 400)) < 0.3).astype(float)
    effect, low, high = measures.over_seeds(gain, np.ones((5, 400)), 1, 0.95)
    assert (effect, low, high) == pytest.approx(measures.over_seeds(gain, None, 1, 0.95))
    assert effect == pytest.approx(gain.mean()) and low < effect < high


@pytest.fixture
def seeds(results):
    """Tables of fine-tuning in folders seed_1 and so on; the trained models differ by seed."""
    for seed in (1, 2, 3):
        folder = results / "seeds" / f"seed_{seed}"
        for name, share in {"none": 0.3, "en": 0.3, "word": 0.2 + 0.15 * seed}.items():
            (folder / name).mkdir(parents=True)
            write_run(folder / name, 10 * seed, share)
            rewrite(folder / name, hash=f"{seed}" * 12 if name != "none" else "0" * 12)
    return results / "seeds"


def tabulate_seeds(seeds, monkeypatch, *more):
    for folder in sorted(seeds.glob("seed_*")):
        named = ",".join(f"{name}={folder / name}" for name in ("none", "en", "word"))
        assert call(arms, ["--arms", named, "--out", folder / "remedy", *more], monkeypatch) == 0


def test_training_seeds_are_resampled_too(seeds, results, tmp_path, monkeypatch):
    tabulate_seeds(seeds, monkeypatch)
    path = low_minimum(tmp_path)
    row = checked(results, tmp_path, monkeypatch, "--claims", path).loc["remedy"]
    gains = [
        by_question(folder / "word", ["mixup"], "english_only")
        - by_question(folder / "none", ["mixup"], "english_only")
        for folder in sorted(seeds.glob("seed_*"))
    ]
    expected = measures.over_seeds(np.stack(gains), None, 42, 0.95)
    assert [float(row[key]) for key in ("effect", "ci_low", "ci_high")] == pytest.approx(expected, abs=1e-4)
    assert (row["seeds"], row["n"]) == (3, 40) and "arm word; 3 training seeds, resampled with the 40 units" in row[
        "note"
    ]
    shutil.rmtree(seeds)
    row = checked(results, tmp_path, monkeypatch, "--claims", path).loc["remedy"]
    assert row["seeds"] == 1 and "one training seed, so that the interval covers questions alone" in row["note"]


def test_one_model_is_not_two_seeds(seeds, results, tmp_path, monkeypatch):
    for folder in seeds.glob("seed_*"):
        rewrite(folder / "word", hash="7" * 12)
    tabulate_seeds(seeds, monkeypatch)
    note = checked(results, tmp_path, monkeypatch, "--claims", low_minimum(tmp_path)).loc["remedy", "note"]
    assert "are of the same trained model" in note


def test_the_papers_arm_comes_first_and_several_seeds_before_it(results, tmp_path, monkeypatch):
    (results / "words").mkdir()
    write_run(results / "words", 9, 0.1)
    named = ",".join(f"{name}={results / name}" for name in ("none", "en", "word", "words"))
    assert call(arms, ["--arms", named, "--out", results / "arms"], monkeypatch) == 0
    row = checked(results, tmp_path, monkeypatch, "--claims", low_minimum(tmp_path)).loc["remedy"]
    assert "arm words; one training seed" in row["note"] and row["verdict"] == "does not hold"


def test_held_out_languages_are_a_claim_of_their_own(results, tmp_path, monkeypatch):
    named = ",".join(f"{name}={results / name}" for name in ("none", "en", "word"))
    keys = ["--arms", named, "--out", results / "remedy", "--held_out", "es,it"]
    path = low_minimum(tmp_path)
    row = checked(results, tmp_path, monkeypatch, "--claims", path).loc["remedy_held_out"]
    assert row["verdict"] == "not tested" and "with held_out_languages in data.yaml" in row["note"]
    assert call(arms, keys, monkeypatch) == 0
    table = checked(results, tmp_path, monkeypatch, "--claims", path)
    for name, codes, control in (("remedy_control", "de fr", "en"), ("remedy_held_out", "es it", "none")):
        settings = [f"full_{code}" for code in codes.split()]
        word, other = (by_question(results / arm, settings, "english_only") for arm in ("word", control))
        assert float(table.loc[name, "effect"]) == pytest.approx((word - other).mean(), abs=1e-4)


def test_corpora_are_told_apart_by_their_folder(results, tmp_path, monkeypatch):
    for seed, (part, share) in enumerate({"related": 0.9, "unrelated": 0.1}.items()):
        for name in ("none", "word"):
            folder = results / "domain" / part / "quiz" / name
            folder.mkdir(parents=True)
            write_run(folder, 20 + seed, share if name == "word" else 0.4)
        named = ",".join(f"{name}={results / 'domain' / part / 'quiz' / name}" for name in ("none", "word"))
        assert call(quiz, ["--runs", named, "--out", results / "domain" / part / "remedy_quiz"], monkeypatch) == 0
    table = checked(results, tmp_path, monkeypatch, "--claims", low_minimum(tmp_path))
    assert table.loc["remedy_in_domain", "verdict"] == "holds"
    assert table.loc["remedy_out_of_domain", "verdict"] == "does not hold"
    assert table.loc["remedy_domain", "verdict"] == "not tested"
    assert "folder related: run `bash HP/scripts/corpora.sh`" not in table.loc["remedy_in_domain", "note"]


def test_the_same_test_on_the_same_data_counts_once(results, tmp_path, monkeypatch):
    table = checked(results, tmp_path, monkeypatch, "--claims", low_minimum(tmp_path))
    assert table.loc["clika_performance", "same_as"] == "", "english_only questions, and all"
    again = checked(results, tmp_path, monkeypatch, "--claims", low_minimum(tmp_path, prefer={}))
    row = again.loc["clika_performance"]
    assert row["same_as"] == "barrier_full" and "the same test on the same data as barrier_full" in row["note"]
    tested = again["verdict"].isin(["holds", "does not hold"]).sum() - 1
    full = by_question(results / "run", FULL)
    pair = full, by_question(results / "run", ["en"]).loc[full.index]
    expected = paired_bootstrap(*pair, seed=42, level=1 - 0.05 / tested)[1:]
    assert [float(row[key]) for key in ("corrected_low", "corrected_high")] == pytest.approx(expected, abs=1e-4)
    assert f"corrected for {tested} tests" in (tmp_path / "claims.md").read_text()


def scored(folder, table):
    """The results of Translation/score.py with a table of sentences alone."""
    write_result(str(ROOT / "Translation" / "score.py"), folder / "scores.sentences", {}, table)
    return read_results.find_results([folder])[0]


def test_translation_stands_beside_a_reference_system_by_sentence(tmp_path):
    rng, rows = np.random.default_rng(0), []
    for system, quality, sentences in (("model", 50, 120), ("nllb-3.3b", 60, 80), ("google-translate", 52, 100)):
        for sentence in range(1, sentences + 1):
            for direction in ("en-de", "de-en"):
                rows.append((system, direction, sentence, quality + rng.normal(), 10.0))
    table = pd.DataFrame(rows, columns=["system", "direction", "sentence", "chrf", "chrf_source"])
    results = scored(tmp_path, table)
    chosen = [the("translation"), the("translation_reference")]
    own, reference = claims.check(chosen, results, 42)
    assert (own.verdict, own.n, reference.verdict, reference.n) == ("holds", 120, "holds", 100)
    mean = table[table["sentence"] <= 100].groupby("system")["chrf"].mean()
    assert reference.effect == pytest.approx(mean["model"] / mean["google-translate"])
    several = table.replace({"system": {"nllb-3.3b": "other"}})
    results = scored(tmp_path, several)
    assert "are of several, model, other; leave one of them in" in claims.check(chosen, results, 42)[0].note
    poor = table.assign(chrf=np.where(table["system"] == "model", table["chrf"] / 2, table["chrf"]))
    results = scored(tmp_path, poor)
    assert claims.check(chosen, results, 42)[1].verdict == "does not hold"
    alone = table[table["system"] == "model"]
    results = scored(tmp_path, alone)
    reference = claims.check(chosen, results, 42)[1]
    assert reference.verdict == "not tested" and "in a folder named google... or nllb..." in reference.note


def test_embeddings_are_tested_in_every_layer_but_the_first(tmp_path, monkeypatch):
    rng, rows = np.random.default_rng(0), []
    for passage in range(100):
        for layer in range(4):
            for variant, cosine, share in (("mixed", 0.9, 0.12), ("random_token", 0.7 + 0.05 * layer, 0.25)):
                cosine = 0.0 if (variant, layer) == ("mixed", 0) else cosine + 0.01 * rng.normal()
                rows.append((passage, layer, 0.16, variant, share, cosine))
    table = pd.DataFrame(rows, columns=["passage", "layer", "rate", "variant", "replaced", "cosine"])
    keys = "before/cosines"
    (tmp_path / "before").mkdir()

    def verdict(changed):
        write_result(str(ROOT / "Translation" / "embeddings.py"), tmp_path / "before" / "cosines", {}, changed)
        found = read_results.find_results([tmp_path])[0][0]
        files = {f"{keys}.csv": next(iter(found.files.values()))}
        source = read_results.Source(tmp_path, "0", "tiny")
        monkeypatch.setattr(read_results.Result, "check", lambda self: None)
        result = read_results.Result(tmp_path / "x", found.script, "x", "", {"before": source}, files, 0)
        return claims.check([the("embeddings")], [result], 42)[0]

    good = verdict(table)
    assert good.verdict == "holds" and good.effect == pytest.approx(0.05, abs=0.01)
    assert "tested by layer (3), weakest in layer 3; share of words replaced: 12.0% and 25.0%" in good.note
    bad = verdict(
        table.assign(cosine=table["cosine"].where((table["layer"] != 2) | (table["variant"] != "mixed"), 0.1))
    )
    assert bad.verdict == "does not hold" and "weakest in layer 2" in bad.note
    assert "share of words replaced: not recorded" in verdict(table.drop(columns="replaced")).note


def test_every_claim_names_a_script_and_a_paper(root):
    for claim in claims.read_claims(claims.CLAIMS):
        assert claim.where.startswith("arXiv ")
        assert claim.untested or (root / claim.result).is_file() and (root / claim.script).is_file()
        assert (
            not claim.needs
            or "data.yaml" not in claim.needs
            or claim.needs.split()[0] in (yaml.safe_load((root / "data.yaml").read_text()))
        )


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"holds": "better"}, "holds is 'better'"),
        ({"measure": "guess"}, "Got value: guess"),
        ({"colour": "red"}, "colour"),
        ({"of": {"rate": 0.16}}, "claim 1: Parser key \"of\": Expected a <class 'str'>. Got value: 0.16"),
        ({"by": "id"}, "Expected a <class 'list'>"),
        ({"by": []}, "by is []"),
        ({"minimum": 0}, "minimum is 0"),
        ({"minimum": "many"}, "Got value: many"),
        ({"chance": float("nan")}, "chance is nan"),
        ({"chance": None}, "chance is None"),
        ({"name": "same"}, "same: name is 'same'; it must be a name of its own"),
        ({"measure": "gap_closed", "english": {}}, "english is {}"),
        ({"unit": "metres"}, "unit is 'metres'"),
    ],
)
def test_malformed_claims_are_refused(results, tmp_path, monkeypatch, capsys, change, said):
    keys = ["--results", results, "--out", tmp_path / "out", "--claims", low_minimum(tmp_path, **change)]
    assert call(claims, keys, monkeypatch) == 2
    error = capsys.readouterr().err
    assert said in error and "claims.yaml" in error and not (tmp_path / "out.csv").exists()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"- name: \xe9", "cannot be read as YAML in UTF-8"),
        (b"- {", "cannot be read as YAML in UTF-8"),
        (b"[" * 2000, "cannot be read as YAML in UTF-8"),
        (b"", "not a list of claims"),
        (b"name: x", "not a list of claims"),
        (b"- x", "not a list of claims"),
        (b"- {5: x}", "claim 1: "),
    ],
)
def test_unreadable_claims_are_refused(tmp_path, content, said):
    (tmp_path / "claims.yaml").write_bytes(content)
    with pytest.raises(InputError, match=re.escape(said)):
        claims.read_claims(tmp_path / "claims.yaml")


def test_two_results_that_fit_are_not_chosen_between(results, tmp_path, monkeypatch):
    shutil.copytree(results, tmp_path / "both" / "a")
    shutil.copytree(results, tmp_path / "both" / "b")
    table = checked(tmp_path / "both", tmp_path, monkeypatch)
    assert "several results fit" in table.loc["barrier_mixup", "note"]


class Page(HTMLParser):
    """What an HTML page has: tables as rows of cells, pictures, quotations, and what it would load."""

    def __init__(self, text):
        super().__init__()
        self.tables, self.images, self.quotes, self.loads, self.headings = [], [], [], [], []
        self.into = None
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("td", "th"):
            self.tables[-1][-1].append("")
            self.into = lambda data, cells=self.tables[-1][-1]: cells.__setitem__(-1, cells[-1] + data)
        elif tag == "blockquote":
            self.quotes.append("")
            self.into = lambda data: self.quotes.__setitem__(-1, self.quotes[-1] + data)
        elif tag in ("h1", "h2", "h3"):
            self.headings.append("")
            self.into = lambda data: self.headings.__setitem__(-1, self.headings[-1] + data)
        elif tag == "img":
            self.images.append(attrs["src"])
        self.loads += [
            value for key, value in attrs.items() if key in ("src", "href") and not value.startswith(("data:", "#"))
        ]

    def handle_endtag(self, tag):
        if tag in ("td", "th", "blockquote", "h1", "h2", "h3"):
            self.into = None

    def handle_data(self, data):
        if self.into:
            self.into(data)


def test_tables_with_many_columns_are_marked(tmp_path):
    rows = [["n", *map(str, range(11))], ["---"] * 12, ["1"] * 12]
    text = "\n".join("| " + " | ".join(row) + " |" for row in rows)
    assert '<table class="wide">' in html_page.render(text, tmp_path)


def claim_rows(page):
    """The rows of the claims, those that are folded too."""
    return [row for table in page.tables if table[0][:2] == ["claim", "paper"] for row in table[1:]]


def make_page(results, monkeypatch):
    assert call(report, ["--results", results, "--out", results / "report"], monkeypatch) == 0
    return Page((results / "report" / "report.html").read_text(encoding="utf-8"))


def test_the_page_has_every_table_and_picture(results, monkeypatch):
    page = make_page(results, monkeypatch)
    assert not page.loads, "a report needs no network"
    pictures = [base64.b64decode(source.split(",")[1]) for source in page.images]
    written = {path.read_bytes() for path in results.rglob("*.png")}
    assert len(pictures) == 4 and set(pictures) == written
    heads = [table[0] for table in page.tables]
    assert heads[0] == ["claim", "paper", "measured", "claimed", "n", "verdict"]
    assert len(claim_rows(page)) == len(claims.read_claims(claims.CLAIMS))
    for path in results.glob("**/*.md"):
        if path.parent.name != "report":
            lines = [line.strip("| ").split(" | ") for line in path.read_text().splitlines() if line.startswith("|")]
            assert words.heading(lines[0][0]) in {head[0] for head in heads}
            first = words.without_paths(words.cell(lines[2][0], lines[0][0]), [results])
            assert first in {row[0] for table in page.tables for row in table}
    assert "MMLU in mixed languages" in page.headings
    assert "<code>tiny&lt;model&gt;</code>" in (results / "report" / "report.html").read_text()
    rows = [row for table in page.tables for row in table]
    assert ["Translation", "bash Translation/scripts/translation.sh"] in rows, "what was not run has its command"
    text = (results / "report" / "report.md").read_text()
    assert "| Llama3-8B | mixup | accuracy | 51.75 | after fine-tuning on mixed-language text | arXiv" in text
    assert "bash Translation/scripts/translation.sh" in text.partition("## Not run")[2]
    assert text.count("![") == 4 and "Facts known in English only are answered 100.0%" in text
    for place in [line.split("](")[1].rstrip(")") for line in text.splitlines() if line.startswith("![")]:
        assert (results / "report" / place).is_file()
    assert "prefers-color-scheme: dark" in (results / "report" / "report.html").read_text()


def test_what_each_run_took(results, tmp_path, monkeypatch):
    counts = {"questions": 4, "prompt_tokens": 3000, "computed_tokens": 600, "rss_bytes": 2 * 10**9, "cuda_bytes": 0}
    ended = {"start": "2026-01-01T00:00:00+00:00", "end": "2026-01-01T00:00:10+00:00", "device": ["cpu"]} | counts
    later = ended | {"end": "2026-01-01T00:00:20+00:00", "rss_bytes": 10**9}
    rewrite(results / "run", sessions=[ended, later, {"start": ended["start"], "end": None}])
    rewrite(results / "quiz", sessions=[ended | {"end": None}])
    assert call(report, ["--results", results, "--out", tmp_path / "report"], monkeypatch) == 0
    table = pd.read_csv(tmp_path / "report" / "costs.csv").set_index("run")
    assert table.loc["run"].to_dict() == {
        "model": "tiny<model>",
        "device": "cpu",
        "questions": 8,
        "tokens in prompts": 6000,
        "tokens computed": 1200,
        "share": 0.2,
        "seconds": 30,
        "tokens per second": 40,
        "memory in GB": 2,
    }
    assert "quiz" not in table.index and pd.isna(table.loc["word", "share"]) and table.loc["word", "seconds"] == 10
    assert "## What it took" in (tmp_path / "report" / "report.md").read_text()


def test_a_table_that_was_cut_short_is_named_and_the_rest_is_there(results, monkeypatch):
    path = results / "by_language.csv"
    path.write_text(path.read_text()[:200])
    page = make_page(results, monkeypatch)
    assert any(f"results/{path.name}: not as HP/tabulate_quiz.py wrote it" in quote for quote in page.quotes)
    assert len(page.images) == 3
    assert any("cut short or changed" in row[-1] for row in claim_rows(page))


def test_two_configurations_are_not_mixed(results, monkeypatch):
    rewrite(results / "word", hash="1" * 12)
    page = make_page(results, monkeypatch)
    said = [quote for quote in page.quotes if "two configurations are mixed" in quote]
    assert len(said) == 1 and "0" * 12 in said[0] and "1" * 12 in said[0] and "run word" in said[0]
    assert len(page.images) == 3 and "MMLU in mixed languages" in page.headings


def test_changed_records_and_unreadable_provenance_are_named(results, monkeypatch):
    (results / "run" / "mixup.csv").write_text("id\n")
    (results / f"remedy{ENDING}").write_text("{")
    page = make_page(results, monkeypatch)
    assert any(f"remedy{ENDING}: not as our scripts write it" in quote for quote in page.quotes)
    assert any("mixup.csv: not the file that run.json describes" in row[-1] for row in claim_rows(page))
    assert len(page.images) == 3


PROVENANCE = [  # changes of a provenance file, and what the report says
    ({"files": {"../secret.csv": "0"}}, "its file ../secret.csv is not in its folder"),
    ({"files": {"/etc/passwd": "0"}}, "its file …/passwd is not in its folder"),
    ({"files": {"link.csv": "0"}}, "its file link.csv is not in its folder"),
    ({"files": ["x.csv"]}, "not as our scripts write it"),
    ({"files": {"x.csv": 5}}, "a text is missing"),
    ({"files": {"x\0.csv": "0"}}, "null byte"),
    ({"files": {"x.csv": None}}, "x.csv: no such file"),
    ({"sentence": None}, "a text is missing"),
    ({"script": 5}, "a text is missing"),
    ({"script": "\ud800"}, "surrogates not allowed"),
    ({"runs": {"a": 5}}, "not as our scripts write it"),
    ({"runs": {"a": {"folder": "nowhere", "hash": "0", "model": "m"}}}, "nowhere/run.json: no such file"),
    ({"runs": {"a": {"folder": "secret.csv", "hash": "0", "model": "m"}}}, "secret.csv/run.json: "),
]
CONTENTS = [
    (b"{", "JSONDecodeError"),
    (b"\xff", "UnicodeDecodeError"),
    (b"[" * 99999, "RecursionError"),
    (b"[]", "Type"),
]


def test_whatever_is_malformed_is_named_and_the_rest_is_there(results, tmp_path, monkeypatch):
    (tmp_path / "secret.csv").write_text("secret\n1\n")
    (results / "secret.csv").write_text("secret\n1\n")
    (results / "odd").mkdir()
    (results / "odd" / "link.csv").symlink_to(tmp_path / "secret.csv")
    plain = {"script": "x.py", "command": "x", "sentence": "", "runs": {}, "files": {}}
    for number, (change, _) in enumerate(PROVENANCE):
        (results / "odd" / f"{number}{ENDING}").write_text(json.dumps(plain | change))
    for number, (content, _) in enumerate(CONTENTS):
        (results / "odd" / f"bytes{number}{ENDING}").write_bytes(content)
    (results / "odd" / f"folder{ENDING}").mkdir()
    keys = ["--results", f"{results},{tmp_path / 'nowhere'}", "--out", results / "report"]
    assert call(report, keys, monkeypatch) == 0
    page = Page((results / "report" / "report.html").read_text(encoding="utf-8"))
    said = "\n".join(page.quotes)
    assert all(text in said for _, text in PROVENANCE + CONTENTS), said
    assert "nowhere: no such folder" in said and "IsADirectoryError" in said
    assert len(page.images) == 4 and not any("secret" in cell for rows in page.tables for row in rows for cell in row)


ODD_NAMES = [
    "![x](../secret.png)",
    "<script>alert(1)</script>",
    "a|b",
    "two\nlines",
    "`code`",
    '"quoted"',
    "[x](http://x)",
    "*x* _y_ __z__ ~~s~~",
    "&lt; \\| full_de",
]


def test_names_are_text_and_shift_no_cell(tmp_path, monkeypatch):
    """Names of users are shown as they are: in tables, headings, sentences, titles, beside pictures."""
    (tmp_path / "secret.png").write_bytes(b"secret")
    folder, evil = tmp_path / "results", " ".join(ODD_NAMES)
    (folder / "run").mkdir(parents=True)
    write_run(folder / "run", 0, 0.5, model=evil)
    table = pd.DataFrame([ODD_NAMES], columns=ODD_NAMES)
    text = "\n".join([*(f"# {name}" for name in ODD_NAMES[:2]), "", *report.from_frame(table)])
    keys = {"text": text, "sentence": evil, "plot": (Figure,)}
    quiz = str(ROOT / "HP" / "tabulate_quiz.py")
    write_result(quiz, folder / '100% (é) "x" %41', {evil: folder / "run"}, table, **keys)
    write_result(quiz, folder / "csv", {}, table)
    out = folder / "report"
    assert call(report, ["--results", folder, "--out", out, "--title", evil], monkeypatch) == 0
    markup = (out / "report.html").read_text(encoding="utf-8")
    page, text = Page(markup), (out / "report.md").read_text(encoding="utf-8")
    assert [base64.b64decode(one.split(",")[1]) for one in page.images] == [next(folder.glob("*.png")).read_bytes()]
    flat = " ".join(evil.split())
    assert not page.loads and "<script" not in markup
    assert len(re.findall(r"(?<!\\)(?:!\[|<script)", text.replace(f"`` {flat} ``", ""))) == 1, "our own picture"
    shown = [[words.in_words(" ".join(name.split())) for name in ODD_NAMES]] * 2
    assert [rows for rows in page.tables if len(rows[0]) == len(ODD_NAMES)] == [shown, shown]
    assert page.headings[0] == flat and set(ODD_NAMES[:2]) < set(page.headings)


def test_a_folder_without_results_is_an_error(tmp_path, monkeypatch, capsys):
    assert call(report, ["--results", tmp_path, "--out", tmp_path / "report"], monkeypatch) == 2
    assert "no result" in capsys.readouterr().err and not (tmp_path / "report").exists()


def test_results_may_be_moved_and_name_their_command(results, tmp_path):
    shutil.move(results, tmp_path / "elsewhere")
    found, problems = report.find_results([tmp_path / "elsewhere"])
    assert not problems and {result.script for result in found} >= {"MMLU/tabulate_mmlu.py", "FT/tabulate_arms.py"}
    for result in found:
        result.check()
        assert result.command.startswith(f"python {result.script} --")


@pytest.mark.skipif(not shutil.which("chromium"), reason="no Chromium to look at the page with")
@pytest.mark.parametrize("width", [1280, 390])
def test_a_browser_cuts_nothing(results, monkeypatch, tmp_path, width):
    make_page(results, monkeypatch)
    page = results / "report" / "report.html"
    probe = """<script>addEventListener('load', () => {
        const outside = e => {
            const [inner, outer] = [e, e.ownerSVGElement].map(one => one.getBoundingClientRect());
            return inner.left < outer.left - 1 || inner.right > outer.right + 1 || inner.bottom > outer.bottom + 1;
        };
        const wide = [...document.querySelectorAll('main *')].filter(e =>
            e.getBoundingClientRect().right > innerWidth + 1 || (e instanceof HTMLElement ?
                e.clientWidth && e.scrollWidth > e.clientWidth + 1 : e.tagName === 'text' && outside(e)));
        const bad = [...document.images].filter(i => !i.naturalWidth);
        document.title = `wide ${wide.map(e => e.outerHTML.slice(0, 80))} bad ${bad.length} width ${innerWidth}`;
    });</script></body>"""
    page.write_text(page.read_text().replace("</body>", probe))
    flags = "--headless --no-sandbox --disable-gpu --disable-background-networking --disable-sync --no-first-run"
    command = ["chromium", *flags.split(), f"--user-data-dir={tmp_path / 'profile'}", f"--window-size={width},900"]
    frame = tmp_path / "frame.html"  # a headless window is never narrower than 500 pixels, a frame in it may be
    frame.write_text(
        f'<iframe src="{page.as_uri()}" width="{width}" height="900" style="border:0"></iframe><script>'
        "addEventListener('load', () => setTimeout(() => document.title = frames[0].document.title, 500))</script>"
    )
    command += ["--allow-file-access-from-files", "--virtual-time-budget=5000", "--dump-dom", frame.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert f"<title>wide bad 0 width {width}</title>" in done.stdout, done.stdout[-500:]


def test_every_run_that_a_claim_names_is_made_by_a_script(root):
    """A claim on a run under another name would silently have no data."""
    made = " ".join(re.sub(r"^\s*#.*", "", path.read_text(), flags=re.M) for path in root.glob("*/scripts/*.sh"))
    made += " ".join(path.stem for path in root.glob("MMLU/configs/mitigation/*.yaml"))
    for claim in claims.read_claims(claims.CLAIMS):
        names = {name for one in claim.alternatives for name in one.runs}
        names |= {*(claim.records or "").split("/")[:-1], *([claim.folder] if claim.folder else [])}
        assert all(re.search(rf"\b{name}\b", made) for name in names), claim.name
