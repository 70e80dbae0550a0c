"""The service between two steps of the database: wherever it dies, somebody repairs it."""

from dataclasses import replace
from uuid import UUID

import psycopg
import pytest
from books import broken_invariants
from in_process import CrashError, Shop
from money_back import listed
from psycopg.rows import dict_row

from app.config import ConfigError
from app.errors import AppError, GatewayRefusedError, GatewaySilentError, GatewayUnavailableError
from app.gateways import Capability, Finding, Money, Outcome, Subject
from app.refunds import crons, rest
from app.refunds.schemas import RefundSchema

CALLS = ["OpenRefund", "gateway.refund", "ReceiveGatewayEvent", "RefundState"]


def test_a_refund_is_these_calls_and_they_are_what_the_tests_below_kill(shop) -> None:
    answer = shop.refund()

    assert shop.house.fault.calls == CALLS
    assert (answer["status"], answer["amount"]) == ("succeeded", "1000")
    assert shop.is_settled()


def retry(shop: Shop) -> None:
    assert shop.refund()["status"] == "succeeded"


def cron(shop: Shop) -> None:
    shop.house.wait(31)
    crons.check_refunds(shop.house.ctx)


def webhook(shop: Shop) -> None:
    """What reached the gateway comes back by itself; what did not is the cron's."""
    for refund_id, said in shop.house.gateway.refunds.items():
        with psycopg.connect(shop.url, row_factory=dict_row) as db:
            desk = shop.desk(db)
            refund = desk.row("refunds", UUID(refund_id))
            desk.say(refund, str(said.outcome), gateway_refund_id=said.gateway_refund_id)
    cron(shop)


def everything(shop: Shop) -> None:
    retry(shop)
    webhook(shop)
    cron(shop)
    retry(shop)


@pytest.mark.parametrize("recovery", [retry, cron, webhook, everything])
@pytest.mark.parametrize("is_after", [False, True])
@pytest.mark.parametrize("at", range(1, len(CALLS) + 1))
def test_wherever_the_service_dies_one_refund_is_made_and_booked(
    shop, at, is_after, recovery
) -> None:
    shop.house.plan(at, is_after=is_after)
    with pytest.raises(CrashError):
        shop.refund()
    shop.house.plan(0, is_after=False)
    recovery(shop)

    was_never_asked_for = (at, is_after) == (1, False) and recovery in {cron, webhook}
    assert shop.is_settled(0 if was_never_asked_for else 1)


CRON_CALLS = ["ClaimRefundChecks", "gateway.find_refund", "gateway.refund", "ReceiveGatewayEvent"]


@pytest.mark.parametrize("is_after", [False, True])
@pytest.mark.parametrize("at", range(1, len(CRON_CALLS) + 1))
def test_wherever_the_cron_dies_the_next_one_finishes(shop, at, is_after) -> None:
    shop.house.plan(2, is_after=False)
    with pytest.raises(CrashError):
        shop.refund()

    shop.house.wait(31)
    shop.house.plan(at, is_after=is_after)
    with pytest.raises(CrashError):
        crons.check_refunds(shop.house.ctx)
    assert shop.house.fault.calls == CRON_CALLS[:at]

    shop.house.plan(0, is_after=False)
    shop.house.wait(121)
    crons.check_refunds(shop.house.ctx)
    assert shop.is_settled()


@pytest.mark.parametrize("silence", ["before", "after"])
def test_a6_a_lost_answer_is_unknown_and_the_same_call_again_is_the_same_refund(
    shop, silence
) -> None:
    shop.house.gateway.silence = silence
    first = shop.refund()
    shop.house.gateway.silence = None
    again = shop.refund()

    assert first["status"] == "unknown"
    assert (again["refund_id"], again["status"]) == (first["refund_id"], "succeeded")
    assert shop.is_settled()


@pytest.mark.parametrize("silence", ["before", "after"])
def test_a_lost_answer_is_found_by_the_cron(shop, silence) -> None:
    shop.house.gateway.silence = silence
    shop.refund()
    shop.house.gateway.silence = None
    cron(shop)

    assert shop.is_settled()


