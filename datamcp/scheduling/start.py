"""How what a schedule fires is made: the port, and its backend for tasks and plain Celery calls.

What is made has an id that follows from the schedule and the time, so that making it again makes
nothing new (protocol R21).
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Protocol

from pydantic_core import to_json

from datamcp.errors import BackendUnavailable, ScheduleError, TaskError
from datamcp.infra.database import Connection, is_passing
from datamcp.scheduling.schedule import Kind, Schedule, fired_id
from datamcp.scheduling.target import CallTarget, Target, TaskTarget, filled
from datamcp.tasks.enqueue import Enqueuer, hint_of
from datamcp.tasks.ledger import Hint, NewTask, TaskLedger, is_task
from datamcp.tasks.settle import Settler
from datamcp.tasks.states import State

_ANY_TIME = datetime(2000, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Launch:
    """A time of a schedule that is to be fired now; `fired_id` is the id of what it fires."""

    schedule: Schedule
    fire_at: datetime
    kind: Kind = Kind.DUE
    fired_id: str = field(init=False)

    def __post_init__(self) -> None:
        """Work the id out, once: it is asked for often."""
        made = fired_id(self.schedule.schedule_id, self.fire_at, self.kind)
        object.__setattr__(self, "fired_id", made)


@dataclass(slots=True)
class Launched:
    """What became of launches: why some could not be made, by id; how many of the others are new.

    `sends` is what sends those.
    """

    failures: dict[str, str] = field(default_factory=dict)
    sends: list[Callable[[], None]] = field(default_factory=list)
    new: int = 0


class Starter(Protocol):
    """Makes what schedules of one kind fire."""

    def check(self, target: Any) -> None:
        """Raise a DatamcpError that says what is wrong with a target."""
        ...

    def insert(self, connection: Connection, launches: Sequence[Launch]) -> Launched:
        """Make what these fire in a transaction; what is there already stays as it is."""
        ...

    def unfinished(self, connection: Connection, ids: Collection[str]) -> set[str]:
        """Return which of these have not ended."""
        ...

    def cancel(self, fired: str) -> None:
        """Cancel one of them, if it has not ended; raises BackendUnavailable."""
        ...


class Starters:
    """The starters of all kinds of targets."""

    def __init__(self, by_kind: Mapping[str, Starter]) -> None:
        """Take them by the kinds of targets."""
        self._by_kind = by_kind

    def of(self, target: Target) -> Starter:
        """Return who makes what a target says."""
        return self._by_kind[target.kind]

    def insert(self, connection: Connection, launches: Sequence[Launch]) -> Launched:
        """Make what all of these fire; one that can't be made keeps no other from it."""
        launched = Launched()
        for starter, some in _grouped(launches, lambda one: self.of(one.schedule.target)):
            made = starter.insert(connection, some)
            launched.failures |= made.failures
            launched.sends += made.sends
            launched.new += made.new
        return launched

    def unfinished(self, connection: Connection, schedules: Collection[Schedule]) -> set[str]:
        """Return what these schedules have fired last and has not ended, by its ids."""
        found: set[str] = set()
        fired = [one for one in schedules if one.fired_id is not None]
        for starter, some in _grouped(fired, lambda one: self.of(one.target)):
            found |= starter.unfinished(connection, [str(one.fired_id) for one in some])
        return found


