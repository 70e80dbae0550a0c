"""GraphQL clients of JavaScript, run for real by Node against the engine."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import psycopg
import pytest
from engine import harness
from node_packages import installed

CLIENTS = Path(__file__).parent / "clients"


@pytest.fixture(scope="session")
def clients(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tests in a folder of their own, beside the packages of this environment."""
    modules = installed(CLIENTS, "engine-clients")
    folder = tmp_path_factory.mktemp("clients") / "tests"
    shutil.copytree(CLIENTS, folder, ignore=shutil.ignore_patterns("node_modules"))
    (folder / "node_modules").symlink_to(modules)
    return folder


@pytest.mark.timeout(420)  # the first run installs packages
@pytest.mark.xdist_group("node clients")
@pytest.mark.parametrize("part", ["http", "live"])
def test_the_clients_of_javascript_work(
    part: str,
    clients: Path,
    served: harness.Served,
    hasty: harness.Served,
    shop: psycopg.Connection[Any],
) -> None:
    files = sorted(str(file) for file in (clients / part).glob("*.test.mjs"))
    environment = os.environ | {
        "ENGINE_URL": f"{served.url}/v1/graphql",
        "HASTY_ENGINE_URL": f"{hasty.url}/v1/graphql",
        "ENGINE_SECRET": harness.SECRET,
    }
    done = subprocess.run(
        ["node", "--test", "--test-concurrency=1", *files],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert "# pass 0" not in done.stdout
