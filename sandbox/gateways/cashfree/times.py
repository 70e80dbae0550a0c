"""Times as Cashfree writes them: seconds, of India's zone."""

from datetime import datetime, timedelta, timezone

INDIA = timezone(timedelta(hours=5, minutes=30))
MINUTE, DAY = 60, 24 * 3600
NEVER = "9999-09-09T00:00:00"


def written(seconds: float) -> str:
    return datetime.fromtimestamp(int(seconds), INDIA).isoformat()


def zoneless(seconds: float) -> str:
    """Write India's time, and do not say so, as some answers do."""
    return datetime.fromtimestamp(int(seconds), INDIA).replace(tzinfo=None).isoformat()


def instant(text: object) -> float | None:
    """Read a time; None for what is none. Without a zone it is India's."""
    if not isinstance(text, str):
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return (found if found.tzinfo else found.replace(tzinfo=INDIA)).timestamp()
