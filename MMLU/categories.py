"""The four categories of MMLU's 57 subjects (Hendrycks et al., arXiv 2009.03300), and those of the synthetic world.

Also loads the records of a run, of one category if asked for.
"""

from pathlib import Path

import pandas as pd

from common.cli import InputError
from common.evaluation.records import load_records
from common.reporting.provenance import read_run

_SUBJECTS = {
    "STEM": """
        abstract_algebra astronomy college_biology college_chemistry college_computer_science college_mathematics
        college_physics computer_security conceptual_physics electrical_engineering elementary_mathematics
        high_school_biology high_school_chemistry high_school_computer_science high_school_mathematics
        high_school_physics high_school_statistics machine_learning
    """,
    "humanities": """
        formal_logic high_school_european_history high_school_us_history high_school_world_history international_law
        jurisprudence logical_fallacies moral_disputes moral_scenarios philosophy prehistory professional_law
        world_religions
    """,
    "social sciences": """
        econometrics high_school_geography high_school_government_and_politics high_school_macroeconomics
        high_school_microeconomics high_school_psychology human_sexuality professional_psychology public_relations
        security_studies sociology us_foreign_policy
    """,
    "other": """
        anatomy business_ethics clinical_knowledge college_medicine global_facts human_aging management marketing
        medical_genetics miscellaneous nutrition professional_accounting professional_medicine virology
    """,
}
_WORLD = ("english_only", "shared")

CATEGORIES = {subject: category for category, subjects in _SUBJECTS.items() for subject in subjects.split()}


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
    return f"{config['model']}, {config['num_fewshot']}-shot, {config['answer_format']}"
