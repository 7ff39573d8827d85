"""What a task has called, and may start: rows that others wait for."""

import pytest
from support.ledgers import LedgerOnHand, new_task

from datamcp.tasks.call_ledger import CallLedger, Origin
from datamcp.tasks.outcome import INTERRUPTED, Done, Retry, Snooze
from datamcp.tasks.states import State


@pytest.fixture
def at_hand(alone: LedgerOnHand) -> LedgerOnHand:
    """Return a ledger in which every row counts."""
    return alone


@pytest.fixture
def calls(at_hand: LedgerOnHand) -> CallLedger:
    """Return the calls of that ledger."""
    return CallLedger(at_hand.ledger, now=at_hand.clock)


def run(at_hand: LedgerOnHand, task_id: str) -> str:
    """Claim a task; return its fence."""
    fence = f"fence-{task_id}"
    assert at_hand.ledger.claim(task_id, fence, "agent") is not None
    return fence


def call(
    at_hand: LedgerOnHand, calls: CallLedger, caller: str, depth: int = 1, queue: str = "bench"
) -> str:
    """Have a task call another one."""
    at_hand.clock.move(0.001)
    new = new_task(parent_id=caller, queue=queue)
    assert calls.insert(new, depth).is_new
    return new.task_id


def next_of(calls: CallLedger, caller: str, *queues: str) -> str | None:
    """Return what may start that a task waits for."""
    found = calls.next_of(caller, queues or ("bench",))
    return None if found is None else found.task_id


def test_the_same_call_is_one_task(at_hand: LedgerOnHand, calls: CallLedger) -> None:
    """Found in whatever state it is."""
    new = new_task(parent_id=at_hand.add())
    assert calls.insert(new, 3).state is State.QUEUED
    assert at_hand.row(new.task_id).call_depth == 3
    at_hand.finish(new.task_id, run(at_hand, new.task_id), Done("1"))
    again = calls.insert(new, 3)
    assert (again.is_new, again.state) == (False, State.SUCCEEDED)
    assert calls.states([new.task_id, "nobody"]) == {new.task_id: State.SUCCEEDED}


def test_whence_a_task_calls(at_hand: LedgerOnHand, calls: CallLedger) -> None:
    """How deep it is, and which attempt it put off by its own choice."""
    task_id = at_hand.add()
    assert calls.origin(task_id) == Origin(0, None)
    assert calls.origin(call(at_hand, calls, task_id, depth=4)) == Origin(4, None)
    for number, outcome in enumerate([Retry("e", "m"), Snooze(0, INTERRUPTED), Snooze(), Snooze()]):
        fence = f"fence-{number}"
        at_hand.clock.move(1)
        assert at_hand.ledger.claim(task_id, fence, "agent") is not None
        at_hand.defer(task_id, fence, outcome)
        assert calls.origin(task_id).epoch == (fence if number > 1 else None)


def test_the_deepest_comes_first(at_hand: LedgerOnHand, calls: CallLedger) -> None:
    """Then the oldest; only what a queue here has, and what is due."""
    caller = at_hand.add()
    run(at_hand, caller)
    at_hand.add(parent_id=caller)  # it was enqueued, and nobody waits for it
    at_hand.add()
    assert next_of(calls, caller) is None
    first, _second = call(at_hand, calls, caller), call(at_hand, calls, caller)
    assert next_of(calls, caller) == first
    run(at_hand, first)
    elsewhere = call(at_hand, calls, first, 2, queue="lab")
    assert next_of(calls, caller, "lab", "other") == elsewhere
    run(at_hand, elsewhere)
    back = call(at_hand, calls, elsewhere, 3)
    assert next_of(calls, caller) == back
    assert next_of(calls, elsewhere) == back
    at_hand.defer(back, run(at_hand, back), Retry("e", "m", 10))
    assert next_of(calls, caller) != back
    at_hand.clock.move(11)
    assert next_of(calls, caller) == back
    at_hand.cancel(back)
    assert next_of(calls, elsewhere) is None


def test_who_is_stuck(at_hand: LedgerOnHand, calls: CallLedger) -> None:
    """Whose call, or what is below it, has waited for a slot; running is not waiting."""
    caller = at_hand.add()
    run(at_hand, caller)
    child = call(at_hand, calls, caller, queue="lab")
    assert not calls.is_stuck(caller, 5)
    at_hand.clock.move(6)
    assert calls.is_stuck(caller, 5)
    run(at_hand, child)
    assert not calls.is_stuck(caller, 5)
    call(at_hand, calls, child, 2)
    at_hand.clock.move(6)
    assert calls.is_stuck(caller, 5)


def test_what_others_wait_for(at_hand: LedgerOnHand, calls: CallLedger) -> None:
    """As long as they do, and have done so for a while."""
    caller = at_hand.add()
    child = call(at_hand, calls, caller)
    at_hand.add()
    at_hand.clock.move(6)
    assert calls.next_of_others(["bench"], 5) is None  # the caller does not run
    run(at_hand, caller)
    assert calls.next_of_others(["lab"], 5) is None
    assert calls.next_of_others(["bench"], 7) is None
    found = calls.next_of_others(["bench"], 5)
    assert found is not None
    assert found.task_id == child


def test_what_was_run_at_once_has_overtaken_nobody(
    at_hand: LedgerOnHand, calls: CallLedger
) -> None:
    """Its caller did not take a message for it: no other message is lost."""
    caller = at_hand.add(queue="lab")
    run(at_hand, caller)
    run(at_hand, call(at_hand, calls, caller))
    assert set(at_hand.ledger.last_taken()) == {"lab"}
