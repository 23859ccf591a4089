"""Units, record files and run.json: what a killed or changed run may and may not leave behind."""

import numpy as np
import pandas as pd
import pytest

from common.cli import InputError
from common.evaluation import resume
from common.evaluation.records import load_records, paired_correct, record_rows, summarize, write_setting
from common.evaluation.resume import SHARD_SIZE, Shard, UnitStore, shards_of
from common.questions import monolingual
from common.reporting import provenance
from tests.mmlu import LOGPROBS
from tests.scripts import load_script

calibrate = load_script("MMLU/calibrate.py")
has_logprobs, normalized_logprobs = calibrate.has_logprobs, calibrate.normalized_logprobs


def items(subject="law", count=3, answer="B", context=""):
    return [
        monolingual(f"{subject}{n:03d}", subject, context, f"q{n}", ("1", "2", "3", "4"), answer, "en")
        for n in range(count)
    ]


def records(rows, setting, best=1):
    logprobs = np.full((len(rows), 4), -2.0)
    logprobs[:, best] = -1.0
    return record_rows(rows, setting, logprobs)


def write_run(out, tables):
    written = {
        name: {"hash": "0", **write_setting(out, table.astype(str), list(table["id"]))}
        for name, table in tables.items()
    }
    provenance.write_run(out, {"records": written})


def test_shards_are_parts_of_subjects():
    shards = shards_of(items("b", 2 * SHARD_SIZE + 1) + items("a", 1) + items("b2", 1))
    assert [(shard.subject, shard.number, len(rows)) for shard, rows in shards.items()] == [
        ("b", 0, SHARD_SIZE), ("b", 1, SHARD_SIZE), ("b", 2, 1), ("a", 0, 1), ("b2", 0, 1)
    ]  # fmt: skip


def test_record_columns_and_ties():
    logprobs = np.array([[-1.0, -1.0000001, -3, -4], [-9, -8, -7, -6], [0.0, -1e-9, -2, -3]])
    table = record_rows(items(), "en", logprobs)
    assert ",".join(table.columns) == (
        "id,subject,setting,question_language,option_languages,answer,prediction,correct,"
        "logprob_A,logprob_B,logprob_C,logprob_D"
    )
    assert list(table["prediction"]) == ["A", "D", "A"] and list(table["correct"]) == [0, 0, 0]
    assert list(table["option_languages"]) == ["en|en|en|en"] * 3
    assert not np.signbit(table["logprob_B"].iloc[2])


def test_divisors_decide_but_are_not_recorded():
    table = record_rows(items(count=1), "en", np.array([[-4.0, -6, -9, -9]]), lengths=np.array([[2, 6, 3, 3]]))
    assert table["prediction"].item() == "B" and table["logprob_B"].item() == -6


def test_context_language_only_with_a_passage():
    assert "context_language" in record_rows(items(context="text"), "en", np.zeros((3, 4)))
    assert "context_language" not in record_rows(items(), "en", np.zeros((3, 4)))


def test_an_option_without_log_probability_is_not_predicted():
    table = record_rows(items(count=2), "en", np.array([[np.nan, -5, np.nan, -6.0], [-1, -2, np.nan, np.nan]]))
    assert list(table["prediction"]) == ["B", "A"] and table["logprob_C"].isna().all()


def test_records_of_questions_with_more_and_fewer_options(tmp_path):
    """Units differ in their columns; the file has those of the largest question, whatever came first."""
    two = [monolingual(f"two{n}", "a", "", "q", ("1", "2"), "B", "en") for n in range(2)]
    five = [monolingual("five", "b", "", "q", tuple("12345"), "E", "en")]
    store, parts = UnitStore(tmp_path / "units", {"en": "1"}), shards_of(two + five)
    for (shard, rows), width in zip(parts.items(), (2, 5), strict=True):
        logprobs = np.full((len(rows), width), -2.0)
        logprobs[:, -1] = -1.0
        store.write(shard, record_rows(rows, "en", logprobs).assign(extracted=1))
    written = write_setting(tmp_path, dict(store.read(parts))["en"], ["two0", "five", "two1"])
    lines = (tmp_path / "en.csv").read_text().splitlines()
    assert lines[0].endswith("correct,logprob_A,logprob_B,logprob_C,logprob_D,logprob_E,extracted")
    assert lines[1] == "two0,a,en,en,en|en,B,B,1,-2.000000,-1.000000,,,,1"
    provenance.write_run(tmp_path, {"records": {"en": {"hash": "1", **written}}})
    records = load_records(tmp_path)
    assert has_logprobs(records) and list(records["correct"]) == [1, 1, 1]
    assert list(calibrate.option_languages(records)[0]) == ["en", "en", "", "", ""]
    assert np.nansum(np.exp(normalized_logprobs(records)), axis=1) == pytest.approx([1, 1, 1])
    records.loc[1, "logprob_E"] = np.nan
    assert not has_logprobs(records)


def test_units_are_found_under_their_hash_only(tmp_path):
    rows, shards = items(), list(shards_of(items()))
    store = UnitStore(tmp_path, {"en": "1", "mixup": "2"})
    assert store.pending(shards) == {shards[0]: ["en", "mixup"]}
    store.write(shards[0], pd.concat([records(rows, "en"), records(rows, "mixup")]))
    assert store.pending(shards) == {}
    assert UnitStore(tmp_path, {"en": "1", "mixup": "3", "full_de": "4"}).pending(shards) == {
        shards[0]: ["mixup", "full_de"]
    }
    changed = UnitStore(tmp_path, {"en": "1", "mixup": "3"})
    changed.write(shards[0], records(rows, "mixup", best=3))
    read = dict(changed.read(shards))
    assert set(read["mixup"]["prediction"]) == {"D"} and set(read["en"]["prediction"]) == {"B"}


