from dataclasses import replace
from datetime import UTC, datetime
from itertools import permutations
from uuid import uuid4

import bank_statement
import mandates
import psycopg
import pytest
from books import Connection, Money, broken_invariants, settle
from psycopg.rows import dict_row


def balance(db: Connection, tenant) -> int:
    return db.execute(
        "select balance from credit_wallets where customer_id = %s", [tenant.customer_id]
    ).fetchone()["balance"]


def books(db: Connection, tenant) -> dict[str, int]:
    rows = db.execute(
        "select split_part(code, ':', 1) as code, currency, balance from ledger_balances"
        " where organization_id = %s and balance <> 0",
        [tenant.organization_id],
    ).fetchall()
    return {f"{row['code']} {row['currency']}": row["balance"] for row in rows}


def test_a_paid_message_grants_the_credits_and_books_the_money(db, money, tenant) -> None:
    row = money.open()
    money.record(row["payment_attempt_id"])
    event = money.receive(row["payment_attempt_id"])

    assert event["status"] == "applied"
    assert balance(db, tenant) == 250
    assert books(db, tenant) == {
        "gateway USD": 2500,
        "prepaid_credits USD": -2500,
        "credits_issued XCR": 2_500_000,
        "credit_wallet XCR": -2_500_000,
    }
    assert broken_invariants(db) == {}


def test_a_message_that_is_applied_at_once_is_written_once(db, money) -> None:
    row = money.open()
    money.record(row["payment_attempt_id"])
    event = money.receive(row["payment_attempt_id"])
    updated = "select pg_stat_get_xact_tuples_updated('gateway_events'::regclass) as number"

    assert db.execute(updated).fetchone()["number"] == 0
    kept = db.execute("select * from gateway_events where id = %s", [event["id"]]).fetchone()
    assert (kept["status"], kept["payment_attempt_id"], kept["tries"]) == (
        "applied",
        row["payment_attempt_id"],
        0,
    )


def test_a_message_that_cannot_be_applied_is_kept_as_nobodys_and_tried_again(db, money) -> None:
    row = money.open()
    money.record(row["payment_attempt_id"])
    event = money.receive(row["payment_attempt_id"], subject="weather")
    kept = db.execute("select * from gateway_events where id = %s", [event["id"]]).fetchone()

    assert (kept["status"], kept["tries"]) == ("received", 1)
    assert (kept["organization_id"], kept["payment_attempt_id"]) == (None, None)
    assert kept["next_try_at"] > kept["created_at"]


def test_a_message_that_waits_too_long_leaves_nothing_and_counts_when_it_comes_again(
    database: str,
) -> None:
    with (
        psycopg.connect(database, row_factory=dict_row) as db,
        psycopg.connect(database, row_factory=dict_row) as late,
    ):
        tenant = settle(db)
        attempt = Money(db, tenant.session).open()["payment_attempt_id"]
        db.commit()
        db.execute("select from payment_intents for no key update")
        late.execute("set lock_timeout = '100ms'")
        late.commit()
        money = Money(late, tenant.session)
        with pytest.raises(psycopg.errors.LockNotAvailable):
            money.receive(attempt, event_id="evt_1")
        late.rollback()
        assert late.execute("select from gateway_events").fetchall() == []

        db.rollback()
        assert money.receive(attempt, event_id="evt_1")["status"] == "applied"
        assert balance(late, tenant) == 250
        assert broken_invariants(late) == {}


def test_a_message_whose_reference_is_no_id_of_ours_is_kept(db, money) -> None:
    event = money.receive("no-id-of-ours")

    assert (event["status"], event["payment_attempt_id"]) == ("received", None)


def test_a_message_may_come_before_the_gateways_answer(db, money, tenant) -> None:
    row = money.open()
    money.receive(row["payment_attempt_id"])
    recorded = money.record(row["payment_attempt_id"])

    kept = money.open()
    assert recorded["status"] == "captured"
    assert (kept["status"], kept["url"]) == ("paid", "https://pay.example/cs_1")
    assert balance(db, tenant) == 250


