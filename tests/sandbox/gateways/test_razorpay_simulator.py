"""The simulator of Razorpay, asked without our adapter: paths, errors, books, pages, webhooks."""

import hmac
import re
from base64 import b64encode
from collections.abc import Iterator
from html import unescape
from pathlib import Path
from typing import Any

import pytest
import requests
from gateway_bench import PATIENCE, Receiver, Server, wait_for

KEY, KEY_SECRET = "rzp_test_simulator0001", "invented-key-secret"
SECRET = "invented-webhook-secret"
OPTIONS = (
    *("--key", f"razorpay={KEY}:{KEY_SECRET}", "--secret", f"razorpay={SECRET}"),
    *("--event", "razorpay=*"),
)
CARD = {"method": "card", "card": "4100 2800 0000 1007"}
DAY = 24 * 3600
Data = dict[str, Any]


class Razorpay:
    """The simulator, as a merchant's server and a payer's browser reach it."""

    def __init__(self, server: Server, receiver: Receiver) -> None:
        self.server = server
        self.receiver = receiver
        self.skew = 0.0

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> requests.Response:
        return self.server.http.request(
            method,
            f"{self.server.url}/razorpay/v1{path}",
            json=body,
            auth=(KEY, KEY_SECRET),
            headers=headers,
            timeout=PATIENCE,
        )

    def made(self, path: str, body: Any, **headers: str) -> Data:
        answer = self.ask("POST", path, body, **headers)
        assert answer.status_code == 200, answer.text
        found: Data = answer.json()
        return found

    def got(self, path: str) -> Data:
        answer = self.ask("GET", path)
        assert answer.status_code == 200, answer.text
        found: Data = answer.json()
        return found

    def refused(self, method: str, path: str, body: Any = None, **headers: str) -> Data:
        answer = self.ask(method, path, body, **headers)
        assert answer.status_code == 400, answer.text
        error: Data = answer.json()["error"]
        assert error["code"] == "BAD_REQUEST_ERROR"
        return error

    def order(self, **changes: Any) -> Data:
        return self.made("/orders", {"amount": 50_000, "currency": "INR"} | changes)

    def control(self, path: str, **order: Any) -> Data:
        return self.server.control(f"/razorpay{path}", order)

    def pay(self, order: Data, **how: Any) -> Data:
        found: Data = self.control(f"/orders/{order['id']}/pay", **how)["payment"]
        return found

    def paid(self, **how: Any) -> Data:
        return self.pay(self.order(), **how)

    def advance(self, seconds: float) -> None:
        self.skew += seconds
        self.server.move_clock(self.skew)

    def webhooks(self, about: str, n: int) -> list[Data]:
        """Wait for n webhooks about a subject, and for any more that are on their way."""
        return [one.event for one in self.receiver.every(self.server, about, n)]

    def types(self, about: str, n: int) -> list[str]:
        return sorted(one["event"] for one in self.webhooks(about, n))

    def checkout(self, order: Data, **changes: str) -> requests.Response:
        form = {
            "key_id": KEY,
            "order_id": order["id"],
            "amount": str(order["amount"]),
            "currency": "INR",
            "name": "Tea & <Company>",
            "description": "Leaves",
            "prefill[email]": "asha@example.com",
            "notes[colour]": "green",
            "callback_url": "https://shop.example/back?a=1&b=2",
            "cancel_url": "https://shop.example/cancelled",
        }
        url = f"{self.server.url}/razorpay/v1/checkout/embedded"
        return self.server.http.request("POST", url, data=form | changes, timeout=PATIENCE)

    def submit(self, url: str, **form: str) -> requests.Response:
        return self.server.http.request("POST", url, data=form, timeout=PATIENCE)


@pytest.fixture(scope="module")
def razorpay_server(
    tmp_path_factory: pytest.TempPathFactory, receiver: Receiver
) -> Iterator[Server]:
    hook = ("--webhook", f"razorpay={receiver.url}")
    server = Server(tmp_path_factory.mktemp("razorpay"), options=(*OPTIONS, *hook))
    yield server
    server.stop()


@pytest.fixture
def razorpay(razorpay_server: Server, receiver: Receiver) -> Iterator[Razorpay]:
    yield Razorpay(razorpay_server, receiver)
    razorpay_server.control("/faults", method="DELETE")
    razorpay_server.move_clock(0)
    receiver.refusals.clear()
    razorpay_server.control("/razorpay/webhooks/switch_on", {})


