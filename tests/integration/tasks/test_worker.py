from datetime import timedelta

import pytest
from support.eventually import eventually
from support.workers import SOON, Installation

from datamcp import Task
from datamcp.errors import (
    IdempotencyConflictError,
    InvalidParametersError,
    ResultTimeoutError,
    TaskExecutionError,
    TaskNotFoundError,
    UnknownTaskTypeError,
)
from datamcp.tasks.states import State

TWO_SECONDS = timedelta(seconds=2)


def test_the_first_example_works(installed: Installation) -> None:
    """Enqueue, wait, and read the result; or do all of it in one call."""
    tasks = installed.runtime.tasks
    task_id = tasks.enqueue(Task(task_type="bench.add", parameters={"a": 1}, priority=7))
    assert tasks.result(task_id, timeout=SOON).data == 1
    agents = installed.runtime.agents.sync
    result = agents.distribute_task(Task(task_type="bench.add", parameters={"a": 1, "b": 2}))
    assert (result.success, result.data, result.state) == (True, 3, State.SUCCEEDED)


def test_a_finished_task_can_be_asked_about(installed: Installation) -> None:
    """Status, result, list and history agree on what happened, when, and where."""
    tasks = installed.runtime.tasks
    result = installed.run("bench.add", a=1, b=2)
    status = tasks.status(result.task_id)
    assert (status.state, status.attempt, status.max_attempts) == (State.SUCCEEDED, 1, 1)
    assert (status.queue, status.priority, status.progress) == ("bench", 5, 0.5)
    assert (status.agent_id or "").startswith("bench-")
    assert status.created_at <= status.queued_at <= status.started_at <= status.finished_at  # type: ignore[operator]
    assert status in tasks.list(task_type="bench.add", state=State.SUCCEEDED)
    events = tasks.history(result.task_id)
    assert [event.state for event in events] == [State.QUEUED, State.RUNNING, State.SUCCEEDED]
    assert tasks.result(result.task_id) == result
    assert result.execution_time is not None


def test_an_async_capability_sees_its_own_task(installed: Installation) -> None:
    """Its context is that of the attempt, also for the second coroutine of a process."""
    seen = [installed.run("lab.whoami") for _ in range(4)]
    for result in seen:
        task_id, attempt, parameters, agent_id = result.data
        assert (task_id, attempt, parameters) == (result.task_id, 1, {})
        assert agent_id == result.agent_id


@pytest.mark.parametrize("value", [None, "¼ \0 \U0001f600", {"a": [1, 2.5, True, None]}, 10**30])
def test_values_come_through_as_they_are(installed: Installation, value: object) -> None:
    """What JSON can hold passes the ledger both ways."""
    assert installed.run("lab.echo", value=value).data == value


def test_an_error_of_a_capability_is_a_result(installed: Installation) -> None:
    """It says which error and why; one that has to be a success raises."""
    result = installed.run("lab.fail", message="no \0 luck")
    assert (result.success, result.state, result.data) == (False, State.FAILED, None)
    assert result.error_code == "ValueError"
    assert (result.error_message or "").startswith("no ")
    with pytest.raises(TaskExecutionError, match=r"failed \(ValueError\): on request"):
        installed.runtime.agents.sync.distribute_task(Task(task_type="lab.fail"))


@pytest.mark.parametrize(
    ("how", "code"),
    [("exit", "SystemExit"), ("cancelled", "CancelledError"), ("memory", "MemoryError")],
)
def test_however_a_capability_leaves_it_has_failed(
    installed: Installation, how: str, code: str
) -> None:
    """Raising what is no ordinary exception ends the attempt, not the worker."""
    result = installed.run("lab.leave", how=how)
    assert (result.state, result.error_code) == (State.FAILED, code)
    assert installed.run("lab.echo", value=1).data == 1


