"""What pages say, in every language, and how they write amounts."""

import re
from gettext import GNUTranslations

import pytest
from books import ROOT
from werkzeug.datastructures import LanguageAccept

from app.money import Money
from app.payments import tongues

CATALOGUE = tongues.CATALOGUES / "hi" / "LC_MESSAGES" / "munim.po"
MESSAGE = re.compile(r'^msgid "(.+)"\nmsgstr "(.+)"$', re.MULTILINE)
SAID = re.compile(r'_\((["\'])(.+?)\1\)')


def said() -> set[str]:
    """Every text of our pages."""
    pages = sorted((ROOT / "app" / "templates").glob("*.html"))
    return {match[2] for page in pages for match in SAID.finditer(page.read_text("utf-8"))}


def test_every_text_of_a_page_is_translated_and_no_other() -> None:
    translated = dict(MESSAGE.findall(CATALOGUE.read_text("utf-8")))

    assert set(translated) == said()
    assert len(translated) > 40


def test_the_compiled_texts_are_those_of_the_catalogue() -> None:
    """After a change: msgfmt -o munim.mo munim.po."""
    with CATALOGUE.with_suffix(".mo").open("rb") as compiled:
        texts = GNUTranslations(compiled)

    for english, hindi in MESSAGE.findall(CATALOGUE.read_text("utf-8")):
        assert texts.gettext(english) == hindi
        assert re.findall(r"%\(\w+\)s", english) == re.findall(r"%\(\w+\)s", hindi)


def test_english_is_what_the_pages_say() -> None:
    assert tongues.texts("en").gettext("Card") == "Card"
    assert tongues.texts("hi").gettext("Card") == "कार्ड"


@pytest.mark.parametrize(
    ("amount", "currency", "language", "text"),
    [
        (245000, "INR", "en", "₹2,450.00"),
        (24500000, "INR", "hi", "₹2,45,000.00"),
        (1234567890, "INR", "en", "₹1,23,45,678.90"),
        (5, "INR", "en", "₹0.05"),
        (24500000, "USD", "en", "$245,000.00"),
        (24500000, "USD", "hi", "$2,45,000.00"),
        (1500, "JPY", "en", "JPY\N{NO-BREAK SPACE}1,500"),
        (1234567, "KWD", "en", "KWD\N{NO-BREAK SPACE}1,234.567"),
    ],
)
def test_an_amount_is_written_as_people_do(
    amount: int, currency: str, language: str, text: str
) -> None:
    assert tongues.written(Money(amount, currency), language) == text


@pytest.mark.parametrize(
    ("wanted", "kept", "accepted", "language"),
    [
        ("hi", "en", "en", "hi"),
        (None, "hi", "en", "hi"),
        ("xx", "yy", "hi", "hi"),
        (None, None, "fr", "en"),
        (None, None, "hi", "hi"),
    ],
)
def test_a_language_is_chosen_by_who_says_so(wanted, kept, accepted, language) -> None:
    assert tongues.choose(wanted, kept, LanguageAccept([(accepted, 1)])) == language
