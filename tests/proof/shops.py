"""Who sells and who pays at each gateway, and what each gateway does otherwise than the others."""

from __future__ import annotations

from dataclasses import dataclass

from gateways.world import HOUR, Payer, Refunds

from sandbox import tokens

AMOUNT, PART = 4_200, 1_000


@dataclass(frozen=True, slots=True)
class Shop:
    """Who sells in which money, who pays, and who sends back."""

    payer: tokens.User
    keeper: tokens.User
    currency: str

    @property
    def organization_id(self) -> str:
        return str(self.payer.organization_id)


@dataclass(frozen=True, slots=True)
class At:
    """A gateway, and what is otherwise there."""

    gateway: str
    shop: Shop
    rivals: tuple[str, ...] = ()  # the shop's other gateways
    tries_again: bool = True  # a declined payment leaves the same page open
    pause: int = 0  # that it wants between two equal refunds, in seconds
    fails: Refunds = Refunds.WAIT_THEN_FAIL  # how a refund fails there, at its latest
    lists_disputes: bool = True  # by time
    lists_refunds: bool = True  # the same
    gives_codes: bool = True  # that a UPI app reads
    capture: int = PART  # how much is taken of what it holds; 0 where it holds nothing
    tells_captures: bool = True  # by a webhook
    may_hold: bool = False  # what it was to take, where an account is set up so
    can_close: bool = True  # its page, when it is told
    takes_several: bool = False  # whether a page of its may be paid more than once
    late: Payer = Payer.FAILS_THEN_PAYS_LATE  # declines, and what comes later comes by itself
    closes: int = 0  # how long a page stays open that cannot be closed, in seconds


def named(name: str) -> tokens.User:
    return next(user for user in tokens.USERS if user.name == name)


CAMPUS = Shop(named("ada"), named("fiona"), "USD")
TRUCKS = Shop(named("asha"), named("tarun"), "INR")

GATEWAYS = (
    At("stripe", CAMPUS, fails=Refunds.FAIL_LATE, gives_codes=False),
    At(
        "razorpay",
        TRUCKS,
        ("cashfree", "payu"),
        late=Payer.DECLINES_SOFT,
        closes=25 * HOUR,
        capture=AMOUNT,
        can_close=False,
        takes_several=True,
    ),
    At(
        "payu",
        TRUCKS,
        ("razorpay", "cashfree"),
        tries_again=False,
        pause=301,
        lists_refunds=False,
        capture=0,
        can_close=False,
    ),
    At(
        "cashfree",
        TRUCKS,
        ("payu", "razorpay"),
        lists_disputes=False,
        lists_refunds=False,
        tells_captures=False,
        may_hold=True,
        takes_several=True,
    ),
)
