"""Rounds: how often they are made, and when a lease may be believed to have run out."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datamcp.clock import SystemClock
from datamcp.errors import BackendUnavailable
from datamcp.tasks.reconcile import WINDOW, Sweep
from datamcp.tasks.rounds import (
    HASTE,
    INTERVAL,
    PRUNE_EVERY,
    PRUNED_AT_ONCE,
    SHORTEST,
    Rounds,
    Steps,
    Trust,
    until_next,
)
from datamcp.telemetry import Telemetry

LEASE = 15.0


@pytest.mark.parametrize(
    ("next_due", "seconds"),
    [(None, INTERVAL), (60, INTERVAL), (0.7, 0.7), (0.0, SHORTEST), (-9, SHORTEST)],
)
def test_goes_when_something_falls_due(next_due: float | None, seconds: float) -> None:
    """What falls due before the next round is not late by it; what is overdue does not spin."""
    assert until_next(Sweep(due=0, lost=0, next_due=next_due)) == seconds


def test_waits_as_usual_after_a_round_of_somebody_else() -> None:
    """Who has made no round learns nothing of what falls due."""
    assert until_next(None) == INTERVAL


@pytest.mark.parametrize("sweep", [Sweep(due=0, lost=WINDOW), Sweep(due=WINDOW, lost=0)])
def test_hurries_while_there_is_more_to_send(sweep: Sweep) -> None:
    """After a flush of the broker, the backlog is not sent at a window each two seconds."""
    assert until_next(sweep) == HASTE


@pytest.mark.parametrize("error", [BackendUnavailable("database", "away"), AttributeError("odd")])
def test_no_round_ends_who_makes_it(error: Exception) -> None:
    """A beat lives on after whatever went wrong, and makes its next round as usual."""

    class Failing:
        lease = LEASE

        def free_for(self, _key: str) -> float | None:
            raise error

    parts: Any = {"ledger": Failing(), "reconciler": None, "settler": None}
    rounds = Rounds(**parts, prunes=(), clock=SystemClock(), telemetry=Telemetry())
    assert rounds.go() == INTERVAL
    assert rounds.last is None


@pytest.mark.parametrize(("removed", "has_more"), [((3, 0), False), ((0, PRUNED_AT_ONCE), True)])
def test_pruning_goes_on_soon_where_there_is_more(removed: tuple[int, ...], has_more: bool) -> None:
    """Of whatever kind; else it is its turn again in some minutes."""
    turns: dict[str, float] = {}

    class Turns:
        lease = LEASE

        def free_for(self, _key: str) -> float | None:
            return None

        def instant(self) -> datetime:
            return datetime(2026, 1, 1, tzinfo=UTC)

        def take_turn(self, key: str, seconds: float) -> bool:
            turns[key] = seconds
            return True

        def set_turn(self, key: str, seconds: float) -> None:
            turns[key] = seconds

    class Idle:
        def sweep(self) -> Sweep:
            return Sweep(due=0, lost=0)

    parts: Any = {"ledger": Turns(), "reconciler": Idle(), "settler": None}
    prunes = [lambda _limit, count=count: count for count in removed]
    Rounds(**parts, prunes=prunes, clock=SystemClock(), telemetry=Telemetry()).go()
    assert turns["prune"] == (INTERVAL if has_more else PRUNE_EVERY)


def test_a_clock_that_runs_is_not_stepped() -> None:
    """However long the pauses, and whatever it says at first."""
    steps, began = Steps(LEASE / 4), datetime(2026, 1, 1, tzinfo=UTC)
    for seconds in (0, 2, 4, 600, 86_400):
        assert not steps.look(seconds, began + timedelta(seconds=seconds + 1))


@pytest.mark.parametrize("by", [-3600, -5, 5, 3600])
def test_a_step_is_told_once(by: float) -> None:
    """In whatever direction; from then on the clock runs as before."""
    steps, began = Steps(LEASE / 4), datetime(2026, 1, 1, tzinfo=UTC)
    assert not steps.look(0, began)
    assert steps.look(2, began + timedelta(seconds=2 + by))
    assert not steps.look(4, began + timedelta(seconds=4 + by))


def test_whoever_begins_waits_a_lease() -> None:
    """Nobody can tell it whether the others could renew."""
    trust = Trust(LEASE, is_given=False)
    assert not trust.reach(100.0)
    assert not trust.reach(114.0)
    assert trust.reach(115.0)


def test_whoever_begins_among_others_need_not_wait() -> None:
    """Somebody rescued a moment ago, and so knew that the database was there."""
    assert Trust(LEASE, is_given=True).reach(100.0)


def test_after_an_outage_the_living_renew_first() -> None:
    """Whoever could not reach the database for a lease takes nothing for another one (R7)."""
    trust = Trust(LEASE, is_given=True)
    assert trust.reach(0.0)
    assert trust.reach(15.0)
    assert not trust.reach(30.1)
    assert not trust.reach(45.0)
    assert trust.reach(45.1)


@given(st.lists(st.floats(0.01, 60), max_size=30))
def test_nothing_is_taken_within_a_lease_of_an_outage(pauses: list[float]) -> None:
    """However long the pauses are, what may be taken was renewable for a whole lease."""
    trust, now, back = Trust(LEASE, is_given=True), 0.0, float("-inf")
    trust.reach(now)
    for pause in pauses:
        now += pause
        if pause > LEASE:
            back = now
        assert trust.reach(now) == (now >= back + LEASE)
