"""Cashfree's simulator over HTTP: its API, its page, its webhooks, and what steers it."""

import base64
import hashlib
import hmac
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest
import requests
from gateway_bench import PATIENCE, Received, Receiver, Server, wait_for
from gateways.standing import StandingServer

CLIENT, NEW, OLD = "TEST_client_for_the_tests", "cfsk_ma_test_new", "cfsk_ma_test_old"
OPTIONS = (
    *("--key", f"cashfree={CLIENT}"),
    *("--secret", f"cashfree={NEW}"),
    *("--secret", f"cashfree={OLD}"),
)
HEADERS = {
    "x-client-id": CLIENT,
    "x-client-secret": NEW,
    "x-api-version": "2025-01-01",
}
DAY = 24 * 3600
RETURN_URL = "http://shop.example/ok?order={order_id}"
Data = dict[str, Any]


@dataclass
class Till:
    """The API as a merchant has it, and what payers and their banks do."""

    server: Server
    receiver: Receiver

    def call(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
    ) -> requests.Response:
        url = f"{self.server.url}/cashfree/pg{path}"
        sent = {**HEADERS, **(headers or {})}
        return self.server.http.request(method, url, json=body, headers=sent, timeout=PATIENCE)

    def get(self, path: str) -> Any:
        answer = self.call("GET", path)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def order(self, **changes: Any) -> Data:
        """Open an order for 2500 rupees, or otherwise if told so."""
        answer = self.call("POST", "/orders", {**wanted(), **changes})
        assert answer.status_code == 200, answer.text
        opened: Data = answer.json()
        return opened

    def control(self, path: str, **told: Any) -> Data:
        return self.server.control(f"/cashfree{path}", told)

    def pay(self, order: Data, **how: Any) -> Data:
        return self.control(f"/orders/{order['order_id']}/pay", **how)

    def paid(self, **how: Any) -> Data:
        order = self.order()
        assert self.pay(order, **how)["order_status"] == "PAID"
        return order

    def status(self, order: Data) -> str:
        return str(self.get(f"/orders/{order['order_id']}")["order_status"])

    def payments(self, order: Data) -> list[Data]:
        found: list[Data] = self.get(f"/orders/{order['order_id']}/payments")
        return found

    def refund(self, order: Data, amount: float = 1000.0, **changes: Any) -> requests.Response:
        body = {"refund_id": uuid4().hex, "refund_amount": amount, **changes}
        return self.call("POST", f"/orders/{order['order_id']}/refunds", body)

    def sent(self, order: Data, kind: str, n: int = 1) -> list[Received]:
        return self.receiver.wait(order["order_id"], kind, n)

    def advance(self, seconds: float) -> None:
        self.server.move_clock(seconds)

    def page(self, order: Data) -> str:
        """Enter the page as the merchant's form does, and give its address."""
        answer = self.server.http.post(
            f"{self.server.url}/cashfree/pg/view/sessions/checkout",
            data={"payment_session_id": order["payment_session_id"]},
            allow_redirects=False,
            timeout=PATIENCE,
        )
        assert answer.status_code == 303
        return self.server.url + answer.headers["location"]

    def submit(self, address: str, **form: str) -> requests.Response:
        shown = self.server.http.get(address, timeout=PATIENCE)
        assert shown.status_code == 200, shown.text
        hidden = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', shown.text))
        return self.server.http.post(
            address, data={**hidden, **form}, allow_redirects=False, timeout=PATIENCE
        )


def wanted() -> Data:
    return {
        "order_id": str(uuid4()),
        "order_amount": 2500.0,
        "order_currency": "INR",
        "customer_details": {"customer_id": "payer-1", "customer_phone": "9876543210"},
        "order_meta": {"return_url": RETURN_URL},
        "order_note": "250 credits",
    }


@pytest.fixture(scope="module")
def cashfree_receiver() -> Iterator[Receiver]:
    receiver = Receiver()
    http = receiver.start()
    yield receiver
    http.shutdown()
    http.server_close()


@pytest.fixture(scope="module")
def cashfree_server(
    tmp_path_factory: pytest.TempPathFactory, cashfree_receiver: Receiver
) -> Iterator[Server]:
    hook = ("--webhook", f"cashfree={cashfree_receiver.url}")
    server = Server(tmp_path_factory.mktemp("cashfree"), options=(*OPTIONS, *hook))
    yield server
    server.stop()


