"""run_sql: a script of SQL as one transaction, after which the metadata still fits the database."""

from __future__ import annotations

import re
from collections.abc import Iterable
from contextlib import suppress
from copy import deepcopy
from typing import Any

import asyncpg

from sandbox.engine.errors import EngineError, describe
from sandbox.engine.execution.execute import BROKEN
from sandbox.engine.metadata import parts, shape
from sandbox.engine.metadata.references import rename_tables
from sandbox.engine.tracking.catalog import Name
from sandbox.engine.tracking.tracked import name_of

from . import sql_text
from .arguments import Args, flag, read, text
from .calls import command
from .draft import Document, Draft

# What can change a schema; Hasura looks for the same words.
DDL = re.compile(r"\b(alter|drop|replace|create function|comment on)\b", re.IGNORECASE)

OIDS = """
select class.oid::int8, namespace.nspname, class.relname
from pg_class as class join pg_namespace as namespace on namespace.oid = class.relnamespace
where class.relkind in ('r', 'v', 'm', 'f', 'p')
"""

# A script may have set what the next user of the connection must not find.
RESET = """
reset all; reset session authorization; reset role; unlisten *; select pg_advisory_unlock_all()
"""


@command
async def run_sql(draft: Draft, args: Args) -> Any:
    """Run a script; the rows of its last statement are answered as text.

    Tables and functions that it drops are untracked, and renamed tables are followed. When other
    metadata needs what is gone, the script is rolled back, or with `cascade` that metadata is
    dropped. Both only if the script may change the schema, or `check_metadata_consistency` is set.
    """
    script = str(text(args, "sql"))
    read_only, cascade = flag(args, "read_only"), flag(args, "cascade")
    checked = read(args, "check_metadata_consistency", shape.kind(bool), bool(DDL.search(script)))
    await draft.keep()
    async with draft.engine.pool.acquire() as connection:
        try:
            async with connection.transaction(readonly=read_only):
                before = await _tables(connection) if checked else {}
                answer = await sql_text.run(connection, script)
                if checked and not read_only:
                    draft.state = await _checked(draft, connection, before, cascade=cascade)
        except asyncpg.PostgresError as error:
            raise _failed(error, script) from error
        finally:
            with suppress(*BROKEN):  # a connection that is gone has nothing to reset
                await connection.execute(RESET)
            draft.engine.background.look()
    if checked and not read_only:
        await draft.keep()
        await draft.engine.background.reinstall()
    return answer


async def _tables(connection: Any) -> dict[int, Name]:
    return {row[0]: (row[1], row[2]) for row in await connection.fetch(OIDS)}


async def _checked(draft: Draft, connection: Any, before: dict[int, Name], *, cascade: bool) -> Any:
    """Build the state over the changed schema, with the metadata that still fits it."""
    after = await _tables(connection)
    document = deepcopy(draft.document)
    renamed = {name: after[oid] for oid, name in before.items() if after.get(oid, name) != name}
    if renamed:
        rename_tables(document, renamed)
    known = {name for name in before.values() if name not in after.values()}
    parts.take_out(_vanished(document, known))
    built = await draft.build(document, connection)
    gone = [fault for fault in draft.new_faults(built) if fault["type"] == "function"]
    parts.take_out(parts.find(document, gone))
    built = await draft.settled(document, cascade=cascade, path="$", connection=connection)
    same = document == draft.document
    return await draft.build(draft.document, connection) if same else built


def _vanished(document: Document, names: set[Name]) -> Iterable[parts.Part]:
    """Return the tables that are gone; with them goes what belongs to them."""
    for part in list(parts.parts(document)):
        if "table" in part.item and name_of(part.item["table"]) in names:
            yield part


def _failed(error: asyncpg.PostgresError, script: str) -> EngineError:
    internal = {"statement": script, "prepared": False, "arguments": [], "error": describe(error)}
    if (error.sqlstate or "").startswith("40"):
        message = "serialization failure due to concurrent update"
        return EngineError("concurrent-update", message, internal=internal)
    return EngineError("postgres-error", "query execution failed", internal=internal)
