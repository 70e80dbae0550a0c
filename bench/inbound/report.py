"""What was found: the table, the bars, and the file for machines."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median, quantiles
from typing import Any

from race.report import Bar

from inbound.checkout import Checkouts
from inbound.rounds import CLIENTS, Rounds

# An order paid is what the service by hand books as well; credits are a second booking, and a lot.
OURS, CREDITS, WITH_RECEIPTS = "munim", "munim, credits", "munim, receipts too"
HANDMADE, DJSTRIPE, WITHOUT_FETCH = "by hand", "dj-stripe", "dj-stripe, no fetch"


@dataclass(frozen=True, slots=True)
class Found:
    """All that one run has measured, and where."""

    rounds: Rounds
    checkouts: Checkouts
    about: dict[str, Any]


def bars(found: Found) -> Iterator[Bar]:
    rounds = found.rounds
    for clients in CLIENTS:
        where = f"webhooks, {clients} clients"
        over_peer = rounds.ratios(OURS, DJSTRIPE, clients)
        over_hand = rounds.ratios(OURS, HANDMADE, clients)
        late = _late(rounds, clients) if over_peer else None
        yield Bar(f"{where}: rate over dj-stripe", _middle(over_peer), 6, "x", at_least=True)
        yield Bar(f"{where}: rate over by hand", _middle(over_hand), 0.35, "x", at_least=True)
        yield Bar(f"{where}: p99 over dj-stripe's", late, 0.25, "x", at_least=False)
    checkouts = found.checkouts
    yield Bar("createPayment, p50", median(checkouts.taken_ms), 25, "ms", at_least=False)
    requests = checkouts.database_requests
    yield Bar("createPayment: database requests", requests, 3, "", at_least=False)


def _middle(ratios: Sequence[float]) -> float | None:
    return median(ratios) if ratios else None


def _late(rounds: Rounds, clients: int) -> float:
    ours, theirs = (rounds.percentile_ms(name, clients, 0.99) for name in (OURS, DJSTRIPE))
    return ours / theirs


def table(rounds: Rounds) -> Iterator[str]:
    """Yield the lines of the table for people: medians, and ratios with their ranges."""
    yield (
        f"{'service':<21}{'clients':>7}{'webhooks/s':>12}{'over dj-stripe':>21}{'over by hand':>19}"
        f"{'p50 ms':>9}{'p99 ms':>9}{'CPU ms':>8}{'then busy s':>13}"
    )
    for name in rounds.services:
        for clients in CLIENTS:
            yield (
                f"{name:<21}{clients:>7}{rounds.median(name, clients, 'rate'):>12.0f}"
                f"{_range(rounds.ratios(name, DJSTRIPE, clients)):>21}"
                f"{_range(rounds.ratios(name, HANDMADE, clients)):>19}"
                f"{rounds.percentile_ms(name, clients, 0.5):>9.1f}"
                f"{rounds.percentile_ms(name, clients, 0.99):>9.1f}"
                f"{rounds.median(name, clients, 'cpu_us') / 1000:>8.2f}"
                f"{rounds.median(name, clients, 'quiet_s'):>13.1f}"
            )


def _range(ratios: Sequence[float]) -> str:
    if not ratios:
        return "-"
    return f"{median(ratios):.2f} [{min(ratios):.2f}..{max(ratios):.2f}]"


def lines(found: Found) -> Iterator[str]:
    """Yield the whole report for people: machine, table, createPayment, bars."""
    rounds, checkouts = found.rounds, found.checkouts
    yield ", ".join(f"{name} {value}" for name, value in found.about.items())
    yield f"{rounds.rounds} rounds; medians, and ratios within a round with their range\n"
    yield from table(rounds)
    client = max(lap.client_cpu for laps in rounds.taken.values() for lap in laps)
    yield f"\nthe client took {client:.2f} of a core at most"
    p95 = quantiles(checkouts.taken_ms, n=20)[-1]
    yield (
        f"createPayment, 1 client: p50 {median(checkouts.taken_ms):.1f} ms, p95 {p95:.1f} ms;"
        f" the gateway's own answer {median(checkouts.gateway_ms):.2f} ms;"
        f" {checkouts.database_requests:g} database requests a call\n"
    )
    yield from map(str, bars(found))


def write(file: Path, found: Found) -> None:
    """Write everything that was measured, lap by lap."""
    laps = [
        {"service": name, "clients": clients, "laps": [asdict(lap) for lap in taken]}
        for (name, clients), taken in found.rounds.taken.items()
    ]
    value = {
        "about": found.about,
        "rounds": found.rounds.rounds,
        "bars": [{**asdict(bar), "verdict": bar.verdict} for bar in bars(found)],
        "create_payment": asdict(found.checkouts),
        "laps": laps,
    }
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(value, indent=1) + "\n")
