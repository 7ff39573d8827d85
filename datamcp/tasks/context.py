"""What a capability can ask and tell while it runs: `self.context`."""

from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractContextManager
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from logging import Logger, LoggerAdapter
from pathlib import Path
from typing import Any, NoReturn

from pydantic_core import to_json

from datamcp.errors import TaskError
from datamcp.infra.database import Connection
from datamcp.storage.artifacts import Workspace
from datamcp.tasks.task import Task

MAX_DETAILS = 65_536
"""Bytes that details may have, as JSON."""

current: ContextVar["TaskContext | None"] = ContextVar("datamcp_task", default=None)
"""The task that runs here; each thread and each asyncio task has its own."""


def _no_ledger() -> AbstractContextManager[Connection]:
    raise TaskError("there is no ledger here; use datamcp.testing.inline_runtime to have one")


def _no_call(task_type: str, parameters: Mapping[str, Any]) -> NoReturn:  # noqa: ARG001
    raise TaskError("there is no ledger here; use datamcp.testing.inline_runtime to have one")


@dataclass
class TaskContext:
    """One attempt at one task.

    `idempotency_key` is the task's own, or else its id: equal for all attempts, so that an outside
    service can recognise a repetition. `deadline` is the instant (UTC) at which the attempt times
    out. `run_id` and `step_id` are set where the task is a step of a pipeline run. `last_details`
    is what attempts before this one noted last by `heartbeat(details=...)`; empty if nothing was.
    """

    task_id: str
    idempotency_key: str
    attempt: int
    deadline: datetime | None
    agent_id: str
    logger: "LoggerAdapter[Logger]"
    run_id: str | None = None
    step_id: str | None = None
    last_details: Mapping[str, Any] = field(default_factory=dict)
    _task: Callable[[], Task] = field(kw_only=True, repr=False)
    _workspace: Callable[[], Workspace] = field(kw_only=True, repr=False)
    _beat: Callable[[float | None, str | None], bool] = field(kw_only=True, repr=False)
    _find: Callable[[str], Path] = field(kw_only=True, repr=False)
    _block: Callable[[], AbstractContextManager[Connection]] = field(
        kw_only=True, repr=False, default=_no_ledger
    )
    _call: Callable[[str, Mapping[str, Any]], Any] = field(
        kw_only=True, repr=False, default=_no_call
    )
    _acall: Callable[[str, Mapping[str, Any]], Awaitable[Any]] = field(
        kw_only=True, repr=False, default=_no_call
    )
    _told: Callable[[], bool] = field(kw_only=True, repr=False, default=lambda: False)
    _cancelled: bool = field(default=False, repr=False)

    @cached_property
    def task(self) -> Task:
        """The task, as it was enqueued; of a step, with its references resolved."""
        return self._task()

    @cached_property
    def workspace(self) -> Workspace:
        """A folder of this attempt alone, for files that are part of its result.

        Raises ProcessingError if the task's id, which its caller chose, can't name a folder.
        """
        return self._workspace()

    def find(self, path: str) -> Path:
        """Return the existing file or folder that a parameter names.

        It may lie inside `storage.allowed_roots`, in the artifacts of a run, or in the shipped
        input (`data/…`). What a URL means is copied first; the copy is gone when the attempt ends.
        Raises BackendUnavailable if its storage does not answer, and ProcessingError for every other place, and if there is none.
        """
        return self._find(path)

    def transaction(self) -> AbstractContextManager[Connection]:
        """Write to the ledger's database in the transaction that also records the task's success.

        `with self.context.transaction() as conn:` gives a connection of SQLAlchemy's. It commits
        when the capability returns, together with the task's result: both are there, or neither.
        Where the attempt does not succeed, was cancelled, or has lost its task to another worker,
        all is rolled back. An error that leaves the block rolls it back at once. Blocks that follow
        are part of the same transaction.

        Let it be the last thing that the capability does: locks are held until it returns, and
        nobody else can write to SQLite meanwhile. Leave commit and rollback to it.
        """
        return self._block()

    def call(self, task_type: str, /, **parameters: Any) -> Any:
        """Call another task, wait for its end, and return what it returned: JSON values.

        The task is checked before anything is written. It has this one's priority, and no full
        queue refuses it. While it waits, this task's slot works for it: so a task may well call
        one of its own pool. An attempt that is made anew finds what the one before has called, as
        long as its type and parameters are the same, and does not run again what succeeded.

        Raises UnknownTaskTypeError, InvalidParametersError and CallDepthError with nothing
        written; TaskExecutionError if the task ended without success (TaskTimedOutError,
        TaskCancelledError where that is how); CallInterruptedError if this task is to stop, which
        cancels what it waits for. Not for event loops: there, `acall` is.
        """
        return self._call(task_type, parameters)

    async def acall(self, task_type: str, /, **parameters: Any) -> Any:
        """Call another task as `call` does, and let the event loop go on until it has ended.

        With `asyncio.gather`, many calls run side by side. To give up waiting does not stop a task.
        """
        return await self._acall(task_type, parameters)

    @property
    def cancelled(self) -> bool:
        """Tell whether the work is to stop: somebody asked for that, or it no longer counts.

        The worker asks the ledger every second; to read this costs nothing. A task that does not
        stop within some seconds is ended with its process, where the pool has processes.
        """
        return self._cancelled or self._told()

    def heartbeat(
        self, progress: float | None = None, details: Mapping[str, Any] | None = None
    ) -> None:
        """Record how far the work is, from 0 to 1, and learn whether it was cancelled.

        `details` is a JSON object, in place of the last one: whatever the next attempt needs to go
        on from here. It is kept however this attempt ends. Beat as often as you like: a few beats
        a second are written, and the last one. Raises ValueError for a progress outside of 0 to 1,
        and for details without a JSON form, or of more than 64 KiB.
        """
        if progress is not None and not 0 <= progress <= 1:
            raise ValueError(f"progress must be from 0 to 1, got {progress}")
        noted = None if details is None else _checked(details)
        self._cancelled = self._beat(progress, noted) or self._cancelled


def _checked(details: Mapping[str, Any]) -> str:
    """Return details as JSON; raises ValueError."""
    if not isinstance(details, Mapping):
        raise ValueError(f"details must be a JSON object, got {type(details).__name__}")  # noqa: TRY004  as all that heartbeat refuses
    text = to_json(dict(details), inf_nan_mode="constants")
    if len(text) > MAX_DETAILS:
        raise ValueError(f"details have {len(text)} bytes as JSON, more than {MAX_DETAILS}")
    return text.decode()
