"""The first payment, from GraphQL to credits, over real parts."""

from urllib.parse import urlsplit

import pytest
from e2e.product import World, until

from sandbox import payer, tokens

GRACE = tokens.find("grace")
HEDY = tokens.find("hedy")
FIONA = tokens.find("fiona")

BUY = """
mutation ($amount: bigint!, $email: String!, $currency: String, $key: String) {
  createPayment(amount: $amount, email: $email, currency: $currency, idempotency_key: $key) {
    checkout_url session_id credit_purchase_id payment_intent_id amount currency credits_amount
    expires_at credit_purchase { id granted_at customer { email } }
  }
}
"""


def test_a_customer_buys_credits_through_graphql_and_a_browser(product: World) -> None:
    before = product.balance()
    payment = product.graphql(BUY, amount=2500, email="ada@tiger.example")["data"]["createPayment"]
    assert (payment["amount"], payment["credits_amount"]) == ("2500", "250.0000")
    assert payment["credit_purchase"] == {
        "id": payment["credit_purchase_id"],
        "granted_at": None,
        "customer": {"email": "ada@tiger.example"},
    }

    form = payer.open_form(product.web, payment["checkout_url"])
    form.fill(
        {"cc-number": "4242 4242 4242 4242", "cc-exp": "12 / 40", "cc-csc": "123", "cc-name": "Ada"}
    )
    landed = payer.send_form(product.web, form)
    assert urlsplit(landed).query == f"session_id={payment['session_id']}"

    until(lambda: product.balance() == before + 250, "the credits")
    purchase = """query ($id: uuid!) {
      credit_purchases_by_pk(id: $id) {
        granted_at payment_intent { status payment_attempts { status gateway receipt_url } }
      }
    }"""

    def receipt() -> dict | None:
        answer = product.graphql(purchase, id=payment["credit_purchase_id"])
        intent = answer["data"]["credit_purchases_by_pk"]["payment_intent"]
        return intent if intent["payment_attempts"][0]["receipt_url"] else None

    intent = until(receipt, "the receipt")
    assert intent["status"] == "paid"
    assert product.web.get(intent["payment_attempts"][0]["receipt_url"]).status_code == 200
    assert product.broken() == {}


def test_the_seeds_direct_request_works_as_written(product: World) -> None:
    before = product.balance()
    answer = product.create_payment()
    assert answer.status_code == 200
    product.pay(answer.json()["session_id"])

    until(lambda: product.balance() == before + 250, "the credits")
    row = product.graphql(
        """query ($id: uuid!) { tcs_transactions(where: {id: {_eq: $id}}) {
             user_id amount credits_amount stripe_payment_intent_id checkout_session_id
             type status currency } tcs_clients { email credits_balance } }""",
        id=answer.json()["credit_purchase_id"],
    )["data"]
    (transaction,) = row["tcs_transactions"]
    assert transaction["status"] == "paid"
    assert transaction["stripe_payment_intent_id"].startswith("pi_")
    assert transaction["checkout_session_id"] == answer.json()["session_id"]
    assert [c["email"] for c in row["tcs_clients"]] == [product.payer.email]


def test_the_same_key_answers_the_same_page(product: World) -> None:
    first = product.create_payment(idempotency_key="again").json()
    second = product.create_payment(idempotency_key="again").json()

    assert first == second
    pages = product.sql("select id from credit_purchases where idempotency_key = 'again'")
    assert len(pages) == 1


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"amount": 0}, "amount-out-of-range"),
        ({"amount": -2500}, "amount-out-of-range"),
        ({"amount": 100_001}, "amount-out-of-range"),
        ({"amount": 2**63 - 1}, "amount-out-of-range"),
        ({"amount": 25.5}, "invalid-input"),
        ({"amount": 2**63}, "invalid-input"),
        ({"amount": "ten"}, "invalid-input"),
        ({"currency": "ABC"}, "currency-not-supported"),
        ({"currency": "EUR"}, "currency-not-supported"),
        ({"email": "nobody"}, "invalid-input"),
    ],
)
def test_bad_input_is_refused_and_writes_nothing(product: World, change, code) -> None:
    key = f"bad-{change}"
    answer = product.create_payment(idempotency_key=key, **change)

    assert 400 <= answer.status_code < 500
    assert answer.json()["extensions"]["code"] == code
    assert product.sql("select from credit_purchases where idempotency_key = %s", key) == []


