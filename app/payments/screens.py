"""What a payer sees: our page in each of its states, and the way to a gateway's.

Everything a page needs is in it: no script, style, font or picture is fetched from anywhere.
"""

from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from secrets import token_urlsafe
from typing import Any
from urllib.parse import urlencode, urlsplit

from flask import Response, render_template

from app import upi
from app.gateways import Checkout, Method
from app.money import Money
from app.payments import codes, tongues
from app.payments.embedding import Frame

# Where a name is no word of its own with a capital.
TITLES = {"payu": "PayU"}
BRANDS = {"amex": "American Express", "jcb": "JCB", "unionpay": "UnionPay", "rupay": "RuPay"}
RESUMABLE = frozenset({"created", "unknown", "pending"})
SETTLED = frozenset({"paid", "authorized", "canceled"})  # nothing is due, whatever an attempt says


class State(StrEnum):
    """How a payment stands, for its payer."""

    CHOOSE = "choose"
    WAITING = "waiting"  # the payer has done their part: their money is on its way, or held
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
    frame: Frame | None = None  # where the page is shown on a merchant's site
    payer: str = ""  # their pass, where they came as the signed-in customer
    saved: list[dict[str, Any]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Code:
    """A UPI link, and for how long it is shown."""

    link: str
    left: timedelta


# What went wrong at the last click, by the word in the address. The template says it.
NOTICES = frozenset({"busy", "silent", "refused", "turned-back"})


def state(page: dict[str, Any]) -> State:
    """Tell how a page stands. An open attempt outlives the page: it may still be paid."""
    status, attempt = page["status"], page["payment_attempt_status"]
    if status == "paid" or (status == "authorized" and page["capture_method"] == "manual"):
        return State.PAID
    if status == "canceled":
        return State.CANCELED
    # What is only held though it was to be taken at once: the service takes it.
    if status == "authorized" or attempt == "processing":
        return State.WAITING
    if attempt in RESUMABLE:
        return State.CHOOSE
    if page["is_over"]:
        return State.EXPIRED
    return State.EXHAUSTED if page["is_exhausted"] else State.CHOOSE


def seen(page: dict[str, Any]) -> str:
    """Name all that a payer sees change, so that a page knows when it is out of date."""
    attempt = (page["payment_attempt_id"], page["payment_attempt_status"], page["declined_at"])
    return ":".join(str(part or "") for part in (state(page), *attempt))


def word(page: dict[str, Any]) -> dict[str, Any]:
    """Tell the site that frames a page how it stands: a hint, for it asks before it delivers."""
    stands = state(page)
    has_failed = stands is State.CHOOSE and page["payment_attempt_status"] == "failed"
    is_over = stands in {State.CANCELED, State.EXPIRED, State.EXHAUSTED}
    is_on_its_way = stands in {State.PAID, State.WAITING}
    return {
        "status": stands.value if is_on_its_way else "failed" if has_failed or is_over else "open",
        "reason": stands.value if is_over else None if is_on_its_way else page["decline_class"],
        "final": is_over or stands is State.PAID,
        "seen": seen(page),
        "transaction_id": page["display_id"],
        "reference": page["reference"],
    }


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
        notice=_notice(screen),
        declined=_tells_decline(screen),
        resume=_resumable(screen),
        follows=_follows(screen),
        gateway=_title(page["gateway"] or ""),
        return_url=return_url(page),
        frame=screen.frame,
        again=_address(screen),
        payer=screen.payer,
        saved=[_known_by(card) for card in screen.saved],
        word=word(page),
        languages=tongues.LANGUAGES,
    )


def _notice(screen: Screen) -> str:
    """Name what is told of the last click. Of a return no more, once its attempt has ended."""
    is_open = screen.page["payment_attempt_status"] in RESUMABLE
    is_heard = screen.notice in NOTICES and (is_open or screen.notice != "turned-back")
    return screen.notice if is_heard else ""


def _tells_decline(screen: Screen) -> bool:
    """Tell whether the last decline is told: of a page that is open yet, beside the way back."""
    page = screen.page
    is_declined = page["payment_attempt_status"] == "failed" or page["declined_at"] is not None
    return is_declined and _notice(screen) in {"", "turned-back"}


