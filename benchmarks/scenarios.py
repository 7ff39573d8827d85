"""What is measured: one row of a table for each scenario, and how it is played.

To play a scenario is to have one side do its work once, to check that every task was executed
exactly once and that its result is right, and to return the laps in seconds.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from uuid import uuid4

from benchmarks.measure import Measure, Target
from benchmarks.meter import Meter
from benchmarks.rival import Layers, Pool, Rival, numbered
from benchmarks.tally import WrongResultError, check_layers, check_once

_WARM = 10  # one in so many executions of a drain is not timed: those that were fetched before
_FIRST_HOLD = -1  # holds count down from here


@dataclass(frozen=True, slots=True)
class Size:
    """How much is done in one round.

    `count` tasks, or calls; or so many runs of `layers`.
    """

    count: int
    layers: Layers = ()

    @property
    def tasks(self) -> int:
        """How many tasks that is, without what one side alone needs."""
        return self.count * max(sum(self.layers), 1)

    def __str__(self) -> str:
        """Return what a round is, as it is shown."""
        runs = "run" if self.count == 1 else "runs"
        return f"{self.count} {runs} of {sum(self.layers)}" if self.layers else f"{self.count}"


Laps = Sequence[float]
Play = Callable[[Rival, Size, Meter], Laps]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """One thing to measure.

    The laps of a round are summed up as one cost: seconds of one task if it is a `rate`, else of
    the median lap.
    """

    name: str
    title: str
    play: Play
    size: Size
    quick: Size
    target: Target
    pool: Pool = "prefork"
    is_rate: bool = False
    note: str = ""

    def cost(self, laps: Laps) -> float:
        """Return the cost of one round."""
        return median(laps)


# How they are played.


def enqueue(rival: Rival, size: Size, meter: Meter) -> Laps:
    """Time calls that send one task each, while the worker's slots are busy."""
    return _fill(rival, size, meter, rival.enqueue)


def enqueue_many(rival: Rival, size: Size, meter: Meter) -> Laps:
    """Time what sends many tasks at once."""
    return _fill(rival, size, meter, rival.enqueue_many)


def _fill(
    rival: Rival, size: Size, meter: Meter, send: Callable[[Sequence[int]], Sequence[object]]
) -> Laps:
    reserve = rival.host.reserve
    spare, numbers = range(reserve), range(reserve, reserve + size.count)
    with held(rival) as block:
        kept = rival.enqueue(spare)
        rival.host.await_reserve()  # it must not fetch while we send
        with meter.section():
            began = time.perf_counter()
            handles = send(numbers)
            seconds = time.perf_counter() - began
        ids = [*rival.ids(kept), *rival.ids(handles)]
        del kept, handles
        block.release([*spare, *numbers], ids)
    return [seconds / size.count]


def drain(rival: Rival, size: Size, meter: Meter) -> Laps:
    """Time a backlog of no-ops: from the first executions to the last."""
    return _drain(rival, size, meter, rival.enqueue)


def drain_tiny(rival: Rival, size: Size, meter: Meter) -> Laps:
    """Time a backlog of no-ops that may travel together."""
    return _drain(rival, size, meter, rival.enqueue_tiny)


def _drain(
    rival: Rival, size: Size, meter: Meter, send: Callable[[Sequence[int]], Sequence[object]]
) -> Laps:
    numbers = range(size.count)
    with held(rival) as block:
        ids = rival.ids(send(numbers))
        with meter.section():
            block.release(numbers, ids)
    times = sorted(each.at for each in rival.host.tally.since(block.mark) if each.number >= 0)
    skipped = len(times) // _WARM
    return [(times[-1] - times[skipped]) / (len(times) - 1 - skipped)]


def call(rival: Rival, size: Size, meter: Meter) -> Laps:
    """Time calls that wait for their result, one after the other."""
    mark = rival.host.tally.mark()
    laps, found = [], []
    with meter.section():
        for number in range(size.count):
            began = time.perf_counter()
            found.append(rival.call(number))
            laps.append(time.perf_counter() - began)
    _check_results(found, range(size.count))
    check_once(rival.host.tally.since(mark), range(size.count))
    return laps


def run_layers(rival: Rival, size: Size, meter: Meter) -> Laps:
    """Time whole graphs, from their start to the knowledge of their end."""
    return [_run(rival, size.layers, meter) for _ in range(size.count)]


