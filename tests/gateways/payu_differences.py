"""What happens at PayU where it does otherwise than the others; `differences.py` says why."""

from datetime import timedelta

import pytest
from gateways.scenarios import looked_up, notices, opened, paid, refund_found, told
from gateways.scenarios_pages import DECLINES
from gateways.scenarios_upi import linked, page_of
from gateways.world import DAY, HOUR, Payer, World

from app.errors import GatewayRefusedError, GatewayUnavailableError
from app.gateways import Finding, Outcome, Subject


def nothing_is_known_before_the_payer_comes(world: World) -> None:
    order, page = opened(world)

    for ids in ({}, {"gateway_session_id": page.reference}):
        assert world.adapter.find(world.stage.query(order.id, **ids)) is None
    world.pay(order, page, Payer.DROPS)
    found = looked_up(world, order, page)
    assert (found.outcome, found.gateway_session_id) == (Outcome.REQUIRES_ACTION, page.reference)


def a_payer_without_a_phone_is_refused(world: World) -> None:
    for ask in (world.adapter.open, world.adapter.open_upi):
        with pytest.raises(GatewayRefusedError, match="phone"):
            ask(world.stage.order(world.currency, phone=""))
    order, page = opened(world, name="")
    world.pay(order, page)

    assert looked_up(world, order, page).outcome is Outcome.PAID


def a_link_that_was_declined_is_the_end_of_the_payment(world: World) -> None:
    order, intent = linked(world)
    world.pay_upi(intent.link, Payer.DECLINES_SOFT)
    found = looked_up(world, order, page_of(intent))

    assert (found.outcome, found.gateway_session_id) == (Outcome.FAILED, intent.reference)
    assert found.failure_code
    with pytest.raises(GatewayUnavailableError, match="gives no UPI link"):
        world.adapter.open_upi(order)


def a_decline_is_the_end_of_the_payment(world: World) -> None:
    for how, kind in DECLINES.items():
        order, page = opened(world)
        world.pay(order, page, how)
        sent = told(world, order, page)

        assert len(sent) == 1
        for one in (looked_up(world, order, page), *sent):
            assert one.outcome is Outcome.FAILED
            assert one.decline_class is kind
            assert one.failure_code
            assert one.failure_message
            assert one.captured_amount is None


def what_was_declined_stays_so_when_its_page_is_over(world: World) -> None:
    order, page = opened(world)
    world.pay(order, page, Payer.DECLINES_HARD)
    world.stage.advance(2 * HOUR)

    assert looked_up(world, order, page, is_over=True).outcome is Outcome.FAILED


def a_webhook_of_a_refund_only_says_where_to_look(world: World) -> None:
    _, _, payment = paid(world)
    order = world.stage.refund_order(payment, 1_001)
    answered = world.adapter.refund(order)
    hints = [one for one in notices(world) if one.subject is Subject.REFUND]

    assert [one.refund_id for one in hints] == [order.id]
    for one in hints:
        assert one.outcome is Outcome.HINT
        assert one.gateway_payment_id == payment.gateway_payment_id
        assert one.gateway_refund_id == answered.gateway_refund_id
    assert refund_found(world, order).outcome is Outcome.SUCCEEDED


def equal_parts_need_five_minutes_between_them(world: World) -> None:
    _, _, payment = paid(world)
    first, second = (world.stage.refund_order(payment, 1_000) for _ in range(2))
    world.adapter.refund(first)
    with pytest.raises(GatewayUnavailableError):
        world.adapter.refund(second)
    assert world.adapter.find_refund(second.id, second.gateway_payment_id) is None

    world.stage.advance(301)
    answered = world.adapter.refund(second)
    assert answered.outcome is Outcome.SUCCEEDED
    assert refund_found(world, second).gateway_refund_id == answered.gateway_refund_id
    assert refund_found(world, first).gateway_refund_id != answered.gateway_refund_id


def a_dispute_is_a_hint_at_every_step(world: World) -> None:
    _, _, payment = paid(world)
    world.dispute(payment)
    (opened_by,) = [one for one in notices(world) if one.subject is Subject.DISPUTE]
    for outcome in (Outcome.UNDER_REVIEW, Outcome.WON):
        world.decide(opened_by, outcome)
        world.stage.advance(DAY)
    told_of = [one for one in notices(world) if one.subject is Subject.DISPUTE]

    assert len({one.event_id for one in told_of}) == 3
    for one in told_of:
        assert one.outcome is Outcome.HINT
        assert one.gateway_dispute_id == opened_by.gateway_dispute_id
        assert one.gateway_payment_id == payment.gateway_payment_id
        assert one.amount == payment.amount
        assert one.reason


def disputed(world: World) -> tuple[Finding, Finding]:
    _, _, payment = paid(world)
    world.dispute(payment)
    (hint,) = [one for one in notices(world) if one.subject is Subject.DISPUTE]
    return payment, hint


def listed(world: World, hint: Finding) -> list[Finding]:
    found = world.adapter.find_disputes(world.stage.now() - timedelta(hours=1))
    return [one for one in found if one.gateway_dispute_id == hint.gateway_dispute_id]


def a_dispute_is_decided_by_the_list(world: World) -> None:
    payment, hint = disputed(world)
    stands = [*listed(world, hint)]
    for outcome in (Outcome.UNDER_REVIEW, Outcome.LOST):
        world.decide(hint, outcome)
        stands += listed(world, hint)

    assert [one.outcome for one in stands] == [
        *(Outcome.OPENED, Outcome.UNDER_REVIEW, Outcome.LOST),
    ]
    for one in stands:
        assert (one.subject, one.amount) == (Subject.DISPUTE, payment.amount)
        assert one.payment_attempt_id == payment.payment_attempt_id
        assert one.gateway_payment_id == payment.gateway_payment_id
        assert one.opened_at
        assert abs(world.stage.now() - one.opened_at) <= timedelta(days=1)
        assert one.evidence_due_at
        assert one.evidence_due_at > one.opened_at


def a_dispute_of_another_day_is_not_in_the_list(world: World) -> None:
    _, hint = disputed(world)
    world.stage.advance(3 * DAY)

    assert listed(world, hint) == []
