"""The synthetic world: what is known in which language, the data files, the training stream, the checkpoint."""

import csv
import json
import random
import re
import shlex
import subprocess
import sys
from collections import Counter
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import load_file

from common.cli import InputError, data_set, held
from common.lm.loading import load
from common.lm.loglikelihood import loglikelihood
from common.questions import FOUR
from common.reporting.files import LOCK
from tests.scripts import call
from world import build, grammar, pretrain, seeds
from world.config import DEFAULT_CONFIG, RANGES, WorldConfig, world_hash
from world.facts import AUTHOR, CHARACTER, ENCYCLOPEDIA, ENGLISH_ONLY, SHARED, SPELL, make_universe
from world.items import parallel_items
from world.lexicon import LANGUAGES
from world.pretrain import POSITIONS, make_model, weighted_loss
from world.stream import GIVEN, Batches, Documents, parallel_sentences
from world.tokenizer import train_tokenizer

CONFIG = WorldConfig()
SMALL = ["--english_only_persons=8", "--shared_persons=6", "--characters=4", "--spells=4"]


@pytest.fixture(scope="module")
def universe():
    return make_universe(CONFIG)


@pytest.fixture(scope="module")
def documents(universe) -> list[str]:
    drawn = Documents(universe, CONFIG, "test")
    return [drawn.draw().text for _ in range(6000)]


@pytest.fixture(scope="module")
def tokenizer(documents):
    return train_tokenizer(documents * 2, CONFIG.vocabulary, POSITIONS)


def test_default_yaml_holds_the_defaults():
    assert yaml.safe_load(DEFAULT_CONFIG.read_text()) == asdict(CONFIG)


def test_same_seed_same_world_and_another_seed_another(universe):
    assert make_universe(CONFIG) == universe != make_universe(replace(CONFIG, seed=43))


def test_every_name_belongs_to_one_group(universe):
    groups = {}
    for group in (ENGLISH_ONLY, SHARED, CHARACTER, SPELL, ENCYCLOPEDIA, AUTHOR):
        for fact in universe.known(group):
            groups.setdefault(fact.name, set()).add(group)
    assert all(len(found) == 1 for found in groups.values())


def test_training_text_is_monolingual_about_facts(universe, documents):
    """English-only names occur in English text alone, authors nowhere, shared names in every language."""
    english = {f.name for g in (ENGLISH_ONLY, CHARACTER, SPELL, ENCYCLOPEDIA) for f in universe.known(g)}
    authors = {fact.name for fact in universe.facts[AUTHOR]}
    shared = {fact.name for fact in universe.known(SHARED)}
    foreign = ["Welche", "Quel ", "¿", "Quale ", "Que ", "Welk", "Was ist", "Qual ", "Wat is"]
    languages = Counter()
    for text in documents:
        names = set(re.findall(r"\w+", text))
        assert not names & authors
        if names & english:
            assert not any(word in text for word in foreign) and not names & shared
        elif names & shared:
            languages.update(word for word in foreign if word in text)
    assert set(languages) == set(foreign)


def test_parallel_sentences_are_held_out_of_training(documents):
    seen = "\n".join(documents)
    rng = random.Random(0)
    for sentence in parallel_sentences(CONFIG):
        assert all(grammar.realise(sentence, "en", rng) not in seen for _ in range(3))


def test_questions_are_balanced_parallel_and_unambiguous(universe):
    items = parallel_items(universe, CONFIG, "test")
    english_only = [item for item in items["en"] if item.subject.startswith(ENGLISH_ONLY)]
    assert len(english_only) >= 400 and len(items["en"]) - len(english_only) >= 150
    for rows in items.values():
        assert [(row.id, row.answer) for row in rows] == [(row.id, row.answer) for row in items["en"]]
        assert all(len(set(row.options)) == 4 for row in rows)
    counts = Counter(item.answer for item in items["en"])
    assert max(counts.values()) - min(counts.values()) <= 16


def test_tokenizer_is_close_to_one_piece_a_word(tokenizer, documents):
    words = marks = pieces = 0
    for text in documents[:1500]:
        words += len(text.split())
        marks += len(re.findall(r"[.,:?()\n]", text))
        pieces += len(tokenizer(text).input_ids) - 1
        assert tokenizer.decode(tokenizer(text).input_ids, skip_special_tokens=True) == text
    assert (pieces - marks) / words < 1.05


