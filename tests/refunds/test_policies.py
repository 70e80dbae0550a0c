"""What an organisation gives back is data."""

from typing import Any

import psycopg
import pytest
from books import Connection, broken_invariants, settle
from money_back import balances

CAPTURED = "2026-11-21T10:00:00Z"


def write_policy(db: Connection, tenant: Any, **terms: object) -> None:
    own = [name for name in terms if name != "currency"]
    columns = "".join(f", {name}" for name in own)
    values = "".join(f", %({name})s" for name in own)
    db.execute(
        "insert into refund_policies"
        f" (organization_id, purpose, currency, created_by, valid_from{columns})"
        " values (%(organization_id)s, 'credit_purchase', %(currency)s, 'fiona', '2026-01-01'"
        f"{values})",
        {"currency": "USD", "organization_id": tenant.organization_id, **terms},
    )


def at(db: Connection, moment: str) -> None:
    db.execute(
        "update clock set skew_seconds ="
        " extract(epoch from %s::timestamptz - pg_catalog.now())::bigint",
        [moment],
    )


def is_refused(desk: Any, paid: Any, **asked: Any) -> bool:
    try:
        with desk.db.transaction():
            desk.refund(paid["payment_intent_id"], **asked)
    except psycopg.Error as failure:
        if failure.sqlstate != "22B12":
            raise
        return True
    return False


@pytest.mark.parametrize(
    ("days", "moment", "refused"),
    [
        (7, "2026-11-28T09:59:00Z", False),
        (7, "2026-11-28T10:01:00Z", True),
        (0, "2026-11-21T10:01:00Z", True),
        (None, "2036-11-21T10:00:00Z", False),
    ],
)
def test_a_window_counts_from_the_capture(db, desk, tenant, paid, days, moment, refused) -> None:
    write_policy(db, tenant, window_days=days)
    at(db, moment)

    assert is_refused(desk, paid) is refused


def test_a_share_bounds_all_refunds_of_a_payment_together(db, desk, tenant, paid) -> None:
    write_policy(db, tenant, share_max=5000)

    assert is_refused(desk, paid)
    assert not is_refused(desk, paid, amount=1000, key="r1")
    assert is_refused(desk, paid, amount=251, key="r2")
    assert not is_refused(desk, paid, amount=250, key="r3")
    assert is_refused(desk, paid, amount=1, key="r4")


@pytest.mark.parametrize(
    ("terms", "amount", "fee"),
    [
        ({"fee_amount": 100}, 2500, 100),
        ({"fee_share": 1000}, 2500, 250),
        ({"fee_amount": 100, "fee_share": 1000}, 2500, 350),
        ({"fee_share": 50}, 100, 1),  # half a cent is rounded up
        ({"fee_share": 49}, 100, 0),
    ],
)
def test_a_fee_is_kept_and_the_rest_goes_back(db, desk, tenant, paid, terms, amount, fee) -> None:
    write_policy(db, tenant, **terms)
    refund = desk.refund(paid["payment_intent_id"], amount=amount)

    assert (refund["fee_amount"], refund["amount"]) == (fee, amount - fee)
    assert broken_invariants(db) == {}


def test_a_fee_is_revenue_and_its_credits_go_too(db, desk, tenant, paid) -> None:
    write_policy(db, tenant, fee_amount=300)
    refund = desk.refund(paid["payment_intent_id"])
    desk.say(refund, "succeeded")

    assert balances(db, tenant) == {"gateway USD": 300, "refund_fees USD": -300}
    assert desk.row("payment_attempts", paid["payment_attempt_id"])["amount_refunded"] == 2200
    assert broken_invariants(db) == {}


def test_what_was_kept_as_a_fee_is_not_refunded_a_second_time(db, desk, tenant, paid) -> None:
    write_policy(db, tenant, fee_amount=300)
    desk.refund(paid["payment_intent_id"])

    with pytest.raises(psycopg.Error) as failure:
        desk.refund(paid["payment_intent_id"], amount=300, key="refund-2")
    assert failure.value.sqlstate == "22B07"


def test_a_fee_that_leaves_nothing_is_no_refund(db, desk, tenant, paid) -> None:
    write_policy(db, tenant, fee_amount=100)

    assert is_refused(desk, paid, amount=100)
    assert not is_refused(desk, paid, amount=101)


def test_a_fee_comes_back_with_a_refund_that_failed(db, desk, tenant, paid) -> None:
    before = balances(db, tenant)
    write_policy(db, tenant, fee_amount=300)
    refund = desk.refund(paid["payment_intent_id"])
    desk.say(refund, "failed")

    assert balances(db, tenant) == before


