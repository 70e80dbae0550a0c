"""Keys: every kind of them, and key sets that are fetched and rotate in the background."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import NameOID
from engine import harness
from engine.authority import Authority, authority
from engine.waiting import until

from sandbox.engine import settings
from sandbox.engine.auth import NAMESPACE, Authenticator, jwks, lifetimes
from sandbox.engine.auth.fetching import BYTES_MAX
from sandbox.engine.errors import EngineError
from sandbox.engine.session import Session

CLAIMS = {"x-hasura-default-role": "user", "x-hasura-allowed-roles": ["user"]}
RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
OTHER = rsa.generate_private_key(public_exponent=65537, key_size=2048)
KEPT = {"Cache-Control": "max-age=600"}


def authenticator(*secrets: dict[str, Any], **environ: str) -> Authenticator:
    given = {"HASURA_GRAPHQL_ADMIN_SECRET": harness.SECRET, **environ}
    given["HASURA_GRAPHQL_JWT_SECRETS"] = json.dumps(secrets)
    return Authenticator(settings.read(given, {"database_url": "x", "metadata": "y"}))


def bearer(key: Any, kind: str, kid: str | None = None, **payload: Any) -> dict[str, str]:
    headers = None if kid is None else {"kid": kid}
    body = {NAMESPACE: CLAIMS, **payload}
    return {"authorization": f"Bearer {jwt.encode(body, key, kind, headers)}"}


def pem(private: Any) -> str:
    kind = serialization.PublicFormat.SubjectPublicKeyInfo
    public = private.public_key()
    return str(public.public_bytes(serialization.Encoding.PEM, kind).decode())


def published(private: rsa.RSAPrivateKey, **more: str) -> dict[str, Any]:
    public = jwt.algorithms.RSAAlgorithm.to_jwk(private.public_key(), as_dict=True)
    return {key: value for key, value in public.items() if key != "key_ops"} | more


def opened(found: Authenticator, use: Callable[[Authenticator], Awaitable[Any]]) -> Any:
    async def run() -> Any:
        await found.open()
        try:
            return await use(found)
        finally:
            await found.close()

    return asyncio.run(run())


def decide(found: Authenticator, headers: dict[str, str]) -> Session:
    session: Session = opened(found, lambda one: one.session(headers))
    return session


def refusal(found: Authenticator, headers: dict[str, str]) -> str:
    with pytest.raises(EngineError) as failure:
        decide(found, headers)
    return failure.value.message


@pytest.fixture(autouse=True)
def _patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sandbox.engine.auth.FIRST_KEYS_SECONDS", 60.0)
    monkeypatch.setattr(jwks, "TIMEOUT_SECONDS", 60.0)


@pytest.fixture
def keys() -> Iterator[Authority]:
    with authority() as running:
        yield running


@pytest.mark.parametrize(
    ("kind", "algorithm", "private"),
    [
        ("RS256", "RS256", RSA),
        ("RS384", "RS384", RSA),
        ("RS512", "RS512", RSA),
        ("ES256", "ES256", ec.generate_private_key(ec.SECP256R1())),
        ("ES384", "ES384", ec.generate_private_key(ec.SECP384R1())),
        ("ES512", "ES512", ec.generate_private_key(ec.SECP521R1())),
        ("Ed25519", "EdDSA", ed25519.Ed25519PrivateKey.generate()),
    ],
)
def test_every_kind_of_public_key_verifies(kind: str, algorithm: str, private: Any) -> None:
    found = authenticator({"type": kind, "key": pem(private)})
    assert decide(found, bearer(private, algorithm)).role == "user"


@pytest.mark.parametrize("kind", ["HS256", "HS384", "HS512"])
def test_every_kind_of_shared_key_verifies(kind: str) -> None:
    found = authenticator({"type": kind, "key": "k" * 64})
    assert decide(found, bearer("k" * 64, kind)).role == "user"


def test_a_certificate_stands_for_its_key() -> None:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "issuer")])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(name, name, RSA.public_key(), 1, now, now + timedelta(days=1))
    certificate = builder.sign(RSA, hashes.SHA256())
    text = certificate.public_bytes(serialization.Encoding.PEM).decode()

    found = authenticator({"type": "RS256", "key": text})
    assert decide(found, bearer(RSA, "RS256")).role == "user"


def test_a_public_key_is_no_shared_key() -> None:
    """The oldest trick: sign with the public key's text, which everybody knows."""
    found = authenticator({"type": "RS256", "key": pem(RSA)})
    head = jwt.utils.base64url_encode(b'{"alg":"HS256","typ":"JWT"}')
    body = jwt.utils.base64url_encode(json.dumps({NAMESPACE: CLAIMS}).encode())
    signer = jwt.algorithms.HMACAlgorithm(jwt.algorithms.HMACAlgorithm.SHA256)
    signed = signer.sign(head + b"." + body, pem(RSA).encode())
    text = b".".join([head, body, jwt.utils.base64url_encode(signed)]).decode()

    assert refusal(found, {"authorization": f"Bearer {text}"}) == (
        "Could not verify JWT: JWSError JWSInvalidSignature"
    )


