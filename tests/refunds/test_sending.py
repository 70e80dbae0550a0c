"""The service between two steps of the database: wherever it dies, somebody repairs it."""

from dataclasses import replace
from uuid import UUID

import psycopg
import pytest
from books import broken_invariants
from in_process import CrashError, Shop
from money_back import listed
from psycopg.rows import dict_row

from app.errors import AppError
from app.gateways import Outcome
from app.refunds import crons, rest
from app.refunds.schemas import RefundSchema

CALLS = ["OpenRefund", "gateway.refund", "ReceiveGatewayEvent", "RefundState"]


def test_a_refund_is_these_calls_and_they_are_what_the_tests_below_kill(shop) -> None:
    answer = shop.refund()

    assert shop.house.fault.calls == CALLS
    assert (answer["status"], answer["amount"]) == ("succeeded", "1000")
    assert shop.is_settled()


def retry(shop: Shop) -> None:
    assert shop.refund()["status"] == "succeeded"


def cron(shop: Shop) -> None:
    shop.house.wait(31)
    crons.check_refunds(shop.house.ctx)


def webhook(shop: Shop) -> None:
    """What reached the gateway comes back by itself; what did not is the cron's."""
    for refund_id, said in shop.house.gateway.refunds.items():
        with psycopg.connect(shop.url, row_factory=dict_row) as db:
            desk = shop.desk(db)
            refund = desk.row("refunds", UUID(refund_id))
            desk.say(refund, str(said.outcome), gateway_refund_id=said.gateway_refund_id)
    cron(shop)


def everything(shop: Shop) -> None:
    retry(shop)
    webhook(shop)
    cron(shop)
    retry(shop)


@pytest.mark.parametrize("recovery", [retry, cron, webhook, everything])
@pytest.mark.parametrize("is_after", [False, True])
@pytest.mark.parametrize("at", range(1, len(CALLS) + 1))
def test_wherever_the_service_dies_one_refund_is_made_and_booked(
    shop, at, is_after, recovery
) -> None:
    shop.house.plan(at, is_after=is_after)
    with pytest.raises(CrashError):
        shop.refund()
    shop.house.plan(0, is_after=False)
    recovery(shop)

    was_never_asked_for = (at, is_after) == (1, False) and recovery in {cron, webhook}
    assert shop.is_settled(0 if was_never_asked_for else 1)


CRON_CALLS = ["ClaimRefundChecks", "gateway.find_refund", "gateway.refund", "ReceiveGatewayEvent"]


@pytest.mark.parametrize("is_after", [False, True])
@pytest.mark.parametrize("at", range(1, len(CRON_CALLS) + 1))
def test_wherever_the_cron_dies_the_next_one_finishes(shop, at, is_after) -> None:
    shop.house.plan(2, is_after=False)
    with pytest.raises(CrashError):
        shop.refund()

    shop.house.wait(31)
    shop.house.plan(at, is_after=is_after)
    with pytest.raises(CrashError):
        crons.check_refunds(shop.house.ctx)
    assert shop.house.fault.calls == CRON_CALLS[:at]

    shop.house.plan(0, is_after=False)
    shop.house.wait(121)
    crons.check_refunds(shop.house.ctx)
    assert shop.is_settled()


@pytest.mark.parametrize("silence", ["before", "after"])
def test_a6_a_lost_answer_is_unknown_and_the_same_call_again_is_the_same_refund(
    shop, silence
) -> None:
    shop.house.gateway.silence = silence
    first = shop.refund()
    shop.house.gateway.silence = None
    again = shop.refund()

    assert first["status"] == "unknown"
    assert (again["refund_id"], again["status"]) == (first["refund_id"], "succeeded")
    assert shop.is_settled()


@pytest.mark.parametrize("silence", ["before", "after"])
def test_a_lost_answer_is_found_by_the_cron(shop, silence) -> None:
    shop.house.gateway.silence = silence
    shop.refund()
    shop.house.gateway.silence = None
    cron(shop)

    assert shop.is_settled()


def test_while_the_gateway_is_silent_nothing_is_decided(shop) -> None:
    shop.house.gateway.silence = "before"
    shop.refund()
    for _ in range(5):
        shop.house.wait(7 * 3600)
        counted = crons.check_refunds(shop.house.ctx)
        assert counted == {"asked": 1, "answered": 0}
    assert shop.refund()["status"] == "unknown"

    assert shop.read("select status from refunds") == [{"status": "unknown"}]


