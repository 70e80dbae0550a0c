"""Metadata that does not fit the database: listed, left out, and the rest is served."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import asyncpg
import psycopg
import pytest
from engine import harness
from engine.conftest import create_shop

from sandbox.engine.tracking import catalog
from sandbox.engine.tracking.join import track
from sandbox.postgres import Postgres

WALLET = {"schema": "public", "name": "wallet"}
OWNER = {"schema": "public", "name": "owner"}


def listed(url: str, tables: list[dict[str, Any]], **more: Any) -> list[str]:
    """Return the reasons why something of this metadata is inconsistent."""

    async def read() -> catalog.Catalog:
        connection = await asyncpg.connect(url)
        try:
            return await catalog.read(connection)
        finally:
            await connection.close()

    source = {"name": "default", "kind": "postgres", "tables": tables} | more
    return [item["reason"] for item in track([source], asyncio.run(read())).inconsistent]


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
        ({"filter": {"id": {"_in": 5}}}, '"_in" takes a list, not 5'),
        ({"filter": {"id": {"_in": ["gone"]}}}, "'gone' is no value of type Int"),
        ({"filter": {"balance_minor": "much"}}, "'much' is no value of type bigint"),
        ({"filter": {"id": {"_like": "1%"}}}, 'the operator "_like" is not for values of type Int'),
        ({"filter": {"id": {"_is_null": 1}}}, '"_is_null" takes true or false, not 1'),
        ({"filter": {"id": {"_is_null": "X"}}}, "\"_is_null\" takes true or false, not 'X'"),
        ({"filter": {"id": {"_ceq": "gone"}}}, 'column "gone" does not exist in table "wallet"'),
        ({"filter": {"id": {"_ceq": ["$", "gone"]}}}, 'column "gone" does not exist in table'),
        ({"filter": {"id": {"_ceq": 5}}}, "a column's name is expected, not 5"),
        ({"filter": {"id": {"_ceq": []}}}, "a column's name is expected, not []"),
        ({"filter": {"id": {"_ceq": ["a", "id"]}}}, "a column's name is expected, not ['a', 'id']"),
    ],
)
def test_a_permission_with_a_fault_is_listed(
    shop_url: str, parts: dict[str, Any], reason: str
) -> None:
    (found,) = listed(shop_url, [permission(**parts)])
    assert found.startswith(reason)


@pytest.mark.parametrize(
    ("column", "operand", "reason"),
    [
        ("meta", {"_cast": 5}, '"_cast" takes comparisons of a "String", not 5'),
        ("meta", {"_cast": {"Int": {}}}, '"_cast" takes comparisons of a "String", not '),
        ("meta", {"_cast": {"String": {"_is": 1}}}, '"_is" is not an operator'),
        ("meta", {"_has_keys_any": 5}, '"_has_keys_any" takes a list, not 5'),
        ("meta", {"_has_key": 5}, "5 is no value of type String: "),
        ("tags", {"_has_key": "a"}, 'the operator "_has_key" is not for values of type _text'),
        ("raw", {"_eq": {}}, "a column of type json cannot be compared"),
    ],
)
def test_an_operand_that_no_column_has_is_listed(
    bare_postgres: Postgres, column: str, operand: dict[str, Any], reason: str
) -> None:
    url = create_shop(bare_postgres)
    with psycopg.connect(url) as database:
        database.execute("alter table entry add raw json")
    entry = {"role": "user", "permission": {"columns": ["id"], "filter": {column: operand}}}
    table = {"table": {"schema": "public", "name": "entry"}, "select_permissions": [entry]}
    (found,) = listed(url, [{"table": WALLET}, table])
    assert found.startswith(reason)


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

    if found is None:  # it is listed, and denies everything
        text = "field 'wallet' not found in type: 'query_root'"
        assert answer["errors"][0]["message"] == text
    else:
        assert len(answer["data"]["wallet"]) == found


def test_a_permission_without_a_fault_is_not_listed(shop_url: str) -> None:
    good = {
        "$or": [
            {"id": {"$eq": 1, "_ne": 2, "_is_null": "false", "_in": "X-Hasura-Ids"}},
            {"balance_minor": {"_cgt": "id", "_clt": ["id"], "_ceq": ["$", "id"]}},
            {"id": 5, "owner_id": {"_in": ["a", "X-Hasura-User-Id"], "_like": "a%"}},
        ]
    }
    assert listed(shop_url, [permission(filter=good)]) == []


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
    shop_url: str, using: dict[str, Any], reason: str
) -> None:
    table = {"table": WALLET, "object_relationships": [{"name": "owner", "using": using}]}
    assert listed(shop_url, [table]) == [reason]


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("gone", 'no such function exists: "gone"'),
        ("overloaded", "is overloaded. Overloaded functions are not supported"),
        ("wallet_label", "because the function does not return a table"),
    ],
)
def test_a_function_that_cannot_be_served_is_listed(shop_url: str, name: str, reason: str) -> None:
    functions = [{"function": {"schema": "public", "name": name}}]
    (found,) = listed(shop_url, [{"table": WALLET}], functions=functions)
    assert reason in found


@pytest.mark.parametrize(
    ("function", "configuration", "reason"),
    [
        ("find_wallets", {"exposed_as": "mutation"}, "it is to be a mutation, but is not marked"),
        ("find_wallets", {"session_argument": "gone"}, '"gone" is none of the input arguments'),
        ("find_wallets", {"session_argument": "wanted"}, '"wanted" is not of type json'),
    ],
)
def test_a_function_that_is_said_to_be_another_is_listed(
    shop_url: str, function: str, configuration: dict[str, Any], reason: str
) -> None:
    entry = {"function": {"schema": "public", "name": function}, "configuration": configuration}
    (found,) = listed(shop_url, [{"table": WALLET}], functions=[entry])
    assert reason in found


@pytest.mark.parametrize(
    ("function", "arguments", "reason"),
    [
        ("wallet_label", {"table_argument": "gone"}, 'has no argument "gone"'),
        ("wallet_scaled", {"table_argument": "factor"}, "is not of the table's type"),
        ("wallet_viewer", {"session_argument": "gone"}, '"gone" is none of the input arguments'),
        ("wallet_viewer", {"session_argument": "wallet_row"}, "is not of type json"),
    ],
)
def test_a_computed_field_of_arguments_that_do_not_fit_is_listed(
    shop_url: str, function: str, arguments: dict[str, str], reason: str
) -> None:
    definition = {"function": {"schema": "public", "name": function}} | arguments
    table = {"table": WALLET, "computed_fields": [{"name": "made", "definition": definition}]}
    (found,) = listed(shop_url, [table])
    assert reason in found


def test_a_field_that_another_one_has_the_name_of_is_listed(shop_url: str) -> None:
    using = {"foreign_key_constraint_on": "owner_id"}
    named = [{"name": name, "using": using} for name in ("owner", "owner", "currency")]
    tables = [{"table": OWNER}, {"table": WALLET, "object_relationships": named}]
    assert listed(shop_url, tables) == [
        'field with name "owner" exists in table "wallet"',
        'field with name "currency" exists in table "wallet"',
    ]


@pytest.mark.parametrize(
    ("second", "reason"),
    [
        ({"kind": "postgres"}, "one source is served, which is default: this engine asks one"),
        ({"kind": "mssql"}, "a source of kind mssql is not supported: this engine serves Postgres"),
    ],
)
def test_of_several_sources_the_first_postgres_is_served(
    shop_url: str, tmp_path: Path, second: dict[str, Any], reason: str
) -> None:
    sources = [
        {"name": "default", "kind": "postgres", "tables": [{"table": WALLET}]},
        {"name": "other", "tables": [{"table": OWNER}]} | second,
    ]
    harness.write_metadata({"sources": sources}, tmp_path / "metadata")
    with harness.serve(shop_url, tmp_path / "metadata", {}) as served:
        (found,) = served.engine.state.tracked.inconsistent
        assert "data" in served.graphql("{ wallet { id } }")
        assert "errors" in served.graphql("{ owner { id } }")
    assert found["reason"].startswith(reason)


def test_a_table_that_is_gone_takes_its_relationships_with_it(shop_url: str) -> None:
    using = {"foreign_key_constraint_on": {"column": "x", "table": {"name": "gone"}}}
    tables = [
        {"table": WALLET},
        {"table": {"schema": "public", "name": "gone"}},
        {"table": OWNER, "array_relationships": [{"name": "lost", "using": using}]},
    ]
    assert listed(shop_url, tables) == [
        'Inconsistent object: no such table/view exists in source: "gone"',
        "no foreign constraint exists for relationship lost",
    ]