def test_a_result_without_json_form_is_a_failure(installed: Installation) -> None:
    """The work was done, but nobody could be told."""
    result = installed.run("lab.strange")
    assert (result.state, result.error_code) == (State.FAILED, "invalid_result")


def test_a_task_that_takes_too_long_is_stopped(installed: Installation) -> None:
    """Its process goes on with other tasks."""
    gate = installed.gate()
    result = installed.run("lab.slow", gate=str(gate))
    assert (result.state, result.error_code) == (State.TIMED_OUT, "timeout")
    assert "0.5 s" in (result.error_message or "")
    assert gate.is_reached


def test_a_task_has_the_timeout_that_it_asks_for(installed: Installation) -> None:
    """The task's own beats the capability's."""
    tasks, gate = installed.runtime.tasks, installed.gate()
    task = Task(task_type="lab.hold", parameters={"gate": str(gate)}, timeout=0.3)
    result = tasks.result(tasks.enqueue(task), timeout=SOON)
    assert (result.state, "0.3 s" in (result.error_message or "")) == (State.TIMED_OUT, True)


def test_a_coroutine_that_takes_too_long_does_not_go_on(installed: Installation) -> None:
    """Not even while its process runs the next coroutines."""
    path = installed.file()
    assert installed.run("lab.slow_async", path=str(path)).state is State.TIMED_OUT
    for _ in range(6):
        assert installed.run("lab.echo", value=1).data == 1
    assert not path.exists()


def test_a_running_task_that_is_cancelled_stops(installed: Installation) -> None:
    """It learns of it at its next heartbeat, and whatever it returns, it ends cancelled."""
    tasks, gate = installed.runtime.tasks, installed.gate()
    task_id = tasks.enqueue(Task(task_type="lab.until_cancelled", parameters={"gate": str(gate)}))
    gate.await_arrival()
    assert tasks.status(task_id).state is State.RUNNING
    assert tasks.cancel(task_id)
    result = tasks.result(task_id, timeout=SOON)
    assert (result.state, result.data, result.error_code) == (State.CANCELLED, None, "cancelled")
    assert not tasks.cancel(task_id)


def test_a_waiting_task_that_is_cancelled_never_starts(installed: Installation) -> None:
    """Its message is still with the broker, and starts nothing."""
    tasks = installed.runtime.tasks
    gates = [installed.gate() for _ in range(3)]
    first, second, third = [
        tasks.enqueue(Task(task_type="lab.hold", parameters={"gate": str(gate)})) for gate in gates
    ]
    gates[0].await_arrival()
    gates[1].await_arrival()
    assert tasks.cancel(third)
    assert tasks.result(third, timeout=SOON).state is State.CANCELLED
    for gate in gates:
        gate.open()
    assert tasks.result(first, timeout=SOON).success
    assert tasks.result(second, timeout=SOON).success
    assert installed.run("lab.echo", value=1).data == 1
    assert not gates[2].is_reached


@pytest.mark.parametrize(
    ("parameters", "problem"),
    [
        ({}, "a: is required"),
        ({"a": "1"}, "a: input should be a valid integer, got '1'"),
        ({"a": 1, "bb": 2}, "bb: is not a parameter; did you mean 'b'?"),
    ],
)
def test_wrong_parameters_are_told_to_the_caller(
    installed: Installation, parameters: dict[str, object], problem: str
) -> None:
    """Nothing is written, and nothing is sent."""
    before = installed.runtime.tasks.list(task_type="bench.add", limit=1000)
    with pytest.raises(InvalidParametersError) as caught:
        installed.runtime.tasks.enqueue(Task(task_type="bench.add", parameters=parameters))
    assert str(caught.value) == f"invalid parameters for bench.add: {problem}"
    assert installed.runtime.tasks.list(task_type="bench.add", limit=1000) == before


