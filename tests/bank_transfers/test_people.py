"""A21: who may, and what one person alone may not."""

from typing import Any

import psycopg
import pytest
from books import Connection, broken_invariants
from money_back import told

from .conftest import NUMBER, Counter

Row = dict[str, Any]


@pytest.fixture
def entered(counter: Counter, account: Row) -> Row:
    return counter.enter(account, order_display_id=counter.order()["display_id"])


def test_one_person_does_not_make_and_check(counter: Counter, entered: Row) -> None:
    assert counter.refused("approve", entered, "meera") == "second-person-needed"
    assert counter.refused("reject", entered, "meera") == "second-person-needed"


@pytest.mark.parametrize(
    ("checked_by", "match_checked_by"), [("meera", None), ("chandan", "meera"), ("meera", "meera")]
)
def test_the_table_itself_wants_two_people(
    db: Connection, entered: Row, checked_by: str, match_checked_by: str | None
) -> None:
    with pytest.raises(psycopg.errors.CheckViolation):
        db.execute(
            "update bank_transfers set status = 'approved', checked_at = clock_now(),"
            " checked_by = %s, match_checked_by = %s where id = %s",
            [checked_by, match_checked_by, entered["id"]],
        )


@pytest.mark.parametrize(
    ("role", "status"), [("finance", "suspended"), ("viewer", "active"), ("dispatcher", "active")]
)
def test_a_maker_who_has_lost_their_role_is_no_maker(
    counter: Counter, entered: Row, role: str, status: str
) -> None:
    counter.member("meera", role, status)

    assert counter.refused("approve", entered) == "second-person-needed"
    assert counter.reject(entered)["status"] == "rejected"


@pytest.mark.parametrize(
    ("role", "status"), [("finance", "suspended"), ("viewer", "active"), ("developer", "active")]
)
def test_a_checker_who_has_lost_their_role_is_no_checker(
    counter: Counter, entered: Row, role: str, status: str
) -> None:
    counter.member("chandan", role, status)

    assert counter.refused("approve", entered) == "forbidden"
    assert counter.refused("reject", entered) == "forbidden"


def test_a_matcher_who_has_lost_their_role_is_no_matcher(counter: Counter, account: Row) -> None:
    transfer = counter.approve(counter.enter(account))
    counter.match(transfer, counter.order(), "omkar")
    counter.member("omkar", "owner", "suspended")

    assert counter.refused("approve", transfer, "meera") == "second-person-needed"


def test_a_role_in_the_session_is_not_enough(counter: Counter, account: Row, entered: Row) -> None:
    for user in ("stranger", "dev"):
        assert counter.refused("enter", account, user) == "forbidden"
        assert counter.refused("approve", entered, user) == "forbidden"


@pytest.mark.parametrize("role", ["customer", "dispatcher", "viewer", "operator", None])
def test_another_role_of_the_session_decides_nothing(
    counter: Counter, entered: Row, role: str | None
) -> None:
    acting = counter.by("chandan", actor_role=role)

    with pytest.raises(psycopg.Error) as failure:
        acting.call("approve_bank_transfer", bank_transfer_id=entered["id"])
    assert failure.value.diag.message_primary.startswith("forbidden: ")


def test_another_organisation_sees_no_transfer_account_or_order(
    counter: Counter, other_counter: Counter, account: Row, entered: Row
) -> None:
    order = counter.order()
    theirs = other_counter.account()

    assert other_counter.refused("approve", entered) == "not-found"
    assert other_counter.refused("reject", entered) == "not-found"
    assert other_counter.refused("enter", account) == "not-found"
    assert (
        other_counter.refused("enter", theirs, order_display_id=order["display_id"]) == "not-found"
    )


def test_test_and_live_are_apart(counter: Counter, entered: Row) -> None:
    live = counter.by("chandan", livemode="true")

    with pytest.raises(psycopg.Error) as failure:
        live.call("approve_bank_transfer", bank_transfer_id=entered["id"])
    assert failure.value.diag.message_primary.startswith("not-found: ")


def test_nobody_gives_a_role_to_themselves(counter: Counter) -> None:
    session = {"user_id": "omkar", "actor_role": "owner"}
    asked = {"user_id": "omkar", "role": "finance", "status": "active"}

    with pytest.raises(psycopg.Error) as failure, counter.db.transaction():
        counter.acting(**session).call("set_organization_member", **asked)
    assert failure.value.diag.message_primary.startswith("second-person-needed: ")


