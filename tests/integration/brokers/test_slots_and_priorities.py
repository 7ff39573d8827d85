"""What holds on Redis and on RabbitMQ alike: who takes a message, and which comes first."""

from collections.abc import Iterator

import pytest
from support.eventually import eventually
from support.workers import SOON, Installation, on_database, words_in, worker

from datamcp import Task
from datamcp.tasks.intake import HOLD
from datamcp.tasks.states import State


@pytest.fixture(scope="module", params=["sqlite", "rabbitmq"], ids=["redis", "rabbitmq"])
def installed(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Installation]:
    """Have an installation with two workers of one slot each, on each broker."""
    with on_database(request.param, request, tmp_path_factory.mktemp("brokers")) as found:
        found.start(*[("single", worker("single"))] * 2)
        yield found


def enqueue(installed: Installation, capability: str, priority: int = 5, **parameters: str) -> str:
    """Enqueue a task for these workers."""
    task = Task(task_type=f"single.{capability}", parameters=parameters, priority=priority)
    return installed.runtime.tasks.enqueue(task)


def test_the_free_worker_takes_the_next_task(installed: Installation) -> None:
    """However many come, none waits at the busy one; also after its message was let go (R5)."""
    tasks, gate = installed.runtime.tasks, installed.gate()
    busy = enqueue(installed, "hold", gate=str(gate))
    gate.await_arrival()
    held_by = tasks.status(busy).agent_id
    started = installed.runtime.ledger.get(busy)
    assert started is not None
    for _ in range(10):
        result = tasks.result(enqueue(installed, "echo", value="x"), timeout=SOON)
        assert result.agent_id != held_by

    def was_let_go() -> bool:
        result = tasks.result(enqueue(installed, "echo", value="x"), timeout=SOON)
        assert result.agent_id != held_by
        assert result.execution_time is not None
        row = installed.runtime.ledger.get(result.task_id)
        assert row is not None
        return (row.started_at - started.started_at).total_seconds() > HOLD + 3

    eventually(was_let_go, timeout=SOON)
    gate.open()
    assert tasks.result(busy, timeout=SOON).success
    # And then it takes tasks again.
    gates = [installed.gate(), installed.gate()]
    both = [enqueue(installed, "hold", gate=str(gate)) for gate in gates]
    for gate in gates:
        gate.await_arrival()
    for gate in gates:
        gate.open()
    assert {tasks.result(one, timeout=SOON).agent_id for one in both} >= {held_by}


def test_the_most_urgent_comes_first(installed: Installation) -> None:
    """Of what waits, by priority and then by age, whichever order it was enqueued in."""
    tasks, path = installed.runtime.tasks, installed.file()
    gates = [installed.gate(), installed.gate()]
    for gate in gates:
        enqueue(installed, "hold", priority=9, gate=str(gate))
    for gate in gates:
        gate.await_arrival()
    priorities = [0, 3, 9, 5, 0, 9, 7, 1]
    ids = [
        enqueue(installed, "note", priority, path=str(path), word=f"{priority}-{number}")
        for number, priority in enumerate(priorities)
    ]
    # A worker may have one in its hands for a moment: it had asked for it when its slot was free.
    eventually(lambda: installed.runtime.depths.ready("single") == len(ids), timeout=SOON)
    gates[0].open()
    assert all(tasks.result(one, timeout=SOON).success for one in ids)
    gates[1].open()
    expected = sorted(enumerate(priorities), key=lambda one: (-one[1], one[0]))
    assert words_in(path) == [f"{priority}-{number}" for number, priority in expected]


def test_the_least_urgent_still_moves(installed: Installation) -> None:
    """While there is always something of the highest priority that waits, too (R17)."""
    tasks, depths = installed.runtime.tasks, installed.runtime.depths
    patient: list[str] = []

    def has_moved() -> bool:
        for _ in range(20 - depths.ready("single")):
            enqueue(installed, "nap", priority=9)
        if not patient:
            patient.append(enqueue(installed, "echo", priority=0, value="x"))
        return tasks.status(patient[0]).state is State.SUCCEEDED

    eventually(has_moved, timeout=2 * SOON)
    assert depths.ready("single") > 0
    eventually(lambda: depths.ready("single") == 0, timeout=SOON)


def test_the_depth_counts_what_no_worker_has(installed: Installation) -> None:
    """Messages that are ready, of all priorities; not the one that a slot works on."""
    tasks, depths = installed.runtime.tasks, installed.runtime.depths
    gates = [installed.gate(), installed.gate()]
    held = [enqueue(installed, "hold", gate=str(gate)) for gate in gates]
    for gate in gates:
        gate.await_arrival()
    waiting = [enqueue(installed, "echo", priority, value="x") for priority in (0, 5, 9)]
    eventually(lambda: depths.ready("single") == 3, timeout=SOON)
    assert {tasks.status(one).state for one in waiting} == {State.QUEUED}
    for gate in gates:
        gate.open()
    assert all(tasks.result(one, timeout=SOON).success for one in (*held, *waiting))
    assert depths.ready("single") == 0
