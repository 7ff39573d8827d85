"""Attempts that others follow: after failures, timeouts and losses, with real workers."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.eventually import eventually
from support.workers import BEAT, SOON, Gate, Installation, on_database, words_in, worker

from datamcp import RetryPolicy, Task
from datamcp.tasks.states import State

AGAIN = RetryPolicy(max_attempts=2, delay=0)


def told(installed: Installation, task_id: str) -> list[tuple[str, int, str | None]]:
    """Return the states of a task's history, with attempts and errors."""
    history = installed.runtime.tasks.history(task_id)
    return [
        (event.state.value, event.attempt, event.error_code) for event in history if event.attempt
    ]


def enqueue(installed: Installation, task_type: str, policy: RetryPolicy, **given: object) -> str:
    """Enqueue a task with a policy of its own; `timeout` is its timeout."""
    timeout = given.pop("timeout", None)
    task = Task(task_type=task_type, parameters=given, retry_policy=policy, timeout=timeout)
    return installed.runtime.tasks.enqueue(task)


def test_a_failed_attempt_is_made_again(installed: Installation) -> None:
    """As often as its capability says; the history tells of each."""
    path = installed.file()
    result = installed.run("lab.flaky", path=str(path), times=2)
    assert (result.data, result.attempt, len(words_in(path))) == (3, 3, 3)
    assert told(installed, result.task_id) == [
        ("running", 1, None),
        ("retrying", 1, "ValueError"),
        ("running", 2, None),
        ("retrying", 2, "ValueError"),
        ("running", 3, None),
        ("succeeded", 3, None),
    ]
    events = installed.runtime.tasks.history(result.task_id)
    assert all(event.agent_id == result.agent_id for event in events if event.attempt)
    assert [event.at for event in events] == sorted(event.at for event in events)
    assert events[2].message == "not yet"


def test_attempts_run_out(installed: Installation) -> None:
    """Then the last error is the task's, and it is a dead letter; what was too much is not made."""
    path, tasks = installed.file(), installed.runtime.tasks
    result = installed.run("lab.flaky", path=str(path), times=9)
    assert (result.state, result.error_code, result.attempt) == (State.FAILED, "ValueError", 3)
    assert len(words_in(path)) == 3
    letter = tasks.dead_letters.show(result.task_id)
    assert [event.state for event in letter.history].count(State.RUNNING) == 3
    path.unlink()
    follower = tasks.dead_letters.requeue(result.task_id)
    assert tasks.result(follower, timeout=SOON).attempt == 3
    assert tasks.status(result.task_id).followed_by == follower


def test_a_policy_chooses_errors_by_their_classes(installed: Installation) -> None:
    """What it does not name fails at once."""
    policy = RetryPolicy(max_attempts=3, delay=0, retry_on=("OSError",))
    for kind, attempts in (("OSError", 2), ("ValueError", 1)):
        path = str(installed.file())
        task_id = enqueue(installed, "lab.flaky", policy, path=path, times=1, kind=kind)
        assert installed.runtime.tasks.result(task_id, timeout=SOON).attempt == attempts


@pytest.mark.parametrize(
    ("how", "attempts", "last"),
    [
        ("retry", [("retrying", 1, "busy")], ("succeeded", 2, None)),
        ("return retry", [("retrying", 1, "busy")], ("succeeded", 2, None)),
        ("snooze", [("scheduled", 1, None)], ("succeeded", 1, None)),
        ("return snooze", [("scheduled", 1, None)], ("succeeded", 1, None)),
        ("cancel", [], ("cancelled", 1, "cancelled")),
        ("fail", [], ("failed", 1, "closed")),
    ],
)
def test_a_capability_may_ask_for_its_end(
    installed: Installation,
    how: str,
    attempts: list[tuple[str, int, str | None]],
    last: tuple[str, int, str | None],
) -> None:
    """Raised or returned: another attempt, a later one that is the same, or a final end."""
    task_id = enqueue(installed, "lab.ask", AGAIN, path=str(installed.file()), how=how)
    installed.runtime.tasks.result(task_id, timeout=SOON)
    ends = [one for one in told(installed, task_id) if one[0] != "running"]
    assert ends == [*attempts, last]


def test_whoever_waits_at_the_result_backend_gets_the_last_attempt_s_value(
    installed: Installation,
) -> None:
    """A plain call of a capability that fails at first has its result in the end."""
    call = installed.runtime.app.task_of("lab.flaky").delay(path=str(installed.file()), times=1)
    assert call.get(timeout=SOON) == 2


