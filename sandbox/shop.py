"""The stand-in for a merchant's own site: where a payer lands after paying or cancelling.

It only reads. That someone saw a page proves nothing: credits arrive, and orders are paid, when
the gateway's webhook has been booked, and the pages say so.
"""

from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from sandbox.gateways.server.pages import Pages

PAGES = Pages()
LONGEST_SHOWN = 100


def routes() -> list[BaseRoute]:
    return [
        Route("/", _home),
        Route("/payment-success", _success),
        Route("/payment-cancelled", _cancelled),
    ]


async def _home(_: Request) -> Response:
    return PAGES.show("shop.html")


async def _success(request: Request) -> Response:
    return PAGES.show("shop_success.html", **_named(request))


async def _cancelled(request: Request) -> Response:
    return PAGES.show("shop_cancelled.html", **_named(request))


def _named(request: Request) -> dict[str, Any]:
    """Read what was to be paid: an order by our page, else credits by a gateway's."""
    names = {"order": "reference", "reference": "session_id"}
    return {
        name: request.query_params.get(given, "")[:LONGEST_SHOWN] for name, given in names.items()
    }
