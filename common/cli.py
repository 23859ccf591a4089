"""How a script is called and how it ends: keys from YAML files and the command line; bad input is one sentence.

    task, run, model = parse(MmluConfig, EvaluationConfig, ModelConfig)   # --config run.yaml --model gpt2

Bash scripts call it as `python -m common.cli`:

    get KEY --config FILE [--key value]                      what a key is
    data KEY FILE                                            where a data set is
    fill FILE KEY=DATA_KEY ... -- --config FILE [--key ...]  the keys that a file such as data.yaml fills in
    name MODEL                                               what a model's results are filed under
"""

import errno
import hashlib
import json
import os
import re
import shlex
import signal
import sys
import traceback
import warnings
from argparse import ArgumentError
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import fields
from pathlib import Path
from typing import Any, get_args
from urllib.parse import quote

import yaml

from common.plan import Planned

DATA = Path(__file__).resolve().parent.parent / "data.yaml"


class InputError(Exception):
    """The user's input is wrong: the message is one sentence naming file, row or key and what to do."""


held = ExitStack()  # what a script holds until it ends, such as the lock of its folder


def run(main: Callable[[], None]) -> None:
    """Call a script's `main`, and end with one sentence and an exit code.

    0: done. 2: the user's to mend, InputError or OSError. 1: a fault of ours, with its traceback. 130, 143: stopped.
    """
    signal.signal(signal.SIGTERM, _terminated)
    os.register_at_fork(after_in_child=lambda: signal.signal(signal.SIGTERM, signal.SIG_DFL))
    warnings.filterwarnings("ignore", category=FutureWarning)  # of libraries to each other, whose versions are pinned
    try:
        with suppress(Planned), held:
            main()
    except (Exception, KeyboardInterrupt, BaseExceptionGroup) as error:
        if code := _stopped(error):
            warnings.simplefilter("ignore")  # of what was stopped in the middle
            _end(code, "stopped: the same command goes on from here")
        if isinstance(error, InputError | OSError):
            _end(2, f"error: {sentence_of(error) if isinstance(error, OSError) else error}")
        if type(error).__name__ == "OutOfMemoryError":
            _end(2, f"error: {str(error).splitlines()[0]} Smaller batches or texts, --device map or --dtype may help")
        _end(1, f"{traceback.format_exc()}error: a fault of this program; please report it with the lines above")


def _stopped(error: BaseException) -> int:
    """The exit code where a signal has stopped the script, whatever a library has made of that; 0 where none has."""
    if isinstance(error, KeyboardInterrupt):
        return error.args[0] if error.args else 128 + signal.SIGINT
    within = getattr(error, "exceptions", [error.__context__])  # those of a group
    return max(map(_stopped, filter(None, within)), default=0)


def _terminated(*_) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # once is enough; a second one would break off the clearing up
    raise KeyboardInterrupt(128 + signal.SIGTERM)


def _end(code: int, message: str) -> None:
    if "tqdm.std" in sys.modules:
        for bar in list(sys.modules["tqdm.std"].tqdm._instances):
            bar.close()  # which would write after the last line
    print(without_secrets(message), file=sys.stderr)
    sys.exit(code)


ADVICE = {
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT), "make room and run the same command again"),
    **dict.fromkeys((errno.EACCES, errno.EPERM), "change its permissions or name another place"),
    errno.EROFS: "name a folder that can be written to",
    errno.ENOENT: "see that its folder is there",
    errno.ENOTDIR: "a part of this path is no folder; name another place",
    errno.EISDIR: "name a file, not a folder",
    errno.EEXIST: "what is there is no folder; name another place",
    errno.ELOOP: "its symbolic links lead in circles; name another place",
    errno.ENAMETOOLONG: "name a shorter path",
}


def sentence_of(error: OSError) -> str:
    """What the system says of a file, and what to do."""
    where = f"{error.filename}: " if error.filename else ""
    reason = error.strerror or " ".join(str(error).split()) or type(error).__name__
    advice = ADVICE.get(error.errno)
    return where + reason + (f"; {advice}" if advice else "")


