"""FT/train.py: exact packing, kills, processes, adapters, and what it refuses."""

import errno
import fcntl
import json
import shutil
import subprocess
import sys
from types import SimpleNamespace

import pandas as pd
import pytest
import torch
import yaml
from datasets import Dataset
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch.nn.functional import cross_entropy
from transformers import AutoModelForCausalLM

from common.lm.loading import load
from tests.scripts import ROOT, call, check_killed_training, load_script
from tests.tiny import TEXT, byte_level_tokenizer, tiny_models

script = load_script("FT/train.py")
packing = load_script("FT/packing.py")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """A corpus of 40 short documents, and test text in two languages."""
    folder = tmp_path_factory.mktemp("corpus")
    rows = [{"text": f"{TEXT[i % 5]} Text {i}.", "doc_id": i} for i in range(40)]
    (folder / "mixed.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    (folder / "en.test.txt").write_text("A river flows.\nThe sea is deep.\n", encoding="utf-8")
    (folder / "de.test.txt").write_text("Welcher Fluss fließt?\n", encoding="utf-8")
    return folder


def arguments(checkpoint, corpus, out, **keys):
    base = {"model": checkpoint, "data": corpus / "mixed.jsonl", "out": out, "row_length": 32, "batch_size": 2}
    base |= {
        "accumulation": 2,
        "max_steps": 8,
        "save_steps": 2,
        "log_steps": 1,
        "device": "cpu",
        "learning_rate": 0.001,
    }
    return [word for key, value in (base | keys).items() for word in (f"--{key}", str(value))]


def test_packing_loses_no_token_and_pads_only_the_end():
    documents = [[10 * i + j for j in range(length)] for i, length in enumerate((3, 7, 5, 2), 1)]
    rows = packing.pack_ids(documents, 6, padding=0)
    flat = [token for row in rows["input_ids"] for token in row]
    assert flat[:17] == [token for document in documents for token in document] and flat[17:] == [0]
    assert rows["position_ids"] == [[0, 1, 2, 0, 1, 2], [0, 1, 2, 3, 0, 1], [0, 1, 2, 0, 1, 0]]
    labels = [label for row in rows["labels"] for label in row]
    positions = [position for row in rows["position_ids"] for position in row]
    assert all((label == -100) == (position == 0) for label, position in zip(labels, positions, strict=True))


@pytest.mark.parametrize("name", ["llama", "gpt2", "qwen2"])
def test_packed_losses_are_those_of_each_document_alone(name):
    torch.manual_seed(0)
    model = tiny_models(500)[name]
    documents = [torch.randint(2, 500, (length,)).tolist() for length in (5, 11, 3, 17, 8)]
    rows = packing.pack_ids(documents, 16, padding=1)
    batch = {key: torch.tensor(values) for key, values in rows.items()}
    with torch.inference_mode():
        logits = model(batch["input_ids"], position_ids=batch["position_ids"], use_cache=False).logits
    packed = cross_entropy(logits[:, :-1].transpose(1, 2), batch["labels"][:, 1:], reduction="none")
    for row, ids in enumerate(batch["input_ids"]):
        starts = [*(batch["position_ids"][row] == 0).nonzero().flatten().tolist(), len(ids)]
        for start, end in zip(starts, starts[1:], strict=False):
            if end - start < 2 or batch["labels"][row, end - 1] == -100:
                continue
            with torch.inference_mode():
                alone = model(ids[None, start:end]).logits[0, :-1]
            expected = cross_entropy(alone, ids[start + 1 : end], reduction="none")
            assert (packed[row, start : end - 1] - expected).abs().max() <= 1e-4


def test_rows_do_not_depend_on_the_number_of_processes():
    data = Dataset.from_dict({"text": [f"{TEXT[i % 5]} Text {i}." for i in range(10)]})  # in memory: nothing is kept
    tokenizer, length = byte_level_tokenizer(), 50
    one, two = (list(packing.pack(data, tokenizer, length, n, together=4)) for n in (1, 2))
    lengths = [len(ids) + (ids[-1] != tokenizer.eos_token_id) for ids in tokenizer(list(data["text"])).input_ids]
    assert one == two and len(one) == sum(-(-sum(lengths[at : at + 4]) // length) for at in (0, 4, 8))
    assert len(packing.pack(data, tokenizer, length, together=10)) == -(-sum(lengths) // length) < len(one)


def test_other_test_text_is_another_configuration(tiny_checkpoint, corpus, tmp_path, monkeypatch, capsys):
    texts = tmp_path / "texts"
    texts.mkdir()
    (texts / "en.test.txt").write_text("A river flows.\n")
    keys = arguments(tiny_checkpoint, corpus, tmp_path / "out", max_steps=1, eval_data=texts)
    assert call(script, keys, monkeypatch) == 0
    (texts / "en.test.txt").write_text("The sea is deep.\n")
    assert call(script, keys, monkeypatch) == 2 and "of other texts than eval_data has" in capsys.readouterr().err


def test_train_writes_a_model_that_loads_a_log_and_perplexities(tiny_checkpoint, corpus, tmp_path, monkeypatch):
    out = tmp_path / "out"
    keys = arguments(tiny_checkpoint, corpus, out, eval_data=corpus, max_steps=6, eval_steps=3)
    assert call(script, keys, monkeypatch) == 0
    log = pd.read_csv(out / "log.csv")
    assert log["step"].tolist() == [1, 2, 3, 4, 5, 6] and log["loss"].iloc[-1] < log["loss"].iloc[0]
    evaluated = log.dropna(subset=["perplexity_de", "perplexity_en"])
    assert evaluated["step"].tolist() == [3, 6] and (evaluated[["perplexity_de", "perplexity_en"]] > 1).all(axis=None)
    model, _ = load(str(out), device="cpu")
    before = AutoModelForCausalLM.from_pretrained(tiny_checkpoint)
    assert not torch.equal(model.lm_head.weight, before.lm_head.weight) and model.config.use_cache
    assert (out / "loss.png").exists() and json.loads((out / "run.json").read_text())["steps"] == 6
    assert not (out / "checkpoints").exists()


def test_finished_training_is_not_repeated_nor_overwritten(tiny_checkpoint, corpus, tmp_path, monkeypatch, capsys):
    keys = arguments(tiny_checkpoint, corpus, tmp_path / "out", max_steps=1)
    assert call(script, keys, monkeypatch) == 0
    weights = (tmp_path / "out" / "model.safetensors").read_bytes()
    assert call(script, keys, monkeypatch) == 0 and "up to date" in capsys.readouterr().out
    assert call(script, [*keys, "--seed", "7"], monkeypatch) == 2
    assert "another configuration" in capsys.readouterr().err
    assert (tmp_path / "out" / "model.safetensors").read_bytes() == weights


@pytest.mark.parametrize("merge", ["true", "false"])
def test_lora_trains_an_adapter_that_loads(tiny_checkpoint, corpus, tmp_path, monkeypatch, merge):
    out = tmp_path / "out"
    keys = arguments(tiny_checkpoint, corpus, out, method="lora", lora_r=4, merge=merge, max_steps=3)
    assert call(script, keys, monkeypatch) == 0
    assert (out / "adapter_config.json").exists() == (merge == "false")
    model, tokenizer = load(str(out), device="cpu")
    before = AutoModelForCausalLM.from_pretrained(tiny_checkpoint)
    ids = tokenizer("A river", return_tensors="pt").input_ids
    with torch.inference_mode():
        assert not torch.allclose(model(ids).logits, before(ids).logits)
    assert torch.equal(model.get_input_embeddings().weight, before.get_input_embeddings().weight)


@pytest.mark.parametrize("stated", [True, False], ids=["stated", "as stored"])
@pytest.mark.parametrize("keys", [{}, {"method": "lora"}, {"method": "lora", "merge": "false"}])
def test_a_model_is_evaluated_in_the_same_precision_before_and_after(
    tiny_checkpoint, corpus, tmp_path, monkeypatch, keys, stated
):
    half, out = tmp_path / "half", tmp_path / "out"
    model, tokenizer = load(str(tiny_checkpoint), device="cpu")
    model.to(torch.bfloat16).save_pretrained(half)
    tokenizer.save_pretrained(half)
    if not stated:
        config = json.loads((half / "config.json").read_text())
        (half / "config.json").write_text(json.dumps({key: v for key, v in config.items() if key != "dtype"}))
    assert call(script, arguments(half, corpus, out, max_steps=2, **keys), monkeypatch) == 0
    monkeypatch.setattr("common.lm.loading.cpu_multiplies", lambda dtype: True)  # whatever this machine has
    assert load(str(out), device="cpu")[0].dtype == load(str(half), device="cpu")[0].dtype == torch.bfloat16
    weights = load_file(next(out.glob("*.safetensors")))
    assert {tensor.dtype for tensor in weights.values()} == {torch.float32}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"data": "nowhere.jsonl"}, "nowhere.jsonl"),
        ({"model": "nowhere"}, "nowhere"),
        ({"row_length": 100_000}, "positions"),
        ({"batch_size": 0}, "batch_size is 0"),
        ({"eval_data": "nowhere"}, "en.test.txt"),
        ({"method": "qlora"}, "method"),
        ({"data": "text.json"}, "must end in .jsonl or .parquet"),
        ({"learning_rate": "0"}, "learning_rate is 0.0; it must be above 0"),
        ({"learning_rate": "-0.001"}, "learning_rate is -0.001"),
        ({"learning_rate": ".nan"}, "learning_rate is nan"),
        ({"learning_rate": ".inf"}, "learning_rate is inf"),
        ({"epochs": "0"}, "epochs is 0.0"),
        ({"epochs": ".nan"}, "epochs is nan"),
        ({"lora_r": 0, "method": "lora"}, "lora_r is 0"),
        ({"lora_alpha": -1, "method": "lora"}, "lora_alpha is -1"),
        ({"lora_dropout": "1.0"}, "lora_dropout is 1.0"),
        ({"weight_decay": "-0.1"}, "weight_decay is -0.1"),
        ({"warmup_steps": -1}, "warmup_steps is -1"),
        ({"seed": -1}, "seed is -1"),
        ({"seed": 2**32}, "seed is 4294967296"),
        ({"processes": 0}, "processes is 0"),
        ({"attention": "flash_attention_2"}, "set batch_size 1 and accumulation 4"),
        ({"attention": "flash_attention_3"}, "set batch_size 1 and accumulation 4"),
        ({"learning_rate": "1e30", "log_steps": 2}, "the loss is nan; lower learning_rate"),
    ],
)
def test_bad_input_is_one_sentence(tiny_checkpoint, corpus, tmp_path, monkeypatch, capsys, changes, said):
    assert call(script, arguments(tiny_checkpoint, corpus, tmp_path / "out", **changes), monkeypatch) == 2
    assert said in capsys.readouterr().err and not (tmp_path / "out" / "run.json").exists()


