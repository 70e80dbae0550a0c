"""The one way out: posts JSON over connections that stay open, for events, crons and actions."""

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Self

import httpx

from .exchange import Host, Transport, head_of, host_of
from .settings import VERSION

HEADERS = {
    "Content-Type": "application/json",
    "User-Agent": f"hasura-graphql-engine/{VERSION}",
}
HOSTS_MAX = 4  # whose connections one client keeps
KNOWN_MAX = 200  # addresses whose heads are kept
NOTHING: Mapping[str, str] = {}


@dataclass(frozen=True, slots=True)
class Request:
    """A request in full: no header is added but those of the transport. One may come twice."""

    method: str
    url: str
    headers: tuple[tuple[str, str], ...]
    body: bytes


@dataclass(frozen=True, slots=True)
class Address:
    """Where bodies are posted to, with all of the head but the length and the empty line."""

    host: Host
    head: bytes

    def letter(self, body: bytes, more: bytes = b"") -> bytes:
        """Write a request; `more` is lines of the head that are of this one alone."""
        return b"%b%bContent-Length: %d\r\n\r\n%b" % (self.head, more, len(body), body)


def encoded(headers: Iterable[tuple[str, str]]) -> list[tuple[bytes, bytes]]:
    """Write headers as they came in: session variables in UTF-8, the others as HTTP has them."""
    return [(name.encode("latin-1", "replace"), _value(name, text)) for name, text in headers]


def _value(name: str, text: str) -> bytes:
    try:
        return text.encode("utf-8" if name.lower().startswith("x-hasura-") else "latin-1")
    except UnicodeEncodeError:  # over a WebSocket a header may be any text
        return text.encode(errors="replace")


class Outgoing:
    """Posts at most so many bodies at a time; the others wait for their turn.

    httpx writes an address's head once: all that it does for a request takes longer than the
    exchange. A client serves one exchange at a time, and the one that was used last is taken first.
    One client for all would look through all its connections at every step of every exchange: with
    a hundred of them that costs five times what the exchange itself does.
    """

    def __init__(self, concurrent_max: int) -> None:
        self._tls = httpx.create_ssl_context(trust_env=False)
        self._turns = asyncio.Semaphore(concurrent_max)
        self._idle: list[tuple[httpx.AsyncClient, Transport]] = []
        self._known: dict[tuple[str, tuple[tuple[str, str], ...]], Address] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        while self._idle:
            await self._idle.pop()[0].aclose()

    async def post(
        self,
        url: str,
        headers: Mapping[str, str],
        body: str,
        timeout_s: float,
        once: Mapping[str, str] = NOTHING,
    ) -> httpx.Response:
        """Send one body; the limit holds for the wait and the whole exchange together.

        `headers` are an address's, `once` those of this request: names and values of our own,
        written as they are. Raises TimeoutError, or what httpx raises: httpx.HTTPError and
        httpx.InvalidURL.
        """
        async with asyncio.timeout(timeout_s), self._turns:
            client, transport = used = self._idle.pop() if self._idle else self._make_client()
            try:
                address = self._address(client, url, headers)
                more = "".join(f"{name}: {value}\r\n" for name, value in once.items()).encode()
                letter = address.letter(body.encode(errors="replace"), more)
                answer = await transport.exchange(address.host, letter, is_head=False)
                answer.read()
                return answer
            finally:
                self._idle.append(used)

    def _address(self, client: httpx.AsyncClient, url: str, headers: Mapping[str, str]) -> Address:
        key = url, tuple(headers.items())
        address = self._known.get(key)
        if address is None:
            request = client.build_request("POST", url, headers=encoded(headers.items()))
            if request.url.userinfo:
                account = httpx.BasicAuth(request.url.username, request.url.password)
                request = next(account.auth_flow(request))
            head = head_of(request, without=b"content-length")
            address = Address(host_of(request), head)
            if len(self._known) >= KNOWN_MAX:
                self._known.clear()
            self._known[key] = address
        return address

    async def send(self, request: Request, timeout_s: float) -> httpx.Response:
        """Send a request as it is, with the limit and the errors of post()."""
        async with asyncio.timeout(timeout_s), self._turns:
            client, _ = used = self._idle.pop() if self._idle else self._make_client()
            built = httpx.Request(
                request.method,
                request.url,
                headers=encoded(request.headers),
                content=request.body or None,
            )
            try:
                return await client.send(built)
            finally:
                self._idle.append(used)

    def _make_client(self) -> tuple[httpx.AsyncClient, Transport]:
        transport = Transport(self._tls, HOSTS_MAX)
        client = httpx.AsyncClient(
            transport=transport,
            timeout=None,  # noqa: S113  # post() limits the whole exchange, not each of its reads
            headers=HEADERS,
            # A cookie that one answer sets must not be sent with the next, which is another's.
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=())),
            follow_redirects=False,
            trust_env=False,
        )
        return client, transport
