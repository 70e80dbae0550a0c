"""A gateway that takes the whole only, and a house that dies anywhere on the way to it."""

from contextlib import suppress
from typing import Any

import psycopg
import pytest
from books import Money, broken_invariants, settle
from in_process import CrashError, Fault, Hasura, context
from psycopg.rows import dict_row

from app.errors import AppError, GatewayRefusedError, GatewayUnavailableError
from app.gateways import Capability, Finding, Outcome, Query, Subject
from app.gateways import Money as Amount
from app.payments import checks
from app.payments.actions import capture_payment
from app.payments.schemas import CapturePaymentSchema

CALLS_MAX = 5  # more than a capture makes


class Bank:
    """Holds a payment. `takes_parts` is what it says it does; it never does."""

    def __init__(self, fault: Fault, *, takes_parts: bool) -> None:
        self.fault = fault
        parts = {Capability.PARTS} if takes_parts else set()
        self.capabilities = frozenset({Capability.AUTHORIZE} | parts)
        self.taken = 0
        self.asked: list[int] = []
        self.is_silent = False

    def capture(self, attempt_id: str, payment_id: str, amount: Amount) -> Finding:
        return self.fault.around(
            "capture", lambda: self._capture(attempt_id, payment_id, amount.amount)
        )

    def _capture(self, attempt_id: str, payment_id: str, amount: int) -> Finding:
        self.asked.append(amount)
        if self.is_silent:
            message = "no answer"
            raise GatewayUnavailableError(message)
        if amount != 2500:
            message = "it takes the whole only"
            raise GatewayRefusedError(message)
        self.taken = amount
        return self._finding(attempt_id, payment_id)

    def find(self, query: Query) -> Finding:
        return self._finding(query.payment_attempt_id, str(query.gateway_payment_id))

    def _finding(self, attempt_id: str, payment_id: str) -> Finding:
        return Finding(
            subject=Subject.PAYMENT,
            outcome=Outcome.PAID if self.taken else Outcome.AUTHORIZED,
            payment_attempt_id=attempt_id,
            gateway_payment_id=payment_id,
            amount=Amount(2500, "USD"),
            captured_amount=Amount(self.taken, "USD"),
        )


class House:
    """An order whose money is held, in a real database."""

    def __init__(self, url: str, capture_method: str = "manual", *, takes_parts: bool) -> None:
        self.url, self.fault = url, Fault()
        self.bank = Bank(self.fault, takes_parts=takes_parts)
        with psycopg.connect(url, row_factory=dict_row) as db:
            tenant = settle(db)
            self.session = tenant.session | {
                "x-hasura-organization-id": str(tenant.organization_id),
                "x-hasura-actor-role": "finance",
            }
            intent = db.execute(
                "insert into payment_intents (organization_id, livemode, customer_id, purpose,"
                " amount, currency, capture_method)"
                " values (%s, false, %s, 'order', 2500, 'USD', %s) returning id",
                [tenant.organization_id, tenant.customer_id, capture_method],
            ).fetchone()
            attempt = db.execute(
                "select attempt.* from payment_intents as intent,"
                " open_payment_attempt(intent, 'stripe', null) as attempt where intent.id = %s",
                [intent["id"]],
            ).fetchone()
            Money(db, tenant.session).receive(attempt["id"], "authorized")
        self.intent_id = str(intent["id"])

    @property
    def ctx(self) -> Any:
        hasura = Hasura(self.url, self.session, self.fault)
        return context(hasura=hasura, gateway=lambda _: self.bank, now=self.now)

    def now(self) -> Any:
        return self.row("select clock_now() as now")["now"]

    def row(self, query: str) -> dict[str, Any]:
        with psycopg.connect(self.url, row_factory=dict_row) as db:
            (row,) = db.execute(query).fetchall()
            return row

    def capture(self, amount: int | None) -> str:
        asked = {"payment_intent_id": self.intent_id, "amount": amount}
        return str(capture_payment(self.ctx, CapturePaymentSchema().load(asked))["status"])

    def tick(self) -> None:
        """Have the janitor come, once it is time."""
        with psycopg.connect(self.url) as db:
            db.execute("update clock set skew_seconds = skew_seconds + 30")
        ctx = self.ctx
        for attempt in ctx.hasura.run("ClaimPaymentChecks", limit=1):
            intent = {"status": self.row("select status from payment_intents")["status"]}
            beside = {"checkout_session": None, "payment_method": None, "payment_intent": intent}
            checks.check(ctx, attempt | beside)

    def is_sound(self) -> bool:
        with psycopg.connect(self.url, row_factory=dict_row) as db:
            return broken_invariants(db) == {}


