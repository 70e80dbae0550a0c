"""docs/engine.md names every setting and every route: it fails when one is added in silence."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from sandbox.engine import __main__ as program

ROOT = Path(__file__).parents[2]
ENGINE = ROOT / "sandbox" / "engine"
PAGE = (ROOT / "docs" / "engine.md").read_text()
SOURCES = [file.read_text() for file in sorted(ENGINE.rglob("*.py"))]
READ = re.compile(r'(?:text|truth|positive|_pace)\((?:given, )?f?"([A-Z][A-Z_]+)"')


def settings() -> set[str]:
    source = (ENGINE / "settings.py").read_text()
    names = {f"HASURA_GRAPHQL_{name}" for name in READ.findall(source)}
    for text in SOURCES:
        names.update(re.findall(r"HASURA_GRAPHQL_[A-Z_]*[A-Z]\b", text))
    for kind in ("LIVE_QUERIES", "STREAMING_QUERIES"):
        names.discard(f"HASURA_GRAPHQL_{kind}")
        for part in ("REFETCH_INTERVAL", "BATCH_SIZE"):
            names.add(f"HASURA_GRAPHQL_{kind}_MULTIPLEXED_{part}")
    return names


def test_there_are_settings_to_look_for() -> None:
    assert {"HASURA_GRAPHQL_ADMIN_SECRET", "HASURA_GRAPHQL_ENABLE_CONSOLE"} <= settings()
    assert len(settings()) > 40


@pytest.mark.parametrize("name", sorted(settings()))
def test_every_setting_is_documented(name: str) -> None:
    assert f"`{name}`" in PAGE


def test_the_page_names_no_setting_that_nothing_reads() -> None:
    named = set(re.findall(r"`(HASURA_GRAPHQL_[A-Z_]+)`", PAGE))

    assert named <= settings()


def test_every_flag_is_documented() -> None:
    flags = set(re.findall(r"--[a-z-]+", program.arguments().format_help())) - {"--help"}

    assert "--metadata" in flags
    assert {flag for flag in flags if flag not in PAGE} == set()


def test_every_route_is_documented() -> None:
    source = (ENGINE / "transport" / "http.py").read_text()
    paths = set(re.findall(r'Route\("(/[a-z0-9/]+)"', source))

    assert len(paths) > 5
    assert {path for path in paths if path not in PAGE} == set()
