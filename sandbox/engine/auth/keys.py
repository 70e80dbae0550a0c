"""Keys that verify signatures: those of the configuration, and those of a key set (JWKS)."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import jwt
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from sandbox.engine.settings import SettingsError

KEYS_MAX = 100  # of one set
CERTIFICATE = "-----BEGIN CERTIFICATE"
RSA = ("RS256", "RS384", "RS512")
CURVES = {"ES256": "secp256r1", "ES384": "secp384r1", "ES512": "secp521r1"}
ED25519 = "Ed25519"  # what the configuration says for EdDSA


@dataclass(frozen=True, slots=True, eq=False)  # the keys of cryptography have no hash
class Key:
    """A key, and the algorithms that a token signed with it may name."""

    key: Any
    algorithms: tuple[str, ...]
    id: str | None = None


def configured(kind: str, text: str) -> Key:
    """Read the key that the configuration holds; raises SettingsError for one that does not fit."""
    if kind.startswith("HS"):
        return Key(text, (kind,))
    try:
        data = text.encode()
        is_certificate = text.lstrip().startswith(CERTIFICATE)
        found: Any = (
            x509.load_pem_x509_certificate(data).public_key()
            if is_certificate
            else load_pem_public_key(data)
        )
    except ValueError as error:
        raise SettingsError("Invalid JWK: the key of a JWT secret is not PEM") from error
    algorithm = "EdDSA" if kind == ED25519 else kind
    if not _fits(found, kind):
        raise SettingsError(f"Invalid JWK: the key of a JWT secret is not one for {kind}")
    return Key(found, (algorithm,))


def _fits(key: Any, kind: str) -> bool:
    if kind in RSA:
        return isinstance(key, rsa.RSAPublicKey)
    if kind in CURVES:
        return isinstance(key, ec.EllipticCurvePublicKey) and key.curve.name == CURVES[kind]
    return kind == ED25519 and isinstance(key, ed25519.Ed25519PublicKey)


def key_set(body: bytes) -> tuple[Key, ...]:
    """Read a key set, without the keys that are of no use here; raises ValueError for nonsense."""
    try:
        found = json.loads(body)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    listed = found.get("keys") if isinstance(found, dict) else None
    if not isinstance(listed, list):
        raise ValueError("a key set needs a list of keys")  # noqa: TRY004 -- the set is outside data
    read = (_member(item) for item in listed[:KEYS_MAX])
    return tuple(key for key in read if key is not None)


def _member(item: Any) -> Key | None:
    """Read one public key. Others are left out: whoever can fetch them could sign."""
    if not isinstance(item, dict) or item.get("use", "sig") != "sig":
        return None
    if item.get("kty") == "oct" or "d" in item:
        return None
    try:
        read = jwt.PyJWK(item)
    except (jwt.PyJWTError, ValueError, TypeError, KeyError, NotImplementedError):
        return None
    algorithms: tuple[str, ...] = (read.algorithm_name,)
    if item.get("kty") == "RSA" and item.get("alg") is None:
        algorithms = RSA
    identifier = item.get("kid")
    return Key(read.key, algorithms, identifier if isinstance(identifier, str) else None)
