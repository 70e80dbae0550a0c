"""A token that is shown again: its signature is known, everything else is looked at anew."""

import time
from types import SimpleNamespace
from typing import Any

import jwt
import pytest

from sandbox.engine.auth import tokens
from sandbox.engine.errors import EngineError

KEY = "a key that is long enough for HS256."
CLAIMS = {"x-hasura-allowed-roles": ["owner", "clerk"], "x-hasura-default-role": "owner"}


def secret(key: str = KEY) -> tuple[tokens.Secret, ...]:
    return (tokens.read({"type": "HS256", "key": key}),)


def token(**payload: Any) -> dict[str, str]:
    made = jwt.encode({"https://hasura.io/jwt/claims": CLAIMS, **payload}, KEY, "HS256")
    return {"authorization": f"Bearer {made}"}


def test_a_token_that_was_good_is_refused_once_it_has_expired(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = time.time()
    headers, known = token(exp=now + 60), secret()
    assert tokens.session(headers, known) is not None
    monkeypatch.setattr(tokens, "time", SimpleNamespace(time=lambda: now + 61))

    with pytest.raises(EngineError, match="JWTExpired"):
        tokens.session(headers, known)


def test_a_token_that_was_good_is_refused_under_another_key() -> None:
    headers = token(sub="again")
    assert tokens.session(headers, secret()) is not None

    with pytest.raises(EngineError, match="JWSInvalidSignature"):
        tokens.session(headers, secret("another key, long enough for HS256."))


def test_the_role_is_chosen_anew_at_each_request() -> None:
    headers, known = token(sub="roles"), secret()

    roles = [
        tokens.session(headers | {"x-hasura-role": name}, known) for name in ("clerk", "owner")
    ]
    assert [found.role for found in roles if found] == ["clerk", "owner"]


def test_a_signature_is_checked_once_under_the_same_key() -> None:
    headers, known = token(sub="once"), secret()
    tokens.session(headers, known)
    before = tokens._signed.cache_info().hits  # noqa: SLF001 -- that it is kept shows nowhere else
    tokens.session(headers, known)

    assert tokens._signed.cache_info().hits == before + 1  # noqa: SLF001 -- the same
