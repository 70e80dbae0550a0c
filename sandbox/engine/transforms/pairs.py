"""Both transforms of one action or trigger."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

from .requests import RequestTransform
from .responses import ResponseTransform
from .templates import Reading


@dataclass(frozen=True, slots=True)
class Transforms:
    request: RequestTransform | None = None
    response: ResponseTransform | None = None

    @classmethod
    def read(cls, holder: dict[str, Any]) -> Self:
        """Read what an action's definition or a trigger says; the error lists all that is wrong."""
        reading = Reading()
        found = cls(
            reading.take(RequestTransform.read, holder.get("request_transform")),
            reading.take(ResponseTransform.read, holder.get("response_transform")),
        )
        reading.finish()
        return found
