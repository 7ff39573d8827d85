"""`rt.tasks`: the façade of the task engine, synchronous, with an awaitable twin."""

import asyncio
import json
from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import Executor as ThreadPool
from concurrent.futures import Future
from functools import partial
from typing import Any, TypeVar

from datamcp.errors import QueueFullError, ResultTimeoutError, TaskNotFoundError
from datamcp.infra.callers import CallersConnection
from datamcp.infra.database import Row
from datamcp.tasks.dead_letters import AsyncDeadLetters, DeadLetters
from datamcp.tasks.enqueue import Enqueued, Enqueuer
from datamcp.tasks.history import history_of
from datamcp.tasks.ledger import TaskLedger, is_task
from datamcp.tasks.log_ledger import LogLedger
from datamcp.tasks.past import attempts_of
from datamcp.tasks.room import pauses
from datamcp.tasks.settle import Settler
from datamcp.tasks.states import FINAL, State
from datamcp.tasks.task import Task, TaskEvent, TaskLogLine, TaskResult, TaskStatus
from datamcp.tasks.waiter import Waiter

_FRESH = 100  # tasks of this process that are known to be there

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
        dead_letters: DeadLetters,
        threads: ThreadPool,
        logs: LogLedger,
    ) -> None:
        """Take the parts."""
        self._logs = logs
        self._fresh: deque[str] = deque(maxlen=_FRESH)
        self._ledger = ledger
        self._enqueuer = enqueuer
        self._settler = settler
        self._waiter = waiter
        self.dead_letters = dead_letters
        self.aio = AsyncTasks(self, threads)

    def enqueue(
        self,
        task: Task,
        *,
        connection: CallersConnection | None = None,
        wait: float = 0.0,
    ) -> str:
        """Take in a task and return its id; it is durable when this returns.

        Raises UnknownTaskTypeError, InvalidParametersError or IdempotencyConflictError with
        nothing written, and BackendUnavailable if the database is away. A broker that is away is
        no error: the task waits in the ledger and is published once the broker is back. A Celery
        task that asks for retries is refused with TaskError: it decides about them itself.

        With `connection`, a Connection or a Session of SQLAlchemy to the ledger's database, the
        task belongs to the transaction that this is in: it is durable, and is published, when the
        caller commits, and does not exist if that is rolled back. Raises TaskError for a connection
        to another database, one in autocommit mode, or a driver's own.

        Where too many tasks wait in the queue already (`scheduler.max_queue_size`), it waits up to
        `wait` seconds for room, and then raises QueueFullError with nothing written.
        """
        return self.submit(task, connection=connection, wait=wait).task_id

    def submit(
        self,
        task: Task,
        *,
        connection: CallersConnection | None = None,
        wait: float = 0.0,
    ) -> Enqueued:
        """Take in a task as `enqueue` does; the answer also says whether it is published."""
        enqueued = self._enqueuer.enqueue(task, connection, wait=wait)
        if connection is None:
            self._fresh.append(enqueued.task_id)
        return enqueued

    def enqueue_many(
        self,
        tasks: Iterable[Task],
        *,
        connection: CallersConnection | None = None,
        wait: float = 0.0,
    ) -> Sequence[str]:
        """Take in many tasks, all or none, and return their ids in order.

        All are checked before anything is written, and written in one transaction: this one's, or
        the caller's, as with `enqueue`. A task whose idempotency key is taken, also by one before
        it here, is that task. Raises BulkEnqueueError for the first one that can't be taken in,
        and BackendUnavailable if the database is away. The broker may be away, as with `enqueue`.
        There has to be room for all of them, also as with `enqueue`.

        Other writers of SQLite wait meanwhile: some seconds where there are 100,000 tasks.
        """
        return [one.task_id for one in self.submit_many(tasks, connection=connection, wait=wait)]

    def submit_many(
        self,
        tasks: Iterable[Task],
        *,
        connection: CallersConnection | None = None,
        wait: float = 0.0,
    ) -> Sequence[Enqueued]:
        """Take in tasks as `enqueue_many` does; the answer also says whether they are published."""
        return self._enqueuer.enqueue_many(tasks, connection, wait=wait)

    def status(self, task_id: str) -> TaskStatus:
        """Return how far a task is; raises TaskNotFoundError."""
        return status_of(self._row(task_id))

    def result(self, task_id: str, timeout: float | None = None) -> TaskResult:
        """Wait up to `timeout` seconds for a task's end and return how it ended.

        A failed task is a result too, with `success` false. Raises TaskNotFoundError, or
        ResultTimeoutError when time is up: the task goes on all the same.
        """
        if not self._is_fresh(task_id):
            row = self._row(task_id)
            if State(row.state) in FINAL:
                return result_of(row)
        future = self._waiter.future(task_id)
        try:
            return future.result(timeout)
        except TimeoutError:
            future.cancel()
            return self._result_now(task_id, timeout or 0)

    def _result_now(self, task_id: str, waited: float = 0.0) -> TaskResult:
        """Return how a task ended; raises ResultTimeoutError, after so many seconds, if it has not."""
        row = self._row(task_id)
        if State(row.state) not in FINAL:
            raise ResultTimeoutError(task_id, waited, row.state)
        return result_of(row)

    def awaited(self, task_id: str) -> "Future[TaskResult]":
        """Return a future of a task's end; raises TaskNotFoundError."""
        if not self._is_fresh(task_id):
            self._row(task_id)
        return self._waiter.future(task_id)

    def _is_fresh(self, task_id: str) -> bool:
        """Tell, once, whether a task was just enqueued here: it is there, and has hardly ended.

        Whoever waits for its end looks for it in any case, once the notice can't be missed.
        """
        try:
            self._fresh.remove(task_id)
        except ValueError:
            return False
        return True

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
        """Return what happened to a task, the oldest first; raises TaskNotFoundError.

        Each attempt begins with `running`, and its worker. What follows says how it ended, and why.
        """
        row = self._row(task_id)
        return history_of(row, attempts_of(self._ledger.database, task_id))

    def logs(
        self, task_id: str, *, attempt: int | None = None, limit: int = 1000
    ) -> Sequence[TaskLogLine]:
        """Return what a task has logged, the oldest first; raises TaskNotFoundError.

        The last lines, if there are more than `limit`. Lines of a task that runs come a second
        late. They are kept for `monitoring.log_retention`, the first thousand of each attempt.
        """
        lines = self._logs.read(task_id, attempt=attempt, limit=limit)
        if not lines:
            self._row(task_id)
        return lines

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
        self.dead_letters = AsyncDeadLetters(tasks.dead_letters, self._in_thread)

    async def enqueue(self, task: Task, *, wait: float = 0.0) -> str:
        """Take in a task and return its id."""
        return await self._once_there_is_room(partial(self._tasks.enqueue, task), wait)

    async def enqueue_many(self, tasks: Iterable[Task], *, wait: float = 0.0) -> Sequence[str]:
        """Take in many tasks, all or none, and return their ids in order."""
        all_tasks = list(tasks)
        return await self._once_there_is_room(partial(self._tasks.enqueue_many, all_tasks), wait)

    async def _once_there_is_room(self, enqueue: Callable[[], T], wait: float) -> T:
        """Call that again, for up to so many seconds, while the queue is full."""
        loop, waits = asyncio.get_running_loop(), pauses()
        until = loop.time() + wait
        while True:
            try:
                return await self._in_thread(enqueue)
            except QueueFullError:
                left = until - loop.time()
                if left <= 0:
                    raise
            await asyncio.sleep(min(next(waits), left))

    async def status(self, task_id: str) -> TaskStatus:
        """Return how far a task is."""
        return await self._in_thread(self._tasks.status, task_id)

    async def result(self, task_id: str, timeout: float | None = None) -> TaskResult:  # noqa: ASYNC109  the same signature as its twin
        """Wait for a task's end and return how it ended."""
        future = asyncio.wrap_future(await self._in_thread(self._tasks.awaited, task_id))
        try:
            return await asyncio.wait_for(future, timeout)
        except TimeoutError:
            return await self._in_thread(self._tasks._result_now, task_id, timeout or 0)  # noqa: SLF001  its twin

    async def cancel(self, task_id: str) -> bool:
        """Cancel a task; False if it had already ended."""
        return await self._in_thread(self._tasks.cancel, task_id)

    async def list(self, **filters: Any) -> Sequence[TaskStatus]:
        """Return tasks, the newest first."""
        return await self._in_thread(lambda: self._tasks.list(**filters))

    async def history(self, task_id: str) -> Sequence[TaskEvent]:
        """Return what happened to a task, the oldest first."""
        return await self._in_thread(self._tasks.history, task_id)

    async def logs(self, task_id: str, **filters: Any) -> Sequence[TaskLogLine]:
        """Return what a task has logged, the oldest first."""
        return await self._in_thread(lambda: self._tasks.logs(task_id, **filters))

    async def _in_thread(self, function: Callable[..., T], *args: Any) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, function, *args)


def finished(ledger: TaskLedger, task_ids: Collection[str]) -> Mapping[str, TaskResult]:
    """Return the results of those of some tasks that have ended."""
    rows = ledger.get_many(task_ids)
    return {row.task_id: result_of(row) for row in rows if State(row.state) in FINAL}


def status_of(row: Row[Any]) -> TaskStatus:
    """Return a row as a status."""
    named = set(TaskStatus.model_fields) - {"blocked_on", "error"}
    return TaskStatus(
        **{name: getattr(row, name) for name in named},
        blocked_on=row.blocked_on if row.state == State.QUEUED else None,
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
