"""Idempotency keys: one effect, the same answer, and errors for everything else."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlencode
from uuid import uuid4

import pytest
import stripe
from gateway_bench import KEY, Bench, order

CUSTOMER = {"email": "a@b.example"}


def create(bench: Bench, key: str, **params: Any) -> stripe.checkout.Session:
    chosen: Any = {**order(), **params}
    return bench.client.v1.checkout.sessions.create(params=chosen, options={"idempotency_key": key})


def test_the_same_key_gives_the_same_session(bench: Bench) -> None:
    key = str(uuid4())
    assert create(bench, key).id == create(bench, key).id


def test_a_replay_says_that_it_is_one(bench: Bench) -> None:
    headers = {"Idempotency-Key": str(uuid4())}
    first = bench.server.raw("POST", "/v1/customers", CUSTOMER, **headers)
    second = bench.server.raw("POST", "/v1/customers", CUSTOMER, **headers)

    assert first.json() == second.json()
    assert "Idempotent-Replayed" not in first.headers
    assert second.headers["Idempotent-Replayed"] == "true"
    assert second.headers["Original-Request"] == first.headers["Request-Id"]


def test_other_parameters_or_another_path_are_an_error(bench: Bench) -> None:
    key = str(uuid4())
    create(bench, key)

    with pytest.raises(stripe.IdempotencyError, match="same parameters"):
        create(bench, key, client_reference_id="other")
    with pytest.raises(stripe.IdempotencyError, match="same endpoint"):
        bench.client.v1.customers.create(params={}, options={"idempotency_key": key})


def test_a_refused_request_leaves_its_key_free(bench: Bench) -> None:
    key = str(uuid4())
    with pytest.raises(stripe.InvalidRequestError):
        create(bench, key, success_url="nowhere")
    assert create(bench, key).status == "open"


def test_a_key_that_is_too_long_is_refused(bench: Bench) -> None:
    with pytest.raises(stripe.InvalidRequestError, match="255"):
        create(bench, "k" * 256)


def test_a_key_is_free_again_after_a_day(bench: Bench) -> None:
    key = str(uuid4())
    first = create(bench, key)
    bench.server.move_clock(24 * 3600 + 1)
    assert create(bench, key).id != first.id


def test_a_key_in_use_is_a_conflict_and_the_effect_happens_once(bench: Bench) -> None:
    bench.server.fault("customers.create", "slow", seconds=1)
    email = f"{uuid4()}@b.example"
    headers = {
        "Authorization": f"Bearer {KEY}",
        "Idempotency-Key": str(uuid4()),
        "Content-Type": "application/x-www-form-urlencoded",
    }
    form = urlencode({"email": email})
    found = bench.server.at_once(6, f"{bench.server.api}/v1/customers", form, headers)
    answers = [(status, said.get("error", {}).get("code")) for status, said in found]

    assert answers.count((200, None)) == 1
    assert answers.count((409, "idempotency_key_in_use")) == 5
    assert len(bench.client.v1.customers.list(params={"email": email}).data) == 1


def test_a_race_of_many_with_one_key_has_one_effect(bench: Bench) -> None:
    headers = {"Idempotency-Key": str(uuid4())}

    def call(_: int) -> str:
        return str(bench.server.raw("POST", "/v1/customers", CUSTOMER, **headers).json()["id"])

    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(call, range(24)))) == 1


def test_an_error_after_the_effect_is_replayed(bench: Bench) -> None:
    bench.server.fault("customers.create", "error_after_effect")
    headers = {"Idempotency-Key": str(uuid4())}
    form = {"email": f"{uuid4()}@b.example"}
    first = bench.server.raw("POST", "/v1/customers", form, **headers)
    second = bench.server.raw("POST", "/v1/customers", form, **headers)

    assert (first.status_code, second.status_code) == (500, 500)
    assert second.headers["Idempotent-Replayed"] == "true"
    assert len(bench.client.v1.customers.list(params=form).data) == 1  # type: ignore[arg-type]  # a plain dict


def test_an_error_before_the_effect_is_not_kept(bench: Bench) -> None:
    bench.server.fault("customers.create", "error_500")
    headers = {"Idempotency-Key": str(uuid4())}
    assert bench.server.raw("POST", "/v1/customers", CUSTOMER, **headers).status_code == 500
    assert bench.server.raw("POST", "/v1/customers", CUSTOMER, **headers).status_code == 200
