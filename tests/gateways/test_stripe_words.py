"""Stripe's objects and errors in our words, also those that no simulator gives."""

import json
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

import pytest
import responses

from app import gateways
from app.errors import GatewayBusyError, GatewayRefusedError, GatewayUnavailableError
from app.gateways import DeclineClass, Finding, Outcome, Query, RefundOrder, SavedCharge, Subject
from app.gateways.stripe import Adapter, Settings, declines, findings, notices, search
from app.money import Money

API = "https://api.stripe.com/v1"
ATTEMPT = "6f1e9a3e-5a55-4a5a-9a55-000000000001"
NOW = datetime(2026, 11, 21, 10, 0, tzinfo=UTC)


@pytest.fixture
def adapter() -> Adapter:
    return Adapter(Settings("sk_test_1", ("whsec_1",)))


def intent(status: str, **changes: Any) -> dict[str, Any]:
    return {
        "id": "pi_1",
        "object": "payment_intent",
        "status": status,
        "amount": 2500,
        "amount_received": 0,
        "currency": "usd",
        "metadata": {"payment_attempt_id": ATTEMPT},
    } | changes


AWAY = {"metadata": {"payment_attempt_id": ATTEMPT, "off_session": "true"}}
NO_FUNDS = {
    "type": "card_error",
    "code": "card_declined",
    "decline_code": "insufficient_funds",
    "message": "No.",
}


@pytest.mark.parametrize(
    ("status", "changes", "outcome"),
    [
        ("succeeded", {}, Outcome.PAID),
        ("requires_capture", {}, Outcome.AUTHORIZED),
        ("processing", {}, Outcome.PROCESSING),
        ("requires_action", {}, Outcome.REQUIRES_ACTION),
        ("requires_action", AWAY, Outcome.REQUIRES_ACTION),  # an Indian card waits for consent
        ("requires_confirmation", {}, Outcome.REQUIRES_ACTION),
        ("requires_payment_method", {}, Outcome.REQUIRES_ACTION),
        ("requires_payment_method", {"last_payment_error": NO_FUNDS}, Outcome.REQUIRES_ACTION),
        ("requires_payment_method", {"last_payment_error": NO_FUNDS, **AWAY}, Outcome.FAILED),
        ("requires_payment_method", AWAY, Outcome.REQUIRES_ACTION),
        ("canceled", {"cancellation_reason": "abandoned"}, Outcome.CANCELED),
        ("canceled", {"cancellation_reason": None}, Outcome.CANCELED),
        ("canceled", {"cancellation_reason": "expired"}, Outcome.EXPIRED),
        ("canceled", {"cancellation_reason": "automatic"}, Outcome.EXPIRED),
        ("something_new", {}, Outcome.UNKNOWN),
    ],
)
def test_an_intent_says_where_a_payment_is(
    status: str, changes: dict[str, Any], outcome: Outcome
) -> None:
    found = findings.of_intent(intent(status, **changes))

    assert (found.subject, found.outcome) == (Subject.PAYMENT, outcome)
    assert found.payment_attempt_id == ATTEMPT


def test_an_error_is_told_only_while_it_matters() -> None:
    failed = findings.of_intent(intent("succeeded", last_payment_error=NO_FUNDS))

    assert (failed.failure_code, failed.decline_class) == (None, None)


@pytest.mark.parametrize(
    ("charge", "of", "at"),
    [
        ({"id": "ch_1", "created": 1790000000}, "ch_1", datetime.fromtimestamp(1790000000, UTC)),
        ({"id": "ch_0", "created": 1790000000}, "ch_1", None),  # of the try before
        ({"id": "ch_0", "created": 1790000000}, None, None),  # the bank asked, and heard a no
        ("ch_1", "ch_1", None),
        (None, None, None),
    ],
)
def test_a_decline_is_dated_by_its_charge(charge: Any, of: str | None, at: datetime | None) -> None:
    error = NO_FUNDS | {"charge": of}
    told = intent("requires_payment_method", last_payment_error=error, latest_charge=charge)

    assert findings.of_intent(told).declined_at == at


