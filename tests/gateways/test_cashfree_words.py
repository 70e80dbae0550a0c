"""Cashfree's signatures, objects and refusals in our words, also those that no simulator gives."""

import json
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
import responses

from app.config import ConfigError, read
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
    Method,
    Outcome,
    Query,
    RefundOrder,
    Return,
    Settled,
    Subject,
)
from app.gateways.cashfree import Adapter, Settings, declines, findings, words
from app.gateways.cashfree.signatures import signature
from app.money import Money

API = "https://sandbox.cashfree.com/pg"
SECRET = "cf_secret_A"
ATTEMPT = "6f1e9a3e-5a55-4a5a-9a55-000000000001"
REFUND = "0d9c8b7a-1111-4222-8333-000000000007"
NOW = datetime.fromtimestamp(1790000005, UTC)
STAMP = "1790000005123"
BODY = (
    b'{"data":{"order":{"order_id":"BK-17","order_amount":2450.00}},'
    b'"type":"PAYMENT_SUCCESS_WEBHOOK"}'
)
ORDER = {"order_id": ATTEMPT, "order_amount": Decimal("2500.00"), "order_currency": "INR"}
INR_2500 = Money(250_000, "INR")


@pytest.fixture
def adapter() -> Iterator[Adapter]:
    made = Adapter(Settings("TEST_client", (SECRET, "cf_secret_B"), API))
    yield made
    made.http.close()


@pytest.fixture
def answers() -> Iterator[responses.RequestsMock]:
    with responses.RequestsMock() as mock:
        yield mock


def charge(**changes: Any) -> Charge:
    wanted = {
        "id": ATTEMPT,
        "amount": INR_2500,
        "title": "250 credits",
        "email": "asha@example.com",
        "name": "Asha Rao",
        "phone": "+919876543210",
        "success_url": "https://shop.example/ok?order={order_id}",
        "cancel_url": "https://shop.example/no",
        "expires_at": NOW + timedelta(hours=1),
    }
    return Charge(**{**wanted, **changes})


def payment(status: str, **changes: Any) -> dict[str, Any]:
    return {
        "cf_payment_id": "1453002795",
        "payment_status": status,
        "payment_amount": Decimal("2500.00"),
        "payment_currency": "INR",
        "payment_group": "upi",
        "payment_time": "2026-09-21T19:43:20+05:30",
        "is_captured": True,
    } | changes


def delivery(body: bytes = BODY, headers: Mapping[str, str] | None = None) -> Delivery:
    given = {
        "x-webhook-timestamp": STAMP,
        "x-webhook-signature": by_openssl(STAMP.encode() + body),
        **(headers or {}),
    }
    return Delivery(given, body)


def by_openssl(message: bytes, secret: str = SECRET) -> str:
    """Sign outside our code."""
    command = ["openssl", "dgst", "-sha256", "-hmac", secret, "-binary"]
    digest = subprocess.run(command, input=message, capture_output=True, check=True).stdout
    command = ["openssl", "base64", "-A"]
    return subprocess.run(command, input=digest, capture_output=True, check=True).stdout.decode()


def event(kind: str, **data: Any) -> bytes:
    text = {"data": data, "event_time": "2026-09-21T19:43:25+05:30", "type": kind}
    return json.dumps(text, default=float).encode()


# Signatures


def test_a_signature_is_what_the_official_sdk_checks() -> None:
    assert signature(BODY, STAMP, SECRET) == b"qHeA2cgyA+bXnk6uPhaWnZSgWdxjLbHQy76bRm30Ud8="
    assert by_openssl(STAMP.encode() + BODY).encode() == signature(BODY, STAMP, SECRET)


def test_either_secret_signs_while_one_replaces_the_other(adapter: Adapter) -> None:
    body = event("SETTLEMENT_SUCCESS")
    other = by_openssl(STAMP.encode() + body, "cf_secret_B")

    assert adapter.read(delivery(body, {"x-webhook-signature": other}), NOW).type


@pytest.mark.parametrize(
    "headers",
    [
        {"x-webhook-signature": ""},
        {"x-webhook-signature": "garbage"},
        {"x-webhook-signature": "ü"},
        {"x-webhook-signature": "\ud800"},
        {"x-webhook-signature": "qHeA2cgyA+bXnk6uPhaWnZSgWdxjLbHQy76bRm30Ud8"},
        {"x-webhook-timestamp": ""},
        {"x-webhook-timestamp": "1790000005124"},
        {"x-webhook-timestamp": "-1790000005123"},
        {"x-webhook-timestamp": "\uff11\uff17"},
        {"x-webhook-timestamp": "9" * 400},
    ],
)
def test_what_cashfree_did_not_sign_is_refused(adapter: Adapter, headers: dict[str, str]) -> None:
    with pytest.raises(SignatureInvalidError):
        adapter.read(delivery(headers=headers), NOW)


def test_a_body_that_was_written_again_is_refused(adapter: Adapter) -> None:
    genuine = delivery()

    with pytest.raises(SignatureInvalidError):
        adapter.read(replace(genuine, body=BODY.replace(b"2450.00", b"2450.0")), NOW)


