"""The service's own code on a real database, with a gateway that is made up, and crashes."""

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from decimal import Decimal
from threading import Event, Lock
from typing import Any
from uuid import UUID

import psycopg
from books import Money, broken_invariants, settle
from graphql import FieldNode, OperationDefinitionNode
from money_back import Desk, balances
from psycopg.rows import dict_row

from app import config, inbox
from app.context import Context
from app.errors import GatewayUnavailableError, from_database
from app.gateways import Capability, Finding, Outcome, RefundOrder, Subject
from app.graphql import operations
from app.refunds.actions import refund_payment
from app.refunds.schemas import RefundPaymentSchema

ENVIRON = {
    "MUNIM_ENV": "test",
    "HASURA_ENDPOINT": "http://hasura.test/v1/graphql",
    "HASURA_ADMIN_SECRET": "admin-secret",
    "ACTION_SECRET": "action-secret",
    "FRONTEND_URL": "https://shop.example",
    "SERVICE_URL": "https://pay.example",
    "LOG_LEVEL": "critical",
    "GATEWAY_ASKERS": "1",  # calls come in an order
}


def context(
    *,
    hasura: Any = None,
    gateway: Any = None,
    now: Any = None,
    environ: Mapping[str, str] = ENVIRON,
    messages: inbox.Messages | None = None,
) -> Context:
    """A context of what a test gives: whatever else is asked of it fails."""
    settings = config.load(environ)
    return Context(settings, hasura, gateway, now, messages or inbox.messages())


@contextmanager
def busy(messages: inbox.Messages, until: int) -> Iterator[None]:
    """Have messages wait until so many do, or the block is over: the next call has them all."""
    is_over, is_held = Event(), Event()

    def hold(waiting: list[inbox.Message]) -> list[None]:
        is_held.set()
        while messages.size < until and not is_over.wait(0.005):
            pass
        return [None for _ in waiting]

    with ThreadPoolExecutor(1) as pool:
        held = pool.submit(messages.join, {}, hold)
        assert is_held.wait(60)
        try:
            yield
        finally:
            is_over.set()
    assert held.result() is None


class CrashError(BaseException):
    """The process died here: nothing in the service may catch it."""


@dataclass
class Fault:
    """Dies at the call of this number, before or after its effect. The dead make no other call."""

    at: int = 0
    is_after: bool = False
    calls: list[str] = field(default_factory=list)
    _counting: Lock = field(default_factory=Lock)

    def around(self, name: str, call: Callable[[], Any]) -> Any:
        with self._counting:  # several threads of the service may call at once
            self.calls.append(name)
            number = len(self.calls)
        if self.at and (number > self.at or (number == self.at and not self.is_after)):
            raise CrashError
        answer = call()
        if number == self.at:
            raise CrashError
        return answer


def where(node: Any, variables: dict[str, Any]) -> tuple[str, list[Any]]:
    """Write a condition of `_eq`, `_in` and `_or` in SQL."""
    parts: list[str] = []
    values: list[Any] = []
    for each in node.fields:
        if each.name.value == "_or":
            ways = [where(one, variables) for one in each.value.values]
            parts.append(f"({' or '.join(way for way, _ in ways)})")
            values += [value for _, given in ways for value in given]
            continue
        for test in each.value.fields:
            sign = {"_eq": "= %s", "_in": "= any(%s::text[])"}[test.name.value]
            parts.append(f"{each.name.value}::text {sign}")
            values.append(variables[test.value.name.value])
    return f"({' and '.join(parts)})", values


