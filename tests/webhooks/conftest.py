from collections.abc import Iterator

import pytest
import responses

from app.webhooks import crons

SECONDS_MAX = 600


@pytest.fixture
def aws() -> Iterator[responses.RequestsMock]:
    """The network: nothing answers but what a test puts there."""
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        yield mock


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """A sweep ends when there is nothing more to send, and not when a machine stands still."""
    monkeypatch.setattr(crons, "SWEEP_SECONDS_MAX", SECONDS_MAX)
