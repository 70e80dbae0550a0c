"""Hundreds of simulated payments with everything going wrong, and a judge who notices."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from queue import SimpleQueue

import psycopg
import pytest
from gateways.world import Payer, Refunds
from simulation import dice
from simulation.run import Run, Task, Told, work
from simulation.wires import at_once

from sandbox import seeds, world
from sandbox.signals import STOPPING

ROOT = Path(__file__).parents[2]
PATHS = os.pathsep.join(map(str, (ROOT, ROOT / "tests", ROOT / "tests" / "sandbox" / "gateways")))
SEED = 20261121

# Bugs that others have had, put into the database of the service.
FAILED_IS_FINAL = "delete from payment_attempt_steps where before in ('failed', 'expired')"
LOST_IS_FAILED = """
delete from refund_steps where before = 'failed';
create or replace function mark_refund_unknown(
    hasura_session json, p_refund_id uuid, p_failure_message text, p_is_silent boolean default true
) returns setof refunds
language plpgsql volatile security definer
set search_path = public, pg_temp
as $$
begin
    perform move_refund(refunds, 'failed', '{}', clock_now())
    from refunds where id = p_refund_id and status = 'created';
    return query select * from refunds where id = p_refund_id;
end;
$$;
"""
NOBODY_IS_ASKED = """
create or replace function claim_dispute_check(
    hasura_session json, p_gateway text, p_asked_before timestamptz
) returns setof disputes
language sql volatile security definer
as $$ select * from disputes where false $$;
"""


@pytest.fixture
def city(database: str) -> str:
    """The URL of a database with the service's schema and seeds."""
    seeds.apply(database, world.SEEDS)
    return database


def play(url: str, folder: Path, payments: int, waves: int = 2) -> Told:
    task = Task(SEED, 0, payments, payments // waves, url, folder)
    return Run(task, lambda _: None).play()


@pytest.mark.timeout(900)
def test_four_hundred_payments_end_the_same_in_both_books_within_a_day(city, tmp_path) -> None:
    told = play(city, tmp_path, payments=400)

    assert told.faults == []
    assert told.payments == 400
    assert told.slowest.keys() >= {"payment", "refund"}
    seen = (
        *("answers lost before the effect", "answers lost after the effect", "late effects"),
        *("webhooks never sent", "webhooks sent twice", "webhooks delayed"),
        *("of them surplus", "refunds sent", "refunds made at gateways", "disputes"),
        "payments of orders called off",
    )
    assert {name: told.counts[name] for name in seen if not told.counts[name]} == {}


# Which payers meet the bug, by the name of their weights: enough of them for any dice.
LATE = {"PAYERS": {Payer.PAYS: 1, Payer.FAILS_THEN_PAYS_LATE: 1}}
SENT_BACK = {"ASKED_BACK": {(100,): 1, (30, 30): 1}}


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("bug", "met_by", "said"),
    [
        (FAILED_IS_FINAL, LATE, "which is in no book"),
        (LOST_IS_FAILED, SENT_BACK, "is failed, and"),
    ],
    ids=["failed is final", "a lost answer is a failure"],
)
def test_the_judge_sees_a_bug_that_was_planted(
    city, tmp_path, monkeypatch, bug, met_by, said
) -> None:
    for name, weights in met_by.items():
        monkeypatch.setattr(dice, name, weights)
    with psycopg.connect(city) as connection:
        connection.execute(bug)

    told = play(city, tmp_path, payments=100)
    assert [fault for fault in told.faults if said in fault]


@pytest.fixture
def quarrels(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every payment that goes well is disputed, and a third of all webhooks are lost."""
    monkeypatch.setattr(dice, "DISPUTED", 100)
    monkeypatch.setattr(dice, "NEVER_SENT", 30)


@pytest.mark.timeout(600)
@pytest.mark.usefixtures("quarrels")
def test_disputes_end_the_same_in_both_books_within_a_day(city, tmp_path) -> None:
    told = play(city, tmp_path, payments=90, waves=1)

    assert told.faults == []
    assert told.counts["disputes"] > 30
    assert told.counts["disputes no webhook told of"] < told.counts["disputes"] / 4
    assert told.slowest["dispute"] > 0  # some were found by asking


@pytest.mark.timeout(600)
@pytest.mark.usefixtures("quarrels")
def test_the_judge_sees_that_nobody_asks_about_open_disputes(city, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(dice, "GATEWAYS", {"cashfree": 1})
    monkeypatch.setattr(dice, "PAYERS", {Payer.PAYS: 1})
    monkeypatch.setattr(dice, "NEVER_SENT", 60)  # of some disputes every word but the first
    with psycopg.connect(city) as connection:
        connection.execute(NOBODY_IS_ASKED)

    told = play(city, tmp_path, payments=80, waves=1)
    assert [fault for fault in told.faults if "; here opened" in fault]


@pytest.mark.timeout(600)
def test_parts_sent_back_in_the_dashboard_of_any_gateway_are_found_within_a_day(
    city, tmp_path, monkeypatch
) -> None:
    monkeypatch.setattr(dice, "SENT_BACK_THERE", 100)
    monkeypatch.setattr(dice, "PAYERS", {Payer.PAYS: 1})
    monkeypatch.setattr(dice, "REFUNDS", {Refunds.SUCCEED: 1})

    told = play(city, tmp_path, payments=80, waves=1)

    made = {one: told.counts[f"refunds in the dashboard of {one}"] for one in dice.GATEWAYS}
    assert told.faults == []
    assert min(made.values()) > 3, made
    assert told.counts["refunds made at gateways"] == sum(made.values())


def test_a_seed_repeats_its_payers() -> None:
    plans = [dice.plan(1, number) for number in range(500)]

    assert [dice.plan(1, number) for number in range(500)] == plans
    assert [dice.plan(2, number) for number in range(500)] != plans
    assert {plan.gateway for plan in plans} == set(dice.GATEWAYS)
    assert {plan.how for plan in plans} == set(dice.PAYERS)


def test_what_waits_is_not_run_without_an_event_loop() -> None:
    async def waits() -> None:
        await asyncio.sleep(0)

    with pytest.raises(RuntimeError, match="waits"):
        at_once(waits())


def test_a_worker_hears_a_signal_that_its_other_thread_took(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    heard, stopped = threading.Event(), []

    def play(_: Run) -> None:
        time.sleep(0.3)  # until the first thread waits
        signal.pthread_kill(threading.get_ident(), signal.SIGTERM)
        stopped.append(heard.wait(10))

    monkeypatch.setattr(Run, "play", play)
    monkeypatch.setattr(Run, "stop", lambda *_: heard.set())
    before = {number: signal.getsignal(number) for number in STOPPING}
    try:
        work(Task(1, 0, 1, 1, "", tmp_path), SimpleQueue())
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

    assert stopped == [True]


@pytest.mark.timeout(300)
@pytest.mark.parametrize("stopping", [signal.SIGINT, signal.SIGTERM])
def test_the_command_may_be_stopped_and_tells_what_it_has_seen(stopping: signal.Signals) -> None:
    command = [sys.executable, "-m", "simulation", "--payments", "9000", "--wave", "30"]
    with subprocess.Popen(
        [*command, "--workers", "1", "--seed", "5"],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": PATHS},
        start_new_session=True,
        text=True,
    ) as process:
        assert process.stdout
        while not re.match("[1-9][0-9]* of", process.stdout.readline()):
            assert process.poll() is None
        os.killpg(process.pid, stopping)
        said = process.stdout.read()

    assert process.returncode == 0, said
    assert "Stopped before its end" in said
    assert "make sim-payments PAYMENTS=9000 SEED=5" in said
