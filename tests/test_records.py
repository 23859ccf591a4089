"""Units, record files and run.json: what a killed or changed run may and may not leave behind."""

import json

import numpy as np
import pandas as pd
import pytest

from common.cli import InputError
from common.evaluation.records import LOGPROBS, load_records, paired_correct, record_rows, summarize, write_setting
from common.evaluation.resume import SHARD_SIZE, Shard, UnitStore, shards_of
from common.questions import monolingual


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
    (out / "run.json").write_text(json.dumps({"records": written}))


def test_groups_are_subjects_in_shards():
    groups = shards_of(items("b", 2 * SHARD_SIZE + 1) + items("a", 1) + items("b2", 1))
    assert [(group.subject, group.shard, len(rows)) for group, rows in groups.items()] == [
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
    table = record_rows(items(count=1), "en", np.array([[-4.0, -6, -9, -9]]), np.array([[2, 6, 3, 3]]))
    assert table["prediction"].item() == "B" and table["logprob_B"].item() == -6


def test_context_language_only_with_a_passage():
    assert "context_language" in record_rows(items(context="text"), "en", np.zeros((3, 4)))
    assert "context_language" not in record_rows(items(), "en", np.zeros((3, 4)))


def test_nan_is_refused_by_question():
    logprobs = np.zeros((3, 4))
    logprobs[1, 2] = np.nan
    with pytest.raises(InputError, match="law001 in setting mixup"):
        record_rows(items(), "mixup", logprobs)


def test_units_are_found_under_their_hash_only(tmp_path):
    rows, groups = items(), list(shards_of(items()))
    store = UnitStore(tmp_path, {"en": "1", "mixup": "2"})
    assert store.pending(groups) == {groups[0]: ["en", "mixup"]}
    store.write(groups[0], pd.concat([records(rows, "en"), records(rows, "mixup")]))
    assert store.pending(groups) == {}
    assert UnitStore(tmp_path, {"en": "1", "mixup": "3", "full_de": "4"}).pending(groups) == {
        groups[0]: ["mixup", "full_de"]
    }
    changed = UnitStore(tmp_path, {"en": "1", "mixup": "3"})
    changed.write(groups[0], records(rows, "mixup", best=3))
    read = changed.read(groups)
    assert set(read["mixup"]["prediction"]) == {"D"} and set(read["en"]["prediction"]) == {"B"}


def test_a_batch_without_groups_is_no_unit(tmp_path):
    store = UnitStore(tmp_path, {"en": "1"})
    store.write(Shard("a", 0), records(items("a"), "en"))
    assert store.pending([Shard("a", 0), Shard("b", 0)]) == {Shard("b", 0): ["en"]}


def test_cells_come_back_as_written(tmp_path):
    odd = monolingual("007", "nan", "", "q", ("1", "2", "3", "4"), "A", "en")
    slash = monolingual("1e3", "a/b c", "", "q", ("1", "2", "3", "4"), "A", "en")
    store = UnitStore(tmp_path, {"en": "1"})
    groups = shards_of([odd, slash])
    for group, rows in groups.items():
        store.write(group, records(rows, "en", best=0))
    table = store.read(groups)["en"]
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
        ("{", "not JSON"),
        ("[]", "not the run.json"),
        ('{"hash": "1"}', "without records"),
        ('{"records": {}}', "finished"),
    ],
)
def test_load_needs_run_json(tmp_path, content, said):
    if content is not None:
        (tmp_path / "run.json").write_text(content)
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
