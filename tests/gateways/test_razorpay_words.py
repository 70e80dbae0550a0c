"""Razorpay's entities, signatures and errors in our words, also those that no simulator gives."""

import hmac
import json
import subprocess
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

import pytest
import requests
import responses
from hypothesis import given
from hypothesis import strategies as st

from app import config
from app.config import ConfigError
from app.errors import (
    GatewayRefusedError,
    GatewayUnavailableError,
    InvalidInputError,
    SignatureInvalidError,
)
from app.gateways import (
    Charge,
    DeclineClass,
    Delivery,
    Finding,
    Method,
    Outcome,
    Query,
    RefundOrder,
    Return,
    Settled,
    Subject,
)
from app.gateways.razorpay import Adapter, Settings, declines, findings
from app.money import Money

API = "https://api.razorpay.com/v1"
ATTEMPT = "3f0c1a52-7d7e-4c1b-9a35-5f0e8c6d1a01"
REFUND = "8a9d6a10-55c2-4be0-8f3e-2b7c9d4e5f02"
NOW = datetime(2026, 11, 21, 10, 0, tzinfo=UTC)
KEY_SECRET, SECRET, OLD_SECRET = "invented-key-secret", "invented-new-secret", "invented-old-secret"
SAMPLES = json.loads((Path(__file__).parent / "samples" / "razorpay.json").read_text())
INR_2500 = Money(250_000, "INR")


@pytest.fixture
def adapter() -> Adapter:
    return Adapter(Settings("rzp_test_1", KEY_SECRET, (SECRET, OLD_SECRET)))


def payment(status: str = "captured", **changes: Any) -> dict[str, Any]:
    return {
        "id": "pay_1",
        "entity": "payment",
        "amount": 250_000,
        "currency": "INR",
        "status": status,
        "order_id": "order_1",
        "method": "card",
        "captured": status == "captured",
        "notes": [],
        "error_code": None,
        "error_description": None,
        "error_source": None,
        "error_step": None,
        "error_reason": None,
        "created_at": 1_795_254_000,
    } | changes


def failed(reason: str, code: str = "BAD_REQUEST_ERROR", source: str = "bank") -> dict[str, Any]:
    error = {"error_code": code, "error_reason": reason, "error_source": source}
    return payment("failed", error_description="No.", **error)


def order(status: str = "created", **changes: Any) -> dict[str, Any]:
    return {
        "id": "order_1",
        "entity": "order",
        "amount": 250_000,
        "amount_paid": 0,
        "currency": "INR",
        "receipt": ATTEMPT,
        "status": status,
        "attempts": 0,
        "notes": {"payment_attempt_id": ATTEMPT},
        "created_at": 1_795_253_900,
    } | changes


def refund(status: str = "processed", **changes: Any) -> dict[str, Any]:
    return {
        "id": "rfnd_1",
        "entity": "refund",
        "amount": 100_000,
        "currency": "INR",
        "payment_id": "pay_1",
        "notes": {"refund_id": REFUND},
        "receipt": REFUND,
        "status": status,
        "created_at": 1_795_260_000,
    } | changes


def dispute(**changes: Any) -> dict[str, Any]:
    return {
        "id": "disp_1",
        "entity": "dispute",
        "payment_id": "pay_1",
        "amount": 250_000,
        "currency": "INR",
        "status": "open",
        "phase": "chargeback",
        "created_at": 1_795_270_000,
    } | changes


def listed(*items: Any) -> dict[str, Any]:
    return {"entity": "collection", "count": len(items), "items": list(items)}


def error(description: str, code: str = "BAD_REQUEST_ERROR", **changes: Any) -> dict[str, Any]:
    found = {"code": code, "description": description, "source": "business", "step": "NA"}
    return {"error": {**found, "reason": "input_validation_failed", "metadata": {}, **changes}}


def event(name: str = "payment.captured", **changes: Any) -> dict[str, Any]:
    return {
        "entity": "event",
        "account_id": "acc_1",
        "event": name,
        "contains": ["payment"],
        "payload": {"payment": {"entity": payment()}},
        "created_at": 1_795_254_005,
    } | changes


def signed(body: Any, secret: str = SECRET, **headers: str) -> Delivery:
    text = body if isinstance(body, bytes) else json.dumps(body).encode()
    sign = hmac.new(secret.encode(), text, "sha256").hexdigest()
    given = {"x-razorpay-signature": sign, "x-razorpay-event-id": "T1"}
    return Delivery(given | headers, text)


def charge(**changes: Any) -> Charge:
    wanted: dict[str, Any] = {
        "id": ATTEMPT,
        "amount": INR_2500,
        "title": "250 credits",
        "email": "asha@example.com",
        "name": "Asha Rao",
        "phone": "+919876543210",
        "success_url": "https://shop.example/paid?a=1",
        "cancel_url": "https://shop.example/cancelled",
        "expires_at": NOW,
    }
    return Charge(**{**wanted, **changes})


def query(**details: Any) -> Query:
    return Query(payment_attempt_id=ATTEMPT, since=NOW, **details)


# Signatures


