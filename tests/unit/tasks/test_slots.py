"""The slot table: what one process writes, the others read; an order reaches one claim only."""

import os
import signal
from multiprocessing import get_context
from threading import Event, Thread
from time import monotonic

import pytest

from datamcp.tasks.slots import LEVELS, Held, Order, Slot, SlotTable

FORK = get_context("fork")
FENCE = "f" * 32


def held(table: SlotTable) -> Held:
    """Return the one claim that is held."""
    (one,) = table.held()
    return one


def take(slot: Slot, task_id: str = "task", fence: str = FENCE) -> None:
    """Hold a claim."""
    slot.hold(task_id, fence, since=1.0, deadline=None)


@pytest.mark.parametrize(
    "task_id", ["t", "x" * 255, "\N{SNOWMAN}" * 255, "\N{GRINNING FACE}" * 255]
)
def test_shows_what_is_held(task_id: str) -> None:
    """Ids of any length and alphabet come back as they were, with their times."""
    table = SlotTable(4)
    with table.slot(2) as slot:
        slot.hold(task_id, FENCE, since=12.5, deadline=20.0)
        assert held(table) == Held(2, task_id, FENCE, os.getpid(), 12.5, 20.0, Order.NONE)
        slot.release()
        assert table.held() == []


def test_other_processes_see_it() -> None:
    """What a child writes, its parent reads, and the child reads the parent's order."""
    table = SlotTable(2)
    ready, told = FORK.Event(), FORK.Event()

    def work() -> None:
        with table.slot(1) as slot:
            take(slot)
            ready.set()
            told.wait(30)
            os._exit(int(slot.order))

    child = FORK.Process(target=work, daemon=True)
    child.start()
    assert ready.wait(30)
    assert held(table).pid == child.pid
    assert table.tell(held(table), Order.CANCEL)
    told.set()
    child.join(30)
    assert child.exitcode == Order.CANCEL


def test_an_order_is_for_one_claim_alone() -> None:
    """Who comes next in the slot is not told what was meant for the one before."""
    table = SlotTable(1)
    with table.slot(0) as slot:
        take(slot)
        first = held(table)
        assert table.tell(first, Order.STOP)
        assert slot.order is Order.STOP
        take(slot, fence="g" * 32)
        assert slot.order is Order.NONE
        assert first not in table
        assert not table.tell(first, Order.STOP)
        assert slot.order is Order.NONE


def test_a_process_that_dies_while_it_writes_spoils_nothing() -> None:
    """Killed at any moment, it leaves an entry that is whole, old or none; the next one can write."""
    table = SlotTable(1)

    def work() -> None:
        with table.slot(0) as slot:
            while True:
                take(slot, "a" * 255, "a" * 32)
                take(slot, "b" * 200, "b" * 32)

    for _ in range(20):
        child = FORK.Process(target=work, daemon=True)
        child.start()
        try:
            for _ in range(200):
                assert all(set(one.task_id) == set(one.fence) for one in table.held())
        finally:
            os.kill(child.pid or 0, signal.SIGKILL)
            child.join()
        with table.slot(0) as slot:
            take(slot, "c" * 9, "c" * 32)
            assert held(table).task_id == "c" * 9


