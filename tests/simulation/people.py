"""The people of a wave: payers on pages, shops that send money back, banks that dispute.

What a payer does at each gateway is written once, in tests/gateways/*_world.py; here is when, and
how they get there through the service's doors.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from gateways import worlds
from gateways.world import Payer, Refunds, World
from simulation.dice import GATEWAYS, HOUR, MINUTE, Plan
from simulation.houses import Browser, Server, Street, turned_away
from simulation.town import CURRENCIES, PAYERS, Town, said

from app.gateways import Checkout, Finding, Outcome, Subject
from app.pages import charge
from sandbox import tokens

ASKED_AGAIN_MAX = 8  # times that a payer, or a shop, asks for what was not answered
ASKED_AGAIN_AFTER = (20, 60, 150, 400, 900, 1800, 3600, 7200)
PASSING = {424, 429, 500, 503}  # what another try may well mend
SATISFIED = {Payer.PAYS, Payer.PAYS_TWICE, Payer.FAILS_THEN_PAYS}

FINANCE = {
    "USD": next(one for one in tokens.USERS if one.name == "fiona"),
    "INR": next(one for one in tokens.USERS if one.name == "tarun"),
}


@dataclass
class People:
    """Everybody who is not the service. `after` has something done so many seconds later."""

    town: Town
    after: Callable[[float, Callable[[], None]], None]
    counts: Counter[str] = field(default_factory=Counter)
    worlds: dict[str, World] = field(init=False)

    def __post_init__(self) -> None:
        self.worlds = {name: self._world(name) for name in GATEWAYS}

    def close(self) -> None:
        for one in self.worlds.values():
            one.close()

    def _world(self, gateway: str) -> World:
        houses = self.town.houses
        api = f"{self.town.ports.gateways_url}/{gateway}"
        street: Any = Street(gateway, api, Server(Browser(houses.wire)), houses.control)
        return worlds.build(gateway, street)

    def begin(self, plan: Plan) -> None:
        """Have an order's payer begin."""
        if plan.called_off_after is not None:
            self.after(plan.called_off_after, partial(self._call_off, plan))
        self._initiate(plan, plan.gateway)

    # What payers do.

    def _initiate(self, plan: Plan, gateway: str | None, tries: int = 0, goes: int = 1) -> None:
        """Ask for the page of an order, and again if there is no answer."""
        currency = CURRENCIES[plan.gateway]
        asked: dict[str, object] = {
            "order_reference": plan.reference,
            "amount": plan.amount,
            "currency": currency,
        }
        if not plan.chooses:
            asked["gateway"] = gateway
        reply = self.town.service.action("initiate_payment", PAYERS[currency], **asked)
        self.counts[f"initiate {reply.status}"] += 1
        if not reply.is_yes:
            said_no = reply.status not in PASSING
            act = partial(self._initiate, plan, gateway, tries + (3 if said_no else 1), goes)
            self._again(tries, act)
            return
        page = said(reply)
        if page["status"] == "pending":
            come = partial(self._choose if plan.chooses else self._pay, plan, page, goes=goes)
            self.after(plan.thinks, come)

    def _again(self, tries: int, act: Callable[[], None]) -> None:
        if tries < ASKED_AGAIN_MAX:
            self.after(ASKED_AGAIN_AFTER[tries], act)
        else:
            self.counts["gave up asking"] += 1

    def _choose(self, plan: Plan, page: dict[str, Any], tries: int = 0, goes: int = 1) -> None:
        """Choose a method on our page, and be brought to the gateway's."""
        address = f"10.{plan.number >> 16 & 255}.{plan.number >> 8 & 255}.{plan.number & 255}"
        path = "/pay/" + page["payment_url"].rpartition("/")[2]
        chosen = self.town.service.browse(f"{path}/methods/card", {}, address)
        where = chosen.headers.get("Location", "")
        self.counts[f"choose {chosen.status}"] += 1
        if "/payments/handover/" in where:
            shown = self.town.service.browse(where)
            if shown.status == 200 or "/payments/handover/" not in shown.headers["Location"]:
                self._pay(plan, page, goes=goes)
                return
        self._again(tries, partial(self._choose, plan, page, tries + 1, goes))

    def _pay(self, plan: Plan, page: dict[str, Any], goes: int = 1) -> None:
        """Be on the gateway's page, and do what the plan says, or just pay on a second go."""
        attempt = self._attempt(plan)
        if attempt is None or attempt["gateway_session_id"] is None:
            return
        people = self.worlds[attempt["gateway"]]
        how = plan.how if goes == 1 and plan.how in people.plays else Payer.PAYS
        checkout = self._checkout(attempt)
        with turned_away():
            people.pay(charge(attempt), checkout, how, _refunds(plan, people))
            self.counts[f"payers: {how}"] += 1
        if plan.comes_back and how is not Payer.DROPS:
            self._come_back(attempt, people, checkout)
        if goes == 1:
            self._go_on(plan, page, how, attempt["gateway"])

    def _go_on(self, plan: Plan, page: dict[str, Any], how: Payer, gateway: str) -> None:
        """Plan what comes after the first go."""
        if how not in SATISFIED and plan.tries_again:
            again = partial(self._initiate, plan, plan.tries_again, 0, 2)
            self.after(5 * MINUTE + plan.thinks, again)
        if plan.disputes and how is Payer.PAYS:
            self.after(3 * HOUR, partial(self._dispute, plan, gateway))
        self._plan_refunds(plan, page)
        if plan.sends_back_there:
            self.after(2 * plan.asks_back_after, partial(self._send_back_there, plan, gateway))

    def _attempt(self, plan: Plan) -> dict[str, Any] | None:
        """Look up where the payer is: the newest attempt at their order."""
        rows = self.town.sql(
            "select payment_attempt_id::text, gateway, gateway_session_id, url, amount, currency,"
            " title, method, customer_email, customer_name, customer_phone, success_url,"
            " cancel_url, expires_at::text, capture_method"
            " from order_checkouts where reference = %s",
            plan.reference,
        )
        return rows[0] if rows else None

    def _checkout(self, attempt: dict[str, Any]) -> Checkout:
        """Have the page as the browser has it; PayU's is a form that the service signed."""
        if attempt["gateway"] == "payu":
            return self.town.adapter("payu").open(charge(attempt))
        return Checkout(attempt["gateway_session_id"], attempt["url"])

    def _come_back(self, attempt: dict[str, Any], people: World, checkout: Checkout) -> None:
        with turned_away():
            fields = dict(people.arrival(charge(attempt), checkout).fields)
            path = f"/payments/return/{attempt['payment_attempt_id']}"
            reply = self.town.service.browse(path, fields)
            self.counts[f"came back {reply.status}"] += 1

    # What shops and banks do.

    def _plan_refunds(self, plan: Plan, page: dict[str, Any]) -> None:
        left = plan.amount
        for number, share in enumerate(plan.asks_back):
            amount = left if share == 100 else plan.amount * share // 100
            act = partial(self._refund, plan, page["payment_intent_id"], number, amount)
            self.after(plan.asks_back_after + number * 10 * MINUTE, act)

    def _refund(self, plan: Plan, intent: str, number: int, amount: int, tries: int = 0) -> None:
        """Send a part of a payment back, under one key however often it is asked for."""
        user = FINANCE[CURRENCIES[plan.gateway]]
        key = f"{plan.reference}/{number}"
        reply = self.town.service.action(
            "refund_payment",
            user,
            payment_intent_id=intent,
            amount=amount,
            reason="requested_by_customer",
            idempotency_key=key,
        )
        self.counts[f"refund {reply.status}"] += 1
        again = partial(self._refund, plan, intent, number, amount, tries + 1)
        if not reply.is_yes and tries < 3:
            self.after(HOUR, again)
        elif reply.is_yes and plan.asks_twice and not tries:
            self.after(MINUTE, again)

    def _call_off(self, plan: Plan) -> None:
        """Have the shop's order system say that the order is off; its bus says everything twice."""
        shop = str(PAYERS[CURRENCIES[plan.gateway]].organization_id)
        event = {
            "id": f"off-{plan.reference}",
            "type": "order.cancelled",
            "time": "2026-11-21T10:00:00Z",
            "data": {"orderId": plan.reference},
        }
        for _ in range(2):
            reply = self.town.service.hear(shop, event)
            self.counts[f"called off {reply.status}"] += 1

    def _captured(self, plan: Plan, gateway: str) -> Finding | None:
        """Look up what an order's payer paid at a gateway, if our books know of it."""
        rows = self.town.sql(
            "select gateway_payment_id from payment_attempts join orders using (payment_intent_id)"
            " where reference = %s and gateway = %s and payment_attempts.status = 'captured'",
            plan.reference,
            gateway,
        )
        if not rows:
            return None
        name = rows[0]["gateway_payment_id"]
        return Finding(subject=Subject.PAYMENT, outcome=Outcome.PAID, gateway_payment_id=name)

    def _send_back_there(self, plan: Plan, gateway: str) -> None:
        """Send money back in the gateway's dashboard; what is not there it refuses."""
        if paid := self._captured(plan, gateway):
            amount = plan.amount * (plan.sends_back_there or 0) // 100
            with turned_away():
                self.worlds[gateway].refund_there(paid, amount)
                self.counts[f"refunds in the dashboard of {gateway}"] += 1

    def _dispute(self, plan: Plan, gateway: str) -> None:
        paid = self._captured(plan, gateway)
        if paid is None:
            return
        before = {one["id"] for one in self.town.houses.objects(gateway, "dispute")}
        with turned_away():
            self.worlds[gateway].dispute(paid)
        for one in self.town.houses.objects(gateway, "dispute"):
            if one["id"] not in before:
                self.counts["disputes"] += 1
                end = partial(self._decide, gateway, one["id"], str(plan.disputes))
                self.after(30 * HOUR, end)

    def _decide(self, gateway: str, dispute: str, outcome: str) -> None:
        found = Finding(subject=Subject.DISPUTE, outcome=Outcome.OPENED, gateway_dispute_id=dispute)
        with turned_away():
            self.worlds[gateway].decide(found, Outcome(outcome))


def _refunds(plan: Plan, people: World) -> Refunds:
    return plan.refunds if plan.refunds in people.refunds else Refunds.SUCCEED