@pytest.fixture
def fresh(tmp_path: Path, receiver: Receiver) -> Iterator[Razorpay]:
    """A simulator whose books are empty."""
    server = Server(tmp_path, options=OPTIONS)
    yield Razorpay(server, receiver)
    server.stop()


# The door


@pytest.mark.parametrize(
    "auth", [None, (KEY, "wrong"), ("rzp_test_other", KEY_SECRET), ("", ""), (KEY, "")]
)
def test_without_the_accounts_key_nothing_is_answered(
    razorpay: Razorpay, auth: tuple[str, str] | None
) -> None:
    url = f"{razorpay.server.url}/razorpay/v1/orders"
    answer = razorpay.server.http.request("GET", url, auth=auth, timeout=PATIENCE)

    assert answer.status_code == 401
    assert answer.json()["error"]["code"] == "BAD_REQUEST_ERROR"


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/nowhere"), ("DELETE", "/orders"), ("POST", "/payments"), ("GET", "/")],
)
def test_a_path_that_there_is_not_is_told(razorpay: Razorpay, method: str, path: str) -> None:
    assert "not found on the server" in razorpay.refused(method, path)["description"]


@pytest.mark.parametrize("body", ["[]", "{", '"x"', "\x00"])
def test_a_body_that_is_no_object_is_refused(razorpay: Razorpay, body: str) -> None:
    url = f"{razorpay.server.url}/razorpay/v1/orders"
    answer = razorpay.server.http.request(
        "POST", url, data=body, auth=(KEY, KEY_SECRET), timeout=PATIENCE
    )

    assert answer.status_code == 400


# Orders


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"amount": None}, "amount field is required"),
        ({"amount": 99}, "less than minimum"),
        ({"amount": "500"}, "must be an integer"),
        ({"amount": 500.5}, "must be an integer"),
        ({"amount": True}, "must be an integer"),
        ({"currency": "USD"}, "Currency is not supported"),
        ({"receipt": "r" * 41}, "greater than 40"),
        ({"receipt": 5}, "must be a string"),
        ({"notes": {str(one): "x" for one in range(16)}}, "less than or equal to 15"),
        ({"notes": {"a": "x" * 257}}, "greater than 256"),
        ({"notes": "text"}, "must be an array"),
        ({"colour": "green"}, "colour is/are not required and should not be sent"),
        ({"partial_payment": True}, "does not simulate partial payments"),
        ({"transfers": []}, "does not simulate Route"),
        ({"payment": {"capture": "perhaps"}}, "capture is invalid"),
        ({"payment": {"capture": "automatic"}}, "automatic expiry period"),
        (
            {"payment": {"capture": "manual", "capture_options": {"manual_expiry_period": 7201}}},
            "12 to 7200",
        ),
    ],
)
def test_an_order_has_limits(razorpay: Razorpay, changes: Data, said: str) -> None:
    error = razorpay.refused("POST", "/orders", {"amount": 50_000, "currency": "INR"} | changes)

    assert said in error["description"]


def test_an_order_is_shown_as_documented(razorpay: Razorpay) -> None:
    order = razorpay.order(receipt="BK-17")

    assert set(order) == {
        *("id", "entity", "amount", "amount_paid", "amount_due", "currency", "receipt"),
        *("offer_id", "status", "attempts", "notes", "created_at"),
    }
    assert re.fullmatch("order_[A-Za-z0-9]{14}", order["id"])
    assert (order["status"], order["amount_due"], order["notes"]) == ("created", 50_000, [])
    assert razorpay.got(f"/orders/{order['id']}") == order


def test_a_receipt_is_unique_only_if_asked_for(razorpay: Razorpay) -> None:
    first, second = (razorpay.order(receipt="BK-18") for _ in range(2))
    third = razorpay.order(receipt="BK-18", unique_receipt=True)
    listed = razorpay.got("/orders?receipt=BK-18&count=100")

    assert first["id"] != second["id"]
    assert third["id"] == first["id"]
    assert [one["id"] for one in listed["items"]] == [second["id"], first["id"]]
    assert razorpay.got("/orders?receipt=BK")["count"] == 0


