"""Tasks that call tasks, on real workers with few slots (protocol R19)."""

import os
import signal
from collections.abc import Iterator
from typing import Any

import psutil
import pytest
from support.eventually import eventually
from support.workers import SOON, Installation, on_database, words_in

from datamcp import Task
from datamcp.tasks.states import State

POOLS = {
    "prefork": [("lab", "--concurrency", "1"), ("single",)],
    "threads": [
        ("lab", "--pool", "threads", "--concurrency", "1"),
        ("single", "--pool", "threads", "--concurrency", "1"),
    ],
}


@pytest.fixture(scope="module", params=POOLS)
def narrow(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Installation]:
    """Have two pools with one slot each."""
    folder = tmp_path_factory.mktemp("narrow")
    with on_database("postgresql", request, folder) as found:
        found.start(
            *[(f"worker-{one[0]}", ("worker", "--agent", *one)) for one in POOLS[request.param]]
        )
        yield found


def relay(installed: Installation, through: list[str], last: str, /, **parameters: Any) -> Any:
    """Call a capability through others; return what comes back."""
    first, *rest = through
    result = installed.run(first, path=rest, last=last, parameters=parameters)
    assert result.success, (result, installed.logs())
    return result.data


def begin(installed: Installation, task_type: str, /, **parameters: Any) -> str:
    """Enqueue a task."""
    return installed.runtime.tasks.enqueue(Task(task_type=task_type, parameters=parameters))


def called_by(installed: Installation, task_id: str) -> list[Any]:
    """Return the rows that a task has called."""
    rows = installed.runtime.ledger.list(limit=500)
    return [row for row in reversed(rows) if row.parent_id == task_id]


def attempts(installed: Installation, task_id: str) -> list[State]:
    """Return the states that a task came to, the oldest first."""
    return [event.state for event in installed.runtime.tasks.history(task_id)]


@pytest.mark.parametrize("how", ["relay", "relay_later"])
def test_a_pool_of_one_calls_itself(narrow: Installation, how: str) -> None:
    """Its only slot runs what it waits for; whether it waits in a thread or on an event loop."""
    assert relay(narrow, [f"lab.{how}"], "lab.echo", value=7) == 7
    assert relay(narrow, [f"lab.{how}"] * 4, "lab.echo", value=[1]) == [1]


@pytest.mark.parametrize("how", ["relay", "relay_later"])
def test_two_pools_of_one_call_each_other(narrow: Installation, how: str) -> None:
    """Three levels deep and back: each waits for the other, and works for it."""
    path = [f"lab.{how}", f"single.{how}", f"lab.{how}", f"single.{how}"]
    assert relay(narrow, path, "lab.echo", value="there") == "there"


def test_two_trees_do_not_wait_for_each_other(narrow: Installation) -> None:
    """Each holds the only slot that the other needs; one of them takes in what the other calls."""
    there, back = narrow.gate(), narrow.gate()
    ids = [
        begin(narrow, f"{ours}.relay_after", gate=str(gate), last=f"{other}.echo", value=ours)
        for ours, other, gate in (("lab", "single", there), ("single", "lab", back))
    ]
    there.await_arrival()
    back.await_arrival()
    there.open()
    back.open()
    found = [narrow.runtime.tasks.result(task_id, timeout=SOON).data for task_id in ids]
    assert found == ["lab", "single"]


def test_a_call_is_a_task_of_its_own(narrow: Installation) -> None:
    """With its caller as parent, logs and a history of its own, and its worker's name."""
    task_id = begin(
        narrow, "lab.relay", path=["lab.relay"], last="lab.say", parameters={"word": "x"}
    )
    assert narrow.runtime.tasks.result(task_id, timeout=SOON).success
    (first,) = called_by(narrow, task_id)
    (second,) = called_by(narrow, first.task_id)
    assert (first.root_id, second.root_id) == (task_id, task_id)
    assert (first.call_depth, second.call_depth) == (1, 2)
    assert first.agent_id == second.agent_id
    told = [line.message for line in narrow.runtime.tasks.logs(second.task_id)]
    assert "logged x" in told
    assert narrow.runtime.tasks.logs(first.task_id) == []
    assert attempts(narrow, second.task_id) == [State.QUEUED, State.RUNNING, State.SUCCEEDED]


def test_a_fan_of_calls_leaves_the_event_loop_free(narrow: Installation) -> None:
    """The first waits for a gate that the loop opens, while the one slot runs it."""
    gate, other = narrow.gate(), narrow.gate()
    other.open()
    many = [
        {"gate": str(one), "word": word} for one, word in ((gate, "a"), (other, "b"), (other, "c"))
    ]
    result = narrow.run("lab.fan", wanted="lab.hold", many=many, gate=str(gate))
    assert result.success, result
    found, ticks = result.data
    assert (found, ticks > 20) == (["a", "b", "c"], True)


