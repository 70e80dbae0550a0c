"""A running server of simulators, somebody who receives its webhooks, and a payer."""

import re
from dataclasses import dataclass
from typing import Any

import requests
import stripe
from gateway_server import KEY, PROGRAM, ROOT, SECRET, Server
from webhook_receiver import PATIENCE, Data, Received, Receiver, wait_for

__all__ = [
    "KEY",
    "PATIENCE",
    "PROGRAM",
    "ROOT",
    "SECRET",
    "Bench",
    "Data",
    "Received",
    "Receiver",
    "Server",
    "connect",
    "construct",
    "order",
    "wait_for",
]
GOOD_CARD = "4242 4242 4242 4242"


@dataclass
class Bench:
    """Everything a test needs, and what a payer does."""

    server: Server
    receiver: Receiver
    client: stripe.StripeClient

    def open(self, **params: Any) -> stripe.checkout.Session:
        """Open a session for 2 x $25, with other parameters if given."""
        chosen: Any = {**order(), **params}
        return self.client.v1.checkout.sessions.create(params=chosen)

    def saving(self, **params: Any) -> stripe.checkout.Session:
        """Open a page that saves a method for a new customer."""
        wanted = {name: order()[name] for name in ("success_url", "cancel_url")}
        chosen: Any = {
            "mode": "setup",
            "currency": "usd",
            "customer_creation": "always",
            "metadata": {"mandate": "m-1"},
            "setup_intent_data": {"metadata": {"mandate": "m-1"}},
            **wanted,
            **params,
        }
        return self.client.v1.checkout.sessions.create(params=chosen)

    def saved(self, **payer: Any) -> tuple[str, str]:
        """Make a customer with a saved method; a good card if nothing is said."""
        made = self.server.control("/stripe/customers", payer)["customers"][0]
        return made["customer"], made["payment_method"]

    def charge(self, **params: Any) -> stripe.PaymentIntent:
        """Charge $25 while the payer is away, a new customer's good card if nothing is said."""
        if "customer" not in params:
            params["customer"], params["payment_method"] = self.saved()
        key = params.pop("key", None)
        chosen: Any = {
            "amount": 2500,
            "currency": "usd",
            "confirm": True,
            "off_session": True,
            **params,
        }
        options: Any = {"idempotency_key": key} if key else {}
        return self.client.v1.payment_intents.create(chosen, options)

    def balance(self, source: str) -> list[tuple[str, int, int]]:
        """Tell what an object moved: the category, the amount and the fee."""
        entries = self.client.v1.balance_transactions.list(params={"source": source})
        return [(one.reporting_category, one.amount, one.fee) for one in entries.data[::-1]]

    def get(self, session: str, *expand: str) -> stripe.checkout.Session:
        return self.client.v1.checkout.sessions.retrieve(session, params={"expand": [*expand]})

    def page(self, url: str | None) -> requests.Response:
        assert url
        return self.server.http.request("GET", url, timeout=PATIENCE)

    def submit(self, url: str | None, form: dict[str, str]) -> requests.Response:
        assert url
        return self.server.http.request(
            "POST", url, data=form, allow_redirects=False, timeout=PATIENCE
        )

    def form(self, url: str | None, **fields: str) -> dict[str, str]:
        """Fill in the form of the page as a person would, with a good card."""
        page = self.page(url)
        assert page.status_code == 200
        hidden = re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', page.text)
        card = {"card_number": GOOD_CARD, "card_expiry": "12 / 34", "card_cvc": "123"}
        payer = {"email": "payer@example.com", "card_name": "Asha Rao"}
        return {**dict(hidden), "payment_method": "card", **card, **payer, **fields}

    def pay(self, url: str | None, **fields: str) -> requests.Response:
        return self.submit(url, self.form(url, **fields))

    def paid(self, **params: Any) -> stripe.checkout.Session:
        """Open a session and pay it without the page."""
        session = self.open(**params)
        answer = self.server.control(f"/stripe/sessions/{session.id}/pay", {})
        assert answer["outcome"] == "done"
        return self.get(session.id)

    def told(self, subject: str) -> list[str]:
        """Sort the types of all webhooks about a subject, once none is on its way any more."""
        return sorted(one.type for one in self.receiver.every(self.server, subject))

    def delivered(self, session: str) -> list[stripe.Event]:
        """Wait for the completed webhook, checked by the SDK."""
        webhooks = self.receiver.wait(session, "checkout.session.completed")
        return [construct(one) for one in webhooks]


def connect(server: Server, session: requests.Session) -> stripe.StripeClient:
    http = stripe.RequestsClient(timeout=PATIENCE, session=session)
    return stripe.StripeClient(KEY, base_addresses={"api": server.api}, http_client=http)


def construct(one: Received) -> stripe.Event:
    header = one.headers["stripe-signature"]
    event: stripe.Event = stripe.Webhook.construct_event(one.body, header, SECRET)
    return event


def order(amount: int = 2500, currency: str = "usd", quantity: int = 2) -> Data:
    product = {"name": "Credits pack"}
    price = {"currency": currency, "unit_amount": amount, "product_data": product}
    return {
        "mode": "payment",
        "success_url": "http://127.0.0.1/thanks?session_id={CHECKOUT_SESSION_ID}",
        "cancel_url": "http://127.0.0.1/cancelled",
        "line_items": [{"quantity": quantity, "price_data": price}],
        "metadata": {"order_id": "o-1"},
        "payment_intent_data": {"metadata": {"order_id": "o-1"}},
    }
