from collections.abc import Iterator

import pytest
import responses


@pytest.fixture
def aws() -> Iterator[responses.RequestsMock]:
    """The network: nothing answers but what a test puts there."""
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        yield mock
