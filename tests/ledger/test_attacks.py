"""What a careless or a hostile writer tries: the ledger refuses it, whoever writes."""

from datetime import UTC, datetime
from uuid import UUID, uuid4

import psycopg
import pytest
from books import Connection, Tenant, broken_invariants
from ledger.conftest import SIZES, Fact

MOST = 2**63 - 1
BY_HAND = """
insert into ledger_transactions (
    organization_id, livemode, key, kind, reference_type, reference_id,
    debit_account_id, credit_account_id, currency, amount, debit_balance_after,
    credit_balance_after, debited_at, credited_at, occurred_at
) values (
    %(organization_id)s, %(livemode)s, %(key)s, 'sale', 'test', gen_random_uuid(),
    %(debit)s, %(credit)s, %(currency)s, %(amount)s, 0, 0, %(debited_at)s, %(credited_at)s,
    clock_now()
) returning id
"""
STEPS = """
select
    balance_after = sum(amount) over steps as sums,
    created_at > lag(created_at) over steps is not false as rises,
    balance_after = ledger_balance_at(ledger_account_id, created_at) as as_of
from ledger_entries
window steps as (partition by ledger_account_id order by created_at)
"""


def refused(failure: pytest.ExceptionInfo[psycopg.Error], *states: str) -> bool:
    return failure.value.sqlstate in states


@pytest.fixture
def by_hand(db: Connection, tenant: Tenant, accounts: dict[str, UUID]):
    """Write a row as a superuser would, with some columns changed."""

    def run(**changes: object) -> UUID:
        row = {
            "organization_id": tenant.organization_id,
            "livemode": False,
            "key": "hand:1",
            "debit": "cash",
            "credit": "sales",
            "currency": "USD",
            "amount": 5,
            "debited_at": datetime(2026, 11, 21, tzinfo=UTC),
            "credited_at": datetime(2026, 11, 21, tzinfo=UTC),
        } | changes
        row |= {side: accounts.get(str(row[side]), row[side]) for side in ("debit", "credit")}
        return db.execute(BY_HAND, row).fetchone()["id"]

    return run


@pytest.fixture
def stranger(db: Connection) -> UUID:
    other = uuid4()
    db.execute(
        "insert into organizations (id, name, default_currency) values (%s, 'Other', 'USD')",
        [other],
    )
    return other


def opened(
    db: Connection, organization_id: UUID, currency: str = "USD", *, livemode: bool = False
) -> UUID:
    return db.execute(
        "select ledger_account(%s, %s, 'vault', 'asset', %s) as id",
        [organization_id, livemode, currency],
    ).fetchone()["id"]


@pytest.mark.parametrize("amount", [0, -1, -MOST])
def test_a_row_by_hand_moves_more_than_nothing(db, by_hand, amount) -> None:
    by_hand(key="good:1")  # which is what the others differ from

    with pytest.raises(psycopg.Error) as failure:
        by_hand(amount=amount)
    assert refused(failure, "23514")
    assert failure.value.diag.constraint_name == "something_moves"


@pytest.mark.parametrize("side", ["debit", "credit"])
def test_a_row_by_hand_with_another_account_is_named(db, by_hand, tenant, stranger, side) -> None:
    foreign = [
        opened(db, stranger),
        opened(db, tenant.organization_id, "JPY"),
        opened(db, tenant.organization_id, livemode=True),
        uuid4(),
    ]
    for account in foreign:
        with db.transaction(force_rollback=True):
            row = by_hand(**{side: account})
            assert misplaced(db) == {row}


@pytest.mark.parametrize(
    "changes", [{"livemode": True}, {"currency": "JPY"}, {"debit": "sales", "credit": "sales"}]
)
def test_a_row_by_hand_that_is_not_what_its_accounts_are_is_named(db, by_hand, changes) -> None:
    assert misplaced(db) == set()
    row = by_hand(**changes)
    assert misplaced(db) == {row}


def misplaced(db: Connection) -> set[UUID]:
    rows = db.execute("select * from invariant_ledger_transactions_fit_their_accounts").fetchall()
    return {row["ledger_transaction_id"] for row in rows}


def test_a_row_by_hand_of_another_tenant_reverses_nothing_here(db, by_hand, post, stranger) -> None:
    sale = post("sale:1", "cash", "sales", 5)
    vault = opened(db, stranger)
    theirs = by_hand(organization_id=stranger, debit=vault, credit=vault)

    with pytest.raises(psycopg.Error) as failure:
        db.execute(
            "insert into ledger_reversals select id, organization_id, livemode, %s"
            " from ledger_transactions where id = %s",
            [sale, theirs],
        )
    assert failure.value.diag.constraint_name == "ledger_reversal_takes_back_its_own"


@pytest.mark.parametrize("side", ["debit", "credit"])
def test_no_moment_of_an_account_is_taken_twice_by_hand(db, by_hand, post, side) -> None:
    sale = post("sale:1", "cash", "sales", 5)
    at = db.execute(
        "select debited_at, credited_at from ledger_transactions where id = %s", [sale]
    ).fetchone()

    with pytest.raises(psycopg.Error) as failure:
        by_hand(**{f"{side}ed_at": at[f"{side}ed_at"]})
    assert failure.value.diag.constraint_name == f"ledger_account_is_{side}ed_in_order"


