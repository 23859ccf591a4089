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

claims = load_script("report/check_claims.py")
report = load_script("report/report.py")
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


@pytest.fixture
def results(tmp_path, monkeypatch):
    """Results of four scripts on synthetic runs; everything above the runs is made by the scripts themselves."""
    folder = tmp_path / "results"
    accuracy = {"run": 0.5, "quiz": 0.4, "none": 0.3, "en": 0.3, "word": 0.9, "hint_various": 0.55}
    for seed, (name, share) in enumerate(accuracy.items()):
        (folder / name).mkdir(parents=True)
        write_run(folder / name, seed, share, model="tiny<model>")
        session = {"start": "2026-01-01T00:00:00+00:00", "end": "2026-01-01T00:00:10+00:00", "computed_tokens": 1}
        rewrite(folder / name, sessions=[session])
    run, named = folder / "run", ",".join(f"{name}={folder / name}" for name in ("none", "en", "word"))
    assert call(mmlu, ["--runs", run, "--out", run / "table", "--category", "english_only"], monkeypatch) == 0
    assert call(plot, ["--run", run, "--out", run / "accuracy"], monkeypatch) == 0
    assert call(finding, ["--run", run], monkeypatch) == 0
    assert call(quiz, ["--runs", f"tiny={folder / 'quiz'}", "--out", folder / "by_language"], monkeypatch) == 0
    assert call(arms, ["--arms", named, "--out", folder / "remedy"], monkeypatch) == 0
    keys = ["--plain", run, "--runs", f"hint_various={folder / 'hint_various'}", "--out", folder / "mitigation"]
    assert call(mitigation, keys, monkeypatch) == 0
    return folder


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
    tested = (table["verdict"] != "not enough data").sum()
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
    hinted = by_question(results / "hint_various", ["mixup"], "english_only")
    parts = english.loc[hinted.index], mixup.loc[hinted.index], hinted
    same("hint", gap_closed(*parts, seed=42), gap_closed(*parts, seed=42, level=level))
    assert table.loc["translation", "verdict"] == "not enough data"
    assert "no result of Translation/score.py" in table.loc["translation", "note"]


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


def test_conductivity_is_that_of_common_metrics(monkeypatch):
    rng = np.random.default_rng(0)
    taught, elsewhere = (rng.random(80) < 0.9).astype(float), (rng.random(80) < 0.4).astype(float)
    claim = next(claim for claim in claims.read_claims(claims.CLAIMS) if claim.measure == "conductivity")
    verdict = claims.decide(claim, {"against": taught, "of": elsewhere}, "tiny", 42, 3)
    assert (verdict.effect, verdict.ci_low, verdict.ci_high) == conductivity(taught, elsewhere, 0.25, seed=42)
    assert verdict.verdict == "holds" and verdict.corrected_low < verdict.ci_low
    monkeypatch.setattr(claims, "gather", lambda *_: ({"against": np.zeros(80), "of": elsewhere}, "tiny"))
    unknown = claims.check([claim], [], 42)[0]
    assert (
        unknown.verdict == "not enough data" and unknown.note == "0.0% right to begin with, which is not above chance"
    )


def test_a_claim_needs_its_whole_corrected_interval():
    claim = next(claim for claim in claims.read_claims(claims.CLAIMS) if claim.name == "remedy")
    before = np.zeros(100)
    after = np.repeat([1.0, 0.0], [6, 94])
    alone = claims.decide(claim, {"of": after, "against": before}, "", 42, 1)
    among_many = claims.decide(claim, {"of": after, "against": before}, "", 42, 1000)
    assert (alone.verdict, among_many.verdict) == ("holds", "does not hold")
    assert alone.effect == among_many.effect == 0.06


def test_every_claim_names_a_script_and_a_paper(root):
    for claim in claims.read_claims(claims.CLAIMS):
        assert (root / claim.result).is_file() and claim.where.startswith("arXiv ")


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
            value for key, value in attrs.items() if key in ("src", "href") and not value.startswith("data:")
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
    assert '<table class="wide">' in report.as_html(text, tmp_path, "wide")


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
    assert len(page.tables[0]) == 1 + len(claims.read_claims(claims.CLAIMS))
    for path in results.glob("**/*.md"):
        if path.parent.name != "report":
            lines = [line.strip("| ").split(" | ") for line in path.read_text().splitlines() if line.startswith("|")]
            assert lines[0][0] in {head[0] for head in heads}
            assert [cell for row in lines[2:3] for cell in row][0] in {row[0] for table in page.tables for row in table}
    assert "MMLU in mixed languages" in page.headings
    assert "<code>tiny&lt;model&gt;</code>" in (results / "report" / "report.html").read_text()
    assert any("Translation/score.py" in quote and "bash Translation/scripts" in quote for quote in page.quotes)
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
    assert any(f"{path}: not as HP/tabulate_quiz.py wrote it" in quote for quote in page.quotes)
    assert len(page.images) == 3
    verdicts = {row[0]: row[-1] for row in page.tables[0]}
    assert any("cut short or changed" in said for said in verdicts.values())


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
    assert any("mixup.csv: not the file that run.json describes" in row[-1] for row in page.tables[0])
    assert len(page.images) == 3


PROVENANCE = [  # changes of a provenance file, and what the report says
    ({"files": {"../secret.csv": "0"}}, "its file ../secret.csv is not in its folder"),
    ({"files": {"/etc/passwd": "0"}}, "its file /etc/passwd is not in its folder"),
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
    shown = [[" ".join(name.split()) for name in ODD_NAMES]] * 2
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
        const wide = [...document.querySelectorAll('main *')].filter(e =>
            e.getBoundingClientRect().right > innerWidth + 1 || e.clientWidth && e.scrollWidth > e.clientWidth + 1);
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
        parts = (claim.of, claim.against, claim.english)
        names = {claim.run, *(part.get("run") for part in parts), *(claim.records or "").split("/")[:-1]} - {None}
        assert all(re.search(rf"\b{name}\b", made) for name in names), claim.name
