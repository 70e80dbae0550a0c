"""A message may come before the one about its payment, however long before."""

from typing import Any
from uuid import UUID

import pytest
from books import Connection, Tenant, broken_invariants
from money_back import Desk, balances, listed


@pytest.fixture
def desk(db: Connection, tenant: Tenant) -> Desk:
    return Desk(db, tenant.session)


def hand_refund(desk: Desk, attempt_id: UUID) -> dict[str, Any]:
    """Staff sent the money back at the gateway itself."""
    return desk.tell(
        subject="refund",
        outcome="succeeded",
        gateway_refund_id="re_by_hand",
        gateway_payment_id=f"pi_{attempt_id}",
        amount=2500,
        currency="USD",
    )


def sweep(desk: Desk) -> None:
    while desk.call("apply_due_gateway_event"):
        pass


@pytest.mark.parametrize("what", ["dispute", "refund"])
def test_what_nobody_could_place_is_applied_once_its_payment_is_known(
    db, desk, tenant, what
) -> None:
    attempt = desk.open()["payment_attempt_id"]
    tell = hand_refund if what == "refund" else lambda d, a: d.dispute(a, "lost")
    assert tell(desk, attempt)["status"] == "parked"
    assert listed(db) == {f"unmatched-{what}"}

    desk.receive(attempt, gateway_session_id=None)
    sweep(desk)
    assert listed(db) == set()
    assert "gateway USD" not in balances(db, tenant)
    assert broken_invariants(db) == {}


def test_what_is_anothers_stays_where_it_is(db, desk, tenant) -> None:
    mine, other = (desk.open(key=key)["payment_attempt_id"] for key in ("mine", "other"))
    desk.dispute(other, "lost")
    desk.receive(mine, gateway_session_id=None)
    sweep(desk)

    assert listed(db) == {"unmatched-dispute"}
