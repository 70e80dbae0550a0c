"""Asynchronous actions: written down at once, made later, and told to whoever called."""

from __future__ import annotations

import asyncio
import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import pytest
from engine import harness
from engine.waiting import eventually

from sandbox.engine.errors import EngineError
from sandbox.engine.execution import actions
from sandbox.engine.triggers import async_actions

ANN = {"role": "user", "user_id": "ann"}
BOB = {"role": "user", "user_id": "bob"}
CALL = "mutation ($i: TopUpInput!) { topUpLater(input: $i) }"
TOLD = """query ($id: uuid!) { topUpLater(id: $id) {
  id errors output { payment_id kind: __typename raw detail { text } lines { number }
    wallet { id owner { name } } } } }"""
WAITING = """select count(*) from hdb_catalog.hdb_action_log
  where status in ('created', 'processing') and action_name like '%Later'"""
ALONE = "query ($id: uuid!) { noteLater(id: $id) { errors output { text } } }"


@pytest.fixture(scope="module")
def metadata(shop_metadata: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    document = with_later(shop_metadata, "topUpLater")
    return harness.write_metadata(document, tmp_path_factory.mktemp("later") / "metadata")


def with_later(shop_metadata: dict[str, Any], name: str) -> dict[str, Any]:
    document = copy.deepcopy(shop_metadata)
    later = copy.deepcopy(document["actions"][0])
    later["name"] = name
    later["definition"]["kind"] = "asynchronous"
    plain = copy.deepcopy(later)
    plain["name"] = "noteLater"
    plain["definition"] |= {"output_type": "[TopUpDetail!]!", "forward_client_headers": False}
    listed = copy.deepcopy(plain)
    listed["name"] = "numbersLater"
    listed["definition"]["output_type"] = "[Int]"
    document["actions"] += [later, plain, listed]
    return document


@pytest.fixture(scope="module")
def later(shop_url: str, metadata: Path, handler: harness.Handler) -> Iterator[harness.Served]:
    with harness.serve(shop_url, metadata, {"HANDLER_URL": handler.url}) as running:
        yield running


@pytest.fixture(autouse=True)
def _every_call_is_made(request: pytest.FixtureRequest) -> Iterator[None]:
    """Leave no call to be made while the next test looks at what the handler was asked."""
    is_served = "later" in request.fixturenames
    shop = request.getfixturevalue("shop") if is_served else None
    yield
    if shop is not None:
        eventually(lambda: shop.execute(WAITING).fetchone() == (0,))


def given(answer: dict[str, Any] | None = None) -> dict[str, Any]:
    more = {} if answer is None else {"answer": answer}
    return {"i": {"wallet_id": 1, "amount": 5.5, **more}}


def call(
    served: harness.Served, answer: dict[str, Any] | None = None, query: str = CALL, **session: str
) -> str:
    found = served.graphql(query, given(answer), **(session or ANN))
    assert "data" in found, found
    (identifier,) = found["data"].values()
    return str(UUID(identifier))


def told(served: harness.Served, identifier: str, query: str = TOLD, **session: str) -> Any:
    found = served.graphql(query, {"id": identifier}, **(session or ANN))
    assert "data" in found, found
    return next(iter(found["data"].values()))


def outcome(
    served: harness.Served, identifier: str, query: str = TOLD, **session: str
) -> dict[str, Any]:
    def look() -> Any:
        found = told(served, identifier, query, **session)
        return found if found["output"] is not None or found["errors"] is not None else None

    found: dict[str, Any] = eventually(look)
    return found


def test_a_call_is_answered_with_its_id_and_made_at_once(
    later: harness.Served, handler: harness.Handler, shop: psycopg.Connection[Any]
) -> None:
    before = len(handler.calls)
    identifier = call(later)
    asked = eventually(lambda: handler.calls[before:])[0]
    found = outcome(later, identifier)

    assert asked["path"] == "/top-up"
    assert asked["body"] == {
        "action": {"name": "topUpLater"},
        "input": {"input": {"wallet_id": 1, "amount": 5.5}},
        "session_variables": {"x-hasura-role": "user", "x-hasura-user-id": "ann"},
    }
    assert asked["headers"]["x-action-secret"] == "for handlers"
    assert found == {
        "id": identifier,
        "errors": None,
        "output": {
            "payment_id": "p1",
            "kind": "TopUpResult",
            "raw": {"n": 1},
            "detail": None,
            "lines": None,
            "wallet": {"id": 1, "owner": {"name": "Ann"}},
        },
    }
    row = shop.execute(
        "select status, response_received_at is not null from hdb_catalog.hdb_action_log"
        " where id = %s",
        [identifier],
    ).fetchone()
    assert row == ("completed", True)


def test_until_it_is_answered_a_call_has_neither_output_nor_errors(
    later: harness.Served, handler: harness.Handler, shop: psycopg.Connection[Any]
) -> None:
    assert shop
    with handler.holding():
        identifier = call(later, {"held": True})
        first = told(later, identifier)

    assert (first["output"], first["errors"]) == (None, None)
    assert outcome(later, identifier)["output"]["payment_id"] == "p1"


def test_nested_answers_are_cut_to_the_selection(
    later: harness.Served, shop: psycopg.Connection[Any]
) -> None:
    assert shop
    lines = [{"number": 2, "text": "x"}, {"number": 1}, {}]
    body = {"payment_id": "p", "detail": {"text": "t", "number": 1}, "lines": lines, "more": 1}
    output = outcome(later, call(later, {"body": body}))["output"]

    assert output["detail"] == {"text": "t"}
    assert output["lines"] == [{"number": 2}, {"number": 1}, {"number": None}]


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (
            {"status": 400, "body": {"message": "too little", "code": "mine"}},
            {"path": "$", "error": "too little", "code": "mine"},
        ),
        (
            {"status": 400, "body": {"message": "no", "extensions": {"code": "x", "need": 3}}},
            {"path": "$", "error": "no", "code": "unexpected"},
        ),
        (
            {"status": 500, "body": {"message": "secret"}},
            {"path": "$", "error": "internal error", "code": "unexpected"},
        ),
        (
            {"text": "<html>"},
            {"path": "$", "error": "not a valid json response from webhook", "code": "unexpected"},
        ),
        (
            {"body": {"wallet_id": 1}},
            {
                "path": "$",
                "error": 'field "payment_id" expected in webhook response, but not found',
                "code": "unexpected",
            },
        ),
        (
            {"body": {"payment_id": "half a pair \ud800"}},
            {"path": "$", "error": "the answer cannot be stored", "code": "unexpected"},
        ),
        (
            {"body": {"payment_id": "nul \0"}},
            {"path": "$", "error": "the answer cannot be stored", "code": "unexpected"},
        ),
    ],
)
def test_a_failure_is_told_as_an_error(
    later: harness.Served,
    shop: psycopg.Connection[Any],
    answer: dict[str, Any],
    error: dict[str, Any],
) -> None:
    assert shop
    # The mark of nothing and half a pair cannot be part of an input: they come as escaped text.
    if "body" in answer and "status" not in answer:
        answer = {"text": json.dumps(answer["body"])}
    found = outcome(later, call(later, answer))
    assert (found["output"], found["errors"]) == (None, error)


