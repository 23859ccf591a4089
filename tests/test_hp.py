"""HP/: the sample quiz is sound, every source of it is asked alike; a corpus is split by whole terms."""

import csv
import json
import re
from collections import Counter

import numpy as np
import pandas as pd
import pytest

from common.languages import LANGUAGES, PAPER
from common.questions import FOUR
from common.reporting.stats import mcnemar
from tests.mmlu import LOGPROBS
from tests.scripts import ROOT, call, load_script

script = load_script("HP/select_corpus.py")
evaluate = load_script("HP/evaluate_quiz.py")
tabulate = load_script("HP/tabulate_quiz.py")
SAMPLE = ROOT / "HP" / "data" / "sample.csv"
SETTINGS = "en,full,mixup"


def sample_rows():
    with open(SAMPLE, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_sample_has_sixty_questions_half_characters_half_spells():
    rows = sample_rows()
    assert len(rows) >= 60 and len({row["id"] for row in rows}) == len(rows)
    kinds = Counter(row["category"] for row in rows)
    assert kinds["characters"] == kinds["spells"] == len(rows) / 2


def test_sample_answers_are_balanced():
    counts = Counter((row["category"], row["GT"]) for row in sample_rows())
    assert {letter for _, letter in counts} == set(FOUR) and max(counts.values()) - min(counts.values()) <= 1


@pytest.mark.parametrize("row", sample_rows(), ids=lambda row: row["id"])
def test_sample_row_is_complete_in_five_languages(row):
    for language in PAPER:
        options = [row[f"{letter}_{language}"] for letter in FOUR]
        assert row[f"question_{language}"].rstrip().endswith("?") and all(option.strip() for option in options)
        assert len(set(options)) == 4
        for other in PAPER:  # a name may be the same in two languages, but then it is the same option
            for place, letter in enumerate(FOUR):
                theirs = row[f"{letter}_{other}"]
                assert theirs not in options or options.index(theirs) == place
    assert len({row[f"question_{language}"] for language in PAPER}) == len(PAPER)


@pytest.fixture
def ask(monkeypatch, tiny_checkpoint, tmp_path):
    """Run HP/evaluate_quiz.py in this process; returns the exit code and the run folder."""

    def run(data, *more, out="run", settings=SETTINGS):
        keys = ["--model", tiny_checkpoint, "--data", data, "--out", tmp_path / out, "--settings", settings]
        return call(evaluate, [*keys, "--device", "cpu", *more], monkeypatch), tmp_path / out

    return run


def one_language(code):
    """The sample in the columns of the released quiz."""
    cells = ["question", *FOUR]
    return pd.DataFrame([{cell: row[f"{cell}_{code}"] for cell in cells} | {"GT": row["GT"]} for row in sample_rows()])


def hub_copy(folder):
    """A local copy of a data set with the languages as splits, as the hub stores one."""
    (folder / "data").mkdir(parents=True)
    for code in PAPER:
        one_language(code).to_parquet(folder / "data" / f"{LANGUAGES[code].name}-00000-of-00001.parquet")
    return folder


def language_files(folder):
    folder.mkdir()
    for code in PAPER:
        one_language(code).to_csv(folder / f"{LANGUAGES[code].name}.csv", index=False)
    return folder


def test_every_source_is_asked_alike(ask, tmp_path):
    code, sample = ask(SAMPLE, out="sample")
    assert code == 0
    for place in (hub_copy(tmp_path / "hub"), language_files(tmp_path / "files")):
        code, out = ask(place, out=f"run_{place.name}")
        assert code == 0
        for setting in ("en", "full_de"):  # the permutation of mixup is drawn for each id, which these have not
            ours, theirs = (pd.read_csv(folder / f"{setting}.csv") for folder in (sample, out))
            assert list(ours["answer"]) == list(theirs["answer"]) and len(ours) == 64
            assert np.abs(ours[LOGPROBS] - theirs[LOGPROBS]).max(axis=None) < 1e-4


def test_the_hub_layout_with_a_card_loads_by_path(ask, tmp_path):
    folder = hub_copy(tmp_path / "hub")
    files = "".join(f"  - split: {LANGUAGES[code].name}\n    path: data/{LANGUAGES[code].name}-*\n" for code in PAPER)
    card = f"---\nconfigs:\n- config_name: default\n  data_files:\n{files}---\n"
    (folder / "README.md").write_text(card, encoding="utf-8")
    code, out = ask(folder, settings="full_it")
    assert code == 0 and len(pd.read_csv(out / "full_it.csv")) == 64


def test_the_instruction_is_in_the_language_of_the_question(ask, capsys):
    code, _ = ask(SAMPLE, "--show", "1", settings="en,full_de,options_de,rev_question_fr")
    prompts = capsys.readouterr().out
    assert code == 0
    starts = [
        "The following are multiple choice questions (with answers) about Harry Potter.\n\nWhich house",
        "Im Folgenden stehen Multiple-Choice-Fragen (mit Antworten) zum Thema Harry Potter.\n\nZu welchem Haus",
        "The following are multiple choice questions (with answers) about Harry Potter.\n\nWhich house",
        "The following are multiple choice questions (with answers) about Harry Potter.\n\nWhich house",
    ]
    shown = re.findall(r"===\n(.*?\nAnswer:)\n", prompts, re.DOTALL)
    assert [text.startswith(start) for text, start in zip(shown, starts, strict=True)] == [True] * 4


def test_summaries_by_category_and_language(ask, monkeypatch, tmp_path, capsys):
    _, out = ask(SAMPLE)
    summary = pd.read_csv(out / "summary_by_category.csv")
    assert set(summary["category"]) == {"characters", "spells"} and set(summary["n"]) == {32}
    keys = ["--runs", f"before={out},after={out}", "--out", tmp_path / "table"]
    assert call(tabulate, keys, monkeypatch) == 0
    table = pd.read_csv(tmp_path / "table.csv")
    assert len(table) == 2 * 3 * 5 and {"table.md", "table.png", "table.pdf"} <= {p.name for p in tmp_path.iterdir()}
    english, german = (pd.read_csv(out / f"{name}.csv")["correct"] for name in ("en", "full_de"))
    row = table.query("arm == 'after' and category == 'all' and language == 'de'").iloc[0]
    assert row["delta_vs_en"] == pytest.approx(german.mean() - english.mean(), abs=1e-6)
    assert row["p_mcnemar"] == pytest.approx(mcnemar(german, english), rel=1e-5)


def test_the_quiz_is_resumed_under_the_same_configuration_only(ask, capsys):
    code, out = ask(SAMPLE)
    before = {path.name: path.stat().st_mtime_ns for path in out.glob("units/*/*.csv")}
    assert ask(SAMPLE)[0] == 0
    assert {path.name: path.stat().st_mtime_ns for path in out.glob("units/*/*.csv")} == before
    code, _ = ask(SAMPLE, "--topic", "magic", settings="en")
    assert code == 2 and "from another configuration" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda rows: rows[1].update(GT="E"), "row 2: the answer is 'E'"),
        (lambda rows: rows[1].update(B=""), "row 2: option B is empty"),
        (lambda rows: rows.pop(), "63 rows where English has 64"),
        (lambda rows: rows[0].update(GT="A"), "row 1: answer A where English has D"),
        (lambda rows: [row.pop("GT") for row in rows], "row 1: a record with question, A, B, C, D, GT is needed"),
        (lambda rows: rows[0].update(question="\0"), "row 1: "),
        (lambda rows: rows[0].update(category="all"), "row 1: category 'all' is that of all questions together"),
    ],
)
def test_a_malformed_quiz_is_refused_by_file_and_row(ask, tmp_path, capsys, change, said):
    folder = language_files(tmp_path / "files")
    rows = one_language("de").to_dict("records")
    change(rows)
    pd.DataFrame(rows).to_csv(folder / "German.csv", index=False)
    code, out = ask(folder)
    error = capsys.readouterr().err
    assert code == 2 and "German.csv" in error and said in error and not out.exists()


