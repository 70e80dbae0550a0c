"""The adapter against answers of Stripe that a simulator would not give."""

import json
import logging
from dataclasses import replace
from datetime import UTC, datetime
from urllib.parse import parse_qs
from uuid import uuid4

import pytest
import requests
import responses
import stripe

from app.errors import (
    GatewayRefusedError,
    GatewaySilentError,
    GatewayUnavailableError,
    InvalidInputError,
    SignatureInvalidError,
)
from app.gateways import Charge, Delivery, Outcome
from app.gateways.stripe import Adapter, Settings
from app.money import Money

SECRET, OLD_SECRET = "whsec_new", "whsec_old"
NOW = datetime(2026, 11, 21, 10, 0, tzinfo=UTC)
SESSIONS = "https://api.stripe.com/v1/checkout/sessions"


@pytest.fixture
def adapter() -> Adapter:
    return Adapter(Settings("sk_test_1", (SECRET, OLD_SECRET)))


@pytest.fixture
def charge() -> Charge:
    return Charge(
        id=str(uuid4()),
        amount=Money(2500, "USD"),
        title="250 credits",
        email="ada@example.com",
        success_url="https://shop.example/paid",
        cancel_url="https://shop.example/cancelled",
        expires_at=NOW,
    )


def signed(body: str, secret: str = SECRET, at: datetime = NOW) -> Delivery:
    header = stripe.WebhookSignature.generate_signature_header(
        body, secret, timestamp=int(at.timestamp())
    )
    return Delivery(headers={"stripe-signature": header}, body=body.encode())


def session_event(kind: str = "checkout.session.completed", **changes: object) -> str:
    session = {
        "id": "cs_test_1",
        "object": "checkout.session",
        "mode": "payment",
        "status": "expired" if kind.endswith("expired") else "complete",
        "payment_status": "paid",
        "amount_total": 2500,
        "currency": "usd",
        "payment_intent": "pi_1",
        "metadata": {"payment_attempt_id": "6f1e9a3e-5a55-4a5a-9a55-000000000001"},
    }
    return json.dumps(
        {
            "id": "evt_1",
            "object": "event",
            "created": 1_790_000_000,
            "livemode": False,
            "type": kind,
            "data": {"object": session | changes},
        }
    )


@responses.activate
def test_a_page_is_asked_for_with_our_id_as_key_and_reference(adapter, charge) -> None:
    responses.post(SESSIONS, json={"id": "cs_1", "object": "checkout.session", "url": "https://p"})
    page = adapter.open(charge)

    sent = responses.calls[0].request
    form = {name: values[0] for name, values in parse_qs(sent.body).items()}
    assert (page.reference, page.url) == ("cs_1", "https://p")
    assert sent.headers["Idempotency-Key"] == charge.id
    assert form["metadata[payment_attempt_id]"] == charge.id
    assert form["payment_intent_data[metadata][payment_attempt_id]"] == charge.id
    assert form["line_items[0][price_data][unit_amount]"] == "2500"
    assert form["line_items[0][price_data][currency]"] == "usd"
    assert form["line_items[0][quantity]"] == "1"
    assert form["line_items[0][price_data][product_data][name]"] == "250 credits"
    assert (form["success_url"], form["cancel_url"]) == (charge.success_url, charge.cancel_url)
    assert form["expires_at"] == str(int(NOW.timestamp()))
    assert form["customer_email"] == "ada@example.com"
    assert "payment_method_types" not in sent.body


@pytest.mark.parametrize(
    ("amount", "units"),
    [
        (Money(2500, "USD"), 2500),
        (Money(2500, "JPY"), 2500),
        (Money(2500, "KWD"), 2500),
        (Money(2500, "HUF"), 2500),
        (Money(2500, "UGX"), 250_000),  # ISO has no minor unit, Stripe writes two decimals
        (Money(2500, "ISK"), 250_000),
        (Money(2500, "MGA"), 25),  # ISO has two decimals, Stripe writes none
    ],
)
@responses.activate
def test_stripes_units_are_not_always_isos(adapter, charge, amount, units) -> None:
    responses.post(SESSIONS, json={"id": "cs_1", "object": "checkout.session", "url": "https://p"})
    adapter.open(replace(charge, amount=amount))
    body = session_event(amount_total=units, currency=amount.currency.lower())

    sent = parse_qs(responses.calls[0].request.body)
    assert sent["line_items[0][price_data][unit_amount]"] == [str(units)]
    assert adapter.read(signed(body), NOW).amount == amount


def test_an_amount_that_stripe_cannot_write_is_refused_before_it_is_asked(adapter, charge) -> None:
    with pytest.raises(GatewayRefusedError):
        adapter.open(replace(charge, amount=Money(2550, "MGA")))


def test_units_that_are_no_minor_units_are_no_amount(adapter) -> None:
    body = session_event(amount_total=250_001, currency="ugx")

    assert adapter.read(signed(body), NOW).amount is None


