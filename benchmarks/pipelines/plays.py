"""How a scenario is played once: what is timed, and what must be true of it afterwards.

A step counts as run when it begins, as its own process wrote it down; all that is compared is on
one machine's monotonic clock.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from benchmarks.measure import percentile
from benchmarks.meter import Meter
from benchmarks.pipelines.shapes import D, Shape
from benchmarks.pipelines.side import Launch, Side
from benchmarks.pipelines.table_input import Input
from benchmarks.pipelines.tables import TableSide
from benchmarks.scenarios import held
from benchmarks.tally import STRIDE, Execution, WrongResultError, check_once

Values = Mapping[str, float]
"""What one round of one side has shown, by the name of the figure."""


@dataclass(frozen=True, slots=True)
class Size:
    """How much is done in one round: so many runs, of these shapes in turn."""

    count: int
    shapes: Sequence[Shape]

    @property
    def steps(self) -> int:
        """How many steps that is, without what one side alone needs."""
        return sum(len(self.shape(run)) for run in range(self.count))

    def shape(self, run: int) -> Shape:
        """Return the shape of a run."""
        return self.shapes[run % len(self.shapes)]

    def __str__(self) -> str:
        """Return it as it is shown."""
        runs = "run" if self.count == 1 else "runs"
        return f"{self.count:,} {runs}, {self.steps:,} steps"


Play = Callable[[Side, Size, Meter], Values]


def whole(side: Side, size: Size, meter: Meter) -> Values:
    """Time whole runs, one after the other: from the start to the knowledge of the end."""
    walls = [_run(side, size.shape(run), meter) for run in range(size.count)]
    return {"wall": median(walls)}


def beyond(side: Side, size: Size, meter: Meter) -> Values:
    """Time whole runs, and compare each with the longest way through its graph."""
    over, hops = [], []
    for run in range(size.count):
        shape = size.shape(run)
        wall = _run(side, shape, meter)
        seconds, count = shape.critical_path
        over.append(wall / seconds)
        hops.append((wall - 1.1 * seconds) / count)
    return {"over": median(over), "hop": max(hops)}


def _run(side: Side, shape: Shape, meter: Meter) -> float:
    mark = side.host.tally.mark()
    (launch,) = side.launches(shape, 1)
    with meter.section():
        began = time.perf_counter()
        launch.finish(launch.start())
        seconds = time.perf_counter() - began
    check(side, [shape], [launch], mark)
    return seconds


def shortest_way(side: Side, size: Size, meter: Meter) -> Values:
    """Time how soon d of the N shape runs, for which nobody needs to wait for a."""
    shape = size.shape(0)
    mark = side.host.tally.mark()
    (launch,) = side.launches(shape, 1)
    with meter.section():
        began = time.monotonic()
        launch.finish(launch.start())
    (executions,) = check(side, [shape], [launch], mark)
    return {"d": next(one.at for one in executions if one.number == D) - began}


def start(side: Side, size: Size, meter: Meter) -> Values:
    """Time how soon the first step runs, from the call on; one run after the other."""
    laps = []
    for run in range(size.count):
        shape = size.shape(run)
        mark = side.host.tally.mark()
        (launch,) = side.launches(shape, 1)
        with meter.section():
            began = time.monotonic()
            launch.finish(launch.start())
        (executions,) = check(side, [shape], [launch], mark)
        laps.append(min(one.at for one in executions) - began)
    return {"p50": median(laps), "p95": percentile(laps, 95)}


def at_once(side: Side, size: Size, meter: Meter) -> Values:
    """Start runs while all slots are busy, then free the slots; time until all steps have run.

    A run takes from then until its last step runs.
    """
    host = side.host
    shapes = [size.shape(run) for run in range(size.count)]
    made = [side.launches(shape, size.count) for shape in size.shapes]
    launches = [made[run % len(made)][run] for run in range(size.count)]
    total = sum(len(shape) for shape in shapes) + sum(launch.extras for launch in launches)
    with held(side) as block:
        with meter.section():
            began = time.monotonic()
            started = [launch.start() for launch in launches]
            starting = time.monotonic() - began
            block.gate.touch()
            free = time.monotonic()
            host.until(
                lambda: host.tally.count(block.mark) >= total + len(block.holds),
                f"{size.count} runs go on",
            )
        for launch, one in zip(launches, started, strict=True):
            launch.finish(one)
        host.until(lambda: side.is_settled(block.held), "the slots are given back")
        side.results(block.held)
    ends = [
        max(one.at for one in executions) - free
        for executions in check(side, shapes, launches, block.mark, holds=block.holds)
    ]
    return {"wall": starting + max(ends), "fairness": max(ends) / min(ends)}


def check(
    side: Side,
    shapes: Sequence[Shape],
    launches: Sequence[Launch],
    mark: int,
    *,
    holds: Sequence[int] = (),
) -> list[list[Execution]]:
    """Return what each run has executed, with numbers as in its graph; the extras come last.

    Raises WrongResultError unless each step ran once, after those that it waits for had ended.
    """
    found = side.host.tally.since(mark)
    sizes = [len(shape) + one.extras for shape, one in zip(shapes, launches, strict=True)]
    wanted = [run * STRIDE + n for run, size in enumerate(sizes) for n in range(size)]
    check_once(found, [*holds, *wanted])
    runs: list[list[Execution]] = [[] for _ in shapes]
    for one in found:
        if one.number >= 0:
            run, number = divmod(one.number, STRIDE)
            runs[run].append(Execution(number, one.at))
    for shape, executions in zip(shapes, runs, strict=True):
        _check_order(side, shape, executions)
    return runs


def _check_order(side: Side, shape: Shape, executions: Sequence[Execution]) -> None:
    at = {one.number: one.at for one in executions}
    for number, ups in enumerate(shape.upstreams):
        for up in ups:
            if at[up] + shape.seconds_of(up) > at[number]:
                raise WrongResultError(f"{side.name}: step {number} did not wait for step {up}")


# Tables.


def tables(side: TableSide, inputs: Sequence[Input], meter: Meter) -> Values:
    """Time CSV → Parquet → aggregate of some files, from the start to the knowledge of the end."""
    with meter.section():
        began = time.perf_counter()
        found: Any = side.work(inputs)
        seconds = time.perf_counter() - began
    side.check(inputs, found)
    return {"rate": sum(one.size for one in inputs) * 8e-6 / seconds}
