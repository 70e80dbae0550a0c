"""What Razorpay and Cashfree answer for all payments of a page, also what no simulator would."""

from typing import Any

import pytest
import responses
from gateways import cashfree_entities as cf
from gateways import razorpay_entities as rz

from app.errors import GatewayUnavailableError
from app.gateways import Outcome, Query, cashfree, razorpay

RZ_PAYMENTS = "https://api.razorpay.com/v1/orders/order_1/payments"
CF_PAYMENTS = f"{cf.API}/orders/{cf.ATTEMPT}/payments"
RZ_PAGE = rz.query(gateway_session_id="order_1", is_over=True)
CF_PAGE = Query(payment_attempt_id=cf.ATTEMPT, since=cf.NOW, gateway_session_id=cf.ATTEMPT)
STRANGE_ORDER = "00000000-0000-4000-8000-000000000009"


@pytest.fixture
def razor() -> razorpay.Adapter:
    return razorpay.Adapter(razorpay.Settings("rzp_test_1", rz.KEY_SECRET, (rz.SECRET,)))


@pytest.fixture
def cash() -> cashfree.Adapter:
    return cashfree.Adapter(cashfree.Settings("TEST_client", (cf.SECRET,), cf.API))


def cf_payment(status: str = "SUCCESS", **changes: Any) -> dict[str, Any]:
    return cf.payment(status, **{"payment_amount": 2500, "order_id": cf.ATTEMPT} | changes)


@responses.activate
def test_razorpay_is_asked_once_where_the_order_is_known(razor) -> None:
    second = rz.payment(id="pay_2", created_at=1_795_254_900)
    responses.get(RZ_PAYMENTS, json=rz.listed(second, rz.payment()))
    found = razor.find_payments(RZ_PAGE)

    assert [one.gateway_payment_id for one in found] == ["pay_2", "pay_1"]
    assert {one.payment_attempt_id for one in found} == {rz.ATTEMPT}
    assert {one.captured_amount for one in found} == {rz.INR_2500}
    assert len(responses.calls) == 1


@responses.activate
def test_razorpay_is_asked_for_the_order_first_where_it_is_not(razor) -> None:
    responses.get("https://api.razorpay.com/v1/orders", json=rz.listed(rz.order("paid")))
    responses.get(RZ_PAYMENTS, json=rz.listed(rz.payment()))

    assert [one.outcome for one in razor.find_payments(rz.query())] == [Outcome.PAID]


@responses.activate
def test_an_order_that_razorpay_does_not_know_has_no_payments(razor) -> None:
    responses.get("https://api.razorpay.com/v1/orders", json=rz.listed())

    assert list(razor.find_payments(rz.query())) == []


@responses.activate
def test_what_razorpay_gave_back_by_itself_is_not_money(razor) -> None:
    """A payment that is authorised after another one has paid is refunded at once."""
    undone = rz.payment("refunded", id="pay_2", captured=False)
    responses.get(RZ_PAYMENTS, json=rz.listed(rz.payment(), undone))

    found = razor.find_payments(RZ_PAGE)
    assert [one.outcome for one in found] == [Outcome.PAID, Outcome.CANCELED]


@responses.activate
def test_a_payment_of_another_order_is_no_answer_of_razorpays(razor) -> None:
    strange = rz.payment(id="pay_2", order_id="order_2")
    responses.get(RZ_PAYMENTS, json=rz.listed(rz.payment(), strange))

    with pytest.raises(GatewayUnavailableError):
        razor.find_payments(RZ_PAGE)


@responses.activate
def test_cashfree_is_asked_once_and_each_payment_has_its_order_in_its_name(cash) -> None:
    shown = {"authorization": None}
    later = cf_payment(cf_payment_id=7, payment_time="2026-09-21T19:50:00+05:30", **shown)
    responses.get(CF_PAYMENTS, json=[later, cf_payment(**shown)])
    found = cash.find_payments(CF_PAGE)

    names = [one.gateway_payment_id for one in found]
    assert names == [f"{cf.ATTEMPT}:1453002795", f"{cf.ATTEMPT}:7"]
    assert {one.captured_amount for one in found} == {cf.INR_2500}
    assert len(responses.calls) == 1


@responses.activate
def test_a_payment_of_another_order_is_no_answer_of_cashfrees(cash) -> None:
    responses.get(CF_PAYMENTS, json=[cf_payment(), cf_payment(order_id=STRANGE_ORDER)])

    with pytest.raises(GatewayUnavailableError, match="another order"):
        cash.find_payments(CF_PAGE)


@responses.activate
def test_an_order_that_cashfree_does_not_know_has_no_payments(cash) -> None:
    missing = {"code": "order_not_found", "message": "no", "type": "invalid_request_error"}
    responses.get(CF_PAYMENTS, json=missing, status=404)

    assert list(cash.find_payments(CF_PAGE)) == []


@responses.activate
@pytest.mark.parametrize("status", ["FAILED", "USER_DROPPED", "PENDING", "NOT_ATTEMPTED"])
def test_what_cashfree_has_not_taken_has_no_name(cash, status: str) -> None:
    responses.get(CF_PAYMENTS, json=[cf_payment(status)])
    (found,) = cash.find_payments(CF_PAGE)

    assert found.outcome in {Outcome.REQUIRES_ACTION, Outcome.PROCESSING}
    assert found.gateway_payment_id is None
