"""Results: tables and pictures, with a JSON file beside them that says what they were made from.

    write_result(__file__, "results/world/table", {"world": "results/world"}, table)

report/ reads them again and checks that the files and the runs behind them are still the same.
"""

import json
import os
import shlex
import sys
from collections.abc import Iterable, Mapping, Sequence
from glob import escape
from pathlib import Path
from typing import Any

import pandas as pd

from common.cli import InputError
from common.reporting.files import remove_unfinished, write_csv_atomic, write_json_atomic, write_text_atomic
from common.reporting.provenance import file_digest, git_commit, now, read_run

ENDING = ".provenance.json"
ROOT = Path(__file__).resolve().parents[2]


def write_result(
    script: str,
    out: str | os.PathLike,
    runs: Mapping[str, str | os.PathLike],
    table: pd.DataFrame,
    *,
    text: str = "",
    plot: Sequence[Any] = (),
    sentence: str = "",
    float_format: str = "%.6g",
) -> None:
    """Write `<out>.csv`, with `text` `<out>.md`, with `plot` the figures, and the provenance; then print the finding.

    `plot` holds the arguments of `common.reporting.plots.save_figure` behind the path: a function and its arguments.
    Printed is the text, else the sentence, else the table. The other arguments are those of `save_result`.
    """
    endings = [".md"] * bool(text) + [".csv"] + [".png", ".pdf"] * bool(plot)
    files = {ending: Path(f"{out}{ending}") for ending in endings}
    begin_result(script, out, runs, files.values())
    write_csv_atomic(files[".csv"], table, float_format)
    if text:
        write_text_atomic(files[".md"], text)
    if plot:
        from common.reporting.plots import save_figure  # matplotlib is slow to import

        save_figure(out, *plot)
    save_result(script, out, runs, files.values(), sentence)
    print(text or sentence or table.to_string(index=False, float_format="{:.4f}".format))


def begin_result(
    script: str, out: str | os.PathLike, runs: Mapping[str, str | os.PathLike], files: Iterable[str | os.PathLike]
) -> None:
    """Call it before `files` are written: InputError for one that is there and that no earlier `<out>` lists.

    Until `save_result` the provenance has no digests: a result that a kill left unfinished is still known as ours.
    """
    files, provenance = list(map(Path, files)), Path(f"{out}{ENDING}")
    try:
        ours = {provenance.name, *json.loads(provenance.read_text(encoding="utf-8"))["files"]}
    except (OSError, ValueError, KeyError, TypeError):
        ours = set()
    for path in (*files, provenance):
        if path.exists() and _relative(path, Path(out).parent) not in ours:
            raise InputError(f"{path}: is there and not of an earlier {out}; move it, or name another --out")
        remove_unfinished(path.parent.glob(f".{escape(path.name)}.*"))
    folder = Path(os.path.realpath(provenance.parent))
    for name in ours - {_relative(path, folder) for path in (*files, provenance)}:
        if (stale := Path(os.path.realpath(folder / name))).is_relative_to(folder):
            stale.unlink(missing_ok=True)  # of an earlier call that wrote more
    save_result(script, out, runs, files, finished=False)


def save_result(
    script: str,
    out: str | os.PathLike,
    runs: Mapping[str, str | os.PathLike],
    files: Iterable[str | os.PathLike],
    sentence: str = "",
    *,
    finished: bool = True,
) -> None:
    """Write `<out>.provenance.json` for `files` in or below its folder, made by `script` (a __file__) from run folders.

    Paths are relative to that folder, so that results may be moved together.
    """
    out, sources, devices = Path(out), {}, {}
    for name, folder in runs.items():
        run = read_run(Path(folder))
        sources[name] = {"folder": _relative(folder, out.parent), "hash": run["hash"], "model": model_of(run)}
        devices |= dict.fromkeys(device for one in run.get("sessions", ()) for device in one.get("device") or ())
    name = Path(script).resolve().relative_to(ROOT).as_posix()
    made = {
        "command": shlex.join(["python", name, *sys.argv[1:]]),
        "commit": git_commit(),
        "model": ", ".join(dict.fromkeys(source["model"] for source in sources.values())) or None,
        "machine": ", ".join(devices) or None,
        "date": now(),  # so far the keys that results kept in `<task>/expected/` have
        "script": name,
        "sentence": sentence,
        "runs": sources,
        "files": {_relative(path, out.parent): file_digest(path) if finished else None for path in files},
    }
    write_json_atomic(f"{out}{ENDING}", made)


def model_of(run: Mapping) -> str:
    """The name of the model in a run.json of any script."""
    config, model = run["config"], run.get("model")
    names = (config.get("model"), config.get("translator") if "sentences" in config else None)
    return next((name for name in names if name), model if isinstance(model, str) else "")


def _relative(path: str | os.PathLike, start: Path) -> str:
    return Path(os.path.relpath(os.path.realpath(path), os.path.realpath(start))).as_posix()
