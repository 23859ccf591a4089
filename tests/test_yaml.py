"""Every YAML of the repository is read by its script's own configuration, and every key in it is explained."""

import re
from dataclasses import fields
from typing import Literal, get_args, get_origin, get_type_hints

import pytest
import yaml

from common.cli import parse, read_yaml
from common.evaluation.evaluate import EvaluationConfig
from common.lm.loading import ModelConfig
from tests.scripts import ROOT, load_script

EVALUATION = [EvaluationConfig, ModelConfig]


def classes_of(config: str) -> list[type]:
    """The dataclasses that read a YAML, by its place."""
    task, name = config.split("/")[0], config.split("/")[-1]
    if "mitigation" in config or name == "tasks.yaml":
        module = load_script("MMLU/mitigate.py")
        return [module.MmluConfig, module.MitigationConfig, *EVALUATION]
    if config.startswith("FT/configs/evaluate"):
        return [load_script("MMLU/evaluate_mmlu.py").MmluConfig, *EVALUATION]
    script, names = {
        "MMLU": ("evaluate_mmlu.py", ["MmluConfig", *EVALUATION]),
        "HP": ("evaluate_quiz.py", ["QuizConfig", *EVALUATION]),
        "TOFU": ("evaluate_tofu.py", ["TofuConfig", *EVALUATION]),
        "FT": {
            "mix.yaml": ("mix.py", ["Mix"]),
            "anchor.yaml": ("anchor.py", ["Anchor"]),
        }.get(name, ("train.py", ["Train"])),
        "CLiKA": ("conductivity.py", ["Conductivity"]),
        "Recall": {
            "cloze.yaml": ("cloze.py", ["ClozeConfig", ModelConfig]),
            "wording.yaml": ("wording.py", ["Wording", ModelConfig]),
            "frequency.yaml": ("frequency.py", ["Frequency", ModelConfig]),
            "edit.yaml": ("edit.py", ["EditConfig", ModelConfig]),
            "edit_world.yaml": ("edit.py", ["EditConfig", ModelConfig]),
            "closed_book.yaml": ("closed_book.py", ["ClosedBook", ModelConfig]),
        }.get(name),
        "Translation": {
            "translation.yaml": ("translate.py", ["Translate"]),
            "embeddings.yaml": ("embeddings.py", ["Embeddings"]),
            "lens.yaml": ("lens.py", ["Lens"]),
            "mexa.yaml": ("mexa.py", ["Mexa"]),
            "probe.yaml": ("probe.py", ["Probe"]),
        }.get(name),
    }[task]  # fmt: skip
    if task == "CLiKA" and name.startswith("fictional"):
        script, names = "ask_fictional.py", ["AskConfig", ModelConfig]
    if name.startswith("teach"):
        task, script, names = "FT", "train.py", ["Train"]
    module = load_script(f"{task}/{script}")
    return [getattr(module, name) if isinstance(name, str) else name for name in names]


CONFIGS = sorted(
    str(path.relative_to(ROOT)) for path in ROOT.glob("*/configs/**/*.yaml") if "accelerate" not in str(path)
)
# What a script hands over where the YAML leaves it to data.yaml, and what a file on top of another does not name.
GIVEN = {
    "model": "m",
    "out": "o.jsonl",
    "data": "d.jsonl",
    "input": "i",
    "translator": "t",
    "sentences": "s",
    "passages": "p",
}
GIVEN |= {"benchmark": "eclektic"}
GIVEN |= {"dictionary": "d", "models": "a=m", "languages": "en,de", "run": "r", "align_data": "d.tsv"}


@pytest.mark.parametrize("config", CONFIGS)
def test_its_script_reads_it(config):
    classes, written = classes_of(config), read_yaml(ROOT / config)
    known = {field.name for cls in classes for field in fields(cls)}
    assert set(written) <= known, set(written) - known
    given = [f"--{key}={value}" for key, value in GIVEN.items() if key in known and written.get(key) is None]
    made = parse(*classes, argv=["--config", str(ROOT / config), *given])
    values = {}
    for one in made if isinstance(made, tuple) else (made,):
        values |= {field.name: getattr(one, field.name) for field in fields(one)}
    for key, value in written.items():
        if value is not None and "{" not in str(value):
            assert values[key] == value, key


@pytest.mark.parametrize("config", CONFIGS)
def test_every_key_has_its_type_or_choices_in_a_comment(config):
    hints = {name: hint for cls in classes_of(config) for name, hint in get_type_hints(cls).items()}
    for line in (ROOT / config).read_text(encoding="utf-8").splitlines():
        if line.startswith("#"):
            continue
        key, said = re.fullmatch(r"(\w+):.*?\s# (.+)", line).groups()
        for kind in (hints[key], *get_args(hints[key])):
            if get_origin(kind) is Literal:
                assert all(choice in said for choice in map(str, get_args(kind))), line
            if kind in (int, float, bool):
                assert said.startswith(kind.__name__), line


@pytest.mark.parametrize("config", CONFIGS)
def test_no_comment_has_become_part_of_a_value(config):
    for key, value in read_yaml(ROOT / config).items():
        assert "#" not in str(value) and "  " not in str(value), f"{key}: {value}"


def test_data_yaml_names_every_data_set_that_scripts_ask_for():
    known = yaml.safe_load((ROOT / "data.yaml").read_text())
    asked = set()
    for script in [*ROOT.glob("*/scripts/*.sh"), ROOT / "common/lib.sh"]:
        text = re.sub(r"^\s*#.*", "", script.read_text(), flags=re.M)
        filled = " ".join(re.findall(r"\b(?:fill|from\+?=\() ?(.+)", text))
        asked |= set(re.findall(r"=(\w+)", filled))
        asked |= set(re.findall(r"\bdata_set (\w+)", text))
    assert asked <= set(known) and set(known) - asked <= {"clika", "mmlu", "belebele"}
    lines = (ROOT / "data.yaml").read_text().splitlines()
    assert all(re.search(r"\s# ", line) for line in lines if re.match(r"\w+:", line))