def test_questions_with_differing_answers_can_be_left_out(ask, tmp_path):
    folder = language_files(tmp_path / "files")
    one_language("de").replace({"GT": {"D": "A"}}).iloc[:1].to_csv(folder / "German.csv", index=False)
    rest = one_language("de").iloc[1:]
    rest.to_csv(folder / "German.csv", index=False, header=False, mode="a")
    code, out = ask(folder, "--on_mismatch", "drop", settings="en,full_de")
    assert code == 0 and len(pd.read_csv(out / "en.csv")) == len(pd.read_csv(out / "full_de.csv")) == 63


def test_a_missing_language_is_named(ask, tmp_path, capsys):
    folder = language_files(tmp_path / "files")
    (folder / "Spanish.csv").unlink()
    assert ask(folder)[0] == 2 and "Spanish.csv: no such file" in capsys.readouterr().err
    assert ask(SAMPLE, "--languages", "en,pt")[0] == 2 and "sample.csv, row 1" in capsys.readouterr().err


def test_categories_and_ids_may_be_numbers(ask, tmp_path):
    folder = language_files(tmp_path / "numbers")
    for path in folder.glob("*.csv"):
        table = pd.read_csv(path).assign(category=[None, 5] * 32, id=range(64))
        table.to_json(folder / f"{path.stem}.jsonl", orient="records", lines=True)
        path.unlink()
    code, out = ask(folder, settings="en")
    assert code == 0 and set(pd.read_csv(out / "en.csv")["subject"]) <= {"quiz", "5.0", "5"}


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        (["--runs", ""], "write name=path"),
        (["--runs", "a={run},a={run}"], "twice"),
        (["--runs", "a={run}/en.csv"], "en.csv/run.json"),
        (["--runs", "a=nowhere"], "nowhere/run.json"),
        (["--out", ""], "out is empty"),
        (["--out", "{run}/en.csv/table"], "en.csv"),
    ],
)
def test_tables_of_what_is_no_run_are_refused(ask, tmp_path, monkeypatch, capsys, keys, said):
    _, run = ask(SAMPLE, settings="en")
    keys = [word.format(run=run) for word in keys]
    assert call(tabulate, ["--runs", f"a={run}", "--out", tmp_path / "table", *keys], monkeypatch) == 2
    error = capsys.readouterr().err
    assert said in error and "Traceback" not in error and not list(tmp_path.glob("table.*"))