def test_a_message_is_matched_by_the_gateways_session_when_ours_is_missing(db, money, tenant):
    row = money.open()
    money.record(row["payment_attempt_id"])
    money.receive(None, gateway_payment_id="pi_9")

    assert balance(db, tenant) == 250


def test_the_same_event_changes_nothing_again(db, money, tenant) -> None:
    row = money.open()
    first = money.receive(row["payment_attempt_id"], event_id="evt_1")
    again = money.receive(row["payment_attempt_id"], event_id="evt_1")

    assert again == first
    assert balance(db, tenant) == 250


def test_two_events_of_one_payment_grant_once(db, money, tenant) -> None:
    row = money.open()
    money.receive(row["payment_attempt_id"])
    second = money.receive(row["payment_attempt_id"])

    assert (second["status"], second["reason"]) == ("ignored", "the attempt is captured already")
    assert balance(db, tenant) == 250


@pytest.mark.parametrize("order", list(permutations(["processing", "paid", "expired", "failed"])))
def test_whatever_the_order_of_messages_a_paid_one_wins(db, money, tenant, order) -> None:
    row = money.open()
    for outcome in order:
        money.receive(row["payment_attempt_id"], outcome)

    assert balance(db, tenant) == 250
    assert money.open()["status"] == "paid"
    assert broken_invariants(db) == {}


@pytest.mark.parametrize(
    ("outcome", "event"), [("failed", "payment.failed"), ("expired", "payment.expired")]
)
def test_an_unpaid_end_grants_nothing_and_is_told_once(db, money, tenant, outcome, event) -> None:
    row = money.open()
    money.receive(row["payment_attempt_id"], outcome)
    money.receive(row["payment_attempt_id"], outcome)

    told = db.execute(
        "select type from events where object_id = %s", [row["payment_intent_id"]]
    ).fetchall()
    assert [t["type"] for t in told] == [event]
    assert balance(db, tenant) == 0
    assert broken_invariants(db) == {}


def test_a_delayed_payment_waits_as_processing(db, money, tenant) -> None:
    row = money.open()
    money.receive(row["payment_attempt_id"], "processing")

    assert money.open()["status"] == "processing"
    assert balance(db, tenant) == 0


@pytest.mark.parametrize(
    "change",
    [{"amount": 2499}, {"amount": 2501}, {"amount": 25}, {"amount": 250_000}, {"currency": "JPY"}],
)
def test_another_amount_than_the_purchase_is_parked_and_held(db, money, tenant, change) -> None:
    row = money.open()
    event = money.receive(row["payment_attempt_id"], **change)

    listed = db.execute(
        "select class, amount, currency from exceptions where object_id = %s",
        [event["payment_attempt_id"]],
    ).fetchall()
    held, currency = change.get("amount", 2500), change.get("currency", "USD")
    assert event["status"] == "parked"
    assert [tuple(x.values()) for x in listed] == [("amount-mismatch", held, currency)]
    assert balance(db, tenant) == 0
    assert books(db, tenant) == {f"gateway {currency}": held, f"suspense {currency}": -held}
    assert broken_invariants(db) == {}


@pytest.mark.parametrize(
    "change", [{"amount": None, "currency": None}, {"amount": 0}, {"currency": "QQQ"}]
)
def test_a_paid_message_that_names_no_money_is_parked_without_a_booking(
    db, money, tenant, change
) -> None:
    row = money.open()
    event = money.receive(row["payment_attempt_id"], **change)

    assert event["status"] == "parked"
    assert books(db, tenant) == {}


def test_a_message_about_nobody_is_kept_and_listed(db, money) -> None:
    event = money.receive(uuid4(), gateway_session_id="cs_unknown")

    listed = db.execute(
        "select class, organization_id, amount from exceptions where object_id = %s", [event["id"]]
    ).fetchone()
    assert event["status"] == "parked"
    assert tuple(listed.values()) == ("unmatched-payment", None, 2500)


def test_a_type_without_effect_is_kept_and_ignored(money) -> None:
    event = money.receive(None, "unknown", type="invoice.paid")

    assert (event["status"], event["reason"]) == ("ignored", "a type without effect")


