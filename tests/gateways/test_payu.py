"""The adapter against answers of PayU's, also those that a simulator would not give."""

import json
from datetime import UTC, date, datetime
from decimal import Decimal
from hashlib import sha512
from typing import Any
from urllib.parse import parse_qs

import pytest
import requests
import responses

from app import config
from app.config import ConfigError
from app.errors import GatewayUnavailableError
from app.gateways import DeclineClass, Method, Outcome, Query, RefundOrder, Settled, Subject
from app.gateways.payu import Adapter, Settings, references
from app.gateways.payu.words import REFUND_CODES, Answer
from app.money import Money

KEY, SALT = "payu_test_key", "payu-test-salt-0001"
COMMANDS = "https://info.payu.in/merchant/postservice.php?form=2"
REPORT = "https://info.payu.in/settlement/range"
ATTEMPT = "6f1e9a3e-5a55-4a5a-9a55-000000000001"
REFUND = "0b7f3c52-9d1e-4c7a-8f00-00000000000a"
TXNID, TOKEN = references.txnid(ATTEMPT), references.token(REFUND)
NOW = datetime(2026, 11, 21, 10, 0, tzinfo=UTC)
TRANSACTION = {
    "mihpayid": "403993715521889530",
    "txnid": TXNID,
    "amt": "2500.00",
    "status": "success",
    "unmappedstatus": "captured",
    "mode": "CC",
    "error_code": "E000",
    "error_Message": "NO ERROR",
    "net_amount_debit": 2500,
    "udf1": ATTEMPT,
}
NO_REFUNDS = {"status": 1, "msg": "No Refunds Found for the transaction."}


@pytest.fixture
def adapter() -> Adapter:
    return Adapter(Settings(KEY, (SALT,)))


@pytest.fixture
def order() -> RefundOrder:
    return RefundOrder(REFUND, TXNID, Money(100000, "INR"), "cancellation")


def answering(**answers: Any) -> None:
    """Have PayU answer each command with a body, or in turn with those of a tuple."""
    turns = {name: iter(each) for name, each in answers.items() if isinstance(each, tuple)}

    def answer(request: requests.PreparedRequest) -> tuple[int, dict[str, str], str]:
        form = {name: values[0] for name, values in parse_qs(str(request.body)).items()}
        command = form["command"]
        text = "|".join([KEY, command, form["var1"], SALT])
        assert form["hash"] == sha512(text.encode()).hexdigest()
        body = next(turns[command]) if command in turns else answers[command]
        return 200, {}, json.dumps(body)

    responses.add_callback("POST", COMMANDS, answer)


def known(**changes: Any) -> dict[str, Any]:
    return {
        "status": 1,
        "msg": "1 out of 1",
        "transaction_details": {TXNID: {**TRANSACTION, **changes}},
    }


def nothing() -> dict[str, Any]:
    return {
        "status": 0,
        "msg": "0 out of 1 Transactions Fetched Successfully",
        "transaction_details": {TXNID: {"mihpayid": "Not Found", "status": "Not Found"}},
    }


def listed(status: str = "success", token: str = TOKEN) -> dict[str, Any]:
    refund = {"RequestID": "131278422", "RefundToken": token, "Amount": "1000.00", "Status": status}
    return {
        "status": 1,
        "msg": "Refunds fetched.",
        "Refund Details": {"403993715521889530": [refund]},
    }


def query(**details: Any) -> Query:
    return Query(ATTEMPT, NOW, **details)


# Looking up


@responses.activate
def test_a_payment_is_looked_up_by_its_txnid(adapter: Adapter) -> None:
    answering(verify_payment=known())
    found = adapter.find(query())

    assert found is not None
    assert (found.subject, found.outcome, found.method) == (
        Subject.PAYMENT,
        Outcome.PAID,
        Method.CARD,
    )
    assert found.payment_attempt_id == ATTEMPT
    assert found.gateway_session_id == found.gateway_payment_id == TXNID
    assert found.amount == found.captured_amount == Money(250000, "INR")
    assert (found.fee, found.failure_code) == (None, None)


