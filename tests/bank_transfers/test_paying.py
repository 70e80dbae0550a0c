"""The page on which a payer reads where to transfer the money."""

import json
import re
from collections.abc import Iterator
from decimal import Decimal
from html import unescape
from typing import Any

import pytest
import responses
from flask.testing import FlaskClient
from orders.test_doors import ENVIRON
from payers import selected

from app import create_app
from app.graphql import operations

TOKEN = "t" * 32
HERE = f"/pay/{TOKEN}"
THERE = f"{HERE}/bank-transfer"
ACCOUNT = {
    "holder_name": "Asha & Sons <Freight>",
    "bank_name": "HDFC Bank",
    "account_number": "50200012345678",
    "ifsc": "HDFC0000123",
}
PAGE: dict[str, Any] = {
    "token": TOKEN,
    "organization_name": "Campus",
    "reference": "BK-17",
    "display_id": "TXN-0123456789",
    "title": "Booking BK-17",
    "payment_intent_id": "6f1e9a3e-5a55-4a5a-9a55-000000000001",
    "amount": "24500010",
    "currency": "INR",
    "capture_method": "automatic",
    "status": "pending",
    "transaction_status": "initiated",
    "success_url": "https://shop.example/payment-success",
    "cancel_url": "https://shop.example/payment-cancelled",
    "expires_at": "2026-11-28T09:00:00+00:00",
    "is_over": False,
    "is_exhausted": False,
    "payment_attempt_id": None,
    "payment_attempt_status": None,
    "gateway": None,
    "gateway_session_id": None,
    "link_expires_at": None,
    "decline_class": None,
    "declined_at": None,
    "routes": [],
    "upi_amount_max": "10000000",
    "embedding_origins": [],
    "bank_account": ACCOUNT,
}


class Hasura:
    """Answers one page, and nothing that would begin an attempt."""

    def __init__(self) -> None:
        self.page = PAGE

    def __call__(self, request: Any) -> tuple[int, dict[str, str], str]:
        name = json.loads(request.body)["operationName"]
        asked = {field.name.value: None for field in selected("PaymentPageOf")}
        answers: dict[str, Any] = {
            "payment_page_states": [asked | self.page],
            "open_payment_page": [asked | self.page],
            "clock": [{"skew_seconds": "0"}],
        }
        field = operations()[name].field
        return 200, {}, json.dumps({"data": {field: answers[field]}})


@pytest.fixture
def hasura() -> Iterator[Hasura]:
    played = Hasura()
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        mock.add_callback(responses.POST, ENVIRON["HASURA_ENDPOINT"], callback=played)
        yield played


@pytest.fixture
def client(hasura: Hasura) -> FlaskClient:
    return create_app(ENVIRON).test_client()


def facts(client: FlaskClient, language: str = "en") -> list[str]:
    """What stands on the page to be copied, as a person reads it."""
    text = client.get(f"{THERE}?lang={language}").get_data(as_text=True)
    return [unescape(fact) for fact in re.findall(r"<dd>(.*?)</dd>", text)]


@pytest.mark.parametrize("language", ["en", "hi"])
def test_a_payer_reads_all_that_their_bank_asks_for(client: FlaskClient, language: str) -> None:
    assert facts(client, language) == [
        *("Asha & Sons <Freight>", "HDFC Bank", "50200012345678", "HDFC0000123"),
        *("245000.10", "TXN-0123456789"),
    ]


def test_the_amount_to_copy_is_the_amount_to_the_paisa(client: FlaskClient, hasura: Hasura) -> None:
    for amount in (1, 10, 100, 245000, 24500010, 10**15):
        hasura.page = PAGE | {"amount": str(amount)}
        assert Decimal(facts(client)[4]) * 100 == amount


def test_a_transfer_is_offered_where_there_is_an_account(
    client: FlaskClient, hasura: Hasura
) -> None:
    assert f'action="{HERE}/methods/bank_transfer"' in client.get(HERE).get_data(as_text=True)

    for change in ({"bank_account": None}, {"capture_method": "manual"}):
        hasura.page = PAGE | change
        assert "methods/bank_transfer" not in client.get(HERE).get_data(as_text=True)


def test_choosing_it_begins_no_attempt(client: FlaskClient) -> None:
    answer = client.post(f"{HERE}/methods/bank_transfer")

    assert (answer.status_code, answer.headers["Location"]) == (303, THERE)


@pytest.mark.parametrize(
    "change",
    [
        {"bank_account": None},
        {"capture_method": "manual"},
        {"is_over": True},
        {"status": "paid"},
        {"status": "canceled"},
        {"payment_attempt_status": "processing"},
        {"is_exhausted": True},
    ],
)
def test_nobody_is_shown_an_account_for_what_is_not_due(
    client: FlaskClient, hasura: Hasura, change: dict[str, Any]
) -> None:
    hasura.page = PAGE | change
    answer = client.get(THERE)

    assert (answer.status_code, answer.headers["Location"]) == (303, HERE)
    assert ACCOUNT["account_number"] not in answer.get_data(as_text=True)


def test_the_page_waits_with_and_without_a_script(client: FlaskClient) -> None:
    text = client.get(THERE).get_data(as_text=True)

    assert f'data-watch="{HERE}/state"' in text
    assert '<noscript><meta http-equiv="refresh"' in text
    assert len(text.encode()) < 50_000


def test_the_page_loads_and_leads_nowhere_else(client: FlaskClient) -> None:
    answer = client.get(THERE)
    policy = answer.headers["Content-Security-Policy"]

    assert "default-src 'none'" in policy
    assert "form-action 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert answer.headers["Cache-Control"] == "no-store"
    assert "https://" not in answer.get_data(as_text=True)


def test_an_order_by_bank_transfer_opens_no_gateways_page(client: FlaskClient) -> None:
    answer = client.post(
        "/payments/initiate",
        json={
            "amount": "245000.10",
            "booking_id": "BK-17",
            "shipper_id": "SHP-1",
            "payment_method": "neft",
        },
        headers={"ACTION-SECRET": "action-secret"},
    )

    assert answer.status_code == 200, answer.get_data(as_text=True)
    assert answer.json["gateway"] is None
    assert answer.json["payment_url"].endswith(HERE)
