"""Capturing, giving back, disputes and settlements."""

from datetime import timedelta

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
    told_of,
)
from gateways.world import AMOUNT, DAY, Ask, Payer, Refunds, World

from app.errors import GatewayRefusedError, GatewayUnavailableError, SignatureInvalidError
from app.gateways import (
    Capability,
    Charge,
    Checkout,
    Finding,
    Outcome,
    Settled,
    SettlementLine,
    Subject,
)
from app.money import Money

GOES_BACK = {Outcome.SUCCEEDED, Outcome.PENDING}
GIVEN_UP = {Outcome.CANCELED, Outcome.EXPIRED}
NO_ANSWER = (
    *("refuse", "lost_answer", "error_500", "error_after_effect", "rate_limited"),
    *("nonsense", "malformed", "empty"),
)


# Authorizing and capturing


def authorized(world: World) -> tuple[Charge, Checkout, str]:
    order, page = opened(world, authorize_only=True)
    world.pay(order, page, Payer.AUTHORIZES)
    found = looked_up(world, order, page)
    assert found.outcome is Outcome.AUTHORIZED
    assert found.gateway_payment_id
    return order, page, found.gateway_payment_id


@scenario(Capability.AUTHORIZE, Payer.AUTHORIZES)
def what_is_authorized_is_not_taken(world: World) -> None:
    order, page, payment = authorized(world)

    for is_over in (False, True):
        found = looked_up(world, order, page, is_over=is_over)
        assert (found.outcome, found.amount) == (Outcome.AUTHORIZED, order.amount)
        assert found.captured_amount in {Money(0, world.currency), None}
    sent = [one for one in told(world, order, page) if one.outcome is Outcome.AUTHORIZED]
    assert payment in {one.gateway_payment_id for one in sent}


@scenario(Capability.AUTHORIZE, Payer.AUTHORIZES)
def all_that_is_authorized_is_captured_once(world: World) -> None:
    order, page, payment = authorized(world)
    captured = world.adapter.capture(order.id, payment, order.amount)

    assert (captured.outcome, captured.payment_attempt_id) == (Outcome.PAID, order.id)
    assert (captured.amount, captured.captured_amount) == (order.amount, order.amount)
    assert world.adapter.capture(order.id, payment, order.amount) == captured
    assert looked_up(world, order, page).captured_amount == order.amount
    assert Outcome.PAID in {one.outcome for one in told(world, order, page)}