def test_a_return_is_signed_as_the_official_sdk_signs_it() -> None:
    """The vector was confirmed by razorpay 2.0.1, utility.verify_payment_signature."""
    adapter = Adapter(Settings("rzp_test_1", "rzp_test_secret_A", (SECRET,)))
    vector = "ba92be71ba3b197e7499b79b0f166286e72bc7b30b24c2d5e3d798dc325a096a"
    fields = {"razorpay_payment_id": "pay_T0001", "razorpay_signature": vector}

    found = adapter.read_return(Return(fields, ATTEMPT, "order_T0001"))
    assert (found.outcome, found.gateway_payment_id) == (Outcome.UNKNOWN, "pay_T0001")


def test_a_return_is_signed_as_the_documentation_signs_it() -> None:
    """https://razorpay.com/docs/payments/payment-gateway/web-integration/hosted/integration-steps/"""
    adapter = Adapter(Settings("rzp_test_1", "EnLs21M47BllR3X8PSFtjtbd", (SECRET,)))
    vector = "0d4e745a1838664ad6c9c9902212a32d627d68e917290b0ad5f08ff4561bc50f"
    fields = {"razorpay_payment_id": "pay_IH4NVgf4Dreq1l", "razorpay_signature": vector}

    assert adapter.read_return(Return(fields, ATTEMPT, "order_IEIaMR65cu6nz3")).gateway_payment_id


def test_a_webhook_is_signed_as_openssl_signs_it(adapter: Adapter) -> None:
    body = json.dumps(event(), ensure_ascii=False).encode()
    command = ["openssl", "dgst", "-sha256", "-hmac", SECRET]
    said = subprocess.run(command, input=body, capture_output=True, check=True).stdout.decode()
    header = {"x-razorpay-signature": said.split("= ")[1].strip()}

    assert adapter.read(Delivery(header, body), NOW).outcome is Outcome.PAID


def test_the_vector_of_a_webhook_is_genuine_and_no_event() -> None:
    vector = "6a52a51a4d210524c5d97841cd5b237e157d7564e96b41a09b57ed89e802834a"
    body = b'{"event":"payment.captured","created_at":1790000005}'
    adapter = Adapter(Settings("rzp_test_1", KEY_SECRET, ("whsec-rzp-A",)))

    with pytest.raises(InvalidInputError):
        adapter.read(Delivery({"x-razorpay-signature": vector}, body), NOW)


@pytest.mark.parametrize("secret", [SECRET, OLD_SECRET])
def test_either_secret_is_good_while_one_replaces_the_other(adapter: Adapter, secret: str) -> None:
    assert adapter.read(signed(event(), secret), NOW).outcome is Outcome.PAID


@pytest.mark.parametrize("secret", ["", "another", KEY_SECRET])
def test_another_secret_is_refused(adapter: Adapter, secret: str) -> None:
    with pytest.raises(SignatureInvalidError):
        adapter.read(signed(event(), secret), NOW)


GOOD = signed(event()).headers["x-razorpay-signature"]


@pytest.mark.parametrize(
    "header", ["", GOOD[:-1], GOOD.upper(), f"{GOOD}0", f"{GOOD},x", "é", "\udcff"]
)
def test_a_header_that_is_not_razorpays_is_refused(adapter: Adapter, header: str) -> None:
    delivery = signed(event(), **{"x-razorpay-signature": header})

    with pytest.raises(SignatureInvalidError):
        adapter.read(delivery, NOW)


def test_no_header_at_all_is_refused(adapter: Adapter) -> None:
    with pytest.raises(SignatureInvalidError):
        adapter.read(Delivery({}, signed(event()).body), NOW)


@pytest.mark.parametrize("flip", range(0, len(json.dumps(event())), 7))
def test_one_changed_byte_is_refused(adapter: Adapter, flip: int) -> None:
    good = signed(event())
    body = bytearray(good.body)
    body[flip] ^= 1

    with pytest.raises(SignatureInvalidError):
        adapter.read(Delivery(good.headers, bytes(body)), NOW)


# Webhooks


@pytest.mark.parametrize("sample", SAMPLES["deliveries"], ids=lambda one: one["name"])
def test_every_sample_is_understood(sample: dict[str, Any]) -> None:
    adapter = Adapter(config.read(Settings, SAMPLES["settings"], prefix="razorpay_"))
    words = adapter.read(Delivery(sample["headers"], sample["body"].encode()), NOW).words()

    assert {name: words[name] for name in sample["finding"]} == sample["finding"]


def test_a_redelivery_has_the_same_id_and_another_fact_another(adapter: Adapter) -> None:
    first, again = (adapter.read(signed(event()), NOW).event_id for _ in range(2))
    other = adapter.read(signed(event(), **{"x-razorpay-event-id": "T2"}), NOW).event_id

    assert first == again == "T1"
    assert other == "T2"


def test_an_event_without_an_id_is_named_by_its_bytes(adapter: Adapter) -> None:
    bare = {"x-razorpay-event-id": ""}
    first, again = (adapter.read(signed(event(), **bare), NOW).event_id for _ in range(2))
    other = adapter.read(signed(event("payment.authorized"), **bare), NOW).event_id

    assert first == again
    assert first.startswith("sha256:")
    assert first != other


