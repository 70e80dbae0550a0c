"""Customers, intents and charges through the official SDK."""

from uuid import uuid4

import pytest
import stripe
from gateway_bench import Bench


def test_a_customer_can_be_made_read_and_changed(bench: Bench) -> None:
    customers = bench.client.v1.customers
    made = customers.create(
        params={"name": "Asha", "metadata": {"a": "1", "b": "2"}, "address": {"country": "IN"}}
    )
    changed = customers.update(
        made.id,
        params={
            "email": "asha@example.com",
            "metadata": {"a": "", "c": "3"},
            "invoice_settings": {"default_payment_method": "pm_1"},
        },
    )
    assert customers.retrieve(made.id).to_dict() == changed.to_dict()
    found = changed.to_dict()
    assert found["metadata"] == {"b": "2", "c": "3"}
    assert found["address"]["country"] == "IN"
    assert found["invoice_settings"]["default_payment_method"] == "pm_1"

    event = bench.receiver.wait(made.id, "customer.updated")[0].event
    assert event["data"]["previous_attributes"]["email"] is None


def test_a_refused_request_has_no_effect_at_all(bench: Bench) -> None:
    email = f"{uuid4()}@b.example"
    with pytest.raises(stripe.InvalidRequestError, match="cannot be expanded"):
        bench.client.v1.customers.create(params={"email": email, "expand": ["colour"]})
    assert bench.client.v1.customers.list(params={"email": email}).data == []


def test_metadata_can_be_unset_as_a_whole(bench: Bench) -> None:
    made = bench.client.v1.customers.create(params={"metadata": {"a": "1"}})
    changed = bench.client.v1.customers.update(made.id, params={"metadata": ""})
    assert changed.to_dict()["metadata"] == {}


def test_what_customers_do_not_simulate_is_refused(bench: Bench) -> None:
    with pytest.raises(stripe.InvalidRequestError, match="does not simulate"):
        bench.client.v1.customers.create(params={"source": "tok_visa"})


@pytest.mark.parametrize(
    ("path", "param"),
    [
        ("/v1/payment_intents/pi_none", "intent"),
        ("/v1/charges/ch_none", "id"),
        ("/v1/customers/cus_none", "id"),
        ("/v1/events/evt_none", "id"),
        ("/v1/balance_transactions/txn_none", "id"),
        ("/v1/payment_methods/pm_none", "payment_method"),
        ("/v1/webhook_endpoints/we_none", "id"),
    ],
)
def test_an_object_that_does_not_exist_is_missing(bench: Bench, path: str, param: str) -> None:
    answer = bench.server.raw("GET", path)
    assert answer.status_code == 404
    error = answer.json()["error"]
    assert (error["code"], error["param"]) == ("resource_missing", param)


def test_lists_refuse_a_limit_beyond_a_hundred(bench: Bench) -> None:
    with pytest.raises(stripe.InvalidRequestError, match="between 1 and 100"):
        bench.client.v1.charges.list(params={"limit": 101})


def test_lists_can_be_narrowed_by_time(bench: Bench) -> None:
    made = bench.client.v1.customers.create(params={})
    customers = bench.client.v1.customers
    since = customers.list(params={"created": {"gte": made.created}, "limit": 100})
    assert made.id in {one.id for one in since.data}
    later = customers.list(params={"created": {"gt": made.created + 60}, "limit": 100})
    assert made.id not in {
        one.id for one in later.data
    }  # other tests made some with the clock ahead
    intents = bench.client.v1.payment_intents.list(params={"limit": 1})
    assert intents.url == "/v1/payment_intents"
