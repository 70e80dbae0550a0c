"""A simulator of Razorpay: orders, the hosted page, refunds, disputes, webhooks, settlements."""

import hmac
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from starlette.routing import BaseRoute

from sandbox.gateways.razorpay.api import Api
from sandbox.gateways.razorpay.calls import Operation
from sandbox.gateways.razorpay.control import Control
from sandbox.gateways.razorpay.disputes import Disputes
from sandbox.gateways.razorpay.endpoints import Endpoints
from sandbox.gateways.razorpay.events import Events
from sandbox.gateways.razorpay.intents import Intents
from sandbox.gateways.razorpay.methods import VPA_MEANINGS
from sandbox.gateways.razorpay.orders import Orders
from sandbox.gateways.razorpay.pages import HostedPages
from sandbox.gateways.razorpay.payments import Payments
from sandbox.gateways.razorpay.refunds import Refunds
from sandbox.gateways.razorpay.settlements import Settlements
from sandbox.gateways.server.deliveries import Delivery
from sandbox.gateways.server.pages import Pages
from sandbox.gateways.server.simulator import House, Options, Overview, Signed

SANDBOX_KEY = "rzp_test_sandboxkey0001:sandbox-razorpay-key-known-to-everybody"
SANDBOX_SECRET = "sandbox-razorpay-webhook-known-to-everybody"  # noqa: S105  # published on purpose; live refuses to start with it

# A webhook that is not answered with 2xx is sent again after growing delays, for a day.
# https://razorpay.com/docs/webhooks/best-practices/
FIRST_WAIT, LONGEST_WAIT = 30.0, 4 * 3600.0
DAY = 24 * 3600


class Simulator:
    name = "razorpay"

    def __init__(self, house: House, options: Options) -> None:
        self.books = books = house.books(self.name)
        self.origin = house.origin
        self.keys = dict(_pair(key) for key in options.keys or (SANDBOX_KEY,))
        self.endpoints = Endpoints(books)
        events = Events(books, house.outbox, self.endpoints)
        self.settlements = Settlements(books, events)
        self.refunds = Refunds(books, events, self.settlements)
        self.payments = Payments(books, events, self.settlements, self.refunds)
        self.intents = Intents(self.payments)
        self.orders = Orders(books)
        self.disputes = Disputes(books, events, self.settlements)
        self.api = Api(house, books, self.keys)
        pages = Pages(Path(__file__).parent / "templates")
        self.hosted = HostedPages(self.payments, pages, self.keys)
        self.control = Control(self)
        self.timers: dict[str, Callable[[str], None]] = {
            "payment": self.payments.due,
            "refund": self.refunds.due,
            "settlement": self.settlements.due,
            "late_call": self.api.perform_late,
        }
        self.endpoints.configure(
            options.webhooks, options.secrets or (SANDBOX_SECRET,), options.events or ("*",)
        )

    def routes(self) -> Sequence[BaseRoute]:
        return [*self.hosted.routes(), *self.api.routes(self._operations())]

    def _operations(self) -> list[Operation]:
        parts = (
            *(self.orders, self.payments, self.intents),
            *(self.refunds, self.disputes, self.settlements),
        )
        return [operation for part in parts for operation in part.operations()]

    def pay_upi(self, reference: str, address: str | None) -> str:
        return self.intents.pay(reference, address)

    def upi_addresses(self) -> Mapping[str, str]:
        return VPA_MEANINGS

    def upi_links(self) -> Sequence[str]:
        return self.intents.links()

    def control_routes(self) -> Sequence[BaseRoute]:
        return self.control.routes()

    def on_timer(self, kind: str, subject: str) -> None:
        self.timers[kind](subject)

    def secrets(self, endpoint: str) -> Sequence[str]:
        return self.endpoints.secrets(endpoint)

    def sign(self, body: bytes, secrets: Sequence[str], at: int) -> Signed:
        """Sign the bytes and nothing else: no time is in a signature of Razorpay's."""
        del at
        signature = hmac.new(secrets[0].encode(), body, "sha256").hexdigest()
        return Signed(
            {
                "Content-Type": "application/json",
                "X-Razorpay-Signature": signature,
                "User-Agent": "Razorpay-Webhook/v1",
            },
            body,
        )

    def envelope(self, delivery: Delivery) -> dict[str, str]:
        return {"x-razorpay-event-id": delivery.parcel.event}

    def wait(self, delivery: Delivery, now: float) -> float | None:
        """Wait twice as long each time; after a day it is given up, and the endpoint is off."""
        if now - delivery.created >= DAY:
            return None
        return min(FIRST_WAIT * 2.0**delivery.attempts, LONGEST_WAIT)

    def overview(self) -> Overview:
        key, secret = next(iter(self.keys.items()))
        return Overview(
            title="Razorpay",
            facts=[
                ("API base", f"{self.origin}/razorpay/v1"),
                ("Key id", key),
                ("Key secret", secret),
            ],
            links=[
                ("Orders", "/razorpay/orders"),
                ("Deliveries", "/_sandbox/deliveries?gateway=razorpay"),
            ],
        )


def _pair(key: str) -> tuple[str, str]:
    identifier, _, secret = key.partition(":")
    return identifier, secret
