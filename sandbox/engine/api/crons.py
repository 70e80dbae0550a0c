"""Calls that define cron triggers, and that plan, show and delete scheduled events."""

from __future__ import annotations

from typing import Any

from sandbox.engine.metadata import contents, shape
from sandbox.engine.triggers import history

from . import transforms
from .arguments import Args, flag, given, items, named, number, read, refuse, text
from .calls import SUCCESS, change, command, query, removal
from .draft import Document, Draft

KEPT = (
    "webhook", "schedule", "payload", "retry_conf", "headers", "comment", "request_transform",
    "response_transform",
)  # fmt: skip
STATUSES = ("scheduled", "locked", "delivered", "error", "dead")
WEBHOOK = shape.either(shape.TEXT, shape.record(needs={"from_env": shape.TEXT}))


@change
def create_cron_trigger(document: Document, args: Args) -> Any:
    """Define a trigger, or with `replace` define it anew."""
    name = text(args, "name")
    read(args, "webhook", WEBHOOK)
    text(args, "schedule")
    read(args, "retry_conf", contents.CRON_RETRY, {})
    transforms.check(args)
    include = read(args, "include_in_metadata", shape.kind(bool))
    known = items(document, "cron_triggers")
    former = named(known, name)
    if former is not None and not flag(args, "replace"):
        raise refuse("already-exists", f"cron trigger with name: {name} already exists")
    entry = {"name": name, "include_in_metadata": include} | given(args, *KEPT)
    if former is None:
        known.append(entry)
    else:
        known[:] = [entry if item is former else item for item in known]
    return entry


@removal
def delete_cron_trigger(document: Document, args: Args) -> None:
    name = text(args, "name")
    found = named(document.get("cron_triggers"), name)
    if found is None:
        raise refuse("not-exists", f'cron trigger with name: "{name}" does not exist')
    document["cron_triggers"] = [item for item in document["cron_triggers"] if item is not found]


@query
async def get_cron_triggers(draft: Draft, _args: Args) -> Any:
    return {"cron_triggers": draft.document.get("cron_triggers") or []}


@command
async def create_scheduled_event(draft: Draft, args: Args) -> Any:
    """Plan a call of a webhook at one time."""
    event = {"webhook": read(args, "webhook", WEBHOOK), "schedule_at": text(args, "schedule_at")}
    if not await history.is_time(draft.engine.pool, event["schedule_at"]):
        raise refuse("parse-failed", "schedule_at is no time in the form of ISO 8601")
    read(args, "headers", shape.HEADERS, [])
    read(args, "retry_conf", contents.CRON_RETRY, {})
    text(args, "comment", None)
    event |= given(args, "payload", "headers", "retry_conf", "comment")
    scheduler = await draft.engine.background.scheduler()
    return SUCCESS | {"event_id": await scheduler.schedule(event)}


@command
async def delete_scheduled_event(draft: Draft, args: Args) -> Any:
    log, event_id = _log(args), text(args, "event_id")
    if not await history.delete_scheduled(draft.engine.pool, log, event_id):
        raise refuse("not-exists", f"{text(args, 'type')} event with id: {event_id} not found")
    return SUCCESS


@query
async def get_scheduled_events(draft: Draft, args: Args) -> Any:
    """List what is planned and what was; a cron trigger's events need its name."""
    log, statuses = _log(args), read(args, "status", shape.many(shape.TEXT), [])
    unknown = [status for status in statuses if status not in STATUSES]
    if unknown:
        raise refuse("parse-failed", f"status must be one of {', '.join(STATUSES)}")
    name = text(args, "trigger_name") if log is history.CRON else None
    page = _page(args)
    found = await history.scheduled(draft.engine.pool, log, name, statuses, page)
    return _answer("events", found, args)


@query
async def get_scheduled_event_invocations(draft: Draft, args: Args) -> Any:
    log = _log(args)
    wanted = (text(args, "event_id", None), text(args, "trigger_name", None))
    found = await history.scheduled_invocations(draft.engine.pool, log, wanted, _page(args))
    return _answer("invocations", found, args)


def _log(args: Args) -> history.Log:
    kind = text(args, "type")
    if kind not in history.LOGS:
        raise refuse("parse-failed", "type must be cron or one_off")
    return history.LOGS[kind]


def _page(args: Args) -> history.Page:
    unlimited = args.get("limit") is None
    return history.Page(None if unlimited else number(args, "limit", 0), number(args, "offset", 0))


def _answer(key: str, found: tuple[int, list[Any]], args: Args) -> dict[str, Any]:
    count, rows = found
    wants_count = read(args, "get_rows_count", shape.kind(bool), default=False)
    return {"count": count, key: rows} if wants_count else {key: rows}
