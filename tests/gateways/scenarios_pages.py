"""Opening pages, paying on them, and looking payments up."""

import pytest
from gateways.scenarios import looked_up, notices, opened, paid, scenario, told
from gateways.world import DAY, HOUR, Ask, Payer, World

from app.errors import GatewayUnavailableError
from app.gateways import Capability, DeclineClass, Outcome
from app.money import Money

NO_ANSWER = (
    *("refuse", "timeout_before_effect", "lost_answer", "error_500", "error_after_effect"),
    *("rate_limited", "nonsense", "malformed", "empty"),
)
NOTHING_YET = {Outcome.REQUIRES_ACTION, Outcome.FAILED, Outcome.EXPIRED, Outcome.CANCELED}

DECLINES = {
    Payer.DECLINES_SOFT: DeclineClass.SOFT,
    Payer.DECLINES_HARD: DeclineClass.HARD,
    Payer.DECLINES_AUTHENTICATION: DeclineClass.AUTHENTICATION,
    Payer.DECLINES_FRAUD: DeclineClass.FRAUD,
    Payer.GATEWAY_FAILS: DeclineClass.GATEWAY,
}


# Opening


@scenario()
def a_page_opened_twice_is_one_page(world: World) -> None:
    order, page = opened(world)

    assert world.adapter.open(order) == page


@scenario()
def two_orders_have_two_pages(world: World) -> None:
    (_, first), (_, second) = opened(world), opened(world)

    assert first.reference != second.reference


@scenario()
def an_open_page_waits_for_the_payer(world: World) -> None:
    order, page = opened(world)
    found = looked_up(world, order, page)

    assert found.outcome is Outcome.REQUIRES_ACTION
    assert found.gateway_session_id == page.reference
    assert (found.failure_code, found.decline_class) == (None, None)


@scenario()
def an_open_page_is_found_by_our_reference(world: World) -> None:
    order, page = opened(world)
    found = world.adapter.find(world.stage.query(order.id))

    assert found is not None
    assert (found.outcome, found.gateway_session_id) == (Outcome.REQUIRES_ACTION, page.reference)


@scenario(Ask.OPEN, each=NO_ANSWER)
def a_page_whose_answer_was_lost_is_opened_again_and_paid_once(world: World, kind: str) -> None:
    order = world.stage.order(world.currency)
    world.stage.fault(world.operations[Ask.OPEN], kind, seconds=0.05)
    with pytest.raises(GatewayUnavailableError):
        world.adapter.open(order)
    page = world.adapter.open(order)
    world.pay(order, page)

    assert world.adapter.open(order).reference == page.reference
    assert looked_up(world, order, page).outcome is Outcome.PAID
    by_reference = world.adapter.find(world.stage.query(order.id))
    assert by_reference == looked_up(world, order, page)


@scenario(Ask.OPEN)
def a_page_that_is_made_late_is_not_made_twice(world: World) -> None:
    order = world.stage.order(world.currency)
    world.stage.fault(world.operations[Ask.OPEN], "late_effect", seconds=600)
    with pytest.raises(GatewayUnavailableError):
        world.adapter.open(order)
    page = world.adapter.open(order)
    world.pay(order, page)
    world.stage.advance(601)

    found = world.adapter.find(world.stage.query(order.id))
    assert found is not None
    assert (found.outcome, found.gateway_session_id) == (Outcome.PAID, page.reference)


@scenario(each=[10_001, 123_457, 99_999_900])
def an_amount_is_exact_to_the_minor_unit(world: World, amount: int) -> None:
    order, page = opened(world, amount=amount)
    world.pay(order, page)
    found = looked_up(world, order, page)

    assert (found.amount, found.captured_amount) == (order.amount, order.amount)
    assert {one.amount for one in told(world, order, page) if one.outcome is Outcome.PAID} == {
        order.amount
    }


@scenario(each=["a|b||c\\", "<b>₹ श्री & 'x'</b>", 'Ω "quoted", 100%', "x" * 60])
def a_title_may_be_any_text(world: World, title: str) -> None:
    order, page = opened(world, title=title, name=title)
    world.pay(order, page)

    assert looked_up(world, order, page).outcome is Outcome.PAID


@scenario()
def a_page_opens_for_every_method_that_is_declared(world: World) -> None:
    assert world.adapter.methods
    for method in world.adapter.methods:
        _, page = opened(world, method=method)
        assert page.url.startswith("http")


