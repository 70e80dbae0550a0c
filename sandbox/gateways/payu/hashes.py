"""PayU's hashes, as a merchant and PayU each compute them: SHA-512 of fields joined by pipes."""

from collections.abc import Mapping
from hashlib import sha512

Form = Mapping[str, str]


def of_page(form: Form, salt: str) -> str:
    """Compute what must stand in `hash` when a payer's browser comes."""
    names = ("key", "txnid", "amount", "productinfo", "firstname", "email")
    fields = [form.get(name, "") for name in (*names, *_udf(1, 2, 3, 4, 5))]
    return _sha512([*fields, "", "", "", "", "", salt])


def of_answer(form: Form, salt: str) -> str:
    """Compute what stands in `hash` when PayU tells of a transaction."""
    names = ("email", "firstname", "productinfo", "amount", "txnid", "key")
    fields = [form.get(name, "") for name in (*_udf(5, 4, 3, 2, 1), *names)]
    return _sha512([salt, form["status"], "", "", "", "", "", *fields])


def of_command(form: Form, salt: str) -> str:
    return _sha512([form.get("key", ""), form.get("command", ""), form.get("var1", ""), salt])


def of_report(date: str, salt: str) -> str:
    """Compute the signature of a request without a body."""
    return _sha512(["", date, salt])


def _udf(*numbers: int) -> list[str]:
    return [f"udf{number}" for number in numbers]


def _sha512(fields: list[str]) -> str:
    return sha512("|".join(fields).encode()).hexdigest()
