"""Ports that are this process's until it ends, though nobody listens at them yet.

A port that was found free, and is listened at later or again, may be another's by then: a server's
of a test beside, or the near end of anybody's connection. So these lie below the ports that systems
give to connections, and each is locked by a file for as long as this process lives.
"""

import fcntl
import os
import socket
import tempfile
from itertools import chain
from pathlib import Path

FIRST, LAST = 20_000, 32_000
_locks: list[int] = []  # open for as long as this process lives


def free_port() -> int:
    """Take a port that is nobody's. Any number of processes may ask at the same time."""
    start = FIRST + os.getpid() * 7 % (LAST - FIRST)
    for port in chain(range(start, LAST), range(FIRST, start)):
        if take(port):
            return port
    raise AssertionError(f"no port is free between {FIRST} and {LAST}")


def take(port: int) -> bool:
    """Have a port from now on, unless it is another's."""
    folder = Path(tempfile.gettempdir()) / f"munim-ports-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    lock = os.open(folder / str(port), os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        with socket.socket() as probe:
            # As servers do: connections that have just ended are in nobody's way.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
    except OSError:  # another process's
        os.close(lock)
        return False
    _locks.append(lock)
    return True
