"""What the adapter asks of Stripe, and what the simulator answers, held against Stripe's own words.

STRIPE_OPENAPI names the file: Stripe's published description (openapi/spec3.json of
github.com/stripe/openapi). Without it the copy beside this checkout is used, which is of an older
version of the API and has only the paths that matter here.
"""

import json
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit
from uuid import uuid4

import jsonschema
import pytest
import responses
from gateway_bench import ROOT
from gateways.stripe_world import StripeWorld

from app.errors import GatewayUnavailableError
from app.gateways import Charge, Method, Money, Query, RefundOrder, SavedCharge, Setup
from app.gateways.stripe import Adapter, Settings
from sandbox.gateways.stripe.parameters import decode

BESIDE_US = ROOT.parent / "shared" / "contracts" / "stripe-openapi-2023-trimmed.json"
FILE = Path(os.environ.get("STRIPE_OPENAPI") or BESIDE_US)
API = "https://api.stripe.com"
# Parameters that are newer than the description beside us.
SESSIONS = "/v1/checkout/sessions"
NEWER = {(SESSIONS, "allowed_payment_method_types"), (SESSIONS, "created")}
Json = dict[str, Any]

pytestmark = pytest.mark.skipif(
    not FILE.is_file(), reason="Stripe's OpenAPI description is absent: STRIPE_OPENAPI names it"
)


@pytest.fixture(scope="module")
def description() -> Json:
    found: Json = json.loads(FILE.read_text())
    return found


def operation(description: Json, verb: str, path: str) -> tuple[str, Json] | None:
    """Find what is described for a path; None where the file has no such path."""
    for template, verbs in description["paths"].items():
        pattern = re.sub(r"\{\w+\}", "[^/]+", template)
        if re.fullmatch(pattern, path) and verb.lower() in verbs:
            return template, verbs[verb.lower()]
    return None


def parameters(found: Json, verb: str) -> Json:
    """Give the schema of what may be sent: the query's, or the form's."""
    if verb == "POST":
        content = found["requestBody"]["content"]
        schema: Json = next(iter(content.values()))["schema"]
        return schema
    query = {one["name"]: one["schema"] for one in found["parameters"] if one["in"] == "query"}
    return {"type": "object", "properties": query, "additionalProperties": False}


