"""What a server may do wrong, each against a real one on loopback: never a wrong answer, a traceback or a key."""

import json
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pandas as pd
import pytest

from common.cli import InputError
from common.lm.server import Reply, Server
from tests.mmlu import write_variants
from tests.scripts import ROOT, call, load_script

pytest.importorskip("openai", reason="bash install.sh --dev installs it")
translate = load_script("Translation/translate.py")
evaluate = load_script("MMLU/evaluate_mmlu.py")
KEY = "sk-fake-0123456789abcdef"
NAN, INFINITY = float("nan"), float("inf")


def completion(text="Hund", logprobs=None, usage=None, **more):
    """The body of a completion on either route."""
    tops = [{"token": token, "logprob": value} for token, value in (logprobs or {}).items()]
    both = {"top_logprobs": [logprobs], "content": [{"top_logprobs": tops}]} if logprobs else None
    choice = {"text": text, "message": {"content": text}, "logprobs": both}
    return json.dumps({"model": "tiny", "choices": [choice], "usage": usage} | more).encode()


class Faulty(BaseHTTPRequestHandler):
    """Answers each request with the next of `answers`, the last one for ever: a body, or a function of the handler."""

    answers: list
    seen = 0

    def do_POST(self):
        cls = type(self)
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        answer = cls.answers[min(cls.seen, len(cls.answers) - 1)]
        cls.seen += 1
        if callable(answer):
            answer(self)
        else:
            self.send(answer)

    do_GET = do_POST

    def send(self, body, status=200, kind="application/json", length=None):
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def faulty(monkeypatch):
    handler = type("Handler", (Faulty,), {"answers": [completion()]})
    listening = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    listening.handle_error = lambda *_: None  # a client that has gone; else a traceback of this server's
    listening.daemon_threads = True
    threading.Thread(target=listening.serve_forever, args=[0.01], daemon=True).start()
    handler.address = f"127.0.0.1:{listening.server_port}"
    monkeypatch.setenv("OPENAI_BASE_URL", f"http://{handler.address}/v1")
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setattr("common.lm.server.RETRIES", 0)
    monkeypatch.setattr("common.lm.server.PAUSE", 0.0)
    yield handler
    listening.shutdown()


@pytest.fixture(scope="module")
def variants(tmp_path_factory):
    return write_variants(tmp_path_factory.mktemp("variants"), ["law"], questions=3)


def html(handler):
    handler.send(b"<html><body>Bad gateway, key " + KEY.encode() + b"</body></html>", kind="text/html")


def cut_short(handler):
    handler.send(completion()[:40], length=400)
    handler.close_connection = True


def dropped(handler):
    handler.close_connection = True
    handler.connection.close()


def slow(handler):
    time.sleep(3)


def endless(handler):
    handler.send(b"", length=10**9)
    try:
        for _ in range(300):
            handler.wfile.write(b" ")
            handler.wfile.flush()
            time.sleep(0.02)
    except OSError:
        pass  # the client has gone


NO = b'{"error": {"message": "no, ' + KEY.encode() + b'"}}'


def status(code, body=NO):
    return lambda handler: handler.send(body, code)


