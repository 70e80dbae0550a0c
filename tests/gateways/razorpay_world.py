"""Razorpay's adapter before its simulator, and what payers and banks do there."""

from dataclasses import replace
from datetime import UTC, datetime, time, timedelta, timezone
from types import MappingProxyType
from typing import Any

from gateways.world import Ask, Payer, Refunds, Stage

from app.gateways import Charge, Checkout, Finding, Outcome, Return
from app.gateways.razorpay import Adapter, Settings

KEY_ID, KEY_SECRET = "rzp_test_forthetests01", "invented-key-secret-for-the-tests"
SECRET = "invented-webhook-secret-for-the-tests"
OPTIONS = ("--key", f"razorpay={KEY_ID}:{KEY_SECRET}", "--secret", f"razorpay={SECRET}")
INDIA = timezone(timedelta(hours=5, minutes=30))
GOOD_CARD = {"card": "4100280000001007"}

# Which test value, or what else, makes a payment behave so. The first five are Razorpay's.
# https://razorpay.com/docs/payments/payments/test-card-details/
BEHAVIOUR: dict[Payer, dict[str, Any]] = {
    Payer.PAYS: GOOD_CARD,
    Payer.AUTHORIZES: GOOD_CARD,
    Payer.DECLINES_SOFT: {"card": "4100280000080001"},
    Payer.DECLINES_HARD: {"card": "4100280000030006"},
    Payer.DECLINES_AUTHENTICATION: {"card": "4100280000000009"},
    Payer.GATEWAY_FAILS: {"card": "4100280000020007"},
    Payer.DECLINES_FRAUD: {"vpa": "risk@razorpay"},
    Payer.PENDING_THEN_PAID: {"vpa": "pending@razorpay"},
    Payer.PENDING_THEN_FAILED: {"vpa": "pendingfailure@razorpay"},
    Payer.FAILS_THEN_PAYS_LATE: {"vpa": "late@razorpay"},
}
ADDRESSES = {
    Payer.PAYS: "success@razorpay",
    Payer.DECLINES_SOFT: "failure@razorpay",
    Payer.PENDING_THEN_PAID: "pending@razorpay",
    Payer.PENDING_THEN_FAILED: "pendingfailure@razorpay",
    Payer.FAILS_THEN_PAYS_LATE: "late@razorpay",
}
REFUNDS = {
    Refunds.SUCCEED: "processed",
    Refunds.WAIT_THEN_SUCCEED: "pending_then_processed",
    Refunds.WAIT_THEN_FAIL: "pending_then_failed",
}


class World:
    currency = "INR"
    plays = frozenset({*BEHAVIOUR, Payer.DROPS, Payer.FAILS_THEN_PAYS, Payer.PAYS_TWICE})
    refunds = frozenset(REFUNDS)
    disputes = True
    operations = MappingProxyType(
        {
            Ask.OPEN: "orders.create",
            Ask.OPEN_UPI: "payments.create",
            Ask.FIND: "orders.retrieve",
            Ask.CAPTURE: "payments.capture",
            Ask.REFUND: "payments.refund",
            Ask.FIND_REFUND: "payments.refunds",
            Ask.FIND_REFUNDS: "payments.refunds",
            Ask.FIND_NEW_REFUNDS: "refunds.list",
            Ask.FIND_PAYMENTS: "orders.payments",
            Ask.SETTLEMENTS: "settlements.recon",
        }
    )

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.adapter = Adapter(Settings(KEY_ID, KEY_SECRET, (SECRET,), stage.api, upi=True))

    def close(self) -> None:
        self.adapter.http.close()

    def pay(
        self,
        order: Charge,  # noqa: ARG002  # other gateways' worlds need it
        page: Checkout,
        how: Payer = Payer.PAYS,
        refunds: Refunds = Refunds.SUCCEED,
    ) -> None:
        if how is Payer.DROPS:
            shown = self.stage.server.http.request("POST", page.url, data=page.form, timeout=10)
            assert shown.ok
            return
        if how is Payer.FAILS_THEN_PAYS:
            self.try_(page, **BEHAVIOUR[Payer.DECLINES_SOFT])
        self.try_(page, **BEHAVIOUR.get(how, GOOD_CARD), refunds=REFUNDS[refunds])
        if how is Payer.PAYS_TWICE:
            self.try_(page, **GOOD_CARD, outcome="again")

    def try_(self, page: Checkout, **payer: Any) -> dict[str, Any]:
        answer = self.stage.control(f"/orders/{page.reference}/pay", payer)
        assert "payment" in answer, answer
        return answer

    def pay_upi(self, link: str, how: Payer) -> None:
        self.stage.pay_upi(link, ADDRESSES[how])

    def arrival(self, order: Charge, page: Checkout) -> Return:
        brought = self.stage.control(f"/orders/{page.reference}/return")
        return Return(brought["fields"], order.id, page.reference)

    def tampered(self, arrival: Return) -> Return:
        other = {"razorpay_payment_id": "pay_00000000000000"}
        return replace(arrival, fields={**arrival.fields, **other})

    def dispute(self, payment: Finding) -> None:
        self.stage.control(f"/payments/{payment.gateway_payment_id}/dispute")

    def decide(self, dispute: Finding, outcome: Outcome) -> None:
        path = f"/disputes/{dispute.gateway_dispute_id}/decide"
        self.stage.control(path, {"outcome": str(outcome)})

    def refund_there(self, payment: Finding, amount: int) -> None:
        path = f"/payments/{payment.gateway_payment_id}/refund"
        assert "id" in self.stage.control(path, {"amount": amount})

    def settle(self) -> None:
        """Settle at noon of India's, for a day there is not always the same as in UTC."""
        noon = datetime.combine(self.stage.now().astimezone(UTC).date(), time(12), INDIA)
        self.stage.control("/settle", {"at": int(noon.timestamp())})
