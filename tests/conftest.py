"""Fixtures: the project's root, tiny models and tokenizers on disk, and real data where a machine has it."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"  # before transformers is imported; scripts started by tests inherit it

import hypothesis  # noqa: E402
import pytest  # noqa: E402
import torch  # noqa: E402
import transformers  # noqa: E402

from tests.tiny import byte_level_tokenizer, tiny_llama  # noqa: E402

ROOT = Path(__file__).resolve().parent.parent

transformers.logging.set_verbosity_error()
hypothesis.settings.register_profile("here", deadline=None)  # of time, which a busy machine may take
hypothesis.settings.load_profile("here")
signal.signal(signal.SIGINT, signal.default_int_handler)  # which a shell lets background jobs, and theirs, ignore


def pytest_configure(config):
    """One warm Python for all workers, which inherit its name; until it is ready theirs is Python itself."""
    if "WARM_PYTHON" not in os.environ:
        config.warm_folder = tempfile.TemporaryDirectory()
        os.environ["WARM_PYTHON"] = str(Path(config.warm_folder.name, "python"))
        command = [sys.executable, ROOT / "report" / "warm.py", config.warm_folder.name]
        config.warm_python = subprocess.Popen(command, stdin=subprocess.PIPE)
        while not Path(os.environ["WARM_PYTHON"]).exists():
            assert config.warm_python.poll() is None
            time.sleep(0.01)


def pytest_unconfigure(config):
    if hasattr(config, "warm_python"):
        config.warm_python.stdin.close()
        config.warm_python.wait()
        config.warm_folder.cleanup()
        del os.environ["WARM_PYTHON"]


@pytest.fixture
def root() -> Path:
    """The folder of this repository."""
    return ROOT


@pytest.fixture(autouse=True)
def nobody_waits(monkeypatch):
    """A script that is called with --wait leaves no other test waiting."""
    monkeypatch.setenv("WAIT", "0")


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder of real data sets: $CROSSLINGUAL_DATA, or `shared/data` beside the repository; skips where neither is."""
    folder = Path(os.environ.get("CROSSLINGUAL_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip("no real data: set CROSSLINGUAL_DATA to a folder with belebele/, mmlu/, ... to run this test")
    return folder


@pytest.fixture(scope="session")
def tiny_checkpoint(tmp_path_factory) -> Path:
    """A random two-layer Llama with a byte-level BPE tokenizer, saved the way a user's model is."""
    folder = tmp_path_factory.mktemp("tiny_llama")
    tokenizer = byte_level_tokenizer()
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    tiny_llama(len(tokenizer)).save_pretrained(folder)
    return folder
