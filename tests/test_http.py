"""The way out: what is an answer, what is a no, and what is silence."""

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from decimal import Decimal
from typing import Any

import pytest
import requests
import responses

from app import budget
from app.errors import (
    GatewayBusyError,
    GatewayRefusedError,
    GatewaySilentError,
    GatewayUnavailableError,
)
from app.http import MARK, Http, RefusedReplyError, has_time

URL = "https://gateway.example/v1"


@pytest.fixture
def http() -> Iterator[Http]:
    client = Http("Example", URL, sign=("key", "secret"), headers={"X-Version": "1"})
    yield client
    client.close()


@pytest.fixture
def answers() -> Iterator[responses.RequestsMock]:
    with responses.RequestsMock() as mock:
        yield mock


def test_an_answer_keeps_its_decimals(http: Http, answers: responses.RequestsMock) -> None:
    answers.get(f"{URL}/orders/1", body='{"amount": 2450.10, "id": 9007199254740993}')

    reply = http.get("/orders/1")
    assert reply.body == {"amount": Decimal("2450.10"), "id": 9007199254740993}
    assert str(reply.body["amount"]) == "2450.10"


def test_a_request_carries_our_name_and_the_query(
    http: Http, answers: responses.RequestsMock
) -> None:
    answers.get(f"{URL}/orders", json=[])

    http.get("/orders", {"receipt": "a b"})
    request = answers.calls[0].request
    assert request.url == f"{URL}/orders?receipt=a+b"
    assert request.headers["Authorization"].startswith("Basic ")
    assert request.headers["X-Version"] == "1"


@pytest.mark.parametrize("amount", ["0.10", "2450.00", "99999999999.99"])
def test_a_decimal_is_written_digit_by_digit(
    http: Http, answers: responses.RequestsMock, amount: str
) -> None:
    answers.post(f"{URL}/orders", json={})

    http.send("/orders", {"order_amount": Decimal(amount), "note": 'a "quoted" ₹'})
    body = answers.calls[0].request.body
    assert f'"order_amount": {amount}'.encode() in body
    assert json.loads(body)["note"] == 'a "quoted" ₹'


def test_text_that_looks_like_a_mark_stays_text(
    http: Http, answers: responses.RequestsMock
) -> None:
    answers.post(f"{URL}/orders", json={})

    http.send("/orders", {"note": "\ue000" + MARK[:31]})
    assert json.loads(answers.calls[0].request.body)["note"] == "\ue000" + MARK[:31]


@pytest.mark.parametrize("status", [400, 404, 409, 422])
def test_a_no_is_definite_and_says_how(
    http: Http, answers: responses.RequestsMock, status: int
) -> None:
    answers.post(f"{URL}/refunds", json={"code": "too_much"}, status=status)

    with pytest.raises(RefusedReplyError) as refused:
        http.submit("/refunds", {"amount": "1"})
    assert (refused.value.reply.status, refused.value.reply.body) == (status, {"code": "too_much"})
    assert isinstance(refused.value, GatewayRefusedError)


@pytest.mark.parametrize("status", [302, 307, 401, 403, 408, 429, 500, 502, 503, 504])
def test_what_says_nothing_of_the_request_is_no_answer(
    http: Http, answers: responses.RequestsMock, status: int
) -> None:
    answers.get(f"{URL}/x", json={"secret": "s3cr3t"}, status=status, headers={"Location": "/y"})

    with pytest.raises(GatewayUnavailableError) as silent:
        http.get("/x")
    assert silent.value.message == f"Example did not answer ({status})"
    # Others who ask would be answered: a wrong key and too many requests are ours.
    assert isinstance(silent.value, GatewaySilentError) == (status >= 500)


@pytest.mark.parametrize(
    ("said", "seconds"),
    [
        ({}, None),
        ({"Retry-After": "17"}, 17),
        ({"retry-after": "0"}, 0),
        ({"Retry-After": "Wed, 21 Oct 2026 07:28:00 GMT"}, None),
        ({"Retry-After": "-5"}, None),
        ({"Retry-After": "9" * 400}, None),
    ],
)
@pytest.mark.parametrize("body", ["{}", "<html>slow down</html>"])
def test_who_is_asked_too_often_may_say_for_how_long_it_wants_to_be_left_alone(
    http: Http, answers: responses.RequestsMock, said: dict[str, str], seconds, body: str
) -> None:
    answers.get(f"{URL}/x", body=body, status=429, headers=said)

    with pytest.raises(GatewayBusyError) as busy:
        http.get("/x")
    assert busy.value.seconds == seconds


