import os
import signal
from collections.abc import Iterator

import psutil
import pytest
from support.eventually import eventually
from support.workers import Installation, on_database, words_in

from datamcp.tasks.states import State


@pytest.fixture(scope="module")
def installed(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Installation]:
    """Have an installation with one worker, and no beat that would mend what the worker does not."""
    with on_database("sqlite", request, tmp_path_factory.mktemp("loss")) as found:
        found.start_worker("lab")
        yield found


def test_a_task_that_will_not_stop_is_killed(installed: Installation) -> None:
    """Some seconds after its timeout, with its process, which is replaced."""
    result = installed.run("lab.stubborn", gate=str(installed.gate()))
    assert (result.state, result.error_code) == (State.TIMED_OUT, "timeout")
    assert installed.run("lab.echo", value=1).data == 1


def test_a_task_whose_process_dies_runs_again(installed: Installation) -> None:
    """The loss of a process uses up no attempt."""
    path = installed.file()
    result = installed.run("lab.die", path=str(path), times=1)
    assert (result.data, result.attempt) == ("survived", 1)
    assert len(words_in(path)) == 2


def test_a_task_that_processes_die_of_fails(installed: Installation) -> None:
    """After three deaths it is not tried again."""
    path = installed.file()
    result = installed.run("lab.die", path=str(path), times=9)
    assert (result.state, result.error_code) == (State.FAILED, "worker_lost")
    assert len(words_in(path)) == 3


def test_a_worker_outlives_the_death_of_a_process(installed: Installation) -> None:
    """A child that is killed from outside takes only its own task with it, which runs again."""
    pid = installed.run("lab.note", path=str(installed.file()), word="x").data
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: not psutil.pid_exists(pid))
    for number in range(10):
        assert installed.run("lab.echo", value=number).data == number
