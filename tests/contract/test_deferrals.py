from dataclasses import replace
from datetime import timedelta

import pytest
from support.ledgers import LedgerOnHand, new_task

from datamcp.tasks.ledger import Deferred, Settled, TaskLedger, any_task
from datamcp.tasks.outcome import Deferral, Done, Fail, Retry, Snooze, defer, settle
from datamcp.tasks.states import State
from datamcp.tasks.tasks import status_of

LATER = defer(Retry("code", "message", delay=5))


def put_off(
    at_hand: LedgerOnHand, task_id: str, fence: str, deferral: Deferral = LATER
) -> Deferred | Settled | None:
    """Defer, in a transaction of its own."""
    with at_hand.ledger.database.transaction() as connection:
        return at_hand.ledger.defer(connection, task_id, fence, deferral)


def leave(at_hand: LedgerOnHand, task_id: str, fence: str) -> Settled | None:
    """Leave a row to what replaces its task, in a transaction of its own."""
    with at_hand.ledger.database.transaction() as connection:
        return at_hand.ledger.leave(connection, task_id, fence)


def fail_left(at_hand: LedgerOnHand, *task_ids: str) -> list[Settled]:
    """End what waits for a replacement."""
    with at_hand.ledger.database.transaction() as connection:
        return at_hand.ledger.fail_left(connection, task_ids, settle(Fail("why", "so")))


def expire(at_hand: LedgerOnHand) -> list[str]:
    """End what has expired, and return the ids of those tasks."""
    with at_hand.ledger.database.transaction() as connection:
        return [one.task_id for one in at_hand.ledger.expire(connection, any_task())]


@pytest.fixture
def ledger(at_hand: LedgerOnHand) -> TaskLedger:
    """Return the ledger itself."""
    return at_hand.ledger


