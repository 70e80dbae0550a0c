"""The ledger beside the simplest ledger there is: a dict of sums."""

from typing import ClassVar

import psycopg
import pytest
from books import broken_invariants, settle
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
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
        self.booked: dict[str, tuple[tuple[str, int], ...]] = {}
        self.sums = dict.fromkeys(NAMES, 0)

    def teardown(self) -> None:
        self.db.close()  # which takes everything back, though it broke off in mid-statement

    @rule(
        key=st.sampled_from(KEYS),
        accounts=st.permutations(NAMES),
        amount=st.integers(1, 10**15),
        fee=st.integers(0, 10**6),
    )
    def post(self, key: str, accounts: list[str], amount: int, fee: int) -> None:
        debit, credit, third, _ = accounts
        lines = [(debit, amount + fee), (credit, -amount)] + ([(third, -fee)] if fee else [])
        fact = tuple(lines)
        if self.booked.get(key, fact) != fact:
            with pytest.raises(psycopg.Error) as failure, self.db.transaction():
                self.book(key, lines)
            assert failure.value.sqlstate == "22B02"
            return
        self.book(key, lines)
        if key not in self.booked:
            self.booked[key] = fact
            for name, moved in lines:
                self.sums[name] += moved

    def book(self, key: str, lines: list[tuple[str, int]]) -> None:
        self.db.execute(
            "select post_ledger_transaction(%s, false, %s, 'k', 't', gen_random_uuid(),"
            " clock_now(), array(select row(a, m)::ledger_line"
            " from unnest(%s::uuid[], %s::bigint[]) as l(a, m)))",
            [
                self.organization_id,
                key,
                [self.ids[name] for name, _ in lines],
                [moved for _, moved in lines],
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
