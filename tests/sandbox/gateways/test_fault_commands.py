"""`python -m sandbox faults` against running simulators, and what it says where there are none."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import requests
from gateway_bench import Bench, Server
from ports import free_port

from sandbox import commands, running
from sandbox.fault_commands import MEANINGS
from sandbox.faults import Kind
from sandbox.world import Ports

Faults = Callable[..., str]


@pytest.fixture
def faults(
    bench: Bench, server: Server, state: Path, capsys: pytest.CaptureFixture[str]
) -> Iterator[Faults]:
    """Run the command as in a second terminal, and give what it printed."""
    del bench  # clears the faults afterwards
    state.mkdir()
    running.note(state, running.Running(Ports(gateways=server.port), "postgresql://unused"))

    def run(*words: str) -> str:
        commands.main(["--state", str(state), "faults", *words])
        return capsys.readouterr().out

    yield run
    running.forget(state)


def refused(faults: Faults, *words: str) -> str:
    with pytest.raises(SystemExit) as end:
        faults(*words)
    assert end.value.code not in {0, None}
    return str(end.value.code)


def in_force(server: Server) -> list[dict[str, object]]:
    return server.control("/faults", method="GET")["faults"]


def test_a_fault_that_is_set_is_listed_and_cleared(faults: Faults, server: Server) -> None:
    assert faults() == "no faults\n"
    said = faults("set", "stripe", "lost_answer", "--operation", "refunds.create", "--times", "2")

    assert said == "stripe refunds.create: lost_answer, 2 times: it happens, and no answer comes\n"
    assert faults() == said
    assert faults("clear") == "1 cleared\n"
    assert in_force(server) == []


def test_a_fault_that_is_set_spoils_the_call(faults: Faults, server: Server) -> None:
    faults("set", "stripe", "error_500", "--operation", "balance.*")

    assert server.raw("GET", "/v1/balance").status_code == 500
    assert server.raw("GET", "/v1/balance").status_code == 200
    assert faults() == "no faults\n"


def test_an_outage_lasts_until_it_is_cleared(faults: Faults, server: Server) -> None:
    assert ", always: " in faults("set", "stripe", "refuse", "--always")
    for _ in range(2):
        with pytest.raises(requests.ConnectionError):
            server.raw("GET", "/v1/balance")
    faults("clear")

    assert server.raw("GET", "/v1/balance").status_code == 200


@pytest.mark.parametrize("operation", ["refund.failed", "webhook:refund.failed"])
def test_a_fault_of_webhooks_names_their_type(
    faults: Faults, server: Server, operation: str
) -> None:
    faults("set", "*", "wrong_amount", "--operation", operation, "--n", "7")

    (found,) = in_force(server)
    assert (found["operation"], found["n"], found["times"]) == ("webhook:refund.failed", 7, 1)


def test_held_webhooks_are_sent_in_the_order_that_is_asked_for(
    faults: Faults, server: Server, bench: Bench
) -> None:
    faults("set", "stripe", "hold", "--always")
    for _ in range(2):
        bench.charge()
    faults("clear")  # from here on nothing more is held
    log = server.control("/deliveries?limit=9999", method="GET")["deliveries"]
    held = [one["id"] for one in log if one["state"] == "held"]
    assert len(held) >= 2

    assert faults("release", "--newest-first") == f"{len(held)} released\n"
    log = server.control("/deliveries?limit=9999", method="GET")["deliveries"]
    sent = sorted(
        (one for one in log if one["id"] in held), key=lambda one: one["attempts"][0]["at"]
    )
    assert [one["id"] for one in sent] == sorted(held, reverse=True)
    assert faults("release") == "0 released\n"


def test_every_kind_can_be_set_and_says_what_it_does(faults: Faults, server: Server) -> None:
    for kind in Kind:
        line = faults("set", "cashfree", kind, "--seconds", "3", "--n", "4")
        assert kind in line
        assert "--seconds" not in line
        assert "--n " not in line
    assert len(in_force(server)) == len(Kind) == len(MEANINGS)


def test_what_makes_no_sense_is_refused_in_a_line(faults: Faults, server: Server) -> None:
    assert "no gateway is called paypal" in refused(faults, "set", "paypal", "refuse")
    assert "times must be a whole number" in refused(
        faults, "set", "stripe", "refuse", "--times", "0"
    )
    assert refused(faults, "set", "stripe", "explode") == "2"
    assert in_force(server) == []


def test_a_sandbox_that_does_not_run_is_told_in_a_line(tmp_path: Path) -> None:
    with pytest.raises(SystemExit) as end:
        commands.main(["--state", str(tmp_path), "faults"])
    assert "no sandbox runs in" in str(end.value.code)

    note = {"ports": {"gateways": free_port()}, "database_url": "postgresql://unused"}
    (tmp_path / "running.json").write_text(json.dumps(note))
    with pytest.raises(SystemExit) as end:
        commands.main(["--state", str(tmp_path), "faults", "clear"])
    assert "are they up?" in str(end.value.code)
    assert "\n" not in str(end.value.code)
