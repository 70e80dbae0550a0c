"""Lots of credits in plain Python: whole numbers, lists, no database. The measure of the other."""

from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

UNIT = 10_000  # of a credit


class RefusedError(Exception):
    """What the database should refuse too."""


@dataclass
class Lot:
    """Credits in ten-thousandths and the money paid for them in minor units."""

    id: UUID
    granted: int
    paid: int
    expires_at: datetime | None
    free: int = 0
    held: int = 0
    used: int = 0
    expired: int = 0
    recalled: int = 0
    owed: int = 0
    earned: int = 0
    paid_back: int = 0
    lost: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.free, self.owed = self.granted, self.paid

    @property
    def place(self) -> tuple[bool, float, UUID]:
        when = self.expires_at.timestamp() if self.expires_at else 0.0
        return (self.expires_at is None, when, self.id)

    def take(self, units: int) -> int:
        """Credits leave; answers what that earns."""
        self.free -= units
        base, price = self.granted - self.recalled, self.paid - self.paid_back
        still_owed = -(-price * self.free // base) if self.free else 0
        earned = max(self.owed - still_owed, 0)
        self.owed -= earned
        self.earned += earned
        return earned

    def is_whole(self) -> bool:
        return (
            self.granted == self.free + self.used + self.expired + self.recalled
            and self.paid == self.owed + self.earned + self.paid_back
            and min(self.free, self.held, self.used, self.owed, self.earned) >= 0
        )


@dataclass
class Part:
    lot: Lot
    units: int
    earned: int
    returned: int = 0
    given_back: int = 0


@dataclass
class Recall:
    lot: Lot
    units: int
    amount: int
    status: str = "held"


@dataclass
class Wallet:
    """Every lot of one customer, what was spent of them, and what refunds hold."""

    lots: list[Lot] = field(default_factory=list)
    spends: list[list[Part]] = field(default_factory=list)
    recalls: list[Recall] = field(default_factory=list)

    def spend(self, units: int, now: datetime) -> None:
        lots = sorted(
            (lot for lot in self.lots if not lot.expires_at or lot.expires_at > now),
            key=lambda lot: lot.place,
        )
        if sum(lot.free for lot in lots) < units:
            raise RefusedError
        parts = []
        for lot in lots:
            if taken := min(units, lot.free):
                lot.used += taken
                parts.append(Part(lot, taken, lot.take(taken)))
                units -= taken
        self.spends.append(parts)

    def give_back(self, spend: int, units: int | None) -> None:
        parts = [part for part in self.spends[spend] if not part.lot.lost]
        rest = sum(part.units - part.returned for part in parts)
        units = rest if units is None else units
        if not 0 < units <= rest:
            raise RefusedError
        for part in sorted(parts, key=lambda part: part.lot.place, reverse=True):
            back = min(units, part.units - part.returned)
            part.returned += back
            amount = part.earned * part.returned // part.units - part.given_back
            part.given_back += amount
            part.lot.free += back
            part.lot.used -= back
            part.lot.owed += amount
            part.lot.earned -= amount
            units -= back

    def hold(self, lot: Lot, amount: int, *, take_what_is_left: bool) -> None:
        covered = min(amount, lot.owed)
        if covered < amount and not take_what_is_left:
            raise RefusedError
        if covered == lot.owed:
            units = lot.free
        else:
            share = lot.granted * (lot.paid_back + covered) // lot.paid - lot.recalled
            units = max(min(share, lot.free - 1), 0)
        lot.free -= units
        lot.held += units
        lot.recalled += units
        lot.owed -= covered
        lot.paid_back += covered
        if covered < amount:
            lot.lost.add(len(self.recalls))
        self.recalls.append(Recall(lot, units, covered))

    def take_held(self, number: int) -> None:
        recall = self.recalls[number]
        recall.lot.held -= recall.units
        recall.status = "taken"

    def undo(self, number: int) -> None:
        """A refund failed, before or after its credits were taken."""
        recall = self.recalls[number]
        lot = recall.lot
        if recall.status == "held":
            lot.held -= recall.units
        lot.free += recall.units
        lot.recalled -= recall.units
        lot.owed += recall.amount
        lot.paid_back -= recall.amount
        lot.lost.discard(number)
        recall.status = "released" if recall.status == "held" else "returned"

    def expire(self, now: datetime) -> None:
        for lot in self.lots:
            is_over = lot.free > 0 and lot.expires_at is not None and lot.expires_at <= now
            if is_over or (lot.free == lot.held == 0 and lot.owed > 0):
                lot.expired += lot.free
                lot.take(lot.free)
