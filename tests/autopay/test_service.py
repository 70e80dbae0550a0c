"""The crons and the actions as the service runs them, and what becomes of them when it dies."""

import json

import pytest
from in_process import CrashError
from payers import Town

from app.autopay.actions import cancel_autopay, pause_autopay, resume_autopay, setup_autopay
from app.autopay.crons import check_autopay_setups, run_autopay
from app.autopay.schemas import MandateSchema, SetupAutopaySchema
from app.errors import (
    AutopayEndedError,
    CheckoutExpiredError,
    GatewayRefusedError,
    IdempotencyKeyReusedError,
)
from app.gateways import Finding, Outcome, Subject

DUE = "2027-06-15T09:00Z"


@pytest.fixture
def town(database: str) -> Town:
    return Town(database, payers=3)


def test_everybody_is_charged_once_however_often_the_crons_tick(town: Town) -> None:
    town.at(DUE)
    assert town.tick() == {"claimed": 3, "paid": 3}
    assert town.tick() == {}

    town.check()
    assert len(town.bank.asked) == 3


@pytest.fixture
def one_by_one(monkeypatch) -> None:
    """Keep each answer in a call of its own, so that calls can be counted."""
    monkeypatch.setattr("app.autopay.keeping.ANSWERS", 1)


@pytest.mark.usefixtures("one_by_one")
def test_a_batch_takes_three_calls_and_one_for_each_charge(town: Town) -> None:
    town.at(DUE)
    town.tick()

    calls = town.fault.calls
    assert calls.count("ClaimAutopayCharges") == 2  # the last finds nothing
    assert calls.count("BeginAutopayAttempts") == 1
    assert calls.count("ReceiveGatewayEvent") == calls.count("gateway.charge") == 3
    assert len(calls) == 2 + 2 + 1 + 3 + 3


CALLS = 2 + 2 + 1 + 3 + 3