# Paying


@scenario()
def a_payment_is_the_same_however_it_is_heard_of(world: World) -> None:
    order, page, by_page = paid(world)
    ids = {"gateway_payment_id": by_page.gateway_payment_id}
    by_payment = world.adapter.find(world.stage.query(order.id, **ids))
    by_reference = world.adapter.find(world.stage.query(order.id))
    sent = [one for one in told(world, order, page) if one.outcome is Outcome.PAID]

    assert by_page.payment_attempt_id == order.id
    assert by_page.gateway_session_id == page.reference
    assert by_page.gateway_payment_id
    assert by_reference == by_page
    assert by_payment is not None
    assert sent
    for one in (by_page, by_payment, *sent):
        assert one.outcome is Outcome.PAID
        assert one.amount == order.amount
        assert one.captured_amount in {order.amount, None}
        assert (one.failure_code, one.decline_class) == (None, None)
        assert one.gateway_payment_id in {by_page.gateway_payment_id, None}
    assert by_page.gateway_payment_id in {one.gateway_payment_id for one in sent}


@scenario()
def a_payment_tells_how_it_was_paid(world: World) -> None:
    _, _, found = paid(world)

    assert found.method in world.adapter.methods


@scenario()
def a_look_up_says_the_same_every_time(world: World) -> None:
    order, page, found = paid(world)

    assert looked_up(world, order, page) == found
    assert looked_up(world, order, page, is_over=True) == found


@scenario(each=list(DECLINES))
def a_decline_leaves_the_next_step_to_the_payer(world: World, how: Payer) -> None:
    order, page = opened(world)
    world.pay(order, page, how)
    found = looked_up(world, order, page)
    sent = [one for one in told(world, order, page) if one.failure_code]

    assert sent
    for one in (found, *sent):
        assert one.outcome is Outcome.REQUIRES_ACTION
        assert one.decline_class is DECLINES[how]
        assert one.failure_code
        assert one.failure_message
        assert one.captured_amount in {Money(0, world.currency), None}
    # Whoever tells of a try dates it alike, so that it is known once, and which was the last.
    assert len({one.declined_at for one in (found, *sent)} - {None}) == 1


@scenario(each=[Payer.DROPS, Payer.DECLINES_SOFT, Payer.DECLINES_HARD])
def a_page_that_nobody_paid_is_over_in_the_end(world: World, how: Payer) -> None:
    order, page = opened(world)
    world.pay(order, page, how)
    world.stage.advance(2 * HOUR)

    assert looked_up(world, order, page, is_over=True).outcome is Outcome.EXPIRED


@scenario(Payer.DROPS)
def a_payer_who_goes_away_has_paid_nothing(world: World) -> None:
    order, page = opened(world)
    world.pay(order, page, Payer.DROPS)
    found = looked_up(world, order, page)

    assert found.outcome is Outcome.REQUIRES_ACTION
    assert found.failure_code is None
    assert not [one for one in told(world, order, page) if one.outcome is Outcome.PAID]


@scenario(Payer.DROPS)
def who_went_away_may_come_back_and_pay(world: World) -> None:
    order, page = opened(world)
    world.pay(order, page, Payer.DROPS)
    world.pay(order, page)

    assert looked_up(world, order, page).outcome is Outcome.PAID


@scenario(Payer.PENDING_THEN_PAID)
def money_on_its_way_is_neither_paid_nor_over(world: World) -> None:
    order, page = opened(world)
    world.pay(order, page, Payer.PENDING_THEN_PAID)

    for is_over in (False, True):
        found = looked_up(world, order, page, is_over=is_over)
        assert found.outcome is Outcome.PROCESSING
        assert found.captured_amount in {Money(0, world.currency), None}
    assert Outcome.PAID not in {one.outcome for one in told(world, order, page)}


@scenario(Payer.PENDING_THEN_PAID)
def money_on_its_way_arrives(world: World) -> None:
    order, page = opened(world)
    world.pay(order, page, Payer.PENDING_THEN_PAID)
    world.stage.advance(DAY)
    found = looked_up(world, order, page, is_over=True)

    assert (found.outcome, found.captured_amount) == (Outcome.PAID, order.amount)
    assert Outcome.PAID in {one.outcome for one in told(world, order, page)}