@pytest.mark.parametrize(
    ("attempt", "age", "fresh"),
    [
        ("1", timedelta(seconds=299), True),
        ("1", timedelta(seconds=301), False),
        ("", timedelta(seconds=301), False),
        ("x", timedelta(seconds=301), False),
        ("2", timedelta(seconds=301), True),
        ("4", timedelta(hours=24), True),
        ("4", timedelta(hours=24, seconds=301), False),
        ("1", timedelta(seconds=-299), True),
        ("4", timedelta(seconds=-301), False),
    ],
)
def test_only_a_later_try_may_bear_an_old_stamp(
    adapter: Adapter, attempt: str, age: timedelta, fresh: bool
) -> None:
    sent = delivery(event("SETTLEMENT_SUCCESS"), {"x-webhook-attempt": attempt})
    now = datetime.fromtimestamp(int(STAMP) / 1000, UTC) + age

    if fresh:
        assert adapter.read(sent, now).type == "SETTLEMENT_SUCCESS"
    else:
        with pytest.raises(SignatureInvalidError):
            adapter.read(sent, now)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b"{}",
        b'{"type": null, "data": {}}',
        b'{"type": "PAYMENT_SUCCESS_WEBHOOK"}',
        b'{"type": "PAYMENT_SUCCESS_WEBHOOK", "data": {"order": 1, "payment": []}}',
        b'{"type": "REFUND_STATUS_WEBHOOK", "data": {"refund": null}}',
        b'{"type": "DISPUTE_CREATED", "data": {"dispute": {}, "order_details": {}}}',
        b"[" * 100_000,
        event(
            "PAYMENT_SUCCESS_WEBHOOK", order=ORDER, payment=payment("SUCCESS", payment_amount="x")
        ),
        event(
            "PAYMENT_SUCCESS_WEBHOOK", order=ORDER, payment=payment("SUCCESS", payment_amount=-5)
        ),
        event(
            "PAYMENT_SUCCESS_WEBHOOK", order=ORDER, payment=payment("SUCCESS", payment_amount=1.005)
        ),
        b"\xff\xfe",
    ],
)
def test_what_is_genuine_and_no_event_is_refused(adapter: Adapter, body: bytes) -> None:
    with pytest.raises(InvalidInputError):
        adapter.read(delivery(body), NOW)


# Webhooks


def test_a_payment_is_read_to_the_paisa(adapter: Adapter) -> None:
    paid = payment("SUCCESS", payment_amount=0)
    body = event("PAYMENT_SUCCESS_WEBHOOK", order=ORDER, payment=paid)
    exact = body.replace(b'"payment_amount": 0', b'"payment_amount": 9999999999999.99')

    found = adapter.read(delivery(exact), NOW)
    assert found.amount == found.captured_amount == Money(999_999_999_999_999, "INR")
    assert (found.payment_attempt_id, found.gateway_session_id) == (ATTEMPT, ATTEMPT)
    assert found.gateway_payment_id == f"{ATTEMPT}:1453002795"
    assert (found.method, found.livemode, found.account) == (Method.UPI, False, "")
    assert found.occurred_at == datetime(2026, 9, 21, 14, 13, 25, tzinfo=UTC)


def test_the_address_decides_what_is_live() -> None:
    assert Settings("id", ("secret",)).livemode is True
    assert Settings("id", ("secret",), API).livemode is False


def test_an_id_is_the_same_as_a_number_and_as_a_text(adapter: Adapter) -> None:
    bodies = [
        event("PAYMENT_SUCCESS_WEBHOOK", order=ORDER, payment=payment("SUCCESS", cf_payment_id=one))
        for one in (1453002795, "1453002795")
    ]

    first, second = (adapter.read(delivery(body), NOW) for body in bodies)
    assert first.gateway_payment_id == second.gateway_payment_id
    assert first.event_id == second.event_id


def test_a_new_status_is_a_new_event_and_a_redelivery_is_not(adapter: Adapter) -> None:
    held = payment("SUCCESS", payment_message="PRE_AUTH|Transaction Success", is_captured=False)
    states = [
        payment("PENDING"),
        payment("FAILED"),
        payment("SUCCESS"),
        payment("SUCCESS", cf_payment_id=2),
        held,
    ]
    sent = [delivery(event("PAYMENT_SUCCESS_WEBHOOK", order=ORDER, payment=one)) for one in states]

    first = [adapter.read(one, NOW).event_id for one in sent]
    again = [
        adapter.read(replace(one, headers={**one.headers, "x-webhook-attempt": "2"}), NOW).event_id
        for one in sent
    ]
    assert len(set(first)) == len(states)
    assert first == again


def test_an_unsigned_header_makes_no_other_event(adapter: Adapter) -> None:
    body = event("PAYMENT_SUCCESS_WEBHOOK", order=ORDER, payment=payment("SUCCESS"))
    one, other = (delivery(body, {"x-idempotency-key": key}) for key in ("a", "b"))

    assert adapter.read(one, NOW).event_id == adapter.read(other, NOW).event_id


def test_a_dispute_with_more_time_is_a_new_event(adapter: Adapter) -> None:
    dispute = {
        "dispute_id": 7,
        "dispute_status": "CHARGEBACK_CREATED",
        "dispute_amount": 2500,
        "updated_at": "2026-09-20T21:49:48+05:30",
    }
    details = {**ORDER, "cf_payment_id": 1453002795}
    later = {**dispute, "updated_at": "2026-09-21T21:49:48+05:30"}

    first, second = (
        adapter.read(delivery(event("DISPUTE_UPDATED", dispute=one, order_details=details)), NOW)
        for one in (dispute, later)
    )
    assert first.event_id != second.event_id
    assert first.payment_attempt_id == second.payment_attempt_id == ATTEMPT


