"""A message in a worker's main process: when it is acknowledged, and what ends outside of a child."""

from contextlib import suppress
from typing import Any

from billiard.exceptions import Terminated, WorkerLostError
from celery.exceptions import Ignore, InvalidTaskError
from celery.worker.request import Request
from celery.worker.state import task_ready

from datamcp.errors import BackendUnavailable
from datamcp.tasks.ledger import is_claim, is_task
from datamcp.tasks.outcome import Cancel, TimedOut, settle
from datamcp.tasks.publish import HINT
from datamcp.tasks.states import State
from datamcp.tasks.watch import event_of
from datamcp.types import new_token

FENCE = "datamcp_fence"
"""The header under which the main process tells a child the fence of its claim."""


class LeftToLedger(Ignore):  # type: ignore[misc]
    """The ledger has decided what becomes of the task: Celery has nothing more to do with it.

    `state` is what the ledger says, if it is known and somebody is to be told.
    """

    def __init__(self, state: State | None) -> None:
        """Take the state."""
        super().__init__(state)
        self.state = state


class LedgerRequest(Request):  # type: ignore[misc]
    """A message in the worker's main process.

    A hint is acknowledged as soon as the pool takes it: from then on the ledger owns the task
    (protocol R5). A plain message is acknowledged when it is done, so that it can't be lost
    before it is adopted (R14); one with a time to come is adopted at once, too. The fence of the
    coming claim is made here, so that this process can name the claim of a child that dies.
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
        self._request_dict[FENCE] = self.fence
        self._eta = None  # the row waits for it, not this process

    @property
    def is_hint(self) -> bool:
        """Tell whether the message names a row, and carries nothing else."""
        return HINT in self._request_dict

    def revoked(self) -> bool:
        """Cancel in the ledger, too, what Celery's own commands or Flower have revoked."""
        is_revoked = bool(super().revoked())
        if is_revoked:
            self._cancel()
        return is_revoked

    def terminate(self, pool: Any, signal: Any = None) -> None:
        """End the attempt at once; the ledger is told first, so that this is a cancel (R9)."""
        self._cancel()
        super().terminate(pool, signal)

    def on_accepted(self, pid: int, time_accepted: float) -> None:
        """Acknowledge a hint: a slot of the pool has it."""
        super().on_accepted(pid, time_accepted)
        if self.is_hint:
            self.acknowledge()

    def on_failure(self, exc_info: Any, *args: Any, **kwargs: Any) -> Any:
        """Record what the child could not, because it is gone."""
        error = getattr(exc_info.exception, "exc", exc_info.exception)
        match error:
            case Terminated():
                self._task.settler.finish(self.id, self.fence, settle(Cancel()))
            case WorkerLostError() | SystemExit() if not self._already_revoked:
                self._give_back()
                return None
            case SystemExit():
                self._task.settler.finish(self.id, self.fence, settle(Cancel()))
        outcome = super().on_failure(exc_info, *args, **kwargs)
        if isinstance(error, LeftToLedger):
            self._announce(error.state)
        return outcome

    def on_timeout(self, soft: bool, timeout: float) -> None:
        """Record the timeout of a child that has to be killed; tell Celery's hooks if it counts."""
        if soft:
            super().on_timeout(soft, timeout)
            return
        ending = settle(TimedOut(self.time_limits[1] or timeout))
        settled = self._task.settler.finish(self.id, self.fence, ending)
        if settled is not None and settled.state is State.TIMED_OUT:
            self._recall()
            super().on_timeout(soft, timeout)
            return
        task_ready(self)
        self.acknowledge()
        self._announce(None if settled is None else settled.state)

    def _recall(self) -> None:
        """Get the arguments, for hooks that run in this process: a hint has none."""
        if self.is_hint:
            self._args, self._kwargs = self._task.arguments_of(self.id)
            self._request_dict.update(args=self._args, kwargs=self._kwargs)

    def _cancel(self) -> None:
        with suppress(BackendUnavailable):  # its row stays; a revoke holds for its next message
            self._task.settler.cancel(is_task(self.id))

    def _give_back(self) -> None:
        task_ready(self)
        queued = self._task.settler.give_back(is_claim(self.id, self.fence))
        state = State.QUEUED if queued else self._task.executor.state_of(self.id)
        if state is None and not self.is_hint:
            self.reject(requeue=True)  # it was not adopted yet
        else:
            self.acknowledge()
        self._announce(state)

    def _announce(self, state: State | None) -> None:
        event = event_of(state)
        if event is not None:
            self.send_event(event.type, **event.fields)
