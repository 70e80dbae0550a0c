"""Runs the cases of cases/*.yaml: what is asked, and what Hasura answers.

A case has `name`, `section` (of the contract it proves) and `query`, and may have `variables`,
`role`, `session`, `headers` (instead of the admin secret), `path`, `body` (instead of a GraphQL
request), `engine` (a fixture: served, stringified, atlas, ...), `status`. It expects `data`,
`error` (all but `internal`), `text` (a part of the answer as sent) or `answer` (the whole body),
and with `sql` and `rows` what is in the database afterwards.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import psycopg
import pytest
import yaml
from engine import harness

CASES = [
    pytest.param(case, id=f"{file.stem}: {case['name']}")
    for file in sorted((Path(__file__).parent / "cases").glob("*.yaml"))
    for case in yaml.safe_load(file.read_text())
]
KEYS = {"name", "section", "query", "variables", "role", "session", "headers", "path", "body"}
KEYS |= {"engine", "status", "data", "error", "text", "answer", "sql", "rows", "operation"}


CASES_MIN = 400  # a file that is not found would go unnoticed


def test_every_case_names_the_section_it_proves_and_there_are_many() -> None:
    assert len(CASES) >= CASES_MIN
    for param in CASES:
        case = param.values[0]
        assert isinstance(case, dict)
        assert re.fullmatch(r"\d+(\.\d+)?", case.get("section", "")), f"{param.id} has no section"
        assert case.keys() <= KEYS, param.id


@pytest.mark.parametrize("case", CASES)
def test_the_engine_answers_as_hasura_does(
    case: dict[str, Any], request: pytest.FixtureRequest
) -> None:
    name = case.get("engine", "served")
    engine: harness.Served = request.getfixturevalue(name)
    world = "atlas_rows" if name.startswith("atlas") else "shop"
    rows: psycopg.Connection[Any] = request.getfixturevalue(world)
    answer = engine.client.post(
        engine.url + case.get("path", "/v1/graphql"), content=_body(case), headers=_headers(case)
    )

    assert answer.status_code == case.get("status", 200), answer.text
    _compare(case, answer.text)
    if "sql" in case:
        found = [list(row) for row in rows.execute(case["sql"]).fetchall()]
        assert found == case["rows"]


def _body(case: dict[str, Any]) -> bytes:
    if "body" in case:
        body = case["body"]
        return body.encode() if isinstance(body, str) else json.dumps(body).encode()
    request = {"query": case["query"], "variables": case.get("variables")}
    if "operation" in case:
        request["operationName"] = case["operation"]
    return json.dumps(request).encode()


def _headers(case: dict[str, Any]) -> dict[str, str]:
    if "headers" in case:
        return dict(case["headers"])
    headers = {"x-hasura-admin-secret": harness.SECRET, **case.get("session", {})}
    if "role" in case:
        headers["x-hasura-role"] = case["role"]
    return headers


def _compare(case: dict[str, Any], text: str) -> None:
    found = json.loads(text)
    assert {"data", "error", "text", "answer"} & case.keys(), "a case must expect something"
    if "data" in case:
        assert found == {"data": case["data"]}
        assert _order(found["data"]) == _order(case["data"]), "the fields are in another order"
    if "error" in case:
        assert list(found) == ["errors"], text
        (error,) = found["errors"]
        error["extensions"].pop("internal", None)
        assert {"message": error["message"], **error["extensions"]} == case["error"]
    if "text" in case:
        assert case["text"] in text
    if "answer" in case:
        assert found == case["answer"]


def _order(value: Any) -> Any:
    """Return the keys of all objects in their order."""
    if isinstance(value, dict):
        return [(key, _order(item)) for key, item in value.items()]
    return [_order(item) for item in value] if isinstance(value, list) else None
