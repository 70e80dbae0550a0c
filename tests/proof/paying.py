"""The same flows at every gateway, through the doors that shops and payers use.

What differs is in one table, shops.py. A shop with several gateways has all of them on, so that a
payer who tries again after a silence could be sent to another one, and must not be.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

from gateways.world import DAY, HOUR, Payer, Refunds
from proof.cases import Case, Flow, Step
from proof.deeds import (
    call_off,
    capture,
    dispute,
    fall_silent,
    give_up,
    initiate,
    is_held,
    is_held_or_off,
    is_paid,
    is_taken,
    let_go,
    lose,
    read_the_list,
    refund,
    refund_there,
    route,
    say_yes_after_all,
    settle,
    tick,
    verify,
    wait,
    wait_for_quiet_noon,
)
from proof.outcomes import (
    all_is_back,
    all_is_back_by_two_ways,
    is_back_there,
    is_disputed,
    is_lost,
    nothing_is_back,
    nothing_is_held,
    nothing_was_sold,
    paid_at,
    paid_once,
    paid_twice,
    parts_are_back,
    taken_as_told,
)
from proof.shops import AMOUNT, GATEWAYS, PART, At
from proof.visits import (
    ask_for_a_code,
    choose,
    choose_card,
    come_back,
    hand_over,
    is_begun,
    is_initiated,
    is_there,
    look,
    pay,
    pay_by_code,
    watch,
)

CRONS = ("apply_gateway_events", "check_payments", "store_missing_receipts")
REFUND_CRONS = (*CRONS, "check_refunds")


def to_the_page(at: At) -> tuple[Step, ...]:
    routes = partial(route, at.shop, (at.gateway, *at.rivals))
    return (
        Step("the shop's gateways", routes, by="payer"),
        Step("initiatePayment", partial(initiate, at.shop)),
        Step("choosing", choose_card, ready=is_initiated),
        Step("going to the page", hand_over, ready=is_begun),
    )


def paid(at: At, refunds: Refunds = Refunds.SUCCEED) -> tuple[Step, ...]:
    return (
        *to_the_page(at),
        Step("paying", partial(pay, Payer.PAYS, refunds), by="payer"),
        Step("coming back", come_back, ready=is_there),
    )


def on_the_page(at: At) -> Flow:
    return Flow(
        f"an order paid at {at.gateway}",
        (
            *to_the_page(at)[:2],
            Step("looking", look, ready=is_initiated),
            *to_the_page(at)[2:],
            Step("paying", partial(pay, Payer.PAYS, Refunds.SUCCEED), by="payer"),
            Step("watching", watch, ready=is_initiated),
            Step("coming back", come_back, ready=is_there),
            Step("asking by its display id", partial(verify, at.shop), ready=is_initiated),
        ),
        partial(paid_at, at.gateway),
        gateways=(at.gateway,),
    )


def by_a_code(at: At) -> Flow:
    return Flow(
        f"an order paid by an app that reads {at.gateway}'s code",
        (
            *to_the_page(at)[:2],
            Step("choosing UPI", partial(choose, "upi"), ready=is_initiated),
            Step("asking for a code", ask_for_a_code, ready=is_begun),
            Step("paying", pay_by_code, by="payer"),
            Step("watching", watch, ready=is_initiated),
            Step("asking by its display id", partial(verify, at.shop), ready=is_initiated),
        ),
        partial(paid_at, at.gateway),
        gateways=(at.gateway,),
    )


def declined_first(at: At) -> Flow:
    """Where a decline is the end of the attempt, the next one may go to another gateway."""
    once_more = () if at.tries_again else (Step("choosing anew", choose_card, ready=is_initiated),)
    return Flow(
        f"an order declined and then paid at {at.gateway}",
        (
            *to_the_page(at),
            Step("a decline", partial(pay, Payer.DECLINES_SOFT, Refunds.SUCCEED), by="payer"),
            Step("coming back", come_back, ready=is_there),
            *once_more,
            Step("going there again", hand_over, ready=is_begun),
            Step("paying", partial(pay, Payer.PAYS, Refunds.SUCCEED), by="payer"),
            Step("coming back at last", come_back, ready=is_there),
        ),
        paid_once,
        gateways=(at.gateway,),
    )


def left_alone(at: At) -> Flow:
    return Flow(
        f"an order whose page closes unpaid at {at.gateway}",
        (
            *to_the_page(at),
            Step("two days", partial(wait, 2 * DAY), by="payer"),
            Step("check_payments", partial(tick, "check_payments"), by="cron"),
        ),
        nothing_was_sold,
        alone=True,
        gateways=(at.gateway,),
    )


def held(at: At) -> tuple[Step, ...]:
    """Begin an order whose money is authorised first, wherever the payer's click leads."""
    first, _, *others = to_the_page(at)
    return (
        first,
        Step("initiatePayment", partial(initiate, at.shop, capture_method="manual")),
        *others,
        Step("paying", partial(pay, Payer.AUTHORIZES, Refunds.SUCCEED), by="payer"),
        Step("coming back", come_back, ready=is_there),
    )


