"""Which steps of a run that has ended are run again."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.dags import Edges, above, dags

from datamcp.errors import PipelineError
from datamcp.pipelines.compiled import Compiled
from datamcp.pipelines.definition import PipelineDefinition, TaskDefinition
from datamcp.pipelines.rerun import marked, require_step, to_clear, to_resume
from datamcp.pipelines.status import StepStatus
from datamcp.tasks.retry import RetryPolicy
from datamcp.tasks.states import FINAL, State

AGAIN = {State.FAILED, State.TIMED_OUT, State.CANCELLED, State.UPSTREAM_FAILED}
FORGIVING = RetryPolicy(continue_on_error=True)


def compiled(edges: Edges, forgiving: frozenset[str] = frozenset()) -> Compiled:
    """Return a pipeline of some edges."""
    tasks = [
        TaskDefinition(
            task_id=name,
            processor="lab.work",
            retry_policy=FORGIVING if name in forgiving else None,
        )
        for name in edges
    ]
    definition = PipelineDefinition(
        pipeline_id="p", tasks=tasks, dependencies={name: tuple(ups) for name, ups in edges.items()}
    )
    return Compiled(definition, 1, chords=True)


def status(state: State) -> StepStatus:
    """Return how a step has ended."""
    return StepStatus(task_id="t", state=state, attempt=1, max_attempts=1)


@given(dags(), st.data())
def test_resume_runs_what_went_wrong_and_what_depends_on_it(
    edges: Edges, data: st.DataObject
) -> None:
    """And nothing else, whatever one of many has done."""
    ends = {name: data.draw(st.sampled_from(sorted(FINAL))) for name in edges}
    forgiving = frozenset(data.draw(st.sets(st.sampled_from(sorted(edges)))))
    pipeline = compiled(edges, forgiving)
    steps = {name: status(state) for name, state in ends.items()}
    first = next(iter(edges))
    steps[f"{first}[0]"] = status(data.draw(st.sampled_from(sorted(FINAL))))
    wrong = {
        name
        for name, state in ends.items()
        if state in AGAIN and not (name in forgiving and state in {State.FAILED, State.TIMED_OUT})
    }
    if not wrong:
        with pytest.raises(PipelineError, match="nothing to resume"):
            to_resume(pipeline, steps)
        return
    before = above(pipeline.graph)
    expected = {name for name in edges if name in wrong or wrong & before[name]}
    assert to_resume(pipeline, steps) == expected


@given(dags())
def test_clear_runs_a_step_and_what_depends_on_it(edges: Edges) -> None:
    """Whatever came of them."""
    pipeline = compiled(edges)
    before = above(pipeline.graph)
    for name in edges:
        expected = {other for other in edges if other == name or name in before[other]}
        assert to_clear(pipeline, name) == expected


def test_a_step_that_there_is_not_is_named() -> None:
    """With the one that may have been meant."""
    with pytest.raises(PipelineError, match=r"'p' has no step 'laod'.*'load'"):
        require_step(compiled({"load": []}), "laod")
    with pytest.raises(PipelineError, match="no step"):
        to_clear(compiled({"m": []}), "m[0]")


def test_marks() -> None:
    """A success is empty, a failure says by whom."""
    assert marked("s", State.SUCCEEDED, "t", "n").output == "{}"
    assert marked("s", State.SKIPPED, "t", None).output is None
    failed = marked("s", State.FAILED, "t", None)
    assert (failed.error_code, failed.error_message) == ("marked", "s was marked failed")
    assert marked("s", State.FAILED, "t", "broken").error_message == "broken"