def test_a_message_of_a_decline_has_the_time_of_the_message() -> None:
    event = {"id": "evt_1", "type": "payment_intent.payment_failed", "created": 1790000000}
    event |= {"livemode": False}
    declined = intent("requires_payment_method", last_payment_error=NO_FUNDS)
    paid = intent("succeeded")
    dates = [
        notices.notice(event | {"data": {"object": told}}).declined_at for told in (declined, paid)
    ]

    assert dates == [datetime.fromtimestamp(1790000000, UTC), None]


@pytest.mark.parametrize(
    ("status", "paid", "inner", "outcome"),
    [
        ("open", "unpaid", None, Outcome.REQUIRES_ACTION),
        ("expired", "unpaid", None, Outcome.EXPIRED),
        ("complete", "paid", None, Outcome.PAID),
        (None, "paid", None, Outcome.PAID),
        ("complete", "unpaid", None, Outcome.PROCESSING),
        ("complete", "unpaid", "pi_1", Outcome.PROCESSING),
        ("complete", "unpaid", intent("processing"), Outcome.PROCESSING),
        ("complete", "unpaid", intent("requires_capture"), Outcome.AUTHORIZED),
        ("complete", "unpaid", intent("canceled"), Outcome.CANCELED),
        (
            *("complete", "unpaid", intent("canceled", cancellation_reason="automatic")),
            Outcome.EXPIRED,
        ),
        # A voucher that nobody has paid yet, a transfer that is under way or came in part, or small
        # deposits at a bank that nobody has confirmed: it waits outside of the page, for days.
        ("complete", "unpaid", intent("requires_action"), Outcome.PROCESSING),
        ("complete", "unpaid", intent("requires_confirmation"), Outcome.PROCESSING),
        ("complete", "unpaid", intent("requires_payment_method"), Outcome.FAILED),
        (
            *("complete", "unpaid"),
            *(intent("requires_payment_method", last_payment_error=NO_FUNDS), Outcome.FAILED),
        ),
        ("complete", "unpaid", intent("something_new"), Outcome.UNKNOWN),
    ],
)
def test_a_page_says_where_a_payment_is(
    status: str | None, paid: str, inner: Any, outcome: Outcome
) -> None:
    session = {
        "id": "cs_1",
        "mode": "payment",
        "status": status,
        "payment_status": paid,
        "payment_intent": inner,
        "amount_total": 2500,
        "currency": "usd",
        "customer": {"id": "cus_1", "object": "customer"},
    }
    found = findings.of_session(session)

    assert found.outcome is outcome
    assert (found.gateway_session_id, found.gateway_customer_id) == ("cs_1", "cus_1")
    assert found.gateway_payment_id == (inner and "pi_1")


SLOW = {
    "oxxo": {"type": "oxxo_display_details"},
    "konbini": {"type": "konbini_display_details"},
    "boleto": {"type": "boleto_display_details"},
    "multibanco": {"type": "multibanco_display_details"},
    "customer_balance": {"type": "display_bank_transfer_instructions"},
    "us_bank_account": {"type": "verify_with_microdeposits"},
}