def test_what_a_gateway_never_had_is_given_up_after_25_hours_and_not_asked_for_late(shop) -> None:
    shop.house.gateway.silence = "before"
    shop.refund()
    shop.house.gateway.silence = None
    for hours in (21, 3):  # a day is when a gateway forgets our key
        shop.house.wait(hours * 3600)
        crons.check_refunds(shop.house.ctx)
        assert shop.refund()["status"] == "unknown"
    shop.house.wait(25 * 3600)
    crons.check_refunds(shop.house.ctx)

    assert shop.read("select status, failure_code from refunds") == [
        {"status": "failed", "failure_code": "not-found"}
    ]
    assert shop.house.gateway.asked == 1


def test_a_refund_that_takes_days_is_answered_as_pending_and_ends_by_the_cron(shop) -> None:
    shop.house.gateway.outcome = Outcome.PENDING
    assert shop.refund()["status"] == "pending"

    gateway = shop.house.gateway
    for refund_id, said in gateway.refunds.items():
        gateway.refunds[refund_id] = replace(said, outcome=Outcome.SUCCEEDED)
    cron(shop)
    assert shop.is_settled()


def test_a_refusal_is_answered_as_failed_and_nothing_is_reserved(shop) -> None:
    shop.house.gateway.outcome = Outcome.FAILED
    answer = shop.refund()

    assert answer["status"] == "failed"
    assert shop.read("select amount_refunded from payment_attempts") == [{"amount_refunded": 0}]
    assert shop.refund()["status"] == "failed"
    assert shop.house.gateway.asked == 1


def test_the_cron_run_twice_asks_once(shop) -> None:
    shop.house.gateway.outcome = Outcome.PENDING
    shop.refund()
    shop.house.wait(31)

    assert crons.check_refunds(shop.house.ctx) == {"asked": 1, "answered": 1}
    assert crons.check_refunds(shop.house.ctx) == {"asked": 0, "answered": 0}


def surplus(shop: Shop) -> None:
    with psycopg.connect(shop.url, row_factory=dict_row) as db:
        late = db.execute(
            "insert into payment_attempts (organization_id, livemode, payment_intent_id, gateway,"
            " amount, currency, status) select organization_id, livemode, payment_intent_id,"
            " gateway, amount, currency, 'expired' from payment_attempts returning id"
        ).fetchone()
        shop.desk(db).receive(late["id"], gateway_session_id=None)


def test_i13_surplus_is_sent_back_by_the_next_cron_once(shop) -> None:
    surplus(shop)
    for _ in range(2):
        crons.check_refunds(shop.house.ctx)

    with psycopg.connect(shop.url, row_factory=dict_row) as db:
        assert listed(db) == set()
        assert broken_invariants(db) == {}
    assert shop.house.gateway.asked == 1


@pytest.mark.parametrize("is_after", [False, True])
@pytest.mark.parametrize("at", range(1, len(CRON_CALLS) + 1))
def test_i13_wherever_that_cron_dies_surplus_goes_back_once(shop, at, is_after) -> None:
    surplus(shop)
    shop.house.plan(at, is_after=is_after)
    with pytest.raises(CrashError):
        crons.check_refunds(shop.house.ctx)
    shop.house.plan(0, is_after=False)
    shop.house.wait(121)
    crons.check_refunds(shop.house.ctx)

    with psycopg.connect(shop.url, row_factory=dict_row) as db:
        assert listed(db) == set()
        assert broken_invariants(db) == {}
    assert len(shop.house.gateway.refunds) == 1


def test_the_cron_leaves_a_persons_refund_to_who_asked_for_it_for_a_while(shop) -> None:
    shop.house.plan(2, is_after=False)
    with pytest.raises(CrashError):
        shop.refund()
    shop.house.plan(0, is_after=False)

    assert crons.check_refunds(shop.house.ctx) == {"asked": 0, "answered": 0}
    shop.house.wait(31)
    assert crons.check_refunds(shop.house.ctx) == {"asked": 1, "answered": 1}


def test_a_refund_by_plain_http_is_the_same(shop) -> None:
    body = {"amount": 1000, "reason": "order_canceled", "idempotency_key": "refund-1"}
    answer = rest.refund_payment_by_id(
        shop.house.ctx, RefundSchema().load(body), str(shop.paid["payment_intent_id"])
    )

    assert answer["status"] == "succeeded"
    assert shop.is_settled()


@pytest.mark.parametrize("payment_id", ["x", "", "TXN-1", "6f1e9a3e-5a55-4a5a-9a55-000000000009"])
def test_a_payment_that_is_not_there_is_not_found(shop, payment_id) -> None:
    body = {"reason": "duplicate", "idempotency_key": "refund-1"}
    with pytest.raises(AppError) as failure:
        rest.refund_payment_by_id(shop.house.ctx, RefundSchema().load(body), payment_id)

    assert failure.value.code == "not-found"
