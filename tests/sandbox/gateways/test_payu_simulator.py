"""PayU's simulator as a merchant's server and a payer's browser meet it, over HTTP."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from email.utils import formatdate
from hashlib import sha512
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl
from uuid import uuid4

import pytest
import requests
from gateway_bench import PATIENCE, Receiver, Server

KEY, SALT = "payu_key_for_the_tests", "payu-salt-for-the-tests"
CHARGEBACK_KEY = "payu-chargeback-key-for-the-tests"
CARD = "5123456789012346"
Form = dict[str, str]


def digest(*parts: str) -> str:
    return sha512("|".join(parts).encode()).hexdigest()


def answers_hash(fields: Form) -> str:
    names = ("udf5", "udf4", "udf3", "udf2", "udf1", "email", "firstname", "productinfo")
    said = [fields[name] for name in (*names, "amount", "txnid", "key")]
    return digest(SALT, fields["status"], "", "", "", "", "", *said)


@dataclass
class Payu:
    server: Server
    receiver: Receiver

    @property
    def base(self) -> str:
        return f"{self.server.url}/payu"

    def form(self, **changes: str) -> Form:
        fields = {
            "key": KEY,
            "txnid": uuid4().hex[:25],
            "amount": "2500.00",
            "productinfo": "250 credits",
            "firstname": "Asha",
            "email": "asha@example.com",
            "phone": "9876543210",
            "surl": "http://shop.example/ok",
            "furl": "http://shop.example/no",
            "udf1": "ours",
        } | changes
        names = ("key", "txnid", "amount", "productinfo", "firstname", "email", "udf1")
        signed = digest(*(fields[name] for name in names), *[""] * 4, *[""] * 5, SALT)
        return {"hash": signed, **fields}

    def post(self, path: str, form: Form) -> requests.Response:
        """Send a form as a browser does, and stop at the answer."""
        return self.server.http.request(
            "POST", self.base + path, data=form, allow_redirects=False, timeout=PATIENCE
        )

    def follow(self, answer: requests.Response) -> requests.Response:
        assert answer.status_code == 303, answer.text
        return self.server.http.request("GET", answer.headers["location"], timeout=PATIENCE)

    def control(self, path: str, order: dict[str, Any] | None = None) -> dict[str, Any]:
        return self.server.control(f"/payu{path}", order or {})

    def paid(self, amount: str = "2500.00", **how: Any) -> dict[str, Any]:
        answer = self.control("/pay", {"form": self.form(amount=amount), **how})
        transaction: dict[str, Any] = answer["transaction"]
        return transaction

    def command(self, command: str, first: str = "", **others: str) -> dict[str, Any]:
        form = {"key": KEY, "command": command, "var1": first, **others}
        form.setdefault("hash", digest(KEY, command, first, SALT))
        answer = self.post("/merchant/postservice.php?form=2", form)
        assert answer.status_code == 200
        said: dict[str, Any] = answer.json()
        return said

    def state(self, txnid: str) -> tuple[str, str]:
        found = self.command("verify_payment", txnid)["transaction_details"][txnid]
        return found["status"], found.get("unmappedstatus", "")

    def refund(self, transaction: dict[str, Any], amount: str, token: str = "") -> dict[str, Any]:
        token = token or uuid4().hex[:23]
        return self.command(
            "cancel_refund_transaction", transaction["mihpayid"], var2=token, var3=amount
        )

    def report(self, day: str, **query: Any) -> requests.Response:
        date = formatdate(usegmt=True)
        signature = digest("", date, SALT)
        signed = (
            f'hmac username="{KEY}", algorithm="sha512", headers="date", signature="{signature}"'
        )
        return self.server.http.request(
            "GET",
            f"{self.base}/settlement/range",
            params={"dateFrom": day, **query},
            headers={"Date": date, "Authorization": signed},
            timeout=PATIENCE,
        )

    def on_a_new_day(self, number: int) -> None:
        """Go to a day to come on which nothing of other tests is left to be settled."""
        self.server.move_clock((number - 2) * 86400)
        self.server.move_clock((number - 1) * 86400)  # what waited has happened
        self.control("/settle")
        self.server.move_clock(number * 86400)

    def told(self, txnid: str, n: int = 1) -> list[Form]:
        """Wait for n webhooks about a payment and any more on their way, and read their forms."""
        return [
            json.loads(one.body)
            if one.headers["content-type"] == "application/json"
            else dict(parse_qsl(one.body.decode(), keep_blank_values=True))
            for one in self.receiver.every(self.server, txnid, n)
        ]


@pytest.fixture(scope="module")
def options(receiver: Receiver) -> tuple[str, ...]:
    hook = ("--webhook", f"payu={receiver.url}")
    return ("--key", f"payu={KEY}:{CHARGEBACK_KEY}", "--secret", f"payu={SALT}", *hook)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory, options: tuple[str, ...]) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("payu"), options=options)
    yield server
    server.stop()


@pytest.fixture
def payu(running: Server, receiver: Receiver) -> Iterator[Payu]:
    yield Payu(running, receiver)
    running.control("/faults", method="DELETE")
    running.control("/deliveries/release", {})
    running.move_clock(0)
    receiver.refusals.clear()


def hidden(page: requests.Response) -> Form:
    """Read a page's hidden fields, as a browser does."""
    found = re.findall(r'<input type="hidden" name="([\w-]+)" value="([^"]*)"', page.text)
    return {name: unescape(value) for name, value in found}


