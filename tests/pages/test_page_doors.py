"""The doors of our pages, with Hasura played by canned answers: who is led on, what is logged."""

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import responses
from flask.testing import FlaskClient
from orders.test_doors import ENVIRON

from app import create_app, log
from app.graphql import operations

TOKEN = "Zq3" + "x_-7" * 7 + "k"
ATTEMPT = "6f1e9a3e-5a55-4a5a-9a55-00000000000a"
KNOWN = {
    "payment_attempt_id": ATTEMPT,
    "payment_intent_id": "6f1e9a3e-5a55-4a5a-9a55-00000000000b",
    "gateway": "stripe",
    "gateway_session_id": None,
    "token": TOKEN,
}
ROW = {
    "payment_intent_id": KNOWN["payment_intent_id"],
    "payment_attempt_id": ATTEMPT,
    "payment_attempt_status": "created",
    "gateway": "stripe",
    "status": "pending",
    "is_over": False,
    "amount": "4200",
    "currency": "USD",
    "title": "Order ord-1",
    "method": "card",
    "link_expires_at": None,
    "gateway_session_id": None,
    "gateway_customer_id": None,
    "customer_email": "ada@example.com",
    "customer_name": None,
    "customer_phone": None,
    "success_url": "https://pay.example/back",
    "cancel_url": "https://pay.example/back",
    "expires_at": "2026-11-22T09:00:00+00:00",
}


class Hasura:
    def __init__(self) -> None:
        self.row = ROW
        self.refusal = ""  # of the page that a gateway has opened
        self.asked: list[str] = []
        self.mock: responses.RequestsMock  # where a gateway's answers are put

    def __call__(self, request: Any) -> tuple[int, dict[str, str], str]:
        name = json.loads(request.body)["operationName"]
        self.asked.append(name)
        if name == "RecordCheckoutSession":
            return (
                200,
                {},
                json.dumps(
                    {
                        "errors": [
                            {"message": self.refusal, "extensions": {"code": "data-exception"}}
                        ]
                    }
                ),
            )
        rows: dict[str, Any] = {
            "payment_page_returns": [KNOWN],
            "order_checkouts": [self.row],
            "payment_page_states": [],
            "clock": [{"skew_seconds": "0"}],
        }
        field = operations()[name].field
        return 200, {}, json.dumps({"data": {field: rows[field]}})


@pytest.fixture
def hasura() -> Iterator[Hasura]:
    """Nobody else answers: a gateway that is asked is a failure."""
    played = Hasura()
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        mock.add_callback(responses.POST, ENVIRON["HASURA_ENDPOINT"], callback=played)
        played.mock = mock
        yield played


@pytest.fixture
def client(hasura: Hasura) -> FlaskClient:
    return create_app(ENVIRON | {"LOG_LEVEL": "info"}).test_client()


@pytest.fixture
def lines() -> Iterator[io.StringIO]:
    """What is written to the log, as operators read it."""
    written, logger = io.StringIO(), logging.getLogger("app")
    handler = logging.StreamHandler(written)
    handler.setFormatter(log.JsonFormatter())
    logger.addHandler(handler)
    yield written
    logger.removeHandler(handler)


@pytest.mark.parametrize("status", ["canceled", "paid", "authorized"])
def test_a_payer_is_not_led_to_a_gateway_for_what_is_not_due(client, hasura, status: str) -> None:
    hasura.row = ROW | {"status": status}
    answer = client.get(f"/payments/handover/{ATTEMPT}")

    assert (answer.status_code, answer.headers["Location"]) == (303, f"/pay/{TOKEN}")
    assert set(hasura.asked) <= {"PageOfAttempt", "OrderOfAttempt", "ReadClock"}


@pytest.mark.parametrize("code", ["checkout-expired", "payment-in-progress"])
def test_a_payer_is_not_led_to_a_page_that_was_opened_in_vain(client, hasura, code: str) -> None:
    hasura.refusal = f"{code}: while the gateway thought"
    page = {"id": "cs_1", "object": "checkout.session", "url": "https://checkout.example/1"}
    hasura.mock.post("https://api.stripe.com/v1/checkout/sessions", json=page)
    answer = client.get(f"/payments/handover/{ATTEMPT}")

    assert (answer.status_code, answer.headers["Location"]) == (303, f"/pay/{TOKEN}")
    assert hasura.asked[-1] == "RecordCheckoutSession"


@pytest.mark.parametrize("query", ["", "?payer=", "?payer=9999999999.0", "?payer=x.y"])
def test_what_a_customer_began_with_a_saved_card_is_theirs_alone(client, hasura, query) -> None:
    hasura.row = ROW | {"gateway_customer_id": "cus_1"}
    answer = client.get(f"/payments/handover/{ATTEMPT}{query}")

    assert (answer.status_code, answer.headers["Location"]) == (303, f"/pay/{TOKEN}")
    assert set(hasura.asked) <= {"PageOfAttempt", "OrderOfAttempt", "ReadClock"}


@pytest.mark.parametrize(
    ("method", "path"),
    [
        *(("GET", f"/pay/{TOKEN}"), ("GET", f"/pay/{TOKEN}/state"), ("GET", f"/pay/{TOKEN}/x")),
        *(("POST", f"/pay/{TOKEN}/methods/card"), ("POST", f"/pay/{TOKEN}")),
        *(("GET", f"/pay/{TOKEN}?lang=hi"), ("GET", f"/Pay/{TOKEN}")),
    ],
)
def test_the_address_of_a_page_is_not_logged(client, lines, method: str, path: str) -> None:
    client.open(path, method=method)

    assert lines.getvalue().count("\n") >= 1
    assert TOKEN not in lines.getvalue()


@pytest.mark.parametrize(
    ("method", "path"),
    [
        *(("GET", f"/payments/handover/{ATTEMPT}"), ("GET", f"/Payments/Handover/{ATTEMPT}")),
        *(("POST", f"/payments/handover/{ATTEMPT}/code"), ("GET", f"/payments/return/{ATTEMPT}")),
        ("POST", f"/payments/return/{ATTEMPT}?x=1"),
    ],
)
def test_the_address_of_an_attempt_is_not_logged(client, lines, method: str, path: str) -> None:
    """It leads to the payer's page, and to what a gateway is told of the payer."""
    client.open(path, method=method)

    assert lines.getvalue().count("\n") >= 1
    assert path.partition("?")[0] not in lines.getvalue()


@pytest.mark.usefixtures("client")
@pytest.mark.parametrize(
    "written",
    ["4111111111111111", "4111 1111 1111 1111", "4111-1111-1111-1111", "3782 822463 10005"],
)
def test_a_card_number_is_not_logged_however_it_is_written(lines, written: str) -> None:
    logging.getLogger("app").warning("declined: %s is stolen", written)

    assert written not in lines.getvalue()
    assert "[redacted] is stolen" in lines.getvalue()


@pytest.mark.usefixtures("client")
@pytest.mark.parametrize("written", ["2026-11-21 10:00:00.123456", ATTEMPT, "8000-000000000001"])
def test_what_only_looks_like_a_card_number_is_logged(lines, written: str) -> None:
    logging.getLogger("app").warning("at %s", written)

    assert written in lines.getvalue()
