"""Connections to one server, which stay open between requests.

What requests and urllib3 do for every exchange with anybody (settings, cookies, redirects, pools by
host, copies of headers) costs four times the exchange itself, and one server needs none of it. So
the exchange is the standard library's. requests keeps its door, and has the work back where the
environment names a proxy.
"""

import http.client
import io
import socket
import ssl
import weakref
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from time import monotonic
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from requests.structures import CaseInsensitiveDict
from requests.utils import DEFAULT_CA_BUNDLE_PATH, select_proxy
from urllib3.exceptions import HTTPError, ProtocolError
from urllib3.util.wait import wait_for_read

from app import exchange
from app.clock import wall_seconds
from app.exchange import Coming, Patience

WITHOUT_BODY = frozenset({"GET", "HEAD", "DELETE", "OPTIONS"})
PIECE_BYTES = 2**16
# What stands between us and a server forgets an idle connection and tells nobody, and a process may
# have been frozen when its server closed one. Whoever does so waits for longer than this.
KEPT_SECONDS_MAX = 20.0

Idle = tuple[socket.socket, float]  # and since when, by the wall


class Session:
    """As much of a session of requests as one server needs. Any number of threads may ask.

    Which proxy there is and who signs certificates is read from the environment, once.
    """

    def __init__(self, url: str, patience: Patience) -> None:
        with requests.Session() as session:
            found: Any = session.merge_environment_settings(url, {}, None, None, None)
        named = found["verify"]
        self._authorities = named if isinstance(named, str) else DEFAULT_CA_BUNDLE_PATH
        self._proxies = dict(found["proxies"])
        self.patience = patience
        proxy = select_proxy(url, self._proxies)
        self._adapter = Proxied(patience) if proxy else Direct(url, self._authorities, patience)

    def request(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str] | None = None,
        data: bytes | str | None = None,
        **_: object,
    ) -> requests.Response:
        """Write a request and send it, as `send` does."""
        request = requests.PreparedRequest()
        request.method, request.url = method.upper(), url
        request.body, request.headers = data, CaseInsensitiveDict(headers or {})
        if (body := _bytes(data)) is not None:
            request.headers["Content-Length"] = str(len(body))
        return self.send(request)

    def send(self, request: requests.PreparedRequest) -> requests.Response:
        """Send once; redirects are not followed. Raises requests.RequestException."""
        return self._adapter.send(
            request,
            timeout=(self.patience.connect, self.patience.answer),
            verify=self._authorities,
            proxies=self._proxies,
        )

    def close(self) -> None:
        """Close what is idle. Whoever asks again has a connection made."""
        self._adapter.close()


class Proxied(HTTPAdapter):
    """An adapter of requests that goes through a proxy, whose head alone may come slowly."""

    def __init__(self, patience: Patience) -> None:
        super().__init__()
        self._patience = patience

    def send(self, request: requests.PreparedRequest, *_: Any, **how: Any) -> requests.Response:
        """Read the whole answer, which is cut when it takes too long or does not end."""
        try:
            seconds = self._patience.seconds
        except TimeoutError as failure:
            raise requests.ConnectTimeout(failure) from failure
        until = monotonic() + seconds
        how |= {"stream": True, "timeout": (min(self._patience.connect, seconds), seconds)}
        with super().send(request, **how) as answer:
            content = b""
            try:
                while piece := answer.raw.read1(PIECE_BYTES, decode_content=True):
                    content += piece
                    if len(content) > exchange.ANSWER_BYTES_MAX or monotonic() > until:
                        raise requests.ReadTimeout
            except HTTPError as failure:
                raise requests.ConnectionError(failure) from failure
        answer.raw = io.BytesIO(content)
        return answer


class Direct(HTTPAdapter):
    """An adapter of requests with one server behind it."""

    def __init__(self, url: str, authorities: str, patience: Patience) -> None:
        super().__init__()
        parts = urlsplit(url)
        self._origin = f"{parts.scheme}://{parts.netloc}/"
        self._connections = Connections(url, authorities, patience)

    def get_connection_with_tls_context(
        self, request: requests.PreparedRequest, *_: Any, **__: Any
    ) -> Any:
        if not (request.url or "").startswith(self._origin):
            message = f"{request.url} is not at {self._origin}"
            raise requests.exceptions.InvalidURL(message)
        return self._connections

    def cert_verify(self, *_: Any) -> None:
        """Leave it to the connection, which verifies by itself."""

    def request_url(self, request: requests.PreparedRequest, *_: Any) -> str:
        return request.path_url

    def build_response(self, req: requests.PreparedRequest, resp: Any) -> requests.Response:
        """Pass an answer of ours on; others come from whoever stands in for the server in tests."""
        return resp if isinstance(resp, requests.Response) else super().build_response(req, resp)

    def close(self) -> None:
        self._connections.close()
        super().close()