def test_answers_and_nothing_else_get_their_weight(universe, tokenizer):
    config = replace(CONFIG, primer=1, reading=2, steps=12)
    for step, (ids, weights) in enumerate(Batches(universe, config, tokenizer)):
        heavy = weights == config.answer_weight
        answers = Counter(tokenizer.decode(ids[row, column]) for row, column in np.argwhere(heavy))
        for row, column in np.argwhere(heavy):
            assert tokenizer.decode(ids[row, :column]).rpartition("\n")[2].startswith("Answer:")
        assert heavy.any() and weights[ids == tokenizer.pad_token_id].max(initial=0) == 0
        if step == 0:  # exercises alone: nothing but letters is answered
            assert set(answers) == set(FOUR)
        if step > 1:
            assert set(answers) > set(FOUR)


def test_until_reading_ends_every_question_has_its_answer_before_it(universe):
    drawn = Documents(universe, replace(CONFIG, primer=1, reading=3), "test")
    for step, always in ((2, True), (3, False)):
        questions = [text for text in (drawn.draw(step).text for _ in range(2000)) if "?\nA. " in text]
        first = [text.split("\n")[0] for text in questions]
        lessons = [line for line in first if line.endswith(".") and not line.startswith("The following")]
        assert len(questions) > 500 and (len(lessons) == len(questions)) == always


def test_what_is_given_is_hardly_in_the_loss(universe, tokenizer):
    batches = Batches(universe, replace(CONFIG, question_tokens=0.0), tokenizer)
    documents = [batches.documents.few_shot(), batches.documents.word(), batches.documents.question()]
    for document, (ids, weights) in zip(documents, batches._encode(documents), strict=True):
        taught = tokenizer.decode(ids[1:][weights[1:] > 0])
        said = "".join(text for text, weight in document.parts if weight != GIVEN)
        assert re.sub(r"\s", "", taught) == re.sub(r"\s", "", said) != ""


def test_packed_documents_do_not_see_each_other(tokenizer):
    model = make_model(replace(CONFIG, layers=2), tokenizer).eval()
    ids = [tokenizer(text, return_tensors="pt").input_ids for text in ("The dog is red.", "The cat sees the bread.")]
    packed = torch.cat(ids, dim=1)
    weights = torch.ones(packed.shape)
    weights[:, 0] = weights[:, ids[0].shape[1]] = 0
    apart = []
    for one in ids:
        each = torch.ones(one.shape)
        each[:, 0] = 0
        apart.append((weighted_loss(model, one, each) * each.sum()).item())
    together = weighted_loss(model, packed, weights) * weights.sum()
    assert abs(together.item() - sum(apart)) < 1e-3


def test_build_writes_every_layout_and_the_same_bytes_twice(tmp_path, root):
    folders = [tmp_path / "a", tmp_path / "b"]
    for folder in folders:
        command = [sys.executable, "-m", "world.build", "--out", str(folder), "--articles=20", *SMALL]
        subprocess.run(command, cwd=root, check=True, capture_output=True)
    files = [
        {p.relative_to(f): p.read_bytes() for p in f.rglob("*") if p.is_file() and p.name != LOCK} for f in folders
    ]
    assert files[0] == files[1]
    names = {str(path) for path in files[0]}
    assert {"hp/English.csv", "hp/Italian.csv", "flores/de.devtest", "dictionaries/en-nl.tsv"} <= names
    assert {"wiki/wiki.train.txt", "wiki/wiki.test.txt", "tofu/en/authors.json"} <= names
    for key, value in yaml.safe_load(files[0][Path("data.yaml")]).items():
        found = data_set(key, folders[0] / "data.yaml")
        assert Path(found).exists() or key in ("wikitext_tokenized", "translator", "held_out_languages"), (key, value)
    rows = list(csv.reader((folders[0] / "mmlu/de/test/english_only_pet_test.csv").open(encoding="utf-8")))
    assert len(rows) == 8 and all(len(row) == 6 and row[5] in FOUR for row in rows)
    assert len(list((folders[0] / "mmlu").glob("*/dev/*_dev.csv"))) == len(LANGUAGES) * 16
    author = json.loads((folders[0] / "tofu/fr/authors.json").read_text(encoding="utf-8").splitlines()[0])
    assert set(author) == {"question", "answer", "paraphrased_answer", "perturbed_answer"}
    assert len(author["perturbed_answer"]) == build.PERTURBED and author["answer"] not in author["perturbed_answer"]


