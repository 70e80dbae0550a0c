"""Every invariant is read in the end, however much there is to read and whatever breaks off."""

from dataclasses import replace
from typing import Any

import psycopg
import pytest
from books import Connection, Money, settle
from in_process import CrashError, Fault, Hasura, House
from psycopg.rows import dict_row

from app.errors import ServiceUnavailableError
from app.graphql import QueryError
from app.reconciliation.crons import check_invariants

HELD = (
    "insert into ledger_accounts (organization_id, livemode, code, account_type, currency, held)"
    " select id, false, 'lost', 'asset', 'USD', 1 from organizations limit 1"
)
MENDED = "update ledger_accounts set held = 0 where code = 'lost'"
# What ends a statement as its time limit would, on a machine of any speed.
TIME_IS_UP = """
create function time_is_up() returns boolean language plpgsql volatile as $$
begin
    raise exception 'time is up' using errcode = 'query_canceled';
end;
$$;
"""
# 64 rows, four in each sixteenth, of which sixteen can be looked at in time. Each takes a while:
# eight of them are never so quick that more are read at once.
SLOW = f"""
{TIME_IS_UP}
create function is_seen_to_be_wrong() returns boolean language plpgsql volatile as $$
declare
    v_seen constant integer := coalesce(nullif(current_setting('slow.seen', true), ''), '0');
begin
    perform set_config('slow.seen', (v_seen + 1)::text, true), pg_sleep(0.03);
    return v_seen >= 16 and time_is_up();
end;
$$;
create table slow_things (id uuid primary key, is_wrong boolean not null);
insert into slow_things
select (lpad(to_hex(n * 64), 3, '0') || '00000-0000-4000-8000-000000000000')::uuid, false
from generate_series(0, 63) as n;
create view invariant_slow_things_are_right as
select id as slow_thing_id from slow_things where is_wrong or is_seen_to_be_wrong();
"""
# One that cannot be read in parts, and never in time.
ENDLESS = TIME_IS_UP + "create view invariant_nobody_knows as select 1 as number where time_is_up()"


class Impatient(Hasura):
    """Hasura for whom a view takes too long, or fails."""

    def _run(self, name: str, variables: dict[str, Any]) -> list[dict[str, Any]]:
        try:
            return super()._run(name, variables)
        except psycopg.errors.QueryCanceled as late:
            raise ServiceUnavailableError("no answer") from late
        except psycopg.Error as failure:
            raise QueryError(str(failure)) from failure


class Office:
    """A database, and the cron that watches it with little patience."""

    def __init__(self, url: str) -> None:
        with psycopg.connect(url, row_factory=dict_row) as db:
            self.tenant = settle(db)
        self.url = url
        self.fault = Fault()

    def do(self, statements: str) -> None:
        with psycopg.connect(self.url) as db:
            db.execute(statements)

    def read(self, query: str) -> list[dict[str, Any]]:
        with psycopg.connect(self.url, row_factory=dict_row) as db:
            return db.execute(query).fetchall()

    def listed(self) -> dict[str, str]:
        rows = self.read("select class, object_type from exceptions where resolved_at is null")
        return {row["object_type"]: row["class"] for row in rows}

    def tick(self) -> dict[str, int]:
        house = House(self.url, self.tenant.session, self.fault)
        impatient = Impatient(self.url, self.tenant.session, self.fault)
        return check_invariants(replace(house.ctx, hasura=impatient))


@pytest.fixture
def office(database: str) -> Office:
    return Office(database)


def test_what_is_broken_is_listed_once_until_it_holds_again(office: Office) -> None:
    assert office.tick() == {"broken": 0, "not_read": 0}

    office.do(HELD)
    for _ in range(2):
        assert office.tick() == {"broken": 1, "not_read": 0}
        (fault,) = office.read("select * from exceptions")
        assert fault["object_type"] == "invariant_account_holds"
        assert fault["detail"].startswith("1 rows, as {")

    office.do(MENDED)
    assert office.tick() == {"broken": 0, "not_read": 0}
    office.do(MENDED.replace("0", "1"))
    assert office.tick() == {"broken": 1, "not_read": 0}


def test_every_view_is_read_each_in_a_call_of_its_own_and_its_time_is_noted(office: Office) -> None:
    office.tick()

    views = office.read("select viewname from pg_views where viewname like 'invariant\\_%'")
    assert office.fault.calls.count("ReadInvariant") == len(views) == len(office.fault.calls) - 2
    read = office.read("select from invariant_checks where read_in_milliseconds >= 0")
    assert len(read) == len(views)


