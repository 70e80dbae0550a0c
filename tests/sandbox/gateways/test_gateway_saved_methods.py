"""Saving a method on a page, and charging it while the payer is away."""

from typing import Any
from uuid import uuid4

import pytest
import stripe
from gateway_bench import Bench, order


def test_a_page_saves_a_card_for_a_new_customer(bench: Bench) -> None:
    session = bench.saving()
    answer = bench.pay(session.url)

    assert answer.status_code == 303
    saved = bench.get(session.id, "setup_intent").to_dict()
    intent = saved["setup_intent"]
    assert (saved["mode"], saved["status"]) == ("setup", "complete")
    assert (saved["payment_status"], saved["amount_total"]) == ("no_payment_required", None)
    assert saved["payment_intent"] is None
    assert (intent["status"], intent["usage"]) == ("succeeded", "off_session")
    assert intent["customer"] == saved["customer"]
    assert intent["metadata"] == {"mandate": "m-1"}
    methods = bench.client.v1.customers.payment_methods.list(saved["customer"]).data
    assert [one.id for one in methods] == [intent["payment_method"]]
    assert bench.told(intent["id"]) == [
        "checkout.session.completed",
        *("setup_intent.created", "setup_intent.succeeded"),
    ]


def test_the_page_asks_for_no_money(bench: Bench) -> None:
    page = bench.page(bench.saving().url).text

    assert "Save this payment method" in page
    assert "Nothing is charged now" in page
    assert "Total" not in page
    assert "$" not in page


def test_an_intent_is_there_as_soon_as_the_page(bench: Bench) -> None:
    intent = bench.client.v1.setup_intents.retrieve(str(bench.saving().setup_intent))

    assert (intent.status, intent.payment_method) == ("requires_payment_method", None)


@pytest.mark.parametrize(
    ("card", "passes", "status"),
    [
        ("4242424242424242", True, "succeeded"),
        ("4000000000000341", True, "succeeded"),
        ("4000002500003155", True, "succeeded"),
        ("4000002500003155", False, "requires_payment_method"),
        ("4000008260003178", True, "succeeded"),
        ("4000000000000002", True, "requires_payment_method"),
        ("4000000000009995", True, "requires_payment_method"),
        ("4000000000000069", True, "requires_payment_method"),
    ],
)
def test_a_card_is_saved_or_not(bench: Bench, card: str, *, passes: bool, status: str) -> None:
    session = bench.saving()
    challenge = "pass" if passes else "fail"
    path = f"/stripe/sessions/{session.id}/pay"
    bench.server.control(path, {"card": card, "challenge": challenge})

    intent = bench.client.v1.setup_intents.retrieve(str(session.setup_intent)).to_dict()
    assert intent["status"] == status
    assert (intent["last_setup_error"] is None) == (status == "succeeded")


def test_a_challenge_of_a_saving_is_a_page_of_the_bank(bench: Bench) -> None:
    session = bench.saving()
    answer = bench.pay(session.url, card_number="4000 0025 0000 3155")
    page = bench.page(answer.headers["location"]).text
    done = bench.submit(answer.headers["location"], {"challenge": "complete", "tried": "0"})

    assert "may charge this card later" in page
    assert done.status_code == 303
    assert bench.get(session.id).status == "complete"


def test_an_expired_page_cancels_its_intent(bench: Bench) -> None:
    session = bench.saving()
    bench.client.v1.checkout.sessions.expire(session.id)

    intent = bench.client.v1.setup_intents.retrieve(str(session.setup_intent))
    assert intent.status == "canceled"


@pytest.mark.parametrize(
    ("params", "param"),
    [
        ({"currency": None}, "currency"),
        ({"currency": "zzz"}, "currency"),
        ({"line_items": order()["line_items"]}, "line_items"),
        ({"payment_intent_data": {"description": "x"}}, "payment_intent_data"),
        ({"setup_intent_data": {"on_behalf_of": "acct_1"}}, "setup_intent_data[on_behalf_of]"),
    ],
)
def test_what_makes_no_sense_on_such_a_page_is_refused(
    bench: Bench, params: dict[str, Any], param: str
) -> None:
    with pytest.raises(stripe.InvalidRequestError) as caught:
        bench.saving(**params)

    assert caught.value.param == param


def test_the_settings_of_a_saving_are_refused_on_a_page_that_charges(bench: Bench) -> None:
    with pytest.raises(stripe.InvalidRequestError, match="setup_intent_data"):
        bench.open(setup_intent_data={"description": "x"})


def test_a_charge_is_told_with_its_events_and_booked(bench: Bench) -> None:
    intent = bench.charge(metadata={"attempt": "a-1"}, description="Autopay").to_dict()

    assert (intent["status"], intent["amount_received"]) == ("succeeded", 2500)
    charge = bench.client.v1.charges.retrieve(intent["latest_charge"]).to_dict()
    assert (charge["paid"], charge["captured"], charge["disputed"]) == (True, True, False)
    assert charge["metadata"] == {"attempt": "a-1"}
    assert bench.balance(charge["id"]) == [("charge", 2500, 103)]
    assert bench.page(charge["receipt_url"]).ok
    assert bench.told(intent["id"]) == [
        *("charge.succeeded", "charge.updated"),
        *("payment_intent.created", "payment_intent.succeeded"),
    ]