# Coming to the page


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"hash": "0" * 128}, "incorrectly calculated hash"),
        ({"amount": "1.00", "hash": None}, "incorrectly calculated hash"),
        ({"key": "another"}, "Invalid merchant key"),
        ({"txnid": "x" * 26}, "Too long: txnid"),
        ({"productinfo": "x" * 101}, "Too long: productinfo"),
        ({"amount": "0.00"}, "Invalid amount"),
        ({"amount": "1.001"}, "Invalid amount"),
        ({"amount": "-5"}, "Invalid amount"),
        ({"firstname": ""}, "missing: firstname"),
        ({"phone": ""}, "missing: phone"),
        ({"surl": "javascript:alert(1)"}, "Bad URL"),
    ],
)
def test_a_form_that_is_not_right_opens_nothing(
    payu: Payu, changes: dict[str, str | None], said: str
) -> None:
    form = payu.form()
    if "hash" in changes:
        form |= {name: value for name, value in changes.items() if value is not None}
    else:
        form = payu.form(**changes)  # type: ignore[arg-type]  # none of these is None
    answer = payu.post("/_payment", form)

    assert answer.status_code == 400
    assert said in answer.text
    assert payu.state(form["txnid"][:25])[0] == "Not Found"


def test_a_payer_pays_by_card_through_every_page(payu: Payu) -> None:
    form = payu.form(productinfo="250 <credits> & more")
    page = payu.follow(payu.post("/_payment", form))
    assert "250 &lt;credits&gt; &amp; more" in page.text
    assert "₹2,500.00" in page.text

    chosen = {**hidden(page), "method": "card", "card": CARD, "action": "pay"}
    bank = payu.follow(payu.post("/_payment_options", chosen))
    assert "One-time password" in bank.text
    assert payu.state(form["txnid"]) == ("pending", "in progress")

    result = payu.follow(payu.post("/_bank", {**hidden(bank), "otp": "123456"}))
    fields = hidden(result)
    assert f'action="{form["surl"]}"' in result.text
    assert (fields["status"], fields["unmappedstatus"]) == ("success", "captured")
    assert fields["hash"] == answers_hash(fields)
    assert {fields[name] for name in ("txnid", "udf1", "amount")} == {
        *(form["txnid"], "ours", "2500.00")
    }
    assert payu.state(form["txnid"]) == ("success", "captured")


@pytest.mark.parametrize(
    ("chosen", "state", "back"),
    [
        ({"method": "upi", "vpa": "success@payu"}, ("success", "captured"), "surl"),
        ({"method": "upi", "vpa": "failure@payu"}, ("failure", "failed"), "furl"),
        ({"method": "upi", "vpa": "pending@payu"}, ("pending", "pending"), "surl"),
        ({"method": "bank", "bank": "TESTPGNB"}, ("success", "captured"), "surl"),
        ({"method": "bank", "bank": "FAILPGNB"}, ("failure", "failed"), "furl"),
        ({"action": "cancel"}, ("failure", "userCancelled"), "furl"),
    ],
)
def test_a_payer_may_choose(payu: Payu, chosen: Form, state: tuple[str, str], back: str) -> None:
    form = payu.form()
    page = payu.follow(payu.post("/_payment", form))
    result = payu.follow(payu.post("/_payment_options", {**hidden(page), **chosen}))

    assert payu.state(form["txnid"]) == state
    assert f'action="{form[back]}"' in result.text
    assert hidden(result)["hash"] == answers_hash(hidden(result))


