"""HTTP/1.1 for httpx over asyncio and httptools: one exchange at a time on a connection.

httpx's own transport spends most of a delivery on layers that this engine has no use for: several
event loops, proxies, HTTP/2, limits of each step. This one has the same manners and errors.
"""

from __future__ import annotations

import asyncio
import re
import select
import socket
import ssl
from typing import Any, cast

import httptools
import httpx

Host = tuple[str, str, int]  # scheme, name and port

KEPT_SECONDS_MAX = 5.0  # as httpx: an idle connection that is older may be about to be closed
ILLEGAL = re.compile(rb"[\x00\r\n]")
NO_BODY = frozenset((204, 304))
TOKEN = re.compile(rb"^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$")


class Connection(asyncio.Protocol):
    """One connection, and the answer that is being read from it."""

    def __init__(self) -> None:
        self.is_open = True
        self.idle_since = 0.0
        self._parser = httptools.HttpResponseParser(self)
        self._waiting: asyncio.Future[httpx.Response] | None = None
        self._is_head = False
        self._started = False
        self._begin()

    def _begin(self) -> None:
        self._reason = b""
        self._headers: list[tuple[bytes, bytes]] = []
        self._parts: list[bytes] = []
        self._has_head = False

    async def ask(self, request: bytes, *, is_head: bool) -> httpx.Response:
        """Send a request and wait for the whole answer."""
        self._loop = asyncio.get_running_loop()
        self._waiting = self._loop.create_future()
        self._is_head = is_head
        self._started = False
        self._transport.write(request)
        try:
            return await self._waiting
        except BaseException:
            self.abort()  # what is still to come must not be read as the next answer
            raise
        finally:
            self._waiting = None
            self.idle_since = self._loop.time()

    def may_be_used(self) -> bool:
        """Tell whether the connection is open, fresh, and has nothing to say, like a farewell."""
        age = asyncio.get_running_loop().time() - self.idle_since
        if not self.is_open or self._transport.is_closing() or age > KEPT_SECONDS_MAX:
            return False
        poll = select.poll()
        poll.register(self._transport.get_extra_info("socket").fileno(), select.POLLIN)
        return not poll.poll(0)

    def abort(self) -> None:
        self.is_open = False
        self._transport.abort()

    # What asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        if self._waiting is None:
            self.abort()  # nobody asked
            return
        self._started = True
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._fail(httpx.RemoteProtocolError("the server wants to speak another protocol"))
        except httptools.HttpParserError as error:
            self._fail(httpx.RemoteProtocolError(str(error)))

    def connection_lost(self, error: Exception | None) -> None:
        self.is_open = False
        if error is not None:
            self._fail(httpx.ReadError(str(error)))
        elif self._has_head and self._lasts_until_the_end():
            self._finish(keep=False)
        elif self._started:
            text = "peer closed connection without sending complete message body"
            self._fail(httpx.RemoteProtocolError(text))
        else:
            text = "Server disconnected without sending a response."
            self._fail(httpx.RemoteProtocolError(text))

    # What the parser calls.

    def on_message_begin(self) -> None:
        if self._waiting is None or self._waiting.done():
            self.abort()  # a second answer to one request

    def on_status(self, reason: bytes) -> None:
        self._reason += reason

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers.append((name, value))

    def on_headers_complete(self) -> None:
        self._has_head = True
        if self._is_head:
            self._finish(keep=False)  # the parser waits for a body that never comes

    def on_body(self, part: bytes) -> None:
        self._parts.append(part)

    def on_message_complete(self) -> None:
        if self._parser.get_status_code() < 200:
            self._begin()  # the real answer follows
        else:
            self._finish(keep=self._parser.should_keep_alive())

    def _lasts_until_the_end(self) -> bool:
        names = {name.lower() for name, _ in self._headers}
        framed = names & {b"content-length", b"transfer-encoding"}
        return not framed and self._parser.get_status_code() not in NO_BODY

    def _finish(self, *, keep: bool) -> None:
        if self._waiting is not None and not self._waiting.done():
            response = httpx.Response(
                self._parser.get_status_code(),
                headers=self._headers,
                stream=httpx.ByteStream(b"".join(self._parts)),
                extensions={"http_version": b"HTTP/1.1", "reason_phrase": self._reason},
            )
            self._waiting.set_result(response)
        self._begin()
        if not keep:
            self.abort()

    def _fail(self, error: Exception) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_exception(error)
        self.abort()


def head_of(request: httpx.Request, *, without: bytes = b"") -> bytes:
    """Write the head but for its last, empty line; httpx has quoted the URL and added Host.

    `without` is the lower-case name of a header to leave out.
    """
    method = request.method.encode("latin-1", "replace")
    if not TOKEN.match(method):
        raise httpx.LocalProtocolError("Illegal method characters")
    parts = [method, b" ", request.url.raw_path, b" HTTP/1.1\r\n"]
    for name, value in request.headers.raw:
        if name.lower() == without:
            continue
        if not TOKEN.match(name):
            raise httpx.LocalProtocolError(f"Illegal header name {name!r}")
        if ILLEGAL.search(value):
            raise httpx.LocalProtocolError(f"Illegal header value {value!r}")
        parts += [name, b": ", value, b"\r\n"]
    return b"".join(parts)


def host_of(request: httpx.Request) -> Host:
    """Say whom to connect to. Raises httpx.UnsupportedProtocol."""
    url = request.url
    if url.scheme not in ("http", "https") or not url.host:
        raise httpx.UnsupportedProtocol(
            "Request URL is missing an 'http://' or 'https://' protocol.", request=request
        )
    port = url.port or (443 if url.scheme == "https" else 80)
    return url.scheme, url.raw_host.decode(), port


class Transport(httpx.AsyncBaseTransport):
    """Keeps one idle connection for each of a few hosts. One exchange at a time."""

    def __init__(self, tls: ssl.SSLContext, hosts_max: int) -> None:
        self._tls = tls
        self._hosts_max = hosts_max
        self._idle: dict[Host, Connection] = {}

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        written = head_of(request) + b"\r\n" + request.content
        try:
            return await self.exchange(host_of(request), written, is_head=request.method == "HEAD")
        except httpx.RequestError as error:
            error.request = request
            raise

    async def exchange(self, host: Host, request: bytes, *, is_head: bool) -> httpx.Response:
        """Exchange a request that is written already, past all that httpx would look at."""
        connection = self._idle.pop(host, None)
        if connection is not None and not connection.may_be_used():
            connection.abort()
            connection = None
        connection = connection or await self._connect(*host)
        response = await connection.ask(request, is_head=is_head)
        if connection.is_open:
            self._keep(host, connection)
        return response

    async def _connect(self, scheme: str, host: str, port: int) -> Connection:
        tls: dict[str, Any] = {}
        if scheme == "https":
            tls = {"ssl": self._tls, "server_hostname": host}
        loop = asyncio.get_running_loop()
        try:
            _, connection = await loop.create_connection(Connection, host, port, **tls)
        except (socket.gaierror, ssl.SSLError) as error:
            raise httpx.ConnectError(str(error)) from error
        except OSError as error:
            raise httpx.ConnectError("All connection attempts failed") from error
        return connection

    def _keep(self, host: Host, connection: Connection) -> None:
        self._idle[host] = connection
        if len(self._idle) > self._hosts_max:
            self._idle.pop(next(iter(self._idle))).abort()

    async def aclose(self) -> None:
        while self._idle:
            self._idle.popitem()[1].abort()
        await asyncio.sleep(0)  # the loop closes the sockets in its next turn
