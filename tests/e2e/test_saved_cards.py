"""A customer pays with the card they saved: offered first, confirmed at Stripe, theirs alone."""

from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from e2e.browser import SIZES, Browser, needs_chromium
from e2e.product import World, until
from e2e.test_autopay import set_up
from e2e.test_orders import status

INITIATE = """
mutation ($order: String!) {
  initiatePayment(order_reference: $order, amount: 4200, currency: "USD", title: "A desk") {
    transaction_id payment_url payer_url
  }
}
"""
CARDS = """
select payment_methods.id::text as id, last4, brand, expires_on
from payment_methods
join customers on customers.id = payment_methods.customer_id
where user_id = %s
"""


@pytest.fixture
def order(product: World) -> dict[str, Any]:
    """An order of somebody whose card is saved, and known by its last digits."""
    set_up(product, product.payer, "4242424242424242")

    def looked_up() -> dict[str, Any] | None:
        product.tick("check_autopay_setups")
        (card,) = product.sql(CARDS, product.payer.id)
        return card if card["last4"] else None

    card = until(looked_up, "the card's last digits")
    assert (card["last4"], card["brand"], card["expires_on"].day) == ("4242", "visa", 31)
    product.sql("update page_tries set tries = 0 returning 1 as it")
    answer = product.graphql(INITIATE, order=f"ORD-{uuid4().hex[:8]}")
    return dict(answer["data"]["initiatePayment"])


@needs_chromium
@pytest.mark.parametrize("size", SIZES)
def test_a_saved_card_pays(product, browser: Browser, order, album: Path, size: str) -> None:
    browser.show(*SIZES[size])
    browser.go(order["payer_url"])
    browser.read("Visa ending in 4242")
    browser.draw(album / f"saved-card-{size}.png")
    browser.press("ul.saved button")
    browser.wait("document.querySelector('input[name=payment_method]:checked')?.value[0] === 'p'")
    browser.draw(album / f"saved-card-at-stripe-{size}.png")
    assert status(product, order["transaction_id"]) == "initiated"

    browser.press("main form button")
    browser.read("Paid. Thank you!")
    assert status(product, order["transaction_id"]) == "success"
    assert product.broken() == {}

    # Who has but the address of another order of theirs sees nothing of it, nor goes on with it.
    other = product.graphql(INITIATE, order=f"ORD-{uuid4().hex[:8]}")
    pages = other["data"]["initiatePayment"]
    (card,) = product.sql(CARDS, product.payer.id)
    asked = {"payer": pages["payer_url"].rpartition("=")[2], "saved": card["id"]}
    there = product.web.post(f"{pages['payment_url']}/methods/card", data=asked)
    place = f"{product.ports.app_url}{there.headers['location']}"
    assert "4242" not in product.web.get(pages["payment_url"]).text
    assert "/payments/handover/" not in product.web.get(pages["payment_url"]).text
    assert product.web.get(place.partition("?")[0]).status_code == 303
    assert product.web.get(place).status_code == 200
    stolen = product.web.post(f"{pages['payment_url']}/methods/card", data=asked | {"payer": "1.2"})
    assert "payer" not in stolen.headers["location"]
