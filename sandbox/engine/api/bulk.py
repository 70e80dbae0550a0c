"""Several calls in one request."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sandbox.engine.errors import EngineError

from .arguments import flag, refuse
from .calls import CALLS, SUCCESS, Call, versioned
from .draft import Draft


@versioned(writes=True)
async def bulk(draft: Draft, args: Any, _version: int) -> Any:
    """Run calls one after another. The first that fails ends it, and no metadata has changed.

    SQL that has run stays, and so does the metadata of the calls before it.
    """
    answers = []
    for at, item in enumerate(_listed(args)):
        with _placed(at):
            answers.append(await perform(draft, item))
    return answers


@versioned(writes=True)
async def bulk_keep_going(draft: Draft, args: Any, _version: int) -> Any:
    """Run every call; one that fails answers its error and changes nothing."""
    answers: list[Any] = []
    for at, item in enumerate(_listed(args)):
        try:
            with _placed(at):
                answers.append(await perform(draft, item))
        except EngineError as error:
            answers.append(error.as_plain(internal=True))
    return answers


@versioned(writes=True)
async def bulk_atomic(draft: Draft, args: Any, _version: int) -> Any:
    """Make all changes of the document as one: only the result has to be consistent."""
    edits, cascade = [], False
    for at, item in enumerate(_listed(args)):
        with _placed(at):
            call, given, _ = look_up(item)
            if call.edit is None:
                kind = item["type"]
                raise refuse("not-supported", f"Bulk atomic does not support {kind}")
            cascade |= flag(given, "cascade")
            edits.append((call, given))
    if any(call.drops for call, _ in edits):
        steps = [_step(call, given) for call, given in edits]
        await draft.remove(*steps, cascade=cascade)
    else:
        await draft.add(*(_step(call, given) for call, given in edits))
    return SUCCESS


def _step(call: Call, given: Any) -> Any:
    assert call.edit is not None  # noqa: S101  # asked before
    edit = call.edit
    return lambda document: edit(document, given)


async def perform(draft: Draft, body: Any) -> Any:
    """Run one call."""
    call, args, version = look_up(body)
    return await call.run(draft, args, version)


def look_up(body: Any) -> tuple[Call, Any, int]:
    """Find the call that a body names, and check what every call is given."""
    if not isinstance(body, dict) or not isinstance(body.get("type"), str):
        raise EngineError("parse-failed", 'key "type" not found')
    call = CALLS.get(body["type"])
    if call is None:
        text = f"unknown metadata command {body['type']}"
        raise EngineError("parse-failed", text, "$.type")
    args = {} if body.get("args") is None else body["args"]
    if not isinstance(args, dict) and not body["type"].startswith("bulk"):
        raise refuse("parse-failed", "parsing failed, expected Object")
    version = body.get("version")
    return call, args, version if isinstance(version, int) else 1


def _listed(args: Any) -> list[Any]:
    if not isinstance(args, list):
        raise refuse("parse-failed", "a list of calls is expected")
    return args


@contextmanager
def _placed(at: int) -> Iterator[None]:
    """Say in an error's path which call of the list failed."""
    try:
        yield
    except EngineError as error:
        error.path = f"$.args[{at}]{error.path[1:]}"
        raise
