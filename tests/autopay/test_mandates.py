"""Setting autopay up, pausing, resuming and canceling it."""

from datetime import UTC, date, datetime
from itertools import permutations
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from books import Connection, Money, broken_invariants, settle
from mandates import Autopay


def refused(failure: pytest.ExceptionInfo[psycopg.Error]) -> str:
    """The code word that a client sees."""
    assert failure.value.sqlstate.startswith("22B")
    return str(failure.value.diag.message_primary).partition(":")[0]


def test_a_mandate_is_written_down_before_a_gateway_is_asked(autopay: Autopay) -> None:
    setup = autopay.open(amount=2500, day_of_month=31)

    assert (setup["amount"], setup["currency"], setup["day_of_month"]) == (2500, "USD", 31)
    assert (setup["status"], setup["url"]) == ("pending_setup", None)
    assert setup["customer_email"] == "ada@example.com"


def test_the_same_key_is_the_same_mandate(autopay: Autopay) -> None:
    first = autopay.open(key="key-1")

    assert autopay.open(key="key-1") == first
    assert autopay.open(key="key-2")["id"] != first["id"]


@pytest.mark.parametrize("change", [{"amount": 2600}, {"currency": "JPY"}, {"day_of_month": 16}])
def test_a_key_with_other_content_is_refused(autopay: Autopay, change: dict[str, object]) -> None:
    autopay.open(key="key-1")

    with pytest.raises(psycopg.Error) as failure:
        autopay.open(key="key-1", **change)
    assert refused(failure) == "idempotency-key-reused"


@pytest.mark.parametrize("day", [0, 32, -1, 99, None])
def test_a_day_that_no_month_has_is_refused(autopay: Autopay, day: int | None) -> None:
    with pytest.raises(psycopg.Error) as failure:
        autopay.open(day_of_month=day)
    assert refused(failure) == "invalid-input"


@pytest.mark.parametrize("amount", [0, -1, 99, 100_001, 2**63 - 1, None])
def test_an_amount_outside_the_settings_is_refused(autopay: Autopay, amount: int | None) -> None:
    with pytest.raises(psycopg.Error) as failure:
        autopay.open(amount=amount)
    assert refused(failure) == "amount-out-of-range"


def test_a_page_is_recorded_once(autopay: Autopay) -> None:
    setup = autopay.open()
    recorded = autopay.record(setup["id"])

    assert autopay.record(setup["id"]) == recorded
    with pytest.raises(psycopg.Error):
        autopay.money.call(
            "record_autopay_setup",
            autopay_mandate_id=setup["id"],
            gateway_session_id="cs_other",
            url="https://pay.example/other",
        )


def test_a_finished_page_starts_the_mandate_and_keeps_the_method(
    autopay: Autopay, db: Connection
) -> None:
    mandate = autopay.mandate(autopay.set_up(day_of_month=15))

    assert (mandate["status"], mandate["next_due_on"]) == ("active", date(2027, 6, 15))
    assert mandate["consented_by"] == autopay.tenant.user_id
    assert mandate["consented_at"] == autopay.now()
    (method,) = db.execute("select * from payment_methods").fetchall()
    assert method["gateway_payment_method_id"] == f"pm_{mandate['id']}"
    assert mandate["payment_method_id"] == method["id"]
    customer = db.execute("select stripe_customer_id from customers").fetchone()
    assert customer["stripe_customer_id"] == method["gateway_customer_id"]
    assert autopay.told() == ["autopay.activated"]


def test_a_page_that_nobody_finished_charges_nothing(autopay: Autopay) -> None:
    autopay.record(autopay.open()["id"])
    autopay.at("2027-09-01T12:00Z")

    assert autopay.run() == []
    assert autopay.charges() == []


