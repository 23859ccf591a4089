"""The report's sections of later papers: sentences turn with the numbers, figures of one model and of two."""

import shutil

import pandas as pd
import pytest

from common.reporting.plots import COLUMN, PAGE
from common.reporting.provenance import file_digest
from tests.scripts import ROOT, load_script

experiments = load_script("report/experiments.py")
further = load_script("report/further.py")
found = load_script("report/read_results.py")
ENDS = ("value", "ci_low", "ci_high")


def rows(*numbers):
    """A table of (part, series, row, value), with intervals of 0.05 to both sides."""
    table = pd.DataFrame(numbers, columns=["part", "series", "row", "value"])
    return table.assign(ci_low=table["value"] - 0.05, ci_high=table["value"] + 0.05, n=100)


def wording(sign):
    shares = dict(zip(further.WORDINGS.values(), (0.8, 0.8 + 0.1 * sign), strict=True))
    pairs = [
        ("pairs", name, row, share) for row in ("all pairs", "English and German") for name, share in shares.items()
    ]
    means = [("mean", "", name, share) for name, share in shares.items()]
    return rows(*pairs, *means, ("ratio", "", "ratio", 1 + 0.1 * sign))


def frequency(sign):
    bins = [("bins", code, documents, 0.5) for documents in ("0 documents", "1-9 documents") for code in ("en", "de")]
    effect = ("effects", "", "frequency: as in English", 0.3 * sign)
    return rows(*bins, effect, ("english", "", "en", 0.9), ("gap", "", "gap", 0.3 * sign))


def edit(sign):
    pairs = [
        ("languages", name, code, 0.5) for code in ("en", "de") for name in ("without the change", "with the change")
    ]
    means = [("means", "", name, 0.2 * sign) for name in ("others", "change", "against")]
    return rows(*pairs, ("edited", "", "en", 0.6), ("edited", "", "de", 0.5), *means).assign(count=0)


def facts(sign):
    names = list(further.GIVEN.values())[:3]
    gaps = [(part, series, name, 0.3) for name in names for part, series in (("gaps", "de"), ("mean", ""))]
    return rows(*gaps, ("change", "", "change", 0.2 * sign)).assign(most=names[-1])


def variance(sign):
    names = ("one sampled answer", "10 answers vote", "infinitely many vote: bias", "variance")
    values = (0.3, 0.3, 0.3 - 0.1 * sign, 0.1 * sign)
    table = rows(*[("ensembles", "single", name, value) for name, value in zip(names, values, strict=True)])
    return pd.concat([table, table.assign(part="single", order=range(4))])


def mexa(sign):
    table = pd.DataFrame({"other": ["de", "de", "fr", "fr"], "layer": [0, 1, 0, 1], "mexa": [0.1, 0.2, 0.3, 0.4]})
    table = table.assign(n=100, mean=[0.15, 0.15, 0.35, 0.35], languages=4, pearson=0.6 * sign)
    return table.assign(pearson_low=table["pearson"] - 0.3, pearson_high=table["pearson"] + 0.3)


def probe(sign):
    best = [("best", "", name, 0.5 + 0.1 * sign) for name in (further.OWN, further.OTHERS)]
    curves = pd.DataFrame({"layer": [0, 1, 0, 1], "where": [further.OWN] * 2 + [further.OTHERS] * 2, "value": 0.6})
    return pd.concat([curves.assign(part="layers"), rows(*best, ("shift", "", "shift", 0.1 * sign))]).assign(n=100)


SECTIONS = {  # a table, and what its sentence says for less, for nothing clear, and for more
    "Knowledge or reasoning": (facts, "the gap falls by 20.0", "includes zero", "the gap rises by 20.0"),
    "Bias or noise": (variance, "noise hides part", "can be shown to be noise", "noise makes 10.0 points"),
    "Language or wording": (wording, "costs more than wording.", "is not shown", "more than wordings of one"),
    "Frequency or barrier": (frequency, "it falls by 30.0", "includes zero", "it rises by 30.0"),
    "Facts changed in English": (edit, "there falls by 20.0", "includes zero", "there rises by 20.0"),
    "Alignment by layer (MEXA)": (mexa, "lower accuracy", "cannot be shown", "higher accuracy"),
    "A probe for right answers": (probe, "latter falls by 10.0", "includes zero", "latter rises by 10.0"),
}


def experiment(title):
    return next(one for one in experiments.EXPERIMENTS if one.title == title)


