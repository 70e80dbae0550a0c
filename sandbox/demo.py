"""One payment, played as a customer: over GraphQL, and at the hosted page as a browser.

It reaches everything from outside, by the addresses that a person would use, and prints what came
back. Each run has an idempotency key of its own, so each run buys again.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

import httpx

from sandbox import payer, tokens
from sandbox.screen import DIM, Screen
from sandbox.world import Ports

AMOUNT, CURRENCY = 2500, "USD"
CARD = "4242 4242 4242 4242"
ANSWER_SECONDS_MAX = 20.0
CREDITS_SECONDS_MAX = 20.0
RECEIPT_SECONDS_MAX = 15.0
PAUSE_SECONDS = 0.1

BALANCE = """
query Balance {
  customers { name email }
  credit_wallets { balance }
}
"""
CREATE_PAYMENT = """
mutation Buy($amount: bigint!, $currency: String!, $email: String!, $key: String!) {
  createPayment(amount: $amount, currency: $currency, email: $email, idempotency_key: $key) {
    checkout_url
    session_id
    credit_purchase_id
    payment_intent_id
    amount
    currency
    credits_amount
  }
}
"""
PURCHASE = """
query Purchase($id: uuid!, $intent: uuid!) {
  credit_purchases(where: {id: {_eq: $id}}) { granted_at ledger_transaction_id }
  payment_attempts(where: {payment_intent_id: {_eq: $intent}}) {
    status
    gateway_payment_id
    receipt_url
  }
}
"""

T = TypeVar("T")


class DemoError(Exception):
    """The payment could not be played to its end. The message says which step, and what to read."""


@dataclass(frozen=True, slots=True)
class Demo:
    """The story's teller, its actor's connection, and where the services' logs are."""

    ports: Ports
    screen: Screen
    logs: Path
    browser: httpx.Client

    def play(self) -> None:
        """Buy credits and wait until they are there. Raises DemoError."""
        self.screen.head(f"A payment, played as {tokens.ADA.name.title()}")
        with self._step("reading the balance", "engine"):
            before = self._balance()
            self._told("1", "Ada's balance", f"{credits_of(before)}")
        with self._step("createPayment", "app"):
            payment = self._create_payment()
        with self._step("paying on the hosted page", "gateways"):
            self._pay(payment["checkout_url"])
        with self._step("the webhook and its credits", "app"):
            self._wait_for_credits(payment)
        with self._step("reading the balance again", "engine"):
            after = self._balance()
            self._told("6", "Ada's balance", f"{credits_of(after)}, read back through GraphQL")
        if Decimal(after) - Decimal(before) != Decimal(payment["credits_amount"]):
            raise DemoError(f"the balance went from {before} to {after}: see {self.logs}")

    def _balance(self) -> str:
        answer = self._ask(BALANCE)
        if len(answer["credit_wallets"]) != 1:
            raise DemoError("the seeded customer has no wallet: run make reset")
        balance: str = answer["credit_wallets"][0]["balance"]
        return balance

    def _create_payment(self) -> dict[str, Any]:
        variables = {
            "amount": AMOUNT,
            "currency": CURRENCY,
            "email": tokens.ADA.email,
            "key": f"demo-{uuid4()}",
        }
        payment: dict[str, Any] = self._ask(CREATE_PAYMENT, variables)["createPayment"]
        price = f"{AMOUNT / 100:.2f} {payment['currency']}"
        self._told("2", "createPayment", f"{price} for {credits_of(payment['credits_amount'])}")
        self._detail("purchase", payment["credit_purchase_id"])
        self._detail("intent", payment["payment_intent_id"])
        self._detail("session", payment["session_id"])
        return payment

    def _pay(self, url: str) -> None:
        form = payer.open_form(self.browser, url)
        self._told("3", "Hosted page", "opened, as a browser would")
        self._detail("GET", url)
        year = datetime.now(UTC).year + 2
        form.fill(
            {
                "cc-number": CARD,
                "cc-exp": f"12 / {year % 100:02}",
                "cc-csc": "123",
                "cc-name": "Ada Lovelace",
            }
        )
        target = payer.send_form(self.browser, form)
        landed = self.browser.get(target)
        if landed.status_code != 200:
            raise DemoError(f"{target} answered {landed.status_code}")
        self._told("4", "Paid", f"with card {CARD}, and led back to the shop")
        self._detail("303", target)

    def _wait_for_credits(self, payment: dict[str, Any]) -> None:
        variables = {
            "id": payment["credit_purchase_id"],
            "intent": payment["payment_intent_id"],
        }
        started = time.monotonic()

        def booked() -> dict[str, Any] | None:
            answer = self._ask(PURCHASE, variables)
            return answer if answer["credit_purchases"][0]["granted_at"] else None

        answer = _until(booked, CREDITS_SECONDS_MAX, "the credits did not arrive")
        seconds = time.monotonic() - started
        self._told("5", "Webhook", f"signed, verified and booked {seconds:.1f} s later")
        self._detail("payment", answer["payment_attempts"][0]["gateway_payment_id"])
        self._detail("ledger", answer["credit_purchases"][0]["ledger_transaction_id"])

        def receipt() -> str | None:
            url: str | None = self._ask(PURCHASE, variables)["payment_attempts"][0]["receipt_url"]
            return url

        self._detail("receipt", _until(receipt, RECEIPT_SECONDS_MAX, "no receipt was stored"))

    def _ask(self, query: str, variables: dict[str, Any] | None = None) -> Any:
        answer = self.browser.post(
            self.ports.graphql_url,
            json={"query": query, "variables": variables or {}},
            headers={"Authorization": f"Bearer {tokens.token(tokens.ADA)}"},
        ).json()
        if "errors" in answer:
            raise DemoError(answer["errors"][0]["message"])
        return answer["data"]

    def _told(self, number: str, name: str, text: str) -> None:
        self.screen.say(f"  {number}  {name:<15}{text}")

    def _detail(self, name: str, text: str) -> None:
        self.screen.say(f"     {self.screen.paint(f'{name:<10}', DIM)}{text}")

    @contextmanager
    def _step(self, name: str, service: str) -> Iterator[None]:
        """Name the step and the log in whatever goes wrong inside."""
        try:
            yield
        except (DemoError, payer.PayerError, httpx.HTTPError, ValueError, LookupError) as failure:
            reason = str(failure) or type(failure).__name__
            log = self.logs / f"{service}.log"
            raise DemoError(f"the demo stopped at {name}: {reason} (see {log})") from failure


def play(ports: Ports, screen: Screen, logs: Path) -> None:
    """Play one payment. Raises DemoError, with one line that says where it stopped."""
    with httpx.Client(timeout=ANSWER_SECONDS_MAX, trust_env=False) as browser:
        Demo(ports, screen, logs, browser).play()


def credits_of(amount: str) -> str:
    """Write an amount of credits as people do: 250.0000 is 250 credits."""
    number = amount.rstrip("0").rstrip(".") if "." in amount else amount
    return f"{number} credits"


def _until(ask: Callable[[], T | None], seconds_max: float, complaint: str) -> T:
    deadline = time.monotonic() + seconds_max
    while (answer := ask()) is None:
        if time.monotonic() > deadline:
            raise DemoError(f"{complaint} within {seconds_max:.0f} s")
        time.sleep(PAUSE_SECONDS)
    return answer
