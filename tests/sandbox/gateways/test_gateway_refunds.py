"""Refunds and disputes, and what they do to the balance."""

from typing import Any

import pytest
import stripe
from gateway_bench import Bench

HOUR = 3600


def charged(bench: Bench, card: str = "4242424242424242") -> stripe.PaymentIntent:
    customer, method = bench.saved(card=card)
    return bench.charge(customer=customer, payment_method=method)


def refund(bench: Bench, intent: stripe.PaymentIntent, **params: Any) -> stripe.Refund:
    return bench.client.v1.refunds.create(params={"payment_intent": intent.id, **params})


def charge_of(bench: Bench, intent: stripe.PaymentIntent) -> stripe.Charge:
    return bench.client.v1.charges.retrieve(str(intent.latest_charge))


def test_a_refund_is_told_and_booked(bench: Bench) -> None:
    intent = charged(bench)
    made = refund(bench, intent, amount=900, reason="duplicate", metadata={"refund": "r-1"})

    assert (made.status, made.amount, made.reason) == ("succeeded", 900, "duplicate")
    assert bench.balance(made.id) == [("refund", -900, 0)]
    charge = charge_of(bench, intent)
    assert (charge.amount_refunded, charge.refunded) == (900, False)
    created = bench.receiver.wait(made.id, "refund.created")[0].event
    assert created["data"]["object"]["metadata"] == {"refund": "r-1"}
    told = bench.receiver.wait(charge.id, "charge.refunded")[0].event
    assert told["data"]["previous_attributes"] == {"amount_refunded": 0, "refunded": False}


def test_the_dashboard_refunds_without_a_word_of_the_merchants_service(bench: Bench) -> None:
    intent = charged(bench)
    there = f"/stripe/charges/{intent.id}/refund"
    part, rest = (bench.server.control(there, order) for order in ({"amount": 1000}, {}))

    listed = bench.client.v1.refunds.list(params={"payment_intent": intent.id}).data
    assert [(one.id, one.amount) for one in listed] == [(rest["id"], 1500), (part["id"], 1000)]
    assert {str(one.metadata) for one in listed} == {"{}"}
    bench.receiver.wait(rest["id"], "refund.created")
    assert "error" in bench.server.control(there, {})
    assert "error" in bench.server.control("/stripe/charges/pi_none/refund", {})


def test_refunds_add_up_to_the_whole(bench: Bench) -> None:
    intent = charged(bench)
    for amount in (1000, 1000, 500):
        refund(bench, intent, amount=amount)

    assert charge_of(bench, intent).refunded
    listed = bench.client.v1.refunds.list(params={"payment_intent": intent.id})
    assert [one.amount for one in listed.data] == [500, 1000, 1000]
    with pytest.raises(stripe.InvalidRequestError) as caught:
        refund(bench, intent)
    assert caught.value.code == "charge_already_refunded"


@pytest.mark.parametrize(
    ("params", "param"),
    [
        ({"amount": 2501}, "amount"),
        ({"amount": 0}, "amount"),
        ({"reverse_transfer": True}, "reverse_transfer"),
        ({"payment_intent": "pi_none"}, "payment_intent"),
        ({"payment_intent": None, "charge": "ch_none"}, "charge"),
        ({"payment_intent": None}, "payment_intent"),
    ],
)
def test_a_wrong_refund_is_refused_by_name(
    bench: Bench, params: dict[str, Any], param: str
) -> None:
    intent = charged(bench)
    with pytest.raises(stripe.InvalidRequestError) as caught:
        bench.client.v1.refunds.create(params={"payment_intent": intent.id, **params})  # type: ignore[typeddict-item]  # wrong on purpose

    assert caught.value.param == param
    assert charge_of(bench, intent).amount_refunded == 0


def test_a_payment_that_failed_has_nothing_to_refund(bench: Bench) -> None:
    with pytest.raises(stripe.CardError) as declined:
        charged(bench, "4000000000000341")
    intent = declined.value.json_body["error"]["payment_intent"]

    with pytest.raises(stripe.InvalidRequestError, match="does not have a successful charge"):
        bench.client.v1.refunds.create(params={"payment_intent": intent["id"]})
    with pytest.raises(stripe.InvalidRequestError, match="cannot be refunded"):
        bench.client.v1.refunds.create(params={"charge": intent["latest_charge"]})


def test_a_refund_waits_and_then_succeeds(bench: Bench) -> None:
    made = refund(bench, charged(bench, "4000000000007726"))
    bench.server.move_clock(HOUR)

    assert (made.status, made.pending_reason) == ("pending", "processing")
    found = bench.client.v1.refunds.retrieve(made.id)
    assert found.status == "succeeded"
    updated = bench.receiver.wait(made.id, "refund.updated")[0].event
    assert updated["data"]["previous_attributes"] == {"status": "pending"}
    bench.receiver.wait(made.id, "charge.refund.updated")


def test_a_refund_that_fails_brings_the_money_back(bench: Bench) -> None:
    intent = charged(bench, "4000000000005126")
    made = refund(bench, intent, amount=2500)
    bench.server.move_clock(HOUR)

    found = bench.client.v1.refunds.retrieve(made.id).to_dict()
    assert (made.status, found["status"]) == ("succeeded", "failed")
    assert found["failure_reason"] == "expired_or_canceled_card"
    assert bench.balance(made.id) == [("refund", -2500, 0), ("refund_failure", 2500, 0)]
    charge = charge_of(bench, intent)
    assert (charge.amount_refunded, charge.refunded) == (0, False)
    bench.receiver.wait(made.id, "refund.failed")


