"""Many writers at once: nobody deadlocks, nothing is booked twice, and the books hold."""

import asyncio
import random
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from uuid import UUID

import psycopg
import pytest
from books import Connection, Tenant, broken_invariants, settle
from psycopg.rows import dict_row

from sandbox import chain

THREADS, SECONDS, PIECES_MIN = 12, 5.0, 20
POST = (
    "select post_ledger_transaction(%s, false, %s, 's', 't', gen_random_uuid(), clock_now(), {})"
    " as id"
)


def connect(url: str, *, autocommit: bool = True) -> Connection:
    return psycopg.connect(url, row_factory=dict_row, autocommit=autocommit)


def legs(*moved: tuple[UUID, int]) -> str:
    rows = ", ".join(f"('{account}'::uuid, {amount})" for account, amount in moved)
    return f"array[{rows}]::ledger_line[]"


@pytest.fixture
def tenant(database: str) -> Tenant:
    with connect(database) as db:
        return settle(db)


@pytest.fixture
def four(database: str, tenant: Tenant) -> list[UUID]:
    """Accounts in order of id; the third may only owe."""
    with connect(database) as db:
        rows = [
            db.execute(
                "insert into ledger_accounts"
                " (organization_id, livemode, code, account_type, currency, maximum)"
                " values (%s, false, %s, 'asset', 'USD', %s) returning id",
                [tenant.organization_id, f"account_{n}", 0 if n == 2 else None],
            ).fetchone()["id"]
            for n in range(4)
        ]
        db.execute(
            POST.format(legs((rows[2], -100_000), (rows[0], 100_000))),
            [tenant.organization_id, "seed"],
        )
    return rows


class Writer:
    """One connection that does a random piece of work, again and again."""

    def __init__(self, db: Connection, tenant: Tenant, accounts: list[UUID], seed: int) -> None:
        self.db, self.tenant, self.accounts = db, tenant, accounts
        self.chance = random.Random(seed)
        self.name, self.count = seed, 0

    def post(self) -> None:
        one, other, third = self.chance.sample(self.accounts, 3)
        self._post(f"{self.name}:{self.count}", legs((one, 3), (other, -3)))
        self._post(f"{self.name}:{self.count}:x", legs((one, 3), (other, -2), (third, -1)))

    def post_what_others_post(self) -> None:
        number = self.chance.randrange(200)
        one, other = random.Random(number).sample(self.accounts, 2)
        self._post(f"shared:{number}", legs((one, 4), (other, -4)))

    def batch(self) -> None:
        numbers = self.chance.sample(range(200), 5)
        postings = []
        for number in numbers:
            one, other = random.Random(number).sample(self.accounts, 2)
            postings.append(
                f"('shared:{number}', 's', 't', gen_random_uuid(), clock_now(),"
                f" {legs((one, 4), (other, -4))})"
            )
        self.db.execute(
            "select post_ledger_transactions(%s, false,"
            f" array[{', '.join(postings)}]::ledger_posting[])",
            [self.tenant.organization_id],
        )

    def hold(self) -> None:
        amount, key = self.chance.randrange(1, 50), f"hold:{self.name}:{self.count}"
        wallet = self.accounts[2]
        other = self.chance.choice([a for a in self.accounts if a != wallet])
        held = self.db.execute(
            "select place_ledger_hold(%s, false, %s, %s, %s) as id",
            [self.tenant.organization_id, key, wallet, amount],
        ).fetchone()["id"]
        if self.chance.random() < 0.3:
            self.db.execute("select release_ledger_hold(%s)", [held])
        else:
            self.db.execute(
                "select post_ledger_hold(%s, 'spend', 't', gen_random_uuid(), clock_now(),"
                f" {legs((wallet, amount), (other, -amount))})",
                [held],
            )

    def reverse(self) -> None:
        row = self.db.execute(
            "select id from ledger_transactions where key = %s",
            [f"shared:{self.chance.randrange(200)}"],
        ).fetchone()
        if row is not None:
            self.db.execute(
                "select reverse_ledger_transaction("
                "%s, %s, 'r', 't', gen_random_uuid(), clock_now())",
                [row["id"], f"undo:{row['id']}"],
            )

    def seal(self) -> None:
        self.db.execute('select seal_ledger_block(\'{"x-hasura-role": "service"}\', 20)')

    def run(self, until: float) -> list[str]:
        """Work until then, and a little at least; returns the states of what was refused."""
        pieces: list[Callable[[], None]] = [
            self.post, self.post_what_others_post, self.batch, self.hold, self.reverse, self.seal,
        ]  # fmt: skip
        refusals = []
        while time.monotonic() < until or self.count < PIECES_MIN:
            self.count += 1
            try:
                self.chance.choice(pieces)()
            except psycopg.Error as failure:
                refusals.append(failure.sqlstate)
        return refusals

    def _post(self, key: str, lines: str) -> None:
        self.db.execute(POST.format(lines), [self.tenant.organization_id, key])


