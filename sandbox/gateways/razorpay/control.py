"""Control calls of this simulator, below `/_sandbox/razorpay`: what payers and banks do."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from sandbox.gateways.razorpay.disputes import OPEN, PHASES
from sandbox.gateways.razorpay.errors import RefusalError
from sandbox.gateways.razorpay.methods import FAILURES, GOOD_CARD, Means, Plan, read_means
from sandbox.gateways.razorpay.objects import every, new_id, shown
from sandbox.gateways.razorpay.refunds import PLANS
from sandbox.gateways.razorpay.returns import fields_of
from sandbox.gateways.server.control import read_object
from sandbox.gateways.server.state import Document

if TYPE_CHECKING:
    from sandbox.gateways.razorpay import Simulator

DECISIONS = {"won", "lost", "under_review", "closed"}
OUTCOMES = {"success", "failure", "pending", "late", "again", "drop"}
Order = dict[str, Any]


class WrongError(Exception):
    """A control call that makes no sense; the message says why."""

    def __init__(self, why: str, status: int = 400) -> None:
        super().__init__(why)
        self.status = status


class Control:
    def __init__(self, simulator: Simulator) -> None:
        self.razorpay = simulator
        self.books = simulator.books

    def routes(self) -> list[BaseRoute]:
        paths: dict[str, Callable[[str, Order], Document]] = {
            "/orders/{id}/pay": self.pay,
            "/orders/{id}/return": self.come_back,
            "/payments/{id}/authorize": self.authorize,
            "/payments/{id}/refund": self.refund,
            "/payments/{id}/refunds": self.plan_refunds,
            "/payments/{id}/dispute": self.dispute,
            "/refunds/{id}/decide": self.decide_refund,
            "/disputes/{id}/decide": self.decide_dispute,
            "/settle": self.settle,
            "/adjust": self.adjust,
            "/webhooks/roll": self.roll,
            "/webhooks/switch_on": self.switch_on,
        }
        return [Route(path, self._endpoint(call), methods=["POST"]) for path, call in paths.items()]

    def _endpoint(self, call: Callable[[str, Order], Document]) -> Any:
        async def endpoint(request: Request) -> Response:
            order = await read_object(request)
            try:
                with self.books.store.transaction():
                    return JSONResponse(call(request.path_params.get("id", ""), order))
            except WrongError as wrong:
                return JSONResponse({"error": str(wrong)}, wrong.status)
            except RefusalError as refusal:
                return JSONResponse(refusal.body(), 409)

        return endpoint

    def _get(self, kind: str, identifier: str) -> Document:
        found = self.books.find(kind, identifier)
        if found is None:
            raise WrongError(f"no such {kind}", 404)
        return found

    def pay(self, identifier: str, order: Order) -> Document:
        """Pay an order with a `card`, `vpa`, `bank` or `wallet`, a good card if nothing is said.

        `outcome` says what the bank does, else the test value does: success, failure (for a
        `reason`), pending (`then` success or failure), late (a failure that turns out a success),
        again (a success even on a paid order), drop (the payer leaves the bank's page).
        """
        means = _means(order)
        outcome, again = order.get("outcome"), order.get("outcome") == "again"
        payer = {"email": "payer@example.com", "contact": "+919876543210"}
        found = self._get("order", identifier)
        payment = self.razorpay.payments.begin(found, means, payer, again=again)
        payment["_refunds"] = _one_of(order, "refunds", set(PLANS), "processed")
        self.books.update("payment", payment)
        if again:
            self.razorpay.payments.authorize(payment, again=True)
        elif outcome != "drop":
            self.razorpay.payments.decide(payment, means.plan.first)
        return {"payment": shown(payment), "order": shown(self._get("order", identifier))}

    def come_back(self, identifier: str, order: Order) -> Document:
        """Tell what the payer's browser brings to the merchant after the last payment."""
        payments = every(self.books, "payment", order_id=identifier)
        secret = self.razorpay.keys[str(order.get("key", next(iter(self.razorpay.keys))))]
        return {"fields": fields_of(payments[-1], secret) if payments else {}}

    def authorize(self, identifier: str, order: Order) -> Document:
        """Have the bank say yes after all; with `again` it counts even on a paid order."""
        payment = self._get("payment", identifier)
        if payment["status"] not in {"created", "failed"}:
            raise WrongError(f"this payment is {payment['status']}", 409)
        self.razorpay.payments.authorize(payment, again=order.get("again") is True)
        return shown(payment)

    def refund(self, identifier: str, order: Order) -> Document:
        """Refund in Razorpay's dashboard, past the merchant's service: an `amount`, or all."""
        payment = self._get("payment", identifier)
        given = {"amount": order["amount"]} if "amount" in order else {}
        return shown(self.razorpay.refunds.make(payment, given))

    def plan_refunds(self, identifier: str, order: Order) -> Document:
        """Say how refunds of a payment go from now on."""
        payment = self._get("payment", identifier)
        payment["_refunds"] = _one_of(order, "outcome", set(PLANS), "processed")
        self.books.update("payment", payment)
        return shown(payment)

    def decide_refund(self, identifier: str, order: Order) -> Document:
        """End a pending refund: `outcome` is processed or failed."""
        refund = self._get("refund", identifier)
        if refund["status"] != "pending":
            raise WrongError(f"this refund is {refund['status']}", 409)
        outcome = _one_of(order, "outcome", {"processed", "failed"}, "processed")
        self.razorpay.refunds.decide(refund, outcome)
        return shown(refund)

    def dispute(self, identifier: str, order: Order) -> Document:
        """Dispute a captured payment for a `reason`, in a `phase`."""
        payment = self._get("payment", identifier)
        if not payment["captured"] or payment["refund_status"] == "full":
            raise WrongError("there is nothing to dispute", 409)
        found = self.razorpay.disputes.open(
            payment,
            str(order.get("reason", "goods_or_services_not_received")),
            _one_of(order, "phase", set(PHASES), "chargeback"),
            deduct=order.get("deduct_at_onset") is True,
        )
        return shown(found)

    def decide_dispute(self, identifier: str, order: Order) -> Document:
        """Go on with a dispute: `outcome` is won, lost, under_review or closed."""
        dispute = self._get("dispute", identifier)
        if dispute["status"] not in OPEN:
            raise WrongError(f"this dispute is {dispute['status']}", 409)
        self.razorpay.disputes.decide(dispute, _one_of(order, "outcome", DECISIONS, "won"))
        return shown(dispute)

    def settle(self, _: str, order: Order) -> Document:
        """Settle all that is owed now, however young; `at` dates it, in Unix seconds."""
        at = order.get("at")
        found = self.razorpay.settlements.settle(at=at if type(at) is int else None)
        return {"settlement": shown(found) if found else None}

    def adjust(self, _: str, order: Order) -> Document:
        """Enter an adjustment of an `amount` in paise, negative to take it."""
        amount = order.get("amount")
        if type(amount) is not int or not amount:
            raise WrongError("amount must be a whole number of paise")
        self.razorpay.settlements.adjust(amount, str(order.get("description", "Adjustment")))
        return {}

    def roll(self, _: str, order: Order) -> Document:
        """Change the `secret` of the webhooks; messages made before keep the old one."""
        secret = str(order.get("secret") or new_id("invented-secret-"))
        self.razorpay.endpoints.roll(secret)
        return {"secret": secret}

    def switch_on(self, _: str, __: Order) -> Document:
        """Switch webhooks on again after a day of failures."""
        self.razorpay.endpoints.switch_on()
        return {}


def _means(order: Order) -> Means:
    given = {name: order[name] for name in ("card", "vpa", "bank", "wallet") if order.get(name)}
    means = read_means(given or {"card": GOOD_CARD})
    if isinstance(means, str):
        raise WrongError(means)
    outcome = order.get("outcome")
    if outcome is None:
        return means
    _one_of(order, "outcome", OUTCOMES, "success")
    reason = _one_of(order, "reason", set(FAILURES), means.plan.reason)
    then = _one_of(order, "then", {"success", "failure"}, "success")
    plans = {
        "failure": Plan("failure", reason),
        "pending": Plan("pending", reason, then),
        "late": Plan("failure", reason, "success"),
    }
    return Means(means.method, means.fields, plans.get(str(outcome), Plan()))


def _one_of(order: Order, name: str, known: set[str], usual: str) -> str:
    chosen = order.get(name, usual)
    if chosen not in known:
        raise WrongError(f"{name} must be one of {', '.join(sorted(known))}")
    return str(chosen)
