from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
from support.ledgers import LedgerOnHand, new_id

from datamcp.clock import SystemClock
from datamcp.errors import BackendUnavailable, NotDeadLetterError, TaskNotFoundError
from datamcp.tasks.dead import DeadRows
from datamcp.tasks.dead_letters import DeadLetters
from datamcp.tasks.ledger import MAX_LOSSES, Hint
from datamcp.tasks.outcome import Cancel, Done, Fail, Final, TimedOut
from datamcp.tasks.states import State
from datamcp.telemetry import Telemetry


class Outbox:
    """Notes hints; or is away."""

    def __init__(self) -> None:
        """Begin empty."""
        self.hints: list[Hint] = []
        self.is_away = False

    def publish(self, hints: Sequence[Hint]) -> None:
        """Take hints."""
        if self.is_away:
            raise BackendUnavailable("broker", "away")
        self.hints += hints


@pytest.fixture
def at_hand(alone: LedgerOnHand) -> LedgerOnHand:
    """Return a ledger in which every row counts."""
    return alone


@pytest.fixture
def outbox() -> Outbox:
    """Return an outbox."""
    return Outbox()


@pytest.fixture
def letters(at_hand: LedgerOnHand, outbox: Outbox) -> DeadLetters:
    """Return the dead letters of the ledger."""
    return DeadLetters(
        ledger=at_hand.ledger,
        rows=DeadRows(at_hand.clock),
        publisher=outbox,
        clock=SystemClock(),
        telemetry=Telemetry(),
    )


def end(at_hand: LedgerOnHand, outcome: Final | None = None, **fields: object) -> str:
    """Have a task that ended in this way, a second after the one before."""
    task_id = at_hand.add(**fields)
    at_hand.clock.move(1)
    at_hand.ledger.claim(task_id, f"f-{task_id}", "agent")
    at_hand.finish(task_id, f"f-{task_id}", outcome or Fail("broken", "no"))
    return task_id


def test_whatever_failed_for_good_is_one(at_hand: LedgerOnHand, letters: DeadLetters) -> None:
    """The last dead first; nothing else is, however it ended."""
    failed, late = end(at_hand), end(at_hand, TimedOut(3))
    for outcome in (Done("1"), Cancel()):
        end(at_hand, outcome)
    cancelled = at_hand.add()
    at_hand.ledger.claim(cancelled, "f", "agent")
    at_hand.cancel(cancelled)
    at_hand.finish(cancelled, "f", Fail("broken", "no"))
    at_hand.add()
    at_hand.clock.move(1)
    poison = at_hand.add()
    for number in range(MAX_LOSSES):
        at_hand.ledger.claim(poison, f"p-{number}", "agent")
        at_hand.give_back(poison, f"p-{number}")
    found = letters.list()
    assert [letter.task_id for letter in found] == [poison, late, failed]
    assert [letter.error_code for letter in found] == ["worker_lost", "timeout", "broken"]
    assert [letter.state for letter in found] == [State.FAILED, State.TIMED_OUT, State.FAILED]


def test_lists_what_is_asked_for(at_hand: LedgerOnHand, letters: DeadLetters) -> None:
    """By type, by when it died, and no more than so many."""
    first, second = end(at_hand), end(at_hand, task_type="bench.mul", queue="bench")
    since = at_hand.row(second).dead_at
    third = end(at_hand)

    def ids(**filters: object) -> list[str]:
        return [letter.task_id for letter in letters.list(**filters)]  # type: ignore[arg-type]

    assert ids(task_type="bench.add") == [third, first]
    assert ids(since=since) == [third, second]
    assert ids(limit=1) == [third]


def test_shows_one_with_all_that_is_known(at_hand: LedgerOnHand, letters: DeadLetters) -> None:
    """Its parameters, what it noted last, and its history."""
    task_id = at_hand.add(parameters='{"a": 7}')
    at_hand.ledger.claim(task_id, "f", "agent")
    at_hand.ledger.heartbeat(task_id, "f", 0.5, '{"page": 3}')
    at_hand.finish(task_id, "f", Fail("broken", "no"))
    letter = letters.show(task_id)
    assert (letter.parameters, letter.details) == ({"a": 7}, {"page": 3})
    assert [event.state for event in letter.history] == [State.QUEUED, State.RUNNING, State.FAILED]
    assert letter.history[-1].error_code == "broken"


def test_requeue_makes_a_new_task(
    at_hand: LedgerOnHand, letters: DeadLetters, outbox: Outbox
) -> None:
    """With all that the old one was asked for, and the place where it stopped; that stays ended."""
    key = new_id()
    given = {
        "parameters": '{"a": 7}',
        "priority": 8,
        "max_attempts": 4,
        "retry_policy": '{"max_attempts": 4}',
        "timeout": 9.0,
        "idempotency_key": key,
        "tags": '["t"]',
        "metadata": '{"m": 1}',
        "canvas": '{"group_id": "g"}',
        "celery_result": True,
    }
    task_id = at_hand.add(**given)
    at_hand.ledger.claim(task_id, "f", "agent")
    at_hand.ledger.heartbeat(task_id, "f", 0.5, '{"page": 3}')
    at_hand.finish(task_id, "f", Fail("broken", "no"))
    at_hand.clock.move(60)
    follower = letters.requeue(task_id)
    old, new = at_hand.row(task_id), at_hand.row(follower)
    assert {name: getattr(new, name) for name in given} == given
    assert (new.details, new.retry_of, new.state) == ('{"page": 3}', task_id, State.QUEUED)
    assert (new.attempt, new.losses, new.error_code, new.dead_at) == (0, 0, None, None)
    assert new.created_at == new.queued_at == at_hand.clock.instant
    assert (old.state, old.error_code, old.followed_by) == (State.FAILED, "broken", follower)
    assert (old.dead_at, old.idempotency_key) == (None, None)
    assert [(hint.task_id, hint.priority, hint.canvas) for hint in outbox.hints] == [
        (follower, 8, given["canvas"])
    ]
    assert letters.list() == []
    assert letters.show(task_id).followed_by == follower
    assert at_hand.ledger.claim(follower, "g", "agent") is not None


