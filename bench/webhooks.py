"""Webhooks from their signature to the books: ours, dj-stripe, and a service written by hand.

One Postgres with a database each, turn by turn; and createPayment from end to end. Prints a table,
one line for each bar of the goal, and writes .sandbox/bench/webhooks.json. Exit code 0: every bar
that was measured is met; 1: one is missed; 2: it could not be measured.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import LiteralString

from inbound import books, checkout, report, services
from inbound.report import (
    CREDITS,
    DJSTRIPE,
    HANDMADE,
    OURS,
    WITH_RECEIPTS,
    WITHOUT_FETCH,
    Found,
)
from inbound.rounds import Plan, Rounds
from inbound.services import INTENT_PAID, PAGE_PAID, WITH_EFFECT, Service
from race.report import machine
from race.servers import ROOT, Load, RaceError, Server

from sandbox.postgres import Postgres, PostgresError

RESULT = ROOT / ".sandbox" / "bench" / "webhooks.json"
PAID = "select count(*) from payment_intents where status = 'paid' and purpose = 'order'"
GRANTED = "select count(*) from credit_purchases where granted_at is not null"
ANOTHER_FIRST = 10_000_000  # two services over one database are sent different webhooks


@dataclass(frozen=True, slots=True)
class Size:
    """How much is measured. `prepared`: payments that wait for their webhook, for each of ours."""

    rounds: int
    lap_s: float
    seconds_max: float
    prepared: int
    checkouts: int


WHOLE = Size(rounds=7, lap_s=0.8, seconds_max=200, prepared=24_000, checkouts=200)
QUICK = Size(rounds=2, lap_s=0.3, seconds_max=20, prepared=6_000, checkouts=40)


def main() -> int:
    parser = argparse.ArgumentParser("bench/webhooks.py", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one minute: wider ranges")
    parser.add_argument("--output", type=Path, default=RESULT, help="the file for machines")
    parser.add_argument("--no-peer", action="store_true", help="leave dj-stripe out")
    parser.add_argument(
        "--receipts", action="store_true", help="also race the service that fetches its receipts"
    )
    given = parser.parse_args()
    size = QUICK if given.quick else WHOLE
    try:
        found = race(size, peer=not given.no_peer, receipts=given.receipts)
    except (RaceError, PostgresError, OSError) as error:
        print(f"bench: not measured: {error}", file=sys.stderr)
        return 2
    print("\n".join(report.lines(found)))
    report.write(given.output, found)
    print(f"\nevery lap is in {given.output}")
    return 1 if any(bar.verdict == "missed" for bar in report.bars(found)) else 0


def race(size: Size, *, peer: bool, receipts: bool) -> Found:
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        postgres = stack.enter_context(Postgres(directory / "postgres"))
        stack.callback(postgres.destroy)
        api = stack.enter_context(services.stripe_api())
        ours, product = _munim(stack, postgres.url, api, size.prepared)
        racing = [*(ours if receipts else ours[:2]), _by_hand(stack, postgres.url)]
        if peer:
            try:
                racing += _djstripe(stack, postgres.url, api)
            except RaceError as error:
                print(f"dj-stripe is left out: {error}")
        checkouts = checkout.measure(product, api, size.checkouts)
        rounds = _run(stack, racing, size)
    return Found(rounds, checkouts, {**machine(), "fsync": True})


def _run(stack: ExitStack, racing: list[Service], size: Size) -> Rounds:
    load = Load("inbound.load")
    stack.callback(load.close)
    rounds = Rounds(racing, load, size.prepared)
    rounds.warm_up()
    rounds.run(Plan(size.rounds, size.lap_s, time.monotonic() + size.seconds_max))
    rounds.check()
    return rounds


def _munim(
    stack: ExitStack, url: str, api: Server, prepared: int
) -> tuple[list[Service], services.Product]:
    """Start ours twice: the engine's own calls go elsewhere, or all come to the one app.

    Returns the services (the first product is sent two kinds of payments), and the second product.
    """
    apart = _product(stack, url, api, "apart")
    books.write_owed(apart.url, "order", 0, prepared)
    books.write_owed(apart.url, "credit_purchase", ANOTHER_FIRST, prepared)
    together = _product(stack, url, api, "together")
    books.write_owed(together.url, "order", 0, prepared)
    found = [
        apart.service(OURS, PAID),
        apart.service(CREDITS, GRANTED, ANOTHER_FIRST),
        together.service(WITH_RECEIPTS, PAID),
    ]
    return found, together.product


@dataclass(frozen=True, slots=True)
class Ours:
    """The product over a database of its own."""

    product: services.Product
    url: str

    def service(self, name: str, effects: LiteralString, first: int = 0) -> Service:
        running = (self.product.app, self.product.engine)
        told = (PAGE_PAID, WITH_EFFECT, self.url, effects, first)
        return Service(name, running, *told, queue=books.UNDELIVERED)


def _product(stack: ExitStack, url: str, api: Server, name: str) -> Ours:
    own = books.database(url, name)
    books.write_merchant(own)
    started = stack.enter_context(services.product(own, api.port, apart=name == "apart"))
    return Ours(started, own)


def _by_hand(stack: ExitStack, url: str) -> Service:
    own = books.database(url, "handmade")
    books.write_handmade(own)
    server = stack.enter_context(services.handmade(own))
    effects = "select count(*) from outbox"
    return Service(HANDMADE, (server,), PAGE_PAID, WITH_EFFECT, own, effects)


def _djstripe(stack: ExitStack, url: str, api: Server) -> list[Service]:
    own = books.database(url, "djstripe")
    services.prepare_djstripe(own, api.port)
    effects = "select count(*) from djstripe_paymentintent"
    found = []
    for name, fetch in ((DJSTRIPE, True), (WITHOUT_FETCH, False)):
        server = stack.enter_context(services.djstripe(own, api.port, fetch=fetch))
        first = 0 if fetch else ANOTHER_FIRST
        found.append(Service(name, (server,), INTENT_PAID, "", own, effects, first))
    return found


if __name__ == "__main__":
    sys.exit(main())
