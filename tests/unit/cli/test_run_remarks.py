from datetime import UTC, datetime, timedelta
from typing import Any

from datamcp.cli.run_remarks import run_remarks, step_remarks
from datamcp.pipelines.status import PipelineStatus, RunState, StepStatus
from datamcp.tasks.states import State

NOW = datetime(2030, 1, 1, 12, tzinfo=UTC)


def run(state: RunState = RunState.RUNNING, **fields: Any) -> PipelineStatus:
    """Return a run that was made a minute ago."""
    made = NOW - timedelta(minutes=1)
    return PipelineStatus(
        run_id="r",
        pipeline_id="p",
        version="1",
        state=state,
        progress=0.5,
        triggered_by="cli",
        parameters={},
        created_at=made,
        **fields,
    )


def step(state: State = State.SUCCEEDED, **fields: Any) -> StepStatus:
    """Return a step."""
    return StepStatus(task_id="t", state=state, attempt=1, max_attempts=1, **fields)


def lines(status: PipelineStatus) -> list[str]:
    """Return what is said of a run."""
    return [line.plain for line in run_remarks(status, NOW)]


def test_nothing_is_said_of_what_is_not_set() -> None:
    """A run like any other has no remarks."""
    assert lines(run()) == []
    assert step_remarks(run(tasks={"a": step()})) == []


def test_a_run_is_late_from_its_deadline_on() -> None:
    """Whether somebody has noticed it or not; one that ended in time is not."""
    deadline = NOW - timedelta(seconds=10)
    (line,) = lines(run(deadline_at=deadline))
    assert line.startswith("late: was to end by ")
    assert line.endswith(", 10.00 s before")
    ended = run(RunState.SUCCEEDED, deadline_at=deadline, finished_at=deadline - timedelta(1))
    assert lines(ended) == []
    (line,) = lines(run(deadline_at=NOW + timedelta(seconds=10)))
    assert line.startswith("is to end by ")


def test_only_what_still_matters_is_said() -> None:
    """A pause that is over, and the timeout of a run that has ended, are not."""
    assert lines(run(paused_at=NOW)) == []
    assert lines(run(RunState.FAILED, timeout_at=NOW)) == []
    assert lines(run(timeout_at=NOW))[0].startswith("times out at ")


def test_steps_that_were_taken_over_are_named_on_one_line() -> None:
    """However many there are."""
    steps = {f"s{number}": step(adopted_from="t") for number in range(25)}
    steps["w"] = step(State.SCHEDULED, waiting_for="approval")
    waits, taken = step_remarks(run(tasks=steps))
    assert waits.plain == "  w: waits for approval"
    assert taken.plain.startswith("  taken over as they were: s0, s1, ")
    assert taken.plain.endswith("s19 and 5 more")


def test_a_note_is_not_said_twice() -> None:
    """Where the error says it, too."""
    failed = step(State.FAILED, note="no", error_message="it was rejected: no")
    assert step_remarks(run(tasks={"a": failed})) == []
    (line,) = step_remarks(run(tasks={"a": step(note="fine")}))
    assert line.plain == "  a: note: fine"
