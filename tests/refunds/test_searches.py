"""What was given back past us: its payment's refunds are asked for, and what is new is booked."""

import json
from typing import Any

import psycopg
import pytest
from books import broken_invariants, settle
from in_process import CrashError, House
from money_back import Desk, listed
from psycopg.rows import dict_row

from app.errors import GatewaySilentError
from app.gateways import Capability, Delivery, Finding, Money, Outcome, RefundOrder, Subject
from app.gateways.payu import Adapter, Settings, references
from app.payments import webhooks
from app.refunds import crons

KEY = "payu_test_key"
HALF_AN_HOUR, HOUR, DAY = 1800, 3600, 86400
NOTHING = {"asked": 0, "answered": 0}
ONE = {"asked": 1, "answered": 1}


class PayU:
    """PayU's door, and a list of a payment's refunds there."""

    name = "payu"
    capabilities = frozenset({Capability.REFUNDS})
    messages_are_hints = True

    def __init__(self, house: "Bazaar") -> None:
        self.house = house
        self.adapter = Adapter(Settings(KEY, ("payu-test-salt-0001",)))
        self.listed: list[Finding] = []
        self.asked = 0
        self.is_silent = False

    def read(self, *message: Any) -> Any:
        return self.adapter.read(*message)

    def find_refunds(self, gateway_payment_id: str) -> list[Finding]:
        self.asked += 1
        return self.house.fault.around(
            "gateway.find_refunds", lambda: self._list(gateway_payment_id)
        )

    def _list(self, gateway_payment_id: str) -> list[Finding]:
        if self.is_silent:
            raise GatewaySilentError("no answer")
        return [one for one in self.listed if one.gateway_payment_id == gateway_payment_id]

    def find_refund(self, *_: str) -> None:
        """Know none of ours."""

    def refund(self, order: RefundOrder) -> Finding:
        return order.answered(Outcome.FAILED, "105", "the amount is not valid")


class Bazaar(House):
    """A purchase that was paid at PayU."""

    def __post_init__(self) -> None:
        super().__post_init__()
        with psycopg.connect(self.url, row_factory=dict_row) as db:
            desk = Desk(db, settle(db).session)
            self.paid = desk.paid()
            self.session = desk.session | {"x-hasura-actor-role": "finance"}
            self.txnid = references.txnid(str(self.paid["payment_attempt_id"]))
            db.execute(
                "update payment_attempts set gateway = 'payu', gateway_payment_id = %s",
                [self.txnid],
            )
        self.payu = PayU(self)

    def peer(self) -> Any:
        return self.payu

    def give_back(
        self, amount: int = 1000, outcome: Outcome = Outcome.SUCCEEDED, name: str = "11000001"
    ) -> None:
        """Somebody refunds in PayU's dashboard."""
        self.payu.listed = [one for one in self.payu.listed if one.gateway_refund_id != name]
        self.payu.listed.append(
            Finding(
                subject=Subject.REFUND,
                outcome=outcome,
                payment_attempt_id=str(self.paid["payment_attempt_id"]),
                gateway_payment_id=self.txnid,
                gateway_refund_id=name,
                amount=Money(amount, "USD"),
            )
        )

    def tell(self, name: str = "11000001") -> None:
        """PayU's webhook about it, which nobody signs."""
        said = {
            "action": "refund",
            "key": KEY,
            "merchantTxnId": self.txnid,
            "token": "4711",
            "status": "success",
            "request_id": name,
            "amt": "10.00",
        }
        webhooks.receive(self.ctx, "payu", Delivery({}, json.dumps(said).encode()))

    def tick(self) -> dict[str, int]:
        return crons.check_refunds(self.ctx)

    def rows(self, query: str) -> list[dict[str, Any]]:
        with psycopg.connect(self.url, row_factory=dict_row) as db:
            return db.execute(query).fetchall()

    def refunds(self) -> list[tuple[str, int, str]]:
        rows = self.rows("select * from refunds order by created_at")
        return [(row["requested_by"], row["amount"], row["status"]) for row in rows]

    def list(self) -> set[str]:
        with psycopg.connect(self.url, row_factory=dict_row) as db:
            assert broken_invariants(db) == {}
            return listed(db)


BOOKED = [("gateway", 1000, "succeeded")]


@pytest.fixture
def bazaar(database: str) -> Bazaar:
    return Bazaar(database, {})


def test_what_the_dashboard_gave_back_is_booked_within_a_minute_and_once(bazaar: Bazaar) -> None:
    bazaar.give_back()
    for _ in range(2):
        bazaar.tell()
    assert bazaar.refunds() == []

    assert [bazaar.tick(), bazaar.tick()] == [ONE, NOTHING]
    assert bazaar.refunds() == BOOKED
    bazaar.tell()  # PayU says it again
    assert (bazaar.tick(), bazaar.payu.asked) == (NOTHING, 1)
    assert bazaar.list() == set()


def test_of_what_nobody_spoke_of_nobody_is_asked(bazaar: Bazaar) -> None:
    bazaar.give_back()
    bazaar.wait(40 * DAY)

    assert (bazaar.tick(), bazaar.payu.asked) == (NOTHING, 0)


