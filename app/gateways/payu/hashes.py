"""How PayU and a merchant prove to each other who wrote something: SHA-512 over a shared salt.

Fields are joined by pipes, so a pipe inside of one would move the others under the same hash: there
is none in what we send, and nothing with one is believed.
https://docs.payu.in/docs/generate-hash-payu-hosted
"""

import hmac
from collections.abc import Iterable, Mapping
from email.utils import formatdate
from hashlib import sha512
from typing import Any

from requests import PreparedRequest

USER_FIELDS = tuple(f"udf{number}" for number in range(1, 6))
PAYER_FIELDS = ("txnid", "amount", "productinfo", "firstname", "email", *USER_FIELDS)
SIGNED_FIELDS = ("key", *PAYER_FIELDS, "status")
EXTRA_CHARGES = ("additionalCharges", "additional_charges")  # older and newer documents

Fields = Mapping[str, Any]


def of_page(fields: Fields, salt: str) -> str:
    """Sign what a payer's browser takes to PayU."""
    signed = [fields["key"], *(fields.get(name, "") for name in PAYER_FIELDS)]
    return _digest([*signed, *[""] * 5, salt])


def of_command(key: str, command: str, first: str, salt: str) -> str:
    """Sign a command: PayU's hash covers its first argument and no other."""
    return _digest([key, command, first, salt])


def of_message(fields: Fields, salt: str, charges: str | None = None) -> str:
    """Sign as PayU signs a return and a webhook: the page's fields the other way round."""
    page = [fields.get(name, "") for name in reversed(PAYER_FIELDS)]
    signed = [salt, fields.get("status", ""), *[""] * 5, *page, fields.get("key", "")]
    return _digest(signed if charges is None else [charges, *signed])


def is_genuine(fields: Fields, key: str, salts: Iterable[str]) -> bool:
    """Say whether PayU wrote the signed fields, for us."""
    charges = [fields[name] for name in EXTRA_CHARGES if fields.get(name)]
    written = [*charges, *(fields.get(name, "") for name in SIGNED_FIELDS)]
    if fields.get("key") != key or not all(map(_is_one_field, written)):
        return False
    given = str(fields.get("hash")).encode()
    expected = [of_message(fields, salt, first) for salt in salts for first in [None, *charges]]
    equal = [hmac.compare_digest(given, each.encode()) for each in expected]  # all, always
    return any(equal)


def dated(key: str, salt: str, request: PreparedRequest) -> PreparedRequest:
    """Sign a request for a report, by the real time's date.

    https://docs.payu.in/reference/settlement-detail-range-api
    """
    date = formatdate(usegmt=True)
    body = request.body or b""
    text = body.decode() if isinstance(body, bytes) else body
    request.headers["Date"] = date
    request.headers["Authorization"] = (
        f'hmac username="{key}", algorithm="sha512", headers="date",'
        f' signature="{_digest([text, date, salt])}"'
    )
    return request


def _is_one_field(value: object) -> bool:
    return isinstance(value, str) and "|" not in value


def _digest(parts: Iterable[str]) -> str:
    return sha512("|".join(parts).encode()).hexdigest()