TEXTS = [
    " = Alpha = \n\n Rowling wrote about a stone .\n",
    " = Beta = \n\n Hogwarts and Harry \n Potter in Hogwarts .\n",
    " = Gamma = \n\n HogwartsX is not the school , nor is Draco .\n",
    " = Delta = \n\n The Goblet of Fire .\n",
]


@pytest.fixture
def corpus(tmp_path):
    (tmp_path / "wiki.txt").write_text("\n" + "\n".join(TEXTS), encoding="utf-8")
    return ["--input", tmp_path / "wiki.txt", "--out", tmp_path / "out"], tmp_path


def test_documents_are_split_by_whole_terms(corpus, monkeypatch):
    keys, folder = corpus
    assert call(script, keys, monkeypatch) == 0
    out = folder / "out"
    assert json.loads((out / "index.json").read_text()) == {"HP-related-index": [1, 3]}
    split = {name: pd.read_json(out / f"{name}.jsonl", lines=True) for name in ("related", "unrelated")}
    assert split["related"]["doc_id"].tolist() == [1, 3] and split["unrelated"]["doc_id"].tolist() == [0, 2]
    assert "Goblet" in split["related"]["text"][1]
    terms = pd.read_csv(out / "terms.csv").set_index("term")
    assert terms.loc["Hogwarts"].tolist() == [1, 2] and terms.loc["Harry Potter"].tolist() == [1, 1]
    assert call(script, [*keys, "--min_count", "3"], monkeypatch) == 0
    assert json.loads((out / "index.json").read_text()) == {"HP-related-index": [1]}


