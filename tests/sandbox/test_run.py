"""`python -m sandbox` as a person meets it: started, read, interrupted, started again."""

import os
import pty
import re
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import psycopg
import pytest
from ports import free_port

from sandbox import tokens
from sandbox.postgres import Postgres
from sandbox.supervisor import alone

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
READY_SECONDS_MAX = 100  # the promise is ten on an idle machine; others run here, too
END_SECONDS_MAX = 60

pytestmark = [pytest.mark.xdist_group("run"), pytest.mark.timeout(600)]


class Run:
    """One sandbox: its command, and what it has printed so far."""

    def __init__(
        self, state: Path, *options: str, terminal: int | None = None, **variables: str
    ) -> None:
        self.state = state
        self.ports = [free_port() for _ in range(3)]
        names = ("HASURA_PORT", "APP_PORT", "GATEWAYS_PORT")
        ports = {name: str(port) for name, port in zip(names, self.ports, strict=True)}
        kept = {name: text for name, text in os.environ.items() if name != "DATABASE_URL"}
        self.output = state.with_suffix(f".{time.monotonic_ns()}.txt")
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "sandbox", "--state", str(state), *options],
                cwd=ROOT,
                env={**kept, **ports, **variables},
                stdout=output if terminal is None else terminal,
                stderr=output,
                start_new_session=True,
            )

    @property
    def said(self) -> str:
        return self.output.read_text()

    @property
    def graphql_url(self) -> str:
        return f"http://localhost:{self.ports[0]}/v1/graphql"

    def wait_for(self, text: str) -> str:
        deadline = time.monotonic() + READY_SECONDS_MAX
        while text not in self.said:
            assert self.process.poll() is None, self.said
            assert time.monotonic() < deadline, self.said
            time.sleep(0.05)
        return self.said

    def end(self, number: int = signal.SIGINT) -> int:
        """Signal it as a terminal does, to the whole group, and return its exit code."""
        os.killpg(self.process.pid, number)
        return self.process.wait(END_SECONDS_MAX)

    def balances(self) -> list[str]:
        return re.findall(r"Ada's balance  (\d+) credits", self.said)


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Callable[..., Run]]:
    runs: list[Run] = []

    def start(*options: str, **variables: Any) -> Run:
        runs.append(Run(tmp_path / "state", *options, **variables))
        return runs[-1]

    yield start
    for one in runs:
        if one.process.poll() is None:
            one.end()
    reset(tmp_path / "state")


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """A sandbox that played its payment and stays up, for tests that only look."""
    sandbox = Run(tmp_path_factory.mktemp("up") / "state")
    sandbox.wait_for("Ctrl-C")
    yield sandbox
    sandbox.end()
    reset(sandbox.state)


