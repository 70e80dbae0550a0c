"""Autopay beside the simplest model of it: a calendar, a bank of a few lines, and crons that fail.

Customers set up, replace, pause, resume and cancel. Crons tick late, twice, or die between two
steps; the bank declines, says nothing before or after it acts, or changes its mind; its messages
come in any order, again or never. Whatever happens, a customer pays a month once, in time or not
at all, and nothing that fell due is forgotten.
"""

from __future__ import annotations

import calendar
import os
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from random import Random
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import history
import psycopg
import pytest
from autopay.test_calendar import moment
from books import Connection, Money, begin_ids_again, broken_invariants, repeat_ids, settle
from mandates import DECLINES, Autopay, move_clock
from psycopg.rows import dict_row

LIVES = int(os.environ.get("MACHINE_EXAMPLES", "150"))
STEPS = int(os.environ.get("MACHINE_STEPS", "60"))
# Lives of the same dice each time, and others every day.
SEEDS = {"1": 1, "2": 2, "today": datetime.now(UTC).toordinal()}
ZONES = ["UTC", "America/New_York", "Asia/Kolkata", "Pacific/Auckland"]
# What the bank does with a charge: it takes it, declines it, or its line is cut before or after.
FATES = ["paid"] * 4 + [*DECLINES] + ["lost before", "lost after"]
DEATHS = ["claimed", "begun", "asked"]
BEGAN = datetime(2027, 1, 11, 12, tzinfo=UTC)
CATCH_UP, TRIES_MAX = timedelta(days=3), 4
NINE = time(9)
# What may be on the list in the end: what a person decides about.
EXPECTED = {"autopay-missed", "autopay-skipped", "surplus-payment"}


@dataclass
class Bank:
    """What truly became of each attempt, by its key, and what was said about it."""

    ends: dict[UUID, str] = field(default_factory=dict)
    orders: dict[UUID, dict[str, Any]] = field(default_factory=dict)
    messages: list[UUID] = field(default_factory=list)

    def charge(self, order: dict[str, Any], fate: str) -> str | None:
        """Charge once for a key, and answer how it ended; None where the line is cut."""
        attempt = order["payment_attempt_id"]
        if fate == "lost before":
            return None
        if attempt not in self.ends:
            self.end(order, "paid" if fate == "lost after" else fate)
        return None if fate == "lost after" else self.ends[attempt]

    def end(self, order: dict[str, Any], how: str) -> None:
        attempt = order["payment_attempt_id"]
        self.orders[attempt] = order
        self.ends[attempt] = how
        self.messages.append(attempt)


@dataclass
class Agreement:
    """A mandate as its customer thinks of it."""

    id: UUID
    day: int
    zone: str
    runs: list[tuple[datetime, datetime | None]] = field(default_factory=list)

    @property
    def is_active(self) -> bool:
        return bool(self.runs) and self.runs[-1][1] is None

    def start(self, at: datetime) -> None:
        self.runs.append((at, None))

    def stop(self, at: datetime) -> None:
        if self.is_active:
            self.runs[-1] = (self.runs[-1][0], at)

    def dues(self, until: datetime) -> Iterator[tuple[str, datetime, datetime]]:
        """List what fell due while it ran: month, moment, and when it stopped running."""
        for since, stopped in self.runs:
            end = min(stopped or until, until)
            year, month = since.year, since.month
            while date(year, month, 1) <= end.date():
                day = min(self.day, calendar.monthrange(year, month)[1])
                local = datetime.combine(date(year, month, day), NINE, ZoneInfo(self.zone))
                if since < moment(local) < end:
                    yield f"{year}-{month:02}", moment(local), end
                year, month = year + month // 12, month % 12 + 1


