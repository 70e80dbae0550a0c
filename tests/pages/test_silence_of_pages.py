"""What opening a page tells of whether its gateway works: an answer, silence, or nothing."""

from importlib import import_module
from typing import Any

import pytest
from in_process import context

from app import gateways, pages
from app.capabilities import Capability
from app.errors import GatewaySilentError, GatewayUnavailableError
from app.gateways import Charge, Checkout

from .test_page_doors import ROW


class House:
    """A gateway that opens pages, or fails, and a database that notes what it is told."""

    def __init__(self, failure: Exception | None = None, *, asks: bool = True) -> None:
        self.failure = failure
        self.capabilities = frozenset[Capability]() if asks else frozenset({Capability.UNASKED})
        self.told: dict[str, dict[str, Any]] = {}

    def open(self, charge: Charge) -> Checkout:
        if self.failure:
            raise self.failure
        return Checkout(charge.id, "https://gateway.example/page")

    def run(self, name: str, **said: Any) -> list[dict[str, Any]]:
        self.told[name] = said
        return [{}]

    def one(self, name: str, **said: Any) -> dict[str, Any]:
        return self.run(name, **said)[0]

    def open_page(self) -> None:
        pages.open_page(context(hasura=self, gateway=lambda _: self), ROW)


@pytest.mark.parametrize("asks", [True, False])
def test_a_page_is_an_answer_where_its_gateway_was_asked(asks: bool) -> None:
    house = House(asks=asks)
    house.open_page()

    assert house.told["RecordCheckoutSession"]["isAnswer"] is asks


@pytest.mark.parametrize("kind", [GatewaySilentError, GatewayUnavailableError])
def test_only_silence_is_told_as_such(kind: type[GatewayUnavailableError]) -> None:
    house = House(kind("no page"))
    with pytest.raises(kind):
        house.open_page()

    assert house.told["MarkPaymentUnknown"]["isSilent"] is (kind is GatewaySilentError)


def test_all_but_payu_are_asked_for_their_pages() -> None:
    adapters = {name: import_module(f"app.gateways.{name}").Adapter for name in gateways.names()}
    unasked = [name for name, each in adapters.items() if Capability.UNASKED in each.capabilities]

    assert unasked == ["payu"]
