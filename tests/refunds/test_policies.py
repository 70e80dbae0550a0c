"""What an organisation gives back is data."""

from typing import Any

import psycopg
import pytest
from books import Connection, broken_invariants
from money_back import balances

CAPTURED = "2026-11-21T10:00:00Z"


def write_policy(db: Connection, tenant: Any, **terms: object) -> None:
    columns = "".join(f", {name}" for name in terms)
    values = "".join(f", %({name})s" for name in terms)
    db.execute(
        f"insert into refund_policies (organization_id, purpose, currency{columns})"
        f" values (%(organization_id)s, 'credit_purchase', 'USD'{values})",
        {"organization_id": tenant.organization_id, **terms},
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
    write_policy(db, tenant, share_max=0)
    db.execute("update refund_policies set currency = 'JPY'")

    assert not is_refused(desk, paid)


@pytest.mark.parametrize(
    "terms",
    [
        {"share_max": 10001},
        {"share_max": -1},
        {"fee_share": -1},
        {"fee_amount": -1},
        {"window_days": -1},
    ],
)
def test_a_policy_that_makes_no_sense_is_not_kept(db, tenant, terms) -> None:
    with pytest.raises(psycopg.errors.CheckViolation):
        write_policy(db, tenant, **terms)