def test_only_the_admin_sees_what_the_handler_did(
    later: harness.Served, shop: psycopg.Connection[Any]
) -> None:
    assert shop
    identifier = call(later, {"status": 500, "text": '"boom"'}, role="admin")
    errors = outcome(later, identifier, role="admin")["errors"]
    assert errors["internal"]["response"]["body"] == '"boom"'


@pytest.mark.parametrize("query", [TOLD, ALONE])
def test_a_call_is_told_to_whoever_made_it_and_to_the_admin(
    later: harness.Served, shop: psycopg.Connection[Any], query: str
) -> None:
    assert shop
    made = CALL if query == TOLD else CALL.replace("topUpLater", "noteLater")
    identifier = call(later, {"body": [{"text": "t"}]}, made)
    outcome(later, identifier, query)

    assert told(later, identifier, query, **BOB) is None
    assert told(later, identifier, query, role="user", user_id="ann", more="1") is None
    assert told(later, identifier, query, role="admin") is not None


def test_an_unknown_call_is_null_and_no_id_is_refused(
    later: harness.Served, shop: psycopg.Connection[Any]
) -> None:
    assert shop
    assert told(later, "00000000-0000-4000-8000-000000000000") is None
    found = later.graphql("{ topUpLater { id } }", **ANN)
    assert found["errors"][0]["message"] == "missing required field 'id'"
    found = later.graphql('{ topUpLater(id: "x") { id } }', **ANN)
    assert found["errors"][0]["extensions"]["code"] == "data-exception"