def test_a_message_of_the_other_mode_is_sent_back(db, money) -> None:
    row = money.open()

    with pytest.raises(psycopg.Error) as failure:
        money.receive(row["payment_attempt_id"], livemode=True)
    assert str(failure.value).startswith("forbidden")


def test_a_message_from_another_gateway_does_not_touch_this_ones_attempt(db, money, tenant) -> None:
    row = money.open()
    event = money.receive(row["payment_attempt_id"], gateway="razorpay")

    assert (event["status"], balance(db, tenant)) == ("parked", 0)


def test_a_second_payment_of_one_attempt_is_surplus_and_on_its_way_back(db, money, tenant) -> None:
    row = money.open()
    money.receive(row["payment_attempt_id"], gateway_payment_id="pi_1")
    second = money.receive(row["payment_attempt_id"], gateway_payment_id="pi_2")

    (refund,) = db.execute("select * from refunds").fetchall()
    listed = db.execute("select class, object_id from exceptions").fetchall()
    assert (second["status"], second["reason"]) == ("applied", "paid again as pi_2")
    assert second["payment_attempt_id"] != row["payment_attempt_id"]
    assert (refund["payment_attempt_id"], refund["amount"]) == (second["payment_attempt_id"], 2500)
    assert (refund["requested_by"], refund["reason"]) == ("system", "surplus")
    assert [tuple(x.values()) for x in listed] == [
        ("surplus-payment", second["payment_attempt_id"])
    ]
    assert balance(db, tenant) == 250
    assert books(db, tenant)["refunds_pending USD"] == -2500
    assert broken_invariants(db) == {}


def test_what_is_told_of_a_second_payment_is_told_of_its_own_attempt(db, money) -> None:
    first = money.open()["payment_attempt_id"]
    money.receive(first, gateway_payment_id="pi_1")
    second = money.receive(first, gateway_payment_id="pi_2")["payment_attempt_id"]
    dispute = {"subject": "dispute", "gateway_dispute_id": "dp_1", "amount": 2500}
    message = money.message(first, "opened", gateway_payment_id="pi_2")
    message["notice"] |= dispute
    money.call("receive_gateway_event", **message)

    (kept,) = db.execute("select payment_attempt_id from disputes").fetchall()
    assert kept["payment_attempt_id"] == second
    assert broken_invariants(db) == {}


def break_wallet(db: Connection, tenant) -> None:
    db.execute(
        "update ledger_accounts set status = 'closed' where customer_id = %s", [tenant.customer_id]
    )


def test_a_message_that_cannot_be_applied_is_kept_and_applied_later(db, money, tenant) -> None:
    row = money.open()
    break_wallet(db, tenant)
    event = money.receive(row["payment_attempt_id"])

    assert (event["status"], event["tries"], balance(db, tenant)) == ("received", 1, 0)
    assert broken_invariants(db) == {}
    assert money.call("apply_due_gateway_event") == []

    db.execute(
        "update ledger_accounts set status = 'active' where customer_id = %s", [tenant.customer_id]
    )
    db.execute("update clock set skew_seconds = 3600")
    (applied,) = money.call("apply_due_gateway_event")
    assert (applied["status"], balance(db, tenant)) == ("applied", 250)


def parked(db, money, tenant) -> dict:
    row = money.open()
    break_wallet(db, tenant)
    event = money.receive(row["payment_attempt_id"])
    for hour in range(1, 10):
        db.execute("update clock set skew_seconds = %s", [hour * 36_000])
        money.call("apply_due_gateway_event")
    return event


def open_classes(db) -> list[str]:
    rows = db.execute("select class from exceptions where resolved_at is null").fetchall()
    return [row["class"] for row in rows]


def test_ten_failures_park_a_message_for_a_person(db, money, tenant) -> None:
    event = parked(db, money, tenant)

    row = db.execute("select * from gateway_events where id = %s", [event["id"]]).fetchone()
    assert (row["status"], row["tries"]) == ("parked", 10)
    assert open_classes(db) == ["event-not-applied"]


