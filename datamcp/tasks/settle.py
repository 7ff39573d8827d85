"""End attempts, and do all that follows from it: one place for every road to a final state.

The row, the release of the steps that depend on it, and the end of its run commit together. What
others must hear of it leaves after the commit (protocol R2, R9, R12).
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from random import SystemRandom
from typing import TypeVar

from datamcp.errors import BackendUnavailable
from datamcp.infra.database import Condition, Connection
from datamcp.infra.transaction import OpenTransaction
from datamcp.tasks.ledger import Death, Deferred, Hint, Settled, TaskLedger, any_task
from datamcp.tasks.outcome import (
    IGNORED,
    INTERRUPTED,
    Cancel,
    Deferral,
    Ending,
    Fail,
    Outcome,
    Retry,
    Snooze,
    TimedOut,
    defer,
    follow,
    settle,
)
from datamcp.tasks.patience import patiently
from datamcp.tasks.places import Places
from datamcp.tasks.ports import NOTHING, Answers, Continuation, FollowUp, Notifier, Publisher
from datamcp.tasks.queues import HIGHEST
from datamcp.tasks.retry import RetryPolicy
from datamcp.tasks.soon import SOON, Soon
from datamcp.tasks.statements import BatchEnd
from datamcp.tasks.states import State
from datamcp.tasks.wake import Waker
from datamcp.telemetry import Telemetry

_PATIENCE = (0.2, 0.5, 1.0, 2.0, 4.0, 8.0)  # seconds between the tries of one finish
_ONCE_MORE = (0.1,)  # likewise, of what its caller may ask for again

_AGAIN = 1.0  # seconds until an attempt is made anew whose transaction the database has ended

RESCUED = 200  # rows that one rescue takes

T = TypeVar("T")

_SYSTEM = SystemRandom()


@dataclass(frozen=True, slots=True)
class Concluded:
    """What became of an attempt: its outcome, another attempt in place of a failure included.

    `after` is its task's row: ended, put off, or None if the claim was no longer in force.
    """

    outcome: Outcome
    after: Deferred | Settled | None


class Settler:
    """Writes endings."""

    def __init__(
        self,
        *,
        ledger: TaskLedger,
        places: Places,
        waker: Waker,
        continuation: Continuation,
        publisher: Publisher,
        notifier: Notifier,
        answers: Answers,
        telemetry: Telemetry,
        chance: Callable[[], float] = _SYSTEM.random,
    ) -> None:
        """Take the ledger, and those who act on what it says.

        `chance` gives numbers from 0 to 1, for delays that are not all to be the same.
        """
        self._ledger = ledger
        self._places = places
        self._waker = waker
        self._continuation = continuation
        self._publisher = publisher
        self._notifier = notifier
        self._answers = answers
        self._telemetry = telemetry
        self._chance = chance
        self._soon = Soon()

    def conclude(
        self,
        task_id: str,
        fence: str,
        outcome: Outcome,
        *,
        is_carried: bool = False,
        is_step: bool = True,
    ) -> Concluded:
        """Record how an attempt went; a failure leads to another attempt if its task has one left.

        `is_carried` and `is_step` are those of `finish`. The caller sends the message of the next
        attempt, by `resume`, once nothing of this one is left to do.
        """
        if isinstance(outcome, Fail | TimedOut):
            outcome = self._followed(task_id, fence, outcome)
        if isinstance(outcome, Retry | Snooze):
            return Concluded(outcome, self.defer(task_id, fence, defer(outcome)))
        ending = settle(outcome)
        ended = self.finish(task_id, fence, ending, is_carried=is_carried, is_step=is_step)
        return Concluded(outcome, ended)

    def _followed(self, task_id: str, fence: str, outcome: Outcome) -> Outcome:
        retries = self._patiently(lambda: self._ledger.retries(task_id, fence))
        if retries.policy is None:
            return outcome
        policy = RetryPolicy.model_validate_json(retries.policy)
        return follow(outcome, policy, retries.attempt, self._chance())

    def finish(
        self,
        task_id: str,
        fence: str,
        ending: Ending,
        *,
        is_carried: bool = False,
        is_step: bool = True,
    ) -> Settled | None:
        """Record how a claim ended; None if the claim is no longer in force.

        What is known to be no step of a run, and to have no place under a limit, is one statement.
        `is_carried` tells that the task's message was part of a canvas that now goes on. A database
        that is away is tried again, for some seconds: the same finish twice is one.
        """

        def write() -> tuple[Settled | None, FollowUp]:
            if not is_step:
                return self._ledger.finish_alone(task_id, fence, ending), NOTHING
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

    def finish_many(self, fence: str, ends: Sequence[BatchEnd], *, has_steps: bool) -> set[str]:
        """Record successes of one fence, in one commit; return the tasks that did not end so.

        No canvas goes on from them. `has_steps` is False where none is known to be a step of a run.
        """

        def write() -> tuple[list[Settled], FollowUp]:
            database = self._ledger.database
            with database.transaction() if has_steps else database.autocommit() as connection:
                settled = self._ledger.finish_many(connection, fence, ends)
                return settled, self._follow(connection, settled) if has_steps else NOTHING

        settled, follow_up = self._patiently(write)
        for row in settled:
            self._telemetry.emit("task.finished", task_id=row.task_id, state=row.state)
        self._answers.answer([row for row in settled if row.state is State.CANCELLED])
        self._tell(settled, follow_up)
        succeeded = {row.task_id for row in settled if row.state is State.SUCCEEDED}
        return {end.task_id for end in ends} - succeeded

    def finish_within(
        self,
        transaction: OpenTransaction,
        task_id: str,
        fence: str,
        ending: Ending,
        *,
        is_carried: bool = False,
    ) -> Deferred | Settled | None:
        """Record a success in the transaction in which its attempt has written, and commit both.

        All is rolled back if the claim is no longer in force (None), or was to be cancelled. Where
        the database went before the commit, another attempt follows, which uses up none. Raises
        what the database has against what was written.
        """
        written: list[tuple[Settled, FollowUp]] = []

        def write(connection: Connection) -> bool | None:
            settled = self._ledger.finish(connection, task_id, fence, ending)
            if settled is None or settled.is_repeat or settled.state is not ending.state:
                return None
            written.append((settled, self._follow(connection, [settled])))
            return True

        try:
            is_committed = transaction.commit(write) is not None
        except BackendUnavailable as error:
            self._telemetry.emit("task.finish_delayed", reason=error.reason)
            # Whether it was committed, the row tells: once whoever writes it has ended (R2).
            is_committed = bool(written) and self._patiently(
                lambda: self._ledger.has_ended(task_id, fence)
            )
            if not is_committed:
                return self.defer(task_id, fence, defer(Snooze(_AGAIN, INTERRUPTED)))
        if not is_committed:
            return self.finish(task_id, fence, settle(Cancel()), is_carried=is_carried)
        ((settled, follow_up),) = written
        self._tell([settled], follow_up, is_carried=is_carried)
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
                left = [after] if isinstance(after, Deferred) else []
                return after, self._follow(connection, ended, left)

        after, follow_up = self._patiently(write)
        match after:
            case None:
                self._telemetry.emit("task.claim_lost", task_id=task_id)
            case Settled():
                self._end([after], follow_up)
            case Deferred(_, seconds):
                self._telemetry.emit("task.deferred", task_id=task_id, seconds=seconds)
                self._waker.send(follow_up.freed)
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
                if left is None:
                    return None, NOTHING
                is_over = left.state is State.CANCELLED
                ended, given_up = ([left], []) if is_over else ([], [left])
                return left, self._follow(connection, ended, given_up)

        left, follow_up = self._patiently(write)
        if left is not None and left.state is State.CANCELLED:
            self._end([left], follow_up)
        else:
            self._waker.send(follow_up.freed)
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
        return self._end_where(lambda connection: self._ledger.expire(connection, condition))

    def cancel(self, where: Condition) -> list[Settled]:
        """Cancel these tasks: waiting ones at once, running ones when they next look."""
        return self._end_where(lambda connection: self._ledger.cancel(connection, where))

    def _end_where(self, end: Callable[[Connection], list[Settled]]) -> list[Settled]:
        """End tasks that no worker has; once more, if a decision about their run was in the way.

        It has the run and wants a step; this has the step and wants the run: PostgreSQL ends one.
        """

        def write() -> tuple[list[Settled], FollowUp]:
            with self._ledger.database.transaction() as connection:
                settled = end(connection)
                return settled, self._follow(connection, settled)

        settled, follow_up = self._patiently(write, _ONCE_MORE)
        self._end(settled, follow_up)
        return settled

    def give_back(self, where: Condition, death: Death = Death.WITH_OTHERS) -> list[Hint]:
        """Return to the queue what a dead worker was running (protocol R10)."""
        return self._return(lambda _connection: where, death)

    def rescue(self) -> list[Hint]:
        """Return to the queue what is claimed by workers that have not renewed their lease (R7)."""
        return self._return(
            lambda connection: self._ledger.lapsed(connection, RESCUED), Death.WITH_OTHERS
        )

    def _return(self, choose: Callable[[Connection], Condition], death: Death) -> list[Hint]:
        def write() -> tuple[list[Hint], list[Settled], FollowUp]:
            with self._ledger.database.transaction() as connection:
                queued, settled = self._ledger.give_back(connection, choose(connection), death)
                return queued, settled, self._follow(connection, settled)

        queued, settled, follow_up = self._patiently(write)
        for hint in queued:
            self._telemetry.emit("task.worker_lost", task_id=hint.task_id, task_type=hint.task_type)
        self._end(settled, follow_up)
        self._send([_before_its_like(hint) for hint in queued])
        return queued

    def _follow(
        self,
        connection: Connection,
        settled: Sequence[Settled],
        left: Sequence[Deferred | Settled] = (),
    ) -> FollowUp:
        """Write what follows where tasks have ended, and where some have left their place."""
        news = [row for row in settled if not row.is_repeat]
        steps = [row for row in news if row.run_id is not None]
        follow_up = self._continuation.settle(connection, steps) if steps else NOTHING
        keys = [row.concurrency_key for row in (*news, *left) if row.concurrency_key is not None]
        # Last, as it locks the limits: see `places`.
        return replace(follow_up, freed=self._places.free(connection, keys)) if keys else follow_up

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
        if follow_up.is_to_be_carried_on:
            self._continuation.carry_on(follow_up, is_carried=is_carried)
        self._waker.send(follow_up.freed)

    def _send(self, hints: Sequence[Hint]) -> None:
        try:
            self._publisher.publish(hints)
        except BackendUnavailable as error:
            # The rows are queued: the reconciler publishes them once the broker is back (R4).
            self._telemetry.emit("task.publish_failed", count=len(hints), reason=error.reason)

    def _patiently(self, write: Callable[[], T], pauses: Sequence[float] = _PATIENCE) -> T:
        return patiently(
            write,
            pauses,
            lambda error: self._telemetry.emit("task.finish_delayed", reason=error.reason),
        )


def _before_its_like(hint: Hint) -> Hint:
    """Return the hint of what had begun: it has waited before, and does not queue up once more."""
    return replace(hint, priority=min(HIGHEST, hint.priority + 1))