@pytest.fixture
def till(cashfree_server: Server, cashfree_receiver: Receiver) -> Iterator[Till]:
    yield Till(cashfree_server, cashfree_receiver)
    cashfree_server.control("/faults", method="DELETE")
    cashfree_server.control("/deliveries/release", {})
    cashfree_receiver.refusals.clear()
    cashfree_server.move_clock(0)


# The API


def test_an_order_is_opened_with_its_session(till: Till) -> None:
    order = till.order()

    assert (order["entity"], order["order_status"]) == ("order", "ACTIVE")
    assert order["payment_session_id"].startswith("session_")
    assert till.get(f"/orders/{order['order_id']}") == order
    assert till.payments(order) == []


def test_amounts_are_numbers_with_two_decimals(till: Till) -> None:
    text = till.call("POST", "/orders", {**wanted(), "order_amount": 2450.5}).text

    assert '"order_amount":2450.50' in text


def test_an_order_is_opened_once_under_its_id(till: Till) -> None:
    order = wanted()
    first, second, other = (
        till.call("POST", "/orders", {**order, "order_amount": amount})
        for amount in (2500.0, 2500.0, 9.0)
    )

    assert first.status_code == 200
    for again in (second, other):
        assert (again.status_code, again.json()["code"]) == (409, "order_already_exists")
    assert till.get(f"/orders/{order['order_id']}")["order_amount"] == 2500.0


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"order_id": "ab"}, "order_id_invalid"),
        ({"order_id": "a" * 46}, "order_id_invalid"),
        ({"order_id": "a b c"}, "order_id_invalid"),
        ({"order_amount": 0.99}, "order_amount_invalid"),
        ({"order_amount": 1.005}, "order_amount_invalid"),
        ({"order_amount": "2500"}, "order_amount_invalid"),
        ({"order_amount": None}, "order_amount_missing"),
        ({"order_currency": "USD"}, "order_currency_invalid"),
        ({"order_note": "ab"}, "order_note_invalid"),
        ({"order_meta": {"return_url": "https://x.example/" + "a" * 240}}, "return_url_invalid"),
        ({"order_meta": {"payment_methods": "upi,wallet"}}, "payment_methods_invalid"),
        ({"order_meta": {"notify_url": "https://x.example"}}, "notify_url_invalid"),
        ({"order_meta": []}, "order_meta_invalid"),
        ({"order_splits": []}, "order_splits_invalid"),
        ({"order_expiry_time": "soon"}, "order_expiry_time_invalid"),
        ({"customer_details": {"customer_id": "payer-1"}}, "customer_phone_missing"),
        (
            {"customer_details": {"customer_id": "payer-1", "customer_phone": "12"}},
            "customer_phone_invalid",
        ),
    ],
)
def test_what_cashfree_does_not_take_is_refused(till: Till, changes: Data, code: str) -> None:
    answer = till.call("POST", "/orders", {**wanted(), **changes})

    assert answer.status_code == 400
    assert answer.json()["code"] == code
    assert answer.json()["type"] == "invalid_request_error"


@pytest.mark.parametrize(("minutes", "status"), [(14, 400), (16, 200), (31 * 1440, 400)])
def test_an_order_is_open_for_a_while_at_least_and_at_most(
    till: Till, minutes: int, status: int
) -> None:
    at = datetime.now(UTC) + timedelta(minutes=minutes)
    order = {**wanted(), "order_expiry_time": at.isoformat()}

    assert till.call("POST", "/orders", order).status_code == status


@pytest.mark.parametrize(
    "headers",
    [{"x-client-id": "somebody"}, {"x-client-secret": "wrong"}, {"x-client-secret": ""}],
)
def test_nobody_else_is_let_in(till: Till, headers: dict[str, str]) -> None:
    answer = till.call("POST", "/orders", wanted(), headers)

    assert (answer.status_code, answer.json()["type"]) == (401, "authentication_error")


def test_either_secret_opens_the_api_while_one_replaces_the_other(till: Till) -> None:
    assert till.call("POST", "/orders", wanted(), {"x-client-secret": OLD}).status_code == 200