@pytest.mark.parametrize(
    "chosen", [{}, {"method": "card"}, {"method": "upi", "vpa": "x"}, {"method": "bank"}]
)
def test_a_choice_that_is_none_is_asked_for_again(payu: Payu, chosen: Form) -> None:
    form = payu.form()
    page = payu.follow(payu.post("/_payment", form))
    answer = payu.post("/_payment_options", {**hidden(page), **chosen})

    assert answer.status_code == 422
    assert 'role="alert"' in answer.text
    assert payu.state(form["txnid"]) == ("pending", "initiated")


def test_a_wrong_password_fails_the_payment(payu: Payu) -> None:
    form = payu.form()
    page = payu.follow(payu.post("/_payment", form))
    chosen = {**hidden(page), "method": "card", "card": CARD}
    bank = payu.follow(payu.post("/_payment_options", chosen))
    result = payu.follow(payu.post("/_bank", {**hidden(bank), "otp": "000000"}))

    assert hidden(result)["error"] == "E317"
    assert payu.state(form["txnid"]) == ("failure", "failed")


def test_only_the_enforced_method_is_offered(payu: Payu) -> None:
    page = payu.follow(payu.post("/_payment", payu.form(enforce_paymethod="upi")))

    assert 'value="upi" checked' in page.text
    assert 'value="card"' not in page.text


def test_a_form_sent_twice_is_one_payment(payu: Payu) -> None:
    form = payu.form()
    first, second = (payu.post("/_payment", form).headers["location"] for _ in range(2))

    assert first == second


def test_a_txnid_is_good_for_one_payment(payu: Payu) -> None:
    form = payu.form()
    payu.control("/pay", {"form": form})
    again = payu.post("/_payment", form)
    other = payu.post("/_payment", payu.form(txnid=form["txnid"], amount="1.00"))

    assert (again.status_code, other.status_code) == (400, 400)
    assert "Duplicate transaction" in again.text
    assert len(payu.told(form["txnid"])) == 1


def test_a_pages_form_sent_twice_pays_once(payu: Payu) -> None:
    form = payu.form()
    page = payu.follow(payu.post("/_payment", form))
    chosen = {**hidden(page), "method": "upi", "vpa": "success@payu"}
    for _ in range(2):
        payu.post("/_payment_options", chosen)

    assert len(payu.told(form["txnid"])) == 1


def test_pages_run_no_script_and_load_nothing_foreign(payu: Payu) -> None:
    page = payu.follow(payu.post("/_payment", payu.form()))

    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert "<script" not in page.text
    assert 'name="viewport"' in page.text
    assert all(label in page.text for label in ('for="vpa"', 'for="card"', 'for="cvv"'))


def test_a_page_of_nobody_is_not_there(payu: Payu) -> None:
    for path in ("/_payment_options", "/_bank", "/_response"):
        answer = payu.server.http.request("GET", f"{payu.base}{path}?mihpayid=1", timeout=PATIENCE)
        assert answer.status_code == 404


def test_people_can_look_behind_the_scenes(payu: Payu) -> None:
    transaction = payu.paid()
    page = payu.server.http.request("GET", f"{payu.base}/transactions", timeout=PATIENCE)
    index = payu.server.http.request("GET", payu.server.url, timeout=PATIENCE)

    assert transaction["id"] in page.text
    assert "PayU India" in index.text


# Time


def test_a_payer_who_does_nothing_has_left(payu: Payu) -> None:
    on_page, at_bank = payu.form(), payu.form()
    payu.control("/pay", {"form": on_page, "leave": "page"})
    payu.control("/pay", {"form": at_bank, "leave": "bank"})
    before = [payu.state(one["txnid"]) for one in (on_page, at_bank)]
    payu.server.move_clock(901)

    assert before == [("pending", "initiated"), ("pending", "in progress")]
    assert payu.state(on_page["txnid"]) == ("failure", "bounced")
    assert payu.state(at_bank["txnid"]) == ("failure", "dropped")
    assert [one["error"] for one in payu.told(on_page["txnid"])] == ["E408"]


