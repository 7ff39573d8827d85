from collections.abc import Iterator
from pathlib import Path

import pytest
from support.eventually import eventually
from support.workers import SOON, Installation, on_database

from datamcp import Task
from datamcp.tasks.states import State

BACKLOG = 300


@pytest.fixture
def installed(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Installation]:
    """Have an installation with one worker that runs its tasks in two threads."""
    with on_database("sqlite", request, tmp_path) as found:
        found.start_worker("lab", "--pool", "threads", "--concurrency", "2")
        yield found


def test_a_thread_that_is_free_gets_the_next_task_at_once(installed: Installation) -> None:
    """A backlog is worked off by the threads, and not by the timers of the worker's loop."""
    tasks = installed.runtime.tasks
    for number in range(BACKLOG):
        tasks.enqueue(Task(task_type="lab.echo", parameters={"value": number}))
    eventually(
        lambda: len(tasks.list(state=State.SUCCEEDED, limit=BACKLOG)) == BACKLOG, timeout=SOON
    )
