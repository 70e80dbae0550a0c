"""How a fault of a call is played around the call's effect, for any gateway."""

import asyncio
import re
from collections.abc import Callable

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from sandbox.faults import Fault, Kind

NONSENSE = """<!doctype html>
<html><head><title>502 Bad Gateway</title></head>
<body><center><h1>502 Bad Gateway</h1></center><hr><center>nginx</center></body></html>
"""
LINK_AMOUNT = re.compile(rb"(?<=[&?]am=)(\d+)\.(\d\d)")


class CutConnection(Response):
    """Closes the connection without a single byte of an answer."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        del send
        scope["state"]["connection"].abort()
        while (await receive())["type"] != "http.disconnect":
            continue


async def before(fault: Fault | None, broken: Callable[[int], Response]) -> Response | None:
    """Play the part of a fault that keeps the call from having an effect."""
    if fault is None:
        return None
    if fault.kind in {Kind.SLOW, Kind.TIMEOUT_BEFORE_EFFECT}:
        await asyncio.sleep(fault.seconds)
    if fault.kind in {Kind.REFUSE, Kind.TIMEOUT_BEFORE_EFFECT}:
        return CutConnection()
    if fault.kind is Kind.ERROR_500:
        return broken(500)
    if fault.kind is Kind.RATE_LIMITED:
        return broken(429)
    if not fault.effect:
        return after(fault, Response(b"{}", media_type="application/json"))
    return None


def after(fault: Fault | None, answer: Response) -> Response:
    """Spoil the answer of a call that had its effect."""
    if fault is None:
        return answer
    body = bytes(answer.body)
    if fault.kind is Kind.OTHER_LINK:
        more = LINK_AMOUNT.sub(lambda found: _raised(found, fault.n), body)
        return Response(more, media_type="application/json")
    spoiled = {
        Kind.LOST_ANSWER: CutConnection(),
        Kind.NONSENSE: Response(NONSENSE, media_type="text/html"),
        Kind.MALFORMED: Response(body[: len(body) // 2 or 1], media_type="application/json"),
        Kind.EMPTY: Response(b"", media_type="application/json"),
    }
    return spoiled.get(fault.kind, answer)


def _raised(amount: re.Match[bytes], paise: int) -> bytes:
    raised = int(amount[1] + amount[2]) + paise
    return f"{raised // 100}.{raised % 100:02d}".encode()
