"""Cashfree's adapter before its simulator, which stands in for Cashfree, payers and their banks."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from gateways.world import DAY, Ask, Payer, Refunds, Stage

from app.gateways import Charge, Checkout, Finding, Outcome, Return
from app.gateways.cashfree import Adapter, Settings
from app.gateways.cashfree.findings import order_of
from app.gateways.cashfree.words import INDIA

CLIENT, SECRET = "TEST_client_for_the_tests", "cfsk_ma_test_for_the_tests"
OPTIONS = ("--key", f"cashfree={CLIENT}", "--secret", f"cashfree={SECRET}")

# A hold is asked for when the order is made, or the account is set up so: the payer does the same.
BEHAVIOURS = {each: str(each) for each in Payer} | {Payer.AUTHORIZES: str(Payer.PAYS)}

ADDRESSES = {
    Payer.PAYS: "testsuccess@gocash",
    Payer.DECLINES_SOFT: "testfailure@gocash",
    Payer.PENDING_THEN_PAID: "testpending@gocash",
    Payer.PENDING_THEN_FAILED: "testpendingfailure@gocash",
    Payer.FAILS_THEN_PAYS_LATE: "testlate@gocash",
}


@dataclass
class CashfreeWorld:
    stage: Stage
    adapter: Adapter = field(init=False)
    currency: str = "INR"
    plays: frozenset[Payer] = frozenset(Payer)
    refunds: frozenset[Refunds] = frozenset(Refunds) - {Refunds.FAIL_LATE}
    disputes: bool = True
    operations: Mapping[Ask, str] = field(
        default_factory=lambda: {
            Ask.OPEN: "orders.create",
            Ask.OPEN_UPI: "orders.pay",
            Ask.FIND: "orders.get",
            Ask.CAPTURE: "orders.authorize",
            Ask.CANCEL: "orders.authorize",
            Ask.EXPIRE: "orders.terminate",
            Ask.REFUND: "refunds.create",
            Ask.FIND_REFUND: "refunds.get",
            Ask.FIND_REFUNDS: "refunds.list",
            Ask.FIND_PAYMENTS: "orders.payments",
            Ask.FIND_PAYMENT_DISPUTES: "disputes.list",
            Ask.SETTLEMENTS: "settlement.recon",
        }
    )

    def __post_init__(self) -> None:
        self.adapter = Adapter(Settings(CLIENT, (SECRET,), f"{self.stage.api}/pg", upi=True))

    def close(self) -> None:
        self.adapter.http.close()

    def pay(
        self,
        order: Charge,
        page: Checkout,
        how: Payer = Payer.PAYS,
        refunds: Refunds = Refunds.SUCCEED,
    ) -> None:
        del order
        holds = how is Payer.AUTHORIZES
        wanted = {"how": BEHAVIOURS[how], "refunds": str(refunds), "holds": holds}
        answer = self.stage.control(f"/orders/{page.reference}/pay", wanted)
        assert "payments" in answer, answer

    def pay_upi(self, link: str, how: Payer) -> None:
        self.stage.pay_upi(link, ADDRESSES[how])

    def arrival(self, order: Charge, page: Checkout) -> Return:
        """Come back by a return_url with `{order_id}` in it, all that Cashfree fills in."""
        return Return({"order_id": page.reference}, order.id, page.reference)

    def tampered(self, arrival: Return) -> Return:
        return arrival  # nothing is signed

    def dispute(self, payment: Finding) -> None:
        self.stage.control(f"/orders/{order_of(payment.gateway_payment_id or '')}/dispute")

    def decide(self, dispute: Finding, outcome: Outcome) -> None:
        path = f"/disputes/{dispute.gateway_dispute_id}/decide"
        self.stage.control(path, {"outcome": str(outcome)})

    def refund_there(self, payment: Finding, amount: int) -> None:
        path = f"/orders/{order_of(payment.gateway_payment_id or '')}/refund"
        assert "refund_id" in self.stage.control(path, {"amount": amount})

    def settle(self) -> None:
        """Settle at an hour when India's day, by which Cashfree reports, is the world's, too."""
        now = self.stage.now()
        if now.astimezone(INDIA).date() != now.date():
            self.stage.advance(DAY - (now.hour * 60 + now.minute) * 60)
        self.stage.control("/settle")


World = CashfreeWorld
