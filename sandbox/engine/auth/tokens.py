"""Tokens (JWT): where they travel, which secret is theirs, and whether they hold."""

from __future__ import annotations

import json
import time
from base64 import urlsafe_b64decode
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import jwt
from jwt.types import Options

from sandbox.engine.errors import EngineError
from sandbox.engine.session import Session
from sandbox.engine.settings import SettingsError

from . import claims, keys
from .claims import Mapped, Namespace
from .jwks import KeySet
from .secret import ROLE

KINDS = ("HS256", "HS384", "HS512", *keys.RSA, *keys.CURVES, keys.ED25519)
PARTS = 3
# Claims are checked here, in Hasura's order and with its idea of what may be missing.
SIGNATURE_ONLY: Options = {
    "verify_exp": False,
    "verify_nbf": False,
    "verify_iat": False,
    "verify_aud": False,
    "verify_iss": False,
    "verify_sub": False,
    "verify_jti": False,
}
TIMES = ("exp", "iat", "nbf")


def _bad_header(message: str) -> EngineError:
    return EngineError("invalid-headers", message)


def _bad_token(what: str) -> EngineError:
    return EngineError("invalid-jwt", f"Could not verify JWT: {what}")


@dataclass(frozen=True, slots=True)
class Secret:
    """One configured way to verify tokens. `header` is a kind of place and its name there."""

    header: tuple[str, str]
    key: keys.Key | None
    key_set: KeySet | None
    claims: Namespace | Mapped
    audiences: frozenset[str] | None
    issuer: str | None
    skew_s: float

    @property
    def keys(self) -> tuple[keys.Key, ...]:
        return self.key_set.keys if self.key_set else (self.key,) if self.key else ()


def read(raw: Mapping[str, Any]) -> Secret:
    """Read one secret of the configuration; raises SettingsError for one that cannot be used."""
    key = None
    if raw.get("key") is not None:
        if raw.get("type") not in KINDS:
            raise SettingsError(f"Invalid JWK: Key type: {raw.get('type')} is not supported")
        key = keys.configured(raw["type"], str(raw["key"]))
    audience = raw.get("audience")
    audiences = [audience] if isinstance(audience, str) else audience
    skew = raw.get("allowed_skew") or 0
    if not isinstance(skew, (int, float)):
        raise SettingsError("allowed_skew must be a number of seconds")
    return Secret(
        header=_header(raw.get("header")),
        key=key,
        key_set=None if key else KeySet(str(raw["jwk_url"])),
        claims=claims.read(raw),
        audiences=None if audiences is None else frozenset(audiences),
        issuer=raw.get("issuer"),
        skew_s=abs(skew),
    )


def _header(raw: Any) -> tuple[str, str]:
    place = raw or {"type": "Authorization"}
    kind = (place if isinstance(place, str) else str(place.get("type"))).lower()
    if kind == "authorization":
        return kind, ""
    if kind not in ("cookie", "customheader") or not place.get("name"):
        text = "expected 'type' is 'Authorization', 'Cookie' or 'CustomHeader', with a 'name'"
        raise SettingsError(f"header of a JWT secret: {text}")
    return kind, place["name"].lower() if kind == "customheader" else place["name"]


def session(headers: Mapping[str, str], secrets: tuple[Secret, ...]) -> Session | None:
    """Return the session of the token that came along; None where none came."""
    pairs = [(text, item) for item in secrets if (text := _carried(headers, item)) is not None]
    if not pairs:
        return None
    fitting = [(text, item) for text, item in pairs if _may_be_of(text, item)]
    if not fitting:
        raise _bad_token("JWTNotInIssuer")
    if len(fitting) > 1:
        raise _bad_header("Could not verify JWT: Multiple JWTs found")
    text, secret = fitting[0]
    payload = _verified(text, secret)
    found = secret.claims.find(payload)
    allowed, default = claims.roles(found)
    role = headers.get(ROLE) or default
    if role not in allowed:
        raise EngineError("access-denied", "Your requested role is not in allowed roles")
    variables = claims.texts(found) | {ROLE: role}
    return Session(role, variables, headers=dict(headers), expires_at=payload.get("exp"))


