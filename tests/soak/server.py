"""Ten thousand requests to a server on loopback, a fifth of which it fails at first: memory stays flat.

    python tests/soak/server.py

Prints requests and the resident memory of the client every thousand, and ends with exit code 1 if it grows by more than
8 MiB after the first two thousand. It takes about a minute, and asks nothing outside this machine.
"""

import json
import os
import subprocess
import sys
import tempfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from common.lm import server

REQUESTS, AT_ONCE, SETTLED, ALLOWED = 10_000, 100, 2_000, 8 << 20
FAULTS = (b"<html>", b'{"choices": []}', b'{"model": "tiny", "choices": [{"text": null}]}')
REPLY = json.dumps(
    {
        "model": "tiny",
        "choices": [{"text": "A", "logprobs": {"top_logprobs": [{f"{letter}": -1.0 for letter in "ABCDE"}]}}],
        "usage": {"prompt_tokens": 100, "completion_tokens": 1},
    }
).encode()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"  # keeps connections open, as real servers do
    failed: set[int] = set()

    def do_POST(self):
        prompt = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["prompt"]
        number, body = int(prompt.split()[1]), REPLY
        if number % 5 == 0 and number not in self.failed:
            self.failed.add(number)
            body = FAULTS[number % 3]
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def serve() -> None:
    """Serve until the process is ended, and print the port."""
    listening = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    print(listening.server_port, flush=True)
    listening.serve_forever()


def resident() -> int:
    """Bytes of memory that this process holds now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def main() -> int:
    other = subprocess.Popen([sys.executable, __file__, "--serve"], stdout=subprocess.PIPE, text=True)
    try:
        os.environ["OPENAI_BASE_URL"] = f"http://127.0.0.1:{other.stdout.readline().strip()}/v1"
        os.environ["OPENAI_API_KEY"] = "none"
        server.PAUSE, settled = 0.0, 0
        with tempfile.TemporaryDirectory() as folder:
            model = server.Server("tiny", replies=Path(folder) / "replies.sqlite")
            for start in range(0, REQUESTS, AT_ONCE):
                prompts = [f"Question {number} : {'word ' * 100}\nAnswer:" for number in range(start, start + AT_ONCE)]
                replies = model.ask(prompts, 1, logprobs=5)
                lost = [reply for reply in replies if not isinstance(reply, server.Reply)]
                assert not lost, lost[0]
                if (done := start + AT_ONCE) % 1000 == 0:
                    print(
                        f"{done} prompts, {model.used['requests']} requests: {resident() / 2**20:.1f} MiB", flush=True
                    )
                if done == SETTLED:
                    settled = resident()
        grown = resident() - settled
        print(f"grown by {grown / 2**20:.1f} MiB since {SETTLED} prompts; at most {ALLOWED / 2**20:.0f} are allowed")
        return int(grown > ALLOWED)
    finally:
        other.kill()
        other.wait()


if __name__ == "__main__":
    sys.exit(serve() if "--serve" in sys.argv else main())
