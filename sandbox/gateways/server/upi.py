"""The payers' side of UPI: an app that scans a code or opens a link, and pays or declines.

It knows nothing of any gateway: a link's payee address ends in the name of the simulator that made
it, and that one is told. Which address pays, and what becomes of it, is the simulator's to know.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from sandbox.gateways.server.control import read_object
from sandbox.gateways.server.pages import Pages

PATH = "/upi"
PAYEE, PAYEE_NAME = "munim-sandbox", "Munim Sandbox Store"


class UnpayableError(Exception):
    """The app says why a link cannot be paid."""


@runtime_checkable
class Payee(Protocol):
    """What a simulator offers besides, whose gateway gives links into UPI apps."""

    def pay_upi(self, reference: str, address: str | None) -> str:
        """Pay what a link of that reference asks for, from an address; from None: decline it.

        Answers what the gateway calls it now. Raises UnpayableError.
        """
        ...

    def upi_addresses(self) -> Mapping[str, str]:
        """Name the addresses that pay, and what comes of paying from each."""
        ...

    def upi_links(self) -> Sequence[str]:
        """List the links that wait to be paid, the newest first, for whoever has no camera."""
        ...


@dataclass(frozen=True, slots=True)
class Asked:
    """A link as the app reads it."""

    gateway: str
    reference: str
    amount: str
    payee: str


def link(gateway: str, reference: str, rupees: str, note: str) -> str:
    """Write a link, as gateways do: spaces as %20, for not every app takes a plus for one."""
    fields = {
        "pa": f"{PAYEE}@{gateway}",
        "pn": PAYEE_NAME,
        "mc": "5411",
        "tr": reference,
        "tn": note,
        "am": rupees,
        "cu": "INR",
    }
    return f"upi://pay?{urlencode(fields, quote_via=quote, safe='@')}"


def read(text: str) -> Asked:
    """Read a link. Raises UnpayableError for what no app takes."""
    parts = urlsplit(text.strip())
    fields = dict(parse_qsl(parts.query))
    if (parts.scheme, parts.netloc) != ("upi", "pay") or not {"pa", "am", "tr"} <= set(fields):
        raise UnpayableError("This is no UPI link.")
    gateway = fields["pa"].rpartition("@")[2]
    return Asked(gateway, fields["tr"], fields["am"], fields.get("pn", fields["pa"]))


class UpiApp:
    def __init__(self, simulators: Mapping[str, Any], pages: Pages) -> None:
        self.payees = {
            name: simulator
            for name, simulator in simulators.items()
            if isinstance(simulator, Payee)
        }
        self.pages = pages

    def routes(self) -> list[BaseRoute]:
        return [
            Route(PATH, self._show, methods=["GET"]),
            Route(PATH, self._answer, methods=["POST"]),
            Route(f"/_sandbox{PATH}", self._control, methods=["POST"]),
        ]

    def pay(self, text: str, address: str | None) -> str:
        asked = read(text)
        if asked.gateway not in self.payees:
            raise UnpayableError("Nobody has this address.")
        return self.payees[asked.gateway].pay_upi(asked.reference, address)

    async def _control(self, request: Request) -> Response:
        """Open a `link` and pay it from an address `vpa`; without one, decline it."""
        wanted = await read_object(request)
        address = wanted.get("vpa")
        try:
            status = self.pay(str(wanted.get("link")), str(address) if address else None)
        except UnpayableError as error:
            return JSONResponse({"error": str(error)}, 409)
        return JSONResponse({"status": status})

    async def _show(self, request: Request) -> Response:
        return self._page(request.query_params.get("link", ""))

    async def _answer(self, request: Request) -> Response:
        form = dict(parse_qsl((await request.body()).decode("utf-8", errors="replace")))
        text, address = form.get("link", ""), form.get("vpa", "").strip().lower()
        try:
            status = self.pay(text, None if "decline" in form else address or None)
        except UnpayableError as error:
            return self._page(text, error=str(error), status=409)
        return self._page(text, done=status)

    def _page(self, text: str, *, error: str = "", done: str = "", status: int = 200) -> Response:
        asked, addresses = None, {}
        waiting = [] if text else [one for payee in self.payees.values() for one in _told(payee)]
        if text:
            try:
                asked = read(text)
                payee = self.payees.get(asked.gateway)
                addresses = dict(payee.upi_addresses()) if payee else {}
            except UnpayableError as failure:
                error, status = str(failure), 409
        about = {"link": text, "asked": asked, "addresses": addresses, "waiting": waiting}
        return self.pages.show("upi.html", status, error=error, done=done, **about)


def _told(payee: Payee) -> Sequence[tuple[str, Asked]]:
    return [(one, read(one)) for one in payee.upi_links()]
