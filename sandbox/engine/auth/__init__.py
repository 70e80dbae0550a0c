"""Who a request speaks for: the admin secret, a token, a webhook's word, or nobody in particular.

The modes are those of Hasura, chosen by what is configured, and an admin secret comes before all.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress

from sandbox.engine.errors import EngineError
from sandbox.engine.session import Session
from sandbox.engine.settings import Settings

from . import secret, tokens
from .claims import NAMESPACE
from .fetching import Fetching
from .webhook import Hook

__all__ = ["NAMESPACE", "Authenticator"]

FIRST_KEYS_SECONDS = 5.0  # that the start waits for key sets


class Authenticator:
    """Raises SettingsError for a configuration that cannot be used."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.secrets = tuple(tokens.read(item) for item in settings.jwt_secrets)
        self.hook = None
        if settings.auth_hook:
            posts = settings.auth_hook_mode == "POST"
            self.hook = Hook(settings.auth_hook, posts, settings.auth_hook_body)
        self._fetching = Fetching()
        self._tasks: list[asyncio.Task[None]] = []

    async def open(self) -> None:
        """Fetch key sets, and keep them fresh; one that cannot be had does not stop the start."""
        sets = [item.key_set for item in self.secrets if item.key_set]
        self._tasks = [asyncio.create_task(item.keep_fresh(self._fetching)) for item in sets]
        with suppress(TimeoutError):
            async with asyncio.timeout(FIRST_KEYS_SECONDS):
                await asyncio.gather(*(item.fetched.wait() for item in sets))

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []
        await self._fetching.close()

    async def session(self, headers: Mapping[str, str], body: bytes | None = None) -> Session:
        """Decide for one request; header names are lower-case. Only a webhook looks at the body.

        The session's `expires_at` says until when this holds, for those who stay connected.
        """
        if not self.settings.admin_secrets:
            return secret.trusted(headers)
        given = secret.given(headers)
        if given is not None:
            secret.check(given, self.settings.admin_secrets)
            return secret.trusted(headers)
        if self.hook is not None:
            return await self.hook.session(self._fetching, headers, body)
        found = tokens.session(headers, self.secrets) if self.secrets else None
        return found or self._without(headers)

    def _without(self, headers: Mapping[str, str]) -> Session:
        """Decide for one who has shown nothing."""
        role = self.settings.unauthorized_role
        if role:
            return secret.unauthorized(headers, role)
        if self.secrets:
            text = "Missing 'Authorization' or 'Cookie' header in JWT authentication mode"
            raise EngineError("invalid-headers", text)
        raise secret.denied("x-hasura-admin-secret/x-hasura-access-key required, but not found")
