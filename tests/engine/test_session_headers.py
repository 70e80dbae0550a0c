"""Session variables of headers: their bytes are UTF-8 (contract 4.2: values are text)."""

from __future__ import annotations

from typing import Any

import psycopg
from engine import harness

QUERY = {"query": '{ all_notes(where: {authorId: {_eq: "é💸"}}) { authorId } }'}
ADD = {"query": 'mutation { addNote(object: {authorId: "é💸", body: "x"}) { authorId } }'}


def ask(served: harness.Served, body: dict[str, str], user: bytes) -> Any:
    headers = [
        (b"x-hasura-admin-secret", harness.SECRET.encode()),
        (b"x-hasura-role", b"user"),
        (b"x-hasura-user-id", user),
    ]
    return served.client.post(f"{served.url}/v1/graphql", json=body, headers=headers).json()


def test_a_session_variable_holds_every_letter(
    served: harness.Served, shop: psycopg.Connection[Any]
) -> None:
    added = ask(served, ADD, "é💸".encode())

    assert added == {"data": {"addNote": {"authorId": "é💸"}}}
    assert ask(served, QUERY, b"x") == {"data": {"all_notes": [{"authorId": "é💸"}]}}


def test_a_session_variable_that_is_no_utf_8_is_another_text(
    served: harness.Served, shop: psycopg.Connection[Any]
) -> None:
    refused = ask(served, ADD, "é".encode("latin-1"))

    assert refused["errors"][0]["extensions"]["code"] == "permission-error"
