"""S2S payments by UPI: payments of an order that a payer completes in their app.

https://razorpay.com/docs/payments/payment-gateway/s2s-integration/json/v2/build-integration/upi/intent
"""

from sandbox.gateways.razorpay.calls import Call, Operation
from sandbox.gateways.razorpay.errors import RefusalError, not_simulated
from sandbox.gateways.razorpay.methods import VPAS, Means, Plan
from sandbox.gateways.razorpay.objects import check_names, every, fetch, read_amount
from sandbox.gateways.razorpay.payments import KIND, Payments
from sandbox.gateways.server import upi
from sandbox.gateways.server.state import Document
from sandbox.gateways.server.upi import UnpayableError

NEEDED = ("amount", "currency", "order_id", "email", "contact", "method", "upi")
NEEDED_OF_THE_PAYER = ("ip", "referer", "user_agent")
KNOWN = frozenset({*NEEDED, *NEEDED_OF_THE_PAYER, "description", "notes"})
FLOW = {"flow": "intent"}
PREFIX = "pay_"
LISTED_MAX = 20


class Intents:
    def __init__(self, payments: Payments) -> None:
        self.payments = payments
        self.books = payments.books

    def operations(self) -> list[Operation]:
        path = "/payments/create/json"
        return [Operation("POST", path, "payments.create", self._create)]

    def _create(self, call: Call) -> Document:
        params = call.params
        check_names(params, KNOWN)
        for name in (*NEEDED, *NEEDED_OF_THE_PAYER):
            if not params.get(name):
                raise RefusalError(f"The {name} field is required.", field=name)
        if params["method"] != "upi" or params["upi"] != FLOW:
            raise not_simulated("other payments than by UPI intent", "method")
        order = fetch(self.books, "order", str(params["order_id"]))
        amount = read_amount(params)
        if (amount, params["currency"]) != (order["amount"], order["currency"]):
            raise RefusalError("Your payment amount is different from your order amount.")
        means = Means("upi", {"upi": {**FLOW, "payer_account_type": "bank_account"}})
        payment = self.payments.begin(order, means, params)
        poll = f"https://api.razorpay.com/v1/payments/{payment['id']}"
        return {
            "razorpay_payment_id": payment["id"],
            "next": [
                {"action": "intent", "url": _link(payment)},
                {"action": "poll", "url": poll},
            ],
        }

    def pay(self, reference: str, address: str | None) -> str:
        """Have the payer pay, or decline, the payment that a link names; once."""
        payment = self.books.find(KIND, f"{PREFIX}{reference}")
        if payment is None:
            raise UnpayableError("Nobody asks for this.")
        plan = VPAS.get(address, Plan()) if address else Plan("failure", "payment_cancelled")
        if payment["status"] != "created" or payment["vpa"]:
            raise UnpayableError("This code is not valid any more.")
        with self.books.store.transaction():
            payment |= {"vpa": address, "_plan": plan.as_json()}
            payment["upi"]["vpa"] = address
            self.payments.decide(payment, plan.first)
        return str(payment["status"])

    def links(self) -> list[str]:
        found = every(self.books, KIND, status="created", method="upi")
        return [_link(one) for one in found[::-1] if not one["vpa"]][:LISTED_MAX]


def _link(payment: Document) -> str:
    reference, amount = payment["id"].removeprefix(PREFIX), payment["amount"]
    note = str(payment["description"] or "Payment")
    return upi.link("razorpay", reference, f"{amount // 100}.{amount % 100:02d}", note)
