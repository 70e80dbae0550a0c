"""Addresses as transforms take them apart: place, path, and the pairs of the query."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Self
from urllib.parse import quote, unquote_plus, urlsplit

Query = tuple[tuple[str, str | None], ...]

PORTS = {"http": 80, "https": 443}
ADDRESS = re.compile(
    r"[A-Za-z][A-Za-z0-9+.-]*:(?:[A-Za-z0-9\-._~:/?#\[\]@!$&'()*+,;=]|%[0-9A-Fa-f]{2})*"
)


@dataclass(frozen=True, slots=True)
class Address:
    """`host` is written with user and password, where the address has them."""

    scheme: str
    host: str
    path: str
    query: Query

    @classmethod
    def read(cls, text: str) -> Self | None:
        """Take an address apart; None for one that names no host or a port that is none."""
        try:
            parts = urlsplit(text)
            port = parts.port
        except ValueError:
            return None
        if not parts.hostname:
            return None
        scheme = "https" if parts.scheme == "https" else "http"
        host = parts.netloc.removesuffix(f":{port}") if port is not None else parts.netloc
        if port is not None and port != PORTS[scheme]:
            host = f"{host}:{port}"
        return cls(scheme, host.removesuffix(":"), parts.path, parse_query(parts.query))

    def text(self, query: Query) -> str:
        return f"{self.scheme}://{self.host}{self.path}{render_query(query)}"


def is_address(text: str) -> bool:
    return ADDRESS.fullmatch(text) is not None


def parse_query(text: str) -> Query:
    """Split `a=b&c`; a key without an equals sign has no value."""
    pairs = (item.partition("=") for item in re.split("[&;]", text.removeprefix("?")) if item)
    return tuple(
        (unquote_plus(key), unquote_plus(value) if equals else None) for key, equals, value in pairs
    )


def render_query(query: Query) -> str:
    items = (
        quote(key, safe="") + ("" if value is None else f"={quote(value, safe='')}")
        for key, value in query
    )
    text = "&".join(items)
    return f"?{text}" if text else ""
