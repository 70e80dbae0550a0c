"""Random queries over random databases: the engine answers as the evaluation in Python does.

`FUZZ_EXAMPLES` sets how many worlds are tried; `make fuzz-engine` tries thousands.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from engine import harness
from engine.random_queries.asking import Asked, Case, mutations, near_misses, queries, told
from engine.random_queries.changing import Outcome, RefusedError, run
from engine.random_queries.evaluation import Evaluation
from engine.random_queries.stage import Stage, content, differ
from engine.random_queries.worlds import World
from hypothesis import HealthCheck, Phase, given, settings

from sandbox.postgres import Postgres

pytestmark = pytest.mark.timeout(0 if "FUZZ_EXAMPLES" in os.environ else 600)

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "0"))
SHRINKS = bool(os.environ.get("FUZZ_SHRINK"))
BOUNDED = settings(
    max_examples=EXAMPLES or 32,
    derandomize=not EXAMPLES,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    print_blob=False,
    # Shrinking asks for hundreds of databases: minutes. A failure tells all of its small world.
    phases=[Phase.generate, Phase.shrink] if SHRINKS else [Phase.generate],
    report_multiple_bugs=False,
)

# What the contract has for a request that is wrong, or that the data refuse.
ALLOWED = {"validation-failed", "parse-failed", "data-exception", "constraint-violation"}
ALLOWED |= {"permission-error", "bad-request", "invalid-json"}
SQL = re.compile(r"syntax error|SELECT|does not exist|operator|relation \"|column \"_|pg_|::")
TWICE = "ON CONFLICT DO UPDATE command cannot affect row a second time"


@pytest.fixture(scope="module")
def stage(bare_postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    name = f"random_queries_{uuid4().hex[:12]}"
    with psycopg.connect(bare_postgres.url, autocommit=True) as admin:
        admin.execute(f"create database {name}")
        admin.execute(f"alter database {name} set timezone to 'UTC'")
    url = bare_postgres.url.rsplit("/", 1)[0] + f"/{name}"
    empty: dict[str, Any] = {"sources": [{"name": "default", "kind": "postgres", "tables": []}]}
    directory = harness.write_metadata(empty, tmp_path_factory.mktemp("random") / "metadata")
    with (
        psycopg.connect(url, autocommit=True) as connection,
        harness.serve(url, directory, {}) as served,
    ):
        connection.execute("set client_min_messages = warning")
        yield Stage(served, connection)


@given(queries())
@BOUNDED
def test_a_random_query_is_answered_as_the_evaluation_says(stage: Stage, case: Case) -> None:
    world = case.world
    stage.show(world)
    for asked in case.requests:
        evaluation = Evaluation(world, world.rows, asked.role)
        status, answer = stage.ask(world, asked.role, asked.request)
        expected = {field.key: evaluation.root(field) for field in asked.fields}

        assert status == 200, told(answer, asked, world)
        difference = differ(expected, answer["data"])
        assert difference is None, told(difference, asked, world)


@given(mutations())
@BOUNDED
def test_a_random_mutation_changes_and_answers_what_the_evaluation_says(
    stage: Stage, case: Case
) -> None:
    world = case.world
    stage.show(world)
    for asked in case.requests:
        status, answer = stage.ask(world, asked.role, asked.request)
        expected = _outcome(world, asked)

        if isinstance(expected, set):
            code = answer["errors"][0]["extensions"]["code"] if "errors" in answer else "none"
            assert code in expected, told((expected, answer), asked, world)
        else:
            assert status == 200, told(answer, asked, world)
            difference = differ(expected.answers, answer["data"])
            assert difference is None, told(difference, asked, world)
            world.rows = expected.rows
        difference = differ(content(world), stage.content(world))
        assert difference is None, told(("afterwards", difference), asked, world)


def _outcome(world: World, asked: Asked) -> Outcome | set[str]:
    try:
        return run(world, world.rows, asked.role, asked.fields)
    except RefusedError as refused:
        return refused.codes


@given(near_misses())
@BOUNDED
def test_a_request_that_is_nearly_right_gets_an_answer_of_the_contract(
    stage: Stage, case: Case
) -> None:
    stage.show(case.world)
    for asked in case.requests:
        status, answer = stage.ask(case.world, asked.role, asked.request)
        if "errors" in answer:
            fault = _fault(status, answer)
            assert fault is None, told((fault, answer), asked, case.world)
        else:
            assert status == 200, told(answer, asked, case.world)


def _fault(status: int, answer: dict[str, Any]) -> str | None:
    """Return what is wrong with an error, if anything is."""
    if list(answer) != ["errors"] or len(answer["errors"]) != 1:
        return "an error comes alone"
    (error,) = answer["errors"]
    code, internal = error["extensions"]["code"], error["extensions"].get("internal")
    if TWICE in str(internal):
        return None  # Hasura has no word for it, either
    if code not in ALLOWED or status >= 500 or internal is not None:
        return "not an error of the contract"
    # A violated constraint is told in Postgres's own words.
    told_in_sql = code != "constraint-violation" and SQL.search(error["message"])
    return "the text is SQL's" if told_in_sql else None
