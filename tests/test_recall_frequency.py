"""Recall/frequency.py: bins against a loop, a regression that recovers what was simulated, malformed data."""

import json

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm

from common.cli import InputError
from common.lm.loading import load
from common.reporting.stats import wilson
from tests.scripts import call, load_script
from tests.test_recall_cloze import slow_scores
from world import build
from world.config import WorldConfig
from world.facts import SHARED, make_universe

frequency = load_script("Recall/frequency.py")
klar = load_script("Recall/klar.py")
barrier = load_script("Recall/barrier_regression.py")
FACTS = {
    "en": [("river of Paris: ", "Seine", 1200), ("river of Turin: ", "Po", 30), ("river of Nantes: ", "Loire", 8)],
    "de": [("Fluss von Paris: ", "Seine", 40), ("Fluss von Turin: ", "Po", 0), ("Fluss von Nantes: ", "die Loire", 3)],
}
CODES = {"en": "eng_Latn", "de": "deu_Latn", "ar": "ara_Arab"}


def write(folder, facts=FACTS):
    """Facts in KLAR's layout, the last one of a relation of its own."""
    folder.mkdir(exist_ok=True)
    known = {}
    for code, own in facts.items():
        text = "".join(before + answer + "\n" for before, answer, _ in own)
        (folder / f"{CODES[code]}.txt").write_text(text, encoding="utf-8")
        rows = [{"subject": "x", "object": answer, "index": n, "frequency": f} for n, (_, answer, f) in enumerate(own)]
        known[code] = {"river": rows}
    (folder / "lang_rel_frequencies.json").write_text(json.dumps(known), encoding="utf-8")
    return folder


