"""What a gateway says of a refund, in whatever order, and what is booked."""

from itertools import permutations

import pytest
from books import broken_invariants
from money_back import balances, listed, told

BEFORE = {
    "gateway USD": 2500,
    "prepaid_credits USD": -2500,
    "credits_issued XCR": 2_500_000,
    "credit_wallet XCR": -2_500_000,
}


def test_a_refund_that_succeeded_takes_the_money_and_the_credits(db, desk, tenant, paid) -> None:
    refund = desk.refund(paid["payment_intent_id"], amount=1000)
    event = desk.say(refund, "succeeded")

    after = desk.row("refunds", refund["id"])
    assert event["status"] == "applied"
    assert (after["status"], after["gateway_refund_id"]) == ("succeeded", f"re_{refund['id']}")
    assert str(after["succeeded_at"]) == "2026-11-21 12:00:00+00:00"
    assert balances(db, tenant) == {
        "gateway USD": 1500,
        "prepaid_credits USD": -1500,
        "credits_issued XCR": 1_500_000,
        "credit_wallet XCR": -1_500_000,
    }
    assert told(db, refund["id"]) == ["refund.created", "refund.succeeded"]
    assert broken_invariants(db) == {}


@pytest.mark.parametrize("outcome", ["failed", "canceled"])
def test_a_refund_that_failed_leaves_everything_as_it_was(db, desk, tenant, paid, outcome) -> None:
    refund = desk.refund(paid["payment_intent_id"])
    desk.say(refund, outcome, failure_code="lost_or_stolen_card")

    after = desk.row("refunds", refund["id"])
    assert (after["status"], after["failure_code"]) == (outcome, "lost_or_stolen_card")
    assert balances(db, tenant) == BEFORE
    assert told(db, refund["id"]) == ["refund.created", "refund.failed"]
    assert desk.refund(paid["payment_intent_id"], key="refund-2")["amount"] == 2500
    assert broken_invariants(db) == {}


def test_a_refund_may_fail_after_it_succeeded(db, desk, tenant, paid) -> None:
    refund = desk.refund(paid["payment_intent_id"])
    desk.say(refund, "succeeded")
    desk.say(refund, "failed", failure_code="expired_or_canceled_card")

    assert desk.row("refunds", refund["id"])["status"] == "failed"
    assert balances(db, tenant) == BEFORE
    assert told(db, refund["id"]) == ["refund.created", "refund.succeeded", "refund.failed"]
    assert listed(db) == {"refund-failed"}
    assert desk.db.execute("select balance from credit_wallets").fetchone()["balance"] == 250
    assert broken_invariants(db) == {}


def test_a_later_refund_that_succeeds_mends_the_list(db, desk, paid) -> None:
    refund = desk.refund(paid["payment_intent_id"])
    desk.say(refund, "succeeded")
    desk.say(refund, "failed")
    desk.say(desk.refund(paid["payment_intent_id"], key="refund-2"), "succeeded")

    assert listed(db) == set()


def test_a_refund_that_was_on_its_way_before_is_none_instead_of_the_one_that_failed(
    db, desk, paid
) -> None:
    intent = paid["payment_intent_id"]
    failing = desk.refund(intent, amount=500)
    desk.say(failing, "succeeded")
    other = desk.refund(intent, amount=1000, key="refund-2")
    db.execute("update clock set skew_seconds = skew_seconds + 60")
    desk.say(failing, "failed")
    desk.say(other, "succeeded")
    assert listed(db) == {"refund-failed"}

    desk.say(desk.refund(intent, amount=500, key="refund-3"), "succeeded")
    assert listed(db) == set()


# Messages by their event ids: the last one is delivered twice.
SUCCESS = [
    ("created", "pending"),
    ("updated", "pending"),
    ("end", "succeeded"),
    ("end", "succeeded"),
]
FAILURE = [
    ("created", "pending"),
    ("updated", "pending"),
    ("middle", "succeeded"),
    ("end", "failed"),
    ("end", "failed"),
]