def test_the_time_may_stand_in_the_payload_or_nowhere(adapter: Adapter) -> None:
    stamp = 1_795_254_005
    payload = {"payment": {"entity": payment()}, "created_at": stamp}
    inside = {name: value for name, value in event().items() if name != "created_at"}
    nowhere = adapter.read(signed(inside), NOW)
    found = adapter.read(signed(inside | {"payload": payload}), NOW)

    assert found.occurred_at == datetime.fromtimestamp(stamp, UTC)
    assert nowhere.occurred_at == NOW


def test_an_order_paid_names_our_attempt_by_receipt_or_by_notes(adapter: Adapter) -> None:
    for changes in ({"notes": []}, {"receipt": None}):
        payload = {
            "payment": {"entity": payment()},
            "order": {"entity": order("paid", **changes)},
        }
        found = adapter.read(signed(event("order.paid", payload=payload)), NOW)

        assert found.payment_attempt_id == ATTEMPT


def test_what_a_payers_browser_wrote_on_a_payment_names_nothing(adapter: Adapter) -> None:
    notes = {"payment_attempt_id": str(uuid4()), "refund_id": REFUND}
    payload = {"payment": {"entity": payment(notes=notes)}}
    found = adapter.read(signed(event(payload=payload)), NOW)

    assert found.payment_attempt_id is None
    assert found.gateway_session_id == "order_1"


@pytest.mark.parametrize("captured", [False, 0, None, "0", "false"])
@pytest.mark.parametrize("name", ["refund.created", "refund.processed", "refund.failed"])
def test_a_refund_of_what_was_never_ours_is_a_hint(
    adapter: Adapter, name: str, captured: object
) -> None:
    payload = {
        "payment": {"entity": payment("refunded", captured=captured)},
        "refund": {"entity": refund(notes=[], receipt=None)},
    }
    found = adapter.read(signed(event(name, payload=payload)), NOW)

    assert (found.subject, found.outcome) == (Subject.NONE, Outcome.UNKNOWN)
    assert (found.gateway_payment_id, found.gateway_session_id) == ("pay_1", "order_1")
    assert found.gateway_refund_id is None


@pytest.mark.parametrize("captured", [True, "1"])
def test_a_refund_of_what_was_ours_is_one_whatever_its_sample_says(
    adapter: Adapter, captured: object
) -> None:
    payload = {
        "payment": {"entity": payment(captured=captured)},
        "refund": {"entity": refund("pending")},
    }
    found = adapter.read(signed(event("refund.processed", payload=payload)), NOW)

    assert (found.subject, found.outcome) == (Subject.REFUND, Outcome.PENDING)
    assert found.refund_id == REFUND


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"null",
        b"{}",
        b'"text"',
        b"{",
        b"\xff\xfe",
        b"[" * 100_000,
        event(5),
        event(None),
        event(payload=[]),
        event(payload={}),
        event(payload={"payment": []}),
        event(payload={"payment": {"entity": payment(amount="250000")}}),
        event(payload={"payment": {"entity": payment(amount=2500.0)}}),
        event(payload={"payment": {"entity": payment(amount=True)}}),
        event(payload={"payment": {"entity": payment(currency="rupees")}}),
        event(created_at="soon"),
        event(created_at=10**20),
        json.dumps(event(created_at=0)).replace(": 0}", ": NaN}").encode(),
    ],
)
def test_something_signed_that_is_no_event_is_invalid(adapter: Adapter, body: Any) -> None:
    with pytest.raises(InvalidInputError):
        adapter.read(signed(body), NOW)


@pytest.mark.parametrize(
    "name",
    ["payment.levitated", "payment.downtime.started", "settlement.processed", "token.paused"],
)
def test_an_event_of_no_concern_is_kept_and_not_acted_on(adapter: Adapter, name: str) -> None:
    for payload in ({}, {"payment": 7}):
        found = adapter.read(signed(event(name, payload=payload)), NOW)

        assert (found.subject, found.outcome, found.type) == (Subject.NONE, Outcome.UNKNOWN, name)


@given(st.dictionaries(st.text(max_size=9), st.text(max_size=9)), st.text(), st.text())
def test_whatever_a_payment_holds_beside_changes_nothing(
    extra: dict[str, str], reason: str, notes: str
) -> None:
    told = {"method": reason, "error_reason": reason, "notes": notes}
    found = findings.of_payment({**extra, **payment("failed"), **told})

    assert found.outcome is Outcome.REQUIRES_ACTION
    assert found.decline_class in set(DeclineClass)


def test_the_mode_is_the_keys(adapter: Adapter) -> None:
    live = Adapter(Settings("rzp_live_1", KEY_SECRET, (SECRET,)))

    assert adapter.read(signed(event()), NOW).livemode is False
    assert live.read(signed(event()), NOW).livemode is True


# Entities


