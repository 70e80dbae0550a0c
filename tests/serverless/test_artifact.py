"""What `osls package` really makes.

Slow, and it needs node and the package registries: `pytest -m artifact tests/serverless`.
"""

import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest
from ports import free_port
from serverless.conftest import ROOT, Hasura, runtime_packages, settings
from serverless.lambdas import DOORS, Event, Lambda
from serverless.test_handler import GENUINE, NAMES, cold_start, webhook

pytestmark = [pytest.mark.artifact, pytest.mark.timeout(300)]

OSLS = ROOT / "node_modules" / ".bin" / "osls"
THIS_PYTHON = {
    "LAMBDA_PYTHON_MINOR": str(sys.version_info.minor),
    "LAMBDA_ARCHITECTURE": {"aarch64": "arm64"}.get(platform.machine(), "x86_64"),
    "SOURCE_DATE_EPOCH": "315532800",  # as `npm run package` does
}
AARCH64 = 183  # e_machine of an ELF file
CHECKED_HASH = 0b11  # bytecode that is judged by its source's hash and not by its time


def environment(**more: str) -> dict[str, str]:
    kept = {n: v for n, v in os.environ.items() if n in {"PATH", "HOME"} or n.startswith("PIP_")}
    return {**kept, "VIRTUAL_ENV": sys.prefix, **more}


def checkout(place: Path) -> Path:
    """Copy what the plugins read, so that the files they write for a while are nobody's trouble."""
    for name in ("serverless.yml", "package.json", "requirements.txt"):
        shutil.copy(ROOT / name, place)
    shutil.copytree(ROOT / "app", place / "app")
    (place / "tests").mkdir()
    (place / "tests" / "test_nothing.py").touch()
    (place / ".env").touch()
    (place / "node_modules").symlink_to(ROOT / "node_modules")
    return place


def package(place: Path, **more: str) -> Path:
    assert OSLS.exists(), "the tools are not installed: npm ci"
    made = subprocess.run(
        [OSLS, "package"],
        cwd=checkout(place),
        env=environment(**more),
        capture_output=True,
        text=True,
        check=False,
    )
    assert made.returncode == 0, made.stdout + made.stderr
    return place / ".serverless"


@pytest.fixture(scope="module")
def packaged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The .serverless folder of a plain `osls package`: no setting and no account is given."""
    return package(tmp_path_factory.mktemp("packaged"))


@pytest.fixture(scope="module")
def native(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The artifact for the machine and the Python at hand, unpacked."""
    made = package(tmp_path_factory.mktemp("native"), **THIS_PYTHON)
    place = tmp_path_factory.mktemp("unpacked")
    with zipfile.ZipFile(made / "munim.zip") as artifact:
        artifact.extractall(place)
    return place


@pytest.fixture(scope="module")
def native_function(native: Path, listening_hasura: Hasura) -> Iterator[Lambda]:
    with Lambda(native, settings(listening_hasura)) as running:
        yield running


def pure(names: set[str]) -> set[str]:
    """Leave out single libraries, whose names say for which machine they are."""
    return {name for name in names if not name.endswith(".so")}


def entries(packaged: Path) -> list[zipfile.ZipInfo]:
    with zipfile.ZipFile(packaged / "munim.zip") as artifact:
        return artifact.infolist()


def test_the_artifact_holds_the_app_its_packages_and_the_plugins_files_only(packaged: Path) -> None:
    names = [entry.filename for entry in entries(packaged)]

    tops = {name.split("/")[0] for name in names}
    packages = {path.name for path in runtime_packages()} - {"bin"}
    plugins = {".serverless-wsgi", "wsgi_handler.py", "requirements.txt"}
    assert pure(tops) == pure(packages) | plugins | {"app"}
    app = {name for name in names if name.startswith("app/")}
    sources = (path for path in (ROOT / "app").rglob("*") if "__pycache__" not in path.parts)
    assert app == {str(path.relative_to(ROOT)) for path in sources if path.is_file()}
    assert len(names) == len(set(names))


def test_the_artifact_fits_lambda_and_carries_no_bytecode_of_another_python(packaged: Path) -> None:
    found = entries(packaged)

    assert sum(entry.compress_size for entry in found) < 50_000_000
    assert sum(entry.file_size for entry in found) < 250_000_000
    assert not [
        e for e in found if e.filename.endswith(".pyc") and ".cpython-313." not in e.filename
    ]