@pytest.mark.parametrize("order", sorted(set(permutations(SUCCESS))))
def test_in_any_order_of_messages_a_refund_succeeds_once(db, desk, tenant, paid, order) -> None:
    refund = desk.refund(paid["payment_intent_id"])
    for event_id, outcome in order:
        desk.say(refund, outcome, event_id=event_id)

    assert desk.row("refunds", refund["id"])["status"] == "succeeded"
    assert balances(db, tenant) == {}
    assert told(db, refund["id"]).count("refund.succeeded") == 1
    assert broken_invariants(db) == {}


@pytest.mark.parametrize("order", sorted(set(permutations(FAILURE))))
def test_in_any_order_of_messages_a_refund_that_failed_in_the_end_has_failed(
    db, desk, tenant, paid, order
) -> None:
    refund = desk.refund(paid["payment_intent_id"])
    for event_id, outcome in order:
        desk.say(refund, outcome, event_id=event_id)

    assert desk.row("refunds", refund["id"])["status"] == "failed"
    assert balances(db, tenant) == BEFORE
    assert told(db, refund["id"])[-1] == "refund.failed"
    assert broken_invariants(db) == {}


def test_two_refunds_whose_messages_are_mixed_end_as_each_was_told(db, desk, tenant, paid) -> None:
    first = desk.refund(paid["payment_intent_id"], amount=1000)
    second = desk.refund(paid["payment_intent_id"], amount=1000, key="refund-2")
    for refund, outcome in [
        (second, "succeeded"),
        (first, "pending"),
        (second, "failed"),
        (first, "succeeded"),
        (second, "succeeded"),
    ]:
        desk.say(refund, outcome)

    assert desk.row("refunds", first["id"])["status"] == "succeeded"
    assert desk.row("refunds", second["id"])["status"] == "failed"
    assert balances(db, tenant)["gateway USD"] == 1500
    assert broken_invariants(db) == {}


def test_a_message_without_our_reference_is_matched_by_the_gateways_id(db, desk, paid) -> None:
    refund = desk.refund(paid["payment_intent_id"])
    desk.say(refund, "pending")
    event = desk.say(refund, "succeeded", refund_id=None)

    assert event["status"] == "applied"
    assert db.execute("select count(*) as n from refunds").fetchone()["n"] == 1


@pytest.mark.parametrize("change", [{"amount": 2499}, {"currency": "EUR"}, {"amount": None}])
@pytest.mark.parametrize("outcome", ["pending", "succeeded"])
def test_another_amount_than_ours_is_for_a_person(db, desk, paid, outcome, change) -> None:
    refund = desk.refund(paid["payment_intent_id"])
    event = desk.say(refund, outcome, **change)

    assert event["status"] == "parked"
    assert desk.row("refunds", refund["id"])["status"] == "created"
    assert listed(db) == {"amount-mismatch"}


def test_a_second_refund_under_our_reference_is_for_a_person(db, desk, paid) -> None:
    refund = desk.refund(paid["payment_intent_id"], amount=1000)
    desk.say(refund, "succeeded", gateway_refund_id="re_1")
    event = desk.say(refund, "succeeded", gateway_refund_id="re_2")

    assert event["status"] == "parked"
    assert listed(db) == {"duplicate-refund"}


def test_a_reference_that_is_not_ours_is_for_a_person(db, desk, paid) -> None:
    refund = desk.refund(paid["payment_intent_id"])
    other = "6f1e9a3e-5a55-4a5a-9a55-0000000000ff"
    events = [
        desk.say(refund, "succeeded", refund_id=other),
        desk.say(refund, "succeeded", gateway="razorpay"),
        desk.say(refund, "succeeded", gateway_account="acct_2"),
    ]

    assert {event["status"] for event in events} == {"parked"}
    assert listed(db) == {"unmatched-refund"}
    assert desk.row("refunds", refund["id"])["status"] == "created"


def test_a_message_of_the_other_mode_touches_no_refund(desk, paid) -> None:
    refund = desk.refund(paid["payment_intent_id"])
    event = desk.acting(livemode="true").say(refund, "succeeded", livemode=True)

    assert event["status"] == "parked"
    assert desk.row("refunds", refund["id"])["status"] == "created"


