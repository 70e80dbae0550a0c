"""Cut a template into tokens: JSON's, Kriti's own, and the pieces of strings with expressions."""

from __future__ import annotations

import re
from decimal import Decimal
from enum import Enum, auto
from typing import NamedTuple

from .errors import KritiError, Position, Span

KEYWORDS = frozenset({"if", "elif", "else", "end", "null", "range", "in", "not", "true", "false"})
NUMBER_CHARACTERS_MAX = 1000
EXPONENT_MAX = 1_000_000


class Kind(Enum):
    SYMBOL = auto()
    KEYWORD = auto()
    NAME = auto()
    NUMBER = auto()
    TEXT = auto()  # a piece of a string


class Token(NamedTuple):
    """`value` is what a number or a piece of a string stands for."""

    kind: Kind
    text: str
    span: Span
    value: str | int | Decimal = ""


class Mode(Enum):
    """Where the lexer stands. Only inside {{ }} two closing braces belong together."""

    PLAIN = auto()
    EXPRESSION = auto()
    STRING = auto()
    QUOTED = auto()  # a field's name between single quotes


SKIPPED = re.compile(r"[ \t\n\r\f\v]+|#[^\n]*")
NAME = re.compile(r"\$?[a-zA-Z][$a-zA-Z0-9_-]*|\$")
WHOLE = re.compile(r"-?[0-9]+")
NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
SYMBOL = re.compile(r"\{\{|\?\?|==|!=|>=|<=|&&|\|\||:=|[{}\[\]():.,?<>_\"']")
STRING = re.compile(
    r'(?P<plain>[^\\"{]+)|\\u(?P<hex>[0-9A-Fa-f]{4})|\\(?P<escape>[{"\\/bfnrt])|(?P<end>")'
    r"|(?P<open>\{\{)|(?P<brace>\{)"
)
QUOTED = re.compile(r"(?P<plain>[^'{]+)|(?P<end>')")
# Kriti keeps the backslash before a slash.
ESCAPES = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "/": "\\/"}
OPENS = {'"': Mode.STRING, "'": Mode.QUOTED, "{{": Mode.EXPRESSION}


class Lexer:
    """Reads a source once. `span` is that of the last token or blank it has passed."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.at = 0
        self.span = Span(Position(0, 1), Position(0, 1))
        self.modes = [Mode.PLAIN]

    def tokens(self) -> list[Token]:
        found: list[Token] = []
        while self.at < len(self.source):
            token = self._next()
            if token is not None:
                found.append(token)
        return found

    def _next(self) -> Token | None:
        mode = self.modes[-1]
        if mode is Mode.STRING:
            return self._in_string()
        if mode is Mode.QUOTED:
            return self._in_quotes()
        if match := SKIPPED.match(self.source, self.at):
            self._pass(match[0])
            return None
        return self._name() or self._number() or self._symbol(mode)

    def _name(self) -> Token | None:
        match = NAME.match(self.source, self.at)
        if match is None:
            return None
        kind = Kind.KEYWORD if match[0] in KEYWORDS else Kind.NAME
        return Token(kind, match[0], self._pass(match[0]))

    def _number(self) -> Token | None:
        matches = [rule.match(self.source, self.at) for rule in (WHOLE, NUMBER)]
        text = max((match[0] for match in matches if match), key=len, default="")
        if not text:
            return None
        _, _, exponent = text.lower().partition("e")
        too_long = len(text) > NUMBER_CHARACTERS_MAX
        if too_long or abs(int(exponent or 0)) > EXPONENT_MAX:
            raise self._refused()
        value = int(text) if WHOLE.fullmatch(text) else Decimal(text)
        return Token(Kind.NUMBER, text, self._pass(text), value)

    def _symbol(self, mode: Mode) -> Token:
        if mode is Mode.EXPRESSION and self.source.startswith("}}", self.at):
            self._leave()
            return Token(Kind.SYMBOL, "}}", self._pass("}}"))
        match = SYMBOL.match(self.source, self.at)
        if match is None:
            raise self._refused()
        if match[0] in OPENS:
            self.modes.append(OPENS[match[0]])
        return Token(Kind.SYMBOL, match[0], self._pass(match[0]))

    def _in_string(self) -> Token:
        match = STRING.match(self.source, self.at)
        if match is None:
            raise self._refused()
        span = self._pass(match[0])
        if match["end"]:
            self._leave()
            return Token(Kind.SYMBOL, '"', span)
        if match["open"]:
            self.modes.append(Mode.EXPRESSION)
            return Token(Kind.SYMBOL, "{{", span)
        value = match["plain"] or match["brace"] or ""
        if match["hex"]:
            value = chr(int(match["hex"], 16))
        elif match["escape"]:
            value = ESCAPES.get(match["escape"], match["escape"])
        return Token(Kind.TEXT, match[0], span, value)

    def _in_quotes(self) -> Token:
        match = QUOTED.match(self.source, self.at)
        if match is None:
            raise self._refused()
        span = self._pass(match[0])
        if match["end"]:
            self._leave()
            return Token(Kind.SYMBOL, "'", span)
        return Token(Kind.TEXT, match[0], span, match[0])

    def _leave(self) -> None:
        if len(self.modes) > 1:
            self.modes.pop()

    def _pass(self, text: str) -> Span:
        """Move behind a text. Its span starts where the one before it ended."""
        start = self.span.end
        lines = text.count("\n")
        column = len(text) - text.rfind("\n") if lines else start.column + len(text)
        self.span = Span(start, Position(start.line + lines, column))
        self.at += len(text)
        return self.span

    def _refused(self) -> KritiError:
        start = self.span.end
        end = Position(start.line, start.column + len(self.source.encode()))
        return KritiError("Lex Error", f"Invalid Lexeme: '{self.source}'", Span(start, end))