@responses.activate
def test_a_failure_is_told_with_its_reason(adapter: Adapter) -> None:
    reason = "The account has insufficient funds."
    failure = {"status": "failure", "unmappedstatus": "failed", "error_code": "E706"}
    answering(verify_payment=known(**failure, error_Message=reason))
    found = adapter.find(query(is_over=True))

    assert found is not None
    assert (found.outcome, found.failure_code, found.failure_message) == (
        Outcome.FAILED,
        "E706",
        reason,
    )
    assert found.decline_class is DeclineClass.SOFT
    assert found.captured_amount is None


@pytest.mark.parametrize("is_over", [False, True])
@responses.activate
def test_a_payer_on_the_page_has_the_next_step_until_it_is_over(
    adapter: Adapter, is_over: bool
) -> None:
    answering(verify_payment=known(status="pending", unmappedstatus="initiated"))
    found = adapter.find(query(is_over=is_over))

    assert found is not None
    assert found.outcome is (Outcome.EXPIRED if is_over else Outcome.REQUIRES_ACTION)


@responses.activate
def test_a_payment_on_its_way_outlives_its_page(adapter: Adapter) -> None:
    answering(verify_payment=known(status="pending", unmappedstatus="in progress"))
    found = adapter.find(query(is_over=True))

    assert found is not None
    assert found.outcome is Outcome.PROCESSING


@responses.activate
def test_what_payu_has_not_found_is_nothing_until_its_page_is_over(adapter: Adapter) -> None:
    answering(verify_payment=nothing())

    found = adapter.find(query(is_over=True))
    assert adapter.find(query()) is None
    assert found is not None
    assert (found.outcome, found.payment_attempt_id) == (Outcome.EXPIRED, ATTEMPT)


@pytest.mark.parametrize(
    "body",
    [
        {"status": 0, "msg": "Invalid Hash."},
        {"status": 0, "msg": "Parameter missing", "transaction_details": []},
        {"status": 1, "transaction_details": {"another": TRANSACTION}},
        {"status": 1, "transaction_details": {TXNID: "No action status found"}},
        [],
        "error",
        None,
    ],
)
@responses.activate
def test_an_answer_without_the_payment_is_no_answer(
    adapter: Adapter, order: RefundOrder, body: Any
) -> None:
    answering(verify_payment=body, getAllRefundsFromTxnIds=body)

    for ask in (
        lambda: adapter.find(query()),
        lambda: adapter.refund(order),
        lambda: adapter.find_refund(REFUND, TXNID),
    ):
        with pytest.raises(GatewayUnavailableError):
            ask()


@pytest.mark.parametrize(
    "answer",
    [
        {"status": 500, "body": "Internal Server Error"},
        {"status": 429, "json": {"status": 0, "msg": "Too many Requests"}},
        {"status": 403, "body": "<html>forbidden</html>"},
        {"status": 400, "json": {"status": 0}},
        {"status": 404, "json": {}},
        {"status": 302, "headers": {"Location": "https://info.payu.in/maintenance"}},
        {"status": 200, "body": "<!doctype html><title>Bad gateway</title>"},
        {"status": 200, "body": ""},
        {"status": 200, "body": '{"status": 1, "transaction_deta'},
        {"body": requests.ConnectionError("gone")},
        {"body": requests.ReadTimeout("late")},
    ],
)
@responses.activate
def test_whatever_is_not_a_clear_answer_is_unavailable(
    adapter: Adapter, order: RefundOrder, answer: dict[str, Any]
) -> None:
    responses.post(COMMANDS, **answer)

    for ask in (
        lambda: adapter.find(query()),
        lambda: adapter.refund(order),
        lambda: adapter.find_refund(REFUND, TXNID),
    ):
        with pytest.raises(GatewayUnavailableError) as failure:
            ask()
        assert SALT not in str(failure.value)


# Refunds


@responses.activate
def test_a_refund_is_asked_for_under_its_token(adapter: Adapter, order: RefundOrder) -> None:
    accepted = {"status": 1, "msg": "Refund Request Queued", "request_id": "7", "error_code": 102}
    answering(verify_payment=known(), cancel_refund_transaction=accepted)
    found = adapter.refund(order)

    sent = parse_qs(str(responses.calls[1].request.body))
    assert (sent["var1"], sent["var2"], sent["var3"]) == (
        ["403993715521889530"],
        [TOKEN],
        ["1000.00"],
    )
    assert (found.subject, found.outcome) == (Subject.REFUND, Outcome.PENDING)
    assert (found.refund_id, found.gateway_refund_id) == (REFUND, "7")
    assert (found.gateway_payment_id, found.amount) == (TXNID, order.amount)


