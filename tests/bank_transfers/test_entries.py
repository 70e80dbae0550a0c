"""What is entered: once, whatever people type; and what is refused, each by its name."""

from datetime import timedelta
from typing import Any

import psycopg
import pytest
from books import Connection

from .conftest import Counter

Row = dict[str, Any]


@pytest.mark.parametrize(
    "typed",
    ["AXISCN1153863727", "axiscn1153863727", " AXISCN 1153863727 ", "AXIS-CN/1153863727"],
)
@pytest.mark.parametrize("rail", ["neft", "rtgs", "imps", "upi"])
def test_one_utr_is_entered_once_however_it_is_typed(
    counter: Counter, account: Row, typed: str, rail: str
) -> None:
    counter.enter(account)

    refused = counter.refused(
        "enter", account, "chandan", reference=typed, rail=rail, amount=1, key="other"
    )
    assert refused == "transfer-known"


@pytest.mark.parametrize("after", ["entered", "approved", "returned"])
def test_a_utr_stays_known_whatever_became_of_it(
    counter: Counter, account: Row, after: str
) -> None:
    transfer = counter.enter(account)
    if after != "entered":
        counter.approve(transfer)
    if after == "returned":
        returned = counter.enter(account, kind="return", returned_id=transfer["id"])
        counter.approve(returned)

    assert counter.row("bank_transfers", transfer["id"])["status"] == after
    assert counter.refused("enter", account, key="other") == "transfer-known"


def test_zeros_that_a_spreadsheet_took_away_make_no_other_reference(
    counter: Counter, account: Row
) -> None:
    counter.enter(account, rail="imps", reference="012345678901")

    assert (
        counter.refused("enter", account, rail="imps", reference="12345678901", key="other")
        == "transfer-known"
    )


def test_cheques_of_two_people_may_have_one_number(counter: Counter, account: Row) -> None:
    counter.enter(account, rail="cheque", reference="000123", amount=100, key="1")
    counter.enter(account, rail="cheque", reference="000123", amount=101, key="2")

    assert (
        counter.refused("enter", account, rail="cheque", reference="123", amount=101, key="3")
        == "transfer-known"
    )


def test_a_receipt_for_cash_is_no_utr(counter: Counter, account: Row) -> None:
    counter.enter(account, rail="cash", reference="17", key="1")
    counter.enter(account, rail="upi", reference="17", key="2")

    assert counter.refused("enter", account, rail="cash", reference="17", key="3") == (
        "transfer-known"
    )


def test_two_organisations_may_have_one_reference(
    counter: Counter, other_counter: Counter, account: Row
) -> None:
    counter.enter(account)

    assert other_counter.enter(other_counter.account())["status"] == "entered"


def test_the_same_key_is_the_same_transfer(counter: Counter, account: Row) -> None:
    first = counter.enter(account, key="k")

    assert counter.enter(account, key="k")["id"] == first["id"]
    assert counter.refused("enter", account, key="k", amount=1) == "idempotency-key-reused"
    assert counter.value("select count(*) from bank_transfers") == 1


def test_a_key_is_answered_the_same_after_all_is_decided(counter: Counter, account: Row) -> None:
    order = counter.order()
    transfer = counter.arrive(account, order, key="k")
    again = counter.enter(account, key="k", order_display_id=order["display_id"])

    assert (again["id"], again["status"]) == (transfer["id"], "approved")


@pytest.mark.parametrize("days", [1, 400, -367])
def test_a_day_that_cannot_be_is_refused(counter: Counter, account: Row, days: int) -> None:
    day = counter.today() + timedelta(days=days)

    assert counter.refused("enter", account, value_date=day) == "invalid-input"


def test_today_is_the_organisations(db: Connection, counter: Counter, account: Row) -> None:
    db.execute(
        "update clock set skew_seconds ="
        " extract(epoch from '2026-11-21T20:00:00Z'::timestamptz - pg_catalog.now())::bigint"
    )
    assert counter.refused("enter", account, value_date="2026-11-22") == "invalid-input"

    db.execute("update organizations set timezone = 'Asia/Kolkata'")
    assert counter.enter(account, value_date="2026-11-22")["status"] == "entered"


@pytest.mark.parametrize("display_id", ["TXN-0000000000", "BK-17", "txn", "' or 1=1"])
def test_an_order_that_nobody_knows_is_refused(
    counter: Counter, account: Row, display_id: str
) -> None:
    counter.order()

    assert counter.refused("enter", account, order_display_id=display_id) == "not-found"


@pytest.mark.parametrize("typed", ["{0}", " {1} ", "{2}", "{3}"])
def test_an_order_is_found_as_payers_and_banks_write_it(
    counter: Counter, account: Row, typed: str
) -> None:
    order = counter.order()
    name = order["display_id"]
    ways = (name, name.lower(), name.replace("-", ""), name.replace("-", " "))
    transfer = counter.enter(account, order_display_id=typed.format(*ways))

    assert transfer["payment_intent_id"] == order["payment_intent_id"]


def test_an_order_in_another_currency_is_refused(
    db: Connection, counter: Counter, account: Row
) -> None:
    order = counter.order()
    db.execute("update payment_intents set currency = 'USD'")

    assert counter.refused("enter", account, order_display_id=order["display_id"]) == "not-found"


def test_an_account_that_nobody_has_approved_takes_nothing(counter: Counter) -> None:
    (entered,) = counter.by("meera").call(
        "add_bank_account",
        holder_name="Campus",
        bank_name="HDFC Bank",
        account_number="999999",
        ifsc="HDFC0000123",
    )

    assert counter.refused("enter", entered) == "setting-invalid"


@pytest.mark.parametrize(
    "wrong",
    [
        {"amount": 0},
        {"amount": -1},
        {"amount": 10**15 + 1},
        {"rail": "swift"},
        {"kind": "gift"},
        {"reference": ""},
        {"reference": "000"},
        {"reference": "- - -"},
        {"reference": "A" * 41},
        {"reference": "१२३४"},
        {"reference": "UTR\n1"},
        {"payer_name": ""},
        {"key": ""},
        {"key": "k" * 256},
    ],
)
def test_what_is_no_transfer_is_no_row(counter: Counter, account: Row, wrong: Row) -> None:
    with pytest.raises(psycopg.IntegrityError), counter.db.transaction():
        counter.enter(account, **wrong)


def test_a_receipt_is_not_matched_to_what_it_is_not(counter: Counter, account: Row) -> None:
    order = counter.order()
    receipt = counter.approve(counter.enter(account))
    returned = counter.enter(account, kind="return", returned_id=receipt["id"])

    assert counter.refused("match", returned, order) == "transfer-decided"
    counter.approve(returned)
    assert counter.refused("match", receipt, order) == "transfer-decided"