def test_terms_are_found_as_wikitext_writes_them(tmp_path, monkeypatch):
    (tmp_path / "terms.txt").write_text("Half-Blood Prince\nPhilosopher's Stone\n", encoding="utf-8")
    lines = ["The Half @-@ Blood Prince .", "A Philosopher 's Stone .", "Half-Blood Prince and Philosopher's Stone ."]
    lines += ["Half @-@ Blood Princess , half of the Philosopher s Stones ."]
    texts = [f" = Title {n} = \n\n {line}\n" for n, line in enumerate(lines)]
    (tmp_path / "wiki.txt").write_text("\n" + "\n".join(texts), encoding="utf-8")
    keys = ["--input", tmp_path / "wiki.txt", "--out", tmp_path / "out", "--terms", tmp_path / "terms.txt"]
    assert call(script, keys, monkeypatch) == 0
    assert json.loads((tmp_path / "out" / "index.json").read_text()) == {"HP-related-index": [0, 1, 2]}
    terms = pd.read_csv(tmp_path / "out" / "terms.csv").set_index("term")
    assert terms["documents"].to_dict() == {"Half-Blood Prince": 2, "Philosopher's Stone": 2}


@pytest.mark.parametrize("released", [{"HP-related-index": [1, 2]}, [1, 2]])
def test_agreement_with_a_released_index(corpus, monkeypatch, released):
    keys, folder = corpus
    (folder / "index.json").write_text(json.dumps(released))
    assert call(script, [*keys, "--index", folder / "index.json", "--documents", "headings"], monkeypatch) == 0
    row = pd.read_csv(folder / "out" / "summary.csv").iloc[0]
    assert row[["documents", "related", "released", "in_both"]].tolist() == [4, 2, 2, 1]
    assert row["precision"] == row["recall"] == 0.5


LINES = [
    " = Alpha = ",
    "",
    " Rowling wrote . ",
    "  \t",
    "Hogwarts",
    "",
    "",
    " = = Hogwarts again = = ",
    "Draco\u2028two",
    ".",
]


@pytest.mark.parametrize("kind", ["txt", "jsonl"])
@pytest.mark.parametrize("numbers", [[4, 0, 2], [5], [], [0, 1, 2, 3, 4, 5]])
def test_an_index_selects_the_lines_that_it_names(tmp_path, monkeypatch, capsys, kind, numbers):
    """Against the slow obvious way: all lines of the file, without the empty ones, counted from 0."""
    as_rows = [json.dumps({"text": line + "\n"}) for line in LINES] if kind == "jsonl" else LINES
    (tmp_path / f"wiki.{kind}").write_text("\n".join(as_rows) + "\n", encoding="utf-8")
    (tmp_path / "index.json").write_text(json.dumps({"HP-related-index": numbers}))
    keys = ["--input", tmp_path / f"wiki.{kind}", "--index", tmp_path / "index.json", "--out", tmp_path / "out"]
    assert call(script, keys, monkeypatch) == 0
    lines = list(enumerate(line.strip().replace("\u2028", "\n") for line in LINES if line.strip()))
    for name, wanted in (("related", True), ("unrelated", False)):
        written = (tmp_path / "out" / f"{name}.jsonl").read_text(encoding="utf-8").split("\n")[:-1]
        rows = [(row["doc_id"], row["text"]) for row in map(json.loads, written)]
        assert rows == [line for line in lines if (line[0] in numbers) == wanted]
    assert json.loads((tmp_path / "out" / "index.json").read_text()) == {"HP-related-index": sorted(numbers)}
    row = pd.read_csv(tmp_path / "out" / "summary.csv").iloc[0]
    with_terms = {2, 3}  # Hogwarts, Hogwarts again
    both = len(with_terms & set(numbers))
    expected = [6, len(numbers), 6 - len(numbers), len(numbers), both]
    assert row[["documents", "related", "unrelated", "released", "in_both"]].tolist() == expected
    assert row["precision"] == both / 2 and np.isclose(row["recall"], both / (len(numbers) or np.nan), equal_nan=True)
    said = capsys.readouterr().out
    assert "released" in said and ("see --index" in said) == (len(numbers) in (0, 6))