def test_a_word_without_meaning_changes_nothing(desk, paid) -> None:
    refund = desk.refund(paid["payment_intent_id"])
    event = desk.say(refund, "unknown")

    assert event["status"] == "ignored"
    assert desk.row("refunds", refund["id"])["status"] == "created"


def test_silence_leaves_a_refund_unknown_and_reserved(db, desk, tenant, paid) -> None:
    refund = desk.refund(paid["payment_intent_id"])
    for _ in range(2):
        desk.call("mark_refund_unknown", refund_id=refund["id"], failure_message="no answer")

    assert desk.row("refunds", refund["id"])["status"] == "unknown"
    assert balances(db, tenant)["refunds_pending USD"] == -2500
    desk.say(refund, "succeeded")
    (after,) = desk.call("mark_refund_unknown", refund_id=refund["id"], failure_message="late")
    assert (after["status"], after["failure_message"]) == ("succeeded", None)


def wait(db, hours: float) -> None:
    db.execute("update clock set skew_seconds = skew_seconds + %s", [round(hours * 3600)])


def not_found(desk, refund):
    return desk.tell(subject="refund", outcome="not_found", refund_id=str(refund["id"]))


def test_nothing_found_is_believed_after_a_day(db, desk, tenant, paid) -> None:
    refund = desk.refund(paid["payment_intent_id"])
    desk.call("mark_refund_unknown", refund_id=refund["id"], failure_message="no answer")
    wait(db, 24.9)
    early = not_found(desk, refund)
    assert (early["status"], early["reason"]) == ("ignored", "the gateway does not know it yet")

    wait(db, 0.2)
    assert not_found(desk, refund)["status"] == "applied"
    after = desk.row("refunds", refund["id"])
    assert (after["status"], after["failure_code"]) == ("failed", "not-found")
    assert balances(db, tenant) == BEFORE
    assert broken_invariants(db) == {}


def test_a_refund_that_the_gateway_has_named_is_not_given_up_because_a_look_up_is_empty(
    db, desk, paid
) -> None:
    refund = desk.refund(paid["payment_intent_id"])
    desk.say(refund, "pending")
    wait(db, 48)
    not_found(desk, refund)

    assert desk.row("refunds", refund["id"])["status"] == "pending"


@pytest.mark.parametrize("words", [["succeeded"], ["pending", "succeeded"]])
def test_a_refund_that_was_given_up_and_made_after_all_is_booked_as_a_loss(
    db, desk, tenant, paid, words
) -> None:
    refund = desk.refund(paid["payment_intent_id"])
    wait(db, 26)
    not_found(desk, refund)
    for word in words:
        desk.say(refund, word)

    after = desk.row("refunds", refund["id"])
    assert (after["status"], after["is_late"], after["loss_amount"]) == ("succeeded", True, 2500)
    assert balances(db, tenant) == {
        "prepaid_credits USD": -2500,
        "credit_losses USD": 2500,
        "credits_issued XCR": 2_500_000,
        "credit_wallet XCR": -2_500_000,
    }
    assert broken_invariants(db) == {}


def test_even_that_may_fail_in_the_end(db, desk, tenant, paid) -> None:
    refund = desk.refund(paid["payment_intent_id"])
    wait(db, 26)
    not_found(desk, refund)
    desk.say(refund, "succeeded")
    desk.say(refund, "failed")
    again = desk.say(refund, "succeeded")

    assert again["reason"] == "the refund is failed already"
    assert balances(db, tenant) == BEFORE
    assert broken_invariants(db) == {}


def test_what_was_given_up_and_refunded_anew_waits_for_a_person_when_it_comes_too(
    db, desk, paid
) -> None:
    refund = desk.refund(paid["payment_intent_id"])
    wait(db, 26)
    not_found(desk, refund)
    desk.say(desk.refund(paid["payment_intent_id"], key="refund-2"), "succeeded")
    event = desk.say(refund, "succeeded")

    assert event["status"] == "received"  # refused by the attempt's CHECK, and tried again
    assert "no_more_is_refunded_than_captured" in event["reason"]
    assert broken_invariants(db) == {}