@scenario(Payer.PENDING_THEN_FAILED)
def money_on_its_way_may_come_to_nothing(world: World) -> None:
    order, page = opened(world)
    world.pay(order, page, Payer.PENDING_THEN_FAILED)
    before = looked_up(world, order, page)
    world.stage.advance(DAY)
    found = looked_up(world, order, page, is_over=True)

    assert before.outcome is Outcome.PROCESSING
    assert found.outcome in {Outcome.FAILED, Outcome.EXPIRED}
    assert Outcome.PAID not in {one.outcome for one in told(world, order, page)}
    assert [one for one in told(world, order, page) if one.failure_code]


@scenario(Payer.FAILS_THEN_PAYS)
def a_second_try_on_the_same_page_pays(world: World) -> None:
    order, page = opened(world)
    world.pay(order, page, Payer.FAILS_THEN_PAYS)
    found = looked_up(world, order, page)
    sent = told(world, order, page)

    assert (found.outcome, found.captured_amount) == (Outcome.PAID, order.amount)
    assert (found.failure_code, found.decline_class) == (None, None)
    assert [one for one in sent if one.failure_code]
    assert [one for one in sent if one.outcome is Outcome.PAID]


@scenario(Payer.FAILS_THEN_PAYS_LATE)
def a_failed_payment_may_turn_out_paid(world: World) -> None:
    order, page = opened(world)
    world.pay(order, page, Payer.FAILS_THEN_PAYS_LATE)
    before = looked_up(world, order, page)
    world.stage.advance(DAY)
    found = looked_up(world, order, page, is_over=True)

    assert before.outcome in {Outcome.REQUIRES_ACTION, Outcome.FAILED}
    assert before.failure_code
    assert (found.outcome, found.captured_amount) == (Outcome.PAID, order.amount)
    assert Outcome.PAID in {one.outcome for one in told(world, order, page)}


@scenario(Payer.FAILS_THEN_PAYS_LATE)
def what_was_given_up_may_turn_out_paid(world: World) -> None:
    order, page = opened(world)
    world.pay(order, page, Payer.FAILS_THEN_PAYS_LATE)
    given_up = looked_up(world, order, page, is_over=True)
    world.stage.advance(DAY)

    assert given_up.outcome in {Outcome.EXPIRED, Outcome.FAILED}
    assert looked_up(world, order, page, is_over=True).outcome is Outcome.PAID


@scenario(Payer.PAYS_TWICE)
def a_page_paid_twice_is_told_twice_and_found_once(world: World) -> None:
    order, page = opened(world)
    world.pay(order, page, Payer.PAYS_TWICE)
    found = looked_up(world, order, page)
    sent = [one for one in told(world, order, page) if one.outcome is Outcome.PAID]
    payments = {one.gateway_payment_id for one in sent} - {None}

    assert (found.outcome, found.captured_amount) == (Outcome.PAID, order.amount)
    assert len(payments) == 2
    assert found.gateway_payment_id in payments
    assert looked_up(world, order, page) == found


@scenario(Payer.PAYS_TWICE)
def each_of_two_payments_is_refunded_by_itself(world: World) -> None:
    order, page = opened(world)
    world.pay(order, page, Payer.PAYS_TWICE)
    found = looked_up(world, order, page)
    sent = [one for one in told(world, order, page) if one.outcome is Outcome.PAID]
    second = next(
        one for one in sent if one.gateway_payment_id not in {found.gateway_payment_id, None}
    )
    refund = world.stage.refund_order(second)

    answered = world.adapter.refund(refund)
    assert answered.outcome in {Outcome.SUCCEEDED, Outcome.PENDING}
    assert answered.gateway_payment_id == second.gateway_payment_id
    assert looked_up(world, order, page) == found


# Looking up


@scenario()
def what_the_gateway_does_not_know_is_nothing(world: World) -> None:
    order = world.stage.order(world.currency)

    assert world.adapter.find(world.stage.query(order.id)) is None
    _, _, payment = paid(world)
    assert world.adapter.find_refund(order.id, str(payment.gateway_payment_id)) is None


@scenario(each=["refuse", "error_500", "rate_limited", "nonsense", "malformed", "empty"])
def a_look_up_without_an_answer_is_not_nothing(world: World, kind: str) -> None:
    order, page, found = paid(world)
    world.stage.fault(world.operations[Ask.FIND], kind)
    with pytest.raises(GatewayUnavailableError):
        looked_up(world, order, page)

    assert looked_up(world, order, page) == found


