"""Build the tree of a template, by Kriti's grammar: expressions, applications, atoms."""

from __future__ import annotations

from collections.abc import Callable

from .errors import KritiError, Span
from .lexer import Kind, Lexer, Token
from .nodes import (
    Array,
    Branch,
    Choice,
    Field,
    Function,
    Literal,
    Loop,
    Node,
    Object,
    Operation,
    Optional,
    Text,
    Variable,
)

OPERATORS = frozenset({">", "<", ">=", "<=", "!=", "==", "&&", "||", "in", "??"})
WORDS = {"null": None, "true": True, "false": False}
DEPTH_MAX = 60


def parse(source: str) -> Node:
    """Parse a whole template; raises KritiError."""
    lexer = Lexer(source)
    parser = Parser(lexer.tokens(), lexer.span)
    node = parser.expression()
    if parser.next is not None:
        raise parser.unexpected()
    return node


class Parser:
    """Kriti reads all tokens before it parses, and so reports every error at the last of them."""

    def __init__(self, tokens: list[Token], last: Span) -> None:
        self.tokens = tokens
        self.last = last
        self.at = 0
        self.depth = 0

    @property
    def next(self) -> Token | None:
        return self.tokens[self.at] if self.at < len(self.tokens) else None

    def unexpected(self) -> KritiError:
        token = self.next
        if token is None:
            return KritiError("Parse Error", "ParseError: Empty token stream.", self.last)
        text = f'"{token.value}"' if token.kind is Kind.TEXT else token.text
        return KritiError("Parse Error", f"Unexpected token '{text}'.", self.last)

    def sees(self, text: str, ahead: int = 0) -> bool:
        """Tell whether a symbol or keyword comes next."""
        at = self.at + ahead
        if at >= len(self.tokens):
            return False
        token = self.tokens[at]
        return token.kind in (Kind.SYMBOL, Kind.KEYWORD) and token.text == text

    def takes(self, text: str) -> bool:
        found = self.sees(text)
        self.at += found
        return found

    def expect(self, *texts: str) -> Span:
        """Pass these symbols or keywords; return where the last of them is."""
        for text in texts:
            if not self.takes(text):
                raise self.unexpected()
        return self.tokens[self.at - 1].span

    def expect_kind(self, kind: Kind) -> Token:
        token = self.next
        if token is None or token.kind is not kind:
            raise self.unexpected()
        self.at += 1
        return token

    def expression(self) -> Node:
        return self._deeper(self._expression)

    def _deeper(self, rule: Callable[[], Node]) -> Node:
        self.depth += 1
        if self.depth > DEPTH_MAX:
            text = f"The template is nested more than {DEPTH_MAX} levels deep."
            raise KritiError("Parse Error", text, self.last)
        node = rule()
        self.depth -= 1
        return node

    def _expression(self) -> Node:
        if self.sees("{{") and not (self.sees("range", 1) or self.sees("if", 1)):
            self.expect("{{")
            node = self.expression()
            self.expect("}}")
            return node
        if self.sees("not"):
            start = self.expect("not")
            argument = self.expression()
            return Function(start.to(argument.span), "not", argument)
        if self._calls():
            name = self.expect_kind(Kind.NAME)
            self.expect("(")
            argument = self.expression()
            return Function(name.span.to(self.expect(")")), name.text, argument)
        return self._operation()

    def _calls(self) -> bool:
        token = self.next
        return token is not None and token.kind is Kind.NAME and self.sees("(", 1)

    def _operation(self) -> Node:
        left = self.atom()
        token = self.next
        if token is None or token.text not in OPERATORS or not self.takes(token.text):
            return left
        right = self.atom()
        return Operation(left.span.to(right.span), token.text, left, right)

    def atom(self) -> Node:
        node = self._bare_atom()
        while True:
            if self.sees(".") or self.sees("["):
                key, end, dotted = self._key()
                node = Field(node.span.to(end), node, key, dotted)
            elif self.takes("?"):
                keys = []
                while self.sees(".") or self.sees("["):
                    keys.append(self._key()[0])
                node = Optional(node.span, node, tuple(keys))
            else:
                return node

    def _key(self) -> tuple[Node, Span, bool]:
        if self.takes("."):
            name = self.expect_kind(Kind.NAME)
            return Literal(name.span, name.text), name.span, True
        self.expect("[")
        if self.takes("'"):
            text = self.expect_kind(Kind.TEXT)
            self.expect("'")
            return Literal(text.span, str(text.value)), self.expect("]"), False
        key = self._deeper(self.atom)
        return key, self.expect("]"), False

    def _bare_atom(self) -> Node:
        token = self.next
        if token is None:
            raise self.unexpected()
        if token.kind is Kind.NAME:
            self.at += 1
            return Variable(token.span, token.text)
        if token.kind is Kind.NUMBER:
            self.at += 1
            return Literal(token.span, token.value)
        if token.kind is Kind.KEYWORD and token.text in WORDS:
            self.at += 1
            return Literal(token.span, WORDS[token.text])
        return self._enclosed(token)

    def _enclosed(self, token: Token) -> Node:
        """Parse what a symbol opens."""
        rules = {"{": self._object, "[": self._array, '"': self._text, "(": self._parentheses}
        if token.kind is Kind.SYMBOL and token.text in rules:
            return rules[token.text]()
        if self.sees("{{"):
            return self._loop() if self.sees("range", 1) else self._choice()
        raise self.unexpected()

    def _parentheses(self) -> Node:
        self.expect("(")
        node = self.expression()
        self.expect(")")
        return node

    def _array(self) -> Node:
        start = self.expect("[")
        items = []
        if not self.sees("]"):
            items.append(self.expression())
            while self.takes(","):
                items.append(self.expression())
        return Array(start.to(self.expect("]")), tuple(items))

    def _object(self) -> Node:
        start = self.expect("{")
        fields: dict[str, Node] = {}
        if not self.sees("}"):
            self._object_field(fields)
            while self.takes(","):
                self._object_field(fields)
        return Object(start.to(self.expect("}")), tuple(fields.items()))

    def _object_field(self, fields: dict[str, Node]) -> None:
        """Add a field; of two with one name the first counts."""
        self.expect('"')
        name = ""
        while not self.sees('"'):
            name += str(self.expect_kind(Kind.TEXT).value)
        self.expect('"', ":")
        fields.setdefault(_paired(name), self.expression())

    def _text(self) -> Node:
        start = self.expect('"')
        parts: list[Node] = []
        while not self.sees('"'):
            if self.takes("{{"):
                parts.append(self.expression())
                self.expect("}}")
            else:
                parts.append(self._piece())
        return Text(start.to(self.expect('"')), tuple(parts))

    def _piece(self) -> Node:
        """Join the pieces that escapes have cut a string into."""
        first = self.expect_kind(Kind.TEXT)
        value, span = str(first.value), first.span
        while (token := self.next) is not None and token.kind is Kind.TEXT:
            value, span = value + str(token.value), span.to(token.span)
            self.at += 1
        return Literal(span, _paired(value))

    def _loop(self) -> Node:
        start = self.expect("{{")
        self.expect("range")
        index = None if self.takes("_") else self.expect_kind(Kind.NAME).text
        self.expect(",")
        name = self.expect_kind(Kind.NAME).text
        self.expect(":=")
        items = self.expression()
        self.expect("}}")
        body = self.expression()
        return Loop(start.to(self.expect("{{", "end", "}}")), index, name, items, body)

    def _choice(self) -> Node:
        start = self.expect("{{")
        self.expect("if")
        condition, value = self._branch()
        others: list[Branch] = []
        while self.sees("elif", 1):
            self.expect("{{")
            at = self.expect("elif")
            condition_, value_ = self._branch()
            others.append(Branch(at.to(condition_.span), condition_, value_))
        self.expect("{{", "else", "}}")
        otherwise = self.expression()
        span = start.to(self.expect("{{", "end", "}}"))
        return Choice(span, (Branch(span, condition, value), *others), otherwise)

    def _branch(self) -> tuple[Node, Node]:
        condition = self.expression()
        self.expect("}}")
        return condition, self.expression()


def _paired(text: str) -> str:
    """Make one character of two halves that were escaped one by one."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace") if text else text