def test_every_library_is_of_the_functions_architecture(packaged: Path) -> None:
    with zipfile.ZipFile(packaged / "munim.zip") as artifact:
        libraries = [name for name in artifact.namelist() if ".so" in Path(name).suffixes]
        machines = {int.from_bytes(artifact.read(name)[18:20], "little") for name in libraries}

    assert len(libraries) > 5
    assert machines == {AARCH64}
    assert not [name for name in libraries if "cpython-" in name and "cpython-313-" not in name]


def test_the_template_is_for_one_function_that_may_only_write_its_log(packaged: Path) -> None:
    text = (packaged / "cloudformation-template-update-stack.json").read_text(encoding="utf-8")
    resources: dict[str, dict[str, Any]] = json.loads(text)["Resources"]

    function = resources["AppLambdaFunction"]["Properties"]
    assert function["Runtime"] == "python3.13"
    assert function["Architectures"] == ["arm64"]
    assert function["Timeout"] == 28
    (policy,) = resources["IamRoleLambdaExecution"]["Properties"]["Policies"]
    allowed = policy["PolicyDocument"]["Statement"]
    actions = {action for statement in allowed for action in statement["Action"]}
    assert {action.split(":")[0] for action in actions} == {"logs"}
    assert resources["AppLogGroup"]["Properties"]["RetentionInDays"] == 90


def test_the_bytecode_of_the_same_python_is_judged_by_its_source(native: Path) -> None:
    compiled = list(native.rglob("*.pyc"))

    assert len(compiled) > 1000
    flags = {int.from_bytes(path.read_bytes()[4:8], "little") for path in compiled}
    assert flags == {CHECKED_HASH}


@pytest.mark.parametrize("door", DOORS, ids=lambda door: door.__name__)
@pytest.mark.parametrize("in_base64", [False, True], ids=["text", "base64"])
def test_the_artifact_tells_a_genuine_webhook_from_a_tampered_one(
    native_function: Lambda, hasura: Hasura, door: Callable[..., Event], in_base64: bool
) -> None:
    body = GENUINE % NAMES["not-ascii"]
    tampered = webhook(body.replace("cus_1", "cus_2"), signed=body)

    genuine = native_function.answer(door(webhook(body), in_base64=in_base64))
    refused = native_function.answer(door(tampered, in_base64=in_base64))

    assert (genuine["statusCode"], refused["statusCode"]) == (200, 401)
    (asked,) = hasura.asked("ReceiveGatewayEvent")
    assert asked["variables"]["payload"] == json.loads(body)


def test_the_artifact_without_settings_says_so_in_one_line(native: Path) -> None:
    started = cold_start(native, {})

    assert started.returncode != 0
    (line,) = started.stderr.splitlines()
    assert line.startswith("munim: missing settings: ")


@contextmanager
def served(port: int, environ: dict[str, str], place: Path) -> Iterator[subprocess.Popen[bytes]]:
    """`osls wsgi serve`, ended together with the programs that it starts."""
    serving = subprocess.Popen(
        [OSLS, "wsgi", "serve", "-p", str(port)],
        cwd=checkout(place),
        env=environ,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        yield serving
    finally:
        os.killpg(serving.pid, signal.SIGKILL)
        serving.wait()


def ask(port: int, path: str, seconds: float) -> int:
    """Ask until somebody answers, and say with which status."""
    deadline = time.monotonic() + seconds
    while True:
        connection = HTTPConnection("127.0.0.1", port, timeout=5)
        try:
            connection.request("GET", path)
            return connection.getresponse().status
        except (ConnectionError, TimeoutError):
            assert time.monotonic() < deadline, "nobody answers"
            time.sleep(0.1)
        finally:
            connection.close()


def test_osls_serves_the_app_on_this_machine_only(tmp_path: Path, hasura: Hasura) -> None:
    port = free_port()
    with served(port, environment(**settings(hasura)), tmp_path):
        assert ask(port, "/healthz", seconds=60) == 200
        assert ask(port, "/nothing", seconds=1) == 404
        elsewhere = listening_addresses(port) - {"0100007F", "00000000000000000000000001000000"}
        assert not elsewhere


def listening_addresses(port: int) -> set[str]:
    """The addresses, in the kernel's hexadecimal, on which somebody listens at a port."""
    rows = [
        line.split()
        for table in ("/proc/net/tcp", "/proc/net/tcp6")
        if Path(table).exists()
        for line in Path(table).read_text(encoding="ascii").splitlines()[1:]
    ]
    local = [row[1].split(":") for row in rows if row[3] == "0A"]
    return {address for address, number in local if int(number, 16) == port}
