"""A Python that has imported the large packages already and forks for every call, so that a start costs little.

    python report/warm.py FOLDER < PIPE      writes FOLDER/python, and serves who calls it until the pipe is closed

FOLDER/python is called as Python is: `FOLDER/python FT/train.py ...`. What it runs is a process of its own with the
caller's words, environment, working directory, streams and signals; it ends with the caller, and the caller with its
exit code. Importing torch and transformers is most of what a short script takes. Python itself is started for calls
that are no script and no `-m`, for those whose environment differs in what packages read on import, until the server is
ready, and where there is none: with PyTorch for GPUs, and elsewhere than on Linux.
"""

import atexit
import gc
import importlib
import io
import marshal
import os
import runpy
import select
import shlex
import signal
import socket
import sys
import threading
import traceback
import weakref
from contextlib import suppress
from pathlib import Path
from typing import Any

from threadpoolctl import threadpool_limits

PACKAGES = (
    "transformers transformers.modeling_utils transformers.trainer transformers.models.llama.modeling_llama "
    "accelerate peft datasets pandas scipy.stats sklearn.linear_model statsmodels.stats.multitest jsonargparse "
    "matplotlib.figure matplotlib.backends.backend_agg sacrebleu yaml tqdm"
).split()
# Variables that decide what a package does when it is imported; a call must have those of the server.
PREFIXES = ("HF_", "TRANSFORMERS_", "TORCH", "OMP_", "MKL_", "CUDA_", "ACCELERATE_", "PYTHON", "HOME")
OTHERS = ("PYTHON", "TRANSFORMERS_VERBOSITY", "OMP_NUM_THREADS")  # the first is ours, the others are set anew
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

CALLER = """import marshal, os, signal, socket, sys

words, python, prefixes, others = sys.argv[1:], {python!r}, {prefixes!r}, {others!r}
read = {{key: value for key, value in os.environ.items() if key.startswith(prefixes) and key not in others}}
server = socket.socket(socket.AF_UNIX)
try:
    if not words or not (words[0] == "-m" or words[0].endswith(".py")) or read != {read!r}:
        raise OSError
    server.connect({address!r})
    signal.pthread_sigmask(signal.SIG_BLOCK, {signals!r})  # until they can be passed on
    ignored = [number for number in {signals!r} if signal.getsignal(number) == signal.SIG_IGN]
    message = marshal.dumps((words, os.getcwd(), dict(os.environ), ignored))
    socket.send_fds(server, [len(message).to_bytes(8, "little")], [0, 1, 2])
    server.sendall(message)
except OSError:
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signals!r})
    os.execv(python, [python, *words])

def answer():
    data = server.recv(8)
    if not data:
        os._exit(70)  # the server was killed
    return int.from_bytes(data, "little")

called = answer()
for number in set({signals!r}) - set(ignored):
    signal.signal(number, lambda number, frame: os.kill(called, number))
signal.pthread_sigmask(signal.SIG_UNBLOCK, {signals!r})
status = answer()
if os.WIFSIGNALED(status):
    signal.signal(os.WTERMSIG(status), signal.SIG_DFL) if os.WTERMSIG(status) != signal.SIGKILL else None
    os.kill(os.getpid(), os.WTERMSIG(status))
os._exit(os.WEXITSTATUS(status))
"""


def write_caller(folder: Path) -> str:
    """Write the executable `python` into `folder`; returns the address of the server that it asks."""
    address, caller, python = str(folder / "socket"), folder / "caller.py", folder / "python"
    values = {"python": sys.executable, "prefixes": PREFIXES, "others": OTHERS, "address": address}
    values["read"] = {k: v for k, v in os.environ.items() if k.startswith(PREFIXES) and k not in OTHERS}
    caller.write_text(CALLER.format(signals=tuple(map(int, SIGNALS)), **values), encoding="utf-8")
    # By a shell, since the first line of a script can name no program whose path has blanks.
    start = shlex.join([sys.executable, "-SEs", str(caller)])
    python.write_text(f'#!/bin/sh\nexec {start} "$@"\n', encoding="utf-8")
    python.chmod(0o755)
    return address


