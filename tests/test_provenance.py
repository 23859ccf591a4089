"""Files are written whole or not at all; what identifies a model follows its weights."""

import json

import pytest

from common.cli import InputError
from common.reporting import provenance


def test_content_hash_follows_what_is_in_the_folder(tmp_path, tiny_checkpoint):
    before = provenance.model_content_hash(str(tiny_checkpoint))
    copy = tmp_path / "copy"
    copy.mkdir()
    for path in tiny_checkpoint.iterdir():
        (copy / path.name).write_bytes(path.read_bytes())
    (copy / "training_log.json").write_text("{}")
    assert provenance.model_content_hash(str(copy)) == before
    weights = copy / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    assert provenance.model_content_hash(str(copy)) != before


def test_content_hash_of_an_adapter_includes_its_base(tmp_path, tiny_checkpoint):
    (tmp_path / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": str(tiny_checkpoint)}))
    assert provenance.model_content_hash(str(tmp_path)).startswith("folder:")
    (tmp_path / "adapter_config.json").write_text("{}")
    with pytest.raises(InputError, match="no JSON object with a base_model_name_or_path"):
        provenance.model_content_hash(str(tmp_path))
    (tmp_path / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": "/nowhere/at all"}))
    with pytest.raises(InputError, match="nowhere"):
        provenance.model_content_hash(str(tmp_path))


def test_a_folder_without_a_model_is_refused(tmp_path):
    with pytest.raises(InputError, match="holds no model"):
        provenance.model_content_hash(str(tmp_path))
