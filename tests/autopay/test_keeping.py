"""Answers that are kept together: all of them or none, and what must come alone comes alone."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from itertools import count
from threading import Event
from typing import Any

import psycopg
import pytest
from books import Connection, Money, Tenant, books_of, broken_invariants, settle
from in_process import CrashError
from mandates import Autopay
from payers import Town, neighbour

from app.autopay.crons import run_autopay
from app.gateways import Finding
from app.graphql import QueryError
from app.money import Money as Amount

DUE = "2027-06-15T09:00Z"
PAYERS = 3


@pytest.fixture
def town(database: str) -> Town:
    return Town(database, payers=PAYERS)


class Patient(ThreadPoolExecutor):
    """Begins when the answers of all payers wait."""

    def __init__(self, size: int) -> None:
        super().__init__(size)
        self.missing = count(PAYERS - 1, -1)
        self.all_wait = Event()

    def submit(self, work: Callable[..., Any], *given: Any) -> Future[Any]:
        if next(self.missing) == 0:
            self.all_wait.set()
        return super().submit(self.begin, work, *given)

    def begin(self, work: Callable[..., Any], *given: Any) -> Any:
        assert self.all_wait.wait(60)
        return work(*given)


@pytest.fixture(autouse=True)
def together(monkeypatch) -> None:
    """Have the answers of all payers wait for each other."""
    monkeypatch.setattr("app.autopay.keeping.ThreadPoolExecutor", Patient)


def bank_says(town: Town, monkeypatch: pytest.MonkeyPatch, **changes: object) -> None:
    """Change what the gateway says of the first charge it is asked for."""
    charge = town.bank.charged

    def changed(saved: Any) -> Finding:
        found = charge(saved)
        return replace(found, **changes) if saved is town.bank.asked[0] else found

    monkeypatch.setattr(town.bank, "charged", changed)


def test_answers_that_wait_are_kept_in_one_call(town: Town) -> None:
    town.at(DUE)
    assert town.tick() == {"claimed": 3, "paid": 3}

    assert town.fault.calls.count("ReceiveGatewayEvents") == 1
    assert "ReceiveGatewayEvent" not in town.fault.calls
    assert town.count("gateway_events where status = 'applied' and type = 'answer'") == 3
    town.check()


@pytest.mark.parametrize("is_after", [False, True], ids=["before", "after"])
def test_the_service_may_die_while_answers_are_kept(town: Town, *, is_after: bool) -> None:
    town.at(DUE)
    town.plan(2 + 2 + 3 + 1, is_after=is_after)
    with pytest.raises(CrashError):
        town.tick()
    assert town.count("autopay_charges where status = 'succeeded'") == (3 if is_after else 0)

    town.plan(0, is_after=False)
    town.at("2027-06-15T09:05Z")
    town.tick()
    town.check()
    assert len({charge.id for charge in town.bank.asked}) == 3


def test_the_same_answers_again_change_nothing(town: Town) -> None:
    town.at(DUE)
    town.tick()
    with town.connect() as db:
        db.execute("update autopay_charges set status = status, lease_until = null")
        answers = db.execute(
            "select jsonb_agg(to_jsonb(gateway_events)) as told from gateway_events"
            " where type = 'answer'"
        ).fetchone()["told"]
    assert town.context().hasura.run("ReceiveGatewayEvents", messages=in_json(answers)) == []
    again = [each | {"event_id": f"{each['event_id']} again"} for each in answers]
    kept = town.context().hasura.run("ReceiveGatewayEvents", messages=in_json(again))

    assert len(kept) == 3
    assert town.count("gateway_events where reason = 'the attempt is captured already'") == 3
    town.check()


def in_json(value: object) -> psycopg.types.json.Jsonb:
    return psycopg.types.json.Jsonb(value)


def test_another_amount_is_kept_alone_and_parked(town: Town, monkeypatch) -> None:
    bank_says(town, monkeypatch, amount=Amount(1, "USD"), captured_amount=Amount(1, "USD"))
    town.at(DUE)
    town.tick()

    assert town.fault.calls.count("ReceiveGatewayEvents") == 1
    assert town.fault.calls.count("ReceiveGatewayEvent") == 1
    assert town.count("autopay_charges where status = 'succeeded'") == 2
    assert town.count("exceptions where class = 'amount-mismatch'") == 1


def test_a_payment_that_is_called_off_is_kept_alone_as_a_surplus(town: Town, monkeypatch) -> None:
    charge = town.bank.charged

    def call_off(saved: Any) -> Finding:
        if not town.bank.asked:
            with town.connect() as db:
                db.execute(
                    "update payment_intents set status = 'canceled' where id = ("
                    "select payment_intent_id from payment_attempts where id = %s)",
                    [saved.id],
                )
        return charge(saved)

    monkeypatch.setattr(town.bank, "charged", call_off)
    monkeypatch.setattr("app.autopay.charging.WORKERS", 1)
    town.at(DUE)
    town.tick()

    assert town.fault.calls.count("ReceiveGatewayEvent") == 1
    assert town.count("payment_attempts where is_surplus") == 1
    assert town.count("exceptions where class = 'surplus-payment'") == 1


@pytest.mark.parametrize("is_kept", [False, True])
def test_answers_of_which_nobody_hears_that_they_are_kept_are_kept_alone(
    town: Town, monkeypatch, *, is_kept: bool
) -> None:
    context = town.context()
    run = context.hasura.run

    def refuse(name: str, **variables: Any) -> Any:
        if name == "ReceiveGatewayEvents":
            if is_kept:
                run(name, **variables)
            message = "one of them is not booked, or the answer is lost"
            raise QueryError(message)
        return run(name, **variables)

    monkeypatch.setattr(context.hasura, "run", refuse)
    town.at(DUE)
    context.hasura.run("MaterialiseAutopayCharges", limit=9)

    assert run_autopay(context) == {"claimed": 3, "paid": 3}
    assert town.fault.calls.count("ReceiveGatewayEvent") == 3
    town.check()


def pay(autopay: Autopay, *, size: int) -> dict[str, list[str]]:
    """Begin and keep so many charges in a call, and answer what the books say then."""
    claims = autopay.claim()
    parts = [claims[place : place + size] for place in range(0, len(claims), size)]
    orders = [order for part in parts for order in autopay.begin(part)]
    if size == 1:
        for order in orders:
            said = autopay.answer(order, receipt_url="https://pay.example/receipt")
            assert said["reason"] is None
    else:
        assert len(autopay.answer_together(orders)) == 4
    autopay.db.execute("select check_constraints_now()")
    assert broken_invariants(autopay.db) == {}
    return books_of(autopay.db)


@pytest.mark.parametrize("days", [None, 90])
def test_together_or_alone_the_books_are_the_same(
    db: Connection, tenant: Tenant, days: int | None
) -> None:
    """Of three organisations; also where credits expire, and when all accounts are there."""
    tenants = [tenant, neighbour(db, tenant), settle(db), settle(db)]
    payers = [Autopay(db, Money(db, each.session), each) for each in tenants]
    payers[0].at("2027-06-01T12:00Z")
    if days:
        db.execute(
            "insert into system_settings values (%s, 'credits_expire_after_days', %s)",
            [tenant.organization_id, days],
        )
    for payer in payers:
        payer.set_up()
    for month in ("06", "07"):
        payers[0].at(f"2027-{month}-15T09:00Z")
        payers[0].materialise()
        db.execute("savepoint due")
        alone = pay(payers[0], size=1)
        db.execute("rollback to due")
        together = pay(payers[0], size=4)

        assert len(together["credit_lots"]) == 4 * (int(month) - 5)
        assert {name: rows for name, rows in together.items() if rows != alone[name]} == {}
