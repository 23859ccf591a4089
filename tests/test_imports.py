"""Imports point one way: `common` imports no task, a task no other task, and there is no circle anywhere."""

import ast
import re
import subprocess
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

from tests.scripts import ROOT

TASKS = ("CLiKA", "FT", "HP", "MMLU", "Recall", "TOFU", "Translation")
FOLDERS = (*TASKS, "common", "report", "world")
FILES = sorted(path.relative_to(ROOT) for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))
MOST_MODULES = 10  # of common/ itself
MOST_LINES = 5365  # of common/ with its folders


def file_of(name: str, folder: Path) -> Path | None:
    """The file of this repository that is imported under a dotted name from a folder; None for installed packages."""
    inside = Path(*name.split("."))
    for place in (folder, Path()):  # a script's own folder comes first in sys.path
        for path in (place / inside.with_suffix(".py"), place / inside / "__init__.py"):
            if path in FILES:
                return path
    return None


def imports(path: Path) -> set[Path]:
    """All files that a file imports, inside functions too; imports for type checkers alone do not count."""
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    ignored = {
        inner for node in ast.walk(tree) if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for statement in node.body for inner in ast.walk(statement)
    }  # fmt: skip
    names = set()
    for node in ast.walk(tree):
        if node in ignored:
            continue
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: a relative import"
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return {found for name in names if (found := file_of(name, path.parent)) and found != path}


GRAPH = {path: imports(path) for path in FILES}


def test_the_walk_finds_imports():
    assert Path("common/evaluation/records.py") in GRAPH[Path("common/evaluation/evaluate.py")]
    assert Path("MMLU/categories.py") in GRAPH[Path("MMLU/evaluate_mmlu.py")]
    assert len(FILES) > 80 and sum(map(len, GRAPH.values())) > 300


def test_no_circle():
    def visit(path: Path, above: tuple[Path, ...]) -> None:
        assert path not in above, " -> ".join(map(str, (*above[above.index(path) :], path)))
        if path not in done:
            for imported in GRAPH[path]:
                visit(imported, (*above, path))
            done.add(path)

    done: set[Path] = set()
    for path in GRAPH:
        visit(path, ())


def test_folders_import_common_and_themselves_only():
    for path, imported in GRAPH.items():
        foreign = {str(other) for other in imported if other.parts[0] not in (path.parts[0], "common")}
        assert not foreign, f"{path} imports {', '.join(sorted(foreign))}"


def test_no_two_tasks_have_modules_of_the_same_name():
    names = [path.name for path in FILES if path.parts[0] in TASKS]
    assert len(names) == len(set(names)), sorted({name for name in names if names.count(name) > 1})


def test_no_module_hides_a_package():
    """A script's own folder comes first in sys.path, for whatever its libraries import too."""
    installed = {*packages_distributions(), *sys.stdlib_module_names}
    assert not [str(path) for path in FILES if path.parts[0] in TASKS and path.stem in installed]


def test_common_is_small():
    modules = [path for path in FILES if path.parts[0] == "common"]
    assert len([path for path in modules if len(path.parts) == 2 and path.name != "__init__.py"]) <= MOST_MODULES
    assert sum(len((ROOT / path).read_text(encoding="utf-8").splitlines()) for path in modules) <= MOST_LINES


def test_what_needs_no_model_starts_without_torch():
    """A table or a report of records takes a second to start, not five."""
    light = r"tabulate_|plot_|score|report\.py|consistency"
    scripts = [str(path) for path in FILES if path.parts[0] != "common" and re.match(light, path.name)]
    told = """
import os, runpy, sys
for script in sys.argv[1:]:
    sys.path[0] = os.path.dirname(script)
    runpy.run_path(script, run_name="script")
    assert "torch" not in sys.modules, script
"""
    done = subprocess.run([sys.executable, "-c", told, *scripts], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-500:]