def without_secrets(text: str) -> str:
    """The text without the values of the environment's keys, tokens and passwords, which libraries put into errors."""
    for name, value in os.environ.items():
        if re.search("(KEY|TOKEN|SECRET|PASSWORD)$", name) and len(value) > 3:
            text = text.replace(value, "***").replace(quote(value, safe=""), "***")
    return re.sub(r"(\w://)[^/\s@]+@", r"\1***@", text)  # user:password@ of an address


def parse(*classes: type, argv: Sequence[str] | None = None) -> Any:
    """Instances of dataclasses from the keys of `--config FILE.yaml` and `--key value`, the later one winning.

    The keys of all classes lie side by side in one YAML file. Fields without a default are required; the help texts are
    the `Attributes:` of the class docstrings. A boolean key may stand alone (`--chat`). In every path `{model}` stands
    for the last part of the model's name. `argv` is `sys.argv[1:]` unless given. Returns one instance, or a tuple.
    Raises InputError naming an unknown key, a missing key or a value of a wrong type.
    """
    from jsonargparse import ActionConfigFile, ArgumentParser  # slow to import, and bash scripts do without it

    description = (classes[0].__doc__ or "").split("\n")[0]
    parser = ArgumentParser(description=description, exit_on_error=False, allow_abbrev=False)
    parser.add_argument("--config", action=ActionConfigFile, help="YAML file with any of the keys below")
    for cls in classes:
        parser.add_class_arguments(cls)
    words = list(sys.argv[1:] if argv is None else argv)
    if "--wait" in words:  # for every script: where another process writes to the folder, let it end
        os.environ["WAIT"] = "1"
        held.callback(os.environ.pop, "WAIT", None)
    for word, following in zip(words, [*words, ""][1:], strict=True):
        if word == "--config" or word.startswith("--config="):
            read_yaml(word.partition("=")[2] or following)  # which names a file that is no YAML
    flags = {field.name for cls in classes for field in fields(cls) if field.type in (bool, bool | None)}
    try:
        values = parser.parse_args(normalized([word for word in words if word != "--wait"], flags)).as_dict()
    except ArgumentError as error:
        sentence = " ".join(str(error).split())
        raise InputError(f"configuration of {classes[0].__name__}: {sentence} (--help lists the keys)") from error
    for field in (field for cls in classes for field in fields(cls)):
        if values[field.name] is None and type(None) not in get_args(field.type):
            raise InputError(f"{field.name} is null; it needs a value (--help says which)")
    if values.get("out") == "":
        raise InputError("out is empty; name a file or folder")
    if (values.get("seed") or 0) < 0:
        raise InputError(f"seed is {values['seed']}; it must be 0 or more")
    values = with_model_name(values)
    made = [cls(**{field.name: values[field.name] for field in fields(cls)}) for cls in classes]
    return made[0] if len(made) == 1 else tuple(made)


def normalized(argv: Sequence[str], flags: set[str]) -> list[str]:
    """Words of a command line: `--unit-size=8` as `--unit_size=8`, a boolean key that stands alone with its `true`."""
    words = []
    for word, following in zip(argv, [*argv, "--"][1:], strict=True):
        if word.startswith("--"):
            key, equals, value = word.partition("=")
            word = key.replace("-", "_").replace("__", "--", 1) + equals + value
            if word[2:] in flags and following.startswith("--"):
                word += "=true"
        words.append(word)
    return words


def model_name(model: str) -> str:
    """What the results of a model are filed under; what a server says is not what the model itself says."""
    server, colon, name = model.partition(":")
    served = colon and server in ("endpoint", "chat")
    return f"{server}-{Path(name).name}" if served else Path(model).name.removesuffix(".gguf")


def with_model_name(values: Mapping[str, Any]) -> dict[str, Any]:
    """The values with the model's name for every `{model}`."""
    first = next(iter(comma_list(values.get("models") or "")), "").partition("=")[2]  # of name=model,name=model
    name = model_name(str(values.get("model") or values.get("translator") or first))
    return {k: v.replace("{model}", name) if isinstance(v, str) else v for k, v in values.items()}


def comma_list(value: str | Sequence[str]) -> list[str]:
    """The names in a YAML list or in a comma-separated string, without blanks: "en, de" -> ["en", "de"]."""
    names = value.split(",") if isinstance(value, str) else value
    return [name.strip() for name in names if name.strip()]


