"""Logit lens: its last layer is what the model says, for every architecture; outcomes; tables; what it refuses."""

import numpy as np
import pandas as pd
import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    CohereConfig,
    Gemma2Config,
    GPT2Config,
    GraniteConfig,
    LlamaConfig,
    Qwen3Config,
)

from common.cli import InputError
from common.reporting.provenance import write_run
from tests.scripts import call, load_script
from tests.tiny import byte_level_tokenizer

script = load_script("Translation/lens.py")
lens = script.lens
SIZES = {"vocab_size": 64, "hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 2, "head_dim": 16}
SMALL = SIZES | {"intermediate_size": 48, "num_key_value_heads": 1}
CONFIGS = [
    LlamaConfig(**{k: v for k, v in SMALL.items() if k != "head_dim"}),
    Qwen3Config(**SMALL),
    Gemma2Config(**SMALL, final_logit_softcapping=2.0),
    GraniteConfig(**{k: v for k, v in SMALL.items() if k != "head_dim"}, logits_scaling=0.25),
    CohereConfig(**{k: v for k, v in SMALL.items() if k != "head_dim"}, logit_scale=4.0),
    GPT2Config(vocab_size=64, n_embd=32, n_layer=3, n_head=2, n_positions=32),
]
WORDS = {"dog": "Hund", "red": "rot", "house": "Haus", "cat": "Katze", "sees": "sieht"}


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config.model_type)
def test_the_last_layer_is_what_the_model_says(config):
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32).eval()
    ids = [[5, 6, 7], [9], [1, 2, 3, 4, 5, 6]]
    likely, best = lens(model, ids, [[[1, 2], [], [3]]] * 3)
    assert likely.shape == (3, 4, 3) and best.shape == (3, 4) and (likely[:, :, 1] == 0).all()
    for row, own in enumerate(ids):
        with torch.inference_mode():
            output = model(torch.tensor([own]), output_hidden_states=True)
            decoder = model.get_decoder()
            norm = decoder.norm if hasattr(decoder, "norm") else decoder.ln_f
            logits = model.get_output_embeddings()(norm(output.hidden_states[1][0, -1]))
        said = output.logits[0, -1].softmax(-1)
        assert likely[row, -1, 0] == pytest.approx(float(said[1] + said[2]), abs=1e-5)
        assert best[row, -1] == int(said.argmax())
        assert best[row, 1] == int(logits.argmax())


def test_outcomes():
    question = script.WordPrompt("dog", "fr", "de", "", {"fr": ("chien",), "de": ("Hund",), "en": ("dog",)})
    tokens = {"fr": {1}, "de": {2}, "en": {3}}
    assert script.outcome(question, tokens, np.array([9, 3, 2])) == ("right", 1)
    assert script.outcome(question, tokens, np.array([9, 3, 1])) == ("translation_failure", 1)
    assert script.outcome(question, tokens, np.array([1, 1, 1])) == ("task_failure", None)  # the source is no answer
    assert script.outcome(question, {"fr": {1, 3}, "de": {2}, "en": {3}}, np.array([3, 3, 9]))[0] == "task_failure"
    assert script.told_apart(question, tokens) and not script.told_apart(question, tokens | {"fr": {2}})


def test_a_word_counts_in_upper_and_lower_case():
    tokenizer = byte_level_tokenizer()
    words = {"de": ("river",), "en": ("answer", "\u00c3")}
    question = script.WordPrompt("a", "de", "en", "German: river\nEnglish:", words)
    (prompt,), (tokens,) = script.first_tokens(tokenizer, [question])
    assert prompt == tokenizer(question.prompt).input_ids
    # A blank alone comes before the bytes of a word that is in no token.
    assert {tokenizer.decode([number]) for number in tokens["en"]} == {" answer", " Answer", " "}
    assert {tokenizer.decode([number]) for number in tokens["de"]} == {" river"}


def test_every_english_word_that_a_word_may_mean_is_right(tmp_path):
    (tmp_path / "en-de.tsv").write_text("sailor\tSeemann\nmariner\tSeemann\nmariner\tSeefahrer\nsea\tMeer\n")
    config = script.Lens(model="m", out="o", dictionary=str(tmp_path), languages="en,de", num_fewshot=0)
    questions = {(q.id, q.source): q.answers for q in script.word_questions(config)}
    assert questions["sailor", "de"] == {"en": ("sailor", "mariner"), "de": ("Seemann",)}
    assert questions["mariner", "de"]["en"] == ("sailor", "mariner") and questions["sea", "de"]["en"] == ("sea",)
    assert questions["mariner", "en"] == {"en": ("mariner",), "de": ("Seemann", "Seefahrer")}


