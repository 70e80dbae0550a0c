"""Authorizing first: capturing all or a part, giving up, running out."""

import pytest
import stripe
from gateway_bench import Bench

DAY = 24 * 3600


def authorized(bench: Bench) -> stripe.PaymentIntent:
    data = {"capture_method": "manual", "metadata": {"order_id": "o-1"}}
    session = bench.paid(payment_intent_data=data)
    assert (session.status, session.payment_status) == ("complete", "unpaid")
    return bench.client.v1.payment_intents.retrieve(str(session.payment_intent))


def unexpected(caught: pytest.ExceptionInfo[stripe.InvalidRequestError]) -> bool:
    return caught.value.code == "payment_intent_unexpected_state"


def test_an_authorized_payment_waits_and_nothing_is_booked(bench: Bench) -> None:
    intent = authorized(bench)

    assert (intent.status, intent.amount_capturable) == ("requires_capture", 5000)
    assert intent.amount_received == 0
    charge = bench.client.v1.charges.retrieve(str(intent.latest_charge))
    assert (charge.paid, charge.captured, charge.amount_captured) == (True, False, 0)
    assert bench.balance(charge.id) == []
    bench.receiver.wait(intent.id, "payment_intent.amount_capturable_updated")


@pytest.mark.parametrize("amount", [5000, 1200])
def test_a_capture_books_what_it_takes(bench: Bench, amount: int) -> None:
    intent = authorized(bench)
    captured = bench.client.v1.payment_intents.capture(intent.id, {"amount_to_capture": amount})

    assert (captured.status, captured.amount_received) == ("succeeded", amount)
    assert captured.amount_capturable == 0
    charge = str(intent.latest_charge)
    assert [entry[:2] for entry in bench.balance(charge)] == [("charge", amount)]
    sessions = bench.client.v1.checkout.sessions.list(params={"payment_intent": intent.id})
    assert [one.payment_status for one in sessions.data] == ["paid"]
    bench.receiver.wait(charge, "charge.captured")
    bench.receiver.wait(intent.id, "payment_intent.succeeded")


def test_a_second_capture_is_refused(bench: Bench) -> None:
    intent = authorized(bench)
    bench.client.v1.payment_intents.capture(intent.id)

    with pytest.raises(stripe.InvalidRequestError, match="status of succeeded") as caught:
        bench.client.v1.payment_intents.capture(intent.id)
    assert unexpected(caught)


@pytest.mark.parametrize("amount", [5001, 0, -1])
def test_an_amount_that_is_not_authorized_is_refused(bench: Bench, amount: int) -> None:
    intent = authorized(bench)

    with pytest.raises(stripe.InvalidRequestError) as caught:
        bench.client.v1.payment_intents.capture(intent.id, {"amount_to_capture": amount})
    assert caught.value.param == "amount_to_capture"


def test_several_captures_are_refused_by_name(bench: Bench) -> None:
    intent = authorized(bench)

    with pytest.raises(stripe.InvalidRequestError, match="several captures"):
        bench.client.v1.payment_intents.capture(intent.id, {"final_capture": False})


def test_a_part_that_was_captured_is_all_that_can_be_refunded(bench: Bench) -> None:
    intent = authorized(bench)
    bench.client.v1.payment_intents.capture(intent.id, {"amount_to_capture": 1200})

    with pytest.raises(stripe.InvalidRequestError, match="greater than unrefunded"):
        bench.client.v1.refunds.create({"payment_intent": intent.id, "amount": 1201})
    whole = bench.client.v1.refunds.create({"payment_intent": intent.id})
    assert whole.amount == 1200


def test_a_canceled_authorization_takes_nothing(bench: Bench) -> None:
    intent = authorized(bench)
    reason = {"cancellation_reason": "requested_by_customer"}
    canceled = bench.client.v1.payment_intents.cancel(intent.id, reason)

    assert (canceled.status, canceled.amount_capturable) == ("canceled", 0)
    assert canceled.cancellation_reason == "requested_by_customer"
    charge = bench.client.v1.charges.retrieve(str(intent.latest_charge))
    assert (charge.captured, charge.refunded) == (False, True)
    assert bench.balance(charge.id) == []
    with pytest.raises(stripe.InvalidRequestError, match="status of canceled") as caught:
        bench.client.v1.payment_intents.cancel(intent.id)
    assert unexpected(caught)


def test_an_authorization_runs_out_in_a_week(bench: Bench) -> None:
    intent = authorized(bench)
    bench.server.move_clock(7 * DAY + 1)

    found = bench.client.v1.payment_intents.retrieve(intent.id)
    assert (found.status, found.cancellation_reason) == ("canceled", "automatic")
    bench.receiver.wait(str(intent.latest_charge), "charge.expired")


def test_the_intent_of_an_open_page_is_not_canceled(bench: Bench) -> None:
    session = bench.open()
    bench.server.control(f"/stripe/sessions/{session.id}/pay", {"card": "4000000000000002"})
    intent = str(bench.get(session.id).payment_intent)

    with pytest.raises(stripe.InvalidRequestError, match="Expire the Checkout Session"):
        bench.client.v1.payment_intents.cancel(intent)
