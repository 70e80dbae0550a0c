"""Scenarios of the list of all payments of one page."""

import pytest
from gateways.scenarios import looked_up, opened, paid, scenario, told
from gateways.world import DAY, Ask, Payer, World

from app.errors import GatewayUnavailableError
from app.gateways import Capability, Charge, Checkout, Finding, Outcome, Subject

SEVERAL = Capability.PAYMENTS


def listed(world: World, order: Charge, page: Checkout) -> list[Finding]:
    query = world.stage.query(order.id, gateway_session_id=page.reference, is_over=True)
    found = list(world.adapter.find_payments(query))
    assert {one.subject for one in found} <= {Subject.PAYMENT}
    assert {one.payment_attempt_id for one in found} <= {order.id}
    assert {one.gateway_session_id for one in found} <= {page.reference}
    return found


@scenario(SEVERAL, Payer.PAYS_TWICE)
def a_page_paid_twice_lists_both_payments(world: World) -> None:
    order, page = opened(world)
    world.pay(order, page, Payer.PAYS_TWICE)
    found = listed(world, order, page)
    sent = {one.gateway_payment_id for one in told(world, order, page)} - {None}

    assert [one.outcome for one in found] == [Outcome.PAID] * 2
    assert [one.captured_amount for one in found] == [order.amount] * 2
    assert {one.gateway_payment_id for one in found} == sent
    assert looked_up(world, order, page).gateway_payment_id in sent


@scenario(SEVERAL)
def a_page_paid_once_lists_that_payment_alone(world: World) -> None:
    order, page, found = paid(world)

    (only,) = listed(world, order, page)
    assert only.gateway_payment_id == found.gateway_payment_id
    assert (only.outcome, only.amount, only.captured_amount) == (
        *(Outcome.PAID, order.amount, order.amount),
    )


@scenario(SEVERAL)
def a_page_that_nobody_paid_lists_nothing_that_has_money(world: World) -> None:
    order, page = opened(world)

    assert listed(world, order, page) == []


@scenario(SEVERAL, Payer.FAILS_THEN_PAYS)
def a_payment_that_failed_is_listed_without_a_name(world: World) -> None:
    order, page = opened(world)
    world.pay(order, page, Payer.FAILS_THEN_PAYS)
    names = {one.outcome: one.gateway_payment_id for one in listed(world, order, page)}

    assert set(names) == {Outcome.REQUIRES_ACTION, Outcome.PAID}
    assert names[Outcome.REQUIRES_ACTION] is None
    assert names[Outcome.PAID]


@scenario(SEVERAL, Payer.FAILS_THEN_PAYS_LATE)
def a_bank_that_says_yes_late_is_listed_beside_the_payment_that_came_first(world: World) -> None:
    order, page = opened(world)
    world.pay(order, page, Payer.FAILS_THEN_PAYS_LATE)
    world.pay(order, page)
    before = [one.outcome for one in listed(world, order, page)]
    world.stage.advance(DAY)
    after = listed(world, order, page)

    assert sorted(before) == [Outcome.PAID, Outcome.REQUIRES_ACTION]
    assert Outcome.REQUIRES_ACTION not in {one.outcome for one in after}
    assert len({one.gateway_payment_id for one in after} - {None}) == len(after)


@scenario(SEVERAL, each=["refuse", "error_500", "rate_limited", "nonsense", "malformed", "empty"])
def a_list_that_does_not_come_is_no_empty_list(world: World, kind: str) -> None:
    order, page, _ = paid(world)
    world.stage.fault(world.operations[Ask.FIND_PAYMENTS], kind)

    with pytest.raises(GatewayUnavailableError):
        listed(world, order, page)
    assert len(listed(world, order, page)) == 1
