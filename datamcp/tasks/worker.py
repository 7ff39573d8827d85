"""The worker's side of Celery: how a message becomes an attempt, and when it is acknowledged."""

import json
from contextlib import suppress
from typing import Any

from billiard.exceptions import SoftTimeLimitExceeded, Terminated, WorkerLostError
from celery import Task as CeleryTask
from celery.exceptions import Ignore, InvalidTaskError, Reject, TaskPredicate
from celery.worker.request import Request
from celery.worker.state import task_ready

from datamcp.errors import BackendUnavailable, DatamcpError, TaskExecutionError
from datamcp.tasks.celery_app import unawaited
from datamcp.tasks.claim import Delivery
from datamcp.tasks.enqueue import PlainCall
from datamcp.tasks.execute import Execution, Executor
from datamcp.tasks.ledger import is_claim, is_task
from datamcp.tasks.outcome import Cancel, Done, Fail, Outcome, TimedOut, settle
from datamcp.tasks.publish import HINT, TIMEOUT_GRACE, canvas_of
from datamcp.tasks.settle import Settler
from datamcp.tasks.states import State
from datamcp.tasks.watch import event_of
from datamcp.types import new_token

_FENCE = "datamcp_fence"

_MEANT_FOR_CELERY = (TaskPredicate, MemoryError)
"""Errors of a capability that Celery would take as orders: to retry, to reject, to end itself."""


class LedgerRequest(Request):  # type: ignore[misc]
    """A message in the worker's main process.

    A hint is acknowledged as soon as the pool takes it: from then on the ledger owns the task
    (protocol R5). A plain message is acknowledged when it is done, so that it can't be lost
    before it is adopted (R14). The fence of the coming claim is made here, so that this process
    can name the claim of a child that dies.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Read the message, and make a fence for it.

        Raises InvalidTaskError for one that can't be read: the worker drops it, and lives.
        """
        try:
            super().__init__(*args, **kwargs)
        except (TypeError, ValueError, AttributeError, LookupError) as error:
            raise InvalidTaskError(f"not a task's message: {error}") from error
        self.fence = new_token()
        self._request_dict[_FENCE] = self.fence

    def revoked(self) -> bool:
        """Cancel in the ledger, too, what Celery's own commands or Flower have revoked."""
        is_revoked = bool(super().revoked())
        if is_revoked:
            with suppress(BackendUnavailable):  # its row stays, and so does the revoke
                self._task.settler.cancel(is_task(self.id))
        return is_revoked

    def on_accepted(self, pid: int, time_accepted: float) -> None:
        """Acknowledge a hint: a slot of the pool has it."""
        super().on_accepted(pid, time_accepted)
        if HINT in self._request_dict:
            self.acknowledge()

    def on_failure(self, exc_info: Any, *args: Any, **kwargs: Any) -> Any:
        """Record what the child could not, because it is gone."""
        error = getattr(exc_info.exception, "exc", exc_info.exception)
        match error:
            case Terminated():
                self._task.settler.finish(self.id, self.fence, settle(Cancel()))
            case WorkerLostError() | SystemExit():
                self._give_back()
                return None
        outcome = super().on_failure(exc_info, *args, **kwargs)
        if isinstance(error, LeftToLedger):
            self._announce(error.state)
        return outcome

    def on_timeout(self, soft: bool, timeout: float) -> None:
        """Record the timeout of a child that has to be killed."""
        super().on_timeout(soft, timeout)
        if not soft:
            ending = settle(TimedOut(timeout - TIMEOUT_GRACE))
            self._task.settler.finish(self.id, self.fence, ending)

    def _give_back(self) -> None:
        task_ready(self)
        queued = self._task.settler.give_back(is_claim(self.id, self.fence))
        self.acknowledge()
        self._announce(State.QUEUED if queued else self._task.state_of(self.id))

    def _announce(self, state: State | None) -> None:
        event = event_of(state)
        if event is not None:
            self.send_event(event.type, **event.fields)


class LeftToLedger(Ignore):  # type: ignore[misc]
    """The ledger has decided what becomes of the task: Celery has nothing more to do with it.

    `state` is what the ledger says, if it is known and somebody is to be told.
    """

    def __init__(self, state: State | None) -> None:
        """Take the state."""
        super().__init__(state)
        self.state = state


class LedgerTask(CeleryTask):  # type: ignore[misc]
    """The Celery task of one task type."""

    Request = LedgerRequest
    # Late for Celery, so that LedgerRequest decides: at once for hints, at the end for others.
    acks_late = True
    acks_on_failure = True
    acks_on_timeout = True
    reject_on_worker_lost = False
    ignore_result = False
    typing = False
    throws = (DatamcpError, SoftTimeLimitExceeded)  # logged in a line, not with a traceback
    abstract = True

    executor: Executor
    settler: Settler

    def run(self, *args: Any, **kwargs: Any) -> Any:
        """Make one attempt at the task that the message names.

        Success is announced to Celery only if the ledger says so, so that no successor of a
        canvas starts otherwise (protocol R12).
        """
        request = self.request
        is_hint = request.get(HINT) is not None
        delivery = Delivery(
            task_id=request.id,
            task_type=self.name,
            fence=request.get(_FENCE) or new_token(),
            agent_id=request.hostname,
            is_hint=is_hint,
            is_carried=bool(request.chain or request.chord or request.callbacks),
            args=args,
            kwargs=kwargs,
            plain=None if is_hint else _plain_call(request),
        )
        unawaited.set(False)
        execution = self._execute(delivery)
        if execution is None:
            raise LeftToLedger(self.state_of(request.id))
        if execution.state is State.CANCELLED:
            raise LeftToLedger(execution.state)
        unawaited.set(execution.is_step)  # holds for what Celery sends next: the rest of a canvas
        if execution.is_step and execution.state is not State.SUCCEEDED:
            self.request.chord = None  # the ledger decides about the body; Celery would only log
        return self._answer(execution.outcome)

    def _execute(self, delivery: Delivery) -> Execution | None:
        try:
            return self.executor.execute(delivery)
        except BackendUnavailable as error:
            if delivery.is_hint:
                # Its row stays, and will be sent again (R4).
                raise LeftToLedger(State.QUEUED) from error
            raise Reject(str(error), requeue=True) from error  # it may not be in the ledger yet

    def _answer(self, outcome: Outcome) -> Any:
        match outcome:
            case Done(result):
                return json.loads(result)
            case Fail(code, message, exception):
                if isinstance(exception, Exception) and not isinstance(
                    exception, _MEANT_FOR_CELERY
                ):
                    raise exception
                raise TaskExecutionError(self.request.id, code, message) from exception
            case TimedOut(timeout):
                raise SoftTimeLimitExceeded(timeout)
            case Cancel():
                raise LeftToLedger(State.CANCELLED)

    def state_of(self, task_id: str) -> State | None:
        """Return a task's state in the ledger, if anybody is to be told of it."""
        if not self.app.conf.worker_send_task_events:
            return None
        try:
            return self.executor.state_of(task_id)
        except BackendUnavailable:
            return None


def _plain_call(request: Any) -> PlainCall:
    """Return what a plain message asks for, to be kept when it is adopted."""
    names = ("callbacks", "chain", "chord", "errbacks", "group_index", "parent_id", "root_id")
    carried = {name: getattr(request, name) for name in names} | {"group_id": request.group}
    return PlainCall(not request.ignore_result, canvas_of(carried))
