"""Which retries a task has, and when they are made: on a clock that is moved by hand."""

from pathlib import Path
from typing import Any

import pytest
from support.inline import calculating, enqueue
from support.old_tasks import multiply

from datamcp import BaseAgent, RetryPolicy, Task, capability
from datamcp.config.loader import load
from datamcp.errors import TaskError
from datamcp.tasks.states import State
from datamcp.testing import FakeClock, InlineRuntime, drain, inline_runtime, using
from datamcp.testing.settings import settings_of


class Clumsy(BaseAgent):
    """Fails."""

    agent_type = "clumsy"

    @capability
    def usual(self) -> None:
        """Fail as often as the configuration allows."""
        raise ValueError("no")

    @capability(retry_policy=RetryPolicy(max_attempts=3, delay=10, strategy="linear"))
    def slowly(self) -> None:
        """Fail three times."""
        raise ValueError("no")


@pytest.mark.parametrize(
    ("task_type", "settings", "asked", "expected"),
    [
        ("usual", {}, {}, (1, 0)),
        ("usual", {"scheduler.max_retries": "2"}, {}, (3, 0)),
        ("usual", {"scheduler.max_retries": "2", "scheduler.retry_delay": "7"}, {}, (3, 7)),
        ("usual", {"scheduler.retry_delay": "7", "agents.clumsy.retry_attempts": "4"}, {}, (5, 7)),
        ("slowly", {"agents.clumsy.retry_attempts": "4"}, {}, (3, 10)),
        ("slowly", {}, {"retry_count": 6}, (7, 10)),
        ("slowly", {}, {"retry_count": 0}, (1, 0)),
        (
            "slowly",
            {},
            {"retry_count": 6, "retry_policy": RetryPolicy(max_attempts=2, delay=5)},
            (2, 5),
        ),
    ],
)
def test_the_nearest_word_counts(
    tmp_path: Path,
    sqlite_url: str,
    clock: FakeClock,
    task_type: str,
    settings: dict[str, str],
    asked: dict[str, Any],
    expected: tuple[int, float],
) -> None:
    """That of the task, its capability, its agent type, or of the configuration as a whole."""
    chosen = settings_of(tmp_path, database_url=sqlite_url, agents=[Clumsy], settings=settings)
    with inline_runtime(load(overrides=chosen).config, clock) as runtime, using(runtime):
        task_id = enqueue(runtime, f"clumsy.{task_type}", **asked)
        attempts, delay = expected
        assert runtime.tasks.status(task_id).max_attempts == attempts
        ended = drain(runtime)
        if attempts > 1 and delay:
            assert ended == []
            status = runtime.tasks.status(task_id)
            assert status.scheduled_at is not None
            assert (status.scheduled_at - clock.now()).total_seconds() == delay
            while not ended:
                clock.advance(seconds=60 * delay)
                ended = drain(runtime)
        assert (ended[0].state, ended[0].attempt) == (State.FAILED, attempts)


def test_a_processor_has_those_of_the_configuration(
    tmp_path: Path, database_url: str, clock: FakeClock
) -> None:
    """Where its task says nothing; and what can't succeed is not tried again."""
    with calculating(
        tmp_path / "installation", database_url, clock, **{"scheduler.max_retries": "2"}
    ) as runtime:
        task_id = enqueue(runtime, "file.read", {"path": "nothing.csv"})
        assert runtime.tasks.status(task_id).max_attempts == 3
        (ended,) = drain(runtime)
        assert (ended.state, ended.attempt, ended.error_code) == (
            State.FAILED,
            1,
            "processing_error",
        )


def test_a_result_without_json_form_is_not_tried_again(runtime: InlineRuntime) -> None:
    """It would have none the next time."""
    task_id = enqueue(runtime, "calc.strange", retry_count=5)
    (ended,) = drain(runtime)
    assert (ended.task_id, ended.attempt, ended.error_code) == (task_id, 1, "invalid_result")


def test_a_celery_task_is_left_to_itself(tmp_path: Path, sqlite_url: str) -> None:
    """To ask for retries of it is refused, before anything is written."""
    tasks = {"agents.old.tasks": "support.old_tasks"}
    with calculating(tmp_path / "installation", sqlite_url, **tasks) as runtime:
        for asked in ({"retry_count": 1}, {"retry_policy": RetryPolicy()}):
            with pytest.raises(TaskError, match="decides for itself when it is tried again"):
                runtime.tasks.enqueue(Task(task_type=multiply.name, **asked))
        assert runtime.tasks.list() == []


def test_the_last_details_are_those_of_the_last_attempt(runtime: InlineRuntime) -> None:
    """A new task made of a dead letter goes on there, too."""
    again = RetryPolicy(max_attempts=2, delay=0)
    task_id = enqueue(runtime, "calc.note", {"until": 5}, retry_policy=again)
    (ended,) = drain(runtime)
    assert (ended.state, ended.attempt) == (State.FAILED, 2)
    assert runtime.tasks.dead_letters.show(task_id).details == {"notes": [1, 2]}
    follower = runtime.tasks.dead_letters.requeue(task_id)
    drain(runtime)
    assert runtime.tasks.dead_letters.show(follower).details == {"notes": [1, 2, 3, 4]}
