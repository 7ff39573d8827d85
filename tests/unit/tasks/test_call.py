from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from datamcp.errors import TaskError
from datamcp.tasks.arguments import Arguments
from datamcp.tasks.call import (
    instant,
    limits_of_call,
    parts_of,
    queue_of,
    refuse,
    with_defaults,
)
from datamcp.tasks.ports import TaskType

NOW = datetime(2026, 1, 1, tzinfo=UTC)
BERLIN = timezone(timedelta(hours=1))


class Queue:
    """Stands for kombu's, of which only the name counts."""

    name = "urgent"


class Task:
    """Stands for Celery's, of which only its own options count."""

    def _get_exec_options(self) -> dict[str, Any]:
        return {"time_limit": 5, "priority": None, "serializer": "json"}


def kind(task: Any = None) -> TaskType:
    """Return a task type."""
    parameters = Arguments("p.add", lambda: None)
    return TaskType("p.add", "legacy", parameters, celery_task=task, also_on=("urgent",))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, None),
        (NOW, NOW),
        (NOW.replace(tzinfo=None), NOW.replace(tzinfo=BERLIN)),
        ("2026-01-01T00:00:00+00:00", NOW),
        ("2026-01-01T01:00:00", NOW),
        (5, NOW + timedelta(seconds=5)),
        (0.5, NOW + timedelta(seconds=0.5)),
        (timedelta(hours=1), NOW + timedelta(hours=1)),
    ],
)
def test_instants_are_what_celery_takes(value: Any, expected: datetime | None) -> None:
    """One without a zone is in that of the app."""
    assert instant(value, now=NOW, zone=BERLIN) == expected


@pytest.mark.parametrize("value", ["soon", object(), [1]])
def test_anything_else_is_no_instant(value: Any) -> None:
    """It is refused with what it is; so are seconds where nothing says from when."""
    with pytest.raises(TaskError, match="not an instant"):
        instant(value, now=NOW)
    with pytest.raises(TaskError, match="not an instant"):
        instant(5)


def test_a_queue_must_have_a_worker() -> None:
    """By name or as kombu's object; without one it is that of the task."""
    assert [queue_of(kind(), wanted) for wanted in (None, "legacy", Queue())] == [
        "legacy",
        "legacy",
        "urgent",
    ]
    with pytest.raises(TaskError, match=r"serves queue 'urgend'.*did you mean 'urgent'"):
        queue_of(kind(), "urgend")


def test_what_would_not_be_done_is_refused() -> None:
    """Nothing but JSON, and no exchange."""
    refuse("p.add", {"serializer": "json", "exchange": None})
    with pytest.raises(TaskError, match="serializer 'yaml' is refused"):
        refuse("p.add", {"serializer": "yaml"})
    with pytest.raises(TaskError, match="`exchange` is not supported"):
        refuse("p.add", {"exchange": "e"})


def test_a_call_by_name_has_the_options_of_its_task() -> None:
    """Its own count before them."""
    assert with_defaults({"a": 1}, kind(Task())) == {"a": 1, "time_limit": 5, "serializer": "json"}
    assert with_defaults({"time_limit": 7}, kind(Task()))["time_limit"] == 7
    assert with_defaults({"a": 1}, kind()) == {"a": 1}


def test_what_a_message_carries() -> None:
    """Links as lists, stamps by name, limits together."""
    options = {
        "link": "a",
        "link_error": ["b"],
        "stamped_headers": ["tenant"],
        "tenant": 7,
        "soft_time_limit": 3,
    }
    parts = parts_of(options, limits_of_call(options))
    assert (parts["callbacks"], parts["errbacks"]) == (["a"], ["b"])
    assert (parts["stamps"], parts["timelimit"]) == ({"tenant": 7}, [None, 3])
    assert parts_of({}, limits_of_call({}))["timelimit"] is None
    assert limits_of_call({"time_limit": 9}).timeout == 9