@pytest.mark.parametrize("kind", SLOW)
def test_a_payer_who_pays_in_days_is_told_of_as_by_the_webhook_when_looked_up(kind: str) -> None:
    """The webhook has the intent's id only, the look-up all of it."""
    waiting = intent("requires_action", next_action=SLOW[kind], payment_method_types=[kind])
    page = {
        "id": "cs_1",
        "object": "checkout.session",
        "mode": "payment",
        "status": "complete",
        "payment_status": "unpaid",
        "amount_total": 2500,
        "currency": "usd",
    }
    event = {"id": "evt_1", "created": 1, "livemode": False, "type": "checkout.session.completed"}
    told = notices.notice({**event, "data": {"object": page | {"payment_intent": "pi_1"}}})
    found = findings.of_session(page | {"payment_intent": waiting})
    ended = intent("requires_payment_method", last_payment_error={"code": "payment_intent_expired"})

    assert (told.outcome, found.outcome) == (Outcome.PROCESSING, Outcome.PROCESSING)
    assert (found.failure_code, found.gateway_payment_id) == (None, "pi_1")
    assert findings.of_session(page | {"payment_intent": ended}).outcome is Outcome.FAILED


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        ("needs_response", Outcome.OPENED),
        ("under_review", Outcome.UNDER_REVIEW),
        ("won", Outcome.WON),
        ("lost", Outcome.LOST),
        ("warning_needs_response", Outcome.UNKNOWN),
        ("warning_under_review", Outcome.UNKNOWN),
        ("warning_closed", Outcome.UNKNOWN),
        ("prevented", Outcome.UNKNOWN),
    ],
)
def test_an_inquiry_is_no_dispute_until_it_takes_money(status: str, outcome: Outcome) -> None:
    dispute = {
        "id": "dp_1",
        "status": status,
        "amount": 2500,
        "currency": "usd",
        "payment_intent": "pi_1",
        "reason": "general",
        "created": int(NOW.timestamp()),
    }

    assert findings.of_dispute(dispute).outcome is outcome


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        ("pending", Outcome.PENDING),
        ("requires_action", Outcome.PENDING),
        ("succeeded", Outcome.SUCCEEDED),
        ("failed", Outcome.FAILED),
        ("canceled", Outcome.CANCELED),
        ("something_new", Outcome.UNKNOWN),
    ],
)
def test_a_refund_says_where_it_is(status: str, outcome: Outcome) -> None:
    refund = {"id": "re_1", "status": status, "amount": 100, "currency": "usd"}
    found = findings.of_refund(refund)

    assert (found.outcome, found.refund_id) == (outcome, None)
    assert found.amount == Money(100, "USD")


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ({"type": "card_error", "code": "card_declined"}, DeclineClass.SOFT),
        ({"type": "card_error", "code": "something_new"}, DeclineClass.SOFT),
        ({"type": "card_error", "decline_code": "do_not_honor"}, DeclineClass.SOFT),
        (NO_FUNDS, DeclineClass.SOFT),
        (NO_FUNDS | {"advice_code": "try_again_later"}, DeclineClass.SOFT),
        (NO_FUNDS | {"advice_code": "do_not_try_again"}, DeclineClass.HARD),
        (NO_FUNDS | {"advice_code": "confirm_card_data"}, DeclineClass.HARD),
        ({"decline_code": "stolen_card", "advice_code": "do_not_try_again"}, DeclineClass.FRAUD),
        ({"type": "card_error", "code": "authentication_required"}, DeclineClass.AUTHENTICATION),
        ({"type": "invalid_request_error", "param": "customer"}, DeclineClass.HARD),
        ({"type": "invalid_request_error", "code": "amount_too_small"}, DeclineClass.GATEWAY),
        ({"type": "invalid_request_error"}, DeclineClass.GATEWAY),
    ],
)
def test_a_decline_has_the_class_that_decides_the_next_try(
    error: dict[str, str], kind: DeclineClass
) -> None:
    assert declines.decline_class(error) is kind


def test_a_dispute_tells_its_fee_once_it_was_taken() -> None:
    dispute: dict[str, Any] = {
        "id": "dp_1",
        "status": "lost",
        "amount": 2500,
        "currency": "usd",
        "evidence_details": {"due_by": int(NOW.timestamp())},
        "created": int(NOW.timestamp()),
    }
    back = {"amount": 2500, "fee": 0, "currency": "usd"}
    taken = {"amount": -2500, "fee": 1500, "currency": "usd"}

    assert findings.of_dispute(dispute).fee is None
    assert findings.of_dispute(dispute | {"balance_transactions": [back]}).fee is None
    found = findings.of_dispute(dispute | {"balance_transactions": [back, taken]})
    assert (found.fee, found.evidence_due_at) == (Money(1500, "USD"), NOW)


