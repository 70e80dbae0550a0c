"""The engine under test in a thread of its own, and the action handler it calls."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
import yaml
from ports import free_port

from sandbox.engine import settings
from sandbox.engine.engine import Engine
from sandbox.engine.transport import connection, http
from sandbox.postgres import Postgres

SHOP = Path(__file__).parent / "shop"
ATLAS = Path(__file__).parent / "atlas"
SECRET = "an admin secret"
ENVIRONMENT = {
    "HASURA_GRAPHQL_ADMIN_SECRET": SECRET,
    "ACTION_SECRET": "for handlers",
    # A machine that stands still for some seconds makes no client a silent one.
    "HASURA_GRAPHQL_WEBSOCKET_CONNECTION_INIT_TIMEOUT": "600",
}


def write_metadata(document: dict[str, Any], directory: Path) -> Path:
    """Write an exported document as a metadata directory, everything inline but the SDL."""
    (directory / "databases").mkdir(parents=True)
    files = {
        "version.yaml": {"version": 3},
        "databases/databases.yaml": document["sources"],
        "inherited_roles.yaml": document.get("inherited_roles", []),
        "graphql_schema_introspection.yaml": document.get("graphql_schema_introspection", {}),
        "actions.yaml": _actions(document),
    }
    for name, value in files.items():
        (directory / name).write_text(yaml.safe_dump(value, sort_keys=False))
    (directory / "actions.graphql").write_text(_sdl(document))
    return directory


def _actions(document: dict[str, Any]) -> dict[str, Any]:
    """Return what the CLI keeps in actions.yaml: everything but arguments and fields."""
    custom = document.get("custom_types", {})
    actions = []
    for action in document.get("actions", []):
        told = ("type", "arguments", "output_type")
        kept = {key: value for key, value in action["definition"].items() if key not in told}
        actions.append({**action, "definition": kept})
    types = {
        kind: [
            {key: item[key] for key in ("name", "description", "relationships") if key in item}
            for item in custom.get(kind, [])
        ]
        for kind in ("input_objects", "objects", "enums", "scalars")
    }
    return {"actions": actions, "custom_types": types}


def _sdl(document: dict[str, Any]) -> str:
    lines = []
    for action in document.get("actions", []):
        definition = action["definition"]
        given = ", ".join(f"{item['name']}: {item['type']}" for item in definition["arguments"])
        root = definition["type"].title()
        lines.append(f"type {root} {{ {action['name']}({given}): {definition['output_type']} }}")
    custom = document.get("custom_types", {})
    for kind, word in (("input_objects", "input"), ("objects", "type")):
        for item in custom.get(kind, []):
            fields = " ".join(f"{entry['name']}: {entry['type']}" for entry in item["fields"])
            lines.append(f"{word} {item['name']} {{ {fields} }}")
    for item in custom.get("enums", []):
        values = " ".join(entry["value"] for entry in item["values"])
        lines.append(f"enum {item['name']} {{ {values} }}")
    return "\n".join(lines)


def started_on_a_port_of_its_own(directory: Path) -> Postgres:
    """Start a server that can be started again where it was."""
    return Postgres(directory, port=free_port(), fsync=False).start()


@dataclass
class Served:
    """A running engine. Requests speak as the admin unless headers say otherwise."""

    url: str
    engine: Engine
    loop: asyncio.AbstractEventLoop
    client: httpx.Client

    def post(
        self, path: str, body: Any, headers: Mapping[str, str] | None = None
    ) -> httpx.Response:
        sent = {"x-hasura-admin-secret": SECRET} if headers is None else dict(headers)
        return self.client.post(f"{self.url}{path}", json=body, headers=sent)

    def graphql(
        self, query: str, variables: dict[str, Any] | None = None, **session: str
    ) -> dict[str, Any]:
        """Ask as the admin, or with `role` and other session variables as that role."""
        headers = {"x-hasura-admin-secret": SECRET}
        for name, value in session.items():
            headers["x-hasura-" + name.replace("_", "-")] = value
        answer = self.post("/v1/graphql", {"query": query, "variables": variables}, headers)
        return dict(answer.json())

    def run(self, awaitable: Any) -> Any:
        """Run a coroutine in the engine's loop."""
        return asyncio.run_coroutine_threadsafe(awaitable, self.loop).result(60)


