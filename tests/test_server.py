"""Models behind an OpenAI-compatible server: a real one that serves the synthetic world's model, and its failures."""

import json
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pandas as pd
import pytest

from common.cli import InputError
from common.translation.base import Untranslated
from common.translation.factory import make_translator
from tests.loopback import serving
from tests.mmlu import LOGPROBS
from tests.scripts import PYTHON, ROOT, call, load_script

pytest.importorskip("openai", reason="bash install.sh --dev installs it")
pytest.importorskip("fastapi", reason="bash install.sh --dev installs it")
WORLD = str(ROOT / "assets" / "world")
SENTENCES = ["dog", "", "violin", "horse", "bread", "hammer"]
script = load_script("Translation/translate.py")
mitigate = load_script("MMLU/mitigate.py")


class Server:
    """`transformers serve` with the synthetic world's model, on a free port of loopback."""

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
    answered: list  # requests that got an answer
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
            cls.answered.append(body)
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
    handler = type("Handler", (Proxy,), {"upstream": server.url, "answered": []})
    with serving(handler, monkeypatch):
        yield handler


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
    monkeypatch.setattr("common.lm.server.RETRIES", 0)
    monkeypatch.setattr("common.lm.server.CONCURRENCY", 1)
    proxy.refusals = 1
    cached = make_translator(f"endpoint:{WORLD}", cache_file=str(tmp_path / "cache.sqlite"))
    with pytest.raises(Untranslated, match="row 0: .*slow down.*1 of 6 texts failed") as caught:
        cached.translate(SENTENCES, "en", "de")
    assert caught.value.done == [None, *expected()[1:]]
    before = proxy.seen
    assert cached.translate(SENTENCES, "en", "de") == expected() and proxy.seen == before + 1


def test_unknown_routes_keys_and_models_are_one_sentence(proxy, monkeypatch):
    monkeypatch.setattr("common.lm.server.RETRIES", 0)
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
    monkeypatch.setattr("common.lm.server.RETRIES", 1)
    monkeypatch.setattr("common.lm.server.CONCURRENCY", 2)
    mortal = Server()
    proxy.upstream = mortal.url
    proxy.on_request = staticmethod(lambda count: mortal.kill() if count == 4 else None)
    for code in ("en", "de"):
        (tmp_path / f"{code}.devtest").write_text("".join(f"{text}\n" for text in SENTENCES), encoding="utf-8")
    arguments = ["--translator", f"endpoint:{WORLD}", "--sentences", tmp_path, "--out", tmp_path / "out"]
    arguments += ["--directions", "en-de"]
    assert call(script, arguments, monkeypatch) == 2
    assert "rerun the same command to try them again" in capsys.readouterr().err
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


@pytest.fixture(scope="module")
def questions(tmp_path_factory):
    """Variants of the synthetic world's questions, English alone."""
    folder = tmp_path_factory.mktemp("questions")
    for arguments in (
        ["-m", "world.build", "--out", folder / "world"],
        ["MMLU/build_variants.py", "--source", "mmlu", "--data", folder / "world/mmlu/en", "--out", folder / "variants"]
        + ["--translations", folder / "world/mmlu", "--languages", "en,de,fr,es,it"],
    ):
        subprocess.run([PYTHON, *map(str, arguments)], cwd=ROOT, check=True, capture_output=True)
    return folder / "variants"


@pytest.fixture
def ask(questions, tmp_path, monkeypatch):
    """Evaluate 208 of the synthetic world's questions with a model; returns the exit code and the run folder."""

    def run(model, *more, out="run"):
        keys = ["--model", model, "--data", questions, "--settings", "mixup", "--limit", "13", "--device", "cpu"]
        return call(
            mitigate, [*keys, "--dtype", "float32", "--out", tmp_path / out, *more], monkeypatch
        ), tmp_path / out

    return run


def predictions(out):
    return pd.read_csv(out / "mixup.csv", keep_default_na=False).set_index("id")["prediction"]


def test_a_servers_answers_are_the_local_scorers(proxy, ask):
    local = predictions(ask(WORLD, out="local")[1])
    code, out = ask(f"endpoint:{WORLD}")
    records = pd.read_csv(out / "mixup.csv", keep_default_na=False).set_index("id")
    assert code == 0 and len(local) == 208 and proxy.seen <= 208
    # This server gives no log-probabilities: the label is the token that it writes, and all of them are labels here.
    assert records["extracted"].all() and (records["prediction"] == local).all()
    before = proxy.seen
    assert ask(f"endpoint:{WORLD}")[0] == 0 and proxy.seen == before


def test_a_server_killed_and_started_again_is_asked_nothing_twice(server, proxy, ask, monkeypatch, capsys):
    monkeypatch.setattr("common.lm.server.RETRIES", 0)
    monkeypatch.setattr("common.lm.server.CONCURRENCY", 2)
    mortal = Server()
    proxy.upstream = mortal.url
    proxy.on_request = staticmethod(lambda count: mortal.kill() if count == 60 else None)
    code, out = ask(f"endpoint:{WORLD}")
    assert code == 2 and "rerun the same command for the rest" in capsys.readouterr().err
    assert not (out / "mixup.csv").exists() and 60 <= proxy.seen <= 62
    proxy.upstream = server.url
    assert ask(f"endpoint:{WORLD}")[0] == 0
    assert len(proxy.answered) == len(set(proxy.answered)) == 208
    assert (predictions(out) == predictions(ask(WORLD, out="local")[1])).all()


