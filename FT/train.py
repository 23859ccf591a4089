"""Fine-tune a causal LM on a corpus such as FT/mix.py writes: full weights or LoRA.

    python FT/train.py --config FT/configs/paper.yaml --model MODEL --data FILE.jsonl --out DIR
    python FT/train.py --config FT/configs/align.yaml --model MODEL --data FILE.jsonl --align_data DIR --out DIR
    python FT/train.py --config FT/configs/dpo.yaml --model MODEL --data PAIRS.jsonl --out DIR

Several GPUs or nodes: `accelerate launch --config_file FT/configs/accelerate/fsdp.yaml FT/train.py ...`. Interrupted
runs resume from the last checkpoint and end with the same weights. `out` gets the model in safetensors with its
tokenizer, `log.csv`, `loss.png` and `run.json`. What is learnt beside or instead of the corpus is in alignment.py
(`align`) and preferences.py (`objective: dpo`), the adapter in lora.py.

`protocol` says how a corpus becomes training steps; it decides what has no key of its own, and the three keys of
PROTOCOLS where they are null. A value in the YAML file or on the command line always stands.

    ours    documents packed into rows without padding; each token of a step counts alike; gradients clipped to norm 1
    paper   as TOFU's finetune.py, with which the paper's models were trained (FT/README.md of
            google-research/crosslingual-knowledge-barriers, commit 8060e7d): a document a row, cut, its question
            masked (truncation.py); as many steps as are whole, of one epoch none is partial; the rate rises through the
            first epoch (finetune.py of locuslab/tofu, commit 8c49eee, lines 70 and 78); a step is the mean of its
            passes, each the mean over its tokens (dataloader.py, CustomTrainer); no clipping (config/ds_config.json
            sets none)
"""

import errno
import gc
import math
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import asdict, dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import torch
from accelerate import PartialState
from alignment import AlignmentTrainer
from datasets import Dataset
from lora import adapted, load_frozen, save_merged
from loss import loss_in_pieces
from matplotlib.figure import Figure
from packing import even_length, pack
from pairs import Pair, load_pairs, pairs_digest
from peft import PeftModel
from preferences import make_trainer, on_one_device, preference_rows
from safetensors import SafetensorError
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel, Trainer, TrainingArguments
from transformers.trainer_callback import PrinterCallback, TrainerCallback, TrainerState
from truncation import pad, truncate

from common.cli import InputError, config_hash, parse, require_given, require_positive, run
from common.corpus import read_documents, read_rows
from common.languages import LANGUAGES
from common.lm.gguf import unpacked
from common.lm.loading import load_tokenizer, set_dtype, whole_model
from common.lm.memory import keep_freed_memory
from common.lm.precision import cpu_multiplies
from common.reporting.files import claim, write_csv_atomic
from common.reporting.plots import COLORS, COLUMN, NEUTRAL, save_figure
from common.reporting.provenance import device_name, file_digest, model_content_hash, now, read_run, session, write_run

CHECKPOINTS = "checkpoints"
# What a protocol says of keys that are null. The paper's warm-up depends on the corpus, see `arguments`; its rows:
# finetune.py line 60; its schedule: the default of transformers, finetune.py lines 73 to 94.
PROTOCOLS = {
    "ours": {"row_length": 1024, "schedule": "cosine", "warmup_steps": 0},
    "paper": {"row_length": 500, "schedule": "linear", "warmup_steps": None},
}


# Keys that only some trainings have; the name of a training without them does not depend on their values.
ALIGN_KEYS = {"middle": ("align_layer", "align_ratio"), "words": ("align_weight",)}
ALIGN_SHARED = ("align", "align_data", "align_languages", "align_batch_size", "align_temperature")


