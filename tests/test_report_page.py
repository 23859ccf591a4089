"""The report's page: sentences turn with the numbers, words and no paths, text that can be read, one model and five."""

import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest

from common.languages import LANGUAGES
from common.reporting.plots import COLUMN, PAGE, language_style
from common.settings import _FAMILIES, label
from tests.mmlu import write_run
from tests.scripts import ROOT, call, load_script

report = load_script("report/report.py")
experiments = load_script("report/experiments.py")
words = load_script("report/words.py")
mmlu, quiz, arms = (
    load_script(f"{name}.py") for name in ("MMLU/tabulate_mmlu", "HP/tabulate_quiz", "FT/tabulate_arms")
)
claims = load_script("report/check_claims.py")


class Visible(HTMLParser):
    """What a page shows but for commands: texts, sections with their number of elements, and whether it loads."""

    def __init__(self, page):
        super().__init__()
        self.texts, self.sections, self.open, self.loads = [], {}, [], []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        if tag == "section":
            self.sections[attrs["id"]] = 0
            self.current = attrs["id"]
        if tag in ("p", "table", "svg", "blockquote", "img") and self.sections:
            self.sections[self.current] += 1
        if tag in ("style", "code", "script", "svg"):
            self.open.append(tag)
        self.loads += [v for k, v in attrs.items() if k in ("src", "href") and not v.startswith(("data:", "#"))]

    def handle_endtag(self, tag):
        if self.open and self.open[-1] == tag:
            self.open.pop()

    def handle_data(self, data):
        if not {"style", "code"}.intersection(self.open):
            self.texts.append(data)


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """Tables of MMLU, the quiz and fine-tuning of five models, in a folder each."""
    monkeypatch = pytest.MonkeyPatch()
    folder = tmp_path_factory.mktemp("results")
    for seed, share in enumerate((0.5, 0.9, 0.3, 0.7, 0.4)):
        own = folder / f"model{seed}"
        for name in ("run", "quiz", "none", "en", "word"):
            (own / name).mkdir(parents=True)
            write_run(own / name, seed, share, model=str(folder / "models" / f"small_{seed}B"))
        assert call(mmlu, ["--runs", own / "run", "--out", own / "table"], monkeypatch) == 0
        assert call(quiz, ["--runs", f"x={own / 'quiz'}", "--out", own / "by_language"], monkeypatch) == 0
        named = ",".join(f"{name}={own / name}" for name in ("none", "en", "word"))
        assert call(arms, ["--arms", named, "--out", own / "remedy"], monkeypatch) == 0
    monkeypatch.undo()
    return folder


def page_of(folders, out, monkeypatch):
    few = out.parent / "claims.yaml"  # testing all claims takes seconds a model
    few.write_text("\n- name:".join(claims.CLAIMS.read_text(encoding="utf-8").split("\n- name:")[:9]), encoding="utf-8")
    keys = ["--results", ",".join(map(str, folders)), "--out", out, "--claims", few]
    assert call(report, keys, monkeypatch) == 0
    return (out / "report.html").read_text(encoding="utf-8")


@pytest.fixture(scope="module", params=[1, 5])
def page(request, results, tmp_path_factory):
    monkeypatch = pytest.MonkeyPatch()
    folders = sorted(path for path in results.iterdir() if path.name.startswith("model"))[: request.param]
    made = page_of(folders, tmp_path_factory.mktemp("page") / "report", monkeypatch)
    monkeypatch.undo()
    return request.param, made


CODES = "|".join(family for family in _FAMILIES if family not in ("en", "full", "question", "options", "context"))
SETTING = re.compile(
    rf"(?<![\w/.-])(?:(?:{CODES}|full|question|options|context)_(?:{'|'.join(LANGUAGES)})|{CODES})(?![\w/-])"
)
PATH = re.compile(r"(?<![\w.:/…-])/(?:[\w.+-]+/)+[\w.+-]*")


def test_no_path_no_code_word_and_no_empty_section(page, results):
    count, text = page
    visible = Visible(text)
    shown = "\n".join(visible.texts)
    assert not SETTING.findall(shown) and "held_out" not in shown
    assert str(results) not in text and not PATH.findall(
        re.sub(r"<style>.*?</style>|<svg.*?</svg>|data:image/png[^\"]*", "", text, flags=re.S)
    )
    assert len(visible.sections) > 3 and all(visible.sections.values()), visible.sections
    assert not visible.loads, "a page needs no network"
    for seed in range(count):
        assert f"small_{seed}B" in shown
    links = set(re.findall(r'href="#([a-z-]+)"', text))
    assert links == set(visible.sections), "the contents lead to every section"