class Life:
    """One customer's years. What happens is drawn by weight, from dice of the life's own."""

    def __init__(self, db: Connection, dice: Random) -> None:
        self.db, self.dice = db, dice
        for table in ("autopay_charges", "payment_attempts"):
            begin_ids_again(db, table)
        self.bank = Bank()
        self.agreements: dict[UUID, Agreement] = {}
        self.begun: dict[UUID, dict[str, Any]] = {}  # the first order of each attempt
        self.ticks: list[datetime] = []  # at which both crons did all there was to do
        self.zone = dice.choice(ZONES)
        move_clock(db, BEGAN)
        tenant = settle(db)
        self.autopay = Autopay(db, Money(db, tenant.session), tenant)
        self.autopay.zone(self.zone)
        self.set_up(is_finished=True)

    def live(self, steps: int) -> None:
        acts = {
            self.set_up: 2,
            self.finish_a_page: 2,
            self.change_their_mind: 4,
            self.payer_comes: 6,
            self.tick: 12,
            self.days_go_by: 6,
            self.time_passes: 8,
            self.janitor_comes: 6,
            self.hear: 8,
            self.bank_changes_its_mind: 3,
        }
        for act in self.dice.choices(list(acts), list(acts.values()), k=steps):
            act()
        self.let_all_end()

    # What customers do

    def set_up(self, *, is_finished: bool | None = None) -> None:
        day = self.dice.randint(1, 31)
        setup = self.autopay.record(self.autopay.open(day_of_month=day)["id"])["id"]
        self.agreements[setup] = Agreement(setup, day, self.zone)
        if self.dice.random() < 0.7 if is_finished is None else is_finished:
            self.finish(setup)

    def finish_a_page(self) -> None:
        """Finish any page, also one that is finished or replaced already."""
        self.finish(self.dice.choice(list(self.agreements)))

    def change_their_mind(self) -> None:
        wish = self.dice.choice(["pause", "resume", "resume", "cancel"])
        mandate = self.dice.choice(list(self.agreements))
        # Refused: autopay-ended, payment-method-refused.
        with suppress(psycopg.DataError), self.db.transaction():
            self.autopay.money.call(f"{wish}_autopay", autopay_mandate_id=mandate)
        self.note()

    def payer_comes(self) -> None:
        """One who is asked to be present opens the page, and pays, closes or leaves it."""
        waiting = [one for one in self.autopay.charges() if one["status"] == "action_required"]
        if not waiting:
            return
        charge = self.dice.choice(waiting)
        (page,) = self.autopay.money.call(
            "open_autopay_checkout",
            autopay_charge_id=charge["id"],
            success_url="https://shop.example/paid",
            cancel_url="https://shop.example/not-paid",
        )
        attempt = page["payment_attempt_id"]
        how = self.dice.choice(["paid", "expired", "left"])
        if how != "left" and attempt not in self.bank.ends:
            self.bank.end({**charge, "payment_attempt_id": attempt}, how)

    # What crons and workers do

    def tick(self, fate: str | None = None) -> None:
        """Tick both crons, whose worker may die after any step, unless all goes one way."""
        death = None if fate or self.dice.random() < 0.6 else self.dice.choice(DEATHS)
        self.autopay.materialise()
        claims = self.autopay.claim()
        if death == "claimed":
            return
        orders = self.autopay.begin(claims)
        for order in orders:
            self.see_it_begin(order)
        if death == "begun":
            return
        for order in orders:
            said = self.bank.charge(order, fate or self.dice.choice(FATES))
            if death == "asked":
                continue
            if said is None:
                self.autopay.money.call(
                    "postpone_autopay_charge",
                    autopay_charge_id=order["id"],
                    fence=order["fence"],
                    failure_message="no answer",
                    is_silent=False,
                )
            else:
                self.autopay.answer(order, said, gateway_payment_id=self.payment(order))
        if death is None:
            self.ticks.append(self.autopay.now())
        self.note()

    def time_passes(self, hours: int | None = None) -> None:
        longest = self.dice.choice([3, 30, 24 * 12, 24 * 40])
        passed = timedelta(hours=hours or self.dice.randint(1, longest))
        self.autopay.at(self.autopay.now() + passed)

    def days_go_by(self) -> None:
        """Crons tick each day; nobody hears the bank's messages."""
        fate = self.dice.choice(["paid", "paid", "soft", "lost after"])
        for _ in range(self.dice.randint(3, 35)):
            self.time_passes(24)
            self.tick(fate)

    def janitor_comes(self) -> None:
        for attempt in self.autopay.money.call("claim_payment_checks", limit=100):
            self.look_up(attempt["id"])
        self.note()

    # What the bank says

    def hear(self, *, again: bool | None = None) -> None:
        if not self.bank.messages:
            return
        attempt = self.dice.choice(self.bank.messages)
        if not (self.dice.random() < 0.5 if again is None else again):
            self.bank.messages.remove(attempt)
        self.tell(attempt)
        self.note()

    def bank_changes_its_mind(self) -> None:
        declined = [id_ for id_, end in self.bank.ends.items() if end in DECLINES]
        if declined:
            self.bank.end(self.bank.orders[self.dice.choice(declined)], "paid")

    # How it is done

    def finish(self, mandate: UUID) -> None:
        self.autopay.hear(mandate, card_last4="4242")
        self.note()

    def payment(self, order: dict[str, Any]) -> str:
        return f"pi_{order['payment_attempt_id']}"

    def tell(self, attempt: UUID, message: str = "payment_intent.changed") -> None:
        order = self.bank.orders[attempt]
        self.autopay.answer(
            order, self.bank.ends[attempt], type=message, gateway_payment_id=self.payment(order)
        )

    def look_up(self, attempt: UUID) -> None:
        if attempt in self.bank.ends:
            self.tell(attempt, "look-up")
        elif attempt in self.begun:
            self.autopay.answer(self.begun[attempt], "not_found", type="look-up")

    def see_it_begin(self, order: dict[str, Any]) -> None:
        """See that an attempt that is new to us may begin now."""
        if order["payment_attempt_id"] in self.begun:
            return
        self.begun[order["payment_attempt_id"]] = order
        now = self.autopay.now()
        charge = self.db.execute(
            "select * from autopay_charges where id = %s", [order["id"]]
        ).fetchone()
        assert charge is not None
        assert self.agreements[charge["autopay_mandate_id"]].is_active
        assert charge["due_at"] <= now
        assert charge["tries"] <= TRIES_MAX
        if charge["tries"] == 1:
            assert now <= charge["due_at"] + CATCH_UP

    def note(self) -> None:
        """Keep since when and until when each mandate runs, by what it says of itself."""
        now = self.autopay.now()
        for id_, agreement in self.agreements.items():
            is_active = self.autopay.mandate(id_)["status"] == "active"
            if is_active and not agreement.is_active:
                agreement.start(now)
            elif not is_active:
                agreement.stop(now)
        assert sum(one.is_active for one in self.agreements.values()) <= 1

    def let_all_end(self) -> None:
        """Forty days in which crons tick, the bank pays, and all is heard or asked about."""
        for _ in range(40):
            self.time_passes(24)
            while self.bank.messages:
                self.hear(again=False)
            self.janitor_comes()
            self.tick("paid")

    # What must hold

    def compare(self) -> None:
        assert broken_invariants(self.db) == {}
        assert history.breaches(self.db) == []
        self.months_are_paid_once()
        self.nothing_due_is_forgotten()
        self.nothing_waits()

    def months_are_paid_once(self) -> None:
        """See that what the bank took is a month's one payment, or on its way back."""
        attempts = {
            row["id"]: row
            for row in self.db.execute(
                "select payment_attempts.*, period, credits_amount, ("
                "    select coalesce(sum(refunds.amount), 0) from refunds"
                "    where refunds.payment_attempt_id = payment_attempts.id"
                "        and refunds.status <> 'failed'"
                ") as sent_back"
                " from payment_attempts inner join autopay_charges using (payment_intent_id)"
                " inner join credit_purchases using (payment_intent_id)"
            )
        }
        paid = [attempts[id_] for id_, end in self.bank.ends.items() if end == "paid"]
        assert {row["status"] for row in paid} <= {"captured"}
        kept = [row for row in paid if not row["sent_back"]]
        assert all(row["sent_back"] in (0, row["amount"]) for row in paid)
        assert max(Counter(row["period"] for row in kept).values(), default=0) <= 1
        assert self.autopay.credits() == sum(row["credits_amount"] for row in kept)

    def nothing_due_is_forgotten(self) -> None:
        """See that what fell due while a mandate ran is written down, and missed for a reason."""
        charges = self.autopay.charges()
        months = {(row["autopay_mandate_id"], row["period"]) for row in charges}
        elsewhere = {row["period"] for row in charges}
        for id_, agreement in self.agreements.items():
            for period, due_at, end in agreement.dues(self.autopay.now()):
                looked = any(due_at <= tick < end for tick in self.ticks)
                assert (id_, period) in months or period in elsewhere or not looked, period
        for charge in charges:
            if charge["reason"] == "missed" and not charge["tries"]:
                in_time = (charge["due_at"] <= t <= charge["due_at"] + CATCH_UP for t in self.ticks)
                assert not any(in_time), charge["period"]

    def nothing_waits(self) -> None:
        """See that nothing is open that could have ended, and a person is told of no more."""
        long_ago = self.autopay.now() - timedelta(days=25)
        ended = {"succeeded", "failed", "skipped", "canceled"}
        stuck = [
            (row["period"], row["status"], row["due_at"])
            for row in self.autopay.charges()
            if row["status"] not in ended and row["due_at"] < long_ago
        ]
        assert stuck == []
        listed = self.db.execute("select class, detail from exceptions where resolved_at is null")
        assert [row for row in listed if row["class"] not in EXPECTED] == []


@pytest.fixture
def kept(database: str) -> Iterator[Connection]:
    """A connection whose database keeps the history of every status."""
    with psycopg.connect(database, row_factory=dict_row) as db:
        for table in ("autopay_charges", "payment_attempts"):
            repeat_ids(db, table)
        history.keep(db)
        db.commit()
        yield db


@pytest.mark.timeout(20 * LIVES)
@pytest.mark.parametrize("part", SEEDS)
def test_a_month_is_paid_once_whatever_crons_and_banks_do(kept: Connection, part: str) -> None:
    for number in range(-(-LIVES // len(SEEDS))):
        life = Life(kept, Random(f"{SEEDS[part]}/{number}"))
        try:
            life.live(STEPS)
            life.compare()
        except Exception as wrong:
            wrong.add_note(f"in life {number} of {SEEDS[part]}")
            raise
        finally:
            kept.rollback()
