"""PayU's webhooks in our words: payments are signed; refunds and disputes are not.

Who sends an unsigned message is not known, so it is a hint: it says where to look and nothing of
what is there, it is small, and it is not kept. A payer has what is signed of their payment, and can
change what stands beside it: at the door that is a hint, too.
https://docs.payu.in/docs/webhook-events-and-sample-payloads
"""

from collections.abc import Mapping
from dataclasses import fields
from datetime import date, datetime, time
from hashlib import sha256
from json import dumps
from typing import Any
from urllib.parse import parse_qsl

from app.errors import InvalidInputError, SignatureInvalidError
from app.gateways import Delivery, Finding, Notice, Outcome, Subject, parse
from app.gateways.payu import findings, references
from app.gateways.payu.findings import INDIA, rupees, text
from app.gateways.payu.words import PAYMENTS, REFUNDS, plain

FIELDS_MAX = 150
HINT_BYTES_MAX = 4096

REFUND_KEYS = {
    *("action", "additionalValue1", "additionalValue2", "amt", "bank_arn", "bank_ref_num", "key"),
    *("merchantTxnId", "mihpayid", "refund_mode", "remark", "request_id", "status", "token"),
}
DISPUTE_KEYS = {
    *("cb_amount", "cb_id", "cb_status", "cb_type", "created_at", "due_date", "event", "mid"),
    *("reason_code", "txn_id", "type", "updated_at"),
}
STATES = {state for _, state in PAYMENTS}


def message(delivery: Delivery) -> Mapping[str, Any]:
    """Read a form, or the JSON that PayU sends for some events. Raises SignatureInvalidError."""
    try:
        if delivery.body.lstrip()[:1] == b"{":
            found = parse(delivery.body)
            return found if isinstance(found, dict) else {}
        return form(delivery.body)
    except ValueError as failure:
        raise SignatureInvalidError("this is no message of PayU's") from failure


def form(body: bytes) -> dict[str, str]:
    """Read a form. Raises ValueError, also where a field comes twice: one of them is not signed."""
    pairs = parse_qsl(
        body.decode().strip(),
        keep_blank_values=True,
        strict_parsing=True,
        errors="strict",
        max_num_fields=FIELDS_MAX,
    )
    found = dict(pairs)
    if len(found) < len(pairs) or any("\0" in value for value in found.values()):
        raise ValueError("a field comes twice, or cannot be kept")
    return found


def payment(message: Mapping[str, Any]) -> Finding:
    """Translate signed fields. Raises ValueError for what our page cannot have asked for.

    A payment of another page, such as a printed QR code's, is genuine as well, and nobody's.
    """
    found = findings.of_payment(message, code="error", amount="amount")
    if found.payment_attempt_id is not None:
        if message.get("udf1") != found.payment_attempt_id:
            raise ValueError("its reference is not its txnid's")
        if found.amount is None or str(found.amount.decimal) != message["amount"]:
            raise ValueError("its amount is not spelled as ours")
    return found


def of_payment(message: Mapping[str, Any], now: datetime, *, livemode: bool) -> Notice:
    """Translate a genuine webhook of a payment. Raises InvalidInputError.

    PayU dates the transaction and not the message, outside the hash; so it is dated by its coming.
    What the hash covers makes the id, and the state as far as it is known: never anybody's text.
    """
    try:
        found = payment(message)
    except ValueError as failure:
        raise InvalidInputError(f"PayU signed something else: {failure}") from failure
    status, state = plain(message["status"]), plain(message.get("unmappedstatus"))
    fact = [message["txnid"], status, message["amount"], state if state in STATES else ""]
    envelope = {"type": f"payment.{status[:40]}", "event_id": _digest(fact), "raw": message}
    return _notice(found, occurred_at=now, livemode=livemode, **envelope)


def of_hint(
    message: Mapping[str, Any], body: bytes, key: str, now: datetime, *, livemode: bool
) -> Notice:
    """Translate an unsigned message. Raises SignatureInvalidError for what cannot be PayU's."""
    is_refund = message.get("key") == key and message.get("action") == "refund"
    is_dispute = message.get("type") == "payments" and message.get("event") == "dispute"
    if not (is_refund or is_dispute) or len(body) > HINT_BYTES_MAX:
        raise SignatureInvalidError("this is not signed by PayU")
    known = REFUND_KEYS if is_refund else DISPUTE_KEYS
    raw = {name: message[name] for name in sorted(known & set(message)) if _is_plain(message[name])}
    found = _refund_hint(raw) if is_refund else _dispute_hint(raw)
    envelope = {"type": f"{found.subject}.hint", "event_id": f"hint:{_digest(raw)}", "raw": raw}
    return _notice(found, occurred_at=now, livemode=livemode, is_signed=False, **envelope)


def _refund_hint(message: Mapping[str, Any]) -> Finding:
    txnid = text(message.get("merchantTxnId"))
    has_failed = REFUNDS.get(plain(message.get("status"))) is Outcome.FAILED
    return Finding(
        subject=Subject.REFUND,
        outcome=Outcome.HINT,
        payment_attempt_id=references.payment_attempt_id(txnid),
        gateway_payment_id=txnid,
        refund_id=references.refund_id(text(message.get("token"))),
        gateway_refund_id=text(message.get("request_id")),
        amount=rupees(message.get("amt")),
        failure_code="failure" if has_failed else None,
    )


def _dispute_hint(message: Mapping[str, Any]) -> Finding:
    """Name the payment by its txnid or by PayU's own id, whichever it is: both are documented."""
    txnid = text(message.get("txn_id"))
    return Finding(
        subject=Subject.DISPUTE,
        outcome=Outcome.HINT,
        payment_attempt_id=references.payment_attempt_id(txnid),
        gateway_payment_id=txnid,
        gateway_dispute_id=text(message.get("cb_id")),
        amount=rupees(message.get("cb_amount")),
        reason=text(message.get("reason_code")),
        evidence_due_at=_day(message.get("due_date")),
    )


def _notice(found: Finding, **envelope: Any) -> Notice:
    words = {each.name: getattr(found, each.name) for each in fields(Finding)}
    return Notice(**words, account="", **envelope)


def _is_plain(value: object) -> bool:
    return value is None or isinstance(value, str | int)


def _digest(fact: object) -> str:
    return sha256(dumps(fact).encode()).hexdigest()


def _day(value: object) -> datetime | None:
    try:
        return datetime.combine(date.fromisoformat(str(value)), time(), INDIA)
    except ValueError:
        return None
