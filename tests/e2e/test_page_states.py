"""Our page while a payment does not simply succeed, in a real browser, as payers live it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from e2e.browser import SIZES, Browser, needs_chromium
from e2e.hosted import CASHFREE, PAYU, RAZORPAY, STRIPE
from e2e.product import World, until
from e2e.test_orders import FIONA, initiated, status
from e2e.test_payment_page import booking

from sandbox import tokens
from sandbox.world import STRIPE_SECRET_KEY

pytestmark = needs_chromium

CARD = 'form[action$="/methods/card"] button'
CANCEL = "mutation ($id: uuid!) { cancelPayment(payment_intent_id: $id) { status } }"
DEBIT = {"payment_method": "bank", "bank_account": "000123456789", "bank_name": "Grace Hopper"}
DUE = """
update payment_attempts set next_check_at = clock_now() where payment_intent_id = %s returning id
"""
BEGUN = "select id from payment_attempts where payment_intent_id = %s"


@pytest.fixture(autouse=True)
def unhurried(product: World) -> None:
    """All of these tests come from one address, in one hour."""
    product.sql("update page_tries set tries = 0 returning 1 as it")


@pytest.fixture(params=SIZES)
def wide(browser: Browser, request: pytest.FixtureRequest) -> str:
    """Have the window of a phone, or of a desk, and tell which."""
    browser.show(*SIZES[request.param])
    return str(request.param)


def opened(browser: Browser, order: dict[str, Any]) -> None:
    browser.go(f"{order['payment_url']}?lang=en")


def intent_of(product: World, order: dict[str, Any]) -> str:
    (row,) = product.sql(
        "select payment_intent_id as it from order_checkouts where display_id = %s",
        order["transaction_id"],
    )
    return str(row["it"])


@pytest.mark.parametrize(
    ("account", "end"),
    [("000123456789", "Paid. Thank you!"), ("000222222227", "The payment failed")],
)
def test_a_bank_that_decides_later(product, browser, album, wide: str, account, end) -> None:
    """The payer's part is done at Stripe; the bank's answer comes two seconds later."""
    product.fault("webhook:checkout.session.async_*", "hold", times=None)
    product.fault("webhook:payment_intent.*", "hold", times=None)
    order = initiated(product, gateway=None)
    opened(browser, order)
    browser.press('form[action$="/methods/bank_debit"] button')
    browser.fill(**{**DEBIT, "bank_account": account})
    browser.read("Your payment is being confirmed")
    browser.draw(album / f"confirmed-later-{wide}.png")
    assert status(product, order["transaction_id"]) == "processing"
    product.control("DELETE", "faults")
    product.control("POST", "deliveries/release", json={})

    browser.read(end)
    assert product.broken() == {}


def test_a_merchant_calls_an_order_off(product, browser: Browser, album: Path, wide: str) -> None:
    order = initiated(product)
    opened(browser, order)
    browser.read("Continue at Stripe")
    answer = product.graphql(CANCEL, FIONA, id=intent_of(product, order))
    assert answer["data"]["cancelPayment"] == {"status": "canceled"}, answer

    browser.read("This order was canceled")
    browser.draw(album / f"canceled-{wide}.png")
    browser.press("a.go")
    browser.wait("location.pathname.endsWith('/payment-cancelled')")
    browser.draw(album / f"canceled-shop-{wide}.png")


def test_who_chooses_on_a_page_that_is_off_reads_so(product, browser: Browser) -> None:
    order = initiated(product, gateway=None)
    opened(browser, order)
    (row,) = product.sql(
        "select payment_intent_id as it from orders where display_id = %s", order["transaction_id"]
    )
    product.graphql(CANCEL, FIONA, id=str(row["it"]))
    browser.press(CARD)

    browser.read("This order was canceled")
    assert product.sql(BEGUN, row["it"]) == []


def test_the_last_attempt_is_declined(product, browser: Browser, album: Path, wide: str) -> None:
    order = booking(product, amount=2450.10, gateway="payu")
    product.sql(
        "update payment_pages set attempts_max = 1 where token = %s returning 1 as it",
        order["payment_url"].rpartition("/")[2],
    )
    opened(browser, order)
    browser.press("a.go")
    PAYU.be_declined(browser)
    PAYU.come_back(browser)

    browser.read("No more attempts are possible")
    browser.draw(album / f"exhausted-{wide}.png")
    browser.press("a.go")
    browser.wait("location.pathname.endsWith('/payment-cancelled')")


@pytest.fixture
def impatient(product: World) -> Iterator[None]:
    """Two declines are as many here as ten."""
    product.sql(
        "insert into system_settings values (%s, 'declines_per_payment', '2') returning 1 as it",
        tokens.TIGER_CAMPUS,
    )
    yield
    product.sql(
        "delete from system_settings where organization_id = %s and key = 'declines_per_payment'"
        " returning 1 as it",
        tokens.TIGER_CAMPUS,
    )


@pytest.mark.usefixtures("impatient")
def test_who_tries_many_cards_is_stopped(product, browser, album: Path, wide: str) -> None:
    order = initiated(product, gateway=None)
    opened(browser, order)
    browser.press(CARD)
    for _ in range(2):
        STRIPE.be_declined(browser)
        browser.run("document.querySelector('.alert').remove()")

    def is_closed() -> bool:
        product.sql(DUE, intent_of(product, order))
        product.tick("check_payments")
        return status(product, order["transaction_id"]) == "failed"

    until(is_closed, "the end of the page")
    browser.run("location.reload()")
    browser.read("This payment page has expired")
    browser.draw(album / f"tried-out-there-{wide}.png")
    browser.press("a.button")
    browser.read("No more attempts are possible")
    browser.draw(album / f"tried-out-{wide}.png")


def test_a_gateway_does_not_answer(product, browser: Browser, album: Path, wide: str) -> None:
    product.fault("checkout.sessions.create", "refuse", times=None)
    order = initiated(product, gateway=None)
    opened(browser, order)
    browser.press(CARD)
    browser.read("The payment provider does not answer just now")
    browser.draw(album / f"silent-{wide}.png")
    product.control("DELETE", "faults")
    browser.press(CARD)
    STRIPE.pay(browser)

    browser.read("Paid. Thank you!")
    assert product.broken() == {}


def test_who_has_paid_is_not_told_that_nothing_was_charged(product, browser, album, wide) -> None:
    """Stripe has the money and is silent: neither its message nor its answer comes."""
    order = initiated(product, gateway=None)
    opened(browser, order)
    browser.press(CARD)
    browser.wait("!!document.querySelector('[name=card_cvc]')")
    for operation in ("webhook:*", "checkout.sessions.retrieve", "payment_intents.retrieve"):
        kind = "hold" if operation.startswith("webhook") else "refuse"
        product.fault(operation, kind, times=None)
    STRIPE.pay(browser)
    browser.read("this page goes on by itself")
    browser.draw(album / f"unheard-{wide}.png")
    said = browser.text()
    assert "Nothing was charged" not in said
    product.control("DELETE", "faults")
    product.control("POST", "deliveries/release", json={})

    browser.read("Paid. Thank you!")
    assert product.broken() == {}


def test_who_turns_back_goes_on_later(product, browser: Browser, album: Path, wide: str) -> None:
    order = initiated(product, gateway=None)
    opened(browser, order)
    browser.press(CARD)
    browser.press(".back a")
    browser.read("You have not paid yet")
    browser.draw(album / f"turned-back-{wide}.png")
    browser.press("a.go")
    STRIPE.pay(browser)

    browser.read("Paid. Thank you!")


def test_a_page_that_is_over_at_its_gateway_gives_way_to_another(
    product, browser: Browser, album: Path, wide: str
) -> None:
    order = initiated(product, gateway=None)
    opened(browser, order)
    browser.press(CARD)
    browser.wait("!!document.querySelector('[name=card_cvc]')")
    page = browser.run("location.pathname").rpartition("/")[2]
    ended = product.web.post(
        f"{product.ports.gateways_url}/stripe/v1/checkout/sessions/{page}/expire",
        auth=(STRIPE_SECRET_KEY, ""),
    )
    assert ended.is_success, ended.text
    until(lambda: status(product, order["transaction_id"]) == "failed", "word of it")
    browser.run("location.reload()")
    browser.read("This payment page has expired")
    browser.press("a.button")
    browser.read("How would you like to pay?")
    browser.draw(album / f"over-there-{wide}.png")
    browser.press(CARD)
    STRIPE.pay(browser)

    browser.read("Paid. Thank you!")
    assert product.broken() == {}


def test_who_fails_the_banks_question_answers_it_the_next_time(
    product, browser, album, wide
) -> None:
    order = initiated(product, gateway=None)
    opened(browser, order)
    browser.press(CARD)
    STRIPE.enter(browser, "4000002760003184")
    browser.press("[value=fail]")
    browser.read("We are unable to authenticate")
    STRIPE.enter(browser, "4000002760003184")
    browser.wait("!!document.querySelector('[value=complete]')")
    browser.draw(album / f"challenge-{wide}.png")
    browser.press("[value=complete]")

    browser.read("Paid. Thank you!")
    assert product.broken() == {}


def test_a_page_that_cannot_be_closed_is_gone_on_with(product, browser, album, wide: str) -> None:
    """Razorpay's page may still take the money: no other is opened beside it."""
    order = booking(product, amount=2450.10)
    opened(browser, order)
    browser.press(CARD)
    browser.wait("!!document.querySelector('[name=card]')")
    opened(browser, order)
    browser.press('form[action$="/methods/netbanking"] button')
    browser.read("A payment is under way already")
    browser.draw(album / f"busy-{wide}.png")
    browser.press("a.go")
    RAZORPAY.pay(browser)

    browser.read("Paid. Thank you!")
    assert product.broken() == {}