def test_the_refund_of_a_bank_debit_waits(bench: Bench) -> None:
    customer, method = bench.saved(bank=True)
    intent = bench.charge(customer=customer, payment_method=method)
    bench.server.move_clock(HOUR)
    made = refund(bench, intent)

    assert intent.status == "processing"
    assert made.status == "pending"
    assert made.id.startswith("pyr_")


def test_a_refund_may_be_decided_by_hand(standing_bench: Bench) -> None:
    made = refund(standing_bench, charged(standing_bench, "4000000000007726"))
    path = f"/stripe/refunds/{made.id}/decide"
    answers = [
        standing_bench.server.control(path, {"outcome": outcome, "reason": "declined"})
        for outcome in ("succeeded", "failed", "succeeded")
    ]

    assert [one.get("status") for one in answers] == ["succeeded", "failed", None]
    assert answers[1]["failure_reason"] == "declined"
    assert "error" in standing_bench.server.control("/stripe/refunds/re_none/decide", {})


def dispute(bench: Bench, intent: stripe.PaymentIntent) -> stripe.Dispute:
    made = bench.server.control(f"/stripe/charges/{intent.id}/dispute", {"reason": "duplicate"})
    return bench.client.v1.disputes.retrieve(made["id"])


def test_a_certain_card_is_disputed_by_itself(bench: Bench) -> None:
    intent = charged(bench, "4000000000000259")
    bench.server.move_clock(HOUR)

    found = bench.client.v1.disputes.list(params={"payment_intent": intent.id}).data
    assert [(one.status, one.reason, one.amount) for one in found] == [
        ("needs_response", "fraudulent", 2500)
    ]
    assert charge_of(bench, intent).disputed
    bench.receiver.wait(found[0].id, "charge.dispute.created")
    bench.receiver.wait(found[0].id, "charge.dispute.funds_withdrawn")


@pytest.mark.parametrize(
    ("outcome", "movements"),
    [
        ("won", [("dispute", -2500, 1500), ("dispute_reversal", 2500, 0)]),
        ("lost", [("dispute", -2500, 1500)]),
    ],
)
def test_a_dispute_takes_the_money_and_the_fee_and_the_winner_has_it(
    bench: Bench, outcome: str, movements: list[tuple[str, int, int]]
) -> None:
    found = dispute(bench, charged(bench))
    bench.server.control(f"/stripe/disputes/{found.id}/decide", {"outcome": outcome})

    closed = bench.client.v1.disputes.retrieve(found.id)
    assert (found.reason, closed.status) == ("duplicate", outcome)
    assert bench.balance(found.id) == movements
    assert len(closed.balance_transactions) == len(movements)
    told = bench.told(found.id)
    assert "charge.dispute.closed" in told
    assert told.count("charge.dispute.funds_reinstated") == (outcome == "won")


def test_a_dispute_takes_only_what_is_left(bench: Bench) -> None:
    intent = charged(bench)
    refund(bench, intent, amount=1000)

    assert dispute(bench, intent).amount == 1500


def test_evidence_sends_a_dispute_to_the_bank(bench: Bench) -> None:
    found = dispute(bench, charged(bench))
    evidence = {"evidence": {"uncategorized_text": "It was used."}}
    kept = bench.client.v1.disputes.update(found.id, {**evidence, "submit": False})
    sent = bench.client.v1.disputes.update(found.id, evidence)

    assert (kept.status, sent.status) == ("needs_response", "under_review")
    assert sent.evidence_details.submission_count == 1
    bench.receiver.wait(found.id, "charge.dispute.updated")


def test_a_dispute_that_is_given_up_is_lost_for_good(bench: Bench) -> None:
    found = dispute(bench, charged(bench))

    assert bench.client.v1.disputes.close(found.id).status == "lost"
    with pytest.raises(stripe.InvalidRequestError, match="already closed"):
        bench.client.v1.disputes.close(found.id)
    decided = bench.server.control(f"/stripe/disputes/{found.id}/decide", {"outcome": "won"})
    assert "error" in decided


def test_there_is_one_dispute_a_charge_and_none_of_what_went_back(bench: Bench) -> None:
    intent, other = charged(bench), charged(bench)
    dispute(bench, intent)
    refund(bench, other)

    for one in (intent.id, other.id, "ch_none"):
        assert "error" in bench.server.control(f"/stripe/charges/{one}/dispute", {})
    assert "error" in bench.server.control("/stripe/disputes/dp_none/decide", {})
    with pytest.raises(stripe.InvalidRequestError, match="charged back"):
        refund(bench, intent)


def test_the_balance_is_the_sum_of_all_movements(standing_bench: Bench) -> None:
    bench = standing_bench

    def total() -> int:
        balance = bench.server.raw("GET", "/v1/balance").json()
        sums = balance["available"] + balance["pending"]
        return sum(one["amount"] for one in sums if one["currency"] == "usd")

    before = total()
    intent = charged(bench)
    refund(bench, intent, amount=500)
    found = dispute(bench, intent)
    bench.server.control(f"/stripe/disputes/{found.id}/decide", {"outcome": "won"})

    assert total() - before == 2500 - 103 - 500 - 1500
