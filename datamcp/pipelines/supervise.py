"""What every sweep does for runs: times that have come, and what a process left undone that died."""

from datamcp.clock import Clock
from datamcp.pipelines.director import Director
from datamcp.pipelines.end import Ends
from datamcp.pipelines.ledger import PipelineLedger
from datamcp.pipelines.run_ledger import RunLedger
from datamcp.pipelines.step_ledger import StepLedger
from datamcp.tasks.ledger import is_of_run
from datamcp.tasks.settle import Settler

_MOST = 100  # of each kind, in one sweep


class Supervisor:
    """Looks after runs, in every process that sweeps."""

    def __init__(
        self,
        *,
        runs: RunLedger,
        ledger: PipelineLedger,
        steps: StepLedger,
        settler: Settler,
        director: Director,
        ends: Ends,
        clock: Clock,
        interval: float,
    ) -> None:
        """Take the parts, and after how many seconds the unlikely is looked for again."""
        self._runs = runs
        self._ledger = ledger
        self._steps = steps
        self._settler = settler
        self._director = director
        self._ends = ends
        self._clock = clock
        self._interval = interval
        self._next_look = float("-inf")

    def sweep(self) -> float | None:
        """Do what is due; return in how many seconds the next run is due, None if none is.

        Raises BackendUnavailable.
        """
        self._director.advance(self._steps.wake_due(_MOST))
        for run_id in [*self._runs.stop_overdue(_MOST), *self._runs.orphans(_MOST)]:
            self._settler.cancel(is_of_run(run_id))
        self._ends.late(_MOST)
        self._director.admit()
        self._director.advance(self._steps.runs_undecided(_MOST))
        if self._clock.monotonic() >= self._next_look:
            self._next_look = self._clock.monotonic() + self._interval
            self._look_closer()
        return self._runs.seconds_until_due()

    def _look_closer(self) -> None:
        """Look for what only a crash at a bad moment leaves."""
        for run_id in self._runs.to_be_stopped(_MOST):
            self._settler.cancel(is_of_run(run_id))
        over = self._runs.to_be_closed(_MOST)
        self._director.end([run_id for run_id in over if self._close(run_id)])
        self._ends.tell_again(_MOST)

    def _close(self, run_id: str) -> bool:
        with self._ledger.database.transaction() as connection:
            return self._ledger.close(connection, run_id)
