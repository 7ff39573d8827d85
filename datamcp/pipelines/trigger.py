"""Start a run: insert it whole, and send its first steps."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from datamcp.clock import Clock
from datamcp.pipelines.countdown import Counted
from datamcp.pipelines.ledger import PipelineLedger
from datamcp.pipelines.prepare import NewRunWithSteps, Preparer, Wanted


@dataclass(frozen=True, slots=True)
class Begun:
    """A run that is there, and what it begins with; None if it was there before."""

    run_id: str
    first: Sequence[Counted] | None


class Trigger:
    """Starts runs."""

    def __init__(
        self,
        *,
        ledger: PipelineLedger,
        preparer: Preparer,
        start: Callable[[str, Sequence[Counted] | None], bool],
        clock: Clock,
    ) -> None:
        """Take the parts; `start` sends what a run begins with, and raises nothing."""
        self._ledger = ledger
        self._preparer = preparer
        self._start = start
        self._clock = clock

    def prepare(
        self, pipeline_id: str, parameters: Mapping[str, Any], wanted: Wanted
    ) -> NewRunWithSteps:
        """Return a run as it is to be inserted; raises as `Preparer.prepare`."""
        return self._preparer.prepare(pipeline_id, parameters, wanted)

    def insert(self, pipeline_id: str, parameters: Mapping[str, Any], wanted: Wanted) -> Begun:
        """Insert a run with all its steps; raises as `prepare` does.

        It is due at once, or at `wanted.scheduled_at`. A run that is there already stays as it is.
        """
        new = self.prepare(pipeline_id, parameters, wanted)
        return Begun(new.run.run_id, self._ledger.start(new.run, new.steps))

    def is_due(self, scheduled_at: datetime | None) -> bool:
        """Tell whether a run for this instant may start now; what is not due is sent in time."""
        return scheduled_at is None or scheduled_at <= self._clock.now()

    def send(self, run_id: str, first: Sequence[Counted] | None = None) -> bool:
        """Send the first steps of a run that is due; tell whether the broker took them.

        They are looked up if the caller does not know them.
        """
        return self._start(run_id, first)
