"""The doors of the service, with Hasura and Stripe played by canned answers."""

import io
import json
import logging
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest
import responses
import stripe
from flask.testing import FlaskClient

from app import create_app, errors, log
from app.clock import Clock
from app.gateways import Capability
from app.gateways.stripe import Adapter
from app.graphql import operations

ENVIRON = {
    "MUNIM_ENV": "test",
    "HASURA_ENDPOINT": "http://hasura.test/v1/graphql",
    "HASURA_ADMIN_SECRET": "admin-secret",
    "ACTION_SECRET": "action-secret,old-action-secret",
    "FRONTEND_URL": "https://shop.example",
    "SERVICE_URL": "https://pay.example",
    "STRIPE_SECRET_KEY": "sk_test_1",
    "STRIPE_WEBHOOK_SECRET": "whsec_1",
    "LOG_LEVEL": "critical",
    "GATEWAY_ASKERS": "1",
}
CHECKOUT = {
    "id": "6f1e9a3e-5a55-4a5a-9a55-000000000001",
    "amount": "2500",
    "currency": "USD",
    "credits_amount": "250.0000",
    "title": "250 credits",
    "payment_intent_id": "6f1e9a3e-5a55-4a5a-9a55-000000000002",
    "status": "pending",
    "payment_attempt_id": "6f1e9a3e-5a55-4a5a-9a55-000000000003",
    "gateway": "stripe",
    "failure_message": None,
    "gateway_session_id": None,
    "url": None,
    "method": None,
    "customer_email": "ada@example.com",
    "customer_name": None,
    "customer_phone": None,
    "success_url": "https://shop.example/payment-success",
    "cancel_url": "https://shop.example/payment-cancelled",
    "expires_at": "2026-11-22T09:00:00+00:00",
    "is_closing": False,
    "is_over": False,
}
OPENED = CHECKOUT | {"gateway_session_id": "cs_1", "url": "https://pay.example/cs_1"}
BODY = {
    "input": {"amount": 2500, "email": "ada@example.com"},
    "session_variables": {"x-hasura-user-id": "u1"},
}
SECRET = {"ACTION-SECRET": "action-secret"}
SESSIONS = "https://api.stripe.com/v1/checkout/sessions"


class Rows:
    """Rows that are taken one by one."""

    def __init__(self, *rows: dict[str, str]) -> None:
        self.left = list(rows)

    def next(self) -> list[dict[str, str]]:
        return [self.left.pop(0)] if self.left else []


class Hasura:
    """Answers each operation by the name of its root field, and remembers what was asked."""

    def __init__(self) -> None:
        self.answers: dict[str, Any] = {
            "clock": [{"skew_seconds": "0"}],
            "open_credit_purchase": [CHECKOUT],
            "record_checkout_session": [{"id": "a", "status": "pending"}],
            "fail_checkout": [{"id": "a", "status": "failed"}],
            "receive_gateway_event": [{"id": "e", "status": "applied", "reason": None}],
            "apply_due_gateway_event": [],
            "mark_payment_unknown": [{"id": "a"}],
            "claim_receipts": [],
            "record_receipt": [{"id": "a", "receipt_url": "https://r"}],
            "note_refused_messages": [],
        }
        self.asked: list[tuple[str, dict[str, Any], Any]] = []

    def __call__(self, request: Any) -> tuple[int, dict[str, str], str]:
        body = json.loads(request.body)
        field = operations()[body["operationName"]].field
        self.asked.append((body["operationName"], body.get("variables", {}), request.headers))
        answer = self.answers[field]
        if isinstance(answer, Rows):
            answer = answer.next()
        if isinstance(answer, str):
            error = {"message": answer, "extensions": {"path": "$", "code": "data-exception"}}
            return 200, {}, json.dumps({"errors": [error]})
        return 200, {}, json.dumps({"data": {field: answer}})

    def names(self) -> list[str]:
        return [name for name, _, _ in self.asked if name != "ReadClock"]


@pytest.fixture
def web() -> Iterator[responses.RequestsMock]:
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        yield mock


@pytest.fixture
def hasura(web: responses.RequestsMock) -> Hasura:
    hasura = Hasura()
    web.add_callback(responses.POST, ENVIRON["HASURA_ENDPOINT"], callback=hasura)
    return hasura


@pytest.fixture
def client(hasura: Hasura) -> FlaskClient:
    return create_app(ENVIRON).test_client()


@pytest.fixture
def page(web: responses.RequestsMock) -> Any:
    answer = {"id": "cs_1", "object": "checkout.session", "url": "https://pay.example/cs_1"}
    return web.post(SESSIONS, json=answer)


def changed(part: str, **changes: object) -> dict[str, Any]:
    return BODY | {part: BODY[part] | changes}