@responses.activate
def test_asking_twice_sends_the_same_words(adapter, charge) -> None:
    responses.post(SESSIONS, json={"id": "cs_1", "object": "checkout.session", "url": "https://p"})
    adapter.open(charge)
    adapter.open(charge)

    first, second = (call.request for call in responses.calls)
    assert first.body == second.body
    assert first.headers["Idempotency-Key"] == second.headers["Idempotency-Key"]


@pytest.mark.parametrize(
    "answer",
    [
        {"status": 500, "json": {"error": {"message": "sorry"}}},
        {"status": 502, "body": "<html>Bad gateway</html>"},
        {"status": 429, "json": {"error": {"message": "slow down"}}},
        {"status": 409, "json": {"error": {"code": "idempotency_key_in_use", "message": "wait"}}},
        {"status": 401, "json": {"error": {"message": "no such key"}}},
        {"status": 200, "body": "<html>hello</html>"},
        {"status": 200, "body": ""},
        {"status": 200, "json": {"object": "checkout.session", "id": "cs_1", "url": None}},
        {"body": requests.ConnectionError("refused")},
        {"body": requests.ReadTimeout("slow")},
        {"body": requests.exceptions.ChunkedEncodingError("cut")},
    ],
)
@responses.activate
def test_whatever_is_not_a_clear_answer_is_unavailable(adapter, charge, answer) -> None:
    responses.post(SESSIONS, **answer)

    with pytest.raises(GatewayUnavailableError) as failure:
        adapter.open(charge)
    assert len(responses.calls) == 1
    # It has not spoken at all, or failed itself: then it would fail for others, too.
    is_heard = answer.get("status", 500) < 500 and "json" in answer
    assert isinstance(failure.value, GatewaySilentError) != is_heard


@responses.activate
def test_a_definite_no_is_a_refusal_with_stripes_words(adapter, charge) -> None:
    error = {"type": "invalid_request_error", "code": "amount_too_small", "message": "Too small."}
    responses.post(SESSIONS, status=400, json={"error": error})

    with pytest.raises(GatewayRefusedError, match="Too small"):
        adapter.open(charge)


@responses.activate
def test_a_key_sent_with_other_words_is_not_taken_for_a_no(adapter, charge) -> None:
    error = {"type": "idempotency_error", "message": "Keys for idempotent requests..."}
    responses.post(SESSIONS, status=400, json={"error": error})

    with pytest.raises(GatewayUnavailableError):
        adapter.open(charge)


@responses.activate
def test_a_failure_that_stripe_only_repeats_is_stepped_over(adapter, charge) -> None:
    stored = {"status": 500, "json": {"error": {"message": "sorry"}}}
    replayed = {"headers": {"Idempotent-Replayed": "true"}, **stored}
    responses.post(SESSIONS, **replayed)
    responses.post(SESSIONS, **replayed)
    responses.post(SESSIONS, json={"id": "cs_1", "object": "checkout.session", "url": "https://p"})

    assert adapter.open(charge).reference == "cs_1"
    keys = [call.request.headers["Idempotency-Key"] for call in responses.calls]
    assert keys == [charge.id, f"{charge.id}:2", f"{charge.id}:3"]


@responses.activate
def test_stepping_over_has_an_end(adapter, charge) -> None:
    stored = {"status": 500, "json": {"error": {"message": "sorry"}}}
    responses.post(SESSIONS, headers={"Idempotent-Replayed": "true"}, **stored)

    with pytest.raises(GatewayUnavailableError):
        adapter.open(charge)
    assert len(responses.calls) == 5


@pytest.mark.parametrize("secret", [SECRET, OLD_SECRET])
def test_either_secret_is_good_while_one_replaces_the_other(adapter, secret) -> None:
    notice = adapter.read(signed(session_event(), secret), NOW)

    assert notice.outcome is Outcome.PAID
    assert notice.amount == Money(2500, "USD")
    assert notice.payment_attempt_id == "6f1e9a3e-5a55-4a5a-9a55-000000000001"
    assert (notice.gateway_session_id, notice.gateway_payment_id) == ("cs_test_1", "pi_1")


@pytest.mark.parametrize(
    ("kind", "paid", "outcome"),
    [
        ("checkout.session.completed", "paid", Outcome.PAID),
        ("checkout.session.completed", "unpaid", Outcome.PROCESSING),
        ("checkout.session.completed", "no_payment_required", Outcome.PROCESSING),
        ("checkout.session.async_payment_succeeded", "paid", Outcome.PAID),
        ("checkout.session.async_payment_failed", "unpaid", Outcome.FAILED),
        ("checkout.session.expired", "unpaid", Outcome.EXPIRED),
        ("invoice.paid", "paid", Outcome.UNKNOWN),
        ("charge.succeeded", "paid", Outcome.UNKNOWN),
    ],
)
def test_each_event_has_its_word(adapter, kind, paid, outcome) -> None:
    notice = adapter.read(signed(session_event(kind, payment_status=paid)), NOW)

    assert notice.outcome is outcome