def test_while_the_gateway_is_silent_nothing_is_decided(shop) -> None:
    shop.house.gateway.silence = "before"
    shop.refund()
    for _ in range(5):
        shop.house.wait(7 * 3600)
        counted = crons.check_refunds(shop.house.ctx)
        assert counted == {"asked": 1, "answered": 0}
    assert shop.refund()["status"] == "unknown"

    assert shop.read("select status from refunds") == [{"status": "unknown"}]


def test_what_a_gateway_never_had_is_given_up_after_25_hours_and_not_asked_for_late(shop) -> None:
    shop.house.gateway.silence = "before"
    shop.refund()
    shop.house.gateway.silence = None
    for hours in (21, 3):  # a day is when a gateway forgets our key
        shop.house.wait(hours * 3600)
        crons.check_refunds(shop.house.ctx)
        assert shop.refund()["status"] == "unknown"
    shop.house.wait(25 * 3600)
    crons.check_refunds(shop.house.ctx)

    assert shop.read("select status, failure_code from refunds") == [
        {"status": "failed", "failure_code": "not-found"}
    ]
    assert shop.house.gateway.asked == 1


@pytest.mark.parametrize("was_sent", [False, True])
def test_what_was_not_heard_of_for_20_hours_is_looked_up_whoever_asks_for_it(
    shop, was_sent: bool
) -> None:
    """Its sender died before or after the gateway made it, and a gateway forgets our key."""
    shop.house.plan(2, is_after=was_sent)
    with pytest.raises(CrashError):
        shop.refund()
    shop.house.plan(0, is_after=False)
    asked = shop.house.gateway.asked
    shop.house.wait(20 * 3600)

    assert shop.refund()["status"] == ("succeeded" if was_sent else "created")
    assert shop.house.gateway.asked == asked
    assert "gateway.refund" not in shop.house.fault.calls


def test_a_refund_that_takes_days_is_answered_as_pending_and_ends_by_the_cron(shop) -> None:
    shop.house.gateway.outcome = Outcome.PENDING
    assert shop.refund()["status"] == "pending"

    gateway = shop.house.gateway
    for refund_id, said in gateway.refunds.items():
        gateway.refunds[refund_id] = replace(said, outcome=Outcome.SUCCEEDED)
    cron(shop)
    assert shop.is_settled()


def test_a_refusal_is_answered_as_failed_and_nothing_is_reserved(shop) -> None:
    shop.house.gateway.outcome = Outcome.FAILED
    answer = shop.refund()

    assert answer["status"] == "failed"
    assert shop.read("select amount_refunded from payment_attempts") == [{"amount_refunded": 0}]
    assert shop.refund()["status"] == "failed"
    assert shop.house.gateway.asked == 1


def test_the_cron_run_twice_asks_once(shop) -> None:
    shop.house.gateway.outcome = Outcome.PENDING
    shop.refund()
    shop.house.wait(31)

    assert crons.check_refunds(shop.house.ctx) == {"asked": 1, "answered": 1}
    assert crons.check_refunds(shop.house.ctx) == {"asked": 0, "answered": 0}


def surplus(shop: Shop) -> None:
    with psycopg.connect(shop.url, row_factory=dict_row) as db:
        late = db.execute(
            "insert into payment_attempts (organization_id, livemode, payment_intent_id, gateway,"
            " amount, currency, status) select organization_id, livemode, payment_intent_id,"
            " gateway, amount, currency, 'expired' from payment_attempts returning id"
        ).fetchone()
        shop.desk(db).receive(late["id"], gateway_session_id=None)


def test_i13_surplus_is_sent_back_by_the_next_cron_once(shop) -> None:
    surplus(shop)
    for _ in range(2):
        crons.check_refunds(shop.house.ctx)

    with psycopg.connect(shop.url, row_factory=dict_row) as db:
        assert listed(db) == set()
        assert broken_invariants(db) == {}
    assert shop.house.gateway.asked == 1


