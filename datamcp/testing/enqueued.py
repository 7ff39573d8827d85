"""What was enqueued, and assertions about it that say what there was instead."""

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from pydantic_core import to_json

from datamcp.bootstrap.runtime import Runtime
from datamcp.errors import InvalidParametersError, Problem
from datamcp.infra.database import Row
from datamcp.naming import did_you_mean
from datamcp.tasks.states import WAITING, State
from datamcp.testing.sequence import rows_by_age

_SHOWN = 20  # tasks that a message lists


@dataclass(frozen=True, slots=True)
class EnqueuedTask:
    """A task as the ledger has it. `parameters` are JSON values."""

    task_id: str
    task_type: str
    parameters: dict[str, Any]
    state: State
    queue: str
    priority: int
    attempt: int = 0
    scheduled_at: datetime | None = None
    idempotency_key: str | None = None
    tags: tuple[str, ...] = ()
    metadata: dict[str, Any] = field(default_factory=dict)
    run_id: str | None = None
    step_id: str | None = None

    def __str__(self) -> str:
        """Show it in one line."""
        when = "" if self.scheduled_at is None else f" at {self.scheduled_at.isoformat()}"
        step = "" if self.step_id is None else f", step {self.step_id}"
        shown = f"{self.task_type} {_json(self.parameters)}"
        return f"{shown}: {self.state}{when}, priority {self.priority}{step}"


def all_enqueued(
    runtime: Runtime,
    task_type: str | None = None,
    *,
    parameters: Mapping[str, Any] | None = None,
    states: Collection[State] = WAITING,
    **fields: Any,
) -> list[EnqueuedTask]:
    """Return the tasks that wait and fit, the oldest first; as `assert_enqueued`, without a count."""
    wanted = _Wanted.of(runtime, task_type, parameters, states, fields)
    return [task for task in _all(runtime) if wanted.fits(task)]


def assert_enqueued(
    runtime: Runtime,
    task_type: str,
    *,
    parameters: Mapping[str, Any] | None = None,
    count: int | None = None,
    states: Collection[State] = WAITING,
    **fields: Any,
) -> list[EnqueuedTask]:
    """Assert that such a task waits, or `count` of them; return them, the oldest first.

    `parameters` are those that it must have, among others. Further conditions are fields of
    EnqueuedTask: `priority=9`, `scheduled_at=...`. `states` are by default those that have not
    started: what `drain` has run is enqueued no more. Raises UnknownTaskTypeError and
    InvalidParametersError for what no task can be.
    """
    __tracebackhide__ = True
    wanted = _Wanted.of(runtime, task_type, parameters, states, fields)
    found = [task for task in _all(runtime) if wanted.fits(task)]
    if len(found) == count or (count is None and found):
        return found
    expected = "" if count is None else f", expected {count}"
    raise AssertionError(f"{wanted.told(len(found))}{expected}; {_listed(_all(runtime))}")


def refute_enqueued(
    runtime: Runtime,
    task_type: str,
    *,
    parameters: Mapping[str, Any] | None = None,
    states: Collection[State] = WAITING,
    **fields: Any,
) -> None:
    """Assert that no such task waits; the conditions are those of `assert_enqueued`."""
    __tracebackhide__ = True
    wanted = _Wanted.of(runtime, task_type, parameters, states, fields)
    found = [task for task in _all(runtime) if wanted.fits(task)]
    if found:
        raise AssertionError(f"{wanted.told(len(found))}, expected none; {_listed(found)}")


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What a task is to be."""

    task_type: str | None
    parameters: Mapping[str, Any]
    states: Collection[State]
    fields: Mapping[str, Any]

    @classmethod
    def of(
        cls,
        runtime: Runtime,
        task_type: str | None,
        parameters: Mapping[str, Any] | None,
        states: Collection[State],
        fields: Mapping[str, Any],
    ) -> "_Wanted":
        """Check that there can be such a task: what is misspelt would never be found."""
        for name in fields:
            if name not in EnqueuedTask.__slots__:
                hint = did_you_mean(name, EnqueuedTask.__slots__)
                raise TypeError(f"a task has no {name!r}{hint}")
        if task_type is not None:
            _require_names(runtime, task_type, parameters or {})
        return cls(task_type, parameters or {}, states, fields)

    def fits(self, task: EnqueuedTask) -> bool:
        """Tell whether a task is as wanted."""
        return (
            self.task_type in {None, task.task_type}
            and task.state in self.states
            and all(getattr(task, name) == value for name, value in self.fields.items())
            and all(
                name in task.parameters and task.parameters[name] == value
                for name, value in json.loads(_json(self.parameters)).items()
            )
        )

    def told(self, count: int) -> str:
        """Say how many there are."""
        number, verb = ("no", "is") if count == 0 else (str(count), "is" if count == 1 else "are")
        state = "enqueued" if self.states == WAITING else " or ".join(sorted(self.states))
        return " ".join([number, *self._described(plural=count > 1), verb, state])

    def _described(self, *, plural: bool) -> Iterator[str]:
        yield "tasks" if plural else "task"
        if self.task_type is not None:
            yield self.task_type
        if self.parameters:
            yield f"with {_json(self.parameters)}"
        for name, value in self.fields.items():
            yield f"of {name} {value}"


def _require_names(runtime: Runtime, task_type: str, parameters: Mapping[str, Any]) -> None:
    names = runtime.types.resolve(task_type).parameters.names
    problems = [
        Problem(name, f"{task_type} has no such parameter{did_you_mean(name, names)}")
        for name in parameters
        if name not in names
    ]
    if problems:
        raise InvalidParametersError(task_type, problems)


def _all(runtime: Runtime) -> list[EnqueuedTask]:
    return [_task(row) for row in rows_by_age(runtime.database)]


def _task(row: Row[Any]) -> EnqueuedTask:
    return EnqueuedTask(
        task_id=row.task_id,
        task_type=row.task_type,
        parameters=json.loads(row.parameters),
        state=State(row.state),
        queue=row.queue,
        priority=row.priority,
        attempt=row.attempt,
        scheduled_at=row.scheduled_at,
        idempotency_key=row.idempotency_key,
        tags=tuple(json.loads(row.tags or "[]")),
        metadata=json.loads(row.metadata or "{}"),
        run_id=row.run_id,
        step_id=row.step_id,
    )


def _listed(tasks: Sequence[EnqueuedTask]) -> str:
    if not tasks:
        return "the ledger has no task at all"
    lines = [f"  {task}" for task in tasks[:_SHOWN]]
    more = [f"  … and {len(tasks) - _SHOWN} more"] if len(tasks) > _SHOWN else []
    return "\n".join(["there are:" if len(tasks) > 1 else "there is:", *lines, *more])


def _json(values: Any) -> str:
    return to_json(values).decode()
