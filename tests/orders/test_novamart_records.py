"""NovaMart's records of a payment and of a refund, in every state, as its document words them."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from books import ROOT, Connection
from in_process import plain
from webhooks.outbox import claim, publish_to

from app.webhooks import messages

from .conftest import Office
from .test_cancellations import cancel
from .test_order_events import CANCELLED, PLACED, TERMS, hear

PAYMENT = """
paymentId orderId customerId amount currency status transactionId createdAt updatedAt
"""
REFUND = """
refundId paymentId orderId customerId amount reason status transactionId createdAt updatedAt
"""
METADATA = ROOT / "hasura" / "metadata" / "databases" / "default" / "tables"


def snake(name: str) -> str:
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name)


def record(db: Connection, noun: str, names: str) -> dict[str, Any]:
    """Read the only record in the words of its document, as JSON has it: numbers digit by digit."""
    pairs = ", ".join(f"'{name}', {snake(name)}" for name in names.split())
    (row,) = db.execute(f"select json_build_object({pairs})::text as it from novamart.{noun}s")
    return dict(json.loads(row["it"], parse_float=str))


def payment(db: Connection) -> dict[str, Any]:
    return record(db, "payment", PAYMENT)


def refund(db: Connection) -> dict[str, Any]:
    return record(db, "refund", REFUND)


def told(office: Office, kind: str) -> dict[str, Any]:
    """What NovaMart heard last of a payment or a refund."""
    rows = [row for row in claim(office) if row["object_type"] == kind]
    row = max(rows, key=lambda row: row["sequence"])
    printed = {name: plain(value) for name, value in row.items()}
    detail: dict[str, Any] = json.loads(messages.read(printed).detail, parse_float=str)
    return detail


def test_the_record_of_a_payment_that_nobody_has_tried_is_there(db, office: Office) -> None:
    hear(office, PLACED, **TERMS)
    found = payment(db)
    (intent,) = db.execute("select id, created_at from payment_intents").fetchall()

    assert found == {
        "paymentId": str(intent["id"]),
        "orderId": "ord-1",
        "customerId": "SHP-1",
        "amount": "42.00",
        "currency": "INR",
        "status": "PENDING",
        "transactionId": None,
        "createdAt": found["createdAt"],
        "updatedAt": found["updatedAt"],
    }
    assert found["createdAt"].startswith(str(intent["created_at"].date()))


@pytest.mark.parametrize(
    ("outcome", "word"),
    [
        ("requires_action", "PENDING"),
        ("processing", "PENDING"),
        ("authorized", "PENDING"),
        ("paid", "SUCCEEDED"),
        ("failed", "FAILED"),
        ("expired", "FAILED"),
        ("canceled", "FAILED"),
    ],
)
def test_each_state_of_a_payment_has_its_word(db, office: Office, outcome: str, word: str) -> None:
    row = office.ask()
    office.hear(row, outcome, gateway_payment_id="pay_17")
    found = payment(db)

    assert (found["status"], found["transactionId"]) == (word, "pay_17")
    assert (found["amount"], found["paymentId"]) == ("2450.00", str(row["payment_intent_id"]))


def test_a_payment_that_is_called_off_has_failed(db, office: Office) -> None:
    row = office.ask()
    cancel(office, row)
    assert payment(db)["status"] == "FAILED"

    office.hear(row, "paid")  # that is surplus, and goes back
    assert payment(db)["status"] == "FAILED"


def test_every_status_has_a_word_and_no_other(db: Connection) -> None:
    for noun, kept in (("payment_intent", "payment"), ("refund", "refund")):
        steps = db.execute(f"select before, after from {noun}_steps").fetchall()
        words = db.execute(
            f"select status, word from {kept}_status_words where profile = 'novamart'"
        ).fetchall()
        statuses = {status for step in steps for status in step.values()}
        assert {row["status"] for row in words} - {"refunded"} == statuses
        assert {row["word"] for row in words} == {"PENDING", "SUCCEEDED", "FAILED"}


def paid_in_part(office: Office) -> None:
    row = office.ask(capture_method="manual")
    office.hear(row, "authorized")
    office.call("begin_capture", payment_intent_id=row["payment_intent_id"], amount=100050)
    office.hear(row, "paid", captured_amount=100050)


def test_what_was_taken_is_the_amount_of_a_payment(db, office: Office) -> None:
    paid_in_part(office)

    assert payment(db)["amount"] == "1000.50"


def pays(outcome: str) -> Callable[[Office], None]:
    return lambda office: office.hear(office.ask(), outcome) and None


@pytest.mark.parametrize(
    "happens", [pays("paid"), pays("failed"), pays("expired"), pays("canceled"), paid_in_part]
)
def test_the_record_says_what_its_event_says(db, tenant, office: Office, happens) -> None:
    publish_to(db, tenant, profile="novamart")
    happens(office)
    heard, found = told(office, "payment_intent"), payment(db)

    assert {name: heard[name] for name in found if not name.endswith("At")} == {
        name: found[name] for name in found if not name.endswith("At")
    }
    assert heard["event"]["object_id"] == found["paymentId"]


def refunded(office: Office, outcome: str | None) -> dict[str, Any]:
    row = office.ask()
    office.hear(row, "paid", gateway_payment_id=f"pi_{row['payment_attempt_id']}")
    asked = office.refund(row["payment_intent_id"], amount=45000)
    if outcome == "unknown":
        office.call("mark_refund_unknown", refund_id=asked["id"], failure_message="no answer")
    elif outcome:
        office.say(asked, outcome, gateway=asked["gateway"])
    return asked


@pytest.mark.parametrize(
    ("outcome", "word", "is_named"),
    [
        (None, "PENDING", False),
        ("unknown", "PENDING", False),
        ("pending", "PENDING", True),
        ("succeeded", "SUCCEEDED", True),
        ("failed", "FAILED", True),
        ("canceled", "FAILED", True),
    ],
)
def test_each_state_of_a_refund_has_its_word(
    db, office: Office, outcome: str | None, word: str, is_named: bool
) -> None:
    asked = refunded(office, outcome)
    found = refund(db)

    assert found == {
        "refundId": str(asked["id"]),
        "paymentId": str(asked["payment_intent_id"]),
        "orderId": "BK-17",
        "customerId": "SHP-1",
        "amount": "450.00",
        "reason": "requested_by_customer",
        "status": word,
        "transactionId": f"re_{asked['id']}" if is_named else None,
        "createdAt": found["createdAt"],
        "updatedAt": found["updatedAt"],
    }
    assert payment(db)["status"] == "SUCCEEDED"


@pytest.mark.parametrize("outcome", ["succeeded", "failed", "canceled"])
def test_the_record_of_a_refund_says_what_its_event_says(db, tenant, office, outcome) -> None:
    publish_to(db, tenant, profile="novamart")
    refunded(office, outcome)
    heard, found = told(office, "refund"), refund(db)

    assert {name: heard[name] for name in found if not name.endswith("At")} == {
        name: found[name] for name in found if not name.endswith("At")
    }


def test_an_order_that_is_called_off_has_a_record_of_its_refund(db, office: Office) -> None:
    hear(office, PLACED, **TERMS)
    row = office.ask(reference="ord-1", amount=4200)
    office.hear(row, "paid")
    hear(office, CANCELLED)

    found = refund(db)
    assert (found["reason"], found["amount"], found["status"]) == (
        "order_canceled",
        "42.00",
        "PENDING",
    )


def test_what_was_bought_without_an_order_is_no_record_of_theirs(db, money) -> None:
    money.receive(money.open()["payment_attempt_id"], gateway_session_id=None)

    assert db.execute("select from novamart.payments").fetchall() == []


@pytest.mark.parametrize(
    "view", ["novamart.payments", "tcs.transactions", "order_checkouts", "payment_page_states"]
)
def test_which_attempt_counts_is_said_once_and_planned_in_place(db: Connection, view: str) -> None:
    """Hasura's role sees the index of attempts in the plan, and no function that is called."""
    db.execute("set local enable_seqscan = off; set local role munim_hasura")
    plan = db.execute(f"explain select * from {view} limit 50").fetchall()
    db.execute("reset role")

    text = "\n".join(row["QUERY PLAN"] for row in plan)
    assert "payment_attempts_by_intent" in text
    assert "Function Scan" not in text
