"""PayU's adapter before its simulator, which stands in for PayU, the payers and their banks."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta, timezone
from typing import Any

from gateways.world import DAY, Ask, Payer, Refunds, Stage

from app.gateways import Charge, Checkout, Finding, Outcome, Return
from app.gateways.payu import Adapter, Settings

INDIA = timezone(timedelta(hours=5, minutes=30))
KEY, SALT = "payu_key_for_the_tests", "payu-salt-for-the-tests"
CHARGEBACK_KEY = "payu-chargeback-key-for-the-tests"
OPTIONS = ("--key", f"payu={KEY}:{CHARGEBACK_KEY}", "--secret", f"payu={SALT}")

CARD = "5123456789012346"
PLAYS: dict[Payer, dict[str, str]] = {
    Payer.PAYS: {"card": CARD},
    Payer.DECLINES_SOFT: {"card": "4000000000009995"},
    Payer.DECLINES_HARD: {"card": "4000000000000069"},
    Payer.DECLINES_AUTHENTICATION: {"card": CARD, "otp": "000000"},
    Payer.DECLINES_FRAUD: {"card": "4000000000009979"},
    Payer.GATEWAY_FAILS: {"card": "4000000000000119"},
    Payer.PENDING_THEN_PAID: {"vpa": "pending@payu"},
    Payer.PENDING_THEN_FAILED: {"vpa": "pendingfailure@payu"},
    Payer.FAILS_THEN_PAYS_LATE: {"card": "4000000000009987"},
    Payer.DROPS: {"leave": "page"},
}

ADDRESSES = {
    Payer.PAYS: "success@payu",
    Payer.DECLINES_SOFT: "failure@payu",
    Payer.PENDING_THEN_PAID: "pending@payu",
    Payer.PENDING_THEN_FAILED: "pendingfailure@payu",
    Payer.FAILS_THEN_PAYS_LATE: "late@payu",
}


@dataclass
class PayuWorld:
    stage: Stage
    adapter: Adapter = field(init=False)
    currency: str = "INR"
    plays: frozenset[Payer] = frozenset(PLAYS)
    refunds: frozenset[Refunds] = frozenset(Refunds) - {Refunds.FAIL_LATE}
    disputes: bool = True
    operations: Mapping[Ask, str] = field(
        default_factory=lambda: {
            Ask.OPEN_UPI: "s2s.upi",
            Ask.FIND: "verify_payment",
            Ask.REFUND: "cancel_refund_transaction",
            Ask.FIND_REFUND: "getAllRefundsFromTxnIds",
            Ask.FIND_REFUNDS: "getAllRefundsFromTxnIds",
            Ask.SETTLEMENTS: "settlement.range",
            Ask.FIND_DISPUTES: "chargebacks.list",
        }
    )
    brought_back: dict[str, dict[str, str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        api = self.stage.api
        settings = Settings(KEY, (SALT,), api, api, "2", CHARGEBACK_KEY, api, api, upi=True)
        self.adapter = Adapter(settings)

    def close(self) -> None:
        self.adapter.close()

    def pay(
        self,
        order: Charge,
        page: Checkout,
        how: Payer = Payer.PAYS,
        refunds: Refunds = Refunds.SUCCEED,
    ) -> None:
        wanted: dict[str, Any] = {"form": dict(page.form), "refunds": str(refunds), **PLAYS[how]}
        answer = self.stage.control("/pay", wanted)
        assert "return" in answer, answer
        self.brought_back[order.id] = answer["return"]["fields"]

    def pay_upi(self, link: str, how: Payer) -> None:
        self.stage.pay_upi(link, ADDRESSES[how])

    def arrival(self, order: Charge, page: Checkout) -> Return:
        return Return(self.brought_back[order.id], order.id, page.reference)

    def tampered(self, arrival: Return) -> Return:
        fields = {**arrival.fields, "status": "success", "amount": "1.00"}
        return Return(fields, arrival.payment_attempt_id, arrival.gateway_session_id)

    def dispute(self, payment: Finding) -> None:
        self.stage.control(f"/transactions/{payment.gateway_payment_id}/dispute")

    def decide(self, dispute: Finding, outcome: Outcome) -> None:
        path = f"/disputes/{dispute.gateway_dispute_id}/decide"
        self.stage.control(path, {"outcome": str(outcome)})

    def refund_there(self, payment: Finding, amount: int) -> None:
        path = f"/transactions/{payment.gateway_payment_id}/refund"
        assert "request_id" in self.stage.control(path, {"amount": amount})

    def settle(self) -> None:
        """Settle at an hour when India's day, by which PayU reports, is the world's day, too."""
        now = self.stage.now()
        if now.astimezone(INDIA).date() != now.date():
            self.stage.advance(DAY - (now.hour * 60 + now.minute) * 60)
        self.stage.control("/settle")


World = PayuWorld
