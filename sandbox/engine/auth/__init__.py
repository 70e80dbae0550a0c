"""Who a request speaks for: the admin secret, a token, or the role for everybody else."""

from __future__ import annotations

import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jwt

from sandbox.engine.errors import EngineError
from sandbox.engine.session import ADMIN, Session
from sandbox.engine.settings import Settings

PREFIX = "x-hasura-"
SECRETS = ("x-hasura-admin-secret", "x-hasura-access-key")
ROLE = "x-hasura-role"
BACKEND = "x-hasura-use-backend-only-permissions"
NAMESPACE = "https://hasura.io/jwt/claims"
TRUTHS = dict.fromkeys(("true", "t", "yes", "y"), True) | dict.fromkeys(
    ("false", "f", "no", "n"), False
)

FAULTS: dict[type[Exception], str] = {
    jwt.ExpiredSignatureError: "JWTExpired",
    jwt.ImmatureSignatureError: "JWTNotYetValid",
    jwt.InvalidAudienceError: "JWTNotInAudience",
    jwt.InvalidIssuerError: "JWTNotInIssuer",
    jwt.InvalidSignatureError: "JWSError JWSInvalidSignature",
    jwt.InvalidAlgorithmError: "JWSError JWSInvalidSignature",
}


def _denied(message: str) -> EngineError:
    return EngineError("access-denied", message, status=401)


def _bad_header(message: str) -> EngineError:
    return EngineError("invalid-headers", message)


def _bad_token(what: str) -> EngineError:
    return EngineError("invalid-jwt", f"Could not verify JWT: {what}")


@dataclass(frozen=True, slots=True)
class Authenticator:
    settings: Settings

    def session(self, headers: Mapping[str, str]) -> Session:
        """Decide for one request; header names are lower-case."""
        secret = headers.get(SECRETS[0]) or headers.get(SECRETS[1])
        if self.settings.admin_secret is None:
            return _trusted(headers)
        if secret is not None:
            if not hmac.compare_digest(secret.encode(), self.settings.admin_secret.encode()):
                raise _denied('invalid "x-hasura-admin-secret"/"x-hasura-access-key"')
            return _trusted(headers)
        if self.settings.jwt_secrets:
            return self._token_session(headers)
        if self.settings.unauthorized_role:
            return self._unauthorized(headers)
        raise _denied("x-hasura-admin-secret/x-hasura-access-key required, but not found")

    def _unauthorized(self, headers: Mapping[str, str]) -> Session:
        role = self.settings.unauthorized_role or ""
        return Session(role, {ROLE: role}, headers=dict(headers))

    def _token_session(self, headers: Mapping[str, str]) -> Session:
        found = [_token(headers, secret) for secret in self.settings.jwt_secrets]
        pairs = [
            (token, secret)
            for token, secret in zip(found, self.settings.jwt_secrets, strict=True)
            if token
        ]
        if not pairs:
            if self.settings.unauthorized_role:
                return self._unauthorized(headers)
            raise _bad_header(
                "Missing 'Authorization' or 'Cookie' header in JWT authentication mode"
            )
        if len({token for token, _ in pairs}) > 1:
            raise _bad_header("Could not verify JWT: Multiple JWTs found")
        return _session_of(*_claims(pairs), headers)


def _trusted(headers: Mapping[str, str]) -> Session:
    role = headers.get(ROLE) or ADMIN
    variables = {
        name: value
        for name, value in headers.items()
        if name.startswith(PREFIX) and name not in SECRETS and name != BACKEND
    }
    variables[ROLE] = role
    return Session(role, variables, _backend(headers), dict(headers))


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


def _token(headers: Mapping[str, str], secret: dict[str, Any]) -> str | None:
    """Find the token where this secret's configuration says it travels."""
    place = secret.get("header") or {"type": "Authorization"}
    kind = place if isinstance(place, str) else place.get("type", "Authorization")
    if kind == "Cookie":
        return _cookies(headers.get("cookie", "")).get(place["name"])
    if kind == "CustomHeader":
        return headers.get(place["name"].lower())
    text = headers.get("authorization")
    if text is None:
        return None
    parts = text.split(" ")
    if len(parts) != 2 or parts[0] != "Bearer" or not parts[1]:
        raise _bad_header("Malformed Authorization header")
    return parts[1]


