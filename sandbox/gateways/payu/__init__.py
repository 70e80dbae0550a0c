"""A simulator of PayU India: pages, commands, refunds, chargebacks, settlements, webhooks."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from starlette.routing import BaseRoute

from sandbox.gateways.payu.api import Api
from sandbox.gateways.payu.chargebacks import Chargebacks
from sandbox.gateways.payu.control import Control
from sandbox.gateways.payu.disputes import Disputes
from sandbox.gateways.payu.intents import Intents
from sandbox.gateways.payu.messages import Messages, write
from sandbox.gateways.payu.pages import HostedPages
from sandbox.gateways.payu.payers import ADDRESS_MEANINGS
from sandbox.gateways.payu.refunds import Refunds
from sandbox.gateways.payu.transactions import Transactions
from sandbox.gateways.server.pages import Pages
from sandbox.gateways.server.simulator import House, Options, Overview, Signed

SANDBOX_KEY = "payu_sandbox_key"
SANDBOX_SALT = "payu-sandbox-salt-known-to-everybody"
SANDBOX_CHARGEBACK_KEY = "payu-sandbox-chargeback-key-known-to-everybody"


class Simulator:
    name = "payu"

    def __init__(self, house: House, options: Options) -> None:
        self.house = house
        self.books = house.books(self.name)
        self.origin = house.origin
        pairs = [key.partition(":") for key in options.keys or (SANDBOX_KEY,)]
        self.keys = [key for key, _, _ in pairs]
        chargeback_keys = [second or SANDBOX_CHARGEBACK_KEY for _, _, second in pairs]
        self.salts = options.secrets or (SANDBOX_SALT,)
        self.messages = Messages(self.books, house.outbox, options, self.salts)
        self.transactions = Transactions(self.books, self.messages)
        self.refunds = Refunds(self.transactions, self.messages)
        self.disputes = Disputes(self.books, self.messages)
        self.chargebacks = Chargebacks(house, self.books, chargeback_keys)
        self.api = Api(house, self.books, self.keys, self.salts)
        self.api.serve(self.transactions, self.refunds)
        self.hosted = HostedPages(self, Pages(Path(__file__).parent / "templates"))
        self.intents = Intents(self)
        self.control = Control(self)
        self.timers: dict[str, Callable[[str], None]] = {
            "leave": self.transactions.leave,
            "decide": self.transactions.decide,
            "refund": self.refunds.on_timer,
            "late_call": self.api.perform_late,
        }

    def routes(self) -> Sequence[BaseRoute]:
        return [*self.hosted.routes(), *self.api.routes(), *self.chargebacks.routes()]

    def pay_upi(self, reference: str, address: str | None) -> str:
        return self.intents.pay(reference, address)

    def upi_addresses(self) -> Mapping[str, str]:
        return ADDRESS_MEANINGS

    def upi_links(self) -> Sequence[str]:
        return self.intents.links()

    def control_routes(self) -> Sequence[BaseRoute]:
        return self.control.routes()

    def on_timer(self, kind: str, subject: str) -> None:
        self.timers[kind](subject)

    def secrets(self, endpoint: str) -> Sequence[str]:
        return self.messages.secrets(endpoint)

    def sign(self, body: bytes, secrets: Sequence[str], at: int) -> Signed:
        """Sign with the first salt: PayU's hash holds one signature and no time."""
        del at
        return write(body, secrets[0])

    def overview(self) -> Overview:
        return Overview(
            title="PayU India",
            facts=[
                ("API base", f"{self.origin}/payu"),
                ("Key", self.keys[0]),
            ],
            links=[
                ("Transactions", "/payu/transactions"),
                ("Deliveries", "/_sandbox/deliveries?gateway=payu"),
            ],
        )