@pytest.mark.parametrize("is_named", [False, True])
def test_a_parked_message_is_applied_when_its_cause_is_mended(
    db, money, tenant, *, is_named: bool
) -> None:
    event = parked(db, money, tenant)
    db.execute(
        "update ledger_accounts set status = 'active' where customer_id = %s", [tenant.customer_id]
    )
    named = {"gateway_event_id": event["id"]} if is_named else {}
    (again,) = money.call("apply_gateway_events_again", **named)
    assert (again["status"], again["tries"]) == ("received", 0)

    (applied,) = money.call("apply_due_gateway_event")
    assert (applied["status"], balance(db, tenant)) == ("applied", 250)
    assert open_classes(db) == []
    assert money.call("apply_gateway_events_again", **named) == []


def test_a_parked_message_that_still_fails_is_listed_again(db, money, tenant) -> None:
    event = parked(db, money, tenant)
    money.call("apply_gateway_events_again")
    assert open_classes(db) == []
    for hour in range(10, 21):
        db.execute("update clock set skew_seconds = %s", [hour * 36_000])
        money.call("apply_due_gateway_event")

    row = db.execute("select * from gateway_events where id = %s", [event["id"]]).fetchone()
    assert (row["status"], open_classes(db)) == ("parked", ["event-not-applied"])


def test_what_is_parked_in_the_other_mode_or_for_another_reason_stays(db, money, tenant) -> None:
    event = parked(db, money, tenant)
    live = replace(money, session=money.session | {"x-hasura-livemode": "true"})
    assert live.call("apply_gateway_events_again", gateway_event_id=event["id"]) == []
    nobodys = money.receive(uuid4())
    assert nobodys["status"] == "parked"

    (again,) = money.call("apply_gateway_events_again")
    assert again["id"] == event["id"]
    (other,) = money.call("apply_gateway_events_again", gateway_event_id=nobodys["id"])
    assert other["id"] == nobodys["id"]


def test_every_step_of_an_attempt_that_is_not_listed_is_refused(db, money) -> None:
    steps = db.execute("select before, after from payment_attempt_steps").fetchall()
    legal = {(s["before"], s["after"]) for s in steps}
    states = {state for step in legal for state in step}
    refused = 0
    for number, (before, after) in enumerate(
        (b, a) for b in states for a in states if b != a and (b, a) not in legal
    ):
        row = money.open(key=f"key-{number}")
        db.execute("set local session_replication_role = replica")
        db.execute(
            "update payment_attempts set status = %(status)s, gateway_payment_id = id::text,"
            " captured_at = case when %(status)s = 'captured' then clock_now() end,"
            " amount_captured = case when %(status)s = 'captured' then amount else 0 end,"
            " next_check_at = null where id = %(id)s",
            {"status": before, "id": row["payment_attempt_id"]},
        )
        db.execute("set local session_replication_role = origin")
        with pytest.raises(psycopg.Error) as failure, db.transaction():
            db.execute(
                "update payment_attempts set status = %(status)s,"
                " captured_at = case when %(status)s = 'captured' then clock_now() end,"
                " amount_captured = case when %(status)s = 'captured' then amount else 0 end"
                " where id = %(id)s",
                {"status": after, "id": row["payment_attempt_id"]},
            )
        assert failure.value.sqlstate == "P0004"
        refused += 1
    assert refused == len(states) * (len(states) - 1) - len(legal)


def test_a_receipt_is_stored_once_and_only_for_a_capture(db, money) -> None:
    row = money.open()
    asked = {"payment_attempt_id": row["payment_attempt_id"]}
    (before,) = money.call("record_receipt", **asked, receipt_url="https://r.example/0")
    money.receive(row["payment_attempt_id"])
    money.call("record_receipt", **asked, receipt_url="https://r.example/1")
    (after,) = money.call("record_receipt", **asked, receipt_url="https://r.example/2")

    assert before["receipt_url"] is None
    assert after["receipt_url"] == "https://r.example/1"


@pytest.mark.parametrize("url", ["https://r.example/0", None])
def test_a_receipt_is_asked_for_only_where_it_did_not_come_with_the_payment(db, money, url) -> None:
    row = money.open()
    money.receive(row["payment_attempt_id"], receipt_url=url)

    (attempt,) = db.execute("select id, receipt_url from payment_attempts").fetchall()
    requests = db.execute("select payment_attempt_id from receipt_requests").fetchall()
    assert attempt["receipt_url"] == url
    assert requests == ([] if url else [{"payment_attempt_id": attempt["id"]}])


