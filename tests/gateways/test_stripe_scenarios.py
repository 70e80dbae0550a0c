"""The adapter against the simulator over HTTP: what is answered, sent and looked up agrees."""

from dataclasses import replace
from uuid import uuid4

import pytest
from gateways.stripe_world import DAY, HOUR, StripeWorld, payments

from app.errors import GatewayRefusedError, GatewayUnavailableError
from app.gateways import DeclineClass, Finding, Outcome, Subject
from app.money import Money

USD_25 = Money(2500, "USD")


# Saving a method


@pytest.mark.parametrize("card", ["4242424242424242", "4000002500003155", "4000000000000341"])
def test_a_saved_card_is_named_with_its_customer(stripe_world: StripeWorld, card: str) -> None:
    setup = stripe_world.setup()
    page = stripe_world.adapter.open_setup(setup)
    waiting = stripe_world.adapter.find_setup(setup.id, page.reference)
    stripe_world.pay(page, card=card)

    found = stripe_world.adapter.find_setup(setup.id, page.reference)
    notice = stripe_world.notice(setup.id, "setup_intent.succeeded")
    assert waiting is not None
    assert waiting.outcome is Outcome.REQUIRES_ACTION
    assert found is not None
    assert (found.subject, found.outcome) == (Subject.SETUP, Outcome.SUCCEEDED)
    assert (notice.subject, notice.outcome) == (Subject.SETUP, Outcome.SUCCEEDED)
    assert found.autopay_mandate_id == notice.autopay_mandate_id == setup.id
    assert found.gateway_customer_id
    assert found.gateway_customer_id == notice.gateway_customer_id
    assert found.gateway_payment_method_id
    assert found.gateway_payment_method_id == notice.gateway_payment_method_id


def test_the_completed_page_itself_does_not_name_the_method(stripe_world: StripeWorld) -> None:
    setup = stripe_world.setup()
    page = stripe_world.adapter.open_setup(setup)
    stripe_world.pay(page)

    notice = stripe_world.notice(page.reference, "checkout.session.completed")
    assert (notice.subject, notice.outcome) == (Subject.SETUP, Outcome.UNKNOWN)
    assert (notice.autopay_mandate_id, notice.gateway_session_id) == (setup.id, page.reference)


def test_a_setup_page_opened_twice_is_one_page(stripe_world: StripeWorld) -> None:
    setup = stripe_world.setup()

    assert stripe_world.adapter.open_setup(setup) == stripe_world.adapter.open_setup(setup)


def test_a_second_method_is_saved_for_the_same_customer(stripe_world: StripeWorld) -> None:
    charge = stripe_world.saved()
    setup = stripe_world.setup(gateway_customer_id=charge.gateway_customer_id)
    page = stripe_world.adapter.open_setup(setup)
    stripe_world.pay(page)

    found = stripe_world.adapter.find_setup(setup.id, page.reference)
    assert found is not None
    assert found.gateway_customer_id == charge.gateway_customer_id
    assert found.gateway_payment_method_id != charge.gateway_payment_method_id


def test_a_declined_card_is_not_saved_and_the_page_stays_open(stripe_world: StripeWorld) -> None:
    setup = stripe_world.setup()
    page = stripe_world.adapter.open_setup(setup)
    answer = stripe_world.pay(page, card="4000000000009995")

    notice = stripe_world.notice(setup.id, "setup_intent.setup_failed")
    found = stripe_world.adapter.find_setup(setup.id, page.reference)
    assert answer["outcome"] == "declined"
    assert (notice.outcome, notice.failure_code) == (Outcome.UNKNOWN, "insufficient_funds")
    assert found is not None
    assert found.outcome is Outcome.REQUIRES_ACTION


def test_a_setup_page_that_expired_has_failed(stripe_world: StripeWorld) -> None:
    setup = stripe_world.setup()
    page = stripe_world.adapter.open_setup(setup)
    stripe_world.advance(DAY)

    notice = stripe_world.notice(page.reference, "checkout.session.expired")
    found = stripe_world.adapter.find_setup(setup.id, page.reference)
    assert (notice.subject, notice.outcome) == (Subject.SETUP, Outcome.FAILED)
    assert notice.failure_code == "expired"
    assert found is not None
    assert found.outcome is Outcome.FAILED


# Charging a saved method


