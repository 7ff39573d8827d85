"""Short tasks that wait in a queue share the slots of a worker: each ends as if it had come alone."""

import os
import signal
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import psutil
import pytest
from support.eventually import eventually
from support.workers import SOON, Installation, on_database, words_in

from datamcp import Task, TaskResult
from datamcp.infra.processes import Child
from datamcp.tasks.publish import BrokerPublisher
from datamcp.tasks.states import State

MANY = 180


@pytest.fixture
def short() -> float:
    """Say what counts as a short task: any here, also on a machine that is slow."""
    return 0.25


@pytest.fixture(params=["postgresql", "sqlite"])
def installed(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, short: float
) -> Iterator[Installation]:
    """Have an installation without any process yet."""
    folder = tmp_path_factory.mktemp("short")
    with on_database(
        request.param, request, folder, **{"scheduler.short_task": str(short)}
    ) as found:
        yield found


def brief(path: Path, word: object, how: str = "", gate: object = "") -> Task:
    """Return a task that writes a word, or does something else first."""
    parameters = {"path": str(path), "word": str(word), "how": how, "gate": str(gate)}
    return Task(task_type="lab.brief", parameters=parameters)


def results(installed: Installation, ids: list[str]) -> list[TaskResult]:
    """Wait for the ends of tasks."""
    return [installed.runtime.tasks.result(task_id, timeout=2 * SOON) for task_id in ids]


def some_at_once(installed: Installation) -> int:
    """Return how many claims of the ledger share their fence with others."""
    with installed.runtime.database.autocommit() as connection:
        rows = connection.exec_driver_sql("SELECT fence FROM tasks WHERE fence IS NOT NULL")
        counts = Counter(row[0] for row in rows)
    return sum(count for count in counts.values() if count > 1)


def assert_ready(installed: Installation, ids: list[str]) -> bool:
    """Assert that the messages of all tasks of the pool `single` that wait are in nobody's hands.

    Where the machine was slow, tasks that had been claimed together have gone back as well.
    """
    waiting = [one for one in ids if installed.runtime.tasks.status(one).state is State.QUEUED]
    found = installed.runtime.depths.ready("single")
    assert found == len(waiting), f"{found} messages are in the queue, {len(waiting)} tasks wait"
    return True


def slots_of(worker: Child) -> list[psutil.Process]:
    """Return the processes of a worker's slots."""
    return psutil.Process(worker.pid).children()


@pytest.mark.parametrize(
    "short", [0.25, pytest.param(0, marks=pytest.mark.thorough)], ids=["shared", "alone"]
)
def test_each_ends_as_if_it_had_come_alone(installed: Installation, short: float) -> None:
    """Results, retries, logs and history are those of single tasks."""
    tasks, path = installed.runtime.tasks, installed.file()
    hows = {50: "fail", 100: "fail", 133: "log"}
    new = [brief(path, number, hows.get(number, "")) for number in range(MANY)]
    ids = tasks.enqueue_many(new)
    installed.start_worker("lab")
    ended = results(installed, ids)
    assert [result.data for result in ended] == [str(number) for number in range(MANY)]
    expected = [2 if hows.get(n) == "fail" else 1 for n in range(MANY)]
    assert [result.attempt for result in ended] == expected
    assert Counter(words_in(path)) == Counter(str(number) for number in range(MANY))
    assert (some_at_once(installed) > 10) == bool(short)
    first = tasks.status(ids[90])
    assert first.started_at is not None
    assert first.finished_at is not None
    assert first.started_at <= first.finished_at
    (line,) = tasks.logs(ids[133])
    assert line.message == "said 133"


def test_one_that_takes_long_holds_up_no_other(installed: Installation) -> None:
    """Those that came to its slot with it, or wait for one in its worker, go to whoever is free."""
    tasks, path, gate = installed.runtime.tasks, installed.file(), installed.gate()
    installed.start_worker("lab", "-n", "first@lab", "--concurrency", "1")
    results(installed, tasks.enqueue_many([brief(path, "warm") for _ in range(50)]))
    new = [brief(path, n, "hold" if n == 60 else "", gate) for n in range(MANY)]
    ids = tasks.enqueue_many(new)
    gate.await_arrival()
    installed.start_worker("lab", "-n", "second@lab", "--concurrency", "1")
    others = results(installed, [one for number, one in enumerate(ids) if number != 60])
    assert {(one.state, one.attempt) for one in others} == {(State.SUCCEEDED, 1)}
    assert tasks.status(ids[60]).state is State.RUNNING
    gate.open()
    assert results(installed, [ids[60]])[0].attempt == 1
    words = Counter(words_in(path))
    assert words.pop("warm") == 50
    assert words == Counter(str(number) for number in range(MANY))