def decline(bench: Bench, card: str, **params: Any) -> stripe.CardError:
    customer, method = bench.saved(card=card)
    with pytest.raises(stripe.CardError) as caught:
        bench.charge(customer=customer, payment_method=method, **params)
    return caught.value


@pytest.mark.parametrize(
    ("card", "code", "decline_code", "advice"),
    [
        ("4000000000000341", "card_declined", "generic_decline", "try_again_later"),
        ("4000000000009995", "card_declined", "insufficient_funds", "try_again_later"),
        ("4000000000009987", "card_declined", "lost_card", "do_not_try_again"),
        ("4000000000000069", "expired_card", None, "confirm_card_data"),
        ("4000000000000119", "processing_error", None, "try_again_later"),
        ("4000002760003184", "authentication_required", "authentication_required", None),
    ],
)
def test_a_decline_is_a_402_with_its_intent(
    bench: Bench, card: str, code: str, decline_code: str | None, advice: str | None
) -> None:
    failure = decline(bench, card)
    assert failure.error is not None

    error = failure.json_body["error"]
    assert (failure.http_status, error["type"], error["code"]) == (402, "card_error", code)
    assert (error.get("decline_code"), error.get("advice_code")) == (decline_code, advice)
    intent = error["payment_intent"]
    assert intent["status"] == "requires_payment_method"
    assert intent["last_payment_error"]["code"] == code
    assert error["charge"] == intent["latest_charge"]
    assert error["payment_method"]["object"] == "payment_method"
    assert not [name for name in (*intent, *error["payment_method"]) if name.startswith("_")]
    kept = bench.client.v1.payment_intents.retrieve(intent["id"]).to_dict()
    assert kept["status"] == "requires_payment_method"


def test_a_decline_is_kept_under_its_key(bench: Bench) -> None:
    customer, method = bench.saved(card="4000000000009995")
    key = str(uuid4())
    seen = []
    for _ in range(2):
        with pytest.raises(stripe.CardError) as caught:
            bench.charge(customer=customer, payment_method=method, key=key)
        seen.append(caught.value)

    assert [one.headers["Idempotent-Replayed"] for one in seen[1:]] == ["true"]
    assert seen[0].json_body == seen[1].json_body
    assert len(bench.client.v1.charges.list(params={"customer": customer}).data) == 1


@pytest.mark.parametrize(
    ("params", "param", "code"),
    [
        ({"confirm": False}, "confirm", None),
        ({"currency": "zzz"}, "currency", None),
        ({"amount": 49}, "amount", "amount_too_small"),
        ({"amount": 100_000_000}, "amount", "amount_too_large"),
        ({"customer": "cus_none"}, "customer", "resource_missing"),
        ({"payment_method": "pm_none"}, "payment_method", "resource_missing"),
        ({"mandate": "mandate_1"}, "mandate", None),
        ({"off_session": "perhaps"}, "off_session", None),
    ],
)
def test_a_wrong_charge_is_refused_by_name(
    bench: Bench, params: dict[str, Any], param: str, code: str | None
) -> None:
    customer, method = bench.saved()
    with pytest.raises(stripe.InvalidRequestError) as caught:
        bench.charge(**{"customer": customer, "payment_method": method, **params})

    assert (caught.value.param, caught.value.code) == (param, code)
    assert bench.client.v1.payment_intents.list(params={"customer": customer}).data == []


def test_a_method_is_charged_for_its_own_customer_only(bench: Bench) -> None:
    customer, _ = bench.saved()
    _, foreign = bench.saved()

    with pytest.raises(stripe.InvalidRequestError, match="does not have a payment method"):
        bench.charge(customer=customer, payment_method=foreign)


def test_a_method_that_was_detached_cannot_be_charged(bench: Bench) -> None:
    customer, method = bench.saved()
    detached = bench.client.v1.payment_methods.detach(method)

    assert detached.customer is None
    with pytest.raises(stripe.InvalidRequestError, match="may not be used again"):
        bench.charge(customer=customer, payment_method=method)
    with pytest.raises(stripe.InvalidRequestError, match="not attached"):
        bench.client.v1.payment_methods.detach(method)


def test_methods_are_listed_by_customer(bench: Bench) -> None:
    customer, method = bench.saved()
    listed = bench.client.v1.payment_methods.list(params={"customer": customer, "type": "card"})

    assert [one.id for one in listed.data] == [method]
    others: Any = {"customer": customer, "type": "sepa_debit"}
    assert bench.client.v1.payment_methods.list(params=others).data == []


def test_many_customers_are_made_in_one_call(bench: Bench) -> None:
    made = bench.server.control("/stripe/customers", {"count": 3})["customers"]

    assert len({one["customer"] for one in made}) == 3
    assert "error" in bench.server.control("/stripe/customers", {"count": 0})
    assert "error" in bench.server.control("/stripe/customers", {"bank": True, "currency": "jpy"})


def test_a_method_that_is_not_there_cannot_change(bench: Bench) -> None:
    assert "error" in bench.server.control("/stripe/payment_methods/pm_none", {})
