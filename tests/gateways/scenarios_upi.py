"""UPI without the gateway's page: a link into the payer's app, which they pay or decline there."""

from dataclasses import replace

import pytest
from gateways.scenarios import looked_up, opened, scenario, told
from gateways.scenarios_pages import NO_ANSWER
from gateways.world import DAY, HOUR, Ask, Payer, World

from app import upi
from app.errors import GatewayUnavailableError
from app.gateways import Capability, Charge, Checkout, Method, Outcome, UpiIntent

UPI = Capability.UPI


def linked(world: World, **changes: object) -> tuple[Charge, UpiIntent]:
    order = world.stage.order(world.currency, method=Method.UPI, **changes)
    return order, intent_of(world, order)


def intent_of(world: World, order: Charge) -> UpiIntent:
    intent = world.adapter.open_upi(order)
    assert intent is not None
    return intent


def page_of(intent: UpiIntent) -> Checkout:
    """Give the page of the same charge, as far as looking it up goes."""
    return Checkout(intent.reference, "")


def paid_in_the_end(world: World, order: Charge, intent: UpiIntent) -> None:
    found = looked_up(world, order, page_of(intent))
    assert (found.outcome, found.method) == (Outcome.PAID, Method.UPI)
    assert (found.amount, found.captured_amount) == (order.amount, order.amount)
    heard = [one for one in told(world, order, page_of(intent)) if one.outcome is Outcome.PAID]
    assert {one.amount for one in heard} == {order.amount}
    assert found.gateway_payment_id in {one.gateway_payment_id for one in heard}


@scenario(UPI, each=[10_001, 123_457, 9_999_900])
def a_link_asks_for_what_is_due_to_the_paisa(world: World, amount: int) -> None:
    order, intent = linked(world, amount=amount)
    ask = upi.read(intent.link, order.amount)

    assert ask.payee
    assert "@" in ask.address
    assert ask.reference
    assert intent.expires_at > world.stage.now()
    with pytest.raises(GatewayUnavailableError):
        upi.read(intent.link, replace(order.amount, amount=amount + 1))


@scenario(UPI)
def a_link_for_another_amount_is_told_from_ours(world: World) -> None:
    world.stage.fault(world.operations[Ask.OPEN_UPI], "other_link", n=1)
    order, intent = linked(world)

    with pytest.raises(GatewayUnavailableError, match="another amount"):
        upi.read(intent.link, order.amount)


@scenario(UPI)
def a_link_waits_for_the_payer(world: World) -> None:
    order, intent = linked(world)

    found = looked_up(world, order, page_of(intent))
    assert found.outcome is Outcome.REQUIRES_ACTION
    assert found.gateway_session_id == intent.reference
    assert world.adapter.find(world.stage.query(order.id)) == found
    app = world.stage.server.http.request("GET", f"{world.stage.server.url}/upi", timeout=10)
    assert upi.read(intent.link, order.amount).reference in app.text


@scenario(UPI)
def a_link_is_paid(world: World) -> None:
    order, intent = linked(world)
    world.pay_upi(intent.link, Payer.PAYS)

    paid_in_the_end(world, order, intent)


@scenario(UPI, each=[Payer.PENDING_THEN_PAID, Payer.FAILS_THEN_PAYS_LATE])
def a_link_that_is_paid_later_is_paid(world: World, how: Payer) -> None:
    order, intent = linked(world)
    world.pay_upi(intent.link, how)
    assert looked_up(world, order, page_of(intent)).outcome is not Outcome.PAID
    world.stage.advance(DAY)

    paid_in_the_end(world, order, intent)


@scenario(UPI)
def a_link_that_was_declined_leaves_the_next_step_to_the_payer(world: World) -> None:
    order, intent = linked(world)
    world.pay_upi(intent.link, Payer.DECLINES_SOFT)
    assert looked_up(world, order, page_of(intent)).outcome is Outcome.REQUIRES_ACTION
    again = intent_of(world, order)
    world.pay_upi(again.link, Payer.PAYS)

    assert again.reference == intent.reference
    paid_in_the_end(world, order, again)


@scenario(UPI, each=[Payer.DECLINES_SOFT, Payer.PENDING_THEN_FAILED, Payer.DROPS])
def a_link_that_nobody_paid_is_over_in_the_end(world: World, how: Payer) -> None:
    order, intent = linked(world)
    if how is not Payer.DROPS:
        world.pay_upi(intent.link, how)
    world.stage.advance(DAY)

    over = looked_up(world, order, page_of(intent), is_over=True)
    assert over.outcome in {Outcome.EXPIRED, Outcome.FAILED}


@scenario(UPI)
def a_link_is_paid_once(world: World) -> None:
    order, intent = linked(world)
    world.pay_upi(intent.link, Payer.PAYS)
    with pytest.raises(AssertionError, match="not valid any more"):
        world.pay_upi(intent.link, Payer.PAYS)

    paid_in_the_end(world, order, intent)


@scenario(UPI)
def a_link_that_is_asked_for_twice_has_one_reference(world: World) -> None:
    order, intent = linked(world)
    again = intent_of(world, order)

    assert again.reference == intent.reference
    assert world.adapter.open(order).reference == intent.reference
    world.pay_upi(again.link, Payer.PAYS)
    paid_in_the_end(world, order, again)


@scenario(UPI)
def a_page_that_was_open_already_gives_a_link(world: World) -> None:
    order, page = opened(world)
    intent = intent_of(world, order)

    assert intent.reference == page.reference
    world.pay_upi(intent.link, Payer.PAYS)
    paid_in_the_end(world, order, intent)


@scenario(UPI, each=NO_ANSWER)
def a_link_whose_answer_was_lost_is_asked_for_again_and_paid_once(world: World, kind: str) -> None:
    order = world.stage.order(world.currency, method=Method.UPI)
    world.stage.fault(world.operations[Ask.OPEN_UPI], kind, seconds=0.05)
    with pytest.raises(GatewayUnavailableError):
        world.adapter.open_upi(order)
    found = world.adapter.find(world.stage.query(order.id))
    assert found is None or found.outcome is Outcome.REQUIRES_ACTION

    intent = intent_of(world, order)
    world.pay_upi(intent.link, Payer.PAYS)
    paid_in_the_end(world, order, intent)


@scenario(UPI)
def a_link_that_is_made_late_is_one_of_the_same_order(world: World) -> None:
    order = world.stage.order(world.currency, method=Method.UPI)
    world.stage.fault(world.operations[Ask.OPEN_UPI], "late_effect", seconds=300)
    with pytest.raises(GatewayUnavailableError):
        world.adapter.open_upi(order)
    intent = intent_of(world, order)
    world.pay_upi(intent.link, Payer.PAYS)
    world.stage.advance(301)

    paid_in_the_end(world, order, intent)


@scenario(UPI)
def an_account_without_upi_asks_nobody(world: World) -> None:
    without = type(world.adapter)(replace(world.adapter.settings, upi=False))
    world.stage.fault("*", "error_500", times=None)

    assert without.open_upi(world.stage.order(world.currency, method=Method.UPI)) is None


@scenario(UPI)
def what_was_paid_by_a_link_goes_back(world: World) -> None:
    order, intent = linked(world)
    world.pay_upi(intent.link, Payer.PAYS)
    payment = looked_up(world, order, page_of(intent))
    refund = world.stage.refund_order(payment, order.amount.amount)

    assert world.adapter.refund(refund).outcome in {Outcome.SUCCEEDED, Outcome.PENDING}
    world.stage.advance(HOUR)
    assert world.adapter.find_refund(refund.id, refund.gateway_payment_id) is not None
