"""Steps that are tried again, on real workers: what follows them waits for their last attempt."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from support.eventually import eventually
from support.workers import BEAT, SOON, Gate, Installation, on_database, words_in, worker

from datamcp.errors import InvalidPipelineError
from datamcp.pipelines.definition import PipelineDefinition, TaskDefinition
from datamcp.pipelines.status import PipelineStatus, RunState
from datamcp.tasks.retry import RetryPolicy
from datamcp.tasks.states import State

TWICE = RetryPolicy(max_attempts=2, delay=0)
ONCE = RetryPolicy(max_attempts=1)


@pytest.fixture(
    scope="module",
    params=["sqlite", "postgresql", pytest.param("rabbitmq", marks=pytest.mark.thorough)],
)
def installed(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Installation]:
    """Have an installation with a worker and beat, on each database and on RabbitMQ."""
    with on_database(request.param, request, tmp_path_factory.mktemp("again")) as found:
        found.start(("lab", worker("lab", "--concurrency", "4")), ("beat", BEAT))
        yield found


def step(
    name: str, what: str, policy: RetryPolicy | None = None, **given: object
) -> TaskDefinition:
    """Return a step that runs a capability of the laboratory."""
    return TaskDefinition(
        task_id=name, processor=f"lab.{what}", retry_policy=policy, configuration=given
    )


def flaky(
    name: str, policy: RetryPolicy | None, path: Path, times: int, **more: object
) -> TaskDefinition:
    """Return a step that notes its attempts, and of which so many fail."""
    return step(name, "flaky", policy, path=str(path), times=times, **more)


def note(name: str, path: Path) -> TaskDefinition:
    """Return a step that notes its name."""
    return step(name, "note", path=str(path), word=name)


def start(installed: Installation, *steps: TaskDefinition, **upstreams: tuple[str, ...]) -> str:
    """Register and start a pipeline; `upstreams` tells what a step waits for."""
    definition = PipelineDefinition(
        pipeline_id=installed.file().name, tasks=steps, dependencies=upstreams
    )
    pipelines = installed.runtime.pipelines.sync
    pipelines.register_pipeline(definition)
    return pipelines.trigger_pipeline(definition.pipeline_id)


def end(installed: Installation, run_id: str) -> PipelineStatus:
    """Return how a run ended."""
    return installed.runtime.pipelines.sync.wait(run_id, timeout=2 * SOON)


def attempts(installed: Installation, status: PipelineStatus, name: str) -> list[tuple[str, int]]:
    """Return the states of a step's attempts."""
    history = installed.runtime.tasks.history(status.tasks[name].task_id)
    return [(event.state.value, event.attempt) for event in history if event.attempt]


def test_what_follows_a_step_waits_for_its_last_attempt(installed: Installation) -> None:
    """In the middle of a row: nothing after it runs before, and that runs once."""
    path = installed.file()
    run_id = start(
        installed,
        note("a", path),
        flaky("b", RetryPolicy(max_attempts=3, delay=0), path, 2),
        note("c", path),
        b=("a",),
        c=("b",),
    )
    status = end(installed, run_id)
    assert status.state is RunState.SUCCEEDED
    assert words_in(path) == ["a", "tried", "tried", "tried", "c"]
    assert (status.tasks["b"].output, status.tasks["b"].max_attempts) == (3, 3)
    assert attempts(installed, status, "b") == [
        ("running", 1),
        ("retrying", 1),
        ("running", 2),
        ("retrying", 2),
        ("running", 3),
        ("succeeded", 3),
    ]


@pytest.mark.parametrize("retried", [("b0",), ("b2",), ("b0", "b1", "b2")])
def test_a_join_waits_for_the_last_attempts_of_all(
    installed: Installation, retried: tuple[str, ...]
) -> None:
    """Whichever branches were tried again, what joins them runs once, with all their values."""
    path, branches = installed.file(), ("b0", "b1", "b2")
    middle = [flaky(name, TWICE, installed.file(), int(name in retried)) for name in branches]
    run_id = start(
        installed,
        note("a", path),
        *middle,
        note("z", path),
        note("end", path),
        **dict.fromkeys(branches, ("a",)),
        z=branches,
        end=("z",),
    )
    status = end(installed, run_id)
    assert status.state is RunState.SUCCEEDED
    assert words_in(path) == ["a", "z", "end"]
    assert {name: status.tasks[name].attempt for name in branches} == {
        name: 2 if name in retried else 1 for name in branches
    }


def test_a_step_fails_with_its_last_attempt(installed: Installation) -> None:
    """Only then does what depends on it end, and the run with it."""
    path = installed.file()
    run_id = start(installed, flaky("a", TWICE, path, 9), note("b", path), b=("a",))
    status = end(installed, run_id)
    assert (status.state, status.error_message) == (RunState.FAILED, "step a: not yet")
    assert (status.tasks["a"].state, status.tasks["a"].attempt) == (State.FAILED, 2)
    assert status.tasks["b"].state is State.UPSTREAM_FAILED
    assert words_in(path) == ["tried", "tried"]