def _cookies(text: str) -> dict[str, str]:
    pairs = (item.strip().partition("=") for item in text.split(";"))
    return {name: value for name, _, value in pairs if name}


def _claims(pairs: list[tuple[str, dict[str, Any]]]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Verify with each secret that could have signed; the last failure is the one reported."""
    failure = _bad_token("JWSError JWSInvalidSignature")
    for token, secret in pairs:
        try:
            return _verified(token, secret), secret
        except EngineError as error:
            failure = error
    raise failure


def _verified(token: str, secret: dict[str, Any]) -> dict[str, Any]:
    kind = "EdDSA" if secret["type"] == "Ed25519" else secret["type"]
    audience = secret.get("audience")
    try:
        return jwt.decode(
            token,
            secret["key"],
            algorithms=[kind],
            audience=audience,
            issuer=secret.get("issuer"),
            leeway=secret.get("allowed_skew") or 0,
            options={
                "verify_aud": audience is not None,
                "verify_iat": False,
                "verify_sub": False,
                "verify_jti": False,
            },
        )
    except jwt.MissingRequiredClaimError as error:
        missing = "JWTNotInIssuer" if error.claim == "iss" else "JWTNotInAudience"
        raise _bad_token(missing) from error
    except jwt.PyJWTError as error:
        text = "JWSError (CompactDecodeError Invalid token)"
        raise _bad_token(FAULTS.get(type(error), text)) from error


def _session_of(
    payload: dict[str, Any], secret: dict[str, Any], headers: Mapping[str, str]
) -> Session:
    claims = _mapped(payload, secret) if secret.get("claims_map") else _namespaced(payload, secret)
    allowed = claims.get("x-hasura-allowed-roles")
    if allowed is None:
        raise _missing_role("x-hasura-allowed-roles")
    if not isinstance(allowed, list):
        raise EngineError(
            "jwt-invalid-claims",
            "invalid x-hasura-allowed-roles; should be a list of roles: parsing [] failed, "
            f"expected Array, but encountered {type(allowed).__name__.replace('str', 'String')}",
        )
    default = claims.get("x-hasura-default-role")
    if not isinstance(default, str):
        raise _missing_role("x-hasura-default-role")
    role = headers.get(ROLE) or default
    if role not in allowed:
        raise EngineError("access-denied", "Your requested role is not in allowed roles")
    hidden = ("x-hasura-allowed-roles", "x-hasura-default-role")
    variables = {
        name: _text(value)
        for name, value in claims.items()
        if name.startswith(PREFIX) and name not in hidden
    }
    variables[ROLE] = role
    return Session(role, variables, headers=dict(headers))


def _missing_role(name: str) -> EngineError:
    return EngineError("jwt-missing-role-claims", f"JWT claim does not contain {name}")


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))


def _namespaced(payload: dict[str, Any], secret: dict[str, Any]) -> dict[str, Any]:
    path = secret.get("claims_namespace_path")
    namespace = secret.get("claims_namespace") or NAMESPACE
    found = _at(payload, path) if path else payload.get(namespace)
    if found is None:
        name = path or namespace
        raise EngineError("jwt-invalid-claims", f"claims key: '{name}' not found")
    if secret.get("claims_format") == "stringified_json":
        try:
            found = json.loads(found)
        except (TypeError, ValueError) as error:
            raise EngineError("jwt-invalid-claims", "expecting stringified json") from error
    if not isinstance(found, dict):
        raise EngineError("jwt-invalid-claims", "expecting a json object for the claims")
    return {name.lower(): value for name, value in found.items()}


def _mapped(payload: dict[str, Any], secret: dict[str, Any]) -> dict[str, Any]:
    found = {}
    for name, rule in secret["claims_map"].items():
        value = rule
        if isinstance(rule, dict) and "path" in rule:
            value = _at(payload, rule["path"])
            value = rule.get("default") if value is None else value
        if value is not None:
            found[name.lower()] = value
    return found


def _at(payload: Any, path: str) -> Any:
    """Follow `$.a.b` or `$.a['b']`."""
    steps = path.removeprefix("$").replace("['", ".").replace("']", "").split(".")
    for step in steps:
        if step:
            payload = payload.get(step) if isinstance(payload, dict) else None
    return payload