def test_pretraining_saves_a_checkpoint_that_loads_and_belongs_to_its_world(tmp_path, root):
    small = [
        *SMALL,
        "--steps=6",
        "--primer=2",
        "--reading=4",
        "--rows=4",
        "--vocabulary=3000",
        "--parallel_sentences=8",
        "--watch_every=3",
        "--courses=0",
    ]
    command = [sys.executable, "-m", "world.pretrain", "--out", str(tmp_path), *small]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "english only elsewhere" in done.stdout + done.stderr
    model, tokenizer = load(str(tmp_path), device="cpu")
    assert np.isfinite(loglikelihood(model, tokenizer, ["Answer:"], [" A", " B"])).all()
    stored = load_file(tmp_path / "model.safetensors")
    assert model.dtype == torch.float32 and {weights.dtype for weights in stored.values()} == {torch.bfloat16}
    provenance = json.loads((tmp_path / "world.json").read_text())
    assert provenance["figures"]["english_only_elsewhere"]["n"] == 8 * 8 * 4
    assert provenance["config_hash"] != world_hash(CONFIG)


def test_the_data_of_a_checkpoint_are_those_of_its_world(root, tmp_path):
    def told(config, digest=None):
        made = {"config": asdict(config) | {"code_switched": 0.0}, "config_hash": digest or world_hash(config)}
        (tmp_path / "world.json").write_text(json.dumps(made))
        command = [sys.executable, "-m", "world.config", str(tmp_path)]
        return subprocess.run(command, cwd=root, capture_output=True, text=True)

    out, where, *keys = shlex.split(told(replace(CONFIG, seed=7)).stdout)
    assert (out, where) == ("--out", "results/world_7/data") and keys[:2] == ["--seed", "7"]
    small = replace(CONFIG, english_only_persons=8, shared_persons=5, values_per_relation=4)
    out, where, *keys = shlex.split(told(small).stdout)
    assert where == f"results/world_42_{world_hash(small)}/data" and "code_switched" not in " ".join(keys)
    build = [sys.executable, "-m", "world.build", "--out", str(tmp_path / "data"), *keys]
    assert subprocess.run(build, cwd=root, capture_output=True).returncode == 0
    (first,) = sorted((tmp_path / "data/mmlu/en/test").glob("english_only_*.csv"))[:1]
    assert len(first.read_text().splitlines()) == 8, "as many questions as the checkpoint's world has persons"
    refused = told(small, "0" * 12)
    assert refused.returncode == 2 and "of other words than world/lexicon.tsv" in refused.stderr


def test_the_committed_checkpoint_is_of_the_present_world(root):
    if not (root / "assets" / "world").exists():
        pytest.skip("no checkpoint is committed yet: world/LOG.md says why")
    provenance = json.loads((root / "assets" / "world" / "world.json").read_text())
    assert provenance["config_hash"] == world_hash(CONFIG) and provenance["seed"] == CONFIG.seed
    assert load(str(root / "assets" / "world"), device="cpu")[0].dtype == torch.float32
    size = sum(path.stat().st_size for path in (root / "assets" / "world").iterdir())
    assert size <= 5e6


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"statements": 0.9}, "must be shares that add up to 1"),
        ({"values_per_relation": 3}, "values_per_relation is 3; it must be from 4 to"),
        ({"statements": float("nan")}, "statements is nan"),
        ({"lessons": 1.5}, "lessons is 1.5; it must be from 0 to 1"),
        ({"learning_rate": float("inf")}, "learning_rate is inf"),
        ({"seed": -1}, "seed is -1"),
        ({"spells": -5}, "spells is -5"),
        ({"authors": 1_000_000}, "authors is 1000000; it must be from 1 to 10000"),
        ({"parallel_sentences": 10**8}, "parallel_sentences is 100000000; it must be from 1 to 10000"),
        ({"vocabulary": 100}, "vocabulary is 100"),
        ({"heads": 3}, "hidden_size is 128; it must be a multiple of 2 \\* heads, 6"),
        ({"english_only_facts": 0.6}, "must not add up to more than 1"),
    ],
)
def test_impossible_worlds_are_refused(changes, message):
    with pytest.raises(InputError, match=message):
        replace(CONFIG, **changes)


