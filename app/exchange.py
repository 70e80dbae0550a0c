"""One exchange of a request for its answer, which comes to an end whatever the server does.

A time limit of a socket's is one for each piece that comes, and a server that sends a byte now and
then never meets it. So each exchange has an end, to which every step of it has what is left.
"""

import http.client
import io
import socket
from dataclasses import dataclass
from time import monotonic
from typing import Any

import requests
from requests.structures import CaseInsensitiveDict
from urllib3.exceptions import ProtocolError

from app import budget

ANSWER_BYTES_MAX = 4 * 2**20  # a page of a settlement report is the largest that is asked for


class NotBegunError(TimeoutError):
    """There was no time for it: nobody was asked, and so nobody is silent."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How many seconds an exchange may take: its answer so many from when there is a connection.

    Never more than our own answer leaves us. Of that, `leaves` is kept for what comes afterwards,
    and where less than `least` remains nothing is begun.
    """

    connect: float
    answer: float
    leaves: float = 0
    least: float = 0

    @property
    def seconds(self) -> float:
        """How many it may take from now on. Raises NotBegunError when that is too few to begin."""
        left = budget.left() - self.leaves
        if left <= self.least:
            message = "there is no time left for it"
            raise NotBegunError(message)
        return min(self.connect + self.answer, left)


def was_begun(failure: BaseException | None) -> bool:
    """Tell of a failed exchange whether anything was sent, by what had caused it, and that."""
    while failure:
        if isinstance(failure, NotBegunError):
            return False
        failure = failure.__cause__ or failure.__context__
    return True


def left(until: float) -> float:
    """Answer how many seconds are left. Raises TimeoutError when none are."""
    seconds = until - monotonic()
    if seconds <= 0:
        message = "it took too long"
        raise TimeoutError(message)
    return seconds


def send(connection: socket.socket, written: bytes, until: float) -> None:
    """Send a request. Raises OSError."""
    rest = memoryview(written)
    while rest:
        connection.settimeout(left(until))
        rest = rest[connection.send(rest) :]


class Coming(io.RawIOBase):
    """What comes over a connection, up to a moment, and no more than so many bytes of it."""

    def __init__(self, connection: socket.socket, until: float) -> None:
        self._connection = connection
        self._until = until
        self._bytes_left = ANSWER_BYTES_MAX

    def makefile(self, _mode: str) -> io.BufferedReader:
        """Be what an answer of http.client's is read from, in place of a socket."""
        return io.BufferedReader(self)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self._connection.settimeout(left(self._until))
        count = self._connection.recv_into(buffer)
        self._bytes_left -= count
        if self._bytes_left < 0:
            message = "the answer does not end"
            raise ProtocolError(message)
        return count


def read(coming: Coming, method: str) -> tuple[requests.Response, bool]:
    """Read an answer to its end, and whether the server closes the connection then.

    Raises OSError, ProtocolError and http.client.HTTPException.
    """
    # Of the socket that it is said to need, it uses makefile() and nothing else.
    with http.client.HTTPResponse(coming, method=method) as given:  # type: ignore[arg-type]
        given.begin()
        if given.getheader("Content-Encoding", "identity") != "identity":
            message = "the answer is packed, which nobody asked for"
            raise ProtocolError(message)
        answer = requests.Response()
        answer.status_code = given.status
        answer.headers = CaseInsensitiveDict(given.getheaders())
        answer.raw = io.BytesIO(given.read())
        return answer, given.will_close