USELESS = "gives a reply that cannot be used"
FAULTS = [  # answer, what is said, requests
    (completion(text=None), "its text is no text", 3),
    (completion(text=7), "its text is no text", 3),
    (completion(logprobs={"A": NAN}), "a log-probability is no number up to 0", 3),
    (completion(logprobs={"A": "-0.1"}), "a log-probability is no number up to 0", 3),
    (completion(logprobs={"A": None}), "a log-probability is no number up to 0", 3),
    (completion(logprobs={"A": 0.9}), "a log-probability is no number up to 0", 3),
    (completion(logprobs={"A": -INFINITY}), "a log-probability is no number up to 0", 3),
    (completion(usage={"prompt_tokens": "7"}), "its tokens are not counted by whole numbers", 3),
    (completion(usage={"prompt_tokens": -7}), "its tokens are not counted by whole numbers", 3),
    (completion(choices=[]), "it is not of the form of a completion", 3),
    (completion(choices=None), "it is not of the form of a completion", 3),
    (completion(choices=[None]), "it is not of the form of a completion", 3),
    (completion(choices=[{}]), "it is not of the form of a completion", 3),
    (b'{"error": {"message": "out of memory"}}', "out of memory", 3),
    (b"[]", "it is not of the form of a completion", 3),
    (b'"Hund"', "it is not of the form of a completion", 3),
    (b"", "Expecting value", 3),
    (b"Hund", "Expecting value", 3),
    (completion()[:40], USELESS, 3),
    (completion().replace(b"Hund", b"H\xfcnd"), "codec can't decode", 3),
    (b"[" * 100_000, USELESS, 3),
    (html, "<html><body>Bad gateway, key ***", 3),
    (completion(text=f"Hund {KEY}"), "it holds the key", 3),
    (completion(logprobs={KEY: -0.1}), "it holds the key", 3),
    (completion(model="other"), "answers as model 'other', not 'tiny'; name the one it runs", 1),
    (cut_short, "cannot be reached", 1),
    (dropped, "cannot be reached", 1),
    (slow, "cannot be reached: Request timed out", 1),
    (endless, "cannot be reached: its answer has no end", 1),
    (status(500), "500 - no, ***", 1),
    (status(429), "429 - no, ***", 1),
    (status(422), "422 - no, ***", 1),
    (status(401), "refuses the key in OPENAI_API_KEY", 1),
    (status(403), "refuses the key in OPENAI_API_KEY", 1),
    (status(404), "has no model 'tiny' or no such route", 1),
    (status(502, b"<html>"), "502", 1),
    (status(307, b""), "307", 1),
]


def without_key(folder):
    return not any(KEY.encode() in path.read_bytes() for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("road", ["endpoint", "chat"])
@pytest.mark.parametrize(("answer", "said", "requests"), FAULTS)
def test_no_fault_is_an_answer_and_a_rerun_mends_it(faulty, tmp_path, monkeypatch, capfd, road, answer, said, requests):
    monkeypatch.setattr("common.lm.server.TIMEOUT", {slow: 1, endless: 1}.get(answer, 60))
    (tmp_path / "en.devtest").write_text("dog\n", encoding="utf-8")
    (tmp_path / "de.devtest").write_text("Hund\n", encoding="utf-8")
    out = tmp_path / "out"
    arguments = ["--translator", f"{road}:tiny", "--sentences", tmp_path, "--out", out, "--directions", "en-de"]
    faulty.answers = [answer]
    assert call(translate, arguments, monkeypatch) == 2
    end = capfd.readouterr().err.strip().splitlines()[-1]
    assert said in end and KEY not in end and "Traceback" not in end and faulty.seen == requests
    assert not (out / "test-en-de").exists() and without_key(tmp_path)
    assert "***" not in said or "***" in pd.read_csv(out / "records-en-de.csv")["error"][0]
    faulty.answers = [completion()]
    monkeypatch.setattr("common.lm.server.TIMEOUT", 60)
    assert call(translate, arguments, monkeypatch) == 0
    assert (out / "test-en-de").read_text(encoding="utf-8") == "Hund\n"


@pytest.mark.parametrize(("answer", "said", "requests"), FAULTS[:22])
def test_a_fault_is_tried_again_and_not_kept(faulty, tmp_path, answer, said, requests):
    faulty.answers = [answer, completion(logprobs={"A": -0.25, "B": -2})]
    server = Server("tiny", replies=tmp_path / "replies.sqlite")
    replies = server.ask(["Q", "Q"], 1, logprobs=5)
    assert replies == [Reply("Hund", {"A": -0.25, "B": -2})] * 2 and faulty.seen == server.used["requests"] == 2
    assert server.ask(["Q"], 1, logprobs=5) == replies[:1] and faulty.seen == 2


@pytest.mark.parametrize(
    "kept",
    ["{", "[]", '{"text": null}', '{"text": "x", "first": {"A": NaN}}', '{"text": "x", "first": [1]}', '{"said": "x"}'],
)
def test_a_kept_reply_that_cannot_be_used_is_asked_for_again(faulty, tmp_path, kept):
    server = Server("tiny", replies=tmp_path / "replies.sqlite")
    server.ask(["Q"], 1)
    with sqlite3.connect(server.replies) as database:
        database.execute("UPDATE replies SET reply=?", (kept,))
    assert server.ask(["Q"], 1) == [Reply("Hund")] and faulty.seen == 2


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("OPENAI_BASE_URL", "localhost:8000/v1", "OPENAI_BASE_URL is no address"),
        ("OPENAI_BASE_URL", "http://", "OPENAI_BASE_URL is no address"),
        ("OPENAI_BASE_URL", "http://[bad/v1", "OPENAI_BASE_URL is no address"),
        ("OPENAI_BASE_URL", "http://localhost:99999/v1", "OPENAI_BASE_URL is no address"),
        ("OPENAI_BASE_URL", "http://127.0.0.1:9/v1\n", "OPENAI_BASE_URL is no address"),
        ("OPENAI_BASE_URL", "http://127.0.0.1:9/v1?key=secret-pass", "http://127.0.0.1:9/v1/ cannot be reached"),
        ("OPENAI_BASE_URL", "http://user:secret-pass@127.0.0.1:9/v1", r"http://\*\*\*@127.0.0.1:9/v1/ cannot be reach"),
        ("OPENAI_API_KEY", KEY + "\n", "OPENAI_API_KEY has a character"),
        ("OPENAI_API_KEY", "schlüssel", "OPENAI_API_KEY has a character"),
    ],
)
def test_address_and_key(faulty, monkeypatch, variable, value, said):
    monkeypatch.setenv(variable, value)
    with pytest.raises(InputError, match=said) as caught:
        failure = Server("tiny").ask(["Q"], 1)[0]
        raise InputError(failure.reason)
    assert "secret-pass" not in str(caught.value) and KEY not in str(caught.value)


