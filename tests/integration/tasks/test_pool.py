from collections.abc import Iterator

import pytest
from support.eventually import eventually
from support.workers import SOON, Gate, Installation, on_database, words_in, worker

from datamcp import Task
from datamcp.tasks.states import State


@pytest.fixture(scope="module")
def installed(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Installation]:
    """Have an installation with two workers of one slot each, and no beat that sends twice."""
    with on_database("sqlite", request, tmp_path_factory.mktemp("pool")) as found:
        found.start(("one", worker("single")), ("other", worker("single")))
        yield found


def block(installed: Installation) -> tuple[str, Gate]:
    """Occupy a slot until the gate is opened."""
    gate = installed.gate()
    task = Task(task_type="single.hold", parameters={"gate": str(gate)}, priority=9)
    task_id = installed.runtime.tasks.enqueue(task)
    gate.await_arrival()
    return task_id, gate


def test_a_busy_worker_holds_no_message(installed: Installation) -> None:
    """However many tasks come, each goes to the worker that is free (R5)."""
    blocked, gate = block(installed)
    agent = installed.runtime.tasks.status(blocked).agent_id
    results = [installed.run("single.echo", value=number) for number in range(8)]
    assert [result.data for result in results] == list(range(8))
    assert agent not in {result.agent_id for result in results}
    assert installed.runtime.tasks.status(blocked).state is State.RUNNING
    gate.open()
    assert installed.runtime.tasks.result(blocked, timeout=SOON).success


def test_the_most_urgent_task_starts_first(installed: Installation) -> None:
    """Of the tasks that wait for a slot, 9 comes before 5 and 5 before 0; equals keep their order."""
    tasks, path = installed.runtime.tasks, installed.file()
    (_, first), (blocked, second) = block(installed), block(installed)
    task_ids = [
        tasks.enqueue(
            Task(
                task_type="single.note",
                parameters={"path": str(path), "word": f"{priority}-{number}"},
                priority=priority,
            )
        )
        for number, priority in enumerate([0, 5, 9, 1, 5, 9])
    ]
    eventually(lambda: installed.runtime.depths.ready("single") == 6, timeout=SOON)
    second.open()
    for task_id in task_ids:
        assert tasks.result(task_id, timeout=SOON).success
    assert words_in(path) == ["9-2", "9-5", "5-1", "5-4", "1-3", "0-0"]
    assert tasks.status(blocked).state is State.SUCCEEDED
    first.open()
