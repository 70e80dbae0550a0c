"""A real browser, spoken to by the DevTools protocol: Chromium without a screen."""

import base64
import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.sync.client import ClientConnection, connect

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
SECONDS_MAX = 60.0
SIZES = {"phone": (390, 844), "desktop": (1280, 800)}
KEYS = {"Escape": 27, "Tab": 9}
PAINTED = "performance.getEntriesByName('first-contentful-paint')[0]?.startTime"
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")
QUIET = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    *("--disable-dev-shm-usage", "--hide-scrollbars", "--remote-debugging-port=0"),
)
# A form that has all of the fields; one that has them not is of the page before.
FILL = """
((values, button) => {
  const has = (form) => Object.keys(values).every((name) => form.elements[name]);
  const form = [...document.querySelectorAll("main form")].find(has);
  if (!form) return false;
  for (const [name, value] of Object.entries(values)) form.elements[name].value = value;
  form.querySelector(button).click();
  return true;
})(%s, %s)
"""
# What the browser says where the page that it was asked about has just gone, or is just coming.
GONE = (
    "Cannot find context",
    "Execution context was destroyed",
    "Inspected target navigated or closed",
    "No frame for given id found",
)
# A paid page goes back to the shop by itself after some seconds, or closes its window. Here it does
# when it is told to, so that however slow a test is, it finds the page.
STAY = """
(() => {
  const real = window.setTimeout, leaving = [];
  window.setTimeout = (go, after, ...more) =>
    String(go).includes("(back)") ? leaving.push(go) : real(go, after, ...more);
  window.leave = () => leaving.length && real(() => leaving.splice(0).forEach((go) => go()), 0);
})();
"""


@dataclass
class Browser:
    """One tab, or what is framed in it."""

    socket: ClientConnection
    numbers: Iterator[int]
    is_framed: bool = False

    def ask(self, method: str, **params: object) -> dict[str, Any]:
        number = next(self.numbers)
        self.socket.send(json.dumps({"id": number, "method": method, "params": params}))
        while True:
            said = json.loads(self.socket.recv(SECONDS_MAX))
            if said.get("id") == number:
                if any(gone in str(said.get("error")) for gone in GONE):
                    return {"exceptionDetails": said["error"]}
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
        self.run("window.isLeft = true")
        self.ask("Page.navigate", url=url)
        self.wait("!window.isLeft && document.readyState === 'complete'")

    def run(self, script: str) -> Any:
        """Evaluate a script; None while the page is being replaced by the next."""
        where = {}
        if self.is_framed:
            frames = self.ask("Page.getFrameTree")["frameTree"].get("childFrames")
            if not frames:
                return None
            world = self.ask("Page.createIsolatedWorld", frameId=frames[0]["frame"]["id"])
            if "exceptionDetails" in world:
                return None
            where = {"contextId": world["executionContextId"]}
        # As if the payer had clicked: else no frame leads its window anywhere.
        said = self.ask(
            "Runtime.evaluate", expression=script, returnByValue=True, userGesture=True, **where
        )
        return None if "exceptionDetails" in said else said["result"].get("value")

    def inside(self) -> "Browser":
        """Speak to the page in this page's frame instead."""
        return replace(self, is_framed=True)

    def type(self, key: str) -> None:
        """Press a key where the focus is."""
        for kind in ("keyDown", "keyUp"):
            self.ask(
                "Input.dispatchKeyEvent",
                type=kind,
                key=key,
                code=key,
                windowsVirtualKeyCode=KEYS[key],
            )

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
        found = f"document.querySelector({json.dumps(selector)})"
        self.wait(f"(found => found && (found.click(), true))({found})")

    def fill(self, button: str = "button", **values: str) -> None:
        """Fill in the form that has these fields, as soon as it is there, and send it."""
        self.wait(FILL % (json.dumps(values), json.dumps(button)))

    @contextmanager
    def without_scripts(self) -> Iterator[None]:
        """Run no script of any page; ours still look at it."""
        self.ask("Emulation.setScriptExecutionDisabled", value=True)
        try:
            yield
        finally:
            self.ask("Emulation.setScriptExecutionDisabled", value=False)

    def leave(self) -> None:
        """Let a paid page go where it goes by itself."""
        self.wait("leave()")

    def draw(self, path: Path, *, is_whole: bool = True) -> None:
        """Take a picture of the whole page, or of what the window shows, once it is laid out."""
        self.wait("document.readyState === 'complete' && document.documentElement.scrollWidth > 0")
        taken = self.ask("Page.captureScreenshot", captureBeyondViewport=is_whole)
        path.write_bytes(base64.b64decode(taken["data"]))


@contextmanager
def browse(profile: Path) -> Iterator[Browser]:
    """Start a browser whose profile is in a directory, and end it."""
    assert CHROMIUM is not None
    command = [CHROMIUM, *QUIET, f"--user-data-dir={profile}", "about:blank"]
    with (profile / "chromium.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        with tab(profile, "about:blank") as browser:
            yield browser
    finally:
        process.terminate()
        process.wait(SECONDS_MAX)


@contextmanager
def tab(profile: Path, address: str) -> Iterator[Browser]:
    """Speak to the tab of a browser whose address has this in it, as soon as there is one."""
    with connect(_socket(profile, address), max_size=None, open_timeout=SECONDS_MAX) as socket:
        browser = Browser(socket, count(1))
        browser.ask("Page.enable")
        browser.ask("Page.addScriptToEvaluateOnNewDocument", source=STAY)
        yield browser


def tabs(profile: Path) -> list[dict[str, str]]:
    """List what a browser has open; nothing while it starts."""
    written = profile / "DevToolsActivePort"
    lines = written.read_text().split() if written.exists() else []
    if not lines:
        return []
    found = httpx.get(
        f"http://127.0.0.1:{lines[0]}/json/list", trust_env=False, timeout=SECONDS_MAX
    ).json()
    return [each for each in found if each["type"] == "page"]


def _socket(profile: Path, address: str) -> str:
    deadline = time.monotonic() + SECONDS_MAX
    while time.monotonic() < deadline:
        for each in tabs(profile):
            if address in each["url"]:
                return each["webSocketDebuggerUrl"]
        time.sleep(0.05)
    raise AssertionError(f"there is no tab at {address}: {tabs(profile)}")
