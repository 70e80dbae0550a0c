"""One item of many may fail: it is a line of the log, and keeps no other waiting."""

import logging
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from app.config import ConfigError
from app.errors import AppError, GatewayUnavailableError


@dataclass(slots=True)
class Outcome:
    """The work on an item, and how it came out."""

    log: logging.Logger
    what: str
    item: dict[str, object]
    failure: Exception | None = None

    @property
    def is_silent(self) -> bool:
        """Whether its gateway gave no answer that means anything."""
        return isinstance(self.failure, GatewayUnavailableError)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        failure: BaseException | None,
        _trace: TracebackType | None,
    ) -> bool:
        if not isinstance(failure, Exception):
            return False
        self.failure = failure
        if isinstance(failure, AppError | ConfigError):
            self.log.warning("%s: %s", self.what, failure, extra=self.item)
        else:
            self.log.error(self.what, extra=self.item, exc_info=failure)
        return True


def kept_apart(log: logging.Logger, what: str, **item: object) -> Outcome:
    """Do an item's work in a `with` of this: its failure is logged, as what is not done.

    A cron comes by the item that waits longest, so that one which fails whenever it is come by
    would keep all others waiting for ever: so nothing is raised, whatever it is. What has a name,
    or is not set up, is a warning; anything else is a fault of ours, and its trace is in the log.
    Whoever uses this has seen to it that the item comes again, or is listed for a person. `item`
    names it in the log.
    """
    return Outcome(log, what, item)
