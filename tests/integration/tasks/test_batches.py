"""Tiny tasks that travel together: each ends as if it had come alone."""

import os
import signal
from collections import Counter
from collections.abc import Iterator

import psutil
import pytest
from support.workers import SOON, Installation, on_database, words_in, worker

from datamcp import Task
from datamcp.infra.processes import Child
from datamcp.tasks import many
from datamcp.tasks.states import State

LEASE = 4


@pytest.fixture(params=["postgresql", "sqlite"])
def installed(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Installation]:
    """Have an installation without any process yet."""
    folder = tmp_path_factory.mktemp("batches")
    settings = {"scheduler.lease": str(LEASE), "monitoring.task_events": "false"}
    with on_database(request.param, request, folder, **settings) as found:
        yield found


def tiny(path: object, word: object, how: str = "") -> Task:
    """Return a task that writes a word, or does something else first."""
    parameters = {"path": str(path), "word": str(word), "how": how}
    return Task(task_type="lab.tiny", parameters=parameters)


def slot_of(process: Child) -> psutil.Process:
    """Return the process of a worker's only slot."""
    (child,) = psutil.Process(process.pid).children()
    return child


def test_each_ends_as_if_it_had_come_alone(
    installed: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Results, retries, history and logs are those of single tasks; few messages carry them."""
    monkeypatch.setattr(many, "_HEARD", ())  # what tests before this one have connected
    tasks, path = installed.runtime.tasks, installed.file()
    hows = {7: "fail", 30: "fail"}
    ids = tasks.enqueue_many([tiny(path, number, hows.get(number, "")) for number in range(90)])
    assert installed.runtime.depths.ready("lab") == 5
    installed.start_worker("lab")
    results = [tasks.result(task_id, timeout=SOON) for task_id in ids]
    assert [result.data for result in results] == [str(number) for number in range(90)]
    assert [result.attempt for result in results] == [2 if n in hows else 1 for n in range(90)]
    assert Counter(words_in(path)) == Counter(str(number) for number in range(90))
    first = tasks.status(ids[0])
    assert first.started_at is not None
    assert first.finished_at is not None
    assert first.started_at <= first.finished_at


@pytest.mark.parametrize("how", ["die", pytest.param("wait", marks=pytest.mark.thorough), "resist"])
def test_one_that_goes_wrong_costs_the_others_nothing(installed: Installation, how: str) -> None:
    """It dies, overruns its time, or resists its end: all others succeed at their first attempt."""
    tasks, path = installed.runtime.tasks, installed.file()
    ids = tasks.enqueue_many([tiny(path, n, how if n == 5 else "") for n in range(20)])
    installed.start_worker("lab", "--concurrency", "1")
    results = [tasks.result(task_id, timeout=SOON) for task_id in ids]
    assert {result.state for result in results} == {State.SUCCEEDED}
    attempts = {result.attempt for number, result in enumerate(results) if number != 5}
    assert attempts == {1}
    assert results[5].attempt == (1 if how == "die" else 2)
    assert set(words_in(path)) == {str(number) for number in range(20)}


def test_what_takes_long_goes_to_whoever_is_free(installed: Installation) -> None:
    """No task waits behind others of its message for more than a moment."""
    tasks, path = installed.runtime.tasks, installed.file()
    names = ("first", "second")
    one_slot = [worker("lab", "-n", f"{name}@lab", "--concurrency", "1") for name in names]
    installed.start(*zip(names, one_slot, strict=True))
    ids = tasks.enqueue_many([tiny(path, number, "late") for number in range(12)])
    results = [tasks.result(task_id, timeout=SOON) for task_id in ids]
    assert {result.attempt for result in results} == {1}
    assert {str(result.agent_id).partition("@")[0] for result in results} == {"first", "second"}
    assert Counter(words_in(path)) == Counter(str(number) for number in range(12))


def test_a_worker_that_ends_leaves_the_rest_to_others(installed: Installation) -> None:
    """By TERM of its slot, at once; by kill -9 of all, once its lease has run out."""
    tasks, path = installed.runtime.tasks, installed.file()
    first = installed.start_worker("lab", "--concurrency", "1")
    ids = tasks.enqueue_many([tiny(path, number, "late") for number in range(8)])
    slot_of(first).send_signal(signal.SIGTERM)
    os.killpg(first.pid, signal.SIGKILL)
    installed.start_worker("lab", "-n", "second@lab")
    results = [tasks.result(task_id, timeout=2 * SOON) for task_id in ids]
    assert {(result.state, result.attempt) for result in results} == {(State.SUCCEEDED, 1)}
    assert set(words_in(path)) == {str(number) for number in range(8)}


def test_a_cancelled_one_ends_cancelled(installed: Installation) -> None:
    """Before the message comes it never starts; the others of the message do."""
    tasks, path = installed.runtime.tasks, installed.file()
    ids = tasks.enqueue_many([tiny(path, number) for number in range(10)])
    assert tasks.cancel(ids[4])
    installed.start_worker("lab")
    states = [tasks.result(task_id, timeout=SOON).state for task_id in ids]
    assert [number for number, state in enumerate(states) if state is State.CANCELLED] == [4]
    assert set(words_in(path)) == {str(number) for number in range(10) if number != 4}