@pytest.mark.parametrize(
    ("changes", "outcome"),
    [
        ({"status": "captured"}, Outcome.PAID),
        ({"status": "captured", "captured": False}, Outcome.PAID),
        ({"status": "authorized"}, Outcome.AUTHORIZED),
        ({"status": "authorized", "captured": True}, Outcome.AUTHORIZED),
        ({"status": "created"}, Outcome.REQUIRES_ACTION),
        ({"status": "failed"}, Outcome.REQUIRES_ACTION),
        ({"status": "refunded", "captured": True}, Outcome.PAID),
        ({"status": "refunded", "captured": "1"}, Outcome.PAID),
        ({"status": "refunded", "captured": False}, Outcome.UNKNOWN),
        ({"status": "refunded", "captured": [1]}, Outcome.UNKNOWN),
        ({"status": "levitating"}, Outcome.UNKNOWN),
    ],
)
def test_a_payments_status_decides(changes: dict[str, Any], outcome: Outcome) -> None:
    found = findings.of_payment(payment(**changes))

    assert (found.subject, found.outcome) == (Subject.PAYMENT, outcome)
    assert found.amount == INR_2500
    assert found.captured_amount == (INR_2500 if outcome is Outcome.PAID else Money(0, "INR"))


@pytest.mark.parametrize(
    ("method", "expected"),
    [
        ("card", Method.CARD),
        ("upi", Method.UPI),
        ("netbanking", Method.NETBANKING),
        ("wallet", Method.WALLET),
        ("emi", Method.EMI),
        ("paylater", Method.PAY_LATER),
        ("nach", Method.BANK_DEBIT),
        ("barter", Method.OTHER),
        (None, None),
    ],
)
def test_a_payment_tells_how_it_was_made(method: str | None, expected: Method | None) -> None:
    assert findings.of_payment(payment(method=method)).method is expected


@pytest.mark.parametrize(
    ("told", "kind"),
    [
        (failed("insufficient_funds"), DeclineClass.SOFT),
        (failed("insufficient_fund"), DeclineClass.SOFT),
        (failed("card_declined", "GATEWAY_ERROR"), DeclineClass.SOFT),
        (failed("payment_timed_out"), DeclineClass.SOFT),
        (failed("card_expired"), DeclineClass.HARD),
        (failed("card_disabled_for_online_payments"), DeclineClass.HARD),
        (failed("invalid_vpa", source="customer"), DeclineClass.HARD),
        (failed("payment_cancelled", source="customer"), DeclineClass.AUTHENTICATION),
        (failed("incorrect_otp", source="customer"), DeclineClass.AUTHENTICATION),
        (failed("payment_risk_check_failed"), DeclineClass.FRAUD),
        (failed("gateway_technical_error", "GATEWAY_ERROR", "gateway"), DeclineClass.GATEWAY),
        (failed("order_already_paid", source="business"), DeclineClass.GATEWAY),
        (failed("moon_in_the_way", source="issuer_bank"), DeclineClass.SOFT),
        (failed("moon_in_the_way", source="internal"), DeclineClass.GATEWAY),
        (failed("moon_in_the_way", "SERVER_ERROR"), DeclineClass.GATEWAY),
    ],
)
def test_a_failure_is_classified(told: dict[str, Any], kind: DeclineClass) -> None:
    found = findings.of_payment(told)

    assert (found.failure_code, found.failure_message) == (told["error_reason"], "No.")
    assert found.decline_class is kind


def test_no_reason_has_two_classes() -> None:
    reasons = [reason for some in declines.REASONS.values() for reason in some]

    assert len(reasons) == len(set(reasons))


def test_an_error_is_told_only_while_it_matters() -> None:
    found = findings.of_payment(
        payment(error_code="BAD_REQUEST_ERROR", error_reason="card_expired")
    )

    assert (found.failure_code, found.decline_class) == (None, None)


@pytest.mark.parametrize(
    ("status", "phase", "outcome"),
    [
        ("open", "chargeback", Outcome.OPENED),
        ("open", "pre_arbitration", Outcome.OPENED),
        ("under_review", "chargeback", Outcome.UNDER_REVIEW),
        ("won", "chargeback", Outcome.WON),
        ("lost", "arbitration", Outcome.LOST),
        ("closed", "chargeback", Outcome.UNKNOWN),
        ("open", "fraud", Outcome.UNKNOWN),
        ("closed", "fraud", Outcome.UNKNOWN),
        ("lost", "retrieval", Outcome.UNKNOWN),
    ],
)
def test_a_dispute_counts_once_money_is_at_stake(status: str, phase: str, outcome: Outcome) -> None:
    found = findings.of_dispute(dispute(status=status, phase=phase, respond_by=None))

    assert found.outcome is outcome
    assert found.evidence_due_at is None


# Orders


def decided(status: str, *payments: dict[str, Any], **details: Any) -> Finding:
    return findings.of_order(order(status), payments, query(**details))


def test_an_order_is_what_its_payments_make_it() -> None:
    bad, good = failed("insufficient_funds"), payment(id="pay_2", created_at=1_795_254_100)

    assert decided("created").outcome is Outcome.REQUIRES_ACTION
    assert decided("created", is_over=True).outcome is Outcome.EXPIRED
    assert decided("attempted", bad).outcome is Outcome.REQUIRES_ACTION
    assert decided("attempted", bad).failure_code == "insufficient_funds"
    assert decided("attempted", bad, is_over=True).outcome is Outcome.EXPIRED
    assert decided("attempted", bad, payment("created", id="pay_2"), is_over=True).outcome is (
        Outcome.REQUIRES_ACTION
    )
    paid = decided("paid", good, bad, is_over=True)
    assert (paid.outcome, paid.gateway_payment_id) == (Outcome.PAID, "pay_2")
    assert (paid.payment_attempt_id, paid.gateway_session_id) == (ATTEMPT, "order_1")


