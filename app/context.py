"""Everything a handler may touch is handed to it; nothing is reached for."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from app.batches import Batches
from app.config import Settings
from app.gateways import Gateway
from app.graphql import Hasura
from app.pauses import Pauses
from app.refusals import Refusals


@dataclass(frozen=True, slots=True)
class Context:
    """What one request may touch. `hasura` acts for the actor of the request's session."""

    settings: Settings
    hasura: Hasura
    gateway: Callable[[str], Gateway]
    now: Callable[[], datetime]
    inbox: Batches[dict[str, Any], dict[str, Any]]  # what all requests together bring to it
    refusals: Refusals = field(default_factory=Refusals)  # of all requests together
    pauses: Pauses = field(default_factory=Pauses)  # of gateways, as all requests found
