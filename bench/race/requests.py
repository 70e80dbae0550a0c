"""Requests as bytes: what each server is sent for a workload."""

from __future__ import annotations

import json
import random
import time
from typing import Any

import jwt

from race.workloads import JWT_KEY, SECRET, Workload

VARIANTS = 499
ORGANIZATION = "7"
PATHS = {
    "by-pk query": "/by-pk",
    "by-pk, token": "/by-pk",
    "insert": "/insert",
    "function mutation": "/deposit",
    "100 rows, nested": "/list",
}
SESSION = {
    "x-hasura-admin-secret": SECRET,
    "x-hasura-role": "clerk",
    "x-hasura-organization-id": ORGANIZATION,
}


def prepare(workload: Workload, peer: str, draw: random.Random) -> list[bytes]:
    """Return requests that differ in their variables only."""
    return [request(workload, peer, workload.make(draw)) for _ in range(VARIANTS)]


def request(workload: Workload, peer: str, variables: dict[str, Any]) -> bytes:
    if peer == "engine":
        session = _token_headers() if workload.token else SESSION
        return http("/v1/graphql", {"query": workload.query, "variables": variables}, session)
    if peer == "postgraphile":
        body = {"query": workload.postgraphile, "variables": _camel(variables)}
        return http("/graphql", body, {"accept": "application/json"})
    return http(PATHS[workload.name], variables, {"x-organization-id": ORGANIZATION})


def marker(workload: Workload, peer: str) -> bytes:
    """Return what a right answer holds."""
    text = workload.marker
    if peer == "static":
        text = "{}"
    if peer == "postgraphile":
        text = text.replace('"client"', '"clientByClientId"')
    return text.encode()


def http(path: str, body: dict[str, Any], headers: dict[str, str]) -> bytes:
    content = json.dumps(body).encode()
    lines = [
        f"POST {path} HTTP/1.1",
        "host: 127.0.0.1",
        "content-type: application/json",
        f"content-length: {len(content)}",
        *(f"{name}: {value}" for name, value in headers.items()),
    ]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + content


def _token_headers() -> dict[str, str]:
    claims = {
        "x-hasura-allowed-roles": ["clerk"],
        "x-hasura-default-role": "clerk",
        "x-hasura-organization-id": ORGANIZATION,
    }
    payload = {
        "sub": "race",
        "exp": int(time.time()) // 3600 * 3600 + 7200,
        "https://hasura.io/jwt/claims": claims,
    }
    return {"authorization": "Bearer " + jwt.encode(payload, JWT_KEY, "HS256")}


def _camel(variables: dict[str, Any]) -> dict[str, Any]:
    """Spell an insert's row as PostGraphile names its columns, the preset column among them."""
    if "row" not in variables:
        return variables
    row = variables["row"]
    named = {
        "clientId": row["client_id"],
        "amount": row["amount"],
        "status": row["status"],
        "note": row["note"],
        "organizationId": int(ORGANIZATION),
    }
    return {"row": named}
