"""What `AsyncResult` says: Celery's result backend, or the ledger where that knows nothing.

Results of plain calls are kept at the backend. Of any other task, and of a step of a run, the
ledger tells: so `celery result ID` answers for every task there is.
"""

import json
import sys
from collections.abc import Callable
from typing import Any

from celery import states
from celery.exceptions import TaskRevokedError, TimeoutError  # noqa: A004  Celery's own
from celery.result import AsyncResult, assert_will_not_block

from datamcp.errors import ResultTimeoutError, TaskExecutionError
from datamcp.tasks.attempt import unawaited
from datamcp.tasks.states import FINAL, State

_CELERY_STATES = {
    State.RUNNING: states.STARTED,
    State.RETRYING: states.RETRY,
    State.SUCCEEDED: states.SUCCESS,
    State.FAILED: states.FAILURE,
    State.TIMED_OUT: states.FAILURE,
    State.UPSTREAM_FAILED: states.FAILURE,
    State.CANCELLED: states.REVOKED,
    State.SKIPPED: states.REVOKED,
}
"""Celery's words for our states; the others are PENDING."""


class LedgerResult(AsyncResult):  # type: ignore[misc]
    """Celery's result, which asks the ledger where the result backend knows nothing."""

    is_plain = False
    """Whether it is known to be the result of a plain call, which the backend will know."""

    def __del__(self, _ends: Callable[[], bool] = sys.is_finalizing) -> None:
        """Take the subscription back, unless the program ends: nothing can be sent any more."""
        if not _ends():
            super().__del__()

    def then(self, *args: Any, **kwargs: Any) -> Any:
        """Subscribe, unless nobody awaits this: a group makes one promise for each member."""
        return None if unawaited.get() else super().then(*args, **kwargs)

    def get(
        self,
        timeout: float | None = None,
        *args: Any,
        disable_sync_subtasks: bool = True,
        **options: Any,
    ) -> Any:
        """Wait until the task has ended, as Celery's `get` does."""
        if not self.ignored and self._is_ours():
            if disable_sync_subtasks:
                assert_will_not_block()
            self._wait(timeout)
        return super().get(timeout, *args, disable_sync_subtasks=disable_sync_subtasks, **options)

    def _wait(self, timeout: float | None) -> None:
        try:
            self.app.runtime.tasks.result(self.id, timeout)
        except ResultTimeoutError as error:
            raise TimeoutError(str(error)) from error
        self._get_task_meta()

    def _get_task_meta(self) -> Any:
        meta = super()._get_task_meta()
        row = self._row() if meta["status"] == states.PENDING else None
        return meta if row is None else self._maybe_set_cache({**meta, **meta_of(row)})

    def _is_ours(self) -> bool:
        """Tell whether the backend will never know of the task, and the ledger does."""
        known = self._cache is None and self.backend.get_task_meta(self.id)["status"]
        return known == states.PENDING and self._row() is not None

    def _row(self) -> Any:
        """Return the row of a task that is no plain call; None for any other."""
        if self.is_plain or self.app.executor is None or self.app.runtime is None:
            return None
        row = self.app.executor.row_of(self.id)
        return None if row is None or row.celery_result else row


def meta_of(row: Any) -> dict[str, Any]:
    """Return what Celery's result backend would keep of a row."""
    state = State(row.state)
    result: Any = None
    match state:
        case State.SUCCEEDED:
            result = None if row.result is None else json.loads(row.result)
        case State.CANCELLED | State.SKIPPED:
            result = TaskRevokedError(row.error_message or state.value)
        case _ if state in FINAL:
            result = TaskExecutionError(row.task_id, str(row.error_code), row.error_message or "")
    status = _CELERY_STATES.get(state, states.PENDING)
    return {"status": status, "result": result, "children": []}
