"""What an action's handler is sent, and what of its answer goes beyond the data."""

from __future__ import annotations

import copy
import re
from typing import Any

import pytest
from engine import harness

from sandbox.engine.schema.actions import ActionTypes
from sandbox.engine.tracking.catalog import Column, Table
from sandbox.engine.tracking.tracked import Tracked, TrackedTable
from sandbox.engine.types import INTEGER

QUERY = """mutation ($i: TopUpInput!) { topUp(input: $i) { payment_id } }"""
GIVEN = {"i": {"wallet_id": 1, "amount": 5.5}}
ID = Column("id", INTEGER, not_null=True, has_default=False, generated=False, comment=None)
WALLET = TrackedTable(
    Table(("public", "wallet"), "r", None, {"id": ID}), "wallet", {}, {}, None, {}
)


def ask(served: harness.Served, given: dict[str, object], **headers: str) -> harness.httpx.Response:
    sent = {"x-hasura-admin-secret": harness.SECRET, "x-hasura-role": "user"}
    sent |= {"x-hasura-user-id": "ann"} | {k.replace("_", "-"): v for k, v in headers.items()}
    return served.post("/v1/graphql", {"query": QUERY, "variables": given}, sent)


def test_the_handler_gets_the_call_as_hasura_sends_it(
    served: harness.Served, handler: harness.Handler
) -> None:
    ask(served, GIVEN)

    assert handler.last["path"] == "/top-up"
    assert handler.last["body"] == {
        "action": {"name": "topUp"},
        "input": {"input": {"wallet_id": 1, "amount": 5.5}},
        "session_variables": {"x-hasura-role": "user", "x-hasura-user-id": "ann"},
        "request_query": QUERY,
    }


def test_the_handler_gets_configured_headers(
    served: harness.Served, handler: harness.Handler
) -> None:
    ask(served, GIVEN)

    headers = handler.last["headers"]
    assert headers["x-action-secret"] == "for handlers"
    assert headers["x-fixed"] == "here"
    assert headers["content-type"] == "application/json"
    assert headers["user-agent"].startswith("hasura-graphql-engine/v2.")


def test_client_headers_are_forwarded_unless_configured_or_hop_by_hop(
    served: harness.Served, handler: harness.Handler
) -> None:
    ask(served, GIVEN, x_mine="1", x_fixed="there", authorization="Bearer x", cookie="a=b")

    headers = handler.last["headers"]
    assert (headers["x-mine"], headers["x-fixed"]) == ("1", "here")
    assert (headers["authorization"], headers["cookie"]) == ("Bearer x", "a=b")


def test_a_handler_learns_no_secret_and_no_unchecked_session_variable(
    served: harness.Served, handler: harness.Handler
) -> None:
    ask(served, GIVEN, user_agent="browser", origin="http://shop", x_hasura_other="1")

    headers = handler.last["headers"]
    assert not [name for name in headers if name.startswith("x-hasura-")]
    assert headers["x-forwarded-user-agent"] == "browser"
    assert headers["x-forwarded-origin"] == "http://shop"
    assert headers["x-forwarded-host"] == served.url.removeprefix("http://")
    assert "origin" not in headers


def trace_of(handler: harness.Handler) -> dict[str, str]:
    """The tracing headers that the handler got, each of which came once."""
    named = {name: value for name, value in handler.last["headers"].items() if "-b3-" in name}
    return {name.removeprefix("x-b3-"): value for name, value in named.items()}


def test_every_call_is_a_trace_with_a_span_of_its_own(
    served: harness.Served, handler: harness.Handler
) -> None:
    traces = []
    for _ in range(2):
        ask(served, GIVEN)
        traces.append(trace_of(handler))

    for trace in traces:
        assert set(trace) == {"traceid", "spanid", "parentspanid", "sampled"}
        assert re.fullmatch("[0-9a-f]{32}", trace["traceid"])
        assert re.fullmatch("[0-9a-f]{16}", trace["spanid"])
        assert re.fullmatch("[0-9a-f]{16}", trace["parentspanid"])
        assert trace["sampled"] == "1"
    first, second = traces
    assert len({*first.values(), *second.values()}) == 7  # but `sampled`, no value twice


@pytest.mark.parametrize(
    ("given", "trace_id"),
    [
        ("463ac35c9f6413ad48485a3953bb6124", "463ac35c9f6413ad48485a3953bb6124"),
        ("463AC35C9F6413AD48485A3953BB6124", "463ac35c9f6413ad48485a3953bb6124"),
        ("a2fb4a1d1a96d312", "0000000000000000a2fb4a1d1a96d312"),
    ],
)
def test_a_trace_that_the_client_began_goes_on(
    served: harness.Served, handler: harness.Handler, given: str, trace_id: str
) -> None:
    span = "05e3ac9a4f6e3b90"
    ask(served, GIVEN, x_b3_traceid=given, x_b3_spanid=span, x_b3_parentspanid="1" * 16)
    trace = trace_of(handler)

    assert (trace["traceid"], trace["sampled"]) == (trace_id, "1")
    assert span not in {trace["spanid"], trace["parentspanid"]}  # the request's is between


def test_a_client_that_wants_no_trace_kept_is_told_of_as_that(
    served: harness.Served, handler: harness.Handler
) -> None:
    given = {"x_b3_traceid": "4" * 32, "x_b3_spanid": "5" * 16, "x_b3_sampled": "0"}
    ask(served, GIVEN, **given)
    trace = trace_of(handler)

    assert (trace["traceid"], trace["parentspanid"], trace["sampled"]) == ("4" * 32, "5" * 16, "0")


