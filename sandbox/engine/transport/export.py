"""Ask a running engine for its metadata, and write it as a directory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx

from sandbox.engine.metadata import MetadataError, contents, directory, shape

SECONDS = 30


def export(endpoint: str, secret: str | None, target: Path) -> None:
    """Write what `export_metadata` answers; raises MetadataError when there is no such answer."""
    document = _document(endpoint, secret)
    try:
        shape.check(document, contents.DOCUMENT)
        directory.write(document, target)
    except shape.ShapeError as error:
        raise MetadataError(f"{endpoint}: {error.message} at {error.path}") from error
    except OSError as error:
        raise MetadataError(f"{target} cannot be written: {error}") from error


def _document(endpoint: str, secret: str | None) -> Any:
    headers = {} if secret is None else {"x-hasura-admin-secret": secret}
    body = {"type": "export_metadata", "version": 1, "args": {}}
    try:
        url = f"{endpoint.rstrip('/')}/v1/metadata"
        answer = httpx.post(url, json=body, headers=headers, timeout=SECONDS)
        found = answer.json()
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise MetadataError(f"{endpoint} cannot be asked: {error}") from error
    except ValueError as error:
        raise MetadataError(f"{endpoint} does not answer in JSON") from error
    if answer.status_code != httpx.codes.OK:
        reason = found.get("error") if isinstance(found, dict) else found
        raise MetadataError(f"{endpoint} refuses to tell: {reason}")
    return found