@pytest.mark.parametrize(
    ("task_type", "hint"),
    [
        ("bench.ad", "did you mean 'bench.add'?"),
        ("bensch.add", "did you mean 'bench.add'?"),
        ("unheard.of", "switch its agent on with `agents: {unheard: {module: ...}}`"),
    ],
)
def test_an_unknown_task_type_is_told_to_the_caller(
    installed: Installation, task_type: str, hint: str
) -> None:
    """With a hint at what was meant, or what to do."""
    with pytest.raises(UnknownTaskTypeError) as caught:
        installed.runtime.tasks.enqueue(Task(task_type=task_type))
    assert str(caught.value) == f"unknown task type {task_type!r}; {hint}"


def test_an_idempotency_key_makes_two_tasks_one(installed: Installation) -> None:
    """The same call is the same task, also after its end; another call is refused."""
    tasks = installed.runtime.tasks
    task = Task(task_type="bench.add", parameters={"a": 1, "b": 2}, idempotency_key="once")
    first = tasks.enqueue(task)
    assert tasks.enqueue(task) == first
    assert tasks.result(first, timeout=SOON).data == 3
    reordered = task.model_copy(update={"parameters": {"b": 2, "a": 1}})
    assert tasks.enqueue(reordered) == first
    with pytest.raises(IdempotencyConflictError, match=first):
        tasks.enqueue(task.model_copy(update={"parameters": {"a": 2}}))


def test_an_id_is_one_task(installed: Installation) -> None:
    """A caller may name the id; another task under it is refused."""
    tasks = installed.runtime.tasks
    task = Task(task_id="my own id", task_type="bench.add", parameters={"a": 1})
    assert tasks.enqueue(task) == tasks.enqueue(task) == "my own id"
    assert tasks.result("my own id", timeout=SOON).data == 1
    for other in ({"parameters": {"a": 2}}, {"task_type": "lab.echo"}):
        with pytest.raises((IdempotencyConflictError, InvalidParametersError)):
            tasks.enqueue(task.model_copy(update=other))


def test_what_has_ended_already_is_no_matter_of_time(installed: Installation) -> None:
    """Whether or not this process has just enqueued it, and however often it asks."""
    tasks = installed.runtime.tasks
    task_id = tasks.enqueue(Task(task_type="bench.add", parameters={"a": 1}))
    eventually(lambda: tasks.status(task_id).state is State.SUCCEEDED, timeout=SOON)
    assert [tasks.result(task_id, timeout=0).data for _ in range(2)] == [1, 1]


def test_time_up_is_an_error_of_the_caller_only(installed: Installation) -> None:
    """The task goes on, and may be asked for again."""
    tasks, gate = installed.runtime.tasks, installed.gate()
    task_id = tasks.enqueue(Task(task_type="lab.hold", parameters={"gate": str(gate), "word": "x"}))
    gate.await_arrival()
    with pytest.raises(ResultTimeoutError, match=f"task {task_id} is still running after 0.05 s"):
        tasks.result(task_id, timeout=0.05)
    gate.open()
    assert tasks.result(task_id, timeout=SOON).data == "x"
    with pytest.raises(TaskNotFoundError):
        tasks.result("no such task")


def test_a_task_of_a_later_time_is_sent_when_it_is_due(installed: Installation) -> None:
    """Beat sends it; until then it is scheduled."""
    tasks, path = installed.runtime.tasks, installed.file()
    probe = tasks.status(installed.run("bench.add", a=1).task_id)
    assert probe.finished_at is not None
    due = probe.finished_at.replace(microsecond=0) + TWO_SECONDS
    task = Task(
        task_type="lab.note", parameters={"path": str(path), "word": "done"}, scheduled_at=due
    )
    task_id = tasks.enqueue(task)
    assert tasks.status(task_id).state is State.SCHEDULED
    assert tasks.result(task_id, timeout=SOON).success
    status = tasks.status(task_id)
    assert status.started_at is not None
    assert status.started_at >= due
    assert [event.state for event in tasks.history(task_id)][:2] == [State.SCHEDULED, State.QUEUED]