def _carried(headers: Mapping[str, str], secret: Secret) -> str | None:
    """Find the token where this secret's configuration says it travels."""
    kind, name = secret.header
    if kind == "cookie":
        return _cookies(headers.get("cookie", "")).get(name)
    if kind == "customheader":
        return headers.get(name)
    text = headers.get("authorization")
    if text is None:
        return None
    parts = text.split()
    if len(parts) != 2 or parts[0] != "Bearer":
        raise _bad_header("Malformed Authorization header")
    return parts[1]


def _cookies(text: str) -> dict[str, str]:
    pairs = (item.strip().partition("=") for item in text.split(";"))
    return {name: value for name, _, value in pairs if name}


def _may_be_of(text: str, secret: Secret) -> bool:
    """Tell whether the token's issuer, which is not verified yet, is this secret's."""
    if secret.issuer is None:
        return True
    try:
        part = text.split(".")[1]
        payload = json.loads(urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    except (ValueError, IndexError, RecursionError):
        return True
    issuer = payload.get("iss") if isinstance(payload, dict) else None
    return issuer is None or issuer == secret.issuer


def _verified(text: str, secret: Secret) -> Mapping[str, Any]:
    """Check signature, times, issuer and audience; claims that it does not make are not checked."""
    payload = _signed(text, secret.keys)
    _check_times(payload, secret.skew_s)
    if secret.issuer is not None and payload.get("iss", secret.issuer) != secret.issuer:
        raise _bad_token("JWTNotInIssuer")
    if secret.audiences is not None and "aud" in payload:
        named = payload["aud"] if isinstance(payload["aud"], list) else [payload["aud"]]
        if not any(isinstance(item, str) and item in secret.audiences for item in named):
            raise _bad_token("JWTNotInAudience")
    return payload


def _check_times(payload: Mapping[str, Any], skew: float) -> None:
    for name in TIMES:
        if name in payload and not _is_time(payload[name]):
            raise _bad_token(f'JWTClaimsSetDecodeError "Error in $.{name}: not a time"')
    now = time.time()
    if "exp" in payload and now >= payload["exp"] + skew:
        raise _bad_token("JWTExpired")
    if "iat" in payload and payload["iat"] > now + skew:
        raise _bad_token("JWTIssuedAtFuture")
    if "nbf" in payload and now < payload["nbf"] - skew:
        raise _bad_token("JWTNotYetValid")


def _is_time(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


@lru_cache(maxsize=1000)
def _signed(text: str, usable: tuple[keys.Key, ...]) -> Mapping[str, Any]:
    """Return the payload that one of the keys has signed; the key that is named is tried first.

    A good signature stays good under the same keys, so it is checked once; times are the caller's.
    """
    parts = text.count(".") + 1
    if parts != PARTS:
        reason = f"Invalid number of parts: Expected {PARTS} parts; got {parts}"
        raise _bad_token(f"JWSError (CompactDecodeError {reason})")
    try:
        named = jwt.get_unverified_header(text).get("kid")
    except jwt.PyJWTError as error:
        raise _bad_token("JWSError (CompactDecodeError Invalid token)") from error
    if not usable:
        raise _bad_token("JWSError NoUsableKeys")
    for key in sorted(usable, key=lambda item: item.id != named):
        try:
            return jwt.decode(
                text, key.key, algorithms=list(key.algorithms), options=SIGNATURE_ONLY
            )
        except (jwt.InvalidSignatureError, jwt.InvalidAlgorithmError, jwt.InvalidKeyError):
            continue
        except jwt.PyJWTError as error:
            raise _bad_token("JWSError (CompactDecodeError Invalid token)") from error
    raise _bad_token("JWSError JWSInvalidSignature")
