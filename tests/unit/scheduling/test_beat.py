"""Beat sweeps on time, whatever else it has to do."""

from types import SimpleNamespace

import pytest
from celery import Celery

from datamcp.scheduling.beat import SHORTEST, SWEEP_INTERVAL, LedgerScheduler, until_next
from datamcp.tasks.reconcile import Sweep


class Sweeps:
    """Counts sweeps."""

    def __init__(self) -> None:
        """Start at none."""
        self.count = 0

    def sweep_or_tell(self) -> None:
        """Count one."""
        self.count += 1


class HandClock:
    """A clock that moves by hand."""

    def __init__(self) -> None:
        """Start at zero."""
        self.time = 0.0

    def monotonic(self) -> float:
        """Return the time."""
        return self.time


def test_sweeps_at_once_and_then_every_interval() -> None:
    """The first tick sweeps; later ones only when the time has come, and beat wakes for it."""
    app = Celery("test", broker="memory://", set_as_current=False)
    app.conf.beat_schedule = {}
    sweeps, clock = Sweeps(), HandClock()
    app.runtime = SimpleNamespace(reconciler=sweeps)
    scheduler = LedgerScheduler(app, lazy=True)
    scheduler._clock, scheduler._next_sweep = clock, 0.0
    scheduler.install_default_entries = lambda _data: None
    scheduler.setup_schedule()

    assert scheduler.tick() == SWEEP_INTERVAL
    clock.time = 0.5
    assert scheduler.tick() == SWEEP_INTERVAL - 0.5
    assert sweeps.count == 1

    clock.time = SWEEP_INTERVAL
    assert scheduler.tick() == SWEEP_INTERVAL
    assert sweeps.count == 2


@pytest.mark.parametrize(
    ("next_due", "seconds"),
    [(None, SWEEP_INTERVAL), (60, SWEEP_INTERVAL), (0.7, 0.7), (0.0, SHORTEST), (-9, SHORTEST)],
)
def test_sweeps_when_something_falls_due(next_due: float | None, seconds: float) -> None:
    """What falls due before the next sweep is not late by it; what is overdue does not spin."""
    assert until_next(Sweep(due=0, lost=0, next_due=next_due)) == seconds


def test_waits_as_usual_after_a_sweep_that_could_not_be_made() -> None:
    """A service that is away is asked again after the usual time."""
    assert until_next(None) == SWEEP_INTERVAL
