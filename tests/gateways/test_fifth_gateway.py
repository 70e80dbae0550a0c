"""A gateway is added by dropping in its files: nothing else is edited, nothing is registered."""

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from gateway_bench import PROGRAM, ROOT, Receiver, Server, wait_for

from app import gateways
from app.errors import GatewayUnavailableError
from app.gateways import (
    Charge,
    Delivery,
    Gateway,
    Money,
    Notice,
    Outcome,
    Query,
    RefundOrder,
    Subject,
)

FIFTH = Path(__file__).parent / "fifth"
SECRET = "a-secret-of-pigeons-for-the-tests"
SECONDS_MAX = 500
DROPPED_IN = f"""
from sandbox import gateways
gateways.__path__.append({str(FIFTH / "sandbox")!r})
"""


def promises(**environ: str) -> subprocess.CompletedProcess[str]:
    """Run the suite of promises on the fifth gateway, in a process that finds it."""
    options = ("-q", "-p", "drop_in", "-p", "no:randomly", "-n", "0", "-k", "pigeon")
    return subprocess.run(
        [sys.executable, "-m", "pytest", *options, "tests/gateways/test_promises.py"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": f"{ROOT}:{FIFTH}", **environ},
        capture_output=True,
        text=True,
        timeout=SECONDS_MAX,
        check=False,
    )


@pytest.mark.timeout(SECONDS_MAX)
def test_a_fifth_gateway_is_held_to_every_promise() -> None:
    run = promises(MUNIM_SAMPLES=str(FIFTH / "samples"))
    summary = run.stdout.splitlines()[-1]

    assert run.returncode == 0, run.stdout
    assert int(summary.split(" passed")[0]) > 100
    assert "skipped" not in summary


@pytest.mark.timeout(SECONDS_MAX)
def test_a_fifth_gateway_without_samples_fails() -> None:
    run = promises()

    assert run.returncode == 1
    assert "pigeon has no samples" in run.stdout


@dataclass(frozen=True)
class Flock:
    gateway: Gateway
    server: Server
    receiver: Receiver

    def told(self, about: str, subject: Subject) -> Notice:
        """Wait for the first webhook about something, and read it."""

        def read() -> Notice | None:
            came = [Delivery(one.headers, one.body) for one in self.receiver.about(about)]
            every = [self.gateway.read(one, datetime.now(UTC)) for one in came]
            return next((one for one in every if one.subject is subject), None)

        return wait_for(read, f"a webhook about {about}")


@pytest.fixture
def pigeon(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Flock]:
    """The fifth gateway before its simulator, in the same server as all the others."""
    monkeypatch.setattr(gateways, "__path__", [*gateways.__path__, str(FIFTH / "app")])
    receiver = Receiver()
    http = receiver.start()
    options = ("--webhook", f"pigeon={receiver.url}", "--secret", f"pigeon={SECRET}")
    server = Server(tmp_path, program=DROPPED_IN + PROGRAM, options=options)
    settings = {
        "PIGEON_SECRET_KEY": "a-key-of-pigeons",
        "PIGEON_WEBHOOK_SECRET": SECRET,
        "PIGEON_API_URL": f"{server.url}/pigeon",
    }
    gateway: Any = gateways.finder(settings)("pigeon")
    yield Flock(gateway, server, receiver)
    gateway.http.close()
    server.stop()
    http.shutdown()
    http.server_close()
    sys.modules.pop("app.gateways.pigeon", None)


def order() -> Charge:
    return Charge(
        id=str(uuid4()),
        amount=Money(250_000, "INR"),
        title="Grain",
        email="asha@example.com",
        success_url="http://shop.example/ok",
        cancel_url="http://shop.example/no",
        expires_at=datetime.now(UTC),
    )


def test_a_fifth_gateway_takes_money_and_gives_it_back(pigeon: Flock) -> None:
    charge = order()
    page = pigeon.gateway.open(charge)
    pigeon.server.control(f"/pigeon/tickets/{page.reference}/pay", {})
    found = pigeon.gateway.find(Query(charge.id, datetime.now(UTC), page.reference))
    assert found is not None
    assert found.gateway_payment_id is not None
    refund = RefundOrder(str(uuid4()), found.gateway_payment_id, Money(1000, "INR"), "duplicate")
    answered = pigeon.gateway.refund(refund)

    assert (found.outcome, found.captured_amount) == (Outcome.PAID, charge.amount)
    assert answered.outcome is Outcome.SUCCEEDED
    assert answered == pigeon.gateway.find_refund(refund.id, refund.gateway_payment_id)
    assert pigeon.told(charge.id, Subject.PAYMENT).outcome is Outcome.PAID
    assert pigeon.told(refund.id, Subject.REFUND).outcome is Outcome.SUCCEEDED


def test_faults_reach_a_fifth_gateway(pigeon: Flock) -> None:
    fault = {"gateway": "pigeon", "operation": "tickets.open", "kind": "lost_answer"}
    pigeon.server.control("/faults", fault)
    charge = order()
    with pytest.raises(GatewayUnavailableError):
        pigeon.gateway.open(charge)

    assert pigeon.gateway.open(charge).reference == charge.id


def test_a_fifth_gateway_stands_in_the_list_beside_the_others(pigeon: Flock) -> None:
    assert {"pigeon", "stripe"} <= set(gateways.names())
    assert "Pigeon" in pigeon.server.http.request("GET", pigeon.server.url, timeout=10).text
