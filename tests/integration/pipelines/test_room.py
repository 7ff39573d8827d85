"""How many runs, and how many steps, are under way; how long they may take."""

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.lab import Laboratory, laboratory

from datamcp.testing import FakeClock


@pytest.fixture(autouse=True)
def _hears_of_runs(caplog: pytest.LogCaptureFixture) -> None:
    """Notices are lines of the log that nobody has to worry about."""
    caplog.set_level(logging.INFO, logger="datamcp")


ONE = """
pipeline_id: NAME
tasks:
  - {task_id: a, processor: lab.work}
  - {task_id: b, processor: lab.work}
dependencies: {b: [a]}
"""
WAITING = """
pipeline_id: NAME
tasks:
  - {task_id: w, processor: wait.signal, configuration: {name: go}}
  - {task_id: z, processor: lab.work}
dependencies: {z: [w]}
"""


def admitted(lab: Laboratory, runs: list[str]) -> list[bool]:
    """Tell which runs there was room for."""
    return [lab.status(run).admitted_at is not None for run in runs]


@pytest.fixture
def narrow(tmp_path: Path, sqlite_url: str) -> Iterator[Laboratory]:
    """Have a laboratory in which three runs may be under way."""
    more = {"pipelines.max_concurrent_pipelines": "3"}
    with laboratory(tmp_path, sqlite_url, FakeClock(), more) as lab:
        yield lab


class TestRuns:
    def test_of_a_pipeline_begin_one_after_the_other(self, labs: Laboratory) -> None:
        """In the order in which they were triggered."""
        text = "limits: {runs: 2}\n" + WAITING
        runs = []
        for _ in range(4):
            runs.append(labs.trigger(text))
            labs.runtime.clock.advance(seconds=1)
        assert admitted(labs, runs) == [True, True, False, False]
        labs.drain()
        labs.pipelines.signal(runs[1], "go")
        labs.drain()
        assert admitted(labs, runs) == [True, True, True, False]
        for run in (runs[0], runs[2], runs[3]):
            labs.pipelines.signal(run, "go")
            labs.drain()
        assert [labs.state(run) for run in runs] == ["succeeded"] * 4

    def test_of_all_pipelines_take_turns(self, narrow: Laboratory) -> None:
        """Many runs of one pipeline do not keep the others out."""
        many = [narrow.trigger(WAITING.replace("NAME", "many")) for _ in range(6)]
        narrow.runtime.clock.advance(seconds=1)
        few = [narrow.trigger(WAITING.replace("NAME", "few"))]
        assert admitted(narrow, [*many, *few]) == [True] * 3 + [False] * 4
        narrow.drain()
        narrow.pipelines.signal(many[0], "go")
        narrow.drain()
        assert admitted(narrow, few) == [True]
        assert admitted(narrow, many) == [True] * 3 + [False] * 3

    def test_that_may_not_begin_can_be_cancelled(self, narrow: Laboratory) -> None:
        """And never do."""
        runs = [narrow.trigger(ONE) for _ in range(5)]
        assert narrow.pipelines.cancel_pipeline(runs[4])
        assert narrow.state(runs[4]) == "cancelled"
        narrow.drain()
        assert [narrow.state(run) for run in runs[:4]] == ["succeeded"] * 4
        assert narrow.executions(runs[4]) == {}

    def test_that_may_not_begin_can_be_paused(self, narrow: Laboratory) -> None:
        """They are passed over until they may go on."""
        runs = [narrow.trigger(ONE) for _ in range(5)]
        narrow.pipelines.pause_pipeline(runs[3])
        narrow.drain()
        assert [narrow.state(run) for run in runs] == [
            "succeeded",
            "succeeded",
            "succeeded",
            "paused",
            "succeeded",
        ]
        assert narrow.pipelines.resume_pipeline(runs[3]) == runs[3]
        narrow.drain()
        assert narrow.state(runs[3]) == "succeeded"

    def test_that_end_at_once_let_the_next_begin(self, narrow: Laboratory) -> None:
        """Also where nothing of them is run."""
        text = ONE.replace("lab.work}\n  - ", 'lab.work, when: "1 == 2"}\n  - ')
        runs = [narrow.trigger(text) for _ in range(7)]
        assert [narrow.state(run) for run in runs] == ["succeeded"] * 7

    def test_s_time_begins_with_them(self, narrow: Laboratory) -> None:
        """Not while they wait for room."""
        runs = [narrow.trigger("timeout: 60\n" + WAITING) for _ in range(4)]
        assert narrow.status(runs[3]).timeout_at is None
        narrow.drain(60)
        narrow.drain()
        assert [narrow.state(run) for run in runs[:3]] == ["failed"] * 3
        assert narrow.state(runs[3]) == "running"
        narrow.drain(60)
        narrow.drain()
        assert narrow.state(runs[3]) == "failed"


