"""Disputes that no webhook told of: whom the cron asks, since when, and what it keeps."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from books import broken_invariants, settle
from in_process import CrashError, House
from money_back import Desk, listed
from psycopg.rows import dict_row

from app import budget
from app.config import ConfigError
from app.errors import GatewaySilentError, GatewayUnavailableError
from app.gateways import Capability, Finding, Money, Outcome, Subject
from app.payments import disputes as disputes_of
from app.payments.crons import check_disputes
from app.refunds.crons import check_refunds

OPENED_AT = datetime(2026, 11, 1, 8, 30, tzinfo=UTC)
POLL = "select ask_since, complete_until, clock_now() as now from dispute_polls"


def say(attempt_id: object, outcome: Outcome = Outcome.OPENED, number: int = 1) -> Finding:
    return Finding(
        subject=Subject.DISPUTE,
        outcome=outcome,
        gateway_dispute_id=f"dp_{number}",
        gateway_payment_id=f"pi_{attempt_id}",
        amount=Money(2500, "USD"),
        reason="fraudulent",
        opened_at=OPENED_AT,
    )


@dataclass
class Lister:
    """A gateway that lists disputes, and may fall silent in the middle of it."""

    listed: list[Finding] = field(default_factory=list)
    refunds: list[Finding] = field(default_factory=list)
    asked_for_refunds: list[datetime] = field(default_factory=list)
    capabilities: frozenset[Capability] = frozenset(Capability) - {Capability.PAYMENTS}
    asked: list[datetime] = field(default_factory=list)
    silent_after: int | None = None
    failure: Exception | None = None

    def find_new_refunds(self, since: datetime) -> Iterator[Finding]:
        self.asked_for_refunds.append(since)
        yield from self.refunds

    def find_refunds(self, gateway_payment_id: str) -> list[Finding]:
        return [one for one in self.refunds if one.gateway_payment_id == gateway_payment_id]

    def find_disputes(self, since: datetime) -> Iterator[Finding]:
        self.asked.append(since)
        if self.failure:
            raise self.failure
        for number, finding in enumerate(self.listed):
            if number == self.silent_after:
                raise GatewayUnavailableError("no answer")
            yield finding


@dataclass
class Office(House):
    """The service beside that gateway, and one paid purchase."""

    lister: Lister = field(default_factory=Lister)
    paid: dict[str, Any] = field(default_factory=dict)
    buyer: dict[str, str] = field(default_factory=dict)  # their session

    def peer(self) -> Lister:
        return self.lister

    def tick(self) -> int:
        return check_disputes(self.ctx)["kept"]

    def rows(self, query: str) -> list[dict[str, Any]]:
        with psycopg.connect(self.url, row_factory=dict_row) as db:
            return db.execute(query).fetchall()

    def poll(self) -> dict[str, Any]:
        (row,) = self.rows(POLL)
        return row


@pytest.fixture
def office(database: str) -> Office:
    with psycopg.connect(database, row_factory=dict_row) as db:
        tenant = settle(db)
        paid = Desk(db, tenant.session).paid()
    session = {"x-hasura-role": "service", "x-hasura-livemode": "false"}
    return Office(database, session, paid=paid, buyer=tenant.session)


def disputes(office: Office) -> list[tuple[str, str]]:
    rows = office.rows("select gateway_dispute_id, status from disputes order by 1")
    return [(row["gateway_dispute_id"], row["status"]) for row in rows]


def test_a_dispute_that_no_webhook_told_of_is_found(office: Office) -> None:
    office.lister.listed = [say(office.paid["payment_attempt_id"])]
    assert office.tick() == 1

    (dispute,) = office.rows("select * from disputes")
    assert (dispute["status"], dispute["opened_at"]) == ("opened", OPENED_AT)
    with psycopg.connect(office.url, row_factory=dict_row) as db:
        assert broken_invariants(db) == {}


def test_a_decision_that_no_webhook_told_of_is_found(office: Office) -> None:
    attempt = office.paid["payment_attempt_id"]
    office.lister.listed = [say(attempt)]
    office.tick()
    office.wait(30 * 86400)
    office.tick()
    office.wait(30 * 86400)
    office.lister.listed = [say(attempt, Outcome.LOST)]
    office.tick()

    assert disputes(office) == [("dp_1", "lost")]
    assert office.lister.asked[-1] == OPENED_AT  # the open one was asked about, old as it was


def test_the_list_is_asked_for_since_shortly_before_it_was_last_read_to_its_end(
    office: Office,
) -> None:
    """What was opened in that very second may bear its beginning, by a clock that is not ours."""
    office.tick()
    read = office.poll()
    assert read["now"] - office.lister.asked[0] > timedelta(days=179)
    assert timedelta() <= read["now"] - read["complete_until"] < timedelta(minutes=1)

    office.wait(3600)
    office.tick()
    assert read["complete_until"] - office.lister.asked[1] == timedelta(minutes=5)


def test_a_list_that_was_cut_short_is_asked_for_again(office: Office) -> None:
    office.tick()
    before = office.poll()["complete_until"]
    office.wait(3600)
    office.lister.listed = [
        say(office.paid["payment_attempt_id"]),
        say("somebody", number=2),
    ]
    office.lister.silent_after = 1

    assert office.tick() == 0
    assert disputes(office) == [("dp_1", "opened")]  # what was said is kept all the same
    assert office.poll()["complete_until"] == before


def test_a_list_for_which_there_is_no_time_is_asked_for_again(office: Office) -> None:
    (poll,) = office.ctx.hasura.run("BeginDisputePolls")
    found = say(office.paid["payment_attempt_id"])
    office.lister.listed = TakingAllTheTime([found, found])

    assert disputes_of.poll(office.ctx, poll) == 1  # what was said is kept
    budget.finish()
    assert office.poll()["complete_until"] is None
    office.lister.listed = [found]
    assert disputes_of.poll(office.ctx, poll) == 1
    assert office.poll()["complete_until"] is not None


class TakingAllTheTime(list[Finding]):
    """A list whose reader's time is up as soon as it has the first."""

    def __iter__(self) -> Iterator[Finding]:
        for finding in super().__iter__():
            budget.begin(0)
            yield finding


