"""What AWS Lambda does with the artifact, on this machine: it starts once and answers events.

Run as `python -B -I -S runtime.py <artifact>`: an event a line comes in, its answer goes out, both
as JSON.
Only the artifact and the standard library are on the path, as the flags keep all else away.
"""

import json
import sys
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

Handler = Callable[[dict[str, Any], object], dict[str, Any]]


def load(artifact: Path) -> Handler:
    """Import the handler, which builds the app: a cold start.

    Without the plugin's own wsgi_handler.py this does what that comes down to.
    """
    sys.path.insert(0, str(artifact))
    if find_spec("wsgi_handler"):
        handler: Handler = import_module("wsgi_handler").handler
        return handler
    named = json.loads((artifact / ".serverless-wsgi").read_text(encoding="utf-8"))["app"]
    module, name = named.rsplit(".", 1)
    app = getattr(import_module(module), name)
    handle = import_module("serverless_wsgi").handle_request
    return lambda event, context: handle(app, event, context)


def say(answer: object) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    serve = load(Path(sys.argv[1]))
    say("ready")
    for line in sys.stdin:
        say(serve(json.loads(line), None))
