"""Leases in the ledger: who renews keeps, who does not loses, and nobody is robbed."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier

import pytest
from support.ledgers import LedgerOnHand

from datamcp.tasks.ledger import LEASE, Death, Hint, Lease, TaskLedger
from datamcp.tasks.outcome import Done, Retry
from datamcp.tasks.states import State


@pytest.fixture
def at_hand(alone: LedgerOnHand) -> LedgerOnHand:
    """Return a ledger in which every row counts."""
    return alone


@pytest.fixture
def ledger(at_hand: LedgerOnHand) -> TaskLedger:
    """Return the ledger itself."""
    return at_hand.ledger


@pytest.fixture
def claims(at_hand: LedgerOnHand, ledger: TaskLedger) -> list[str]:
    """Have three tasks that one agent runs, each under a fence that has its id."""
    ids = [at_hand.add() for _ in range(3)]
    for task_id in ids:
        assert ledger.claim(task_id, f"f-{task_id}", "agent") is not None
    return ids


def rescue(ledger: TaskLedger, limit: int = 100) -> list[Hint]:
    """Give back what has lapsed, in a transaction of its own."""
    with ledger.database.transaction() as connection:
        queued, _ = ledger.give_back(
            connection, ledger.lapsed(connection, limit), Death.WITH_OTHERS
        )
    return queued


def test_a_claim_holds_for_a_lease(at_hand: LedgerOnHand, claims: list[str]) -> None:
    """Not a moment less, and then it can be taken."""
    at_hand.clock.move(LEASE - 0.001)
    assert rescue(at_hand.ledger) == []
    at_hand.clock.move(0.002)
    assert {hint.task_id for hint in rescue(at_hand.ledger)} == set(claims)
    assert {at_hand.row(one).state for one in claims} == {State.QUEUED}


def test_what_is_renewed_stays(at_hand: LedgerOnHand, claims: list[str]) -> None:
    """Exactly the claims that are named are renewed; the answer names them."""
    ledger, (first, second, third) = at_hand.ledger, claims
    at_hand.clock.move(LEASE - 1)
    renewed = ledger.renew("agent", [f"f-{first}", f"f-{second}", "stranger"])
    assert {(lease.task_id, lease.fence) for lease in renewed} == {
        (first, f"f-{first}"),
        (second, f"f-{second}"),
    }
    at_hand.clock.move(2)
    assert [hint.task_id for hint in rescue(ledger)] == [third]


def test_nothing_is_renewed_by_another_agent(at_hand: LedgerOnHand, claims: list[str]) -> None:
    """A fence alone is not enough."""
    assert at_hand.ledger.renew("other", [f"f-{one}" for one in claims]) == []


def test_the_answer_says_what_is_to_be_cancelled(at_hand: LedgerOnHand, claims: list[str]) -> None:
    """A cancel reaches whoever renews, and whoever only asks (R9)."""
    ledger, (first, second, _) = at_hand.ledger, claims
    assert ledger.to_be_cancelled("agent") == set()
    at_hand.cancel(first)
    assert ledger.to_be_cancelled("agent") == {(first, f"f-{first}")}
    assert ledger.to_be_cancelled("other") == set()
    renewed = {
        lease.task_id: lease for lease in ledger.renew("agent", [f"f-{first}", f"f-{second}"])
    }
    assert renewed == {
        first: Lease(first, f"f-{first}", cancel_requested=True),
        second: Lease(second, f"f-{second}", cancel_requested=False),
    }


def test_what_was_rescued_is_not_its_old_workers(at_hand: LedgerOnHand, claims: list[str]) -> None:
    """It can neither renew nor finish it; the new claim can (R1)."""
    ledger, (task_id, *_) = at_hand.ledger, claims
    at_hand.clock.move(LEASE + 1)
    rescue(ledger)
    assert ledger.renew("agent", [f"f-{task_id}"]) == []
    claimed = ledger.claim(task_id, "new", "other")
    assert claimed is not None
    assert claimed.attempt == 1
    assert at_hand.finish(task_id, f"f-{task_id}", Done("1")) is None
    assert at_hand.finish(task_id, "new", Done("2")) is not None


def test_a_late_finish_counts_as_long_as_nobody_came(
    at_hand: LedgerOnHand, claims: list[str]
) -> None:
    """A lease is no guard of a finish: the work is done, so it is not made again (R1)."""
    at_hand.clock.move(LEASE + 1)
    assert at_hand.finish(claims[0], f"f-{claims[0]}", Done("1")) is not None
    assert claims[0] not in {hint.task_id for hint in rescue(at_hand.ledger)}


def test_a_rescue_takes_so_many(at_hand: LedgerOnHand, claims: list[str]) -> None:
    """What is left is the next one's."""
    at_hand.clock.move(LEASE + 1)
    assert len(rescue(at_hand.ledger, 2)) == 2
    assert len(rescue(at_hand.ledger, 2)) == 1
    assert rescue(at_hand.ledger) == []


