"""The hosted page, as a person or a script uses it: pay, be declined, confirm, come back."""

import re
from concurrent.futures import ThreadPoolExecutor
from html import unescape
from typing import Any

import pytest
import stripe
from gateway_bench import Bench, order, wait_for


def charges(bench: Bench, session: str) -> list[stripe.Charge]:
    intent = str(bench.get(session).payment_intent)
    return bench.client.v1.charges.list(params={"payment_intent": intent}).data


def bank(account: str) -> dict[str, str]:
    return {"payment_method": "bank", "bank_account": account, "bank_name": "Asha Rao"}


def test_the_page_shows_what_is_paid_to_whom(bench: Bench) -> None:
    branding = {"display_name": "Asha Freight <Ltd>"}
    session = bench.open(**order(1_234_567, "inr", 1), branding_settings=branding)
    page = bench.page(session.url)

    text = unescape(page.text)
    assert "₹12,345.67" in text
    assert "Credits pack" in text
    assert "Asha Freight &lt;Ltd&gt;" in page.text
    assert "Test mode · simulator" in text
    assert 'href="http://127.0.0.1/cancelled"' in page.text


def test_the_page_loads_nothing_from_elsewhere_and_runs_no_script(bench: Bench) -> None:
    page = bench.page(bench.open().url)

    assert "default-src 'none'" in page.headers["Content-Security-Policy"]
    assert page.headers["Cache-Control"] == "no-store"
    assert "<script" not in page.text
    sources = re.findall(r'(?:src|<link[^>]* href)="([^"]+)"', page.text)
    assert sources == ["/static/pages.css", "data:,"]
    assert bench.page(f"{bench.server.url}/static/pages.css").ok


def test_every_visible_field_has_a_label(bench: Bench) -> None:
    page = bench.page(bench.open().url).text
    fields = re.findall(r'<input id="(\w+)"', page)
    assert len(fields) == 7
    assert set(fields) == set(re.findall(r'<label for="(\w+)"', page))


def test_a_good_card_pays_and_leads_to_the_merchant(bench: Bench) -> None:
    session = bench.open()
    answer = bench.pay(session.url)

    assert answer.status_code == 303
    assert answer.headers["location"] == f"http://127.0.0.1/thanks?session_id={session.id}"
    paid = bench.get(session.id, "payment_intent.latest_charge").to_dict()
    assert (paid["status"], paid["payment_status"], paid["url"]) == ("complete", "paid", None)
    assert paid["customer_details"]["email"] == "payer@example.com"
    assert paid["metadata"] == {"order_id": "o-1"}
    intent = paid["payment_intent"]
    assert (intent["status"], intent["amount_received"]) == ("succeeded", 5000)
    assert intent["metadata"] == intent["latest_charge"]["metadata"] == {"order_id": "o-1"}
    assert intent["latest_charge"]["payment_method_details"]["card"]["last4"] == "4242"


def test_session_metadata_is_not_copied_to_the_intent(bench: Bench) -> None:
    session = bench.paid(payment_intent_data={}, metadata={"only": "here"})
    intent = bench.client.v1.payment_intents.retrieve(str(session.payment_intent))
    assert intent.to_dict()["metadata"] == {}


def test_the_address_given_by_the_merchant_is_filled_in(bench: Bench) -> None:
    page = bench.page(bench.open(customer_email="known@example.com").url)
    assert 'value="known@example.com"' in page.text


@pytest.mark.parametrize(
    ("card", "code", "decline_code", "text"),
    [
        ("4000000000000002", "card_declined", "generic_decline", "Your card was declined."),
        ("4000000000000341", "card_declined", "generic_decline", "Your card was declined."),
        ("4000000000009995", "card_declined", "insufficient_funds", "insufficient funds"),
        ("4000000000009987", "card_declined", "lost_card", "Your card was declined."),
        ("4000000000009979", "card_declined", "stolen_card", "Your card was declined."),
        ("4100000000000019", "card_declined", "fraudulent", "Your card was declined."),
        ("4000000000000069", "expired_card", None, "Your card has expired."),
        ("4000000000000127", "incorrect_cvc", None, "security code is incorrect"),
        ("4000000000000119", "processing_error", None, "Try again in a little bit."),
        ("4012888888881881", "card_declined", "test_mode_live_card", "test mode"),
    ],
)
def test_a_declined_card_says_why_and_may_be_replaced(
    bench: Bench, card: str, code: str, decline_code: str | None, text: str
) -> None:
    session = bench.open()
    answer = bench.pay(session.url, card_number=card)

    assert answer.status_code == 402
    assert text in unescape(answer.text)
    assert 'role="alert"' in answer.text
    intent = bench.get(session.id, "payment_intent").to_dict()["payment_intent"]
    error = intent["last_payment_error"]
    assert intent["status"] == "requires_payment_method"
    assert (error["code"], error.get("decline_code")) == (code, decline_code)
    assert error["charge"] == intent["latest_charge"]

    assert bench.pay(session.url).status_code == 303
    assert [one.status for one in charges(bench, session.id)] == ["succeeded", "failed"]


