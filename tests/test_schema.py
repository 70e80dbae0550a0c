"""migrations/schema.sql is what the migrations make, and their other halves take it all away."""

import psycopg
from books import ROOT

from sandbox import schema
from sandbox.postgres import Postgres

FILE = ROOT / "migrations" / "schema.sql"


def test_the_snapshot_is_what_the_migrations_make(postgres: Postgres) -> None:
    written = FILE.read_text(encoding="utf-8").splitlines()

    assert schema.read(postgres.url).splitlines() == written, "run make schema"


def test_what_goes_up_comes_down_to_nothing(database: str) -> None:
    left = (
        "select relname as name from pg_class where relnamespace = 'public'::regnamespace"
        " union all"
        " select proname as name from pg_proc where pronamespace = 'public'::regnamespace"
    )
    with psycopg.connect(database) as db:
        assert db.execute(left).fetchall()
        for file in sorted(ROOT.glob("migrations/default/*/down.sql"), reverse=True):
            db.execute(file.read_text(encoding="utf-8"))

        assert db.execute(left).fetchall() == []
        db.rollback()
