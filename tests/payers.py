"""The service in this process, a gateway that is made up, and many customers who pay monthly."""

from dataclasses import dataclass, field, replace
from datetime import date, datetime
from threading import Lock
from typing import Any
from uuid import UUID, uuid4

import psycopg
from books import Money, Tenant, broken_invariants, settle
from graphql import FieldNode, FragmentDefinitionNode
from in_process import Fault, context, root_field
from in_process import Hasura as InProcess
from mandates import Autopay, move_clock
from psycopg.rows import dict_row

from app.autopay.crons import materialise_autopay, run_autopay
from app.context import Context
from app.errors import GatewayUnavailableError
from app.gateways import Checkout, Finding, Outcome, SavedCharge, Setup, Subject
from app.graphql import operations


class Hasura(InProcess):
    """Answers what was selected and no more, all of it as JSON has it."""

    def _run(self, name: str, variables: dict[str, Any]) -> list[dict[str, Any]]:
        wanted = [field.name.value for field in selected(name)]
        rows = super()._run(name, variables)
        return [{column: as_json(row[column]) for column in wanted} for row in rows]


def selected(name: str) -> list[FieldNode]:
    """List the fields that an operation selects, those of its fragments too."""
    fragments = {
        definition.name.value: definition
        for definition in operations()[name].document.definitions
        if isinstance(definition, FragmentDefinitionNode)
    }
    return [
        field
        for each in root_field(name).selection_set.selections
        for field in (
            [each]
            if isinstance(each, FieldNode)
            else fragments[each.name.value].selection_set.selections
        )
    ]


def as_json(value: Any) -> Any:
    return value.isoformat() if isinstance(value, date) else value


@dataclass
class Bank:
    """One payment for each key. `silence` makes it say nothing, before it acts or after."""

    fault: Fault
    silence: str | None = None
    outcome: Outcome = Outcome.PAID
    payments: dict[str, Finding] = field(default_factory=dict)
    asked: list[SavedCharge] = field(default_factory=list)
    setups: dict[str, Setup] = field(default_factory=dict)
    saved: dict[str, Finding] = field(default_factory=dict)
    refusal: Exception | None = None
    lock: Lock = field(default_factory=Lock)

    def charge(self, charge: SavedCharge) -> Finding:
        return self.fault.around("gateway.charge", lambda: self.charged(charge))

    def open_setup(self, setup: Setup) -> Checkout:
        return self.fault.around("gateway.open_setup", lambda: self._open_setup(setup))

    def find_setup(self, autopay_mandate_id: str, gateway_session_id: str) -> Finding | None:
        assert gateway_session_id == f"cs_{autopay_mandate_id}"
        return self.saved.get(autopay_mandate_id)

    def charged(self, charge: SavedCharge) -> Finding:
        with self.lock:
            self.asked.append(charge)
        if self.silence == "before":
            raise GatewayUnavailableError("no answer")
        with self.lock:
            found = self.payments.setdefault(
                charge.id,
                Finding(
                    subject=Subject.PAYMENT,
                    outcome=self.outcome,
                    gateway_payment_id=f"pi_{charge.id}",
                    amount=charge.amount,
                    captured_amount=charge.amount,
                ),
            )
        if self.silence == "after":
            raise GatewayUnavailableError("no answer")
        return replace(found, payment_attempt_id=charge.id)

    def _open_setup(self, setup: Setup) -> Checkout:
        if self.refusal:
            raise self.refusal
        assert self.setups.setdefault(setup.id, setup) == setup  # asked again: the same words
        return Checkout(reference=f"cs_{setup.id}", url=f"https://pay.example/{setup.id}")


class Town:
    """Customers of one organisation, each with a mandate of 25.00 USD on the 15th."""

    def __init__(self, url: str, payers: int) -> None:
        self.url = url
        self.fault = Fault()
        self.bank = Bank(self.fault)
        self.at("2027-06-01T12:00Z")
        with self.connect() as db:
            self.tenant = settle(db)
            self.tenants = [self.tenant, *(neighbour(db, self.tenant) for _ in range(payers - 1))]
        with self.connect() as db:
            for tenant in self.tenants:
                Autopay(db, Money(db, tenant.session), tenant).set_up()

    def connect(self) -> psycopg.Connection[dict[str, Any]]:
        return psycopg.connect(self.url, row_factory=dict_row)

    def context(self, tenant: Tenant | None = None) -> Context:
        session = (tenant or self.tenant).session
        hasura = Hasura(self.url, session, self.fault)
        return context(hasura=hasura, gateway=lambda _: self.bank, now=self.now)

    def now(self) -> datetime:
        with self.connect() as db:
            return db.execute("select clock_now() as now").fetchone()["now"]

    def at(self, moment: str) -> None:
        with self.connect() as db:
            move_clock(db, moment)

    def tick(self) -> dict[str, int]:
        materialise_autopay(self.context())
        return run_autopay(self.context())

    def plan(self, at: int, *, is_after: bool) -> None:
        """From now on: die at that call."""
        self.fault.at, self.fault.is_after = at, is_after
        self.fault.calls.clear()

    def count(self, query: str) -> int:
        with self.connect() as db:
            return int(db.execute(f"select count(*) as count from {query}").fetchone()["count"])

    def check(self, months: int = 1) -> None:
        """Every customer paid every month once, at the gateway and in the books."""
        expected = months * len(self.tenants)
        assert self.count("autopay_charges where status = 'succeeded'") == expected
        assert self.count("payment_attempts where status = 'captured'") == expected
        assert self.count(f"credit_wallets where balance = {250 * months}") == len(self.tenants)
        assert len(self.bank.payments) == expected
        with self.connect() as db:
            assert broken_invariants(db) == {}


def neighbour(db: psycopg.Connection[dict[str, Any]], tenant: Tenant) -> Tenant:
    """Write another customer of the same organisation."""
    customer_id: UUID = uuid4()
    user_id = str(uuid4())
    db.execute(
        "insert into customers (id, organization_id, livemode, user_id, email)"
        " values (%s, %s, false, %s, 'bob@example.com')",
        [customer_id, tenant.organization_id, user_id],
    )
    return Tenant(tenant.organization_id, customer_id, user_id)
