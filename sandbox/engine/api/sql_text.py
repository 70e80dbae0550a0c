"""A script of SQL, taken apart just enough, and its rows in the words of Postgres.

asyncpg reads values in binary and tells nothing of a script's rows, so the last statement is split
off, and is run by COPY, which writes every value as text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

# What a semicolon may stand in without ending a statement.
TOKEN = re.compile(
    r"""(?P<skip> --[^\n]* | /\*.*?\*/ | \bE'(?:\\.|''|[^'\\])*' | '(?:''|[^'])*' | "(?:""|[^"])*"
      | (?P<tag>\$(?:[A-Za-z_]\w*)?\$).*?(?P=tag) ) | (?P<end>;)""",
    re.VERBOSE | re.DOTALL | re.IGNORECASE,
)
COMMENTS = re.compile(r"^(?:\s+|--[^\n]*\n?|/\*.*?\*/)+", re.DOTALL)
COPYABLE = re.compile(
    r"(?:select|with|values|table|insert|update|delete|merge)\b|\(", re.IGNORECASE
)
TELLING = re.compile(r"(show|explain|execute|fetch)\b", re.IGNORECASE)
ESCAPES = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}
ESCAPE = re.compile(r"\\(.)")


def split(script: str) -> tuple[str, str]:
    """Return what comes before the last statement, and the last statement."""
    parts = list(_statements(script))
    if not parts:
        return "", ""
    return script[: parts[-1][0]], script[parts[-1][0] : parts[-1][1]]


def _statements(script: str) -> Iterator[tuple[int, int]]:
    start = 0
    ends = [match.start() for match in TOKEN.finditer(script) if match["end"]]
    for end in (*ends, len(script)):
        body = COMMENTS.sub("", script[start:end])
        if body.strip():
            yield start, end
        start = end + 1


async def run(connection: Any, script: str) -> dict[str, Any]:
    """Run a script in the transaction that is open; answer the rows of its last statement."""
    head, last = split(script)
    if not last:  # asyncpg cannot read the answer to nothing
        return _command()
    word = COMMENTS.sub("", last)
    if not (COPYABLE.match(word) or TELLING.match(word)):
        await connection.execute(script)
        return _command()
    if head.strip():
        await connection.execute(head)
    names = await _names(connection, last)
    if not names:
        await connection.execute(last)
        return _command()
    rows = await (_copied(connection, last) if COPYABLE.match(word) else _told(connection, last))
    return {"result_type": "TuplesOk", "result": [names, *rows]}


def _command() -> dict[str, Any]:
    return {"result_type": "CommandOk", "result": None}


async def _names(connection: Any, statement: str) -> list[str]:
    prepared = await connection.prepare(statement)
    return [attribute.name for attribute in prepared.get_attributes()]


async def _told(connection: Any, statement: str) -> list[list[str]]:
    """Fetch what COPY cannot: lines of text, as a rule."""
    rows = await connection.fetch(statement)
    return [["NULL" if value is None else str(value) for value in row] for row in rows]


async def _copied(connection: Any, statement: str) -> list[list[str]]:
    found = bytearray()

    async def keep(data: bytes) -> None:
        found.extend(data)

    await connection.copy_from_query(f"{statement}\n", output=keep, format="text")
    lines = found.decode().split("\n")[:-1]
    return [[_value(text) for text in line.split("\t")] for line in lines]


def _value(text: str) -> str:
    if text == r"\N":
        return "NULL"
    return ESCAPE.sub(lambda match: ESCAPES.get(match[1], match[1]), text) if "\\" in text else text
