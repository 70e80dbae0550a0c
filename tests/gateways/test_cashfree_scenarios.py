"""What only Cashfree does: its adapter before its simulator, over HTTP."""

import re
from collections import Counter
from dataclasses import replace
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
import requests
from gateways.cashfree_world import CashfreeWorld
from gateways.scenarios import looked_up, notices, opened, paid, refund_found, told, told_of
from gateways.world import AMOUNT, DAY, HOUR, Payer

from app.errors import GatewayRefusedError, SignatureInvalidError
from app.gateways import Finding, Method, Money, Outcome, Return, Settled, Subject

pytestmark = pytest.mark.parametrize("world", ["cashfree"], indirect=True)


def test_a_payer_goes_all_the_way_without_a_script(world: CashfreeWorld) -> None:
    url = "http://shop.example/ok?order={order_id}&order_id={order_id}"
    order, page = opened(world, success_url=url)
    with requests.Session() as browser:
        shown = browser.post(page.url, data=page.form, timeout=20)
        assert shown.status_code == 200
        assert "₹2,500.00" in shown.text
        hidden = dict(re.findall(r'name="(\w+)" value="([^"]*)"', shown.text))
        form = {"tried": hidden["tried"], "method": "upi", "vpa": "testsuccess@gocash"}
        back = browser.post(shown.url, data=form, allow_redirects=False, timeout=20)

    fields = dict(parse_qsl(urlsplit(back.headers["location"]).query))
    returned = world.adapter.read_return(Return(fields, order.id, page.reference))
    assert (returned.outcome, returned.payment_attempt_id) == (Outcome.UNKNOWN, order.id)
    assert looked_up(world, order, page).outcome is Outcome.PAID
    other, other_page = opened(world)
    with pytest.raises(SignatureInvalidError):
        world.adapter.read_return(Return(fields, other.id, other_page.reference))


@pytest.mark.parametrize(
    ("means", "method"),
    [
        ({"card": "4706131211212123"}, Method.CARD),
        ({"vpa": "testsuccess@gocash"}, Method.UPI),
        ({"method": "netbanking"}, Method.NETBANKING),
        ({"method": "wallet"}, Method.WALLET),
    ],
)
def test_a_payment_is_told_with_its_method(
    world: CashfreeWorld, means: dict[str, str], method: Method
) -> None:
    order, page = opened(world)
    world.stage.control(f"/orders/{page.reference}/pay", means)

    for one in (looked_up(world, order, page), *told(world, order, page)):
        assert (one.outcome, one.method) == (Outcome.PAID, method)


@pytest.mark.parametrize("ahead", [timedelta(minutes=14), timedelta(days=31)])
def test_a_page_that_closes_too_soon_or_too_late_is_refused_by_name(
    world: CashfreeWorld, ahead: timedelta
) -> None:
    order = world.stage.order(world.currency, expires_at=world.stage.now() + ahead)

    with pytest.raises(GatewayRefusedError, match="more than 15 min and less than 30 days"):
        world.adapter.open(order)


def test_an_order_of_the_same_id_for_other_money_is_refused(world: CashfreeWorld) -> None:
    order, page = opened(world)

    with pytest.raises(GatewayRefusedError, match="another order"):
        world.adapter.open(replace(order, amount=Money(AMOUNT + 1, world.currency)))
    assert world.adapter.open(order) == page


# Closing a page


def test_a_page_whose_payer_is_at_the_bank_closes_when_the_bank_has_spoken(
    world: CashfreeWorld,
) -> None:
    ends = []
    for how in (Payer.PENDING_THEN_PAID, Payer.PENDING_THEN_FAILED):
        order, page = opened(world)
        world.pay(order, page, how)
        asked = world.adapter.expire(order.id, page.reference)
        assert asked.outcome is Outcome.PROCESSING
        world.stage.advance(HOUR)
        ends.append(looked_up(world, order, page).outcome)

    assert ends == [Outcome.PAID, Outcome.EXPIRED]


def test_a_page_that_was_paid_is_not_closed(world: CashfreeWorld) -> None:
    order, page, payment = paid(world)

    assert world.adapter.expire(order.id, page.reference) == payment


# Holds


def held(world: CashfreeWorld) -> tuple[Any, Any, Finding]:
    order, page = opened(world, authorize_only=True)
    world.pay(order, page, Payer.AUTHORIZES)
    found = looked_up(world, order, page)
    assert found.outcome is Outcome.AUTHORIZED
    return order, page, found