@contextmanager
def serve(url: str, metadata: Path, environ: Mapping[str, str]) -> Iterator[Served]:
    """Serve a metadata directory over a database until the block ends."""
    chosen = settings.read(
        {**ENVIRONMENT, **environ}, {"database_url": url, "metadata": str(metadata)}
    )
    engine, loop = Engine(chosen), asyncio.new_event_loop()
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    config = uvicorn.Config(
        http.create(engine),
        http=connection.Protocol,
        log_level="error",
        access_log=False,
        lifespan="off",
    )
    web = uvicorn.Server(config)
    started = threading.Event()
    failures: list[BaseException] = []

    async def main() -> None:
        try:
            await engine.open(listening=True)
            started.set()
            await web.serve(sockets=[listener])
        finally:
            await engine.close()

    def thread() -> None:
        asyncio.set_event_loop(loop)
        try:
            loop.run_until_complete(main())
        except BaseException as failure:  # noqa: BLE001 -- told to the test that waits
            failures.append(failure)
        finally:
            started.set()
            loop.run_until_complete(loop.shutdown_asyncgens())
            loop.run_until_complete(loop.shutdown_default_executor())
            loop.close()

    worker = threading.Thread(target=thread)
    worker.start()
    try:
        assert started.wait(60)
        if failures:
            raise failures[0]
        with httpx.Client(timeout=60) as client:
            port = listener.getsockname()[1]
            yield Served(f"http://127.0.0.1:{port}", engine, loop, client)
    finally:
        web.should_exit = True
        worker.join(30)
        listener.close()
        if worker.is_alive():
            pytest.fail(f"the engine does not close: {_what_waits(loop)}")


def _what_waits(loop: asyncio.AbstractEventLoop) -> list[str]:
    return [str(frame) for task in asyncio.all_tasks(loop) for frame in task.get_stack()]


@dataclass
class Handler:
    """An action handler that answers what the input's `answer` says, and keeps what it got."""

    url: str = ""
    calls: list[dict[str, Any]] = field(default_factory=list)
    answers: threading.Event = field(default_factory=threading.Event)  # those that are held

    @contextmanager
    def holding(self) -> Iterator[None]:
        """Answer no call whose answer is `held` before `answers` is set, or the block ends."""
        self.answers.clear()
        try:
            yield
        finally:
            self.answers.set()

    @property
    def last(self) -> dict[str, Any]:
        return self.calls[-1]


@contextmanager
def handler() -> Iterator[Handler]:
    """Serve action handlers until the block ends.

    The action's input may hold `answer: {status, body, text, headers, sleep, held}`; without it
    the body is a good top-up, or for /quote two prices.
    """
    kept = Handler()

    class Endpoint(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            headers = {name.lower(): value for name, value in self.headers.items()}
            kept.calls.append({"path": self.path, "body": body, "headers": headers})
            given = body["input"].get("input", {}).get("answer") or {}
            content = given.get("text")
            if content is None:
                default = _default(self.path, body)
                content = json.dumps(given.get("body", default) if "body" in given else default)
            if given.get("sleep"):
                threading.Event().wait(given["sleep"])
            if given.get("held"):
                kept.answers.wait(60)
            self.send_response(given.get("status", 200))
            for name, value in given.get("headers", {}).items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content.encode())))
            self.end_headers()
            with suppress(ConnectionError):  # the engine may have given up
                self.wfile.write(content.encode())

        def log_message(self, *_args: object) -> None:
            pass

    web = ThreadingHTTPServer(("127.0.0.1", 0), Endpoint)
    kept.url = f"http://127.0.0.1:{web.server_port}"
    worker = threading.Thread(target=web.serve_forever, args=(0.05,))
    worker.start()
    try:
        yield kept
    finally:
        web.shutdown()
        worker.join()
        web.server_close()


def _default(path: str, body: dict[str, Any]) -> Any:
    if path == "/quote":
        return [{"price": 1.5, "speed": "FAST"}, {"price": 2, "speed": None}]
    return {"payment_id": "p1", "wallet_id": body["input"]["input"]["wallet_id"], "raw": {"n": 1}}
