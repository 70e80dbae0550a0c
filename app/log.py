"""Log lines are JSON, one a line, with the request's id; what is secret is blotted out."""

import json
import logging
import re
from contextvars import ContextVar
from typing import Any

request_id: ContextVar[str] = ContextVar("request_id", default="")

# Keys of gateways, webhook secrets, bearer tokens, and card numbers written in one piece.
SECRETS = re.compile(
    r"\b(?:sk|rk|pk)_(?:test|live)_\w+|\bwhsec_\w+|\bBearer\s+[\w.~+/-]+=*|\b\d{13,19}\b",
    re.IGNORECASE,
)
STANDARD = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}


def redact(text: str) -> str:
    """Blot out what looks like a key, a token or a card number."""
    return SECRETS.sub("[redacted]", text)


class JsonFormatter(logging.Formatter):
    """Whatever a call passes as `extra` becomes a field beside the message."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            "request_id": request_id.get(),
        }
        line |= {key: value for key, value in record.__dict__.items() if key not in STANDARD}
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return redact(json.dumps(line, default=str, ensure_ascii=False))


def configure(level: str) -> None:
    """Send the log of `app` to standard error. Safe to call twice."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonFormatter())
    logger = logging.getLogger("app")
    logger.handlers[:] = [handler]
    logger.propagate = False
    logger.setLevel(level.upper())
