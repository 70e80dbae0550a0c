"""What EventBridge takes: of a request as a whole, and entry by entry."""

import json
from typing import Any

ENTRIES_MAX = 10
BYTES_MAX = 256 * 1024
TIME_BYTES = 14
LENGTHS = {"Source": 256, "DetailType": 128, "EventBusName": 1600}


class RefusedError(Exception):
    """The whole request is refused."""

    def __init__(self, code: str, said: str) -> None:
        super().__init__(f"{code}: {said}")
        self.code = code
        self.said = said


def read(body: bytes) -> list[Any]:
    """Read the entries of a request. Raises RefusedError."""
    try:
        asked = json.loads(body)
        found = asked["Entries"]
    except (ValueError, LookupError, TypeError) as failure:
        raise RefusedError("SerializationException", str(failure)) from failure
    if not isinstance(found, list) or not all(isinstance(entry, dict) for entry in found):
        raise RefusedError("SerializationException", "Entries must be a list of structures")
    for entry in found:
        _check_types(entry)
    if not 1 <= len(found) <= ENTRIES_MAX:
        limit = "greater than or equal to 1" if not found else "less than or equal to 10"
        raise RefusedError(
            "ValidationException",
            "1 validation error detected: Value at 'entries' failed to satisfy constraint:"
            f" Member must have length {limit}",
        )
    if sum(map(size_of, found)) >= BYTES_MAX:
        raise RefusedError(
            "ValidationException", "Total size of the entries in the request is over the limit."
        )
    return found


def _check_types(entry: dict[str, Any]) -> None:
    texts = ("Source", "DetailType", "Detail", "EventBusName", "TraceHeader")
    if not all(isinstance(entry.get(name, ""), str) for name in texts):
        raise RefusedError("SerializationException", "a text was expected")
    time = entry.get("Time", 0)
    if isinstance(time, bool) or not isinstance(time, int | float):
        raise RefusedError("SerializationException", "Time is in seconds")


def size_of(entry: dict[str, Any]) -> int:
    """Count as the user guide says: "Calculating PutEvents event entry size"."""
    texts = [entry.get(name, "") for name in ("Source", "DetailType", "Detail")]
    texts += entry.get("Resources", [])
    return sum(len(text.encode()) for text in texts) + (TIME_BYTES if "Time" in entry else 0)


def fault_of(entry: dict[str, Any]) -> tuple[str, str] | None:
    """Tell what is wrong with an entry; the others of its request are taken all the same."""
    for name in ("Source", "DetailType", "Detail"):
        if not entry.get(name):
            said = f"Parameter {name} is not valid. Reason: {name} is a required argument."
            return "InvalidArgument", said
    for name, length in LENGTHS.items():
        if len(entry.get(name, "")) > length:
            return "InvalidArgument", f"Parameter {name} is not valid. Reason: it is too long."
    if entry["Source"].startswith("aws."):
        return "NotAuthorizedForSourceException", "Not authorized for the source."
    try:
        is_object = isinstance(json.loads(entry["Detail"]), dict)
    except (ValueError, RecursionError):
        is_object = False
    return None if is_object else ("MalformedDetail", "Detail is malformed.")
