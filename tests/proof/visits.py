"""A payer's way: our page, the gateway's, and back, by what a browser is given and nothing else.

What payers and their banks do at a gateway is that gateway's world of tests/gateways.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from html import unescape
from html.parser import HTMLParser
from typing import Any
from uuid import uuid4

import httpx
from gateways import worlds
from gateways.world import Payer, Refunds, World
from proof.cases import Case, RefusedError
from proof.stage import Answer, Stage

from app.gateways import Charge, Checkout, Money

LINK = re.compile(r"upi://[^\"'<>\s]+")
OPEN = frozenset({"created", "unknown", "pending"})
RETURN_SECONDS = 5


@dataclass
class Street:
    """What a gateway's world needs of the stage."""

    stage: Stage
    gateway: str

    @property
    def api(self) -> str:
        return f"{self.stage.ports.gateways_url}/{self.gateway}"

    def control(self, path: str, order: dict[str, Any] | None = None) -> dict[str, Any]:
        told: dict[str, Any] = self.stage.try_control(f"{self.gateway}{path}", order or {}).json()
        return told

    def now(self) -> datetime:
        (row,) = self.stage.sql("select clock_now() as now")
        now: datetime = row["now"]
        return now.astimezone(UTC)

    def advance(self, seconds: int) -> None:
        self.stage.advance(seconds)

    def pay_upi(self, link: str, address: str) -> None:
        self.stage.control("upi", link=link, vpa=address)


def world_of(case: Case, gateway: str) -> World:
    """Give the gateway's world, one for the case: some keep what a browser is to bring back."""
    known = case.facts.setdefault("worlds", {})
    if gateway not in known:
        known[gateway] = worlds.build(gateway, Street(case.stage, gateway))  # type: ignore[arg-type]  # as much of a stage as payers need
        known[gateway].close()  # the payers' part asks nobody through it
    world: World = known[gateway]
    return world


@dataclass
class Handover(HTMLParser):
    """Reads where the page on the way to a gateway leads, and the form that is posted there."""

    url: str = ""
    form: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__init__()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        said = {name: text or "" for name, text in attrs}
        if tag == "form" and said.get("id") == "handover":
            self.url = said["action"]
        if tag == "input" and said.get("type") == "hidden":
            self.form[said["name"]] = said["value"]
        if tag == "meta" and said.get("http-equiv") == "refresh":
            self.url = said["content"].partition("url=")[2]


def browse(case: Case, method: str, path: str, *expected: int, **request: Any) -> Answer:
    """Send a browser somewhere, each case from an address of its own."""
    case.facts.setdefault("address", f"2001:db8:{uuid4().hex[:4]}:{uuid4().hex[:4]}::1")
    where = {"REMOTE_ADDR": case.facts["address"]}
    answer = case.stage.call(method, path, environ_base=where, **request)
    if answer.status not in expected:
        raise RefusedError(f"{answer.status} {answer.body}")
    return answer


def attempts(case: Case) -> list[dict[str, Any]]:
    """List the order's attempts that have a page, the newest first."""
    return case.sql(
        "select payment_attempts.id::text, payment_attempts.status, payment_attempts.gateway,"
        " gateway_session_id, payment_attempts.amount, payment_attempts.currency"
        " from payment_attempts join orders using (payment_intent_id)"
        " join checkout_sessions on payment_attempt_id = payment_attempts.id"
        " where reference = %s order by payment_attempts.created_at desc",
        case.key,
    )


def is_initiated(case: Case) -> bool:
    return "payment_url" in case.facts


def is_begun(case: Case) -> bool:
    return bool(attempts(case))


def is_there(case: Case) -> bool:
    """Whether the payer's browser has been brought to a gateway."""
    return "page" in case.facts


def page(case: Case) -> str:
    return httpx.URL(case.facts["payment_url"]).path


def look(case: Case) -> None:
    browse(case, "GET", page(case), 200)


def watch(case: Case) -> None:
    browse(case, "GET", f"{page(case)}/state", 200)


def choose(method: str, case: Case) -> None:
    browse(case, "POST", f"{page(case)}/methods/{method}", 303)


def choose_card(case: Case) -> None:
    choose("card", case)


def hand_over(case: Case) -> None:
    """Go to the gateway's page; once it is paid, back to ours."""
    attempt = attempts(case)[0]
    expected = 200 if attempt["status"] in OPEN else 303
    answer = browse(case, "GET", f"/payments/handover/{attempt['id']}", expected)
    if expected == 200:
        shown = Handover()
        shown.feed(answer.text)
        (now,) = [one for one in attempts(case) if one["id"] == attempt["id"]]
        case.facts["page"] = Checkout(now["gateway_session_id"], shown.url, shown.form)
        case.facts["attempt"] = now


def ask_for_a_code(case: Case) -> None:
    """Go to where a UPI code is shown: made on the way there, shown by the same address."""
    attempt = attempts(case)[0]
    path = f"/payments/handover/{attempt['id']}"
    answer = browse(case, "GET", path, 200, 303)
    if answer.status == 303 and attempt["status"] in OPEN:
        answer = browse(case, "GET", path, 200)
    if found := LINK.search(unescape(answer.text)):
        case.facts["code"], case.facts["attempt"] = found[0], attempt


def has_a_code(case: Case) -> bool:
    return "code" in case.facts


def pay_by_code(case: Case) -> None:
    """Pay with an app that reads the code, unless the order is paid already."""
    if has_a_code(case) and not case.charges():
        world = world_of(case, case.facts["attempt"]["gateway"])
        world.pay_upi(case.facts["code"], Payer.PAYS)


def pay(how: Payer, refunds: Refunds, case: Case) -> None:
    """Do something on the page where the browser is, unless the order is paid already.

    A page that takes nothing more turns the payer away: they had been declined there, and we had
    not heard of it yet.
    """
    if not is_there(case) or case.charges():
        return
    world = world_of(case, case.facts["attempt"]["gateway"])
    try:
        world.pay(order_of(case), case.facts["page"], how, refunds)
    except AssertionError:
        case.facts["turned away"] = True


def order_of(case: Case) -> Charge:
    """Write the order as a gateway's world takes it, which goes by its id."""
    attempt = case.facts["attempt"]
    return Charge(
        id=attempt["id"],
        amount=Money(attempt["amount"], attempt["currency"]),
        title="",
        email="",
        success_url="",
        cancel_url="",
        expires_at=datetime.now(UTC),
    )


def come_back(case: Case) -> None:
    """Bring back what the gateway gave the browser, as a form where it posts one.

    Some seconds later, also the next time: returns have a gateway asked no more often than that.
    """
    case.stage.advance(RETURN_SECONDS)
    attempt, opened = case.facts["attempt"], case.facts["page"]
    brought = world_of(case, attempt["gateway"]).arrival(order_of(case), opened).fields
    path = f"/payments/return/{attempt['id']}"
    if opened.form:
        browse(case, "POST", path, 303, data=dict(brought))
    else:
        browse(case, "GET", path, 303, query_string=dict(brought))
