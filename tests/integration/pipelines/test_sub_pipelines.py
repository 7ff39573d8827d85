"""Steps that run another pipeline, and wait for its end."""

import pytest
from support.lab import Laboratory

CHILD = """
pipeline_id: child
parameters: {n: {type: integer, default: 1}, fail: {type: boolean, default: false}}
tasks:
  - {task_id: x, processor: lab.work, configuration: {value: "${parameters.n}", fail: "${parameters.fail}"}}
  - {task_id: y, processor: lab.work, configuration: {value: "${outputs.x.value}"}}
"""
WAITING_CHILD = """
pipeline_id: child
tasks:
  - {task_id: w, processor: wait.signal, configuration: {name: go}}
"""
PARENT = """
pipeline_id: parent
tasks:
  - {task_id: a, processor: lab.work, configuration: {value: 7}}
  - {task_id: sub, processor: pipeline.run, configuration: {pipeline: child, parameters: {n: "${outputs.a.value}"}}}
  - {task_id: z, processor: lab.work, configuration: {value: "${outputs.sub.value}"}}
"""
WAITING_PARENT = """
pipeline_id: parent
tasks:
  - {task_id: sub, processor: pipeline.run, configuration: {pipeline: child}}
  - {task_id: z, processor: lab.work, trigger_rule: all_done}
dependencies: {z: [sub]}
"""


def only_child(lab: Laboratory) -> str:
    """Return the one run of the pipeline `child`."""
    (child,) = lab.pipelines.list_runs(pipeline_id="child")
    return child.run_id


class TestEnd:
    def test_of_a_run_is_the_step_s(self, labs: Laboratory) -> None:
        """With the outputs of its last steps."""
        labs.register(CHILD)
        run = labs.run(PARENT)
        assert labs.state(run) == "succeeded"
        child = labs.status(only_child(labs))
        assert labs.outputs(run)["z"] == {
            "run_id": child.run_id,
            "state": "succeeded",
            "outputs": {"y": 7},
        }
        assert child.parent_task_id == labs.step(run, "sub").task_id
        assert child.triggered_by == f"run {run}"

    def test_that_failed(self, lab: Laboratory) -> None:
        """The step failed, for the same reason."""
        lab.register(CHILD)
        run = lab.run(PARENT.replace('n: "${outputs.a.value}"', "fail: true"))
        step = lab.step(run, "sub")
        assert (step.state, step.error_code) == ("failed", "ValueError")
        assert step.error_message == f"run {only_child(lab)}: step x: told to fail"
        assert lab.states(run)["z"] == "upstream_failed"

    def test_that_somebody_cancelled(self, lab: Laboratory) -> None:
        """The step failed; the parent goes on as its rules say."""
        lab.register(WAITING_CHILD)
        run = lab.run(WAITING_PARENT)
        assert lab.pipelines.cancel_pipeline(only_child(lab))
        lab.drain()
        assert lab.step(run, "sub").error_code == "run_cancelled"
        assert lab.states(run)["z"] == "succeeded"
        assert lab.state(run) == "failed"


class TestWhatCanTBegin:
    def test_a_pipeline_that_nobody_registered(self, lab: Laboratory) -> None:
        """The step fails, and nothing else."""
        run = lab.run(PARENT)
        step = lab.step(run, "sub")
        assert (step.state, step.error_code) == ("failed", "invalid_step")
        assert "no pipeline 'child' is registered" in str(step.error_message)

    @pytest.mark.parametrize(
        "given",
        ["m: 1", "n: many", 'n: "${outputs.a.value}", fail: 1'],
        ids=["name", "type", "two"],
    )
    def test_wrong_parameters(self, lab: Laboratory, given: str) -> None:
        """Likewise, with what is wrong; no run is left behind."""
        lab.register(CHILD)
        run = lab.run(PARENT.replace('n: "${outputs.a.value}"', given))
        assert lab.step(run, "sub").error_code == "invalid_step"
        assert not lab.pipelines.list_runs(pipeline_id="child")
        assert lab.state(run) == "failed"

    def test_one_that_runs_itself_without_end(self, lab: Laboratory) -> None:
        """Sixteen stand inside of the first; the next is refused, and all of them fail."""
        lab.run(
            """
pipeline_id: selfish
tasks:
  - {task_id: again, processor: pipeline.run, configuration: {pipeline: selfish}}
"""
        )
        runs = lab.pipelines.list_runs(pipeline_id="selfish", limit=100)
        assert len(runs) == 1 + 16
        assert {str(one.state) for one in runs} == {"failed"}
        assert "more than 16 runs would stand inside of each other" in str(runs[0].error_message)


