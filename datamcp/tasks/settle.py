"""End attempts, and do all that follows from it: one place for every road to a final state.

The row, the release of the steps that depend on it, and the end of its run commit together. What
others must hear of it leaves after the commit (protocol R2, R9, R12).
"""

from collections.abc import Callable, Collection, Sequence
from typing import TypeVar

from datamcp.errors import BackendUnavailable
from datamcp.infra.database import Condition, Connection
from datamcp.tasks.ledger import Deferred, Hint, Settled, TaskLedger, any_task
from datamcp.tasks.outcome import IGNORED, Deferral, Ending
from datamcp.tasks.patience import patiently
from datamcp.tasks.ports import NOTHING, Answers, Continuation, FollowUp, Notifier, Publisher
from datamcp.tasks.soon import SOON, Soon
from datamcp.tasks.states import State
from datamcp.telemetry import Telemetry

_PATIENCE = (0.2, 0.5, 1.0, 2.0, 4.0, 8.0)  # seconds between the tries of one finish

T = TypeVar("T")


class Settler:
    """Writes endings."""

    def __init__(
        self,
        *,
        ledger: TaskLedger,
        continuation: Continuation,
        publisher: Publisher,
        notifier: Notifier,
        answers: Answers,
        telemetry: Telemetry,
    ) -> None:
        """Take the ledger, and those who act on what it says."""
        self._ledger = ledger
        self._continuation = continuation
        self._publisher = publisher
        self._notifier = notifier
        self._answers = answers
        self._telemetry = telemetry
        self._soon = Soon()

    def finish(
        self, task_id: str, fence: str, ending: Ending, *, is_carried: bool = False
    ) -> Settled | None:
        """Record how a claim ended; None if the claim is no longer in force.

        `is_carried` tells that the task's message was part of a canvas that now goes on.
        A database that is away is tried again, for some seconds: the same finish twice is one.
        """

        def write() -> tuple[Settled | None, FollowUp]:
            with self._ledger.database.transaction() as connection:
                settled = self._ledger.finish(connection, task_id, fence, ending)
                follow_up = self._follow(connection, [settled] if settled else [])
            return settled, follow_up

        settled, follow_up = self._patiently(write)
        if settled is None:
            self._telemetry.emit("task.claim_lost", task_id=task_id)
            return None
        goes_on = is_carried and settled.state is State.SUCCEEDED
        if settled.state is State.CANCELLED and settled.error_code != IGNORED:
            self._answers.answer([settled])  # any other end Celery stores itself
        self._tell([settled], follow_up, is_carried=goes_on)
        return settled

    def defer(self, task_id: str, fence: str, deferral: Deferral) -> Deferred | Settled | None:
        """Let another attempt follow a claim; None if the claim is no longer in force.

        The caller sends the next message, by `resume`, once nothing of this attempt is left to do.
        A cancel that was asked for wins: then the task has ended.
        """

        def write() -> tuple[Deferred | Settled | None, FollowUp]:
            with self._ledger.database.transaction() as connection:
                after = self._ledger.defer(connection, task_id, fence, deferral)
                ended = [after] if isinstance(after, Settled) else []
                return after, self._follow(connection, ended)

        after, follow_up = self._patiently(write)
        match after:
            case None:
                self._telemetry.emit("task.claim_lost", task_id=task_id)
            case Settled():
                self._end([after], follow_up)
            case Deferred(_, seconds):
                self._telemetry.emit("task.deferred", task_id=task_id, seconds=seconds)
        return after

    def resume(self, deferred: Deferred) -> None:
        """Send the message of an attempt that is made again, if beat's sweep would come too late."""
        if deferred.seconds <= SOON:
            self._soon.after(deferred.seconds, lambda: self._send([deferred.hint]))

    def leave(self, task_id: str, fence: str) -> Settled | None:
        """Leave a claimed row to what replaces its task; None if the claim is no longer in force."""

        def write() -> tuple[Settled | None, FollowUp]:
            with self._ledger.database.transaction() as connection:
                left = self._ledger.leave(connection, task_id, fence)
                ended = [left] if left is not None and left.state is State.CANCELLED else []
                return left, self._follow(connection, ended)

        left, follow_up = self._patiently(write)
        if left is not None and left.state is State.CANCELLED:
            self._end([left], follow_up)
        return left

    def fail_left(self, task_ids: Collection[str], ending: Ending) -> None:
        """End what waits for a replacement that will not come, as something before it failed."""
        with self._ledger.database.transaction() as connection:
            settled = self._ledger.fail_left(connection, task_ids, ending)
            follow_up = self._follow(connection, settled)
        self._tell(settled, follow_up)  # Celery tells those who wait at its result backend

    def expire(self, where: Condition | None = None) -> list[Settled]:
        """End what waits and was to start by now; of all tasks, or of those of the condition."""
        condition = any_task() if where is None else where
        with self._ledger.database.transaction() as connection:
            settled = self._ledger.expire(connection, condition)
            follow_up = self._follow(connection, settled)
        self._end(settled, follow_up)
        return settled

    def cancel(self, where: Condition) -> list[Settled]:
        """Cancel these tasks: waiting ones at once, running ones when they next look."""
        with self._ledger.database.transaction() as connection:
            settled = self._ledger.cancel(connection, where)
            follow_up = self._follow(connection, settled)
        self._end(settled, follow_up)
        return settled

    def give_back(self, where: Condition, *, is_blamed: bool = True) -> list[Hint]:
        """Return to the queue what a dead worker was running (protocol R10).

        Without `is_blamed`, its death is held against none of that.
        """

        def write() -> tuple[list[Hint], list[Settled], FollowUp]:
            with self._ledger.database.transaction() as connection:
                queued, settled = self._ledger.give_back(connection, where, is_blamed=is_blamed)
                return queued, settled, self._follow(connection, settled)

        queued, settled, follow_up = self._patiently(write)
        for hint in queued:
            self._telemetry.emit("task.worker_lost", task_id=hint.task_id, task_type=hint.task_type)
        self._end(settled, follow_up)
        self._send(queued)
        return queued

    def _follow(self, connection: Connection, settled: Sequence[Settled]) -> FollowUp:
        steps = [row for row in settled if row.run_id is not None and not row.is_repeat]
        return self._continuation.settle(connection, steps) if steps else NOTHING

    def _end(self, settled: Sequence[Settled], follow_up: FollowUp) -> None:
        """Tell everybody of ends that Celery does not see."""
        self._answers.answer(settled)
        self._tell(settled, follow_up)

    def _tell(
        self, settled: Sequence[Settled], follow_up: FollowUp, *, is_carried: bool = False
    ) -> None:
        done = [*(row.task_id for row in settled), *follow_up.finished_runs]
        if done:
            self._notifier.announce(done)
        if follow_up.released:
            self._continuation.carry_on(follow_up, is_carried=is_carried)

    def _send(self, hints: Sequence[Hint]) -> None:
        try:
            self._publisher.publish(hints)
        except BackendUnavailable as error:
            # The rows are queued: the reconciler publishes them once the broker is back (R4).
            self._telemetry.emit("task.publish_failed", count=len(hints), reason=error.reason)

    def _patiently(self, write: Callable[[], T]) -> T:
        return patiently(
            write,
            _PATIENCE,
            lambda error: self._telemetry.emit("task.finish_delayed", reason=error.reason),
        )
