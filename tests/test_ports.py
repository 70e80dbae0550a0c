"""A port that is promised stays free for whoever asked, whatever runs beside."""

import socket
import subprocess
import sys

from books import ROOT
from ports import FIRST, LAST, free_port

OTHERS = "import sys; sys.path.insert(0, 'tests'); from ports import free_port, take\n"


def elsewhere(script: str) -> str:
    """Run a script in another process, beside this one; what it says."""
    command = [sys.executable, "-c", OTHERS + script]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout


def test_nobody_is_given_a_port_twice() -> None:
    mine = {free_port() for _ in range(20)}

    assert len(mine) == 20
    assert all(FIRST <= port < LAST for port in mine)
    assert elsewhere(f"print([take(port) for port in {sorted(mine)}])").count("False") == 20


def test_a_port_can_be_listened_at_again_and_again() -> None:
    port = free_port()
    for _ in range(3):
        with (
            socket.create_server(("127.0.0.1", port)) as server,
            socket.create_connection(("127.0.0.1", port)),
        ):
            server.accept()[0].close()
    assert elsewhere(f"print(take({port}))") == "False\n"


def test_a_port_at_which_somebody_listens_is_given_to_nobody() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert elsewhere(f"print(take({taken.getsockname()[1]}))") == "False\n"
