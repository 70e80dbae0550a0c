"""Many facts in one call make the same books as one call each."""

from typing import Any
from uuid import UUID

import psycopg
import pytest
from books import Connection, Tenant, broken_invariants
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ledger.conftest import SIZES, Batch, Fact, Post, book

NAMES = ["cash", "sales", "fees", "wallet", "till"]
FACT = st.builds(
    lambda number, names, amount: Fact(f"fact:{number}", *names[:2], amount),
    st.integers(0, 11),
    st.permutations(NAMES),
    st.sampled_from([1, 2, 3, 20, 21, 10**12]),
)
FACTS = st.lists(FACT, min_size=1, max_size=9, unique_by=lambda fact: fact.key)
IN_ONE_TRANSACTION = settings(
    max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
MANY_OR_FEW = pytest.mark.parametrize("size", [2, 3, 4, 5, 7])


def entries(db: Connection) -> list[tuple[Any, ...]]:
    """Each account's history in order."""
    rows = db.execute(
        "select code, key, kind, entry_type, ledger_entries.amount, balance_after"
        " from ledger_entries"
        " join ledger_transactions on ledger_transactions.id = ledger_transaction_id"
        " join ledger_accounts on ledger_accounts.id = ledger_account_id"
        " order by code, ledger_entries.created_at"
    ).fetchall()
    return [tuple(row.values()) for row in rows]


@pytest.fixture
def bounded(db: Connection, tenant: Tenant, accounts: dict[str, UUID]) -> dict[str, UUID]:
    """Two more accounts: one may only owe, one may only have; each has 20."""
    for name, minimum, maximum in (("wallet", None, 0), ("till", 0, None)):
        accounts[name] = db.execute(
            "insert into ledger_accounts"
            " (organization_id, livemode, code, account_type, currency, minimum, maximum)"
            " values (%s, false, %s, 'asset', 'USD', %s, %s) returning id",
            [tenant.organization_id, name, minimum, maximum],
        ).fetchone()["id"]
    grants = [
        Fact("grant:wallet", accounts["cash"], accounts["wallet"], 20),
        Fact("grant:till", accounts["till"], accounts["sales"], 20),
    ]
    for grant in grants:
        book(db, tenant.organization_id, [grant])
    return accounts


def outcome(db: Connection, work: Any) -> tuple[str | None, list[tuple[Any, ...]]]:
    """What refused it, and the books afterwards; everything is taken back."""
    state = None
    with db.transaction(force_rollback=True):
        try:
            with db.transaction():
                work()
        except psycopg.Error as failure:
            state = failure.sqlstate
        assert broken_invariants(db) == {}
        return state, entries(db)


@IN_ONE_TRANSACTION
@given(facts=FACTS, before=st.integers(0, 9), again=st.lists(st.integers(0, 8), max_size=2))
def test_a_batch_is_as_good_as_one_by_one(
    db, bounded, post: Post, batch: Batch, facts, before, again
) -> None:
    """`before` of the facts are booked already, if they can be; some come a second time."""
    facts = facts + [facts[n] for n in again if n < len(facts)]
    with db.transaction(force_rollback=True):
        for fact in facts[:before]:
            try:
                with db.transaction():
                    post(*fact[:4])
            except psycopg.errors.CheckViolation:
                pass
        known = entries(db)
        singly: list[UUID] = []
        wanted = outcome(db, lambda: singly.extend(post(*fact[:4]) for fact in facts))
        assert outcome(db, lambda: batch(facts)) == wanted

        if wanted[0] is None:
            ids = batch(facts)
            assert batch(facts) == ids
            assert [post(*fact[:4]) for fact in facts] == ids
            assert [ids.index(one) for one in ids] == [singly.index(one) for one in singly]
            assert entries(db) == wanted[1]
        else:
            assert wanted[0] == "23514"
            assert entries(db) == known


@IN_ONE_TRANSACTION
@given(facts=FACTS, more=FACTS, changed=FACT)
def test_a_batch_where_a_key_means_something_else_is_refused_whole(
    db, bounded, batch: Batch, facts, more, changed
) -> None:
    with db.transaction(force_rollback=True):
        try:
            with db.transaction():
                batch(facts)
        except psycopg.errors.CheckViolation:
            return
        booked = {fact.key: fact for fact in facts}
        known = entries(db)

        state, left = outcome(db, lambda: batch([*more, changed]))
        clash = any(
            booked.get(fact.key, fact) != fact
            for fact in [*more, changed, *(one for one in more if one.key == changed.key)]
        ) or any(one.key == changed.key and one != changed for one in more)
        assert state in ({"22B02", "23514"} if clash else {None, "23514"})
        assert state is None or left == known


@MANY_OR_FEW
def test_a_key_twice_in_one_batch_is_one_fact(db, batch, size) -> None:
    ids = batch([Fact("sale:1", "cash", "sales", 5)] * size)

    assert len(set(ids)) == 1
    assert len(ids) == size
    assert len(entries(db)) == 2
    assert broken_invariants(db) == {}


@MANY_OR_FEW
def test_a_batch_of_which_a_part_is_booked_books_the_rest(db, post, batch, size) -> None:
    facts = [Fact(f"sale:{n}", "cash", "sales", 5 + n) for n in range(size)]
    for place in range(size):
        with db.transaction(force_rollback=True):
            booked = post(*facts[place][:4])
            ids = batch(facts)
            assert ids[place] == booked
            assert len(set(ids)) == size
            assert len(entries(db)) == 2 * size
            assert batch(facts) == ids
            assert batch(reversed(facts)) == ids[::-1]
            assert broken_invariants(db) == {}


@MANY_OR_FEW
def test_a_key_twice_in_one_batch_cannot_change_its_meaning(db, batch, books, size) -> None:
    before = books()
    facts = [Fact(f"sale:{n}", "cash", "sales", 5) for n in range(size)]
    facts[-1] = Fact("sale:0", "cash", "sales", 6)

    with pytest.raises(psycopg.Error) as failure, db.transaction():
        batch(facts)
    assert failure.value.sqlstate == "22B02"
    assert books() == before


@MANY_OR_FEW
def test_of_a_key_twice_in_one_batch_the_first_is_booked(db, batch, size) -> None:
    kinds = ["zebra", *["ant"] * (size - 1)]
    batch([Fact("sale:1", "cash", "sales", 5, kind) for kind in kinds])

    assert db.execute("select kind from ledger_transactions").fetchall() == [{"kind": "zebra"}]


@MANY_OR_FEW
def test_the_ids_come_in_the_order_of_the_batch(db, batch, size) -> None:
    facts = [Fact(f"sale:{n}", "cash", "sales", 1 + n) for n in (3, 1, 4, 0, 5, 2, 6)[:size]]
    ids = batch(facts)

    for fact, one in zip(facts, ids, strict=True):
        row = db.execute("select key, amount from ledger_transactions where id = %s", [one])
        assert row.fetchone() == {"key": fact.key, "amount": fact.amount}


@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
@pytest.mark.parametrize(("name", "lowest"), [("wallet", False), ("till", True)])
def test_a_batch_leaves_no_bound_on_its_way(db, bounded, batch, books, size, name, lowest) -> None:
    """One by one the first would be refused, so it is in a batch, whatever comes after it."""

    def facts(amount: int) -> list[Fact]:
        first, back = [("cash", name), (name, "cash")][:: -1 if lowest else 1]
        return [
            Fact("out:1", *back, amount),
            *(Fact(f"in:{n}", *first, 50) for n in range(size - 1)),
        ]

    out = facts(21)
    if lowest:
        assert out[0].credit == name
    before = books()
    with pytest.raises(psycopg.Error) as failure, db.transaction():
        batch(out)
    assert failure.value.sqlstate == "23514"
    assert failure.value.diag.constraint_name == "ledger_account_stays_within_its_bounds"
    assert books() == before

    batch(facts(20))
    assert broken_invariants(db) == {}


@MANY_OR_FEW
def test_within_a_batch_what_comes_in_can_go_out(db, bounded, batch, size) -> None:
    """Its order is the batch's, and not that of the accounts."""
    facts = [Fact("in:1", "cash", "wallet", 100), Fact("out:1", "wallet", "sales", 120)]
    facts += [Fact(f"x:{n}", "till", "cash", 1) for n in range(size - 2)]
    batch(facts)

    assert broken_invariants(db) == {}


@MANY_OR_FEW
def test_held_money_is_not_a_batches(db, tenant, bounded, batch, size) -> None:
    db.execute(
        "select place_ledger_hold(%s, false, 'hold:1', %s, 15)",
        [tenant.organization_id, bounded["wallet"]],
    )
    facts = [Fact(f"out:{n}", "wallet", "cash", 1) for n in range(size - 1)]

    with pytest.raises(psycopg.errors.CheckViolation), db.transaction():
        batch([*facts, Fact("out:last", "wallet", "cash", 5 - len(facts) + 1)])
    batch([*facts, Fact("out:last", "wallet", "cash", 5 - len(facts))] if size < 6 else facts[:5])


@pytest.mark.parametrize("postings", ["null", "'{}'"])
def test_a_batch_of_nothing_books_nothing(db, tenant, postings) -> None:
    rows = db.execute(
        f"select post_ledger_transactions(%s, false, {postings}::ledger_posting[])",
        [tenant.organization_id],
    ).fetchall()
    assert rows == []


def test_a_fact_of_several_movements_is_known_by_its_first(db, tenant, accounts) -> None:
    call = (
        "with fact as (select row('order:1', 'capture', 't', gen_random_uuid(), clock_now(),"
        " null, null, null)::ledger_posting as fact)"
        " select post_ledger_fact(%(o)s, false, array_remove(array["
        "  ledger_movement(fact, null, %(cash)s, %(sales)s, 100),"
        "  ledger_movement(fact, 'fee:7', %(cash)s, %(fees)s, -3),"
        "  ledger_movement(fact, 'tax', %(cash)s, %(fees)s, 0)], null)) as id from fact"
    )
    names = {"o": tenant.organization_id} | accounts
    first = db.execute(call, names).fetchone()["id"]
    assert db.execute(call, names).fetchone()["id"] == first

    rows = db.execute(
        "select id, key, kind, debit_account_id, credit_account_id, amount"
        " from ledger_transactions order by key"
    ).fetchall()
    assert [(r["key"], r["kind"], r["amount"]) for r in rows] == [
        ("order:1", "capture", 100),
        ("order:1:fee:7", "capture_fee", 3),
    ]
    assert rows[0]["id"] == first
    assert (rows[1]["debit_account_id"], rows[1]["credit_account_id"]) == (
        accounts["fees"],
        accounts["cash"],
    )
