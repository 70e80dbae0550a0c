"""Money between the world's decimals and our whole numbers."""

from decimal import Decimal

import pytest
from books import Connection
from hypothesis import given
from hypothesis import strategies as st

from app.money import BIGINT_MAX, EXPONENTS, Money

CURRENCIES = st.sampled_from(["INR", "USD", "JPY", "KWD", "CLF", "XCR"])


@pytest.mark.parametrize(
    ("written", "currency", "amount"),
    [
        ("2450.00", "INR", 245000),
        ("2450", "INR", 245000),
        ("0.1", "INR", 10),
        (Decimal("2450.1"), "INR", 245010),
        (Decimal("1E+3"), "INR", 100000),
        (2450, "INR", 245000),
        ("500", "JPY", 500),
        ("1.005", "KWD", 1005),
        ("1.15", "INR", 115),
        ("19.99", "INR", 1999),
    ],
)
def test_an_amount_is_read_exactly(
    written: str | Decimal | int, currency: str, amount: int
) -> None:
    assert Money.parse(written, currency) == Money(amount, currency)


@pytest.mark.parametrize(
    "written",
    [
        *("", "-1", "+1", "1,000", "1e3", "NaN", "inf", " 1", "1.", ".5", "1.001", "١٢", "1_0"),
        *("0x1", "1" * 16, Decimal("NaN"), Decimal(-1), Decimal("1E+40"), True),
    ],
)
def test_what_is_no_amount_of_rupees_is_refused(written: str | Decimal | int) -> None:
    with pytest.raises(ValueError, match="amount"):
        Money.parse(written, "INR")


def test_more_than_a_bigint_is_refused() -> None:
    with pytest.raises(ValueError, match="no amount"):
        Money.parse("999999999999999", "CLF")


@given(st.integers(0, BIGINT_MAX // 10**5), CURRENCIES)
def test_decimals_come_back_as_they_went(amount: int, currency: str) -> None:
    money = Money(amount, currency)
    written = str(money.decimal)

    assert Money.parse(written, currency) == money
    assert len(written.partition(".")[2]) == EXPONENTS.get(currency, 2)


def test_the_database_knows_the_same_minor_units(db: Connection) -> None:
    rows = db.execute("select code, exponent from currencies where exponent <> 2").fetchall()

    assert {row["code"]: row["exponent"] for row in rows} == EXPONENTS