def test_lists_of_objects_and_of_scalars_are_answers_too(
    later: harness.Served, shop: psycopg.Connection[Any]
) -> None:
    assert shop
    made = CALL.replace("topUpLater", "noteLater")
    identifier = call(later, {"body": [{"text": "b"}, {"text": "a"}]}, made)
    assert outcome(later, identifier, ALONE)["output"] == [{"text": "b"}, {"text": "a"}]

    query = "query ($id: uuid!) { numbersLater(id: $id) { errors output } }"
    identifier = call(later, {"body": [2, None, 1]}, CALL.replace("topUpLater", "numbersLater"))
    assert outcome(later, identifier, query)["output"] == [2, None, 1]


def test_the_log_keeps_no_header_that_is_not_forwarded(
    later: harness.Served, shop: psycopg.Connection[Any]
) -> None:
    headers = {
        "x-hasura-admin-secret": harness.SECRET,
        "x-hasura-role": "user",
        "x-hasura-user-id": "ann",
        "x-mine": "1",
        "user-agent": "me",
    }
    kept = {}
    for name in ("topUpLater", "noteLater"):
        body = {"query": CALL.replace("topUpLater", name), "variables": given({"body": []})}
        identifier = later.post("/v1/graphql", body, headers).json()["data"][name]
        sql = "select request_headers from hdb_catalog.hdb_action_log where id = %s"
        found = shop.execute(sql, [identifier]).fetchone()
        assert found
        kept[name] = found[0]

    assert kept["noteLater"] == {}
    assert kept["topUpLater"]["x-mine"] == "1"
    assert kept["topUpLater"]["x-forwarded-user-agent"] == "me"
    assert not [name for name in kept["topUpLater"] if name.startswith("x-hasura-")]


def test_a_call_shares_no_transaction_with_what_is_beside_it(
    later: harness.Served, shop: psycopg.Connection[Any]
) -> None:
    sql = "select count(*) from hdb_catalog.hdb_action_log"
    before = shop.execute(sql).fetchone()
    query = (
        "mutation ($i: TopUpInput!) { topUpLater(input: $i)"
        ' insert_owner_one(object: {id: "ann", name: "x"}) { id } }'
    )
    failed = later.graphql(query, given())
    after = shop.execute(sql).fetchone()

    assert "errors" in failed
    assert before
    assert after
    assert after[0] == before[0] + 1


def test_a_call_that_a_dead_engine_had_taken_is_made_again(
    later: harness.Served, shop: psycopg.Connection[Any]
) -> None:
    sql = """
    insert into hdb_catalog.hdb_action_log
        (action_name, input_payload, request_headers, session_variables, status, locked_at)
    values ('topUpLater', '{"input": {"wallet_id": 1, "amount": 1}}', '{}',
        '{"x-hasura-role": "user", "x-hasura-user-id": "ann"}', 'processing',
        now() - %s * interval '1 second')
    returning id::text
    """
    fresh = shop.execute(sql, [0]).fetchone()
    stale = shop.execute(sql, [async_actions.LOCK_SECONDS + 1]).fetchone()
    assert fresh
    assert stale

    try:
        assert outcome(later, stale[0])["output"]["payment_id"] == "p1"
        found = told(later, fresh[0])
        assert (found["output"], found["errors"]) == (None, None)
    finally:
        shop.execute("delete from hdb_catalog.hdb_action_log where id::text = %s", fresh)


def test_many_calls_are_made_ten_at_a_time(
    later: harness.Served, handler: harness.Handler, shop: psycopg.Connection[Any]
) -> None:
    before = len(handler.calls)
    many = """
    insert into hdb_catalog.hdb_action_log
        (action_name, input_payload, request_headers, session_variables, status)
    select 'topUpLater', '{"input": {"wallet_id": 1, "amount": 1, "answer": {"held": true}}}',
        '{}', '{"x-hasura-role": "many"}', 'created'
    from generate_series(1, 25)
    """
    assert later.url
    counted = """
    select count(*) filter (where status = 'processing'),
        count(*) filter (where status = 'completed')
    from hdb_catalog.hdb_action_log where session_variables ->> 'x-hasura-role' = 'many'
    """
    most = async_actions.BATCH_MAX
    with handler.holding():
        shop.execute(many)
        eventually(lambda: len(handler.calls) >= before + most)
        assert shop.execute(counted).fetchone() == (most, 0)
    seen: set[int] = set()

    def look() -> bool:
        processing, completed = shop.execute(counted).fetchone() or (0, 0)
        seen.add(processing)
        return bool(completed == 25)

    eventually(look)
    assert max(seen) <= most
    assert len(handler.calls) == before + 25


