"""Connections to one server, which stay open between requests.

What requests and urllib3 do for every exchange with anybody (settings, cookies, redirects, pools by
host, copies of headers) costs four times the exchange itself, and a server of ours needs none
of it. The exchange is the standard library's; requests keeps its door, and has the work back
where the environment names a proxy.
"""

import http.client
import ssl
import weakref
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from requests.utils import DEFAULT_CA_BUNDLE_PATH, select_proxy
from urllib3.exceptions import ProtocolError
from urllib3.util.wait import wait_for_read


@dataclass(frozen=True, slots=True)
class Place:
    """Where requests go, and how."""

    url: str
    authorities: str  # a file or a folder of certificates
    proxies: dict[str, str]
    seconds_max: float  # for each step: to connect, to be answered


def place(url: str, seconds_max: float) -> Place:
    """Read from the environment, once, which proxy and which authorities it names for a URL."""
    with requests.Session() as session:
        found: Any = session.merge_environment_settings(url, {}, None, None, None)
    named = found["verify"]
    authorities = named if isinstance(named, str) else DEFAULT_CA_BUNDLE_PATH
    return Place(url, authorities, dict(found["proxies"]), seconds_max)


def adapter(there: Place) -> HTTPAdapter:
    """Answer what sends requests there."""
    return HTTPAdapter() if select_proxy(there.url, there.proxies) else Direct(there)


class Direct(HTTPAdapter):
    """An adapter of requests with one server behind it."""

    def __init__(self, there: Place) -> None:
        super().__init__()
        parts = urlsplit(there.url)
        self._path = parts.path + (f"?{parts.query}" if parts.query else "")
        self._connections = Connections(there)

    def get_connection_with_tls_context(self, *_: Any, **__: Any) -> Any:
        return self._connections

    def cert_verify(self, *_: Any) -> None:
        """Leave it to the connection, which verifies by itself."""

    def request_url(self, *_: Any) -> str:
        return self._path

    def build_response(self, req: requests.PreparedRequest, resp: Any) -> requests.Response:
        """Pass an answer of ours on; others come from whoever stands in for the server in tests."""
        return resp if isinstance(resp, requests.Response) else super().build_response(req, resp)

    def close(self) -> None:
        self._connections.close()
        super().close()


class InOnePiece(http.client.HTTPConnection):
    """Writes head and body at once: two writes would wake the server twice."""

    _pieces: list[bytes] | None = None

    def request(self, *args: Any, **kwargs: Any) -> None:
        pieces: list[bytes] = []
        self._pieces = pieces
        try:
            super().request(*args, **kwargs)
        finally:
            self._pieces = None
        self.send(b"".join(pieces))

    def send(self, data: Any) -> None:
        if self._pieces is None:
            super().send(data)
        else:
            self._pieces.append(data)


class InOnePieceSecurely(InOnePiece, http.client.HTTPSConnection):
    """The same over TLS."""


class Connections:
    """The open ones that are idle, the last used first. Any number of threads may ask."""

    def __init__(self, there: Place) -> None:
        parts = urlsplit(there.url)
        self._host, self._port = parts.hostname or "", parts.port
        self._context = _trusting(there.authorities) if parts.scheme == "https" else None
        self._seconds_max = there.seconds_max
        self._idle: list[http.client.HTTPConnection] = []
        weakref.finalize(self, _close, self._idle)

    def urlopen(
        self, method: str, url: str, body: bytes, headers: Mapping[str, str], **_: object
    ) -> requests.Response:
        """Exchange one request for its answer. Raises OSError or ProtocolError."""
        connection = self._take()
        try:
            connection.request(method, url, body, headers)
            given = connection.getresponse()
            answer = _answer(given)
        except http.client.HTTPException as failure:
            connection.close()
            raise ProtocolError(str(failure), failure) from failure
        except BaseException:
            connection.close()
            raise
        if connection.sock is not None:  # else the server closes it
            self._idle.append(connection)
        return answer

    def close(self) -> None:
        _close(self._idle)

    def _take(self) -> http.client.HTTPConnection:
        while self._idle:
            connection = self._idle.pop()
            # An idle connection on which something has come is one that the server has closed.
            if not wait_for_read(connection.sock, timeout=0):
                return connection
            connection.close()
        if self._context is None:
            return InOnePiece(self._host, self._port, timeout=self._seconds_max)
        return InOnePieceSecurely(
            self._host, self._port, timeout=self._seconds_max, context=self._context
        )


def _trusting(authorities: str) -> ssl.SSLContext:
    if Path(authorities).is_dir():
        return ssl.create_default_context(capath=authorities)
    return ssl.create_default_context(cafile=authorities)


def _close(connections: list[http.client.HTTPConnection]) -> None:
    while connections:
        connections.pop().close()


def _answer(given: http.client.HTTPResponse) -> requests.Response:
    answer = requests.Response()
    answer.status_code = given.status
    answer._content = given.read()  # noqa: SLF001  # requests has no other way to make one
    return answer
