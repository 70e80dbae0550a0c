"""The programs that the sandbox starts, each in a session of its own, stopped by its own number.

Ctrl-C in a terminal reaches the sandbox alone, which stops them in order. Should the sandbox itself
be killed, even with SIGKILL, they stop too: see KEEPER.
"""

import contextlib
import http.client
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from sandbox.world import HOST, ROOT

STOP_SIGNALS = ((signal.SIGINT, 8.0), (signal.SIGKILL, 5.0))
PAUSE_SECONDS = 0.05

# This program becomes the service. Before that it leaves a watcher behind, in the same group. The
# watcher reads a pipe that only the sandbox holds open: a byte means that the service was stopped
# in good order, end of file that the sandbox is gone, and then the watcher ends the group. It knows
# by another pipe, which only the service holds open, that the service is gone. The service takes
# SIGINT even when the sandbox was started in the background, where it is ignored.
KEEPER = """
import os, select, signal, sys
service = os.getpid()
alive, living = os.pipe()
if os.fork() == 0:
    if os.fork() == 0:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        os.close(living)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        os.dup2(1, 2)
        if os.read(0, 1) == b"":
            os.killpg(service, signal.SIGINT)
            if not select.select([alive], [], [], 5)[0]:
                os.killpg(service, signal.SIGKILL)
    os._exit(0)
os.wait()
os.close(alive)
os.set_inheritable(living, True)
signal.signal(signal.SIGINT, signal.default_int_handler)
os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
os.execv(sys.argv[1], sys.argv[1:])
"""

# What a caller's shell may hold that would change how a service runs.
UNWANTED = (
    "PYTHONDONTWRITEBYTECODE",
    "PYTHONPATH",
    "PYTHONHOME",
    "DATABASE_URL",
    "HASURA_GRAPHQL_",
)


class ProcessError(Exception):
    """A service does not run. The message is for a person, the log's last lines below its first."""


@dataclass(frozen=True, slots=True)
class Service:
    """A program to run: arguments of Python, its settings, and the port of its /healthz."""

    name: str
    arguments: tuple[str, ...]
    environment: Mapping[str, str]
    port: int


class Process:
    """One service, started and stopped. Its output goes to a log, which each start begins anew."""

    def __init__(self, service: Service, logs: Path) -> None:
        self.service = service
        self.log = logs / f"{service.name}.log"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def process_id(self) -> int | None:
        """The number of the running service, which is also that of its group."""
        return self._process.pid if self._process else None

    def start(self) -> None:
        keeper = [sys.executable, "-I", "-S", "-c", KEEPER, sys.executable]
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                [*keeper, *self.service.arguments],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                cwd=ROOT,
                env={**_inherited(), "PYTHONUNBUFFERED": "1", **self.service.environment},
                start_new_session=True,
            )

    def wait_until_well(self, seconds_max: float) -> None:
        """Wait until it answers. Raises ProcessError when it ends or takes too long."""
        deadline = time.monotonic() + seconds_max
        while not self._is_well():
            self.check()
            if time.monotonic() > deadline:
                raise ProcessError(
                    self._with_log(f"{self.service.name} does not answer in {seconds_max:.0f} s")
                )
            time.sleep(PAUSE_SECONDS)

    def check(self) -> None:
        """Raise ProcessError when the service ended by itself."""
        status = self._process.poll() if self._process else None
        if status is not None:
            raise ProcessError(self._with_log(f"{self.service.name} stopped ({_cause(status)})"))

    def stop(self) -> None:
        """End it and wait until it is gone. Called twice: nothing more happens."""
        process, self._process = self._process, None
        if process is None:
            return
        for number, seconds in STOP_SIGNALS:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(seconds)
                break
        if process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                process.stdin.write(b".")  # tells the watcher that there is nothing left to end
                process.stdin.flush()
            with contextlib.suppress(BrokenPipeError):
                process.stdin.close()

    def last_lines(self, count: int = 8) -> list[str]:
        try:
            return self.log.read_text(errors="replace").splitlines()[-count:]
        except OSError:
            return []

    def _is_well(self) -> bool:
        connection = http.client.HTTPConnection(HOST, self.service.port, timeout=2)
        try:
            connection.request("GET", "/healthz")
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def _with_log(self, message: str) -> str:
        lines = [f"    {line}" for line in self.last_lines()]
        return "\n".join([f"{message}; the end of {self.log}:", *lines])


def _inherited() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith(UNWANTED)}


def _cause(status: int) -> str:
    return f"by signal {-status}" if status < 0 else f"exit code {status}"
