"""Authorised and captured, whole or in part; a second capture; a payment in progress."""

from typing import Any
from uuid import UUID

import psycopg
import pytest
from books import Connection, broken_invariants


def open_again(db: Connection, intent_id: UUID) -> dict[str, Any]:
    return db.execute(
        "select attempt.* from payment_intents as intent,"
        " open_payment_attempt(intent, 'stripe', null) as attempt where intent.id = %s",
        [intent_id],
    ).fetchone()


def state(db: Connection) -> tuple[str, str]:
    row = db.execute(
        "select payment_intents.status as intent, payment_attempts.status as attempt"
        " from payment_intents join payment_attempts"
        " on payment_attempts.payment_intent_id = payment_intents.id"
        " order by payment_attempts.created_at desc, payment_attempts.id limit 1"
    ).fetchone()
    return row["intent"], row["attempt"]


def books(db: Connection) -> dict[str, int]:
    rows = db.execute(
        "select split_part(code, ':', 1) as code, currency, balance from ledger_balances"
        " where balance <> 0 and currency <> 'XCR'"
    ).fetchall()
    return {f"{row['code']} {row['currency']}": row["balance"] for row in rows}


def test_an_authorised_payment_books_nothing_until_it_is_captured(db, money) -> None:
    row = money.open()
    money.receive(row["payment_attempt_id"], "authorized")
    assert state(db) == ("authorized", "authorized")
    assert books(db) == {}

    money.receive(row["payment_attempt_id"])
    assert state(db) == ("paid", "captured")
    assert books(db) == {"gateway USD": 2500, "prepaid_credits USD": -2500}
    assert broken_invariants(db) == {}


@pytest.mark.parametrize("end", ["canceled", "expired", "failed"])
def test_an_authorisation_may_end_without_money(db, money, end) -> None:
    row = money.open()
    money.receive(row["payment_attempt_id"], "authorized")
    money.receive(row["payment_attempt_id"], end)

    assert state(db) == (end, end)
    assert books(db) == {}


def test_a_part_of_what_buys_credits_is_not_enough(db, money) -> None:
    row = money.open()
    event = money.receive(row["payment_attempt_id"], captured_amount=2499)

    assert event["status"] == "parked"
    assert "2499 USD" in event["reason"]
    assert books(db) == {"gateway USD": 2499, "suspense USD": -2499}


def test_a_payment_in_progress_takes_no_second_attempt(db, money) -> None:
    row = money.open()
    for outcome in ("created", "authorized"):
        if outcome != "created":
            money.receive(row["payment_attempt_id"], outcome)
        refused = pytest.raises(psycopg.Error, match="payment-in-progress: ")
        with refused as refusal, db.transaction():
            open_again(db, row["payment_intent_id"])
        assert refusal.value.sqlstate == "22B10"


def test_a_failed_payment_takes_another_attempt_and_is_open_again(db, money) -> None:
    row = money.open()
    money.receive(row["payment_attempt_id"], "failed", decline_class="soft", failure_code="x")
    second = open_again(db, row["payment_intent_id"])
    assert second["next_check_at"] is not None
    (intent,) = db.execute("select status from payment_intents").fetchall()
    assert intent["status"] == "pending"

    money.receive(second["id"])
    assert books(db) == {"gateway USD": 2500, "prepaid_credits USD": -2500}
    assert broken_invariants(db) == {}


def test_money_that_comes_twice_is_owed_back(db, money) -> None:
    """The first attempt failed, the second paid, and then the first one lands after all."""
    row = money.open()
    first = row["payment_attempt_id"]
    money.receive(first, "failed")
    second = open_again(db, row["payment_intent_id"])
    money.receive(second["id"])
    late = money.receive(first)

    assert late["status"] == "applied"
    surplus = db.execute("select is_surplus from payment_attempts where id = %s", [first])
    assert surplus.fetchone()["is_surplus"] is True
    wallet = db.execute("select balance from credit_wallets").fetchone()
    assert wallet["balance"] == 250  # once
    told = db.execute("select type from events where type = 'payment.surplus'").fetchall()
    assert len(told) == 1
    exceptions = db.execute("select class, amount from exceptions").fetchall()
    assert exceptions == [{"class": "surplus-payment", "amount": 2500}]
    assert books(db)["gateway USD"] == 5000
    assert broken_invariants(db) == {}


