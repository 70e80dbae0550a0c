"""What our page says of the last click, and for how long."""

import pytest
from flask import Flask
from in_process import ENVIRON

from app import create_app
from app.gateways import Method
from app.payments import screens

from .test_saved_cards import PAGE

OPEN = {"payment_attempt_id": "a-1", "payment_attempt_status": "pending", "gateway": "stripe"}
FAILED = OPEN | {"payment_attempt_status": "failed", "decline_class": "soft"}
DECLINED = OPEN | {"decline_class": "soft", "declined_at": "2026-11-21T10:00:00+00:00"}


@pytest.fixture(scope="module")
def flask() -> Flask:
    return create_app(ENVIRON)


def text(flask: Flask, notice: str, **changes: object) -> str:
    screen = screens.Screen(PAGE | changes, "en", [Method.CARD], notice)
    with flask.test_request_context():
        return screens.show(screen).get_data(as_text=True)


def test_who_comes_back_is_never_told_that_nothing_was_charged(flask: Flask) -> None:
    """A silent gateway, or a bank that decides later, may have the money all the same."""
    page = text(flask, "turned-back", **OPEN)

    assert "You have not paid yet, as far as we know." in page
    assert "charged" not in page
    assert 'http-equiv="refresh" content="15"' in page


def test_what_became_of_an_attempt_is_told_instead_of_the_way_back_from_it(flask: Flask) -> None:
    page = text(flask, "turned-back", **FAILED)

    assert "Your bank declined the payment" in page
    assert "You have not paid yet" not in page
    assert 'http-equiv="refresh"' not in page


@pytest.mark.parametrize("status", ["created", "unknown", "pending"])
def test_a_decline_on_a_page_that_is_open_yet_is_told_beside_the_way_back(flask, status) -> None:
    """Who was declined there may have paid since, in an app: they are told to wait as well."""
    page = text(flask, "turned-back", **(DECLINED | {"payment_attempt_status": status}))

    assert "Your bank declined the payment" in page
    assert "You have not paid yet, as far as we know." in page
    assert "Continue at Stripe" in page
    assert page.index("Your bank declined") < page.index("You have not paid yet")
    assert "You have not paid yet" not in text(flask, "", **DECLINED)
    assert "Your bank declined the payment" in text(flask, "", **DECLINED)


def test_of_an_open_page_nobody_says_that_nothing_was_charged(flask: Flask) -> None:
    page = text(flask, "turned-back", **(DECLINED | {"decline_class": "gateway"}))

    assert "The payment could not be taken. Please try again." in page
    assert "charged" not in page


def test_a_decline_of_a_page_that_was_left_is_told_until_the_next_attempt(flask: Flask) -> None:
    left = DECLINED | {"payment_attempt_status": "expired"}

    assert "Your bank declined the payment" in text(flask, "", **left)


def test_an_open_page_finds_out_that_it_was_declined() -> None:
    assert screens.seen(PAGE | OPEN) != screens.seen(PAGE | DECLINED)
    later = DECLINED | {"declined_at": "2026-11-21T10:00:01+00:00"}
    assert screens.seen(PAGE | later) != screens.seen(PAGE | DECLINED)


@pytest.mark.parametrize("notice", ["busy", "silent", "refused"])
def test_what_a_choice_met_is_told_whatever_was_before(flask: Flask, notice: str) -> None:
    assert "Your bank declined the payment" in text(flask, "", **FAILED)
    for declined in (FAILED, DECLINED):
        assert "Your bank declined the payment" not in text(flask, notice, **declined)


def test_a_notice_that_is_none_says_nothing(flask: Flask) -> None:
    assert text(flask, "<b>").count('role="alert"') == 0