def test_a_refusal_reaches_a_graphql_client_with_its_code(product: World) -> None:
    (error,) = product.graphql(BUY, amount=5, email="ada@tiger.example")["errors"]

    assert error["extensions"] == {"code": "amount-out-of-range"}
    assert error["message"] == "5 is not between 100 and 100000 in the minor unit of USD"


@pytest.mark.parametrize("amount", [25.5, "ten", 2**63])
def test_graphql_refuses_what_is_no_bigint_or_the_action_does(product: World, amount) -> None:
    answer = product.graphql(BUY, amount=amount, email="ada@tiger.example")

    assert "data" not in answer
    assert len(answer["errors"]) == 1


def test_a_role_without_the_permission_does_not_see_the_action(product: World) -> None:
    (error,) = product.graphql(BUY, FIONA, amount=2500, email="f@tiger.example")["errors"]

    assert error["extensions"]["code"] == "validation-failed"
    assert "createPayment" in error["message"] or error["message"] == "no mutations exist"


@pytest.mark.parametrize(
    ("user_id", "more"),
    [
        ("00000000-0000-4000-8000-00000000ffff", {}),
        (tokens.ADA.id, {"x-hasura-organization-id": tokens.HARBOUR_CAMPUS}),
        (tokens.ADA.id, {"x-hasura-customer-id": HEDY.customer_id}),
    ],
)
def test_a_session_for_somebody_elses_customer_buys_nothing(product: World, user_id, more) -> None:
    answer = product.web.post(
        f"{product.ports.app_url}/create-payment",
        json={
            "input": {"amount": 2500, "email": "eve@example.com"},
            "session_variables": {"x-hasura-user-id": user_id, **more},
        },
        headers={"ACTION-SECRET": "sandbox-action-secret-known-to-everybody"},
    )

    assert (answer.status_code, answer.json()["extensions"]["code"]) == (404, "customer-not-found")


TABLES = [
    "customers",
    "credit_wallets",
    "credit_entries",
    "credit_purchases",
    "payment_intents",
    "payment_attempts",
    "checkout_sessions",
    "tcs_clients",
    "tcs_transactions",
]


@pytest.mark.parametrize("table", TABLES)
def test_customers_see_their_own_rows_and_nobody_elses(product: World, table: str) -> None:
    users = (product.payer, GRACE, HEDY)
    for user in users:
        payment = product.create_payment(user).json()
        product.pay(payment["session_id"])
        until(lambda payment=payment: product.has_granted(payment), "the credits")
    seen = {
        user.name: {
            row["id"] for row in product.graphql(f"{{ {table} {{ id }} }}", user)["data"][table]
        }
        for user in users
    }

    assert all(seen.values())
    assert not seen["ada"] & seen["grace"]
    assert not seen["ada"] & seen["hedy"]


@pytest.mark.parametrize("table", ["ledger_accounts", "gateway_events", "events", "exceptions"])
def test_customers_do_not_see_the_books(product: World, table: str) -> None:
    (error,) = product.graphql(f"{{ {table} {{ id }} }}")["errors"]

    assert error["message"] == f"field '{table}' not found in type: 'query_root'"


@pytest.mark.parametrize(
    "mutation",
    [
        "open_credit_purchase(args: {p_amount: 1}) { id }",
        'receive_gateway_event(args: {p_gateway: "stripe"}) { id }',
        "insert_credit_purchases_one(object: {amount: 1}) { id }",
        'update_customers(where: {}, _set: {email: "x@y.z"}) { affected_rows }',
        "delete_credit_purchases(where: {}) { affected_rows }",
    ],
)
@pytest.mark.parametrize("user", ["ada", "fiona", "olga"])
def test_no_person_may_write_money(product: World, user: str, mutation: str) -> None:
    answer = product.graphql(f"mutation {{ {mutation} }}", tokens.find(user))

    assert answer["errors"][0]["extensions"]["code"] == "validation-failed"