def test_a_version_must_be_named(till: Till) -> None:
    assert till.call("GET", "/orders/x", headers={"x-api-version": "1999-01-01"}).status_code == 400


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("/orders/nobody", "order_not_found"),
        ("/orders/nobody/payments", "order_not_found"),
        ("/orders/{id}/payments/1", "payment_not_found"),
        ("/orders/{id}/refunds/1", "refund_not_found"),
        ("/disputes/1", "dispute_not_found"),
        ("/nowhere", "request_failed"),
    ],
)
def test_what_is_not_there_is_404(till: Till, path: str, code: str) -> None:
    order = till.order()
    answer = till.call("GET", path.format(id=order["order_id"]))

    assert (answer.status_code, answer.json()["code"]) == (404, code)


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"[" * 100_000])
def test_a_body_that_is_no_object_is_refused(till: Till, body: bytes) -> None:
    url = f"{till.server.url}/cashfree/pg/orders"

    assert (
        till.server.http.post(url, data=body, headers=HEADERS, timeout=PATIENCE).status_code == 400
    )


# Payments


@pytest.mark.parametrize(
    ("how", "first", "later", "order_later"),
    [
        ("pays", "SUCCESS", "SUCCESS", "PAID"),
        ("declines_soft", "FAILED", "FAILED", "ACTIVE"),
        ("pending_then_paid", "PENDING", "SUCCESS", "PAID"),
        ("pending_then_failed", "PENDING", "FAILED", "ACTIVE"),
        ("fails_then_pays_late", "FAILED", "SUCCESS", "PAID"),
        ("drops", "NOT_ATTEMPTED", "USER_DROPPED", "ACTIVE"),
    ],
)
def test_a_payment_goes_its_way(
    till: Till, how: str, first: str, later: str, order_later: str
) -> None:
    order = till.order()
    till.pay(order, how=how, method="upi")
    then = till.payments(order)[0]
    till.advance(3600)
    now = till.payments(order)[0]

    assert (then["payment_status"], now["payment_status"]) == (first, later)
    assert then["cf_payment_id"] == now["cf_payment_id"]
    assert till.status(order) == order_later
    assert now["is_captured"] is (later == "SUCCESS")
    assert now["payment_group"] == "upi"


@pytest.mark.parametrize(
    ("means", "reason"),
    [
        ({"card": "4000000000009995"}, "insufficient_funds"),
        ({"card": "4000000000000069"}, "card_expired"),
        ({"card": "4000000000003220"}, "incorrect_otp"),
        ({"card": "4100000000000019"}, "suspected_fraud"),
        ({"card": "4000000000000119"}, "gateway_error"),
        ({"vpa": "testfailure@gocash"}, "insufficient_funds"),
    ],
)
def test_a_magic_value_fails_for_its_reason(till: Till, means: dict[str, str], reason: str) -> None:
    order = till.order()
    till.pay(order, **means)

    (failed,) = till.payments(order)
    assert failed["payment_status"] == "FAILED"
    assert failed["error_details"]["error_reason"] == reason
    (told,) = till.sent(order, "PAYMENT_FAILED_WEBHOOK")
    assert told.event["data"]["error_details"] == failed["error_details"]


@pytest.mark.parametrize(
    "means", [{"card": "6074825972083818"}, {"vpa": "testsuccess@gocash"}, {"method": "wallet"}]
)
def test_a_good_value_pays(till: Till, means: dict[str, str]) -> None:
    assert till.paid(**means)


def test_many_tries_make_one_paid_order(till: Till) -> None:
    order = till.order()
    till.pay(order, how="declines_hard")
    till.pay(order, how="fails_then_pays")

    statuses = [one["payment_status"] for one in till.payments(order)]
    assert statuses == ["SUCCESS", "FAILED", "FAILED"]
    assert till.status(order) == "PAID"
    assert "error" in till.pay(order, how="pays")


def test_an_order_expires_and_may_be_paid_by_who_was_at_the_bank(till: Till) -> None:
    soon = (datetime.now(UTC) + timedelta(minutes=20)).isoformat()
    idle, busy = (till.order(order_expiry_time=soon) for _ in range(2))
    till.advance(1170)
    till.pay(busy, how="pending_then_paid")
    till.advance(1205)
    assert [till.status(one) for one in (idle, busy)] == ["EXPIRED", "EXPIRED"]
    till.advance(3600)

    assert [till.status(one) for one in (idle, busy)] == ["EXPIRED", "PAID"]


