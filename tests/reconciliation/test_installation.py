"""What keeps the books right is looked for once an hour: constraints, settings, the clock."""

from collections.abc import Callable

import psycopg
import pytest
from books import Connection, Money, Tenant

Listed = Callable[..., dict[str, str]]


@pytest.fixture
def listed(db: Connection, tenant: Tenant) -> Listed:
    def end(livemode: str = "false") -> dict[str, str]:
        session = tenant.session | {"x-hasura-livemode": livemode}
        rows = Money(db, session).call("end_invariant_checks")
        return {
            row["object_type"]: row["detail"]
            for row in rows
            if row["class"] == "installation-unsafe"
        }

    return end


def test_nothing_is_missing_after_the_migrations(db: Connection, listed: Listed) -> None:
    assert listed() == {}
    assert (
        db.execute(
            "select * from installed_parts() except select * from installation_parts"
        ).fetchall()
        == []
    )  # this migration is the last, and notes what all others made
    noted = db.execute("select kind, count(*) as parts from installation_parts group by kind")
    assert {row["kind"] for row in noted if row["parts"] > 20} == {"constraint", "trigger", "index"}


@pytest.mark.parametrize(
    ("change", "name"),
    [
        (
            "alter table credit_spends drop constraint credit_spend_key_is_used_once",
            "credit_spends.credit_spend_key_is_used_once",
        ),
        (
            "alter table ledger_accounts drop constraint ledger_account_stays_within_its_bounds",
            "ledger_accounts.ledger_account_stays_within_its_bounds",
        ),
        (
            "alter table payment_attempts disable trigger payment_attempt_takes_legal_steps",
            "payment_attempts.payment_attempt_takes_legal_steps",
        ),
        ("drop trigger credit_lots_stay on credit_lots", "credit_lots.credit_lots_stay"),
        (
            "drop index customer_has_one_live_autopay_mandate",
            "autopay_mandates.customer_has_one_live_autopay_mandate",
        ),
    ],
)
def test_a_part_that_is_gone_is_listed(
    db: Connection, listed: Listed, change: str, name: str
) -> None:
    db.execute(change)

    assert "is missing or does not hold" in listed()[name]


def test_what_is_not_validated_does_not_hold(db: Connection, listed: Listed) -> None:
    table, name = "credit_spends", "credit_spend_uses_something"
    db.execute(f"alter table {table} drop constraint {name}")
    db.execute(f"alter table {table} add constraint {name} check (true) not valid")

    assert set(listed()) == {f"{table}.{name}"}
    db.execute(f"alter table {table} validate constraint {name}")
    assert listed() == {}


def test_live_is_told_of_settings_that_lose_money(db: Connection, listed: Listed) -> None:
    """The tests' own Postgres does not wait for its disk."""
    lost = {
        "fsync": "fsync is off",
        "full_page_writes": "full_page_writes is off",
        "synchronous_commit": "synchronous_commit is off",
    }
    assert listed("true") == lost
    db.execute("update clock set skew_seconds = 3600")
    assert listed("true") == lost | {"clock": "the clock is moved by 3600 seconds"}

    db.execute("set local synchronous_commit = local")
    db.execute("update clock set skew_seconds = 0")
    assert set(listed("true")) == {"fsync", "full_page_writes"}


def test_a_sandbox_may_do_without(db: Connection, listed: Listed) -> None:
    db.execute("set local synchronous_commit = off")
    db.execute("update clock set skew_seconds = 3600")

    assert listed() == {}


def test_another_isolation_is_seen(postgres, tenant: Tenant, listed: Listed) -> None:
    with psycopg.connect(postgres.url) as other:
        other.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        faults = dict(other.execute("select * from installation_faults(true)").fetchall())
        other.rollback()

    assert faults["transaction_isolation"] == "transaction_isolation is repeatable read"
