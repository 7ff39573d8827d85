"""What people do to runs: pause, resume, run steps again, mark, signal, approve."""

from collections.abc import Mapping
from typing import Any, Literal

from pydantic_core import to_json

from datamcp.errors import PipelineError, RunNotFoundError
from datamcp.infra.database import Database, Row
from datamcp.pipelines.advance import Advancer
from datamcp.pipelines.compiled import Catalogue, RunInfo, base_of
from datamcp.pipelines.definition import MAX_ID_LENGTH
from datamcp.pipelines.director import Director
from datamcp.pipelines.expression.names import is_id
from datamcp.pipelines.ledger import PipelineLedger
from datamcp.pipelines.locks import hold_run
from datamcp.pipelines.new_run import Adopted
from datamcp.pipelines.prepare import Wanted
from datamcp.pipelines.rerun import marked, require_step, to_clear, to_resume, with_what_follows
from datamcp.pipelines.run_ledger import RunLedger
from datamcp.pipelines.status import FINAL_RUN_STATES, RunState, StepStatus
from datamcp.pipelines.step_ledger import StepLedger
from datamcp.pipelines.trigger import Trigger
from datamcp.pipelines.waiting import approval_of, awaits_signal
from datamcp.tasks.states import State
from datamcp.types import step_task_id

Mark = Literal["succeeded", "failed", "skipped"]
"""How a step can be marked."""


