"""Many charges begun in one call, and many answers kept in one: as in a call for each."""

from concurrent.futures import ThreadPoolExecutor
from operator import itemgetter
from typing import Any

import psycopg
import pytest
from books import Connection, Money, Tenant, broken_invariants, settle
from mandates import Autopay, move_clock
from payers import neighbour
from psycopg.rows import dict_row
from sides import Stage, at

DUE = "2027-06-15T09:00Z"


def crowd(db: Connection, tenants: list[Tenant]) -> list[Autopay]:
    """Give each a mandate of 25.00 USD on the 15th, two weeks before that."""
    payers = [Autopay(db, Money(db, tenant.session), tenant) for tenant in tenants]
    payers[0].at("2027-06-01T12:00Z")
    for payer in payers:
        payer.set_up()
    return payers


def claimed(payers: list[Autopay]) -> list[dict[str, Any]]:
    payers[0].at(DUE)
    payers[0].materialise()
    return payers[0].claim()


def count(db: Connection, table: str) -> int:
    return len(db.execute(f"select from {table}").fetchall())


@pytest.fixture
def neighbours(db: Connection, tenant: Tenant) -> list[Tenant]:
    return [tenant, *(neighbour(db, tenant) for _ in range(3))]


# Begun


def test_charges_that_are_begun_again_are_answered_again_and_never_doubled(
    db: Connection, neighbours: list[Tenant]
) -> None:
    payers = crowd(db, neighbours)
    claims = claimed(payers)
    orders = payers[0].begin(claims)

    assert len(orders) == 4
    again = payers[0].begin(claims[::-1])
    assert sorted(again, key=itemgetter("id")) == sorted(orders, key=itemgetter("id"))
    tables = ("payment_attempts", "payment_intents", "credit_purchases")
    assert [count(db, table) for table in tables] == [4, 4, 4]
    tries = db.execute("select distinct tries, fence from autopay_charges").fetchall()
    assert tries == [{"tries": 1, "fence": 1}]


def test_of_two_charges_of_one_customer_the_second_looks_at_the_first(
    db: Connection, neighbours: list[Tenant]
) -> None:
    payers = crowd(db, neighbours)
    payers[0].set_up(currency="JPY", amount=1000)
    payers[0].settings(daily_tries_max=1)

    assert len(payers[0].begin(claimed(payers))) == 4
    skipped = db.execute("select reason from autopay_charges where status = 'skipped'").fetchall()
    assert skipped == [{"reason": "too-many-tries"}]


def test_one_that_is_refused_does_not_keep_the_others_from_beginning(
    db: Connection, neighbours: list[Tenant]
) -> None:
    payers = crowd(db, neighbours)
    payers[1].set_up(currency="JPY", amount=1000, day_of_month=15)
    db.execute("delete from payment_settings where currency = 'JPY'")

    assert len(payers[0].begin(claimed(payers))) == 4
    waiting = "select reason, tries from autopay_charges where status = 'due'"
    refused = [{"reason": "currency-not-supported", "tries": 1}]
    assert db.execute(waiting).fetchall() == refused


# Answered


def test_two_answers_about_one_attempt_are_left_to_be_kept_alone(
    db: Connection, neighbours: list[Tenant]
) -> None:
    """One of the two payments pays the month; the other must not be in no book."""
    payers = crowd(db, neighbours)
    orders = payers[0].begin(claimed(payers))
    twice = payers[0].said(orders[0])
    again = payers[0].said(orders[0], event_id="answer:again", gateway_payment_id="pi_other")
    said = [twice, again, *map(payers[0].said, orders[1:])]
    kept = payers[0].money.receive_together(*said)

    ids = {order["payment_attempt_id"] for order in orders[1:]}
    assert {row["payment_attempt_id"] for row in kept} == ids
    assert count(db, "payment_attempts where status = 'captured'") == 3
    assert broken_invariants(db) == {}


def test_all_accounts_are_opened_before_any_is_locked(database: str) -> None:
    """Who opens an account in one organisation may wait for an account of another."""
    with psycopg.connect(database, row_factory=dict_row) as db:
        move_clock(db, "2027-06-01T12:00Z")
        tenants = sorted((settle(db), settle(db)), key=lambda each: each.organization_id)
        payers = crowd(db, tenants)
        orders = payers[0].begin(claimed(payers))
        open_accounts(db, tenants[0])

    def keep() -> int:
        with psycopg.connect(database, row_factory=dict_row) as db:
            money = Money(db, tenants[0].session)
            return len(Autopay(db, money, tenants[0]).answer_together(orders))

    with ThreadPoolExecutor(1) as pool, psycopg.connect(database) as db:
        db.execute(
            "select ledger_account(%s, false, 'fees', 'expense', 'USD')",
            [tenants[0].organization_id],
        )
        keeping = pool.submit(keep)
        db.execute(
            "set local statement_timeout = '60s';"
            "do $$ begin while not exists (select from pg_locks where not granted"
            " and pg_backend_pid() = any(pg_blocking_pids(pid))) loop"
            " perform pg_sleep(0.01); end loop; end $$"
        )
        db.execute("select from ledger_accounts for no key update nowait")  # they are not locked
        db.commit()
        assert keeping.result() == 2


def test_two_workers_charge_a_customer_no_oftener_a_day_than_one(stage: Stage) -> None:
    with psycopg.connect(stage.url, row_factory=dict_row) as db:
        tenant = settle(db)
        (payer,) = crowd(db, [tenant])
        payer.settings(daily_tries_max=1)
        payer.set_up(currency="JPY", amount=2500)
        claims = claimed([payer])
        assert len(claims) == 2
    one, other = stage.side(), stage.side()

    def begin(db: Connection, claim: dict[str, Any]) -> int:
        return len(Autopay(db, at(payer.money, db), tenant).begin([claim]))

    assert one.do(lambda db: begin(db, claims[0])) == 1
    second = other.begin(lambda db: begin(db, claims[1]))
    stage.waits(other)
    one.commit()
    assert second.result() == 0


def open_accounts(db: Connection, tenant: Tenant) -> None:
    """Open every part of what a purchase by card is booked on."""
    db.execute(
        "select ledger_account(%s, false, code, kind, currency, part::uuid)"
        " from (values ('gateway:stripe', 'asset', 'USD'), ('credits_issued', 'asset', 'XCR'),"
        " ('prepaid_credits', 'liability', 'USD'))"
        " as account (code, kind, currency)"
        " cross join (select rpad('', 31, '0') || to_hex(generate_series(0, 15)) as part) as parts",
        [tenant.organization_id],
    )
