"""`rt.tasks`: the façade of the task engine, synchronous, with an awaitable twin."""

import asyncio
import json
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import Executor as ThreadPool
from concurrent.futures import Future
from datetime import timedelta
from typing import Any, TypeVar

from datamcp.errors import ResultTimeoutError, TaskNotFoundError
from datamcp.infra.database import Row
from datamcp.tasks.enqueue import Enqueued, Enqueuer
from datamcp.tasks.ledger import TaskLedger, is_task
from datamcp.tasks.settle import Settler
from datamcp.tasks.states import FINAL, WAITING, State
from datamcp.tasks.task import Task, TaskEvent, TaskResult, TaskStatus
from datamcp.tasks.waiter import Waiter

_AT_ONCE = timedelta(milliseconds=1)  # one statement may read the database's clock twice

T = TypeVar("T")


class Tasks:
    """Enqueue tasks, and ask what became of them. Safe to share between threads."""

    def __init__(
        self,
        *,
        ledger: TaskLedger,
        enqueuer: Enqueuer,
        settler: Settler,
        waiter: "Waiter[TaskResult]",
        threads: ThreadPool,
    ) -> None:
        """Take the parts."""
        self._ledger = ledger
        self._enqueuer = enqueuer
        self._settler = settler
        self._waiter = waiter
        self.aio = AsyncTasks(self, threads)

    def enqueue(self, task: Task) -> str:
        """Take in a task and return its id; it is durable when this returns.

        Raises UnknownTaskTypeError, InvalidParametersError or IdempotencyConflictError with
        nothing written, and BackendUnavailable if the database is away. A broker that is away is
        no error: the task waits in the ledger and is published once the broker is back. A task
        that asks for retries is refused with TaskError.
        """
        return self.submit(task).task_id

    def submit(self, task: Task) -> Enqueued:
        """Take in a task as `enqueue` does; the answer also says whether it is published."""
        return self._enqueuer.enqueue(task)

    def status(self, task_id: str) -> TaskStatus:
        """Return how far a task is; raises TaskNotFoundError."""
        return status_of(self._row(task_id))

    def result(self, task_id: str, timeout: float | None = None) -> TaskResult:
        """Wait up to `timeout` seconds for a task's end and return how it ended.

        A failed task is a result too, with `success` false. Raises TaskNotFoundError, or
        ResultTimeoutError when time is up: the task goes on all the same.
        """
        row = self._row(task_id)
        if State(row.state) in FINAL:
            return result_of(row)
        future = self._waiter.future(task_id)
        try:
            return future.result(timeout)
        except TimeoutError as error:
            future.cancel()
            raise ResultTimeoutError(task_id, timeout or 0, self._row(task_id).state) from error

    def awaited(self, task_id: str) -> "Future[TaskResult]":
        """Return a future of a task's end; raises TaskNotFoundError."""
        self._row(task_id)
        return self._waiter.future(task_id)

    def cancel(self, task_id: str) -> bool:
        """Cancel a task; False if it had already ended.

        A task that waits never starts. A running one is told at its next heartbeat, and ends
        cancelled however it ends.
        """
        if State(self._row(task_id).state) in FINAL:
            return False
        self._settler.cancel(is_task(task_id))
        row = self._row(task_id)
        return State(row.state) not in FINAL or State(row.state) is State.CANCELLED

    def list(
        self,
        *,
        state: State | None = None,
        task_type: str | None = None,
        run_id: str | None = None,
        limit: int = 50,
    ) -> Sequence[TaskStatus]:
        """Return tasks, the newest first."""
        rows = self._ledger.list(state=state, task_type=task_type, run_id=run_id, limit=limit)
        return [status_of(row) for row in rows]

    def history(self, task_id: str) -> Sequence[TaskEvent]:
        """Return what happened to a task, the oldest first; raises TaskNotFoundError."""
        return history_of(self._row(task_id))

    def _row(self, task_id: str) -> Row[Any]:
        row = self._ledger.get(task_id)
        if row is None:
            raise TaskNotFoundError(task_id)
        return row


