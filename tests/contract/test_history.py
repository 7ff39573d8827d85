from datetime import timedelta

from support.ledgers import LedgerOnHand, new_task

from datamcp.tasks.ledger import MAX_LOSSES, TaskLedger
from datamcp.tasks.outcome import Done, Fail, Retry, Snooze
from datamcp.tasks.past import KEPT, SNOOZED, attempts_of
from datamcp.tasks.states import State
from datamcp.tasks.tasks import result_of, status_of


def states(at_hand: LedgerOnHand, task_id: str) -> list[State]:
    """Return the states of a task's history, whose instants never go back."""
    events = at_hand.history(task_id)
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
    enqueued, started, ended = at_hand.history(task_id)
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
            lost = [State.RUNNING, State.QUEUED] * (loss + 1)
            assert states(at_hand, task_id) == [State.QUEUED, *lost]
            assert status_of(at_hand.row(task_id)).started_at is None
    lost = [State.RUNNING, State.QUEUED] * (MAX_LOSSES - 1)
    assert states(at_hand, task_id) == [State.QUEUED, *lost, State.RUNNING, State.FAILED]
    event = at_hand.history(task_id)[2]
    assert (event.attempt, event.agent_id) == (1, "agent")
    assert (event.error_code, event.message) == ("worker_lost", "its process died")


def test_tells_of_every_attempt(at_hand: LedgerOnHand) -> None:
    """With its worker, its times, and why another one followed; however it came to that."""
    task_id = at_hand.add(max_attempts=3)
    began = at_hand.clock.instant
    for number, outcome in enumerate([Retry("busy", "try later", 5), Snooze(5), None]):
        at_hand.clock.move(1)
        at_hand.ledger.claim(task_id, f"fence-{number}", f"agent-{number}")
        at_hand.clock.move(1)
        if outcome is None:
            at_hand.give_back(task_id, f"fence-{number}")
        else:
            at_hand.defer(task_id, f"fence-{number}", outcome)
            at_hand.clock.move(5)
            at_hand.ledger.release_due(100)
    at_hand.clock.move(1)
    at_hand.ledger.claim(task_id, "last", "agent-3")
    at_hand.clock.move(1)
    at_hand.finish(task_id, "last", Fail("broken", "for good"))
    told = [
        (
            (event.at - began).total_seconds(),
            event.state.value,
            event.attempt,
            event.agent_id,
            event.error_code,
        )
        for event in at_hand.history(task_id)
    ]
    assert told == [
        (0, "queued", 0, None, None),
        (1, "running", 1, "agent-0", None),
        (2, "retrying", 1, "agent-0", "busy"),
        (7, "queued", 0, None, None),
        (8, "running", 2, "agent-1", None),
        (9, "scheduled", 2, "agent-1", None),
        (14, "queued", 0, None, None),
        (15, "running", 2, "agent-2", None),
        (16, "queued", 2, "agent-2", "worker_lost"),
        (17, "running", 2, "agent-3", None),
        (18, "failed", 2, "agent-3", "broken"),
    ]


def test_an_attempt_is_kept_once(at_hand: LedgerOnHand) -> None:
    """However often its end is written, and not if the task ended with it (R2, R9)."""
    task_id, cancelled = at_hand.add(), at_hand.add()
    for one in (task_id, cancelled):
        at_hand.ledger.claim(one, f"f-{one}", "agent")
    at_hand.cancel(cancelled)
    for _ in range(2):
        at_hand.defer(task_id, f"f-{task_id}", Retry("code", "message"))
        at_hand.defer(cancelled, f"f-{cancelled}", Retry("code", "message"))
    assert states(at_hand, task_id) == [State.QUEUED, State.RUNNING, State.RETRYING]
    assert states(at_hand, cancelled) == [State.QUEUED, State.RUNNING, State.CANCELLED]
    at_hand.cancel(task_id)


def test_of_many_snoozes_the_last_are_kept(at_hand: LedgerOnHand) -> None:
    """A task that looks again for months does not fill the database; failures stay."""
    task_id = at_hand.add(max_attempts=9)
    outcomes = [Retry("code", "message"), *[Snooze()] * (KEPT[SNOOZED] + 5)]
    for number, outcome in enumerate(outcomes):
        at_hand.clock.move(1)
        at_hand.ledger.claim(task_id, f"fence-{number}", "agent")
        at_hand.clock.move(1)
        at_hand.defer(task_id, f"fence-{number}", outcome)
    made = attempts_of(at_hand.ledger.database, task_id)
    assert [one.outcome for one in made] == ["retried", *["snoozed"] * KEPT[SNOOZED]]
    assert made[-1].fence == f"fence-{len(outcomes) - 1}"
    at_hand.cancel(task_id)