@pytest.mark.parametrize("stubborn", [False, True])
def test_an_attempt_that_ran_out_of_time_is_made_again(
    installed: Installation, stubborn: bool
) -> None:
    """Whether it ends by itself when told, or with its process."""
    gate = str(installed.gate())
    task_id = enqueue(installed, "lab.slow_once", AGAIN, gate=gate, stubborn=stubborn, timeout=0.5)
    result = installed.runtime.tasks.result(task_id, timeout=SOON)
    assert (result.state, result.data) == (State.SUCCEEDED, 2)
    assert told(installed, task_id)[1] == ("retrying", 1, "timeout")


def test_the_next_attempt_goes_on_where_a_failed_one_stopped(installed: Installation) -> None:
    """The last details count, however quickly they followed each other."""
    gate = str(installed.gate())
    task_id = enqueue(installed, "lab.page", AGAIN, gate=gate, last=500, how="fail")
    assert installed.runtime.tasks.result(task_id, timeout=SOON).data == [500, 500]


def test_the_next_attempt_goes_on_where_a_killed_one_stopped(installed: Installation) -> None:
    """A process that is killed has lost no more than a moment; and no attempt is used up."""
    gate, ledger = installed.gate(), installed.runtime.ledger
    task_id = enqueue(installed, "lab.page", AGAIN, gate=str(gate), last=50, how="hold")
    gate.await_arrival()

    def noted() -> str | None:
        row = ledger.get(task_id)
        return None if row is None else row.details

    eventually(lambda: noted() == '{"page":50}', timeout=SOON)
    os.kill(int(gate.path.with_suffix(".pid").read_text()), signal.SIGKILL)
    result = installed.runtime.tasks.result(task_id, timeout=SOON)
    assert (result.data, result.attempt) == ([50, 50], 1)
    assert ("queued", 1, "worker_lost") in told(installed, task_id)


def test_a_cancel_ends_what_waits_for_its_next_attempt(installed: Installation) -> None:
    """As any other task that waits (R9)."""
    policy = RetryPolicy(max_attempts=2, delay=3600)
    task_id = enqueue(installed, "lab.flaky", policy, path=str(installed.file()), times=1)
    tasks = installed.runtime.tasks
    eventually(lambda: tasks.status(task_id).state is State.RETRYING, timeout=SOON)
    assert tasks.cancel(task_id)
    assert tasks.result(task_id, timeout=SOON).state is State.CANCELLED
    assert task_id not in {letter.task_id for letter in tasks.dead_letters.list()}


@pytest.fixture
def alone(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Installation]:
    """Have an installation on SQLite without any process."""
    folder = tmp_path / "alone"
    folder.mkdir()
    with on_database("sqlite", request, folder) as found:
        yield found


def test_a_retry_outlives_whoever_would_have_sent_it(alone: Installation) -> None:
    """Worker and beat are killed while it waits; those that come after them make it in time."""
    processes = alone.start(("lab", worker("lab")), ("beat", BEAT))
    policy = RetryPolicy(max_attempts=2, delay=4)
    task_id = enqueue(alone, "lab.flaky", policy, path=str(alone.file()), times=1)
    tasks = alone.runtime.tasks
    eventually(lambda: tasks.status(task_id).state is State.RETRYING, timeout=SOON)
    due = tasks.status(task_id).scheduled_at
    for process in processes:
        os.kill(process.pid, signal.SIGKILL)
        eventually(lambda process=process: not process.is_alive, timeout=SOON)
    assert tasks.status(task_id).state is State.RETRYING
    alone.start(("lab", worker("lab")), ("beat", BEAT))
    result = tasks.result(task_id, timeout=SOON)
    started = tasks.status(task_id).started_at
    assert result.data == 2
    assert started is not None
    assert due is not None
    assert started >= due


def test_a_thread_that_overran_its_time_is_followed_by_another(alone: Installation) -> None:
    """It can't be ended; what it still does is void."""
    alone.start_worker("lab", "--pool", "threads", "--concurrency", "2")
    gate: Gate = alone.gate()
    task_id = enqueue(alone, "lab.slow_once", AGAIN, gate=str(gate), timeout=0.5)
    result = alone.runtime.tasks.result(task_id, timeout=SOON)
    gate.open()
    assert (result.state, result.data) == (State.SUCCEEDED, 2)
    assert told(alone, task_id)[1] == ("retrying", 1, "timeout")
