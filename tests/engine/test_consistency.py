"""Metadata that does not fit the database: listed, left out, and the rest is served."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from engine import harness

WALLET = {"schema": "public", "name": "wallet"}
OWNER = {"schema": "public", "name": "owner"}


def listed(url: str, directory: Path, tables: list[dict[str, Any]], **more: Any) -> list[str]:
    """Return the reasons why something of this metadata is inconsistent."""
    source = {"name": "default", "kind": "postgres", "tables": tables} | more
    harness.write_metadata({"sources": [source]}, directory / "metadata")
    with harness.serve(url, directory / "metadata", {}) as served:
        assert "data" in served.graphql("{ wallet { id } }")
        return [item["reason"] for item in served.engine.state.tracked.inconsistent]


def permission(**parts: Any) -> dict[str, Any]:
    entry = {"role": "user", "permission": {"columns": ["id"], "filter": {}} | parts}
    return {"table": WALLET, "select_permissions": [entry]}


@pytest.mark.parametrize(
    ("parts", "reason"),
    [
        ({"columns": ["id", "gone"]}, 'column "gone" does not exist'),
        ({"computed_fields": ["gone"]}, 'computed field "gone" does not exist'),
        (
            {"filter": {"gone": {"_eq": 1}}},
            '"gone" is no column and no relationship of table "wallet"',
        ),
        ({"filter": {"id": {"_is": 1}}}, '"_is" is not an operator'),
        (
            {"filter": {"_or": [{"_not": {"gone": {}}}]}},
            '"gone" is no column and no relationship of table "wallet"',
        ),
        (
            {"filter": {"_exists": {"_table": {"schema": "public", "name": "gone"}, "_where": {}}}},
            'table "gone" is not tracked',
        ),
        ({"filter": {"_and": [5]}}, "an object is expected in a boolean expression, not 5"),
    ],
)
def test_a_permission_with_a_fault_is_listed(
    shop_url: str, tmp_path: Path, parts: dict[str, Any], reason: str
) -> None:
    assert listed(shop_url, tmp_path, [permission(**parts)]) == [reason]


def test_a_permission_with_a_fault_denies_everything(shop_url: str, tmp_path: Path) -> None:
    faulty = permission(filter={"gone": {"_eq": 1}})
    source = {"name": "default", "kind": "postgres", "tables": [faulty]}
    harness.write_metadata({"sources": [source]}, tmp_path / "metadata")
    with harness.serve(shop_url, tmp_path / "metadata", {}) as served:
        (error,) = served.graphql("{ wallet { id } }", role="user")["errors"]
    assert error["message"] == "field 'wallet' not found in type: 'query_root'"


@pytest.mark.parametrize(
    ("value", "found"), [(True, 0), ("false", 3), ("TRUE", None), ("x-hasura-on", None)]
)
def test_is_null_in_a_permission_is_true_or_false_or_refused(
    shop_url: str, tmp_path: Path, value: Any, found: int | None
) -> None:
    tables = [permission(filter={"id": {"_is_null": value}})]
    source = {"name": "default", "kind": "postgres", "tables": tables}
    harness.write_metadata({"sources": [source]}, tmp_path / "metadata")
    with harness.serve(shop_url, tmp_path / "metadata", {}) as served:
        answer = served.graphql("{ wallet { id } }", role="user", on="true")

    if found is None:
        text = '"_is_null" in a permission is neither true nor false'
        assert answer["errors"][0]["message"] == text
    else:
        assert len(answer["data"]["wallet"]) == found


def test_a_permission_without_a_fault_is_not_listed(shop_url: str, tmp_path: Path) -> None:
    good = {"$or": [{"id": {"$eq": 1, "_ne": 2}}, {"balance_minor": {"_cgt": "id"}}, {"id": 5}]}
    assert listed(shop_url, tmp_path, [permission(filter=good)]) == []


@pytest.mark.parametrize(
    ("using", "reason"),
    [
        (
            {"foreign_key_constraint_on": "currency"},
            "no foreign constraint exists for relationship owner",
        ),
        ({"foreign_key_constraint_on": "owner_id"}, 'table "owner" is not tracked'),
        (
            {"manual_configuration": {"remote_table": WALLET, "column_mapping": {"id": "gone"}}},
            'column "id" or "gone" does not exist',
        ),
    ],
)
def test_a_relationship_that_leads_nowhere_is_listed(
    shop_url: str, tmp_path: Path, using: dict[str, Any], reason: str
) -> None:
    table = {"table": WALLET, "object_relationships": [{"name": "owner", "using": using}]}
    assert listed(shop_url, tmp_path, [table]) == [reason]


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("gone", 'no such function exists: "gone"'),
        ("overloaded", "is overloaded. Overloaded functions are not supported"),
        ("wallet_label", "because the function does not return a table"),
    ],
)
def test_a_function_that_cannot_be_served_is_listed(
    shop_url: str, tmp_path: Path, name: str, reason: str
) -> None:
    functions = [{"function": {"schema": "public", "name": name}}]
    (found,) = listed(shop_url, tmp_path, [{"table": WALLET}], functions=functions)
    assert reason in found


def test_a_table_that_is_gone_takes_its_relationships_with_it(
    shop_url: str, tmp_path: Path
) -> None:
    using = {"foreign_key_constraint_on": {"column": "x", "table": {"name": "gone"}}}
    tables = [
        {"table": WALLET},
        {"table": {"schema": "public", "name": "gone"}},
        {"table": OWNER, "array_relationships": [{"name": "lost", "using": using}]},
    ]
    assert listed(shop_url, tmp_path, tables) == [
        'Inconsistent object: no such table/view exists in source: "gone"',
        "no foreign constraint exists for relationship lost",
    ]
