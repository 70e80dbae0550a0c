"""A service that knows who people are: it publishes keys, or answers as an auth hook."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Asked:
    method: str
    headers: dict[str, str]
    body: Any


@dataclass
class Authority:
    """Answers every request with `status`, `headers` and `content`, once `speaks` is set."""

    url: str = ""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    content: bytes = b"{}"
    speaks: threading.Event = field(default_factory=threading.Event)
    asked: list[Asked] = field(default_factory=list)

    def say(self, value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> None:
        self.content, self.status = json.dumps(value).encode(), status
        self.headers = headers or {}


@contextmanager
def authority() -> Iterator[Authority]:
    kept = Authority()
    kept.speaks.set()

    class Endpoint(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            sent = self.rfile.read(int(self.headers.get("content-length", 0)))
            headers = {name.lower(): value for name, value in self.headers.items()}
            kept.asked.append(Asked(self.command, headers, json.loads(sent) if sent else None))
            kept.speaks.wait(60)
            self.send_response(kept.status)
            for name, value in kept.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(kept.content)))
            self.end_headers()
            self.wfile.write(kept.content)

        do_POST = do_GET  # noqa: N815 -- the name the server looks for

        def log_message(self, *_args: object) -> None:
            pass

    class Quiet(ThreadingHTTPServer):
        def handle_error(self, *_args: object) -> None:
            """A client that hangs up early is part of the tests."""

    web = Quiet(("127.0.0.1", 0), Endpoint)
    kept.url = f"http://127.0.0.1:{web.server_port}"
    worker = threading.Thread(target=web.serve_forever, args=(0.05,))
    worker.start()
    try:
        yield kept
    finally:
        kept.speaks.set()
        web.shutdown()
        worker.join()
        web.server_close()