@pytest.mark.parametrize("given", ["", "0" * 32, "4" * 31, "4" * 33, "g" * 32, "4" * 16 + " x"])
def test_what_names_no_trace_begins_another(
    served: harness.Served, handler: harness.Handler, given: str
) -> None:
    ask(served, GIVEN, x_b3_traceid=given, x_b3_spanid="5" * 16, x_b3_sampled="0")
    trace = trace_of(handler)

    assert re.fullmatch("[0-9a-f]{32}", trace["traceid"])
    assert trace["traceid"] != given
    assert trace["sampled"] == "1"


def test_a_null_argument_is_sent_and_an_absent_one_is_not(
    served: harness.Served, handler: harness.Handler
) -> None:
    ask(served, {"i": {"wallet_id": 1, "amount": 1, "note": None}})
    assert handler.last["body"]["input"]["input"] == {"wallet_id": 1, "amount": 1, "note": None}


def test_the_same_plan_sends_new_values(served: harness.Served, handler: harness.Handler) -> None:
    sent = []
    for number in (1, 2):
        ask(served, {"i": {"wallet_id": number, "amount": number}})
        sent.append(handler.last["body"]["input"]["input"]["wallet_id"])
    assert sent == [1, 2]


def test_cookies_of_the_handler_reach_the_client(served: harness.Served) -> None:
    answer = {"headers": {"Set-Cookie": "a=b; Path=/"}}
    found = ask(served, {"i": {"wallet_id": 1, "amount": 1, "answer": answer}})
    assert found.headers["set-cookie"] == "a=b; Path=/"


def test_the_admin_sees_what_the_handler_did(served: harness.Served) -> None:
    given = {"i": {"wallet_id": 1, "amount": 1, "answer": {"status": 500, "text": "boom"}}}
    admin = served.graphql(QUERY, given)["errors"][0]["extensions"]
    user = ask(served, given).json()["errors"][0]["extensions"]

    assert admin["internal"]["response"]["body"] == "boom"
    assert admin["internal"]["request"]["url"] == "{{HANDLER_URL}}/top-up"
    assert "internal" not in user


def test_the_admin_sees_why_an_answer_does_not_fit(served: harness.Served) -> None:
    given = {"i": {"wallet_id": 1, "amount": 1, "answer": {"body": {"wallet_id": 1}}}}
    internal = served.graphql(QUERY, given)["errors"][0]["extensions"]["internal"]

    assert internal["error"] == "unexpected response"
    assert internal["response"]["body"] == '{"wallet_id": 1}'
    listed = {item["name"]: item for item in internal["request"]["headers"]}
    assert listed["X-Action-Secret"] == {
        "name": "X-Action-Secret",
        "value_from_env": "ACTION_SECRET",
    }
    assert not [name for name in listed if name.startswith("x-hasura-")]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        (
            {"output_type": "TopUpInput"},
            "the input type TopUpInput cannot be the type of an answer",
        ),
        (
            {"arguments": [{"name": "a", "type": "[TopUpResult!]"}]},
            "the object type TopUpResult cannot be the type of the argument a",
        ),
        (
            {"headers": [{"name": "a", "value_from_env": "HASURA_GRAPHQL_ADMIN_SECRET"}]},
            (
                'environment variables starting with "HASURA_GRAPHQL_" are not allowed '
                "in value_from_env: HASURA_GRAPHQL_ADMIN_SECRET"
            ),
        ),
        (
            {"handler": "{{GONE}}/top-up"},
            "environment variable GONE is not set, {{GONE}}/top-up needs it",
        ),
        (
            {"headers": [{"name": "a", "value_from_env": "GONE"}]},
            "environment variable GONE is not set, header a needs it",
        ),
        ({"output_type": "Gone!"}, "the answer has the type Gone, which is not defined"),
        (
            {"arguments": [{"name": "a", "type": "[Gone!]"}]},
            "the argument a has the type Gone, which is not defined",
        ),
    ],
)
def test_an_action_that_makes_no_sense_is_listed_and_not_served(
    shop_metadata: dict[str, Any], changes: dict[str, Any], reason: str
) -> None:
    action = copy.deepcopy(shop_metadata["actions"][0])
    action["definition"] |= changes
    tracked = Tracked({WALLET.name: WALLET}, types=frozenset({"jsonb", "numeric"}))
    types = ActionTypes(
        [action], shop_metadata["custom_types"], tracked, {"HANDLER_URL": "", "ACTION_SECRET": ""}
    )

    assert types.actions == []
    (found,) = tracked.inconsistent
    assert (found["type"], found["reason"]) == ("action", reason)


@pytest.mark.parametrize(
    ("link", "reason"),
    [
        ({"remote_table": "gone"}, 'table "gone" is not tracked'),
        (
            {"field_mapping": {"wallet_id": "gone"}},
            'column "gone" does not exist in table "wallet"',
        ),
        ({"field_mapping": {"gone": "id"}}, 'the type has no field "gone" that holds one value'),
        (
            {"field_mapping": {"detail": "id"}},
            'the type has no field "detail" that holds one value',
        ),
    ],
)
def test_an_action_whose_answer_leads_nowhere_is_listed(
    shop_metadata: dict[str, Any], link: dict[str, Any], reason: str
) -> None:
    custom = copy.deepcopy(shop_metadata["custom_types"])
    custom["objects"][0]["relationships"][0] |= link
    tracked = Tracked({WALLET.name: WALLET}, types=frozenset({"jsonb", "numeric"}))
    actions = [item for item in shop_metadata["actions"] if item["name"] == "topUp"]
    types = ActionTypes(actions, custom, tracked, {"HANDLER_URL": "", "ACTION_SECRET": ""})

    assert types.actions == []
    (found,) = tracked.inconsistent
    assert found["reason"] == f"the relationship wallet of TopUpResult: {reason}"
