"""FT/alignment.py, FT/pairs.py and FT/lora.py against slow references, and trainings with them, killed and resumed."""

import json
import math
import sys

import pytest
import torch
from safetensors.torch import load_file
from torch import nn
from transformers import AutoModelForCausalLM, AutoTokenizer

from common.cli import InputError
from tests.scripts import ROOT, call, check_killed_training, load_script
from tests.tiny import TEXT, byte_level_tokenizer, tiny_llama

script = load_script("FT/train.py")
alignment = load_script("FT/alignment.py")
pairing = load_script("FT/pairs.py")
lora = load_script("FT/lora.py")

PAIRS = [
    ("river", "Fluss"),
    ("the sea", "das Meer"),
    ("high", "hoch"),
    ("deep water", "tiefes Wasser"),
    ("one", "eins"),
]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A corpus of 24 documents, a .tsv file of five pairs, and a folder of parallel sentences in three languages."""
    folder = tmp_path_factory.mktemp("data")
    rows = [json.dumps({"text": f"{TEXT[i % 5]} Text {i}."}) + "\n" for i in range(24)]
    (folder / "c.jsonl").write_text("".join(rows), encoding="utf-8")
    (folder / "pairs.tsv").write_text("".join(f"{a}\t{b}\n" for a, b in PAIRS), encoding="utf-8")
    (folder / "flores").mkdir()
    for code, lines in {
        "de": ["Ein Fluss.", "Das Meer."],
        "en": ["A river.", "The sea."],
        "fr": ["Un", "La mer."],
    }.items():
        (folder / "flores" / f"{code}.devtest").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return folder


def keys_of(checkpoint, data, out, **keys):
    base = {"model": checkpoint, "data": data / "c.jsonl", "out": out, "row_length": 32, "batch_size": 2}
    base |= {
        "accumulation": 2,
        "max_steps": 6,
        "save_steps": 2,
        "log_steps": 1,
        "device": "cpu",
        "learning_rate": 0.001,
    }
    base |= {"align_data": data / "pairs.tsv", "align_batch_size": 3}
    return [word for key, value in (base | keys).items() for word in (f"--{key}", str(value))]


def cosine(a: torch.Tensor, b: torch.Tensor) -> float:
    return float((a * b).sum() / math.sqrt(float((a * a).sum()) * float((b * b).sum())))


def by_hand(states, texts, temperature, across):
    """The mean over all texts of -log(candidate's share), one text and candidate after the other."""
    count = len(states) // 2
    losses = []
    for i in range(2 * count):
        partner = (i + count) % (2 * count)
        total = 0.0
        for k in range(2 * count):
            first, second = ({int(texts[n % count]), int(texts[n % count + count])} for n in (k, i))
            shares_text = bool(first & second)
            if k != partner and (k == i or shares_text or (across and (k < count) == (i < count))):
                continue
            total += math.exp(cosine(states[i], states[k]) / temperature)
        losses.append(-math.log(math.exp(cosine(states[i], states[partner]) / temperature) / total))
    return sum(losses) / len(losses)


@pytest.mark.parametrize("across", [True, False])
@pytest.mark.parametrize("texts", [[0, 1, 2, 3], [0, 1, 2, 0, 3, 4], [0, 1, 2, 3, 4, 3]])
def test_the_loss_is_that_by_hand(across, texts):
    torch.manual_seed(1)
    states = torch.randn(len(texts), 6, dtype=torch.float32)
    loss = alignment.contrastive_loss(states, torch.tensor(texts), 0.1, across)
    assert float(loss) == pytest.approx(by_hand(states.double(), texts, 0.1, across), rel=1e-5)


def test_middle_is_the_formula_of_the_paper():
    """-mean(diag(log_softmax(cos / 0.1))) in both directions, at batch 2."""
    torch.manual_seed(2)
    a, b = torch.randn(2, 5), torch.randn(2, 5)
    cosines = torch.stack([torch.stack([nn.functional.cosine_similarity(x, y, dim=0) for y in b]) for x in a]) / 0.1
    expected = -(cosines.log_softmax(1).diag().mean() + cosines.T.log_softmax(1).diag().mean()) / 2
    assert torch.allclose(alignment.contrastive_loss(torch.cat([a, b]), torch.arange(4), 0.1, across=True), expected)


@pytest.fixture
def double():
    """A tiny model in float64, its tokenizer, and a batch of two pairs of different lengths."""
    tokenizer = byte_level_tokenizer()
    torch.manual_seed(0)
    model = tiny_llama(len(tokenizer), num_hidden_layers=3).double()
    batch = pairing.padded(pairing.tokenized([PAIRS[1], PAIRS[3]], tokenizer, 32))
    assert len(set(batch["attention_mask"].sum(1).tolist())) > 2  # so that a wrong mask shows
    return model, tokenizer, batch


@pytest.fixture
def exact(monkeypatch):
    """Losses in float64, for finite differences."""
    monkeypatch.setattr(torch.Tensor, "float", torch.Tensor.double)


def alone(model, tokenizer, text: str) -> list[torch.Tensor]:
    """The mean state of each layer, and of the output embeddings, of a text that is read by itself, without <s>."""
    ids = tokenizer(text, return_tensors="pt").input_ids
    states = model(ids, output_hidden_states=True).hidden_states
    return [layer[0, 1:].mean(0) for layer in states] + [model.lm_head.weight[ids[0, 1:]].mean(0)]


def test_each_text_is_read_under_its_own_mask(double, exact):
    """States of a padded batch are those of the texts alone: a source is never masked by its target's padding."""
    model, tokenizer, batch = double
    texts = [PAIRS[1][0], PAIRS[3][0], PAIRS[1][1], PAIRS[3][1]]
    with torch.no_grad():
        layers = [torch.stack(layer) for layer in zip(*(alone(model, tokenizer, text) for text in texts), strict=True)]
        made = alignment.middle_loss(model, batch, layer=2, temperature=0.1)
        assert float(made) == pytest.approx(by_hand(layers[2], range(4), 0.1, True), rel=1e-9)
        words = alignment.words_loss(model, batch, temperature=0.1)
    expected = [by_hand(layer, range(4), 0.1, False) for layer in layers]
    assert len(layers) == 5 and float(words) == pytest.approx(sum(expected) / 5, rel=1e-9)


@pytest.mark.parametrize("name", ["middle", "words"])
def test_gradients_are_those_of_finite_differences(double, exact, name):
    model, _, batch = double

    def loss():
        if name == "middle":
            return alignment.middle_loss(model, batch, layer=2, temperature=0.1)
        return alignment.words_loss(model, batch, temperature=0.1)

    loss().backward()
    step = 1e-3  # norms are computed in float32
    named = dict(model.named_parameters())
    for key in (
        "model.embed_tokens.weight",
        "model.layers.0.self_attn.q_proj.weight",
        "model.layers.1.mlp.up_proj.weight",
    ):
        weight = named[key]
        place = int(weight.grad.abs().argmax())
        with torch.no_grad():
            found = []
            for sign in (1, -1):
                weight.view(-1)[place] += sign * step
                found.append(float(loss()))
                weight.view(-1)[place] -= sign * step
        assert float(weight.grad.view(-1)[place]) == pytest.approx((found[0] - found[1]) / (2 * step), rel=2e-3), key
    above = named["model.layers.2.mlp.up_proj.weight"].grad
    assert (above is None or not above.any()) == (name == "middle")  # layer 3 is above the aligned one


def test_pairs_are_read_from_all_four_sources(data, tmp_path):
    assert pairing.read_pairs(str(data / "pairs.tsv")) == PAIRS
    sentences = [("A river.", "Ein Fluss."), ("The sea.", "Das Meer."), ("A river.", "Un"), ("The sea.", "La mer.")]
    assert pairing.read_pairs(str(data / "flores")) == sentences
    (tmp_path / "en-de.tsv").write_text("river\tFluss\n")
    (tmp_path / "en-fr.tsv").write_text("sea\tmer\n")
    assert pairing.read_pairs(str(tmp_path)) == [("river", "Fluss"), ("sea", "mer")]


def test_pairs_are_those_that_mix_writes(tmp_path, monkeypatch):
    (tmp_path / "en-de.tsv").write_text("river\tFluss\nsea\tMeer\n")
    (tmp_path / "t.txt").write_text("A river. The sea.\n")
    keys = ["--input", tmp_path / "t.txt", "--documents", "rows", "--unit", "sentence", "--layout", "parallel"]
    keys += ["--languages", "en,de", "--probability", "1", "--dictionary", tmp_path, "--out", tmp_path / "m.jsonl"]
    assert call(load_script("FT/mix.py"), keys, monkeypatch) == 0
    assert pairing.read_pairs(str(tmp_path / "m.jsonl")) == [("A river.", "A Fluss."), ("The sea.", "The Meer.")]
    keys[keys.index("parallel")] = "replace"
    assert call(load_script("FT/mix.py"), [*keys, "--out", tmp_path / "r.jsonl"], monkeypatch) == 0
    with pytest.raises(InputError, match="r.jsonl': made with layout replace, not parallel"):
        pairing.read_pairs(str(tmp_path / "r.jsonl"))
    spans = [{"language": "en", "start": 0, "end": 2}, {"language": "de", "start": 2, "end": 4}]
    row = {"text": "abcdef", "languages": [*spans, {"language": "de", "start": 4, "end": 6}]}
    (tmp_path / "other.jsonl").write_text(json.dumps(row) + "\n")
    with pytest.raises(InputError, match="other.jsonl row 1: 'ef' follows no text in en; use layout parallel"):
        pairing.read_pairs(str(tmp_path / "other.jsonl"))


@pytest.mark.parametrize("ratio", [0.5, 0.25, 0.75, None])
def test_an_epoch_reads_each_row_once_and_whole_steps_of_a_kind(ratio):
    passes = alignment.Passes(23, 7, (2, 3), 2, ratio, seed=5)
    read = list(passes)
    assert len(read) == len(passes) and read == list(passes)
    rows = [number for one in read for number in one if number >= 0]
    assert sorted(rows) == list(range(23)) and rows != sorted(rows)
    kinds = [(any(n >= 0 for n in one), any(n < 0 for n in one)) for one in read]
    if ratio is None:
        assert set(kinds) == {(True, True)}
    else:
        steps = [kinds[start : start + 2] for start in range(0, len(kinds), 2)]
        assert all(len(set(step)) == 1 for step in steps)
        aligned = sum(step[0] == (False, True) for step in steps)
        assert abs(aligned / len(steps) - ratio) < 0.1
    pairs = [-1 - number for one in read for number in one if number < 0]
    assert all(sorted(pairs[start : start + 7]) == list(range(7)) for start in range(0, len(pairs) - 6, 7))
    passes.set_epoch(1)
    assert list(passes) != read


def test_a_corpus_too_small_to_align_beside_is_refused():
    with pytest.raises(InputError, match="10 rows of text are too few for a step that aligns"):
        alignment.Passes(10, 100, (2, 32), 8, 0.5, seed=42)


@pytest.mark.parametrize("weight", [(6, 4), (5000, 7000)], ids=["one part", "several parts"])
def test_products_of_frozen_weights_are_those_of_float32(weight):
    torch.manual_seed(0)
    layer = nn.Linear(weight[1], weight[0]).bfloat16().requires_grad_(False)
    states = torch.randn(2, 3, weight[1], requires_grad=True)
    made = lora.frozen_linear(layer, states)
    made.square().sum().backward()
    gradient, states.grad = states.grad, None
    wide = nn.Linear(weight[1], weight[0])
    wide.load_state_dict(layer.state_dict())
    expected = wide(states)
    expected.square().sum().backward()
    assert torch.allclose(made, expected, rtol=1e-5, atol=1e-5)
    assert torch.allclose(gradient, states.grad, rtol=1e-4, atol=1e-3) and layer.weight.grad is None


@pytest.fixture(scope="module")
def half_checkpoint(tiny_checkpoint, tmp_path_factory):
    """The tiny model in bfloat16."""
    folder = tmp_path_factory.mktemp("half")
    AutoModelForCausalLM.from_pretrained(tiny_checkpoint, dtype=torch.bfloat16).save_pretrained(folder)
    AutoTokenizer.from_pretrained(tiny_checkpoint).save_pretrained(folder)
    return folder


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_frozen_weights_stay_as_stored_and_the_adapter_is_float32(half_checkpoint, tmp_path, precision):
    keys = {"model": str(half_checkpoint), "data": "c.jsonl", "out": str(tmp_path), "method": "lora"}
    model = script.load_model(script.Train(**keys, precision=precision, device="cpu"))
    matrices = {name: weight for name, weight in model.named_parameters() if weight.dim() == 2}
    assert {weight.dtype for name, weight in matrices.items() if "lora_" in name} == {torch.float32}
    assert {weight.dtype for name, weight in matrices.items() if "lora_" not in name} == {torch.bfloat16}


@pytest.mark.parametrize("checkpointing", [True, False])
def test_an_adapter_of_a_bfloat16_model_gets_the_gradients_of_its_float32_copy(
    half_checkpoint, tmp_path, checkpointing
):
    """With products in float32, also where activations are computed twice."""
    wide = AutoModelForCausalLM.from_pretrained(half_checkpoint, dtype=torch.float32)
    wide.save_pretrained(tmp_path)
    models = []
    for checkpoint in (half_checkpoint, tmp_path):
        keys = {"model": str(checkpoint), "data": "c.jsonl", "out": "o", "method": "lora", "device": "cpu"}
        models.append(script.load_model(script.Train(**keys, precision="fp32")).train())
    half, full = models
    with torch.no_grad():
        for (name, here), (_, there) in zip(half.named_parameters(), full.named_parameters(), strict=True):
            if "lora_" in name:
                here.normal_(0, 0.1)
                there.copy_(here)
    if checkpointing:
        half.gradient_checkpointing_enable()
    ids = torch.randint(2, 400, (2, 12), generator=torch.Generator().manual_seed(0))
    losses = [model(ids, labels=ids, use_cache=False).loss for model in models]
    for loss in losses:
        loss.backward()
    assert losses[0].dtype == torch.float32 and torch.allclose(*losses, rtol=1e-6)
    gradients = [{n: p.grad for n, p in model.named_parameters() if p.grad is not None} for model in models]
    assert set(gradients[0]) == set(gradients[1]) and all("lora_" in name for name in gradients[0])
    assert all(torch.allclose(gradients[0][name], gradients[1][name], rtol=1e-4, atol=1e-6) for name in gradients[1])


@pytest.mark.parametrize("names", ["of modules", "others"])
@pytest.mark.parametrize("shard", ["1GB", "20KB"], ids=["one file", "several files"])
def test_a_merged_model_computes_what_its_adapter_does(half_checkpoint, tmp_path, monkeypatch, shard, names):
    monkeypatch.setattr(lora, "SHARD", shard)
    if names == "others":
        monkeypatch.setattr(lora, "names_in", lambda path: ["some.weight"])
    keys = {"model": str(half_checkpoint), "data": "c.jsonl", "out": "o", "method": "lora", "device": "cpu"}
    model = script.load_model(script.Train(**keys, precision="fp32"))
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "lora_" in name:
                weight.normal_(0, 0.1)
    ids = torch.arange(2, 40)[None]
    with torch.inference_mode():
        expected = model(ids).logits
    lora.save_merged(model, tmp_path)
    files = list(tmp_path.glob("*.safetensors"))
    assert (len(files) > 1) == (shard == "20KB")
    weights = {name: weight for file in files for name, weight in load_file(file).items()}
    assert {weight.dtype for weight in weights.values()} == {torch.float32}
    for index in tmp_path.glob("*.index.json"):
        written = json.loads(index.read_text())
        assert set(written["weight_map"]) == set(weights)
        assert written["metadata"]["total_size"] == sum(weight.nbytes for weight in weights.values())
    with torch.inference_mode():
        made = AutoModelForCausalLM.from_pretrained(tmp_path, dtype=torch.float32)(ids).logits
    assert torch.allclose(made, expected, rtol=1e-4, atol=1e-4)


OBJECTIVES = {"middle": {"align": "middle", "align_layer": 1}, "words": {"align": "words"}}


@pytest.mark.parametrize("protocol", ["ours", "paper"])
@pytest.mark.parametrize("method", ["full", "lora"])
@pytest.mark.parametrize("objective", OBJECTIVES)
def test_translations_become_alike_and_a_stopped_run_ends_the_same(
    tiny_checkpoint, data, tmp_path, monkeypatch, objective, method, protocol
):
    keys = OBJECTIVES[objective] | {"method": method, "protocol": protocol, "max_steps": 8, "learning_rate": 0.01}
    assert call(script, keys_of(tiny_checkpoint, data, tmp_path / "whole", **keys), monkeypatch) == 0

    class Stop(script.TrainerCallback):
        def on_save(self, args, state, control, **_):
            if state.global_step == 4:
                raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(script.Trainer, "remove_callback", lambda trainer, _: trainer.add_callback(Stop()))
        assert call(script, keys_of(tiny_checkpoint, data, tmp_path / "stopped", **keys), monkeypatch) == 130
    assert call(script, keys_of(tiny_checkpoint, data, tmp_path / "stopped", **keys), monkeypatch) == 0
    for name in ("model.safetensors", "log.csv"):
        assert (tmp_path / "stopped" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name
    tokenizer = AutoTokenizer.from_pretrained(tiny_checkpoint)
    batch = pairing.padded(pairing.tokenized(PAIRS, tokenizer, 32))
    with torch.no_grad():
        before, after = (
            float(alignment.middle_loss(AutoModelForCausalLM.from_pretrained(folder), batch, 1, 0.1))
            for folder in (tiny_checkpoint, tmp_path / "whole")
        )
    assert after < before
    assert "pairs" in json.loads((tmp_path / "whole" / "run.json").read_text())


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_a_killed_alignment_goes_on_to_the_same_bits(tiny_checkpoint, data, tmp_path, objective):
    def command(name):
        keys = keys_of(tiny_checkpoint, data, tmp_path / name, method="lora", **OBJECTIVES[objective])
        return [sys.executable, str(ROOT / "FT/train.py"), *keys]

    check_killed_training(command, tmp_path)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"align": "middle", "align_data": "null"}, "align_data"),
        ({"align": "middle", "align_data": "nowhere.tsv"}, "nowhere.tsv"),
        (
            {"align": "middle", "align_data": "FOLDER/c.jsonl"},
            "c.jsonl row 1: no column languages as FT/mix.py writes it",
        ),
        ({"align": "middle", "align_data": "FOLDER"}, "no en-de.tsv, and not two files such as en.devtest"),
        ({"align": "middle", "align_layer": 3}, "align_layer is 3, but"),
        ({"align": "middle", "align_ratio": 1}, "align_ratio is 1.0; it must be a share between 0 and 1"),
        ({"align": "words", "align_batch_size": 1}, "align_batch_size is 1; a pair needs another"),
        ({"align": "words", "align_temperature": 0}, "align_temperature is 0.0"),
    ],
)
def test_bad_input_is_one_sentence(tiny_checkpoint, data, tmp_path, monkeypatch, capsys, changes, said):
    changes = {key: str(value).replace("FOLDER", str(data)) for key, value in changes.items()}
    assert call(script, keys_of(tiny_checkpoint, data, tmp_path / "out", **changes), monkeypatch) == 2
    error = capsys.readouterr().err
    assert said in error and "Traceback" not in error and not (tmp_path / "out" / "run.json").exists()


def test_rows_of_parallel_files_that_do_not_match_are_named(data, tmp_path):
    for lines, said in (("Ein Fluss.\n", "1 lines where"), ("Ein Fluss.\n \n", "de.devtest row 2: blank")):
        (tmp_path / "en.devtest").write_text("A river.\nThe sea.\n")
        (tmp_path / "de.devtest").write_text(lines)
        with pytest.raises(Exception, match=said):
            pairing.read_pairs(str(tmp_path))


def test_what_is_not_used_does_not_name_the_training():
    keys = {"model": "m", "data": "d.jsonl", "out": "o"}
    plain = script.Train(**keys).used
    assert not {key for key in plain if key.startswith(("align", "dpo", "objective"))}
    assert script.Train(**keys, align_layer=3, dpo_beta=0.5).used == plain
    middle = script.Train(**keys, align="middle", align_data="p.tsv").used
    assert middle["align_ratio"] == 0.5 and "align_weight" not in middle
