"""MEXA against the paper's loops, embeddings against one text at a time, correlations, and what is refused."""

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.spatial.distance import cosine as cosine_distance
from scipy.stats import pearsonr, rankdata

from common.cli import InputError
from common.evaluation.records import record_rows, write_setting
from common.languages import LANGUAGES
from common.lm.loading import load
from common.questions import monolingual, write_questions
from tests.mmlu import rewrite
from tests.scripts import call, load_script

script = load_script("Translation/mexa.py")
claims = load_script("report/check_claims.py")
TEXTS = ["the river", "a mountain is high and the sea is deep", "which river flows", "the capital of a town"]
CODES = list(LANGUAGES)[:10]


def slow_mexa(one, other) -> int:
    """As compute_mexa.py of cisnlp/MEXA describes it: pair by pair, strictly larger than each of row and column."""
    matrix = [[1 - cosine_distance(a, b) for b in other] for a in one]
    n, count = len(matrix), 0
    for i in range(n):
        row = [matrix[i][j] for j in range(n) if j != i]
        column = [matrix[j][i] for j in range(n) if j != i]
        count += matrix[i][i] > max(row) and matrix[i][i] > max(column)
    return count


def test_mexa_is_that_of_plain_loops():
    rng = np.random.default_rng(0)
    for noise in (0.1, 1.0, 3.0):
        one = rng.normal(size=(2, 12, 3, 5))
        other = one + noise * rng.normal(size=one.shape)
        table = script.scores_of({"en": one, "de": other}).set_index(["embedding", "layer"])
        for place, embedding in enumerate(script.EMBEDDINGS):
            for layer in range(3):
                slow = slow_mexa(one[place, :, layer], other[place, :, layer])
                assert table.loc[(embedding, layer), "mexa"] == pytest.approx(slow / 12)
        each = script.sentences_of({"en": one, "de": other}).groupby("layer")["aligned"]
        assert each.sum().tolist() == [slow_mexa(one[0, :, layer], other[0, :, layer]) for layer in range(3)]
    assert script.mexa(np.eye(4)) == 4 and script.mexa(np.ones((4, 4))) == 0  # equal is not larger
    assert script.mexa(np.array([[0.9, 0.1, 0.1], [0.95, 0.9, 0.1], [0.1, 0.1, 0.9]])) == 1  # row and column both count


def test_every_pair_of_languages_is_scored():
    vectors = {code: np.random.default_rng(n).normal(size=(2, 4, 2, 3)) for n, code in enumerate(("en", "de", "fr"))}
    table = script.scores_of(vectors)
    assert set(zip(table["language"], table["other"], strict=True)) == {("en", "de"), ("en", "fr"), ("de", "fr")}
    english = script.by_pool(table).set_index(["embedding", "pool", "language"])["mexa"]
    own = table[(table["other"] == "fr") & (table["language"] == "en") & (table["embedding"] == "last")]["mexa"]
    assert english["last", "mean", "fr"] == pytest.approx(own.mean()) and english["last", "max", "fr"] == own.max()


def test_embeddings_are_those_of_one_text_at_a_time(tiny_checkpoint):
    model, tokenizer = load(str(tiny_checkpoint), device="cpu")
    ids = tokenizer(TEXTS).input_ids
    assert all(own[0] == tokenizer.bos_token_id for own in ids)  # it counts, as in the paper's code
    found = script.embeddings(model, ids)
    assert found.shape == (2, 4, 3, 32)
    for row, own in enumerate(ids):
        with torch.inference_mode():
            states = model(torch.tensor([own]), output_hidden_states=True).hidden_states
        for layer, state in enumerate(states):
            weights = range(1, len(own) + 1)
            mean = sum(weight * one for weight, one in zip(weights, state[0], strict=True)) / sum(weights)
            assert found[0, row, layer] == pytest.approx(mean.numpy(), abs=1e-5)
            assert found[1, row, layer] == pytest.approx(state[0, -1].numpy(), abs=1e-5)


def write_accuracies(folder, right):
    """A run with these shares of 100 questions right, by language."""
    written = {}
    for code, share in {"en": 0.9, **right}.items():
        setting = "en" if code == "en" else f"full_{code}"
        items = [monolingual(f"q{n}", "s", "", "x", "ab", "A", code) for n in range(100)]
        scores = np.where(np.arange(100)[:, None] < 100 * share, [[-0.1, -2.0]], [[-2.0, -0.1]])
        table = record_rows(items, setting, scores).astype(str)
        written[setting] = write_setting(folder, table, list(table["id"]))
    rewrite(folder, config={"model": "m"}, hash="acc", model={"name": "m"}, records=written)
    return folder


def test_correlations_by_hand():
    rng = np.random.default_rng(1)
    mexa = rng.random(9)
    table = pd.DataFrame(
        {"embedding": "weighted", "pool": "mean", "mexa": mexa, "accuracy": mexa + rng.normal(size=9) / 4}
    )
    found = script.correlations(table).iloc[0]
    a, b = mexa - mexa.mean(), table["accuracy"] - table["accuracy"].mean()
    r = (a * b).sum() / np.sqrt((a**2).sum() * (b**2).sum())
    assert found["languages"] == 9 and found["pearson"] == pytest.approx(r)
    interval = pearsonr(mexa, table["accuracy"]).confidence_interval(0.95)
    assert (found["pearson_low"], found["pearson_high"]) == pytest.approx(tuple(interval))
    ranks = pearsonr(rankdata(mexa), rankdata(table["accuracy"])).statistic
    assert found["spearman"] == pytest.approx(ranks)
    assert found["spearman_low"] == pytest.approx(np.tanh(np.arctanh(ranks) - 1.959964 * np.sqrt(1.06 / 6)))
    assert script.correlations(table.head(7)).empty and script.correlations(table.assign(accuracy=0.5)).empty


