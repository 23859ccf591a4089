"""Ask a causal LM TOFU's questions in each language: how probable the right answer is, and what it says by itself.

A row is computed once: the answers of one language and 100 questions are one unit, and a killed run goes on with the
next one. Several processes share the units.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from metrics import NAME, normalized_probability, rouge_l_recall, summarize, truth_ratio
from tofu import Question
from tqdm import tqdm
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from common.config import config_hash
from common.errors import InputError
from common.evaluation import Evaluation
from common.files import write_csv_atomic, write_json_atomic
from common.generation import generate
from common.provenance import device_name, git_commit, now, package_versions, peak_memory
from common.records import read_run
from common.scoring import score_continuations
from common.tokenization import tokenize_pairs
from common.units import SHARD_SIZE, Group, UnitStore


def answer_rows(
    rows: Sequence[Question],
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    max_new_tokens: int,
    token_budget: int | None = None,
) -> pd.DataFrame:
    """One row a question: what the model says, and TOFU's three measures (metrics.py)."""
    prompts = [row.prompt for row in rows]
    written = [[row.answer, row.truth, *row.perturbed_answer] for row in rows]
    continuations = [[f" {text}" for text in texts] for texts in written]
    logprobs = score_continuations(model, tokenizer, prompts, continuations, token_budget=token_budget, progress=False)
    tokens = np.full(logprobs.shape, np.nan)
    for pair in tokenize_pairs(tokenizer, prompts, continuations):
        tokens[pair.prompt, pair.continuation] = len(pair.tokens) - pair.start
    probabilities = normalized_probability(logprobs, tokens)
    said = generate(model, tokenizer, prompts, max_new_tokens, progress=False)
    table = []
    for row, probability, count, answer in zip(rows, probabilities, tokens, said, strict=True):
        perturbed = probability[2 : 2 + len(row.perturbed_answer)]
        table.append(
            {
                "id": row.id,
                "probability": probability[0],
                "answer_tokens": int(count[0]),
                "probability_paraphrased": probability[1] if row.paraphrased_answer else np.nan,
                "probability_perturbed": perturbed.mean() if len(perturbed) else np.nan,
                "truth_ratio": truth_ratio(probability[1] if row.paraphrased_answer else np.nan, perturbed),
                "rouge_l_recall": rouge_l_recall(row.answer, answer.text),
                "said": " ".join(answer.text.split()),  # a cell in one line, whatever came
                "finished": int(answer.finished),
            }
        )
    return pd.DataFrame(table)


def ask(config: Evaluation, parallel: Mapping[str, Sequence[Question]]) -> pd.DataFrame:
    """Write `<out>/answers/<language>.csv`, `summary.csv` and run.json; returns the summary.

    `config` has `max_new_tokens` and the intervals' `seed` besides the keys of every evaluation.
    """
    out = Path(config.out, NAME)
    depends = {key: getattr(config, key) for key in ("dtype", "attention", "max_new_tokens")}
    depends["model"] = config.fingerprint()
    digest = config_hash(depends)
    if (out / "run.json").exists() and read_run(out)["hash"] != digest:
        raise InputError(f"{out}: answers of another configuration; use another --out or delete the folder")
    hashes = {code: config_hash(depends | {"rows": [asdict(row) for row in rows]}) for code, rows in parallel.items()}
    store = UnitStore(out / "units", hashes)
    groups = [Group(NAME, shard) for shard in range(-(-len(parallel["en"]) // SHARD_SIZE))]
    info = {"config": asdict(config), "hash": digest, "start": now(), "git_commit": git_commit()}
    info |= {"packages": package_versions(), **answer_pending(config, parallel, store, groups)}
    tables = {code: table.drop(columns="setting") for code, table in store.read(groups).items()}
    summary = summarize(tables, config.seed)
    if config.processes().is_main_process:
        for code, table in tables.items():
            write_csv_atomic(out / f"{code}.csv", table)
        write_csv_atomic(out / "summary.csv", summary, float_format="%.6g")
        write_json_atomic(out / "run.json", info | {"end": now(), **peak_memory()})
    return summary


def answer_pending(
    config: Evaluation, parallel: Mapping[str, Sequence[Question]], store: UnitStore, groups: Sequence[Group]
) -> dict[str, Any]:
    """Compute the units that are not finished, this process its share; returns what run.json says of it."""
    state = config.processes()
    pending = [(group, code) for group, codes in store.pending(groups).items() for code in codes]
    state.wait_for_everyone()  # all must have seen the same pending units before one of them is finished
    if not pending:
        return {}
    model, tokenizer = config.load_model()
    for group, code in tqdm(pending[state.process_index :: state.num_processes], disable=not state.is_main_process):
        rows = parallel[code][group.shard * SHARD_SIZE : (group.shard + 1) * SHARD_SIZE]
        try:
            table = answer_rows(rows, model, tokenizer, config.max_new_tokens, config.token_budget)
        except InputError as error:
            raise InputError(f"{code}, questions {rows[0].id} to {rows[-1].id}: {error}") from error
        store.write(group, table.assign(setting=code))
    state.wait_for_everyone()
    return {"device": device_name(model.device), "processes": state.num_processes}
