"""The stand-in for a merchant's own site: where a payer lands after paying or cancelling.

It only reads. That someone saw a page proves nothing: credits arrive when the gateway's
webhook has been booked, and the pages say so.
"""

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
    reference = request.query_params.get("session_id", "")[:LONGEST_SHOWN]
    return PAGES.show("shop_success.html", reference=reference)


async def _cancelled(_: Request) -> Response:
    return PAGES.show("shop_cancelled.html")