@pytest.mark.parametrize(
    "call",
    [
        lambda stranger: stranger.receive(uuid4()),
        lambda stranger: stranger.call("apply_due_gateway_event"),
        lambda stranger: stranger.call(
            "record_receipt", payment_attempt_id=uuid4(), receipt_url="https://r.example"
        ),
    ],
)
@pytest.mark.parametrize("role", ["customer", "owner", "finance"])
def test_only_the_service_may_speak_for_a_gateway(db, tenant, call, role) -> None:
    stranger = Money(db, tenant.session | {"x-hasura-role": role})

    with pytest.raises(psycopg.Error) as failure:
        call(stranger)
    assert str(failure.value).startswith("forbidden")


def test_another_accounts_message_pays_nothing_of_ours(db, money, tenant) -> None:
    row = money.open()
    money.record(row["payment_attempt_id"])
    event = money.receive(row["payment_attempt_id"], gateway_account="acct_stranger")

    assert (event["status"], balance(db, tenant)) == ("parked", 0)
    assert books(db, tenant) == {}


@pytest.mark.parametrize(
    ("amounts", "statuses"),
    [
        ([2400, 2400], ["parked", "ignored"]),  # one payment told in two events
        ([2400, 2300], ["parked", "parked"]),  # the same, told otherwise
        ([2400, 2500], ["parked", "parked"]),  # the right amount does not make it right any more
        ([2400, 2500, 2400], ["parked", "parked", "ignored"]),
    ],
)
def test_one_payment_is_held_once_whatever_is_told_of_it(
    db, money, tenant, amounts, statuses
) -> None:
    row = money.open()
    events = [money.receive(row["payment_attempt_id"], amount=amount) for amount in amounts]

    assert [event["status"] for event in events] == statuses
    assert books(db, tenant) == {"gateway USD": 2400, "suspense USD": -2400}
    assert balance(db, tenant) == 0
    assert broken_invariants(db) == {}


def test_a_wrong_amount_told_of_a_captured_payment_books_nothing_more(db, money, tenant) -> None:
    row = money.open()
    money.receive(row["payment_attempt_id"])
    before = books(db, tenant)
    event = money.receive(row["payment_attempt_id"], amount=2400)

    assert event["status"] == "parked"
    assert books(db, tenant) == before


def test_replays_do_not_use_up_the_tries(db, money, tenant) -> None:
    row = money.open()
    break_wallet(db, tenant)
    for _ in range(20):
        event = money.receive(row["payment_attempt_id"], event_id="evt_1")

    assert (event["status"], event["tries"]) == ("received", 1)


def test_the_sweep_leaves_the_other_modes_messages_alone(db, money, tenant) -> None:
    row = money.open()
    break_wallet(db, tenant)
    money.receive(row["payment_attempt_id"])
    db.execute("update clock set skew_seconds = 3600")
    live = Money(db, tenant.session | {"x-hasura-livemode": "true"})

    assert live.call("apply_due_gateway_event") == []
    assert len(money.call("apply_due_gateway_event")) == 1


def test_a_message_of_the_other_mode_does_not_match_an_attempt(db, money, tenant) -> None:
    row = money.open()
    money.record(row["payment_attempt_id"])
    live = Money(db, tenant.session | {"x-hasura-livemode": "true"})
    by_id = live.receive(row["payment_attempt_id"], livemode=True)
    by_session = live.receive(None, livemode=True)

    assert (by_id["status"], by_session["status"]) == ("parked", "parked")
    assert balance(db, tenant) == 0


def test_one_gateway_payment_pays_one_attempt(db, money, tenant) -> None:
    first, second = money.open(), money.open(key="key-2")
    money.receive(first["payment_attempt_id"], gateway_payment_id="pi_1")
    event = money.receive(second["payment_attempt_id"], gateway_payment_id="pi_1")

    assert (event["status"], event["reason"]) == ("parked", "this payment is another attempt's")
    assert balance(db, tenant) == 250
    assert broken_invariants(db) == {}