def code(answer: Any) -> str:
    return answer.json["extensions"]["code"]


def test_the_seeds_own_request_answers_a_page_and_ids(client, hasura, page) -> None:
    answer = client.post("/create-payment", json=BODY, headers=SECRET)

    assert answer.status_code == 200
    assert answer.json == {
        "checkout_url": "https://pay.example/cs_1",
        "session_id": "cs_1",
        "credit_purchase_id": CHECKOUT["id"],
        "payment_intent_id": CHECKOUT["payment_intent_id"],
        "amount": "2500",
        "currency": "USD",
        "credits_amount": "250.0000",
        "expires_at": CHECKOUT["expires_at"],
    }
    assert hasura.names() == ["OpenCreditPurchase", "RecordCheckoutSession"]


def test_identity_comes_from_the_session_and_the_mode_from_the_service(client, hasura, page):
    variables = {
        "X-Hasura-User-Id": "u1",
        "x-hasura-customer-id": "c1",
        "x-hasura-role": "customer",
    }
    spoofed = {"x-hasura-livemode": "true", "x-hasura-admin-secret": "x"}
    client.post(
        "/create-payment",
        json=BODY | {"session_variables": variables | spoofed},
        headers=SECRET,
    )

    headers = hasura.asked[0][2]
    assert headers["x-hasura-user-id"] == "u1"
    assert headers["x-hasura-customer-id"] == "c1"
    assert headers["x-hasura-role"] == "service"
    assert headers["x-hasura-livemode"] == "false"
    assert headers["x-hasura-admin-secret"] == "admin-secret"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"status": "expired"}, "checkout-expired"),
        ({"status": "canceled"}, "checkout-expired"),
        ({"is_over": True}, "checkout-expired"),
        ({"status": "failed", "failure_message": None}, "gateway-refused"),
    ],
)
@pytest.mark.parametrize("row", ["opened", "unopened"])
def test_a_page_that_has_ended_is_not_answered(client, hasura, page, change, said, row) -> None:
    base = OPENED if row == "opened" else CHECKOUT | {"is_closing": "is_over" in change}
    hasura.answers["open_credit_purchase"] = [base | change]
    answer = client.post("/create-payment", json=BODY, headers=SECRET)

    assert code(answer) == said
    assert answer.json["message"]
    assert page.call_count == 0


def test_a_paid_purchase_still_answers_its_page(client, hasura) -> None:
    hasura.answers["open_credit_purchase"] = [OPENED | {"status": "paid", "is_over": True}]

    assert client.post("/create-payment", json=BODY, headers=SECRET).status_code == 200


def test_the_callers_key_is_the_purchases_key(client, hasura, page) -> None:
    client.post("/create-payment", json=changed("input", idempotency_key="k-1"), headers=SECRET)
    client.post("/create-payment", json=BODY, headers=SECRET)
    client.post("/create-payment", json=BODY, headers=SECRET)

    keys = [v["key"] for name, v, _ in hasura.asked if name == "OpenCreditPurchase"]
    assert keys[0] == "k-1"
    assert len(set(keys)) == 3


def test_a_page_that_is_open_already_is_answered_without_asking_stripe(client, hasura, page):
    hasura.answers["open_credit_purchase"] = [OPENED]
    answer = client.post("/create-payment", json=BODY, headers=SECRET)

    assert answer.json["checkout_url"] == "https://pay.example/cs_1"
    assert page.call_count == 0


@pytest.mark.parametrize(
    "headers",
    [{}, {"ACTION-SECRET": ""}, {"ACTION-SECRET": "wrong"}, {"ACTION-SECRET": "action-secret,"}],
)
@pytest.mark.parametrize(
    "path", ["/create-payment", "/events/store_receipt", "/crons/apply_gateway_events"]
)
def test_no_door_but_a_webhook_opens_without_the_secret(client, hasura, path, headers) -> None:
    answer = client.post(path, json=BODY, headers=headers)

    assert (answer.status_code, code(answer)) == (401, "unauthorized")
    assert hasura.asked == []


def test_the_old_secret_is_good_while_the_new_one_is_rolled_out(client, page) -> None:
    headers = {"ACTION-SECRET": "old-action-secret"}

    assert client.post("/create-payment", json=BODY, headers=headers).status_code == 200


@pytest.mark.parametrize(
    "amount",
    [None, "", "ten", "25.00", 25.0, 25.5, True, [], {}, "1e3", 2**63, str(2**63), "١٢٣", "1,000"],
)
def test_what_is_no_whole_number_of_minor_units_is_refused(client, hasura, amount) -> None:
    answer = client.post("/create-payment", json=changed("input", amount=amount), headers=SECRET)

    assert (answer.status_code, code(answer)) == (400, "invalid-input")
    assert list(answer.json["extensions"]["errors"]) == ["amount"]
    assert hasura.asked == []


