"""One wave: some hundreds of orders at once, their payers, and the days until all has ended.

Virtual time goes from moment to moment. At each, what people do by then is done, the gateways'
webhooks are delivered, and the service's crons run, so that a cron finds many rows that are due.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from itertools import count, pairwise
from typing import Any

from simulation.dice import DAY, HOUR, MINUTE, Plan
from simulation.people import People
from simulation.town import Town

CRONS = ("apply_gateway_events", "check_payments", "check_refunds", "store_missing_receipts")
RARE_CRONS = ("check_disputes", "seal_ledger")
RARELY = 2 * HOUR
SETTLED = 12 * HOUR
# What a cron that did something answers more than nothing of.
DONE = ("tried", "asked", "missing")

# Seconds since the wave began: often while payers are there, then as the questions come due. What
# got no answer is asked again after half an hour, and is to be resolved within a day.
MOMENTS = (
    *range(0, 15 * MINUTE, 30),
    *range(15 * MINUTE, 2 * HOUR, 3 * MINUTE),
    *range(2 * HOUR, 26 * HOUR, 20 * MINUTE),
    *range(26 * HOUR, 36 * HOUR, HOUR),
    *range(36 * HOUR, 3 * DAY, 2 * HOUR),
    *range(3 * DAY, 9 * DAY, 12 * HOUR),
)
LENGTH = 9 * DAY
# While a gateway is left alone, one question in half a minute finds out whether it answers.
WAITING = """
select exists (select from payment_attempts where next_check_at <= clock_now())
    or exists (select from refunds where next_check_at <= clock_now()) as is_waiting
"""


@dataclass
class Wave:
    """The orders of a wave and what is still to be done for them."""

    town: Town
    plans: list[Plan]
    told: Callable[[int], None] = lambda _: None  # called at each moment with the seconds
    counts: Counter[str] = field(default_factory=Counter)
    _agenda: list[tuple[float, int, Callable[[], None]]] = field(default_factory=list)
    _order: Any = field(default_factory=count)
    _now: int = 0

    def play(self) -> None:
        """Play it to its end: the town's clock is ahead by the wave's length afterwards."""
        began = self.town.time
        self.town.open_houses()
        people = People(self.town, self._after, self.counts)
        for plan in self.plans:
            self._after(plan.starts, partial(people.begin, plan))
        try:
            for moment, next_one in pairwise((*MOMENTS, LENGTH)):
                self._reach(began, moment)
                self._pass_minutes(began, next_one)
        finally:
            people.close()
        self.town.move_clock(began + LENGTH)

    def _reach(self, began: int, moment: int) -> None:
        self._now = moment
        self.town.move_clock(began + moment)
        self._act()
        self._settle(moment)
        self.told(moment)

    def _pass_minutes(self, began: int, end: int) -> None:
        """Let crons tick every minute, as they do, while questions wait for a silent gateway."""
        while self._now + MINUTE < end and self.town.sql(WAITING)[0]["is_waiting"]:
            self._reach(began, self._now + MINUTE)

    def _after(self, seconds: float, act: Callable[[], None]) -> None:
        heapq.heappush(self._agenda, (self._now + seconds, next(self._order), act))

    def _act(self) -> None:
        while self._agenda and self._agenda[0][0] <= self._now:
            heapq.heappop(self._agenda)[2]()

    def _settle(self, moment: int) -> None:
        """Let messages come and crons run until there is nothing more to do at this moment."""
        self.town.houses.deliver()
        for cron in CRONS:
            while self._ticks(cron):
                continue
        if moment % SETTLED == 0:
            self.town.houses.settle()
        if moment % RARELY == 0:
            for cron in RARE_CRONS:
                self.town.service.tick(cron)
        self.town.houses.deliver()

    def _ticks(self, cron: str) -> bool:
        """Run a cron. Answers whether there may be more for it to do."""
        did = self.town.service.tick(cron)
        return any(did.get(name) for name in DONE)
