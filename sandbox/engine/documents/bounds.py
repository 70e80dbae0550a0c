"""What a request may cost before it is looked at more closely: nothing has been executed yet."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from graphql import (
    FieldNode,
    FragmentSpreadNode,
    ListValueNode,
    ObjectValueNode,
    SelectionNode,
    SelectionSetNode,
    ValueNode,
    VariableNode,
)

from sandbox.engine.errors import EngineError, invalid
from sandbox.engine.settings import Bounds

from .parsing import Document

# Counts what the parser would have to read, at a small part of its cost. Whatever is malformed
# counts, too: the parser refuses it afterwards. A string that does not end has a group.
TOKEN = re.compile(
    r'"""(?:\\"""|[^"]|"(?!""))*(?:"""|())|"(?:\\.|[^"\\\n])*(?:"|())'
    r"|-?\d[\w.+-]*|\w+|\.\.\.|[^\s,\ufeff#]|#[^\n]*"
)
BRACKETS = {"{": 1, "[": 1, "(": 1, "}": -1, "]": -1, ")": -1}
INTROSPECTION = frozenset({"__schema", "__type"})
# Fields of the introspection that answer lists of types or lead to them: each level of them
# multiplies the answer. Clients need one level.
LISTS = frozenset({"fields", "inputFields", "interfaces", "possibleTypes"})
LISTS_MAX = 3
PARTS = frozenset({"aggregate", "nodes"})
# How many items the lists of one type usually have, and what a type may cost by that measure. The
# query of GraphiQL costs some 2,000.
ITEMS = {"fields": 10, "inputFields": 10, "args": 3, "enumValues": 5}
DESCRIPTION_MAX = 20_000


def check_text(text: str, bounds: Bounds) -> None:
    """Refuse a document before it is parsed, which is what costs most."""
    if len(text) > bounds.characters:
        raise invalid(f"the query has more than {bounds.characters} characters", "$")
    depth = 0
    for number, token in enumerate(TOKEN.finditer(text), 1):
        if number > bounds.tokens:
            raise invalid(f"the query has more than {bounds.tokens} tokens", "$")
        if token.lastindex:
            raise invalid("not a valid graphql query", "$.query")
        depth += BRACKETS.get(token[0], 0)
        if depth > 2 * bounds.depth + 2:  # a value inside a field, each as deep as may be
            raise invalid("the query is nested too deeply", "$")


@dataclass(frozen=True, slots=True)
class Size:
    """A selection with its fragments put in, as often as they are named.

    `width` counts the fields of its first level, `lists` how deep lists of types nest, `items` what
    an introspection would answer for one type, `values` those of the arguments, `uses` how often
    each variable is named among them, and `parts` the parts of an aggregate on the first level.
    """

    depth: int = 0
    width: int = 0
    fields: int = 0
    aliases: int = 0
    lists: int = 0
    items: int = 0
    values: int = 0
    uses: Mapping[str, int] = field(default_factory=dict)
    parts: int = 0

    def check_values(self, variables: Mapping[str, int], bounds: Bounds) -> None:
        """Refuse more values than a request may have, each variable's as often as it is named."""
        found = self.values
        for name, number in self.uses.items():
            found += number * variables.get(name, 0)
        if found > bounds.values:
            raise invalid(f"the request has more than {bounds.values} values", "$")

    def check_conditions(self, variables: Mapping[str, Any], bounds: Bounds) -> None:
        """Refuse conditions of too many parts: each becomes SQL that Postgres has to plan."""
        left = bounds.conditions
        for name, value in variables.items():
            times = self.uses.get(name, 0)
            left -= times * _objects(value, left)
            if left < 0:
                raise invalid(f"the conditions have more than {bounds.conditions} parts", "$")


def check_document(document: Document, bounds: Bounds) -> Size:
    for declared in document.variables.values():
        check_value(declared.default, bounds)
    measure = _Measure(document, bounds)
    found = measure.selection(document.operation.selection_set)
    if found.depth > bounds.depth:
        raise invalid("the query is nested too deeply", "$")
    for what, number, most in (
        ("root fields", found.width, bounds.root_fields),
        ("aliases", found.aliases, bounds.aliases),
        ("fields", found.fields, bounds.fields),
    ):
        if number > most:
            raise invalid(f"the query has more than {most} {what}", "$")
    return found