@pytest.mark.parametrize("text", ["NaN", "1e309", "Infinity"])
def test_numbers_that_json_does_not_know_are_refused(client, text) -> None:
    body = json.dumps(BODY).replace("2500", text)
    answer = client.post("/create-payment", data=body, headers=SECRET)

    assert (answer.status_code, code(answer)) == (400, "invalid-input")


def test_a_bigint_may_come_as_the_string_that_hasura_sends(client, hasura, page) -> None:
    client.post("/create-payment", json=changed("input", amount="2500"), headers=SECRET)

    assert hasura.asked[0][1]["amount"] == 2500


@pytest.mark.parametrize(
    "change",
    [
        {"email": "nobody"},
        {"email": None},
        {"email": "a" * 250 + "@example.com"},
        {"currency": "usd"},
        {"currency": "USD\n"},
        {"currency": "DOLLARS"},
        {"idempotency_key": ""},
        {"idempotency_key": "k" * 256},
        {"idempotency_key": "k\0"},
        {"idempotency_key": "ключ"},
        {"credits": 5},
        {"customer_id": "c2"},
    ],
)
def test_an_input_that_the_contract_does_not_know_is_refused(client, hasura, change) -> None:
    answer = client.post("/create-payment", json=changed("input", **change), headers=SECRET)

    assert (answer.status_code, code(answer)) == (400, "invalid-input")
    assert hasura.asked == []


@pytest.mark.parametrize("body", [b"", b"[]", b"null", b"{", b'{"input": 5}', b'{"input": {}}'])
def test_a_body_that_is_no_action_is_refused(client, body) -> None:
    answer = client.post("/create-payment", data=body, headers=SECRET)

    assert (answer.status_code, code(answer)) == (400, "invalid-input")


@pytest.mark.parametrize("variables", [{}, {"x-hasura-user-id": ""}, {"x-hasura-role": "customer"}])
def test_a_session_without_a_user_is_refused(client, hasura, variables) -> None:
    body = BODY | {"session_variables": variables}
    answer = client.post("/create-payment", json=body, headers=SECRET)

    assert (answer.status_code, code(answer)) == (401, "unauthorized")
    assert hasura.asked == []


@pytest.mark.parametrize("role", [[], {}, 5, None])
def test_a_role_that_is_no_text_is_refused(client, role) -> None:
    body = changed("session_variables", **{"x-hasura-role": role})

    assert client.post("/create-payment", json=body, headers=SECRET).status_code == 400


@pytest.mark.parametrize("role", ["viewer", "finance", "admin", "anonymous"])
def test_a_role_that_the_action_is_not_for_is_refused(client, hasura, role) -> None:
    body = changed("session_variables", **{"x-hasura-role": role})
    answer = client.post("/create-payment", json=body, headers=SECRET)

    assert (answer.status_code, code(answer)) == (403, "forbidden")
    assert hasura.asked == []


@pytest.mark.parametrize(
    "refusal",
    [
        "amount-out-of-range: 5 is too little",
        "currency-not-supported: EUR",
        "customer-not-found: nobody",
        "idempotency-key-reused: other content",
        "setting-invalid: credit_rate_usd",
    ],
)
def test_a_refusal_of_the_database_reaches_the_caller_by_its_code(client, hasura, page, refusal):
    hasura.answers["open_credit_purchase"] = refusal
    answer = client.post("/create-payment", json=BODY, headers=SECRET)

    assert 400 <= answer.status_code < 500
    assert code(answer) == refusal.partition(":")[0]
    assert page.call_count == 0


@pytest.mark.parametrize(
    "stripe_says",
    [
        {"status": 500, "json": {"error": {"message": "sorry"}}},
        {"status": 200, "body": "<html>nonsense</html>"},
        {"body": ConnectionError("down")},
    ],
)
def test_stripes_failure_is_safe_to_repeat_and_leaves_the_purchase_open(
    client, hasura, web, stripe_says
) -> None:
    web.post(SESSIONS, **stripe_says)
    answer = client.post("/create-payment", json=BODY, headers=SECRET)

    assert (answer.status_code, code(answer)) == (424, "gateway-unavailable")
    assert hasura.names() == ["OpenCreditPurchase", "MarkPaymentUnknown"]


def test_stripes_refusal_is_recorded_and_told(client, hasura, web) -> None:
    error = {"type": "invalid_request_error", "message": "Amount too small."}
    web.post(SESSIONS, status=400, json={"error": error})
    answer = client.post("/create-payment", json=BODY, headers=SECRET)

    assert (answer.status_code, code(answer)) == (422, "gateway-refused")
    assert hasura.names() == ["OpenCreditPurchase", "FailCheckout"]