def test_a_decline_keeps_its_class_and_is_told(db, money) -> None:
    row = money.open()
    money.receive(
        row["payment_attempt_id"],
        "failed",
        decline_class="hard",
        failure_code="expired_card",
        failure_message="Your card has expired.",
    )
    kept = db.execute("select decline_class, failure_code from payment_attempts").fetchone()
    told = db.execute("select data from events where type = 'payment.failed'").fetchone()

    assert kept == {"decline_class": "hard", "failure_code": "expired_card"}
    assert told["data"]["decline_class"] == "hard"


def opened_order(db: Connection, tenant: Any, method: str = "manual") -> dict[str, Any]:
    intent = db.execute(
        "insert into payment_intents (organization_id, livemode, customer_id, purpose, amount,"
        " currency, capture_method) values (%s, false, %s, 'order', 2500, 'USD', %s) returning id",
        [tenant.organization_id, tenant.customer_id, method],
    ).fetchone()
    return open_again(db, intent["id"])


def staff(money: Any, tenant: Any) -> Any:
    session = {
        **tenant.session,
        "x-hasura-organization-id": str(tenant.organization_id),
        "x-hasura-actor-role": "finance",
    }
    return type(money)(money.db, session)


def test_a_part_of_an_authorised_order_is_captured_once(db, money, tenant) -> None:
    attempt = opened_order(db, tenant)
    money.receive(attempt["id"], "authorized")
    finance = staff(money, tenant)
    asked = {"payment_intent_id": attempt["payment_intent_id"], "amount": 1000}
    first, second = finance.call("begin_capture", **asked), finance.call("begin_capture", **asked)
    assert first == second
    assert first[0]["amount_to_capture"] == 1000

    assert money.receive(attempt["id"], captured_amount=1000)["status"] == "applied"
    assert books(db) == {"gateway USD": 1000, "merchant_balance USD": -1000}
    (row,) = db.execute("select amount_captured from payment_attempts").fetchall()
    assert row["amount_captured"] == 1000
    assert finance.call("begin_capture", **asked)[0]["status"] == "captured"
    assert broken_invariants(db) == {}


@pytest.mark.parametrize(
    ("amount", "before", "code"),
    [
        (2501, None, "amount-out-of-range"),
        (0, None, "amount-out-of-range"),
        (-1, None, "amount-out-of-range"),
        (999, 1000, "not-capturable"),
        (None, 1000, "not-capturable"),
    ],
)
def test_what_cannot_be_captured(db, money, tenant, amount, before, code) -> None:
    attempt = opened_order(db, tenant)
    money.receive(attempt["id"], "authorized")
    finance = staff(money, tenant)
    asked = {"payment_intent_id": attempt["payment_intent_id"]}
    if before:
        finance.call("begin_capture", **asked, amount=before)

    with pytest.raises(psycopg.Error, match=f"{code}: "), db.transaction():
        finance.call("begin_capture", **asked, amount=amount)


def test_a_capture_that_was_begun_is_asked_about_soon(db, money, tenant) -> None:
    """However long the money waited for its shop: whoever captures may die on the way."""
    attempt = opened_order(db, tenant)
    money.receive(attempt["id"], "authorized")
    db.execute("update payment_attempts set checks = 11, next_check_at = null")
    asked = {"payment_intent_id": attempt["payment_intent_id"], "amount": 1000}
    staff(money, tenant).call("begin_capture", **asked)
    assert money.call("claim_payment_checks", limit=1) == []

    db.execute("update clock set skew_seconds = skew_seconds + 30")
    (due,) = money.call("claim_payment_checks", limit=1)
    assert (due["id"], due["amount_to_capture"], due["checks"]) == (attempt["id"], 1000, 1)


def begun(db: Any, money: Any, tenant: Any, amount: int) -> Any:
    """An order of 25 dollars that is held, and of which so much is to be taken."""
    attempt = opened_order(db, tenant)
    money.receive(attempt["id"], "authorized")
    asked = {"payment_intent_id": attempt["payment_intent_id"], "amount": amount}
    staff(money, tenant).call("begin_capture", **asked)
    return attempt


def test_what_was_to_be_taken_is_booked_where_the_gateway_does_not_say(db, money, tenant) -> None:
    attempt = begun(db, money, tenant, 1000)

    assert money.receive(attempt["id"])["status"] == "applied"
    assert books(db) == {"gateway USD": 1000, "merchant_balance USD": -1000}
    assert broken_invariants(db) == {}


