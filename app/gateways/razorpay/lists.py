"""Reading Razorpay's lists to their end: only then is what they do not hold not there.

https://razorpay.com/docs/api/#pagination
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from app.errors import GatewayUnavailableError

T = TypeVar("T")

SIZE = 100  # of a page; more is given of settlements only
PAGES_MAX = 1000


def items(body: Any) -> Sequence[Mapping[str, Any]]:
    """Take the things out of a list. Raises TypeError for what is none."""
    found = body["items"]
    if not isinstance(found, list):
        raise TypeError("this is no list")
    return found


def pages(page: Callable[[int], Sequence[T]], size: int = SIZE) -> Iterator[Sequence[T]]:
    """Ask for page after page; `page` gives what comes after so many things."""
    for number in range(PAGES_MAX):
        found = page(number * size)
        yield found
        if len(found) < size:
            return
    message = f"Razorpay lists more than {PAGES_MAX * size} things"
    raise GatewayUnavailableError(message)


def every(page: Callable[[int], Sequence[T]]) -> Iterator[T]:
    """Give the things of all pages, one by one."""
    for found in pages(page):
        yield from found
