"""Cashfree's signatures and objects in our words, also those that no simulator gives."""

import json
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from gateways.cashfree_entities import (
    API,
    ATTEMPT,
    INR_2500,
    NOW,
    ORDER,
    REFUND,
    SECRET,
    payment,
    refund,
)
from hypothesis import given
from hypothesis import strategies as st

from app.errors import (
    GatewayUnavailableError,
    InvalidInputError,
    SignatureInvalidError,
)
from app.gateways import DeclineClass, Delivery, Method, Outcome, Subject
from app.gateways.cashfree import Adapter, Settings, declines, findings, words
from app.gateways.cashfree.notices import notice
from app.gateways.cashfree.signatures import signature
from app.jsonb import UNKEEPABLE
from app.money import Money

STAMP = "1790000005123"
BODY = (
    b'{"data":{"order":{"order_id":"BK-17","order_amount":2450.00}},'
    b'"type":"PAYMENT_SUCCESS_WEBHOOK"}'
)


@pytest.fixture
def adapter() -> Iterator[Adapter]:
    made = Adapter(Settings("TEST_client", (SECRET, "cf_secret_B"), API))
    yield made
    made.http.close()


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
    exact = body.replace(b'"payment_amount": 0', b'"payment_amount": 999999999999999.99')

    found = adapter.read(delivery(exact), NOW)
    assert found.amount == Money(99_999_999_999_999_999, "INR")
    assert (found.payment_attempt_id, found.gateway_session_id) == (ATTEMPT, ATTEMPT)
    assert found.gateway_payment_id == f"{ATTEMPT}:1453002795"
    assert (found.method, found.livemode, found.account) == (Method.UPI, False, "")
    assert found.occurred_at == datetime(2026, 9, 21, 14, 13, 25, tzinfo=UTC)


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