@pytest.mark.parametrize(
    "secret",
    [
        {"type": "RS256", "key": "not PEM"},
        {"type": "ES256", "key": pem(RSA)},
        {"type": "ES384", "key": pem(ec.generate_private_key(ec.SECP256R1()))},
        {"type": "PS256", "key": pem(RSA)},
        {"type": "none", "key": "k" * 64},
        {"type": "HS256", "key": "k" * 64, "jwk_url": "http://127.0.0.1:1/"},
        {"type": "HS256", "key": "k" * 64, "claims_namespace": "a", "claims_namespace_path": "$.a"},
        {"type": "HS256", "key": "k" * 64, "claims_namespace_path": "$.a[x]"},
        {"type": "HS256", "key": "k" * 64, "claims_format": "yaml"},
        {"type": "HS256", "key": "k" * 64, "claims_map": {"x-hasura-allowed-roles": ["user"]}},
        {"type": "HS256", "key": "k" * 64, "header": {"type": "Cookie"}},
        {"type": "HS256", "key": "k" * 64, "header": {"type": "Query", "name": "a"}},
        {"type": "HS256", "key": "k" * 64, "allowed_skew": "1m"},
    ],
)
def test_a_secret_that_makes_no_sense_is_refused_at_the_start(secret: dict[str, Any]) -> None:
    with pytest.raises(settings.SettingsError):
        authenticator(secret)


def test_published_keys_verify_with_or_without_a_key_id(keys: Authority) -> None:
    keys.say({"keys": [published(OTHER, kid="1"), published(RSA, kid="2", alg="RS256")]})
    found = authenticator({"jwk_url": keys.url})

    assert decide(found, bearer(RSA, "RS256", "2")).role == "user"
    assert decide(found, bearer(RSA, "RS256")).role == "user"
    assert decide(found, bearer(OTHER, "RS512", "nobody's")).role == "user"


def test_keys_that_are_of_no_use_are_passed_over(keys: Authority) -> None:
    secret = jwt.utils.base64url_encode(b"k" * 64).decode()
    useless = [{"kty": "oct", "k": secret}, {"kty": "?"}, 7, published(OTHER, use="enc")]
    useless += [published(OTHER, alg=name) for name in ("none", "HS256", "?")]
    keys.say({"keys": [*useless, published(RSA)]})
    found = authenticator({"jwk_url": keys.url})

    assert decide(found, bearer(RSA, "RS256")).role == "user"
    assert refusal(found, bearer("k" * 64, "HS256")).endswith("JWSInvalidSignature")
    assert refusal(found, bearer(OTHER, "RS256")).endswith("JWSInvalidSignature")


@pytest.mark.parametrize(
    ("content", "status"),
    [
        (b"", 200),
        (b"[]", 200),
        (b'{"keys": 1}', 200),
        (b"[" * 100_000, 200),
        (json.dumps({"keys": [published(RSA)]}).encode(), 500),
        (b" " * BYTES_MAX + json.dumps({"keys": [published(RSA)]}).encode(), 200),
    ],
    ids=["nothing", "a list", "no list", "a deep list", "a failure", "too much"],
)
def test_without_keys_no_token_is_good_and_the_engine_starts(
    keys: Authority, content: bytes, status: int
) -> None:
    keys.content, keys.status = content, status
    found = authenticator({"jwk_url": keys.url})
    assert refusal(found, bearer(RSA, "RS256")) == "Could not verify JWT: JWSError NoUsableKeys"


