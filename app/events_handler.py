"""The Lambda that EventBridge calls: each event goes through the same door as POST /events.

https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-events-structure.html
"""

import json
import os
from functools import cache
from typing import Any

from werkzeug.test import Client

from app import config, create_app


@cache
def service() -> tuple[Client, dict[str, str]]:
    """Build the service once a cold start, and the headers of whom the bus speaks for."""
    settings = config.load(os.environ)
    if not settings.events_organization_id:
        message = "missing settings: EVENTS_ORGANIZATION_ID (see .env.example)"
        raise config.ConfigError(message)
    headers = {
        "ACTION-SECRET": settings.action_secret[0],
        "x-hasura-organization-id": settings.events_organization_id,
        "x-hasura-role": "service",
    }
    return Client(create_app()), headers


def handler(event: dict[str, Any], _context: object = None) -> dict[str, Any]:
    """Handle one event. Raises when it was not taken in, so that EventBridge sends it again.

    EVENTS_ORGANIZATION_ID says whose orders the bus speaks of. What is refused for good is
    answered, and logged: sending it again would change nothing.
    """
    client, headers = service()
    answer = client.post(
        "/events", data=json.dumps(event), content_type="application/json", headers=headers
    )
    if answer.status_code >= 500 or answer.status_code == 424:
        message = f"not taken in: {answer.status_code}"
        raise RuntimeError(message)
    answered: dict[str, Any] = json.loads(answer.get_data())
    return answered