@pytest.mark.parametrize(
    ("asked", "said", "same"),
    [
        ("gpt-4o", "gpt-4o-2024-08-06", True),
        ("meta-llama/Meta-Llama-3-8B", "meta-llama-3-8b", True),
        ("/models/world/", "world@main", True),
        ("tiny", None, True),
        ("tiny", "", True),
        ("gpt-4o", "gpt-3.5-turbo", False),
        ("Meta-Llama-3-8B", "Mistral-7B", False),
        ("openai/gpt-oss-120b:fireworks-ai", "accounts/fireworks/models/gpt-oss-120b", True),
        ("llama3:8b", "llama3:70b", False),
    ],
)
def test_names_of_a_model(faulty, asked, said, same):
    faulty.answers = [completion(model=said)]
    server = Server(asked)
    if same:
        assert server.ask(["Q"], 1) == [Reply("Hund")]
    else:
        with pytest.raises(InputError, match="answers as model"):
            server.ask(["Q"], 1)


def test_tokens_that_a_server_writes_alike(faulty):
    """vLLM writes "▁A" and "A" of SentencePiece both as "A": the likelier one counts."""
    tops = [{"token": "A", "logprob": -0.25}, {"token": "B", "logprob": -2.0}, {"token": "A", "logprob": -9.0}]
    choice = {"message": {"content": "A"}, "logprobs": {"content": [{"top_logprobs": tops}]}}
    faulty.answers = [completion(choices=[choice])]
    assert Server("tiny", chat=True).ask(["Q"], 1, logprobs=5)[0].first == {"A": -0.25, "B": -2.0}
    lost = {"tokens": ["A"], "token_logprobs": [-0.25], "top_logprobs": [{"A": -9.0, "B": -2.0}]}
    faulty.answers = [completion(choices=[{"text": "A", "logprobs": lost}])]
    assert Server("tiny").ask(["Q"], 1, logprobs=5)[0].first == {"A": -0.25, "B": -2.0}


