"""Plans are compiled once: what makes two requests the same, and what makes them different."""

from __future__ import annotations

import gc
from typing import Any

import pytest
from engine import harness

from sandbox.engine.compile.steps import Sql
from sandbox.engine.documents import parsing
from sandbox.engine.execution import plan, state
from sandbox.engine.execution.plan import Plans
from sandbox.engine.schema.role import RoleSchema
from sandbox.engine.settings import Bounds

QUERY = """
query ($where: owner_bool_exp, $limit: Int, $order: [owner_order_by!], $more: Boolean = false) {
  owner(where: $where, limit: $limit, order_by: $order) { id name @include(if: $more) }
}
"""


@pytest.fixture
def schema(served: harness.Served) -> RoleSchema:
    return served.engine.state.schema("user")


def misses(schema: RoleSchema, *variables: dict[str, Any], query: str = QUERY) -> int:
    """Count the compilations that a sequence of requests needs."""
    plans = Plans(Bounds())
    for given in variables:
        plans.get(schema, query, None, given)
    return plans.misses


def test_other_values_use_the_same_plan(schema: RoleSchema) -> None:
    one = {"where": {"id": {"_eq": "ann"}}, "limit": 1, "order": {"id": "asc"}}
    two = {"where": {"id": {"_eq": "bob"}}, "limit": 2, "order": {"id": "asc"}}
    assert misses(schema, one, two) == 1


def test_lists_of_scalars_use_the_same_plan_at_any_length(schema: RoleSchema) -> None:
    lists = [{"where": {"id": {"_in": ["x"] * length}}} for length in (0, 1, 50)]
    assert misses(schema, *lists) == 1


@pytest.mark.parametrize(
    ("one", "two"),
    [
        ({"where": {"id": {"_eq": "x"}}}, {"where": {"id": {"_neq": "x"}}}),
        ({"where": {"id": {"_eq": "x"}}}, {"where": {"name": {"_eq": "x"}}}),
        ({"limit": 1}, {"limit": None}),
        ({"limit": 1}, {}),
        ({"order": {"id": "asc"}}, {"order": {"id": "desc"}}),
        ({"order": [{"id": "asc"}]}, {"order": [{"id": "asc"}, {"name": "asc"}]}),
        ({"more": True}, {"more": False}),
        ({"where": {"boss_id": {"_is_null": True}}}, {"where": {"boss_id": {"_is_null": False}}}),
        ({"where": {"_or": []}}, {"where": {"_or": [{}]}}),
    ],
)
def test_another_shape_is_another_plan(
    schema: RoleSchema, one: dict[str, Any], two: dict[str, Any]
) -> None:
    assert misses(schema, one, two, one, two) == 2


def test_roles_do_not_share_plans(served: harness.Served) -> None:
    plans = Plans(Bounds())
    for role in ("user", "admin"):
        plans.get(served.engine.state.schema(role), QUERY, None, {})
    assert plans.misses == 2


def test_a_plan_is_not_used_for_a_schema_that_took_the_place_of_another(
    served: harness.Served,
) -> None:
    """After a reload a new schema may have the very address of one that is gone."""
    state = served.engine.state
    plans = Plans(Bounds())

    def ask(role: str) -> None:
        parts = (state.tracked, state.permissions, state.actions, role)
        made = RoleSchema(*parts, backend=False, options=state.options)
        plans.get(made, "{ owner { id } }", None, {})

    for _ in range(20):
        ask("user")
        gc.collect()
        with pytest.raises(parsing.EngineError):
            ask("nobody")


def test_a_known_request_is_neither_parsed_nor_walked(
    schema: RoleSchema, monkeypatch: pytest.MonkeyPatch
) -> None:
    plans = Plans(Bounds())
    first, leaves = plans.get(schema, QUERY, None, {"limit": 1})

    def forbidden(*_args: object) -> None:
        raise AssertionError

    monkeypatch.setattr(parsing, "read", forbidden)
    monkeypatch.setattr(plan, "Walk", forbidden)
    again, others = plans.get(schema, QUERY, None, {"limit": 7})
    assert again is first
    assert (leaves, others) == ([1, False], [7, False])


def test_the_cache_keeps_the_latest_documents_only(
    schema: RoleSchema, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plan, "MOST_DOCUMENTS", 2)
    plans = Plans(Bounds())
    for key in "abacb":
        plans.get(schema, f"{{ {key}: __typename }}", None, {})

    assert plans.misses == 4  # a, b, c, and b again: a was used later than b
    assert len(plans.kept) == 2


