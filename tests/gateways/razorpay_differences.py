"""What happens at Razorpay where it does otherwise than the others; `differences.py` says why."""

import pytest
from gateways.scenarios import looked_up, opened, told
from gateways.scenarios_money import authorized
from gateways.world import AMOUNT, DAY, Payer, World

from app.errors import GatewayRefusedError
from app.gateways import Outcome
from app.money import Money


def a_part_is_refused_and_all_can_still_be_captured(world: World) -> None:
    order, page, payment = authorized(world)
    with pytest.raises(GatewayRefusedError, match="equal to the amount authorized"):
        world.adapter.capture(order.id, payment, Money(AMOUNT // 5, world.currency))

    assert looked_up(world, order, page).outcome is Outcome.AUTHORIZED
    assert world.adapter.capture(order.id, payment, order.amount).outcome is Outcome.PAID


def money_on_its_way_leaves_the_page_open_and_keeps_it_from_being_over(world: World) -> None:
    order, page = opened(world)
    world.pay(order, page, Payer.PENDING_THEN_PAID)

    for is_over in (False, True):
        found = looked_up(world, order, page, is_over=is_over)
        assert found.outcome is Outcome.REQUIRES_ACTION
        assert found.captured_amount == Money(0, world.currency)
    assert Outcome.PAID not in {one.outcome for one in told(world, order, page)}


def money_on_its_way_that_came_to_nothing_leaves_the_page_to_expire(world: World) -> None:
    order, page = opened(world)
    world.pay(order, page, Payer.PENDING_THEN_FAILED)
    before = looked_up(world, order, page, is_over=True)
    world.stage.advance(DAY)

    assert before.outcome is Outcome.REQUIRES_ACTION
    assert looked_up(world, order, page).failure_code == "payment_failed"
    assert looked_up(world, order, page, is_over=True).outcome is Outcome.EXPIRED
    assert Outcome.PAID not in {one.outcome for one in told(world, order, page)}
