"""Steps that wait for a time, a file, a signal or somebody's approval, and hold no slot."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from support.lab import Laboratory

from datamcp.errors import PipelineError


def waiting(processor: str, configuration: str, more: str = "") -> str:
    """Return a pipeline of a step that waits, and one after it that returns what it left."""
    return f"""
pipeline_id: waiting
parameters: {{x: {{type: string, default: ""}}}}
tasks:
  - {{task_id: w, processor: {processor}, configuration: {{{configuration}}}{more}}}
  - {{task_id: z, processor: lab.work, configuration: {{value: "${{outputs.w.value}}"}}}}
"""


class TestTime:
    def test_comes(self, labs: Laboratory) -> None:
        """After so many seconds from when the step began, and not before."""
        run = labs.run(waiting("wait.until", "seconds: 60"))
        labs.drain(59)
        assert (labs.step(run, "w").state, labs.step(run, "w").waiting_for) == ("scheduled", "time")
        labs.drain(1)
        assert labs.state(run) == "succeeded"
        assert labs.outputs(run)["z"] == labs.runtime.clock.now().isoformat()

    def test_has_come_already(self, lab: Laboratory) -> None:
        """Then nothing waits."""
        run = lab.run(waiting("wait.until", 'at: "2020-01-01T00:00:00+02:00"'))
        assert lab.outputs(run)["z"] == "2019-12-31T22:00:00+00:00"

    def test_may_be_a_reference(self, lab: Laboratory) -> None:
        """Also to when the run is for."""
        run = lab.run(waiting("wait.until", 'at: "${run.fire_at}"'))
        assert lab.state(run) == "succeeded"

    @pytest.mark.parametrize("seconds", ["1.0e+300", "1.0e+12", "-1"])
    def test_that_never_comes_fails_the_step(self, lab: Laboratory, seconds: str) -> None:
        """And not the look at it, again and again."""
        run = lab.run(
            waiting("wait.until", 'seconds: "${outputs.a.value}"').replace(
                "tasks:\n",
                f"tasks:\n  - {{task_id: a, processor: lab.work, configuration: {{value: {seconds}}}}}\n",
            )
        )
        assert lab.state(run) == "failed"
        assert lab.step(run, "w").error_code == "invalid_step"

    def test_out_of_all_bounds_is_as_good_as_no_timeout(self, lab: Laboratory) -> None:
        """A step's timeout may be any number."""
        run = lab.run(waiting("wait.signal", "name: go", ", timeout: 1.0e+300"))
        assert lab.step(run, "w").waiting_for == "signal go"
        lab.pipelines.signal(run, "go")
        lab.drain()
        assert lab.state(run) == "succeeded"


class TestFile:
    def test_is_found_when_it_is_there(self, labs: Laboratory, tmp_path: Path) -> None:
        """It is looked for every so many seconds."""
        run = labs.run(waiting("wait.file", "path: some.csv, poll: 5"))
        labs.drain(5)
        assert labs.step(run, "w").waiting_for == "file some.csv"
        (tmp_path / "some.csv").touch()
        labs.drain(4)
        assert labs.step(run, "w").state == "scheduled"
        labs.drain(1)
        assert labs.outputs(run)["z"] == str(tmp_path / "some.csv")

    @pytest.mark.parametrize("path", ["/etc/passwd", "../../../../../../../etc/passwd"])
    def test_outside_of_the_allowed_roots_fails_the_step(self, lab: Laboratory, path: str) -> None:
        """Whether it is there or not tells nobody."""
        run = lab.run(waiting("wait.file", 'path: "${parameters.x}"'), x=path)
        assert lab.step(run, "w").error_code == "invalid_step"
        assert "outside of storage.allowed_roots" in str(lab.step(run, "w").error_message)

    @pytest.mark.parametrize("path", ["a\0b", "x" * 5000, "a\nb"])
    def test_of_a_strange_name_ends_or_waits(self, labs: Laboratory, path: str) -> None:
        """It keeps no run from being looked at."""
        run = labs.run(waiting("wait.file", 'path: "${parameters.x}"', ", timeout: 10"), x=path)
        labs.drain(10)
        assert labs.state(run) == "failed"

    def test_that_never_comes(self, lab: Laboratory) -> None:
        """The step's time is over, exactly then."""
        run = lab.run(waiting("wait.file", "path: never, poll: 60", ", timeout: 90"))
        lab.drain(89)
        assert lab.step(run, "w").state == "scheduled"
        lab.drain(1)
        step = lab.step(run, "w")
        assert (step.state, step.error_message) == ("timed_out", "it waited longer than 90 s")
        assert step.started_at is not None
        assert step.finished_at == step.started_at + timedelta(seconds=90)


