"""What Stripe settled, how things were paid, and ways back: also what no simulator gives."""

from datetime import UTC, date, datetime
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import responses
from gateways.stripe_world import DAY, StripeWorld

from app.errors import GatewayUnavailableError, SignatureInvalidError
from app.gateways import Method, Outcome, Return, Settled, SettlementLine
from app.gateways.stripe import Adapter, Settings
from app.gateways.stripe.methods import METHODS, TYPES, chosen, method_of
from app.money import Money

API = "https://api.stripe.com/v1"
ATTEMPT = "6f1e9a3e-5a55-4a5a-9a55-000000000001"
REFUND = "6f1e9a3e-5a55-4a5a-9a55-000000000002"
DAY_OF_REPORT = date(2026, 11, 20)
ARRIVAL = int(datetime(2026, 11, 20, tzinfo=UTC).timestamp())


@pytest.fixture
def adapter() -> Adapter:
    return Adapter(Settings("sk_test_1", ("whsec_1",)))


def payout(**changes: Any) -> dict[str, Any]:
    return {
        "id": "po_1",
        "object": "payout",
        "amount": 9000,
        "arrival_date": ARRIVAL,
        "balance_transaction": "txn_po",
        "currency": "usd",
        "reconciliation_status": "completed",
        "status": "paid",
        "trace_id": {"status": "supported", "value": "TRACE1"},
    } | changes


def entry(category: str, amount: int, fee: int = 0, **changes: Any) -> dict[str, Any]:
    return {
        "id": f"txn_{category}_{amount}",
        "object": "balance_transaction",
        "amount": amount,
        "fee": fee,
        "fee_details": [{"amount": fee, "type": "stripe_fee"}] if fee else [],
        "net": amount - fee,
        "currency": "usd",
        "reporting_category": category,
        "type": category,
        "source": None,
    } | changes


def listed(*data: dict[str, Any], more: bool = False) -> dict[str, Any]:
    url = "/v1/balance_transactions"
    return {"object": "list", "url": url, "has_more": more, "data": list(data)}


def report(adapter: Adapter, *entries: dict[str, Any], **changes: Any) -> list[SettlementLine]:
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        mock.get(f"{API}/payouts", json=listed(payout(**changes)))
        mock.get(f"{API}/balance_transactions", json=listed(*entries))
        return list(adapter.settlements(DAY_OF_REPORT))


def test_a_day_is_asked_for_by_its_payouts_arrival(adapter: Adapter) -> None:
    with responses.RequestsMock() as mock:
        mock.get(f"{API}/payouts", json=listed())
        assert list(adapter.settlements(DAY_OF_REPORT)) == []
        asked = parse_qs(urlsplit(str(mock.calls[0].request.url)).query)

    assert asked["arrival_date[gte]"] == [str(ARRIVAL)]
    assert asked["arrival_date[lt]"] == [str(ARRIVAL + DAY)]
    assert "status" not in asked


def test_the_lines_of_a_payout_are_its_entries_the_oldest_first(adapter: Adapter) -> None:
    charge = {
        "id": "ch_1",
        "object": "charge",
        "payment_intent": "pi_1",
        "metadata": {"payment_attempt_id": ATTEMPT},
    }
    refund = {
        "id": "re_1",
        "object": "refund",
        "payment_intent": "pi_1",
        "metadata": {"refund_id": REFUND},
    }
    dispute = {"id": "dp_1", "object": "dispute", "payment_intent": "pi_2", "metadata": {}}
    found = report(
        adapter,
        entry("payout", -9000, type="payout"),
        entry("dispute", -500, 1500, source=dispute),
        entry("refund", -100, source=refund),
        entry("charge", 12_000, 378, source=charge),
    )

    kinds = [Settled.PAYMENT, Settled.REFUND, Settled.DISPUTE]
    assert [one.kind for one in found] == kinds
    assert [one.gross.amount for one in found] == [12_000, -100, -500]
    assert [one.fee.amount for one in found] == [378, 0, 1500]
    assert [one.net.amount for one in found] == [11_622, -100, -2000]
    assert [one.gateway_payment_id for one in found] == ["pi_1", "pi_1", "pi_2"]
    assert [one.payment_attempt_id for one in found] == [ATTEMPT, None, None]
    assert [one.refund_id for one in found] == [None, REFUND, None]
    assert [one.gateway_refund_id for one in found] == [None, "re_1", None]
    assert [one.gateway_dispute_id for one in found] == [None, None, "dp_1"]
    for one in found:
        assert (one.settlement_id, one.utr) == ("po_1", "TRACE1")
        assert one.settled_at == datetime(2026, 11, 20, tzinfo=UTC)


