"""The tables of docs/ledger.md that tell Ada's story are what the database books."""

import re
from uuid import uuid4

from books import ROOT, Connection
from credit_shop import Shop

HEADER = "| transaction | account | USD | XCR |"

Booking = set[tuple[str, str, int]]


def written() -> dict[str, list[Booking]]:
    """What the page says, by the word before the first colon of a transaction's key."""
    found: dict[str, list[Booking]] = {}
    text = (ROOT / "docs" / "ledger.md").read_text(encoding="utf-8")
    for table in text.split(HEADER)[1:]:
        for line in table.strip().splitlines()[1:]:
            if not line.startswith("|"):
                break
            key, account, *amounts = (cell.strip() for cell in line.strip("|").split("|"))
            if key:
                transaction: Booking = set()
                found.setdefault(re.split("[:<]", key.strip("`"))[0], []).append(transaction)
            transaction |= {
                (account.split(":")[0], currency, int(amount))
                for currency, amount in zip(("USD", "XCR"), amounts, strict=True)
                if amount
            }
    return found


def booked(db: Connection, shop: Shop) -> dict[str, list[Booking]]:
    rows = db.execute(
        "select split_part(t.key, ':', 1) as key, array_agg(array[split_part(a.code, ':', 1),"
        " e.currency, e.amount::text]) as entries from ledger_transactions t"
        " join ledger_entries e on e.ledger_transaction_id = t.id"
        " join ledger_accounts a on a.id = e.ledger_account_id"
        " where t.organization_id = %s group by t.id",
        [shop.tenant.organization_id],
    )
    found: dict[str, list[Booking]] = {}
    for row in rows:
        entries = {(code, currency, int(amount)) for code, currency, amount in row["entries"]}
        found.setdefault(row["key"], []).append(entries)
    return found


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

    says, does = written(), booked(db, shop)
    story = {
        *("capture", "credits", "spend", "spend-return", "credit-grant", "credits-recalled"),
        "expiry",
    }
    assert does.keys() == story
    for word in story:
        assert sorted(map(sorted, does[word])) == sorted(map(sorted, says[word])), word
