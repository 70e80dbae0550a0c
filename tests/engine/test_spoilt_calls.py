"""Calls of the metadata API that are nearly right: whatever is wrong in one is refused, not met.

Every call of calls/*.yaml is taken, and one to three places of its arguments are replaced, renamed
or taken out. What passes nevertheless has to leave a schema that can be described and asked.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml
from engine import harness
from engine.conftest import create_shop
from graphql import get_introspection_query
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from sandbox.engine import api
from sandbox.engine.api.calls import CALLS
from sandbox.engine.errors import EngineError
from sandbox.postgres import Postgres

pytestmark = pytest.mark.xdist_group("changes")

SAFE = CALLS.keys() - {"run_sql", "bulk", "bulk_keep_going", "bulk_atomic"}
GOOD = [
    (step["type"], step.get("args", {}), step.get("version", 1))
    for file in sorted((Path(__file__).parent / "calls").glob("*.yaml"))
    for case in yaml.safe_load(file.read_text())
    for step in case["steps"]
    if step.get("type") in SAFE
]
SHOP = yaml.safe_load((harness.SHOP / "metadata.yaml").read_text())
GOOD += [("replace_metadata", {"allow_inconsistent_metadata": True, "metadata": SHOP}, 2)] * 5
Place = tuple[str | int, ...]


def places(value: Any, path: Place = ()) -> Iterator[tuple[Place, Any]]:
    """List every place inside a value, with what is there."""
    pairs: Any = value.items() if isinstance(value, dict) else ()
    for key, inner in enumerate(value) if isinstance(value, list) else pairs:
        yield (*path, key), inner
        yield from places(inner, (*path, key))


PARTS = [inner for _, args, _ in GOOD[:-5] for _, inner in places(args)]
KEYS = sorted({key for part in PARTS if isinstance(part, dict) for key in part})
ODD: st.SearchStrategy[Any] = st.sampled_from(
    [None, True, 0, -1, 2**31, 2**70, 1.5, 1e300, "", "\0", "é", "a b", "a.b", '"', "{{X}}", "{{",
     "*", "__x", "true", [], {}, [None], [[]], {"": None}, {"a.b": {"_and": 5}}, "99 99 * * *",
     "int4", "[Int!]", "[", "http://[", "infinity", "9999-12-31T23:59:59-23:00", "$eq", "_exists"]
)  # fmt: skip
INSTEAD = ODD | st.sampled_from(PARTS)


@st.composite
def spoilt(draw: st.DrawFn) -> tuple[str, Any, int]:
    kind, args, version = draw(st.sampled_from(GOOD))
    args = json.loads(json.dumps(args))
    for _ in range(draw(st.integers(1, 3))):
        found = [path for path, _ in places(args)]
        if not found:
            break
        *way, last = draw(st.sampled_from(found))
        holder = args
        for step in way:
            holder = holder[step]
        how = draw(st.sampled_from(["instead", "instead", "instead", "out", "renamed", "more"]))
        kept = holder[last]
        if how in ("out", "renamed"):
            del holder[last]
        if how == "renamed" and isinstance(holder, dict):
            holder[draw(st.sampled_from([*KEYS, "a.b", "", "x]"]))] = kept
        if how == "more" and isinstance(holder, dict):
            holder[draw(st.sampled_from(KEYS))] = deepcopy(draw(INSTEAD))
        if how == "instead":
            holder[last] = deepcopy(draw(INSTEAD))
    return kind, args, version


@pytest.fixture(scope="module")
def engine(
    bare_postgres: Postgres, shop_directory: Path, handler: harness.Handler
) -> Iterator[harness.Served]:
    environ = {"HANDLER_URL": handler.url, "HOOK_URL": f"{handler.url}/hook"}
    with harness.serve(create_shop(bare_postgres), shop_directory, environ) as running:
        yield running


def action(**definition: Any) -> tuple[str, Any, int]:
    whole = {"handler": "x", "output_type": "Quote", **definition}
    return "create_action", {"name": "ping", "definition": whole}, 1


@pytest.mark.timeout(600)
@settings(
    max_examples=150, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True
)
@given(call=spoilt())
@example(call=action(arguments=[{"name": "a", "type": "Int["}]))
@example(call=action(arguments=[{"name": "a b", "type": "Int"}]))
@example(
    call=(
        "set_custom_types",
        {"objects": [{"name": "A", "fields": [{"name": "a", "type": "!"}]}]},
        1,
    )
)
@example(call=("set_custom_types", {"enums": [{"name": "A", "values": [{"value": "true"}]}]}, 1))
@example(
    call=(
        "pg_create_array_relationship",
        {
            "table": "owner",
            "name": "a b",
            "using": {"foreign_key_constraint_on": {"column": "owner_id", "table": "wallet"}},
        },
        1,
    )
)
@example(
    call=(
        "pg_set_table_customization",
        {"table": "owner", "configuration": {"custom_name": "__x"}},
        1,
    )
)
def test_a_spoilt_call_is_refused_or_leaves_a_schema_that_can_be_asked(
    call: tuple[str, Any, int], engine: harness.Served
) -> None:
    kind, args, version = call
    before, refused = engine.engine.state, None
    try:
        engine.run(api.dispatch(engine.engine, {"type": kind, "args": args, "version": version}))
    except EngineError as refusal:
        refused = refusal

    assert refused is None or refused.status == 400 or "conflicting" in refused.message, refused
    _check_schema(engine, before)


def _check_schema(engine: harness.Served, before: Any) -> None:
    """Describe and ask what is served now, and serve again what was before."""
    if engine.engine.state is before:
        return
    try:
        answer = engine.graphql(get_introspection_query())
        assert "__schema" in answer.get("data", {}), answer
        answer = engine.graphql("{ owner { id wallets { id } } }", role="user", user_id="ann")
        assert "internal error" not in str(answer), answer
    finally:
        engine.run(engine.engine.adopt(before))