class TestDefer:
    def test_the_row_waits_for_its_time(self, at_hand: LedgerOnHand, ledger: TaskLedger) -> None:
        """With its attempt counted, and why it failed; nothing has ended."""
        task_id = at_hand.add(max_attempts=3)
        ledger.claim(task_id, "first", "agent")
        at_hand.clock.move(1)
        after = put_off(at_hand, task_id, "first")
        assert isinstance(after, Deferred)
        assert (after.hint.task_id, after.hint.attempt, after.seconds) == (task_id, 1, 5)
        row = at_hand.row(task_id)
        assert (row.state, row.attempt, row.max_attempts) == (State.RETRYING, 1, 3)
        assert (row.error_code, row.error_message) == ("code", "message")
        assert row.scheduled_at == at_hand.clock.instant + timedelta(seconds=5)
        assert (row.deferred_at, row.finished_at) == (at_hand.clock.instant, None)

    def test_its_next_attempt_is_claimed_when_it_is_due(
        self, at_hand: LedgerOnHand, ledger: TaskLedger
    ) -> None:
        """Not before; the error of the last one stays until the next has ended."""
        task_id = at_hand.add()
        ledger.claim(task_id, "first", "agent")
        put_off(at_hand, task_id, "first")
        at_hand.clock.move(4.9)
        assert ledger.claim(task_id, "early", "agent") is None
        at_hand.clock.move(0.1)
        claimed = ledger.claim(task_id, "second", "agent")
        assert claimed is not None
        assert claimed.attempt == 2
        assert status_of(at_hand.row(task_id)).error == "message"
        at_hand.finish(task_id, "second", Done("1"))
        assert at_hand.row(task_id).error_code is None

    def test_the_sweep_releases_it(self, at_hand: LedgerOnHand, ledger: TaskLedger) -> None:
        """With what its message carries."""
        task_id = at_hand.add(canvas='{"group_id": "g"}', timeout=3.0)
        ledger.claim(task_id, "first", "agent")
        put_off(at_hand, task_id, "first")
        assert task_id not in {hint.task_id for hint in ledger.release_due(1000)}
        at_hand.clock.move(5)
        (hint,) = [hint for hint in ledger.release_due(1000) if hint.task_id == task_id]
        assert (hint.canvas, hint.timeout, hint.attempt) == ('{"group_id": "g"}', 3.0, 1)
        assert at_hand.row(task_id).state == State.QUEUED

    def test_an_instant_counts_before_a_delay(
        self, at_hand: LedgerOnHand, ledger: TaskLedger
    ) -> None:
        """And may lie in the past: then it is due at once."""
        task_id, due = at_hand.add(), at_hand.clock.instant - timedelta(seconds=5)
        ledger.claim(task_id, "first", "agent")
        after = put_off(at_hand, task_id, "first", defer(Retry("c", "m", delay=9, due=due)))
        assert isinstance(after, Deferred)
        assert (after.seconds, at_hand.row(task_id).scheduled_at) == (0, due)

    def test_what_changes_is_the_row_s_from_then_on(
        self, at_hand: LedgerOnHand, ledger: TaskLedger
    ) -> None:
        """The rest stays."""
        task_id = at_hand.add(canvas="{}")
        ledger.claim(task_id, "first", "agent")
        put_off(at_hand, task_id, "first", replace(LATER, parameters='{"b": 2}', queue="other"))
        row = at_hand.row(task_id)
        assert (row.parameters, row.queue, row.canvas) == ('{"b": 2}', "other", "{}")

    def test_a_snooze_counts_as_no_attempt(self, at_hand: LedgerOnHand, ledger: TaskLedger) -> None:
        """The row is scheduled, as if it had not begun."""
        task_id = at_hand.add()
        ledger.claim(task_id, "first", "agent")
        after = put_off(at_hand, task_id, "first", defer(Snooze()))
        assert isinstance(after, Deferred)
        row = at_hand.row(task_id)
        assert (row.state, row.attempt, row.deferred_at) == (State.SCHEDULED, 0, None)
        assert ledger.claim(task_id, "second", "agent") is not None

    def test_whoever_allows_more_attempts_is_believed(
        self, at_hand: LedgerOnHand, ledger: TaskLedger
    ) -> None:
        """The decision is not the ledger's; what it shows stays true. 0 is no limit."""
        limited, free = at_hand.add(max_attempts=1), at_hand.add(max_attempts=0)
        for task_id in (limited, free):
            ledger.claim(task_id, f"{task_id}-1", "agent")
            put_off(at_hand, task_id, f"{task_id}-1")
        assert (at_hand.row(limited).max_attempts, at_hand.row(free).max_attempts) == (2, 0)

    def test_repeated_is_a_success(self, at_hand: LedgerOnHand, ledger: TaskLedger) -> None:
        """After a lost answer, until the next attempt has begun (R2)."""
        task_id = at_hand.add()
        ledger.claim(task_id, "first", "agent")
        first = put_off(at_hand, task_id, "first")
        assert isinstance(first, Deferred)
        at_hand.clock.move(1)
        assert put_off(at_hand, task_id, "first") == replace(first, seconds=4)
        at_hand.clock.move(4)
        ledger.release_due(1000)
        assert put_off(at_hand, task_id, "first") == replace(first, seconds=0)
        ledger.claim(task_id, "second", "agent")
        assert put_off(at_hand, task_id, "first") is None

    def test_of_a_lost_claim_is_refused(self, at_hand: LedgerOnHand, ledger: TaskLedger) -> None:
        """It can't take a task away from its successor (R1)."""
        task_id = at_hand.add()
        ledger.claim(task_id, "first", "agent")
        at_hand.give_back(task_id, "first")
        assert put_off(at_hand, task_id, "first") is None
        ledger.claim(task_id, "second", "agent")
        assert put_off(at_hand, task_id, "first") is None
        assert at_hand.row(task_id).state == State.RUNNING

    @pytest.mark.parametrize("deferral", [LATER, defer(Snooze(3))])
    def test_a_cancel_wins(
        self, at_hand: LedgerOnHand, ledger: TaskLedger, deferral: Deferral
    ) -> None:
        """Nothing follows then (R9)."""
        task_id = at_hand.add()
        ledger.claim(task_id, "first", "agent")
        at_hand.cancel(task_id)
        after = put_off(at_hand, task_id, "first", deferral)
        assert isinstance(after, Settled)
        assert after.state is State.CANCELLED
        row = at_hand.row(task_id)
        assert (row.error_code, row.finished_at) == ("cancelled", at_hand.clock.instant)
        again = put_off(at_hand, task_id, "first", deferral)
        assert again == replace(after, is_repeat=True)

    def test_a_cancel_ends_what_waits(self, at_hand: LedgerOnHand, ledger: TaskLedger) -> None:
        """In the same statement as any other row that waits (R9)."""
        task_id = at_hand.add()
        ledger.claim(task_id, "first", "agent")
        put_off(at_hand, task_id, "first")
        (settled,) = at_hand.cancel(task_id)
        assert settled.state is State.CANCELLED
        assert put_off(at_hand, task_id, "first") == replace(settled, is_repeat=True)

    def test_a_lost_worker_costs_no_attempt(
        self, at_hand: LedgerOnHand, ledger: TaskLedger
    ) -> None:
        """Not of the second one either (R10)."""
        task_id = at_hand.add()
        ledger.claim(task_id, "first", "agent")
        put_off(at_hand, task_id, "first", defer(Retry("c", "m")))
        ledger.claim(task_id, "second", "agent")
        at_hand.give_back(task_id, "second")
        claimed = ledger.claim(task_id, "third", "agent")
        assert claimed is not None
        assert claimed.attempt == 2


