"""Translation/score.py: equal to the sacrebleu command line, released COMET read, short files named."""

import json
import subprocess
import sys

import pandas as pd
import pytest

from tests.scripts import call, load_script

script = load_script("Translation/score.py")


@pytest.fixture
def small(tmp_path):
    """Two systems in two directions; one file is short, one empty."""
    texts = {
        "en": ["The dog sleeps.", "A red house.", "It rains."],
        "de": ["Der Hund schläft.", "Ein rotes Haus.", "Es regnet."],
    }
    (tmp_path / "references").mkdir()
    for code, lines in texts.items():
        (tmp_path / "references" / f"{code}.devtest").write_text("\n".join(lines), encoding="utf-8")
    files = {
        "a/test-en-de": ["Der Hund schläft.", "Ein Haus.", "Es regnet."],
        "a/test-de-en": ["The dog sleeps.", "A red house."],
        "b/test-en-de": ["Hund.", "Rot.", "Regen."],
        "b/test-de-en": [],
    }
    for name, lines in files.items():
        path = tmp_path / "systems" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(line + "\n" for line in lines), encoding="utf-8")
    (tmp_path / "systems/a/test-en-de.comet").write_text("x\tSegment 0\tscore: 0.9\nx\tscore: 0.8125\n")
    out = tmp_path / "out" / "scores.csv"
    return ["--hypotheses", tmp_path / "systems", "--references", tmp_path / "references", "--out", out], out


def test_short_and_empty_files_are_named_and_left_out(small, monkeypatch, capsys):
    arguments, out = small
    assert call(script, arguments, monkeypatch) == 0
    table = pd.read_csv(out)
    assert table[["system", "direction", "n"]].values.tolist() == [["a", "en-de", 3], ["b", "en-de", 3]]
    assert table["comet_released"].tolist()[0] == 0.8125 and table["comet"].isna().all()
    said = capsys.readouterr().out
    assert "a de-en: 2 lines for 3 references" in said and "b de-en: the file is empty" in said
    summary = out.with_suffix(".summary.csv").read_text()
    assert "de-en: 2 lines for 3 references" in summary
    assert {path.suffix for path in out.parent.iterdir()} >= {".csv", ".json", ".png", ".pdf"}


def test_an_empty_comet_file_is_a_missing_value_that_is_named(small, monkeypatch, capsys):
    arguments, out = small
    empty = arguments[1] / "b" / "test-en-de.comet"
    empty.touch()
    assert call(script, arguments, monkeypatch) == 0
    table = pd.read_csv(out).set_index("system")
    assert table.loc["a", "comet_released"] == 0.8125 and pd.isna(table.loc["b", "comet_released"])
    assert table.loc["b", ["bleu", "chrf", "ter"]].notna().all()
    assert f"note: {empty} is empty; its score is missing" in capsys.readouterr().out


def test_a_prefix_is_scored_where_it_is_allowed(small, monkeypatch):
    arguments, out = small
    assert call(script, [*arguments, "--allow-prefix", "true"], monkeypatch) == 0
    table = pd.read_csv(out).set_index(["system", "direction"])
    assert table.loc[("a", "de-en"), "n"] == 2 and table.loc[("a", "de-en"), "bleu"] > 99


def test_paired_bootstrap_against_a_baseline(small, monkeypatch, capsys):
    arguments, out = small
    assert call(script, [*arguments, "--baseline", "b", "--resamples", "100"], monkeypatch) == 0
    table = pd.read_csv(out.with_suffix(".paired.csv"))
    assert (table["difference"] * table["metric"].map(lambda name: -1 if name == "TER" else 1) > 0).all()
    assert table["p"].between(0, 1).all()
    assert call(script, [*arguments, "--baseline", "nobody"], monkeypatch) == 2
    assert "nobody" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"--hypotheses": "nowhere"}, "no file <system>"),
        ({"--references": "nowhere"}, "nowhere"),
        ({"--baseline": "nobody"}, "no system of that name; there are a, b"),
        ({"--resamples": "-1"}, "resamples is -1"),
        ({"--hypotheses": "LATIN"}, "test-en-de row 2: not UTF-8"),
        ({"--hypotheses": "UNKNOWN"}, "test-en-xx: unknown language 'xx'"),
        ({"--hypotheses": "COMET"}, "test-en-de.comet: its last line is 'x', not the system's score"),
    ],
)
def test_bad_input_is_one_sentence(small, tmp_path, monkeypatch, capsys, keys, said):
    arguments, out = small
    files = {"LATIN": {"test-en-de": b"Hund\nH\xfcnd\n"}, "UNKNOWN": {"test-en-xx": b"a\nb\nc\n"}}
    files["COMET"] = {"test-en-de": b"a\nb\nc\n", "test-en-de.comet": b"x\n"}
    for folder, contents in files.items():
        for name, content in contents.items():
            (tmp_path / folder / "a").mkdir(parents=True, exist_ok=True)
            (tmp_path / folder / "a" / name).write_bytes(content)
    more = [tmp_path / word if word in files else word for pair in keys.items() for word in pair]
    assert call(script, [*arguments, *more], monkeypatch) == 2
    assert said in capsys.readouterr().err and not out.exists()


def test_names_with_a_point_keep_apart_and_no_foreign_file_is_replaced(small, monkeypatch, capsys):
    arguments, out = small
    for name in ("gpt-3.5", "gpt-3.7.csv"):
        assert call(script, [*arguments[:-1], out.parent / name], monkeypatch) == 0
    names = {path.name for path in out.parent.iterdir()}
    assert {f"gpt-3.{n}{end}" for n in (5, 7) for end in (".csv", ".summary.csv", ".png", ".directions.png")} <= names
    assert not any(name.startswith("gpt-3.summary") for name in names)
    out.with_suffix(".summary.csv").write_text("mine")
    assert call(script, arguments, monkeypatch) == 2
    assert "scores.summary.csv: is there and not of an earlier" in capsys.readouterr().err
    assert out.with_suffix(".summary.csv").read_text() == "mine" and not out.exists()


