"""A model that is not what its folder says is refused in one sentence; nothing is evaluated with random weights."""

import json
import shutil

import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, BloomConfig, BloomForCausalLM, MambaConfig, MambaForCausalLM

from common.cli import InputError
from common.lm.loading import ModelConfig, load, pick_device
from tests.scripts import call, load_script
from tests.tiny import byte_level_tokenizer


@pytest.fixture
def folder(tiny_checkpoint, tmp_path):
    """A copy of the tiny model that may be broken."""
    return shutil.copytree(tiny_checkpoint, tmp_path / "model")


def edit(path, **changes):
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def refused(name) -> str:
    with pytest.raises(InputError) as error:
        load(str(name), device="cpu")
    assert "\n" not in str(error.value)
    return str(error.value)


def test_more_layers_than_weights(folder):
    edit(folder / "config.json", num_hidden_layers=3)
    said = refused(folder)
    assert "config.json asks for model.layers.2." in said and "and 8 others, which the weights lack" in said


def test_another_architecture(folder):
    edit(folder / "config.json", architectures=["GPT2LMHeadModel"], model_type="gpt2")
    assert "which the weights lack" in refused(folder)


def test_another_shape(folder):
    edit(folder / "config.json", intermediate_size=96)
    assert str(folder) in refused(folder)


def test_weights_without_a_use_are_said_once(folder, capsys):
    path = folder / "model.safetensors"
    save_file(load_file(path) | {"value_head.weight": torch.zeros(2)}, path, {"format": "pt"})
    load(str(folder), device="cpu")
    assert capsys.readouterr().err.count("value_head.weight") == 1


@pytest.mark.parametrize("file", ["config.json", "tokenizer.json", "tokenizer_config.json", "model.safetensors"])
@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe\x00", b'{"a": 1}'])
def test_malformed_files(folder, file, content):
    (folder / file).write_bytes(content)
    if (file, content) == ("tokenizer_config.json", b'{"a": 1}'):
        load(str(folder), device="cpu")  # every key of it may be missing
    else:
        assert str(folder) in refused(folder)


def test_weights_that_are_a_folder_or_a_dead_link(folder):
    path = folder / "model.safetensors"
    path.unlink()
    path.symlink_to(folder / "nowhere")
    assert str(folder) in refused(folder)
    path.unlink()
    path.mkdir()
    assert str(folder) in refused(folder)


@pytest.fixture
def adapter(folder, tmp_path):
    """A LoRA adapter on the copy."""
    model = get_peft_model(AutoModelForCausalLM.from_pretrained(folder), LoraConfig(task_type="CAUSAL_LM", r=2))
    model.save_pretrained(tmp_path / "adapter")
    return tmp_path / "adapter"


def test_an_adapter_that_lacks_weights(adapter):
    load(str(adapter), device="cpu")
    path = adapter / "adapter_model.safetensors"
    weights = load_file(path)
    weights.pop(next(iter(weights)))
    save_file(weights, path, {"format": "pt"})
    assert "missing adapter keys" in refused(adapter)


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"peft_type": "NOSUCH", "base_model_name_or_path": "x"}'])
def test_malformed_adapter_configurations(adapter, content):
    (adapter / "adapter_config.json").write_text(content)
    assert str(adapter) in refused(adapter)


def test_an_adapter_on_itself(adapter):
    edit(adapter / "adapter_config.json", base_model_name_or_path=str(adapter))
    assert "is an adapter too" in refused(adapter)


def test_pickled_adapter_weights(adapter):
    path = adapter / "adapter_model.safetensors"
    torch.save(load_file(path), adapter / "adapter_model.bin")
    path.unlink()
    assert "safetensors" in refused(adapter)


def test_a_revision_of_a_folder_and_a_device_without_weights(folder):
    with pytest.raises(InputError, match="is on disk and has no revisions"):
        ModelConfig(model=str(folder), revision="main")
    with pytest.raises(InputError, match="holds no weights"):
        pick_device("meta")


def test_an_architecture_without_sdpa_is_loaded_all_the_same(tmp_path):
    BloomForCausalLM(BloomConfig(vocab_size=100, hidden_size=32, n_layer=1, n_head=4)).save_pretrained(tmp_path)
    byte_level_tokenizer().save_pretrained(tmp_path)
    assert load(str(tmp_path), device="cpu")[0].config._attn_implementation == "eager"


def test_the_speed_of_a_model_that_does_not_generate(tmp_path, monkeypatch, capsys):
    tokenizer = byte_level_tokenizer()
    MambaForCausalLM(MambaConfig(vocab_size=len(tokenizer), hidden_size=32, num_hidden_layers=1)).save_pretrained(
        tmp_path
    )
    tokenizer.save_pretrained(tmp_path)
    keys = ["--model", tmp_path, "--sample", tmp_path / "tokenizer_config.json", "--seconds", "0.1"]
    assert call(load_script("report/measure.py"), keys, monkeypatch) == 0
    said = capsys.readouterr()
    assert "note: MambaForCausalLM has a recurrent state" in said.err
    speed = json.loads(said.out.splitlines()[-1])
    assert speed["read_tokens_per_second"] > 0 and speed["write_seconds"] == speed["write_seconds_per_row"] == 0
