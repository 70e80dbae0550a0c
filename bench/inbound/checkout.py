"""createPayment from end to end: a customer's mutation, the action, the gateway's page, the answer.

The gateway answers at once, so that its own time is not in the figure; how long an answer of it
takes is told beside.
"""

from __future__ import annotations

import socket
import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import jwt
from race.load import is_whole
from race.requests import http
from race.servers import RaceError, Server, free_port, running

from inbound.books import CUSTOMERS, ORGANIZATION
from inbound.relay import relaying
from inbound.services import Product, wait_until_well
from sandbox import supervisor
from sandbox.tokens import CLAIMS
from sandbox.world import ACTION_SECRET, HOST, JWT_ALGORITHM, JWT_KEY, Ports

WARM_UP = 20
COUNTED = 20
ANSWER_S_MAX = 20.0
MUTATION = (
    "mutation Buy($amount: bigint!, $email: String!, $key: String!) { createPayment("
    "amount: $amount, email: $email, idempotency_key: $key)"
    " { checkout_url session_id credit_purchase_id credits_amount } }"
)


@dataclass(frozen=True, slots=True)
class Checkouts:
    """Milliseconds of each createPayment and of each answer of the gateway; requests a call."""

    taken_ms: list[float]
    gateway_ms: list[float]
    database_requests: float


def measure(product: Product, api: Server, number: int) -> Checkouts:
    """Buy so many times, one after the other, each time as another customer."""
    bought = [_mutation(each) for each in range(WARM_UP + number)]
    taken = _exchange(product.engine.port, bought, b'"checkout_url":')[WARM_UP:]
    page = http("/v1/checkout/sessions", {}, {})
    return Checkouts(taken, _exchange(api.port, [page] * number, b'"url":'), _requests(product))


def _requests(product: Product) -> float:
    """Count what the app asks of the engine for each createPayment, by a relay between the two."""
    with relaying(product.engine.port, b"POST /v1/graphql ") as relay:
        ports = Ports(hasura=relay.port, app=free_port(), gateways=product.ports.gateways)
        app = supervisor.app_service(ports)
        command = [sys.executable, *app.arguments]
        with running("app behind a relay", command, app.port, app.environment) as server:
            wait_until_well(server, "/healthz")
            actions = [_action(1000 + each) for each in range(1 + COUNTED)]
            _exchange(app.port, actions[:1], b'"checkout_url":')
            before = relay.seen
            _exchange(app.port, actions[1:], b'"checkout_url":')
            return (relay.seen - before) / COUNTED


def _session(number: int) -> dict[str, str]:
    return {
        "x-hasura-user-id": f"user-{number * 7919 % CUSTOMERS}",
        "x-hasura-organization-id": ORGANIZATION,
    }


def _input(number: int) -> dict[str, object]:
    return {"amount": 2500, "email": "payer@example.com", "key": f"checkout {number}"}


def _mutation(number: int) -> bytes:
    claims = {
        **_session(number),
        "x-hasura-default-role": "customer",
        "x-hasura-allowed-roles": ["customer"],
    }
    expiry = datetime.now(UTC) + timedelta(hours=1)
    token = jwt.encode({"exp": expiry, CLAIMS: claims}, JWT_KEY, JWT_ALGORITHM)
    body = {"query": MUTATION, "variables": _input(number)}
    return http("/v1/graphql", body, {"authorization": f"Bearer {token}"})


def _action(number: int) -> bytes:
    given = _input(number)
    given["idempotency_key"] = given.pop("key")
    variables = {**_session(number), "x-hasura-role": "customer"}
    body = {"input": given, "session_variables": variables}
    return http("/create-payment", body, {"action-secret": ACTION_SECRET})


def _exchange(port: int, asked: list[bytes], marker: bytes) -> list[float]:
    """Ask one after the other on one connection. Returns the milliseconds of each."""
    taken = []
    with socket.create_connection((HOST, port), ANSWER_S_MAX) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for request in asked:
            started = time.perf_counter()
            connection.sendall(request)
            answer = b""
            while not is_whole(answer):
                part = connection.recv(65_536)
                answer += part
                if not part:
                    break
            taken.append((time.perf_counter() - started) * 1000)
            if marker not in answer:
                raise RaceError(f"refused: {answer[-300:].decode(errors='replace')}")
    return taken