def terminate(till: Till, order: Data) -> requests.Response:
    return till.call("PATCH", f"/orders/{order['order_id']}", {"order_status": "TERMINATED"})


def test_an_open_order_is_closed_at_once(till: Till) -> None:
    order = till.order()

    assert terminate(till, order).json()["order_status"] == "TERMINATED"
    assert terminate(till, order).json()["order_status"] == "TERMINATED"
    assert "error" in till.pay(order, how="pays")


@pytest.mark.parametrize(
    ("how", "end"), [("pending_then_paid", "PAID"), ("pending_then_failed", "TERMINATED")]
)
def test_the_end_of_a_busy_order_waits_for_the_bank(till: Till, how: str, end: str) -> None:
    order = till.order()
    till.pay(order, how=how)
    assert terminate(till, order).json()["order_status"] == "TERMINATION_REQUESTED"
    till.advance(3600)

    assert till.status(order) == end


def test_a_paid_order_is_not_closed(till: Till) -> None:
    answer = terminate(till, till.paid())

    assert (answer.status_code, answer.json()["code"]) == (400, "order_inactive")


# Holds


def held(till: Till) -> Data:
    order = till.order(order_note="preauth_transaction")
    till.pay(order, how="pays")
    (payment,) = till.payments(order)
    assert (payment["payment_status"], payment["is_captured"]) == ("SUCCESS", False)
    assert payment["payment_message"].startswith("PRE_AUTH|")
    return order


def authorize(till: Till, order: Data, key: str = "", **body: Any) -> requests.Response:
    path = f"/orders/{order['order_id']}/authorization"
    return till.call("POST", path, body, {"x-idempotency-key": key} if key else None)


def test_a_hold_is_captured_in_part_once(till: Till) -> None:
    order = held(till)
    taken = authorize(till, order, action="CAPTURE", amount=470).json()

    assert taken["authorization"]["captured_amount"] == 470
    assert taken["is_captured"] is True
    for body in ({"action": "CAPTURE", "amount": 470}, {"action": "VOID"}):
        assert authorize(till, order, **body).status_code == 400
    assert till.refund(order, 470.01).json()["code"] == "refund_amount_invalid"
    assert till.refund(order, 470).status_code == 200


def test_a_hold_goes_back_whole_and_is_not_captured_then(till: Till) -> None:
    order = held(till)
    assert authorize(till, order, action="VOID").json()["authorization"]["action"] == "VOID"

    answer = authorize(till, order, action="CAPTURE", amount=1)
    assert (answer.status_code, answer.json()["message"]) == (400, "transaction is already voided")
    assert till.refund(order).json()["code"] == "refund_not_allowed"


@pytest.mark.parametrize(
    "body",
    [
        {"action": "CAPTURE", "amount": 2500.01},
        {"action": "CAPTURE", "amount": 0},
        {"action": "CAPTURE", "amount": "1"},
        {"action": "STEAL"},
        {},
    ],
)
def test_what_makes_no_sense_of_a_hold_is_refused(till: Till, body: Data) -> None:
    order = held(till)

    assert authorize(till, order, **body).status_code == 400
    assert till.payments(order)[0]["authorization"] is None


def test_a_hold_that_nobody_captures_goes_back_in_a_week(till: Till) -> None:
    order = held(till)
    till.advance(7 * DAY + 5)

    assert till.payments(order)[0]["authorization"]["action"] == "VOID"


def test_net_banking_takes_the_money_at_once(till: Till) -> None:
    order = till.order(order_note="preauth_transaction")
    till.pay(order, how="pays", method="netbanking")

    assert till.payments(order)[0]["is_captured"] is True
    assert authorize(till, order, action="VOID").status_code == 400


def test_a_key_repeats_the_answer_and_takes_no_other_body(till: Till) -> None:
    order, key = held(till), str(uuid4())
    first, again = (authorize(till, order, key, action="CAPTURE", amount=470) for _ in range(2))
    other = authorize(till, order, key, action="CAPTURE", amount=300)

    assert first.json() == again.json()
    assert again.headers["x-idempotency-replayed"] == "true"
    assert "x-idempotency-replayed" not in first.headers
    assert (other.status_code, other.json()["type"]) == (422, "idempotency_error")
    till.advance(DAY + 5)
    assert authorize(till, order, key, action="CAPTURE", amount=470).status_code == 400


# Refunds


