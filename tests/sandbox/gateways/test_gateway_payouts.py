"""What Stripe pays out, and of what each payout was made."""

from datetime import UTC, datetime
from typing import Any

import pytest
from gateway_bench import Bench

DAY = 24 * 3600


@pytest.fixture
def paid_out(standing_bench: Bench) -> Bench:
    """A bench with nothing left to pay out, where nothing comes in by itself either."""
    standing_bench.server.move_clock(10 * DAY)  # whatever earlier tests have begun has happened
    standing_bench.server.move_clock(0)
    standing_bench.server.control("/stripe/payouts", {"debit": True})
    return standing_bench


def pay_out(bench: Bench) -> list[dict[str, Any]]:
    made: list[dict[str, Any]] = bench.server.control("/stripe/payouts", {})["payouts"]
    return made


def entries(bench: Bench, payout: str) -> list[Any]:
    params: Any = {"payout": payout, "limit": 100, "expand": ["data.source"]}
    return list(bench.client.v1.balance_transactions.list(params).auto_paging_iter())


def test_a_payout_is_the_sum_of_its_entries(paid_out: Bench) -> None:
    first, second = paid_out.paid(), paid_out.paid()
    paid_out.client.v1.refunds.create(
        {"payment_intent": str(second.payment_intent), "amount": 1000}
    )
    (payout,) = pay_out(paid_out)
    found = entries(paid_out, payout["id"])
    own = [one for one in found if one.type == "payout"]
    others = [one for one in found if one.type != "payout"]

    assert [one.amount for one in own] == [-payout["amount"]]
    assert sum(one.net for one in others) == payout["amount"]
    assert [one.reporting_category for one in others] == ["refund", "charge", "charge"]
    assert {one.source.payment_intent for one in others} == {
        *(first.payment_intent, second.payment_intent)
    }


def test_what_was_paid_out_is_not_paid_out_again(paid_out: Bench) -> None:
    paid_out.paid()

    assert len(pay_out(paid_out)) == 1
    assert pay_out(paid_out) == []


def test_each_currency_has_a_payout_of_its_own(paid_out: Bench) -> None:
    for currency in ("usd", "eur"):
        product = {"name": "Credits"}
        price = {"currency": currency, "unit_amount": 5000, "product_data": product}
        paid_out.paid(line_items=[{"quantity": 1, "price_data": price}])

    assert [one["currency"] for one in pay_out(paid_out)] == ["eur", "usd"]


def test_a_balance_below_nothing_waits(paid_out: Bench) -> None:
    session = paid_out.paid()
    pay_out(paid_out)
    paid_out.client.v1.refunds.create({"payment_intent": str(session.payment_intent)})

    assert pay_out(paid_out) == []
    (debit,) = paid_out.server.control("/stripe/payouts", {"debit": True})["payouts"]
    assert debit["amount"] == -5000


def test_what_was_below_nothing_is_taken_from_the_next_payout(paid_out: Bench) -> None:
    session = paid_out.paid()
    pay_out(paid_out)
    paid_out.client.v1.refunds.create({"payment_intent": str(session.payment_intent)})
    for _ in range(2):
        paid_out.paid()
    (payout,) = pay_out(paid_out)
    assert {one.type for one in entries(paid_out, payout["id"])} == {"payout", "refund", "charge"}


def test_payouts_are_found_by_their_day(paid_out: Bench) -> None:
    paid_out.paid()
    (today,) = pay_out(paid_out)
    paid_out.server.move_clock(2 * DAY)
    paid_out.paid()
    (later,) = pay_out(paid_out)
    payouts = paid_out.client.v1.payouts
    start = today["arrival_date"]

    def of(day: int) -> list[str]:
        params: Any = {"arrival_date": {"gte": day, "lt": day + DAY}, "limit": 100}
        return [one.id for one in payouts.list(params).data]

    assert datetime.fromtimestamp(start, UTC).time().isoformat() == "00:00:00"
    assert today["id"] in of(start)
    assert of(start + 2 * DAY) == [later["id"]]
    assert of(start + DAY) == []
    assert later["id"] in [one.id for one in payouts.list({"arrival_date": start + 2 * DAY}).data]
    failed = [one.id for one in payouts.list({"status": "failed"}).data]
    assert not {today["id"], later["id"]} & set(failed)
    assert payouts.retrieve(today["id"]).amount == today["amount"]


def test_a_payout_is_told(paid_out: Bench) -> None:
    paid_out.paid()
    (payout,) = pay_out(paid_out)

    for event in ("created", "paid", "reconciliation_completed"):
        (told,) = paid_out.receiver.wait(payout["id"], f"payout.{event}")
        assert told.event["data"]["object"]["amount"] == payout["amount"]


def test_a_payout_that_the_bank_sends_back_goes_with_the_next(paid_out: Bench) -> None:
    paid_out.paid()
    (first,) = pay_out(paid_out)
    paid_out.server.control(f"/stripe/payouts/{first['id']}/fail", {})
    (second,) = pay_out(paid_out)
    again = paid_out.server.control(f"/stripe/payouts/{first['id']}/fail", {})

    assert second["amount"] == first["amount"]
    (told,) = paid_out.receiver.wait(first["id"], "payout.failed")
    failed = told.event["data"]["object"]
    assert (failed["status"], failed["failure_code"]) == ("failed", "account_closed")
    assert failed["failure_balance_transaction"] in {
        one.id for one in entries(paid_out, second["id"])
    }
    assert again == {"error": "no such paid payout"}


@pytest.mark.parametrize("outcome", ["pending", "pending_then_failed", "failed", "succeeded"])
def test_what_becomes_of_refunds_can_be_said(bench: Bench, outcome: str) -> None:
    intent = str(bench.paid().payment_intent)
    bench.server.control(f"/stripe/charges/{intent}/refunds", {"outcome": outcome})
    refunds = bench.client.v1.refunds
    refund = refunds.create({"payment_intent": intent, "amount": 1000})
    bench.server.move_clock(60)

    ends = {"pending": "succeeded", "succeeded": "succeeded"}
    assert refund.status == ("pending" if outcome.startswith("pending") else "succeeded")
    assert refunds.retrieve(refund.id).status == ends.get(outcome, "failed")


def test_an_order_for_refunds_that_makes_no_sense_is_refused(bench: Bench) -> None:
    intent = str(bench.paid().payment_intent)

    assert "outcome must be" in str(
        bench.server.control(f"/stripe/charges/{intent}/refunds", {"outcome": "lost"})
    )
    assert bench.server.control("/stripe/charges/pi_none/refunds", {}) == {
        "error": "no such charge"
    }