def test_what_a_database_cannot_keep_is_replaced(adapter: Adapter) -> None:
    error = {"error_reason": "bank_rejected", "error_description": "no\x00\ud800!"}
    body = event(
        "PAYMENT_FAILED_WEBHOOK", order=ORDER, payment=payment("FAILED"), error_details=error
    )

    found = adapter.read(delivery(body), NOW)
    assert found.failure_message == "no\N{REPLACEMENT CHARACTER}\N{REPLACEMENT CHARACTER}!"


def test_an_unheard_of_event_needs_nothing_but_a_type(adapter: Adapter) -> None:
    found = adapter.read(delivery(b'{"type": "BEAMED_UP"}'), NOW)

    assert (found.subject, found.outcome) == (Subject.NONE, Outcome.UNKNOWN)
    assert found.occurred_at == datetime.fromtimestamp(int(STAMP) / 1000, UTC)


# Payments and orders


@pytest.mark.parametrize(
    ("status", "changes", "outcome"),
    [
        ("SUCCESS", {}, Outcome.PAID),
        ("SUCCESS", {"is_captured": None}, Outcome.PAID),
        ("SUCCESS", {"is_captured": False}, Outcome.AUTHORIZED),
        ("SUCCESS", {"is_captured": None, "payment_message": "PRE_AUTH|ok"}, Outcome.AUTHORIZED),
        (
            "SUCCESS",
            {"is_captured": False, "authorization": {"action": "CAPTURE", "status": "PENDING"}},
            Outcome.AUTHORIZED,
        ),
        (
            "SUCCESS",
            {"is_captured": False, "authorization": {"action": "VOID", "status": "SUCCESS"}},
            Outcome.CANCELED,
        ),
        (
            "SUCCESS",
            {
                "payment_message": "PRE_AUTH|ok",
                "authorization": {"action": "CAPTURE", "status": "SUCCESS"},
            },
            Outcome.PAID,
        ),
        ("PENDING", {}, Outcome.PROCESSING),
        ("NOT_ATTEMPTED", {}, Outcome.REQUIRES_ACTION),
        ("FAILED", {}, Outcome.REQUIRES_ACTION),
        ("USER_DROPPED", {}, Outcome.REQUIRES_ACTION),
        ("CANCELLED", {}, Outcome.REQUIRES_ACTION),
        ("VOID", {}, Outcome.CANCELED),
        ("TELEPORTED", {}, Outcome.UNKNOWN),
    ],
)
def test_a_payment_says_where_it_is(status: str, changes: dict[str, Any], outcome: Outcome) -> None:
    found = findings.of_payment(ORDER, payment(status, **changes))

    assert (found.subject, found.outcome) == (Subject.PAYMENT, outcome)
    # Of what failed or is still moving another try may take the place, under another name.
    is_firm = outcome in {Outcome.PAID, Outcome.AUTHORIZED, Outcome.CANCELED}
    assert (found.gateway_payment_id is not None) is is_firm


def test_a_part_is_captured_of_what_was_held() -> None:
    taken = {"action": "CAPTURE", "status": "SUCCESS", "captured_amount": Decimal("470.00")}
    found = findings.of_payment(ORDER, payment("SUCCESS", authorization=taken))

    assert (found.amount, found.captured_amount) == (INR_2500, Money(47_000, "INR"))


FAILED = payment(
    "FAILED",
    cf_payment_id="1",
    is_captured=True,  # as Cashfree's own samples have it
    payment_time="2026-09-21T19:40:00+05:30",
    error_details={"error_reason": "insufficient_funds", "error_source": "bank"},
)
LATER_FAILED = payment(
    "FAILED",
    cf_payment_id="2",
    payment_time="2026-09-21T19:41:00+05:30",
    error_details={"error_reason": "incorrect_otp", "error_source": "customer"},
)
HELD = payment("SUCCESS", cf_payment_id="3", is_captured=False)
PAID = payment("SUCCESS", cf_payment_id="4", payment_time="2026-09-21T19:42:00+05:30")
PAID_AGAIN = payment("SUCCESS", cf_payment_id="5", payment_time="2026-09-21T19:43:00+05:30")


