"""What happens at any gateway, told once: each scenario is played in every gateway's world.

A scenario names what it needs of a world. Where a world has it not, `differences.py` says so, and
the test asserts that it really is not there.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any
from uuid import uuid4

from gateways.world import Ask, Payer, Refunds, World

from app.gateways import (
    Capability,
    Charge,
    Checkout,
    Finding,
    Notice,
    Outcome,
    RefundOrder,
    Subject,
)


@dataclass(frozen=True, slots=True)
class Scenario:
    name: str
    needs: frozenset[StrEnum]
    play: Callable[[World], None]


ALL: dict[str, Scenario] = {}


def scenario(
    *needs: StrEnum, each: Iterable[Any] = (None,)
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Enter a scenario into the table, once for each value where there are several.

    A value that is a word of the world's (a Payer, a way of Refunds) is a need, too.
    """

    def enter(play: Callable[..., None]) -> Callable[..., None]:
        for value in each:
            name = play.__name__ if value is None else f"{play.__name__}[{value}]"
            wanted = {*needs, value} if isinstance(value, StrEnum) else set(needs)
            assert name not in ALL
            ALL[name] = Scenario(name, frozenset(wanted), _bound(play, value))
        return play

    return enter


def _bound(play: Callable[..., None], value: Any) -> Callable[[World], None]:
    return play if value is None else lambda world: play(world, value)


def lacking(world: World, scenario: Scenario) -> str | None:
    """Name a need that a world does not have; None when it has them all."""
    had: dict[type[StrEnum], Iterable[StrEnum]] = {
        Capability: world.adapter.capabilities,
        Payer: world.plays,
        Refunds: world.refunds,
        Ask: world.operations,
        Subject: [Subject.DISPUTE] if world.disputes else [],
    }
    missing = [str(need) for need in scenario.needs if need not in had[type(need)]]
    return min(missing, default=None)


# What most scenarios begin with, and look at in the end


def opened(world: World, **changes: Any) -> tuple[Charge, Checkout]:
    order = world.stage.order(world.currency, **changes)
    return order, world.adapter.open(order)


def looked_up(world: World, order: Charge, page: Checkout, *, is_over: bool = False) -> Finding:
    query = world.stage.query(order.id, gateway_session_id=page.reference, is_over=is_over)
    found = world.adapter.find(query)
    assert found is not None
    assert found.subject is Subject.PAYMENT
    return found


def paid(world: World, **how: Any) -> tuple[Charge, Checkout, Finding]:
    order, page = opened(world)
    world.pay(order, page, **how)
    found = looked_up(world, order, page)
    assert found.outcome is Outcome.PAID
    return order, page, found


def notices(world: World) -> list[Notice]:
    """Read every webhook since the world began."""
    return [world.adapter.read(one, at) for one, at in world.stage.deliveries()]


def told(world: World, order: Charge, page: Checkout) -> list[Notice]:
    """Read what webhooks say about the payment of an order."""
    found = [one for one in notices(world) if one.subject is Subject.PAYMENT]
    payments = {one.gateway_payment_id for one in found if _names(one, order, page)} - {None}
    return [one for one in found if _names(one, order, page) or one.gateway_payment_id in payments]


def _names(one: Notice, order: Charge, page: Checkout) -> bool:
    return one.payment_attempt_id == order.id or one.gateway_session_id == page.reference


def told_of(world: World, refund: RefundOrder) -> list[Notice]:
    """Read what webhooks say about a refund."""
    of_refunds = [one for one in notices(world) if one.subject is Subject.REFUND]
    return [one for one in of_refunds if one.refund_id == refund.id]


def refund_found(world: World, order: RefundOrder) -> Finding:
    found = world.adapter.find_refund(order.id, order.gateway_payment_id)
    assert found is not None
    assert (found.subject, found.refund_id) == (Subject.REFUND, order.id)
    return found


def refunded_no_more_than_once(world: World, payment: Finding, part: int) -> None:
    """Prove that exactly `part` went back: the rest can be refunded, and not a unit more."""
    assert payment.amount is not None
    rest = world.stage.refund_order(payment, payment.amount.amount - part)
    assert world.adapter.refund(rest).outcome in {Outcome.SUCCEEDED, Outcome.PENDING}
    more = world.stage.refund_order(payment, 1)
    assert world.adapter.refund(more).outcome is Outcome.FAILED


def another(order: Charge) -> Charge:
    return replace(order, id=str(uuid4()))
