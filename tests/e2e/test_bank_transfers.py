"""A shipper pays by bank transfer: the page, two people of the office, and who reads what."""

from dataclasses import replace
from typing import Any
from uuid import uuid4

import pytest
from e2e.product import World

from sandbox import tokens

ASHA, TARUN, UMESH = (tokens.find(name) for name in ("asha", "tarun", "umesh"))
FIONA = tokens.find("fiona")
ACCOUNT = "00000000-0000-4000-8000-000000000301"

INITIATE = """
mutation ($order: String!, $amount: bigint!) {
  initiatePayment(order_reference: $order, amount: $amount, currency: "INR", method: "rtgs") {
    transaction_id gateway payment_url payment_intent_id
  }
}
"""
RECORD = """
mutation ($order: String, $reference: String!, $amount: bigint!, $day: date!, $account: uuid!) {
  recordBankTransfer(
    bank_account_id: $account, rail: "rtgs", reference: $reference, amount: $amount
    value_date: $day, order_display_id: $order, idempotency_key: $reference
  ) {
    bank_transfer_id status
    bank_transfer { payer_name bank_account { account_number account_number_last4 } }
  }
}
"""
APPROVE = """
mutation ($id: uuid!) {
  approveBankTransfer(bank_transfer_id: $id) { status amount_used made_by checked_by }
}
"""
TRANSFERS = "{ bank_transfers { id status made_by bank_account { account_number_last4 } } }"
NUMBERS = "{ bank_accounts { account_number } }"


def code(answer: dict[str, Any]) -> str:
    (error,) = answer["errors"]
    return str(error["extensions"]["code"])


@pytest.fixture
def order(product: World) -> dict[str, Any]:
    asked = {"order": f"BK-{uuid4().hex[:8]}", "amount": 24500000}
    answer = product.graphql(INITIATE, ASHA, **asked)
    assert "errors" not in answer, answer
    return dict(answer["data"]["initiatePayment"])


@pytest.fixture
def entry(product: World, order: dict[str, Any]) -> dict[str, Any]:
    (row,) = product.sql("select (clock_now() at time zone 'Asia/Kolkata')::date::text as day")
    return {
        "order": order["transaction_id"],
        "reference": f"RTGS{uuid4().hex[:18]}",
        "amount": 24500000,
        "day": row["day"],
        "account": ACCOUNT,
    }


def test_a_transfer_is_paid_entered_approved_and_seen(
    product: World, order: dict[str, Any], entry: dict[str, Any]
) -> None:
    assert order["gateway"] is None
    page = product.web.get(f"{order['payment_url']}/bank-transfer").text
    assert "50200012345678" in page
    assert "245000.00" in page

    recorded = product.graphql(RECORD, TARUN, **entry)["data"]["recordBankTransfer"]
    assert recorded["status"] == "entered"
    assert recorded["bank_transfer"]["bank_account"]["account_number"] == "50200012345678"

    decided = {"id": recorded["bank_transfer_id"]}
    assert code(product.graphql(APPROVE, TARUN, **decided)) == "second-person-needed"
    approved = product.graphql(APPROVE, UMESH, **decided)["data"]["approveBankTransfer"]
    assert approved == {
        "status": "approved",
        "amount_used": "24500000",
        "made_by": TARUN.id,
        "checked_by": UMESH.id,
    }
    assert "Paid. Thank you!" in product.web.get(order["payment_url"]).text
    gone = product.web.get(f"{order['payment_url']}/bank-transfer")
    assert (gone.status_code, "50200012345678" in gone.text) == (303, False)


def test_finance_of_another_organisation_neither_enters_nor_reads(
    product: World, order: dict[str, Any], entry: dict[str, Any]
) -> None:
    recorded = product.graphql(RECORD, TARUN, **entry)["data"]["recordBankTransfer"]
    decided = {"id": recorded["bank_transfer_id"]}

    assert code(product.graphql(RECORD, FIONA, **entry)) == "not-found"
    assert code(product.graphql(APPROVE, FIONA, **decided)) == "not-found"
    assert product.graphql(TRANSFERS, FIONA)["data"] == {"bank_transfers": []}
    assert "errors" in product.graphql(TRANSFERS, ASHA)
    assert "errors" in product.graphql(APPROVE, ASHA, **decided)


def test_who_looks_on_reads_the_last_digits_only(product: World, entry: dict[str, Any]) -> None:
    product.graphql(RECORD, TARUN, **entry)
    viewer = replace(TARUN, roles=("viewer",))
    read = product.graphql(TRANSFERS, viewer)["data"]["bank_transfers"]

    assert {row["bank_account"]["account_number_last4"] for row in read} == {"5678"}
    assert "errors" in product.graphql(NUMBERS, viewer)
    assert "errors" not in product.graphql(NUMBERS, TARUN)