def test_a_tax_on_a_fee_is_no_fee(adapter: Adapter) -> None:
    details = [{"amount": 300, "type": "stripe_fee"}, {"amount": 54, "type": "tax"}]
    (line,) = report(adapter, entry("charge", 10_000, 354, fee_details=details))

    assert (line.fee, line.tax) == (Money(300, "USD"), Money(54, "USD"))
    assert line.net == Money(9646, "USD")


@pytest.mark.parametrize("category", ["fee", "tax", "topup", "something_new", "transfer"])
def test_whatever_else_moves_money_is_an_adjustment(adapter: Adapter, category: str) -> None:
    (line,) = report(adapter, entry(category, -77))

    assert (line.kind, line.net) == (Settled.ADJUSTMENT, Money(-77, "USD"))


def test_a_payout_by_hand_is_one_line(adapter: Adapter) -> None:
    (line,) = report(adapter, reconciliation_status="not_applicable", trace_id=None)

    assert (line.kind, line.line_id, line.utr) == (Settled.ADJUSTMENT, "po_1:whole", None)
    assert (line.gross, line.net, line.fee) == (*[Money(9000, "USD")] * 2, Money(0, "USD"))


@pytest.mark.parametrize(
    "changes",
    [{"reconciliation_status": "in_progress"}, {"status": "in_transit"}, {"status": "pending"}],
)
def test_a_payout_whose_list_is_not_ready_is_no_empty_report(
    adapter: Adapter, changes: dict[str, str]
) -> None:
    with pytest.raises(GatewayUnavailableError):
        report(adapter, entry("charge", 9000), **changes)


def test_a_payout_that_was_canceled_settles_nothing(adapter: Adapter) -> None:
    assert report(adapter, entry("charge", 9000), status="canceled") == []


def test_a_payout_that_the_bank_sent_back_is_listed_and_taken_back(adapter: Adapter) -> None:
    lines = report(adapter, entry("charge", 9000), status="failed")

    assert [one.kind for one in lines] == [Settled.PAYMENT, Settled.ADJUSTMENT]
    assert [one.net.amount for one in lines] == [9000, -9000]
    assert lines[1].line_id == "po_1:failed"


def test_what_the_bank_sent_back_is_paid_out_again(stripe_world: StripeWorld) -> None:
    stripe_world.server.control("/stripe/payouts", {"debit": True})
    stripe_world.paid(10_000)
    (first,) = stripe_world.server.control("/stripe/payouts", {})["payouts"]
    stripe_world.server.control(f"/stripe/payouts/{first['id']}/fail", {})
    (second,) = stripe_world.server.control("/stripe/payouts", {})["payouts"]
    lines = list(stripe_world.adapter.settlements(stripe_world.now().date()))

    def total(payout: dict[str, Any]) -> int:
        return sum(one.net.amount for one in lines if one.settlement_id == payout["id"])

    assert (total(first), total(second)) == (0, first["amount"])
    assert second["amount"] == first["amount"]
    assert len({one.line_id for one in lines}) == len(lines)


def test_a_report_is_read_to_its_end(adapter: Adapter) -> None:
    with responses.RequestsMock() as mock:
        mock.get(f"{API}/payouts", json=listed(payout()))
        mock.get(f"{API}/balance_transactions", json=listed(entry("charge", 2), more=True))
        mock.get(f"{API}/balance_transactions", json=listed(entry("charge", 1)))
        found = list(adapter.settlements(DAY_OF_REPORT))
        cursor = parse_qs(urlsplit(str(mock.calls[2].request.url)).query)["starting_after"]

    assert [one.gross.amount for one in found] == [1, 2]
    assert cursor == ["txn_charge_2"]


def test_a_report_that_breaks_off_is_no_short_report(adapter: Adapter) -> None:
    with responses.RequestsMock() as mock:
        mock.get(f"{API}/payouts", json=listed(payout()))
        mock.get(f"{API}/balance_transactions", json=listed(entry("charge", 2), more=True))
        mock.get(f"{API}/balance_transactions", status=503, json={})
        with pytest.raises(GatewayUnavailableError):
            list(adapter.settlements(DAY_OF_REPORT))


def test_a_part_of_a_minor_unit_is_not_rounded(adapter: Adapter) -> None:
    with pytest.raises(GatewayUnavailableError):
        report(adapter, entry("charge", 250_001, currency="ugx"))


