"""The queue of webhooks: on disk, so that a restart loses none, and with a log of attempts.

A parcel is queued inside the transaction that made its event. Which fault spoils it is
settled then; what the fault does happens in `worker`.
"""

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sandbox.faults import Fault, Faults, Kind
from sandbox.gateways.server.state import Store

SCHEMA = """
create table if not exists deliveries (
    id integer primary key autoincrement,
    gateway text not null,
    endpoint text not null,
    event text not null,
    type text not null,
    url text not null,
    body blob not null,
    state text not null,  -- pending, held, delivered, dropped or given_up
    due real not null,
    created real not null,
    attempts integer not null default 0,
    duplicate integer not null default 0,
    fault text
);
create index if not exists deliveries_due on deliveries (due) where state = 'pending';
create index if not exists deliveries_of_event on deliveries (gateway, event);
create index if not exists deliveries_given_up on deliveries (gateway, id) where state = 'given_up';
create table if not exists attempts (
    delivery integer not null,
    number integer not null,
    at real not null,
    status integer,
    error text,
    headers text not null,
    answer text,
    fault text,
    primary key (delivery, number)
);
"""

DAYS_3 = 3 * 24 * 3600
LONGEST_WAIT = 3600

# In minor units, as `amount_total`, or in major ones with two decimals, as `order_amount`.
AMOUNTS = re.compile(rb'("(\w*amount\w*)":\s*)(\d+)(\.\d\d)?(?![\d.])')


@dataclass(frozen=True, slots=True)
class Parcel:
    """One event on its way to one endpoint."""

    gateway: str
    endpoint: str
    event: str
    type: str
    url: str
    body: bytes


@dataclass(frozen=True, slots=True)
class Delivery:
    """A parcel in the queue."""

    id: int
    parcel: Parcel
    attempts: int
    created: float
    fault: dict[str, Any] | None

    def bad_signature(self) -> dict[str, Any] | None:
        """Give the fault that spoils the signature of the next attempt, if there is one."""
        if self.fault and self.attempts < self.fault["attempts"]:
            return self.fault
        return None


@dataclass(frozen=True, slots=True)
class Attempt:
    """How one sending went: a status, or an error when no answer came."""

    headers: dict[str, str]
    status: int | None = None
    error: str | None = None
    answer: str | None = None

    @property
    def accepted(self) -> bool:
        return self.status is not None and 200 <= self.status < 300