@pytest.mark.parametrize("order", list(permutations(["failed", "requires_action", "succeeded"])))
def test_messages_about_a_setup_may_come_in_any_order_and_twice(
    autopay: Autopay, db: Connection, order: tuple[str, ...]
) -> None:
    mandate_id = autopay.record(autopay.open()["id"])["id"]
    for outcome in order * 2:
        autopay.hear(mandate_id, outcome)

    assert autopay.mandate(mandate_id)["status"] == "active"
    assert len(db.execute("select from payment_methods").fetchall()) == 1
    assert autopay.told().count("autopay.activated") == 1


def test_a_success_that_names_no_method_is_not_enough(autopay: Autopay) -> None:
    mandate_id = autopay.open()["id"]
    event = autopay.hear(mandate_id, gateway_payment_method_id=None)

    assert (event["status"], event["reason"]) == ("ignored", "it names no payment method")
    assert autopay.mandate(mandate_id)["status"] == "pending_setup"


def test_a_message_is_matched_by_its_page_where_it_names_no_mandate(autopay: Autopay) -> None:
    mandate_id = autopay.record(autopay.open()["id"])["id"]
    event = autopay.hear(mandate_id, autopay_mandate_id=None)

    assert event["status"] == "applied"


def test_a_setup_that_is_nobodys_is_listed_for_a_person(autopay: Autopay, db: Connection) -> None:
    event = autopay.hear(uuid4())

    assert event["status"] == "parked"
    (listed,) = db.execute("select class from exceptions").fetchall()
    assert listed["class"] == "unmatched-setup"


def test_of_two_pages_the_newer_one_counts(autopay: Autopay) -> None:
    old = autopay.record(autopay.open(amount=2500)["id"])["id"]
    new = autopay.record(autopay.open(amount=5000)["id"])["id"]
    event = autopay.hear(old)

    assert (event["status"], event["reason"]) == ("ignored", "the mandate is canceled already")
    assert autopay.mandate(old)["reason"] == "superseded"
    autopay.hear(new)
    assert autopay.mandate(new)["status"] == "active"


@pytest.mark.parametrize("then", ["it is open", "set up", "failed", "canceled"])
def test_a_page_that_failed_counts_no_more_when_there_is_a_newer_one(
    autopay: Autopay, db: Connection, then: str
) -> None:
    old = autopay.record(autopay.open(amount=9000, day_of_month=5)["id"])["id"]
    autopay.hear(old, "expired")
    new = autopay.record(autopay.open(amount=1000, day_of_month=20)["id"])["id"]
    if then in {"set up", "failed"}:
        autopay.hear(new, "succeeded" if then == "set up" else "failed")
    elif then == "canceled":
        autopay.hear(new)
        change(autopay, "cancel", new)
    before = autopay.mandate(new)
    event = autopay.hear(old)

    assert (event["status"], event["reason"]) == ("ignored", "the mandate is canceled already")
    assert autopay.mandate(old)["reason"] == "superseded"
    assert autopay.mandate(new) == before
    autopay.at("2027-06-05T12:00Z")
    assert autopay.run() == []
    assert broken_invariants(db) == {}


def test_a_page_that_failed_starts_nothing_when_it_was_canceled(autopay: Autopay, db) -> None:
    mandate_id = autopay.record(autopay.open(day_of_month=5)["id"])["id"]
    autopay.hear(mandate_id, "expired")
    canceled = change(autopay, "cancel", mandate_id)
    assert (canceled["status"], canceled["reason"]) == ("canceled", "canceled")
    event = autopay.hear(mandate_id)

    assert (event["status"], event["reason"]) == ("ignored", "the mandate is canceled already")
    assert change(autopay, "cancel", mandate_id) == canceled
    autopay.at("2027-06-05T12:00Z")
    assert autopay.run() == []
    assert autopay.told() == ["autopay.setup_failed", "autopay.canceled"]
    assert broken_invariants(db) == {}


def test_a_page_that_failed_in_another_currency_may_be_finished_after_all(autopay: Autopay) -> None:
    old = autopay.record(autopay.open()["id"])["id"]
    autopay.hear(old, "expired")
    autopay.open(currency="JPY")

    assert autopay.hear(old)["status"] == "applied"
    assert autopay.mandate(old)["status"] == "active"


