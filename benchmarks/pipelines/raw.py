"""Raw Celery, in the best canvases that we know."""

from collections.abc import Callable, Sequence
from typing import Any
from uuid import uuid4

from celery import Signature, chord
from celery.result import AsyncResult

from benchmarks import raw_app
from benchmarks.canvas import canvas_of, extras_of, last_of
from benchmarks.pipelines.shapes import N_SHAPE, Shape
from benchmarks.pipelines.side import Launch
from benchmarks.raw_celery import RawCelery
from benchmarks.rival import PATIENCE
from benchmarks.tally import WrongResultError

LEVELS = "raw, level by level"
"""The side that runs the N shape as most people would write it."""


class RawPipelines(RawCelery):
    """Canvases that say as much of a graph as a canvas can; all are made before a start."""

    def launches(self, shape: Shape, count: int) -> Sequence[Launch]:
        """Make canvases: of levels, where no other says it better."""
        return [self._launch(shape, run) for run in range(count)]

    def _launch(self, shape: Shape, run: int) -> Launch:
        return self._linked(run) if shape is N_SHAPE else self._of_levels(shape, run)

    def _of_levels(self, shape: Shape, run: int) -> Launch:
        canvas = canvas_of(self._app, _steps(shape, run), shape.layers)
        last = last_of(shape.layers)

        def start() -> AsyncResult:
            return canvas.apply_async()

        return Launch(start, lambda sent: _require(sent, last), extras_of(shape.layers))

    def _linked(self, run: int) -> Launch:
        """Return the N shape: a chord of a and b, and d as the callback of b."""
        a, b, c, d = map(_steps(N_SHAPE, run), range(4))
        d.set(task_id=str(uuid4()))
        b.link(d)
        canvas = chord([a, b], c, app=self._app)

        def start() -> list[AsyncResult]:
            return [canvas.apply_async(), self._app.AsyncResult(d.options["task_id"])]

        def finish(sent: list[AsyncResult]) -> None:
            for result, number in zip(sent, (2, 3), strict=True):
                _require(result, number)

        return Launch(start, finish)


class RawLevels(RawPipelines):
    """The N shape level by level: a group of a and b, then a group of c and d."""

    name = LEVELS
    scenarios = frozenset({"n-shape"})

    def _launch(self, shape: Shape, run: int) -> Launch:
        return self._of_levels(shape, run)


def _steps(shape: Shape, run: int) -> Callable[[int], Signature]:
    def step(number: int) -> Signature:
        seconds = shape.seconds_of(number)
        return raw_app.step.si(number=number, run=run, seconds=seconds)

    return step


def _require(sent: AsyncResult, number: int) -> None:
    # With `propagate`, `get` would ask for the state of every task before the last one, each time
    # that it hears of any.
    found: Any = sent.get(timeout=PATIENCE, propagate=False)
    if found != number:
        raise WrongResultError(f"raw: the canvas resulted in {str(found)[:200]}")