def test_of_two_captured_payments_the_first_is_meant_or_the_one_that_is_known() -> None:
    first, second = payment(), payment(id="pay_2", created_at=1_795_254_100)

    assert decided("paid", second, first).gateway_payment_id == "pay_1"
    assert decided("paid", second, first, gateway_payment_id="pay_2").gateway_payment_id == "pay_2"


def test_a_captured_payment_goes_before_an_authorized_one() -> None:
    waiting = payment("authorized", id="pay_0", created_at=1_795_250_000)

    assert decided("attempted", waiting).outcome is Outcome.AUTHORIZED
    assert decided("attempted", waiting, is_over=True).outcome is Outcome.AUTHORIZED
    assert decided("paid", waiting, payment()).outcome is Outcome.PAID


def test_an_authorization_that_was_given_back_has_expired() -> None:
    lapsed = payment("refunded", captured=False)

    assert decided("attempted", lapsed).outcome is Outcome.REQUIRES_ACTION
    assert decided("attempted", lapsed, gateway_payment_id="pay_1").outcome is Outcome.EXPIRED
    assert decided("attempted", lapsed, gateway_payment_id="pay_9").outcome is (
        Outcome.REQUIRES_ACTION
    )


@pytest.mark.parametrize("is_over", [True, False])
def test_an_order_that_contradicts_itself_is_unknown(is_over: bool) -> None:
    assert decided("paid", is_over=is_over).outcome is Outcome.UNKNOWN
    assert decided("attempted", payment("levitating"), is_over=is_over).outcome is Outcome.UNKNOWN


@given(
    st.lists(st.sampled_from(["created", "authorized", "captured", "failed", "refunded", "new"]))
)
def test_an_order_is_never_closed_while_money_may_be_on_it(statuses: list[str]) -> None:
    payments = [
        payment(status, id=f"pay_{number}", created_at=number)
        for number, status in enumerate(statuses)
    ]
    found = findings.of_order(order("attempted"), payments, query(is_over=True))

    if "captured" in statuses:
        assert found.outcome is Outcome.PAID
    elif "authorized" in statuses:
        assert found.outcome is Outcome.AUTHORIZED
    else:
        may_close = not {"created", "new"} & set(statuses)
        assert (found.outcome is Outcome.EXPIRED) is may_close


# Opening


@responses.activate
def test_an_order_is_asked_for_with_our_id_as_its_receipt(adapter: Adapter) -> None:
    responses.get(f"{API}/orders", json=listed())
    responses.post(f"{API}/orders", json=order())
    page = adapter.open(charge())

    asked, made = (call.request for call in responses.calls)
    assert parse_qs(urlsplit(asked.url).query)["receipt"] == [ATTEMPT]
    assert asked.headers["Authorization"].startswith("Basic ")
    body = json.loads(made.body)
    assert (body["amount"], body["currency"]) == (250_000, "INR")
    assert (body["receipt"], body["notes"]) == (ATTEMPT, {"payment_attempt_id": ATTEMPT})
    assert body["payment"]["capture"] == "automatic"
    assert page.reference == "order_1"
    assert page.url == "https://api.razorpay.com/v1/checkout/embedded"
    assert page.form == {
        "key_id": "rzp_test_1",
        "order_id": "order_1",
        "amount": "250000",
        "currency": "INR",
        "name": "250 credits",
        "description": "250 credits",
        "prefill[name]": "Asha Rao",
        "prefill[email]": "asha@example.com",
        "prefill[contact]": "+919876543210",
        "callback_url": "https://shop.example/paid?a=1",
        "cancel_url": "https://shop.example/cancelled",
    }


@responses.activate
def test_an_order_that_is_there_is_not_made_again(adapter: Adapter) -> None:
    foreign, late = order(id="order_9", receipt=str(uuid4()), notes=[]), order(id="order_2")
    responses.get(f"{API}/orders", json=listed(foreign, late, order("attempted", created_at=9)))

    assert adapter.open(charge()).reference == "order_1"


@responses.activate
def test_an_order_of_another_amount_is_not_shown_to_a_payer(adapter: Adapter) -> None:
    responses.get(f"{API}/orders", json=listed(order(amount=1)))

    with pytest.raises(GatewayRefusedError, match="another amount"):
        adapter.open(charge())


@responses.activate
def test_a_payers_choice_and_a_reservation_are_passed_on(adapter: Adapter) -> None:
    responses.get(f"{API}/orders", json=listed())
    responses.post(f"{API}/orders", json=order())
    page = adapter.open(charge(authorize_only=True, method=Method.PAY_LATER, phone=""))

    body = json.loads(responses.calls[1].request.body)
    assert body["payment"]["capture"] == "manual"
    assert page.form["method"] == "paylater"
    assert "prefill[contact]" not in page.form