@pytest.mark.usefixtures("one_by_one")
@pytest.mark.parametrize("is_after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("call", range(1, CALLS + 1))
def test_the_service_may_die_at_any_call(town: Town, call: int, *, is_after: bool) -> None:
    town.at(DUE)
    town.plan(call, is_after=is_after)
    with pytest.raises(CrashError):
        town.tick()
    assert len(town.bank.payments) <= 3

    town.plan(0, is_after=False)
    town.tick()  # at once: what is leased is left alone
    town.at("2027-06-15T09:05Z")
    town.tick()

    town.check()
    ids = {charge.id for charge in town.bank.asked}
    assert len(ids) == 3  # each was asked about under one key only


@pytest.mark.usefixtures("one_by_one")
@pytest.mark.parametrize("first", range(1, CALLS + 1, 3))
@pytest.mark.parametrize("second", range(1, CALLS + 1, 2))
def test_the_service_may_die_twice(town: Town, first: int, second: int) -> None:
    for call, moment in ((first, DUE), (second, "2027-06-15T09:05Z")):
        town.at(moment)
        town.plan(call, is_after=True)
        try:
            town.tick()
        except CrashError:
            continue
    town.plan(0, is_after=False)
    town.at("2027-06-15T09:10Z")
    town.tick()

    town.check()
    assert len({charge.id for charge in town.bank.asked}) == 3


@pytest.mark.parametrize("silence", ["before", "after"])
def test_a_silent_gateway_is_asked_again_under_the_same_keys(town: Town, silence: str) -> None:
    town.at(DUE)
    town.bank.silence = silence
    assert town.tick() == {"claimed": 3, "silent": 3}
    assert town.count("payment_attempts where status = 'unknown'") == 3
    assert town.tick() == {}

    town.bank.silence = None
    town.at("2027-06-15T09:02Z")
    assert town.tick() == {"claimed": 3, "paid": 3}
    town.check()


def test_one_charge_that_waits_alone_is_locked_in_order(database: str) -> None:
    """Nothing runs beside it, so that its locks are read from the journal: see conftest."""
    town = Town(database, payers=1)
    town.at(DUE)
    town.bank.silence = "before"

    assert town.tick() == {"claimed": 1, "silent": 1}


def test_a_gateway_that_answers_again_is_asked_for_all_that_waited(town: Town) -> None:
    town.at(DUE)
    with town.connect() as db:
        db.execute(
            "insert into gateway_circuits (gateway, livemode, operation, failures, opened_at)"
            " values ('stripe', false, 'charge', 5, clock_now() - interval '31 seconds')"
        )

    assert town.tick() == {"claimed": 3, "paid": 3}
    assert town.fault.calls.count("ClaimAutopayCharges") == 3  # a probe, the others, and none
    town.check()


def test_a_refusal_of_the_gateway_is_a_failed_try(town: Town, monkeypatch) -> None:
    def refuse(_: object) -> Finding:
        raise GatewayRefusedError("no such customer")

    monkeypatch.setattr(town.bank, "charged", refuse)
    town.at(DUE)
    town.tick()

    assert town.count("autopay_charges where status = 'due' and tries = 1") == 3
    assert town.count("payment_attempts where decline_class = 'gateway'") == 3


def test_one_broken_charge_stops_no_other(town: Town, monkeypatch) -> None:
    charge = town.bank.charged

    def break_first(saved: object) -> Finding:
        if not town.bank.asked:
            town.bank.asked.append(saved)
            raise ZeroDivisionError
        return charge(saved)

    monkeypatch.setattr(town.bank, "charged", break_first)
    monkeypatch.setattr("app.autopay.charging.WORKERS", 1)
    town.at(DUE)

    assert town.tick() == {"claimed": 3, "broken": 1, "paid": 2}


def test_what_time_does_not_allow_is_left_to_the_next_tick(town: Town, monkeypatch) -> None:
    monkeypatch.setattr("app.autopay.charging.WORKERS", 1)
    has_time = iter([True, False, False, False])
    monkeypatch.setattr("app.http.has_time", lambda: next(has_time))
    town.at(DUE)
    done = town.tick()
    monkeypatch.undo()

    assert done == {"claimed": 3, "paid": 1, "unsent": 2}
    assert run_autopay(town.context()) == {"claimed": 2, "paid": 2}
    town.check()


def test_batch_follows_batch_and_everybody_is_charged_once(town: Town, monkeypatch) -> None:
    monkeypatch.setattr("app.autopay.crons.BATCH", 1)
    town.at(DUE)

    assert town.tick() == {"claimed": 3, "paid": 3}
    assert town.fault.calls.count("BeginAutopayAttempts") == len(town.bank.asked) == 3
    town.check()


def test_what_was_begun_for_a_silent_gateway_is_given_back(town: Town, monkeypatch) -> None:
    monkeypatch.setattr("app.autopay.crons.BATCH", 1)
    town.bank.silence = "before"
    town.at(DUE)
    assert town.tick() == {"claimed": 1, "silent": 1}
    assert town.fault.calls.count("ReleaseAutopayCharges") == 1

    town.bank.silence = None
    assert run_autopay(town.context()) == {"claimed": 2, "paid": 2}
    town.at("2027-06-15T09:02Z")
    town.tick()
    town.check()


@pytest.mark.parametrize("is_after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("call", range(2, 14))
def test_the_service_may_die_while_the_next_batch_is_begun(
    town: Town, monkeypatch, call: int, *, is_after: bool
) -> None:
    monkeypatch.setattr("app.autopay.crons.BATCH", 1)
    town.at(DUE)
    town.plan(call, is_after=is_after)
    with pytest.raises(CrashError):
        town.tick()

    town.plan(0, is_after=False)
    town.tick()
    town.at("2027-06-15T09:05Z")
    town.tick()
    town.check()
    assert len({charge.id for charge in town.bank.asked}) == 3


def set_up(town: Town, **changes: object) -> dict[str, object]:
    asked = {"amount": 100, "day_of_month": 1}  # the body of Tiger Campus's own document
    return setup_autopay(town.context(), SetupAutopaySchema().load(asked | changes))


def test_a_setup_answers_the_gateways_page(town: Town) -> None:
    answer = set_up(town)

    assert answer["checkout_url"] == f"https://pay.example/{answer['autopay_mandate_id']}"
    assert (answer["status"], answer["amount"], answer["day_of_month"]) == (
        "pending_setup",
        "100",
        "1",
    )
    (setup,) = town.bank.setups.values()
    assert setup.success_url.startswith("https://shop.example/autopay-success?session_id=")
    assert setup.gateway_customer_id == f"cus_{town.tenant.customer_id}"  # known from before
    json.dumps(answer)


def test_the_same_setup_is_the_same_page(town: Town) -> None:
    first = set_up(town, idempotency_key="k")

    assert set_up(town, idempotency_key="k") == first
    assert len(town.bank.setups) == 1
    with pytest.raises(IdempotencyKeyReusedError):
        set_up(town, idempotency_key="k", amount=200)


@pytest.mark.parametrize("is_after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("call", [1, 2, 3])
def test_a_setup_may_die_at_any_call(town: Town, call: int, *, is_after: bool) -> None:
    town.plan(call, is_after=is_after)
    with pytest.raises(CrashError):
        set_up(town, idempotency_key="k")
    town.plan(0, is_after=False)
    answer = set_up(town, idempotency_key="k")

    assert list(town.bank.setups) == [answer["autopay_mandate_id"]]
    assert town.count("autopay_mandates where status = 'pending_setup'") == 1


def test_a_setup_that_the_gateway_refuses_is_over(town: Town) -> None:
    town.bank.refusal = GatewayRefusedError("not in this currency")
    with pytest.raises(GatewayRefusedError):
        set_up(town, idempotency_key="k")

    assert town.count("autopay_mandates where status = 'failed'") == 1
    with pytest.raises(CheckoutExpiredError):
        set_up(town, idempotency_key="k")


def test_a_page_that_has_closed_takes_a_new_key(town: Town) -> None:
    set_up(town, idempotency_key="k")
    town.at("2027-06-02T12:00Z")

    with pytest.raises(CheckoutExpiredError):
        set_up(town, idempotency_key="k")
    assert set_up(town, idempotency_key="k2")["status"] == "pending_setup"


@pytest.mark.parametrize("found", ["saved", "failed", "nothing"])
def test_a_lost_message_about_a_page_is_asked_for(town: Town, found: str) -> None:
    answer = set_up(town)
    mandate_id = str(answer["autopay_mandate_id"])
    if found != "nothing":
        town.bank.saved[mandate_id] = Finding(
            subject=Subject.SETUP,
            outcome=Outcome.SUCCEEDED if found == "saved" else Outcome.FAILED,
            autopay_mandate_id=mandate_id,
            gateway_customer_id="cus_1",
            gateway_payment_method_id="pm_1",
        )
    town.at("2027-06-02T12:00Z")

    assert check_autopay_setups(town.context()) == {"asked": 1, "answered": 1}
    assert check_autopay_setups(town.context()) == {"asked": 0, "answered": 0}
    status = "active" if found == "saved" else "failed"
    assert town.count(f"autopay_mandates where id = '{mandate_id}' and status = '{status}'") == 1


def test_a_customer_pauses_resumes_and_cancels(town: Town) -> None:
    with town.connect() as db:
        row = db.execute(
            "select id from autopay_mandates where customer_id = %s", [town.tenant.customer_id]
        ).fetchone()
    request = MandateSchema().load({"autopay_mandate_id": str(row["id"])})

    assert pause_autopay(town.context(), request)["status"] == "paused"
    assert str(resume_autopay(town.context(), request)["next_due_on"]) == "2027-06-15"
    assert cancel_autopay(town.context(), request) == {
        "autopay_mandate_id": str(row["id"]),
        "status": "canceled",
        "next_due_on": None,
    }
    with pytest.raises(AutopayEndedError):
        resume_autopay(town.context(), request)


@pytest.mark.parametrize(
    "wrong",
    [
        {"day_of_month": 0},
        {"day_of_month": 32},
        {"day_of_month": 1.5},
        {"day_of_month": "1"},
        {"day_of_month": None},
        {"amount": 25.0},
        {"amount": True},
        {"amount": "1e3"},
        {"currency": "usd"},
        {"idempotency_key": ""},
        {"email": "eve@example.com"},
    ],
)
def test_what_is_no_setup_is_refused(wrong: dict[str, object]) -> None:
    errors = SetupAutopaySchema().validate({"amount": 100, "day_of_month": 1} | wrong)

    assert set(errors) == set(wrong)
