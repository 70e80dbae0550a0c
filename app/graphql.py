"""The Hasura client: the only way to data, by the names of operations in the *.graphql files.

An operation selects one root field, and run() answers that field's value. Every mutation here is
idempotent by key, so what failed in passing is sent again with the same variables.
"""

import json
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from http import HTTPStatus
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import requests
from gql import Client, GraphQLRequest
from gql.client import SyncClientSession
from gql.transport import Transport
from gql.transport.exceptions import (
    TransportConnectionFailed,
    TransportError,
    TransportProtocolError,
    TransportQueryError,
    TransportServerError,
)
from graphql import (
    DocumentNode,
    ExecutionResult,
    FieldNode,
    FragmentDefinitionNode,
    OperationDefinitionNode,
    parse,
    print_ast,
)

from app import budget, log
from app.connections import Session
from app.errors import ServiceUnavailableError, from_database
from app.exchange import Patience

# Of a connection, and of an answer: see app/budget.py for what of it our own answer leaves.
ANSWER_SECONDS_MAX = 3
TRIES_SECONDS_MAX = 3  # no new try after so long
TRIES_MAX = 3
PAUSE_SECONDS_MAX = 0.4
# What Hasura says of a deadlock, a lost connection or a full pool: the SQLSTATE is hidden.
PASSING_CODES = frozenset(
    {"unexpected", "postgres-error", "postgres-max-connections-error", "concurrent-update"}
)


def has_time() -> bool:
    """Tell whether a step can be begun now, and another one after it, however long both take."""
    return budget.left() >= 2 * (ANSWER_SECONDS_MAX + ANSWER_SECONDS_MAX)


class QueryError(Exception):
    """Hasura refused an operation of ours: a bug on one of the two sides."""


@dataclass(frozen=True, slots=True)
class Operation:
    """A parsed operation; `field` is the response key of its only root field."""

    document: DocumentNode
    text: str
    field: str
    name: str


@cache
def operations() -> Mapping[str, Operation]:
    """Every operation of the service, by name. Parsed once, at the first request."""
    found: dict[str, Operation] = {}
    for path in sorted(Path(__file__).parent.rglob("*.graphql")):
        for operation in _operations_of(parse(path.read_text(encoding="utf-8"))):
            if operation.name in found:
                message = f"{path.name}: there are two operations called {operation.name}"
                raise QueryError(message)
            found[operation.name] = operation
    return found


def _operations_of(document: DocumentNode) -> Iterator[Operation]:
    fragments = [d for d in document.definitions if isinstance(d, FragmentDefinitionNode)]
    for definition in document.definitions:
        if isinstance(definition, OperationDefinitionNode) and definition.name:
            root = definition.selection_set.selections[0]
            assert isinstance(root, FieldNode)  # noqa: S101  # our own files; a test reads them all
            document = DocumentNode(definitions=(definition, *fragments))
            yield Operation(
                document=document,
                text=print_ast(document),
                field=(root.alias or root.name).value,
                name=definition.name.value,
            )


class Request(GraphQLRequest):
    """A request that knows its operation, whose text gql would print anew each time."""

    def __init__(self, operation: Operation, variables: dict[str, Any]) -> None:
        super().__init__(
            operation.document, variable_values=variables, operation_name=operation.name
        )
        self.text = operation.text

    @property
    def payload(self) -> dict[str, Any]:
        return {
            "query": self.text,
            "operationName": self.operation_name,
            "variables": self.variable_values,
        }


