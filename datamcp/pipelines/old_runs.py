"""Removes runs that are kept too long, with their steps, their files, and what they left to others."""

from datetime import timedelta

from datamcp.clock import Clock
from datamcp.pipelines.ledger import PipelineLedger
from datamcp.storage.artifacts import ArtifactStore

_ORPHANED = timedelta(days=1)  # after which files are nobody's whose run is not in the ledger


class OldRuns:
    """Removes runs. Safe to share between threads."""

    def __init__(
        self,
        ledger: PipelineLedger,
        artifacts: ArtifactStore,
        age: float,
        clock: Clock,
    ) -> None:
        """Take where runs are kept, and for how many seconds after their end."""
        self._ledger = ledger
        self._artifacts = artifacts
        self._age = age
        self._clock = clock

    def prune(self, limit: int) -> int:
        """Remove some runs; return how many rows these were.

        First the rows go, in one transaction with what refers to the files; then the files. Files
        that a crash has left behind are removed a day later.
        """
        removed = self._ledger.prune(self._age, limit, self._forget)
        for run_id in self._artifacts.runs_untouched_since(self._clock.now() - _ORPHANED):
            if self._ledger.run(run_id) is None:
                self._artifacts.remove(run_id)
        return removed

    def _forget(self, run_ids: list[str]) -> None:
        for run_id in run_ids:
            self._artifacts.remove(run_id)
