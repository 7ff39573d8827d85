"""Many tiny tasks of one message: claimed together, run one after the other, ended together.

Without Celery's tracer, which knows of one task. What succeeds is written with others a moment
later; every other end is written at once. What there is no time for goes back, and comes again
alone (protocol R18; see `bunch`).
"""

from collections.abc import Callable, Sequence
from time import monotonic

from datamcp.tasks.bunch import Bunch
from datamcp.tasks.calls import before_waiting
from datamcp.tasks.execute import Executor
from datamcp.tasks.ledger import Claimed, TaskLedger
from datamcp.tasks.logs import TaskLogs
from datamcp.tasks.outcome import INTERRUPTED, Done, Fail, Outcome, Snooze
from datamcp.tasks.patrol import Patrol
from datamcp.tasks.settle import Settler
from datamcp.tasks.slots import Slot

BUDGET = 1.0  # seconds after which what has not begun goes back: others may have a free slot

Finish = Callable[[Claimed, Outcome], object]


class Batches:
    """Runs the tasks of one message after the other. Safe to share between threads."""

    def __init__(
        self,
        *,
        executor: Executor,
        ledger: TaskLedger,
        settler: Settler,
        logs: TaskLogs,
        patrol: Patrol,
        is_to_end: Callable[[], bool],
    ) -> None:
        """Take the parts; `is_to_end` tells whether this process was asked to end."""
        self._is_to_end = is_to_end
        self._executor = executor
        self._ledger = ledger
        self._settler = settler
        self._logs = logs
        self._patrol = patrol

    def run(
        self, task_ids: Sequence[str], fence: str, agent_id: str, slot: Slot, finish: Finish
    ) -> int:
        """Run those of these tasks that may start; return how many did.

        `finish` ends one by itself, with all that follows from it. Raises BackendUnavailable: then
        leases run out.
        """
        bunch = Bunch(
            self._ledger.claim_many(task_ids, fence, agent_id),
            fence=fence,
            agent_id=agent_id,
            settler=self._settler,
            budget=BUDGET,
        )
        done = 0
        with self._patrol.over(bunch.look):
            for task_id in task_ids:
                if self._is_to_end():
                    break
                claimed = bunch.take(task_id)
                if claimed is not None:
                    self._run(claimed, agent_id, slot, bunch, finish)
                    done += 1
        bunch.close()
        return done

    def _run(
        self, claimed: Claimed, agent_id: str, slot: Slot, bunch: Bunch, finish: Finish
    ) -> None:
        since = monotonic()
        deadline = None if claimed.timeout is None else since + claimed.timeout
        slot.hold(claimed.task_id, claimed.fence, since=since, deadline=deadline)
        token = before_waiting.set(bunch.flush)
        with self._logs.of(claimed.task_id, claimed.fence, claimed.attempt):
            try:
                outcome = self._executor.attempt(claimed, agent_id)
                slot.release()
                if isinstance(outcome, Fail) and self._is_to_end():
                    outcome = Snooze(code=INTERRUPTED)  # it was cut short
                if isinstance(outcome, Done) and self._executor.may_end_later(claimed):
                    bunch.end(claimed, outcome, since)
                else:
                    finish(claimed, outcome)
            finally:
                before_waiting.reset(token)
                self._executor.let_go(claimed.fence)
