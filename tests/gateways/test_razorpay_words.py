"""Razorpay's entities, signatures and settings in our words."""

import hmac
import json
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from gateways.razorpay_entities import (
    ATTEMPT,
    INR_2500,
    KEY_SECRET,
    NOW,
    OLD_SECRET,
    REFUND,
    SECRET,
    dispute,
    event,
    failed,
    order,
    payment,
    query,
    refund,
)
from hypothesis import given
from hypothesis import strategies as st

from app import config
from app.config import ConfigError
from app.errors import InvalidInputError, SignatureInvalidError
from app.gateways import DeclineClass, Delivery, Finding, Method, Outcome, Return, Subject
from app.gateways.razorpay import Adapter, Settings, declines, findings
from app.money import Money

SAMPLES = json.loads((Path(__file__).parent / "samples" / "razorpay.json").read_text())


@pytest.fixture
def adapter() -> Adapter:
    return Adapter(Settings("rzp_test_1", KEY_SECRET, (SECRET, OLD_SECRET)))


def signed(body: Any, secret: str = SECRET, **headers: str) -> Delivery:
    text = body if isinstance(body, bytes) else json.dumps(body).encode()
    sign = hmac.new(secret.encode(), text, "sha256").hexdigest()
    given = {"x-razorpay-signature": sign, "x-razorpay-event-id": "T1"}
    return Delivery(given | headers, text)


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

    assert (found.subject, found.outcome) == (Subject.PAYMENT, Outcome.HINT)
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
    for payload in ({}, {"payment": 7}, [], None, "text"):
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
    assert found.declined_at == datetime.fromtimestamp(told["created_at"], UTC)


@pytest.mark.parametrize("stamp", [None, "yesterday", 10**18, -(10**18), [1]])
def test_a_failure_without_a_time_is_a_failure(stamp: Any) -> None:
    found = findings.of_payment(failed("insufficient_funds") | {"created_at": stamp})

    assert (found.decline_class, found.declined_at) == (DeclineClass.SOFT, None)


def test_no_reason_has_two_classes() -> None:
    reasons = [reason for some in declines.REASONS.values() for reason in some]

    assert len(reasons) == len(set(reasons))


def test_an_error_is_told_only_while_it_matters() -> None:
    found = findings.of_payment(
        payment(error_code="BAD_REQUEST_ERROR", error_reason="card_expired")
    )

    assert (found.failure_code, found.decline_class) == (None, None)


@pytest.mark.parametrize("changes", [{"receipt": None}, {"notes": []}, {"notes": {"a": "b"}}])
def test_a_refund_is_ours_by_its_notes_or_by_its_receipt(changes: dict[str, Any]) -> None:
    assert findings.of_refund(refund(**changes)).refund_id == REFUND
    assert findings.of_refund(refund(receipt="RF-3", notes=[])).refund_id is None


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


@pytest.mark.parametrize(
    ("status", "deducted", "outcome"),
    [
        ("open", 0, Outcome.UNKNOWN),
        ("lost", None, Outcome.UNKNOWN),
        ("open", 250_000, Outcome.OPENED),
        ("under_review", 250_000, Outcome.UNDER_REVIEW),
        ("lost", 250_000, Outcome.LOST),
        ("won", 0, Outcome.WON),  # the money has come back
    ],
)
@pytest.mark.parametrize("phase", ["fraud", "retrieval"])
def test_an_inquiry_is_a_dispute_once_it_takes_money(
    phase: str, status: str, deducted: int | None, outcome: Outcome
) -> None:
    found = findings.of_dispute(dispute(status=status, phase=phase, amount_deducted=deducted))

    assert found.outcome is outcome


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