def test_every_unit_is_opened_once_and_rows_that_are_there_twice_count_once(tmp_path, monkeypatch):
    rows, shards = items(count=SHARD_SIZE + 1), list(shards_of(items(count=SHARD_SIZE + 1)))
    names, opened, read_text = ("en", "mixup", "full_de"), [], resume.read_text
    store, old = UnitStore(tmp_path, dict.fromkeys(names, "1")), UnitStore(tmp_path, {"en": "0", "mixup": "1"})
    whole = {name: records(rows, name, best=k) for k, name in enumerate(names)}
    for shard in shards:
        old.write(shard, records(shard.of(rows), "mixup", best=1))
        store.write(shard, pd.concat([whole[name].iloc[shard.number * SHARD_SIZE :][:SHARD_SIZE] for name in names]))
    monkeypatch.setattr(resume, "read_text", lambda path: opened.append(path) or read_text(path))
    found = dict(store.read(shards))
    assert list(found) == list(names) and len(opened) == len(set(opened)) <= 4
    for name, table in found.items():
        assert list(table["id"]) == [row.id for row in rows]
        assert list(table["prediction"]) == list(whole[name]["prediction"])


def test_a_batch_without_shards_is_no_unit(tmp_path):
    store = UnitStore(tmp_path, {"en": "1"})
    store.write(Shard("a", 0), records(items("a"), "en"))
    assert store.pending([Shard("a", 0), Shard("b", 0)]) == {Shard("b", 0): ["en"]}


def test_cells_come_back_as_written(tmp_path):
    odd = monolingual("007", "nan", "", "q", ("1", "2", "3", "4"), "A", "en")
    slash = monolingual("1e3", "a/b c", "", "q", ("1", "2", "3", "4"), "A", "en")
    store = UnitStore(tmp_path, {"en": "1"})
    shards = shards_of([odd, slash])
    for shard, rows in shards.items():
        store.write(shard, records(rows, "en", best=0))
    table = dict(store.read(shards))["en"]
    assert list(table["id"]) == ["007", "1e3"] and list(table["subject"]) == ["nan", "a/b c"]
    assert list(table["logprob_A"]) == ["-1.000000", "-1.000000"]
    write_setting(tmp_path, table, ["1e3", "007"])
    assert [line.split(",")[0] for line in (tmp_path / "en.csv").read_text().splitlines()[1:]] == ["1e3", "007"]


def test_units_of_other_questions_are_refused(tmp_path):
    with pytest.raises(InputError, match="setting en"):
        write_setting(tmp_path, records(items(), "en").astype(str), ["law000", "law001"])


def test_load_checks_every_file_against_run_json(tmp_path):
    write_run(tmp_path, {"mixup": records(items(), "mixup"), "en": records(items(), "en")})
    loaded = load_records(tmp_path)
    assert list(loaded["setting"].unique()) == ["en", "mixup"]
    assert loaded["correct"].sum() == 6 and loaded[LOGPROBS].dtypes.eq("float64").all()

    path = tmp_path / "mixup.csv"
    whole = path.read_bytes()
    path.write_bytes(whole[:-30])
    with pytest.raises(InputError, match="mixup.csv"):
        load_records(tmp_path)
    path.write_bytes(whole)
    (tmp_path / "full_de.csv").write_bytes(whole)
    with pytest.raises(InputError, match="full_de.csv"):
        load_records(tmp_path)
    (tmp_path / "full_de.csv").unlink()
    (tmp_path / "summary.csv").write_text("setting,n\n")
    path.unlink()
    with pytest.raises(InputError, match="mixup.csv"):
        load_records(tmp_path)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "no such file"),
        ("", "cut short, changed or of another program"),
        ("{", "cut short"),
        ("[]", "cut short"),
        (b"\xff", "cut short"),
        ('{"records": {}}', "cut short"),
        ('{"records": {}, "digest": "0"}', "cut short"),
        ({"hash": "1"}, "without records"),
        ({"records": {}}, "finished"),
    ],
)
def test_load_needs_run_json(tmp_path, content, said):
    if isinstance(content, dict):
        provenance.write_run(tmp_path, content)
    elif content is not None:
        (tmp_path / "run.json").write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(InputError, match=f"run.json.*{said}"):
        load_records(tmp_path)


def test_summary(tmp_path):
    rows = items(count=8)
    worse = pd.concat([records(rows[:2], "mixup"), records(rows[2:], "mixup", best=0)])
    table = pd.concat([worse.iloc[::-1], records(rows, "en")])
    summary = summarize(table).set_index("setting")
    assert list(summary.index) == ["en", "mixup"] and list(summary["n"]) == [8, 8]
    assert summary.loc["mixup", "accuracy"] == 0.25 and summary.loc["mixup", "delta_vs_en"] == -0.75
    assert summary.loc["mixup", "p_mcnemar"] == pytest.approx(2 * 0.5**6)
    assert np.isnan(summary.loc["en", "delta_vs_en"])
    assert np.isnan(summarize(worse)["p_mcnemar"]).all()


def test_only_the_same_questions_are_compared():
    table = pd.concat([records(items(count=3), "en"), records(items(count=2), "mixup")])
    with pytest.raises(InputError, match="mixup and en"):
        paired_correct(table, "mixup", "en")
