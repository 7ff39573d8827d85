"""Our side: datamcp as it is shipped, on one ledger; and plain canvases through its app."""

import gc
import json
from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256
from itertools import pairwise
from pathlib import Path
from typing import Any

from sqlalchemy import bindparam, text

import datamcp
from benchmarks.canvas import canvas_of, extras_of, last_of
from benchmarks.rival import PATIENCE, Host, Layers, Ledger, Pool, numbered
from benchmarks.servers import Servers
from benchmarks.tally import WrongResultError
from datamcp import Task
from datamcp.bootstrap.runtime import Runtime
from datamcp.config.text import child_environment
from datamcp.pipelines.definition import PipelineDefinition, TaskDefinition
from datamcp.pipelines.status import RunState

_OPTIONS = ("--loglevel", "WARNING")  # of each worker

_ENDED = text(
    "SELECT count(*) FROM tasks WHERE state = 'succeeded' AND task_id IN :ids"
).bindparams(bindparam("ids", expanding=True))
_RESULTS = text(
    "SELECT task_id, state, attempt, result FROM tasks WHERE task_id IN :ids"
).bindparams(bindparam("ids", expanding=True))
_AT_ONCE = 1000  # rows asked for at once


class DatamcpHost(Host):
    """A worker of one agent type."""

    def __init__(self, folder: Path, servers: Servers, ledger: Ledger) -> None:
        """Take an empty folder, the servers, and which database keeps the tasks."""
        super().__init__(f"datamcp-{ledger}", folder)
        self.ledger = ledger
        self._agent = f"bench_{ledger}"  # RabbitMQ's queues are named after it, without a prefix
        self.noop, self.tiny = f"{self._agent}.noop", f"{self._agent}.tiny"
        self.hold, self.step = f"{self._agent}.hold", f"{self._agent}.step"
        database_url = servers.postgresql_url if ledger == "postgresql" else servers.sqlite_url
        self.chosen = {
            "system.environment": "testing",  # as in production: events off
            "broker.key_prefix": f"bench-{ledger}:",
        }
        self._places = {
            "system.state_dir": str(folder / "state"),
            "storage.database_url": database_url,
            "broker.url": servers.broker_url,
            f"agents.{self._agent}.module": "benchmarks.agent:Bench",
        }
        if not servers.has_redis_broker:
            self._places["storage.cache_url"] = servers.results_url

    def connect(self) -> Runtime:
        """Return a runtime of the producer."""
        return datamcp.connect(overrides={**self.chosen, **self._places})

    def _arguments(self, pool: Pool, slots: int) -> list[str]:  # noqa: ARG002  they are settings
        return ["-A", "datamcp", "worker", "--agent", self._agent, *_OPTIONS]

    def _environment(self, pool: Pool, slots: int) -> Mapping[str, str]:
        agent = f"agents.{self._agent}"
        sizes = {f"{agent}.pool": pool, f"{agent}.concurrency": str(slots)}
        return child_environment({**self.chosen, **self._places, **sizes})


