"""What the service does for its own books, called as Hasura's crons call it."""

import asyncio

from e2e.product import World, until

from sandbox import chain


def test_what_was_paid_is_sealed_and_the_chain_is_proved(product: World) -> None:
    session = product.create_payment().json()["session_id"]
    product.pay(session)
    until(lambda: product.sql("select from ledger_transactions where kind = 'credit_purchase'"))

    def all_sealed() -> chain.Chain | None:
        product.tick("seal_ledger")
        found = asyncio.run(chain.verify(product.database_url))
        return found if found.unsealed == 0 else None

    found = until(all_sealed)
    assert found.broken == []
    assert found.transactions >= 2
    assert product.tick("seal_ledger") == {"sealed": 0}


def test_the_invariants_are_read_by_a_cron(product: World) -> None:
    assert product.tick("check_invariants") == {"broken": 0, "not_read": 0}
    listed = (
        "select object_type from exceptions"
        " where resolved_at is null and object_type like 'invariant%%'"
    )

    product.sql(
        "insert into ledger_accounts"
        " (organization_id, livemode, code, account_type, currency, held)"
        " select id, false, 'lost', 'asset', 'USD', 5 from organizations limit 1 returning id"
    )
    try:
        assert product.tick("check_invariants") == {"broken": 1, "not_read": 0}
        assert product.sql(listed) == [{"object_type": "invariant_account_holds"}]
    finally:
        product.sql("update ledger_accounts set held = 0 where code = 'lost' returning id")
    assert product.tick("check_invariants") == {"broken": 0, "not_read": 0}