@pytest.mark.parametrize("code", sorted(REFUND_CODES))
@pytest.mark.parametrize("write", [int, str])
@responses.activate
def test_every_code_of_a_refunds_answer_has_its_meaning(
    adapter: Adapter, order: RefundOrder, code: str, write: Any
) -> None:
    answering(
        verify_payment=known(),
        cancel_refund_transaction={"status": 0, "msg": "said", "error_code": write(code)},
        getAllRefundsFromTxnIds=NO_REFUNDS,
    )
    meaning, said = REFUND_CODES[code]

    if meaning in {Answer.NOT_NOW, Answer.REPEATED}:
        with pytest.raises(GatewayUnavailableError):
            adapter.refund(order)
    else:
        found = adapter.refund(order)
        outcomes = {
            Answer.DONE: Outcome.SUCCEEDED,
            Answer.WAITS: Outcome.PENDING,
            Answer.REFUSED: Outcome.FAILED,
        }
        assert found.outcome is outcomes[meaning]
        assert (found.failure_code == code) == (meaning is Answer.REFUSED)
        assert (found.failure_message == said) == (meaning is Answer.REFUSED)


@pytest.mark.parametrize(
    "answer",
    [
        {"status": 0, "msg": "Invalid Hash."},
        {"status": 1, "msg": "?", "error_code": 777},
        {"status": 0, "error_code": None},
        {"status": 0, "error_code": "x" * 99},
        {},
    ],
)
@responses.activate
def test_an_unheard_of_code_of_a_refund_is_not_taken_for_a_no(
    adapter: Adapter, order: RefundOrder, answer: dict[str, Any]
) -> None:
    answering(verify_payment=known(), cancel_refund_transaction=answer)

    with pytest.raises(GatewayUnavailableError):
        adapter.refund(order)


@pytest.mark.parametrize("code", [105, 106, 109, 111, 227])
@responses.activate
def test_a_refund_asked_for_again_is_told_as_it_is(
    adapter: Adapter, order: RefundOrder, code: int
) -> None:
    """The first request took all that there was, and its answer was lost."""
    answering(
        verify_payment=known(),
        cancel_refund_transaction={"status": 0, "msg": "no", "error_code": code},
        getAllRefundsFromTxnIds=listed(),
    )
    found = adapter.refund(order)

    assert (found.outcome, found.refund_id) == (Outcome.SUCCEEDED, REFUND)
    assert found.gateway_refund_id == "131278422"


@responses.activate
def test_a_refund_of_a_payment_that_payu_does_not_know_has_failed(
    adapter: Adapter, order: RefundOrder
) -> None:
    answering(verify_payment=nothing())

    found = adapter.refund(order)
    assert (found.outcome, found.failure_code) == (Outcome.FAILED, "116")


@responses.activate
def test_a_refund_is_found_among_its_payments(adapter: Adapter) -> None:
    answering(getAllRefundsFromTxnIds=(listed(), listed(token="another"), NO_REFUNDS))

    found = adapter.find_refund(REFUND, TXNID)
    assert found is not None
    assert (found.outcome, found.refund_id, found.amount) == (
        Outcome.SUCCEEDED,
        REFUND,
        Money(100000, "INR"),
    )
    assert adapter.find_refund(REFUND, TXNID) is None
    assert adapter.find_refund(REFUND, TXNID) is None


@responses.activate
def test_of_several_refunds_under_a_token_the_one_that_went_through_counts(
    adapter: Adapter,
) -> None:
    both = listed("failure")
    both["Refund Details"]["2"] = listed("success")["Refund Details"]["403993715521889530"]
    answering(getAllRefundsFromTxnIds=both)

    found = adapter.find_refund(REFUND, TXNID)
    assert found is not None
    assert found.outcome is Outcome.SUCCEEDED


# Settlements


def line(**changes: Any) -> dict[str, Any]:
    return {
        "action": "capture",
        "payuId": "403993715521889530",
        "requestId": "131278418",
        "merchantTransactionId": TXNID,
        "transactionAmount": "2500.00",
        "merchantServiceFee": "50.00000",
        "merchantServiceTax": "9.00000",
        "merchantNetAmount": "2441.00",
        **changes,
    }