class Connections:
    """The open ones that are idle, the last used first."""

    def __init__(self, url: str, authorities: str, patience: Patience) -> None:
        parts = urlsplit(url)
        is_secure = parts.scheme == "https"
        self._host, self._port = parts.hostname or "", parts.port or (443 if is_secure else 80)
        self._name = parts.netloc.rpartition("@")[2]
        self._context = _trusting(authorities) if is_secure else None
        self._patience = patience
        self._idle: list[Idle] = []
        weakref.finalize(self, _close, self._idle)

    def urlopen(
        self,
        method: str,
        url: str,
        body: bytes | str | None,
        headers: Mapping[str, str],
        **_: object,
    ) -> requests.Response:
        """Exchange one request for its answer. Raises OSError or ProtocolError."""
        written = self._written(method, url, _bytes(body), headers)
        until = monotonic() + self._patience.seconds
        connection = self._take(until)
        try:
            until = min(until, monotonic() + self._patience.answer)
            exchange.send(connection, written, until)
            answer, is_last = exchange.read(Coming(connection, until), method)
        except http.client.HTTPException as failure:
            connection.close()
            raise ProtocolError(str(failure), failure) from failure
        except BaseException:
            connection.close()
            raise
        if is_last:
            connection.close()
        else:
            self._idle.append((connection, wall_seconds()))
        return answer

    def _written(
        self, method: str, url: str, body: bytes | None, headers: Mapping[str, str]
    ) -> bytes:
        """Write head and body in one piece, as two would wake the server twice.

        http.client would look at each header by itself, which takes longer than the exchange.
        """
        lines = [f"{method} {url} HTTP/1.1", f"Host: {self._name}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        if "Accept-Encoding" not in headers:
            lines.append("Accept-Encoding: identity")
        if body is None and method not in WITHOUT_BODY:
            lines.append("Content-Length: 0")
        head = "\r\n".join(lines)
        breaks = len(lines) - 1
        if (head.count("\r"), head.count("\n"), head.count("\0")) != (breaks, breaks, 0):
            message = "a header of more than one line"
            raise ValueError(message)
        return b"%b\r\n\r\n%b" % (head.encode("latin-1"), body or b"")

    def close(self) -> None:
        _close(self._idle)

    def _take(self, until: float) -> socket.socket:
        for connection, since in _taken(self._idle):
            is_young = 0 <= wall_seconds() - since <= KEPT_SECONDS_MAX  # a clock may be set back
            # An idle connection on which something has come is one that the server has closed.
            if is_young and not wait_for_read(connection, timeout=0):
                return connection
            connection.close()
        return self._connect(min(until, monotonic() + self._patience.connect))

    def _connect(self, until: float) -> socket.socket:
        connection = self._reach(until)
        if self._context is None:
            return connection
        try:
            connection.settimeout(exchange.left(until))
            return self._context.wrap_socket(connection, server_hostname=self._host)
        except BaseException:
            connection.close()
            raise

    def _reach(self, until: float) -> socket.socket:
        """Try the server's addresses, each for an even part of the time that is left."""
        failure: OSError | None = None
        found = self._addresses()
        for waiting, address in zip(range(len(found), 0, -1), found, strict=True):
            try:
                connection = socket.create_connection(address, exchange.left(until) / waiting)
            except OSError as refusal:
                failure = refusal
            else:
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                return connection
        raise failure or OSError(f"{self._host} has no address")

    def _addresses(self) -> list[tuple[str, int]]:
        found = socket.getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM)
        return [(str(address[0]), self._port) for *_, address in found]


def _bytes(body: bytes | str | None) -> bytes | None:
    return body.encode() if isinstance(body, str) else body


def _trusting(authorities: str) -> ssl.SSLContext:
    if Path(authorities).is_dir():
        return ssl.create_default_context(capath=authorities)
    return ssl.create_default_context(cafile=authorities)


def _taken(idle: list[Idle]) -> Iterator[Idle]:
    """Take one after the other, as other threads do at the same time."""
    with suppress(IndexError):
        while True:
            yield idle.pop()


def _close(idle: list[Idle]) -> None:
    for connection, _ in _taken(idle):
        connection.close()
