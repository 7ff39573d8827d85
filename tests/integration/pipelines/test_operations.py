"""What people do to runs: pause, resume, run steps again, mark, cancel; versions and backfills."""

import logging
from datetime import UTC, datetime
from pathlib import Path

import pytest
from support.lab import Laboratory

from datamcp.errors import PipelineError
from datamcp.pipelines.intervals import between
from datamcp.pipelines.ledger import PipelineLedger
from datamcp.scheduling.schedule import Spec
from datamcp.tasks.outcome import Done, settle


@pytest.fixture(autouse=True)
def _hears_of_runs(caplog: pytest.LogCaptureFixture) -> None:
    """Notices are lines of the log that nobody has to worry about."""
    caplog.set_level(logging.INFO, logger="datamcp")


CHAIN = """
pipeline_id: chain
tasks:
  - {task_id: a, processor: lab.work, configuration: {value: 1}}
  - {task_id: b, processor: lab.fail_once, configuration: {value: "${outputs.a.value}"}}
  - {task_id: c, processor: lab.work, configuration: {value: "${outputs.b.value}"}}
  - {task_id: side, processor: lab.work}
finally:
  - {task_id: last, processor: lab.work}
"""
PLAIN = CHAIN.replace("fail_once", "work")
ALL = ["a", "b", "c", "side", "last"]


class TestPause:
    @pytest.mark.parametrize("after", range(5))
    def test_at_any_time_lets_nothing_start(self, lab: Laboratory, after: int) -> None:
        """And nothing is lost, or done twice, once the run goes on."""
        run = lab.trigger(PLAIN)
        attempts = lab.runtime.worker.attempts()
        for _ in range(after):
            next(attempts)
        attempts.close()
        ended = lab.executions()
        assert lab.pipelines.pause_pipeline(run, "lunch")
        assert not lab.pipelines.pause_pipeline(run)
        lab.drain(10)
        assert lab.executions() == ended
        status = lab.status(run)
        assert (status.state, status.note) == ("paused", "lunch")
        assert lab.pipelines.resume_pipeline(run) == run
        lab.drain()
        assert lab.state(run) == "succeeded"
        assert lab.executions() == dict.fromkeys(ALL, 1)

    def test_on_postgresql(self, labs: Laboratory) -> None:
        """In the middle, likewise."""
        run = labs.trigger(PLAIN)
        attempts = labs.runtime.worker.attempts()
        next(attempts)
        attempts.close()
        labs.pipelines.pause_pipeline(run)
        labs.drain(10)
        assert labs.executions().total() == 1
        labs.pipelines.resume_pipeline(run)
        labs.drain()
        assert labs.executions() == dict.fromkeys(ALL, 1)

    def test_of_a_run_that_has_ended_is_none(self, lab: Laboratory) -> None:
        """It is over."""
        run = lab.run(PLAIN)
        assert not lab.pipelines.pause_pipeline(run)

    def test_lets_what_has_begun_go_on(self, lab: Laboratory) -> None:
        """What is put off, or tried again, is."""
        text = """
pipeline_id: begun
tasks:
  - {task_id: a, processor: lab.put_off, configuration: {seconds: 60}}
  - task_id: b
    processor: lab.fail_once
    retry_policy: {max_attempts: 2, delay: 60}
  - {task_id: z, processor: lab.work}
dependencies: {z: [a, b]}
"""
        run = lab.run(text)
        lab.pipelines.pause_pipeline(run)
        lab.drain(120)
        assert lab.states(run) == {"a": "succeeded", "b": "succeeded", "z": "scheduled"}
        lab.pipelines.resume_pipeline(run)
        lab.drain()
        assert lab.state(run) == "succeeded"

    def test_of_a_run_that_just_begins(self, lab: Laboratory) -> None:
        """Its first step has been claimed, and notes so once the run is paused."""
        run = lab.trigger(PLAIN)
        lab.pipelines.pause_pipeline(run)
        PipelineLedger(lab.runtime.database, now=lab.runtime.clock.sql).begin(run)
        assert lab.state(run) == "paused"
        lab.pipelines.resume_pipeline(run)
        assert lab.state(run) == "running"

    def test_and_cancel(self, lab: Laboratory) -> None:
        """A paused run can be cancelled."""
        run = lab.trigger(PLAIN)
        lab.pipelines.pause_pipeline(run)
        assert lab.pipelines.cancel_pipeline(run)
        assert lab.state(run) == "cancelled"

    def test_forgets_nothing_of_a_wait(self, lab: Laboratory) -> None:
        """Its time goes on; it is looked at when the run does."""
        run = lab.run(
            """
pipeline_id: waits
tasks:
  - {task_id: w, processor: wait.until, configuration: {seconds: 60}}
"""
        )
        lab.pipelines.pause_pipeline(run)
        lab.drain(61)
        assert lab.states(run) == {"w": "scheduled"}
        lab.pipelines.resume_pipeline(run)
        assert lab.state(run) == "succeeded"


