"""A form that leads to a gateway is led on to another of its hosts, and a browser lets it."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import ClassVar

import pytest
from e2e.browser import browse, needs_chromium
from flask import Flask, Response
from in_process import ENVIRON

from app import create_app
from app.gateways import Checkout
from app.gateways.cashfree import orders
from app.gateways.payu import pages
from app.payments import screens

ROW = {"title": "Booking", "amount": "245000", "currency": "INR", "gateway": "payu"}


def handed_over(opened: Checkout) -> Response:
    app: Flask = create_app(ENVIRON)
    with app.test_request_context():
        return screens.hand_over(ROW, opened, "en")


def policy(*leads_to: str) -> str:
    opened = Checkout("r-1", "https://secure.payu.in/_payment", {"txnid": "r-1"}, leads_to)
    return handed_over(opened).headers["Content-Security-Policy"]


def test_the_policy_names_the_page_and_where_it_leads() -> None:
    assert policy("https://*.payu.in").endswith(
        "form-action https://secure.payu.in https://*.payu.in"
    )
    assert policy().endswith("form-action https://secure.payu.in")


def test_a_page_without_a_form_posts_nothing() -> None:
    opened = Checkout("r-1", "https://pay.example/1", leads_to=("https://*.example",))

    assert handed_over(opened).headers["Content-Security-Policy"].endswith("form-action 'none'")


@pytest.mark.parametrize(
    ("url", "leads_to"),
    [
        ("https://secure.payu.in", ("https://*.payu.in",)),
        ("https://test.payu.in/", ("https://*.payu.in",)),
        ("https://secure.payu.in.example", ()),
        ("http://localhost:9000/payu", ()),
    ],
)
def test_payu_leads_to_its_own_hosts(url: str, leads_to: tuple[str, ...]) -> None:
    assert pages.leads_to(url) == leads_to


@pytest.mark.parametrize(
    ("url", "leads_to"),
    [
        ("https://api.cashfree.com/pg", ("https://*.cashfree.com",)),
        ("https://sandbox.cashfree.com/pg", ("https://*.cashfree.com",)),
        ("https://notcashfree.com/pg", ()),
        ("http://localhost:9000/cashfree/pg", ()),
    ],
)
def test_cashfree_leads_to_its_own_hosts(url: str, leads_to: tuple[str, ...]) -> None:
    found = {"order_id": "o-1", "payment_session_id": "s-1"}

    assert orders.checkout(url, found).leads_to == leads_to


class Host(BaseHTTPRequestHandler):
    """One host of a gateway, or of ours: what it answers, and where it leads."""

    page: ClassVar[Response | None] = None
    onward: ClassVar[str] = ""

    def do_GET(self) -> None:
        self.answer(200, self.page.get_data() if self.page else b"<title>the page</title>")

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.answer(303, b"")

    def answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        for name, value in self.page.headers if self.page else ():
            if name not in {"Content-Length", "Content-Type"}:
                self.send_header(name, value)
        if self.onward:
            self.send_header("Location", self.onward)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def served(**names: object) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("OneHost", (Host,), names))
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@needs_chromium
@pytest.mark.thorough
@pytest.mark.parametrize("is_named", [True, False], ids=["named", "not named"])
def test_a_browser_goes_on_to_the_hosts_that_are_named_alone(tmp_path: Path, is_named) -> None:
    with served() as page_host, served(onward=page_host) as form_host:
        leads_to = (page_host,) if is_named else ()
        shown = handed_over(Checkout("r-1", f"{form_host}/_payment", {"txnid": "r-1"}, leads_to))
        with served(page=shown) as ours, browse(tmp_path) as browser:
            browser.ask("Page.navigate", url=ours)
            if is_named:
                browser.wait(f"location.origin === {page_host!r} && document.title === 'the page'")
            else:
                time.sleep(2)  # a refusal of the policy is nothing that one could wait for
                assert browser.run("location.origin") == ours
