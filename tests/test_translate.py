"""Translation/translate.py: files of every direction, killed runs, what it refuses."""

import os
import signal
import subprocess
import sys
import time

import pandas as pd
import pytest

from common.translation.factory import make_translator
from tests.scripts import ROOT, call, load_script

script = load_script("Translation/translate.py")
SENTENCES = {"en": ["The dog sleeps.", "A red house.", ""], "de": ["Der Hund schläft.", "Ein rotes Haus.", ""]}


@pytest.fixture
def small(tmp_path):
    for code, lines in SENTENCES.items():
        for split in ("devtest", "dev"):
            (tmp_path / f"{code}.{split}").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (tmp_path / "en-de.tsv").write_text("dog\tHund\nthe\tder\n", encoding="utf-8")
    return tmp_path


def keys(small, translator="dictionary"):
    common = ["--translator", translator, "--sentences", small, "--out", small / "out", "--device", "cpu"]
    return [*common, "--dictionary", small]


def test_every_direction_from_and_into_english(small, monkeypatch):
    assert call(script, keys(small), monkeypatch) == 0
    assert (small / "out" / "test-en-de").read_text().splitlines() == ["Der Hund sleeps.", "A red house.", ""]
    assert (small / "out" / "test-de-en").read_text().splitlines() == ["The dog schläft.", "Ein rotes Haus.", ""]
    records = pd.read_csv(small / "out" / "records-en-de.csv", keep_default_na=False)
    assert records["source"].tolist() == SENTENCES["en"] and records["hypothesis"][0] == "Der Hund sleeps."


def test_a_data_set_in_the_hubs_layout(small, monkeypatch):
    """As openlanguagedata/flores_plus: <split>/<FLORES-200 code>.parquet, one configuration per language."""
    copy, codes = small / "flores_plus", {"en": "eng_Latn", "de": "deu_Latn", "zh": "cmn_Hans"}
    card = "---\nconfigs:\n"
    for code, name in codes.items():
        card += f"- config_name: {name}\n  data_files:\n"
        for split in ("dev", "devtest"):
            (copy / split).mkdir(parents=True, exist_ok=True)
            rows = pd.DataFrame({"id": range(3), "text": SENTENCES.get(code, ["狗。", "红房子。", "。"])})
            rows.to_parquet(copy / split / f"{name}.parquet")
            card += f"  - split: {split}\n    path: {split}/{name}.parquet\n"
    (copy / "README.md").write_text(f"{card}---\n", encoding="utf-8")
    arguments = [*keys(small), "--sentences", copy, "--languages", "en,de"]
    assert call(script, arguments, monkeypatch) == 0
    assert (small / "out" / "test-en-de").read_text().splitlines() == ["Der Hund sleeps.", "A red house.", ""]
    assert script.read_sentences(str(copy), "zh", "dev")[0] == "狗。"
    scores = ["--hypotheses", small, "--references", copy, "--out", small / "scores.csv"]
    assert call(load_script("Translation/score.py"), scores, monkeypatch) == 0
    assert len(pd.read_csv(small / "scores.csv")) == 2


def test_a_causal_lm_is_shown_examples(small, tiny_checkpoint, monkeypatch):
    arguments = [*keys(small, tiny_checkpoint), "--num_fewshot", "2", "--examples", small, "--directions", "en-de"]
    assert call(script, [*arguments, "--limit", "2"], monkeypatch) == 0
    examples = {("en", "de"): list(zip(SENTENCES["en"], SENTENCES["de"], strict=True))[:2]}
    expected = make_translator(str(tiny_checkpoint), device="cpu", examples=examples)
    answers = expected.translate(SENTENCES["en"][:2], "en", "de")
    written = (small / "out" / "test-en-de").read_text(encoding="utf-8").split("\n")
    assert written == [*(" ".join(answer.split()) for answer in answers), ""]
    zero_shot = make_translator(str(tiny_checkpoint), device="cpu")
    assert zero_shot.identity != expected.identity


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--directions", "en"], "write source and target as en-de"),
        (["--directions", "en-fr"], "fr.devtest"),
        (["--num_fewshot", "3"], "add --examples"),
        (["--num_fewshot", "9", "--examples", "SMALL"], "fewer than 9 sentences"),
        (["--sentences", "nowhere"], "nowhere: not a folder"),
        (["--languages", "en"], "no language besides English"),
    ],
)
def test_bad_input_is_one_sentence(small, monkeypatch, capsys, more, said):
    more = [small if word == "SMALL" else word for word in more]
    assert call(script, [*keys(small), *more], monkeypatch) == 2
    assert said in capsys.readouterr().err and not (small / "out" / "test-en-de").exists()


def test_another_translator_does_not_overwrite(small, monkeypatch, capsys):
    assert call(script, keys(small), monkeypatch) == 0
    (small / "en-de.tsv").write_text("dog\tKatze\n", encoding="utf-8")
    assert call(script, keys(small), monkeypatch) == 2 and "another translator" in capsys.readouterr().err


def test_directions_may_be_added_but_not_other_sentences(small, monkeypatch, capsys):
    assert call(script, [*keys(small), "--directions", "en-de"], monkeypatch) == 0
    first = (small / "out" / "test-en-de").read_bytes()
    assert call(script, [*keys(small), "--directions", "de-en"], monkeypatch) == 0
    assert (small / "out" / "test-en-de").read_bytes() == first and (small / "out" / "test-de-en").exists()
    (small / "de.devtest").write_text("Der Fluss ist alt.\nDer Hund schläft.\n\n", encoding="utf-8")
    assert call(script, [*keys(small), "--directions", "en-de"], monkeypatch) == 2
    assert "other sentences in de" in capsys.readouterr().err


def test_killed_runs_go_on_to_the_same_bytes(small, tiny_checkpoint):
    lines = [f"The dog sleeps {number} times." for number in range(300)]
    for code in SENTENCES:
        (small / f"{code}.devtest").write_text("".join(line + "\n" for line in lines), encoding="utf-8")
    command = [sys.executable, str(ROOT / "Translation/translate.py"), *map(str, keys(small, tiny_checkpoint))]
    whole, killed = small / "out", small / "killed"
    subprocess.run(command, check=True, capture_output=True)
    command[command.index(str(whole))] = str(killed)
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120

    while process.poll() is None and not (killed / "test-en-de").exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    subprocess.run(command, check=True, capture_output=True)
    for name in ("test-en-de", "test-de-en", "records-en-de.csv", "records-de-en.csv"):
        assert (whole / name).read_bytes() == (killed / name).read_bytes(), name
