"""A case: one flow, played with some of its calls spoilt, then put right by those who are left.

Who is left is the mode. A client that retries by its key; a gateway and a Hasura that deliver again
what was not taken; the janitor's crons, as time goes by. Whatever was spoilt, the books must be
sound at the end and every promise kept; and where those who are left can finish it, it is finished.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import history
from proof import belongings, trace
from proof.acknowledged import Acknowledged, unbooked, unknown_refunds
from proof.ledgers import LEDGERS, SentBack
from proof.seam import Crash, Kind
from proof.stage import Answer, Stage

from sandbox.gateways.server.deliveries import Delivery

TRIES_MAX = 5
# What the janitor is given: to the end of its questions, when all that is open must be listed.
PAUSES = (40, 150, 700, 4_000, 22_000, 60_000, *[90_000] * 8)
PAUSES_MIN = 2  # a receipt is fetched by the second tick after a capture

CLIENT, COURIERS, JANITOR = "client", "couriers", "janitor"
MODES = {
    "client": frozenset({CLIENT}),
    "webhook": frozenset({COURIERS}),
    "janitor": frozenset({JANITOR}),
    "all": frozenset({CLIENT, COURIERS, JANITOR}),
}

# A hint is taken in once it is kept, and its gateway does not send it again: where it could not be
# followed at once, the cron is who is left of those who tell.
HINTED_AT = """
select from payment_attempts
inner join gateway_events on gateway_events.payment_attempt_id = payment_attempts.id
where payment_attempts.created_at >= %s
    and gateway_events.notice ->> 'outcome' = 'hint'
    and gateway_events.notice ->> 'subject' = 'payment'
    and payment_attempts.next_check_at <= clock_now() + interval '1 minute'
"""


class RefusedError(Exception):
    """A door did not say yes."""


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that somebody does. Done by a client, it may be repeated at any time."""

    name: str
    act: Callable[[Case], None]
    by: str = CLIENT  # or "payer", whose doing is no call of ours, or "cron"
    repeats: bool = True  # for a client: asked again at the end it is answered, the same
    ready: Callable[[Case], bool] = lambda _: True  # else nobody would take it, nor can


@dataclass(frozen=True, slots=True)
class Flow:
    """Steps in order, and what the books say once all of it has come through."""

    name: str
    steps: tuple[Step, ...]
    expected: Callable[[Case], list[str]]  # names each thing that is not as it should be
    couriers: bool = True  # whether webhooks and outbox events are delivered on the way
    # What the janitor ticks: the crons that could mend something of this flow.
    crons: tuple[str, ...] = ("apply_gateway_events", "check_payments", "store_missing_receipts")
    alone: bool = False  # whether it begins with empty books: its crons would meet other cases
    gateways: tuple[str, ...] = ("stripe",)  # that have a part in it
    # Whether something happens that only a webhook tells, long after the last question.
    told_only: bool = False
    asked_only: bool = False  # or something that no webhook tells
    later: int = 0  # how long it takes a gateway, in seconds, to make up its mind
    refunded_there: bool = False  # whether somebody refunds at the gateway, past us
    until_closed: bool = False  # whether the janitor also asks what else was paid on the page
    # Which of the ways in which a call may be spoilt come first. Flows of one family, which are
    # the same at each gateway, have a turn each, so that together they come through more of them.
    turn: int = 0


