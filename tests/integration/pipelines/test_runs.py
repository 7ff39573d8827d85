"""Pipelines on real workers: what runs, how often, in which order, and how a run ends."""

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime

import pytest
from celery import chain
from support.eventually import eventually
from support.runs import Bench

from datamcp.clock import SystemClock
from datamcp.errors import InvalidParametersError, InvalidPipelineError
from datamcp.pipelines.definition import ParameterDefinition, PipelineDefinition, TaskDefinition
from datamcp.pipelines.prepare import Wanted
from datamcp.pipelines.status import RunState
from datamcp.tasks.states import State
from datamcp.tasks.task import Task

Edges = Mapping[str, Iterable[str]]


def pipeline(name: str, upstreams: Edges, **steps: Mapping[str, object]) -> PipelineDefinition:
    """Return a pipeline of steps that wait for each other; `steps` holds configurations."""
    return PipelineDefinition(
        pipeline_id=name,
        tasks=tuple(
            TaskDefinition(
                task_id=step, processor="probe.work", configuration=dict(steps.get(step, {}))
            )
            for step in upstreams
        ),
        dependencies={step: tuple(ups) for step, ups in upstreams.items() if ups},
    )


LAYERS = {
    f"s{layer}{place}": [f"s{layer - 1}{above}" for above in range(4)] if layer else []
    for layer in range(4)
    for place in range(4)
}
SHAPES: dict[str, Edges] = {
    "one": {"a": []},
    "chain": {f"s{i}": [f"s{i - 1}"] if i else [] for i in range(20)},
    "diamond": {"a": [], "b": ["a"], "c": ["a"], "d": ["b", "c"]},
    "chord": {"a": [], **{f"b{i}": ["a"] for i in range(6)}, "z": [f"b{i}" for i in range(6)]},
    "roots": {"a": [], "b": [], "c": ["a", "b"], "d": ["c"]},
    "n": {"a": [], "b": [], "c": ["a", "b"], "d": ["b"]},
    "layers": LAYERS,
    "forest": {"a": [], "b": ["a"], "c": [], "d": ["c"], "e": []},
    "chains_in_chord": {
        "a": [],
        "b1": ["a"],
        "b2": ["b1"],
        "c1": ["a"],
        "c2": ["c1"],
        "d": ["b2", "c2"],
        "e": ["d"],
    },
    "nested": {
        "a": [],
        "b": ["a"],
        "b1": ["b"],
        "b2": ["b"],
        "bj": ["b1", "b2"],
        "c": ["a"],
        "z": ["bj", "c"],
    },
}


@pytest.mark.parametrize("shape", SHAPES)
def test_each_step_runs_once_after_its_upstreams(bench: Bench, shape: str) -> None:
    """Whatever the shape, every step is executed exactly once, and upstreams first."""
    run_id = bench.run(pipeline(f"shape-{shape}", SHAPES[shape]))

    status = bench.runtime.pipelines.sync.monitor_execution(run_id)
    notes = bench.executions(run_id)
    assert status.state is RunState.SUCCEEDED
    assert Counter(note["step"] for note in notes) == Counter(list(SHAPES[shape]))
    spans = {note["step"]: note for note in notes}
    for step, upstreams in SHAPES[shape].items():
        assert all(spans[up]["ended"] <= spans[step]["started"] for up in upstreams)


def test_no_step_waits_for_what_it_does_not_depend_on(bench: Bench) -> None:
    """In the N shape, d follows b at once, though c still waits for the slow a."""
    run_id = bench.run(pipeline("n-slow", SHAPES["n"], a={"seconds": 1.5}))

    spans = {note["step"]: note for note in bench.executions(run_id)}
    assert spans["d"]["ended"] < spans["a"]["ended"]


def test_a_failed_step_ends_what_depends_on_it_and_lets_the_rest_finish(bench: Bench) -> None:
    """What follows a failure is upstream_failed, other branches succeed, the run fails."""
    definition = pipeline(
        "fails",
        {"a": [], "bad": ["a"], "after": ["bad"], "last": ["after"], "other": ["a"]},
        bad={"fail": True},
    )
    run_id = bench.run(definition)

    status = bench.runtime.pipelines.sync.monitor_execution(run_id)
    assert status.state is RunState.FAILED
    assert status.error_message == "step bad: told to fail"
    assert {name: step.state for name, step in status.tasks.items()} == {
        "a": State.SUCCEEDED,
        "bad": State.FAILED,
        "after": State.UPSTREAM_FAILED,
        "last": State.UPSTREAM_FAILED,
        "other": State.SUCCEEDED,
    }
    assert {note["step"] for note in bench.executions(run_id)} == {"a", "bad", "other"}


