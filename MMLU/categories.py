"""The four categories of MMLU's 57 subjects (Hendrycks et al., arXiv 2009.03300), and those of the synthetic world.

Also loads the records of a run, of one category if asked for.
"""

from pathlib import Path

import pandas as pd

from common.cli import InputError, model_name
from common.evaluation.records import load_records
from common.reporting.provenance import read_run

_WORLD = ("english_only", "shared")

CATEGORIES = pd.read_csv(Path(__file__).parent / "data" / "categories.csv", index_col="subject")["category"].to_dict()


def category(subject: str) -> str:
    """Category of a subject (`english_only_*` and `shared_*`: the synthetic world); any other subject is its own."""
    if subject in CATEGORIES:
        return CATEGORIES[subject]
    return next((name for name in _WORLD if subject.startswith(f"{name}_")), subject)


def load_category(folder: str, only: str | None) -> pd.DataFrame:
    """Records of a run folder, of category `only` unless it is None; InputError where it has no such question."""
    records = load_records(Path(folder))
    if only is None:
        return records
    categories = records["subject"].map(category)
    if only not in set(categories):
        raise InputError(f"{folder}: no category {only!r}, the records have {', '.join(sorted(set(categories)))}")
    return records[categories == only]


def run_title(folder: str) -> str:
    """Model and prompt of a run: "gpt2, 5-shot, letter"."""
    config = read_run(Path(folder))["config"]
    return f"{model_name(config['model'])}, {config.get('num_fewshot', 0)}-shot, {config['answer_format']}"