def test_a_browser_may_reach_the_page_at_another_address() -> None:
    urls = {"api_url": "http://127.0.0.1:9/razorpay/", "checkout_url": "https://pay.example/rzp/"}
    adapter = Adapter(Settings("rzp_test_1", KEY_SECRET, (SECRET,), **urls))
    with responses.RequestsMock() as answers:
        answers.get("http://127.0.0.1:9/razorpay/v1/orders", json=listed(order()))

        assert adapter.open(charge()).url == "https://pay.example/rzp/v1/checkout/embedded"


@responses.activate
def test_another_currency_is_refused_before_anybody_is_asked(adapter: Adapter) -> None:
    with pytest.raises(GatewayRefusedError):
        adapter.open(charge(amount=Money(2500, "USD")))
    assert not responses.calls


UNCLEAR = [
    {"status": 500, "json": error("sorry", "SERVER_ERROR")},
    {"status": 502, "body": "<html>Bad gateway</html>"},
    {"status": 429, "json": error("Too many requests")},
    {"status": 409, "json": error("Another request with the same idempotency key is in progress")},
    {
        "status": 400,
        "json": error("Different request with the same idempotency key has already ..."),
    },
    {"status": 400, "json": error("Bank is down", "GATEWAY_ERROR")},
    {"status": 400, "json": error("sorry", "SERVER_ERROR")},
    {"status": 400, "json": {"message": "not Razorpay's words"}},
    {"status": 404, "json": []},
    {"status": 401, "json": error("Authentication failed")},
    {"status": 302, "headers": {"Location": "https://elsewhere.example"}},
    {"status": 200, "body": "<html>hello</html>"},
    {"status": 200, "body": ""},
    {"status": 200, "json": None},
    {"status": 200, "json": {}},
    {"status": 200, "json": {"items": None}},
    {"status": 200, "json": {"id": None, "items": [5]}},
    {"body": requests.ConnectionError("refused")},
    {"body": requests.ReadTimeout("slow")},
]


@pytest.mark.parametrize("reply", UNCLEAR)
@responses.activate
def test_whatever_is_not_a_clear_answer_is_unavailable(
    adapter: Adapter, reply: dict[str, Any]
) -> None:
    responses.get(f"{API}/orders", json=listed())
    responses.post(f"{API}/orders", **reply)
    responses.get(f"{API}/orders/order_1", **reply)
    responses.get(f"{API}/payments/pay_1/refunds", **reply)

    for ask in (
        lambda: adapter.open(charge()),
        lambda: adapter.find(query(gateway_session_id="order_1")),
        lambda: adapter.find_refund(REFUND, "pay_1"),
    ):
        with pytest.raises(GatewayUnavailableError):
            ask()
    assert len(responses.calls) == 4


@responses.activate
def test_a_definite_no_is_a_refusal_with_razorpays_words(adapter: Adapter) -> None:
    responses.get(f"{API}/orders", json=listed())
    responses.post(f"{API}/orders", status=400, json=error("Order amount less than minimum"))

    with pytest.raises(GatewayRefusedError, match="Order amount less than minimum"):
        adapter.open(charge())


# Looking up, capturing, refunding


@responses.activate
def test_an_order_that_razorpay_does_not_have_is_nothing(adapter: Adapter) -> None:
    no = error("The id provided does not exist")
    responses.get(f"{API}/orders/order_1", status=400, json=no)
    responses.get(f"{API}/orders", json=listed())
    responses.get(f"{API}/payments/pay_1/refunds", status=400, json=no)

    assert adapter.find(query(gateway_session_id="order_1")) is None
    assert adapter.find(query()) is None
    assert adapter.find_refund(REFUND, "pay_1") is None


@responses.activate
def test_an_id_is_one_segment_of_a_path_whatever_is_in_it(adapter: Adapter) -> None:
    no = error("../x is not a valid id")
    responses.get(f"{API}/orders/..%2Fx%3Fy", status=400, json=no)

    assert adapter.find(query(gateway_session_id="../x?y")) is None


@responses.activate
def test_a_capture_that_is_there_is_answered_as_it_is(adapter: Adapter) -> None:
    no = error("This payment has already been captured")
    responses.post(f"{API}/payments/pay_1/capture", status=400, json=no)
    responses.get(f"{API}/payments/pay_1", json=payment())

    found = adapter.capture(ATTEMPT, "pay_1", INR_2500)
    assert (found.outcome, found.payment_attempt_id) == (Outcome.PAID, ATTEMPT)
    with pytest.raises(GatewayRefusedError, match="already been captured"):
        adapter.capture(ATTEMPT, "pay_1", Money(100_000, "INR"))


@responses.activate
def test_a_refund_carries_our_id_three_times_and_is_looked_for_first(adapter: Adapter) -> None:
    responses.get(f"{API}/payments/pay_1/refunds", json=listed(refund(receipt=None, notes=[])))
    responses.post(f"{API}/payments/pay_1/refund", json=refund("pending"))
    found = adapter.refund(RefundOrder(REFUND, "pay_1", Money(100_000, "INR"), "cancellation"))

    sent = responses.calls[1].request
    body = json.loads(sent.body)
    assert sent.headers["X-Refund-Idempotency"] == REFUND
    assert (body["receipt"], body["notes"]["refund_id"]) == (REFUND, REFUND)
    assert (body["amount"], body["speed"]) == (100_000, "normal")
    assert (found.outcome, found.gateway_refund_id) == (Outcome.PENDING, "rfnd_1")


