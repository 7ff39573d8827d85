"""The commands of `datamcp pipeline` that change runs, on a runtime without workers."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from support.inline import calculating

from datamcp.bootstrap.runtime import Runtime
from datamcp.cli.session import Session
from datamcp.cli.tree import pipeline
from datamcp.pipelines.loader import parse
from datamcp.pipelines.orchestrator import SyncPipelineOrchestrator
from datamcp.testing import InlineRuntime, drain


@pytest.fixture(autouse=True)
def _wide(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tables are not folded, wherever the tests run."""
    monkeypatch.setenv("COLUMNS", "400")


SUMS = """
pipeline_id: sums
parameters: {day: {type: string, default: monday}}
tasks:
  - {task_id: one, processor: calc.add, configuration: {a: 1}}
  - {task_id: flaky, processor: calc.fail_first, input_sources: [one]}
  - task_id: twice
    processor: calc.add
    configuration: {a: "${outputs.flaky.value}", b: 2}
  - {task_id: apart, processor: calc.add, configuration: {a: 5}}
"""

WAITS = """
pipeline_id: waits
limits: {runs: 1}
timeout: 900
deadline: 60
tasks:
  - {task_id: go, processor: wait.signal, configuration: {name: go}}
  - {task_id: first, processor: wait.approval, configuration: {message: Sure}}
  - {task_id: second, processor: wait.approval, input_sources: [first]}
"""

DAILY = """
pipeline_id: daily
schedule: "@daily"
parameters: {a: {type: integer, default: 1}}
tasks:
  - {task_id: add, processor: calc.add, configuration: {a: "${parameters.a}"}}
"""

RANGE = ("--from", "2030-01-01T00:00Z", "--to", "2030-01-04T00:00Z")


class Here(Session):
    """A session in which every command has the test's own runtime."""

    def __init__(self, runtime: InlineRuntime) -> None:
        """Take the runtime, which stays open."""
        super().__init__()
        self._runtime = runtime

    @contextmanager
    def runtime(self) -> Iterator[Runtime]:
        """Give the runtime."""
        yield self._runtime


@pytest.fixture
def runtime(tmp_path: Path, sqlite_url: str) -> Iterator[InlineRuntime]:
    """Have the pipelines, and an agent that does their work."""
    with calculating(tmp_path, sqlite_url) as found:
        for text in (SUMS, WAITS, DAILY):
            found.pipelines.sync.register_pipeline(parse(text))
        yield found


@pytest.fixture
def pipelines(runtime: InlineRuntime) -> SyncPipelineOrchestrator:
    """Have what the commands stand on."""
    return runtime.pipelines.sync


def run(runtime: InlineRuntime, *words: str, code: int = 0, stdin: str | None = None) -> Result:
    """Run a command in this process."""
    result = CliRunner().invoke(
        pipeline, words, obj=Here(runtime), input=stdin, prog_name="datamcp pipeline"
    )
    assert result.exit_code == code, result.output
    return result


def refused(runtime: InlineRuntime, *words: str, code: int = 2) -> str:
    """Run a command that is refused, and return its one line."""
    result = run(runtime, *words, code=code)
    (line,) = result.stderr.splitlines()
    return line.removeprefix("Error: ")


def told(runtime: InlineRuntime, *words: str, stdin: str | None = None) -> str:
    """Run a command, and return the one line that it prints."""
    (line,) = run(runtime, *words, stdin=stdin).stdout.splitlines()
    return line


def printed(runtime: InlineRuntime, *words: str, code: int = 0) -> Any:
    """Run a command, and return the JSON that it prints."""
    return json.loads(run(runtime, *words, "--json", code=code).stdout)


def started(runtime: InlineRuntime, pipeline_id: str) -> str:
    """Start a run, and let it go as far as it can; return its id."""
    run_id = runtime.pipelines.sync.trigger_pipeline(pipeline_id)
    drain(runtime)
    return run_id


def states(runtime: InlineRuntime, run_id: str) -> dict[str, str]:
    """Return the state of each step of a run."""
    steps = runtime.pipelines.sync.monitor_execution(run_id).tasks
    return {step_id: str(step.state) for step_id, step in steps.items()}


def test_a_paused_run_goes_on(runtime: InlineRuntime, pipelines: SyncPipelineOrchestrator) -> None:
    """No step of it starts in between; a second pause is none."""
    run_id = pipelines.trigger_pipeline("daily")
    assert told(runtime, "pause", run_id, "--note", "moving").startswith(f"run {run_id} is paused")
    assert refused(runtime, "pause", run_id, code=1) == f"run {run_id} is paused already"
    drain(runtime)
    assert "paused at" in (shown := run(runtime, "status", run_id).stdout)
    assert "note: moving" in shown
    assert told(runtime, "resume", run_id) == f"run {run_id} goes on"
    drain(runtime)
    assert states(runtime, run_id) == {"add": "succeeded"}
    assert "had already ended" in refused(runtime, "pause", run_id, code=1)


