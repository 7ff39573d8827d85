"""What every worker and every beat does every two seconds: rescue, send what is due or was lost.

Any number of processes may; each round is made by whoever comes first. Nothing is taken from a
worker that could not reach the database to renew its leases (protocol R7).
"""

from collections.abc import Callable, Sequence
from datetime import datetime

from datamcp.clock import Clock
from datamcp.errors import BackendUnavailable
from datamcp.tasks.ledger import TaskLedger
from datamcp.tasks.reconcile import WINDOW, Reconciler, Sweep
from datamcp.tasks.settle import Settler
from datamcp.telemetry import Telemetry

INTERVAL = 2.0  # seconds
PATIENT = 4.0  # seconds, of a beat: where anything can run at all, workers make rounds too
SHORTEST = 0.05  # seconds between two rounds, even if something is due at once
HASTE = 0.3  # seconds until the next round where this one had as much to send as it may

PRUNE_EVERY = 600.0  # seconds
_ASK = 20.0  # seconds between two questions whether it is time for that
PRUNED_AT_ONCE = 5000  # rows of a kind

_RESCUE, _SWEEP = "rescue", "sweep"
_PRUNING = "prune"
_TURN_LASTS = 0.9 * INTERVAL


class Trust:
    """Whether leases may be believed to have run out: the database was there to renew them. Pure.

    Whoever could not reach it for a lease, or has just begun, waits one lease.
    """

    def __init__(self, lease: float, *, is_given: bool) -> None:
        """Take the length of a lease (s), and whether somebody else has just had trust."""
        self._lease = lease
        self._reached: float | None = None
        self._from: float | None = float("-inf") if is_given else None

    def reach(self, now: float) -> bool:
        """Note that the database answers; tell whether what has run out may be taken."""
        was_away = self._reached is not None and now - self._reached > self._lease
        self._reached = now
        if was_away or self._from is None:
            self._from = now + self._lease
        return now >= self._from


class Steps:
    """Whether the ledger's clock has been stepped. Pure.

    On SQLite it is the clock of this machine, which somebody may set; so may somebody that of the
    database's. Leases then seem to have run out, or to hold for hours.
    """

    def __init__(self, tolerance: float) -> None:
        """Take by how many seconds it may run otherwise than our own count."""
        self._tolerance = tolerance
        self._ahead: float | None = None

    def look(self, now: float, instant: datetime) -> bool:
        """Note what the clock says at a moment of our count; tell whether it was stepped since."""
        before, self._ahead = self._ahead, instant.timestamp() - now
        return before is not None and abs(self._ahead - before) > self._tolerance


class Rounds:
    """Makes rounds. For one thread."""

    def __init__(
        self,
        *,
        ledger: TaskLedger,
        reconciler: Reconciler,
        settler: Settler,
        prunes: Sequence[Callable[[int], int]],
        prune_every: float = PRUNE_EVERY,
        clock: Clock,
        telemetry: Telemetry,
    ) -> None:
        """Take the parts.

        Each of `prunes` removes of one kind what is kept too long, as much as it is allowed, and
        tells how much that was; they are asked every `prune_every` seconds.
        """
        self._ledger = ledger
        self._reconciler = reconciler
        self._settler = settler
        self._prunes = prunes
        self._prune_every = prune_every
        self._clock = clock
        self._telemetry = telemetry
        self._trust: Trust | None = None
        self._steps = Steps(ledger.lease / 4)
        self._next_tidying = float("-inf")
        self.last: float | None = None
        """When the last round went well, this one's or another's: by the clock's count."""

    def go(self, interval: float = INTERVAL) -> float:
        """Make a round if it is time for one; return the seconds until the next.

        That is `interval` where nothing is to be done sooner. A service that is away is announced,
        and the next round tries again; whatever else goes wrong ends nobody who makes rounds.
        """
        try:
            sweep = self._round()
        except BackendUnavailable as error:
            self._telemetry.emit("reconcile.delayed", reason=str(error))
            return INTERVAL
        except Exception as error:  # noqa: BLE001  the next round may be luckier
            self._telemetry.emit("reconcile.failed", reason=repr(error))
            return INTERVAL
        self.last = self._clock.monotonic()
        return until_next(sweep, interval)

    def _round(self) -> Sweep | None:
        if self._trust is None:
            # Whoever rescued a moment ago knew that the database had been there for a lease.
            free = self._ledger.free_for(_RESCUE)
            was_there = free is not None and abs(free) < self._ledger.lease / 2
            self._trust = Trust(self._ledger.lease, is_given=was_there)
        if self._steps.look(self._clock.monotonic(), self._ledger.instant()):
            self._telemetry.emit("reconcile.clock_stepped")
            self._trust = Trust(self._ledger.lease, is_given=False)  # the living renew first
        is_mine = self._ledger.take_turn(_SWEEP, _TURN_LASTS)
        may_rescue = self._trust.reach(self._clock.monotonic())
        if may_rescue and self._ledger.take_turn(_RESCUE, _TURN_LASTS):
            self._settler.rescue()
        if not is_mine:
            return None
        sweep = self._reconciler.sweep()
        self._tidy()
        pause = until_next(sweep)
        if pause < _TURN_LASTS:
            self._ledger.set_turn(_SWEEP, pause)
        return sweep

    def _tidy(self) -> None:
        """Remove some of what is kept too long, now and then, if nobody else has just done so."""
        now = self._clock.monotonic()
        if now < self._next_tidying:
            return
        self._next_tidying = now + _ASK
        if self._ledger.take_turn(_PRUNING, self._prune_every) and self._prune():
            self._ledger.set_turn(_PRUNING, INTERVAL)  # there may be more
            self._next_tidying = now

    def _prune(self) -> bool:
        """Remove some of all that is kept too long; tell whether there may be more."""
        removed = [prune(PRUNED_AT_ONCE) for prune in self._prunes]
        return max(removed, default=0) >= PRUNED_AT_ONCE


def until_next(sweep: Sweep | None, interval: float = INTERVAL) -> float:
    """Return the seconds until the next round: sooner than usual if there is more to send."""
    if sweep is None:
        return interval
    if sweep.lost >= WINDOW or sweep.due >= WINDOW:
        return HASTE
    if sweep.next_due is None:
        return interval
    return min(interval, max(SHORTEST, sweep.next_due))
