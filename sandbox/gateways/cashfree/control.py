"""Control calls of this simulator, below `/_sandbox/cashfree`: what payers and their banks do."""

from __future__ import annotations

from secrets import token_hex
from typing import TYPE_CHECKING, Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from sandbox.gateways.cashfree import means, rupees
from sandbox.gateways.cashfree.disputes import DECISIONS, TYPES
from sandbox.gateways.cashfree.disputes import OPEN as OPEN_DISPUTES
from sandbox.gateways.cashfree.errors import RefusalError
from sandbox.gateways.cashfree.means import How, Means
from sandbox.gateways.cashfree.refunds import COURSES
from sandbox.gateways.cashfree.shapes import dispute_entity, payment_entity, refund_entity
from sandbox.gateways.server.control import read_object
from sandbox.gateways.server.state import Document

if TYPE_CHECKING:
    from sandbox.gateways.cashfree import Simulator

# What a payer does in several tries.
SEVERAL = {"fails_then_pays": (How.DECLINES_SOFT, How.PAYS), "pays_twice": (How.PAYS, How.PAYS)}
REFUND_STEPS = {"PENDING": {"SUCCESS", "FAILED", "CANCELLED", "ONHOLD"}}
REFUND_STEPS["ONHOLD"] = {"SUCCESS", "FAILED", "CANCELLED", "PENDING"}


class Control:
    def __init__(self, simulator: Simulator) -> None:
        self.cashfree = simulator
        self.books = simulator.books

    def routes(self) -> list[BaseRoute]:
        paths = {
            "/orders/{id}/pay": self.pay,
            "/orders/{id}/dispute": self.dispute,
            "/orders/{id}/refund": self.refund,
            "/orders/{id}/refunds/{refund}/decide": self.decide_refund,
            "/disputes/{id}/decide": self.decide_dispute,
            "/settle": self.settle,
        }
        return [Route(path, call, methods=["POST"]) for path, call in paths.items()]

    async def pay(self, request: Request) -> Response:
        """Behave so (`how`) on an order's page, with a `card`, a `vpa`, or a `method`.

        Without `how` the card or the VPA decides. `refunds` is what becomes of its refunds. With
        `holds` it is as in an account that holds what cards pay, whatever the order says.
        """
        wanted = await read_object(request)
        order = self._order(request)
        if order is None or order["status"] != "ACTIVE":
            return _refuse("no such order that can be paid", 404 if order is None else 409)
        refunds = str(wanted.get("refunds", "succeed"))
        chosen = _tries(wanted)
        if chosen is None or refunds not in COURSES:
            return _refuse("this makes no sense")
        with self.books.store.transaction():
            tries = [
                self.cashfree.payments.attempt(
                    order, how, _means(wanted), refunds, holds=bool(wanted.get("holds"))
                )
                for how in chosen
            ]
        order = self.books.get("order", order["id"])
        shown = [payment_entity(order, self.books.get("payment", one["id"])) for one in tries]
        return _told({"order_status": order["status"], "payments": shown})

    async def dispute(self, request: Request) -> Response:
        """Dispute the order's first captured payment: a `type`, for a `reason`."""
        wanted = await read_object(request)
        kind = str(wanted.get("type", "CHARGEBACK"))
        order = self._order(request)
        tries = self.cashfree.payments.of_order(order["id"]) if order else []
        captured = [one for one in tries if one["captured"]]
        if not captured or kind not in TYPES:
            return _refuse(f"there is nothing to dispute, or the type is none of {TYPES}", 409)
        with self.books.store.transaction():
            reason = str(wanted.get("reason", "Duplicate processing"))
            found = self.cashfree.disputes.open(captured[-1], kind, reason)
        return _told(dispute_entity(found), 201)

    async def refund(self, request: Request) -> Response:
        """Refund in Cashfree's dashboard, past the merchant's service: an `amount` of paise."""
        amount = (await read_object(request)).get("amount")
        order = self._order(request)
        if order is None or not isinstance(amount, int) or amount < 1:
            return _refuse("no such order, or no amount of paise", 404)
        named = {"refund_id": f"console{token_hex(4)}", "refund_amount": rupees.rupees(amount)}
        try:
            with self.books.store.transaction():
                refund = self.cashfree.refunds.make(order, named)
        except RefusalError as refusal:
            return _refuse(str(refusal), 409)
        return _told(refund_entity(refund), 201)

    async def decide_dispute(self, request: Request) -> Response:
        """Go on with a dispute: an `outcome`."""
        outcome = (await read_object(request)).get("outcome")
        dispute = self.books.find("dispute", request.path_params["id"])
        if dispute is None or outcome not in DECISIONS:
            return _refuse(f"no such dispute, or the outcome is none of {sorted(DECISIONS)}", 404)
        if dispute["state"] not in OPEN_DISPUTES:
            return _refuse(f"this dispute is {dispute['state']}", 409)
        with self.books.store.transaction():
            self.cashfree.disputes.decide(dispute, outcome)
        return _told(dispute_entity(dispute))

    async def decide_refund(self, request: Request) -> Response:
        """Give a refund that waits another `status`."""
        status = (await read_object(request)).get("status")
        refund = self.books.find(
            "refund", f"{request.path_params['id']}:{request.path_params['refund']}"
        )
        if refund is None:
            return _refuse("no such refund", 404)
        if status not in REFUND_STEPS.get(refund["status"], set()):
            return _refuse(f"a refund that is {refund['status']} cannot become {status}", 409)
        with self.books.store.transaction():
            self.books.drop_timer("refund", refund["id"])
            self.cashfree.refunds.move(refund, str(status))
        return _told(refund_entity(refund))

    async def settle(self, _: Request) -> Response:
        """Settle now what is due."""
        with self.books.store.transaction():
            settlement = self.cashfree.settlements.settle()
        return _told({"settlement": settlement})

    def _order(self, request: Request) -> Document | None:
        try:
            with self.books.store.transaction():
                return self.cashfree.orders.find(request.path_params["id"])
        except RefusalError:
            return None


def _tries(wanted: dict[str, Any]) -> tuple[How, ...] | None:
    """Read what the payer does; None for what nobody can."""
    how = wanted.get("how")
    if how is None:
        by_card = means.CARDS.get(str(wanted.get("card")), How.PAYS)
        how = means.VPAS.get(str(wanted.get("vpa")), by_card)
    if how in SEVERAL:
        return SEVERAL[how]
    return (How(how),) if how in set(How) else None


def _means(wanted: dict[str, Any]) -> Means:
    if wanted.get("vpa"):
        return means.upi(str(wanted["vpa"]))
    if wanted.get("card"):
        return means.card(str(wanted["card"]))
    named = {"upi": means.upi, "netbanking": means.netbanking, "wallet": means.wallet}
    return named.get(str(wanted.get("method")), means.card)()


def _told(document: object, status: int = 200) -> Response:
    return Response(rupees.write(document), status, media_type="application/json")


def _refuse(why: str, status: int = 400) -> Response:
    return _told({"error": why}, status)
