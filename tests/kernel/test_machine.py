"""The money kernel beside the simplest model of it, step by step, in any order of events.

A gateway of a few lines (bank.py) knows what truly happened. Its messages come in any order,
again, late or never. After each few steps every invariant holds; and once everything has been
heard, or asked about, the books say what the gateway says, and the wallet what was done with it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, ClassVar
from uuid import UUID, uuid4

import history
import psycopg
import pytest
from books import Connection, begin_ids_again, broken_invariants, repeat_ids, settle
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test
from kernel.bank import Bank
from money_back import Desk
from psycopg.rows import dict_row

EXAMPLES = int(os.environ.get("MACHINE_EXAMPLES", "600"))
# Parts of them, so that several workers share them: each has dice of its own, the last one others
# every day.
SEEDS = {"1": 1, "2": 2, "3": 3, "4": 4, "today": datetime.now(UTC).toordinal()}
# To shrink a failure takes minutes: MACHINE_SHRINK=1 when there is one.
PHASES = list(Phase) if os.environ.get("MACHINE_SHRINK") else [Phase.explicit, Phase.generate]
STEPS = int(os.environ.get("MACHINE_STEPS", "60"))
LOOK_EVERY = 8  # steps; reading all invariants takes longer than a step
PICK = st.integers(0, 1 << 20)
# What may be on the list when all is heard: money that came or went though nothing was owed.
EXPECTED = {
    "surplus-payment",
    "refund-failed",
    "refunds-exceed-payment",
    "overpaid-back",
    "refunded-and-disputed",
}


class Kernel(RuleBasedStateMachine):
    db: ClassVar[Connection]  # of all lives, each in a transaction that is taken back

    def __init__(self) -> None:
        super().__init__()
        begin_ids_again(self.db, "credit_lots")
        self.tenant = settle(self.db)
        self.desk = Desk(self.db, self.tenant.session)
        self.bank = Bank()
        self.intents: list[UUID] = []
        self.spends: list[dict[str, Any]] = []
        self.used = Decimal()
        self.steps = 0

    def teardown(self) -> None:
        try:
            for _ in range(2):  # what is heard may call for refunds: a surplus goes back
                self.end_everything()
                self.hear_everything()
            self.compare()
        finally:
            self.db.rollback()

    # What customers do

    @rule(amount=st.integers(100, 100_000))
    def buy(self, amount: int) -> None:
        row = self.desk.open(key=uuid4().hex, amount=amount)
        self.intents.append(row["payment_intent_id"])
        self.bank.open(row["payment_attempt_id"], amount)

    @precondition(lambda self: self.bank.payments)
    @rule(pick=PICK, state=st.sampled_from(["paid", "paid", "paid", "failed", "expired"]))
    def gateway_decides(self, pick: int, state: str) -> None:
        """A payment that was paid stays paid; one that failed may be paid after all."""
        attempt = self.pick(list(self.bank.payments), pick)
        before = self.bank.payments[attempt]
        if before == "open" or (before in ("failed", "expired") and state == "paid"):
            self.bank.end(attempt, state)

    @precondition(lambda self: self.intents)
    @rule(pick=PICK)
    def try_again(self, pick: int) -> None:
        """Another attempt at the same payment, which is refused while one is in progress."""
        intent = self.pick(self.intents, pick)
        found: list[dict[str, Any]] = []

        def open_one() -> None:
            found.extend(
                self.db.execute(
                    "select attempt.id, attempt.amount from payment_intents as intent,"
                    " open_payment_attempt(intent, 'stripe', null) as attempt"
                    " where intent.id = %s and intent.status = 'failed'",
                    [intent],
                )
            )

        assert self.refusal(open_one) in {None, "payment-in-progress"}
        for row in found:
            self.bank.open(row["id"], row["amount"])

    @rule(amount=st.decimals("0.0001", "400", places=4))
    def spend(self, amount: Decimal) -> None:
        free = self.free()
        asked = {"amount": amount, "description": "Lunch", "reference": None}
        code = self.refusal(
            lambda: self.spends.extend(
                self.desk.call(
                    "spend_credits",
                    customer_id=self.tenant.customer_id,
                    key=uuid4().hex,
                    **asked,
                )
            )
        )
        assert code == (None if amount <= free else "insufficient-credits")
        if code is None:
            self.used += amount

    @precondition(lambda self: self.spends)
    @rule(pick=PICK)
    def give_a_spend_back(self, pick: int) -> None:
        """All of it that may come back: not what was paid back in money though it was used."""
        spent = self.spends.pop(pick % len(self.spends))
        (may,) = self.db.execute(
            "select coalesce(sum(credits_amount - credits_returned), 0) as come_back"
            " from returnable_credits(%s)",
            [spent["id"]],
        )
        code = self.refusal(
            lambda: self.desk.call(
                "return_credits",
                credit_spend_id=spent["id"],
                amount=None,
                key=uuid4().hex,
                reason="Canceled",
            )
        )
        assert code == (None if may["come_back"] else "amount-out-of-range")
        self.used -= may["come_back"]

    # What staff and gateways do

    @precondition(lambda self: self.intents)
    @rule(pick=PICK, share=st.integers(1, 120))
    def ask_for_a_refund(self, pick: int, share: int) -> None:
        intent = self.pick(self.intents, pick)
        (owed,) = self.db.execute("select amount from payment_intents where id = %s", [intent])
        amount = max(owed["amount"] * share // 100, 1)
        code = self.refusal(lambda: self.desk.refund(intent, amount=amount, key=uuid4().hex))
        assert code in {None, "refund-not-allowed", "credits-spent", "amount-out-of-range"}

    @rule(pick=PICK, state=st.sampled_from(["pending", "succeeded", "succeeded", "failed"]))
    def gateway_refunds(self, pick: int, state: str) -> None:
        """A refund goes its way at the gateway; one that succeeded may fail after all."""
        waiting = self.refunds()
        if not waiting:
            return
        refund = self.pick(waiting, pick)
        before = self.bank.refunds.get(refund["id"], "unsent")
        order = ["unsent", "pending", "succeeded", "failed"]
        if order.index(state) > order.index(before):
            self.bank.move_refund(refund, state)

    @precondition(lambda self: "paid" in self.bank.payments.values())
    @rule(pick=PICK, state=st.sampled_from(["opened", "won", "lost"]))
    def payer_disputes(self, pick: int, state: str) -> None:
        paid = [id_ for id_, known in self.bank.payments.items() if known == "paid"]
        attempt = self.pick(paid, pick)
        before = self.bank.disputes.get(attempt)
        is_step = (before, state) in {(None, "opened"), ("opened", "won"), ("opened", "lost")}
        if is_step and self.bank.left(attempt) == self.bank.amounts[attempt]:
            self.bank.move_dispute(attempt, state)

    # What reaches us

    @precondition(lambda self: self.bank.messages)
    @rule(pick=PICK, keep=st.booleans())
    def hear(self, pick: int, keep: bool) -> None:
        message = self.pick(self.bank.messages, pick)
        if not keep:
            self.bank.messages.remove(message)
        self.desk.tell(**message)
        self.look()

    @precondition(lambda self: self.bank.payments)
    @rule(pick=PICK)
    def look_up(self, pick: int) -> None:
        self.desk.tell(**self.pick(self.bank.everything(), pick), type="look-up")
        self.look()

    @rule(hours=st.integers(1, 48))
    def time_passes(self, hours: int) -> None:
        self.db.execute("update clock set skew_seconds = skew_seconds + %s", [hours * 3600])
        self.desk.call("claim_payment_checks", limit=100)
        self.desk.call("claim_refund_checks", limit=100)

    def refusal(self, work: Callable[[], object]) -> str | None:
        """Do it in a transaction of its own; the code of the refusal, or None when it is done."""
        try:
            with self.db.transaction():
                work()
        except psycopg.DataError as refused:
            return str(refused).partition(":")[0]
        return None

    # What must hold

    def look(self) -> None:
        self.db.execute("set constraints all immediate")
        self.db.execute("set constraints all deferred")
        self.steps += 1
        if self.steps % LOOK_EVERY == 0:
            assert broken_invariants(self.db) == {}
            assert history.breaches(self.db) == []

    def end_everything(self) -> None:
        """Pages close, and what is to go back goes back."""
        for attempt, known in self.bank.payments.items():
            if known == "open":
                self.bank.end(attempt, "expired")
        for refund in self.refunds():
            if self.bank.refunds.get(refund["id"]) not in {"succeeded", "failed"}:
                self.bank.move_refund(refund, "succeeded")

    def refunds(self) -> list[dict[str, Any]]:
        """List them in an order that does not follow from their ids, which are random."""
        rows = self.db.execute(
            "select * from refunds where organization_id = %s", [self.tenant.organization_id]
        ).fetchall()
        place = {id_: number for number, id_ in enumerate(self.bank.payments)}
        return sorted(
            rows,
            key=lambda row: (row["created_at"], place[row["payment_attempt_id"]], row["amount"]),
        )

    def hear_everything(self) -> None:
        """The rest of the messages, backwards; then the truth twice; then what was put off."""
        for message in reversed(self.bank.messages):
            self.desk.tell(**message)
        for words in self.bank.everything() * 2:
            self.desk.tell(**words, type="look-up")
        for _ in range(12):
            self.db.execute("update clock set skew_seconds = skew_seconds + 86400")
            while self.desk.call("apply_due_gateway_event"):
                pass

    def compare(self) -> None:
        assert broken_invariants(self.db) == {}
        assert history.breaches(self.db) == []
        organization = [self.tenant.organization_id]
        books = self.db.execute(
            "select coalesce(sum(balance), 0) as cash from ledger_balances"
            " where organization_id = %s and code = 'gateway:stripe'",
            organization,
        ).fetchone()
        assert books["cash"] == self.bank.cash

        wallet = self.db.execute(
            "select coalesce(sum(balance), 0) as balance from credit_wallets"
            " where organization_id = %s",
            organization,
        ).fetchone()
        bought = self.db.execute(
            "select coalesce(sum(amount), 0) as bought from credit_entries"
            " where organization_id = %s and kind not in ('credit_spend', 'credit_return')",
            organization,
        ).fetchone()
        assert wallet["balance"] == bought["bought"] - self.used >= 0

        listed = self.db.execute(
            "select class, object_id, detail from exceptions where resolved_at is null"
        ).fetchall()
        twice = {row["object_id"] for row in listed if row["class"] == "refunded-and-disputed"}
        assert twice == self.bank.given_back_twice
        unexpected = [row for row in listed if row["class"] not in EXPECTED]
        assert unexpected == []

    def free(self) -> Decimal:
        row = self.db.execute(
            "select coalesce(sum(remaining - held), 0) as free from credit_lots"
            " where customer_id = %s",
            [self.tenant.customer_id],
        ).fetchone()
        return row["free"]

    @staticmethod
    def pick(things: list[Any], number: int) -> Any:
        return things[number % len(things)]


@pytest.fixture
def kept(database: str) -> Iterator[Connection]:
    """A connection whose database keeps the history of every status."""
    with psycopg.connect(database, row_factory=dict_row) as db:
        repeat_ids(db, "credit_lots")
        history.keep(db)
        db.commit()
        yield db


@pytest.mark.timeout(20 * EXAMPLES)  # most of them are done in a third of a second
@pytest.mark.parametrize("part", SEEDS)
def test_the_books_say_what_the_gateway_says(kept: Connection, part: str) -> None:
    Kernel.db = kept
    run_state_machine_as_test(
        seed(SEEDS[part])(Kernel),
        settings=settings(
            max_examples=-(-EXAMPLES // len(SEEDS)),
            stateful_step_count=STEPS,
            deadline=None,
            phases=PHASES,
            suppress_health_check=list(HealthCheck),
        ),
    )