def test_a_failed_purchase_stays_failed_under_its_key(client, hasura, page) -> None:
    failed = CHECKOUT | {"status": "failed", "failure_message": "Amount too small."}
    hasura.answers["open_credit_purchase"] = [failed]
    answer = client.post("/create-payment", json=BODY, headers=SECRET)

    assert (code(answer), answer.json["message"]) == ("gateway-refused", "Amount too small.")
    assert page.call_count == 0


def test_a_checkout_that_is_over_is_not_opened_again(client, hasura, page) -> None:
    hasura.answers["open_credit_purchase"] = [CHECKOUT | {"is_closing": True}]
    answer = client.post("/create-payment", json=BODY, headers=SECRET)

    assert (answer.status_code, code(answer)) == (409, "checkout-expired")
    assert page.call_count == 0


EVENT = json.dumps(
    {
        "id": "evt_1",
        "created": 1_790_000_000,
        "livemode": False,
        "type": "checkout.session.completed",
        "data": {
            "object": {
                "id": "cs_1",
                "mode": "payment",
                "status": "complete",
                "payment_status": "paid",
                "amount_total": 2500,
                "currency": "usd",
                "payment_intent": "pi_1",
                "metadata": {"payment_attempt_id": CHECKOUT["payment_attempt_id"]},
            }
        },
    }
)


def signature(body: str = EVENT, skew: int = 0) -> dict[str, str]:
    stamp = int(Clock().now().timestamp()) + skew
    header = stripe.WebhookSignature.generate_signature_header(body, "whsec_1", timestamp=stamp)
    return {"Stripe-Signature": header}


@pytest.mark.parametrize("path", ["/stripe-webhook", "/payments/webhook/stripe"])
def test_a_signed_webhook_is_stored_in_one_statement(client, hasura, path) -> None:
    answer = client.post(path, data=EVENT, headers=signature())

    assert (answer.status_code, answer.json) == (200, {"received": True, "status": "applied"})
    ((_, variables, _),) = [a for a in hasura.asked if a[0] == "ReceiveGatewayEvent"]
    assert variables["eventId"] == "evt_1"
    assert variables["payload"] == json.loads(EVENT)
    assert {name: said for name, said in variables["notice"].items() if said is not None} == {
        "subject": "payment",
        "outcome": "paid",
        "payment_attempt_id": CHECKOUT["payment_attempt_id"],
        "gateway_session_id": "cs_1",
        "gateway_payment_id": "pi_1",
        "amount": 2500,
        "currency": "USD",
    }
    assert (variables["account"], variables["livemode"]) == ("", False)
    assert variables["occurredAt"] == "2026-09-21T14:13:20+00:00"


def test_a_webhooks_account_and_mode_are_passed_on_as_they_are(client, hasura) -> None:
    body = json.dumps(json.loads(EVENT) | {"account": "acct_1", "livemode": True})
    client.post("/stripe-webhook", data=body, headers=signature(body))

    ((_, variables, _),) = [a for a in hasura.asked if a[0] == "ReceiveGatewayEvent"]
    assert (variables["account"], variables["livemode"]) == ("acct_1", True)


def test_text_that_postgres_cannot_keep_does_not_lose_a_webhook(client, hasura) -> None:
    event = json.loads(EVENT)
    event["data"]["object"]["customer_details"] = {"name": "A\0da \ud83d"}
    body = json.dumps(event)
    answer = client.post("/stripe-webhook", data=body, headers=signature(body))

    ((_, variables, _),) = [a for a in hasura.asked if a[0] == "ReceiveGatewayEvent"]
    kept = variables["payload"]["data"]["object"]["customer_details"]["name"]
    assert (answer.status_code, kept) == (200, "A\ufffdda \ufffd")


def test_a_live_service_says_so_to_the_database(web) -> None:
    hasura = Hasura()
    web.add_callback(responses.POST, "https://hasura.test/v1/graphql", callback=hasura)
    live = ENVIRON | {
        "MUNIM_ENV": "live",
        "HASURA_ENDPOINT": "https://hasura.test/v1/graphql",
        "HASURA_ADMIN_SECRET": "a" * 32,
        "ACTION_SECRET": "b" * 32,
        "STRIPE_SECRET_KEY": "sk_live_1",
    }
    create_app(live).test_client().post("/stripe-webhook", data=EVENT, headers=signature())

    ((name, _, headers),) = hasura.asked  # and does not ask for a moved clock
    assert (name, headers["x-hasura-livemode"]) == ("ReceiveGatewayEvent", "true")


class StillDatetime(datetime):
    """A moment that does not pass while the machine does something else."""

    @classmethod
    def now(cls, tz: Any = None) -> "StillDatetime":
        return cls(2026, 11, 21, 10, tzinfo=tz)