@pytest.mark.parametrize(
    ("status", "tries", "is_over", "outcome"),
    [
        ("ACTIVE", [], False, Outcome.REQUIRES_ACTION),
        ("ACTIVE", [], True, Outcome.EXPIRED),
        ("ACTIVE", [FAILED], False, Outcome.REQUIRES_ACTION),
        ("ACTIVE", [FAILED], True, Outcome.EXPIRED),
        ("ACTIVE", [payment("NOT_ATTEMPTED")], True, Outcome.EXPIRED),
        ("ACTIVE", [payment("USER_DROPPED")], False, Outcome.REQUIRES_ACTION),
        ("ACTIVE", [payment("PENDING")], True, Outcome.PROCESSING),
        ("ACTIVE", [HELD], True, Outcome.AUTHORIZED),
        ("ACTIVE", [payment("VOID")], False, Outcome.REQUIRES_ACTION),
        ("EXPIRED", [], False, Outcome.EXPIRED),
        ("EXPIRED", [FAILED], False, Outcome.EXPIRED),
        ("EXPIRED", [payment("PENDING")], False, Outcome.PROCESSING),
        ("EXPIRED", [PAID], False, Outcome.PAID),
        ("TERMINATED", [], False, Outcome.EXPIRED),
        ("TERMINATED", [PAID], False, Outcome.PAID),
        ("TERMINATION_REQUESTED", [], True, Outcome.REQUIRES_ACTION),
        ("TERMINATION_REQUESTED", [payment("PENDING")], True, Outcome.PROCESSING),
        ("PAID", [FAILED, PAID], False, Outcome.PAID),
        ("PAID", [HELD], False, Outcome.AUTHORIZED),
        ("PAID", [payment("VOID")], False, Outcome.CANCELED),
        ("TELEPORTED", [], True, Outcome.UNKNOWN),
        ("TELEPORTED", [PAID], True, Outcome.PAID),
    ],
)
def test_the_order_is_decided_and_never_a_payment(
    status: str, tries: list[dict[str, Any]], is_over: bool, outcome: Outcome
) -> None:
    found = findings.of_order({**ORDER, "order_status": status}, tries, is_over=is_over)

    assert found.outcome is outcome
    assert (found.payment_attempt_id, found.amount) == (ATTEMPT, INR_2500)


def test_the_last_failure_is_told_while_the_order_is_open() -> None:
    found = findings.of_order({**ORDER, "order_status": "ACTIVE"}, [LATER_FAILED, FAILED])

    assert found.failure_code == "incorrect_otp"
    assert found.decline_class is DeclineClass.AUTHENTICATION
    assert found.gateway_payment_id is None


def test_a_failure_is_not_told_of_what_was_paid() -> None:
    found = findings.of_order({**ORDER, "order_status": "PAID"}, [PAID, LATER_FAILED])

    assert (found.outcome, found.failure_code, found.decline_class) == (Outcome.PAID, None, None)


def test_the_first_of_two_captured_payments_counts() -> None:
    found = findings.of_order({**ORDER, "order_status": "PAID"}, [PAID_AGAIN, FAILED, PAID])

    assert found.gateway_payment_id == f"{ATTEMPT}:4"


def test_an_order_that_is_paid_by_nothing_yet_says_nothing() -> None:
    with pytest.raises(GatewayUnavailableError):
        findings.of_order({**ORDER, "order_status": "PAID"}, [FAILED], is_over=True)


def test_an_order_of_somebody_elses_is_nobodys_attempt() -> None:
    other = {**ORDER, "order_id": "BK-17"}

    assert findings.of_payment(other, payment("SUCCESS")).payment_attempt_id is None


# Declines, methods, refunds, disputes


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ({"error_reason": "insufficient_funds", "error_source": "bank"}, DeclineClass.SOFT),
        ({"error_reason": "INSUFFICIENT_FUNDS"}, DeclineClass.SOFT),
        ({"error_reason": "card_expired", "error_source": "customer"}, DeclineClass.HARD),
        ({"error_reason": "auth_declined"}, DeclineClass.AUTHENTICATION),
        ({"error_reason": "stolen_card"}, DeclineClass.FRAUD),
        ({"error_reason": "gateway_error", "error_source": "bank"}, DeclineClass.GATEWAY),
        ({"error_code": "TRANSACTION_DECLINED"}, DeclineClass.SOFT),
        ({"error_reason": "never_heard_of", "error_source": "bank"}, DeclineClass.SOFT),
        ({"error_reason": "never_heard_of", "error_source": "cashfree"}, DeclineClass.GATEWAY),
        ({"error_reason": None, "error_code": None}, DeclineClass.GATEWAY),
        ({}, DeclineClass.GATEWAY),
    ],
)
def test_a_decline_has_a_class(error: dict[str, Any], kind: DeclineClass) -> None:
    assert declines.decline_class(error) is kind


def test_no_reason_has_two_classes() -> None:
    assert sum(map(len, declines.REASONS.values())) == len(declines.CLASSES)


@pytest.mark.parametrize(
    ("changes", "method"),
    [
        ({"payment_group": "credit_card"}, Method.CARD),
        ({"payment_group": "UPI"}, Method.UPI),
        ({"payment_group": "net_banking"}, Method.NETBANKING),
        ({"payment_group": "wallet"}, Method.WALLET),
        ({"payment_group": "cardless_emi"}, Method.EMI),
        ({"payment_group": "pay_later"}, Method.PAY_LATER),
        ({"payment_group": "bank_transfer"}, Method.BANK_TRANSFER),
        ({"payment_group": "cowries"}, Method.OTHER),
        (
            {"payment_group": None, "payment_method": {"app": {"provider": "phonepe"}}},
            Method.WALLET,
        ),
        ({"payment_group": None, "payment_method": None}, None),
        ({"payment_group": None, "payment_method": "upi"}, None),
    ],
)
def test_a_payment_names_its_method(changes: dict[str, Any], method: Method | None) -> None:
    assert findings.of_payment(ORDER, payment("SUCCESS", **changes)).method is method


