"""Razorpay's own turns: late banks, its own refunds, inquiries, the signed way back, GST."""

import re
from collections import defaultdict
from dataclasses import replace
from datetime import datetime
from html import unescape
from typing import Any

import pytest
from gateways.razorpay_world import INDIA, KEY_ID, KEY_SECRET, SECRET, World
from gateways.scenarios import looked_up, notices, opened, paid, told
from gateways.scenarios_money import authorized
from gateways.world import AMOUNT, DAY, HOUR, Payer, Refunds

from app.errors import GatewayUnavailableError, SignatureInvalidError
from app.gateways import Delivery, Finding, Method, Outcome, Return, Settled, Subject
from app.gateways.razorpay import Adapter, Settings

pytestmark = pytest.mark.parametrize("world", ["razorpay"], indirect=True)
GOOD_CARD = "4100280000001007"


# Banks that answer late


def test_money_that_comes_after_another_paid_is_given_back_by_razorpay(world: World) -> None:
    order, page = opened(world)
    world.pay(order, page, Payer.FAILS_THEN_PAYS_LATE)
    world.pay(order, page)
    good = looked_up(world, order, page)
    world.stage.advance(2 * HOUR)
    every = notices(world)
    told_of = [one for one in every if one.gateway_session_id == page.reference]
    authorized_ = {one.gateway_payment_id for one in told_of if one.outcome is Outcome.AUTHORIZED}
    (late,) = authorized_ - {good.gateway_payment_id}
    hints = [one for one in told_of if one.type.startswith("refund.")]

    assert looked_up(world, order, page) == good
    assert {one.gateway_payment_id for one in hints} == {late}
    for one in hints:
        assert (one.subject, one.outcome) == (Subject.PAYMENT, Outcome.HINT)
    assert late not in {one.gateway_payment_id for one in every if one.outcome is Outcome.PAID}


def test_an_authorization_that_we_knew_of_has_expired_once_it_was_given_back(world: World) -> None:
    order, page, payment = authorized(world)
    known = world.stage.query(
        order.id, gateway_session_id=page.reference, gateway_payment_id=payment
    )
    world.stage.advance(6 * DAY)
    found = world.adapter.find(known)

    assert found is not None
    assert found.outcome is Outcome.EXPIRED
    assert looked_up(world, order, page).outcome is Outcome.REQUIRES_ACTION
    hints = [one for one in notices(world) if one.gateway_payment_id == payment]
    undone = [one.outcome for one in hints if one.type == "refund.processed"]
    assert undone == [Outcome.HINT]


def test_who_leaves_the_banks_page_has_failed_after_ten_minutes(world: World) -> None:
    order, page = opened(world)
    world.try_(page, card=GOOD_CARD, outcome="drop")
    before = looked_up(world, order, page, is_over=True)
    world.stage.advance(601)

    assert before.outcome is Outcome.REQUIRES_ACTION
    assert looked_up(world, order, page).failure_code == "payment_timed_out"
    assert looked_up(world, order, page, is_over=True).outcome is Outcome.EXPIRED


def test_a_bank_that_says_yes_days_later_still_pays_the_order(world: World) -> None:
    order, page = opened(world)
    failed = world.try_(page, card="4100280000060003")["payment"]["id"]
    world.stage.advance(3 * DAY)
    world.stage.control(f"/payments/{failed}/authorize")

    found = looked_up(world, order, page, is_over=True)
    assert (found.outcome, found.gateway_payment_id) == (Outcome.PAID, failed)


# Paying


@pytest.mark.parametrize(
    ("means", "method"),
    [
        ({"card": GOOD_CARD}, Method.CARD),
        ({"vpa": "success@razorpay"}, Method.UPI),
        ({"bank": "HDFC"}, Method.NETBANKING),
        ({"wallet": "phonepe"}, Method.WALLET),
    ],
)
def test_every_way_to_pay_is_told(world: World, means: dict[str, str], method: Method) -> None:
    order, page = opened(world)
    world.try_(page, **means)

    assert looked_up(world, order, page).method is method
    assert {one.method for one in told(world, order, page)} == {method}


def test_a_paid_order_takes_no_other_payment(world: World) -> None:
    _, page, _ = paid(world)
    refused = world.stage.control(f"/orders/{page.reference}/pay")

    assert refused["error"]["reason"] == "order_already_paid"