@pytest.mark.parametrize(("title", "make", *("less", "nothing", "more")), [(t, *row) for t, row in SECTIONS.items()])
def test_opposite_numbers_turn_the_sentence(title, make, less, nothing, more):
    texts = [experiment(title).found(make(sign)) for sign in (-1, 0, 1)]
    for text, expected in zip(texts, (less, nothing, more), strict=True):
        assert [one for one in (less, nothing, more) if one in text] == [expected], text
        assert text.endswith(".") and "nan" not in text and "-0.0" not in text


def test_alignment_is_shown_beside_accuracy_by_arm(tmp_path):
    both = {"change": [0.1, 0.2], "accuracy_change": [0.0, -0.1]}
    table = pd.DataFrame({"model": "m", "arm": ["en", "middle"], "layer": "all"} | both)
    for name in both:
        table[f"{name}_low"], table[f"{name}_high"] = table[name] - 0.05, table[name] + 0.05
    pd.concat([table, table.assign(layer="0")]).to_csv(tmp_path / "layers.csv", index=False)
    files = {"layers.csv": file_digest(tmp_path / "layers.csv")}
    one = experiment("Alignment and fine-tuning")
    result = found.Result(tmp_path / "x.provenance.json", one.scripts[0], "command", "A sentence.", {}, files, 0)
    shown = one.read([result])
    assert one.found(shown) == "A sentence." and list(shown["value"]) == [0.1, 0.2, 0.0, -0.1, 0.1, 0.2]
    assert set(shown["row"]) == {"English text", "English text, sentences aligned"}
    figure = one.draw({"a": shown}, PAGE)
    assert len(figure.legends[0].get_texts()) == 2 and figure.axes[0].get_xlabel().startswith("change")
    assert {text.get_text() for text in one.draw({"a": shown, "b": shown}, COLUMN).legends[0].get_texts()} == {"a", "b"}


def test_settings_that_no_sentence_names_leave_the_page_standing():
    names = ["row", "language", "delta_vs_en", "delta_low", "delta_high"]
    rows = [("en", experiments.MEAN, None, None, None), ("mixup_paper", experiments.MEAN, -0.1, -0.2, 0.0)]
    assert experiments.found_places(pd.DataFrame(rows, columns=names)) == ""


def test_a_sentence_stands_beside_its_own_table(tmp_path):
    names = ["column", "arm", "n", "accuracy", "vs_base", "vs_base_low", "vs_base_high"]

    def result(path, script, command, sentence=""):
        path = tmp_path / path
        path.parent.mkdir(exist_ok=True)
        pd.DataFrame([["full", path.stem, 9, 0.5, 0.1, 0.0, 0.2]], columns=names).to_csv(f"{path}.csv", index=False)
        files = {f"{path.name}.csv": file_digest(f"{path}.csv")}
        return found.Result(path.with_suffix(".provenance.json"), script, command, sentence, {}, files, 0)

    tables = [result(name, "FT/tabulate_arms.py", "c") for name in ("anchor", "remedy", "seed_1/remedy")]
    of_one = result("finding", "FT/finding.py", "x --tables 42=R/remedy.csv --out y", "Of one.")
    of_seeds = result("seeds", "FT/finding.py", "x --tables 1=R/seed_1/remedy.csv,2=R/seed_2/remedy.csv", "Of seeds.")
    for findings, said, arm in (
        ([of_one], "Of one.", "remedy"), ([of_one, of_seeds], "Of seeds.", "remedy"), ([], "", "anchor"),
        ([result("seed_2/finding", "FT/finding.py", "x --tables 2=R/seed_2/remedy.csv", "Of another.")], "", "anchor"),
    ):  # fmt: skip
        shown = experiments.read_tuned([*findings, *tables])
        assert (shown["said"].iloc[0], shown["arm"].iloc[0]) == (said, arm)


def test_a_probe_no_better_than_guessing_is_called_so():
    assert "not clearly more than guessing" in further.found_probe(probe(0))
    assert "not clearly" not in further.found_probe(probe(1))


@pytest.mark.parametrize("title", SECTIONS)
@pytest.mark.parametrize("width", [PAGE, COLUMN])
def test_one_model_has_its_parts_and_two_are_colours(title, width):
    one, make = experiment(title), SECTIONS[title][0]
    for models in (["a"], ["a", "b"]):
        figure = one.draw({model: make(1) for model in models}, width)
        assert figure.get_figwidth() == width
        named = {text.get_text() for legend in figure.legends for text in legend.get_texts()}
        assert ("b" in named) == (len(models) > 1), named


