"""Services are started, watched and stopped, and outlive nobody."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from ports import free_port

from sandbox.processes import Process, ProcessError, Service

ROOT = Path(__file__).parents[2]
PATIENCE = 60.0

WELL = """
import http.server, os, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers()
    def log_message(self, *_): pass
print("environment", sorted(os.environ), flush=True)
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""

# What the sandbox does with a service: it starts one, and then is killed.
OWNER = """
import sys, time
from pathlib import Path
from sandbox.processes import Process, Service
wait = "import time; print('up', flush=True); time.sleep(600)"
process = Process(Service("service", ("-c", wait), {}, 1), Path(sys.argv[1]))
process.start()
while not process.last_lines():
    time.sleep(0.01)
print(process._process.pid, flush=True)
time.sleep(600)
"""


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def started(tmp_path: Path, port: int) -> Iterator[Callable[[str], Process]]:
    made: list[Process] = []

    def start(program: str) -> Process:
        service = Service("service", ("-c", program, str(port)), {"GIVEN": "yes"}, port)
        made.append(Process(service, tmp_path))
        made[-1].start()
        return made[-1]

    yield start
    for process in made:
        process.stop()


def group_is_gone(number: int) -> bool:
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            os.killpg(number, 0)
        except ProcessLookupError:
            return True
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)


def number_of(process: Process) -> int:
    assert process._process is not None  # noqa: SLF001  # the only way to see it from outside
    return process._process.pid  # noqa: SLF001  # the same


def test_a_service_is_well_when_it_answers_and_leaves_nothing_when_stopped(started) -> None:
    process = started(WELL)
    process.wait_until_well(PATIENCE)
    process.check()
    number = number_of(process)
    assert os.getsid(number) == number != os.getsid(0)

    process.stop()
    process.stop()

    assert group_is_gone(number)


def test_a_service_gets_its_settings_and_none_of_the_caller_s_own(started, monkeypatch) -> None:
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    monkeypatch.setenv("HASURA_GRAPHQL_DEV_MODE", "true")
    monkeypatch.setenv("DATABASE_URL", "postgresql://elsewhere")
    process = started(WELL)
    process.wait_until_well(PATIENCE)
    told = process.log.read_text()

    assert "'GIVEN'" in told
    assert "'PATH'" in told
    for name in ("PYTHONDONTWRITEBYTECODE", "HASURA_GRAPHQL_DEV_MODE", "DATABASE_URL"):
        assert name not in told


def test_a_service_that_ends_is_told_with_the_end_of_its_log(started) -> None:
    process = started("print('first'); raise SystemExit('the reason')")

    with pytest.raises(ProcessError) as failure:
        process.wait_until_well(PATIENCE)
    lines = str(failure.value).splitlines()
    assert lines[0].startswith("service stopped (exit code 1); the end of ")
    assert lines[1:] == ["    first", "    the reason"]


def test_a_service_that_is_killed_is_told_with_the_signal(started) -> None:
    process = started(WELL)
    process.wait_until_well(PATIENCE)
    os.kill(number_of(process), signal.SIGKILL)

    with pytest.raises(ProcessError, match="by signal 9"):
        process.wait_until_well(PATIENCE)


def test_a_service_that_never_answers_is_not_waited_for_long(started) -> None:
    process = started("import time; time.sleep(600)")

    with pytest.raises(ProcessError, match="does not answer in 0 s"):
        process.wait_until_well(0.3)


def test_a_service_does_not_outlive_a_sandbox_that_is_killed(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", OWNER, str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as owner:
        assert owner.stdout is not None
        number = int(owner.stdout.readline())
        os.killpg(number, 0)
        owner.kill()

    assert group_is_gone(number)


def test_a_service_stops_though_the_sandbox_was_started_where_ctrl_c_is_ignored(
    tmp_path: Path,
) -> None:
    program = OWNER.removesuffix("time.sleep(600)\n")
    program += "ended = process._process; process.stop(); print(ended.returncode)\n"
    done = subprocess.run(
        ["/bin/sh", "-c", 'trap "" INT; exec "$@"', "sh", sys.executable, "-c", program, tmp_path],
        check=True,
        cwd=ROOT,
        capture_output=True,
        text=True,
    )

    assert int(done.stdout.splitlines()[1]) == -signal.SIGINT  # it was not killed later
