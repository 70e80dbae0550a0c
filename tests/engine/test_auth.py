"""Tokens and secrets: who a request speaks for, and every way to be refused."""

from __future__ import annotations

import asyncio
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
    "x-hasura-level": "5",
}


def authenticator(secret: dict[str, Any] | None = None, **environ: str) -> Authenticator:
    given = {"HASURA_GRAPHQL_ADMIN_SECRET": harness.SECRET, **environ}
    given["HASURA_GRAPHQL_JWT_SECRET"] = json.dumps(secret or {"type": "HS256", "key": KEY})
    return Authenticator(settings.read(given, {"database_url": "x", "metadata": "y"}))


def token(claims: Any = CLAIMS, key: Any = KEY, kind: str = "HS256", **payload: Any) -> str:
    body = {NAMESPACE: claims, **payload} if claims is not None else payload
    return jwt.encode(body, key, algorithm=kind)


def decide(found: Authenticator, headers: dict[str, str]) -> Session:
    return asyncio.run(found.session(headers))


def ask(found: Authenticator, text: str, **headers: str) -> Session:
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    return decide(found, {"authorization": f"Bearer {text}", **sent})


def refusal(found: Authenticator, headers: dict[str, str]) -> tuple[str, str, int]:
    with pytest.raises(EngineError) as failure:
        decide(found, headers)
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
    session = decide(
        authenticator(),
        {"x-hasura-admin-secret": harness.SECRET, "x-hasura-role": "r", "x-hasura-user-id": "1"},
    )
    assert (session.role, session.variables) == (
        "r",
        {"x-hasura-role": "r", "x-hasura-user-id": "1"},
    )


def test_without_a_secret_everybody_is_the_admin() -> None:
    found = Authenticator(settings.read({}, {"database_url": "x", "metadata": "y"}))
    assert decide(found, {}).role == "admin"
    assert decide(found, {"x-hasura-role": "user"}).role == "user"


def test_no_token_is_refused() -> None:
    assert refusal(authenticator(), {}) == (
        "invalid-headers",
        "Missing 'Authorization' or 'Cookie' header in JWT authentication mode",
        400,
    )


def test_no_token_is_the_unauthorized_role_where_there_is_one() -> None:
    found = authenticator(HASURA_GRAPHQL_UNAUTHORIZED_ROLE="anonymous")
    session = decide(found, {"x-hasura-role": "admin"})
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
        ({"aud": ["other", 7], "iss": "me"}, "Could not verify JWT: JWTNotInAudience"),
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
    assert decide(found, {"cookie": f"a=b; auth={token()}"}).role == "user"


def test_a_header_of_ones_own_may_carry_the_token() -> None:
    header = {"type": "CustomHeader", "name": "X-Token"}
    found = authenticator({"type": "HS256", "key": KEY, "header": header})
    assert decide(found, {"x-token": token()}).role == "user"


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
    assert decide(found, {"x-token": token()}).role == "user"


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


def test_a_token_says_when_it_ends() -> None:
    ends = int(time.time()) + 60
    assert ask(authenticator(), token(exp=ends)).expires_at == ends
    assert ask(authenticator(), token()).expires_at is None


def test_claims_about_issuer_and_audience_that_a_token_does_not_make_are_not_checked() -> None:
    found = authenticator({"type": "HS256", "key": KEY, "audience": "us", "issuer": "me"})
    assert ask(found, token()).role == "user"


@pytest.mark.parametrize(
    ("payload", "what"),
    [
        ({"iat": 2**40}, "JWTIssuedAtFuture"),
        ({"nbf": 2**40}, "JWTNotYetValid"),
        ({"exp": 1, "iat": 2**40}, "JWTExpired"),
        ({"exp": True}, 'JWTClaimsSetDecodeError "Error in $.exp: not a time"'),
        ({"exp": "9999999999"}, 'JWTClaimsSetDecodeError "Error in $.exp: not a time"'),
    ],
)
def test_times_that_do_not_fit_are_refused(payload: dict[str, Any], what: str) -> None:
    text = jwt.PyJWS().encode(json.dumps({NAMESPACE: CLAIMS, **payload}).encode(), KEY, "HS256")
    assert refused_token(authenticator(), text) == ("invalid-jwt", f"Could not verify JWT: {what}")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("a", "Invalid number of parts: Expected 3 parts; got 1"),
        ("a.b.c.d", "Invalid number of parts: Expected 3 parts; got 4"),
        ("a.b.c", "Invalid token"),
        ("..", "Invalid token"),
        ("\u00e9.\u00e9.\u00e9", "Invalid token"),
        ("eyJhbGciOiJIUzI1NiJ9." + "A" * 100_000 + ".AA", None),
    ],
)
def test_what_is_no_token_is_refused(text: str, reason: str | None) -> None:
    what = "JWSError JWSInvalidSignature"
    if reason:
        what = f"JWSError (CompactDecodeError {reason})"
    assert refused_token(authenticator(), text) == ("invalid-jwt", f"Could not verify JWT: {what}")