class _Measure:
    """Measures each fragment once; the numbers grow with every time it is named."""

    def __init__(self, document: Document, bounds: Bounds) -> None:
        self.document = document
        self.bounds = bounds
        self.known: dict[str, Size] = {}

    def selection(self, found: SelectionSetNode | None) -> Size:
        # A fragment that is named again in the same place adds nothing.
        named = {
            node.name.value if isinstance(node, FragmentSpreadNode) else id(node): node
            for node in (found.selections if found else ())
        }
        sizes = [self._node(node) for node in named.values()]
        return Size(
            max((size.depth for size in sizes), default=0),
            sum(size.width for size in sizes),
            sum(size.fields for size in sizes),
            sum(size.aliases for size in sizes),
            max((size.lists for size in sizes), default=0),
            sum(size.items for size in sizes),
            sum(size.values for size in sizes),
            _together(size.uses for size in sizes),
            sum(size.parts for size in sizes),
        )

    def _node(self, node: SelectionNode) -> Size:
        if isinstance(node, FragmentSpreadNode):
            name = node.name.value
            if name not in self.known:
                fragment = self.document.fragments[name]
                self.known[name] = self.selection(fragment.selection_set)
            return self.known[name]
        inner = self.selection(getattr(node, "selection_set", None))
        if not isinstance(node, FieldNode):
            return replace(inner, depth=inner.depth + 1)
        name = node.name.value
        values, uses = self._arguments(node, inner)
        if name in INTROSPECTION:
            _check_introspection(inner)
        return Size(
            inner.depth + 1,
            1,
            inner.fields + 1,
            inner.aliases + (node.alias is not None),
            inner.lists + (name in LISTS),
            (inner.items + 1) * ITEMS.get(name, 1),
            values,
            uses,
            int(name in PARTS),
        )

    def _arguments(self, node: FieldNode, inner: Size) -> tuple[int, Mapping[str, int]]:
        """Count the values of a field's arguments and of those below it."""
        uses: Counter[str] = Counter()
        values = sum(self._literal(item.value, 1, uses) for item in node.arguments or ())
        times = max(1, inner.parts)  # each part of an aggregate has the conditions again
        if times > 1:
            uses = Counter({name: number * times for name, number in uses.items()})
        uses.update(inner.uses)
        return inner.values + values * times, uses

    def _literal(self, node: ValueNode, depth: int, uses: Counter[str]) -> int:
        """Check a literal; return how many values it is made of, and count the variables in it."""
        if isinstance(node, VariableNode):
            uses[node.name.value] += 1
            return 1
        if isinstance(node, ListValueNode):
            _check_list(len(node.values), self.bounds)
            inside = list(node.values)
        elif isinstance(node, ObjectValueNode):
            inside = [member.value for member in node.fields]
        else:
            return 1
        _check_depth(depth, self.bounds)
        return 1 + sum(self._literal(item, depth + 1, uses) for item in inside)


def _objects(value: Any, most: int) -> int:
    """Count the objects that a value is made of, no further than one more than `most`."""
    found = 0
    left = [value]
    while left and found <= most:
        part = left.pop()
        if isinstance(part, list):
            left.extend(part)
        elif isinstance(part, dict):
            found += 1
            left.extend(part.values())
    return found


def _together(counts: Iterable[Mapping[str, int]]) -> Counter[str]:
    found: Counter[str] = Counter()
    for each in counts:
        found.update(each)
    return found


def _check_introspection(found: Size) -> None:
    if found.lists > LISTS_MAX:
        raise invalid("the introspection is nested too deeply", "$")
    if found.items > DESCRIPTION_MAX:
        raise invalid("the introspection asks for too much", "$")


def check_variables(given: dict[str, Any], bounds: Bounds) -> dict[str, int]:
    """Check the values of variables; return how many values each is made of."""
    _check_object(len(given), bounds)
    return {name: check_value(value, bounds) for name, value in given.items()}


def check_value(value: Any, bounds: Bounds, depth: int = 1) -> int:
    """Check a JSON value: how long its lists are, and how deep it nests.

    Returns how many values it is made of. Plain ones in a list count nothing: they are bound whole.
    """
    if isinstance(value, list):
        _check_list(len(value), bounds)
        inside: Any = value
        found = 0
    elif isinstance(value, dict):
        _check_object(len(value), bounds)
        inside = value.values()
        found = len(value)
    else:
        return 1
    _check_depth(depth, bounds)
    for item in inside:
        if isinstance(item, (list, dict)):
            found += check_value(item, bounds, depth + 1) + (inside is value)
    return found


def _check_list(length: int, bounds: Bounds) -> None:
    if length > bounds.list_items:
        raise invalid(f"a list has more than {bounds.list_items} items", "$")


def _check_object(size: int, bounds: Bounds) -> None:
    if size > bounds.list_items:
        raise invalid(f"an object has more than {bounds.list_items} keys", "$")


def _check_depth(depth: int, bounds: Bounds) -> None:
    if depth > bounds.depth:
        raise invalid("a value is nested too deeply", "$")


def check_batch(length: int, bounds: Bounds) -> None:
    if length > bounds.batch:
        text = f"the batch has more than {bounds.batch} requests"
        raise EngineError("bad-request", text, status=413)