def serve(address: str) -> None:
    """Import the packages, then fork for every call, and say how each ended, until the standard input ends."""
    version = importlib.import_module("torch").version
    if version.cuda or version.hip:
        return  # a fork of what has looked for a GPU may not use it
    for name in PACKAGES:
        importlib.import_module(name)
    gc.collect()
    gc.freeze()  # what is there already need not be looked at, and so copied, in every process
    for end in list(weakref.finalize._registry):
        end.atexit = False  # those of torch take a third of a short call, and change nothing outside of it
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for what it runs
    server = socket.socket(socket.AF_UNIX)
    server.bind(address)
    server.listen(64)
    running: dict[int, tuple[int, socket.socket]] = {}  # by a descriptor of the process: its number, and its caller
    while True:
        callers = {caller: number for number, caller in running.values()}
        ready, _, _ = select.select([server, sys.stdin, *running, *callers], [], [])
        for ended in set(ready) & set(running):
            number, caller = running.pop(ended)
            os.close(ended)
            with suppress(OSError), caller:
                caller.sendall(os.waitpid(number, 0)[1].to_bytes(8, "little"))
        for caller in set(ready) & {caller for _, caller in running.values()}:
            os.kill(callers[caller], signal.SIGKILL)  # its caller is gone
        if sys.stdin in ready:
            return
        if server in ready:
            caller, _ = server.accept()
            try:
                size, streams, _, _ = socket.recv_fds(caller, 8, 3)
                with caller.makefile("rb") as file:
                    message = marshal.loads(file.read(int.from_bytes(size, "little")))
            except (OSError, EOFError):  # it was killed meanwhile
                caller.close()
                continue
            number = os.fork()
            if not number:
                for place, stream in enumerate(streams):
                    os.dup2(stream, place)
                for other in (server, caller, *callers):
                    other.close()
                for other in (*streams, *running):
                    os.close(other)
                become(*message)
            for stream in streams:
                os.close(stream)
            running[os.pidfd_open(number)] = number, caller
            with suppress(OSError):
                caller.sendall(number.to_bytes(8, "little"))


def become(words: list[str], folder: str, environment: dict[str, str], ignored: list[int]) -> None:
    """Run what is called as Python's own start would."""
    os.chdir(folder)
    threads = environment.get("OMP_NUM_THREADS")
    if threads != os.environ.get("OMP_NUM_THREADS"):
        sys.modules["torch"].set_num_threads(int(threads or len(os.sched_getaffinity(0))))
        threadpool_limits(int(threads or len(os.sched_getaffinity(0))))
    os.environ.clear()
    os.environ.update(environment)
    for number in SIGNALS:
        own = signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL
        signal.signal(number, signal.SIG_IGN if number in ignored else own)
    direct = bool(environment.get("PYTHONUNBUFFERED"))
    sys.stdin = io.TextIOWrapper(io.BufferedReader(io.FileIO(0, closefd=False)), "utf-8")
    for place, name, errors in ((1, "stdout", "strict"), (2, "stderr", "backslashreplace")):
        raw = io.FileIO(place, "w", closefd=False)
        raw = raw if direct else io.BufferedWriter(raw)
        lines = name == "stderr" or os.isatty(place)
        setattr(sys, name, io.TextIOWrapper(raw, "utf-8", errors, line_buffering=lines, write_through=direct))
    logging = sys.modules["transformers"].logging
    logging.set_verbosity(logging.log_levels.get(environment.get("TRANSFORMERS_VERBOSITY"), logging.WARNING))
    code: Any = 0
    try:
        if words[0] == "-m":
            sys.argv, sys.path[0] = words[1:], folder
            runpy.run_module(words[1], run_name="__main__", alter_sys=True)
        else:
            sys.argv, sys.path[0] = words, os.path.dirname(os.path.realpath(words[0]))
            runpy.run_path(words[0], run_name="__main__")
    except SystemExit as end:
        code = end.code or 0
    except BaseException:
        traceback.print_exc()
        code = 1
    if not isinstance(code, int):
        print(code, file=sys.stderr)
        code = 1
    threading._shutdown()
    atexit._run_exitfuncs()
    sys.stdout.flush()
    os._exit(code & 255)  # the end of Python itself would take every package apart


if __name__ == "__main__":
    written = write_caller(Path(sys.argv[1]))
    if hasattr(os, "pidfd_open"):
        serve(written)
