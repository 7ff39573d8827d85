"""When a run will probably have ended: its steps' usual lengths, along what waits for what. Pure.

A step takes what it took before (the median), or what other instances of the same step take, or
else what the finished steps of this run took. A step that reports its progress is believed.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from graphlib import TopologicalSorter
from math import ceil
from statistics import median

from datamcp.pipelines.instances import parent_of, with_instances
from datamcp.pipelines.status import PipelineStatus, RunState, StepStatus
from datamcp.tasks.states import FINAL, State

Samples = Mapping[str, Sequence[float]]
"""How long (s) steps took in earlier runs, by step id."""

_GOES_ON = frozenset({RunState.QUEUED, RunState.RUNNING})
_TOLD = 0.05  # the progress from which on it tells something
_OVERDUE = 1.5  # times the longest known length: after that nobody knows

_STEPS = ((120.0, 5), (1_200.0, 30), (3_600.0, 60))
"""To how many seconds an estimate is rounded up, by how far away (s) it is."""
_LONG_STEP = 300


def estimated_completion(
    status: PipelineStatus,
    upstreams: Mapping[str, Iterable[str]],
    past: Samples,
    now: datetime,
    *,
    at_once: int | None = None,
) -> datetime | None:
    """Return when a run will probably end; None if it has ended, is held up, or nobody can tell.

    `upstreams` are those of each step of the definition; `at_once` is how many steps may run at
    the same time. The answer is rounded up: to 5 seconds if it is near, to 5 minutes if it is far.
    """
    if status.state not in _GOES_ON:
        return None
    left = _left(status, past, now)
    if left is None or not left:
        return None
    waits_for = with_instances(upstreams, status.tasks)
    ends: dict[str, float] = {}
    for step_id in TopologicalSorter(waits_for).static_order():
        if step_id in left:
            start = max((ends[up] for up in waits_for[step_id] if up in ends), default=0.0)
            ends[step_id] = start + left[step_id]
    seconds = max(ends.values())
    slots = _slots(status.tasks.values(), at_once)
    if slots is not None:
        seconds = max(seconds, sum(left.values()) / slots)
    begins = max(now, status.scheduled_at or now) if status.state is RunState.QUEUED else now
    return _rounded(begins + timedelta(seconds=seconds), now)


def _left(status: PipelineStatus, past: Samples, now: datetime) -> dict[str, float] | None:
    """Return how long (s) each step that has not ended still takes; None if it is not known."""
    lengths = _Lengths(status, past)
    mapped = {parent_of(step_id) for step_id in status.tasks}
    left: dict[str, float] = {}
    for step_id, step in status.tasks.items():
        if step.state in FINAL:
            continue
        seconds = 0.0 if step_id in mapped else _step_left(step, lengths(step_id), now)
        if seconds is None:
            return None
        left[step_id] = seconds
    return left


class _Lengths:
    """How long steps usually take, from what is most alike."""

    def __init__(self, status: PipelineStatus, past: Samples) -> None:
        self._past = past
        self._alike: dict[str, list[float]] = {}
        self._all: list[float] = []
        for step_id, step in status.tasks.items():
            took = _seconds(step)
            if step.state is State.SUCCEEDED and took is not None:
                self._all.append(took)
                self._alike.setdefault(parent_of(step_id) or step_id, []).append(took)
        self._past_alike: dict[str, list[float]] = {}
        for step_id, lengths in past.items():
            parent = parent_of(step_id)
            if parent is not None:
                self._past_alike.setdefault(parent, []).extend(lengths)

    def __call__(self, step_id: str) -> Sequence[float]:
        """Return lengths (s) of steps like this one; empty if none is known."""
        parent = parent_of(step_id) or step_id
        return (
            self._past.get(step_id)
            or self._alike.get(parent)
            or self._past_alike.get(parent)
            or self._all
        )


def _step_left(step: StepStatus, lengths: Sequence[float], now: datetime) -> float | None:
    if step.state is not State.RUNNING or step.started_at is None:
        return median(lengths) if lengths else None
    elapsed = max(0.0, (now - step.started_at).total_seconds())
    if step.progress is not None and step.progress >= _TOLD:
        return elapsed * max(0.0, 1 - step.progress) / step.progress
    longer = [length for length in lengths if length > elapsed]
    if longer:
        return median(longer) - elapsed
    return 0.0 if lengths and elapsed <= _OVERDUE * max(lengths) else None


def _slots(steps: Iterable[StepStatus], at_once: int | None) -> int | None:
    """Return how many steps run side by side: while some wait for a worker, no more than do now."""
    states = [step.state for step in steps]
    running = states.count(State.RUNNING)
    if running and State.QUEUED in states:
        return running if at_once is None else min(running, at_once)
    return at_once


def _seconds(step: StepStatus) -> float | None:
    if step.started_at is None or step.finished_at is None:
        return None
    return max(0.0, (step.finished_at - step.started_at).total_seconds())


def _rounded(end: datetime, now: datetime) -> datetime:
    away = (end - now).total_seconds()
    step = next((step for limit, step in _STEPS if away < limit), _LONG_STEP)
    return datetime.fromtimestamp(ceil(end.timestamp() / step) * step, UTC)