def test_who_may_refund_is_the_policys_to_say(db, desk, tenant, paid) -> None:
    write_policy(db, tenant, roles=["owner", "dispatcher"])

    assert is_refused(desk.acting(actor_role="finance"), paid)
    assert not is_refused(desk.acting(actor_role="dispatcher"), paid)


def test_a_policy_is_for_one_purpose_and_currency(db, desk, tenant, paid) -> None:
    write_policy(db, tenant, share_max=0, currency="JPY")

    assert not is_refused(desk, paid)


@pytest.mark.parametrize(
    "terms",
    [
        {"share_max": 10001},
        {"share_max": -1},
        {"fee_share": -1},
        {"fee_amount": -1},
        {"window_days": -1},
        {"roles": ["operator"]},
        {"roles": ["finance", None]},
    ],
)
def test_a_policy_that_makes_no_sense_is_not_kept(db, tenant, terms) -> None:
    with pytest.raises(psycopg.errors.CheckViolation):
        write_policy(db, tenant, **terms)


def set_policy(desk: Any, role: str | None = "finance", **changes: Any) -> dict[str, Any]:
    asked = {
        "purpose": "credit_purchase",
        "currency": "USD",
        "window_days": None,
        "share_max": None,
        "fee_amount": None,
        "fee_share": None,
        "roles": None,
        "valid_from": None,
    }
    (row,) = desk.acting(actor_role=role).call("set_refund_policy", **(asked | changes))
    return row


def test_finance_sets_a_policy_and_it_holds_at_once(db, desk, tenant, paid) -> None:
    row = set_policy(desk, fee_amount=300, roles=["owner", "finance"])

    assert (row["fee_amount"], row["share_max"], row["roles"]) == (300, 10000, ["finance", "owner"])
    assert (row["organization_id"], row["created_by"]) == (tenant.organization_id, tenant.user_id)
    assert is_refused(desk, paid)  # the service is not of the two
    assert desk.acting(actor_role="owner").refund(paid["payment_intent_id"])["fee_amount"] == 300


def test_a_policy_may_begin_later(db, desk, paid) -> None:
    at(db, "2026-11-22T00:00:00Z")
    set_policy(desk, share_max=0, valid_from="2026-12-01T00:00:00Z")
    at(db, "2026-11-30T23:59:00Z")
    assert not is_refused(desk, paid, amount=100)

    at(db, "2026-12-01T00:00:01Z")
    assert is_refused(desk, paid, amount=100, key="refund-2")


def test_the_latest_policy_that_has_begun_holds_and_the_old_ones_stay(db, desk, paid) -> None:
    at(db, "2026-11-22T00:00:00Z")
    set_policy(desk, share_max=0)
    set_policy(desk, share_max=5000)

    assert not is_refused(desk, paid, amount=1250)
    assert is_refused(desk, paid, amount=1, key="refund-2")
    rows = db.execute("select share_max from refund_policies order by id").fetchall()
    assert [row["share_max"] for row in rows] == [0, 5000]


def test_the_same_policy_again_is_the_same_row(db, desk) -> None:
    first = set_policy(desk, fee_share=250, roles=["service", "finance"])

    assert set_policy(desk, fee_share=250, roles=["finance", "service"]) == first
    assert set_policy(desk, fee_share=251)["id"] != first["id"]


def test_a_policy_is_never_rewritten(db, desk) -> None:
    set_policy(desk, share_max=0)
    for change in ("update refund_policies set share_max = 1", "delete from refund_policies"):
        with pytest.raises(psycopg.errors.InsufficientPrivilege), db.transaction():
            db.execute(change)


@pytest.mark.parametrize(
    "changes",
    [
        {"purpose": "gift"},
        {"currency": "XCR"},
        {"currency": "ABC"},
        {"share_max": 10001},
        {"window_days": -1},
        {"fee_amount": -1},
        {"roles": ["operator"]},
        {"valid_from": "2026-11-20T00:00:00Z"},
    ],
)
def test_a_policy_that_makes_no_sense_is_not_set(db, desk, changes) -> None:
    with pytest.raises(psycopg.Error, match="setting-invalid: ") as failure:
        set_policy(desk, **changes)
    assert failure.value.sqlstate == "22B05"


@pytest.mark.parametrize("role", ["customer", "viewer", "operator", "service", None])
def test_only_owners_and_finance_set_a_policy(desk, role) -> None:
    with pytest.raises(psycopg.Error, match="forbidden: ") as failure:
        set_policy(desk, role)
    assert failure.value.sqlstate == "22B03"


def test_a_policy_is_of_the_sessions_own_organisation(db, desk, paid) -> None:
    other = desk.acting(organization_id=str(settle(db).organization_id))
    set_policy(other, share_max=0)

    assert not is_refused(desk, paid)
