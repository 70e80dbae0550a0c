"""Every door that moves money takes a key: once is once, whoever calls again, and how many at once.

Decision 0015. A new door belongs into the table below; the last test finds one that is missing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from decimal import Decimal
from threading import Barrier
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from bank_transfers.conftest import staffed
from books import Connection, Tenant, broken_invariants, settle
from money_back import Desk
from psycopg.rows import dict_row

Asked = dict[str, Any]
THREADS = 16
ANOTHER = "6f1e9a3e-5a55-4a5a-9a55-000000000007"


@dataclass(frozen=True)
class Door:
    """How a door is called, what it makes, and a change that makes another request of it."""

    makes: str
    ask: Callable[[Desk, Tenant], Asked]
    change: Asked
    role: str | None = None
    # Who may come through it too, each under a login of their own; and what of theirs must differ.
    others: tuple[Callable[[Desk, Tenant], Desk], ...] = ()
    theirs: Asked = field(default_factory=dict)

    def call(self, name: str, desk: Desk, **asked: Any) -> list[dict[str, Any]]:
        return desk.acting(actor_role=self.role).call(name, **asked)


def _purchase(_: Desk, __: Tenant) -> Asked:
    return {
        "amount": 2500,
        "currency": None,
        "email": "ada@example.com",
        "gateway": "stripe",
        "success_url": "https://shop.example/paid",
        "cancel_url": "https://shop.example/cancelled",
    }


def _refund(desk: Desk, _: Tenant) -> Asked:
    return {
        "payment_intent_id": desk.paid(key="paid")["payment_intent_id"],
        "payment_attempt_id": None,
        "amount": 700,
        "type": None,
        "reason": "requested_by_customer",
        "note": None,
    }


def _spend(desk: Desk, tenant: Tenant) -> Asked:
    desk.paid(key="paid")
    return {
        "customer_id": tenant.customer_id,
        "amount": Decimal(20),
        "description": "Lunch",
        "reference": None,
    }


def _return(desk: Desk, tenant: Tenant) -> Asked:
    (spent,) = desk.call("spend_credits", **_spend(desk, tenant), key="spent")
    return {"credit_spend_id": spent["id"], "amount": Decimal(5), "reason": "Cold soup"}


def _grant(_: Desk, tenant: Tenant) -> Asked:
    return {
        "customer_id": tenant.customer_id,
        "amount": Decimal(20),
        "reason": "Welcome",
        "expires_at": None,
    }


def _setup(_: Desk, __: Tenant) -> Asked:
    return {
        "amount": 2500,
        "currency": None,
        "day_of_month": 31,
        "gateway": "stripe",
        "success_url": "https://shop.example/saved",
        "cancel_url": "https://shop.example/cancelled",
    }


def _transfer(desk: Desk, tenant: Tenant) -> Asked:
    counter = staffed(desk.db, tenant)
    counter.member(desk.session["x-hasura-user-id"], "finance")
    return {
        "bank_account_id": counter.account()["id"],
        "kind": "receipt",
        "rail": "neft",
        "reference": "AXISCN1153863727",
        "amount": 245000,
        "value_date": counter.today(),
        "payer_name": None,
        "note": None,
        "order_display_id": None,
        "refund_id": None,
        "returned_id": None,
    }


def _listed(desk: Desk, tenant: Tenant) -> str:
    """List something; and another thing for whoever else comes, as a line has one end."""
    staffed(desk.db, tenant).member(desk.session["x-hasura-user-id"], "finance")
    mine, theirs = (_line(desk, tenant) for _ in range(2))
    desk.db.execute(
        "update exceptions set id = %(id)s where id = %(theirs)s"
        " and not exists (select from exceptions where id = %(id)s)",
        {"id": ANOTHER, "theirs": theirs},
    )
    return mine


def _line(desk: Desk, tenant: Tenant) -> str:
    about = str(uuid4())
    desk.db.execute(
        "select record_exception(%s, false, 'order-mismatch', 'order_event', %s, 1, 'USD', 'said')",
        [tenant.organization_id, about],
    )
    row = desk.db.execute("select id from exceptions where object_id = %s", [about]).fetchone()
    assert row is not None
    return str(row["id"])


def _resolve(desk: Desk, tenant: Tenant) -> Asked:
    return {"exception_id": _listed(desk, tenant), "reason": "seen"}


def _reopen(desk: Desk, tenant: Tenant) -> Asked:
    asked = _resolve(desk, tenant)
    finance = desk.acting(actor_role="finance")
    finance.call("resolve_exception_by_hand", **asked, key="resolved")
    return asked | {"reason": "not so"}


def _assign(desk: Desk, tenant: Tenant) -> Asked:
    return {"exception_id": _listed(desk, tenant), "user_id": "meera"}


def _colleague(desk: Desk, _: Tenant) -> Desk:
    return desk.acting(user_id=str(uuid4()))


def _service(desk: Desk, _: Tenant) -> Desk:
    return desk.acting(user_id=None)


def _new_login(desk: Desk, tenant: Tenant) -> Desk:
    """A customer acts for themselves alone; but their login may have become another one."""
    desk.db.execute("update customers set user_id = 'new' where id = %s", [tenant.customer_id])
    return desk.acting(user_id="new")


def _member(desk: Desk, _: Tenant) -> Desk:
    return desk.acting(user_id="meera")


STAFF = (_colleague, _service)
DOORS = {
    "open_credit_purchase": Door(
        "credit_purchases", _purchase, {"amount": 2501}, others=(_new_login,)
    ),
    "open_refund": Door("refunds", _refund, {"amount": 701}, others=STAFF),
    "spend_credits": Door("credit_spends", _spend, {"amount": Decimal(21)}, others=STAFF),
    "return_credits": Door("credit_returns", _return, {"amount": Decimal(6)}, others=STAFF),
    "grant_credits": Door(
        "credit_grants", _grant, {"amount": Decimal(21)}, "finance", others=STAFF
    ),
    "record_bank_transfer": Door(
        *("bank_transfers", _transfer, {"amount": 245001}, "finance"),
        others=(_member,),
        theirs={"reference": "AXISCN1153863728"},
    ),
    "resolve_exception_by_hand": Door(
        *("exception_decisions", _resolve, {"reason": "not seen"}, "finance"),
        others=(_member,),
        theirs={"exception_id": ANOTHER},
    ),
    "reopen_exception": Door(
        *("exception_decisions", _reopen, {"reason": "just so"}, "finance"),
        others=(_member,),
        theirs={"exception_id": ANOTHER},
    ),
    "assign_exception": Door(
        *("exception_decisions", _assign, {"user_id": "omkar"}, "finance"),
        others=(_member,),
        theirs={"exception_id": ANOTHER},
    ),
    "open_autopay_setup": Door(
        "autopay_mandates", _setup, {"day_of_month": 30}, others=(_new_login,)
    ),
}


def count(db: Connection, door: Door) -> int:
    return db.execute(f"select count(*) as rows from {door.makes}").fetchone()["rows"]


@pytest.fixture
def desk(db: Connection, tenant: Tenant) -> Desk:
    return Desk(db, tenant.session)


@pytest.mark.parametrize("name", DOORS)
def test_the_same_request_again_is_the_same_thing(db, desk, tenant, name) -> None:
    door = DOORS[name]
    asked = door.ask(desk, tenant)
    before = count(db, door)
    first = door.call(name, desk, **asked, key="key-1")
    assert door.call(name, desk, **asked, key="key-1") == first

    assert count(db, door) == before + 1
    assert broken_invariants(db) == {}


@pytest.mark.parametrize("name", DOORS)
def test_another_request_under_the_same_key_is_refused(db, desk, tenant, name) -> None:
    door = DOORS[name]
    asked = door.ask(desk, tenant)
    door.call(name, desk, **asked, key="key-1")
    before = count(db, door)
    refused = pytest.raises(psycopg.Error, match="idempotency-key-reused: ")
    with refused as refusal, db.transaction():
        door.call(name, desk, **asked | door.change, key="key-1")

    assert refusal.value.sqlstate == "22B08"
    assert count(db, door) == before


@pytest.mark.parametrize("name", DOORS)
def test_a_key_is_somebody_elses_own(db, desk, tenant, name) -> None:
    """Another organisation's customer uses the same words for their own."""
    door = DOORS[name]
    door.call(name, desk, **door.ask(desk, tenant), key="key-1")
    other = settle(db)
    theirs = Desk(db, other.session)
    asked = door.ask(theirs, other)
    before = count(db, door)
    door.call(name, theirs, **asked, key="key-1")

    assert count(db, door) == before + 1


