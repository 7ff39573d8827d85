"""A full queue refuses its clients, before anything is written."""

import asyncio
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from celery import group
from support.inline import Calc, calculating, data, enqueue

from datamcp import Task
from datamcp.errors import QueueFullError
from datamcp.tasks.states import State
from datamcp.testing.drain import drain
from datamcp.testing.runtime import InlineRuntime

MANY = {"scheduler.max_queue_size": "3"}


@pytest.fixture
def runtime(tmp_path: Path, database_url: str) -> Iterator[InlineRuntime]:
    """Have a runtime whose queues hold three tasks."""
    with calculating(tmp_path, database_url, **MANY) as found:
        yield found


@pytest.fixture
def full(runtime: InlineRuntime) -> InlineRuntime:
    """Have one whose queue is full."""
    for number in range(3):
        enqueue(runtime, "calc.add", {"a": number})
    return runtime


def test_the_queue_is_full_for_clients(full: InlineRuntime) -> None:
    """In Python and by plain Celery; nothing is written, and other queues are open."""
    with pytest.raises(QueueFullError):
        enqueue(full, "calc.add", {"a": 1})
    with pytest.raises(QueueFullError):
        Calc.add.delay(1)
    assert len(full.tasks.list()) == 3
    drain(full)
    enqueue(full, "calc.add", {"a": 1})
    Calc.add.delay(1)


def test_what_is_due_later_waits_elsewhere(full: InlineRuntime) -> None:
    """And comes into the queue when its time has come, full or not."""
    due = full.clock.now() + timedelta(hours=1)
    later = enqueue(full, "calc.add", {"a": 9}, scheduled_at=due)
    assert full.tasks.status(later).state is State.SCHEDULED
    Calc.add.apply_async((9,), countdown=3600)
    with pytest.raises(QueueFullError):
        enqueue(full, "calc.add", {"a": 1}, scheduled_at=full.clock.now() - timedelta(hours=1))
    full.clock.advance(hours=2)
    assert len(drain(full)) == 5


def test_tasks_that_enqueue_are_never_refused(full: InlineRuntime) -> None:
    """Else none of them could end."""
    full.clock.advance(seconds=1)
    for _ in range(3):
        drain(full)
    ids = [enqueue(full, "calc.count_down", {"n": 5}) for _ in range(3)]
    assert len(ids) == 3
    assert len(drain(full)) == 18


def test_a_group_is_refused_or_taken_as_a_whole(runtime: InlineRuntime) -> None:
    """No half of it is in the ledger."""
    calls = group(Calc.add.s(number) for number in range(10))
    calls.apply_async()
    assert len(runtime.tasks.list()) == 10
    with pytest.raises(QueueFullError):
        calls.apply_async()
    assert len(runtime.tasks.list()) == 10
    assert sorted(data(drain(runtime))) == list(range(10))


def test_whoever_waits_gets_in_when_there_is_room(full: InlineRuntime) -> None:
    """On an event loop, waiting holds no thread."""

    async def meanwhile() -> str:
        task = Task(task_type="calc.add", parameters={"a": 7})
        waits = asyncio.create_task(full.tasks.aio.enqueue(task, wait=60.0))
        await asyncio.sleep(0.05)
        full.tasks.cancel(full.tasks.list()[0].task_id)
        return await waits

    assert full.tasks.status(asyncio.run(meanwhile())).state is State.QUEUED
    with pytest.raises(QueueFullError):
        full.tasks.enqueue(Task(task_type="calc.add", parameters={"a": 7}), wait=0.1)
