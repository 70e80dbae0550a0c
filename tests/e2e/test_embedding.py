"""Our page over a shop's own, in a real browser: opened, paid on, closed, and refused."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from e2e.browser import SIZES, Browser, needs_chromium, tab, tabs
from e2e.hosted import STRIPE
from e2e.product import World, until
from e2e.test_orders import initiated, status
from e2e.test_payment_page import booking, hear

from app.payments.embedding import SCRIPT, integrity
from sandbox import tokens, world

pytestmark = needs_chromium

PAGE = """<!doctype html>
<html lang="en"><head><title>A shop</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<script src="{script}" integrity="{integrity}" crossorigin="anonymous"></script>
</head><body><h1>A shop</h1><p>A desk, $42.00</p>
<a id="pay" data-munim href="{url}">Pay now</a>
<script nonce="shop">
document.body.style.cssText = "font: 18px/1.6 system-ui; padding: 40px; height: 3000px";
window.told = [];
window.heard = [];
addEventListener("message", (event) => heard.push(event.data.munim));
for (const name of ["result", "close"])
  addEventListener("munim:" + name, (event) => told.push([name, event.detail]));
</script></body></html>"""


@dataclass
class Shop:
    """A merchant's site that sells one thing, with a strict policy of its own."""

    app_url: str
    origin: str = ""
    url: str = ""

    def page(self) -> bytes:
        script = f"{self.app_url}/{SCRIPT}"
        return PAGE.format(script=script, integrity=integrity(), url=self.url).encode()

    @property
    def policy(self) -> str:
        return (
            f"default-src 'none'; script-src {self.app_url} 'nonce-shop'; frame-src {self.app_url}"
        )


@pytest.fixture(scope="module")
def shop(running: World) -> Iterator[Shop]:
    shop = Shop(running.ports.app_url)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.send_header("Content-Security-Policy", shop.policy)
            self.end_headers()
            self.wfile.write(shop.page())

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        shop.origin = f"http://localhost:{server.server_port}"
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield shop
        server.shutdown()
        thread.join()


def allow(product: World, *origins: str) -> None:
    answer = product.web.post(
        f"{product.ports.app_url}/set-embedding-origins",
        json={
            "input": {"origins": origins},
            "session_variables": {
                "x-hasura-role": "owner",
                "x-hasura-user-id": "owner-1",
                "x-hasura-organization-id": tokens.find("fiona").claims["x-hasura-organization-id"],
            },
        },
        headers={"ACTION-SECRET": world.ACTION_SECRET},
    )
    assert answer.json() == {"origins": list(origins)}, answer.text


@pytest.fixture
def order(product: World, shop: Shop) -> dict[str, Any]:
    product.sql("update page_tries set tries = 0 returning 1 as it")
    allow(product, shop.origin)
    order = initiated(product, gateway=None)
    shop.url = order["payment_url"]
    return order


def visit(browser: Browser, shop: Shop, size: str, scheme: str = "light") -> Browser:
    """Press the shop's button, and wait for our page over it."""
    browser.show(*SIZES[size], scheme)
    browser.go(shop.origin)
    browser.run("document.querySelector('#pay').focus()")
    browser.press("#pay")
    inside = browser.inside()
    inside.read("How would you like to pay?")
    browser.wait("heard.length > 0 && document.activeElement.tagName === 'IFRAME'")
    return inside


def told(browser: Browser) -> list[tuple[str, str | None]]:
    return [(name, said.get("status")) for name, said in browser.run("told")]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", SIZES)
def test_our_page_opens_over_the_shops(browser, shop, order, album: Path, size, scheme) -> None:
    inside = visit(browser, shop, size, scheme)
    browser.draw(album / f"embedded-{size}-{scheme}.png", is_whole=False)

    assert browser.run("document.querySelector('dialog').matches(':modal')")
    assert browser.run("document.querySelector('dialog').ariaLabel") == "Payment"
    assert browser.run("document.activeElement.tagName") == "IFRAME"
    assert browser.run("getComputedStyle(document.documentElement).overflow") == "hidden"
    wide = browser.run("document.querySelector('iframe').getBoundingClientRect().width")
    assert wide == (480 if size == "desktop" else SIZES["phone"][0])
    assert inside.run("document.documentElement.scrollWidth <= innerWidth")
    assert told(browser) == []


