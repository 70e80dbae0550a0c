"""A real browser, spoken to by the DevTools protocol: Chromium without a screen."""

import base64
import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import httpx
from websockets.sync.client import ClientConnection, connect

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
SECONDS_MAX = 20.0
QUIET = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    *("--disable-dev-shm-usage", "--hide-scrollbars", "--remote-debugging-port=0"),
)


@dataclass
class Browser:
    """One tab."""

    socket: ClientConnection
    numbers: Iterator[int]

    def ask(self, method: str, **params: object) -> dict[str, Any]:
        number = next(self.numbers)
        self.socket.send(json.dumps({"id": number, "method": method, "params": params}))
        while True:
            said = json.loads(self.socket.recv(SECONDS_MAX))
            if said.get("id") == number:
                assert "error" not in said, said
                return dict(said["result"])

    def show(self, width: int, height: int, scheme: str = "light") -> None:
        """Have the window this size, on a phone where it is narrow, in light or dark."""
        self.ask(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width < 600,
        )
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.ask("Emulation.setEmulatedMedia", features=features)

    def go(self, url: str) -> None:
        self.ask("Page.navigate", url=url)
        self.wait("document.readyState === 'complete'")

    def run(self, script: str) -> Any:
        """Evaluate a script; None while the page is being replaced by the next."""
        said = self.ask("Runtime.evaluate", expression=script, returnByValue=True)
        return None if "exceptionDetails" in said else said["result"].get("value")

    def wait(self, script: str, seconds: float = SECONDS_MAX) -> Any:
        """Wait until a script says something true."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if value := self.run(script):
                return value
            time.sleep(0.05)
        raise AssertionError(f"never: {script}\n{self.run('location.href')}\n{self.text()}")

    def read(self, text: str) -> None:
        """Wait until the page says this."""
        self.wait(f"document.body.innerText.includes({json.dumps(text)})")

    def text(self) -> str:
        return str(self.run("document.body.innerText"))

    def press(self, selector: str) -> None:
        """Click what a selector finds, as soon as it is there."""
        self.wait(f"document.querySelector({json.dumps(selector)})?.click() ?? true")

    def draw(self, path: Path) -> None:
        taken = self.ask("Page.captureScreenshot", captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(taken["data"]))


@contextmanager
def browse(directory: Path) -> Iterator[Browser]:
    """Start a browser whose profile is in a directory, and end it."""
    assert CHROMIUM is not None
    profile = directory / "profile"
    command = [CHROMIUM, *QUIET, f"--user-data-dir={profile}", "about:blank"]
    with (directory / "chromium.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        with connect(_address(profile), max_size=None, open_timeout=SECONDS_MAX) as socket:
            browser = Browser(socket, count(1))
            browser.ask("Page.enable")
            yield browser
    finally:
        process.terminate()
        process.wait(SECONDS_MAX)


def _address(profile: Path) -> str:
    written, deadline = profile / "DevToolsActivePort", time.monotonic() + SECONDS_MAX
    while time.monotonic() < deadline:
        if written.exists() and (lines := written.read_text().split()):
            tabs = httpx.get(f"http://127.0.0.1:{lines[0]}/json/list", trust_env=False).json()
            for tab in tabs:
                if tab["type"] == "page":
                    return str(tab["webSocketDebuggerUrl"])
        time.sleep(0.05)
    raise AssertionError("Chromium did not start")
