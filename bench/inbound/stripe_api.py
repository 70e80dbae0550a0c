"""Stripe's API in miniature: it answers at once whatever the services of this race ask for.

Argument: the port. A prefix of the path is passed over. What is asked for is not remembered.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
import time
from typing import Any, cast
from uuid import uuid4

import uvloop
from race.load import is_whole

from inbound.messages import ACCOUNT, payment_intent

INTENT = re.compile(rb"^GET \S*/v1/payment_intents/pi_([0-9a-f]{32})(\?\S*)? ")
SESSIONS = re.compile(rb"^POST \S*/v1/checkout/sessions ")
# What an app that is kept apart is spared: what the engine calls, what the simulator reports.
CALLED = re.compile(rb"^POST /(events/\w+|crons/\w+|stripe-webhook) ")
ACCOUNTS = re.compile(rb"^GET \S*/v1/accounts?(/\S*)? ")


def answer(request: bytes) -> tuple[int, dict[str, Any]]:
    if found := INTENT.match(request):
        intent = payment_intent(found[1].decode(), int(time.time()))
        if found[2]:  # who asks for more than the intent asks for its charge
            intent["latest_charge"] = charge(found[1].decode())
        return 200, intent
    if SESSIONS.match(request):
        page = f"cs_test_{uuid4().hex}"
        return 200, {"id": page, "object": "checkout.session", "url": f"https://pay.example/{page}"}
    if ACCOUNTS.match(request):
        return 200, {"id": ACCOUNT, "object": "account", "type": "standard", "country": "US"}
    if CALLED.match(request):
        return 200, {}
    asked = request.split(b"\r\n", 1)[0].decode(errors="replace")
    return 404, {"error": {"type": "invalid_request_error", "message": f"not here: {asked}"}}


def charge(mark: str) -> dict[str, Any]:
    page = f"https://pay.example/receipts/{mark}"
    return {"id": f"ch_{mark}", "object": "charge", "paid": True, "receipt_url": page}


class Connection(asyncio.Protocol):
    def __init__(self) -> None:
        self.received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self.received += data
        if not is_request(self.received):
            return
        request, self.received = self.received, b""
        status, value = answer(request)
        body = json.dumps(value).encode()
        head = f"HTTP/1.1 {status} X\r\ncontent-type: application/json\r\nrequest-id: req_1\r\n"
        self.transport.write(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)


def is_request(data: bytes) -> bool:
    """Say whether a request has come to its end: one without a length has no body."""
    head, end, _ = data.partition(b"\r\n\r\n")
    return bool(end) and (b"content-length:" not in head.lower() or is_whole(data))


async def serve(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(Connection, "127.0.0.1", port)
    async with server:
        await server.serve_forever()


def main() -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(int(sys.argv[1])))


if __name__ == "__main__":
    main()