@pytest.mark.parametrize("is_after", [False, True])
@pytest.mark.parametrize("at", range(1, len(CRON_CALLS) + 1))
def test_i13_wherever_that_cron_dies_surplus_goes_back_once(shop, at, is_after) -> None:
    surplus(shop)
    shop.house.plan(at, is_after=is_after)
    with pytest.raises(CrashError):
        crons.check_refunds(shop.house.ctx)
    shop.house.plan(0, is_after=False)
    shop.house.wait(121)
    crons.check_refunds(shop.house.ctx)

    with psycopg.connect(shop.url, row_factory=dict_row) as db:
        assert listed(db) == set()
        assert broken_invariants(db) == {}
    assert len(shop.house.gateway.refunds) == 1


def test_the_cron_leaves_a_persons_refund_to_who_asked_for_it_for_a_while(shop) -> None:
    shop.house.plan(2, is_after=False)
    with pytest.raises(CrashError):
        shop.refund()
    shop.house.plan(0, is_after=False)

    assert crons.check_refunds(shop.house.ctx) == {"asked": 0, "answered": 0}
    shop.house.wait(31)
    assert crons.check_refunds(shop.house.ctx) == {"asked": 1, "answered": 1}


def test_a_refund_by_plain_http_is_the_same(shop) -> None:
    body = {"amount": 1000, "reason": "order_canceled", "idempotency_key": "refund-1"}
    answer = rest.refund_payment_by_id(
        shop.house.ctx, RefundSchema().load(body), str(shop.paid["payment_intent_id"])
    )

    assert answer["status"] == "succeeded"
    assert shop.is_settled()


@pytest.mark.parametrize("payment_id", ["x", "", "TXN-1", "6f1e9a3e-5a55-4a5a-9a55-000000000009"])
def test_a_payment_that_is_not_there_is_not_found(shop, payment_id) -> None:
    body = {"reason": "duplicate", "idempotency_key": "refund-1"}
    with pytest.raises(AppError) as failure:
        rest.refund_payment_by_id(shop.house.ctx, RefundSchema().load(body), payment_id)

    assert failure.value.code == "not-found"


@pytest.mark.parametrize("nonsense", [KeyError("id"), GatewayUnavailableError("nonsense")])
def test_nonsense_about_one_refund_is_its_own_failure_and_is_listed_in_the_end(
    shop, nonsense
) -> None:
    shop.house.gateway.outcome = Outcome.PENDING
    first = shop.refund()["refund_id"]
    second = shop.refund(idempotency_key="refund-2")["refund_id"]
    gateway = shop.house.gateway
    gateway.nonsense[first] = nonsense
    for refund_id, said in gateway.refunds.items():
        gateway.refunds[refund_id] = replace(said, outcome=Outcome.SUCCEEDED)
    shop.house.wait(31)

    assert crons.check_refunds(shop.house.ctx) == {"asked": 2, "answered": 1}
    query = "select id, status, next_check_at is not null as is_due from refunds order by status"
    assert shop.read(query) == [
        {"id": UUID(first), "status": "pending", "is_due": True},
        {"id": UUID(second), "status": "succeeded", "is_due": True},
    ]
    for _ in range(20):
        shop.house.wait(25 * 3600)
        crons.check_refunds(shop.house.ctx)
    with psycopg.connect(shop.url, row_factory=dict_row) as db:
        assert listed(db) == {"refund-unresolved"}


# What succeeded, and came back

DAY = 24 * 3600


def come_back(shop: Shop, refund_id: str) -> None:
    """The payer's bank sends the money back, and no message tells of it."""
    said = shop.house.gateway.refunds[refund_id]
    shop.house.gateway.refunds[refund_id] = replace(said, outcome=Outcome.FAILED)


