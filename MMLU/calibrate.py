"""Take what a model prefers whatever is asked, letters and languages, out of its answers; and show that preference.

    python MMLU/calibrate.py --run MMLU/results/world --out MMLU/results/world_calibrated

From records with log-probabilities alone. The preference for languages is what `mixup` shows, where no language is the
right one more often; in other settings it could not be told from knowledge. Writes records with calibrated predictions
(the files of evaluate.py), and <out>/bias.csv: how often an option that is not English is chosen, by how many of the
four are not.
"""

from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from categories import category

from common.choices import LETTERS
from common.config import config_hash, parse
from common.errors import InputError, hide_siblings, run
from common.files import write_csv_atomic, write_json_atomic
from common.provenance import git_commit, now, package_versions
from common.records import LOGPROBS, has_logprobs, load_records, read_run, summarize, write_setting
from common.results import save_result
from common.stats import wilson
from common.units import DECIMALS

MIXUP = "mixup"


@dataclass
class Calibrate:
    """Calibrate the answers of a run.

    Attributes:
        run: run folder of evaluate.py.
        out: folder of the calibrated records.
        seed: of the halves: the preferences taken out of one half of the questions are those of the other.
    """

    run: str
    out: str
    seed: int = 42


def preferences(scores: np.ndarray, languages: np.ndarray) -> tuple[np.ndarray, dict[str, float]]:
    """Least-squares effect of letter and of option language on centred log-probabilities.

    scores: [questions, 4], languages: [questions, 4]. Returns the letters' effects [4] and the languages' by code; each
    kind adds up to zero over its members (the minimum-norm solution); a language without another has the effect zero.
    """
    codes = sorted(set(languages.ravel()))
    centred = scores - scores.mean(axis=1, keepdims=True)
    letter = np.tile(np.eye(len(LETTERS)), (len(scores), 1))
    spoken = (languages.reshape(-1, 1) == np.array(codes)).astype(float)
    # A question adds the same to its four scores, so only differences within a question count.
    within = np.hstack([letter, spoken]).reshape(len(scores), len(LETTERS), -1)
    within = (within - within.mean(axis=1, keepdims=True)).reshape(-1, len(LETTERS) + len(codes))
    effects = np.linalg.lstsq(within, centred.ravel(), rcond=None)[0]
    return effects[: len(LETTERS)], dict(zip(codes, effects[len(LETTERS) :], strict=True))


def calibrated(records: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Records with log-probabilities normalised over the letters and without preferences.

    What is taken out of half of the questions was found on the other half: effects of letter and language in `mixup`;
    without that setting, the effect of the letter alone over all settings.
    """
    logprobs = records[LOGPROBS].to_numpy(float)
    logprobs = logprobs - np.logaddexp.reduce(logprobs, axis=1, keepdims=True)
    languages = option_languages(records)
    mixed = (records["setting"] == MIXUP).to_numpy()
    if not mixed.any():
        mixed, languages = np.ones(len(records), bool), np.full(languages.shape, "any")
    ids = np.random.default_rng(seed).permutation(records["id"].unique())
    first = records["id"].isin(ids[: len(ids) // 2]).to_numpy()
    scores = logprobs.copy()
    for own, other in ((first, ~first & mixed), (~first, first & mixed)):
        if not other.any():
            continue
        letter, spoken = preferences(logprobs[other], languages[other])
        effects = np.array([[spoken.get(code, 0.0) for code in row] for row in languages[own]]).reshape(
            -1, len(LETTERS)
        )
        scores[own] -= letter + effects
    scores = np.round(scores, DECIMALS) + 0.0
    table = records.copy()
    table["prediction"] = np.array(LETTERS)[scores.argmax(axis=1)]
    table["correct"] = (table["prediction"] == table["answer"]).astype(int)
    table[LOGPROBS] = scores
    return table


def option_languages(records: pd.DataFrame) -> np.ndarray:
    """Languages of the options, [questions, 4]."""
    return np.array([cell.split("|") for cell in records["option_languages"]])


def bias(records: pd.DataFrame) -> pd.DataFrame:
    """How often a non-English option is chosen, by the question's language and by how many options are not English.

    Columns question (en, other), non_english_options, correct_option (en, other, all), n, chosen_non_english with its
    95% Wilson interval, and chance, what a blind choice would give. Settings are pooled.
    """
    languages = option_languages(records)
    foreign = languages != "en"
    picked = records["prediction"].map(LETTERS.index).to_numpy()
    right = records["answer"].map(LETTERS.index).to_numpy()
    rows = np.arange(len(records))
    table = pd.DataFrame(
        {
            "question": np.where(records["question_language"] == "en", "en", "other"),
            "non_english_options": foreign.sum(axis=1),
            "correct_option": np.where(foreign[rows, right], "other", "en"),
            "chosen": foreign[rows, picked],
        }
    )
    table = pd.concat([table, table.assign(correct_option="all")])
    found = []
    for key, group in table.groupby(["question", "non_english_options", "correct_option"], sort=True):
        n, chosen = len(group), int(group["chosen"].sum())
        found.append((*key, n, chosen / n, *wilson(chosen, n), key[1] / len(LETTERS)))
    columns = ["question", "non_english_options", "correct_option", "n", "chosen_non_english"]
    return pd.DataFrame(found, columns=[*columns, "ci_low", "ci_high", "chance"])


def main() -> None:
    hide_siblings(__file__)
    config = parse(Calibrate)
    records, out = load_records(Path(config.run)), Path(config.out)
    source = read_run(Path(config.run))
    if not has_logprobs(records) or source["config"].get("score") != "letter":
        raise InputError(f"{config.run}: labels without log-probabilities, so there is nothing to calibrate")
    digest = config_hash({"calibrated": source["hash"], "records": source["records"], "seed": config.seed})
    if (out / "run.json").exists() and read_run(out)["config"].get("calibrate", {}).get("run") != config.run:
        raise InputError(f"{out}: records of another run; use another --out or delete it")
    written, everything = {}, calibrated(records, config.seed)
    for setting, rows in everything.groupby("setting", sort=False):
        text = rows.astype(str).assign(**{name: rows[name].map(f"{{:.{DECIMALS}f}}".format) for name in LOGPROBS})
        written[setting] = {"hash": digest, **write_setting(out, text, list(rows["id"]))}
    info = {"config": source["config"] | {"calibrate": asdict(config)}, "hash": digest, "model": source["model"]}
    session = {"start": now(), "end": now(), "git_commit": git_commit(), "packages": package_versions()}
    write_json_atomic(out / "run.json", info | {"records": written, "sessions": [session | {"computed_tokens": 0}]})
    results = load_records(out)
    write_csv_atomic(out / "summary.csv", summarize(results), float_format="%.6g")
    by_category = [
        summarize(rows).assign(category=name) for name, rows in results.groupby(results["subject"].map(category))
    ]
    write_csv_atomic(out / "summary_by_category.csv", pd.concat(by_category), float_format="%.6g")
    table = bias(records)
    write_csv_atomic(out / "bias.csv", table, float_format="%.6g")
    save_result(__file__, out / "bias", {config.run: config.run}, [out / "bias.csv"])
    print(table.to_string(index=False, float_format="{:.4f}".format))


if __name__ == "__main__":
    run(main)
