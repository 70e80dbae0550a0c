"""GraphQL clients of JavaScript, run for real by Node against the engine."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import psycopg
import pytest
from engine import harness

CLIENTS = Path(__file__).parent / "clients"
PACKAGES = ("package.json", "package-lock.json", ".npmrc")
NEEDED = "Node 20 or newer and npm are needed to run the clients of JavaScript"


def unavailable() -> None:
    """Skip, but never on a machine that says it is a build server."""
    if os.environ.get("CI"):
        pytest.fail(NEEDED)
    pytest.skip(NEEDED)


def has_node() -> bool:
    if not (shutil.which("node") and shutil.which("npm")):
        return False
    found = subprocess.run(["node", "--version"], capture_output=True, text=True, check=False)
    return found.returncode == 0 and int(found.stdout.strip("v\n").split(".")[0]) >= 20


@pytest.fixture(scope="session")
def clients(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tests in a folder of their own, beside the packages of this environment."""
    if not has_node():
        unavailable()
    content = b"".join((CLIENTS / name).read_bytes() for name in PACKAGES)
    packages = Path(sys.prefix) / "engine-clients" / hashlib.sha256(content).hexdigest()[:16]
    if not packages.exists():
        _install(packages)
    folder = tmp_path_factory.mktemp("clients") / "tests"
    shutil.copytree(CLIENTS, folder, ignore=shutil.ignore_patterns("node_modules"))
    (folder / "node_modules").symlink_to(packages / "node_modules")
    return folder


def _install(packages: Path) -> None:
    """Install what the lock names, once: the folder is there when it is whole."""
    packages.parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=packages.parent) as temporary:
        for name in PACKAGES:
            shutil.copy(CLIENTS / name, temporary)
        command = ["npm", "ci", "--no-fund", "--no-audit", "--ignore-scripts"]
        done = subprocess.run(
            command, cwd=temporary, capture_output=True, text=True, check=False, timeout=300
        )
        assert done.returncode == 0, done.stdout + done.stderr
        with suppress(OSError):  # another run was faster
            Path(temporary).rename(packages)
        Path(temporary).mkdir(exist_ok=True)


@pytest.mark.timeout(420)  # the first run installs packages
@pytest.mark.xdist_group("node clients")
@pytest.mark.parametrize("part", ["http", "live"])
def test_the_clients_of_javascript_work(
    part: str, clients: Path, served: harness.Served, shop: psycopg.Connection[Any]
) -> None:
    files = sorted(str(file) for file in (clients / part).glob("*.test.mjs"))
    environment = os.environ | {
        "ENGINE_URL": f"{served.url}/v1/graphql",
        "ENGINE_SECRET": harness.SECRET,
    }
    done = subprocess.run(
        ["node", "--test", "--test-concurrency=1", *files],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert "# pass 0" not in done.stdout
