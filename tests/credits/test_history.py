"""What a customer reads: entries, lots, and one row for each purchase."""

from credit_shop import Shop


def entries(shop: Shop) -> list[dict]:
    return shop.db.execute(
        "select * from credit_entries where customer_id = %s order by created_at",
        [shop.customer_id],
    ).fetchall()


def test_the_history_says_what_each_entry_was_and_what_was_left(shop) -> None:
    shop.set("credits_expire_after_days", "30")
    shop.buy(2500)
    spend = shop.spend(100, description="Laundry", reference="order-7")
    shop.give_back(spend, 30, reason="Machine out of order")
    shop.grant(5, reason="Sorry")
    shop.wait(days=30)
    shop.expire()

    assert [
        (e["kind"], e["reference"], e["description"], e["amount"], e["balance_after"])
        for e in entries(shop)[:4]
    ] == [
        ("credit_purchase", None, None, 250, 250),
        ("credit_spend", "order-7", "Laundry", -100, 150),
        ("credit_return", "order-7", "Machine out of order", 30, 180),
        ("credit_grant", None, "Sorry", 5, 185),
    ]
    expiries = entries(shop)[4:]
    assert {(e["kind"], e["amount"]) for e in expiries} == {
        ("credit_expiry", -180),
        ("credit_expiry", -5),
    }
    assert expiries[-1]["balance_after"] == 0


def test_a_spend_is_one_entry_however_many_lots_it_used(shop) -> None:
    for _ in range(3):
        shop.buy(1000)
        shop.grant(10)
    shop.spend(320)

    assert [e["amount"] for e in entries(shop) if e["kind"] == "credit_spend"] == [-320]


def test_the_balance_of_a_client_is_the_wallets(db, shop) -> None:
    shop.buy(2500)
    shop.spend("12.3456")

    client = db.execute(
        "select credits_balance from tcs.clients where id = %s", [shop.customer_id]
    ).fetchone()
    assert client["credits_balance"] == shop.wallet()["balance"]


def again(shop: Shop, row: dict, **changes: object) -> dict:
    """Another try of the same purchase, with a page of its own."""
    return shop.db.execute(
        "with page as (select open_checkout_session(payment_intents, 'stripe', null,"
        " 'a@example.com', 'https://s', 'https://c') from payment_intents where id = %(id)s)"
        " select (select count(*) from page) as pages",
        {"id": row["payment_intent_id"], **changes},
    ).fetchone()


def the_only(shop: Shop, view: str) -> dict:
    (row,) = shop.db.execute(f"select * from {view}").fetchall()
    return row


def test_a_purchase_that_was_tried_twice_is_one_row_of_the_newest_try(db, shop) -> None:
    money = shop.acting()
    row = money.open()
    money.receive(row["payment_attempt_id"], "failed")
    shop.wait(hours=1)
    again(shop, row)
    db.execute("set constraints all immediate")

    newest = db.execute(
        "select payment_attempt_id from checkout_sessions order by expires_at desc limit 1"
    ).fetchone()["payment_attempt_id"]
    assert newest != row["payment_attempt_id"]
    assert the_only(shop, "credit_checkouts")["payment_attempt_id"] == newest
    assert the_only(shop, "tcs.transactions")["stripe_payment_intent_id"] is None


def test_a_purchase_that_was_paid_is_one_row_of_the_try_that_paid(shop) -> None:
    money = shop.acting()
    row = money.open()
    first = row["payment_attempt_id"]
    money.receive(first, "failed")
    shop.wait(hours=1)
    again(shop, row)
    money.receive(first, "paid")

    assert the_only(shop, "credit_checkouts")["payment_attempt_id"] == first
    transaction = the_only(shop, "tcs.transactions")
    assert transaction["stripe_payment_intent_id"] == f"pi_{first}"
    assert transaction["status"] == "paid"


def test_a_page_that_is_recorded_for_an_older_try_still_answers_one_row(shop) -> None:
    money = shop.acting()
    row = money.open()
    money.receive(row["payment_attempt_id"], "failed")
    again(shop, row)

    money.record(row["payment_attempt_id"])
    assert the_only(shop, "credit_checkouts")["id"] == row["id"]