@pytest.mark.parametrize("days", [1, 7, 30])
def test_money_that_came_back_unheard_is_found_within_a_month(shop, days: int) -> None:
    refund_id = shop.refund()["refund_id"]
    for day in range(1, 31):
        shop.house.wait(DAY)
        if day == days:
            come_back(shop, refund_id)
        crons.check_refunds(shop.house.ctx)

    assert shop.read("select status from refunds") == [{"status": "failed"}]
    assert shop.read("select amount_refunded from payment_attempts") == [{"amount_refunded": 0}]
    with psycopg.connect(shop.url, row_factory=dict_row) as db:
        assert broken_invariants(db) == {}


LOOK_DAYS = (1, 6, 23)  # each so many after the one before it
LOOK_CALLS = ["ClaimRefundChecks", "gateway.find_refund", "ReceiveGatewayEvent", "EndRefundLook"]


def look(shop: Shop, looks: int) -> None:
    """Have so many looks answered, and the next one due."""
    for days in LOOK_DAYS[:looks]:
        shop.house.wait(days * DAY)
        assert crons.check_refunds(shop.house.ctx) == {"asked": 1, "answered": 1}
    shop.house.wait(LOOK_DAYS[looks] * DAY)


@pytest.mark.parametrize("is_after", [False, True])
@pytest.mark.parametrize("at", range(1, len(LOOK_CALLS) + 1))
@pytest.mark.parametrize("looks", range(len(LOOK_DAYS)))
def test_wherever_a_late_look_dies_the_next_one_books_once_what_came_back(
    shop, looks: int, at: int, is_after: bool
) -> None:
    refund_id = shop.refund()["refund_id"]
    look(shop, looks)
    come_back(shop, refund_id)
    shop.house.plan(at, is_after=is_after)
    with pytest.raises(CrashError):
        crons.check_refunds(shop.house.ctx)
    assert shop.house.fault.calls == LOOK_CALLS[:at]

    shop.house.plan(0, is_after=False)
    for _ in range(2):  # and twice
        shop.house.wait(121)
        crons.check_refunds(shop.house.ctx)
    assert shop.read("select status from refunds") == [{"status": "failed"}]
    assert shop.read("select amount_refunded from payment_attempts") == [{"amount_refunded": 0}]
    with psycopg.connect(shop.url, row_factory=dict_row) as db:
        assert broken_invariants(db) == {}


def test_what_stays_gone_is_looked_at_thrice_and_never_listed(shop) -> None:
    shop.refund()
    asked = []
    for _ in range(40):
        shop.house.wait(DAY)
        asked.append(crons.check_refunds(shop.house.ctx)["asked"])

    assert [day for day, number in enumerate(asked, 1) if number] == [1, 7, 30]
    assert sum(asked) == 3
    assert shop.house.gateway.asked == 1
    with psycopg.connect(shop.url, row_factory=dict_row) as db:
        assert listed(db) == set()


def test_what_succeeded_and_is_not_found_is_neither_asked_for_again_nor_failed(shop) -> None:
    refund_id = shop.refund()["refund_id"]
    del shop.house.gateway.refunds[refund_id]
    for _ in range(31):
        shop.house.wait(DAY)
        crons.check_refunds(shop.house.ctx)

    assert shop.house.gateway.asked == 1
    assert shop.read("select status from refunds") == [{"status": "succeeded"}]


FAULTS = [KeyError("id"), ConfigError("no key"), GatewayRefusedError("no such payment")]


@pytest.mark.parametrize("fault", [*FAULTS, GatewaySilentError("no answer")])
@pytest.mark.parametrize("looks", [0, 2])
def test_a_look_that_failed_is_not_counted_and_what_came_back_is_found_later(
    shop, looks: int, fault: Exception
) -> None:
    refund_id = shop.refund()["refund_id"]
    look(shop, looks)
    come_back(shop, refund_id)
    shop.house.gateway.nonsense[refund_id] = fault
    for hours in (0, 1, 1, 5):
        shop.house.wait(3600 * hours)
        assert crons.check_refunds(shop.house.ctx)["answered"] == 0
    assert shop.read("select status, looks from refunds") == [
        {"status": "succeeded", "looks": looks}
    ]

    del shop.house.gateway.nonsense[refund_id]
    shop.house.wait(DAY)
    crons.check_refunds(shop.house.ctx)
    assert shop.read("select status from refunds") == [{"status": "failed"}]


