"""Each gateway's own page, in a real browser: from our page to theirs and back, paid and booked."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from e2e.axe import armed, faults
from e2e.browser import SIZES, Browser, needs_chromium
from e2e.hosted import HOUSES, STRIPE, House
from e2e.product import World, until
from e2e.test_orders import initiated, status
from e2e.test_payment_page import booking

from sandbox import tokens

pytestmark = [needs_chromium, pytest.mark.timeout(420)]  # the first run installs axe

CHOICE = 'form[action*="/methods/%s"] button'
ENABLE = """
update gateway_routes set is_enabled = %s or gateway = %s
where organization_id = %s returning gateway
"""
BOOKED = """
select ledger_transactions.kind, ledger_accounts.code, ledger_entries.amount
from order_checkouts
inner join ledger_transactions on reference_id = order_checkouts.payment_attempt_id
inner join ledger_entries on ledger_entries.ledger_transaction_id = ledger_transactions.id
inner join ledger_accounts on ledger_accounts.id = ledger_entries.ledger_account_id
where display_id = %s
order by ledger_entries.amount desc
"""


LANGUAGES = {"phone": "hi", "desktop": "en"}
PAID = {"hi": "भुगतान हो गया। धन्यवाद!", "en": "Paid. Thank you!"}


@pytest.fixture(scope="module")
def auditor(browser: Browser) -> Browser:
    """The browser, with axe in every page that it shows."""
    return armed(browser)


@pytest.fixture(params=HOUSES)
def house(request: pytest.FixtureRequest) -> House:
    return HOUSES[request.param]


@pytest.fixture
def order(product: World, house: House) -> Iterator[dict[str, Any]]:
    """An order that its payer has still to choose a method for, which this gateway takes."""
    product.sql("update page_tries set tries = 0 returning 1 as it")
    if house.name == "stripe":
        yield initiated(product, gateway=None)
        return
    product.sql(ENABLE, False, house.name, tokens.UBERTRUCK)
    try:
        yield booking(product, amount=2450.10)
    finally:
        product.sql(ENABLE, True, "", tokens.UBERTRUCK)


def choose(browser: Browser, house: House, order: dict[str, Any], language: str = "en") -> None:
    """Choose a card on our page, and wait for the gateway's."""
    browser.go(f"{order['payment_url']}?lang={language}")
    browser.press(CHOICE % "card")
    browser.wait(f"!!document.querySelector('[name={house.field}]')")


def is_booked(product: World, house: House, order: dict[str, Any]) -> None:
    """See that the money is there once, where it should be."""
    amount = 4200 if house.name == "stripe" else 245_010
    assert product.sql(BOOKED, order["transaction_id"]) == [
        {"kind": "capture", "code": f"gateway:{house.name}", "amount": amount},
        {"kind": "capture", "code": "merchant_balance", "amount": -amount},
    ]
    assert status(product, order["transaction_id"]) == "success"
    assert product.broken() == {}


def look(browser: Browser, path: Path) -> None:
    """Take a picture, and have axe look too."""
    browser.draw(path)
    assert faults(browser) == [], browser.run("location.href")
    assert browser.run("document.documentElement.scrollWidth <= innerWidth"), path.stem


@pytest.mark.parametrize("size", SIZES)
def test_a_card_pays(product, auditor: Browser, house, order, album: Path, size: str) -> None:
    picture, language = f"{house.name}-{size}", LANGUAGES[size]
    auditor.show(*SIZES[size])
    choose(auditor, house, order, language)
    look(auditor, album / f"{picture}-there.png")
    house.enter(auditor, house.good)
    house.confirm(auditor)
    house.come_back(auditor)
    auditor.read(PAID[language])
    look(auditor, album / f"{picture}-paid.png")

    is_booked(product, house, order)
    auditor.leave()
    auditor.wait("location.pathname.endsWith('/payment-success')")
    look(auditor, album / f"{picture}-shop.png")


@pytest.mark.parametrize("size", SIZES)
def test_who_is_declined_pays_at_last(product, auditor, house, order, album, size: str) -> None:
    picture = f"{house.name}-{size}-dark"
    auditor.show(*SIZES[size], "dark")
    choose(auditor, house, order)
    house.be_declined(auditor)
    look(auditor, album / f"{picture}-declined.png")
    assert status(product, order["transaction_id"]) != "success"
    house.come_back(auditor)
    if house.ends:
        auditor.read("Your bank declined the payment")
        look(auditor, album / f"{picture}-again.png")
        auditor.press(CHOICE % "card")
    elif house.name == "razorpay":  # its order takes another try
        auditor.read("Your bank declined the payment")
        auditor.read("You have not paid yet")
        look(auditor, album / f"{picture}-again.png")
        auditor.press("a.go")
    house.pay(auditor)
    auditor.read("Paid. Thank you!")

    is_booked(product, house, order)


def test_without_scripts_all_goes_by_buttons(product, browser, house, order) -> None:
    browser.show(*SIZES["phone"])
    with browser.without_scripts():
        browser.go(f"{order['payment_url']}?lang=en")
        browser.press(CHOICE % "card")
        if house.name != "stripe":  # which takes no form, and needs no button
            browser.press("#handover button")
        house.pay(browser)
        browser.read("Paid. Thank you!")

    is_booked(product, house, order)


# What else is chosen on our page, and what the payer does on theirs.
WAYS = [
    ("razorpay", "netbanking", {"method": "netbanking", "netbanking": "SBIN"}, "[value=success]"),
    ("razorpay", "wallet", {"method": "wallet", "wallet": "phonepe"}, "[value=success]"),
    ("razorpay", "pay_later", {"method": "paylater", "paylater": "simpl"}, "[value=success]"),
    ("cashfree", "netbanking", {"method": "netbanking"}, "[value=success]"),
    ("cashfree", "wallet", {"method": "wallet"}, ""),
    ("payu", "netbanking", {"method": "bank", "bank": "TESTPGNB"}, ""),
]


@pytest.mark.parametrize(
    ("house", "method", "chosen", "answer"),
    [pytest.param(*way, id="-".join(way[:2])) for way in WAYS],
    indirect=["house"],
)
def test_what_is_chosen_here_is_what_is_shown_there(
    product, auditor: Browser, house, order, album: Path, method, chosen, answer
) -> None:
    auditor.show(*SIZES["phone"])
    auditor.go(f"{order['payment_url']}?lang=en")
    auditor.press(CHOICE % method)
    offered = "[...document.querySelectorAll('main [name=method]')].map((one) => one.value)"
    auditor.wait(f"{offered}.join() === '{chosen['method']}'")
    auditor.fill("button:not(.second)", **chosen)
    if answer:
        auditor.wait(f"!!document.querySelector('button{answer}')")
        look(auditor, album / f"{house.name}-{method}-bank.png")
        auditor.press(f"button{answer}")
    house.come_back(auditor)
    auditor.read("Paid. Thank you!")

    is_booked(product, house, order)


@pytest.mark.parametrize("size", SIZES)
def test_credits_are_bought_and_come(product: World, auditor: Browser, size: str) -> None:
    before = product.balance()
    payment = product.create_payment().json()
    auditor.show(*SIZES[size])
    auditor.go(payment["checkout_url"])
    STRIPE.pay(auditor)
    auditor.wait("location.pathname.endsWith('/payment-success')")

    until(lambda: product.balance() == before + 250, "the credits")
    assert product.broken() == {}
