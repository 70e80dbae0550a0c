"""The running product, and what a test may do to it."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import psycopg
import pytest
from books import broken_invariants
from e2e.proxy import Proxy
from psycopg.rows import dict_row

from sandbox import supervisor, tokens, world
from sandbox.processes import Process, Service
from sandbox.world import Ports

SECONDS_MAX = 60.0  # for what takes a second, on a machine that has other things to do
PAUSE_SECONDS = 0.05
# The service gives its database three seconds, which a machine that stalls does not keep. Here it
# gives it a minute: what it does then is proved where time is nobody's but the test's.
UNHURRIED = f"""
import sys
from app import budget, graphql
from waitress.runner import run
graphql.ANSWER_SECONDS_MAX = graphql.TRIES_SECONDS_MAX = {SECONDS_MAX}
budget.ANSWER_SECONDS_MAX = budget.CRON_SECONDS_MAX = 10 * {SECONDS_MAX}
sys.exit(run(["waitress", *sys.argv[1:]]))
"""


class Patient(httpx.HTTPTransport):
    """Sends a request again for as long as the service says that it cannot just now.

    Nothing has come of it, or the same will again: whoever calls the service may do so.
    """

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        deadline = time.monotonic() + SECONDS_MAX
        while True:
            answer = super().handle_request(request)
            if answer.status_code != httpx.codes.SERVICE_UNAVAILABLE or time.monotonic() > deadline:
                return answer
            answer.close()
            time.sleep(PAUSE_SECONDS)


@dataclass
class World:
    """Four processes, and a watched line between the service and the two that it calls."""

    ports: Ports
    database_url: str
    logs: Path
    web: httpx.Client
    to_hasura: Proxy
    to_stripe: Proxy
    app: Process = field(init=False)
    payer: tokens.User = tokens.ADA  # a customer of Tiger Campus whom no other test knows

    def start_app(self) -> None:
        service = supervisor.app_service(self.ports)
        module, waitress, *words = service.arguments
        assert (module, waitress) == ("-m", "waitress")
        watched = {
            "HASURA_ENDPOINT": f"http://127.0.0.1:{self.to_hasura.port}/v1/graphql",
            "STRIPE_API_URL": f"http://127.0.0.1:{self.to_stripe.port}/stripe",
        }
        environment = {**service.environment, **watched}
        self.app = Process(
            Service(service.name, ("-c", UNHURRIED, *words), environment, service.port), self.logs
        )
        self.app.start()
        self.app.wait_until_well(SECONDS_MAX)

    def restart_app(self) -> None:
        self.app.stop()
        self.start_app()

    def welcome(self) -> None:
        """Have somebody new pay from now on: what is under way for others is not theirs."""
        self.payer = replace(tokens.ADA, id=str(uuid4()), customer_id=str(uuid4()))
        self.sql(
            "insert into customers (id, organization_id, livemode, user_id, email)"
            " values (%s, %s, false, %s, %s) returning id",
            self.payer.customer_id,
            self.payer.organization_id,
            self.payer.id,
            self.payer.email,
        )

    def graphql(self, query: str, user: tokens.User | None = None, **variables: object) -> Any:
        """Ask as a person with a token; the answer's body, data or errors."""
        token = tokens.token(user or self.payer)
        return self.ask(query, {"Authorization": f"Bearer {token}"}, variables)

    def ask(self, query: str, headers: Mapping[str, str], variables: Mapping[str, object]) -> Any:
        """Ask again for as long as the service cannot just now, as `Patient` does."""
        body = {"query": query, "variables": variables}
        deadline = time.monotonic() + SECONDS_MAX
        while True:
            said = self.web.post(self.ports.graphql_url, json=body, headers=headers).json()
            codes = {error["extensions"]["code"] for error in said.get("errors", ())}
            if "service-unavailable" not in codes or time.monotonic() > deadline:
                return said
            time.sleep(PAUSE_SECONDS)

    def create_payment(self, user: tokens.User | None = None, **changes: Any) -> httpx.Response:
        """Post TCS's own request directly, as its document has it."""
        user = user or self.payer
        asked = {"amount": 2500, "email": user.email, "idempotency_key": str(uuid4())}
        return self.web.post(
            f"{self.ports.app_url}/create-payment",
            json={
                "input": asked | changes,
                "session_variables": {"x-hasura-user-id": user.id},
            },
            headers={"ACTION-SECRET": world.ACTION_SECRET},
        )

    def tick(self, cron: str) -> Any:
        """Call a cron as Hasura does; its answer."""
        answer = self.web.post(
            f"{self.ports.app_url}/crons/{cron}",
            json={"id": str(uuid4()), "name": cron, "payload": {}},
            headers={"ACTION-SECRET": world.ACTION_SECRET},
        )
        assert answer.is_success, answer.text
        return answer.json()

    def pay(self, session_id: str, card: str = "4242424242424242") -> None:
        self.control("POST", f"stripe/sessions/{session_id}/pay", json={"card": card})

    def fault(self, operation: str, kind: str, **more: object) -> None:
        fault = {"gateway": "stripe", "operation": operation, "kind": kind, **more}
        self.control("POST", "faults", json=fault)

    def control(self, method: str, path: str, **more: Any) -> Any:
        answer = self.web.request(method, f"{self.ports.gateways_url}/_sandbox/{path}", **more)
        assert answer.is_success, answer.text
        return answer

    def sql(self, query: str, *values: object) -> list[dict[str, Any]]:
        with psycopg.connect(self.database_url, row_factory=dict_row) as connection:
            return connection.execute(query, values).fetchall()

    def broken(self) -> dict[str, Any]:
        with psycopg.connect(self.database_url, row_factory=dict_row) as connection:
            return broken_invariants(connection)

    def has_granted(self, payment: Mapping[str, Any]) -> bool:
        """Whether the credits of a purchase are there."""
        query = "select from credit_purchases where id = %s and granted_at is not null"
        return bool(self.sql(query, payment["credit_purchase_id"]))

    def balance(self, user: tokens.User | None = None) -> int:
        answer = self.graphql("{ credit_wallets { balance } }", user)
        return int(float(answer["data"]["credit_wallets"][0]["balance"]))


def until(found: Callable[[], Any], what: str = "it", seconds: float = SECONDS_MAX) -> Any:
    """Wait for a true answer and return it."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if answer := found():
            return answer
        time.sleep(PAUSE_SECONDS)
    pytest.fail(f"{what} did not come in {seconds} s")
