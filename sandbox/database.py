"""The sandbox's database: a Postgres of its own, or the one that DATABASE_URL names."""

import os
from pathlib import Path
from typing import Protocol

from sandbox import migrations
from sandbox.postgres import Postgres


class DatabaseError(Exception):
    """The database went away. The message is one line for a person."""


class Database(Protocol):
    """A Postgres that is there between start() and stop()."""

    about: str

    @property
    def url(self) -> str:
        """As its owner: migrations and seeds run so."""
        ...

    @property
    def shown(self) -> str:
        """What a person may be told of the address."""
        ...

    def start(self) -> None: ...

    def check(self) -> None:
        """Raise DatabaseError when it stopped by itself."""
        ...

    def stop(self) -> None: ...


class Embedded:
    """A Postgres of the sandbox's own."""

    def __init__(self, directory: Path) -> None:
        self._postgres = Postgres(directory)
        self._runs = False
        self.about = f"Postgres, with its data in {directory}"

    @property
    def url(self) -> str:
        return self._postgres.url

    @property
    def shown(self) -> str:
        return self.url

    def start(self) -> None:
        self._postgres.start()
        self._runs = True

    def check(self) -> None:
        if self._runs and os.waitpid(self._postgres.process_id, os.WNOHANG) != (0, 0):
            self._runs = False
            raise DatabaseError(f"Postgres stopped by itself: see {self._postgres.log}")

    def stop(self) -> None:
        self._runs = False
        self._postgres.stop()


class External:
    """Somebody else's Postgres: looked at, and never started or stopped."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.about = self.shown = (
            "the Postgres of DATABASE_URL"  # whose password is not ours to print
        )

    def start(self) -> None:
        migrations.check(self.url)

    def check(self) -> None:
        """Its owner watches it; the engine waits for it to come back."""

    def stop(self) -> None:
        """Leave it as it is."""
