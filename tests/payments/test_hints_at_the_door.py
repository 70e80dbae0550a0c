"""The door keeps a message that proves nothing, and books what its gateway answers."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

import psycopg
import pytest
import responses
from books import broken_invariants, settle
from in_process import CrashError, Fault, context
from money_back import listed
from orders.conftest import stock
from payments.test_pages_paid_twice import Shaped, advance
from psycopg.rows import dict_row

from app.gateways import Delivery
from app.gateways.payu import Adapter, Settings, hashes, references
from app.payments import webhooks
from app.payments.crons import check_payments

KEY, SALT, PAYU = "payu_test_key", "payu-test-salt-0001", "https://test.payu.in"
COMMANDS = f"{PAYU}/merchant/postservice.php?form=2"
MINUTE = timedelta(minutes=1)


class Rows(Shaped):
    """Answers an attempt with what the database works out for it, too."""

    def _shape(self, db: Any, row: dict[str, Any]) -> dict[str, Any]:
        shaped = super()._shape(db, row)
        if "next_check_at" in row:
            believed = db.execute(
                "select not_found_is_believed_at(payment_attempts)::text as at"
                " from payment_attempts where id = %s",
                [row["id"]],
            ).fetchone()
            shaped |= {"not_found_is_believed_at": believed["at"]}
        return shaped


class House:
    """A booking to be paid at PayU, the webhook's door, and PayU's own answer."""

    def __init__(self, url: str) -> None:
        self.url = url
        with psycopg.connect(url, row_factory=dict_row) as db:
            office = stock(db, settle(db))
            self.session, row = office.session, office.ask(gateway="payu")
        self.attempt = str(row["payment_attempt_id"])
        self.txnid = references.txnid(self.attempt)
        self.adapter = Adapter(Settings(KEY, (SALT,), PAYU, PAYU))

    def ctx(self, fault: Fault | None = None) -> Any:
        hasura = Rows(self.url, self.session, fault or Fault())
        return context(hasura=hasura, gateway=lambda _: self.adapter, now=self.now)

    def now(self) -> Any:
        with psycopg.connect(self.url) as db:
            return db.execute("select clock_now()").fetchone()[0]

    def hear(self, *, fault: Fault | None = None, state: str = "captured") -> dict[str, object]:
        """Hand in what PayU signs of a success, with a word beside it that the hash leaves out."""
        form = {
            "key": KEY,
            "txnid": self.txnid,
            "amount": "2450.00",
            "productinfo": "Booking BK-17",
            "firstname": "Asha",
            "email": "asha@example.com",
            "udf1": self.attempt,
            "status": "success",
        }
        signed = form | {"hash": hashes.of_message(form, SALT), "unmappedstatus": state}
        delivery = Delivery({}, urlencode(signed).encode())
        return webhooks.receive(self.ctx(fault), "payu", delivery)

    def tick(self) -> dict[str, int]:
        with psycopg.connect(self.url, row_factory=dict_row) as db:
            advance(db, MINUTE)
        return check_payments(self.ctx())

    def books(self) -> tuple[str, int, int]:
        """Answer how the attempt stands, how often it is booked, and how many look-ups are kept."""
        with psycopg.connect(self.url, row_factory=dict_row) as db:
            assert broken_invariants(db) == {}
            (row,) = db.execute(
                "select status,"
                " (select count(*) from ledger_transactions where kind = 'capture') as booked,"
                " (select count(*) from gateway_events where type = 'look-up') as looked_up"
                " from payment_attempts where not is_in_suspense"
            ).fetchall()
        return row["status"], row["booked"], row["looked_up"]


BOOKED = ("captured", 1, 1)


@pytest.fixture
def house(database: str) -> House:
    return House(database)


@contextmanager
def payu(house: House, **said: Any) -> Iterator[responses.RequestsMock]:
    """Have PayU say what became of the transaction."""
    told = {"txnid": house.txnid, "amt": "2450.00", "mihpayid": "1"} | said
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        mock.post(COMMANDS, json={"status": 1, "transaction_details": {house.txnid: told}})
        yield mock


def test_what_payu_answers_is_booked_when_its_webhook_comes(house) -> None:
    with payu(house, status="success", unmappedstatus="captured") as mock:
        answer = house.hear()
        (asked,) = [call.request.body for call in mock.calls]

    assert answer["received"] is True
    assert f"command=verify_payment&var1={house.txnid}" in str(asked)
    assert house.books() == BOOKED


def test_a_signed_success_is_not_captured_because_somebody_wrote_so_beside_it(house) -> None:
    with payu(house, status="success", unmappedstatus="auth"):
        house.hear(state="captured")

    assert house.books() == ("authorized", 0, 1)


@pytest.mark.parametrize(
    ("said", "status"),
    [
        ({"status": "failure", "unmappedstatus": "failed"}, "failed"),
        ({"status": "pending", "unmappedstatus": "pending"}, "processing"),
        ({"status": "success", "unmappedstatus": "never heard of"}, "created"),
        ({"status": "Not Found"}, "created"),
    ],
)
def test_payus_answer_counts_whatever_its_webhook_says(house, said, status) -> None:
    with payu(house, **said):
        house.hear()

    assert house.books()[:2] == (status, 0)


def test_another_amount_at_payu_is_not_booked(house) -> None:
    with payu(house, status="success", unmappedstatus="captured", amt="1.00"):
        house.hear()

    with psycopg.connect(house.url, row_factory=dict_row) as db:
        assert listed(db) == {"amount-mismatch"}
    assert house.books()[:2] == ("created", 1)  # what came is held


def test_a_webhook_is_acknowledged_though_payu_is_silent_and_the_cron_asks(house) -> None:
    with responses.RequestsMock() as mock:
        mock.post(COMMANDS, status=502)
        assert house.hear()["received"] is True
    assert house.books() == ("created", 0, 0)

    with payu(house, status="success", unmappedstatus="captured"):
        assert house.tick() == {"asked": 1, "answered": 1}
    assert house.books() == BOOKED


def test_a_fault_of_ours_in_asking_costs_the_answer_nothing(house, monkeypatch) -> None:
    monkeypatch.setattr(house.adapter, "find", lambda _: json.loads("{"))
    assert house.hear()["received"] is True
    monkeypatch.undo()

    with payu(house, status="success", unmappedstatus="captured"):
        house.tick()
    assert house.books() == BOOKED


def test_the_same_webhook_again_asks_payu_no_second_time(house) -> None:
    with payu(house, status="pending", unmappedstatus="pending") as mock:
        for _ in range(5):
            house.hear()
        assert len(mock.calls) == 1


@pytest.mark.parametrize("is_after", [False, True])
@pytest.mark.parametrize("at", [1, 2, 3])
def test_nothing_is_lost_or_doubled_whenever_its_process_dies(house, at, is_after) -> None:
    """At the inbox, at the claim, and at what PayU answered: before and after each."""
    with payu(house, status="success", unmappedstatus="captured"):
        with pytest.raises(CrashError):
            house.hear(fault=Fault(at, is_after))
        if (at, is_after) == (1, False):
            assert house.books() == ("created", 0, 0)
            house.hear()  # it was not acknowledged, so PayU sends it again
        for _ in range(2):
            house.tick()

    assert house.books() == BOOKED
