"""Translation/seeds.py: one column a seed, a missing table is named."""

import pandas as pd
import pytest

from tests.scripts import call, load_script

script = load_script("Translation/seeds.py")


def write_run(folder, bleu):
    (folder / "embeddings").mkdir(parents=True)
    (folder / "lens").mkdir()
    rows = [{"system": "w", "directions": way, "bleu": bleu, "chrf": 50.0} for way in ("from English", "into English")]
    pd.DataFrame(rows).to_csv(folder / "scores.summary.csv", index=False)
    layers = [{"rate": 0.8, "baseline": "dropout", "layer": i, "mixed": i, "difference": i / 10} for i in range(5)]
    pd.DataFrame(layers).assign(p_holm=0.001).to_csv(folder / "embeddings" / "summary.csv", index=False)
    pd.DataFrame([{"source": "all", "right": 0.8}]).to_csv(folder / "lens" / "summary.csv", index=False)


def test_one_column_a_seed(tmp_path, monkeypatch):
    for seed in (42, 43):
        write_run(tmp_path / str(seed), seed)
    runs = f"42={tmp_path / '42'},43={tmp_path / '43'}"
    assert call(script, ["--runs", runs, "--out", tmp_path / "seeds.csv"], monkeypatch) == 0
    table = pd.read_csv(tmp_path / "seeds.csv").set_index("figure")
    assert table.loc["bleu into English"].tolist() == [42, 43]
    assert table.loc["mixed above dropout, rate 0.8"].tolist() == [0.2, 0.2]  # the middle of five layers


@pytest.mark.parametrize("missing", ["scores.summary.csv", "lens/summary.csv"])
def test_a_missing_table_is_named(tmp_path, monkeypatch, capsys, missing):
    write_run(tmp_path / "run", 1)
    (tmp_path / "run" / missing).unlink()
    assert call(script, ["--runs", f"42={tmp_path / 'run'}", "--out", tmp_path / "seeds.csv"], monkeypatch) == 2
    assert missing in capsys.readouterr().err and not (tmp_path / "seeds.csv").exists()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "lens/summary.csv: cannot be read as a CSV file"),
        ("source,right\n\xff", "lens/summary.csv: cannot be read as a CSV file"),
        ("right\n0.8\n", "its tables lack \"None of ['source'] are in the columns\""),
        ("source,right\nen,0.8\n", "its tables lack 'all'"),
    ],
)
def test_a_bad_table_is_named(tmp_path, monkeypatch, capsys, content, said):
    write_run(tmp_path / "run", 1)
    (tmp_path / "run" / "lens" / "summary.csv").write_bytes(content.encode("latin-1"))
    assert call(script, ["--runs", f"42={tmp_path / 'run'}", "--out", tmp_path / "seeds.csv"], monkeypatch) == 2
    error = capsys.readouterr().err
    assert said in error and "Traceback" not in error and not (tmp_path / "seeds.csv").exists()