@pytest.mark.parametrize(
    ("course", "first", "later"),
    [
        ("succeed", "SUCCESS", "SUCCESS"),
        ("wait", "PENDING", "PENDING"),
        ("wait_then_succeed", "PENDING", "SUCCESS"),
        ("wait_then_fail", "PENDING", "FAILED"),
        ("wait_then_cancel", "PENDING", "CANCELLED"),
        ("arn_later", "SUCCESS", "SUCCESS"),
    ],
)
def test_a_refund_goes_its_way(till: Till, course: str, first: str, later: str) -> None:
    order = till.paid(refunds=course)
    made = till.refund(order).json()
    till.advance(3600)
    now = till.get(f"/orders/{order['order_id']}/refunds/{made['refund_id']}")

    assert (made["refund_status"], now["refund_status"]) == (first, later)
    assert (made["refund_arn"] is not None) is (course == "succeed")
    assert (now["refund_arn"] is not None) is (later == "SUCCESS")
    if later != "PENDING":
        told = till.sent(order, "REFUND_STATUS_WEBHOOK", 2 if course == "arn_later" else 1)
        assert told[-1].event["data"]["refund"]["refund_status"] == later
        assert type(told[-1].event["data"]["refund"]["cf_refund_id"]) is int


@pytest.mark.parametrize(("note", "status"), [("PENDING", "PENDING"), ("SUCCESS", "SUCCESS")])
def test_a_note_steers_a_refund(till: Till, note: str, status: str) -> None:
    order = till.paid(refunds="wait")

    assert till.refund(order, refund_note=note).json()["refund_status"] == status


def test_a_refund_is_made_once_under_its_id(till: Till) -> None:
    order, name = till.paid(), uuid4().hex
    first, again = (till.refund(order, refund_id=name) for _ in range(2))
    other = till.refund(order, 1.0, refund_id=name)

    assert first.json() == again.json()
    assert (other.status_code, other.json()["code"]) == (400, "refund_id_already_exists")
    assert len(till.get(f"/orders/{order['order_id']}/refunds")) == 1


def test_no_more_is_refunded_than_was_paid(till: Till) -> None:
    order = till.paid(refunds="wait_then_fail")
    assert till.refund(order, 2500.0).status_code == 200
    assert till.refund(order, 0.01).json()["code"] == "refund_amount_invalid"
    till.advance(3600)

    assert till.refund(order, 2500.0).status_code == 200  # the first one came back


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"refund_id": "a-b"}, "refund_id_invalid"),
        ({"refund_id": "a" * 41}, "refund_id_invalid"),
        ({"refund_id": None}, "refund_id_missing"),
        ({"refund_amount": 0}, "refund_amount_invalid"),
        ({"refund_amount": 1.005}, "refund_amount_invalid"),
        ({"refund_note": "ab"}, "refund_note_invalid"),
        ({"refund_speed": "INSTANT"}, "refund_speed_invalid"),
        ({"refund_splits": []}, "refund_splits_invalid"),
    ],
)
def test_a_refund_that_cashfree_does_not_take_is_refused(
    till: Till, changes: Data, code: str
) -> None:
    answer = till.refund(till.paid(), **changes)

    assert (answer.status_code, answer.json()["code"]) == (400, code)


def test_what_is_not_paid_is_not_refunded(till: Till) -> None:
    answer = till.refund(till.order())

    assert (answer.status_code, answer.json()["code"]) == (409, "refund_not_allowed")


@pytest.mark.parametrize("status", ["SUCCESS", "FAILED", "CANCELLED", "ONHOLD"])
def test_a_refund_that_waits_is_decided_by_hand(till: Till, status: str) -> None:
    order = till.paid(refunds="wait")
    name = till.refund(order).json()["refund_id"]
    path = f"/orders/{order['order_id']}/refunds/{name}/decide"

    assert till.control(path, status=status)["refund_status"] == status
    if status != "ONHOLD":
        assert "error" in till.control(path, status="SUCCESS")


# Disputes and settlements