class HasuraTransport(Transport):
    """How gql's requests get to Hasura: over connections that stay open."""

    def __init__(self, endpoint: str) -> None:
        patience = Patience(connect=ANSWER_SECONDS_MAX, answer=ANSWER_SECONDS_MAX)
        self._endpoint = endpoint
        self._session = Session(endpoint, patience)

    def execute(
        self, request: GraphQLRequest, *, headers: Mapping[str, str], **_: Any
    ) -> ExecutionResult:
        headers = {**headers, "Content-Type": "application/json"}
        body = json.dumps(request.payload, allow_nan=False).encode()
        try:
            answer = self._session.request("POST", self._endpoint, headers, body)
        except requests.RequestException as failure:
            raise TransportConnectionFailed(str(failure)) from failure
        if answer.status_code != HTTPStatus.OK:
            message = f"Hasura answers {answer.status_code}"
            raise TransportServerError(message, answer.status_code)
        return _result(answer.content)


def _result(body: bytes) -> ExecutionResult:
    try:
        said = json.loads(body)
        errors = said.get("errors")
        return ExecutionResult(None if errors else said["data"], errors)
    except (ValueError, LookupError, AttributeError) as failure:
        message = "what Hasura answers is no GraphQL"
        raise TransportProtocolError(message) from failure


def connect(endpoint: str, headers: Mapping[str, str]) -> "Hasura":
    """Answer a client whose connections stay open. Nothing is sent yet."""
    client = Client(transport=HasuraTransport(endpoint), parse_results=False)
    return Hasura(client.connect_sync(), headers)  # type: ignore[no-untyped-call]  # gql's gap


class Hasura:
    """Hasura, asked as role `service` for the actor of a session."""

    def __init__(self, session: SyncClientSession, headers: Mapping[str, str]) -> None:
        self._session = session
        self._headers = dict(headers)

    def acting_for(self, session_variables: Mapping[str, str]) -> "Hasura":
        """Answer the same connection with these session variables on every request."""
        return Hasura(self._session, {**session_variables, **self._headers})

    @property
    def actor_role(self) -> str | None:
        """Who is acted for; None where it is the service itself."""
        return self._headers.get("x-hasura-actor-role")

    def run(self, name: str, **variables: object) -> Any:
        """Run an operation by name and answer its root field: a list of rows, as a rule.

        Raises the AppError that a SQL function refused with, ServiceUnavailableError when Hasura or
        its database does not answer after three tries, QueryError for anything else.
        """
        operation = operations()[name]
        give_up = monotonic() + TRIES_SECONDS_MAX
        for tries_left in reversed(range(TRIES_MAX)):
            try:
                return self._ask(operation, variables)
            except ServiceUnavailableError:
                is_due = budget.left() < PAUSE_SECONDS_MAX
                if not tries_left or is_due or monotonic() > give_up:
                    raise
                sleep(random.uniform(0.05, PAUSE_SECONDS_MAX))  # noqa: S311  # jitter
        raise AssertionError  # the last try answers or raises

    def one(self, name: str, **variables: object) -> Any:
        """Run an operation whose answer is exactly one row, and answer that row."""
        rows = self.run(name, **variables)
        if len(rows) != 1:
            message = f"{name} answered {len(rows)} rows instead of one"
            raise QueryError(message)
        return rows[0]

    def _ask(self, operation: Operation, variables: dict[str, object]) -> Any:
        request = Request(operation, variables)
        headers = {**self._headers, "x-request-id": log.request_id.get()}
        if log.xray.get():
            headers["X-Amzn-Trace-Id"] = log.xray.get()
        try:
            answer = self._session.execute(request, headers=headers)
        except TransportQueryError as failure:
            raise _named(operation.name, failure) from failure
        except TransportError as failure:
            message = "the database service does not answer"
            raise ServiceUnavailableError(message) from failure
        return answer[operation.field]


def _named(operation: str, failure: TransportQueryError) -> Exception:
    error = failure.errors[0] if failure.errors else {}
    code = error.get("extensions", {}).get("code")
    message = error.get("message", "")
    if code in PASSING_CODES:
        return ServiceUnavailableError("the database service could not finish")
    refusal = from_database(message) if code == "data-exception" else None
    return refusal or QueryError(f"{operation}: {code}: {message}")
