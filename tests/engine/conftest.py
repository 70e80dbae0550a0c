"""A server, the shop's database in it, and the engine over both."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest
import yaml
from engine import harness, waiting

from sandbox.postgres import Postgres


@pytest.fixture(scope="session")
def bare_postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    """A server without any migration of the product: the engine knows nothing of it."""
    with Postgres(tmp_path_factory.mktemp("engine"), fsync=False) as server:
        yield server
    server.destroy()


def create_shop(server: Postgres) -> str:
    """Create a database with the shop's schema; return its URL."""
    return create_world(server, harness.SHOP)


def create_world(server: Postgres, world: Path) -> str:
    """Create a database with the schema and the rows of a directory; return its URL."""
    name = f"{world.name}_{uuid4().hex[:12]}"
    with psycopg.connect(server.url, autocommit=True) as admin:
        admin.execute(f"create database {name}")
    url = server.url.rsplit("/", 1)[0] + f"/{name}"
    with psycopg.connect(url) as connection:
        connection.execute((world / "schema.sql").read_text())
        connection.execute((world / "data.sql").read_text())
    return url


@pytest.fixture(scope="session")
def shop_url(bare_postgres: Postgres) -> str:
    return create_shop(bare_postgres)


@pytest.fixture(scope="session")
def shop_metadata() -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load((harness.SHOP / "metadata.yaml").read_text())
    return document


