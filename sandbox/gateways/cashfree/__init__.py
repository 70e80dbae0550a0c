"""A simulator of Cashfree Payments: orders, their pages, holds, refunds, disputes, settlements."""

import base64
import hashlib
import hmac
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from starlette.routing import BaseRoute, Mount

from sandbox.gateways.cashfree.api import Api
from sandbox.gateways.cashfree.calls import Operation
from sandbox.gateways.cashfree.control import Control
from sandbox.gateways.cashfree.disputes import Disputes
from sandbox.gateways.cashfree.events import VERSION, Events
from sandbox.gateways.cashfree.intents import Intents
from sandbox.gateways.cashfree.means import VPA_MEANINGS
from sandbox.gateways.cashfree.orders import Orders
from sandbox.gateways.cashfree.pages import HostedPages
from sandbox.gateways.cashfree.payments import Payments
from sandbox.gateways.cashfree.refunds import Refunds
from sandbox.gateways.cashfree.settlements import Settlements
from sandbox.gateways.server.deliveries import Delivery
from sandbox.gateways.server.pages import Pages
from sandbox.gateways.server.simulator import House, Options, Overview, Signed

SANDBOX_ID = "TEST_sandbox_client_known_to_everybody"
SANDBOX_SECRET = "cfsk_ma_test_sandbox_secret_known_to_everybody"  # noqa: S105  # published on purpose; live refuses to start with it

# After the first, the second and the third try; there is no fifth.
# https://www.cashfree.com/docs/payments/online/webhooks/configure
RETRY_SECONDS = (120, 600, 1800)


class Simulator:
    """One client id and its secrets: the first asks, the last signs, as the oldest one does."""

    name = "cashfree"

    def __init__(self, house: House, options: Options) -> None:
        self.books = books = house.books(self.name)
        self.origin = house.origin
        self.addresses = options.webhooks
        self.keys = options.secrets or (SANDBOX_SECRET,)
        self.ids = options.keys or (SANDBOX_ID,)
        events = Events(books, house.outbox, options.webhooks, options.events)
        self.orders = Orders(books)
        self.payments = Payments(self.orders, events)
        self.intents = Intents(self.payments)
        self.refunds = Refunds(self.payments, events)
        self.disputes = Disputes(self.payments, events)
        self.settlements = Settlements(self.payments, events)
        self.api = Api(house, books, self.ids, self.keys)
        self.hosted = HostedPages(self.payments, Pages(Path(__file__).parent / "templates"))
        self.control = Control(self)
        self.timers: dict[str, Callable[[str], None]] = {
            "expire": self.orders.expire_if_due,
            "payment": self.payments.decide,
            "hold": self.payments.give_back,
            "refund": self.refunds.decide,
            "late_call": self.api.perform_late,
        }

    def routes(self) -> Sequence[BaseRoute]:
        return [Mount("/pg", routes=[*self.hosted.routes(), *self.api.routes(self._operations())])]

    def _operations(self) -> list[Operation]:
        return [
            *self.orders.operations(),
            *self.payments.operations(),
            *self.intents.operations(),
            *self.refunds.operations(),
            *self.disputes.operations(),
            *self.settlements.operations(),
        ]

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
        return self.keys if endpoint in self.addresses else ()

    def sign(self, body: bytes, secrets: Sequence[str], at: int) -> Signed:
        """Sign the stamp, in milliseconds, and the body, with nothing between them."""
        stamp = str(at * 1000)
        digest = hmac.new(secrets[-1].encode(), stamp.encode() + body, hashlib.sha256).digest()
        return Signed(
            {
                "Content-Type": "application/json",
                "User-Agent": "ReactorNetty/1.1.0",
                "x-webhook-signature": base64.b64encode(digest).decode(),
                "x-webhook-timestamp": stamp,
                "x-webhook-version": VERSION,
            },
            body,
        )

    def envelope(self, delivery: Delivery) -> dict[str, str]:
        return {
            "x-webhook-attempt": str(delivery.attempts + 1),
            "x-idempotency-key": delivery.parcel.event,
        }

    def wait(self, delivery: Delivery, now: float) -> float | None:
        del now
        tried = delivery.attempts
        return RETRY_SECONDS[tried] if tried < len(RETRY_SECONDS) else None

    def overview(self) -> Overview:
        return Overview(
            title="Cashfree",
            facts=[
                ("API base", f"{self.origin}/cashfree/pg"),
                ("API version", VERSION),
                ("Client id", self.ids[0]),
                ("Client secret", self.keys[0]),
            ],
            links=[
                ("Orders", "/cashfree/pg/view/orders"),
                ("Deliveries", "/_sandbox/deliveries?gateway=cashfree"),
            ],
        )
