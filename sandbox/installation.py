"""`python3 -m sandbox.installation run`: the virtual environment, made of the pinned packages.

Runs under the system's Python, so it imports the standard library only. What is installed is
remembered in the environment itself: called again it does nothing unless the list of packages, the
Python or the place of the checkout changed.
"""

import argparse
import contextlib
import fcntl
import hashlib
import importlib.util
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from sandbox.screen import Screen

ROOT = Path(__file__).parents[1]
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
UV = "uv==0.13.8"
REASON_LENGTH_MAX = 400
LISTS = {"run": "requirements-sandbox.txt", "test": "requirements-dev.txt"}

# What `python -m sandbox` and the programs that it starts import.
MODULES = (
    *("asyncpg", "croniter", "flask", "gql", "graphql", "httptools", "httpx", "jinja2", "jwt"),
    *(
        "marshmallow",
        "reportlab",
        "requests",
        "segno",
        "serverless_wsgi",
        "sniffio",
        "starlette",
        "stripe",
        "uvicorn",
    ),
    *("uvloop", "waitress", "websockets", "yaml"),
)


# Asked of an environment: is its Python new enough, and was it made to the end?
IS_WHOLE = """
import importlib.util as found, sys
sys.exit(sys.version_info < (3, 11) or not (found.find_spec("pip") or found.find_spec("uv")))
"""

# Without bytecode every start takes seconds longer; the others would lead out of the environment.
UNWANTED = {"PYTHONDONTWRITEBYTECODE", "PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "PIP_TARGET"}


class InstallationError(Exception):
    """The environment cannot be made. The message is one line for a person."""


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python3 -m sandbox.installation")
    parser.add_argument("purpose", choices=LISTS)
    purpose = parser.parse_args(arguments).purpose
    try:
        install(purpose, Screen())
    except (InstallationError, OSError) as failure:
        sys.exit(f"munim: {failure}")
    except KeyboardInterrupt:
        sys.exit(130)


def install(purpose: str, screen: Screen) -> None:
    """Make the environment hold a purpose's packages. Two at once take turns."""
    with _alone():
        if _stamp(purpose).exists() and _stamp(purpose).read_text() == _fingerprint(purpose):
            return
        if not _is_whole():
            _make(screen)
        wanted = LISTS[purpose]
        with screen.step("packages", f"installing {wanted}") as step:
            installer = _fill(ROOT / wanted)
            step.result = f"{wanted} installed by {installer}"
        _stamp(purpose).write_text(_fingerprint(purpose))


def missing_modules() -> list[str]:
    """Name the modules that the sandbox needs and this Python does not have."""
    return [name for name in MODULES if importlib.util.find_spec(name) is None]


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    checkout = os.open(ROOT, os.O_RDONLY)
    try:
        fcntl.flock(checkout, fcntl.LOCK_EX)
        yield
    finally:
        os.close(checkout)


def _stamp(purpose: str) -> Path:
    return VENV / f".installed-for-{purpose}"


def _fingerprint(purpose: str) -> str:
    lists = [ROOT / LISTS[purpose]]
    if purpose == "test":  # it constrains the other, and both live in one environment
        lists.append(ROOT / LISTS["run"])
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in lists)).hexdigest()
    return f"{_place()}\n{digest}\n"


def _place() -> str:
    return f"{VENV} of Python {sys.version.split()[0]}"


def _is_whole() -> bool:
    """Say whether the environment works, and was not moved here: its programs name their place."""
    try:
        made_as = (VENV / "pyvenv.cfg").read_text()
    except OSError:
        return False
    moved = "command = " in made_as and f" {VENV}\n" not in made_as
    return not moved and _answers([str(PYTHON), "-c", IS_WHOLE])


def _make(screen: Screen) -> None:
    if VENV.is_symlink():  # what is made here would be cleared there
        raise InstallationError(".venv leads to another checkout's environment: remove the link")
    if importlib.util.find_spec("ensurepip") is None:
        raise InstallationError("this Python cannot make a venv: apt install python3-venv")
    with screen.step("environment", "making .venv") as step:
        _run([sys.executable, "-m", "venv", "--clear", str(VENV)])
        step.result = f".venv with Python {sys.version.split()[0]}"


def _fill(wanted: Path) -> str:
    """Install with uv, which is several times faster, or with pip where there is no uv."""
    uv = [str(PYTHON), "-m", "uv"]
    pip = [str(PYTHON), "-m", "pip", "--quiet", "--disable-pip-version-check", "install"]
    if _answers([*uv, "--version"]) or _answers([*pip, "--only-binary=:all:", UV]):
        where = ["--python", str(PYTHON), "--quiet", "--no-progress"]
        _run([*uv, "pip", "install", "--compile-bytecode", *where, "-r", str(wanted)])
        return "uv"
    _run([*pip, "-r", str(wanted)])
    return "pip"


def _answers(command: list[str]) -> bool:
    return _called(command).returncode == 0


def _run(command: list[str]) -> None:
    done = _called(command)
    if done.returncode != 0:
        said = [line.strip() for line in (done.stderr + done.stdout).splitlines() if line.strip()]
        raise InstallationError(f"{command[2]} failed: {_reason(said)}")


def _reason(said: list[str]) -> str:
    """Take the words from the first that looks like an error on, in one line."""
    words = re.findall(r"[ -~]+", " ".join(said))  # without the frames that uv draws
    text = re.sub(r" +", " ", " ".join(words)).strip() or "it said nothing"
    start = re.search(r"error", text, re.IGNORECASE)
    return text[start.start() if start else 0 :][:REASON_LENGTH_MAX]


def _called(command: list[str]) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if name not in UNWANTED}
    return subprocess.run(command, check=False, capture_output=True, text=True, env=kept, cwd=ROOT)


if __name__ == "__main__":
    main()