def refund(**changes: Any) -> dict[str, Any]:
    return {
        "cf_refund_id": 11325999,
        "cf_payment_id": 1453002795,
        "refund_id": REFUND.replace("-", ""),
        "order_id": ATTEMPT,
        "refund_amount": Decimal("1000.00"),
        "refund_currency": "INR",
        "refund_type": "MERCHANT_INITIATED",
        "refund_status": "SUCCESS",
        "refund_arn": None,
        "status_description": "bank account closed",
    } | changes


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        ("SUCCESS", Outcome.SUCCEEDED),
        ("PENDING", Outcome.PENDING),
        ("ONHOLD", Outcome.PENDING),
        ("CANCELLED", Outcome.CANCELED),
        ("FAILED", Outcome.FAILED),
        ("TELEPORTED", Outcome.UNKNOWN),
    ],
)
def test_a_refund_says_where_it_is(status: str, outcome: Outcome) -> None:
    found = findings.of_refund(refund(refund_status=status))

    assert (found.subject, found.outcome, found.refund_id) == (Subject.REFUND, outcome, REFUND)
    assert found.gateway_payment_id == f"{ATTEMPT}:1453002795"
    assert (found.gateway_refund_id, found.amount) == ("11325999", Money(100_000, "INR"))
    assert (found.failure_message is not None) is (outcome is Outcome.FAILED)


@pytest.mark.parametrize("kind", ["PAYMENT_AUTO_REFUND", "UNRECONCILED_AUTO_REFUND", "NEW"])
def test_a_refund_of_cashfrees_own_is_none_of_ours(kind: str) -> None:
    found = findings.of_refund(refund(refund_type=kind, order_id=None))

    assert (found.subject, found.outcome, found.refund_id) == (
        *(Subject.NONE, Outcome.UNKNOWN),
        None,
    )


@pytest.mark.parametrize("stage", ["DISPUTE", "CHARGEBACK", "PRE_ARBITRATION", "ARBITRATION"])
@pytest.mark.parametrize(
    ("state", "open_", "closed"),
    [
        ("CREATED", Outcome.OPENED, Outcome.OPENED),
        ("DOCS_RECEIVED", Outcome.UNDER_REVIEW, Outcome.UNDER_REVIEW),
        ("UNDER_REVIEW", Outcome.UNDER_REVIEW, Outcome.UNDER_REVIEW),
        ("INSUFFICIENT_EVIDENCE", Outcome.UNDER_REVIEW, Outcome.LOST),
        ("MERCHANT_WON", Outcome.WON, Outcome.WON),
        ("MERCHANT_LOST", Outcome.LOST, Outcome.LOST),
        ("MERCHANT_ACCEPTED", Outcome.LOST, Outcome.LOST),
        ("TELEPORTED", Outcome.UNKNOWN, Outcome.UNKNOWN),
    ],
)
def test_a_dispute_is_a_stage_and_a_state(
    stage: str, state: str, open_: Outcome, closed: Outcome
) -> None:
    status = f"{stage}_{state}"

    assert words.dispute_outcome(status, is_closed=False) is open_
    assert words.dispute_outcome(status, is_closed=True) is closed


@pytest.mark.parametrize("status", ["RETRIEVAL_CREATED", "RETRIEVAL_MERCHANT_LOST", "", "CREATED"])
def test_a_question_without_money_is_no_dispute(status: str) -> None:
    assert words.dispute_outcome(status, is_closed=False) is Outcome.UNKNOWN


# Asking


def test_an_order_is_written_as_the_documentation_has_it(
    adapter: Adapter, answers: responses.RequestsMock
) -> None:
    made = {**ORDER, "order_amount": 2500, "payment_session_id": "session_x"}
    answers.post(f"{API}/orders", json=made)
    page = adapter.open(charge(method=Method.UPI))

    request = answers.calls[0].request
    body = request.body or b""
    assert isinstance(body, bytes)
    assert b'"order_amount": 2500.00' in body
    assert json.loads(body) == {
        "order_id": ATTEMPT,
        "order_amount": 2500.0,
        "order_currency": "INR",
        "order_expiry_time": "2026-09-21T15:13:25+00:00",
        "order_note": "250 credits",
        "order_meta": {
            "return_url": "https://shop.example/ok?order={order_id}",
            "payment_methods": "upi",
        },
        "customer_details": {
            "customer_id": "6f1e9a3e5a554a5a9a55000000000001",
            "customer_phone": "9876543210",
            "customer_email": "asha@example.com",
            "customer_name": "Asha Rao",
        },
    }
    assert request.headers["x-client-id"] == "TEST_client"
    assert request.headers["x-client-secret"] == SECRET
    assert request.headers["x-api-version"] == "2025-01-01"
    assert page.reference == ATTEMPT
    assert page.url == f"{API}/view/sessions/checkout"
    assert page.form == {"payment_session_id": "session_x"}


def test_a_hold_is_asked_for_by_the_note(adapter: Adapter, answers: responses.RequestsMock) -> None:
    answers.post(f"{API}/orders", json={**ORDER, "order_amount": 1, "payment_session_id": "s"})
    adapter.open(charge(authorize_only=True, name="Li"))

    body = json.loads(answers.calls[0].request.body or b"")
    assert body["order_note"] == "preauth_transaction"
    assert "customer_name" not in body["customer_details"]
    assert "payment_methods" not in body["order_meta"]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"phone": ""}, "phone number"),
        ({"amount": Money(2500, "USD")}, "USD"),
        ({"method": Method.BANK_DEBIT}, "bank_debit"),
    ],
)
def test_what_cashfree_does_not_take_is_refused_by_name(
    adapter: Adapter, changes: dict[str, Any], said: str
) -> None:
    with pytest.raises(GatewayRefusedError, match=said):
        adapter.open(charge(**changes))