def test_the_start_does_not_wait_long_for_keys(
    keys: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sandbox.engine.auth.FIRST_KEYS_SECONDS", 0.1)
    keys.say({"keys": [published(RSA)]})
    keys.speaks.clear()
    found = authenticator({"jwk_url": keys.url})
    assert refusal(found, bearer(RSA, "RS256")).endswith("NoUsableKeys")


def test_keys_rotate_once_their_time_is_over(
    keys: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jwks, "PAUSE_SECONDS", 0.01)
    keys.say({"keys": [published(OTHER)]}, headers={"Cache-Control": "no-store"})
    found = authenticator({"jwk_url": keys.url})

    async def rotate(one: Authenticator) -> Session:
        keys.say({"keys": [published(RSA)]}, headers=KEPT)
        key_set = one.secrets[0].key_set
        assert key_set is not None
        await until(lambda: (key_set.expires_at or 0) > time.time() + 60)
        return await one.session(bearer(RSA, "RS256"))

    assert opened(found, rotate).role == "user"


def test_good_keys_outlive_a_fault_of_their_publisher(
    keys: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jwks, "PAUSE_SECONDS", 0.01)
    keys.say({"keys": [published(RSA)]})
    found = authenticator({"jwk_url": keys.url})

    async def fail(one: Authenticator) -> Session:
        keys.say({"message": "down"}, 503)
        before = len(keys.asked)
        await until(lambda: len(keys.asked) > before + 2)
        return await one.session(bearer(RSA, "RS256"))

    assert opened(found, fail).role == "user"


def test_keys_that_may_be_kept_are_not_fetched_again(
    keys: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jwks, "PAUSE_SECONDS", 0.01)
    keys.say({"keys": [published(RSA)]}, headers=KEPT)

    async def wait(_one: Authenticator) -> None:
        await asyncio.sleep(0.2)

    opened(authenticator({"jwk_url": keys.url}), wait)
    assert len(keys.asked) == 1


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"cache-control": "public, max-age=10"}, 110),
        ({"cache-control": "s-maxage=20, max-age=10"}, 120),
        ({"cache-control": 'max-age="10"'}, 110),
        ({"cache-control": "no-cache, max-age=10"}, 100),
        ({"cache-control": "no-store"}, 100),
        ({"cache-control": "must-revalidate"}, 100),
        ({"cache-control": "must-revalidate, max-age=10"}, 110),
        ({"cache-control": "public"}, None),
        ({"cache-control": "max-age=soon"}, None),
        ({"cache-control": "public", "expires": "Thu, 01 Jan 1970 00:03:20 GMT"}, 200),
        ({"expires": "Thu, 01 Jan 1970 00:03:20 GMT"}, 200),
        ({"expires": "never"}, None),
        ({}, None),
    ],
)
def test_the_life_of_keys_is_what_their_publisher_says(
    headers: dict[str, str], expected: float | None
) -> None:
    assert lifetimes.of_keys(headers, 100) == expected


def test_the_issuer_chooses_among_secrets() -> None:
    secrets = [
        {"type": "RS256", "key": pem(RSA), "issuer": "one"},
        {"type": "HS256", "key": "k" * 32, "issuer": "two"},
    ]
    found = authenticator(*secrets)

    assert decide(found, bearer(RSA, "RS256", iss="one")).role == "user"
    assert decide(found, bearer("k" * 32, "HS256", iss="two")).role == "user"
    assert refusal(found, bearer(RSA, "RS256", iss="two")).endswith("JWSInvalidSignature")
    assert refusal(found, bearer(RSA, "RS256", iss="three")).endswith("JWTNotInIssuer")
    assert refusal(found, bearer(RSA, "RS256")) == "Could not verify JWT: Multiple JWTs found"
