"""Who is to blame for the death of a process in which one task ran inside of another."""

from collections.abc import Sequence

from datamcp.tasks.ledger import Death
from datamcp.tasks.lost import blame
from datamcp.tasks.outcome import TimedOut
from datamcp.tasks.slots import Held, Order

GRACE = 5.0
NOW = 100.0


def pile(
    *deadlines: float | None, orders: Sequence[Order] = (Order.NONE, Order.NONE, Order.NONE)
) -> list[Held]:
    """Return claims one inside of the other, which began at 50."""
    return [
        Held(0, f"task-{level}", f"fence-{level}", 1, 50.0, deadline, orders[level], level=level)
        for level, deadline in enumerate(deadlines)
    ]


def fates(claims: list[Held]) -> list[Death | TimedOut]:
    """Return what becomes of claims, from below."""
    found = list(blame(claims, NOW, GRACE))
    assert [held for held, _ in found] == claims[::-1]
    return [fate for _, fate in found[::-1]]


def test_the_one_that_ran_is_to_blame() -> None:
    """Those that waited for it did nothing."""
    told = fates(pile(None, 200.0, None))
    assert told == [Death.EXPLAINED, Death.EXPLAINED, Death.ALONE]


def test_nobody_is_where_the_process_was_ended() -> None:
    """On an order to one of them, or as a time was up."""
    for level in range(3):
        orders = [Order.NONE] * 3
        orders[level] = Order.CANCEL
        assert fates(pile(None, None, None, orders=orders)) == [Death.EXPLAINED] * 3
    assert fates(pile(99.0, None, None)) == [Death.EXPLAINED] * 3
    assert fates(pile(None, None, 99.0)) == [Death.EXPLAINED] * 3


def test_who_was_killed_for_its_time_has_timed_out() -> None:
    """After its grace; the lowest one's time is Celery's matter."""
    assert fates(pile(None, 95.0, None)) == [Death.EXPLAINED, TimedOut(45.0), Death.EXPLAINED]
    assert fates(pile(80.0, 96.0, 90.0)) == [Death.EXPLAINED, Death.EXPLAINED, TimedOut(40.0)]
