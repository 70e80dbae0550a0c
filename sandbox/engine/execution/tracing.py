"""The headers that tell a handler which trace its call is part of, in B3 as Hasura's are.

https://github.com/openzipkin/b3-propagation
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping

TRACE_ID = re.compile(r"(?:[0-9a-f]{16}|[0-9a-f]{32})")
SPAN_ID = re.compile(r"[0-9a-f]{16}")


def tracing(client: Mapping[str, str]) -> dict[str, str]:
    """Go on with the client's trace, where it names one, else begin one.

    The call is a span of its own below the request's, unless the client wants no trace kept.
    """
    trace = _id(TRACE_ID, client.get("x-b3-traceid"))
    parent = _id(SPAN_ID, client.get("x-b3-spanid")) if trace else None
    is_kept = not (trace and client.get("x-b3-sampled") == "0")
    span = secrets.token_hex(8)
    if is_kept:
        parent, span = span, secrets.token_hex(8)
    told = {"X-B3-TraceId": (trace or secrets.token_hex(16)).rjust(32, "0"), "X-B3-SpanId": span}
    if parent:
        told["X-B3-ParentSpanId"] = parent
    return told | {"X-B3-Sampled": "1" if is_kept else "0"}


def _id(shape: re.Pattern[str], given: str | None) -> str | None:
    """Read an id; one that is all zeros names nothing."""
    text = (given or "").lower()
    return text if shape.fullmatch(text) and text.strip("0") else None
