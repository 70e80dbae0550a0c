"""Evaluate a parsed template over named values, within bounds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

from .errors import FunctionFailed, KritiError, Span
from .functions import FUNCTIONS, Function
from .nodes import (
    Array,
    Choice,
    Field,
    Literal,
    Loop,
    Node,
    Object,
    Operation,
    Optional,
    Text,
    Variable,
)
from .nodes import Function as Application
from .values import encode, is_equal, is_less, name_of

# A template that costs more is wrong, or meant to do harm.
WORK_MAX = 1_000_000  # nodes evaluated, and characters and members written by them
INDEX_DIGITS_MAX = 18


def evaluate(
    node: Node, variables: Mapping[str, Any], functions: Mapping[str, Function] | None = None
) -> Any:
    """Return the JSON value a template stands for; raises KritiError.

    `functions` are known besides Kriti's own.
    """
    evaluation = Evaluation(node.span, FUNCTIONS | dict(functions or {}))
    try:
        return evaluation.value(node, variables)
    except RecursionError:
        raise evaluation.too_much() from None


class Evaluation:
    """One run of a template. `scope` is what the names stand for at that place."""

    def __init__(self, span: Span, functions: Mapping[str, Function]) -> None:
        self.span = span
        self.functions = functions
        self.work = 0

    def too_much(self) -> KritiError:
        return KritiError("Function Error", "The template takes too much work.", self.span)

    def spend(self, amount: int) -> None:
        self.work += amount
        if self.work > WORK_MAX:
            raise self.too_much()

    def value(self, node: Node, scope: Mapping[str, Any]) -> Any:
        self.spend(1)
        return RULES[type(node)](self, node, scope)

    def literal(self, node: Literal, _scope: Mapping[str, Any]) -> Any:
        return node.value

    def text(self, node: Text, scope: Mapping[str, Any]) -> str:
        parts = []
        for part in node.parts:
            value = self.value(part, scope)
            parts.append(value if isinstance(value, str) else encode(value))
            self.spend(len(parts[-1]))
        return "".join(parts)

    def array(self, node: Array, scope: Mapping[str, Any]) -> list[Any]:
        return [self.value(item, scope) for item in node.items]

    def object(self, node: Object, scope: Mapping[str, Any]) -> dict[str, Any]:
        return {name: self.value(item, scope) for name, item in node.fields}

    def variable(self, node: Variable, scope: Mapping[str, Any]) -> Any:
        if node.name not in scope:
            text = f"Variable '{node.name}' not in scope"
            raise KritiError("Name Error", text, node.span)
        return scope[node.name]

    def field(self, node: Field, scope: Mapping[str, Any]) -> Any:
        base = self.value(node.base, scope)
        if isinstance(base, dict):
            key = self.value(node.key, scope)
            if not isinstance(key, str):
                raise _mismatch(node.base.span, key, "String")
            if key not in base:
                text = f"'Object' has no attritubte '{key}'."  # Kriti's own spelling
                raise KritiError("Attribute Error", text, node.span)
            return base[key]
        if not isinstance(base, list) or node.dotted:
            raise _mismatch(node.base.span, base, "Object")
        return self._item(node, base, self.value(node.key, scope))

    def _item(self, node: Field, base: list[Any], key: Any) -> Any:
        index = _index(key)
        if index is None:
            raise _mismatch(node.span, key, "Integer")
        if not 0 <= index < len(base):
            raise KritiError("Index Error", "Can only range over an array", node.span)
        return base[index]

    def optional(self, node: Optional, scope: Mapping[str, Any]) -> Any:
        """Follow fields; whatever is missing makes it null, and so does a failure before them."""
        try:
            base = self.value(node.base, scope)
        except KritiError:
            base = None
            self.spend(0)  # running out of work is no missing field
        keys = [self.value(key, scope) for key in node.keys]
        if base is not None and not isinstance(base, (dict, list)):
            raise _mismatch(node.base.span, base, "Object")
        for key in keys:
            base = _below(base, key)
        return base

    def choice(self, node: Choice, scope: Mapping[str, Any]) -> Any:
        for branch in node.branches:
            found = self.value(branch.condition, scope)
            if not isinstance(found, bool):
                raise _mismatch(branch.span, found, "Boolean")
            if found:
                return self.value(branch.value, scope)
        return self.value(node.otherwise, scope)

    def loop(self, node: Loop, scope: Mapping[str, Any]) -> list[Any]:
        items = self.value(node.items, scope)
        if not isinstance(items, list):
            raise _mismatch(node.span, items, "Array")
        found = []
        for index, item in enumerate(items):
            inner = {**scope, node.name: item}
            if node.index is not None:
                inner[node.index] = index
            found.append(self.value(node.body, inner))
        return found

    def operation(self, node: Operation, scope: Mapping[str, Any]) -> Any:
        left = self.value(node.left, scope)
        if node.operator == "??":
            return self.value(node.right, scope) if left is None else left
        right = self.value(node.right, scope)
        if node.operator in COMPARISONS:
            return COMPARISONS[node.operator](left, right)
        if node.operator == "in":
            self.spend(len(right) if isinstance(right, list) else 0)
            return _is_in(node.span, left, right)
        for side in (right, left):
            if not isinstance(side, bool):
                raise _mismatch(node.span, side, "Boolean")
        return left and right if node.operator == "&&" else left or right

    def application(self, node: Application, scope: Mapping[str, Any]) -> Any:
        argument = self.value(node.argument, scope)
        function = self.functions.get(node.name)
        if function is None:
            text = f"Variable '{node.name}' not in scope"
            raise KritiError("Name Error", text, node.span)
        try:
            found = function(argument)
        except FunctionFailed as failure:
            raise KritiError("Function Error", str(failure), node.argument.span) from failure
        if isinstance(found, (str, list, dict)):
            self.spend(len(found))
        return found


RULES: dict[type, Callable[[Evaluation, Any, Mapping[str, Any]], Any]] = {
    Application: Evaluation.application,
    Array: Evaluation.array,
    Choice: Evaluation.choice,
    Field: Evaluation.field,
    Literal: Evaluation.literal,
    Loop: Evaluation.loop,
    Object: Evaluation.object,
    Operation: Evaluation.operation,
    Optional: Evaluation.optional,
    Text: Evaluation.text,
    Variable: Evaluation.variable,
}
COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "==": is_equal,
    "!=": lambda left, right: not is_equal(left, right),
    "<": is_less,
    ">": lambda left, right: is_less(right, left),
    "<=": lambda left, right: not is_less(right, left),
    ">=": lambda left, right: not is_less(left, right),
}


def _mismatch(span: Span, value: Any, expected: str) -> KritiError:
    text = f"Couldn't match expected type '{expected}' with actual type '{name_of(value)}'"
    return KritiError("Type Error", text, span)


def _index(key: Any) -> int | None:
    """Read a whole number of a size that an index can have."""
    if isinstance(key, Decimal) and abs(key.adjusted()) <= INDEX_DIGITS_MAX:
        return int(key) if key == int(key) else None
    return key if isinstance(key, int) and not isinstance(key, bool) else None


def _below(base: Any, key: Any) -> Any:
    if isinstance(base, dict) and isinstance(key, str):
        return base.get(key)
    if isinstance(base, list):
        index = _index(key)
        return base[index] if index is not None and 0 <= index < len(base) else None
    return None


def _is_in(span: Span, left: Any, right: Any) -> bool:
    if isinstance(right, dict):
        if not isinstance(left, str):
            raise _mismatch(span, left, "String")
        return left in right
    if not isinstance(right, list):
        raise _mismatch(span, right, "Array")
    return any(is_equal(left, item) for item in right)
