"""Which steps of a run that has ended are run again, and which are taken over as they are. Pure."""

from collections.abc import Iterable, Mapping

from datamcp.errors import PipelineError
from datamcp.naming import did_you_mean
from datamcp.pipelines.compiled import Compiled
from datamcp.pipelines.graph import Graph
from datamcp.pipelines.new_run import Adopted
from datamcp.pipelines.status import StepStatus
from datamcp.tasks.states import State

_AGAIN = frozenset({State.FAILED, State.TIMED_OUT, State.CANCELLED, State.UPSTREAM_FAILED})


def to_resume(compiled: Compiled, steps: Mapping[str, StepStatus]) -> set[str]:
    """Return the steps that failed or never ran, with all that depends on them.

    A failure that was forgiven is none.
    """
    failed = {
        step_id
        for step_id, status in steps.items()
        if step_id in compiled.steps  # what one was made to, it puts together itself
        and status.state in _AGAIN
        and not _is_forgiven(compiled, step_id, status)
    }
    if not failed:
        raise PipelineError("every step of the run succeeded, or was skipped: nothing to resume")
    return with_what_follows(compiled.graph, failed)


def to_clear(compiled: Compiled, step_id: str) -> set[str]:
    """Return a step with all that depends on it; raises PipelineError if there is none."""
    require_step(compiled, step_id)
    return with_what_follows(compiled.graph, {step_id})


def with_what_follows(graph: Graph, step_ids: Iterable[str]) -> set[str]:
    """Return some steps, and all that depend on them."""
    found = set(step_ids)
    todo = list(found)
    while todo:
        for below in graph.downstreams[todo.pop()]:
            if below not in found:
                found.add(below)
                todo.append(below)
    return found


def require_step(compiled: Compiled, step_id: str) -> None:
    """Raise PipelineError if a pipeline has no such step."""
    if step_id not in compiled.steps:
        pipeline_id = compiled.definition.pipeline_id
        hint = did_you_mean(step_id, compiled.steps)
        raise PipelineError(f"pipeline {pipeline_id!r} has no step {step_id!r}{hint}")


def marked(step: str, state: State, task_id: str, note: str | None) -> Adopted:
    """Return how a step has ended that somebody marks."""
    if state is State.FAILED:
        return Adopted(state, None, task_id, "marked", note or f"{step} was marked failed", note)
    output = "{}" if state is State.SUCCEEDED else None
    return Adopted(state, output, task_id, note=note)


def _is_forgiven(compiled: Compiled, step_id: str, status: StepStatus) -> bool:
    is_failure = status.state in {State.FAILED, State.TIMED_OUT}
    return is_failure and compiled.steps[step_id].continues_on_error