def test_a_dispute_is_told_anew_with_each_change(adapter: Adapter) -> None:
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
    lost = {**dispute, "dispute_status": "CHARGEBACK_INSUFFICIENT_EVIDENCE"}
    body = event("DISPUTE_CLOSED", dispute=lost, order_details=details)
    assert adapter.read(delivery(body), NOW).outcome is Outcome.LOST
    for unsaid in ({**dispute, "updated_at": None}, {**dispute, "updated_at": ""}):
        body = event("DISPUTE_UPDATED", dispute=unsaid, order_details=details)
        assert adapter.read(delivery(body), NOW).outcome is Outcome.OPENED


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
        (
            "SUCCESS",
            {"is_captured": False, "authorization": {"action": "CAPTURE", "status": "SUCCESS"}},
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


@pytest.mark.parametrize(
    ("told", "captured"),
    [
        ({"authorization": None}, INR_2500),
        ({"authorization": {"action": "CAPTURE", "status": "SUCCESS"}}, None),
        ({}, None),
    ],
)
def test_what_is_not_told_of_a_capture_is_not_known(
    told: dict[str, Any], captured: Money | None
) -> None:
    found = findings.of_payment(ORDER, payment("SUCCESS", is_captured=True, **told))

    assert (found.outcome, found.captured_amount) == (Outcome.PAID, captured)


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
        ("PAID", [payment("PENDING", cf_payment_id="9"), PAID], False, Outcome.PAID),
        ("PAID", [payment("PENDING", cf_payment_id="9"), HELD], False, Outcome.AUTHORIZED),
        ("PAID", [HELD, PAID], False, Outcome.PAID),
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
    assert found.declined_at == datetime.fromisoformat(LATER_FAILED["payment_time"])
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


OWN_KINDS = ["PAYMENT_AUTO_REFUND", "UNRECONCILED_AUTO_REFUND", "NEW"]


@pytest.mark.parametrize("order_id", [None, "order_1944392Tpba8y2fHcHVx0SwREojp51Jgr"])
@pytest.mark.parametrize("kind", OWN_KINDS)
def test_a_refund_of_cashfrees_own_of_no_order_of_ours_is_about_nothing_of_ours(
    kind: str, order_id: str | None
) -> None:
    found = findings.of_refund(refund(refund_type=kind, order_id=order_id))

    assert (found.subject, found.outcome, found.refund_id) == (
        *(Subject.NONE, Outcome.UNKNOWN),
        None,
    )


@pytest.mark.parametrize("kind", OWN_KINDS)
def test_a_refund_of_cashfrees_own_names_its_page_and_no_refund_of_ours(kind: str) -> None:
    found = findings.of_refund(refund(refund_type=kind))

    assert (found.subject, found.outcome) == (Subject.REFUND, Outcome.SUCCEEDED)
    assert (found.refund_id, found.gateway_refund_id) == (None, "11325999")
    assert found.gateway_payment_id == f"{ATTEMPT}:1453002795"
    assert found.gateway_session_id == ATTEMPT


def test_the_message_that_cashfree_has_for_its_own_refunds_says_the_same() -> None:
    said = refund(refund_type="PAYMENT_AUTO_REFUND")
    for name in ("refund_id", "entity", "refund_note", "refund_mode"):
        said.pop(name, None)
    event = {"type": "AUTO_REFUND_STATUS_WEBHOOK", "data": {"auto_refund": said}}
    told = notice(json.dumps(event, default=float).encode(), NOW, livemode=False)

    assert (told.subject, told.outcome) == (Subject.REFUND, Outcome.SUCCEEDED)
    assert (told.gateway_payment_id, told.amount) == (
        f"{ATTEMPT}:1453002795",
        Money(100_000, "INR"),
    )
    assert told.event_id == "AUTO_REFUND_STATUS_WEBHOOK:11325999:SUCCESS:succeeded"


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


@pytest.mark.parametrize("status", ["RETRIEVAL_CREATED", "RETRIEVAL_MERCHANT_WON", "", "CREATED"])
def test_a_question_without_money_is_no_dispute(status: str) -> None:
    assert words.dispute_outcome(status, is_closed=False) is Outcome.UNKNOWN


@pytest.mark.parametrize("status", ["RETRIEVAL_MERCHANT_LOST", "RETRIEVAL_MERCHANT_ACCEPTED"])
def test_a_question_that_takes_money_is_a_lost_dispute(status: str) -> None:
    assert words.dispute_outcome(status, is_closed=True) is Outcome.LOST


# Values


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


def test_an_amount_may_be_absent_and_never_wrong() -> None:
    assert words.money(None, "INR") is None
    assert words.money(Decimal("1E+3"), "INR") == Money(100_000, "INR")
    for wrong in (Decimal(-1), Decimal("1.005"), "x", True, Decimal("NaN")):
        with pytest.raises(ValueError, match="amount"):
            words.money(wrong, "INR")


@pytest.mark.parametrize("written", ["1E+999999999", "1E-999999999", "0E-999999999", "-1E+999999"])
def test_an_amount_of_a_billion_digits_is_not_written_out(written: str) -> None:
    with pytest.raises(ValueError, match="digits"):
        words.money(Decimal(written), "INR")


ADAPTER = Adapter(Settings("TEST_client", (SECRET,), API))
SAMPLES = json.loads((Path(__file__).parent / "samples" / "cashfree.json").read_text())
EVENTS = [json.loads(case["body"]) for case in SAMPLES["deliveries"]]
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=6,
)


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Name every place in a JSON value."""
    if not isinstance(value, dict | list):
        return
    for key, one in value.items() if isinstance(value, dict) else enumerate(value):
        yield (*path, key)
        yield from places(one, (*path, key))


@given(data=st.data())
def test_whatever_cashfree_signs_is_understood_or_refused(data: st.DataObject) -> None:
    spoilt = json.loads(json.dumps(data.draw(st.sampled_from(EVENTS))))
    *path, last = data.draw(st.sampled_from([*places(spoilt)]))
    place = spoilt
    for step in path:
        place = place[step]
    place[last] = data.draw(ANYTHING)
    body = json.dumps(spoilt).encode()
    sent = Delivery(
        {
            "x-webhook-timestamp": STAMP,
            "x-webhook-signature": signature(body, STAMP, SECRET).decode(),
        },
        body,
    )

    with suppress(InvalidInputError):
        found = ADAPTER.read(sent, NOW)
        told = [*found.words().values(), found.event_id, found.type]
        assert not any(UNKEEPABLE.search(one) for one in told if isinstance(one, str))