def test_a_language_whose_tokenizer_is_missing(small, monkeypatch, capsys):
    def missing(**_):
        raise RuntimeError("\nPlease install them like so.\n\n    pip install sacrebleu[ja]\n")

    arguments, out = small
    monkeypatch.setattr(script, "BLEU", missing)
    assert call(script, arguments, monkeypatch) == 2 and not out.exists()
    assert "BLEU of de: Please install them like so. pip install sacrebleu[ja]" in capsys.readouterr().err


def test_without_comet_a_sentence_says_how_to_get_it(small, monkeypatch, capsys):
    arguments, out = small
    monkeypatch.setitem(script.comet_scores.__globals__, "PYTHON", script.Path("nowhere"))
    assert call(script, [*arguments, "--comet", "Unbabel/wmt22-comet-da"], monkeypatch) == 0
    assert "install_comet.sh" in capsys.readouterr().out and pd.read_csv(out)["comet"].isna().all()


TINY_COMET = """
import sys, torch, yaml
from pathlib import Path
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import XLMRobertaConfig, XLMRobertaModel, XLMRobertaTokenizerFast
from comet.models import RegressionMetric
folder = Path(sys.argv[1])
encoder = folder / "encoder"
words = "der hund schläft ein rotes haus es regnet rot regen the dog sleeps a red house it rains".split()
vocabulary = {word: i for i, word in enumerate(["<s>", "<pad>", "</s>", "<unk>", *words, "<mask>"])}
tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
tokenizer.post_processor = processors.TemplateProcessing(
    single="<s> $A </s>", pair="<s> $A </s> </s> $B </s>", special_tokens=[("<s>", 0), ("</s>", 2)])
XLMRobertaTokenizerFast(tokenizer_object=tokenizer).save_pretrained(encoder)
torch.manual_seed(0)
config = XLMRobertaConfig(vocab_size=64, hidden_size=16, num_hidden_layers=2, num_attention_heads=2,
                          intermediate_size=32, max_position_embeddings=64)
XLMRobertaModel(config).save_pretrained(encoder)
metric = RegressionMetric(
    pretrained_model=str(encoder), hidden_sizes=[8], layer_norm=False, load_pretrained_weights=False)
(folder / "checkpoints").mkdir()
hparams = {k: v for k, v in metric.hparams.items() if k not in ("load_pretrained_weights", "local_files_only")}
hparams["class_identifier"] = "regression_metric"
(folder / "hparams.yaml").write_text(yaml.safe_dump(hparams))
torch.save({"state_dict": metric.state_dict(), "pytorch-lightning_version": "2.0.0", "hyper_parameters": hparams},
           folder / "checkpoints" / "model.ckpt")
"""


def test_a_tiny_comet_checkpoint_scores(small, tmp_path, monkeypatch):
    python = script.comet_scores.__globals__["PYTHON"]
    if not python.exists():
        pytest.skip("no COMET: bash Translation/scripts/install_comet.sh")
    made = subprocess.run([python, "-c", TINY_COMET, tmp_path], capture_output=True, text=True)
    assert made.returncode == 0, made.stderr[-2000:]
    arguments, out = small
    assert call(script, [*arguments, "--comet", tmp_path / "checkpoints" / "model.ckpt"], monkeypatch) == 0
    scores = pd.read_csv(out)["comet"]
    assert scores.notna().all() and scores.nunique() == len(scores)
    assert call(script, [*arguments, "--comet", tmp_path / "no.ckpt"], monkeypatch) == 2


def test_real_translations_score_as_on_sacrebleus_command_line(real_data, tmp_path, monkeypatch):
    out = tmp_path / "scores.csv"
    hypotheses, references = real_data / "released_translations", real_data / "flores"
    keys = ["--hypotheses", hypotheses, "--references", references, "--out", out, "--allow-prefix"]
    assert call(script, keys, monkeypatch) == 0
    table = pd.read_csv(out)
    assert len(table) == len([path for path in hypotheses.glob("*/test-*-*") if not path.suffix]) >= 16
    kept = pd.read_csv(script.Path(script.__file__).parent / "expected" / "released_systems.csv")
    pd.testing.assert_frame_equal(table, kept, rtol=1e-12)
    signatures = json.loads(out.with_suffix(".signatures.json").read_text())
    for row in table[:: len(table) // 16].itertuples():  # sacrebleu takes seconds each
        target = row.direction.split("-")[1]
        reference = tmp_path / "reference"
        lines = (references / f"{target}.devtest").read_text(encoding="utf-8").split("\n")
        reference.write_text("\n".join(lines[: row.n]) + "\n", encoding="utf-8")
        path = hypotheses / row.system / f"test-{row.direction}"
        command = [
            sys.executable,
            "-m",
            "sacrebleu",
            reference,
            "-i",
            path,
            "-m",
            "bleu",
            "chrf",
            "ter",
            "--chrf-word-order",
            "2",
            "-w",
            "12",
        ]
        scores = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
        ours = [f"{score:.12f}" for score in (row.bleu, row.chrf, row.ter)]
        assert ours == [f"{float(one['score']):.12f}" for one in scores]
        assert list(signatures[target].values()) == [one["signature"] for one in scores]
        comet = (path.parent / f"{path.name}.comet").read_text().splitlines()
        assert comet[-1].endswith(f"score: {row.comet_released:.4f}") if comet else pd.isna(row.comet_released)
