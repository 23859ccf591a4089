"""Translation/embeddings.py: changed passages, hidden states against one forward each, tables, what it refuses."""

import numpy as np
import pandas as pd
import pytest
import torch

from common.cli import InputError
from common.lm.loading import load
from common.translation.dictionary import DictionaryTranslator
from tests.scripts import call, load_script

script = load_script("Translation/embeddings.py")
pooled_states = script.pooled_states
hidden_states = load_script("Translation/hidden_states.py")
PASSAGES = [f"the dog number {number} sees the red house and a cat " * 3 for number in range(12)]
WORDS = {"the": "der", "dog": "Hund", "red": "rot", "house": "Haus", "cat": "Katze", "sees": "sieht", "and": "und"}


@pytest.fixture
def small(tmp_path):
    for language in ("de", "fr"):
        lines = [f"{word}\t{language}{translation}\n" for word, translation in WORDS.items()]
        (tmp_path / f"en-{language}.tsv").write_text("".join(lines), encoding="utf-8")
    (tmp_path / "passages.txt").write_text("\n".join(PASSAGES), encoding="utf-8")
    for code in ("en", "de"):
        (tmp_path / f"{code}.devtest").write_text("a dog\nred houses\nthe cat sleeps\n", encoding="utf-8")
    return tmp_path


def keys(small, model):
    places = ["--passages", small / "passages.txt", "--dictionary", small, "--out", small / "out"]
    return ["--models", f"tiny={model}", *places, "--count", "10", "--languages", "de,fr", "--device", "cpu"]


def test_only_tokenized_text_is_joined(small):
    (small / "plain.txt").write_text("He said 'yes' and Rock 'n' roll , 5 @,@ 000 times " + "x " * 20, encoding="utf-8")
    (plain,) = script.read_passages(str(small / "plain.txt"), None, "train", 1, 0)
    assert plain.startswith("He said 'yes' and Rock 'n' roll , 5 @,@ 000 times x")
    (joined,) = script.read_passages(str(small / "plain.txt"), None, "train", 1, 0, True)
    assert "5,000 times" in joined


def test_words_are_translated_at_the_rate_and_shuffled_by_the_baseline(small):
    translator = DictionaryTranslator(small)
    passages = [" ".join(["dog", "red", "house", "cat"] * 50) for _ in range(20)]
    arguments = (passages, 0.16, ["de", "fr"], translator, 1)
    mixed, shuffled = script.mixed_language(*arguments), script.random_words(*arguments)
    words = [w for text in passages for w in text.split()]
    new = [w for text in mixed for w in text.split()]
    other = [w for text in shuffled for w in text.split()]
    translated = [(a, b) for a, b in zip(words, new, strict=True) if a != b]
    assert abs(len(translated) / len(words) - 0.16) < 0.02
    assert {b.lower() for _, b in translated} == {f"{lang}{WORDS[w]}".lower() for w in words for lang in ("de", "fr")}
    assert [a == b for a, b in zip(words, new, strict=True)] == [a == b for a, b in zip(words, other, strict=True)]
    assert sorted(new) == sorted(other) and new != other
    assert script.mixed_language(*arguments) == mixed


@pytest.mark.parametrize(
    ("changed", "share"),
    [
        ("a b c d", 0),
        ("a X c d", 0.25),
        ("a le chien c d", 0.25),
        ("b d", 0.5),
        ("x y z", 1),
        ("d c b a", 0.75),
        ("", 1),
    ],
)
def test_the_share_of_words_that_are_really_replaced(changed, share):
    assert script.share_replaced("a b c d", changed) == share


def test_tokens_are_replaced_and_dropped_at_the_rate(tiny_checkpoint):
    _, tokenizer = load(str(tiny_checkpoint), device="cpu")
    ids = tokenizer([text * 20 for text in PASSAGES]).input_ids
    special = set(tokenizer.all_special_ids)
    total = sum(token not in special for row in ids for token in row)
    replaced = script.replaced_tokens(ids, 0.3, tokenizer, 1)
    changed = sum(a != b for old, new in zip(ids, replaced, strict=True) for a, b in zip(old, new, strict=True))
    assert abs(changed / total - 0.3) < 0.03
    dropped = script.dropped_tokens(ids, 0.3, tokenizer, 1)
    assert abs(sum(map(len, dropped)) / sum(map(len, ids)) - 0.7) < 0.03
    assert all(len(set(row) - special) for row in script.dropped_tokens(ids, 1.0, tokenizer, 1))