def _run(rival: Rival, layers: Layers, meter: Meter) -> float:
    total = sum(layers)
    mark = rival.host.tally.mark()
    run = rival.prepare(layers)
    with meter.section():
        began = time.perf_counter()
        run()
        seconds = time.perf_counter() - began
    executions = rival.host.tally.since(mark)
    check_once(executions, range(total + rival.extras(layers)))
    check_layers(executions, numbered(layers))
    return seconds


@dataclass(frozen=True, slots=True)
class Held:
    """A worker whose slots are all busy until the gate is there."""

    rival: Rival
    gate: Path
    mark: int
    holds: range
    held: list[str]

    def release(self, numbers: Sequence[int], ids: Sequence[str]) -> None:
        """Open the gate; return when all is done, and right."""
        host = self.rival.host
        expected = [*self.holds, *numbers]
        self.gate.touch()
        host.until(
            lambda: host.tally.count(self.mark) >= len(expected),
            f"{len(numbers)} tasks are executed",
        )
        everything = [*self.held, *ids]
        host.until(lambda: self.rival.is_settled(everything), "results are stored")
        check_once(host.tally.since(self.mark), expected)
        _check_results(self.rival.results(everything), expected)


@contextmanager
def held(rival: Rival) -> Iterator[Held]:
    """Have all slots of the worker busy until the block releases them, or ends."""
    host = rival.host
    gate = host.folder / f"gate-{uuid4().hex}"
    mark = host.tally.mark()
    holds = range(_FIRST_HOLD, _FIRST_HOLD - host.slots, -1)
    try:
        ids = rival.ids(rival.hold(holds, gate))
        host.until(lambda: host.tally.count(mark) == host.slots, "all slots are busy")
        yield Held(rival, gate, mark, holds, ids)
    finally:
        gate.touch()  # it stays: a hold that is late must find it


def warm_up(rival: Rival) -> None:
    """Use every slot of the worker once: connections open, modules are imported."""
    with held(rival) as block:
        block.release([], [])


def _check_results(found: Sequence[object] | None, numbers: Sequence[int]) -> None:
    if found is not None and list(found) != list(numbers):
        raise WrongResultError(f"results of {numbers} are wrong: {str(found)[:200]}")


_CHAIN, _LAYERS, _FAN_OUT = (1,) * 50, (10,) * 10, (1000, 1)

SCENARIOS = (
    Scenario(
        name="enqueue",
        title="enqueue, one at a time",
        play=enqueue,
        size=Size(500),
        quick=Size(50),
        target=Target(Measure.RATE_LESS_COMMIT, 1.0),
        is_rate=True,
    ),
    Scenario(
        name="enqueue-many",
        title="enqueue many",
        play=enqueue_many,
        size=Size(500),
        quick=Size(50),
        target=Target(Measure.RATE, 10.0),
        is_rate=True,
        note="a side without a bulk call sends one by one",
    ),
    Scenario(
        name="drain",
        title="drain no-ops, prefork",
        play=drain,
        size=Size(1500),
        quick=Size(200),
        target=Target(Measure.RATE, 0.9),
        is_rate=True,
    ),
    Scenario(
        name="drain-batches",
        title="drain no-ops, prefork, in batches of 50",
        play=drain_tiny,
        size=Size(3000),
        quick=Size(400),
        target=Target(Measure.RATE, 14.0),
        is_rate=True,
        note="twice the fastest peer, which drains 7 times as fast as raw Celery; raw sends one by one",
    ),
    Scenario(
        name="drain-threads",
        title="drain no-ops, threads",
        play=drain,
        pool="threads",
        size=Size(1500),
        quick=Size(200),
        target=Target(Measure.RATE, 0.9),
        is_rate=True,
    ),
    Scenario(
        name="call",
        title="enqueue → result, one at a time",
        play=call,
        size=Size(200),
        quick=Size(20),
        target=Target(Measure.EXTRA_COMMITS, 3.0),
    ),
    Scenario(
        name="chain",
        title="chain of 50",
        play=run_layers,
        size=Size(3, _CHAIN),
        quick=Size(1, (1,) * 10),
        target=Target(Measure.WALL, 1.0),
    ),
    Scenario(
        name="layers",
        title="10 x 10 fully connected layers",
        play=run_layers,
        size=Size(2, _LAYERS),
        quick=Size(1, (3,) * 3),
        target=Target(Measure.WALL, 1.0),
    ),
    Scenario(
        name="fan-out",
        title="fan-out 1,000 + join",
        play=run_layers,
        size=Size(1, _FAN_OUT),
        quick=Size(1, (20, 1)),
        target=Target(Measure.WALL, 1.0),
    ),
)