@pytest.mark.parametrize("skew", [-302, 302])
def test_a_webhook_of_another_time_is_refused(client, hasura, monkeypatch, skew) -> None:
    monkeypatch.setattr("app.clock.datetime", StillDatetime)
    answer = client.post("/stripe-webhook", data=EVENT, headers=signature(skew=skew))

    assert (answer.status_code, code(answer)) == (401, "signature-invalid")
    assert hasura.names() == ["NoteRefusedMessages"]


def test_the_databases_clock_decides_what_is_just_now(client, hasura) -> None:
    hasura.answers["clock"] = [{"skew_seconds": "86400"}]
    today = client.post("/stripe-webhook", data=EVENT, headers=signature())
    tomorrow = client.post("/stripe-webhook", data=EVENT, headers=signature(skew=86400))

    assert (today.status_code, tomorrow.status_code) == (401, 200)


def test_an_unsigned_or_altered_webhook_is_refused(client, hasura) -> None:
    unsigned = client.post("/stripe-webhook", data=EVENT)
    altered = client.post(
        "/stripe-webhook", data=EVENT.replace("2500", "9900"), headers=signature()
    )

    assert [unsigned.status_code, altered.status_code] == [401, 401]
    assert hasura.names() == ["NoteRefusedMessages"]


def test_a_webhook_that_cannot_be_stored_is_not_acknowledged(client, hasura, web) -> None:
    web.remove(responses.POST, ENVIRON["HASURA_ENDPOINT"])
    answer = client.post("/stripe-webhook", data=EVENT, headers=signature())

    assert (answer.status_code, code(answer)) == (503, "service-unavailable")


@pytest.mark.parametrize("gateway", ["paypal", "__init__", "stripe2"])
def test_a_webhook_of_an_unknown_gateway_is_not_found(client, gateway) -> None:
    answer = client.post(f"/payments/webhook/{gateway}", data=EVENT, headers=signature())

    assert answer.status_code == 404
    assert answer.json == {"error": f"there is no gateway called {gateway}", "code": "not-found"}


@pytest.mark.parametrize("gateway", ["razorpay", "payu", "cashfree"])
def test_a_webhook_of_a_gateway_that_is_not_set_up_is_not_found(
    client, gateway, caplog, monkeypatch
) -> None:
    """Anybody may call there, so it is nobody's alarm."""
    monkeypatch.setattr(logging.getLogger("app"), "propagate", True)
    caplog.set_level(logging.WARNING, "app")
    answer = client.post(f"/{gateway}-webhook", data=EVENT)

    assert (answer.status_code, code(answer)) == (404, "not-found")
    assert gateway.upper() not in answer.get_data(as_text=True)
    assert f"missing settings: {gateway.upper()}_" in caplog.text
    assert {record.levelname for record in caplog.records} == {"WARNING"}


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("/payments/webhook/stripe", {"error": "Invalid signature", "code": "signature-invalid"}),
        (
            "/stripe-webhook",
            {"message": "Invalid signature", "extensions": {"code": "signature-invalid"}},
        ),
    ],
)
def test_every_bad_signature_is_answered_the_same(client, path, told) -> None:
    altered = EVENT.replace("2500", "9900")
    answers = [
        client.post(path, data=EVENT),
        client.post(path, data=EVENT, headers={"Stripe-Signature": "t=1,v1=00"}),
        client.post(path, data=altered, headers=signature()),
        client.post(path, data=EVENT, headers=signature(skew=-400)),
    ]

    assert [answer.status_code for answer in answers] == [401] * 4
    assert [answer.json for answer in answers] == [told] * 4


def test_a_body_above_a_mebibyte_is_refused(client) -> None:
    answer = client.post("/stripe-webhook", data=b"x" * (1 << 20) + b"x", headers=signature())

    assert (answer.status_code, code(answer)) == (413, "payload-too-large")


ATTEMPT = {"payment_attempt_id": "a", "gateway": "stripe", "gateway_payment_id": "pi_1"}
WANTED = {"event": {"op": "INSERT", "data": {"old": None, "new": ATTEMPT}}}
RECEIPT = {
    "id": "pi_1",
    "object": "payment_intent",
    "latest_charge": {"id": "ch_1", "object": "charge", "receipt_url": "https://r"},
}
INTENT = "https://api.stripe.com/v1/payment_intents/pi_1"


def test_a_succeeded_payment_gets_its_receipt(client, hasura, web) -> None:
    web.get(INTENT, json=RECEIPT)
    answer = client.post("/events/store_receipt", json=WANTED, headers=SECRET)

    assert answer.json == {"stored": "a"}
    ((name, asked, _),) = hasura.asked
    assert (name, asked) == ("RecordReceipt", {"attemptId": "a", "url": "https://r"})


