"""Which web pages may connect: the origins of HASURA_GRAPHQL_CORS_DOMAIN."""

from __future__ import annotations

import re
from collections.abc import Iterable


def allowed(origin: str, configured: Iterable[str]) -> bool:
    """Tell whether an origin is in the list; a star stands for everything or for one label."""
    return any(_fits(origin, pattern) for pattern in configured)


def _fits(origin: str, pattern: str) -> bool:
    if pattern == "*":
        return True
    parts = (re.escape(part) for part in pattern.split("*"))
    return re.fullmatch(r"[^./:]+".join(parts), origin) is not None