@dataclass
class Train:
    """Fine-tune a causal LM on a corpus.

    Attributes:
        model: hub name or folder of a causal LM.
        data: corpus, .jsonl or .parquet with a column `text`, and optionally `question`, with which the text begins and
            which protocol `paper` masks from the loss; for objective `dpo` a .jsonl file of FT/consistency_pairs.py.
        out: folder of the trained model.
        eval_data: folder of <language>.test.txt files, for the perplexity in each language; null for none.
        protocol: `ours` packs documents into rows; `paper` does as TOFU's finetune.py.
        objective: `lm` learns the corpus, `dpo` prefers `chosen` to `rejected` answers, by an adapter.
        dpo_beta: of `dpo`, how much the model may leave what it was.
        align: with objective `lm`, also make texts that mean the same alike: `middle`, sentences in a middle layer, or
            `words`, words at every layer; null is neither.
        align_data: pairs of texts: a folder of parallel files (en.devtest, de.devtest) or of dictionaries (en-de.tsv),
            a .tsv file, or a corpus of FT/mix.py with layout parallel.
        align_languages: of a folder only the files of these languages, ISO codes, a list or separated by commas; null
            is all.
        align_batch_size: pairs in one forward pass, each the others' negatives.
        align_temperature: of the softmax over cosines.
        align_layer: of `middle`, the layer, counted from 1; null is the middle one.
        align_ratio: of `middle`, share of the optimizer steps that align; the others learn the corpus.
        align_weight: of `words`, what its loss counts beside that of the corpus.
        method: `full` trains every weight, `lora` a low-rank adapter.
        lora_r: rank of the adapter.
        lora_alpha: scale of the adapter.
        lora_dropout: dropout before the adapter.
        merge: save LoRA merged into the model; else the adapter alone.
        row_length: tokens in a packed row, or at which a document is cut; null is the protocol's, 1024 or 500.
        epochs: passes over the corpus.
        max_steps: optimizer steps, instead of epochs; null is as many as the epochs have. Those of `align: middle` come
            on top.
        batch_size: rows on a device in one forward pass.
        accumulation: forward passes per optimizer step.
        learning_rate: peak learning rate.
        schedule: learning rate schedule: `cosine`, `linear` (both to zero) or `constant`; null is the protocol's,
            cosine or linear.
        warmup_steps: steps until the peak; null is the protocol's, none or those of an epoch.
        weight_decay: weight decay of AdamW.
        precision: of products: `bf16`, `fp32`, or `auto`, bf16 on a GPU, and on a CPU that multiplies it where a bf16
            model gets an adapter, else fp32; trained weights and optimizer are fp32, frozen weights stay as stored.
        gradient_checkpointing: recompute activations instead of keeping them.
        attention: attention implementation of transformers; flash_attention_2 is fastest where it is installed.
        eval_steps: steps between evaluations; null is at the end only.
        save_steps: steps between checkpoints.
        log_steps: steps between lines of log.csv.
        tensorboard: write TensorBoard files too.
        processes: most processes that tokenize, each a thousand documents at a time.
        device: auto or cpu.
        seed: seed of the order of rows and of dropout.
    """

    model: str
    out: str
    data: str | None = None
    eval_data: str | None = None
    protocol: Literal["ours", "paper"] = "ours"
    objective: Literal["lm", "dpo"] = "lm"
    dpo_beta: float = 0.1
    align: Literal["middle", "words"] | None = None
    align_data: str | None = None
    align_languages: str | list[str] | None = None
    align_batch_size: int = 32
    align_temperature: float = 0.1
    align_layer: int | None = None
    align_ratio: float = 0.5
    align_weight: float = 1.0
    method: Literal["full", "lora"] = "full"
    lora_r: int = 16
    lora_alpha: int = 32
    lora_dropout: float = 0.0
    merge: bool = True
    row_length: int | None = None
    epochs: float = 1.0
    max_steps: int | None = None
    batch_size: int = 2
    accumulation: int = 8
    learning_rate: float = 2e-5
    schedule: Literal["cosine", "linear", "constant"] | None = None
    warmup_steps: int | None = None
    weight_decay: float = 0.01
    precision: Literal["auto", "bf16", "fp32"] = "auto"
    gradient_checkpointing: bool = False
    attention: str = "sdpa"
    eval_steps: int | None = None
    save_steps: int = 500
    log_steps: int = 10
    tensorboard: bool = False
    processes: int = 1
    device: Literal["auto", "cpu"] = "auto"
    seed: int = 42

    def __post_init__(self) -> None:
        require_given(self, "data")
        for key, value in PROTOCOLS[self.protocol].items():
            if getattr(self, key) is None:
                setattr(self, key, value)
        if Path(self.data).suffix not in (".jsonl", ".parquet"):
            raise InputError(f"data {self.data!r}: the name must end in .jsonl or .parquet; FT/mix.py makes such files")
        require_positive(self, "batch_size", "accumulation", "save_steps", "log_steps", "eval_steps", "max_steps")
        require_positive(self, "lora_r", "lora_alpha", "processes", "align_layer")
        if self.row_length < 2:
            raise InputError(f"row_length is {self.row_length}; a row needs two tokens, one to predict from the other")
        for key in ("learning_rate", "epochs", "dpo_beta", "align_temperature", "align_weight"):
            if not 0 < getattr(self, key) < math.inf:
                raise InputError(f"{key} is {getattr(self, key)}; it must be above 0")
        for key, most in {"lora_dropout": 1, "weight_decay": math.inf, "warmup_steps": math.inf, "seed": 2**32}.items():
            if not 0 <= (getattr(self, key) or 0) < most:
                raise InputError(f"{key} is {getattr(self, key)}; it must be 0 or more, and below {most}")
        if "flash" in self.attention and self.protocol == "ours" and self.batch_size > 1:
            raise InputError(
                f"{self.attention} keeps the documents of a packed row apart only where it reads one row: set"
                f" batch_size 1 and accumulation {self.batch_size * self.accumulation}"
            )
        if self.gradient_checkpointing and os.environ.get("FSDP_ACTIVATION_CHECKPOINTING") == "true":
            raise InputError("gradient_checkpointing: fsdp_activation_checkpointing does the same; leave one of them")
        if self.align:
            require_given(self, "align_data")
        if not 0 < self.align_ratio < 1:
            raise InputError(f"align_ratio is {self.align_ratio}; it must be a share between 0 and 1")
        if self.align_batch_size < 2:
            raise InputError(f"align_batch_size is {self.align_batch_size}; a pair needs another to differ from")
        if self.objective == "dpo":
            self.check_dpo()

    def check_dpo(self) -> None:
        """InputError for keys that do not go with objective `dpo`."""
        if self.method != "lora":
            raise InputError("objective dpo trains an adapter beside the model; use method lora")
        if self.align or self.eval_data or self.protocol == "paper":
            raise InputError("objective dpo learns no corpus: leave align and eval_data null, and protocol ours")
        if Path(self.data).suffix != ".jsonl":
            raise InputError(f"data {self.data!r}: objective dpo reads a .jsonl file of FT/consistency_pairs.py")

    @property
    def used(self) -> dict[str, Any]:
        """The keys that a trained model depends on."""
        aligning = {*ALIGN_SHARED, *ALIGN_KEYS[self.align]} if self.align else set()
        unused = {*ALIGN_SHARED, *ALIGN_KEYS["middle"], *ALIGN_KEYS["words"]} - aligning
        unused |= {"out", "processes"} | ({"objective", "dpo_beta"} if self.objective == "lm" else set())
        return {key: value for key, value in asdict(self).items() if key not in unused}

    @property
    def on_gpu(self) -> bool:
        return self.device == "auto" and torch.cuda.is_available()


