"""How fast a model reads and writes on this machine, in about half a minute: the basis of reproduce.py's plan.

    python report/measure.py --model MODEL --sample FILE

Prints one JSON line: seconds until the model is loaded, tokens read a second, seconds to write one token for one text
and for each further text at the same time, tokens a byte of the sample, and the number of weights.
"""

import json
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from common.cli import InputError, parse, run

WINDOW = 64  # tokens of a text that is read
ROWS = 32  # texts that are written at the same time, or as many as the model reads in the time for reading
START = 16  # tokens that each of them begins with
NEW_TOKENS = 8


@dataclass
class Measure:
    """Measure a model's speed.

    Attributes:
        model: as in the scripts that the plan is for.
        sample: text file that the model reads.
        dtype: auto, float32, bfloat16 or float16.
        seconds: how long reading is measured, at least.
    """

    model: str
    sample: str
    dtype: str = "auto"
    seconds: float = 10


@dataclass(frozen=True)
class Speed:
    """Seconds of a model's work on this machine; see the module."""

    load_seconds: float
    read_tokens_per_second: float
    write_seconds: float
    write_seconds_per_row: float
    tokens_per_byte: float
    weights: int

    def of(self, read: int, written: int, items: int) -> float:
        """Seconds to read `read` bytes and to write `written` tokens in all, for `items` texts, without loading."""
        reading = read * self.tokens_per_byte / self.read_tokens_per_second
        if not written:
            return reading
        rows = min(items, ROWS)
        return reading + written * (self.write_seconds / rows + self.write_seconds_per_row)


def main() -> None:
    config = parse(Measure)
    start = time.monotonic()
    from common.lm.generation import generate
    from common.lm.loading import load
    from common.lm.loglikelihood import ScoringStats, loglikelihood

    model, tokenizer = load(config.model, dtype=config.dtype)
    loaded = time.monotonic() - start
    text = Path(config.sample).read_text(encoding="utf-8")
    ids = tokenizer(text, add_special_tokens=False).input_ids
    ids = ids * (-(-ROWS * WINDOW // max(1, len(ids))))
    windows = [ids[place : place + WINDOW] for place in range(0, ROWS * WINDOW, WINDOW)]
    read = [tokenizer.decode(window) for window in windows[:4]]
    starts = [tokenizer.decode(window[:START]) for window in windows]

    loglikelihood(model, tokenizer, read[:1], [" A"])  # which waits for the weights to come from the disk
    stats, passes, start = ScoringStats(), 0, time.monotonic()
    while time.monotonic() - start < config.seconds:
        texts = [f"{passes} {window}" for window in read]  # a number, so that nothing is shared
        loglikelihood(model, tokenizer, texts, [" A"], stats=stats)
        passes += 1
    reading = stats.computed_tokens / (time.monotonic() - start)

    def seconds(rows: int, tokens: int) -> tuple[float, int]:
        """Seconds to read `rows` texts and to write `tokens` for each, and how many tokens the longest has."""
        start = time.monotonic()
        said = generate(model, tokenizer, starts[:rows], tokens, stop=None)
        return time.monotonic() - start, max(answer.tokens for answer in said)

    def writing(rows: int) -> float:
        """Seconds to write one token for each of `rows` texts."""
        (first, _), (all_of_them, steps) = seconds(rows, 1), seconds(rows, NEW_TOKENS)
        return max(0.0, all_of_them - first) / max(1, steps - 1)

    rows = max(2, min(ROWS, int(reading * config.seconds) // START))
    one = many = 0.0
    try:
        seconds(1, 1)  # what the first text alone waits for
        one, many = writing(1), writing(rows)
    except InputError as error:  # the parts that need no writing can run
        print(f"note: {error}", file=sys.stderr)
    further = max(0.0, (many - one) / (rows - 1))
    weights = sum(parameter.numel() for parameter in model.parameters())
    share = len(tokenizer(text, add_special_tokens=False).input_ids) / max(1, len(text.encode()))
    print(json.dumps(asdict(Speed(loaded, reading, max(0.0, one - further), further, share, weights))))


if __name__ == "__main__":
    run(main)