@pytest.fixture
def small(tmp_path):
    for language in ("de", "fr"):
        lines = [f"{word}\t{language if language == 'fr' else ''}{other}\n" for word, other in WORDS.items()]
        (tmp_path / f"en-{language}.tsv").write_text("".join(lines), encoding="utf-8")
    return tmp_path


def keys(small, model):
    places = ["--model", model, "--dictionary", small, "--out", small / "out", "--device", "cpu"]
    return [*places, "--languages", "en,de,fr"]


def test_words_between_every_two_languages(small, tiny_checkpoint, monkeypatch):
    assert call(script, [*keys(small, tiny_checkpoint), "--num_fewshot", "1"], monkeypatch) == 0
    records = pd.read_csv(small / "out" / "records.csv")
    assert set(records["outcome"]) <= set(script.OUTCOMES) and len(records) <= 6 * 4
    layers = pd.read_csv(small / "out" / "layers.csv")
    assert set(layers["layer"]) == {0, 1, 2} and layers["target language"].between(0, 1).all()
    english = layers[layers["target"] == "en"]
    assert np.allclose(english["target language"], english["English"])
    summary = pd.read_csv(small / "out" / "summary.csv")
    assert summary.loc[0, "n"] == len(records) and np.allclose(summary[list(script.OUTCOMES)].sum(axis=1), 1)
    assert (small / "out" / "lens.png").exists() and (small / "out" / "run.json").exists()


def test_lists_of_words(tmp_path, tiny_checkpoint, monkeypatch, capsys):
    path = tmp_path / "word_translation.csv"
    rows = [
        "de,en,fr,it,word_original",
        "\"['Wolke', 'Gewölk']\",['cloud'],['nuage'],[],cloud",
        "['das Haus'],['house'],['maison'],[],house",
    ]
    path.write_text("\n".join(rows), encoding="utf-8")
    words = script.read_words(tmp_path, ["en", "de", "fr"])
    assert words == {"cloud": {"en": ("cloud",), "de": ("Wolke", "Gewölk"), "fr": ("nuage",)}}
    assert call(script, keys(tmp_path, tiny_checkpoint), monkeypatch) == 0
    assert call(script, [*keys(tmp_path, tiny_checkpoint), "--languages", "en,es"], monkeypatch) == 2
    assert f"{path}: no column es" in capsys.readouterr().err
    path.write_text("en,de,fr,word_original\n['cloud'],Wolke,['nuage'],cloud", encoding="utf-8")
    assert call(script, [*keys(tmp_path, tiny_checkpoint), "--seed", "1"], monkeypatch) == 2
    assert "row 2, de: a list such as ['cloud'] is needed, not 'Wolke'" in capsys.readouterr().err


def test_cloze_rows(small, tiny_checkpoint, monkeypatch):
    rows = ["id,prompt,source,target,en,de", "1,Der Hund schläft im,de,de,house|home,Haus"]
    (small / "cloze.csv").write_text("\n".join(rows), encoding="utf-8")
    arguments = ["--model", tiny_checkpoint, "--cloze", small / "cloze.csv", "--out", small / "out", "--device", "cpu"]
    assert call(script, arguments, monkeypatch) == 0
    assert pd.read_csv(small / "out" / "records.csv")["id"].tolist() == [1]


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--languages", "en,it"], "en-it.tsv: no such file"),
        (["--cloze", "x.csv"], "name either --dictionary or --cloze"),
        (["--num_fewshot", "9"], "lower --num_fewshot"),
        (["--languages", "en,xx"], "xx"),
        (["--languages", "en,en"], "languages: name two or more"),
        (["--count", "-1"], "count must be 1 or more"),
        (["--seed", "-1"], "seed is -1"),
        (["--dictionary", "LATIN"], "LATIN/en-de.tsv row 2: not UTF-8"),
        (["--out", "FOREIGN"], "FOREIGN: holds summary.csv, which is not of this command"),
    ],
)
def test_bad_input_is_one_sentence(small, tiny_checkpoint, monkeypatch, capsys, more, said):
    for name, content in {"LATIN/en-de.tsv": b"red\trot\nfor\tf\xfcr\n", "FOREIGN/summary.csv": b"mine"}.items():
        (small / name).parent.mkdir()
        (small / name).write_bytes(content)
    more = [small / word if word in ("LATIN", "FOREIGN") else word for word in more]
    assert call(script, [*keys(small, tiny_checkpoint), *more], monkeypatch) == 2
    error = capsys.readouterr().err
    assert said in error and "Traceback" not in error and not (small / "out" / "summary.csv").exists()
    assert (small / "FOREIGN" / "summary.csv").read_bytes() == b"mine"