def in_bf16(config: Train) -> bool:
    """Whether products are computed in bfloat16."""
    if config.precision != "auto":
        return config.precision == "bf16"
    if config.on_gpu:
        return torch.cuda.is_bf16_supported()
    stated = AutoConfig.from_pretrained(unpacked(config.model)).dtype if config.method == "lora" else None
    return stated == torch.bfloat16 and cpu_multiplies(stated)


def load_model(config: Train) -> PreTrainedModel:
    """The model: with fp32 weights to be trained, or frozen, in its adapter (which TRL makes for objective `dpo`)."""
    name = unpacked(config.model)
    if config.method == "lora":
        model = load_frozen(name, float32=not in_bf16(config), attention=config.attention)
    else:
        keys = {"dtype": torch.float32, "attn_implementation": config.attention}
        model = whole_model(AutoModelForCausalLM, name, **keys)
    positions = getattr(model.config, "max_position_embeddings", None)
    if positions and config.row_length > positions:
        raise InputError(f"row_length is {config.row_length}, but {config.model} has {positions} positions")
    return adapted(model, config) if config.method == "lora" and config.objective == "lm" else model


def documents(data: str, digest: str, asked: bool) -> Iterator[dict[str, str]]:
    """The texts of a corpus, and their questions if `asked`; its digest names the copy that `datasets` keeps."""
    for number, row in enumerate(read_rows(data), 1):
        text, question = row["text"], (row.get("question") or "") if asked else ""
        if not isinstance(question, str) or not text.startswith(question):
            raise InputError(
                f"{data} row {number}: its text does not begin with its question, {question!r:.60}; correct it, or"
                " leave the column question out"
            )
        yield {"text": text, "question": question}