@pytest.mark.parametrize(
    ("card", "code", "kind"),
    [
        ("4000000000000341", "generic_decline", DeclineClass.SOFT),
        ("4000000000000002", "generic_decline", DeclineClass.SOFT),
        ("4000000000009995", "insufficient_funds", DeclineClass.SOFT),
        ("4000008260003178", "insufficient_funds", DeclineClass.SOFT),
        ("4000000000000119", "processing_error", DeclineClass.SOFT),
        ("4000000000000069", "expired_card", DeclineClass.HARD),
        ("4000000000000127", "incorrect_cvc", DeclineClass.HARD),
        ("4000000000009987", "lost_card", DeclineClass.HARD),
        ("4000000000009979", "stolen_card", DeclineClass.FRAUD),
        ("4100000000000019", "fraudulent", DeclineClass.FRAUD),
        ("4000002760003184", "authentication_required", DeclineClass.AUTHENTICATION),
    ],
)
def test_a_decline_is_the_same_answered_looked_up_and_sent(
    stripe_world: StripeWorld, card: str, code: str, kind: DeclineClass
) -> None:
    charge = stripe_world.saved(card=card)
    answered = stripe_world.adapter.charge(charge)

    found = stripe_world.adapter.find(
        stripe_world.query(charge.id, gateway_payment_id=answered.gateway_payment_id)
    )
    sent = stripe_world.notice(charge.id, "payment_intent.payment_failed")
    assert found is not None
    for one in (answered, found, sent):
        assert (one.subject, one.outcome) == (Subject.PAYMENT, Outcome.FAILED)
        assert (one.failure_code, one.decline_class) == (code, kind)
        assert one.failure_message
        assert one.payment_attempt_id == charge.id
        assert (one.amount, one.captured_amount) == (USD_25, Money(0, "USD"))


@pytest.mark.parametrize("card", ["4242424242424242", "4000002500003155"])
def test_a_good_card_pays_without_the_payer(stripe_world: StripeWorld, card: str) -> None:
    charge = stripe_world.saved(card=card)
    answered = stripe_world.adapter.charge(charge)

    sent = stripe_world.notice(charge.id, "payment_intent.succeeded")
    for one in (answered, sent):
        assert one.outcome is Outcome.PAID
        assert (one.amount, one.captured_amount) == (USD_25, USD_25)
        assert one.payment_attempt_id == charge.id
        assert one.gateway_customer_id == charge.gateway_customer_id
        assert one.gateway_payment_method_id == charge.gateway_payment_method_id
        assert one.failure_code is None
    assert answered.gateway_payment_id is not None
    found = stripe_world.adapter.receipt_url(answered.gateway_payment_id)
    assert found == answered.receipt_url is not None
    assert sent.receipt_url is None


@pytest.mark.parametrize("card", ["4242424242424242", "4000000000009995"])
def test_a_charge_asked_for_twice_happens_once(stripe_world: StripeWorld, card: str) -> None:
    charge = stripe_world.saved(card=card)
    first, second = (stripe_world.adapter.charge(charge) for _ in range(2))

    assert first == second
    customer = {"customer": charge.gateway_customer_id}
    assert len(stripe_world.client.v1.charges.list(params=customer).data) == 1


def test_a_bank_debit_is_on_its_way_and_then_paid(stripe_world: StripeWorld) -> None:
    charge = stripe_world.saved(bank=True)
    answered = stripe_world.adapter.charge(charge)
    stripe_world.advance(DAY)

    assert answered.outcome is Outcome.PROCESSING
    assert stripe_world.notice(charge.id, "payment_intent.succeeded").outcome is Outcome.PAID


def test_a_bank_debit_may_come_back(stripe_world: StripeWorld) -> None:
    charge = stripe_world.saved(bank="000222222227")
    answered = stripe_world.adapter.charge(charge)
    stripe_world.advance(DAY)

    sent = stripe_world.notice(charge.id, "payment_intent.payment_failed")
    assert answered.outcome is Outcome.PROCESSING
    assert (sent.outcome, sent.decline_class) == (Outcome.FAILED, DeclineClass.SOFT)


def test_a_card_may_change_its_mind(stripe_world: StripeWorld) -> None:
    charge = stripe_world.saved()
    first = stripe_world.adapter.charge(charge)
    path = f"/stripe/payment_methods/{charge.gateway_payment_method_id}"
    stripe_world.server.control(path, {"card": "4000000000009995"})
    second = stripe_world.adapter.charge(replace(charge, id=str(uuid4())))

    assert (first.outcome, second.outcome) == (Outcome.PAID, Outcome.FAILED)


