"""Signatures of AWS against the test suite that AWS published for them."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from app.webhooks.sigv4 import Credentials, sign

WHO = Credentials(
    access_key_id="AKIDEXAMPLE",
    secret_access_key="wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
    session_token="",
    region="us-east-1",
    service="service",
)
URL = "https://example.amazonaws.com/"
NOW = datetime(2015, 8, 30, 12, 36, tzinfo=UTC)
FORM = "application/x-www-form-urlencoded"
# The suite's POST requests without a query: https://github.com/awslabs/aws-c-auth,
# tests/aws-signing-test-suite/v4.
SUITE = {
    "post-vanilla": (
        {},
        b"",
        "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b",
    ),
    "post-header-key-sort": (
        {"My-Header1": "value1"},
        b"",
        "c5410059b04c1ee005303aed430f6e6645f61f4dc9e1461ec8f8916fdf18852c",
    ),
    "post-header-value-case": (
        {"My-Header1": "VALUE1"},
        b"",
        "cdbc9802e29d2942e5e10b5bccfdd67c5f22c7c4e8ae67b53629efa58b974b7d",
    ),
    "post-x-www-form-urlencoded": (
        {"Content-Type": FORM},
        b"Param1=value1",
        "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a",
    ),
    "post-x-www-form-urlencoded-parameters": (
        {"Content-Type": f"{FORM}; charset=utf8"},
        b"Param1=value1",
        "1a72ec8f64bd914b0e42e42607c7fbce7fb2c7465f63e3092b3b0d39fa77a6fe",
    ),
}


@pytest.mark.parametrize("name", SUITE)
def test_a_signature_is_the_published_one(name: str) -> None:
    headers, body, signature = SUITE[name]
    signed = sign(WHO, URL, headers, body, NOW)

    assert signed["X-Amz-Date"] == "20150830T123600Z"
    assert signed["Authorization"].endswith(f", Signature={signature}")
    assert (
        "Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request,"
        in (signed["Authorization"])
    )


def test_a_roles_token_is_sent_and_signed() -> None:
    role = Credentials(
        access_key_id=WHO.access_key_id,
        secret_access_key=WHO.secret_access_key,
        session_token="AQoDYXdzEPT//////////wEXAMPLEtc764bNrC9SAPBSM22wDOk4x4HIZ8j4FZTwdQWLWsKWHGBu"
        "FqwAeMicRXmxfpSPfIeoIYRqTflfKD8YUuwthAx7mSEI/qkPpKPi/kMcGdQrmGdeehM4IC1NtBmUpp2wUE8phUZam"
        "pKsburEDy0KPkyQDYwT7WZ0wq5VSXDvp75YU9HFvlRd8Tx6q6fE8YQcHNVXAkiY9q6d+xo0rKwT38xVqr7ZD0u0i"
        "PPkUL64lIZbqBAz+scqKmlzm8FDrypNC9Yjc8fPOLn9FX9KSYvKTr4rvx3iSIlTJabIQwj2ICCR/oLxBA==",
        region=WHO.region,
        service=WHO.service,
    )
    signed = sign(role, URL, {}, b"", NOW)

    assert signed["X-Amz-Security-Token"] == role.session_token
    assert "SignedHeaders=host;x-amz-date;x-amz-security-token," in signed["Authorization"]
    assert signed["Authorization"].endswith(
        "85d96828115b5dc0cfc3bd16ad9e210dd772bbebba041836c64533a82be05ead"
    )


def test_the_time_is_said_in_utc() -> None:
    india = timezone(timedelta(hours=5, minutes=30))

    assert sign(WHO, URL, {}, b"", NOW.astimezone(india)) == sign(WHO, URL, {}, b"", NOW)


def test_what_is_sent_is_what_was_signed_and_nothing_else() -> None:
    signed = sign(WHO, URL, {"Content-Type": "application/json"}, b"{}", NOW)

    assert set(signed) == {"Content-Type", "X-Amz-Date", "Authorization"}


def test_a_secret_is_not_shown() -> None:
    assert WHO.secret_access_key not in repr(WHO)
