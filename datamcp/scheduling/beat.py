"""What runs inside `celery -A datamcp beat`.

Any number of beats may run: each sweeps the ledger for tasks that are due or whose message was
lost. Entries of Celery's own `beat_schedule` are sent as Celery does, by each beat.
"""

from typing import Any

from celery.beat import Scheduler

from datamcp.clock import SystemClock
from datamcp.tasks.reconcile import Sweep

SWEEP_INTERVAL = 2.0  # seconds
SHORTEST = 0.05  # seconds between two sweeps, even if more is due than one sends


class LedgerScheduler(Scheduler):  # type: ignore[misc]
    """Celery's in-memory scheduler, which also reconciles the ledger with the broker."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Set up Celery's scheduler."""
        self._clock = SystemClock()
        self._next_sweep = self._clock.monotonic()
        self.last_sweep: float | None = None  # by the clock's count, if one was whole
        super().__init__(*args, **kwargs)

    def tick(self, *args: Any, **kwargs: Any) -> float:
        """Send what is due; return the seconds until there is something to do again."""
        wait = float(super().tick(*args, **kwargs))
        if self._clock.monotonic() >= self._next_sweep:
            sweep = self.app.runtime.reconciler.sweep_or_tell()
            if sweep is not None:
                self.last_sweep = self._clock.monotonic()
            self._next_sweep = self._clock.monotonic() + until_next(sweep)
        return max(0.0, min(wait, self._next_sweep - self._clock.monotonic()))

    @property
    def info(self) -> str:
        """What beat prints about its scheduler at the start."""
        return "    . sweep -> every 2 s, and when a task falls due"


def until_next(sweep: Sweep | None) -> float:
    """Return the seconds until the next sweep: sooner than usual if something falls due before."""
    if sweep is None or sweep.next_due is None:
        return SWEEP_INTERVAL
    return min(SWEEP_INTERVAL, max(SHORTEST, sweep.next_due))