@pytest.mark.parametrize(
    ("address", "state"),
    [("pending@payu", ("success", "captured")), ("pendingfailure@payu", ("failure", "failed"))],
)
def test_a_bank_decides_later(payu: Payu, address: str, state: tuple[str, str]) -> None:
    transaction = payu.paid(vpa=address)
    payu.server.move_clock(601)

    assert transaction["status"] == "pending"
    assert payu.state(transaction["id"]) == state
    assert [one["status"] for one in payu.told(transaction["id"])] == [state[0]]


def test_a_bank_that_did_not_answer_had_paid(payu: Payu) -> None:
    transaction = payu.paid(card="4000000000009987")
    payu.server.move_clock(3601)

    assert (transaction["status"], transaction["unmappedstatus"]) == ("failure", "dropped")
    assert payu.state(transaction["id"]) == ("success", "captured")
    told = payu.told(transaction["id"], 2)
    assert {one["status"] for one in told} == {"failure", "success"}


@pytest.mark.parametrize("outcome", ["success", "failure"])
def test_a_person_decides_for_the_bank(payu: Payu, outcome: str) -> None:
    transaction = payu.paid(vpa="pending@payu")
    payu.control(f"/transactions/{transaction['id']}/decide", {"outcome": outcome})
    payu.server.move_clock(7200)

    assert payu.state(transaction["id"])[0] == outcome
    assert len(payu.told(transaction["id"])) == 1


# Webhooks


def test_a_webhook_is_a_signed_form_and_comes_until_it_is_accepted(payu: Payu) -> None:
    form = payu.form(productinfo="ख्याति & <b>")
    payu.receiver.refusals.append((form["txnid"], 500))
    payu.control("/pay", {"form": form})
    told = payu.told(form["txnid"], 2)

    assert told[0] == told[1]
    assert told[0]["productinfo"] == "ख्याति & <b>"
    assert told[0]["hash"] == answers_hash(told[0])


@pytest.mark.parametrize(
    ("kind", "genuine", "amount"),
    [("wrong_signature", False, "2500.00"), ("wrong_amount", True, "2500.05")],
)
def test_a_webhook_can_be_spoiled(payu: Payu, kind: str, *, genuine: bool, amount: str) -> None:
    fault = {"gateway": "payu", "operation": "webhook:payment.*", "kind": kind, "n": 5}
    payu.server.control("/faults", fault)
    (told,) = payu.told(payu.paid()["id"])

    assert (told["hash"] == answers_hash(told)) is genuine
    assert told["amount"] == amount


# Commands


def test_a_command_needs_its_credentials(payu: Payu) -> None:
    transaction = payu.paid()["id"]

    refused = {
        payu.command("verify_payment", transaction, hash="0" * 128)["msg"],
        payu.command("verify_payment", transaction, key="another")["msg"],
        payu.command("make_rich", transaction)["msg"],
        payu.command("verify_payment")["msg"],
    }
    assert refused == {
        *("Invalid Hash.", "Invalid Merchant Key"),
        *("Invalid Command", "Parameter missing"),
    }


def test_several_payments_are_verified_at_once(payu: Payu) -> None:
    one, two = payu.paid("1.00"), payu.paid("2.00")
    answer = payu.command("verify_payment", f"{one['id']}|nothing|{two['id']}")

    details = answer["transaction_details"]
    assert (answer["status"], answer["msg"][:8]) == (1, "2 out of")
    assert [details[each["id"]]["amt"] for each in (one, two)] == ["1.00", "2.00"]
    assert details["nothing"]["status"] == "Not Found"


def test_a_payment_is_checked_by_payus_id(payu: Payu) -> None:
    transaction = payu.paid()
    found = payu.command("check_payment", transaction["mihpayid"])["transaction_details"]

    assert (found["txnid"], found["status"]) == (transaction["id"], "success")
    assert payu.command("check_payment", "1")["status"] == 0


# Refunds


