"""migrations/schema.sql is what the migrations make."""

from books import ROOT

from sandbox import schema
from sandbox.postgres import Postgres

FILE = ROOT / "migrations" / "schema.sql"


def test_the_snapshot_is_what_the_migrations_make(postgres: Postgres) -> None:
    written = FILE.read_text(encoding="utf-8").splitlines()

    assert schema.read(postgres.url).splitlines() == written, "run make schema"