@scenario(Capability.AUTHORIZE, Capability.PARTS, Payer.AUTHORIZES)
def a_part_is_captured_and_the_rest_released(world: World) -> None:
    order, page, payment = authorized(world)
    part = Money(AMOUNT // 5, world.currency)
    captured = world.adapter.capture(order.id, payment, part)

    assert (captured.outcome, captured.captured_amount) == (Outcome.PAID, part)
    found = looked_up(world, order, page)
    assert (found.outcome, found.captured_amount) == (Outcome.PAID, part)


@scenario(Capability.AUTHORIZE, Payer.AUTHORIZES)
def more_than_is_authorized_is_not_captured_and_all_can_be(world: World) -> None:
    order, page, payment = authorized(world)
    with pytest.raises(GatewayRefusedError):
        world.adapter.capture(order.id, payment, Money(AMOUNT + 1, world.currency))

    assert looked_up(world, order, page).outcome is Outcome.AUTHORIZED
    assert world.adapter.capture(order.id, payment, order.amount).outcome is Outcome.PAID


@scenario(Capability.AUTHORIZE, Payer.AUTHORIZES, each=NO_ANSWER)
def a_capture_whose_answer_was_lost_is_asked_for_again(world: World, kind: str) -> None:
    order, page, payment = authorized(world)
    world.stage.fault(world.operations[Ask.CAPTURE], kind)
    with pytest.raises(GatewayUnavailableError):
        world.adapter.capture(order.id, payment, order.amount)

    assert world.adapter.capture(order.id, payment, order.amount).outcome is Outcome.PAID
    assert looked_up(world, order, page).captured_amount == order.amount


@scenario(Capability.CANCEL, Payer.AUTHORIZES)
def an_authorization_is_given_up_once(world: World) -> None:
    order, page, payment = authorized(world)
    canceled = world.adapter.cancel(order.id, payment)

    assert (canceled.outcome, canceled.payment_attempt_id) == (Outcome.CANCELED, order.id)
    assert world.adapter.cancel(order.id, payment) == canceled
    assert looked_up(world, order, page, is_over=True).outcome in GIVEN_UP


@scenario(Capability.CANCEL, Payer.AUTHORIZES)
def what_was_given_up_is_not_captured(world: World) -> None:
    order, page, payment = authorized(world)
    world.adapter.cancel(order.id, payment)
    try:
        answered = world.adapter.capture(order.id, payment, order.amount).outcome
    except GatewayRefusedError:
        answered = Outcome.CANCELED

    assert answered in GIVEN_UP
    assert looked_up(world, order, page, is_over=True).outcome in GIVEN_UP


@scenario(Capability.CANCEL)
def what_is_paid_is_not_canceled_but_told(world: World) -> None:
    order, _, payment = paid(world)

    answered = world.adapter.cancel(order.id, str(payment.gateway_payment_id))
    assert answered.outcome is Outcome.PAID


@scenario(Capability.CANCEL, Payer.AUTHORIZES, each=["refuse", "lost_answer", "error_500"])
def a_cancellation_whose_answer_was_lost_is_asked_for_again(world: World, kind: str) -> None:
    order, _, payment = authorized(world)
    world.stage.fault(world.operations[Ask.CANCEL], kind)
    with pytest.raises(GatewayUnavailableError):
        world.adapter.cancel(order.id, payment)

    assert world.adapter.cancel(order.id, payment).outcome is Outcome.CANCELED


@scenario(Capability.AUTHORIZE, Payer.AUTHORIZES)
def an_authorization_that_nobody_captures_runs_out(world: World) -> None:
    order, page, _ = authorized(world)
    world.stage.advance(40 * DAY)

    assert looked_up(world, order, page, is_over=True).outcome in GIVEN_UP


@scenario(Capability.AUTHORIZE, Payer.AUTHORIZES)
def what_is_only_authorized_is_not_refunded(world: World) -> None:
    order, page, _ = authorized(world)
    found = looked_up(world, order, page)

    assert world.adapter.refund(world.stage.refund_order(found)).outcome is Outcome.FAILED


# Refunds


@scenario()
def all_is_refunded(world: World) -> None:
    _, _, payment = paid(world)
    order = world.stage.refund_order(payment)
    answered = world.adapter.refund(order)
    world.stage.advance(DAY)
    found = refund_found(world, order)

    assert (answered.subject, answered.refund_id) == (Subject.REFUND, order.id)
    assert answered.outcome in GOES_BACK
    assert found.outcome is Outcome.SUCCEEDED
    for one in (answered, found):
        assert one.amount == order.amount
        assert one.gateway_payment_id == payment.gateway_payment_id
        assert one.gateway_refund_id


@scenario()
def a_refund_is_told_by_a_webhook(world: World) -> None:
    _, _, payment = paid(world)
    order = world.stage.refund_order(payment, 1_001)
    answered = world.adapter.refund(order)
    world.stage.advance(DAY)
    sent = [one for one in told_of(world, order) if one.outcome is Outcome.SUCCEEDED]

    assert sent
    for one in sent:
        assert one.amount == order.amount
        assert one.gateway_payment_id == payment.gateway_payment_id
        assert one.gateway_refund_id == answered.gateway_refund_id


@scenario()
def equal_parts_are_refunded_each_under_its_own_id(world: World) -> None:
    _, _, payment = paid(world)
    orders = [world.stage.refund_order(payment, 1_000) for _ in range(2)]
    answers = [world.adapter.refund(order) for order in orders]

    assert len({one.gateway_refund_id for one in answers}) == 2
    for order, answered in zip(orders, answers, strict=True):
        found = refund_found(world, order)
        assert found.gateway_refund_id == answered.gateway_refund_id
        assert found.amount == order.amount
    refunded_no_more_than_once(world, payment, 2_000)


@scenario()
def a_refund_asked_for_twice_happens_once(world: World) -> None:
    _, _, payment = paid(world)
    order = world.stage.refund_order(payment, 1_000)
    first, second = (world.adapter.refund(order) for _ in range(2))

    assert first.gateway_refund_id == second.gateway_refund_id
    assert second.outcome in GOES_BACK
    refunded_no_more_than_once(world, payment, 1_000)


@scenario(each=[AMOUNT + 1, 2 * AMOUNT])
def more_than_was_paid_is_not_refunded(world: World, amount: int) -> None:
    _, _, payment = paid(world)
    order = world.stage.refund_order(payment, amount)
    refused = world.adapter.refund(order)

    assert (refused.outcome, refused.refund_id) == (Outcome.FAILED, order.id)
    assert refused.failure_code
    assert refused.failure_message


@scenario(each=[AMOUNT - 1_000 + 1, AMOUNT])
def more_than_is_left_is_not_refunded(world: World, amount: int) -> None:
    _, _, payment = paid(world)
    world.adapter.refund(world.stage.refund_order(payment, 1_000))

    refused = world.adapter.refund(world.stage.refund_order(payment, amount))
    assert refused.outcome is Outcome.FAILED
    refunded_no_more_than_once(world, payment, 1_000)


@scenario()
def what_is_refunded_is_not_refunded_again(world: World) -> None:
    _, _, payment = paid(world)
    world.adapter.refund(world.stage.refund_order(payment))

    assert world.adapter.refund(world.stage.refund_order(payment, 1)).outcome is Outcome.FAILED


@scenario()
def a_payment_that_was_refunded_was_paid_all_the_same(world: World) -> None:
    order, page, payment = paid(world)
    world.adapter.refund(world.stage.refund_order(payment))
    world.stage.advance(DAY)

    found = looked_up(world, order, page, is_over=True)
    assert (found.outcome, found.captured_amount) == (Outcome.PAID, order.amount)


@scenario(each=["duplicate", "fraudulent", "lost parcel", "a|b <c> ₹", "x" * 300])
def a_reason_may_be_any_text(world: World, reason: str) -> None:
    _, _, payment = paid(world)
    order = world.stage.refund_order(payment, 1_000, reason)

    assert world.adapter.refund(order).outcome in GOES_BACK


@scenario(Refunds.WAIT_THEN_SUCCEED)
def a_refund_may_wait_before_it_succeeds(world: World) -> None:
    _, _, payment = paid(world, refunds=Refunds.WAIT_THEN_SUCCEED)
    order = world.stage.refund_order(payment)
    answered = world.adapter.refund(order)
    before = refund_found(world, order)
    world.stage.advance(DAY)

    assert (answered.outcome, before.outcome) == (Outcome.PENDING, Outcome.PENDING)
    assert refund_found(world, order).outcome is Outcome.SUCCEEDED


@scenario(Refunds.WAIT_THEN_FAIL)
def a_refund_may_wait_before_it_fails(world: World) -> None:
    _, _, payment = paid(world, refunds=Refunds.WAIT_THEN_FAIL)
    order = world.stage.refund_order(payment)
    answered = world.adapter.refund(order)
    world.stage.advance(DAY)

    assert answered.outcome is Outcome.PENDING
    assert refund_found(world, order).outcome is Outcome.FAILED


@scenario(Refunds.FAIL_LATE)
def a_refund_may_fail_after_it_succeeded(world: World) -> None:
    _, _, payment = paid(world, refunds=Refunds.FAIL_LATE)
    order = world.stage.refund_order(payment)
    answered = world.adapter.refund(order)
    world.stage.advance(DAY)

    assert answered.outcome is Outcome.SUCCEEDED
    assert refund_found(world, order).outcome is Outcome.FAILED


@scenario(each=NO_ANSWER)
def a_refund_whose_answer_was_lost_happens_once(world: World, kind: str) -> None:
    _, _, payment = paid(world)
    order = world.stage.refund_order(payment, 1_000)
    world.stage.fault(world.operations[Ask.REFUND], kind)
    with pytest.raises(GatewayUnavailableError):
        world.adapter.refund(order)
    found = world.adapter.find_refund(order.id, order.gateway_payment_id)

    assert (found or world.adapter.refund(order)).outcome in GOES_BACK
    refunded_no_more_than_once(world, payment, 1_000)


@scenario()
def a_refund_that_lands_late_is_not_there_before(world: World) -> None:
    _, _, payment = paid(world)
    order = world.stage.refund_order(payment, 1_000)
    world.stage.fault(world.operations[Ask.REFUND], "late_effect", seconds=600)
    with pytest.raises(GatewayUnavailableError):
        world.adapter.refund(order)
    before = world.adapter.find_refund(order.id, order.gateway_payment_id)
    world.stage.advance(601)

    assert before is None
    assert refund_found(world, order).outcome in GOES_BACK
    refunded_no_more_than_once(world, payment, 1_000)


@scenario()
def a_refund_that_was_repeated_does_not_land_again_late(world: World) -> None:
    _, _, payment = paid(world)
    order = world.stage.refund_order(payment, 1_000)
    world.stage.fault(world.operations[Ask.REFUND], "late_effect", seconds=600)
    with pytest.raises(GatewayUnavailableError):
        world.adapter.refund(order)
    repeated = world.adapter.refund(order)
    world.stage.advance(601)

    assert repeated.outcome in GOES_BACK
    refunded_no_more_than_once(world, payment, 1_000)


@scenario(each=["refuse", "error_500", "nonsense"])
def a_look_up_of_a_refund_without_an_answer_is_not_nothing(world: World, kind: str) -> None:
    _, _, payment = paid(world)
    order = world.stage.refund_order(payment, 1_000)
    world.adapter.refund(order)
    world.stage.fault(world.operations[Ask.FIND_REFUND], kind)
    with pytest.raises(GatewayUnavailableError):
        refund_found(world, order)

    assert refund_found(world, order).outcome in GOES_BACK


# Refunds that somebody makes at the gateway, past us


def listed_refunds(world: World, payment: Finding) -> list[Finding]:
    return list(world.adapter.find_refunds(str(payment.gateway_payment_id)))


@scenario(Capability.REFUNDS)
def every_refund_of_a_payment_is_listed_whoever_made_it(world: World) -> None:
    _, _, payment = paid(world)
    assert listed_refunds(world, payment) == []
    ours = world.stage.refund_order(payment, 1_000)
    answered = world.adapter.refund(ours)
    world.refund_there(payment, 2_000)
    found = {one.amount.amount: one for one in listed_refunds(world, payment) if one.amount}

    assert {amount: one.refund_id for amount, one in found.items()} == {1_000: ours.id, 2_000: None}
    assert found[1_000].gateway_refund_id == answered.gateway_refund_id
    for one in found.values():
        assert (one.subject, one.outcome) == (Subject.REFUND, Outcome.SUCCEEDED)
        assert one.gateway_payment_id == payment.gateway_payment_id
        assert one.gateway_refund_id


@scenario(Capability.REFUNDS)
def the_refunds_of_another_payment_are_not_listed(world: World) -> None:
    (_, _, first), (_, _, second) = paid(world), paid(world)
    world.refund_there(first, 1_000)

    assert len(listed_refunds(world, first)) == 1
    assert listed_refunds(world, second) == []


@scenario(Capability.REFUNDS, Refunds.WAIT_THEN_SUCCEED)
def a_refund_that_was_made_there_is_followed_by_its_name(world: World) -> None:
    _, _, payment = paid(world, refunds=Refunds.WAIT_THEN_SUCCEED)
    world.refund_there(payment, 1_000)
    (before,) = listed_refunds(world, payment)
    world.stage.advance(DAY)
    (after,) = listed_refunds(world, payment)

    assert (before.outcome, after.outcome) == (Outcome.PENDING, Outcome.SUCCEEDED)
    assert before.gateway_refund_id == after.gateway_refund_id


@scenario(Capability.REFUNDS, each=["refuse", "error_500", "nonsense"])
def a_list_of_refunds_without_an_answer_is_not_empty(world: World, kind: str) -> None:
    _, _, payment = paid(world)
    world.refund_there(payment, 1_000)
    world.stage.fault(world.operations[Ask.FIND_REFUNDS], kind)
    with pytest.raises(GatewayUnavailableError):
        listed_refunds(world, payment)

    assert len(listed_refunds(world, payment)) == 1


def new_refunds(world: World, payment: Finding) -> list[Finding]:
    """Look for a payment's among all refunds that were made lately."""
    found = world.adapter.find_new_refunds(world.stage.now() - timedelta(hours=1))
    return [one for one in found if one.gateway_payment_id == payment.gateway_payment_id]


@scenario(Capability.NEW_REFUNDS)
def a_refund_is_in_the_list_of_new_ones_for_a_time(world: World) -> None:
    _, _, payment = paid(world)
    world.refund_there(payment, 1_000)
    (found,) = new_refunds(world, payment)
    world.stage.advance(3 * DAY)

    assert [found] == listed_refunds(world, payment)
    assert new_refunds(world, payment) == []


@scenario(Capability.NEW_REFUNDS, each=["refuse", "error_500", "nonsense"])
def a_list_of_new_refunds_without_an_answer_is_not_empty(world: World, kind: str) -> None:
    _, _, payment = paid(world)
    world.refund_there(payment, 1_000)
    world.stage.fault(world.operations[Ask.FIND_NEW_REFUNDS], kind)
    with pytest.raises(GatewayUnavailableError):
        new_refunds(world, payment)

    assert len(new_refunds(world, payment)) == 1


# Disputes


def disputed(world: World) -> tuple[Finding, Finding]:
    _, _, payment = paid(world)
    world.dispute(payment)
    opened_by = [one for one in notices(world) if _about(one, payment, Outcome.OPENED)]
    assert opened_by
    return payment, opened_by[0]


def _about(one: Finding, payment: Finding, outcome: Outcome) -> bool:
    return (
        one.subject is Subject.DISPUTE
        and one.outcome is outcome
        and one.gateway_payment_id == payment.gateway_payment_id
    )


@scenario(Subject.DISPUTE)
def a_dispute_names_its_payment_and_amount(world: World) -> None:
    payment, dispute = disputed(world)

    assert dispute.gateway_dispute_id
    assert dispute.amount == payment.amount
    assert dispute.reason


@scenario(Subject.DISPUTE)
def a_dispute_may_be_under_review(world: World) -> None:
    payment, dispute = disputed(world)
    world.decide(dispute, Outcome.UNDER_REVIEW)

    reviewed = [one for one in notices(world) if _about(one, payment, Outcome.UNDER_REVIEW)]
    assert {one.gateway_dispute_id for one in reviewed} == {dispute.gateway_dispute_id}


@scenario(Subject.DISPUTE, each=["won", "lost"])
def a_dispute_is_decided(world: World, outcome: str) -> None:
    payment, dispute = disputed(world)
    world.decide(dispute, Outcome(outcome))

    decided = [one for one in notices(world) if _about(one, payment, Outcome(outcome))]
    assert {one.gateway_dispute_id for one in decided} == {dispute.gateway_dispute_id}


def listed(world: World, dispute: Finding) -> list[Finding]:
    """Look a dispute up among all that were opened lately."""
    found = world.adapter.find_disputes(world.stage.now() - timedelta(hours=1))
    return [one for one in found if one.gateway_dispute_id == dispute.gateway_dispute_id]


@scenario(Subject.DISPUTE, Capability.DISPUTES)
def a_dispute_is_found_as_it_stands(world: World) -> None:
    payment, dispute = disputed(world)
    (opened_,) = listed(world, dispute)
    world.decide(dispute, Outcome.LOST)
    (lost,) = listed(world, dispute)

    assert (opened_.outcome, lost.outcome) == (Outcome.OPENED, Outcome.LOST)
    for one in (opened_, lost):
        assert (one.subject, one.amount) == (Subject.DISPUTE, payment.amount)
        assert one.gateway_payment_id == payment.gateway_payment_id
        assert one.opened_at == dispute.opened_at


@scenario(Subject.DISPUTE, Capability.DISPUTES)
def a_dispute_of_another_day_is_not_listed(world: World) -> None:
    _, dispute = disputed(world)
    world.stage.advance(3 * DAY)

    assert listed(world, dispute) == []


def disputes_of(world: World, payment: Finding) -> list[Finding]:
    found = world.adapter.find_payment_disputes(str(payment.gateway_payment_id))
    return sorted(found, key=lambda one: one.outcome)


def _is_of(one: Finding, payment: Finding, dispute: Finding) -> bool:
    """Whether a look-up tells of the dispute, its outcome aside, what the webhook told."""
    facts = (one.subject, one.gateway_dispute_id, one.amount, one.opened_at, one.reason)
    wanted = (
        *(Subject.DISPUTE, dispute.gateway_dispute_id, payment.amount, dispute.opened_at),
        dispute.reason,
    )
    named = (one.gateway_payment_id, one.evidence_due_at)
    return facts == wanted and named == (payment.gateway_payment_id, dispute.evidence_due_at)


@scenario(
    Subject.DISPUTE, Capability.PAYMENT_DISPUTES, each=["opened", "under_review", "won", "lost"]
)
def a_dispute_of_a_payment_is_found_as_it_stands(world: World, outcome: str) -> None:
    payment, dispute = disputed(world)
    if outcome != "opened":
        world.decide(dispute, Outcome(outcome))
    world.stage.advance(30 * DAY)

    (found,) = disputes_of(world, payment)
    assert found.outcome == outcome
    assert _is_of(found, payment, dispute)
    assert disputes_of(world, payment) == [found]  # the same words again change nothing


@scenario(Subject.DISPUTE, Capability.PAYMENT_DISPUTES)
def every_dispute_of_a_payment_is_found(world: World) -> None:
    payment, first = disputed(world)
    world.decide(first, Outcome.WON)
    world.dispute(payment)

    second, decided = disputes_of(world, payment)
    assert (second.outcome, decided.outcome) == (Outcome.OPENED, Outcome.WON)
    assert decided.gateway_dispute_id == first.gateway_dispute_id != second.gateway_dispute_id


@scenario(Subject.DISPUTE, Capability.PAYMENT_DISPUTES)
def a_payment_that_nobody_disputes_has_no_disputes(world: World) -> None:
    disputed(world)
    _, _, payment = paid(world)

    assert disputes_of(world, payment) == []


@scenario(Subject.DISPUTE, Capability.PAYMENT_DISPUTES, each=[*NO_ANSWER[:-3], "nonsense", "empty"])
def a_look_up_of_disputes_without_an_answer_is_not_nothing(world: World, kind: str) -> None:
    payment, _ = disputed(world)
    world.stage.fault(world.operations[Ask.FIND_PAYMENT_DISPUTES], kind)
    with pytest.raises(GatewayUnavailableError):
        disputes_of(world, payment)

    assert len(disputes_of(world, payment)) == 1


# Coming back from a page


@scenario()
def a_return_names_its_page_and_proves_nothing_more(world: World) -> None:
    order, page = opened(world)
    world.pay(order, page)
    found = world.adapter.read_return(world.arrival(order, page))

    assert found.outcome in {Outcome.PAID, Outcome.UNKNOWN}
    assert found.payment_attempt_id == order.id
    assert found.gateway_session_id in {page.reference, None}


@scenario()
def a_return_that_was_altered_is_refused(world: World) -> None:
    order, page = opened(world)
    world.pay(order, page)
    arrival = world.arrival(order, page)
    altered = world.tampered(arrival)

    if altered == arrival:  # nothing is signed, so nothing is believed
        assert world.adapter.read_return(arrival).outcome is Outcome.UNKNOWN
        return
    with pytest.raises(SignatureInvalidError):
        world.adapter.read_return(altered)


@scenario()
def a_return_from_another_page_is_refused(world: World) -> None:
    order, page = opened(world)
    world.pay(order, page)
    arrival = world.arrival(order, page)
    _, other = opened(world)
    foreign = type(arrival)(arrival.fields, order.id, other.reference)

    with pytest.raises(SignatureInvalidError):
        world.adapter.read_return(foreign)


# Settlements


def settled(world: World) -> list[SettlementLine]:
    world.settle()
    return list(world.adapter.settlements(world.stage.now().date()))


def of_payment(lines: list[SettlementLine], payment: Finding) -> list[SettlementLine]:
    return [one for one in lines if one.gateway_payment_id == payment.gateway_payment_id]


@scenario(Ask.SETTLEMENTS)
def what_was_paid_is_settled_less_the_fee(world: World) -> None:
    _, _, payment = paid(world)
    (line,) = of_payment(settled(world), payment)

    assert (line.kind, line.gross) == (Settled.PAYMENT, payment.amount)
    assert line.net.amount == line.gross.amount - line.fee.amount - line.tax.amount
    assert line.fee.amount > 0
    assert line.settlement_id
    assert line.settled_at.utcoffset() is not None


@scenario(Ask.SETTLEMENTS)
def what_was_refunded_is_settled_as_taken_away(world: World) -> None:
    _, _, payment = paid(world)
    order = world.stage.refund_order(payment, 1_001)
    answered = world.adapter.refund(order)
    world.stage.advance(60)
    lines = settled(world)
    (back,) = [one for one in lines if one.gateway_refund_id == answered.gateway_refund_id]

    assert (back.kind, back.gross) == (Settled.REFUND, Money(-1_001, world.currency))
    assert back.net.amount == back.gross.amount - back.fee.amount - back.tax.amount


@scenario(Ask.SETTLEMENTS)
def a_report_read_twice_says_the_same(world: World) -> None:
    paid(world)
    first = settled(world)
    second = list(world.adapter.settlements(world.stage.now().date()))
    ids = [one.line_id for one in first]

    assert first == second
    assert len(ids) == len(set(ids))


@scenario(Ask.SETTLEMENTS)
def what_is_paid_later_is_settled_later(world: World) -> None:
    _, _, early = paid(world)
    first, day = settled(world), world.stage.now().date()
    world.stage.advance(2 * DAY)
    _, _, late = paid(world)
    second = settled(world)

    assert of_payment(first, early)
    assert not of_payment(first, late)
    assert of_payment(second, late)
    assert not of_payment(second, early)
    assert not of_payment(list(world.adapter.settlements(day)), late)


@scenario(Ask.SETTLEMENTS)
def nothing_is_settled_on_a_day_to_come(world: World) -> None:
    day = world.stage.now().date() + timedelta(days=3650)  # no scenario goes there

    assert list(world.adapter.settlements(day)) == []


@scenario(Ask.SETTLEMENTS, each=["refuse", "error_500", "nonsense"])
def a_report_without_an_answer_is_not_empty(world: World, kind: str) -> None:
    paid(world)
    world.settle()
    world.stage.fault(world.operations[Ask.SETTLEMENTS], kind)

    with pytest.raises(GatewayUnavailableError):
        list(world.adapter.settlements(world.stage.now().date()))