@pytest.mark.parametrize("pooling", ["mean", "last"])
def test_pooled_states_equal_one_forward_each(tiny_checkpoint, pooling):
    model, tokenizer = load(str(tiny_checkpoint), dtype="float32", device="cpu")
    ids = tokenizer(["dog", "the red house sleeps", "a cat " * 30]).input_ids
    vectors = pooled_states(model, ids, pooling, skip=tokenizer.all_special_ids)
    for row, own in enumerate(ids):
        with torch.inference_mode():
            states = model(torch.tensor([own]), output_hidden_states=True).hidden_states
        kept = [i for i, token in enumerate(own) if token not in tokenizer.all_special_ids]
        kept = kept if pooling == "mean" else kept[-1:]
        expected = np.stack([state[0, kept].mean(0).numpy() for state in states])
        assert np.abs(vectors[row] - expected).max() < 1e-5


def test_a_batch_holds_as_many_tokens_as_its_device_likes(tiny_checkpoint, monkeypatch):
    model, _ = load(str(tiny_checkpoint), dtype="float32", device="cpu")
    ids = [[1] * length for length in (3, 9, 5, 30, 9)]
    monkeypatch.setitem(hidden_states.TOKEN_BUDGET, "cpu", 20)
    assert list(hidden_states.batches(ids, model)) == [[3], [1, 4], [2, 0]]


