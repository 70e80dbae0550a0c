"""Who asks: the role and the session variables of one request."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

from .values import to_json

ADMIN = "admin"


@dataclass(frozen=True)
class Session:
    """`variables` has lower-case x-hasura-* names and always holds x-hasura-role.

    `backend` is true when the caller proved the admin secret and asked for backend-only fields.
    `headers` are the client's, for actions that forward them. `expires_at` is when the proof of
    all this ends, in seconds since 1970; None is never.
    """

    role: str
    variables: dict[str, str]
    backend: bool = False
    headers: dict[str, str] = field(default_factory=dict)
    expires_at: float | None = None

    @cached_property
    def as_json(self) -> str:
        return to_json(self.variables)
