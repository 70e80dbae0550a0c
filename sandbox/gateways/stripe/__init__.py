"""A simulator of Stripe: Checkout with its hosted page, webhooks, and the books behind them."""

from collections.abc import Sequence
from pathlib import Path

from starlette.routing import BaseRoute
from stripe import WebhookSignature

from sandbox.gateways.server.pages import Pages
from sandbox.gateways.server.simulator import House, Options, Overview, Signed
from sandbox.gateways.stripe.api import Api
from sandbox.gateways.stripe.calls import Operation
from sandbox.gateways.stripe.control import Control
from sandbox.gateways.stripe.customers import Customers
from sandbox.gateways.stripe.endpoints import Endpoints
from sandbox.gateways.stripe.events import API_VERSION, Events
from sandbox.gateways.stripe.pages import HostedPages
from sandbox.gateways.stripe.payments import Payments
from sandbox.gateways.stripe.sessions import Sessions

SANDBOX_KEY = "sk_test_sandbox_key_known_to_everybody"
SANDBOX_SECRET = "whsec_sandbox_secret_known_to_everybody"  # noqa: S105  # published on purpose; live refuses to start with it


class Simulator:
    name = "stripe"

    def __init__(self, house: House, options: Options) -> None:
        books = house.books(self.name)
        events = Events(books, house.outbox)
        pages = Pages(Path(__file__).parent / "templates")
        self.keys = options.keys or (SANDBOX_KEY,)
        self.endpoints = Endpoints(books)
        self.customers = Customers(books, events)
        self.sessions = Sessions(books, events, house.origin)
        self.payments = Payments(books, events, self.sessions, self.customers)
        self.events = events
        self.api = Api(house, events, self.keys)
        self.hosted = HostedPages(books, self.payments, pages)
        self.control = Control(books, self.payments, self.endpoints)
        self.endpoints.configure(options.webhooks, options.secrets or (SANDBOX_SECRET,))

    def routes(self) -> Sequence[BaseRoute]:
        return [*self.hosted.routes(), *self.api.routes(self._operations())]

    def _operations(self) -> list[Operation]:
        return [
            *self.sessions.operations(),
            *self.payments.charges.operations(),
            *self.customers.operations(),
            *self.events.operations(),
            *self.endpoints.operations(),
        ]

    def control_routes(self) -> Sequence[BaseRoute]:
        return self.control.routes()

    def on_timer(self, kind: str, subject: str) -> None:
        if kind == "expire":
            self.sessions.expire_if_due(subject)
        else:
            self.payments.finish_delayed(subject)

    def secrets(self, endpoint: str) -> Sequence[str]:
        return self.endpoints.secrets(endpoint)

    def sign(self, body: bytes, secrets: Sequence[str], at: int) -> Signed:
        """Sign with every secret in force; the header then holds several `v1`."""
        text = body.decode()
        headers = [
            WebhookSignature.generate_signature_header(text, secret, timestamp=at)
            for secret in secrets
        ]
        signatures = [header.partition(",")[2] for header in headers]
        return Signed(
            {
                "Content-Type": "application/json; charset=utf-8",
                "Stripe-Signature": ",".join([f"t={at}", *signatures]),
                "User-Agent": "Stripe/1.0 (+https://stripe.com/docs/webhooks)",
            },
            body,
        )

    def overview(self) -> Overview:
        return Overview(
            title="Stripe",
            facts=[
                ("API base", f"{self.sessions.origin}/stripe"),
                ("API version", API_VERSION),
                ("Key", self.keys[0]),
            ],
            links=[
                ("Sessions", "/stripe/sessions"),
                ("Events", "/stripe/events"),
                ("Deliveries", "/_sandbox/deliveries?gateway=stripe"),
            ],
        )
