"""Apply migrations in the Hasura CLI's layout: <version>_<name>/up.sql, in numeric order.

Each file runs in a transaction of its own, together with its record in sandbox_catalog.migrations.
"""

import asyncio
import hashlib
import re
import time
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import asyncpg

VERSION_MIN = 14
CONNECT_SECONDS_MAX = 10.0
ADVISORY_LOCK = 6_310_417_240_281_133_201  # any number, the same for every runner

CATALOG = """
create schema if not exists sandbox_catalog;
create table if not exists sandbox_catalog.migrations (
    version bigint primary key,
    name text not null,
    sha256 text not null,
    applied_at timestamptz not null default now()
);
"""


class MigrationError(Exception):
    """A migration cannot be applied. The message is one line for a person."""


@dataclass(frozen=True, slots=True)
class Migration:
    version: int
    name: str
    file: Path

    @property
    def title(self) -> str:
        return f"{self.version}_{self.name}"

    def read(self) -> str:
        try:
            return self.file.read_text(encoding="utf-8")  # with every end of line as \n
        except (OSError, UnicodeDecodeError) as error:
            raise MigrationError(f"{self.file}: {error}") from error


def apply(url: str, directory: Path, report: Callable[[str], None] = print) -> list[str]:
    """Apply what is new in `directory`, and return its names.

    Two runners at once take turns. Runs an event loop of its own, so it cannot be called from one.
    """
    return asyncio.run(_apply(url, directory, report))


def check(url: str, timeout_s: float = CONNECT_SECONDS_MAX) -> None:
    """Raise MigrationError unless a Postgres that is new enough answers at `url`."""

    async def connect() -> None:
        async with _connected(url, timeout_s):
            pass

    asyncio.run(connect())


def find(directory: Path) -> list[Migration]:
    """List the migrations of a directory in the order of their versions."""
    if not directory.is_dir():
        raise MigrationError(f"there is no directory {directory}")
    found: dict[int, Migration] = {}
    for folder in sorted(directory.iterdir()):
        named = re.fullmatch(r"([0-9]+)_(.+)", folder.name)
        if named is None or not folder.is_dir():
            continue
        migration = Migration(int(named[1]), named[2], folder / "up.sql")
        if (twin := found.get(migration.version)) is not None:
            raise MigrationError(f"{twin.title} and {migration.title} have the same version")
        found[migration.version] = migration
    return [found[version] for version in sorted(found)]


async def _apply(url: str, directory: Path, report: Callable[[str], None]) -> list[str]:
    migrations = find(directory)
    async with _connected(url, CONNECT_SECONDS_MAX) as connection:
        await connection.execute("select pg_advisory_lock($1)", ADVISORY_LOCK)  # until we leave
        await connection.execute(CATALOG)
        rows = await connection.fetch("select version, sha256 from sandbox_catalog.migrations")
        applied = {row["version"]: row["sha256"] for row in rows}
        done = []
        for migration in migrations:
            text = migration.read()
            sha256 = hashlib.sha256(text.encode()).hexdigest()
            if migration.version not in applied:
                started = time.monotonic()
                await _run(connection, migration, text, sha256)
                report(f"applied {migration.title} in {time.monotonic() - started:.2f} s")
                done.append(migration.title)
            elif applied[migration.version] != sha256:
                changed = "changed since this database was made: run make reset"
                raise MigrationError(f"migration {migration.title} {changed}")
        return done


async def _run(connection: Any, migration: Migration, text: str, sha256: str) -> None:
    """Run one file. What it says about the session, such as its search_path, ends with it."""
    record = "insert into sandbox_catalog.migrations (version, name, sha256) values ($1, $2, $3)"
    try:
        async with connection.transaction():
            await connection.execute(text)
            await connection.execute("reset all")
            await connection.execute(record, migration.version, migration.name, sha256)
    except asyncpg.PostgresError as error:
        place = f"{migration.title}/{migration.file.name}"
        if error.position is not None:
            # Postgres counts characters, and the first is 1.
            place += f":{text.count(chr(10), 0, int(error.position) - 1) + 1}"
        detail = f" ({error.detail})" if error.detail else ""
        raise MigrationError(f"{place}: {error.message}{detail}".replace("\n", " ")) from error


def _connected(url: str, timeout_s: float) -> AbstractAsyncContextManager[Any]:
    return _connection(asyncpg.connect(url, timeout=timeout_s), _place(url))


@asynccontextmanager
async def _connection(connecting: Awaitable[Any], place: str) -> Any:
    try:
        connection = await connecting
    except (OSError, ValueError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        reason = str(error).splitlines()[0] if str(error) else "no answer in time"
        raise MigrationError(f"the database at {place} cannot be reached: {reason}") from error
    try:
        version = connection.get_server_version().major
        if version < VERSION_MIN:
            needed = f"{VERSION_MIN} or newer is needed"
            raise MigrationError(f"the database at {place} is Postgres {version}: {needed}")
        yield connection
    finally:
        await connection.close()


def _place(url: str) -> str:
    """Name a database without its password."""
    parts = urlsplit(url)
    return f"{parts.netloc.rpartition('@')[2]}{parts.path}"
