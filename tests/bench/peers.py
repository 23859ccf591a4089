"""Do peers answer as we do? Predictions of the same model on the same questions, compared one by one.

    python tests/bench/peers.py --ours DIR --peer DIR --name lm-evaluation-harness --out tests/bench/results/peers.csv

`--ours` is a folder of records (MMLU/evaluate_mmlu.py). `--peer` is another one, such as that of `endpoint:MODEL`, or
what `lm_eval run --log_samples --output_path DIR` has written for the tasks of MMLU/export_lm_eval.py. Writes a row a
setting, and <out>_differences.csv: the questions that are answered otherwise, with the margin of our two likeliest
options in nats.
"""

import json
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from common.cli import InputError, parse, run
from common.evaluation.records import load_records, logprobs_of
from common.questions import LETTERS
from common.reporting.results import write_result
from common.reporting.stats import wilson
from common.settings import family


@dataclass
class Peers:
    """Compare predictions.

    Attributes:
        ours: folder of records.
        peer: folder of records, or of sample logs of lm-evaluation-harness.
        name: of the peer in the table.
        out: table to write, .csv.
    """

    ours: str
    peer: str
    name: str
    out: str


def sample_logs(folder: Path) -> pd.DataFrame:
    """Predictions from samples_<task>_<time>.jsonl below a folder: setting, id, prediction."""
    rows = []
    for path in sorted(folder.rglob("samples_*.jsonl")):
        for line in path.read_text(encoding="utf-8").splitlines():
            sample = json.loads(line)
            scores = [float(response[0]) for response in sample["filtered_resps"]]
            task = re.sub("^samples_|_[0-9]{4}-.*$", "", path.stem)
            rows.append((setting_of(task), sample["doc"]["id"], LETTERS[int(np.argmax(scores))]))
    if not rows:
        raise InputError(f"{folder}: neither run.json nor samples_*.jsonl in it; use --log_samples")
    return pd.DataFrame(rows, columns=["setting", "id", "prediction"])


def setting_of(task: str) -> str:
    """The setting in a task's name, such as crosslingual_mmlu_full_de_anatomy."""
    words = task.removeprefix("crosslingual_mmlu_").split("_")
    for end in range(min(4, len(words)), 0, -1):
        name = "_".join(words[:end])
        try:
            family(name)
        except InputError:
            continue
        return name
    raise InputError(f"task {task}: no setting in its name")


def compare(ours: pd.DataFrame, peer: pd.DataFrame, name: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """A row a setting with the share of equal predictions, and the questions that differ."""
    scores = np.sort(logprobs_of(ours).to_numpy(), axis=1)
    ours = ours.assign(margin=scores[:, -1] - scores[:, -2])
    both = ours.merge(peer[["setting", "id", "prediction"]], on=["setting", "id"], suffixes=("", "_peer"))
    if len(both) != len(peer):
        raise InputError(f"{len(peer)} answers of {name}, of which {len(both)} are to questions of ours")
    both["same"] = both["prediction"] == both["prediction_peer"]
    rows = []
    for setting, part in both.groupby("setting", sort=False):
        low, high = wilson(int(part["same"].sum()), len(part))
        right = [float((part[column] == part["answer"]).mean()) for column in ("prediction", "prediction_peer")]
        rows.append((name, setting, len(part), int(part["same"].sum()), part["same"].mean(), low, high, *right))
    columns = ["peer", "setting", "n", "same", "agreement", "ci_low", "ci_high", "accuracy_ours", "accuracy_peer"]
    differing = both.loc[~both["same"], ["setting", "id", "answer", "prediction", "prediction_peer", "margin"]]
    return pd.DataFrame(rows, columns=columns), differing


def main() -> None:
    config = parse(Peers)
    peer = Path(config.peer)
    answers = load_records(peer) if (peer / "run.json").exists() else sample_logs(peer)
    table, differing = compare(load_records(Path(config.ours)), answers, config.name)
    out = config.out.removesuffix(".csv")
    write_result(__file__, out, {"ours": config.ours}, table)
    write_result(__file__, f"{out}_differences", {"ours": config.ours}, differing)


if __name__ == "__main__":
    run(main)