def test_discard_takes_it_off_the_list(at_hand: LedgerOnHand, letters: DeadLetters) -> None:
    """It is still the failed task that it was."""
    task_id = end(at_hand)
    letters.discard(task_id)
    assert letters.list() == []
    letter = letters.show(task_id)
    assert (letter.state, letter.dead_at, letter.followed_by) == (State.FAILED, None, None)
    assert len(letter.history) == 3


@pytest.mark.parametrize("act", ["requeue", "discard"])
def test_what_is_no_dead_letter_is_refused(
    at_hand: LedgerOnHand, letters: DeadLetters, act: str
) -> None:
    """And it is said what it is instead."""
    method: Callable[[str], object] = getattr(letters, act)
    with pytest.raises(TaskNotFoundError):
        method("nothing")
    with pytest.raises(NotDeadLetterError, match="it is succeeded"):
        method(end(at_hand, Done("1")))
    task_id = end(at_hand)
    follower = letters.requeue(task_id)
    with pytest.raises(NotDeadLetterError, match=f"it is failed, and was requeued as {follower}"):
        method(task_id)
    with pytest.raises(NotDeadLetterError, match="it is queued"):
        letters.show(follower)


def test_a_broker_that_is_away_loses_nothing(
    at_hand: LedgerOnHand, letters: DeadLetters, outbox: Outbox
) -> None:
    """The new task waits in the ledger, as any other."""
    outbox.is_away = True
    assert at_hand.row(letters.requeue(end(at_hand))).state == State.QUEUED


def test_all_that_fit_are_taken_at_once(
    at_hand: LedgerOnHand, letters: DeadLetters, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first dead first, a few in each transaction."""
    monkeypatch.setattr("datamcp.tasks.dead_letters._AT_ONCE", 2)
    ids = [end(at_hand) for _ in range(5)]
    other = end(at_hand, task_type="bench.mul")
    assert list(letters.requeue_all(task_type="bench.add", limit=3)) == ids[:3]
    assert letters.discard_all(task_type="bench.add") == ids[3:]
    assert [letter.task_id for letter in letters.list()] == [other]
    assert list(letters.requeue_all()) == [other]
    assert letters.requeue_all() == {}
    assert letters.discard_all() == []


def test_what_dies_meanwhile_is_left_alone(
    at_hand: LedgerOnHand,
    letters: DeadLetters,
    outbox: Outbox,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Else a task that fails at once would be requeued for ever."""
    monkeypatch.setattr("datamcp.tasks.dead_letters._AT_ONCE", 1)
    ids = [end(at_hand) for _ in range(3)]
    publish = outbox.publish

    def fail_at_once(hints: Sequence[Hint]) -> None:
        publish(hints)
        at_hand.clock.move(1)
        for hint in hints:
            at_hand.ledger.claim(hint.task_id, f"f-{hint.task_id}"[:32], "agent")
            at_hand.finish(hint.task_id, f"f-{hint.task_id}"[:32], Fail("again", "no"))

    monkeypatch.setattr(outbox, "publish", fail_at_once)
    requeued = letters.requeue_all()
    assert list(requeued) == ids
    assert {letter.task_id for letter in letters.list()} == set(requeued.values())


def test_of_many_who_requeue_one_does(
    at_hand: LedgerOnHand, letters: DeadLetters, outbox: Outbox
) -> None:
    """Exactly one new task follows each dead letter, whoever asks, and however."""
    ids = [end(at_hand, idempotency_key=new_id()) for _ in range(20)]
    barrier, told = Barrier(4), []

    def one_by_one() -> list[str]:
        barrier.wait(30)
        done = []
        for task_id in ids:
            try:
                done.append(letters.requeue(task_id))
            except NotDeadLetterError as error:
                told.append(error.followed_by)
        return done

    def at_once() -> list[str]:
        barrier.wait(30)
        return list(letters.requeue_all().values())

    with ThreadPoolExecutor(4) as pool:
        works = [pool.submit(work) for work in (one_by_one, one_by_one, at_once, at_once)]
        made = [task_id for work in works for task_id in work.result(60)]
    assert len(made) == len(set(made)) == 20
    assert set(told) <= set(made)
    assert {at_hand.row(task_id).followed_by for task_id in ids} == set(made)
    assert {at_hand.row(task_id).retry_of for task_id in made} == set(ids)
    assert {hint.task_id for hint in outbox.hints} == set(made)
