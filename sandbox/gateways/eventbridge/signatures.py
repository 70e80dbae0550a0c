"""Who asks: signatures of AWS, version 4, read back from a request."""

import hmac
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from hashlib import sha256

from starlette.requests import Request

from sandbox.gateways.eventbridge.entries import RefusedError

SHAPE = re.compile(
    r"AWS4-HMAC-SHA256 Credential=(?P<key>[^/]+)/(?P<scope>(?P<day>\d{8})/(?P<region>[^/]+)/events"
    r"/aws4_request), ?SignedHeaders=(?P<names>[a-z0-9;-]+), ?Signature=(?P<signature>[0-9a-f]{64})"
)
SECONDS_MAX = 300
MUST_BE_SIGNED = {"host", "x-amz-date"}


def check(request: Request, body: bytes, keys: Mapping[str, str], now: float) -> str:
    """Answer the region that a genuine request is for. Raises RefusedError."""
    given = request.headers.get("authorization")
    if not given:
        raise RefusedError("MissingAuthenticationTokenException", "Missing Authentication Token")
    found = SHAPE.fullmatch(given)
    if not found or not set(found["names"].split(";")) >= MUST_BE_SIGNED | _amazons(request):
        raise RefusedError("IncompleteSignatureException", "the Authorization header is not whole")
    secret = keys.get(found["key"])
    if secret is None:
        said = "The security token included in the request is invalid."
        raise RefusedError("UnrecognizedClientException", said)
    stamp = request.headers["x-amz-date"]
    if abs(_seconds(stamp) - now) > SECONDS_MAX or stamp[:8] != found["day"]:
        raise RefusedError("InvalidSignatureException", f"Signature expired: {stamp}")
    if not hmac.compare_digest(_signature(request, body, found, secret), found["signature"]):
        raise RefusedError(
            "InvalidSignatureException",
            "The request signature we calculated does not match the signature you provided.",
        )
    return found["region"]


def _amazons(request: Request) -> set[str]:
    return {name for name in request.headers if name.startswith("x-amz-")}


def _seconds(stamp: str) -> float:
    try:
        return datetime.strptime(stamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC).timestamp()
    except ValueError as failure:
        raise RefusedError("IncompleteSignatureException", "X-Amz-Date is no time") from failure


def _signature(request: Request, body: bytes, found: re.Match[str], secret: str) -> str:
    names = found["names"].split(";")
    lines = [f"{name}:{' '.join(request.headers.get(name, '').split())}" for name in names]
    path = request.scope["raw_path"].decode() if request.scope.get("raw_path") else "/"
    whole = [request.method, path, request.url.query, *lines, "", found["names"]]
    digest = sha256("\n".join([*whole, sha256(body).hexdigest()]).encode()).hexdigest()
    text = f"AWS4-HMAC-SHA256\n{request.headers['x-amz-date']}\n{found['scope']}\n{digest}"
    key = b"AWS4" + secret.encode()
    for word in found["scope"].split("/"):
        key = hmac.new(key, word.encode(), sha256).digest()
    return hmac.new(key, text.encode(), sha256).hexdigest()