@pytest.mark.parametrize("taken", [999, 2500])
def test_a_gateway_that_takes_another_part_than_it_was_told_is_not_believed(
    db, money, tenant, taken
) -> None:
    attempt = begun(db, money, tenant, 1000)
    event = money.receive(attempt["id"], captured_amount=taken)

    assert event["status"] == "parked"
    assert event["reason"] == f"the gateway took {taken} USD, and 1000 were to be taken"
    assert open_exceptions(db) == [("amount-mismatch", event["reason"])]
    assert books(db) == {"gateway USD": taken, "suspense USD": -taken}
    assert broken_invariants(db) == {}


@pytest.mark.parametrize("told", [999, 2500])
def test_a_captured_amount_that_contradicts_the_books_is_listed(db, money, tenant, told) -> None:
    attempt = begun(db, money, tenant, 1000)
    money.receive(attempt["id"], captured_amount=1000)
    assert money.receive(attempt["id"], captured_amount=1000)["status"] == "ignored"
    assert money.receive(attempt["id"])["status"] == "ignored"
    event = money.receive(attempt["id"], captured_amount=told)

    assert event["status"] == "parked"
    assert event["reason"] == f"the gateway took {told} USD, and 1000 are booked"
    assert open_exceptions(db) == [("amount-mismatch", event["reason"])]
    assert books(db) == {"gateway USD": 1000, "merchant_balance USD": -1000}
    assert broken_invariants(db) == {}


def refuse(money: Any, attempt: dict[str, Any], amount: int) -> list[dict[str, Any]]:
    reason = "it takes the whole only"
    return money.call(
        "refuse_capture", payment_attempt_id=attempt["id"], amount=amount, reason=reason
    )


def test_after_a_refusal_another_amount_may_be_captured(db, money, tenant) -> None:
    attempt = opened_order(db, tenant)
    money.receive(attempt["id"], "authorized")
    finance = staff(money, tenant)
    asked = {"payment_intent_id": attempt["payment_intent_id"]}
    finance.call("begin_capture", **asked, amount=1000)

    (refused,) = refuse(money, attempt, 1000)
    assert (refused["status"], refused["amount_to_capture"]) == ("authorized", None)
    told = (refused["failure_code"], refused["failure_message"])
    assert told == ("capture-refused", "it takes the whole only")
    assert refuse(money, attempt, 1000) == []
    assert open_exceptions(db) == [
        ("payment-unresolved", "the capture of 1000 was refused: it takes the whole only")
    ]

    (begun,) = finance.call("begin_capture", **asked, amount=None)
    assert (begun["amount_to_capture"], begun["failure_code"]) == (2500, None)
    assert open_exceptions(db) == []
    assert money.receive(attempt["id"])["status"] == "applied"
    assert books(db) == {"gateway USD": 2500, "merchant_balance USD": -2500}
    assert broken_invariants(db) == {}


def open_exceptions(db: Connection) -> list[tuple[str, str]]:
    rows = db.execute("select class, detail from exceptions where resolved_at is null").fetchall()
    return [(row["class"], row["detail"]) for row in rows]


def test_a_refusal_of_one_amount_says_nothing_of_another_or_of_what_is_taken(
    db, money, tenant
) -> None:
    attempt = opened_order(db, tenant)
    money.receive(attempt["id"], "authorized")
    staff(money, tenant).call(
        "begin_capture", payment_intent_id=attempt["payment_intent_id"], amount=2500
    )

    assert refuse(money, attempt, 1000) == []
    money.receive(attempt["id"])
    assert refuse(money, attempt, 2500) == []
    (row,) = db.execute("select amount_to_capture, failure_code from payment_attempts").fetchall()
    assert row == {"amount_to_capture": 2500, "failure_code": None}
    assert open_exceptions(db) == []


@pytest.mark.parametrize("purpose", ["order", "credit_purchase"])
def test_what_is_only_held_though_it_was_to_be_taken_is_taken_by_the_janitor(
    db, money, tenant, purpose
) -> None:
    if purpose == "order":
        attempt = opened_order(db, tenant, "automatic")["id"]
    else:
        attempt = money.open()["payment_attempt_id"]
    db.execute("update payment_attempts set checks = 7")
    money.receive(attempt, "authorized")
    assert money.call("claim_payment_checks", limit=1) == []  # it may be captured by its gateway

    db.execute("update clock set skew_seconds = skew_seconds + 30")
    (due,) = money.call("claim_payment_checks", limit=1)
    assert (due["id"], due["amount_to_capture"], due["checks"]) == (attempt, 2500, 1)
    money.receive(attempt)
    assert state(db) == ("paid", "captured")
    assert broken_invariants(db) == {}


def test_what_waits_for_its_shop_is_not_taken_by_anybody_else(db, money, tenant) -> None:
    attempt = opened_order(db, tenant, "manual")
    money.receive(attempt["id"], "authorized")

    (row,) = db.execute("select amount_to_capture from payment_attempts").fetchall()
    assert row["amount_to_capture"] is None