class AsyncTasks:
    """The awaitable twin of `Tasks`, for use on an event loop.

    Database work runs on a thread pool of its own; waiting for results holds no thread. To cancel
    an await does not undo what it has begun.
    """

    def __init__(self, tasks: Tasks, threads: ThreadPool) -> None:
        """Take the twin and the pool."""
        self._tasks = tasks
        self._threads = threads

    async def enqueue(self, task: Task) -> str:
        """Take in a task and return its id."""
        return await self._in_thread(self._tasks.enqueue, task)

    async def status(self, task_id: str) -> TaskStatus:
        """Return how far a task is."""
        return await self._in_thread(self._tasks.status, task_id)

    async def result(self, task_id: str, timeout: float | None = None) -> TaskResult:  # noqa: ASYNC109  the same signature as its twin
        """Wait for a task's end and return how it ended."""
        future = asyncio.wrap_future(await self._in_thread(self._tasks.awaited, task_id))
        try:
            return await asyncio.wait_for(future, timeout)
        except TimeoutError as error:
            state = (await self.status(task_id)).state
            raise ResultTimeoutError(task_id, timeout or 0, state) from error

    async def cancel(self, task_id: str) -> bool:
        """Cancel a task; False if it had already ended."""
        return await self._in_thread(self._tasks.cancel, task_id)

    async def list(self, **filters: Any) -> Sequence[TaskStatus]:
        """Return tasks, the newest first."""
        return await self._in_thread(lambda: self._tasks.list(**filters))

    async def history(self, task_id: str) -> Sequence[TaskEvent]:
        """Return what happened to a task, the oldest first."""
        return await self._in_thread(self._tasks.history, task_id)

    async def _in_thread(self, function: Callable[..., T], *args: Any) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, function, *args)


def finished(ledger: TaskLedger, task_ids: Collection[str]) -> Mapping[str, TaskResult]:
    """Return the results of those of some tasks that have ended."""
    rows = ledger.get_many(task_ids)
    return {row.task_id: result_of(row) for row in rows if State(row.state) in FINAL}


def status_of(row: Row[Any]) -> TaskStatus:
    """Return a row as a status."""
    return TaskStatus(
        **{name: getattr(row, name) for name in TaskStatus.model_fields if name != "error"},
        error=row.error_message,
    )


def result_of(row: Row[Any]) -> TaskResult:
    """Return a row that has ended as a result."""
    seconds = None
    if row.started_at is not None and row.finished_at is not None:
        seconds = (row.finished_at - row.started_at).total_seconds()
    return TaskResult(
        task_id=row.task_id,
        state=row.state,
        success=State(row.state) is State.SUCCEEDED,
        data=None if row.result is None else json.loads(row.result),
        error_code=row.error_code,
        error_message=row.error_message,
        execution_time=seconds,
        attempt=row.attempt,
        agent_id=row.agent_id,
    )


def history_of(row: Row[Any]) -> Sequence[TaskEvent]:
    """Return what a row's instants tell, the oldest first."""
    first = _first_state(row)
    events = [TaskEvent(at=row.created_at, state=first, attempt=0, message="enqueued")]
    is_again = row.losses or _is_queued_again(row)
    if row.queued_at is not None and (first is State.SCHEDULED or is_again):
        again = "once more, as its worker was lost" if row.losses else None
        events.append(TaskEvent(at=row.queued_at, state=State.QUEUED, attempt=0, message=again))
    if row.started_at is not None:
        who = {"attempt": row.attempt, "agent_id": row.agent_id}
        events.append(TaskEvent(at=row.started_at, state=State.RUNNING, **who))
    if row.deferred_at is not None:
        events.append(_deferral(row))
        events.sort(key=lambda event: event.at)
    if row.finished_at is not None:
        events.append(
            TaskEvent(
                at=row.finished_at,
                state=row.state,
                attempt=row.attempt,
                agent_id=row.agent_id,
                message=row.error_message,
            )
        )
    return events


def _deferral(row: Row[Any]) -> TaskEvent:
    """Return the last failure of an attempt that another one followed, or is to follow."""
    was_last = row.started_at is None or row.started_at < row.deferred_at
    message = row.error_message if was_last and State(row.state) in WAITING else None
    attempt = row.attempt if was_last else row.attempt - 1
    return TaskEvent(at=row.deferred_at, state=State.RETRYING, attempt=attempt, message=message)


def _is_queued_again(row: Row[Any]) -> bool:
    deferred, queued = row.deferred_at, row.queued_at
    return deferred is not None and queued is not None and bool(queued > deferred)


def _first_state(row: Row[Any]) -> State:
    if row.deferred_at is not None:  # since then, nothing tells when it was first queued
        return State.QUEUED
    if row.losses or row.queued_at is None:  # when it was first queued is not known
        was_due = row.scheduled_at is None or row.scheduled_at <= row.created_at
        return State.QUEUED if was_due and row.losses else State.SCHEDULED
    return State.QUEUED if row.queued_at - row.created_at < _AT_ONCE else State.SCHEDULED
