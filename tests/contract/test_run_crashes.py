"""Decisions about runs that are cut off anywhere: sweeps alone bring the runs to their right ends."""

import gc
import logging
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from sqlalchemy import select
from support.crashes import Crash, crashing_at
from support.lab import Laboratory, laboratory

from datamcp.pipelines.tables import signals
from datamcp.testing import FakeClock


@pytest.fixture(autouse=True)
def _hears_of_runs(caplog: pytest.LogCaptureFixture) -> None:
    """Notices are lines of the log that nobody has to worry about."""
    caplog.set_level(logging.INFO, logger="datamcp")


CHILD = """
pipeline_id: child
tasks:
  - {task_id: x, processor: lab.work, configuration: {value: 5}}
"""
GOES_ON = """
pipeline_id: goes_on
parameters: {xs: {type: array, default: [1, 2]}}
tasks:
  - {task_id: w, processor: wait.signal, configuration: {name: go}}
  - {task_id: b, processor: lab.work, configuration: {value: "${outputs.w.value}"}}
  - {task_id: c, processor: lab.work, concurrency_key: k, input_sources: [w]}
  - {task_id: m, processor: lab.work, map: {over: "${parameters.xs}", max_parallel: 1}, input_sources: [w], configuration: {value: "${item}"}}
  - {task_id: off, processor: lab.work, when: "outputs.w.value == 2"}
  - {task_id: after, processor: lab.work, input_sources: [off]}
  - {task_id: sub, processor: pipeline.run, input_sources: [w], configuration: {pipeline: child}}
  - {task_id: t, processor: wait.until, input_sources: [w], configuration: {seconds: 1}}
finally:
  - {task_id: last, processor: lab.work, configuration: {value: ["${outputs.m.value}", "${outputs.sub.value}"]}}
"""
GONE_ON = {"b": 1, "c": 1, "m[0]": 1, "m[1]": 1, "last": 1}

INNER = """
pipeline_id: inner
on_success: [ops]
tasks:
  - {task_id: w, processor: wait.signal, configuration: {name: go}}
  - {task_id: off, processor: lab.work, when: "outputs.w.value == 2"}
"""
OUTER = """
pipeline_id: outer
limits: {runs: 1}
on_success: [ops]
tasks:
  - {task_id: sub, processor: pipeline.run, configuration: {pipeline: inner}}
  - {task_id: off, processor: lab.work, when: "outputs.sub.records_out == 2"}
"""
NEXT = """
pipeline_id: outer
limits: {runs: 1}
tasks:
  - {task_id: a, processor: lab.work}
"""

LONG = 11  # seconds, after which nobody is thought to be still at something

Process = Callable[[], Laboratory]


@pytest.fixture
def process(tmp_path: Path, database_url: str) -> Iterator[Process]:
    """Start processes on one ledger, at one time; each takes the place of the one before."""
    clock = FakeClock()
    processes: list[Iterator[Laboratory]] = []

    def start() -> Laboratory:
        if processes:
            processes.pop().close()  # type: ignore[attr-defined]
        gc.collect()  # connections that a dead process would have left to the system
        processes.append(_process(tmp_path, database_url, clock))
        return next(processes[-1])

    yield start
    processes.pop().close()  # type: ignore[attr-defined]


def _process(folder: Path, url: str, clock: FakeClock) -> Iterator[Laboratory]:
    with laboratory(folder, url, clock) as lab:
        yield lab


def is_told(lab: Laboratory, run: str) -> bool:
    """Tell whether a run has its signal."""
    with lab.runtime.database.autocommit() as connection:
        wanted = select(signals.c.name).where(signals.c.run_id == run)
        return connection.execute(wanted).first() is not None


def tell(lab: Laboratory, run: str, step: int, monkeypatch: pytest.MonkeyPatch) -> int | None:
    """Give a run its signal, and crash at a step; return how many there were if there was no crash."""
    with crashing_at(step, monkeypatch) as counted, suppress(Crash):
        lab.pipelines.signal(run, "go", 1)
        return counted()
    return None


def recover(lab: Laboratory, run: str) -> None:
    """Let sweeps do what is left; whoever has not told the run does so again."""
    if not is_told(lab, run):
        lab.pipelines.signal(run, "go", 1)
    for _ in range(2):
        lab.drain(LONG)


def strides(pytestconfig: pytest.Config) -> int:
    """Return how far a crash is from the next one that is tried."""
    return 1 if pytestconfig.option.thorough else 7


def test_of_a_run_that_goes_on(
    process: Process, monkeypatch: pytest.MonkeyPatch, pytestconfig: pytest.Config
) -> None:
    """Every step runs once, whatever was written, and whatever was not sent."""
    lab = process()
    lab.register(CHILD)
    step, steps = 0, None
    while steps is None:
        run = lab.run(GOES_ON)
        steps = tell(lab, run, step, monkeypatch)
        lab = process()
        recover(lab, run)
        assert lab.state(run) == "succeeded", step
        assert lab.executions(run) == GONE_ON, step
        assert lab.states(run)["after"] == "skipped"
        assert lab.outputs(run)["last"][0] == [1, 2]
        children = lab.pipelines.list_runs(pipeline_id="child")
        assert [one.parent_task_id for one in children].count(lab.step(run, "sub").task_id) == 1
        assert all(row.state == "succeeded" for row in children)
        assert lab.executions(lab.outputs(run)["sub"]["run_id"]) == {"x": 1}
        step += strides(pytestconfig)
    assert steps > 30


def test_of_runs_that_end(
    process: Process,
    monkeypatch: pytest.MonkeyPatch,
    pytestconfig: pytest.Config,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The run that waits for one ends, people are told, and the next one begins."""
    lab = process()
    lab.register(INNER)
    step, steps = 0, None
    while steps is None:
        outer = lab.run(OUTER)
        inner = lab.child(outer, "sub")
        following = lab.trigger(NEXT)
        assert lab.status(following).admitted_at is None
        caplog.clear()
        steps = tell(lab, inner, step, monkeypatch)
        lab = process()
        recover(lab, inner)
        assert [lab.state(run) for run in (inner, outer, following)] == ["succeeded"] * 3, step
        assert lab.executions(following) == {"a": 1}
        assert lab.executions(inner) == lab.executions(outer) == {}
        notices = [text for text in caplog.messages if text.startswith("run.notice ")]
        for run in (inner, outer):
            assert 1 <= sum(run in text for text in notices) <= 2, step
        step += strides(pytestconfig)
    assert steps > 30