KEPT = {  # a kept table that the section's script wrote, and its name there
    "Knowledge or reasoning": ("MMLU/expected/facts_world_42.csv", "table.csv"),
    "Bias or noise": ("MMLU/expected/variance_world_42.csv", "variance.csv"),
    "Language or wording": ("Recall/expected/wording_seed_42.csv", "agreement.csv"),
    "Alignment by layer (MEXA)": ("Translation/expected/mexa_world_42.csv", "scores.csv"),
    "Invented continents": ("CLiKA/expected/fictional_world_42.csv", "table.csv"),
    "Released answers": ("CLiKA/expected/released_accuracy.csv", "accuracy.csv"),
}


@pytest.mark.parametrize("title", KEPT)
def test_the_kept_tables_are_read(title, tmp_path):
    one, (kept, name) = experiment(title), KEPT[title]
    shutil.copy(ROOT / kept, tmp_path / name)
    files = {name: file_digest(tmp_path / name)}
    result = found.Result(tmp_path / "x.provenance.json", one.scripts[0], "command", "A sentence.", {}, files, 0)
    table = one.read([result])
    assert one.found(table).endswith(".") and "nan" not in one.found(table)
    for models, width in ((["a"], PAGE), (["a"], COLUMN), (["a", "b"], PAGE)):
        assert one.draw(dict.fromkeys(models, table), width).axes
    (tmp_path / name).write_text("cut")
    assert one.read([result]) is None, "a table that was changed is not shown"


def test_released_answers_turn_with_the_numbers():
    table = pd.DataFrame(
        [(m, c, 0.5) for m in ("a", "b") for c in ("en", "de")], columns=["model", "language", "accuracy"]
    )
    table.loc[1, "accuracy"] = 0.3
    one = experiment("Released answers")
    assert "1 of 2 models are better" in one.found(table) and "20.0 points (a)" in one.found(table)
    table.loc[1, "accuracy"] = 0.7
    assert "0 of 2 models are better" in one.found(table) and "-20.0 points (a)" in one.found(table)


def test_closed_book_questions_are_shown_by_language_and_measure(tmp_path):
    cells = [("all", "accuracy", 0.5), ("de", "accuracy", 0.4), ("de", "in_english", 0.3), ("de", "mother_tongue", 0.1)]
    table = pd.DataFrame(cells, columns=["language", "measure", "value"]).assign(n=10, ci_low=0.1, ci_high=0.9)
    table.to_csv(tmp_path / "scores.csv", index=False)
    files = {"scores.csv": file_digest(tmp_path / "scores.csv")}
    one = experiment("What readers of one language know")
    result = found.Result(tmp_path / "x.provenance.json", one.scripts[0], "command", "A sentence.", {}, files, 0)
    shown = one.read([result])
    assert list(shown["row"]) == ["all languages", "de", "de"] and one.found(shown) == "A sentence."
    figure = one.draw({"a": shown, "b": shown}, PAGE)
    assert figure.axes[0].get_xlabel().startswith("its own questions") and one.draw({"a": shown}, COLUMN).axes


def test_cloze_sentences_are_said_by_language():
    table = pd.DataFrame({"language": ["en", "de", "fr"], "accuracy": [0.9, 0.4, 0.2]})
    table = table.assign(n=100, ci_low=0.1, ci_high=0.95, chance=0.25)
    table = table.assign(series="all sentences", row=table["language"], value=table["accuracy"])
    one = experiment("Cloze sentences")
    assert "90.0%" in one.found(table) and "20.0% to 40.0% in 2 other" in one.found(table)
    assert "right in English" not in one.found(table[1:])
    assert one.draw({"a": table}, COLUMN).axes and one.draw({"a": table, "b": table}, PAGE).axes


def test_every_section_is_of_scripts_that_are_there():
    for one in experiments.EXPERIMENTS:
        for script in (*one.scripts, one.command.split()[1]):
            assert (ROOT / script).is_file(), script


