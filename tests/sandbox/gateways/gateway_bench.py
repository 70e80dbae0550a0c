"""A running server of simulators, somebody who receives its webhooks, and a payer."""

import json
import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Lock, Thread
from typing import Any, TypeVar

import requests
import stripe

ROOT = Path(__file__).parents[3]
SECRET = "whsec_for_the_tests"
KEY = "sk_test_for_the_tests"
GOOD_CARD = "4242 4242 4242 4242"
PATIENCE = 60.0
# The server ends with whoever started it, even if that one is killed: its input ends then.
ENDING_WITH_US = """
import os, sys, threading
threading.Thread(target=lambda: (os.read(0, 1), os._exit(1)), daemon=True).start()
"""
PROGRAM = "import runpy\nrunpy.run_module('sandbox.gateways', run_name='__main__', alter_sys=True)"
Data = dict[str, Any]
T = TypeVar("T")


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def wait_for(find: Callable[[], T | None], what: str) -> T:
    """Ask again and again until there is an answer."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        found = find()
        if found is not None:
            return found
        time.sleep(0.02)
    raise AssertionError(f"waited in vain for {what}")


@dataclass(frozen=True)
class Received:
    """One webhook as it arrived."""

    headers: dict[str, str]
    body: bytes
    at: float

    @property
    def event(self) -> Data:
        event: Data = json.loads(self.body)
        return event

    @property
    def type(self) -> str:
        return str(self.event["type"])

    def about(self, subject: str) -> bool:
        return subject in self.body.decode()


@dataclass
class Receiver:
    """A webhook endpoint. `refusals` are given out in order to bodies that hold a text."""

    port: int = 0
    received: list[Received] = field(default_factory=list)
    refusals: list[tuple[str, int]] = field(default_factory=list)
    lock: Lock = field(default_factory=Lock)

    def start(self) -> ThreadingHTTPServer:
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                headers = {name.lower(): value for name, value in self.headers.items()}
                with receiver.lock:
                    receiver.received.append(Received(headers, body, time.time()))
                    status = receiver.status_for(body.decode())
                self.send_response(status)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                return

        server = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        self.port = server.server_port
        Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return server

    def status_for(self, body: str) -> int:
        for refusal in self.refusals:
            if refusal[0] in body:
                self.refusals.remove(refusal)
                return refusal[1]
        return 200

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/webhook"

    def about(self, subject: str, kind: str | None = None) -> list[Received]:
        with self.lock:
            found = list(self.received)
        return [one for one in found if one.about(subject) and (not kind or one.type == kind)]

    def wait(self, subject: str, kind: str, n: int = 1) -> list[Received]:
        """Wait until n webhooks of a type about a subject have come."""
        return wait_for(
            lambda: found if len(found := self.about(subject, kind)) >= n else None,
            f"{n} of {kind}",
        )


class Server:
    """The simulators as a process of their own."""

    def __init__(
        self,
        state: Path,
        *webhooks: str,
        port: int = 0,
        program: str = PROGRAM,
        events: tuple[str, ...] = (),
        options: tuple[str, ...] = (),
    ) -> None:
        self.port = port or free_port()
        self.state = state
        self.url = f"http://127.0.0.1:{self.port}"
        self.api = f"{self.url}/stripe"
        self.http = requests.Session()
        self.process = subprocess.Popen(
            [
                *(sys.executable, "-c", ENDING_WITH_US + program, "--port", str(self.port)),
                *("--state", str(state), "--key", f"stripe={KEY}", "--secret", f"stripe={SECRET}"),
                *(part for url in webhooks for part in ("--webhook", f"stripe={url}")),
                *(part for kind in events for part in ("--event", f"stripe={kind}")),
                *options,
            ],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
        )
        wait_for(self._healthy, "the server")

    def _healthy(self) -> bool | None:
        assert self.process.poll() is None, "the server has died"
        with suppress(requests.ConnectionError):
            return self.http.request("GET", f"{self.url}/healthz", timeout=5).ok or None
        return None

    def stop(self) -> None:
        self.process.terminate()
        self._ended()

    def kill(self) -> None:
        self.process.kill()
        self._ended()

    def _ended(self) -> None:
        self.process.communicate(timeout=10)
        self.http.close()

    def control(self, path: str, order: Data | None = None, method: str = "POST") -> Data:
        """Make a control call below `/_sandbox`."""
        answer = self.http.request(method, f"{self.url}/_sandbox{path}", json=order, timeout=20)
        return answer.json() if answer.content else {}

    def fault(self, operation: str, kind: str, **details: Any) -> None:
        order = {"gateway": "stripe", "operation": operation, "kind": kind, **details}
        assert "id" in self.control("/faults", order)

    def move_clock(self, seconds: float) -> None:
        self.control("/clock", {"skew_seconds": seconds})

    def raw(self, method: str, path: str, form: Any = None, **headers: str) -> requests.Response:
        """Call the API without the SDK."""
        return self.http.request(
            method,
            self.api + path,
            data=form,
            headers={"Authorization": f"Bearer {KEY}", **headers},
            timeout=20,
        )


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
        return self.server.http.request("GET", url, timeout=10)

    def submit(self, url: str | None, form: dict[str, str]) -> requests.Response:
        assert url
        return self.server.http.request("POST", url, data=form, allow_redirects=False, timeout=10)

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

    def delivered(self, session: str) -> list[stripe.Event]:
        """Wait for the completed webhook, checked by the SDK."""
        webhooks = self.receiver.wait(session, "checkout.session.completed")
        return [construct(one) for one in webhooks]


def connect(server: Server, session: requests.Session) -> stripe.StripeClient:
    http = stripe.RequestsClient(timeout=(3, 10), session=session)
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
