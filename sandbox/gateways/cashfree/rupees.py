"""Rupees as Cashfree writes them, JSON numbers as 2450.00, and paise, as the books have them."""

import json
import re
from decimal import Decimal
from secrets import token_hex
from typing import Any

MARK = token_hex(16)
MARKED = re.compile(f'"{MARK}([-0-9.]+)"')


def rupees(paise: int) -> Decimal:
    return Decimal(paise).scaleb(-2)


def paise(amount: object) -> int | None:
    """Read an amount; None for what is none, or finer than a paisa."""
    if isinstance(amount, bool) or not isinstance(amount, int | Decimal):
        return None
    minor = Decimal(amount).scaleb(2)
    return int(minor) if minor == int(minor) else None


def read(body: bytes) -> Any:
    """Parse JSON. Raises ValueError."""
    try:
        return json.loads(body, parse_float=Decimal)
    except RecursionError as deep:
        raise ValueError("nested too deeply") from deep


def write(document: object) -> bytes:
    """Write JSON; a Decimal keeps its digits, which json alone writes from floats only."""
    text = json.dumps(document, default=_marked, ensure_ascii=False, separators=(",", ":"))
    return MARKED.sub(r"\1", text).encode()


def _marked(value: object) -> str:
    if isinstance(value, Decimal):
        return f"{MARK}{value:.2f}"
    raise TypeError(f"{type(value).__name__} is not JSON")


def display(amount: int) -> str:
    """Write paise for a person: ₹12,34,567.00."""
    whole, part = divmod(abs(amount), 100)
    head, tail = str(whole)[:-3], str(whole)[-3:]
    pairs = [head[max(end - 2, 0) : end] for end in range(len(head), 0, -2)][::-1]
    return f"{'-' if amount < 0 else ''}₹{','.join([*pairs, tail])}.{part:02d}"
