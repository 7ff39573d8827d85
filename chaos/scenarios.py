"""Runs that have a name: each asks one question, and is answered by figures and complaints."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from threading import Event
from time import monotonic
from typing import Any

import datamcp
from chaos.beats import beats
from chaos.crew import Crew, Post
from chaos.dags import dags
from chaos.outcome import Answer
from chaos.stage import PROCESSES, Broker, Ledger, Stage, set_stage
from chaos.traces import Traces
from chaos.wreckage import empty_broker
from datamcp import Task
from datamcp.bootstrap.runtime import Runtime
from datamcp.tasks.states import State

_START = 90.0  # seconds in which all processes have to be there
_PATIENCE = 600.0  # seconds in which anything has to end
_LOOK = 0.05  # seconds
_SPARE = 5.0  # seconds beyond a lease after which lost work runs again
_ROUNDS = 4
_ROUND = 2.0  # seconds between two rounds of whoever makes them
_GRACE = 6.0  # seconds after which a row might be taken for lost

_IMPATIENT = "chaos.impatient"


@dataclass(frozen=True, slots=True)
class Scale:
    """How large they are: seconds of a long task, tasks that are flushed, rows that wait.

    `beating` are the seconds for which beats are killed, `dags` the random pipelines, which
    `seed` decides.
    """

    lease: int = 15
    seconds: float = 30.0
    flushed: int = 2_000
    waiting: int = 20_000
    beating: float = 60.0
    dags: int = 60
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Hall:
    """A stage with its crew, and a runtime that reaches the servers directly."""

    stage: Stage
    crew: Crew
    runtime: Runtime
    traces: Traces
    scale: Scale

    def enqueue(self, *, seconds: float = 0.0) -> str:
        """Enqueue a task that takes so long."""
        parameters = {"seconds": seconds}
        task = Task(task_type=f"{PROCESSES}.effect", parameters=parameters, timeout=_PATIENCE)
        return self.runtime.tasks.enqueue(task)

    def until(self, check: Callable[[], Any], seconds: float = _PATIENCE) -> float:
        """Wait until something holds, at most so long (s); return how long it took."""
        began = monotonic()
        while not check() and monotonic() < began + seconds:
            self.crew.mend()
            Event().wait(_LOOK)
        return monotonic() - began

    def runs_of(self, task_id: str) -> int:
        """Return how often a task has begun."""
        return self.traces.runs().get(task_id, 0)


def long_task(hall: Hall, answer: Answer) -> None:
    """Let a task take several timeouts of the broker: it runs once."""
    task_id = hall.enqueue(seconds=hall.scale.seconds)
    result = hall.runtime.tasks.result(task_id, timeout=_PATIENCE)
    answer.figures["seconds"] = hall.scale.seconds
    answer.expect("state", str(result.state), str(State.SUCCEEDED))
    answer.expect("runs", hall.runs_of(task_id), 1)
    answer.expect("attempt", result.attempt, 1)


def long_task_killed(hall: Hall, answer: Answer) -> None:
    """Kill the worker of such a task: it runs again, once, soon after."""
    task_id = hall.enqueue(seconds=hall.scale.seconds)
    hall.until(lambda: hall.runs_of(task_id), _START)
    Event().wait(hall.scale.seconds / 3)
    agent_id = hall.runtime.tasks.status(task_id).agent_id
    victim = next(post for post in hall.crew.living() if hall.crew.agent_id(post) == agent_id)
    hall.crew.kill(victim)
    took = hall.until(lambda: hall.runs_of(task_id) > 1)
    result = hall.runtime.tasks.result(task_id, timeout=_PATIENCE)
    answer.figures["seconds"] = hall.scale.seconds
    answer.bound("again after", took, hall.stage.lease + _SPARE)
    answer.expect("state", str(result.state), str(State.SUCCEEDED))
    answer.expect("runs", hall.runs_of(task_id), 2)
    answer.expect("attempt", result.attempt, 1)


def flushed(hall: Hall, answer: Answer) -> None:
    """Let the broker forget everything while tasks are queued: all of them complete, once."""
    busy = [hall.enqueue(seconds=3.0) for _ in range(4)]
    hall.until(lambda: any(hall.runs_of(one) for one in busy), _START)
    ids = _enqueue_many(hall, hall.scale.flushed)
    empty_broker(hall.stage, hall.runtime)
    answer.figures["queued at the flush"] = len(ids)
    took = hall.until(lambda: hall.traces.unfinished() == 0)
    rows, runs = hall.traces.rows(), hall.traces.runs()
    succeeded = [one for one in ids if one in rows and rows[one].state == State.SUCCEEDED]
    answer.expect("succeeded", len(succeeded), len(ids))
    answer.expect("run once", sum(runs.get(one) == 1 for one in ids), len(ids))
    answer.figures["seconds to the end"] = round(took, 2)


def backlog(hall: Hall, answer: Answer) -> None:
    """Let tasks wait behind long ones: rounds send nothing."""
    busy = [hall.enqueue(seconds=_PATIENCE) for _ in range(2)]
    hall.until(lambda: all(hall.runs_of(one) for one in busy), _START)
    _enqueue_many(hall, hall.scale.waiting)
    # Older than what may be taken for lost, and then several rounds.
    Event().wait(_GRACE + _ROUNDS * _ROUND)
    answer.expect("ready", hall.runtime.depths.ready(PROCESSES), hall.scale.waiting)
    for one in busy:
        hall.runtime.tasks.cancel(one)


def _enqueue_many(hall: Hall, wanted: int) -> list[str]:
    """Enqueue many tasks that take no time."""
    tasks = hall.runtime.tasks
    wishes = [Task(task_type=f"{PROCESSES}.effect") for _ in range(wanted)]
    bulk = getattr(tasks, "enqueue_many", None)
    return list(bulk(wishes)) if bulk is not None else [tasks.enqueue(one) for one in wishes]


@dataclass(frozen=True, slots=True)
class Scenario:
    """A question: its name, what is done, and by whom."""

    name: str
    ask: Callable[[Hall, Answer], None]
    posts: tuple[Post, ...]
    settings: Mapping[str, str] = field(default_factory=dict)


_BEAT = Post("beat-1", None)

SCENARIOS = (
    Scenario(
        "long-task",
        long_task,
        (
            Post("processes-1", PROCESSES, app=_IMPATIENT),
            Post("processes-2", PROCESSES, app=_IMPATIENT),
            _BEAT,
        ),
    ),
    Scenario(
        "long-task-killed",
        long_task_killed,
        (
            Post("processes-1", PROCESSES, app=_IMPATIENT),
            Post("processes-2", PROCESSES, app=_IMPATIENT),
        ),
    ),
    Scenario(
        "flushed", flushed, (Post("processes-1", PROCESSES), Post("processes-2", PROCESSES), _BEAT)
    ),
    Scenario("backlog", backlog, (Post("processes-1", PROCESSES), _BEAT)),
    Scenario(
        "dags",
        dags,
        (
            Post("processes-1", PROCESSES),
            Post("processes-2", PROCESSES),
            _BEAT,
            Post("beat-2", None),
        ),
        {"pipelines.max_concurrent_pipelines": "20"},
    ),
    *(
        Scenario(
            "beats" if store == "database" else f"beats-{store}",
            beats,
            (
                Post("processes-1", PROCESSES),
                *(Post(f"beat-{number}", None) for number in (1, 2, 3)),
            ),
            {"scheduler.persistence_backend": store},
        )
        for store in ("database", "redis", "file")
    ),
)


def ask(scenario: Scenario, hall: Hall) -> Answer:
    """Ask a question; whatever goes wrong is a complaint."""
    answer = Answer(scenario.name)
    scenario.ask(hall, answer)
    return answer


@contextmanager
def hall(
    scenario: Scenario,
    folder: Path,
    scale: Scale,
    *,
    ledger: Ledger = "postgresql",
    broker: Broker = "valkey",
    broker_url: str | None = None,
    database_url: str | None = None,
) -> Iterator[Hall]:
    """Have servers and processes for a scenario; `folder` is empty."""
    with (
        set_stage(
            folder,
            ledger=ledger,
            lease=scale.lease,
            broker=broker,
            broker_url=broker_url,
            database_url=database_url,
            proxies=False,
            settings=scenario.settings,
        ) as stage,
        datamcp.connect(overrides=dict(stage.settings)) as runtime,
        Crew(stage, scenario.posts, Random(scenario.name)) as crew,
    ):
        found = Hall(stage, crew, runtime, Traces(stage.database), scale)
        if found.until(lambda: crew.are_ready, _START) >= _START:
            raise TimeoutError(f"{scenario.name}: not all processes are there")
        yield found
