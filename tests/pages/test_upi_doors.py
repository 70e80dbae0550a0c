"""UPI at the hand-over's door: a code instead of a page, with Hasura and Cashfree played."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import responses
from flask.testing import FlaskClient
from orders.test_doors import ENVIRON

from app import create_app
from app.graphql import operations
from app.payments import pages

from .test_page_doors import ATTEMPT, KNOWN, ROW, TOKEN

CASHFREE = "https://cashfree.example/pg"
SETTINGS = {
    "CASHFREE_CLIENT_ID": "TEST_a",
    "CASHFREE_CLIENT_SECRET": "cfsk_a",
    "CASHFREE_API_URL": CASHFREE,
    "CASHFREE_UPI": "on",
}
LINK = "upi://pay?pa=shop@bank&pn=A%20%3Cb%3EShop&tr=1&tn=x&am=42.00&cu=INR"
PAGE = {
    "token": TOKEN,
    "organization_name": "A Shop",
    "status": "pending",
    "payment_attempt_id": ATTEMPT,
    "payment_attempt_status": "pending",
    "declined_at": None,
    "is_over": False,
    "is_exhausted": False,
}
UPI_ROW = ROW | {
    "gateway": "cashfree",
    "currency": "INR",
    "method": "upi",
    "customer_phone": "+919876543210",
    "display_id": "TXN-1",
    "url": None,
}
DOOR = f"/payments/handover/{ATTEMPT}"


def in_minutes(minutes: float) -> str:
    return (datetime.now(UTC) + timedelta(minutes=minutes)).isoformat()


class Hasura:
    def __init__(self) -> None:
        self.row = UPI_ROW
        self.asked: list[tuple[str, dict[str, Any]]] = []

    def __call__(self, request: Any) -> tuple[int, dict[str, str], str]:
        said = json.loads(request.body)
        name, variables = said["operationName"], said.get("variables", {})
        self.asked.append((name, variables))
        rows: dict[str, Any] = {
            "payment_page_returns": [KNOWN | {"gateway": "cashfree"}],
            "order_checkouts": [self.row],
            "payment_page_states": [PAGE],
            "clock": [{"skew_seconds": "0"}],
            "claim_return_checks": [],
            "payment_intents": [
                {"id": KNOWN["payment_intent_id"], "status": "pending", "payment_attempts": []}
            ],
            "record_checkout_session": [{"id": ATTEMPT, "status": "pending"}],
            "mark_payment_unknown": [{"id": ATTEMPT, "status": "unknown"}],
        }
        field = operations()[name].field
        return 200, {}, json.dumps({"data": {field: rows[field]}})

    def names(self) -> list[str]:
        return [name for name, _ in self.asked]

    def told(self, name: str) -> dict[str, Any]:
        (found,) = [variables for known, variables in self.asked if known == name]
        return found


@pytest.fixture
def hasura() -> Hasura:
    return Hasura()


@pytest.fixture
def wires(hasura: Hasura) -> Iterator[responses.RequestsMock]:
    """Cashfree answers nothing that a test does not say."""
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        mock.add_callback(responses.POST, ENVIRON["HASURA_ENDPOINT"], callback=hasura)
        yield mock


@pytest.fixture
def client(wires: responses.RequestsMock) -> FlaskClient:
    assert wires
    return create_app(ENVIRON | SETTINGS).test_client()


def answers(wires: responses.RequestsMock, link: str = LINK, amount: float = 42.0) -> None:
    order = {
        "order_id": ATTEMPT,
        "order_amount": 42.0,
        "order_currency": "INR",
        "payment_session_id": "session_1",
        "order_expiry_time": in_minutes(60),
    }
    tried = {"payment_amount": amount, "data": {"payload": {"default": link}}}
    wires.add(responses.POST, f"{CASHFREE}/orders", json=order)
    wires.add(responses.POST, f"{CASHFREE}/orders/sessions", json=tried)


def test_a_code_is_asked_for_once_kept_and_then_shown(client, hasura, wires) -> None:
    answers(wires)
    before = datetime.now(UTC)
    answer = client.get(DOOR)
    assert hasura.told("RecordUpiLink")["takesSeveral"] is True

    assert (answer.status_code, answer.headers["Location"]) == (303, DOOR)
    kept = hasura.told("RecordUpiLink")
    assert (kept["sessionId"], kept["link"]) == (ATTEMPT, LINK)
    expires = datetime.fromisoformat(kept["expiresAt"])
    life = timedelta(minutes=10)
    assert before + life <= expires <= datetime.now(UTC) + life


def test_a_gateways_link_that_is_over_sooner_is_shown_no_longer(client, hasura, wires) -> None:
    answers(wires)
    soon = in_minutes(2)
    wires.replace(
        responses.POST,
        f"{CASHFREE}/orders",
        json={
            "order_id": ATTEMPT,
            "order_amount": 42.0,
            "order_currency": "INR",
            "payment_session_id": "session_1",
            "order_expiry_time": soon,
        },
    )
    client.get(DOOR)

    assert hasura.told("RecordUpiLink")["expiresAt"] == soon


def test_a_code_that_is_kept_is_shown_and_asks_nobody(client, hasura) -> None:
    hasura.row = UPI_ROW | {"url": LINK, "link_expires_at": in_minutes(5)}
    answer = client.get(DOOR)
    text = answer.text

    assert answer.status_code == 200
    assert "<svg" in text
    assert f'href="{LINK.replace("&", "&amp;")}"' in text
    assert "A &lt;b&gt;Shop" in text
    assert "<b>Shop" not in text
    assert '<noscript><meta http-equiv="refresh" content="5"></noscript>' in text
    assert f'action="{DOOR}/code"' in text
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "form-action 'self'" in policy
    assert "unsafe" not in policy
    assert len(answer.data) < 50_000


def test_another_code_is_asked_for_even_where_one_is_kept(client, hasura, wires) -> None:
    answers(wires)
    hasura.row = UPI_ROW | {"url": LINK, "link_expires_at": in_minutes(5)}

    assert client.post(f"{DOOR}/code").headers["Location"] == DOOR
    assert hasura.told("RecordUpiLink")


def test_two_clicks_are_one_code(client, hasura, monkeypatch) -> None:
    monkeypatch.setattr(pages, "NEW", timedelta(minutes=1))  # so long may the second click take
    hasura.row = UPI_ROW | {"url": LINK, "link_expires_at": in_minutes(10)}

    assert client.post(f"{DOOR}/code").headers["Location"] == DOOR
    assert "RecordUpiLink" not in hasura.names()


def test_a_code_that_is_over_is_not_shown_before_the_gateway_was_asked(client, hasura) -> None:
    hasura.row = UPI_ROW | {"url": LINK, "link_expires_at": in_minutes(-1)}
    text = client.get(DOOR).text

    assert "ClaimReturnChecks" in hasura.names()
    assert "This code is not valid any more" in text
    assert "upi://" not in text
    assert 'http-equiv="refresh"' not in text


@pytest.mark.parametrize(
    ("link", "amount"),
    [
        (LINK.replace("am=42.00", "am=42.01"), 42.0),
        (LINK.replace("am=42.00", "am=4200"), 42.0),
        (LINK, 42.01),
        ("https://evil.example/pay?am=42.00", 42.0),
        ("javascript:alert(1)", 42.0),
        (f"{LINK}&mam=1.00", 42.0),
    ],
)
def test_a_link_for_anything_else_is_no_answer(
    client, hasura, wires, link: str, amount: float
) -> None:
    answers(wires, link, amount)
    answer = client.get(DOOR)

    assert answer.headers["Location"] == f"/pay/{TOKEN}?notice=silent"
    assert "MarkPaymentUnknown" in hasura.names()
    assert "RecordUpiLink" not in hasura.names()


@pytest.mark.parametrize("change", [{"method": "card"}, {"method": None}])
def test_another_method_goes_to_the_gateways_page(client, hasura, wires, change: Any) -> None:
    answers(wires)
    hasura.row = UPI_ROW | change
    text = client.get(DOOR).text

    assert 'id="handover"' in text
    assert "session_1" in text
    assert "RecordCheckoutSession" in hasura.names()


def test_a_code_that_the_gateway_refuses_is_left_to_its_page(client, hasura, wires) -> None:
    answers(wires)
    no = {"message": "S2S is not enabled", "code": "request_failed", "type": "x"}
    wires.replace(responses.POST, f"{CASHFREE}/orders/sessions", status=400, json=no)

    assert 'id="handover"' in client.get(DOOR).text
    assert "RecordCheckoutSession" in hasura.names()


def test_a_payers_language_is_kept_on_the_way_to_the_code(client, wires) -> None:
    answers(wires)

    assert client.get(f"{DOOR}?lang=hi").headers["Location"] == f"{DOOR}?lang=hi"
