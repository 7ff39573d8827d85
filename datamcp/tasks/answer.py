"""Answers plain Celery calls that end where Celery does not see it: `AsyncResult.get()` returns.

An attempt's own end is stored by Celery, in the process that made it. A call that is cancelled,
or that no process survives, ends in the ledger alone (protocol R14). What belongs to its message,
the count of a chord and the error callbacks, is kept in its row.
"""

from collections.abc import Sequence

from celery.app.task import Context

from datamcp.errors import BackendUnavailable, TaskExecutionError
from datamcp.tasks.celery_app import LedgerCelery
from datamcp.tasks.ledger import Settled
from datamcp.tasks.publish import broker_errors, carried
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
            if (row.celery_result or row.canvas) and not row.is_repeat:
                self._store(row)

    def _store(self, row: Settled) -> None:
        message, request = row.error_message or "", request_of(row)
        backend, is_awaited = self._app.backend, row.celery_result
        try:
            with broker_errors(self._app):
                if row.state is State.CANCELLED:
                    backend.mark_as_revoked(row.task_id, message, request, store_result=is_awaited)
                else:
                    error = TaskExecutionError(row.task_id, str(row.error_code), message)
                    backend.mark_as_failure(
                        row.task_id, error, request=request, store_result=is_awaited
                    )
        except BackendUnavailable as error:
            self._telemetry.emit("task.unanswered", task_id=row.task_id, reason=error.reason)


def request_of(row: Settled) -> Context:
    """Return what Celery knows of a running task, from what its row keeps."""
    parts = carried(row.canvas)
    parts["group"] = parts.pop("group_id", None)
    names = {"root_id": row.root_id, "parent_id": row.parent_id, "task": row.task_type}
    known = {**names, **parts, "id": row.task_id, "delivery_info": {}, "args": (), "kwargs": {}}
    return Context({**known, "ignore_result": not row.celery_result})
