from uuid import UUID, uuid4

import psycopg
import pytest
from books import Connection, Tenant, broken_invariants


@pytest.fixture
def wallet(db: Connection, tenant: Tenant) -> UUID:
    """An account with a wallet's bound; a customer's own has lots that would not know of this."""
    return db.execute(
        "insert into ledger_accounts"
        " (organization_id, livemode, code, account_type, currency, maximum)"
        " values (%s, false, 'advances', 'liability', 'USD', 0) returning id",
        [tenant.organization_id],
    ).fetchone()["id"]


@pytest.fixture
def issued(accounts: dict[str, UUID]) -> UUID:
    return accounts["cash"]


@pytest.fixture
def hold(db: Connection, tenant: Tenant, wallet: UUID, issued: UUID, post):
    """A wallet of 500, and a function that holds some of it."""
    post("grant:1", issued, wallet, 500)

    def place(amount: int, key: str = "hold:1") -> UUID:
        return db.execute(
            "select place_ledger_hold(%s, false, %s, %s, %s) as id",
            [tenant.organization_id, key, wallet, amount],
        ).fetchone()["id"]

    return place


def spend(
    db: Connection, hold_id: UUID, debit: UUID | None, credit: UUID | None, amount: int | None
) -> UUID:
    return db.execute(
        "select post_ledger_hold(%s, 'spend', 'test', %s, clock_now(), %s, %s, %s) as id",
        [hold_id, uuid4(), debit, credit, amount],
    ).fetchone()["id"]


def state(db: Connection, wallet: UUID) -> tuple[int, int]:
    row = db.execute("select balance, held from ledger_accounts where id = %s", [wallet]).fetchone()
    return row["balance"], row["held"]


def test_what_is_held_cannot_be_spent_or_held_again(db, hold, post, wallet, issued) -> None:
    hold(300)
    assert state(db, wallet) == (-500, 300)

    for attempt in (
        lambda: post("spend:1", wallet, issued, 201),
        lambda: hold(201, "hold:2"),
    ):
        with pytest.raises(psycopg.Error) as failure, db.transaction():
            attempt()
        assert failure.value.sqlstate == "23514"
    post("spend:2", wallet, issued, 200)
    assert broken_invariants(db) == {}


def test_a_hold_is_placed_once_per_key(db, hold, wallet) -> None:
    assert hold(300) == hold(300)
    assert state(db, wallet) == (-500, 300)

    with pytest.raises(psycopg.Error) as failure:
        hold(301)
    assert failure.value.sqlstate == "22B02"


def test_a_released_hold_is_free_again_and_ends_once(db, hold, wallet, issued) -> None:
    held = hold(300)
    for _ in range(2):
        db.execute("select release_ledger_hold(%s)", [held])

    assert state(db, wallet) == (-500, 0)
    with pytest.raises(psycopg.Error) as failure:
        spend(db, held, wallet, issued, 300)
    assert failure.value.sqlstate == "P0004"


@pytest.mark.parametrize("amount", [1, 299, 300])
def test_posting_a_hold_moves_up_to_all_of_it_and_frees_the_rest(
    db, hold, wallet, issued, amount
) -> None:
    held = hold(300)
    first = spend(db, held, wallet, issued, amount)

    assert spend(db, held, wallet, issued, amount) == first
    assert state(db, wallet) == (-500 + amount, 0)
    assert broken_invariants(db) == {}
    with pytest.raises(psycopg.Error) as failure:
        db.execute("select release_ledger_hold(%s)", [held])
    assert failure.value.sqlstate == "P0004"


@pytest.mark.parametrize("amount", [0, 301, -1, -300, 2**63 - 1])
@pytest.mark.parametrize("its_own_way", [True, False])
def test_posting_a_hold_moves_no_more_than_it_keeps(
    db, hold, wallet, issued, amount, its_own_way
) -> None:
    held = hold(300)
    debit, credit = (wallet, issued) if its_own_way else (issued, wallet)

    with pytest.raises(psycopg.Error) as failure, db.transaction():
        spend(db, held, debit, credit, amount)
    assert failure.value.sqlstate == "P0004"
    assert state(db, wallet) == (-500, 300)


@pytest.mark.parametrize("amount", [1, 300])
def test_a_hold_is_not_posted_the_other_way(db, hold, wallet, issued, amount) -> None:
    held = hold(300)

    with pytest.raises(psycopg.Error) as failure, db.transaction():
        spend(db, held, issued, wallet, amount)
    assert failure.value.sqlstate == "P0004"
    assert state(db, wallet) == (-500, 300)


def test_what_an_asset_may_not_fall_below_is_posted_by_its_credit(db, tenant, post, issued) -> None:
    till = db.execute(
        "insert into ledger_accounts"
        " (organization_id, livemode, code, account_type, currency, minimum)"
        " values (%s, false, 'till', 'asset', 'USD', 0) returning id",
        [tenant.organization_id],
    ).fetchone()["id"]
    post("float:1", till, issued, 500)
    held = db.execute(
        "select place_ledger_hold(%s, false, 'hold:1', %s, 300) as id",
        [tenant.organization_id, till],
    ).fetchone()["id"]

    with pytest.raises(psycopg.Error) as failure, db.transaction():
        spend(db, held, till, issued, 300)
    assert failure.value.sqlstate == "P0004"
    spend(db, held, issued, till, 300)
    assert state(db, till) == (200, 0)
    assert broken_invariants(db) == {}


