"""Ids, lists and `expand`: what all of Stripe's objects have in common."""

import secrets
import string
from typing import Any

from sandbox.gateways.server.state import Books, Document, Slice, public
from sandbox.gateways.stripe.errors import invalid, no_such, no_such_given

ALPHABET = string.ascii_letters + string.digits

# The start of an id tells what it names: kind in the books.
KINDS = {
    "cs": "checkout.session",
    "pi": "payment_intent",
    "ch": "charge",
    "py": "charge",
    "cus": "customer",
    "pm": "payment_method",
    "txn": "balance_transaction",
    "evt": "event",
    "we": "webhook_endpoint",
    "seti": "setup_intent",
    "re": "refund",
    "pyr": "refund",
    "dp": "dispute",
    "po": "payout",
}


def new_id(prefix: str, length: int = 24) -> str:
    return f"{prefix}_{''.join([ALPHABET[byte % 62] for byte in secrets.token_bytes(length)])}"


def list_of(url: str, data: list[Document], *, more: bool = False) -> Document:
    return {"object": "list", "url": url, "has_more": more, "data": data}


def fetch(books: Books, kind: str, subject: str, param: str) -> Document:
    """Find an object or refuse with Stripe's 404, which blames the parameter."""
    found = books.find(kind, subject)
    if found is None:
        raise no_such(kind, subject, param)
    return found


def read_slice(books: Books, kind: str, params: dict[str, Any], **equals: object) -> Slice:
    """Read the cursor and filters that every list takes."""
    for cursor in ("starting_after", "ending_before"):
        if cursor in params and books.find(kind, params[cursor]) is None:
            raise no_such_given(kind, params[cursor], cursor)
    limit = params.get("limit", 10)
    if not 1 <= limit <= 100:
        raise invalid("Invalid integer: limit must be between 1 and 100", "limit")
    created = params.get("created", {})
    return Slice(
        limit=limit,
        after=params.get("starting_after"),
        before=params.get("ending_before"),
        equals={path: value for path, value in equals.items() if value is not None},
        created={"gte": created, "lte": created} if isinstance(created, int) else created,
    )


def show_list(
    books: Books, kind: str, url: str, params: dict[str, Any], **equals: object
) -> Document:
    """Answer a list request, expanded."""
    found, more = books.page(kind, read_slice(books, kind, params, **equals))
    answer = list_of(url, [public(one) for one in found], more=more)
    for path in params.get("expand", []):
        _expand(books, answer, path.split("."), path)
    return answer


def show(books: Books, document: Document, params: dict[str, Any]) -> Document:
    """Answer with one object, expanded."""
    answer = public(document)
    if "line_items" in params.get("expand", []):
        answer["line_items"] = document["_line_items"]
    for path in params.get("expand", []):
        _expand(books, answer, path.split("."), path)
    return answer


def _expand(books: Books, within: Document, steps: list[str], path: str) -> None:
    """Replace ids along a dotted path by the objects they name."""
    for index, step in enumerate(steps):
        if step not in within:
            raise invalid(f"This property cannot be expanded ({path}).", "expand")
        value = within[step]
        if isinstance(value, str):
            within[step] = value = _named(books, value, path)
        if isinstance(value, list):
            for item in value:
                _expand(books, item, steps[index + 1 :], path)
            return
        if not isinstance(value, dict):
            return
        within = value


def _named(books: Books, subject: str, path: str) -> Document:
    kind = KINDS.get(subject.partition("_")[0])
    found = books.find(kind, subject) if kind else None
    if found is None:
        raise invalid(f"This property cannot be expanded ({path}).", "expand")
    return public(found)