class TestResume:
    def test_runs_what_failed_and_what_never_ran(self, labs: Laboratory) -> None:
        """In a new run, which takes over what succeeded."""
        run = labs.run(CHAIN)
        assert labs.states(run)["c"] == "upstream_failed"
        again = labs.pipelines.resume_pipeline(run, "fixed it")
        labs.drain()
        assert labs.executions(again) == {"b": 1, "c": 1, "last": 1}
        status = labs.status(again)
        assert (status.state, status.resumed_from, status.note) == ("succeeded", run, "fixed it")
        assert labs.outputs(again)["c"] == 1
        assert status.tasks["a"].adopted_from == labs.step(run, "a").task_id
        assert labs.state(run) == "failed"

    def test_of_what_succeeded_is_refused(self, lab: Laboratory) -> None:
        """There is nothing to do."""
        run = lab.run(PLAIN)
        with pytest.raises(PipelineError, match="nothing to resume"):
            lab.pipelines.resume_pipeline(run)

    def test_of_what_goes_on_is_refused(self, lab: Laboratory) -> None:
        """It has not ended."""
        run = lab.trigger(PLAIN)
        with pytest.raises(PipelineError, match="once it has ended"):
            lab.pipelines.resume_pipeline(run)

    def test_of_a_cancelled_run_goes_on_where_it_was(self, lab: Laboratory) -> None:
        """What had succeeded is not run again."""
        run = lab.trigger(PLAIN)
        attempts = lab.runtime.worker.attempts()
        next(attempts)
        attempts.close()
        (done,) = lab.executions()
        lab.pipelines.cancel_pipeline(run)
        again = lab.pipelines.resume_pipeline(run)
        lab.drain()
        assert lab.state(again) == "succeeded"
        assert lab.executions(again) == dict.fromkeys([one for one in ALL if one != done], 1)

    @pytest.mark.parametrize("forgive", ["true", "false"])
    def test_of_a_run_with_a_map_that_failed_in_part(self, lab: Laboratory, forgive: str) -> None:
        """The step is made to its elements anew; what was forgiven is as good as done."""
        text = f"""
pipeline_id: partly
tasks:
  - task_id: m
    processor: lab.fail_on
    map: {{over: "${{parameters.xs}}"}}
    retry_policy: {{max_attempts: 1, continue_on_error: {forgive}}}
    configuration: {{value: "${{item}}", bad: 2, until: fixed}}
  - {{task_id: b, processor: lab.fail_once, configuration: {{value: "${{outputs.m.value}}"}}}}
parameters: {{xs: {{type: array, default: [1, 2, 3]}}}}
"""
        run = lab.run(text)
        assert lab.state(run) == "failed"
        Path("fixed").touch()
        again = lab.pipelines.resume_pipeline(run)
        lab.drain()
        if forgive == "true":
            assert lab.outputs(again)["b"] == [1, None, 3]
            assert lab.executions(again) == {"b": 1}
        else:
            last = lab.pipelines.resume_pipeline(again)
            lab.drain()
            assert lab.outputs(last)["b"] == [1, 2, 3]
            assert lab.executions(last) == {"b": 1}

    def test_looks_at_early_rules_at_once(self, lab: Laboratory) -> None:
        """What was taken over may be all that they need."""
        text = """
pipeline_id: early
tasks:
  - {task_id: a, processor: lab.work}
  - {task_id: w, processor: wait.signal, configuration: {name: go}}
  - {task_id: z, processor: lab.work, trigger_rule: one_success}
dependencies: {z: [a, w]}
"""
        run = lab.run(text)
        lab.pipelines.cancel_pipeline(run)
        again = lab.pipelines.clear_step(run, "w")
        lab.drain()
        again = lab.pipelines.mark_step(again, "w", "failed")
        run = again
        lab.drain()
        again = lab.pipelines.clear_step(run, "z")
        lab.drain()
        assert lab.states(again) == {"a": "succeeded", "w": "failed", "z": "succeeded"}

    def test_one_of_two_upstreams_taken_over_starts_an_early_step(self, lab: Laboratory) -> None:
        """It does not wait for the other."""
        text = """
pipeline_id: early
tasks:
  - {task_id: a, processor: lab.work}
  - {task_id: w, processor: wait.signal, configuration: {name: go}, timeout: 10}
  - {task_id: z, processor: lab.work, trigger_rule: one_success}
dependencies: {z: [a, w]}
"""
        run = lab.run(text)
        lab.drain(10)
        assert lab.states(run) == {"a": "succeeded", "w": "timed_out", "z": "succeeded"}
        again = lab.pipelines.resume_pipeline(run)
        lab.drain()
        assert lab.states(again) == {"a": "succeeded", "w": "scheduled", "z": "succeeded"}


