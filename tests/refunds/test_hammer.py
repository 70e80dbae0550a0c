"""A1, A13, A14: refunds that land together. Exactly what fits succeeds, whatever the order."""

from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import psycopg
from books import Tenant, broken_invariants, settle
from money_back import Desk, balances
from psycopg.rows import dict_row

THREADS = 16


def connect(url: str) -> psycopg.Connection[dict[str, Any]]:
    """Each call is a transaction of its own, as it is for the service."""
    return psycopg.connect(url, row_factory=dict_row, autocommit=True)


def hammer(url: str, tenant: Tenant, times: int, work: Callable[[Desk, int], object]) -> Counter:
    """Run work(desk, number) `times` times from THREADS connections; count what came of it.

    A refusal is counted by its code, anything else that is raised is a failure of the test.
    """
    barrier = Barrier(THREADS)

    def run(thread: int) -> list[object]:
        with connect(url) as connection:
            barrier.wait()
            return [
                answer(connection, tenant, work, number) for number in range(thread, times, THREADS)
            ]

    with ThreadPoolExecutor(THREADS) as pool:
        return Counter(each for part in pool.map(run, range(THREADS)) for each in part)


def answer(connection, tenant: Tenant, work: Callable[[Desk, int], object], number: int) -> object:
    try:
        return work(Desk(connection, tenant.session), number)
    except psycopg.DataError as refusal:
        return str(refusal.diag.message_primary).partition(":")[0]


def start(url: str, purchases: int = 1) -> tuple[Tenant, list[dict[str, Any]]]:
    with connect(url) as connection:
        tenant = settle(connection)
        desk = Desk(connection, tenant.session)
        return tenant, [desk.paid(key=f"key-{number}") for number in range(purchases)]


def test_a1_hundreds_of_refunds_at_once_give_back_exactly_what_was_captured(database) -> None:
    tenant, (paid,) = start(database)
    counts = hammer(
        database,
        tenant,
        400,
        lambda desk, n: desk.refund(paid["payment_intent_id"], amount=60, key=f"r{n}")["status"],
    )

    with connect(database) as db:
        (attempt,) = db.execute("select * from payment_attempts").fetchall()
        assert counts == {"created": 41, "amount-out-of-range": 359}  # 41 x 60 fit in 2500
        assert attempt["amount_refunded"] == 41 * 60
        assert balances(db, tenant)["refunds_pending USD"] == -41 * 60
        assert broken_invariants(db) == {}


def test_one_key_sent_200_times_at_once_is_one_refund(database) -> None:
    tenant, (paid,) = start(database)
    counts = hammer(
        database, tenant, 200, lambda desk, _: desk.refund(paid["payment_intent_id"])["id"]
    )

    with connect(database) as db:
        assert db.execute("select count(*) as n from refunds").fetchone()["n"] == 1
        assert broken_invariants(db) == {}
    assert list(counts.values()) == [200]


def test_one_key_for_two_payments_at_once_is_one_refund(database) -> None:
    tenant, purchases = start(database, 2)
    counts = hammer(
        database,
        tenant,
        96,
        lambda desk, n: desk.refund(purchases[n % 2]["payment_intent_id"])["status"],
    )

    with connect(database) as db:
        assert db.execute("select count(*) as n from refunds").fetchone()["n"] == 1
        assert broken_invariants(db) == {}
    assert counts == {"created": 48, "idempotency-key-reused": 48}


def test_200_messages_of_one_refund_book_it_once(database) -> None:
    tenant, (paid,) = start(database)
    with connect(database) as db:
        refund = Desk(db, tenant.session).refund(paid["payment_intent_id"])
    words = ["pending", "succeeded", "succeeded", "pending"]
    hammer(database, tenant, 200, lambda desk, n: desk.say(refund, words[n % 4])["status"])

    with connect(database) as db:
        assert balances(db, tenant) == {}
        events = db.execute("select count(*) as n from events where type = 'refund.succeeded'")
        assert events.fetchone()["n"] == 1
        assert broken_invariants(db) == {}


def test_refunds_results_and_disputes_of_some_payments_at_once_keep_the_books(database) -> None:
    """A14: refund and chargeback of the same money. A deadlock would be raised here."""
    tenant, purchases = start(database, 4)

    def work(desk: Desk, number: int) -> str:
        paid = purchases[number % 4]
        kind = number // 4 % 4
        if kind == 3:
            said = ("opened", "lost", "under_review")[number // 16 % 3]
            name = f"dp_{number % 4}"
            event = desk.dispute(
                paid["payment_attempt_id"], said, gateway_dispute_id=name, amount=700
            )
            return event["status"]
        refund = desk.refund(paid["payment_intent_id"], amount=100, key=f"r{number}")
        return desk.say(refund, ("succeeded", "failed", "pending")[kind])["status"]

    counts = hammer(database, tenant, 384, work)

    with connect(database) as db:
        attempts = db.execute("select * from payment_attempts").fetchall()
        assert all(a["amount_refunded"] <= 2500 for a in attempts)
        assert db.execute("select count(*) as n from disputes").fetchone()["n"] == 4
        assert broken_invariants(db) == {}
    assert set(counts) <= {"applied", "ignored", "amount-out-of-range", "credits-spent"}


def test_spends_and_refunds_of_one_lot_never_use_a_credit_twice(database) -> None:
    tenant, (paid,) = start(database)

    def work(desk: Desk, number: int) -> str:
        if number % 2:
            desk.call(
                "spend_credits",
                customer_id=tenant.customer_id,
                amount=5,
                key=f"s{number}",
                description="Tea",
                reference=None,
            )
            return "spent"
        refund = desk.refund(paid["payment_intent_id"], amount=50, key=f"r{number}")
        desk.say(refund, "succeeded")
        return "refunded"

    counts = hammer(database, tenant, 200, work)

    with connect(database) as db:
        assert counts["spent"] + counts["refunded"] == 50  # 250 credits, five at a time
        assert db.execute("select balance from credit_wallets").fetchone()["balance"] == 0
        assert broken_invariants(db) == {}
