from collections.abc import Iterator

import pytest
from support.eventually import eventually
from support.workers import SOON, Installation, on_database

from datamcp import Task
from datamcp.errors import TaskNotFoundError
from datamcp.tasks.task import TaskLogLine


@pytest.fixture(scope="module", params=["prefork", "threads"])
def installed(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Installation]:
    """Have an installation with one worker, of processes or of threads."""
    with on_database("sqlite", request, tmp_path_factory.mktemp("logs")) as found:
        found.start_worker("lab", "--pool", request.param)
        yield found


def lines_of(installed: Installation, task_id: str, count: int) -> list[TaskLogLine]:
    """Return what a task has logged, once there are so many lines."""

    def enough() -> list[TaskLogLine]:
        found = list(installed.runtime.tasks.logs(task_id))
        return found if len(found) >= count else []

    return eventually(enough, timeout=SOON)


def test_what_a_task_logs_and_prints_is_kept(installed: Installation) -> None:
    """With its attempt, in order, and apart from what other tasks say."""
    tasks = installed.runtime.tasks
    words = [f"word{number}" for number in range(6)]
    ids = [tasks.enqueue(Task(task_type="lab.say", parameters={"word": word})) for word in words]
    for task_id, word in zip(ids, words, strict=True):
        tasks.result(task_id, timeout=SOON)
        found = lines_of(installed, task_id, 2)
        assert [line.message for line in found] == [f"logged {word}", f"printed {word}"]
        assert {line.attempt for line in found} == {1}


def test_a_failure_leaves_no_line_of_its_own(installed: Installation) -> None:
    """What went wrong stands in the task; its log is what the task said."""
    result = installed.run("lab.fail")
    assert list(installed.runtime.tasks.logs(result.task_id)) == []


def test_a_task_that_is_not_there_is_told(installed: Installation) -> None:
    """An id that is misspelt is no task without lines."""
    with pytest.raises(TaskNotFoundError):
        installed.runtime.tasks.logs("no such task")
