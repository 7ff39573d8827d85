from datetime import timedelta

import pytest
from support.inline import Calc, data, enqueue

from datamcp.errors import InvalidParametersError, UnknownTaskTypeError
from datamcp.tasks.states import State
from datamcp.testing import (
    InlineRuntime,
    all_enqueued,
    assert_enqueued,
    drain,
    refute_enqueued,
)

HOUR = timedelta(hours=1)


def said(caught: pytest.ExceptionInfo[AssertionError]) -> list[str]:
    """Return the lines of a failure."""
    return str(caught.value).splitlines()


def test_finds_what_was_enqueued(runtime: InlineRuntime) -> None:
    """By type and by some of its parameters; it returns what it found, the oldest first."""
    ids = [enqueue(runtime, "calc.add", {"a": 1, "b": number}) for number in range(3)]
    assert [task.task_id for task in assert_enqueued(runtime, "calc.add")] == ids
    (found,) = assert_enqueued(runtime, "calc.add", parameters={"b": 1})
    assert (found.task_id, found.parameters) == (ids[1], {"a": 1, "b": 1})
    assert (found.queue, found.priority, found.state) == ("calc", 5, State.QUEUED)
    assert_enqueued(runtime, "calc.add", parameters={"a": 1}, count=3)


def test_finds_plain_calls_and_steps(lite: InlineRuntime) -> None:
    """However a task came in."""
    Calc.add.delay(1, b=2)
    assert_enqueued(lite, "calc.add", parameters={"a": 1, "b": 2}, count=1)


def test_conditions_are_fields_of_the_task(runtime: InlineRuntime) -> None:
    """Such as its priority, its instant, its key."""
    due = runtime.clock.now() + HOUR
    enqueue(
        runtime,
        "calc.add",
        {"a": 1},
        priority=9,
        scheduled_at=due,
        idempotency_key="key",
        tags=("red",),
        metadata={"from": "test"},
    )
    enqueue(runtime, "calc.add", {"a": 1})
    (found,) = assert_enqueued(runtime, "calc.add", scheduled_at=due, count=1)
    assert (found.state, found.tags, found.metadata) == (
        State.SCHEDULED,
        ("red",),
        {"from": "test"},
    )
    for fields in ({"priority": 9}, {"idempotency_key": "key"}, {"state": State.SCHEDULED}):
        assert assert_enqueued(runtime, "calc.add", **fields) == [found]


def test_what_has_run_is_enqueued_no_more(runtime: InlineRuntime) -> None:
    """Unless its state is asked for."""
    enqueue(runtime, "calc.add", {"a": 1})
    assert data(drain(runtime)) == [1]
    refute_enqueued(runtime, "calc.add")
    assert all_enqueued(runtime) == []
    assert_enqueued(runtime, "calc.add", states={State.SUCCEEDED}, count=1)


def test_lists_all(runtime: InlineRuntime) -> None:
    """That wait, of every type, the oldest first."""
    ids = [enqueue(runtime, name) for name in ("calc.ever", "calc.refuse", "calc.ever")]
    assert [task.task_id for task in all_enqueued(runtime)] == ids
    assert [task.task_id for task in all_enqueued(runtime, "calc.ever")] == [ids[0], ids[2]]


def test_says_what_there_was_instead(lite: InlineRuntime) -> None:
    """One line for each task."""
    enqueue(lite, "calc.add", {"a": 1, "b": 2}, priority=9)
    enqueue(lite, "calc.ever", scheduled_at=lite.clock.now() + HOUR)
    enqueue(lite, "calc.divide", {"a": 1, "b": 0})
    drain(lite)
    with pytest.raises(AssertionError) as caught:
        assert_enqueued(lite, "calc.add", parameters={"a": 2, "b": 2}, priority=9)
    assert said(caught) == [
        'no task calc.add with {"a":2,"b":2} of priority 9 is enqueued; there are:',
        '  calc.add {"a":1,"b":2}: succeeded, priority 9',
        "  calc.ever {}: scheduled at 2026-01-31T13:00:00+00:00, priority 5",
        '  calc.divide {"a":1,"b":0}: failed, priority 5',
    ]


def test_says_how_many_there_were_instead(runtime: InlineRuntime) -> None:
    """Too few or too many."""
    for number in range(2):
        enqueue(runtime, "calc.add", {"a": number})
    with pytest.raises(AssertionError) as caught:
        assert_enqueued(runtime, "calc.add", count=3)
    assert said(caught)[0] == "2 tasks calc.add are enqueued, expected 3; there are:"
    with pytest.raises(AssertionError) as caught:
        assert_enqueued(runtime, "calc.add", parameters={"a": 0}, count=0)
    assert said(caught)[0] == '1 task calc.add with {"a":0} is enqueued, expected 0; there are:'


def test_says_that_there_was_nothing(lite: InlineRuntime) -> None:
    """Not a single task."""
    with pytest.raises(AssertionError) as caught:
        assert_enqueued(lite, "calc.add")
    assert said(caught) == ["no task calc.add is enqueued; the ledger has no task at all"]


def test_says_what_should_not_have_been_there(lite: InlineRuntime) -> None:
    """Only what was refuted, as the rest is in order."""
    enqueue(lite, "calc.add", {"a": 1})
    enqueue(lite, "calc.ever")
    with pytest.raises(AssertionError) as caught:
        refute_enqueued(lite, "calc.add")
    assert said(caught) == [
        "1 task calc.add is enqueued, expected none; there is:",
        '  calc.add {"a":1}: queued, priority 5',
    ]


def test_does_not_list_without_end(lite: InlineRuntime) -> None:
    """The first twenty tell enough."""
    for number in range(25):
        enqueue(lite, "calc.add", {"a": number})
    with pytest.raises(AssertionError) as caught:
        assert_enqueued(lite, "calc.ever")
    assert len(said(caught)) == 22
    assert said(caught)[-1] == "  … and 5 more"


def test_what_can_not_be_is_refused(lite: InlineRuntime) -> None:
    """A misspelt name would never be found, and a refutation would always hold."""
    with pytest.raises(UnknownTaskTypeError, match=r"did you mean 'calc\.add'"):
        refute_enqueued(lite, "calc.ad")
    with pytest.raises(InvalidParametersError, match="no such parameter"):
        refute_enqueued(lite, "calc.add", parameters={"aa": 1})
    with pytest.raises(TypeError, match="a task has no 'prioritty'; did you mean 'priority'"):
        refute_enqueued(lite, "calc.add", prioritty=1)
