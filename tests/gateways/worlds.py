"""Finds the gateways that have a world: `<gateway>_world.py` beside this file."""

from importlib import import_module
from pathlib import Path
from typing import Any

from gateways.world import Stage, World

SUFFIX = "_world"


def names() -> list[str]:
    return sorted(
        path.stem.removesuffix(SUFFIX) for path in Path(__file__).parent.glob(f"*{SUFFIX}.py")
    )


def options(name: str) -> tuple[str, ...]:
    """Give the command line of the server of simulators, as far as it is this gateway's."""
    found: tuple[str, ...] = _module(name).OPTIONS
    return found


def build(name: str, stage: Stage) -> World:
    world: World = _module(name).World(stage)
    return world


def _module(name: str) -> Any:
    return import_module(f"gateways.{name}{SUFFIX}")
