"""Days as they are: several orders at once, bad connections, odd payers, and things long past."""

import json
from typing import Any

import pytest
from gateways.scenarios import (
    looked_up,
    notices,
    opened,
    paid,
    refund_found,
    refunded_no_more_than_once,
    scenario,
    told,
)
from gateways.world import AMOUNT, DAY, Ask, Payer, World

from app.errors import GatewayUnavailableError, SignatureInvalidError
from app.gateways import Finding, Outcome

GOES_BACK = {Outcome.SUCCEEDED, Outcome.PENDING}
UNKNOWN_PAYERS: dict[str, dict[str, Any]] = {
    "no name and no phone": {"name": "", "phone": ""},
    "one name": {"name": "Madonna"},
    "an odd address": {"email": "asha+shop.1@mail.example.co.in"},
    "a way back with a query": {"success_url": "https://shop.example/ok?a=b&c=%7B1%7D"},
}


@scenario()
def two_payments_are_told_apart(world: World) -> None:
    first, second = opened(world, amount=AMOUNT), opened(world, amount=AMOUNT)
    world.pay(*second)
    world.pay(*first)
    found = [looked_up(world, *one) for one in (first, second)]

    assert len({one.gateway_payment_id for one in found}) == 2
    for (order, page), one in zip((first, second), found, strict=True):
        assert one.payment_attempt_id == order.id
        sent = [each for each in told(world, order, page) if each.outcome is Outcome.PAID]
        assert {each.gateway_payment_id for each in sent} - {None} == {one.gateway_payment_id}


@scenario()
def one_order_paid_says_nothing_of_another(world: World) -> None:
    paid(world)
    order, page = opened(world)
    world.pay(order, page, Payer.DROPS)

    assert looked_up(world, order, page).outcome is Outcome.REQUIRES_ACTION


@scenario()
def who_was_declined_may_pay_with_a_new_order(world: World) -> None:
    order, page = opened(world)
    world.pay(order, page, Payer.DECLINES_HARD)
    _, _, found = paid(world)

    assert found.payment_attempt_id != order.id
    assert looked_up(world, order, page).outcome is not Outcome.PAID


@scenario(each=UNKNOWN_PAYERS)
def a_payer_may_be_anybody(world: World, who: str) -> None:
    order, page = opened(world, **UNKNOWN_PAYERS[who])
    world.pay(order, page)

    assert looked_up(world, order, page).outcome is Outcome.PAID


@scenario(each=[100, 12_345, AMOUNT - 1])
def a_part_is_refunded_to_the_minor_unit(world: World, part: int) -> None:
    _, _, payment = paid(world)
    order = world.stage.refund_order(payment, part)
    answered = world.adapter.refund(order)

    assert answered.outcome in GOES_BACK
    assert answered.amount == refund_found(world, order).amount == order.amount


@scenario()
def one_payments_refund_is_not_anothers(world: World) -> None:
    (_, _, first), (_, _, second) = paid(world), paid(world)
    order = world.stage.refund_order(first, 1_000)
    world.adapter.refund(order)

    assert world.adapter.find_refund(order.id, str(second.gateway_payment_id)) is None
    refunded_no_more_than_once(world, second, 0)


@scenario()
def three_parts_make_a_whole(world: World) -> None:
    _, _, payment = paid(world)
    for part in (AMOUNT // 2, AMOUNT // 4 + 1, AMOUNT // 4 - 1):
        answered = world.adapter.refund(world.stage.refund_order(payment, part))
        assert answered.outcome in GOES_BACK

    assert world.adapter.refund(world.stage.refund_order(payment, 100)).outcome is Outcome.FAILED


@scenario()
def an_outage_passes(world: World) -> None:
    order, page, payment = paid(world)
    refund = world.stage.refund_order(payment, 1_000)
    world.stage.fault("*", "refuse", times=None)
    for _ in range(2):
        with pytest.raises(GatewayUnavailableError):
            looked_up(world, order, page)
        with pytest.raises(GatewayUnavailableError):
            world.adapter.refund(refund)
    world.stage.server.control("/faults", method="DELETE")

    assert looked_up(world, order, page) == payment
    assert world.adapter.refund(refund).outcome in GOES_BACK
    refunded_no_more_than_once(world, payment, 1_000)


@scenario()
def a_slow_answer_is_an_answer(world: World) -> None:
    order, page, payment = paid(world)
    refund = world.stage.refund_order(payment, 1_000)
    for ask in (Ask.FIND, Ask.REFUND):
        world.stage.fault(world.operations[ask], "slow", seconds=0.3)

    assert looked_up(world, order, page) == payment
    assert world.adapter.refund(refund).outcome in GOES_BACK


@scenario()
def what_was_paid_a_month_ago_is_found_and_refunded(world: World) -> None:
    order, page, payment = paid(world)
    world.stage.advance(30 * DAY)
    refund = world.stage.refund_order(payment, 1_000)

    assert looked_up(world, order, page, is_over=True) == payment
    assert world.adapter.refund(refund).outcome in GOES_BACK
    world.stage.advance(30 * DAY)
    assert refund_found(world, refund).outcome is Outcome.SUCCEEDED


@scenario()
def a_message_read_twice_says_the_same(world: World) -> None:
    paid(world)
    first, second = notices(world), notices(world)

    assert first
    assert first == second
    for one in first:
        words = one.words()
        assert json.loads(json.dumps(words)) == words


@scenario()
def a_message_under_another_secret_is_refused(world: World) -> None:
    world.stage.fault("webhook:*", "wrong_signature", times=None)
    order, page = opened(world)
    world.pay(order, page)
    came = world.stage.deliveries()

    assert came
    for one, at in came:
        with pytest.raises(SignatureInvalidError):
            world.adapter.read(one, at)


@scenario()
def a_message_that_is_late_is_believed(world: World) -> None:
    world.stage.fault("webhook:*", "delay", seconds=3600, times=None)
    order, page = opened(world)
    world.pay(order, page)
    before: list[Finding] = [*told(world, order, page)]
    world.stage.advance(2 * 3600)

    assert before == []
    assert Outcome.PAID in {one.outcome for one in told(world, order, page)}
