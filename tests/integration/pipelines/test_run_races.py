"""Many workers at the steps of the same runs at once, on PostgreSQL, where transactions overlap."""

import random
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from threading import Event
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import func, select, text, update
from support.eventually import eventually
from support.lab import Laboratory, laboratory

from datamcp.errors import BackendUnavailable, PipelineError
from datamcp.pipelines.definition import PipelineDefinition, TaskDefinition
from datamcp.pipelines.ledger import PipelineLedger
from datamcp.pipelines.locks import hold_run
from datamcp.pipelines.step_ledger import StepLedger
from datamcp.pipelines.tables import runs as run_rows
from datamcp.tasks.outcome import Done, Fail, settle
from datamcp.tasks.states import State
from datamcp.tasks.tables import tasks
from datamcp.types import step_task_id

THREADS = 8
_LONGEST = 60.0  # seconds until a run is thought to hang
_MOMENT = 0.3  # seconds in which whoever waits for nobody gets ahead
_TROUBLE = ("task.finish_delayed", "run.delayed", "run.undecided", "run.publish_failed")


def seeded(seed: object) -> random.Random:
    """Return numbers that are the same in each run of a test."""
    return random.Random(str(seed))


@dataclass
class Crowd:
    """Workers that share a laboratory."""

    lab: Laboratory
    seed: int

    def work(self, runs: Sequence[str], *beside: Callable[[random.Random], None]) -> None:
        """Run steps until all runs have ended, and do something else again and again meanwhile."""
        done = Event()

        def worker(number: int) -> None:
            chance = seeded(f"{self.seed} {number}")
            while not done.is_set():
                if not self._one(chance) and not self._is_any_open():
                    done.set()

        def other(act: Callable[[random.Random], None]) -> None:
            chance = seeded(self.seed)
            while not done.is_set():
                act(chance)

        with ThreadPoolExecutor(THREADS + len(beside)) as threads:
            futures = [threads.submit(worker, number) for number in range(THREADS)]
            futures += [threads.submit(other, act) for act in beside]
            is_done = done.wait(_LONGEST)
            done.set()
            for future in futures:
                future.result()
        assert is_done, [self.lab.states(run) for run in runs]

    def _is_any_open(self) -> bool:
        statement = select(run_rows.c.run_id).where(run_rows.c.finished_at.is_(None)).limit(1)
        with self.lab.runtime.database.autocommit() as connection:
            return connection.execute(statement).first() is not None

    def _one(self, chance: random.Random) -> bool:
        """Make an attempt at any step that is queued; tell whether there was one."""
        statement = select(tasks.c.task_id, tasks.c.step_id).where(tasks.c.state == State.QUEUED)
        with self.lab.runtime.database.autocommit() as connection:
            queued = connection.execute(statement).all()
        if not queued:
            return False
        row = chance.choice(queued)
        fence = uuid4().hex
        if self.lab.runtime.ledger.claim(row.task_id, fence, "crowd") is not None:
            is_bad = row.step_id.startswith("bad")
            outcome = Fail("bad", "it is") if is_bad else Done("1", '{"value": 1}')
            self.lab.runtime.settler.finish(row.task_id, fence, settle(outcome))
        return True


@pytest.fixture
def crowd(tmp_path: Path, postgresql_url: str, caplog: pytest.LogCaptureFixture) -> Iterator[Crowd]:
    """Have workers; none of them may meet an error of the database's, such as a deadlock."""
    with laboratory(tmp_path, postgresql_url) as lab:
        yield Crowd(lab, 1)
        deadlocks = text(
            "select deadlocks from pg_stat_database where datname = current_database()"
        )
        with lab.runtime.database.autocommit() as connection:
            connection.execute(select(func.pg_stat_force_next_flush()))
            assert connection.execute(deadlocks).scalar_one() == 0
    assert not [message for message in caplog.messages if message.startswith(_TROUBLE)]


