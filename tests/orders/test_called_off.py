"""What is off stays off: whichever door asks next, and whoever asks at the same moment."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import psycopg
import pytest
from books import Connection, broken_invariants, settle
from money_back import listed, told
from psycopg.rows import dict_row

from .conftest import Office, stock
from .test_order_events import CANCELLED, PLACED, READY, TERMS, hear, paid, save_card, the

BOOKING = {"reference": "ord-1", "amount": 4200}
PAGE: dict[str, Any] = {
    "reference": "ord-1",
    "customer_external_id": "SHP-1",
    "amount": 4200,
    "currency": "INR",
    "title": "Order ord-1",
    "metadata": {},
    "success_url": "https://shop.example/paid",
    "cancel_url": "https://shop.example/cancelled",
}


def refusal(act: Callable[[], object]) -> str:
    with pytest.raises(psycopg.Error) as failure:
        act()
    return str(failure.value.diag.message_primary).partition(":")[0]


def choose(
    office: Office, page: dict[str, Any], address_hash: str = "a" * 64
) -> list[dict[str, Any]]:
    return office.call(
        "begin_page_attempt",
        token=page["token"],
        method="card",
        gateways=["razorpay"],
        address_hash=address_hash,
        back_url="https://pay.example/back",
    )


def test_an_order_that_was_called_off_first_is_not_opened_later(db, office: Office) -> None:
    hear(office, CANCELLED)

    assert refusal(lambda: office.ask(**BOOKING)) == "checkout-expired"


def test_an_order_that_is_called_off_while_its_page_is_open_is_not_opened_again(db, office) -> None:
    first = office.ask(**BOOKING)
    hear(office, CANCELLED)

    assert office.row("payment_intents", first["payment_intent_id"])["status"] == "canceled"
    assert refusal(lambda: office.ask(**BOOKING)) == "checkout-expired"


def test_the_page_of_an_order_that_was_called_off_first_takes_no_attempt(db, office) -> None:
    hear(office, CANCELLED)
    (page,) = office.call("open_payment_page", **PAGE)

    assert page["status"] == "canceled"
    assert choose(office, page) == []
    assert the(db, "select count(*) from payment_attempts") == 0


def test_who_hears_of_an_order_hears_once_that_it_is_off(db, office: Office) -> None:
    row = office.ask(**BOOKING)
    hear(office, CANCELLED, event_id="off-1")
    hear(office, CANCELLED, event_id="off-1")
    hear(office, CANCELLED, event_id="off-2")
    office.hear(row, "canceled")  # so does its gateway, when it was told

    facts = db.execute("select type, sequence, data from events order by sequence").fetchall()
    assert [(fact["type"], fact["sequence"]) for fact in facts] == [
        ("payment.initiated", 1),
        ("payment.canceled", 2),
    ]
    assert facts[1]["data"]["payment_attempt_id"] == str(row["payment_attempt_id"])
    assert broken_invariants(db) == {}


@pytest.mark.parametrize("placed", ["by its page", "by a message"])
def test_an_order_that_was_off_before_it_was_placed_is_told_to_be(db, office, placed) -> None:
    hear(office, CANCELLED)
    if placed == "by its page":
        office.call("open_payment_page", **PAGE)
        office.call("open_payment_page", **PAGE)
    else:
        hear(office, PLACED, **TERMS)
        hear(office, READY, **TERMS)

    intent_id = the(db, "select id from payment_intents")
    assert told(db, intent_id) == ["payment.initiated", "payment.canceled"]
    (event,) = db.execute("select data from events where type = 'payment.canceled'").fetchall()
    assert (event["data"]["amount"], event["data"]["payment_attempt_id"]) == (4200, None)
    assert broken_invariants(db) == {}


def test_what_is_paid_when_its_order_is_called_off_is_not_told_to_be_canceled(db, office) -> None:
    row = office.ask(**BOOKING)
    office.hear(row, "paid")
    hear(office, CANCELLED)

    assert told(db, row["payment_intent_id"]) == ["payment.initiated", "payment.succeeded"]
    assert the(db, "select count(*) from events where type = 'refund.created'") == 1


def test_another_organisations_cancellation_calls_nothing_off(office, other_office) -> None:
    hear(other_office, CANCELLED)

    assert office.ask(**BOOKING)["status"] == "pending"


def test_a_payment_that_is_off_takes_no_attempt_whoever_opens_one(db, office: Office) -> None:
    row = office.ask(**BOOKING)
    office.hear(row, "failed")
    hear(office, CANCELLED)
    open_one = "select open_payment_attempt(i, 'razorpay', null) from payment_intents as i"

    assert refusal(lambda: db.execute(open_one)) == "checkout-expired"


def test_a_refund_of_an_order_that_is_off_is_listed_when_it_fails(db, office: Office) -> None:
    save_card(db, office)
    (charge,) = hear(office, READY, **TERMS)
    paid(office, charge)
    hear(office, CANCELLED)
    (refund,) = db.execute("select * from refunds").fetchall()
    office.say(refund, "failed", failure_code="no-account")

    assert "refund-failed" in listed(db)
    assert broken_invariants(db) == {}


def test_a_refund_of_an_order_that_is_off_needs_nobody_to_send_it(db, office: Office) -> None:
    save_card(db, office)
    (charge,) = hear(office, READY, **TERMS)
    paid(office, charge)
    hear(office, CANCELLED)

    assert [row["amount"] for row in office.call("claim_refund_checks", limit=5)] == [4200]


def test_a_clients_key_of_the_same_words_does_not_stop_a_cancellation(db, office) -> None:
    save_card(db, office)
    (charge,) = hear(office, READY, **TERMS)
    paid(office, charge)
    order_id = the(db, "select id from orders")
    intent_id = the(db, "select id from payment_intents")
    office.refund(intent_id, amount=1000, key=f"order:{order_id}")
    hear(office, CANCELLED)

    amounts = db.execute("select amount from refunds order by amount").fetchall()
    assert [row["amount"] for row in amounts] == [1000, 3200]


def test_a_currency_that_nobody_knows_is_refused_by_its_code(office: Office) -> None:
    unknown = TERMS | {"currency": "ZZZ"}

    assert refusal(lambda: hear(office, PLACED, **unknown)) == "currency-not-supported"


@pytest.mark.parametrize("terms", [{"currency": "ZZZ"}, {"amount": 0}, {"amount": -1}])
def test_a_cancellation_is_heard_whatever_it_says_of_the_amount(db, office, terms) -> None:
    save_card(db, office)
    (charge,) = hear(office, READY, **TERMS)
    paid(office, charge)
    hear(office, CANCELLED, **(TERMS | terms))

    assert the(db, "select amount from refunds") == 4200


def test_terms_that_cannot_be_charged_do_not_stop_a_cancellation(db, office: Office) -> None:
    hear(office, PLACED, **(TERMS | {"customer_external_id": "SHP-9", "currency": "EUR"}))
    db.execute("update customers set external_id = 'SHP-9'")

    assert hear(office, READY) == []
    assert hear(office, CANCELLED) == []
    assert the(db, "select count(*) from order_events") == 3
    assert "order-not-payable" in listed(db)


def test_another_customer_of_an_order_is_listed_and_the_first_holds(db, office: Office) -> None:
    save_card(db, office)
    hear(office, PLACED, **TERMS)
    (charge,) = hear(office, READY, **(TERMS | {"customer_external_id": "SHP-2"}))

    assert charge["amount"] == 4200
    assert the(db, "select class from exceptions") == "order-mismatch"


def waits(db: Connection) -> bool:
    query = (
        "select count(*) from pg_stat_activity"
        " where datname = current_database() and wait_event_type = 'Lock'"
    )
    return bool(the(db, query))


@pytest.fixture
def url(database: str) -> str:
    return database


def connect(url: str) -> Connection:
    return psycopg.connect(url, row_factory=dict_row)


def platform(url: str) -> Office:
    with connect(url) as db:
        return stock(db, settle(db))


def at(db: Connection, office: Office) -> Office:
    return Office(db, office.session, office.organization_id)


def meanwhile(url: str, first: Callable[[Connection], object], then: Callable[..., object]) -> Any:
    """Let `then` wait for a lock of `first`, which commits only when it does."""
    with connect(url) as mine, connect(url) as theirs, ThreadPoolExecutor(1) as pool:
        first(mine)
        answer = pool.submit(lambda: then(theirs))
        give_up = time.monotonic() + 60
        with psycopg.connect(url, autocommit=True, row_factory=dict_row) as watch:
            while not waits(watch) and not answer.done() and time.monotonic() < give_up:
                time.sleep(0.01)
        mine.commit()
        try:
            return answer.result(60)
        finally:
            theirs.commit() if answer.exception() is None else theirs.rollback()


@pytest.mark.parametrize("has_order", [True, False])
def test_a_page_that_waits_for_a_cancellation_is_not_opened(url: str, has_order: bool) -> None:
    office = platform(url)
    if has_order:
        with connect(url) as db:
            hear(at(db, office), PLACED, **TERMS)

    def ask(db: Connection) -> str:
        return refusal(lambda: at(db, office).ask(**BOOKING))

    with connect(url) as db:
        said = meanwhile(url, lambda mine: hear(at(mine, office), CANCELLED), ask)
        assert said == "checkout-expired"
        assert the(db, "select count(*) from payment_attempts") == 0


def test_a_cancellation_that_waits_for_a_page_calls_it_off(url: str) -> None:
    office = platform(url)
    meanwhile(
        url,
        lambda mine: at(mine, office).ask(**BOOKING),
        lambda theirs: hear(at(theirs, office), CANCELLED),
    )

    with connect(url) as db:
        assert the(db, "select status from payment_intents") == "canceled"


def test_sixteen_who_charge_pay_and_call_off_one_order_end_in_one_state(url: str) -> None:
    office = platform(url)
    with connect(url) as db:
        save_card(db, at(db, office))
    barrier = Barrier(16)

    def work(number: int) -> str:
        with connect(url) as db:
            mine = at(db, office)
            barrier.wait()
            try:
                if number % 4 == 0:
                    hear(mine, CANCELLED, event_id=f"off-{number % 8}")
                elif number % 4 == 1:
                    hear(mine, READY, event_id=f"go-{number % 8}", **TERMS)
                elif number % 4 == 2:
                    mine.ask(**BOOKING)
                else:
                    (page,) = mine.call("open_payment_page", **PAGE)
                    db.commit()  # each request has a transaction of its own, and its own locks
                    choose(mine, page)
            except psycopg.DataError as failure:
                return str(failure.diag.message_primary).partition(":")[0]
            return "done"

    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(work, range(16)))
    with connect(url) as db:
        assert set(answers) <= {"done", "checkout-expired", "payment-in-progress"}
        assert the(db, "select count(*) from orders") == 1
        assert the(db, "select status from payment_intents") == "canceled"
        assert the(db, "select count(*) from payment_attempts") <= 1
        assert the(db, "select count(*) from order_events") == 4
        assert the(db, "select count(*) from events where type = 'payment.initiated'") == 1
        assert the(db, "select count(*) from events where type = 'payment.canceled'") == 1
        assert broken_invariants(db) == {}


def test_what_is_paid_and_called_off_at_once_goes_back_once(url: str) -> None:
    office = platform(url)
    with connect(url) as db:
        row = at(db, office).ask(**BOOKING)
    barrier = Barrier(16)

    def work(number: int) -> str:
        with connect(url) as db:
            mine = at(db, office)
            barrier.wait()
            if number % 2:
                return str(mine.hear(row, "paid", event_id=f"evt-{number % 4}")["status"])
            hear(mine, CANCELLED, event_id=f"off-{number % 4}")
            return "off"

    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(work, range(16)))
    with connect(url) as db:
        assert set(answers) <= {"off", "applied", "ignored"}
        assert the(db, "select sum(amount_captured) from payment_attempts") == 4200
        assert db.execute("select amount, requested_by from refunds").fetchall() == [
            {"amount": 4200, "requested_by": "system"}
        ]
        assert the(db, "select count(*) from order_events") == 2
        assert broken_invariants(db) == {}


def test_of_two_tabs_that_open_a_page_at_once_the_first_ones_is_kept(office: Office) -> None:
    row = office.ask()
    office.record(row["payment_attempt_id"], "order_1")

    assert office.record(row["payment_attempt_id"], "order_1")["status"] == "pending"
    assert refusal(lambda: office.record(row["payment_attempt_id"], "order_2")) == (
        "payment-in-progress"
    )


def test_addresses_that_count_no_more_are_forgotten(db, office: Office) -> None:
    pages = [
        office.call("open_payment_page", **PAGE | {"reference": f"o-{n}"})[0] for n in range(9)
    ]
    for number, page in enumerate(pages[:6]):
        choose(office, page, address_hash=f"{number}" * 64)
    db.execute("update clock set skew_seconds = skew_seconds + 90000")
    for page in pages[6:]:
        choose(office, page, address_hash="f" * 64)

    assert db.execute("select address_hash, tries from page_tries order by 1").fetchall() == [
        {"address_hash": "", "tries": 3},
        {"address_hash": "f" * 64, "tries": 3},
    ]
