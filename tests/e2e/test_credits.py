"""Credits over real parts: the shop spends for its customer, who reads what became of them."""

from typing import Any
from uuid import uuid4

import pytest
from e2e.product import World, until

from sandbox import tokens
from sandbox.world import HASURA_ADMIN_SECRET

HEDY = tokens.find("hedy")

SPEND = """
mutation ($customer: uuid!, $amount: numeric!, $key: String!) {
  spendCredits(
    customer_id: $customer, amount: $amount, idempotency_key: $key
    description: "Laundry", reference: "order-7"
  ) {
    credit_spend_id credits_amount credit_spend { credit_wallet { available } }
  }
}
"""
RETURN = """
mutation ($spend: uuid!, $key: String!) {
  returnCredits(credit_spend_id: $spend, idempotency_key: $key, reason: "Broken") {
    credits_amount credit_return { reason }
  }
}
"""
GRANT = """
mutation ($customer: uuid!, $amount: numeric!, $key: String!) {
  grantCredits(customer_id: $customer, amount: $amount, idempotency_key: $key, reason: "Hello") {
    credits_amount expires_at credit_grant { requested_by }
  }
}
"""
RATE = """
mutation ($from: timestamptz) {
  setCreditRate(currency: "EUR", rate: 12.5, valid_from: $from) { currency rate valid_from }
}
"""
HISTORY = """
{
  credit_entries(order_by: {created_at: desc}, limit: 2) {
    kind amount reference description balance_after
  }
  credit_lots { granted remaining amount_remaining currency expires_at }
}
"""


def ask(product: World, role: str, query: str, **variables: object) -> Any:
    """Ask as somebody of the organisation who acts in a role."""
    session = {
        "x-hasura-admin-secret": HASURA_ADMIN_SECRET,
        "x-hasura-role": role,
        "x-hasura-user-id": f"the-{role}",
        "x-hasura-organization-id": tokens.TIGER_CAMPUS,
        "x-hasura-livemode": "false",
    }
    return product.ask(query, session, variables)


def code(answer: Any) -> str:
    return str(answer["errors"][0]["extensions"]["code"])


def available(product: World) -> float:
    answer = product.graphql("{ credit_wallets { available } }")
    return float(answer["data"]["credit_wallets"][0]["available"])


@pytest.fixture
def bought(product: World) -> World:
    payment = product.create_payment().json()
    product.pay(payment["session_id"])
    until(lambda: product.has_granted(payment), "the credits")
    return product


@pytest.mark.parametrize("role", ["service", "owner", "dispatcher"])
def test_the_shop_spends_and_returns_and_the_customer_reads_it(bought: World, role: str) -> None:
    before, key = available(bought), str(uuid4())
    asked = {"customer": bought.payer.customer_id, "amount": "12.5", "key": key}
    spends = [ask(bought, role, SPEND, **asked)["data"]["spendCredits"] for _ in range(2)]

    assert spends[0] == spends[1]
    left = spends[0]["credit_spend"]["credit_wallet"]["available"]
    assert float(left) == available(bought) == before - 12.5
    history = bought.graphql(HISTORY)["data"]
    newest = history["credit_entries"][0]
    assert (newest["kind"], float(newest["amount"])) == ("credit_spend", -12.5)
    assert (newest["reference"], newest["description"]) == ("order-7", "Laundry")
    assert all(float(lot["granted"]) > 0 for lot in history["credit_lots"])

    spend = spends[0]["credit_spend_id"]
    answer = ask(bought, role, RETURN, spend=spend, key=key)
    assert float(answer["data"]["returnCredits"]["credits_amount"]) == 12.5
    assert available(bought) == before
    assert bought.broken() == {}


def test_too_much_is_refused_with_what_there_is(bought: World) -> None:
    asked = {"customer": bought.payer.customer_id, "amount": "99999999", "key": str(uuid4())}
    answer = ask(bought, "owner", SPEND, **asked)

    assert code(answer) == "insufficient-credits"
    assert answer["errors"][0]["message"].endswith("is below 99999999")


@pytest.mark.parametrize(
    "amount", ["0", "-1", "0.00001", "1e3", "NaN", "1,000", "١٢٣", "1000000000001", 1.00001, True]
)
def test_what_is_no_number_of_credits_is_refused(product: World, amount: object) -> None:
    asked = {"customer": product.payer.customer_id, "amount": amount, "key": str(uuid4())}
    answer = ask(product, "owner", SPEND, **asked)

    known = {"invalid-input", "amount-out-of-range", "parse-failed", "validation-failed"}
    assert code(answer) in known


def test_a_customer_of_another_organisation_is_not_there(product: World) -> None:
    asked = {"customer": HEDY.customer_id, "amount": 1, "key": str(uuid4())}

    assert code(ask(product, "owner", SPEND, **asked)) == "customer-not-found"


def test_customers_neither_spend_nor_give_by_themselves(product: World) -> None:
    asked = {"customer": product.payer.customer_id, "amount": 1, "key": str(uuid4())}

    for mutation in (SPEND, GRANT):
        assert code(product.graphql(mutation, **asked)) == "validation-failed"


def test_aliases_of_one_request_spend_once_with_one_key(bought: World) -> None:
    before, key, customer = available(bought), str(uuid4()), bought.payer.customer_id
    spend = (
        f'spendCredits(customer_id: "{customer}", amount: 1, idempotency_key: "{key}",'
        ' description: "Tea") { credit_spend_id }'
    )
    query = "mutation { " + " ".join(f"a{n}: {spend}" for n in range(8)) + " }"
    answer = ask(bought, "owner", query)

    assert len({one["credit_spend_id"] for one in answer["data"].values()}) == 1
    assert available(bought) == before - 1


def test_finance_gives_credits_and_is_written_down(product: World) -> None:
    before, key = available(product), str(uuid4())
    asked = {"customer": product.payer.customer_id, "amount": 5, "key": key}
    grants = [ask(product, "finance", GRANT, **asked)["data"]["grantCredits"] for _ in range(2)]

    assert grants[0] == grants[1]
    assert grants[0]["credit_grant"] == {"requested_by": "user:the-finance"}
    assert available(product) == before + 5


def test_an_owner_prices_credits_from_a_day_on(product: World) -> None:
    answer = ask(product, "owner", RATE, **{"from": "2099-01-01T00:00:00Z"})
    again = ask(product, "owner", RATE, **{"from": "2099-01-01T00:00:00Z"})

    assert answer == again
    assert float(answer["data"]["setCreditRate"]["rate"]) == 12.5
    assert code(ask(product, "owner", RATE, **{"from": "2001-01-01T00:00:00Z"})) == (
        "setting-invalid"
    )


def test_the_crons_of_expiry_find_nothing_to_do(product: World) -> None:
    assert product.tick("expire_credits") == {"expired": 0}
    assert product.tick("announce_expiring_credits") == {"announced": 0}
