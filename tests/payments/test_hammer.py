"""Many at once: exact counts, whatever the order the database takes them in."""

from concurrent.futures import ThreadPoolExecutor
from random import Random
from threading import Barrier
from uuid import UUID

import psycopg
from books import Money, Tenant, broken_invariants, settle
from psycopg.rows import dict_row

THREADS = 16


def connect(url: str) -> psycopg.Connection:
    return psycopg.connect(url, row_factory=dict_row)


def hammer(url: str, tenant: Tenant, times: int, work) -> list:
    """Run work(money, number) `times` times from THREADS connections that start together."""
    barrier = Barrier(THREADS)

    def run(thread: int) -> list:
        with connect(url) as connection:
            barrier.wait()
            answers = []
            for number in range(thread, times, THREADS):
                answers.append(work(Money(connection, tenant.session), number))
                connection.commit()
            return answers

    with ThreadPoolExecutor(THREADS) as pool:
        return [answer for part in pool.map(run, range(THREADS)) for answer in part]


def new_tenant(url: str) -> Tenant:
    with connect(url) as connection:
        return settle(connection)


def opened(url: str, tenant: Tenant, **changes: object) -> UUID:
    with connect(url) as connection:
        return Money(connection, tenant.session).open(**changes)["payment_attempt_id"]


def test_200_replays_of_one_event_make_exactly_one_credit_entry(database) -> None:
    tenant = new_tenant(database)
    attempt = opened(database, tenant)
    answers = hammer(
        database, tenant, 200, lambda money, _: money.receive(attempt, event_id="evt_1")
    )

    with connect(database) as db:
        entries = db.execute("select amount from credit_entries").fetchall()
        assert [e["amount"] for e in entries] == [250]
        assert broken_invariants(db) == {}
    assert len(answers) == 200
    assert {answer["status"] for answer in answers} == {"applied"}


def test_200_different_events_of_one_payment_make_exactly_one_credit_entry(database) -> None:
    tenant = new_tenant(database)
    attempt = opened(database, tenant)
    answers = hammer(
        database, tenant, 200, lambda money, n: money.receive(attempt, event_id=f"evt_{n}")
    )

    with connect(database) as db:
        assert len(db.execute("select from credit_entries").fetchall()) == 1
        assert broken_invariants(db) == {}
    assert sorted(a["status"] for a in answers) == ["applied"] + ["ignored"] * 199


def test_one_key_sent_64_times_at_once_opens_one_purchase(database) -> None:
    tenant = new_tenant(database)
    answers = hammer(database, tenant, 64, lambda money, _: money.open())

    with connect(database) as db:
        assert len(db.execute("select from credit_purchases").fetchall()) == 1
    assert len({answer["payment_attempt_id"] for answer in answers}) == 1


def test_many_purchases_of_one_customer_add_up(database) -> None:
    tenant = new_tenant(database)
    attempts = [opened(database, tenant, key=f"key-{n}") for n in range(64)]
    hammer(database, tenant, 128, lambda money, n: money.receive(attempts[n % 64]))

    with connect(database) as db:
        wallet = db.execute("select balance from credit_wallets").fetchone()
        assert wallet["balance"] == 64 * 250
        assert broken_invariants(db) == {}


def test_sweeps_and_webhooks_do_not_wait_for_each_other_in_a_ring(database) -> None:
    tenant = new_tenant(database)
    attempts = [opened(database, tenant, key=f"key-{n}") for n in range(48)]
    with connect(database) as db:
        db.execute("update ledger_accounts set status = 'closed'")
        for attempt in attempts:
            Money(db, tenant.session).receive(attempt)
        db.execute("update ledger_accounts set status = 'active'")
        db.execute("update gateway_events set next_try_at = clock_now()")

    def work(money: Money, number: int) -> object:
        if number % 2:
            return money.call("apply_due_gateway_event")
        return money.receive(attempts[number // 2])

    hammer(database, tenant, 96, work)  # a deadlock would be raised here

    with connect(database) as db:
        assert db.execute("select balance from credit_wallets").fetchone()["balance"] == 48 * 250
        assert broken_invariants(db) == {}


def test_messages_that_come_together_and_alone_pay_each_purchase_once(database) -> None:
    """Every payment is told of by five threads, in calls of many and in calls of their own."""
    tenants = [new_tenant(database) for _ in range(3)]
    attempts = [opened(database, tenants[n % 3], key=f"key-{n}") for n in range(60)]

    def tell(money: Money, number: int) -> int:
        dice = Random(number)
        chosen = dice.sample(attempts, 15)
        together = [
            money.message(each, event_id=f"evt_{each}_{dice.randrange(2)}") for each in chosen
        ]
        kept = {row["event_id"] for row in money.receive_together(*together)}
        money.db.commit()
        left = [message for message in together if message["event_id"] not in kept]
        for message in left:
            money.call("receive_gateway_event", **message)
            money.db.commit()
        return len(left)

    left = hammer(database, tenants[0], 48, tell)
    with connect(database) as db:
        captured = db.execute("select from payment_attempts where status = 'captured'").fetchall()
        events = db.execute("select from events where type = 'payment.succeeded'").fetchall()
        wallets = db.execute("select balance from credit_wallets").fetchall()
        assert len(captured) == len(events) == 60
        assert [wallet["balance"] for wallet in wallets] == [20 * 250] * 3
        assert broken_invariants(db) == {}
    assert sum(left) < 48 * 15