@pytest.mark.parametrize(
    ("name", "other"),
    [(name, other) for name, door in DOORS.items() for other in door.others],
    ids=lambda value: value if isinstance(value, str) else value.__name__.strip("_"),
)
def test_a_key_is_that_of_who_asked(db, desk, tenant, name, other) -> None:
    """Two who choose the same words ask for two things, and each may repeat their own."""
    door = DOORS[name]
    asked = door.ask(desk, tenant)
    mine = door.call(name, desk, **asked, key="key-1")
    before = count(db, door)
    them = other(desk, tenant)
    theirs = door.call(name, them, **asked | door.theirs, key="key-1")

    assert count(db, door) == before + 1
    assert door.call(name, them, **asked | door.theirs, key="key-1") == theirs
    assert [row["id"] for row in theirs] != [row["id"] for row in mine]
    assert count(db, door) == before + 1
    assert broken_invariants(db) == {}


def test_every_door_is_tried_by_another_than_who_asked() -> None:
    assert [name for name, door in DOORS.items() if not door.others] == []


@pytest.mark.parametrize("name", DOORS)
def test_many_at_once_make_one(database, name) -> None:
    door = DOORS[name]
    with connected(database) as db:
        tenant = settle(db)
        asked = door.ask(Desk(db, tenant.session), tenant)
        before = count(db, door)
    barrier = Barrier(THREADS)

    def call(_: int) -> Any:
        with connected(database) as db:
            barrier.wait()
            (row,) = door.call(name, Desk(db, tenant.session), **asked, key="key-1")
            db.commit()
            return row["id"]

    with ThreadPoolExecutor(THREADS) as pool:
        made = set(pool.map(call, range(THREADS)))
    with connected(database) as db:
        assert count(db, door) == before + 1
        assert broken_invariants(db) == {}
    assert len(made) == 1


def connected(url: str) -> Any:
    return psycopg.connect(url, row_factory=dict_row)


def test_no_door_with_a_key_is_missing_here(db) -> None:
    def named() -> Iterator[str]:
        yield from (
            row["proname"]
            for row in db.execute(
                "select proname from pg_proc where 'p_key' = any(proargnames)"
                " and 'hasura_session' = any(proargnames)"
            )
        )

    assert set(named()) == set(DOORS)
