"""Ask a webhook once: the exchange with its limits, and the response in Hasura's words."""

import json
from dataclasses import dataclass, field
from typing import Any

from sandbox.engine.outgoing import Outgoing

LOGGED_CHARACTERS_MAX = 100_000


@dataclass(frozen=True, slots=True)
class Retry:
    """How often and when a failed delivery is tried again."""

    retries: int = 0
    interval_s: float = 10.0
    timeout_s: float = 60.0


@dataclass(frozen=True, slots=True)
class Hook:
    """Where a trigger delivers to."""

    url: str
    headers: dict[str, str]
    headers_logged: list[dict[str, str]]  # without the values that came from the environment
    retry: Retry


@dataclass(frozen=True, slots=True)
class Response:
    """What a webhook answered, or why it could not be asked."""

    status: int | None = None
    body: str = ""
    headers: list[tuple[str, str]] = field(default_factory=list)
    fault: str | None = None

    @property
    def is_success(self) -> bool:
        return self.status is not None and 200 <= self.status <= 299

    @property
    def retry_after_s(self) -> int | None:
        """The wait that a refusal asks for: whole seconds, more than none."""
        value = next((text for name, text in self.headers if name.lower() == "retry-after"), "")
        wanted = int(value) if value.isascii() and value.isdigit() else 0
        return wanted if wanted > 0 and not self.is_success else None

    def logged(self) -> str:
        if self.fault is not None:
            return json.dumps(
                {"type": "client_error", "version": "2", "data": {"message": self.fault}}
            )
        data = {
            "status": self.status,
            "body": self.body[:LOGGED_CHARACTERS_MAX],
            "headers": [{"name": name, "value": value} for name, value in self.headers],
        }
        return json.dumps({"type": "webhook_response", "version": "2", "data": data})


async def ask(outgoing: Outgoing, hook: Hook, body: str) -> Response:
    """Send one body. Whatever goes wrong is a response with a fault."""
    try:
        answer = await outgoing.post(hook.url, hook.headers, body, hook.retry.timeout_s)
    except TimeoutError:
        return Response(fault=f"no answer within {hook.retry.timeout_s:g} seconds")
    except Exception as error:  # noqa: BLE001  # whatever it is, this webhook was not reached
        return Response(fault=f"{type(error).__name__}: {error}")
    return Response(answer.status_code, answer.text, answer.headers.multi_items())


def logged_headers(items: Any) -> list[dict[str, str]]:
    """Shape a trigger's headers for the log, naming secrets instead of telling them."""
    return [
        {"name": item["name"], "value": item["value"]}
        if "value" in item
        else {"name": item["name"], "value_from_env": item.get("value_from_env", "")}
        for item in items or []
    ]
