"""GraphQL clients of JavaScript, run for real by Node against the engine."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
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
def installed() -> Path:
    """The clients and their tests, in a folder of this environment; installed once per lock."""
    if not has_node():
        unavailable()
    content = b"".join((CLIENTS / name).read_bytes() for name in PACKAGES)
    folder = Path(sys.prefix) / "engine-clients" / hashlib.sha256(content).hexdigest()[:16]
    if not (folder / "installed").exists():
        _install(folder)
    for part in ("http", "live", "engine.mjs"):
        source, target = CLIENTS / part, folder / part
        if source.is_dir():
            shutil.rmtree(target, ignore_errors=True)
            shutil.copytree(source, target)
        else:
            shutil.copy(source, target)
    return folder


def _install(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name in PACKAGES:
        shutil.copy(CLIENTS / name, folder)
    command = ["npm", "ci", "--no-fund", "--no-audit", "--ignore-scripts"]
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (folder / "installed").touch()


@pytest.mark.timeout(420)  # the first run installs packages
@pytest.mark.xdist_group("node clients")
@pytest.mark.parametrize("part", ["http", "live"])
def test_the_clients_of_javascript_work(
    part: str, installed: Path, served: harness.Served, shop: psycopg.Connection[Any]
) -> None:
    files = sorted(str(file) for file in (installed / part).glob("*.test.mjs"))
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
