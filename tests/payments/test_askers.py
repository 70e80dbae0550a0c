"""Several ask at once about what is due: each of it once, within the time, and no busy gateway."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from typing import Any

import psycopg
import pytest
from books import Money, broken_invariants, settle
from in_process import ENVIRON, CrashError, Fault, Hasura, context
from psycopg.rows import dict_row

from app import budget, log
from app.autopay.crons import check_autopay_setups
from app.errors import GatewayBusyError, GatewaySilentError, ServiceUnavailableError
from app.gateways import Capability, Finding, Outcome, Query, Subject
from app.money import Money as Amount
from app.payments import checks, crons
from app.refunds import sending
from app.refunds.crons import check_refunds

from .test_janitor import NOW, attempt

PATIENCE = 60.0  # of a test with threads that never come
EIGHT = ENVIRON | {"GATEWAY_ASKERS": "8"}


class Crowd:
    """Lets nobody through before so many are there; then everybody."""

    def __init__(self, size: int) -> None:
        self.size, self.there, self.most = size, 0, 0
        self._lock, self._full = threading.Lock(), threading.Event()

    def __enter__(self) -> None:
        with self._lock:
            self.there += 1
            self.most = max(self.most, self.there)
            if self.there == self.size:
                self._full.set()
        assert self._full.wait(PATIENCE), f"{self.there} came, and not {self.size}"

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self.there -= 1


class House:
    """A database of attempts that are due, and gateways that do as they are told."""

    capabilities = frozenset[Capability]()

    def __init__(self, due: int, crowd: int, environ: dict[str, str] = EIGHT) -> None:
        self.due = [attempt(number) for number in range(due)]
        self.crowd = Crowd(crowd)
        self.asked: Counter[str] = Counter()
        self.claims: list[int] = []
        self.seen: set[tuple[Any, ...]] = set()
        self.before: Callable[[str], None] = lambda _: None
        self.claiming: Callable[[], None] = lambda: None
        self.again: list[str] = []
        self._lock = threading.Lock()
        self.ctx = context(hasura=self, gateway=lambda _: self, now=lambda: NOW, environ=environ)

    def run(self, name: str, **asked: Any) -> list[dict[str, Any]]:
        if name == "AskPaymentsAgain":
            self.again += asked["attemptIds"]
            return []
        assert name == "ClaimPaymentChecks"
        self.claiming()
        with self._lock:
            self.claims.append(asked["limit"])
            may_be = [row for row in self.due if row["gateway"] not in asked["paused"]]
            claimed = may_be[: asked["limit"]]
            self.due = [row for row in self.due if row not in claimed]
        return claimed

    def find(self, query: Query) -> None:
        with self._lock:
            self.asked[query.payment_attempt_id] += 1
            self.seen.add((threading.get_ident(), log.request_id.get(), budget.left() < 28))
        with self.crowd:
            self.before(query.payment_attempt_id)

    def tick(self) -> dict[str, int]:
        return crons.check_payments(self.ctx)


@pytest.fixture(autouse=True)
def request_of_a_cron() -> Iterator[None]:
    """As the service begins one."""
    named = log.request_id.set("r-1")
    budget.begin(budget.CRON_SECONDS_MAX)
    yield
    budget.finish()
    log.request_id.reset(named)
    assert not [one.name for one in threading.enumerate() if one.name.startswith("asker")]


def test_as_many_are_on_their_way_as_there_are_askers_and_each_is_asked_once() -> None:
    house = House(40, crowd=8)

    assert house.tick() == {"asked": 40, "answered": 40}
    assert house.asked == Counter(f"attempt-{number}" for number in range(40))
    assert house.crowd.most == 8
    assert sorted(house.claims) == [1] * 40 + [8]  # the last eight of one find nothing


def test_each_asker_has_the_requests_id_and_its_time() -> None:
    house = House(40, crowd=8)
    house.tick()

    threads = {thread for thread, *_ in house.seen}
    assert len(threads) == 8
    assert {(name, has_end) for _, name, has_end in house.seen} == {("r-1", True)}


def test_one_asker_is_the_request_itself() -> None:
    house = House(5, crowd=1, environ=ENVIRON | {"GATEWAY_ASKERS": "1"})
    house.tick()

    assert house.seen == {(threading.get_ident(), "r-1", True)}
    assert house.claims == [1] * 6


@pytest.mark.parametrize("due", [0, 1])
def test_no_thread_is_made_where_there_is_no_work_for_two(due: int) -> None:
    house = House(due, crowd=1)
    house.tick()

    assert {thread for thread, *_ in house.seen} <= {threading.get_ident()}
    assert len(house.claims) == 1 + due


def test_no_asker_begins_what_it_cannot_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """All are waited for, and what nobody has time for is claimed by nobody."""
    house, began = House(40, crowd=8), time.monotonic()
    late = [began]
    monkeypatch.setattr("app.budget.monotonic", lambda: late[0])
    budget.begin(budget.CRON_SECONDS_MAX)

    def pass_time(_: str) -> None:
        late[0] = began + 12.5  # a call may take 11.05 s, and the books want 4

    house.before = pass_time
    assert house.tick() == {"asked": 8, "answered": 8}
    assert len(house.due) == 32


def test_one_askers_failure_ends_no_others_work_and_is_the_answer() -> None:
    house = House(40, crowd=8)
    failures = iter([ServiceUnavailableError("no database")])

    def fail_once() -> None:
        if house.claims and (failure := next(failures, None)):
            raise failure

    house.claiming = fail_once
    with pytest.raises(ServiceUnavailableError):
        house.tick()
    assert house.due == []
    assert set(house.asked.values()) == {1}
    assert len(house.asked) == 40


@pytest.mark.parametrize("seconds", [None, 5])
def test_a_gateway_that_was_asked_too_often_is_asked_no_more(seconds: int | None) -> None:
    """By no asker; the other gateways are asked about all that is due."""
    house = House(60, crowd=8)
    busy = {f"attempt-{number}" for number in range(40)}
    house.due = [
        row | {"gateway": "razorpay" if row["id"] in busy else "stripe"} for row in house.due
    ]

    def refuse(attempt_id: str) -> None:
        if attempt_id in busy:
            message = "Razorpay did not answer (429)"
            raise GatewayBusyError(message, seconds)

    house.before = refuse
    house.tick()
    assert len(busy & set(house.asked)) <= 8
    assert set(house.asked) - busy == {f"attempt-{number}" for number in range(40, 60)}
    assert sorted(house.again) == sorted(busy & set(house.asked))
    assert {row["gateway"] for row in house.due} == {"razorpay"}


def test_a_pause_is_over_when_the_gateway_said_or_after_half_a_minute(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = [1000.0]
    monkeypatch.setattr("app.pauses.monotonic", lambda: now[0])
    pauses = context().pauses
    pauses.note("stripe", GatewayBusyError("429"))
    pauses.note("payu", GatewayBusyError("429", 120))
    pauses.note("cashfree", GatewayBusyError("429", 86_400))
    pauses.note("razorpay", GatewaySilentError("500"))

    def after(seconds: float) -> list[str]:
        now[0] = 1000.0 + seconds
        return pauses.gateways

    assert after(29) == ["cashfree", "payu", "stripe"]
    assert after(31) == after(119) == ["cashfree", "payu"]
    assert after(121) == after(599) == ["cashfree"]
    assert after(601) == []


ROW: dict[str, Any] = attempt(1) | {
    "payment_attempt_id": "a-1",
    "requested_by": "service",
    "gateway_payment_id": "pi_1",
    "gateway_customer_id": "cus_1",
    "gateway_payment_method_id": "pm_1",
    "gateway_session_id": "cs_1",
    "payment_attempt": {"gateway_payment_id": "pi_1", "is_surplus": False},
    "amount": "100",
    "amount_to_capture": "100",
    "capture_method": "automatic",
    "reason": "duplicate",
    "title": "A booking",
    "email": "ada@example.com",
}


class Busy:
    """A gateway that was asked too often, whatever it is asked; and one row of everything."""

    name = "stripe"
    capabilities = frozenset(Capability)

    def __init__(self) -> None:
        self.ctx = context(hasura=self, gateway=lambda _: self, now=lambda: NOW)
        self.due = [dict(ROW)]

    def run(self, name: str, **_asked: Any) -> list[dict[str, Any]]:
        if name.startswith("Claim"):
            claimed, self.due = self.due, []
            return claimed
        return [{"id": "x", "status": "unknown"}]

    def one(self, name: str, **asked: Any) -> dict[str, Any]:
        return self.run(name, **asked)[0]

    def __getattr__(self, _operation: str) -> Callable[..., None]:
        def refuse(*_: object) -> None:
            message = "Stripe did not answer (429)"
            raise GatewayBusyError(message)

        return refuse


@pytest.mark.parametrize(
    "ask",
    [
        crons.check_payments,
        crons.charge_orders,
        crons.store_missing_receipts,
        check_refunds,
        check_autopay_setups,
        partial(checks.take, attempt=dict(ROW)),
        partial(sending.send, row=dict(ROW)),
    ],
    ids=["payment", "charge", "receipt", "refund", "setup", "capture", "new refund"],
)
def test_whoever_hears_that_it_was_too_often_leaves_the_gateway_alone(ask: Any) -> None:
    busy = Busy()
    with suppress(GatewayBusyError):
        ask(busy.ctx)

    assert busy.ctx.pauses.gateways == ["stripe"]


# On a real database


class Paid:
    """Attempts that were paid unheard of, and a gateway that says so, or nothing."""

    capabilities = frozenset[Capability]()

    def __init__(self, url: str, due: int) -> None:
        self.url, self.fault = url, Fault()
        self.is_silent = False
        self.asked: Counter[str] = Counter()
        self.crowd = Crowd(8)
        self._lock = threading.Lock()
        with psycopg.connect(url, row_factory=dict_row) as db:
            tenant = settle(db)
            self.session = tenant.session
            money = Money(db, tenant.session)
            for number in range(due):
                opened = money.open(key=f"key-{number}")["payment_attempt_id"]
                money.record(opened, f"cs_{number}")
        self.later(60)

    def find(self, query: Query) -> Finding | None:
        return self.fault.around("gateway.find", lambda: self._find(query))

    def _find(self, query: Query) -> Finding | None:
        with self._lock:
            self.asked[query.payment_attempt_id] += 1
        if self.is_silent:
            with self.crowd:
                message = "no answer"
                raise GatewaySilentError(message)
        amount = Amount(2500, "USD")
        return Finding(
            subject=Subject.PAYMENT,
            outcome=Outcome.PAID,
            payment_attempt_id=query.payment_attempt_id,
            gateway_payment_id=f"pi_{query.payment_attempt_id}",
            amount=amount,
            captured_amount=amount,
        )

    def tick(self) -> dict[str, int]:
        hasura = Shaped(self.url, self.session, self.fault)
        made = context(hasura=hasura, gateway=lambda _: self, now=self.now, environ=EIGHT)
        return crons.check_payments(made)

    def now(self) -> datetime:
        (row,) = self.sql("select clock_now() as now")
        now: datetime = row["now"]
        return now.astimezone(UTC)

    def later(self, seconds: int) -> None:
        self.sql("update clock set skew_seconds = skew_seconds + %s returning 1", seconds)

    def sql(self, query: str, *values: object) -> list[dict[str, Any]]:
        with psycopg.connect(self.url, row_factory=dict_row) as db:
            return db.execute(query, values).fetchall()

    def statuses(self) -> Counter[str]:
        rows = self.sql("select status from payment_attempts")
        return Counter(row["status"] for row in rows)

    def check(self) -> None:
        with psycopg.connect(self.url, row_factory=dict_row) as db:
            assert broken_invariants(db) == {}
        rows = self.sql("select amount_captured from payment_attempts")
        assert {row["amount_captured"] for row in rows} == {2500}
        (row,) = self.sql("select count(*) from refunds")
        assert row["count"] == 0  # none was booked twice


class Shaped(Hasura):
    def _shape(self, db: Any, row: dict[str, Any]) -> dict[str, Any]:
        shaped = super()._shape(db, row)
        if "next_check_at" in row:
            shaped |= {"checkout_session": None, "payment_method": None}
        return shaped


@pytest.mark.thorough
def test_eight_askers_book_each_payment_once(database: str) -> None:
    house = Paid(database, due=40)

    assert house.tick() == {"asked": 40, "answered": 40}
    assert set(house.asked.values()) == {1}
    assert house.statuses() == Counter(captured=40)
    house.check()


@pytest.mark.thorough
@pytest.mark.parametrize("is_after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("call", [2, 9, 17, 30])
def test_who_dies_with_eight_questions_loses_none(
    database: str, call: int, *, is_after: bool
) -> None:
    """What was claimed comes again by its schedule, and what was found is booked once."""
    house = Paid(database, due=16)
    house.fault.at, house.fault.is_after = call, is_after
    with pytest.raises(CrashError):
        house.tick()

    house.fault.at = 0
    house.later(130)  # the second question is two minutes after the first
    house.tick()
    assert house.statuses() == Counter(captured=16)
    house.check()


@pytest.mark.thorough
def test_a_gateway_that_falls_silent_is_left_alone_by_all_askers(database: str) -> None:
    """Five silences are enough, and eight were on their way: then nobody asks."""
    house = Paid(database, due=40)
    house.is_silent = True

    assert house.tick()["answered"] == 0
    assert sum(house.asked.values()) == 8
    rows = house.sql("select checks, next_check_at <= clock_now() as is_due from payment_attempts")
    assert Counter((row["checks"], row["is_due"]) for row in rows)[0, True] == 32
