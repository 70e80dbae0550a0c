"""The way out of this room: one exchange, bounded in time and in size."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from http.cookiejar import CookieJar, DefaultCookiePolicy

import httpx

from sandbox.engine.outgoing import HEADERS, encoded

USER_AGENT = {"user-agent": HEADERS["User-Agent"]}
BYTES_MAX = 512 * 1024


@dataclass(frozen=True, slots=True)
class Reply:
    """Header names are lower-case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class FetchError(Exception):
    """Nobody answered, not in time, or too much."""


class Fetching:
    """A client that is opened when it is first used."""

    def __init__(self) -> None:
        self._client: httpx.AsyncClient | None = None

    async def close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()

    async def ask(
        self, url: str, headers: Mapping[str, str], body: bytes | None, timeout_s: float
    ) -> Reply:
        """GET, or POST where there is a body; raises FetchError."""
        if self._client is None:
            self._client = httpx.AsyncClient(
                verify=httpx.create_ssl_context(trust_env=False),
                trust_env=False,
                timeout=timeout_s,
                # A cookie that is set for one client must not speak for the next.
                cookies=CookieJar(DefaultCookiePolicy(allowed_domains=())),
            )
        method = "GET" if body is None else "POST"
        sent = encoded((USER_AGENT | dict(headers)).items())
        try:
            async with (
                asyncio.timeout(timeout_s),
                self._client.stream(method, url, headers=sent, content=body) as answer,
            ):
                return Reply(answer.status_code, dict(answer.headers), await _read(answer))
        except (TimeoutError, httpx.HTTPError, httpx.InvalidURL, UnicodeError) as error:
            raise FetchError(f"{type(error).__name__}: {error}") from error


async def _read(answer: httpx.Response) -> bytes:
    found = bytearray()
    async for part in answer.aiter_bytes():
        found += part
        if len(found) > BYTES_MAX:
            raise FetchError(f"more than {BYTES_MAX} bytes")
    return bytes(found)
