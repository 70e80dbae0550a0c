"""The admin secret, and what its owner may say: any role, any session variable."""

from __future__ import annotations

import hmac
from collections.abc import Iterable, Mapping

from sandbox.engine.errors import EngineError
from sandbox.engine.session import ADMIN, Session

PREFIX = "x-hasura-"
SECRETS = ("x-hasura-admin-secret", "x-hasura-access-key")
ROLE = "x-hasura-role"
BACKEND = "x-hasura-use-backend-only-permissions"
TRUTHS = dict.fromkeys(("true", "t", "yes", "y"), True) | dict.fromkeys(
    ("false", "f", "no", "n"), False
)


def denied(message: str) -> EngineError:
    return EngineError("access-denied", message, status=401)


def given(headers: Mapping[str, str]) -> str | None:
    return headers.get(SECRETS[0]) or headers.get(SECRETS[1])


def check(secret: str, allowed: Iterable[str]) -> None:
    """Compare with every secret in the same time, whichever it is."""
    fits = [hmac.compare_digest(secret.encode(), item.encode()) for item in allowed]
    if not any(fits):
        raise denied('invalid "x-hasura-admin-secret"/"x-hasura-access-key"')


def trusted(headers: Mapping[str, str]) -> Session:
    """Return the session of one who proved the secret, or of anybody where there is none."""
    role = headers.get(ROLE) or ADMIN
    return Session(role, variables(headers, role), _backend(headers), dict(headers))


def unauthorized(headers: Mapping[str, str], role: str) -> Session:
    """Return the session of one who proved nothing: Hasura lets them name all but the role."""
    return Session(role, variables(headers, role), headers=dict(headers))


def variables(headers: Mapping[str, str], role: str) -> dict[str, str]:
    found = {
        name: value
        for name, value in headers.items()
        if name.startswith(PREFIX) and name not in SECRETS and name != BACKEND
    }
    found[ROLE] = role
    return found


def _backend(headers: Mapping[str, str]) -> bool:
    text = headers.get(BACKEND)
    if text is None:
        return False
    if text.lower() not in TRUTHS:
        raise EngineError(
            "bad-request",
            f"{BACKEND}:  Not a valid boolean text. True values are "
            '["true","t","yes","y"] and  False values are ["false","f","no","n"]. '
            "All values are case insensitive",
        )
    return TRUTHS[text.lower()]
