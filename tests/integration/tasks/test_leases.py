"""Workers that nobody supervises: what they lose others run, and what they still have they keep."""

import os
import signal
from collections.abc import Iterator

import psutil
import pytest
from support.eventually import eventually
from support.workers import SOON, Gate, Installation, on_database, words_in, worker

from datamcp import Task
from datamcp.infra.processes import Child
from datamcp.tasks.states import State

LEASE = 4


@pytest.fixture
def installed(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Installation]:
    """Have an installation with short leases, and no process yet."""
    kind, folder = getattr(request, "param", "sqlite"), tmp_path_factory.mktemp("leases")
    with on_database(kind, request, folder, **{"scheduler.lease": str(LEASE)}) as found:
        yield found


@pytest.fixture(scope="module")
def lone(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Installation]:
    """Have an installation with one worker."""
    with on_database("sqlite", request, tmp_path_factory.mktemp("lone")) as found:
        found.start_worker("lab")
        yield found


def hold(installed: Installation, gate: Gate, **fields: object) -> str:
    """Enqueue a task that waits at a gate; return once it runs."""
    task = Task(task_type="lab.hold", parameters={"gate": str(gate), "word": "done"}, **fields)
    task_id = installed.runtime.tasks.enqueue(task)
    gate.await_arrival()
    return task_id


def family(child: Child) -> list[psutil.Process]:
    """Return a worker's processes, its main process first."""
    main = psutil.Process(child.pid)
    return [main, *main.children(recursive=True)]


def agent_of(installed: Installation, task_id: str) -> str | None:
    """Return who has claimed a task."""
    return installed.runtime.tasks.status(task_id).agent_id


@pytest.mark.parametrize("installed", ["sqlite", "postgresql"], indirect=True)
def test_what_a_killed_worker_ran_runs_elsewhere(installed: Installation) -> None:
    """Nobody tells of its death; its lease runs out, and it has used up no attempt."""
    first = installed.start_worker("lab", "-n", "first@lab")
    gate = installed.gate()
    task_id = hold(installed, gate)
    installed.start_worker("lab", "-n", "second@lab")
    for process in family(first):
        process.kill()
    eventually(lambda: (agent_of(installed, task_id) or "").startswith("second"), timeout=SOON)
    gate.open()
    result = installed.runtime.tasks.result(task_id, timeout=SOON)
    assert (result.data, result.attempt) == ("done", 1)


def test_what_was_lost_does_not_queue_up_again(installed: Installation) -> None:
    """It has waited before: it runs again before others of its priority that wait."""
    first = installed.start_worker("lab", "--concurrency", "1")
    tasks, gate = installed.runtime.tasks, installed.gate()
    task_id = hold(installed, gate)
    waiting = tasks.enqueue_many([Task(task_type="lab.nap") for _ in range(200)])
    for process in family(first):
        process.kill()
    installed.start_worker("lab", "-n", "second@lab", "--concurrency", "1")
    eventually(lambda: (agent_of(installed, task_id) or "").startswith("second"), timeout=SOON)
    assert tasks.status(waiting[-1]).state is State.QUEUED
    gate.open()
    assert tasks.result(task_id, timeout=SOON).attempt == 1


def test_a_worker_that_starts_after_all_have_died_takes_over(installed: Installation) -> None:
    """There is nobody else who could give back what the dead one ran."""
    gate = installed.gate()
    first = installed.start_worker("lab")
    task_id = hold(installed, gate)
    for process in family(first):
        process.kill()
    installed.start_worker("lab", "-n", "next@lab")
    gate.open()
    assert installed.runtime.tasks.result(task_id, timeout=SOON).data == "done"


def test_a_task_longer_than_its_lease_runs_once(installed: Installation) -> None:
    """It is renewed as long as it runs, whatever the length of a lease."""
    names = ("first", "second")
    installed.start(*[(name, worker("lab", "-n", f"{name}@lab")) for name in names])
    gate = installed.gate()
    task_id = hold(installed, gate)
    claimed_by = agent_of(installed, task_id)
    reached = installed.runtime.ledger.get(task_id).lease_until  # type: ignore[union-attr]

    def is_renewed_twice() -> bool:
        row = installed.runtime.ledger.get(task_id)
        return row is not None and (row.lease_until - reached).total_seconds() > LEASE

    eventually(is_renewed_twice, timeout=SOON)
    gate.open()
    result = installed.runtime.tasks.result(task_id, timeout=SOON)
    assert (result.data, result.attempt, result.agent_id) == ("done", 1, claimed_by)


