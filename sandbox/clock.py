"""`python -m sandbox clock`: show the sandbox's time, move it, and let happen what became due.

The skew is one number in the database; clock_now(), the service and the simulated gateways all add
it. Time moves back only where nothing is recorded after the moment it would move to: the ledger's
order, due dates and signatures all believe that it does not.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import httpx

from sandbox import running
from sandbox.journey import ANSWER_SECONDS_MAX, Journey, Story, set_clock_back, tell_simulator
from sandbox.queues import Queues
from sandbox.screen import Screen
from sandbox.world import SEEDS, WorldError

UNITS = {"w": "weeks", "d": "days", "h": "hours", "m": "minutes", "s": "seconds"}
DURATION = re.compile("".join(rf"(?:([0-9]{{1,6}}){unit})?" for unit in UNITS))
FARTHEST = timedelta(days=50 * 366)
PROGRESS_SECONDS = 1.0
CONNECT_SECONDS_MAX = 20.0
ADVISORY_LOCK = 6_310_417_240_281_133_202  # any number, but not the migrations' own

# What is written down as the time at which it was written: the columns that clock_now() fills.
RECORDED = """
select tables.oid::regclass::text as table_name, quote_ident(columns.attname) as column_name
from pg_attrdef
inner join pg_class as tables on tables.oid = pg_attrdef.adrelid
inner join pg_attribute as columns
    on columns.attrelid = tables.oid and columns.attnum = pg_attrdef.adnum
where tables.relnamespace = 'public'::regnamespace
    and pg_get_expr(pg_attrdef.adbin, pg_attrdef.adrelid) = 'clock_now()'
    and columns.attname not like 'next%' and tables.relname <> all ($1)
"""
LIVE = "select exists (select from customers where livemode)"
NOW = "select clock_now() as now, skew_seconds from clock"

Move = Callable[["Mover"], Awaitable[None]]


class Mover:
    """One command at work: its connection, its client, its screen."""

    def __init__(self, database: Any, web: httpx.AsyncClient, found: running.Running) -> None:
        self.database = database
        self.web = web
        self.ports = found.ports
        self.screen = Screen()
        self._said = time.monotonic()

    async def show(self) -> None:
        row = await self.database.fetchrow(NOW)
        self.screen.pair("sandbox", text_of(row["now"]))
        self.screen.pair("ahead by", length_of(row["skew_seconds"]))
        for queue in await Queues(self.database).due():
            coming = f"next {text_of(queue.coming)}" if queue.coming else "nothing to come"
            self.screen.pair("queue", f"{queue.table}: {queue.overdue} overdue, {coming}")

    async def advance(self, length: timedelta) -> None:
        now: datetime = await self.database.fetchval("select clock_now()")
        await self.go(now + length)

    async def go(self, target: datetime) -> None:
        """Travel forward with all that is due on the way, or back where nothing is recorded."""
        await self._hold()
        now: datetime = await self.database.fetchval("select clock_now()")
        if target < now:
            await self._back(target)
            return
        if target > now + FARTHEST:
            raise WorldError("50 years at once is as far as time goes")
        started = time.monotonic()
        story = await Journey(self.database, self.web, self.ports).go(target, self._progress)
        self.screen.say(
            f"it is {text_of(await self.database.fetchval('select clock_now()'))}: {story.stops}"
            f" stop{'s' if story.stops > 1 else ''}, {story.calls} calls of crons,"
            f" {time.monotonic() - started:.1f} s"
        )
        for cron, failure in story.failures.items():
            self.screen.say(f"  {cron} failed at last: {failure}")

    async def reset(self) -> None:
        await self._back(None)

    async def _back(self, target: datetime | None) -> None:
        """Go back to a moment, or to the world's time, which goes on while we look."""
        await self._hold()
        name, newest = await newest_row(self.database)
        if newest and newest > (target or datetime.now(UTC)):
            raise WorldError(
                f"{name} has a row of {text_of(newest)}, and time does not go below what is"
                " recorded: make reset empties the sandbox"
            )
        skew = round((target - datetime.now(UTC)).total_seconds()) if target else 0
        now = await set_clock_back(self.database, skew)
        await tell_simulator(self.database, self.web, self.ports)
        self.screen.say(f"it is {text_of(now)}")

    async def _hold(self) -> None:
        """Keep other movers out until this command ends."""
        if not await self.database.fetchval("select pg_try_advisory_lock($1)", ADVISORY_LOCK):
            raise WorldError("another command is moving the time")

    def _progress(self, now: datetime, story: Story) -> None:
        if time.monotonic() - self._said >= PROGRESS_SECONDS:
            self._said = time.monotonic()
            self.screen.say(f"  {text_of(now)}  {story.stops} stops, {story.calls} calls")


