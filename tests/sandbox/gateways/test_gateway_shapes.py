"""Every object has the fields of the real API, held against Stripe's own samples and schema."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from gateway_bench import ROOT, Bench

CONTRACTS = ROOT.parent / "shared" / "contracts"
FIXTURES = CONTRACTS / "stripe-fixtures-2026.json"
SCHEMA = CONTRACTS / "stripe-openapi-2023-trimmed.json"

pytestmark = pytest.mark.skipif(
    not FIXTURES.exists(), reason="Stripe's samples are not beside this checkout"
)

KINDS = {
    "checkout.session": "/v1/checkout/sessions",
    "payment_intent": "/v1/payment_intents",
    "charge": "/v1/charges",
    "balance_transaction": "/v1/balance_transactions",
    "customer": "/v1/customers",
    "event": "/v1/events",
    "webhook_endpoint": "/v1/webhook_endpoints",
    "refund": "/v1/refunds",
    "dispute": "/v1/disputes",
    "setup_intent": "/v1/setup_intents",
    "payout": "/v1/payouts",
}


def newest(bench: Bench, kind: str) -> dict[str, Any]:
    """Pay once with a customer, do what makes a kind, and fetch the newest object of it."""
    session = bench.paid(customer_creation="always")
    if kind == "refund":
        bench.client.v1.refunds.create(params={"payment_intent": str(session.payment_intent)})
    elif kind == "dispute":
        bench.server.control(f"/stripe/charges/{session.payment_intent}/dispute", {})
    elif kind == "payout":
        bench.server.control("/stripe/payouts", {"debit": True})  # others' refunds may weigh more
    elif kind == "setup_intent":
        bench.saving()
    answer = bench.server.raw("GET", f"{KINDS[kind]}?limit=1")
    found: dict[str, Any] = answer.json()["data"][0]
    return found


def load(path: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(path.read_text())
    return document


@pytest.mark.parametrize("kind", KINDS)
def test_an_object_has_the_fields_of_the_sample(bench: Bench, kind: str) -> None:
    ours, sample = newest(bench, kind), load(FIXTURES)["resources"][kind]
    assert set(sample) - set(ours) == set()


@pytest.mark.parametrize("kind", ["payment_method", "charge"])
def test_a_card_has_the_fields_of_the_sample(bench: Bench, kind: str) -> None:
    charge = newest(bench, "charge")
    sample = load(FIXTURES)["resources"][kind]
    if kind == "charge":
        theirs, ours = (one["payment_method_details"]["card"] for one in (sample, charge))
    else:
        method = bench.server.raw("GET", f"/v1/payment_methods/{charge['payment_method']}").json()
        assert set(sample) == set(method)
        theirs, ours = sample["card"], method["card"]
    assert set(theirs) == set(ours)


def test_nested_parts_of_a_session_have_the_fields_of_the_sample(bench: Bench) -> None:
    ours, sample = newest(bench, "checkout.session"), load(FIXTURES)["resources"]
    for part in ("customer_details", "custom_text", "automatic_tax", "total_details"):
        assert set(ours[part]) == set(sample["checkout.session"][part])


def test_a_line_item_and_its_price_have_the_fields_of_the_sample(bench: Bench) -> None:
    session = bench.open(expand=["line_items"]).to_dict()
    ours, sample = session["line_items"]["data"][0], load(FIXTURES)["resources"]
    assert set(sample["item"]) - set(ours) == set()
    assert set(sample["price"]) - set(ours["price"]) == set()


def test_a_page_that_saves_a_method_has_the_fields_of_the_sample(bench: Bench) -> None:
    ours, sample = bench.saving().to_dict(), load(FIXTURES)["resources"]["checkout.session"]
    assert set(sample) - set(ours) == set()


@pytest.mark.parametrize("kind", KINDS)
def test_an_object_fits_the_published_schema(bench: Bench, kind: str) -> None:
    schema = {**_plain(load(SCHEMA)), "$ref": f"#/components/schemas/{kind}"}
    jsonschema.Draft7Validator(schema).validate(newest(bench, kind))


def _plain(node: Any) -> Any:
    """Turn OpenAPI's `nullable` into JSON Schema."""
    if isinstance(node, list):
        return [_plain(one) for one in node]
    if not isinstance(node, dict):
        return node
    plain = {name: _plain(value) for name, value in node.items() if name != "nullable"}
    return {"anyOf": [plain, {"type": "null"}]} if node.get("nullable") is True else plain
