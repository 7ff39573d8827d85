"""Answers plain Celery calls that end where Celery does not see it: `AsyncResult.get()` returns.

An attempt's own end is stored by Celery, in the process that made it. A call that is cancelled,
or that no process survives, ends in the ledger alone (protocol R14).
"""

from collections.abc import Sequence

from datamcp.errors import BackendUnavailable, TaskExecutionError
from datamcp.tasks.celery_app import LedgerCelery
from datamcp.tasks.ledger import Settled
from datamcp.tasks.publish import broker_errors
from datamcp.tasks.states import State
from datamcp.telemetry import Telemetry


class BackendAnswers:
    """Stores ends at Celery's result backend."""

    def __init__(self, app: LedgerCelery, telemetry: Telemetry) -> None:
        """Take the app whose backend is used; nothing is opened yet."""
        self._app = app
        self._telemetry = telemetry

    def answer(self, settled: Sequence[Settled]) -> None:
        """Tell those who wait for these calls; what the backend can't take now is lost to them."""
        for row in settled:
            if row.celery_result and not row.is_repeat:
                self._store(row)

    def _store(self, row: Settled) -> None:
        message = row.error_message or ""
        try:
            with broker_errors(self._app):
                if row.state is State.CANCELLED:
                    self._app.backend.mark_as_revoked(row.task_id, message)
                else:
                    error = TaskExecutionError(row.task_id, str(row.error_code), message)
                    self._app.backend.mark_as_failure(row.task_id, error)
        except BackendUnavailable as error:
            self._telemetry.emit("task.unanswered", task_id=row.task_id, reason=error.reason)