def test_what_was_made_up_is_asked_about_twice_and_books_nothing(bazaar: Bazaar) -> None:
    bazaar.tell()
    counted = []
    for _ in range(5):
        counted.append(bazaar.tick()["asked"])
        bazaar.wait(HOUR)

    assert counted == [1, 1, 0, 0, 0]
    assert (bazaar.refunds(), bazaar.list()) == ([], set())


def test_a_list_that_lags_is_read_again_an_hour_later(bazaar: Bazaar) -> None:
    bazaar.tell()
    bazaar.tick()
    bazaar.give_back()
    bazaar.wait(HOUR)

    assert bazaar.tick() == ONE
    assert bazaar.refunds() == BOOKED


def test_no_stranger_has_payu_asked_more_often_than_every_five_minutes(bazaar: Bazaar) -> None:
    for number in range(20):
        bazaar.tell(f"{number}")
        bazaar.tick()
        bazaar.wait(60)

    assert bazaar.payu.asked == 4


def test_what_is_spoken_of_while_the_list_is_read_is_asked_about_again(bazaar: Bazaar) -> None:
    bazaar.tell()
    (claimed,) = bazaar.ctx.hasura.run("ClaimRefundSearches", limit=1, paused=[])
    bazaar.wait(1)
    bazaar.give_back()
    bazaar.tell()
    bazaar.ctx.hasura.run("EndRefundSearch", attemptId=claimed["id"], isFound=True)
    bazaar.wait(300)

    assert bazaar.tick() == ONE
    assert bazaar.refunds() == BOOKED


def test_after_a_week_of_silence_a_person_looks_and_an_answer_takes_it_off(bazaar: Bazaar) -> None:
    bazaar.give_back()
    bazaar.tell()
    bazaar.payu.is_silent = True
    for _ in range(8):
        assert bazaar.list() == set()
        bazaar.tick()
        bazaar.wait(DAY)
    assert bazaar.tick() == NOTHING
    assert bazaar.list() == {"unconfirmed-refund"}

    bazaar.payu.is_silent = False
    bazaar.tell()
    bazaar.tick()
    assert (bazaar.refunds(), bazaar.list()) == (BOOKED, set())


CALLS = ["ClaimRefundSearches", "gateway.find_refunds", "KnownRefunds"]
CALLS += ["ReceiveGatewayEvent", "EndRefundSearch"]


@pytest.mark.parametrize("is_after", [False, True])
@pytest.mark.parametrize("at", range(2, len(CALLS) + 2))
def test_wherever_the_cron_dies_the_next_one_books_it_once(
    bazaar: Bazaar, at: int, is_after: bool
) -> None:
    bazaar.give_back()
    bazaar.tell()
    bazaar.plan(at, is_after=is_after)
    with pytest.raises(CrashError):
        bazaar.tick()
    assert bazaar.fault.calls == ["ClaimRefundChecks", *CALLS][:at]

    bazaar.plan(0, is_after=False)
    bazaar.wait(HALF_AN_HOUR)
    bazaar.tick()
    assert (bazaar.refunds(), bazaar.list()) == (BOOKED, set())


@pytest.mark.parametrize("end", [Outcome.SUCCEEDED, Outcome.FAILED])
def test_one_that_is_on_its_way_is_followed_to_its_end(bazaar: Bazaar, end: Outcome) -> None:
    bazaar.give_back(outcome=Outcome.PENDING)
    bazaar.tell()
    bazaar.tick()
    assert bazaar.refunds() == [("gateway", 1000, "pending")]

    bazaar.give_back(outcome=end)
    bazaar.wait(31)
    assert bazaar.tick() == ONE
    assert bazaar.refunds() == [("gateway", 1000, str(end))]
    assert bazaar.list() == set()


@pytest.mark.parametrize("days", [1, 7, 30])
def test_one_that_came_back_later_is_found_within_a_month(bazaar: Bazaar, days: int) -> None:
    bazaar.give_back()
    bazaar.tell()
    bazaar.tick()
    for day in range(1, 31):
        bazaar.wait(DAY)
        if day == days:
            bazaar.give_back(outcome=Outcome.FAILED)
        bazaar.tick()

    assert bazaar.refunds() == [("gateway", 1000, "failed")]
    assert bazaar.list() == {"refund-failed"}


def test_a_refund_that_is_refused_has_the_one_found_that_was_made_before(bazaar: Bazaar) -> None:
    """Nobody told of it: all has gone back at PayU, where our books have all of it yet."""
    bazaar.give_back(2500)
    with psycopg.connect(bazaar.url, row_factory=dict_row) as db:
        desk = Desk(db, bazaar.session)
        desk.refund(bazaar.paid["payment_intent_id"])
        db.execute("update refunds set gateway = 'payu'")
    bazaar.wait(31)
    assert bazaar.tick() == {"asked": 2, "answered": 2}
    refused, found = bazaar.refunds()
    assert refused[1:] == (2500, "failed")
    assert found == ("gateway", 2500, "succeeded")
    assert bazaar.list() == set()