def test_every_line_of_real_text_is_on_one_side(real_data, tmp_path, monkeypatch):
    source = real_data / "wikitext2" / "test.txt"
    if not source.exists():
        pytest.skip("no wikitext2/test.txt")
    lines = [line.strip() for line in source.read_text(encoding="utf-8").split("\n") if line.strip()]
    numbers = np.random.default_rng(0).permutation(len(lines))[:50].tolist()
    (tmp_path / "index.json").write_text(json.dumps(numbers))
    keys = ["--input", source, "--index", tmp_path / "index.json", "--out", tmp_path / "out"]
    assert call(script, keys, monkeypatch) == 0
    related, rest = (pd.read_json(tmp_path / "out" / f"{name}.jsonl", lines=True) for name in ("related", "unrelated"))
    assert related["text"].tolist() == [lines[number] for number in sorted(numbers)]
    assert rest["text"].tolist() == [line for number, line in enumerate(lines) if number not in numbers]


@pytest.mark.parametrize(
    ("index", "said"),
    [
        ("[10]", "document 10, the corpus has 9"),
        ("[9]", "document 9, the corpus has 9, from 0"),
        ("[-1]", "document -1, the corpus has 9"),
        ("[1.0]", "not a JSON list of whole numbers"),
        ('["1"]', "not a JSON list"),
        ("[true]", "not a JSON list"),
        ('{"HP-related-index": 3}', "not a JSON list"),
        ("{}", "not a JSON list"),
        ("x", "not a JSON list"),
        ("[NaN]", "not a JSON list"),
        ("[Infinity]", "not a JSON list"),
        ("[" * 100_000, "not a JSON list"),
    ],
)
def test_a_wrong_index_is_refused_and_nothing_is_written(corpus, monkeypatch, capsys, index, said):
    keys, folder = corpus
    (folder / "index.json").write_text(index)
    assert call(script, [*keys, "--index", folder / "index.json"], monkeypatch) == 2
    assert said in capsys.readouterr().err and not list((folder / "out").glob("[!.]*"))


def test_bad_terms_and_counts(corpus, monkeypatch, capsys):
    keys, folder = corpus
    (folder / "terms.txt").write_text("# nothing\n")
    (folder / "latin.txt").write_bytes("Zauberer\nHüter\n".encode("latin-1"))
    for more, said in (
        (["--terms", folder / "terms.txt"], "no terms"),
        (["--terms", folder / "latin.txt"], "latin.txt: not UTF-8 text"),
        (["--terms", folder / "none.txt"], "none.txt: No such file"),
        (["--min_count", "0"], "1 or more"),
        (["--documents", "foo"], "documents"),
        (["--out", folder / "terms.txt"], "terms.txt: "),
        (["--out", folder], "holds latin.txt, which is not of this command"),
        (["--input", folder / "none.txt"], "none.txt"),
    ):
        assert call(script, [*keys, *more], monkeypatch) == 2
        error = capsys.readouterr().err
        assert said in error and "Traceback" not in error


def test_real_wikitext_is_split(real_data, tmp_path, monkeypatch):
    source = real_data / "wikitext2" / "test.txt"
    if not source.exists():
        pytest.skip("no wikitext2/test.txt")
    assert call(script, ["--input", source, "--out", tmp_path], monkeypatch) == 0
    row = pd.read_csv(tmp_path / "summary.csv").iloc[0]
    assert row["documents"] > 50 and row["related"] + row["unrelated"] == row["documents"]