def test_a_gateway_that_gives_no_receipts_is_asked_for_none(hasura) -> None:
    razorpay = {
        "RAZORPAY_KEY_ID": "rzp_test_1",
        "RAZORPAY_KEY_SECRET": "secret",
        "RAZORPAY_WEBHOOK_SECRET": "secret",
    }
    client = create_app(ENVIRON | razorpay).test_client()
    row = ATTEMPT | {"gateway": "razorpay"}
    wanted = {"event": {"op": "INSERT", "data": {"old": None, "new": row}}}
    answer = client.post("/events/store_receipt", json=wanted, headers=SECRET)
    client.post("/crons/store_missing_receipts", json={}, headers=SECRET)

    assert answer.json == {"skipped": "razorpay"}
    ((_, asked, _),) = [a for a in hasura.asked if a[0] == "ClaimReceipts"]
    assert asked == {"gateways": ["stripe"], "limit": 1}


def test_a_receipt_that_is_not_there_yet_is_asked_for_again(client, hasura, web) -> None:
    web.get(INTENT, json=RECEIPT | {"latest_charge": None})
    answer = client.post("/events/store_receipt", json=WANTED, headers=SECRET)

    assert hasura.asked == []
    assert (answer.status_code, code(answer)) == (424, "gateway-unavailable")


def test_one_receipt_that_fails_does_not_stop_the_others(client, hasura, web) -> None:
    hasura.answers["claim_receipts"] = Rows(
        ATTEMPT | {"payment_attempt_id": "b", "gateway_payment_id": "pi_0"}, ATTEMPT
    )
    web.get(INTENT.replace("pi_1", "pi_0"), status=500, json={})
    web.get(INTENT, json=RECEIPT)
    answer = client.post("/crons/store_missing_receipts", json={}, headers=SECRET)

    assert answer.json == {"asked": 2, "stored": 1}
    assert hasura.names() == ["ClaimReceipts", "ClaimReceipts", "RecordReceipt", "ClaimReceipts"]


@pytest.mark.parametrize(("due", "tried"), [(0, 0), (3, 3), (50, 20)])
def test_the_inbox_sweep_takes_one_message_at_a_time_and_not_for_ever(
    client, hasura, due, tried
) -> None:
    hasura.answers["apply_due_gateway_event"] = Rows(*[{"id": "e", "status": "applied"}] * due)
    answer = client.post("/crons/apply_gateway_events", json={}, headers=SECRET)

    assert answer.json == {"tried": tried}


def test_a_request_id_is_echoed_or_made(client) -> None:
    given = client.get("/healthz", headers={"X-Request-Id": "r-1"})
    made = client.get("/healthz")

    assert given.json == {"status": "ok"}
    assert given.headers["X-Request-Id"] == "r-1"
    assert len(made.headers["X-Request-Id"]) == 36


@pytest.mark.parametrize(
    ("given", "logged"),
    [
        ({"X-B3-TraceId": "463AC35C9F6413AD48485A3953BB6124"}, "463ac35c9f6413ad48485a3953bb6124"),
        ({"X-B3-TraceId": "a2fb4a1d1a96d312"}, "a2fb4a1d1a96d312"),
        ({"X-B3-TraceId": '"}{'}, None),
        ({"X-B3-TraceId": "4" * 33}, None),
        ({}, None),
    ],
)
def test_a_log_line_names_the_trace_that_hasura_names(client, given, logged) -> None:
    lines = io.StringIO()
    written = logging.StreamHandler(lines)
    written.setFormatter(log.JsonFormatter())
    client.get("/healthz", headers={"X-B3-TraceId": "1" * 32})  # another's is not this one's
    logging.getLogger("app").addHandler(written)
    logging.getLogger("app").setLevel("INFO")
    client.get("/healthz", headers=given)
    logging.getLogger("app").removeHandler(written)

    (line,) = lines.getvalue().splitlines()
    assert json.loads(line).get("trace_id") == logged


ROOT_ID = "1-5759e988-bd862e3fe1be46a994272793"
XRAY = f"Root={ROOT_ID};Parent=53995c3f42cd8ad8;Sampled=1"


