"""What a UPI link asks for is read before a payer sees it; anything odd is no answer."""

from urllib.parse import quote, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app import upi
from app.errors import GatewayUnavailableError
from app.money import Money
from app.payments import codes

DUE = Money(245010, "INR")
FIELDS = {"pa": "shop@bank", "pn": "A Shop", "tr": "T1", "tn": "For BK-17", "am": "2450.10"}


def link(**changes: str | None) -> str:
    fields = {**FIELDS, "cu": "INR", **changes}
    told = {name: value for name, value in fields.items() if value is not None}
    return f"upi://pay?{urlencode(told, quote_via=quote)}"


@pytest.mark.parametrize(
    "written",
    [
        link(),
        link(am="2450.1"),
        link(mam="2450.10"),
        link(mam="null", mc="5411", mode="04", tid="T1"),
        "upi://pay?pa=shop@bank&pn=A Shop&tr=T1&tn=UPI Transaction for T1&am=2450.10&cu=INR",
        "upi://pay/?pa=shop@bank&pn=A+Shop&tr=T1&am=2450.10&cu=INR",
        "upi://pay?PA=shop@bank&PN=A%20Shop&TR=T1&AM=2450.10&CU=INR",
    ],
)
def test_a_link_is_read_as_gateways_write_it(written: str) -> None:
    assert upi.read(written, DUE) == upi.Ask("A Shop", "shop@bank", DUE, "T1")


@pytest.mark.parametrize("amount", ["2450.11", "2450.09", "24501.0", "1", "245010"])
def test_another_amount_is_refused(amount: str) -> None:
    with pytest.raises(GatewayUnavailableError, match="another amount"):
        upi.read(link(am=amount), DUE)


@pytest.mark.parametrize(
    "written",
    [
        "",
        "upi://pay",
        "https://pay.example/?am=2450.10",
        "javascript:alert(1)",
        "data:text/html,x",
        link().replace("upi:", "phonepe:"),
        link().replace("upi://pay", "upi://mandate"),
        link().replace("upi://pay", "upi://pay/elsewhere"),
        link().replace("upi://pay", "upi://pay@evil"),
        link().replace("upi://pay", "upi:pay"),
        f" {link()}\n",
        f"{link()}\x00",
        f"{link()}#&am=1.00",
        f"{link()}&am=1.00",
        f"{link()}&AM=1.00",
        link(am=None),
        link(am=""),
        link(am="2450.100001"),
        link(am="-2450.10"),
        link(am="1e3"),
        link(am="२४५०.१०"),
        link(am="NaN"),
        link(mam="1.00"),
        link(mam="0"),
        link(cu="USD"),
        link(cu=None),
        link(pa=None),
        link(pa=" "),
        link(pn=None),
        link(tr=None),
        link(tn="x" * 1500),
    ],
)
def test_what_is_no_link_is_refused(written: str) -> None:
    with pytest.raises(GatewayUnavailableError, match="is none"):
        upi.read(written, DUE)


@given(st.text(max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    for written in (text, f"upi://pay?{text}", f"{link()}{text}"):
        try:
            ask = upi.read(written, DUE)
        except GatewayUnavailableError:
            continue
        assert ask.amount == DUE


def test_a_code_is_drawn_for_a_strict_page() -> None:
    drawn = codes.svg(link(pn="<script>alert(1)</script>"))

    assert drawn.startswith("<svg")
    assert "viewBox" in drawn
    assert "style=" not in drawn
    assert "script" not in drawn
    assert len(drawn) < 12_000


def test_another_link_is_another_code() -> None:
    assert codes.svg(link()) == codes.svg(link())
    assert codes.svg(link()) != codes.svg(link(tr="T2"))