def run(options: argparse.Namespace) -> None:
    """Run a clock command against the sandbox that runs here."""
    refuse_live(os.environ)
    move: Move = options.move
    try:
        asyncio.run(do(running.find(options.state.absolute()), move))
    except KeyboardInterrupt:
        raise WorldError("stopped on the way: python -m sandbox clock says where") from None


async def newest_row(database: Any) -> tuple[str, datetime | None]:
    """Find the youngest row of all tables but those that the seeds fill."""
    seeds = "\n".join(path.read_text(encoding="utf-8") for path in SEEDS.glob("*.sql"))
    seeded = re.findall(r"insert into (\w+)", seeds)
    found = [
        (table, await database.fetchval(f"select max({column}) from {table}"))  # noqa: S608  # names from the catalogue
        for table, column in await database.fetch(RECORDED, seeded)
    ]
    return max(
        (pair for pair in found if pair[1]),
        key=lambda pair: pair[1],
        default=("nothing", None),
    )


async def do(found: running.Running, move: Move) -> None:
    """Make a move, with the time held for ourselves. Raises WorldError."""
    async with (
        _connected(found.database_url) as database,
        httpx.AsyncClient(trust_env=False, timeout=ANSWER_SECONDS_MAX) as web,
    ):
        await move(Mover(database, web, found))


@asynccontextmanager
async def _connected(url: str) -> AsyncIterator[Any]:
    try:
        database = await asyncpg.connect(url, timeout=CONNECT_SECONDS_MAX)
    except (OSError, asyncpg.PostgresError, TimeoutError) as failure:
        raise WorldError(
            f"the sandbox's database does not answer: is it up? ({failure})"
        ) from failure
    try:
        if await database.fetchval(LIVE):
            raise WorldError("this database has customers in live mode: its clock does not move")
        yield database
    finally:
        await database.close()


def refuse_live(environ: Mapping[str, str]) -> None:
    """Raise WorldError where the environment is live: there time is the world's."""
    if environ.get("MUNIM_ENV") == "live":
        raise WorldError("MUNIM_ENV is live, and live time does not move")


def length(text: str) -> timedelta:
    """Read a length of time such as 3d, 1w2d or 1h30m. Raises ArgumentTypeError."""
    parts = DURATION.fullmatch(text)
    if not text or parts is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no length of time; write 3d, 1w2d or 1h30m")
    named = zip(UNITS.values(), parts.groups(), strict=True)
    found = timedelta(**{unit: int(number) for unit, number in named if number})
    if found > FARTHEST:
        raise argparse.ArgumentTypeError(f"{text} is more than 50 years")
    return found


def moment(text: str) -> datetime:
    """Read a moment such as 2027-01-31T10:00Z. Raises ArgumentTypeError."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no time; write 2027-01-31T10:00Z") from None
    if found.tzinfo is None:
        raise argparse.ArgumentTypeError(f"{text!r} names no zone; Z at its end is UTC")
    return found


def text_of(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def length_of(seconds: int) -> str:
    return str(timedelta(seconds=seconds)) if seconds >= 0 else f"-{timedelta(seconds=-seconds)}"


def add_commands(commands: Any) -> None:
    """Add `clock` and what follows it to the command line."""
    parser = commands.add_parser("clock", help="show the sandbox's time, or move it")
    parser.set_defaults(command=run, move=Mover.show)
    moves = parser.add_subparsers(title="moves", metavar="MOVE")
    forward = moves.add_parser("advance", help="go forward by 3d, 1w2d or 1h30m")
    forward.add_argument("length", type=length)
    forward.set_defaults(command=_with("length", Mover.advance))
    there = moves.add_parser("set", help="go to a moment such as 2027-01-31T10:00Z")
    there.add_argument("moment", type=moment)
    there.set_defaults(command=_with("moment", Mover.go))
    back = moves.add_parser(
        "reset", help="go back to the world's time, if nothing is recorded later"
    )
    back.set_defaults(command=run, move=Mover.reset)


def _with(argument: str, move: Callable[[Mover, Any], Awaitable[None]]) -> Callable[[Any], None]:
    def command(options: argparse.Namespace) -> None:
        options.move = lambda mover: move(mover, getattr(options, argument))
        run(options)

    return command
