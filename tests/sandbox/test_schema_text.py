"""What a schema's text tells apart, and what it does not."""

import psycopg
import pytest

from sandbox import schema

CHANGES = {
    "a column": "alter table clock add extra text",
    "a default": "alter table clock alter skew_seconds set default 1",
    "a constraint": "alter table clock drop constraint clock_has_one_row",
    "an index": "create index extra on clock (skew_seconds)",
    "a trigger": "drop trigger customer_has_a_wallet on customers",
    "a function's body": "create or replace function require_read_committed() returns void "
    "language plpgsql volatile as $$ begin end; $$",
    "a view": "create view extra as select skew_seconds from clock",
    "a right on a table": "grant insert on clock to munim_hasura",
    "a right on a column": "grant update (skew_seconds) on clock to munim_hasura",
    "a right on a function": "grant execute on function require_read_committed to public",
    "a comment": "comment on table clock is 'Another.'",
    "an enum": "create type extra as enum ('one')",
    "a domain": "create domain extra as text check (length(value) > 1)",
    "a schema": "create schema extra",
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_change_changes_the_text(database: str, change: str) -> None:
    before = schema.read(database)
    with psycopg.connect(database) as owner:
        owner.execute(change)

    assert schema.read(database) != before


def test_data_and_what_engines_keep_do_not_change_the_text(database: str) -> None:
    before = schema.read(database)
    with psycopg.connect(database) as owner:
        owner.execute("update clock set skew_seconds = 60")
        owner.execute("create schema hdb_catalog; create table hdb_catalog.event_log (id text)")

    assert schema.read(database) == before
