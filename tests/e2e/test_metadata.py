"""What the service asks, and what metadata names, exists: the running engine says so."""

from typing import Any

import pytest
import yaml
from books import ROOT
from e2e.product import World
from graphql import build_client_schema, get_introspection_query, validate

from app import graphql as client
from sandbox.world import HASURA_ADMIN_SECRET

ACTIONS = ROOT / "hasura" / "metadata" / "actions.yaml"
ADMIN = {"x-hasura-admin-secret": HASURA_ADMIN_SECRET}


def as_role(product: World, role: str, body: dict[str, Any], path: str = "v1/graphql") -> Any:
    url = f"http://127.0.0.1:{product.ports.hasura}/{path}"
    return product.web.post(url, json=body, headers=ADMIN | {"x-hasura-role": role}).json()


def test_every_operation_of_the_service_fits_the_schema_of_its_role(product: World) -> None:
    answer = as_role(product, "service", {"query": get_introspection_query()})
    schema = build_client_schema(answer["data"])

    for operation in client.operations().values():
        faults = [e for e in validate(schema, operation.document) if "never used" not in e.message]
        assert faults == [], operation.name


def test_everything_that_metadata_names_exists(product: World) -> None:
    body = {"type": "get_inconsistent_metadata", "args": {}}
    answer = as_role(product, "admin", body, "v1/metadata")

    assert answer == {"is_consistent": True, "inconsistent_objects": []}


@pytest.mark.parametrize("role", ["customer", "viewer", "finance", "owner", "operator"])
def test_people_have_no_mutation_but_their_actions(product: World, role: str) -> None:
    query = "{ __schema { mutationType { fields { name } } } }"
    answer = as_role(product, role, {"query": query})
    root = answer["data"]["__schema"]["mutationType"]

    names = {field["name"] for field in root["fields"]} if root else set()
    actions = yaml.safe_load(ACTIONS.read_text(encoding="utf-8"))["actions"]
    theirs = {a["name"] for a in actions if {"role": role} in a["permissions"]}
    assert names == theirs