def test_a_failure_in_a_chord_does_not_start_its_body(bench: Bench) -> None:
    """A join does not run if one of its upstreams failed, and the others are not lost."""
    run_id = bench.run(pipeline("chord-fails", SHAPES["chord"], b3={"fail": True}))

    status = bench.runtime.pipelines.sync.monitor_execution(run_id)
    assert status.state is RunState.FAILED
    assert status.tasks["z"].state is State.UPSTREAM_FAILED
    assert sum(step.state is State.SUCCEEDED for step in status.tasks.values()) == 6


def test_values_reach_the_steps_that_refer_to_them(bench: Bench) -> None:
    """A reference is resolved to the parameter's or the upstream step's value, with its type."""
    definition = PipelineDefinition.model_validate(
        {
            "pipeline_id": "values",
            "parameters": {"size": {"type": "integer", "default": 3}},
            "tasks": [
                {
                    "task_id": "a",
                    "processor": "probe.work",
                    "configuration": {"echo": {"n": "${parameters.size}", "run": "${run.run_id}"}},
                },
                {
                    "task_id": "b",
                    "processor": "probe.work",
                    "configuration": {"echo": "${outputs.a.value}"},
                },
                {"task_id": "c", "processor": "probe.gather", "input_sources": ["a", "b"]},
            ],
        }
    )
    run_id = bench.run(definition, size=7)

    tasks = bench.runtime.pipelines.sync.monitor_execution(run_id).tasks
    value = {"n": 7, "run": run_id}
    assert tasks["a"].output == value
    assert tasks["c"].output == {"a": value, "b": value}


def test_a_cancelled_run_starts_nothing_more(bench: Bench) -> None:
    """After a cancel, steps that wait never run, and the run ends cancelled."""
    pipelines = bench.runtime.pipelines.sync
    pipelines.register_pipeline(pipeline("slow", SHAPES["chain"], s0={"seconds": 2}))
    run_id = pipelines.trigger_pipeline("slow")
    eventually(lambda: pipelines.monitor_execution(run_id).tasks["s0"].state is State.RUNNING)

    assert pipelines.cancel_pipeline(run_id)

    status = pipelines.wait(run_id, timeout=30)
    assert status.state is RunState.CANCELLED
    assert {step.state for step in status.tasks.values()} == {State.CANCELLED}
    assert [note["step"] for note in bench.executions(run_id)] == ["s0"]
    assert not pipelines.cancel_pipeline(run_id)


def test_wrong_parameters_are_refused_and_nothing_is_written(bench: Bench) -> None:
    """A run with unknown or wrong parameters, or steps that can't run, is never inserted."""
    pipelines = bench.runtime.pipelines.sync
    with pytest.raises(InvalidPipelineError, match=r"configuration.seconds: must be a number"):
        pipelines.register_pipeline(pipeline("strict", {"a": []}, a={"seconds": "soon"}))
    definition = pipeline("strict", {"a": []}, a={"seconds": "${parameters.pause}"})
    pause = {"pause": ParameterDefinition(type="string", default="soon")}
    pipelines.register_pipeline(definition.model_copy(update={"parameters": pause}))

    with pytest.raises(InvalidPipelineError, match=r"step a: .*seconds: .* valid number"):
        pipelines.trigger_pipeline("strict")
    with pytest.raises(InvalidParametersError, match="nothing: is not a parameter"):
        pipelines.trigger_pipeline("strict", {"nothing": 1})
    assert pipelines.list_runs(pipeline_id="strict") == []


def test_registering_again_keeps_old_revisions(bench: Bench) -> None:
    """The same content is no new revision; other content is, and the old one stays readable."""
    pipelines = bench.runtime.pipelines.sync
    first = pipelines.register_pipeline(pipeline("versions", {"a": []}))
    again = pipelines.register_pipeline(pipeline("versions", {"a": []}))
    other = pipelines.register_pipeline(pipeline("versions", {"a": [], "b": ["a"]}))

    assert (first.revision, again.revision, other.revision) == (1, 1, 2)
    assert pipelines.get_pipeline("versions", 1).definition == first.definition


def test_many_runs_at_once_all_end(bench: Bench) -> None:
    """Runs that share workers do not disturb each other."""
    pipelines = bench.runtime.pipelines.sync
    pipelines.register_pipeline(pipeline("crowd", SHAPES["diamond"]))

    run_ids = [pipelines.trigger_pipeline("crowd") for _ in range(20)]

    assert {pipelines.wait(run_id, timeout=60).state for run_id in run_ids} == {RunState.SUCCEEDED}


