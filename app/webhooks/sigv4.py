"""Signatures of AWS, version 4, for one POST without a query.

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
docs/decisions/0022 says why not by boto3.
"""

import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from urllib.parse import urlsplit

ALGORITHM = "AWS4-HMAC-SHA256"


@dataclass(frozen=True, slots=True)
class Credentials:
    """Who asks, where and what for. The token is of a role, as Lambda's is."""

    access_key_id: str
    secret_access_key: str = field(repr=False)
    session_token: str = field(repr=False)
    region: str
    service: str


def sign(
    who: Credentials, url: str, headers: Mapping[str, str], body: bytes, now: datetime
) -> dict[str, str]:
    """Answer the headers, signed, with those that the signature adds. All that are given count."""
    parts = urlsplit(url)
    stamp = now.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")
    scope = f"{stamp[:8]}/{who.region}/{who.service}/aws4_request"
    added = {"X-Amz-Date": stamp}
    if who.session_token:
        added["X-Amz-Security-Token"] = who.session_token
    signed = {name.lower(): value.strip() for name, value in {**headers, **added}.items()}
    signed["host"] = parts.netloc.rpartition("@")[2]
    names = ";".join(sorted(signed))
    lines = "".join(f"{name}:{signed[name]}\n" for name in sorted(signed))
    canonical = "\n".join(["POST", parts.path or "/", "", lines, names, sha256(body).hexdigest()])
    text = "\n".join([ALGORITHM, stamp, scope, sha256(canonical.encode()).hexdigest()])
    signature = hmac.new(_key(who, stamp[:8]), text.encode(), sha256).hexdigest()
    added["Authorization"] = (
        f"{ALGORITHM} Credential={who.access_key_id}/{scope}, "
        f"SignedHeaders={names}, Signature={signature}"
    )
    return {**headers, **added}


def _key(who: Credentials, day: str) -> bytes:
    key = f"AWS4{who.secret_access_key}".encode()
    for word in (day, who.region, who.service, "aws4_request"):
        key = hmac.digest(key, word.encode(), sha256)
    return key
