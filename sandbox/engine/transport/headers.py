"""The headers of a request as text, by lower-case name."""

from __future__ import annotations

from starlette.types import Scope

SESSION = b"x-hasura-"


def read(scope: Scope) -> dict[str, str]:
    """Decode the headers: session variables are UTF-8, the others are what HTTP says they are."""
    return {
        name.decode("latin-1").lower(): value.decode("utf-8", "replace")
        if name.lower().startswith(SESSION)
        else value.decode("latin-1")
        for name, value in scope["headers"]
    }
