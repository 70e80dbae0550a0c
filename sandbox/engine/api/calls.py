"""How a call is registered: a function under its own name, and what kind of call it is.

A module of this package that defines calls is found by being there.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from .arguments import flag
from .draft import Document, Draft

SUCCESS = {"message": "success"}
Run = Callable[[Draft, Any, int], Awaitable[Any]]
Handler = Callable[[Draft, dict[str, Any]], Awaitable[Any]]
Edit = Callable[[Document, dict[str, Any]], Any]


@dataclass(frozen=True, slots=True)
class Call:
    """`edit` is there when the call does nothing but change the document."""

    run: Run
    writes: bool
    edit: Edit | None = None
    drops: bool = False


CALLS: dict[str, Call] = {}


def query(handler: Handler) -> Handler:
    """Register a call that changes no metadata, so that it waits for nobody."""

    async def run(draft: Draft, args: Any, _version: int) -> Any:
        return await handler(draft, args)

    CALLS[handler.__name__] = Call(run, writes=False)
    return handler


def command(handler: Handler) -> Handler:
    """Register a call that does more than to edit the document."""

    async def run(draft: Draft, args: Any, _version: int) -> Any:
        return await handler(draft, args)

    CALLS[handler.__name__] = Call(run, writes=True)
    return handler


def versioned(*, writes: bool) -> Callable[[Run], Run]:
    """Register a call whose arguments depend on the version that the request names."""

    def register(run: Run) -> Run:
        CALLS[run.__name__] = Call(run, writes=writes)
        return run

    return register


def change(edit: Edit, name: str | None = None) -> Edit:
    """Register an edit of the document that adds or changes; it returns what it has put there."""

    async def run(draft: Draft, args: Any, _version: int) -> Any:
        await draft.add(lambda document: edit(document, args))
        return SUCCESS

    CALLS[name or edit.__name__] = Call(run, writes=True, edit=edit)
    return edit


def removal(edit: Edit, name: str | None = None) -> Edit:
    """Register an edit that takes out; its argument `cascade` takes out what depends on it."""

    async def run(draft: Draft, args: Any, _version: int) -> Any:
        cascade = flag(args, "cascade")
        await draft.remove(lambda document: edit(document, args), cascade=cascade)
        return SUCCESS

    CALLS[name or edit.__name__] = Call(run, writes=True, edit=edit, drops=True)
    return edit
