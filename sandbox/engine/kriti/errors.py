"""What is wrong with a template, and where: the same words and positions as Kriti's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, order=True)
class Position:
    """A line, counted from 0, and a column, counted from 1."""

    line: int
    column: int


@dataclass(frozen=True, slots=True)
class Span:
    """A part of a template; the end is just behind it."""

    start: Position
    end: Position

    def to(self, other: Span) -> Span:
        return Span(min(self.start, other.start), max(self.end, other.end))


class KritiError(Exception):
    """A template that does not parse, or that fails for the values it is given."""

    def __init__(self, code: str, message: str, span: Span) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.span = span

    def serialized(self) -> dict[str, Any]:
        start, end = self.span.start, self.span.end
        return {
            "error_code": self.code,
            "message": self.message,
            "source_position": {
                "start_line": start.line,
                "start_column": start.column,
                "end_line": end.line,
                "end_column": end.column,
            },
        }


class FunctionFailed(Exception):  # noqa: N818 -- it is no error yet: the evaluation knows the place
    """A function that cannot take its argument."""