def test_a_new_mandate_takes_the_place_of_the_old_one_when_it_is_set_up(autopay: Autopay) -> None:
    old = autopay.set_up(amount=2500)
    new = autopay.record(autopay.open(amount=5000)["id"])["id"]
    assert autopay.mandate(old)["status"] == "active"

    autopay.hear(new)

    assert (autopay.mandate(old)["status"], autopay.mandate(old)["reason"]) == (
        "canceled",
        "replaced",
    )
    assert autopay.mandate(new)["status"] == "active"


def test_a_month_that_the_old_mandate_charged_is_not_charged_by_the_new_one(
    autopay: Autopay,
) -> None:
    autopay.set_up(day_of_month=10)
    autopay.at("2027-06-10T09:00Z")
    autopay.run()
    new = autopay.set_up(day_of_month=20)

    assert autopay.mandate(new)["next_due_on"] == date(2027, 7, 20)
    autopay.at("2027-06-20T09:00Z")
    assert autopay.run() == []
    assert autopay.credits() == 250


def test_a_month_that_the_old_mandate_only_announced_is_charged_by_the_new_one(
    autopay: Autopay,
) -> None:
    autopay.set_up(day_of_month=10, amount=2500)
    autopay.at("2027-06-09T09:00Z")
    autopay.materialise()
    autopay.set_up(day_of_month=20, amount=5000)
    autopay.at("2027-06-20T09:00Z")
    autopay.run()

    assert [(c["amount"], c["status"]) for c in autopay.charges()] == [
        (2500, "canceled"),
        (5000, "succeeded"),
    ]


def test_what_was_agreed_to_never_changes(autopay: Autopay, db: Connection) -> None:
    autopay.set_up()
    for change in ("amount = 2600", "day_of_month = 1", "currency = 'JPY'", "timezone = 'GMT'"):
        with pytest.raises(psycopg.Error) as failure, db.transaction():
            db.execute(f"update autopay_mandates set {change}")
        assert failure.value.sqlstate == "P0004"


def test_a_customer_has_one_live_mandate_whoever_writes(autopay: Autopay, db: Connection) -> None:
    autopay.set_up()
    with pytest.raises(psycopg.errors.UniqueViolation):
        db.execute(
            "insert into autopay_mandates select (jsonb_populate_record(autopay_mandates,"
            " jsonb_build_object('id', gen_random_uuid(), 'idempotency_key', 'other',"
            " 'gateway_session_id', null, 'url', null))).* from autopay_mandates"
        )


def test_nobody_is_charged_who_did_not_agree(autopay: Autopay, db: Connection) -> None:
    autopay.record(autopay.open()["id"])
    with pytest.raises(psycopg.errors.CheckViolation), db.transaction():
        db.execute(
            "update autopay_mandates set status = 'active', next_due_on = '2027-06-15',"
            " next_notice_at = clock_now()"
        )


def test_mandates_of_two_currencies_live_side_by_side(autopay: Autopay) -> None:
    first, second = autopay.set_up(), autopay.set_up(currency="JPY", amount=1000)

    assert {autopay.mandate(m)["status"] for m in (first, second)} == {"active"}


@pytest.mark.parametrize("function", ["pause_autopay", "resume_autopay", "cancel_autopay"])
def test_a_mandate_of_somebody_else_looks_as_if_it_did_not_exist(
    autopay: Autopay, db: Connection, function: str
) -> None:
    mandate_id = autopay.set_up()
    other = settle(db)
    stranger = Money(db, other.session | {"x-hasura-actor-role": "customer"})
    owner = Money(db, other.session | {"x-hasura-actor-role": "owner"})
    live = Money(db, autopay.tenant.session | {"x-hasura-livemode": "true"})

    for session in (stranger, owner, live):
        with pytest.raises(psycopg.Error) as failure, db.transaction():
            session.call(function, autopay_mandate_id=mandate_id)
        assert refused(failure) == "not-found"
    with pytest.raises(psycopg.Error) as failure, db.transaction():
        autopay.money.call(function, autopay_mandate_id=uuid4())
    assert refused(failure) == "not-found"


