"""What happens at Cashfree where it does otherwise than the others; `differences.py` says why."""

import pytest
from gateways.scenarios import looked_up, opened, refund_found, told
from gateways.world import Ask, Payer, World

from app.errors import GatewayRefusedError, GatewayUnavailableError
from app.gateways import Outcome


def a_capture_is_told_by_its_answer_and_when_looked_up(world: World) -> None:
    order, page = opened(world, authorize_only=True)
    world.pay(order, page, Payer.AUTHORIZES)
    payment = str(looked_up(world, order, page).gateway_payment_id)
    captured = world.adapter.capture(order.id, payment, order.amount)

    assert (captured.outcome, captured.captured_amount) == (Outcome.PAID, order.amount)
    assert world.adapter.capture(order.id, payment, order.amount) == captured
    assert looked_up(world, order, page) == captured
    assert {one.outcome for one in told(world, order, page)} == {Outcome.AUTHORIZED}


def refunds_are_the_orders_whose_first_payment_goes_back_first(world: World) -> None:
    order, page = opened(world)
    world.pay(order, page, Payer.PAYS_TWICE)
    first = looked_up(world, order, page)
    paid = [one for one in told(world, order, page) if one.outcome is Outcome.PAID]
    second = next(one for one in paid if one.gateway_payment_id != first.gateway_payment_id)
    refunds = [world.stage.refund_order(second) for _ in range(3)]
    answered = [world.adapter.refund(one) for one in refunds]

    outcomes = [one.outcome for one in answered]
    assert outcomes == [Outcome.SUCCEEDED, Outcome.SUCCEEDED, Outcome.FAILED]
    assert answered[0].gateway_payment_id == first.gateway_payment_id
    assert answered[1].gateway_payment_id == second.gateway_payment_id
    assert refund_found(world, refunds[0]) == answered[0]


def a_payer_without_a_phone_is_refused_before_cashfree_is_asked(world: World) -> None:
    world.stage.fault(world.operations[Ask.OPEN], "error_500")
    with pytest.raises(GatewayRefusedError, match="phone"):
        opened(world, phone="")
    with pytest.raises(GatewayUnavailableError):  # the fault is still there: nobody was asked
        opened(world, name="")

    assert opened(world, name="")[1].url
