"""Payments: every try of a payer on an order, what the bank says of it, and holds.

Only a payment that succeeds ends an order. One that failed may succeed later all the same.
"""

from secrets import randbelow
from typing import Any

from sandbox.gateways.cashfree import errors, times
from sandbox.gateways.cashfree.calls import Call, Operation
from sandbox.gateways.cashfree.errors import RefusalError, invalid
from sandbox.gateways.cashfree.events import Events
from sandbox.gateways.cashfree.means import FAILURES, How, Means
from sandbox.gateways.cashfree.orders import HOLD_NOTE, Orders
from sandbox.gateways.cashfree.rupees import paise
from sandbox.gateways.cashfree.shapes import payment_entity
from sandbox.gateways.server.state import Document, Slice

PENDING_SECONDS = 60  # until the bank has decided
DROP_SECONDS = 10 * times.MINUTE  # until a payer who left is given up
HOLD_SECONDS = 7 * times.DAY  # until what is held goes back by itself

FIRST = {
    How.PAYS: "SUCCESS",
    How.PENDING_THEN_PAID: "PENDING",
    How.PENDING_THEN_FAILED: "PENDING",
    How.DROPS: "NOT_ATTEMPTED",
}
LATER = {
    How.PENDING_THEN_PAID: ("SUCCESS", PENDING_SECONDS),
    How.PENDING_THEN_FAILED: ("FAILED", PENDING_SECONDS),
    How.FAILS_THEN_PAYS_LATE: ("SUCCESS", PENDING_SECONDS),
    How.DROPS: ("USER_DROPPED", DROP_SECONDS),
}
MESSAGES = {
    "SUCCESS": "00::Transaction success",
    "PENDING": "Transaction pending",
    "NOT_ATTEMPTED": "Transaction not attempted",
    "USER_DROPPED": "User dropped and did not complete the two factor authentication",
}


