"""Remove the model's prior bias towards answer letters and option languages from its answers, and measure that bias.

    python MMLU/calibrate.py --run MMLU/results/zero_shot/world --out MMLU/results/zero_shot/world_calibrated

Reads records with log-probabilities; no model is needed. The bias towards languages is estimated on `mixup`, where the
correct option is equally often in every language; elsewhere it could not be told from knowledge. Writes records with
calibrated predictions (the files of MMLU/evaluate_mmlu.py), and <out>/bias.csv: how often a non-English option is
chosen, by the number of non-English options.
"""

from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from categories import category

from common.cli import InputError, config_hash, parse, run
from common.evaluation.prediction import letters_of, predict
from common.evaluation.records import DECIMALS, load_records, logprobs_of, rounded, write_setting, write_summaries
from common.questions import LETTERS
from common.reporting.files import claim
from common.reporting.provenance import begun, now, read_run, write_run
from common.reporting.results import write_result
from common.reporting.stats import wilson_by_question

MIXUP = "mixup"


@dataclass
class Calibrate:
    """Calibrate the answers of a run.

    Attributes:
        run: run folder of MMLU/evaluate_mmlu.py.
        out: folder of the calibrated records.
        seed: of the two-fold split; the bias is estimated on one half and removed from the other.
    """

    run: str
    out: str
    seed: int = 42


def normalized_logprobs(records: pd.DataFrame) -> np.ndarray:
    """Log-probabilities normalised over each question's options, [questions, most options]; NaN stays NaN."""
    logprobs = logprobs_of(records).to_numpy(float)
    there = np.where(np.isnan(logprobs), -np.inf, logprobs)
    return logprobs - np.logaddexp.reduce(there, axis=1, keepdims=True)


def option_languages(records: pd.DataFrame) -> np.ndarray:
    """Languages of the options, [questions, most options]; "" for an option that does not exist."""
    return records["option_languages"].str.split("|", expand=True).fillna("").to_numpy(str)


def has_logprobs(records: pd.DataFrame) -> bool:
    """Whether every option of every record has a log-probability."""
    found = logprobs_of(records).notna().to_numpy()
    there = option_languages(records) != ""
    return found.shape == there.shape and bool((found == there).all())


def preferences(scores: np.ndarray, languages: np.ndarray) -> tuple[np.ndarray, dict[str, float]]:
    """Least-squares effect of letter and of option language on centred log-probabilities.

    scores: [questions, options], NaN where a question has no such option; languages: [questions, options]. Returns the
    letters' effects [options] and the languages' by code; each kind adds up to zero over its members (the minimum-norm
    solution); a language without another has the effect zero.
    """
    there = ~np.isnan(scores)
    codes = sorted(set(languages[there]))
    letter = np.tile(np.eye(scores.shape[1]), (len(scores), 1, 1))
    spoken = languages[:, :, None] == np.array(codes)
    within = np.concatenate([letter, spoken], axis=2) * there[:, :, None]
    # A question adds the same to all its scores, so only differences within a question count.
    within = within - within.sum(axis=1, keepdims=True) / there.sum(axis=1)[:, None, None]
    centred = scores - np.nanmean(scores, axis=1, keepdims=True)
    effects = np.linalg.lstsq(within[there], centred[there], rcond=None)[0]
    return effects[: scores.shape[1]], dict(zip(codes, effects[scores.shape[1] :], strict=True))


def calibrated(records: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Records with log-probabilities normalised over the letters and without the bias.

    Two-fold: the bias is estimated on one half of the questions and removed from the other; effects of letter and
    language in `mixup`, without that setting the effect of the letter alone over all settings.
    """
    logprobs = normalized_logprobs(records)
    languages = option_languages(records)
    mixed = (records["setting"] == MIXUP).to_numpy()
    if not mixed.any():
        mixed, languages = np.ones(len(records), bool), np.where(languages == "", "", "any")
    ids = np.random.default_rng(seed).permutation(records["id"].unique())
    first = records["id"].isin(ids[: len(ids) // 2]).to_numpy()
    scores = logprobs.copy()
    for own, other in ((first, ~first & mixed), (~first, first & mixed)):
        if not other.any():
            continue
        letter, spoken = preferences(logprobs[other], languages[other])
        scores[own] -= letter + np.vectorize(lambda code, by=spoken: by.get(code, 0.0), otypes=[float])(languages[own])
    scores = rounded(scores)
    table = records.copy()
    table["prediction"] = letters_of(predict(scores))
    table["correct"] = (table["prediction"] == table["answer"]).astype(int)
    table[list(logprobs_of(records))] = scores
    return table


def bias(records: pd.DataFrame) -> pd.DataFrame:
    """How often a non-English option is chosen, by the question's language and by how many options are not English.

    Columns question (en, other), non_english_options, correct_option (en, other, all), n, chosen_non_english with its
    95% interval (`wilson_by_question`), and chance, the share of a random choice. Settings are pooled.
    """
    languages = option_languages(records)
    foreign = (languages != "en") & (languages != "")
    picked, right = (records[name].map(LETTERS.index).to_numpy() for name in ("prediction", "answer"))
    rows = np.arange(len(records))
    table = pd.DataFrame(
        {
            "id": records["id"],
            "setting": records["setting"],
            "question": np.where(records["question_language"] == "en", "en", "other"),
            "non_english_options": foreign.sum(axis=1),
            "correct_option": np.where(foreign[rows, right], "other", "en"),
            "chosen": foreign[rows, picked].astype(float),
            "chance": foreign.sum(axis=1) / (languages != "").sum(axis=1),
        }
    )
    table = pd.concat([table, table.assign(correct_option="all")])
    found = []
    for key, group in table.groupby(["question", "non_english_options", "correct_option"], sort=True):
        interval = wilson_by_question(group.pivot(index="id", columns="setting", values="chosen"))
        found.append((*key, len(group), group["chosen"].mean(), *interval, group["chance"].mean()))
    columns = ["question", "non_english_options", "correct_option", "n", "chosen_non_english"]
    return pd.DataFrame(found, columns=[*columns, "ci_low", "ci_high", "chance"])


def main() -> None:
    config = parse(Calibrate)
    records, out = load_records(Path(config.run)), Path(config.out)
    source = read_run(Path(config.run))
    if not has_logprobs(records) or source["config"].get("answer_format") != "letter":
        raise InputError(f"{config.run}: labels without log-probabilities, so there is nothing to calibrate")
    digest = config_hash({"calibrated": source["hash"], "records": source["records"], "seed": config.seed})
    if (out / "run.json").exists() and read_run(out)["config"].get("calibrate", {}).get("run") != config.run:
        raise InputError(f"{out}: records of another run; use another --out or delete it")
    claim(out)
    written, everything = {}, calibrated(records, config.seed)
    for setting, rows in everything.groupby("setting", sort=False):
        numbers = {name: rows[name].map(f"{{:.{DECIMALS}f}}".format).replace("nan", "") for name in logprobs_of(rows)}
        text = rows.astype(str).assign(**numbers)
        written[setting] = {"hash": digest, **write_setting(out, text, list(rows["id"]))}
    info = {"config": source["config"] | {"calibrate": asdict(config)}, "hash": digest, "model": source["model"]}
    session = begun() | {"end": now(), "computed_tokens": 0}
    write_run(out, info | {"records": written, "sessions": [session]})
    write_summaries(out, category)
    write_result(__file__, out / "bias", {config.run: config.run}, bias(records))


if __name__ == "__main__":
    run(main)