class TestSteps:
    @pytest.mark.parametrize("most", [1, 3])
    def test_of_a_run_are_limited(self, lab: Laboratory, most: int) -> None:
        """At no time more are under way, and as many as that as long as there are."""
        steps = "\n".join(f"  - {{task_id: s{n}, processor: lab.work}}" for n in range(8))
        run = lab.trigger(f"pipeline_id: wide\nlimits: {{steps: {most}}}\ntasks:\n{steps}\n")
        seen: list[int] = []
        lab.drain_watched(lambda: seen.append(lab.under_way()))
        assert lab.state(run) == "succeeded"
        assert seen == [*[most] * (8 - most + 1), *range(most - 1, -1, -1)]

    def test_that_are_put_off_are_under_way(self, lab: Laboratory) -> None:
        """They have begun."""
        run = lab.run(
            """
pipeline_id: put_off
limits: {steps: 1}
tasks:
  - {task_id: a, processor: lab.put_off, configuration: {seconds: 60}}
  - {task_id: b, processor: lab.work}
"""
        )
        assert lab.states(run) == {"a": "scheduled", "b": "scheduled"}
        lab.drain(60)
        assert lab.states(run) == {"a": "succeeded", "b": "succeeded"}

    def test_with_one_key_are_under_way_one_by_one(self, labs: Laboratory) -> None:
        """In one run, and in all of its pipeline."""
        text = """
pipeline_id: keyed
parameters: {k: {type: string, default: x}}
tasks:
  - {task_id: a, processor: lab.work, concurrency_key: "${parameters.k}"}
  - {task_id: b, processor: lab.work, concurrency_key: "${parameters.k}"}
"""
        runs = [labs.trigger(text) for _ in range(3)]
        seen: list[int] = []
        labs.drain_watched(lambda: seen.append(labs.under_way()))
        assert [labs.state(run) for run in runs] == ["succeeded"] * 3
        assert seen == [1] * 6 + [0]

    @pytest.mark.parametrize(
        "keys", [("x", "y"), ("k" * 400 + "1", "k" * 400 + "2"), ("a\0b", "a\0c")]
    )
    def test_with_other_keys_keep_nobody_out(self, labs: Laboratory, keys: tuple[str, str]) -> None:
        """Whatever the keys look like."""
        text = """
pipeline_id: keyed
parameters: {one: {type: string}, other: {type: string}}
tasks:
  - {task_id: a, processor: lab.work, concurrency_key: "${parameters.one}"}
  - {task_id: b, processor: lab.work, concurrency_key: "${parameters.other}"}
"""
        run = labs.trigger(text, one=keys[0], other=keys[1])
        assert labs.states(run) == {"a": "queued", "b": "queued"}

    def test_that_are_cancelled_leave_their_key(self, lab: Laboratory) -> None:
        """Whoever waits for it comes in at once."""
        text = """
pipeline_id: keyed
tasks:
  - {task_id: a, processor: lab.work, concurrency_key: k}
"""
        one, other = lab.trigger(text), lab.trigger(text)
        assert lab.states(other) == {"a": "scheduled"}
        lab.pipelines.cancel_pipeline(one)
        assert lab.states(other) == {"a": "queued"}


class TestTime:
    def test_of_a_run_is_over(self, labs: Laboratory) -> None:
        """It has failed; what waited was cancelled, and what runs is told."""
        run = labs.run("timeout: 50\n" + WAITING)
        labs.drain(49)
        assert labs.state(run) == "running"
        labs.drain(1)
        status = labs.status(run)
        assert (status.state, status.error_code) == ("failed", "run_timeout")
        assert status.error_message == "the run took longer than 50 s"
        assert labs.states(run) == {"w": "cancelled", "z": "cancelled"}

    def test_of_a_paused_run_is_over_too(self, lab: Laboratory) -> None:
        """Paused or not, somebody wanted it done by then."""
        run = lab.run("timeout: 50\n" + WAITING)
        lab.pipelines.pause_pipeline(run)
        lab.drain(50)
        assert lab.state(run) == "failed"

    def test_that_was_wanted_has_passed(
        self, labs: Laboratory, caplog: pytest.LogCaptureFixture
    ) -> None:
        """One notice is sent, and the run goes on."""
        run = labs.run("deadline: 20\non_failure: [ops]\n" + WAITING)
        labs.drain(19)
        assert not notices(caplog)
        labs.drain(1)
        labs.drain(100)
        (notice,) = notices(caplog)
        assert f"kind=deadline_missed run_id={run} " in notice
        assert "channels=['ops'] error=it still goes on after 20 s" in notice
        assert labs.status(run).late_at is not None
        labs.pipelines.signal(run, "go")
        labs.drain()
        assert labs.state(run) == "succeeded"
        assert len(notices(caplog)) == 1

    def test_that_was_wanted_was_kept(
        self, lab: Laboratory, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Nobody is told of what went well, unless they asked."""
        lab.run("deadline: 20\non_failure: [ops]\n" + ONE.replace("NAME", "one"))
        run = lab.run("deadline: 20\non_success: [us]\n" + ONE.replace("NAME", "two"))
        lab.drain(100)
        (notice,) = notices(caplog)
        assert f"kind=run_succeeded run_id={run} " in notice


def notices(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return the notices that were sent."""
    return [text for text in caplog.messages if text.startswith("run.notice ")]