def test_a_method_that_was_taken_away_is_a_hard_decline(stripe_world: StripeWorld) -> None:
    charge = stripe_world.saved()
    stripe_world.client.v1.payment_methods.detach(charge.gateway_payment_method_id)

    found = stripe_world.adapter.charge(charge)
    assert (found.outcome, found.decline_class) == (Outcome.FAILED, DeclineClass.HARD)
    assert found.gateway_payment_id is None


def test_an_amount_that_stripe_does_not_take_is_not_the_cards_fault(
    stripe_world: StripeWorld,
) -> None:
    found = stripe_world.adapter.charge(stripe_world.saved(amount=1))

    assert (found.outcome, found.failure_code) == (Outcome.FAILED, "amount_too_small")
    assert found.decline_class is DeclineClass.GATEWAY


# Looking up


@pytest.mark.parametrize("kind", ["lost_answer", "error_after_effect", "nonsense"])
def test_a_charge_whose_answer_was_lost_is_found_by_our_reference(
    stripe_world: StripeWorld, kind: str
) -> None:
    charge = stripe_world.saved()
    stripe_world.server.fault("payment_intents.create", kind)
    with pytest.raises(GatewayUnavailableError):
        stripe_world.adapter.charge(charge)

    found = stripe_world.adapter.find(
        stripe_world.query(charge.id, gateway_customer_id=charge.gateway_customer_id)
    )
    assert found is not None
    assert (found.outcome, found.payment_attempt_id) == (Outcome.PAID, charge.id)


def test_a_failure_that_stripe_keeps_is_never_stepped_over_with_money(
    stripe_world: StripeWorld,
) -> None:
    charge = stripe_world.saved()
    stripe_world.server.fault("payment_intents.create", "error_after_effect")
    for _ in range(3):
        with pytest.raises(GatewayUnavailableError):
            stripe_world.adapter.charge(charge)

    customer = {"customer": charge.gateway_customer_id}
    assert len(stripe_world.client.v1.payment_intents.list(params=customer).data) == 1


def test_a_charge_that_lands_late_is_not_there_before(stripe_world: StripeWorld) -> None:
    charge = stripe_world.saved()
    query = stripe_world.query(charge.id, gateway_customer_id=charge.gateway_customer_id)
    stripe_world.server.fault("payment_intents.create", "late_effect", seconds=600)
    with pytest.raises(GatewayUnavailableError):
        stripe_world.adapter.charge(charge)
    before = stripe_world.adapter.find(query)
    stripe_world.advance(601)

    after = stripe_world.adapter.find(query)
    assert before is None
    assert after is not None
    assert after.outcome is Outcome.PAID


def test_a_charge_that_was_repeated_does_not_land_again_late(stripe_world: StripeWorld) -> None:
    charge = stripe_world.saved()
    stripe_world.server.fault("payment_intents.create", "late_effect", seconds=600)
    with pytest.raises(GatewayUnavailableError):
        stripe_world.adapter.charge(charge)
    repeated = stripe_world.adapter.charge(charge)
    stripe_world.advance(601)

    customer = {"customer": charge.gateway_customer_id}
    assert repeated.outcome is Outcome.PAID
    assert len(stripe_world.client.v1.charges.list(params=customer).data) == 1


def test_a_page_is_found_by_its_id_or_by_our_reference(stripe_world: StripeWorld) -> None:
    order = stripe_world.order()
    page = stripe_world.adapter.open(order)
    opened = stripe_world.adapter.find(stripe_world.query(order.id))
    stripe_world.pay(page)

    by_reference = stripe_world.adapter.find(stripe_world.query(order.id))
    by_page = stripe_world.adapter.find(
        stripe_world.query(order.id, gateway_session_id=page.reference)
    )
    assert opened is not None
    assert (opened.outcome, opened.gateway_session_id) == (Outcome.REQUIRES_ACTION, page.reference)
    assert by_page is not None
    assert by_page == by_reference
    assert (by_page.outcome, by_page.amount, by_page.captured_amount) == (
        *(Outcome.PAID, USD_25),
        USD_25,
    )
    by_payment = stripe_world.adapter.find(
        stripe_world.query(order.id, gateway_payment_id=by_page.gateway_payment_id)
    )
    assert by_payment is not None
    assert (by_payment.outcome, by_payment.payment_attempt_id) == (Outcome.PAID, order.id)


