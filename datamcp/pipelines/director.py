"""What follows an end once it is written: decisions, messages, runs that may begin, notices.

All of it may be lost with the process: whatever it does not do, the supervisor's sweeps do.
"""

from collections import deque
from collections.abc import Iterable, Sequence
from typing import Literal

from datamcp.errors import BackendUnavailable, DatamcpError
from datamcp.pipelines.admission import Admission
from datamcp.pipelines.advance import Advancer, Decided
from datamcp.pipelines.countdown import Counted
from datamcp.pipelines.crowd import ALL_STEPS
from datamcp.pipelines.end import Ends
from datamcp.pipelines.run import Runs
from datamcp.pipelines.step_ledger import StepLedger
from datamcp.tasks.ports import FollowUp, Notifier
from datamcp.telemetry import Telemetry

_KEPT_OUT = 4  # runs that are looked at when somebody leaves the limit that they wait for

Errand = tuple[Literal["advance", "start", "over"], str]


class Director:
    """Keeps runs going. Safe to share between threads."""

    def __init__(
        self,
        *,
        advancer: Advancer,
        steps: StepLedger,
        runs: Runs,
        admission: Admission,
        ends: Ends,
        notifier: Notifier,
        telemetry: Telemetry,
    ) -> None:
        """Take those who decide, send, and tell."""
        self._advancer = advancer
        self._steps = steps
        self._runs = runs
        self._admission = admission
        self._ends = ends
        self._notifier = notifier
        self._telemetry = telemetry

    def go_on(self, follow_up: FollowUp) -> None:
        """Do what follows ends that were written; raises nothing."""
        if not follow_up.is_to_be_carried_on:
            return
        self._do([("over", run_id) for run_id in follow_up.finished_runs])
        self._do([("advance", run_id) for run_id in follow_up.undecided])
        for key in follow_up.limits:
            self._do([("advance", run_id) for run_id in self._kept_out(key)])

    def start(self, run_id: str, first: Sequence[Counted] | None = None) -> bool:
        """Send what a run begins with; tell whether the broker took it.

        `first` are the steps that it begins with; they are looked up where that is not known.
        """
        is_sent = self._runs.start(run_id, first)
        if first is None or any(one.is_undecided for one in first):
            self._do([("advance", run_id)])
        return is_sent

    def advance(self, run_ids: Iterable[str]) -> None:
        """Decide about runs, and do what follows; raises nothing."""
        self._do([("advance", run_id) for run_id in run_ids])

    def follow(self, run_id: str, decided: Decided) -> None:
        """Do what follows a decision that was written; raises nothing."""
        self._do(self._act(run_id, decided))

    def admit(self) -> None:
        """Let runs begin for which there is room; raises nothing."""
        self._do([("start", run_id) for run_id in self._admitted()])

    def end(self, run_ids: Iterable[str]) -> None:
        """Do what follows the ends of runs; raises nothing."""
        self._do([("over", run_id) for run_id in run_ids])

    def _do(self, errands: Iterable[Errand]) -> None:
        todo = deque(errands)
        while todo:
            what, run_id = todo.popleft()
            try:
                match what:
                    case "advance":
                        todo.extend(self._act(run_id, self._advancer.advance(run_id)))
                    case "start":
                        self._runs.start(run_id)
                        todo.append(("advance", run_id))
                    case "over":
                        todo.extend(self._after(run_id))
            except BackendUnavailable as error:
                self._telemetry.emit("run.delayed", run_id=run_id, reason=error.reason)
            except Exception as error:  # noqa: BLE001  other runs are not to wait for this one
                self._telemetry.emit("run.undecided", run_id=run_id, reason=repr(error))

    def _act(self, run_id: str, decided: Decided) -> list[Errand]:
        if decided.hints:
            self._telemetry.emit("run.released", run_id=run_id, steps=len(decided.hints))
            self._runs.send_apart(run_id, decided.hints)
        todo: list[Errand] = [("start", child) for child in decided.started_runs]
        for key in dict.fromkeys(decided.limits):
            todo += [("advance", kept_out) for kept_out in self._kept_out(key)]
        if decided.is_over:
            self._notifier.announce([run_id])
            todo.append(("over", run_id))
        return todo

    def _after(self, run_id: str) -> list[Errand]:
        """Tell who wants to know that a run has ended; the one that waits for it, and for room."""
        parent = self._ends.tell(run_id)
        todo: list[Errand] = [("start", admitted) for admitted in self._admitted()]
        if parent is not None:
            todo.append(("advance", parent))
        return todo

    def _admitted(self) -> Iterable[str]:
        try:
            return self._admission.admit()
        except DatamcpError as error:
            self._telemetry.emit("run.delayed", run_id="", reason=str(error))
            return ()

    def _kept_out(self, key: str) -> Iterable[str]:
        try:
            if key == ALL_STEPS:
                return self._steps.runs_with_fewest(_KEPT_OUT)
            return self._steps.runs_kept_out(key, _KEPT_OUT)
        except BackendUnavailable as error:
            self._telemetry.emit("run.delayed", run_id="", reason=error.reason)
            return ()
