"""Rows of runs in a ledger at hand: steps that are claimed and ended one by one, without workers."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from datamcp.pipelines.ledger import PipelineLedger
from datamcp.pipelines.new_run import NewRun, NewStep
from datamcp.tasks.log_ledger import LogLedger, NewLine
from datamcp.tasks.outcome import Done, Final, Retry, Snooze
from datamcp.types import new_id as new_run_id
from datamcp.types import step_task_id
from support.exports import Edges, definition_of
from support.ledgers import LedgerOnHand, new_id


@dataclass(frozen=True)
class RunRows:
    """Runs of pipelines on a ledger whose clock is moved by hand.

    The rows of all steps may start at once, whatever the definition says.
    """

    at_hand: LedgerOnHand

    @property
    def pipelines(self) -> PipelineLedger:
        """The ledger of runs, with the same clock."""
        return PipelineLedger(self.at_hand.ledger.database, now=self.at_hand.clock)

    @property
    def logs(self) -> LogLedger:
        """The ledger of lines, with the same clock."""
        return LogLedger(self.at_hand.ledger.database, now=self.at_hand.clock)

    def start(self, edges: Edges, pipeline_id: str = "flights") -> str:
        """Register a pipeline, start a run of it, and return the run's id."""
        definition = definition_of(edges, pipeline_id)
        revision, _ = self.pipelines.register(pipeline_id, "1", definition.model_dump_json())
        run_id = new_run_id(self.at_hand.clock.instant)
        steps = [
            NewStep(
                step_id=step,
                task_type="sql.transform",
                queue="data",
                priority=5,
                parameters="{}",
                max_attempts=3,
                retry_policy=None,
                timeout=None,
                upstreams=0,
                downstreams=[],
            )
            for step in edges
        ]
        run = NewRun(
            run_id=run_id,
            pipeline_id=pipeline_id,
            revision=revision,
            version="1",
            parameters='{"month": "2013_02"}',
            triggered_by="cli",
        )
        self.pipelines.start(run, steps)
        self.pipelines.begin(run_id)
        return run_id

    @contextmanager
    def attempt(self, run_id: str, step: str, seconds: float) -> Iterator[tuple[str, str]]:
        """Claim a step, let so many seconds pass at the end, and give its task and fence."""
        task_id, fence = step_task_id(run_id, step), new_id()
        assert self.at_hand.ledger.claim(task_id, fence, "agent")
        yield task_id, fence
        self.at_hand.clock.move(seconds)

    def make(
        self,
        run_id: str,
        step: str,
        outcome: Final | Retry | Snooze | None = None,
        seconds: float = 1,
    ) -> None:
        """Make an attempt of a step that takes so many seconds; by default it succeeds."""
        with self.attempt(run_id, step, seconds) as (task_id, fence):
            pass
        ending = outcome or Done("1", '{"value": 1, "records_out": 7}')
        if isinstance(ending, Retry | Snooze):
            self.at_hand.defer(task_id, fence, ending)
        else:
            self.at_hand.finish(task_id, fence, ending)

    def say(self, run_id: str, step: str, *messages: str, attempt: int = 1) -> None:
        """Let an attempt of a step log lines, a second after what happened last."""
        self.at_hand.clock.move(1)
        lines = [NewLine(number, 0, "INFO", message) for number, message in enumerate(messages)]
        self.logs.write(step_task_id(run_id, step), new_id(), attempt, lines)

    def close(self, run_id: str) -> None:
        """End a run all of whose steps have ended."""
        with self.at_hand.ledger.database.transaction() as connection:
            assert self.pipelines.close(connection, run_id)
