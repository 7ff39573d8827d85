"""Signals that a worker's processes get from outside: of a process manager, of Celery's commands."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from support.eventually import eventually
from support.workers import SOON, Installation, on_database

from datamcp import Task
from datamcp.tasks.states import WAITING, State


@pytest.fixture
def installed(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Installation]:
    """Have an installation whose workers the tests start."""
    with on_database("sqlite", request, tmp_path) as found:
        yield found


def test_a_signal_to_the_whole_group_gives_tasks_back(installed: Installation) -> None:
    """As honcho, foreman and systemd send it. It uses up no attempt, and no worker counts as lost."""
    first = installed.start_worker("lab")
    gates = [installed.gate() for _ in range(2)]
    tasks = installed.runtime.tasks
    ids = [
        tasks.enqueue(Task(task_type="lab.hold", parameters={"gate": str(gate), "word": "done"}))
        for gate in gates
    ]
    for gate in gates:
        gate.await_arrival()
    os.killpg(first.pid, signal.SIGTERM)
    ended = first.wait(SOON)
    assert ended is not None
    assert ended.code == 0
    assert {tasks.status(task_id).state for task_id in ids} <= WAITING
    for gate in gates:
        gate.open()
    installed.start_worker("lab")
    results = [tasks.result(task_id, timeout=SOON) for task_id in ids]
    assert [(result.data, result.attempt) for result in results] == [("done", 1)] * 2


@pytest.mark.parametrize("times", [1, pytest.param(5, marks=pytest.mark.thorough)])
def test_a_signal_may_come_while_the_ledger_is_written(installed: Installation, times: int) -> None:
    """What a signal cut short holds no lock: the way out is through the same file."""
    tasks = installed.runtime.tasks
    for _ in range(times):
        worker = installed.start_worker("lab")
        gates = [installed.gate() for _ in range(2)]
        ids = [
            tasks.enqueue(Task(task_type="lab.until_cancelled", parameters={"gate": str(gate)}))
            for gate in gates
        ]
        for gate in gates:
            gate.await_arrival()
        os.killpg(worker.pid, signal.SIGTERM)
        assert worker.wait(SOON) is not None
        assert {tasks.status(task_id).state for task_id in ids} <= WAITING
        assert all(tasks.cancel(task_id) for task_id in ids)
    assert "delayed" not in installed.logs()


def test_what_a_process_has_got_and_not_begun_holds_up_no_end(installed: Installation) -> None:
    """The worker hears of its end, as of that of any other."""
    worker = installed.start_worker("single", "--loglevel", "DEBUG")
    assert installed.run("single.echo", value=1).data == 1
    control, tasks = installed.runtime.app.control, installed.runtime.tasks
    eventually(lambda: list((control.inspect().active() or {}).values()) == [[]], timeout=SOON)
    (slot,) = psutil.Process(worker.pid).children()
    slot.suspend()
    received = installed.logs().count(" received")
    task_id = tasks.enqueue(Task(task_type="single.echo", parameters={"value": 2}))
    eventually(lambda: installed.logs().count(" received") > received, timeout=SOON)
    eventually(control.ping, timeout=SOON)  # so its event loop has gone on since
    worker.terminate()
    eventually(lambda: "Stopping Pool" in installed.logs(), timeout=SOON)
    slot.resume()
    assert worker.stop(SOON / 2).code == 0
    assert tasks.status(task_id).state == State.SUCCEEDED


def test_a_task_that_is_terminated_is_cancelled(installed: Installation) -> None:
    """The command of Celery's that ends the process of a task, by a signal."""
    installed.start_worker("lab")
    gate = installed.gate()
    tasks = installed.runtime.tasks
    task_id = tasks.enqueue(Task(task_type="lab.hold", parameters={"gate": str(gate)}))
    gate.await_arrival()
    installed.runtime.app.control.revoke(task_id, terminate=True)
    assert tasks.result(task_id, timeout=SOON).state == "cancelled"
    assert installed.run("lab.echo", value=1).data == 1


def test_a_task_that_is_revoked_in_the_queue_is_cancelled(installed: Installation) -> None:
    """When its message comes, a worker says so to the ledger."""
    installed.start_worker("single")
    gate = installed.gate()
    tasks = installed.runtime.tasks
    held = tasks.enqueue(Task(task_type="single.hold", parameters={"gate": str(gate)}))
    gate.await_arrival()
    task_id = tasks.enqueue(Task(task_type="single.echo", parameters={"value": 1}))
    installed.runtime.app.control.revoke(task_id)
    eventually(lambda: "revoked" in installed.logs(), timeout=SOON)
    gate.open()
    assert tasks.result(task_id, timeout=SOON).state == "cancelled"
    assert tasks.result(held, timeout=SOON).success