@pytest.fixture(params=range(2 * CALLS_MAX))
def death(request: pytest.FixtureRequest) -> tuple[int, bool]:
    """The call at which the house dies, and whether after its effect."""
    number: int = request.param
    return number // 2 + 1, bool(number % 2)


def test_a_part_that_was_refused_keeps_nobody_from_taking_the_whole(database) -> None:
    house = House(database, takes_parts=True)
    with pytest.raises(GatewayRefusedError, match="the whole only"):
        house.capture(1000)

    house.tick()
    assert house.bank.asked == [1000]  # the janitor does not repeat it
    assert house.capture(None) == "paid"
    assert house.bank.asked == [1000, 2500]
    assert house.is_sound()


def test_a_part_is_refused_early_where_the_whole_only_is_taken(database) -> None:
    house = House(database, takes_parts=False)
    with pytest.raises(AppError, match="takes the whole of 2500 only"):
        house.capture(1000)

    assert house.bank.asked == []
    assert house.row("select amount_to_capture from payment_attempts")["amount_to_capture"] is None
    assert house.capture(2500) == "paid"


def test_what_nobody_knows_of_is_still_meant(database) -> None:
    house = House(database, takes_parts=True)
    house.bank.is_silent = True
    with pytest.raises(GatewayUnavailableError):
        house.capture(2500)

    assert house.row("select amount_to_capture from payment_attempts")["amount_to_capture"] == 2500
    house.bank.is_silent = False
    house.tick()
    assert house.row("select status from payment_intents")["status"] == "paid"
    assert house.is_sound()


@pytest.mark.thorough
def test_wherever_the_house_dies_a_refused_part_is_followed_by_the_whole(database, death) -> None:
    house = House(database, takes_parts=True)
    house.fault.at, house.fault.is_after = death
    with suppress(CrashError, AppError):
        house.capture(1000)
    house.fault.at = 0

    house.tick()  # finishes what was begun, and hears the no
    assert house.capture(2500) == "paid"
    assert set(house.bank.asked) <= {1000, 2500}
    assert house.is_sound()


@pytest.mark.thorough
def test_wherever_the_house_dies_what_was_to_be_taken_at_once_is_taken_once(
    database, death
) -> None:
    house = House(database, "automatic", takes_parts=False)
    house.fault.at, house.fault.is_after = death
    with suppress(CrashError):
        house.tick()
    house.fault.at = 0
    with psycopg.connect(database) as db:
        db.execute("update clock set skew_seconds = skew_seconds + 86400")
    house.tick()

    assert house.row("select status from payment_intents")["status"] == "paid"
    assert house.is_sound()


def test_what_is_to_be_taken_at_once_and_is_refused_waits_for_a_person(database) -> None:
    house = House(database, "automatic", takes_parts=False)
    house.bank.capabilities = frozenset()
    house.tick()

    listed = house.row("select class, detail from exceptions where resolved_at is null")
    assert listed["class"] == "payment-unresolved"
    assert "takes it by its dashboard only" in listed["detail"]
    house.bank.taken = 2500  # somebody takes it there
    with psycopg.connect(database) as db:
        db.execute("update clock set skew_seconds = skew_seconds + 86400")
    house.tick()
    assert house.row("select status from payment_intents")["status"] == "paid"
    assert house.row("select resolved_at is null as is_open from exceptions") == {"is_open": False}
    assert house.is_sound()