@pytest.mark.parametrize("role", ["customer", "owner", "anonymous"])
@pytest.mark.parametrize(
    ("function", "arguments"),
    [
        ("cancel_autopay", {"autopay_mandate_id": uuid4()}),
        ("materialise_autopay_charges", {"limit": 1}),
        ("claim_autopay_charges", {"limit": 1, "lease_seconds": 1}),
        ("begin_autopay_attempts", {"claims": {}}),
        ("release_autopay_charges", {"claims": {}}),
        ("claim_autopay_setups", {"limit": 1}),
        (
            "postpone_autopay_charge",
            {"autopay_charge_id": uuid4(), "fence": 1, "failure_message": ""},
        ),
        (
            "open_autopay_checkout",
            {"autopay_charge_id": uuid4(), "success_url": "", "cancel_url": ""},
        ),
    ],
)
def test_only_the_service_runs_autopay(db, tenant, role, function, arguments) -> None:
    session = Money(db, tenant.session | {"x-hasura-role": role})

    with pytest.raises(psycopg.Error) as failure:
        session.call(function, **arguments)
    assert refused(failure) == "forbidden"


def change(autopay: Autopay, what: str, mandate_id: object) -> dict[str, object]:
    (row,) = autopay.money.call(f"{what}_autopay", autopay_mandate_id=mandate_id)
    return row


def test_a_paused_mandate_charges_nothing_and_resumes_with_the_next_due_date(
    autopay: Autopay, db: Connection
) -> None:
    mandate_id = autopay.set_up(day_of_month=15)
    assert change(autopay, "pause", mandate_id) == change(autopay, "pause", mandate_id)
    autopay.at("2027-09-20T12:00Z")
    assert autopay.run() == []

    resumed = change(autopay, "resume", mandate_id)

    assert (resumed["status"], resumed["next_due_on"]) == ("active", date(2027, 10, 15))
    assert change(autopay, "resume", mandate_id) == resumed
    autopay.at("2027-10-15T09:00Z")
    assert len(autopay.run()) == 1
    assert autopay.states() == {"2027-10": "succeeded"}
    assert broken_invariants(db) == {}


# Announced on the 12th, due on the 15th at nine.
@pytest.mark.parametrize(
    ("paused", "resumed", "expected"),
    [
        ("2027-06-11T09:00Z", "2027-06-11T10:00Z", "succeeded"),
        ("2027-06-13T09:00Z", "2027-06-14T09:00Z", "succeeded"),
        ("2027-06-13T09:00Z", "2027-06-15T08:59Z", "succeeded"),
        ("2027-06-13T09:00Z", "2027-06-15T09:00Z", "skipped"),
        ("2027-06-15T08:59Z", "2027-06-15T09:01Z", "skipped"),
        ("2027-06-15T09:00Z", "2027-06-15T09:00Z", "skipped"),
        ("2027-06-15T09:00Z", None, "skipped"),
        ("2027-06-14T09:00Z", None, "skipped"),
    ],
)
def test_a_due_time_that_passes_in_a_pause_is_not_made_up_for(
    autopay: Autopay, db: Connection, paused: str, resumed: str | None, expected: str
) -> None:
    mandate_id = autopay.set_up(day_of_month=15)
    autopay.at(paused)
    autopay.materialise()
    change(autopay, "pause", mandate_id)
    if resumed:
        autopay.at(resumed)
        change(autopay, "resume", mandate_id)
    autopay.at("2027-06-15T09:30Z")
    autopay.run()

    assert autopay.states() == {"2027-06": expected}
    assert autopay.credits() == (250 if expected == "succeeded" else 0)
    assert broken_invariants(db) == {}