def test_text_in_figures_can_be_read_at_both_widths(page):
    figures = re.findall(
        r"<svg role=\"img\" aria-label=\"[^\"]*\" style=\"--drawn: ([\d.]+)pt\".*?</svg>", page[1], re.S
    )
    bodies = re.findall(r"<div class=\"(page|column)\">(<svg.*?</svg>)</div>", page[1], re.S)
    assert len(figures) == len(bodies) >= 8 and {name for name, _ in bodies} == {"page", "column"}
    style = (ROOT / "report" / "report.css").read_text()
    assert "min-width: var(--drawn)" in style, "a figure is never shown smaller than it was drawn"
    for name, body in bodies:
        drawn = float(re.search(r"--drawn: ([\d.]+)pt", body)[1])
        units = float(re.search(r'viewBox="0 0 ([\d.]+) ', body)[1])
        assert drawn <= 72 * (PAGE if name == "page" else COLUMN) + 1
        sizes = [float(size) for size in re.findall(r"font: ([\d.]+)px", body)]
        sizes += [float(size) for size in re.findall(r"font-size: ([\d.]+)px", body)]
        assert sizes and min(sizes) * drawn / units >= 8
    assert 72 * COLUMN <= (390 - 28) * 0.75, "a column's figure fits a narrow screen"


def test_five_models_are_columns_and_rows(results, tmp_path, monkeypatch):
    folders = sorted(path for path in results.iterdir() if path.name.startswith("model"))
    text = page_of(folders, tmp_path / "report", monkeypatch)
    table = pd.read_csv(tmp_path / "report" / "models.csv").set_index("model")
    assert set(table.index) == {f"small_{seed}B" for seed in range(5)}
    assert list(table["english"]) == sorted(table["english"], reverse=True)
    for seed, folder in enumerate(folders):
        rows = pd.read_csv(folder / "table.csv").set_index("setting")
        assert table.loc[f"small_{seed}B", "mixup_drop"] == pytest.approx(-rows.loc["mixup", "delta_vs_en"], abs=1e-5)
        assert table.loc[f"small_{seed}B", "full"] == pytest.approx(rows.loc["full", "accuracy"], abs=1e-5)
    head = re.search(r"<table[^>]*>\s*<thead>\s*<tr>\s*<th>percent</th>(.*?)</tr>", text, re.S)[1]
    assert re.findall(r"<th>(.*?)</th>", head) == list(table.index)
    assert len(pd.read_csv(tmp_path / "report" / "claims.csv")["model"].dropna().unique()) == 5


def mmlu_table(sign):
    """A table as of MMLU/tabulate_mmlu.py in which everything but English loses, gains, or (0) does neither."""
    rows = [("en", "-", 0.6, float("nan"))]
    rows += [(name, "mean", 0.6 + 0.1 * sign * k, 0.1 * sign * k) for k, name in enumerate(("full", "mixup", "gt"), 1)]
    table = pd.DataFrame(rows, columns=["family", "language", "accuracy", "delta_vs_en"])
    table = table.assign(
        n=100, ci_low=table["accuracy"] - 0.05, ci_high=table["accuracy"] + 0.05, setting=table["family"]
    )
    return experiments.by_family(
        table.assign(delta_low=table["delta_vs_en"] - 0.05, delta_high=table["delta_vs_en"] + 0.05)
    )


def languages_table(sign):
    rows = [("en", 0.6), ("de", 0.6 + 0.2 * sign)]
    table = pd.DataFrame(rows, columns=["language", "value"]).assign(n=100, ci_low=0.5, ci_high=0.7, lost=0.2 * sign)
    return table.assign(lost_low=table["lost"] - 0.1, lost_high=table["lost"] + 0.1, chosen=True, arm="taught")


def fixes_table(sign):
    table = pd.DataFrame({"method": ["plain", "hint_various"], "gap_closed": [float("nan"), 0.4 * sign]})
    table = table.assign(setting="mixup", mixed="mixup", row=table["method"].map(experiments.named))
    return table.assign(gap_closed_low=table["gap_closed"] - 0.2, gap_closed_high=table["gap_closed"] + 0.2)


def tuned_table(sign):
    table = pd.DataFrame({"column": ["mixup"], "series": ["text mixed by word"], "said": [""], "vs_base": [0.1 * sign]})
    return table.assign(vs_base_low=table["vs_base"] - 0.05, vs_base_high=table["vs_base"] + 0.05)


