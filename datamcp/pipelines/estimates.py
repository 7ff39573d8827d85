"""When runs will probably end, with the lengths of earlier runs remembered for a while."""

from datetime import datetime

from datamcp.clock import Clock
from datamcp.pipelines.compiled import Recent
from datamcp.pipelines.definition import PipelineDefinition
from datamcp.pipelines.eta import Samples, estimated_completion
from datamcp.pipelines.graph import upstreams_of
from datamcp.pipelines.history_ledger import HistoryLedger
from datamcp.pipelines.status import PipelineStatus

_FRESH = 60.0  # seconds that lengths of earlier runs are believed
_RUNS = 20  # that are looked at


class Estimates:
    """Estimates the ends of runs. Safe to share between threads."""

    def __init__(self, history: HistoryLedger, *, clock: Clock) -> None:
        """Take where earlier runs are kept."""
        self._history = history
        self._clock = clock
        self._past: Recent[str, tuple[float, Samples]] = Recent()

    def completion(self, status: PipelineStatus, definition: PipelineDefinition) -> datetime | None:
        """Return when a run will probably end; None if it has ended or nobody can tell."""
        if status.is_final:
            return None
        return estimated_completion(
            status,
            upstreams_of(definition),
            self._samples(status.pipeline_id),
            self._clock.now(),
            at_once=definition.limits.steps,
        )

    def _samples(self, pipeline_id: str) -> Samples:
        now, kept = self._clock.monotonic(), self._past.get(pipeline_id)
        if kept is not None and now - kept[0] < _FRESH:
            return kept[1]
        samples = self._history.step_seconds(pipeline_id, limit=_RUNS)
        self._past.keep(pipeline_id, (now, samples))
        return samples