@pytest.fixture(scope="session")
def shop_directory(shop_metadata: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return harness.write_metadata(shop_metadata, tmp_path_factory.mktemp("shop") / "metadata")


@pytest.fixture(scope="session")
def handler() -> Iterator[harness.Handler]:
    with harness.handler() as running:
        yield running


@pytest.fixture(scope="session")
def served(
    shop_url: str, shop_directory: Path, handler: harness.Handler
) -> Iterator[harness.Served]:
    """The engine over the shop, with numbers as numbers."""
    with harness.serve(shop_url, shop_directory, {"HANDLER_URL": handler.url}) as running:
        yield running


@pytest.fixture(scope="session")
def stringified(
    shop_url: str, shop_directory: Path, handler: harness.Handler
) -> Iterator[harness.Served]:
    """The engine over the shop, with big numbers as text and functions only by permission."""
    environ = {
        "HANDLER_URL": handler.url,
        "HASURA_GRAPHQL_STRINGIFY_NUMERIC_TYPES": "true",
        "HASURA_GRAPHQL_INFER_FUNCTION_PERMISSIONS": "false",
        "HASURA_GRAPHQL_UNAUTHORIZED_ROLE": "anonymous",
        "HASURA_GRAPHQL_DEV_MODE": "true",
    }
    with harness.serve(shop_url, shop_directory, environ) as running:
        yield running


HOLDERS = """
select pid, application_name, state, wait_event, now() - state_change as since, query
from pg_stat_activity
where datname = current_database() and pid <> pg_backend_pid() and xact_start is not null
"""


@pytest.fixture
def shop(shop_url: str) -> Iterator[psycopg.Connection[Any]]:
    """The shop's rows as they were, and a connection to look at them."""
    with _fresh(shop_url, harness.SHOP) as connection:
        yield connection


@contextmanager
def _fresh(url: str, world: Path) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(url, autocommit=True) as connection:
        _put_back(connection, (world / "data.sql").read_text())
        connection.execute("set lock_timeout = '30s'")
        TOUCHED.add(url)
        yield connection


def _put_back(connection: psycopg.Connection[Any], rows: str) -> None:
    """Write the rows, giving way to readers before Postgres calls that a deadlock."""
    connection.execute("set lock_timeout = '500ms'")
    deadline = time.monotonic() + 60
    while True:
        try:
            connection.execute(rows)
        except psycopg.errors.LockNotAvailable:
            if time.monotonic() > deadline:
                pytest.fail(f"somebody holds the rows: {connection.execute(HOLDERS).fetchall()}")
        else:
            return


ENGINES = ("served", "stringified", "watched", "atlas", "atlas_stringified", "atlas_renamed")


@pytest.fixture(autouse=True)
def _nobody_listens(request: pytest.FixtureRequest) -> Iterator[None]:
    """Leave no subscription of a test's to the next, whose statements may be counted."""
    names = [name for name in ENGINES if name in request.fixturenames]
    engines = [request.getfixturevalue(name).engine for name in names]
    yield
    waiting.eventually(lambda: not any(engine.subscriptions.tasks for engine in engines))


TOUCHED: set[str] = set()  # worlds whose rows a test may have changed


@pytest.fixture(autouse=True)
def _rows_as_they_were(request: pytest.FixtureRequest) -> None:
    """Give a test that only reads a world its rows as they were, whoever came before."""
    for rows, world in (("shop", harness.SHOP), ("atlas_rows", harness.ATLAS)):
        address = "shop_url" if rows == "shop" else "atlas_url"
        if address in request.fixturenames and rows not in request.fixturenames:
            url = request.getfixturevalue(address)
            if url in TOUCHED:
                with _fresh(url, world):
                    pass
                TOUCHED.discard(url)


@pytest.fixture(scope="session")
def atlas_url(bare_postgres: Postgres) -> str:
    return create_world(bare_postgres, harness.ATLAS)


@pytest.fixture
def atlas_rows(atlas_url: str) -> Iterator[psycopg.Connection[Any]]:
    """The atlas's rows as they were, and a connection to look at them."""
    with _fresh(atlas_url, harness.ATLAS) as connection:
        yield connection


@pytest.fixture(scope="session")
def atlas_metadata() -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load((harness.ATLAS / "metadata.yaml").read_text())
    return document


@pytest.fixture(scope="session")
def atlas_directory(
    atlas_metadata: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    directory = tmp_path_factory.mktemp("atlas") / "metadata"
    return harness.write_metadata(atlas_metadata, directory)


@pytest.fixture(scope="session")
def atlas(atlas_url: str, atlas_directory: Path) -> Iterator[harness.Served]:
    """The engine over the atlas."""
    with harness.serve(atlas_url, atlas_directory, {}) as running:
        yield running


@pytest.fixture(scope="session")
def atlas_stringified(atlas_url: str, atlas_directory: Path) -> Iterator[harness.Served]:
    """The engine over the atlas, with big numbers as text."""
    environ = {"HASURA_GRAPHQL_STRINGIFY_NUMERIC_TYPES": "true"}
    with harness.serve(atlas_url, atlas_directory, environ) as running:
        yield running


@pytest.fixture(scope="session")
def atlas_renamed(
    atlas_url: str, atlas_metadata: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[harness.Served]:
    """The engine over the atlas, whose source has a namespace, prefixes and suffixes."""
    (source,) = atlas_metadata["sources"]
    customization = {
        "root_fields": {"namespace": "maps", "prefix": "my_", "suffix": "_now"},
        "type_names": {"prefix": "Map_", "suffix": "_T"},
        "naming_convention": "graphql-default",
    }
    document = {**atlas_metadata, "sources": [{**source, "customization": customization}]}
    directory = tmp_path_factory.mktemp("atlas") / "metadata"
    with harness.serve(atlas_url, harness.write_metadata(document, directory), {}) as running:
        yield running


@pytest.fixture(scope="session")
def watched(
    shop_url: str, shop_directory: Path, handler: harness.Handler
) -> Iterator[harness.Served]:
    """The engine over the shop, quick to look for changes, with tokens."""
    environ = {
        "HANDLER_URL": handler.url,
        "HASURA_GRAPHQL_JWT_SECRET": '{"type": "HS256", "key": "%s"}' % ("k" * 32),
        "HASURA_GRAPHQL_LIVE_QUERIES_MULTIPLEXED_REFETCH_INTERVAL": "100",
        "HASURA_GRAPHQL_LIVE_QUERIES_MULTIPLEXED_BATCH_SIZE": "10",
        "HASURA_GRAPHQL_STREAMING_QUERIES_MULTIPLEXED_REFETCH_INTERVAL": "100",
        "HASURA_GRAPHQL_WEBSOCKET_KEEPALIVE": "1",
        "HASURA_GRAPHQL_WEBSOCKET_OPERATIONS_LIMIT": "5",
    }
    with harness.serve(shop_url, shop_directory, environ) as running:
        yield running


@pytest.fixture(scope="module")
def hasty(shop_url: str, shop_directory: Path) -> Iterator[harness.Served]:
    """The engine over the shop, which soon gives up a client that does not greet."""
    environ = {
        "HANDLER_URL": "http://127.0.0.1:1",
        "HASURA_GRAPHQL_WEBSOCKET_CONNECTION_INIT_TIMEOUT": "1",
    }
    with harness.serve(shop_url, shop_directory, environ) as running:
        yield running
