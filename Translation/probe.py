"""Does a model know whether it knows, and in every language alike: a linear probe on its hidden states, layer by layer.

    python Translation/probe.py --model MODEL --run MMLU/results/zero_shot/NAME --data VARIANTS --out DIR

After arXiv 2504.13816. In every layer a logistic regression tells the questions that the run answered right from the
others, by the state of the prompt's last token. It is trained in one language and tested in each (probing.py): as it
is, after a shift of the means, after a projection. Writes layers.csv (every layer), the plot by layer, and pairs.csv,
answers.csv and summary.csv of one layer for each language of training: that with the largest AUROC in this language on
other questions.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from hidden_states import pooled_states
from probing import ESTIMATES, FOLDS, METHODS, at_chosen_layers, by_pair, cross_scores, pooled
from sklearn import __version__ as scikit_learn

from common.cli import InputError, comma_list, config_hash, parse, require_given, require_positive, run
from common.evaluation.records import load_records
from common.languages import get
from common.lm.loading import load
from common.lm.tokenization import prompt_tokens
from common.plan import Work, planning, say_plan
from common.progress import Progress
from common.prompts import mmlu_prompt
from common.questions import Question, read_questions
from common.reporting.files import claim, temporary_file, write_csv_atomic
from common.reporting.plots import plot_curves, save_figure
from common.reporting.provenance import model_content_hash, now, read_run, session, write_run
from common.reporting.results import ENDING, save_result
from common.settings import family, first_of_subjects, settings_in

# Keys of a run whose prompts are the plain ones, and what they must be.
PLAIN = {"num_fewshot": 0, "labels": None, "hint": None, "prompt": "paper", "chat": False, "answer_format": "letter"}
PLAIN |= {"write": "nothing", "translator": None}


@dataclass
class Probe:
    """Probe hidden states for whether a question will be answered right.

    Attributes:
        model: hub name or folder of a causal LM, the one that answered.
        out: folder to write to.
        run: 0-shot run of MMLU/evaluate_mmlu.py with the settings en and full_*; null: probe.sh makes it.
        data: folder of MMLU/build_variants.py that the run was asked from; null: probe.sh makes it.
        languages: ISO codes, a list or separated by commas; null is every language of the run.
        limit: only so many first questions of each subject; null is all.
        dtype: auto (as the model's configuration says), float32, bfloat16 or float16.
        device: auto, cpu, cuda, cuda:N, or map to spread the layers over all GPUs.
        seed: of the folds and the intervals.
    """

    model: str
    out: str
    run: str | None = None
    data: str | None = None
    languages: str | list[str] | None = None
    limit: int | None = None
    dtype: str = "auto"
    device: str = "auto"
    seed: int = 42

    def __post_init__(self) -> None:
        require_given(self, "run", "data")
        require_positive(self, "limit")


def read_prompts(config: Probe) -> dict[str, list[Question]]:
    """The questions in each language of the data, English first."""
    wanted = [get(code).code for code in comma_list(config.languages)] if config.languages else None
    found = {}
    for name in settings_in(config.data):
        kind, code = family(name)
        if kind in ("en", "full") and (wanted is None or (code or "en") in wanted):
            found[code or "en"] = first_of_subjects(read_questions(Path(config.data, f"{name}.csv")), config.limit)
    if lacking := [code for code in wanted or () if code not in found]:
        raise InputError(f"{config.data}: no questions in {lacking[0]}; build the variants with it, or leave it out")
    return found


def read_right(config: Probe, asked: Mapping[str, list[Question]]) -> tuple[list[str], dict[str, np.ndarray]]:
    """Ids of the questions that the run answered in every language, and whether rightly: {language: bool [ids]}.

    InputError for a run of other prompts, of another model, or of other questions than `asked`.
    """
    made = read_run(config.run)
    for key, value in PLAIN.items():
        if (there := made["config"].get(key, value)) != value and there:
            raise InputError(f"{config.run}: asked with {key} {there}; the probe needs the plain 0-shot prompts")
    if made["model"]["content_hash"] != model_content_hash(config.model):
        raise InputError(
            f"{config.run}: answered by {made['model']['name']}, whose weights are not those of {config.model}"
        )
    records, right, kept = load_records(Path(config.run)), {}, None
    for code, questions in asked.items():
        own = records[records["setting"] == ("en" if code == "en" else f"full_{code}")].set_index("id")
        answers = {question.id: question.answer for question in questions}
        ids = [question.id for question in questions if question.id in own.index]
        if not ids:
            raise InputError(f"{config.run}: none of the questions of {config.data} in {code}; evaluate them first")
        if wrong := next((key for key in ids if own.loc[key, "answer"] != answers[key]), None):
            raise InputError(
                f"{config.run}: question {wrong} has another answer than in {config.data}; evaluate it again"
            )
        right[code] = own["correct"].astype(bool)
        kept = ids if kept is None else [key for key in kept if key in own.index]
    return kept, {code: own.loc[kept].to_numpy() for code, own in right.items()}


def enough(right: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The languages with a right and a wrong answer for every fold; others are named. InputError for fewer than two."""
    found = {}
    for code, own in right.items():
        if min(own.sum(), (~own).sum()) >= FOLDS:
            found[code] = own
        else:
            print(f"note: {code} is left out: {own.sum()} of {len(own)} right, and {FOLDS} of each kind are needed")
    if len(found) < 2:
        raise InputError("two languages with right and wrong answers are needed; ask more questions or languages")
    return found


def states_of(config: Probe, prompts: Mapping[str, list[str]], hashes: Mapping[str, str]) -> dict[str, np.ndarray]:
    """The last token's state in every layer, {language: float32 [questions, layers, size]}; kept in <out>/states."""
    found, loaded = {}, None
    with Progress(len(prompts), "languages") as progress:
        for code, texts in prompts.items():
            path = Path(config.out, "states", f"{code}.{hashes[code]}.npy")
            if not path.exists():
                loaded = loaded or load(config.model, dtype=config.dtype, device=config.device)
                model, tokenizer = loaded
                states = pooled_states(model, prompt_tokens(tokenizer, texts), "last", skip=tokenizer.all_special_ids)
                with temporary_file(path, ".npy") as temporary:
                    np.save(temporary, states)
            try:
                found[code] = np.load(path, mmap_mode="r", allow_pickle=False)  # read layer by layer
            except (OSError, ValueError, EOFError) as error:
                raise InputError(f"{path}: cut short or changed; delete it and run the same command again") from error
            progress.update()
    return found


def probe_layers(
    states: Mapping[str, np.ndarray], right: Mapping[str, np.ndarray], ids: list[str], seed: int
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """One row a layer, pair of languages and method; and one for each question of them.

    Columns of ESTIMATES; a question's numbers are such that their mean is the estimate in the first table.
    """
    rows, answers = [], []
    layers = next(iter(states.values())).shape[1]
    with Progress(layers, "layers") as progress:
        for layer in range(layers):
            found = cross_scores({code: own[:, layer].astype(float) for code, own in states.items()}, right, seed)
            for (source, target, method), scores in found.items():
                name = {"layer": layer, "train": source, "test": target, "method": method}
                row, numbers = name | {"n": len(ids), "right": right[target].mean()}, {}
                for measure, estimate in ESTIMATES.items():
                    # An AUROC compares centred scores of several folds; accuracy has each fold's own threshold.
                    own = scores[:, int(measure == "auroc")]
                    *values, numbers[measure] = estimate(own, right[target])
                    row |= dict(zip((measure, f"{measure}_low", f"{measure}_high"), values, strict=True))
                rows.append(row)
                answers.append(pd.DataFrame(name | {"id": ids} | numbers))
            progress.update()
    return pd.DataFrame(rows), pd.concat(answers, ignore_index=True)


def sentence(table: pd.DataFrame) -> str:
    """What was found, from the table of `pooled`."""

    rows = table.set_index(["test", "method", "measure"])

    def said(where: str, method: str, measure: str, name: str = "value", form: str = ".1f") -> str:
        row = rows.loc[(where, method, measure)]
        value, low, high = (100 * row[name + end] for end in ("", "_low", "_high"))
        return f"{value:{form}} [{low:{form}}, {high:{form}}]"

    plain, accuracy = METHODS[0], "balanced_accuracy"
    shift, projection = (said("others", method, accuracy, "vs_as_is", "+.1f") for method in METHODS[1:])
    known, area = ([said(where, plain, name) for where in ("itself", "others")] for name in (accuracy, "auroc"))
    return (
        f"A probe of hidden states tells right from wrong answers in {known[0]} percent of both kinds in the language"
        f" that it was trained in (AUROC {area[0]}) and in {known[1]} percent in others (AUROC {area[1]}); a shift of"
        f" the means changes the latter accuracy by {shift} points, a least-squares projection by {projection}."
    )


def main() -> None:
    config, start = parse(Probe), now()
    out, asked = Path(config.out), read_prompts(config)
    if planning() and not Path(config.run, "run.json").exists():  # probe.sh has just planned it
        say_plan(Work.of([mmlu_prompt(question) for own in asked.values() for question in own]))
    ids, right = read_right(config, asked)
    right = enough(right)
    texts = {code: {question.id: mmlu_prompt(question) for question in asked[code]} for code in right}
    prompts = {code: [own[key] for key in ids] for code, own in texts.items()}
    settings = {"model": model_content_hash(config.model), "dtype": config.dtype}
    hashes = {code: config_hash(settings | {"prompts": own}) for code, own in prompts.items()}
    labels = {code: own.tolist() for code, own in right.items()}
    digest = config_hash(settings | {"states": hashes, "right": labels, "seed": config.seed})
    old, finished = read_run(out) if (out / "run.json").exists() else {}, out / f"summary{ENDING}"
    if old and "right" not in old:
        raise InputError(f"{out}: holds a run of another script; name another --out")
    done = finished.exists() and old.get("hash") == digest
    if planning():
        there = {code for code in prompts if Path(out, "states", f"{code}.{hashes[code]}.npy").exists()}
        say_plan(Work.of([] if done else [text for code, own in prompts.items() if code not in there for text in own]))
    if done:
        print(f"{out}: done already")
        return
    claim(out)
    with Progress(2, "steps") as progress:
        states = states_of(config, prompts, hashes)
        progress.update()
        layers, answers = probe_layers(states, right, ids, config.seed)
    answers = at_chosen_layers(answers)
    answers["other"] = (answers["train"] != answers["test"]).astype(int)
    summary = pooled(answers, config.seed)
    finished.unlink(missing_ok=True)  # of another configuration: what follows is not its own
    tables = {
        "layers.csv": layers,
        "summary.csv": summary,
        "pairs.csv": by_pair(answers),
        "answers.csv": answers,
    }
    for name, table in tables.items():
        write_csv_atomic(out / name, table, float_format="%.6g")
    curves = layers.assign(
        model=config.model,
        probe=np.where(layers["train"] == layers["test"], "its own language", "others, " + layers["method"]),
    )
    curves = curves.rename(columns={"train": "trained in", "balanced_accuracy": "balanced accuracy"})
    keys = ("balanced accuracy", "probe", "trained in", "balanced accuracy (fraction)")
    written = save_figure(out / "probe", plot_curves, curves, *keys)
    info = {"config": asdict(config), "hash": digest, "model": config.model}
    info |= {"right": {code: int(own.sum()) for code, own in right.items()}, "questions": len(ids)}
    write_run(out, info | session(start) | {"scikit_learn": scikit_learn})
    runs = {Path(config.model).name: out}
    save_result(__file__, out / "summary", runs, [*(out / name for name in tables), *written], sentence(summary))
    print(sentence(summary))


if __name__ == "__main__":
    run(main)
