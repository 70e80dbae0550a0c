"""What an operation of the API is, and what it is handed."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Call:
    """One request, already authenticated; numbers with a point are Decimal."""

    path: dict[str, str]
    body: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Operation:
    """One method of one path. `name` is what faults are addressed to."""

    method: str
    path: str
    name: str
    run: Callable[[Call], Any]
