"""The whole product, running: Postgres, engine, simulator and service, each its own process."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from e2e.browser import Browser, browse
from e2e.product import SECONDS_MAX, Patient, World
from e2e.proxy import Proxy
from ports import free_port

from sandbox import migrations, seeds, supervisor, world
from sandbox.postgres import Postgres
from sandbox.processes import Process
from sandbox.world import Ports

TEST_SECONDS_MAX = 5 * SECONDS_MAX  # whoever waits says sooner, and better, what did not come


@pytest.hookimpl(tryfirst=True)  # else xdist, asked for this folder alone, reads no groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep one world: with several workers, all of these run in the same one."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            needs_world = "running" in getattr(item, "fixturenames", ())
            item.add_marker(pytest.mark.xdist_group("e2e" if needs_world else item.path.stem))
            if not item.get_closest_marker("timeout"):
                item.add_marker(pytest.mark.timeout(TEST_SECONDS_MAX))


def without_crons(directory: Path) -> Path:
    """Copy the metadata without its crons: a test that calls one is to find its work undone."""
    metadata = shutil.copytree(world.METADATA, directory / "metadata")
    (metadata / "cron_triggers.yaml").write_text("[]\n")
    return metadata


@pytest.fixture(scope="session")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    directory = tmp_path_factory.mktemp("world")
    ports = Ports(free_port(), free_port(), free_port())
    with (
        Postgres(directory / "postgres", fsync=False) as postgres,
        httpx.Client(timeout=SECONDS_MAX, transport=Patient()) as web,
        Proxy(ports.hasura) as to_hasura,
        Proxy(ports.gateways) as to_stripe,
    ):
        migrations.apply(postgres.url, world.MIGRATIONS, report=lambda _: None)
        seeds.apply(postgres.url, world.SEEDS)
        others = [
            Process(
                supervisor.engine_service(ports, postgres.url, without_crons(directory)), directory
            ),
            Process(supervisor.gateways_service(ports, directory), directory),
        ]
        running = World(ports, postgres.url, directory, web, to_hasura, to_stripe)
        try:
            for process in others:
                process.start()
            running.start_app()
            for process in others:
                process.wait_until_well(SECONDS_MAX)
            yield running
        finally:
            running.app.stop()
            for process in others:
                process.stop()
    postgres.destroy()


@pytest.fixture
def product(running: World) -> Iterator[World]:
    """The running product, with a payer of the test's own, and whole again after the test."""
    running.welcome()
    yield running
    running.control("DELETE", "faults")
    running.to_hasura.clear()
    running.to_stripe.clear()
    # Five silences in a row, of whatever tests, are those of a gateway that is left alone.
    running.sql("delete from gateway_circuits returning gateway")


@pytest.fixture(scope="module")
def profile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the browser keeps what it remembers."""
    return tmp_path_factory.mktemp("browser")


@pytest.fixture(scope="module")
def browser(profile: Path) -> Iterator[Browser]:
    with browse(profile) as browser:
        yield browser


@pytest.fixture
def album(tmp_path: Path) -> Path:
    """Where screenshots go: SCREENSHOTS, to look at them."""
    directory = Path(os.environ.get("SCREENSHOTS", tmp_path))
    directory.mkdir(parents=True, exist_ok=True)
    return directory
