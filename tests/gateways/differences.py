"""Where a gateway does otherwise than the others: every such place, and why.

A row takes a scenario's place for one gateway; what it asserts is what happens there instead. A
scenario that a world fails is a defect, unless a row here says so with the documentation's address.
"""

from collections.abc import Callable
from dataclasses import dataclass

from gateways.world import World


@dataclass(frozen=True, slots=True)
class Difference:
    why: str
    documentation: str
    instead: Callable[[World], None] | None = None  # asserts what happens there


# (gateway, scenario or need) -> what differs. A gateway's rows stand together. A scenario's name
# with its value in brackets, or without for all its values, has an `instead`; a need (a word of
# Payer, Refunds, Ask or Capability, or `dispute`) that the world has not needs none.
DIFFERENCES: dict[tuple[str, str], Difference] = {
    ("stripe", "gateway_fails"): Difference(
        "no test card fails for a reason that is the gateway's: Stripe answers 5xx instead",
        "https://docs.stripe.com/testing#declined-payments",
    ),
    ("stripe", "fails_then_pays_late"): Difference(
        "an intent whose payment failed takes another try, and never turns paid by itself",
        "https://docs.stripe.com/payments/paymentintents/lifecycle",
    ),
    ("stripe", "pays_twice"): Difference(
        "a page completes once, and its one intent succeeds once",
        "https://docs.stripe.com/payments/checkout/how-checkout-works",
    ),
}