@pytest.fixture
def sentences(tmp_path):
    for code in CODES:
        lines = [f"{code} {text} {LANGUAGES[code].name}" for text in TEXTS]
        path = tmp_path / "flores" / f"{code}.devtest"
        path.parent.mkdir(exist_ok=True)
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return tmp_path / "flores"


def test_script_resumes_correlates_and_feeds_the_claim(sentences, tiny_checkpoint, tmp_path, monkeypatch, capsys):
    right = {code: 0.3 + 0.05 * n for n, code in enumerate(CODES[1:])}
    run = write_accuracies(tmp_path / "acc", right)
    out = tmp_path / "out" / "mexa"
    keys = ["--model", tiny_checkpoint, "--sentences", sentences, "--out", out, "--device", "cpu"]
    assert call(script, keys, monkeypatch) == 0
    assert "MEXA with English" in capsys.readouterr().out and not (out / "correlation.csv").exists()
    before = (out / "scores.csv").stat().st_mtime_ns
    assert call(script, [*keys, "--run", run], monkeypatch) == 0
    said = capsys.readouterr().out
    assert f"note: {run}: answered by m, whose weights are not those of {tiny_checkpoint}" in said
    assert (out / "scores.csv").stat().st_mtime_ns == before
    table = pd.read_csv(out / "languages.csv")
    assert len(table) == 4 * 9 and table.set_index("language").loc["de", "accuracy"].iloc[0] == pytest.approx(0.3)
    found = pd.read_csv(out / "correlation.csv").iloc[0]
    assert f"Pearson {found['pearson']:.2f}" in said and "over 9 languages" in said and (out / "accuracy.png").exists()
    assert call(claims, ["--results", tmp_path / "out", "--out", tmp_path / "claims"], monkeypatch) == 0
    verdict = pd.read_csv(tmp_path / "claims.csv").set_index("name").loc["mexa"]
    assert verdict["n"] == 9 and verdict["effect"] == pytest.approx(found["pearson"], abs=1e-4)
    assert verdict["ci_low"] == pytest.approx(found["pearson_low"], abs=1e-4)
    assert call(script, [*keys, "--count", "3"], monkeypatch) == 2
    assert "holds scores of another model, data or config" in capsys.readouterr().err


def test_few_languages_are_named(sentences, tiny_checkpoint, tmp_path, monkeypatch, capsys):
    run = write_accuracies(tmp_path / "acc", {"de": 0.5, "fr": 0.6})
    keys = ["--model", tiny_checkpoint, "--sentences", sentences, "--out", tmp_path / "out", "--device", "cpu"]
    assert call(script, [*keys, "--languages", "de,fr,es", "--run", run], monkeypatch) == 0
    assert "A correlation needs 8 languages that differ, these are 2." in capsys.readouterr().out
    assert set(pd.read_csv(tmp_path / "out" / "scores.csv")["language"]) == {"en", "de", "fr"}


def test_questions_are_sentences_too(tmp_path):
    for setting, code in (("en", "en"), ("full_de", "de"), ("gt_de", "de")):
        items = [monolingual(f"q{n}", "s", "", f"{code} what {n}?", "ab", "A", code) for n in range(5)]
        write_questions(tmp_path / f"{setting}.csv", items)
    config = script.Mexa(model="m", out="o", sentences=str(tmp_path), count=2)
    assert script.parallel_sentences(config) == {code: [f"{code} what {n}?" for n in range(2)] for code in ("en", "de")}


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("de.devtest", "one\ntwo\n", "not en 4, de 2"),
        ("de.devtest", "one\n \nthree\nfour\n", "de: sentence 2 is empty"),
        ("en.devtest", None, "English and another language"),
    ],
)
def test_sentences_that_are_not_parallel_are_named(sentences, name, text, said):
    (sentences / name).unlink() if text is None else (sentences / name).write_text(text, encoding="utf-8")
    with pytest.raises(InputError) as error:
        script.parallel_sentences(script.Mexa(model="m", out="o", sentences=str(sentences)))
    assert said in str(error.value)


def test_reproduce_hands_on_the_accuracies_that_are_there(tmp_path):
    parts = load_script("report/parts.py")
    config = parts.Reproduce(model="m", out=str(tmp_path), limit=1)
    (tmp_path / "mmlu").mkdir()
    for name in ("run.json", "en.csv"):
        (tmp_path / "mmlu" / name).touch()
    assert config.command("mexa")[1:] == ["Translation/scripts/mexa.sh", "m", "--count", "2"]
    (tmp_path / "mmlu" / "full_de.csv").touch()
    assert config.command("mexa")[-2:] == ["--run", f"{tmp_path}/mmlu"]
