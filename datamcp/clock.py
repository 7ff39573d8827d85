"""The one place that asks the machine what time it is.

Everything else takes `now` as a value, or a `Clock` where it must ask several times. Plumbing that
waits for a process counts its seconds itself. Instants compared in SQL are the database's own,
never these.
"""

import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """Tells instants (aware, UTC) and a monotonic count of seconds."""

    def now(self) -> datetime:
        """Return the current instant in UTC."""
        ...

    def monotonic(self) -> float:
        """Return seconds from an arbitrary start, which never go back."""
        ...


class SystemClock:
    """The clock of this machine."""

    def now(self) -> datetime:
        """Return the current instant in UTC."""
        return datetime.now(UTC)  # noqa: TID251  this is the clock

    def monotonic(self) -> float:
        """Return seconds from an arbitrary start, which never go back."""
        return time.monotonic()