def settlement(*lines: dict[str, Any], amount: str = "2441.00", **changes: Any) -> dict[str, Any]:
    return {
        "settlementId": "8599910202611231245",
        "settlementCompletedDate": "2026-11-23 15:03:13",
        "settlementAmount": amount,
        "utrNumber": "AXISCN0964297088",
        "transaction": list(lines),
        **changes,
    }


def report(*settlements: dict[str, Any]) -> dict[str, Any]:
    return {"rows": len(settlements), "message": "found", "status": 1, "result": list(settlements)}


DAY = date(2026, 11, 23)


@responses.activate
def test_a_report_is_asked_for_with_a_dated_signature(adapter: Adapter) -> None:
    responses.get(REPORT, json=report())

    assert list(adapter.settlements(DAY)) == []
    sent = responses.calls[0].request
    signature = sha512(f"|{sent.headers['Date']}|{SALT}".encode()).hexdigest()
    assert sent.headers["Authorization"] == (
        f'hmac username="{KEY}", algorithm="sha512", headers="date", signature="{signature}"'
    )
    assert sent.headers["Date"].endswith(" GMT")
    assert sent.params["dateFrom"] == sent.params["dateTo"] == "2026-11-23"


@responses.activate
def test_a_line_tells_what_came_and_what_was_kept(adapter: Adapter) -> None:
    refund = line(
        action="refund",
        requestId="131278422",
        token=TOKEN,
        transactionAmount="1000.00",
        merchantServiceFee="0.00000",
        merchantServiceTax="0.00000",
        merchantNetAmount="-1000.00",
    )
    responses.get(REPORT, json=report(settlement(line(), refund, amount="1441.00")))
    paid, back = adapter.settlements(DAY)

    assert (paid.kind, back.kind) == (Settled.PAYMENT, Settled.REFUND)
    assert (paid.gross.amount, paid.fee.amount, paid.tax.amount, paid.net.amount) == (
        *(250000, 5000),
        *(900, 244100),
    )
    assert (back.gross.amount, back.fee.amount, back.tax.amount, back.net.amount) == (
        *(-100000, 0),
        *(0, -100000),
    )
    assert paid.payment_attempt_id == back.payment_attempt_id == ATTEMPT
    assert (paid.refund_id, back.refund_id) == (None, REFUND)
    assert (paid.gateway_refund_id, back.gateway_refund_id) == (None, "131278422")
    assert paid.gateway_payment_id == TXNID
    assert paid.utr == "AXISCN0964297088"
    assert paid.settled_at == datetime(2026, 11, 23, 9, 33, 13, tzinfo=UTC)
    assert paid.line_id != back.line_id


@responses.activate
def test_fees_are_whatever_is_kept_and_is_no_tax(adapter: Adapter) -> None:
    """As PayU reports UPI: the fee is under another name, and taxes have five digits."""
    upi = line(
        transactionAmount="1.00",
        merchantServiceFee="0.00000",
        merchantServiceTax="0.00000",
        totalProcessingFee="1.00000",
        totalServiceTax="0.18432",
        merchantNetAmount="-0.18",
    )
    responses.get(REPORT, json=report(settlement(upi, amount="-0.18")))
    (found,) = adapter.settlements(DAY)

    assert (found.gross.amount, found.fee.amount, found.tax.amount, found.net.amount) == (
        *(100, 100),
        *(18, -18),
    )


@responses.activate
def test_a_settlements_lines_sum_to_what_the_bank_got(adapter: Adapter) -> None:
    unheard_of = line(action="reserve hold", requestId=None, merchantNetAmount="-41.00")
    body = report(settlement(line(), unheard_of, amount="2399.50"))
    responses.get(REPORT, json=body)
    found = list(adapter.settlements(DAY))

    assert sum(each.net.amount for each in found) == 239950
    assert [each.kind for each in found] == [
        Settled.PAYMENT,
        Settled.ADJUSTMENT,
        Settled.ADJUSTMENT,
    ]
    assert len({each.line_id for each in found}) == 3
    for each in found:
        assert each.net.amount == each.gross.amount - each.fee.amount - each.tax.amount


