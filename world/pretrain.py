"""Pretrain the synthetic world's model from scratch: the tokenizer, and a Llama of about a million weights.

    python -m world.pretrain --out assets/world [--config world/default.yaml] [--seed 43]

Takes 15 to 18 minutes on two cores and prints accuracies during training. A model that has not learnt its facts by the
end (one seed in three) is trained for one or two further courses of seven minutes. `world.json` beside the checkpoint
has the command, the hash of the configuration, the seed and the final accuracies.
"""

import platform
import shlex
import sys
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
import transformers
from torch.nn.functional import cross_entropy
from tqdm import tqdm
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerBase

from common.cli import run
from common.lm.loading import set_dtype
from common.lm.memory import keep_freed_memory
from common.progress import Progress
from common.reporting.files import claim, write_json_atomic
from common.reporting.stats import wilson_by_question
from world.config import MANY, PROVENANCE, WorldConfig, check_ranges, parse_with_world, world_hash
from world.facts import Universe, make_universe
from world.figures import measure
from world.stream import Batches, Documents
from world.tokenizer import train_tokenizer

TOKENIZER_DOCUMENTS = 30_000
POSITIONS = 16_384  # enough for real text, which is spelt in bytes
WATCHED = 200  # answers of each kind behind the accuracies printed during training


@dataclass
class Pretrain:
    """Pretrain the synthetic world's model.

    Attributes:
        out: folder of the checkpoint
        watch_every: steps between the accuracies printed during training; 0 for none
        enough: lowest accuracy on shared and on English-only facts at which no further course follows
        courses: most further courses
        course_steps: steps of a further course
        course_rate: its peak learning rate, which falls to zero
        threads: processor threads; the weights depend on their number
    """

    out: str
    watch_every: int = 500
    enough: float = 0.95
    courses: int = 2
    course_steps: int = 2000
    course_rate: float = 0.0008
    threads: int = 2

    def __post_init__(self) -> None:
        ranges = {"watch_every courses course_rate": (0, MANY), "enough": (0, 1), "course_steps": (1, MANY)}
        check_ranges(self, ranges | {"threads": (1, 1024)})


def make_model(config: WorldConfig, tokenizer: PreTrainedTokenizerBase) -> LlamaForCausalLM:
    """A Llama with seeded random weights and tied embeddings."""
    torch.manual_seed(config.seed)
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=config.hidden_size,
            intermediate_size=config.intermediate_size,
            num_hidden_layers=config.layers,
            num_attention_heads=config.heads,
            max_position_embeddings=POSITIONS,
            tie_word_embeddings=True,
            initializer_range=config.hidden_size**-0.5,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )
    with torch.no_grad():
        for layer in model.model.layers:
            # Else the embeddings, which are small here, drown in what the layers add to them.
            for output in (layer.self_attn.o_proj, layer.mlp.down_proj):
                output.weight /= 2 * config.layers
    return model


