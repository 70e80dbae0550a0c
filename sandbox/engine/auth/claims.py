"""What a verified token says of its owner: roles and session variables, wherever they are kept."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sandbox.engine.errors import EngineError
from sandbox.engine.settings import SettingsError
from sandbox.engine.values import kind_of

from .secret import PREFIX

NAMESPACE = "https://hasura.io/jwt/claims"
ALLOWED = "x-hasura-allowed-roles"
DEFAULT = "x-hasura-default-role"
STEP = re.compile(r"\.([^.\[\]]+)|\[(\d+)\]|\['([^']*)'\]|\[\"([^\"]*)\"\]")
MISSING = object()


def _bad(message: str) -> EngineError:
    return EngineError("jwt-invalid-claims", message)


@dataclass(frozen=True, slots=True)
class Path:
    """A JSON path: `$.a.b`, `$.a['b.c']`, `$.a[0]`."""

    text: str
    steps: tuple[str | int, ...]

    @classmethod
    def read(cls, text: Any) -> Path:
        rest = text.removeprefix("$") if isinstance(text, str) else ""
        if rest and rest[0] not in ".[":
            rest = f".{rest}"
        found = list(STEP.finditer(rest))
        if not isinstance(text, str) or "".join(match[0] for match in found) != rest:
            raise SettingsError(f"invalid JSON path in HASURA_GRAPHQL_JWT_SECRET: {text}")
        steps = [
            int(match[2]) if match[2] else match[1] or match[3] or match[4] or "" for match in found
        ]
        return cls(text, tuple(steps))

    def find(self, value: Any) -> Any:
        for step in self.steps:
            if isinstance(step, str) and isinstance(value, dict):
                value = value.get(step, MISSING)
            elif isinstance(step, int) and isinstance(value, list) and step < len(value):
                value = value[step]
            else:
                return MISSING
        return value


@dataclass(frozen=True, slots=True)
class Namespace:
    """Claims in an object of their own, under a key or at a path, maybe as JSON in text."""

    key: str
    path: Path | None
    stringified: bool

    def find(self, payload: Mapping[str, Any]) -> dict[str, Any]:
        found = self.path.find(payload) if self.path else payload.get(self.key, MISSING)
        if found is MISSING:
            raise _bad(
                f"claims not found at claims_namespace_path: '{self.path.text}'"
                if self.path
                else f"claims key: '{self.key}' not found"
            )
        found = self._parsed(found)
        named = {name.lower(): value for name, value in found.items()}
        return {name: value for name, value in named.items() if name.startswith(PREFIX)}

    def _parsed(self, found: Any) -> dict[str, Any]:
        if not self.stringified:
            if not isinstance(found, dict):
                raise _bad("expecting a json object when claims_format is json")
            return found
        if not isinstance(found, str):
            raise _bad("expecting a string when claims_format is stringified_json")
        try:
            parsed = json.loads(found)
        except (ValueError, RecursionError):
            parsed = None
        if not isinstance(parsed, dict):
            place = f"claims_namespace {self.key}"
            if self.path:
                place = f"claims_namespace_path {self.path.text}"
            raise _bad(f"expecting stringified json at: '{place}', but found: {found}")
        return parsed


@dataclass(frozen=True, slots=True)
class Mapped:
    """Claims each at a path of its own, with a default, or the same for everybody."""

    rules: Mapping[str, tuple[Path | None, Any]]

    def find(self, payload: Mapping[str, Any]) -> dict[str, Any]:
        return {name: self._value(name, payload) for name in self.rules}

    def _value(self, name: str, payload: Mapping[str, Any]) -> Any:
        path, value = self.rules[name]
        found = path.find(payload) if path else MISSING
        found = value if found is MISSING else found
        if found is MISSING and name in (ALLOWED, DEFAULT):
            raise missing_role(name)
        if found is MISSING:
            raise _bad(f"JWT claim from claims_map, {name} not found")
        return found


def missing_role(name: str) -> EngineError:
    return EngineError("jwt-missing-role-claims", f"JWT claim does not contain {name}")


def read(secret: Mapping[str, Any]) -> Namespace | Mapped:
    """Read where the configuration says the claims are; raises SettingsError."""
    if secret.get("claims_map") is not None:
        return _mapped(secret["claims_map"])
    key, path = secret.get("claims_namespace"), secret.get("claims_namespace_path")
    if key is not None and path is not None:
        raise SettingsError("claims_namespace and claims_namespace_path both cannot be set")
    form = secret.get("claims_format") or "json"
    if form not in ("json", "stringified_json"):
        raise SettingsError(f"claims_format must be json or stringified_json, not {form}")
    return Namespace(
        str(key or NAMESPACE),
        None if path is None else Path.read(path),
        form == "stringified_json",
    )


def _mapped(rules: Any) -> Mapped:
    if not isinstance(rules, dict):
        raise SettingsError("claims_map must be an object")
    found = {}
    for name, rule in rules.items():
        is_path = isinstance(rule, dict)
        if is_path and "path" not in rule:
            raise SettingsError(f"claims_map: {name} has no path")
        path = Path.read(rule["path"]) if is_path else None
        found[name.lower()] = (path, rule.get("default", MISSING) if is_path else rule)
    for name in (ALLOWED, DEFAULT):
        if name not in found:
            raise SettingsError(f"claims_map: {name} is expected but not found")
    return Mapped(found)


def roles(claims: Mapping[str, Any]) -> tuple[list[str], str]:
    """Return the roles that the token allows and the one that it starts with."""
    for name in (ALLOWED, DEFAULT):
        if name not in claims:
            raise missing_role(name)
    allowed, default = claims[ALLOWED], claims[DEFAULT]
    what = f"invalid {ALLOWED}; should be a list of roles: "
    if not isinstance(allowed, list):
        raise _bad(f"{what}parsing [] failed, expected Array, but encountered {kind_of(allowed)}")
    for role in allowed:
        if not isinstance(role, str):
            raise _bad(f"{what}{_not_text(role)}")
    if not isinstance(default, str):
        raise _bad(f"invalid {DEFAULT}; should be a single role name: {_not_text(default)}")
    return allowed, default


def texts(claims: Mapping[str, Any]) -> dict[str, str]:
    """Return the session variables; every one of them has to be text."""
    found = {name: value for name, value in claims.items() if name not in (ALLOWED, DEFAULT)}
    for value in found.values():
        if not isinstance(value, str):
            raise _bad(f"x-hasura-* claims: {_not_text(value)}")
    return found


def _not_text(value: Any) -> str:
    return f"parsing Text failed, expected String, but encountered {kind_of(value)}"
