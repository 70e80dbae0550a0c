"""Types of columns: random values, how SQL and GraphQL write them, how they compare.

Values are plain Python: int, str, bool, Decimal, datetime, and for jsonb what JSON holds with its
numbers as Decimal. NULL is None.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

from hypothesis import strategies as st

LETTERS = "abAB0éÉ %_\\'\"\n$💸"
INT4 = (-(2**31), 2**31 - 1)
INT8 = (-(2**63), 2**63 - 1)


@dataclass(frozen=True, slots=True)
class Number:
    """A JSON number as it is spelled: 1.50 is not 1.5."""

    text: str


def integers(lowest: int, highest: int) -> st.SearchStrategy[int]:
    edges = st.sampled_from([lowest, lowest + 1, highest - 1, highest])
    return st.integers(-3, 3) | st.integers(-3, 3) | st.integers(lowest, highest) | edges


decimals = st.builds(
    lambda number, scale: Decimal(number).scaleb(-scale),
    st.integers(-200, 200) | st.integers(-(10**30), 10**30),
    st.integers(0, 5),
)
texts = st.text(LETTERS, max_size=4)
moments = st.builds(
    lambda base, micro: base + timedelta(microseconds=micro),
    st.sampled_from([datetime(2026, 1, 1, tzinfo=UTC), datetime(1999, 12, 31, 23, 59, tzinfo=UTC)]),
    st.sampled_from([0, 1, 10, 500_000, 86_400_000_000, 123_456]),
)
uuids = st.builds(
    lambda number: f"{number:032x}",
    st.sampled_from([0, 1, 2, 2**64, 2**128 - 1]),
).map(lambda text: f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}")
scalars_of_json = st.none() | st.booleans() | texts | st.integers(-3, 3).map(Decimal) | decimals
jsons = st.recursive(
    scalars_of_json,
    lambda below: (
        st.lists(below, max_size=3)
        | st.dictionaries(st.sampled_from(["a", "b", "key one", "é"]), below, max_size=3)
    ),
    max_leaves=5,
)


@dataclass(frozen=True, slots=True)
class Kind:
    """A Postgres type and its name in GraphQL."""

    sql: str
    graphql: str
    values: st.SearchStrategy[Any] = field(repr=False)
    bounds: tuple[int, int] | None = None

    @property
    def is_numeric(self) -> bool:
        return self.sql in ("integer", "bigint", "numeric")

    @property
    def has_extremes(self) -> bool:
        """Tell whether Postgres has min and max of it: Hasura offers them for uuid, in vain."""
        return self.sql not in ("boolean", "jsonb", "uuid")


INT = Kind("integer", "Int", integers(*INT4), INT4)
BIGINT = Kind("bigint", "bigint", integers(*INT8), INT8)
TEXT = Kind("text", "String", texts)
BOOL = Kind("boolean", "Boolean", st.booleans())
NUMERIC = Kind("numeric", "numeric", decimals)
MOMENT = Kind("timestamptz", "timestamptz", moments)
UUID = Kind("uuid", "uuid", uuids)
# A jsonb null at the top is left out: here None is NULL.
JSONB = Kind("jsonb", "jsonb", jsons.filter(lambda value: value is not None))
KINDS = (INT, BIGINT, TEXT, BOOL, NUMERIC, MOMENT, UUID, JSONB)
KEYS = (INT, BIGINT, TEXT, UUID)


def plain(number: Decimal) -> str:
    """Spell a numeric as Postgres does: every digit of its scale, no exponent, no minus zero."""
    return format(abs(number) if number == 0 else number, "f")


def moment_text(value: datetime) -> str:
    fraction = f".{value.microsecond:06}".rstrip("0") if value.microsecond else ""
    return value.strftime("%Y-%m-%dT%H:%M:%S") + fraction + "+00:00"


def shown(value: Any, kind: Kind) -> Any:
    """Return the JSON that stands for a value in an answer."""
    if value is None or isinstance(value, (str, bool)):
        return value
    if kind is JSONB:
        return shown_json(value)
    if isinstance(value, datetime):
        return moment_text(value)
    return Number(plain(Decimal(value)))


def shown_json(value: Any) -> Any:
    """Spell a jsonb: keys ordered by length, then by bytes."""
    if isinstance(value, Decimal):
        return Number(plain(value))
    if isinstance(value, list):
        return [shown_json(item) for item in value]
    if isinstance(value, dict):
        keys = sorted(value, key=lambda key: (len(key.encode()), key.encode()))
        return {key: shown_json(value[key]) for key in keys}
    return value


def json_text(value: Any) -> str:
    """Write JSON with the numbers spelled out."""
    if isinstance(value, Decimal):
        return plain(value)
    if isinstance(value, list):
        return "[" + ",".join(map(json_text, value)) + "]"
    if isinstance(value, dict):
        return "{" + ",".join(f"{json.dumps(k)}:{json_text(v)}" for k, v in value.items()) + "}"
    return json.dumps(value, ensure_ascii=False)


def sql_text(value: Any, kind: Kind) -> str | None:
    """Write a value as Postgres reads it; None stays None."""
    if value is None:
        return None
    if kind is JSONB:
        return json_text(value)
    if isinstance(value, datetime):
        return value.isoformat()
    return plain(value) if isinstance(value, Decimal) else str(value)


SPELLINGS: dict[str, Callable[[Any], list[Any]]] = {
    "integer": lambda value: [Decimal(value), str(value)],
    "bigint": lambda value: [Decimal(value), str(value)],
    "numeric": lambda value: [value, plain(value)],
    "boolean": lambda value: [value, "true" if value else "false"],
    "timestamptz": lambda value: [
        moment_text(value),
        value.astimezone(timezone(timedelta(hours=5, minutes=30))).isoformat(),
        value.isoformat(" "),
    ],
    "uuid": lambda value: [value, value.upper(), value.replace("-", "")],
}


def spellings(value: Any, kind: Kind) -> list[Any]:
    """Return the JSON values by which a client may write a value, the plainest first."""
    return SPELLINGS.get(kind.sql, lambda plain_value: [plain_value])(value)


def tagged(value: Any) -> Any:
    """Return what two equal values have in common, of jsonb as of any other type."""
    if isinstance(value, bool):
        return ("b", value)
    if isinstance(value, list):
        return ("l", tuple(map(tagged, value)))
    if isinstance(value, dict):
        return ("o", frozenset((key, tagged(item)) for key, item in value.items()))
    return value


def contains(left: Any, right: Any, *, top: bool = True) -> bool:
    """Evaluate left @> right."""
    if isinstance(left, dict) and isinstance(right, dict):
        return all(k in left and contains(left[k], v, top=False) for k, v in right.items())
    if isinstance(left, list) and isinstance(right, list):
        return all(any(contains(mine, item, top=False) for mine in left) for item in right)
    if isinstance(left, list) and top and not isinstance(right, dict):
        return any(tagged(mine) == tagged(right) for mine in left)
    if isinstance(left, (dict, list)) or isinstance(right, (dict, list)):
        return False
    return bool(tagged(left) == tagged(right))


def has_key(value: Any, key: str) -> bool:
    """Evaluate value ? key: a key of an object, a text of a list, or the text itself."""
    if isinstance(value, (dict, list)):
        return key in value
    return isinstance(value, str) and value == key