def layered(
    name: str, chance: random.Random, layers: int = 5, width: int = 5
) -> PipelineDefinition:
    """Return layers of which each step waits for the whole layer before, and decides for itself."""
    rules = ["all_success", "all_success", "all_done", "none_failed", "one_success", "one_failed"]
    steps, dependencies, above = [], {}, ()
    for layer in range(layers):
        below = []
        for place in range(width):
            prefix = "bad" if chance.random() < 0.15 else "s"
            step = f"{prefix}{layer}.{place}"
            steps.append(
                TaskDefinition(
                    task_id=step,
                    processor="lab.work",
                    trigger_rule=chance.choice(rules) if layer else "all_success",
                    when=chance.choice([None, None, "1 == 1", "1 == 2"]),
                )
            )
            dependencies[step] = above
            below.append(step)
        above = tuple(below)
    return PipelineDefinition(pipeline_id=name, tasks=steps, dependencies=dependencies)


def expected(definition: PipelineDefinition) -> dict[str, str]:
    """Return the state in which each step ends."""
    states: dict[str, str] = {}
    for step in definition.tasks:
        ups = [states[up] for up in definition.dependencies[step.task_id]]
        has_failed = "failed" in ups or "upstream_failed" in ups
        goes = {
            "all_success": all(up == "succeeded" for up in ups),
            "all_done": True,
            "one_success": "succeeded" in ups,
            "one_failed": has_failed,
            "none_failed": not has_failed,
        }[step.trigger_rule]
        if not goes:
            states[step.task_id] = "upstream_failed" if has_failed else "skipped"
        elif step.when == "1 == 2":
            states[step.task_id] = "skipped"
        else:
            states[step.task_id] = "failed" if step.task_id.startswith("bad") else "succeeded"
    return states


@pytest.mark.parametrize("seed", range(4))
def test_layers_with_rules_and_conditions(crowd: Crowd, seed: int) -> None:
    """Every step ends as it should, and nobody waits for anybody in a ring."""
    pipelines = crowd.lab.pipelines
    definitions = [layered(f"p{n}", seeded(f"{seed} {n}")) for n in range(3)]
    runs = []
    for definition in definitions:
        pipelines.register_pipeline(definition)
        runs.append(pipelines.trigger_pipeline(definition.pipeline_id))
    Crowd(crowd.lab, seed).work(runs, lambda _chance: crowd.lab.runtime.reconciler.sweep() and None)
    for definition, run in zip(definitions, runs, strict=True):
        assert crowd.lab.states(run) == expected(definition)


def test_keys_that_cross(crowd: Crowd) -> None:
    """Runs that want the same keys in another order keep each other out, and no more than that."""
    crowd.lab.register(
        """
pipeline_id: crossing
parameters: {one: {type: string}, other: {type: string}}
tasks:
  - {task_id: a, processor: lab.work, concurrency_key: "${parameters.one}"}
  - {task_id: b, processor: lab.work, concurrency_key: "${parameters.other}"}
  - {task_id: c, processor: lab.work, concurrency_key: "${parameters.one}", input_sources: [b]}
  - {task_id: d, processor: lab.work, concurrency_key: "${parameters.other}", input_sources: [a]}
"""
    )
    keys = [("x", "y"), ("y", "x"), ("y", "z"), ("z", "x"), ("x", "z"), ("z", "y")]

    def trigger(pair: tuple[str, str]) -> str:
        parameters = {"one": pair[0], "other": pair[1]}
        return crowd.lab.pipelines.trigger_pipeline("crossing", parameters)

    with ThreadPoolExecutor(6) as threads:
        runs = list(threads.map(trigger, keys))
    crowd.work(runs, lambda _chance: crowd.lab.runtime.reconciler.sweep() and None)
    assert [crowd.lab.state(run) for run in runs] == ["succeeded"] * 6


