"""A payment is called refunded by what has gone back, not by what is on its way."""

import pytest
from money_back import Desk
from refunds.test_policies import write_policy


def word(desk: Desk, profile: str = "ubertruck") -> str:
    query = "select payment_status_in(payment_intents, %s) as word from payment_intents"
    return str(desk.db.execute(query, [profile]).fetchone()["word"])


def test_a_payment_is_called_refunded_when_all_of_it_went_back(desk: Desk) -> None:
    row = desk.open()
    assert word(desk) == "initiated"
    desk.receive(row["payment_attempt_id"], gateway_session_id=None)
    assert (word(desk), word(desk, "novamart")) == ("success", "SUCCEEDED")

    intent = row["payment_intent_id"]
    part, rest = (desk.refund(intent, amount=amount, key=str(amount)) for amount in (2499, 1))
    desk.say(part, "succeeded")
    assert word(desk) == "success"  # the rest may fail
    desk.say(rest, "succeeded")
    assert (word(desk), word(desk, "merchants")) == ("refunded", "succeeded")


@pytest.mark.parametrize("outcome", ["pending", "failed", "canceled"])
def test_what_has_not_gone_back_is_not_called_refunded(desk: Desk, paid, outcome: str) -> None:
    desk.say(desk.refund(paid["payment_intent_id"]), outcome)
    assert word(desk) == "success"


def test_a_payment_whose_money_came_back_again_is_not_called_refunded(desk: Desk, paid) -> None:
    refund = desk.refund(paid["payment_intent_id"])
    desk.say(refund, "succeeded")
    assert word(desk) == "refunded"
    desk.say(refund, "failed")
    assert word(desk) == "success"


def test_a_payment_is_called_refunded_though_a_fee_is_kept(db, desk, tenant, paid) -> None:
    write_policy(db, tenant, fee_amount=300)
    refund = desk.refund(paid["payment_intent_id"])
    assert (refund["amount"], word(desk)) == (2200, "success")

    desk.say(refund, "succeeded")
    assert word(desk) == "refunded"
