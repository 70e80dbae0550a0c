"""A shop sends parts back in its gateway's dashboard while all is on its way: all of it at once."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from threading import Barrier
from typing import Any

import psycopg
import pytest
from books import broken_invariants, settle
from money_back import listed
from psycopg.rows import dict_row

from .conftest import Office, stock
from .test_called_off_money import say, systems
from .test_sent_back_there import called_off, retry, send_back_there

PARTS = {"rfnd_a": 45000, "rfnd_b": 45000, "rfnd_c": 100000}
REST = 245000 - sum(PARTS.values())
TIMES = 4  # that each is told of, each time by a message of its own


def tell_at_once(url: str, office: Office, row: dict[str, Any], refund: dict[str, Any]) -> None:
    """Let the gateway refuse ours and tell of the parts, in sixteen transactions at once."""

    def refuse(desk: Office) -> None:
        say(desk, refund, "failed", failure_code="gateway-refused")

    def tell_of(name: str, desk: Office) -> None:
        send_back_there(desk, row, gateway_refund_id=name, amount=PARTS[name])

    words = [refuse, *(lambda desk, name=name: tell_of(name, desk) for name in PARTS)] * TIMES
    barrier = Barrier(len(words))

    def run(word: Any) -> None:
        with psycopg.connect(url, row_factory=dict_row, autocommit=True) as connection:
            barrier.wait()
            word(replace(office, db=connection))

    with ThreadPoolExecutor(len(words)) as pool:
        list(pool.map(run, words))


def be_the_gateway(office: Office, left: int) -> int:
    """Send back what the system still asks for, while there is enough. Answers what is left."""
    for _ in range(2 * len(PARTS)):
        retry(office)
        for refund in systems(office.db):
            if refund["status"] in ("succeeded", "failed"):
                continue
            if refund["amount"] > left:
                say(office, refund, "failed", failure_code="gateway-refused")
            else:
                left -= refund["amount"]
                say(office, refund, "succeeded")
    return left


@pytest.mark.thorough
@pytest.mark.parametrize("number", range(12))
def test_whatever_is_heard_first_each_rupee_goes_back_once(database, number) -> None:
    with psycopg.connect(database, row_factory=dict_row, autocommit=True) as db:
        office = stock(db, settle(db))
        row, refund = called_off(office)
        tell_at_once(database, office, row, refund)
        assert be_the_gateway(office, REST) == 0

        rows = db.execute(
            "select requested_by, amount::int from refunds where status = 'succeeded' order by 1, 2"
        ).fetchall()
        assert [tuple(each.values()) for each in rows] == [
            *(("gateway", amount) for amount in sorted(PARTS.values())),
            ("system", REST),
        ]
        assert listed(db) == set()
        assert broken_invariants(db) == {}