def test_people_between(crowd: Crowd) -> None:
    """Pauses, marks and signals in the midst of it: each is done, or refused."""
    pipelines = crowd.lab.pipelines
    definition = layered("busy", seeded(7), layers=6)
    pipelines.register_pipeline(definition)
    runs = [pipelines.trigger_pipeline("busy") for _ in range(3)]
    numbers = count()
    names = [step.task_id for step in definition.tasks]

    def meddle(chance: random.Random) -> None:
        run = chance.choice(runs)
        try:
            match chance.randrange(4):
                case 0:
                    pipelines.pause_pipeline(run)
                case 1:
                    pipelines.mark_step(run, chance.choice(names), "skipped")
                case 2:
                    pipelines.signal(run, f"n{next(numbers)}")
            if pipelines.monitor_execution(run).state == "paused":
                pipelines.resume_pipeline(run)
        except PipelineError:
            return

    def sweep(_chance: random.Random) -> None:
        crowd.lab.runtime.reconciler.sweep()

    crowd.work(runs, meddle, meddle, sweep)
    for run in runs:
        assert not {"scheduled", "queued", "running"}.intersection(crowd.lab.states(run).values())


def test_a_signal_that_comes_just_as_a_step_begins_to_wait(
    tmp_path: Path, postgresql_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is not missed: nobody looks for one again."""
    has_looked, is_sent = Event(), Event()
    wait = StepLedger.wait

    def slowly(*args: Any, **options: Any) -> None:
        wait(*args, **options)
        has_looked.set()
        is_sent.wait(_MOMENT)

    pipeline = """
pipeline_id: signalled
tasks:
  - {task_id: w, processor: wait.signal, configuration: {name: go}}
"""
    with laboratory(tmp_path, postgresql_url) as lab, ThreadPoolExecutor() as threads:
        lab.register(pipeline)
        monkeypatch.setattr(StepLedger, "wait", slowly)
        triggered = threads.submit(lab.pipelines.trigger_pipeline, "signalled")
        assert has_looked.wait(_LONGEST)
        (run,) = lab.pipelines.list_runs()
        assert lab.pipelines.signal(run.run_id, "go", 1)
        is_sent.set()
        triggered.result()
        assert lab.state(run.run_id) == "succeeded"


def test_a_step_that_is_released_in_the_moment_of_a_pause(
    tmp_path: Path, postgresql_url: str
) -> None:
    """It does not start."""
    pipeline = """
pipeline_id: chain
tasks:
  - {task_id: a, processor: lab.work}
  - {task_id: b, processor: lab.work}
dependencies: {b: [a]}
"""
    with laboratory(tmp_path, postgresql_url) as lab, ThreadPoolExecutor() as threads:
        run = lab.trigger(pipeline)
        database = lab.runtime.database

        def release() -> None:
            with database.transaction() as connection:
                PipelineLedger(database).release(connection, run, {"b": (1, 0)})

        with database.transaction() as connection:
            hold_run(connection, run)
            paused = update(run_rows).where(run_rows.c.run_id == run)
            connection.execute(paused.values(state="paused", paused_at=lab.runtime.clock.now()))
            releasing = threads.submit(release)
            with suppress(TimeoutError):
                releasing.result(_MOMENT)
        releasing.result()
        assert lab.states(run)["b"] == "scheduled"
        lab.pipelines.resume_pipeline(run)
        assert lab.states(run)["b"] == "queued"


def test_a_step_that_is_cancelled_in_the_moment_of_a_decision(
    tmp_path: Path, postgresql_url: str
) -> None:
    """Each has what the other one wants: the database ends one of them, and the cancel is made."""
    pipeline = """
pipeline_id: chain
tasks:
  - {task_id: a, processor: lab.work}
  - {task_id: b, processor: lab.work}
  - {task_id: c, processor: lab.work}
dependencies: {b: [a], c: [b]}
"""
    waits = text(
        "SELECT count(*) FROM pg_stat_activity "
        "WHERE datname = current_database() AND wait_event = 'advisory'"
    )
    with laboratory(tmp_path, postgresql_url) as lab, ThreadPoolExecutor() as threads:
        run = lab.trigger(pipeline)
        database, step = lab.runtime.database, step_task_id(run, "b")

        def is_waiting() -> bool:
            with database.autocommit() as connection:
                return bool(connection.execute(waits).scalar_one())

        with suppress(BackendUnavailable), database.transaction() as connection:
            hold_run(connection, run)
            cancelling = threads.submit(lab.runtime.tasks.cancel, step)
            eventually(is_waiting)
            connection.execute(select(tasks).where(tasks.c.task_id == step).with_for_update())
        assert cancelling.result()
        assert lab.states(run)["b"] == "cancelled"
