"""The metadata as one request is changing it: all of its calls take effect together, or none."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from copy import deepcopy
from typing import Any

from sandbox.engine.engine import Engine
from sandbox.engine.errors import EngineError
from sandbox.engine.execution.state import State
from sandbox.engine.metadata import contents, parts, shape
from sandbox.engine.tracking.clashes import clashes

Document = dict[str, Any]
Edit = Callable[[Document], Any]

DEPENDENT = "cannot drop due to the following dependent objects: "


class Draft:
    """`state` is what would be served; nobody sees it before keep()."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.state = engine.state

    @property
    def document(self) -> Document:
        return self.state.document

    async def add(self, *edits: Edit) -> None:
        """Change a copy of the document. What would be inconsistent by that is refused.

        An edit returns the object it has put there, which is told from others that suffer.
        """
        document = deepcopy(self.document)
        made = [edit(document) for edit in edits]
        built = await self.build(document)
        fresh = self.new_faults(built)
        if fresh:
            raise _refusal(fresh, made)
        self.state = built

    async def remove(self, *edits: Edit, cascade: bool = False) -> None:
        """Take something out of a copy, and what depends on it too if that is wanted."""
        document = deepcopy(self.document)
        for edit in edits:
            edit(document)
        self.state = await self.settled(document, cascade=cascade, path="$.args")

    async def settled(
        self, document: Document, *, cascade: bool, path: str, connection: Any = None
    ) -> State:
        """Build without the parts that have become inconsistent; unasked, having any is refused."""
        while True:
            built = await self.build(document, connection)
            fresh = self.new_faults(built)
            dependents = parts.find(document, fresh)
            if not dependents:
                return built
            if not cascade:
                names = ", ".join(part.label for part in dependents)
                raise EngineError("dependency-error", DEPENDENT + names, path)
            parts.take_out(dependents)

    async def replace(self, document: Document, *, strict: bool) -> list[dict[str, Any]]:
        """Take another document whole. Returns its faults, which are refused when strict."""
        built = await self.build(document, path="$.args.metadata")
        faults = built.tracked.inconsistent
        if faults and strict:
            text = "cannot continue due to inconsistent metadata"
            raise EngineError("unexpected", text, "$.args", internal=faults)
        self.state = built
        return faults

    async def keep(self) -> None:
        """Serve what has been changed so far."""
        if self.state is not self.engine.state:
            await self.engine.adopt(self.state)

    async def build(
        self, document: Document, connection: Any = None, *, path: str = "$.args"
    ) -> State:
        try:
            shape.check(document, contents.DOCUMENT, path)
        except shape.ShapeError as error:
            raise EngineError("parse-failed", error.message, error.path) from error
        built = await self.engine.build(document, connection)
        known = set(clashes(self.state.tracked, self.state.actions.actions))
        for clash in clashes(built.tracked, built.actions.actions):
            if clash not in known:
                raise EngineError("unexpected", clash, "$.args", status=500)
        return built

    def new_faults(self, built: State) -> list[dict[str, Any]]:
        known = {(fault["type"], fault["name"]) for fault in self.state.tracked.inconsistent}
        found = built.tracked.inconsistent
        return [fault for fault in found if (fault["type"], fault["name"]) not in known]


def _refusal(fresh: list[dict[str, Any]], made: Iterable[Any]) -> EngineError:
    own = [fault for fault in fresh if any(fault["definition"] is item for item in made)]
    if own:
        text = ", ".join(fault["reason"] for fault in own)
        return EngineError("invalid-configuration", text, "$.args", internal=own)
    text = "cannot continue due to new inconsistent metadata"
    return EngineError("unexpected", text, "$.args", internal=fresh)