def test_a_list_is_read_in_pages(razorpay: Razorpay) -> None:
    made = [razorpay.order(receipt="BK-19")["id"] for _ in range(3)]
    pages = [razorpay.got(f"/orders?receipt=BK-19&count=2&skip={skip}") for skip in (0, 2)]

    assert [one["id"] for page in pages for one in page["items"]] == made[::-1]
    for wrong in ("count=0", "count=101", "count=x", "skip=-1"):
        assert razorpay.refused("GET", f"/orders?{wrong}")


def test_an_unknown_id_is_refused_with_400(razorpay: Razorpay) -> None:
    for path in ("/orders/order_x", "/payments/pay_x", "/refunds/rfnd_x", "/disputes/disp_x"):
        assert razorpay.refused("GET", path)["description"] == "The id provided does not exist"


# Payments


def test_a_payment_is_authorized_captured_and_pays_its_order(razorpay: Razorpay) -> None:
    order = razorpay.order()
    payment = razorpay.pay(order)
    after = razorpay.got(f"/orders/{order['id']}")

    assert (payment["status"], payment["captured"]) == ("captured", True)
    assert (payment["fee"], payment["tax"]) == (1180, 180)
    assert (after["status"], after["amount_paid"], after["attempts"]) == ("paid", 50_000, 1)
    assert razorpay.got(f"/orders/{order['id']}/payments")["items"] == [payment]
    assert "receipt" not in payment
    types = ["order.paid", "payment.authorized", "payment.captured"]
    assert razorpay.types(payment["id"], 3) == types


def test_a_failed_payment_leaves_its_order_open(razorpay: Razorpay) -> None:
    order = razorpay.order()
    payment = razorpay.pay(order, card="4100280000080001")
    again = razorpay.pay(order)

    assert (payment["status"], payment["error_reason"]) == ("failed", "insufficient_fund")
    assert payment["error_code"] == "BAD_REQUEST_ERROR"
    assert again["status"] == "captured"
    assert razorpay.got(f"/orders/{order['id']}")["attempts"] == 2


def test_while_a_payment_is_authorized_another_is_refused(razorpay: Razorpay) -> None:
    order = razorpay.order(payment={"capture": "manual"})
    razorpay.pay(order)

    refused = razorpay.control(f"/orders/{order['id']}/pay")
    assert "is authorized" in refused["error"]["description"]


def test_a_capture_takes_all_and_happens_once(razorpay: Razorpay) -> None:
    payment = razorpay.pay(razorpay.order(payment_capture=False))
    path = f"/payments/{payment['id']}/capture"
    good = {"amount": 50_000, "currency": "INR"}

    assert payment["status"] == "authorized"
    for wrong in ({"amount": 49_999}, {"amount": 50_001}, {"currency": "USD"}, {"amount": None}):
        assert razorpay.refused("POST", path, good | wrong)
    assert razorpay.made(path, good)["status"] == "captured"
    assert "already been captured" in razorpay.refused("POST", path, good)["description"]


def test_what_nobody_captures_is_given_back_when_its_time_is_over(razorpay: Razorpay) -> None:
    options = {"manual_expiry_period": 60}
    order = razorpay.order(payment={"capture": "manual", "capture_options": options})
    payment = razorpay.pay(order)
    razorpay.advance(61 * 60)
    after = razorpay.got(f"/payments/{payment['id']}")

    assert (after["status"], after["captured"], after["refund_status"]) == (
        "refunded",
        False,
        "full",
    )
    assert razorpay.types(payment["id"], 3) == [
        *("payment.authorized", "refund.created", "refund.processed"),
    ]


def test_a_bank_that_is_late_for_the_automatic_capture_leaves_it_to_be_done(
    razorpay: Razorpay,
) -> None:
    options = {"automatic_expiry_period": 30, "manual_expiry_period": 7200}
    order = razorpay.order(payment={"capture": "automatic", "capture_options": options})
    payment = razorpay.pay(order, outcome="late")
    razorpay.advance(2 * 3600)

    assert razorpay.got(f"/payments/{payment['id']}")["status"] == "authorized"


# Refunds


def test_a_refund_key_repeats_its_answer_and_serves_nothing_else(razorpay: Razorpay) -> None:
    payment = razorpay.paid()
    path, key = f"/payments/{payment['id']}/refund", {"X-Refund-Idempotency": "refund-0001"}
    first, again = (razorpay.made(path, {"amount": 10_000}, **key) for _ in range(2))
    other = razorpay.ask("POST", path, {"amount": 20_000}, **key)

    assert first == again
    assert other.status_code == 409
    assert razorpay.got(f"/payments/{payment['id']}")["amount_refunded"] == 10_000
    for short in ("short", "with space in it", "ümlaut-umlaut"):
        headers = {"X-Refund-Idempotency": short.encode().decode("latin-1")}
        assert razorpay.refused("POST", path, {"amount": 10_000}, **headers)


