"""A clock that is moved by hand, for the program and for its ledger alike."""

from datetime import UTC, datetime, timedelta

from sqlalchemy import ColumnElement, bindparam

from datamcp.clock import SystemClock
from datamcp.infra.instants import Instant

_NOTHING = timedelta()


class FakeClock:
    """Time that stands still until a test moves it.

    It is a `datamcp.clock.Clock`, and takes the database's place in what the ledger compares, so
    that what is scheduled falls due when the test says so. `datetime.now()` and what other
    programs see is not changed.
    """

    def __init__(self, start: datetime | None = None) -> None:
        """Begin at an aware instant; by default, at the machine's present one."""
        self._now = _aware(SystemClock().now() if start is None else start)
        self._passed = _NOTHING

    def now(self) -> datetime:
        """Return the instant at which it stands, in UTC."""
        return self._now

    def monotonic(self) -> float:
        """Return the seconds that have passed since it was made."""
        return self._passed.total_seconds()

    def sql(self) -> ColumnElement[datetime]:
        """Return the instant for use in SQL: that of the execution, not of the statement."""
        return bindparam(None, callable_=self.now, type_=Instant(), unique=True)

    def advance(self, delta: timedelta = _NOTHING, **units: float) -> datetime:
        """Let time pass: `advance(timedelta(hours=1))`, or `advance(hours=1)`; return the instant.

        Raises ValueError for a time that would go back.
        """
        step = delta + timedelta(**units)
        if step < _NOTHING:
            raise ValueError(f"time does not go back, got {step}")
        self._now += step
        self._passed += step
        return self._now

    def move_to(self, instant: datetime) -> datetime:
        """Let time pass until an aware instant; raises ValueError for one in its past."""
        return self.advance(_aware(instant) - self._now)

    def __repr__(self) -> str:
        """Show where it stands."""
        return f"FakeClock({self._now.isoformat()})"


def _aware(instant: datetime) -> datetime:
    if instant.tzinfo is None:
        raise ValueError(f"an instant needs a time zone, got {instant.isoformat()}")
    return instant.astimezone(UTC)
