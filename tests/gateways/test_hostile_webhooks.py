"""Whatever a gateway signs, wherever in a message it is junk: kept as it is, or refused."""

import hmac
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

import pytest
from gateways import cashfree_entities as cf
from gateways import razorpay_entities as rz
from gateways.test_hostile_answers import JUNK, OTHER, spoilings
from gateways.test_payu import ATTEMPT, KEY, NOW, SALT, TXNID

from app import jsonb
from app.config import ConfigError
from app.errors import InvalidInputError, SignatureInvalidError
from app.gateways import Delivery, Notice, Outcome, cashfree, finder, payu, razorpay
from app.gateways.cashfree.signatures import signature
from app.gateways.payu import hashes, references

RZ = razorpay.Adapter(razorpay.Settings("rzp_test_1", rz.KEY_SECRET, (rz.SECRET,)))
CF = cashfree.Adapter(cashfree.Settings("TEST_client", (cf.SECRET,), cf.API))
PU = payu.Adapter(payu.Settings(KEY, (SALT,)))

PAID = {
    "key": KEY,
    "txnid": TXNID,
    "amount": "2500.00",
    "productinfo": "Order",
    "firstname": "Asha",
    "email": "asha@example.com",
    "udf1": ATTEMPT,
    "status": "success",
    "unmappedstatus": "captured",
    "mihpayid": "403993715521889530",
    "mode": "CC",
    "error": "E000",
}
TEXTS = (
    *("", " ", "x", "0", "-1", "1e9", "2500", "2500.0", "2,500.00", "٢٥٠٠", "1" * 400, "a|b"),
    *("\n", "\u202e", "<b>", "'; drop", OTHER, "SUCCESS", "Captured", "success\x01", "None"),
)


def razorpay_signed(body: bytes) -> Notice:
    sign = hmac.new(rz.SECRET.encode(), body, "sha256").hexdigest()
    headers = {"x-razorpay-signature": sign, "x-razorpay-event-id": "e1"}
    return RZ.read(Delivery(headers, body), rz.NOW)


def cashfree_signed(body: bytes) -> Notice:
    stamp = str(int(cf.NOW.timestamp() * 1000))
    sign = signature(body, stamp, cf.SECRET).decode()
    headers = {"x-webhook-timestamp": stamp, "x-webhook-signature": sign}
    return CF.read(Delivery(headers, body), cf.NOW)


def payu_signed(form: dict[str, str], **unsigned: str) -> Notice:
    signed = {**form, "hash": hashes.of_message(form, SALT), **unsigned}
    return PU.read(Delivery({}, urlencode(signed).encode()), NOW)


def cashfree_event(kind: str, data: dict[str, Any]) -> dict[str, Any]:
    return {"type": kind, "data": data, "event_time": "2026-09-21T19:43:25+05:30"}


CF_ORDER = {"order_id": cf.ATTEMPT, "order_amount": 2500, "order_currency": "INR"}
CF_DISPUTE = {
    "dispute_id": 433475999,
    "dispute_amount": 2450,
    "dispute_status": "DISPUTE_CREATED",
    "created_at": "2026-09-20T21:49:48+05:30",
    "respond_by": "2026-09-23T23:59:59+05:30",
}
EVENTS = {
    "razorpay payment": (razorpay_signed, rz.event()),
    "razorpay order": (
        razorpay_signed,
        rz.event(
            "order.paid",
            payload={"payment": {"entity": rz.payment()}, "order": {"entity": rz.order("paid")}},
        ),
    ),
    "razorpay refund": (
        razorpay_signed,
        rz.event(
            "refund.processed",
            payload={"refund": {"entity": rz.refund()}, "payment": {"entity": rz.payment()}},
        ),
    ),
    "razorpay dispute": (
        razorpay_signed,
        rz.event("payment.dispute.created", payload={"dispute": {"entity": rz.dispute()}}),
    ),
    "cashfree payment": (
        cashfree_signed,
        cashfree_event(
            "PAYMENT_SUCCESS_WEBHOOK",
            {"order": CF_ORDER, "payment": cf.payment("SUCCESS", payment_amount=2500)},
        ),
    ),
    "cashfree refund": (
        cashfree_signed,
        cashfree_event("REFUND_STATUS_WEBHOOK", {"refund": cf.refund(refund_amount=1000)}),
    ),
    "cashfree dispute": (
        cashfree_signed,
        cashfree_event(
            "DISPUTE_CREATED",
            {"dispute": CF_DISPUTE, "order_details": CF_ORDER | {"cf_payment_id": 1}},
        ),
    ),
}


def check_keepable(notice: Notice) -> None:
    """A database keeps text without NUL and halves of signs, and times with a zone."""
    said = [notice.words(), notice.raw, notice.event_id, notice.type]
    assert jsonb.parse(json.dumps(said).encode()) == said
    assert notice.event_id
    assert len(notice.event_id) < 4000
    assert notice.occurred_at.tzinfo
    assert datetime(1, 1, 2, tzinfo=UTC) < notice.occurred_at


