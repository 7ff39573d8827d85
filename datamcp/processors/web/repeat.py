"""Whether a request is worth sending again, and when. Pure."""

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

REFUSED = frozenset([429, 503])
"""Answers that say that nothing was done."""

TRANSIENT = frozenset([408, 425, 500, 502, 504]) | REFUSED
"""Answers that may be others later."""

LONGEST_WAIT = 60.0
"""Seconds that are waited within a step; the task itself is repeated after a longer time."""

_FIRST_WAIT = 0.5  # seconds


def is_transient(status: int, *, is_safe: bool) -> bool:
    """Tell whether the same request may be sent again after an answer of this status.

    `is_safe`: it does no harm if it is carried out twice.
    """
    return status in (TRANSIENT if is_safe else REFUSED)


def asked_wait(value: str | None, now: datetime) -> float | None:
    """Return how many seconds a server wants to be left alone, by its `Retry-After` (RFC 9110)."""
    if value is None:
        return None
    text = value.strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        then = parsedate_to_datetime(text)
    except ValueError:
        return None
    if then.tzinfo is None:
        then = then.replace(tzinfo=UTC)
    return max(0.0, (then - now).total_seconds())


def wait_before(attempt: int, asked: float | None) -> float:
    """Return the seconds to wait before the attempt of this number, from 2 on."""
    usual = _FIRST_WAIT * 2.0 ** (attempt - 2)
    return min(LONGEST_WAIT, usual if asked is None else asked)