def test_a_decline_is_reported_by_webhook(bench: Bench) -> None:
    session = bench.open()
    bench.pay(session.url, card_number="4000000000009995")
    intent = str(bench.get(session.id).payment_intent)

    failed = bench.receiver.wait(intent, "charge.failed")[0].event["data"]["object"]
    assert failed["failure_code"] == "card_declined"
    assert failed["outcome"]["reason"] == "insufficient_funds"
    event = bench.receiver.wait(intent, "payment_intent.payment_failed")[0].event
    assert event["data"]["object"]["last_payment_error"]["decline_code"] == "insufficient_funds"
    assert bench.get(session.id).status == "open"


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({"email": "nobody"}, "email"),
        ({"card_number": "4242"}, "card_number"),
        ({"card_number": "4242424242424241"}, "card_number"),
        ({"card_expiry": "13 / 30"}, "card_expiry"),
        ({"card_expiry": "01 / 20"}, "card_expiry"),
        ({"card_expiry": "soon"}, "card_expiry"),
        ({"card_expiry": "01 / 99"}, "card_expiry"),
        ({"card_cvc": "12"}, "card_cvc"),
        ({"card_number": "378282246310005"}, "card_cvc"),
        ({"card_name": ""}, "card_name"),
        (bank("1"), "bank_account"),
        ({**bank("000123456789"), "bank_name": ""}, "bank_name"),
    ],
)
def test_a_wrong_field_is_named_and_nothing_is_tried(
    bench: Bench, fields: dict[str, str], wrong: str
) -> None:
    session = bench.open()
    answer = bench.pay(session.url, **fields)

    assert answer.status_code == 422
    assert re.findall(r'id="(\w+)-error"', answer.text) == [wrong]
    assert f'aria-describedby="{wrong}-error"' in answer.text
    assert bench.get(session.id).payment_intent is None


def test_the_security_code_is_never_shown_again(bench: Bench) -> None:
    answer = bench.pay(bench.open().url, card_number="4000000000000002", card_cvc="987")
    assert "4000000000000002" in answer.text
    assert "987" not in answer.text


def test_a_form_sent_twice_is_one_charge(bench: Bench) -> None:
    session = bench.open()
    form = bench.form(session.url)
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: bench.submit(session.url, form), range(4)))

    assert {answer.status_code for answer in answers} == {303}
    assert len({answer.headers["location"] for answer in answers}) == 1
    assert len(charges(bench, session.id)) == 1


def test_a_declined_form_sent_twice_is_one_attempt(bench: Bench) -> None:
    session = bench.open()
    form = bench.form(session.url, card_number="4000000000000002")
    answers = [bench.submit(session.url, form) for _ in range(2)]

    assert [answer.status_code for answer in answers] == [402, 402]
    assert "Your card was declined." in answers[1].text
    assert len(charges(bench, session.id)) == 1


def test_two_open_pages_pay_once(bench: Bench) -> None:
    session = bench.open()
    first, second = bench.form(session.url), bench.form(session.url)
    second.pop("tried")
    assert bench.submit(session.url, first).status_code == 303

    late = bench.submit(session.url, second)
    assert late.status_code == 200
    assert "You have already paid" in late.text
    assert len(charges(bench, session.id)) == 1


@pytest.mark.parametrize("card", ["4000002760003184", "4000002500003155"])
def test_a_confirmed_challenge_pays(bench: Bench, card: str) -> None:
    session = bench.open()
    answer = bench.pay(session.url, card_number=card)

    assert answer.status_code == 303
    challenge = answer.headers["location"]
    assert challenge == f"{session.url}/challenge"
    intent = bench.get(session.id, "payment_intent").to_dict()["payment_intent"]
    assert intent["status"] == "requires_action"
    assert intent["next_action"]["redirect_to_url"]["url"] == challenge
    assert "Complete authentication" in bench.page(challenge).text
    assert charges(bench, session.id) == []

    form = {"challenge": "complete", "tried": "0"}
    done = [bench.submit(challenge, form) for _ in range(2)]
    assert [one.status_code for one in done] == [303, 303]
    assert "/thanks" in done[1].headers["location"]
    assert len(charges(bench, session.id)) == 1