def training_rows(config: Train, tokenizer) -> Dataset:
    """The corpus in rows, as the protocol makes them; for objective `dpo` its pairs of answers."""
    if config.objective == "dpo":
        return preference_rows(config.data, tokenizer, config.row_length)
    keys = {"data": config.data, "digest": file_digest(config.data), "asked": config.protocol == "paper"}
    if not sum(bool(row["text"].strip()) for row in documents(**keys)):  # all are read, so that a bad one is named here
        raise InputError(f"{config.data}: no text in this file")
    make = truncate if config.protocol == "paper" else pack
    return make(Dataset.from_generator(documents, gen_kwargs=keys), tokenizer, config.row_length, config.processes)


def evaluation_files(config: Train) -> dict[str, Path]:
    """Each language's test text; InputError for a folder without any."""
    if config.eval_data is None:
        return {}
    paths = {code: Path(config.eval_data, f"{code}.test.txt") for code in sorted(LANGUAGES)}
    files = {code: path for code, path in paths.items() if path.exists()}
    if not files:
        raise InputError(f"eval_data {config.eval_data!r}: no files such as en.test.txt in this folder")
    return files


def evaluation_rows(config: Train, tokenizer) -> dict[str, Dataset] | None:
    """Packed rows of each language's test text."""
    rows = {}
    for code, path in evaluation_files(config).items():
        documents = read_documents(str(path), None, "train", "rows", detokenize=False)
        texts = [document.text for document in documents]
        length = even_length(texts, tokenizer, config.row_length)
        rows[code] = pack(Dataset.from_dict({"text": texts}), tokenizer, length, together=len(texts))
    return rows or None