@dataclass
class Case:
    """One playing of a flow."""

    stage: Stage
    flow: Flow
    faults: Mapping[int, Kind]
    mode: str = "all"
    key: str = field(default_factory=lambda: f"proof-{uuid4()}")
    facts: dict[str, Any] = field(default_factory=dict)
    heard: Acknowledged = field(default_factory=Acknowledged)
    complaints: list[str] = field(default_factory=list)
    calls: int = 0
    gateway_from: int = 0
    bags_from: int = 0
    started: Any = None
    _undelivered: list[Callable[[], bool]] = field(default_factory=list)
    _seen: set[object] = field(default_factory=set)

    @property
    def powers(self) -> frozenset[str]:
        return MODES[self.mode]

    def run(self) -> list[str]:
        """Play it. Answers what is wrong at the end, which should be nothing."""
        if self.flow.alone:
            self.stage.empty()
        self.stage.seam.begin(self.faults)
        self.gateway_from = self.stage.gateway_position()
        self.bags_from = self.stage.bags.position()
        (row,) = self.stage.sql("select clock_now() as now")
        self.started = row["now"]
        finished = self._play()
        self.calls = len(self.stage.seam.trace)
        self._recover()
        return self.complaints + self.judge(finished=finished)

    def says(self, answer: Answer) -> Any:
        """Take a door's yes. Raises RefusedError for anything else."""
        if not answer.is_yes:
            raise RefusedError(f"{answer.status} {answer.body}")
        return answer.body

    def same(self, name: str, value: object) -> None:
        """Note a fact, or complain that it is another than before: a replay answers the same."""
        if self.facts.setdefault(name, value) != value:
            self.complaints.append(f"{name} was {self.facts[name]} and is {value}")

    def own(self, kind: str, gateway: str = "stripe") -> list[dict[str, Any]]:
        """List a gateway's objects that are about this case."""
        names = belongings.names(self.stage, gateway, self.gateway_from, self.started)
        objects = self.stage.gateway_objects(kind, self.gateway_from, gateway)
        return [one for one in objects if belongings.mentions(json.dumps(one), names)]

    def charges(self) -> list[dict[str, Any]]:
        """List what the gateways took."""
        ledgers = [(name, LEDGERS[name]) for name in self.flow.gateways]
        return [
            charge
            for name, ledger in ledgers
            for charge in ledger.charges(self.own(ledger.payments, name))
        ]

    def sent_back(self) -> list[SentBack]:
        """List what the gateways were asked to send back."""
        return [
            LEDGERS[name].sent_back(one)
            for name in self.flow.gateways
            for one in self.own("refund", name)
        ]

    @property
    def is_told(self) -> bool:
        """Whether the gateways' webhooks come through at the end, whatever was spoilt."""
        return COURIERS in self.powers and self.flow.couriers

    def sql(self, query: str, *values: object, **named: object) -> list[dict[str, Any]]:
        return self.stage.sql(query, *values, **named)

    def _play(self) -> bool:
        """Take the steps. False when a client gave up on the way, or a cron died for good."""
        finished = True
        for step in self.flow.steps:
            done = self._take(step)
            if not done and step.by == CLIENT:
                return False
            finished = finished and (done or step.by != "cron" or JANITOR in self.powers)
            self._deliver_new()
        return finished

    def _take(self, step: Step) -> bool:
        if not step.ready(self):
            return False
        again = (step.by == CLIENT and CLIENT in self.powers) or (
            step.by == "cron" and JANITOR in self.powers
        )
        return any(self._once(lambda: step.act(self)) for _ in range(TRIES_MAX if again else 1))

    def _once(self, act: Callable[[], None]) -> bool:
        try:
            act()
        except Crash:
            self.stage.restart()
            return False
        except RefusedError:
            return False
        return True

    def _recover(self) -> None:
        self._deliver_again()
        if self.stage.seam.land():
            self._deliver_new()
            self._deliver_again()
        if CLIENT in self.powers:
            for step in self.flow.steps:
                if step.by == CLIENT and step.repeats and step.ready(self) and not self._take(step):
                    self.complaints.append(f"{step.name} is not answered after all")
        self.stage.advance(self.flow.later)
        if JANITOR in self.powers:
            self._clean_up()
        self._deliver_new()
        self._deliver_again()
        if self.is_told and self.sql(HINTED_AT, self.started):
            self.stage.advance(60)
            self._once(lambda: self.says(self.stage.tick("check_payments")) and None)

    def _clean_up(self) -> None:
        for number, pause in enumerate(PAUSES):
            if number >= PAUSES_MIN and not self._left_open():
                break
            self.stage.advance(pause)
            for cron in self.flow.crons:
                self._once(lambda cron=cron: self.says(self.stage.tick(cron)) and None)

    # The couriers: the gateway's webhooks, and Hasura's event triggers.

    def _deliver_new(self) -> None:
        """Deliver what is new, once. The janitor's cases are those in which nobody comes."""
        hit = len(self.stage.seam.faults) < len(self.faults)
        if not self.flow.couriers or (self.mode == "janitor" and hit):
            return
        while new := [*self._new_messages(), *self._new_events()]:
            self._undelivered += [deliver for deliver in new if not deliver()]

    def _deliver_again(self) -> None:
        if COURIERS not in self.powers:
            return
        for _ in range(TRIES_MAX):
            self._undelivered = [deliver for deliver in self._undelivered if not deliver()]

    def _new_messages(self) -> Iterator[Callable[[], bool]]:
        for delivery in list(self.stage.bags.after(self.bags_from)):
            name = delivery.parcel.gateway
            if name not in self.flow.gateways or delivery.id in self._seen:
                continue
            names = belongings.names(self.stage, name, self.gateway_from, self.started)
            if belongings.mentions(delivery.parcel.body.decode(), names):
                self._seen.add(delivery.id)
                yield lambda one=delivery: self._once(lambda: self._message(one))

    def _message(self, delivery: Delivery) -> None:
        answer, event_id = self.stage.webhook(delivery)
        if event_id is None:  # nobody signs it: it is heard, and not kept
            self.says(answer)
            return
        if answer.is_yes and not self.stage.is_kept(event_id):
            self.complaints.append(f"message {event_id} was answered before it was kept")
        self.says(answer)
        self.heard.heard("message", event_id=event_id)

    def _new_events(self) -> Iterator[Callable[[], bool]]:
        rows = self.sql(
            "select to_jsonb(receipt_requests) as row from receipt_requests"
            " where created_at >= %s order by created_at, payment_attempt_id",
            self.started,
        )
        for row in (one["row"] for one in rows):
            for trigger in self.stage.event_triggers:
                seen = f"{trigger} {row['payment_attempt_id']}"
                if seen not in self._seen:
                    self._seen.add(seen)
                    yield lambda row=row, trigger=trigger: self._once(
                        lambda: self._event(trigger, row)
                    )

    def _event(self, trigger: str, row: dict[str, Any]) -> None:
        answer = self.says(self.stage.event(trigger, row))
        if trigger == "store_receipt" and answer.get("stored"):
            self.heard.heard("receipt", payment_attempt_id=answer["stored"])

    # The judgement.

    def judge(self, *, finished: bool) -> list[str]:
        """Name everything that is wrong now."""
        faults = [f"{view}: {rows}" for view, rows in self.stage.broken_invariants().items()]
        faults += self.heard.broken(self)
        faults += trace.broken(self.stage.seam.trace)
        faults += history.breaches(self.stage.database)
        faults += [] if self.flow.refunded_there else unknown_refunds(self)
        # Without anybody who tells us, or asks, a charge of the gateway is not in the books.
        told = self.is_told and not self.flow.asked_only
        if told or (JANITOR in self.powers and not self.flow.told_only):
            faults += unbooked(self)
            faults += self.flow.expected(self) if finished else []
        if JANITOR in self.powers:
            faults += self._left_open()
        return faults

    def _left_open(self) -> list[str]:
        """Name each attempt and refund that has neither ended nor been listed for a person."""
        rows = self.sql(
            "select id::text, status, checks, next_check_at, clock_now() as now"
            " from payment_attempts where created_at >= %s"
            " and (status in ('created', 'unknown', 'pending', 'processing')"
            # Until it is said how much, the money waits for its shop.
            "   or status = 'authorized' and amount_to_capture is not null"
            "   or status = 'captured' and next_check_at is not null and %s)"
            " and id not in (select object_id from exceptions)",
            self.started,
            self.flow.until_closed,
        )
        left = [
            f"attempt {row['id']} is {row['status']} for ever: asked about {row['checks']} times,"
            f" again at {row['next_check_at']}, and it is {row['now']}"
            for row in rows
        ]
        if "publish_events" in self.flow.crons:
            query = "select event_id::text as id from event_publications where status = 'pending'"
            left += [f"event {row['id']} is not published" for row in self.sql(query)]
        if "check_refunds" not in self.flow.crons:
            return left
        rows = self.sql(
            "select id::text, status from refunds where created_at >= %s"
            " and status in ('created', 'unknown', 'pending')"
            " and id not in (select object_id from exceptions)",
            self.started,
        )
        left += [f"refund {row['id']} is {row['status']} for ever" for row in rows]
        if not self.flow.refunded_there:
            return left
        query = "select payment_attempt_id as id from refund_searches where due_at is not null"
        return left + [f"refunds of {row['id']} are still searched for" for row in self.sql(query)]
