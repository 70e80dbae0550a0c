"""What a request may cost before it is looked at more closely: nothing has been executed yet."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

from graphql import (
    FieldNode,
    FragmentSpreadNode,
    ListValueNode,
    ObjectValueNode,
    SelectionNode,
    SelectionSetNode,
    ValueNode,
)

from sandbox.engine.errors import EngineError, invalid
from sandbox.engine.settings import Bounds

from .parsing import Document

# Counts what the parser would have to read, at a small part of its cost. Whatever is malformed
# counts, too: the parser refuses it afterwards. A string that does not end is one token, for to
# look for its end again from each of its quotes would take seconds.
TOKEN = re.compile(
    r'"""(?:\\"""|[^"]|"(?!""))*(?:""")?|"(?:\\.|[^"\\\n])*"?'
    r"|-?\d[\w.+-]*|\w+|\.\.\.|[^\s,\ufeff#]|#[^\n]*"
)
INTROSPECTION = frozenset({"__schema", "__type"})
# Fields of the introspection that answer lists of types or lead to them: each level of them
# multiplies the answer. Clients need one level.
LISTS = frozenset({"fields", "inputFields", "interfaces", "possibleTypes"})
LISTS_MAX = 3
# How many items the lists of one type usually have, and what a type may cost by that measure. The
# query of GraphiQL costs some 2,000.
ITEMS = {"fields": 10, "inputFields": 10, "args": 3, "enumValues": 5}
DESCRIPTION_MAX = 20_000


def check_text(text: str, bounds: Bounds) -> None:
    """Refuse a document before it is parsed, which is what costs most."""
    if len(text) > bounds.characters:
        raise invalid(f"the query has more than {bounds.characters} characters", "$")
    found = sum(1 for _ in islice(TOKEN.finditer(text), bounds.tokens + 1))
    if found > bounds.tokens:
        raise invalid(f"the query has more than {bounds.tokens} tokens", "$")


@dataclass(frozen=True, slots=True)
class Size:
    """A selection with its fragments put in, as often as they are named.

    `width` counts the fields of its first level, `lists` how deep lists of types nest, and `items`
    what an introspection would answer for one type.
    """

    depth: int = 0
    width: int = 0
    fields: int = 0
    aliases: int = 0
    lists: int = 0
    items: int = 0


def check_document(document: Document, bounds: Bounds) -> None:
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
        for argument in node.arguments or ():
            self._literal(argument.value, 1)
        name = node.name.value
        if name in INTROSPECTION:
            _check_introspection(inner)
        return Size(
            inner.depth + 1,
            1,
            inner.fields + 1,
            inner.aliases + (node.alias is not None),
            inner.lists + (name in LISTS),
            (inner.items + 1) * ITEMS.get(name, 1),
        )

    def _literal(self, node: ValueNode, depth: int) -> None:
        if isinstance(node, ListValueNode):
            _check_list(len(node.values), self.bounds)
            inside = list(node.values)
        elif isinstance(node, ObjectValueNode):
            inside = [field.value for field in node.fields]
        else:
            return
        _check_depth(depth, self.bounds)
        for item in inside:
            self._literal(item, depth + 1)


def _check_introspection(found: Size) -> None:
    if found.lists > LISTS_MAX:
        raise invalid("the introspection is nested too deeply", "$")
    if found.items > DESCRIPTION_MAX:
        raise invalid("the introspection asks for too much", "$")


def check_variables(given: dict[str, Any], bounds: Bounds) -> None:
    for value in given.values():
        check_value(value, bounds)


def check_value(value: Any, bounds: Bounds, depth: int = 1) -> None:
    """Check a JSON value: how long its lists are, and how deep it nests."""
    if isinstance(value, list):
        _check_list(len(value), bounds)
        inside: Any = value
    elif isinstance(value, dict):
        inside = value.values()
    else:
        return
    _check_depth(depth, bounds)
    for item in inside:
        if isinstance(item, (list, dict)):
            check_value(item, bounds, depth + 1)


def _check_list(length: int, bounds: Bounds) -> None:
    if length > bounds.list_items:
        raise invalid(f"a list has more than {bounds.list_items} items", "$")


def _check_depth(depth: int, bounds: Bounds) -> None:
    if depth > bounds.depth:
        raise invalid("a value is nested too deeply", "$")


def check_batch(length: int, bounds: Bounds) -> None:
    if length > bounds.batch:
        text = f"the batch has more than {bounds.batch} requests"
        raise EngineError("bad-request", text, status=413)