def test_a_reason_has_one_class() -> None:
    reasons = [reason for each in declines.REASONS.values() for reason in each]

    assert sorted(reasons) == sorted(set(reasons))


def test_words_are_plain_values_under_the_names_of_the_database() -> None:
    found = Finding(
        subject=Subject.PAYMENT,
        outcome=Outcome.FAILED,
        amount=Money(2500, "USD"),
        captured_amount=Money(0, "USD"),
        decline_class=DeclineClass.SOFT,
        fee=Money(1500, "EUR"),
        evidence_due_at=NOW,
        opened_at=NOW,
    )
    words = found.words()

    assert json.loads(json.dumps(words)) == words
    assert {name: value for name, value in words.items() if value is not None} == {
        "subject": "payment",
        "outcome": "failed",
        "amount": 2500,
        "currency": "USD",
        "captured_amount": 0,
        "decline_class": "soft",
        "fee_amount": 1500,
        "fee_currency": "EUR",
        "evidence_due_at": "2026-11-21T10:00:00+00:00",
        "opened_at": "2026-11-21T10:00:00+00:00",
    }
    assert set(words) == {
        *("subject", "outcome", "payment_attempt_id", "refund_id", "autopay_mandate_id"),
        *("gateway_session_id", "gateway_payment_id", "gateway_refund_id"),
        *("gateway_dispute_id", "gateway_customer_id", "gateway_payment_method_id"),
        *("method", "amount", "currency", "captured_amount", "reason", "failure_code"),
        *("failure_message", "decline_class", "fee_amount", "fee_currency", "evidence_due_at"),
        *("declined_at", "opened_at", "receipt_url", "card_brand", "card_last4", "card_expires_on"),
    }


def test_a_notice_has_the_words_of_a_finding_and_not_the_message() -> None:
    event = {"id": "evt_1", "type": "x.y", "created": 1, "livemode": False, "data": {"object": {}}}
    notice = notices.notice(event)

    assert notice.words() == notices.NOTHING.words()
    assert notice.raw is event


def test_every_event_of_the_table_is_translated_without_a_guess() -> None:
    shapes = {
        "checkout.session": {
            "id": "cs_1",
            "status": "complete",
            "payment_status": "paid",
            "amount_total": None,
        },
        "payment_intent": intent("succeeded"),
        "setup_intent": {"id": "seti_1", "status": "processing"},
        "charge.refunded": {"payment_intent": "pi_1"},
        "refund": {"id": "re_1", "status": "failed", "amount": 1, "currency": "usd"},
        "charge.dispute": {
            "id": "dp_1",
            "status": "won",
            "amount": 1,
            "currency": "usd",
            "created": 1,
        },
    }
    for kind in notices.EVENTS:
        shape = next(shape for start, shape in shapes.items() if kind.startswith(start))
        event = {"id": "evt_1", "type": kind, "created": 1, "livemode": True}
        notice = notices.notice({**event, "data": {"object": shape}})

        assert (notice.type, notice.livemode) == (kind, True)


def saved() -> SavedCharge:
    return SavedCharge(str(uuid4()), Money(2500, "USD"), "t", "a@b.example", "cus_1", "pm_1")


@responses.activate
@pytest.mark.parametrize(
    ("charged", "receipt"),
    [({"id": "ch_1", "receipt_url": "https://r"}, "https://r"), ("ch_1", None), (None, None)],
)
def test_an_answer_that_has_its_charge_has_the_receipt(adapter: Adapter, charged, receipt) -> None:
    answer = intent("succeeded", amount_received=2500, latest_charge=charged)
    responses.post(f"{API}/payment_intents", json=answer)

    found = adapter.charge(saved())
    assert (found.outcome, found.receipt_url) == (Outcome.PAID, receipt)


