"""The control calls under `/_sandbox`: faults, the log of deliveries, the clock."""

import asyncio
import re
from contextlib import suppress
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from sandbox.faults import BadFaultError
from sandbox.gateways.server.simulator import House
from sandbox.gateways.server.worker import Worker

ARRIVE_SECONDS_MAX = 3.0


class Control:
    def __init__(self, house: House, worker: Worker) -> None:
        self.house = house
        self.worker = worker

    def routes(self) -> list[BaseRoute]:
        return [
            Route("/faults", self.add_fault, methods=["POST"]),
            Route("/faults", self.list_faults, methods=["GET"]),
            Route("/faults", self.clear_faults, methods=["DELETE"]),
            Route("/deliveries", self.deliveries, methods=["GET"]),
            Route("/deliveries/release", self.release, methods=["POST"]),
            Route("/clock", self.read_clock, methods=["GET"]),
            Route("/clock", self.move_clock, methods=["POST"]),
            Route("/clock/quiet", self.wait_until_quiet, methods=["GET"]),
        ]

    async def add_fault(self, request: Request) -> Response:
        try:
            fault = self.house.faults.add(await read_object(request))
        except BadFaultError as error:
            return JSONResponse({"error": str(error)}, 400)
        return JSONResponse(fault.as_json(), 201)

    async def list_faults(self, _: Request) -> Response:
        return JSONResponse({"faults": [fault.as_json() for fault in self.house.faults.all()]})

    async def clear_faults(self, _: Request) -> Response:
        self.house.faults.clear()
        return Response(status_code=204)

    async def deliveries(self, request: Request) -> Response:
        """List deliveries with every attempt; `gateway`, `event` and `limit` narrow it."""
        query = request.query_params
        limit = query.get("limit", "")
        log = self.house.outbox.log(
            gateway=query.get("gateway"),
            event=query.get("event"),
            limit=int(limit) if re.fullmatch("[0-9]{1,4}", limit) else 100,
        )
        return JSONResponse({"deliveries": log})

    async def release(self, request: Request) -> Response:
        """Send held deliveries one after the other, in the order given, or oldest first.

        `order` names each by the delivery's id, its event's id or its type.
        """
        order = (await read_object(request)).get("order")
        outbox = self.house.outbox
        names = [None] if order is None else [str(name) for name in order]
        sent: list[dict[str, Any]] = []
        for name in names:
            for delivery in outbox.held(name):
                attempt = await self.worker.send(delivery)
                sent.append(
                    {
                        "delivery": delivery.id,
                        "event": delivery.parcel.event,
                        "type": delivery.parcel.type,
                        "status": attempt.status if attempt else None,
                    }
                )
        return JSONResponse({"released": sent})

    async def read_clock(self, _: Request) -> Response:
        """Tell the simulated time, and when something is to happen next by itself."""
        store = self.house.store
        due = [one for one in (store.next_timer(), self.house.outbox.next_due()) if one is not None]
        return JSONResponse(
            {
                "now": store.exact_now(),
                "skew_seconds": store.skew,
                "next_due": min(due, default=None),
            }
        )

    async def wait_until_quiet(self, request: Request) -> Response:
        """Answer as `clock` does, once no webhook is on its way any more, or a while has passed.

        For who moves the time: what is signed before it and arrives after it would be refused.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(ARRIVE_SECONDS_MAX):
                await self.worker.send_all()
        return await self.read_clock(request)

    async def move_clock(self, request: Request) -> Response:
        """Set how many seconds the simulated time is ahead of the real one.

        What became due meanwhile has happened when this answers; webhooks are on their way.
        """
        order = await read_object(request)
        skew = order.get("skew_seconds", order.get("offset_seconds"))
        if isinstance(skew, bool) or not isinstance(skew, int | float):
            return JSONResponse({"error": "skew_seconds must be a number"}, 400)
        self.house.store.move_clock(skew)
        self.worker.catch_up()
        return await self.read_clock(request)


async def read_object(request: Request) -> dict[str, Any]:
    """Read a JSON object; anything else counts as an empty one."""
    try:
        found = await request.json()
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
