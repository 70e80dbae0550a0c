"""The one order of locks, and who takes them in another: two such may wait for each other for ever.

The order is the table in migrations/README.md. What was locked is read from Postgres' journal.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from books import ROOT
from journal import Lock, Transaction

# Of these one call locks several, and nothing else keeps two such calls apart.
IN_ORDER_OF_ID = ("payment_intents", "ledger_accounts", "gateway_circuits")

ROW = re.compile(r"^\| (\d+|any) \| [^|]+ \| ([^|]+) \|", re.MULTILINE)


def order() -> dict[str, int | None]:
    """Read the place of each table: None where it has any."""
    said = (ROOT / "migrations" / "README.md").read_text(encoding="utf-8")
    return {
        table.strip(): int(place) if place != "any" else None
        for place, tables in ROW.findall(said)
        for table in tables.split(",")
    }


def breaches(transactions: Iterable[Transaction]) -> list[str]:
    """Name each lock that was taken after one that comes later, and by which call."""
    places = order()
    return [
        f"{' '.join(one.calls) or 'a request'}: {said}"
        for one in transactions
        for said in dict.fromkeys(_of(one.locks, places))
    ]


def _of(locks: list[Lock], places: dict[str, int | None]) -> Iterable[str]:
    for table in IN_ORDER_OF_ID:
        ids = [lock.id for lock in locks if lock.table == table and lock.id and not lock.is_new]
        if ids != sorted(ids):
            yield f"{table} are not locked in order of id"
    tables = list(dict.fromkeys(tables_of(locks)))
    if len(tables) == 1:
        return
    yield from (f"{one} has no place among {tables}" for one in tables if one not in places)
    farthest = ""
    reached = 0
    for table in tables_of(locks):
        place = places.get(table)
        if place is not None and place < reached:
            yield f"{table} is locked after {farthest}"
        elif place is not None:
            farthest, reached = table, place


def tables_of(locks: list[Lock]) -> list[str]:
    return [lock.table for lock in locks if not lock.is_new]
