"""Two people and more at once: each transfer is entered, decided and booked once."""

from collections import Counter as Counts
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from threading import Barrier
from typing import Any

import psycopg
from books import Connection, Tenant, broken_invariants, settle
from money_back import balances
from psycopg.rows import dict_row

from .conftest import Counter, staffed

THREADS = 8
ROUNDS = 12

Row = dict[str, Any]
Work = Callable[[Counter], object]


def connect(url: str) -> Connection:
    return psycopg.connect(url, row_factory=dict_row)


def opened(url: str) -> tuple[Tenant, Counter, Row]:
    """An office whose account is open, for all connections to see."""
    with connect(url) as db:
        tenant = settle(db)
        counter = staffed(db, tenant)
        return tenant, counter, counter.account()


def at_once(url: str, counter: Counter, works: list[Work]) -> Counts[object]:
    """Do each work on a connection of its own, all at the same moment; count what came of it.

    A refusal is counted by its code; anything else that is raised, a deadlock say, fails the test.
    """
    barrier = Barrier(len(works))

    def run(work: Work) -> object:
        with connect(url) as db:
            barrier.wait()
            try:
                with db.transaction():
                    return work(replace(counter, db=db))
            except psycopg.DataError as refusal:
                return str(refusal.diag.message_primary).partition(":")[0]
            except psycopg.errors.SerializationFailure:
                return "again"

    with ThreadPoolExecutor(len(works)) as pool:
        return Counts(pool.map(run, works))


def said(url: str, counter: Counter, work: Callable[[Counter], Any]) -> Any:
    with connect(url) as db:
        return work(replace(counter, db=db))


def whole(url: str) -> bool:
    with connect(url) as db:
        return broken_invariants(db) == {}


def test_one_utr_entered_at_once_is_one_transfer(database: str) -> None:
    _, counter, account = opened(database)
    for number in range(ROUNDS):
        reference = f"UTR{number:06}"
        counts = at_once(
            database,
            counter,
            [
                lambda c, key=f"{number}-{thread}", utr=reference: c.enter(
                    account, reference=utr, key=key
                )["status"]
                for thread in range(THREADS)
            ],
        )
        assert counts == {"entered": 1, "transfer-known": THREADS - 1}

    assert said(database, counter, lambda c: c.value("select count(*) from bank_transfers")) == (
        ROUNDS
    )


def test_one_request_sent_at_once_is_one_transfer(database: str) -> None:
    _, counter, account = opened(database)
    today = said(database, counter, lambda c: c.today())
    enter = [lambda c: c.enter(account, value_date=today)["id"] for _ in range(THREADS)]
    counts = at_once(database, counter, enter)

    assert list(counts.values()) == [THREADS]