def test_activations_are_recomputed_once(tiny_checkpoint, corpus, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("FSDP_ACTIVATION_CHECKPOINTING", "true")
    keys = arguments(tiny_checkpoint, corpus, tmp_path / "out", gradient_checkpointing=True)
    assert call(script, keys, monkeypatch) == 2
    assert "fsdp_activation_checkpointing does the same" in capsys.readouterr().err


GOOD = b'{"text": "A river flows."}\n'


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (b"", "mixed.jsonl: no text in this file"),
        (b'{"text": ""}\n{"text": " "}\n', "mixed.jsonl: no text in this file"),
        (GOOD + b'{"text": null}\n', "mixed.jsonl row 2: text is None"),
        (GOOD + b'{"text": 7}\n', "mixed.jsonl row 2: text is 7"),
        (GOOD + b'{"text": ["a"]}\n', "mixed.jsonl row 2: text is ['a']"),
        (GOOD + b'{"text": true}\n', "mixed.jsonl row 2: text is True"),
        (GOOD + b'{"text": "\\ud800"}\n', "mixed.jsonl row 2: text has '\\ud800', half a character"),
        (GOOD + b'{"txet": "a"}\n', "mixed.jsonl row 2: not a JSON object with the key text"),
        (GOOD + b'{"text": "a', "mixed.jsonl row 2: not a JSON object"),
        (GOOD + b"[" * 100_000, "mixed.jsonl row 2: not a JSON object"),
        (
            GOOD + '{"text": "\u00fc"}'.encode("latin-1"),
            "mixed.jsonl row 2: not a JSON object with the key text, in UTF-8",
        ),
        ('{"text": "a"}'.encode("utf-16"), "mixed.jsonl row 1: not a JSON object"),
        (bytes(range(256)), "mixed.jsonl row 1: not a JSON object"),
    ],
)
def test_a_malformed_corpus_is_refused_by_row(tiny_checkpoint, tmp_path, monkeypatch, capsys, rows, said):
    (tmp_path / "mixed.jsonl").write_bytes(rows)
    keys = arguments(tiny_checkpoint, tmp_path, tmp_path / "out")
    assert call(script, keys, monkeypatch) == 2
    assert said in capsys.readouterr().err and not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("column", "said"),
    [
        ({"text": ["a", None]}, "row 2: text is None"),
        ({"text": [1, 2]}, "row 1: text is 1"),
        ({"txet": ["a"]}, "no column `text` but txet"),
        ({"text": []}, "cannot be read"),
        (None, "cannot be read"),
    ],
)
def test_a_malformed_parquet_file_is_refused_by_row(tiny_checkpoint, tmp_path, monkeypatch, capsys, column, said):
    path = tmp_path / "mixed.parquet"
    path.write_bytes(b"no such") if column is None else pd.DataFrame(column).to_parquet(path)
    keys = arguments(tiny_checkpoint, tmp_path, tmp_path / "out", data=path)
    assert call(script, keys, monkeypatch) == 2
    error = capsys.readouterr().err
    assert said in error and "mixed.parquet" in error and "Traceback" not in error


