"""Request transforms: method, address, query, headers and body, each from what the request was.

All templates see the request as it was before. Taken from Hasura as they are, surprises included:
a query in a new address gives way to the former one unless query_params are given, which replace
all; and an added header does not take away one of the same name, which remove_headers does.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Self
from urllib.parse import quote

from sandbox.engine.kriti.values import decode
from sandbox.engine.outgoing import Request

from .addresses import Address, Query, is_address, parse_query
from .templates import Reading, Scope, Template, TransformError, Words, failed, raise_all, written

Pairs = tuple[tuple[Words, Words | None], ...]


@dataclass(frozen=True, slots=True)
class Transformed:
    """A request after its transform, and the context that was given to the templates."""

    request: Request
    context: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Body:
    """What becomes of the body: nothing is left, a template's value, or a form."""

    template: Template | None = None
    form: tuple[tuple[str, Words], ...] | None = None

    @classmethod
    def read(cls, version: int, definition: Any) -> Self:
        if version == 1:
            return cls(Template.parse(definition))
        action = definition.get("action") if isinstance(definition, dict) else None
        if action == "remove":
            return cls()
        if action == "transform":
            return cls(Template.parse(definition.get("template")))
        if action == "x_www_form_urlencoded":
            return cls(form=_named(definition.get("form_template")))
        raise failed("invalid transform action")

    def text(self, scope: Scope) -> str:
        if self.template is not None:
            return written(self.template.value(scope))
        if self.form is None:
            return ""
        texts = _each([words for _, words in self.form], scope)
        pairs = zip((name for name, _ in self.form), texts, strict=True)
        return "&".join(f"{_escaped(name)}={_escaped(text)}" for name, text in pairs)


@dataclass(frozen=True, slots=True)
class RequestTransform:
    """A request_transform of the metadata. What is None stays as it was."""

    method: str | None
    url: Words | None
    body: Body | None
    query: Pairs | Words | None
    added: tuple[tuple[str, Words], ...]
    removed: frozenset[str]

    @classmethod
    def read(cls, definition: Any) -> Self:
        """Parse all templates; the error lists every one that does not parse."""
        version = version_of(definition)
        reading = Reading()
        headers = reading.take(_object, definition.get("request_headers")) or {}
        found = cls(
            method=reading.take(_method, definition.get("method")),
            url=reading.take(Words.parse, definition.get("url")),
            body=reading.take(partial(Body.read, version), definition.get("body")),
            query=reading.take(_query, definition.get("query_params")),
            added=reading.take(_named, headers.get("add_headers")) or (),
            removed=reading.take(_names, headers.get("remove_headers")) or frozenset(),
        )
        reading.finish()
        return found

    def apply(self, request: Request, session: Mapping[str, str] | None) -> Transformed:
        """Transform a request whose address is the one that the metadata gives."""
        address = Address.read(request.url)
        if address is None:
            raise failed(f"Invalid URL: {request.url}")
        context = _context(request, address, session)
        scope = Scope({f"${name}": value for name, value in context.items()}, session)
        method = self.method or request.method
        target = self._address(address, scope)
        body = request.body if self.body is None else self.body.text(scope).encode()
        query = self._query(address.query, scope)
        headers = self._headers(request, scope)
        done = Request(method, target.text(query), headers, body)
        return Transformed(done, context)

    def _address(self, former: Address, scope: Scope) -> Address:
        if self.url is None:
            return replace(former, path=former.path or "/")
        text = self.url.text(scope)
        if not is_address(text):
            raise failed(f"Invalid URL: {text}")
        return Address.read(text) or former

    def _query(self, former: Query, scope: Scope) -> Query:
        if self.query is None:
            return former
        if isinstance(self.query, Words):
            return parse_query(self.query.text(scope))
        keys = _each([key for key, _ in self.query], scope)
        given = [value for _, value in self.query if value is not None]
        texts = iter(_each(given, scope))
        values = [None if value is None else next(texts) for _, value in self.query]
        pairs = zip(keys, values, strict=True)
        return tuple((key, value) for key, value in pairs if "null" not in (key, value))

    def _headers(self, request: Request, scope: Scope) -> tuple[tuple[str, str], ...]:
        kept = (item for item in request.headers if item[0].lower() not in self.removed)
        texts = _each([words for _, words in self.added], scope)
        names = (name for name, _ in self.added)
        return (*kept, *((name, _line(text)) for name, text in zip(names, texts, strict=True)))


def version_of(definition: Any) -> int:
    """Read the version of a transform, after a look at what all of them have."""
    if not isinstance(definition, dict):
        raise failed("a transform has to be an object")
    version = definition.get("version") or 1
    if version not in (1, 2):
        raise failed(f"expected 1 or 2, encountered {version}")
    if definition.get("template_engine") not in (None, "Kriti"):
        raise failed("the only template engine is Kriti")
    return int(version)


def _context(
    request: Request, address: Address, session: Mapping[str, str] | None
) -> dict[str, Any]:
    return {
        "base_url": request.url,
        "body": decode(request.body),
        "query_params": [list(pair) for pair in address.query],
        "session_variables": None if session is None else dict(session),
    }


def _each(items: list[Words], scope: Scope) -> list[str]:
    """Evaluate several templates; the error lists every one that fails."""
    texts, errors = [], []
    for item in items:
        try:
            texts.append(item.text(scope))
        except TransformError as error:
            errors.append(error)
    raise_all(errors)
    return texts


def _method(given: Any) -> str:
    if not (isinstance(given, str) and given.isascii() and given.isalpha()):
        raise failed("method has to be the name of an HTTP method")
    return given


def _object(given: Any) -> dict[str, Any]:
    if not isinstance(given, dict):
        raise failed("headers and forms have to be objects")
    return given


def _names(given: Any) -> frozenset[str]:
    if not isinstance(given, list) or not all(isinstance(name, str) for name in given):
        raise failed("remove_headers has to be a list of names")
    return frozenset(name.lower() for name in given)


def _named(given: Any) -> tuple[tuple[str, Words], ...]:
    reading = Reading()
    found = [(name, reading.take(Words.parse, source)) for name, source in _object(given).items()]
    reading.finish()
    return tuple((name, words) for name, words in found if words is not None)


def _query(given: Any) -> Pairs | Words:
    if isinstance(given, str):
        return Words.parse(given)
    if not isinstance(given, dict):
        raise failed("Invalid query parameter")
    return tuple(
        (Words.parse(key), None if value is None else Words.parse(value))
        for key, value in given.items()
    )


def _escaped(text: str) -> str:
    return quote(text, safe="")


def _line(text: str) -> str:
    """Keep a value from ending its header and starting another."""
    if any(character in text for character in "\r\n\0"):
        raise failed("a header cannot have several lines")
    return text
