"""Headers, status codes and the smaller endpoints."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from engine import harness

ADMIN = {"x-hasura-admin-secret": harness.SECRET}


def ask(served: harness.Served, **headers: str) -> Any:
    sent = ADMIN | {name.replace("_", "-"): value for name, value in headers.items()}
    return served.post("/v1/graphql", {"query": "{ __typename }"}, sent)


def test_an_answer_carries_the_request_id_of_the_client(served: harness.Served) -> None:
    assert ask(served, x_request_id="mine").headers["x-request-id"] == "mine"


def test_an_answer_carries_a_new_request_id_otherwise(served: harness.Served) -> None:
    assert UUID(ask(served).headers["x-request-id"])


def test_an_error_carries_no_request_id(served: harness.Served) -> None:
    answer = served.post("/v1/graphql", {"query": "{ x }"}, ADMIN | {"x-request-id": "mine"})
    assert "x-request-id" not in answer.headers


def test_the_answer_is_json_in_utf_8(served: harness.Served) -> None:
    assert ask(served).headers["content-type"] == "application/json; charset=utf-8"


def test_large_answers_are_zipped_for_those_who_ask(served: harness.Served) -> None:
    query = {"query": "{ __schema { types { name } } }"}
    zipped = served.post("/v1/graphql", query, ADMIN | {"accept-encoding": "gzip"})
    plain = served.post("/v1/graphql", query, ADMIN | {"accept-encoding": "identity"})

    assert zipped.headers["content-encoding"] == "gzip"
    assert "content-encoding" not in plain.headers
    assert zipped.json() == plain.json()
    assert "content-encoding" not in ask(served, accept_encoding="gzip").headers


@pytest.mark.parametrize("path", ["/v1/graphql", "/v1/graphql?query={__typename}"])
def test_get_is_no_query(served: harness.Served, path: str) -> None:
    answer = served.client.get(served.url + path, headers=ADMIN)

    assert answer.status_code == 200
    error = {"message": "PersistedQueryNotSupported"}
    error["extensions"] = {"path": "$", "code": "not-supported"}  # type: ignore[assignment]  # one literal would be as long
    assert answer.json() == {"errors": [error]}


def test_browsers_may_send_every_method_and_header(served: harness.Served) -> None:
    asked = {
        "origin": "http://localhost:5173",
        "access-control-request-method": "POST",
        "access-control-request-headers": "authorization,content-type,x-hasura-role",
    }
    answer = served.client.options(served.url + "/v1/graphql", headers=asked)

    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == "http://localhost:5173"
    assert "POST" in answer.headers["access-control-allow-methods"]
    assert "x-hasura-role" in answer.headers["access-control-allow-headers"]


def test_a_body_that_is_too_large_is_refused(served: harness.Served) -> None:
    content = json.dumps({"query": "x" * 1024 * 1024})
    answer = served.client.post(served.url + "/v1/graphql", content=content, headers=ADMIN)
    assert answer.json()["errors"][0]["extensions"]["code"] == "bad-request"


def test_health_warns_of_inconsistent_metadata(served: harness.Served) -> None:
    url = served.url + "/healthz"
    assert served.client.get(url).text == "WARN: inconsistent objects in schema"
    strict = served.client.get(url + "?strict=true")
    assert (strict.status_code, strict.text) == (500, "ERROR: inconsistent objects in schema")


def test_health_is_an_error_without_the_database(
    served: harness.Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Lost:
        async def fetchval(self, _query: str) -> Any:
            raise ConnectionRefusedError

    monkeypatch.setattr(served.engine, "pool", Lost())
    for path in ("/healthz", "/hasura/healthz?strict=true"):
        answer = served.client.get(served.url + path)
        assert (answer.status_code, answer.text) == (500, "ERROR")


def test_the_version_is_told_to_everybody(served: harness.Served) -> None:
    answer = served.client.get(served.url + "/v1/version").json()
    assert answer["server_type"] == "ce"
    assert answer["version"].startswith("v2.")


def test_the_configuration_is_told_to_the_admin_only(served: harness.Served) -> None:
    url = served.url + "/v1alpha1/config"
    told = served.client.get(url, headers=ADMIN).json()
    refused = served.client.get(url, headers=ADMIN | {"x-hasura-role": "user"})

    assert told["is_admin_secret_set"] is True
    assert told["is_jwt_set"] is False
    assert harness.SECRET not in json.dumps(told)
    assert (refused.status_code, refused.json()["code"]) == (400, "access-denied")


def test_the_internals_of_a_failure_are_for_the_admin(served: harness.Served) -> None:
    query = "{ find_wallets(args: {}) { id } }"
    admin = served.graphql(query)["errors"][0]["extensions"]
    user = served.graphql(query, role="user", user_id="ann")["errors"][0]["extensions"]

    assert admin["internal"]["error"]["status_code"] == "42883"
    assert "statement" in admin["internal"]
    assert "internal" not in user


def test_the_internals_of_a_failure_are_for_everybody_in_dev_mode(
    stringified: harness.Served,
) -> None:
    query = "mutation { move_money(args: {p_from: 1}) { id } }"
    (error,) = stringified.graphql(query, role="user", user_id="ann")["errors"]
    assert error["message"] == "database query error"
    assert error["extensions"]["internal"]["error"]["status_code"] == "42883"


def test_what_is_expected_has_no_internals(served: harness.Served) -> None:
    answer = served.graphql('{ owner(where: {age: {_eq: "x"}}) { id } }')
    assert "internal" not in answer["errors"][0]["extensions"]


def test_inconsistent_objects_are_named(served: harness.Served) -> None:
    answer = served.post("/v1/metadata", {"type": "get_inconsistent_metadata", "args": {}})
    names = {item["name"] for item in answer.json()["inconsistent_objects"]}
    assert {
        "table missing in source default",
        "function overloaded in source default",
    } <= names


def test_a_reload_finds_what_sql_has_changed(served: harness.Served, shop_directory: Path) -> None:
    def columns() -> set[str]:
        answer = served.graphql('{ __type(name: "owner") { fields { name } } }')
        return {item["name"] for item in answer["data"]["__type"]["fields"]}

    def sql(text: str) -> None:
        served.post("/v2/query", {"type": "run_sql", "args": {"sql": text}})

    assert shop_directory.exists()
    sql("alter table owner add column fresh text")
    try:
        assert "fresh" in columns()
    finally:
        sql("alter table owner drop column fresh")
    assert "fresh" not in columns()
    answer = served.post("/v1/metadata", {"type": "reload_metadata", "args": {}}).json()
    assert (answer["message"], answer["is_consistent"]) == ("success", False)


def test_half_a_surrogate_pair_is_no_failure_of_the_engine(served: harness.Served) -> None:
    for variables in ({"w": {"\ud800": 1}}, {"w": {"id": {"_eq": "\ud800"}}}):
        query = "query ($w: owner_bool_exp!) { owner(where: $w) { id } }"
        content = json.dumps({"query": query, "variables": variables})
        answer = served.client.post(served.url + "/v1/graphql", content=content, headers=ADMIN)
        (error,) = answer.json()["errors"]
        assert error["extensions"] == {"path": "$", "code": "invalid-json"}
