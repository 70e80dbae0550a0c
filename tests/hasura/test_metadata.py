"""The metadata against the JSON Schema of Hasura's own types: the check that needs no Hasura."""

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from graphql import (
    FieldDefinitionNode,
    InputValueDefinitionNode,
    ObjectTypeDefinitionNode,
    ObjectTypeExtensionNode,
    parse,
    print_ast,
)
from jsonschema import Draft7Validator

ROOT = Path(__file__).parents[2]
METADATA = ROOT / "hasura" / "metadata"
SCHEMA = ROOT.parent / "shared" / "contracts" / "hasura-metadata-v3.schema.json"

Mistake = Callable[[dict[str, Any]], object]

# Where a part of the exported document is found; what is missing here is a list or an object.
FILES = {
    "sources": "databases/databases.yaml",
    "cron_triggers": "cron_triggers.yaml",
    "query_collections": "query_collections.yaml",
    "allowlist": "allow_list.yaml",
    "remote_schemas": "remote_schemas.yaml",
    "rest_endpoints": "rest_endpoints.yaml",
    "inherited_roles": "inherited_roles.yaml",
    "api_limits": "api_limits.yaml",
    "graphql_schema_introspection": "graphql_schema_introspection.yaml",
    "network": "network.yaml",
    "backend_configs": "backend_configs.yaml",
    "opentelemetry": "opentelemetry.yaml",
}


def read(file: Path) -> Any:
    """Read a file with every file that it includes in it."""
    return include(yaml.safe_load(file.read_text(encoding="utf-8")), file.parent)


def include(value: Any, folder: Path) -> Any:
    if isinstance(value, str) and value.startswith("!include "):
        return read(folder / value.removeprefix("!include "))
    if isinstance(value, list):
        return [include(each, folder) for each in value]
    if isinstance(value, dict):
        return {key: include(each, folder) for key, each in value.items()}
    return value


def with_types(actions: dict[str, Any]) -> dict[str, Any]:
    """Put what actions.graphql says of the actions and their types into the two lists."""
    document = parse((METADATA / "actions.graphql").read_text(encoding="utf-8"))
    kinds = (ObjectTypeDefinitionNode, ObjectTypeExtensionNode)
    nodes = [node for node in document.definitions if isinstance(node, kinds)]
    types = {node.name.value: node for node in nodes}
    for action in actions["actions"]:
        kind, field = the_field(nodes, action["name"])
        action["definition"] |= {
            "type": kind.lower(),
            "arguments": [typed(argument) for argument in field.arguments or ()],
            "output_type": print_ast(field.type),
        }
    for named in actions["custom_types"]["objects"]:
        named["fields"] = [typed(field) for field in types[named["name"]].fields or ()]
    return actions


def the_field(nodes: list[Any], name: str) -> tuple[str, FieldDefinitionNode]:
    (found,) = (
        (node.name.value, field)
        for node in nodes
        if node.name.value in ("Query", "Mutation")
        for field in node.fields or ()
        if field.name.value == name
    )
    return found


def typed(node: FieldDefinitionNode | InputValueDefinitionNode) -> dict[str, Any]:
    said = {"description": node.description.value} if node.description else {}
    return {"name": node.name.value, "type": print_ast(node.type), **said}


@pytest.fixture(scope="module")
def exported() -> dict[str, Any]:
    """The whole metadata as one document."""
    actions = read(METADATA / "actions.yaml")
    parts = {part: read(METADATA / file) for part, file in FILES.items()}
    return {**read(METADATA / "version.yaml"), **parts, **with_types(actions)}


@pytest.fixture(scope="module")
def schema() -> Draft7Validator:
    if not SCHEMA.exists():
        pytest.skip("the JSON Schema of the metadata is not beside the checkout")
    return Draft7Validator(amended(json.loads(SCHEMA.read_text(encoding="utf-8"))))


def amended(schema: dict[str, Any]) -> dict[str, Any]:
    """Take the newer of two definitions, where the schema has both and names the older one.

    Composite foreign keys, mutation functions and their permissions, an argument's description and
    a relationship's source are all younger than the types that the schema was made of.
    """
    definitions = schema["definitions"]
    newer = {
        "ObjRelUsing": ["SameTableObjectRelationship", "LocalTableObjectRelationship"],
        "ArrRelUsing": ["LocalTableArrayRelationship"],
    }
    key = "foreign_key_constraint_on"
    for older, names in newer.items():
        using = [definitions[name]["properties"]["using"]["properties"][key] for name in names]
        definitions[older]["properties"][key] = {"anyOf": using}
    source = schema["properties"]["sources"]["items"]["properties"]
    source["functions"]["items"] = {"$ref": "#/definitions/MetadataFunction"}
    definitions["InputArgument"]["properties"]["description"] = {"type": "string"}
    definitions["CustomTypeObjectRelationship"]["properties"]["source"] = {"type": "string"}
    return schema


def test_the_metadata_are_what_hasura_takes(
    schema: Draft7Validator, exported: dict[str, Any]
) -> None:
    faults = [f"{error.json_path}: {error.message}" for error in schema.iter_errors(exported)]

    assert faults == []


def first_table_with(document: dict[str, Any], key: str) -> dict[str, Any]:
    tables: list[dict[str, Any]] = document["sources"][0]["tables"]
    return next(table for table in tables if key in table)


MISTAKES: dict[str, Mistake] = {
    "an action without a handler": lambda d: d["actions"][0]["definition"].pop("handler"),
    "an action of no kind": lambda d: d["actions"][0]["definition"].update(kind="sometimes"),
    "a cron trigger without a schedule": lambda d: d["cron_triggers"][0].pop("schedule"),
    "a misspelt key of a table": lambda d: d["sources"][0]["tables"][0].update(relationship=[]),
    "a permission for nobody": lambda d: first_table_with(d, "select_permissions")[
        "select_permissions"
    ][0].pop("role"),
    "an event trigger that is never tried again": lambda d: first_table_with(d, "event_triggers")[
        "event_triggers"
    ][0].pop("retry_conf"),
    "a key on no column": lambda d: first_table_with(d, "object_relationships")[
        "object_relationships"
    ][0].update(using={"foreign_key_constraint_on": {"table": "x"}}),
    "a function that is neither": lambda d: d["sources"][0]["functions"][0]["configuration"].update(
        exposed_as="subscription"
    ),
    "a source of another kind": lambda d: d["sources"][0].update(kind="oracle"),
}


@pytest.mark.parametrize("mistake", MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_in_the_metadata_would_be_seen(
    schema: Draft7Validator, exported: dict[str, Any], mistake: Mistake
) -> None:
    document = copy.deepcopy(exported)

    mistake(document)

    assert not schema.is_valid(document)


def test_every_file_of_tables_and_functions_is_included_once() -> None:
    for kind in ("tables", "functions"):
        folder = METADATA / "databases" / "default" / kind
        lines = (folder / f"{kind}.yaml").read_text(encoding="utf-8").splitlines()
        named = [line.removeprefix('- "!include ').removesuffix('"') for line in lines if line]
        there = {file.name for file in folder.glob("*.yaml")} - {f"{kind}.yaml"}
        assert sorted(named) == sorted(there)


def test_a_table_is_in_the_file_of_its_name() -> None:
    for file in (METADATA / "databases" / "default" / "tables").glob("*_*.yaml"):
        table = read(file)["table"]
        assert file.stem == f"{table['schema']}_{table['name']}"
