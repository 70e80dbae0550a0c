"""What was found: the table, the bars, and the file for machines."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from race.report import Bar

CLIENTS = (1, 8)
# Ours, the other, clients, what is asked for; None where no bar is set.
RATIOS: tuple[tuple[str, str, int, float | None], ...] = (
    *(("munim", "bare", clients, 0.85) for clients in CLIENTS),
    *(("munim", "pgledger", clients, 1.5) for clients in CLIENTS),
    *(("python", "hordak", clients, 4.5) for clients in CLIENTS),
    *(("hot", "munim", clients, 0.8) for clients in CLIENTS),
    ("batch", "munim", 1, 5.0),
)
NAMES = {
    "munim": "a posting",
    "bare": "the barest posting",
    "pgledger": "pgledger",
    "python": "a posting, from Python",
    "hordak": "django-hordak",
    "hot": "a posting, one shared account",
    "batch": "postings, 1,000 a call",
}


@dataclass(frozen=True, slots=True)
class Found:
    """Rates by racer and clients, one a round, and where."""

    rates: dict[tuple[str, int], list[float]]
    about: dict[str, Any]

    def ratios(self, ours: str, other: str, clients: int) -> list[float]:
        """Return one ratio a round."""
        pairs = zip(
            self.rates.get((ours, clients), []), self.rates.get((other, clients), []), strict=False
        )
        return [our / their for our, their in pairs]


def bars(found: Found) -> list[Bar]:
    listed = []
    for ours, other, clients, wanted in RATIOS:
        ratios = found.ratios(ours, other, clients)
        name = f"{NAMES[ours]} over {NAMES[other]}, {clients} client{'s' * (clients > 1)}"
        middle = median(ratios) if ratios else None
        listed.append(Bar(name, middle, wanted or 0, "x", at_least=True))
    return listed


def lines(found: Found) -> Iterator[str]:
    """Yield the whole report for people: machine, rates, ratios, bars."""
    yield ", ".join(f"{name} {value}" for name, value in found.about.items())
    rounds = max(map(len, found.rates.values()))
    yield f"{rounds} rounds; medians, with the lowest and the highest round\n"
    yield f"{'postings a second':<44}{'clients':>8}  median"
    for (name, clients), rates in found.rates.items():
        yield f"{NAMES[name]:<44}{clients:>8}  {_range(rates, 0)}"
    yield f"\n{'ratio within a round':<44}{'clients':>8}"
    for ours, other, clients, _ in RATIOS:
        if ratios := found.ratios(ours, other, clients):
            yield f"{NAMES[ours] + ' / ' + NAMES[other]:<44}{clients:>8}  {_range(ratios, 2)}"
    yield ""
    yield from map(str, bars(found))


def write(file: Path, found: Found) -> None:
    told = {
        "about": found.about,
        "rates": {f"{name}, {clients}": rates for (name, clients), rates in found.rates.items()},
        "bars": [{"name": b.name, "found": b.found, "verdict": b.verdict} for b in bars(found)],
    }
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(told, indent=1) + "\n")


def _range(values: Sequence[float], places: int) -> str:
    middle, low, high = (f"{f(values):,.{places}f}" for f in (median, min, max))
    return f"{middle} [{low}..{high}]"
