import io
import json
from pathlib import Path

import httpx
import pytest

from sandbox import demo
from sandbox.demo import Demo, DemoError
from sandbox.screen import Screen
from sandbox.world import Ports

LOGS = Path("/logs")


def play(answer: dict[str, object]) -> None:
    """Play against a GraphQL that answers everything alike."""
    transport = httpx.MockTransport(lambda _: httpx.Response(200, text=json.dumps(answer)))
    with httpx.Client(transport=transport) as browser:
        Demo(Ports(), Screen(io.StringIO(), {}), LOGS, browser).play()


def test_a_service_out_of_reach_is_told_with_the_step_and_the_log() -> None:
    with pytest.raises(DemoError, match=r"^the demo stopped at reading the balance: .*engine.log"):
        demo.play(Ports(1, 1, 1), Screen(io.StringIO(), {}), LOGS)


def test_what_graphql_refuses_is_told_in_its_words() -> None:
    with pytest.raises(DemoError, match=r"reading the balance: not you \(see /logs/engine.log\)$"):
        play({"errors": [{"message": "not you"}]})


def test_a_customer_without_a_wallet_is_told_what_to_do() -> None:
    with pytest.raises(DemoError, match="make reset"):
        play({"data": {"credit_wallets": []}})


def test_an_answer_of_another_shape_stops_the_demo_at_its_step() -> None:
    with pytest.raises(DemoError, match="the demo stopped at createPayment: 'createPayment'"):
        play({"data": {"credit_wallets": [{"balance": "0"}]}})


@pytest.mark.parametrize(
    ("amount", "written"), [("250.0000", "250"), ("0.5000", "0.5"), ("100", "100"), ("0", "0")]
)
def test_credits_are_written_without_needless_zeros(amount: str, written: str) -> None:
    assert demo.credits_of(amount) == f"{written} credits"
