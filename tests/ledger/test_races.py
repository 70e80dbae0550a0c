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
from ledger.conftest import Fact, book
from psycopg.rows import dict_row

from sandbox import chain

THREADS, SECONDS, PIECES_MIN = 12, 5.0, 20
SIZES = [1, 2, 6, 7, 1000]  # one, few and many


def connect(url: str, *, autocommit: bool = True) -> Connection:
    return psycopg.connect(url, row_factory=dict_row, autocommit=autocommit)


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
        book(db, tenant.organization_id, [Fact("seed", rows[0], rows[2], 100_000)])
    return rows


class Writer:
    """One connection that does a random piece of work, again and again."""

    def __init__(self, db: Connection, tenant: Tenant, accounts: list[UUID], seed: int) -> None:
        self.db, self.tenant, self.accounts = db, tenant, accounts
        self.chance = random.Random(seed)
        self.name, self.count = seed, 0
        self.known: dict[str, UUID] = {}

    def post(self) -> None:
        one, other = self.chance.sample(self.accounts, 2)
        self._book([Fact(f"{self.name}:{self.count}", one, other, 3)])

    def batch(self) -> None:
        """Facts of its own, which few or many go over the accounts in any order."""
        size = self.chance.choice([2, 6, 7, 9])
        self._book(
            [
                Fact(f"{self.name}:{self.count}:{n}", *self.chance.sample(self.accounts, 2), 2)
                for n in range(size)
            ]
        )

    def book_what_others_book(self) -> None:
        numbers = self.chance.sample(range(200), self.chance.choice([1, 1, 2, 6, 7, 9]))
        self._book([self._shared(number) for number in numbers])

    def _shared(self, number: int) -> Fact:
        one, other = random.Random(number).sample(self.accounts, 2)
        return Fact(f"shared:{number}", one, other, 4)

    def _book(self, facts: list[Fact]) -> None:
        ids = book(self.db, self.tenant.organization_id, facts)
        for fact, one in zip(facts, ids, strict=True):
            assert self.known.setdefault(fact.key, one) == one

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
                " %s, %s, %s)",
                [held, wallet, other, amount],
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

    def run(self, until: float) -> list[str | None]:
        """Work until then, and a little at least; returns the states of what was refused."""
        pieces: list[Callable[[], None]] = [
            self.post, self.batch, self.book_what_others_book, self.hold, self.reverse, self.seal,
        ]  # fmt: skip
        refusals: list[str | None] = []
        while time.monotonic() < until or self.count < PIECES_MIN:
            self.count += 1
            try:
                self.chance.choice(pieces)()
            except psycopg.Error as failure:
                refusals.append(failure.sqlstate)
        return refusals


