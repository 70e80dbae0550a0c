"""Order Pay by UPI: tries at an order that a payer completes in their app.

https://www.cashfree.com/docs/api-reference/payments/latest/payments/pay
"""

from typing import Any

from sandbox.gateways.cashfree import means, rupees
from sandbox.gateways.cashfree.calls import Call, Operation
from sandbox.gateways.cashfree.errors import RefusalError, invalid, missing, not_simulated
from sandbox.gateways.cashfree.means import How
from sandbox.gateways.cashfree.payments import Payments
from sandbox.gateways.server import upi
from sandbox.gateways.server.state import Document, Slice
from sandbox.gateways.server.upi import UnpayableError

# The app's own: what a payer who declines is told of, as Cashfree tells it.
DECLINED = How.DECLINES_AUTHENTICATION
LISTED_MAX = 20


class Intents:
    def __init__(self, payments: Payments) -> None:
        self.payments = payments
        self.books = payments.books

    def operations(self) -> list[Operation]:
        return [Operation("POST", "/orders/sessions", "orders.pay", self._begin)]

    def _begin(self, call: Call) -> dict[str, Any]:
        """Begin a try. An order takes any number of them, while it can be paid."""
        session, method = call.body.get("payment_session_id"), call.body.get("payment_method")
        if not session:
            raise missing("payment_session_id")
        order = self.payments.orders.of_session(str(session))
        if order is None:
            raise invalid("payment_session_id", "is not present or is invalid")
        if not isinstance(method, dict) or set(method) != {"upi"}:
            raise not_simulated("payment_method")
        if method["upi"] != {"channel": "link"}:
            raise not_simulated("payment_method.upi")
        if order["status"] != "ACTIVE":
            raise RefusalError("order is no longer active", "order_inactive")
        payment = self.payments.attempt(order, How.DROPS, means.upi_link())
        link = _link(payment)
        query = link.partition("?")[2]
        return {
            "action": "custom",
            "cf_payment_id": payment["id"],
            "channel": "link",
            "data": {
                "content_type": None,
                "method": None,
                "payload": {
                    "bhim": link,
                    "default": link,
                    "gpay": f"tez://upi/pay?{query}",
                    "paytm": f"paytmmp://pay?{query}",
                    "phonepe": f"phonepe://pay?{query}",
                    "web": None,
                },
                "url": None,
            },
            "payment_amount": rupees.rupees(order["amount"]),
            "payment_method": "upi",
        }

    def pay(self, reference: str, address: str | None) -> str:
        """Have the payer pay, or decline, the try that a link names; once."""
        payment = self.books.find("payment", reference)
        if payment is None:
            raise UnpayableError("Nobody asks for this.")
        with self.books.store.transaction():
            order = self.payments.orders.find(payment["order"])
            if payment["status"] != "NOT_ATTEMPTED" or order["status"] not in {"ACTIVE", "PAID"}:
                raise UnpayableError("This code is not valid any more.")
            how = DECLINED if address is None else means.VPAS.get(address, How.PAYS)
            payment["method"] = means.upi_link(address).method
            self.payments.go_on(payment, how)
        return str(payment["status"])

    def links(self) -> list[str]:
        waiting = Slice(limit=LISTED_MAX, equals={"status": "NOT_ATTEMPTED", "group": "upi"})
        found = self.books.page("payment", waiting)[0]
        return [_link(one) for one in found if one["method"] == means.upi_link().method]


def _link(payment: Document) -> str:
    return upi.link("cashfree", payment["id"], str(rupees.rupees(payment["amount"])), "Order")