class TestParent:
    def test_cancelled_cancels_its_child(self, lab: Laboratory) -> None:
        """At once."""
        lab.register(WAITING_CHILD)
        run = lab.run(WAITING_PARENT)
        assert lab.pipelines.cancel_pipeline(run)
        assert lab.state(run) == lab.state(only_child(lab)) == "cancelled"

    def test_that_takes_too_long_ends_its_child(self, labs: Laboratory) -> None:
        """The parent has failed, the child was cancelled."""
        labs.register(WAITING_CHILD)
        run = labs.run("timeout: 50\n" + WAITING_PARENT)
        labs.drain(51)
        labs.drain()
        assert (labs.state(run), labs.status(run).error_code) == ("failed", "run_timeout")
        assert labs.state(only_child(labs)) == "cancelled"

    def test_s_step_that_takes_too_long_ends_its_child(self, lab: Laboratory) -> None:
        """The parent goes on."""
        lab.register(WAITING_CHILD)
        text = WAITING_PARENT.replace("pipeline.run,", "pipeline.run, timeout: 30,")
        run = lab.run(text)
        lab.drain(29)
        assert lab.states(run)["sub"] == "scheduled"
        lab.drain(1)
        lab.drain()
        assert lab.states(run) == {"sub": "timed_out", "z": "succeeded"}
        assert lab.state(only_child(lab)) == "cancelled"

    def test_s_step_that_is_marked_ends_its_child(self, lab: Laboratory) -> None:
        """As nobody waits for it any more."""
        lab.register(WAITING_CHILD)
        run = lab.run(WAITING_PARENT)
        assert lab.pipelines.mark_step(run, "sub", "succeeded") == run
        lab.drain()
        assert lab.state(run) == "succeeded"
        assert lab.state(only_child(lab)) == "cancelled"

    def test_paused_takes_notice_later(self, lab: Laboratory) -> None:
        """The child goes on meanwhile."""
        lab.register(WAITING_CHILD)
        run = lab.run(WAITING_PARENT)
        lab.pipelines.pause_pipeline(run)
        lab.pipelines.signal(only_child(lab), "go")
        lab.drain()
        assert lab.state(only_child(lab)) == "succeeded"
        assert lab.states(run)["sub"] == "scheduled"
        lab.pipelines.resume_pipeline(run)
        lab.drain()
        assert lab.state(run) == "succeeded"


def test_runs_that_others_wait_for_need_no_room(lab: Laboratory) -> None:
    """Else those that wait for them would keep them out for good."""
    lab.register("limits: {runs: 1}\n" + CHILD)
    runs = [lab.trigger("limits: {runs: 1}\n" + PARENT) for _ in range(3)]
    lab.drain()
    assert [lab.state(run) for run in runs] == ["succeeded"] * 3


def test_runs_with_one_key_are_under_way_one_by_one(labs: Laboratory) -> None:
    """Also within one run."""
    labs.register(WAITING_CHILD)
    text = """
pipeline_id: parent
tasks:
  - {task_id: a, processor: pipeline.run, concurrency_key: k, configuration: {pipeline: child}}
  - {task_id: b, processor: pipeline.run, concurrency_key: k, configuration: {pipeline: child}}
"""
    runs = [labs.trigger(text) for _ in range(2)]
    for finished in range(4):
        labs.drain()
        open_ = [one for one in labs.pipelines.list_runs(pipeline_id="child") if not one.is_final]
        assert len(open_) == 1
        assert len(labs.pipelines.list_runs(pipeline_id="child")) == finished + 1
        labs.pipelines.signal(open_[0].run_id, "go")
    labs.drain()
    assert [labs.state(run) for run in runs] == ["succeeded"] * 2