def simulated(coefficients, facts=1500, languages=4, seed=0):
    """Rows of facts in several languages whose log-odds of being right are those of the coefficients, const first."""
    rng = np.random.default_rng(seed)
    n = facts * languages
    rows = pd.DataFrame({"fact": np.repeat(np.arange(facts), languages), "log_frequency": rng.uniform(0, 5, n)})
    rows["english_log_frequency"] = rows["log_frequency"] + 1.5
    rows["right_in_english"] = np.repeat(rng.integers(0, 2, facts), languages)
    rows["same_script"] = np.tile([0, 1] * (languages // 2), facts)
    rows["same_answer"] = rng.integers(0, 2, n) * rows["same_script"]
    odds = coefficients[0] + rows[list(barrier.TERMS)].to_numpy() @ coefficients[1:]
    return rows.assign(right=(rng.random(n) < 1 / (1 + np.exp(-odds))).astype(int))


def test_the_regression_recovers_what_was_simulated():
    known = np.array([-2.0, 0.4, 0.9, -0.3, 0.7])
    rows = simulated(known)
    table = barrier.regression(rows).set_index("term")
    for term, truth in zip(barrier.TERMS, known[1:], strict=True):
        row = table.loc[[term]].iloc[0]
        assert row["coef_low"] < truth < row["coef_high"] and row["coef_high"] - row["coef_low"] < 0.4
    odds = known[0] + rows[list(barrier.TERMS)].to_numpy() @ known[1:]

    def sigmoid(x):
        return 1 / (1 + np.exp(-x))

    true = {
        ("log_frequency", "ten times"): sigmoid(odds + known[1]) - sigmoid(odds),
        ("log_frequency", "as in English"): sigmoid(odds + 1.5 * known[1]) - sigmoid(odds),
        ("same_answer", "0 to 1"): sigmoid(odds + known[4] * (1 - rows["same_answer"]))
        - sigmoid(odds - known[4] * rows["same_answer"]),
    }
    table = table.reset_index().set_index(["term", "change"])
    for key, changes in true.items():
        row = table.loc[key]
        assert row["points_low"] < 100 * changes.mean() < row["points_high"]
    assert set(table["rows"]) == {6000} and set(table["facts"]) == {1500}


def test_effects_are_those_of_statsmodels():
    rows = simulated([-1.0, 0.3, 0.5, 0.2, 0.4], facts=200)
    table = barrier.regression(rows).set_index(["term", "change"])
    values = sm.add_constant(rows[list(barrier.TERMS)].astype(float))
    fit = sm.Logit(rows["right"], values).fit(disp=0, cov_type="cluster", cov_kwds={"groups": rows["fact"]})
    effects = fit.get_margeff(at="overall", dummy=True).summary_frame()
    for term in ("right_in_english", "same_script", "same_answer"):
        row, theirs = table.loc[term, "0 to 1"], effects.loc[term]
        assert row["points"] == pytest.approx(100 * theirs["dy/dx"], rel=1e-6)
        assert row["points_low"] == pytest.approx(100 * theirs.iloc[4], rel=1e-3)
        assert row["coef_high"] == pytest.approx(fit.conf_int().loc[term, 1], rel=1e-6)


def test_a_fact_asked_in_ten_languages_is_one_fact():
    rows = simulated([-1.0, 0.3, 0.5, 0.2, 0.4], facts=300, languages=2)
    once = barrier.regression(rows)
    often = barrier.regression(pd.concat([rows] * 10, ignore_index=True))
    assert often["coefficient"].to_numpy() == pytest.approx(once["coefficient"].to_numpy(), rel=1e-4)
    width = [(table["coef_high"] - table["coef_low"]).to_numpy() for table in (once, often)]
    assert width[1] == pytest.approx(width[0], rel=0.02)


def test_columns_that_never_vary_are_left_out_and_those_that_decide_have_no_estimate():
    rows = simulated([-1.0, 0.3, 0.5, 0.2, 0.4], facts=100)
    table = barrier.regression(rows.assign(same_script=1))
    assert "same_script" not in set(table["term"]) and table["points"].notna().all()
    for decided in (rows.assign(right=rows["right_in_english"]), rows.assign(right=1)):
        assert barrier.regression(decided)["points"].isna().all()
    facts = rows.assign(right=1, language="de", relation="r")
    english = facts.assign(language="en")
    said = frequency.finding(pd.concat([english, facts]), barrier.regression(facts))
    assert "nothing, with too few facts" in said and "nan" not in said


def test_bins_are_those_of_a_loop():
    rng = np.random.default_rng(0)
    counts = rng.choice([0, 1, 9, 10, 99, 100, 5_000, 99_999, 100_000, 10**7], 300)
    right = rng.integers(0, 2, (2, 300))
    tables = {
        code: pd.DataFrame(
            {"id": range(300), "relation": "r", "answer": answer, "correct": own, "frequency": counts.astype(str)}
        )
        for code, own, answer in (("en", right[0], "Rome"), ("de", right[1], "ROME"))
    }
    facts = frequency.all_facts(tables)
    assert set(facts["same_answer"]) == {1} and set(facts["same_script"]) == {1}
    german = facts[facts["language"] == "de"]
    assert list(german["right_in_english"]) == list(right[0])
    median = np.median(counts)
    assert list(german["half"]) == ["upper" if count > median else "lower" for count in counts]
    table = frequency.by_bin(facts).set_index(["language", "documents"])
    bounds = [(0, 0), (1, 9), (10, 99), (100, 999), (1_000, 9_999), (10_000, 99_999), (100_000, 10**9)]
    for name, (low, high) in zip(frequency.BINS, bounds, strict=True):
        chosen = [place for place, count in enumerate(counts) if low <= count <= high]
        n, k = len(chosen), sum(right[1][place] for place in chosen)
        both = sum(right[0][place] and right[1][place] for place in chosen)
        either = sum(right[0][place] or right[1][place] for place in chosen)
        row = table.loc["de", name]
        assert (row["n"], row["either"]) == (n, either) and row["accuracy"] == pytest.approx(k / n)
        assert (row["ci_low"], row["ci_high"]) == pytest.approx(wilson(k, n))
        assert row["consistency"] == pytest.approx(both / either)
    assert table.loc[("de", "all"), "n"] == 300 and table.loc[("en", "all"), "consistency"] == 1


def test_answers_are_the_best_of_one_forward_pass_each(tiny_checkpoint, tmp_path, monkeypatch, capsys):
    out = tmp_path / "out"
    keys = ["--model", tiny_checkpoint, "--data", write(tmp_path / "data"), "--out", out, "--device", "cpu"]
    assert call(frequency, keys, monkeypatch) == 0 and "are right in English" in capsys.readouterr().out
    model, tokenizer = load(str(tiny_checkpoint), device="cpu")
    for code, own in FACTS.items():
        table = pd.read_csv(out / f"{code}.csv", dtype=str)
        names = [answer for _, answer, _ in own]
        for (text, answer, count), said in zip(own, table.itertuples(), strict=True):
            scores = slow_scores(model, tokenizer, f"{text}<mask>", names)
            assert said.prediction == names[int(np.argmax(scores))] and int(said.frequency) == count
            assert int(said.correct) == (said.prediction == answer)
    assert pd.read_csv(out / "facts.csv")["same_answer"].tolist() == [1, 1, 1, 1, 1, 0]


def test_a_limit_asks_fewer_facts_among_the_same_answers(tiny_checkpoint, tmp_path, monkeypatch):
    keys = ["--model", tiny_checkpoint, "--data", write(tmp_path / "data"), "--device", "cpu"]
    for name, more in (("all", []), ("one", ["--limit", "1"])):
        assert call(frequency, [*keys, "--out", tmp_path / name, *more], monkeypatch) == 0
    every, one = (pd.read_csv(tmp_path / name / "de.csv", dtype=str) for name in ("all", "one"))
    pd.testing.assert_frame_equal(one, every[:1])


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        ({"en": FACTS["en"], "de": FACTS["de"][:2]}, "de and en have other facts or another order"),
        ({"en": FACTS["en"], "de": [*FACTS["de"][:2], ("", "Loire", 3)]}, "deu_Latn.txt, line 3: does not end with"),
        ({"en": FACTS["en"], "de": [*FACTS["de"][:2], ("a ", "Loire", -3)]}, "deu_Latn.txt, line 3: does not end with"),
        ({"en": FACTS["en"], "de": [*FACTS["de"][:2], ("a ", "Loire", "many")]}, "de has a fact without index, object"),
        ({"de": FACTS["de"], "ar": FACTS["de"]}, "languages de,ar: name en"),
    ],
)
def test_malformed_facts_are_refused(facts, said, tmp_path, monkeypatch, capsys):
    keys = ["--model", "none", "--data", write(tmp_path / "data", facts), "--out", tmp_path / "out"]
    assert call(frequency, keys, monkeypatch) == 2
    error = capsys.readouterr().err
    assert said in error and "Traceback" not in error and not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("deu_Latn.txt", "one line\n", "deu_Latn.txt: 1 lines where lang_rel_frequencies.json has 3 facts"),
        ("deu_Latn.txt", None, "deu_Latn.txt: cannot be read"),
        ("lang_rel_frequencies.json", "[1]", "no object with a language a key"),
        ("lang_rel_frequencies.json", "{", "cannot be read as JSON"),
        ("lang_rel_frequencies.json", '{"en": {}, "de": {}}', "eng_Latn.txt: 3 lines where"),
    ],
)
def test_files_that_do_not_fit_are_named(name, content, said, tmp_path, monkeypatch, capsys):
    data = write(tmp_path / "data")
    (data / name).unlink()
    if content is not None:
        (data / name).write_text(content)
    assert call(frequency, ["--model", "none", "--data", data, "--out", tmp_path / "out"], monkeypatch) == 2
    error = capsys.readouterr().err
    assert said in error and "Traceback" not in error


