"""How PayU writes amounts, ids and times."""

import re
import secrets
from datetime import UTC, datetime, timedelta, timezone

INDIA = timezone(timedelta(hours=5, minutes=30))
RUPEES = re.compile(r"([0-9]{1,12})(?:\.([0-9]{1,2}))?", re.ASCII)


def rupees(paise: int) -> str:
    sign = "-" if paise < 0 else ""
    return f"{sign}{abs(paise) // 100}.{abs(paise) % 100:02d}"


def paise(text: str) -> int | None:
    """Read an amount; None for what PayU does not take as one."""
    found = RUPEES.fullmatch(text)
    if found is None:
        return None
    return int(found[1]) * 100 + int((found[2] or "").ljust(2, "0"))


def local(seconds: float) -> str:
    """Write a time as PayU does: that of India, without its zone."""
    return datetime.fromtimestamp(int(seconds), UTC).astimezone(INDIA).strftime("%Y-%m-%d %H:%M:%S")


def day(seconds: float) -> str:
    return local(seconds)[:10]


def number(digits: int) -> str:
    """Make an id of so many digits."""
    return str(secrets.randbelow(9 * 10 ** (digits - 1)) + 10 ** (digits - 1))


def shown(amount: int) -> str:
    """Write an amount for a person: ₹12,34,567.00."""
    whole, part = rupees(amount).split(".")
    head, tail = whole[:-3], whole[-3:]
    pairs: list[str] = []
    while head:
        head, pair = head[:-2], head[-2:]
        pairs.insert(0, pair)
    return f"₹{','.join([*pairs, tail])}.{part}"