def named_list(value: str | Sequence[str], key: str) -> dict[str, str]:
    """{name: what it names} of "name=path,name=path"; InputError, naming the key, for an empty list or another form."""
    named = {}
    for entry in comma_list(value) or [""]:
        name, equals, path = entry.partition("=")
        if not equals or not name or not path:
            raise InputError(f"{key} {entry!r}: write name=path")
        if name in named:
            raise InputError(f"{key} has the name {name!r} twice; give each path a name of its own")
        named[name] = path
    return named


def config_hash(values: Mapping[str, Any]) -> str:
    """12 hex digits that change when any value changes; the order of the keys does not count. Values as in JSON."""
    text = json.dumps(values, sort_keys=True, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def require_positive(config: Any, *keys: str) -> None:
    """InputError for a key of a configuration that is a number below 1."""
    for key in keys:
        if (value := getattr(config, key)) is not None and value < 1:
            raise InputError(f"{key} is {value}; it must be 1 or more, or null")


def require_given(config: Any, *keys: str) -> None:
    """InputError for a key of a configuration that is null."""
    for key in keys:
        if getattr(config, key) is None:
            raise InputError(
                f"{key} is missing: name it in the YAML file or with --{key} (bash scripts take it from data.yaml)"
            )


def read_yaml(path: str | Path) -> dict[str, Any]:
    """The keys of a YAML file; InputError where it cannot be read or is no list of keys."""
    try:
        values = yaml.safe_load(Path(path).read_text(encoding="utf-8")) or {}
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise InputError(f"{path}: cannot be read as YAML in UTF-8: {' '.join(str(error).split())}") from error
    if not isinstance(values, dict):
        raise InputError(f"{path}: not a YAML file of `key: value` lines")
    return values


def values_of(argv: Sequence[str]) -> dict[str, Any]:
    """What the words of a command line say: the keys of its YAML files and its own, the later one winning."""
    values: dict[str, Any] = {}
    words = normalized(argv, set())
    for word, following in zip(words, [*words, "--"][1:], strict=True):
        name, equals, value = word.partition("=")
        if name.startswith("--"):
            if not equals:
                value = "true" if following.startswith("--") else following
            values |= read_yaml(value) if name == "--config" else {name[2:]: None if value == "null" else value}
    return with_model_name(values)


def get(key: str, argv: Sequence[str]) -> str:
    """What a script called with `argv` takes for a key, as text; "" for null, and where only a default says it."""
    return _text(values_of(argv).get(key))


def data_set(key: str, path: str | Path) -> str:
    """A data set's place in a file such as data.yaml, where paths are relative to the file; "" for null or no key."""
    values, known = read_yaml(path), read_yaml(DATA)
    if unknown := [name for name in values if name not in known]:
        raise InputError(f"{path}: unknown key {unknown[0]}; {DATA.name} has {', '.join(known)}")
    text = _text(values.get(key))
    local = Path(path).resolve().parent / text
    return str(local) if text and local.exists() else text


def fill(path: str | Path, wanted: Sequence[str], argv: Sequence[str]) -> list[str]:
    """`--key value` of data sets for the keys that a command line leaves null.

    `wanted`: `key=data_key`, or `key=data_key!` where the data set is needed; InputError where that is null too.
    """
    words = []
    for entry in wanted:
        key, _, name = entry.rstrip("!").partition("=")
        if get(key, argv):
            continue
        if place := data_set(name, path):
            words += [f"--{key}", place]
        elif entry.endswith("!"):
            raise InputError(f"{name} is null in {path}; name the data set there")
    return words


def _text(value: Any) -> str:
    return "" if value is None else ",".join(map(str, value)) if isinstance(value, list) else str(value)


def main() -> None:
    command, *words = sys.argv[1:]
    if command == "get":
        print(*(get(key, words[1:]) for key in words[0].split(",")), sep="\n")
    elif command == "name":
        print(model_name(*words))
    elif command == "data":
        print(data_set(*words))
    else:
        end = words.index("--")
        print(shlex.join(fill(words[0], words[1:end], words[end + 1 :])))


if __name__ == "__main__":
    run(main)
