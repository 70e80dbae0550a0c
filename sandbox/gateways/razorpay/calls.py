"""What an operation of the API is, and what it is handed."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sandbox.gateways.server.state import Document


@dataclass(frozen=True, slots=True)
class Call:
    """One request, already authenticated: the query of a GET, the JSON of anything else."""

    path: dict[str, str]
    params: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Operation:
    """One method of one path. `name` is what faults are addressed to."""

    method: str
    path: str
    name: str
    run: Callable[[Call], Document]
    key_header: str | None = None  # of idempotency, where the operation has it
    moves_money: bool = False  # of the payment that the path names, one operation at a time
