"""What the simulators remember: one SQLite file that survives a restart and a kill.

Objects are JSON documents, each under a gateway and a kind. Keys that begin with an
underscore are the simulator's own notes and never leave it. All work happens on one
thread; a step is atomic because it runs inside `Store.transaction()`.
"""

import json
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Document = dict[str, Any]

SCHEMA = """
create table if not exists objects (
    position integer primary key autoincrement,
    gateway text not null,
    kind text not null,
    id text not null,
    created integer not null,
    body text not null,
    unique (gateway, kind, id)
);
create table if not exists timers (
    gateway text not null,
    kind text not null,
    subject text not null,
    due real not null,
    primary key (gateway, kind, subject)
);
create index if not exists timers_by_due on timers (due);
create table if not exists settings (name text primary key, value text not null);
"""

# What an object is found by among thousands. Most objects have none of them, and are in no index.
INDEXED = ("order", "order_id", "payment_id", "payment_intent", "receipt", "txnid")
INDEXES = "".join(
    f"create index if not exists objects_by_{name}"
    f" on objects (gateway, kind, json_extract(body, '$.{name}'))"
    f" where json_extract(body, '$.{name}') is not null;"
    for name in INDEXED
)


@dataclass(frozen=True, slots=True)
class Timer:
    gateway: str
    kind: str
    subject: str


@dataclass(frozen=True, slots=True)
class Slice:
    """Which part of a list is wanted: newest first, as every gateway lists."""

    limit: int = 10
    after: str | None = None
    before: str | None = None
    equals: Mapping[str, object] = field(default_factory=dict)  # path inside the JSON -> value
    matching: Mapping[str, Sequence[str]] = field(default_factory=dict)  # path -> glob patterns
    created: Mapping[str, int] = field(default_factory=dict)  # gt, gte, lt, lte -> Unix seconds


class Store:
    """The file, the clock and the timers."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.db = sqlite3.connect(folder / "gateways.sqlite3", isolation_level=None)
        self.db.row_factory = sqlite3.Row
        self.db.execute("pragma journal_mode = wal")
        self.db.execute("pragma synchronous = normal")
        self.db.execute("pragma wal_autocheckpoint = 8000")  # pages; a checkpoint waits for a disk
        self.db.executescript(SCHEMA + INDEXES)
        self._depth = 0
        self._after_commit: list[Callable[[], None]] = []
        self.skew = float(self.setting("clock_offset") or 0)

    def close(self) -> None:
        self.db.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Make everything inside happen at once or not at all. Inner ones join the outer."""
        if self._depth:
            yield
            return
        self.db.execute("begin immediate")
        self._depth = 1
        try:
            yield
        except BaseException:
            self.db.execute("rollback")
            self._after_commit.clear()
            raise
        else:
            self.db.execute("commit")
        finally:
            self._depth = 0
        self._run_hooks()

    def after_commit(self, hook: Callable[[], None]) -> None:
        """Run a hook once the present transaction is on disk; never when it is undone."""
        if not self._depth:
            hook()
        elif hook not in self._after_commit:
            self._after_commit.append(hook)

    def _run_hooks(self) -> None:
        hooks, self._after_commit = self._after_commit, []
        for hook in hooks:
            hook()

    def setting(self, name: str) -> str | None:
        row = self.db.execute("select value from settings where name = ?", (name,)).fetchone()
        return None if row is None else str(row["value"])

    def remember(self, name: str, value: str) -> None:
        self.db.execute("insert or replace into settings values (?, ?)", (name, value))

    def now(self) -> int:
        """Tell the simulated time in Unix seconds."""
        return int(self.exact_now())

    def exact_now(self) -> float:
        return time.time() + self.skew

    def move_clock(self, seconds: float) -> None:
        """Set how far the simulated time is ahead of the real one."""
        self.remember("clock_offset", str(seconds))
        self.skew = seconds

    @contextmanager
    def attempt(self) -> Iterator[None]:
        """Undo what is inside when it fails, and nothing else of the transaction around it."""
        self.db.execute("savepoint attempt")
        try:
            yield
        except BaseException:
            self.db.execute("rollback to attempt")
            raise
        finally:
            self.db.execute("release attempt")

    def next_timer(self) -> float | None:
        """Tell when the next timer is due, in simulated time."""
        due = self.db.execute("select min(due) as due from timers").fetchone()["due"]
        return None if due is None else float(due)

    def due_timers(self, limit: int = 100) -> list[Timer]:
        rows = self.db.execute(
            "select gateway, kind, subject from timers where due <= ? order by due limit ?",
            (self.exact_now(), limit),
        )
        return [Timer(row["gateway"], row["kind"], row["subject"]) for row in rows.fetchall()]


