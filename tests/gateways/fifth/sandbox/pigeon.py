"""A simulator of Pigeon, which does not exist: tickets, their refunds and signed webhooks."""

import hmac
import json
from collections.abc import Sequence
from hashlib import sha256
from typing import Any

from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import BaseRoute, Route

from sandbox.gateways.server import calls
from sandbox.gateways.server.deliveries import Parcel
from sandbox.gateways.server.simulator import House, Options, Overview, Signed
from sandbox.gateways.server.state import Document, Slice

DAY = 24 * 3600


class Simulator:
    name = "pigeon"

    def __init__(self, house: House, options: Options) -> None:
        self.house, self.options = house, options
        self.books = house.books(self.name)

    def routes(self) -> Sequence[BaseRoute]:
        return [
            Route("/tickets/{id}", self._open, methods=["PUT"]),
            Route("/tickets/{id}", self._ticket, methods=["GET"]),
            Route("/tickets/{id}/refunds/{refund}", self._refund, methods=["PUT"]),
            Route("/tickets/{id}/refunds/{refund}", self._refunded, methods=["GET"]),
            Route("/settlements", self._settlements, methods=["GET"]),
            Route("/pay/{id}", self._page, methods=["GET"]),
        ]

    def control_routes(self) -> Sequence[BaseRoute]:
        return [Route("/tickets/{id}/pay", self._pay, methods=["POST"])]

    async def _open(self, request: Request) -> Response:
        fault = self.house.faults.take(self.name, "tickets.open")
        instead = await calls.before(fault, lambda status: _no("pigeonhole", status))
        if instead is not None:
            return instead
        identifier = request.path_params["id"]
        ticket = self.books.find("ticket", identifier)
        if ticket is None:
            ticket = {
                **(await request.json()),
                "id": identifier,
                "created": self.books.store.now(),
                "state": "open",
                "page": f"{self.house.origin}/pigeon/pay/{identifier}",
            }
            self.books.insert("ticket", ticket)
        return calls.after(fault, JSONResponse(ticket))

    async def _ticket(self, request: Request) -> Response:
        return self._show("ticket", request.path_params["id"])

    async def _refunded(self, request: Request) -> Response:
        return self._show("refund", request.path_params["refund"])

    def _show(self, kind: str, identifier: str) -> Response:
        found = self.books.find(kind, identifier)
        return JSONResponse(found) if found else _no("no_such_thing", 404)

    async def _refund(self, request: Request) -> Response:
        ticket = self.books.find("ticket", request.path_params["id"])
        wanted = await request.json()
        known = self.books.find("refund", request.path_params["refund"])
        if known:
            return JSONResponse(known)
        if ticket is None or ticket["state"] != "paid" or wanted["amount"] > _left(ticket):
            return _no("too_much", 409)
        refund = {
            **wanted,
            "id": request.path_params["refund"],
            "ticket": ticket["id"],
            "created": self.books.store.now(),
            "state": "done",
        }
        with self.books.store.transaction():
            self.books.update("ticket", ticket | {"left": _left(ticket) - wanted["amount"]})
            self.books.insert("refund", refund)
            self._tell("refund", refund)
        return JSONResponse(refund)

    async def _settlements(self, request: Request) -> Response:
        del request
        paid = self.books.page("ticket", Slice(limit=100, equals={"state": "paid"}))[0]
        return JSONResponse({"lines": [_line(ticket) for ticket in paid]})

    async def _page(self, request: Request) -> Response:
        ticket = self.books.get("ticket", request.path_params["id"])
        return HTMLResponse(f"<h1>{ticket['amount']} {ticket['currency']}</h1>")

    async def _pay(self, request: Request) -> Response:
        ticket = self.books.get("ticket", request.path_params["id"])
        with self.books.store.transaction():
            ticket |= {"state": "paid"}
            self.books.update("ticket", ticket)
            self._tell("ticket", ticket)
        return JSONResponse(ticket)

    def _tell(self, about: str, thing: Document) -> None:
        event = {
            "id": f"{about}:{thing['id']}:{thing['state']}",
            "about": about,
            "at": self.books.store.now(),
            "live": False,
            "object": thing,
        }
        for url in self.options.webhooks:
            body = json.dumps(event).encode()
            parcel = Parcel(self.name, url, event["id"], about, url, body)
            self.house.outbox.post(parcel)

    def on_timer(self, kind: str, subject: str) -> None:
        raise KeyError(f"no timer {kind} of {subject}")

    def secrets(self, endpoint: str) -> Sequence[str]:
        return self.options.secrets if endpoint in self.options.webhooks else []

    def sign(self, body: bytes, secrets: Sequence[str], at: int) -> Signed:
        del at
        signature = hmac.new(secrets[0].encode(), body, sha256).hexdigest()
        return Signed({"Pigeon-Signature": signature}, body)

    def overview(self) -> Overview:
        return Overview("Pigeon", [("API base", f"{self.house.origin}/pigeon")])


def _left(ticket: Document) -> int:
    left: int = ticket.get("left", ticket["amount"])
    return left


def _line(ticket: Document) -> dict[str, Any]:
    return {
        "flight": f"flight-{ticket['created'] // DAY}",
        "id": f"line-{ticket['id']}",
        "kind": "payment",
        "gross": ticket["amount"],
        "fee": ticket["amount"] // 50,
        "currency": ticket["currency"],
        "at": ticket["created"],
        "ticket": ticket["id"],
    }


def _no(error: str, status: int) -> Response:
    return JSONResponse({"error": error, "message": "Pigeon says no."}, status)
