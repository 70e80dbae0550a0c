"""The packaged handler behind every front door of AWS: what arrives is what was signed."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import stripe
from serverless.conftest import ACTION_SECRET, CHECKOUT, WEBHOOK_SECRET, Hasura, settings
from serverless.lambdas import DOORS, Event, Lambda, Request, command

# Written so that no JSON library writes it again like this: the signature is over these bytes.
GENUINE = """{"id": "evt_1",  "object":"event", "created": 1763719200, "livemode": false,
  "type": "customer.created", "data": {"object": {"id": "cus_1", "name": %s}}}\r\n"""
NAMES = {
    "ascii": '"Ada"',
    "not-ascii": '"Zoë Ångström ₹ 支払い 🪙"',
    "escaped": '"Zo\\u00eb \\u20b9 \\ud83e\\ude99"',
}

doors = pytest.mark.parametrize("door", DOORS, ids=lambda door: door.__name__)
encodings = pytest.mark.parametrize("in_base64", [False, True], ids=["text", "base64"])
names = pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)

Door = Callable[..., Event]


def webhook(body: str, signed: str | None = None) -> Request:
    """A message of Stripe: its SDK signs, not our code."""
    signature = stripe.WebhookSignature.generate_signature_header(signed or body, WEBHOOK_SECRET)
    headers = {"Content-Type": "application/json; charset=utf-8", "Stripe-Signature": signature}
    return Request("/stripe-webhook", headers, body.encode())


@doors
@encodings
@names
def test_a_genuine_webhook_is_received(
    function: Lambda, hasura: Hasura, door: Door, in_base64: bool, name: str
) -> None:
    body = GENUINE % name

    answer = function.answer(door(webhook(body), in_base64=in_base64))

    assert answer["statusCode"] == 200
    assert json.loads(answer["body"]) == {"received": True, "status": "processed"}
    (asked,) = hasura.asked("ReceiveGatewayEvent")
    assert asked["variables"]["eventId"] == "evt_1"
    assert asked["variables"]["payload"] == json.loads(body)
    assert asked["headers"]["x-hasura-role"] == "service"


@doors
@encodings
@names
def test_a_tampered_webhook_is_refused(
    function: Lambda, hasura: Hasura, door: Door, in_base64: bool, name: str
) -> None:
    body = GENUINE % name
    request = webhook(body.replace("cus_1", "cus_2"), signed=body)

    answer = function.answer(door(request, in_base64=in_base64))

    assert answer["statusCode"] == 401
    assert json.loads(answer["body"])["extensions"]["code"] == "signature-invalid"
    assert not hasura.asked("ReceiveGatewayEvent")


@doors
def test_a_webhook_written_again_on_its_way_is_refused(
    function: Lambda, hasura: Hasura, door: Door
) -> None:
    body = GENUINE % NAMES["ascii"]

    answer = function.answer(door(webhook(json.dumps(json.loads(body)), body), in_base64=False))

    assert answer["statusCode"] == 401
    assert not hasura.asked("ReceiveGatewayEvent")


def action(secret: str | None) -> Request:
    """A call of createPayment as Hasura makes it."""
    headers = {"Content-Type": "application/json"} | ({"ACTION-SECRET": secret} if secret else {})
    session = {"x-hasura-role": "customer", "x-hasura-user-id": "u1"}
    given = {"amount": 2500, "email": "ada@example.com", "idempotency_key": "k-1"}
    body = {"action": {"name": "createPayment"}, "input": given, "session_variables": session}
    return Request("/create-payment", headers, json.dumps(body).encode())


@doors
@encodings
def test_the_action_secret_opens_an_action(
    function: Lambda, hasura: Hasura, door: Door, in_base64: bool
) -> None:
    answer = function.answer(door(action(ACTION_SECRET), in_base64=in_base64))

    assert answer["statusCode"] == 200
    assert json.loads(answer["body"])["checkout_url"] == CHECKOUT["url"]
    (asked,) = hasura.asked("OpenCreditPurchase")
    assert asked["variables"]["amount"] == 2500


@doors
@pytest.mark.parametrize("secret", [None, "", "wrong", ACTION_SECRET.upper()])
def test_an_action_without_its_secret_stays_shut(
    function: Lambda, hasura: Hasura, door: Door, secret: str | None
) -> None:
    answer = function.answer(door(action(secret), in_base64=False))

    assert not hasura.requests
    assert answer["statusCode"] == 401
    assert json.loads(answer["body"])["extensions"]["code"] == "unauthorized"


@doors
def test_health_is_answered_as_json_that_is_not_encoded(function: Lambda, door: Door) -> None:
    request = Request("/healthz", {"X-Request-Id": "r-1"}, b"", method="GET")

    answer = function.answer(door(request, in_base64=False))

    assert answer["statusCode"] == 200
    assert answer["isBase64Encoded"] is False
    assert json.loads(answer["body"]) == {"status": "ok"}
    given = answer.get("headers") or {n: v[0] for n, v in answer["multiValueHeaders"].items()}
    assert given["X-Request-Id"] == "r-1"


def cold_start(artifact: Path, environ: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(artifact),
        env=environ,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.mark.parametrize(
    "missing",
    [
        ["HASURA_ENDPOINT"],
        [
            *("ACTION_SECRET", "FRONTEND_URL", "HASURA_ADMIN_SECRET", "HASURA_ENDPOINT"),
            *("MUNIM_ENV", "SERVICE_URL"),
        ],
    ],
    ids=["one", "all"],
)
def test_a_cold_start_names_the_missing_settings_in_one_line(
    artifact: Path, listening_hasura: Hasura, missing: list[str]
) -> None:
    given: dict[str, Any] = settings(listening_hasura) | dict.fromkeys(missing, "")

    started = cold_start(artifact, given)

    assert started.returncode != 0
    assert not started.stdout
    (line,) = started.stderr.splitlines()
    assert line.startswith("munim: missing settings: ")
    assert all(name in line for name in missing)


def test_a_cold_start_with_a_setting_that_is_wrong_says_which(
    artifact: Path, listening_hasura: Hasura
) -> None:
    started = cold_start(artifact, {**settings(listening_hasura), "MUNIM_ENV": "production"})

    assert started.returncode != 0
    (line,) = started.stderr.splitlines()
    assert line.startswith("munim: MUNIM_ENV must be one of")
