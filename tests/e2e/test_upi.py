"""UPI on our own page: a code or a link into the payer's app, at every gateway that gives one."""

import json
import re
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest
from e2e.browser import SIZES, needs_chromium, tab
from e2e.product import World, until
from e2e.test_orders import status
from e2e.test_payment_page import booking, chosen, place

GOOD = {
    "cashfree": "testsuccess@gocash",
    "razorpay": "success@razorpay",
    "payu": "success@payu",
}
BAD = {"cashfree": "testfailure@gocash", "razorpay": "failure@razorpay", "payu": "failure@payu"}
LINK = re.compile(r'href="(upi://pay\?[^"]*)"')
LAKH = 100_000


@pytest.fixture(autouse=True)
def unhurried(product: World) -> None:
    """All of these tests come from one address, in one hour."""
    product.sql("update page_tries set tries = 0 returning 1 as it")


def booked(product: World, **changes: Any) -> dict[str, Any]:
    return booking(product, amount=2450.10, **changes)


def code_of(product: World, order: dict[str, Any]) -> str:
    """Choose UPI, and give the address of the page with the code."""
    there = place(product, chosen(product, order, "upi"))
    answer: httpx.Response = product.web.get(there, follow_redirects=True)
    assert answer.status_code == 200, answer.text
    return str(answer.url)


def link_at(product: World, address: str) -> str:
    (link,) = LINK.findall(product.web.get(address).text)
    return unescape(link)


def opened(product: World, link: str, vpa: str | None) -> httpx.Response:
    """Have the payer's app open a link, and pay from an address, or decline."""
    answer: httpx.Response = product.web.post(
        f"{product.ports.gateways_url}/_sandbox/upi", json={"link": link, "vpa": vpa}
    )
    return answer


def paid(product: World, order: dict[str, Any]) -> None:
    until(lambda: status(product, order["transaction_id"]) == "success", "the payment")


def refunds_of(product: World, order: dict[str, Any]) -> list[dict[str, Any]]:
    return product.sql(
        "select refunds.status, refunds.amount, refunds.reason, is_surplus from refunds"
        " join payment_attempts on payment_attempts.id = refunds.payment_attempt_id"
        " join orders on orders.payment_intent_id = refunds.payment_intent_id"
        " where orders.display_id = %s",
        order["transaction_id"],
    )


def wait_an_hour(product: World, order: dict[str, Any]) -> None:
    """Make an order's refunds older, and due."""
    product.sql(
        "update refunds set created_at = refunds.created_at - interval '61 minutes',"
        " next_check_at = clock_now()"
        " from orders where orders.payment_intent_id = refunds.payment_intent_id"
        " and orders.display_id = %s returning refunds.id",
        order["transaction_id"],
    )


def age(product: World, link: str, minutes: int = 10) -> None:
    """Let some of a code's ten minutes pass."""
    product.sql(
        "update checkout_sessions set link_expires_at = link_expires_at - %s * interval '1 minute'"
        " where url = %s returning 1 as it",
        minutes,
        link,
    )


def fault(product: World, gateway: str, operation: str, kind: str) -> None:
    """Spoil an operation until faults are cleared, however often it is tried."""
    wanted = {"gateway": gateway, "operation": operation, "kind": kind, "times": None}
    product.control("POST", "faults", json=wanted)


@pytest.mark.parametrize("gateway", GOOD)
def test_a_code_is_paid_and_the_page_goes_on(product: World, gateway: str) -> None:
    order = booked(product, gateway=gateway, payment_method="upi")
    address = code_of(product, order)
    link = link_at(product, address)
    assert "am=2450.10" in link
    assert opened(product, link, GOOD[gateway]).is_success

    paid(product, order)
    assert "Paid. Thank you!" in product.web.get(address, follow_redirects=True).text
    assert product.broken() == {}


@pytest.mark.parametrize("gateway", GOOD)
def test_who_is_declined_pays_with_another_code(product: World, gateway: str) -> None:
    order = booked(product, gateway=gateway, payment_method="upi")
    address = code_of(product, order)
    first = link_at(product, address)
    assert opened(product, first, BAD[gateway]).is_success

    if gateway == "payu":  # a txnid is one try: our page hears that it failed
        until(lambda: "/pay/" in str(product.web.get(address, follow_redirects=True).url), "it")
        address = code_of(product, order)
    else:
        age(product, first, 1)
        address = str(product.web.post(f"{address}/code", follow_redirects=True).url)
    second = link_at(product, address)
    assert second != first
    assert opened(product, second, GOOD[gateway]).is_success
    paid(product, order)
    assert product.broken() == {}


