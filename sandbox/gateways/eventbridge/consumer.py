"""Somebody at a plain address who wants the events: checks their signature and keeps them.

https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

import base64
import hmac
import json
from collections.abc import Sequence
from hashlib import sha256
from uuid import uuid4

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from sandbox.gateways.server import calls
from sandbox.gateways.server.simulator import House
from sandbox.gateways.server.state import Books

SECONDS_MAX = 300


class Consumer:
    def __init__(self, house: House, books: Books, secrets: Sequence[str]) -> None:
        self.house = house
        self.books = books
        self.keys = [base64.b64decode(secret.removeprefix("whsec_")) for secret in secrets]

    async def take(self, request: Request) -> Response:
        body = await request.body()
        if not self._is_genuine(request, body):
            return JSONResponse({"error": "the signature is wrong or old"}, 401)
        fault = self.house.faults.take(self.books.gateway, "consumer")
        spoilt = await calls.before(fault, lambda status: Response("try again", status))
        if spoilt is not None:
            return spoilt
        event = json.loads(body)
        kept = event | {
            "id": str(uuid4()),  # the same event may come twice, and both are shown
            "created": self.house.store.now(),
            "bus": "the plain address",
        }
        self.books.insert("event", kept)
        return calls.after(fault, Response("thank you"))

    def _is_genuine(self, request: Request, body: bytes) -> bool:
        headers = request.headers
        event, stamp = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
        if not stamp.isdecimal() or abs(int(stamp) - self.house.store.now()) > SECONDS_MAX:
            return False
        signed = f"{event}.{stamp}.".encode() + body
        wanted = [
            "v1," + base64.b64encode(hmac.new(key, signed, sha256).digest()).decode()
            for key in self.keys
        ]
        given = headers.get("webhook-signature", "").split(" ")
        return any(hmac.compare_digest(one, other) for one in given for other in wanted)