def test_an_order_that_exists_is_the_same_page(
    adapter: Adapter, answers: responses.RequestsMock
) -> None:
    error = {"message": "order with same id is already present", "code": "order_already_exists"}
    answers.post(f"{API}/orders", json=error, status=409)
    known = {**ORDER, "order_amount": 2500.0, "payment_session_id": "session_x"}
    answers.get(f"{API}/orders/{ATTEMPT}", json=known)

    assert adapter.open(charge()).form == {"payment_session_id": "session_x"}


def test_another_order_under_the_same_id_is_refused(
    adapter: Adapter, answers: responses.RequestsMock
) -> None:
    answers.post(f"{API}/orders", json={"code": "order_already_exists"}, status=409)
    known = {**ORDER, "order_amount": 2499.99, "payment_session_id": "session_x"}
    answers.get(f"{API}/orders/{ATTEMPT}", json=known)

    with pytest.raises(GatewayRefusedError, match="another order"):
        adapter.open(charge())


def test_a_refusal_says_what_cashfree_says_and_no_more(
    adapter: Adapter, answers: responses.RequestsMock
) -> None:
    error = {"message": "order_amount : should be at least 1", "code": "order_amount_invalid"}
    answers.post(f"{API}/orders", json=error, status=400)

    with pytest.raises(GatewayRefusedError) as refusal:
        adapter.open(charge())
    assert refusal.value.message == "Cashfree refused: order_amount : should be at least 1"


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (200, "[]"),
        (200, "{}"),
        (200, "null"),
        (200, "<html>502</html>"),
        (200, ""),
        (401, '{"message": "authentication Failed", "type": "authentication_error"}'),
        (404, "<html>Not Found</html>"),
        (429, '{"type": "rate_limit_error"}'),
        (500, '{"type": "api_error"}'),
        (302, ""),
    ],
)
def test_what_means_nothing_leaves_everything_open(
    adapter: Adapter, answers: responses.RequestsMock, status: int, body: str
) -> None:
    answers.post(f"{API}/orders", body=body, status=status)
    answers.get(f"{API}/orders/{ATTEMPT}", body=body, status=status)

    with pytest.raises(GatewayUnavailableError):
        adapter.open(charge())
    with pytest.raises(GatewayUnavailableError):
        adapter.find(Query(payment_attempt_id=ATTEMPT, since=NOW))


def test_only_an_order_that_is_not_there_is_nothing(
    adapter: Adapter, answers: responses.RequestsMock
) -> None:
    gone = {"message": "Order Reference Id does not exist", "code": "order_not_found"}
    answers.get(f"{API}/orders/{ATTEMPT}", json=gone, status=404)
    answers.get(f"{API}/orders/BK-1", json={"code": "request_failed"}, status=404)

    assert adapter.find(Query(payment_attempt_id=ATTEMPT, since=NOW)) is None
    with pytest.raises(GatewayRefusedError):
        adapter.find(Query(payment_attempt_id=ATTEMPT, since=NOW, gateway_session_id="BK-1"))


def test_another_order_than_asked_for_says_nothing(
    adapter: Adapter, answers: responses.RequestsMock
) -> None:
    other = {**ORDER, "order_amount": 1, "order_id": "BK-17", "order_status": "PAID"}
    answers.get(f"{API}/orders/{ATTEMPT}", json=other)

    with pytest.raises(GatewayUnavailableError, match="another order"):
        adapter.find(Query(payment_attempt_id=ATTEMPT, since=NOW))


REFUND_ORDER = RefundOrder(REFUND, f"{ATTEMPT}:1453002795", Money(100_000, "INR"), "cancellation")


def test_a_refund_is_asked_for_below_its_order(
    adapter: Adapter, answers: responses.RequestsMock
) -> None:
    answers.post(f"{API}/orders/{ATTEMPT}/refunds", json=refund(refund_amount=1000))
    found = adapter.refund(REFUND_ORDER)

    body = answers.calls[0].request.body or b""
    assert isinstance(body, bytes)
    assert b'"refund_amount": 1000.00' in body
    assert json.loads(body) == {
        "refund_id": REFUND.replace("-", ""),
        "refund_amount": 1000.0,
        "refund_speed": "STANDARD",
        "refund_note": "cancellation",
    }
    assert (found.outcome, found.refund_id) == (Outcome.SUCCEEDED, REFUND)


def test_a_refund_that_exists_is_told_as_it_is(
    adapter: Adapter, answers: responses.RequestsMock
) -> None:
    path = f"{API}/orders/{ATTEMPT}/refunds"
    answers.post(path, json={"code": "refund_id_already_exists"}, status=400)
    known = refund(refund_amount=999, refund_status="PENDING")
    answers.get(f"{path}/{REFUND.replace('-', '')}", json=known)

    found = adapter.refund(REFUND_ORDER)
    assert (found.outcome, found.amount) == (Outcome.PENDING, Money(99_900, "INR"))