@pytest.mark.parametrize(
    ("given", "logged"),
    [
        (XRAY, ROOT_ID),
        (f"Root={ROOT_ID}", ROOT_ID),
        (f"{XRAY};Lineage=1:a87bd80c:0", ROOT_ID),
        (f"{XRAY}\r\nX-Evil: 1", None),
        (f"Root={ROOT_ID[:-1]}", None),
        ("", None),
    ],
)
def test_x_rays_trace_is_in_each_line_and_told_to_hasura(hasura, given, logged) -> None:
    """Lambda names it anew for each call, in the environment of the function."""
    environ, lines = dict(ENVIRON), io.StringIO()
    client = create_app(environ).test_client()
    written = logging.StreamHandler(lines)
    written.setFormatter(log.JsonFormatter())
    logging.getLogger("app").addHandler(written)
    logging.getLogger("app").setLevel("INFO")
    for trace in (XRAY.replace("1-5759", "1-0000"), given):  # another's is not this one's
        environ["_X_AMZN_TRACE_ID"] = trace
        client.post("/crons/apply_gateway_events", json={}, headers=SECRET)
    logging.getLogger("app").removeHandler(written)

    first, *_, last = (headers.get("X-Amzn-Trace-Id") for _, _, headers in hasura.asked)
    assert (first is not None, last) == (True, given if logged else None)
    assert json.loads(lines.getvalue().splitlines()[-1]).get("xray_trace_id") == logged


def test_an_unknown_path_and_a_wrong_method_have_their_codes(client) -> None:
    assert code(client.post("/nothing")) == "not-found"
    assert code(client.get("/create-payment")) == "method-not-allowed"


def test_a_bug_tells_the_client_nothing_but_a_request_id(client, hasura) -> None:
    hasura.answers["open_credit_purchase"] = [{}]
    answer = client.post("/create-payment", json=BODY, headers=SECRET | {"X-Request-Id": "r-2"})

    assert answer.status_code == 500
    assert answer.json == {
        "message": "internal error",
        "extensions": {"code": "internal", "request_id": "r-2"},
    }


def test_no_secret_reaches_the_log(client, web, hasura, caplog) -> None:
    web.post(SESSIONS, status=401, json={"error": {"message": "Invalid key sk_test_abc"}})
    logger = logging.getLogger("app")
    logger.addHandler(caplog.handler)
    logger.setLevel("INFO")
    client.post("/create-payment", json=BODY, headers=SECRET)
    lines = [handler.format(r) for r in caplog.records for handler in logger.handlers[:1]]
    logger.removeHandler(caplog.handler)

    assert any("gateway-unavailable" in line for line in lines)
    assert not any(word in line for line in lines for word in ("sk_test", "action-secret", "whsec"))


def test_every_error_has_its_own_code_and_a_status_of_its_kind() -> None:
    kinds = errors.AppError.__subclasses__()

    assert len({kind.code for kind in kinds}) == len(kinds)
    assert all(400 <= kind.status < 504 for kind in kinds)
    assert all(kind.__doc__ for kind in kinds)


def test_a_customer_captures_nothing(client, hasura) -> None:
    body = {
        "input": {"payment_intent_id": CHECKOUT["payment_intent_id"]},
        "session_variables": {"x-hasura-user-id": "u1", "x-hasura-role": "customer"},
    }
    answer = client.post("/capture-payment", json=body, headers=SECRET)

    assert (answer.status_code, code(answer)) == (403, "forbidden")
    assert hasura.names() == []


CAPTURES = "https://api.stripe.com/v1/payment_intents/pi_1/capture"
CAPTURE = {
    "input": {"payment_intent_id": CHECKOUT["payment_intent_id"], "amount": 1000},
    "session_variables": {"x-hasura-user-id": "u1", "x-hasura-role": "finance"},
}


@pytest.fixture
def authorized(hasura) -> Hasura:
    attempt = {
        "id": CHECKOUT["payment_attempt_id"],
        "status": "authorized",
        "gateway": "stripe",
        "gateway_account": "",
        "gateway_payment_id": "pi_1",
        "amount": "2500",
        "amount_to_capture": "1000",
        "is_gateway_failing": False,
        "currency": "USD",
    }
    state = {"id": CHECKOUT["payment_intent_id"], "status": "paid", "amount": "2500"}
    state["payment_attempts"] = []
    hasura.answers |= {
        "open_payment_attempts": [attempt],
        "begin_capture": [attempt],
        "refuse_capture": [attempt],
        "note_gateway_silence": [],
        "payment_intents": [state],
    }
    return hasura


def test_a_capture_is_written_down_before_stripe_is_told_and_kept_by_the_one_door(
    client, authorized, web
) -> None:
    intent = {
        "id": "pi_1",
        "object": "payment_intent",
        "status": "succeeded",
        "amount": 2500,
        "amount_received": 1000,
        "currency": "usd",
        "metadata": {"payment_attempt_id": CHECKOUT["payment_attempt_id"]},
    }
    told = web.post(CAPTURES, json=intent)
    answers = [client.post("/capture-payment", json=CAPTURE, headers=SECRET) for _ in range(2)]

    assert [answer.json["status"] for answer in answers] == ["paid", "paid"]
    asked = ["OpenPaymentAttempts", "BeginCapture", "ReceiveGatewayEvent", "PaymentState"]
    assert authorized.names() == asked * 2
    first, second = [a[1] for a in authorized.asked if a[0] == "ReceiveGatewayEvent"]
    assert first["eventId"] == second["eventId"]  # the same answer again has no second effect
    assert (first["notice"]["outcome"], first["notice"]["captured_amount"]) == ("paid", 1000)
    # The amount is the one that was written down; an intent lets itself be captured once.
    assert {str(call.request.body).split("&")[0] for call in told.calls} == {
        "amount_to_capture=1000"
    }


