"""Many messages received in one call: as in a call for each, or left to come alone."""

from collections.abc import Callable
from operator import itemgetter
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from books import Connection, Money, Tenant, books_of, broken_invariants, settle

Message = dict[str, Any]
Crowd = list[tuple[Money, Any]]  # whose attempts: of a purchase, or of an order


def order(db: Connection, tenant: Tenant, reference: str) -> Any:
    money = Money(db, tenant.session)
    db.execute(
        "insert into gateway_routes (organization_id, livemode, gateway, currency, rank)"
        " values (%s, false, 'stripe', 'USD', 1)",
        [tenant.organization_id],
    )
    db.execute("update customers set external_id = 'C-1' where id = %s", [tenant.customer_id])
    (row,) = money.call(
        "open_order_checkout",
        reference=reference,
        customer_external_id="C-1",
        amount=2500,
        currency="USD",
        title="Order",
        metadata={},
        gateway="stripe",
        method=None,
        success_url="https://shop.example/paid",
        cancel_url="https://shop.example/cancelled",
    )
    return row["payment_attempt_id"]


@pytest.fixture
def crowd(db: Connection, tenant: Tenant) -> Crowd:
    """Two purchases and an order of one organisation, and a purchase of another."""
    money, other = Money(db, tenant.session), Money(db, settle(db).session)
    attempts = [
        (money, money.open(key="key-1")["payment_attempt_id"]),
        (money, money.open(key="key-2")["payment_attempt_id"]),
        (money, order(db, tenant, "BK-1")),
        (other, other.open()["payment_attempt_id"]),
    ]
    for place, (theirs, attempt) in enumerate(attempts):
        theirs.record(attempt, session_id=f"cs_{place}", takes_several=place == 0)
    return attempts


def paid(crowd: Crowd, **changes: Any) -> list[Message]:
    return [
        money.message(attempt, event_id=f"evt_{attempt}", **changes) for money, attempt in crowd
    ]


def statuses(db: Connection) -> list[str]:
    rows = db.execute("select status from payment_attempts order by status").fetchall()
    return [row["status"] for row in rows]


def is_sound(db: Connection) -> bool:
    db.execute("select check_constraints_now()")
    return broken_invariants(db) == {}


@pytest.mark.parametrize("receipt_url", [None, "https://pay.example/receipt"])
def test_together_or_alone_the_books_are_the_same(
    db: Connection, crowd: Crowd, receipt_url: str | None
) -> None:
    messages = paid(crowd, receipt_url=receipt_url)
    db.execute("savepoint unpaid")
    for message in messages:
        (row,) = crowd[0][0].call("receive_gateway_event", **message)
        assert row["status"] == "applied"
    alone = books_of(db)
    db.execute("rollback to unpaid")
    assert len(crowd[0][0].receive_together(*messages)) == 4

    together = books_of(db)
    assert statuses(db) == ["captured"] * 4
    assert is_sound(db)
    assert {name: rows for name, rows in together.items() if rows != alone[name]} == {}


def test_the_same_messages_again_change_nothing(db: Connection, crowd: Crowd) -> None:
    messages = paid(crowd)
    crowd[0][0].receive_together(*messages)
    before = books_of(db)

    assert crowd[0][0].receive_together(*messages) == []
    assert books_of(db) == before


def test_one_message_twice_in_a_call_is_one(db: Connection, crowd: Crowd) -> None:
    messages = paid(crowd)
    rows = crowd[0][0].receive_together(*messages, *messages)

    assert len(rows) == 4
    assert statuses(db) == ["captured"] * 4
    assert is_sound(db)


def test_what_says_nothing_new_is_kept_with_the_others(db: Connection, crowd: Crowd) -> None:
    first, *others = paid(crowd)
    crowd[0][0].call("receive_gateway_event", **first)
    again = [first | {"event_id": "evt_again"}, *others]
    rows = {row["event_id"]: row for row in crowd[0][0].receive_together(*again)}

    assert rows.pop("evt_again")["reason"] == "the attempt is captured already"
    assert {row["status"] for row in rows.values()} == {"applied"}
    assert is_sound(db)