def test_a_budget_is_kept(proxy, ask, capsys):
    for limit, requests in (("10", 10), ("15", 25)):
        assert ask(f"endpoint:{WORLD}", "--max_requests", limit)[0] == 2
        assert f"the budget of {limit} requests is spent" in capsys.readouterr().err and proxy.seen == requests
    assert ask(f"endpoint:{WORLD}", "--max_server_tokens", "100")[0] == 2
    assert "the budget of 100 tokens is spent" in capsys.readouterr().err and proxy.seen <= 25 + 16


def test_a_server_writes_before_it_answers(proxy, ask, tmp_path):
    code, out = ask(f"endpoint:{WORLD}", "--write", "xlt", "--max_new_tokens", "12", "--limit", "1")
    local = ask(WORLD, "--write", "xlt", "--max_new_tokens", "12", "--limit", "1", out="local")[1]
    texts = [pd.read_csv(folder / "mixup.csv", keep_default_na=False)["said"].tolist() for folder in (out, local)]
    assert code == 0 and texts[0] == texts[1] and len(texts[0]) == 16


MOST = 5


@pytest.fixture(scope="module")
def logprob_server():
    """An OpenAI-compatible server that gives five log-probabilities: the synthetic world's model behind FastAPI."""
    import torch
    import uvicorn
    from fastapi import FastAPI, HTTPException

    from common.lm.loading import load

    model, tokenizer = load(WORLD, device="cpu", dtype="float32")
    app = FastAPI()

    def likeliest(prompt, count):
        if count > MOST:
            raise HTTPException(400, "at most 5 log-probabilities")
        ids = torch.tensor([tokenizer(prompt).input_ids])
        with torch.no_grad():
            values, tokens = model(ids).logits[0, -1].log_softmax(-1).topk(count)
        return [
            (tokenizer.decode([token]), value) for token, value in zip(tokens.tolist(), values.tolist(), strict=True)
        ]

    usage = {"prompt_tokens": 7, "completion_tokens": 1, "total_tokens": 8}
    base = {"id": "1", "created": 0, "model": WORLD, "usage": usage}

    @app.post("/v1/completions")
    def completions(body: dict):
        top = likeliest(body["prompt"], body["logprobs"])
        logprobs = {
            "top_logprobs": [dict(top)],
            "tokens": [top[0][0]],
            "token_logprobs": [top[0][1]],
            "text_offset": [0],
        }
        choice = {"index": 0, "text": top[0][0], "finish_reason": "length", "logprobs": logprobs}
        return base | {"object": "text_completion", "choices": [choice]}

    @app.post("/v1/chat/completions")
    def chat(body: dict):
        top = likeliest(body["messages"][0]["content"], body["top_logprobs"])
        tokens = [{"token": token, "logprob": value, "bytes": None} for token, value in top]
        content = [tokens[0] | {"top_logprobs": tokens}]
        message = {"role": "assistant", "content": top[0][0]}
        choice = {"index": 0, "message": message, "finish_reason": "length", "logprobs": {"content": content}}
        return base | {"object": "chat.completion", "choices": [choice]}

    own = socket.socket()
    own.bind(("127.0.0.1", 0))
    port = own.getsockname()[1]
    running = uvicorn.Server(uvicorn.Config(app, log_level="error"))
    thread = threading.Thread(target=running.run, args=[[own]], daemon=True)
    thread.start()
    deadline = time.monotonic() + 30
    while not running.started:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    yield f"http://127.0.0.1:{port}/v1"
    running.should_exit = True
    thread.join()


@pytest.mark.parametrize("road", ["endpoint", "chat"])
def test_log_probabilities_of_a_server_are_the_local_scorers(logprob_server, ask, monkeypatch, road):
    monkeypatch.setenv("OPENAI_BASE_URL", logprob_server)
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    code, out = ask(f"{road}:{WORLD}", "--limit", "3")
    ours, local = (pd.read_csv(folder / "mixup.csv") for folder in (out, ask(WORLD, "--limit", "3", out="local")[1]))
    assert code == 0 and (ours["prediction"] == local["prediction"]).all()
    named = ours[LOGPROBS].notna()
    assert named.to_numpy().mean() > 0.5  # a label that is not among the likeliest five has none
    assert (ours[LOGPROBS] - local[LOGPROBS]).abs()[named].max(axis=None) < 1e-3
    session = json.loads((out / "run.json").read_text())["sessions"][0]
    assert session["computed_tokens"] == 8 * session["prompt_tokens"] // 7 and session["device"] == ["server"]


def test_what_a_server_cannot_do_is_said(ask, capsys):
    for keys in (["--answer_format", "text"], ["--answer_token", "bare"], ["--chat", "true"]):
        assert ask(f"endpoint:{WORLD}", *keys)[0] == 2 and "a server is asked for the label" in capsys.readouterr().err
