"""The house is in order: pins in step, README commands real, data files deterministic, no stray top-level entries."""

import os
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

TOP_LEVEL = {
    ".ci", ".gitignore", "CITATION.cff", "CLiKA", "FT", "HP", "LICENSE", "MMLU", "README.md", "Recall", "TOFU",
    "Translation", "assets", "common", "data.yaml", "environment.yml", "install.sh", "pyproject.toml", "report",
    "reproduce.sh", "tests", "world",
}  # fmt: skip


def tracked(root: Path, pattern: str = "") -> list[str]:
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", *([pattern] if pattern else [])]
    return subprocess.run(command, cwd=root, capture_output=True, text=True, check=True).stdout.splitlines()


def test_conda_file_has_the_pins_of_pyproject(root):
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    conda = yaml.safe_load((root / "environment.yml").read_text())["dependencies"]
    pip = next(entry["pip"] for entry in conda if isinstance(entry, dict))
    assert pip == [*project["dependencies"], *project["optional-dependencies"]["dev"], "--editable ."]
    assert "python=3.11" in conda and project["requires-python"] == ">=3.11"


def test_every_dependency_is_pinned(root):
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    everything = project["dependencies"] + [one for extra in project["optional-dependencies"].values() for one in extra]
    assert all(re.fullmatch(r"[A-Za-z0-9_-]+(\[\w+\])?==[\w.]+", pin) for pin in everything)


def test_nothing_at_the_top_level_without_need(root):
    assert {path.split("/")[0] for path in tracked(root)} <= TOP_LEVEL


ACCELERATE_KEYS = ("config_file", "cpu", "machine_rank", "main_process_ip", "multi_gpu", "num_processes")


def readme_commands() -> list:
    root = Path(__file__).resolve().parent.parent
    found = []
    for readme in tracked(root, "*README.md"):
        for block in re.findall(r"```bash\n(.*?)```", (root / readme).read_text(encoding="utf-8"), re.S):
            lines = block.replace("\\\n", " ").splitlines()
            found += [pytest.param(line, id=f"{readme}: {line[:60]}") for line in lines if line and line[0] != "#"]
    return found


@pytest.mark.parametrize("command", readme_commands())
def test_commands_in_readmes_name_files_and_keys_that_exist(root, command):
    words = [word for word in shlex.split(command, comments=True) if not re.fullmatch(r"[A-Z_]+=.*", word)]
    scripts = [word for word in words if re.search(r"\.(py|sh|ya?ml|csv)$", word) and "$" not in word]
    outputs = {words[i + 1] for i, word in enumerate(words[:-1]) if word == "--out"}
    for script in scripts:
        if script not in outputs and not script.startswith("DIR"):
            assert (root / script).exists(), script
    programs = [word for word in words if word.endswith(".py")]
    if "-m" in words and words[words.index("-m") + 1].startswith(("common.", "world.")):
        programs.append(words[words.index("-m") + 1].replace(".", "/") + ".py")
    for program in programs:
        text = (root / program).read_text(encoding="utf-8")
        for _ in range(2):  # keys of the configurations that are parsed beside its own
            for module in sorted(set(re.findall(r"^from ((?:common|world)\.\S+) import", text, re.M))):
                path = root / f"{module.replace('.', '/')}.py"
                text += path.read_text(encoding="utf-8") if path.exists() else ""
        for key in (word[2:].split("=")[0].replace("-", "_") for word in words if word.startswith("--")):
            known = key in ("config", "help") or re.search(rf"^    {key}: ", text, re.M)
            launcher = words[0] == "accelerate" and key in ACCELERATE_KEYS
            assert known or launcher, f"{program} has no --{key}"


def test_links_in_readmes_lead_somewhere(root):
    for readme in tracked(root, "*README.md"):
        text = (root / readme).read_text(encoding="utf-8")
        for target in re.findall(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)", text):
            assert ((root / readme).parent / target).exists(), f"{readme}: {target}"


def test_scripts_are_valid_bash(root):
    scripts = tracked(root, "*.sh")
    for script in scripts:
        subprocess.run(["bash", "-n", script], cwd=root, check=True)
    command = [Path(sys.executable).with_name("shellcheck"), "-x", "-P", root, "--format=gcc", *scripts]
    assert not subprocess.run(command, cwd=root, capture_output=True, text=True).stdout


@pytest.mark.parametrize("script", ["install.sh", "reproduce.sh"])
def test_unknown_arguments_are_refused(root, script):
    done = subprocess.run(["bash", script, "--no-such-thing"], cwd=root, capture_output=True, text=True)
    assert done.returncode == 2 and "--no-such-thing" in done.stderr


def test_a_python_that_is_not_there_is_not_called_too_old(root):
    environment = os.environ | {"PYTHON": "/no such/python"}
    for script in ("install.sh", "HP/scripts/quiz.sh"):
        done = subprocess.run(["bash", script], cwd=root, capture_output=True, text=True, env=environment)
        assert done.returncode == 2 and "/no such/python" in done.stderr and done.stderr.count("\n") == 1
        assert "too old" not in done.stderr
