"""A simulator of Stripe: pages, saved methods, refunds, disputes, webhooks, and the books."""

from collections.abc import Callable, Sequence
from pathlib import Path

from starlette.routing import BaseRoute
from stripe import WebhookSignature

from sandbox.gateways.server.pages import Pages
from sandbox.gateways.server.simulator import House, Options, Overview, Signed
from sandbox.gateways.stripe.api import Api
from sandbox.gateways.stripe.balance import Balance
from sandbox.gateways.stripe.call_books import CallBooks
from sandbox.gateways.stripe.calls import Operation
from sandbox.gateways.stripe.charges import Charges
from sandbox.gateways.stripe.control import Control
from sandbox.gateways.stripe.customers import Customers
from sandbox.gateways.stripe.disputes import Disputes
from sandbox.gateways.stripe.endpoints import Endpoints
from sandbox.gateways.stripe.events import API_VERSION, Events
from sandbox.gateways.stripe.intent_calls import IntentCalls
from sandbox.gateways.stripe.intents import Intents
from sandbox.gateways.stripe.pages import HostedPages
from sandbox.gateways.stripe.payments import Payments
from sandbox.gateways.stripe.payouts import Payouts
from sandbox.gateways.stripe.refunds import Refunds
from sandbox.gateways.stripe.saved_methods import SavedMethods
from sandbox.gateways.stripe.sessions import Sessions
from sandbox.gateways.stripe.setups import Setups

SANDBOX_KEY = "sk_test_sandbox_key_known_to_everybody"
SANDBOX_SECRET = "whsec_sandbox_secret_known_to_everybody"  # noqa: S105  # published on purpose; live refuses to start with it


class Simulator:
    name = "stripe"

    def __init__(self, house: House, options: Options) -> None:
        self.books = books = CallBooks(house.store, self.name)
        events = Events(books, house.outbox)
        pages = Pages(Path(__file__).parent / "templates")
        self.keys = options.keys or (SANDBOX_KEY,)
        self.endpoints = Endpoints(books)
        self.customers = Customers(books, events)
        self.balance = Balance(books)
        self.charges = Charges(books, events, self.balance, house.origin)
        self.intents = Intents(books, events, self.charges)
        self.sessions = Sessions(events, self.intents, Setups(books, events), house.origin)
        self.payments = Payments(events, self.sessions, self.intents, self.customers)
        self.methods = SavedMethods(books, events)
        self.refunds = Refunds(books, events, self.charges)
        self.disputes = Disputes(books, events, self.balance)
        self.payouts = Payouts(books, events, self.balance)
        self.events = events
        self.api = Api(house, events, self.keys)
        self.hosted = HostedPages(books, self.payments, pages)
        self.control = Control(self)
        self.timers: dict[str, Callable[[str], None]] = {
            "expire": self.sessions.expire_if_due,
            "settle": self.payments.finish_delayed,
            "authorization": self.intents.lapse,
            "refund": self.refunds.decide,
            "dispute": self.disputes.open_due,
            "late_call": self.api.perform_late,
        }
        self.endpoints.configure(
            options.webhooks, options.secrets or (SANDBOX_SECRET,), options.events or ("*",)
        )

    def routes(self) -> Sequence[BaseRoute]:
        return [*self.hosted.routes(), *self.api.routes(self._operations())]

    def _operations(self) -> list[Operation]:
        return [
            *self.sessions.operations(),
            *self.sessions.setups.operations(),
            *IntentCalls(self.books, self.intents).operations(),
            *self.charges.operations(),
            *self.balance.operations(),
            *self.payouts.operations(),
            *self.methods.operations(),
            *self.refunds.operations(),
            *self.disputes.operations(),
            *self.customers.operations(),
            *self.events.operations(),
            *self.endpoints.operations(),
        ]

    def control_routes(self) -> Sequence[BaseRoute]:
        return self.control.routes()

    def on_timer(self, kind: str, subject: str) -> None:
        self.timers[kind](subject)

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