def test_nothing_of_others_is_overwritten(tiny_checkpoint, corpus, tmp_path, monkeypatch, capsys):
    """The model itself, another model's folder, and one that another process writes to."""
    base = shutil.copytree(tiny_checkpoint, tmp_path / "base")
    before = {path.name: path.read_bytes() for path in base.iterdir()}
    for model in (base, tiny_checkpoint):
        assert call(script, arguments(model, corpus, base), monkeypatch) == 2
        assert f"{base}: holds" in capsys.readouterr().err
    assert {path.name: path.read_bytes() for path in base.iterdir()} == before
    (tmp_path / "out").mkdir()
    with open(tmp_path / "out" / ".lock", "w") as lock:
        lock.write("process 1 on that machine")
        lock.flush()
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert call(script, arguments(tiny_checkpoint, corpus, tmp_path / "out"), monkeypatch) == 2
    assert "process 1 on that machine writes there" in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "out").iterdir()] == [".lock"]


def test_a_truncated_model_is_refused(tiny_checkpoint, corpus, tmp_path, monkeypatch, capsys):
    path = shutil.copytree(tiny_checkpoint, tmp_path / "base") / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    assert call(script, arguments(tmp_path / "base", corpus, tmp_path / "out"), monkeypatch) == 2
    assert f"model '{tmp_path}/base' cannot be loaded" in capsys.readouterr().err