def test_a_refund_key_in_use_is_a_conflict(razorpay: Razorpay) -> None:
    payment = razorpay.paid()
    path, key = f"/payments/{payment['id']}/refund", {"X-Refund-Idempotency": "refund-0002"}
    fault = {"gateway": "razorpay", "operation": "payments.refund", "kind": "slow", "seconds": 1}
    razorpay.server.control("/faults", fault)
    who = b64encode(f"{KEY}:{KEY_SECRET}".encode()).decode()
    headers = {**key, "Authorization": f"Basic {who}", "Content-Type": "application/json"}
    url = f"{razorpay.server.url}/razorpay/v1{path}"
    answers = razorpay.server.at_once(2, url, '{"amount": 10000}', headers)

    assert sorted(status for status, _ in answers) == [200, 409]
    assert razorpay.made(path, {"amount": 10_000}, **key)["amount"] == 10_000


def test_a_payment_is_captured_or_refunded_by_one_request_at_a_time(razorpay: Razorpay) -> None:
    payment = razorpay.pay(razorpay.order(payment_capture=False))
    path = f"/payments/{payment['id']}/capture"
    fault = {"gateway": "razorpay", "operation": "payments.capture", "kind": "slow", "seconds": 1}
    razorpay.server.control("/faults", fault)
    who = b64encode(f"{KEY}:{KEY_SECRET}".encode()).decode()
    headers = {"Authorization": f"Basic {who}", "Content-Type": "application/json"}
    url, body = f"{razorpay.server.url}/razorpay/v1{path}", '{"amount": 50000, "currency": "INR"}'
    answers = dict(razorpay.server.at_once(2, url, body, headers))

    assert answers[200]["status"] == "captured"
    assert "another payment operation is in progress" in answers[400]["error"]["description"]
    assert razorpay.made(f"/payments/{payment['id']}/refund", {"amount": 10_000})


def test_a_receipt_serves_one_refund_whatever_its_key(razorpay: Razorpay) -> None:
    path = f"/payments/{razorpay.paid()['id']}/refund"
    body = {"amount": 10_000, "receipt": "refund-1"}
    first = razorpay.made(path, body, **{"X-Refund-Idempotency": "refund-0003"})
    error = razorpay.refused("POST", path, body, **{"X-Refund-Idempotency": "refund-0004"})

    assert error["description"].startswith("Duplicate receipt found for this refund request")
    assert razorpay.made(path, body, **{"X-Refund-Idempotency": "refund-0003"}) == first
    assert razorpay.made(path, body | {"receipt": "refund-2"})["id"] != first["id"]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"amount": 99}, "at least INR 1.00"),
        ({"amount": 50_001}, "greater than amount captured"),
        ({"amount": "100"}, "must be an integer"),
        ({"speed": "fast"}, "speed format is invalid"),
        ({"reason": "x"}, "should not be sent"),
    ],
)
def test_a_refund_has_limits(razorpay: Razorpay, body: Data, said: str) -> None:
    payment = razorpay.paid()

    error = razorpay.refused("POST", f"/payments/{payment['id']}/refund", body)
    assert said in error["description"]


def test_a_refund_without_an_amount_is_of_all_that_is_left(razorpay: Razorpay) -> None:
    payment = razorpay.paid()
    path = f"/payments/{payment['id']}/refund"
    razorpay.made(path, {"amount": 20_000})
    rest = razorpay.made(path, {})
    after = razorpay.got(f"/payments/{payment['id']}")

    assert rest["amount"] == 30_000
    assert (after["status"], after["refund_status"]) == ("refunded", "full")
    assert "fully refunded already" in razorpay.refused("POST", path, {})["description"]


def test_the_banks_reference_comes_after_the_refund_is_processed(razorpay: Razorpay) -> None:
    payment = razorpay.paid()
    refund = razorpay.made(f"/payments/{payment['id']}/refund", {})
    razorpay.advance(3601)
    after = razorpay.got(f"/payments/{payment['id']}/refunds/{refund['id']}")

    assert (refund["status"], refund["acquirer_data"]) == ("processed", {"arn": None})
    assert after["status"] == "processed"
    assert after["acquirer_data"]["arn"]