def arguments(config: Train, checkpoints: Path, rows: int, processes: int) -> TrainingArguments:
    """What transformers' Trainer is told of a training on so many rows, by so many processes."""
    paper, steps, warmup = config.protocol == "paper", config.max_steps, config.warmup_steps
    if paper and steps is None:
        steps = max(1, int(config.epochs * rows) // (config.batch_size * config.accumulation * processes))
    if config.align == "middle" and steps:
        steps = round(steps / (1 - config.align_ratio))  # as much of the corpus as without
    if paper and warmup is None:
        warmup = max(1, int(steps // config.epochs))
    os.environ.pop("ACCELERATE_MIXED_PRECISION", None)  # a launcher's; `precision` says it
    return TrainingArguments(
        output_dir=str(checkpoints),
        per_device_train_batch_size=config.batch_size,
        # Rows one by one: flash attention keeps packed documents apart, and no row is read twice to fill a batch.
        per_device_eval_batch_size=1 if processes > 1 or "flash" in config.attention else config.batch_size,
        gradient_accumulation_steps=config.accumulation,
        num_train_epochs=config.epochs,
        max_steps=steps or -1,
        learning_rate=config.learning_rate,
        lr_scheduler_type=config.schedule,
        warmup_steps=warmup,
        weight_decay=config.weight_decay,
        max_grad_norm=0.0 if paper else 1.0,
        bf16=in_bf16(config),
        activation_checkpointing=config.gradient_checkpointing,
        eval_strategy="steps" if config.eval_data and config.eval_steps else "no",
        eval_steps=config.eval_steps,
        save_steps=config.save_steps,
        save_total_limit=2,
        logging_steps=config.log_steps,
        logging_nan_inf_filter=False,  # see Watch
        report_to="tensorboard" if config.tensorboard else "none",
        include_num_input_tokens_seen="all",
        use_cpu=not config.on_gpu,
        seed=config.seed,
        prediction_loss_only=True,
    )


def trainer_of(config: Train, tokenizer, pairs: list[Pair], **keys: Any) -> Trainer:
    """The trainer of the objective; `keys` are those of transformers' Trainer."""
    if config.objective == "dpo":
        trainer = make_trainer(config, tokenizer, **keys)
    elif config.align:
        trainer = AlignmentTrainer(config, pairs, **keys)
    else:
        trainer = Trainer(**keys)
    if trainer.is_fsdp_enabled and "FULL_STATE_DICT" not in str(trainer.accelerator.state.fsdp_plugin.state_dict_type):
        raise InputError("fsdp_state_dict_type must be FULL_STATE_DICT, or no whole model is written")
    if config.protocol == "paper":
        trainer.model_accepts_loss_kwargs = False  # a step is the mean of its passes
    if config.method == "lora":
        written = trainer.model.peft_config["default"]
        written.target_modules = sorted(written.target_modules)  # a set has another order in every process
    return trainer


def memory_for_logits(config: Train, trainer: Trainer) -> AbstractContextManager:
    """Inside the block few logits are there at once; objective `dpo` sees to that itself, under FSDP all are there."""
    if config.objective == "dpo" or trainer.is_fsdp_enabled:
        return nullcontext()
    return loss_in_pieces(trainer.accelerator.unwrap_model(trainer.model), trainer.accelerator.autocast)


class NothingLeft(Exception):
    """The checkpoint is that of the last step."""


class Watch(TrainerCallback):
    """Goes no step too far, and logs each step that is saved, so that a resumed run logs the same; the last is one."""

    def on_train_begin(self, args, state, control, **_) -> None:
        if state.global_step >= state.max_steps:
            raise NothingLeft  # Trainer would take a step before it looks

    def on_step_end(self, args, state, control, **_) -> None:
        control.should_log |= control.should_save

    def on_log(self, args, state, control, logs: dict[str, float], **_) -> None:
        if not math.isfinite(logs.get("loss", 0)):
            raise InputError(f"step {state.global_step}: the loss is {logs['loss']}; lower learning_rate")


def last_checkpoint(folder: Path) -> str | None:
    """The latest complete checkpoint; what an interrupted run left of another is written anew."""
    finished = {}
    for path in folder.glob("checkpoint-*/trainer_state.json"):  # Trainer writes it last
        with suppress(ValueError, TypeError):
            finished[TrainerState.load_from_json(str(path)).global_step] = path.parent
    return str(finished[max(finished)]) if finished else None


def checkpoint_folder(out: Path, digest: str, processes: int) -> Path:
    """Where a training by so many processes keeps its checkpoints, which no other configuration resumes.

    InputError where another number of processes has begun: what each reads, and so the result, depends on it.
    """
    folder = out / CHECKPOINTS / f"{digest}-{processes}"
    for other in sorted((out / CHECKPOINTS).glob(f"{digest}-*")):
        if other != folder and last_checkpoint(other):
            begun = other.name.removeprefix(f"{digest}-")
            raise InputError(
                f"{other}: begun by {begun} processes, and here are {processes}; start {begun}, or delete it"
            )
    return folder


def train(config: Train, trainer: Trainer, checkpoint: str | None) -> None:
    """Run the training; InputError with what to change where GPU memory does not suffice."""
    try:
        with suppress(NothingLeft):
            trainer.train(resume_from_checkpoint=checkpoint)
    except torch.OutOfMemoryError as error:
        gc.collect()
        raise InputError(
            f"out of GPU memory with batch_size {config.batch_size}, row_length {config.row_length}, method"
            f" {config.method}: lower batch_size and raise accumulation in proportion, turn on gradient_checkpointing,"
            " take method lora, or shard the model (FT/configs/accelerate/fsdp.yaml)"
        ) from error


@contextmanager
def full_disk(out: Path) -> Iterator[None]:
    """What safetensors and PyTorch raise where a disk is full, as the system says it."""
    try:
        yield
    except (SafetensorError, RuntimeError) as error:
        if re.search("No space left|quota exceeded|inline_container", str(error)):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(out)) from error
        raise


def history(trainer: Trainer) -> pd.DataFrame:
    """One row per logged step: loss, learning rate, gradient norm, tokens seen, perplexity of each language."""
    rows: dict[int, dict[str, float]] = {}
    for entry in trainer.state.log_history:
        row = rows.setdefault(entry["step"], {"step": entry["step"]})
        row |= {key: entry[key] for key in ("epoch", "loss", "learning_rate", "grad_norm") if key in entry}
        if "num_input_tokens_seen" in entry:
            row["tokens"] = entry["num_input_tokens_seen"]
        for key, value in entry.items():
            if key.startswith("eval_") and key.endswith("_loss"):
                row[f"perplexity_{key.split('_')[1]}"] = float(np.exp(value))
    return pd.DataFrame(list(rows.values()))


def plot_loss(log: pd.DataFrame) -> Figure:
    """Training loss, and below it the learning rate, over optimizer steps; columns `step`, `loss`, `learning_rate`."""
    logged = log.reindex(columns=["step", "loss", "learning_rate"]).dropna()
    figure = Figure(figsize=(COLUMN, 2.8), layout="constrained")
    top, bottom = figure.subplots(2, sharex=True, height_ratios=(3, 1))
    top.plot(logged["step"], logged["loss"], color=COLORS[0])
    top.set_ylabel("loss (nats a token)")
    bottom.plot(logged["step"], logged["learning_rate"], color=NEUTRAL)
    bottom.set_ylabel("learning rate")
    bottom.set_xlabel("optimizer step")
    return figure


def evaluation_dtype(model: str) -> torch.dtype:
    """The precision that `dtype: auto` means: as the model's configuration says, else as its weights are stored."""
    folder = unpacked(model)
    stated = AutoConfig.from_pretrained(folder).dtype
    return stated or AutoModelForCausalLM.from_pretrained(folder, dtype="auto", use_safetensors=True).dtype


def save(config: Train, trainer: Trainer, tokenizer, info: dict[str, Any]) -> None:
    """Write model, tokenizer, log, plot and run.json, which comes last: a folder without it is not finished.

    Weights are stored in float32; the configuration has the precision in which the original model is evaluated.
    """
    out = Path(config.out)
    table = history(trainer)
    if config.method == "lora" and config.merge:
        model = trainer.accelerator.unwrap_model(trainer.model)
        if trainer.is_world_process_zero():
            if trainer.is_fsdp_enabled:  # no process has all weights; the last checkpoint has the whole adapter
                frozen = load_frozen(unpacked(config.model), float32=False, attention=config.attention)
                model = PeftModel.from_pretrained(frozen, last_checkpoint(Path(trainer.args.output_dir)))
            save_merged(model, out)
    else:
        trainer.save_model(str(out))
    if not trainer.is_world_process_zero():
        return
    tokenizer.save_pretrained(out)
    if (out / "config.json").exists():  # an adapter has none
        set_dtype(out, evaluation_dtype(config.model))
    write_csv_atomic(out / "log.csv", table, float_format="%.6g")
    save_figure(out / "loss", plot_loss, table)
    write_run(out, info | session(info["start"]) | {"steps": trainer.state.global_step})
    finished(out, info["hash"])


def finished(out: Path, digest: str) -> bool:
    """Whether the model is there, which needs no checkpoints any more; InputError where it is another one."""
    if not (out / "run.json").exists():
        return False
    if read_run(out).get("hash") != digest:
        raise InputError(f"{out}: holds a model of another configuration or corpus; use another --out or delete it")
    shutil.rmtree(out / CHECKPOINTS, ignore_errors=True)
    return True


def main() -> None:
    config = parse(Train)
    out = Path(config.out)
    info: dict[str, Any] = {"config": asdict(config), "model": model_content_hash(config.model)}
    info["data"] = file_digest(config.data)
    if config.align:
        info["pairs"] = pairs_digest(config.align_data)
    if config.eval_data:
        info["eval_texts"] = {code: file_digest(path) for code, path in evaluation_files(config).items()}
    info["hash"] = config_hash(config.used | {key: info[key] for key in ("model", "data", "pairs") if key in info})
    if finished(out, info["hash"]):
        if (texts := read_run(out).get("eval_texts")) and texts != info.get("eval_texts"):
            raise InputError(f"{out}: its perplexities are of other texts than eval_data has; use another --out")
        print(f"{out}: up to date")
        return
    # Others wait for the first process, which may read a large corpus or wait itself; the default would end them.
    state = PartialState(cpu=not config.on_gpu, timeout=timedelta(days=7))
    if not config.on_gpu:
        keep_freed_memory()
    checkpoints = checkpoint_folder(out, info["hash"], state.num_processes)
    tokenizer = load_tokenizer(config.model)
    with state.main_process_first():
        rows, test_rows = training_rows(config, tokenizer), evaluation_rows(config, tokenizer)
        pairs = load_pairs(config, tokenizer, state.num_processes) if config.align else []
        if state.is_main_process:
            claim(out)
        if finished(out, info["hash"]):  # by another process meanwhile
            return
    if config.protocol == "paper" and any(rows["cut"]):
        info["cut_tokens"] = sum(rows["cut"])
        state.print(f"note: {info['cut_tokens']:,} tokens beyond row_length {config.row_length} are not read")
    model = load_model(config)
    info |= {"start": now(), "rows": len(rows), "processes": state.num_processes, "device": device_name(state.device)}
    kept = model.config.use_cache
    model.config.use_cache = False  # with a cache transformers makes no mask from the positions
    os.environ["TENSORBOARD_LOGGING_DIR"] = str(out / "tensorboard")
    trainer = trainer_of(
        config,
        tokenizer,
        pairs,
        model=model,
        args=on_one_device(arguments(config, checkpoints, len(rows), state.num_processes)),
        train_dataset=rows,
        eval_dataset=test_rows,
        data_collator=partial(pad, padding=tokenizer.eos_token_id) if config.protocol == "paper" else None,
    )
    trainer.add_callback(Watch())
    trainer.remove_callback(PrinterCallback)
    with full_disk(out):
        with memory_for_logits(config, trainer):
            train(config, trainer, last_checkpoint(checkpoints))
            if test_rows and not (config.eval_steps and trainer.state.global_step % config.eval_steps == 0):
                trainer.evaluate()
        model.config.use_cache = kept
        save(config, trainer, tokenizer, info)
    state.wait_for_everyone()


if __name__ == "__main__":
    run(main)
