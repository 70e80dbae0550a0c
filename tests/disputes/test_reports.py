"""What a gateway settled and our books have not: whom the cron asks about it, and when."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any

import psycopg
import pytest
from books import broken_invariants, settle
from in_process import CrashError, House
from money_back import Desk, listed
from psycopg.rows import dict_row

from app import budget
from app.errors import GatewaySilentError
from app.gateways import (
    Capability,
    Finding,
    Money,
    Outcome,
    Settled,
    SettlementLine,
    Subject,
)
from app.payments.crons import check_disputes
from app.refunds.crons import check_refunds

HOUR, DAY = 3600, 86400
TOLD_BY_PAYMENT = frozenset({Capability.PAYMENT_DISPUTES, Capability.REFUNDS})


@dataclass
class Payer:
    """A gateway that lists nothing by time, and settles each day what it took and gave back."""

    name: str = "stripe"  # whose the purchases are
    capabilities: frozenset[Capability] = TOLD_BY_PAYMENT
    lines: dict[date, list[SettlementLine]] = field(default_factory=dict)
    disputes: list[Finding] = field(default_factory=list)
    refunds: list[Finding] = field(default_factory=list)
    read: list[date] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    silent_about: set[str] = field(default_factory=set)
    failure: Exception | None = None

    def settlements(self, day: date) -> Iterator[SettlementLine]:
        self.read.append(day)
        if self.failure:
            raise self.failure
        yield from self.lines.get(day, [])

    def find_disputes(self, _: datetime) -> Iterator[Finding]:
        yield from ()

    def find_new_refunds(self, _: datetime) -> Iterator[Finding]:
        yield from ()

    def find_payment_disputes(self, gateway_payment_id: str) -> list[Finding]:
        self.asked.append(gateway_payment_id)
        if gateway_payment_id in self.silent_about:
            raise GatewaySilentError("no answer")
        return [one for one in self.disputes if one.gateway_payment_id == gateway_payment_id]

    def find_refunds(self, gateway_payment_id: str) -> list[Finding]:
        return [one for one in self.refunds if one.gateway_payment_id == gateway_payment_id]


@dataclass
class Office(House):
    """The service beside that gateway, and one paid purchase. It is past noon."""

    peer_: Payer = field(default_factory=Payer)
    paid: dict[str, Any] = field(default_factory=dict)
    buyer: dict[str, str] = field(default_factory=dict)  # their session

    def peer(self) -> Payer:
        return self.peer_

    @property
    def payment(self) -> str:
        return f"pi_{self.paid['payment_attempt_id']}"

    def tick(self) -> int:
        return check_disputes(self.ctx)["kept"]

    def settles(self, *lines: SettlementLine) -> date:
        """Settle today."""
        today = self.now().astimezone(UTC).date()
        self.peer_.lines.setdefault(today, []).extend(lines)
        return today

    def line(self, kind: Settled, name: str, amount: int, **changes: Any) -> SettlementLine:
        nothing = Money(0, "USD")
        said: dict[str, Any] = {
            "settlement_id": "se_1",
            "line_id": f"se_1:{name}",
            "kind": kind,
            "gross": Money(amount, "USD"),
            "fee": nothing,
            "tax": nothing,
            "net": Money(amount, "USD"),
            "settled_at": self.now(),
            "gateway_payment_id": self.payment,
        }
        return SettlementLine(**said | changes)

    def refund_line(self, name: str = "re_there", **changes: Any) -> SettlementLine:
        return self.line(Settled.REFUND, name, -1000, gateway_refund_id=name, **changes)

    def dispute_line(self, name: str = "dp_1") -> SettlementLine:
        return self.line(Settled.DISPUTE, name, -2500, gateway_dispute_id=name)

    def rows(self, query: str) -> list[dict[str, Any]]:
        with psycopg.connect(self.url, row_factory=dict_row) as db:
            return db.execute(query).fetchall()

    def hints(self) -> list[str]:
        rows = self.rows("select reason from gateway_events where type = 'report'")
        return [row["reason"] for row in rows]

    def is_right(self) -> None:
        with psycopg.connect(self.url, row_factory=dict_row) as db:
            assert broken_invariants(db) == {}
            assert listed(db) == set()


@pytest.fixture
def office(database: str) -> Office:
    with psycopg.connect(database, row_factory=dict_row) as db:
        noon = (datetime.now(UTC) + timedelta(days=1)).replace(hour=12, minute=5, second=0)
        ahead = (noon - datetime.now(UTC)).total_seconds()
        db.execute("update clock set skew_seconds = %s", [int(ahead)])
        tenant = settle(db)
        paid = Desk(db, tenant.session).paid()
    session = {"x-hasura-role": "service", "x-hasura-livemode": "false"}
    office = Office(database, session, paid=paid, buyer=tenant.session)
    office.tick()  # the gateway is known from now on
    return office


def refund_there(office: Office, name: str = "re_there") -> Finding:
    return Finding(
        subject=Subject.REFUND,
        outcome=Outcome.SUCCEEDED,
        gateway_refund_id=name,
        gateway_payment_id=office.payment,
        amount=Money(1000, "USD"),
    )


def dispute_there(office: Office) -> Finding:
    return Finding(
        subject=Subject.DISPUTE,
        outcome=Outcome.OPENED,
        gateway_dispute_id="dp_1",
        gateway_payment_id=office.payment,
        amount=Money(2500, "USD"),
        reason="fraudulent",
    )


def both(office: Office) -> None:
    office.tick()
    check_refunds(office.ctx)


def test_a_refund_that_only_the_settlement_tells_of_is_booked(office: Office) -> None:
    office.settles(office.refund_line())
    office.peer_.refunds = [refund_there(office)]
    office.wait(DAY + HOUR)

    assert office.tick() == 1
    assert check_refunds(office.ctx) == {"asked": 1, "answered": 1}
    (refund,) = office.rows("select requested_by, status, amount from refunds")
    assert refund == {"requested_by": "gateway", "status": "succeeded", "amount": 1000}
    office.is_right()


def test_a_refund_in_the_settlement_is_booked_beside_one_whose_name_there_is_not_known(
    office: Office,
) -> None:
    with psycopg.connect(office.url, row_factory=dict_row) as db:
        finance = office.buyer | {"x-hasura-actor-role": "finance"}
        Desk(db, finance).refund(office.paid["payment_intent_id"], amount=500)
    office.settles(office.refund_line())
    office.peer_.refunds = [refund_there(office)]
    office.wait(DAY + HOUR)

    assert office.tick() == 1
    check_refunds(office.ctx)
    rows = office.rows("select requested_by, status from refunds where amount = 1000")
    assert rows == [{"requested_by": "gateway", "status": "succeeded"}]


def test_a_dispute_that_only_the_settlement_tells_of_is_booked(office: Office) -> None:
    office.settles(office.dispute_line())
    office.peer_.disputes = [dispute_there(office)]
    office.wait(DAY + HOUR)

    assert office.tick() == 1
    (dispute,) = office.rows("select gateway_dispute_id, status from disputes")
    assert dispute == {"gateway_dispute_id": "dp_1", "status": "opened"}
    office.is_right()


def test_a_dispute_that_is_not_answered_keeps_no_other_waiting(office: Office) -> None:
    with psycopg.connect(office.url, row_factory=dict_row) as db:
        other = f"pi_{Desk(db, office.buyer).paid(key='buy-2')['payment_attempt_id']}"
    office.settles(
        office.line(
            Settled.DISPUTE, "dp_2", -2500, gateway_dispute_id="dp_2", gateway_payment_id=other
        ),
        office.dispute_line(),
    )
    office.peer_.disputes = [dispute_there(office)]
    office.peer_.silent_about = {other}
    office.wait(DAY + HOUR)
    office.tick()

    (dispute,) = office.rows("select gateway_dispute_id from disputes")
    assert dispute == {"gateway_dispute_id": "dp_1"}
    office.peer_.silent_about = set()
    office.wait(HOUR + 60)
    office.tick()  # the day is read again
    assert office.peer_.asked.count(other) == 2


def test_a_dispute_that_is_told_by_no_list_of_its_payment_is_a_persons(office: Office) -> None:
    """As at PayU without its chargeback key."""
    office.peer_.capabilities = frozenset({Capability.DISPUTES, Capability.REFUNDS})
    office.settles(office.dispute_line())
    office.wait(DAY + HOUR)
    office.tick()

    with psycopg.connect(office.url, row_factory=dict_row) as db:
        assert listed(db) == {"unconfirmed-dispute"}


def test_what_the_books_have_is_asked_about_by_nobody(office: Office) -> None:
    with psycopg.connect(office.url, row_factory=dict_row) as db:
        desk = Desk(db, office.session)
        desk.tell(**refund_there(office).words())
        desk.dispute(office.paid["payment_attempt_id"], "opened")
    office.settles(
        office.line(Settled.PAYMENT, "ch_1", 2500),
        office.refund_line(),
        office.dispute_line(),
        office.line(Settled.ADJUSTMENT, "fee", -30, gateway_payment_id=None),
    )
    office.wait(DAY + HOUR)
    office.peer_.asked.clear()
    office.peer_.disputes = [dispute_there(office)]
    office.tick()

    assert office.hints() == []
    assert office.peer_.asked == [office.payment]  # as every open one is


@pytest.mark.parametrize("status", ["failed", "expired"])
def test_a_payment_that_only_the_settlement_tells_of_is_asked_about(
    office: Office, status: str
) -> None:
    with psycopg.connect(office.url, row_factory=dict_row) as db:
        row = Desk(db, office.buyer).open(key="key-2")
        db.execute(
            "update payment_attempts set status = %s, next_check_at = null where id = %s",
            [status, row["payment_attempt_id"]],
        )
    attempt = str(row["payment_attempt_id"])
    office.settles(
        office.line(
            Settled.PAYMENT, "ch_2", 2500, gateway_payment_id="pi_late", payment_attempt_id=attempt
        )
    )
    office.wait(DAY + HOUR)
    office.tick()

    assert office.hints() == ["a hint that is followed"]
    (due,) = office.rows(
        f"select id from payment_attempts where status = '{status}'"
        " and next_check_at <= clock_now()"
    )
    assert str(due["id"]) == attempt


def test_a_second_payment_of_a_page_is_asked_about(office: Office) -> None:
    office.settles(
        office.line(
            Settled.PAYMENT,
            "ch_2",
            2500,
            gateway_payment_id="pi_other",
            payment_attempt_id=str(office.paid["payment_attempt_id"]),
        )
    )
    office.wait(DAY + HOUR)

    assert office.tick() == 1


def test_what_is_of_no_payment_of_ours_is_left_out(office: Office) -> None:
    other = {"gateway_payment_id": "pi_of_another_shop"}
    office.settles(
        office.line(Settled.PAYMENT, "ch_9", 900, **other),
        office.refund_line("re_9", **other),
        office.line(Settled.REFUND, "re_10", -900, gateway_payment_id=None),
    )
    office.wait(DAY + HOUR)

    assert office.tick() == 0
    assert office.hints() == []


def test_a_day_is_read_when_it_is_over_and_twice_more(office: Office) -> None:
    day = office.settles()
    for _ in range(11):  # of the evening and the night
        office.wait(HOUR)
        office.tick()
    assert day not in office.peer_.read

    for _ in range(5 * 24):
        office.wait(HOUR)
        office.tick()
    assert office.peer_.read.count(day) == 3
    assert office.peer_.read[-3:] == [day + timedelta(days=number) for number in (2, 3, 4)]


def test_what_is_listed_late_is_found(office: Office) -> None:
    day = office.settles()
    office.wait(DAY + HOUR)
    office.tick()
    office.peer_.lines[day].append(office.refund_line())
    office.wait(DAY)

    assert office.tick() == 1


def test_a_line_is_followed_again_on_another_day_and_booked_once(office: Office) -> None:
    """Its gateway's list of refunds may lag behind its settlement."""
    office.settles(office.refund_line())
    office.wait(DAY + HOUR)
    office.tick()
    office.wait(HOUR)
    office.tick()
    for _ in range(3):
        check_refunds(office.ctx)
        office.wait(2 * HOUR)
    assert office.rows("select id from refunds") == []

    office.peer_.refunds = [refund_there(office)]
    office.wait(DAY)
    assert office.tick() == 1
    check_refunds(office.ctx)
    office.wait(DAY)
    assert office.tick() == 0
    assert len(office.rows("select id from refunds")) == 1
    office.is_right()


