"""An agent that notes what it runs, and pipelines of it on a runtime that needs no server."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Row, or_, select

from datamcp import BaseAgent, Snooze, capability
from datamcp.config.loader import load
from datamcp.pipelines.loader import parse
from datamcp.pipelines.orchestrator import SyncPipelineOrchestrator
from datamcp.pipelines.status import PipelineStatus, StepStatus
from datamcp.tasks.states import State
from datamcp.tasks.tables import tasks
from datamcp.testing import FakeClock, InlineRuntime, drain, inline_runtime, using
from datamcp.testing.settings import settings_of

NOTES = Path("notes.txt")
"""What ran, in the folder of the test: of each execution the run and the step, in a line."""


class Lab(BaseAgent):
    """Does as it is told."""

    agent_type = "lab"

    @capability(retry_count=0)
    def work(
        self, value: object = None, fail: bool = False, inputs: dict[str, object] | None = None
    ) -> object:
        """Return a value, or fail."""
        self._note()
        if fail:
            raise ValueError("told to fail")
        return value

    @capability(retry_count=0)
    def fail_once(self, value: object = None) -> object:
        """Fail the first time that a step of this name is run, whatever the run."""
        self._note()
        flag = Path(f"failed.{self.context.step_id}")
        if not flag.exists():
            flag.touch()
            raise ValueError("the first time")
        return value

    @capability(retry_count=0)
    def fail_on(self, value: object, bad: object, until: str = "") -> object:
        """Fail on one value, as long as there is no file of this name."""
        self._note()
        if value == bad and not (until and Path(until).exists()):
            raise ValueError(f"no {value}, please")
        return value

    @capability(retry_count=1)
    def write(self, name: str) -> str:
        """Write a file into the folder of the step."""
        self._note()
        with self.context.workspace.publish(name) as path:
            path.write_text("something")
        return str(self.context.workspace.path_of(name))

    @capability(retry_count=0)
    def put_off(self, seconds: float) -> str:
        """Put the first attempt off for so many seconds."""
        self._note()
        flag = Path(f"put_off.{self.context.run_id}.{self.context.step_id}")
        if not flag.exists():
            flag.touch()
            raise Snooze(seconds)
        return "done"

    def _note(self) -> None:
        with NOTES.open("a") as notes:
            notes.write(f"{self.context.run_id} {self.context.step_id}\n")


@dataclass(frozen=True)
class Laboratory:
    """A runtime with the agent `lab`, and what a test does with it in one word."""

    runtime: InlineRuntime

    @property
    def pipelines(self) -> SyncPipelineOrchestrator:
        """The façade."""
        return self.runtime.pipelines.sync

    def register(self, text: str) -> str:
        """Register a pipeline's file, and return its id."""
        definition = parse(text)
        self.pipelines.register_pipeline(definition)
        return definition.pipeline_id

    def trigger(self, text: str, **parameters: Any) -> str:
        """Register a pipeline's file, and start a run of it."""
        return self.pipelines.trigger_pipeline(self.register(text), parameters)

    def run(self, text: str, **parameters: Any) -> str:
        """Register a pipeline's file, start a run, and do all that can be done."""
        run_id = self.trigger(text, **parameters)
        self.drain()
        return run_id

    def drain(self, seconds: float = 0) -> None:
        """Let time pass, and do all that can be done then."""
        self.runtime.clock.advance(seconds=seconds)
        while drain(self.runtime):
            pass

    def drain_watched(self, look: Callable[[], None]) -> None:
        """Do all that can be done, and look before and after each attempt."""
        look()
        for _ in self.runtime.worker.attempts():
            look()

    def status(self, run_id: str) -> PipelineStatus:
        """Return how far a run is."""
        return self.pipelines.monitor_execution(run_id)

    def state(self, run_id: str) -> str:
        """Return the state of a run."""
        return str(self.status(run_id).state)

    def step(self, run_id: str, step_id: str) -> StepStatus:
        """Return how far a step is."""
        return self.status(run_id).tasks[step_id]

    def states(self, run_id: str) -> dict[str, str]:
        """Return the state of each step."""
        return {name: str(step.state) for name, step in self.status(run_id).tasks.items()}

    def outputs(self, run_id: str) -> dict[str, Any]:
        """Return the output of each step."""
        return {name: step.output for name, step in self.status(run_id).tasks.items()}

    def child(self, run_id: str, step_id: str) -> str:
        """Return the run that a step waits for."""
        kind, _, child = str(self.step(run_id, step_id).waiting_for).partition(" ")
        assert kind == "run"
        return child

    def executions(self, run_id: str | None = None) -> Counter[str]:
        """Return how often each step was run, of one run or of all."""
        lines = NOTES.read_text().splitlines() if NOTES.exists() else []
        notes = [line.split(" ") for line in lines]
        return Counter(step for run, step in notes if run_id in {None, run})

    def rows(self, run_id: str) -> list[Row[Any]]:
        """Return the rows of a run's steps."""
        with self.runtime.database.autocommit() as connection:
            return list(connection.execute(select(tasks).where(tasks.c.run_id == run_id)))

    def under_way(self, prefix: str = "") -> int:
        """Return how many steps have a slot, want one, or wait after they have begun."""
        with self.runtime.database.autocommit() as connection:
            statement = select(tasks.c.step_id).where(
                or_(
                    tasks.c.state.in_([State.QUEUED, State.RUNNING, State.RETRYING]),
                    (tasks.c.state == State.SCHEDULED) & tasks.c.awaits.is_not(None),
                )
            )
            found = connection.execute(statement).scalars()
            return sum(one is not None and one.startswith(prefix) for one in found)


@contextmanager
def laboratory(
    folder: Path,
    database_url: str,
    clock: FakeClock | None = None,
    settings: Mapping[str, str] | None = None,
) -> Iterator[Laboratory]:
    """Have a runtime without workers that has the agent `lab`."""
    more = {"storage.allowed_roots": f'["{folder}"]', **(settings or {})}
    chosen = settings_of(
        folder / "installation", database_url=database_url, agents=[Lab], settings=more
    )
    config = load(overrides=chosen).config
    with inline_runtime(config, clock) as runtime, using(runtime):
        yield Laboratory(runtime)