def faults(value: Any, schema: Json, description: Json, place: str = "") -> list[str]:
    """Say what is wrong with a parameter, which came as text or nested by its name's brackets."""
    if "$ref" in schema:
        schema = description["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    if "anyOf" in schema:
        each = [faults(value, one, description, place) for one in schema["anyOf"]]
        return min(each, key=len)
    check = {"object": _object, "array": _array}.get(schema.get("type", ""))
    if check:
        return check(value, schema, description, place)
    return [] if _is_word(value, schema) else [f"{place}: {value!r}"]


def _object(value: Any, schema: Json, description: Json, place: str) -> list[str]:
    if not isinstance(value, Mapping):
        return [f"{place}: {value!r} is no object"]
    known, more = schema.get("properties", {}), schema.get("additionalProperties", False)
    wrong = [f"{place}[{name}] is missing" for name in {*schema.get("required", ())} - {*value}]
    for name, each in value.items():
        inner = known.get(name, more)
        if inner is False:
            wrong.append(f"{place}[{name}] is not known")
        elif isinstance(inner, dict):
            wrong += faults(each, inner, description, f"{place}[{name}]")
    return wrong


def _array(value: Any, schema: Json, description: Json, place: str) -> list[str]:
    if not isinstance(value, Mapping):
        return [f"{place}: {value!r} is no list"]
    each = [faults(one, schema["items"], description, f"{place}[]") for one in value.values()]
    return [fault for found in each for fault in found]


def _is_word(value: Any, schema: Json) -> bool:
    if not isinstance(value, str) or ("enum" in schema and value not in schema["enum"]):
        return False
    patterns = {"integer": r"-?\d+", "number": r"-?\d+(\.\d+)?", "boolean": "true|false"}
    pattern = patterns.get(schema.get("type", ""), ".*")
    fits = len(value) <= schema.get("maxLength", len(value))
    return fits and bool(re.fullmatch(pattern, value, re.DOTALL))


# What the adapter asks


NOW = datetime(2026, 11, 21, 10, 0, tzinfo=UTC)
URLS = ("https://shop.example/ok", "https://shop.example/no")
USD = Money(2500, "USD")


def charge(**changes: Any) -> Charge:
    made = Charge(str(uuid4()), USD, "Credits", "a@b.example", *URLS, NOW + timedelta(hours=1))
    return replace(made, **changes)


def setup(**changes: Any) -> Setup:
    made = Setup(str(uuid4()), "USD", "a@b.example", *URLS, NOW + timedelta(hours=1))
    return replace(made, **changes)


def query(**ids: Any) -> Query:
    return Query(str(uuid4()), NOW, **ids)


SAVED = SavedCharge("a", USD, "Autopay", "a@b.example", "cus_1", "pm_1")
REFUND = RefundOrder("r", "pi_1", USD, "duplicate")
QUESTIONS: dict[str, Callable[[Adapter], object]] = {
    "open": lambda adapter: adapter.open(charge()),
    "open a choice": lambda adapter: adapter.open(charge(method=Method.CARD)),
    "open to authorize": lambda adapter: adapter.open(charge(authorize_only=True)),
    "open a setup": lambda adapter: adapter.open_setup(setup()),
    "open a second setup": lambda adapter: adapter.open_setup(setup(gateway_customer_id="cus_1")),
    "charge": lambda adapter: adapter.charge(SAVED),
    "capture": lambda adapter: adapter.capture("a", "pi_1", USD),
    "cancel": lambda adapter: adapter.cancel("a", "pi_1"),
    "expire": lambda adapter: adapter.expire("a", "cs_1"),
    "refund": lambda adapter: adapter.refund(REFUND),
    "refund for a reason of ours": lambda adapter: adapter.refund(replace(REFUND, reason="lost")),
    "find by page": lambda adapter: adapter.find(query(gateway_session_id="cs_1")),
    "find by payment": lambda adapter: adapter.find(query(gateway_payment_id="pi_1")),
    "find by customer": lambda adapter: adapter.find(query(gateway_customer_id="cus_1")),
    "find by reference": lambda adapter: adapter.find(query()),
    "list refunds": lambda adapter: adapter.find_refunds("pi_1"),
    "list new refunds": lambda adapter: list(adapter.find_new_refunds(NOW)),
    "find a refund": lambda adapter: adapter.find_refund("r", "pi_1"),
    "find a setup": lambda adapter: adapter.find_setup("m", "cs_1"),
    "settlements": lambda adapter: list(adapter.settlements(date(2026, 11, 20))),
    "receipt": lambda adapter: adapter.receipt_url("pi_1"),
}


def asked(question: Callable[[Adapter], object]) -> tuple[str, str, Json]:
    """Tell the verb, the path and the parameters of the request that a question makes."""
    adapter = Adapter(Settings("sk_test_1", ("whsec_1",)))
    with responses.RequestsMock() as mock:
        for verb in ("GET", "POST"):
            mock.add(verb, re.compile(f"{API}/.*"), status=503, json={})
        mock.assert_all_requests_are_fired = False
        with pytest.raises(GatewayUnavailableError):
            question(adapter)
        sent = mock.calls[0].request
    adapter.http.close()
    url = urlsplit(str(sent.url))
    body = sent.body if isinstance(sent.body, str) else (sent.body or b"").decode()
    pairs = parse_qsl(url.query, keep_blank_values=True) + parse_qsl(body, keep_blank_values=True)
    return str(sent.method), url.path, decode(pairs)


@pytest.mark.parametrize("question", QUESTIONS)
def test_what_the_adapter_asks_is_as_stripe_describes_it(description: Json, question: str) -> None:
    verb, path, sent = asked(QUESTIONS[question])
    found = operation(description, verb, path)
    if found is None:
        assert FILE == BESIDE_US, f"Stripe describes no {verb} {path}"
        pytest.skip(f"the description beside us has no {verb} {path}")
    if FILE == BESIDE_US:
        sent = {name: value for name, value in sent.items() if (path, name) not in NEWER}

    assert sent
    assert faults(sent, parameters(found[1], verb), description) == []


def test_a_wrong_request_is_seen(description: Json) -> None:
    _, found = operation(description, "POST", "/v1/refunds") or ("", {})
    schema = parameters(found, "POST")

    assert faults({"amount": "12"}, schema, description) == []
    assert faults({"amount": "12.5"}, schema, description)
    assert faults({"amounts": "12"}, schema, description)
    assert faults({"reason": "because"}, schema, description)
    assert faults({"metadata": "x"}, schema, description)


# What the simulator answers


def plain(node: Any) -> Any:
    """Turn OpenAPI's `nullable` into JSON Schema."""
    if isinstance(node, list):
        return [plain(one) for one in node]
    if not isinstance(node, dict):
        return node
    found = {name: plain(value) for name, value in node.items() if name != "nullable"}
    return {"anyOf": [found, {"type": "null"}]} if node.get("nullable") is True else found


@pytest.fixture(scope="module")
def schemas(description: Json) -> Json:
    return {"components": plain(description["components"])}


def test_what_the_simulator_answers_is_as_stripe_describes_it(
    stripe_world: StripeWorld, schemas: Json
) -> None:
    """One life story: opened, paid, refunded, disputed, paid out; every object in its schema."""
    paid, disputed = stripe_world.paid(), stripe_world.paid()
    stripe_world.adapter.refund(stripe_world.refund(paid, 1000))
    stripe_world.server.control(f"/stripe/charges/{disputed.gateway_payment_id}/dispute", {})
    stripe_world.pay(stripe_world.adapter.open(stripe_world.order()))
    stripe_world.server.control("/stripe/payouts", {})
    for kind in ("checkout/sessions", "payment_intents", "charges", "refunds", "disputes"):
        _fits(stripe_world, schemas, f"/v1/{kind}?limit=2")
    for kind in ("balance_transactions", "payouts", "events"):
        _fits(stripe_world, schemas, f"/v1/{kind}?limit=2")


def _fits(world: StripeWorld, schemas: Json, path: str) -> None:
    listed = world.server.raw("GET", path).json()["data"]
    assert listed
    for one in listed:
        schema = {**schemas, "$ref": f"#/components/schemas/{one['object']}"}
        jsonschema.Draft7Validator(schema).validate(one)
