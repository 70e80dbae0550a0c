"""Packages of Node that tests run: installed once for each lock, beside this environment."""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

import pytest

NEEDED = "Node 20 or newer and npm are needed to run what is written in JavaScript"
FILES = ("package.json", "package-lock.json", ".npmrc")


def installed(folder: Path, name: str) -> Path:
    """Install what a folder's lock names; answer its node_modules. Skips where there is no Node."""
    if not _has_node():
        _unavailable()
    content = b"".join((folder / each).read_bytes() for each in FILES)
    packages = Path(sys.prefix) / name / hashlib.sha256(content).hexdigest()[:16]
    if not packages.exists():
        _install(folder, packages)
    return packages / "node_modules"


def _unavailable() -> None:
    """Skip, but never on a machine that says it is a build server."""
    if os.environ.get("CI"):
        pytest.fail(NEEDED)
    pytest.skip(NEEDED)


def _has_node() -> bool:
    if not (shutil.which("node") and shutil.which("npm")):
        return False
    found = subprocess.run(["node", "--version"], capture_output=True, text=True, check=False)
    return found.returncode == 0 and int(found.stdout.strip("v\n").split(".")[0]) >= 20


def _install(folder: Path, packages: Path) -> None:
    """Install once: the folder is there when it is whole."""
    packages.parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=packages.parent) as temporary:
        for each in FILES:
            shutil.copy(folder / each, temporary)
        command = ["npm", "ci", "--no-fund", "--no-audit", "--ignore-scripts"]
        done = subprocess.run(
            command, cwd=temporary, capture_output=True, text=True, check=False, timeout=300
        )
        assert done.returncode == 0, done.stdout + done.stderr
        with suppress(OSError):  # another run was faster
            Path(temporary).rename(packages)
        Path(temporary).mkdir(exist_ok=True)
