"""What a capability can ask and tell while it runs: `self.context`."""

from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from logging import Logger, LoggerAdapter
from pathlib import Path

from datamcp.storage.artifacts import Workspace
from datamcp.tasks.task import Task

current: ContextVar["TaskContext | None"] = ContextVar("datamcp_task", default=None)
"""The task that runs here; each thread and each asyncio task has its own."""


@dataclass
class TaskContext:
    """One attempt at one task.

    `idempotency_key` is the task's own, or else its id: equal for all attempts, so that an outside
    service can recognise a repetition. `deadline` is the instant (UTC) at which the attempt times
    out. `run_id` and `step_id` are set where the task is a step of a pipeline run.
    """

    task_id: str
    idempotency_key: str
    attempt: int
    deadline: datetime | None
    agent_id: str
    logger: "LoggerAdapter[Logger]"
    run_id: str | None = None
    step_id: str | None = None
    _task: Callable[[], Task] = field(kw_only=True, repr=False)
    _workspace: Callable[[], Workspace] = field(kw_only=True, repr=False)
    _beat: Callable[[float | None], bool] = field(kw_only=True, repr=False)
    _find: Callable[[str], Path] = field(kw_only=True, repr=False)
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
        input (`data/…`). Raises ProcessingError for every other place, and if there is none.
        """
        return self._find(path)

    @property
    def cancelled(self) -> bool:
        """Tell whether someone asked for this task to be cancelled, as of the last heartbeat."""
        return self._cancelled

    def heartbeat(self, progress: float | None = None) -> None:
        """Record how far the work is, from 0 to 1, and learn whether it was cancelled.

        Raises ValueError for a progress outside of 0 to 1.
        """
        if progress is not None and not 0 <= progress <= 1:
            raise ValueError(f"progress must be from 0 to 1, got {progress}")
        self._cancelled = self._beat(progress) or self._cancelled
