"""What a payer sees: our page in each of its states, and the way to a gateway's.

Everything a page needs is in it: no script, style, font or picture is fetched from anywhere.
"""

from dataclasses import dataclass, field
from enum import StrEnum
from secrets import token_urlsafe
from typing import Any
from urllib.parse import urlencode, urlsplit

from flask import Response, render_template

from app.gateways import Checkout, Method
from app.money import Money
from app.payments import tongues

# Where a name is no word of its own with a capital.
TITLES = {"payu": "PayU"}
RESUMABLE = frozenset({"created", "unknown", "pending"})


class State(StrEnum):
    """How a payment stands, for its payer."""

    CHOOSE = "choose"
    WAITING = "waiting"  # the payer has done their part
    PAID = "paid"
    CANCELED = "canceled"
    EXPIRED = "expired"
    EXHAUSTED = "exhausted"


@dataclass(frozen=True, slots=True)
class Screen:
    """A page that is about to be shown: its row, its payer's language, and what was tried."""

    page: dict[str, Any]
    language: str
    methods: list[Method] = field(default_factory=list)
    notice: str = ""  # of NOTICES


# What went wrong at the last click, by the word in the address. The template says it.
NOTICES = frozenset({"busy", "silent", "refused", "turned-back"})


def state(page: dict[str, Any]) -> State:
    """Tell how a page stands. An open attempt outlives the page: it may still be paid."""
    status, attempt = page["status"], page["payment_attempt_status"]
    if status in {"paid", "authorized"}:
        return State.PAID
    if status == "canceled":
        return State.CANCELED
    if attempt == "processing":
        return State.WAITING
    if attempt in RESUMABLE:
        return State.CHOOSE
    if page["is_over"]:
        return State.EXPIRED
    return State.EXHAUSTED if page["is_exhausted"] else State.CHOOSE


def seen(page: dict[str, Any]) -> str:
    """Name all that a payer sees change, so that a page knows when it is out of date."""
    parts = (state(page), page["payment_attempt_id"], page["payment_attempt_status"])
    return ":".join(str(part or "") for part in parts)


def return_url(page: dict[str, Any]) -> str:
    """Tell where the shop takes the payer back. It is told a name, and asks about the rest."""
    url = page["success_url" if state(page) is State.PAID else "cancel_url"]
    query = {"transaction_id": page["display_id"], "reference": page["reference"]}
    return f"{url}{'&' if '?' in url else '?'}{urlencode(query)}"


def show(screen: Screen) -> Response:
    """Answer our page."""
    page = screen.page
    return _answer(
        "pay.html",
        "'self'",
        screen.language,
        page=page,
        state=state(page),
        seen=seen(page),
        amount=_amount(page, screen.language),
        methods=screen.methods,
        notice=screen.notice if screen.notice in NOTICES else "",
        resume=page["payment_attempt_id"] if page["payment_attempt_status"] in RESUMABLE else None,
        gateway=_title(page["gateway"] or ""),
        return_url=return_url(page),
        languages=tongues.LANGUAGES,
    )


def hand_over(row: dict[str, Any], opened: Checkout, language: str) -> Response:
    """Answer a page that goes on to the gateway's by itself: by a form where it wants one.

    Never by a redirect: a browser lets a form of ours lead to our own addresses only.
    """
    target = urlsplit(opened.url)
    origin = f"{target.scheme}://{target.netloc}" if opened.form else "'none'"
    return _answer(
        "handover.html",
        origin,
        language,
        page=row,
        opened=opened,
        amount=_amount(row, language),
        gateway=_title(row["gateway"]),
    )


def tell(message: str, status: int, language: str) -> Response:
    """Answer a page that says why there is none; `message` is a word of the template."""
    answer = _answer("told.html", "'none'", language, message=message)
    answer.status_code = status
    return answer


def _title(gateway: str) -> str:
    return TITLES.get(gateway, gateway.capitalize())


def _amount(row: dict[str, Any], language: str) -> str:
    return tongues.written(Money(int(row["amount"]), row["currency"]), language)


def _answer(template: str, form_target: str, language: str, **names: Any) -> Response:
    nonce = token_urlsafe(16)
    text = render_template(
        template, nonce=nonce, language=language, _=tongues.texts(language).gettext, **names
    )
    policy = (
        "default-src 'none'; base-uri 'none'; frame-ancestors 'none'; connect-src 'self'; "
        f"style-src 'nonce-{nonce}'; script-src 'nonce-{nonce}'; form-action {form_target}"
    )
    headers = {
        "Content-Security-Policy": policy,
        "Cache-Control": "no-store",
        "Content-Language": language,
        "Referrer-Policy": "strict-origin",  # the address is a secret
        "Vary": "Accept-Language, Cookie",
        "X-Content-Type-Options": "nosniff",
    }
    return Response(text, headers=headers, content_type="text/html; charset=utf-8")