def test_a_view_that_takes_too_long_is_listed_as_not_read_and_then_read_in_parts(office) -> None:
    office.do(SLOW)
    assert office.tick() == {"broken": 0, "not_read": 1}
    assert office.listed() == {"invariant_slow_things_are_right": "invariant-not-read"}

    assert office.tick() == {"broken": 0, "not_read": 0}
    (parts,) = office.read(
        "select width < 4096 as is_in_parts, position from invariant_checks"
        " where name = 'invariant_slow_things_are_right'"
    )
    assert parts == {"is_in_parts": True, "position": 0}


@pytest.mark.parametrize("wrong", ["000", "540", "fc0"])
def test_a_fault_in_a_slow_view_is_found_wherever_it_is(office: Office, wrong: str) -> None:
    office.do(SLOW)
    office.do(f"update slow_things set is_wrong = true where id::text like '{wrong}%'")
    office.tick()

    assert office.tick() == {"broken": 1, "not_read": 0}
    assert office.listed() == {"invariant_slow_things_are_right": "invariant-broken"}


def test_a_view_that_cannot_be_read_stays_listed_and_holds_up_no_other(office: Office) -> None:
    office.do(ENDLESS)
    office.do(HELD)
    for _ in range(2):
        assert office.tick() == {"broken": 1, "not_read": 1}
    assert office.listed() == {
        "invariant_account_holds": "invariant-broken",
        "invariant_nobody_knows": "invariant-not-read",
    }

    office.do("drop view invariant_nobody_knows")
    office.do("update exceptions set resolved_at = clock_now() where class like '%not-read'")
    office.do(MENDED)
    assert office.tick() == {"broken": 0, "not_read": 0}


def test_a_view_that_fails_is_not_read(office: Office) -> None:
    office.do("create view invariant_divides as select 1 / (count(*) - count(*)) as n from clock")

    assert office.tick() == {"broken": 0, "not_read": 1}
    (row,) = office.read("select detail from exceptions")
    assert "division by zero" in row["detail"]


@pytest.mark.parametrize("is_after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("call", [2, 9, 20])
def test_the_service_may_die_at_any_call_and_the_next_tick_begins_with_what_is_left(
    office: Office, call: int, *, is_after: bool
) -> None:
    office.fault.at, office.fault.is_after = call, is_after
    with pytest.raises(CrashError):
        office.tick()
    read = office.read("select name from invariant_checks where read_at is not null")
    assert len(read) == call - 1 - (not is_after)

    office.do(HELD)
    office.fault.at = 0
    assert office.tick() == {"broken": 1, "not_read": 0}
    ahead = office.read("select name from invariant_checks order by tried_at, name")
    assert {row["name"] for row in ahead[-len(read) :]} == {row["name"] for row in read} or not read


def test_the_one_that_waited_longest_is_read_first(db: Connection, money: Money) -> None:
    names = [row["name"] for row in money.call("begin_invariant_checks")]
    for name in names[:3]:
        money.call("read_invariant", name=name)

    again = [row["name"] for row in money.call("begin_invariant_checks")]
    assert again == names[3:] + names[:3]


def test_what_nobody_has_read_for_six_hours_is_not_known(db: Connection, money: Money) -> None:
    name, *others = [row["name"] for row in money.call("begin_invariant_checks")]
    db.execute("update clock set skew_seconds = skew_seconds + 7 * 3600")
    for other in others:
        money.call("read_invariant", name=other)

    (unknown,) = money.call("end_invariant_checks")
    assert (unknown["class"], unknown["object_type"]) == ("invariant-not-read", name)
    money.call("read_invariant", name=name)
    assert money.call("end_invariant_checks") == []


def test_two_readers_do_not_read_the_same_view(office: Office) -> None:
    name = "invariant_account_holds"
    office.tick()
    with (
        psycopg.connect(office.url, row_factory=dict_row) as one,
        psycopg.connect(office.url, row_factory=dict_row) as other,
    ):
        first, second = Money(one, office.tenant.session), Money(other, office.tenant.session)
        assert len(first.call("read_invariant", name=name)) == 1
        assert second.call("read_invariant", name=name) == []
        one.commit()
        assert len(second.call("read_invariant", name=name)) == 1