def test_a_worker_that_stood_still_gives_way(installed: Installation) -> None:
    """Its task is run by another one meanwhile; when it goes on, it ends its own, and serves again."""
    first = installed.start_worker("lab", "-n", "first@lab", "--concurrency", "1")
    gate = installed.gate()
    task_id = hold(installed, gate)
    main, child, *_ = stopped = family(first)
    for process in stopped:
        process.suspend()
    second = installed.start_worker("lab", "-n", "second@lab")
    eventually(lambda: (agent_of(installed, task_id) or "").startswith("second"), timeout=SOON)
    for process in stopped:
        process.resume()
    eventually(lambda: not child.is_running(), timeout=SOON)
    gate.open()
    assert installed.runtime.tasks.result(task_id, timeout=SOON).attempt == 1
    second.stop(SOON)
    path = installed.file()
    installed.run("lab.note", path=str(path), word="served")
    assert words_in(path) == ["served"]
    assert main.is_running()


@pytest.mark.parametrize("capability", ["hold", "until_cancelled", "stubborn"])
def test_a_cancel_reaches_what_runs(lone: Installation, capability: str) -> None:
    """One that looks ends by itself; one that doesn't is ended, and one that resists is killed."""
    gate, tasks = lone.gate(), lone.runtime.tasks
    task = Task(task_type=f"lab.{capability}", parameters={"gate": str(gate)}, timeout=600)
    task_id = tasks.enqueue(task)
    gate.await_arrival()
    assert tasks.cancel(task_id)
    assert tasks.result(task_id, timeout=SOON).state is State.CANCELLED
    assert lone.run("lab.echo", value=1).data == 1


def test_threads_are_told(installed: Installation) -> None:
    """A thread can't be ended: it sees that it was cancelled, and its time ends without it."""
    installed.start_worker("lab", "--pool", "threads", "--concurrency", "3")
    tasks = installed.runtime.tasks
    looking, waiting = installed.gate(), installed.gate()
    task_id = tasks.enqueue(
        Task(task_type="lab.until_cancelled", parameters={"gate": str(looking)})
    )
    late = hold(installed, waiting, timeout=0.5)
    looking.await_arrival()
    assert tasks.cancel(task_id)
    assert tasks.result(task_id, timeout=SOON).state is State.CANCELLED
    assert tasks.result(late, timeout=SOON).state is State.TIMED_OUT
    waiting.open()
    assert installed.run("lab.echo", value=1).data == 1
    assert tasks.status(late).state is State.TIMED_OUT


def test_a_worker_that_is_asked_to_end_finishes_or_returns(installed: Installation) -> None:
    """TERM lets what runs end; what was not begun is left to the next one, at once."""
    first = installed.start_worker("lab", "--concurrency", "1")
    gate = installed.gate()
    task_id = hold(installed, gate)
    waiting = installed.runtime.tasks.enqueue(Task(task_type="lab.echo", parameters={"value": 7}))
    os.kill(first.pid, signal.SIGTERM)
    installed.start_worker("lab", "-n", "second@lab")
    assert installed.runtime.tasks.result(waiting, timeout=SOON).data == 7
    gate.open()
    assert installed.runtime.tasks.result(task_id, timeout=SOON).data == "done"
    eventually(lambda: not first.is_alive, timeout=SOON)


@pytest.mark.parametrize(
    "capability", [pytest.param("hold", marks=pytest.mark.thorough), "stubborn"]
)
def test_time_runs_out_while_a_worker_ends(installed: Installation, capability: str) -> None:
    """A worker that was asked to end waits for its tasks, but no longer than these may take."""
    child = installed.start_worker("lab", "--concurrency", "1")
    gate, tasks = installed.gate(), installed.runtime.tasks
    task = Task(task_type=f"lab.{capability}", parameters={"gate": str(gate)}, timeout=2.0)
    task_id = tasks.enqueue(task)
    gate.await_arrival()
    os.kill(child.pid, signal.SIGTERM)
    assert tasks.result(task_id, timeout=SOON).state is State.TIMED_OUT
    eventually(lambda: not child.is_alive, timeout=SOON)
