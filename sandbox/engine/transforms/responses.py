"""Response transforms: the body that is taken in place of the one that was answered."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from sandbox.engine.kriti.values import decode

from .requests import Body, Transformed, version_of
from .templates import Scope, written

# Each part of the request is told with the context of all its templates, as Hasura does.
PARTS = ("body", "method", "query_params", "request_headers", "url")


@dataclass(frozen=True, slots=True)
class ResponseTransform:
    """A response_transform of the metadata."""

    body: Body | None

    @classmethod
    def read(cls, definition: Any) -> Self:
        version = version_of(definition)
        body = definition.get("body")
        return cls(None if body is None else Body.read(version, body))

    def apply(
        self,
        content: bytes,
        status: int,
        transformed: Transformed | None,
        session: Mapping[str, str] | None,
    ) -> str:
        """Return the body. One that is no JSON counts as null, with a template or without."""
        given = decode(content)
        if self.body is None:
            return written(given)
        request = None
        if transformed is not None:
            request = dict.fromkeys(PARTS, transformed.context)
        variables = {"$body": given, "$request": request, "$response": {"status": status}}
        scope = Scope(variables, session)
        if self.body.template is None and self.body.form is None:
            return "null"
        text = self.body.text(scope)
        return text if self.body.template is not None else written(text)