@pytest.mark.parametrize("amount", [2499, 2501])
def test_a_delayed_payment_of_another_amount_is_parked(db, money, amount) -> None:
    row = money.open()
    event = money.receive(row["payment_attempt_id"], "processing", amount=amount)

    assert event["status"] == "parked"
    assert money.open()["status"] == "pending"


def test_a_capture_keeps_the_gateways_time_and_forgets_an_old_failure(db, money) -> None:
    row = money.open()
    money.receive(row["payment_attempt_id"], "failed", failure_code="declined")
    money.receive(row["payment_attempt_id"], occurred_at="2026-01-02T03:04:05Z")

    attempt = db.execute("select * from payment_attempts").fetchone()
    assert attempt["captured_at"] == datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert attempt["failure_code"] is None


def test_a_success_is_told_with_its_ids_and_its_amount(db, money) -> None:
    row = money.open()
    money.receive(row["payment_attempt_id"])

    told = db.execute(
        "select data, sequence from events where type = 'payment.succeeded'"
    ).fetchone()
    assert told["sequence"] == 1
    assert told["data"] == {
        "payment_intent_id": str(row["payment_intent_id"]),
        "payment_attempt_id": str(row["payment_attempt_id"]),
        "gateway": "stripe",
        "amount": 2500,
        "currency": "USD",
        "failure_code": None,
        "decline_class": None,
    }


def test_the_facts_of_one_payment_are_numbered_without_gaps(db, money) -> None:
    row = money.open()
    for outcome in ("processing", "failed", "paid"):
        money.receive(row["payment_attempt_id"], outcome)

    told = db.execute(
        "select type, sequence from events where object_id = %s order by sequence",
        [row["payment_intent_id"]],
    ).fetchall()
    assert [(t["type"], t["sequence"]) for t in told] == [
        ("payment.processing", 1),
        ("payment.failed", 2),
        ("payment.succeeded", 3),
    ]


@pytest.mark.parametrize(
    "change", ["update events set type = 'a.b'", "delete from events", "truncate events cascade"]
)
def test_what_was_told_is_never_rewritten(db, money, change) -> None:
    money.receive(money.open()["payment_attempt_id"])
    with pytest.raises(psycopg.Error, match="events is append-only") as failure, db.transaction():
        db.execute(change)

    assert failure.value.sqlstate == "42501"


@pytest.mark.parametrize("kind", ["trigger", "constraint trigger"])
def test_a_trigger_of_hasuras_cannot_borrow_the_owners_rights(db, money, kind) -> None:
    """The outbox is the one table that Hasura may put triggers on, deferred ones too."""
    row = money.open()
    database = db.execute("select current_database() as it").fetchone()["it"]
    db.execute(f"grant create on database {database} to munim_hasura")
    db.execute("set local role munim_hasura")
    db.execute("create schema evil")
    db.execute(
        "create function evil.steal() returns trigger language plpgsql as $$ begin"
        " perform public.ledger_account(new.organization_id, false, 'loot', 'asset', 'USD');"
        " return null; end $$"
    )
    when = "deferrable initially deferred" if kind == "constraint trigger" else ""
    db.execute(
        f"create {kind} evil after insert on events {when}"
        " for each row execute function evil.steal()"
    )
    db.execute("reset role")

    event = money.receive(row["payment_attempt_id"])
    assert event["status"] == "received"  # put off: it could not be applied
    assert "permission denied" in event["reason"]
    assert db.execute("select from ledger_accounts where code = 'loot'").fetchall() == []


