"""The plain address: one event a request, signed as Standard Webhooks says."""

import json
from base64 import b64decode
from datetime import UTC, datetime
from hashlib import sha256
from hmac import digest

import pytest
import requests
import responses

from app.webhooks.address import Receiver, signature
from app.webhooks.messages import Message, Outcome, Result

from .senders import NOW, URL, message, sender

ID = "9d8a1d5e-6a0f-4a55-9e0e-0a7a2f4f8a11"


@pytest.fixture
def shop():
    with responses.RequestsMock() as mock:
        yield mock


def send(message: Message, **changes: str) -> Result:
    ctx = sender(**changes)
    (result,) = Receiver(ctx.settings).send([message], ctx)
    return result


def test_a_signature_is_the_one_of_the_specification() -> None:
    signed = signature(
        URL["EVENTS_SECRET"],
        "msg_p5jXN8AQM9LWM0D4loKWxJek",
        datetime.fromtimestamp(1614265330, UTC),
        b'{"test": 2432232314}',
    )

    assert signed == {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }


def test_a_receiver_gets_what_a_target_of_eventbridge_gets(shop: responses.RequestsMock) -> None:
    shop.add("POST", URL["EVENTS_URL"], body="thank you")
    result = send(message(ID, detail='{"amount": 42.00, "event": {"sequence": 1}}'))

    assert result == Result(Outcome.PUBLISHED)
    (call,) = shop.calls
    body = call.request.body
    assert json.loads(body) == {
        "version": "0",
        "id": ID,
        "detail-type": "payment.succeeded",
        "source": "munim",
        "time": "2026-11-21T10:00:00Z",
        "resources": [],
        "detail": {"amount": 42.0, "event": {"sequence": 1}},
    }
    assert b'"amount": 42.00' in body
    headers = call.request.headers
    assert headers["Content-Type"] == "application/json"
    signed = f"{ID}.{int(NOW.timestamp())}.".encode() + body
    key = b64decode(URL["EVENTS_SECRET"].removeprefix("whsec_"))
    given = b64decode(headers["webhook-signature"].removeprefix("v1,"))
    assert given == digest(key, signed, sha256)


@pytest.mark.parametrize("status", [200, 201, 202, 204])
def test_any_yes_is_an_acknowledgement(shop: responses.RequestsMock, status: int) -> None:
    shop.add("POST", URL["EVENTS_URL"], body=b"", status=status)

    assert send(message()) == Result(Outcome.PUBLISHED)


@pytest.mark.parametrize("status", [400, 413, 422])
def test_a_no_to_the_event_is_a_refusal(shop: responses.RequestsMock, status: int) -> None:
    shop.add("POST", URL["EVENTS_URL"], body="<html>", status=status)

    assert send(message()) == Result(Outcome.REFUSED, f"EVENTS_URL answered {status}")


@pytest.mark.parametrize("status", [301, 307, 401, 403, 404, 405, 408, 410, 429, 500, 502, 503])
def test_any_other_no_is_about_the_receiver(shop: responses.RequestsMock, status: int) -> None:
    shop.add("POST", URL["EVENTS_URL"], status=status, headers={"Location": "https://x.example"})

    assert send(message()).outcome is Outcome.SILENT
    assert len(shop.calls) == 1


@pytest.mark.parametrize("failure", [requests.ConnectionError(), requests.ReadTimeout()])
def test_no_answer_is_silence(shop: responses.RequestsMock, failure: Exception) -> None:
    shop.add("POST", URL["EVENTS_URL"], body=failure)

    assert send(message()).outcome is Outcome.SILENT


def test_without_an_address_nothing_is_sent_and_it_says_why(shop: responses.RequestsMock) -> None:
    assert send(message(), EVENTS_URL="") == Result(Outcome.SILENT, "EVENTS_URL is not set")
    assert not shop.calls
