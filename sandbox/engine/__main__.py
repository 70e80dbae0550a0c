"""`python -m sandbox.engine`: serve metadata over a Postgres, print a schema, export metadata."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from importlib import import_module
from pathlib import Path
from types import FrameType
from typing import Any, cast

import asyncpg
import uvicorn

from . import settings
from .engine import Engine
from .metadata import MetadataError
from .schema.introspection import sdl
from .settings import Settings, SettingsError
from .transport import connection, export, http


def arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m sandbox.engine", description=__doc__)
    parser.add_argument("--metadata", help="metadata directory of a Hasura CLI project")
    parser.add_argument("--database-url", help="postgresql:// address")
    parser.add_argument("--port", type=int, help="port to listen on (8080)")
    parser.add_argument("--host", help="address to listen on (127.0.0.1)")
    parser.add_argument("--print-schema", metavar="ROLE", help="print the role's SDL and leave")
    parser.add_argument(
        "--export-metadata",
        metavar="DIR",
        help="write the metadata of the engine that runs at HASURA_GRAPHQL_ENDPOINT, or at --host "
        "and --port, as a directory, and leave",
    )
    return parser


async def serve(chosen: Settings) -> None:
    """Listen first, so that a taken port is told before anything is touched."""
    listener = _listen(chosen)
    engine = Engine(chosen)
    try:
        await engine.open(listening=True)

        @asynccontextmanager
        async def lifespan(_app: Any) -> AsyncIterator[None]:
            print(f"engine: http://{chosen.host}:{chosen.port}/v1/graphql", flush=True)
            yield

        config = uvicorn.Config(
            http.create(engine, lifespan),
            http=connection.Protocol,
            log_level="warning",
            access_log=False,
            server_header=False,
            date_header=False,
            proxy_headers=False,  # the engine does not look at who the client is
            timeout_graceful_shutdown=10,
            ws_max_size=chosen.body_limit,
            ws_per_message_deflate=False,  # as Hasura; it would cost a compression a watcher
        )
        await _until_told(_Server(config), listener)
    finally:
        listener.close()
        await engine.close()


class _Server(uvicorn.Server):
    """uvicorn raises a caught signal again, which would end the process before it has closed."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def _until_told(web: uvicorn.Server, listener: socket.socket) -> None:
    """Serve until SIGTERM or SIGINT, then finish the requests that are running."""

    def stop(_number: int, _frame: FrameType | None) -> None:
        web.should_exit = True

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    await web.serve(sockets=[listener])


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Take uvloop where it is installed."""
    try:
        uvloop = import_module("uvloop")
    except ImportError:
        return None
    return cast("Callable[[], asyncio.AbstractEventLoop]", uvloop.new_event_loop)


def _listen(chosen: Settings) -> socket.socket:
    listener = socket.socket(socket.AF_INET6 if ":" in chosen.host else socket.AF_INET)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((chosen.host, chosen.port))
    except OSError as error:
        listener.close()
        text = f"port {chosen.port} on {chosen.host} cannot be used: {error.strerror}"
        raise SettingsError(text) from error
    return listener


async def _print(chosen: Settings, role: str) -> None:
    engine = Engine(chosen)
    try:
        await engine.open(listening=False)
        print(sdl(engine.state.schema(role)))
    finally:
        await engine.close()


def _export(given: argparse.Namespace) -> None:
    """Only a running engine knows what calls have made of its metadata."""
    running = f"http://{given.host or '127.0.0.1'}:{given.port or 8080}"
    endpoint = os.environ.get("HASURA_GRAPHQL_ENDPOINT") or running
    secret = os.environ.get("HASURA_GRAPHQL_ADMIN_SECRET") or None
    export.export(endpoint, secret, Path(given.export_metadata))


def main() -> int:
    """Return the exit code; what cannot be started is told in one line."""
    given = arguments().parse_args()
    logging.basicConfig(level=logging.WARNING, format="engine: %(message)s")
    try:
        if given.export_metadata:
            _export(given)
            return 0
        chosen = settings.read(os.environ, vars(given))
        run = _print(chosen, given.print_schema) if given.print_schema else serve(chosen)
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            runner.run(run)
    except (SettingsError, MetadataError) as error:
        return _refuse(str(error))
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        return _refuse(f"the database cannot be reached: {error or type(error).__name__}")
    except ValueError as error:
        return _refuse(f"the database address cannot be used: {error}")
    except KeyboardInterrupt:
        return 130
    return 0


def _refuse(text: str) -> int:
    print("engine: " + " ".join(text.split()), file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