def test_what_is_on_its_way_when_the_engine_stops_is_finished_or_given_back(
    shop_url: str,
    shop_metadata: dict[str, Any],
    tmp_path: Path,
    handler: harness.Handler,
    shop: psycopg.Connection[Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # A name of its own, for other engines at this database serve the usual ones.
    metadata = harness.write_metadata(with_later(shop_metadata, "mine"), tmp_path / "metadata")
    query = CALL.replace("topUpLater", "mine")
    stop = async_actions.AsyncActions.stop

    async def stop_and_be_answered(self: async_actions.AsyncActions) -> None:
        asyncio.get_running_loop().call_later(0.1, handler.answers.set)
        await stop(self)

    def stopped_on_its_way() -> tuple[Any, ...] | None:
        before = len(handler.calls)
        with harness.serve(shop_url, metadata, {"HANDLER_URL": handler.url}) as running:
            identifier = call(running, {"held": True}, query)
            eventually(lambda: len(handler.calls) > before)
        sql = "delete from hdb_catalog.hdb_action_log where id::text = %s returning status"
        return shop.execute(sql, [identifier]).fetchone()

    with handler.holding(), monkeypatch.context() as patched:
        patched.setattr(async_actions.AsyncActions, "stop", stop_and_be_answered)
        assert stopped_on_its_way() == ("completed",)
    with handler.holding(), monkeypatch.context() as patched:
        patched.setattr(async_actions, "GRACE_SECONDS", 0.1)
        assert stopped_on_its_way() == ("created",)


def test_a_fault_of_the_engine_is_told_without_its_reason(
    later: harness.Served, shop: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert shop

    def break_down(*_: object) -> None:
        raise RuntimeError("secret")

    monkeypatch.setattr(actions, "_checked", break_down)
    errors = outcome(later, call(later))["errors"]
    assert errors == {"path": "$", "error": "internal error", "code": "unexpected"}


def test_the_schema_shows_the_call_and_its_log(later: harness.Served) -> None:
    kind = "type { kind name ofType { kind name } }"
    query = f"""{{ __schema {{
      mutationType {{ fields {{ name {kind} }} }}
      queryType {{ fields {{ name args {{ name {kind} }} {kind} }} }}
      subscriptionType {{ fields {{ name {kind} }} }} }}
      __type(name: "topUpLater") {{ description fields {{ name description {kind} }} }} }}"""
    data = later.graphql(query, **ANN)["data"]

    def field(root: str) -> dict[str, Any]:
        (found,) = [
            item for item in data["__schema"][root]["fields"] if item["name"] == "topUpLater"
        ]
        return dict(found)

    uuid = {"kind": "NON_NULL", "name": None, "ofType": {"kind": "SCALAR", "name": "uuid"}}
    log = {"kind": "OBJECT", "name": "topUpLater", "ofType": None}
    assert field("mutationType")["type"] == uuid
    assert field("queryType")["args"] == [{"name": "id", "type": uuid}]
    assert field("queryType")["type"] == log
    assert field("subscriptionType")["type"] == log
    assert data["__type"]["description"] == 'fields of action: "topUpLater"'
    fields = {item["name"]: item["type"] for item in data["__type"]["fields"]}
    assert fields["id"] == uuid
    assert fields["created_at"]["ofType"]["name"] == "timestamptz"
    assert fields["errors"] == {"kind": "SCALAR", "name": "json", "ofType": None}
    assert fields["output"]["name"] == "TopUpResult"


def test_a_stopped_processor_says_nothing_of_an_unknown_action() -> None:
    class Nothing:
        mutation = None

        def schema(self, _role: str) -> Nothing:
            return self

    row = {"action_name": "gone", "input": "{}", "headers": "{}"}
    with pytest.raises(EngineError, match="action gone is gone"):
        async_actions._call(Nothing(), row, {})  # type: ignore[arg-type]  # noqa: SLF001 -- a race that no test can win
