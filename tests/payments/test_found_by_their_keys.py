"""A message finds its payment by a key, whatever the statistics say of how many there are."""

from collections.abc import Iterator

import psycopg
import pytest
from books import Connection, settle
from psycopg.rows import dict_row

PAYMENTS = 5000
OPENED = """
with intents as (
    insert into payment_intents (organization_id, livemode, customer_id, purpose, amount, currency)
    select %(organization_id)s, false, %(customer_id)s, 'order', 2500, 'USD'
    from generate_series(1, %(payments)s)
    returning *
)
insert into payment_attempts (
    organization_id, livemode, payment_intent_id, gateway, amount, currency, status, next_check_at
)
select organization_id, livemode, id, 'stripe', amount, currency, 'pending', clock_now()
from intents
"""
PAID = """
update payment_attempts
set status = 'captured', gateway_payment_id = 'pi_' || id, captured_at = clock_now(),
    amount_captured = amount, next_check_at = null
"""
READ = """
select seq_tup_read + idx_tup_fetch as rows
from pg_stat_xact_user_tables where relname = 'payment_attempts'
"""
HEARD = """
select jsonb_populate_record(null::gateway_events, jsonb_build_object(
    'gateway', 'stripe', 'gateway_account', '', 'livemode', false,
    'notice', jsonb_build_object('gateway_payment_id', gateway_payment_id)
)) as event, payment_attempts as attempt
from payment_attempts order by ctid desc limit 1  -- who reads all of them comes to it last
"""


@pytest.fixture(params=["never", "before any was paid"])
def shop(database: str, request: pytest.FixtureRequest) -> Iterator[Connection]:
    """Return a shop that was analysed never, or long ago.

    In a database of its own: one that other tests use may be analysed by Postgres at any time.
    """
    with psycopg.connect(database, row_factory=dict_row) as db:
        db.execute("set local enable_seqscan = off")
        db.execute(OPENED, {**vars(settle(db)), "payments": PAYMENTS})
        if request.param != "never":
            db.execute("analyze payment_attempts")
        db.execute(PAID)
        # As receive_gateway_event has it.
        db.execute("set local plan_cache_mode = force_generic_plan")
        yield db


@pytest.mark.parametrize(
    ("asked", "answer"),
    [("is_booked_elsewhere(event, attempt)", False), ("(attempt_of_notice(event)).amount", 2500)],
)
def test_a_message_reads_its_own_payment_only(shop: Connection, asked: str, answer: object) -> None:
    shop.execute(f"create temporary table heard on commit drop as {HEARD}")
    before = shop.execute(READ).fetchone()
    found = shop.execute(f"select {asked} as it from heard").fetchone()
    after = shop.execute(READ).fetchone()

    assert found == {"it": answer}
    assert after["rows"] - before["rows"] <= 2