class Outbox:
    """The queue. `on_post` is called after each commit that added to it."""

    def __init__(self, store: Store, faults: Faults) -> None:
        self.store = store
        self.faults = faults
        self.on_post: Callable[[], None] = lambda: None
        store.db.executescript(SCHEMA)

    def post(self, parcel: Parcel) -> None:
        """Queue a parcel, with the fault that awaits its type if there is one."""
        fault = self.faults.take(parcel.gateway, f"webhook:{parcel.type}")
        if fault and fault.kind is Kind.WRONG_AMOUNT:
            parcel = replace(parcel, body=_with_wrong_amounts(parcel.body, fault.n))
        now = self.store.exact_now()
        self._insert(parcel, fault, due=now + _delay(fault), duplicate=False)
        if fault and fault.kind is Kind.DUPLICATE:
            for _ in range(fault.n):
                self._insert(parcel, fault, due=now, duplicate=True)
        self.store.after_commit(self.on_post)

    def _insert(self, parcel: Parcel, fault: Fault | None, *, due: float, duplicate: bool) -> None:
        self.store.db.execute(
            "insert into deliveries (gateway, endpoint, event, type, url, body, state, due,"
            " created, duplicate, fault) values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                *(parcel.gateway, parcel.endpoint, parcel.event, parcel.type, parcel.url),
                *(parcel.body, _first_state(fault), due, self.store.exact_now(), duplicate),
                json.dumps(fault.as_json()) if fault else None,
            ),
        )

    def due(self, limit: int, since: float = 0.0) -> list[Delivery]:
        """List what is to be sent, and has been for so many seconds."""
        rows = self.store.db.execute(
            "select * from deliveries where state = 'pending' and due <= ?"
            " order by due, id limit ?",
            (self.store.exact_now() - since, limit),
        )
        return [_delivery(row) for row in rows.fetchall()]

    def next_due(self) -> float | None:
        """Tell when the next webhook is to be sent, in simulated time."""
        row = self.store.db.execute(
            "select min(due) as due from deliveries where state = 'pending'"
        ).fetchone()
        return None if row["due"] is None else float(row["due"])

    def has_due(self) -> bool:
        """Tell whether a webhook is on its way, or about to be."""
        row = self.store.db.execute(
            "select exists (select 1 from deliveries where state = 'pending' and due <= ?) as it",
            (self.store.exact_now(),),
        ).fetchone()
        return bool(row["it"])

    def held(self, name: str | None = None) -> list[Delivery]:
        """List held deliveries, oldest first; the name is a delivery's id, an event or a type."""
        rows = self.store.db.execute(
            "select * from deliveries where state = 'held' and"
            " (:name is null or cast(id as text) = :name or event = :name or type = :name)"
            " order by id",
            {"name": name},
        )
        return [_delivery(row) for row in rows.fetchall()]

    def record(self, delivery: Delivery, attempt: Attempt, wait: float | None) -> None:
        """Log an attempt and decide what is next: done, again after a wait, or given up."""
        number = delivery.attempts + 1
        fault = delivery.fault["kind"] if delivery.fault else None
        now = self.store.exact_now()
        with self.store.transaction():
            self.store.db.execute(
                "insert into attempts values (?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    *(delivery.id, number, now, attempt.status, attempt.error),
                    *(json.dumps(attempt.headers), attempt.answer, fault),
                ),
            )
            self.store.db.execute(
                "update deliveries set state = ?, due = ?, attempts = ? where id = ?",
                (*_next_step(attempt, now, wait), number, delivery.id),
            )

    def abandon(self, delivery: Delivery) -> None:
        """Stop trying: the endpoint is gone."""
        self.store.db.execute(
            "update deliveries set state = 'given_up' where id = ?", (delivery.id,)
        )

    def pending(self, gateway: str, event: str) -> int:
        """Count the endpoints that have not accepted an event yet."""
        row = self.store.db.execute(
            "select count(*) as n from deliveries where gateway = ? and event = ?"
            " and state in ('pending', 'held') and not duplicate",
            (gateway, event),
        ).fetchone()
        return int(row["n"])

    def log(self, *, gateway: str | None, event: str | None, limit: int) -> list[dict[str, Any]]:
        """List deliveries with their attempts, newest first."""
        rows = self.store.db.execute(
            "select id, gateway, endpoint, event, type, url, state, due, created, attempts,"
            " duplicate, fault from deliveries where (:gateway is null or gateway = :gateway)"
            " and (:event is null or event = :event) order by id desc limit :limit",
            {"gateway": gateway, "event": event, "limit": limit},
        ).fetchall()
        return [self._logged(dict(row)) for row in rows]

    def _logged(self, row: dict[str, Any]) -> dict[str, Any]:
        tries = self.store.db.execute(
            "select number, at, status, error, headers, answer from attempts"
            " where delivery = ? order by number",
            (row["id"],),
        ).fetchall()
        fault = json.loads(row["fault"]) if row["fault"] else None
        return row | {
            "duplicate": bool(row["duplicate"]),
            "fault": fault and fault["kind"],
            "attempts": [dict(one) | {"headers": json.loads(one["headers"])} for one in tries],
        }


def _delivery(row: Any) -> Delivery:
    parcel = Parcel(
        *(row["gateway"], row["endpoint"], row["event"], row["type"], row["url"], row["body"])
    )
    fault = json.loads(row["fault"]) if row["fault"] else None
    return Delivery(row["id"], parcel, row["attempts"], row["created"], fault)


def _with_wrong_amounts(body: bytes, excess: int) -> bytes:
    """Raise every amount of a JSON body, at any depth, by so many minor units.

    It is done in the text: 2450.00 read and written again would be another number of digits.
    """

    def raised(found: re.Match[bytes]) -> bytes:
        head, name, whole, decimals = found.groups(default=b"")
        if not decimals and not (name.startswith(b"amount") and int(whole)):
            return found[0]
        minor = int(whole + decimals[1:]) + excess
        return head + (b"%d.%02d" % divmod(minor, 100) if decimals else b"%d" % minor)

    return AMOUNTS.sub(raised, body)


def _delay(fault: Fault | None) -> float:
    return fault.seconds if fault and fault.kind is Kind.DELAY else 0


def _first_state(fault: Fault | None) -> str:
    states = {Kind.DROP: "dropped", Kind.HOLD: "held"}
    return states.get(fault.kind, "pending") if fault else "pending"


def patient_wait(delivery: Delivery, now: float) -> float | None:
    """Wait 1 s after the first try, then twice as long each time, for three days."""
    if now - delivery.created > DAYS_3:
        return None
    return min(2.0**delivery.attempts, LONGEST_WAIT)


def _next_step(attempt: Attempt, now: float, wait: float | None) -> Sequence[object]:
    """Decide state and due time."""
    if attempt.accepted:
        return "delivered", now
    return ("given_up", now) if wait is None else ("pending", now + wait)
