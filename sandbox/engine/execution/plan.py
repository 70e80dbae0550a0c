"""Plans: documents compiled once for a role and a shape of variables, then only bound and run."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from sandbox.engine.compile.root import compile_root
from sandbox.engine.compile.steps import Action, Introspection, Queued, Sql, Step, length
from sandbox.engine.documents import bounds, parsing
from sandbox.engine.documents.bounds import Size
from sandbox.engine.documents.coerce import Coercion, Variables
from sandbox.engine.documents.parsing import Document
from sandbox.engine.documents.variables import Binder, binder, declared_ref, is_condition, numbered
from sandbox.engine.documents.walk import Selected, Walk
from sandbox.engine.errors import invalid
from sandbox.engine.schema.model import Namespace, ObjectType
from sandbox.engine.schema.role import RoleSchema
from sandbox.engine.settings import Bounds

MOST_DOCUMENTS = 1000
MOST_SHAPES = 200
LONGEST_KEPT = 100_000
# About what the cache may take, in bytes, and what a character of a document and of SQL takes.
MOST_WEIGHT = 128_000_000
DOCUMENT_WEIGHT = 50
SQL_WEIGHT = 12


Space = tuple[str | None, int]
Key = tuple[RoleSchema, str, str | None]


@dataclass(frozen=True, slots=True)
class Plan:
    """`together` says that the steps share one transaction, `changes` that one may change rows.

    `spaces` is empty where no source has a namespace. Otherwise it has an entry for each field of
    the root: the namespace's key and how many steps are inside, or None and 1.
    """

    steps: tuple[Step, ...]
    mutation: bool
    together: bool
    subscription: bool = False
    spaces: tuple[Space, ...] = ()
    changes: bool = False

    @property
    def weight(self) -> int:
        return SQL_WEIGHT * sum(map(length, self.steps))

    def joined(self, answers: Sequence[str]) -> str:
        """Write `data`, the answers of a namespace inside its field."""
        pairs = [f'"{step.key}":{answer}' for step, answer in zip(self.steps, answers, strict=True)]
        for at, (key, size) in enumerate(self.spaces):
            if key is not None:
                pairs[at : at + size] = [f'"{key}":{{{",".join(pairs[at : at + size])}}}']
        return "{" + ",".join(pairs) + "}"


@dataclass(slots=True)
class Prepared:
    """A parsed document for one role, with its plans by the shape of the variables."""

    document: Document
    binders: tuple[tuple[str, Binder], ...]
    conditions: tuple[str, ...]  # the variables that are some
    size: Size
    weight: int
    plans: OrderedDict[Hashable, Plan] = field(default_factory=OrderedDict)


class Plans:
    """A cache, bounded in number and in weight; `misses` counts the compilations."""

    def __init__(self, allowed: Bounds) -> None:
        self.bounds = allowed
        self.kept: OrderedDict[Key, Prepared] = OrderedDict()
        self.weight = 0
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
                self._keep(key, prepared)
        else:
            self.kept.move_to_end(key)
        conditions = {name: given.get(name) for name in prepared.conditions}
        prepared.size.check_conditions(conditions, self.bounds)
        prepared.size.check_values(bounds.check_variables(given, self.bounds), self.bounds)
        values = parsing.check_values(prepared.document, given)
        leaves: list[Any] = []
        shape = tuple(
            bind(values[name], leaves) if name in values else "absent"
            for name, bind in prepared.binders
        )
        plan = prepared.plans.get(shape)
        if plan is None:
            plan, is_reusable = self._compile(schema, prepared, values)
            if is_reusable:
                self._keep_plan(key, prepared, shape, plan)
        return plan, leaves

    def _prepare(self, schema: RoleSchema, text: str, name: str | None) -> Prepared:
        bounds.check_text(text, self.bounds)
        parsed = parsing.read(text, name)
        size = bounds.check_document(parsed, self.bounds)
        refs = {item.name: declared_ref(item.type, schema) for item in parsed.variables.values()}
        binders = tuple((name, binder(ref)) for name, ref in refs.items())
        conditions = tuple(name for name, ref in refs.items() if is_condition(ref))
        return Prepared(parsed, binders, conditions, size, DOCUMENT_WEIGHT * len(text))

    def _compile(
        self, schema: RoleSchema, prepared: Prepared, values: dict[str, Any]
    ) -> tuple[Plan, bool]:
        """Return the plan, and whether it fits other requests of the same shape."""
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
        return _plan(Walk(found, schema, coercion)), coercion.cacheable

    def _keep(self, key: Key, prepared: Prepared) -> None:
        self.kept[key] = prepared
        self.weight += prepared.weight
        while len(self.kept) > MOST_DOCUMENTS or (self.weight > MOST_WEIGHT and self.kept):
            self.weight -= self.kept.popitem(last=False)[1].weight

    def _keep_plan(self, key: Key, prepared: Prepared, shape: Hashable, plan: Plan) -> None:
        if self.kept.pop(key, None) is None:
            return  # it was too heavy, or is too long
        self.weight -= prepared.weight
        prepared.plans[shape] = plan
        prepared.weight += plan.weight
        while len(prepared.plans) > MOST_SHAPES or (
            prepared.weight > MOST_WEIGHT // 2 and prepared.plans
        ):
            prepared.weight -= prepared.plans.popitem(last=False)[1].weight
        self._keep(key, prepared)


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
    selected, spaces = _opened(
        walk, walk.fields([found.operation.selection_set], _root_type(walk), "$")
    )
    if found.kind == "subscription" and len(selected) != 1:
        raise invalid("subscriptions must select one top level field", "$")
    mutation = found.kind == "mutation"
    steps = tuple(compile_root(walk, item) for item in selected)
    together = mutation and not any(
        isinstance(step, (Action, Queued, Introspection)) or item.field is None
        for step, item in zip(steps, selected, strict=True)
    )
    changes = mutation or any(isinstance(step, Sql) and step.mutation for step in steps)
    return Plan(steps, mutation, together, found.kind == "subscription", spaces, changes)


def _opened(walk: Walk, selected: list[Selected]) -> tuple[list[Selected], tuple[Space, ...]]:
    """Put the fields of each namespace in the place of the field that holds them."""
    found: list[Selected] = []
    spaces: list[Space] = []
    for item in selected:
        if item.field is None or not isinstance(item.field.source, Namespace):
            found.append(item)
            spaces.append((None, 1))
            continue
        kind = item.field.ref.named
        assert isinstance(kind, ObjectType)  # noqa: S101 -- a namespace is always an object
        inside = walk.fields(item.below, kind, item.path)
        found += inside
        spaces.append((item.key, len(inside)))
    plain = all(key is None for key, _ in spaces)
    return found, () if plain else tuple(spaces)


def _root_type(walk: Walk) -> ObjectType:
    kind = walk.document.kind
    roots = {
        "query": walk.schema.query,
        "mutation": walk.schema.mutation,
        "subscription": walk.schema.subscription,
    }
    root = roots[kind]
    if root is None:
        raise invalid(f"no {kind}s exist", "$")
    return root
