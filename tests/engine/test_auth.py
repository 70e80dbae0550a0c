"""Tokens and secrets: who a request speaks for, and every way to be refused."""

from __future__ import annotations

import json
import time
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from engine import harness

from sandbox.engine import settings
from sandbox.engine.auth import NAMESPACE, Authenticator
from sandbox.engine.errors import EngineError
from sandbox.engine.session import Session

KEY = "k" * 32
CLAIMS = {
    "x-hasura-default-role": "user",
    "x-hasura-allowed-roles": ["user", "owner"],
    "X-Hasura-User-Id": "7",
    "x-hasura-teams": "{1,2}",
    "x-hasura-level": 5,
}


def authenticator(secret: dict[str, Any] | None = None, **environ: str) -> Authenticator:
    given = {"HASURA_GRAPHQL_ADMIN_SECRET": harness.SECRET, **environ}
    given["HASURA_GRAPHQL_JWT_SECRET"] = json.dumps(secret or {"type": "HS256", "key": KEY})
    return Authenticator(settings.read(given, {"database_url": "x", "metadata": "y"}))


def token(claims: Any = CLAIMS, key: Any = KEY, kind: str = "HS256", **payload: Any) -> str:
    body = {NAMESPACE: claims, **payload} if claims is not None else payload
    return jwt.encode(body, key, algorithm=kind)


def ask(found: Authenticator, text: str, **headers: str) -> Session:
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    return found.session({"authorization": f"Bearer {text}", **sent})


def refusal(found: Authenticator, headers: dict[str, str]) -> tuple[str, str, int]:
    with pytest.raises(EngineError) as failure:
        found.session(headers)
    assert failure.value.path == "$"
    return failure.value.code, failure.value.message, failure.value.status


def refused_token(found: Authenticator, text: str, **headers: str) -> tuple[str, str]:
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    code, message, status = refusal(found, {"authorization": f"Bearer {text}", **sent})
    assert status == 400
    return code, message


def test_a_token_gives_its_default_role_and_its_claims_as_lower_case_text() -> None:
    session = ask(authenticator(), token())

    assert session.role == "user"
    assert session.variables == {
        "x-hasura-role": "user",
        "x-hasura-user-id": "7",
        "x-hasura-teams": "{1,2}",
        "x-hasura-level": "5",
    }


def test_only_the_role_may_be_chosen_by_the_client() -> None:
    session = ask(authenticator(), token(), x_hasura_role="owner", x_hasura_user_id="8")

    assert session.role == "owner"
    assert session.variables["x-hasura-user-id"] == "7"


def test_a_role_that_is_not_allowed_is_refused() -> None:
    assert refused_token(authenticator(), token(), x_hasura_role="admin") == (
        "access-denied",
        "Your requested role is not in allowed roles",
    )


def test_a_token_never_makes_a_trusted_backend() -> None:
    headers = {"x_hasura_use_backend_only_permissions": "true"}
    assert ask(authenticator(), token(), **headers).backend is False


def test_the_admin_secret_wins_over_a_bad_token() -> None:
    session = ask(authenticator(), "garbage", x_hasura_admin_secret=harness.SECRET)
    assert session.role == "admin"


def test_the_admin_may_act_as_any_role() -> None:
    session = authenticator().session(
        {"x-hasura-admin-secret": harness.SECRET, "x-hasura-role": "r", "x-hasura-user-id": "1"}
    )
    assert (session.role, session.variables) == (
        "r",
        {"x-hasura-role": "r", "x-hasura-user-id": "1"},
    )


def test_without_a_secret_everybody_is_the_admin() -> None:
    found = Authenticator(settings.read({}, {"database_url": "x", "metadata": "y"}))
    assert found.session({}).role == "admin"
    assert found.session({"x-hasura-role": "user"}).role == "user"


def test_no_token_is_refused() -> None:
    assert refusal(authenticator(), {}) == (
        "invalid-headers",
        "Missing 'Authorization' or 'Cookie' header in JWT authentication mode",
        400,
    )


