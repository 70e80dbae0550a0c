"""The running product, and what a test may do to it."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
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

SECONDS_MAX = 20.0


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

    def start_app(self) -> None:
        service = supervisor.app_service(self.ports)
        watched = {
            "HASURA_ENDPOINT": f"http://127.0.0.1:{self.to_hasura.port}/v1/graphql",
            "STRIPE_API_URL": f"http://127.0.0.1:{self.to_stripe.port}/stripe",
        }
        environment = {**service.environment, **watched}
        self.app = Process(
            Service(service.name, service.arguments, environment, service.port), self.logs
        )
        self.app.start()
        self.app.wait_until_well(SECONDS_MAX)

    def restart_app(self) -> None:
        self.app.stop()
        self.start_app()

    def graphql(self, query: str, user: tokens.User = tokens.ADA, **variables: object) -> Any:
        """Ask as a person with a token; the answer's body, data or errors."""
        return self.web.post(
            self.ports.graphql_url,
            json={"query": query, "variables": variables},
            headers={"Authorization": f"Bearer {tokens.token(user)}"},
        ).json()

    def create_payment(self, user: tokens.User = tokens.ADA, **changes: Any) -> httpx.Response:
        """Post TCS's own request directly, as its document has it."""
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

    def balance(self, user: tokens.User = tokens.ADA) -> int:
        answer = self.graphql("{ credit_wallets { balance } }", user)
        return int(float(answer["data"]["credit_wallets"][0]["balance"]))


def until(found: Callable[[], Any], what: str = "it", seconds: float = SECONDS_MAX) -> Any:
    """Wait for a true answer and return it."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if answer := found():
            return answer
        time.sleep(0.05)
    pytest.fail(f"{what} did not come in {seconds} s")