def taken_later(at: At) -> Flow:
    return Flow(
        f"an order whose money {at.gateway} holds until it is taken",
        (*held(at), Step("capturePayment", partial(capture, at), ready=is_held)),
        partial(taken_as_told, at),
        gateways=(at.gateway,),
        asked_only=not at.tells_captures,
    )


def held_unasked(at: At) -> Flow:
    """The order is to be paid at once, and the gateway only holds the money: we take it."""
    return Flow(
        f"an order whose money {at.gateway} holds though it was to take it",
        (
            *to_the_page(at),
            Step("paying", partial(pay, Payer.AUTHORIZES, Refunds.SUCCEED), by="payer"),
            Step("coming back", come_back, ready=is_there),
        ),
        partial(paid_at, at.gateway),
        gateways=(at.gateway,),
        asked_only=not at.tells_captures,
    )


def never_taken(at: At) -> Flow:
    return Flow(
        f"an order whose money {at.gateway} holds and lets go of",
        (*held(at), Step("cancelPayment", partial(let_go, at), ready=is_held_or_off)),
        nothing_is_held,
        gateways=(at.gateway,),
    )


def called_off(at: At) -> Flow:
    """Nobody but the janitor has the gateway let go of it."""
    return Flow(
        f"an order whose money {at.gateway} holds, and that is called off",
        (*held(at), Step("order.cancelled", partial(call_off, at.shop), ready=is_held_or_off)),
        nothing_is_held,
        gateways=(at.gateway,),
    )


def given_up(at: At) -> Flow:
    """Not every gateway can close its page: what is paid there all the same goes back."""
    *first, going = to_the_page(at)
    return Flow(
        f"an order given up on {at.gateway}'s page, and paid there all the same",
        (
            *first,
            replace(going, repeats=False),  # its page is shown no more
            Step("cancelPayment", partial(give_up, at.shop.payer), ready=is_initiated),
            Step("paying", partial(pay, Payer.PAYS, Refunds.SUCCEED), by="payer"),
            Step("coming back", come_back, ready=is_there),
        ),
        partial(all_is_back, at),
        crons=REFUND_CRONS,
        gateways=(at.gateway,),
    )


def to_another(at: At) -> Flow:
    """The first choice is known to be silent, so that the next one is asked, and it alone."""
    return Flow(
        f"an order paid at {at.rivals[0]}, as {at.gateway} is silent",
        (
            *to_the_page(at)[:2],
            Step(f"{at.gateway} is silent", partial(fall_silent, at.gateway), by="payer"),
            *to_the_page(at)[2:],
            Step("paying", partial(pay, Payer.PAYS, Refunds.SUCCEED), by="payer"),
            Step("coming back", come_back, ready=is_there),
        ),
        partial(paid_at, at.rivals[0]),
        gateways=(at.gateway, at.rivals[0]),
    )


def taken_twice(at: At) -> Flow:
    """A bank says no at one gateway, the payer pays at another, and then the bank says yes."""
    rival = at.rivals[0]
    return Flow(
        f"an order paid at {rival}, and later at {at.gateway} after all",
        (
            *to_the_page(at),
            Step("a decline", partial(pay, at.late, Refunds.SUCCEED), by="payer"),
            Step("coming back", come_back, ready=is_there),
            Step("a while", partial(wait, at.closes), by="payer"),
            Step("other gateways", partial(route, at.shop, (rival,)), by="payer"),
            Step("choosing another", partial(choose, "netbanking"), ready=is_initiated),
            Step("going there", hand_over, ready=is_begun),
            Step("paying", partial(pay, Payer.PAYS, Refunds.SUCCEED), by="payer"),
            Step("coming back from there", come_back, ready=is_there),
            Step("a yes after all", partial(say_yes_after_all, at), by="payer"),
        ),
        partial(paid_twice, at.gateway),
        gateways=(at.gateway, rival),
        told_only=True,
        later=DAY,
    )


def refunded(at: At) -> Flow:
    return Flow(
        f"two equal parts sent back by {at.gateway}",
        (
            *paid(at),
            Step("refundPayment", partial(refund, at.shop, PART, "one"), ready=is_paid),
            Step("a while", partial(wait, at.pause), by="payer"),
            Step("refundPayment again", partial(refund, at.shop, PART, "two"), ready=is_paid),
        ),
        parts_are_back,
        crons=REFUND_CRONS,
        gateways=(at.gateway,),
    )