def test_a_step_that_runs_out_of_time_is_tried_again(installed: Installation) -> None:
    """Stopped, or killed with its process."""
    slow = [
        step(name, "slow_once", TWICE, gate=str(installed.gate()), stubborn=name == "b")
        for name in ("a", "b")
    ]
    steps = [one.model_copy(update={"timeout": 0.5}) for one in slow]
    status = end(installed, start(installed, *steps, b=("a",)))
    assert status.state is RunState.SUCCEEDED
    assert [status.tasks[name].output for name in ("a", "b")] == [2, 2]


def test_a_policy_chooses_errors(installed: Installation) -> None:
    """What it gives up on fails at once; what it names is tried again."""
    paths = [installed.file() for _ in range(2)]
    status = end(
        installed,
        start(
            installed,
            flaky("a", TWICE.model_copy(update={"give_up_on": ("ValueError",)}), paths[0], 1),
            flaky(
                "b",
                TWICE.model_copy(update={"retry_on": ("OSError",)}),
                paths[1],
                1,
                kind="OSError",
            ),
        ),
    )
    assert [words_in(path) for path in paths] == [["tried"], ["tried", "tried"]]
    assert status.tasks["b"].state is State.SUCCEEDED


def test_who_says_how_often(installed: Installation) -> None:
    """The step, or else its capability, or else the configuration: here, that says never."""
    path = installed.file()
    status = end(
        installed,
        start(
            installed,
            flaky("own", TWICE, path, 0),
            flaky("never", ONCE, path, 0),
            flaky("capability", None, path, 0),
            note("configured", path),
        ),
    )
    assert {name: one.max_attempts for name, one in status.tasks.items()} == {
        "own": 2,
        "never": 1,
        "capability": 3,
        "configured": 1,
    }


def test_a_run_is_cancelled_while_a_step_waits_for_its_next_attempt(
    installed: Installation,
) -> None:
    """It is never made."""
    path = installed.file()
    later = RetryPolicy(max_attempts=2, delay=3600)
    run_id = start(installed, flaky("a", later, path, 9), note("b", path), b=("a",))
    pipelines = installed.runtime.pipelines.sync

    def is_waiting() -> bool:
        return pipelines.monitor_execution(run_id).tasks["a"].state is State.RETRYING

    eventually(is_waiting, timeout=SOON)
    assert pipelines.monitor_execution(run_id).state is RunState.RUNNING
    assert pipelines.cancel_pipeline(run_id)
    status = end(installed, run_id)
    assert status.state is RunState.CANCELLED
    assert {one.state for one in status.tasks.values()} == {State.CANCELLED}
    assert words_in(path) == ["tried"]


def test_a_step_may_not_ask_for_more_than_is_allowed(installed: Installation) -> None:
    """Whoever runs the installation has the last word."""
    with pytest.raises(InvalidPipelineError, match=r"at most 4, got 5.*max_retry_attempts"):
        start(installed, flaky("a", RetryPolicy(max_attempts=5), installed.file(), 0))


def _in_its_second_attempt(installed: Installation, gate: Gate, path: Path) -> str:
    """Start a run whose middle step stands before the gate, in its second attempt."""
    run_id = start(
        installed,
        note("a", path),
        step("b", "hold_again", TWICE, gate=str(gate)),
        note("c", path),
        b=("a",),
        c=("b",),
    )
    gate.await_arrival()
    return run_id


def _has_gone_on(installed: Installation, run_id: str, path: Path) -> None:
    """Check that a run ended as if nobody had died."""
    status = end(installed, run_id)
    assert status.state is RunState.SUCCEEDED
    assert (status.tasks["b"].attempt, status.tasks["b"].output) == (2, 2)
    assert words_in(path) == ["a", "c"]
    made = attempts(installed, status, "b")
    assert made[:2] == [("running", 1), ("retrying", 1)]
    assert made[2:4] == [("running", 2), ("queued", 2)]
    assert made[-1] == ("succeeded", 2)


def test_a_process_is_killed_in_a_second_attempt(installed: Installation) -> None:
    """That attempt is made anew and counts once; the first one stays in the history."""
    gate, path = installed.gate(), installed.file()
    run_id = _in_its_second_attempt(installed, gate, path)
    os.kill(int(gate.path.with_suffix(".pid").read_text()), signal.SIGKILL)
    gate.open()
    _has_gone_on(installed, run_id, path)


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_a_worker_is_killed_in_a_second_attempt(
    kind: str, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Another worker makes it anew once the lease has run out, and the run goes on there."""
    folder = tmp_path_factory.mktemp("killed")
    with on_database(kind, request, folder, **{"scheduler.lease": "4"}) as found:
        first = found.start_worker("lab", "-n", "first@lab")
        gate, path = found.gate(), found.file()
        run_id = _in_its_second_attempt(found, gate, path)
        main = psutil.Process(first.pid)
        for process in (main, *main.children(recursive=True)):
            process.kill()
        gate.open()
        found.start_worker("lab", "-n", "second@lab")
        _has_gone_on(found, run_id, path)
