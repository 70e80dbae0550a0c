"""What a customer saved is offered to them, who proved who they are, and to nobody else."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from books import Connection
from flask import Flask
from in_process import ENVIRON, context
from payers import selected

from app import create_app
from app.context import Context
from app.gateways import Charge, Method, Money
from app.gateways.stripe.pages import payment_page
from app.payments import passes, screens

from .conftest import Counter

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
PAGE: dict[str, Any] = {
    **dict.fromkeys(field.name.value for field in selected("PaymentPageOf")),
    "token": "t" * 32,
    "organization_name": "Campus",
    "reference": "BK-17",
    "display_id": "TXN-0123456789",
    "title": "Booking BK-17",
    "amount": "245000",
    "currency": "INR",
    "status": "pending",
    "success_url": "https://shop.example/payment-success",
    "cancel_url": "https://shop.example/payment-cancelled",
}
CARD = {
    "id": "6f1e9a3e-5a55-4a5a-9a55-000000000001",
    "gateway": "stripe",
    "gateway_customer_id": "cus_1",
    "brand": "visa",
    "last4": "4242",
    "expires_on": "2034-12-31",
}
CHARGE = Charge(
    id="6f1e9a3e-5a55-4a5a-9a55-000000000002",
    amount=Money(4200, "USD"),
    title="A desk",
    email="grace@example.com",
    success_url="https://pay.example/back",
    cancel_url="https://pay.example/back",
    expires_at=NOW,
    method=Method.CARD,
)


def save(counter: Counter, **changes: Any) -> str:
    """Have the shipper a card at a gateway; answer its id."""
    values = {
        "gateway": "razorpay",
        "gateway_customer_id": "cust_1",
        "gateway_payment_method_id": f"token_{uuid4().hex}",
        "type": "card",
        "brand": "visa",
        "last4": "4242",
        "expires_on": "2034-12-31",
        "status": "active",
    } | changes
    row = counter.db.execute(
        f"insert into payment_methods (organization_id, livemode, customer_id, {', '.join(values)})"
        " select organization_id, livemode, id, "
        + ", ".join(["%s"] * len(values))
        + " from customers where external_id = 'SHP-1' and organization_id = %s returning id",
        [*values.values(), counter.organization_id],
    ).fetchone()
    assert row is not None
    return str(row["id"])


def at(moment: datetime) -> Context:
    return context(now=lambda: moment)


def test_a_page_knows_what_its_customer_saved_and_what_is_of_use(counter: Counter) -> None:
    save(counter)
    save(counter, status="detached")
    save(counter, type="bank_debit")
    save(counter, expires_on="2020-01-31")

    (card,) = counter.open_page()["saved_cards"]
    assert (card["brand"], card["last4"], card["expires_on"]) == ("visa", "4242", "2034-12-31")


def test_an_attempt_with_a_saved_card_tells_the_gateway_who_the_payer_is(counter: Counter) -> None:
    saved = save(counter)
    row = counter.choose(counter.open_page(), payment_method_id=saved)

    assert (row["gateway"], row["gateway_customer_id"]) == ("razorpay", "cust_1")


def test_an_attempt_with_any_card_tells_nobody_who_the_payer_is(counter: Counter) -> None:
    save(counter)

    assert counter.choose(counter.open_page())["gateway_customer_id"] is None


def test_what_somebody_else_saved_is_no_choice(counter: Counter, other_counter: Counter) -> None:
    page = counter.open_page()
    strange = save(other_counter)
    gone = save(counter, status="detached")
    elsewhere = save(counter, gateway="stripe")

    for each in (strange, gone, elsewhere, str(uuid4())):
        with pytest.raises(psycopg.Error) as failure, counter.db.transaction():
            counter.choose(page, payment_method_id=each)
        assert str(failure.value.diag.message_primary).startswith("not-found:")


def test_a_page_that_offers_saved_cards_takes_no_place_of_one_that_does_not(counter) -> None:
    """A stranger with the address must not be led on to what the customer began."""
    page, saved = counter.open_page(), save(counter)
    first = counter.choose(page, payment_method_id=saved)
    counter.record(first["payment_attempt_id"], "order_1")

    again = counter.choose(page, payment_method_id=saved)
    assert again["payment_attempt_id"] == first["payment_attempt_id"]
    with pytest.raises(psycopg.Error) as failure:
        counter.choose(page)
    assert str(failure.value.diag.message_primary).startswith("payment-in-progress:")


def test_only_four_digits_of_a_card_are_ever_kept(db: Connection, counter: Counter) -> None:
    with pytest.raises(psycopg.errors.CheckViolation):
        save(counter, last4="4242424242424242")


def test_a_pass_is_for_one_page_and_half_an_hour() -> None:
    given = passes.issue(at(NOW), "t" * 32)

    assert passes.admits(at(NOW), "t" * 32, given)
    assert passes.admits(at(NOW + timedelta(minutes=29)), "t" * 32, given)
    assert not passes.admits(at(NOW + timedelta(minutes=30)), "t" * 32, given)
    assert not passes.admits(at(NOW), "u" * 32, given)


@pytest.mark.parametrize(
    "change",
    [
        lambda _: "",
        lambda given: given.partition(".")[0],
        lambda given: f"9{given}",
        lambda given: f"{given}0",
        lambda given: given.replace(".", ".é"),
        lambda given: f"٣{given}",
        lambda given: f"-{given}",
        lambda given: f"{'9' * 5000}.{given.partition('.')[2]}",
    ],
)
def test_a_pass_that_was_made_up_is_none(change: Any) -> None:
    assert not passes.admits(at(NOW), "t" * 32, change(passes.issue(at(NOW), "t" * 32)))


@pytest.fixture(scope="module")
def flask() -> Flask:
    return create_app(ENVIRON)


def text(flask: Flask, payer: str = "", saved: Any = (), **changes: Any) -> str:
    screen = screens.Screen(PAGE | changes, "en", [Method.CARD], payer=payer, saved=list(saved))
    with flask.test_request_context():
        return screens.show(screen).get_data(as_text=True)


def test_a_saved_card_is_offered_first(flask: Flask) -> None:
    page = text(flask, "pass", [CARD])

    assert "Visa ending in 4242" in page
    assert "Valid until 12/34" in page
    assert "You confirm it at Stripe" in page
    assert page.index("ending in 4242") < page.index("Credit or debit card")


def test_a_saved_card_of_which_little_is_known_is_offered_too(flask: Flask) -> None:
    page = text(flask, "pass", [CARD | {"brand": None, "last4": None, "expires_on": None}])

    assert "Your saved card" in page
    assert "Valid until" not in page


def test_what_a_customer_began_with_a_saved_card_is_theirs_to_go_on_with(flask: Flask) -> None:
    began = {
        "payment_attempt_id": "a-1",
        "payment_attempt_status": "pending",
        "gateway": "stripe",
        "gateway_customer_id": "cus_1",
    }

    assert "/payments/handover/a-1?lang=en&amp;payer=pass" in text(flask, "pass", **began)
    assert "/payments/handover/a-1" not in text(flask, **began)
    assert "/payments/handover/a-1" in text(flask, **began | {"gateway_customer_id": None})


def test_who_may_not_go_on_with_an_attempt_is_told_when_it_is_paid(flask: Flask) -> None:
    """As the customer is who comes back from Stripe, where their pass was not sent along."""
    began = {"payment_attempt_status": "pending", "gateway_customer_id": "cus_1"}

    assert f'data-watch="/pay/{PAGE["token"]}/state"' in text(flask, **began)
    assert "data-watch" not in text(flask)


def test_stripe_shows_what_is_saved_and_asks() -> None:
    plain, known = payment_page(CHARGE), payment_page(replace(CHARGE, gateway_customer_id="cus_1"))

    assert "customer" not in plain
    assert plain["customer_email"] == "grace@example.com"
    assert known["customer"] == "cus_1"
    assert "customer_email" not in known
    assert known["saved_payment_method_options"]["payment_method_save"] == "enabled"