def test_what_a_call_fails_with_is_told(narrow: Installation) -> None:
    """By its code, as an error that says which task it was; or at once, with nothing written."""
    kind, said = narrow.run("lab.catch", wanted="lab.fail", parameters={"message": "no"}).data
    assert kind == "TaskExecutionError"
    assert "failed (ValueError): no" in said
    kind, said = narrow.run(
        "single.catch",
        wanted="lab.ask",
        parameters={"path": str(narrow.file()), "how": "cancel"},
    ).data
    assert (kind, "not needed" in said) == ("TaskCancelledError", True)
    for task_type, parameters, expected in (
        ("lab.echo", {}, "InvalidParametersError"),
        ("lab.ech", {}, "UnknownTaskTypeError"),
    ):
        task_id = begin(narrow, "lab.catch", wanted=task_type, parameters=parameters)
        assert narrow.runtime.tasks.result(task_id, timeout=SOON).data[0] == expected
        assert called_by(narrow, task_id) == []


def test_a_call_that_runs_out_of_time_ends_alone(narrow: Installation) -> None:
    """Its caller, which has time left, learns of it; the caller's own attempt is the first one."""
    gate = narrow.gate()
    task_id = begin(narrow, "lab.catch", wanted="lab.slow", parameters={"gate": str(gate)})
    eventually(lambda: called_by(narrow, task_id), timeout=SOON)
    (child,) = called_by(narrow, task_id)
    state = narrow.runtime.tasks.result(child.task_id, timeout=SOON).state
    gate.open()
    result = narrow.runtime.tasks.result(task_id, timeout=SOON)
    assert (state, result.data[0], result.attempt) == (State.TIMED_OUT, "TaskTimedOutError", 1)


def test_a_call_is_made_again_where_its_policy_says_so(narrow: Installation) -> None:
    """In the same slot, with its own attempts; its caller waits."""
    path = narrow.file()
    assert relay(narrow, ["lab.relay"], "lab.flaky", path=str(path), times=2) == 3
    assert words_in(path) == ["tried"] * 3


@pytest.mark.parametrize("how", ["fail", "snooze"])
def test_the_next_attempt_finds_its_calls(narrow: Installation, how: str) -> None:
    """In another order, too; what it put off itself, it calls anew."""
    path, notes = narrow.file(), narrow.file()
    many = [{"path": str(notes), "word": word} for word in ("a", "b", "a")]
    result = narrow.run("lab.again", wanted="lab.note", many=many, path=str(path), how=how)
    assert result.success, (result, narrow.logs())
    twice = ["a", "b", "a", "a", "b", "a"]
    assert (result.attempt, words_in(notes)) == ((2, twice[:3]) if how == "fail" else (1, twice))


def test_tasks_that_came_together_are_ended_before_one_waits(narrow: Installation) -> None:
    """Somebody may wait for them, too (protocol R18)."""
    gate, tasks = narrow.gate(), narrow.runtime.tasks
    held = {"gate": str(gate), "word": "x"}
    first, second, third = tasks.enqueue_many(
        Task(task_type="lab.tiny_relay", parameters={"last": last, "parameters": held})
        for last in ("", "lab.hold", "")
    )
    gate.await_arrival()
    assert tasks.result(first, timeout=SOON).success
    gate.open()
    assert tasks.result(second, timeout=SOON).data == "x"
    assert tasks.result(third, timeout=SOON).success


def test_a_limit_lets_in_what_its_own_task_calls(narrow: Installation) -> None:
    """There is one place, which the caller has."""
    assert narrow.run("lab.alone", deep=3).data == 0


def test_calls_end_at_sixteen(narrow: Installation) -> None:
    """The seventeenth is refused at once; no caller is tried again for that."""
    assert narrow.run("lab.dig", deep=16).data == 16
    result = narrow.run("lab.dig", deep=17)
    assert not result.success
    assert "16 calls stand one inside of the other" in str(result.error_message)
    assert result.attempt == 1


@pytest.mark.parametrize("how", ["relay", "relay_later"])
@pytest.mark.parametrize("capability", ["until_cancelled", "hold"])
def test_who_is_cancelled_takes_its_calls_along(
    narrow: Installation, capability: str, how: str
) -> None:
    """What runs in its slot is told, and what runs elsewhere."""
    if capability == "hold" and "threads" in narrow.logs():
        pytest.skip("a thread that does not look can't be ended")
    for last in ("lab", "single"):
        gate = narrow.gate()
        task_id = begin(
            narrow,
            f"lab.{how}",
            path=[],
            last=f"{last}.{capability}",
            parameters={"gate": str(gate)},
        )
        gate.await_arrival()
        assert narrow.runtime.tasks.cancel(task_id)
        assert narrow.runtime.tasks.result(task_id, timeout=SOON).state is State.CANCELLED
        (child,) = called_by(narrow, task_id)
        ended = narrow.runtime.tasks.result(child.task_id, timeout=SOON)
        assert ended.state is State.CANCELLED
    assert narrow.run("lab.echo", value=1).data == 1