def test_money_that_is_on_its_way_at_cashfree(product, browser: Browser, album: Path) -> None:
    browser.show(*SIZES["phone"], "dark")
    order = booking(product, amount=2450.10, gateway="cashfree")
    browser.go(f"{order['payment_url']}?lang=hi")
    browser.press("a.go")
    browser.wait(f"!!document.querySelector('[name={CASHFREE.field}]')")
    browser.fill(method="upi", vpa="testpending@gocash")

    browser.read("आपके भुगतान की पुष्टि हो रही है")
    browser.draw(album / "on-its-way-phone-dark.png")


def test_without_scripts_a_page_looks_again_by_itself(product, browser: Browser) -> None:
    order = initiated(product, gateway=None)
    browser.show(*SIZES["phone"])
    with browser.without_scripts():
        opened(browser, order)
        browser.press('form[action$="/methods/bank_debit"] button')
        browser.fill(**DEBIT)
        browser.read("Your payment is being confirmed")

        browser.read("Paid. Thank you!")
        browser.press("a.go")
        browser.wait("location.pathname.endsWith('/payment-success')")


def test_without_scripts_a_code_is_followed_too(product: World, browser: Browser) -> None:
    order = booking(product, amount=2450.10)
    browser.show(*SIZES["phone"])
    with browser.without_scripts():
        opened(browser, order)
        browser.press('form[action$="/methods/upi"] button')
        browser.read("Open your UPI app")
        link = browser.run("document.querySelector('a.go').getAttribute('href')")
        app = f"{product.ports.gateways_url}/_sandbox/upi"
        paid = product.web.post(app, json={"link": link, "vpa": "success@razorpay"})
        assert paid.is_success, paid.text

        browser.read("Paid. Thank you!")
    assert product.broken() == {}
