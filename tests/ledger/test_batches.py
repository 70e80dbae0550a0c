"""Many facts in one call make the same books as one call each."""

from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from books import Connection, Tenant, broken_invariants
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

NAMES = ["cash", "sales", "fees"]
FACT = st.tuples(
    st.sampled_from([f"fact:{n}" for n in range(8)]),
    st.permutations(NAMES),
    st.integers(1, 10**12),
    st.integers(0, 9),
)


def lines(names: list[str], amount: int, fee: int) -> list[tuple[str, int]]:
    first, second, third = names
    return [(first, amount + fee), (second, -amount)] + ([(third, -fee)] if fee else [])


def batch(
    db: Connection, tenant: Tenant, accounts: dict[str, UUID], facts: dict[str, Any]
) -> list[UUID]:
    postings = ", ".join(
        f"row('{key}', 'sale', 'test', gen_random_uuid(), clock_now(), array["
        + ", ".join(f"row('{accounts.get(name, name)}', {moved})" for name, moved in legs)
        + "]::ledger_line[])::ledger_posting"
        for key, legs in facts.items()
    )
    rows = db.execute(
        f"select post_ledger_transactions(%s, false, array[{postings}]::ledger_posting[]) as id",
        [tenant.organization_id],
    )
    return [row["id"] for row in rows]


def entries(db: Connection) -> list[dict[str, Any]]:
    return db.execute(
        "select key, position, code, amount, balance_after from ledger_entries"
        " join ledger_transactions on ledger_transactions.id = ledger_transaction_id"
        " join ledger_accounts on ledger_accounts.id = ledger_account_id order by ledger_entries.id"
    ).fetchall()


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(facts=st.lists(FACT, max_size=8, unique_by=lambda fact: fact[0]), before=st.integers(0, 8))
def test_a_batch_is_as_good_as_one_by_one(db, tenant, accounts, post, facts, before) -> None:
    """`before` of the facts are booked already when the batch comes."""
    asked = {key: lines(names, amount, fee) for key, names, amount, fee in facts}

    db.execute("savepoint clean")
    single = {key: post(key, legs) for key, legs in asked.items()}
    wanted = [tuple(e.values()) for e in entries(db)]
    assert len(single) == len(asked)
    db.execute("rollback to savepoint clean")

    for key in list(asked)[:before]:
        post(key, asked[key])
    ids = batch(db, tenant, accounts, asked)

    assert len(ids) == len(set(ids)) == len(asked)
    # Legs are numbered by place in a batch and by account in a posting: the books are the same.
    assert sorted(row[:4] for row in wanted) == sorted(tuple(e.values())[:4] for e in entries(db))
    assert batch(db, tenant, accounts, asked) == ids
    db.execute("set constraints all immediate")
    assert broken_invariants(db) == {}
    db.execute("rollback to savepoint clean")


def test_a_key_twice_in_one_batch_is_one_fact(db, tenant, accounts) -> None:
    postings = (
        "array_fill(row('sale:1', 's', 't', null::uuid, clock_now(),"
        " array[row(%s, 5), row(%s, -5)]::ledger_line[])::ledger_posting, array[2])"
    )
    db.execute("alter table ledger_transactions alter reference_id drop not null")
    rows = db.execute(
        f"select post_ledger_transactions(%s, false, {postings}) as id",
        [tenant.organization_id, accounts["cash"], accounts["sales"]],
    ).fetchall()

    assert rows[0] == rows[1]
    assert len(entries(db)) == 2


def test_one_bad_fact_refuses_the_batch(db, tenant, accounts) -> None:
    good = [("cash", 5), ("sales", -5)]
    with pytest.raises(psycopg.Error) as failure:
        batch(db, tenant, accounts, {"sale:1": good, "sale:2": [("cash", 5), (str(uuid4()), -5)]})
    assert failure.value.sqlstate == "P0004"


def test_a_batch_that_does_not_balance_cannot_be_committed(db, tenant, accounts) -> None:
    batch(db, tenant, accounts, {"sale:1": [("cash", 5), ("sales", -4)]})

    with pytest.raises(psycopg.Error) as failure:
        db.execute("set constraints all immediate")
    assert failure.value.sqlstate == "P0004"


