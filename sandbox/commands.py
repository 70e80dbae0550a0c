"""The sandbox's commands: run it, empty it, move its time, prove a ledger, print a token."""

import argparse
import asyncio
import os
import shutil
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import asyncpg

from sandbox import chain, clock, fault_commands, schema, tokens, world
from sandbox.database import DatabaseError
from sandbox.demo import DemoError
from sandbox.migrations import MigrationError
from sandbox.postgres import Postgres, PostgresError
from sandbox.processes import ProcessError
from sandbox.screen import Screen
from sandbox.seeds import SeedError
from sandbox.supervisor import SERVICES, Plan, Supervisor, alone
from sandbox.world import Ports, WorldError

EXAMPLES = """examples:
  python -m sandbox                        run everything, and play one payment
  python -m sandbox --no-demo              run everything
  python -m sandbox --without app          run the rest, to serve the app another way
  HASURA_PORT=8081 python -m sandbox       with GraphQL at another port
  DATABASE_URL=postgresql://... python -m sandbox    on a Postgres of yours
  python -m sandbox token --role finance   print a token
  python -m sandbox clock advance 3d       let three days go by, with all that is due in them
  python -m sandbox faults set stripe lost_answer     have a gateway's next answer get lost
  python -m sandbox verify-ledger --database-url postgresql://...    prove the hash chain
  python -m sandbox reset                  delete all data
"""

# All that is foreseen. Each says itself in one line, and anything else is a bug with its traceback.
FORESEEN = (
    WorldError,
    ProcessError,
    DatabaseError,
    PostgresError,
    MigrationError,
    SeedError,
    DemoError,
    asyncpg.PostgresError,
    OSError,
)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command. What is foreseen to go wrong ends in one line and exit code 1."""
    options = _parser().parse_args(arguments)
    try:
        options.command(options)
    except FORESEEN as failure:
        sys.exit(f"munim: {failure}")


def run(options: argparse.Namespace) -> None:
    ports = world.ports(os.environ)
    given = {"hasura": options.hasura_port, "app": options.app_port}
    given["gateways"] = options.gateways_port
    ports = replace(ports, **{name: port for name, port in given.items() if port is not None})
    _refuse_twins(ports)
    plan = Plan(
        ports=ports,
        database_url=os.environ.get("DATABASE_URL") or None,
        without=frozenset(options.without),
        demo=options.demo,
        state=options.state.absolute(),
    )
    Supervisor(plan, Screen()).run()


def reset(options: argparse.Namespace) -> None:
    """Delete what the sandbox keeps. A database of the caller's own is not ours to empty."""
    state = options.state.absolute()
    if state.exists():
        with alone(state):
            Postgres(state / "postgres").destroy()
            shutil.rmtree(state)
    print(f"emptied {state}")
    if os.environ.get("DATABASE_URL"):
        raise WorldError("the database of DATABASE_URL is yours, and was left as it is")


def token(options: argparse.Namespace) -> None:
    user = tokens.find(options.user, options.role)
    if user is None:
        raise WorldError(
            "no such user: " + ", ".join(f"{u.name} ({u.roles[0]})" for u in tokens.USERS)
        )
    print(tokens.token(user, options.role))


def print_schema(_options: argparse.Namespace) -> None:
    print(schema.dump(world.MIGRATIONS), end="")


def verify_ledger(options: argparse.Namespace) -> None:
    """Print what the chain covers and its newest hash; a broken chain ends in exit code 1."""
    if not options.database_url:
        raise WorldError("say which ledger: --database-url or DATABASE_URL")

    def progress(read: int) -> None:
        print(f"{read} transactions read", file=sys.stderr)

    found = asyncio.run(chain.verify(options.database_url, options.known, progress))
    print(f"{found.blocks} blocks, {found.transactions} transactions, {found.unsealed} unsealed")
    print(f"head {found.head.hex()}")
    for fault in found.broken:
        print(fault)
    if found.broken:
        raise WorldError(f"the ledger's chain is broken in {len(found.broken)} places")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m sandbox",
        description="Munim on this machine: Postgres, GraphQL, the app and the gateways.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(command=run)
    parser.add_argument("--no-demo", dest="demo", action="store_false", help="play no payment")
    parser.add_argument(
        "--without",
        action="append",
        default=[],
        choices=SERVICES,
        help="leave a part out, to run it another way; no payment is played then",
    )
    for name in ("hasura", "app", "gateways"):
        parser.add_argument(
            f"--{name}-port", type=_port, metavar="PORT", help=f"or {name.upper()}_PORT"
        )
    parser.add_argument(
        "--state", type=Path, default=world.STATE, metavar="DIR", help="for data and logs"
    )
    commands = parser.add_subparsers(title="other commands", metavar="COMMAND")
    commands.add_parser("reset", help="delete all data").set_defaults(command=reset)
    shown = commands.add_parser("schema", help="print the schema that the migrations make")
    shown.set_defaults(command=print_schema)
    _add_token(commands)
    clock.add_commands(commands)
    fault_commands.add_commands(commands)
    checked = commands.add_parser("verify-ledger", help="prove the ledger's hash chain")
    checked.add_argument("--database-url", default=os.environ.get("DATABASE_URL"))
    checked.add_argument(
        "--known",
        type=_hash,
        metavar="HEX",
        help="a head printed earlier, which the chain must still contain",
    )
    checked.set_defaults(command=verify_ledger)
    return parser


def _add_token(commands: Any) -> None:
    people = "\n".join(f"  {user.name:8}{user.about}" for user in tokens.USERS)
    made = commands.add_parser(
        "token",
        help="print a token of a seeded user",
        epilog=f"users:\n{people}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("--user", choices=[user.name for user in tokens.USERS])
    made.add_argument("--role", choices=sorted({role for u in tokens.USERS for role in u.roles}))
    made.set_defaults(command=token)


def _hash(text: str) -> bytes:
    try:
        value = bytes.fromhex(text)
    except ValueError:
        value = b""
    if len(value) != 32:
        raise argparse.ArgumentTypeError("a hash is 64 hexadecimal digits")
    return value


def _port(text: str) -> int:
    if not world.is_port(text):
        raise argparse.ArgumentTypeError(f"{text} is not a port")
    return int(text)


def _refuse_twins(ports: Ports) -> None:
    chosen = (ports.hasura, ports.app, ports.gateways)
    if len(set(chosen)) < len(chosen):
        raise WorldError("GraphQL, the app and the gateways need three different ports")