class Hasura:
    """Runs the service's operations as Hasura does, each in a transaction of its own.

    It knows mutations that are one function, and queries of one table by what is in its columns.
    """

    def __init__(self, url: str, session: dict[str, str], fault: Fault) -> None:
        self.url, self.session, self.fault = url, session, fault

    def run(self, name: str, **variables: Any) -> list[dict[str, Any]]:
        return self.fault.around(name, lambda: self._run(name, variables))

    def one(self, name: str, **variables: Any) -> dict[str, Any]:
        (row,) = self.run(name, **variables)
        return row

    def _run(self, name: str, variables: dict[str, Any]) -> list[dict[str, Any]]:
        root = root_field(name)
        try:
            with psycopg.connect(self.url, row_factory=dict_row) as db:
                rows = self._ask(db, root, variables)
                return [self._shape(db, row) | self._lists(db, root, row) for row in rows]
        except psycopg.Error as failure:
            refusal = from_database(str(failure.diag.message_primary))
            if refusal is None:
                raise
            raise refusal from failure

    def _ask(self, db: Any, root: FieldNode, variables: dict[str, Any]) -> list[dict[str, Any]]:
        if not root.arguments:
            return Money(db, self.session).call(root.name.value)
        (argument,) = root.arguments
        if argument.name.value == "args":
            given = {
                each.name.value: (each.value.name if hasattr(each.value, "name") else None)
                for each in argument.value.fields
            }
            arguments = {
                name.removeprefix("p_"): variables.get(variable.value)
                for name, variable in given.items()
            }
            return Money(db, self.session).call(root.name.value, **arguments)
        condition, values = where(argument.value, variables)
        query = f"select * from {root.name.value} where {condition}"
        return db.execute(query, values).fetchall()

    def _lists(self, db: Any, root: FieldNode, row: dict[str, Any]) -> dict[str, Any]:
        """Answer what is asked for of an attempt's refunds and disputes."""
        assert root.selection_set
        fields = [one for one in root.selection_set.selections if isinstance(one, FieldNode)]
        names = {one.name.value for one in fields} & {"refunds", "disputes"}
        return {
            name: [
                {column: plain(value) for column, value in one.items()}
                for one in db.execute(
                    f"select * from {name} where payment_attempt_id = %s", [row["id"]]
                ).fetchall()
            ]
            for name in names
        }

    def _shape(self, db: Any, row: dict[str, Any]) -> dict[str, Any]:
        """As Hasura prints it, beside an attempt its payment, and beside a refund its attempt."""
        shaped = {name: plain(value) for name, value in row.items()}
        if "purpose" in row:  # a payment, beside which its last decline is asked for
            declines = db.execute(
                "select failure_code, decline_class, declined_at from payment_attempts"
                " where payment_intent_id = %s and declined_at is not null"
                " order by declined_at desc limit 1",
                [row["id"]],
            ).fetchall()
            shaped["payment_attempts"] = [
                {name: plain(value) for name, value in one.items()} for one in declines
            ]
        if "next_check_at" in row:  # its gateway works, unless a test says otherwise
            shaped |= dict.fromkeys(["is_put_off", "is_gateway_failing", "is_tried_out"], False)
        if {"next_check_at", "payment_intent_id"} <= row.keys():
            shaped["payment_intent"] = db.execute(
                "select status from payment_intents where id = %s", [row["payment_intent_id"]]
            ).fetchone()
        if "ask_since" in row:
            shaped["is_gateway_failing"] = db.execute(
                "select is_gateway_of_poll_failing(dispute_polls) as it from dispute_polls"
                " where gateway = %s and livemode = %s",
                [row["gateway"], row["livemode"]],
            ).fetchone()["it"]
        if "payment_attempt_id" in row:
            shaped["payment_attempt"] = db.execute(
                "select gateway_payment_id, is_surplus from payment_attempts where id = %s",
                [row["payment_attempt_id"]],
            ).fetchone()
        return shaped


def root_field(name: str) -> FieldNode:
    definition = operations()[name].document.definitions[0]
    assert isinstance(definition, OperationDefinitionNode)
    root = definition.selection_set.selections[0]
    assert isinstance(root, FieldNode)
    return root


def plain(value: Any) -> Any:
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, int | UUID | Decimal):
        return str(value)
    return value.isoformat() if isinstance(value, date) else value


