"""The service at its doors: a WSGI application in this process, called as the outside calls it."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode, urlsplit

from simulation.wires import Reply

from app import create_app
from app.graphql import Hasura
from sandbox import tokens, world

JSON = {"content-type": "application/json"}
SECRET = {"action-secret": world.ACTION_SECRET}


class Service:
    """All doors of the service. What is behind them may raise: then the service died."""

    def __init__(self, environment: Mapping[str, str], hasura: Hasura) -> None:
        self.flask = create_app(environment, hasura)

    def call(
        self,
        method: str,
        path: str,
        body: bytes = b"",
        headers: Mapping[str, str] = {},  # it is only read
        address: str = "127.0.0.1",
    ) -> Reply:
        parts = urlsplit(path)
        environ: dict[str, Any] = {
            "REQUEST_METHOD": method,
            "SCRIPT_NAME": "",
            "PATH_INFO": parts.path,
            "QUERY_STRING": parts.query,
            "SERVER_NAME": "localhost",
            "SERVER_PORT": "80",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "REMOTE_ADDR": address,
            "CONTENT_LENGTH": str(len(body)),
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": "http",
            "wsgi.input": io.BytesIO(body),
            "wsgi.errors": sys.stderr,
            "wsgi.multithread": False,
            "wsgi.multiprocess": False,
            "wsgi.run_once": False,
        }
        for name, value in headers.items():
            key = name.upper().replace("-", "_")
            environ[key if key == "CONTENT_TYPE" else f"HTTP_{key}"] = value
        said: list[Any] = []

        def start(status: str, given: list[tuple[str, str]], *_: Any) -> Any:
            said[:] = [int(status[:3]), dict(given)]

        parts_of_answer = self.flask.wsgi_app(environ, start)
        answer = b"".join(parts_of_answer)
        if close := getattr(parts_of_answer, "close", None):
            close()
        return Reply(said[0], said[1], answer)

    def action(self, name: str, user: tokens.User, **asked: object) -> Reply:
        """Call an action's door as Hasura does for a person."""
        session = {
            "x-hasura-role": user.roles[0],
            "x-hasura-user-id": user.id,
            "x-hasura-organization-id": user.organization_id,
            "x-hasura-customer-id": user.customer_id,
        }
        said = {name: text for name, text in session.items() if text}
        body = json.dumps({"input": asked, "session_variables": said}).encode()
        return self.call("POST", f"/{name.replace('_', '-')}", body, {**JSON, **SECRET})

    def hear(self, organization_id: str, event: Mapping[str, object]) -> Reply:
        """Bring an event of an organisation's order system."""
        headers = {**JSON, **SECRET, "x-hasura-organization-id": organization_id}
        return self.call("POST", "/events", json.dumps(event).encode(), headers)

    def tick(self, cron: str) -> Mapping[str, Any]:
        """Call a cron's door. Answers what it says it did."""
        reply = self.call("POST", f"/crons/{cron}", b"{}", {**JSON, **SECRET})
        if not reply.is_yes:
            raise RuntimeError(f"{cron} answers {reply.status} {reply.body!r}")
        said: Mapping[str, Any] = json.loads(reply.body)
        return said

    def browse(self, path: str, form: Mapping[str, str] | None = None, address: str = "") -> Reply:
        """Look at a page, or post a form to it, as a payer's browser does."""
        kind = {"content-type": "application/x-www-form-urlencoded"}
        if form is None:
            return self.call("GET", path, address=address or "127.0.0.1")
        return self.call("POST", path, urlencode(form).encode(), kind, address or "127.0.0.1")