class TaskStarter:
    """Makes tasks, of the engine's own and of plain Celery calls."""

    def __init__(
        self,
        *,
        enqueuer: Enqueuer,
        ledger: TaskLedger,
        settler: Settler,
        as_new: Callable[..., NewTask],
    ) -> None:
        """Take the parts; `as_new` is how a plain call becomes a task."""
        self._enqueuer = enqueuer
        self._ledger = ledger
        self._settler = settler
        self._as_new = as_new

    def check(self, target: TaskTarget | CallTarget) -> None:
        """Raise TaskError, or what else is wrong with a target."""
        if isinstance(target, TaskTarget) and target.task.scheduled_at is not None:
            raise TaskError(f"{target.title}: a schedule says when; leave out scheduled_at")
        if isinstance(target, TaskTarget) and target.task.idempotency_key is not None:
            raise TaskError(
                f"{target.title}: with an idempotency key all firings would be one task; "
                "each has an id of its own"
            )
        self._new(target, "checked", _ANY_TIME)

    def insert(self, connection: Connection, launches: Sequence[Launch]) -> Launched:
        """Insert tasks; those that the ledger refuses are found out one by one."""
        launched, new = Launched(), []
        for launch in launches:
            try:
                new.append(self._checked(launch))
            except BackendUnavailable:
                raise
            except Exception as error:  # noqa: BLE001  one that is wrong keeps no other from it
                launched.failures[launch.fired_id] = reason_of(error)
        if not new:
            return launched
        try:
            hints = self._insert(connection, new, launched)
        except Exception as error:
            if is_passing(error) or isinstance(error, BackendUnavailable):
                raise
            hints = self._insert_each(connection, new, launched)
        launched.sends.append(lambda: self._enqueuer.send_all(hints))
        return launched

    def _insert_each(
        self, connection: Connection, new: Sequence[NewTask], launched: Launched
    ) -> list[Hint]:
        """Insert tasks one by one, and note which of them the database refuses."""
        hints: list[Hint] = []
        for task in new:
            try:
                hints += self._insert(connection, [task], launched)
            except Exception as error:
                if is_passing(error) or isinstance(error, BackendUnavailable):
                    raise
                launched.failures[task.task_id] = reason_of(error)
        return hints

    def unfinished(self, connection: Connection, ids: Collection[str]) -> set[str]:
        """Return which of these tasks have not ended."""
        return self._ledger.unfinished(connection, ids)

    def cancel(self, fired: str) -> None:
        """Cancel a task."""
        self._settler.cancel(is_task(fired))

    def _insert(
        self, connection: Connection, new: Sequence[NewTask], launched: Launched
    ) -> list[Hint]:
        with connection.begin_nested():
            inserted = self._ledger.insert_many_on(connection, new)
        launched.new += sum(row.is_new for row in inserted)
        return [
            hint_of(task)
            for task, row in zip(new, inserted, strict=True)
            if row.is_new and row.state is State.QUEUED
        ]

    def _checked(self, launch: Launch) -> NewTask:
        schedule = launch.schedule
        new = self._new(schedule.target, launch.fired_id, launch.fire_at)
        said = {
            "schedule_id": schedule.schedule_id,
            "schedule": schedule.title,
            "fire_at": launch.fire_at.isoformat(),
            "kind": launch.kind,
        }
        own = schedule.target.task.metadata if isinstance(schedule.target, TaskTarget) else {}
        return replace(new, metadata=to_json({**own, **said}).decode())

    def _new(self, target: Target, task_id: str, fire_at: datetime) -> NewTask:
        if isinstance(target, CallTarget):
            options = {**target.options, "task_id": task_id}
            return self._as_new(target.task_type, target.args, target.kwargs, options)
        if not isinstance(target, TaskTarget):
            raise ScheduleError(f"{target.title} is no task")
        parameters = filled(target.task.parameters, fire_at)
        task = target.task.model_copy(update={"task_id": task_id, "parameters": parameters})
        return self._enqueuer.check(task)


def reason_of(error: BaseException) -> str:
    """Return an error in one line."""
    lines = str(getattr(error, "orig", None) or error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def _grouped(items: Collection[Any], key: Callable[[Any], Any]) -> Sequence[tuple[Any, list[Any]]]:
    """Return items in groups, one for each key, in the order in which they come first."""
    groups: dict[int, tuple[Any, list[Any]]] = {}
    for item in items:
        of = key(item)
        groups.setdefault(id(of), (of, []))[1].append(item)
    return list(groups.values())
