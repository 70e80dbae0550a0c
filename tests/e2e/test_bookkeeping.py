"""What the service does for its own books, called as Hasura's crons call it."""

import asyncio

from e2e.product import World, until

from sandbox import chain


def test_what_was_paid_is_sealed_and_the_chain_is_proved(product: World) -> None:
    payment = product.create_payment().json()
    product.pay(payment["session_id"])
    until(lambda: product.has_granted(payment), "the credits")

    def all_sealed() -> chain.Chain | None:
        """Nothing is left to seal, of this payment and of others that are still under way."""
        is_done = product.tick("seal_ledger") == {"sealed": 0}
        found = asyncio.run(chain.verify(product.database_url))
        return found if is_done and found.unsealed == 0 else None

    found = until(all_sealed)
    assert found.broken == []
    assert found.transactions >= 2


def read(product: World) -> dict[str, int]:
    """Tick the cron that reads the invariants; what a slow machine put off, the next one reads."""
    found: dict[str, int] = product.tick("check_invariants")
    return found


def test_the_invariants_are_read_by_a_cron(product: World) -> None:
    until(lambda: read(product) == {"broken": 0, "not_read": 0}, "sound books")
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
        until(lambda: read(product) == {"broken": 1, "not_read": 0}, "the breach")
        assert product.sql(listed) == [{"object_type": "invariant_account_holds"}]
    finally:
        product.sql("update ledger_accounts set held = 0 where code = 'lost' returning id")
    until(lambda: read(product) == {"broken": 0, "not_read": 0}, "sound books again")