@pytest.mark.parametrize("at", ["2027-06-02T09:00Z", "2027-06-14T09:00Z", "2027-06-15T09:00Z"])
def test_a_canceled_mandate_never_charges_again(autopay: Autopay, db, at: str) -> None:
    mandate_id = autopay.set_up(day_of_month=15)
    autopay.at(at)
    autopay.materialise()
    claims = autopay.claim()
    assert change(autopay, "cancel", mandate_id) == change(autopay, "cancel", mandate_id)

    assert autopay.begin(claims) == []  # who had claimed it before learns of it
    autopay.at("2027-09-15T09:00Z")
    assert autopay.run() == []
    assert set(autopay.states().values()) <= {"canceled"}
    for what in ("pause", "resume"):
        with pytest.raises(psycopg.Error) as failure, db.transaction():
            change(autopay, what, mandate_id)
        assert refused(failure) == "autopay-ended"
    assert broken_invariants(db) == {}


def test_an_answer_that_comes_after_the_cancellation_is_booked(autopay: Autopay, db) -> None:
    mandate_id = autopay.set_up(day_of_month=15)
    autopay.at("2027-06-15T09:00Z")
    autopay.materialise()
    (order,) = autopay.begin(autopay.claim())
    change(autopay, "cancel", mandate_id)
    autopay.at("2027-06-15T09:05Z")
    assert autopay.begin(autopay.claim()) == []  # nothing is sent any more
    assert autopay.charges()[0]["lease_until"] is None
    autopay.answer(order)

    assert autopay.states() == {"2027-06": "succeeded"}
    assert broken_invariants(db) == {}


@pytest.mark.parametrize(("what", "end"), [("cancel", "canceled"), ("pause", "skipped")])
def test_a_decline_that_comes_after_it_is_not_tried_again(
    autopay: Autopay, db, what: str, end: str
) -> None:
    mandate_id = autopay.set_up(day_of_month=15)
    autopay.at("2027-06-15T09:00Z")
    autopay.materialise()
    (order,) = autopay.begin(autopay.claim())
    change(autopay, what, mandate_id)
    autopay.answer(order, "soft")

    assert autopay.states() == {"2027-06": end}
    assert broken_invariants(db) == {}


def test_a_page_that_was_never_shown_expires_by_itself(autopay: Autopay) -> None:
    mandate_id = autopay.open()["id"]
    autopay.at("2027-06-02T12:00Z")

    (ended,) = autopay.money.call("claim_autopay_setups", limit=10)
    mandate = autopay.mandate(mandate_id)
    assert (mandate["status"], mandate["reason"]) == ("failed", "expired")
    # It is answered, so that whoever claims one by one does not stop at it; and asks nobody.
    assert (ended["id"], ended["gateway_session_id"]) == (mandate_id, None)
    assert autopay.money.call("claim_autopay_setups", limit=10) == []


