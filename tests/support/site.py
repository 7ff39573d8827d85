"""A web server of this process, which answers as a test says and remembers what it was asked."""

import json
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit


@dataclass(frozen=True)
class Asked:
    """A request: path without query, the query's first values, headers in lower case, and body."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True)
class Answer:
    """What is answered.

    `cut` sends fewer bytes than it says, `stall` none until the end, `drip` one after the other.
    """

    body: bytes = b""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    cut: int | None = None
    stall: bool = False
    drip: bool = False


Say = Callable[[Asked], Answer]


def json_of(value: Any, **headers: str) -> Answer:
    """Return an answer in JSON."""
    named = {name.replace("_", "-"): text for name, text in headers.items()}
    return Answer(json.dumps(value).encode(), headers={"Content-Type": "application/json", **named})


class Site:
    """A server on a free port of the loopback interface."""

    def __init__(self) -> None:
        """Begin without any path."""
        self.asked: list[Asked] = []
        self.ended = threading.Event()
        self._said: dict[str, Say] = {}
        site = self

        class Handler(_Handler):
            """Answers for this site."""

            def answer(self, asked: Asked) -> Answer:
                site.asked.append(asked)
                say = site._said.get(asked.path)
                return say(asked) if say else Answer(status=404)

            def wait(self, seconds: float) -> None:
                site.ended.wait(seconds)

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True

    @property
    def url(self) -> str:
        """Return its address, without a slash at the end."""
        return f"http://127.0.0.1:{self.server.server_port}"

    def say(self, path: str, answer: Answer | Say) -> None:
        """Answer like this at a path."""
        self._said[path] = answer if callable(answer) else lambda _: answer

    def say_in_turn(self, path: str, answers: Sequence[Answer]) -> None:
        """Give one answer after the other, and the last one from then on."""
        left = list(answers)
        self.say(path, lambda _: left.pop(0) if len(left) > 1 else left[0])


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self, asked: Asked) -> Answer:
        raise NotImplementedError

    def wait(self, seconds: float) -> None:
        raise NotImplementedError

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        headers = {name.lower(): value for name, value in self.headers.items()}
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        answer = self.answer(Asked(self.command, parts.path, query, headers, body))
        if answer.stall:
            self.wait(60)
            return
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        if answer.drip:
            self._drip(answer.body)
        else:
            self.wfile.write(answer.body[: answer.cut])
        self.close_connection = answer.cut is not None

    def _drip(self, body: bytes) -> None:
        with suppress(OSError):  # whoever asked has had enough
            for byte in body:
                self.wfile.write(bytes([byte]))
                self.wait(0.02)

    do_POST = do_GET  # noqa: N815  http.server's name

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@contextmanager
def serving() -> Iterator[Site]:
    """Give a site that answers until the block ends."""
    site = Site()
    thread = threading.Thread(target=site.server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield site
    finally:
        site.ended.set()
        site.server.shutdown()
        thread.join()
        site.server.server_close()
