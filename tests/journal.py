"""Which rows each transaction locked, in what order: read from Postgres' own journal, the WAL.

Postgres writes down every lock of a row, and every change of one, under the transaction's number
and in the order in which they were taken. So nothing of the product is instrumented, and none of
its locks can be missed: whatever ran between two moments is there.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import psycopg

KEPT = "2GB"  # of the journal: how much may be written between two readings
KINDS = ("Heap", "MultiXact", "Transaction", "LogicalMessage")

RECORD = re.compile(r"rmgr: (\w+)\s.* tx:\s+(\d+), lsn: [^,]+, prev [^,]+, desc: (\S+) ?(.*)")
BLOCK = re.compile(r"blkref #(\d): rel \d+/(\d+)/(\d+) blk (\d+)")
OLD = re.compile(r"\b(?:old_)?off:? (\d+)")
NEW = re.compile(r"\bnew[_ ]off:? (\d+)")
OWNER = re.compile(r"\b(?:xmax|xid):? (\d+)")
MEMBERS = re.compile(r"^(\d+) offset .*?nmembers \d+: (.*)")
MEMBER = re.compile(r"(\d+) \((\w+)\)")
PARTS = re.compile(r"subxacts: ([\d ]+)")
CALL = re.compile(r'prefix "call (\w+)"')
CHANGES = {"INSERT", "UPDATE", "HOT_UPDATE", "DELETE", "LOCK"}


class Place(NamedTuple):
    """Where a version of a row stands."""

    relation: int
    block: int
    offset: int


class Lock(NamedTuple):
    """A row that a transaction locked or changed, for the first time in it."""

    table: str
    row: Place
    is_new: bool  # the transaction wrote it, so that nobody else can want it
    id: str | None = None  # its primary key, where the row is still there


@dataclass
class Transaction:
    """What one transaction did, in order."""

    number: int
    locks: list[Lock] = field(default_factory=list)
    calls: list[str] = field(default_factory=list)  # the functions that a test called in it
    span: list[int] = field(default_factory=list)  # the places of its deeds among all

    @property
    def is_alone(self) -> bool:
        """Whether nobody else did or ended anything between its first deed and its end.

        Who waits for another finds rows that moved meanwhile: the journal tells too little then.
        """
        return self.span[-1] - self.span[0] + 1 == len(self.span)


class Journal:
    """The journal of one cluster, from a moment on. Reading it begins the next reading."""

    def __init__(self, url: str) -> None:
        self.url = url
        with psycopg.connect(url, autocommit=True) as admin:
            admin.execute(f"alter system set wal_keep_size = '{KEPT}'")
            admin.execute("select pg_reload_conf()")
            self._program = Path(self._one(admin, BINARIES)) / "pg_waldump"
            self._folder = Path(self._one(admin, "show data_directory")) / "pg_wal"
        self.begin()

    def begin(self) -> None:
        """Forget what was done until now."""
        with psycopg.connect(self.url, autocommit=True) as admin:
            self._from = self._now(admin)

    def read(self, database: str = "") -> list[Transaction]:
        """Tell what was done in a database since the last reading, committed or not."""
        with psycopg.connect(self.url, autocommit=True) as admin:
            named = {"dbname": database} if database else {}
            query = "select oid from pg_database where datname = coalesce(%s, current_database())"
            oid = self._one(admin, query, database or None)
            tables = dict(admin.execute(TABLES).fetchall())
            until = self._now(admin)
        reading = _Reading(oid, tables)
        with psycopg.connect(psycopg.conninfo.make_conninfo(self.url, **named)) as there:
            reading.ids = dict(_ids(there))
        for line in self._lines(self._from, until):
            reading.take(line)
        self._from = until
        return reading.transactions()

    def _lines(self, start: str, end: str) -> Iterator[str]:
        kinds = [word for kind in KINDS for word in ("-r", kind)]
        command = [self._program, "-p", self._folder, "-s", start, "-e", end, *kinds]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout
            yield from process.stdout
        assert process.returncode == 0, f"pg_waldump ended with {process.returncode}"

    def _now(self, admin: psycopg.Connection[Any]) -> str:
        """Have all that was done written to disk, and tell where it ends."""
        with admin.transaction():
            admin.execute("set local synchronous_commit = on")
            admin.execute("select pg_logical_emit_message(true, 'journal', 'until here')")
        return str(self._one(admin, "select pg_current_wal_flush_lsn()"))

    @staticmethod
    def _one(admin: psycopg.Connection[Any], query: str, *values: object) -> Any:
        row = admin.execute(query, values or None).fetchone()
        assert row
        return row[0]


BINARIES = "select setting from pg_config where name = 'BINDIR'"
# Copies of a template have the files of the same numbers.
TABLES = """
select pg_relation_filenode(oid), relname from pg_class
where relkind = 'r' and relnamespace = 'public'::regnamespace
"""
KEYS = """
select pg_relation_filenode(indrelid), indrelid::regclass::text, (
    select string_agg(quote_ident(attname), ', ' order by place)
    from unnest(indkey) with ordinality as part (number, place)
    inner join pg_attribute on attrelid = indrelid and attnum = number
)
from pg_index inner join pg_class on pg_class.oid = indrelid
where indisprimary and relnamespace = 'public'::regnamespace
"""


def _ids(connection: psycopg.Connection[Any]) -> Iterator[tuple[Place, str]]:
    """Tell the ids of the rows that are there now, by their places."""
    for relation, table, key in connection.execute(KEYS).fetchall():
        ids = f"select ctid::text, concat_ws(' ', {key}) from {table}"
        for place, row_id in connection.execute(ids):
            block, offset = place.strip("()").split(",")
            yield Place(relation, int(block), int(offset)), row_id


class _Deed(NamedTuple):
    """A line of the journal that matters here."""

    number: int  # of the transaction, or of a part of it
    what: str
    row: Place | None = None
    becomes: Place | None = None
    said: str = ""


class _Reading:
    """Lines of the journal, as they become transactions."""

    def __init__(self, database: int, tables: dict[int, str]) -> None:
        self.database = database
        self.tables = tables
        self.deeds: list[_Deed] = []
        self.wholes: dict[int, int] = {}  # by the number of a part
        self.shared: dict[int, dict[int, str]] = {}  # locks of several: who has which
        self.ids: dict[Place, str] = {}  # of rows, by the places of their last versions

    def take(self, line: str) -> None:
        if not (found := RECORD.match(line)):
            return
        kind, number, what, said = found.groups()
        if kind == "Transaction":
            for parts in PARTS.findall(said):
                self.wholes.update((int(part), int(number)) for part in parts.split())
            self.deeds.append(_Deed(int(number), "END"))
        elif kind == "MultiXact":
            for shared, members in MEMBERS.findall(said):
                holders = MEMBER.findall(members)
                self.shared[int(shared)] = {int(who): how for who, how in holders}
        elif kind == "LogicalMessage":
            for call in CALL.findall(said):
                self.deeds.append(_Deed(int(number), "CALL", said=call))
        else:
            self._change(int(number), what.partition("+")[0], said)

    def _change(self, number: int, what: str, said: str) -> None:
        if what not in CHANGES or (what == "LOCK" and self._only_reads(number, said)):
            return
        blocks = {found[0]: found[1:] for found in BLOCK.findall(said)}
        database, relation, block = map(int, blocks["0"])
        if database != self.database or relation not in self.tables:
            return
        old = int(OLD.findall(said)[0])
        if "UPDATE" not in what:
            self.deeds.append(_Deed(number, what, Place(relation, block, old)))
            return
        before = int(blocks.get("1", blocks["0"])[2])  # the new version may stand on another page
        becomes = Place(relation, block, int(NEW.findall(said)[0]))
        self.deeds.append(_Deed(number, what, Place(relation, before, old), becomes))

    def _only_reads(self, number: int, said: str) -> bool:
        """Whether it is a foreign key's lock, for which nothing waits but a change of the key."""
        owner = int(OWNER.findall(said)[0])
        if owner in self.shared and "IS_MULTI" in said:
            return self.shared[owner].get(number) == "keysh"
        return "KEYSHR_LOCK" in said and "EXCL_LOCK" not in said

    def transactions(self) -> list[Transaction]:
        """Put together what each did, its parts included, in the order of their first deeds."""
        found: dict[int, Transaction] = {}
        known: dict[int, dict[Place, bool]] = {}  # versions it has, and whether the row is its own
        for place, (deed, row_id) in enumerate(zip(self.deeds, self._named(), strict=True)):
            number = self.wholes.get(deed.number, deed.number)
            one = found.setdefault(number, Transaction(number))
            has = known.setdefault(number, {})
            one.span.append(place)
            if deed.row is None:
                one.calls += [deed.said] if deed.said else []
                continue
            if deed.row not in has:
                has[deed.row] = deed.what == "INSERT"
                table = self.tables[deed.row.relation]
                one.locks.append(Lock(table, deed.row, has[deed.row], row_id))
            if deed.becomes is not None:
                has[deed.becomes] = has[deed.row]
        return list(found.values())

    def _named(self) -> list[str | None]:
        """Tell which row each deed was about, from the last one, after which we know it, back."""
        ids, named = dict(self.ids), []
        for deed in reversed(self.deeds):
            if deed.row and deed.becomes in ids:
                ids[deed.row] = ids.pop(deed.becomes)
            named.append(ids.get(deed.row) if deed.row else None)
            if deed.row and deed.what == "INSERT":
                ids.pop(deed.row, None)  # before that the place was another's
        return named[::-1]