class TestReplace:
    def test_another_task_takes_the_row_over(
        self, at_hand: LedgerOnHand, ledger: TaskLedger
    ) -> None:
        """With its id; attempts are counted anew, and the row's age stays."""
        task_id = at_hand.add(max_attempts=4)
        created = at_hand.row(task_id).created_at
        ledger.claim(task_id, "first", "agent")
        left = leave(at_hand, task_id, "first")
        assert left is not None
        assert left.state is State.SCHEDULED
        assert ledger.claim(task_id, "second", "agent") is None
        at_hand.clock.move(1)
        new = new_task(task_id=task_id, task_type="bench.mul", queue="other", parameters="2")
        inserted = ledger.insert(new)
        assert (inserted.is_new, inserted.state) == (True, State.QUEUED)
        row = at_hand.row(task_id)
        assert (row.task_type, row.queue, row.parameters) == ("bench.mul", "other", "2")
        assert (row.attempt, row.max_attempts, row.error_code) == (0, 1, None)
        assert row.created_at == created
        assert not ledger.insert(new).is_new
        assert ledger.claim(task_id, "third", "agent") is not None

    def test_only_what_was_left_is_taken_over(
        self, at_hand: LedgerOnHand, ledger: TaskLedger
    ) -> None:
        """Any other row of the id stays as it is."""
        task_id = at_hand.add()
        assert leave(at_hand, task_id, "never claimed") is None
        assert not ledger.insert(new_task(task_id=task_id, parameters="2")).is_new
        assert at_hand.row(task_id).parameters != "2"

    def test_what_does_not_come_is_a_failure(
        self, at_hand: LedgerOnHand, ledger: TaskLedger
    ) -> None:
        """Of those that wait for it, and of nobody else."""
        left, other = at_hand.add(), at_hand.add()
        ledger.claim(left, "first", "agent")
        leave(at_hand, left, "first")
        (settled,) = fail_left(at_hand, left, other)
        assert (settled.task_id, settled.state) == (left, State.FAILED)
        assert (at_hand.row(left).error_code, at_hand.row(other).state) == ("why", State.QUEUED)

    def test_a_cancel_wins(self, at_hand: LedgerOnHand, ledger: TaskLedger) -> None:
        """Before it is left, and while it waits (R9)."""
        running, waiting = at_hand.add(), at_hand.add()
        for task_id in (running, waiting):
            ledger.claim(task_id, f"{task_id}-1", "agent")
        at_hand.cancel(running)
        left = leave(at_hand, running, f"{running}-1")
        assert left is not None
        assert left.state is State.CANCELLED
        leave(at_hand, waiting, f"{waiting}-1")
        assert at_hand.cancel(waiting)
        assert not ledger.insert(new_task(task_id=waiting, parameters="2")).is_new


class TestExpire:
    def test_ends_what_has_not_started(self, at_hand: LedgerOnHand, ledger: TaskLedger) -> None:
        """Queued, scheduled or to be made again: all the same."""
        soon = at_hand.clock.instant + timedelta(seconds=10)
        later = soon + timedelta(seconds=5)
        queued, scheduled = (
            at_hand.add(expires_at=soon),
            at_hand.add(expires_at=soon, scheduled_at=later),
        )
        retrying, running = at_hand.add(expires_at=soon), at_hand.add(expires_at=soon)
        for task_id in (retrying, running):
            ledger.claim(task_id, f"{task_id}-1", "agent")
        put_off(at_hand, retrying, f"{retrying}-1")
        unlimited = at_hand.add()
        at_hand.clock.move(9.9)
        ours = {queued, scheduled, retrying, running, unlimited}
        assert not ours & set(expire(at_hand))
        at_hand.clock.move(0.1)
        assert ours & set(expire(at_hand)) == {queued, scheduled, retrying}
        row = at_hand.row(queued)
        assert (row.state, row.error_code) == (State.CANCELLED, "expired")
        assert row.finished_at == at_hand.clock.instant

    def test_what_has_expired_is_not_claimed(
        self, at_hand: LedgerOnHand, ledger: TaskLedger
    ) -> None:
        """Whether a sweep came or not; nor is it queued."""
        soon = at_hand.clock.instant + timedelta(seconds=1)
        queued = at_hand.add(expires_at=soon)
        scheduled = at_hand.add(expires_at=soon, scheduled_at=soon)
        at_hand.clock.move(1)
        assert ledger.claim(queued, "fence", "agent") is None
        assert scheduled not in {hint.task_id for hint in ledger.release_due(1000)}

    def test_an_attempt_that_runs_goes_on(self, at_hand: LedgerOnHand, ledger: TaskLedger) -> None:
        """Only a start has a limit."""
        task_id = at_hand.add(expires_at=at_hand.clock.instant + timedelta(seconds=1))
        ledger.claim(task_id, "first", "agent")
        at_hand.clock.move(2)
        assert ledger.heartbeat(task_id, "first", 0.5) is not None
        settled = at_hand.finish(task_id, "first", Done("1"))
        assert settled is not None
        assert settled.state is State.SUCCEEDED
