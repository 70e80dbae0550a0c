"""One item's failure is a line of the log, and no more."""

import logging

import pytest

from app.config import ConfigError
from app.errors import GatewayRefusedError, GatewaySilentError, GatewayUnavailableError
from app.failures import kept_apart

log = logging.getLogger("janitor")


def fail(failure: BaseException) -> bool:
    """Answer whether its gateway was silent."""
    with kept_apart(log, "not checked", refund_id="re_1") as outcome:
        raise failure
    assert outcome.failure is failure
    return outcome.is_silent


@pytest.mark.parametrize(
    ("failure", "is_silent"),
    [
        (GatewaySilentError("no answer"), True),
        (GatewayUnavailableError("no answer"), True),
        (GatewayRefusedError("no answer"), False),
        (ConfigError("no answer"), False),
    ],
)
def test_what_has_a_name_is_a_warning(caplog, failure: Exception, is_silent: bool) -> None:
    assert fail(failure) is is_silent

    (line,) = caplog.records
    assert (line.levelname, line.getMessage()) == ("WARNING", "not checked: no answer")
    assert (line.name, line.refund_id, line.exc_info) == ("janitor", "re_1", None)


def test_a_fault_of_ours_is_an_error_with_its_trace(caplog) -> None:
    fault = KeyError("id")
    assert fail(fault) is False

    (line,) = caplog.records
    assert (line.levelname, line.getMessage()) == ("ERROR", "not checked")
    assert (line.refund_id, line.exc_info[1]) == ("re_1", fault)


@pytest.mark.parametrize("end", [KeyboardInterrupt(), SystemExit()])
def test_who_ends_the_process_is_not_kept_from_it(caplog, end: BaseException) -> None:
    with pytest.raises(type(end)):
        fail(end)

    assert caplog.records == []


def test_what_goes_well_says_nothing(caplog) -> None:
    with kept_apart(log, "not checked", refund_id="re_1") as outcome:
        pass

    assert (outcome.failure, outcome.is_silent, caplog.records) == (None, False, [])