def test_no_mix_of_writers_deadlocks_or_spoils_the_books(database, tenant, four) -> None:

    def run(number: int) -> list[str]:
        with connect(database) as db:
            return Writer(db, tenant, four, number).run(time.monotonic() + SECONDS)

    with ThreadPoolExecutor(THREADS) as pool:
        refusals = {state for states in pool.map(run, range(THREADS)) for state in states}
    assert refusals <= {"23514"}  # the bounded account is empty now and then

    with connect(database) as db:
        assert broken_invariants(db) == {}
        while db.execute(
            'select number from seal_ledger_block(\'{"x-hasura-role": "service"}\')'
        ).fetchone():
            pass
        keys = db.execute(
            "select count(*) as rows, count(distinct key) as keys from ledger_transactions"
        ).fetchone()
    assert keys["rows"] == keys["keys"] > THREADS
    found = asyncio.run(chain.verify(database))
    assert (found.broken, found.unsealed) == ([], 0)


def test_posting_a_hold_waits_for_its_accounts_in_order(database, tenant, four) -> None:
    """The hold's own account has the highest id, and another posting holds the lowest."""
    low, high = min(four), max(four)
    outcome: list[object] = []

    def settle_hold(held: UUID) -> None:
        with connect(database) as db:
            db.execute(
                "select post_ledger_hold(%s, 's', 't', gen_random_uuid(), clock_now(),"
                f" {legs((high, 5), (low, -5))})",
                [held],
            )
            outcome.append("posted")

    with connect(database) as db:
        amount = -5 if high == four[2] else 5
        db.execute("update ledger_accounts set maximum = null where id = %s", [high])
        held = db.execute(
            "select place_ledger_hold(%s, false, 'hold:1', %s, %s) as id",
            [tenant.organization_id, high, abs(amount)],
        ).fetchone()["id"]
    with connect(database, autocommit=False) as other:
        other.execute("select from ledger_accounts where id = %s for no key update", [low])
        thread = threading.Thread(target=settle_hold, args=[held])
        thread.start()
        _wait_for_a_waiter(other)
        other.execute("set lock_timeout = '2s'")
        other.execute("select from ledger_accounts where id = %s for no key update", [high])
        other.commit()
        thread.join()
    assert outcome == ["posted"]


def test_no_hold_is_placed_on_an_account_that_closes_meanwhile(database, tenant, four) -> None:
    states: list[str | None] = []

    def place() -> None:
        with connect(database) as db:
            try:
                db.execute(
                    "select place_ledger_hold(%s, false, 'hold:1', %s, 1)",
                    [tenant.organization_id, four[0]],
                )
            except psycopg.Error as failure:
                states.append(failure.sqlstate)

    with connect(database, autocommit=False) as other:
        other.execute("update ledger_accounts set status = 'closed' where id = %s", [four[0]])
        thread = threading.Thread(target=place)
        thread.start()
        _wait_for_a_waiter(other)
        other.commit()
        thread.join()
    assert states == ["P0004"]


def test_a_hold_that_two_release_at_once_is_given_free_once(database, tenant, four) -> None:
    with connect(database) as db:
        first, _ = (
            db.execute(
                "select place_ledger_hold(%s, false, %s, %s, 5) as id",
                [tenant.organization_id, f"hold:{number}", four[2]],
            ).fetchone()["id"]
            for number in range(2)
        )

    def release() -> None:
        with connect(database) as db:
            db.execute("select release_ledger_hold(%s)", [first])

    with connect(database, autocommit=False) as other:
        other.execute("select release_ledger_hold(%s)", [first])
        thread = threading.Thread(target=release)
        thread.start()
        _wait_for_a_waiter(other)
        other.commit()
        thread.join()
    with connect(database) as db:
        row = db.execute("select held from ledger_accounts where id = %s", [four[2]]).fetchone()
        assert row["held"] == 5
        assert broken_invariants(db) == {}


@pytest.mark.parametrize("legs_of", [2, 3])
def test_a_posting_takes_its_accounts_in_order_of_id(database, tenant, four, legs_of) -> None:
    """Whatever order its lines have: while the lowest is locked, no other one is."""
    ordered = sorted(account for account in four if account != four[2])
    lines = [(account, 1) for account in reversed(ordered[-legs_of:])]
    lines[0] = (lines[0][0], 1 - legs_of)

    with connect(database, autocommit=False) as other:
        lowest = ordered[-legs_of]
        other.execute("select from ledger_accounts where id = %s for no key update", [lowest])

        def run() -> None:
            with connect(database) as db:
                db.execute(POST.format(legs(*lines)), [tenant.organization_id, "sale:1"])

        thread = threading.Thread(target=run)
        thread.start()
        _wait_for_a_waiter(other)
        for account in ordered[-legs_of + 1 :]:
            other.execute(
                "select from ledger_accounts where id = %s for no key update nowait", [account]
            )
        other.commit()
        thread.join()
    with connect(database) as db:
        assert broken_invariants(db) == {}


def _wait_for_a_waiter(db: Connection) -> None:
    """Wait until somebody waits for a lock of this connection."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if (
            db.execute(
                "select from pg_locks where not granted"
                " and pg_backend_pid() = any(pg_blocking_pids(pid))"
            ).fetchone()
            is not None
        ):
            return
        time.sleep(0.02)
    raise AssertionError("nobody waits")
