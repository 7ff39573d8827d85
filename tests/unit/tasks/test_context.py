import logging
from datetime import UTC, datetime
from typing import Any

import pytest

from datamcp.storage.artifacts import ArtifactStore
from datamcp.storage.roots import AllowedRoots
from datamcp.tasks.context import MAX_DETAILS, TaskContext
from datamcp.tasks.task import Task


class Caller:
    """Somebody who may ask for a cancel; it notes what it is told."""

    def __init__(self) -> None:
        """Begin without a wish."""
        self.wants_cancel = False
        self.told: list[float | None] = []
        self.noted: list[str | None] = []

    def beat(self, progress: float | None, details: str | None) -> bool:
        """Take a heartbeat."""
        self.told.append(progress)
        self.noted.append(details)
        return self.wants_cancel


@pytest.fixture
def caller() -> Caller:
    """Return a caller."""
    return Caller()


@pytest.fixture
def context(caller: Caller) -> TaskContext:
    """Return the context of a task that knows the caller."""
    return TaskContext(
        task_id="1",
        idempotency_key="1",
        attempt=1,
        deadline=datetime(2026, 1, 1, tzinfo=UTC),
        agent_id="bench-1@here",
        logger=logging.LoggerAdapter(logging.getLogger("test"), {}),
        _task=lambda: Task(task_type="bench.add"),
        _workspace=lambda: ArtifactStore("artifacts").workspace("run", "step", "1"),
        _beat=caller.beat,
        _find=AllowedRoots([]).find,
    )


@pytest.mark.parametrize("progress", [None, 0, 0.5, 1])
def test_tells_how_far_the_work_is(
    context: TaskContext, caller: Caller, progress: float | None
) -> None:
    """A heartbeat hands on the progress, which may be left out."""
    context.heartbeat(progress)
    assert caller.told == [progress]


@pytest.mark.parametrize("progress", [-0.1, 1.1, float("nan"), float("inf")])
def test_refuses_a_progress_that_is_none(
    context: TaskContext, caller: Caller, progress: float
) -> None:
    """It is a part of one, so that everybody can draw it."""
    with pytest.raises(ValueError, match="progress must be from 0 to 1, got"):
        context.heartbeat(progress)
    assert caller.told == []


def test_remembers_that_it_was_cancelled(context: TaskContext, caller: Caller) -> None:
    """A cancel is learnt at a heartbeat, and never unlearnt."""
    caller.wants_cancel = True
    assert not context.cancelled
    context.heartbeat()
    assert context.cancelled
    caller.wants_cancel = False
    context.heartbeat()
    assert context.cancelled


def test_hands_on_details_as_json(context: TaskContext, caller: Caller) -> None:
    """With or without a progress; what is left out stays as it was."""
    context.heartbeat(details={"page": 3, "at": datetime(2026, 1, 1, tzinfo=UTC)})
    context.heartbeat(0.5)
    assert caller.noted == ['{"page":3,"at":"2026-01-01T00:00:00Z"}', None]
    assert caller.told == [None, 0.5]


@pytest.mark.parametrize(
    ("details", "said"),
    [
        ([1], "details must be a JSON object, got list"),
        ({"all": "x" * MAX_DETAILS}, f"details have {MAX_DETAILS + 10} bytes as JSON, more than"),
        ({"what": object()}, "Unable to serialize unknown type"),
    ],
)
def test_refuses_details_that_can_t_be_kept(
    context: TaskContext, caller: Caller, details: Any, said: str
) -> None:
    """They are an object of a bounded size; it is where the work stands, not the work."""
    with pytest.raises(ValueError, match=said):
        context.heartbeat(details=details)
    assert caller.noted == []


def test_the_first_attempt_finds_nothing(context: TaskContext) -> None:
    """And needs not ask whether there is anything."""
    assert context.last_details.get("page", 0) == 0
