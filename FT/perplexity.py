"""Log-probability of every line of test text by language, before training as after it.

    python FT/perplexity.py --model MODEL --texts DIR --out DIR

`texts` has <language>.test.txt, or FLORES' <language>.devtest. Writes <out>/lines.csv (one row per language and line)
and prints the perplexity of each language: that of a token, lines weighted by their tokens.
"""

import sys
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from common.cli import InputError, config_hash, parse, require_given, require_positive, run
from common.corpus import read_rows
from common.languages import LANGUAGES
from common.lm.loading import ModelConfig
from common.lm.loglikelihood import loglikelihood
from common.lm.tokenization import tokenize_pairs
from common.plan import Work, planning, say_plan
from common.reporting.files import claim, write_csv_atomic
from common.reporting.provenance import device_name, file_digest, now, read_run, session, write_run

START = "\n"  # what the first token of a line is predicted from


@dataclass
class Perplexity:
    """Measure perplexity by language.

    Attributes:
        out: folder for lines.csv and run.json.
        texts: folder of <language>.test.txt or <language>.devtest.
        limit: only so many first lines of each language; null is all.
    """

    out: str
    texts: str | None = None
    limit: int | None = None

    def __post_init__(self) -> None:
        require_given(self, "texts")
        require_positive(self, "limit")


def find_texts(folder: str) -> dict[str, Path]:
    """The text of each language; InputError where there is none."""
    paths = {code: [Path(folder, f"{code}.{end}") for end in ("test.txt", "devtest")] for code in LANGUAGES}
    found = {code: next((path for path in own if path.is_file()), None) for code, own in paths.items()}
    if not any(found.values()):
        raise InputError(f"texts {folder!r}: no files such as en.test.txt or en.devtest in this folder")
    return {code: path for code, path in found.items() if path}


def read_lines(files: dict[str, Path], limit: int | None) -> dict[str, list[str]]:
    """The first lines that are not empty; says where languages differ in these, as lines are paired by their number."""
    rows = {code: [row["text"].strip() for row in read_rows(str(path))] for code, path in files.items()}
    for code, own in rows.items():
        if not any(own):
            raise InputError(f"{files[code]}: no text in it")
        for number, line in enumerate(own):
            if not line and any(number < len(other) and other[number] for other in rows.values()):
                said = f"line {number + 1} is empty, in another language not: lines behind it count as other sentences"
                print(f"note: {files[code]}: {said}", file=sys.stderr)
                break
    return {code: [line for line in own if line][:limit] for code, own in rows.items()}


def measure(model: ModelConfig, texts: dict[str, list[str]]) -> tuple[pd.DataFrame, str]:
    """One row per language and line: its tokens, and its log-probability in nats; and the device's name."""
    loaded, tokenizer = model.load()
    tables = []
    for code, lines in texts.items():
        asked = [START] * len(lines), [[line] for line in lines]
        logprobs = loglikelihood(loaded, tokenizer, *asked, token_budget=model.token_budget)
        if np.isnan(logprobs).any():
            line = int(np.isnan(logprobs).argmax())
            raise InputError(f"{code}, line {line}: the model gives NaN; try --dtype float32")
        tokens = [len(pair.tokens) - pair.start for pair in tokenize_pairs(tokenizer, *asked)]
        table = {"language": code, "line": range(len(lines)), "tokens": tokens}
        tables.append(pd.DataFrame(table | {"logprob": np.round(logprobs[:, 0].astype(float), 4)}))
    return pd.concat(tables), device_name(loaded.device)


def main() -> None:
    config, model = parse(Perplexity, ModelConfig)
    start, out, files = now(), Path(config.out), find_texts(config.texts)
    info = {"config": asdict(config) | asdict(model), "model": {"name": model.model, "content": model.content_hash()}}
    info["texts"] = {code: file_digest(path) for code, path in files.items()}
    info["hash"] = config_hash({"limit": config.limit, "dtype": model.dtype} | {k: info[k] for k in ("model", "texts")})
    if not planning():
        claim(out)
    done = (out / "run.json").exists() and read_run(out)["hash"] == info["hash"]
    if not done and (out / "run.json").exists():
        raise InputError(f"{out}: of another model, limit or text; use another --out or delete it")
    texts = read_lines(files, config.limit)
    if planning():
        say_plan(Work.of([] if done else [line for lines in texts.values() for line in lines]))
    if not done:
        table, device = measure(model, texts)
        write_csv_atomic(out / "lines.csv", table)
        write_run(out, info | {"sessions": [session(start) | {"device": [device]}]})
    sums = pd.read_csv(out / "lines.csv").groupby("language", sort=False)[["tokens", "logprob"]].sum()
    print(np.exp(-sums["logprob"] / sums["tokens"]).rename("perplexity").to_string(float_format="{:.2f}".format))


if __name__ == "__main__":
    run(main)