@dataclass
class Gateway:
    """Keeps a refund for each key. `silence` makes it fall silent before or after it acted."""

    fault: Fault
    outcome: Outcome = Outcome.SUCCEEDED
    silence: str | None = None
    capabilities: frozenset[Capability] = frozenset()
    refunds: dict[str, Finding] = field(default_factory=dict)
    nonsense: dict[str, Exception] = field(default_factory=dict)  # by the refund it is said of
    asked: int = 0

    def refund(self, order: RefundOrder) -> Finding:
        return self.fault.around("gateway.refund", lambda: self._refund(order))

    def _refund(self, order: RefundOrder) -> Finding:
        self.asked += 1
        self._be_silent("before")
        known = self.refunds.setdefault(
            order.id,
            Finding(
                subject=Subject.REFUND,
                outcome=self.outcome,
                gateway_refund_id=f"re_{order.id}",
                gateway_payment_id=order.gateway_payment_id,
                amount=order.amount,
            ),
        )
        self._be_silent("after")
        return replace(known, refund_id=order.id)

    def find_refund(self, refund_id: str, gateway_payment_id: str) -> Finding | None:
        return self.fault.around(
            "gateway.find_refund", lambda: self._find(refund_id, gateway_payment_id)
        )

    def _find(self, refund_id: str, gateway_payment_id: str) -> Finding | None:
        self._be_silent("before")
        if refund_id in self.nonsense:
            raise self.nonsense[refund_id]
        known = self.refunds.get(refund_id)
        if known is None or known.gateway_payment_id != gateway_payment_id:
            return None
        return replace(known, refund_id=refund_id)

    def _be_silent(self, when: str) -> None:
        if self.silence == when:
            message = "no answer"
            raise GatewayUnavailableError(message)


@dataclass
class House:
    """The service in this process: its context, its gateway, and the fault that may come."""

    url: str
    session: dict[str, str]
    fault: Fault = field(default_factory=Fault)
    gateway: Gateway = field(init=False)

    def __post_init__(self) -> None:
        self.gateway = Gateway(self.fault)

    @property
    def ctx(self) -> Context:
        hasura = Hasura(self.url, self.session, self.fault)
        return context(hasura=hasura, gateway=lambda _: self.peer(), now=self.now)

    def peer(self) -> Any:
        """Whoever answers as the gateway."""
        return self.gateway

    def now(self) -> datetime:
        with psycopg.connect(self.url) as db:
            return db.execute("select clock_now()").fetchone()[0]

    def wait(self, seconds: int) -> None:
        with psycopg.connect(self.url) as db:
            db.execute("update clock set skew_seconds = skew_seconds + %s", [seconds])

    def plan(self, at: int, *, is_after: bool) -> None:
        """From now on: die at that call."""
        self.fault.at, self.fault.is_after = at, is_after
        self.fault.calls.clear()


class Shop:
    """A paid purchase, the service, and what a person at a console sees."""

    def __init__(self, url: str) -> None:
        with psycopg.connect(url, row_factory=dict_row) as db:
            self.tenant = settle(db)
            self.paid = Desk(db, self.tenant.session).paid()
        self.url = url
        self.house = House(url, self.tenant.session | {"x-hasura-actor-role": "finance"})

    def refund(self, **changes: Any) -> dict[str, Any]:
        asked = {
            "payment_intent_id": str(self.paid["payment_intent_id"]),
            "amount": 1000,
            "reason": "requested_by_customer",
            "idempotency_key": "refund-1",
        }
        request = RefundPaymentSchema().load(asked | changes)
        return refund_payment(self.house.ctx, request)

    def desk(self, db: Any) -> Desk:
        return Desk(db, self.tenant.session)

    def read(self, query: str) -> list[dict[str, Any]]:
        with psycopg.connect(self.url, row_factory=dict_row) as db:
            return db.execute(query).fetchall()

    def is_settled(self, refunds: int = 1) -> bool:
        """So many refunds at the gateway, as many in the books, and nothing is wrong."""
        with psycopg.connect(self.url, row_factory=dict_row) as db:
            rows = db.execute("select * from refunds").fetchall()
            assert broken_invariants(db) == {}
            assert balances(db, self.tenant)["gateway USD"] == 2500 - refunds * 1000
        assert len(self.house.gateway.refunds) == len(rows) == refunds
        return all(row["status"] == "succeeded" for row in rows)
