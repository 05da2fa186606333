"""How long a server asks to be left alone, from the Retry-After header of its answer."""

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

_DAY = 86_400.0


def seconds_of(value: str | None, now: datetime) -> float | None:
    """Seconds from now, a day at most; none where it says nothing that can be followed."""
    text = (value or "").strip()
    if text.isascii() and text.isdigit():
        return min(float(text), _DAY)
    try:
        date = parsedate_to_datetime(text)
    except (ValueError, TypeError, OverflowError):
        return None
    seconds = (date.replace(tzinfo=date.tzinfo or UTC) - now).total_seconds()
    return min(seconds, _DAY) if seconds > 0 else None