def test_a_debit_that_came_back_is_found_failed_whatever_is_known_of_it(
    stripe_world: StripeWorld,
) -> None:
    order = stripe_world.order()
    page = stripe_world.adapter.open(order)
    stripe_world.pay(page, bank="000222222227")
    stripe_world.advance(DAY)

    sent = stripe_world.notice(order.id, "checkout.session.async_payment_failed")
    assert sent.gateway_payment_id
    found = stripe_world.adapter.find(
        stripe_world.query(
            order.id,
            gateway_session_id=page.reference,
            gateway_payment_id=sent.gateway_payment_id,
        )
    )
    assert found is not None
    assert (found.outcome, sent.outcome) == (Outcome.FAILED, Outcome.FAILED)


def test_what_stripe_does_not_know_is_nothing(stripe_world: StripeWorld) -> None:
    adapter, query = stripe_world.adapter, stripe_world.query(str(uuid4()))
    charge = stripe_world.saved()

    assert adapter.find(query) is None
    assert adapter.find(replace(query, gateway_session_id="cs_test_none")) is None
    assert adapter.find(replace(query, gateway_payment_id="pi_none")) is None
    assert adapter.find(replace(query, gateway_customer_id=charge.gateway_customer_id)) is None
    assert adapter.find_setup(str(uuid4()), "cs_test_none") is None
    assert adapter.find_refund(str(uuid4()), str(stripe_world.paid().gateway_payment_id)) is None


def test_a_look_up_without_an_answer_is_not_nothing(stripe_world: StripeWorld) -> None:
    for operation in ("checkout.sessions.list", "payment_intents.retrieve"):
        stripe_world.server.fault(operation, "error_500")
    query = stripe_world.query(str(uuid4()))

    for wanted in (query, replace(query, gateway_payment_id="pi_none")):
        with pytest.raises(GatewayUnavailableError):
            stripe_world.adapter.find(wanted)


def test_a_decline_on_a_page_leaves_the_next_step_to_the_payer(stripe_world: StripeWorld) -> None:
    order = stripe_world.order()
    page = stripe_world.adapter.open(order)
    stripe_world.pay(page, card="4000000000009995")

    sent = stripe_world.notice(order.id, "payment_intent.payment_failed")
    found = stripe_world.adapter.find(
        stripe_world.query(order.id, gateway_session_id=page.reference)
    )
    assert found is not None
    for one in (sent, found):
        assert one.outcome is Outcome.REQUIRES_ACTION
        assert (one.failure_code, one.decline_class) == ("insufficient_funds", DeclineClass.SOFT)


def test_the_webhooks_of_a_page_all_name_our_attempt(stripe_world: StripeWorld) -> None:
    order = stripe_world.order()
    page = stripe_world.adapter.open(order)
    stripe_world.pay(page, card="4000002760003184")
    stripe_world.notice(page.reference, "checkout.session.completed")

    notices = [one for one in stripe_world.notices(order.id) if one.subject is not Subject.NONE]
    assert {one.payment_attempt_id for one in notices} == {order.id}
    assert sorted(set(payments(notices))) == [Outcome.PAID, Outcome.REQUIRES_ACTION]


def test_a_page_that_expired_says_the_same_by_both_its_events(stripe_world: StripeWorld) -> None:
    order = stripe_world.order()
    page = stripe_world.adapter.open(order)
    stripe_world.pay(page, card="4000000000009995")
    found = stripe_world.adapter.expire(order.id, page.reference)

    assert found.outcome is Outcome.EXPIRED
    assert stripe_world.notice(order.id, "payment_intent.canceled").outcome is Outcome.EXPIRED
    assert stripe_world.notice(order.id, "checkout.session.expired").outcome is Outcome.EXPIRED
    assert stripe_world.adapter.expire(order.id, page.reference) == found


def test_a_page_that_is_paid_is_not_closed_but_told(stripe_world: StripeWorld) -> None:
    order = stripe_world.order()
    page = stripe_world.adapter.open(order)
    stripe_world.pay(page)

    assert stripe_world.adapter.expire(order.id, page.reference).outcome is Outcome.PAID


# Authorizing and capturing


