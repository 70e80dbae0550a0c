"""The one way out to a third party: a time limit, one try, and two kinds of failure.

A definite no and no answer are told apart here, for all that come after depends on it: a no may be
acted on, silence never. Nothing is tried again here; whoever called us tries with the same key.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode
from uuid import uuid4

import requests

from app import budget, jsonb
from app.connections import Session
from app.errors import (
    GatewayBusyError,
    GatewayRefusedError,
    GatewaySilentError,
    GatewayUnavailableError,
)
from app.exchange import Patience, was_begun

CONNECT_SECONDS_MAX, ANSWER_SECONDS_MAX = 3.05, 8

# These say nothing of the request: our key is wrong, or there were too many of us.
NO_ANSWER = {401, 403, 408, 425}
TOO_MANY = 429

Sign = Callable[[requests.PreparedRequest], requests.PreparedRequest]


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer in JSON. Numbers with a point are Decimal: an amount is never a float."""

    status: int
    body: Any


class RefusedReplyError(GatewayRefusedError):
    """The third party understood and said no; `reply` is how."""

    def __init__(self, message: str, reply: Reply) -> None:
        super().__init__(message)
        self.reply = reply


def patience() -> Patience:
    """Answer how long a third party is waited for, whoever speaks to it.

    A call that is begun has a fair chance to be answered, and its end leaves time for our books.
    """
    return Patience(
        CONNECT_SECONDS_MAX,
        ANSWER_SECONDS_MAX,
        leaves=budget.BOOKS_SECONDS,
        least=budget.CALL_SECONDS_MIN,
    )


def has_time() -> bool:
    """Tell whether a call can be begun now and end in time, however long it takes."""
    return budget.left_for_gateways() >= CONNECT_SECONDS_MAX + ANSWER_SECONDS_MAX


def pause_asked_for(headers: Mapping[str, str]) -> int | None:
    """Read how many seconds a busy third party wants to be left alone; None: it does not say.

    A date is as good as nothing: clocks differ.
    """
    text = headers.get("Retry-After") or ""
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= 9 else None


class Http:
    """A third party at its base address. Keeps connections; safe to share between threads."""

    def __init__(
        self,
        name: str,
        url: str,
        *,
        sign: Sign | tuple[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        speaks_json: bool = True,
    ) -> None:
        """`speaks_json` is False where a yes may have any body: then None is read."""
        self.name = name
        self.speaks_json = speaks_json
        self.url = url.rstrip("/")
        self.sign = sign
        self.headers = {"User-Agent": requests.utils.default_user_agent(), **(headers or {})}
        self.session = Session(self.url, patience())

    def close(self) -> None:
        self.session.close()

    def get(self, path: str, query: Mapping[str, object] | None = None) -> Reply:
        """Ask. Raises RefusedReplyError and GatewayUnavailableError."""
        return self._call("GET", f"{path}?{urlencode(query)}" if query else path)

    def send(
        self,
        path: str,
        body: Mapping[str, object],
        headers: Mapping[str, str] | None = None,
        method: str = "POST",
    ) -> Reply:
        """Send JSON; a Decimal is written with the digits it has. Raises as `get` does."""
        kind = {"Content-Type": "application/json", **(headers or {})}
        return self._call(method, path, data=written(body).encode(), headers=kind)

    def post(self, path: str, body: bytes, headers: Mapping[str, str]) -> Reply:
        """Send bytes that are signed as they are. Raises as `get` does."""
        return self._call("POST", path, data=body, headers=headers)

    def submit(self, path: str, form: Mapping[str, str]) -> Reply:
        """Send a form, as a browser would. Raises as `get` does."""
        return self._call("POST", path, data=dict(form))

    def _call(
        self,
        method: str,
        path: str,
        *,
        data: bytes | dict[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        try:
            # Redirects are not followed: an API does not move, and one would take the key along.
            answer = self.session.send(self._written(method, path, data, headers or {}))
            if answer.status_code == TOO_MANY:
                message = f"{self.name} did not answer ({TOO_MANY})"
                raise GatewayBusyError(message, pause_asked_for(answer.headers))
            return self._reply(answer.status_code, answer.content)
        except requests.RequestException as failure:
            if not was_begun(failure):
                message = f"{self.name} was not asked: there is no time left for it"
                raise GatewayUnavailableError(message) from failure
            message = f"{self.name} did not answer ({type(failure).__name__})"
            raise GatewaySilentError(message) from failure

    def _written(
        self,
        method: str,
        path: str,
        data: bytes | dict[str, str] | None,
        headers: Mapping[str, str],
    ) -> requests.PreparedRequest:
        """Write a request as it is: no session of requests, whose merging of settings costs more.

        So no .netrc puts credentials of its own on it, and nobody's cookies come along.
        """
        request = requests.PreparedRequest()
        request.method, request.url = method, requests.utils.requote_uri(self.url + path)
        request.prepare_headers({**self.headers, **headers})
        request.prepare_body(data, None)
        request.prepare_auth(self.sign, request.url)
        return request

    def _reply(self, status: int, content: bytes) -> Reply:
        if status >= 500:
            raise GatewaySilentError(f"{self.name} did not answer ({status})")
        if status in NO_ANSWER or 300 <= status < 400:
            raise GatewayUnavailableError(f"{self.name} did not answer ({status})")
        try:
            body = jsonb.parse_exactly(content)
        except ValueError as failure:
            if self.speaks_json:
                # A page of HTML with a yes is somebody in front of the API, which is not there.
                kind = GatewaySilentError if status < 400 else GatewayUnavailableError
                raise kind(f"{self.name} answered no JSON") from failure
            body = None
        reply = Reply(status, body)
        if status >= 400:
            raise RefusedReplyError(f"{self.name} refused", reply)
        return reply


# json.dumps can write a number with a point from a float only, and 0.1 + 0.2 is not an amount: a
# Decimal goes through it as text between marks that nobody can guess, and then loses its quotes.
MARK = uuid4().hex


def written(body: object) -> str:
    """Write JSON; a Decimal has the digits it has."""
    text = json.dumps(body, default=_number, ensure_ascii=False)
    return text.replace(f'"{MARK}', "").replace(f'{MARK}"', "")


def _number(value: object) -> str:
    if isinstance(value, Decimal):
        return f"{MARK}{value:f}{MARK}"
    raise TypeError(f"{type(value).__name__} is not JSON")
