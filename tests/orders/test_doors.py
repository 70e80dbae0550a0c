"""The doors of orders in the service, with Hasura played by canned answers."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest
import responses

from app import create_app, events_handler
from app.config import ConfigError
from app.gateways import Capability
from app.gateways.stripe import Adapter as Stripe
from app.graphql import operations
from app.payments.schemas import CANCELLATIONS

SAMPLES = Path(__file__).parents[2] / "events"
ENVIRON = {
    "MUNIM_ENV": "test",
    "HASURA_ENDPOINT": "http://hasura.test/v1/graphql",
    "HASURA_ADMIN_SECRET": "admin-secret",
    "ACTION_SECRET": "action-secret",
    "FRONTEND_URL": "https://shop.example",
    "SERVICE_URL": "https://pay.example",
    "EVENTS_ORGANIZATION_ID": "6f1e9a3e-5a55-4a5a-9a55-00000000000f",
    "STRIPE_SECRET_KEY": "sk_test_1",
    "STRIPE_WEBHOOK_SECRET": "whsec_1",
    "LOG_LEVEL": "critical",
    "GATEWAY_ASKERS": "1",
}
CHARGE = {
    "id": "6f1e9a3e-5a55-4a5a-9a55-000000000001",
    "reference": "ord-1",
    "title": "Order ord-1",
    "gateway": "stripe",
    "gateway_account": "",
    "amount": "4200",
    "currency": "USD",
    "capture_method": "automatic",
    "email": "ada@example.com",
    "gateway_customer_id": "cus_1",
    "gateway_payment_method_id": "pm_1",
}
EVENT = {
    "version": "0",
    "id": "e-1",
    "detail-type": "order.ready_for_payment",
    "source": "novamart.orders",
    "account": "1",
    "time": "2026-11-21T10:00:00Z",
    "region": "us-east-2",
    "resources": [],
    "detail": {"orderId": "ord-1", "customerId": "C-1", "amount": 42.1, "items": [{"sku": "a"}]},
}
SECRET = {"ACTION-SECRET": "action-secret"}
INTENTS = "https://api.stripe.com/v1/payment_intents"
INTENT = {
    "id": "pi_1",
    "object": "payment_intent",
    "status": "succeeded",
    "amount": 4200,
    "amount_received": 4200,
    "currency": "usd",
    "metadata": {"payment_attempt_id": CHARGE["id"]},
    "latest_charge": None,
}


class Hasura:
    def __init__(self) -> None:
        self.charges = [CHARGE]
        self.due: dict[str, Any] = {}  # what a claim answers once
        self.asked: list[tuple[str, dict[str, Any], Any]] = []

    def __call__(self, request: Any) -> tuple[int, dict[str, str], str]:
        body = json.loads(request.body)
        field = operations()[body["operationName"]].field
        self.asked.append((body["operationName"], body.get("variables", {}), request.headers))
        answers: dict[str, Any] = {
            "receive_order_event": self.charges,
            "receive_gateway_event": [{"id": "e", "status": "applied", "reason": None}],
            "mark_payment_unknown": [{"id": "a", "status": "unknown"}],
            "clock": [{"skew_seconds": "0"}],
            "claim_refund_checks": [],
            "claim_refund_searches": [],
            **self.due,
        }
        self.due |= {field: []} if field in self.due else {}
        return 200, {}, json.dumps({"data": {field: answers[field]}})

    def names(self) -> list[str]:
        return [name for name, _, _ in self.asked if name != "ReadClock"]


@pytest.fixture
def web() -> Iterator[responses.RequestsMock]:
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        yield mock


@pytest.fixture
def hasura(web: responses.RequestsMock) -> Hasura:
    hasura = Hasura()
    web.add_callback(responses.POST, ENVIRON["HASURA_ENDPOINT"], callback=hasura)
    return hasura


def post(**changes: Any) -> Any:
    client = create_app(ENVIRON).test_client()
    return client.post("/events", json=EVENT | changes, headers=SECRET)


def test_an_event_of_the_bus_is_kept_and_charged(web, hasura: Hasura) -> None:
    stripe = web.post(INTENTS, json=INTENT)
    answer = post()

    assert (answer.status_code, answer.json) == (200, {"received": True, "charges": ["paid"]})
    assert hasura.names() == ["ReceiveOrderEvent", "ReceiveGatewayEvent"]
    said = hasura.asked[0][1]
    assert (said["amount"], said["currency"], said["reference"]) == (4210, "USD", "ord-1")
    assert (said["eventId"], said["type"]) == ("e-1", "order.ready_for_payment")
    assert said["detail"] == EVENT["detail"] | {"amount": "42.1"}
    assert stripe.calls[0].request.headers["Idempotency-Key"] == CHARGE["id"]


@pytest.mark.parametrize(("method", "manual"), [("manual", ["manual"]), ("automatic", [])])
def test_what_is_captured_later_is_authorised_only(web, hasura: Hasura, method, manual) -> None:
    hasura.charges = [CHARGE | {"capture_method": method}]
    stripe = web.post(INTENTS, json=INTENT | {"status": "requires_capture", "amount_received": 0})

    assert post().json["charges"] == ["authorized"]
    sent = parse_qs(stripe.calls[0].request.body)
    assert sent.get("capture_method", []) == manual
    assert hasura.asked[-1][1]["notice"]["outcome"] == "authorized"


def test_nothing_is_taken_where_a_gateway_cannot_authorise(web, hasura, monkeypatch) -> None:
    monkeypatch.setattr(Stripe, "capabilities", frozenset({Capability.SAVE}))
    hasura.charges = [CHARGE | {"capture_method": "manual"}]

    assert post().json["charges"] == ["failed"]
    assert hasura.asked[-1][1]["notice"]["decline_class"] == "gateway"


def test_silence_leaves_the_charge_unknown(web, hasura: Hasura) -> None:
    web.post(INTENTS, body=ConnectionError())

    assert post().json["charges"] == ["unknown"]
    assert hasura.names() == ["ReceiveOrderEvent", "MarkPaymentUnknown"]


def test_a_decline_is_kept(web, hasura: Hasura) -> None:
    error = {"type": "card_error", "code": "card_declined", "decline_code": "insufficient_funds"}
    web.post(INTENTS, json={"error": error | {"message": "no"}}, status=402)

    assert post().json["charges"] == ["failed"]
    assert hasura.asked[-1][1]["notice"]["decline_class"] == "soft"


@pytest.mark.parametrize(
    "change",
    [
        {"detail": {"orderId": "ord-1", "amount": "12,50"}},
        {"detail": {"orderId": "ord-1", "amount": 0.001}},
        {"detail": {"orderId": "ord-1", "amount": 1, "currency": "usd"}},
        {"detail": {"orderId": ""}},
        {"detail": []},
        {"id": None},
        {"time": "yesterday"},
    ],
)
def test_an_event_that_is_not_right_is_refused(hasura: Hasura, change: dict[str, Any]) -> None:
    assert post(**change).status_code == 400
    assert hasura.names() == []


def test_what_is_nothing_to_us_is_acknowledged(hasura: Hasura) -> None:
    hasura.charges = []
    answer = post(**{"detail-type": "shipment.sent", "detail": {"parcel": 1}})

    assert (answer.status_code, answer.json["charges"]) == (200, [])


def test_our_own_names_are_understood_too(hasura: Hasura) -> None:
    hasura.charges = []
    client = create_app(ENVIRON).test_client()
    body = {"id": "e-2", "type": "order.placed", "time": EVENT["time"], "data": EVENT["detail"]}

    assert client.post("/events", json=body, headers=SECRET).status_code == 200
    assert client.post("/events", json=body).status_code == 401


@pytest.fixture
def bus(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name, value in ENVIRON.items():
        monkeypatch.setenv(name, value)
    events_handler.service.cache_clear()
    yield
    events_handler.service.cache_clear()


@pytest.mark.usefixtures("bus")
def test_the_lambda_of_the_bus_speaks_for_its_organisation(hasura: Hasura) -> None:
    hasura.charges = []

    assert events_handler.handler(EVENT) == {"received": True, "charges": []}
    headers = hasura.asked[0][2]
    assert headers["x-hasura-organization-id"] == ENVIRON["EVENTS_ORGANIZATION_ID"]


@pytest.mark.usefixtures("bus")
def test_a_bus_that_speaks_for_nobody_is_named_as_a_missing_setting(monkeypatch) -> None:
    monkeypatch.delenv("EVENTS_ORGANIZATION_ID")

    with pytest.raises(ConfigError, match="EVENTS_ORGANIZATION_ID"):
        events_handler.handler(EVENT)


@pytest.mark.usefixtures("bus")
def test_an_event_that_was_not_taken_in_is_sent_again(web: responses.RequestsMock) -> None:
    web.post(ENVIRON["HASURA_ENDPOINT"], status=500)

    with pytest.raises(RuntimeError, match="not taken in"):
        events_handler.handler(EVENT)


@pytest.mark.usefixtures("bus")
def test_an_event_that_is_refused_for_good_is_not(hasura: Hasura) -> None:
    answer = events_handler.handler(EVENT | {"time": "yesterday"})

    assert answer["code"] == "invalid-input"


@pytest.mark.usefixtures("bus")
@pytest.mark.parametrize("sample", sorted(SAMPLES.glob("*.json")), ids=lambda path: path.stem)
def test_a_sample_event_is_taken_in(hasura: Hasura, sample: Path) -> None:
    hasura.charges = []
    event = json.loads(sample.read_text("utf-8"))

    assert events_handler.handler(event)["received"]
    assert sample.stem == event["detail-type"].replace(".", "-").replace("_", "-")
    assert hasura.asked[0][1]["reference"] == "ord-1001"


@pytest.mark.parametrize(
    ("cron", "claim"),
    [
        ("check_payments", "claim_payment_checks"),
        ("charge_orders", "claim_order_charges"),
        ("check_refunds", "claim_refund_checks"),
        ("check_refunds", "claim_refund_searches"),
    ],
)
def test_a_gateway_that_is_set_up_no_more_stops_no_sweep(hasura, cron: str, claim: str) -> None:
    row = CHARGE | {"gateway": "razorpay", "status": "unknown", "created_at": EVENT["time"]}
    row |= {"checkout_session": None, "payment_method": None, "gateway_payment_id": "pay_1"}
    row |= {"requested_by": "service"}
    hasura.due = {claim: [row | {"payment_attempt": {"gateway_payment_id": "pay_1"}}]}
    answer = create_app(ENVIRON).test_client().post(f"/crons/{cron}", headers=SECRET)

    assert answer.status_code == 200
    claims = [name for name in hasura.names() if operations()[name].field == claim]
    assert len(claims) == 2  # claimed once more, and nothing was left


@pytest.mark.parametrize("kind", ["order.cancelled", "inventory.reservation_failed"])
@pytest.mark.parametrize("said", [{"amount": "-42.00"}, {"currency": "?"}, {"customerId": ["a"]}])
def test_a_cancellation_is_passed_on_whatever_else_it_says(hasura, kind: str, said) -> None:
    hasura.charges = []
    answer = post(**{"detail-type": kind, "detail": {"orderId": "ord-1", "amount": "1"} | said})

    assert answer.status_code == 200
    asked = hasura.asked[0][1]
    assert (asked["reference"], asked["amount"], asked["currency"]) == ("ord-1", None, None)
    assert asked["detail"]["orderId"] == "ord-1"


def test_what_calls_an_order_off_is_known_to_both_sides(db) -> None:
    rows = db.execute("select type from order_event_types where meaning = 'canceled'").fetchall()

    assert {row["type"] for row in rows} == CANCELLATIONS
