"""What every test may ask for: a migrated Postgres, one tenant in it, and a clean connection."""

import re
from collections.abc import Iterator
from uuid import uuid4

import psycopg
import pytest
from books import MIGRATIONS, Connection, Money, Tenant, settle
from psycopg.rows import dict_row

from sandbox import migrations
from sandbox.postgres import Postgres

# Machines that look for holes, races, kills, fuzz, fresh installations, whole worlds: minutes.
THOROUGH = re.compile(
    r"/(proof/|sabotage/test_sabotage|simulation/|random_queries/|e2e/|sandbox/gateways/)"
    r"|/test_(machine|hammer|races|pairs|money_back_at_once|\w+_shuffle|spoilt_calls)\.py"
    r"|/sandbox/test_(clock|installation|migrations|postgres|processes|run|schema_text)\.py"
    r"|/engine/test_(abuse|async_actions|background|changes|crons|events|gql_client|live_queries|main)\.py"
    r"|/engine/test_(metadata_directory|node_clients|plans|slow_watchers|streams)\.py"
    r"|/engine/test_(transactions|websocket_protocols|websocket_sessions)\.py"
    r"|/gateways/test_(scenarios|fifth_gateway|\w+_scenarios)\.py"
    r"|/(autopay/test_(keeping|service)|payments/test_pages_paid_twice|webhooks/test_publishing)\.py"
    r"|/(reconciliation/test_invariants|refunds/test_sending)\.py"
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tell what `make thorough` runs from what `make test` does."""
    for item in items:
        if THOROUGH.search(item.path.as_posix()):
            item.add_marker(pytest.mark.thorough)


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    """A server with every migration applied to its database `munim`, which stays empty."""
    with Postgres(tmp_path_factory.mktemp("postgres"), fsync=False) as server:
        migrations.apply(server.url, MIGRATIONS)
        yield server
    server.destroy()


@pytest.fixture
def database(postgres: Postgres) -> Iterator[str]:
    """The URL of a database of the test's own, for what several connections must see."""
    name = f"test_{uuid4().hex[:12]}"
    with psycopg.connect(postgres.url, autocommit=True) as admin:
        admin.execute(f"create database {name} template munim")
    url = postgres.url.rsplit("/", 1)[0] + f"/{name}"
    yield url
    with psycopg.connect(postgres.url, autocommit=True) as admin:
        admin.execute(f"drop database {name} with (force)")


@pytest.fixture
def db(postgres: Postgres) -> Iterator[Connection]:
    """A connection as the owner, in a transaction that is rolled back."""
    with psycopg.connect(postgres.url, row_factory=dict_row) as connection:
        yield connection
        connection.rollback()


@pytest.fixture
def tenant(db: Connection) -> Tenant:
    return settle(db)


@pytest.fixture
def money(db: Connection, tenant: Tenant) -> Money:
    return Money(db, tenant.session)