def test_a_part_may_be_captured_and_the_rest_is_released(stripe_world: StripeWorld) -> None:
    order = stripe_world.order(authorize_only=True)
    page = stripe_world.adapter.open(order)
    stripe_world.pay(page)
    held = stripe_world.notice(order.id, "payment_intent.amount_capturable_updated")
    found = stripe_world.adapter.find(
        stripe_world.query(order.id, gateway_session_id=page.reference)
    )
    payment = str(held.gateway_payment_id)
    captured = stripe_world.adapter.capture(order.id, payment, Money(1000, "USD"))

    assert (held.outcome, held.captured_amount) == (Outcome.AUTHORIZED, Money(0, "USD"))
    assert found is not None
    assert found.outcome is Outcome.AUTHORIZED
    assert (captured.outcome, captured.amount) == (Outcome.PAID, USD_25)
    assert captured.captured_amount == Money(1000, "USD")
    assert stripe_world.adapter.capture(order.id, payment, Money(1000, "USD")) == captured
    sent = stripe_world.notice(order.id, "payment_intent.succeeded")
    assert sent.captured_amount == Money(1000, "USD")
    again = stripe_world.adapter.find(
        stripe_world.query(order.id, gateway_session_id=page.reference)
    )
    assert again is not None
    assert (again.outcome, again.captured_amount) == (Outcome.PAID, Money(1000, "USD"))


def authorized(stripe_world: StripeWorld) -> tuple[str, str]:
    order = stripe_world.order(authorize_only=True)
    page = stripe_world.adapter.open(order)
    stripe_world.pay(page)
    held = stripe_world.notice(order.id, "payment_intent.amount_capturable_updated")
    return order.id, str(held.gateway_payment_id)


def test_more_than_was_authorized_cannot_be_captured(stripe_world: StripeWorld) -> None:
    with pytest.raises(GatewayRefusedError):
        stripe_world.adapter.capture(*authorized(stripe_world), Money(2501, "USD"))


def test_an_authorization_is_given_up_once(stripe_world: StripeWorld) -> None:
    attempt, payment = authorized(stripe_world)
    canceled = stripe_world.adapter.cancel(attempt, payment)

    assert canceled.outcome is Outcome.CANCELED
    assert stripe_world.adapter.cancel(attempt, payment) == canceled
    assert stripe_world.adapter.capture(attempt, payment, USD_25) == canceled
    assert stripe_world.notice(payment, "payment_intent.canceled").outcome is Outcome.CANCELED
    refunded = stripe_world.notice(payment, "charge.refunded")
    assert (refunded.subject, refunded.outcome) == (Subject.NONE, Outcome.UNKNOWN)


def test_an_authorization_that_nobody_captures_runs_out(stripe_world: StripeWorld) -> None:
    attempt, payment = authorized(stripe_world)
    stripe_world.advance(8 * DAY)

    assert stripe_world.notice(payment, "payment_intent.canceled").outcome is Outcome.EXPIRED
    assert stripe_world.adapter.capture(attempt, payment, USD_25).outcome is Outcome.EXPIRED
    assert stripe_world.adapter.cancel(attempt, payment).outcome is Outcome.EXPIRED


def test_what_is_paid_cannot_be_canceled(stripe_world: StripeWorld) -> None:
    paid = stripe_world.paid()

    answered = stripe_world.adapter.cancel(str(uuid4()), str(paid.gateway_payment_id))
    assert answered.outcome is Outcome.PAID


# Refunds


def test_equal_parts_are_refunded_each_under_its_own_id(stripe_world: StripeWorld) -> None:
    paid = stripe_world.paid()
    orders = [stripe_world.refund(paid, 1000) for _ in range(2)]
    answers = [stripe_world.adapter.refund(order) for order in orders]

    assert [one.outcome for one in answers] == [Outcome.SUCCEEDED] * 2
    assert answers[0].gateway_refund_id != answers[1].gateway_refund_id
    for order, answered in zip(orders, answers, strict=True):
        sent = stripe_world.notice(order.id, "refund.created")
        found = stripe_world.adapter.find_refund(order.id, order.gateway_payment_id)
        for one in (answered, sent, found):
            assert one is not None
            assert (one.subject, one.outcome) == (Subject.REFUND, Outcome.SUCCEEDED)
            assert (one.refund_id, one.amount) == (order.id, Money(1000, "USD"))
            assert one.gateway_refund_id == answered.gateway_refund_id
            assert one.gateway_payment_id == paid.gateway_payment_id


