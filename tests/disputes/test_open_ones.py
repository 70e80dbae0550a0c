"""Open disputes at a gateway that lists none by time: which is asked about, and when."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

import psycopg
import pytest
from books import broken_invariants, settle
from in_process import CrashError, Fault, House, context
from money_back import Desk
from psycopg.rows import dict_row

from app import budget
from app.errors import GatewayRefusedError, GatewayUnavailableError
from app.gateways import Capability, Finding, Money, Outcome, SettlementLine, Subject
from app.payments import disputes as disputes_of
from app.payments.crons import check_disputes

HOUR = 3600
# Of one open dispute: the polls begin, it is claimed, asked about and kept, none is left, the end.
CALLS = (
    *("BeginDisputePolls", "ClaimDisputeCheck", "gateway", "ReceiveGatewayEvent"),
    *("ClaimDisputeCheck", "EndDisputePoll"),
)


def say(attempt_id: object, outcome: Outcome, name: str) -> Finding:
    return Finding(
        subject=Subject.DISPUTE,
        outcome=outcome,
        gateway_dispute_id=name,
        gateway_payment_id=f"pi_{attempt_id}",
        amount=Money(2500, "USD"),
        reason="fraudulent",
    )


@dataclass
class Teller:
    """A gateway that tells of the disputes of one payment at a time."""

    name: str = "stripe"  # whose the purchases are
    capabilities: frozenset[Capability] = frozenset({Capability.PAYMENT_DISPUTES})
    known: dict[str, list[Finding]] = field(default_factory=dict)
    failures: dict[str, Exception] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    fault: Fault = field(default_factory=Fault)
    # What happens once while it answers.
    meanwhile: list[Callable[[], object]] = field(default_factory=list)
    takes_all_the_time: bool = False

    def settlements(self, _: date) -> Iterator[SettlementLine]:
        yield from ()

    def find_payment_disputes(self, gateway_payment_id: str) -> list[Finding]:
        answer = self.fault.around("gateway", lambda: self._known(gateway_payment_id))
        while self.meanwhile:
            self.meanwhile.pop()()
        return answer

    def _known(self, gateway_payment_id: str) -> list[Finding]:
        self.asked.append(gateway_payment_id)
        if self.takes_all_the_time:
            budget.begin(0)
        if failure := self.failures.get(gateway_payment_id):
            raise failure
        return self.known[gateway_payment_id]


@dataclass
class Office(House):
    """The service beside that gateway, with purchases that are disputed."""

    teller: Teller = field(default_factory=Teller)
    attempts: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.teller.fault = self.fault

    def peer(self) -> Teller:
        return self.teller

    def disputed(self, number: int = 1) -> Office:
        with psycopg.connect(self.url, row_factory=dict_row) as db:
            desk = Desk(db, self.session)
            for each in range(len(self.attempts) + 1, len(self.attempts) + number + 1):
                attempt = desk.paid(key=f"key-{each}")["payment_attempt_id"]
                desk.dispute(attempt, "opened", gateway_dispute_id=f"dp_{each}")
                db.commit()  # the next is heard of later
                self.attempts.append(str(attempt))
                self.stands(each, Outcome.OPENED)
        self.wait(HOUR)
        return self

    def stands(self, number: int, outcome: Outcome) -> None:
        """From now on the gateway says this of a dispute."""
        finding = say(self.attempts[number - 1], outcome, f"dp_{number}")
        self.teller.known[str(finding.gateway_payment_id)] = [finding]

    def payment(self, number: int) -> str:
        return f"pi_{self.attempts[number - 1]}"

    def tick(self) -> int:
        return check_disputes(self.ctx)["kept"]

    def rows(self, query: str) -> list[dict[str, Any]]:
        with psycopg.connect(self.url, row_factory=dict_row) as db:
            return db.execute(query).fetchall()

    def is_complete(self) -> bool:
        (row,) = self.rows("select complete_until = begun_at as is_complete from dispute_polls")
        return bool(row["is_complete"])

    def statuses(self) -> list[str]:
        rows = self.rows("select status from disputes order by gateway_dispute_id")
        with psycopg.connect(self.url, row_factory=dict_row) as db:
            assert broken_invariants(db) == {}
        return [row["status"] for row in rows]


@pytest.fixture
def office(database: str) -> Office:
    with psycopg.connect(database, row_factory=dict_row) as db:
        session = settle(db).session
    return Office(database, session)


@pytest.mark.parametrize("outcome", [Outcome.UNDER_REVIEW, Outcome.WON, Outcome.LOST])
def test_what_became_of_an_open_dispute_is_asked(office: Office, outcome: Outcome) -> None:
    office.disputed().stands(1, outcome)

    assert office.tick() == 1
    assert office.statuses() == [outcome]
    assert office.is_complete()


def test_what_is_decided_is_not_asked_about_any_more(office: Office) -> None:
    office.disputed(2).stands(1, Outcome.LOST)
    office.tick()
    office.wait(HOUR)
    office.teller.asked.clear()
    office.tick()

    assert office.teller.asked == [office.payment(2)]


def test_each_is_asked_about_once_an_hour_the_longest_unasked_first(office: Office) -> None:
    office.disputed()
    office.disputed()
    office.tick()
    assert office.teller.asked == [office.payment(1), office.payment(2)]

    office.wait(HOUR)
    (poll,) = office.ctx.hasura.run("BeginDisputePolls")
    office.teller.meanwhile.append(lambda: budget.begin(0))
    assert disputes_of.poll(office.ctx, poll) == 1  # there is time for one only
    budget.finish()
    assert not office.is_complete()
    office.wait(HOUR)
    office.tick()
    assert office.teller.asked[2:] == [office.payment(number) for number in (1, 2, 1)]
    assert office.is_complete()


@pytest.mark.parametrize(
    "failure", [GatewayUnavailableError("no answer"), GatewayRefusedError("who are you")]
)
def test_one_that_is_not_answered_keeps_no_other_waiting(
    office: Office, failure: Exception
) -> None:
    office.disputed(3).stands(2, Outcome.LOST)
    office.stands(1, Outcome.LOST)
    office.teller.failures[office.payment(1)] = failure
    office.tick()
    assert office.statuses() == ["opened", "lost", "opened"]
    assert not office.is_complete()

    office.wait(HOUR)
    office.teller.failures.clear()
    office.tick()
    assert office.statuses() == ["lost", "lost", "opened"]
    assert office.is_complete()


def test_a_silent_gateway_is_asked_no_more_when_its_time_is_up(office: Office) -> None:
    office.disputed(3)
    for number in (1, 2, 3):
        office.teller.failures[office.payment(number)] = GatewayUnavailableError("no answer")
    (poll,) = office.ctx.hasura.run("BeginDisputePolls")
    office.teller.takes_all_the_time = True
    with pytest.raises(GatewayUnavailableError):
        disputes_of.poll(office.ctx, poll)
    budget.finish()

    assert office.teller.asked == [office.payment(1)]


@pytest.mark.parametrize("said", [[], [say("another", Outcome.LOST, "dp_9")]])
def test_an_answer_without_the_dispute_that_is_booked_does_not_count(
    office: Office, said: list[Finding]
) -> None:
    office.disputed()
    office.teller.known[office.payment(1)] = said

    assert office.tick() == 0
    assert office.statuses() == ["opened"]
    assert not office.is_complete()
    assert office.rows("select * from exceptions") == []


def test_another_dispute_of_the_payment_is_found_on_the_way(office: Office) -> None:
    attempt = office.disputed().attempts[0]
    office.stands(1, Outcome.WON)
    office.teller.known[office.payment(1)].append(say(attempt, Outcome.OPENED, "dp_2"))

    assert office.tick() == 2
    assert office.statuses() == ["won", "opened"]


def test_the_same_answer_again_changes_nothing(office: Office) -> None:
    office.disputed()
    office.tick()
    unchanged = "select count(*) from gateway_events union all select count(*) from ledger_entries"
    before = office.rows(unchanged)
    office.wait(HOUR)

    assert office.tick() == 1
    assert office.rows(unchanged) == before


def test_a_webhook_that_comes_after_the_answer_changes_nothing(office: Office) -> None:
    office.disputed().stands(1, Outcome.LOST)
    office.tick()
    with psycopg.connect(office.url, row_factory=dict_row) as db:
        desk = Desk(db, office.session)
        event = desk.dispute(office.attempts[0], "lost", gateway_dispute_id="dp_1")

    assert (event["status"], event["reason"]) == ("ignored", "the dispute is lost already")
    assert office.statuses() == ["lost"]


@pytest.mark.parametrize("at", range(1, len(CALLS) + 1))
@pytest.mark.parametrize("is_after", [False, True], ids=["before", "after"])
def test_a_process_that_dies_leaves_nothing_that_the_next_does_not_mend(
    office: Office, at: int, *, is_after: bool
) -> None:
    office.disputed().stands(1, Outcome.LOST)
    office.plan(at, is_after=is_after)
    with pytest.raises(CrashError):
        office.tick()
    assert office.fault.calls == [*CALLS[:at]]

    office.plan(0, is_after=False)
    office.wait(HOUR)
    office.tick()
    assert office.statuses() == ["lost"]
    assert office.is_complete()
    (booked,) = office.rows(
        "select count(*) as n from ledger_transactions where kind = 'dispute_lost'"
    )
    assert booked["n"] == 1


def test_two_that_ask_at_once_ask_about_different_ones(office: Office) -> None:
    office.disputed(2)
    (poll,) = office.ctx.hasura.run("BeginDisputePolls")
    asked = {"gateway": "stripe", "asked_before": datetime.fromisoformat(poll["begun_at"])}
    with (
        psycopg.connect(office.url, row_factory=dict_row) as one,
        psycopg.connect(office.url, row_factory=dict_row) as other,
    ):
        first = Desk(one, office.session).call("claim_dispute_check", **asked)
        second = Desk(other, office.session).call("claim_dispute_check", **asked)
        none = Desk(other, office.session).call("claim_dispute_check", **asked)

    assert [row["gateway_dispute_id"] for row in (*first, *second)] == ["dp_1", "dp_2"]
    assert none == []


def test_a_second_tick_during_the_first_books_nothing_twice(office: Office) -> None:
    office.disputed(2).stands(1, Outcome.LOST)
    office.stands(2, Outcome.WON)
    office.teller.meanwhile = [office.tick]
    office.tick()

    assert office.statuses() == ["lost", "won"]
    kinds = [row["kind"] for row in office.rows("select kind from ledger_transactions")]
    assert (kinds.count("dispute_lost"), kinds.count("dispute_won")) == (1, 1)


@pytest.mark.parametrize("changes", [{"gateway": "payu"}, {"x-hasura-livemode": "true"}])
def test_only_what_is_asked_for_is_claimed(office: Office, changes: dict[str, str]) -> None:
    office.disputed()
    gateway = changes.get("gateway", "stripe")
    with psycopg.connect(office.url, row_factory=dict_row) as db:
        desk = Desk(db, office.session | changes)
        asked = {"gateway": gateway, "asked_before": office.now()}

        assert desk.call("claim_dispute_check", **asked) == []


# Whom the others wait for


@dataclass
class Endless:
    """A gateway whose list has no end, and takes its time: three seconds each."""

    name: str = "oldpay"
    capabilities: frozenset[Capability] = frozenset({Capability.DISPUTES})
    seconds: float = 0

    def find_disputes(self, since: datetime) -> Iterator[Finding]:
        del since
        for number in range(10**6):
            self.seconds += 3
            yield say("somebody", Outcome.OPENED, f"dp_{number}")


def test_a_gateway_that_takes_its_time_leaves_the_others_theirs(
    office: Office, paid_by_oldpay: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    office.disputed().stands(1, Outcome.LOST)
    slow = Endless()
    paid_by_oldpay(office.url)
    monkeypatch.setattr("app.budget.monotonic", lambda: slow.seconds)
    budget.begin(budget.CRON_SECONDS_MAX)
    gateways = {"oldpay": slow, "stripe": office.teller}
    hasura = office.ctx.hasura
    check_disputes(context(hasura=hasura, gateway=gateways.__getitem__, now=office.now))
    budget.finish()

    share = (budget.CRON_SECONDS_MAX - budget.BOOKS_SECONDS) / 2
    assert slow.seconds == pytest.approx(share - budget.CALL_SECONDS_MIN, abs=3)
    assert office.rows("select status from disputes") == [{"status": "lost"}]
    (poll,) = office.rows("select complete_until from dispute_polls where gateway = 'stripe'")
    assert poll["complete_until"] is not None
