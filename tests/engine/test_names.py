"""Names that clash or that GraphQL cannot say: they are listed, and the first one is served."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
from engine import harness

CITY = {"schema": "public", "name": "city"}
MAYOR = {"schema": "public", "name": "mayor"}
INTROSPECTION = "{ __schema { types { name fields { name } inputFields { name } } } }"


@contextmanager
def serving(
    url: str, directory: Path, tables: list[dict[str, Any]], **source: Any
) -> Iterator[harness.Served]:
    document = {"sources": [{"name": "default", "kind": "postgres", "tables": tables} | source]}
    harness.write_metadata(document, directory / "metadata")
    with harness.serve(url, directory / "metadata", {}) as served:
        yield served


def reasons(served: harness.Served) -> list[str]:
    return [item["reason"] for item in served.engine.state.tracked.inconsistent]


def test_the_first_of_two_root_fields_of_one_name_is_served(atlas_url: str, tmp_path: Path) -> None:
    roots = {"select": "city", "insert": "insert_city", "select_by_pk": "chief"}
    tables = [{"table": CITY}, {"table": MAYOR, "configuration": {"custom_root_fields": roots}}]
    with serving(atlas_url, tmp_path, tables) as served:
        answer = served.graphql("{ city_by_pk(id: 1) { name } city(limit: 1) { __typename } }")
        other = served.graphql("{ chief(city_id: 1) { name } }")
        found = reasons(served)

    assert answer["data"]["city"] == [{"__typename": "city"}]
    assert other["data"] == {"chief": {"name": "Anne"}}
    assert [text.split("'")[1::2] for text in found] == [
        ["subscription_root", "city"],
        ["mutation_root", "insert_city"],
    ]
    assert "defined in [table city in source default, table mayor in source default]" in found[0]


def test_a_function_never_takes_the_name_of_a_table(atlas_url: str, tmp_path: Path) -> None:
    function = {
        "function": {"schema": "public", "name": "scan_cities"},
        "configuration": {"custom_name": "city", "exposed_as": "query"},
    }
    with serving(atlas_url, tmp_path, [{"table": CITY}], functions=[function]) as served:
        answer = served.graphql('{ city(where: {name: {_eq: "Paris"}}) { id } }')
        functions = served.graphql("{ city(args: {}) { id } }")
        found = reasons(served)

    assert answer == {"data": {"city": [{"id": 1}]}}
    assert functions["errors"][0]["message"] == "'city' has no argument named 'args'"
    assert any("function scan_cities" in text for text in found)


def test_two_tables_of_one_type_name_are_not_both_served(atlas_url: str, tmp_path: Path) -> None:
    tables = [{"table": CITY}, {"table": MAYOR, "configuration": {"custom_name": "city"}}]
    with serving(atlas_url, tmp_path, tables) as served:
        answer = served.graphql("{ city_by_pk(id: 1) { name } }")
        found = reasons(served)

    assert answer == {"data": {"city_by_pk": {"name": "Paris"}}}
    assert found == ['Found conflicting definitions for GraphQL type "city"']


def test_a_type_name_that_another_table_derives_gives_away_nothing(
    atlas_url: str, tmp_path: Path
) -> None:
    """A table named like another's input must not be read with the other's fields."""
    select = {"role": "user", "permission": {"columns": ["name"], "filter": {}}}
    tables = [
        {"table": CITY, "select_permissions": [select]},
        {
            "table": MAYOR,
            "configuration": {"custom_name": "city_order_by"},
            "select_permissions": [select],
        },
    ]
    with serving(atlas_url, tmp_path, tables) as served:
        listed = served.graphql("{ city(order_by: {name: asc}, limit: 1) { name } }", role="user")
        mayors = served.graphql("{ city_order_by(order_by: {name: asc}) { name } }", role="user")
        denied = served.graphql("{ city_order_by { secret } }", role="user")

    assert listed == {"data": {"city": [{"name": "Agra"}]}}
    assert mayors == {"data": {"city_order_by": [{"name": "Anne"}, {"name": "Michael"}]}}
    assert denied["errors"][0]["message"] == "field 'secret' not found in type: 'city_order_by'"


def test_what_graphql_cannot_name_is_left_out_and_the_rest_is_described(
    atlas_url: str, tmp_path: Path
) -> None:
    with psycopg.connect(atlas_url, autocommit=True) as connection:
        connection.execute("""
            drop schema if exists odd cascade;
            create schema odd;
            create type odd."my type" as enum ('a');
            create table odd.things (
              id integer, "my column" text, kind odd."my type",
              constraint "my key" primary key (id)
            );
            create table odd.choices (value text primary key, comment text);
            insert into odd.choices values ('good', 'fine'), ('not so good', 'bad');
            create function odd.find("the id" integer default 1, other integer default 2)
            returns setof odd.things language sql stable as $$ select * from odd.things $$;
        """)
    tables = [
        {"table": {"schema": "odd", "name": "things"}},
        {"table": {"schema": "odd", "name": "choices"}, "is_enum": True},
    ]
    functions = [{"function": {"schema": "odd", "name": "find"}}]
    with serving(atlas_url, tmp_path, tables, functions=functions) as served:
        answer = served.graphql("{ odd_things { id } odd_find(args: {other: 1}) { id } }")
        types = served.graphql(INTROSPECTION)["data"]["__schema"]["types"]
        found = reasons(served)
    with psycopg.connect(atlas_url, autocommit=True) as connection:
        connection.execute("drop schema odd cascade")

    fields = {item["name"]: item for item in types}
    assert answer == {"data": {"odd_things": [], "odd_find": []}}
    assert [item["name"] for item in fields["odd_things"]["fields"]] == ["id"]
    assert [item["name"] for item in fields["odd_find_args"]["inputFields"]] == ["other"]
    assert any('"not so good"' in text for text in found)


def test_graphql_default_names_are_refused_openly(atlas_url: str, tmp_path: Path) -> None:
    wanted = {"naming_convention": "graphql-default"}
    with serving(atlas_url, tmp_path, [{"table": CITY}], customization=wanted) as served:
        answer = served.graphql("{ city_by_pk(id: 1) { name } }")
        found = reasons(served)

    assert answer == {"data": {"city_by_pk": {"name": "Paris"}}}
    assert len(found) == 1
    assert "graphql-default is not supported" in found[0]