def test_resume_makes_a_new_run_of_one_that_has_failed(runtime: InlineRuntime) -> None:
    """It takes over what succeeded; the line says which run goes on."""
    failed = started(runtime, "sums")
    assert states(runtime, failed)["flaky"] == "failed"
    found = printed(runtime, "resume", failed, "--note", "again", "--wait")
    assert (found["state"], found["resumed_from"], found["note"]) == ("succeeded", failed, "again")
    shown = run(runtime, "status", found["run_id"]).stdout
    assert f"goes on from run {failed}" in shown
    assert "taken over as they were: one, apart" in shown
    assert "nothing to resume" in refused(runtime, "resume", found["run_id"])


def test_what_is_waited_for_is_shown_and_the_new_run_told_beside_it(runtime: InlineRuntime) -> None:
    """With --wait stdout holds how the new run ended."""
    failed = started(runtime, "sums")
    result = run(runtime, "retry", failed, "flaky", "--wait")
    assert result.stdout.startswith("sums ")
    assert f"goes on from {failed}: 2 of 4 steps taken over" in result.stderr


def test_a_step_runs_again(runtime: InlineRuntime) -> None:
    """`retry` is for one that failed, `clear` for any; what depends on it runs again, too."""
    failed = started(runtime, "sums")
    again = printed(runtime, "retry", failed, "flaky")["run_id"]
    drain(runtime)
    assert set(states(runtime, again).values()) == {"succeeded"}
    assert refused(runtime, "retry", again, "one").startswith("step one is succeeded: use `clear`")
    line = told(runtime, "clear", again, "flaky", "--note", "corrected")
    assert line.endswith(f"goes on from {again}: 2 of 4 steps taken over")
    assert refused(runtime, "clear", again, "flak") == (
        "pipeline 'sums' has no step 'flak'; did you mean 'flaky'?"
    )


def test_a_step_is_marked(runtime: InlineRuntime) -> None:
    """In a run that goes on, and in one that has ended; somebody has to say why."""
    failed = started(runtime, "sums")
    found = printed(runtime, "mark", failed, "flaky", "skipped", "--note", "by hand", "--wait")
    assert {name: step["state"] for name, step in found["tasks"].items()} == {
        "one": "succeeded",
        "flaky": "skipped",
        "twice": "skipped",
        "apart": "succeeded",
    }
    open_run = started(runtime, "waits")
    line = told(runtime, "mark", open_run, "second", "succeeded", "--note", "not needed")
    assert line == f"step second of run {open_run} is marked succeeded"
    assert "missing option '--note'" in refused(runtime, "mark", failed, "flaky", "failed")
    assert "must say why" in refused(runtime, "mark", failed, "flaky", "failed", "--note", " ")


def test_a_signal_is_kept_for_a_step_that_waits(
    runtime: InlineRuntime, pipelines: SyncPipelineOrchestrator
) -> None:
    """Its payload becomes the step's value; the first one counts."""
    run_id = started(runtime, "waits")
    assert "go: waits for signal go" in run(runtime, "status", run_id).stdout
    line = told(runtime, "signal", run_id, "go", "--payload", "-", stdin='{"rows": 3}')
    assert line == f"run {run_id} was told go; step go waited for it"
    assert pipelines.monitor_execution(run_id).tasks["go"].output == {"rows": 3}
    assert "told that before" in refused(runtime, "signal", run_id, "go", code=1)
    assert told(runtime, "signal", run_id, "later").endswith("no step waits for it yet")
    assert refused(runtime, "signal", run_id, "a b").startswith("a signal's name may hold")
    assert refused(runtime, "signal", run_id, "x", "--payload", "{").startswith("--payload is not")


def test_a_step_is_approved_or_rejected(runtime: InlineRuntime) -> None:
    """Its name may be left out where one waits."""
    run_id = started(runtime, "waits")
    assert told(runtime, "approve", run_id, "--note", "fine") == (
        f"step first of run {run_id} is approved"
    )
    assert told(runtime, "reject", run_id, "--note", "too late") == (
        f"step second of run {run_id} is rejected"
    )
    shown = run(runtime, "status", run_id).stdout
    assert "first: note: fine" in shown
    assert shown.count("too late") == 1
    assert "told that before" in refused(runtime, "approve", run_id, "second", code=1)
    assert "no step of run" in refused(runtime, "approve", run_id)
    assert "is no `wait.approval`" in refused(runtime, "approve", run_id, "go")


def test_several_steps_that_wait_are_named(runtime: InlineRuntime) -> None:
    """Nothing is approved that was not meant."""
    text = WAITS.replace("input_sources: [first]", "timeout: 800").replace("waits", "both")
    runtime.pipelines.sync.register_pipeline(parse(text))
    line = refused(runtime, "approve", started(runtime, "both"))
    assert line.startswith("several steps wait for approval; name one: first, second")


def test_a_run_that_waits_for_room_says_so(runtime: InlineRuntime) -> None:
    """With how many runs there are, and may be; a deadline and a timeout are shown, too."""
    first, second = started(runtime, "waits"), started(runtime, "waits")
    assert run(runtime, "status", second).stdout.splitlines()[-1] == (
        "waits for room: 1 run of waits, of at most 1"
    )
    shown = run(runtime, "status", first).stdout
    assert "waits for room" not in shown
    assert "times out at" in shown
    assert "is to end by" in shown


