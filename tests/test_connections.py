"""Connections to one server: kept, closed by it, cut off, late, private, and by a proxy."""

import json
import socket
import socketserver
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from http.client import parse_headers
from ipaddress import ip_address
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import requests
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from app import budget, connections
from app.connections import Connections, Session
from app.exchange import Patience

BODY = b'{"query": "{ clock }"}'
ROW = {"data": {"clock": [{"skew_seconds": "60"}]}}
SECONDS_MAX = 60.0
PATIENCE = Patience(connect=SECONDS_MAX, answer=SECONDS_MAX)
SHORT = Patience(connect=SECONDS_MAX, answer=0.5)


def written(*headers: str) -> bytes:
    body = json.dumps(ROW).encode()
    lines = ["HTTP/1.1 200 OK", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


def stay(out: Any) -> bool:
    out.write(written())
    return True


def close(out: Any) -> bool:
    out.write(written("Connection: close"))
    return False


def close_unsaid(out: Any) -> bool:
    out.write(written())
    return False


def cut(out: Any) -> bool:
    out.write(written()[:-5])
    return False


def babble(out: Any) -> bool:
    out.write(b"good day\r\n\r\n")
    return False


class Server(socketserver.ThreadingTCPServer):
    """Answers each request by `answer`, which says whether the connection stays open."""

    block_on_close = True

    def __init__(self, answer: Callable[[Any], bool]) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answer = answer
        self.ended = threading.Semaphore(0)  # one for each connection that has ended
        self._begun: list[object] = []
        self.asked: list[tuple[str, Any, bytes]] = []

    @property
    def port(self) -> int:
        return self.server_address[1]

    @property
    def connections(self) -> int:
        return len(self._begun)

    def finish_request(self, request: Any, client_address: Any) -> None:
        self._begun.append(request)
        super().finish_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        super().shutdown_request(request)
        self.ended.release()

    def handle_error(self, *_: object) -> None:
        """Say nothing of a client that goes away; what it misses is its test's business."""


class Handler(socketserver.StreamRequestHandler):
    server: Server

    def handle(self) -> None:
        stays = True
        while stays and (first := self.rfile.readline()):
            headers = parse_headers(self.rfile)
            body = self.rfile.read(int(headers.get("content-length", 0)))
            self.server.asked.append((first.decode().strip(), headers, body))
            stays = self.server.answer(self.wfile)


@contextmanager
def serving(
    answer: Callable[[Any], bool], context: ssl.SSLContext | None = None
) -> Iterator[Server]:
    with Server(answer) as server:
        if context:
            server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def asking(url: str, patience: Patience = PATIENCE) -> Iterator[Callable[[], Any]]:
    """Answer a function that asks once, over the same connections each time."""

    def ask() -> Any:
        answer = session.request("POST", url, {"x-test": "1"}, BODY)
        return answer.status_code, answer.json()

    with closing(Session(url, patience)) as session:
        yield ask


def test_a_connection_serves_one_request_after_the_other() -> None:
    with serving(stay) as server, asking(f"http://127.0.0.1:{server.port}/v1/graphql?x=1") as ask:
        assert [ask() for _ in range(3)] == [(200, ROW)] * 3
    assert server.connections == 1
    (line, headers, body) = server.asked[0]
    assert (line, body) == ("POST /v1/graphql?x=1 HTTP/1.1", BODY)
    assert (headers["host"], headers["x-test"]) == (f"127.0.0.1:{server.port}", "1")


def test_headers_of_an_answer_are_found_whatever_their_case() -> None:
    def answer(out: Any) -> bool:
        out.write(written("Request-Id: r-1"))
        return True

    with serving(answer) as server:
        url = f"http://127.0.0.1:{server.port}/v1/things"
        with closing(Session(url, PATIENCE)) as session:
            assert session.request("get", url + "/1?x=%2B").headers["request-id"] == "r-1"
    ((line, _, body),) = server.asked
    assert (line, body) == ("GET /v1/things/1?x=%2B HTTP/1.1", b"")


@pytest.mark.parametrize("name", ["one\r\nX-Other: two", "one\nX-Other: two", "one\rtwo", "\0"])
def test_a_header_of_more_than_one_line_is_never_sent(name: str) -> None:
    with (
        serving(stay) as server,
        closing(Session(f"http://127.0.0.1:{server.port}/", PATIENCE)) as session,
        pytest.raises(ValueError, match="more than one line"),
    ):
        session.request("POST", f"http://127.0.0.1:{server.port}/", {"X-Name": name}, BODY)
    assert server.asked == []


def test_a_session_speaks_to_its_own_server_only() -> None:
    session = Session("https://api.test/v1", PATIENCE)
    with closing(session), pytest.raises(requests.RequestException, match="is not at https://api"):
        session.request("GET", "https://api.test.example/v1")


@pytest.mark.parametrize("answer", [close, close_unsaid])
def test_one_that_the_server_closed_is_not_used_again(answer: Callable[[Any], bool]) -> None:
    with serving(answer) as server, asking(f"http://127.0.0.1:{server.port}/") as ask:
        for _ in range(3):
            assert ask() == (200, ROW)
            assert server.ended.acquire(timeout=SECONDS_MAX)
    assert server.connections == 3


@pytest.mark.parametrize("passed", [connections.KEPT_SECONDS_MAX + 1, -1])
def test_one_that_was_idle_for_long_is_not_used_again(
    passed: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What has forgotten it on the way says so to the next request only, which would be lost."""
    moment = time.time()
    monkeypatch.setattr(connections, "wall_seconds", lambda: moment)
    with serving(stay) as server, asking(f"http://127.0.0.1:{server.port}/") as ask:
        ask()
        moment += connections.KEPT_SECONDS_MAX
        ask()
        assert server.connections == 1
        moment += passed
        assert ask() == (200, ROW)
        assert server.connections == 2
        assert server.ended.acquire(timeout=SECONDS_MAX)  # and the other is closed


def test_each_of_several_threads_has_its_own() -> None:
    together = threading.Barrier(4)

    def answer(out: Any) -> bool:
        together.wait(SECONDS_MAX)
        return stay(out)

    with serving(answer) as server, asking(f"http://127.0.0.1:{server.port}/") as ask:
        with ThreadPoolExecutor(4) as pool:
            asked = [pool.submit(ask) for _ in range(4)]
        assert [each.result() for each in asked] == [(200, ROW)] * 4
    assert server.connections == 4


@pytest.mark.parametrize("answer", [cut, babble])
def test_an_answer_that_does_not_come_whole_is_a_failure(answer: Callable[[Any], bool]) -> None:
    with serving(answer) as server, asking(f"http://127.0.0.1:{server.port}/") as ask:
        with pytest.raises(requests.ConnectionError):
            ask()
        server.answer = stay

        assert ask() == (200, ROW)  # by a connection of its own
    assert server.connections == 2


def test_an_answer_that_does_not_come_in_time_is_a_failure() -> None:
    given_up = threading.Event()

    def be_late(out: Any) -> bool:
        assert given_up.wait(SECONDS_MAX)
        return stay(out)

    with serving(be_late) as server, asking(f"http://127.0.0.1:{server.port}/", SHORT) as ask:
        with pytest.raises(requests.ConnectionError):
            ask()
        given_up.set()
        server.answer = stay
        tries = 2 + count_failures(ask)
    assert server.connections == tries  # each by a connection of its own


DROPS = 50


@pytest.mark.parametrize(
    "pieces",
    [
        [b"HTTP/1.1 200 OK\r\nX-Drops: ", *[b"."] * DROPS],
        [b"HTTP/1.1 200 OK\r\n", *[b"X-Drop: 1\r\n"] * DROPS],
        [*[b"HTTP/1.1 100 Continue\r\n\r\n"] * DROPS],
        [b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n", *[b" "] * DROPS],
        [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", *[b"1\r\n \r\n"] * DROPS],
        [b"HTTP/1.1 200 OK\r\n\r\n", *[b" "] * DROPS],
    ],
    ids=["header", "headers", "continue", "body", "chunks", "until closed"],
)
def test_an_answer_that_drips_is_given_up_in_time(pieces: list[bytes]) -> None:
    written = count()

    def answer(out: Any) -> bool:
        for piece in pieces:
            out.write(piece)
            next(written)
            time.sleep(SHORT.answer / 5)
        return False

    with (
        serving(answer) as server,
        asking(f"http://127.0.0.1:{server.port}/", SHORT) as ask,
        pytest.raises(requests.ConnectionError),
    ):
        ask()
    assert next(written) < len(pieces)  # it was still coming


@pytest.mark.parametrize(
    "head", [b"Content-Length: 99999999\r\n\r\n", b"\r\n", b"X-Endless: "], ids=str
)
def test_an_answer_without_an_end_is_cut(head: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.exchange.ANSWER_BYTES_MAX", 2**18)
    endless = 2**24

    def answer(out: Any) -> bool:
        out.write(b"HTTP/1.1 200 OK\r\n" + head + b" " * endless)
        return False

    with (
        serving(answer) as server,
        asking(f"http://127.0.0.1:{server.port}/") as ask,
        pytest.raises(requests.ConnectionError),
    ):
        ask()


def test_an_answer_that_is_packed_is_a_failure() -> None:
    with (
        serving(lambda out: stay_with(out, "Content-Encoding: gzip")) as server,
        asking(f"http://127.0.0.1:{server.port}/") as ask,
        pytest.raises(requests.ConnectionError, match="nobody asked for"),
    ):
        ask()
    assert server.asked[0][1]["accept-encoding"] == "identity"


def stay_with(out: Any, *headers: str) -> bool:
    out.write(written(*headers))
    return True


def test_an_exchange_takes_no_longer_than_our_own_answer_may() -> None:
    given_up = threading.Event()

    def be_late(out: Any) -> bool:
        assert given_up.wait(SECONDS_MAX)
        return False

    leaving = Patience(SECONDS_MAX, SECONDS_MAX, leaves=3)
    with serving(be_late) as server, asking(f"http://127.0.0.1:{server.port}/", leaving) as ask:
        budget.begin(3.5)
        with pytest.raises(requests.ConnectionError):
            ask()
        left = budget.left()
        budget.finish()
        given_up.set()
    assert 0 < left < 3


@pytest.mark.parametrize("seconds", [4.9, 0])
def test_nothing_is_begun_that_leaves_too_little(seconds: float) -> None:
    patience = Patience(SECONDS_MAX, SECONDS_MAX, leaves=3, least=2)
    with serving(stay) as server, asking(f"http://127.0.0.1:{server.port}/", patience) as ask:
        budget.begin(seconds)
        with pytest.raises(requests.ConnectionError, match="no time left"):
            ask()
        budget.finish()

        assert ask() == (200, ROW)
    assert len(server.asked) == 1


def test_a_server_with_several_addresses_is_reached_by_one_that_answers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with serving(stay) as server, socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # and does not listen
        found = [nobody.getsockname(), ("127.0.0.1", server.port)]
        monkeypatch.setattr(Connections, "_addresses", lambda _: found)
        with asking(f"http://pay.test:{server.port}/") as ask:
            assert ask() == (200, ROW)


def count_failures(ask: Callable[[], Any]) -> int:
    """Ask until there is an answer: in so little time a slow machine may give none at first."""
    for failures in count():
        with suppress(requests.ConnectionError):
            assert ask() == (200, ROW)
            return failures
    raise AssertionError


def test_nobody_there_is_a_failure() -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # and does not listen, so that nobody else does
        url = f"http://127.0.0.1:{nobody.getsockname()[1]}/"
        with asking(url) as ask, pytest.raises(requests.ConnectionError):
            ask()


def test_a_certificate_is_verified(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    context = certified(tmp_path / "server.pem")
    with serving(stay, context) as server:
        url = f"https://127.0.0.1:{server.port}/"
        with asking(url) as ask, pytest.raises(requests.ConnectionError, match="CERTIFICATE"):
            ask()
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "server.pem"))
        with asking(url) as ask:
            assert [ask() for _ in range(2)] == [(200, ROW)] * 2
        another_name = asking(url.replace("127.0.0.1", "localhost"))
        with another_name as ask, pytest.raises(requests.ConnectionError, match="CERTIFICATE"):
            ask()


@pytest.mark.parametrize("drops", [b" ", b" " * 2**19], ids=["slow", "endless"])
def test_an_answer_by_a_proxy_is_cut_as_well(drops: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    written = count()

    def answer(out: Any) -> bool:
        out.write(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n")
        for _ in range(DROPS):
            out.write(drops)
            next(written)
            time.sleep(SHORT.answer / 5)
        return False

    with serving(answer) as proxy:
        monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{proxy.port}")
        monkeypatch.delenv("NO_PROXY", raising=False)
        with (
            asking("http://hasura.test/v1/graphql", Patience(SHORT.answer, SHORT.answer)) as ask,
            pytest.raises(requests.RequestException),
        ):
            ask()
    assert next(written) < DROPS


def test_a_proxy_of_the_environment_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(stay) as proxy:
        monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{proxy.port}")
        monkeypatch.delenv("NO_PROXY", raising=False)
        with asking("http://hasura.test/v1/graphql") as ask:
            assert ask() == (200, ROW)
    assert proxy.asked[0][0] == "POST http://hasura.test/v1/graphql HTTP/1.1"


def certified(file: Path) -> ssl.SSLContext:
    """Write a key and a certificate for 127.0.0.1 that nobody but itself has signed."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "hasura.test")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False
        )
        .sign(key, hashes.SHA256())
    )
    form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    file.write_bytes(
        key.private_bytes(*form, serialization.NoEncryption())
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(file)
    return context