def test_a_refund_asked_for_twice_happens_once(stripe_world: StripeWorld) -> None:
    order = stripe_world.refund(stripe_world.paid(), 1000)
    first, second = (stripe_world.adapter.refund(order) for _ in range(2))

    assert first == second


@pytest.mark.parametrize(("again", "code"), [(501, "gateway-refused"), (2500, "gateway-refused")])
def test_more_than_is_left_is_not_refunded(
    stripe_world: StripeWorld, again: int, code: str
) -> None:
    paid = stripe_world.paid()
    stripe_world.adapter.refund(stripe_world.refund(paid, 2000))

    refused = stripe_world.adapter.refund(stripe_world.refund(paid, again))
    assert (refused.outcome, refused.failure_code) == (Outcome.FAILED, code)
    assert "greater than unrefunded amount" in str(refused.failure_message)


def test_what_is_refunded_is_not_refunded_again(stripe_world: StripeWorld) -> None:
    paid = stripe_world.paid()
    stripe_world.adapter.refund(stripe_world.refund(paid, 2500))

    refused = stripe_world.adapter.refund(stripe_world.refund(paid, 1))
    assert (refused.outcome, refused.failure_code) == (Outcome.FAILED, "charge_already_refunded")


def test_a_refund_may_wait_before_it_succeeds(stripe_world: StripeWorld) -> None:
    order = stripe_world.refund(stripe_world.paid(card="4000000000007726"), 2500)
    answered = stripe_world.adapter.refund(order)
    stripe_world.advance(60)

    assert answered.outcome is Outcome.PENDING
    assert stripe_world.notice(order.id, "refund.updated").outcome is Outcome.SUCCEEDED


def test_a_refund_may_fail_after_it_succeeded(stripe_world: StripeWorld) -> None:
    paid = stripe_world.paid(card="4000000000005126")
    order = stripe_world.refund(paid, 2500)
    answered = stripe_world.adapter.refund(order)
    stripe_world.advance(60)

    sent = stripe_world.notice(order.id, "refund.failed")
    found = stripe_world.adapter.find_refund(order.id, order.gateway_payment_id)
    assert answered.outcome is Outcome.SUCCEEDED
    assert found is not None
    for one in (sent, found):
        assert (one.outcome, one.failure_code) == (Outcome.FAILED, "expired_or_canceled_card")
    again = stripe_world.adapter.refund(stripe_world.refund(paid, 2500))
    assert again.outcome is Outcome.SUCCEEDED  # the money had come back, so it can go again


def test_a_refund_whose_answer_was_lost_is_found(stripe_world: StripeWorld) -> None:
    order = stripe_world.refund(stripe_world.paid(), 2500)
    stripe_world.server.fault("refunds.create", "lost_answer")
    with pytest.raises(GatewayUnavailableError):
        stripe_world.adapter.refund(order)

    found = stripe_world.adapter.find_refund(order.id, order.gateway_payment_id)
    assert found is not None
    assert (found.outcome, found.refund_id) == (Outcome.SUCCEEDED, order.id)
    assert stripe_world.adapter.refund(order) == found


@pytest.mark.parametrize(
    ("ours", "stripes"), [("duplicate", "duplicate"), ("lost parcel", "requested_by_customer")]
)
def test_our_reason_becomes_the_nearest_of_stripes(
    stripe_world: StripeWorld, ours: str, stripes: str
) -> None:
    order = stripe_world.refund(stripe_world.paid(), 100, reason=ours)

    assert stripe_world.adapter.refund(order).reason == stripes


# Disputes


@pytest.mark.parametrize(("outcome", "word"), [("won", Outcome.WON), ("lost", Outcome.LOST)])
def test_a_dispute_is_opened_reviewed_and_decided(
    stripe_world: StripeWorld, outcome: str, word: Outcome
) -> None:
    paid = stripe_world.paid(card="4000000000000259")
    payment = str(paid.gateway_payment_id)
    stripe_world.advance(60)
    opened = stripe_world.notice(payment, "charge.dispute.created")
    decide = f"/stripe/disputes/{opened.gateway_dispute_id}/decide"
    stripe_world.server.control(decide, {"outcome": "under_review"})
    stripe_world.server.control(decide, {"outcome": outcome})

    assert (opened.subject, opened.outcome) == (Subject.DISPUTE, Outcome.OPENED)
    assert (opened.amount, opened.reason) == (USD_25, "fraudulent")
    assert opened.gateway_payment_id == payment
    reviewed = stripe_world.notice(payment, "charge.dispute.updated")
    closed = stripe_world.notice(payment, "charge.dispute.closed")
    assert (reviewed.outcome, closed.outcome) == (Outcome.UNDER_REVIEW, word)
    assert closed.gateway_dispute_id == opened.gateway_dispute_id


