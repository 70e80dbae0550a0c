"""What is refused at a gateway's door is seen by the operator, and costs next to nothing."""

import hashlib
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest
from books import ROOT, Connection, Money, settle
from flask.testing import FlaskClient
from in_process import ENVIRON, Fault, Hasura
from psycopg.rows import dict_row

from app import create_app
from app.errors import (
    GatewayUnavailableError,
    NotFoundError,
    ServiceUnavailableError,
    SignatureInvalidError,
    SignatureStaleError,
)
from app.gateways.cashfree.signatures import signature
from app.refusals import COUNTED, Counts, Refusals
from sandbox import world
from sandbox.world import Ports

SERVICE = {"x-hasura-role": "service", "x-hasura-livemode": "false"}
FORGED = SignatureInvalidError("forged")
BODY = b'{"forged": true}'
MIB = 1 << 20


class Database(Hasura):
    """Hasura over a real database, as the service asks it for itself."""

    def __init__(self, url: str) -> None:
        super().__init__(url, SERVICE, Fault())
        self.is_down = False

    def acting_for(self, _session: dict[str, str]) -> "Database":
        return self

    def run(self, name: str, **variables: Any) -> list[dict[str, Any]]:
        if name == "ReadClock":
            return [{"skew_seconds": "0"}]
        if self.is_down:
            message = "no answer"
            raise ServiceUnavailableError(message)
        return super().run(name, **variables)

    def written(self) -> int:
        return self.fault.calls.count("NoteRefusedMessages")


@pytest.fixture
def hasura(database: str) -> Database:
    return Database(database)


@pytest.fixture
def client(hasura: Database) -> FlaskClient:
    environ = world.app_environment(Ports()) | ENVIRON
    return create_app(environ, hasura=hasura).test_client()  # type: ignore[arg-type]


def rows(url: str) -> list[dict[str, Any]]:
    with psycopg.connect(url, row_factory=dict_row) as db:
        return db.execute("select * from refused_messages order by gateway, reason").fetchall()


def numbers(url: str) -> dict[tuple[str, str], int]:
    return {(row["gateway"], row["reason"]): row["messages"] for row in rows(url)}


def test_the_first_refused_message_is_seen_at_once(database, client, hasura) -> None:
    answer = client.post("/stripe-webhook", data=BODY)

    assert (answer.status_code, answer.json["message"]) == (401, "Invalid signature")
    (row,) = rows(database)
    assert (row["gateway"], row["reason"], row["messages"]) == ("stripe", "signature-invalid", 1)
    assert row["last_body_hash"] == hashlib.sha256(BODY).hexdigest()
    assert (row["livemode"], row["last_at"].date()) == (False, row["day"])
    with psycopg.connect(database) as db:
        assert db.execute("select from gateway_events").fetchall() == []


class Stopwatch:
    """The seconds that a process has lived."""

    seconds = 7.0

    def monotonic(self) -> float:
        return self.seconds


@pytest.mark.thorough
def test_ten_thousand_refused_messages_are_a_row_a_gateway_and_two_writes(
    database, client, hasura, monkeypatch
) -> None:
    stopwatch = Stopwatch()
    monkeypatch.setattr("app.refusals.time", stopwatch)
    paths = ("/stripe-webhook", "/razorpay-webhook", "/payments/webhook/payu", "/cashfree-webhook")
    for number in range(10_000):
        answer = client.post(paths[number % 4], data=b'{"hash": "%d"}' % number)
        assert answer.status_code == 401

    assert hasura.written() == 1
    stopwatch.seconds += 60
    client.post(paths[0], data=BODY)

    assert hasura.written() == 2
    assert numbers(database) == {
        ("stripe", "signature-invalid"): 2501,
        ("razorpay", "signature-invalid"): 2500,
        ("payu", "signature-invalid"): 2500,
        ("cashfree", "signature-invalid"): 2500,
    }
    with psycopg.connect(database) as db:
        assert db.execute("select from gateway_events").fetchall() == []


