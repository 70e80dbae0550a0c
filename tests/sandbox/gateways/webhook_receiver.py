"""Somebody who receives webhooks, and how tests wait for what comes in no certain order."""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread
from typing import Any, Protocol, TypeVar

PATIENCE = 60.0
Data = dict[str, Any]
T = TypeVar("T")


def wait_for(find: Callable[[], T | None], what: str) -> T:
    """Ask again and again until there is an answer; once more at the end, however late it is."""
    end = time.monotonic() + PATIENCE
    while (found := find()) is None:
        assert time.monotonic() < end, f"waited in vain for {what}"
        time.sleep(0.02)
    return found


class Sender(Protocol):
    """Who sends webhooks, and can tell when none is on its way."""

    def wait_until_quiet(self) -> Data:
        """Wait for what is on its way to be answered."""
        ...


@dataclass(frozen=True)
class Received:
    """One webhook as it arrived."""

    headers: dict[str, str]
    body: bytes
    at: float

    @property
    def event(self) -> Data:
        event: Data = json.loads(self.body)
        return event

    @property
    def type(self) -> str:
        return str(self.event["type"])

    def about(self, subject: str) -> bool:
        return subject in self.body.decode()


@dataclass
class Receiver:
    """A webhook endpoint. `refusals` are given out in order to bodies that hold a text."""

    port: int = 0
    received: list[Received] = field(default_factory=list)
    refusals: list[tuple[str, int]] = field(default_factory=list)
    lock: Lock = field(default_factory=Lock)

    def start(self) -> ThreadingHTTPServer:
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                headers = {name.lower(): value for name, value in self.headers.items()}
                with receiver.lock:
                    receiver.received.append(Received(headers, body, time.time()))
                    status = receiver.status_for(body.decode())
                self.send_response(status)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                return

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = server.server_port
        Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return server

    def status_for(self, body: str) -> int:
        for refusal in self.refusals:
            if refusal[0] in body:
                self.refusals.remove(refusal)
                return refusal[1]
        return 200

    def forget(self) -> None:
        """Begin anew: nothing has come, and nothing is refused."""
        with self.lock:
            self.received.clear()
            self.refusals.clear()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/webhook"

    def about(self, subject: str, kind: str | None = None) -> list[Received]:
        with self.lock:
            found = list(self.received)
        return [one for one in found if one.about(subject) and (not kind or one.type == kind)]

    def wait(self, subject: str, kind: str, n: int = 1) -> list[Received]:
        """Wait until n webhooks of a type about a subject have come."""
        return wait_for(
            lambda: found if len(found := self.about(subject, kind)) >= n else None,
            f"{n} of {kind}",
        )

    def every(self, sender: Sender, subject: str, n: int = 1) -> list[Received]:
        """Give all webhooks about a subject: n at least, and none is still on its way.

        They are sent several at a time, so that one which has come says nothing of another.
        """
        wait_for(lambda: True if len(self.about(subject)) >= n else None, f"{n} webhooks")
        sender.wait_until_quiet()
        return self.about(subject)