@responses.activate
def test_a_settlement_goes_on_from_one_page_to_the_next(adapter: Adapter) -> None:
    first = [line(requestId=str(number)) for number in range(500)]
    total = str(Decimal("2441.00") * 501)
    responses.get(REPORT, json=report(settlement(*first, amount=total)))
    responses.get(REPORT, json=report(settlement(line(requestId="last"), amount=total)))
    found = list(adapter.settlements(DAY))

    assert [call.request.params["page"] for call in responses.calls] == ["1", "2"]
    assert len(found) == 501
    assert {each.kind for each in found} == {Settled.PAYMENT}


@responses.activate
def test_settlements_come_oldest_first_also_from_a_page_with_a_size(adapter: Adapter) -> None:
    later = settlement(line(), settlementId="2", settlementCompletedDate="2026-11-23 18:00:00")
    earlier = settlement(line(), settlementId="1", settlementCompletedDate="2026-11-23 11:00:00")
    responses.get(REPORT, json={"status": 0, "result": {"size": 2, "data": [later, earlier]}})

    assert [each.settlement_id for each in adapter.settlements(DAY)] == ["1", "2"]


@pytest.mark.parametrize(
    "body",
    [
        {},
        [],
        None,
        {"result": "none"},
        {"result": [{}]},
        report(settlement(line(transactionAmount="x"))),
        report(settlement(line(merchantNetAmount=None))),
        report(settlement(line(), amount="NaN")),
        report(settlement(line(), settlementCompletedDate="yesterday")),
        report(settlement("line")),  # type: ignore[arg-type]  # on purpose
    ],
)
@responses.activate
def test_what_is_no_report_is_unavailable(adapter: Adapter, body: Any) -> None:
    responses.get(REPORT, json=body)

    with pytest.raises(GatewayUnavailableError):
        list(adapter.settlements(DAY))


@responses.activate
def test_a_report_without_an_end_is_not_read_for_ever(adapter: Adapter) -> None:
    page = report(settlement(*[line(requestId=str(number)) for number in range(500)]))
    responses.get(REPORT, json=page)

    with pytest.raises(GatewayUnavailableError):
        list(adapter.settlements(DAY))
    assert len(responses.calls) == 20


# Disputes

CHARGEBACKS = "https://bankportal.payu.in/api/v1/chargebacks"
SINCE = datetime(2026, 11, 20, 20, 0, tzinfo=UTC)  # the 21st in India


@pytest.fixture
def arbiter() -> Adapter:
    return Adapter(Settings(KEY, (SALT,), merchant_id="2", chargeback_key="a-key"))


def chargeback(**changes: Any) -> dict[str, Any]:
    attributes = {
        "id": 1295751,
        "chargeback-amount": "2500.0",
        "chargeback-date": "21-Nov-2026",
        "status": "ME Comm Sent",
        "reply-before": "05-Dec-2026",
        "chargeback-reason": "Non Receipt of Goods or Services",
        "transaction-details": {"payu-id": "16652223102", "transaction-id": TXNID},
        **changes,
    }
    return {"id": str(attributes["id"]), "type": "chargebacks", "attributes": attributes}


def chargebacks(*every: dict[str, Any], pages: int = 1) -> dict[str, Any]:
    return {"data": list(every), "meta": {"pagination": {"per-page": 500, "total-pages": pages}}}


@responses.activate
def test_chargebacks_are_listed_by_the_day_the_newest_first(arbiter: Adapter) -> None:
    newer = chargeback(id=2, **{"chargeback-date": "22-Nov-2026", "reply-before": "NA"})
    responses.get(CHARGEBACKS, json=chargebacks(chargeback(), newer))
    first, second = arbiter.find_disputes(SINCE)

    sent = responses.calls[0].request
    assert sent.params == {"merchant_id": "2", "from_date": "21-11-2026"}
    assert sent.headers["X-Optimus-API-Key"] == "a-key"
    assert (first.gateway_dispute_id, second.gateway_dispute_id) == ("2", "1295751")
    assert (second.subject, second.outcome) == (Subject.DISPUTE, Outcome.OPENED)
    assert (second.payment_attempt_id, second.gateway_payment_id) == (ATTEMPT, TXNID)
    assert second.amount == Money(250000, "INR")
    assert second.reason == "Non Receipt of Goods or Services"
    assert second.opened_at == datetime(2026, 11, 20, 18, 30, tzinfo=UTC)
    assert second.evidence_due_at == datetime(2026, 12, 4, 18, 30, tzinfo=UTC)
    assert first.evidence_due_at is None


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        ("ME Comm Sent", Outcome.OPENED),
        ("Doc Rejected", Outcome.OPENED),
        ("ME Comm Received", Outcome.UNDER_REVIEW),
        ("Bank Comm Sent", Outcome.UNDER_REVIEW),
        ("Closed Customer Favour", Outcome.LOST),
        ("Closed in Customer favour", Outcome.LOST),
        ("Closed in Merchant favour", Outcome.WON),
        ("Something New", Outcome.UNKNOWN),
    ],
)
@responses.activate
def test_a_chargeback_says_where_it_is(arbiter: Adapter, status: str, outcome: Outcome) -> None:
    responses.get(CHARGEBACKS, json=chargebacks(chargeback(status=status)))

    assert [one.outcome for one in arbiter.find_disputes(SINCE)] == [outcome]


