"""Precision on a CPU: products in float32 of weights that stay as stored, since many multiply bfloat16 far slower.

The values are those of a model loaded in float32, in half the memory: each matrix is converted when it is used, which
takes less than a tenth of the time when about a thousand tokens are read together.
"""

from functools import partial

import numpy as np
import torch
from torch import nn
from torch.nn.functional import linear
from transformers import AutoModelForCausalLM, PreTrainedConfig, PreTrainedModel

CHUNK = 2**24  # weights converted at a time
ROWS = 32  # oneDNN keeps memory for every number of rows of its products in half precision: few numbers, then


def compute_dtype(model: PreTrainedModel) -> torch.dtype:
    """The precision of activations and products, which may be wider than that of the stored weights."""
    embeddings = model.get_input_embeddings()
    with torch.inference_mode():
        return embeddings(torch.zeros(1, dtype=torch.long, device=embeddings.weight.device)).dtype


def dtype_name(model: PreTrainedModel) -> str:
    """`compute_dtype` as configurations write it."""
    return str(compute_dtype(model)).removeprefix("torch.")


def filled(model: PreTrainedModel, rows: np.ndarray) -> np.ndarray:
    """What a pass reads, [n], with the last one repeated up to a multiple of ROWS where that saves memory."""
    half = model.device.type == "cpu" and compute_dtype(model) != torch.float32
    return np.pad(rows, (0, -len(rows) % ROWS), "edge") if half else rows


def cpu_multiplies(dtype: torch.dtype | None) -> bool:
    """Whether this CPU has instructions for products in `dtype`; None is a dtype that is not known yet."""
    if dtype == torch.float16:
        return torch.ops.mkldnn._is_mkldnn_fp16_supported()
    return dtype == torch.float32 or torch.ops.mkldnn._is_mkldnn_bf16_supported()


def keeps_weights(config: PreTrainedConfig) -> bool:
    """Whether `multiply_in_float32` applies: matrices are weights of linear layers and embeddings, the rest vectors.

    Constants that would be stored in less than float32, such as Gemma's scale of embeddings, are rounded by that.
    """
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)
    others = [module for module in model.modules() if type(module) not in (nn.Linear, nn.Embedding)]
    vectors = all(parameter.dim() == 1 for module in others for parameter in module.parameters(recurse=False))
    return vectors and all(buffer.dtype != torch.bfloat16 for buffer in model.buffers())


def multiply_in_float32(model: PreTrainedModel) -> None:
    """Let linear layers and embeddings convert their weights when used; everything else becomes float32."""
    for module in model.modules():
        if type(module) is nn.Linear:
            module.forward = partial(_linear, module)
        elif type(module) is nn.Embedding:
            module.register_forward_hook(lambda module, inputs, output: output.float())
        else:
            for parameter in module.parameters(recurse=False):
                parameter.data = parameter.data.float()


def _linear(module: nn.Linear, states: torch.Tensor) -> torch.Tensor:
    """`module(states)` in float32, its weights converted CHUNK at a time: [..., in] -> [..., out]."""
    parts = [linear(states, part.float()) for part in module.weight.split(max(1, CHUNK // module.in_features))]
    output = parts[0] if len(parts) == 1 else torch.cat(parts, dim=-1)
    return output if module.bias is None else output.add_(module.bias.float())
