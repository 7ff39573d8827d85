from datetime import timedelta

from support.ledgers import LedgerOnHand, new_task

from datamcp.tasks.ledger import MAX_LOSSES, TaskLedger
from datamcp.tasks.outcome import Done
from datamcp.tasks.states import State
from datamcp.tasks.tasks import history_of, result_of, status_of


def states(at_hand: LedgerOnHand, task_id: str) -> list[State]:
    """Return the states of a task's history, whose instants never go back."""
    events = history_of(at_hand.row(task_id))
    assert [event.at for event in events] == sorted(event.at for event in events)
    return [event.state for event in events]


def test_tells_the_usual_life(at_hand: LedgerOnHand) -> None:
    """Enqueued, started, ended, each with its instant, its attempt and its worker."""
    task_id = at_hand.add()
    at_hand.clock.move(1)
    at_hand.ledger.claim(task_id, "fence", "agent")
    at_hand.clock.move(2.5)
    at_hand.finish(task_id, "fence", Done("3"))
    assert states(at_hand, task_id) == [State.QUEUED, State.RUNNING, State.SUCCEEDED]
    enqueued, started, ended = history_of(at_hand.row(task_id))
    assert (enqueued.attempt, started.attempt, ended.attempt) == (0, 1, 1)
    assert (enqueued.agent_id, started.agent_id, ended.agent_id) == (None, "agent", "agent")
    assert result_of(at_hand.row(task_id)).execution_time == 2.5


def test_a_task_is_queued_from_the_first_by_a_real_clock(at_hand: LedgerOnHand) -> None:
    """That one statement reads the database's clock twice makes no second event."""
    ledger = TaskLedger(at_hand.ledger.database)
    task_id = ledger.insert(new_task()).task_id
    assert states(at_hand, task_id) == [State.QUEUED]


def test_tells_of_a_task_that_waited_for_its_time(at_hand: LedgerOnHand) -> None:
    """It is scheduled first, and queued when it is due."""
    task_id = at_hand.add(scheduled_at=at_hand.clock.instant + timedelta(seconds=5))
    assert states(at_hand, task_id) == [State.SCHEDULED]
    at_hand.clock.move(6)
    at_hand.ledger.release_due(1)
    assert states(at_hand, task_id) == [State.SCHEDULED, State.QUEUED]


def test_tells_of_a_task_that_was_cancelled_before_it_started(at_hand: LedgerOnHand) -> None:
    """Its end follows at once."""
    task_id = at_hand.add()
    at_hand.cancel(task_id)
    assert states(at_hand, task_id) == [State.QUEUED, State.CANCELLED]
    assert result_of(at_hand.row(task_id)).execution_time is None


def test_tells_of_a_lost_worker(at_hand: LedgerOnHand) -> None:
    """A task that is queued again has not started, as far as anybody can see."""
    task_id = at_hand.add()
    for loss in range(MAX_LOSSES):
        at_hand.clock.move(1)
        at_hand.ledger.claim(task_id, f"fence-{loss}", "agent")
        at_hand.clock.move(1)
        at_hand.give_back(task_id, f"fence-{loss}")
        if loss < MAX_LOSSES - 1:
            assert states(at_hand, task_id) == [State.QUEUED, State.QUEUED]
            assert status_of(at_hand.row(task_id)).started_at is None
    assert states(at_hand, task_id) == [State.QUEUED, State.QUEUED, State.RUNNING, State.FAILED]
    assert history_of(at_hand.row(task_id))[1].message == "once more, as its worker was lost"
