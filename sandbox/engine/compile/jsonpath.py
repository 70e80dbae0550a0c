"""The `path` argument of json columns."""

from __future__ import annotations

import re

from sandbox.engine.errors import invalid

STEP = re.compile(r"""\.?([A-Za-z0-9_-]+)|\[(\d+)\]|\[(?:"((?:[^"\\]|\\.)*)"|'([^']*)')\]""")


def json_path(text: str, place: str) -> str:
    """Turn `$.a[0].b` into a Postgres path; the leading `$` is optional."""
    steps, at = [], 0
    rest = text.removeprefix("$")
    while at < len(rest):
        found = STEP.match(rest, at)
        if found is None:
            raise invalid(
                f"parse json path error: {text}. Accept letters, digits, underscore (_) or hyphen "
                '(-) only. Use quotes enclosed in bracket (["..."]) if there is any special '
                "character",
                place,
            )
        steps.append(next(part for part in found.groups() if part is not None))
        at = found.end()
    quoted = (step.replace("\\", "\\\\").replace('"', '\\"') for step in steps)
    return "{" + ",".join(f'"{step}"' for step in quoted) + "}"
