"""How long an answer holds: Cache-Control and Expires, read as Hasura reads them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from email.utils import parsedate_to_datetime

DIRECTIVE = re.compile(r'([!#$%&\'*+.^_`|~\w-]+)(?:=(?:"([^"]*)"|([^\s,"]+)))?')
LONGEST_SECONDS = 366 * 24 * 3600


def max_age(cache_control: str) -> int | None:
    """Return max-age, or s-maxage, whichever is written first."""
    for match in DIRECTIVE.finditer(cache_control):
        name, value = match[1].lower(), match[2] or match[3] or ""
        if name in ("max-age", "s-maxage"):
            good = value.isascii() and value.isdigit()
            return min(int(value[:12]), LONGEST_SECONDS) if good else None
    return None


def expires(text: str) -> float | None:
    try:
        return parsedate_to_datetime(text).timestamp()
    except (ValueError, OverflowError):
        return None


def of_keys(headers: Mapping[str, str], now: float) -> float | None:
    """Return when a fetched key set has to be fetched again; None when nothing is said."""
    cache_control = headers.get("cache-control")
    if cache_control is not None:
        names = {match[1].lower() for match in DIRECTIVE.finditer(cache_control)}
        age = max_age(cache_control)
        if "must-revalidate" in names:
            return now + (age or 0)
        if names & {"no-cache", "no-store"}:
            return now
        if age is not None:
            return now + age
    return expires(headers.get("expires", ""))


def of_session(said: Mapping[str, str], now: float) -> float | None:
    """Return when a session ends that a webhook has granted; None is never."""
    age = max_age(said.get("cache-control", ""))
    return now + age if age is not None else expires(said.get("expires", ""))
