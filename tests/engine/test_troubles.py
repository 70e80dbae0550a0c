"""Trouble with Postgres: statements without end, no room for a connection, and a restart."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest
from engine import harness
from engine.conftest import create_shop
from engine.waiting import eventually
from engine.wire import initialised

from sandbox.engine import settings
from sandbox.postgres import Postgres

FAILING = 'mutation { fail_with(args: {p_state: "P0001", p_text: "x"}) { id } }'
MOVE = "mutation { move_money(args: {p_from: 1, p_to: 3, p_amount: 1}) { id } }"
TWO_MOVES = "mutation { a: move_money(args: {p_from: 1, p_to: 3, p_amount: 1}) { id } %s }"
TWO_MOVES %= TWO_MOVES[len("mutation { ") : -len(" %s }")].replace("a:", "b:", 1)
READ = "{ wallet(where: {id: {_in: [1, 3]}}) { balance_minor } }"
LIVE = "subscription { wallet_by_pk(id: 3) { balance_minor } }"
PLENTY = 1_000_000  # in the first wallet, so that it never runs out
BEFORE = PLENTY + 50  # in both of them
CUT = """select pg_terminate_backend(pid, 30000) from pg_stat_activity
  where pid <> pg_backend_pid() and datname = current_database()"""


# Whoever may see what is internal.


@pytest.fixture(scope="module")
def silent(shop_url: str, shop_directory: Path) -> Iterator[harness.Served]:
    """The engine over the shop, which shows nobody what is internal."""
    environ = {
        "HANDLER_URL": "http://127.0.0.1:1",
        "HASURA_GRAPHQL_ADMIN_INTERNAL_ERRORS": "false",
    }
    with harness.serve(shop_url, shop_directory, environ) as running:
        yield running


FAILURES = [
    ("/v1/graphql", {"query": FAILING}),
    ("/v2/query", {"type": "run_sql", "args": {"sql": "select nothing"}}),
    (
        "/v1/metadata",
        {
            "type": "replace_metadata",
            "args": {
                "version": 3,
                "sources": [
                    {
                        "name": "default",
                        "kind": "postgres",
                        "configuration": {},
                        "tables": [{"table": {"schema": "public", "name": "nowhere"}}],
                    }
                ],
            },
        },
    ),
]
failures = pytest.mark.parametrize(("path", "body"), FAILURES, ids=[path for path, _ in FAILURES])


@failures
def test_the_admin_is_shown_what_is_internal(
    served: harness.Served, path: str, body: dict[str, Any]
) -> None:
    assert '"internal"' in served.post(path, body).text


@failures
def test_the_admin_is_not_shown_it_where_the_setting_says_so(
    silent: harness.Served, path: str, body: dict[str, Any]
) -> None:
    answer = silent.post(path, body).text

    assert "error" in answer
    assert '"internal"' not in answer


# Statements without end.

SLOW = """
create function sleep(seconds integer) returns setof wallet language plpgsql volatile as $$
begin
  update wallet set balance_minor = balance_minor + 1 where id = 1;
  perform pg_sleep(seconds);
  return query select * from wallet where id = 1;