def test_tables_plots_and_a_second_run(small, tiny_checkpoint, monkeypatch, capsys):
    arguments = [*keys(small, tiny_checkpoint), "--sentences", small]
    assert call(script, arguments, monkeypatch) == 0
    out = small / "out"
    summary = pd.read_csv(out / "summary.csv")
    assert len(summary) == 2 * 3 * 3  # rates, baselines, layers
    assert set(summary["n"]) == {10} and (summary["p_holm"] >= summary["p"]).all()
    records = pd.read_csv(out / "tiny" / "cosines.csv")
    shares = records.groupby(["rate", "variant"])["replaced"].mean()
    assert 0 < shares[0.16, "mixed"] < shares[0.8, "mixed"] < 0.8, "the dictionary lacks words, which stay as they are"
    assert (shares[0.8] > shares[0.16]).all() and shares[0.16, "random_token"] > 0.16, "words of several tokens"
    middle = records[(records["rate"] == 0.8) & (records["layer"] == 1)].pivot(
        index="passage", columns="variant", values="cosine"
    )
    row = summary[(summary["rate"] == 0.8) & (summary["layer"] == 1) & (summary["baseline"] == "dropout")].iloc[0]
    difference = middle["mixed"] - middle["dropout"]
    assert row["difference"] == pytest.approx(difference.mean(), abs=1e-5)
    assert row["effect"] == pytest.approx(difference.mean() / difference.std(), rel=1e-3)
    assert (pd.read_csv(out / "retrieval.csv")["accuracy"] == 1).all()  # the same sentences in both
    for name in ("similarity", "distribution", "retrieval"):
        assert (out / f"{name}.png").exists() and (out / f"{name}.pdf").exists()
    before = (out / "tiny" / "cosines.csv").stat().st_mtime_ns
    assert call(script, arguments, monkeypatch) == 0
    assert (out / "tiny" / "cosines.csv").stat().st_mtime_ns == before
    assert call(script, [*arguments, "--seed", "7"], monkeypatch) == 2
    assert "use another --out" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--count", "100"], "12 passages of 20 words or more, 100 are asked for"),
        (["--rates", "[1.5]"], "1.5 is not a share"),
        (["--models", "tiny"], "write name=path"),
        (["--languages", "de,it"], "neither en-it.tsv nor it-en.tsv"),
        (["--sentences", "nowhere"], "nowhere: not a folder"),
        (["--rates", "[]"], "rates: None is not a share"),
        (["--rates", "[.nan]"], "rates: nan is not a share"),
        (["--count", "-5"], "count must be 2 or more"),
        (["--seed", "-1"], "seed is -1"),
        (["--models", "a=x,a=y"], "a"),
        (["--models", "../a=TINY"], "models: '../a' is the name of a folder in --out"),
        (["--models", "..=TINY"], "models: '..' is the name of a folder in --out"),
        (["--models", "a=x;y"], "model 'x;y' cannot be found"),
        (["--models", "a=b=c"], "model 'b=c' cannot be found"),
        (["--models", "a=TINY,second=nowhere"], "model 'nowhere' has no config.json"),
        (["--sentences", "EMPTY"], "de: sentence 2 is empty"),
        (["--sentences", "LATIN"], "de.devtest row 2: not UTF-8"),
        (["--passages", "LATIN/de.devtest"], "LATIN/de.devtest: not UTF-8"),
        (["--dictionary", "LATIN"], "LATIN/en-de.tsv row 2: not UTF-8"),
        (["--out", "FOREIGN"], "FOREIGN: holds summary.csv, which is not of this command"),
        (["--out", "FOREIGN/a"], "FOREIGN/a/tiny: holds cosines.csv, which is not of this command"),
        (["--out", "FOREIGN/run"], "FOREIGN/run: holds a run of another script"),
    ],
)
def test_bad_input_is_one_sentence(small, tiny_checkpoint, monkeypatch, capsys, more, said):
    files = {
        "EMPTY/en.devtest": b"a\nb\n", "EMPTY/de.devtest": b"a\n\n", "LATIN/en.devtest": b"a\nb\n",
        "LATIN/de.devtest": b"a\n\xfc\n", "LATIN/en-de.tsv": b"red\trot\nfor\tf\xfcr\n", "FOREIGN/summary.csv": b"mine",
        "FOREIGN/a/tiny/cosines.csv": b"mine", "FOREIGN/run/run.json": b"mine", "LATIN/en-fr.tsv": b"red\trouge\n",
    }  # fmt: skip
    for name, content in files.items():
        (small / name).parent.mkdir(parents=True, exist_ok=True)
        (small / name).write_bytes(content)
    more = [word.replace("TINY", str(tiny_checkpoint)) for word in more]
    more = [str(small / word) if word.split("/")[0] in ("EMPTY", "LATIN", "FOREIGN") else word for word in more]
    assert call(script, [*keys(small, tiny_checkpoint), *more], monkeypatch) == 2
    error = capsys.readouterr().err
    assert said in error and "Traceback" not in error and not (small / "out" / "summary.csv").exists()
    assert all((small / name).read_bytes() == content for name, content in files.items())


@pytest.mark.parametrize("left", ["", "passage,layer,rate,variant,cosine\n", None])
def test_a_table_that_was_cut_is_named(small, tiny_checkpoint, monkeypatch, capsys, left):
    assert call(script, keys(small, tiny_checkpoint), monkeypatch) == 0
    path = small / "out" / "tiny" / "cosines.csv"
    path.unlink() if left is None else path.write_text(left)
    assert call(script, keys(small, tiny_checkpoint), monkeypatch) == 2
    assert str(path) in capsys.readouterr().err


def test_states_that_are_no_numbers(tiny_checkpoint):
    model, tokenizer = load(str(tiny_checkpoint), dtype="float32", device="cpu")
    with pytest.raises(InputError, match="text 2 has no token"):
        pooled_states(model, tokenizer(["dog", ""]).input_ids, "mean", skip=tokenizer.all_special_ids)
    with pytest.raises(InputError, match="longer than the model's"):
        pooled_states(model, [[5] * (model.config.max_position_embeddings + 1)], "mean")
    model.get_input_embeddings().weight.data.fill_(float("nan"))
    with pytest.raises(InputError, match="overflow or are no numbers"):
        pooled_states(model, [[5, 6]], "mean")