def test_the_same_list_again_changes_nothing(office: Office) -> None:
    office.lister.listed = [say(office.paid["payment_attempt_id"])]
    office.tick()
    before = office.rows("select (select count(*) from gateway_events) as inbox, * from disputes")
    office.tick()

    assert (
        office.rows("select (select count(*) from gateway_events) as inbox, * from disputes")
        == before
    )


def test_a_webhook_that_comes_after_the_poll_changes_nothing(office: Office) -> None:
    office.lister.listed = [say(office.paid["payment_attempt_id"])]
    office.tick()
    with psycopg.connect(office.url, row_factory=dict_row) as db:
        event = Desk(db, office.session).dispute(office.paid["payment_attempt_id"], "opened")

    assert (event["status"], event["reason"]) == ("ignored", "the dispute is opened already")
    assert disputes(office) == [("dp_1", "opened")]


def test_a_gateway_without_such_a_list_is_not_asked(office: Office) -> None:
    office.lister.capabilities = frozenset()

    assert office.tick() == 0
    assert office.lister.asked == []


def test_gateways_that_never_had_a_payment_are_not_asked(database: str) -> None:
    session = {"x-hasura-role": "service", "x-hasura-livemode": "false"}
    office = Office(database, session)

    assert office.tick() == 0
    assert office.rows(POLL) == []


def test_a_gateway_that_is_not_set_up_any_more_keeps_no_other_waiting(
    office: Office, paid_by_oldpay: Callable[[str], None]
) -> None:
    paid_by_oldpay(office.url)
    office.lister.listed = [say(office.paid["payment_attempt_id"])]
    ctx = office.ctx

    def gateway(name: str) -> Any:
        if name == "oldpay":
            raise ConfigError("missing settings: OLDPAY_KEY")
        return office.lister

    object.__setattr__(ctx, "gateway", gateway)
    assert check_disputes(ctx) == {"kept": 1}


def test_between_the_hours_nobody_is_asked(office: Office) -> None:
    for _ in range(3):
        office.tick()
        office.wait(1100)
    assert len(office.lister.asked) == 1

    office.wait(400)
    office.tick()
    assert len(office.lister.asked) == 2


def hint(office: Office, number: int = 1) -> str:
    """Somebody says that the purchase is disputed."""
    with psycopg.connect(office.url, row_factory=dict_row) as db:
        desk = Desk(db, office.session)
        attempt = office.paid["payment_attempt_id"]
        return str(desk.dispute(attempt, "hint", gateway_dispute_id=f"dp_{number}")["reason"])


def test_a_hint_has_the_list_read_at_the_next_tick_and_books_what_it_says(office: Office) -> None:
    office.tick()
    office.wait(600)
    assert hint(office) == "a hint that is followed"
    assert disputes(office) == []
    office.lister.listed = [say(office.paid["payment_attempt_id"])]
    office.tick()

    assert disputes(office) == [("dp_1", "opened")]
    listed = office.rows("select class from exceptions where resolved_at is null")
    assert listed == []


def test_a_hint_at_an_open_dispute_has_its_decision_asked_for(office: Office) -> None:
    attempt = office.paid["payment_attempt_id"]
    office.lister.listed = [say(attempt)]
    office.tick()
    office.wait(600)
    assert hint(office) == "a hint that is followed"
    office.lister.listed = [say(attempt, Outcome.LOST)]
    office.tick()

    assert disputes(office) == [("dp_1", "lost")]