def stamped(body: bytes, stamp: str) -> dict[str, str]:
    sign = signature(body, stamp, world.CASHFREE_CLIENT_SECRET).decode()
    return {"x-webhook-timestamp": stamp, "x-webhook-signature": sign}


@pytest.mark.parametrize(
    ("path", "data", "headers", "status", "reason"),
    [
        ("/cashfree-webhook", BODY, stamped(BODY, "1000000000000"), 401, "stale"),
        ("/cashfree-webhook", BODY, stamped(b"{}", "1000000000000"), 401, "signature-invalid"),
        ("/payments/webhook/payu", BODY, {}, 401, "signature-invalid"),
        ("/razorpay-webhook", b"x" * (MIB + 1), {}, 413, "payload-too-large"),
    ],
)
def test_each_reason_is_told_from_the_others(
    database, client, path, data, headers, status, reason
) -> None:
    assert client.post(path, data=data, headers=headers).status_code == status

    (row,) = rows(database)
    assert row["reason"] == reason
    assert (row["last_body_hash"] is None) == (reason == "payload-too-large")


@pytest.mark.parametrize("data", [BODY, b"x" * (MIB + 1)])
def test_a_stranger_names_no_row(database, client, hasura, data: bytes) -> None:
    for name in ("paypal", "__init__", "a" * 99):
        assert client.post(f"/{name}-webhook", data=data).status_code in {404, 413}

    assert (rows(database), hasura.written()) == ([], 0)


def test_a_refusal_is_answered_though_nobody_can_write_it_down(database, client, hasura) -> None:
    hasura.is_down = True
    answer = client.post("/stripe-webhook", data=BODY)

    assert (answer.status_code, answer.json["message"]) == (401, "Invalid signature")
    assert rows(database) == []


class Book:
    """Takes what is to be written down, unless it is closed."""

    def __init__(self) -> None:
        self.pages: list[Counts] = []
        self.is_closed = False

    def write(self, counts: Counts) -> bool:
        if not self.is_closed:
            self.pages.append(counts)
        return not self.is_closed

    def total(self) -> int:
        return sum(row["messages"] for page in self.pages for row in page)


def test_what_comes_within_a_minute_waits_for_the_next_one() -> None:
    refusals, book = Refusals(), Book()
    for _ in range(5):
        refusals.note("stripe", FORGED, BODY, book.write)
    assert book.total() == 1

    refusals.due = 0.0
    refusals.note("payu", FORGED, None, book.write)
    assert sorted((row["gateway"], row["messages"]) for row in book.pages[1]) == [
        ("payu", 1),
        ("stripe", 4),
    ]


def test_when_it_is_written_tells_nothing_of_the_reason() -> None:
    """One write for all reasons: whoever measures answers does not learn why."""
    refusals, book = Refusals(), Book()
    refusals.note("stripe", FORGED, BODY, book.write)
    refusals.note("stripe", SignatureStaleError("old"), BODY, book.write)
    refusals.note("cashfree", NotFoundError("not set up"), BODY, book.write)

    assert len(book.pages) == 1


def test_what_could_not_be_written_is_written_later() -> None:
    refusals, book = Refusals(), Book()
    book.is_closed = True
    refusals.note("stripe", FORGED, BODY, book.write)
    refusals.note("stripe", FORGED, b"newer", book.write)
    book.is_closed, refusals.due = False, 0.0
    refusals.note("payu", FORGED, BODY, book.write)

    (page,) = book.pages
    assert {row["gateway"]: row["messages"] for row in page} == {"stripe": 2, "payu": 1}
    assert page[0]["last_body_hash"] == hashlib.sha256(b"newer").hexdigest()


@pytest.mark.parametrize("failure", [GatewayUnavailableError("x"), ServiceUnavailableError("x")])
def test_trouble_of_our_own_is_no_refusal(failure) -> None:
    book = Book()
    Refusals().note("stripe", failure, BODY, book.write)

    assert book.pages == []


