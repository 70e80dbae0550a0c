"""Each gateway's signed samples, with two thousand single bits flipped, and sent again later."""

import json
import random
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from gateways.test_promises import FOLDERS

from app import gateways
from app.errors import SignatureInvalidError
from app.gateways import Delivery, Gateway, Notice, Outcome

FLIPS = 2000
# What PayU's hash does not cover: its own words for a status, and why a payment failed. None of
# them makes a payment paid, names another one, or says another amount.
UNSIGNED = {
    "payu": {"outcome", "captured_amount", "method", "failure_code", "failure_message", "event_id"}
}
# Who signs a time with the message: what is older than their tolerance is refused.
DATED = {"stripe", "cashfree"}


@pytest.fixture(params=gateways.names())
def name(request: pytest.FixtureRequest) -> str:
    gateway: str = request.param
    return gateway


@pytest.fixture
def sample(name: str) -> dict[str, Any]:
    (path,) = (path for folder in FOLDERS if (path := folder / f"{name}.json").is_file())
    sample: dict[str, Any] = json.loads(path.read_text())
    return sample


@pytest.fixture
def gateway(name: str, sample: dict[str, Any]) -> Gateway:
    return gateways.finder(sample["settings"])(name)


@pytest.fixture
def now(sample: dict[str, Any]) -> datetime:
    return datetime.fromisoformat(sample["now"])


@pytest.fixture
def deliveries(sample: dict[str, Any]) -> list[Delivery]:
    signed = [case for case in sample["deliveries"] if case.get("signed", True)]
    return [Delivery(case["headers"], case["body"].encode()) for case in signed]


def said(notice: Notice) -> dict[str, Any]:
    return {**notice.words(), "event_id": notice.event_id}


def flipped(delivery: Delivery, dice: random.Random) -> Delivery:
    """The delivery with one bit another: of its body, else of what signs it."""
    signs = sorted(name for name in delivery.headers if "signature" in name or "stamp" in name)
    if signs and dice.random() < 0.2:
        header = dice.choice(signs)
        text = delivery.headers[header]
        at = dice.randrange(len(text))
        spoilt = text[:at] + chr(ord(text[at]) ^ 1 << dice.randrange(7)) + text[at + 1 :]
        return replace(delivery, headers={**delivery.headers, header: spoilt})
    body = bytearray(delivery.body)
    body[dice.randrange(len(body))] ^= 1 << dice.randrange(8)
    return replace(delivery, body=bytes(body))


def test_no_bit_of_what_is_signed_can_be_another(name, gateway, now, deliveries) -> None:
    dice = random.Random(name)
    truths = [gateway.read(delivery, now) for delivery in deliveries]
    refused = 0
    for _ in range(FLIPS):
        right, true = dice.choice(list(zip(deliveries, truths, strict=True)))
        try:
            forged = gateway.read(flipped(right, dice), now)
        except SignatureInvalidError:
            refused += 1
            continue
        changed = {word for word in said(true) if said(forged)[word] != said(true)[word]}
        assert changed <= UNSIGNED.get(name, set())
        assert forged.outcome in {true.outcome, Outcome.UNKNOWN, Outcome.PENDING}

    assert refused == FLIPS or name in UNSIGNED
    assert refused > FLIPS // 3


@pytest.mark.parametrize("later", [timedelta(hours=1), timedelta(days=30), timedelta(days=400)])
def test_what_is_sent_again_later_is_refused_or_known(
    name, gateway, now, deliveries, later
) -> None:
    """What carries no time says the same under the same id, which the inbox keeps once."""
    refused = 0
    for delivery in deliveries:
        try:
            again = gateway.read(delivery, now + later)
        except SignatureInvalidError:
            refused += 1
            continue
        assert said(again) == said(gateway.read(delivery, now))

    assert refused == len(deliveries) or name not in DATED