def embeddings_table(sign):
    table = pd.DataFrame({"baseline": "random_token", "rate": 0.16, "layer": [1, 2], "difference": 0.02 * sign})
    return table.assign(ci_low=table["difference"] - 0.01, ci_high=table["difference"] + 0.01)


def test_fixes_of_a_gap_that_is_hardly_there():
    table = fixes_table(1).assign(gap_closed_low=float("nan"), gap_closed_high=float("nan"))
    assert "the 1 fixes recover has no interval" in experiments.found_fixes(table)
    rows = [fixes_table(1), fixes_table(0.5).tail(1).assign(method="hint_different")]
    more = pd.concat(rows, ignore_index=True)
    assert "(as the best of them" in experiments.found_fixes(more)


TURNS = [  # of each experiment: a table, and what its sentence says for a loss, for nothing clear, and for a gain
    (experiments.found_mmlu, mmlu_table, "accuracy falls by", "no clear change", "accuracy rises by"),
    (experiments.found_places, mmlu_table, "falls by 30.0 points", "", "rises by 30.0 points"),
    (experiments.found_languages, languages_table, "falls by 20.0", "includes zero", "rises by 20.0"),
    (experiments.found_taught, languages_table, "falls by 20.0", "includes zero", "rises by 20.0"),
    (experiments.found_fixes, fixes_table, "loses more", "None of 1 fixes clearly helps", "recovers 40% [20, 60]"),
    (experiments.found_tuned, tuned_table, "falls by 10.0", "no clear change", "rises by 10.0"),
    (experiments.found_embeddings, embeddings_table, "in no layer", "in no layer", "in every layer"),
]


@pytest.mark.parametrize(("found", "make", *("loss", "nothing", "gain")), TURNS)
def test_opposite_numbers_turn_the_sentence(found, make, loss, nothing, gain):
    said = [found(make(sign)) for sign in (-1, 0, 1)]
    for text, expected, others in zip(said, (loss, nothing, gain), ((gain,), (), (loss,)), strict=True):
        assert expected in text and not any(other in text for other in others), text


def test_the_first_sentences_turn_too(results, tmp_path, monkeypatch):
    """A run whose numbers are turned round, from records to the page."""
    texts = []
    for name in ("falls", "rises"):
        folder = tmp_path / name
        shutil.copytree(results / "model0", folder)
        if name == "rises":
            table = pd.read_csv(folder / "table.csv")
            turned = table.assign(
                delta_vs_en=-table["delta_vs_en"], delta_low=-table["delta_high"], delta_high=-table["delta_low"]
            )
            turned.to_csv(folder / "table.csv", index=False)
            provenance = json.loads((folder / "table.provenance.json").read_text())
            provenance["files"]["table.csv"] = _digest(folder / "table.csv")
            (folder / "table.provenance.json").write_text(json.dumps(provenance))
        text = page_of([folder], tmp_path / f"{name}_report", monkeypatch)
        texts.append(re.search(r'<ol class="headline">(.*?)</ol>', text, re.S)[1])
    assert "accuracy falls by" in texts[0] and "accuracy rises by" not in texts[0]
    assert "accuracy rises by" in texts[1] and "accuracy falls by" not in texts[1]


def _digest(path: Path) -> str:
    from common.reporting.provenance import file_digest

    return file_digest(path)


def test_settings_and_arms_have_words():
    for family in _FAMILIES:
        for name in (family, f"{family}_de"):
            if name not in ("en_de", "mixup_de", "mixup_paper_de"):
                assert "_" not in label(name) and label(name) != name
    assert label("gt_question_de") == "question and correct option in German"
    assert label("rev_gt_fr") == "all in French but for the correct option" and label("other_name") == "other name"
    said = words.in_words("on full_de, gt and mixup; not FT/mixup.py or full")
    assert said == "on everything in German, the correct option translated and mixed languages; not FT/mixup.py or full"
    assert words.cell("de-en", "direction") == "German to English" and words.cell("de", "name") == "de"
    assert words.without_paths("run /a/b/c.csv, see https://x.org/y/z") == "run …/c.csv, see https://x.org/y/z"
    assert words.without_paths(f"{ROOT}/MMLU/x.py") == "MMLU/x.py"


def test_a_language_has_one_colour_in_every_figure():
    codes = ["en", "de", "fr", "es", "it", "pt", "nl", "ru", "zh"]
    styles = [tuple(language_style(code, other).values()) for other in ((), ["it", "x"]) for code in codes]
    assert styles[: len(codes)] == styles[len(codes) :]
    assert len({color for color, _ in styles}) == len(codes)
