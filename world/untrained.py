"""The world's architecture with new weights, and a tokenizer of another text's words, to be trained on that text.

    python -m world.untrained --text FILE.jsonl --out DIR

The bundled model's tokenizer spells words that its world lacks in bytes, of which a model this small learns little.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from common.cli import InputError, config_hash, run
from common.corpus import read_rows
from common.reporting.files import claim
from common.reporting.provenance import file_digest, now, read_run, session, write_run
from world.config import parse_with_world
from world.pretrain import POSITIONS, make_model
from world.tokenizer import train_tokenizer


@dataclass
class Untrained:
    """Make an untrained model of the world's architecture for a text.

    Attributes:
        text: corpus, .jsonl or .parquet with a column `text`, or a text file
        out: folder of the checkpoint
    """

    text: str
    out: str


def words(path: str) -> Iterator[str]:
    """The texts of a corpus."""
    return (row["text"] for row in read_rows(path))


def main() -> None:
    made, config = parse_with_world(Untrained)
    out, start = Path(made.out), now()
    if not Path(made.text).is_file():
        raise InputError(f"text {made.text!r}: no such file")
    digest = config_hash(asdict(config) | {"text": file_digest(made.text)})
    if (out / "run.json").exists():
        if read_run(out).get("hash") != digest:
            raise InputError(f"{out}: holds a model of another text or configuration; use another --out or delete it")
        print(f"{out}: up to date")
        return
    claim(out)
    tokenizer = train_tokenizer(words(made.text), config.vocabulary, POSITIONS)
    model = make_model(config, tokenizer)
    model.save_pretrained(out)
    tokenizer.save_pretrained(out)
    info = {"config": asdict(made) | asdict(config), "hash": digest, "start": start}
    write_run(out, info | session(start))  # last: a folder without it is not finished
    print(f"{out}: {model.num_parameters():,} weights, {len(tokenizer):,} pieces")


if __name__ == "__main__":
    run(main)
