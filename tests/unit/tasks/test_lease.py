"""The keeper of leases: it renews what is held, and ends what does not end by itself."""

from dataclasses import dataclass, field

import pytest

from datamcp.errors import BackendUnavailable
from datamcp.tasks.lease import KILL, LOOK, PATIENCE, Keeper
from datamcp.tasks.ledger import Lease
from datamcp.tasks.slots import Held, Order, Slot, SlotTable
from datamcp.telemetry import Telemetry


class HandClock:
    """A clock that moves by hand."""

    def __init__(self) -> None:
        """Start at a thousand."""
        self.time = 1000.0

    def monotonic(self) -> float:
        """Return the time."""
        return self.time


@dataclass
class Claims:
    """The ledger's side: which claims are in force, and which are to be cancelled."""

    in_force: set[tuple[str, str]] = field(default_factory=set)
    cancelled: set[tuple[str, str]] = field(default_factory=set)
    renewals: list[list[str]] = field(default_factory=list)
    is_away: bool = False
    lease: float = 15.0

    def renew(self, _agent_id: str, fences: list[str]) -> list[Lease]:
        """Renew what is in force."""
        self._answer()
        self.renewals.append(fences)
        return [
            Lease(task_id, fence, (task_id, fence) in self.cancelled)
            for task_id, fence in sorted(self.in_force)
            if fence in fences
        ]

    def to_be_cancelled(self, _agent_id: str) -> set[tuple[str, str]]:
        """Return what is to be cancelled."""
        self._answer()
        return self.cancelled

    def _answer(self) -> None:
        if self.is_away:
            raise BackendUnavailable("database", "away")


@dataclass
class Ends:
    """Notes what was ended."""

    dead: set[int] = field(default_factory=set)
    ended: list[tuple[str, bool]] = field(default_factory=list)
    overdues: list[str] = field(default_factory=list)

    def is_alive(self, pid: int) -> bool:
        """Tell whether nobody has said otherwise."""
        return pid not in self.dead

    def end(self, held: Held, *, at_once: bool) -> None:
        """Note it."""
        self.ended.append((held.task_id, at_once))

    def overdue(self, held: Held) -> None:
        """Note it."""
        self.overdues.append(held.task_id)


class Watched:
    """A keeper with one slot, and all that it deals with."""

    def __init__(self) -> None:
        """Hold one claim that is in force."""
        self.clock, self.claims, self.ends = HandClock(), Claims(), Ends()
        self.table = SlotTable(4)
        self.slot = Slot(self.table, 0)
        self.keeper = Keeper(
            "agent",
            table=self.table,
            leases=self.claims,
            force=self.ends,
            clock=self.clock,
            telemetry=Telemetry(),
        )
        self.hold("task", "fence")

    def hold(self, task_id: str, fence: str, timeout: float | None = None) -> None:
        """Begin a claim in the slot."""
        now = self.clock.time
        self.claims.in_force = {(task_id, fence)}
        self.slot.hold(
            task_id, fence, since=now, deadline=None if timeout is None else now + timeout
        )

    def look(self, seconds: float = 0.0) -> None:
        """Let time pass, with a look each second."""
        end = self.clock.time + seconds
        self.keeper.look()
        while self.clock.time < end:
            self.clock.time += LOOK
            self.keeper.look()


@pytest.fixture
def watched() -> Watched:
    """Return a keeper at work."""
    return Watched()


def test_renews_often_enough(watched: Watched) -> None:
    """A lease is renewed at once, and then four times in its length: three may be late or lost."""
    watched.look(15)
    assert len(watched.claims.renewals) == 4
    assert watched.ends.ended == []


def test_asks_nothing_while_nothing_runs(watched: Watched) -> None:
    """An idle worker costs the database nothing."""
    watched.slot.release()
    watched.claims.is_away = True
    watched.look(60)
    assert watched.claims.renewals == []


