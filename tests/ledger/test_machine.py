"""The ledger beside the simplest ledger there is: a dict of sums."""

from typing import ClassVar
from uuid import UUID

import psycopg
import pytest
from books import broken_invariants, settle
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from ledger.conftest import Fact, book
from psycopg.rows import dict_row

NAMES = ["cash", "sales", "fees", "stock"]
KEYS = [f"fact:{n}" for n in range(6)]


class Ledger(RuleBasedStateMachine):
    url: ClassVar[str]

    def __init__(self) -> None:
        super().__init__()
        self.db = psycopg.connect(self.url, row_factory=dict_row)
        tenant = settle(self.db)
        self.organization_id = tenant.organization_id
        self.ids = {
            name: self.db.execute(
                "select ledger_account(%s, false, %s, 'asset', 'USD') as id",
                [tenant.organization_id, name],
            ).fetchone()["id"]
            for name in NAMES
        }
        self.booked: dict[str, Fact] = {}
        self.known: dict[str, UUID] = {}
        self.sums = dict.fromkeys(NAMES, 0)

    def teardown(self) -> None:
        self.db.close()  # which takes everything back, though it broke off in mid-statement

    @rule(
        key=st.sampled_from(KEYS),
        accounts=st.permutations(NAMES),
        amount=st.integers(1, 10**15),
    )
    def post(self, key: str, accounts: list[str], amount: int) -> None:
        self.book([Fact(key, *accounts[:2], amount)])

    @rule(
        keys=st.lists(st.sampled_from(KEYS), min_size=2, max_size=7),
        accounts=st.permutations(NAMES),
        amount=st.integers(1, 10**15),
    )
    def batch(self, keys: list[str], accounts: list[str], amount: int) -> None:
        """Facts that go round among the accounts."""
        around = [*accounts, accounts[0]]
        self.book(
            [Fact(key, around[n % 4], around[n % 4 + 1], amount) for n, key in enumerate(keys)]
        )

    @rule(keys=st.lists(st.sampled_from(KEYS), min_size=1, max_size=7))
    def repeat(self, keys: list[str]) -> None:
        if facts := [self.booked[key] for key in keys if key in self.booked]:
            self.book(facts)

    def book(self, facts: list[Fact]) -> None:
        wanted = dict(self.booked)
        for fact in facts:
            wanted.setdefault(fact.key, fact)
        if any(wanted[fact.key] != fact for fact in facts):
            with pytest.raises(psycopg.Error) as failure, self.db.transaction():
                self.ask(facts)
            assert failure.value.sqlstate == "22B02"
            return
        ids = self.ask(facts)
        known = [self.known.setdefault(fact.key, one) for fact, one in zip(facts, ids, strict=True)]
        assert ids == known
        for key in wanted.keys() - self.booked.keys():
            self.sums[wanted[key].debit] += wanted[key].amount or 0
            self.sums[wanted[key].credit] -= wanted[key].amount or 0
        self.booked = wanted

    def ask(self, facts: list[Fact]) -> list[UUID]:
        return book(
            self.db,
            self.organization_id,
            [
                fact._replace(debit=self.ids[fact.debit], credit=self.ids[fact.credit])
                for fact in facts
            ],
        )

    @invariant()
    def balances_agree(self) -> None:
        rows = self.db.execute(
            "select code, balance from ledger_accounts where organization_id = %s"
            " and currency = 'USD'",
            [self.organization_id],
        ).fetchall()
        assert {row["code"]: row["balance"] for row in rows} == self.sums
        assert broken_invariants(self.db) == {}


@pytest.mark.timeout(600)  # seconds, where the machine has time
def test_any_run_of_postings_agrees_with_a_dict_of_sums(postgres) -> None:
    Ledger.url = postgres.url

    run_state_machine_as_test(
        Ledger, settings=settings(max_examples=25, stateful_step_count=20, deadline=None)
    )