def test_threads_get_slots_of_their_own() -> None:
    """Where a process has many slots, no two threads share one, and what is free is used again."""
    table = SlotTable(8)
    inside, leave, numbers = [Event() for _ in range(4)], Event(), []

    def work(number: int) -> None:
        with table.slot(None) as slot:
            numbers.append(slot.number)
            inside[number].set()
            leave.wait(30)

    threads = [Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    assert all(event.wait(30) for event in inside)
    leave.set()
    for thread in threads:
        thread.join(30)
    assert len(set(numbers)) == 4
    with table.slot(None) as slot:
        assert slot.number == 0


def test_a_suspect_waits_until_it_is_alone() -> None:
    """It starts when the others are done, and nothing else starts before it has ended."""
    table = SlotTable(4)
    with table.slot(0) as other, table.slot(1) as slot:
        take(other, "other")
        take(slot, "suspect")
        pauses = []

        def pause() -> None:
            assert not other.may_begin()
            pauses.append(1)
            if len(pauses) == 3:
                other.release()

        with slot.alone(pause) as is_alone:
            assert is_alone
            assert slot.may_begin()
            assert not other.may_begin()
        assert other.may_begin()
        assert len(pauses) == 3


def test_of_two_suspects_one_gives_way() -> None:
    """The second is told at once, and does not wait for the first one's end."""
    table = SlotTable(4)
    with table.slot(0) as first, table.slot(1) as second:
        take(first)
        with first.alone(lambda: None) as is_alone:
            assert is_alone
            take(second, "second")
            with second.alone(lambda: None) as is_second:
                assert not is_second
            second.release()
            assert not second.may_begin()


def test_the_end_of_a_lonely_process_frees_the_others() -> None:
    """A suspect's process that dies does not hold its worker up for ever."""
    table = SlotTable(4)
    with table.slot(0) as slot, table.slot(1) as other:
        take(slot)
        table.be_alone(0, wanted=True)
        assert not other.may_begin()
        slot.release()  # as the process does that follows in this slot
        assert other.may_begin()


def test_nobody_is_alone_with_what_comes_next() -> None:
    """A suspect that has ended, or whose process was replaced, leaves the worker to all."""
    table = SlotTable(4)
    with table.slot(0) as slot, table.slot(1) as other:
        slot.hold("suspect", "fence", since=0.0, deadline=None)
        with slot.alone(lambda: None) as is_alone:
            assert is_alone
            assert not other.may_begin()
            slot.release()
        slot.hold("another", "fence-2", since=0.0, deadline=None)
        assert other.may_begin()
        table.be_alone(0, wanted=True)  # and then it was killed
        slot.release()
        slot.hold("a third", "fence-3", since=0.0, deadline=None)
        assert other.may_begin()


def test_a_slot_shows_what_runs_inside_of_its_task() -> None:
    """From below, with an order for each; up to what has ended."""
    table = SlotTable(4)
    other, slot = Slot(table, 1), Slot(table, 2)
    inner = slot.above()
    take(other, "other")
    take(slot, "outer", "1" * 32)
    take(inner, "inner", "2" * 32)
    innermost = inner.above()
    take(innermost, "innermost", "3" * 32)
    assert [(one.slot, one.level, one.task_id) for one in table.held()] == [
        (1, 0, "other"),
        (2, 0, "outer"),
        (2, 1, "inner"),
        (2, 2, "innermost"),
    ]
    assert [one.task_id for one in table.find("1" * 32)] == ["outer", "inner", "innermost"]
    assert table.find("2" * 32) == []
    assert table.tell(table.find("1" * 32)[1], Order.CANCEL)
    assert (slot.order, inner.order, innermost.order) == (Order.NONE, Order.CANCEL, Order.NONE)
    innermost.release()
    inner.release()
    assert [one.task_id for one in table.held()] == ["other", "outer"]


def test_the_last_slot_and_level_have_room() -> None:
    """Where the table ends, the mark of who is alone begins."""
    table = SlotTable(2)
    slot = bottom = Slot(table, 1)
    take(slot)
    for _ in range(LEVELS - 1):
        slot = slot.above()
        take(slot)
    table.be_alone(1, wanted=True)
    assert len(table.held()) == LEVELS
    assert table.alone() == 1
    assert len(bottom.clear()) == LEVELS
    assert table.held() == []


def test_what_is_left_behind_is_cleared_by_who_comes_next() -> None:
    """A process that ends while something runs inside of its task leaves what its slot shows."""
    table = SlotTable(2)
    slot = Slot(table, 0)
    take(slot, "outer")
    take(slot.above(), "inner")
    slot.is_left = True
    slot.release()
    assert [one.task_id for one in Slot(table, 0).clear()] == ["outer", "inner"]
    assert table.held() == []


def test_whose_time_is_up() -> None:
    """That of a message's task, whenever the pool says so; inside of it, by the deadline."""
    table = SlotTable(1)
    slot = Slot(table, 0)
    assert slot.is_out_of_time
    inner = slot.above()
    assert not inner.is_out_of_time
    inner.hold("inner", FENCE, since=0.0, deadline=monotonic() + 60)
    assert not inner.is_out_of_time
    inner.hold("inner", FENCE, since=0.0, deadline=monotonic())
    assert inner.is_out_of_time
