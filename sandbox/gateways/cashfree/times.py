"""Times as Cashfree writes them: seconds, with India's zone."""

from datetime import datetime, timedelta, timezone

INDIA = timezone(timedelta(hours=5, minutes=30))
MINUTE, DAY = 60, 24 * 3600


def written(seconds: float) -> str:
    return datetime.fromtimestamp(int(seconds), INDIA).isoformat()


def instant(text: object) -> float | None:
    """Read a time; None for what is none. Without a zone it is India's."""
    if not isinstance(text, str):
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return (found if found.tzinfo else found.replace(tzinfo=INDIA)).timestamp()
