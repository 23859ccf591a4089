"""Precision on a CPU: the weights stay as they are stored, products are computed in float32.

CPUs without instructions for bfloat16 multiply it many times slower than float32. Weights turned into float32 as a
whole would take twice the memory; here each matrix is converted when it is used. The values are those of a model loaded
in float32; a matrix is used for about a thousand tokens at once, so that conversion takes few percent of the time.
"""

from functools import partial

import torch
from torch import nn
from torch.nn.functional import linear
from transformers import PreTrainedModel

CHUNK = 2**24  # weights converted at a time


def compute_dtype(model: PreTrainedModel) -> torch.dtype:
    """The precision of activations and products, which may be wider than that of the stored weights."""
    embeddings = model.get_input_embeddings()
    with torch.inference_mode():
        return embeddings(torch.zeros(1, dtype=torch.long, device=embeddings.weight.device)).dtype


def dtype_name(model: PreTrainedModel) -> str:
    """`compute_dtype` as written in configurations and records, such as bfloat16."""
    return str(compute_dtype(model)).removeprefix("torch.")


def cpu_multiplies(dtype: torch.dtype | None) -> bool:
    """Whether this CPU has instructions for products in `dtype`; None is a dtype that is not known yet."""
    if dtype == torch.float16:
        return torch.ops.mkldnn._is_mkldnn_fp16_supported()
    return dtype == torch.float32 or torch.ops.mkldnn._is_mkldnn_bf16_supported()


def multiply_in_float32(model: PreTrainedModel) -> None:
    """Let linear layers and plain embeddings convert their weights when used; everything else becomes float32."""
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
    rows = max(1, CHUNK // module.in_features)
    bias = None if module.bias is None else module.bias.float()
    parts = [
        linear(states, weight.float(), None if bias is None else bias[i * rows : (i + 1) * rows])
        for i, weight in enumerate(module.weight.split(rows))
    ]
    return parts[0] if len(parts) == 1 else torch.cat(parts, dim=-1)
