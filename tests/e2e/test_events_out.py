"""A payment is told to an event bus and to a plain address, over real parts."""

from collections.abc import Iterator
from typing import Any

import pytest
from e2e.product import World, until
from e2e.test_orders import initiated

from sandbox import tokens

DESTINATIONS = ("eventbridge", "url")


@pytest.fixture
def shop(product: World) -> Iterator[World]:
    """A shop whose events go to both."""
    for destination in DESTINATIONS:
        product.sql(
            "insert into event_destinations (organization_id, livemode, destination, profile)"
            " values (%s, false, %s, 'novamart') on conflict (organization_id, livemode,"
            " destination) do update set is_active = true returning destination",
            tokens.TIGER_CAMPUS,
            destination,
        )
    yield product
    product.sql(
        "update event_destinations set is_active = false where organization_id = %s"
        " returning destination",
        tokens.TIGER_CAMPUS,
    )


def came(product: World, order: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """What the bus and the address have of an order that is paid, each once."""
    (row,) = product.sql(
        "select payment_intent_id::text as id from orders where display_id = %s",
        order["transaction_id"],
    )
    answer = product.control("GET", f"eventbridge/events?object={row['id']}").json()
    paid = [each for each in answer["events"] if each["detail-type"] == "payment.succeeded"]
    return {event["bus"]: event for event in paid}


def paid_order(product: World) -> dict[str, Any]:
    order = initiated(product)
    # Only then is a page of the gateway's open.
    product.web.get(order["payment_url"])
    product.pay(order["gateway_order_id"])
    return order


def test_a_payment_is_told_at_once_to_all_who_want_it(shop: World) -> None:
    order = paid_order(shop)
    events = until(lambda: len(found := came(shop, order)) == 2 and found, "the events")

    assert set(events) == {"default", "the plain address"}
    for event in events.values():
        assert (event["detail-type"], event["source"]) == (
            "payment.succeeded",
            "novamart.payments",
        )
        detail = event["detail"]
        assert (detail["amount"], detail["currency"], detail["status"]) == (
            42.0,
            "USD",
            "SUCCEEDED",
        )
        assert detail["orderId"].startswith("ORD-")
        assert detail["event"]["sequence"] == 2
    assert len({event["detail"]["event"]["id"] for event in events.values()}) == 1


def test_what_a_bus_that_is_down_did_not_take_the_sweeper_brings(shop: World) -> None:
    shop.control(
        "POST",
        "faults",
        json={"gateway": "eventbridge", "operation": "*", "kind": "refuse", "times": None},
    )
    order = paid_order(shop)
    until(lambda: len(waiting(shop, order)) == 2, "the silence")
    assert came(shop, order) == {}

    shop.control("DELETE", "faults")
    until(lambda: swept(shop, order) == [], "the end of the silence")
    assert set(came(shop, order)) == {"default", "the plain address"}
    assert shop.broken() == {}


def swept(shop: World, order: dict[str, Any]) -> list[int]:
    """Sweep; what is left may have been tried in vain by Hasura a moment before, and put off."""
    shop.sql(
        "update event_publications set due_at = clock_now() where due_at is not null returning 1"
    )
    shop.tick("publish_events")
    return waiting(shop, order)


def waiting(product: World, order: dict[str, Any]) -> list[int]:
    """How often what has not been published was tried."""
    rows = product.sql(
        "select attempts from event_publications join events on events.id = event_id"
        " join orders on orders.payment_intent_id = object_id"
        " where display_id = %s and status = 'pending' and last_error is not null"
        " and type = 'payment.succeeded'",
        order["transaction_id"],
    )
    return [row["attempts"] for row in rows]
