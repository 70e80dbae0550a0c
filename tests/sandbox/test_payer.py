from collections.abc import Callable

import httpx
import pytest

from sandbox import payer
from sandbox.payer import PayerError

PAGE = """
<form action="/search"><input name="q"></form>
<form method="POST" action="pay/1">
  <input type="hidden" name="tried" value="2"><input name="number" autocomplete="cc-number">
  <input type="radio" name="means" value="card" checked>
  <input type="radio" name="means" value="bank">
  <input name="email" value="a@b.example" autocomplete="email"><input type="submit" value="Pay">
</form>
"""

Answer = Callable[[httpx.Request], httpx.Response]


def browser(answer: Answer) -> httpx.Client:
    return httpx.Client(transport=httpx.MockTransport(answer))


def test_a_form_is_sent_with_what_the_page_put_in_and_the_payer_filled_in() -> None:
    sent = []

    def answer(request: httpx.Request) -> httpx.Response:
        if request.method == "GET":
            return httpx.Response(200, text=PAGE)
        sent.append((str(request.url), request.content.decode()))
        return httpx.Response(303, headers={"location": "/thanks"})

    with browser(answer) as client:
        form = payer.open_form(client, "http://shop/c/")
        form.fill({"cc-number": "4242 4242"})
        target = payer.send_form(client, form)

    fields = "tried=2&number=4242+4242&means=card&email=a%40b.example"
    assert sent == [("http://shop/c/pay/1", fields)]
    assert target == "http://shop/thanks"


@pytest.mark.parametrize(
    ("status", "text", "complaint"),
    [(404, PAGE, "404"), (200, "<p>closed</p>", "0 forms"), (200, PAGE * 2, "2 forms")],
)
def test_a_page_without_its_one_form_is_refused(status: int, text: str, complaint: str) -> None:
    with (
        browser(lambda _: httpx.Response(status, text=text)) as client,
        pytest.raises(PayerError, match=complaint),
    ):
        payer.open_form(client, "http://shop/c/")


def test_a_payment_that_leads_nowhere_is_refused() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200 if request.method == "GET" else 402, text=PAGE)

    with browser(answer) as client:
        form = payer.open_form(client, "http://shop/c/")
        with pytest.raises(PayerError, match="402"):
            payer.send_form(client, form)
        with pytest.raises(PayerError, match="cc-csc"):
            form.fill({"cc-csc": "123"})
