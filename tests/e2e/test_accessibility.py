"""Every state of our pages, in both languages, light and dark, on phones and desks, under axe."""

import re
from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from e2e.axe import armed, faults
from e2e.browser import PAINTED, SIZES, Browser, needs_chromium
from e2e.product import until
from flask import Flask, Response
from in_process import ENVIRON
from payers import selected

from app import create_app
from app.gateways import Checkout, Method
from app.payments import embedding, screens

pytestmark = [needs_chromium, pytest.mark.timeout(420)]  # the first run installs axe

SHOP = "https://shop.example"
BYTES_MAX = 50_000
LANGUAGES = ["en", "hi"]
METHODS = [Method.UPI, Method.CARD, Method.NETBANKING, Method.WALLET, Method.EMI, Method.PAY_LATER]
PAGE: dict[str, Any] = {
    **dict.fromkeys(field.name.value for field in selected("PaymentPageOf")),
    "token": "t" * 32,
    "organization_name": "Uber Truck",
    "reference": "BK-17",
    "display_id": "TXN-0123456789",
    "title": "Booking BK-17: Pune to Bengaluru, 14 tonnes",
    "amount": "24500000",
    "currency": "INR",
    "status": "pending",
    "success_url": f"{SHOP}/payment-success",
    "cancel_url": f"{SHOP}/payment-cancelled",
    "is_over": False,
    "is_exhausted": False,
    "embedding_origins": [SHOP],
}
OPEN = {"payment_attempt_id": "a-1", "payment_attempt_status": "pending", "gateway": "payu"}
ROW = PAGE | OPEN
CARD = {"id": "c-1", "gateway": "stripe"}
ACCOUNT = {
    "holder_name": "Uber Truck Private Limited",
    "bank_name": "State Bank of India",
    "account_number": "00000012345678901",
    "ifsc": "SBIN0001234",
}

Draw = Callable[[str], Response]


def page(methods: list[Method] = METHODS, notice: str = "", **changes: Any) -> Draw:
    row = PAGE | changes
    return lambda language: screens.show(screens.Screen(row, language, methods, notice))


def framed(**changes: Any) -> Draw:
    """As on a merchant's site, where a policy would keep it from being looked at alone."""

    def draw(language: str) -> Response:
        frame = embedding.Frame(SHOP, "tab", language)
        answer = screens.show(screens.Screen(PAGE | changes, language, METHODS, "", frame))
        answer.set_data(answer.get_data(as_text=True).replace("parent === window", "false"))
        return answer

    return draw


def way_on(form: dict[str, str]) -> Draw:
    """The hand-over, held where it would go on by itself."""

    def draw(language: str) -> Response:
        opened = Checkout("ref-1", "https://secure.payu.example/_payment", form)
        answer = screens.hand_over(ROW, opened, language)
        text = answer.get_data(as_text=True).replace(".submit()", "")
        answer.set_data(re.sub(r'<meta http-equiv="refresh"[^>]*>', "", text))
        return answer

    return draw


def upi_code(minutes: int) -> Draw:
    link = "upi://pay?pa=shop@bank&pn=Uber%20Truck&tr=1&tn=BK-17&am=245000.00&cu=INR"
    code = screens.Code(link, timedelta(minutes=minutes))
    return lambda language: screens.show_code(code, ROW, ROW, language)


def saved(language: str) -> Response:
    cards = [
        {**CARD, "brand": "visa", "last4": "4242", "expires_on": "2034-12-31"},
        {**CARD, "brand": None, "last4": None, "expires_on": None},
    ]
    screen = screens.Screen(PAGE, language, METHODS, payer="pass", saved=cards)
    return screens.show(screen)


def said(message: str, status: int) -> Draw:
    return lambda language: screens.tell(message, status, language)