def test_a_pending_refund_that_fails_gives_the_money_back(razorpay: Razorpay) -> None:
    payment = razorpay.paid(refunds="pending_then_failed")
    refund = razorpay.made(f"/payments/{payment['id']}/refund", {})
    razorpay.advance(61)
    after = razorpay.got(f"/payments/{payment['id']}")

    assert refund["status"] == "pending"
    assert razorpay.got(f"/refunds/{refund['id']}")["status"] == "failed"
    assert (after["status"], after["amount_refunded"]) == ("captured", 0)
    assert razorpay.types(refund["id"], 2) == ["refund.created", "refund.failed"]


# Disputes and settlements


def test_a_lost_dispute_takes_the_money_and_a_won_one_gives_it_back(razorpay: Razorpay) -> None:
    lost, won = razorpay.paid(), razorpay.paid()
    first = razorpay.control(f"/payments/{lost['id']}/dispute")
    second = razorpay.control(f"/payments/{won['id']}/dispute", deduct_at_onset=True)
    accepted = razorpay.made(f"/disputes/{first['id']}/accept", {})
    evidence = {"action": "submit", "summary": "It was delivered."}
    contested = razorpay.ask("PATCH", f"/disputes/{second['id']}/contest", evidence).json()
    razorpay.control(f"/disputes/{second['id']}/decide", outcome="won")

    assert (first["amount_deducted"], accepted["amount_deducted"]) == (0, 50_000)
    assert (second["amount_deducted"], contested["status"]) == (50_000, "under_review")
    assert razorpay.got(f"/disputes/{second['id']}")["amount_deducted"] == 0
    assert razorpay.types(second["id"], 3) == [
        f"payment.dispute.{step}" for step in ("created", "under_review", "won")
    ]
    again = razorpay.refused("POST", f"/disputes/{first['id']}/accept", {})
    assert "open status" in again["description"]


def test_a_report_has_the_fields_of_the_documentation(razorpay: Razorpay) -> None:
    payment = razorpay.paid()
    at = 1_795_240_800  # 21 November 2026, 11:30 in India
    settled = razorpay.control("/settle", at=at)["settlement"]
    report = razorpay.got("/settlements/recon/combined?year=2026&month=11&day=21&count=1000")
    (line,) = [one for one in report["items"] if one["entity_id"] == payment["id"]]

    assert (line["credit"], line["debit"], line["fee"], line["tax"]) == (48_820, 0, 1180, 180)
    assert (line["settlement_id"], line["settlement_utr"]) == (settled["id"], settled["utr"])
    assert set(line) == {
        *("entity_id", "type", "debit", "credit", "amount", "currency", "fee", "tax", "on_hold"),
        *("settled", "created_at", "settled_at", "settlement_id", "posted_at", "credit_type"),
        *("description", "notes", "payment_id", "settlement_utr", "order_id", "order_receipt"),
        *("method", "card_network", "card_issuer", "card_type", "dispute_id"),
    }
    assert razorpay.got("/settlements/recon/combined?year=2026&month=11&day=20")["count"] == 0
    assert razorpay.refused("GET", "/settlements/recon/combined?year=2026&month=13&day=1")
    assert razorpay.got(f"/settlements/{settled['id']}") == settled


def test_nothing_is_settled_by_itself_while_refunds_outweigh_payments(fresh: Razorpay) -> None:
    fresh.control("/adjust", amount=-90_000)
    fresh.advance(3 * DAY)
    before = fresh.got("/settlements")["count"]
    for _ in range(2):
        fresh.paid()
    fresh.advance(3 * DAY)
    settlements = fresh.got("/settlements")["items"]

    assert before == 0
    assert [one["amount"] for one in settlements] == [2 * 48_820 - 90_000]


# Pages


def fields_in(page: str) -> dict[str, str]:
    found = re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)">', page)
    return {unescape(name): unescape(value) for name, value in found}