def test_a_dispute_is_opened_and_decided(till: Till) -> None:
    order = till.paid()
    made = till.control(f"/orders/{order['order_id']}/dispute", type="CHARGEBACK")
    path = f"/disputes/{made['dispute_id']}/decide"
    assert till.control(path, outcome="under_review")["dispute_status"] == "CHARGEBACK_UNDER_REVIEW"
    assert till.control(path, outcome="won")["dispute_status"] == "CHARGEBACK_MERCHANT_WON"

    for kind in ("DISPUTE_CREATED", "DISPUTE_UPDATED", "DISPUTE_CLOSED"):
        (told,) = till.sent(order, kind)
        assert told.event["data"]["dispute"]["dispute_id"] == made["dispute_id"]
    assert "error" in till.control(path, outcome="lost")
    assert till.get(f"/disputes/{made['dispute_id']}")["resolved_at"] < "9999"


def test_an_answer_tells_whose_dispute_it_is_and_its_times_without_a_zone(till: Till) -> None:
    """https://www.cashfree.com/docs/api-reference/payments/previous/v2023-08-01/dispute/disputes-for-payment"""
    order = till.paid()
    till.paid()
    made = till.control(f"/orders/{order['order_id']}/dispute", type="CHARGEBACK")
    (listed,) = till.get(f"/orders/{order['order_id']}/disputes")

    assert listed == till.get(f"/disputes/{made['dispute_id']}")
    assert listed["order_details"]["order_id"] == order["order_id"]
    assert listed["resolved_at"] == "9999-09-09T00:00:00"
    assert f"{listed['created_at']}+05:30" == made["created_at"]


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("/orders/nobody/dispute", {}),
        ("/orders/{id}/dispute", {"type": "DUEL"}),
        ("/disputes/1/decide", {"outcome": "won"}),
        ("/orders/nobody/pay", {}),
        ("/orders/{id}/pay", {"how": "prays"}),
        ("/orders/{id}/refunds/x/decide", {"status": "SUCCESS"}),
    ],
)
def test_a_control_call_that_makes_no_sense_does_nothing(till: Till, path: str, told: Data) -> None:
    order = till.order()

    assert "error" in till.control(path.format(id=order["order_id"]), **told)
    assert till.payments(order) == []


def recon(till: Till, limit: int = 100, cursor: str | None = None, **filters: Any) -> Data:
    body = {"pagination": {"limit": limit, "cursor": cursor}, "filters": filters}
    answer = till.call("POST", "/settlement/recon", body)
    assert answer.status_code == 200, answer.text
    found: Data = answer.json()
    return found


def test_a_settlement_is_the_sum_of_its_lines(till: Till) -> None:
    till.advance(3600)  # whatever other tests have begun has happened
    while till.control("/settle")["settlement"]:
        continue  # what they left
    first, second = till.paid(), till.paid(method="netbanking")
    till.refund(first, 1000.01)
    lost = till.control(f"/orders/{second['order_id']}/dispute", type="CHARGEBACK")
    settlement = till.control("/settle")["settlement"]
    items = recon(till, cf_settlement_ids=[settlement["id"]])["data"]

    events = [one["event_details"] for one in items]
    signs = {"CREDIT": 1, "DEBIT": -1}
    nets = [
        Decimal(str(one["event_settlement_amount"])) * signs[one["sale_type"]] for one in events
    ]
    assert sum(nets) * 100 == settlement["amount"]
    assert [one["event_type"] for one in events] == ["PAYMENT", "PAYMENT", "REFUND", "CHARGEBACK"]
    assert (events[0]["event_service_charge"], events[0]["event_service_tax"]) == (48.75, 8.78)
    assert events[2]["event_amount"] == 1000.01
    (told,) = till.receiver.wait(settlement["utr"], "SETTLEMENT_SUCCESS")
    assert told.event["data"]["settlement"]["settlement_id"] == int(settlement["id"])
    assert till.control("/settle")["settlement"] is None
    till.control(f"/disputes/{lost['dispute_id']}/decide", outcome="won")
    back = till.control("/settle")["settlement"]
    (line,) = recon(till, settlement_utrs=[back["utr"]])["data"]
    assert line["event_details"]["event_type"] == "CHARGEBACK_REVERSAL"
    assert line["event_details"]["sale_type"] == "CREDIT"


