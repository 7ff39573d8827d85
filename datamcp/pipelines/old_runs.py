"""Removes runs that are kept too long, with their steps, their files, and what they left to others."""

from collections.abc import Callable
from datetime import timedelta

from datamcp.clock import Clock
from datamcp.pipelines.ledger import PipelineLedger
from datamcp.storage.store import Artifacts

_ORPHANED = timedelta(days=1)  # after which files are nobody's whose run is not in the ledger


class OldRuns:
    """Removes runs. Safe to share between threads."""

    def __init__(
        self,
        ledger: PipelineLedger,
        artifacts: Artifacts,
        age: float,
        clock: Clock,
        *,
        leave_files_to: Callable[[], None] | None = None,
    ) -> None:
        """Take where runs are kept, and for how many seconds after their end.

        `leave_files_to` has `clean` called elsewhere, where files are too far away to wait for.
        """
        self._ledger = ledger
        self._artifacts = artifacts
        self._age = age
        self._clock = clock
        self._leave_files_to = leave_files_to

    def prune(self, limit: int) -> int:
        """Remove some runs; return how many rows these were.

        First the rows go, in one transaction with what refers to the files; then the files. Files
        that a crash has left behind are removed a day later.
        """
        if self._leave_files_to is not None:
            removed = self._ledger.prune(self._age, limit)
            self._leave_files_to()
            return removed
        removed = self._ledger.prune(self._age, limit, self._forget)
        self.clean()
        return removed

    def clean(self) -> None:
        """Remove files whose run is not in the ledger, and that are a day old.

        BackendUnavailable if the store does not answer.
        """
        before = self._clock.now() - _ORPHANED
        for run_id in self._artifacts.orphans(before, self._is_kept):
            self._artifacts.remove(run_id)

    def _is_kept(self, run_id: str) -> bool:
        return self._ledger.run(run_id) is not None

    def _forget(self, run_ids: list[str]) -> None:
        for run_id in run_ids:
            self._artifacts.remove(run_id)
