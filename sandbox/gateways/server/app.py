"""Puts the parts together: one application for every simulator."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles

from sandbox import shop
from sandbox.faults import Faults
from sandbox.gateways.server.control import Control
from sandbox.gateways.server.deliveries import Outbox
from sandbox.gateways.server.pages import STATIC, Pages
from sandbox.gateways.server.simulator import House, Simulator
from sandbox.gateways.server.state import Store
from sandbox.gateways.server.upi import UpiApp
from sandbox.gateways.server.worker import Worker


def build_house(state: Path, origin: str) -> House:
    """Open the state and make what simulators are given."""
    store, faults = Store(state), Faults()
    return House(store, faults, Outbox(store, faults), origin.rstrip("/"))


def build_app(house: House, simulators: Mapping[str, Simulator], *, lead: float = 0.0) -> Starlette:
    """Mount every simulator at its name, and the control calls beside them."""
    worker = Worker(house.store, house.outbox, simulators, lead=lead)
    pages = Pages()

    async def index(_: Request) -> Response:
        overviews = [simulator.overview() for simulator in simulators.values()]
        deliveries = house.outbox.log(gateway=None, event=None, limit=12)
        return pages.show("index.html", overviews=overviews, deliveries=deliveries)

    async def healthz(_: Request) -> Response:
        return JSONResponse({"status": "ok", "simulators": list(simulators)})

    control: list[BaseRoute] = Control(house, worker).routes()
    control += [Mount(f"/{name}", routes=one.control_routes()) for name, one in simulators.items()]
    return Starlette(
        routes=[
            Route("/", index),
            Route("/healthz", healthz),
            *UpiApp(simulators, pages).routes(),
            Mount("/_sandbox", routes=control),
            Mount("/static", StaticFiles(directory=STATIC)),
            Mount("/shop", routes=shop.routes()),
            *(Mount(f"/{name}", routes=one.routes()) for name, one in simulators.items()),
        ],
        lifespan=lambda _: _lifespan(worker, house),
    )


@asynccontextmanager
async def _lifespan(worker: Worker, house: House) -> AsyncIterator[None]:
    task = asyncio.create_task(worker.run())
    yield
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    house.store.close()
