"""Models behind an OpenAI-compatible server: a real one on loopback that serves the world's model, and its failures."""

import json
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pandas as pd
import pytest

from common.errors import InputError
from common.translation import Untranslated, make_translator
from tests.scripts import ROOT, call, load_script

pytest.importorskip("openai", reason="bash install.sh --dev installs it")
pytest.importorskip("fastapi", reason="bash install.sh --dev installs it")
WORLD = str(ROOT / "assets" / "world")
SENTENCES = ["dog", "", "violin", "horse", "bread", "hammer"]
script = load_script("Translation/translate.py")


class Server:
    """`transformers serve` with the world's model, on a free port of loopback."""

    def __init__(self):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        program = Path(sys.executable).parent / "transformers"
        keys = ["--host", "127.0.0.1", "--port", str(self.port), "--dtype", "float32", "--device", "cpu"]
        self.process = subprocess.Popen(
            [program, "serve", WORLD, *keys], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        self.url = f"http://127.0.0.1:{self.port}/v1"
        deadline = time.monotonic() + 240
        while True:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{self.port}/health")
                return
            except OSError:
                assert self.process.poll() is None and time.monotonic() < deadline, "the server does not start"
                time.sleep(0.2)

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()


@pytest.fixture(scope="module")
def server():
    running = Server()
    yield running
    running.kill()


class Proxy(BaseHTTPRequestHandler):
    """Passes requests on to `upstream`, but answers `status` to the first `refusals`; `on_request` is told of each."""

    upstream = ""
    status = 429
    refusals = 0
    seen = 0
    on_request = staticmethod(lambda count: None)

    def do_POST(self):
        cls = type(self)
        cls.seen += 1
        self.on_request(cls.seen)
        body = self.rfile.read(int(self.headers["Content-Length"]))
        cls.refusals -= 1
        if cls.refusals >= 0:
            return self.answer(cls.status, b'{"error": {"message": "slow down"}}')
        request = urllib.request.Request(cls.upstream + self.path.removeprefix("/v1"), body, dict(self.headers))
        try:
            with urllib.request.urlopen(request) as response:
                self.answer(200, response.read())
        except urllib.error.HTTPError as error:
            self.answer(error.code, error.read())
        except OSError:
            self.close_connection = True  # as a server that died

    def answer(self, status, body):
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Retry-After", "0")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def proxy(server, monkeypatch):
    handler = type("Handler", (Proxy,), {"upstream": server.url})
    listening = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=listening.serve_forever, daemon=True).start()
    monkeypatch.setenv("OPENAI_BASE_URL", f"http://127.0.0.1:{listening.server_port}/v1")
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    yield handler
    listening.shutdown()


def expected(texts=SENTENCES):
    return make_translator(WORLD, device="cpu").translate(texts, "en", "de")


def test_a_server_answers_as_the_model_does(proxy):
    translated = make_translator(f"endpoint:{WORLD}").translate(SENTENCES, "en", "de")
    assert translated == expected() and translated[0] == "Hund" and translated[1] == ""


def test_examples_are_part_of_the_prompt(proxy):
    bodies = []
    answer = proxy.do_POST

    def remember(self):
        body = self.rfile.peek(int(self.headers["Content-Length"]))
        bodies.append(json.loads(body[: int(self.headers["Content-Length"])]))
        answer(self)

    proxy.do_POST = remember
    make_translator(f"endpoint:{WORLD}", examples={("en", "de"): [("cat", "Katze")]}).translate(["dog"], "en", "de")
    assert bodies[0]["prompt"] == "English: cat\nGerman: Katze\n\nEnglish: dog\nGerman:"
    assert bodies[0]["temperature"] == 0.0 and bodies[0]["stop"] == "\n"


def test_429_is_tried_again(proxy):
    proxy.refusals = 4
    assert make_translator(f"endpoint:{WORLD}").translate(SENTENCES, "en", "de") == expected()
    assert proxy.seen == 4 + 5  # five sentences are not empty


def test_a_sentence_that_keeps_failing_is_recorded_and_the_others_are_kept(proxy, monkeypatch, tmp_path):
    monkeypatch.setattr("common.endpoint.RETRIES", 0)
    monkeypatch.setattr("common.endpoint.CONCURRENCY", 1)
    proxy.refusals = 1
    cached = make_translator(f"endpoint:{WORLD}", cache_file=str(tmp_path / "cache.sqlite"))
    with pytest.raises(Untranslated, match="row 0: .*slow down.*1 of 6 texts failed") as caught:
        cached.translate(SENTENCES, "en", "de")
    assert caught.value.done == [None, *expected()[1:]]
    before = proxy.seen
    assert cached.translate(SENTENCES, "en", "de") == expected() and proxy.seen == before + 1


def test_unknown_routes_keys_and_models_are_one_sentence(proxy, monkeypatch):
    monkeypatch.setattr("common.endpoint.RETRIES", 0)
    with pytest.raises(InputError, match=r"row 0: .*4\d\d"):
        make_translator("endpoint:/no-such-model").translate(["dog"], "en", "de")
    for proxy.status, said in ((401, "refuses the key in OPENAI_API_KEY"), (404, "has no model .* or no such route")):
        proxy.refusals = 1
        with pytest.raises(InputError, match=said):
            make_translator(f"endpoint:{WORLD}").translate(["dog"], "en", "de")
    monkeypatch.delenv("OPENAI_API_KEY")
    with pytest.raises(InputError, match="set OPENAI_API_KEY"):
        make_translator(f"endpoint:{WORLD}")


def test_a_server_that_dies_half_way(server, proxy, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr("common.endpoint.RETRIES", 1)
    monkeypatch.setattr("common.endpoint.CONCURRENCY", 2)
    mortal = Server()
    proxy.upstream = mortal.url
    proxy.on_request = staticmethod(lambda count: mortal.kill() if count == 4 else None)
    for code in ("en", "de"):
        (tmp_path / f"{code}.devtest").write_text("".join(f"{text}\n" for text in SENTENCES), encoding="utf-8")
    arguments = ["--translator", f"endpoint:{WORLD}", "--sentences", tmp_path, "--out", tmp_path / "out"]
    arguments += ["--directions", "en-de"]
    assert call(script, arguments, monkeypatch) == 2
    assert "the same command asks for them again" in capsys.readouterr().err
    records = pd.read_csv(tmp_path / "out" / "records-en-de.csv", keep_default_na=False)
    failed = records["error"].str.contains("cannot be reached")
    assert 0 < failed.sum() < 5 and not (tmp_path / "out" / "test-en-de").exists()
    assert records["hypothesis"][~failed].tolist() == [
        a for a, lost in zip(expected(), failed, strict=True) if not lost
    ]

    proxy.upstream = server.url
    before = proxy.seen
    assert call(script, arguments, monkeypatch) == 0
    assert (tmp_path / "out" / "test-en-de").read_text(encoding="utf-8").splitlines() == expected()
    assert proxy.seen - before == failed.sum()  # nothing is asked twice
