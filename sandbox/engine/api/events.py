"""Calls that define event triggers, make and deliver events by hand, and show their log."""

from __future__ import annotations

from typing import Any

from sandbox.engine.metadata import contents
from sandbox.engine.triggers import history

from . import transforms
from .arguments import Args, flag, given, items, number, read, refuse, source, text, tracked_table
from .calls import SUCCESS, change, command, query, removal
from .draft import Document, Draft

RETRY = {"num_retries": 0, "interval_sec": 10, "timeout_sec": 60}
OPERATIONS = ("insert", "update", "delete")
KEPT = (
    "webhook", "webhook_from_env", "headers", "request_transform", "response_transform",
    "cleanup_config", "trigger_on_replication",
)  # fmt: skip


@change
def pg_create_event_trigger(document: Document, args: Args) -> Any:
    """Define a trigger, or with `replace` define it anew on the same table."""
    table, name = tracked_table(document, args), text(args, "name")
    if bool(args.get("webhook")) == bool(args.get("webhook_from_env")):
        raise refuse("parse-failed", "one of webhook or webhook_from_env is expected")
    if not any(args.get(operation) for operation in OPERATIONS):
        raise refuse(
            "parse-failed", "atleast one amongst insert/update/delete spec must be provided"
        )
    former, holder = _find(document, args, name)
    replace = flag(args, "replace")
    if replace and former is None:
        raise refuse("not-exists", f'event trigger with name "{name}" does not exist')
    if replace and holder is not table:
        raise refuse("not-supported", "cannot replace table or schema for trigger")
    if former is not None and not replace:
        raise refuse("already-exists", f'event trigger with name "{name}" already exists')
    transforms.check(args)
    entry = _entry(args, name)
    held = items(table, "event_triggers")
    if former is None:
        held.append(entry)
    else:
        held[:] = [entry if item is former else item for item in held]
    return entry


@removal
def pg_delete_event_trigger(document: Document, args: Args) -> None:
    name = text(args, "name")
    found, table = _find(document, args, name)
    if found is None or table is None:
        raise refuse("not-exists", f'event trigger with name "{name}" does not exist')
    table["event_triggers"] = [item for item in table["event_triggers"] if item is not found]


def _find(document: Document, args: Args, name: str) -> tuple[Any, Any]:
    """Return the trigger and its table, or None for both."""
    for table in source(document, args).get("tables") or []:
        for item in table.get("event_triggers") or []:
            if item["name"] == name:
                return item, table
    return None, None


def _entry(args: Args, name: str) -> dict[str, Any]:
    definition = {"enable_manual": flag(args, "enable_manual")}
    definition |= given(args, *OPERATIONS)
    retry = RETRY | read(args, "retry_conf", contents.EVENT_RETRY, {})
    return {"name": name, "definition": definition, "retry_conf": retry} | given(args, *KEPT)


@command
async def pg_invoke_event_trigger(draft: Draft, args: Args) -> Any:
    await draft.keep()  # a trigger that the same request defines is there to be invoked
    name, events = text(args, "name"), draft.engine.background.events
    if events is None:
        raise refuse("not-exists", f'event trigger with name "{name}" does not exist')
    return {"event_id": await events.invoke(name, args.get("payload"))}


@command
async def pg_redeliver_event(draft: Draft, args: Args) -> Any:
    event_id, events = text(args, "event_id"), draft.engine.background.events
    if events is None:
        raise refuse("not-exists", "event not found")
    await events.redeliver(event_id)
    return SUCCESS


@query
async def pg_get_event_logs(draft: Draft, args: Args) -> Any:
    """List the events of a trigger, newest first: all, or those that are pending or processed."""
    status = text(args, "status", None)
    if status not in (None, "pending", "processed"):
        raise refuse("parse-failed", "status must be pending or processed")
    page = history.Page(number(args, "limit", 100), number(args, "offset", 0))
    return await history.events(draft.engine.pool, _known(draft, args), status, page)


@query
async def pg_get_event_invocation_logs(draft: Draft, args: Args) -> Any:
    page = history.Page(number(args, "limit", 100), number(args, "offset", 0))
    return await history.invocations_of_trigger(draft.engine.pool, _known(draft, args), page)


@query
async def pg_get_event_by_id(draft: Draft, args: Args) -> Any:
    page = history.Page(
        number(args, "invocation_log_limit", 100), number(args, "invocation_log_offset", 0)
    )
    found = await history.event(draft.engine.pool, text(args, "event_id"), page)
    if found is None:
        raise refuse("not-exists", "event not found")
    return found


def _known(draft: Draft, args: Args) -> str:
    name = str(text(args, "name"))
    if _find(draft.document, args, name)[0] is None:
        raise refuse("not-exists", f'event trigger with name "{name}" does not exist')
    return name