STATES: dict[str, Draw] = {
    "choose": page(),
    "resume": page(**OPEN),
    "nothing": page([]),
    "busy": page(notice="busy", **OPEN),
    "silent": page(notice="silent"),
    "refused": page(notice="refused"),
    "turned-back": page(notice="turned-back", **OPEN),
    "declined": page(payment_attempt_status="failed", decline_class="soft"),
    "waiting": page([], **OPEN | {"payment_attempt_status": "processing"}),
    "paid": page([], status="paid"),
    "canceled": page([], status="canceled"),
    "expired": page([], is_over=True),
    "exhausted": page([], is_exhausted=True),
    "saved": saved,
    "bank-transfer": partial(screens.show_bank_account, PAGE | {"bank_account": ACCOUNT}),
    "framed": framed(),
    "framed-paid": framed(status="paid"),
    "handover": way_on({}),
    "handover-form": way_on({"key": "k", "txnid": "t"}),
    "upi": upi_code(9),
    "upi-over": upi_code(0),
    "not-found": said("not-found", 404),
    "not-genuine": said("signature-invalid", 401),
    "too-many": said("too-many-requests", 429),
}


@pytest.fixture(scope="module")
def flask() -> Flask:
    return create_app(ENVIRON)


@pytest.fixture(scope="module")
def address(flask: Flask) -> Iterator[str]:
    """Serve each state with its own headers, at /<state>/<language>."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            _, name, language = (*self.path.split("/"), "")[:3]
            told = language if language in LANGUAGES else "en"  # a page may ask how it stands
            with flask.test_request_context():
                answer = STATES.get(name, STATES["not-found"])(told)
            self.send_response(answer.status_code)
            for header, value in answer.headers:
                self.send_header(header, value)
            self.end_headers()
            self.wfile.write(answer.get_data())

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield f"http://localhost:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def auditor(browser: Browser) -> Browser:
    """The browser, with axe in every page that it shows."""
    return armed(browser)


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("name", STATES)
def test_everybody_can_use_a_page(
    auditor: Browser, address: str, album: Path, name: str, language: str
) -> None:
    found = {}
    for size, window in SIZES.items():
        for scheme in ("light", "dark"):
            auditor.show(*window, scheme)
            auditor.go(f"{address}/{name}/{language}")
            auditor.draw(album / f"{name}-{language}-{size}-{scheme}.png")
            found[size, scheme] = faults(auditor)
            fits = "document.documentElement.scrollWidth <= innerWidth"
            assert auditor.run(fits), f"{name} is wider than {size}"
    assert {where: what for where, what in found.items() if what} == {}


def test_axe_finds_what_is_wrong(auditor: Browser, address: str) -> None:
    auditor.show(*SIZES["phone"])
    auditor.go(f"{address}/choose/en")
    auditor.run("document.querySelector('.title').style.color = '#ccc'")
    auditor.run("document.documentElement.removeAttribute('lang')")

    assert {fault.partition(":")[0] for fault in faults(auditor)} == {
        "color-contrast",
        "html-has-lang",
    }


@pytest.mark.parametrize("name", STATES)
def test_a_page_weighs_little_and_fetches_nothing(flask: Flask, name: str) -> None:
    with flask.test_request_context():
        answer = STATES[name]("hi")
    text = answer.get_data(as_text=True)

    assert len(answer.get_data()) < BYTES_MAX
    assert not re.findall(r"""(?:src|@import|url\()\s*=?\s*["']?(?:https?:)?//""", text)


@pytest.mark.parametrize("name", ["choose", "framed", "waiting"])
def test_a_page_is_painted_within_a_second(
    auditor: Browser, address: str, pytestconfig: pytest.Config, name: str
) -> None:
    auditor.show(*SIZES["phone"])

    def milliseconds() -> float:
        auditor.go(f"{address}/{name}/hi")
        painted = float(auditor.wait(PAINTED))
        pytestconfig.get_terminal_writer().line(f" first paint of {name}: {painted:.0f} ms")
        return painted

    until(lambda: milliseconds() < 1000, "a paint within a second")  # the machine may be busy