def test_no_token_is_the_unauthorized_role_where_there_is_one() -> None:
    found = authenticator(HASURA_GRAPHQL_UNAUTHORIZED_ROLE="anonymous")
    session = found.session({"x-hasura-role": "admin"})
    assert (session.role, session.variables) == ("anonymous", {"x-hasura-role": "anonymous"})


def test_a_bad_token_is_not_the_unauthorized_role() -> None:
    found = authenticator(HASURA_GRAPHQL_UNAUTHORIZED_ROLE="anonymous")
    assert refused_token(found, token(key="x" * 32))[0] == "invalid-jwt"


@pytest.mark.parametrize("text", ["Basic x", "Bearer", "Bearer a b", "x", ""])
def test_a_malformed_header_is_refused(text: str) -> None:
    assert refusal(authenticator(), {"authorization": text})[:2] == (
        "invalid-headers",
        "Malformed Authorization header",
    )


@pytest.mark.parametrize(
    ("payload", "message"),
    [
        ({"exp": 1}, "Could not verify JWT: JWTExpired"),
        ({"aud": "other", "iss": "me"}, "Could not verify JWT: JWTNotInAudience"),
        ({"iss": "other", "aud": "us"}, "Could not verify JWT: JWTNotInIssuer"),
        ({"aud": "us"}, "Could not verify JWT: JWTNotInIssuer"),
        ({"iss": "me"}, "Could not verify JWT: JWTNotInAudience"),
    ],
)
def test_a_token_for_others_is_refused(payload: dict[str, Any], message: str) -> None:
    found = authenticator({"type": "HS256", "key": KEY, "audience": ["us"], "issuer": "me"})
    assert refused_token(found, token(**payload)) == ("invalid-jwt", message)


def test_audience_and_issuer_that_fit_are_accepted() -> None:
    found = authenticator({"type": "HS256", "key": KEY, "audience": ["us", "them"], "issuer": "me"})
    assert ask(found, token(aud="them", iss="me")).role == "user"


def test_a_small_skew_is_allowed() -> None:
    text = token(exp=int(time.time()) - 20)
    found = authenticator({"type": "HS256", "key": KEY, "allowed_skew": 60})

    assert refused_token(authenticator(), text)[1] == "Could not verify JWT: JWTExpired"
    assert ask(found, text).role == "user"


def test_a_foreign_signature_is_refused() -> None:
    assert refused_token(authenticator(), token(key="x" * 32)) == (
        "invalid-jwt",
        "Could not verify JWT: JWSError JWSInvalidSignature",
    )


def test_an_unsigned_token_is_refused() -> None:
    text = jwt.encode({NAMESPACE: CLAIMS}, None, algorithm="none")  # type: ignore[arg-type]  # that is the attack
    assert refused_token(authenticator(), text)[0] == "invalid-jwt"


def test_a_token_signed_by_another_algorithm_of_the_same_key_is_refused() -> None:
    text = jwt.encode({NAMESPACE: CLAIMS}, "k" * 64, algorithm="HS512")
    assert refused_token(authenticator(), text)[0] == "invalid-jwt"


def test_claims_must_be_there() -> None:
    assert refused_token(authenticator(), token(None, sub="1")) == (
        "jwt-invalid-claims",
        "claims key: 'https://hasura.io/jwt/claims' not found",
    )


@pytest.mark.parametrize(
    ("claims", "code", "message"),
    [
        (
            {"x-hasura-default-role": "user"},
            "jwt-missing-role-claims",
            "JWT claim does not contain x-hasura-allowed-roles",
        ),
        (
            {"x-hasura-allowed-roles": ["user"]},
            "jwt-missing-role-claims",
            "JWT claim does not contain x-hasura-default-role",
        ),
        (
            {"x-hasura-allowed-roles": "user", "x-hasura-default-role": "user"},
            "jwt-invalid-claims",
            (
                "invalid x-hasura-allowed-roles; should be a list of roles: parsing [] failed, "
                "expected Array, but encountered String"
            ),
        ),
    ],
)
def test_the_roles_must_be_claimed(claims: dict[str, Any], code: str, message: str) -> None:
    assert refused_token(authenticator(), token(claims)) == (code, message)