@pytest.mark.parametrize("how", ["relay", "relay_later"])
def test_the_deadline_of_a_caller_bounds_its_waiting(narrow: Installation, how: str) -> None:
    """It has timed out; what it had called goes on, and has lost no attempt."""
    gate = narrow.gate()
    task = Task(
        task_type=f"lab.{how}",
        parameters={"path": [], "last": "single.hold", "parameters": {"gate": str(gate)}},
        timeout=1.0,
    )
    task_id = narrow.runtime.tasks.enqueue(task)
    assert narrow.runtime.tasks.result(task_id, timeout=SOON).state is State.TIMED_OUT
    (child,) = called_by(narrow, task_id)
    gate.open()
    ended = narrow.runtime.tasks.result(child.task_id, timeout=SOON)
    assert (ended.state, ended.attempt) == (State.SUCCEEDED, 1)


@pytest.fixture(scope="module")
def lone(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Installation]:
    """Have an installation with one process that works."""
    folder = tmp_path_factory.mktemp("lone")
    with on_database("sqlite", request, folder, **{"scheduler.lease": "4"}) as found:
        found.start_worker("lab", "--concurrency", "1")
        yield found


def test_the_caller_s_time_is_not_the_call_s(lone: Installation) -> None:
    """What ran in the slot of a caller whose time is up goes back, and then runs to its end."""
    gate = lone.gate()
    task = Task(
        task_type="lab.relay",
        parameters={"path": [], "last": "lab.hold", "parameters": {"gate": str(gate)}},
        timeout=1.0,
    )
    task_id = lone.runtime.tasks.enqueue(task)
    assert lone.runtime.tasks.result(task_id, timeout=SOON).state is State.TIMED_OUT
    (child,) = called_by(lone, task_id)
    gate.open()
    ended = lone.runtime.tasks.result(child.task_id, timeout=SOON)
    assert (ended.state, ended.attempt) == (State.SUCCEEDED, 1)


def test_a_call_that_resists_its_time_is_killed(lone: Installation) -> None:
    """With the process of its caller, which begins anew, and finds how the call has ended."""
    gate = lone.gate()
    result = lone.run("lab.catch", wanted="lab.stubborn", parameters={"gate": str(gate)})
    assert (result.attempt, result.data[0]) == (1, "TaskTimedOutError")


def test_a_call_beside_an_event_loop_is_killed_for_its_time(lone: Installation) -> None:
    """It is no thread that could be interrupted; its caller begins anew, and learns of it."""
    gate = lone.gate()
    result = lone.run("lab.relay_later", path=[], last="lab.slow", parameters={"gate": str(gate)})
    assert (result.attempt, result.error_code) == (1, "task_timed_out")


def test_a_process_that_dies_loses_no_finished_call(lone: Installation) -> None:
    """The next attempt of the caller, which is the same one, finds what had been called."""
    path, notes = lone.file(), lone.file()
    many = [{"path": str(notes), "word": word} for word in ("a", "b")]
    result = lone.run("lab.again", wanted="lab.note", many=many, path=str(path), how="die")
    assert (result.success, result.attempt) == (True, 1)
    assert words_in(notes) == ["a", "b"]


def test_who_kills_its_process_is_to_blame(lone: Installation) -> None:
    """Three times, and it fails; its caller, which died with it, learns of that."""
    path = lone.file()
    result = lone.run("lab.catch", wanted="lab.die", parameters={"path": str(path), "times": 9})
    assert (result.attempt, words_in(path)) == (1, ["died"] * 3)
    assert "worker_lost" in result.data[1]


def test_a_worker_killed_in_the_middle(lone: Installation) -> None:
    """Both come back: the call runs again, and its caller waits for it again."""
    gate = lone.gate()
    task_id = begin(
        lone,
        "single.relay",
        path=[],
        last="single.hold",
        parameters={"gate": str(gate), "word": "x"},
    )
    first = lone.start_worker("single", "-n", "first@single")
    gate.await_arrival()
    for process in [
        *psutil.Process(first.pid).children(recursive=True),
        psutil.Process(first.pid),
    ]:
        os.kill(process.pid, signal.SIGKILL)
    second = lone.start_worker("single", "-n", "second@single")

    def runs_again() -> bool:
        rows = [lone.runtime.ledger.get(task_id), *called_by(lone, task_id)]
        return all(str(row.agent_id).startswith("second") for row in rows if row is not None)

    eventually(runs_again, timeout=SOON)
    gate.open()
    result = lone.runtime.tasks.result(task_id, timeout=SOON)
    (child,) = called_by(lone, task_id)
    assert (result.data, result.attempt, child.attempt) == ("x", 1, 1)
    second.stop(SOON)