@pytest.mark.parametrize("event", sorted(EVENTS))
def test_junk_in_any_place_of_an_event_is_kept_or_refused(event: str) -> None:
    read, right = EVENTS[event]
    tried = 0
    for wrong in spoilings(right):
        tried += 1
        try:
            notice = read(json.dumps(wrong).encode())
        except (InvalidInputError, SignatureInvalidError):
            continue
        check_keepable(notice)
    assert tried > 10 * len(JUNK)


def renamed(right: Any) -> Iterator[bytes]:
    """Write an event's own amount a second time, before and after, in ways that parsers differ."""
    text = json.dumps(right)
    for written in ('"amount": 1, "amount": 250000', '"amount": 250000, "amount": 1'):
        yield text.replace('"amount": 250000', written).encode()
    for written in ("250000.0", "2.5e5", '"250000"', "250000.4", "25e4", "[250000]", "true"):
        yield text.replace('"amount": 250000', f'"amount": {written}').encode()
    yield text.replace('"amount"', '"\\u0061mount"').encode()
    yield b"\xef\xbb\xbf" + text.encode()
    yield text.encode("utf-16")
    yield f"{text} {text}".encode()


def test_an_amount_is_read_one_way_or_not_at_all() -> None:
    """What is said to be paid is what stands in the message that is kept."""
    read_once = 0
    for body in renamed(rz.event()):
        try:
            notice = razorpay_signed(body)
        except InvalidInputError:
            continue
        read_once += 1
        kept = notice.raw["payload"]["payment"]["entity"]["amount"]
        assert notice.amount is not None
        assert notice.amount.amount == kept
    assert read_once >= 3


@pytest.mark.parametrize("field", sorted(PAID))
def test_junk_in_any_field_of_a_payu_form_is_kept_or_refused(field: str) -> None:
    for text in TEXTS:
        try:
            notice = payu_signed(PAID | {field: text})
        except (InvalidInputError, SignatureInvalidError):
            continue
        check_keepable(notice)
        is_paid = notice.outcome is Outcome.PAID and notice.payment_attempt_id == ATTEMPT
        assert not is_paid or (notice.amount and notice.amount.amount == 250_000)


@pytest.mark.parametrize(
    "change",
    [
        {"amount": "1.00"},
        {"txnid": references.txnid(OTHER)},
        {"udf1": OTHER},
        {"status": "pending"},
        {"key": "another"},
        {"email": "asha@example.com|"},
        {"udf1": "", "udf2": ATTEMPT},
        {"productinfo": "", "firstname": "Order|Asha"},
        {"hash": ""},
        {"additional_charges": "1"},
        {"additionalCharges": "|"},
        {"splitInfo": "x"},
    ],
)
def test_what_is_moved_under_a_hash_of_payus_is_not_paid(change: dict[str, str]) -> None:
    try:
        notice = payu_signed(PAID, **change)
    except (InvalidInputError, SignatureInvalidError):
        return
    assert set(change) <= {"splitInfo", "additional_charges"}  # of no meaning beside this hash
    assert notice.amount is not None
    assert notice.amount.amount == 250_000


LIVE = {
    "razorpay": {"RAZORPAY_KEY_ID": "rzp_live_1"},
    "payu": {},
    "cashfree": {},
}
TEST = {
    "razorpay": {"RAZORPAY_KEY_ID": "rzp_test_1"},
    "payu": {"PAYU_API_URL": "https://test.payu.in", "PAYU_CHECKOUT_URL": "https://test.payu.in"},
    "cashfree": {"CASHFREE_API_URL": cf.API},
}
SECRETS = {
    "RAZORPAY_KEY_SECRET": "s",
    "RAZORPAY_WEBHOOK_SECRET": "s",
    "PAYU_KEY": "k",
    "PAYU_SALT": "s",
    "CASHFREE_CLIENT_ID": "c",
    "CASHFREE_CLIENT_SECRET": "s",
}


@pytest.mark.parametrize("name", sorted(LIVE))
def test_a_gateway_takes_no_money_in_another_mode_than_the_books(name: str) -> None:
    """What is left out of PayU's and Cashfree's settings is their live address."""
    for settings, right, wrong in (
        (LIVE, ["live"], ["test", "sandbox"]),
        (TEST, ["test", "sandbox"], ["live"]),
    ):
        environ = SECRETS | settings[name]
        for mode in right:
            assert finder(environ | {"MUNIM_ENV": mode})(name).name == name
        for mode in wrong:
            with pytest.raises(ConfigError, match=f"{name} is set up for"):
                finder(environ | {"MUNIM_ENV": mode})(name)