def test_a_report_that_is_not_to_be_had_is_asked_for_again_and_stops_nothing(
    office: Office,
) -> None:
    day = office.settles(office.refund_line())
    office.wait(DAY + HOUR)
    office.peer_.failure = GatewaySilentError("no answer")
    office.tick()
    (poll,) = office.rows("select complete_until >= begun_at as is_over from dispute_polls")
    assert poll["is_over"]

    office.peer_.failure = None
    office.wait(HOUR + 60)
    assert office.tick() == 1
    assert office.peer_.read[-1] == day


def test_days_that_nobody_looked_at_are_read_one_after_the_other(office: Office) -> None:
    day = office.settles()
    office.wait(30 * DAY)
    office.tick()

    assert office.peer_.read[-30:] == [day + timedelta(days=number) for number in range(30)]


def test_what_time_did_not_allow_is_read_at_the_next_tick(office: Office, monkeypatch) -> None:
    office.settles(office.refund_line())
    first = office.settles(office.refund_line("re_2"))
    office.wait(DAY + HOUR)
    monkeypatch.setattr("app.payments.reports.LINES", 1)
    monkeypatch.setattr(budget, "left_for_gateways", lambda: 0.0)
    office.tick()
    assert office.hints() == []
    monkeypatch.undo()

    office.wait(HOUR + 60)
    assert office.tick() == 2
    assert office.peer_.read.count(first) == 1


@pytest.mark.parametrize("is_after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("call", range(1, 8))
def test_the_service_may_die_while_it_reads(office: Office, call: int, *, is_after: bool) -> None:
    office.settles(office.refund_line(), office.dispute_line())
    office.peer_.refunds = [refund_there(office)]
    office.peer_.disputes = [dispute_there(office)]
    office.wait(DAY + HOUR)
    office.plan(call, is_after=is_after)
    with pytest.raises(CrashError):
        both(office)

    office.plan(0, is_after=False)
    for _ in range(2):
        office.wait(HOUR + 60)
        both(office)
    assert len(office.rows("select id from refunds")) == 1
    assert len(office.rows("select id from disputes")) == 1
    office.is_right()


@pytest.mark.parametrize("pays_late", [False, True])
def test_a_gateway_that_tells_all_of_it_otherwise_is_asked_for_no_report(
    office: Office, *, pays_late: bool
) -> None:
    others = frozenset() if pays_late else frozenset({Capability.PAYMENTS})
    office.peer_.capabilities = frozenset(Capability) - others
    office.settles(office.refund_line())
    office.peer_.read.clear()
    office.wait(DAY + HOUR)
    office.tick()

    assert (office.peer_.read != []) == pays_late
