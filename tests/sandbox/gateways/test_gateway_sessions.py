"""Opening, reading, listing and expiring Checkout Sessions with the official SDK."""

import time
from base64 import b64encode
from typing import Any
from urllib.parse import urlencode

import pytest
import stripe
from gateway_bench import KEY, Bench, order
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st


def refusal(bench: Bench, **params: Any) -> stripe.InvalidRequestError:
    with pytest.raises(stripe.InvalidRequestError) as caught:
        bench.open(**params)
    assert caught.value.http_status == 400
    return caught.value


def test_a_session_opens_unpaid_with_its_total_and_a_page(bench: Bench) -> None:
    session = bench.open(client_reference_id="acct-42", customer_email="a@b.example")

    assert session.id.startswith("cs_test_")
    assert (session.status, session.payment_status) == ("open", "unpaid")
    assert (session.amount_subtotal, session.amount_total) == (5000, 5000)
    assert (session.currency, session.mode) == ("usd", "payment")
    assert session.payment_intent is None
    assert session.client_reference_id == "acct-42"
    assert session.url == f"{bench.server.api}/c/pay/{session.id}"
    assert session.expires_at - session.created == 24 * 3600


def test_line_items_come_with_expand_and_on_their_own_path(bench: Bench) -> None:
    session = bench.open(expand=["line_items"])
    assert session.line_items is not None
    assert session.line_items.data[0].amount_total == 5000

    listed = bench.client.v1.checkout.sessions.line_items.list(session.id)
    assert listed.data[0].description == "Credits pack"
    assert bench.get(session.id).to_dict().get("line_items") is None


def test_the_whole_payment_can_be_expanded(bench: Bench) -> None:
    path = "payment_intent.latest_charge.balance_transaction"
    session = bench.get(bench.paid().id, path).to_dict()

    charge = session["payment_intent"]["latest_charge"]
    assert charge["receipt_url"].startswith(bench.server.api)
    assert charge["balance_transaction"]["net"] == 5000 - 175


def test_what_is_no_object_cannot_be_expanded(bench: Bench) -> None:
    with pytest.raises(stripe.InvalidRequestError, match=r"cannot be expanded \(status\)"):
        bench.get(bench.open().id, "status")


def test_sessions_are_listed_newest_first_by_status_and_intent(bench: Bench) -> None:
    _, first, second = bench.open(), bench.paid(), bench.open()
    sessions = bench.client.v1.checkout.sessions

    newest = sessions.list(params={"limit": 2})
    assert [one.id for one in newest.data] == [second.id, first.id]
    assert newest.has_more
    after = sessions.list(params={"limit": 1, "starting_after": second.id})
    assert after.data[0].id == first.id
    before = sessions.list(params={"limit": 1, "ending_before": first.id})
    assert before.data[0].id == second.id
    intent = str(first.payment_intent)
    assert [one.id for one in sessions.list(params={"payment_intent": intent}).data] == [first.id]
    complete = sessions.list(params={"status": "complete", "limit": 100}).data
    assert first.id in {one.id for one in complete}
    assert second.id not in {one.id for one in complete}


def test_expiring_closes_a_session_for_good(bench: Bench) -> None:
    session = bench.open()
    expired = bench.client.v1.checkout.sessions.expire(session.id)

    assert (expired.status, expired.payment_status, expired.url) == ("expired", "unpaid", None)
    assert bench.page(session.url).status_code == 410
    webhook = bench.receiver.wait(session.id, "checkout.session.expired")[0]
    assert webhook.event["data"]["object"]["status"] == "expired"
    with pytest.raises(stripe.InvalidRequestError, match="status of `expired`"):
        bench.client.v1.checkout.sessions.expire(session.id)


def test_a_paid_session_cannot_be_expired(bench: Bench) -> None:
    with pytest.raises(stripe.InvalidRequestError, match="status of `complete`"):
        bench.client.v1.checkout.sessions.expire(bench.paid().id)


def test_a_session_expires_by_itself_when_its_time_has_come(bench: Bench) -> None:
    session = bench.open(expires_at=int(time.time()) + 1900)
    bench.server.move_clock(1901)

    bench.receiver.wait(session.id, "checkout.session.expired")
    assert bench.get(session.id).status == "expired"