@pytest.mark.parametrize(
    ("amount", "token", "code"),
    [
        ("2500.01", "t", 105),
        ("0.00", "t", 105),
        ("-1.00", "t", 105),
        ("x", "t", 105),
        ("", "t", 105),
        ("1.00", "t" * 24, 255),
    ],
)
def test_a_refund_that_is_not_right_is_refused(
    payu: Payu, amount: str, token: str, code: int
) -> None:
    transaction = payu.paid()
    answer = payu.refund(transaction, amount, token)

    assert (answer["status"], answer["error_code"]) == (0, code)
    assert "Refund Details" not in payu.command("getAllRefundsFromTxnIds", transaction["id"])


def test_a_refund_needs_a_token_and_a_captured_payment(payu: Payu) -> None:
    waiting = payu.paid(vpa="pending@payu")
    no_token = payu.command("cancel_refund_transaction", waiting["mihpayid"], var3="1.00")

    assert no_token["error_code"] == 124
    assert payu.refund(waiting, "1.00")["error_code"] == 111
    assert payu.refund({"mihpayid": "1"}, "1.00")["error_code"] == 116


def test_the_dashboard_refunds_under_a_token_of_its_own(payu: Payu) -> None:
    transaction = payu.paid()
    made = payu.control(f"/transactions/{transaction['id']}/refund", {"amount": 1000})
    details = payu.command("getAllRefundsFromTxnIds", transaction["id"])["Refund Details"]
    (listed,) = details[transaction["mihpayid"]]

    assert (listed["Amount"], listed["Status"]) == ("10.00", "success")
    assert (listed["RequestID"], listed["RefundToken"]) == (made["request_id"], made["id"])
    assert len(listed["RefundToken"]) != 22  # as long as none of the service's
    for amount in (10**9, -1):
        refused = payu.control(f"/transactions/{transaction['id']}/refund", {"amount": amount})
        assert "error" in refused
    assert "error" in payu.control(f"/transactions/{payu.paid()['id']}/refund", {"amount": 0})
    assert "error" in payu.control("/transactions/nobodys/refund")


def test_a_token_is_taken_once(payu: Payu) -> None:
    transaction, token = payu.paid(), uuid4().hex[:23]
    answers = [payu.refund(transaction, amount, token) for amount in ("10.00", "10.00", "20.00")]

    assert [one["error_code"] for one in answers] == [100, 227, 106]
    listed = payu.command("getAllRefundsFromTxnIds", transaction["id"])["Refund Details"]
    assert [one["RefundToken"] for one in listed[transaction["mihpayid"]]] == [token]


def test_equal_refunds_need_five_minutes_between_them(payu: Payu) -> None:
    transaction = payu.paid()
    first = [payu.refund(transaction, "10.00")["error_code"] for _ in range(2)]
    payu.server.move_clock(301)

    assert first == [100, 214]
    assert payu.refund(transaction, "10.00")["error_code"] == 100


def test_no_more_goes_back_than_was_paid(payu: Payu) -> None:
    transaction = payu.paid()
    codes = [
        payu.refund(transaction, amount)["error_code"]
        for amount in ("1500.00", "1000.01", "1000.00", "0.01")
    ]

    assert codes == [100, 105, 100, 105]


@pytest.mark.parametrize(
    ("way", "status"), [("wait_then_succeed", "success"), ("wait_then_fail", "failure")]
)
def test_a_refund_may_wait(payu: Payu, way: str, status: str) -> None:
    transaction = payu.paid(refunds=way)
    answer = payu.refund(transaction, "10.00")
    payu.server.move_clock(301)

    assert answer["error_code"] == 102
    (told,) = [one for one in payu.told(transaction["id"], 2) if "token" in one]
    assert (told["action"], told["status"], told["amt"]) == ("refund", status, "10.00")
    assert "hash" not in told
    by_request = payu.command("check_action_status", answer["request_id"])
    by_payment = payu.command("check_action_status", transaction["mihpayid"], var2="payuid")
    for said, name in ((by_request, answer["request_id"]), (by_payment, transaction["mihpayid"])):
        found = said["transaction_details"][name][answer["request_id"]]
        assert (found["action"], found["status"]) == ("refund", status)
    # What failed is there to be refunded again.
    assert payu.refund(transaction, "2500.00")["error_code"] == (
        102 if status == "failure" else 105
    )