def test_rescuers_share_the_work(at_hand: LedgerOnHand) -> None:
    """Any number may come at once: each row is given back by one of them (R7)."""
    ledger = at_hand.ledger
    ids = [at_hand.add() for _ in range(40)]
    for task_id in ids:
        ledger.claim(task_id, f"f-{task_id}", "agent")
    at_hand.clock.move(LEASE + 1)
    barrier = Barrier(4)

    def work() -> list[str]:
        barrier.wait(30)
        found: list[str] = []
        while hints := rescue(ledger, 7):
            found += [hint.task_id for hint in hints]
        return found

    with ThreadPoolExecutor(4) as pool:
        found = [
            task_id
            for future in [pool.submit(work) for _ in range(4)]
            for task_id in future.result(60)
        ]
    found += [hint.task_id for hint in rescue(ledger)]
    assert sorted(found) == sorted(ids)


def test_a_cancelled_task_of_a_dead_worker_ends(at_hand: LedgerOnHand, claims: list[str]) -> None:
    """It is not run again only to be stopped (R9)."""
    at_hand.cancel(claims[0])
    at_hand.clock.move(LEASE + 1)
    assert {hint.task_id for hint in rescue(at_hand.ledger)} == set(claims[1:])
    assert at_hand.row(claims[0]).state == State.CANCELLED


def test_a_turn_is_taken_by_one(at_hand: LedgerOnHand, ledger: TaskLedger) -> None:
    """Of many who try at once, one has it; it is free again after its time."""
    barrier = Barrier(6)

    def take() -> bool:
        barrier.wait(30)
        return ledger.take_turn("test", 2.0)

    with ThreadPoolExecutor(6) as pool:
        assert sum(future.result(60) for future in [pool.submit(take) for _ in range(6)]) == 1
    at_hand.clock.move(1.9)
    assert not ledger.take_turn("test", 2.0)
    at_hand.clock.move(0.2)
    assert ledger.take_turn("test", 2.0)
    assert ledger.take_turn("other", 2.0)


def test_a_turn_tells_for_how_long_it_has_been_free(
    at_hand: LedgerOnHand, ledger: TaskLedger
) -> None:
    """So that who comes new knows whether others were at work."""
    assert ledger.free_for("test-free") is None
    ledger.take_turn("test-free", 2.0)
    assert ledger.free_for("test-free") == pytest.approx(-2.0, abs=0.01)
    at_hand.clock.move(5.0)
    assert ledger.free_for("test-free") == pytest.approx(3.0, abs=0.01)
    ledger.set_turn("test", 0.0)
    assert ledger.take_turn("test", 2.0)


def test_knows_what_was_overtaken(at_hand: LedgerOnHand, ledger: TaskLedger) -> None:
    """A row that waits while a later one of its kind runs has lost its message (R4)."""
    early = at_hand.add(queue="passed", priority=3)
    other = at_hand.add(queue="passed", priority=4)
    at_hand.clock.move(10)
    late = at_hand.add(queue="passed", priority=3)
    last = at_hand.add(queue="passed", priority=3)
    assert ledger.last_taken().get("passed") is None
    ledger.claim(late, "f", "agent")
    taken = ledger.last_taken()["passed"]
    assert taken == {3: at_hand.row(late).queued_at}
    found = ledger.queued_before("passed", 3, taken[3], 5.0, 10)
    assert [hint.task_id for hint in found] == [early]
    assert ledger.queued_before("passed", 3, taken[3], 15.0, 10) == []
    ledger.sent_again([hint.task_id for hint in found])
    assert ledger.queued_before("passed", 3, taken[3], 5.0, 10) == []
    assert {other, last}.isdisjoint(hint.task_id for hint in found)


HOUR = 3600.0


def test_leases_of_a_clock_that_was_set_back_have_run_out(alone: LedgerOnHand) -> None:
    """Who lives has renewed its own since; those of the dead would hold for an hour."""
    ledger, clock = alone.ledger, alone.clock
    living, dead = alone.add(), alone.add()
    clock.move(HOUR)
    for task_id in (living, dead):
        ledger.claim(task_id, f"f-{task_id}", task_id)
    clock.move(-HOUR)
    assert len(ledger.renew(living, [f"f-{living}"])) == 1
    assert [hint.task_id for hint in rescue(ledger)] == [dead]


def test_a_turn_of_a_clock_that_was_set_back_is_free(alone: LedgerOnHand) -> None:
    """Else nobody would rescue and sweep for an hour."""
    ledger, clock = alone.ledger, alone.clock
    clock.move(HOUR)
    assert ledger.take_turn("test", 2.0)
    clock.move(-HOUR)
    assert ledger.take_turn("test", 2.0)
    assert not ledger.take_turn("test", 2.0)


def test_what_waits_by_a_clock_that_was_set_back_is_found(alone: LedgerOnHand) -> None:
    """A message that was lost meanwhile is sent again; a retry is made."""
    ledger, clock = alone.ledger, alone.clock
    clock.move(HOUR)
    queued, retried, due = alone.add(), alone.add(), alone.clock.instant + timedelta(seconds=60)
    ledger.claim(retried, "f", "agent")
    alone.defer(retried, "f", Retry("busy", "later", 5))
    later = alone.add(scheduled_at=due)
    clock.move(-HOUR)
    assert [hint.task_id for hint in ledger.queued_longer_than("bench", 5, 10)] == [queued]
    assert [hint.task_id for hint in ledger.release_due(10)] == [retried]
    assert alone.row(later).state == State.SCHEDULED
