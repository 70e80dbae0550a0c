"""Runs the cases of calls/*.yaml: calls of the metadata API, and what Hasura answers to them.

A case has `name`, `section` (of the contract it proves) and `steps`, which run one after another
over the shop's metadata as it is in its file; `tidy` is SQL for afterwards. A step is a call
(`type`, and as needed `args`, `version`, `resource_version`, `path`, `role`) or a GraphQL `query`
(with `role` and `session`). It expects `status` (200), and of the body `answer` (all of it),
`error` (all but `internal`), `text` (a part as sent), `holds` (keys and their values) or `data`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import psycopg
import pytest
import yaml
from engine import harness
from engine.conftest import create_shop

from sandbox.postgres import Postgres

CASES = [
    pytest.param(case, id=f"{file.stem}: {case['name']}")
    for file in sorted((Path(__file__).parent / "calls").glob("*.yaml"))
    for case in yaml.safe_load(file.read_text())
]
STEP = {"type", "args", "version", "resource_version", "path", "role", "session", "query"}
STEP |= {"status", "answer", "error", "text", "holds", "data"}
SUCCESS = {"message": "success"}
pytestmark = pytest.mark.xdist_group("calls")


@pytest.fixture(scope="module")
def own_url(bare_postgres: Postgres) -> str:
    return create_shop(bare_postgres)


@pytest.fixture(scope="module")
def open_to_change(
    own_url: str, shop_directory: Path, handler: harness.Handler
) -> Iterator[harness.Served]:
    """An engine whose metadata nobody else relies on."""
    environ = {"HANDLER_URL": handler.url, "HOOK_URL": f"{handler.url}/hook"}
    with harness.serve(own_url, shop_directory, environ) as running:
        yield running


@pytest.fixture
def engine(open_to_change: harness.Served) -> Iterator[harness.Served]:
    before = deepcopy(open_to_change.engine.state.document)
    yield open_to_change
    args = {"allow_inconsistent_metadata": True, "metadata": before}
    body = {"type": "replace_metadata", "version": 2, "args": args}
    assert open_to_change.post("/v1/metadata", body).status_code == 200


@pytest.mark.parametrize("case", CASES)
def test_a_call_answers_as_hasura_does(
    case: dict[str, Any], engine: harness.Served, own_url: str
) -> None:
    assert case.keys() <= {"name", "section", "steps", "tidy"}
    try:
        for step in case["steps"]:
            _run(step, engine)
    finally:
        if "tidy" in case:
            with psycopg.connect(own_url, autocommit=True) as connection:
                connection.execute(case["tidy"])


def _run(step: dict[str, Any], engine: harness.Served) -> None:
    assert step.keys() <= STEP
    headers = {"x-hasura-admin-secret": harness.SECRET, **step.get("session", {})}
    if "role" in step:
        headers["x-hasura-role"] = step["role"]
    keys = ("type", "args", "version", "resource_version")
    body = {key: step[key] for key in keys if key in step}
    path = step.get("path", "/v1/metadata")
    if "query" in step and "type" not in step:
        body, path = {"query": step["query"]}, step.get("path", "/v1/graphql")
    answer = engine.post(path, body, headers)

    assert answer.status_code == step.get("status", 200), answer.text
    _compare(step, answer.text, answer.json())


def _compare(step: dict[str, Any], text: str, found: Any) -> None:
    if not {"answer", "error", "text", "holds", "data"} & step.keys():
        assert found == SUCCESS
    if "answer" in step:
        assert found == step["answer"]
    if "data" in step:
        assert found == {"data": step["data"]}
    if "text" in step:
        assert step["text"] in text
    if "holds" in step:
        assert {key: found.get(key) for key in step["holds"]} == step["holds"]
    if "error" in step:
        error = found["errors"][0] if "errors" in found else found
        error = {"error": error["message"], **error["extensions"]} if "message" in error else error
        error.pop("internal", None)
        assert error == step["error"], json.dumps(found)
