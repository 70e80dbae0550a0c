"""Webhooks that come to one process at the same time: one call, and none of them lost."""

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Any

import psycopg
import pytest
from books import Money, Tenant, broken_invariants, settle
from in_process import CrashError, Fault, Hasura, busy, context
from psycopg.rows import dict_row

from app import inbox
from app.gateways import Notice, Outcome, Subject
from app.graphql import QueryError
from app.money import Money as Amount

NOW = datetime(2026, 11, 21, 10, tzinfo=UTC)
PAYERS = 3


@dataclass
class Door:
    """The service's door for webhooks, at which three payments are told of at the same time."""

    url: str
    fault: Fault = field(default_factory=Fault)
    messages: inbox.Messages = field(default_factory=partial(inbox.Messages, 1, 1, 32))

    def __post_init__(self) -> None:
        with psycopg.connect(self.url, row_factory=dict_row) as db:
            self.tenant: Tenant = settle(db)
            money = Money(db, self.tenant.session)
            self.attempts = [money.open(key=f"key-{n}")["payment_attempt_id"] for n in range(3)]
        self.hasura = Hasura(self.url, self.tenant.session, self.fault)
        self.ctx = context(hasura=self.hasura, now=lambda: NOW, messages=self.messages)

    def hear(self, attempt: Any, **changes: Any) -> dict[str, Any]:
        said: dict[str, Any] = {
            "subject": Subject.PAYMENT,
            "outcome": Outcome.PAID,
            "payment_attempt_id": str(attempt),
            "gateway_payment_id": f"pi_{attempt}",
            "amount": Amount(2500, "USD"),
            "event_id": f"evt_{attempt}",
            "account": "",
            "livemode": False,
            "type": "checkout.session.completed",
            "occurred_at": NOW,
            "raw": {"id": "evt"},
        }
        return inbox.receive(self.ctx, "stripe", Notice(**said | changes))

    def hear_all(self, **changes: Any) -> list[Future[dict[str, Any]]]:
        """Hear of all of them at once; `changes` are of the first."""
        with ThreadPoolExecutor(PAYERS) as threads, busy(self.messages, until=PAYERS):
            first, *others = self.attempts
            heard = [
                threads.submit(self.hear, first, **changes),
                *(threads.submit(self.hear, attempt) for attempt in others),
            ]
            wait(heard)
        return heard

    def captured(self) -> int:
        with psycopg.connect(self.url, row_factory=dict_row) as db:
            assert broken_invariants(db) == {}
            query = "select from payment_attempts where status = 'captured'"
            return len(db.execute(query).fetchall())


@pytest.fixture
def door(database: str) -> Iterator[Door]:
    return Door(database)


def test_they_are_received_in_one_call(door: Door) -> None:
    rows = [each.result() for each in door.hear_all()]

    assert [row["status"] for row in rows] == ["applied"] * PAYERS
    assert [row["event_id"] for row in rows] == [f"evt_{attempt}" for attempt in door.attempts]
    assert door.fault.calls == ["ReceiveGatewayEvents"]
    assert door.captured() == PAYERS


def test_one_that_is_no_plain_success_comes_alone_after_the_others(door: Door) -> None:
    first, *others = (each.result() for each in door.hear_all(amount=Amount(1, "USD")))

    assert first["status"] == "parked"
    assert [row["status"] for row in others] == ["applied"] * 2
    assert door.fault.calls == ["ReceiveGatewayEvents", "ReceiveGatewayEvent"]
    assert door.captured() == 3  # what is not what was asked for is an attempt by itself


@pytest.mark.parametrize("is_kept", [False, True])
def test_where_nobody_hears_how_the_call_went_each_comes_alone(
    door: Door, monkeypatch: pytest.MonkeyPatch, *, is_kept: bool
) -> None:
    run = door.hasura.run

    def refuse(name: str, **variables: Any) -> Any:
        if name == "ReceiveGatewayEvents":
            if is_kept:
                run(name, **variables)
            raise QueryError("the answer is lost, or one of them cannot be written down")
        return run(name, **variables)

    monkeypatch.setattr(door.hasura, "run", refuse)
    rows = [each.result() for each in door.hear_all()]

    assert [row["status"] for row in rows] == ["applied"] * PAYERS
    assert door.fault.calls.count("ReceiveGatewayEvent") == PAYERS
    assert door.captured() == PAYERS


@pytest.mark.parametrize("is_after", [False, True], ids=["before", "after"])
def test_the_process_may_die_with_all_of_them(door: Door, *, is_after: bool) -> None:
    """No gateway gets its 200, and each sends again."""
    door.fault.at, door.fault.is_after = 1, is_after
    failures = [each.exception() for each in door.hear_all()]
    assert all(isinstance(failure, CrashError) for failure in failures)
    assert door.captured() == (PAYERS if is_after else 0)

    door.fault.at = 0
    again = [each.result() for each in door.hear_all()]
    assert [row["status"] for row in again] == ["applied"] * PAYERS
    assert door.captured() == PAYERS
