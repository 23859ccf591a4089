"""Translation/translate.py: files of every direction, killed runs, what it refuses."""

import subprocess
import sys
import time

import pandas as pd
import pytest
import torch

from common.lm import loading
from common.reporting.provenance import write_run
from common.translation.encoder_decoder import EncoderDecoderTranslator
from common.translation.factory import make_translator
from tests.scripts import PYTHON, ROOT, call, load_script

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


def test_the_precision_reaches_the_model(small, tiny_checkpoint, monkeypatch, capsys):
    arguments = [*keys(small, tiny_checkpoint), "--directions", "en-de", "--limit", "1"]
    loaded, load = [], loading.load
    monkeypatch.setattr(loading, "load", lambda *args, **given: loaded.append(given["dtype"]) or load(*args, **given))
    assert call(script, [*arguments, "--dtype", "bfloat16"], monkeypatch) == 0 and loaded == ["bfloat16"]
    assert call(script, arguments, monkeypatch) == 2 and "made by another translator" in capsys.readouterr().err
    assert call(script, [*arguments, "--dtype", "half"], monkeypatch) == 2 and "half" in capsys.readouterr().err
    for given, found in (("auto", "float32"), ("float32", "float32"), ("float16", "float16")):
        translator = EncoderDecoderTranslator("opus-mt-{source}-{target}", device="cpu", dtype=given)
        assert str(translator.dtype) == f"torch.{found}" and translator.identity.endswith(found)


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
    subprocess.run([PYTHON, *command[1:]], check=True, capture_output=True)
    command[command.index(str(whole))] = str(killed)
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120

    while process.poll() is None and not (killed / "test-en-de").exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.kill()
    process.wait()
    subprocess.run([PYTHON, *command[1:]], check=True, capture_output=True)
    for name in ("test-en-de", "test-de-en", "records-en-de.csv", "records-de-en.csv"):
        assert (whole / name).read_bytes() == (killed / name).read_bytes(), name


LATIN = "dog\tHündin\n".encode("latin-1")


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--num_fewshot", "-1"], "num_fewshot must be 0 or more"),
        (["--limit", "0"], "limit 1 or more"),
        (["--limit", "nan"], 'key "limit"'),
        (["--directions", "en-en"], "'en-en': name two languages"),
        (["--directions", "en-de,en-xx"], "unknown language 'xx'"),
        (["--translator", "TINY", "--device", "tpu"], "'tpu' is not known"),
        (["--translator", "TINY", "--directions", "en-de", "--device", "cuda:7"], "cannot be loaded"),
        (["--directions", "en-de,en-fr"], "en-fr.tsv row 2: not UTF-8 (invalid"),
        (["--directions", "en-de,en-it"], "en-it.tsv row 1: two words with a tab between"),
        (["--directions", "en-de,en-es"], "es.devtest: no sentence in it"),
        (["--directions", "en-de,en-nl"], "nl.devtest row 2: not UTF-8"),
    ],
)
def test_everything_is_read_before_the_work(small, tiny_checkpoint, monkeypatch, capsys, more, said):
    """A bad second file, key or device: nothing is translated, and nothing is left but the lock of the folder."""
    files = {
        "en-fr.tsv": b"red\trouge\n" + LATIN,
        "en-it.tsv": b"dog\n",
        "es.devtest": b"",
        "nl.devtest": b"a\n\xfc\nb",
    }
    for name, content in files.items() | {(f"{code}.devtest", b"a\nb\nc\n") for code in ("fr", "it")}:
        (small / name).write_bytes(content)
    if "cuda:7" in more and torch.cuda.device_count() > 7:
        pytest.skip("this machine has that GPU")
    more = [tiny_checkpoint if word == "TINY" else word for word in more]
    more = more if "--directions" in more else ["--directions", "en-de", *more]
    assert call(script, [*keys(small), *more], monkeypatch) == 2
    error = capsys.readouterr().err
    assert said in error and "Traceback" not in error
    assert not any(path.name.startswith(("test-", "records-", "run")) for path in small.glob("out/*"))


def test_other_peoples_folders_are_left_alone(small, tmp_path, monkeypatch, capsys):
    mine = small / "out" / "test-en-de"
    mine.parent.mkdir()
    mine.write_text("mine\n")
    assert call(script, keys(small), monkeypatch) == 2
    assert "out: holds test-en-de, which is not of this command" in capsys.readouterr().err
    assert mine.read_text() == "mine\n" and [*mine.parent.iterdir()] == [mine]
    mine.unlink()
    write_run(small / "out", {"config": {}, "hash": "0"})
    assert call(script, keys(small), monkeypatch) == 2 and "or limit, another script" in capsys.readouterr().err


def test_a_plan_writes_nothing(small, tiny_checkpoint, monkeypatch):
    monkeypatch.setenv("PLAN", "1")
    assert call(script, keys(small, tiny_checkpoint), monkeypatch) == 0 and not (small / "out").exists()


def test_two_processes_on_one_folder(small, monkeypatch, capsys):
    program = "import sys; from common.reporting.files import claim; claim(sys.argv[1]); print(flush=True); input()"
    command = [sys.executable, "-c", program, str(small / "out")]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        other.stdout.readline()
        assert call(script, keys(small), monkeypatch) == 2
        assert "writes there; let it end, or wait with --wait" in capsys.readouterr().err
        other.stdin.close()
    assert call(script, keys(small), monkeypatch) == 0


@pytest.mark.parametrize(("text", "said"), [("{", "cut short, changed"), ("[]", "cut short"), ("", "cut short")])
def test_a_run_json_that_is_none_is_named(small, monkeypatch, capsys, text, said):
    assert call(script, keys(small), monkeypatch) == 0
    (small / "out" / "run.json").write_text(text)
    assert call(script, keys(small), monkeypatch) == 2
    assert f"{small}/out/run.json: {said}" in capsys.readouterr().err