def test_an_order_is_told_with_our_reference(world: World) -> None:
    order, page, _ = paid(world)
    by_type = {one.type: one for one in told(world, order, page)}

    assert set(by_type) == {"payment.authorized", "payment.captured", "order.paid"}
    assert by_type["order.paid"].payment_attempt_id == order.id
    assert by_type["payment.captured"].payment_attempt_id is None


@pytest.mark.parametrize("operation", ["orders.list", "orders.payments"])
def test_every_question_of_a_look_up_needs_its_answer(world: World, operation: str) -> None:
    order, _, _ = paid(world)
    world.stage.fault(operation, "malformed")

    with pytest.raises(GatewayUnavailableError):
        world.adapter.find(world.stage.query(order.id))


def test_no_order_is_made_while_it_is_unknown_whether_there_is_one(world: World) -> None:
    order = world.stage.order(world.currency)
    world.stage.fault("orders.list", "error_500")
    with pytest.raises(GatewayUnavailableError):
        world.adapter.open(order)

    assert world.adapter.find(world.stage.query(order.id)) is None


# The way back


def fields_in(page: str) -> dict[str, str]:
    found = re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)">', page)
    return {unescape(name): unescape(value) for name, value in found}


def walk(world: World, how: str, **means: str) -> tuple[Any, Any, str]:
    """Go through the pages as a person would, and answer the last one."""
    order, page = opened(world)
    http = world.stage.server.http
    checkout = http.request("POST", page.url, data=page.form, timeout=10)
    hidden = fields_in(checkout.text)
    bank = http.request("POST", checkout.url, data={**hidden, **means}, timeout=10)
    outcome = http.request("POST", bank.url, data={"outcome": how}, timeout=10)
    assert outcome.ok
    return order, page, outcome.text


def test_a_payer_walks_through_the_pages_and_comes_back_signed(world: World) -> None:
    order, page, shown = walk(world, "success", method="card", card=GOOD_CARD)
    back = Return(fields_in(shown), order.id, page.reference)
    found = world.adapter.read_return(back)

    assert f'action="{order.success_url}"' in shown
    assert found.gateway_payment_id == looked_up(world, order, page).gateway_payment_id
    with pytest.raises(SignatureInvalidError):
        world.adapter.read_return(world.tampered(back))


def test_a_payer_comes_back_unsigned_after_a_failure(world: World) -> None:
    order, page, shown = walk(world, "failure", method="card", card="4100280000080001")
    back = Return(fields_in(shown), order.id, page.reference)

    assert back.fields["error[reason]"] == "insufficient_fund"
    assert world.adapter.read_return(back).outcome is Outcome.UNKNOWN
    assert looked_up(world, order, page).failure_code == "insufficient_fund"
    with pytest.raises(SignatureInvalidError):
        world.adapter.read_return(replace(back, gateway_session_id="order_00000000000000"))


# Disputes


def test_an_inquiry_takes_no_money_and_opens_no_dispute(world: World) -> None:
    _, _, payment = paid(world)
    path = f"/payments/{payment.gateway_payment_id}/dispute"
    asked = world.stage.control(path, {"phase": "retrieval"})
    world.stage.control(f"/disputes/{asked['id']}/decide", {"outcome": "closed"})

    told_of = [one for one in notices(world) if one.gateway_dispute_id == asked["id"]]
    assert [one.outcome for one in told_of] == [Outcome.UNKNOWN, Outcome.UNKNOWN]


@pytest.mark.parametrize(
    ("deducts", "end", "said"),
    [
        (False, "lost", [Outcome.LOST, Outcome.UNKNOWN]),
        (True, "lost", [Outcome.LOST, Outcome.OPENED]),
        (True, "won", [Outcome.OPENED, Outcome.WON]),
    ],
)
def test_an_inquiry_that_takes_money_is_a_dispute(
    world: World, deducts: bool, end: str, said: list[Outcome]
) -> None:
    _, _, payment = paid(world)
    path = f"/payments/{payment.gateway_payment_id}/dispute"
    asked = world.stage.control(path, {"phase": "fraud", "deduct_at_onset": deducts})
    world.stage.control(f"/disputes/{asked['id']}/decide", {"outcome": end})

    told_of = [one for one in notices(world) if one.gateway_dispute_id == asked["id"]]
    assert sorted(one.outcome for one in told_of) == said


