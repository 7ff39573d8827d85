"""Places under limits: never one too many, and nobody is forgotten."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from support.ledgers import LedgerOnHand

from datamcp.tasks.ledger import Claimed, Hint, Settled
from datamcp.tasks.limit import NAP, Limit
from datamcp.tasks.outcome import Done, settle
from datamcp.tasks.places import Freed, Places, Refused
from datamcp.tasks.states import State

ONE, TWO = Limit(max_running=1), Limit(max_running=2)
SLOW = Limit(spacing=10.0)
KEY = "bench.add"


@pytest.fixture
def at_hand(alone: LedgerOnHand) -> LedgerOnHand:
    """Return a ledger in which every row counts."""
    return alone


@pytest.fixture
def places(at_hand: LedgerOnHand) -> Places:
    """Return the places of that ledger."""
    return Places(at_hand.ledger, now=at_hand.clock)


def claim(places: Places, task_id: str, limit: Limit = ONE) -> Claimed | Refused | None:
    """Claim a task under a fence that has its id."""
    return places.claim(task_id, f"f-{task_id}", "agent", KEY, limit)


def end(at_hand: LedgerOnHand, places: Places, task_id: str) -> Freed:
    """End a task, and let in who is next, in one transaction."""
    with at_hand.ledger.database.transaction() as connection:
        settled = at_hand.ledger.finish(connection, task_id, f"f-{task_id}", settle(Done("1")))
        assert isinstance(settled, Settled)
        assert settled.concurrency_key == KEY
        return places.free(connection, [settled.concurrency_key])


def ids(hints: object) -> list[str]:
    """Return the ids of hints."""
    assert isinstance(hints, list)
    return [hint.task_id for hint in hints if isinstance(hint, Hint)]


class TestRunning:
    def test_no_more_than_allowed_start(self, at_hand: LedgerOnHand, places: Places) -> None:
        """The others stay queued, and say what they wait for."""
        first, second, third = (at_hand.add() for _ in range(3))
        assert isinstance(claim(places, first, TWO), Claimed)
        assert isinstance(claim(places, second, TWO), Claimed)
        assert claim(places, third, TWO) == Refused(KEY)
        row = at_hand.row(third)
        assert (row.state, row.blocked_on, row.attempt) == (State.QUEUED, KEY, 0)

    def test_whoever_waits_is_not_taken_for_lost(
        self, at_hand: LedgerOnHand, places: Places
    ) -> None:
        """Its message is gone, and nobody sends another one (R4, R13)."""
        first, second = at_hand.add(), at_hand.add()
        claim(places, first)
        claim(places, second)
        at_hand.clock.move(60)
        assert at_hand.ledger.queued_longer_than("bench", 5, 10) == []

    def test_an_end_lets_the_next_one_in(self, at_hand: LedgerOnHand, places: Places) -> None:
        """The most urgent, and of these the oldest."""
        running = at_hand.add()
        claim(places, running)
        waiting = []
        for priority in (5, 9, 9, 0):
            at_hand.clock.move(1)
            waiting.append(at_hand.add(priority=priority))
            claim(places, waiting[-1])
        let_in = end(at_hand, places, running)
        assert ids(let_in.hints) == [waiting[1]]
        row = at_hand.row(waiting[1])
        assert (row.blocked_on, row.queued_at) == (None, at_hand.clock.instant)
        assert isinstance(claim(places, waiting[1]), Claimed)
        assert ids(end(at_hand, places, waiting[1]).hints) == [waiting[2]]

    def test_whoever_comes_first_takes_a_free_place(
        self, at_hand: LedgerOnHand, places: Places
    ) -> None:
        """One that was let in and comes later waits again, and is not lost."""
        running, waiting, new = (at_hand.add() for _ in range(3))
        claim(places, running)
        claim(places, waiting)
        end(at_hand, places, running)
        assert isinstance(claim(places, new), Claimed)
        assert claim(places, waiting) == Refused(KEY)
        assert ids(end(at_hand, places, new).hints) == [waiting]

    def test_a_repeated_claim_is_the_same(self, at_hand: LedgerOnHand, places: Places) -> None:
        """Also where the place that it asks for is its own (R2)."""
        task_id = at_hand.add()
        first = claim(places, task_id)
        assert isinstance(first, Claimed)
        assert claim(places, task_id) == first
        assert places.claim(task_id, "another", "agent", KEY, ONE) is None

    def test_what_may_not_start_at_all_is_left_alone(
        self, at_hand: LedgerOnHand, places: Places
    ) -> None:
        """An unknown id, and a task that was cancelled while it waited."""
        running, waiting = at_hand.add(), at_hand.add()
        claim(places, running)
        claim(places, waiting)
        assert [one.task_id for one in at_hand.cancel(waiting)] == [waiting]
        assert claim(places, waiting) is None
        assert claim(places, "unknown") is None
        assert end(at_hand, places, running).hints == []

    def test_tasks_that_a_running_one_calls_are_let_in(
        self, at_hand: LedgerOnHand, places: Places
    ) -> None:
        """It may wait for them; also where another task stands between (R19)."""
        root = at_hand.add()
        claim(places, root)
        child = at_hand.add(root_id=root, parent_id=root)
        at_hand.ledger.claim(child, "fence", "agent")
        grandchild = at_hand.add(root_id="elsewhere", parent_id=child)
        stranger = at_hand.add(root_id="elsewhere", parent_id="elsewhere")
        assert isinstance(claim(places, grandchild), Claimed)
        assert claim(places, stranger) == Refused(KEY)

    def test_of_many_workers_no_more_than_allowed_win(
        self, at_hand: LedgerOnHand, places: Places
    ) -> None:
        """Eight threads claim and end thirty tasks: never more than two run, and all run once."""
        left = [at_hand.add() for _ in range(30)]
        lock, running, most, done = threading.Lock(), set[str](), [0], list[str]()

        def work(_number: int) -> None:
            while True:
                with lock:
                    if not left:
                        return
                    task_id = left.pop()
                if not isinstance(claim(places, task_id, TWO), Claimed):
                    continue
                with lock:
                    running.add(task_id)
                    most[0] = max(most[0], len(running))
                    running_now = set(running)
                assert task_id in running_now
                with lock:
                    running.discard(task_id)
                let_in = end(at_hand, places, task_id)
                with lock:
                    done.append(task_id)
                    left.extend(ids([*let_in.hints]))

        with ThreadPoolExecutor(8) as threads:
            list(threads.map(work, range(8)))
        assert most[0] <= 2
        assert len(set(done)) == len(done) == 30


class TestRates:
    def test_starts_are_spaced(self, at_hand: LedgerOnHand, places: Places) -> None:
        """The second waits for its turn, which comes when the time has passed."""
        first, second = at_hand.add(), at_hand.add()
        started = claim(places, first, SLOW)
        assert isinstance(started, Claimed)
        assert started.pause == 0
        assert claim(places, second, SLOW) == Refused(KEY, 10.0 - NAP)
        at_hand.clock.move(9)
        assert places.wake(KEY, SLOW, 64) == Freed([], [(KEY, pytest.approx(1.0 - NAP))])
        at_hand.clock.move(1 - NAP)
        assert ids(places.wake(KEY, SLOW, 64).hints) == [second]
        assert places.wake(KEY, SLOW, 64).hints == []
        later = claim(places, second, SLOW)
        assert isinstance(later, Claimed)
        assert later.pause == pytest.approx(NAP)

    def test_a_slot_waits_for_a_turn_that_comes_at_once(
        self, at_hand: LedgerOnHand, places: Places
    ) -> None:
        """Each gets a turn of its own."""
        fast = Limit(spacing=0.1)
        claims = [claim(places, at_hand.add(), fast) for _ in range(4)]
        pauses = [one.pause for one in claims if isinstance(one, Claimed)]
        assert pauses == [pytest.approx(0.1 * number) for number in range(3)]
        assert isinstance(claims[3], Refused)

    def test_time_that_nobody_used_is_not_made_up_for(
        self, at_hand: LedgerOnHand, places: Places
    ) -> None:
        """After a quiet hour, two starts are as far apart as ever."""
        claim(places, at_hand.add(), SLOW)
        at_hand.clock.move(3600)
        assert isinstance(claim(places, at_hand.add(), SLOW), Claimed)
        assert claim(places, at_hand.add(), SLOW) == Refused(KEY, 10.0 - NAP)

    def test_both_halves_of_a_limit_hold(self, at_hand: LedgerOnHand, places: Places) -> None:
        """A place alone is not enough, nor is a turn; a place that is not got takes no turn."""
        both = Limit(max_running=1, spacing=10.0)
        first, second = at_hand.add(), at_hand.add()
        claim(places, first, both)
        at_hand.clock.move(20)
        assert claim(places, second, both) == Refused(KEY)
        assert ids(end(at_hand, places, first).hints) == [second]
        assert isinstance(claim(places, second, both), Claimed)
        third = at_hand.add()
        claim(places, third, both)
        freed = end(at_hand, places, second)
        assert freed == Freed([], [(KEY, pytest.approx(10.0 - NAP))])


class TestSweeps:
    def test_those_who_were_forgotten_are_found(
        self, at_hand: LedgerOnHand, places: Places
    ) -> None:
        """By limit; and as many are let in as there is room for, less those on their way."""
        for key in ("b", "a", "c"):
            running, waiting = at_hand.add(), at_hand.add(task_type=f"bench.{key}")
            places.claim(running, f"f-{running}", "agent", key, ONE)
            places.claim(waiting, f"f-{waiting}", "agent", key, ONE)
        assert places.waiting("", 2) == [("a", "bench.a"), ("b", "bench.b")]
        assert places.waiting("b", 2) == [("c", "bench.c")]
        assert places.waiting("c", 2) == []
        assert places.wake("a", ONE, 64).hints == []
        assert len(places.wake("a", TWO, 64).hints) == 1
        assert places.kind_waiting("b") == "bench.b"
        assert places.kind_waiting("a") is None

    def test_where_the_limit_is_gone_all_are_let_in(
        self, at_hand: LedgerOnHand, places: Places
    ) -> None:
        """Once a new version does not have it any more."""
        claim(places, at_hand.add())
        for _ in range(3):
            claim(places, at_hand.add())
        assert len(places.wake(KEY, None, 2).hints) == 2

    def test_rows_of_unused_limits_are_removed(self, at_hand: LedgerOnHand, places: Places) -> None:
        """After an hour, and then the limit holds as before."""
        first, second = at_hand.add(), at_hand.add()
        claim(places, first)
        at_hand.clock.move(3601)
        assert places.tidy(10) == 1
        assert places.tidy(10) == 0
        assert claim(places, second) == Refused(KEY)
