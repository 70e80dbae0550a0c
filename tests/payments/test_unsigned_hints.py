"""Messages that anybody may send: they fill no table, and ask nobody more often than is fit."""

import json
from typing import Any

import psycopg
import pytest
from books import broken_invariants, settle
from in_process import CrashError, House
from money_back import Desk, listed
from psycopg.rows import dict_row

from app.gateways import Delivery
from app.gateways.payu import Adapter, Settings, references
from app.payments import webhooks

KEY = "payu_test_key"
SERVICE = {"x-hasura-role": "service", "x-hasura-livemode": "false"}
TABLES = "select tablename from pg_tables where schemaname = 'public'"
# Every other one names the payment that is there, every fifth a refund that is not.
TEN_THOUSAND = """
select count(*) as answered from generate_series(1, 10000) as number
cross join lateral hear_hint(%s, 'payu', '', jsonb_build_object(
    'subject', case when number %% 5 = 0 then 'refund' else 'dispute' end,
    'outcome', 'hint',
    'payment_attempt_id', case when number %% 2 = 0 then %s::text end,
    'gateway_payment_id', 'made-up-' || number,
    'gateway_dispute_id', 'cb_' || number,
    'refund_id', case when number %% 5 = 0 then gen_random_uuid()::text end,
    'gateway_refund_id', 'rf_' || number
), repeat('0', 64))
"""
POLLED = """
insert into dispute_polls (gateway, livemode, ask_since, begun_at, due_at)
values ('payu', false, clock_now(), clock_now(), clock_now() + interval '1 hour')
"""


class Street(House):
    """PayU's door, and what anybody may say there of a purchase that was paid at PayU."""

    def __post_init__(self) -> None:
        super().__post_init__()
        with psycopg.connect(self.url, row_factory=dict_row) as db:
            desk = Desk(db, settle(db).session)
            self.desk_session = desk.session
            paid = desk.paid()
            self.refund = desk.refund(paid["payment_intent_id"])
            db.execute("update payment_attempts set gateway = 'payu'")
            db.execute("update refunds set gateway = 'payu', status = 'unknown'")
            db.execute("update refunds set next_check_at = clock_now() + interval '1 day'")
            db.execute(POLLED)
        self.attempt = paid["payment_attempt_id"]

    def peer(self) -> Any:
        return Adapter(Settings(KEY, ("payu-test-salt-0001",)))

    def send(self, **message: Any) -> dict[str, object]:
        return webhooks.receive(self.ctx, "payu", Delivery({}, json.dumps(message).encode()))

    def dispute(self, **changes: Any) -> dict[str, object]:
        txnid = references.txnid(str(self.attempt))
        told = {"type": "payments", "event": "dispute", "txn_id": txnid, "cb_id": 1}
        return self.send(**(told | changes))

    def say_refund(self, status: str) -> dict[str, object]:
        token = references.token(str(self.refund["id"]))
        return self.send(action="refund", key=KEY, token=token, status=status)

    def row(self, query: str) -> dict[str, Any]:
        with psycopg.connect(self.url, row_factory=dict_row) as db:
            (row,) = db.execute(query).fetchall()
        return row

    def sizes(self) -> dict[str, int]:
        """How many rows each table has."""
        with psycopg.connect(self.url) as db:
            names = [name for (name,) in db.execute(TABLES).fetchall()]
            counts = [f"select '{name}', count(*) from {name}" for name in names]
            return dict(db.execute(" union all ".join(counts)).fetchall())

    def poll(self) -> bool:
        """Have the cron ask if it is time, and answer whether it was."""
        with psycopg.connect(self.url, row_factory=dict_row) as db:
            return bool(Desk(db, SERVICE).call("begin_dispute_polls"))

    def asked(self) -> bool:
        """The same of the refund."""
        with psycopg.connect(self.url, row_factory=dict_row) as db:
            return bool(Desk(db, self.desk_session).call("claim_refund_checks", limit=10))

    def counted(self) -> int:
        query = "select coalesce(sum(messages), 0)::int as it from refused_messages"
        return int(self.row(query)["it"])


@pytest.fixture
def street(database: str) -> Street:
    return Street(database, SERVICE)


@pytest.mark.thorough
def test_ten_thousand_hints_leave_a_number_and_two_lines(street: Street) -> None:
    before = street.sizes()
    with psycopg.connect(street.url, row_factory=dict_row) as db:
        session = json.dumps(SERVICE)
        answered = db.execute(TEN_THOUSAND, [session, str(street.attempt)]).fetchone()["answered"]

    assert answered == 5000
    counts = street.row("select gateway, reason, messages, last_body_hash from refused_messages")
    assert counts == {
        "gateway": "payu",
        "reason": "unsigned",
        "messages": 10_000,
        "last_body_hash": "0" * 64,
    }
    grown = {name: size - before[name] for name, size in street.sizes().items()}
    assert {name: more for name, more in grown.items() if more} == {
        "refused_messages": 1,
        "exceptions": 1,
        "refund_searches": 1,
    }
    with psycopg.connect(street.url, row_factory=dict_row) as db:
        assert listed(db) == {"unconfirmed-dispute"}
        assert broken_invariants(db) == {}


def test_what_payu_tells_of_a_dispute_brings_its_list_forward_and_is_not_kept(street) -> None:
    street.wait(600)
    assert street.poll() is False
    kept = street.row("select count(*) as it from gateway_events")["it"]

    assert street.dispute() == {"received": True, "status": "ignored"}
    assert street.poll() is True
    assert street.row("select count(*) as it from gateway_events")["it"] == kept
    assert street.counted() == 1


@pytest.mark.thorough
def test_no_stranger_has_payu_asked_more_often_than_every_five_minutes(street: Street) -> None:
    polls = refunds = 0
    for minute in range(16):
        for number in range(2):
            street.dispute(cb_id=f"{minute}-{number}", cb_status=f"{number}")
            street.say_refund(f"{minute} {number}")
        polls += street.poll()
        refunds += street.asked()
        street.wait(60)

    assert polls == 3
    assert refunds == 4 + 1  # of the refund's own schedule
    assert street.counted() == 16 * 4
    left = street.row("select checks, next_check_at from refunds")
    assert left["checks"] <= 2  # no hint has used one up
    assert left["next_check_at"] is not None


def test_the_second_word_on_a_refund_is_followed_though_it_comes_soon(street: Street) -> None:
    street.say_refund("queued")
    assert street.asked() is True
    street.wait(60)
    street.say_refund("success")
    assert street.asked() is False
    street.wait(240)

    assert street.asked() is True


def test_a_hint_at_nothing_of_ours_is_counted_and_asks_nobody(street: Street) -> None:
    street.wait(600)
    street.dispute(txn_id="4039937155")
    street.send(action="refund", key=KEY, token="nobodys", request_id="1")

    assert (street.poll(), street.asked(), street.counted()) == (False, False, 2)


@pytest.mark.parametrize("is_after", [False, True])
def test_whenever_its_process_dies_a_hint_that_comes_again_is_followed_once(
    street: Street, is_after: bool
) -> None:
    street.wait(600)
    street.plan(1, is_after=is_after)
    with pytest.raises(CrashError):
        street.dispute()
    street.plan(0, is_after=False)
    street.dispute()

    assert street.counted() == 1 + is_after
    assert [street.poll(), street.poll()] == [True, False]


def test_a_hint_of_the_other_mode_asks_nobody(street: Street) -> None:
    street.wait(600)
    street.session = SERVICE | {"x-hasura-livemode": "true"}
    street.dispute()

    assert street.poll() is False
