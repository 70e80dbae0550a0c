"""What the journal tells of locks, and a rule about their order that can fail."""

from __future__ import annotations

import re
from collections.abc import Iterator
from uuid import UUID

import lock_order
import psycopg
import pytest
from bank_transfers.test_hammer import opened, said
from books import Connection, settle
from journal import Journal
from money_back import Desk
from orders.conftest import Office
from orders.test_order_events import CANCELLED, PLACED, READY, TERMS, hear, save_card
from psycopg.rows import dict_row

FUNCTION = """
create function {name}(hasura_session json) returns setof customers
language plpgsql security definer set search_path = public
as $$
begin
    {body}
end;
$$;
grant execute on function {name} to munim_hasura;
"""
INTENTS = "perform from payment_intents order by id for no key update;"
ATTEMPTS = "perform from payment_attempts order by id for no key update;"
BACKWARDS = "for i in 0..9 loop perform from payment_intents order by id desc offset i limit 1"
BACKWARDS += " for no key update; end loop;"
IN_A_PART = f"begin {ATTEMPTS} exception when division_by_zero then null; end;"
BODIES = {
    "in order": (INTENTS + ATTEMPTS, []),
    "swapped": (ATTEMPTS + INTENTS, ["payment_intents is locked after payment_attempts"]),
    "changed before it was locked": (
        "update payment_attempts set checks = checks;" + INTENTS,
        ["payment_intents is locked after payment_attempts"],
    ),
    "swapped, in a part with its own handler": (
        IN_A_PART + INTENTS,
        ["payment_intents is locked after payment_attempts"],
    ),
    "the last id first": (BACKWARDS, ["payment_intents are not locked in order of id"]),
    "alone": ("update clock set skew_seconds = 0;", []),
    "without a place": (
        "update clock set skew_seconds = 0;" + INTENTS,
        ["clock has no place among ['clock', 'payment_intents']"],
    ),
}


@pytest.fixture
def desk(database: str, journal: Journal) -> Iterator[Desk]:
    """A customer with ten payments; what was done before the test is not read any more."""
    with psycopg.connect(database, row_factory=dict_row, autocommit=True) as db:
        desk = Desk(db, settle(db).session)
        for number in range(10):
            do(desk, "open", key=f"key-{number}")
        journal.begin()
        yield desk


def do(desk: Desk, name: str, **asked: object) -> dict:
    with desk.db.transaction():
        return getattr(desk, name)(**asked)


def told(desk: Desk, journal: Journal) -> list[str]:
    return lock_order.breaches(one for one in journal.read(desk.db.info.dbname) if one.calls)


@pytest.mark.parametrize("name", BODIES)
def test_what_is_locked_against_the_order_is_told(desk: Desk, journal: Journal, name: str) -> None:
    body, breaches = BODIES[name]
    desk.db.execute(FUNCTION.format(name="act", body=body))
    do(desk, "call", function="act")

    assert told(desk, journal) == [f"act: {breach}" for breach in breaches]


def test_foreign_keys_and_rows_of_ones_own_are_nobodys_order(desk: Desk, journal: Journal) -> None:
    with desk.db.transaction():
        desk.open(key="new")
        desk.db.execute("update payment_intents set purpose = purpose where status = 'pending'")

    (call,) = [one for one in journal.read(desk.db.info.dbname) if one.calls]
    held = [lock for lock in call.locks if not lock.is_new]
    assert [lock.table for lock in held] == ["customers"] + 10 * ["payment_intents"]
    assert all(lock.id for lock in held)


def test_a_payment_and_all_that_becomes_of_it_lock_in_order(desk: Desk, journal: Journal) -> None:
    paid = [do(desk, "open", key=f"paid-{number}") for number in range(8)]
    for row in paid:
        do(desk, "receive", attempt_id=row["payment_attempt_id"], gateway_session_id=None)
    refund = do(desk, "refund", intent_id=paid[0]["payment_intent_id"], amount=100)
    do(desk, "say", refund=refund, outcome="succeeded")
    do(desk, "dispute", attempt_id=paid[1]["payment_attempt_id"], outcome="lost")
    asked = {"customer_id": desk.session["x-hasura-customer-id"], "amount": 300, "key": "spent"}
    do(desk, "call", function="spend_credits", description="Lunch", reference=None, **asked)

    assert told(desk, journal) == []


