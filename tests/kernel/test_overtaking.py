"""A message may come before the one about its payment, however long before."""

from typing import Any
from uuid import UUID

import psycopg
import pytest
from books import Connection, Tenant, broken_invariants, settle
from money_back import Desk, balances, listed
from psycopg.rows import dict_row
from sides import Side, Stage, at


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


def begun(stage: Stage) -> tuple[Desk, UUID]:
    with psycopg.connect(stage.url, row_factory=dict_row) as db:
        desk = Desk(db, settle(db).session)
        return desk, desk.open()["payment_attempt_id"]


def swept(stage: Stage, side: Side, desk: Desk, seconds: int) -> tuple[list[Any], list[Any]]:
    """Let time pass, and tell what became of disputes and what is on the list for people."""
    stage.rows("update clock set skew_seconds = skew_seconds + %s returning 1", seconds)
    side.do(lambda db: at(desk, db).call("apply_due_gateway_event"))
    side.commit()
    return (
        stage.rows("select status from disputes"),
        stage.rows("select class from exceptions where resolved_at is null"),
    )


def test_what_comes_while_its_payment_is_captured_waits_for_it(stage: Stage) -> None:
    desk, attempt = begun(stage)
    gateway, bank = stage.side(), stage.side()
    gateway.do(lambda db: at(desk, db).receive(attempt, gateway_session_id=None))
    heard = bank.begin(lambda db: at(desk, db).dispute(attempt, "opened"))
    stage.waits(bank)
    gateway.commit()
    assert heard.result()["status"] == "received"
    bank.commit()

    assert swept(stage, bank, desk, 30) == ([{"status": "opened"}], [])


def test_what_is_parked_while_its_payment_is_captured_is_found(stage: Stage) -> None:
    desk, attempt = begun(stage)
    gateway, bank = stage.side(), stage.side()
    told = bank.do(lambda db: at(desk, db).dispute(attempt, "opened"))
    assert told["status"] == "parked"
    captured = gateway.begin(lambda db: at(desk, db).receive(attempt, gateway_session_id=None))
    stage.waits(gateway)
    bank.commit()
    assert captured.result()["status"] == "applied"
    gateway.commit()

    assert swept(stage, bank, desk, 0) == ([{"status": "opened"}], [])
