"""A server of simulators as a process of its own, at a port that nobody else can take."""

import json
import math
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing, suppress
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import requests
from ports import free_port
from webhook_receiver import PATIENCE, Data, wait_for

ROOT = Path(__file__).parents[3]
HOST = "127.0.0.1"
SECRET = "whsec_for_the_tests"
KEY = "sk_test_for_the_tests"
# The server ends with whoever started it, even if that one is killed: its input ends then.
ENDING_WITH_US = """
import os, sys, threading
threading.Thread(target=lambda: (os.read(0, 1), os._exit(1)), daemon=True).start()
"""
PROGRAM = "import runpy\nrunpy.run_module('sandbox.gateways', run_name='__main__', alter_sys=True)"


class Server:
    """The simulators as a process of their own."""

    def __init__(
        self,
        state: Path,
        *webhooks: str,
        program: str = PROGRAM,
        options: tuple[str, ...] = (),
    ) -> None:
        self.port = free_port()
        self.state = state
        self.url = f"http://{HOST}:{self.port}"
        self.api = f"{self.url}/stripe"
        self.http = requests.Session()
        self._words = (
            *(sys.executable, "-c", ENDING_WITH_US + program, "--port", str(self.port)),
            *("--state", str(state), "--key", f"stripe={KEY}", "--secret", f"stripe={SECRET}"),
            *(part for url in webhooks for part in ("--webhook", f"stripe={url}")),
            *options,
        )
        self._start()

    def _start(self) -> None:
        self.process = subprocess.Popen(
            self._words, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL
        )
        try:
            wait_for(self._healthy, "the server")
        except BaseException:
            self.kill()
            raise

    def _healthy(self) -> bool | None:
        assert self.process.poll() is None, "the server has died"
        with suppress(requests.ConnectionError, requests.Timeout):
            return self.http.request("GET", f"{self.url}/healthz", timeout=PATIENCE).ok or None
        return None

    def stop(self) -> None:
        self.process.terminate()
        self._ended()

    def kill(self) -> None:
        self.process.kill()
        self._ended()

    def _ended(self) -> None:
        self.process.communicate(timeout=PATIENCE)
        self.http.close()

    def kill_and_start(self, between: Callable[[], object] = lambda: None) -> None:
        """Kill it, and start it again with its state and at its port."""
        self.process.kill()
        self.process.communicate(timeout=PATIENCE)
        between()
        self._start()

    def at_once(
        self, count: int, url: str, body: str, headers: dict[str, str]
    ) -> list[tuple[int, Data]]:
        """Post the same several times, so that all of it is there before any is looked at."""
        place = urlsplit(url)
        lines = [HTTPConnection(HOST, self.port, timeout=PATIENCE) for _ in range(count)]
        self.process.send_signal(signal.SIGSTOP)
        try:
            for line in lines:
                line.request("POST", place.path, body, headers)
        finally:
            self.process.send_signal(signal.SIGCONT)
        answers = []
        for line in lines:
            with closing(line), line.getresponse() as answer:
                answers.append((answer.status, json.loads(answer.read())))
        return answers

    def control(self, path: str, order: Data | None = None, method: str = "POST") -> Data:
        """Make a control call below `/_sandbox`."""
        answer = self.http.request(
            method, f"{self.url}/_sandbox{path}", json=order, timeout=PATIENCE
        )
        return answer.json() if answer.content else {}

    def fault(self, operation: str, kind: str, **details: Any) -> None:
        order = {"gateway": "stripe", "operation": operation, "kind": kind, **details}
        assert "id" in self.control("/faults", order)

    def move_clock(self, seconds: float) -> None:
        self.control("/clock", {"skew_seconds": seconds})

    def wait_until_quiet(self) -> Data:
        """Wait until all that is due has happened, and every webhook of it has been answered.

        Gives the clock, whose `next_due` is then to come, or none.
        """
        return wait_for(self._quiet, "the webhooks on their way")

    def _quiet(self) -> Data | None:
        clock = self.control("/clock/quiet", method="GET")
        return clock if (clock["next_due"] or math.inf) > clock["now"] else None

    def raw(self, method: str, path: str, form: Any = None, **headers: str) -> requests.Response:
        """Call the API without the SDK."""
        return self.http.request(
            method,
            self.api + path,
            data=form,
            headers={"Authorization": f"Bearer {KEY}", **headers},
            timeout=PATIENCE,
        )