def test_a_step_whose_message_is_lost_is_sent_again(bench: Bench) -> None:
    """A run whose messages never reached the broker goes on: beat finds its steps (R4)."""
    pipelines = bench.runtime.pipelines.sync
    pipelines.register_pipeline(pipeline("lost", SHAPES["diamond"]))

    begun = pipelines._trigger.insert("lost", {}, Wanted(triggered_by="test"))

    assert pipelines.wait(begun.run_id, timeout=60).state is RunState.SUCCEEDED


def test_plain_canvases_by_hand_work_beside(bench: Bench) -> None:
    """A chain written by hand on the same app is recorded and answers."""
    app = bench.runtime.app
    work = app.signature("probe.work", kwargs={"echo": 5}, immutable=True)

    assert chain(work, work.clone())(app=app).get(timeout=30) == 5
    listed = bench.runtime.tasks.list(task_type="probe.work", limit=2)
    assert {task.state for task in listed} == {State.SUCCEEDED}


def test_a_step_can_be_looked_at_like_any_task(bench: Bench) -> None:
    """A step's task id leads to its status and history."""
    run_id = bench.run(pipeline("one", {"a": []}))
    task_id = bench.runtime.pipelines.sync.monitor_execution(run_id).tasks["a"].task_id

    states = [event.state for event in bench.runtime.tasks.history(task_id)]
    assert states == [State.QUEUED, State.RUNNING, State.SUCCEEDED]
    assert bench.runtime.tasks.result(task_id).data == "a"
    assert Task(task_type="probe.work").priority == bench.runtime.tasks.status(task_id).priority


def test_a_run_for_a_later_instant_waits_for_it(bench: Bench) -> None:
    """Beat starts it when it is due, not before; its steps know the instant it was meant for."""
    pipelines = bench.runtime.pipelines.sync
    steps = (
        TaskDefinition(
            task_id="a", processor="probe.work", configuration={"echo": "${run.fire_at}"}
        ),
        TaskDefinition(task_id="b", processor="probe.work"),
    )
    pipelines.register_pipeline(
        PipelineDefinition(pipeline_id="at", tasks=steps, dependencies={"b": ("a",)})
    )
    due = datetime.fromtimestamp(SystemClock().now().timestamp() + 2, UTC)
    run_id = pipelines.submit("at", scheduled_at=due).run_id
    before = pipelines.monitor_execution(run_id)
    assert (before.state, before.scheduled_at) == (RunState.QUEUED, due)
    assert {step.state for step in before.tasks.values()} == {State.SCHEDULED}

    after = pipelines.wait(run_id, timeout=30)

    assert after.state is RunState.SUCCEEDED
    assert after.started_at is not None
    assert after.started_at >= due
    assert datetime.fromisoformat(str(after.tasks["a"].output)) == due
    assert len(bench.executions(run_id)) == 2


def test_a_run_for_an_instant_that_is_past_starts_at_once(bench: Bench) -> None:
    """It is not late for having been asked for late."""
    pipelines = bench.runtime.pipelines.sync
    pipelines.register_pipeline(pipeline("past", {"a": []}))
    run_id = pipelines.submit("past", scheduled_at=datetime(2020, 1, 1, tzinfo=UTC)).run_id
    assert pipelines.wait(run_id, timeout=30).state is RunState.SUCCEEDED


def test_a_run_that_waits_for_its_instant_can_be_cancelled(bench: Bench) -> None:
    """None of its steps ever starts."""
    pipelines = bench.runtime.pipelines.sync
    pipelines.register_pipeline(pipeline("never", {"a": [], "b": ["a"]}))
    run_id = pipelines.submit("never", scheduled_at=datetime(2100, 1, 1, tzinfo=UTC)).run_id
    assert pipelines.cancel_pipeline(run_id)
    assert pipelines.monitor_execution(run_id).state is RunState.CANCELLED


def test_a_run_for_an_instant_without_a_zone_is_refused(bench: Bench) -> None:
    """Nobody knows when that is."""
    pipelines = bench.runtime.pipelines.sync
    pipelines.register_pipeline(pipeline("naive", {"a": []}))
    with pytest.raises(InvalidParametersError, match="scheduled_at: needs a time zone"):
        pipelines.submit("naive", scheduled_at=datetime(2100, 1, 1))  # noqa: DTZ001  on purpose