@pytest.mark.parametrize("pair", [("fees", "cash"), (None, "cash"), ("cash", None), (None, None)])
def test_a_hold_whose_posting_leaves_its_account_alone_stays_open(
    db, hold, wallet, accounts, pair
) -> None:
    held = hold(300)

    with pytest.raises(psycopg.Error) as failure, db.transaction():
        spend(db, held, accounts.get(pair[0]), accounts.get(pair[1]), 5)
    assert failure.value.sqlstate == "P0004"
    assert state(db, wallet) == (-500, 300)


def test_a_hold_is_not_posted_to_its_own_account_or_to_nothing(db, hold, wallet, issued) -> None:
    held = hold(300)

    for debit, credit in ((wallet, wallet), (wallet, None), (None, wallet), (wallet, uuid4())):
        with pytest.raises(psycopg.Error) as failure, db.transaction():
            spend(db, held, debit, credit, 5)
        assert failure.value.sqlstate == "P0004"
    with pytest.raises(psycopg.errors.NotNullViolation), db.transaction():
        spend(db, held, wallet, issued, None)
    assert state(db, wallet) == (-500, 300)


def test_a_posted_hold_posts_nothing_else_again(db, hold, wallet, issued) -> None:
    held = hold(300)
    spend(db, held, wallet, issued, 200)

    with pytest.raises(psycopg.Error) as failure:
        spend(db, held, wallet, issued, 100)
    assert failure.value.sqlstate == "22B02"


def test_a_hold_under_a_key_that_is_booked_posts_nothing_else(
    db, hold, post, wallet, issued
) -> None:
    held = hold(300)
    post("hold:1", issued, wallet, 5)

    with pytest.raises(psycopg.Error) as failure, db.transaction():
        spend(db, held, wallet, issued, 100)
    assert failure.value.sqlstate == "22B02"
    assert state(db, wallet) == (-505, 300)


def test_the_whole_of_a_held_wallet_is_posted_and_found_again(db, hold, wallet, issued) -> None:
    held = hold(500)
    first = spend(db, held, wallet, issued, 500)

    assert spend(db, held, wallet, issued, 500) == first
    assert state(db, wallet) == (0, 0)


@pytest.mark.parametrize("amount", [0, -1, 2**63 - 1])
def test_a_hold_keeps_a_whole_positive_amount(hold, amount) -> None:
    with pytest.raises(psycopg.Error) as failure:
        hold(amount)
    assert failure.value.sqlstate in {"23514", "22003"}


@pytest.mark.parametrize("bounds", [None, "[-100000,100000]"])
def test_bounds_that_are_written_by_hand_change_nothing(
    db, hold, post, wallet, issued, bounds
) -> None:
    hold(200)
    db.execute("update ledger_accounts set bounds = %s where id = %s", [bounds, wallet])

    assert state(db, wallet) == (-500, 200)
    with pytest.raises(psycopg.errors.CheckViolation), db.transaction():
        post("spend:1", wallet, issued, 301)
    post("spend:2", wallet, issued, 300)


def test_bounds_follow_the_minimum_the_maximum_and_what_is_held(db, hold, wallet) -> None:
    db.execute("update ledger_accounts set minimum = -1000 where id = %s", [wallet])
    hold(200)

    row = db.execute("select bounds from ledger_accounts where id = %s", [wallet]).fetchone()
    assert (row["bounds"].lower, row["bounds"].upper) == (-800, -199)
    with pytest.raises(psycopg.errors.CheckViolation), db.transaction():
        db.execute("update ledger_accounts set maximum = -501 where id = %s", [wallet])


def test_no_more_is_held_than_lies_between_two_bounds(db, hold, wallet) -> None:
    db.execute("update ledger_accounts set minimum = -600 where id = %s", [wallet])

    with pytest.raises(psycopg.errors.CheckViolation), db.transaction():
        hold(400)
    hold(100)


def test_no_hold_is_placed_on_a_closed_account(db, hold, wallet) -> None:
    db.execute("update ledger_accounts set status = 'closed' where id = %s", [wallet])

    with pytest.raises(psycopg.Error) as failure:
        hold(1)
    assert failure.value.sqlstate == "P0004"


def test_what_is_held_is_never_less_than_nothing(db, hold, wallet) -> None:
    with pytest.raises(psycopg.Error) as failure:
        db.execute("update ledger_accounts set held = -1 where id = %s", [wallet])
    assert failure.value.sqlstate == "23514"


def test_an_account_of_another_organisation_cannot_be_held(db, hold, wallet) -> None:
    with pytest.raises(psycopg.Error) as failure:
        db.execute("select place_ledger_hold(%s, false, 'hold:9', %s, 1)", [uuid4(), wallet])
    assert failure.value.sqlstate == "P0004"


@pytest.mark.parametrize(
    "statement",
    [
        "update ledger_holds set amount = 1",
        "update ledger_holds set status = 'open' where status <> 'open'",
        "delete from ledger_holds",
        "truncate ledger_holds",
    ],
)
def test_a_hold_cannot_be_changed_by_hand(db, hold, statement) -> None:
    db.execute("select release_ledger_hold(%s)", [hold(300)])

    with pytest.raises(psycopg.Error) as failure:
        db.execute(statement)
    assert failure.value.sqlstate == "42501"
