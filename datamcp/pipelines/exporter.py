"""Where the export of a run is gathered: a handful of queries, however many steps it has."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from datamcp.clock import Clock
from datamcp.errors import RunNotFoundError
from datamcp.infra.database import Row
from datamcp.pipelines.export import RunExport, StepAttempt, edges_of
from datamcp.pipelines.history_ledger import HistoryLedger
from datamcp.pipelines.orchestrator import SyncPipelineOrchestrator
from datamcp.tasks.task import TaskLogLine

MOST_ATTEMPTS = 100  # earlier ones of one step
MOST_LINES = 200  # of one step's log


class StepLogLine(TaskLogLine):
    """A line that a step of a run has logged."""

    step_id: str


class RunExporter:
    """Gathers what is known of a run. Reads only; safe to share between threads."""

    def __init__(
        self,
        *,
        pipelines: SyncPipelineOrchestrator,
        history: HistoryLedger,
        clock: Clock,
        version: str,
    ) -> None:
        """Take the parts; `version` is that of datamcp."""
        self._pipelines = pipelines
        self._history = history
        self._clock = clock
        self._version = version

    def export(self, run_id: str, *, has_logs: bool = False) -> RunExport:
        """Return a run as it is now, with the last log lines of its steps if they are asked for.

        Raises RunNotFoundError.
        """
        status = self._pipelines.monitor_execution(run_id)
        revision = self._history.revision(run_id)
        if revision is None:  # it was old, and is gone since a moment
            raise RunNotFoundError(run_id)
        pipeline = self._pipelines.get_pipeline(status.pipeline_id, revision)
        attempts: dict[str, list[StepAttempt]] = defaultdict(list)
        for row in self._history.attempts(run_id, each=MOST_ATTEMPTS):
            attempts[row.step_id].append(_attempt(row))
        return RunExport(
            datamcp_version=self._version,
            exported_at=self._clock.now(),
            pipeline=pipeline,
            status=status,
            edges=edges_of(pipeline.definition),
            attempts={step_id: tuple(made) for step_id, made in attempts.items()},
            logs=self._logs(run_id) if has_logs else None,
        )

    def lines(
        self, run_id: str, *, limit: int, step_id: str | None = None, attempt: int | None = None
    ) -> Sequence[StepLogLine]:
        """Return the last lines that the steps of a run have logged, the oldest first.

        Empty for a run, a step or an attempt that is not there.
        """
        rows = self._history.logs(run_id, each=limit, step_id=step_id, attempt=attempt)
        return [StepLogLine(step_id=row.step_id, **_line(row)) for row in rows[-limit:]]

    def _logs(self, run_id: str) -> dict[str, tuple[TaskLogLine, ...]]:
        lines: dict[str, list[TaskLogLine]] = defaultdict(list)
        for row in self._history.logs(run_id, each=MOST_LINES):
            lines[row.step_id].append(TaskLogLine(**_line(row)))
        return {step_id: tuple(found) for step_id, found in lines.items()}


def _attempt(row: Row[Any]) -> StepAttempt:
    return StepAttempt(**{name: getattr(row, name) for name in StepAttempt.model_fields})


def _line(row: Row[Any]) -> dict[str, Any]:
    return {name: getattr(row, name) for name in TaskLogLine.model_fields}