def test_an_owner_gives_roles_and_takes_them_while_they_are_one(counter: Counter) -> None:
    owner = counter.acting(user_id="omkar", actor_role="owner")
    asked = {"user_id": "farah", "role": "finance", "status": "active"}
    (farah,) = owner.call("set_organization_member", **asked)
    assert (farah["role"], farah["set_by"]) == ("finance", "user:omkar")

    counter.member("omkar", "owner", "suspended")
    with pytest.raises(psycopg.Error) as failure, counter.db.transaction():
        owner.call("set_organization_member", **asked)
    assert failure.value.diag.message_primary.startswith("forbidden: ")


@pytest.mark.parametrize("role", ["customer", "finance", "dispatcher"])
def test_nobody_else_gives_roles(counter: Counter, role: str) -> None:
    acting = counter.acting(user_id="meera", actor_role=role)

    with pytest.raises(psycopg.Error) as failure:
        acting.call("set_organization_member", user_id="x", role="owner", status="active")
    assert failure.value.diag.message_primary.startswith("forbidden: ")


def test_payers_are_shown_an_account_that_two_people_know(counter: Counter) -> None:
    order = counter.order()
    (mine,) = counter.by("meera").call(
        "add_bank_account",
        holder_name="Meera",
        bank_name="HDFC Bank",
        account_number="999999",
        ifsc="HDFC0000123",
    )
    token = order["token"]
    shown = "select bank_account ->> 'account_number' from payment_page_states where token = %s"

    assert counter.value(shown, token) is None
    with pytest.raises(psycopg.Error) as failure, counter.db.transaction():
        counter.by("meera").call("approve_bank_account", bank_account_id=mine["id"])
    assert failure.value.diag.message_primary.startswith("second-person-needed: ")

    counter.by("omkar").call("approve_bank_account", bank_account_id=mine["id"])
    assert counter.value(shown, token) == "999999"


def test_a_new_account_takes_the_place_of_the_one_before(counter: Counter, account: Row) -> None:
    order = counter.order()
    shown = "select bank_account ->> 'account_number' from payment_page_states where token = %s"
    assert counter.value(shown, order["token"]) == NUMBER

    newer = counter.account(account_number="60200012345678")
    assert counter.value(shown, order["token"]) == "60200012345678"
    assert counter.row("bank_accounts", account["id"])["status"] == "closed"

    counter.by("meera").call("close_bank_account", bank_account_id=newer["id"])
    assert counter.value(shown, order["token"]) is None


def test_what_still_comes_to_a_closed_account_is_booked(
    db: Connection, counter: Counter, account: Row
) -> None:
    order = counter.order()
    counter.account(account_number="60200012345678")
    counter.arrive(account, order)

    assert counter.status(order) == "paid"
    assert broken_invariants(db) == {}


def test_an_account_entered_twice_is_one(counter: Counter, account: Row) -> None:
    assert counter.account()["id"] == account["id"]
    assert counter.value("select count(*) from bank_accounts") == 1
    assert counter.refused("account", holder_name="Meera") == "setting-invalid"


def test_the_world_hears_which_account_payers_are_shown(
    db: Connection, counter: Counter, account: Row
) -> None:
    newer = counter.account(account_number="60200012345678")
    for _ in range(2):
        counter.by("meera").call("close_bank_account", bank_account_id=newer["id"])

    told_of = [f"bank_account.{what}" for what in ("entered", "opened", "closed")]
    assert told(db, newer["id"]) == told_of
    assert told(db, account["id"]) == told_of


@pytest.mark.parametrize(
    ("column", "value"),
    [("account_number", "1"), ("holder_name", "Meera"), ("ifsc", "ICIC0000001")],
)
def test_nothing_of_an_account_ever_changes(
    db: Connection, account: Row, column: str, value: str
) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        db.execute(f"update bank_accounts set {column} = %s", [value])


@pytest.mark.parametrize("column", ["amount", "reference", "made_by", "value_date", "kind"])
def test_nothing_that_was_entered_ever_changes(db: Connection, entered: Row, column: str) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        db.execute(f"update bank_transfers set {column} = {column}")


def test_hasura_writes_none_of_it(db: Connection, entered: Row) -> None:
    for table in ("bank_transfers", "bank_transfer_uses", "bank_accounts", "organization_members"):
        for privilege in ("insert", "update", "delete", "truncate"):
            may = db.execute(
                "select has_table_privilege('munim_hasura', %s, %s)", [table, privilege]
            ).fetchone()
            assert may == {"has_table_privilege": False}