@responses.activate
def test_a_saved_method_is_charged_under_the_attempts_id(adapter: Adapter) -> None:
    responses.post(f"{API}/payment_intents", json=intent("succeeded", amount_received=2500))
    charge = saved()
    adapter.charge(charge)

    sent = responses.calls[0].request
    assert sent.headers["Idempotency-Key"] == charge.id
    for word in ("off_session=true", "confirm=true", "metadata[off_session]=true"):
        assert word in str(sent.body)
    assert "error_on_requires_action" not in str(sent.body)


@responses.activate
def test_a_refund_is_asked_for_under_its_own_id(adapter: Adapter) -> None:
    refund = {"id": "re_1", "object": "refund", "status": "pending", "amount": 9, "currency": "usd"}
    responses.post(f"{API}/refunds", json=refund)
    order = RefundOrder(str(uuid4()), "pi_1", Money(9, "USD"), "fraudulent")
    adapter.refund(order)

    sent = responses.calls[0].request
    assert sent.headers["Idempotency-Key"] == order.id
    assert f"metadata[refund_id]={order.id}" in str(sent.body)
    assert "reason=fraudulent" in str(sent.body)


UNCLEAR = [
    {"status": 500, "json": {"error": {"message": "sorry"}}},
    {"status": 429, "json": {"error": {"message": "slow down"}}},
    {"status": 409, "json": {"error": {"code": "idempotency_key_in_use", "message": "wait"}}},
    {"status": 400, "json": {"error": {"type": "idempotency_error", "message": "other words"}}},
    {"status": 401, "json": {"error": {"message": "no such key"}}},
    {"status": 200, "body": "<html>hello</html>"},
    {"body": ConnectionError("reset")},
]


@pytest.mark.parametrize("answer", UNCLEAR)
@responses.activate
def test_money_is_moved_by_one_request_and_silence_is_not_a_no(
    adapter: Adapter, answer: dict[str, Any]
) -> None:
    order = RefundOrder(str(uuid4()), "pi_1", Money(9, "USD"), "duplicate")
    for path in ("payment_intents", "refunds", "payment_intents/pi_1/cancel"):
        responses.post(f"{API}/{path}", **answer)

    for ask in (
        lambda: adapter.charge(saved()),
        lambda: adapter.refund(order),
        lambda: adapter.cancel(ATTEMPT, "pi_1"),
    ):
        with pytest.raises((GatewayUnavailableError, ConnectionError)):
            ask()
    assert len(responses.calls) == 3


@pytest.mark.parametrize("code", [None, "rate_limit", "lock_timeout"])
@responses.activate
def test_too_many_requests_are_told_from_an_object_that_others_hold(
    adapter: Adapter, code: str | None
) -> None:
    error = {"type": "invalid_request_error", "code": code, "message": "slow down"}
    headers = {"Retry-After": "3"}
    responses.get(f"{API}/payment_intents/pi_1", status=429, json={"error": error}, headers=headers)

    with pytest.raises(GatewayUnavailableError) as failure:
        adapter.receipt_url("pi_1")
    assert getattr(failure.value, "seconds", None) == (None if code == "lock_timeout" else 3)
    assert isinstance(failure.value, GatewayBusyError) == (code != "lock_timeout")


def test_an_amount_that_stripe_cannot_write_fails_before_it_is_asked(adapter: Adapter) -> None:
    amount = Money(2550, "MGA")
    charged = adapter.charge(SavedCharge(ATTEMPT, amount, "t", "a@b.example", "cus_1", "pm_1"))

    refunded = adapter.refund(RefundOrder(ATTEMPT, "pi_1", amount, "duplicate"))

    for one in (charged, refunded):
        assert (one.outcome, one.failure_code) == (Outcome.FAILED, "gateway-refused")
    assert charged.decline_class is DeclineClass.GATEWAY


@responses.activate
def test_a_refusal_of_a_payment_that_is_not_over_stays_one(adapter: Adapter) -> None:
    error = {"type": "invalid_request_error", "message": "Too much."}
    responses.post(f"{API}/payment_intents/pi_1/capture", status=400, json={"error": error})
    responses.get(f"{API}/payment_intents/pi_1", json=intent("requires_capture"))

    with pytest.raises(GatewayRefusedError, match="Too much"):
        adapter.capture(ATTEMPT, "pi_1", Money(2501, "USD"))