def test_disputes_are_listed_as_they_stand_now(stripe_world: StripeWorld) -> None:
    stripe_world.advance(2 * 3600)
    start = stripe_world.now()
    payments = [str(stripe_world.paid().gateway_payment_id) for _ in range(3)]

    def listed() -> list[Finding]:
        """Other tests' disputes aside, which may be of any day."""
        every = stripe_world.adapter.find_disputes(start)
        return [one for one in every if one.gateway_payment_id in payments]

    for payment in payments:
        stripe_world.server.control(f"/stripe/charges/{payment}/dispute", {})
    first = listed()
    decide = f"/stripe/disputes/{first[0].gateway_dispute_id}/decide"
    stripe_world.server.control(decide, {"outcome": "lost"})
    found = listed()

    assert {one.gateway_payment_id for one in found} == set(payments)
    assert [one.outcome for one in found] == [Outcome.LOST, Outcome.OPENED, Outcome.OPENED]
    assert found[1] == first[1]
    assert all(one.opened_at and one.opened_at >= start.replace(microsecond=0) for one in found)
    stripe_world.advance(4 * 3600)
    start = stripe_world.now()
    assert listed() == []


def test_a_silent_list_of_disputes_is_no_empty_one(stripe_world: StripeWorld) -> None:
    stripe_world.server.fault("disputes.list", "error_500")

    with pytest.raises(GatewayUnavailableError):
        list(stripe_world.adapter.find_disputes(stripe_world.now()))


def test_what_is_disputed_is_not_refunded(stripe_world: StripeWorld) -> None:
    paid = stripe_world.paid()
    stripe_world.server.control(f"/stripe/charges/{paid.gateway_payment_id}/dispute", {})

    refused = stripe_world.adapter.refund(stripe_world.refund(paid, 100))
    assert (refused.outcome, refused.failure_code) == (Outcome.FAILED, "charge_disputed")


# Webhooks that go wrong


def test_a_wrong_amount_is_signed_all_the_same(stripe_world: StripeWorld) -> None:
    stripe_world.server.fault("webhook:payment_intent.succeeded", "wrong_amount", n=7)
    paid = stripe_world.paid()

    sent = stripe_world.notice(str(paid.gateway_payment_id), "payment_intent.succeeded")
    assert sent.amount == sent.captured_amount == Money(2507, "USD")


def test_a_lost_webhook_is_still_among_the_events(stripe_world: StripeWorld) -> None:
    stripe_world.server.fault("webhook:payment_intent.succeeded", "drop")
    paid = stripe_world.paid()
    since = int(stripe_world.now().timestamp()) - 60

    events = stripe_world.client.v1.events.list(
        params={"types": ["payment_intent.succeeded"], "created": {"gte": since}}
    ).data
    subjects = [event.data.object["id"] for event in events]
    assert paid.gateway_payment_id in subjects
    sent = {one.type for one in stripe_world.notices(str(paid.gateway_payment_id))}
    assert "charge.succeeded" in sent
    assert "payment_intent.succeeded" not in sent


def test_webhooks_carry_the_simulated_time(stripe_world: StripeWorld) -> None:
    stripe_world.advance(40 * DAY)
    paid = stripe_world.paid()

    sent = stripe_world.notice(str(paid.gateway_payment_id), "payment_intent.succeeded")
    assert abs((sent.occurred_at - stripe_world.now()).total_seconds()) < 60


def test_a_webhook_is_tried_again_by_the_simulated_clock(stripe_world: StripeWorld) -> None:
    charge = stripe_world.saved()
    kind, tries = "payment_intent.succeeded", 6
    stripe_world.receiver.refusals += [(f'"type": "{kind}"', 500)] * (tries - 1)
    stripe_world.adapter.charge(charge)
    for n in range(1, tries):
        stripe_world.receiver.wait(charge.id, kind, n)
        stripe_world.advance(HOUR)

    assert stripe_world.notice(charge.id, kind, tries).outcome is Outcome.PAID
