"""FT/anchor.py: which embeddings move where, by hand; what stays; and what it refuses."""

import shutil

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

from common.lm.loading import set_dtype
from common.reporting.files import read_csv
from tests.scripts import ROOT, call, load_script

script = load_script("FT/anchor.py")
WORLD = ROOT / "assets/world"
DICTIONARY = "soup\tSuppe\nbroth\tSuppe\nred\trot\nham\tham\nlove\tquerfeldein\n"


@pytest.fixture
def dictionaries(tmp_path):
    folder = tmp_path / "dictionaries"
    folder.mkdir()
    (folder / "en-de.tsv").write_text(DICTIONARY, encoding="utf-8")
    (folder / "fr-en.tsv").write_text("rouge\tred\n", encoding="utf-8")
    return folder


def words_of(dictionaries, out, **keys):
    base = {"config": ROOT / "FT/configs/anchor.yaml", "model": WORLD, "dictionary": dictionaries, "out": out}
    return [
        word for key, value in (base | {"languages": "en,de,fr"} | keys).items() for word in (f"--{key}", str(value))
    ]


def test_words_move_by_their_weight_and_nothing_else_does(dictionaries, tmp_path, monkeypatch):
    out = tmp_path / "out"
    assert call(script, words_of(dictionaries, out, weight=0.25), monkeypatch) == 0
    tokenizer = AutoTokenizer.from_pretrained(WORLD)
    before, after = (
        {name: weight.float() for name, weight in load_file(folder / "model.safetensors").items()}
        for folder in (WORLD, out)
    )
    old, new = (weights["model.embed_tokens.weight"] for weights in (before, after))
    moved = {}
    for word, translations in {"Suppe": ["soup", "broth"], "rot": ["red"], "rouge": ["red"]}.items():
        for space in ("", " "):
            ids = [tokenizer(space + text, add_special_tokens=False).input_ids for text in (word, *translations)]
            if len(ids[0]) == 1 and (targets := [own[0] for own in ids[1:] if len(own) == 1]):
                towards = sum(old[target] for target in targets) / len(targets)
                moved[ids[0][0]] = 0.75 * old[ids[0][0]] + 0.25 * towards
    assert len(moved) >= 3
    for token, row in enumerate(new):
        assert torch.allclose(row, moved.get(token, old[token]), atol=1e-6), token
        assert token in moved or torch.equal(row, old[token]), token
    assert torch.equal(after["lm_head.weight"], old), "what it writes with stays"
    assert all(torch.equal(before[name], after[name]) for name in before if name != "model.embed_tokens.weight")
    assert len(read_csv(out / "words.csv")) == len(moved)
    model = AutoModelForCausalLM.from_pretrained(out)
    assert torch.equal(model.lm_head.weight.detach(), old) and not model.config.tie_word_embeddings


def test_with_weight_one_a_word_is_read_as_its_translation_and_with_none_as_before(dictionaries, tmp_path, monkeypatch):
    tokenizer = AutoTokenizer.from_pretrained(WORLD)

    def logits(folder, text):
        model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
        with torch.inference_mode():
            return model(**tokenizer(text, return_tensors="pt")).logits[0, -1]

    for weight in (0, 1):
        assert call(script, words_of(dictionaries, tmp_path / f"{weight}", weight=weight), monkeypatch) == 0
    english, german = "The cart is red", "The cart is rot"
    assert not torch.allclose(logits(WORLD, english), logits(WORLD, german), atol=0.1)
    assert torch.equal(logits(tmp_path / "1", english), logits(tmp_path / "1", german))
    assert torch.equal(logits(tmp_path / "1", english), logits(WORLD, english))
    assert torch.equal(logits(tmp_path / "0", german), logits(WORLD, german))


def test_a_model_that_writes_with_other_embeddings_keeps_them(dictionaries, tiny_checkpoint, tmp_path, monkeypatch):
    tokenizer = AutoTokenizer.from_pretrained(tiny_checkpoint)
    first, second = (token for token in sorted(tokenizer.get_vocab()) if token.isalpha() and len(token) == 1), None
    first, second, *_ = first
    (dictionaries / "en-de.tsv").write_text(f"{first}\t{second}\n", encoding="utf-8")
    keys = {"model": tiny_checkpoint, "languages": "en,de"}
    assert call(script, words_of(dictionaries, tmp_path / "out", **keys), monkeypatch) == 0
    before, after = (load_file(folder / "model.safetensors") for folder in (tiny_checkpoint, tmp_path / "out"))
    assert before.keys() == after.keys() and "lm_head.weight" in before
    changed = [name for name in before if not torch.equal(before[name], after[name])]
    assert changed == ["model.embed_tokens.weight"]


def test_it_has_the_precision_of_the_model_whatever_the_cpu_computes_in(dictionaries, tmp_path, monkeypatch):
    model = shutil.copytree(WORLD, tmp_path / "model")
    set_dtype(model, torch.bfloat16)
    for number in range(2):
        out = tmp_path / f"{number}"
        monkeypatch.setattr("common.lm.loading.cpu_multiplies", lambda dtype, able=bool(number): able)
        assert call(script, words_of(dictionaries, out, model=model), monkeypatch) == 0
        assert {weight.dtype for weight in load_file(out / "model.safetensors").values()} == {torch.bfloat16}
        assert AutoConfig.from_pretrained(out).dtype == torch.bfloat16
    one, other = (load_file(tmp_path / name / "model.safetensors") for name in "01")
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_it_is_written_once_and_another_is_refused(dictionaries, tmp_path, monkeypatch, capsys):
    out = tmp_path / "out"
    assert call(script, words_of(dictionaries, out), monkeypatch) == 0
    written = (out / "model.safetensors").stat().st_mtime_ns
    assert call(script, words_of(dictionaries, out), monkeypatch) == 0
    assert "up to date" in capsys.readouterr().out and (out / "model.safetensors").stat().st_mtime_ns == written
    assert call(script, words_of(dictionaries, out, weight=0.7), monkeypatch) == 2
    assert "holds a model of another configuration" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"weight": 1.5}, "weight is 1.5; it must be from 0 to 1"),
        ({"languages": "en"}, "write the language that stays and one more or several"),
        ({"languages": "en,pt"}, "neither en-pt.tsv nor pt-en.tsv; add one of them"),
        ({"dictionary": "null"}, "dictionary"),
        ({"dictionary": "nowhere"}, "nowhere: cannot be read"),
    ],
)
def test_bad_keys_are_refused(dictionaries, tmp_path, monkeypatch, capsys, keys, said):
    assert call(script, words_of(dictionaries, tmp_path / "out", **keys), monkeypatch) == 2
    error = capsys.readouterr().err
    assert said in error and "Traceback" not in error and not (tmp_path / "out").exists()


def test_a_dictionary_without_a_word_that_is_one_token_is_refused(dictionaries, tmp_path, monkeypatch, capsys):
    (dictionaries / "en-de.tsv").write_text("love\tquerfeldein\nred\tweit und breit\n", encoding="utf-8")
    assert call(script, words_of(dictionaries, tmp_path / "out", languages="en,de"), monkeypatch) == 2
    assert "no word in it is one token" in capsys.readouterr().err
