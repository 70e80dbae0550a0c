"""Log lines are JSON, one a line, with the ids of request and trace; secrets are blotted out."""

import json
import logging
import re
from collections.abc import Mapping
from contextvars import ContextVar
from typing import Any

request_id: ContextVar[str] = ContextVar("request_id", default="")
trace_id: ContextVar[str] = ContextVar("trace_id", default="")
xray: ContextVar[str] = ContextVar("xray", default="")  # X-Ray's header; see xray_header

# https://docs.aws.amazon.com/xray/latest/devguide/xray-concepts.html#xray-concepts-tracingheader
XRAY = re.compile(r"Root=(1-[0-9a-f]{8}-[0-9a-f]{24})(?:;[A-Za-z]{1,16}=[\w:|-]{0,64}){0,4}")

# Keys of gateways, webhook secrets, bearer tokens, addresses of our pages, and card numbers written
# in one piece.
SECRETS = re.compile(
    r"\b(?:sk|rk|pk)_(?:test|live)_\w+|\bwhsec_\w+|\bBearer\s+[\w.~+/-]+=*"
    r"|(?<=/payments/handover/)[\w-]+|(?<=/payments/return/)[\w-]+"
    r"|(?<=/pay/)[\w-]+",
    re.IGNORECASE,
)
PATHS = ("/pay/", "/payments/handover/", "/payments/return/")
SIGNS = ("_test_", "_live_", "whsec_", "bearer", *PATHS)  # each of these has one; lines seldom do
DIGITS = re.compile(r"\b\d{13,19}\b")
GROUPED = re.compile(r"\b(?:\d[ -]?){12,18}\d\b")  # perhaps a card number, as people write it
STANDARD = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}


def redact(text: str) -> str:
    """Blot out what looks like a key, a token or a card number."""
    folded = text.casefold()
    if any(sign in folded for sign in SIGNS):
        text = SECRETS.sub("[redacted]", text)
    if GROUPED.search(text):  # it finds whatever DIGITS would
        text = GROUPED.sub(_unless_card, DIGITS.sub("[redacted]", text))
    return text


def _unless_card(match: re.Match[str]) -> str:
    """Leave what fails the check of card numbers: an id or a time, in groups of digits, too."""
    digits = [int(sign) for sign in reversed(match[0]) if sign.isdecimal()]
    total = sum(digits[::2]) + sum(sum(divmod(2 * digit, 10)) for digit in digits[1::2])
    return match[0] if total % 10 else "[redacted]"


class JsonFormatter(logging.Formatter):
    """Whatever a call passes as `extra` becomes a field beside the message."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            "request_id": request_id.get(),
        }
        if trace_id.get():
            line["trace_id"] = trace_id.get()
        if traced := XRAY.fullmatch(xray.get()):
            line["xray_trace_id"] = traced[1]
        line |= {key: value for key, value in record.__dict__.items() if key not in STANDARD}
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return redact(json.dumps(line, default=str, ensure_ascii=False))


def xray_header(environ: Mapping[str, str]) -> str:
    """Read X-Ray's trace of this call, which Lambda names anew for each; empty where none is."""
    given = environ.get("_X_AMZN_TRACE_ID", "")
    return given if XRAY.fullmatch(given) else ""


def configure(level: str) -> None:
    """Send the log of `app` to standard error. Safe to call twice."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonFormatter())
    logger = logging.getLogger("app")
    logger.handlers[:] = [handler]
    logger.propagate = False
    logger.setLevel(level.upper())
