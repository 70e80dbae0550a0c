"""Plans: documents compiled once for a role and a shape of variables, then only bound and run."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from graphql import FragmentSpreadNode, SelectionSetNode

from sandbox.engine.compile.root import compile_root
from sandbox.engine.compile.steps import Action, Step
from sandbox.engine.documents import parsing
from sandbox.engine.documents.coerce import Coercion, Variables
from sandbox.engine.documents.parsing import Document
from sandbox.engine.documents.variables import Binder, binder, declared_ref, numbered
from sandbox.engine.documents.walk import Walk
from sandbox.engine.errors import EngineError, invalid
from sandbox.engine.schema.role import RoleSchema

MOST_DOCUMENTS = 1000
MOST_SHAPES = 200
LONGEST_KEPT = 100_000


@dataclass(frozen=True, slots=True)
class Plan:
    """`together` says that the steps share one transaction."""

    steps: tuple[Step, ...]
    mutation: bool
    together: bool


@dataclass(slots=True)
class Prepared:
    """A parsed document for one role, with its plans by the shape of the variables."""

    document: Document
    binders: tuple[tuple[str, Binder], ...]
    plans: OrderedDict[Hashable, Plan] = field(default_factory=OrderedDict)


class Plans:
    """A bounded cache; `misses` counts the compilations."""

    def __init__(self, deepest: int) -> None:
        self.deepest = deepest
        self.kept: OrderedDict[tuple[RoleSchema, str, str | None], Prepared] = OrderedDict()
        self.misses = 0

    def get(
        self, schema: RoleSchema, text: str, name: str | None, given: dict[str, Any]
    ) -> tuple[Plan, list[Any]]:
        """Return the plan of a request and the leaves of its variables."""
        key = (schema, text, name)  # not its id: that is used again once a schema is gone
        prepared = self.kept.get(key)
        if prepared is None:
            prepared = self._prepare(schema, text, name)
            if len(text) <= LONGEST_KEPT:
                _keep(self.kept, key, prepared, MOST_DOCUMENTS)
        else:
            self.kept.move_to_end(key)
        values = parsing.check_values(prepared.document, given)
        leaves: list[Any] = []
        shape = tuple(
            bind(values[name], leaves) if name in values else "absent"
            for name, bind in prepared.binders
        )
        plan = prepared.plans.get(shape)
        if plan is None:
            plan = self._compile(schema, prepared, values, shape)
        return plan, leaves

    def _prepare(self, schema: RoleSchema, text: str, name: str | None) -> Prepared:
        parsed = parsing.read(text, name)
        if _depth(parsed, parsed.operation.selection_set, {}) > self.deepest:
            raise invalid("the query is nested too deeply", "$")
        binders = tuple(
            (item.name, binder(declared_ref(item.type, schema)))
            for item in parsed.variables.values()
        )
        return Prepared(parsed, binders)

    def _compile(
        self, schema: RoleSchema, prepared: Prepared, values: dict[str, Any], shape: Hashable
    ) -> Plan:
        self.misses += 1
        found = prepared.document
        refs = {item.name: declared_ref(item.type, schema) for item in found.variables.values()}
        numbers = count()
        trees = {
            name: numbered(values[name], refs[name], numbers)
            for name in found.variables
            if name in values
        }
        coercion = Coercion(Variables(found.variables, refs, trees))
        plan = _plan(Walk(found, schema, coercion))
        if coercion.cacheable:
            _keep(prepared.plans, shape, plan, MOST_SHAPES)
        return plan


def _keep(kept: OrderedDict[Any, Any], key: Any, value: Any, most: int) -> None:
    kept[key] = value
    if len(kept) > most:
        kept.popitem(last=False)


def _plan(walk: Walk) -> Plan:
    found = walk.document
    for directive in found.operation.directives or ():
        name = directive.name.value
        if name == "cached" and found.kind == "query":
            continue
        text = f"directive '{name}' is not allowed on a {found.kind}"
        if name not in ("skip", "include", "cached"):
            text = f"directive '{name}' is not defined in the schema"
        raise invalid(text, "$")
    if found.kind == "subscription":
        text = "subscriptions are not supported over HTTP, use websockets instead"
        raise EngineError("unexpected-payload", text)
    mutation = found.kind == "mutation"
    kind = walk.schema.mutation if mutation else walk.schema.query
    if kind is None:
        raise invalid("no mutations exist", "$")
    selected = walk.fields([found.operation.selection_set], kind, "$")
    steps = tuple(compile_root(walk, item, found.kind) for item in selected)
    together = mutation and not any(
        isinstance(step, Action) or item.field is None
        for step, item in zip(steps, selected, strict=True)
    )
    return Plan(steps, mutation, together)


def _depth(found: Document, selection: SelectionSetNode | None, known: dict[str, int]) -> int:
    """Return how deep the fields nest; `known` has the depths of fragments seen so far."""
    deepest = 0
    for node in selection.selections if selection else ():
        if isinstance(node, FragmentSpreadNode):
            name = node.name.value
            if name not in known:
                known[name] = _depth(found, found.fragments[name].selection_set, known)
            deepest = max(deepest, known[name])
        else:
            inner = getattr(node, "selection_set", None)
            deepest = max(deepest, 1 + _depth(found, inner, known))
    return deepest