def refunded_here_and_there(at: At) -> Flow:
    """An order is off, and before all of it goes back its shop sends a part back by itself.

    So the gateway refuses all, as it has not so much left, and the rest is to go back.
    """
    return Flow(
        f"an order called off of which {at.gateway} sends a part back past us",
        (
            *paid(at),
            Step("order.cancelled", partial(call_off, at.shop), ready=is_paid),
            Step("a refund there", partial(refund_there, at), by="payer", ready=is_taken),
            Step("check_refunds", partial(tick, "check_refunds"), by="cron"),
        ),
        all_is_back_by_two_ways,
        crons=REFUND_CRONS,
        alone=True,
        gateways=(at.gateway,),
        told_only=not at.lists_refunds,
        refunded_there=True,
    )


def refund_failed(at: At) -> Flow:
    return Flow(
        f"a refund that comes to nothing at {at.gateway}",
        (
            *paid(at, at.fails),
            Step("refundPayment", partial(refund, at.shop, AMOUNT, "all"), ready=is_paid),
            Step("a day", partial(wait, DAY), by="payer"),
            Step("check_refunds", partial(tick, "check_refunds"), by="cron"),
        ),
        nothing_is_back,
        crons=REFUND_CRONS,
        alone=True,
        gateways=(at.gateway,),
        told_only=at.fails is Refunds.FAIL_LATE,
        later=DAY,
    )


def disputed(at: At) -> Flow:
    return Flow(
        f"a payment at {at.gateway} that the payer's bank takes back",
        (
            # Some lists are told by the day: those of other cases are too old for this one.
            Step("two days", partial(wait, 2 * DAY), by="payer"),
            Step("a list read before", partial(read_the_list, at), by="payer"),
            *paid(at),
            Step("a dispute", partial(dispute, at), by="payer", ready=is_taken),
            Step("an hour", partial(wait, HOUR), by="payer"),
            Step("it is lost", partial(lose, at), by="payer", ready=is_taken),
            Step("check_disputes", partial(tick, "check_disputes"), by="cron"),
        ),
        is_lost,
        crons=(*CRONS, "check_disputes"),
        alone=True,
        gateways=(at.gateway,),
        told_only=not at.lists_disputes,
        later=HOUR + 60,  # each gateway is asked once an hour
    )


def told_by_settlement(
    at: At, what: str, happens: Callable[[At, Case], None], books: Callable[[Case], list[str]]
) -> Flow:
    return Flow(
        f"{what} of which the settlement of {at.gateway} alone tells",
        (
            Step("a quiet noon", partial(wait_for_quiet_noon, at), by="payer"),
            Step("a list read before", partial(read_the_list, at), by="payer"),
            # Days later the page is over: nobody asks for it again.
            *(replace(step, repeats=False) for step in paid(at)),
            Step(what, partial(happens, at), by="payer", ready=is_taken),
            Step("an hour", partial(wait, HOUR), by="payer"),
            Step("it is settled", partial(settle, at), by="payer"),
            Step("two days", partial(wait, 2 * DAY), by="payer"),
            Step("check_disputes", partial(tick, "check_disputes"), by="cron"),
            Step("check_refunds", partial(tick, "check_refunds"), by="cron"),
            Step("another hour", partial(wait, HOUR + 60), by="payer"),
            Step("check_disputes again", partial(tick, "check_disputes"), by="cron"),
            Step("check_refunds again", partial(tick, "check_refunds"), by="cron"),
        ),
        books,
        couriers=False,
        crons=(*REFUND_CRONS, "check_disputes"),
        alone=True,
        gateways=(at.gateway,),
        later=HOUR + 60,  # each gateway is asked once an hour
        refunded_there=True,
    )


def refunded_there(at: At) -> Flow:
    return told_by_settlement(at, "a refund", refund_there, is_back_there)


def disputed_unheard(at: At) -> Flow:
    return told_by_settlement(at, "a dispute", dispute, is_disputed)


# Who plays a family: all, or those that can.
FAMILIES: tuple[tuple[Callable[[At], Flow], Callable[[At], object]], ...] = (
    (on_the_page, lambda _: True),
    (by_a_code, lambda at: at.gives_codes),
    (declined_first, lambda _: True),
    (left_alone, lambda _: True),
    (refunded, lambda _: True),
    (refunded_here_and_there, lambda _: True),
    (refund_failed, lambda _: True),
    (disputed, lambda _: True),
    (refunded_there, lambda at: not at.lists_refunds),
    (disputed_unheard, lambda at: not at.lists_disputes),
    (taken_later, lambda at: at.capture),
    (held_unasked, lambda at: at.may_hold),
    (never_taken, lambda at: at.capture),
    (called_off, lambda at: at.capture),
    (given_up, lambda _: True),
    (to_another, lambda at: at.rivals),
    (taken_twice, lambda at: at.rivals),
)

FLOWS = tuple(
    replace(family(at), turn=turn)
    for family, can in FAMILIES
    for turn, at in enumerate(GATEWAYS)
    if can(at)
)