def test_a_hold_that_nobody_takes_is_gone_in_a_week(world: CashfreeWorld) -> None:
    order, page, hold = held(world)
    world.stage.advance(7 * DAY + HOUR)

    found = looked_up(world, order, page)
    assert (found.outcome, found.captured_amount) == (Outcome.CANCELED, None)
    assert found.gateway_payment_id == hold.gateway_payment_id


def test_a_hold_is_captured_or_given_back_and_never_both(world: CashfreeWorld) -> None:
    taken, _, hold = held(world)
    name = str(hold.gateway_payment_id)
    part = Money(AMOUNT // 3, world.currency)
    captured = world.adapter.capture(taken.id, name, part)
    assert world.adapter.cancel(taken.id, name) == captured

    given, _, other = held(world)
    name = str(other.gateway_payment_id)
    canceled = world.adapter.cancel(given.id, name)
    assert canceled.outcome is Outcome.CANCELED
    assert world.adapter.capture(given.id, name, part) == canceled


def test_a_capture_asked_for_a_day_later_takes_nothing_twice(world: CashfreeWorld) -> None:
    order, _, hold = held(world)
    name, part = str(hold.gateway_payment_id), Money(AMOUNT // 3, world.currency)
    captured = world.adapter.capture(order.id, name, part)
    world.stage.advance(DAY + HOUR)  # Cashfree has forgotten the key

    assert world.adapter.capture(order.id, name, part) == captured


# Refunds


@pytest.mark.parametrize(
    ("status", "outcome"),
    [("ONHOLD", Outcome.PENDING), ("CANCELLED", Outcome.CANCELED), ("FAILED", Outcome.FAILED)],
)
def test_a_refund_that_waits_may_end_in_other_ways(
    world: CashfreeWorld, status: str, outcome: Outcome
) -> None:
    order, page = opened(world)
    wanted = {"how": "pays", "refunds": "wait"}
    world.stage.control(f"/orders/{page.reference}/pay", wanted)
    refund = world.stage.refund_order(looked_up(world, order, page))
    assert world.adapter.refund(refund).outcome is Outcome.PENDING
    before = told_of(world, refund)
    path = f"/orders/{page.reference}/refunds/{refund.id.replace('-', '')}/decide"
    world.stage.control(path, {"status": status})

    assert refund_found(world, refund).outcome is outcome
    assert [one.outcome for one in told_of(world, refund)[len(before) :]] == [outcome]


def test_a_banks_reference_that_comes_later_is_no_second_refund(world: CashfreeWorld) -> None:
    order, page = opened(world)
    wanted = {"how": "pays", "refunds": "arn_later"}
    world.stage.control(f"/orders/{page.reference}/pay", wanted)
    refund = world.stage.refund_order(looked_up(world, order, page))
    world.adapter.refund(refund)
    world.stage.advance(HOUR)

    first, second = told_of(world, refund)
    assert first.raw["data"]["refund"]["refund_arn"] is None
    assert second.raw["data"]["refund"]["refund_arn"]
    assert first.event_id == second.event_id


def test_a_refund_of_the_same_id_for_other_money_is_told_as_it_is(world: CashfreeWorld) -> None:
    _, _, payment = paid(world)
    refund = world.stage.refund_order(payment, 1_001)
    made = world.adapter.refund(refund)

    assert world.adapter.refund(replace(refund, amount=Money(2_002, world.currency))) == made


# Webhooks


def test_a_webhook_that_was_refused_is_read_when_it_comes_again(world: CashfreeWorld) -> None:
    order, page = opened(world)
    world.stage.receiver.refusals.append((order.id, 503))
    world.pay(order, page)
    world.stage.advance(HOUR)

    first, again = told(world, order, page)
    assert first.event_id == again.event_id
    assert again.outcome is Outcome.PAID
    attempts = [one.headers["x-webhook-attempt"] for one in world.stage.receiver.about(order.id)]
    assert attempts == ["1", "2"]


@pytest.mark.parametrize("kind", ["stale", "future", "wrong_signature"])
def test_a_webhook_of_another_time_or_hand_is_refused(world: CashfreeWorld, kind: str) -> None:
    world.stage.fault("webhook:*", kind, seconds=HOUR)
    order, page = opened(world)
    world.pay(order, page)

    with pytest.raises(SignatureInvalidError):
        told(world, order, page)


def test_a_wrong_amount_that_cashfree_signed_is_told_as_it_is(world: CashfreeWorld) -> None:
    world.stage.fault("webhook:*", "wrong_amount", n=7)
    order, page = opened(world)
    world.pay(order, page)

    (sent,) = told(world, order, page)
    assert sent.amount == Money(AMOUNT + 7, world.currency)


def test_a_question_about_a_payment_is_no_dispute(world: CashfreeWorld) -> None:
    order, _, _ = paid(world)
    world.stage.control(f"/orders/{order.id}/dispute", {"type": "RETRIEVAL"})

    (one,) = (one for one in notices(world) if one.subject is Subject.DISPUTE)
    assert one.outcome is Outcome.UNKNOWN


def test_a_question_about_a_payment_that_is_lost_takes_its_money(world: CashfreeWorld) -> None:
    order, _, payment = paid(world)
    made = world.stage.control(f"/orders/{order.id}/dispute", {"type": "RETRIEVAL"})
    world.stage.control(f"/disputes/{made['dispute_id']}/decide", {"outcome": "accepted"})
    world.settle()

    told = [one for one in notices(world) if one.subject is Subject.DISPUTE]  # in any order
    assert sorted(one.outcome for one in told) == [Outcome.LOST, Outcome.UNKNOWN]
    assert {one.gateway_payment_id for one in told} == {payment.gateway_payment_id}
    (taken,) = [
        one
        for one in world.adapter.settlements(world.stage.now().date())
        if (one.kind, one.gateway_payment_id) == (Settled.DISPUTE, payment.gateway_payment_id)
    ]
    assert taken.gross.amount == -AMOUNT


def test_a_dispute_may_be_lost_for_want_of_papers(world: CashfreeWorld) -> None:
    order, _, payment = paid(world)
    made = world.stage.control(f"/orders/{order.id}/dispute", {"type": "PRE_ARBITRATION"})
    path = f"/disputes/{made['dispute_id']}/decide"
    world.stage.control(path, {"outcome": "insufficient_evidence"})

    told = [one for one in notices(world) if one.subject is Subject.DISPUTE]  # in any order
    assert sorted(one.outcome for one in told) == [Outcome.LOST, Outcome.OPENED]
    assert {one.gateway_payment_id for one in told} == {payment.gateway_payment_id}
    assert {one.gateway_dispute_id for one in told} == {str(made["dispute_id"])}


# Settlements


def test_a_settlement_is_the_sum_of_its_lines(world: CashfreeWorld) -> None:
    world.settle()  # what other tests left
    _, _, payment = paid(world)
    _, _, other = paid(world)
    world.adapter.refund(world.stage.refund_order(payment, 1_001))
    world.dispute(payment)
    made = world.stage.control("/settle")["settlement"]
    day = world.stage.now().date()

    lines = [one for one in world.adapter.settlements(day) if one.settlement_id == made["id"]]
    # A refund that another test left waiting may fall due in this very moment.
    assert Counter((one.gateway_payment_id, one.kind) for one in lines) >= Counter(
        [
            (payment.gateway_payment_id, Settled.PAYMENT),
            (payment.gateway_payment_id, Settled.REFUND),
            (payment.gateway_payment_id, Settled.DISPUTE),
            (other.gateway_payment_id, Settled.PAYMENT),
        ]
    )
    assert sum(one.net.amount for one in lines) == made["amount"]
    assert {one.utr for one in lines} == {made["utr"]}
    assert all(one.tax.amount == round(one.fee.amount * 0.18) for one in lines)


def test_what_came_to_nothing_on_an_open_order_can_be_paid_there(world: CashfreeWorld) -> None:
    order, page = opened(world)
    world.pay(order, page, Payer.PENDING_THEN_FAILED)
    on_its_way = looked_up(world, order, page)
    world.stage.advance(120)
    failed = looked_up(world, order, page)
    world.pay(order, page)

    assert on_its_way.outcome is Outcome.PROCESSING
    assert (failed.outcome, bool(failed.failure_code)) == (Outcome.REQUIRES_ACTION, True)
    assert looked_up(world, order, page).outcome is Outcome.PAID
