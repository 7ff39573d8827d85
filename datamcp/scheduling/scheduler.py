"""`rt.scheduler`: the specification's TaskScheduler."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor as ThreadPool
from datetime import UTC, datetime
from itertools import islice
from typing import Any, TypeVar

from datamcp.config.scheduler import SchedulerConfig
from datamcp.errors import InvalidScheduleError, ScheduleNotFoundError, TaskNotFoundError
from datamcp.scheduling.schedule import Firing, Schedule, spec_of
from datamcp.scheduling.schedules import Schedules
from datamcp.scheduling.target import RunTarget, Target, TaskTarget
from datamcp.scheduling.when import parse, read_zone, upcoming
from datamcp.tasks.enqueue import Enqueuer
from datamcp.tasks.states import State
from datamcp.tasks.task import Task, TaskResult, TaskStatus
from datamcp.tasks.tasks import Tasks

T = TypeVar("T")


class SyncTaskScheduler:
    """Schedules, and tasks at once. Safe to share between threads."""

    def __init__(self, schedules: Schedules, tasks: Tasks, enqueuer: Enqueuer) -> None:
        """Take the schedules, and the task engine."""
        self._schedules = schedules
        self._tasks = tasks
        self._enqueuer = enqueuer

    def schedule_task(
        self,
        task: Task,
        schedule: str,
        *,
        name: str | None = None,
        note: str = "",
        paused: bool = False,
        **spec: Any,
    ) -> str:
        """Run a task at the times of a schedule, and return the schedule's id.

        `schedule` is cron, `every 30s` or an ISO 8601 instant; `spec` takes the other fields of
        `Spec`: timezone, misfire, overlap, jitter, start, end. Each firing is a task with an id of
        its own; `${run.fire_at}` in the parameters stands for its time. The schedule's id is the
        task's, if that has one. Raises InvalidScheduleError, ScheduleExistsError, and what
        `Tasks.enqueue` raises of a task that is wrong; nothing is kept then.
        """
        target = TaskTarget(task=task.model_copy(update={"task_id": None, "created_at": None}))
        added = self._schedules.add(
            spec_of(schedule=schedule, **spec),
            target,
            name=name,
            schedule_id=task.task_id,
            note=note,
            paused=paused,
        )
        return added.schedule_id

    def schedule_pipeline(
        self,
        pipeline_id: str,
        schedule: str,
        parameters: Mapping[str, Any] | None = None,
        *,
        name: str | None = None,
        note: str = "",
        paused: bool = False,
        **spec: Any,
    ) -> str:
        """Run a registered pipeline at the times of a schedule, and return the schedule's id."""
        target = RunTarget(pipeline_id=pipeline_id, parameters=dict(parameters or {}))
        added = self._schedules.add(
            spec_of(schedule=schedule, **spec), target, name=name, note=note, paused=paused
        )
        return added.schedule_id

    def execute_immediate(self, task: Task, timeout: float | None = None) -> TaskResult:
        """Enqueue a task, wait for its end, and return how it ended, well or not.

        Raises what `Tasks.enqueue` raises, and ResultTimeoutError after `timeout` seconds: the task
        goes on all the same.
        """
        return self._tasks.result(self._tasks.enqueue(task), timeout)

    def get_task_status(self, task_id: str) -> TaskStatus:
        """Return how far a task is, or a schedule: `scheduled`, with its next time.

        A schedule that is over is as far as what it fired last. Raises TaskNotFoundError.
        """
        schedule = self._schedules.store.get(task_id)
        if schedule is None:
            return self._tasks.status(task_id)
        if schedule.next_fire_at is None and isinstance(schedule.target, TaskTarget):
            try:
                return self._tasks.status(str(schedule.fired_id))
            except TaskNotFoundError:
                pass
        return self._status_of(schedule)

    def cancel_task(self, task_id: str) -> bool:
        """Cancel a task, or remove a schedule; False if there was nothing to cancel any more.

        What a schedule has fired goes on. Raises TaskNotFoundError.
        """
        try:
            self._schedules.remove(task_id)
        except ScheduleNotFoundError:
            return self._tasks.cancel(task_id)
        return True

    def list_schedules(self) -> Sequence[Schedule]:
        """Return all schedules, by name and then by id."""
        return self._schedules.list()

    def get_schedule(self, schedule_id: str) -> Schedule:
        """Return a schedule by its id or its name; raises ScheduleNotFoundError."""
        return self._schedules.get(schedule_id)

    def update_schedule(
        self,
        schedule_id: str,
        *,
        task: Task | None = None,
        parameters: Mapping[str, Any] | None = None,
        note: str | None = None,
        **spec: Any,
    ) -> Schedule:
        """Change a schedule: fields of its `Spec`, what it fires, or its note; return it.

        What is left out stays as it is. `parameters` replaces those of the task or the pipeline.
        It holds for the next time that has not been fired.
        """
        changes: dict[str, Any] = dict(spec)
        before = self._schedules.get(schedule_id)
        target = _changed(before.target, task, parameters)
        if target is not None:
            changes["target"] = target
        if note is not None:
            changes["note"] = note
        return self._schedules.update(schedule_id, changes)

    def pause_schedule(self, schedule_id: str, note: str | None = None) -> Schedule:
        """Fire nothing until it is resumed; times that pass meanwhile are left out."""
        return self._schedules.pause(schedule_id, note)

    def resume_schedule(self, schedule_id: str, note: str | None = None) -> Schedule:
        """Go on with the first time that is still to come."""
        return self._schedules.resume(schedule_id, note)

    def run_now(self, schedule_id: str) -> str:
        """Fire at once, whatever its times and policies say; return the task's or the run's id."""
        return self._schedules.run_now(schedule_id)

    def preview(
        self,
        schedule: str,
        *,
        count: int = 10,
        since: datetime | None = None,
        timezone: str = "UTC",
    ) -> Sequence[datetime]:
        """Return the next times of a schedule that is kept, or of an expression; in UTC."""
        kept = self._schedules.store.get(schedule)
        now = self._schedules.store.now()
        if kept is not None:
            timing = kept.timing
            return list(islice(timing.times(timing.after(since or now)), count))
        times = upcoming(parse(schedule), zone=read_zone(timezone), since=since or now)
        return list(islice(times, count))

    def backfill(self, schedule_id: str, since: datetime, until: datetime) -> Sequence[str]:
        """Fire all times from `since` up to, and without, `until`; return the ids of what was made.

        The same times again make nothing new. Raises InvalidScheduleError for instants without a
        time zone, and for more than 100,000 times.
        """
        for instant in (since, until):
            if instant.tzinfo is None:
                raise InvalidScheduleError(
                    str(instant), f"{instant} needs a time zone, such as UTC"
                )
        return self._schedules.backfill(schedule_id, since.astimezone(UTC), until.astimezone(UTC))

    def remove_schedule(self, schedule_id: str) -> None:
        """Forget a schedule; what it has fired goes on. Raises ScheduleNotFoundError."""
        self._schedules.remove(schedule_id)

    def firings(self, schedule_id: str, limit: int = 20) -> Sequence[Firing]:
        """Return what became of its times, the newest first."""
        return self._schedules.firings(schedule_id, limit)

    def _status_of(self, schedule: Schedule) -> TaskStatus:
        target = schedule.target
        task = target.task if isinstance(target, TaskTarget) else None
        checked = None if task is None else self._enqueuer.check(task)
        return TaskStatus(
            task_id=schedule.schedule_id,
            task_type=target.title,
            state=State.SCHEDULED,
            attempt=0,
            max_attempts=1 if checked is None else checked.max_attempts,
            queue="" if checked is None else checked.queue,
            priority=5 if checked is None else checked.priority,
            created_at=schedule.created_at,
            scheduled_at=schedule.next_fire_at,
            error=schedule.error,
        )