def test_fewer_steps_than_are_logged_at(tiny_checkpoint, corpus, tmp_path, monkeypatch):
    keys = arguments(tiny_checkpoint, corpus, tmp_path / "out", max_steps=3, log_steps=10)
    assert call(script, keys, monkeypatch) == 0
    log = pd.read_csv(tmp_path / "out" / "log.csv")
    assert log["loss"].notna().tolist() == [True, True] and log["step"].tolist() == [2, 3]
    assert (tmp_path / "out" / "run.json").exists() and (tmp_path / "out" / "loss.png").exists()


@pytest.mark.parametrize("method", ["full", "lora"])
@pytest.mark.parametrize("place", ["train_end", "save_2", "save_4"])
def test_stopped_at_any_step_it_ends_with_the_same_bits(tiny_checkpoint, corpus, tmp_path, monkeypatch, method, place):
    """After the last checkpoint too, where nothing is left to train, and where a checkpoint is cut short."""
    whole, out = tmp_path / "whole", tmp_path / "stopped"
    keys = {"method": method, "max_steps": 5, "schedule": "constant", "log_steps": 4}
    assert call(script, arguments(tiny_checkpoint, corpus, whole, **keys), monkeypatch) == 0

    class Stop(script.TrainerCallback):
        def on_train_end(self, args, state, control, **_):
            if place == "train_end":
                raise KeyboardInterrupt

        def on_save(self, args, state, control, **_):
            if place == f"save_{state.global_step}":
                raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(script.Trainer, "remove_callback", lambda trainer, _: trainer.add_callback(Stop()))
        assert call(script, arguments(tiny_checkpoint, corpus, out, **keys), monkeypatch) == 130
    if place == "save_4":
        state = next(out.glob("checkpoints/*/checkpoint-4")) / "trainer_state.json"
        state.write_bytes(state.read_bytes()[:-100])
    assert not (out / "run.json").exists()
    assert call(script, arguments(tiny_checkpoint, corpus, out, **keys), monkeypatch) == 0
    for name in ("model.safetensors", "log.csv"):
        assert (out / name).read_bytes() == (whole / name).read_bytes(), name
    assert not (out / "checkpoints").exists()