def test_the_page_shows_what_is_paid_and_runs_no_script(razorpay: Razorpay) -> None:
    page = razorpay.checkout(razorpay.order(amount=12_345_678))

    assert page.status_code == 200
    assert "₹1,23,456.78" in page.text
    assert "Tea &amp; &lt;Company&gt;" in page.text
    assert "<script" not in page.text
    assert "default-src 'none'" in page.headers["Content-Security-Policy"]
    assert page.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"key_id": "rzp_test_other"}, "key is not valid"),
        ({"order_id": "order_x"}, "does not exist"),
        ({"amount": "1"}, "not that of the order"),
        ({"currency": "USD"}, "not that of the order"),
        ({"name": ""}, "left something out"),
        ({"callback_url": "javascript:alert(1)"}, "left something out"),
        ({"cancel_url": "javascript:alert(1)"}, "left something out"),
    ],
)
def test_a_form_that_is_not_of_the_order_shows_no_page(
    razorpay: Razorpay, changes: dict[str, str], said: str
) -> None:
    page = razorpay.checkout(razorpay.order(), **changes)

    assert page.status_code == 400
    assert said in page.text
    assert "javascript:" not in page.text


def test_a_payer_may_fail_try_again_and_pay(razorpay: Razorpay) -> None:
    order = razorpay.order()
    page = razorpay.checkout(order)
    bank = razorpay.submit(page.url, **CARD, **fields_in(page.text))
    failed = razorpay.submit(bank.url, outcome="failure")
    again = razorpay.server.http.request("GET", page.url, timeout=PATIENCE)
    bank = razorpay.submit(again.url, **CARD, **fields_in(again.text))
    paid = razorpay.submit(bank.url, outcome="success")
    back = fields_in(paid.text)

    assert "Payment failed" in failed.text
    assert fields_in(failed.text)["error[reason]"] == "payment_failed"
    assert "Payment successful" in paid.text
    assert 'action="https://shop.example/back?a=1&amp;b=2"' in paid.text
    message = f"{order['id']}|{back['razorpay_payment_id']}".encode()
    expected = hmac.new(KEY_SECRET.encode(), message, "sha256").hexdigest()
    assert back["razorpay_signature"] == expected
    payment = razorpay.got(f"/payments/{back['razorpay_payment_id']}")
    assert (payment["email"], payment["notes"]) == ("asha@example.com", {"colour": "green"})
    closed = razorpay.server.http.request("GET", page.url, timeout=PATIENCE)
    assert "You have already paid" in closed.text


def test_a_form_sent_twice_is_one_try(razorpay: Razorpay) -> None:
    order = razorpay.order()
    page = razorpay.checkout(order)
    form = CARD | fields_in(page.text)
    first, second = (razorpay.submit(page.url, **form) for _ in range(2))

    assert first.url == second.url
    assert razorpay.got(f"/orders/{order['id']}")["attempts"] == 1
    for _ in range(2):
        razorpay.submit(first.url, outcome="success")
    assert razorpay.got(f"/orders/{order['id']}/payments")["count"] == 1


@pytest.mark.parametrize(
    "form",
    [
        {"method": "card", "card": "4100 2800 0000 1008"},
        {"method": "card", "card": ""},
        {"method": "upi", "vpa": "nobody"},
        {"method": "netbanking", "netbanking": "NOWHERE"},
        {"method": "barter"},
        {},
    ],
)
def test_a_form_with_a_mistake_is_shown_again(razorpay: Razorpay, form: dict[str, str]) -> None:
    order = razorpay.order()
    page = razorpay.checkout(order)
    answer = razorpay.submit(page.url, **fields_in(page.text), **form)

    assert answer.status_code == 422
    assert 'role="alert"' in answer.text
    assert razorpay.got(f"/orders/{order['id']}")["attempts"] == 0


@pytest.mark.parametrize(
    ("vpa", "said"),
    [
        ("success@razorpay", "Payment successful"),
        ("failure@razorpay", "Payment failed"),
        ("risk@razorpay", "security check"),
        ("pending@razorpay", "still deciding"),
        ("late@razorpay", "Payment failed"),
        ("asha@okbank", "Confirm your payment"),
    ],
)
def test_a_upi_id_of_the_tests_needs_no_asking(razorpay: Razorpay, vpa: str, said: str) -> None:
    page = razorpay.checkout(razorpay.order(), method="upi")
    answer = razorpay.submit(page.url, method="upi", vpa=vpa, **fields_in(page.text))

    assert 'value="card"' not in page.text
    assert said in answer.text


