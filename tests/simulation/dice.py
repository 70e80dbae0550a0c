"""The dice: what payers do and what goes wrong, all from one seed."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from gateways.world import Payer, Refunds

T = TypeVar("T")

MINUTE, HOUR, DAY = 60, 3600, 86400

# Of 100 calls to a gateway, so many lose their answer before their effect, so many after it, and
# so many are done long after the service has given up on them.
LOST_BEFORE, LOST_AFTER, LATE = 15, 15, 10
LATE_SECONDS = (2 * MINUTE, 4 * HOUR)

# Of 100 webhooks. What is not heard is sent again, as each gateway does.
NEVER_SENT, DUPLICATED, UNHEARD, DELAYED = 10, 10, 10, 10
DELAY_SECONDS = (MINUTE, 2 * HOUR)

# By share of the orders: a shop in India. Stripe's lists are slow to read: its objects are large.
GATEWAYS = {"stripe": 10, "razorpay": 35, "payu": 25, "cashfree": 30}

# How payers behave, by weight; where a gateway's world does not play it, they just pay.
PAYERS = {
    Payer.PAYS: 50,
    Payer.FAILS_THEN_PAYS: 8,
    Payer.DECLINES_SOFT: 5,
    Payer.DECLINES_HARD: 3,
    Payer.DECLINES_AUTHENTICATION: 2,
    Payer.DECLINES_FRAUD: 1,
    Payer.GATEWAY_FAILS: 1,
    Payer.DROPS: 7,
    Payer.PAYS_TWICE: 4,
    Payer.PENDING_THEN_PAID: 7,
    Payer.PENDING_THEN_FAILED: 4,
    Payer.FAILS_THEN_PAYS_LATE: 8,
}
REFUNDS = {
    Refunds.SUCCEED: 70,
    Refunds.WAIT_THEN_SUCCEED: 15,
    Refunds.WAIT_THEN_FAIL: 10,
    Refunds.FAIL_LATE: 5,
}
# How much of a payment is asked back, in hundredths: all, a part, two equal parts, three parts.
ASKED_BACK: Mapping[tuple[int, ...], int] = {
    (): 80,
    (100,): 9,
    (40,): 5,
    (30, 30): 4,
    (50, 30, 20): 2,
}
DISPUTED = 1  # of 100 orders
CALLED_OFF = 3  # of 100 orders, by their shop: before anybody pays, meanwhile, or hours later
# Of 100 orders, a part of so many is sent back at the gateway, past us; and which hundredths of it.
SENT_BACK_THERE = 3
PARTS_THERE = (20, 60, 100)


@dataclass(frozen=True, slots=True)
class Plan:
    """One order, and what its payer will do."""

    number: int
    reference: str
    gateway: str
    amount: int
    starts: int  # seconds after the wave began
    thinks: int  # seconds between the page's opening and the payment
    how: Payer
    refunds: Refunds
    chooses: bool  # on our page, how to pay; else the shop has named the gateway
    comes_back: bool  # the browser finds the way back to us
    tries_again: str | None  # the gateway of a second try after the first did not work
    asks_back: tuple[int, ...]
    asks_back_after: int
    asks_twice: bool  # the same refund under the same key once more
    disputes: str | None  # how the bank decides
    called_off_after: int | None  # seconds after it began
    sends_back_there: int | None  # hundredths of the payment, in the gateway's dashboard


def plan(seed: int, number: int) -> Plan:
    """Roll a payer, the same for a seed and number whatever else happens."""
    dice = random.Random(f"{seed}/{number}")
    gateway = _weighted(dice, GATEWAYS)
    others = [one for one in GATEWAYS if one != "stripe" and gateway != "stripe"]
    again = dice.choice(others) if others else gateway
    is_late = dice.random() < 0.05
    return Plan(
        number=number,
        reference=f"sim-{seed}-{number}",
        gateway=gateway,
        amount=dice.randrange(10_000, 100_000),
        starts=dice.randrange(10 * MINUTE),
        thinks=dice.randrange(25 * MINUTE, 90 * MINUTE) if is_late else dice.randrange(5, 600),
        how=_weighted(dice, PAYERS),
        refunds=_weighted(dice, REFUNDS),
        chooses=dice.random() < 0.1,
        comes_back=dice.random() < 0.3,
        tries_again=again if dice.random() < 0.6 else None,
        asks_back=_weighted(dice, ASKED_BACK),
        asks_back_after=dice.randrange(10 * MINUTE, 6 * HOUR),
        asks_twice=dice.random() < 0.3,
        disputes=dice.choice(("won", "lost")) if dice.random() * 100 < DISPUTED else None,
        called_off_after=(
            dice.randrange(8 * HOUR) // dice.choice((1, 20))
            if dice.random() * 100 < CALLED_OFF
            else None
        ),
        sends_back_there=(
            dice.choice(PARTS_THERE) if dice.random() * 100 < SENT_BACK_THERE else None
        ),
    )


def _weighted(dice: random.Random, weights: Mapping[T, int]) -> T:
    return dice.choices(list(weights), list(weights.values()))[0]


@dataclass
class Fates:
    """What becomes of each call and each webhook; counted by name."""

    dice: random.Random
    counts: Counter[str] = field(default_factory=Counter)

    def of_call(self, *, has_effect: bool) -> dict[str, Any] | None:
        """Roll a fault in a simulator's words; None where all goes well."""
        roll = self.dice.random() * 100
        self.counts["calls to gateways"] += 1
        if roll < LOST_BEFORE:
            return self._fault("answers lost before the effect", kind="refuse")
        if roll < LOST_BEFORE + LOST_AFTER:
            return self._fault("answers lost after the effect", kind="lost_answer")
        if roll < LOST_BEFORE + LOST_AFTER + LATE and has_effect:
            seconds = self.dice.uniform(*LATE_SECONDS)
            return self._fault("late effects", kind="late_effect", seconds=seconds)
        return None

    def _fault(self, name: str, **fault: Any) -> dict[str, Any]:
        self.counts[name] += 1
        return {"gateway": "*", "operation": "*", **fault}

    def of_webhook(self) -> str | None:
        """Roll what happens to a webhook that is new."""
        roll = self.dice.random() * 100
        self.counts["webhooks"] += 1
        bound = 0
        fates = {
            "never sent": NEVER_SENT,
            "sent twice": DUPLICATED,
            "answered unheard": UNHEARD,
            "delayed": DELAYED,
        }
        for fate, share in fates.items():
            bound += share
            if roll < bound:
                self.counts[f"webhooks {fate}"] += 1
                return fate
        return None

    def delay(self) -> float:
        return self.dice.uniform(*DELAY_SECONDS)

    def shuffled(self, items: Sequence[T]) -> list[T]:
        return self.dice.sample(list(items), len(items))
