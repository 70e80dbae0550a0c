"""What a posting costs beside the barest one that moves the same money, on the same Postgres.

The bare function inserts a transaction with a unique key, updates two balances and inserts two
entries with the balance after: no tenant, no bounds, no locks in order. Both
run turn by turn, with fsync on, one client; printed are postings a second and their ratio.
"""

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import psycopg

from sandbox import migrations
from sandbox.postgres import Postgres

ACCOUNTS = 10_000
SECONDS = 2.0
ROUNDS = 7

BARE = """
create schema bare;
create table bare.accounts (id uuid primary key, balance bigint not null default 0);
create table bare.transactions (id uuid primary key default gen_random_uuid(), key text unique);
create table bare.entries (
    id bigint generated always as identity primary key,
    transaction_id uuid not null references bare.transactions,
    account_id uuid not null references bare.accounts,
    amount bigint not null, balance_after bigint not null
);
create index on bare.entries (account_id, id);
create function bare.post(p_key text, p_from uuid, p_to uuid, p_amount bigint) returns uuid
language plpgsql as $$
declare v_id uuid; v_from bigint; v_to bigint;
begin
    insert into bare.transactions (key) values (p_key) returning id into v_id;
    update bare.accounts set balance = balance - p_amount where id = p_from
    returning balance into v_from;
    update bare.accounts set balance = balance + p_amount where id = p_to
    returning balance into v_to;
    insert into bare.entries (transaction_id, account_id, amount, balance_after)
    values (v_id, p_from, -p_amount, v_from), (v_id, p_to, p_amount, v_to);
    return v_id;
end; $$;
"""
POST = (
    "select post_ledger_transaction(%s, false, %s, 'bench', 'bench', gen_random_uuid(),"
    " clock_now(), %s, %s, 100)"
)


def main() -> None:
    directory = Path(tempfile.mkdtemp())
    with Postgres(directory) as server:
        migrations.apply(server.url, Path("migrations/default"), report=lambda _: None)
        with psycopg.connect(server.url, autocommit=True) as db:
            measure(db)
    server.destroy()


def measure(db: psycopg.Connection) -> None:
    organization_id, ids = prepare(db)

    def bare(number: int) -> None:
        db.execute("select bare.post(%s, %s, %s, 100)", [f"bare:{number}", *pair(ids, number)])

    def ours(number: int) -> None:
        db.execute(POST, [organization_id, f"ours:{number}", *pair(ids, number)])

    rates = [(rate(bare), rate(ours)) for _ in range(ROUNDS)]
    ratios = [ours / bare for bare, ours in rates]
    print(f"bare     {statistics.median(bare for bare, _ in rates):8.0f} postings/s")
    print(f"munim    {statistics.median(ours for _, ours in rates):8.0f} postings/s")
    print(f"ratio    {statistics.median(ratios):8.2f}  [{min(ratios):.2f}..{max(ratios):.2f}]")


def prepare(db: psycopg.Connection) -> tuple[object, list[object]]:
    db.execute(BARE)
    organization_id = uuid4()
    db.execute(
        "insert into organizations (id, name, default_currency) values (%s, 'Bench', 'USD')",
        [organization_id],
    )
    rows = db.execute(
        "insert into ledger_accounts (organization_id, livemode, code, account_type, currency)"
        " select %s, false, 'bench:' || n, 'asset', 'USD' from generate_series(1, %s) as n"
        " returning id",
        [organization_id, ACCOUNTS],
    ).fetchall()
    db.execute("insert into bare.accounts (id) select id from ledger_accounts")
    db.execute("vacuum analyze")
    return organization_id, [row[0] for row in rows]


def pair(ids: list[object], number: int) -> tuple[object, object]:
    return ids[number * 7919 % ACCOUNTS], ids[(number * 7919 + 1) % ACCOUNTS]


NUMBERS = iter(range(1 << 40))


def rate(post: Callable[[int], None]) -> float:
    done, started = 0, time.perf_counter()
    while time.perf_counter() - started < SECONDS:
        post(next(NUMBERS))
        done += 1
    return done / (time.perf_counter() - started)


if __name__ == "__main__":
    main()