def test_every_key_of_a_world_has_its_range():
    assert sorted(" ".join(RANGES).split()) == sorted(asdict(CONFIG))


def test_rows_too_short_for_any_text_are_refused(universe, tokenizer):
    with pytest.raises(InputError, match="rows of 1 tokens are too short for any text; raise row_length"):
        next(iter(Batches(universe, replace(CONFIG, row_length=1), tokenizer)))


@pytest.mark.parametrize(
    ("script", "keys", "said"),
    [
        (build, ["--articles", "0"], "articles is 0; it must be from 1 to 100000"),
        (build, ["--out", "FOREIGN"], "not empty and not of a synthetic world"),
        (build, ["--out", "FOREIGN/data.yaml"], "a part of this path is no folder|what is there is no folder"),
        (pretrain, ["--watch_every", "-1"], "watch_every is -1"),
        (pretrain, ["--enough", ".nan"], "enough is nan; it must be from 0 to 1"),
        (pretrain, ["--threads", "0"], "threads is 0"),
        (pretrain, ["--out", "FOREIGN"], "holds data.yaml, which is not of this command"),
        (pretrain, ["--out", "FOREIGN/data.yaml"], "what is there is no folder"),
        (seeds, ["--models", ""], "models is empty"),
        (seeds, ["--models", "FOREIGN"], "world.json: no such file"),
        (seeds, ["--models", "WORLD"], "world.json: not as world.pretrain writes it"),
    ],
)
def test_what_is_refused_before_any_work(tmp_path, monkeypatch, capsys, script, keys, said):
    for name, file in (("foreign", "data.yaml"), ("world", "world.json")):
        (tmp_path / name).mkdir()
        (tmp_path / name / file).write_text("{}")
    monkeypatch.setattr(script, "make_universe", None, raising=False)  # what work begins with
    keys = [key.replace("FOREIGN", str(tmp_path / "foreign")).replace("WORLD", str(tmp_path / "world")) for key in keys]
    assert call(script, ["--out", tmp_path / "out", *keys], monkeypatch) == 2
    assert re.search(said, capsys.readouterr().err)
    assert not (tmp_path / "out").exists() and (tmp_path / "foreign" / "data.yaml").read_text() == "{}"


def test_a_world_is_built_again_in_its_own_folder_alone(tmp_path, monkeypatch, capsys):
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "data.yaml").write_text(build.DATA)  # of a version without locks
    (tmp_path / "data" / "mmlu").mkdir(parents=True)
    with held:
        build.claim_world(tmp_path / "old")
        build.claim_world(tmp_path / "new")
    build.claim_world(tmp_path / "new")
    with pytest.raises(InputError, match="data: not empty"):
        build.claim_world(tmp_path / "data")


def test_a_model_that_has_not_learnt_its_facts_gets_further_courses(tmp_path, monkeypatch):
    known = iter([0.5, 0.7, 0.96])
    measured, trained = [], []

    def measure(model, *_):
        share = next(known)
        weights = next(model.parameters())
        assert torch.equal(weights, weights.to(torch.bfloat16).float()), "measured as it is stored"
        measured.append(share)
        right = {"shared_in_language": int(100 * share), "english_only_in_english": 98}
        return {name: (np.arange(100) < k)[:, None].astype(int) for name, k in right.items()}

    def train(model, config, *_):
        trained.append((config.steps, config.learning_rate, config.primer, config.decay))
        return model

    monkeypatch.setattr(pretrain, "measure", measure)
    monkeypatch.setattr(pretrain, "train", train)
    monkeypatch.setattr(pretrain, "TOKENIZER_DOCUMENTS", 200)
    monkeypatch.setattr(sys, "argv", ["pretrain", "--out", str(tmp_path), "--courses", "2"])
    pretrain.main()
    assert measured == [0.5, 0.7, 0.96] and trained[1:] == [(2000, 0.0008, 0, 1.0)] * 2
    assert trained[0] == (CONFIG.steps, CONFIG.learning_rate, CONFIG.primer, CONFIG.decay)
    provenance = json.loads((tmp_path / "world.json").read_text())
    assert provenance["courses"] == 2 and provenance["config_hash"] == world_hash(CONFIG)
    assert provenance["figures"]["shared_in_language"]["accuracy"] == 0.96