def test_a_payer_pays_beside_the_shop(product, browser, profile, shop, order, album) -> None:
    inside = visit(browser, shop, "desktop")
    inside.press('form[action*="/methods/card"] button')
    with tab(profile, product.ports.gateways_url) as beside:
        STRIPE.pay(beside)
        beside.read("Paid. Thank you!")
        beside.draw(album / "embedded-beside.png")
        assert "You can close this window" in beside.text()
        beside.leave()

    browser.wait("told.length === 2")
    assert told(browser) == [("result", "paid"), ("close", "paid")]
    said = browser.run("told[0][1]")
    assert said["transaction_id"] == order["transaction_id"]
    assert browser.run("document.querySelector('dialog')") is None
    until(lambda: len(tabs(profile)) == 1, "the end of the other window")
    assert status(product, order["transaction_id"]) == "success"
    assert product.broken() == {}


def test_on_a_phone_the_payer_goes_there_and_comes_back(product, browser, shop, order) -> None:
    inside = visit(browser, shop, "phone")
    inside.press('form[action*="/methods/card"] button')
    STRIPE.pay(browser)
    browser.read("Paid. Thank you!")

    browser.leave()
    browser.wait("location.pathname.endsWith('/payment-success')")
    assert status(product, order["transaction_id"]) == "success"


@pytest.mark.parametrize("way", ["escape inside", "escape outside", "button", "link"])
def test_a_payer_closes_the_page_and_is_where_they_were(browser, shop, order, way) -> None:
    inside = visit(browser, shop, "desktop")
    if way == "button":
        browser.press("dialog button")
    elif way == "link":
        inside.press("a.away")
    else:
        if way == "escape outside":
            browser.run("document.querySelector('dialog button').focus()")
        browser.type("Escape")

    browser.wait("told.length === 1")
    assert told(browser) == [("close", "open")]
    assert browser.run("[document.querySelector('dialog'), document.activeElement.id]") == [
        None,
        "pay",
    ]
    assert browser.run("document.documentElement.style.overflow") == ""
    assert browser.run("location.href") == f"{shop.origin}/"


def test_a_site_that_is_not_allowed_is_left_for_the_page(product, browser, shop, order) -> None:
    allow(product, "https://another.example")
    browser.show(*SIZES["desktop"])
    browser.go(shop.origin)
    browser.press("#pay")

    browser.wait(f"location.href === {json.dumps(order['payment_url'])}")
    browser.read("How would you like to pay?")


def test_what_others_say_is_not_listened_to(browser: Browser, shop: Shop, order) -> None:
    inside = visit(browser, shop, "desktop")
    forged = '{munim: {status: "paid", final: true}}'
    browser.run(f"postMessage({forged}, '*')")
    browser.run(
        "document.body.append(Object.assign(document.createElement('iframe'),"
        f" {{srcdoc: '<script nonce=shop>parent.postMessage({forged}, \"*\")</script>'}}))"
    )
    inside.run("postMessage({munim: {close: true}}, '*')")
    browser.wait("heard.filter((said) => said?.final).length === 2")
    browser.press("dialog button")

    browser.wait("told.length === 1")
    assert told(browser) == [("close", "open")]


def test_a_page_that_is_asked_for_as_framed_and_is_not_is_plain(browser, shop, order) -> None:
    browser.show(*SIZES["desktop"])
    browser.go(f"{order['payment_url']}?origin={shop.origin}&in=tab")

    browser.wait(f"location.href === {json.dumps(order['payment_url'])}")


def test_a_decline_is_told_and_the_payer_goes_on(product, browser, shop, album) -> None:
    tarun = tokens.find("tarun").claims["x-hasura-organization-id"]
    product.sql(
        "insert into embedding_origins values (%s, false, %s, 'me') returning 1 as it",
        *(tarun, shop.origin),
    )
    booked = booking(product, gateway="payu")
    shop.url = booked["payment_url"]
    browser.show(*SIZES["phone"])
    browser.go(shop.origin)
    browser.press("#pay")
    inside = browser.inside()
    inside.read("Continue at PayU")
    attempt = inside.run("document.querySelector('a.go').pathname").rpartition("/")[2]
    hear(product, attempt, "failed", decline_class="soft")
    inside.read("Your bank declined the payment")
    browser.draw(album / "embedded-declined.png", is_whole=False)

    browser.wait("told.length === 1")
    said = browser.run("told[0][1]")
    assert (said["status"], said["reason"], said["final"]) == ("failed", "soft", False)