class Operations:
    """Changes runs on request. Safe to share between threads."""

    def __init__(
        self,
        database: Database,
        *,
        ledger: PipelineLedger,
        runs: RunLedger,
        steps: StepLedger,
        catalogue: Catalogue,
        advancer: Advancer,
        director: Director,
        trigger: Trigger,
    ) -> None:
        """Take the parts."""
        self._database = database
        self._ledger = ledger
        self._runs = runs
        self._steps = steps
        self._catalogue = catalogue
        self._advancer = advancer
        self._director = director
        self._trigger = trigger

    # Pause.

    def pause(self, run_id: str, note: str | None = None) -> bool:
        """Let no further step of a run start; False if it has ended, or is paused.

        Steps that have begun go on, and what of them is tried again is.
        """
        self._row(run_id)
        return self._runs.pause(run_id, note)

    def unpause(self, run_id: str) -> bool:
        """Let a paused run go on; False if it is not paused."""
        if not self._runs.unpause(run_id):
            return False
        self._director.admit()
        self._director.advance([run_id])
        return True

    # New runs that take over what an old one has done.

    def resume(self, run_id: str, steps: Mapping[str, StepStatus], note: str | None) -> str:
        """Run again what failed, or never ran, and what depends on it; return the new run's id.

        A run that is paused goes on instead. Raises PipelineError if there is nothing to resume.
        """
        row = self._row(run_id)
        if row.state == RunState.PAUSED:
            self.unpause(run_id)
            return run_id
        compiled = self._require_ended(row, "resumed").compiled
        return self._again(row, to_resume(compiled, steps), {}, note)

    def clear(self, run_id: str, step_id: str, note: str | None) -> str:
        """Run a step again, and all that depends on it, whatever came of them."""
        row = self._row(run_id)
        compiled = self._require_ended(row, "run again in part").compiled
        return self._again(row, to_clear(compiled, step_id), {}, note)

    def retry(
        self, run_id: str, step_id: str, steps: Mapping[str, StepStatus], note: str | None
    ) -> str:
        """Run a step again that did not succeed, and all that depends on it."""
        compiled = self._catalogue.run(run_id).compiled
        require_step(compiled, step_id)
        state = steps[step_id].state
        if state in {State.SUCCEEDED, State.SKIPPED}:
            raise PipelineError(f"step {step_id} is {state}: use `clear` to run it all the same")
        return self.clear(run_id, step_id, note)

    def mark(self, run_id: str, step_id: str, state: Mark, note: str | None) -> str:
        """Say how a step has ended, in place of what came of it; return the run that goes on.

        In a run that goes on this is for a step that has not begun. Of one that has ended a new
        run is made, in which all that depends on the step runs again.
        """
        row = self._row(run_id)
        run = self._catalogue.run(run_id)
        require_step(run.compiled, base_of(step_id))
        if row.state not in FINAL_RUN_STATES:
            self._mark_open(run, step_id, State(state), note)
            return run_id
        require_step(run.compiled, step_id)
        again = with_what_follows(run.compiled.graph, {step_id}) - {step_id}
        adopted = marked(step_id, State(state), step_task_id(run_id, step_id), note)
        return self._again(row, again, {step_id: adopted}, note)

    def _mark_open(self, run: RunInfo, step_id: str, state: State, note: str | None) -> None:
        decided = self._advancer.mark(run, step_id, marked(step_id, state, "", note))
        if decided is None:
            raise PipelineError(
                f"step {step_id} has begun or ended already; cancel the run, or wait for its end, "
                "and mark it then: that makes a new run"
            )
        self._director.follow(run.run_id, decided)

    def _again(
        self,
        row: Row[Any],
        again: set[str],
        marks: Mapping[str, Adopted],
        note: str | None,
    ) -> str:
        """Start a run that takes over all steps but some."""
        run = self._catalogue.run(row.run_id)
        with self._database.autocommit() as connection:
            left = self._steps.left(connection, row.run_id, run.compiled.steps)
        adopted = {
            step_id: Adopted(one.state, one.output, one.task_id, one.error_code, one.error_message)
            for step_id, one in left.items()
            if step_id not in again
        }
        interval = None
        if row.interval_start is not None and row.interval_end is not None:
            interval = row.interval_start, row.interval_end
        wanted = Wanted(
            triggered_by=f"resume of {row.run_id}",
            revision=row.revision,
            fire_at=row.fire_at or row.scheduled_at or row.created_at,
            interval=interval,
            adopted={**adopted, **marks},
            resumed_from=row.run_id,
            note=note,
        )
        begun = self._trigger.insert(row.pipeline_id, run.values, wanted)
        if again:
            self._trigger.send(begun.run_id, begun.first)
        else:
            self._director.end([begun.run_id])
        return begun.run_id

    # Signals.

    def signal(self, run_id: str, name: str, payload: Any, note: str | None = None) -> bool:
        """Tell a run something, once for each name; False if it was told before.

        Raises PipelineError of a run that has ended, or for a name that no step can wait for.
        """
        if not is_id(name):
            raise PipelineError(f"{name[:MAX_ID_LENGTH]!r} can't be the name of a signal")
        return self._tell(run_id, name, payload, note)

    def _tell(self, run_id: str, name: str, payload: Any, note: str | None) -> bool:
        row = self._row(run_id)
        if row.state in FINAL_RUN_STATES:
            raise PipelineError(f"run {run_id} is {row.state}: it waits for nothing any more")
        text = to_json(payload).decode()
        with self._database.transaction() as connection:
            hold_run(connection, run_id)  # so that no step begins to wait just now
            is_new = self._steps.signal(connection, run_id, name, text, note)
            if is_new:
                self._steps.wake(connection, awaits_signal(run_id, name))
        self._director.advance([run_id])
        return is_new

    def approve(self, run_id: str, step_id: str, note: str | None, *, is_approved: bool) -> bool:
        """Approve or reject a step that waits for it; False if somebody has before."""
        compiled = self._catalogue.run(run_id).compiled
        require_step(compiled, base_of(step_id))
        if compiled.step_of(step_id).processor != "wait.approval":
            raise PipelineError(f"step {step_id} is no `wait.approval`: nobody has to approve it")
        payload = {"approved": is_approved, "note": note}
        return self._tell(run_id, approval_of(step_id), payload, note)

    def _row(self, run_id: str) -> Row[Any]:
        row = self._ledger.run(run_id)
        if row is None:
            raise RunNotFoundError(run_id)
        return row

    def _require_ended(self, row: Row[Any], what: str) -> RunInfo:
        if row.state not in FINAL_RUN_STATES:
            raise PipelineError(
                f"run {row.run_id} is {row.state}: it can be {what} once it has ended"
            )
        return self._catalogue.run(row.run_id)