def test_a_failed_challenge_charges_nothing_and_may_be_tried_again(bench: Bench) -> None:
    session = bench.open()
    challenge = bench.pay(session.url, card_number="4000002760003184").headers["location"]
    answer = bench.submit(challenge, {"challenge": "fail"})

    assert answer.status_code == 402
    assert "unable to authenticate" in answer.text
    assert charges(bench, session.id) == []
    intent = bench.get(session.id, "payment_intent").to_dict()["payment_intent"]
    assert intent["last_payment_error"]["code"] == "payment_intent_authentication_failure"
    assert bench.submit(challenge, {"challenge": "complete"}).status_code == 402
    assert bench.pay(session.url).status_code == 303


def test_an_abandoned_challenge_gives_way_to_another_card(bench: Bench) -> None:
    session = bench.open()
    bench.pay(session.url, card_number="4000008260003178")
    assert bench.pay(session.url, card_number="4000000000000002").status_code == 402
    intent = bench.get(session.id, "payment_intent").to_dict()["payment_intent"]
    assert (intent["status"], intent["next_action"]) == ("requires_payment_method", None)
    assert bench.pay(session.url).status_code == 303


def test_a_confirmed_challenge_can_still_be_declined(bench: Bench) -> None:
    session = bench.open()
    challenge = bench.pay(session.url, card_number="4000008260003178").headers["location"]
    answer = bench.submit(challenge, {"challenge": "complete"})

    assert answer.status_code == 402
    assert "insufficient funds" in answer.text
    assert [one.status for one in charges(bench, session.id)] == ["failed"]


@pytest.mark.parametrize(
    ("currency", "account", "method"),
    [
        ("usd", "000123456789", "us_bank_account"),
        ("eur", "AT611904300234573201", "sepa_debit"),
        ("inr", "success@upi", "upi"),
    ],
)
def test_a_delayed_payment_completes_unpaid_and_is_paid_later(
    standing_bench: Bench, currency: str, account: str, method: str
) -> None:
    bench = standing_bench
    session = bench.open(**order(currency=currency))
    assert bench.pay(session.url, **bank(account)).status_code == 303
    done = bench.get(session.id, "payment_intent.latest_charge").to_dict()
    assert (done["status"], done["payment_status"]) == ("complete", "unpaid")
    assert done["payment_intent"]["status"] == "processing"
    charge = done["payment_intent"]["latest_charge"]
    assert (charge["status"], charge["payment_method_details"]["type"]) == ("pending", method)

    bench.server.move_clock(5)
    event = bench.receiver.wait(session.id, "checkout.session.async_payment_succeeded")[0].event
    assert event["data"]["object"]["payment_status"] == "paid"
    assert bench.get(session.id).payment_status == "paid"
    completed = bench.receiver.wait(session.id, "checkout.session.completed")[0].event
    assert completed["data"]["object"]["payment_status"] == "unpaid"


def test_a_delayed_payment_may_fail_later(bench: Bench) -> None:
    session = bench.open()
    bench.pay(session.url, **bank("000222222227"))
    bench.server.move_clock(5)

    event = bench.receiver.wait(session.id, "checkout.session.async_payment_failed")[0].event
    assert event["data"]["object"]["payment_status"] == "unpaid"
    intent = str(bench.get(session.id).payment_intent)
    bench.receiver.wait(intent, "payment_intent.processing")
    bench.receiver.wait(intent, "charge.failed")
    failed = bench.receiver.wait(intent, "payment_intent.payment_failed")[0].event
    assert "insufficient funds" in failed["data"]["object"]["last_payment_error"]["message"]
    assert (
        bench.client.v1.balance_transactions.list(
            params={"source": charges(bench, session.id)[0].id}
        ).data
        == []
    )


def test_a_currency_without_a_delayed_method_offers_cards_only(bench: Bench) -> None:
    session = bench.open(**order(currency="jpy"))
    assert session.payment_method_types == ["card"]
    page = bench.page(session.url).text
    assert "¥5,000" in page
    assert 'value="bank"' not in page
    assert bench.pay(session.url, **bank("1")).status_code == 422


@pytest.mark.parametrize(
    ("filters", "left"),
    [
        ({"allowed_payment_method_types": ["card"]}, ["card"]),
        ({"excluded_payment_method_types": ["card"]}, ["us_bank_account"]),
    ],
)
def test_payment_methods_can_be_filtered(
    bench: Bench, filters: dict[str, Any], left: list[str]
) -> None:
    assert bench.open(**filters).payment_method_types == left


