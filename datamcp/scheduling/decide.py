"""What is to be done about a schedule at an instant. Pure.

Decided from what is kept of it alone, so that whoever decides again after a crash decides the same,
and makes tasks with the same ids (protocol R21).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from datamcp.scheduling.policy import Misfire, Missed, Overlap, grace, parse_misfire, parse_overlap
from datamcp.scheduling.schedule import Outcome, Schedule
from datamcp.scheduling.timing import Timing

AT_ONCE = 100
"""Times of one schedule that are fired together; the others come next."""
LOOK = timedelta(seconds=1)
"""How often it is looked whether what another time waits for has ended."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What to fire, the oldest first, and what else became of times; then how the schedule goes on.

    With `cancels`, what was fired last is to be cancelled. `due_at` is when it is to be decided
    again; None for never.
    """

    fire: Sequence[datetime]
    left_out: Sequence[tuple[datetime, Outcome]]
    next_fire_at: datetime | None
    buffered_at: datetime | None
    due_at: datetime | None
    cancels: bool = False


def due_at(schedule: Schedule, now: datetime) -> datetime | None:
    """Return when it is next to be decided about a schedule; None for never."""
    if schedule.paused:
        return None
    following = schedule.next_fire_at
    due = None if following is None else schedule.timing.due(following)
    if schedule.buffered_at is None:
        return due
    return now + LOOK if due is None else min(due, now + LOOK)


def needs_last(schedule: Schedule) -> bool:
    """Tell whether it counts that what was fired last has ended."""
    return schedule.fired_id is not None and schedule.spec.overlap != Overlap.ALLOW


def decide(schedule: Schedule, now: datetime, *, is_running: bool) -> Decision:
    """Decide; `is_running` tells that what was fired last has not ended.

    Raises InvalidScheduleError for times that can't be read any more.
    """
    timing, misfire = schedule.timing, parse_misfire(schedule.spec.misfire)
    pending = _pending(timing, schedule.next_fire_at, now, misfire)
    course = _Course(parse_overlap(schedule.spec.overlap), is_running, schedule.buffered_at)
    course.left_out += [(at, Outcome.MISSED) for at in pending.missed]
    course.start_buffered()
    for at in pending.times:
        course.take(at)
    after = schedule.model_copy(
        update={"next_fire_at": pending.following, "buffered_at": course.buffered_at}
    )
    return Decision(
        fire=course.fire,
        left_out=course.left_out,
        next_fire_at=pending.following,
        buffered_at=course.buffered_at,
        due_at=due_at(after, now),
        cancels=course.cancels,
    )


@dataclass(frozen=True, slots=True)
class _Pending:
    """Times that are due and may fire, the first that was missed, and the first still to come."""

    times: Sequence[datetime]
    missed: Sequence[datetime]
    following: datetime | None


def _pending(timing: Timing, first: datetime | None, now: datetime, misfire: Misfire) -> _Pending:
    if first is None or timing.due(first) > now:
        return _Pending((), (), first)
    patience = grace(_distance(timing, first))
    if now - timing.due(first) <= patience:
        times = _some(timing.passed(first, now))
    elif misfire.missed is Missed.SKIP:
        since = max(now - patience - timing.jitter, first - timedelta(microseconds=1))
        times = [
            at for at in _some(timing.passed_since(since, now)) if now - timing.due(at) <= patience
        ]
    else:
        times = timing.newest(first, now, misfire.most)
    missed = () if first in times[:1] else (first,)
    if len(times) > AT_ONCE:
        return _Pending(times[:AT_ONCE], missed, times[AT_ONCE])
    return _Pending(times, missed, _following(timing, times[-1] if times else None, first, now))


def _some(times: object) -> list[datetime]:
    """Return no more times than are taken at once, and the one that follows them."""
    found: list[datetime] = []
    for at in times:  # type: ignore[attr-defined]
        found.append(at)
        if len(found) > AT_ONCE:
            break
    return found


def _distance(timing: Timing, first: datetime) -> timedelta | None:
    following = timing.after(first)
    return None if following is None else following - first


def _following(
    timing: Timing, last: datetime | None, first: datetime, now: datetime
) -> datetime | None:
    """Return the first time that is still to come."""
    if last is not None:
        return timing.after(last)
    at = timing.after(max(first, now - timing.jitter))
    while at is not None and timing.due(at) <= now:
        at = timing.after(at)
    return at


@dataclass(slots=True)
class _Course:
    """Takes the times that may fire, one after the other, as the overlap policy says."""

    overlap: Overlap
    is_running: bool
    buffered_at: datetime | None
    cancels: bool = False
    fire: list[datetime] = field(default_factory=list)
    left_out: list[tuple[datetime, Outcome]] = field(default_factory=list)

    def start_buffered(self) -> None:
        """Fire what waits, if it need not wait any longer."""
        if self.buffered_at is None:
            return
        if self.is_running:
            self.cancels = self.overlap is Overlap.CANCEL_OTHER
            return
        self._fire(self.buffered_at)
        self.buffered_at = None

    def take(self, at: datetime) -> None:
        """Take the next time."""
        if self.overlap is Overlap.ALLOW or not self.is_running:
            self._fire(at)
        elif self.overlap is Overlap.SKIP:
            self.left_out.append((at, Outcome.SKIPPED))
        elif self.overlap is Overlap.CANCEL_OTHER:
            self._replace(at)
        elif self.buffered_at is None:
            self.buffered_at = at
        else:
            self.left_out.append((at, Outcome.SKIPPED))

    def _fire(self, at: datetime) -> None:
        self.fire.append(at)
        self.is_running = True

    def _replace(self, at: datetime) -> None:
        """Have a time wait for the end of what runs, instead of the one that waited before."""
        if self.buffered_at is not None:
            self.left_out.append((self.buffered_at, Outcome.REPLACED))
        self.buffered_at, self.cancels = at, True