def test_a_capture_without_an_answer_changes_nothing_and_may_be_repeated(
    client, authorized, web
) -> None:
    web.post(CAPTURES, status=500, json={"error": {"message": "sorry"}})
    answer = client.post("/capture-payment", json=CAPTURE, headers=SECRET)

    assert (answer.status_code, code(answer)) == (424, "gateway-unavailable")
    assert authorized.names() == ["OpenPaymentAttempts", "BeginCapture", "NoteGatewaySilence"]


def test_a_capture_that_is_refused_is_no_longer_meant(client, authorized, web) -> None:
    web.post(CAPTURES, status=400, json={"error": {"message": "Not this much."}})
    held = {"object": "payment_intent", "amount": 2500, "currency": "usd"}
    web.get(CAPTURES[:-8], json={"id": "pi_1", "status": "requires_capture", **held})
    answer = client.post("/capture-payment", json=CAPTURE, headers=SECRET)

    assert (answer.status_code, code(answer)) == (422, "gateway-refused")
    assert authorized.names()[-1] == "RefuseCapture"
    refused = authorized.asked[-1][1]
    assert (refused["amount"], refused["attemptId"]) == ("1000", CHECKOUT["payment_attempt_id"])
    assert "Not this much." in refused["reason"]


def test_a_part_is_refused_before_anything_is_written_where_the_gateway_takes_the_whole_only(
    client, authorized, monkeypatch
) -> None:
    monkeypatch.setattr(Adapter, "capabilities", frozenset({Capability.AUTHORIZE}))
    answer = client.post("/capture-payment", json=CAPTURE, headers=SECRET)

    assert (answer.status_code, code(answer)) == (400, "amount-out-of-range")
    assert authorized.names() == ["OpenPaymentAttempts"]


# Callers by plain HTTP

NOBODYS = "/payments/6f1e9a3e-5a55-4a5a-9a55-000000000009"
REFUND = {"reason": "duplicate", "idempotency_key": "key-1"}


def test_a_plain_http_caller_is_told_in_the_words_of_its_document(client, hasura) -> None:
    hasura.answers |= {"open_payment_attempts": [], "payment_intents": []}
    answer = client.get(f"{NOBODYS}/verify", headers=SECRET)

    assert (answer.status_code, answer.json) == (
        404,
        {"error": "there is no such payment", "code": "not-found"},
    )


def test_a_plain_http_caller_hears_what_is_wrong_with_the_body(client, hasura) -> None:
    answer = client.post(f"{NOBODYS}/refund", json=REFUND | {"amount": 2.5}, headers=SECRET)

    assert answer.status_code == 400
    assert answer.json == {
        "error": "the input is not valid",
        "code": "invalid-input",
        "errors": {"amount": ["Not a whole number of minor units."]},
    }


def test_a_refusal_of_the_database_reaches_a_plain_http_caller(client, hasura) -> None:
    hasura.answers["open_refund"] = "refund-not-allowed: the 30 days for a refund are over"
    answer = client.post(f"{NOBODYS}/refund", json=REFUND, headers=SECRET)

    assert (answer.status_code, answer.json) == (
        409,
        {"error": "the 30 days for a refund are over", "code": "refund-not-allowed"},
    )


def test_a_plain_http_caller_without_the_secret_is_told_so(client, hasura) -> None:
    answer = client.post(f"{NOBODYS}/refund", json=REFUND)

    assert answer.json == {"error": "ACTION-SECRET is missing or wrong", "code": "unauthorized"}


def test_a_bug_tells_a_plain_http_caller_nothing_but_where_to_look(client, hasura) -> None:
    hasura.answers["open_refund"] = "a text of the database's own"
    answer = client.post(f"{NOBODYS}/refund", json=REFUND, headers=SECRET)

    assert answer.status_code == 500
    assert set(answer.json) == {"error", "code", "request_id"}
    assert (answer.json["error"], answer.json["code"]) == ("internal error", "internal")


def test_an_action_keeps_the_shape_that_hasura_reads(client, hasura) -> None:
    hasura.answers["open_credit_purchase"] = "amount-out-of-range: 1 is not between 100 and 1000"
    answer = client.post("/create-payment", json=BODY, headers=SECRET)

    assert answer.json == {
        "message": "1 is not between 100 and 1000",
        "extensions": {"code": "amount-out-of-range"},
    }
