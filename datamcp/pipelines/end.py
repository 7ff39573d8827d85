"""What a run's end is to others: notices of it, and the run that waits for it."""

from typing import Any

from datamcp.errors import DatamcpError
from datamcp.infra.database import Row
from datamcp.pipelines.compiled import Catalogue
from datamcp.pipelines.notices import Notice, NoticeKind, Notices
from datamcp.pipelines.run_ledger import RunLedger
from datamcp.pipelines.status import RunState
from datamcp.telemetry import Telemetry

_KINDS: dict[RunState, NoticeKind] = {
    RunState.SUCCEEDED: "run_succeeded",
    RunState.FAILED: "run_failed",
    RunState.CANCELLED: "run_cancelled",
}


class Ends:
    """Tells of ends. Safe to share between threads."""

    def __init__(
        self, runs: RunLedger, catalogue: Catalogue, notices: Notices, telemetry: Telemetry
    ) -> None:
        """Take where runs are kept, and who tells people."""
        self._runs = runs
        self._catalogue = catalogue
        self._notices = notices
        self._telemetry = telemetry

    def tell(self, run_id: str) -> str | None:
        """Tell of a run's end; return the run that waits for it, if one does."""
        row = self._runs.ended(run_id)
        self._telemetry.emit(
            "run.finished", run_id=run_id, pipeline_id=row.pipeline_id, state=row.state
        )
        if row.notice is not None:
            self._notify(row)
        parent: str | None = row.parent
        return parent

    def tell_again(self, limit: int) -> None:
        """Tell of ends that nobody was told of, as whoever was to is gone, or could not."""
        for row in self._runs.untold(limit):
            self._notify(row)

    def late(self, limit: int) -> None:
        """Tell, and note, which runs still go on though their deadline has passed."""
        for row in self._runs.late(limit):
            definition = self._catalogue.revision(row.pipeline_id, row.revision).definition
            notice = Notice(
                kind="deadline_missed",
                run_id=row.run_id,
                pipeline_id=row.pipeline_id,
                at=row.now,
                channels=definition.on_failure,
                error_message=f"it still goes on after {row.deadline:g} s",
            )
            if self._send(notice):
                self._runs.note_late(row.run_id)

    def _notify(self, row: Row[Any]) -> None:
        definition = self._catalogue.revision(row.pipeline_id, row.revision).definition
        is_good = row.state == RunState.SUCCEEDED
        notice = Notice(
            kind=_KINDS[RunState(row.state)],
            run_id=row.run_id,
            pipeline_id=row.pipeline_id,
            at=row.finished_at,
            channels=definition.on_success if is_good else definition.on_failure,
            error_code=row.error_code,
            error_message=row.error_message,
        )
        if notice.channels and not self._send(notice):
            return  # it is tried again
        self._runs.told(row.run_id)

    def _send(self, notice: Notice) -> bool:
        try:
            self._notices.send(notice)
        except DatamcpError as error:
            self._telemetry.emit("run.notice_failed", run_id=notice.run_id, reason=str(error))
            return False
        return True
