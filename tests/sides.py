"""Connections that wait for each other at the moments that a test chooses."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import psycopg
from psycopg.rows import dict_row

Work = Callable[[psycopg.Connection[Any]], Any]
WAITS = "select from pg_stat_activity where pid = %s and wait_event_type = 'Lock'"


class Side:
    """A connection with a thread of its own, so that what it does may wait."""

    def __init__(self, url: str) -> None:
        self.db = psycopg.connect(url, row_factory=dict_row)
        self.db.execute("set lock_timeout = '20s'")  # nobody waits for ever if a test is wrong
        self.db.commit()
        self._thread = ThreadPoolExecutor(1)

    def begin(self, work: Work) -> Future[Any]:
        return self._thread.submit(work, self.db)

    def do(self, work: Work) -> Any:
        return self.begin(work).result()

    def begin_commit(self) -> Future[Any]:
        return self._thread.submit(self.db.commit)

    def commit(self) -> None:
        self.begin_commit().result()

    def rollback(self) -> None:
        self._thread.submit(self.db.rollback).result()

    def close(self) -> None:
        self._thread.shutdown()
        self.db.close()


class Stage:
    """Several such connections to one database."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.sides: list[Side] = []
        self.watcher = psycopg.connect(url, autocommit=True, row_factory=dict_row)

    def side(self) -> Side:
        self.sides.append(Side(self.url))
        return self.sides[-1]

    def holds(self, query: str, *values: object) -> Side:
        """Return one who holds what the query locks, so that others stop there."""
        side = self.side()
        side.do(lambda db: db.execute(query, values or None))
        return side

    def waits(self, side: Side) -> None:
        """Return once it waits for a lock."""
        until = time.monotonic() + 10
        while not self.watcher.execute(WAITS, [side.db.info.backend_pid]).fetchall():
            assert time.monotonic() < until, "it does not wait"
            time.sleep(0.01)

    def rows(self, query: str, *values: object) -> list[dict[str, Any]]:
        return self.watcher.execute(query, values or None).fetchall()

    def close(self) -> None:
        for side in self.sides:
            side.close()
        self.watcher.close()


def at(desk: Any, db: psycopg.Connection[Any]) -> Any:
    """Return the same desk over another connection."""
    return replace(desk, db=db)
