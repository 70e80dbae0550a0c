"""Every pair of money functions on the same objects at once: no deadlock, and the books hold.

Sixteen threads, half of them at one function and half at the other, all about one customer. What
each function does exactly, and how many times, its own hammer counts; here it is the company that
is new. A refusal of the business is fine, a deadlock or a broken promise is not.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from decimal import Decimal
from itertools import combinations_with_replacement
from threading import Barrier
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from books import Connection, Tenant, broken_invariants, settle
from money_back import Desk
from psycopg.rows import dict_row

THREADS = 16
CALLS = int(os.environ.get("PAIR_CALLS", "10"))  # of each thread


@dataclass
class Customer:
    """One customer's affairs, as one thread sees them."""

    desk: Desk
    draw: random.Random

    def rows(self, table: str, where: str = "true") -> list[dict[str, Any]]:
        return self.desk.db.execute(
            f"select * from {table} where organization_id = %s and {where} order by id limit 20",
            [self.desk.session["x-hasura-organization-id"]],
        ).fetchall()

    def one(self, table: str, where: str = "true") -> dict[str, Any]:
        return self.draw.choice(self.rows(table, where))


def buy(customer: Customer) -> None:
    customer.desk.open(key=f"key-{customer.draw.randrange(8)}-new", amount=2500)


def capture(customer: Customer) -> None:
    attempt = customer.one("payment_attempts")
    customer.desk.receive(attempt["id"], gateway_session_id=None)


def fail(customer: Customer) -> None:
    attempt = customer.one("payment_attempts")
    customer.desk.receive(attempt["id"], "failed", gateway_session_id=None)


def refund(customer: Customer) -> None:
    paid = customer.one("payment_attempts", "status = 'captured'")
    customer.desk.refund(paid["payment_intent_id"], amount=100, key=uuid4().hex)


def end_refund(customer: Customer) -> None:
    row = customer.one("refunds")
    customer.desk.say(row, customer.draw.choice(["succeeded", "failed"]))


def dispute(customer: Customer) -> None:
    paid = customer.one("payment_attempts", "status = 'captured'")
    outcome = customer.draw.choice(["opened", "won", "lost"])
    customer.desk.dispute(paid["id"], outcome, gateway_dispute_id=f"dp_{paid['id']}")


def spend(customer: Customer) -> None:
    customer.desk.call(
        "spend_credits",
        customer_id=customer.desk.session["x-hasura-customer-id"],
        amount=Decimal(1),
        key=uuid4().hex,
        description="Lunch",
        reference=None,
    )


def give_back(customer: Customer) -> None:
    customer.desk.call(
        "return_credits",
        credit_spend_id=customer.one("credit_spends")["id"],
        amount=Decimal("0.1"),
        key=uuid4().hex,
        reason="Cold soup",
    )


def grant(customer: Customer) -> None:
    customer.desk.acting(actor_role="finance").call(
        "grant_credits",
        customer_id=customer.desk.session["x-hasura-customer-id"],
        amount=Decimal(1),
        key=uuid4().hex,
        reason="Welcome",
        expires_at=None,
    )


def expire(customer: Customer) -> None:
    customer.desk.call("expire_credits", limit=10)


def sweep(customer: Customer) -> None:
    customer.desk.call("apply_due_gateway_event")
    customer.desk.db.commit()  # each has a transaction of its own, and so its own order of locks
    customer.desk.call("claim_payment_checks", limit=3)
    customer.desk.db.commit()
    customer.desk.call("claim_refund_checks", limit=3)


def seal(customer: Customer) -> None:
    customer.desk.call("seal_ledger_block")


FUNCTIONS: list[Callable[[Customer], None]] = [
    buy, capture, fail, refund, end_refund, dispute, spend, give_back, grant, expire, sweep, seal,
]  # fmt: skip
PAIRS = list(combinations_with_replacement(FUNCTIONS, 2))


def connected(url: str) -> Any:
    return psycopg.connect(url, row_factory=dict_row)


def prepare(db: Connection) -> Tenant:
    """Six purchases that are paid, three that are open, a spend, a refund, a lot that expires."""
    tenant = settle(db)
    db.execute(
        "insert into system_settings values (%s, 'credits_expire_after_days', '1')",
        [tenant.organization_id],
    )
    desk = Desk(db, tenant.session)
    paid = [desk.paid(key=f"paid-{number}") for number in range(6)]
    for number in range(3):
        desk.open(key=f"open-{number}")
    customer = Customer(desk, random.Random(1))
    spend(customer)
    desk.refund(paid[0]["payment_intent_id"], amount=100, key="refund-1")
    db.execute("update clock set skew_seconds = skew_seconds + 86400")
    desk.paid(key="young")
    return tenant


@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: f"{pair[0].__name__}-{pair[1].__name__}")
def test_a_pair_of_money_functions_at_once(
    database: str, pair: tuple[Callable[[Customer], None], ...]
) -> None:
    with connected(database) as db:
        tenant = prepare(db)
    barrier = Barrier(THREADS)

    def work(thread: int) -> int:
        draw = random.Random(thread)
        done = 0
        with connected(database) as db:
            barrier.wait()
            for _ in range(CALLS):
                try:
                    pair[thread % 2](Customer(Desk(db, tenant.session), draw))
                    db.commit()
                    done += 1
                except psycopg.DataError as refused:  # class 22: a refusal of the business
                    db.rollback()
                    if not str(refused.sqlstate).startswith("22B"):
                        raise
        return done

    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(work, range(THREADS)))
    with connected(database) as db:
        assert broken_invariants(db) == {}
