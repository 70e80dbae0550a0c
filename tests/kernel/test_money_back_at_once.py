"""Many payments' money goes back at once, each in one message that is booked in several steps.

A dispute may be heard of when it is lost already, with its fee; a refund that was made at the
gateway is reserved and paid out by one message. Both book several facts in one transaction, and all
take parts of the same accounts and the same wallet: nobody may wait in a circle.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any
from uuid import UUID

import psycopg
from books import Connection, broken_invariants, settle
from money_back import Desk
from psycopg.rows import dict_row

THREADS = 16
PAYMENTS = 64


def lose(desk: Desk, attempt_id: UUID) -> Any:
    return desk.dispute(
        attempt_id,
        "lost",
        gateway_dispute_id=f"dp_{attempt_id}",
        fee_amount=1500,
        fee_currency="USD",
    )


def find_refunded(desk: Desk, attempt_id: UUID) -> Any:
    return desk.tell(
        subject="refund",
        outcome="succeeded",
        refund_id=None,
        gateway_refund_id=f"re_{attempt_id}",
        gateway_payment_id=f"pi_{attempt_id}",
        amount=2500,
        currency="USD",
    )


def connected(url: str) -> Connection:
    return psycopg.connect(url, row_factory=dict_row)


def test_disputes_and_refunds_of_many_payments_at_once_never_deadlock(database: str) -> None:
    with connected(database) as db:
        tenant = settle(db)
        desk = Desk(db, tenant.session)
        attempts = [desk.paid(key=f"paid-{n}")["payment_attempt_id"] for n in range(PAYMENTS)]
    barrier = Barrier(THREADS)

    def work(thread: int) -> list[str]:
        tell = (lose, find_refunded)[thread % 2]
        statuses = []
        with connected(database) as db:
            barrier.wait()
            for attempt_id in attempts[thread::THREADS]:
                statuses.append(tell(Desk(db, tenant.session), attempt_id)["status"])
                db.commit()
        return statuses

    with ThreadPoolExecutor(THREADS) as pool:
        statuses = [status for found in pool.map(work, range(THREADS)) for status in found]

    assert statuses == ["applied"] * PAYMENTS
    with connected(database) as db:
        ends = db.execute("select status from disputes union all select status from refunds")
        assert sorted(row["status"] for row in ends.fetchall()) == (
            ["lost"] * (PAYMENTS // 2) + ["succeeded"] * (PAYMENTS // 2)
        )
        assert broken_invariants(db) == {}