def test_no_mix_of_writers_deadlocks_or_spoils_the_books(database, tenant, four) -> None:

    known: list[dict[str, UUID]] = []

    def run(number: int) -> list[str | None]:
        with connect(database) as db:
            writer = Writer(db, tenant, four, number)
            known.append(writer.known)
            return writer.run(time.monotonic() + SECONDS)

    with ThreadPoolExecutor(THREADS) as pool:
        refusals = {state for states in pool.map(run, range(THREADS)) for state in states}
    assert refusals <= {"23514"}  # the bounded account is empty now and then
    assert len({key for part in known for key in part}) == len(
        {(key, one) for part in known for key, one in part.items()}
    )

    with connect(database) as db:
        assert broken_invariants(db) == {}
        assert_each_moment_has_its_balance(db)
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
                "select post_ledger_hold(%s, 's', 't', gen_random_uuid(), clock_now(), %s, %s, 5)",
                [held, high, low],
            )
            outcome.append("posted")

    with connect(database) as db:
        db.execute("update ledger_accounts set maximum = null where id = %s", [high])
        held = db.execute(
            "select place_ledger_hold(%s, false, 'hold:1', %s, %s) as id",
            [tenant.organization_id, high, 5],
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


@pytest.mark.parametrize("size", [1, 2, 6, 7])
@pytest.mark.parametrize("backwards", [False, True])
def test_a_posting_takes_its_accounts_in_order_of_id(
    database, tenant, four, size, backwards
) -> None:
    """Whichever is debited: while the lowest is locked, no other one is."""
    ordered = sorted(account for account in four if account != four[2])
    if size == 1:
        ordered = ordered[:2]
    around = [*ordered, *ordered][:: -1 if backwards else 1]
    facts = [Fact(f"sale:{n}", around[n % 3], around[n % 3 + 1], 1) for n in range(size)]
    if size == 1:
        facts = [Fact("sale:1", *(ordered[::-1] if backwards else ordered), 1)]

    assert_only_the_lowest_is_waited_for(database, tenant, ordered, facts)


@pytest.mark.parametrize("is_analysed", [False, True])
@pytest.mark.parametrize("backwards", [False, True])
def test_no_plan_takes_them_in_another_order(database, tenant, is_analysed, backwards) -> None:
    """Whatever the statistics are: the highest is written first, and has the first code."""
    ordered = [UUID(int=1), UUID(int=2)]
    with connect(database) as db:
        if is_analysed:  # while it is empty, so that any index looks as good as another
            db.execute("analyze ledger_accounts")
        for account, code in [(ordered[1], "a"), (ordered[0], "b")]:
            db.execute(
                "insert into ledger_accounts"
                " (id, organization_id, livemode, code, account_type, currency)"
                " values (%s, %s, false, %s, 'asset', 'USD')",
                [account, tenant.organization_id, code],
            )
    facts = [Fact("sale", *(ordered[::-1] if backwards else ordered), 1)]

    assert_only_the_lowest_is_waited_for(database, tenant, ordered, facts)


def assert_only_the_lowest_is_waited_for(
    database: str, tenant: Tenant, ordered: list[UUID], facts: list[Fact]
) -> None:
    with connect(database, autocommit=False) as other:
        other.execute("select from ledger_accounts where id = %s for no key update", [ordered[0]])

        def run() -> None:
            with connect(database) as db:
                db.execute("set plan_cache_mode = force_generic_plan")  # as webhooks have it
                book(db, tenant.organization_id, facts)

        thread = threading.Thread(target=run)
        thread.start()
        _wait_for_a_waiter(other)
        for account in ordered[1:]:
            other.execute(
                "select from ledger_accounts where id = %s for no key update nowait", [account]
            )
        other.commit()
        thread.join()
    with connect(database) as db:
        assert broken_invariants(db) == {}


@pytest.fixture
def wallet(database: str, tenant: Tenant, four: list[UUID], request) -> UUID:
    """A wallet with the lowest id or the highest, so that it is the first or the last locked."""
    account = UUID(int=1) if request.param == "first" else UUID(int=2**128 - 1)
    with connect(database) as db:
        db.execute(
            "insert into ledger_accounts"
            " (id, organization_id, livemode, code, account_type, currency, maximum)"
            " values (%s, %s, false, 'wallet', 'liability', 'USD', 0)",
            [account, tenant.organization_id],
        )
    return account


FIRST_OR_LAST = pytest.mark.parametrize("wallet", ["first", "last"], indirect=True)


def together(
    database: str, tenant: Tenant, batches: tuple[list[Fact], list[Fact]], *, commit: bool = True
) -> tuple[list[UUID], list[UUID] | str | None]:
    """Book the first; the second waits for it, and goes on when it has ended."""
    answers: list[list[UUID] | str | None] = []

    def run() -> None:
        with connect(database) as db:
            try:
                answers.append(book(db, tenant.organization_id, batches[1]))
            except psycopg.Error as failure:
                answers.append(failure.sqlstate)

    with connect(database, autocommit=False) as other:
        first = book(other, tenant.organization_id, batches[0])
        thread = threading.Thread(target=run)
        thread.start()
        _wait_for_a_waiter(other)
        if commit:
            other.commit()
        else:
            other.rollback()
        thread.join()
    return first, answers[0]


def balance(database: str, account: UUID) -> int:
    with connect(database) as db:
        assert broken_invariants(db) == {}
        return db.execute(
            "select balance from ledger_accounts where id = %s", [account]
        ).fetchone()["balance"]


@FIRST_OR_LAST
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("backwards", [False, True])
def test_of_two_that_spend_the_same_money_both_are_told_the_same(
    database, tenant, four, wallet, size, backwards
) -> None:
    """It suffices once only, and they book the same: so the second finds what the first booked."""
    facts = [Fact(f"spend:{n}", wallet, four[n % 2], 3) for n in range(size)]
    with connect(database) as db:
        book(db, tenant.organization_id, [Fact("grant", four[3], wallet, 3 * size)])

    again = facts[::-1] if backwards else facts
    first, second = together(database, tenant, (facts, again))
    assert second == (first[::-1] if backwards else first)
    assert balance(database, wallet) == 0


@FIRST_OR_LAST
@pytest.mark.parametrize("size", SIZES)
def test_who_waited_for_one_that_was_taken_back_books_it(
    database, tenant, four, wallet, size
) -> None:
    facts = [Fact(f"spend:{n}", wallet, four[n % 2], 3) for n in range(size)]
    with connect(database) as db:
        book(db, tenant.organization_id, [Fact("grant", four[3], wallet, 3 * size)])

    first, second = together(database, tenant, (facts, facts), commit=False)
    assert isinstance(second, list)
    assert {*first} & {*second} == set()
    assert len({*second}) == size
    assert balance(database, wallet) == 0


@FIRST_OR_LAST
@pytest.mark.parametrize("size", SIZES)
def test_of_two_that_spend_the_same_money_for_other_things_one_is_refused(
    database, tenant, four, wallet, size
) -> None:
    one, other = (
        [Fact(f"{name}:{n}", wallet, four[n % 2], 3) for n in range(size)] for name in "ab"
    )
    with connect(database) as db:
        book(db, tenant.organization_id, [Fact("grant", four[3], wallet, 6 * size - 1)])

    _, second = together(database, tenant, (one, other))
    assert second == "23514"
    assert balance(database, wallet) == -3 * size + 1


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("before", [1, 2, 5])
def test_who_waited_for_a_part_of_its_batch_books_the_rest(
    database, tenant, four, size, before
) -> None:
    """A key comes twice in both, too."""
    facts = [Fact(f"sale:{n}", four[n % 2], four[3], 3) for n in range(max(size, before) + 1)]
    first, second = together(
        database, tenant, ([*facts[:before], facts[0]], [*facts[:size], facts[0]])
    )
    assert isinstance(second, list)
    assert second[-1] == second[0] == first[-1] == first[0]
    both = min(size, before)
    assert second[:both] == first[:both]
    assert len({*second}) == size
    assert balance(database, four[3]) == -3 * max(size, before)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("elsewhere", [False, True])
def test_who_waited_for_its_key_with_another_meaning_is_refused(
    database, tenant, four, size, elsewhere
) -> None:
    """The other may have moved the same accounts or two that this one does not touch."""
    facts = [Fact(f"sale:{n}", four[0], four[1], 3) for n in range(size)]
    with connect(database) as db:
        apart = [
            db.execute(
                "select ledger_account(%s, false, %s, 'asset', 'USD') as id",
                [tenant.organization_id, code],
            ).fetchone()["id"]
            for code in ("apart", "asunder")
        ]
    accounts = apart if elsewhere else four[:2]

    _, second = together(database, tenant, ([Fact(f"sale:{size // 2}", *accounts, 4)], facts))
    assert second == "22B02"
    assert balance(database, four[0]) == (100_000 if elsewhere else 100_004)


@pytest.mark.parametrize("size", [1, 2, 6, 7, 200])
def test_eight_that_book_the_same_book_it_once(database, tenant, four, size) -> None:
    """Each in an order of its own; the money of the third account is exactly enough."""
    rounds, sessions = max(2, 40 // size), 8
    facts = [
        [Fact(f"{turn}:{n}", four[2], four[n % 2], 1) for n in range(size)]
        for turn in range(rounds)
    ]
    with connect(database) as db:
        book(db, tenant.organization_id, [Fact("out", four[2], four[3], 100_000 - rounds * size)])
    start = threading.Barrier(sessions)

    def run(number: int) -> set[tuple[str, UUID]]:
        chance, told = random.Random(number), set()
        with connect(database) as db:
            for batch in facts:
                mine = chance.sample(batch, size)
                start.wait(60)
                ids = book(db, tenant.organization_id, mine)
                told |= {(fact.key, one) for fact, one in zip(mine, ids, strict=True)}
        return told

    with ThreadPoolExecutor(sessions) as pool:
        told = list(pool.map(run, range(sessions)))
    assert all(one == told[0] for one in told)
    assert len(told[0]) == rounds * size
    assert balance(database, four[2]) == 0


@pytest.mark.parametrize("size", [1, 2, 6, 7, 60])
def test_eight_that_go_over_the_accounts_the_other_way_round_wait_for_nobody_in_a_ring(
    database, tenant, four, size
) -> None:
    """Nobody is chosen to break off, and each entry has its moment after the one before it."""
    sessions, turns = 8, max(5, 100 // size)
    free = [account for account in four if account != four[2]]
    start = threading.Barrier(sessions)

    def run(number: int) -> None:
        around = [*free, *free][:: -1 if number % 2 else 1]
        start.wait(60)
        with connect(database) as db:
            for turn in range(turns):
                book(
                    db,
                    tenant.organization_id,
                    [
                        Fact(f"{number}:{turn}:{n}", around[n % 3], around[n % 3 + 1], 1 + n)
                        for n in range(size)
                    ],
                )

    with ThreadPoolExecutor(sessions) as pool:
        list(pool.map(run, range(sessions)))
    with connect(database) as db:
        assert broken_invariants(db) == {}
        assert assert_each_moment_has_its_balance(db) == 2 * (sessions * turns * size + 1)


def assert_each_moment_has_its_balance(db: Connection) -> int:
    """Within each account time rises strictly, and each balance is the sum until then."""
    row = db.execute(
        "select count(*) as entries, bool_and(rises) as rises, bool_and(sums) as sums,"
        " bool_and(as_of) as as_of from (select"
        " balance_after = sum(amount) over steps as sums,"
        " created_at > lag(created_at) over steps is not false as rises,"
        " balance_after = ledger_balance_at(ledger_account_id, created_at) as as_of"
        " from ledger_entries"
        " window steps as (partition by ledger_account_id order by created_at)) as entries"
    ).fetchone()
    assert (row["rises"], row["sums"], row["as_of"]) == (True, True, True)
    last = db.execute(
        "select code from ledger_accounts where last_entry_at < (select max(created_at)"
        " from ledger_entries where ledger_account_id = ledger_accounts.id)"
    ).fetchall()
    assert last == []
    return int(row["entries"])


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
