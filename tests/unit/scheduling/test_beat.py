"""Beat sweeps on time, whatever else it has to do."""

from types import SimpleNamespace

from celery import Celery

from datamcp.scheduling.beat import SWEEP_INTERVAL, LedgerScheduler


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
