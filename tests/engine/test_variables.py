"""The two walks over a variable, one for each request and one for each plan, must agree."""

from __future__ import annotations

from itertools import count
from typing import Any

import pytest
from engine import harness
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from sandbox.engine.documents.variables import Leaf, numbered, shape
from sandbox.engine.schema.model import Ref
from sandbox.engine.schema.role import RoleSchema

SCALARS = st.none() | st.booleans() | st.integers(-5, 5) | st.text("ab", max_size=2)
KEYS = st.sampled_from(
    ["_and", "_or", "_not", "id", "age", "wallets", "boss", "_eq", "_in", "_is_null", "nothing"]
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)


@pytest.fixture(scope="module")
def schema(served: harness.Served) -> RoleSchema:
    return served.engine.state.schema("admin")


def leaves_of(tree: Any) -> list[Leaf]:
    if isinstance(tree, Leaf):
        return [tree]
    if isinstance(tree, dict):
        return [leaf for item in tree.values() for leaf in leaves_of(item)]
    return [leaf for item in tree for leaf in leaves_of(item)] if isinstance(tree, list) else []


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(value=VALUES)
def test_a_leaf_has_the_number_under_which_the_request_keeps_it(
    schema: RoleSchema, value: Any
) -> None:
    kind = schema.known("owner_bool_exp")
    assert kind is not None
    leaves: list[Any] = []
    shape(value, Ref(kind), leaves)
    numbers = count()
    found = leaves_of(numbered(value, Ref(kind), numbers))

    assert next(numbers) == len(leaves)
    for leaf in found:
        assert leaves[leaf.index] == leaf.value
    assert len({leaf.index for leaf in found}) == len(found)


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(one=VALUES, two=VALUES)
def test_values_of_one_shape_differ_in_their_leaves_only(
    schema: RoleSchema, one: Any, two: Any
) -> None:
    kind = schema.known("owner_bool_exp")
    assert kind is not None

    def skeleton(value: Any) -> Any:
        """Return the tree with every leaf's value left out, but for what may change the SQL."""
        return _without_values(numbered(value, Ref(kind), count()))

    found = shape(one, Ref(kind), [])
    assume("unknown" not in repr(found))  # such a request is refused and its plan never kept
    if found == shape(two, Ref(kind), []):
        assert skeleton(one) == skeleton(two)


def _without_values(tree: Any) -> Any:
    if isinstance(tree, Leaf):
        return tree.index, tree.value if isinstance(tree.value, bool) else type(tree.value)
    if isinstance(tree, dict):
        return {key: _without_values(item) for key, item in tree.items()}
    return [_without_values(item) for item in tree] if isinstance(tree, list) else tree


def test_a_condition_of_the_document_is_no_text_that_happens_to_hold_a_boolean(
    served: harness.Served,
) -> None:
    """A variable of another type is not part of a plan's key, so its value would be remembered."""
    query = 'query ($on: String) { owner_by_pk(id: "ann") { id name @include(if: $on) } }'
    text = "variable 'on' is declared as 'String', but used where 'Boolean!' is expected"
    path = "$.selectionSet.owner_by_pk.selectionSet.args.if"
    expected = {"message": text, "extensions": {"path": path, "code": "validation-failed"}}

    assert served.graphql(query, {"on": True}) == {"errors": [expected]}
    assert served.graphql(query, {"on": False}) == {"errors": [expected]}


@pytest.mark.parametrize("declared", ["Boolean!", "Boolean = true"])
def test_a_condition_of_the_document_is_asked_of_each_request(
    served: harness.Served, declared: str
) -> None:
    query = f'query ($on: {declared}) {{ owner_by_pk(id: "ann") {{ id name @include(if: $on) }} }}'

    for on in (True, False, True):
        found = served.graphql(query, {"on": on})["data"]["owner_by_pk"]
        assert ("name" in found) is on