end;
$$;
"""


@pytest.mark.thorough
def test_a_statement_that_takes_too_long_is_ended_and_leaves_nothing(
    bare_postgres: Postgres, shop_metadata: dict[str, Any], tmp_path: Path
) -> None:
    url = create_shop(bare_postgres)
    document = deepcopy(shop_metadata)
    function = {"schema": "public", "name": "sleep"}
    document["sources"][0]["functions"].append({"function": function})
    directory = harness.write_metadata(document, tmp_path / "metadata")
    environ = {
        "HANDLER_URL": "http://127.0.0.1:1",
        "HASURA_GRAPHQL_STATEMENT_TIMEOUT_MS": "2000",
    }
    with psycopg.connect(url, autocommit=True) as rows:
        rows.execute(SLOW)
        with harness.serve(url, directory, environ) as engine:
            for query in (
                "mutation { sleep(args: {seconds: 600}) { id } }",
                TWO_MOVES.replace("b: move", "c: sleep(args: {seconds: 600}) { id } b: move"),
            ):
                (error,) = engine.graphql(query)["errors"]
                assert error["message"] == "database query error"
                assert error["extensions"]["code"] == "unexpected"
                assert error["extensions"]["internal"]["error"]["status_code"] == "57014"
            assert "data" in engine.graphql("mutation { sleep(args: {seconds: 0}) { id } }")
        found = rows.execute("select balance_minor from wallet where id = 1").fetchall()

    assert found == [(1001,)]


@pytest.mark.parametrize("name", ["STATEMENT_TIMEOUT_MS", "PG_CONNECTIONS", "BODY_LIMIT"])
@pytest.mark.parametrize("value", ["0", "-1"])
def test_a_limit_of_nothing_is_refused(name: str, value: str) -> None:
    """Postgres takes 0 for no limit at all, and the pool would have no connection."""
    with pytest.raises(settings.SettingsError, match=f"HASURA_GRAPHQL_{name} must be at least 1"):
        settings.read({f"HASURA_GRAPHQL_{name}": value}, {"database_url": "x", "metadata": "x"})


# No room for one more connection.


@contextmanager
def limited(server: Postgres) -> Iterator[tuple[str, psycopg.Connection[Any]]]:
    """A shop, reached as a role whose connections Postgres counts."""
    url = create_shop(server)
    with psycopg.connect(url, autocommit=True) as rows:
        owner = rows.execute("select current_user").fetchone()
        assert owner is not None
        rows.execute(f"create role guest login password 'guest' in role {owner[0]}")
        parts = urlsplit(url)
        address = f"guest:guest@{parts.hostname}:{parts.port}"
        try:
            yield urlunsplit(parts._replace(netloc=address)), rows
        finally:
            rows.execute("drop owned by guest cascade")
            rows.execute("drop role guest")


def test_no_room_for_a_connection_has_a_code_of_its_own(
    bare_postgres: Postgres, shop_directory: Path
) -> None:
    environ = {"HANDLER_URL": "http://127.0.0.1:1"}
    expected = {
        "message": "max connections reached",
        "extensions": {"path": "$", "code": "postgres-max-connections-error"},
    }
    with (
        limited(bare_postgres) as (url, rows),
        harness.serve(url, shop_directory, environ) as engine,
    ):
        assert "data" in engine.graphql(READ)
        rows.execute("alter role guest connection limit 0")
        rows.execute(CUT)
        for query in (READ, MOVE, TWO_MOVES):
            assert engine.graphql(query) == {"errors": [expected]}

        rows.execute("alter role guest connection limit -1")
        assert "data" in engine.graphql(READ)
        assert "data" in engine.graphql(TWO_MOVES)
        found = rows.execute("select balance_minor from wallet where id = 1").fetchall()
        assert found == [(998,)]


# A restart under load.


class Load:
    """People who read and move money all the time, and count what they were told."""

    def __init__(self, engine: harness.Served) -> None:
        self.engine = engine
        self.over = threading.Event()
        self.told: Counter[str] = Counter()  # moves that were answered, and those that were not
        self.codes: Counter[str] = Counter()
        self.wrong: list[Any] = []
        self.lock = threading.Lock()

    def move(self, query: str, moves: int) -> None:
        while not self.over.is_set():
            answer = self.engine.graphql(query)
            with self.lock:
                self.told["done" if "data" in answer else "unknown"] += moves
                self._note(answer)

    def read(self) -> None:
        while not self.over.is_set():
            answer = self.engine.graphql(READ)
            with self.lock:
                self._note(answer)
                rows = answer.get("data", {"wallet": [{"balance_minor": BEFORE}]})["wallet"]
                if sum(row["balance_minor"] for row in rows) != BEFORE:
                    self.wrong.append(answer)

    def _note(self, answer: dict[str, Any]) -> None:
        self.codes["data" if "data" in answer else "error"] += 1
        for error in answer.get("errors", []):
            if error["message"] not in ("connection error", "database query error"):
                self.wrong.append(error)

    @contextmanager
    def going(self) -> Iterator[None]:
        with ThreadPoolExecutor(6) as threads:
            running = [
                *(threads.submit(self.move, MOVE, 1) for _ in range(2)),
                *(threads.submit(self.move, TWO_MOVES, 2) for _ in range(2)),
                *(threads.submit(self.read) for _ in range(2)),
            ]
            try:
                yield
            finally:
                self.over.set()
        for task in running:
            task.result()

    def answered(self) -> int:
        with self.lock:
            return self.codes["data"]


async def last_heard(engine: harness.Served, wanted: list[int], ready: threading.Event) -> None:
    """Watch until the balance is the one that is wanted, through errors in between."""
    async with initialised(engine) as client:
        await client.run("1", LIVE)
        while True:
            message = await client.hear()
            assert message["type"] == "next", message
            ready.set()
            data = message["payload"].get("data")
            if wanted and data == {"wallet_by_pk": {"balance_minor": wanted[0]}}:
                return


@pytest.mark.thorough
def test_a_restart_under_load_loses_no_effect_and_makes_none_twice(
    tmp_path: Path, shop_directory: Path
) -> None:
    server = harness.started_on_a_port_of_its_own(tmp_path / "own")
    environ = {
        "HANDLER_URL": "http://127.0.0.1:1",
        "HASURA_GRAPHQL_LIVE_QUERIES_MULTIPLEXED_REFETCH_INTERVAL": "50",
    }
    wanted: list[int] = []
    ready = threading.Event()
    try:
        url = create_shop(server)
        with psycopg.connect(url) as rows:
            rows.execute("update wallet set balance_minor = %s where id = 1", [PLENTY])
        with harness.serve(url, shop_directory, environ) as engine, ThreadPoolExecutor(1) as side:
            watching = side.submit(lambda: asyncio.run(last_heard(engine, wanted, ready)))
            assert ready.wait(60)
            load = Load(engine)
            with load.going():
                for _ in range(3):
                    before = load.answered()
                    eventually(lambda before=before: load.answered() > before + 50)
                    server.stop()
                    server.start()
                before = load.answered()
                eventually(lambda: load.answered() > before + 50)
            with psycopg.connect(url, autocommit=True) as rows:
                moved = count(rows)
                balances = "select balance_minor from wallet where id in (1, 3) order by id"
                assert rows.execute(balances).fetchall() == [(PLENTY - moved,), (50 + moved,)]
                wanted.append(50 + moved + 1)
            assert "data" in engine.graphql(MOVE)
            watching.result(60)
    finally:
        server.destroy()

    assert load.wrong == []
    assert load.told["done"] <= moved <= load.told["done"] + load.told["unknown"]


def count(rows: psycopg.Connection[Any]) -> int:
    found = rows.execute("select count(*) from audit.log where what = 'move'").fetchone()
    assert found is not None
    return int(found[0])