def test_a_refund_made_at_the_gateway_itself_is_taken_over(db, desk, tenant, paid) -> None:
    said = {
        "subject": "refund",
        "gateway_refund_id": "re_dashboard",
        "gateway_payment_id": f"pi_{paid['payment_attempt_id']}",
        "amount": 1000,
        "currency": "USD",
    }
    desk.tell(**said, outcome="pending")
    desk.tell(**said, outcome="succeeded")

    (refund,) = db.execute("select * from refunds").fetchall()
    assert (refund["requested_by"], refund["status"]) == ("gateway", "succeeded")
    assert balances(db, tenant)["gateway USD"] == 1500
    assert broken_invariants(db) == {}


def test_two_gateways_may_call_a_refund_by_the_same_number(db, desk, tenant, paid) -> None:
    other = desk.open(key="key-2", gateway="razorpay")
    desk.receive(other["payment_attempt_id"], gateway="razorpay", gateway_session_id=None)
    for gateway, row in (("stripe", paid), ("razorpay", other)):
        event = desk.tell(
            subject="refund",
            outcome="succeeded",
            gateway=gateway,
            gateway_refund_id="1553338",
            gateway_payment_id=f"pi_{row['payment_attempt_id']}",
            amount=1000,
            currency="USD",
        )
        assert event["status"] == "applied"

    assert {row["gateway"] for row in db.execute("select gateway from refunds")} == {
        "stripe",
        "razorpay",
    }
    assert balances(db, tenant)["gateway USD"] == 3000
    assert broken_invariants(db) == {}


def test_a_refund_that_overtakes_its_payment_waits_for_it(db, desk, tenant) -> None:
    row = desk.open()
    event = desk.tell(
        subject="refund",
        outcome="succeeded",
        payment_attempt_id=str(row["payment_attempt_id"]),
        gateway_refund_id="re_dashboard",
        amount=1000,
        currency="USD",
    )
    assert event["status"] == "received"

    desk.receive(row["payment_attempt_id"])
    wait(db, 1)
    (applied,) = desk.call("apply_due_gateway_event")
    assert applied["status"] == "applied"
    assert balances(db, tenant)["gateway USD"] == 1500


def surplus(desk) -> dict:
    """A payment whose page expired, that was paid anew, and then the first came in after all."""
    row = desk.paid()
    late = desk.db.execute(
        "insert into payment_attempts (organization_id, livemode, payment_intent_id, gateway,"
        " amount, currency, status) select organization_id, livemode, payment_intent_id, gateway,"
        " amount, currency, 'expired' from payment_attempts returning id"
    ).fetchone()
    desk.receive(late["id"], gateway_session_id=None)
    (refund,) = desk.db.execute(
        "select * from refunds where payment_attempt_id = %s", [late["id"]]
    ).fetchall()
    assert row["payment_intent_id"] == refund["payment_intent_id"]
    return refund


def test_surplus_is_on_its_way_back_in_the_transaction_that_booked_it(db, desk, tenant) -> None:
    """I13."""
    refund = surplus(desk)

    assert (refund["reason"], refund["requested_by"], refund["amount"]) == (
        "surplus",
        "system",
        2500,
    )
    assert balances(db, tenant) == BEFORE | {"gateway USD": 5000, "refunds_pending USD": -2500}
    assert listed(db) == {"surplus-payment"}
    assert broken_invariants(db) == {}


def test_surplus_that_went_back_is_off_the_list_and_takes_no_credits(db, desk, tenant) -> None:
    desk.say(surplus(desk), "succeeded")

    assert balances(db, tenant) == BEFORE
    assert listed(db) == set()
    assert broken_invariants(db) == {}


def test_surplus_that_could_not_go_back_stays_owed_and_listed(db, desk, tenant) -> None:
    refund = surplus(desk)
    desk.say(refund, "succeeded")
    desk.say(refund, "failed")

    assert balances(db, tenant) == BEFORE | {"gateway USD": 5000, "surplus USD": -2500}
    assert listed(db) == {"surplus-payment", "refund-failed"}
    assert broken_invariants(db) == {}

    again = desk.refund(
        refund["payment_intent_id"], payment_attempt_id=refund["payment_attempt_id"]
    )
    desk.say(again, "succeeded")
    assert listed(db) == set()
    assert broken_invariants(db) == {}