def reset(state: Path) -> str:
    command = [sys.executable, "-m", "sandbox", "--state", str(state), "reset"]
    done = subprocess.run(command, check=False, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def left_over(run: Run) -> list[str]:
    """Name the living processes of a sandbox, but wait a little for them to go."""
    engine, app, _ = run.ports
    home = (run.state / "postgres" / "home").resolve()  # another place when we are root
    marks = (str(run.state), str(home), f"--port {engine}", f"--listen=127.0.0.1:{app}")
    deadline = time.monotonic() + END_SECONDS_MAX
    while True:
        listed = subprocess.run(
            ["ps", "-Aww", "-o", "stat=,args="], check=True, capture_output=True, text=True
        ).stdout
        found = [
            line
            for line in listed.splitlines()
            if any(mark in line for mark in marks) and not line.startswith("Z")
        ]
        if not found or time.monotonic() > deadline:
            return found
        time.sleep(0.1)


def test_a_payment_is_played_and_the_line_to_paste_shows_its_credits(up: Run) -> None:
    line = re.findall(r"^curl .*$", up.said, re.MULTILINE)[0]

    assert up.balances() == ["0", "250"]
    assert pasted(line)["data"] == {
        "customers": [{"name": "Ada Lovelace"}],
        "credit_wallets": [{"balance": "250.0000"}],
    }


def test_the_credits_are_there_after_a_restart_and_gone_after_a_reset(run) -> None:
    first = run()
    first.wait_for("Ctrl-C")
    assert first.end() == 0
    assert left_over(first) == []

    second = run("--no-demo")
    second.wait_for("Ctrl-C")
    line = re.findall(r"^curl .*$", second.said, re.MULTILINE)[0]
    assert pasted(line)["data"]["credit_wallets"] == [{"balance": "250.0000"}]
    assert "nothing new" in second.said
    assert second.end(signal.SIGTERM) == 0

    assert "emptied" in reset(second.state)
    assert not second.state.exists()


def pasted(line: str) -> Any:
    """Send what the printed curl line would: -H is a header, -d a body."""
    words = shlex.split(line)
    url = next(word for word in words if word.startswith("http"))
    name, _, value = words[words.index("-H") + 1].partition(": ")
    body = words[words.index("-d") + 1]
    return httpx.post(url, content=body, headers={name: value}, timeout=END_SECONDS_MAX).json()


def test_the_printed_tokens_open_what_their_roles_may_see(up: Run) -> None:
    shown = re.findall(r"^  (\w+) +(\w+) +.*\n(eyJ\S+)$", up.said, re.MULTILINE)
    seen = {}
    for name, role, printed in shown:
        answer = httpx.post(
            up.graphql_url,
            json={"query": "{ customers(order_by: {email: asc}) { email } }"},
            headers={"Authorization": f"Bearer {printed}"},
            timeout=END_SECONDS_MAX,
        ).json()
        seen[name, role] = [row["email"].partition("@")[0] for row in answer["data"]["customers"]]

    assert seen == {
        ("ada", "customer"): ["ada"],
        ("fiona", "finance"): ["ada", "grace"],
        ("victor", "viewer"): ["ada", "grace"],
        ("olga", "operator"): ["ada", "asha", "grace", "hedy"],
    }
    assert shown[0][2] in re.findall(r"^curl .*$", up.said, re.MULTILINE)[0]


def test_every_page_that_is_printed_is_there(up: Run) -> None:
    pages = dict(
        re.findall(r"^  (console|App|Gateways|Shop|Events) +(http\S+)$", up.said, re.MULTILINE)
    )
    with httpx.Client(follow_redirects=True, timeout=END_SECONDS_MAX) as web:
        found = {name: web.get(url).status_code for name, url in pages.items()}

    assert found == dict.fromkeys(("console", "App", "Gateways", "Shop", "Events"), 200)


def test_the_readmes_order_has_a_page(up: Run) -> None:
    (command,) = re.findall(r"^curl .*initiatePayment.*$", README.replace("\\\n", ""), re.MULTILINE)
    asha = next(user for user in tokens.USERS if user.name == "asha")
    said = pasted(
        command.replace("http://localhost:8080/v1/graphql", up.graphql_url).replace(
            "$(.venv/bin/python -m sandbox token --user asha)", tokens.token(asha)
        )
    )
    page = httpx.get(said["data"]["initiatePayment"]["payment_url"], timeout=END_SECONDS_MAX)

    assert "₹2,450.00" in page.text


def test_a_second_sandbox_in_the_same_place_is_refused_in_one_line(up: Run) -> None:
    second = Run(up.state)

    assert second.process.wait(READY_SECONDS_MAX) == 1
    assert second.said == (
        f"munim: the sandbox already runs here, as process {up.process.pid}: "
        "stop it with Ctrl-C first\n"
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_a_sandbox_stops_while_it_starts(run, number: int) -> None:
    sandbox = run()
    sandbox.wait_for("starts")

    assert sandbox.end(number) == 0
    assert left_over(sandbox) == []


def test_a_sandbox_stops_when_its_terminal_goes_even_without_a_signal(run) -> None:
    ours, its = pty.openpty()
    sandbox = run("--no-demo", terminal=its)
    os.close(its)
    shown = b""
    while b"Ctrl-C" not in shown:
        shown += os.read(ours, 4096)
    os.close(ours)

    assert sandbox.process.wait(END_SECONDS_MAX) == 0
    assert left_over(sandbox) == []


def test_nothing_outlives_a_sandbox_that_is_killed(run) -> None:
    sandbox = run("--no-demo")
    sandbox.wait_for("Ctrl-C")
    sandbox.process.kill()
    sandbox.process.wait()

    assert left_over(sandbox) == []


def test_a_part_that_ends_by_itself_ends_all_and_is_named(run) -> None:
    sandbox = run("--no-demo")
    sandbox.wait_for("Ctrl-C")
    listed = subprocess.run(
        ["ps", "-Aww", "-o", "pid=,ppid=,args="], check=True, capture_output=True, text=True
    ).stdout
    numbers = [
        int(line.split()[0])
        for line in listed.splitlines()
        if line.split()[1] == str(sandbox.process.pid) and "sandbox.engine" in line
    ]
    os.kill(numbers[0], signal.SIGKILL)

    assert sandbox.process.wait(END_SECONDS_MAX) == 1
    assert "munim: engine stopped (by signal 9)" in sandbox.said
    assert left_over(sandbox) == []


@pytest.mark.parametrize("variable", ["HASURA_PORT", "APP_PORT", "GATEWAYS_PORT"])
def test_a_taken_port_is_told_before_anything_starts(run, variable: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        sandbox = run(**{variable: str(port)})
        code = sandbox.process.wait(READY_SECONDS_MAX)

    assert code == 1
    assert sandbox.said.startswith(f"munim: port {port} is taken")
    assert sandbox.said.endswith(f"with {variable}=<port>\n")
    assert not list(sandbox.state.glob("logs/*"))


def test_a_part_may_be_left_out(run) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        sandbox = run("--without", "app", APP_PORT=str(port))
        sandbox.wait_for("Ctrl-C")

    assert "A payment" not in sandbox.said
    assert sandbox.end() == 0


def test_a_database_out_of_reach_is_told_in_one_line(run) -> None:
    sandbox = run(DATABASE_URL="postgresql://me:secret@127.0.0.1:1/munim")

    assert sandbox.process.wait(READY_SECONDS_MAX) == 1
    told = [line for line in sandbox.said.splitlines() if line.startswith("munim:")]
    assert told == [sandbox.said.splitlines()[-1]]
    assert "the database at 127.0.0.1:1/munim cannot be reached" in told[0]
    assert "secret" not in sandbox.said
    assert left_over(sandbox) == []


@pytest.fixture
def empty_database(postgres: Postgres) -> Iterator[str]:
    name = f"run_{uuid4().hex[:12]}"
    with psycopg.connect(postgres.url, autocommit=True) as admin:
        admin.execute(f"create database {name} template template0")
    yield postgres.url.rsplit("/", 1)[0] + f"/{name}"
    with psycopg.connect(postgres.url, autocommit=True) as admin:
        admin.execute(f"drop database {name} with (force)")


def test_a_database_of_the_caller_s_is_used_and_left_as_it_is(run, empty_database: str) -> None:
    sandbox = run(DATABASE_URL=empty_database)
    sandbox.wait_for("Ctrl-C")

    assert sandbox.balances() == ["0", "250"]
    assert not (sandbox.state / "postgres").exists()
    assert empty_database not in sandbox.said
    assert sandbox.end() == 0


def test_a_state_is_held_by_one_at_a_time(tmp_path: Path) -> None:
    with alone(tmp_path):
        pass
    with alone(tmp_path):
        done = subprocess.run(
            [sys.executable, "-m", "sandbox", "--state", str(tmp_path), "reset"],
            check=False,
            cwd=ROOT,
            capture_output=True,
            text=True,
        )

    assert done.returncode == 1
    assert f"as process {os.getpid()}" in done.stderr
