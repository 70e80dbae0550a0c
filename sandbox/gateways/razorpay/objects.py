"""Ids, lists, and the checks of fields: what all of Razorpay's entities have in common."""

import secrets
import string
from typing import Any

from sandbox.gateways.razorpay.errors import RefusalError, no_such_id, not_sent
from sandbox.gateways.server.state import Books, Document, Slice, public

ALPHABET = string.ascii_letters + string.digits
EVERY_ONE = 10**9
AMOUNT_MIN = 100
LIST_MOST, LIST_USUAL = 100, 10


def new_id(prefix: str = "") -> str:
    """Make 14 letters and digits, after `pay_` and the like."""
    return prefix + "".join([ALPHABET[byte % 62] for byte in secrets.token_bytes(14)])


def shown(document: Document) -> Document:
    """Leave out our own notes, and the time under the name by which the books know it."""
    return {name: value for name, value in public(document).items() if name != "created"}


def fetch(books: Books, kind: str, subject: str) -> Document:
    found = books.find(kind, subject)
    if found is None:
        raise no_such_id()
    return found


def every(books: Books, kind: str, **equals: object) -> list[Document]:
    """List a kind, oldest first, where the fields are so."""
    return books.page(kind, Slice(limit=EVERY_ONE, equals=equals))[0][::-1]


def collection(items: list[Document]) -> Document:
    return {"entity": "collection", "count": len(items), "items": [shown(one) for one in items]}


def listed(books: Books, kind: str, params: dict[str, Any], **equals: object) -> Document:
    """Answer a list request: newest first, `count` of them after the first `skip`."""
    count, skip = window(params, LIST_MOST)
    part = Slice(limit=skip + count, equals=equals, created=_period(params))
    return collection(books.page(kind, part)[0][skip:])


def window(params: dict[str, Any], most: int) -> tuple[int, int]:
    count = whole(params, "count", LIST_USUAL)
    if not 1 <= count <= most:
        raise RefusalError(f"The count must be between 1 and {most}.", field="count")
    return count, whole(params, "skip", 0)


def _period(params: dict[str, Any]) -> dict[str, int]:
    names = {"from": "gte", "to": "lte"}
    return {sign: whole(params, name, 0) for name, sign in names.items() if name in params}


def whole(params: dict[str, Any], name: str, usual: int) -> int:
    """Read a number of a query, which is text there."""
    text = str(params.get(name, usual))
    if not (text.isascii() and text.isdecimal() and len(text) < 16):
        raise RefusalError(f"The {name} must be an integer.", field=name)
    return int(text)


def check_names(params: dict[str, Any], known: frozenset[str]) -> None:
    unknown = sorted(set(params) - known)
    if unknown:
        raise not_sent(unknown)


def read_amount(params: dict[str, Any], usual: int | None = None) -> int:
    amount = params.get("amount", usual)
    if amount is None:
        raise RefusalError("The amount field is required.", field="amount")
    if type(amount) is not int:
        raise RefusalError("The amount must be an integer.", field="amount")
    return amount


def read_notes(params: dict[str, Any]) -> Any:
    """Check the notes; where there are none, they are an empty list."""
    notes = params.get("notes")
    if not notes:
        return []
    if not isinstance(notes, dict):
        raise RefusalError("The notes field must be an array.", field="notes")
    if len(notes) > 15:
        raise RefusalError("Number of fields in notes should be less than or equal to 15")
    if any(len(str(value)) > 256 for value in notes.values()):
        raise RefusalError("The notes value may not be greater than 256 characters.", field="notes")
    return notes


def read_receipt(params: dict[str, Any]) -> str | None:
    receipt = params.get("receipt")
    if receipt is not None and not isinstance(receipt, str):
        raise RefusalError("The receipt must be a string.", field="receipt")
    if receipt and len(receipt) > 40:
        raise RefusalError("The receipt may not be greater than 40 characters.", field="receipt")
    return receipt


def rupees(amount: int) -> str:
    """Write an amount for a person: ₹12,34,567.00, the last three digits, then pairs."""
    whole_part, paise = divmod(abs(amount), 100)
    head, tail = str(whole_part)[:-3], str(whole_part)[-3:]
    pairs: list[str] = []
    while head:
        head, pair = head[:-2], head[-2:]
        pairs.insert(0, pair)
    return f"{'-' if amount < 0 else ''}₹{','.join([*pairs, tail])}.{paise:02d}"
