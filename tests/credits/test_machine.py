"""The lots of the database beside the same in plain Python, whatever happens in whatever order."""

from datetime import datetime
from decimal import Decimal
from typing import ClassVar
from uuid import uuid4

import psycopg
import pytest
from books import repeat_ids, settle
from credit_shop import Shop, faults
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from plain_lots import UNIT, Lot, RefusedError, Wallet
from psycopg.rows import dict_row

UNITS = st.one_of(st.integers(1, 50), st.integers(1, 3_000_000))
DAYS = st.one_of(st.none(), st.integers(1, 60))
# Credits for a dollar: a usual rate, a dear one whose least part costs more than a cent, odd ones.
RATES = ["10", "1", "0.003", "0.77", "7.919", "33.333333"]


def as_credits(units: int) -> Decimal:
    return Decimal(units).scaleb(-4)


class Lots(RuleBasedStateMachine):
    url: ClassVar[str]
    rate: ClassVar[str]

    def __init__(self) -> None:
        super().__init__()
        self.db = psycopg.connect(self.url, row_factory=dict_row)
        repeat_ids(self.db, "credit_lots")
        self.shop = Shop(self.db, settle(self.db))
        self.wallet = Wallet()
        self.spends: list[dict] = []
        self.purchases: list[tuple[object, Lot]] = []
        self.refunds: list[object] = []

    def teardown(self) -> None:
        try:
            self.books_agree()
        finally:
            self.db.close()  # which takes everything back, though it broke off in mid-statement

    def now(self) -> datetime:
        return self.db.execute("select clock_now() as it").fetchone()["it"]

    def new_lot(self) -> Lot:
        known = {lot.id for lot in self.wallet.lots}
        (row,) = [row for row in self.shop.lots() if row["id"] not in known]
        lot = Lot(row["id"], int(row["granted"] * UNIT), row["amount"], row["expires_at"])
        self.wallet.lots.append(lot)
        return lot

    @initialize(days=DAYS)
    def price(self, days: int | None) -> None:
        self.shop.set("credit_rate_usd", self.rate)
        if days:
            self.shop.set("credits_expire_after_days", str(days))

    @rule(amount=st.integers(100, 3000))
    def buy(self, amount: int) -> None:
        purchase = self.shop.buy(amount)
        self.purchases.append((purchase, self.new_lot()))

    @rule(units=UNITS)
    def grant(self, units: int) -> None:
        self.shop.grant(as_credits(units))
        self.new_lot()

    @rule(units=UNITS)
    def spend(self, units: int) -> None:
        try:
            self.wallet.spend(units, self.now())
        except RefusedError:
            with pytest.raises(psycopg.Error) as failure, self.db.transaction():
                self.shop.spend(as_credits(units))
            assert failure.value.sqlstate == "22B13"
        else:
            self.spends.append(self.shop.spend(as_credits(units)))

    @precondition(lambda self: self.spends)
    @rule(data=st.data(), units=st.one_of(st.none(), UNITS))
    def give_back(self, data: st.DataObject, units: int | None) -> None:
        number = data.draw(st.integers(0, len(self.spends) - 1))
        amount = None if units is None else as_credits(units)
        try:
            self.wallet.give_back(number, units)
        except RefusedError:
            with pytest.raises(psycopg.Error) as failure, self.db.transaction():
                self.shop.give_back(self.spends[number], amount)
            assert failure.value.sqlstate == "22B07"
        else:
            self.shop.give_back(self.spends[number], amount)

    @precondition(lambda self: self.purchases)
    @rule(data=st.data(), amount=st.integers(1, 3000), take=st.booleans(), whole=st.booleans())
    def hold(self, data: st.DataObject, amount: int, *, take: bool, whole: bool) -> None:
        purchase, lot = data.draw(st.sampled_from(self.purchases))
        amount = lot.owed if whole and lot.owed else amount
        refund = uuid4()
        asked = [purchase, refund, amount, take]
        try:
            self.wallet.hold(lot, amount, take_what_is_left=take)
        except RefusedError:
            with pytest.raises(psycopg.Error) as failure, self.db.transaction():
                self.db.execute("select hold_purchase_credits(%s, %s, %s, %s)", asked)
            assert failure.value.sqlstate == "22B11"
        else:
            self.db.execute("select hold_purchase_credits(%s, %s, %s, %s)", asked)
            self.refunds.append(refund)
            self.book_prepaid(refund, 1)

    @precondition(lambda self: any(r.status == "held" for r in self.wallet.recalls))
    @rule(data=st.data(), is_good=st.booleans())
    def end_refund(self, data: st.DataObject, *, is_good: bool) -> None:
        number = self.pick(data, "held")
        refund = self.refunds[number]
        if is_good:
            self.wallet.take_held(number)
            self.post("purchase_credits_posting", refund)
        else:
            self.wallet.undo(number)
            self.db.execute("select release_purchase_credits(%s)", [refund])
            self.book_prepaid(refund, -1)

    @precondition(lambda self: any(r.status == "taken" for r in self.wallet.recalls))
    @rule(data=st.data())
    def fail_refund_late(self, data: st.DataObject) -> None:
        number = self.pick(data, "taken")
        self.wallet.undo(number)
        self.post("return_purchase_credits_posting", self.refunds[number])
        self.book_prepaid(self.refunds[number], -1)

    @rule()
    def expire(self) -> None:
        self.wallet.expire(self.now())
        while self.shop.expire(3):
            pass

    @rule(days=st.integers(1, 20))
    def wait(self, days: int) -> None:
        self.shop.wait(days=days)

    def pick(self, data: st.DataObject, status: str) -> int:
        numbers = [n for n, r in enumerate(self.wallet.recalls) if r.status == status]
        return data.draw(st.sampled_from(numbers))

    def post(self, function: str, refund: object) -> None:
        self.db.execute(
            "select post_ledger_transactions(organization_id, livemode, array_remove("
            f" array[{function}(refund_id, clock_now())], null))"
            " from credit_recalls where refund_id = %s",
            [refund],
        )

    def book_prepaid(self, refund: object, sign: int) -> None:
        """What a refund books of its money, as far as the lot is concerned."""
        accounts = [
            f"ledger_account(organization_id, livemode, '{code}', 'liability', 'USD')"
            for code in ("prepaid_credits", "test")
        ]
        debit, credit = accounts[::sign]
        self.db.execute(
            "select post_ledger_transaction(organization_id, livemode, %(key)s, 'refund', 'test',"
            " refund_id, clock_now(),"
            f" {debit}, {credit}, amount)"
            " from credit_recalls where refund_id = %(refund)s and amount > 0",
            {"key": f"test:{refund}:{sign}", "refund": refund},
        )

    @invariant()
    def lots_agree(self) -> None:
        stored = {
            row["id"]: (
                *(int((row[name]) * UNIT) for name in ("remaining", "held", "used", "expired")),
                int(row["recalled"] * UNIT),
                *(row[f"amount_{name}"] for name in ("remaining", "earned", "recalled")),
            )
            for row in self.shop.lots()
        }
        assert stored == {
            lot.id: (
                *(lot.free + lot.held, lot.held, lot.used, lot.expired, lot.recalled),
                *(lot.owed, lot.earned, lot.paid_back),
            )
            for lot in self.wallet.lots
        }
        assert all(lot.is_whole() for lot in self.wallet.lots)

    def books_agree(self) -> None:
        books = self.shop.books()
        earned = sum(lot.earned for lot in self.wallet.lots)
        units = sum(lot.free + lot.held for lot in self.wallet.lots)
        assert -books.get("prepaid_credits USD", 0) == sum(lot.owed for lot in self.wallet.lots)
        assert -books.get("credit_wallet XCR", 0) == units
        assert earned == -(books.get("credit_revenue USD", 0) + books.get("credit_breakage USD", 0))


@pytest.mark.timeout(600)  # five seconds, where the machine has time
@pytest.mark.parametrize("rate", RATES)
def test_whatever_happens_to_lots_they_agree_with_plain_python(postgres, rate) -> None:
    Lots.url, Lots.rate = postgres.url, rate
    run_state_machine_as_test(
        Lots, settings=settings(max_examples=50, stateful_step_count=15, deadline=None)
    )


@pytest.mark.timeout(600)
def test_the_books_are_whole_after_a_long_life(postgres) -> None:
    class Life(Lots):
        def books_agree(self) -> None:
            super().books_agree()
            assert faults(self.db) == {}

    Life.url, Life.rate = postgres.url, "7.919"
    run_state_machine_as_test(
        Life, settings=settings(max_examples=10, stateful_step_count=50, deadline=None)
    )