def test_a_refund_that_cashfree_refuses_has_failed(
    adapter: Adapter, answers: responses.RequestsMock
) -> None:
    error = {"message": "Refund amount is too high", "code": "refund_amount_invalid"}
    answers.post(f"{API}/orders/{ATTEMPT}/refunds", json=error, status=400)

    found = adapter.refund(REFUND_ORDER)
    assert (found.outcome, found.refund_id) == (Outcome.FAILED, REFUND)
    assert found.failure_message == "Cashfree refused: Refund amount is too high"


def test_a_capture_is_asked_for_once_under_its_own_key(
    adapter: Adapter, answers: responses.RequestsMock
) -> None:
    path = f"{API}/orders/{ATTEMPT}"
    answers.post(f"{path}/authorization", json={})
    answers.get(path, json={**ORDER, "order_amount": 2500, "order_status": "PAID"})
    taken = payment("SUCCESS", payment_amount=2500, payment_message="PRE_AUTH|ok")
    answers.get(f"{path}/payments", json=[taken])
    for _ in range(2):
        found = adapter.capture(ATTEMPT, f"{ATTEMPT}:1453002795", INR_2500)
        assert found.outcome is Outcome.PAID
    adapter.cancel(ATTEMPT, f"{ATTEMPT}:1453002795")

    keys = [
        one.request.headers["x-idempotency-key"]
        for one in answers.calls
        if one.request.method == "POST"
    ]
    assert keys[0] == keys[1] != keys[2]


HOLD = {**ORDER, "order_amount": 2500, "order_status": "PAID"}
RUNNING = {"message": "in process", "code": "request_invalid", "type": "idempotency_error"}
NO_ORDER = {"message": "Order Reference Id does not exist", "code": "order_not_found"}


def test_a_capture_that_is_still_running_is_no_refusal(
    adapter: Adapter, answers: responses.RequestsMock
) -> None:
    path = f"{API}/orders/{ATTEMPT}"
    answers.post(f"{path}/authorization", json=RUNNING, status=409)
    answers.get(path, json=HOLD)
    held = payment("SUCCESS", payment_amount=2500, is_captured=False)
    answers.get(f"{path}/payments", json=[held])

    with pytest.raises(GatewayUnavailableError, match="still at the same request"):
        adapter.capture(ATTEMPT, f"{ATTEMPT}:1453002795", INR_2500)


def test_what_was_never_there_is_not_captured(
    adapter: Adapter, answers: responses.RequestsMock
) -> None:
    path = f"{API}/orders/{ATTEMPT}"
    answers.post(f"{path}/authorization", json=NO_ORDER, status=404)
    answers.get(path, json=NO_ORDER, status=404)

    with pytest.raises(GatewayRefusedError, match="does not exist"):
        adapter.capture(ATTEMPT, f"{ATTEMPT}:1453002795", INR_2500)


def test_what_cashfree_has_and_does_not_show_is_asked_about_again(
    adapter: Adapter, answers: responses.RequestsMock
) -> None:
    path = f"{API}/orders/{ATTEMPT}"
    answers.patch(path, json={})
    answers.get(path, json=NO_ORDER, status=404)
    answers.post(f"{path}/refunds", json={"code": "refund_id_already_exists"}, status=400)
    gone = {"message": "Refund does not exist", "code": "refund_not_found"}
    answers.get(f"{path}/refunds/{REFUND.replace('-', '')}", json=gone, status=404)

    with pytest.raises(GatewayUnavailableError):
        adapter.expire(ATTEMPT, ATTEMPT)
    with pytest.raises(GatewayUnavailableError):
        adapter.refund(REFUND_ORDER)


@pytest.mark.parametrize("body", [{}, [1], None])
def test_payments_that_are_no_list_say_nothing(
    adapter: Adapter, answers: responses.RequestsMock, body: Any
) -> None:
    path = f"{API}/orders/{ATTEMPT}"
    answers.get(path, json={**ORDER, "order_amount": 2500, "order_status": "ACTIVE"})
    answers.get(f"{path}/payments", json=body)

    with pytest.raises(GatewayUnavailableError):
        adapter.find(Query(payment_attempt_id=ATTEMPT, since=NOW))


def test_an_order_without_payments_is_open(
    adapter: Adapter, answers: responses.RequestsMock
) -> None:
    path = f"{API}/orders/{ATTEMPT}"
    answers.get(path, json={**ORDER, "order_amount": 2500, "order_status": "ACTIVE"})
    none = {"message": "no payments", "code": "payment_not_found"}
    answers.get(f"{path}/payments", json=none, status=404)

    found = adapter.find(Query(payment_attempt_id=ATTEMPT, since=NOW))
    assert found is not None
    assert found.outcome is Outcome.REQUIRES_ACTION


# Returns and settlements


@pytest.mark.parametrize("fields", [{"order_id": ATTEMPT}, {}, {"order_status": "PAID"}])
def test_a_return_proves_nothing(adapter: Adapter, fields: dict[str, str]) -> None:
    found = adapter.read_return(Return(fields, ATTEMPT, ATTEMPT))

    assert (found.outcome, found.payment_attempt_id) == (Outcome.UNKNOWN, ATTEMPT)


@pytest.mark.parametrize("order_id", ["", REFUND, "BK-17"])
def test_a_return_with_another_orders_id_is_refused(adapter: Adapter, order_id: str) -> None:
    with pytest.raises(SignatureInvalidError):
        adapter.read_return(Return({"order_id": order_id}, ATTEMPT, ATTEMPT))