def test_an_order_of_nothing_needs_no_payment(bench: Bench) -> None:
    session = bench.open(**order(amount=0))
    answer = bench.submit(session.url, {"tried": "0"})

    assert answer.status_code == 303
    done = bench.get(session.id)
    assert (done.status, done.payment_status) == ("complete", "no_payment_required")
    assert done.payment_intent is None


def test_a_page_that_does_not_exist_says_so(bench: Bench) -> None:
    url = f"{bench.server.api}/c/pay/cs_test_none"
    assert bench.page(url).status_code == 404
    assert bench.submit(url, {}).status_code == 404
    assert bench.page(f"{url}/challenge").status_code == 404


def test_the_receipt_shows_what_was_paid(bench: Bench) -> None:
    session = bench.paid()
    charge = charges(bench, session.id)[0]
    page = bench.page(charge.receipt_url)

    assert page.ok
    for text in ("$50.00", "Visa •••• 4242", "Credits pack", charge.id, "Test Payer"):
        assert text in page.text


def test_a_failed_charge_has_no_receipt(bench: Bench) -> None:
    session = bench.open()
    bench.pay(session.url, card_number="4000000000000002")
    charge = charges(bench, session.id)[0]
    assert charge.receipt_url is None
    assert bench.page(f"{bench.server.api}/receipts/{charge.id}").status_code == 404


def test_a_customer_is_made_when_asked_for_and_kept_when_given(bench: Bench) -> None:
    made = bench.open(customer_creation="always")
    bench.pay(made.url)
    customer = bench.client.v1.customers.retrieve(str(bench.get(made.id).customer)).to_dict()
    assert (customer["email"], customer["name"]) == ("payer@example.com", "Asha Rao")

    given = bench.client.v1.customers.create(params={"name": "Kept"})
    bench.pay(bench.open(customer=given.id).url)
    kept = bench.client.v1.customers.retrieve(given.id).to_dict()
    assert (kept["name"], kept["email"]) == ("Kept", "payer@example.com")


def test_a_card_can_be_kept_for_later(bench: Bench) -> None:
    session = bench.open(payment_intent_data={"setup_future_usage": "off_session"})
    bench.pay(session.url)
    intent = bench.get(session.id, "payment_intent.payment_method").to_dict()["payment_intent"]
    assert intent["payment_method"]["customer"] == intent["customer"]
    assert intent["customer"].startswith("cus_")


def test_the_books_hold_the_fee_of_every_charge(bench: Bench) -> None:
    charge = charges(bench, bench.paid(**order(1999, quantity=1)).id)[0]
    entry = bench.client.v1.balance_transactions.retrieve(str(charge.balance_transaction))

    assert (entry.amount, entry.fee, entry.net) == (1999, 88, 1911)
    assert (entry.source, entry.type, entry.status) == (charge.id, "charge", "pending")
    assert sum(detail.amount for detail in entry.fee_details) == 88
    listed = bench.client.v1.balance_transactions.list(params={"source": charge.id}).data
    assert [one.id for one in listed] == [entry.id]
    bench.server.move_clock(3 * 24 * 3600)
    later = bench.client.v1.balance_transactions.retrieve(entry.id)
    assert later.status == "available"


def test_the_pages_behind_the_scenes_show_what_happened(bench: Bench) -> None:
    session = bench.paid(client_reference_id="acct-seen")
    bench.delivered(session.id)
    wait_for(
        lambda: "delivered" in bench.page(f"{bench.server.url}/").text or None, "the index page"
    )
    assert session.id[:24] in bench.page(f"{bench.server.api}/sessions").text
    assert "charge.succeeded" in bench.page(f"{bench.server.api}/events").text


def test_the_shop_only_says_that_credits_come_with_the_confirmation(bench: Bench) -> None:
    base = f"{bench.server.url}/shop"
    assert "a payment begins with" in bench.page(base).text
    thanks = bench.page(f"{base}/payment-success?session_id=%3Cb%3Ecs_1")
    assert "Your credits arrive as soon as that confirmation has been booked" in thanks.text
    assert "&lt;b&gt;cs_1" in thanks.text
    assert "You have not been charged" in bench.page(f"{base}/payment-cancelled").text


def test_the_shop_speaks_to_who_comes_from_our_page_of_their_order(bench: Bench) -> None:
    named = "transaction_id=TXN-0123456789&reference=BK-%3C17"
    for way in ("success", "cancelled"):
        page = bench.page(f"{bench.server.url}/shop/payment-{way}?{named}").text
        assert "BK-&lt;17" in page
        assert "credits" not in page
        assert "charged" not in page
