"""A flat dataclass from a YAML file and the command line; unknown keys and wrong types are refused by name.

config = parse(EvaluateConfig)  # python evaluate.py --config run.yaml --model gpt2
"""

import hashlib
import json
import sys
from argparse import ArgumentError
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from jsonargparse import ActionConfigFile, ArgumentParser

from common.errors import InputError

Config = TypeVar("Config")


def parse(cls: type[Config], argv: Sequence[str] | None = None) -> Config:
    """Make a dataclass instance from `--config FILE.yaml` and `--key value`, the later one winning.

    Fields without a default are required; the help texts are the `Attributes:` of the class docstring. `argv` is
    `sys.argv[1:]` unless given. Raises InputError naming an unknown key, a missing key or a value of a wrong type.
    """
    parser = ArgumentParser(description=(cls.__doc__ or "").split("\n")[0], exit_on_error=False, allow_abbrev=False)
    parser.add_argument("--config", action=ActionConfigFile, help="YAML file with any of the keys below")
    parser.add_class_arguments(cls)
    try:
        values = parser.parse_args([_underscored(word) for word in (sys.argv[1:] if argv is None else argv)]).as_dict()
    except ArgumentError as error:
        sentence = " ".join(str(error).split())
        raise InputError(f"configuration of {cls.__name__}: {sentence} (--help lists the keys)") from error
    values.pop("config")
    return cls(**values)


def _underscored(word: str) -> str:
    """`--unit-size=8` as `--unit_size=8`: keys may be written either way on the command line."""
    key, equals, value = word.partition("=")
    return key.replace("-", "_").replace("__", "--", 1) + equals + value if word.startswith("--") else word


def comma_list(value: str | Sequence[str]) -> list[str]:
    """The names in a YAML list or in a comma-separated string, without blanks: "en, de" -> ["en", "de"]."""
    names = value.split(",") if isinstance(value, str) else value
    return [name.strip() for name in names if name.strip()]


def named_list(value: str | Sequence[str], key: str) -> dict[str, str]:
    """{name: what it names} of "name=path,name=path"; InputError naming the key for an entry without a name."""
    named = {}
    for entry in comma_list(value):
        name, equals, path = entry.partition("=")
        if not equals or not name or not path:
            raise InputError(f"{key} {entry!r}: write name=path")
        named[name] = path
    return named


def config_hash(values: Mapping[str, Any]) -> str:
    """12 hex digits that change when any value changes; the order of the keys does not count. Values as in JSON."""
    text = json.dumps(values, sort_keys=True, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:12]