def test_backfill_makes_a_run_for_each_interval_once(
    runtime: InlineRuntime, pipelines: SyncPipelineOrchestrator
) -> None:
    """By the pipeline's own schedule; the same again makes none, and says so."""
    planned = printed(runtime, "backfill", "daily", *RANGE, "--dry-run")
    assert [(one["interval_start"], one["is_new"], one["state"]) for one in planned] == [
        (f"2030-01-0{day}T00:00:00Z", True, None) for day in (1, 2, 3)
    ]
    assert pipelines.list_runs() == []
    made = printed(runtime, "backfill", "daily", *RANGE, "--wait")
    assert [one["run_id"] for one in made] == [one["run_id"] for one in planned]
    assert {one["state"] for one in made} == {"succeeded"}
    again = run(runtime, "backfill", "daily", *RANGE)
    assert again.stdout.count("there already") == 3
    assert again.stderr == "started 0 runs of daily; 3 there already\n"
    assert len(pipelines.list_runs()) == 3
    assert "for 2030-01-03 to 2030-01-04" in run(runtime, "history", "daily").stdout


def test_backfill_by_other_intervals_and_parameters(runtime: InlineRuntime) -> None:
    """A length, or cron on the clocks of a zone; other parameters are other runs."""
    first = printed(runtime, "backfill", "daily", *RANGE)
    other = printed(runtime, "backfill", "daily", *RANGE, "-p", "a=2")
    assert not {one["run_id"] for one in first} & {one["run_id"] for one in other}
    halves = printed(runtime, "backfill", "daily", *RANGE, "--every", "12h", "--dry-run")
    assert len(halves) == 6
    words = ("--every", "0 0 * * *", "--timezone", "Europe/Berlin", "--dry-run")
    berlin = printed(runtime, "backfill", "daily", *RANGE, *words)
    assert berlin[0]["interval_start"] == "2030-01-01T23:00:00Z"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("waits", *RANGE), "pipeline 'waits' has no schedule; say --every, such as 1d"),
        (("daily", *RANGE, "--every", "boo"), "'boo' is not a cron expression"),
        (("daily", *RANGE, "--timezone", "UTC"), "--timezone is for --every"),
        (("daily", *RANGE, "--every", "1s"), "more than 10,000 intervals"),
        (("daily", *RANGE, "-p", "b=1", "--dry-run"), "invalid parameters for daily: b: is not a"),
        (("daily", "--from", "2030-01-01", "--to", "2029-01-01"), "--to must be later than --from"),
        (("dayly", *RANGE), "no pipeline 'dayly' is registered"),
    ],
)
def test_backfill_refuses(runtime: InlineRuntime, words: tuple[str, ...], said: str) -> None:
    """Before anything is written."""
    assert refused(runtime, "backfill", *words).startswith(said)
    assert runtime.pipelines.sync.list_runs() == []


def test_backfill_that_is_not_over_in_time_is_told(runtime: InlineRuntime) -> None:
    """Exit code 1; the runs go on."""
    result = run(runtime, "backfill", "waits", *RANGE, "--every", "1d", "--timeout", "0", code=1)
    assert result.stderr.splitlines()[-1] == (
        "Error: 3 of 3 runs have not succeeded: 1 running, 2 queued"
    )


def test_dry_run_shows_what_would_run_and_writes_nothing(runtime: InlineRuntime) -> None:
    """Each step with its queue, what it waits for, and its configuration as far as it is known."""
    found = printed(runtime, "trigger", "sums", "--dry-run")
    assert [step["step_id"] for step in found["steps"]] == ["one", "flaky", "twice", "apart"]
    twice = found["steps"][2]
    assert (twice["queue"], twice["waits_for"], twice["gate"]) == ("calc", ["flaky"], "open")
    assert twice["configuration"] == {"a": "${outputs.flaky.value}", "b": 2}
    shown = run(runtime, "trigger", "daily", "-p", "a=7", "--dry-run")
    assert "  1. add  calc.add  on queue calc\n       a = 7\n" in shown.stdout
    assert shown.stderr == "nothing was written or sent\n"
    assert "is not a parameter" in refused(runtime, "trigger", "daily", "-p", "b=7", "--dry-run")
    assert runtime.pipelines.sync.list_runs() == []
    assert not runtime.published


def test_history_tells_what_became_of_runs(runtime: InlineRuntime) -> None:
    """Who triggered them, where they come from, and why they failed."""
    failed = started(runtime, "sums")
    run(runtime, "resume", failed, "--note", "again", "--wait")
    result = run(runtime, "history", "sums")
    assert f"from {failed}; note: again" in result.stdout
    assert "the first of all" in result.stdout
    assert result.stderr.startswith("2 runs: 1 ")
    assert [one["run_id"] for one in printed(runtime, "history", "sums", "--state", "failed")] == [
        failed
    ]
    assert refused(runtime, "history", "sum") == "no pipeline 'sum' is registered"
