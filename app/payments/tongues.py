"""The languages of our pages: what is said, and how amounts are written.

The texts are GNU gettext catalogues in app/translations; the English ones stand in the code.
"""

from functools import cache
from gettext import NullTranslations, translation
from pathlib import Path

from werkzeug.datastructures import LanguageAccept

from app.money import Money

CATALOGUES = Path(__file__).parents[1] / "translations"
LANGUAGES = {"en": "English", "hi": "हिन्दी"}
SYMBOLS = {"INR": "₹", "USD": "$", "EUR": "€", "GBP": "£"}


def choose(wanted: str | None, kept: str | None, accepted: LanguageAccept) -> str:
    """Choose a language: what the payer asked for, now or before, else what their browser says."""
    for named in (wanted, kept):
        if named in LANGUAGES:
            return named
    return accepted.best_match([*LANGUAGES], default="en") or "en"


@cache
def texts(language: str) -> NullTranslations:
    """Load a language's texts; a text that it lacks is English."""
    if language == "en":
        return NullTranslations()
    return translation("munim", CATALOGUES, [language])


def written(money: Money, language: str) -> str:
    """Write an amount as people do: ₹2,45,000.00, $245,000.00."""
    whole, _, minor = str(money.decimal).partition(".")
    is_indian = money.currency == "INR" or language == "hi"
    number = _grouped(whole, first=3, others=2 if is_indian else 3) + (f".{minor}" if minor else "")
    symbol = SYMBOLS.get(money.currency)
    return f"{symbol}{number}" if symbol else f"{money.currency}\N{NO-BREAK SPACE}{number}"


def _grouped(digits: str, first: int, others: int) -> str:
    head, groups = digits[:-first], [digits[-first:]]
    while head:
        groups.insert(0, head[-others:])
        head = head[:-others]
    return ",".join(groups)
