"""How webhooks leave: HTTP/1.1 over connections that stay open, and nothing else.

A general client spends several times what the exchange itself costs, and a simulator that sends
thousands of webhooks a minute shares two processors with what it is there to try.
"""

import asyncio
import ssl
from collections import defaultdict
from collections.abc import Mapping
from contextlib import suppress
from functools import cache, lru_cache
from typing import NamedTuple, Protocol
from urllib.parse import urlsplit

BODILESS = {204, 304}
IDLE_SECONDS_MAX = 4.0  # a server may be about to close what is older


class PostError(Exception):
    """No answer came, or none that is HTTP; the message says what happened."""


class Place(NamedTuple):
    """Where an address leads."""

    tls: bool
    host: str
    port: int
    name: str  # as the header Host has it
    target: str


class Head(NamedTuple):
    """What comes before the body of an answer."""

    status: int
    framing: str  # how the end of the body is known: length, chunks or end
    length: int
    stays_open: bool


class Connection(NamedTuple):
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    idle_since: float

    def is_fresh(self) -> bool:
        age = asyncio.get_running_loop().time() - self.idle_since
        return age < IDLE_SECONDS_MAX and not self.reader.at_eof() and not self.writer.is_closing()


class Post(Protocol):
    """What takes webhooks to their endpoints."""

    async def post(
        self, url: str, headers: Mapping[str, str], body: bytes, seconds_max: float
    ) -> tuple[int, str]:
        """Send once and answer status and text. Raises PostError."""
        ...

    async def close(self) -> None:
        """Give back connections."""
        ...


class Poster:
    """Posts bodies. A connection serves one exchange at a time and is kept for the next."""

    def __init__(self) -> None:
        self._idle: dict[tuple[bool, str, int], list[Connection]] = defaultdict(list)

    async def post(
        self, url: str, headers: Mapping[str, str], body: bytes, seconds_max: float
    ) -> tuple[int, str]:
        """Send a body once, and answer the status and the text. Raises PostError."""
        try:
            async with asyncio.timeout(seconds_max):
                return await self._exchange(place_of(url), headers, body)
        except TimeoutError as late:
            raise PostError(f"no answer within {seconds_max:g} s") from late
        except (OSError, EOFError, ValueError) as failure:
            raise PostError(f"{type(failure).__name__}: {failure}") from failure

    async def close(self) -> None:
        for connections in self._idle.values():
            for connection in connections:
                connection.writer.close()
                with suppress(OSError):
                    await connection.writer.wait_closed()
        self._idle.clear()

    async def _exchange(
        self, place: Place, headers: Mapping[str, str], body: bytes
    ) -> tuple[int, str]:
        reader, writer = await self._connect(place)
        kept = False
        try:
            writer.write(request(place, headers, body))
            answer = read_head(await reader.readuntil(b"\r\n\r\n"))
            while answer.status < 200:  # the answer proper is still to come
                answer = read_head(await reader.readuntil(b"\r\n\r\n"))
            text = await read_body(reader, answer)
            kept = answer.stays_open and answer.framing != "end"
        finally:
            if not kept:
                writer.close()
        now = asyncio.get_running_loop().time()
        self._idle[place[:3]].append(Connection(reader, writer, now))
        return answer.status, text.decode("utf-8", errors="replace")

    async def _connect(self, place: Place) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        idle = self._idle[place[:3]]
        while idle:
            connection = idle.pop()
            if connection.is_fresh():
                return connection.reader, connection.writer
            connection.writer.close()
        return await asyncio.open_connection(
            place.host, place.port, ssl=trusted() if place.tls else None
        )


@lru_cache(maxsize=64)
def place_of(url: str) -> Place:
    """Take an address apart. Raises ValueError when it is none of HTTP."""
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError(f"{url} is no address of HTTP")
    tls = parts.scheme == "https"
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    name = parts.netloc.rpartition("@")[2]
    return Place(tls, parts.hostname, parts.port or (443 if tls else 80), name, target)


@cache
def trusted() -> ssl.SSLContext:
    return ssl.create_default_context()


def request(place: Place, headers: Mapping[str, str], body: bytes) -> bytes:
    """Write the whole request. Raises ValueError for what would break a line."""
    lines = [f"POST {place.target} HTTP/1.1", f"Host: {place.name}", "Accept: */*"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    lines.append(f"Content-Length: {len(body)}")
    if any("\r" in line or "\n" in line for line in lines):
        raise ValueError("a header holds a line break")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


def read_head(head: bytes) -> Head:
    """Read the status and the headers. Raises ValueError."""
    first, *lines = head.decode("latin-1").split("\r\n")
    version, _, rest = first.partition(" ")
    if not version.startswith("HTTP/1."):
        raise ValueError(f"this is no HTTP: {first[:40]!r}")
    pairs = (line.lower().partition(":") for line in lines if line)
    fields = {name.strip(): value.strip() for name, _, value in pairs}
    status = int(rest[:3])
    if status in BODILESS:
        framing, length = "length", 0
    elif "chunked" in fields.get("transfer-encoding", ""):
        framing, length = "chunks", 0
    else:
        length = int(fields.get("content-length", -1))
        framing = "length" if length >= 0 else "end"
    asked = fields.get("connection", "close" if version == "HTTP/1.0" else "")
    return Head(status, framing, length, stays_open=asked != "close")


async def read_body(reader: asyncio.StreamReader, head: Head) -> bytes:
    if head.framing == "length":
        return await reader.readexactly(head.length)
    if head.framing == "end":
        return await reader.read()
    body = b""
    while size := int((await reader.readline()).partition(b";")[0], 16):
        body += (await reader.readexactly(size + 2))[:-2]
    await reader.readuntil(b"\r\n")  # no trailers are expected after the last chunk
    return body
