"""The program: how it starts, how it is stopped, and how it says that it cannot start."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx
from engine import harness
from graphql import build_schema, parse, validate
from ports import free_port

ROOT = Path(__file__).parents[2]


def command(*flags: str, **environ: str) -> subprocess.Popen[str]:
    environment = {"PATH": os.environ["PATH"], **harness.ENVIRONMENT, **environ}
    return subprocess.Popen(
        [sys.executable, "-m", "sandbox.engine", *flags],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def refused(*flags: str) -> str:
    """Return the one line that a start which fails ends with."""
    with command(*flags) as process:
        _, text = process.communicate(timeout=100)
    assert process.returncode == 1
    assert text.count("\n") == 1, text
    return text.strip()


def port_flag() -> list[str]:
    return ["--port", str(free_port())]


def test_it_serves_until_it_is_told_to_stop(shop_url: str, shop_directory: Path) -> None:
    port = free_port()
    flags = ["--metadata", str(shop_directory), "--database-url", shop_url, "--port", str(port)]
    with command(*flags, HANDLER_URL="http://127.0.0.1:1") as process:
        assert process.stdout is not None
        try:
            assert process.stdout.readline() == f"engine: http://127.0.0.1:{port}/v1/graphql\n"
            answer = httpx.get(f"http://127.0.0.1:{port}/v1/version", timeout=60)
            assert answer.status_code == 200
        finally:
            process.send_signal(signal.SIGTERM)
            _, text = process.communicate(timeout=100)
    assert (process.returncode, text) == (0, "")


def test_settings_may_come_from_the_environment(shop_url: str, shop_directory: Path) -> None:
    environ = {
        "HASURA_GRAPHQL_DATABASE_URL": shop_url,
        "HASURA_GRAPHQL_METADATA_DIRECTORY": str(shop_directory),
    }
    with command("--print-schema", "user", **environ) as process:
        text, _ = process.communicate(timeout=100)
    assert process.returncode == 0
    schema = build_schema(text)
    good = parse("query ($w: wallet_bool_exp!) { wallet(where: $w) { id owner { name } } }")
    bad = parse("{ wallet { id owner { secret } } }")
    assert validate(schema, good) == []
    assert [error.message for error in validate(schema, bad)] == [
        "Cannot query field 'secret' on type 'owner'."
    ]


def test_a_taken_port_is_told_in_one_line(shop_url: str, shop_directory: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        flags = ["--metadata", str(shop_directory), "--database-url", shop_url, "--port", port]
        assert refused(*flags).startswith(f"engine: port {port} on 127.0.0.1 cannot be used")


def test_an_unreachable_database_is_told_in_one_line(shop_directory: Path) -> None:
    url = "postgresql://a:secret@127.0.0.1:1/x"
    flags = [
        "--metadata",
        str(shop_directory),
        "--database-url",
        url,
        "--port",
        str(free_port()),
    ]
    text = refused(*flags)
    assert text.startswith("engine: the database cannot be reached")
    assert "secret" not in text


def test_a_missing_metadata_directory_is_told_in_one_line(shop_url: str, tmp_path: Path) -> None:
    missing = str(tmp_path / "nothing")
    flags = [
        "--metadata",
        missing,
        "--database-url",
        shop_url,
        "--port",
        str(free_port()),
    ]
    assert refused(*flags) == f"engine: there is no metadata directory {missing}"


def test_a_database_is_needed(shop_directory: Path) -> None:
    text = refused("--metadata", str(shop_directory))
    assert text == "engine: no database: give --database-url or HASURA_GRAPHQL_DATABASE_URL"


def test_the_role_in_a_database_address_is_taken(shop_url: str, shop_directory: Path) -> None:
    """pg_monitor may read no table of the shop, but the catalog is for everybody."""
    url = f"{shop_url}?options=-c%20role%3Dpg_monitor"
    with harness.serve(url, shop_directory, {"HANDLER_URL": "http://127.0.0.1:1"}) as served:
        answer = served.graphql("{ owner { id } }")
        (error,) = answer["errors"]
    assert error["extensions"]["internal"]["error"]["status_code"] == "42501"
