"""Where a running sandbox is reached: a note in its state, for commands in a second terminal."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from sandbox.world import Ports, WorldError

NOTE = "running.json"


@dataclass(frozen=True, slots=True)
class Running:
    """What a command needs of a sandbox that runs. The database is reached as its owner."""

    ports: Ports
    database_url: str


def note(state: Path, running: Running) -> None:
    """Write the note, for this user's eyes only: the address holds a password."""
    file = state / NOTE
    file.unlink(missing_ok=True)
    file.touch(mode=0o600)
    file.write_text(json.dumps(asdict(running)), encoding="utf-8")


def forget(state: Path) -> None:
    (state / NOTE).unlink(missing_ok=True)


def find(state: Path) -> Running:
    """Read the note. Raises WorldError when no sandbox left one."""
    try:
        found = json.loads((state / NOTE).read_text(encoding="utf-8"))
        return Running(Ports(**found["ports"]), found["database_url"])
    except FileNotFoundError:
        raise WorldError(f"no sandbox runs in {state}: start it with make run") from None
    except (ValueError, TypeError, KeyError) as failure:
        raise WorldError(f"{state / NOTE} is damaged ({failure}): start the sandbox anew") from None