@responses.activate
def test_a_page_that_stays_open_though_it_should_close_is_a_refusal(adapter: Adapter) -> None:
    error = {"type": "invalid_request_error", "message": "Not now."}
    session = {"id": "cs_1", "object": "checkout.session", "status": "open"}
    responses.post(f"{API}/checkout/sessions/cs_1/expire", status=400, json={"error": error})
    responses.get(f"{API}/checkout/sessions/cs_1", json=session)

    with pytest.raises(GatewayRefusedError, match="Not now"):
        adapter.expire(ATTEMPT, "cs_1")


@responses.activate
def test_a_look_up_that_is_refused_otherwise_is_no_nothing(adapter: Adapter) -> None:
    error = {"type": "invalid_request_error", "message": "A wrong parameter."}
    responses.get(f"{API}/payment_intents/pi_1", status=400, json={"error": error})

    with pytest.raises(GatewayRefusedError):
        adapter.find(Query(ATTEMPT, NOW, gateway_payment_id="pi_1"))


@responses.activate
def test_more_than_can_be_looked_through_is_not_nothing(
    adapter: Adapter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search, "OBJECTS_MAX", 3)
    page = {"object": "list", "has_more": True, "url": "/v1/payment_intents"}
    data = [intent("succeeded", id=f"pi_{number}", metadata={}) for number in range(2)]
    responses.get(f"{API}/payment_intents", json={**page, "data": data})

    with pytest.raises(GatewayUnavailableError):
        adapter.find(Query(ATTEMPT, NOW, gateway_customer_id="cus_1"))


@responses.activate
def test_a_page_is_looked_for_first_when_its_attempt_was_made(
    adapter: Adapter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The list is the newest first, and a busy shop's day has more than can be looked through."""
    monkeypatch.setattr(search, "OBJECTS_MAX", 3)
    since = int(NOW.timestamp())
    opened = {"id": "cs_1", "client_reference_id": ATTEMPT, "created": since + 2}
    others = [
        {"id": f"cs_other_{one}", "client_reference_id": None, "created": since + 3600 + one}
        for one in range(4)
    ]

    def sessions(request: Any) -> tuple[int, dict[str, str], str]:
        asked = parse_qs(urlsplit(request.url).query)
        first, last = (int(asked[f"created[{end}]"][0]) for end in ("gte", "lte"))
        there = [one for one in (*others, opened) if first <= one["created"] <= last]
        return 200, {}, json.dumps({"data": there[:3], "has_more": len(there) > 3})

    responses.add_callback("GET", f"{API}/checkout/sessions", sessions)
    assert search.page_by_reference(adapter.client, Query(ATTEMPT, NOW)) == "cs_1"
    late = Query(str(uuid4()), NOW)
    with pytest.raises(GatewayUnavailableError, match="to look through"):
        search.page_by_reference(adapter.client, late)
    others[1:] = [{**opened, "id": "cs_late", "client_reference_id": late.payment_attempt_id}]
    others[1]["created"] = since + 601
    assert search.page_by_reference(adapter.client, late) == "cs_late"


def test_gateways_are_the_modules() -> None:
    assert "stripe" in gateways.names()


@pytest.mark.parametrize(
    ("body", "value"),
    [
        (b'["plain"]', ["plain"]),
        (b'["\\u0000 and \\ud800"]', ["\ufffd and \ufffd"]),
        (b'{"\\u0000": "\\u00e9"}', {"\ufffd": "\u00e9"}),
        ('["caf\u00e9"]'.encode(), ["caf\u00e9"]),
        (b'["\xed\xa0\x80"]', ["\ufffd"]),
        ('["\\u0000"]'.encode("utf-16-le"), ["\ufffd"]),
    ],
)
def test_what_the_database_cannot_keep_is_replaced(body: bytes, value: object) -> None:
    assert gateways.parse(body) == value
