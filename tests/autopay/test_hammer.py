"""Many workers at once: exact counts, whatever the order the database takes them in."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import psycopg
import pytest
from books import Money, Tenant, broken_invariants
from mandates import Autopay
from payers import Town
from psycopg.rows import dict_row

THREADS = 16
DUE = "2027-06-15T09:00Z"


def hammer(url: str, tenants: list[Tenant], work: Any) -> list[Any]:
    """Run work(autopay, thread) once from each of THREADS connections that start together."""
    barrier = Barrier(THREADS)

    def run(thread: int) -> Any:
        with psycopg.connect(url, row_factory=dict_row) as db:
            tenant = tenants[thread % len(tenants)]
            barrier.wait()
            return work(Autopay(db, Money(db, tenant.session), tenant), thread)

    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(run, range(THREADS)))


def begun(town: Town) -> list[dict[str, Any]]:
    """Begin every customer's charge when it is due."""
    town.at(DUE)
    with town.connect() as db:
        autopay = Autopay(db, Money(db, town.tenant.session), town.tenant)
        autopay.materialise()
        return autopay.begin(autopay.claim())


def a_worker(autopay: Autopay, _: int) -> int:
    """Tick both crons until nothing is left, a transaction a step."""
    done = 0
    while True:
        moved = autopay.money.call("materialise_autopay_charges", limit=7)
        autopay.db.commit()
        claims = autopay.claim(limit=5)
        autopay.db.commit()
        orders = autopay.begin(claims)
        autopay.db.commit()
        for order in orders:
            autopay.answer(order)
            autopay.db.commit()
        done += len(orders)
        if not moved and not claims:
            return done


def set_up(autopay: Autopay) -> None:
    """Set a mandate of the 20th up, a transaction a step."""
    setup = autopay.open(day_of_month=20)
    autopay.db.commit()
    autopay.record(setup["id"])
    autopay.db.commit()
    assert autopay.hear(setup["id"])["status"] == "applied"
    autopay.db.commit()


def test_16_workers_charge_100_mandates_once_each(database: str) -> None:
    town = Town(database, payers=100)
    town.at(DUE)
    done = hammer(database, town.tenants, a_worker)

    assert sum(done) == 100
    with town.connect() as db:
        charges = db.execute("select status, tries, fence from autopay_charges").fetchall()
        assert [(c["status"], c["tries"], c["fence"]) for c in charges] == [
            ("succeeded", 1, 1)
        ] * 100
        assert len(db.execute("select from payment_attempts").fetchall()) == 100
        assert broken_invariants(db) == {}


def test_leases_that_end_at_once_still_make_one_attempt_each(database: str) -> None:
    """Every worker takes every charge over, and all of them answer."""
    town = Town(database, payers=12)
    town.at(DUE)

    def work(autopay: Autopay, _: int) -> None:
        for _ in range(8):
            autopay.money.call("materialise_autopay_charges", limit=100)
            autopay.db.commit()
            claims = autopay.claim(lease_seconds=0)
            autopay.db.commit()
            orders = autopay.begin(claims)
            autopay.db.commit()
            for order in orders:
                autopay.answer(order, gateway_payment_id=f"pi_{order['payment_attempt_id']}")
                autopay.db.commit()

    hammer(database, town.tenants, work)

    with town.connect() as db:
        assert len(db.execute("select from payment_attempts").fetchall()) == 12
        entries = db.execute("select amount from credit_entries").fetchall()
        assert [entry["amount"] for entry in entries] == [250] * 12
        assert broken_invariants(db) == {}


def test_pauses_cancellations_setups_and_charges_do_not_wait_in_a_ring(database: str) -> None:
    town = Town(database, payers=8)
    town.at(DUE)

    def work(autopay: Autopay, thread: int) -> None:
        if thread < 8:
            a_worker(autopay, thread)
            return
        (mandate,) = autopay.db.execute(
            "select id from autopay_mandates where customer_id = %s and status = 'active'",
            [autopay.tenant.customer_id],
        ).fetchall()
        autopay.db.commit()
        for what in ("pause", "resume", "pause", "cancel"):
            autopay.money.call(f"{what}_autopay", autopay_mandate_id=mandate["id"])
            autopay.db.commit()
        set_up(autopay)

    hammer(database, town.tenants, work)  # a deadlock would be raised here

    town.at("2027-06-20T09:00Z")
    with town.connect() as db:
        a_worker(Autopay(db, Money(db, town.tenant.session), town.tenant), 0)
        paid = db.execute(
            "select customer_id, count(*) from autopay_charges where status = 'succeeded'"
            " group by customer_id"
        ).fetchall()
        assert [row["count"] for row in paid] == [1] * 8
        assert broken_invariants(db) == {}


@pytest.mark.parametrize("outcomes", [("soft", "paid"), ("hard", "paid"), ("soft", "hard")])
def test_contrary_answers_at_once_end_in_one_state(database: str, outcomes: Any) -> None:
    town = Town(database, payers=4)
    orders = begun(town)

    def work(autopay: Autopay, thread: int) -> None:
        for order in orders:
            autopay.answer(order, outcomes[thread % 2])
            autopay.db.commit()

    hammer(database, town.tenants, work)

    with town.connect() as db:
        assert broken_invariants(db) == {}
        states = db.execute("select status from autopay_charges").fetchall()
        if "paid" in outcomes:
            assert [row["status"] for row in states] == ["succeeded"] * 4


def test_answers_kept_together_and_webhooks_do_not_wait_in_a_ring(database: str) -> None:
    """Half of the threads keep answers in parts that overlap; half hear of the same, one by one."""
    town = Town(database, payers=48)
    orders = begun(town)

    def work(autopay: Autopay, thread: int) -> None:
        turned = orders[thread * 3 :] + orders[: thread * 3]
        for place in range(0, 48, 12):
            part = turned[place : place + 12]
            if thread % 2:
                autopay.answer_together(part[::-1])
                autopay.db.commit()
            for order in [] if thread % 2 else part:
                autopay.answer(order)
                autopay.db.commit()

    hammer(database, town.tenants, work)  # a deadlock would be raised here

    with town.connect() as db:
        entries = db.execute("select amount from credit_entries").fetchall()
        assert [entry["amount"] for entry in entries] == [250] * 48
        states = db.execute("select distinct status from autopay_charges").fetchall()
        assert states == [{"status": "succeeded"}]
        assert broken_invariants(db) == {}