def test_another_number_of_processes_does_not_go_on(tiny_checkpoint, corpus, tmp_path, monkeypatch, capsys):
    class Stop(script.TrainerCallback):
        def on_save(self, args, state, control, **_):
            raise KeyboardInterrupt

    keys = arguments(tiny_checkpoint, corpus, tmp_path / "out")
    with monkeypatch.context() as patched:
        patched.setattr(script.Trainer, "remove_callback", lambda trainer, _: trainer.add_callback(Stop()))
        assert call(script, keys, monkeypatch) == 130
    (begun,) = (tmp_path / "out/checkpoints").iterdir()
    other = begun.rename(begun.with_name(begun.name.replace("-1", "-8")))
    assert call(script, keys, monkeypatch) == 2
    assert f"{other}: begun by 8 processes, and here are 1" in capsys.readouterr().err
    other.rename(begun)
    assert call(script, keys, monkeypatch) == 0


def test_an_adapter_has_the_same_bytes_in_every_process(tiny_checkpoint, corpus, tmp_path, monkeypatch):
    keys = arguments(tiny_checkpoint, corpus, tmp_path / "out", method="lora", merge="false", max_steps=1)
    assert call(script, keys, monkeypatch) == 0
    modules = json.loads((tmp_path / "out" / "adapter_config.json").read_text())["target_modules"]
    assert len(modules) == 14 and modules == sorted(modules)


def test_memory_that_does_not_suffice_says_what_to_change(tiny_checkpoint, corpus, tmp_path, monkeypatch, capsys):
    def fail(*_, **__):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(script.Trainer, "training_step", fail)
    assert call(script, arguments(tiny_checkpoint, corpus, tmp_path / "out"), monkeypatch) == 2
    assert "lower batch_size" in capsys.readouterr().err


@pytest.mark.parametrize(
    "error",
    [
        SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)"),
        RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 64960 vs 64848"),
        OSError(errno.ENOSPC, "No space left on device", "checkpoint"),
    ],
)
def test_a_full_disk_is_said_and_training_goes_on(tiny_checkpoint, corpus, tmp_path, monkeypatch, capsys, error):
    def fail(*_, **__):
        raise error

    keys = arguments(tiny_checkpoint, corpus, tmp_path / "out", max_steps=2)
    with monkeypatch.context() as patched:
        patched.setattr(script.Trainer, "_save_optimizer_and_scheduler", fail)
        assert call(script, keys, monkeypatch) == 2
    said = capsys.readouterr().err
    assert "No space left on device; make room and run the same command again" in said and "Traceback" not in said
    assert call(script, keys, monkeypatch) == 0


