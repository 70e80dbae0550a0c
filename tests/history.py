"""Every change of a status as it happened: tables remember only where it ended.

Triggers of the tests' own write down each status that a row begins with or goes to, and each fact
of the outbox, with its transaction. Afterwards each history must be a path that only rises, but for
the falls listed here by hand, and what must be told was told in the transaction that made it so.
"""

from __future__ import annotations

from typing import Any

import psycopg

Connection = psycopg.Connection[dict[str, Any]]

# How far each status is. From one to another of the same rank no way leads.
RANKS: dict[str, dict[str, int]] = {
    "payment_intent": {
        "pending": 0,
        "processing": 1,
        "authorized": 2,
        "failed": 3,
        "expired": 3,
        "canceled": 4,
        "paid": 5,
    },
    "payment_attempt": {
        "created": 0,
        "unknown": 1,
        "pending": 2,
        "processing": 3,
        "authorized": 4,
        "failed": 5,
        "expired": 5,
        "canceled": 5,
        "captured": 6,
    },
    "refund": {
        "created": 0,
        "unknown": 1,
        "pending": 2,
        "succeeded": 3,
        "failed": 4,
        "canceled": 4,
    },
    "dispute": {"opened": 0, "under_review": 1, "won": 2, "lost": 2},
    "credit_recall": {"held": 0, "taken": 1, "released": 2, "returned": 2},
    "autopay_mandate": {"pending_setup": 0, "failed": 1, "active": 2, "paused": 3, "canceled": 4},
    "autopay_charge": {
        "due": 0,
        "claimed": 1,
        "charging": 2,
        "action_required": 3,
        "failed": 4,
        "skipped": 4,
        "canceled": 4,
        "succeeded": 5,
    },
    "bank_account": {"entered": 0, "open": 1, "closed": 2},
    "bank_transfer": {"entered": 0, "approved": 1, "rejected": 1, "returned": 2},
    "event_publication": {"pending": 0, "parked": 1, "published": 2},
}

# The only ways down: another try, or a gateway that changed its mind.
FALLS = {
    *{("payment_intent", "failed", after) for after in ("pending", "processing", "authorized")},
    *{("payment_intent", "expired", after) for after in ("pending", "authorized")},
    *{("payment_attempt", "failed", after) for after in ("processing", "authorized")},
    ("payment_attempt", "expired", "authorized"),
    ("payment_intent", "processing", "pending"),
    ("payment_attempt", "processing", "pending"),
    ("refund", "failed", "pending"),
    ("refund", "failed", "succeeded"),
    ("autopay_mandate", "paused", "active"),
    ("autopay_charge", "claimed", "due"),
    ("autopay_charge", "charging", "due"),
    ("event_publication", "parked", "pending"),
}

# What is told of a status; of each other one nothing is.
TOLD: dict[tuple[str, str], set[str]] = {
    ("payment_intent", "processing"): {"payment.processing"},
    ("payment_intent", "authorized"): {"payment.authorized"},
    ("payment_intent", "failed"): {"payment.failed"},
    ("payment_intent", "expired"): {"payment.expired"},
    ("payment_intent", "paid"): {"payment.succeeded"},
    ("payment_intent", "canceled"): {"payment.canceled"},
    ("refund", "created"): {"refund.created"},
    ("refund", "succeeded"): {"refund.succeeded"},
    ("refund", "failed"): {"refund.failed"},
    ("refund", "canceled"): {"refund.failed"},
    ("dispute", "opened"): {"dispute.opened"},
    ("dispute", "won"): {"dispute.won"},
    ("dispute", "lost"): {"dispute.lost"},
    ("autopay_mandate", "active"): {"autopay.activated", "autopay.resumed"},
    ("autopay_mandate", "failed"): {"autopay.setup_failed"},
    ("autopay_mandate", "paused"): {"autopay.paused"},
    ("autopay_mandate", "canceled"): {"autopay.canceled"},
    ("autopay_charge", "action_required"): {"autopay.action_required"},
    ("autopay_charge", "failed"): {"autopay.failed"},
    ("autopay_charge", "succeeded"): {"autopay.succeeded"},
    ("bank_account", "open"): {"bank_account.opened"},
    ("bank_account", "closed"): {"bank_account.closed"},
    ("bank_transfer", "entered"): {"bank_transfer.entered"},
    ("bank_transfer", "approved"): {"bank_transfer.approved"},
    ("bank_transfer", "rejected"): {"bank_transfer.rejected"},
    ("bank_transfer", "returned"): {"bank_transfer.returned"},
}

