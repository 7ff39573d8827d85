import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.inline import calculating

from datamcp import Task
from datamcp.errors import (
    BulkEnqueueError,
    IdempotencyConflictError,
    InvalidParametersError,
    UnknownTaskTypeError,
)
from datamcp.tasks.states import State
from datamcp.testing import InlineRuntime, drain


@pytest.fixture
def runtime(tmp_path: Path, database_url: str) -> Iterator[InlineRuntime]:
    """Have a runtime without workers, on SQLite and on PostgreSQL."""
    with calculating(tmp_path / "installation", database_url) as runtime:
        yield runtime


def add(a: Any, **fields: Any) -> Task:
    """Return a task."""
    return Task(task_type="calc.add", parameters={"a": a}, **fields)


def test_many_tasks_are_run_in_their_order(runtime: InlineRuntime) -> None:
    """Each has its own id, its own parameters and its own result."""
    ids = runtime.tasks.enqueue_many(add(number) for number in range(60))
    assert len(set(ids)) == 60
    results = drain(runtime)
    assert [(result.task_id, result.data) for result in results] == list(
        zip(ids, range(60), strict=True)
    )


def test_no_task_is_many_too(runtime: InlineRuntime) -> None:
    """Nothing is enqueued, and nothing is wrong."""
    assert list(runtime.tasks.enqueue_many([])) == []


def test_what_is_to_come_later_waits(runtime: InlineRuntime) -> None:
    """Also among others; and the most urgent goes first."""
    later = add(1, scheduled_at=runtime.clock.now().replace(year=2100))
    waiting, last, first = runtime.tasks.enqueue_many([later, add(2), add(3, priority=9)])
    assert [result.task_id for result in drain(runtime)] == [first, last]
    assert runtime.tasks.status(waiting).state is State.SCHEDULED


def test_a_key_is_one_task(runtime: InlineRuntime) -> None:
    """Whether it was taken before, or by another one of the call."""
    before = runtime.tasks.enqueue(add(1, idempotency_key="one"))
    tasks = [
        add(1, idempotency_key="one"),
        add(2, idempotency_key="two"),
        add(2, idempotency_key="two"),
        add(3, task_id="three"),
        add(3, task_id="three"),
        add(4),
    ]
    for _ in range(2):
        one, two, again, three, thrice, four = runtime.tasks.enqueue_many(tasks)
        assert (one, again, three, thrice) == (before, two, "three", "three")
        assert four not in {one, two, three}
    assert sorted(result.data for result in drain(runtime)) == [1, 2, 3, 4, 4]


@pytest.mark.parametrize(
    ("wrong", "cause", "said"),
    [
        (add("x"), InvalidParametersError, "invalid parameters for calc.add: a: input should be"),
        (Task(task_type="calc.ad"), UnknownTaskTypeError, "unknown task type 'calc.ad'"),
        (
            add(9, idempotency_key="before"),
            IdempotencyConflictError,
            "idempotency key 'before' of calc.add already belongs to task ",
        ),
        (
            add(9, idempotency_key="within"),
            IdempotencyConflictError,
            "idempotency key 'within' of calc.add already belongs to task ",
        ),
        (add(9, task_id="within"), IdempotencyConflictError, "idempotency key 'within' of"),
    ],
)
def test_one_that_is_wrong_keeps_all_out(
    runtime: InlineRuntime, wrong: Task, cause: type[Exception], said: str
) -> None:
    """The error names its place, and nothing is written."""
    before = runtime.tasks.enqueue(add(0, idempotency_key="before"))
    good = [add(1), add(2, idempotency_key="within", task_id="within"), *map(add, range(1100))]
    with pytest.raises(BulkEnqueueError) as caught:
        runtime.tasks.enqueue_many([*good, wrong, add(3)])
    assert caught.value.index == len(good)
    assert isinstance(caught.value.__cause__, cause)
    assert str(caught.value).startswith(f"tasks[{len(good)}]: {said}")
    assert str(caught.value).endswith("; nothing was enqueued")
    assert [task.task_id for task in runtime.tasks.list()] == [before]
    assert [result.task_id for result in drain(runtime)] == [before]


async def enqueue_many(runtime: InlineRuntime) -> list[str]:
    """Enqueue on an event loop."""
    return list(await runtime.tasks.aio.enqueue_many([add(1), add(2)]))


def test_the_awaitable_twin_does_the_same(runtime: InlineRuntime) -> None:
    """On a thread of the runtime's own."""
    ids = asyncio.run(enqueue_many(runtime))
    assert [(result.task_id, result.data) for result in drain(runtime)] == [
        (ids[0], 1),
        (ids[1], 2),
    ]
