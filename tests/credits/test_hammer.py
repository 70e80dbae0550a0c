"""Many at once: exact counts, no deadlock, no credit and no cent astray."""

from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from queue import SimpleQueue
from random import Random
from threading import Barrier
from typing import Any
from uuid import UUID, uuid4

import psycopg
from books import Connection, Tenant, broken_invariants, settle
from credit_shop import Shop
from money_back import Desk
from psycopg.rows import dict_row

CONNECTIONS = 60


def connect(url: str) -> Connection:
    return psycopg.connect(url, row_factory=dict_row)


@contextmanager
def connections(url: str, number: int) -> Iterator[SimpleQueue[Connection]]:
    pool: SimpleQueue[Connection] = SimpleQueue()
    for _ in range(number):
        pool.put(connect(url))
    try:
        yield pool
    finally:
        for _ in range(number):
            pool.get().close()


def hammer(
    url: str, tenant: Tenant, threads: int, times: int, work: Callable[[Shop, int], Any]
) -> Counter[str]:
    """Run work(shop, number) from threads that start together; count what came of each."""
    barrier = Barrier(threads)

    def run(thread: int) -> Counter[str]:
        counted: Counter[str] = Counter()
        barrier.wait()
        for number in range(thread * times, (thread + 1) * times):
            connection = pool.get()
            try:
                counted[work(Shop(connection, tenant), number) or "done"] += 1
                connection.commit()
            except psycopg.Error as failure:
                connection.rollback()
                if not (failure.sqlstate or "").startswith("22B"):
                    raise  # a deadlock, a broken constraint: nothing that may happen
                counted[str(failure.diag.message_primary).partition(":")[0]] += 1
            finally:
                pool.put(connection)
        return counted

    with (
        connections(url, min(threads, CONNECTIONS)) as pool,
        ThreadPoolExecutor(threads) as executor,
    ):
        return sum(executor.map(run, range(threads)), Counter())


def open_shop(url: str, *purchases: int) -> Tenant:
    with connect(url) as connection:
        tenant = settle(connection)
        for amount in purchases:
            Shop(connection, tenant).buy(amount)
        return tenant


def test_200_threads_spend_exactly_what_is_there(database) -> None:
    tenant = open_shop(database, 1000, 700, 800)  # 250 credits in three lots
    counted = hammer(database, tenant, 200, 2, lambda shop, _: shop.spend(1) and "spent")

    assert counted == {"spent": 250, "insufficient-credits": 150}
    with connect(database) as db:
        shop = Shop(db, tenant)
        assert (shop.wallet()["balance"], shop.wallet()["available"]) == (0, 0)
        assert shop.books() == {"gateway USD": 2500, "credit_revenue USD": -2500}
        assert broken_invariants(db) == {}


def test_one_key_from_64_threads_spends_once(database) -> None:
    tenant = open_shop(database, 2500)
    counted = hammer(database, tenant, 64, 2, lambda shop, _: str(shop.spend(1, "one")["id"]))

    assert list(counted.values()) == [128]
    with connect(database) as db:
        assert Shop(db, tenant).wallet()["balance"] == 249


def test_one_spend_comes_back_once_whoever_asks(database) -> None:
    tenant = open_shop(database, 2500)
    with connect(database) as db:
        spend = Shop(db, tenant).spend(10)
    counted = hammer(
        database, tenant, 32, 4, lambda shop, _: shop.give_back(spend, "0.5") and "returned"
    )

    assert counted == {"returned": 20, "amount-out-of-range": 108}
    with connect(database) as db:
        assert Shop(db, tenant).wallet()["balance"] == 250
        assert broken_invariants(db) == {}


def test_one_lot_expires_once_whoever_asks(database) -> None:
    tenant = open_shop(database)
    with connect(database) as db:
        shop = Shop(db, tenant)
        shop.set("credits_expire_after_days", "30")
        for _ in range(40):
            shop.buy(100)
        shop.wait(days=31)
    counted = hammer(database, tenant, 16, 8, lambda shop, _: f"{len(shop.expire(3))}")

    assert sum(int(lots) * times for lots, times in counted.items()) == 40
    with connect(database) as db:
        assert Shop(db, tenant).books() == {"gateway USD": 4000, "credit_breakage USD": -4000}


class Mixed:
    """Everything that moves credits, at random, for the same two customers."""

    def __init__(self, customers: list[UUID]) -> None:
        self.customers = customers
        self.spends: list[dict[str, Any]] = []
        self.intents: list[UUID] = []

    def work(self, shop: Shop, number: int) -> str:
        random = Random(number)
        step = random.choice(
            [
                self.spend,
                self.spend,
                self.buy,
                self.grant,
                self.give_back,
                self.refund,
                self.refund,
                self.expire,
            ]
        )
        object.__setattr__(shop, "customer_id", random.choice(self.customers))
        return step(shop, random)

    def spend(self, shop: Shop, random: Random) -> str:
        self.spends.append(shop.spend(f"{random.randint(1, 90)}.{random.randint(0, 9999):04}"))
        shop.db.commit()
        return "spent"

    def buy(self, shop: Shop, random: Random) -> str:
        row = Desk(shop.db, shop.tenant.session).paid(uuid4().hex, random.randint(100, 3000))
        self.intents.append(row["payment_intent_id"])
        return "bought"

    def grant(self, shop: Shop, random: Random) -> str:
        when = shop.db.execute(
            "select clock_now() + %s * interval '1 millisecond' as it", [random.randint(50, 3000)]
        ).fetchone()
        shop.grant(random.randint(1, 50), expires_at=when["it"])
        return "granted"

    def give_back(self, shop: Shop, random: Random) -> str:
        if not self.spends:
            return "nothing to return"
        shop.give_back(random.choice(self.spends), random.choice([None, "0.5", "7"]))
        return "returned"

    def refund(self, shop: Shop, random: Random) -> str:
        if not self.intents:
            return "nothing to refund"
        desk = Desk(shop.db, shop.tenant.session)
        refund = desk.refund(
            random.choice(self.intents), amount=random.randint(1, 900), key=uuid4().hex
        )
        shop.db.commit()
        word = random.choice(["succeeded", "succeeded", "failed"])
        desk.say(refund, word)
        shop.db.commit()  # each message has a transaction of its own, and so its own lock order
        if random.random() < 0.2:
            desk.say(refund, "failed")
        return word

    def expire(self, shop: Shop, random: Random) -> str:
        shop.expire(random.randint(1, 5))
        return "expired"


def test_everything_at_once_neither_deadlocks_nor_loses_a_unit(database) -> None:
    tenant = open_shop(database, 2500)
    neighbour = uuid4()
    with connect(database) as db:
        db.execute(
            "insert into customers (id, organization_id, livemode, user_id, email)"
            " values (%s, %s, false, %s, 'n@example.com')",
            [neighbour, tenant.organization_id, str(neighbour)],
        )
    mixed = Mixed([tenant.customer_id, neighbour])
    counted = hammer(database, tenant, 16, 40, mixed.work)

    assert counted.total() == 640
    for word in ("spent", "bought", "granted", "returned", "succeeded", "failed", "expired"):
        assert counted[word] > 0, counted
    with connect(database) as db:
        assert broken_invariants(db) == {}