def test_the_cache_keeps_some_shapes_of_a_document_only(
    schema: RoleSchema, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plan, "MOST_SHAPES", 3)
    plans = Plans(Bounds())
    for length in range(10):
        plans.get(schema, QUERY, None, {"order": [{"id": "asc"}] * length})
    (prepared,) = plans.kept.values()
    assert len(prepared.plans) == 3


def test_values_that_are_refused_are_not_kept(schema: RoleSchema) -> None:
    plans = Plans(Bounds())
    for _ in range(2):
        with pytest.raises(parsing.EngineError):
            plans.get(schema, QUERY, None, {"where": {"nothing": 1}})
    assert plans.misses == 2


def test_a_variable_inside_a_json_literal_is_never_reused(served: harness.Served) -> None:
    query = """query ($x: String!) { entry_aggregate(where: {meta: {_contains: {a: $x}}}) {
      aggregate { count } } }"""
    schema = served.engine.state.schema("admin")
    assert misses(schema, {"x": "1"}, {"x": "2"}, query=query) == 2


def test_client_values_never_become_sql_text(schema: RoleSchema) -> None:
    evil = "x'); drop table owner; --"
    query = f'{{ owner(where: {{id: {{_eq: "{evil}"}}}}) {{ id }} }}'
    (step,) = Plans(Bounds()).get(schema, query, None, {})[0].steps
    assert isinstance(step, Sql)
    assert "drop table" not in step.sql


def test_a_query_that_is_too_deep_is_refused(schema: RoleSchema) -> None:
    query = "{ owner " + "{ boss " * 50 + "{ id }" + "}" * 50 + "}"
    with pytest.raises(parsing.EngineError, match="too deep"):
        Plans(Bounds()).get(schema, query, None, {})


def test_fragments_that_multiply_are_read_once_each(schema: RoleSchema) -> None:
    """Thirty fragments that each spread the next one twice stand for a billion fields."""
    parts = [f"fragment F{n} on owner {{ boss {{ ...F{n + 1} ...F{n + 1} }} }}" for n in range(30)]
    query = "{ owner { ...F0 ...F0 } }" + "".join(parts) + "fragment F30 on owner { id }"
    assert misses(schema, {}, query=query) == 1


def test_a_literal_that_nests_without_end_is_no_query(schema: RoleSchema) -> None:
    query = "{ owner(where: " + "{_not: " * 20_000 + "{}" + "}" * 20_000 + ") { id } }"
    with pytest.raises(parsing.EngineError, match="more than 100000 characters"):
        Plans(Bounds()).get(schema, query, None, {})
    with pytest.raises(parsing.EngineError, match="not a valid graphql query"):
        Plans(Bounds(characters=10**6, tokens=10**6, depth=10**5)).get(schema, query, None, {})


def test_the_cache_is_bounded_by_what_it_weighs(
    schema: RoleSchema, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plan, "MOST_WEIGHT", 100_000)
    plans = Plans(Bounds())
    for number in range(50):
        plans.get(schema, f"# {number} {'x' * 500} \n {{ owner {{ id }} }}", None, {})
        assert plans.weight == sum(item.weight for item in plans.kept.values()) <= 100_000
    assert 1 <= len(plans.kept) < 10

    for length in range(50):
        plans.get(schema, QUERY, None, {"order": [{"id": "asc"}] * length})
        assert plans.weight == sum(item.weight for item in plans.kept.values()) <= 100_000
    (*_, prepared) = plans.kept.values()
    assert prepared.weight == plan.DOCUMENT_WEIGHT * len(QUERY) + sum(
        item.weight for item in prepared.plans.values()
    )
    assert 1 <= len(prepared.plans) < 50


def test_descriptions_of_the_schema_are_bounded_by_their_length(
    served: harness.Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    descriptions = state.Descriptions()
    monkeypatch.setattr(state, "DESCRIPTIONS_LENGTH_MAX", 100)
    for number in range(50):
        descriptions.keep(number % 7, "x" * 30)
        assert descriptions.length == sum(map(len, descriptions.kept.values())) <= 100
    assert list(descriptions.kept) == [5, 6, 0]
    descriptions.keep("large", "x" * 101)
    assert not descriptions.kept


def test_a_description_is_kept_for_each_role_whatever_else_the_document_says(
    served: harness.Served,
) -> None:
    for role in ("user", "admin"):
        for number in range(3):
            query = f'# {number}\n{{ __type(name: "wallet_label") {{ name }} }}'
            assert "data" in served.graphql(query, role=role)

    kept: list[Any] = list(served.engine.state.descriptions.kept)
    assert len([text for _, text, _ in kept if "wallet_label" in text]) == 2
