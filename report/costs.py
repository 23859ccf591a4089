"""What each run behind the results took: questions, tokens, the share of them that was computed, seconds and memory."""

import os
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path

import pandas as pd
from read_results import Result

from common.cli import InputError, model_name
from common.reporting.provenance import read_run

COUNTS = {"questions": "questions", "prompt_tokens": "tokens in prompts", "computed_tokens": "tokens computed"}


def costs(results: Iterable[Result]) -> pd.DataFrame:
    """One row a run, of its finished sessions; runs that cannot be read are left to the sections that need them.

    Columns: run (its folder), model, device, questions (each in each setting), tokens in prompts, tokens computed
    (padding included), share (computed of those in prompts), seconds, tokens per second, memory in GB (the largest
    resident set, or on GPUs what PyTorch allocated). Empty cells are not known: only the evaluations count tokens.
    """
    models = {run.folder: run.model for result in results for run in result.runs.values()}
    start = os.path.commonpath(models) if len(models) > 1 else os.path.dirname(next(iter(models), ""))
    rows = [row for folder, model in models.items() if (row := _row(folder, model, os.path.relpath(folder, start)))]
    return pd.DataFrame(rows)


def _row(folder: Path, model: str, name: str) -> dict | None:
    try:
        found = read_run(folder)
    except (InputError, OSError):
        return None
    sessions = [one for one in found.get("sessions", [found]) if one.get("end")]
    if not sessions:
        return None
    counts = {
        title: sum(one[key] for one in sessions) for key, title in COUNTS.items() if all(key in s for s in sessions)
    }
    seconds = sum((_time(one["end"]) - _time(one["start"])).total_seconds() for one in sessions)
    computed, prompts = counts.get("tokens computed"), counts.get("tokens in prompts")
    return {
        "run": name,
        "model": model_name(model),
        "device": ", ".join(dict.fromkeys(device for one in sessions for device in one.get("device", ()))),
        **counts,
        "share": computed / prompts if computed and prompts else None,
        "seconds": seconds,
        "tokens per second": computed / seconds if computed and seconds else None,
        "memory in GB": max(one.get("cuda_bytes") or one.get("rss_bytes", 0) for one in sessions) / 1e9 or None,
    }


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)
