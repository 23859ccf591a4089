"""LoRA (Hu et al., arXiv 2106.09685): frozen weights stay as they are stored, the adapter is float32."""

import json
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from peft.tuners.lora import LoraLayer
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn.functional import linear
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel

from common.lm.loading import bad_model, whole_model
from common.lm.precision import CHUNK, keeps_weights, multiply_in_float32
from common.reporting.files import temporary_file, write_json_atomic

SHARD = "500MB"  # of a file of weights as stored; no more than this is there in float32 at a time


class FrozenProduct(torch.autograd.Function):
    """states @ weight.T in float32, [..., in] -> [..., out], of a weight that stays as stored and gets no gradient.

    Forward and backward convert the weight CHUNK elements at a time; autograd alone would keep the float32 copy.
    """

    @staticmethod
    def forward(ctx, states: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(weight)
        return torch.cat([linear(states, part.float()) for part in parts(weight)], dim=-1)

    @staticmethod
    def backward(ctx, gradient: torch.Tensor) -> tuple[torch.Tensor, None]:
        (weight,) = ctx.saved_tensors
        result, begin = 0, 0
        for part in parts(weight):
            result = result + gradient[..., begin : begin + len(part)] @ part.float()
            begin += len(part)
        return result, None


def parts(weight: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """The rows of a matrix in pieces of about CHUNK elements."""
    return weight.split(max(1, CHUNK // weight.shape[1]))


def frozen_linear(module: nn.Linear, states: torch.Tensor) -> torch.Tensor:
    """`module(states)` in float32 with a gradient for the states alone."""
    product = FrozenProduct.apply(states, module.weight)
    return product if module.bias is None else product + module.bias.float()


def load_frozen(name: str, float32: bool, attention: str) -> PreTrainedModel:
    """A causal LM whose weights stay as stored; with `float32` its products are nevertheless computed in that.

    Architectures with other matrices than those of linear layers and embeddings are loaded in float32 then.
    """
    with bad_model(name):
        config = AutoConfig.from_pretrained(name)
    keeps = not float32 or keeps_weights(config)
    config.dtype = None  # so that `auto` means the precision of the stored weights
    keys = {"config": config, "dtype": "auto" if keeps else torch.float32, "attn_implementation": attention}
    model = whole_model(AutoModelForCausalLM, name, **keys)
    if float32 and model.dtype != torch.float32:
        multiply_in_float32(model)
        for module in model.modules():
            if type(module) is nn.Linear:
                module.forward = partial(frozen_linear, module)
    return model


def adapter_config(config: Any) -> LoraConfig:
    """PEFT's configuration of the adapter that the keys lora_* of FT/train.py name."""
    return LoraConfig(
        r=config.lora_r,
        lora_alpha=config.lora_alpha,
        lora_dropout=config.lora_dropout,
        target_modules="all-linear",
        task_type="CAUSAL_LM",
    )


def adapted(model: PreTrainedModel, config: Any) -> PeftModel:
    """The model in a new adapter, whose first weights are drawn with the seed."""
    torch.manual_seed(config.seed)
    return get_peft_model(model, adapter_config(config))


def save_merged(model: PeftModel, out: Path) -> None:
    """Write the model with the adapter added to its weights, in float32: the stored precision would round it off.

    The weights are written as stored, given up, and then converted file by file, so that no more than a file of them is
    there. Models whose files have other names than their modules are converted as a whole. `model` is of no use then.
    """
    layers = {f"{n}.weight": m for n, m in model.get_base_model().named_modules() if isinstance(m, LoraLayer)}
    base = model.unload()
    base.save_pretrained(out, max_shard_size=SHARD)
    files = sorted(out.glob("*.safetensors"))
    if layers.keys() - {name for path in files for name in names_in(path)}:
        for layer in layers.values():
            weight = layer.get_base_layer().weight
            weight.data = weight.data.float() + layer.get_delta_weight("default")
        base.float().save_pretrained(out, max_shard_size=SHARD)
        return
    for weight in base.parameters():
        weight.data = weight.data.new_empty(0)
    size = sum(convert(path, layers) for path in files)
    for path in out.glob("*.safetensors.index.json"):
        index = json.loads(path.read_text(encoding="utf-8"))
        index["metadata"]["total_size"] = size
        write_json_atomic(path, index)


def convert(path: Path, layers: Mapping[str, LoraLayer]) -> int:
    """Rewrite a file in float32, the adapter of its weights added; returns the bytes of its weights."""
    weights = {name: weight.float() for name, weight in load_file(path).items()}
    for name in weights.keys() & layers.keys():
        weights[name] += layers[name].get_delta_weight("default").to(weights[name].device)
    with temporary_file(path) as temporary:
        save_file(weights, temporary, metadata={"format": "pt"})
    return sum(weight.nbytes for weight in weights.values())


def names_in(path: Path) -> list[str]:
    """The names of the weights in a file."""
    with safe_open(path, "pt") as file:
        return list(file.keys())
