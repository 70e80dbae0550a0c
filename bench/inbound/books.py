"""What each service has in its database before the first webhook comes, and what it has after."""

from __future__ import annotations

from pathlib import Path
from typing import LiteralString
from urllib.parse import urlsplit, urlunsplit

import psycopg
from psycopg import sql

from inbound.messages import AMOUNT, CURRENCY
from sandbox import migrations

CUSTOMERS = 1000
MIGRATIONS = Path(__file__).parents[2] / "migrations" / "default"
ORGANIZATION = "10000000-0000-4000-8000-000000000001"

MERCHANT = f"""
insert into organizations (id, name, default_currency) values ('{ORGANIZATION}', 'Bench', 'USD');
insert into payment_settings values ('{ORGANIZATION}', '{CURRENCY}', 100, 100000);
insert into system_settings values ('{ORGANIZATION}', 'credit_rate_usd', '10');
insert into customers (id, organization_id, livemode, user_id, email, name)
select md5('customer ' || n)::uuid, '{ORGANIZATION}', false, 'user-' || n,
    'payer' || n || '@example.com', 'Payer ' || n
from generate_series(0, {CUSTOMERS - 1}) as n;
analyze customers;
"""
# What is owed, a page of each open: as initiatePayment and createPayment leave it, at once.
OWED = f"""
insert into payment_intents (
    id, organization_id, livemode, customer_id, purpose, amount, currency
)
select md5('intent ' || n)::uuid, '{ORGANIZATION}', false,
    md5('customer ' || n * 7919 %% {CUSTOMERS})::uuid, %(purpose)s, {AMOUNT}, '{CURRENCY}'
from generate_series(%(first)s::bigint, %(last)s) as n;
insert into payment_attempts (
    id, organization_id, livemode, payment_intent_id, gateway, amount, currency, status,
    next_check_at
)
select md5('attempt ' || n)::uuid, '{ORGANIZATION}', false, md5('intent ' || n)::uuid, 'stripe',
    {AMOUNT}, '{CURRENCY}', 'pending', clock_now() + interval '1 day'
from generate_series(%(first)s::bigint, %(last)s) as n;
insert into checkout_sessions (
    organization_id, livemode, payment_attempt_id, gateway, gateway_session_id, url,
    customer_email, success_url, cancel_url, expires_at
)
select '{ORGANIZATION}', false, md5('attempt ' || n)::uuid, 'stripe',
    'cs_test_' || md5('attempt ' || n), 'https://pay.example/' || n, 'payer@example.com',
    'https://shop.example/', 'https://shop.example/', clock_now() + interval '23 hours'
from generate_series(%(first)s::bigint, %(last)s) as n;
"""
ORDERS = f"""
insert into orders (
    organization_id, livemode, customer_id, payment_intent_id, reference, display_id, title
)
select '{ORGANIZATION}', false, md5('customer ' || n * 7919 %% {CUSTOMERS})::uuid,
    md5('intent ' || n)::uuid, 'bench ' || n, 'TXN-' || n, 'Booking ' || n
from generate_series(%(first)s::bigint, %(last)s) as n;
"""
PURCHASES = f"""
insert into credit_purchases (
    organization_id, livemode, customer_id, payment_intent_id, idempotency_key, requested_by,
    amount, currency, credit_rate, credits_amount
)
select '{ORGANIZATION}', false, md5('customer ' || n * 7919 %% {CUSTOMERS})::uuid,
    md5('intent ' || n)::uuid, 'bench ' || n, 'bench', {AMOUNT}, '{CURRENCY}', 10,
    250
from generate_series(%(first)s::bigint, %(last)s) as n;
"""
SOLD = {"order": ORDERS, "credit_purchase": PURCHASES}
# Statistics of tables that stay empty would mislead; these have rows now.
ANALYZE = "analyze payment_intents, payment_attempts, checkout_sessions, orders, credit_purchases"

# The service by hand: as little as keeps an event once, books it, and tells others of it.
HANDMADE = """
create table events (id text primary key, payload jsonb not null, at timestamptz default now());
create table accounts (id int primary key, balance bigint not null default 0);
create table transactions (
    id bigint primary key generated always as identity, key text not null unique,
    at timestamptz not null default now()
);
create table entries (
    id bigint primary key generated always as identity,
    transaction_id bigint not null references transactions,
    account_id int not null references accounts,
    amount bigint not null, balance_after bigint not null
);
create index on entries (account_id, id);
create table outbox (
    id bigint primary key generated always as identity, type text not null, data jsonb not null,
    at timestamptz not null default now()
);
create function post(
    p_event text, p_payload jsonb, p_payment text, p_from int, p_to int, p_amount bigint
) returns boolean language plpgsql as $$
declare v_transaction bigint; v_from bigint; v_to bigint;
begin
    insert into events (id, payload) values (p_event, p_payload) on conflict do nothing;
    if not found then
        return false;
    end if;
    insert into transactions (key) values ('capture:' || p_payment) returning id into v_transaction;
    update accounts set balance = balance - p_amount where id = p_from
    returning balance into v_from;
    update accounts set balance = balance + p_amount where id = p_to returning balance into v_to;
    insert into entries (transaction_id, account_id, amount, balance_after)
    values (v_transaction, p_from, -p_amount, v_from), (v_transaction, p_to, p_amount, v_to);
    insert into outbox (type, data) values (
        'payment.succeeded', jsonb_build_object('payment', p_payment, 'amount', p_amount)
    );
    return true;
end; $$;
"""
CLEARING = 16  # the gateway's account is in so many parts, as ours is
HANDMADE_ROWS = "insert into accounts (id) select generate_series(0, %s)"

UNDELIVERED = (
    "select count(*) from hdb_catalog.event_log where not delivered and not error and not archived"
)


def database(url: str, name: str) -> str:
    """Make another database of the same server, and return its address."""
    with psycopg.connect(url, autocommit=True) as db:
        db.execute(sql.SQL("create database {}").format(sql.Identifier(name)))
    return urlunsplit(urlsplit(url)._replace(path=f"/{name}"))


def write_merchant(url: str) -> None:
    """Make the product's database with an organisation and its customers."""
    migrations.apply(url, MIGRATIONS, report=lambda _: None)
    with psycopg.connect(url, autocommit=True) as db:
        db.execute(MERCHANT)


def write_owed(url: str, purpose: str, first: int, count: int) -> None:
    """Have so many payments wait, whose attempts have the ids of inbound.messages.attempt_id."""
    values = {"purpose": purpose, "first": first, "last": first + count - 1}
    with psycopg.ClientCursor(psycopg.connect(url, autocommit=True)) as cursor:
        cursor.execute(OWED, values)
        cursor.execute(SOLD[purpose], values)
        cursor.execute(ANALYZE)
        cursor.connection.close()


def write_handmade(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as db:
        db.execute(HANDMADE)
        db.execute(HANDMADE_ROWS, [CLEARING + CUSTOMERS])


def count(url: str, statement: LiteralString) -> int:
    with psycopg.connect(url, autocommit=True) as db:
        row = db.execute(statement).fetchone()
    return int(row[0]) if row else 0