def test_hints_by_the_hundred_have_the_list_read_every_five_minutes_and_no_more(
    office: Office,
) -> None:
    office.tick()
    for minute in range(11):
        for number in range(3):
            hint(office, number + 3 * minute)
        office.tick()
        office.wait(61)

    assert len(office.lister.asked) == 3


@pytest.mark.parametrize("outcome", [Outcome.WON, Outcome.LOST])
def test_a_hint_at_what_is_decided_asks_nobody(office: Office, outcome: Outcome) -> None:
    office.lister.listed = [say(office.paid["payment_attempt_id"], outcome)]
    office.tick()
    office.wait(600)

    assert hint(office) == "a hint without effect"
    office.tick()
    assert len(office.lister.asked) == 1


def test_silence_about_disputes_is_counted_and_ended_by_an_answer(office: Office) -> None:
    failing = "select operation, failures from gateway_circuits"
    office.lister.failure = GatewaySilentError("no answer")
    office.tick()
    assert office.rows(failing) == [{"operation": "dispute", "failures": 1}]

    office.lister.failure = GatewayUnavailableError("too many requests")
    office.wait(3601)
    office.tick()
    assert office.rows(failing) == [{"operation": "dispute", "failures": 1}]

    office.lister.failure = None
    office.wait(3601)
    office.tick()
    assert office.rows(failing) == []


def unreadable(number: int | None, payment: str | None = None) -> Finding:
    """An entry of the list that is not as documented."""
    return Finding(
        subject=Subject.DISPUTE,
        outcome=Outcome.UNREADABLE,
        gateway_dispute_id=number and f"dp_{number}",
        gateway_payment_id=payment,
        failure_message=None if number else '"a dispute"',
    )


OPEN_EXCEPTIONS = "select class, detail from exceptions where resolved_at is null order by detail"


def test_an_entry_that_cannot_be_read_is_listed_once_and_keeps_no_other_waiting(
    office: Office,
) -> None:
    good = say(office.paid["payment_attempt_id"])
    office.lister.listed = [unreadable(None), unreadable(7), good, unreadable(8, "pi_nobody")]
    for _ in range(3):
        assert office.tick() == 4
        office.wait(3601)

    assert disputes(office) == [("dp_1", "opened")]
    assert office.poll()["complete_until"] is not None
    assert office.rows(OPEN_EXCEPTIONS) == [
        {"class": "unreadable-dispute", "detail": said} for said in ('"a dispute"', "dp_7", "dp_8")
    ]
    with psycopg.connect(office.url, row_factory=dict_row) as db:
        assert broken_invariants(db) == {}


@pytest.mark.parametrize("is_named", [False, True])
def test_what_can_be_read_later_is_booked_and_off_the_list(office: Office, is_named: bool) -> None:
    attempt = office.paid["payment_attempt_id"]
    office.lister.listed = [unreadable(1, f"pi_{attempt}" if is_named else None), unreadable(2)]
    office.tick()
    office.wait(3601)
    office.lister.listed = [say(attempt)]
    office.tick()

    assert disputes(office) == [("dp_1", "opened")]
    assert office.rows(OPEN_EXCEPTIONS) == [{"class": "unreadable-dispute", "detail": "dp_2"}]


@pytest.mark.parametrize("is_after", [False, True])
@pytest.mark.parametrize("at", range(1, 5))
def test_wherever_the_poll_dies_the_next_one_lists_and_books_once(
    office: Office, at: int, is_after: bool
) -> None:
    office.lister.listed = [unreadable(7), say(office.paid["payment_attempt_id"])]
    office.plan(at, is_after=is_after)
    with pytest.raises(CrashError):
        office.tick()
    office.plan(0, is_after=False)
    office.wait(3601)
    office.tick()

    assert disputes(office) == [("dp_1", "opened")]
    assert office.rows(OPEN_EXCEPTIONS) == [{"class": "unreadable-dispute", "detail": "dp_7"}]


def test_nonsense_of_one_gateway_keeps_no_other_waiting(
    office: Office, paid_by_oldpay: Callable[[str], None]
) -> None:
    paid_by_oldpay(office.url)
    office.lister.listed = [say(office.paid["payment_attempt_id"])]
    broken = Lister(failure=KeyError("id"))
    ctx = office.ctx
    object.__setattr__(ctx, "gateway", {"oldpay": broken, "stripe": office.lister}.__getitem__)

    assert check_disputes(ctx) == {"kept": 1}
    assert len(broken.asked) == 1