@pytest.mark.parametrize("gateway", GOOD)
def test_a_code_stays_the_same_until_another_is_asked_for(product: World, gateway: str) -> None:
    order = booked(product, gateway=gateway, payment_method="upi")
    address = code_of(product, order)
    link = link_at(product, address)

    assert code_of(product, order) == address
    assert link_at(product, address) == link
    page = product.web.get(order["payment_url"]).text
    assert "Go on with UPI" in page
    assert "/methods/card" in page


def paid_by_both_codes(product: World, gateway: str) -> dict[str, Any]:
    order = booked(product, gateway=gateway, payment_method="upi")
    address = code_of(product, order)
    first = link_at(product, address)
    age(product, first, 1)
    product.web.post(f"{address}/code")
    second = link_at(product, address)
    for link in (second, first):
        assert opened(product, link, GOOD[gateway]).is_success
    paid(product, order)
    return order


def test_of_two_codes_that_are_both_paid_one_payment_goes_back(product: World) -> None:
    order = paid_by_both_codes(product, "cashfree")

    (refund,) = until(lambda: refunds_of(product, order), "the surplus")
    assert (refund["amount"], refund["reason"], refund["is_surplus"]) == (245_010, "surplus", True)
    wait_an_hour(product, order)  # in which Cashfree might have sent it back by itself
    until(
        lambda: (
            product.tick("check_refunds")
            and [one["status"] for one in refunds_of(product, order)] == ["succeeded"]
        ),
        "the refund",
    )
    assert status(product, order["transaction_id"]) == "success"
    assert product.broken() == {}


def test_of_two_codes_razorpay_gives_one_payment_back_by_itself(product: World) -> None:
    order = paid_by_both_codes(product, "razorpay")

    given_back = (
        "select status from gateway_events where type = 'refund.processed'"
        " and notice ->> 'gateway_session_id' = %s"
    )
    page = order["gateway_order_id"]
    assert until(lambda: product.sql(given_back, page), "word of it") == [{"status": "ignored"}]
    assert refunds_of(product, order) == []  # it never took that money for us
    assert status(product, order["transaction_id"]) == "success"
    assert product.broken() == {}


def test_a_code_that_is_over_says_so_and_is_paid_all_the_same(product: World) -> None:
    """The gateway takes it longer than our page shows it: what is paid is paid."""
    order = booked(product, gateway="cashfree", payment_method="upi")
    address = code_of(product, order)
    link = link_at(product, address)
    age(product, link)
    over = product.web.get(address)
    assert "This code is not valid any more" in over.text
    assert "upi://" not in over.text
    assert opened(product, link, GOOD["cashfree"]).is_success

    paid(product, order)
    assert product.broken() == {}


def test_who_paid_before_the_code_was_over_is_not_asked_again(product: World) -> None:
    order = booked(product, gateway="cashfree", payment_method="upi")
    address = code_of(product, order)
    link = link_at(product, address)
    lost = {"gateway": "cashfree", "operation": "webhook:*", "kind": "drop", "times": None}
    product.control("POST", "faults", json=lost)
    assert opened(product, link, GOOD["cashfree"]).is_success
    age(product, link)

    assert "Paid. Thank you!" in product.web.get(address, follow_redirects=True).text


OPERATIONS = {"cashfree": "orders.pay", "razorpay": "payments.create", "payu": "s2s.upi"}


@pytest.mark.parametrize("gateway", OPERATIONS)
def test_a_link_for_another_amount_is_never_shown(product: World, gateway: str) -> None:
    order = booked(product, gateway=gateway, payment_method="upi")
    fault(product, gateway, OPERATIONS[gateway], "other_link")
    there = place(product, chosen(product, order, "upi"))
    shown = product.web.get(there, follow_redirects=True).text
    product.control("DELETE", "faults")

    assert "upi://" not in shown
    assert "does not answer just now" in shown
    assert LINK.search(product.web.get(there, follow_redirects=True).text)
    assert product.broken() == {}