def test_a_reference_of_the_bank_may_come_later(payu: Payu) -> None:
    transaction = payu.paid(refunds="arn_later")
    payu.refund(transaction, "10.00")
    payu.server.move_clock(86401)

    told = [one for one in payu.told(transaction["id"], 3) if "token" in one]
    assert [one["status"] for one in told] == ["success", "success"]
    assert {one["bank_arn"] is None for one in told} == {True, False}


def test_a_person_decides_a_refund(payu: Payu) -> None:
    transaction = payu.paid(refunds="wait_then_succeed")
    answer = payu.refund(transaction, "10.00")
    payu.control(f"/refunds/{answer['request_id']}/decide", {"outcome": "failure"})

    listed = payu.command("getAllRefundsFromTxnIds", transaction["id"])["Refund Details"]
    assert [one["Status"] for one in listed[transaction["mihpayid"]]] == ["failure"]


# Chargebacks


@pytest.mark.parametrize(
    ("outcome", "status", "refund"),
    [("won", "Closed in Merchant favour", 100), ("lost", "Closed in Customer favour", 266)],
)
def test_a_chargeback_is_told_at_every_step(
    payu: Payu, outcome: str, status: str, refund: int
) -> None:
    transaction = payu.paid()
    dispute = payu.control(f"/transactions/{transaction['id']}/dispute", {"reason": "Fraud"})
    blocked = payu.refund(transaction, "10.00")
    for step in ("under_review", outcome):
        payu.control(f"/disputes/{dispute['id']}/decide", {"outcome": step})
    told = [one for one in payu.told(transaction["id"], 4) if "cb_id" in one]

    assert blocked["error_code"] == 266
    assert {one["cb_status"] for one in told} == {"ME Comm Sent", "Bank Comm Sent", status}
    assert {(one["event"], one["cb_amount"], one["txn_id"]) for one in told} == {
        ("dispute", "2500.00", transaction["id"])
    }
    assert payu.refund(transaction, "10.00")["error_code"] == refund


def test_chargebacks_are_listed_from_a_day_on(payu: Payu) -> None:
    payu.on_a_new_day(30)
    transaction = payu.paid()
    dispute = payu.control(f"/transactions/{transaction['id']}/dispute")

    def listed(**query: str) -> requests.Response:
        return payu.server.http.request(
            "GET",
            f"{payu.base}/api/v1/chargebacks",
            params={"merchant_id": "2", **query},
            headers={"X-Optimus-API-Key": CHARGEBACK_KEY},
            timeout=PATIENCE,
        )

    every = listed().json()
    (found,) = [one for one in every["data"] if one["id"] == dispute["id"]]
    assert found["attributes"]["transaction-details"]["transaction-id"] == transaction["id"]
    assert found["attributes"]["status"] == "ME Comm Sent"
    assert every["meta"]["pagination"]["total-pages"] == 1
    assert listed(from_date="01-01-2999").json()["data"] == []
    assert listed(to_date="01-01-2020").json()["data"] == []
    assert listed(from_date="2026-11-21").status_code == 422
    assert listed(merchant_id="3").status_code == 422
    bare = payu.server.http.request("GET", f"{payu.base}/api/v1/chargebacks", timeout=PATIENCE)
    assert bare.status_code == 401


# Settlements


def test_a_settlement_is_what_came_less_fees_and_what_went_back(payu: Payu) -> None:
    payu.on_a_new_day(10)
    card, upi, lost = payu.paid(), payu.paid(vpa="success@payu"), payu.paid("100.00")
    payu.refund(card, "1000.00")
    dispute = payu.control(f"/transactions/{lost['id']}/dispute")
    payu.control(f"/disputes/{dispute['id']}/decide", {"outcome": "lost"})
    settled = payu.control("/settle")
    day = f"{settled['id'][5:9]}-{settled['id'][9:11]}-{settled['id'][11:13]}"
    (found,) = payu.report(day).json()["result"]

    lines = {(one["action"], one["payuId"]): one for one in found["transaction"]}
    assert len(lines) == 5
    paid = lines["capture", card["mihpayid"]]
    assert (paid["merchantServiceFee"], paid["merchantServiceTax"], paid["merchantNetAmount"]) == (
        *("50.00000", "9.00000"),
        "2441.00",
    )
    assert lines["capture", upi["mihpayid"]]["merchantNetAmount"] == "2500.00"
    assert lines["refund", card["mihpayid"]]["merchantNetAmount"] == "-1000.00"
    assert lines["chargeback", lost["mihpayid"]]["merchantNetAmount"] == "-100.00"
    assert found["settlementAmount"] == "3938.64"
    assert payu.control("/settle") is None
    assert payu.report("2020-01-01").json()["result"] == []


