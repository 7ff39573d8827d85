"""What is to be done about a schedule: every time is accounted for, once, whatever happens when."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datamcp import Task
from datamcp.errors import InvalidScheduleError
from datamcp.scheduling.decide import AT_ONCE, LOOK, Decision, decide, due_at, needs_last
from datamcp.scheduling.schedule import Outcome, Schedule, spec_of
from datamcp.scheduling.target import TaskTarget

START = datetime(2026, 5, 1, 12, tzinfo=UTC)
TARGET = TaskTarget(task=Task(task_type="calc.add"))


def made(schedule: str = "every 10s", **fields: Any) -> Schedule:
    """Return a schedule that was made at the start."""
    state = {name: fields.pop(name) for name in tuple(fields) if name in Schedule.model_fields}
    new = Schedule(
        schedule_id="one",
        spec=spec_of(schedule=schedule, **fields),
        target=TARGET,
        created_at=START,
        updated_at=START,
    )
    return new.model_copy(update={"next_fire_at": new.timing.after(START), **state})


def second(number: float) -> datetime:
    """Return the instant so many seconds after the start."""
    return START + timedelta(seconds=number)


def seconds(times: Any) -> list[float]:
    """Return how many seconds after the start some times are."""
    return [(at - START).total_seconds() for at in times]


def follow(schedule: Schedule, decision: Decision) -> Schedule:
    """Return a schedule after a decision."""
    changes: dict[str, Any] = {
        "next_fire_at": decision.next_fire_at,
        "buffered_at": decision.buffered_at,
    }
    if decision.fire:
        changes["fired_id"] = str(decision.fire[-1])
    return schedule.model_copy(update=changes)


class TestOnTime:
    def test_what_is_due_fires(self) -> None:
        """And the schedule goes on with the next time."""
        decision = decide(made(), second(10), is_running=False)
        assert seconds(decision.fire) == [10]
        assert decision.next_fire_at == decision.due_at == second(20)

    def test_nothing_is_due_too_early(self) -> None:
        """Then nothing changes."""
        decision = decide(made(), second(9.9), is_running=False)
        assert not decision.fire
        assert decision.due_at == second(10)

    def test_all_that_came_within_its_grace_fire(self) -> None:
        """A beat that is a little late has missed nothing, whatever the policy."""
        for misfire in ("skip", "fire_once", "catch_up:1"):
            decision = decide(made("every 1s", misfire=misfire), second(3), is_running=False)
            assert seconds(decision.fire) == [1, 2, 3]
            assert not decision.left_out

    def test_one_instant_fires_once(self) -> None:
        """Then the schedule is over."""
        one = made("2026-05-01T12:00:30Z")
        decision = decide(one, second(31), is_running=False)
        assert seconds(decision.fire) == [30]
        assert (decision.next_fire_at, decision.due_at) == (None, None)
        assert not decide(follow(one, decision), second(99), is_running=False).fire

    def test_the_end_is_the_last(self) -> None:
        """A time at the very end still fires, none after it does."""
        decision = decide(made(end=second(20), misfire="catch_up"), second(500), is_running=False)
        assert seconds(decision.fire) == [10, 20]
        assert decision.next_fire_at is None

    def test_intervals_are_counted_from_the_start(self) -> None:
        """It is the first time; before it there is none."""
        one = made("every 10s", start=second(3))
        assert one.next_fire_at == second(3)
        assert decide(one, second(3), is_running=False).next_fire_at == second(13)


class TestMissed:
    def test_skip_fires_none_of_them(self) -> None:
        """But what is not late yet; one record stands for those that were missed."""
        decision = decide(made(misfire="skip"), second(105), is_running=False)
        assert seconds(decision.fire) == [100]
        assert decision.left_out == [(second(10), Outcome.MISSED)]
        assert decision.next_fire_at == second(110)

    def test_skip_may_have_nothing_to_fire(self) -> None:
        """Where the next time is still to come."""
        decision = decide(made("0 * * * *", misfire="skip"), second(7200 - 600), is_running=False)
        assert not decision.fire
        assert decision.next_fire_at == second(7200)

    def test_fire_once_fires_the_last(self) -> None:
        """However many they were."""
        decision = decide(made(), second(10_000_005), is_running=False)
        assert seconds(decision.fire) == [10_000_000]
        assert decision.left_out == [(second(10), Outcome.MISSED)]

    def test_a_single_one_is_fired_late(self) -> None:
        """It is the last one that was missed; nothing was left out."""
        decision = decide(made("0 * * * *"), second(3600 + 1800), is_running=False)
        assert seconds(decision.fire) == [3600]
        assert not decision.left_out

    def test_catch_up_fires_the_newest(self) -> None:
        """No more than it says."""
        decision = decide(made(misfire="catch_up:3"), second(105), is_running=False)
        assert seconds(decision.fire) == [80, 90, 100]
        assert decision.left_out == [(second(10), Outcome.MISSED)]

    def test_many_are_fired_in_portions(self) -> None:
        """Each time once, in order, and those that come meanwhile too."""
        one, now, fired = made("every 1s", misfire="catch_up"), 333.0, []
        is_behind = True
        while is_behind:
            decision = decide(one, second(now), is_running=False)
            assert len(decision.fire) <= AT_ONCE
            assert not decision.left_out
            fired += seconds(decision.fire)
            is_behind = decision.next_fire_at is None or decision.next_fire_at <= second(now)
            one, now = follow(one, decision), now + 1
        assert fired == [float(number) for number in range(1, len(fired) + 1)]
        assert len(fired) >= 333


class TestOverlap:
    def test_both_may_run(self) -> None:
        """Unless somebody says otherwise; nobody asks whether the other has ended."""
        one = made(fired_id="before")
        assert not needs_last(one)
        assert needs_last(made(overlap="skip", fired_id="before"))
        assert not needs_last(made(overlap="skip"))
        assert seconds(decide(one, second(10), is_running=True).fire) == [10]

    def test_skip_leaves_the_new_one_out(self) -> None:
        """The time is noted as skipped, and the next one has its chance."""
        decision = decide(made(overlap="skip", fired_id="x"), second(10), is_running=True)
        assert not decision.fire
        assert decision.left_out == [(second(10), Outcome.SKIPPED)]
        assert decision.next_fire_at == second(20)

    def test_one_waits(self) -> None:
        """It starts once the other has ended; others that come meanwhile are left out."""
        one = made("every 1s", overlap="buffer_one", fired_id="x")
        first = decide(one, second(1), is_running=True)
        assert (first.fire, first.buffered_at) == ([], second(1))
        waiting = follow(one, first)
        later = decide(waiting, second(2), is_running=True)
        assert (later.fire, later.buffered_at) == ([], second(1))
        assert later.left_out == [(second(2), Outcome.SKIPPED)]
        ended = decide(follow(waiting, later), second(2.5), is_running=False)
        assert (seconds(ended.fire), ended.buffered_at) == ([1], None)

    def test_it_is_looked_after_what_waits(self) -> None:
        """Every second, also where the next time is far away, or there is none."""
        one = made("0 0 * * *", overlap="buffer_one", fired_id="x", buffered_at=second(0))
        assert decide(one, second(5), is_running=True).due_at == second(5) + LOOK
        over = one.model_copy(update={"next_fire_at": None})
        assert decide(over, second(5), is_running=True).due_at == second(5) + LOOK
        assert decide(over, second(5), is_running=False).due_at is None

    def test_the_other_is_cancelled(self) -> None:
        """The newest time waits until it has ended; what waited before is replaced."""
        one = made(overlap="cancel_other", fired_id="x")
        first = decide(one, second(10), is_running=True)
        assert (first.fire, first.buffered_at, first.cancels) == ([], second(10), True)
        again = decide(follow(one, first), second(20), is_running=True)
        assert (again.buffered_at, again.cancels) == (second(20), True)
        assert again.left_out == [(second(10), Outcome.REPLACED)]
        only_look = decide(follow(one, again), second(21), is_running=True)
        assert (only_look.buffered_at, only_look.cancels) == (second(20), True)
        ended = decide(follow(one, again), second(22), is_running=False)
        assert (seconds(ended.fire), ended.cancels) == ([20], False)

    def test_what_is_caught_up_overlaps_too(self) -> None:
        """The first one runs, and so the others are left out."""
        one = made("every 1s", overlap="skip", misfire="catch_up")
        decision = decide(one, second(50), is_running=False)
        assert seconds(decision.fire) == [1]
        assert len(decision.left_out) == 49


class TestPaused:
    def test_it_is_never_due(self) -> None:
        """Nor is one that is over."""
        assert due_at(made(paused=True), START) is None
        assert due_at(made(next_fire_at=None), START) is None
        assert due_at(made(), START) == second(10)


def test_jitter_moves_each_time_by_as_much_each_time() -> None:
    """Within its bounds, otherwise for each schedule, and never the time that the task sees."""
    one = made("0 * * * *", jitter=600)
    due = due_at(one, START)
    assert due is not None
    assert second(3600) < due < second(3600 + 600)
    assert due == due_at(one, second(77))
    other = one.model_copy(update={"schedule_id": "other"})
    assert due_at(other, START) != due
    assert not decide(one, due - timedelta(milliseconds=1), is_running=False).fire
    assert decide(one, due, is_running=False).fire == [second(3600)]


def test_times_that_can_t_be_read_any_more_are_an_error() -> None:
    """Such as those of a zone that is gone from the machine."""
    one = made()
    broken = one.model_copy(
        update={"spec": one.spec.model_copy(update={"timezone": "Mars/Olympus"})}
    )
    with pytest.raises(InvalidScheduleError, match="Mars/Olympus"):
        decide(broken, second(10), is_running=False)


def looks(pauses: list[float]) -> Iterator[float]:
    """Yield the seconds at which it is looked."""
    now = 0.0
    for pause in pauses:
        now += pause
        yield now


@given(
    period=st.sampled_from(["every 1s", "every 7s", "every 2m", "* * * * *", "*/7 * * * *"]),
    pauses=st.lists(st.floats(0.001, 400), min_size=1, max_size=40),
    misfire=st.sampled_from(["skip", "fire_once", "catch_up", "catch_up:5"]),
    overlap=st.sampled_from(["allow", "skip", "buffer_one", "cancel_other"]),
    jitter=st.sampled_from([0, 0.5, 30]),
    ends=st.lists(st.booleans(), min_size=40, max_size=40),
)
def test_every_time_is_accounted_for_once(
    period: str,
    pauses: list[float],
    misfire: str,
    overlap: str,
    jitter: float,
    ends: list[bool],
) -> None:
    """Fired, left out, waiting, or in a row of missed ones that a record begins; none twice."""
    one = made(period, misfire=misfire, overlap=overlap, jitter=jitter)
    fired: list[datetime] = []
    out: list[tuple[datetime, Outcome]] = []
    now = 0.0
    for now, has_ended in zip(looks(pauses), ends, strict=False):
        decision = decide(one, second(now), is_running=bool(one.fired_id) and not has_ended)
        assert decide(one, second(now), is_running=bool(one.fired_id) and not has_ended) == decision
        assert all(at <= second(now) for at in decision.fire)
        fired += decision.fire
        out += decision.left_out
        one = follow(one, decision)
    assert fired == sorted(fired)
    seen = [*fired, *(at for at, _ in out), *([one.buffered_at] if one.buffered_at else [])]
    assert len(seen) == len(set(seen))
    assert all(at <= second(now) for at in seen)
    assert one.next_fire_at is not None
    if misfire == "catch_up":
        every = list(one.timing.passed(made(period).next_fire_at or START, second(now)))
        left = [at for at in every if at < one.next_fire_at]
        missed = {at for at, outcome in out if outcome is Outcome.MISSED}
        assert len(left) > 1000 or not missed
        assert missed or set(left) == set(seen)
    if overlap == "allow" and misfire != "catch_up":
        steps = [after - before for before, after in pairwise(fired)]
        assert all(step > timedelta() for step in steps)
