"""Call sites: where in the service an outgoing call is written, found by reading its source.

A running call is matched to its site by the stack above it. What is written and was never run by
any flow is a hole in the proof, and has a name.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import FrameType

import app
from app import graphql
from app.gateways import Gateway

APP = Path(app.__file__).parent
CLIENTS = ("graphql.py", "connections.py", "http.py", "clock.py", "__init__.py", "gateways")
# An adapter's methods that go out to the gateway; those that read only check and translate.
OUTGOING = frozenset(
    name for name in vars(Gateway) if name[0] != "_" and name not in {"name", "read", "read_return"}
)


@dataclass(frozen=True, slots=True, order=True)
class Site:
    """A call in the source: the file below app/, the function around it, and what is called."""

    file: str
    function: str
    callee: str

    def __str__(self) -> str:
        return f"{self.file} {self.function} -> {self.callee}"


def here(operation: str) -> Site:
    """Name the site of the call under way: the nearest frame of a capability."""
    callee = operation
    frame: FrameType | None = sys._getframe(1)  # noqa: SLF001  # the stack is the question
    while frame is not None:
        file = _below_app(frame.f_code.co_filename)
        name = frame.f_code.co_name
        if file and file.startswith("gateways") and name in OUTGOING:
            callee = name
        if file and not file.startswith(CLIENTS) and not name.startswith("<"):
            return Site(file, name, callee)
        frame = frame.f_back
    return Site("", "", callee)


@cache
def written() -> frozenset[Site]:
    """Find every call to Hasura by an operation's name, and to a gateway, in the capabilities."""
    found: set[Site] = set()
    for path in sorted(APP.rglob("*.py")):
        file = path.relative_to(APP).as_posix()
        if not file.startswith(CLIENTS):
            tree = ast.parse(path.read_text(encoding="utf-8"))
            found |= {Site(file, *pair) for pair in _calls(tree, "<module>")}
    return frozenset(found)


def _calls(node: ast.AST, function: str) -> Iterator[tuple[str, str]]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef):
            yield from _calls(child, child.name)
            continue
        if isinstance(child, ast.Call) and (callee := _callee(child)):
            yield function, callee
        yield from _calls(child, function)


def _callee(call: ast.Call) -> str | None:
    if not isinstance(call.func, ast.Attribute):
        return None
    first = call.args[0] if call.args else None
    if call.func.attr in {"run", "one"} and isinstance(first, ast.Constant):
        return first.value if first.value in graphql.operations() else None
    if call.func.attr in OUTGOING and "gateway" in ast.unparse(call.func.value):
        return call.func.attr
    return None


def _below_app(filename: str) -> str | None:
    path = Path(filename)
    return path.relative_to(APP).as_posix() if path.is_relative_to(APP) else None