@pytest.mark.thorough
@pytest.mark.parametrize("fault", [*FAULTS, GatewaySilentError("no answer")])
@pytest.mark.parametrize("looks", [0, 2])
def test_a_look_that_is_never_answered_ends_with_a_person(
    shop, looks: int, fault: Exception
) -> None:
    refund_id = shop.refund()["refund_id"]
    look(shop, looks)
    shop.house.gateway.nonsense[refund_id] = fault
    for _ in range(3 * 7):
        shop.house.wait(DAY)
        crons.check_refunds(shop.house.ctx)

    (told,) = shop.read("select class, object_id, amount, currency, detail from exceptions")
    assert (told["class"], told["object_id"]) == ("refund-unresolved", UUID(refund_id))
    assert (told["amount"], told["currency"]) == (1000, "USD")
    assert told["detail"].startswith("succeeded at ")
    with psycopg.connect(shop.url, row_factory=dict_row) as db:
        assert listed(db) == {"refund-unresolved"}
        assert broken_invariants(db) == {}


def test_the_last_question_of_a_look_may_yet_be_answered(shop) -> None:
    refund_id = shop.refund()["refund_id"]
    look(shop, 2)
    shop.house.gateway.nonsense[refund_id] = KeyError("id")
    for _ in range(20):
        shop.house.wait(DAY)
        if shop.read("select checks from refunds") == [{"checks": 10}]:
            del shop.house.gateway.nonsense[refund_id]
            break
        crons.check_refunds(shop.house.ctx)
    crons.check_refunds(shop.house.ctx)

    assert shop.read("select looks, next_check_at from refunds") == [
        {"looks": 3, "next_check_at": None}
    ]
    with psycopg.connect(shop.url, row_factory=dict_row) as db:
        assert listed(db) == set()
        assert broken_invariants(db) == {}


def test_one_that_succeeded_and_that_nobody_would_look_at_again_breaks_an_invariant(shop) -> None:
    shop.refund()
    with psycopg.connect(shop.url, row_factory=dict_row) as db:
        db.execute("update refunds set next_check_at = null")
        assert set(broken_invariants(db)) == {"invariant_unsettled_refunds_are_checked"}
        db.execute("update refunds set looks = 3")
        assert broken_invariants(db) == {}


def test_a_look_that_is_counted_twice_counts_once(shop, database: str) -> None:
    refund_id = shop.refund()["refund_id"]
    with psycopg.connect(database, row_factory=dict_row) as db:
        desk = shop.desk(db)
        (counted,) = desk.call("end_refund_look", refund_id=refund_id, looks=0)
        assert desk.call("end_refund_look", refund_id=refund_id, looks=0) == []
        assert desk.row("refunds", UUID(refund_id)) == counted
    assert counted["looks"] == 1


def test_silence_about_what_succeeded_is_asked_again_within_the_hour(shop) -> None:
    refund_id = shop.refund()["refund_id"]
    come_back(shop, refund_id)
    shop.house.gateway.silence = "before"
    shop.house.wait(30 * DAY)
    crons.check_refunds(shop.house.ctx)
    shop.house.gateway.silence = None
    shop.house.wait(3601)
    crons.check_refunds(shop.house.ctx)

    assert shop.read("select status from refunds") == [{"status": "failed"}]


# What a gateway may give back by itself

MINUTES = (0, 3, 11)  # when it is looked for, and not asked for yet


@pytest.fixture
def giving(shop) -> Shop:
    """A second payment, at a gateway that gives such back by itself, as it may find."""
    shop.house.gateway.capabilities = frozenset({Capability.GIVES_BACK})
    surplus(shop)
    return shop


