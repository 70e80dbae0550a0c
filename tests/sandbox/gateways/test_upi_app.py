"""A payer's UPI app, at every simulator whose gateway gives links."""

from collections.abc import Iterator

import pytest
import requests
from gateway_bench import PATIENCE, Receiver, Server

from sandbox.gateways.server import upi

HEADERS = {"x-api-version": "2025-01-01", "x-client-id": "TEST_a", "x-client-secret": "cfsk_a"}
OPTIONS = ("--key", "cashfree=TEST_a", "--secret", "cashfree=cfsk_a")
ORDER = {
    "order_amount": 2450.10,
    "order_currency": "INR",
    "customer_details": {"customer_id": "abc", "customer_phone": "9876543210"},
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    receiver = Receiver()
    http = receiver.start()
    hook = ("--webhook", f"cashfree={receiver.url}")
    server = Server(tmp_path_factory.mktemp("state"), options=(*OPTIONS, *hook))
    yield server
    server.stop()
    http.shutdown()
    http.server_close()


def asked(server: Server, path: str, body: object) -> requests.Response:
    url = f"{server.url}/cashfree/pg{path}"
    return server.http.request("POST", url, json=body, headers=HEADERS, timeout=PATIENCE)


def tried(server: Server, session: str) -> requests.Response:
    method = {"upi": {"channel": "link"}}
    body = {"payment_session_id": session, "payment_method": method}
    return asked(server, "/orders/sessions", body)


@pytest.fixture
def link(server: Server) -> str:
    order = asked(server, "/orders", ORDER).json()
    answer = tried(server, order["payment_session_id"])
    assert answer.status_code == 200, answer.text
    return str(answer.json()["data"]["payload"]["default"])


def submitted(server: Server, **form: str) -> requests.Response:
    return server.http.request("POST", f"{server.url}/upi", data=form, timeout=PATIENCE)


def test_the_app_asks_for_a_link(server: Server) -> None:
    page = server.http.request("GET", f"{server.url}/upi", timeout=PATIENCE)

    assert page.status_code == 200
    assert 'name="link"' in page.text


def test_the_app_lists_what_waits_to_be_paid(server: Server, link: str) -> None:
    reference = upi.read(link).reference

    def listed() -> bool:
        page = server.http.request("GET", f"{server.url}/upi", timeout=PATIENCE)
        return f"for {reference}" in page.text

    assert listed()
    submitted(server, link=link, vpa="testsuccess@gocash")
    assert not listed()


def test_the_app_shows_who_asks_for_how_much(server: Server, link: str) -> None:
    page = server.http.request("GET", f"{server.url}/upi", params={"link": link}, timeout=PATIENCE)

    assert "₹2450.10" in page.text
    assert "Munim Sandbox Store" in page.text
    assert "testlate@gocash" in page.text


def test_a_payer_pays_on_the_page_and_not_twice(server: Server, link: str) -> None:
    first = submitted(server, link=link, vpa="testsuccess@gocash")
    again = submitted(server, link=link, vpa="testsuccess@gocash")

    assert (first.status_code, "SUCCESS" in first.text) == (200, True)
    assert again.status_code == 409
    assert "not valid any more" in again.text


def test_a_payer_declines_on_the_page(server: Server, link: str) -> None:
    answer = submitted(server, link=link, vpa="testsuccess@gocash", decline="1")

    assert (answer.status_code, "FAILED" in answer.text) == (200, True)


@pytest.mark.parametrize(
    "text",
    [
        "https://example.com",
        "upi://pay?pa=somebody@elsewhere&tr=1&am=1.00",
        "upi://pay?pa=munim-sandbox@cashfree&tr=404&am=1.00",
        "upi://pay?pa=munim-sandbox@stripe&tr=404&am=1.00",
    ],
)
def test_the_app_takes_no_other_links(server: Server, text: str) -> None:
    assert submitted(server, link=text, vpa="testsuccess@gocash").status_code == 409
    assert "error" in server.control("/upi", {"link": text, "vpa": "a@b"})


def test_a_link_is_over_when_nobody_pays(server: Server, link: str) -> None:
    server.move_clock(11 * 60)
    told = server.control("/upi", {"link": link, "vpa": "testsuccess@gocash"})
    server.move_clock(0)

    assert told == {"error": "This code is not valid any more."}


def test_an_order_that_is_paid_gives_no_more_links(server: Server) -> None:
    order = asked(server, "/orders", ORDER).json()
    answer = tried(server, order["payment_session_id"]).json()
    link = answer["data"]["payload"]["default"]
    assert server.control("/upi", {"link": link, "vpa": "testsuccess@gocash"})["status"]

    refused = tried(server, order["payment_session_id"])
    assert (refused.status_code, refused.json()["code"]) == (400, "order_inactive")


@pytest.mark.parametrize(
    "change",
    [
        {"payment_session_id": ""},
        {"payment_session_id": "session_unknown"},
        {"payment_method": {"card": {}}},
        {"payment_method": {"upi": {"channel": "collect", "upi_id": "a@b"}}},
    ],
)
def test_a_try_that_is_not_right_is_refused(server: Server, change: dict[str, object]) -> None:
    order = asked(server, "/orders", ORDER).json()
    body = {
        "payment_session_id": order["payment_session_id"],
        "payment_method": {"upi": {"channel": "link"}},
    }
    assert asked(server, "/orders/sessions", body | change).status_code == 400


def test_a_written_link_is_read_back() -> None:
    written = upi.link("payu", "T 1", "2450.10", "for & against")

    assert upi.read(written) == upi.Asked("payu", "T 1", "2450.10", upi.PAYEE_NAME)
    assert "+" not in written
