import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import event
from support.ledgers import LedgerOnHand, ledger_at_hand

from datamcp.infra.database import Database
from datamcp.tasks.ledger import MAX_LOSSES, Deferred, Settled
from datamcp.tasks.outcome import (
    Cancel,
    Done,
    Fail,
    Final,
    Retry,
    Snooze,
    TimedOut,
    defer,
    settle,
)
from datamcp.tasks.states import FINAL, WAITING, State, may_move

FENCES = ("a", "b", "c", "d", "e", "f")

outcomes = st.sampled_from([Done("1"), Fail("code", "message"), TimedOut(1), Cancel()])
deferrals = st.sampled_from([Retry("code", "message"), Retry("code", "message", 10), Snooze()])


@dataclass
class Model:
    """What one row should be, after the rules of the protocol."""

    state: State
    is_due: bool
    fence: str | None = None
    attempt: int = 0
    losses: int = 0
    cancel_requested: bool = False
    result: str | None = None


class OneRow(RuleBasedStateMachine):
    """Workers, callers, sweeps and rescuers do what they may in any order, late and twice."""

    at_hand: LedgerOnHand

    @initialize(delay=st.sampled_from([None, 0, 10]))
    def enqueue(self, delay: int | None) -> None:
        """Insert the row, due now or later."""
        clock = self.at_hand.clock
        due = None if delay is None else clock.instant + timedelta(seconds=delay)
        self.task_id = self.at_hand.add(scheduled_at=due)
        self.model = Model(State.SCHEDULED if delay else State.QUEUED, is_due=not delay)
        self.seen = self.model.state
        self.used: set[str] = set()

    @rule()
    def let_time_pass(self) -> None:
        """Come to the instant for which the row may be scheduled."""
        self.at_hand.clock.move(10)
        self.model.is_due = True

    @rule(fence=st.sampled_from(FENCES))
    def claim(self, fence: str) -> None:
        """Deliver a message, for the first time or again."""
        model = self.model
        is_mine = model.state is State.RUNNING and model.fence == fence
        # A fence is made for one delivery: after its claim was lost nobody uses it for another.
        if fence in self.used and not is_mine:
            return
        may_start = model.state in WAITING and model.is_due and not model.cancel_requested
        claimed = self.at_hand.ledger.claim(self.task_id, fence, "agent")
        assert (claimed is not None) == (may_start or is_mine)
        if may_start:
            self.used.add(fence)
            model.state, model.fence, model.attempt = State.RUNNING, fence, model.attempt + 1

    @rule(fence=st.sampled_from(FENCES))
    def heartbeat(self, fence: str) -> None:
        """Ask whether to go on."""
        model = self.model
        beat = self.at_hand.ledger.heartbeat(self.task_id, fence, 0.5)
        assert (beat is not None) == (model.state is State.RUNNING and model.fence == fence)
        if beat is not None:
            assert beat.cancel_requested == model.cancel_requested

    @rule(fence=st.sampled_from(FENCES), outcome=outcomes)
    def finish(self, fence: str, outcome: Final) -> None:
        """Write an end: in time, late, or once more."""
        model = self.model
        is_held = model.fence == fence and model.state is State.RUNNING
        is_repeat = model.fence == fence and model.state in FINAL
        if is_held:
            ending = settle(Cancel() if model.cancel_requested else outcome)
            model.state, model.result = ending.state, ending.result
        settled = self.at_hand.finish(self.task_id, fence, outcome)
        assert (settled is not None) == (is_held or is_repeat)
        if settled is not None:
            assert (settled.state, settled.is_repeat) == (model.state, is_repeat)

    @rule(fence=st.sampled_from(FENCES), outcome=deferrals)
    def defer(self, fence: str, outcome: Retry | Snooze) -> None:
        """Let another attempt follow: in time, late, or once more."""
        model, deferral = self.model, defer(outcome)
        is_held = model.fence == fence and model.state is State.RUNNING
        is_repeat = model.fence == fence and model.state in FINAL | WAITING
        with self.at_hand.ledger.database.transaction() as connection:
            after = self.at_hand.ledger.defer(connection, self.task_id, fence, deferral)
        assert (after is not None) == (is_held or is_repeat)
        if is_held and model.cancel_requested:
            model.state = State.CANCELLED
        elif is_held:
            model.state, model.is_due = deferral.state, deferral.delay == 0
            model.attempt -= not deferral.counts
        if after is not None:
            assert isinstance(after, Settled if model.state in FINAL else Deferred)

    @rule()
    def cancel(self) -> None:
        """Ask for an end."""
        model = self.model
        settled = self.at_hand.cancel(self.task_id)
        assert bool(settled) == (model.state in WAITING)
        if model.state in WAITING:
            model.state = State.CANCELLED
        model.cancel_requested |= model.state is State.RUNNING

    @rule(fence=st.sampled_from(FENCES))
    def lose_the_worker(self, fence: str) -> None:
        """Give a claim back, in time or after it has ended."""
        model = self.model
        queued, ended = self.at_hand.give_back(self.task_id, fence)
        assert bool(queued or ended) == (model.state is State.RUNNING and model.fence == fence)
        if not (queued or ended):
            return
        model.losses, model.fence = model.losses + 1, None
        if model.cancel_requested:
            model.state = State.CANCELLED
        elif model.losses >= MAX_LOSSES:
            model.state = State.FAILED
        else:
            model.state, model.attempt = State.QUEUED, model.attempt - 1
        assert bool(queued) == (model.state is State.QUEUED)

    @precondition(lambda self: self.model.state in {State.SCHEDULED, State.RETRYING})
    @rule()
    def sweep(self) -> None:
        """Queue what is due."""
        released = {hint.task_id for hint in self.at_hand.ledger.release_due(1000)}
        assert (self.task_id in released) == self.model.is_due
        if self.model.is_due:
            self.model.state = State.QUEUED

    @invariant()
    def the_row_is_as_the_model(self) -> None:
        """Nothing else was written, and every move was one of the table's."""
        row, model = self.at_hand.row(self.task_id), self.model
        assert (row.state, row.fence, row.attempt, row.losses, row.result) == (
            model.state,
            model.fence,
            model.attempt,
            model.losses,
            model.result,
        )
        assert (row.finished_at is not None) == (model.state in FINAL)
        if model.state in FINAL:
            assert (row.error_code is not None) == (model.state is not State.SUCCEEDED)
        assert model.state is self.seen or may_move(self.seen, model.state)
        self.seen = model.state


@pytest.fixture
def fast_database(sqlite_template: Path, tmp_path: Path) -> Iterator[Database]:
    """Have a ledger that does not wait for the disk."""
    shutil.copyfile(sqlite_template, tmp_path / "ledger.db")
    database = Database(f"sqlite:///{tmp_path / 'ledger.db'}")
    event.listen(
        database.engine, "connect", lambda driver, _: driver.execute("PRAGMA synchronous = OFF")
    )
    yield database
    database.close()


def test_no_order_of_events_breaks_the_protocol(fast_database: Database) -> None:
    """One row agrees with a small model, whoever writes it, however late, however often."""
    at_hand = ledger_at_hand(fast_database)
    machine = type("Machine", (OneRow,), {"at_hand": at_hand})
    run_state_machine_as_test(  # type: ignore[no-untyped-call]
        machine,
        settings=settings(
            max_examples=60,
            stateful_step_count=25,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow],
        ),
    )
