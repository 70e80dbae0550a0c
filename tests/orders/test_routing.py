"""Which gateway takes a payment: wish, rank, price, and whether it answers."""

from datetime import timedelta

import psycopg
import pytest
from books import Connection

from .conftest import Office


def refused(failure: pytest.ExceptionInfo[psycopg.Error]) -> str:
    return str(failure.value.diag.message_primary).partition(":")[0]


def chosen(office: Office, reference: str = "BK-1", **changes: object) -> str:
    return str(office.ask(reference=reference, **changes)["gateway"])


def silence(office: Office, gateway: str, times: int) -> None:
    """Orders whose pages a gateway does not open."""
    for number in range(times):
        row = office.ask(reference=f"silent-{gateway}-{number}", gateway=gateway)
        office.call(
            "mark_payment_unknown",
            payment_attempt_id=row["payment_attempt_id"],
            failure_message="no answer",
        )


def advance(db: Connection, by: timedelta) -> None:
    db.execute("update clock set skew_seconds = skew_seconds + %s", [by.total_seconds()])


def test_the_lowest_rank_is_chosen(office: Office) -> None:
    assert chosen(office) == "razorpay"


def test_a_wish_goes_before_rank(office: Office) -> None:
    assert chosen(office, gateway="payu") == "payu"


def test_of_one_rank_the_cheapest_is_chosen(db, office: Office) -> None:
    db.execute("update gateway_routes set rank = 1, methods = null")
    db.execute(
        "insert into gateway_fees values ('cashfree', null, 'INR', 1.9, 0, 18, '2020-01-01')"
    )

    assert chosen(office, method="card") == "cashfree"
    assert chosen(office, "BK-2", method="upi") == "payu"  # a rupee, whatever the amount


def test_a_method_and_an_amount_narrow_the_choice(db, office: Office) -> None:
    db.execute("update gateway_routes set methods = '{card}' where gateway = 'razorpay'")
    db.execute("update gateway_routes set max_amount = 200000 where gateway = 'payu'")

    assert chosen(office, method="upi") == "cashfree"
    assert chosen(office, "BK-2", method="upi", amount=200000) == "payu"
    with pytest.raises(psycopg.Error) as failure:
        chosen(office, "BK-3", method="wallet")
    assert refused(failure) == "setting-invalid"


@pytest.mark.parametrize("gateway", ["stripe", "nobody"])
def test_a_gateway_without_a_route_is_refused(office: Office, gateway: str) -> None:
    with pytest.raises(psycopg.Error) as failure:
        chosen(office, gateway=gateway)
    assert refused(failure) == "setting-invalid"


def test_a_route_that_is_switched_off_is_none(db, office: Office) -> None:
    db.execute("update gateway_routes set is_enabled = false where gateway = 'razorpay'")

    assert chosen(office) == "payu"


def test_a_gateway_that_said_no_to_an_order_is_not_asked_for_it_again(db, office) -> None:
    row = office.ask()
    said = {"failure_code": "gateway-refused", "failure_message": "no such currency here"}
    office.call("fail_checkout", payment_attempt_id=row["payment_attempt_id"], **said)

    advance(db, timedelta(seconds=1))
    assert office.ask()["gateway"] == "payu"
    assert chosen(office, "BK-2") == "razorpay"


def test_a_gateway_that_is_silent_five_times_is_left_alone(office: Office) -> None:
    silence(office, "razorpay", 4)
    assert chosen(office) == "razorpay"

    silence(office, "payu", 1)
    row = office.ask(reference="fifth", gateway="razorpay")
    office.call(
        "mark_payment_unknown", payment_attempt_id=row["payment_attempt_id"], failure_message="no"
    )
    assert chosen(office, "BK-2") == "payu"
    # What was asked before stays where it was: that gateway may have the money.
    assert office.ask(reference="fifth")["gateway"] == "razorpay"


def test_a_wish_for_a_silent_gateway_is_refused_before_anything_is_written(db, office) -> None:
    silence(office, "razorpay", 5)

    with pytest.raises(psycopg.Error) as failure:
        chosen(office, gateway="razorpay")
    assert refused(failure) == "gateway-unavailable"


def test_one_in_half_a_minute_tries_a_silent_gateway(db, office: Office) -> None:
    silence(office, "razorpay", 5)
    advance(db, timedelta(seconds=31))

    assert [chosen(office, f"BK-{n}") for n in range(3)] == ["razorpay", "payu", "payu"]
    advance(db, timedelta(seconds=31))
    assert [chosen(office, f"BK-{n}") for n in range(3, 5)] == ["razorpay", "payu"]


def test_an_answer_closes_the_circuit(db, office: Office) -> None:
    silence(office, "razorpay", 5)
    advance(db, timedelta(seconds=31))
    probe = office.ask(reference="probe")
    office.record(probe["payment_attempt_id"], "order_1")

    assert chosen(office) == "razorpay"
    assert db.execute("select * from gateway_circuits").fetchall() == []


@pytest.mark.parametrize(
    ("gateway", "method", "amount", "expected"),
    [
        ("razorpay", "card", 245000, 5782),  # 2 % and 18 % GST on it, as Razorpay's own sample
        ("razorpay", None, 245000, 5782),
        ("razorpay", "upi", 245000, 118),
        ("payu", "netbanking", 101, 2),
        ("stripe", "card", 2500, None),
    ],
)
def test_a_fee_is_foreseen(db, gateway: str, method: str | None, amount: int, expected) -> None:
    row = db.execute(
        "select expected_gateway_fee(%s, %s, %s, 'INR', clock_now()) as fee",
        [gateway, method, amount],
    ).fetchone()
    assert row["fee"] == expected


def test_a_fee_of_the_future_does_not_hold_yet(db) -> None:
    db.execute(
        "insert into gateway_fees values"
        " ('payu', null, 'INR', 3, 0, 18, clock_now() + interval '1 day')"
    )
    query = "select expected_gateway_fee('payu', 'card', 10000, 'INR', clock_now() + %s) as fee"

    assert db.execute(query, [timedelta()]).fetchone()["fee"] == 236
    assert db.execute(query, [timedelta(days=2)]).fetchone()["fee"] == 354
