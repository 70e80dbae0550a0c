"""Bodies that nobody sends who means well: refused, or kept in a form that a database can keep."""

import json
import tracemalloc
from collections.abc import Iterator
from typing import Any

import pytest
import responses
from flask.testing import FlaskClient

from app import create_app, jsonb
from app.graphql import operations

from .test_doors import ENVIRON, EVENT, SECRET

PAGE = {
    "token": "t" * 32,
    "display_id": "TXN-0000000001",
    "payment_intent_id": "6f1e9a3e-5a55-4a5a-9a55-000000000002",
    "gateway": None,
    "gateway_session_id": None,
    "amount": "4200",
    "currency": "INR",
    "capture_method": "automatic",
    "status": "pending",
    "transaction_status": "initiated",
    "expires_at": "2026-11-28T10:00:00+00:00",
}
BOOKING = {"amount": "42.00", "booking_id": "BK-1", "shipper_id": "SHP-1"}
ORDER = {"order_reference": "BK-1", "amount": 4200, "currency": "INR"}
SESSION = {"x-hasura-role": "owner", "x-hasura-user-id": "u"}
HARMLESS = {200, 400, 401}


class Database:
    """Answers what the doors read, and takes nothing that Postgres would not keep."""

    def __init__(self) -> None:
        self.kept: list[dict[str, Any]] = []

    def __call__(self, request: Any) -> tuple[int, dict[str, str], str]:
        body = json.loads(request.body, parse_constant=self.refuse)
        assert jsonb.parse(request.body) == body, "no jsonb"
        self.kept.append(body["variables"])
        rows = {"open_payment_page": [PAGE], "receive_order_event": []}
        field = operations()[body["operationName"]].field
        return 200, {}, json.dumps({"data": {field: rows[field]}})

    def refuse(self, text: str) -> None:
        pytest.fail(f"{text} reached the database")


@pytest.fixture
def database() -> Iterator[Database]:
    kept = Database()
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        mock.add_callback(responses.POST, ENVIRON["HASURA_ENDPOINT"], callback=kept)
        yield kept


@pytest.fixture
def client(database: Database) -> FlaskClient:
    return create_app(ENVIRON).test_client()


def bodies(junk: str) -> Iterator[tuple[str, str]]:
    """Put a piece of JSON wherever the doors of orders take something."""
    mark = "JUNK"
    detail = {"orderId": "ord-1", "amount": "42.00"}
    for place in ({"x": mark}, {"amount": mark}, {"orderId": mark}, {"customerId": mark}):
        yield "/events", json.dumps(EVENT | {"detail": detail | place})
    for place in ({"id": mark}, {"detail-type": mark}, {"time": mark}, {"detail": mark}):
        yield "/events", json.dumps(EVENT | {"detail": detail} | place)
    for place in ({"metadata": {"x": mark}}, {"metadata": mark}, {"amount": mark}):
        yield "/payments/initiate", json.dumps(BOOKING | place)
    for name in ("title", "metadata", "amount", "method", "gateway", "currency"):
        order = {"input": ORDER | {name: mark}, "session_variables": SESSION}
        yield "/initiate-payment", json.dumps(order)
    told = {"input": ORDER | {"metadata": {"x": mark}}, "session_variables": SESSION}
    yield "/initiate-payment", json.dumps(told)
    yield "/initiate-payment", json.dumps({"input": ORDER, "session_variables": {"x": mark}})


def spoilt(junk: str) -> list[tuple[str, bytes]]:
    return [(path, text.replace('"JUNK"', junk).encode()) for path, text in bodies(junk)]


@pytest.mark.parametrize(
    "junk",
    [
        *("NaN", "Infinity", "-Infinity", "1e400", "1e999999999", "-1e-999999999"),
        *("1e99999999999999999999", "9" * 4000, "9" * 5000, "0.1", "-1", "0", "true", "null"),
        *('"\\u0000"', '"a\\ud800b"', '"\\udfff"', '"\\u0000\\ud83d\\ude00"', '"\\u202e"'),
        *("[]", "{}", '["4200"]', '{"a": [[["\\u0000"]]]}', "[" * 400 + "]" * 400),
        *('""', '" "', '"' + "अ" * 1200 + '"', '"' + "a" * 9000 + '"', '"--"', '"\'; drop"'),
    ],
)
def test_junk_in_any_place_is_refused_or_kept(client, database, junk: str) -> None:
    for path, body in spoilt(junk):
        answer = client.post(path, data=body, headers=SECRET)
        assert answer.status_code in HARMLESS, (path, body[:200], answer.json)


@pytest.mark.parametrize("number", ["1e9999999", "1e-9999999", "-1e9999999", "0e9999999"])
def test_a_number_that_is_short_to_write_fills_no_memory(client, number: str) -> None:
    tracemalloc.start()
    for path, body in spoilt(number):
        client.post(path, data=body, headers=SECRET)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert most < 8 * 2**20


@pytest.mark.parametrize("sign", ["a", "अ", "\N{PILE OF POO}", "\x01", '"'])
def test_metadata_that_is_taken_is_what_the_table_takes(client, database, db, sign: str) -> None:
    """The longest that passes, with the names that a booking adds."""
    long = {"booking_id": "b" * 255, "shipper_id": "s" * 255, "fleet_owner_id": "f" * 255}
    for length in range(500, 6200, 100):
        body = BOOKING | long | {"metadata": {"note": sign * length}}
        client.post("/payments/initiate", json=body, headers=SECRET)
    assert database.kept
    for kept in database.kept:
        text = json.dumps(kept["metadata"])
        (row,) = db.execute("select octet_length((%s::jsonb)::text) as n", [text]).fetchall()
        assert row["n"] <= 8192
