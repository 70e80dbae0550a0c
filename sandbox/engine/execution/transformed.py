"""An action's transforms around its request and its answer, and how their failures look."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import httpx

from sandbox.engine.errors import EngineError
from sandbox.engine.outgoing import HEADERS, Request
from sandbox.engine.transforms import Transformed, TransformError, Transforms

MICROSECONDS = 1_000_000


def transform(
    transforms: Transforms, url: str, headers: Mapping[str, str], body: str, session: dict[str, str]
) -> Transformed | None:
    """Return the request as it is to be sent; None where nothing is transformed."""
    if transforms.request is None:
        return None
    given = {name.lower() for name in headers}
    defaults = {name: value for name, value in HEADERS.items() if name.lower() not in given}
    request = Request("POST", url, tuple({**defaults, **headers}.items()), body.encode())
    try:
        return transforms.request.apply(request, session)
    except TransformError as error:
        raise _failed("Request", error) from error


def content(
    transforms: Transforms,
    answer: httpx.Response,
    transformed: Transformed | None,
    session: dict[str, str],
) -> str | bytes:
    """Return the body that counts as the handler's, whatever its status."""
    if transforms.response is None:
        return answer.content
    try:
        return transforms.response.apply(answer.content, answer.status_code, transformed, session)
    except TransformError as error:
        raise _failed("Response", error) from error


def told(transformed: Transformed | None, timeout_s: float) -> dict[str, Any] | None:
    """Describe a transformed request for those who may see it."""
    if transformed is None:
        return None
    request = transformed.request
    query = urlsplit(request.url).query
    return {
        "url": request.url,
        "method": request.method,
        "headers": [list(item) for item in request.headers],
        "body": request.body.decode() or None,
        "query_string": f"?{query}" if query else "",
        "response_timeout": str(int(timeout_s * MICROSECONDS)),
    }


def _failed(which: str, error: TransformError) -> EngineError:
    text = f"{which} Transformation Failed"
    return EngineError("unexpected", text, status=500, internal=error.bundle)