def test_expiring_cancels_the_intent_of_a_failed_try(bench: Bench) -> None:
    session = bench.open()
    bench.pay(session.url, card_number="4000000000000002")
    bench.client.v1.checkout.sessions.expire(session.id)

    intent = bench.client.v1.payment_intents.retrieve(str(bench.get(session.id).payment_intent))
    assert (intent.status, intent.cancellation_reason) == ("canceled", "expired")


@pytest.mark.parametrize(
    ("params", "param", "code"),
    [
        ({"colour": "red"}, "colour", "parameter_unknown"),
        ({"payment_method_types": ["card"]}, "payment_method_types", "parameter_unknown"),
        ({"idempotency_key": "k"}, "idempotency_key", "parameter_unknown"),
        ({"mode": "pay"}, "mode", None),
        ({"mode": "subscription"}, "mode", None),
        ({"ui_mode": "embedded_page"}, "ui_mode", None),
        ({"discounts": [{"coupon": "c"}]}, "discounts", None),
        ({"automatic_tax": {"enabled": True}}, "automatic_tax", None),
        ({"line_items": []}, "line_items", "parameter_missing"),
        ({"success_url": "thanks"}, "success_url", "url_invalid"),
        ({"success_url": ""}, "success_url", "parameter_invalid_empty"),
        ({"cancel_url": "ftp://x.example"}, "cancel_url", "url_invalid"),
        ({"customer_email": "nobody"}, "customer_email", "email_invalid"),
        ({"customer": "cus_none"}, "customer", "resource_missing"),
        ({"client_reference_id": "x" * 201}, "client_reference_id", None),
        ({"expires_at": "soon"}, "expires_at", "parameter_invalid_integer"),
        ({"expires_at": int(time.time()) + 60}, "expires_at", None),
        ({"expires_at": int(time.time()) + 25 * 3600}, "expires_at", None),
        ({"metadata": {"k" * 41: "v"}}, "metadata[" + "k" * 41 + "]", None),
        ({"metadata": {"k": "v" * 501}}, "metadata[k]", None),
        ({"metadata": {str(n): "v" for n in range(51)}}, "metadata", None),
        (
            {"payment_intent_data": {"application_fee_amount": 1}},
            "payment_intent_data[application_fee_amount]",
            None,
        ),
    ],
)
def test_a_wrong_parameter_is_refused_by_name(
    bench: Bench, params: dict[str, Any], param: str, code: str | None
) -> None:
    error = refusal(bench, **params)
    assert (error.param, error.code) == (param, code)


@pytest.mark.parametrize(
    ("item", "param", "code"),
    [
        ({"price": "price_none"}, "[price]", "resource_missing"),
        ({"quantity": 1}, "[price_data]", "parameter_missing"),
        ({"quantity": 1, "colour": "red"}, "[colour]", "parameter_unknown"),
        ({"quantity": "many"}, "[quantity]", "parameter_invalid_integer"),
        (order(quantity=0)["line_items"][0], "[quantity]", None),
        (order(amount=-1)["line_items"][0], "[price_data][unit_amount]", None),
        (order(currency="xxx")["line_items"][0], "[price_data][currency]", None),
        (order(currency="kwd", amount=1001)["line_items"][0], "[price_data][unit_amount]", None),
        (
            {"quantity": 1, "price_data": {"currency": "usd", "unit_amount": 99}},
            "[price_data][product_data]",
            "parameter_missing",
        ),
    ],
)
def test_a_wrong_line_item_is_refused_by_its_place(
    bench: Bench, item: dict[str, Any], param: str, code: str | None
) -> None:
    error = refusal(bench, line_items=[item])
    assert error.param == f"line_items[0]{param}"
    assert code is None or error.code == code


@pytest.mark.parametrize(
    ("currency", "amount", "code"),
    [
        ("usd", 49, "amount_too_small"),
        ("inr", 49, "amount_too_small"),
        ("jpy", 49, "amount_too_small"),
        ("gbp", 29, "amount_too_small"),
        ("usd", 100_000_000, "amount_too_large"),
    ],
)
def test_amounts_beyond_the_limits_are_refused(
    bench: Bench, currency: str, amount: int, code: str
) -> None:
    error = refusal(bench, **order(amount, currency, quantity=1))
    assert error.code == code


