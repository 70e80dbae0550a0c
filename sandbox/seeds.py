"""Apply seeds in the Hasura CLI's layout: every .sql file of a folder, in the order of their names.

Seeds are idempotent, so they run at every start: one that was added since then arrives too.
"""

import asyncio
from pathlib import Path

import asyncpg


class SeedError(Exception):
    """A seed cannot be applied. The message is one line for a person."""


def apply(url: str, directory: Path) -> list[str]:
    """Apply every file in a transaction of its own, and return their names."""
    return asyncio.run(_apply(url, sorted(directory.glob("*.sql"))))


async def _apply(url: str, files: list[Path]) -> list[str]:
    connection = await asyncpg.connect(url)
    try:
        for file in files:
            try:
                async with connection.transaction():
                    await connection.execute(file.read_text(encoding="utf-8"))
            except asyncpg.PostgresError as error:
                raise SeedError(f"seed {file.name}: {error}".replace("\n", " ")) from error
    finally:
        await connection.close()
    return [file.name for file in files]
