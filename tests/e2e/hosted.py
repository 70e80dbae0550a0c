"""What a payer does on the pages of the gateways, in a browser: pays by card, or is declined."""

from collections.abc import Callable
from dataclasses import dataclass

from e2e.browser import Browser

EXPIRY, CODE, OTP = "12 / 40", "123", "123456"


@dataclass(frozen=True)
class House:
    """A gateway's page: what it is called, which cards it takes, and what a payer does there."""

    name: str
    title: str
    good: str  # a card that pays
    bad: str  # one without money
    told: str  # what the page says of that
    enter: Callable[[Browser, str], None]  # the number of a card, until the bank has decided
    confirm: Callable[[Browser], None]  # as the bank asks, to be paid
    refuse: Callable[[Browser], None]  # so that a bad card is declined
    come_back: Callable[[Browser], None]  # to our page
    field: str  # by which the page is known
    ends: bool = False  # whether a decline ends the attempt, so that the payer chooses anew

    def pay(self, browser: Browser) -> None:
        """Pay by card, and come back."""
        self.enter(browser, self.good)
        self.confirm(browser)
        self.come_back(browser)

    def be_declined(self, browser: Browser) -> None:
        """Try a card without money, and read why it was declined."""
        self.enter(browser, self.bad)
        self.refuse(browser)
        browser.read(self.told)


def nothing(_: Browser) -> None:
    """The page leads the payer on by itself."""


def post(browser: Browser) -> None:
    """Take the form along that the gateway has signed."""
    browser.press('form[action*="/payments/return/"] button')


def at_stripe(browser: Browser, number: str) -> None:
    browser.fill(
        payment_method="card",
        card_number=number,
        card_expiry=EXPIRY,
        card_cvc=CODE,
        card_name="Grace Hopper",
    )


def at_razorpay(browser: Browser, number: str) -> None:
    browser.fill(method="card", card=number)


def at_cashfree(browser: Browser, number: str) -> None:
    browser.fill(method="card", card_number=number, card_expiry=EXPIRY, card_cvv=CODE)


def at_payu(browser: Browser, number: str) -> None:
    browser.fill("[value=pay]", method="card", card=number, expiry=EXPIRY, cvv=CODE)
    browser.fill(otp=OTP)


def decide(outcome: str) -> Callable[[Browser], None]:
    return lambda browser: browser.press(f"button[value={outcome}]")


STRIPE = House(
    *("stripe", "Stripe", "4242424242424242", "4000000000009995"),
    *("Your card has insufficient funds.", at_stripe, nothing, nothing, nothing),
    field="card_cvc",
)
RAZORPAY = House(
    *("razorpay", "Razorpay", "4100280000001007", "4100280000080001"),
    *("The balance of your account is too low", at_razorpay),
    *(decide("success"), decide("failure"), post),
    field="card",
)
CASHFREE = House(
    *("cashfree", "Cashfree", "4706131211212123", "4000000000009995"),
    *("The account has not enough money", at_cashfree, nothing, nothing, nothing),
    field="card_cvv",
)
PAYU = House(
    *("payu", "PayU", "5123456789012346", "4000000000009995"),
    *("has insufficient funds", at_payu, nothing, nothing, post),
    field="expiry",
    ends=True,
)
HOUSES = {house.name: house for house in (STRIPE, RAZORPAY, CASHFREE, PAYU)}