def another_payment(_: Connection, message: Message) -> list[Message]:
    notice = message["notice"] | {"gateway_payment_id": "pi_other"}
    return [message, message | {"event_id": "evt_other", "notice": notice}]


def another_amount(_: Connection, message: Message) -> list[Message]:
    return [message | {"notice": message["notice"] | {"amount": 1}}]


def a_decline(_: Connection, message: Message) -> list[Message]:
    return [message | {"notice": message["notice"] | {"outcome": "failed"}}]


def no_reference(_: Connection, message: Message) -> list[Message]:
    return [message | {"notice": message["notice"] | {"payment_attempt_id": "order 17"}}]


def nobodys(_: Connection, message: Message) -> list[Message]:
    return [message | {"notice": message["notice"] | {"payment_attempt_id": str(uuid4())}}]


def another_gateways(_: Connection, message: Message) -> list[Message]:
    return [message | {"gateway": "razorpay"}]


def of_the_other_mode(_: Connection, message: Message) -> list[Message]:
    return [message | {"livemode": True}]


def a_refund(_: Connection, message: Message) -> list[Message]:
    return [message | {"notice": message["notice"] | {"subject": "refund"}}]


def of_what_is_called_off(db: Connection, message: Message) -> list[Message]:
    db.execute(
        "update payment_intents set status = 'canceled' from payment_attempts where"
        " payment_intents.id = payment_intent_id and payment_attempts.id = %s",
        [message["notice"]["payment_attempt_id"]],
    )
    return [message]


@pytest.mark.parametrize(
    "change",
    [
        *(another_payment, another_amount, a_decline, no_reference, nobodys),
        *(another_gateways, of_the_other_mode, a_refund, of_what_is_called_off),
    ],
)
def test_what_is_no_plain_success_is_left_to_come_alone(
    db: Connection, crowd: Crowd, change: Callable[[Connection, Message], list[Message]]
) -> None:
    first, *others = paid(crowd)
    rows = crowd[0][0].receive_together(*change(db, first), *others)

    assert {row["event_id"] for row in rows} == {each["event_id"] for each in others}
    assert statuses(db) == ["captured"] * 3 + ["pending"]
    assert db.execute("select count(*) as n from gateway_events").fetchone() == {"n": 3}
    assert is_sound(db)


def test_two_attempts_of_one_payment_are_left_to_come_alone(db: Connection, crowd: Crowd) -> None:
    """One pays what is owed, and the other is a surplus."""
    money, first = crowd[0]
    (intent,) = db.execute(
        "update payment_attempts set status = 'expired' where id = %s returning payment_intent_id",
        [first],
    ).fetchall()
    second = db.execute(
        "select attempt.id from payment_intents,"
        " lateral open_payment_attempt(payment_intents, 'stripe', null) as attempt"
        " where payment_intents.id = %s",
        [intent["payment_intent_id"]],
    ).fetchone()["id"]
    rows = money.receive_together(*paid([*crowd, (money, second)]))

    kept = sorted(map(itemgetter("payment_attempt_id"), rows))
    assert kept == sorted(attempt for _, attempt in crowd[1:])


def test_one_that_cannot_be_written_down_takes_all_with_it(db: Connection, crowd: Crowd) -> None:
    first, *others = paid(crowd)
    with pytest.raises(psycopg.errors.NotNullViolation), db.transaction():
        crowd[0][0].receive_together(first | {"payload": None}, *others)
    assert statuses(db) == ["pending"] * 4


def test_nothing_but_the_service_receives(db: Connection, crowd: Crowd) -> None:
    money = crowd[0][0]
    customer = Money(db, money.session | {"x-hasura-role": "customer"})
    with pytest.raises(psycopg.DatabaseError, match="forbidden"), db.transaction():
        customer.receive_together(*paid(crowd))
    assert statuses(db) == ["pending"] * 4
