"""A proxy between two parts that can do something to the nth call just before or after it."""

import contextlib
import http.client
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "host", "content-length"}


@dataclass
class Trap:
    """What happens to the first call whose body or path holds a text, and when."""

    text: str
    when: str  # "before": the call is not passed on; "after": its answer is not passed back
    act: Callable[[], None]
    sprung: threading.Event = field(default_factory=threading.Event)


class Proxy:
    """Passes HTTP on to a port of this machine, except where a trap is set."""

    def __init__(self, target: int) -> None:
        self.target = target
        self.traps: list[Trap] = []
        self._taking = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def trap(self, text: str, when: str, act: Callable[[], None]) -> Trap:
        trap = Trap(text, when, act)
        self.traps.append(trap)
        return trap

    def clear(self) -> None:
        self.traps.clear()

    def take(self, said: str, when: str) -> Trap | None:
        with self._taking:
            found = next((t for t in self.traps if t.when == when and t.text in said), None)
            if found:
                self.traps.remove(found)
            return found

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def pass_on(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                said = f"{self.path}\n{body.decode()}"
                trap = proxy.take(said, "before")
                answer = None if trap else self.ask(body)
                trap = trap or proxy.take(said, "after")
                if trap:
                    trap.act()
                    trap.sprung.set()
                    self.close_connection = True
                    return
                assert answer
                with contextlib.suppress(BrokenPipeError):  # whoever asked has given up
                    self.reply(*answer)

            do_GET = do_POST = do_DELETE = pass_on  # noqa: N815  # the names are http.server's

            def ask(self, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
                upstream = http.client.HTTPConnection("127.0.0.1", proxy.target, timeout=60)
                headers = {k: v for k, v in self.headers.items() if k.lower() not in HOP_BY_HOP}
                try:
                    upstream.request(self.command, self.path, body, headers)
                    answer = upstream.getresponse()
                    return answer.status, answer.getheaders(), answer.read()
                finally:
                    upstream.close()

            def reply(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
                self.send_response(status)
                for name, value in headers:
                    if name.lower() not in HOP_BY_HOP:
                        self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                """Say nothing: tests have a log of their own."""

        return Handler
