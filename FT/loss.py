"""The loss of a causal LM without the logits of a whole pass: a few rows of them are made, used and dropped at a time.

    with loss_in_pieces(model):
        trainer.train()

2,048 tokens and a vocabulary of 262,144 words have 2 GB of logits in float32, of which a backward pass keeps several
copies: more than everything else that a small model with a large vocabulary needs. Here a pass has at most PIECE
logits at once. Loss and gradients are those of transformers, but for the order of sums.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch
from peft import PeftModel
from torch import nn
from torch.nn.functional import pad
from transformers import PreTrainedModel

from common.lm.precision import CHUNK

PIECE = 2**25  # logits, 128 MB in float32


class CrossEntropy(torch.autograd.Function):
    """Sum over rows of -log softmax(states @ weight.T)[label]: states [n, width], weight [vocabulary, width] -> [].

    The gradients are computed on the way, when the logits are there; they come in the precision of states and weight.
    """

    @staticmethod
    def forward(ctx, states: torch.Tensor, weight: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        kind = states.device.type
        dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else states.dtype
        total = torch.zeros((), device=states.device)
        of_states = torch.zeros_like(states, dtype=torch.float32) if ctx.needs_input_grad[0] else None
        of_weight = torch.zeros_like(weight) if ctx.needs_input_grad[1] else None
        # The words in parts too, so that no whole copy of the weight in another precision is there.
        starts = range(0, len(weight), max(1, CHUNK // weight.shape[1]))
        parts = [slice(start, start + starts.step) for start in starts]
        size = max(1, PIECE // len(weight))
        for start in range(0, len(states), size):
            own, wanted = states[start : start + size].to(dtype), labels[start : start + size, None]
            logits = torch.empty(len(own), len(weight), device=states.device)
            for part in parts:
                logits[:, part] = own @ weight[part].to(dtype).T
            normalizer = logits.logsumexp(-1, keepdim=True)
            total += (normalizer - logits.gather(-1, wanted)).sum()
            if of_states is None and of_weight is None:
                continue
            slope = logits.sub_(normalizer).exp_().scatter_add_(-1, wanted, -torch.ones_like(normalizer))
            for part in parts:
                own_slope = slope[:, part].to(dtype)
                if of_states is not None:
                    of_states[start : start + size] += own_slope @ weight[part].to(dtype)
                if of_weight is not None:
                    of_weight[part] += own_slope.T @ own
        ctx.save_for_backward(of_states if of_states is None else of_states.to(states.dtype), of_weight)
        return total

    @staticmethod
    def backward(ctx, gradient: torch.Tensor) -> tuple[torch.Tensor | None, torch.Tensor | None, None]:
        of_states, of_weight = ctx.saved_tensors
        return *(None if one is None else one.mul_(gradient) for one in (of_states, of_weight)), None


class OtherLogits(Exception):
    """The model does something to its logits before its loss, or does not hand them to `loss_function`."""


@contextmanager
def loss_in_pieces(
    model: PreTrainedModel | PeftModel, autocast: Callable[[], AbstractContextManager] = nullcontext
) -> Iterator[None]:
    """Inside the block, the model computes its loss in pieces, and returns its last hidden states as logits.

    `autocast` makes the context that it is trained in, without which flash attention refuses weights in float32. A
    model with other logits than those of a linear layer without bias, such as Gemma 2, whose logits are capped, stays
    as it is.
    """
    causal = model.get_base_model() if isinstance(model, PeftModel) else model
    head = causal.get_output_embeddings()
    if type(head) is not nn.Linear or head.bias is not None:
        yield
        return
    forward, loss_function, handed = head.__dict__.get("forward"), causal.loss_function, []

    def states_of(states: torch.Tensor) -> torch.Tensor:
        handed[:] = [states]
        return states

    def loss(logits, labels, vocab_size, num_items_in_batch=None, ignore_index=-100, shift_labels=None, **_):
        if not handed or logits is not handed[0]:
            raise OtherLogits
        wanted = pad(labels, (0, 1), value=ignore_index)[..., 1:] if shift_labels is None else shift_labels
        wanted = wanted.reshape(-1).to(logits.device)
        counted = wanted != ignore_index
        total = CrossEntropy.apply(logits.flatten(0, -2)[counted], head.weight, wanted[counted])
        return total / (counted.sum() if num_items_in_batch is None else num_items_in_batch)

    head.forward, causal.loss_function = states_of, loss
    try:
        with autocast():
            whole = not goes_through(causal)
        if whole:
            restore(head, forward, causal, loss_function)
        yield
    finally:
        restore(head, forward, causal, loss_function)


@torch.no_grad()
def goes_through(causal: PreTrainedModel) -> bool:
    """Whether what the head returns is what the loss is computed of."""
    tokens = torch.zeros(1, 2, dtype=torch.long, device=causal.device)
    try:
        causal(input_ids=tokens, labels=tokens, use_cache=False)
    except OtherLogits:
        return False
    return True


def restore(head: nn.Linear, forward, causal: PreTrainedModel, loss_function) -> None:
    """Head and loss as they were; `forward` is None where the head has that of its class."""
    if forward is None:
        head.__dict__.pop("forward", None)
    else:
        head.forward = forward
    causal.loss_function = loss_function