ROW = "1,Der Hund,de,de,dog,Hund"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "cloze.csv: no row below the columns"),
        ("id,prompt,source,target,en,de", "cloze.csv: no row below the columns"),
        ("id,prompt,source,target,en,xx\n" + ROW, "cloze.csv row 2: unknown language 'xx'"),
        ("id,prompt,source,en,de\n" + ROW, "cloze.csv: no column target"),
        ("id,prompt,source,target,en,de\n1,Der", "cloze.csv row 2: has more or fewer cells"),
        ("id,prompt,source,target,en,de\n1,,de,de,dog,Hund", "cloze.csv row 2: no prompt"),
        ("id,prompt,source,target,en,de\n1,Der,zz,de,dog,Hund", "cloze.csv row 2: unknown language 'zz'"),
        ("id,prompt,source,target,en,de\n1,Der,de,fr,dog,Hund", "no answer in the target language 'fr'"),
        (f"id,prompt,source,target,en,de\n{ROW},\n{ROW},\n", "cloze.csv row 2: has more or fewer cells"),
        ("id,prompt,source,target,en,de\n1,H\xfcnd,de,de,dog,Hund".encode("latin-1"), "in UTF-8"),
        ('id,prompt,source,target,en,de\n1,"Der,de,de,dog,Hund', "cannot be read as a CSV file"),
    ],
)
def test_cloze_files_with_faults_are_named(tmp_path, tiny_checkpoint, monkeypatch, capsys, content, said):
    (tmp_path / "cloze.csv").write_bytes(content if isinstance(content, bytes) else content.encode())
    arguments = ["--model", tiny_checkpoint, "--cloze", tmp_path / "cloze.csv", "--out", tmp_path / "out"]
    assert call(script, [*arguments, "--device", "cpu"], monkeypatch) == 2
    error = capsys.readouterr().err
    assert said in error and "Traceback" not in error


@pytest.mark.parametrize("cell", ["'abc'", "{'a': 1}", "[1]", "[" * 5000, "__import__('os')"])
def test_cells_that_hold_no_list_are_named(tmp_path, cell):
    table = pd.DataFrame({"word_original": ["cloud"], "en": ["['cloud']"], "de": [cell]})
    table.to_csv(tmp_path / "word_translation.csv", index=False)
    with pytest.raises(InputError, match="row 2, de: a list such as"):
        script.read_words(tmp_path, ["en", "de"])


def test_words_without_english(small):
    assert script.read_words(small, ["de", "fr"])["dog"]["fr"] == ("frHund",)


def test_logits_that_are_no_numbers():
    model = AutoModelForCausalLM.from_config(CONFIGS[0], dtype=torch.float32).eval()
    model.get_output_embeddings().weight.data.fill_(float("nan"))
    with pytest.raises(InputError, match="logits overflow"):
        lens(model, [[5, 6]], [[[1]]])


def test_a_run_cut_short_by_another_configuration_is_computed_again(small, tiny_checkpoint, monkeypatch, capsys):
    first, out = keys(small, tiny_checkpoint), small / "out"
    assert call(script, first, monkeypatch) == 0
    before = (out / "records.csv").read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr(script, "summarize", lambda _: 1 / 0)  # after the records are written
        assert call(script, [*first, "--num_fewshot", "1"], patch) == 1
    assert (out / "records.csv").read_bytes() != before
    assert call(script, first, monkeypatch) == 0 and (out / "records.csv").read_bytes() == before
    capsys.readouterr()
    assert call(script, first, monkeypatch) == 0 and "done already" in capsys.readouterr().out
    write_run(out, {"config": {}, "hash": "0"})
    assert call(script, first, monkeypatch) == 2 and "holds a run of another script" in capsys.readouterr().err