TABLES = """
select tgrelid::regclass::text as table, regexp_replace(tables.tablename, '_steps$', '') as noun
from pg_trigger
cross join lateral (
    select replace(encode(tgargs, 'escape'), '\\000', '') as tablename
) as tables
where tgfoid = 'check_step'::regproc
order by noun
"""

KEEPING = """
create schema history;
create table history.changes (
    number bigint generated always as identity,
    noun text not null,
    object_id text not null,
    before text,
    after text not null,
    transaction xid8 not null default pg_current_xact_id()
);
create table history.told (
    noun text not null,
    object_id text not null,
    type text not null,
    transaction xid8 not null default pg_current_xact_id()
);
create function history.keep_change() returns trigger
language plpgsql security definer
as $$
declare
    v_row jsonb := to_jsonb(new);
begin
    if tg_op = 'INSERT' or old.status <> new.status then
        insert into history.changes (noun, object_id, before, after)
        values (
            tg_argv[0],
            coalesce(
                v_row ->> 'id', v_row ->> 'refund_id',
                concat_ws(' ', v_row ->> 'event_id', v_row ->> 'destination')
            ),
            case when tg_op = 'UPDATE' then old.status end, new.status
        );
    end if;
    return null;
end;
$$;
create function history.keep_told() returns trigger
language plpgsql security definer
as $$
begin
    insert into history.told (noun, object_id, type)
    values (new.object_type, new.object_id, new.type);
    return null;
end;
$$;
create trigger kept_in_history after insert on events
for each row execute function history.keep_told();
"""

CHANGES = """
select
    noun, object_id, before, after,
    lag(after) over (partition by noun, object_id order by number) as known,
    array(
        select type from history.told
        where told.noun = changes.noun and told.object_id = changes.object_id
            and told.transaction = changes.transaction
    ) as told
from history.changes
order by number
"""


def keep(connection: Connection) -> None:
    """Keep the history of everything that has a status, from now on."""
    connection.execute(KEEPING)
    for row in connection.execute(TABLES).fetchall():
        connection.execute(
            f"create trigger kept_in_history after insert or update of status on {row['table']}"
            f" for each row execute function history.keep_change('{row['noun']}')"
        )


def forget(connection: Connection) -> None:
    connection.execute("delete from history.changes; delete from history.told")


def breaches(connection: Connection) -> list[str]:
    """Name each step that is none, or of which nothing was told as it was taken."""
    rows = connection.execute(CHANGES).fetchall()
    return [f"{row['noun']} {row['object_id']} {text}" for row in rows if (text := wrong(row))]


def wrong(change: dict[str, Any]) -> str | None:
    """Say what is wrong with a change of a status."""
    noun, before, after = change["noun"], change["before"], change["after"]
    if change["known"] not in {None, before}:
        return f"was {change['known']} and went to {after} from {before}"
    if before and not is_a_step(noun, before, after):
        return f"went from {before} to {after}"
    types = TOLD.get((noun, after), set())
    if types and not types & set(change["told"]):
        return f"went from {before} to {after}, and nothing was told of it"
    return None


def is_a_step(noun: str, before: str, after: str) -> bool:
    return RANKS[noun][before] < RANKS[noun][after] or (noun, before, after) in FALLS