def test_an_open_page_is_asked_about_now_and_then(autopay: Autopay) -> None:
    mandate_id = autopay.record(autopay.open()["id"])["id"]
    assert autopay.money.call("claim_autopay_setups", limit=10) == []
    asked = 0
    for minute in range(0, 24 * 60, 5):
        autopay.at(
            datetime(2027, 6, 1 + (12 * 60 + minute) // 1440, tzinfo=UTC).replace(
                hour=(12 + minute // 60) % 24, minute=minute % 60
            )
        )
        asked += len(autopay.money.call("claim_autopay_setups", limit=10))

    assert 4 <= asked <= 8
    autopay.hear(mandate_id, card_last4="4242")
    autopay.at("2027-06-09T12:00Z")
    assert autopay.money.call("claim_autopay_setups", limit=10) == []


def test_no_page_of_a_paused_gateway_is_asked_about(autopay: Autopay) -> None:
    autopay.record(autopay.open()["id"])
    autopay.at("2027-06-01T13:00Z")

    assert autopay.money.call("claim_autopay_setups", limit=10, paused=["stripe"]) == []
    assert len(autopay.money.call("claim_autopay_setups", limit=10, paused=["payu"])) == 1


def method_type(db: Connection, mandate_id: UUID) -> str:
    (row,) = db.execute(
        """
        select payment_methods.type
        from autopay_mandates
        join payment_methods on payment_methods.id = autopay_mandates.payment_method_id
        where autopay_mandates.id = %s""",
        [mandate_id],
    ).fetchall()
    kind: str = row["type"]
    return kind


def test_a_method_that_was_not_named_is_asked_about_once(autopay: Autopay, db) -> None:
    mandate_id = autopay.record(autopay.open()["id"])["id"]
    autopay.hear(mandate_id, method=None)
    unnamed = method_type(db, mandate_id)
    (claimed,) = autopay.money.call("claim_autopay_setups", limit=10)
    autopay.hear(mandate_id, type="look-up", method="bank_debit")

    assert unnamed == "other"
    assert (claimed["id"], claimed["status"]) == (mandate_id, "active")
    assert method_type(db, mandate_id) == "bank_debit"
    autopay.at("2027-06-09T12:00Z")
    assert autopay.money.call("claim_autopay_setups", limit=10) == []


@pytest.mark.parametrize("said", [{"method": None}, {"outcome": "expired"}])
def test_a_gateway_that_never_names_the_method_is_asked_no_more(
    autopay: Autopay, db, said: dict[str, Any]
) -> None:
    mandate_id = autopay.record(autopay.open()["id"])["id"]
    autopay.hear(mandate_id, method=None)
    change(autopay, "pause", mandate_id)
    assert len(autopay.money.call("claim_autopay_setups", limit=10)) == 1
    autopay.hear(mandate_id, type="look-up", **said)

    assert method_type(db, mandate_id) == "other"
    autopay.at("2027-06-09T12:00Z")
    assert autopay.money.call("claim_autopay_setups", limit=10) == []


def test_a_client_of_tcs_has_one_row_with_what_autopay_charges(autopay: Autopay, db) -> None:
    autopay.set_up(day_of_month=10)
    mandate_id = autopay.set_up(day_of_month=31, amount=5000)
    (row,) = db.execute("select * from tcs.payment_methods").fetchall()

    assert row["user_id"] == autopay.tenant.customer_id
    assert (row["auto_pay_amount"], row["auto_pay_day"], row["auto_pay_enabled"]) == (
        5000,
        31,
        True,
    )
    assert (row["type"], row["stripe_payment_method_id"]) == ("card", f"pm_{mandate_id}")

    change(autopay, "pause", mandate_id)
    (row,) = db.execute("select * from tcs.payment_methods").fetchall()
    assert (row["auto_pay_amount"], row["auto_pay_enabled"]) == (5000, False)
    change(autopay, "cancel", mandate_id)
    (row,) = db.execute("select * from tcs.payment_methods").fetchall()
    assert (row["auto_pay_amount"], row["auto_pay_enabled"]) == (None, False)


def test_every_step_that_is_not_listed_is_refused(autopay: Autopay, db: Connection) -> None:
    autopay.set_up(day_of_month=3)
    autopay.materialise()
    for table in ("autopay_mandate", "autopay_charge"):
        steps = db.execute(f"select before, after from {table}_steps").fetchall()
        legal = {(step["before"], step["after"]) for step in steps}
        states = {state for step in legal for state in step}
        # The constraints that a status brings with it are another matter.
        for constraint in db.execute(
            "select conname from pg_constraint where contype = 'c' and conrelid = %s::regclass",
            [f"{table}s"],
        ).fetchall():
            db.execute(f"alter table {table}s drop constraint {constraint['conname']}")
        for before in states:
            for after in states - {before}:
                db.execute("set local session_replication_role = replica")
                db.execute(f"update {table}s set status = %s", [before])
                db.execute("set local session_replication_role = origin")
                try:
                    with db.transaction():
                        db.execute(f"update {table}s set status = %s", [after])
                    assert (before, after) in legal
                except psycopg.errors.AssertFailure:
                    assert (before, after) not in legal