def tick(shop: Shop, minutes: int = 0) -> None:
    shop.house.wait(60 * minutes)
    crons.check_refunds(shop.house.ctx)


def tick_on(shop: Shop) -> None:
    for minutes in (*MINUTES, 61):
        tick(shop, minutes)


def give_back(shop: Shop) -> None:
    """The gateway finds that it was paid twice."""
    (row,) = shop.read("select id, amount, currency, payment_attempt_id from refunds")
    (paid,) = shop.read("select id, gateway_payment_id from payment_attempts where is_surplus")
    assert row["payment_attempt_id"] == paid["id"]
    shop.house.gateway.refunds[str(row["id"])] = Finding(
        subject=Subject.REFUND,
        outcome=Outcome.SUCCEEDED,
        gateway_refund_id="auto_1",
        gateway_payment_id=paid["gateway_payment_id"],
        amount=Money(row["amount"], row["currency"]),
    )


@pytest.mark.parametrize("looked", range(len(MINUTES)))
def test_what_the_gateway_gives_back_by_itself_is_our_refund_and_nothing_is_asked_for(
    giving, looked: int
) -> None:
    for minutes in MINUTES[: looked + 1]:
        tick(giving, minutes)
    give_back(giving)
    tick(giving, 61)

    assert giving.house.gateway.asked == 0
    assert giving.read("select status, gateway_refund_id, requested_by from refunds") == [
        {"status": "succeeded", "gateway_refund_id": "auto_1", "requested_by": "system"}
    ]
    with psycopg.connect(giving.url, row_factory=dict_row) as db:
        assert listed(db) == set()
        assert broken_invariants(db) == {}


def test_what_the_gateway_has_not_given_back_within_the_hour_is_asked_for_once(giving) -> None:
    for minutes in MINUTES:
        tick(giving, minutes)
        assert giving.house.gateway.asked == 0
    assert giving.read("select status from refunds") == [{"status": "created"}]
    for _ in range(2):
        tick(giving, 61)

    assert giving.house.gateway.asked == 1
    assert giving.read("select status from refunds") == [{"status": "succeeded"}]


def test_it_is_asked_for_however_late_the_cron_comes_again(giving) -> None:
    tick(giving)
    for _ in range(2):
        tick(giving, 26 * 60)

    assert giving.house.gateway.asked == 1
    assert giving.read("select status from refunds") == [{"status": "succeeded"}]


@pytest.mark.parametrize("is_after", [False, True])
@pytest.mark.parametrize("at", range(1, 7))
def test_wherever_the_crons_die_it_goes_back_once(giving, at: int, is_after: bool) -> None:
    giving.house.plan(at, is_after=is_after)
    with pytest.raises(CrashError):
        tick_on(giving)
    giving.house.plan(0, is_after=False)
    for hours in (2, 8):
        tick(giving, hours * 60)

    assert len(giving.house.gateway.refunds) == 1
    assert giving.read("select status from refunds") == [{"status": "succeeded"}]


def test_a_refund_of_what_was_owed_does_not_wait(shop) -> None:
    shop.house.gateway.capabilities = frozenset({Capability.GIVES_BACK})

    assert shop.refund()["status"] == "succeeded"


def test_a_persons_refund_of_a_second_payment_waits_as_well(giving) -> None:
    (paid,) = giving.read("select id from payment_attempts where is_surplus")
    with psycopg.connect(giving.url, row_factory=dict_row) as db:
        desk = giving.desk(db)
        desk.say(desk.row("refunds", the_refund(giving)), "failed")
    asked = {"idempotency_key": "mine", "payment_attempt_id": str(paid["id"])}

    assert giving.refund(**asked)["status"] == "created"
    assert giving.house.gateway.asked == 0
    giving.house.wait(3600)
    assert giving.refund(**asked)["status"] == "succeeded"


def the_refund(shop: Shop) -> UUID:
    (row,) = shop.read("select id from refunds")
    found: UUID = row["id"]
    return found