@pytest.mark.parametrize(
    "answer",
    [
        {"json": chargebacks(chargeback(), pages=2)},
        {"json": {"data": []}},
        {"json": []},
        {"json": None},
        {"status": 401, "json": {}},
        {"status": 422, "json": {}},
        {"status": 500},
        {"body": "<html>"},
    ],
)
@responses.activate
def test_a_list_of_chargebacks_that_is_not_whole_is_none(
    arbiter: Adapter, answer: dict[str, Any]
) -> None:
    responses.get(CHARGEBACKS, **answer)

    with pytest.raises(GatewayUnavailableError):
        list(arbiter.find_disputes(SINCE))


@pytest.mark.parametrize(
    ("nonsense", "named"),
    [
        ({}, None),
        (chargeback(**{"transaction-details": None}), "1295751"),
        (chargeback(**{"chargeback-date": "99-Nov-2026"}), "1295751"),
    ],
)
@responses.activate
def test_a_chargeback_that_cannot_be_read_leaves_the_others(
    arbiter: Adapter, nonsense: dict[str, Any], named: str | None
) -> None:
    responses.get(CHARGEBACKS, json=chargebacks(nonsense, chargeback(id="2")))
    good, bad = arbiter.find_disputes(SINCE)

    assert (good.outcome, good.gateway_dispute_id) == (Outcome.OPENED, "2")
    assert (bad.outcome, bad.gateway_dispute_id) == (Outcome.UNREADABLE, named)
    assert (bad.failure_message is None) is (named is not None)


@responses.activate
def test_what_a_list_shows_is_told_before_it_is_said_that_there_is_more(arbiter: Adapter) -> None:
    responses.get(CHARGEBACKS, json=chargebacks(chargeback(), pages=2))
    found = arbiter.find_disputes(SINCE)

    assert next(found).gateway_dispute_id
    with pytest.raises(GatewayUnavailableError, match="longer"):
        next(found)


def test_without_its_key_nothing_is_known_of_chargebacks(adapter: Adapter) -> None:
    with pytest.raises(GatewayUnavailableError, match="PAYU_CHARGEBACK_KEY"):
        list(adapter.find_disputes(SINCE))


# Settings


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"PAYU_KEY": "k"},
        {"PAYU_KEY": "k", "PAYU_SALT": " , "},
        {"PAYU_KEY": "k|", "PAYU_SALT": "s"},
        {"PAYU_KEY": "k", "PAYU_SALT": "s,t|u"},
    ],
)
def test_payu_without_its_secrets_does_not_start(environ: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match="PAYU_"):
        config.read(Settings, environ, prefix="payu_")


@pytest.mark.parametrize("url", ["https://test.payu.in", "http://127.0.0.1:9000/payu"])
@pytest.mark.parametrize("name", ["checkout_url", "api_url"])
def test_payers_are_not_sent_to_another_environment_than_is_asked(name: str, url: str) -> None:
    with pytest.raises(ConfigError, match="live, or none"):
        Settings(KEY, (SALT,), **{name: url})


def test_the_salt_does_not_show_in_a_settings_text() -> None:
    assert SALT not in repr(Settings(KEY, (SALT,)))


@pytest.mark.parametrize(
    ("url", "livemode"),
    [
        ("https://info.payu.in", True),
        ("https://test.payu.in", False),
        ("http://127.0.0.1:9000/payu", False),
    ],
)
def test_the_address_tells_whether_it_is_live(url: str, livemode: bool) -> None:
    assert Settings(KEY, (SALT,), url, url).livemode is livemode