def test_what_comes_back_after_an_order_was_called_off_locks_in_order(
    desk: Desk, journal: Journal
) -> None:
    office = Office(desk.db, desk.session, UUID(desk.session["x-hasura-organization-id"]))
    with desk.db.transaction():
        desk.db.execute("update customers set external_id = 'SHP-1'")
        save_card(desk.db, office)
    for number in range(8):
        with desk.db.transaction():
            asked = {"reference": f"ord-{number}", **TERMS, "currency": "USD"}
            (charge,) = hear(office, READY, **asked)
        do(office, "receive", attempt_id=charge["id"], amount=4200, gateway_session_id=None)
        if number % 2:
            said = {"attempt_id": charge["id"], "amount": 100, "gateway_dispute_id": str(number)}
            do(office, "dispute", outcome="opened", **said)
        else:
            intent = office.row("payment_attempts", charge["id"])["payment_intent_id"]
            refund = do(office, "refund", intent_id=intent, amount=100, key=str(number))
        with desk.db.transaction():
            hear(office, CANCELLED, reference=f"ord-{number}")
        if number % 2:
            do(office, "dispute", outcome="won", **said)
        else:
            do(office, "say", refund=refund, outcome="failed")

    (row,) = desk.db.execute(
        "select count(*) as refunds from refunds where requested_by = 'system'"
    ).fetchall()
    assert row["refunds"] == 16
    assert told(desk, journal) == []


def test_receipts_of_one_payment_lock_before_the_accounts(database: str, journal: Journal) -> None:
    _, counter, account = opened(database)
    order = said(database, counter, lambda one: one.order(amount=300_000))
    about = {"amount": 100_000, "order_display_id": order["display_id"]}
    for number in range(3):
        name = f"UTR{number:06}"
        entry = said(
            database, counter, lambda one, n=name: one.enter(account, reference=n, **about)
        )
        said(database, counter, lambda one, it=entry: one.approve(it))

    calls = journal.read(database.rpartition("/")[2])
    assert lock_order.breaches(one for one in calls if len(one.calls) == 1) == []
    assert [one for one in calls if one.calls == ["approve_bank_transfer"]]


# Circuits: who finds out whether gateways answer again has locked all that it may have to wait for

SILENT = """
insert into gateway_circuits (gateway, livemode, operation, failures, opened_at)
select gateway, false, operation, 5, clock_now() - interval '31 seconds'
from unnest(array['stripe', 'razorpay', 'payu']) as gateway,
    unnest(array['refund', 'look-up', 'charge', 'capture']) as operation
order by gateway desc, operation desc
"""
SPREAD = """
with numbered as (
    select id, row_number() over (order by id)::integer as number from {table} where {of}
)
update {table}
set gateway = (array['stripe', 'razorpay', 'payu', 'cashfree'])[1 + number % 4], {changes}
from numbered where numbered.id = {table}.id
"""


def due_attempts(desk: Desk) -> dict[str, object]:
    held = "status = 'authorized', gateway_payment_id = number, amount_to_capture = amount"
    due = f"{held}, next_check_at = clock_now()"
    desk.db.execute(SPREAD.format(table="payment_attempts", of="true", changes=due))
    return {"limit": 20}


def due_refunds(desk: Desk) -> dict[str, object]:
    for number in range(8):
        paid = do(desk, "open", key=f"paid-{number}")
        do(desk, "receive", attempt_id=paid["payment_attempt_id"], gateway_session_id=None)
        do(desk, "refund", intent_id=paid["payment_intent_id"], amount=100, key=f"re-{number}")
    desk.db.execute(
        SPREAD.format(table="refunds", of="true", changes="next_check_at = clock_now()")
    )
    return {"limit": 20}