@pytest.mark.parametrize(
    ("skew", "accepted"), [(-301, False), (-300, True), (0, True), (300, True), (301, False)]
)
def test_a_stamp_is_good_for_300_seconds_both_ways(adapter, skew, accepted) -> None:
    at = datetime.fromtimestamp(NOW.timestamp() + skew, UTC)
    delivery = signed(session_event(), at=at)
    if accepted:
        assert adapter.read(delivery, NOW).event_id == "evt_1"
        return

    with pytest.raises(SignatureInvalidError):
        adapter.read(delivery, NOW)


GOOD = signed(session_event()).headers["stripe-signature"]
STAMP, SUM = GOOD.split(",v1=")


@pytest.mark.parametrize(
    "header",
    [
        "",
        "garbage",
        STAMP,
        f"v1={SUM}",
        f"{STAMP},v1=",
        f"{STAMP},v0={SUM}",
        f"{STAMP},v1={SUM[:-1]}",
        f"{STAMP},v1={SUM.upper()}",
        f"{STAMP},v1={SUM}x",
        f"{STAMP},v1=é{SUM}",
        f"t=,v1={SUM}",
        f"t=x,v1={SUM}",
        f"t=-1,v1={SUM}",
        f"t=99999999999999999999999,v1={SUM}",
        f"t=١٧٩,v1={SUM}",
        f"t={int(NOW.timestamp()) + 1},v1={SUM}",
        f"t={int(NOW.timestamp()) - 9999},{GOOD}",
    ],
)
def test_a_header_that_is_not_stripes_is_refused(adapter, header) -> None:
    delivery = Delivery(headers={"stripe-signature": header}, body=session_event().encode())

    with pytest.raises(SignatureInvalidError):
        adapter.read(delivery, NOW)


@pytest.mark.parametrize("flip", range(0, len(session_event()), 7))
def test_one_changed_byte_is_refused(adapter, flip) -> None:
    good = signed(session_event())
    body = bytearray(good.body)
    body[flip] ^= 1

    with pytest.raises(SignatureInvalidError):
        adapter.read(Delivery(headers=good.headers, body=bytes(body)), NOW)


def test_the_same_json_written_otherwise_is_refused(adapter) -> None:
    good = signed(session_event())
    body = json.dumps(json.loads(good.body), indent=1).encode()

    with pytest.raises(SignatureInvalidError):
        adapter.read(Delivery(headers=good.headers, body=body), NOW)


@pytest.mark.parametrize(
    "body",
    [
        "",
        "[]",
        "null",
        "{}",
        '"text"',
        "{",
        '{"id":"evt_1","type":"checkout.session.completed"}',
        '{"id":"e","type":"checkout.session.completed","created":1,"livemode":false,"data":[]}',
        session_event(amount_total="2500"),
        session_event(amount_total=25.5),
        session_event(currency="dollars"),
        session_event(metadata={"payment_attempt_id": 5}),
        session_event().replace("1790000000", "1" + "0" * 20),
        session_event().replace("1790000000", "NaN"),
        session_event().replace("1790000000", "1e999"),
        "[" * 100_000,
    ],
)
def test_something_signed_that_is_no_event_is_invalid(adapter, body) -> None:
    with pytest.raises(InvalidInputError):
        adapter.read(signed(body), NOW)


def test_a_reference_that_is_not_ours_is_left_out(adapter) -> None:
    notice = adapter.read(signed(session_event(metadata={"payment_attempt_id": "order-1"})), NOW)

    assert notice.payment_attempt_id is None


@responses.activate
def test_a_receipt_is_found_on_the_charge(adapter) -> None:
    charge = {"id": "ch_1", "object": "charge", "receipt_url": "https://r"}
    responses.get(
        "https://api.stripe.com/v1/payment_intents/pi_1",
        json={"id": "pi_1", "object": "payment_intent", "latest_charge": charge},
    )

    assert adapter.receipt_url("pi_1") == "https://r"


def test_events_of_another_version_than_the_sdks_are_read_and_warned_of_once(
    adapter: Adapter, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger("app"), "propagate", True)
    caplog.set_level(logging.WARNING, "app")
    for version in (stripe.api_version, None, "2019-02-19", "2019-02-19"):
        event = json.loads(session_event()) | {"api_version": version}
        assert adapter.read(signed(json.dumps(event)), NOW).outcome is Outcome.PAID

    (line,) = {*caplog.records}  # two handlers may have heard it
    assert (line.levelname, line.__dict__["api_version"]) == ("WARNING", "2019-02-19")
    assert line.__dict__["sdk_version"] == stripe.api_version