def line(kind: str, sale: str, amount: float, net: float, **more: Any) -> dict[str, Any]:
    return {
        "event_details": {
            "event_id": more.pop("event_id", "1"),
            "event_type": kind,
            "event_amount": amount,
            "event_settlement_amount": net,
            "event_currency": "INR",
            "sale_type": sale,
            "event_status": "SUCCESS",
            "event_service_charge": more.pop("charge", 0),
            "event_service_tax": more.pop("tax", 0),
        },
        "settlement_details": {
            "cf_settlement_id": 900001,
            "utr": "CITIN26000000001",
            "settlement_date": "2026-09-22T15:02:00+05:30",
        },
        **more,
    }


def test_a_settlement_is_read_page_by_page(
    adapter: Adapter, answers: responses.RequestsMock
) -> None:
    about = {
        "order_details": {"order_id": ATTEMPT},
        "payment_details": {"cf_payment_id": 1453002795},
    }
    first = line("PAYMENT", "CREDIT", 2500, 2442.25, charge=48.94, tax=8.81, **about)
    back = line("REFUND", "DEBIT", 1000, -1000, refund_details={"refund_id": REFUND})
    lost = line("CHARGEBACK", "DEBIT", 100, 100, event_id="2", order_details=None)
    other = line("OTHER_ADJUSTMENT", "CREDIT", 0.5, 0.5)
    undone = line("REFUND", "DEBIT", 1, 1)
    undone["event_details"]["event_status"] = "FAILED"
    answers.post(f"{API}/settlement/recon", json={"cursor": "next", "data": [first, undone]})
    answers.post(f"{API}/settlement/recon", json={"cursor": None, "data": [back, lost, other]})

    found = list(adapter.settlements(date(2026, 9, 22)))
    asked = [json.loads(one.request.body or b"") for one in answers.calls]
    assert [one["pagination"]["cursor"] for one in asked] == [None, "next"]
    assert asked[0]["filters"] == {
        "start_date": "2026-09-22T00:00:00+05:30",
        "end_date": "2026-09-22T23:59:59+05:30",
    }
    kinds = [Settled.PAYMENT, Settled.REFUND, Settled.DISPUTE, Settled.ADJUSTMENT]
    assert [one.kind for one in found] == kinds
    assert [one.net.amount for one in found] == [244_225, -100_000, -10_000, 50]
    assert [one.gross.amount for one in found] == [250_000, -100_000, -10_000, 50]
    assert (found[0].fee.amount, found[0].tax.amount) == (4894, 881)
    assert all(
        one.net.amount == one.gross.amount - one.fee.amount - one.tax.amount for one in found
    )
    assert (found[0].settlement_id, found[0].utr) == ("900001", "CITIN26000000001")
    assert found[0].payment_attempt_id == ATTEMPT
    assert found[0].gateway_payment_id == f"{ATTEMPT}:1453002795"
    assert found[1].refund_id == REFUND
    assert len({one.line_id for one in found}) == len(found)


def test_a_settlement_without_a_day_is_not_understood(
    adapter: Adapter, answers: responses.RequestsMock
) -> None:
    broken = line("PAYMENT", "CREDIT", 1, 1)
    broken["settlement_details"]["settlement_date"] = "soon"
    answers.post(f"{API}/settlement/recon", json={"cursor": None, "data": [broken]})

    with pytest.raises(GatewayUnavailableError):
        list(adapter.settlements(date(2026, 9, 22)))


# Values and settings


@pytest.mark.parametrize(
    ("written", "instant"),
    [
        ("2026-09-14T11:40:03+05:30", datetime(2026, 9, 14, 6, 10, 3, tzinfo=UTC)),
        ("2026-09-14 11:40:03", datetime(2026, 9, 14, 6, 10, 3, tzinfo=UTC)),
        ("2026-09-14T06:10:03Z", datetime(2026, 9, 14, 6, 10, 3, tzinfo=UTC)),
        ("soon", None),
        (None, None),
    ],
)
def test_a_time_without_a_zone_is_indias(written: Any, instant: datetime | None) -> None:
    assert words.time(written) == instant


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"CASHFREE_CLIENT_ID": "id"},
        {"CASHFREE_CLIENT_ID": "id", "CASHFREE_CLIENT_SECRET": " , "},
        {"CASHFREE_CLIENT_SECRET": "secret"},
    ],
)
def test_without_its_secrets_it_does_not_start(environ: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match="CASHFREE_"):
        read(Settings, environ, prefix="cashfree_")
    with pytest.raises(ConfigError, match="CASHFREE_CLIENT_SECRET"):
        Settings("id", ())


def test_an_amount_may_be_absent_and_never_wrong() -> None:
    assert words.money(None, "INR") is None
    for wrong in (Decimal("-1"), Decimal("1.005"), "x", True, Decimal("NaN"), Decimal("1E+3")):
        if wrong == Decimal("1E+3"):
            assert words.money(wrong, "INR") == Money(100_000, "INR")
            continue
        with pytest.raises(ValueError, match="amount"):
            words.money(wrong, "INR")


def test_secrets_do_not_show_in_a_settings_text() -> None:
    assert SECRET not in repr(Settings("id", (SECRET,)))
