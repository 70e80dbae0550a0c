"""The Hasura client against what Hasura answers, good and bad."""

import json

import pytest
import requests
import responses

from app import graphql
from app.errors import AmountOutOfRangeError, ServiceUnavailableError
from app.graphql import QueryError, connect

URL = "http://hasura.test/v1/graphql"
ROW = {"data": {"clock": [{"skew_seconds": "60"}]}}


def error(code: str, message: str) -> dict[str, object]:
    return {"errors": [{"message": message, "extensions": {"path": "$", "code": code}}]}


@pytest.fixture
def hasura(monkeypatch: pytest.MonkeyPatch) -> graphql.Hasura:
    monkeypatch.setattr(graphql, "PAUSE_SECONDS_MAX", 0.051)
    monkeypatch.setattr(graphql, "TRIES_SECONDS_MAX", 600)  # a machine that stalls has all three
    return connect(URL, {"x-hasura-role": "service"})


@responses.activate
def test_an_operation_is_sent_by_name_and_its_root_field_answered(hasura) -> None:
    responses.post(URL, json=ROW)

    assert hasura.run("ReadClock") == [{"skew_seconds": "60"}]
    sent = json.loads(responses.calls[0].request.body)
    assert sent["operationName"] == "ReadClock"


@responses.activate
def test_a_session_is_sent_as_headers_and_cannot_change_the_role(hasura) -> None:
    responses.post(URL, json=ROW)
    actor = hasura.acting_for({"x-hasura-user-id": "u1", "x-hasura-role": "admin"})
    actor.run("ReadClock")
    hasura.run("ReadClock")

    first, second = (call.request.headers for call in responses.calls)
    assert (first["x-hasura-user-id"], first["x-hasura-role"]) == ("u1", "service")
    assert "x-hasura-user-id" not in second


@responses.activate
def test_a_refusal_of_a_sql_function_has_its_own_error(hasura) -> None:
    responses.post(URL, json=error("data-exception", "amount-out-of-range: 5 is too little"))

    with pytest.raises(AmountOutOfRangeError, match=r"^5 is too little$"):
        hasura.run("ReadClock")
    assert len(responses.calls) == 1


@pytest.mark.parametrize(
    "failing",
    [
        {"json": error("unexpected", "database query error")},
        {"json": error("postgres-error", "connection error")},
        {"body": requests.ConnectionError("refused")},
        {"body": requests.ReadTimeout("slow")},
        {"status": 502, "body": "<html>Bad gateway</html>"},
        {"status": 200, "body": "nonsense"},
    ],
)
@responses.activate
def test_passing_trouble_is_tried_again(hasura, failing) -> None:
    responses.post(URL, **failing)
    responses.post(URL, **failing)
    responses.post(URL, json=ROW)

    assert hasura.one("ReadClock") == {"skew_seconds": "60"}


@responses.activate
def test_lasting_trouble_is_reported_after_three_tries(hasura) -> None:
    responses.post(URL, json=error("unexpected", "database query error"))

    with pytest.raises(ServiceUnavailableError):
        hasura.run("ReadClock")
    assert len(responses.calls) == 3


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("validation-failed", "field 'clock' not found in type: 'query_root'"),
        ("access-denied", "invalid secret"),
        ("data-exception", "invalid input syntax for type uuid"),
        ("permission-error", "amount-out-of-range: not by this way"),
    ],
)
@responses.activate
def test_any_other_answer_is_a_bug_and_not_tried_again(hasura, code, message) -> None:
    responses.post(URL, json=error(code, message))

    with pytest.raises(QueryError):
        hasura.run("ReadClock")
    assert len(responses.calls) == 1


@pytest.mark.parametrize("rows", [[], [{"skew_seconds": "1"}, {"skew_seconds": "2"}]])
@responses.activate
def test_one_row_means_one_row(hasura, rows) -> None:
    responses.post(URL, json={"data": {"clock": rows}})

    with pytest.raises(QueryError):
        hasura.one("ReadClock")