def test_a_report_comes_in_pages(payu: Payu) -> None:
    payu.on_a_new_day(20)
    ids = {payu.paid()["mihpayid"] for _ in range(3)}
    settled = payu.control("/settle")
    day = f"{settled['id'][5:9]}-{settled['id'][9:11]}-{settled['id'][11:13]}"
    pages = [payu.report(day, page=page, pageSize=2).json()["result"] for page in (1, 2, 3)]

    assert [sum(len(one["transaction"]) for one in page) for page in pages] == [2, 1, 0]
    seen = {line["payuId"] for page in pages for one in page for line in one["transaction"]}
    assert seen == ids


def test_a_report_needs_a_signature_and_days(payu: Payu) -> None:
    bare = payu.server.http.request(
        "GET", f"{payu.base}/settlement/range?dateFrom=2026-11-21", timeout=PATIENCE
    )

    assert bare.status_code == 401
    assert payu.report("yesterday").status_code == 400


# Faults


@pytest.mark.parametrize(
    ("kind", "status"),
    [("error_500", 500), ("error_after_effect", 500), ("rate_limited", 429), ("nonsense", 200)],
)
def test_a_command_can_be_spoiled(payu: Payu, kind: str, status: int) -> None:
    transaction = payu.paid()
    fault = {"gateway": "payu", "operation": "cancel_refund_transaction", "kind": kind}
    payu.server.control("/faults", fault)
    hashed = digest(KEY, "cancel_refund_transaction", transaction["mihpayid"], SALT)
    form = {"key": KEY, "command": "cancel_refund_transaction", "var1": transaction["mihpayid"]}
    answer = payu.post(
        "/merchant/postservice.php",
        {**form, "var2": uuid4().hex[:23], "var3": "1.00", "hash": hashed},
    )

    assert answer.status_code == status
    listed = payu.command("getAllRefundsFromTxnIds", transaction["id"])
    assert ("Refund Details" in listed) == (kind in {"error_after_effect", "nonsense"})


def test_a_refund_may_land_late(payu: Payu) -> None:
    transaction = payu.paid()
    fault = {"gateway": "payu", "operation": "cancel_*", "kind": "late_effect", "seconds": 60}
    payu.server.control("/faults", fault)
    with pytest.raises(requests.ConnectionError):
        payu.refund(transaction, "10.00")
    before = payu.command("getAllRefundsFromTxnIds", transaction["id"])
    payu.server.move_clock(61)

    assert "Refund Details" not in before
    assert "Refund Details" in payu.command("getAllRefundsFromTxnIds", transaction["id"])


@pytest.mark.parametrize(
    ("path", "order"),
    [
        ("/pay", {}),
        ("/pay", {"form": {"txnid": "x"}}),
        ("/transactions/none/cancel", {}),
        ("/transactions/none/decide", {"outcome": "success"}),
        ("/transactions/none/dispute", {}),
        ("/refunds/none/decide", {"outcome": "success"}),
        ("/disputes/none/decide", {"outcome": "won"}),
    ],
)
def test_a_control_call_that_is_not_right_says_so(
    payu: Payu, path: str, order: dict[str, Any]
) -> None:
    assert "error" in payu.control(path, order)


def test_a_payer_cancels_without_the_page(payu: Payu) -> None:
    form = payu.form()
    payu.control("/pay", {"form": form, "leave": "page"})
    answer = payu.control(f"/transactions/{form['txnid']}/cancel")

    assert answer["return"]["fields"]["unmappedstatus"] == "userCancelled"
    assert "error" in payu.control(f"/transactions/{form['txnid']}/cancel")


def test_books_survive_a_kill(tmp_path: Path, options: tuple[str, ...], receiver: Receiver) -> None:
    payu = Payu(Server(tmp_path, options=options), receiver)
    transaction = payu.paid(vpa="pending@payu")
    payu.server.kill_and_start()
    payu.server.move_clock(601)
    state = payu.state(transaction["id"])
    payu.server.stop()

    assert state == ("success", "captured")
