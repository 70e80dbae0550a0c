"""A payer at a browser: opens a page, fills its form in, sends it, and goes where it is led."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from html.parser import HTMLParser
from urllib.parse import urljoin

import httpx

FORM_TYPE = {"Content-Type": "application/x-www-form-urlencoded"}


class PayerError(Exception):
    """The page is not one that a payer can use. The message is one line."""


@dataclass(slots=True)
class Form:
    """A form as the page sent it: what each field holds, and which one a browser may fill."""

    action: str
    method: str
    values: dict[str, str] = field(default_factory=dict)
    autocomplete: dict[str, str] = field(default_factory=dict)  # its word -> the field's name

    def fill(self, answers: Mapping[str, str]) -> None:
        """Fill fields in by their autocomplete word, as a browser does. Raises PayerError."""
        for word, answer in answers.items():
            if word not in self.autocomplete:
                raise PayerError(f"the page has no field for {word}")
            self.values[self.autocomplete[word]] = answer


class Forms(HTMLParser):
    """Collects the forms of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[Form] = []
        self._open: Form | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "form":
            self._open = Form(given.get("action", ""), given.get("method", "get").lower())
            self.found.append(self._open)
        elif tag == "input" and self._open is not None and "name" in given:
            self._add(self._open, given)

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self._open = None

    def _add(self, form: Form, given: Mapping[str, str]) -> None:
        if given.get("type") in {"radio", "checkbox"} and "checked" not in given:
            return
        form.values[given["name"]] = given.get("value", "")
        if given.get("autocomplete", "off") != "off":
            form.autocomplete[given["autocomplete"]] = given["name"]


def open_form(browser: httpx.Client, url: str) -> Form:
    """Open a page and answer its form with an absolute action. Raises PayerError."""
    page = browser.get(url)
    if page.status_code != 200:
        raise PayerError(f"the page answered {page.status_code}")
    forms = Forms()
    forms.feed(page.text)
    posted = [form for form in forms.found if form.method == "post"]
    if len(posted) != 1:
        raise PayerError(f"the page has {len(posted)} forms instead of one")
    posted[0].action = urljoin(url, posted[0].action or url)
    return posted[0]


def send_form(browser: httpx.Client, form: Form) -> str:
    """Send a form and answer where the page leads to. Raises PayerError when it leads nowhere."""
    answer = browser.post(form.action, data=form.values, headers=FORM_TYPE)
    if answer.status_code != 303:
        raise PayerError(f"the form answered {answer.status_code} instead of leading on")
    return urljoin(form.action, answer.headers["location"])
