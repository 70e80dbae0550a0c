"""Everything a handler may touch is handed to it; nothing is reached for."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from app import gateways
from app.batches import Batches
from app.config import ConfigError, Settings
from app.gateways import Capability, Gateway
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

    def able(self, *wanted: Capability) -> list[str]:
        """Name the gateways that are set up and can do any of these."""
        return [name for name in gateways.names() if self._is_able(name, wanted)]

    def _is_able(self, name: str, wanted: Sequence[Capability]) -> bool:
        try:
            return not self.gateway(name).capabilities.isdisjoint(wanted)
        except ConfigError:  # it is not set up
            return False