def test_the_counts_may_lie_above_the_texts(tmp_path):
    data = write(tmp_path / "data")
    texts = data / "klar_variant_full"
    texts.mkdir()
    for path in data.glob("*.txt"):
        path.rename(texts / path.name)
    assert klar.known_languages(texts) == ["en", "de"]
    assert [fact.frequency for fact in klar.read_klar(texts, ["en", "de"])["de"]] == [40, 0, 3]


def test_unknown_languages_are_refused(tmp_path, monkeypatch, capsys):
    keys = ["--model", "none", "--data", write(tmp_path / "data"), "--out", tmp_path / "out", "--languages", "en,fr"]
    assert call(frequency, keys, monkeypatch) == 2 and "has no language 'fr', only en, de" in capsys.readouterr().err
    (tmp_path / "data" / klar.FREQUENCIES).write_text('{"xx": {}, "en": {}}')
    with pytest.raises(InputError, match="unknown language 'xx'"):
        klar.read_klar(tmp_path / "data", ["xx", "en"])
    assert [klar.code_of(code) for code in ("ca", "ar", "ko", "de")] == ["cat_Latn", "ara_Arab", "kor_Kore", "deu_Latn"]
    assert klar.script_of("ko") == "Kore"


def test_in_the_world_facts_without_text_have_no_frequency(root, tmp_path, monkeypatch):
    universe = make_universe(WorldConfig())
    build.write_klar(tmp_path / "data", universe, WorldConfig())
    shared = {fact.name for fact in universe.facts[SHARED]}
    for code, own in klar.read_klar(tmp_path / "data", ["en", "de", "nl"]).items():
        for fact in own:
            everywhere = any(name in fact.text for name in shared)
            assert (fact.frequency > 0) == (code == "en" or everywhere)
    keys = ["--model", root / "assets/world", "--data", tmp_path / "data", "--out", tmp_path / "out"]
    assert call(frequency, [*keys, "--languages", "en,de", "--device", "cpu"], monkeypatch) == 0
    bins = pd.read_csv(tmp_path / "out" / "bins.csv").set_index(["language", "documents"])
    assert bins.loc[("de", "0"), "ci_high"] < 0.5 < 0.8 < bins.loc[("de", "100-999"), "ci_low"]
    effects = pd.read_csv(tmp_path / "out" / "regression.csv").set_index("change")
    assert effects.loc["ten times", "points_low"] > 0


def test_real_klar(real_data):
    if not (real_data / "klar").exists():
        pytest.skip("no klar/")
    codes = klar.known_languages(real_data / "klar")
    facts = klar.read_klar(real_data / "klar", codes)
    assert len(codes) == 12 and codes[0] == "en" and {len(own) for own in facts.values()} == {1197}
    sizes = {code: [len(names) for names in frequency.answers_of(own).values()] for code, own in facts.items()}
    assert sum(own == sizes["en"] for own in sizes.values()) == 11, "two Greek answers are the same"