def test_marks_of_vocabularies_and_a_model_that_thinks(faulty, variants, tmp_path, monkeypatch, capsys):
    keys = ["--model", "endpoint:tiny", "--data", variants, "--settings", "en", "--out"]
    faulty.answers = [completion("B", {"▁B": -0.5, "ĠA": -1, "A": -3})]
    assert call(evaluate, [*keys, tmp_path / "marks"], monkeypatch) == 0
    records = pd.read_csv(tmp_path / "marks" / "en.csv")
    assert set(records["prediction"]) == {"B"} and set(records["logprob_A"]) == {-1.0}
    assert "does the model think" not in capsys.readouterr().err
    faulty.answers = [completion("<think>", {"<think>": -0.001, "C": -20})]
    assert call(evaluate, [*keys, tmp_path / "thinks"], monkeypatch) == 0
    assert "most answers begin with no label but as '<think>'" in capsys.readouterr().err


@pytest.mark.parametrize("road", ["endpoint", "chat"])
@pytest.mark.parametrize(
    "answer", [completion(text=None), completion(text=KEY), html, status(422), status(401), cut_short, dropped]
)
def test_an_evaluation_keeps_no_key_and_no_fault(faulty, variants, tmp_path, monkeypatch, capsys, road, answer):
    faulty.answers = [completion("A", {"A": -0.5, "B": -1}), answer]
    keys = ["--model", f"{road}:tiny", "--data", variants, "--settings", "en", "--out", tmp_path / "run"]
    assert call(evaluate, keys, monkeypatch) == 2
    error = capsys.readouterr().err
    assert KEY not in error and "Traceback" not in error and without_key(tmp_path)
    assert not (tmp_path / "run" / "en.csv").exists()
    faulty.answers = [completion("A", {"A": -0.5, "B": -1})]
    assert call(evaluate, keys, monkeypatch) == 0 and without_key(tmp_path)
    records = pd.read_csv(tmp_path / "run" / "en.csv")
    assert set(records["prediction"]) == {"A"} and records["logprob_C"].isna().all()


@pytest.mark.parametrize("answers", [[completion(), slow], [completion()]])
def test_stopped_while_the_server_thinks_or_answers(faulty, tmp_path, answers):
    """SIGTERM ends in one line, at once, wherever it hits the client."""
    faulty.answers, lines = answers, "".join(f"dog {number}\n" for number in range(2000))
    for code in ("en", "de"):
        (tmp_path / f"{code}.devtest").write_text(lines, encoding="utf-8")
    command = [sys.executable, str(ROOT / "Translation/translate.py"), "--translator", "endpoint:tiny"]
    command += ["--sentences", str(tmp_path), "--out", str(tmp_path / "out")]
    process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 300
    while faulty.seen < 10:
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    error = process.communicate(timeout=60)[1]
    assert process.returncode == 143 and "Traceback" not in error and "Task" not in error
    assert error.strip().splitlines()[-1] == "stopped: the same command goes on from here"


def test_a_free_port_is_no_server(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setattr("common.lm.server.RETRIES", 0)
    with socket.socket() as silent:  # held, so that no other test takes it
        silent.bind(("127.0.0.1", 0))
        monkeypatch.setenv("OPENAI_BASE_URL", f"http://127.0.0.1:{silent.getsockname()[1]}/v1")
        failures = Server("tiny").ask(["a", "b"], 1)
    assert all("cannot be reached" in failure.reason for failure in failures)


@pytest.mark.parametrize("name", ["endpoint:", "chat:"])
def test_a_model_without_a_name(faulty, tmp_path, monkeypatch, capsys, name):
    arguments = ["--translator", name, "--sentences", tmp_path, "--out", tmp_path / "out", "--directions", "en-de"]
    for code in ("en", "de"):
        (tmp_path / f"{code}.devtest").write_text("dog\n")
    assert call(translate, arguments, monkeypatch) == 2 and faulty.seen == 0
    assert "need a model's name behind the colon" in capsys.readouterr().err
