"""Makes every type of event happen once, by the doors that make it happen in life."""

from typing import Any

from bank_transfers.conftest import staffed
from books import Connection, Money, settle
from credit_shop import Shop
from mandates import Autopay, move_clock
from money_back import Desk
from orders.conftest import Office, stock


def make_everything_happen(db: Connection) -> None:
    pay(db)
    order(db)
    give_back(db)
    use_credits(db)
    charge_by_itself(db)
    read_a_statement(db)


def pay(db: Connection) -> None:
    money = Money(db, settle(db).session)
    for outcome in ("processing", "authorized", "failed", "expired", "canceled", "paid"):
        row = money.open(key=outcome)
        money.receive(row["payment_attempt_id"], outcome, gateway_session_id=None)


def order(db: Connection) -> None:
    """One that nobody can be charged for, one that is called off and paid after all."""
    office = stock(db, settle(db))
    hear(office, "order.ready_for_payment", "BK-1")
    row = office.ask(reference="BK-2", gateway="payu")
    hear(office, "order.cancelled", "BK-2")
    office.hear(row, "paid")


def hear(office: Office, kind: str, reference: str) -> None:
    office.call(
        "receive_order_event",
        event_id=f"{kind} {reference}",
        type=kind,
        reference=reference,
        customer_external_id="SHP-1",
        amount=245000,
        currency="INR",
        detail={},
        occurred_at="2026-11-21T10:00:00Z",
    )


def give_back(db: Connection) -> None:
    desk = Desk(db, settle(db).session)
    for outcome in ("succeeded", "failed"):
        paid = desk.paid(f"refund {outcome}")
        refund = desk.refund(paid["payment_intent_id"], key=outcome)
        desk.say(refund, outcome)
    for outcome in ("won", "lost"):
        attempt_id = desk.paid(f"dispute {outcome}")["payment_attempt_id"]
        named = {"gateway_dispute_id": f"dp_{outcome}"}
        desk.dispute(attempt_id, "opened", **named)
        desk.dispute(attempt_id, outcome, **named)


def use_credits(db: Connection) -> None:
    shop = Shop(db, settle(db))
    shop.set("credits_expire_after_days", "30")
    shop.buy()
    shop.grant(5)
    spend = shop.spend(2)
    shop.give_back(spend, 1)
    wait(db, days=28)
    shop.acting().call("announce_expiring_credits", limit=10)
    wait(db, days=3)
    shop.expire()


def wait(db: Connection, *, days: int) -> None:
    db.execute("update clock set skew_seconds = skew_seconds + 86400 * %s", [days])


def charge_by_itself(db: Connection) -> None:
    move_clock(db, "2027-06-01T12:00Z")  # first: a price holds from when it is set
    tenant = settle(db)
    autopay = Autopay(db, Money(db, tenant.session), tenant)
    closed = autopay.record(autopay.open()["id"])["id"]
    autopay.hear(closed, "failed")
    mandate = {"autopay_mandate_id": autopay.set_up(day_of_month=15)}
    for number, outcome in enumerate(("paid", "soft", "authentication")):
        autopay.at(f"2027-{6 + number:02}-15T09:00Z")
        autopay.materialise()
        autopay.run(outcome)
    for function in ("pause_autopay", "resume_autopay", "cancel_autopay"):
        autopay.money.call(function, **mandate)


def read_a_statement(db: Connection) -> None:
    """A transfer that is no line of the statement, and one that is, and comes to nothing."""
    counter = staffed(db, settle(db))
    account, order = counter.account(), counter.order()
    counter.reject(counter.enter(account, reference="A1"))
    receipt = counter.approve(counter.enter(account, reference="A2"))
    counter.match(receipt, order)
    counter.reject(receipt)
    returned = counter.enter(account, kind="return", returned_id=receipt["id"], reference="B1")
    counter.approve(returned)
    counter.by("meera").call("close_bank_account", bank_account_id=account["id"])


def told(db: Connection) -> list[dict[str, Any]]:
    return db.execute("select * from events order by type, created_at, sequence").fetchall()