def test_what_is_held_for_what_nobody_owes_any_more_is_not_taken(db, money, tenant) -> None:
    first = opened_order(db, tenant, "automatic")
    money.receive(first["id"], "failed")
    second = open_again(db, first["payment_intent_id"])
    money.receive(second["id"])
    money.receive(first["id"], "authorized", gateway_payment_id="pi_late")

    query = "select status, amount_to_capture from payment_attempts where id = %s"
    late = db.execute(query, [first["id"]]).fetchone()
    assert late == {"status": "authorized", "amount_to_capture": None}


def test_a_person_takes_the_whole_of_what_the_service_could_not_take(db, money, tenant) -> None:
    attempt = opened_order(db, tenant, "automatic")
    money.receive(attempt["id"], "authorized")
    (refused,) = refuse(money, attempt, 2500)
    assert refused["amount_to_capture"] is None
    finance = staff(money, tenant)
    asked = {"payment_intent_id": attempt["payment_intent_id"]}

    part = pytest.raises(psycopg.Error, match="amount-out-of-range: ")
    with part, db.transaction():
        finance.call("begin_capture", **asked, amount=2499)
    (begun,) = finance.call("begin_capture", **asked, amount=None)
    assert begun["amount_to_capture"] == 2500
    money.receive(attempt["id"])
    assert finance.call("begin_capture", **asked, amount=None)[0]["status"] == "captured"


def test_what_was_taken_at_once_is_not_captured_again(db, money, tenant) -> None:
    attempt = opened_order(db, tenant, "automatic")
    money.receive(attempt["id"])
    asked = {"payment_intent_id": attempt["payment_intent_id"], "amount": None}

    with pytest.raises(psycopg.Error, match="not-capturable: "), db.transaction():
        staff(money, tenant).call("begin_capture", **asked)


def test_nothing_is_captured_that_is_not_authorised(db, money, tenant) -> None:
    attempt = opened_order(db, tenant)
    asked = {"payment_intent_id": attempt["payment_intent_id"], "amount": None}

    with pytest.raises(psycopg.Error, match="not-capturable: "), db.transaction():
        staff(money, tenant).call("begin_capture", **asked)


@pytest.mark.parametrize("role", ["customer", "operator", "viewer"])
def test_who_does_not_keep_the_books_captures_nothing(db, money, tenant, role) -> None:
    attempt = opened_order(db, tenant)
    money.receive(attempt["id"], "authorized")
    someone = type(money)(db, tenant.session | {"x-hasura-actor-role": role})

    with pytest.raises(psycopg.Error, match="forbidden: "), db.transaction():
        someone.call("begin_capture", payment_intent_id=attempt["payment_intent_id"], amount=1)


def test_another_organisations_payment_is_not_there_to_capture(db, money, tenant) -> None:
    attempt = opened_order(db, tenant)
    money.receive(attempt["id"], "authorized")
    finance = staff(money, tenant)
    finance.session["x-hasura-organization-id"] = "00000000-0000-4000-8000-00000000000f"

    with pytest.raises(psycopg.Error, match="not-found: "), db.transaction():
        finance.call("begin_capture", payment_intent_id=attempt["payment_intent_id"], amount=1)


def test_an_order_that_is_taken_at_once_is_taken_whole(db, money, tenant) -> None:
    attempt = opened_order(db, tenant, "automatic")
    event = money.receive(attempt["id"], captured_amount=1000)
    assert event["status"] == "parked"
    assert books(db) == {"gateway USD": 1000, "suspense USD": -1000}
    assert broken_invariants(db) == {}


def test_a_capture_of_a_canceled_payment_is_surplus(db, money, tenant) -> None:
    attempt = opened_order(db, tenant, "automatic")
    money.receive(attempt["id"], "canceled")
    assert money.receive(attempt["id"])["status"] == "applied"

    (row,) = db.execute("select is_surplus, status from payment_attempts").fetchall()
    assert (row["is_surplus"], row["status"]) == (True, "captured")
    assert state(db)[0] == "canceled"
    assert broken_invariants(db) == {}


@pytest.mark.parametrize("outcome", ["processing", "authorized"])
def test_what_is_on_its_way_has_captured_nothing_yet(db, money, outcome) -> None:
    row = money.open()
    event = money.receive(row["payment_attempt_id"], outcome, captured_amount=0)

    assert event["status"] == "applied"
    assert state(db) == (outcome, outcome)
