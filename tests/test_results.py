"""common/reporting: numbers with intervals, and the provenance of results that are kept."""

import json
import sys
from types import SimpleNamespace

import pandas as pd
import pytest

from common.cli import InputError
from common.reporting import results
from common.reporting.provenance import file_digest, write_run
from common.reporting.results import ENDING, ROOT, save_result, write_result
from common.reporting.tables import interval


def test_numbers_stand_with_their_interval():
    row = SimpleNamespace(accuracy=0.478, ci_low=0.431, ci_high=0.525, delta=-0.012, delta_low=-0.03, delta_high=0.01)
    assert interval(row) == "47.8 [43.1, 52.5]" and interval(row, unit="%") == "47.8% [43.1, 52.5]"
    assert interval(row, "delta", "+.1f", " points") == "-1.2 points [-3.0, +1.0]"
    assert interval(row, form=".3f", scale=1) == "0.478 [0.431, 0.525]"
    assert interval(row, "gap_closed") == "" and interval(None) == ""
    assert interval(SimpleNamespace(vs_base=float("nan"), vs_base_low=0.0, vs_base_high=0.0), "vs_base") == ""


def test_a_result_is_written_over_its_own_files_alone(tmp_path, monkeypatch):
    script, table = str(ROOT / "MMLU" / "tabulate_mmlu.py"), pd.DataFrame({"n": [1]})
    for name in ("table.csv", "table.md", f"table{ENDING}"):
        folder = tmp_path / name.replace(".", "_")
        folder.mkdir()
        (folder / name).write_text("{}")
        with pytest.raises(
            InputError, match=f"{name}: is there and not of an earlier .*move it, or name another --out"
        ):
            write_result(script, folder / "table", {}, table, text="# Table")
        assert [path.name for path in folder.iterdir()] == [name] and (folder / name).read_text() == "{}"
    with monkeypatch.context() as patch:  # a kill before the digests are known
        patch.setattr(results, "write_text_atomic", lambda *_: sys.exit(9))
        with pytest.raises(SystemExit):
            write_result(script, tmp_path / "table", {}, table, text="# Table")
    digests = json.loads((tmp_path / f"table{ENDING}").read_text())["files"]
    assert digests == {"table.md": None, "table.csv": None}
    for _ in range(2):
        write_result(script, tmp_path / "table", {}, table, text="# Table")
    digests = json.loads((tmp_path / f"table{ENDING}").read_text())["files"]
    assert digests == {name: file_digest(tmp_path / name) for name in ("table.md", "table.csv")}


def test_what_an_earlier_call_wrote_more_is_removed(tmp_path):
    script, table = str(ROOT / "MMLU" / "tabulate_mmlu.py"), pd.DataFrame({"n": [1]})
    (tmp_path / "mine.txt").touch()
    for text in ("# Table", "", "# Table"):
        write_result(script, tmp_path / "table", {}, table, text=text)
        assert (tmp_path / "table.md").exists() == bool(text) and (tmp_path / "mine.txt").exists()


def test_results_say_where_and_when_they_were_made(tmp_path):
    run = {"config": {"model": "tiny"}, "hash": "0" * 12, "sessions": [{"device": ["cpu, 2 threads"]}, {"end": None}]}
    write_run(tmp_path, run)
    pd.DataFrame({"n": [1]}).to_csv(tmp_path / "table.csv")
    save_result(str(ROOT / "MMLU" / "tabulate_mmlu.py"), tmp_path / "table", {"a": tmp_path}, [tmp_path / "table.csv"])
    made = json.loads((tmp_path / "table.provenance.json").read_text())
    assert made["script"] == "MMLU/tabulate_mmlu.py" and made["command"].startswith("python MMLU/tabulate_mmlu.py")
    assert (made["model"], made["machine"], made["date"][:2]) == ("tiny", "cpu, 2 threads", "20")
    save_result(str(ROOT / "MMLU" / "tabulate_mmlu.py"), tmp_path / "v1.5", {}, [])
    unknown = json.loads((tmp_path / "v1.5.provenance.json").read_text())
    assert list(made)[:5] == ["command", "commit", "model", "machine", "date"] and list(made) == list(unknown)
    assert unknown["model"] is None and unknown["machine"] is None and unknown["files"] == {}


def test_what_a_killed_writer_left_is_removed(tmp_path):
    write_run(tmp_path, {"config": {"model": "tiny"}, "hash": "0" * 12})
    left = [f".table.csv.{'0f' * 16}.unfinished", f".table.png.{'0f' * 16}.unfinished.png"]
    kept = [".table.csv.tmp", f".other.csv.{'0f' * 16}.unfinished"]
    for name in left + kept:
        (tmp_path / name).touch()
    files = [tmp_path / "table.csv", tmp_path / "table.png"]
    results.begin_result(str(ROOT / "x.py"), tmp_path / "table", {"a": tmp_path}, files)
    assert not any((tmp_path / name).exists() for name in left) and all((tmp_path / name).exists() for name in kept)


def test_a_circle_of_links_is_what_the_system_says_of_it(tmp_path):
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    with pytest.raises(OSError):
        write_result(str(ROOT / "MMLU" / "ensemble.py"), tmp_path / "loop" / "t", {}, pd.DataFrame({"n": [1]}))