# Closing a page


@scenario(Capability.EXPIRE)
def a_page_is_closed_once(world: World) -> None:
    order, page = opened(world)
    closed = world.adapter.expire(order.id, page.reference)

    assert (closed.outcome, closed.payment_attempt_id) == (Outcome.EXPIRED, order.id)
    assert world.adapter.expire(order.id, page.reference) == closed
    assert looked_up(world, order, page, is_over=True).outcome is Outcome.EXPIRED


@scenario(Capability.EXPIRE)
def a_page_that_is_paid_is_not_closed_but_told(world: World) -> None:
    order, page, _ = paid(world)

    assert world.adapter.expire(order.id, page.reference).outcome is Outcome.PAID


@scenario(Capability.EXPIRE)
def a_declined_page_is_closed_all_the_same(world: World) -> None:
    order, page = opened(world)
    world.pay(order, page, Payer.DECLINES_SOFT)

    assert world.adapter.expire(order.id, page.reference).outcome is Outcome.EXPIRED


@scenario(Capability.EXPIRE, each=["refuse", "lost_answer", "error_500", "nonsense"])
def a_page_is_closed_again_when_the_answer_was_lost(world: World, kind: str) -> None:
    order, page = opened(world)
    world.stage.fault(world.operations[Ask.EXPIRE], kind)
    with pytest.raises(GatewayUnavailableError):
        world.adapter.expire(order.id, page.reference)

    assert world.adapter.expire(order.id, page.reference).outcome is Outcome.EXPIRED


# Hearing of it


@scenario()
def a_story_is_told_in_events_of_their_own(world: World) -> None:
    order, page = opened(world)
    world.pay(order, page)
    every = notices(world)
    ids = [one.event_id for one in every]

    assert told(world, order, page)
    assert len(ids) == len(set(ids))
    for one in every:
        assert one.occurred_at.utcoffset() is not None
        assert one.raw
        assert one.type


@scenario()
def a_webhook_carries_the_simulated_time(world: World) -> None:
    world.stage.advance(40 * DAY)
    order, page = opened(world)
    world.pay(order, page)

    for one in told(world, order, page):
        assert abs((one.occurred_at - world.stage.now()).total_seconds()) < HOUR


@scenario()
def a_webhook_sent_again_is_the_same_event(world: World) -> None:
    world.stage.fault("webhook:*", "duplicate", n=2, times=None)
    order, page = opened(world)
    world.pay(order, page)
    sent = [one for one in told(world, order, page) if one.outcome is Outcome.PAID]

    assert len(sent) >= 3
    assert len(sent) == 3 * len({one.event_id for one in sent})


@scenario()
def a_webhook_that_we_refuse_comes_again_as_the_same_event(world: World) -> None:
    order, page = opened(world)
    world.stage.receiver.refusals.append((page.reference, 500))
    world.pay(order, page)
    first = told(world, order, page)
    world.stage.advance(DAY)
    ids = [one.event_id for one in told(world, order, page)]

    assert len(ids) == len(first) + 1
    assert set(ids) == {one.event_id for one in first}


@scenario()
def webhooks_in_another_order_say_the_same(world: World) -> None:
    world.stage.fault("webhook:*", "hold", times=None)
    order, page = opened(world)
    world.pay(order, page)
    assert world.stage.deliveries() == []
    world.stage.release()

    assert Outcome.PAID in {one.outcome for one in told(world, order, page)}


@scenario()
def a_lost_webhook_is_made_good_by_a_look_up(world: World) -> None:
    world.stage.fault("webhook:*", "drop", times=None)
    order, page = opened(world)
    world.pay(order, page)

    assert world.stage.deliveries() == []
    assert looked_up(world, order, page).outcome is Outcome.PAID


@scenario()
def a_wrong_amount_is_told_as_it_was_sent(world: World) -> None:
    world.stage.fault("webhook:*", "wrong_amount", n=7, times=None)
    order, page = opened(world)
    world.pay(order, page)

    sent = [one for one in told(world, order, page) if one.outcome is Outcome.PAID]
    assert sent
    for one in sent:
        assert one.amount == Money(order.amount.amount + 7, world.currency)