class Books:
    """One gateway's part of the store."""

    def __init__(self, store: Store, gateway: str) -> None:
        self.store = store
        self.gateway = gateway

    def insert(self, kind: str, document: Document) -> None:
        """Add a document, which names itself in `id` and its time in `created`."""
        self.store.db.execute(
            "insert into objects (gateway, kind, id, created, body) values (?, ?, ?, ?, ?)",
            (self.gateway, kind, document["id"], document["created"], json.dumps(document)),
        )

    def update(self, kind: str, document: Document) -> None:
        self.store.db.execute(
            "update objects set body = ? where gateway = ? and kind = ? and id = ?",
            (json.dumps(document), self.gateway, kind, document["id"]),
        )

    def delete(self, kind: str, subject: str) -> None:
        self.store.db.execute(
            "delete from objects where gateway = ? and kind = ? and id = ?",
            (self.gateway, kind, subject),
        )

    def find(self, kind: str, subject: str) -> Document | None:
        row = self.store.db.execute(
            "select body from objects where gateway = ? and kind = ? and id = ?",
            (self.gateway, kind, subject),
        ).fetchone()
        return None if row is None else _document(row)

    def get(self, kind: str, subject: str) -> Document:
        """Fetch a document that must exist; KeyError when it does not."""
        document = self.find(kind, subject)
        if document is None:
            raise KeyError(f"{kind} {subject}")
        return document

    def page(self, kind: str, part: Slice) -> tuple[list[Document], bool]:
        """List a kind, newest first, and say whether there is more beyond the part."""
        clauses, values = self._conditions(kind, part)
        order = "asc" if part.before else "desc"
        rows = self.store.db.execute(
            f"select body from objects where {' and '.join(clauses)}"  # noqa: S608  # fixed texts, values are bound
            f" order by position {order} limit ?",
            (*values, part.limit + 1),
        ).fetchall()
        found = [_document(row) for row in rows[: part.limit]]
        return (found[::-1] if part.before else found), len(rows) > part.limit

    def _conditions(self, kind: str, part: Slice) -> tuple[list[str], list[object]]:
        clauses = ["gateway = ?", "kind = ?"]
        values: list[object] = [self.gateway, kind]
        for path, value in part.equals.items():
            if path in INDEXED:  # an index serves the very words that it was made with
                found = f"json_extract(body, '$.{path}')"
                clauses += [f"{found} = ?", f"{found} is not null"]
                values.append(value)
            else:
                clauses.append("json_extract(body, ?) = ?")
                values += [f"$.{path}", value]
        for path, patterns in part.matching.items():
            clauses.append(f"({' or '.join(['json_extract(body, ?) glob ?'] * len(patterns))})")
            values += [piece for pattern in patterns for piece in (f"$.{path}", pattern)]
        for name, sign in (("gt", ">"), ("gte", ">="), ("lt", "<"), ("lte", "<=")):
            if name in part.created:
                clauses.append(f"created {sign} ?")
                values.append(part.created[name])
        for cursor, sign in ((part.after, "<"), (part.before, ">")):
            if cursor is not None:
                clauses.append(
                    f"position {sign} (select position from objects"  # noqa: S608  # a fixed sign
                    " where gateway = ? and kind = ? and id = ?)"
                )
                values += [self.gateway, kind, cursor]
        return clauses, values

    def set_timer(self, kind: str, subject: str, due: float) -> None:
        """Have `on_timer(kind, subject)` called at a simulated time; a second call moves it."""
        self.store.db.execute(
            "insert or replace into timers values (?, ?, ?, ?)", (self.gateway, kind, subject, due)
        )

    def drop_timer(self, kind: str, subject: str) -> None:
        self.store.db.execute(
            "delete from timers where gateway = ? and kind = ? and subject = ?",
            (self.gateway, kind, subject),
        )


def _document(row: sqlite3.Row) -> Document:
    document: Document = json.loads(row["body"])
    return document


def public(document: Document) -> Document:
    """Leave out the simulator's own notes."""
    return {key: value for key, value in document.items() if not key.startswith("_")}
