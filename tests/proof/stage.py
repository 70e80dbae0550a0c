"""The stage: real Postgres, engine and simulator, with the service in this process at its doors.

Nothing here happens by itself. Whoever would call the service in the world outside (a client, the
gateway's webhooks, Hasura's event and cron triggers) is played by the test, one call at a time, so
that a case is the same each time it is run, and a call that kills the service is heard at once.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import history
import httpx
import lock_order
import psycopg
import yaml
from books import broken_invariants
from journal import Journal
from proof import couriers
from proof.seam import Kind, Seam
from psycopg.rows import dict_row

import app
from app import create_app, endpoints, gateways
from sandbox import migrations, seeds, supervisor, tokens, world
from sandbox.gateways.server.deliveries import Delivery
from sandbox.postgres import Postgres
from sandbox.processes import Process
from sandbox.world import Ports

WELL_SECONDS_MAX = 90.0
THE_TEST = "the_test"  # in the journal: not a request of the service's
EVENT_TRIGGERS = (
    world.METADATA / "databases" / "default" / "tables" / "public_receipt_requests.yaml"
)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a door answered."""

    status: int
    body: Any
    text: str = ""  # of a page

    @property
    def is_yes(self) -> bool:
        return 200 <= self.status < 300


class Stage:
    """One world for many cases. Each case sees only what is its own; `empty` starts anew."""

    def __init__(self, ports: Ports, postgres: Postgres, state: Path) -> None:
        self.ports = ports
        self.state = state
        self.database_url = postgres.url
        # With one asker: the calls of a case come in the same order each time.
        quiet = {"LOG_LEVEL": "critical", "GATEWAY_ASKERS": "1"}
        self.environment = world.app_environment(ports) | quiet
        self.database = psycopg.connect(postgres.url, autocommit=True, row_factory=dict_row)
        gateway_books = f"file:{state / 'gateways' / 'gateways.sqlite3'}?mode=ro"
        self.gateway_books = sqlite3.connect(gateway_books, WELL_SECONDS_MAX, uri=True)
        self.bags = couriers.Bags(self.gateway_books, state / "signing")
        self.gateway = gateways.finder(self.environment)  # only to read what was delivered
        self.web = httpx.Client(timeout=WELL_SECONDS_MAX, trust_env=False)
        self.seam = Seam(self.is_committed)
        self.skew = 0
        self.crons = sorted(one.name for one in endpoints.discover(app) if one.door == "cron")
        triggers = yaml.safe_load(EVENT_TRIGGERS.read_text())["event_triggers"]
        self.event_triggers = [trigger["name"] for trigger in triggers]
        self._intents = self._tables_of_intents()
        self._keep_beginning()
        history.keep(self.database)
        self.journal = Journal(postgres.url)
        self.control("faults", **couriers.HELD)
        self.restart()

    def close(self) -> None:
        self.web.close()
        self.bags.close()
        self.gateway_books.close()
        self.database.close()

    # The service and its doors.

    def restart(self) -> None:
        """Start the service anew, as after its death: nothing that it remembered is left."""
        self.service = create_app(self.environment).test_client()

    def call(self, method: str, path: str, **request: Any) -> Answer:
        """Call a door. Raises Crash when the service dies inside."""
        self.seam.enter(f"{method} {path} {uuid4()}")
        answer = self.service.open(path, method=method, **request)
        return Answer(
            answer.status_code, answer.get_json(silent=True), answer.get_data(as_text=True)
        )

    def action(
        self, name: str, user: tokens.User, role: str | None = None, **asked: object
    ) -> Answer:
        """Call an action's door as Hasura does for a person, in their first role or another."""
        known = {
            "user": user.id,
            "organization": user.organization_id,
            "customer": user.customer_id,
        }
        session = {f"x-hasura-{name}-id": text for name, text in known.items() if text}
        session["x-hasura-role"] = role or user.roles[0]
        return self.call(
            "POST",
            "/" + name.replace("_", "-"),
            json={"action": {"name": name}, "input": asked, "session_variables": session},
            headers={"ACTION-SECRET": world.ACTION_SECRET},
        )

    def rest(self, method: str, path: str, **asked: Any) -> Answer:
        """Call a plain HTTP door with the service's secret."""
        headers = {"ACTION-SECRET": world.ACTION_SECRET, **asked.pop("headers", {})}
        return self.call(method, path, headers=headers, **asked)

    def webhook(self, delivery: Delivery) -> tuple[Answer, str | None]:
        """Deliver a gateway's message, signed now. Answers the id, too, by which it is kept."""
        now = int(time.time()) + self.skew
        signed, name = self.bags.sign(delivery, now), delivery.parcel.gateway
        answer = self.call("POST", f"/{name}-webhook", data=signed.body, headers=signed.headers)
        headers = {header.lower(): text for header, text in signed.headers.items()}
        notice = self.gateway(name).read(
            gateways.Delivery(headers, signed.body), datetime.fromtimestamp(now, UTC)
        )
        return answer, notice.event_id if notice.is_signed else None

    def event(self, trigger: str, row: Mapping[str, Any]) -> Answer:
        """Deliver a row of the outbox to the door of one event trigger."""
        body = {
            "id": row["payment_attempt_id"],
            "event": {"op": "INSERT", "data": {"old": None, "new": row}},
        }
        return self.rest("POST", f"/events/{trigger}", json=body)

    def tick(self, cron: str) -> Answer:
        return self.rest("POST", f"/crons/{cron}", json={"name": cron, "payload": {}})

    # The world around it.

    def pay(self, session_id: str, card: str = "4242424242424242") -> None:
        """Pay an open page, as a person would."""
        self.control(f"stripe/sessions/{session_id}/pay", card=card)

    def control(self, path: str, **said: object) -> None:
        answer = self.try_control(path, said)
        assert answer.is_success, answer.text

    def try_control(self, path: str, said: Mapping[str, object]) -> httpx.Response:
        """Make a control call of the simulators', which may answer that a payer was declined."""
        return self.web.post(f"{self.ports.gateways_url}/_sandbox/{path}", json=said)

    def advance(self, seconds: int) -> None:
        """Let time go by, for the database, the service and the gateways."""
        self.skew += seconds
        self.database.execute("update clock set skew_seconds = %s", [self.skew])
        self.control("clock", skew_seconds=self.skew)

    # What can be read.

    def sql(self, query: str, *values: object, **named: object) -> list[dict[str, Any]]:
        return self.database.execute(query, values or named or None).fetchall()

    def broken_invariants(self) -> dict[str, Any]:
        return broken_invariants(self.database)

    def broken_order(self) -> list[str]:
        """Name each lock that was taken out of order since this was last asked."""
        requests = [
            one for one in self.journal.read() if THE_TEST not in one.calls and one.is_alone
        ]
        return sorted({*lock_order.breaches(requests)})

    def gateway_position(self) -> int:
        (found,) = self.gateway_books.execute("select max(position) from objects").fetchone()
        return int(found or 0)

    def gateway_objects(
        self, kind: str, after: int, gateway: str = "stripe"
    ) -> Iterator[dict[str, Any]]:
        """Read a gateway's own books, oldest first."""
        rows = self.gateway_books.execute(
            "select body from objects where gateway = ? and kind glob ? and position > ?"
            " order by position",
            (gateway, kind, after),
        ).fetchall()
        for (body,) in rows:
            yield {k: v for k, v in json.loads(body).items() if k[0] != "_"}

    def is_committed(self, row_id: str) -> bool:
        """Whether any table holds a committed row of this id."""
        return bool(
            self.sql(f"select exists ({self._intents}) as it", *[row_id] * self._count)[0]["it"]
        )

    def is_kept(self, event_id: str) -> bool:
        """Whether the inbox holds a message, committed."""
        return bool(self.sql("select from gateway_events where event_id = %s", event_id))

    def empty(self) -> None:
        """Put every table back to how it was after the seeds."""
        with self.database.transaction():
            self.database.execute(f"select pg_logical_emit_message(true, 'call {THE_TEST}', '')")
            self.database.execute("set local session_replication_role = replica")
            self.database.execute(self._emptying)
            self.database.execute("update clock set skew_seconds = %s", [self.skew])
            history.forget(self.database)

    def _keep_beginning(self) -> None:
        columns = self.sql(
            "select table_name, string_agg(quote_ident(column_name), ', ') as names"
            " from information_schema.columns join information_schema.tables"
            " using (table_schema, table_name)"
            " where table_schema = 'public' and table_type = 'BASE TABLE'"
            " and is_generated = 'NEVER' group by table_name"
        )
        tables = {row["table_name"]: row["names"] for row in columns}
        self.database.execute("create schema beginning")
        for table in tables:
            self.database.execute(f"create table beginning.{table} as table public.{table}")
        # Deleted, not truncated: of a few rows that is much faster.
        self._emptying = "; ".join(
            f"delete from {table}; insert into {table} ({names}) overriding system value"
            f" select {names} from beginning.{table}"
            for table, names in tables.items()
        )

    def _tables_of_intents(self) -> str:
        rows = self.sql(
            "select table_name from information_schema.columns where table_schema = 'public'"
            " and column_name = 'id' and data_type = 'uuid' and table_name in"
            " (select table_name from information_schema.tables where table_type = 'BASE TABLE')"
        )
        self._count = len(rows)
        return " union all ".join(
            f"select from {row['table_name']} where id::text = %s" for row in rows
        )


@contextmanager
def open_stage(directory: Path, ports: Ports) -> Iterator[Stage]:
    """Start the world and take it down again."""
    with Postgres(directory / "postgres", fsync=False) as postgres:
        migrations.apply(postgres.url, world.MIGRATIONS, report=lambda _: None)
        seeds.apply(postgres.url, world.SEEDS)
        processes = [
            Process(supervisor.engine_service(ports, postgres.url), directory),
            Process(supervisor.gateways_service(ports, directory), directory),
        ]
        try:
            for process in processes:
                process.start()
            for process in processes:
                process.wait_until_well(WELL_SECONDS_MAX)
            stage = Stage(ports, postgres, directory)
            try:
                yield stage
            finally:
                stage.close()
        finally:
            for process in processes:
                process.stop()
    postgres.destroy()


__all__ = ["Answer", "Kind", "Stage", "open_stage"]