def test_a_report_comes_page_by_page(till: Till) -> None:
    for _ in range(3):
        till.paid()
    settlement = till.control("/settle")["settlement"]
    cursor, seen = None, []
    for _ in range(3):
        page = recon(till, 1, cursor, cf_settlement_ids=[settlement["id"]])
        cursor = page["cursor"]
        seen += [one["event_details"]["event_id"] for one in page["data"]]

    assert cursor is None or len(seen) == 3
    assert len(set(seen)) == 3


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"pagination": {"limit": 10}},
        {"pagination": {"limit": 10}, "filters": {}},
        {"pagination": {"limit": 10}, "filters": {"start_date": "2026-01-01"}},
        {"pagination": {"limit": 0}, "filters": {"cf_settlement_ids": []}},
        {"pagination": {"limit": 1001}, "filters": {"cf_settlement_ids": []}},
        {"pagination": {"cursor": "x"}, "filters": {"cf_settlement_ids": []}},
    ],
)
def test_a_report_that_cashfree_does_not_write_is_refused(till: Till, body: Data) -> None:
    assert till.call("POST", "/settlement/recon", body).status_code == 400


# Webhooks


def test_a_webhook_is_signed_with_the_oldest_secret(till: Till) -> None:
    order = till.paid()
    (one,) = till.sent(order, "PAYMENT_SUCCESS_WEBHOOK")

    stamp = one.headers["x-webhook-timestamp"]
    message = stamp.encode() + one.body
    digest = hmac.new(OLD.encode(), message, hashlib.sha256).digest()
    assert one.headers["x-webhook-signature"] == base64.b64encode(digest).decode()
    assert len(stamp) == 13
    assert one.headers["x-webhook-attempt"] == "1"
    assert one.headers["x-webhook-version"] == "2025-01-01"
    assert len(one.headers["x-idempotency-key"]) == 64
    assert b'"order_amount":2500.00' in one.body
    assert "is_captured" not in one.event["data"]["payment"]


def test_a_refused_webhook_comes_three_times_more_and_then_no_more(till: Till) -> None:
    order = till.order()
    till.receiver.refusals[:] = [(order["order_id"], 500)] * 5
    till.pay(order, how="pays")
    till.sent(order, "PAYMENT_SUCCESS_WEBHOOK", 1)
    for n, at in ((2, 125), (3, 125 + 605), (4, 125 + 605 + 1805)):
        wait_for(lambda n=n: _tries(till, order) == n - 1 or None, "the try to be written down")  # type: ignore[misc]  # bound now
        till.advance(at - 20)
        till.advance(at)
        till.sent(order, "PAYMENT_SUCCESS_WEBHOOK", n)
    wait_for(lambda: _state(till, order) == "given_up" or None, "the end")

    came = till.receiver.about(order["order_id"], "PAYMENT_SUCCESS_WEBHOOK")
    assert [one.headers["x-webhook-attempt"] for one in came] == ["1", "2", "3", "4"]
    assert len({one.headers["x-idempotency-key"] for one in came}) == 1
    assert len({one.headers["x-webhook-timestamp"] for one in came}) == 4


def _log(till: Till, order: Data) -> Data:
    (one,) = till.receiver.about(order["order_id"], "PAYMENT_SUCCESS_WEBHOOK")[:1]
    event = one.headers["x-idempotency-key"]
    log: Data = till.server.control(f"/deliveries?event={event}", method="GET")["deliveries"][0]
    return log


def _tries(till: Till, order: Data) -> int:
    return len(_log(till, order)["attempts"])


def _state(till: Till, order: Data) -> str:
    return str(_log(till, order)["state"])


def test_a_wrong_amount_is_signed_like_a_right_one(till: Till) -> None:
    fault = {"gateway": "cashfree", "operation": "webhook:*", "kind": "wrong_amount", "n": 5}
    till.server.control("/faults", fault)
    order = till.paid()

    (one,) = till.sent(order, "PAYMENT_SUCCESS_WEBHOOK")
    assert b'"payment_amount":2500.05' in one.body


# The page


def test_a_page_takes_a_payer_to_the_merchant_and_back(till: Till) -> None:
    order = till.order()
    address = till.page(order)
    shown = till.server.http.get(address, timeout=PATIENCE)
    answer = till.submit(address, method="upi", vpa="testsuccess@gocash")

    assert "₹2,500.00" in shown.text
    assert "script-src" not in shown.headers["content-security-policy"]
    assert "<script" not in shown.text
    assert answer.status_code == 303
    assert answer.headers["location"] == f"http://shop.example/ok?order={order['order_id']}"
    assert till.status(order) == "PAID"
    again = till.server.http.get(address, timeout=PATIENCE)
    assert "already paid" in again.text


