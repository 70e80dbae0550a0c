"""`python -m sandbox`: Munim on one machine. `--help` lists what it does."""

import sys
from importlib import import_module

from sandbox.installation import missing_modules


def main() -> None:
    """Check for the packages first, so that a missing one is one line and not a traceback."""
    if missing := missing_modules():
        sys.exit(
            f"munim: {sys.executable} has no {', '.join(missing)}: "
            "start with make run; if it says so too, delete .venv and start again"
        )
    import_module("sandbox.commands").main()


if __name__ == "__main__":
    main()
