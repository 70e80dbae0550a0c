"""Whole examples: a world, and requests that its roles send one after the other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

from .building import worlds
from .choices import Draw
from .documents import Field, Request, Selection, Writer
from .neighbours import neighbour
from .reading import Reader
from .worlds import World
from .writing import Changer

ASKING = ("admin", "user", "user", "user", "admin", "user", "user", "user")


@dataclass(frozen=True, slots=True)
class Asked:
    """One request of a role, and its root fields."""

    role: str
    request: Request
    fields: list[Field]


class Case:
    """A world and what is asked of it."""

    def __init__(self, world: World, requests: list[Asked]) -> None:
        self.world = world
        self.requests = requests

    def __repr__(self) -> str:
        return "<told above>"


def told(what: Any, asked: Asked, world: World) -> str:
    """Tell a failure so that it can be read and played again."""
    grants = [f"grants of {key}: {grants}" for key, grants in world.grants.items()]
    return "\n".join(
        [
            str(what),
            f"role {asked.role}: {asked.request.query}",
            f"variables: {asked.request.variables}",
            *(f"table {name}: {table}" for name, table in world.tables.items()),
            *(f"rows of {name}: {rows}" for name, rows in world.rows.items()),
            *(text for text in grants if "'user'," in text),
            f"session: {world.session}",
        ]
    )


@st.composite
def queries(draw: Draw) -> Case:
    world = draw(worlds())
    return Case(world, [asked for role in ASKING for asked in _query(draw, world, role)])


@st.composite
def mutations(draw: Draw) -> Case:
    world = draw(worlds())
    return Case(world, [asked for role in ASKING for asked in _mutation(draw, world, role)])


@st.composite
def near_misses(draw: Draw) -> Case:
    """Draw good requests, and three faulty ones like each of them."""
    world = draw(worlds())
    good = [
        asked
        for role in ("admin", "user")
        for strategy in (_query, _mutation)
        for asked in strategy(draw, world, role)
    ]
    bad = [
        Asked(asked.role, neighbour(draw, asked.request), asked.fields)
        for asked in good
        for _ in range(3)
    ]
    return Case(world, bad)


def _query(draw: Draw, world: World, role: str) -> list[Asked]:
    reader = Reader(draw, world, role)
    if not reader.readable():
        return []
    return [_asked(draw, role, "query", [reader.root() for _ in range(_roots(draw))])]


def _mutation(draw: Draw, world: World, role: str) -> list[Asked]:
    changer = Changer(draw, world, role)
    if not changer.able():
        return []
    return [_asked(draw, role, "mutation", [changer.root() for _ in range(_roots(draw))])]


def _roots(draw: Draw) -> int:
    found: int = draw(st.sampled_from([1, 1, 2]))
    return found


def _asked(draw: Draw, role: str, kind: str, fields: list[Field]) -> Asked:
    for at, field in enumerate(fields):
        field.alias = f"root{at}"
    flips = draw(st.lists(st.booleans(), max_size=7))
    request = Writer(flips).request(kind, Selection(f"{kind}_root", fields))
    return Asked(role, request, fields)