@responses.activate
def test_a_refund_that_is_there_is_not_made_again(adapter: Adapter) -> None:
    responses.get(f"{API}/payments/pay_1/refunds", json=listed(refund()))
    found = adapter.refund(RefundOrder(REFUND, "pay_1", Money(100_000, "INR"), "cancellation"))

    assert found.outcome is Outcome.SUCCEEDED
    assert len(responses.calls) == 1


@responses.activate
def test_a_no_to_a_refund_that_was_made_meanwhile_is_not_believed(adapter: Adapter) -> None:
    refunds = f"{API}/payments/pay_1/refunds"
    responses.get(refunds, json=listed())
    responses.get(refunds, json=listed(refund()))
    no = error("The payment has been fully refunded already")
    responses.post(f"{API}/payments/pay_1/refund", status=400, json=no)

    found = adapter.refund(RefundOrder(REFUND, "pay_1", Money(100_000, "INR"), "cancellation"))
    assert found.outcome is Outcome.SUCCEEDED


@responses.activate
def test_a_refused_refund_has_failed_and_says_why(adapter: Adapter) -> None:
    responses.get(f"{API}/payments/pay_1/refunds", json=listed())
    no = error("Your account does not have enough balance", reason="NA")
    responses.post(f"{API}/payments/pay_1/refund", status=400, json=no)

    found = adapter.refund(RefundOrder(REFUND, "pay_1", Money(100_000, "INR"), "cancellation"))
    assert (found.outcome, found.refund_id) == (Outcome.FAILED, REFUND)
    assert found.failure_code == "BAD_REQUEST_ERROR"
    assert found.failure_message == "Your account does not have enough balance"


@responses.activate
def test_a_refund_is_looked_for_page_by_page(adapter: Adapter) -> None:
    others = [refund(id=f"rfnd_{one}", receipt=None, notes=[]) for one in range(100)]
    refunds = f"{API}/payments/pay_1/refunds"
    responses.get(refunds, json=listed(*others))
    responses.get(refunds, json=listed(refund()))

    found = adapter.find_refund(REFUND, "pay_1")
    assert found is not None
    assert "skip=100" in str(responses.calls[1].request.url)


@responses.activate
def test_disputes_are_listed_until_a_page_is_too_old(adapter: Adapter) -> None:
    since = datetime.fromtimestamp(1_795_270_000, UTC)
    young = [dispute(id=f"disp_{one}") for one in range(99)]
    old = dispute(id="disp_old", created_at=1_795_269_999)
    responses.get(f"{API}/disputes", json=listed(*young, old))
    responses.get(f"{API}/disputes", json=listed(*[old] * 100))
    found = list(adapter.find_disputes(since))

    assert len(found) == 99
    assert {one.opened_at for one in found} == {since}
    assert len(responses.calls) == 2


# Returns


def sign(text: str) -> str:
    return hmac.new(KEY_SECRET.encode(), text.encode(), "sha256").hexdigest()


@pytest.mark.parametrize(
    "fields",
    [
        {"razorpay_payment_id": "pay_2", "razorpay_signature": sign("order_1|pay_1")},
        {"razorpay_payment_id": "pay_1", "razorpay_signature": sign("order_2|pay_1")},
        {"razorpay_payment_id": "pay_1", "razorpay_signature": ""},
        {"razorpay_payment_id": "pay_1"},
        {"razorpay_signature": sign("order_1|pay_1")},
        {"razorpay_payment_id": "pay_\udcff", "razorpay_signature": "\udcff"},
        {
            "razorpay_payment_id": "pay_1",
            "razorpay_order_id": "order_2",
            "razorpay_signature": sign("order_2|pay_1"),
        },
        {
            "razorpay_payment_id": "pay_1",
            "razorpay_order_id": "order_2",
            "razorpay_signature": sign("order_1|pay_1"),
        },
        {"razorpay_order_id": "order_2"},
        {"error[metadata]": '{"order_id": "order_2"}'},
    ],
)
def test_a_return_that_is_not_of_this_page_is_refused(
    adapter: Adapter, fields: dict[str, str]
) -> None:
    with pytest.raises(SignatureInvalidError):
        adapter.read_return(Return(fields, ATTEMPT, "order_1"))


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"utm": "x"},
        {"error[code]": "BAD_REQUEST_ERROR", "error[description]": "Call +91 900 for your money"},
        {"error[metadata]": '{"order_id": "order_1"}'},
        {"error[metadata]": "{"},
        {"error[metadata]": "[]"},
    ],
)
def test_a_return_that_nobody_signed_says_nothing(adapter: Adapter, fields: dict[str, str]) -> None:
    found = adapter.read_return(Return(fields, ATTEMPT, "order_1"))

    assert (found.outcome, found.failure_message) == (Outcome.UNKNOWN, None)
    assert (found.payment_attempt_id, found.gateway_session_id) == (ATTEMPT, "order_1")


