"""The books that race: one database each on one server, with the same ten thousand accounts.

Those who share a way of keeping them share no database: what one books would slow the other down.
"""

from __future__ import annotations

from pathlib import Path

import psycopg

from sandbox import migrations

ROOT = Path(__file__).parents[2]
PGLEDGER = Path(__file__).parent / "pgledger"
OURS = ("munim", "hot", "batch", "python")
ACCOUNTS = 10_000
SEEDED = 20_000  # postings before the race: an empty table's statistics make bad plans for long
ORGANIZATION = "11111111-1111-4111-8111-111111111111"

# Nothing but the work: a unique key, two balances, two entries with the balance after, both foreign
# keys. No tenant, no order of locks, no look at the sum, no answer to a key that comes again.
BARE = """
create table accounts (id uuid primary key, balance bigint not null default 0);
create table transactions (id uuid primary key default gen_random_uuid(), key text unique);
create table entries (
    id bigint generated always as identity primary key,
    transaction_id uuid not null references transactions,
    account_id uuid not null references accounts,
    amount bigint not null, balance_after bigint not null
);
create index on entries (account_id, id);
create function post(p_key text, p_from uuid, p_to uuid, p_amount bigint) returns uuid
language plpgsql as $$
declare v_id uuid; v_from bigint; v_to bigint;
begin
    insert into transactions (key) values (p_key) returning id into v_id;
    update accounts set balance = balance - p_amount where id = p_from
    returning balance into v_from;
    update accounts set balance = balance + p_amount where id = p_to
    returning balance into v_to;
    insert into entries (transaction_id, account_id, amount, balance_after)
    values (v_id, p_from, -p_amount, v_from), (v_id, p_to, p_amount, v_to);
    return v_id;
end; $$;
"""
BARE_ACCOUNTS = "insert into accounts select md5(n::text)::uuid from generate_series(1, {n}) as n"
OUR_ACCOUNTS = f"""
insert into organizations (id, name, default_currency) values ('{ORGANIZATION}', 'Bench', 'USD');
insert into ledger_accounts (id, organization_id, livemode, code, account_type, currency)
select md5(n::text)::uuid, '{ORGANIZATION}', false, 'bench:' || n, 'asset', 'USD'
from generate_series(1, {{n}}) as n
"""
PGLEDGER_ACCOUNTS = """
insert into pgledger_accounts (
    id, name, currency, allow_negative_balance, allow_positive_balance, created_at, updated_at
)
select 'pgla_' || uuid_to_ulid(md5(n::text)::uuid), 'bench ' || n, 'USD', true, true, now(), now()
from generate_series(1, {n}) as n
"""
PAIR = "md5((1 + n % 10000)::text)::uuid, md5((1 + (n * 7919 + 1) % 10000)::text)::uuid"
BARE_SEED = f"select post('seed:' || n, {PAIR}, 5) from generate_series({{a}}, {{b}}) as n"
OUR_SEED = f"""
select post_ledger_transactions('{ORGANIZATION}', false, array_agg((
    'seed:' || n, 'bench', 'bench', gen_random_uuid(), clock_now(), {PAIR}, 5
)::ledger_posting)) from generate_series({{a}}, {{b}}) as n
"""
PGLEDGER_SEED = """
select pgledger_create_transfer(
    'pgla_' || uuid_to_ulid(md5((1 + n % 10000)::text)::uuid),
    'pgla_' || uuid_to_ulid(md5((1 + (n * 7919 + 1) % 10000)::text)::uuid), 5
) from generate_series({a}, {b}) as n
"""


def create(url: str) -> dict[str, str]:
    """Make every database, and return its address by name."""
    tune(url)
    urls = {name: _database(url, name) for name in (*OURS, "bare", "pgledger", "hordak")}
    for name in OURS:
        migrations.apply(urls[name], ROOT / "migrations" / "default", report=lambda _: None)
        _fill(urls[name], [OUR_ACCOUNTS], OUR_SEED)
    peer = [(PGLEDGER / name).read_text() for name in ("uuid-to-ulid.sql", "pgledger.sql")]
    _fill(urls["bare"], [BARE, BARE_ACCOUNTS], BARE_SEED)
    _fill(urls["pgledger"], [*peer, PGLEDGER_ACCOUNTS], PGLEDGER_SEED)
    return urls


def tune(url: str) -> None:
    """No checkpoint falls into a lap; everything else is as Postgres comes."""
    with psycopg.connect(url, autocommit=True) as db:
        db.execute("alter system set max_wal_size = '8GB'")
        db.execute("alter system set checkpoint_timeout = '30min'")
        db.execute("select pg_reload_conf()")


def _database(url: str, name: str) -> str:
    base, own = url.rsplit("/", 1)
    if own != name:
        with psycopg.connect(url, autocommit=True) as db:
            db.execute(f"create database {name}")
    return f"{base}/{name}"


def _fill(url: str, schema: list[str], seed: str) -> None:
    with psycopg.connect(url, autocommit=True) as db:
        for statement in schema:
            db.execute(statement.replace("{n}", str(ACCOUNTS)))
        for start in range(0, SEEDED, 1000):
            db.execute(seed.replace("{a}", str(start)).replace("{b}", str(start + 999)))
        db.execute("vacuum analyze")