def test_a_dispute_and_its_fee_are_settled(stripe_world: StripeWorld) -> None:
    stripe_world.server.control("/stripe/payouts", {"debit": True})
    paid, other = stripe_world.paid(10_000), stripe_world.paid(10_000)
    stripe_world.server.control(f"/stripe/charges/{paid.gateway_payment_id}/dispute", {})
    (made,) = stripe_world.server.control("/stripe/payouts", {})["payouts"]
    lines = [
        one
        for one in stripe_world.adapter.settlements(stripe_world.now().date())
        if one.settlement_id == made["id"]
    ]
    (lost,) = [one for one in lines if one.kind is Settled.DISPUTE]

    assert sum(one.net.amount for one in lines) == made["amount"]
    assert lost.gross == Money(-10_000, "USD")
    assert lost.fee.amount > 0
    assert lost.gateway_payment_id == paid.gateway_payment_id
    assert other.gateway_payment_id in {one.gateway_payment_id for one in lines}


# How it was paid


def test_a_type_has_one_word() -> None:
    kinds = [kind for each in TYPES.values() for kind in each]

    assert sorted(kinds) == sorted(METHODS)


CARD = {"type": "card"}


@pytest.mark.parametrize(
    ("intent", "method"),
    [
        ({"latest_charge": {"payment_method_details": {"type": "upi"}}}, Method.UPI),
        ({"latest_charge": {"payment_method_details": None}, "payment_method": CARD}, Method.CARD),
        ({"latest_charge": "ch_1", "payment_method": "pm_1"}, None),
        ({"payment_method": {"type": "sepa_debit"}}, Method.BANK_DEBIT),
        ({"last_payment_error": {"payment_method": {"type": "klarna"}}}, Method.PAY_LATER),
        ({"last_setup_error": {"payment_method": CARD}}, Method.CARD),
        ({"last_payment_error": {"code": "x"}, "payment_method_types": ["card"]}, Method.CARD),
        ({"payment_method_types": ["card"]}, Method.CARD),
        ({"payment_method_types": ["card", "upi"]}, None),
        ({"payment_method_types": []}, None),
        ({"payment_method": {"type": "paid_in_shells"}}, Method.OTHER),
        ({}, None),
    ],
)
def test_an_intent_says_how_it_is_paid(intent: dict[str, Any], method: Method | None) -> None:
    assert method_of(intent) is method


@pytest.mark.parametrize(
    ("method", "currency", "types"),
    [
        (Method.CARD, "USD", ["card"]),
        (Method.CARD, "INR", ["card"]),
        (Method.UPI, "INR", ["upi"]),
        (Method.UPI, "USD", []),  # Stripe would refuse the page: it asks instead
        (Method.WALLET, "INR", []),
        (None, "INR", []),
    ],
)
def test_a_page_is_narrowed_to_what_the_payer_chose(
    method: Method | None, currency: str, types: list[str]
) -> None:
    assert chosen(method, currency) == types


def test_a_bank_debit_is_called_one_everywhere(stripe_world: StripeWorld) -> None:
    charge = stripe_world.saved(bank=True)
    answered = stripe_world.adapter.charge(charge)
    ids = {"gateway_payment_id": answered.gateway_payment_id}
    found = stripe_world.adapter.find(stripe_world.query(charge.id, **ids))
    by_customer = stripe_world.adapter.find(
        stripe_world.query(charge.id, gateway_customer_id=charge.gateway_customer_id)
    )

    assert found is not None
    assert by_customer is not None
    assert {one.method for one in (answered, found, by_customer)} == {Method.BANK_DEBIT}


@pytest.mark.parametrize(
    ("payer", "method"), [({"card": "4242424242424242"}, Method.CARD), ({"bank": True}, None)]
)
def test_a_look_up_of_a_setup_says_what_was_saved(
    stripe_world: StripeWorld, payer: dict[str, Any], method: Method | None
) -> None:
    setup = stripe_world.setup()
    page = stripe_world.adapter.open_setup(setup)
    stripe_world.pay(page, **payer)
    found = stripe_world.adapter.find_setup(setup.id, page.reference)

    assert found is not None
    assert found.outcome is Outcome.SUCCEEDED
    assert found.method is (method or Method.BANK_DEBIT)


# The way back


@pytest.mark.parametrize("fields", [{}, {"session_id": "cs_1"}, {"session_id": "cs_1", "x": "y"}])
def test_a_return_proves_nothing(adapter: Adapter, fields: dict[str, str]) -> None:
    found = adapter.read_return(Return(fields, ATTEMPT, "cs_1"))

    assert found.outcome is Outcome.UNKNOWN
    assert (found.payment_attempt_id, found.gateway_session_id) == (ATTEMPT, "cs_1")


@pytest.mark.parametrize("named", ["cs_2", "", "{CHECKOUT_SESSION_ID}"])
def test_a_return_from_another_page_is_refused(adapter: Adapter, named: str) -> None:
    with pytest.raises(SignatureInvalidError):
        adapter.read_return(Return({"session_id": named}, ATTEMPT, "cs_1"))