def test_surplus_given_up_and_made_after_all_is_no_loss(db, desk, tenant) -> None:
    refund = surplus(desk)
    wait(db, 26)
    not_found(desk, refund)
    desk.say(refund, "succeeded")

    assert balances(db, tenant) == BEFORE
    assert broken_invariants(db) == {}


def test_checks_come_by_the_schedule_and_end_with_a_person(db, desk, paid) -> None:
    refund = desk.refund(paid["payment_intent_id"])
    seen = []
    for _ in range(13):
        due = db.execute("select next_check_at from refunds").fetchone()["next_check_at"]
        seen.append(due)
        db.execute(
            "update clock set skew_seconds ="
            " 1 + extract(epoch from %s::timestamptz - pg_catalog.now())::bigint",
            [due],
        )
        (claimed,) = desk.call("claim_refund_checks", limit=5)
        assert claimed["id"] == refund["id"]
        if claimed["next_check_at"] is None:
            break

    assert len(seen) == 12
    assert listed(db) == {"refund-unresolved"}
    assert desk.call("claim_refund_checks", limit=5) == []
    assert broken_invariants(db) == {}
    desk.say(refund, "succeeded")
    assert listed(db) == set()


def test_what_its_gateway_has_late_is_asked_about_as_often_as_what_is_new(db, desk, paid) -> None:
    refund = desk.refund(paid["payment_intent_id"])
    for hours in (0.01, 0.04, 0.2, 1.1, 6.1):
        wait(db, hours)
        desk.call("claim_refund_checks", limit=5)

    desk.say(refund, "pending")  # until now its gateway knew nothing of it
    for hours in (0.01, 0.04, 0.2, 1.1, 6.1):
        wait(db, hours)
        assert len(desk.call("claim_refund_checks", limit=5)) == 1


def test_a_question_about_a_refund_without_answer_comes_again_in_half_an_hour(
    db, desk, paid
) -> None:
    refund = desk.refund(paid["payment_intent_id"])
    for hours in (0.01, 0.04, 0.2, 1.1):
        wait(db, hours)
        (claimed,) = desk.call("claim_refund_checks", limit=5)
    assert claimed["checks"] == 4

    (again,) = desk.call("ask_refund_again", refund_id=refund["id"])
    assert again["checks"] == 3
    wait(db, 0.4)
    assert desk.call("claim_refund_checks", limit=5) == []
    wait(db, 0.2)
    assert len(desk.call("claim_refund_checks", limit=5)) == 1


def test_a_claim_is_not_given_twice_and_not_for_the_other_mode(db, desk, paid) -> None:
    desk.refund(paid["payment_intent_id"])
    wait(db, 0.01)

    assert desk.acting(livemode="true").call("claim_refund_checks", limit=5) == []
    assert len(desk.call("claim_refund_checks", limit=5)) == 1
    assert desk.call("claim_refund_checks", limit=5) == []


def test_every_step_of_a_refund_that_is_not_listed_is_refused(db, desk, paid) -> None:
    steps = db.execute("select before, after from refund_steps").fetchall()
    legal = {(step["before"], step["after"]) for step in steps}
    states = {state for step in legal for state in step}
    refund = desk.refund(paid["payment_intent_id"])
    refused = 0
    for before in states:
        for after in states - {before}:
            if (before, after) in legal:
                continue
            db.execute("set local session_replication_role = replica")
            db.execute(
                "update refunds set status = %s, succeeded_at = clock_now(), next_check_at = null",
                [before],
            )
            db.execute("set local session_replication_role = origin")
            with pytest.raises(Exception, match="may not go from") as failure, db.transaction():
                db.execute("update refunds set status = %s where id = %s", [after, refund["id"]])
            assert failure.value.sqlstate == "P0004"
            refused += 1
    assert refused == 6 * 5 - len(legal)