class TestAgain:
    def test_retry_runs_a_step_that_failed(self, lab: Laboratory) -> None:
        """With what depends on it."""
        run = lab.run(CHAIN)
        again = lab.pipelines.retry_step(run, "b")
        lab.drain()
        assert lab.executions(again) == {"b": 1, "c": 1, "last": 1}
        with pytest.raises(PipelineError, match="use `clear`"):
            lab.pipelines.retry_step(again, "b")

    def test_clear_runs_any_step(self, lab: Laboratory) -> None:
        """Whatever came of it."""
        run = lab.run(PLAIN)
        again = lab.pipelines.clear_step(run, "c")
        lab.drain()
        assert lab.state(again) == "succeeded"
        assert lab.executions(again) == {"c": 1, "last": 1}

    @pytest.mark.parametrize("step", ["x", "m[0]", ""])
    def test_of_a_step_that_there_is_not_is_refused(self, lab: Laboratory, step: str) -> None:
        """One of many is run again with all of them."""
        run = lab.run(PLAIN)
        for act in (lab.pipelines.clear_step, lab.pipelines.retry_step):
            with pytest.raises(PipelineError, match="has no step"):
                act(run, step)


class TestMark:
    def test_of_a_step_that_has_not_begun(self, lab: Laboratory) -> None:
        """The run goes on as if it had ended so."""
        run = lab.trigger(PLAIN)
        assert lab.pipelines.mark_step(run, "b", "skipped", "not today") == run
        lab.drain()
        assert lab.states(run) == {
            "a": "succeeded",
            "b": "skipped",
            "c": "skipped",
            "side": "succeeded",
            "last": "succeeded",
        }
        assert lab.step(run, "b").note == "not today"

    def test_of_one_that_is_queued(self, lab: Laboratory) -> None:
        """Nobody has taken it yet."""
        run = lab.trigger(PLAIN)
        lab.pipelines.mark_step(run, "a", "succeeded")
        lab.drain()
        assert lab.executions(run) == {"b": 1, "c": 1, "side": 1, "last": 1}
        assert lab.state(run) == "succeeded"

    def test_in_a_paused_run(self, lab: Laboratory) -> None:
        """It shows when the run goes on."""
        run = lab.trigger(PLAIN)
        lab.pipelines.pause_pipeline(run)
        lab.pipelines.mark_step(run, "a", "failed", "broken")
        assert lab.state(run) == "paused"
        lab.pipelines.resume_pipeline(run)
        lab.drain()
        assert lab.executions(run) == {"side": 1, "last": 1}
        assert lab.status(run).error_message == "step a: broken"

    def test_of_the_last_step_that_is_open_ends_the_run(self, lab: Laboratory) -> None:
        """At once."""
        run = lab.run(
            """
pipeline_id: last
tasks:
  - {task_id: a, processor: lab.work}
  - {task_id: w, processor: wait.signal, configuration: {name: go}}
"""
        )
        lab.pipelines.mark_step(run, "w", "succeeded")
        assert lab.state(run) == "succeeded"

    def test_of_one_that_has_begun_is_refused(self, lab: Laboratory) -> None:
        """Put off or not."""
        run = lab.run(
            """
pipeline_id: begun
tasks:
  - {task_id: a, processor: lab.put_off, configuration: {seconds: 60}}
  - {task_id: b, processor: lab.fail_once, retry_policy: {max_attempts: 2, delay: 60}}
"""
        )
        for step in ("a", "b"):
            with pytest.raises(PipelineError, match="has begun or ended already"):
                lab.pipelines.mark_step(run, step, "skipped")
        lab.drain(60)
        assert lab.state(run) == "succeeded"

    @pytest.mark.parametrize("state", ["succeeded", "failed", "skipped"])
    def test_in_a_run_that_has_ended_makes_a_new_one(self, lab: Laboratory, state: str) -> None:
        """In which what depends on the step runs again."""
        run = lab.run(CHAIN)
        again = lab.pipelines.mark_step(run, "b", state, "by hand")  # type: ignore[arg-type]
        assert again != run
        lab.drain()
        expected = {"succeeded": "succeeded", "failed": "upstream_failed", "skipped": "skipped"}
        assert lab.states(again)["c"] == expected[state]
        assert lab.state(again) == ("failed" if state == "failed" else "succeeded")
        assert lab.step(again, "b").note == "by hand"

    @pytest.mark.parametrize("state", ["succeeded", "failed", "skipped"])
    def test_of_the_very_last_step_makes_a_run_that_has_ended(
        self, lab: Laboratory, state: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        """There is nothing to run in it."""
        run = lab.run("on_failure: [ops]\non_success: [ops]\n" + PLAIN)
        again = lab.pipelines.mark_step(run, "last", state)  # type: ignore[arg-type]
        assert lab.state(again) == ("failed" if state == "failed" else "succeeded")
        told = [text for text in caplog.messages if text.startswith("run.notice") and again in text]
        assert len(told) == 1

    def test_of_one_of_many(self, lab: Laboratory) -> None:
        """As long as the run goes on; later it is for all of them."""
        run = lab.run(
            """
pipeline_id: many
tasks:
  - {task_id: m, processor: wait.signal, map: {over: "${parameters.xs}"}, configuration: {name: "s${item}"}}
parameters: {xs: {type: array, default: [1, 2]}}
"""
        )
        lab.pipelines.mark_step(run, "m[0]", "succeeded")
        with pytest.raises(PipelineError, match="has begun or ended already"):
            lab.pipelines.mark_step(run, "m[0]", "failed")
        with pytest.raises(PipelineError, match="has begun or ended already"):
            lab.pipelines.mark_step(run, "m", "failed")
        lab.pipelines.signal(run, "s2", "b")
        assert lab.outputs(run)["m"] == [None, "b"]
        with pytest.raises(PipelineError, match="has no step"):
            lab.pipelines.mark_step(run, "m[0]", "failed")


class TestPutOff:
    def test_is_put_off_whatever_else_ends(self, labs: Laboratory) -> None:
        """An early step that has begun is not started again by another upstream's end."""
        run = labs.run(
            """
pipeline_id: early
tasks:
  - {task_id: a, processor: lab.work}
  - {task_id: w, processor: wait.signal, configuration: {name: go}}
  - {task_id: z, processor: lab.put_off, trigger_rule: one_success, configuration: {seconds: 60}}
dependencies: {z: [a, w]}
"""
        )
        assert labs.executions(run)["z"] == 1
        labs.pipelines.signal(run, "go")
        labs.drain(30)
        assert labs.executions(run)["z"] == 1
        labs.drain(30)
        assert labs.executions(run)["z"] == 2
        assert labs.state(run) == "succeeded"


class TestCancel:
    def test_is_for_good(self, labs: Laboratory) -> None:
        """What ends later ends cancelled, and nothing starts."""
        run = labs.trigger(PLAIN)
        assert labs.pipelines.cancel_pipeline(run)
        assert not labs.pipelines.cancel_pipeline(run)
        labs.drain(100)
        assert labs.state(run) == "cancelled"
        assert set(labs.states(run).values()) == {"cancelled"}
        assert not labs.executions()

    def test_wins_over_the_end_of_what_runs(self, lab: Laboratory) -> None:
        """It ends cancelled, and nothing follows from it."""
        run = lab.trigger(PLAIN)
        task_id = lab.step(run, "a").task_id
        assert lab.runtime.ledger.claim(task_id, "mine", "somebody") is not None
        assert lab.pipelines.cancel_pipeline(run)
        assert lab.step(run, "a").state == "running"
        lab.drain()
        assert lab.state(run) == "queued"
        lab.runtime.settler.finish(task_id, "mine", settle(Done("1", '{"value": 1}')))
        assert lab.state(run) == "cancelled"
        assert set(lab.states(run).values()) == {"cancelled"}


def test_a_run_keeps_the_revision_that_it_began_with(lab: Laboratory) -> None:
    """Whatever is registered meanwhile; so do the runs that go on from it."""
    run = lab.trigger(CHAIN)
    lab.register("pipeline_id: chain\ntasks:\n  - {task_id: other, processor: lab.work}\n")
    lab.drain()
    assert list(lab.states(run)) == ALL
    again = lab.pipelines.resume_pipeline(run)
    lab.drain()
    assert list(lab.states(again)) == ALL
    assert lab.state(again) == "succeeded"
    assert list(lab.states(lab.pipelines.trigger_pipeline("chain"))) == ["other"]


def test_a_backfill_makes_one_run_for_each_interval(labs: Laboratory) -> None:
    """However often it is asked for, and each run knows its own."""
    pipeline = labs.register(
        """
pipeline_id: daily
limits: {runs: 2}
parameters: {x: {type: integer, default: 1}}
tasks:
  - {task_id: a, processor: lab.work, configuration: {value: "${run.interval_start} ${run.interval_end} ${run.fire_at}"}}
"""
    )
    since, until = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 4, tzinfo=UTC)
    intervals = between(since, until, Spec(schedule="@daily"))
    runs = labs.pipelines.backfill(pipeline, intervals)
    assert labs.pipelines.backfill(pipeline, intervals) == runs
    labs.drain()
    assert labs.pipelines.backfill(pipeline, intervals[1:]) == runs[1:]
    assert labs.pipelines.backfill(pipeline, intervals[:1], {"x": 2}) != runs[:1]
    labs.drain()
    days = [f"2026-01-0{day}T00:00:00+00:00" for day in range(1, 5)]
    assert [labs.outputs(run)["a"] for run in runs] == [
        f"{days[n]} {days[n + 1]} {days[n]}" for n in range(3)
    ]
    assert len(labs.pipelines.list_runs(pipeline_id=pipeline)) == 4