class Payments:
    def __init__(self, orders: Orders, events: Events) -> None:
        self.books = orders.books
        self.orders = orders
        self.events = events

    def operations(self) -> list[Operation]:
        return [
            Operation("GET", "/orders/{id}/payments", "orders.payments", self._list),
            Operation("GET", "/orders/{id}/payments/{payment}", "payments.get", self._get),
            Operation("POST", "/orders/{id}/authorization", "orders.authorize", self._authorize),
        ]

    def attempt(
        self, order: Document, how: How, means: Means, refunds: str = "", *, holds: bool = False
    ) -> Document:
        """Try to pay. `refunds` is what becomes of the payment's refunds. Needs a transaction.

        It is held where the order asks for that, or the account is set up so (`holds`).
        """
        now = self.books.store.now()
        payment: Document = {
            "id": self._next_id(),
            "created": now,
            "order": order["id"],
            "amount": order["amount"],
            "status": "NOT_ATTEMPTED",
            "captured": False,
            "authorization": None,
            "group": means.group,
            "method": means.method,
            "message": MESSAGES["NOT_ATTEMPTED"],
            "error": None,
            "bank_reference": None,
            "completed": None,
            "settled": False,
            "holds": (holds or order["note"] == HOLD_NOTE) and means.can_hold,
            "how": how,
            "refunds": refunds,
        }
        self.books.insert("payment", payment)
        self.go_on(payment, how)
        return payment

    def go_on(self, payment: Document, how: How) -> None:
        """Do what the payer does, now and later. Needs a transaction."""
        payment["how"] = how
        self.books.drop_timer("payment", payment["id"])
        self._move(payment, FIRST.get(how, "FAILED"))
        if how in LATER:
            due = self.books.store.now() + LATER[how][1]
            self.books.set_timer("payment", payment["id"], due)

    def decide(self, identifier: str) -> None:
        """Have the bank say what it will: a timer came."""
        payment = self.books.get("payment", identifier)
        status = LATER[How(payment["how"])][0]
        if payment["status"] in {"PENDING", "NOT_ATTEMPTED", "FAILED"}:
            self._move(payment, status)

    def give_back(self, identifier: str) -> None:
        """Let go of what nobody captured in time."""
        payment = self.books.get("payment", identifier)
        if payment["authorization"] is None:
            self._void(payment)

    def _next_id(self) -> str:
        """Give the next id: the earlier of two payments has the smaller one."""
        store = self.books.store
        number = int(store.setting("cashfree_payments") or 1_453_000_000) + 1 + randbelow(1000)
        store.remember("cashfree_payments", str(number))
        return str(number)

    def of_order(self, identifier: str) -> list[Document]:
        """List the tries, newest first, as the API does."""
        return self.books.page("payment", Slice(limit=100, equals={"order": identifier}))[0]

    def _move(self, payment: Document, status: str) -> None:
        """Give a payment another status, and its order with it, and tell the merchant."""
        order = self.orders.find(payment["order"])
        failure = FAILURES.get(How(payment["how"])) if status == "FAILED" else None
        payment["status"] = status
        payment["error"] = failure.details() if failure else None
        payment["message"] = failure.description if failure else MESSAGES[status]
        if status in {"SUCCESS", "FAILED"}:
            payment["completed"] = self.books.store.now()
        if status == "SUCCESS":
            self._succeed(payment, order)
        elif order["status"] == "TERMINATION_REQUESTED" and status != "PENDING":
            self.orders.move(order, "TERMINATED")
        self.books.update("payment", payment)
        if status != "NOT_ATTEMPTED":
            self.events.payment(order, payment)

    def _succeed(self, payment: Document, order: Document) -> None:
        payment["bank_reference"] = str(10**11 + randbelow(9 * 10**11))
        payment["captured"] = not payment["holds"]
        if payment["holds"]:
            payment["message"] = "PRE_AUTH|Transaction Success"
            due = self.books.store.now() + HOLD_SECONDS
            self.books.set_timer("hold", payment["id"], due)
        self.orders.move(order, "PAID")

    def _list(self, call: Call) -> list[dict[str, Any]]:
        order = self.orders.find(call.path["id"])
        return [payment_entity(order, one) for one in self.of_order(order["id"])]

    def _get(self, call: Call) -> dict[str, Any]:
        order = self.orders.find(call.path["id"])
        payment = self.books.find("payment", call.path["payment"])
        if payment is None or payment["order"] != order["id"]:
            raise errors.no_such("payment", "payment Id does not exist")
        return payment_entity(order, payment)

    def _authorize(self, call: Call) -> dict[str, Any]:
        """Capture what is held, whole or in part, or give it back; either once."""
        order = self.orders.find(call.path["id"])
        tries = self.of_order(order["id"])
        held = [one for one in tries if one["status"] == "SUCCESS" and one["holds"]]
        if not held:
            raise RefusalError("transaction is not a preauth transaction", "request_failed")
        payment, action = held[0], call.body.get("action")
        done = payment["authorization"]
        if action == "CAPTURE":
            self._capture(payment, done, call.body.get("amount"))
        elif action == "VOID":
            if done:
                raise _done_before(done, "Capture request already exist for the void")
            self._void(payment)
        else:
            raise invalid("action", "should be CAPTURE or VOID")
        return payment_entity(order, payment)

    def _capture(self, payment: Document, done: Document | None, wanted: object) -> None:
        amount = payment["amount"] if wanted is None else paise(wanted)
        if amount is None or amount < 1:
            raise invalid("amount", "should be more than 0, with at most two decimals")
        if amount > payment["amount"]:
            message = "Total capture amount can not be grater than transaction amount"
            raise RefusalError(message, "request_failed")
        if done:
            raise _done_before(done, "Duplicate capture_id present")
        payment["captured"] = True
        self._end(payment, "CAPTURE", amount)

    def _void(self, payment: Document) -> None:
        self._end(payment, "VOID", None)

    def _end(self, payment: Document, action: str, captured: int | None) -> None:
        payment["authorization"] = {
            "action": action,
            "status": "SUCCESS",
            "captured": captured,
            "reference": f"{action[:3]}_{randbelow(10**9)}",
            "at": self.books.store.now(),
        }
        self.books.drop_timer("hold", payment["id"])
        self.books.update("payment", payment)


def _done_before(done: Document, captured: str) -> RefusalError:
    voided = done["action"] == "VOID"
    return RefusalError("transaction is already voided" if voided else captured, "request_failed")