def _resumable(screen: Screen) -> str | None:
    """Name the attempt to go on with. One at what a customer saved is theirs alone."""
    page = screen.page
    is_open = page["payment_attempt_status"] in RESUMABLE
    is_theirs = screen.payer or not page["gateway_customer_id"]
    return page["payment_attempt_id"] if is_open and is_theirs else None


def _follows(screen: Screen) -> bool:
    """Tell whether a page looks again by itself: where something may have been paid meanwhile."""
    is_open = screen.page["payment_attempt_status"] in RESUMABLE or screen.frame is not None
    stands = state(screen.page)
    return stands is State.WAITING or (stands is State.CHOOSE and is_open)


def _address(screen: Screen) -> str:
    """Tell where the page is shown as it is now, to whom it is."""
    payer = urlencode({"payer": screen.payer}) if screen.payer else ""
    query = "&".join(filter(None, (screen.frame.query if screen.frame else "", payer)))
    return f"/pay/{screen.page['token']}{'?' if query else ''}{query}"


def _known_by(card: dict[str, Any]) -> dict[str, Any]:
    """Write what its owner knows a card by."""
    brand = (card["brand"] or "").replace("_", " ").title()
    month = (card["expires_on"] or "")[:7]
    return {
        "id": card["id"],
        "brand": BRANDS.get(card["brand"], brand),
        "last4": card["last4"],
        "until": month and f"{month[5:]}/{month[2:4]}",
        "gateway": _title(card["gateway"]),
    }


def hand_over(row: dict[str, Any], opened: Checkout, language: str) -> Response:
    """Answer a page that goes on to the gateway's by itself: by a form where it wants one.

    Never by a redirect: a browser lets a form of ours lead to our own addresses only.
    """
    targets = " ".join([_origin(opened.url), *opened.leads_to]) if opened.form else "'none'"
    return _answer(
        "handover.html",
        targets,
        language,
        page=row,
        opened=opened,
        amount=_amount(row, language),
        gateway=_title(row["gateway"]),
    )


def _origin(url: str) -> str:
    target = urlsplit(url)
    return f"{target.scheme}://{target.netloc}"


def show_code(code: Code, row: dict[str, Any], page: dict[str, Any], language: str) -> Response:
    """Answer a page with a UPI link, for whoever has an app here or a phone to scan it with.

    It is shown at the hand-over's address, in place of a gateway's page, and follows the payment.
    """
    amount = Money(int(row["amount"]), row["currency"])
    seconds = int(code.left.total_seconds())
    is_valid = seconds > 0
    return _answer(
        "upi.html",
        "'self'",
        language,
        page=row,
        token=page["token"],
        shop=page["organization_name"],
        seen=seen(page),
        amount=tongues.written(amount, language),
        link=code.link if is_valid else "",
        ask=upi.read(code.link, amount),
        code=codes.svg(code.link) if is_valid else "",
        seconds=seconds,
    )


def show_bank_account(page: dict[str, Any], language: str) -> Response:
    """Answer a page with the account to transfer to, in plain text that can be copied."""
    return _answer(
        "transfer.html",
        "'none'",
        language,
        page=page,
        seen=seen(page),
        amount=_amount(page, language),
        plain=Money(int(page["amount"]), page["currency"]).decimal,
        account=page["bank_account"],
        languages=tongues.LANGUAGES,
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
    frame: Frame | None = names.get("frame")
    ancestors = frame.origin if frame else "'none'"
    policy = (
        "default-src 'none'; base-uri 'none'; connect-src 'self'; "
        f"frame-ancestors {ancestors}; "
        f"style-src 'nonce-{nonce}'; script-src 'nonce-{nonce}'; form-action {form_target}"
    )
    framed = {} if frame else {"X-Frame-Options": "DENY"}  # it knows no origins
    headers = {
        "Content-Security-Policy": policy,
        "Cache-Control": "no-store",
        "Content-Language": language,
        "Referrer-Policy": "strict-origin",  # the address is a secret
        "Vary": "Accept-Language, Cookie",
        "X-Content-Type-Options": "nosniff",
        **framed,
    }
    return Response(text, headers=headers, content_type="text/html; charset=utf-8")