def test_an_answer_later_comes_after_five_minutes(razorpay: Razorpay) -> None:
    order = razorpay.order()
    page = razorpay.checkout(order)
    bank = razorpay.submit(page.url, **CARD, **fields_in(page.text))
    razorpay.submit(bank.url, outcome="pending")
    before = razorpay.got(f"/orders/{order['id']}/payments")["items"][0]["status"]
    razorpay.advance(301)

    assert before == "created"
    assert razorpay.got(f"/orders/{order['id']}")["status"] == "paid"


# Webhooks


def test_a_webhook_is_signed_over_its_bytes_and_names_itself(razorpay: Razorpay) -> None:
    payment = razorpay.paid()
    razorpay.webhooks(payment["id"], 3)
    came = razorpay.receiver.about(payment["id"])

    assert len({one.headers["x-razorpay-event-id"] for one in came}) == 3
    for one in came:
        expected = hmac.new(SECRET.encode(), one.body, "sha256").hexdigest()
        assert one.headers["x-razorpay-signature"] == expected
        assert one.event["contains"] == list(one.event["payload"])
        assert b'"_' not in one.body


def test_a_webhook_is_tried_for_a_day_and_then_its_endpoint_is_switched_off(
    razorpay: Razorpay,
) -> None:
    order = razorpay.order()
    razorpay.receiver.refusals += [(order["id"], 500)] * 1000
    razorpay.pay(order, outcome="failure")
    waits = []
    for _ in range(20):
        (delivery,) = wait_for(lambda: tried(razorpay, order, len(waits) + 1), "a try")
        waits.append(delivery["due"] - delivery["attempts"][-1]["at"])
        if delivery["state"] == "given_up":
            break
        razorpay.advance(waits[-1] + 1)

    assert [round(one) for one in waits[:4]] == [30, 60, 120, 240]
    assert delivery["state"] == "given_up"
    assert delivery["attempts"][-1]["at"] - delivery["created"] >= DAY
    assert len({one["headers"]["x-razorpay-event-id"] for one in delivery["attempts"]}) == 1
    silent, heard = razorpay.order(), razorpay.order()
    razorpay.pay(silent, outcome="failure")
    razorpay.control("/webhooks/switch_on")
    razorpay.pay(heard, outcome="failure")
    assert len(razorpay.webhooks(heard["id"], 1)) == 1
    assert razorpay.receiver.about(silent["id"]) == []


def tried(razorpay: Razorpay, order: Data, times: int) -> list[Data] | None:
    path = "/deliveries?gateway=razorpay&limit=200"
    log = razorpay.server.control(path, method="GET")["deliveries"]
    of_order = {one.headers["x-razorpay-event-id"] for one in razorpay.receiver.about(order["id"])}
    found = [one for one in log if one["event"] in of_order and len(one["attempts"]) >= times]
    return found or None


# What stays


def test_the_books_survive_a_kill(tmp_path: Path, receiver: Receiver) -> None:
    server = Server(tmp_path, options=OPTIONS)
    first = Razorpay(server, receiver)
    order = first.order(receipt="BK-20")
    payment = first.pay(order, refunds="pending_then_processed")  # in a minute of the clock
    key = {"X-Refund-Idempotency": "refund-0003"}
    refund = first.made(f"/payments/{payment['id']}/refund", {}, **key)
    server.kill_and_start()
    again = first.made(f"/payments/{payment['id']}/refund", {}, **key)
    first.advance(61)
    after = first.got(f"/refunds/{refund['id']}")
    server.stop()

    assert again == refund
    assert after["status"] == "processed"


def test_control_calls_say_what_is_wrong_with_them(razorpay: Razorpay) -> None:
    order, payment = razorpay.order(), razorpay.paid()

    for path, wrong, said in [
        ("/orders/order_x/pay", {}, "no such order"),
        (f"/orders/{order['id']}/pay", {"outcome": "maybe"}, "outcome must be one of"),
        (f"/orders/{order['id']}/pay", {"card": "12"}, "number of a card"),
        (f"/orders/{order['id']}/pay", {"outcome": "failure", "reason": "x"}, "reason must be"),
        (f"/payments/{payment['id']}/authorize", {}, "this payment is captured"),
        (f"/payments/{payment['id']}/refunds", {"outcome": "x"}, "outcome must be"),
        (f"/payments/{payment['id']}/dispute", {"phase": "x"}, "phase must be"),
        ("/refunds/rfnd_x/decide", {}, "no such refund"),
        ("/adjust", {"amount": 1.5}, "whole number"),
    ]:
        assert said in razorpay.control(path, **wrong)["error"], path