def test_two_people_who_approve_at_once_book_it_once(database: str) -> None:
    tenant, counter, account = opened(database)
    for number in range(ROUNDS):
        order = said(database, counter, lambda c, n=number: c.order(f"BK-{n}"))
        transfer = said(
            database,
            counter,
            lambda c, n=number, o=order: c.enter(
                account, reference=f"UTR{n:06}", order_display_id=o["display_id"]
            ),
        )
        people = ["chandan", "omkar"] * (THREADS // 2)
        counts = at_once(
            database,
            counter,
            [lambda c, u=user, t=transfer: c.approve(t, u)["status"] for user in people],
        )
        assert counts == {"approved": THREADS}

    with connect(database) as db:
        assert balances(db, tenant) == {
            "bank INR": 245000 * ROUNDS,
            "merchant_balance INR": -245000 * ROUNDS,
        }
    assert whole(database)


def test_approved_while_it_is_rejected_is_one_of_the_two(database: str) -> None:
    """Every other receipt has no order, so that nothing but its own row is locked."""
    tenant, counter, account = opened(database)
    approved = 0
    for number in range(2 * ROUNDS):
        order = said(database, counter, lambda c, n=number: c.order(f"BK-{n}"))
        named = order["display_id"] if number % 2 else None
        transfer = said(
            database,
            counter,
            lambda c, n=number, d=named: c.enter(
                account, reference=f"UTR{n:06}", order_display_id=d
            ),
        )
        counts = at_once(
            database,
            counter,
            [
                lambda c, t=transfer: c.approve(t, "chandan")["status"],
                lambda c, t=transfer: c.reject(t, "omkar")["status"],
            ],
        )
        assert counts["transfer-decided"] == 1
        assert counts["approved"] + counts["rejected"] == 1
        approved += counts["approved"]

    with connect(database) as db:
        assert balances(db, tenant).get("bank INR", 0) == 245000 * approved
    assert whole(database)


def test_receipts_of_one_order_approved_at_once_pay_it_once(database: str) -> None:
    tenant, counter, account = opened(database)
    order = said(database, counter, lambda c: c.order(amount=500000))
    transfers = [
        said(
            database,
            counter,
            lambda c, n=number: c.enter(
                account,
                reference=f"UTR{n:06}",
                amount=100000,
                order_display_id=order["display_id"],
            ),
        )
        for number in range(THREADS)
    ]
    counts = at_once(database, counter, [lambda c, t=t: c.approve(t)["status"] for t in transfers])

    assert counts == {"approved": THREADS}
    with connect(database) as db:
        assert balances(db, tenant) == {
            "bank INR": 800000,
            "merchant_balance INR": -500000,
            "refunds_pending INR": -300000,
        }
    assert whole(database)


def test_a_card_and_a_transfer_at_once_are_a_payment_and_a_surplus(database: str) -> None:
    tenant, counter, account = opened(database)
    for number in range(ROUNDS):
        reference = f"BK-{number}"
        order = said(database, counter, lambda c, r=reference: c.order(r))
        checkout = said(
            database, counter, lambda c, r=reference: c.ask(reference=r, title=f"Booking {r}")
        )
        transfer = said(
            database,
            counter,
            lambda c, n=number, o=order: c.enter(
                account, reference=f"UTR{n:06}", order_display_id=o["display_id"]
            ),
        )
        counts = at_once(
            database,
            counter,
            [
                lambda c, t=transfer: c.approve(t)["status"],
                lambda c, row=checkout: c.hear(row, "paid")["status"],
                lambda c: len(c.cron().call("settle_due_bank_transfer")),
            ],
        )
        assert counts["approved"] == counts["applied"] == 1

    with connect(database) as db:
        money = balances(db, tenant)
    assert money["bank INR"] == money["gateway INR"] == 245000 * ROUNDS
    assert money["merchant_balance INR"] == money["refunds_pending INR"] == -245000 * ROUNDS
    assert whole(database)


def test_matches_approvals_and_returns_of_one_receipt_at_once_leave_nothing_half_done(
    database: str,
) -> None:
    tenant, counter, account = opened(database)
    for number in range(ROUNDS):
        order = said(database, counter, lambda c, n=number: c.order(f"BK-{n}"))
        receipt = said(
            database,
            counter,
            lambda c, n=number: c.approve(c.enter(account, reference=f"UTR{n:06}")),
        )
        returned = said(
            database,
            counter,
            lambda c, n=number, r=receipt: c.enter(
                account, kind="return", returned_id=r["id"], reference=f"RET{n:06}"
            ),
        )
        at_once(
            database,
            counter,
            [
                lambda c, r=receipt, o=order: c.match(r, o, "meera")["status"],
                lambda c, r=receipt: c.approve(r, "chandan")["status"],
                lambda c, r=receipt: c.reject(r, "omkar")["status"],
                lambda c, t=returned: c.approve(t, "chandan")["status"],
            ],
        )
        assert whole(database)

    with connect(database) as db:
        kept = receipts_kept(replace(counter, db=db))
        assert balances(db, tenant).get("bank INR", 0) == 245000 * kept


def receipts_kept(counter: Counter) -> int:
    query = "select count(*) from bank_transfers where kind = 'receipt' and status = 'approved'"
    return int(counter.value(query))