def test_a_payer_may_try_again_on_the_same_page(till: Till) -> None:
    order = till.order()
    address = till.page(order)
    card = {"method": "card", "card_expiry": "12/34", "card_cvv": "123"}
    first = till.submit(address, card_number="4000 0000 0000 9995", **card)
    second = till.submit(address, card_number="4706 1312 1121 2123", **card)

    assert first.status_code == 402
    assert "not enough money" in first.text
    assert second.status_code == 303
    assert [one["payment_status"] for one in till.payments(order)] == ["SUCCESS", "FAILED"]


def test_a_form_sent_twice_is_one_try(till: Till) -> None:
    order = till.order()
    address = till.page(order)
    form = {"tried": "0", "method": "upi", "vpa": "testfailure@gocash"}
    answers = [till.server.http.post(address, data=form, timeout=PATIENCE) for _ in range(2)]

    assert [one.status_code for one in answers] == [402, 402]
    assert len(till.payments(order)) == 1


@pytest.mark.parametrize(
    ("form", "said"),
    [
        ({"method": "upi", "vpa": "nobody"}, "UPI id"),
        ({"method": "card", "card_number": "1"}, "number of the card"),
        ({"method": "card", "card_number": "4706131211212123", "card_expiry": "01/20"}, "to come"),
        ({"method": "barter"}, "Choose how to pay"),
        ({}, "Choose how to pay"),
    ],
)
def test_a_mistake_is_shown_and_is_no_try(till: Till, form: dict[str, str], said: str) -> None:
    order = till.order()
    answer = till.submit(till.page(order), **form)

    assert answer.status_code == 422
    assert said in answer.text
    assert till.payments(order) == []


def test_the_page_offers_what_the_order_says(till: Till) -> None:
    order = till.order(order_meta={"return_url": RETURN_URL, "payment_methods": "upi"})
    shown = till.server.http.get(till.page(order), timeout=PATIENCE).text

    assert 'value="upi"' in shown
    assert 'value="card"' not in shown


@pytest.mark.parametrize(
    ("choice", "status", "order_status"),
    [
        ("success", 303, "PAID"),
        ("failure", 402, "ACTIVE"),
        ("pending", 303, "ACTIVE"),
        ("late", 402, "ACTIVE"),
        ("twice", 303, "PAID"),
    ],
)
def test_the_test_bank_does_what_it_is_told(
    till: Till, choice: str, status: int, order_status: str
) -> None:
    order = till.order()
    address = till.page(order)
    away = till.submit(address, method="netbanking")
    assert away.headers["location"].endswith("/bank")
    answer = till.submit(f"{address}/bank", choice=choice)

    assert (answer.status_code, till.status(order)) == (status, order_status)


def test_a_payer_may_leave(till: Till) -> None:
    order = till.order()
    answer = till.submit(till.page(order), leave="1")

    assert answer.status_code == 303
    assert till.payments(order)[0]["payment_status"] == "NOT_ATTEMPTED"


def test_a_page_that_is_over_says_so(till: Till) -> None:
    order = till.order()
    address = till.page(order)
    terminate(till, order)

    assert till.server.http.get(address, timeout=PATIENCE).status_code == 410
    form = {"tried": "0", "method": "wallet"}
    assert till.server.http.post(address, data=form, timeout=PATIENCE).status_code == 410
    nobody = {"payment_session_id": "session_x"}
    enter = f"{till.server.url}/cashfree/pg/view/sessions/checkout"
    assert till.server.http.post(enter, data=nobody, timeout=PATIENCE).status_code == 404


def test_people_see_the_orders(till: Till) -> None:
    order = till.order()

    url = f"{till.server.url}/cashfree/pg/view/orders"
    assert order["order_id"] in till.server.http.get(url, timeout=PATIENCE).text
    assert "Cashfree" in till.server.http.get(till.server.url, timeout=PATIENCE).text


# Restart


def test_everything_survives_a_kill(tmp_path_factory: pytest.TempPathFactory) -> None:
    server = StandingServer(tmp_path_factory.mktemp("killed"), OPTIONS)
    try:
        till = Till(server, Receiver())
        order = till.order()
        till.pay(order, how="pending_then_paid")
        server.kill_and_start()
        assert till.payments(order)[0]["payment_status"] == "PENDING"
        till.advance(3600)
        assert till.status(order) == "PAID"
    finally:
        server.stop()