def test_a_fact_is_booked_once_by_hand_too(by_hand, post) -> None:
    post("sale:1", "cash", "sales", 5)

    with pytest.raises(psycopg.Error) as failure:
        by_hand(key="sale:1")
    assert failure.value.diag.constraint_name == "ledger_fact_is_booked_once"


def test_what_by_hand_moves_no_balance_is_found(db, by_hand) -> None:
    by_hand()

    assert broken_invariants(db).keys() == {
        "invariant_account_balances",
        "invariant_balances_follow_each_other",
    }


@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
def test_the_largest_amount_fits_and_one_more_is_refused(db, post, batch, books, size) -> None:
    post("sale:1", "cash", "sales", MOST)
    assert broken_invariants(db) == {}
    before = books()

    for facts in (
        [Fact("sale:2", "cash", "sales", 1)],
        [Fact("sale:2", "cash", "fees", 1)],
        [Fact("sale:2", "fees", "sales", 2)],
    ):
        beside = [Fact(f"beside:{n}", "fees", "cash", 1) for n in range(size - 1)]
        with pytest.raises(psycopg.Error) as failure, db.transaction():
            batch(facts + beside)
        assert refused(failure, "22003")
    assert books() == before


def test_the_parts_of_an_account_are_of_one_type(db, tenant) -> None:
    opening = "select ledger_account(%s, false, 'mixed', %s, 'USD', %s)"
    db.execute(opening, [tenant.organization_id, "asset", UUID(int=1)])

    with pytest.raises(psycopg.Error) as failure:
        db.execute(opening, [tenant.organization_id, "liability", UUID(int=2)])
    assert refused(failure, "23514")


def test_an_account_that_is_named_with_another_type_is_refused(db, tenant, accounts) -> None:
    with pytest.raises(psycopg.Error) as failure:
        db.execute(
            "select ledger_account(%s, false, 'cash', 'liability', 'USD')",
            [tenant.organization_id],
        )
    assert refused(failure, "P0004")


@pytest.mark.parametrize(
    ("column", "value"),
    [("account_type", "money"), ("status", "frozen"), ("code", "Cash!"), ("part", 16)],
)
def test_an_account_is_opened_in_known_words(db, tenant, column, value) -> None:
    row = {"account_type": "asset", "status": "active", "code": "new", "part": 0} | {column: value}
    with pytest.raises(psycopg.Error) as failure:
        db.execute(
            "insert into ledger_accounts"
            " (organization_id, livemode, currency, account_type, status, code, part)"
            " values (%(o)s, false, 'USD', %(account_type)s, %(status)s, %(code)s, %(part)s)",
            row | {"o": tenant.organization_id},
        )
    assert refused(failure, "23514")


@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
def test_a_clock_that_goes_back_dates_no_entry_before_another(db, batch, accounts, size) -> None:
    batch([Fact(f"sale:{n}", "cash", "sales", 5) for n in range(size)])
    db.execute("update clock set skew_seconds = -86400")
    batch([Fact(f"late:{n}", "cash", "sales", 7) for n in range(size)])
    batch([Fact(f"back:{n}", "sales", "cash", 2) for n in range(size)])

    assert broken_invariants(db) == {}
    row = db.execute(
        "select ledger_balance_at(%s, max(created_at)) as it,"
        " ledger_balance_at(%s, min(created_at) - interval '1 microsecond') as before"
        " from ledger_entries where ledger_account_id = %s",
        [accounts["cash"]] * 3,
    ).fetchone()
    assert (row["it"], row["before"]) == (10 * size, 0)


@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
def test_a_posting_is_dated_by_the_one_clock(db, batch, size) -> None:
    """The first of each account; one that comes at the same moment is a microsecond later."""
    db.execute("update clock set skew_seconds = 86400")
    batch([Fact(f"sale:{n}", "cash", "sales", 5) for n in range(size)])

    rows = db.execute(
        "select extract(microseconds from created_at - clock_now())::int as late"
        " from ledger_entries order by ledger_account_id, created_at"
    ).fetchall()
    assert [row["late"] for row in rows] == [*range(size)] * 2


@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
def test_within_an_account_each_entry_has_its_own_moment(db, batch, size) -> None:
    """One database transaction has one time, and yet each entry's balance can be asked for."""
    names = ["cash", "sales", "fees"]
    for number in range(5):
        debit, credit, third = names[number % 3 :] + names[: number % 3]
        facts = [Fact(f"{number}:{n}", debit, credit, 3 + n) for n in range(size)]
        if size > 1:
            facts[1] = Fact(f"{number}:other", third, debit, 9)
        batch(facts)

    rows = db.execute(STEPS).fetchall()
    assert len(rows) == 10 * size
    assert all(row["rises"] and row["sums"] and row["as_of"] for row in rows)
    assert broken_invariants(db) == {}


def test_an_account_behind_the_other_catches_up(db, post, batch, accounts) -> None:
    """What is booked together is not dated before the other account's last entry in any way."""
    for number in range(20):
        post(f"sale:{number}", "cash", "sales", 1)
    batch([Fact(f"fee:{n}", "fees", "cash", 1) for n in range(3)])
    batch([Fact(f"more:{n}", "sales", "fees", 1) for n in range(7)])

    rows = db.execute(STEPS).fetchall()
    assert all(row["rises"] and row["sums"] and row["as_of"] for row in rows)