# Settlements

LINES = [
    {"entity_id": "pay_1", "type": "payment", "debit": 0, "credit": 97_640, "amount": 100_000}
    | {"fee": 2360, "tax": 360, "order_receipt": ATTEMPT, "payment_id": None},
    {"entity_id": "rfnd_1", "type": "refund", "debit": 40_000, "credit": 0, "amount": 40_000}
    | {"fee": 0, "tax": 0, "payment_id": "pay_1"},
    {"entity_id": "rfnd_2", "type": "refund", "debit": 10_590, "credit": 0, "amount": 10_000}
    | {"fee": 590, "tax": 90, "payment_id": "pay_1"},
    {"entity_id": "adj_1", "type": "adjustment", "debit": 5000, "credit": 0, "amount": 5000}
    | {"fee": 0, "tax": 0, "dispute_id": "disp_1", "payment_id": "pay_1"},
    {"entity_id": "adj_2", "type": "adjustment", "debit": 0, "credit": 1012, "amount": 1012}
    | {"fee": None, "tax": None},
    {"entity_id": "trf_1", "type": "transfer", "debit": 296, "credit": 0, "amount": 0}
    | {"fee": 296, "tax": 46},
]


def settled(item: dict[str, Any]) -> dict[str, Any]:
    transfer = {"settlement_id": "setl_1", "settlement_utr": "UTR1", "settled_at": 1_795_350_000}
    return {"currency": "INR", "settled": True, **transfer, **item}


@responses.activate
def test_a_report_is_read_with_the_banks_signs(adapter: Adapter) -> None:
    waiting = settled(LINES[0]) | {"settlement_id": None, "settled": False, "settled_at": None}
    report = listed(*map(settled, LINES), waiting)
    responses.get(f"{API}/settlements/recon/combined", json=report)
    found = list(adapter.settlements(date(2026, 11, 22)))

    asked = parse_qs(urlsplit(str(responses.calls[0].request.url)).query)
    assert (asked["year"], asked["month"], asked["day"]) == (["2026"], ["11"], ["22"])
    assert [one.gross.amount for one in found] == [100_000, -40_000, -10_000, -5000, 1012, 0]
    assert [one.fee.amount for one in found] == [2000, 0, 500, 0, 0, 250]
    assert [one.tax.amount for one in found] == [360, 0, 90, 0, 0, 46]
    assert [one.kind for one in found] == [
        *(Settled.PAYMENT, Settled.REFUND, Settled.REFUND, Settled.DISPUTE),
        *(Settled.ADJUSTMENT, Settled.ADJUSTMENT),
    ]
    for one in found:
        assert one.net.amount == one.gross.amount - one.fee.amount - one.tax.amount
    assert len({one.line_id for one in found}) == len(found)
    assert (found[0].payment_attempt_id, found[0].gateway_payment_id) == (ATTEMPT, "pay_1")
    assert (found[2].gateway_refund_id, found[2].gateway_payment_id) == ("rfnd_2", "pay_1")
    assert (found[3].gateway_dispute_id, found[3].utr) == ("disp_1", "UTR1")


@responses.activate
def test_a_report_is_read_page_by_page(adapter: Adapter) -> None:
    many = [settled(LINES[0]) | {"entity_id": f"pay_{one}"} for one in range(1000)]
    responses.get(f"{API}/settlements/recon/combined", json=listed(*many))
    responses.get(f"{API}/settlements/recon/combined", json=listed(settled(LINES[1])))

    assert len(list(adapter.settlements(date(2026, 11, 22)))) == 1001
    assert "skip=1000" in str(responses.calls[1].request.url)


@responses.activate
def test_a_report_that_makes_no_sense_is_unavailable(adapter: Adapter) -> None:
    report = listed(settled(LINES[0]) | {"credit": "much"})
    responses.get(f"{API}/settlements/recon/combined", json=report)

    with pytest.raises(GatewayUnavailableError):
        list(adapter.settlements(date(2026, 11, 22)))


# Settings


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"RAZORPAY_KEY_ID": "rzp_test_1", "RAZORPAY_KEY_SECRET": "x"},
        {"RAZORPAY_KEY_ID": "rzp_test_1", "RAZORPAY_WEBHOOK_SECRET": "x"},
        {
            "RAZORPAY_KEY_ID": "rzp_test_1",
            "RAZORPAY_KEY_SECRET": "x",
            "RAZORPAY_WEBHOOK_SECRET": " , ",
        },
        {
            "RAZORPAY_KEY_ID": "sk_test_1",
            "RAZORPAY_KEY_SECRET": "x",
            "RAZORPAY_WEBHOOK_SECRET": "y",
        },
    ],
)
def test_a_gateway_without_its_secrets_does_not_start(environ: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match="RAZORPAY_"):
        config.read(Settings, environ, prefix="razorpay_")


def test_secrets_do_not_show_in_a_settings_text() -> None:
    shown = repr(Settings("rzp_test_1", KEY_SECRET, (SECRET,)))

    assert KEY_SECRET not in shown
    assert SECRET not in shown