def test_killed_training_goes_on_to_the_same_bits(tiny_checkpoint, corpus, tmp_path):
    def command(name):
        return [sys.executable, str(ROOT / "FT/train.py"), *arguments(tiny_checkpoint, corpus, tmp_path / name)]

    check_killed_training(command, tmp_path)


@pytest.mark.parametrize("method", ["full", "lora"])
def test_a_sharded_model_learns_what_a_whole_one_does(tiny_checkpoint, corpus, tmp_path, monkeypatch, method):
    sharded = yaml.safe_load((ROOT / "FT/configs/accelerate/fsdp.yaml").read_text())
    sharded |= {"num_processes": 2, "mixed_precision": "no", "use_cpu": True}
    config = tmp_path / "fsdp.yaml"
    config.write_text(yaml.safe_dump(sharded))
    launch = [sys.executable, "-m", "accelerate.commands.launch", "--config_file", config, "--main_process_port", "0"]
    monkeypatch.setenv("PYTHONPATH", str(ROOT / "tests/fsdp_on_cpu"))

    keys = {"method": method, "max_steps": 4, "save_steps": 3}
    assert call(script, arguments(tiny_checkpoint, corpus, tmp_path / "whole", **keys), monkeypatch) == 0
    words = arguments(tiny_checkpoint, corpus, tmp_path / "sharded", **keys, accumulation=1)
    done = subprocess.run([*launch, ROOT / "FT/train.py", *words], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    whole, parts = (load_file(tmp_path / name / "model.safetensors") for name in ("whole", "sharded"))
    assert all((whole[key] - parts[key]).abs().max() < 1e-4 for key in whole)
    assert not (tmp_path / "sharded/checkpoints").exists()


def test_a_model_that_is_saved_in_parts_is_refused(tiny_checkpoint, corpus, tmp_path, monkeypatch, capsys):
    class Sharded(script.Trainer):
        def __init__(self, **keys):
            super().__init__(**keys)
            plugin = SimpleNamespace(state_dict_type="StateDictType.SHARDED_STATE_DICT")
            monkeypatch.setattr(self.accelerator.state, "fsdp_plugin", plugin, raising=False)
            self.is_fsdp_enabled = True

    monkeypatch.setattr(script, "Trainer", Sharded)
    assert call(script, arguments(tiny_checkpoint, corpus, tmp_path / "out"), monkeypatch) == 2
    assert "fsdp_state_dict_type must be FULL_STATE_DICT" in capsys.readouterr().err


def test_a_process_trains_on_one_of_several_gpus():
    def seen(device: str) -> SimpleNamespace:
        return SimpleNamespace(device=torch.device(device), _n_gpu=8 if device == "cuda" else 0)

    assert [script.on_one_device(seen(device))._n_gpu for device in ("cuda", "cpu")] == [1, 0]


def test_two_processes_learn_what_one_does(tiny_checkpoint, corpus, tmp_path):
    launch = [sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2"]
    launch += ["--main_process_port", "0"]
    for name, launcher, accumulation in (("one", [sys.executable], 2), ("two", launch, 1)):
        keys = arguments(tiny_checkpoint, corpus, tmp_path / name, accumulation=accumulation, max_steps=4)
        done = subprocess.run([*launcher, str(ROOT / "FT/train.py"), *keys], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr[-2000:]
        assert (
            "Exception ignored" not in done.stderr
        )  # FT/tabulate_arms.py in the place of the package, as PyTorch ends
    one, two = (load_file(tmp_path / name / "model.safetensors") for name in ("one", "two"))
    assert all((one[key] - two[key]).abs().max() < 1e-4 for key in one)