A_REFUND = (
    "insert into refunds (organization_id, livemode, payment_intent_id, payment_attempt_id,"
    " gateway, gateway_account, idempotency_key, requested_by, request, type, reason, amount,"
    " currency, status, succeeded_at) select organization_id, livemode, payment_intent_id, id,"
    " gateway, gateway_account, 'key', 'system', '{{}}', 'full', 'other', {amount}, currency,"
    " '{status}', clock_now() from payment_attempts"
)
# How each invariant can be broken, by an owner who goes past triggers and constraints.
BREACHES = {
    "invariant_ledger_balances": (
        "update ledger_accounts set balance = balance + 1 where code = 'credits_issued'"
    ),
    "invariant_ledger_transactions_fit_their_accounts": (
        "update ledger_transactions set debit_account_id = gen_random_uuid()"
    ),
    "invariant_account_balances": "update ledger_accounts set balance = balance - 1",
    "invariant_account_holds": "update ledger_accounts set held = 1",
    "invariant_balances_follow_each_other": (
        "update ledger_transactions set debit_balance_after = debit_balance_after + 1"
    ),
    "invariant_sealed_transactions_are_whole": "update ledger_transactions set key = key || '!'",
    "invariant_ledger_blocks_are_chained": "update ledger_blocks set hash = sha256(hash)",
    "invariant_captures_are_booked": "update ledger_transactions set kind = 'other'",
    "invariant_paid_purchases_are_granted": "update payment_intents set status = 'pending'",
    "invariant_purchases_keep_their_rate": "update credit_purchases set credit_rate = 11",
    "invariant_credit_lots_sum_to_their_wallet": (
        "update ledger_accounts set balance = balance - 1 where customer_id is not null"
    ),
    "invariant_credit_lots_are_what_was_issued": (
        "update ledger_accounts set balance = balance + 1 where code = 'credits_issued'"
    ),
    "invariant_credit_lots_explain_prepaid_money": (
        "update ledger_accounts set balance = balance - 1 where code = 'prepaid_credits'"
    ),
    "invariant_credit_lots_explain_revenue": (
        "insert into ledger_accounts (organization_id, livemode, code, account_type, currency,"
        " balance) select id, false, 'credit_revenue', 'revenue', 'USD', -1 from organizations"
    ),
    "invariant_credit_lots_add_up": "update credit_lots set used = 1, remaining = remaining - 1",
    "invariant_credit_spends_add_up": (
        "insert into credit_spends (organization_id, livemode, customer_id, idempotency_key,"
        " requested_by, credits_amount, description, ledger_transaction_id)"
        " select organization_id, livemode, id, 'key', 'user:ada', 1, 'Lunch', gen_random_uuid()"
        " from customers"
    ),
    "invariant_attempts_ask_for_what_is_owed": "update payment_attempts set amount = 2501",
    "invariant_captures_book_what_was_taken": "update payment_attempts set amount_captured = 2499",
    "invariant_surplus_is_owed_back": (
        "insert into ledger_accounts (organization_id, livemode, code, account_type, currency,"
        " balance) select id, false, 'surplus', 'liability', 'USD', -1 from organizations"
    ),
    "invariant_unsettled_attempts_are_checked": (
        "update payment_attempts set status = 'unknown', captured_at = null, amount_captured = 0"
    ),
    "invariant_refunds_are_counted": "update payment_attempts set amount_refunded = 1",
    "invariant_refunds_fit_their_payment": A_REFUND.format(status="succeeded", amount=2501),
    "invariant_refunds_are_booked": A_REFUND.format(status="failed", amount=1)
    + "; insert into ledger_transactions select (jsonb_populate_record(ledger_transactions,"
    " jsonb_build_object('id', gen_random_uuid(), 'key', 'x', 'kind', 'refund', 'reference_type',"
    " 'refund', 'reference_id', refunds.id, 'debited_at', debited_at + interval '1 hour',"
    " 'credited_at', credited_at + interval '1 hour'))).* from ledger_transactions, refunds"
    " where ledger_transactions.kind = 'capture'",
    "invariant_pending_refunds_are_owed": A_REFUND.format(status="pending", amount=1),
    "invariant_unsettled_refunds_are_checked": A_REFUND.format(status="created", amount=1),
    "invariant_surplus_goes_back": "update payment_attempts set is_surplus = true",
    "invariant_open_disputes_are_booked": (
        "insert into ledger_accounts (organization_id, livemode, code, account_type, currency,"
        " balance) select id, false, 'disputes', 'asset', 'USD', 1 from organizations"
    ),
    "invariant_recalls_follow_their_refunds": (
        "insert into credit_recalls (organization_id, livemode, credit_lot_id, refund_id,"
        " credits_amount, amount, lost_amount) select organization_id, livemode, id,"
        " gen_random_uuid(), 1, 1, 0 from credit_lots"
    ),
    **{name: mandates.A_PAID_MONTH + breach for name, breach in mandates.BREACHES.items()},
    **bank_statement.BREACHES,
    "invariant_people_answer_for_what_they_resolved": (
        "insert into exceptions (livemode, class, object_type, object_id, detail, resolved_at,"
        " resolved_by, resolution) values (false, 'order-mismatch', 'order_event',"
        " gen_random_uuid(), 'said', clock_now(), 'nobody', 'none')"
    ),
    "invariant_people_are_assigned_by_people": (
        "insert into exceptions (livemode, class, object_type, object_id, detail, assigned_to)"
        " values (false, 'order-mismatch', 'order_event', gen_random_uuid(), 'said', 'nobody')"
    ),
    "invariant_parked_events_are_listed": (
        "insert into event_publications (event_id, destination, organization_id, livemode, status,"
        " due_at) select id, 'url', organization_id, livemode, 'parked', null from events"
    ),
    "invariant_applied_messages_have_an_effect": (
        "update payment_attempts set status = 'failed', captured_at = null, amount_captured = 0"
    ),
    "invariant_effects_are_booked_once": (
        "insert into ledger_transactions select (jsonb_populate_record(ledger_transactions,"
        " jsonb_build_object('id', gen_random_uuid(), 'key', 'again', 'debited_at', debited_at"
        " + interval '1 hour', 'credited_at', credited_at + interval '1 hour'))).*"
        " from ledger_transactions where kind = 'capture'"
    ),
    "invariant_facts_are_numbered": "update events set sequence = sequence + 1",
    "invariant_payments_succeed_for_good": (
        "insert into events (organization_id, livemode, type, object_type, object_id, sequence,"
        " data) select organization_id, livemode, 'payment.failed', object_type, object_id, 2, data"
        " from events where type = 'payment.succeeded'"
    ),
    "invariant_ends_are_told": "update events set type = 'payment.other'",
    "invariant_requests_have_effects_of_their_own": (
        "insert into credit_grants (organization_id, livemode, customer_id, idempotency_key,"
        " requested_by, credits_amount, reason, ledger_transaction_id) select organization_id,"
        " livemode, customer_id, 'key', 'user:ada', 1, 'Welcome', ledger_transaction_id"
        " from credit_purchases"
    ),
    "invariant_records_stay_in_their_organization": (
        "update payment_attempts set organization_id = gen_random_uuid()"
    ),
    "invariant_no_card_is_kept": (
        """update gateway_events set payload = '{"data": [{"card_number": "4111111111111111"}]}'"""
    ),
    "invariant_tries_come_to_an_end": "update payment_attempts set checks = 100",
}


