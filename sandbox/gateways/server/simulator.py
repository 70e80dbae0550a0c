"""What a simulator is given, and what it must offer."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from starlette.routing import BaseRoute

from sandbox.faults import Faults
from sandbox.gateways.server.deliveries import Delivery, Outbox
from sandbox.gateways.server.state import Books, Store


@dataclass(frozen=True, slots=True)
class Options:
    """One gateway's settings from the command line; empty means the simulator's default."""

    webhooks: tuple[str, ...] = ()
    secrets: tuple[str, ...] = ()
    keys: tuple[str, ...] = ()
    events: tuple[str, ...] = ()  # that the webhooks want


@dataclass(frozen=True, slots=True)
class House:
    """Everything that a simulator may touch."""

    store: Store
    faults: Faults
    outbox: Outbox
    origin: str  # how browsers reach this server, without a slash at the end

    def books(self, gateway: str) -> Books:
        return Books(self.store, gateway)


@dataclass(frozen=True, slots=True)
class Signed:
    """A webhook ready to be sent."""

    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Overview:
    """What the index page says about a simulator."""

    title: str
    facts: Sequence[tuple[str, str]]
    links: Sequence[tuple[str, str]] = field(default_factory=tuple)


class Simulator(Protocol):
    """One gateway. Built once at start, with its state already on disk."""

    name: str

    def routes(self) -> Sequence[BaseRoute]:
        """Give the routes below `/<name>`."""
        ...

    def control_routes(self) -> Sequence[BaseRoute]:
        """Give the routes below `/_sandbox/<name>`, for tests and demonstrations."""
        ...

    def on_timer(self, kind: str, subject: str) -> None:
        """Act on a timer that this simulator set, in the transaction that forgets the timer."""
        ...

    def secrets(self, endpoint: str) -> Sequence[str]:
        """Name the secrets in force for an endpoint; none when the endpoint is gone."""
        ...

    def sign(self, body: bytes, secrets: Sequence[str], at: int) -> Signed:
        """Sign a webhook as the gateway does, at a time in Unix seconds."""
        ...

    def overview(self) -> Overview:
        """Describe the simulator on the index page."""
        ...


@runtime_checkable
class Postman(Protocol):
    """What a simulator offers besides, whose gateway has headers or a schedule of its own."""

    def envelope(self, delivery: Delivery) -> dict[str, str]:
        """Give the headers that do not depend on the signature: an id, the number of the try."""
        ...

    def wait(self, delivery: Delivery, now: float) -> float | None:
        """Tell how many seconds after this try, which failed, the next one is; None: no more."""
        ...
