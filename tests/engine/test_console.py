"""The console: its files, its policy, the setting that shows it, and a run of it in a browser."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from engine import harness

from sandbox.engine.transport import console_page

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
QUIET = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
LARGEST = 40_000


@pytest.fixture(scope="module")
def console(atlas_url: str, atlas_directory: Path) -> Iterator[harness.Served]:
    environ = {
        "HASURA_GRAPHQL_ENABLE_CONSOLE": "true",
        "HASURA_GRAPHQL_ADMIN_SECRET": "",
    }
    with harness.serve(atlas_url, atlas_directory, environ) as running:
        yield running


def test_the_console_is_off_unless_it_is_asked_for(served: harness.Served) -> None:
    answer = served.client.get(f"{served.url}/console")

    assert answer.status_code == 404
    assert answer.json()["code"] == "not-found"


def test_the_bare_address_leads_to_the_console(console: harness.Served) -> None:
    answer = console.client.get(f"{console.url}/")

    assert answer.status_code == 302
    assert answer.headers["location"] == "console"


@pytest.mark.parametrize("name", ["", "/console.css", "/console.js"])
def test_every_file_is_served_under_the_policy(console: harness.Served, name: str) -> None:
    answer = console.client.get(f"{console.url}/console{name}")

    assert answer.status_code == 200
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'")
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_the_page_loads_nothing_from_another_host_and_holds_no_inline_script() -> None:
    page = (console_page.FILES / "index.html").read_text()
    files = list(console_page.FILES.iterdir())

    assert "http://" not in page
    assert "https://" not in page
    assert page.count("<script") == 1
    assert "style=" not in page
    assert sum(file.stat().st_size for file in files) < LARGEST


def test_what_is_kept_between_visits_names_no_secret() -> None:
    script = (console_page.FILES / "console.js").read_text()
    kept = script.split("function keep()")[1].split("function recall()")[0]

    assert "secret" not in kept.replace("SECRET_HEADER", "")
    assert "token" not in kept


def test_only_the_console_s_own_files_are_served(console: harness.Served) -> None:
    for path in ("/console/index.html.bak", "/console/../http.py", "/console/%2e%2e/http.py"):
        assert console.client.get(console.url + path).status_code == 404


def test_the_page_reads_the_schema_in_a_browser(console: harness.Served, tmp_path: Path) -> None:
    if CHROMIUM is None:
        pytest.skip("Chromium is not installed, so the console's script is not run")
    command = [CHROMIUM, *QUIET, f"--user-data-dir={tmp_path}", "--virtual-time-budget=8000"]

    found = subprocess.run(
        [*command, "--dump-dom", f"{console.url}/console"],
        capture_output=True,
        text=True,
        timeout=100,
        check=True,
    )

    assert "fetch data from the table: &quot;city&quot;" in found.stdout
    assert "mutation_root" in found.stdout