def test_disputes_are_listed_as_they_stand_since_a_time(world: World) -> None:
    _, _, first = paid(world)
    world.dispute(first)
    world.stage.advance(DAY)
    since = world.stage.now()
    world.stage.advance(HOUR)
    _, _, second = paid(world)
    world.dispute(second)
    both = [first.gateway_payment_id, second.gateway_payment_id]

    def listed(since: datetime) -> list[Finding]:
        """Other tests' disputes aside, which may be of any day."""
        return [one for one in world.adapter.find_disputes(since) if one.gateway_payment_id in both]

    (opened_later,) = listed(since)
    world.decide(opened_later, Outcome.LOST)

    assert opened_later.gateway_payment_id == second.gateway_payment_id
    assert opened_later.outcome is Outcome.OPENED
    assert [one.outcome for one in listed(since)] == [Outcome.LOST]
    every = listed(since.replace(year=2020))
    assert {one.gateway_payment_id for one in every} == {*both}


# Settlements


def test_a_settlement_is_the_sum_of_its_lines(world: World) -> None:
    _, _, first = paid(world)
    _, _, second = paid(world, refunds=Refunds.WAIT_THEN_FAIL)
    world.adapter.refund(world.stage.refund_order(first, 40_000))
    world.adapter.refund(world.stage.refund_order(second, 10_000))
    world.dispute(first)
    (dispute,) = [one for one in notices(world) if one.outcome is Outcome.OPENED]
    world.decide(dispute, Outcome.LOST)
    world.stage.control("/adjust", {"amount": -777, "description": "A correction"})
    world.stage.advance(HOUR)
    world.settle()
    lines = list(world.adapter.settlements(world.stage.now().date()))
    sums: dict[str, int] = defaultdict(int)
    for line in lines:
        sums[line.settlement_id] += line.net.amount
        assert line.net.amount == line.gross.amount - line.fee.amount - line.tax.amount

    transfers = [one.raw["payload"]["settlement"]["entity"] for one in settled(world)]
    assert transfers
    for transfer in transfers:
        assert sums[transfer["id"]] == transfer["amount"]
    of_first = {
        one.kind: one for one in lines if one.gateway_payment_id == first.gateway_payment_id
    }
    assert of_first[Settled.REFUND].gross.amount == -40_000
    assert of_first[Settled.DISPUTE].gross.amount == 40_000 - AMOUNT
    assert of_first[Settled.DISPUTE].gateway_dispute_id == dispute.gateway_dispute_id
    of_second = [one for one in lines if one.gateway_payment_id == second.gateway_payment_id]
    assert [one.net.amount for one in of_second if one.kind is not Settled.PAYMENT] == [
        *(-10_000, 10_000),
    ]


def settled(world: World) -> list[Any]:
    return [one for one in notices(world) if one.type == "settlement.processed"]


def test_a_fee_is_two_per_cent_and_the_tax_eighteen_of_it(world: World) -> None:
    order, _, payment = paid(world)
    world.settle()
    report = world.adapter.settlements(world.stage.now().date())
    (line,) = [one for one in report if one.gateway_payment_id == payment.gateway_payment_id]

    assert (line.fee.amount, line.tax.amount) == (5000, 900)
    assert line.net.amount == AMOUNT - 5900
    assert line.payment_attempt_id == order.id
    assert line.utr


def test_money_is_settled_by_itself_after_two_days(world: World) -> None:
    world.settle()  # what other tests left, which may be less than nothing
    _, _, payment = paid(world)
    world.stage.advance(2 * DAY + 1)
    transfers = {one.raw["payload"]["settlement"]["entity"]["id"]: one for one in settled(world)}

    report = world.adapter.settlements(world.stage.now().astimezone(INDIA).date())
    (line,) = [one for one in report if one.gateway_payment_id == payment.gateway_payment_id]
    assert transfers[line.settlement_id].occurred_at == line.settled_at


# Secrets


def test_a_message_is_signed_with_the_secret_of_its_own_day(world: World) -> None:
    world.stage.fault("webhook:*", "hold", times=None)
    paid(world)
    secret = world.stage.control("/webhooks/roll")["secret"]
    paid(world)
    world.stage.control("/webhooks/roll", {"secret": SECRET})
    world.stage.release()
    came = world.stage.deliveries()

    assert (readable(world, came, SECRET), readable(world, came, secret)) == (3, 3)
    assert readable(world, came, secret, SECRET) == len(came) == 6


def readable(world: World, came: list[Any], *secrets: str) -> int:
    adapter = Adapter(Settings(KEY_ID, KEY_SECRET, secrets, world.stage.api))
    return sum(is_genuine(adapter, delivery, at) for delivery, at in came)


def is_genuine(adapter: Adapter, delivery: Delivery, at: datetime) -> bool:
    try:
        return bool(adapter.read(delivery, at))
    except SignatureInvalidError:
        return False