@pytest.mark.parametrize(
    "body",
    [b"<html>down for maintenance</html>", b"", b'{"a": NaN}', b"[" * 100_000, b"\xff{}"],
    ids=["html", "empty", "nan", "deep", "bytes"],
)
def test_a_page_where_json_was_due_is_no_answer(
    http: Http, answers: responses.RequestsMock, body: bytes
) -> None:
    answers.get(f"{URL}/x", body=body)

    with pytest.raises(GatewaySilentError, match="answered no JSON"):
        http.get("/x")


def test_a_page_in_html_is_no_refusal(http: Http, answers: responses.RequestsMock) -> None:
    answers.get(f"{URL}/x", body=b"<html>not here</html>", status=404)

    with pytest.raises(GatewayUnavailableError) as failure:
        http.get("/x")
    assert not isinstance(failure.value, GatewaySilentError)


@pytest.mark.parametrize("failure", [requests.ConnectionError, requests.ReadTimeout])
def test_silence_is_no_answer(
    http: Http, answers: responses.RequestsMock, failure: type[Exception]
) -> None:
    answers.get(f"{URL}/x", body=failure("https://key:secret@gateway.example"))

    with pytest.raises(GatewaySilentError) as silent:
        http.get("/x")
    assert silent.value.message == f"Example did not answer ({failure.__name__})"


@pytest.fixture
def says() -> Iterator[Callable[..., Http]]:
    """A server that writes an answer in pieces of so many seconds each, and hangs up."""
    made: list[Any] = []

    def serve(*pieces: bytes, pause: float = 0.0, written: list[bytes] | None = None) -> Http:
        listener = socket.create_server(("127.0.0.1", 0))

        def answer() -> None:
            with listener, suppress(OSError):
                connection, _ = listener.accept()
                with connection:
                    connection.recv(65536)
                    for piece in pieces:
                        connection.sendall(piece)
                        (written if written is not None else []).append(piece)
                        time.sleep(pause)

        thread = threading.Thread(target=answer)
        thread.start()
        client = Http("Example", f"http://127.0.0.1:{listener.getsockname()[1]}")
        made.append((client, thread))
        return client

    yield serve
    for client, thread in made:
        client.close()
        thread.join()


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\n",
        b"",
        b"\x16\x03\x01",
        b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n",
    ],
)
def test_an_answer_that_is_torn_off_is_no_answer(says: Callable[..., Http], answer: bytes) -> None:
    with pytest.raises(GatewayUnavailableError):
        says(answer).get("/x")


@pytest.mark.parametrize(
    "answer",
    [
        [b"HTTP/1.1 200 OK\r\nContent-Length: 200\r\n\r\n", *[b" "] * 200],
        [b"HTTP/1.1 200 OK\r\nX-Drops: ", *[b"."] * 200],
    ],
    ids=["body", "head"],
)
def test_an_answer_that_drips_is_given_up_in_time(
    says: Callable[..., Http], monkeypatch: pytest.MonkeyPatch, answer: list[bytes]
) -> None:
    monkeypatch.setattr("app.http.ANSWER_SECONDS_MAX", 0.5)
    written: list[bytes] = []

    with pytest.raises(GatewayUnavailableError):
        says(*answer, pause=0.1, written=written).get("/x")
    assert len(written) < len(answer)  # it was still coming


def test_an_endless_answer_is_cut(
    says: Callable[..., Http], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.exchange.ANSWER_BYTES_MAX", 60)
    head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n"

    assert says(head % 2 + b"{}").get("/x").body == {}
    with pytest.raises(GatewayUnavailableError):
        says(head % 52 + b'"%050d"' % 0).get("/x")


def test_a_gateway_is_not_asked_when_there_is_no_time_for_its_answer(
    says: Callable[..., Http],
) -> None:
    written: list[bytes] = []
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
    http = says(answer, written=written)
    budget.begin(budget.BOOKS_SECONDS + budget.CALL_SECONDS_MIN)
    with pytest.raises(GatewayUnavailableError):
        http.get("/x")
    budget.finish()

    assert written == []
    assert http.get("/x").body == {}


def test_a_call_is_over_before_the_time_for_our_books_begins(
    says: Callable[..., Http], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.budget.CALL_SECONDS_MIN", 0.1)
    drops, written = [b"HTTP/1.1 200 OK\r\nX-Drops: ", *[b"."] * 200], []
    http = says(*drops, pause=0.1, written=written)
    budget.begin(budget.BOOKS_SECONDS + 0.5)
    with pytest.raises(GatewayUnavailableError):
        http.get("/x")
    left = budget.left()
    budget.finish()

    assert left < budget.BOOKS_SECONDS
    assert len(written) < len(drops)


@pytest.mark.parametrize("seconds", [28.0, 12.0])
def test_there_is_time_for_a_call_that_ends_as_late_as_can_be(seconds: float) -> None:
    budget.begin(seconds)
    has_it = has_time()
    budget.finish()

    assert has_it is (seconds > budget.BOOKS_SECONDS + 3.05 + 8)
    assert has_time()  # outside of a request there is any
