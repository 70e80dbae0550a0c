"""PayU India: its hosted checkout, to which a payer's browser posts, and its commands.

https://docs.payu.in/docs/prebuilt-checkout-page-integration
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from functools import partial
from typing import Any, ClassVar
from urllib.parse import urlsplit

from app.config import ConfigError
from app.errors import GatewayUnavailableError, SignatureInvalidError
from app.gateways import (
    Capability,
    Charge,
    Checkout,
    Delivery,
    Finding,
    Method,
    Notice,
    Outcome,
    Query,
    RefundOrder,
    Return,
    SettlementLine,
    Subject,
    UpiIntent,
)
from app.gateways.payu import (
    disputes,
    findings,
    hashes,
    intents,
    notices,
    pages,
    references,
    settlements,
)
from app.gateways.payu.words import METHODS, NOT_FOUND, REFUND_CODES, Answer, plain
from app.http import Http, RefusedReplyError

TEST_HOST = "test.payu.in"
NO_CHARGEBACKS = "PAYU_MERCHANT_ID and PAYU_CHARGEBACK_KEY are not set: no disputes are listed"

COMMANDS = "/merchant/postservice.php?form=2"
REPORT = "/settlement/range"
CHARGEBACKS = "/api/v1/chargebacks"


@dataclass(frozen=True, slots=True)
class Settings:
    """Read from PAYU_KEY and so on. The first salt signs, all verify while one replaces another."""

    key: str
    salt: tuple[str, ...] = field(repr=False)
    checkout_url: str = "https://secure.payu.in"
    api_url: str = "https://info.payu.in"
    # Of the chargeback dashboard. Without them disputes are not looked up.
    merchant_id: str = ""
    chargeback_key: str = field(default="", repr=False)
    chargeback_url: str = "https://bankportal.payu.in"
    # Where UPI is asked for; `upi` is on where PayU has switched it on for the account.
    s2s_url: str = "https://secure.payu.in"
    upi: bool = False

    def __post_init__(self) -> None:
        if any("|" in text for text in (self.key, *self.salt)):
            raise ConfigError("PAYU_KEY and PAYU_SALT must have no pipe")
        urls = (self.checkout_url, self.api_url, *([self.s2s_url] if self.upi else []))
        if len({_is_live(url) for url in urls}) > 1:
            raise ConfigError("PayU's addresses must all be live, or none: PAYU_CHECKOUT_URL, ...")

    @property
    def livemode(self) -> bool:
        return _is_live(self.api_url)


class Adapter:
    """PayU's answers in our words."""

    name: ClassVar[str] = "payu"
    capabilities: ClassVar[frozenset[Capability]] = frozenset(
        {Capability.DISPUTES, Capability.REFUNDS, Capability.UPI, Capability.UNASKED}
    )
    methods: ClassVar[frozenset[Method]] = frozenset(METHODS.values()) - {Method.BANK_DEBIT}
    currencies: ClassVar[frozenset[str]] = frozenset({findings.CURRENCY})
    messages_are_hints: ClassVar[bool] = True

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.key = settings.key
        self.http = Http("PayU", settings.api_url)
        dated = partial(hashes.dated, settings.key, settings.salt[0])
        self.reports = Http("PayU", settings.api_url, sign=dated)
        opener = {"X-Optimus-API-Key": settings.chargeback_key}
        self.chargebacks = Http("PayU", settings.chargeback_url, headers=opener)
        self.s2s = Http("PayU", settings.s2s_url.rstrip("/"))

    def close(self) -> None:
        self.http.close()
        self.reports.close()
        self.chargebacks.close()
        self.s2s.close()

    def open(self, charge: Charge) -> Checkout:
        """Write the form. PayU is not asked: it hears of the payment when the payer comes."""
        url = f"{self.settings.checkout_url.rstrip('/')}/_payment"
        form = pages.form(charge, self.key, self.settings.salt[0])
        leads_to = pages.leads_to(self.settings.checkout_url)
        return Checkout(reference=form["txnid"], url=url, form=form, leads_to=leads_to)

    def open_upi(self, charge: Charge) -> UpiIntent | None:
        """Begin the transaction in the payer's stead.

        One that PayU refuses, and knows nothing of, can be begun on its page.
        """
        if not self.settings.upi:
            return None
        form = intents.form(pages.form(charge, self.key, self.settings.salt[0]), charge.device)
        try:
            body = self.s2s.submit("/_payment", form).body
        except RefusedReplyError as failure:
            message = f"PayU did not answer ({failure.reply.status})"
            raise GatewayUnavailableError(message) from failure
        found = intents.intent(charge, form["txnid"], body)
        if found is None and self._transaction(form["txnid"]) is not None:
            message = "PayU has this transaction and gives no UPI link for it"
            raise GatewayUnavailableError(message)
        return found

    def refund(self, order: RefundOrder) -> Finding:
        """Refund under the refund's token, which PayU takes once.

        PayU's own id of the payment is looked up first, as the command wants it.
        """
        payment = self._transaction(order.gateway_payment_id)
        if payment is None:
            return _not_refunded(order, NO_PAYMENT)
        amount, token = str(order.amount.decimal), references.token(order.id)
        named = findings.text(payment.get("mihpayid"))
        if named is None:
            raise GatewayUnavailableError("PayU does not name the payment")
        answer = self._command("cancel_refund_transaction", named, {"var2": token, "var3": amount})
        if findings.text(answer.get("mihpayid")) not in {None, named}:
            raise GatewayUnavailableError("PayU answered about another payment")
        code = findings.text(answer.get("error_code")) or ""
        meaning, said = REFUND_CODES.get(code, (Answer.NOT_NOW, "its answer is not known"))
        if meaning in ACCEPTED:
            request = findings.text(answer.get("request_id"))
            return replace(order.answered(ACCEPTED[meaning]), gateway_refund_id=request)
        if meaning in {Answer.REPEATED, Answer.REFUSED}:
            # A refusal, too, may be the second answer: of a refund that left nothing to refund.
            found = self.find_refund(order.id, order.gateway_payment_id)
            if found or meaning is Answer.REFUSED:
                return found or _not_refunded(order, code)
        message = f"PayU did not refund: {said}"
        raise GatewayUnavailableError(message)

    def find(self, query: Query) -> Finding | None:
        """Ask by our reference. Before the payer comes PayU knows of nothing."""
        txnid = references.txnid(query.payment_attempt_id)
        transaction = self._transaction(txnid)
        if transaction is None:
            return _expired(txnid) if query.is_over else None
        found = findings.of_payment(
            {**transaction, "txnid": txnid}, code="error_code", amount="amt"
        )
        if found.outcome is Outcome.REQUIRES_ACTION and query.is_over:
            return replace(found, outcome=Outcome.EXPIRED)
        if not query.is_over and intents.is_unopened(transaction):
            return replace(found, outcome=Outcome.REQUIRES_ACTION)
        return found

    def find_refund(self, refund_id: str, gateway_payment_id: str) -> Finding | None:
        found = [
            each for each in self.find_refunds(gateway_payment_id) if each.refund_id == refund_id
        ]
        return min(found, key=lambda each: SUREST.index(each.outcome), default=None)

    def find_refunds(self, gateway_payment_id: str) -> Sequence[Finding]:
        answer = self._command("getAllRefundsFromTxnIds", gateway_payment_id)
        listed = answer.get("Refund Details")
        if listed is None and _says(answer, "no refunds found"):
            return []
        return [
            findings.of_refund(each, gateway_payment_id) for each in findings.refunds_of(listed)
        ]

    def find_disputes(self, since: datetime) -> Iterator[Finding]:
        """List chargebacks, by the day. Where no key is set nothing is known of them."""
        if not (self.settings.merchant_id and self.settings.chargeback_key):
            raise GatewayUnavailableError(NO_CHARGEBACKS)
        try:
            query = disputes.query(self.settings.merchant_id, since)
            answer = self.chargebacks.get(CHARGEBACKS, query).body
        except RefusedReplyError as failure:
            message = f"PayU did not answer ({failure.reply.status})"
            raise GatewayUnavailableError(message) from failure
        yield from disputes.found(answer)

    def read(self, delivery: Delivery, now: datetime) -> Notice:
        """Verify and translate; what PayU does not sign says nothing but where to look."""
        message, livemode = notices.message(delivery), self.settings.livemode
        if hashes.is_genuine(message, self.key, self.settings.salt):
            return notices.of_payment(message, now, livemode=livemode)
        if "hash" in message:
            raise SignatureInvalidError("this is not signed by PayU")
        return notices.of_hint(message, delivery.body, self.key, now, livemode=livemode)

    def read_return(self, arrival: Return) -> Finding:
        """Translate the form that a browser brings; nothing is known where it brings none."""
        fields = arrival.fields
        txnid = references.txnid(arrival.payment_attempt_id)
        if not {"hash", "status", "txnid"} & set(fields):
            return Finding(
                subject=Subject.PAYMENT,
                outcome=Outcome.UNKNOWN,
                payment_attempt_id=arrival.payment_attempt_id,
                gateway_session_id=txnid,
            )
        is_ours = txnid == arrival.gateway_session_id == fields.get("txnid")
        if is_ours and hashes.is_genuine(fields, self.key, self.settings.salt):
            try:
                return notices.payment(fields)
            except ValueError as failure:
                raise SignatureInvalidError("this return is not of our page") from failure
        raise SignatureInvalidError("this return was altered, or is another payment's")

    def settlements(self, day: date) -> Iterator[SettlementLine]:
        yield from settlements.lines(lambda query: self.reports.get(REPORT, query).body, day)

    def _transaction(self, txnid: str) -> Mapping[str, Any] | None:
        """Look a transaction up; None when PayU says that there is none."""
        answer = self._command("verify_payment", txnid)
        details = answer.get("transaction_details")
        found = details.get(txnid) if isinstance(details, dict) else None
        if not isinstance(found, dict):
            message = "PayU's answer has no transaction"
            raise GatewayUnavailableError(message)
        if str(found.get("txnid", txnid)).lower() != txnid:
            raise GatewayUnavailableError("PayU answered about another transaction")
        return None if plain(found.get("status")) == NOT_FOUND else found

    def _command(
        self, command: str, first: str, others: Mapping[str, str] | None = None
    ) -> Mapping[str, Any]:
        """Send a command. PayU says no in an answer of status 200; any other status is no word."""
        form = {"key": self.key, "command": command, "var1": first, **(others or {})}
        form["hash"] = hashes.of_command(self.key, command, first, self.settings.salt[0])
        try:
            body = self.http.submit(COMMANDS, form).body
        except RefusedReplyError as failure:
            message = f"PayU did not answer ({failure.reply.status})"
            raise GatewayUnavailableError(message) from failure
        if not isinstance(body, dict):
            raise GatewayUnavailableError("PayU answered something else")
        return body


def _is_live(url: str) -> bool:
    parts = urlsplit(url)
    return parts.scheme == "https" and parts.hostname != TEST_HOST


ACCEPTED = {Answer.DONE: Outcome.SUCCEEDED, Answer.WAITS: Outcome.PENDING}
NO_PAYMENT = "116"

# Of several refunds under one token, what is surest: money that went back did.
SUREST = [Outcome.SUCCEEDED, Outcome.PENDING, Outcome.UNKNOWN, Outcome.FAILED]


def _says(answer: Mapping[str, Any], words: str) -> bool:
    return words in str(answer.get("msg")).lower()


def _not_refunded(order: RefundOrder, code: str) -> Finding:
    return order.answered(Outcome.FAILED, code, REFUND_CODES[code][1])


def _expired(txnid: str) -> Finding:
    return Finding(
        subject=Subject.PAYMENT,
        outcome=Outcome.EXPIRED,
        payment_attempt_id=references.payment_attempt_id(txnid),
        gateway_session_id=txnid,
    )