def test_claims_may_live_under_a_name_of_their_own() -> None:
    found = authenticator({"type": "HS256", "key": KEY, "claims_namespace": "mine"})
    assert ask(found, token(None, mine=CLAIMS)).role == "user"


def test_claims_may_live_at_a_path() -> None:
    found = authenticator({"type": "HS256", "key": KEY, "claims_namespace_path": "$.a.b"})
    assert ask(found, token(None, a={"b": CLAIMS})).role == "user"


def test_claims_may_be_stringified() -> None:
    found = authenticator({"type": "HS256", "key": KEY, "claims_format": "stringified_json"})
    assert ask(found, token(json.dumps(CLAIMS))).role == "user"


def test_claims_may_be_mapped() -> None:
    mapping = {
        "x-hasura-allowed-roles": {"path": "$.roles"},
        "x-hasura-default-role": "user",
        "x-hasura-user-id": {"path": "$.user.id"},
        "x-hasura-org": {"path": "$.missing", "default": "none"},
    }
    found = authenticator({"type": "HS256", "key": KEY, "claims_map": mapping})

    session = ask(found, token(None, roles=["user"], user={"id": "9"}))

    assert session.variables == {
        "x-hasura-role": "user",
        "x-hasura-user-id": "9",
        "x-hasura-org": "none",
    }


def test_a_cookie_may_carry_the_token() -> None:
    header = {"type": "Cookie", "name": "auth"}
    found = authenticator({"type": "HS256", "key": KEY, "header": header})
    assert found.session({"cookie": f"a=b; auth={token()}"}).role == "user"


def test_a_header_of_ones_own_may_carry_the_token() -> None:
    header = {"type": "CustomHeader", "name": "X-Token"}
    found = authenticator({"type": "HS256", "key": KEY, "header": header})
    assert found.session({"x-token": token()}).role == "user"


def test_two_tokens_at_once_are_refused() -> None:
    secrets = [
        {"type": "HS256", "key": KEY},
        {"type": "HS256", "key": KEY, "header": {"type": "CustomHeader", "name": "x-token"}},
    ]
    environ = {
        "HASURA_GRAPHQL_ADMIN_SECRET": "s",
        "HASURA_GRAPHQL_JWT_SECRETS": json.dumps(secrets),
    }
    found = Authenticator(settings.read(environ, {"database_url": "x", "metadata": "y"}))
    headers = {"authorization": f"Bearer {token()}", "x-token": token(sub="2")}

    assert refusal(found, headers)[1] == "Could not verify JWT: Multiple JWTs found"
    assert found.session({"x-token": token()}).role == "user"


def test_rsa_tokens_are_verified_with_the_public_key() -> None:
    private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    found = authenticator({"type": "RS256", "key": _pem(private.public_key())})

    assert ask(found, token(key=private, kind="RS256")).role == "user"


def test_elliptic_tokens_are_verified_with_the_public_key() -> None:
    private = ec.generate_private_key(ec.SECP256R1())
    found = authenticator({"type": "ES256", "key": _pem(private.public_key())})

    assert ask(found, token(key=private, kind="ES256")).role == "user"


def _pem(public: Any) -> str:
    kind = serialization.PublicFormat.SubjectPublicKeyInfo
    return str(public.public_bytes(serialization.Encoding.PEM, kind).decode())


@pytest.mark.parametrize(
    "text",
    ["not json", '{"type": "HS256"}', '{"type": "HS256", "key": ""}', '{"type":"HS256","key":"x"}'],
)
def test_a_token_secret_that_cannot_be_used_is_refused_at_the_start(text: str) -> None:
    given = {"HASURA_GRAPHQL_JWT_SECRET": text}
    with pytest.raises(settings.SettingsError):
        settings.read(given, {"database_url": "x", "metadata": "y"})