def test_a_dead_process_is_not_renewed(watched: Watched) -> None:
    """What its child cannot do any more, another worker may."""
    watched.ends.dead = {watched.table.held()[0].pid}
    watched.look(30)
    assert watched.claims.renewals == []


def test_a_cancel_is_told_then_enforced(watched: Watched) -> None:
    """The task sees it within a second, its process is ended after some, and killed after more."""
    watched.look(1)
    watched.claims.cancelled = {("task", "fence")}
    watched.look(1)
    assert watched.slot.order is Order.CANCEL
    assert watched.ends.ended == []
    watched.look(PATIENCE)
    assert watched.ends.ended == [("task", False)]
    watched.look(KILL + 1)
    assert watched.ends.ended[:2] == [("task", False), ("task", True)]


def test_a_cancel_meets_nobody_else_of_the_same_fence(watched: Watched) -> None:
    """Tasks that were claimed together share it; the one that is meant may not have begun."""
    watched.claims.in_force = {("task", "fence"), ("later", "fence")}
    watched.claims.cancelled = {("later", "fence")}
    watched.look(1)
    watched.look(10)
    assert watched.slot.order is Order.NONE
    assert watched.ends.ended == []


def test_a_lost_claim_is_stopped(watched: Watched) -> None:
    """Nothing that it does counts any more, so it shall not go on beside its successor."""
    watched.claims.in_force = set()
    watched.look(5)
    assert watched.slot.order is Order.STOP
    assert ("task", False) in watched.ends.ended


def test_who_comes_next_in_the_slot_is_not_ended(watched: Watched) -> None:
    """The order was for the claim before, which ended in time."""
    watched.claims.cancelled = {("task", "fence")}
    watched.look(1)
    assert watched.slot.order is Order.CANCEL
    watched.hold("next", "other")
    watched.look(30)
    assert watched.slot.order is Order.NONE
    assert watched.ends.ended == []


def test_an_outage_ends_nothing(watched: Watched) -> None:
    """Without an answer, nobody can say that a claim is lost; what was told before is enforced."""
    watched.claims.is_away = True
    for _ in range(60):
        watched.clock.time += LOOK
        with pytest.raises(BackendUnavailable):
            watched.keeper.look()
    assert watched.ends.ended == []
    watched.claims.is_away = False
    watched.look(1)
    assert watched.claims.renewals == [["fence"]]


def test_a_cancel_is_enforced_during_an_outage(watched: Watched) -> None:
    """It was asked for and told; the database is not needed to end the process."""
    watched.claims.cancelled = {("task", "fence")}
    watched.look()
    watched.claims.is_away = True
    for _ in range(5):
        watched.clock.time += LOOK
        with pytest.raises(BackendUnavailable):
            watched.keeper.look()
    assert watched.ends.ended == [("task", False)]


def test_whose_time_is_up_is_reported(watched: Watched) -> None:
    """Where a pool can't end a task, its timeout is written all the same."""
    watched.hold("task", "fence", timeout=3.0)
    watched.look(3)
    assert watched.ends.overdues == []
    watched.look(1)
    assert set(watched.ends.overdues) == {"task"}


def test_what_runs_inside_of_a_task_is_kept_like_it(watched: Watched) -> None:
    """Both are renewed; an order reaches the one that it is for, and so does a timeout."""
    inner = watched.slot.above()
    inner.hold("inner", "other", since=0.0, deadline=watched.clock.time + 8.0)
    watched.claims.in_force = {("task", "fence"), ("inner", "other")}
    watched.look(1)
    assert watched.claims.renewals == [["fence", "other"]]
    watched.claims.cancelled = {("inner", "other")}
    watched.look(2)
    assert (watched.slot.order, inner.order) == (Order.NONE, Order.CANCEL)
    assert watched.ends.overdues == []
    watched.look(6)
    assert ("inner", False) in watched.ends.ended
    assert set(watched.ends.overdues) == {"inner"}
