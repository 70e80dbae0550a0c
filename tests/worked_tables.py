"""The worked tables of the docs, a row a ledger transaction, and what was booked."""

import re
from pathlib import Path
from typing import NamedTuple
from uuid import UUID

from books import ROOT, Connection

HEAD = "| transaction | debit | credit | amount |\n| --- | --- | --- | --- |\n"
# A key's ids, and what comes after one that is a number: `expiry:<lot>:<times>`.
ID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}(:\d+)?|<[^>]+>(:<[^>]+>)?")


class Movement(NamedTuple):
    """One ledger transaction; `key` has `<>` for its ids, an account's code no id of its own."""

    key: str
    debit: str
    credit: str
    amount: str


def documented(page: str) -> dict[str, list[list[Movement]]]:
    """Every table of a page of docs/, by the nearest heading above it."""
    found: dict[str, list[list[Movement]]] = {}
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    for section in re.split(r"\n##+ ", text)[1:]:
        heading, _, body = section.partition("\n")
        for table in body.split(HEAD)[1:]:
            lines = table.partition("\n\n")[0].strip().splitlines()
            found.setdefault(heading, []).append([_movement(line) for line in lines])
    return found


def _movement(line: str) -> Movement:
    key, debit, credit, amount = (cell.strip(" `") for cell in line.strip("|").split("|"))
    return Movement(ID.sub("<>", key), debit, credit, amount)


def booked(db: Connection, organization_id: UUID | str) -> list[Movement]:
    """What an organisation has booked, in the order of booking."""
    rows = db.execute(
        "select t.key, debited.code as debit, credited.code as credit, t.currency, t.amount"
        " from ledger_transactions t"
        " join ledger_accounts debited on debited.id = t.debit_account_id"
        " join ledger_accounts credited on credited.id = t.credit_account_id"
        " where t.organization_id = %s order by t.debited_at, t.credited_at, t.key",
        [organization_id],
    ).fetchall()
    return [
        Movement(
            ID.sub("<>", row["key"]),
            _without_id(row["debit"]),
            _without_id(row["credit"]),
            f"{row['amount']} {row['currency']}",
        )
        for row in rows
    ]


def _without_id(code: str) -> str:
    return code if code.startswith("gateway:") else code.partition(":")[0]


def names(page: Path) -> set[str]:
    """The accounts that a page's tables name, without what comes after a colon."""
    return {
        account.partition(":")[0]
        for tables in documented(page.name).values()
        for table in tables
        for movement in table
        for account in (movement.debit, movement.credit)
    }