@pytest.mark.parametrize("name", BREACHES)
def test_an_invariant_names_what_breaks_it(db, money, name) -> None:
    row = money.open()
    money.receive(row["payment_attempt_id"])
    db.execute("set constraints all immediate")
    money.call("seal_ledger_block")
    assert broken_invariants(db) == {}

    db.execute("set local session_replication_role = replica")
    db.execute("alter table ledger_accounts drop constraint ledger_account_stays_within_its_bounds")
    db.execute(BREACHES[name])
    broken = broken_invariants(db)
    assert name in broken

    assert rows_in_parts(db, money, name) == len(broken[name])


def rows_in_parts(db: Connection, money: Money, name: str) -> int:
    """Count what an invariant finds when it is read in eight parts, if it can be."""
    money.call("begin_invariant_checks")
    found = 0
    for position in range(0, 4096, 512):
        row = db.execute(
            "update invariant_checks set width = 512, position = %s"
            " where name = %s and key_column is not null"
            " returning invariant_part(invariant_checks) as part",
            [position, name],
        ).fetchone()
        if row is None:
            return len(broken_invariants(db)[name])
        found += db.execute(f"select count(*) from {name} where {row['part']}").fetchone()["count"]
    return found


def test_every_invariant_has_a_breach_that_it_was_tried_on(db) -> None:
    views = db.execute("select viewname from pg_views where viewname like 'invariant\\_%'")

    assert {view["viewname"] for view in views} == set(BREACHES)
