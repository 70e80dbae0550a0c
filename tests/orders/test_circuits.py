"""A gateway that does not answer is left alone, at what it does not answer and nothing else."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import psycopg
import pytest
from books import Connection, Money

from .conftest import Office
from .test_order_events import PLACED, READY, TERMS, hear, paid, save_card

HALF_A_MINUTE = timedelta(seconds=31)
HALF_A_DAY = timedelta(hours=12)


def later(db: Connection, by: timedelta) -> None:
    db.execute("update clock set skew_seconds = skew_seconds + %s", [by.total_seconds()])


def shut(db: Connection, gateway: str, operation: str) -> None:
    db.execute(
        "insert into gateway_circuits (gateway, livemode, operation, failures, opened_at)"
        " values (%s, false, %s, 5, clock_now())",
        [gateway, operation],
    )


def failing(db: Connection) -> dict[tuple[str, str], int]:
    rows = db.execute("select gateway, operation, failures from gateway_circuits").fetchall()
    return {(row["gateway"], row["operation"]): row["failures"] for row in rows}


def note(office: Office, word: str, gateway: str, *operations: str) -> None:
    office.call(f"note_gateway_{word}", gateway=gateway, operations=list(operations))


def charge(office: Office, reference: str = "ord-1") -> list[dict[str, Any]]:
    hear(office, PLACED, reference=reference, **TERMS)
    return hear(office, READY, reference=reference)


def unknown(office: Office, attempt_id: object, **how: bool) -> None:
    office.call(
        "mark_payment_unknown",
        payment_attempt_id=attempt_id,
        failure_message="too many requests",
        **how,
    )


def asked_about(office: Office, limit: int = 10, **named: object) -> list[str]:
    rows = office.call("claim_payment_checks", limit=limit, **named)
    return [row["gateway"] for row in rows]


def waiting(db: Connection) -> list[tuple[int, bool]]:
    rows = db.execute(
        "select checks, next_check_at <= clock_now() as is_due from payment_attempts"
        " order by created_at, id"
    ).fetchall()
    return [(row["checks"], row["is_due"]) for row in rows]


# What counts


@pytest.mark.parametrize("is_saved", [False, True], ids=["page", "charge"])
def test_an_answer_that_means_nothing_does_not_count(db, office: Office, is_saved: bool) -> None:
    save_card(db, office)
    row = charge(office)[0] if is_saved else office.ask()
    attempt_id = row["id"] if is_saved else row["payment_attempt_id"]
    unknown(office, attempt_id, is_silent=False)
    assert failing(db) == {}

    unknown(office, attempt_id, is_silent=True)
    assert failing(db) == {(row["gateway"], "charge" if is_saved else "open"): 1}


def test_a_definite_no_to_a_page_is_an_answer(db, office: Office) -> None:
    shut(db, "razorpay", "open")
    later(db, HALF_A_MINUTE)
    probe = office.ask()
    office.call(
        "fail_checkout",
        payment_attempt_id=probe["payment_attempt_id"],
        failure_code="gateway-refused",
        failure_message="no such currency here",
    )

    assert failing(db) == {}


def test_a_page_that_was_opened_without_a_question_is_no_answer(db, office: Office) -> None:
    shut(db, "payu", "open")
    later(db, HALF_A_MINUTE)
    probe = office.ask(gateway="payu")["payment_attempt_id"]
    said = {"payment_attempt_id": probe, "gateway_session_id": "txn_1", "url": "https://x.example"}
    office.call("record_checkout_session", **said, is_answer=False)
    assert ("payu", "open") in failing(db)

    # It works again by its look-ups, as it has failed by them.
    note(office, "answer", "payu", "look-up", "open")
    assert failing(db) == {}


def test_look_ups_of_a_gateway_whose_pages_ask_nobody_shut_its_pages(db, office: Office) -> None:
    for _ in range(5):
        note(office, "silence", "payu", "look-up", "open")

    with pytest.raises(psycopg.Error) as failure:
        office.ask(gateway="payu")
    assert str(failure.value.diag.message_primary).startswith("gateway-unavailable")


def test_silences_in_one_mode_are_none_in_the_other(db, office: Office) -> None:
    for _ in range(5):
        note(office.acting(livemode="true"), "silence", "razorpay", "open")

    assert office.ask()["gateway"] == "razorpay"


# Look-ups


def test_no_question_is_counted_while_a_gateway_is_left_alone(db, office: Office) -> None:
    for number in range(3):
        office.ask(reference=f"BK-{number}")
    office.ask(reference="other", gateway="payu")
    shut(db, "razorpay", "look-up")
    later(db, timedelta(seconds=29))
    db.execute("update payment_attempts set next_check_at = clock_now()")
    assert asked_about(office) == ["payu"]

    later(db, timedelta(seconds=2))
    assert asked_about(office) == ["razorpay"]  # one finds out whether it answers
    assert asked_about(office) == []
    assert sorted(waiting(db)) == [(0, True), (0, True), (1, False), (1, False)]
    note(office, "answer", "razorpay", "look-up")
    assert asked_about(office) == ["razorpay", "razorpay"]


def test_a_probe_is_one_of_those_that_were_asked_for(db, office: Office) -> None:
    office.ask(reference="BK-1")
    office.ask(reference="BK-2", gateway="payu")
    shut(db, "razorpay", "look-up")
    later(db, HALF_A_DAY)

    assert asked_about(office, limit=1) == ["razorpay"]
    assert asked_about(office, limit=1) == ["payu"]


def test_of_a_gateway_that_is_paused_nothing_is_claimed(db, office: Office) -> None:
    """Nor one that finds out whether it answers: it does, and was asked too often."""
    for number, gateway in enumerate(["razorpay", "razorpay", "payu", "cashfree"]):
        office.ask(reference=f"BK-{number}", gateway=gateway)
    shut(db, "razorpay", "look-up")
    later(db, HALF_A_DAY)

    paused = ["razorpay", "payu"]
    assert asked_about(office, limit=1, paused=paused) == ["cashfree"]
    assert asked_about(office, paused=paused) == []
    assert sorted(waiting(db)) == [(0, True)] * 3 + [(1, False)]
    assert sorted(asked_about(office, paused=[])) == ["payu", "razorpay"]


def test_a_payer_who_comes_back_waits_for_no_silent_gateway(db, office: Office) -> None:
    row = office.ask()
    asked = {"payment_intent_id": row["payment_intent_id"]}
    shut(db, row["gateway"], "look-up")
    assert office.call("claim_return_checks", **asked) == []

    later(db, HALF_A_MINUTE)
    assert len(office.call("claim_return_checks", **asked)) == 1
    # Whoever has proved who they are is asked for at once.
    assert len(office.call("open_payment_attempts", **asked)) == 1


def test_an_attempt_says_that_its_gateway_is_failing(db, office: Office) -> None:
    office.ask()
    office.ask(reference="BK-18", gateway="payu")
    note(office, "silence", "payu", "look-up")
    rows = db.execute(
        "select gateway, is_gateway_failing(payment_attempts) as it from payment_attempts"
    ).fetchall()

    assert {row["gateway"]: row["it"] for row in rows} == {"razorpay": False, "payu": True}


# Charges of saved methods


def test_a_charge_for_a_silent_gateway_is_written_down_and_waits(db, office: Office) -> None:
    save_card(db, office)
    shut(db, "stripe", "charge")
    assert charge(office) == []
    later(db, timedelta(minutes=2))
    probed = office.call("claim_order_charges", limit=5)

    assert [row["reference"] for row in probed] == ["ord-1"]
    unknown(office, probed[0]["id"])  # silent still
    later(db, timedelta(seconds=20))
    assert office.call("claim_order_charges", limit=5) == []


def test_of_many_charges_one_finds_out(db, office: Office) -> None:
    save_card(db, office)
    shut(db, "stripe", "charge")
    for number in range(3):
        assert charge(office, f"ord-{number}") == []
    later(db, timedelta(minutes=2))

    assert len(office.call("claim_order_charges", limit=5)) == 1
    assert office.call("claim_order_charges", limit=5) == []


@pytest.mark.parametrize("is_silent", [False, True])
def test_no_charge_of_a_paused_gateway_is_claimed(db, office: Office, is_silent: bool) -> None:
    save_card(db, office)
    charge(office)
    if is_silent:
        shut(db, "stripe", "charge")
    later(db, timedelta(minutes=2))

    assert office.call("claim_order_charges", limit=5, paused=["payu", "stripe"]) == []
    assert len(office.call("claim_order_charges", limit=5, paused=["payu"])) == 1


@pytest.mark.parametrize("outcome", ["paid", "failed"])
def test_any_answer_to_a_charge_ends_its_gateways_silence(db, office, outcome: str) -> None:
    save_card(db, office)
    (row,) = charge(office)
    for operation in ("charge", "refund", "open"):
        shut(db, "stripe", operation)
    said = {"type": "answer", "payment_attempt_id": str(row["id"]), "amount": row["amount"]}
    office.tell(
        subject="payment", outcome=outcome, gateway_payment_id="pi_1", currency="INR", **said
    )

    assert set(failing(db)) == {("stripe", "refund"), ("stripe", "open")}


def test_a_webhook_is_no_answer(db, office: Office) -> None:
    save_card(db, office)
    (row,) = charge(office)
    shut(db, "stripe", "charge")
    assert paid(office, row)["status"] == "applied"

    assert set(failing(db)) == {("stripe", "charge")}


def test_answers_that_are_kept_together_end_a_silence_as_well(db, money: Money) -> None:
    rows = [money.open(key=f"key-{number}") for number in range(2)]
    db.execute(
        "with saved as (insert into payment_methods (organization_id, livemode, customer_id,"
        " gateway, gateway_customer_id, gateway_payment_method_id, type)"
        " select organization_id, livemode, id, 'stripe', 'cus_1', 'pm_1', 'card' from customers"
        " returning id) update payment_attempts set payment_method_id = saved.id from saved"
    )
    shut(db, "stripe", "charge")
    told = [
        money.message(row["payment_attempt_id"], event_id=f"answer:{number}", type="answer")
        for number, row in enumerate(rows)
    ]

    assert len(money.receive_together(*told)) == 2
    assert failing(db) == {}


# Refunds


def opened_refund(desk: Office, key: str = "key-1") -> dict[str, Any]:
    row = desk.paid(key)
    return desk.refund(row["payment_intent_id"], key=key)


def is_put_off(db: Connection, refund_id: UUID) -> bool:
    query = "select is_put_off(refunds) as it from refunds where id = %s"
    row = db.execute(query, [refund_id]).fetchone()
    assert row is not None
    return bool(row["it"])


@pytest.fixture
def desk(db: Connection, money: Money, office: Office) -> Office:
    """A shop of credits, whose payments Stripe took."""
    return Office(db, money.session, office.organization_id)


def test_a_refund_for_a_silent_gateway_is_reserved_and_waits(db, desk: Office) -> None:
    first, second = opened_refund(desk), opened_refund(desk, "key-2")
    for _ in range(5):
        desk.call("mark_refund_unknown", refund_id=first["id"], failure_message="no answer")
    assert failing(db) == {("stripe", "refund"): 5}
    assert is_put_off(db, second["id"])
    db.execute("update refunds set next_check_at = clock_now()")
    assert desk.call("claim_refund_checks", limit=5) == []

    later(db, HALF_A_MINUTE)
    assert len(desk.call("claim_refund_checks", limit=5)) == 1
    assert desk.call("claim_refund_checks", limit=5) == []
    desk.say(first, "succeeded", type="answer")
    assert failing(db) == {}
    assert not is_put_off(db, second["id"])

    db.execute("update refunds set next_check_at = clock_now() where status = 'created'")
    assert [row["id"] for row in desk.call("claim_refund_checks", limit=5)] == [second["id"]]


def test_a_refund_that_is_on_its_way_is_asked_about_while_none_is_taken(db, desk: Office) -> None:
    refund = opened_refund(desk)
    desk.say(refund, "pending", type="answer")
    db.execute("update refunds set next_check_at = clock_now()")
    shut(db, "stripe", "refund")

    assert len(desk.call("claim_refund_checks", limit=5)) == 1


def test_no_refund_is_asked_about_at_a_gateway_that_answers_no_look_ups(db, desk) -> None:
    opened_refund(desk)
    shut(db, "stripe", "look-up")
    db.execute("update refunds set next_check_at = clock_now()")

    assert desk.call("claim_refund_checks", limit=5) == []
    assert [row["checks"] for row in db.execute("select checks from refunds")] == [0]


@pytest.mark.parametrize("operation", [None, "look-up", "refund"])
def test_no_refund_of_a_paused_gateway_is_claimed(db, desk: Office, operation: str | None) -> None:
    opened_refund(desk)
    if operation:
        shut(db, "stripe", operation)
        later(db, HALF_A_MINUTE)
    db.execute("update refunds set next_check_at = clock_now()")

    assert desk.call("claim_refund_checks", limit=5, paused=["stripe"]) == []
    assert len(desk.call("claim_refund_checks", limit=5, paused=["payu"])) == 1


def test_what_means_nothing_shuts_no_refunds(db, desk: Office) -> None:
    said = {"refund_id": opened_refund(desk)["id"], "failure_message": "too many requests"}
    desk.call("mark_refund_unknown", **said, is_silent=False)

    assert failing(db) == {}


def test_of_two_silent_gateways_one_claimer_asks_about_no_more_than_it_wants(
    db, office: Office
) -> None:
    office.ask()
    office.ask(reference="BK-18", gateway="payu")
    shut(db, "razorpay", "look-up")
    shut(db, "payu", "look-up")
    later(db, timedelta(minutes=2))

    first, second = asked_about(office, limit=1), asked_about(office, limit=1)
    assert sorted([*first, *second]) == ["payu", "razorpay"]
    assert len(first) == len(second) == 1
    assert asked_about(office, limit=1) == []


def test_of_two_gateways_that_take_no_refunds_one_claimer_asks_about_no_more_than_it_wants(
    db, desk: Office
) -> None:
    first, second = opened_refund(desk), opened_refund(desk, "key-2")
    db.execute("update refunds set gateway = 'payu' where id = %s", [second["id"]])
    db.execute("update refunds set next_check_at = clock_now()")
    shut(db, "stripe", "refund")
    shut(db, "payu", "look-up")
    later(db, HALF_A_MINUTE)

    claimed = [desk.call("claim_refund_checks", limit=1) for _ in range(3)]
    assert [len(rows) for rows in claimed] == [1, 1, 0]
    assert {row["id"] for rows in claimed for row in rows} == {first["id"], second["id"]}


# Captures


def held(db: Connection, office: Office, reference: str = "BK-17") -> object:
    """An order that a gateway holds the money of, and that is being captured."""
    row = office.ask(reference=reference)
    db.execute(
        "update payment_attempts set status = 'authorized', amount_to_capture = amount,"
        " gateway_payment_id = %s, next_check_at = clock_now() where id = %s",
        [f"pay_{reference}", row["payment_attempt_id"]],
    )
    return row["payment_attempt_id"]


def test_captures_that_are_not_answered_wait_and_look_ups_do_not(db, office: Office) -> None:
    first, second = held(db, office), held(db, office, "BK-18")
    looked_up = office.ask(reference="BK-19")["payment_attempt_id"]
    later(db, timedelta(minutes=2))
    for _ in range(5):
        note(office, "silence", "razorpay", "capture")

    rows = office.call("claim_payment_checks", limit=10)
    assert [row["id"] for row in rows] == [looked_up]
    later(db, HALF_A_MINUTE)
    (probed,) = office.call("claim_payment_checks", limit=10)
    assert probed["id"] in {first, second}
    assert office.call("claim_payment_checks", limit=10) == []

    note(office, "answer", "razorpay", "capture")
    (other,) = office.call("claim_payment_checks", limit=10)
    assert {probed["id"], other["id"]} == {first, second}


def test_no_capture_is_tried_at_a_gateway_that_answers_no_look_ups(db, office: Office) -> None:
    held(db, office)
    shut(db, "razorpay", "look-up")

    assert office.call("claim_payment_checks", limit=10) == []


def test_an_attempt_says_that_its_gateway_takes_no_captures(db, office: Office) -> None:
    held(db, office)
    note(office, "silence", "razorpay", "capture")

    query = "select is_gateway_failing(payment_attempts) as it from payment_attempts"
    assert db.execute(query).fetchall() == [{"it": True}]


# Disputes


def test_a_gateway_that_tells_of_no_disputes_is_asked_once_in_a_while(db, desk: Office) -> None:
    desk.paid()
    (poll,) = desk.call("begin_dispute_polls")
    later(db, timedelta(hours=1))
    shut(db, "stripe", "dispute")
    assert desk.call("begin_dispute_polls") == []

    later(db, HALF_A_MINUTE)
    (again,) = desk.call("begin_dispute_polls")
    assert again["begun_at"] > poll["begun_at"]
