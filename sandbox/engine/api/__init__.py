"""The metadata API and run_sql: one call, one function, found by its name.

A call changes a draft. Only when the whole request has succeeded is the draft what is served; until
then, and after a failure, requests are answered as before.
"""

from __future__ import annotations

import logging
import math
from decimal import Decimal
from importlib import import_module
from pkgutil import iter_modules
from typing import Any

from sandbox.engine.engine import Engine
from sandbox.engine.errors import EngineError, from_postgres
from sandbox.engine.execution.execute import BROKEN

from .bulk import look_up
from .draft import Draft

LOG = logging.getLogger("engine")

for _module in iter_modules(__path__):
    import_module(f"{__name__}.{_module.name}")


async def dispatch(engine: Engine, body: Any) -> Any:
    """Run one request of the API. One that changes something waits for others that do."""
    try:
        call, args, version = look_up(_plain(body))
        if not call.writes:
            return await call.run(Draft(engine), args, version)
        async with engine.changing:
            _check_version(engine, body)
            draft = Draft(engine)
            answer = await call.run(draft, args, version)
            await draft.keep()
            return answer
    except EngineError:
        raise
    except BROKEN as error:
        raise from_postgres(error, "$", "", []) from error
    except Exception as error:
        LOG.exception("a call of the metadata API failed")
        raise EngineError("unexpected", "internal error", status=500) from error


def _plain(value: Any) -> Any:
    """Turn exact numbers into those that a directory's YAML gives, too."""
    if isinstance(value, Decimal):
        if not math.isfinite(float(value)):
            raise EngineError("parse-failed", f"{value} is too large a number")
        return float(value)
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return value


def _check_version(engine: Engine, body: dict[str, Any]) -> None:
    """Refuse a change of metadata that somebody else has changed since it was read."""
    named = body.get("resource_version")
    if named is not None and named != engine.version:
        text = f"metadata resource version referenced ({named}) did not match current version"
        raise EngineError("conflict", text, status=409)
