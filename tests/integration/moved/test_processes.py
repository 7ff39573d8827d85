import pytest
from celery.exceptions import SoftTimeLimitExceeded, TaskRevokedError, TimeLimitExceeded
from support.eventually import eventually
from support.moved import Moved
from support.workers import SOON, words_in

from datamcp.tasks.states import State


def test_a_process_that_dies_in_a_second_attempt_costs_none(in_processes: Moved) -> None:
    """The attempt is made once more, as the second; its caller hears of nothing else."""
    path = in_processes.installed.file()
    answer = in_processes.task("die_in_retry").delay(str(path), 2)
    assert answer.get(timeout=SOON) == [0, 1, 1, 1]
    status = in_processes.installed.runtime.tasks.status(answer.id)
    assert (status.state, status.attempt) == (State.SUCCEEDED, 2)


def test_a_task_that_kills_its_process_for_ever_fails(in_processes: Moved) -> None:
    """Whatever attempts it has left."""
    path = in_processes.installed.file()
    answer = in_processes.task("die_in_retry").delay(str(path), 9)
    with pytest.raises(Exception, match="3 workers died"):
        answer.get(timeout=SOON)
    assert words_in(path) == ["0", "1", "1", "1"]


def test_a_soft_limit_is_the_timeout_of_its_task(in_processes: Moved) -> None:
    """Celery's error for the caller, a timeout for the ledger."""
    tasks = in_processes.installed.runtime.tasks
    answer = in_processes.task("long").delay(str(in_processes.installed.gate()))
    with pytest.raises(SoftTimeLimitExceeded):
        answer.get(timeout=SOON)
    assert tasks.result(answer.id, timeout=SOON).state is State.TIMED_OUT
    assert tasks._row(answer.id).timeout == 1


def test_a_hard_limit_kills_and_the_hooks_hear_of_it(in_processes: Moved) -> None:
    """In the worker's main process, with the arguments of the call."""
    path = in_processes.installed.file()
    answer = in_processes.task("killed").delay(str(path))
    with pytest.raises(TimeLimitExceeded):
        answer.get(timeout=SOON)
    result = in_processes.installed.runtime.tasks.result(answer.id, timeout=SOON)
    assert result.state is State.TIMED_OUT
    assert result.error_message == "stopped after its timeout of 1 s"
    eventually(lambda: "failure:TimeLimitExceeded" in words_in(path), timeout=SOON)
    assert words_in(path).count("failure:TimeLimitExceeded") == 1


def test_limits_may_be_named_by_the_call(in_processes: Moved) -> None:
    """As with Celery, both."""
    gate = in_processes.installed.gate()
    progress = in_processes.task("progress")
    answer = progress.apply_async((str(gate),), soft_time_limit=0.5, time_limit=30)
    with pytest.raises(SoftTimeLimitExceeded):
        answer.get(timeout=SOON)


def test_a_running_task_is_terminated(in_processes: Moved) -> None:
    """`revoke(terminate=True)` ends its process; the task ends cancelled, and others go on."""
    gate = in_processes.installed.gate()
    answer = in_processes.task("progress").delay(str(gate))
    gate.await_arrival()
    answer.revoke(terminate=True)
    with pytest.raises(TaskRevokedError):
        answer.get(timeout=SOON)
    result = in_processes.installed.runtime.tasks.result(answer.id, timeout=SOON)
    assert result.state is State.CANCELLED
    assert in_processes.task("add").delay(1).get(timeout=SOON) == 1


def test_a_running_task_that_is_revoked_ends_cancelled(in_processes: Moved) -> None:
    """Without force it ends by itself; what it returned does not count."""
    gate = in_processes.installed.gate()
    answer = in_processes.task("progress").delay(str(gate))
    gate.await_arrival()
    in_processes.installed.runtime.app.control.revoke([answer.id])
    gate.open()
    result = in_processes.installed.runtime.tasks.result(answer.id, timeout=SOON)
    assert result.state is State.CANCELLED
    with pytest.raises(TaskRevokedError):
        answer.get(timeout=SOON)
