"""PayU's webhooks: forms with a hash for payments, JSON without one for refunds and disputes.

A message is queued with its amount in paise and in plain fields; it is written out, and signed,
when it is sent.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlencode
from uuid import uuid4

from sandbox.gateways.payu import hashes
from sandbox.gateways.payu.units import rupees
from sandbox.gateways.server.deliveries import Outbox, Parcel
from sandbox.gateways.server.simulator import Options, Signed
from sandbox.gateways.server.state import Books, Document


class Messages:
    def __init__(
        self, books: Books, outbox: Outbox, options: Options, salts: Sequence[str]
    ) -> None:
        self.books = books
        self.outbox = outbox
        self.wanted = options.events or ("*",)
        self.endpoints = {str(place): url for place, url in enumerate(options.webhooks, start=1)}
        self.salts = salts

    def of_payment(self, fields: Mapping[str, str], amount: int) -> None:
        self._queue(f"payment.{fields['status']}", fields, "amount", amount)

    def of_refund(self, fields: Mapping[str, Any], amount: int) -> None:
        self._queue(f"refund.{fields['status']}", fields, "amt", amount)

    def of_dispute(self, fields: Mapping[str, Any], amount: int) -> None:
        self._queue("dispute", fields, "cb_amount", amount)

    def secrets(self, endpoint: str) -> Sequence[str]:
        return self.salts if endpoint in self.endpoints else []

    def _queue(self, kind: str, fields: Mapping[str, Any], place: str, amount: int) -> None:
        if "*" not in self.wanted and kind not in self.wanted:
            return
        event = uuid4().hex
        body = json.dumps({"fields": dict(fields), "place": place, "amount": amount})
        for endpoint, url in self.endpoints.items():
            self.outbox.post(Parcel(self.books.gateway, endpoint, event, kind, url, body.encode()))


def write(body: bytes, salt: str) -> Signed:
    """Write a queued message as PayU sends it."""
    queued: Document = json.loads(body)
    fields = {**queued["fields"], queued["place"]: rupees(queued["amount"])}
    if queued["place"] != "amount":
        return _as_json(fields)
    signed = {**fields, "hash": hashes.of_answer(fields, salt)}
    return Signed(_headers("application/x-www-form-urlencoded"), urlencode(signed).encode())


def _as_json(fields: Document) -> Signed:
    return Signed(_headers("application/json"), json.dumps(fields, ensure_ascii=False).encode())


def _headers(kind: str) -> dict[str, str]:
    return {"Content-Type": kind, "User-Agent": "Apache-HttpClient/4.5.13 (Java/17)"}