def refunded(attempt_id: object, name: str = "re_1", **changes: Any) -> Finding:
    """A refund that somebody made at the gateway."""
    said: dict[str, Any] = {
        "outcome": Outcome.SUCCEEDED,
        "gateway_payment_id": f"pi_{attempt_id}",
        "gateway_refund_id": name,
        "amount": Money(1000, "USD"),
    }
    return Finding(subject=Subject.REFUND, **(said | changes))


def refunds(office: Office) -> list[tuple[str, str]]:
    rows = office.rows("select requested_by, status from refunds")
    return [(row["requested_by"], row["status"]) for row in rows]


def test_a_refund_made_there_that_no_webhook_told_of_is_booked_once(office: Office) -> None:
    attempt = office.paid["payment_attempt_id"]
    office.lister.refunds = [refunded(attempt), refunded("somebody-else", "re_2")]
    assert office.tick() == 1
    with psycopg.connect(office.url, row_factory=dict_row) as db:  # its webhook, late
        desk = Desk(db, office.session)
        said = {"subject": "refund", "outcome": "succeeded", "gateway_refund_id": "re_1"}
        named = {"gateway_payment_id": f"pi_{attempt}", "amount": 1000, "currency": "USD"}
        assert desk.tell(**said, **named)["status"] == "ignored"
    office.wait(3600)
    assert office.tick() == 0

    assert refunds(office) == [("gateway", "succeeded")]
    with psycopg.connect(office.url, row_factory=dict_row) as db:
        assert (broken_invariants(db), listed(db)) == ({}, set())


def test_a_refund_that_was_listed_before_its_payment_was_known_is_found(office: Office) -> None:
    """The shop saw in the dashboard what no message had told us, and sent it back there."""
    with psycopg.connect(office.url, row_factory=dict_row) as db:
        desk = Desk(db, office.buyer)
        late = desk.open(key="late")["payment_attempt_id"]
    office.lister.refunds = [refunded(late)]
    assert office.tick() == 0
    with psycopg.connect(office.url, row_factory=dict_row) as db:
        desk = Desk(db, office.buyer)
        desk.receive(late, amount=2500, gateway_session_id=None)
        desk.paid(key="since")

    assert check_refunds(office.ctx) == {"asked": 1, "answered": 1}
    assert refunds(office) == [("gateway", "succeeded")]


def test_new_refunds_are_asked_for_since_the_list_was_last_read_however_old_a_dispute_is(
    office: Office,
) -> None:
    office.lister.listed = [say(office.paid["payment_attempt_id"])]
    office.tick()
    read = office.poll()["complete_until"]
    office.wait(30 * 86400)
    office.tick()

    first, second = office.lister.asked_for_refunds
    assert timedelta(hours=23) < read - first < timedelta(hours=25)
    assert read - second == timedelta(minutes=5)


@pytest.mark.parametrize(
    "changes",
    [
        {"outcome": Outcome.FAILED},
        {"outcome": Outcome.UNREADABLE, "gateway_refund_id": None, "gateway_payment_id": None},
    ],
)
def test_a_refund_that_came_to_nothing_or_cannot_be_read_keeps_no_other_waiting(
    office: Office, changes: dict[str, Any]
) -> None:
    attempt = office.paid["payment_attempt_id"]
    office.lister.refunds = [refunded(attempt, "re_9", **changes), refunded(attempt)]

    assert office.tick() == 1
    assert refunds(office) == [("gateway", "succeeded")]
    assert office.poll()["complete_until"] is not None


@pytest.fixture
def ours(office: Office) -> str:
    """The id of a refund that we asked for; no answer has told its name at the gateway."""
    with psycopg.connect(office.url, row_factory=dict_row) as db:
        tenant = db.execute("select * from payment_intents").fetchone()
        session = office.session | {
            "x-hasura-organization-id": str(tenant["organization_id"]),
            "x-hasura-actor-role": "finance",
        }
        return str(Desk(db, session).refund(tenant["id"], amount=1000)["id"])


def test_a_refund_of_ours_in_the_list_is_not_booked_as_somebody_elses(
    office: Office, ours: str
) -> None:
    attempt = office.paid["payment_attempt_id"]
    office.lister.refunds = [refunded(attempt, refund_id=ours)]

    assert office.tick() == 0
    assert [status for _, status in refunds(office)] == ["created"]


def test_a_refund_made_there_is_booked_beside_one_of_ours_whose_name_there_is_not_known(
    office: Office, ours: str
) -> None:
    attempt = office.paid["payment_attempt_id"]
    office.lister.refunds = [refunded(attempt, refund_id=ours), refunded(attempt, "re_2")]

    assert office.tick() == 1
    assert sorted(status for _, status in refunds(office)) == ["created", "succeeded"]