def test_sixteen_threads_lose_no_message() -> None:
    refusals, book = Refusals(), Book()

    def refuse(number: int) -> None:
        for _ in range(500):
            refusals.note("stripe" if number % 2 else "payu", FORGED, BODY, book.write)
            refusals.due = 0.0

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(refuse, range(16)))
    refusals.due = 0.0
    refusals.note("stripe", FORGED, BODY, book.write)
    assert book.total() == 16 * 500 + 1


def note(db: Connection, *counts: tuple[str, str, int]) -> list[dict[str, Any]]:
    messages = [
        {"gateway": gateway, "reason": reason, "messages": number, "last_body_hash": "0" * 64}
        for gateway, reason, number in counts
    ]
    return Money(db, SERVICE).call("note_refused_messages", messages=messages)


def test_numbers_of_one_day_add_up_and_another_day_has_its_own(db: Connection) -> None:
    note(db, ("stripe", "stale", 2), ("payu", "signature-invalid", 1))
    note(db, ("stripe", "stale", 3))
    db.execute("update clock set skew_seconds = skew_seconds + 86400")
    note(db, ("stripe", "stale", 4))

    query = "select messages from refused_messages where gateway = 'stripe' order by day"
    assert [row["messages"] for row in db.execute(query).fetchall()] == [5, 4]


def test_a_day_that_is_long_past_is_forgotten(db: Connection) -> None:
    note(db, ("stripe", "stale", 2))
    db.execute("update clock set skew_seconds = skew_seconds + 86400 * 401")
    note(db, ("payu", "stale", 1))

    (row,) = db.execute("select gateway from refused_messages").fetchall()
    assert row["gateway"] == "payu"


def test_every_reason_that_is_counted_may_be_written(db: Connection) -> None:
    written = note(db, *(("stripe", reason, 1) for reason in (*COUNTED, "stale")))

    assert {row["reason"] for row in written} == COUNTED | {"stale"}


@pytest.mark.parametrize(
    "count", [("stripe", "because", 1), ("a b", "stale", 1), ("payu", "stale", 0)]
)
def test_nothing_else_is_a_number_of_refused_messages(db: Connection, count) -> None:
    with pytest.raises(psycopg.errors.CheckViolation):
        note(db, count)


def test_only_the_service_writes_them(db: Connection) -> None:
    with pytest.raises(psycopg.Error, match="forbidden"):
        Money(db, {"x-hasura-role": "operator", "x-hasura-livemode": "false"}).call(
            "note_refused_messages", messages=[]
        )


def test_a_genuine_message_waits_for_none_who_counts_refused_ones(database: str) -> None:
    """The row that many would add to is locked by somebody who does not end."""
    with psycopg.connect(database, row_factory=dict_row) as db:
        money = Money(db, settle(db).session)
        row = money.open()
    with (
        psycopg.connect(database, row_factory=dict_row) as counting,
        psycopg.connect(database, row_factory=dict_row) as db,
    ):
        note(counting, ("stripe", "signature-invalid", 1))
        db.execute("set lock_timeout = '1ms'")
        said = Money(db, money.session).receive(row["payment_attempt_id"], gateway_session_id=None)

        assert said["status"] == "applied"


def test_two_who_count_at_once_wait_for_each_other_and_no_number_is_lost(database: str) -> None:
    counts = [("stripe", "stale", 1), ("payu", "stale", 1), ("cashfree", "forbidden", 1)]

    def count(number: int) -> None:
        with psycopg.connect(database, row_factory=dict_row) as db:
            for _ in range(20):
                note(db, *(counts if number % 2 else reversed(counts)))
                db.commit()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(count, range(8)))
    assert set(numbers(database).values()) == {160}


def test_the_page_names_every_reason() -> None:
    page = (ROOT / "docs" / "payments.md").read_text(encoding="utf-8")

    assert all(f"`{reason}`" in page for reason in (*COUNTED, "stale"))