class Datamcp:
    """Sends work to it: tasks, and pipelines with the full ledger."""

    scenarios: frozenset[str] | None = None

    def __init__(self, host: DatamcpHost) -> None:
        """Take the worker; connects."""
        self.host = host
        self.ledger: Ledger | None = host.ledger
        self.name = f"datamcp, {'PostgreSQL' if host.ledger == 'postgresql' else 'SQLite'}"
        self.runtime = host.connect()

    @property
    def settings(self) -> Mapping[str, Any]:
        """Return what differs from the defaults."""
        return {**self.host.chosen, "worker": " ".join(_OPTIONS)}

    def enqueue(self, numbers: Sequence[int]) -> Sequence[Any]:
        """Call `enqueue` for each."""
        enqueue = self.runtime.tasks.enqueue
        return [enqueue(Task(task_type=self.host.noop, parameters={"number": n})) for n in numbers]

    def enqueue_many(self, numbers: Sequence[int]) -> Sequence[Any]:
        """Call `enqueue_many` once."""
        tasks = [Task(task_type=self.host.noop, parameters={"number": n}) for n in numbers]
        return self.runtime.tasks.enqueue_many(tasks)

    def enqueue_tiny(self, numbers: Sequence[int]) -> Sequence[Any]:
        """Call `enqueue_many` once, for tasks that travel together."""
        tasks = [Task(task_type=self.host.tiny, parameters={"number": n}) for n in numbers]
        return self.runtime.tasks.enqueue_many(tasks)

    def hold(self, numbers: Sequence[int], gate: Path) -> Sequence[Any]:
        """Enqueue tasks that end when the gate is there."""
        enqueue = self.runtime.tasks.enqueue
        parameters = ({"number": number, "gate": str(gate)} for number in numbers)
        return [enqueue(Task(task_type=self.host.hold, parameters=each)) for each in parameters]

    def ids(self, handles: Sequence[Any]) -> list[str]:
        """Return the handles: they are ids."""
        return list(handles)

    def is_settled(self, ids: Sequence[str]) -> bool:
        """Tell whether all have succeeded."""
        counts: list[int] = self._select(_ENDED, ids, lambda rows: rows.scalar_one())
        return sum(counts) == len(ids)

    def results(self, ids: Sequence[str]) -> list[Any] | None:
        """Read the results in the ledger."""
        rows = {
            row.task_id: row
            for part in self._select(_RESULTS, ids, lambda rows: rows.all())
            for row in part
        }
        wrong = [row for row in rows.values() if (row.state, row.attempt) != ("succeeded", 1)]
        if wrong or len(rows) < len(ids):
            raise WrongResultError(f"{self.name}: {len(rows)} rows of {len(ids)}, {wrong[:3]}")
        return [json.loads(rows[task_id].result) for task_id in ids]

    def _select(self, statement: Any, ids: Sequence[str], take: Callable[[Any], Any]) -> list[Any]:
        with self.runtime.database.autocommit() as connection:
            parts = (ids[start : start + _AT_ONCE] for start in range(0, len(ids), _AT_ONCE))
            return [take(connection.execute(statement, {"ids": part})) for part in parts]

    def call(self, number: int) -> Any:
        """Call `enqueue`, then `result`."""
        tasks = self.runtime.tasks
        task_id = tasks.enqueue(Task(task_type=self.host.noop, parameters={"number": number}))
        return tasks.result(task_id, PATIENCE).data

    def prepare(self, layers: Layers) -> Callable[[], None]:
        """Register a pipeline; a run of it is triggered and waited for."""
        definition = pipeline_of(layers, self.host.noop)
        pipelines = self.runtime.pipelines.sync
        pipelines.register_pipeline(definition)

        def run() -> None:
            run_id = pipelines.trigger_pipeline(definition.pipeline_id)
            status = pipelines.wait(run_id, PATIENCE)
            outputs = [step.output for step in status.tasks.values()]
            if status.state is not RunState.SUCCEEDED or outputs != list(range(sum(layers))):
                raise WrongResultError(f"{self.name}: run {run_id} is {status.state}")

        return run

    def extras(self, layers: Layers) -> int:  # noqa: ARG002  of none
        """Return 0: a layer may follow a layer."""
        return 0

    def close(self) -> None:
        """Close connections."""
        gc.collect()  # results unsubscribe as they go, for which Redis must be there
        self.runtime.close()


class DatamcpCanvas(Datamcp):
    """The same canvases as the rival's, sent through our app: each task is in the ledger, too."""

    scenarios = frozenset({"chain", "layers", "fan-out"})

    def __init__(self, host: DatamcpHost) -> None:
        """Take the worker, which it shares; connects."""
        super().__init__(host)
        self.name = f"{self.name}, plain canvas"

    def prepare(self, layers: Layers) -> Callable[[], None]:
        """Make a chain of tasks and groups."""
        app = self.runtime.app
        noop = app.task_of(self.host.noop)
        canvas = canvas_of(app, lambda number: noop.si(number=number), layers)

        def run() -> None:
            found = canvas.apply_async().get(timeout=PATIENCE, propagate=False)  # as the rival
            if found != last_of(layers):
                raise WrongResultError(f"{self.name}: the canvas resulted in {str(found)[:200]}")

        return run

    def extras(self, layers: Layers) -> int:
        """Return how many tasks stand after groups."""
        return extras_of(layers)


def pipeline_of(layers: Layers, processor: str) -> PipelineDefinition:
    """Return these layers as a pipeline of one processor, each fully connected to the one before."""
    steps = [[f"s{number}" for number in numbers] for numbers in numbered(layers)]
    key = sha256(repr(tuple(layers)).encode()).hexdigest()[:12]
    return PipelineDefinition(
        pipeline_id=f"layers-{key}",
        tasks=tuple(
            TaskDefinition(
                task_id=step, processor=processor, configuration={"number": int(step[1:])}
            )
            for layer in steps
            for step in layer
        ),
        dependencies={step: tuple(before) for before, layer in pairwise(steps) for step in layer},
    )
