"""The Python client `gql` against the engine: over HTTP and over both protocols of WebSockets."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from engine import harness
from gql import Client, GraphQLRequest, gql
from gql.transport.exceptions import TransportQueryError
from gql.transport.httpx import HTTPXAsyncTransport, HTTPXTransport
from gql.transport.requests import RequestsHTTPTransport
from gql.transport.websockets import WebsocketsTransport
from graphql import GraphQLError, validate_schema

ADMIN = {"x-hasura-admin-secret": harness.SECRET}
ANN = ADMIN | {"x-hasura-role": "user", "x-hasura-user-id": "ann"}
WALLETS = """
query ($where: wallet_bool_exp!, $limit: Int) {
  wallet(where: $where, limit: $limit, order_by: {id: asc}) { id owner { name } }
}
"""
RAISE = """
mutation ($id: Int!, $by: bigint!) {
  update_wallet_by_pk(pk_columns: {id: $id}, _inc: {balance_minor: $by}) { balance_minor }
}
"""
LIVE = "subscription { wallet_by_pk(id: 3) { active } }"
PATIENCE = 60
BOBS = {"where": {"owner_id": {"_eq": "bob"}}, "limit": 5}
BOBS_WALLETS = {"wallet": [{"id": 3, "owner": {"name": "Bob"}}]}


def asked(text: str, **variables: Any) -> GraphQLRequest:
    return GraphQLRequest(text, variable_values=variables)


@contextmanager
def connected(kind: type, served: harness.Served, headers: dict[str, str]) -> Iterator[Any]:
    """A session whose client has fetched the schema, and checks documents by it."""
    transport = kind(url=f"{served.url}/v1/graphql", headers=headers, timeout=PATIENCE)
    with patient(transport) as session:
        yield session


def patient(transport: Any) -> Client:
    """A client that fetches the schema, without asking for what Hasura does not know."""
    return Client(
        transport=transport,
        fetch_schema_from_transport=True,
        introspection_args={"input_value_deprecation": False},
        execute_timeout=PATIENCE,
    )


both = pytest.mark.parametrize("kind", [RequestsHTTPTransport, HTTPXTransport])


@both
@pytest.mark.usefixtures("shop")
def test_gql_queries_by_the_schema_it_fetched(kind: type, served: harness.Served) -> None:
    with connected(kind, served, ADMIN) as session:
        assert session.execute(asked(WALLETS, **BOBS)) == BOBS_WALLETS
        assert validate_schema(session.client.schema) == []


@both
def test_gql_fetches_the_schema_of_the_role(kind: type, served: harness.Served) -> None:
    with connected(kind, served, ANN) as session, pytest.raises(GraphQLError, match="secret"):
        session.execute(gql("{ owner { secret } }"))


@both
def test_gql_mutates_and_reads_big_numbers(
    kind: type, served: harness.Served, shop: psycopg.Connection[Any]
) -> None:
    with connected(kind, served, ADMIN) as session:
        found = session.execute(asked(RAISE, id=2, by=7))

    assert found == {"update_wallet_by_pk": {"balance_minor": 9007199254741000}}


@both
def test_gql_raises_the_errors_of_the_engine(kind: type, served: harness.Served) -> None:
    with connected(kind, served, ADMIN) as session, pytest.raises(TransportQueryError) as failure:
        session.execute(asked(RAISE, id=3, by=-9999))
    (error,) = failure.value.errors or [{}]
    assert error["extensions"]["code"] == "permission-error"


@pytest.mark.usefixtures("shop")
def test_gql_asks_without_blocking(served: harness.Served) -> None:
    async def ask() -> Any:
        transport = HTTPXAsyncTransport(
            url=f"{served.url}/v1/graphql", headers=ADMIN, timeout=PATIENCE
        )
        async with patient(transport) as session:
            answers = [session.execute(asked(WALLETS, **BOBS)) for _ in range(5)]
            return await asyncio.gather(*answers)

    assert asyncio.run(ask()) == [BOBS_WALLETS] * 5


@pytest.mark.parametrize("protocol", ["graphql-transport-ws", "graphql-ws"])
def test_gql_subscribes_by_either_protocol(
    protocol: str, served: harness.Served, shop: psycopg.Connection[Any]
) -> None:
    async def follow() -> list[bool]:
        transport = WebsocketsTransport(
            url=f"{served.url.replace('http', 'ws', 1)}/v1/graphql",
            init_payload={"headers": ADMIN},
            subprotocols=[protocol],
            connect_timeout=PATIENCE,
            ack_timeout=PATIENCE,
        )
        seen: list[bool] = []
        async with patient(transport) as session:
            async for found in session.subscribe(gql(LIVE)):
                seen.append(found["wallet_by_pk"]["active"])
                if len(seen) == 2:
                    break
                await asyncio.to_thread(
                    shop.execute, "update wallet set active = not active where id = 3"
                )
        return seen

    assert asyncio.run(asyncio.wait_for(follow(), 100)) == [False, True]
