"""What every test may ask for: a migrated Postgres, one tenant in it, and a clean connection."""

import re
import time
from collections.abc import Iterator
from uuid import uuid4

import lock_order
import psycopg
import pytest
from books import MIGRATIONS, Connection, Money, Tenant, settle
from hypothesis import HealthCheck, settings
from journal import Journal
from psycopg.rows import dict_row
from sides import Stage

from app import budget
from sandbox import migrations
from sandbox.postgres import Postgres

# Machines that look for holes, races, kills, fuzz, fresh installations, whole worlds: minutes.
THOROUGH = re.compile(
    r"/(proof/|sabotage/test_sabotage|simulation/|random_queries/|e2e/|sandbox/gateways/)"
    r"|/test_(machine|hammer|races|pairs|money_back_at_once|\w+_shuffle|spoilt_calls)\.py"
    r"|/sandbox/test_(clock|installation|migrations|postgres|processes|run|schema_text)\.py"
    r"|/engine/test_(abuse|async_actions|background|calls|changes|crons|events|gql_client)\.py"
    r"|/engine/test_(live_queries|main|metadata_directory|node_clients|plans|slow_watchers|streams)\.py"
    r"|/engine/test_(transactions|websocket_protocols|websocket_sessions)\.py"
    r"|/gateways/test_(scenarios|fifth_gateway|\w+_scenarios)\.py"
    r"|/(autopay/test_(keeping|service)|payments/test_pages_paid_twice|webhooks/test_publishing)\.py"
    r"|/payments/test_(checks|hints_at_the_door|known_messages|same_words|webhooks_at_once)\.py"
    r"|/(disputes/test_(open_ones|polls)|kernel/test_idempotency|ledger/test_blocks)\.py"
    r"|/(gateways/test_promises|reconciliation/test_invariants|refunds/test_(criteria|sending))\.py"
)

NAME_LENGTH_MAX = 200

# How long an example takes, or takes to be thought of, says something of the machine alone.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tell what `make thorough` runs from what `make test` does."""
    for item in items:
        if THOROUGH.search(item.path.as_posix()):
            item.add_marker(pytest.mark.thorough)


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Name a long text by its length: people read the names of tests."""
    is_long = isinstance(val, str | bytes) and len(val) > NAME_LENGTH_MAX
    return f"{argname} of {len(val)}" if is_long else None


TEMPLATE = "untouched"  # a copy of `munim`: only what nobody is connected to can be copied


@pytest.fixture(autouse=True)
def time_without_end() -> Iterator[None]:
    """Whatever a test left of its time, or failed to give back, the next one has all it needs."""
    yield
    budget.finish()


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    """A server with every migration applied to its database `munim`, which stays empty."""
    others = "select from pg_stat_activity where datname = 'munim' and pid <> pg_backend_pid()"
    with Postgres(tmp_path_factory.mktemp("postgres"), fsync=False) as server:
        migrations.apply(server.url, MIGRATIONS)
        with psycopg.connect(server.url, autocommit=True) as admin:
            while admin.execute(others).fetchall():  # who has left, and is still seen
                time.sleep(0.01)
            admin.execute(f"create database {TEMPLATE} template munim allow_connections false")
        yield server
    server.destroy()


@pytest.fixture(scope="session")
def journal(postgres: Postgres) -> Journal:
    return Journal(postgres.url)


@pytest.fixture
def database(postgres: Postgres, journal: Journal) -> Iterator[str]:
    """The URL of a database of the test's own, for what several connections must see.

    Afterwards each call of a money function that nothing ran beside must have locked in order.
    """
    name = f"test_{uuid4().hex[:12]}"
    with psycopg.connect(postgres.url, autocommit=True) as admin:
        admin.execute(f"create database {name} template {TEMPLATE}")
    url = postgres.url.rsplit("/", 1)[0] + f"/{name}"
    journal.begin()
    yield url
    calls = [one for one in journal.read(name) if len(one.calls) == 1 and one.is_alone]
    assert {*lock_order.breaches(calls)} == set()
    with psycopg.connect(postgres.url, autocommit=True) as admin:
        admin.execute(f"drop database {name} with (force)")


@pytest.fixture
def stage(database: str) -> Iterator[Stage]:
    """Several connections to that database, and who of them waits when."""
    stage = Stage(database)
    yield stage
    stage.close()


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