@pytest.mark.parametrize(("currency", "amount"), [("usd", 50), ("gbp", 30), ("usd", 99_999_999)])
def test_amounts_at_the_limits_are_accepted(bench: Bench, currency: str, amount: int) -> None:
    assert bench.open(**order(amount, currency, quantity=1)).amount_total == amount


def test_a_customer_and_an_address_exclude_each_other(bench: Bench) -> None:
    customer = bench.client.v1.customers.create(params={"email": "a@b.example"})
    message = refusal(bench, customer=customer.id, customer_email="a@b.example").user_message
    assert message is not None
    assert "customer, customer_email" in message


def test_the_key_may_be_the_user_name(bench: Bench) -> None:
    basic = "Basic " + b64encode(f"{KEY}:".encode()).decode()
    assert bench.server.raw("GET", "/v1/events", Authorization=basic).ok
    assert bench.server.raw("GET", "/v1/events", Authorization="Basic ???").status_code == 401


def test_a_cursor_must_exist(bench: Bench) -> None:
    with pytest.raises(stripe.InvalidRequestError, match="No such") as caught:
        bench.client.v1.checkout.sessions.list(params={"starting_after": "cs_none"})
    assert caught.value.param == "starting_after"


NAMES = st.one_of(
    st.sampled_from(
        [
            *("mode", "success_url", "customer", "expires_at", "metadata[a]", "metadata[a][b]"),
            *("line_items", "line_items[x]", "line_items[0]", "line_items[0][quantity]"),
            "line_items[0][price_data][unit_amount_decimal]",
            *("expand[]", "expand[][]", "payment_intent_data[shipping]", "[", "a[", "a]b[c"),
        ]
    ),
    st.text(max_size=20),
)
VALUES = st.one_of(
    st.sampled_from(
        ["", "0", "-1", "9" * 30, "NaN", "1e9", "true", "line_items", "\x00", "\ud83d"]
    ),
    st.text(max_size=20),
)


@given(st.lists(st.tuples(NAMES, VALUES), max_size=6))
@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    database=None,
)
def test_no_form_whatever_breaks_the_server(bench: Bench, pairs: list[tuple[str, str]]) -> None:
    form = urlencode(pairs, errors="surrogatepass")
    for path in ("/v1/checkout/sessions", "/v1/customers", "/v1/webhook_endpoints"):
        kind = {"Content-Type": "application/x-www-form-urlencoded"}
        answer = bench.server.raw("POST", path, form, **kind)
        assert answer.status_code in {200, 400}
        assert answer.json()


def test_off_settings_may_be_said_to_be_off(bench: Bench) -> None:
    assert bench.open(automatic_tax={"enabled": False}).automatic_tax.enabled is False


def test_a_wrong_key_and_no_key_are_unauthorised(bench: Bench) -> None:
    wrong = bench.server.raw("GET", "/v1/events", Authorization="Bearer sk_test_somebody_else")
    assert wrong.status_code == 401
    assert wrong.json()["error"]["message"].startswith("Invalid API Key provided: sk_test_*")
    assert bench.server.raw("GET", "/v1/events", Authorization="").status_code == 401


def test_unknown_paths_and_objects_answer_as_stripe_does(bench: Bench) -> None:
    path = bench.server.raw("GET", "/v1/unicorns")
    assert path.status_code == 404
    assert "Unrecognized request URL (GET: /v1/unicorns)" in path.json()["error"]["message"]
    missing = bench.server.raw("GET", "/v1/checkout/sessions/cs_none")
    assert missing.status_code == 404
    assert missing.json()["error"]["code"] == "resource_missing"


def test_every_answer_names_its_request_and_version(bench: Bench) -> None:
    answer = bench.server.raw("GET", "/v1/events", **{"Stripe-Version": "2026-10-28.endive"})
    assert answer.headers["Request-Id"].startswith("req_")
    assert answer.headers["Stripe-Version"] == "2026-10-28.endive"
    assert bench.server.raw("GET", "/v1/x", **{"Stripe-Version": "new"}).status_code == 404
    assert bench.server.raw("GET", "/v1/events", **{"Stripe-Version": "new"}).status_code == 400