class TaskScheduler:
    """The awaitable scheduler; the plain twin of each method is under `.sync`.

    Database work runs on a thread pool of its own; waiting for a task holds no thread.
    """

    def __init__(
        self,
        config: SchedulerConfig,
        *,
        sync: SyncTaskScheduler,
        tasks: Tasks,
        threads: ThreadPool,
    ) -> None:
        """Take the section `scheduler`, and the parts."""
        self.config = config
        self.sync = sync
        self._tasks = tasks
        self._threads = threads

    async def schedule_task(self, task: Task, schedule: str, **options: Any) -> str:
        """Run a task at the times of a schedule, and return the schedule's id."""
        return await self._in_thread(lambda: self.sync.schedule_task(task, schedule, **options))

    async def schedule_pipeline(
        self,
        pipeline_id: str,
        schedule: str,
        parameters: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> str:
        """Run a registered pipeline at the times of a schedule, and return the schedule's id."""
        return await self._in_thread(
            lambda: self.sync.schedule_pipeline(pipeline_id, schedule, parameters, **options)
        )

    async def execute_immediate(self, task: Task, timeout: float | None = None) -> TaskResult:  # noqa: ASYNC109  the same signature as its twin
        """Enqueue a task, wait for its end, and return how it ended, well or not."""
        return await self._tasks.aio.result(await self._tasks.aio.enqueue(task), timeout)

    async def get_task_status(self, task_id: str) -> TaskStatus:
        """Return how far a task is, or a schedule: `scheduled`, with its next time."""
        return await self._in_thread(lambda: self.sync.get_task_status(task_id))

    async def cancel_task(self, task_id: str) -> bool:
        """Cancel a task, or remove a schedule; False if there was nothing to cancel any more."""
        return await self._in_thread(lambda: self.sync.cancel_task(task_id))

    async def list_schedules(self) -> Sequence[Schedule]:
        """Return all schedules, by name and then by id."""
        return await self._in_thread(self.sync.list_schedules)

    async def get_schedule(self, schedule_id: str) -> Schedule:
        """Return a schedule by its id or its name; raises ScheduleNotFoundError."""
        return await self._in_thread(lambda: self.sync.get_schedule(schedule_id))

    async def update_schedule(self, schedule_id: str, **changes: Any) -> Schedule:
        """Change a schedule: fields of its `Spec`, what it fires, or its note; return it."""
        return await self._in_thread(lambda: self.sync.update_schedule(schedule_id, **changes))

    async def pause_schedule(self, schedule_id: str, note: str | None = None) -> Schedule:
        """Fire nothing until it is resumed; times that pass meanwhile are left out."""
        return await self._in_thread(lambda: self.sync.pause_schedule(schedule_id, note))

    async def resume_schedule(self, schedule_id: str, note: str | None = None) -> Schedule:
        """Go on with the first time that is still to come."""
        return await self._in_thread(lambda: self.sync.resume_schedule(schedule_id, note))

    async def run_now(self, schedule_id: str) -> str:
        """Fire at once, whatever its times and policies say; return the task's or the run's id."""
        return await self._in_thread(lambda: self.sync.run_now(schedule_id))

    async def preview(self, schedule: str, **options: Any) -> Sequence[datetime]:
        """Return the next times of a schedule that is kept, or of an expression; in UTC."""
        return await self._in_thread(lambda: self.sync.preview(schedule, **options))

    async def backfill(self, schedule_id: str, since: datetime, until: datetime) -> Sequence[str]:
        """Fire all times from `since` up to, and without, `until`; return the ids of what was made."""
        return await self._in_thread(lambda: self.sync.backfill(schedule_id, since, until))

    async def remove_schedule(self, schedule_id: str) -> None:
        """Forget a schedule; what it has fired goes on. Raises ScheduleNotFoundError."""
        await self._in_thread(lambda: self.sync.remove_schedule(schedule_id))

    async def firings(self, schedule_id: str, limit: int = 20) -> Sequence[Firing]:
        """Return what became of its times, the newest first."""
        return await self._in_thread(lambda: self.sync.firings(schedule_id, limit))

    async def _in_thread(self, function: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, function)


def _changed(
    target: Target, task: Task | None, parameters: Mapping[str, Any] | None
) -> Target | None:
    """Return what a schedule is to fire from now on; None if that is what it fires already."""
    if task is not None:
        return TaskTarget(task=task.model_copy(update={"task_id": None, "created_at": None}))
    if parameters is None:
        return None
    if isinstance(target, TaskTarget):
        task = target.task.model_copy(update={"parameters": dict(parameters)})
        return TaskTarget(task=task)
    if isinstance(target, RunTarget):
        return target.model_copy(update={"parameters": dict(parameters)})
    raise InvalidScheduleError(target.title, "the arguments of a Celery call stand in its app")
