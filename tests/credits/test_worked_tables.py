"""The tables of docs/ledger.md that tell Ada's story are what the database books."""

from collections import Counter
from uuid import uuid4

from worked_tables import booked, documented


def test_adas_story_is_booked_as_the_page_says(db, shop) -> None:
    shop.set("credits_expire_after_days", "30")
    purchase = shop.buy(2500)
    shop.give_back(shop.spend(100), 40)
    shop.grant(20)
    refund = uuid4()
    db.execute("select hold_purchase_credits(%s, %s, 500)", [purchase, refund])
    db.execute(
        "select post_ledger_transactions(organization_id, livemode,"
        " array[purchase_credits_posting(refund_id, clock_now())]) from credit_recalls"
    )
    shop.wait(days=30)
    shop.expire()
    other = shop.acting().open(key="other")
    shop.acting().receive(other["payment_attempt_id"], amount=2400)

    says = [row for table in documented("ledger.md")["Flows"][:-1] for row in table]
    assert Counter(booked(db, shop.tenant.organization_id)) == Counter(says)