@pytest.mark.parametrize("kind", ["refuse", "lost_answer"])
@pytest.mark.parametrize("gateway", OPERATIONS)
def test_a_lost_answer_is_asked_for_again(product: World, gateway: str, kind: str) -> None:
    order = booked(product, gateway=gateway, payment_method="upi")
    fault(product, gateway, OPERATIONS[gateway], kind)
    there = place(product, chosen(product, order, "upi"))
    silent = product.web.get(there, follow_redirects=True).text
    product.control("DELETE", "faults")
    assert "does not answer just now" in silent
    assert opened(product, link_at(product, code_of(product, order)), GOOD[gateway]).is_success

    paid(product, order)
    assert product.broken() == {}


def test_where_a_gateway_gives_no_code_its_page_takes_upi(product: World) -> None:
    order = booked(product, gateway="razorpay", payment_method="upi")
    product.sql(
        "update checkout_sessions set customer_phone = null from order_checkouts"
        " where order_checkouts.display_id = %s"
        " and checkout_sessions.payment_attempt_id = order_checkouts.payment_attempt_id"
        " returning 1 as it",
        order["transaction_id"],
    )
    page = product.web.get(place(product, chosen(product, order, "upi"))).text

    assert "upi://" not in page
    assert 'id="handover"' in page


def test_upi_is_not_offered_above_what_it_takes(product: World) -> None:
    most, more = booking(product, amount=LAKH), booking(product, amount=LAKH + 1)

    assert "/methods/upi" in product.web.get(most["payment_url"]).text
    assert "/methods/upi" not in product.web.get(more["payment_url"]).text


SEEN = "getComputedStyle(document.querySelector(%r)).display"


@needs_chromium
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("gateway", GOOD)
def test_a_code_is_paid_in_a_browser(product, browser, profile, album, gateway, size) -> None:
    order = booked(product, gateway=gateway, payment_method="upi")
    browser.show(*SIZES[size])
    browser.go(f"{order['payment_url']}?lang=en")
    browser.press('form[action$="/methods/upi"] button')
    browser.read("Pay with a UPI app")
    browser.draw(album / f"upi-{gateway}-{size}.png")
    assert browser.run(SEEN % ".app") == ("none" if size == "desktop" else "block")
    left = browser.run("document.getElementById('left').textContent")
    browser.wait(f"document.getElementById('left').textContent !== '{left}'")

    # There is no app here that takes the link: the page stays, whoever presses it.
    browser.press("a.go")
    link = browser.run("document.querySelector('a.go').getAttribute('href')")
    app = f"{product.ports.gateways_url}/upi?{urlencode({'link': link})}"
    browser.run(f"open({json.dumps(app)}) && true")
    with tab(profile, "/upi?") as beside:
        beside.show(*SIZES["phone"])
        beside.read("Pay ₹2450.10")
        beside.draw(album / f"upi-app-{gateway}.png")
        beside.fill(vpa=GOOD[gateway])
        beside.read("follows by itself")
        beside.draw(album / f"upi-app-done-{gateway}.png")
        beside.ask("Page.close")
    browser.read("Paid. Thank you!")
    assert status(product, order["transaction_id"]) == "success"
    assert product.broken() == {}


@needs_chromium
@pytest.mark.parametrize("size", SIZES)
def test_a_code_that_is_over_in_hindi_and_dark(product, browser, album: Path, size: str) -> None:
    order = booked(product, gateway="cashfree", payment_method="upi")
    browser.show(*SIZES[size], "dark")
    browser.go(f"{order['payment_url']}?lang=hi")
    browser.press('form[action$="/methods/upi"] button')
    browser.read("अपना यूपीआई ऐप खोलें" if size == "phone" else "नया कोड दिखाएँ")
    browser.draw(album / f"upi-hindi-dark-{size}.png")
    link = browser.run("document.querySelector('a.go').getAttribute('href')")
    age(product, link)
    browser.run("location.reload()")
    browser.read("यह कोड अब मान्य नहीं है")
    browser.draw(album / f"upi-over-{size}.png")
    browser.press('form[action$="/code"] button')
    browser.wait("!!document.getElementById('left')")
    browser.go(f"{order['payment_url']}?lang=en")