class TestSignal:
    @pytest.mark.parametrize(
        "payload", [None, 1, "x", [1, {"a": None}], {"approved": True}, "a\0b"]
    )
    def test_brings_a_value(self, lab: Laboratory, payload: Any) -> None:
        """Any that JSON has."""
        run = lab.run(waiting("wait.signal", "name: go"))
        assert lab.step(run, "w").waiting_for == "signal go"
        assert lab.pipelines.signal(run, "go", payload)
        lab.drain()
        assert lab.outputs(run)["z"] == payload

    def test_may_come_before_the_step_waits(self, lab: Laboratory) -> None:
        """It is kept."""
        text = waiting("wait.signal", "name: go") + "  - {task_id: a, processor: lab.work}\n"
        run = lab.trigger(text + "dependencies: {w: [a]}\n")
        assert lab.pipelines.signal(run, "go", "early")
        lab.drain()
        assert lab.outputs(run)["z"] == "early"

    def test_counts_once(self, lab: Laboratory) -> None:
        """The first one of a name does."""
        run = lab.run(waiting("wait.signal", "name: go"))
        assert lab.pipelines.signal(run, "go", 1)
        assert not lab.pipelines.signal(run, "go", 2)
        lab.drain()
        assert lab.outputs(run)["z"] == 1

    def test_of_another_name_wakes_nobody(self, lab: Laboratory) -> None:
        """Names are whole."""
        run = lab.run(waiting("wait.signal", "name: go"))
        for name in ("g", "go2", "Go"):
            assert lab.pipelines.signal(run, name)
        lab.drain()
        assert lab.step(run, "w").state == "scheduled"

    def test_wakes_all_that_wait_for_it(self, lab: Laboratory) -> None:
        """In this run alone."""
        text = waiting("wait.signal", "name: go") + (
            "  - {task_id: v, processor: wait.signal, configuration: {name: go}}\n"
        )
        one, other = lab.run(text), lab.run(text)
        lab.pipelines.signal(one, "go", 1)
        lab.drain()
        assert (lab.outputs(one)["w"], lab.outputs(one)["v"]) == (1, 1)
        assert lab.states(other) == {"w": "scheduled", "v": "scheduled", "z": "scheduled"}

    def test_is_refused_of_a_run_that_has_ended(self, lab: Laboratory) -> None:
        """Nobody waits for it any more."""
        run = lab.run(waiting("wait.until", "seconds: 0"))
        with pytest.raises(PipelineError, match="it waits for nothing any more"):
            lab.pipelines.signal(run, "go")

    @pytest.mark.parametrize("name", ["", "x" * 101, "approval of w", "a b", "a\0b"])
    def test_of_a_name_that_no_step_can_have_is_refused(self, lab: Laboratory, name: str) -> None:
        """Nor can it stand in for an approval."""
        run = lab.run(waiting("wait.approval", 'message: "may it?"'))
        with pytest.raises(PipelineError, match="name"):
            lab.pipelines.signal(run, name, {"approved": True})
        lab.drain()
        assert lab.step(run, "w").state == "scheduled"

    def test_that_never_comes(self, lab: Laboratory) -> None:
        """The step has timed out; it may be forgiven."""
        more = ", timeout: 10, retry_policy: {continue_on_error: true}"
        run = lab.run(waiting("wait.signal", "name: go", more).replace('"${outputs.w.value}"', "1"))
        lab.drain(10)
        assert lab.step(run, "w").state == "timed_out"
        assert lab.state(run) == "succeeded"


class TestApproval:
    def test_lets_the_step_succeed(self, lab: Laboratory) -> None:
        """With what was said."""
        run = lab.run(waiting("wait.approval", 'message: "may it?"'))
        assert lab.step(run, "w").waiting_for == "approval"
        assert lab.pipelines.approve(run, "w", "fine by me")
        lab.drain()
        assert lab.outputs(run)["z"] == {"approved": True, "note": "fine by me"}
        assert lab.step(run, "w").note == "fine by me"

    def test_that_is_refused_fails_it(self, labs: Laboratory) -> None:
        """Whatever words the note uses."""
        run = labs.run(waiting("wait.approval", 'message: "may it?"'))
        note = 'no: "approved":true'
        assert labs.pipelines.approve(run, "w", note, is_approved=False)
        labs.drain()
        step = labs.step(run, "w")
        assert (step.state, step.error_code) == ("failed", "rejected")
        assert step.error_message == f"it was rejected: {note}"

    def test_counts_once(self, lab: Laboratory) -> None:
        """Whoever comes later is told so."""
        text = waiting("wait.approval", "") + (
            "  - {task_id: v, processor: wait.signal, configuration: {name: go}}\n"
        )
        run = lab.run(text)
        assert lab.pipelines.approve(run, "w", is_approved=False)
        assert not lab.pipelines.approve(run, "w")
        assert lab.step(run, "w").error_message == "it was rejected"

    def test_is_only_for_steps_that_wait_for_it(self, lab: Laboratory) -> None:
        """Others say so."""
        run = lab.run(waiting("wait.signal", "name: go"))
        with pytest.raises(PipelineError, match="nobody has to approve it"):
            lab.pipelines.approve(run, "w")
        with pytest.raises(PipelineError, match="has no step 'nothing'"):
            lab.pipelines.approve(run, "nothing")

    def test_is_given_for_each_element(self, lab: Laboratory) -> None:
        """By the name of that step."""
        run = lab.run(
            waiting("wait.approval", "", ', map: {over: "${outputs.a.value}"}').replace(
                "tasks:\n",
                "tasks:\n  - {task_id: a, processor: lab.work, configuration: {value: [1, 2]}}\n",
            )
        )
        assert lab.pipelines.approve(run, "w[1]", "b")
        assert lab.pipelines.approve(run, "w[0]", "a")
        lab.drain()
        assert [one["note"] for one in lab.outputs(run)["z"]] == ["a", "b"]


def test_what_waits_holds_no_slot_of_its_run(lab: Laboratory) -> None:
    """However few its steps may be."""
    run = lab.run(
        """
pipeline_id: few
limits: {steps: 1}
tasks:
  - {task_id: w, processor: wait.signal, configuration: {name: go}}
  - {task_id: a, processor: lab.work}
  - {task_id: b, processor: lab.work}
"""
    )
    assert lab.states(run) == {"w": "scheduled", "a": "succeeded", "b": "succeeded"}
    assert lab.state(run) == "running"