def test_one_that_kills_its_process_costs_the_others_nothing(installed: Installation) -> None:
    """It alone is to blame, also after the third time; all others succeed at their first attempt."""
    tasks, path = installed.runtime.tasks, installed.file()
    ids = tasks.enqueue_many([brief(path, n, "die" if n == 99 else "") for n in range(MANY)])
    installed.start_worker("lab", "--concurrency", "1")
    ended = results(installed, ids)
    assert (ended[99].state, ended[99].error_code) == (State.FAILED, "worker_lost")
    others = {(one.state, one.attempt) for number, one in enumerate(ended) if number != 99}
    assert others == {(State.SUCCEEDED, 1)}
    assert set(words_in(path)) == {str(number) for number in range(MANY) if number != 99}


@pytest.mark.parametrize("whole", [False, True], ids=["slot", "worker"])
def test_a_kill_loses_none(installed: Installation, whole: bool) -> None:
    """Whatever was claimed, had ended or was being written goes on; none ends twice."""
    tasks, path = installed.runtime.tasks, installed.file()
    first = installed.start_worker("lab", "--concurrency", "1")
    ids = tasks.enqueue_many([brief(path, number) for number in range(3 * MANY)])
    eventually(lambda: path.exists() and len(words_in(path)) > MANY, timeout=SOON)
    if whole:
        os.killpg(first.pid, signal.SIGKILL)
        installed.start_worker("lab", "-n", "second@lab")
    else:
        slots_of(first)[0].send_signal(signal.SIGKILL)
    ended = results(installed, ids)
    assert {(one.state, one.attempt) for one in ended} == {(State.SUCCEEDED, 1)}
    assert set(words_in(path)) == {str(number) for number in range(3 * MANY)}


def test_a_worker_that_ends_in_order_finishes_or_returns_all(installed: Installation) -> None:
    """TERM under load: nothing has to wait for a lease, and nothing runs twice."""
    tasks, path = installed.runtime.tasks, installed.file()
    first = installed.start_worker("lab", "--concurrency", "1")
    ids = tasks.enqueue_many([brief(path, number) for number in range(3 * MANY)])
    eventually(lambda: path.exists() and len(words_in(path)) > MANY, timeout=SOON)
    assert first.stop(SOON).code == 0
    running = [one for one in ids if tasks.status(one).state is State.RUNNING]
    assert running == []
    installed.start_worker("lab", "-n", "second@lab")
    results(installed, ids)
    assert Counter(words_in(path)) == Counter(str(number) for number in range(3 * MANY))


def test_cancelled_ones_end_cancelled(installed: Installation) -> None:
    """Whether they wait in the queue or in a worker; no other does."""
    tasks, path = installed.runtime.tasks, installed.file()
    ids = tasks.enqueue_many([brief(path, number) for number in range(MANY)])
    chosen = set(range(0, MANY, 7))
    assert all(tasks.cancel(ids[number]) for number in chosen)
    installed.start_worker("lab")
    ended = results(installed, ids)
    cancelled = {n for n, one in enumerate(ended) if one.state is State.CANCELLED}
    assert cancelled == chosen
    assert set(words_in(path)) == {str(number) for number in range(MANY) if number not in chosen}


def test_calls_and_transactions_work_as_ever(installed: Installation) -> None:
    """A task that calls another, or writes with its end, has nothing to fear from its company."""
    tasks, path = installed.runtime.tasks, installed.file()
    hows = {50: "call", 100: "call", 101: "transaction", 150: "snooze"}
    ids = tasks.enqueue_many([brief(path, n, hows.get(n, "")) for n in range(MANY)])
    installed.start_worker("lab", "--concurrency", "1")
    ended = results(installed, ids)
    assert [result.data for result in ended] == [str(number) for number in range(MANY)]
    assert {one.attempt for one in ended} == {1}


def test_messages_that_come_twice_run_nothing_twice(installed: Installation) -> None:
    """Not even side by side, in one slot."""
    tasks, path = installed.runtime.tasks, installed.file()
    ids = tasks.enqueue_many([brief(path, number) for number in range(MANY)])
    hints = installed.runtime.ledger.queued(ids)
    twice = [one for hint in hints for one in (hint, hint)]
    BrokerPublisher(installed.runtime.app).publish(twice)
    installed.start_worker("lab")
    results(installed, ids)
    assert Counter(words_in(path)) == Counter(str(number) for number in range(MANY))


@pytest.mark.parametrize("short", [0.012])
def test_a_worker_that_gets_busy_holds_nothing(installed: Installation) -> None:
    """What it asked for while short tasks ended is in the queue again, for whoever is free."""
    installed.start_worker("single")
    tasks = installed.runtime.tasks
    for _ in range(6):
        before = [Task(task_type="single.echo", parameters={"value": n}) for n in range(5)]
        ids = [tasks.enqueue(one) for one in before]
        gate = installed.gate()
        tasks.enqueue(Task(task_type="single.hold", parameters={"gate": str(gate)}))
        gate.await_arrival()
        behind = [Task(task_type="single.echo", parameters={"value": n}) for n in range(3)]
        ids += [tasks.enqueue(one) for one in behind]
        eventually(partial(assert_ready, installed, ids), timeout=SOON)
        assert {tasks.status(one).state for one in ids[5:]} == {State.QUEUED}
        gate.open()
        assert [one.data for one in results(installed, ids)] == [0, 1, 2, 3, 4, 0, 1, 2]