@pytest.mark.parametrize(
    ("claims", "message"),
    [
        ([], "expecting a json object when claims_format is json"),
        (
            CLAIMS | {"x-hasura-allowed-roles": [1]},
            (
                "invalid x-hasura-allowed-roles; should be a list of roles: "
                "parsing Text failed, expected String, but encountered Number"
            ),
        ),
        (
            CLAIMS | {"x-hasura-default-role": None},
            (
                "invalid x-hasura-default-role; should be a single role name: "
                "parsing Text failed, expected String, but encountered Null"
            ),
        ),
        (
            CLAIMS | {"x-hasura-user-id": 7},
            "x-hasura-* claims: parsing Text failed, expected String, but encountered Number",
        ),
        (
            CLAIMS | {"x-hasura-teams": [1]},
            "x-hasura-* claims: parsing Text failed, expected String, but encountered Array",
        ),
    ],
)
def test_claims_of_the_wrong_kind_are_refused(claims: Any, message: str) -> None:
    assert refused_token(authenticator(), token(claims)) == ("jwt-invalid-claims", message)


def test_claims_that_are_not_at_their_path_are_refused() -> None:
    found = authenticator({"type": "HS256", "key": KEY, "claims_namespace_path": "$.a['b.c'][0]"})

    assert ask(found, token(None, a={"b.c": [CLAIMS]})).role == "user"
    assert refused_token(found, token(None, a={"b.c": []})) == (
        "jwt-invalid-claims",
        "claims not found at claims_namespace_path: '$.a['b.c'][0]'",
    )


@pytest.mark.parametrize(
    ("claims", "message"),
    [
        (CLAIMS, "expecting a string when claims_format is stringified_json"),
        (
            "[",
            (
                "expecting stringified json at: 'claims_namespace https://hasura.io/jwt/claims', "
                "but found: ["
            ),
        ),
    ],
)
def test_stringified_claims_have_to_be_text(claims: Any, message: str) -> None:
    found = authenticator({"type": "HS256", "key": KEY, "claims_format": "stringified_json"})
    assert refused_token(found, token(claims)) == ("jwt-invalid-claims", message)


MAPPING = {
    "x-hasura-allowed-roles": {"path": "$.roles"},
    "x-hasura-default-role": {"path": "$.roles[0]", "default": "nobody"},
    "x-hasura-user-id": {"path": "$.sub"},
}


@pytest.mark.parametrize(
    ("payload", "code", "message"),
    [
        (
            {"sub": "1"},
            "jwt-missing-role-claims",
            "JWT claim does not contain x-hasura-allowed-roles",
        ),
        (
            {"roles": ["user"]},
            "jwt-invalid-claims",
            "JWT claim from claims_map, x-hasura-user-id not found",
        ),
        (
            {"roles": [], "sub": "1"},
            "access-denied",
            "Your requested role is not in allowed roles",
        ),
    ],
)
def test_mapped_claims_have_to_be_there(payload: dict[str, Any], code: str, message: str) -> None:
    found = authenticator({"type": "HS256", "key": KEY, "claims_map": MAPPING})
    assert refused_token(found, token(None, **payload)) == (code, message)


def test_whoever_shows_nothing_may_still_name_session_variables() -> None:
    """As in Hasura: what the unauthorized role may see must not depend on them."""
    found = authenticator(HASURA_GRAPHQL_UNAUTHORIZED_ROLE="anonymous")
    headers = {"x-hasura-user-id": "7", "x-hasura-use-backend-only-permissions": "true"}
    session = decide(found, headers)

    assert session.variables == {"x-hasura-role": "anonymous", "x-hasura-user-id": "7"}
    assert session.backend is False


def test_there_may_be_several_admin_secrets() -> None:
    environ = {"HASURA_GRAPHQL_ADMIN_SECRETS": '["one", "two"]'}
    found = Authenticator(settings.read(environ, {"database_url": "x", "metadata": "y"}))

    assert decide(found, {"x-hasura-admin-secret": "two"}).role == "admin"
    assert decide(found, {"x-hasura-access-key": "one"}).role == "admin"
    assert refusal(found, {"x-hasura-admin-secret": "three"})[0] == "access-denied"
    assert refusal(found, {})[0] == "access-denied"


@pytest.mark.parametrize("text", ["[", "{}", "[1]", '[""]'])
def test_admin_secrets_that_are_no_list_of_texts_are_refused(text: str) -> None:
    with pytest.raises(settings.SettingsError):
        settings.read(
            {"HASURA_GRAPHQL_ADMIN_SECRETS": text}, {"database_url": "x", "metadata": "y"}
        )