def test_what_was_taught_is_said_of_the_model_that_was_taught(tmp_path):
    names = ["model", "task", "language_a", "language_b", "measure", "value", "ci_low", "ci_high", "n"]
    pairs = pd.DataFrame([[m, "t", "en", "de", "correct_jaccard", 0.5, 0.4, 0.6, 9] for m in ("untaught", "taught")])
    pairs.set_axis(names, axis=1).to_csv(tmp_path / "s_consistency.csv", index=False)
    accuracy = pd.DataFrame(
        [["untaught", "de", 0.6, 0.1], ["taught", "de", 0.02, -0.1], ["taught", "fr", 0.04, 0.01]],
        columns=["model", "language", "conductivity", "conductivity_low"],
    )
    accuracy.to_csv(tmp_path / "s_accuracy.csv", index=False)
    files = {name: file_digest(tmp_path / name) for name in ("s_consistency.csv", "s_accuracy.csv")}
    command = "x --runs untaught=a,taught=b --taught en"
    result = found.Result(tmp_path / "s.provenance.json", "CLiKA/consistency.py", command, "", {}, files, 0)
    table = load_script("report/clika_sections.py").read_clika([result])
    assert table["carried"].iloc[0] == pytest.approx(0.03)
    assert (table["clear"].iloc[0], table["languages"].iloc[0], set(table["model"])) == (1, 2, {"taught"})


def test_nothing_is_said_of_the_untaught_model_where_the_taught_one_knows_nothing(tmp_path):
    names = ["model", "task", "language_a", "language_b", "measure", "value"]
    pairs = [[m, t, "en", "de", "correct_jaccard", v] for m in ("untaught", "taught") for t, v in (("x_geo", 0.5),)]
    accuracy = pd.DataFrame(
        [["untaught", "x_geo", "de", 60, 0.6, 0.1], ["taught", "x_geo", "de", 60, float("nan"), float("nan")]],
        columns=["model", "task", "language", "n", "conductivity", "conductivity_low"],
    )
    accuracy.to_csv(tmp_path / "s_accuracy.csv", index=False)
    pd.DataFrame(pairs, columns=names).to_csv(tmp_path / "s_consistency.csv", index=False)
    files = {name: file_digest(tmp_path / name) for name in ("s_consistency.csv", "s_accuracy.csv")}
    command = "x --runs untaught=a,taught=b --taught en"
    result = found.Result(tmp_path / "s.provenance.json", "CLiKA/consistency.py", command, "", {}, files, 0)
    sections = load_script("report/clika_sections.py")
    table = sections.read_clika([result])
    assert table["languages"].iloc[0] == 0 and table["carried"].isna().all()
    said = "Of the questions of x_geo (n = 60) right in English or another language, 50% to 50% are right in both."
    assert sections.found_clika(table) == said


def test_english_alone_has_no_span():
    table = pd.DataFrame({"language": ["en"], "n": [80], "value": [0.3], "ci_low": [0.2], "ci_high": [0.4]})
    table = table.assign(lost=float("nan"), accuracy=0.3, chance=0.25)
    assert experiments.found_languages(table).endswith("right in English (n = 80).")
    said = experiment("Cloze sentences").found(table)
    assert "nan" not in said and "other" not in said


def test_the_translations_shown_are_not_those_of_a_service(tmp_path):
    rows = [("google", "en-de", 9, 60.0, 40.0), ("world", "en-de", 9, 30.0, 10.0)]
    scores = pd.DataFrame(rows, columns=["system", "direction", "n", "chrf", "bleu"])
    scores.to_csv(tmp_path / "t_scores.csv", index=False)
    files = {"t_scores.csv": file_digest(tmp_path / "t_scores.csv")}
    result = found.Result(tmp_path / "t.provenance.json", "Translation/score.py", "x", "", {}, files, 0)
    assert experiments.read_translation([result])["bleu"].tolist() == [10.0]


def test_belebele_is_not_mmlu(tmp_path, monkeypatch):
    rows = [("r", "en", "en", "-", 9, 0.6, 0.5, 0.7), ("r", "mixup", "mixup", "-", 9, 0.4, 0.3, 0.5)]
    names = ["run", "setting", "family", "language", "n", "accuracy", "ci_low", "ci_high"]
    pd.DataFrame(rows, columns=names).to_csv(tmp_path / "t.csv", index=False)
    files, runs = {"t.csv": file_digest(tmp_path / "t.csv")}, {"r": found.Source(tmp_path, "0" * 12, "m")}
    result = found.Result(tmp_path / "t.provenance.json", "MMLU/tabulate_mmlu.py", "x", "", runs, files, 0)
    monkeypatch.setattr(found.Result, "check", lambda self: None)
    for subject, shown in (("law", True), ("belebele", False)):
        monkeypatch.setattr(experiments, "load_records", lambda _, s=subject: pd.DataFrame({"subject": [s, s]}))
        assert (experiments.read_mmlu([result]) is not None) == shown