def test_a_key_twice_in_one_batch_cannot_change_its_meaning(db, tenant, accounts) -> None:
    rows = ", ".join(
        f"row('sale:1', 's', 't', gen_random_uuid(), clock_now(), array["
        f"row('{accounts['cash']}', {amount}), row('{accounts['sales']}', {-amount})]"
        "::ledger_line[])"
        for amount in (5, 6)
    )
    with pytest.raises(psycopg.Error) as failure:
        db.execute(
            f"select post_ledger_transactions(%s, false, array[{rows}]::ledger_posting[])",
            [tenant.organization_id],
        )
    assert failure.value.sqlstate == "22B02"


def test_of_a_key_twice_in_one_batch_the_first_is_booked(db, tenant, accounts) -> None:
    rows = ", ".join(
        f"row('sale:1', '{kind}', 't', gen_random_uuid(), clock_now(), array["
        f"row('{accounts['cash']}', 5), row('{accounts['sales']}', -5)]::ledger_line[])"
        for kind in ("zebra", "ant")
    )
    db.execute(
        f"select post_ledger_transactions(%s, false, array[{rows}]::ledger_posting[])",
        [tenant.organization_id],
    )
    assert db.execute("select kind from ledger_transactions").fetchall() == [{"kind": "zebra"}]


@pytest.mark.parametrize("more", [0, 5])
def test_a_batch_leaves_no_bound_on_its_way(db, tenant, accounts, more) -> None:
    """One by one the first would be refused, so it is in a batch, whatever comes after it."""
    db.execute("update ledger_accounts set minimum = -3 where id = %s", [accounts["cash"]])
    after = {f"more:{n}": [("cash", 9), ("fees", -9)] for n in range(more + 1)}

    with pytest.raises(psycopg.Error) as failure, db.transaction():
        batch(db, tenant, accounts, {"a": [("cash", -5), ("sales", 5)]} | after)
    assert failure.value.sqlstate == "23514"
    batch(db, tenant, accounts, {"a": [("cash", -3), ("sales", 3)]} | after)


@pytest.mark.parametrize("lines", ["null", "'{}'", "array[null]"])
def test_a_fact_without_lines_refuses_the_batch(db, tenant, lines) -> None:
    def book() -> None:
        db.execute(
            "select post_ledger_transactions(%s, false, array[row('sale:1', 's', 't',"
            f" gen_random_uuid(), clock_now(), {lines}::ledger_line[])]::ledger_posting[])",
            [tenant.organization_id],
        )
        db.execute("set constraints all immediate")

    with pytest.raises(psycopg.Error) as failure:
        book()
    assert failure.value.sqlstate == "P0004"


@pytest.mark.parametrize("postings", ["null", "'{}'"])
def test_a_batch_of_nothing_books_nothing(db, tenant, postings) -> None:
    rows = db.execute(
        f"select post_ledger_transactions(%s, false, {postings}::ledger_posting[])",
        [tenant.organization_id],
    ).fetchall()
    assert rows == []


@pytest.mark.parametrize("more", [0, 5])
def test_a_closed_account_or_another_mode_refuses_the_batch(db, tenant, accounts, more) -> None:
    live = db.execute(
        "select ledger_account(%s, true, 'cash', 'asset', 'USD') as id", [tenant.organization_id]
    ).fetchone()["id"]
    db.execute("update ledger_accounts set status = 'closed' where id = %s", [accounts["fees"]])
    good = {f"more:{n}": [("cash", 9), ("sales", -9)] for n in range(more)}

    for account in (live, accounts["fees"]):
        with pytest.raises(psycopg.Error) as failure, db.transaction():
            batch(db, tenant, accounts, good | {"sale:1": [(account, 5), ("sales", -5)]})
        assert failure.value.sqlstate == "P0004"


def test_a_key_in_a_batch_cannot_change_its_meaning(db, tenant, accounts, post) -> None:
    post("sale:1", [("cash", 5), ("sales", -5)])

    with pytest.raises(psycopg.Error) as failure:
        batch(db, tenant, accounts, {"sale:1": [("cash", 6), ("sales", -6)]})
    assert failure.value.sqlstate == "22B02"
