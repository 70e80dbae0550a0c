"""The upper limit: Starlette and asyncpg, one route a workload, the best statement by hand.

No GraphQL, no roles, no validation: a route takes its values from the body, and the organisation
from a header, and sends the JSON that Postgres made. Same server, loop and pool as the engine's.
Arguments: the database's address, the port, the size of the pool.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

BY_PK = """
select row_to_json(r)::text from (
    select id, client_id, amount, currency, status, note, created_at
    from transactions where id = $1 and organization_id = $2
) as r
"""
INSERT = """
with made as (
    insert into transactions (organization_id, client_id, amount, status, note)
    values ($1, $2, $3, $4, $5) returning id, status, created_at
)
select row_to_json(made)::text from made
"""
DEPOSIT = """
select row_to_json(r)::text
from (select id, amount from deposit($1, $2) where organization_id = $3) as r
"""
LIST = """
select coalesce(json_agg(r), '[]')::text from (
    select t.id, t.amount, t.currency, t.status, t.created_at, (
        select row_to_json(c) from (
            select id, name, email from clients
            where clients.id = t.client_id and clients.organization_id = $1
        ) as c
    ) as client
    from transactions as t where t.organization_id = $1 and t.status = $2
    order by t.id limit 100
) as r
"""


class Connection(asyncpg.Connection):  # type: ignore[misc]  # asyncpg ships no types
    """Not reset when it goes back: a reset would cost every request a second round trip."""

    __slots__ = ()

    def get_reset_query(self) -> str:
        return ""


async def answer(request: Request, sql: str, *values: Any) -> Response:
    async with request.app.state.pool.acquire() as connection:
        text = await connection.fetchval(sql, *values)
    return Response('{"data":' + (text or "null") + "}", media_type="application/json")


def organization(request: Request) -> int:
    return int(request.headers["x-organization-id"])


async def by_pk(request: Request) -> Response:
    given = json.loads(await request.body())
    return await answer(request, BY_PK, given["id"], organization(request))


async def insert(request: Request) -> Response:
    row = json.loads(await request.body())["row"]
    values = (row["client_id"], row["amount"], row["status"], row["note"])
    return await answer(request, INSERT, organization(request), *values)


async def deposit(request: Request) -> Response:
    given = json.loads(await request.body())
    return await answer(request, DEPOSIT, given["id"], given["by"], organization(request))


async def listing(request: Request) -> Response:
    given = json.loads(await request.body())
    return await answer(request, LIST, organization(request), given["status"])


def application(url: str, pool_size: int) -> Starlette:
    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        async with asyncpg.create_pool(
            url,
            min_size=1,
            max_size=pool_size,
            max_queries=2**40,
            connection_class=Connection,
            max_cached_statement_lifetime=0,
            server_settings={"jit": "off"},
        ) as app.state.pool:
            yield

    routes = [
        Route("/by-pk", by_pk, methods=["POST"]),
        Route("/insert", insert, methods=["POST"]),
        Route("/deposit", deposit, methods=["POST"]),
        Route("/list", listing, methods=["POST"]),
    ]
    return Starlette(routes=routes, lifespan=lifespan)


def main() -> None:
    url, port, pool_size = sys.argv[1:4]
    config = uvicorn.Config(
        application(url, int(pool_size)),
        port=int(port),
        log_level="warning",
        access_log=False,
        server_header=False,
        date_header=False,
    )
    with asyncio.Runner(loop_factory=config.get_loop_factory()) as runner:
        runner.run(uvicorn.Server(config).serve())


if __name__ == "__main__":
    main()
