"""When a run will probably have ended."""

from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.dags import Edges, dags
from support.exports import BEGIN, export_of, step

from datamcp.pipelines.eta import Samples, estimated_completion
from datamcp.pipelines.instances import instances_of, parent_of, with_instances
from datamcp.pipelines.status import PipelineStatus, RunState, StepStatus
from datamcp.tasks.states import State

CHAIN: Edges = {"a": [], "b": ["a"], "c": ["b"]}
NOW = BEGIN + timedelta(seconds=10)


def run(state: RunState = RunState.RUNNING, **steps: StepStatus) -> PipelineStatus:
    """Return a run of these steps."""
    return export_of({name: [] for name in steps}, steps, state=state).status


def seconds(
    status: PipelineStatus, edges: Edges, past: Samples, at_once: int | None = None
) -> float | None:
    """Return how many seconds a run still takes, as it is estimated."""
    end = estimated_completion(status, edges, past, NOW, at_once=at_once)
    return None if end is None else (end - NOW).total_seconds()


def running(since: float, **fields: object) -> StepStatus:
    """Return a step that has run for so many seconds."""
    return step(State.RUNNING, started_at=NOW - timedelta(seconds=since), **fields)


WAITS = step(State.SCHEDULED)


def test_what_is_left_is_added_along_the_graph() -> None:
    """The rest of what runs, and the medians of what follows."""
    status = run(a=running(4), b=WAITS, c=WAITS)
    past = {"a": [10.0, 8.0, 12.0], "b": [20.0], "c": [30.0]}
    # Of those of `a` that took more than 4 s the median is 10 s.
    assert seconds(status, CHAIN, past) == pytest.approx(60, abs=5)
    assert seconds(status, {"a": [], "b": [], "c": []}, past) == pytest.approx(30, abs=5)


def test_without_a_past_the_run_itself_tells() -> None:
    """What has ended is taken for what has not; before anything has, nobody knows."""
    assert seconds(run(a=step(), b=WAITS, c=WAITS), CHAIN, {}) == pytest.approx(2, abs=5)
    assert seconds(run(a=running(1), b=WAITS, c=WAITS), CHAIN, {}) is None


def test_a_progress_that_is_told_is_believed() -> None:
    """Over what such a step took before; too little of it is not."""
    status = run(a=running(30, progress=0.25))
    assert seconds(status, {"a": []}, {"a": [31.0]}) == pytest.approx(90, abs=5)
    assert seconds(run(a=running(30, progress=0.01)), {"a": []}, {}) is None


def test_what_takes_longer_than_ever_is_due_and_then_unknown() -> None:
    """Nobody can tell how long that goes on."""
    assert seconds(run(a=running(11)), {"a": []}, {"a": [10.0]}) == pytest.approx(0, abs=5)
    assert seconds(run(a=running(16)), {"a": []}, {"a": [10.0]}) is None


@pytest.mark.parametrize(
    "state", [RunState.SUCCEEDED, RunState.FAILED, RunState.CANCELLED, "paused"]
)
def test_a_run_that_does_not_go_on_has_no_end_to_come(state: RunState) -> None:
    """Nor has one all of whose steps have ended."""
    status = run(a=WAITS).model_copy(update={"state": state})
    assert seconds(status, {"a": []}, {"a": [1.0]}) is None
    assert seconds(run(a=step()), {"a": []}, {"a": [1.0]}) is None


def test_steps_that_wait_for_workers_take_turns() -> None:
    """Four run, and some wait for a slot: then it is the work that counts."""
    names = [f"s{n}" for n in range(40)]
    steps = {name: running(0) if n < 4 else step(State.QUEUED) for n, name in enumerate(names)}
    past = {name: [10.0] for name in names}
    edges: Edges = {name: [] for name in names}
    assert seconds(run(**steps), edges, past) == pytest.approx(100, abs=5)
    assert seconds(run(**steps), edges, past, at_once=2) == pytest.approx(200, abs=30)


def test_instances_are_like_each_other() -> None:
    """One that waits takes what the others took; the step itself takes no time."""
    steps = {
        "m": running(3),
        "m[0]": step(finished_at=BEGIN + timedelta(seconds=7)),
        "m[1]": step(State.QUEUED),
        "z": WAITS,
    }
    status = export_of({"m": [], "z": ["m"]}, steps, state=RunState.RUNNING).status
    past = {"z": [5.0], "m": [100.0]}
    assert seconds(status, {"m": [], "z": ["m"]}, past) == pytest.approx(12, abs=5)


def test_instances_are_like_those_of_earlier_runs() -> None:
    """Also where there were fewer of them."""
    steps = {"m": WAITS, "m[0]": WAITS, "m[1]": WAITS}
    status = export_of({"m": []}, steps, state=RunState.RUNNING).status
    assert seconds(status, {"m": []}, {"m[0]": [40.0]}) == pytest.approx(40, abs=5)


def test_a_run_for_later_ends_later() -> None:
    """Its length is added to when it is due."""
    status = run(RunState.QUEUED, a=WAITS).model_copy(
        update={"scheduled_at": NOW + timedelta(seconds=100)}
    )
    assert seconds(status, {"a": []}, {"a": [10.0]}) == pytest.approx(110, abs=5)


@given(dags(), st.floats(0.001, 1e6))
def test_an_estimate_is_ahead_and_round(edges: Edges, usual: float) -> None:
    """To five seconds where it is near, to minutes where it is far."""
    status = export_of(
        edges, {name: step(State.QUEUED) for name in edges}, state=RunState.RUNNING
    ).status
    end = estimated_completion(status, edges, {name: [usual] for name in edges}, NOW)
    assert isinstance(end, datetime)
    assert end >= NOW
    assert end.microsecond == 0
    assert end.timestamp() % 5 == 0
    if (end - NOW).total_seconds() > 4_000:
        assert end.timestamp() % 300 == 0


def test_what_an_instance_is() -> None:
    """A step whose name looks like it, with its step beside it."""
    assert [parent_of(name) for name in ("a", "a[3]", "a[b]", "a[]", "[3]", "a[1][2]")] == [
        None,
        "a",
        "a",
        "a",
        None,
        "a[1]",
    ]
    assert instances_of(["a", "b[1]", "a[1]", "a[0]"]) == {"a": ["a[1]", "a[0]"]}
    above = with_instances({"a": ["x", "gone"], "z": ["a"]}, ["x", "a", "a[0]", "z"])
    assert above == {"x": [], "a": ["x", "a[0]"], "a[0]": ["x"], "z": ["a"]}