def due_searches(desk: Desk) -> dict[str, object]:
    pending = "status = 'pending'"
    desk.db.execute(SPREAD.format(table="payment_attempts", of="true", changes=pending))
    desk.db.execute(
        "insert into refund_searches"
        " (payment_attempt_id, organization_id, gateway, livemode, began_at, due_at)"
        " select id, organization_id, gateway, livemode, clock_now(), clock_now()"
        " from payment_attempts"
    )
    return {"limit": 20}


def due_charges(desk: Desk) -> dict[str, object]:
    office = Office(desk.db, desk.session, UUID(desk.session["x-hasura-organization-id"]))
    with desk.db.transaction():
        desk.db.execute("update customers set external_id = 'SHP-1'")
        save_card(desk.db, office)
    for number in range(8):
        with desk.db.transaction():
            hear(office, PLACED, reference=f"ord-{number}", **TERMS | {"currency": "USD"})
            hear(office, READY, reference=f"ord-{number}")
    charges = "payment_method_id is not null"
    desk.db.execute(SPREAD.format(table="payment_attempts", of=charges, changes="checks = 0"))
    desk.db.execute("update clock set skew_seconds = skew_seconds + 120")
    return {"limit": 20}


def returning_payer(desk: Desk) -> dict[str, object]:
    paid = do(desk, "open", key="returns")
    return {"payment_intent_id": paid["payment_intent_id"]}


CLAIMS = {
    "claim_payment_checks": (due_attempts, 6),
    "claim_refund_checks": (due_refunds, 6),
    "claim_refund_searches": (due_searches, 3),
    "claim_order_charges": (due_charges, 3),
    "claim_return_checks": (returning_payer, 1),
}


@pytest.mark.parametrize("claim", CLAIMS)
def test_who_probes_gateways_locks_their_circuits_last(
    desk: Desk, journal: Journal, claim: str
) -> None:
    prepare, probed = CLAIMS[claim]
    asked = prepare(desk)
    desk.db.execute(SILENT)
    journal.begin()
    with desk.db.transaction():
        assert desk.call(claim, **asked)

    (call,) = [one for one in journal.read(desk.db.info.dbname) if one.calls]
    assert [lock.table for lock in call.locks].count("gateway_circuits") == probed
    assert list(lock_order.breaches([call])) == []


# Keys: whoever changes one keeps all away that only refer to its row, at a moment of their choice

KEYS = """
select indrelid::regclass::text as named, attname as col
from pg_index
inner join pg_attribute on attrelid = indrelid and attnum = any(indkey)
where indisunique and indpred is null and indexprs is null
    and indrelid in (select confrelid from pg_constraint where contype = 'f')
"""
BODIES_OF_ALL = """
select proname, pg_get_functiondef(oid) as body from pg_proc
where pronamespace = 'public'::regnamespace and prokind = 'f'
"""
UPDATE = re.compile(
    r"\bupdate (?:only )?(\w+)(?: (?:as )?(?!set\b)\w+)?\s+set\b(.*?)(?:\bfrom\b|\bwhere\b|;|$)"
    r"|\binsert into (\w+)(?:(?!;).)*?\bdo update\s+set\b(.*?)(?:\bwhere\b|\breturning\b|;|$)",
    re.IGNORECASE | re.DOTALL,
)


def changed(body: str) -> Iterator[tuple[str, str]]:
    for table, one, other, two in UPDATE.findall(body):
        for column in re.findall(r"(?:\A|,)[\s(]*(\w+) = ", one or two):
            yield table or other, column


def test_a_change_of_a_column_is_seen() -> None:
    assert [*changed("update a set x = 1, y = f(z) where k = 2; update b as c\nset z = 3")] == [
        *[("a", "x"), ("a", "y"), ("b", "z")]
    ]
    upsert = "insert into a (k) values (1) on conflict (k) do update set k = 2 returning *;"
    assert [*changed(upsert)] == [("a", "k")]


def test_no_function_changes_a_key_that_foreign_keys_refer_to(db: Connection) -> None:
    keys = {(row["named"], row["col"]) for row in db.execute(KEYS).fetchall()}
    found = {
        f"{row['proname']} changes {table}.{column}"
        for row in db.execute(BODIES_OF_ALL).fetchall()
        for table, column in changed(row["body"])
        if (table, column) in keys
    }
    assert found == set()