def weighted_loss(model: LlamaForCausalLM, ids: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """Mean cross-entropy of each token given those before it, by weight; ids and weights [rows, length].

    Documents of a row do not see each other: their positions restart, from which transformers makes the mask. Only
    positions with a weight go through the LM head: most tokens of questions have none.
    """
    place = torch.arange(ids.shape[1]).expand_as(ids)
    starts = torch.where(ids == model.config.bos_token_id, place, 0).cummax(dim=1).values
    positions = (place - starts)[:, :-1]
    hidden = model.model(input_ids=ids[:, :-1], position_ids=positions, use_cache=False).last_hidden_state
    weights = weights[:, 1:]
    counted = weights > 0
    losses = cross_entropy(model.lm_head(hidden[counted]), ids[:, 1:][counted], reduction="none")
    return (losses * weights[counted]).sum() / weights.sum()


def make_optimizer(model: LlamaForCausalLM, config: WorldConfig) -> tuple[torch.optim.Optimizer, object]:
    """AdamW with weight decay on matrices, and its schedule: warm-up, plateau, linear decay to zero."""
    matrices = [p for p in model.parameters() if p.dim() > 1]
    vectors = [p for p in model.parameters() if p.dim() <= 1]
    optimizer = torch.optim.AdamW(
        [{"params": matrices, "weight_decay": config.weight_decay}, {"params": vectors, "weight_decay": 0.0}],
        lr=config.learning_rate,
        betas=(0.9, 0.98),
    )

    def factor(step: int) -> float:
        left = (config.steps - step) / max(1, config.decay * config.steps)
        return min(1.0, (step + 1) / max(1, config.warmup), left)

    return optimizer, torch.optim.lr_scheduler.LambdaLR(optimizer, factor)


def train(
    model: LlamaForCausalLM,
    config: WorldConfig,
    universe: Universe,
    tokenizer: PreTrainedTokenizerBase,
    watch_every: int,
) -> LlamaForCausalLM:
    """Train for `config.steps` steps; every `watch_every` of them accuracies are printed, 0 for none."""
    model.train()
    optimizer, schedule = make_optimizer(model, config)
    with Progress(config.steps, "steps") as progress:
        for step, (ids, weights) in enumerate(Batches(universe, config, tokenizer), 1):
            loss = weighted_loss(model, torch.from_numpy(ids), torch.from_numpy(weights))
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()
            if watch_every and step % watch_every == 0 and step < config.steps:
                figures = measure(model.eval(), tokenizer, universe, config, WATCHED)
                model.train()
                tqdm.write(f"step {step}: loss {loss.item():.3f}; {describe(figures)}")
            progress.update()
    return model.eval()


def stored(model: LlamaForCausalLM) -> LlamaForCausalLM:
    """The model as it is when loaded: float32, the weights rounded to bfloat16, in which they are stored."""
    return model.to(torch.bfloat16).float()


def knows(figures: dict[str, np.ndarray]) -> float:
    """The lower of the two accuracies in the language in which facts are known."""
    return min(figures[name].mean() for name in ("shared_in_language", "english_only_in_english"))


def further_course(pretrain: Pretrain, config: WorldConfig) -> WorldConfig:
    """Further training on the whole mix of text, with a learning rate that falls to zero from the start."""
    changes = {"steps": pretrain.course_steps, "learning_rate": pretrain.course_rate}
    return replace(config, **changes, decay=1.0, primer=0, reading=0, warmup=50)


def describe(figures: dict[str, np.ndarray]) -> str:
    """The figures in one line."""
    return ", ".join(f"{name.replace('_', ' ')} {right.mean():.3f}" for name, right in figures.items())


def provenance(config: WorldConfig, model: LlamaForCausalLM, figures: dict) -> dict:
    """The first part of world.json: what was trained, and the accuracies that it reaches."""
    return {
        "command": f"python -m world.pretrain {shlex.join(sys.argv[1:])}",
        "config_hash": world_hash(config),
        "config": asdict(config),
        "seed": config.seed,
        "parameters": model.num_parameters(),
        "figures": {
            name: dict(zip(("accuracy", "ci_low", "ci_high"), (right.mean(), *wilson_by_question(right)), strict=True))
            | {"n": right.size}
            for name, right in figures.items()
        },
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "transformers": transformers.__version__,
        },
    }


def main() -> None:
    pretrain, config = parse_with_world(Pretrain)
    out = Path(pretrain.out)
    claim(out, PROVENANCE)
    torch.set_num_threads(pretrain.threads)
    keep_freed_memory()
    started = time.monotonic()
    universe = make_universe(config)
    documents = Documents(universe, config, f"tokenizer {config.seed}")
    texts = (documents.draw().text for _ in range(TOKENIZER_DOCUMENTS))
    tokenizer = train_tokenizer(texts, config.vocabulary, POSITIONS)
    model = stored(train(make_model(config, tokenizer), config, universe, tokenizer, pretrain.watch_every))
    figures, courses = measure(model, tokenizer, universe, config), 0
    while knows(figures) < pretrain.enough and courses < pretrain.courses:
        print(f"{describe(figures)}: not all facts are learnt yet, a further course follows")
        courses += 1
        model = stored(train(model, further_course(pretrain, config), universe, tokenizer, pretrain.watch_every))
        figures = measure(model, tokenizer, universe, config)
    seconds = time.monotonic() - started
    (out / PROVENANCE).unlink(missing_ok=True)  # written last: a folder without it is not finished
    model.to(torch.bfloat16).save_pretrained(out)
    set_dtype(out, torch.float32)  # stored at half the size, computed as measured
    tokenizer.save_pretrained(out)
    print(describe(figures))
    effort = {"courses": courses, "threads": pretrain.threads, "seconds": round(seconds)}
    write_json_atomic(out / PROVENANCE, provenance(config, model, figures) | effort)
    print(f"{out}: {model.num_parameters():,} weights in {seconds:.0f} s")


if __name__ == "__main__":
    run(main)
